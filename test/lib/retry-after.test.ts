import assert from "node:assert/strict";
import { test } from "node:test";
import { readRetryAfter } from "../../src/lib/retry-after.ts";

const nowMs = Date.UTC(2026, 0, 1, 12, 0, 0);

for (const [header, expected] of [
  ["30", 30_000],
  ["1.5", 1_500],
  [" 0 ", 0],
  ["Thu, 01 Jan 2026 12:01:00 GMT", 60_000],
  ["Thu, 01 Jan 2026 11:00:00 GMT", 0],
  ["soon", undefined],
  ["", undefined],
  [null, undefined],
  [undefined, undefined],
] as const) {
  test(`Retry-After "${header}" is a wait of ${expected} ms`, () => {
    assert.equal(readRetryAfter(header, nowMs), expected);
  });
}
