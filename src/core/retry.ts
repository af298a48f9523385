import { asExportError, type ExportError } from "./errors.ts";
import type { Clock } from "./types.ts";

/** First and longest wait between two tries, before jitter. */
const baseDelayMs = 500;
const maxDelayMs = 30_000;

export interface RetryOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** No wait may end later than this after the first try. */
  readonly giveUpAfterMs: number;
  /** Waits that the service asked for do not count against `giveUpAfterMs`. */
  readonly patient?: boolean;
  /** Called before each wait. */
  onRetry?(error: ExportError, waitMs: number): void;
}

/**
 * Calls `attempt` until it resolves: the one place in this program that waits between tries.
 * `transient` errors back off exponentially with full jitter, from 0.5 s to 30 s; `rate_limited` errors and
 * errors with `retryAfterMs` wait as long as the service asked. Everything else, and a wait that would end
 * after `giveUpAfterMs`, is thrown at once.
 */
export async function retry<T>(options: RetryOptions, attempt: (tries: number) => Promise<T>): Promise<T> {
  const { clock, signal } = options;
  let giveUpAtMs = clock.monotonicMs() + options.giveUpAfterMs;
  for (let tries = 0; ; tries++) {
    try {
      signal.throwIfAborted();
      return await attempt(tries);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = asExportError(thrown);
      if (error.kind !== "transient" && error.kind !== "rate_limited") throw error;
      const waitMs = error.retryAfterMs ?? backoffMs(tries, clock);
      if (options.patient && error.kind === "rate_limited") giveUpAtMs += waitMs;
      if (clock.monotonicMs() + waitMs > giveUpAtMs) throw error;
      options.onRetry?.(error, waitMs);
      await clock.sleep(waitMs, signal);
    }
  }
}

/** "Full jitter": anywhere between nothing and the exponential step, so that clients do not return in step. */
function backoffMs(tries: number, clock: Clock): number {
  return clock.random() * Math.min(maxDelayMs, baseDelayMs * 2 ** tries);
}

/** Rejects as soon as the signal aborts, also when `promise` never looks at it. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
