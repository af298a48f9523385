import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { run } from "../../src/core/run.ts";
import type { RunRecord } from "../../src/core/types.ts";
import { createWorld, event, type Fault } from "../support/world.ts";

const never = new AbortController().signal;
const signals = { stop: never, abort: never };

const anyFault: fc.Arbitrary<Fault> = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Fault>({ kind: "none" }) },
  { weight: 2, arbitrary: fc.constant<Fault>({ kind: "crash" }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("fail" as const, "fail-after" as const),
      error: fc.constantFrom(
        "transient" as const,
        "rate_limited" as const,
        "auth" as const,
        "permanent" as const,
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("partial" as const), accept: fc.nat(5), reject: fc.nat(2) }),
  },
);

const anyWorld = fc.record({
  count: fc.integer({ min: 0, max: 60 }),
  pageSize: fc.integer({ min: 1, max: 12 }),
  batchSize: fc.integer({ min: 1, max: 9 }),
  window: fc.integer({ min: 1, max: 4 }),
  passEvery: fc.integer({ min: 1, max: 4 }),
  faults: fc.array(anyFault, { maxLength: 60 }),
});

test("whatever fails and whenever the process dies: nothing is lost, the cursor passes nothing undone, counts balance", async () => {
  await fc.assert(
    fc.asyncProperty(anyWorld, async ({ count, pageSize, batchSize, window, passEvery, faults }) => {
      const events = Array.from({ length: count }, (_, index) => event(index + 1));
      const accepts = ({ timeMs }: { timeMs: number }) => timeMs % passEvery === 0;
      const world = createWorld({ events, pageSize, batchSize, window, faults, accepts });
      let failures = 0;
      let ambiguous = 0;
      // Each process handles at least one step, so the faults run out.
      for (let processes = 0; processes <= faults.length + 1; processes++) {
        const before = world.checkpoint().cursor;
        const record = await Promise.race([run(world.pipeline(), signals), world.death()]);
        failures++;
        if (!record) continue;
        ambiguous += record.counts.retries;
        assertHonest(record, before, world.checkpoint().cursor, count);
        if (record.outcome === "succeeded" && world.steps() >= faults.length) break;
      }

      for (const item of events) assert.ok(world.isDone(item), `${item.id} was lost`);
      const record = await run(world.pipeline(), signals);
      assert.equal(record.outcome, "succeeded");
      assert.equal(record.counts.read, 0, "a drained pipeline reads nothing again");
      const duplicates = [...world.accepted.values()].reduce((sum, times) => sum + times - 1, 0);
      assert.ok(duplicates <= (failures + ambiguous) * window * batchSize, `${duplicates} duplicates`);
    }),
    { numRuns: 400 },
  );
});

function assertHonest(record: RunRecord, before: string | null, after: string | null, count: number): void {
  const { read, filtered, delivered, rejected, skipped } = record.counts;
  assert.equal(read, filtered + delivered + rejected + skipped);
  const position = (cursor: string | null) => Number(cursor?.slice(3) ?? 0);
  assert.equal(
    read,
    position(record.to) - position(record.from),
    "what was read is what the checkpoint moved over",
  );
  // A commit whose answer was lost is stored although the record knows nothing of it; never the other way round.
  assert.ok(position(record.to) <= position(after), "the record names a checkpoint that is stored");
  assert.ok(position(record.from) >= position(before) || record.from === null);
  assert.notEqual(record.error?.kind, "bug", record.error?.message ?? "");
  if (record.outcome === "succeeded") assert.equal(position(after), count);
}

test("without faults every batch is full but the last, and each event is sent once", async () => {
  await fc.assert(
    fc.asyncProperty(anyWorld, async ({ count, pageSize, batchSize, window, passEvery }) => {
      const events = Array.from({ length: count }, (_, index) => event(index + 1));
      const accepts = ({ timeMs }: { timeMs: number }) => timeMs % passEvery === 0;
      const world = createWorld({ events, pageSize, batchSize, window, faults: [], accepts });
      const record = await run(world.pipeline(), signals);
      const passed = events.filter(accepts).length;
      assert.equal(record.outcome, "succeeded");
      assert.equal(record.counts.batches, Math.ceil(passed / batchSize));
      assert.equal(world.sends(), record.counts.batches);
      assert.equal(record.counts.delivered, passed);
      assert.equal(world.accepted.size, passed);
      assert.equal(record.to, events.at(-1)?.id ?? "", "filtered events move the checkpoint too");
      assert.equal(record.lagMs, 0);
    }),
    { numRuns: 200 },
  );
});
