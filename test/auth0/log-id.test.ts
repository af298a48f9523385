import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  cursorAt,
  cursorBefore,
  isAfter,
  oldestCursor,
  readCursor,
  timeOfId,
} from "../../src/auth0/log-id.ts";
import { eventId } from "../../src/demo/events.ts";

const anyTimeMs = fc.integer({ min: Date.UTC(2015, 0, 1), max: Date.UTC(2099, 11, 31) });

test("a cursor made from a time is below every event of that millisecond and above all before it", () => {
  fc.assert(
    fc.property(anyTimeMs, fc.integer({ min: 1, max: 1e12 }), (timeMs, sequence) => {
      const cursor = cursorAt(timeMs);
      assert.equal(cursor.length, 56);
      assert.equal(timeOfId(cursor), timeMs);
      assert.ok(eventId(timeMs, sequence) > cursor);
      assert.ok(eventId(timeMs - 1, sequence) < cursor);
      assert.ok(readCursor(cursor).synthetic);
      assert.ok(!readCursor(eventId(timeMs, sequence)).synthetic);
    }),
  );
});

test("IDs give back the time at which Auth0 recorded them, older prefixes included; other layouts give none", () => {
  const id = "90020240102030405678000000000000000000000000000000000001";
  assert.equal(timeOfId(id), Date.UTC(2024, 0, 2, 3, 4, 5, 678));
  assert.equal(timeOfId(id.replace(/^900/, "800")), Date.UTC(2024, 0, 2, 3, 4, 5, 678));
  assert.equal(timeOfId("abc1234567890"), null);
  assert.equal(timeOfId("49574419589858254662358307566469418022270857965582942242"), null);
  assert.equal(timeOfId(id.slice(1)), null);
});

test("the oldest cursor is below every event", () => {
  fc.assert(fc.property(anyTimeMs, (timeMs) => assert.ok(eventId(timeMs, 1) > oldestCursor)));
});

test("a cursor before an event names that event and says that it is still to be read", () => {
  const id = eventId(Date.UTC(2026, 0, 1), 5);
  assert.deepEqual(readCursor(cursorBefore(id)), { id, inclusive: true, synthetic: false });
  assert.equal(isAfter(cursorBefore(id), id), false);
  assert.equal(isAfter(eventId(Date.UTC(2026, 0, 1), 6), cursorBefore(id)), true);
});
