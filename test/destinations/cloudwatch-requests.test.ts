import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { LogEvent } from "../../src/core/types.ts";
import { judge } from "../../src/destinations/cloudwatch/rejected.ts";
import {
  type Entry,
  encodeRequest,
  splitRequests,
  toEntries,
} from "../../src/destinations/cloudwatch/requests.ts";
import { openCloudWatch } from "../support/cloudwatch.ts";

const dayMs = 86_400_000;
const nowMs = Date.UTC(2026, 5, 1);

const eventOf = (number: number, timeMs: number, raw: string): LogEvent => ({
  id: String(number),
  type: "s",
  timeMs,
  raw,
  data: {},
});
const entriesOf = (events: readonly LogEvent[]) =>
  toEntries(events, { oldEvents: "dead-letter", nowMs }).entries;

/** Events whose times lie days apart and whose texts take one to four bytes a character. */
const events = fc
  .array(
    fc.record({
      timeMs: fc.integer({ min: nowMs - 4 * dayMs, max: nowMs }),
      text: fc.constantFrom("a", "é", "日", "🙂"),
      chars: fc.oneof(
        { weight: 4, arbitrary: fc.integer({ min: 1, max: 50 }) },
        fc.integer({ min: 1, max: 240_000 }),
      ),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((list) => list.map(({ timeMs, text, chars }, index) => eventOf(index, timeMs, text.repeat(chars))));

describe("requests", () => {
  test("keep every limit, carry every event once, and are no smaller than they need to be", () => {
    fc.assert(
      fc.property(events, (list) => {
        const requests = splitRequests(entriesOf(list));
        const sorted = list.toSorted((a, b) => a.timeMs - b.timeMs);
        assert.deepEqual(
          requests.flat().map(({ event }) => event),
          sorted,
        );
        const bytesOf = (request: readonly Entry[]) =>
          request.reduce((sum, { event }) => sum + new TextEncoder().encode(event.raw).length + 26, 0);
        const spanOf = (request: readonly Entry[]) => request.at(-1)!.timestampMs - request[0]!.timestampMs;
        for (const [index, request] of requests.entries()) {
          assert.ok(request.length > 0);
          assert.ok(bytesOf(request) <= 1_048_576);
          assert.ok(spanOf(request) < dayMs);
          const next = requests[index + 1]?.[0];
          if (next) assert.ok(bytesOf([...request, next]) > 1_048_576 || spanOf([...request, next]) >= dayMs);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("hold at most 10,000 events", () => {
    const list = Array.from({ length: 25_000 }, (_, index) => eventOf(index, nowMs, "{}"));
    assert.deepEqual(
      splitRequests(entriesOf(list)).map(({ length }) => length),
      [10_000, 10_000, 5_000],
    );
  });

  test("start anew at exactly 24 hours, and not a millisecond before", () => {
    const list = [0, dayMs - 1, dayMs].map((timeMs, index) => eventOf(index, nowMs + timeMs, "{}"));
    assert.deepEqual(
      splitRequests(entriesOf(list)).map(({ length }) => length),
      [2, 1],
    );
  });

  test("fill the byte limit to the last byte", () => {
    const half = 1_048_576 / 2 - 26;
    const list = [half, half, 1].map((chars, index) => eventOf(index, nowMs, "a".repeat(chars)));
    assert.deepEqual(
      splitRequests(entriesOf(list)).map(({ length }) => length),
      [2, 1],
    );
  });

  test("are the JSON that the service reads, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (raw) => {
        const body = encodeRequest("g", "s", [
          { event: eventOf(0, nowMs, raw), timestampMs: nowMs, bytes: 0 },
        ]);
        assert.deepEqual(JSON.parse(body.toString()), {
          logGroupName: "g",
          logStreamName: "s",
          logEvents: [{ timestamp: nowMs, message: raw }],
        });
      }),
    );
  });

  test("are accepted by the service, every event exactly once", async () => {
    await using cloud = await openCloudWatch({}, { now: () => nowMs });
    const { signal } = new AbortController();
    await fc.assert(
      fc.asyncProperty(events, async (list) => {
        const before = cloud.standIn.events().length;
        assert.deepEqual(await cloud.destination.send(list, signal), { rejected: [], unsent: [] });
        const texts = cloud.standIn.events().slice(before);
        const sorted = list.toSorted((a, b) => a.timeMs - b.timeMs);
        assert.deepEqual(
          texts,
          sorted.map(({ timeMs, raw }) => ({ timestamp: timeMs, message: raw })),
        );
        assert.ok(cloud.standIn.requests.every(({ status }) => status === 200));
      }),
      { numRuns: 25 },
    );
  });
});

/** Ways to tell which of the ordered events were refused; the documentation leaves room for each. */
const dialects = {
  exclusive: (old: number, newStart: number) => ({ end: old, newStart }),
  inclusive: (old: number, newStart: number) => ({ end: old - 1, newStart }),
};

describe("events refused inside an answer", () => {
  const offsets = fc.array(fc.integer({ min: -20 * dayMs, max: 3 * dayMs }), { minLength: 1, maxLength: 12 });
  for (const [name, dialect] of Object.entries(dialects)) {
    for (const index of ["tooOldLogEventEndIndex", "expiredLogEventEndIndex"] as const) {
      test(`none is taken for accepted, and none for refused that was not (${index} ${name})`, () => {
        fc.assert(
          fc.property(offsets, (list) => {
            const keptDays = index === "expiredLogEventEndIndex" ? 3 : 14;
            const isOld = ({ timestampMs }: Entry) => timestampMs < nowMs - keptDays * dayMs;
            const isNew = ({ timestampMs }: Entry) => timestampMs > nowMs + 2 * 3_600_000;
            const answer = (request: readonly Entry[]) => {
              const old = request.filter(isOld).length;
              const firstNew = request.length - request.filter(isNew).length;
              const { end, newStart } = dialect(old, firstNew);
              const info = {
                ...(old > 0 && { [index]: end }),
                ...(newStart < request.length && { tooNewLogEventStartIndex: newStart }),
              };
              return judge(request, Object.keys(info).length > 0 ? info : undefined, nowMs, "g");
            };
            const entries = list
              .toSorted((a, b) => a - b)
              .map((offset, number) => ({
                event: eventOf(number, nowMs + offset, "{}"),
                timestampMs: nowMs + offset,
                bytes: 28,
              }));
            const first = answer(entries);
            const alone = first.doubtful.map((entry) => answer([entry]));
            assert.ok(alone.every(({ doubtful }) => doubtful.length === 0));
            const rejected = [...first.rejected, ...alone.flatMap((verdict) => verdict.rejected)];
            const expected = entries
              .filter((entry) => isOld(entry) || isNew(entry))
              .map(({ event }) => event);
            assert.deepEqual(new Set(rejected.map(({ event }) => event)), new Set(expected));
            assert.equal(rejected.length, expected.length);
            // One event at the edge may be sent twice; when nothing was refused, none is.
            assert.ok(first.doubtful.length <= 2);
            if (expected.length === 0) assert.deepEqual(first, { rejected: [], doubtful: [] });
          }),
        );
      });
    }
  }

  test("an answer without indices means that nothing was refused", () => {
    const [entry] = entriesOf([eventOf(0, nowMs, "{}")]);
    assert.deepEqual(judge([entry!], {}, nowMs, "g"), { rejected: [], doubtful: [] });
    assert.deepEqual(judge([entry!], undefined, nowMs, "g"), { rejected: [], doubtful: [] });
  });
});
