import type { ManagementClient } from "auth0";
import { describe, ExportError } from "../core/errors.ts";
import { abortable, retry } from "../core/retry.ts";
import type { Clock } from "../core/types.ts";
import { startDeadline } from "../lib/deadline.ts";
import { createRateLimit, retryAfterMs } from "./rate-limit.ts";

/** Bound on one answer. A page holds 100 events, and the API takes bodies of 1 MB, which `sapi` events repeat. */
const maxResponseBytes = 256 * 1024 * 1024;

export interface Auth0Options {
  /** Tenant or custom domain, with a port if need be. */
  readonly domain: string;
  readonly clientId: string;
  /** Functions, so that no print-out of the options shows what they hold. */
  readonly clientSecret?: () => string;
  /** PKCS#8 PEM, instead of the secret. */
  readonly clientAssertionKey?: () => string;
  readonly audience?: string;
  /** Deadline of one request, its body included. */
  readonly requestTimeoutMs: number;
  /** How long passing faults are retried; waits that Auth0 asks for do not count. */
  readonly giveUpAfterMs: number;
  readonly clock: Clock;
  /** Called with each new access token, so that it can be kept out of the log. */
  onSecret?(secret: string): void;
  onRetry?(error: ExportError, waitMs: number): void;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface Auth0Client {
  /**
   * GET below `/api/v2`. Waits out rate limits and passing faults, logs in again once on a 401.
   * Answers of 200 and of the `expected` statuses are handed to `parse`, whose `transient` errors are retried
   * too; the others are thrown as ExportError.
   */
  get<T>(path: string, query: Record<string, string>, options: GetOptions<T>): Promise<T>;
  /** Scopes of the newest token; null while there is no token. */
  grantedScopes(): readonly string[] | null;
}

interface GetOptions<T> {
  readonly signal: AbortSignal;
  /** Scope to name when Auth0 answers 403. */
  readonly scope: string;
  readonly expected?: readonly number[];
  parse(answer: Answer): T;
}

/** The Management API of one tenant: one token, one rate limit, whatever the number of pipelines. */
export function createAuth0Client(options: Auth0Options): Auth0Client {
  const { clock, requestTimeoutMs } = options;
  const rateLimit = createRateLimit(clock);
  const grant = { scopes: null as readonly string[] | null };
  let current: Promise<ManagementClient> | null = null;

  const login = () => {
    current ??= connect(options, grant);
    return current;
  };

  /** One request on the current token; on a 401, one more on a new one. */
  const fetchOnce = async (url: string, signal: AbortSignal): Promise<Answer> => {
    for (let relogins = 0; ; relogins++) {
      const used = login();
      await rateLimit.wait(signal);
      const client = await used;
      const deadline = startDeadline(signal, requestTimeoutMs);
      const answer = await read(client, url, deadline.signal)
        .catch((thrown: unknown) => {
          signal.throwIfAborted();
          throw networkError(
            deadline.signal.aborted ? deadline.signal.reason : thrown,
            url,
            requestTimeoutMs,
          );
        })
        .finally(deadline.end);
      if (answer.status !== 401 || relogins > 0) return answer;
      // The SDK keeps a revoked token until it expires. Another pipeline may already have replaced the client.
      if (current === used) current = null;
    }
  };

  return {
    async get(path, query, { signal, scope, expected = [], parse }) {
      const url = `https://${options.domain}/api/v2${path}?${new URLSearchParams(query)}`.replace(/\?$/, "");
      const retryOptions = {
        clock,
        signal,
        giveUpAfterMs: options.giveUpAfterMs,
        patient: true,
        onRetry: (error: ExportError, waitMs: number) => options.onRetry?.(error, waitMs),
      };
      // Before the first try begins, as this is no time spent failing.
      await rateLimit.wait(signal);
      return retry(retryOptions, async () => {
        const answer = await fetchOnce(url, signal);
        const waitMs = rateLimit.learn(answer.status, answer.headers);
        const isExpected = expected.includes(answer.status) && isOwnRefusal(answer);
        if (answer.status === 200 || isExpected) return parse(answer);
        throw statusError(answer, url, scope, waitMs);
      });
    },
    grantedScopes: () => grant.scopes,
  };
}

/** A client of the SDK whose requests go through our own `fetch`. Loaded here, as it takes 0.2 s. */
async function connect(options: Auth0Options, grant: { scopes: readonly string[] | null }) {
  const auth0 = await import("auth0");
  const { domain, clientId, clientSecret, clientAssertionKey, audience } = options;
  const identity = clientAssertionKey
    ? { clientAssertionSigningKey: clientAssertionKey() }
    : { clientSecret: clientSecret?.() ?? "" };
  return new auth0.ManagementClient({
    domain,
    clientId,
    ...identity,
    ...(audience === undefined ? {} : { audience }),
    maxRetries: 0,
    fetch: (input, init) => {
      const url = String(input);
      // A redirect would carry the token to wherever it points.
      const request = { ...init, redirect: "manual" as const };
      return new URL(url).pathname === "/oauth/token"
        ? fetchToken(url, request, options, grant)
        : fetch(url, request);
    },
  });
}

/**
 * The token request. The SDK drops the status, the headers and the body of a refusal in part, so the answer is
 * judged here, where all of it is at hand.
 */
async function fetchToken(
  url: string,
  init: RequestInit,
  options: Auth0Options,
  grant: { scopes: readonly string[] | null },
): Promise<Response> {
  const deadline = AbortSignal.timeout(options.requestTimeoutMs);
  const signal = AbortSignal.any([deadline, ...(init.signal ? [init.signal] : [])]);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { ...init, signal });
    text = await readText(response, 1024 * 1024);
  } catch (thrown) {
    throw networkError(thrown, url, options.requestTimeoutMs);
  }
  const body = parseObject(text);
  if (response.status === 200 && typeof body?.access_token === "string" && Number.isFinite(body.expires_in)) {
    options.onSecret?.(body.access_token);
    grant.scopes = typeof body.scope === "string" ? body.scope.split(" ") : [];
    return new Response(text, { status: 200, headers: { "content-type": "application/json" } });
  }
  throw tokenError(response, text, body, options);
}

function tokenError(
  response: Response,
  text: string,
  body: Record<string, unknown> | null,
  options: Auth0Options,
): ExportError {
  const { status } = response;
  const said = excerpt([body?.error, body?.error_description].filter(Boolean).join(": ") || text);
  const what = `${options.domain} refused the login of client ${options.clientId} with ${status} (${said})`;
  if (status === 429) {
    const waitMs = Math.max(retryAfterMs(response.headers, options.clock.now()) ?? 5_000, 1_000);
    return new ExportError("rate_limited", `${what}; waiting as told`, { retryAfterMs: waitMs });
  }
  if (status === 200 || status === 408 || status >= 500 || (status >= 300 && status < 400)) {
    const message = `${options.domain} answered the login with ${status} and no token (${said}); check AUTH0_DOMAIN if this stays`;
    return new ExportError("transient", message);
  }
  const secret = options.clientAssertionKey ? "AUTH0_CLIENT_ASSERTION_KEY_FILE" : "AUTH0_CLIENT_SECRET";
  const advice = `check AUTH0_DOMAIN, AUTH0_CLIENT_ID and ${secret}, AUTH0_AUDIENCE if the domain is a custom one, and that the application is authorized for the Auth0 Management API`;
  return new ExportError("auth", `${what}; ${advice}`);
}

async function read(client: ManagementClient, url: string, signal: AbortSignal): Promise<Answer> {
  const response = await abortable(client.fetch(url, { signal }, { maxRetries: 0 }), signal);
  return {
    status: response.status,
    headers: response.headers,
    text: await readText(response, maxResponseBytes),
  };
}

/** The body as text, refused once it passes the bound. */
async function readText(response: Response, maxBytes: number): Promise<string> {
  const declared = Number(response.headers.get("content-length") ?? 0);
  if (declared > maxBytes) {
    await response.body?.cancel();
    throw new ExportError("transient", `an answer of ${declared} bytes passes the bound of ${maxBytes}`);
  }
  if (declared > 0 && !response.headers.has("content-encoding")) return response.text();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes)
      throw new ExportError("transient", `an answer passes the bound of ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function statusError(answer: Answer, url: string, scope: string, waitMs: number | undefined): ExportError {
  const { status, text } = answer;
  const body = parseObject(text);
  const said = typeof body?.message === "string" ? excerpt(body.message) : excerpt(text);
  const what = `GET ${new URL(url).host}${new URL(url).pathname} answered ${status} (${said})`;
  if (status === 429)
    return new ExportError("rate_limited", `${what}; waiting as told`, { retryAfterMs: waitMs });
  if (status === 401) {
    const advice =
      "the token was refused twice, also after a new login; check AUTH0_AUDIENCE and AUTH0_DOMAIN";
    return new ExportError("auth", `${what}; ${advice}`);
  }
  if (status === 403) {
    const advice = `grant the scope ${scope} to the application: APIs > Auth0 Management API > Machine to Machine Applications`;
    return new ExportError("auth", `${what}; ${advice}`);
  }
  if (isOwnRefusal(answer) && status < 500 && status !== 408) return new ExportError("permanent", what);
  return new ExportError("transient", what);
}

/** Whether Auth0 itself refuses; a proxy in between has statuses of its own, and its word must decide nothing. */
function isOwnRefusal({ status, text }: Answer): boolean {
  return status >= 400 && parseObject(text)?.statusCode === status;
}

function networkError(thrown: unknown, url: string, timeoutMs: number): ExportError {
  if (thrown instanceof ExportError) return thrown;
  const { host, pathname } = new URL(url);
  const isTimeout = thrown instanceof Error && thrown.name === "TimeoutError";
  const why = isTimeout ? `no complete answer within ${timeoutMs / 1_000} s` : describe(thrown);
  const advice = /CERT|certificate/i.test(why)
    ? "if the certificate is your own, name its authority in NODE_EXTRA_CA_CERTS"
    : "if this stays, check AUTH0_DOMAIN, the network and the proxy";
  const message = `request to ${host}${pathname} failed: ${why}; ${advice}`;
  return new ExportError("transient", message, { cause: thrown });
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** The first 200 characters, on one line. */
export function excerpt(text: string): string {
  const line = text.slice(0, 200).replace(/\s+/g, " ").trim();
  return line === "" ? "empty body" : line;
}
