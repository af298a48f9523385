import assert from "node:assert/strict";
import tls from "node:tls";
import { type Auth0Client, type Auth0Options, createAuth0Client } from "../../src/auth0/client.ts";
import { ExportError, type ExportErrorKind } from "../../src/core/errors.ts";
import type { Clock } from "../../src/core/types.ts";
import { createEventGenerator } from "../../src/demo/events.ts";
import { startTenant, type Tenant, type TenantOptions } from "../../src/demo/tenant.ts";
import { createLoopbackCertificate } from "../../src/demo/tls.ts";
import { virtualClock } from "../support/clock.ts";

/** One certificate for all tenants of the process, trusted by its `fetch`. */
const certificate = createLoopbackCertificate();
tls.setDefaultCACertificates([certificate.cert]);

export const never = new AbortController().signal;

interface OpenOptions {
  readonly tenant?: TenantOptions;
  readonly client?: Partial<Auth0Options>;
}

/** A tenant and a client of it, on a clock that shows the real time at first and on which waiting takes none. */
export async function openTenant(options: OpenOptions = {}) {
  const clock = virtualClock(Date.now());
  const tenant = await startTenant({ certificate, ...options.tenant });
  const retries: { error: ExportError; waitMs: number }[] = [];
  const connect = (overrides: Partial<Auth0Options> = {}): Auth0Client =>
    createAuth0Client({
      domain: tenant.domain,
      clientId: tenant.clientId,
      clientSecret: () => tenant.clientSecret,
      requestTimeoutMs: 5_000,
      giveUpAfterMs: 120_000,
      clock,
      onRetry: (error, waitMs) => retries.push({ error, waitMs }),
      ...options.client,
      ...overrides,
    });
  return {
    tenant,
    clock,
    client: connect(),
    connect,
    retries,
    [Symbol.asyncDispose]: () => tenant.close(),
  };
}

const generate = createEventGenerator({ seed: 3 });
let sequence = 0;

/** Appends one event per time, in epoch ms; returns their IDs. */
export function produce(tenant: Tenant, timesMs: readonly number[]): string[] {
  return timesMs.map((timeMs) => {
    const event = generate(timeMs, ++sequence);
    tenant.append(event);
    return String(event.log_id);
  });
}

/** Reads a page of the log as plain text. */
export function getPage(client: Auth0Client, signal: AbortSignal = never): Promise<string> {
  return client.get(
    "/logs",
    { from: "0", take: "100" },
    { signal, scope: "read:logs", parse: ({ text }) => text },
  );
}

/** What the promise fails with, which has to be an ExportError of this kind. */
export async function failureOf(promise: Promise<unknown>, kind: ExportErrorKind): Promise<ExportError> {
  const thrown = await promise.then(
    () => assert.fail(`should have failed with ${kind}`),
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof ExportError, String(thrown));
  assert.equal(thrown.kind, kind, thrown.message);
  return thrown;
}

/** A clock whose hands move only when told. */
export function handClock(startMs = Date.now()) {
  let elapsedMs = 0;
  let sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];
  const clock: Clock = {
    now: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    random: () => 0.5,
    sleep(ms, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      sleepers.push({ atMs: elapsedMs + ms, wake: resolve });
      return promise;
    },
  };
  return {
    ...clock,
    /** How long each sleeper still has to wait, in ms. */
    waits: () => sleepers.map(({ atMs }) => atMs - elapsedMs),
    advance(ms: number) {
      elapsedMs += ms;
      const due = sleepers.filter(({ atMs }) => atMs <= elapsedMs);
      sleepers = sleepers.filter(({ atMs }) => atMs > elapsedMs);
      for (const { wake } of due) wake();
    },
  };
}
