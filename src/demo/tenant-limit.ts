export interface RateLimitOptions {
  /** Requests that may come at once. */
  readonly burst: number;
  /** How fast they come back. */
  readonly perSecond: number;
}

export interface RateLimit {
  /** Whether one more request may pass, and the headers to answer it with. */
  take(): { readonly allowed: boolean; readonly headers: Readonly<Record<string, string>> };
}

/**
 * A token bucket with Auth0's headers (auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy):
 * `x-ratelimit-reset` is the epoch second at which the bucket is full again, as in Auth0's own limiter
 * (auth0/limitd-redis, lib/take.lua); `retry-after` is how many seconds until the next request may pass.
 */
export function createRateLimit({ burst, perSecond }: RateLimitOptions, now: () => number): RateLimit {
  let tokens = burst;
  let filledAtMs = now();
  return {
    take() {
      const nowMs = now();
      tokens = Math.min(burst, tokens + (Math.max(0, nowMs - filledAtMs) / 1000) * perSecond);
      filledAtMs = nowMs;
      const allowed = tokens >= 1;
      if (allowed) tokens -= 1;
      const headers: Record<string, string> = {
        "x-ratelimit-limit": String(burst),
        "x-ratelimit-remaining": String(Math.floor(tokens)),
        "x-ratelimit-reset": String(Math.ceil(nowMs / 1000 + (burst - tokens) / perSecond)),
      };
      if (!allowed) headers["retry-after"] = String(Math.max(1, Math.ceil((1 - tokens) / perSecond)));
      return { allowed, headers };
    },
  };
}
