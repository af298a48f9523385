import assert from "node:assert/strict";
import { afterEach, describe, it, mock } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ExportError } from "../src/core/errors.ts";
import type { Page } from "../src/core/types.ts";
import { execute } from "../src/execute.ts";
import { systemClock } from "../src/lib/clock.ts";
import { createMachine } from "./support/machine.ts";
import { nothing, openOperation, pipelineOf } from "./support/operation.ts";
import { event } from "./support/world.ts";

const minute = 60_000;
const start = "2026-06-15T12:00:00Z";

afterEach(() => {
  mock.timers.reset();
});

/** Waits until the run has ended, moving the machine's clocks. */
async function endOf<T>(
  machine: ReturnType<typeof createMachine>,
  run: Promise<T>,
  mostMs: number,
): Promise<T> {
  const beginMs = machine.steadyMs();
  const state = { done: false };
  void run.finally(() => {
    state.done = true;
  });
  while (!state.done && machine.steadyMs() - beginMs < mostMs) await machine.advance(10_000);
  assert.ok(state.done, `still running after ${mostMs / minute} minutes`);
  return run;
}

describe("a run", () => {
  it("is in the history, in the log and in the report", async () => {
    await using operation = await openOperation(systemClock);
    const { pipeline } = pipelineOf(operation, 25);
    const record = await execute(pipeline, "schedule", operation.around);
    assert.equal(record.outcome, "succeeded");
    const [stored] = await operation.store.runs({ limit: 5 });
    assert.deepEqual(stored, { ...record, id: stored?.id, trigger: "schedule", reportedAtMs: null });
    assert.deepEqual(operation.reported, [stored]);
    assert.equal(operation.lines.length, 1);
    assert.partialDeepStrictEqual(operation.lines[0], {
      level: "info",
      pipeline: "test",
      trigger: "schedule",
      outcome: "succeeded",
      read: 25,
      delivered: 25,
      batches: 3,
      lagMs: 0,
      from: null,
      to: event(25).id,
      msg: "run succeeded: 25 of 25 events delivered",
    });
  });

  it("is recorded as running, with the checkpoint before it, while it runs", async () => {
    await using operation = await openOperation(systemClock);
    await execute(pipelineOf(operation, 10).pipeline, "start", operation.around);
    const gate = Promise.withResolvers<void>();
    const send = () => gate.promise.then(() => ({ rejected: [], unsent: [] }));
    const { pipeline } = pipelineOf(operation, 20, { destination: { send, check: async () => [] } });
    const running = execute(pipeline, "schedule", operation.around);
    await nextTurn();
    assert.partialDeepStrictEqual((await operation.store.runs({ limit: 1 }))[0], {
      outcome: "running",
      trigger: "schedule",
      from: event(10).id,
      endedAtMs: null,
    });
    gate.resolve();
    assert.equal((await running).counts.delivered, 10);
  });

  it("that fails is an error in the log, with the kind and the batch", async () => {
    await using operation = await openOperation(systemClock);
    const send = () => Promise.reject(new ExportError("permanent", "refused with hunter2"));
    const { pipeline } = pipelineOf(operation, 25, { destination: { send, check: async () => [] } });
    const record = await execute(pipeline, "schedule", operation.around);
    assert.equal(record.error?.message, "refused with [redacted]");
    assert.partialDeepStrictEqual(operation.lines.at(-1), {
      level: "error",
      kind: "permanent",
      firstId: event(1).id,
      lastId: event(10).id,
      msg: "run failed: refused with [redacted]",
    });
    const [stored] = await operation.store.runs({ limit: 1 });
    assert.doesNotMatch(JSON.stringify([stored, operation.reported]), /hunter2/);
  });

  it("tells of its notices in the log: an error when events are lost, else a warning", async () => {
    await using operation = await openOperation(systemClock);
    async function* read(): AsyncGenerator<Page> {
      yield {
        events: [event(1)],
        cursor: event(1).id,
        notices: [
          { kind: "gap", lost: true, message: "lost hunter2" },
          { kind: "start", lost: false, message: "moved" },
        ],
      };
    }
    const { pipeline } = pipelineOf(operation, 0);
    const source = { ...pipeline.source, read };
    const record = await execute({ ...pipeline, source }, "schedule", operation.around);
    assert.deepEqual(
      operation.lines.slice(0, 2).map(({ level, msg }) => [level, msg]),
      [
        ["error", "lost hunter2"],
        ["warn", "moved"],
      ],
    );
    assert.deepEqual(
      record.notices.map(({ message }) => message),
      ["lost [redacted]", "moved"],
    );
  });

  it("tells of each wait before events are sent again", async (t) => {
    const machine = createMachine(t, start);
    await using operation = await openOperation(machine.clock);
    let sends = 0;
    const send = async () => {
      if (++sends < 3) throw new ExportError("transient", "no luck");
      return { rejected: [], unsent: [] };
    };
    const { pipeline } = pipelineOf(operation, 5, { destination: { send, check: async () => [] } });
    const record = await endOf(machine, execute(pipeline, "schedule", operation.around), 5 * minute);
    assert.equal(record.counts.retries, 2);
    assert.deepEqual(
      operation.lines.slice(0, 2).map(({ level, waitMs, msg }) => [level, waitMs, msg]),
      [
        ["warn", 250, "sending again: no luck"],
        ["warn", 500, "sending again: no luck"],
      ],
    );
  });
});

describe("a run that hangs", () => {
  const hanging = {
    "a destination that never answers": (operation: Parameters<typeof pipelineOf>[0]) =>
      pipelineOf(operation, 25, { destination: { send: nothing, check: async () => [] } }).pipeline,
    "a source that never answers": (operation: Parameters<typeof pipelineOf>[0]) => {
      const { pipeline } = pipelineOf(operation, 25);
      const read = () => ({ [Symbol.asyncIterator]: () => ({ next: nothing }) });
      return { ...pipeline, source: { ...pipeline.source, read } };
    },
    "a start position that is never found": (operation: Parameters<typeof pipelineOf>[0]) => {
      const { pipeline } = pipelineOf(operation, 25);
      return { ...pipeline, source: { ...pipeline.source, start: nothing } };
    },
  };

  for (const [name, create] of Object.entries(hanging)) {
    it(`on ${name} and looks at no signal is ended after 15 minutes, and the next one runs`, async (t) => {
      const machine = createMachine(t, start);
      await using operation = await openOperation(machine.clock);
      const run = execute(create(operation), "schedule", operation.around);
      await machine.settle();
      await machine.advance(15 * minute - 30_000);
      assert.equal((await operation.store.runs({ limit: 1 }))[0]?.outcome, "running");
      const record = await endOf(machine, run, minute);
      assert.equal(record.outcome, "failed");
      assert.equal(record.error?.kind, "transient");
      assert.match(record.error?.message ?? "", /no page was read and nothing was committed for 15 minutes/);
      assert.equal(operation.reported.length, 1);
      assert.partialDeepStrictEqual(operation.lines.at(-1), { level: "error", kind: "transient" });

      const next = execute(pipelineOf(operation, 25).pipeline, "schedule", operation.around);
      const after = await endOf(machine, next, minute);
      assert.deepEqual([after.outcome, after.counts.delivered], ["succeeded", 25]);
      const stored = await operation.store.runs({ limit: 5 });
      assert.deepEqual(
        stored.map(({ outcome }) => outcome),
        ["succeeded", "failed"],
      );
    });
  }

  it("keeps what its committed windows delivered", async (t) => {
    const machine = createMachine(t, start);
    await using operation = await openOperation(machine.clock);
    const { pipeline, world } = pipelineOf(operation, 25, { maxBatchesInFlight: 1 });
    const { send } = pipeline.destination;
    const destination = {
      ...pipeline.destination,
      send: (events: Parameters<typeof send>[0], signal: AbortSignal) =>
        events[0]?.id === event(11).id ? nothing() : send(events, signal),
    };
    const run = execute({ ...pipeline, destination }, "schedule", operation.around);
    const record = await endOf(machine, run, 16 * minute);
    assert.deepEqual([record.outcome, record.to, record.counts.delivered], ["failed", event(10).id, 10]);
    assert.equal((await operation.store.checkpoint("test"))?.cursor, event(10).id);
    assert.equal(world.accepted.size, 10);
  });

  it("is not one that is slow: each page read and each window committed counts", async (t) => {
    const machine = createMachine(t, start);
    await using operation = await openOperation(machine.clock);
    const { pipeline } = pipelineOf(operation, 25);
    const { read } = pipeline.source;
    const source = {
      ...pipeline.source,
      async *read(...from: Parameters<typeof read>) {
        for await (const page of read(...from)) {
          await machine.clock.sleep(14 * minute, from[1]);
          yield page;
        }
      },
    };
    const { send } = pipeline.destination;
    const destination = {
      ...pipeline.destination,
      async send(...batch: Parameters<typeof send>) {
        await machine.clock.sleep(14 * minute, batch[1]);
        return send(...batch);
      },
    };
    const run = execute({ ...pipeline, source, destination }, "schedule", operation.around);
    const record = await endOf(machine, run, 120 * minute);
    assert.deepEqual([record.outcome, record.counts.delivered], ["succeeded", 25]);
  });

  it("is not one during which the wall clock was set", async (t) => {
    const machine = createMachine(t, start);
    await using operation = await openOperation(machine.clock);
    const gate = Promise.withResolvers<void>();
    const send = () => gate.promise.then(() => ({ rejected: [], unsent: [] }));
    const { pipeline } = pipelineOf(operation, 5, { destination: { send, check: async () => [] } });
    const run = execute(pipeline, "schedule", operation.around);
    await machine.settle();
    machine.jump(3 * 24 * 60 * minute);
    await machine.advance(5 * minute);
    machine.jump(-3_652 * 24 * 60 * minute);
    await machine.advance(5 * minute);
    gate.resolve();
    assert.equal((await endOf(machine, run, minute)).outcome, "succeeded");
  });

  it("leaves no timer behind", async () => {
    await using operation = await openOperation(systemClock);
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    await execute(pipelineOf(operation, 25).pipeline, "schedule", operation.around);
    assert.equal(timers(), before);
  });
});

describe("an outage of", () => {
  const outage = () => Promise.reject(new ExportError("transient", "the disk is full"));

  for (const method of ["checkpoint", "startRun"] as const) {
    it(`the store at the start of a run (${method}) does not fail the export`, async () => {
      await using operation = await openOperation(systemClock);
      const { pipeline, world } = pipelineOf(operation, 25);
      const store = Object.assign(Object.create(operation.store), { [method]: outage });
      const record = await execute(pipeline, "schedule", { ...operation.around, store });
      assert.equal(record.outcome, "succeeded");
      assert.equal(world.accepted.size, 25);
      assert.deepEqual(
        operation.reported.map(({ id, outcome }) => [id, outcome]),
        [[null, "succeeded"]],
      );
      const { level, msg } = operation.lines[0] ?? {};
      assert.deepEqual([level, msg], ["warn", "the run's start was not recorded: the disk is full"]);
    });
  }

  it("the store at the end of a run does not fail the export", async () => {
    await using operation = await openOperation(systemClock);
    const { pipeline, world } = pipelineOf(operation, 25);
    const store = Object.assign(Object.create(operation.store), { finishRun: outage });
    const record = await execute(pipeline, "schedule", { ...operation.around, store });
    assert.equal(record.outcome, "succeeded");
    assert.equal(world.accepted.size, 25);
    assert.equal(operation.reported.length, 1);
    const { level, msg } = operation.lines.at(-1) ?? {};
    assert.deepEqual([level, msg], ["warn", "the run's end was not recorded: the disk is full"]);
  });

  it("the reports does not fail the export", async () => {
    await using operation = await openOperation(systemClock);
    const reporter = { report: () => Promise.reject(new Error("no Slack today")) };
    const { pipeline } = pipelineOf(operation, 25);
    const record = await execute(pipeline, "schedule", { ...operation.around, reporter });
    assert.equal(record.outcome, "succeeded");
    assert.equal((await operation.store.runs({ limit: 1 }))[0]?.outcome, "succeeded");
    const { level, msg } = operation.lines.at(-1) ?? {};
    assert.deepEqual([level, msg], ["warn", "the run was not reported: no Slack today"]);
  });
});
