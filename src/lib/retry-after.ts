/**
 * A `Retry-After` header, seconds or a date (RFC 9110, section 10.2.3), as ms from `nowMs`, never negative;
 * undefined when there is none or it says nothing. The caller sets the bound.
 */
export function readRetryAfter(header: string | null | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? "";
  const waitMs = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.max(waitMs, 0);
}
