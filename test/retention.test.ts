import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunRecord } from "../src/core/types.ts";
import { retentionNotice, timeLeftMs } from "../src/retention.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

function record(lagMs: number | null): RunRecord {
  return {
    pipeline: "cloudwatch",
    outcome: lagMs === 0 ? "succeeded" : "failed",
    startedAtMs: 0,
    endedAtMs: 1,
    from: "4",
    to: "5",
    counts: { read: 0, filtered: 0, delivered: 0, rejected: 0, skipped: 0, batches: 0, retries: 0 },
    lagMs,
    error: null,
    notices: [],
    unknownTypes: {},
  };
}

test("time left is the retention less the lag; with nothing waiting or no retention there is no such time", () => {
  assert.equal(timeLeftMs(6 * hourMs, dayMs), 18 * hourMs);
  assert.equal(timeLeftMs(30 * hourMs, dayMs), -6 * hourMs);
  assert.equal(timeLeftMs(0, dayMs), null);
  assert.equal(timeLeftMs(null, dayMs), null);
  assert.equal(timeLeftMs(6 * hourMs, null), null);
});

test("people hear of a lag once half of the retention is used up, and not before", () => {
  assert.equal(retentionNotice(record(12 * hourMs - 1), dayMs), null);
  assert.equal(retentionNotice(record(0), dayMs), null);
  assert.equal(retentionNotice(record(12 * hourMs), null), null);
  const notice = retentionNotice(record(18 * hourMs), dayMs);
  assert.equal(notice?.lost, false);
  assert.match(notice?.message ?? "", /checkpoint 5 is 18\.0 hours behind.*6\.0 hours are left/);
});

test("past the retention the notice says that events are being lost", () => {
  const notice = retentionNotice(record(25 * hourMs), dayMs);
  assert.equal(notice?.lost, true);
  assert.match(notice?.message ?? "", /Auth0 is deleting events/);
});
