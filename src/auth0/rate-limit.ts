import type { Clock } from "../core/types.ts";
import { readRetryAfter } from "../lib/retry-after.ts";

/** Longest wait for a service's word, so that a bogus header cannot park us for a day; then we ask again. */
const maxWaitMs = 10 * 60_000;

/** What the tenant allows at the moment, shared by all that call its Management API in this process. */
export interface RateLimit {
  /** Resolves when a request may be sent. */
  wait(signal: AbortSignal): Promise<void>;
  /** Learns from an answer's headers; returns the wait that a 429 asks for, in ms. */
  learn(status: number, headers: Headers): number | undefined;
}

/**
 * Slows down before the limit: when an answer says that nothing remains, the next request waits for the reset.
 * Headers: https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy
 */
export function createRateLimit(clock: Clock): RateLimit {
  let blockedUntilMs = 0;
  // Answers come back in any order, so a later one must not shorten the wait that an earlier one asked for.
  const block = (waitMs: number) => {
    blockedUntilMs = Math.max(blockedUntilMs, clock.monotonicMs() + waitMs);
  };
  return {
    async wait(signal) {
      for (;;) {
        const waitMs = blockedUntilMs - clock.monotonicMs();
        if (waitMs <= 0) return;
        await clock.sleep(waitMs, signal);
      }
    },
    learn(status, headers) {
      const askedMs = retryAfterMs(headers, clock.now());
      const isSpent = headers.get("x-ratelimit-remaining") === "0";
      if (status !== 429) {
        if (isSpent && askedMs !== undefined) block(askedMs);
        return undefined;
      }
      // Asking again half a second after a refusal without a date is what got older tools banned.
      const waitMs = Math.max(askedMs ?? 0, 1_000 + clock.random() * 1_000);
      block(waitMs);
      return waitMs;
    },
  };
}

/** `Retry-After` (seconds or a date), else `x-ratelimit-reset` (epoch seconds), as a wait in ms. */
export function retryAfterMs(headers: Headers, nowMs: number): number | undefined {
  // The service's own clock, so that a wrong local one neither hurries nor parks us.
  const serverNowMs = Date.parse(headers.get("date") ?? "") || nowMs;
  const resetSeconds = Number(headers.get("x-ratelimit-reset") ?? Number.NaN);
  const untilResetMs = resetSeconds > 0 ? resetSeconds * 1_000 - serverNowMs : undefined;
  const waitMs = readRetryAfter(headers.get("retry-after"), serverNowMs) ?? untilResetMs;
  return waitMs === undefined ? undefined : Math.min(Math.max(waitMs, 0), maxWaitMs);
}
