import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { type Answer, apiError } from "./tenant-answer.ts";
import { listEvents, readEvent } from "./tenant-api.ts";
import type { TenantAuth } from "./tenant-auth.ts";
import {
  concerns,
  type Endpoint,
  type Fault,
  faultAnswer,
  kindOf,
  sendAnswer,
  takeFault,
} from "./tenant-faults.ts";
import type { RateLimit } from "./tenant-limit.ts";
import type { TenantLog } from "./tenant-log.ts";

/** One request as it arrived. `status` is 0 until it is answered, and stays 0 when it never is. */
export interface TenantRequest {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly atMs: number;
}

export interface RequestHandlerOptions {
  readonly log: TenantLog;
  readonly auth: TenantAuth;
  readonly rateLimit: RateLimit;
  readonly origin: string;
  readonly pageLatencyMs: number;
  readonly faults: Fault[];
  outage(): Fault | null;
  /** Called after each token granted. */
  onGrant(): void;
  now(): number;
  /** Aborts when the server closes. */
  readonly closing: AbortSignal;
}

export interface RequestHandler {
  handle(request: IncomingMessage, response: ServerResponse): void;
  readonly requests: readonly TenantRequest[];
  readonly counts: Readonly<Record<Endpoint, number>>;
}

interface Route {
  readonly endpoint: Endpoint;
  readonly method: string;
  /** The id in the path, where there is one. */
  readonly id: string;
}

const maxRecordedRequests = 10_000;
const maxFormBytes = 65_536;

/** From a request to its answer: route, fault, rate limit, token, data. */
export function createRequestHandler(options: RequestHandlerOptions): RequestHandler {
  const { log, auth, rateLimit, origin } = options;
  const requests: { method: string; url: string; status: number; atMs: number }[] = [];
  const counts: Record<Endpoint, number> = { token: 0, logs: 0, log: 0 };

  const apiAnswer = (
    route: Route,
    url: URL,
    authorization: string | undefined,
    fault: Fault | null,
  ): Answer => {
    const { allowed, headers } = rateLimit.take();
    const answer = allowed
      ? (auth.refusal(authorization) ??
        (route.endpoint === "log"
          ? readEvent(log, route.id)
          : listEvents(log, url.searchParams, origin, kindOf(fault) === "descending")))
      : apiError(429, "Global limit has been reached", { errorCode: "too_many_requests" });
    return { ...answer, headers: { ...answer.headers, ...headers } };
  };

  const tokenAnswer = (form: URLSearchParams): Answer => {
    const answer = auth.grant(form);
    if (answer.status === 200) options.onGrant();
    return answer;
  };

  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = "", url: target = "/", headers } = request;
    const record = { method, url: target, status: 0, atMs: options.now() };
    requests.push(record);
    if (requests.length > maxRecordedRequests) requests.shift();
    const send = (answer: Answer, fault: Fault | null = null) => {
      record.status = answer.status;
      sendAnswer(response, answer, kindOf(fault));
    };

    const url = new URL(target, origin);
    const route = findRoute(url.pathname);
    const form = await readForm(request);
    if (!route) return send(apiError(404, "Not Found"));
    if (method !== route.method) return send(wrongMethod(route.method));
    counts[route.endpoint] += 1;
    const fault = concerns(options.outage(), route.endpoint) ?? takeFault(options.faults, route.endpoint);
    const kind = kindOf(fault);
    if (kind === "hang") return;
    if (kind === "reset") return void request.socket.destroy();
    if (kind === "revoke") auth.revoke(headers.authorization);
    if (route.endpoint === "logs" && options.pageLatencyMs > 0) {
      await delay(options.pageLatencyMs, undefined, { signal: options.closing });
    }
    const instead = faultAnswer(fault);
    if (instead) return send(instead);
    if (route.endpoint === "token") return send(tokenAnswer(form), fault);
    send(apiAnswer(route, url, headers.authorization, fault), fault);
  };

  return {
    requests,
    counts,
    handle(request, response) {
      respond(request, response).catch((error: unknown) => {
        // The connection is gone, or this program is wrong and has to say so.
        if (!response.headersSent) sendAnswer(response, apiError(500, String(error)), null);
      });
    },
  };
}

function wrongMethod(allowed: string): Answer {
  const answer = apiError(405, `Use ${allowed}`);
  return { ...answer, headers: { ...answer.headers, allow: allowed } };
}

function findRoute(path: string): Route | null {
  if (path === "/oauth/token") return { endpoint: "token", method: "POST", id: "" };
  if (path === "/api/v2/logs") return { endpoint: "logs", method: "GET", id: "" };
  const id = /^\/api\/v2\/logs\/([^/]+)$/.exec(path)?.[1];
  return id === undefined ? null : { endpoint: "log", method: "GET", id };
}

/** The request's form; an empty one when it is too large or of another type. */
async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= maxFormBytes) chunks.push(chunk);
  }
  const isForm = request.headers["content-type"]?.startsWith("application/x-www-form-urlencoded");
  return new URLSearchParams(isForm && bytes <= maxFormBytes ? Buffer.concat(chunks).toString() : "");
}
