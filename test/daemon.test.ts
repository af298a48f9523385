import assert from "node:assert/strict";
import { afterEach, describe, it, mock, type TestContext } from "node:test";
import cron from "node-cron";
import { ExportError, type ExportErrorKind } from "../src/core/errors.ts";
import type { Pipeline } from "../src/core/run.ts";
import type { LogEvent, SendResult } from "../src/core/types.ts";
import { runDaemon } from "../src/daemon.ts";
import { createShutdown } from "../src/lib/shutdown.ts";
import { createMachine } from "./support/machine.ts";
import { nothing, openOperation, pipelineOf } from "./support/operation.ts";
import { event } from "./support/world.ts";

const second = 1_000;
const minute = 60 * second;

afterEach(() => {
  mock.timers.reset();
});

/** A daemon on a machine at 12:01, with a schedule of every five minutes; it is stopped and awaited at the end. */
async function startDaemon(
  t: TestContext,
  options: {
    readonly pipelines: (operation: Awaited<ReturnType<typeof openOperation>>) => readonly Pipeline[];
    readonly runOnStart?: boolean;
    readonly graceMs?: number;
  },
) {
  const machine = createMachine(t, "2026-06-15T12:01:00Z");
  const operation = await openOperation(machine.clock);
  const signals = ["SIGTERM", "SIGINT"] as const;
  const others = signals.flatMap((signal) => process.listeners(signal));
  const shutdown = createShutdown({ graceMs: options.graceMs ?? 3_600_000, log: operation.around.log });
  const ended: { code: number | null } = { code: null };
  const daemon = runDaemon({
    ...operation.around,
    config: { schedule: "*/5 * * * *", timezone: "UTC", runOnStart: options.runOnStart ?? false },
    pipelines: options.pipelines(operation),
    shutdown,
  }).then((code) => {
    ended.code = code;
    return code;
  });
  await machine.settle();
  return {
    ...operation,
    machine,
    shutdown,
    daemon,
    ended,
    /** Moves the clocks until the daemon has ended. */
    async end(): Promise<number> {
      for (let step = 0; step < 100 && ended.code === null; step++) await machine.advance(5 * second);
      return ended.code ?? assert.fail("the daemon did not end");
    },
    /** Triggers and outcomes of all runs, oldest first. */
    async history(pipeline = "test") {
      const runs = await operation.store.runs({ pipeline, limit: 100 });
      return runs.toReversed().map(({ trigger, outcome }) => `${trigger}: ${outcome}`);
    },
    async [Symbol.asyncDispose]() {
      shutdown.begin("the test ends");
      shutdown.begin("the test ends");
      await machine.settle();
      await daemon;
      for (const signal of signals)
        for (const listener of process.listeners(signal))
          if (!others.includes(listener)) process.off(signal, listener);
      await operation[Symbol.asyncDispose]();
    },
  };
}

const accepted: SendResult = { rejected: [], unsent: [] };
/** A destination that does what the function does. */
const sending = (send: (events: readonly LogEvent[], signal: AbortSignal) => Promise<SendResult>) => ({
  destination: { send, check: async () => [] },
});

describe("the daemon", () => {
  it("runs each pipeline at each slot, and not at the start unless told to", async (t) => {
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => ["one", "two"].map((name) => pipelineOf(operation, 25, { name }).pipeline),
    });
    assert.deepEqual(await daemon.history("one"), []);
    await daemon.machine.advance(10 * minute);
    for (const name of ["one", "two"]) {
      assert.deepEqual(await daemon.history(name), ["schedule: succeeded", "schedule: succeeded"]);
    }
    const started = daemon.lines.find(({ msg }) => msg === "started");
    assert.deepEqual(started?.next, "2026-06-15T12:05:00.000Z");
    assert.deepEqual(started?.pipelines, ["one", "two"]);
  });

  it("runs at the start when told to", async (t) => {
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => [pipelineOf(operation, 25).pipeline],
      runOnStart: true,
    });
    assert.deepEqual(await daemon.history(), ["start: succeeded"]);
  });

  it("leaves a pipeline alone that is still running, and the others go on", async (t) => {
    const gate = Promise.withResolvers<SendResult>();
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => [
        pipelineOf(operation, 5, { name: "slow", ...sending(() => gate.promise) }).pipeline,
        pipelineOf(operation, 5, { name: "fast" }).pipeline,
      ],
      runOnStart: true,
    });
    await daemon.machine.advance(11 * minute);
    assert.deepEqual(await daemon.history("slow"), ["start: running"]);
    assert.equal((await daemon.history("fast")).length, 3);
    const dropped = daemon.lines.filter(({ msg }) => msg.includes("the run before is still under way"));
    assert.deepEqual(
      dropped.map(({ level, pipeline }) => [level, pipeline]),
      [
        ["debug", "slow"],
        ["debug", "slow"],
      ],
    );
    gate.resolve(accepted);
    await daemon.machine.advance(5 * minute);
    assert.deepEqual(await daemon.history("slow"), ["start: succeeded", "schedule: succeeded"]);
  });

  it("ends a run that hangs after 15 minutes, and runs the pipeline again at the next slot", async (t) => {
    let sends = 0;
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => [
        pipelineOf(
          operation,
          5,
          sending(() => (++sends === 1 ? nothing() : Promise.resolve(accepted))),
        ).pipeline,
      ],
      runOnStart: true,
    });
    await daemon.machine.advance(14 * minute);
    assert.deepEqual(await daemon.history(), ["start: running"]);
    await daemon.machine.advance(6 * minute);
    assert.deepEqual(await daemon.history(), ["start: failed", "schedule: succeeded"]);
    assert.equal(daemon.reported[0]?.error?.kind, "transient");
  });

  it("makes up for missed slots with one run, and tells that the clock was set", async (t) => {
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => [pipelineOf(operation, 5).pipeline],
    });
    daemon.machine.jump(24 * 60 * minute);
    await daemon.machine.advance(minute);
    assert.deepEqual(await daemon.history(), ["catch-up: succeeded"]);
    const jump = daemon.lines.find(({ msg }) => msg.startsWith("the wall clock was set"));
    assert.deepEqual([jump?.level, jump?.jumpMs], ["warn", 24 * 60 * minute]);
    await daemon.machine.advance(5 * minute);
    assert.deepEqual(await daemon.history(), ["catch-up: succeeded", "schedule: succeeded"]);
  });
});

describe("a failed run", () => {
  const failing = (kind: ExportErrorKind) =>
    sending(() =>
      Promise.reject(kind === "bug" ? new TypeError("x is undefined") : new ExportError(kind, kind)),
    );

  for (const [kind, code] of [
    ["config", 2],
    ["bug", 70],
  ] as const) {
    it(`ends the daemon with ${code} when it is ${kind}, after its report`, async (t) => {
      await using daemon = await startDaemon(t, {
        pipelines: (operation) => [pipelineOf(operation, 5, failing(kind)).pipeline],
        runOnStart: true,
      });
      assert.equal(await daemon.end(), code);
      assert.deepEqual(await daemon.history(), ["start: failed"]);
      assert.equal(daemon.reported[0]?.error?.kind, kind);
      assert.ok(daemon.lines.some(({ msg }) => msg.includes(`pipeline test cannot go on (${kind})`)));
    });
  }

  for (const kind of ["auth", "permanent", "transient", "conflict", "rate_limited"] as const) {
    it(`keeps the daemon up when it is ${kind}, and the next slot runs again`, async (t) => {
      await using daemon = await startDaemon(t, {
        pipelines: (operation) => [pipelineOf(operation, 5, failing(kind)).pipeline],
        runOnStart: true,
      });
      await daemon.machine.advance(7 * minute);
      assert.equal(daemon.ended.code, null);
      assert.deepEqual(await daemon.history(), ["start: failed", "schedule: failed"]);
      assert.equal(daemon.reported.length, 2);
    });
  }

  it("that ends the daemon lets the windows of the others finish, even when two fail", async (t) => {
    const failure = Promise.withResolvers<never>();
    const gate = Promise.withResolvers<SendResult>();
    const signals: AbortSignal[] = [];
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => [
        ...["a", "b"].map(
          (name) => pipelineOf(operation, 5, { name, ...sending(() => failure.promise) }).pipeline,
        ),
        pipelineOf(operation, 5, {
          name: "c",
          ...sending((_, signal) => {
            signals.push(signal);
            return gate.promise;
          }),
        }).pipeline,
      ],
      runOnStart: true,
    });
    failure.reject(new ExportError("config", "wrong"));
    await daemon.machine.advance(minute);
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [false],
    );
    gate.resolve(accepted);
    assert.equal(await daemon.end(), 2);
    assert.deepEqual(await daemon.history("b"), ["start: failed"]);
    assert.deepEqual(await daemon.history("c"), ["start: stopped"]);
    assert.equal((await daemon.store.checkpoint("c"))?.cursor, event(5).id);
  });
});

describe("stopping the daemon", () => {
  it("lets the window in flight finish and commit, begins nothing new, and ends with 0", async (t) => {
    const gate = Promise.withResolvers<SendResult>();
    let sends = 0;
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => [
        pipelineOf(operation, 60, {
          maxBatchesInFlight: 2,
          ...sending(() => {
            sends++;
            return gate.promise;
          }),
        }).pipeline,
      ],
      runOnStart: true,
    });
    const inFlight = sends;
    daemon.shutdown.begin("SIGTERM");
    await daemon.machine.advance(10 * minute);
    assert.equal(daemon.ended.code, null, "the window is still in flight");
    gate.resolve(accepted);
    assert.equal(await daemon.end(), 0);
    assert.equal(sends, inFlight);
    assert.deepEqual(await daemon.history(), ["start: stopped"]);
    assert.equal((await daemon.store.checkpoint("test"))?.cursor, event(10 * inFlight).id);
    assert.equal(daemon.reported[0]?.error, null);
  });

  for (const [name, cancel] of [
    ["a second signal", (shutdown: { begin(reason: string): void }) => shutdown.begin("SIGTERM")],
    ["three quarters of the grace period", () => {}],
  ] as const) {
    it(`cancels what is under way at ${name}, and commits nothing`, async (t) => {
      await using daemon = await startDaemon(t, {
        pipelines: (operation) => [pipelineOf(operation, 5, sending(nothing)).pipeline],
        runOnStart: true,
        graceMs: 100 * second,
      });
      daemon.shutdown.begin("SIGTERM");
      await daemon.machine.advance(70 * second);
      assert.equal(daemon.ended.code, null);
      cancel(daemon.shutdown);
      await daemon.machine.advance(10 * second);
      assert.equal(daemon.ended.code, 0);
      assert.deepEqual(await daemon.history(), ["start: stopped"]);
      assert.equal((await daemon.store.checkpoint("test"))?.cursor, "", "only the start position is stored");
      const warnings = daemon.lines.filter(({ level }) => level === "warn");
      assert.match(warnings.map(({ msg }) => msg).join(), /may be sent again at the next start$/);
    });
  }

  it("while nothing runs ends at once, and no slot runs after it", async (t) => {
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => [pipelineOf(operation, 5).pipeline],
    });
    const schedules = cron.getTasks().size;
    daemon.shutdown.begin("SIGTERM");
    assert.equal(await daemon.end(), 0);
    assert.equal(cron.getTasks().size, schedules - 1);
    await daemon.machine.advance(20 * minute);
    assert.deepEqual(await daemon.history(), []);
    assert.equal(daemon.lines.at(-1)?.msg, "stopped");
  });

  it("before it began runs nothing", async (t) => {
    await using daemon = await startDaemon(t, {
      pipelines: (operation) => {
        process.emit("SIGTERM");
        return [pipelineOf(operation, 5).pipeline];
      },
      runOnStart: true,
    });
    assert.equal(await daemon.end(), 0);
    assert.deepEqual(await daemon.history(), []);
  });
});
