import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server, Socket } from "node:net";
import { createEventGenerator, idTime } from "./events.ts";
import { createTenantAuth } from "./tenant-auth.ts";
import type { Endpoint, Fault } from "./tenant-faults.ts";
import { createRateLimit, type RateLimitOptions } from "./tenant-limit.ts";
import { type BacklogOptions, createTenantLog, type TenantLog } from "./tenant-log.ts";
import { createRequestHandler, type TenantRequest } from "./tenant-requests.ts";
import { createLoopbackCertificate, type LoopbackCertificate } from "./tls.ts";

export interface TenantOptions {
  /** What events say in `tenant_name`. */
  readonly name?: string;
  /** The server's certificate, a fresh one by default; `null` makes it plain HTTP. */
  readonly certificate?: LoopbackCertificate | null;
  readonly clientId?: string;
  readonly clientSecret?: string;
  /** PEM of an RSA public key, to take client assertions as well as the secret. */
  readonly clientPublicKey?: string;
  /** `https://{domain}/api/v2/` by default. */
  readonly audience?: string;
  /** What the application is granted; `read:logs` by default. */
  readonly scopes?: readonly string[];
  readonly tokenLifetimeSeconds?: number;
  /** So high by default that nobody meets it. */
  readonly rateLimit?: RateLimitOptions;
  /** Events whose ids are older than this are not served. */
  readonly retentionMs?: number;
  /** The tenant's clock, in epoch ms: for tokens, limits and retention. */
  readonly now?: () => number;
  /** Each token grant becomes an event of its own, as at Auth0 (type code `seccft`). */
  readonly logTokenGrants?: boolean;
  /** How long each page takes. */
  readonly pageLatencyMs?: number;
  readonly backlog?: BacklogOptions;
}

export interface Tenant extends AsyncDisposable {
  /** `localhost:PORT` */
  readonly domain: string;
  readonly origin: string;
  readonly audience: string;
  /** PEM of what clients have to trust; empty for plain HTTP. */
  readonly certificate: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** How many events there ever were, beyond retention too. */
  readonly count: number;
  /** Faults to come; each request to the Management API takes the first that is meant for it. */
  readonly faults: Fault[];
  /** Set: happens to every request. */
  outage: Fault | null;
  /** The last 10,000 requests. */
  readonly requests: readonly TenantRequest[];
  /** Requests since the start. */
  readonly counts: Readonly<Record<Endpoint, number>>;
  /** Adds events, each in the place that its `log_id` says. Throws when there is an event with that id. */
  append(...events: readonly Readonly<Record<string, unknown>>[]): void;
  /** Adds an event whose text is served as it is. */
  appendRaw(text: string, id: string): void;
  /** Ids of all events there ever were, beyond retention too. */
  ids(): string[];
  /** Ends every connection at once and waits until all are gone. */
  close(): Promise<void>;
}

const unlimited: RateLimitOptions = { burst: 1_000_000, perSecond: 1_000_000 };
/** Sequences of the events for token grants begin here, away from those of appended events. */
const firstGrantSequence = 900_000_000_000;

/** Plays an Auth0 tenant on 127.0.0.1: its token endpoint and its log API, with faults to order. */
export async function startTenant(options: TenantOptions = {}): Promise<Tenant> {
  const { name = "demo", now = Date.now, clientId = "demo-client", retentionMs } = options;
  const certificate = options.certificate === undefined ? createLoopbackCertificate() : options.certificate;
  const server = certificate ? createHttpsServer(certificate) : createHttpServer();
  // Clients keep connections between polls; this side must not be the one that closes them first.
  server.keepAliveTimeout = 120_000;
  const sockets = trackSockets(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  const domain = `localhost:${(server.address() as AddressInfo).port}`;
  const origin = `${certificate ? "https" : "http"}://${domain}`;
  const audience = options.audience ?? `https://${domain}/api/v2/`;
  const clientSecret = options.clientSecret ?? randomBytes(24).toString("base64url");
  const closing = new AbortController();
  const log = createTenantLog({
    tenant: name,
    backlog: options.backlog,
    floor: () => (retentionMs === undefined ? "" : idTime(now() - retentionMs)),
  });
  const faults: Fault[] = [];
  const { handle, requests, counts } = createRequestHandler({
    log,
    auth: createTenantAuth({
      clientId,
      clientSecret,
      clientPublicKey: options.clientPublicKey,
      issuer: `https://${domain}/`,
      audience,
      scopes: options.scopes ?? ["read:logs"],
      tokenLifetimeSeconds: options.tokenLifetimeSeconds ?? 86_400,
      now,
    }),
    rateLimit: createRateLimit(options.rateLimit ?? unlimited, now),
    origin,
    now,
    pageLatencyMs: options.pageLatencyMs ?? 0,
    faults,
    outage: () => tenant.outage,
    onGrant: options.logTokenGrants ? createGrantLogger(log, name, clientId, now) : () => {},
    closing: closing.signal,
  });
  server.on("request", handle);

  const close = async () => {
    closing.abort();
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  const tenant: Tenant = {
    domain,
    origin,
    audience,
    certificate: certificate?.cert ?? "",
    clientId,
    // Behind a getter, so that printing a tenant does not print it.
    get clientSecret() {
      return clientSecret;
    },
    get count() {
      return log.count;
    },
    faults,
    outage: null,
    requests,
    counts,
    append(...events) {
      for (const event of events) log.append(event);
    },
    appendRaw: (text, id) => log.appendRaw(text, id),
    ids: () => log.ids(),
    close,
    [Symbol.asyncDispose]: close,
  };
  return tenant;
}

/** Every open connection, those still in their TLS handshake too. */
function trackSockets(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

/** Auth0 logs each grant of a token to an application: auth0.com/docs/deploy-monitor/logs/log-event-type-codes, `seccft`. */
function createGrantLogger(log: TenantLog, tenant: string, clientId: string, now: () => number): () => void {
  const generate = createEventGenerator({ seed: 2, types: ["seccft"], tenant });
  let sequence = firstGrantSequence;
  return () => {
    const event = generate(now(), sequence++);
    log.append({ ...event, client_id: clientId, client_name: "Log Exporter" });
  };
}
