import type { ServerResponse } from "node:http";
import { type Answer, json } from "./tenant-answer.ts";

/** `logs` is `GET /api/v2/logs`, `log` is `GET /api/v2/logs/{id}`, `token` is `POST /oauth/token`. */
export type Endpoint = "logs" | "log" | "token";

/**
 * What goes wrong with one request:
 * `reset` closes the connection without an answer; `hang` never answers; `hang-body` sends the headers and half of
 * the body, then nothing; `truncate` announces more than it sends and closes the connection; `html` answers 200
 * with a page of HTML; `empty` answers 200 with no body; `not-array` answers 200 with an object; `descending`
 * answers a page in the wrong order; `revoke` revokes the request's token first.
 */
export type FaultKind =
  | "reset"
  | "hang"
  | "hang-body"
  | "truncate"
  | "html"
  | "empty"
  | "not-array"
  | "descending"
  | "revoke";

/** `on` limits a fault to one endpoint. A status stands for a proxy in front of Auth0: it carries no rate limit headers. */
export type Fault =
  | FaultKind
  | { readonly kind: FaultKind; readonly on?: Endpoint }
  | {
      readonly status: number;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
      readonly on?: Endpoint;
    };

/** Takes the first fault out of the queue that is meant for this endpoint. Without `on` that is the Management API. */
export function takeFault(queue: Fault[], endpoint: Endpoint): Fault | null {
  const index = queue.findIndex((fault) => {
    const on = endpointOf(fault);
    return on === undefined ? endpoint !== "token" : on === endpoint;
  });
  return index < 0 ? null : (queue.splice(index, 1)[0] ?? null);
}

/** An outage without `on` concerns every request. */
export function concerns(outage: Fault | null, endpoint: Endpoint): Fault | null {
  return outage !== null && (endpointOf(outage) ?? endpoint) === endpoint ? outage : null;
}

export function kindOf(fault: Fault | null): FaultKind | null {
  if (fault === null || typeof fault === "string") return fault;
  return "kind" in fault ? fault.kind : null;
}

function endpointOf(fault: Fault): Endpoint | undefined {
  return typeof fault === "string" ? undefined : fault.on;
}

/** The answer that this fault puts in the place of the real one, or null when it does something else. */
export function faultAnswer(fault: Fault | null): Answer | null {
  if (fault !== null && typeof fault === "object" && "status" in fault) {
    const { status, body = "", headers = {} } = fault;
    return typeof body === "string" ? { status, headers, body } : json(status, body, headers);
  }
  switch (kindOf(fault)) {
    case "html":
      return {
        status: 200,
        headers: { "content-type": "text/html; charset=utf-8" },
        body: "<!doctype html><html><head><title>Sign in to the network</title></head><body></body></html>",
      };
    case "empty":
      return { status: 200, body: "" };
    case "not-array":
      return json(200, { logs: [] });
    default:
      return null;
  }
}

/** Sends the answer in the way that this fault leaves of it. */
export function sendAnswer(response: ServerResponse, answer: Answer, fault: FaultKind | null): void {
  const body = typeof answer.body === "string" ? Buffer.from(answer.body) : answer.body;
  const headers = { ...answer.headers, "content-length": body.length };
  if (fault === "hang-body") {
    response.writeHead(answer.status, headers).write(body.subarray(0, body.length >> 1));
  } else if (fault === "truncate") {
    response
      .writeHead(answer.status, headers)
      .write(body.subarray(0, body.length >> 1), () => response.destroy());
  } else {
    response.writeHead(answer.status, headers).end(body);
  }
}
