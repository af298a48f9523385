import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ExportError } from "../../src/core/errors.ts";
import { type Pipeline, type RunOptions, run } from "../../src/core/run.ts";
import type { LogEvent, Notice, Position, SendResult } from "../../src/core/types.ts";
import { createWorld, event, type Fault } from "../support/world.ts";

const stopping = new DOMException("the program is stopping", "AbortError");
const accepted: SendResult = { rejected: [], unsent: [] };

/** A world of so many events, in pages and batches of ten, with four batches in flight. */
function worldOf(count: number, faults: readonly Fault[] = [], window = 4) {
  const events = Array.from({ length: count }, (_, index) => event(index + 1));
  return createWorld({ events, pageSize: 10, batchSize: 10, window, faults });
}

function signals() {
  const [stop, abort] = [new AbortController(), new AbortController()];
  const options: RunOptions = { stop: stop.signal, abort: abort.signal };
  return { stop, abort, options };
}

/** A destination that hands each batch to the function. */
const sending = (send: (batch: readonly LogEvent[], signal: AbortSignal) => Promise<SendResult>) => ({
  destination: { send, check: async () => [] },
});
const first = (batch: readonly LogEvent[]) => batch[0]?.timeMs ?? 0;

async function settle() {
  for (let turn = 0; turn < 50; turn++) await nextTurn();
}

/** Waits until the condition holds. */
async function turnsUntil(condition: () => boolean) {
  for (let turn = 0; turn < 10_000 && !condition(); turn++) await nextTurn();
  assert.ok(condition(), String(condition));
}

/** The pipeline with a first batch that is not done before so many pages were read: the window behind it is full then. */
function withFullWindow(pipeline: Pipeline, pages: number): Pipeline {
  let read = 0;
  const source: Pipeline["source"] = {
    ...pipeline.source,
    async *read(after, signal) {
      for await (const page of pipeline.source.read(after, signal)) {
        read++;
        yield page;
      }
    },
  };
  const { destination } = sending(async (batch, signal) => {
    if (first(batch) === 1) await turnsUntil(() => read === pages);
    await settle();
    return pipeline.destination.send(batch, signal);
  });
  return { ...pipeline, source, destination };
}

describe("a run", () => {
  it("drains the pipeline from its checkpoint, and records what it did", async () => {
    const world = worldOf(25);
    const before = await run(world.pipeline(), signals().options);
    assert.deepEqual(before, {
      pipeline: "test",
      outcome: "succeeded",
      startedAtMs: before.startedAtMs,
      endedAtMs: world.clock.now(),
      from: null,
      to: event(25).id,
      counts: { read: 25, filtered: 0, delivered: 25, rejected: 0, skipped: 0, batches: 3, retries: 0 },
      lagMs: 0,
      error: null,
      notices: [],
      unknownTypes: {},
    });
    const after = await run(world.pipeline(), signals().options);
    assert.deepEqual([after.from, after.to, after.counts.read], [event(25).id, event(25).id, 0]);
  });

  it("commits after the whole window is delivered, and never before", async () => {
    const world = worldOf(60, [], 3);
    const trace: string[] = [];
    const pipeline = world.pipeline();
    const { send } = pipeline.destination;
    const { commit } = pipeline.store;
    await run(
      {
        ...pipeline,
        ...sending(async (batch, signal) => {
          trace.push(`send ${first(batch)}`);
          // The first of a window is the last to be done.
          for (let turn = first(batch); turn < 70; turn++) await nextTurn();
          const result = await send(batch, signal);
          trace.push(`done ${first(batch)}`);
          return result;
        }),
        store: {
          ...pipeline.store,
          commit: (name, epoch, next) => {
            trace.push(`commit ${Number(next.cursor.slice(3))}`);
            return commit(name, epoch, next);
          },
        },
      },
      signals().options,
    );
    const open = new Set<number>();
    for (const line of trace) {
      const [what, at] = line.split(" ");
      if (what === "send") open.add(Number(at));
      if (what === "done") open.delete(Number(at));
      if (what === "commit") assert.deepEqual([...open], [], trace.join("\n"));
    }
    assert.ok(trace.filter((line) => line.startsWith("commit")).length < 8, "windows have several batches");
    assert.equal(world.accepted.size, 60);
  });

  it("sends one batch at a time while that keeps pace, and at most the window when it does not", async () => {
    const world = worldOf(300, [], 5);
    const pipeline = world.pipeline();
    const state = { open: 0, most: 0 };
    await run(
      {
        ...pipeline,
        ...sending(async () => {
          state.most = Math.max(state.most, ++state.open);
          for (let turn = 0; turn < 30; turn++) await nextTurn();
          state.open--;
          return accepted;
        }),
        store: { claim: pipeline.store.claim, commit: async () => {} },
      },
      signals().options,
    );
    assert.equal(state.most, 5);
  });

  it("tells of progress at each page and each window", async () => {
    const world = worldOf(30, [], 1);
    let progress = 0;
    await run(world.pipeline(), { ...signals().options, onProgress: () => progress++ });
    assert.equal(progress, 3 + 3);
  });

  it("says when the log was last known to be complete, and only when it was", async () => {
    const world = worldOf(25, [], 1);
    await run(world.pipeline(), signals().options);
    assert.deepEqual(
      world.commits.map(({ drainedAtMs }) => drainedAtMs),
      [null, null, null, null, world.clock.now()],
    );
    let position: Position | null = null;
    const pipeline = world.pipeline();
    const read: Pipeline["source"]["read"] = (after, signal) => {
      position = after;
      return pipeline.source.read(after, signal);
    };
    await run({ ...pipeline, source: { ...pipeline.source, read } }, signals().options);
    assert.deepEqual(position, { cursor: event(25).id, confirmedAtMs: world.clock.now() });
  });

  it("names at most 50 unknown types, and counts the others together", async () => {
    const events = Array.from({ length: 140 }, (_, index) => event(index + 1, `type${index % 70}`));
    const world = createWorld({ events, pageSize: 100, batchSize: 100, window: 2, faults: [] });
    const record = await run(world.pipeline({ isKnownType: (code) => code === "type0" }), signals().options);
    const { "(others)": others, ...named } = record.unknownTypes;
    assert.equal(Object.keys(named).length, 50);
    assert.deepEqual(new Set(Object.values(named)), new Set([2]));
    assert.equal(others, 2 * 69 - 100);
    assert.equal(named.type0, undefined);
  });
});

describe("stopping a run", () => {
  it("lets the window in flight finish and commit, and sends nothing more", async () => {
    const world = worldOf(100, [], 2);
    const { stop, options } = signals();
    const pipeline = world.pipeline();
    const gate = Promise.withResolvers<void>();
    const sent: number[] = [];
    const running = run(
      {
        ...pipeline,
        ...sending(async (batch, signal) => {
          sent.push(first(batch));
          await gate.promise;
          return pipeline.destination.send(batch, signal);
        }),
      },
      options,
    );
    await settle();
    stop.abort(stopping);
    await settle();
    gate.resolve();
    const record = await running;
    assert.deepEqual([record.outcome, record.error], ["stopped", null]);
    assert.equal(record.to, event(10 * sent.length).id);
    assert.equal(world.checkpoint().cursor, record.to);
    assert.equal(record.counts.delivered, 10 * sent.length);
    assert.equal(record.lagMs, world.clock.now() - 10 * sent.length);
    assert.equal(world.commits.at(-1)?.drainedAtMs, null, "a stopped run did not reach the end");
  });

  it("before it began reads and sends nothing", async () => {
    const world = worldOf(10);
    const { stop, options } = signals();
    stop.abort(stopping);
    const record = await run(world.pipeline(), options);
    assert.equal(record.outcome, "stopped");
    assert.deepEqual([world.commits.length, world.sends()], [0, 0]);
  });

  for (const part of ["start", "read"] as const) {
    it(`does not wait for a source that never answers (${part})`, { timeout: 5_000 }, async () => {
      const { stop, options } = signals();
      const pipeline = worldOf(10).pipeline();
      const next = () => new Promise<never>(() => {});
      const hanging = { start: next, read: () => ({ [Symbol.asyncIterator]: () => ({ next }) }) };
      const source = { ...pipeline.source, [part]: hanging[part] };
      const running = run({ ...pipeline, source }, options);
      await settle();
      stop.abort(stopping);
      assert.deepEqual([(await running).outcome, (await running).error], ["stopped", null]);
    });
  }
});

describe("aborting a run", () => {
  it("commits nothing more, and the next run sends the window again", async () => {
    const world = worldOf(30, [], 1);
    const { abort, options } = signals();
    const pipeline = world.pipeline();
    const hanging = sending(async (batch, signal) => {
      if (first(batch) === 11) {
        await pipeline.destination.send(batch, signal);
        abort.abort(stopping);
      }
      return pipeline.destination.send(batch, signal);
    });
    const record = await run({ ...pipeline, ...hanging }, options);
    assert.deepEqual([record.outcome, record.error, record.to], ["stopped", null, event(10).id]);
    assert.equal(world.checkpoint().cursor, event(10).id);
    assert.equal(record.counts.delivered, 10);
    const next = await run(world.pipeline(), signals().options);
    assert.deepEqual([next.outcome, next.counts.delivered], ["succeeded", 20]);
    assert.equal(world.accepted.size, 30);
  });

  it("commits nothing of a window in which only some batches are delivered", async () => {
    const world = worldOf(40);
    const { abort, options } = signals();
    const pipeline = withFullWindow(world.pipeline(), 4);
    const partly = sending((batch, signal) =>
      first(batch) === 21 ? new Promise(() => {}) : pipeline.destination.send(batch, signal),
    );
    const running = run({ ...pipeline, ...partly }, options);
    await turnsUntil(() => world.accepted.has(event(11).id) && world.accepted.has(event(31).id));
    await settle();
    abort.abort(stopping);
    const record = await running;
    assert.deepEqual([record.outcome, record.to], ["stopped", event(10).id]);
    assert.equal(world.checkpoint().cursor, event(10).id);
  });

  it("ends at once although the destination never answers", { timeout: 5_000 }, async () => {
    const world = worldOf(10);
    const { abort, options } = signals();
    const pipeline = world.pipeline(sending(() => new Promise(() => {})));
    const running = run(pipeline, options);
    await settle();
    abort.abort(stopping);
    assert.equal((await running).outcome, "stopped");
    assert.equal(world.checkpoint().cursor, "");
  });

  it("for a reason that people must hear of is a failure", async () => {
    const world = worldOf(10);
    const { abort, options } = signals();
    const running = run(world.pipeline(sending(() => new Promise(() => {}))), options);
    await settle();
    abort.abort(new ExportError("transient", "the run hangs"));
    const record = await running;
    assert.equal(record.outcome, "failed");
    assert.deepEqual(record.error, { kind: "transient", message: "the run hangs" });
  });
});

describe("a failure", () => {
  const failingAt = (sequence: number, pipeline: Pipeline) =>
    sending(async (batch, signal) => {
      if (first(batch) === sequence) throw new ExportError("permanent", "refused");
      return pipeline.destination.send(batch, signal);
    });

  it("of one batch commits what stands before it in the window, and names the batch", async () => {
    const world = worldOf(50, [], 5);
    const pipeline = withFullWindow(world.pipeline(), 5);
    const record = await run({ ...pipeline, ...failingAt(31, pipeline) }, signals().options);
    assert.equal(record.outcome, "failed");
    assert.deepEqual(record.error, {
      kind: "permanent",
      message: "refused",
      batch: { firstId: event(31).id, lastId: event(40).id },
    });
    assert.equal(record.to, event(30).id);
    assert.equal(world.checkpoint().cursor, event(30).id);
    assert.deepEqual([record.counts.read, record.counts.delivered, record.counts.batches], [30, 30, 3]);
    assert.ok(world.accepted.has(event(41).id), "a later batch of the window was delivered already");
    assert.equal(record.lagMs, world.clock.now() - 30);
  });

  it("of the first batch commits nothing", async () => {
    const world = worldOf(20);
    const pipeline = world.pipeline();
    const record = await run({ ...pipeline, ...failingAt(1, pipeline) }, signals().options);
    assert.deepEqual([record.outcome, record.to, record.counts.read], ["failed", "", 0]);
    assert.equal(record.lagMs, null);
  });

  it("of the source comes after what it gave was delivered", async () => {
    // Claim, start, commit; then page, page, and a page that fails, whatever happens in between.
    const world = worldOf(30, [], 1);
    const pipeline = world.pipeline();
    const read: Pipeline["source"]["read"] = async function* (after, signal) {
      let pages = 0;
      for await (const page of pipeline.source.read(after, signal)) {
        if (pages++ === 2) throw new ExportError("auth", "denied");
        yield page;
      }
    };
    const record = await run({ ...pipeline, source: { ...pipeline.source, read } }, signals().options);
    assert.deepEqual([record.outcome, record.error], ["failed", { kind: "auth", message: "denied" }]);
    assert.equal(record.to, event(20).id);
  });

  it("to claim or to commit is the run's, and nothing counts that is not stored", async () => {
    const failed: Fault = { kind: "fail", error: "transient" };
    const unclaimed = await run(worldOf(10, [failed]).pipeline(), signals().options);
    assert.deepEqual(
      [unclaimed.outcome, unclaimed.from, unclaimed.error?.kind],
      ["failed", null, "transient"],
    );
    const world = worldOf(10);
    const pipeline = world.pipeline();
    const commit: Pipeline["store"]["commit"] = (name, epoch, next) =>
      next.startFrom === undefined
        ? Promise.reject(new ExportError("transient", "the disk is full"))
        : pipeline.store.commit(name, epoch, next);
    const record = await run({ ...pipeline, store: { ...pipeline.store, commit } }, signals().options);
    assert.deepEqual([record.outcome, record.to, record.counts.delivered], ["failed", "", 0]);
    assert.equal(world.accepted.size, 10);
  });

  it("that nobody classified is a bug", async () => {
    const pipeline = worldOf(10).pipeline(sending(() => Promise.reject(new TypeError("x is undefined"))));
    const { error } = await run(pipeline, signals().options);
    assert.equal(error?.kind, "bug");
    assert.match(error?.message ?? "", /x is undefined.*please report/);
  });
});

describe("two writers", () => {
  it("the earlier one is fenced: it commits nothing, and its run is a conflict", async () => {
    const world = worldOf(30, [], 1);
    const pipeline = world.pipeline();
    let taken = false;
    const fenced = sending(async (batch, signal) => {
      if (first(batch) === 11 && !taken) {
        taken = true;
        await pipeline.store.claim("test");
      }
      return pipeline.destination.send(batch, signal);
    });
    const record = await run({ ...pipeline, ...fenced }, signals().options);
    assert.deepEqual([record.outcome, record.error?.kind, record.to], ["failed", "conflict", event(10).id]);
    assert.equal(world.checkpoint().cursor, event(10).id);
    assert.equal((await run(world.pipeline(), signals().options)).outcome, "succeeded");
  });

  it("the earlier one is fenced before it stores a start position", async () => {
    const world = worldOf(30);
    const pipeline = world.pipeline();
    const start = async () => {
      await pipeline.store.claim("test");
      return { cursor: "", eventTimeMs: null };
    };
    const record = await run({ ...pipeline, source: { ...pipeline.source, start } }, signals().options);
    assert.equal(record.error?.kind, "conflict");
    assert.equal(world.checkpoint().cursor, null);
  });
});

describe("the start setting", () => {
  /** A pipeline with this setting, whose source starts at the event of that number. */
  const starting = (world: ReturnType<typeof worldOf>, startFrom: string | null) => {
    const pipeline = world.pipeline({ startFrom });
    const asked: string[] = [];
    const start = async (from: string) => {
      asked.push(from);
      const sequence = Number(from.replace("oldest", "0"));
      return { cursor: event(sequence).id, eventTimeMs: sequence };
    };
    return { asked, pipeline: { ...pipeline, source: { ...pipeline.source, start } } };
  };

  it("seeds an absent checkpoint, stored before anything is read", async () => {
    const world = worldOf(30);
    const { pipeline, asked } = starting(world, "12");
    const record = await run(pipeline, signals().options);
    assert.deepEqual(asked, ["12"]);
    assert.deepEqual(world.commits[0], {
      cursor: event(12).id,
      eventTimeMs: 12,
      drainedAtMs: null,
      startFrom: "12",
    });
    assert.deepEqual([record.from, record.counts.read, record.notices], [null, 18, []]);
  });

  it("that is not set is oldest, and setting it to oldest later changes nothing", async () => {
    const world = worldOf(30);
    const unset = starting(world, null);
    await run(unset.pipeline, signals().options);
    assert.deepEqual(unset.asked, ["oldest"]);
    const set = starting(world, "oldest");
    const record = await run(set.pipeline, signals().options);
    assert.deepEqual([set.asked, record.counts.read, record.notices], [[], 0, []]);
  });

  for (const [name, to, read, lost, says] of [
    [
      "back",
      "12",
      13,
      false,
      /from 25 to 12: the checkpoint moved back from \d+; events in between are sent again/,
    ],
    ["forward", "28", 0, true, /moved forward from \d+; events in between are not exported/],
  ] as const) {
    it(`that was changed ${name} is applied once, and people hear of it`, async () => {
      const world = worldOf(25);
      await run(starting(world, "25").pipeline, signals().options);
      const notices: Notice[] = [];
      const changed = starting(world, to);
      const options = { ...signals().options, onNotice: (notice: Notice) => notices.push(notice) };
      const record = await run(changed.pipeline, options);
      assert.equal(record.from, event(25).id);
      assert.equal(record.counts.read, read);
      assert.deepEqual(record.notices, notices);
      assert.deepEqual([notices.length, notices[0]?.kind, notices[0]?.lost], [1, "start", lost]);
      assert.match(notices[0]?.message ?? "", says);
      const again = starting(world, to);
      const after = await run(again.pipeline, signals().options);
      assert.deepEqual([again.asked, after.counts.read, after.notices], [[], 0, []]);
    });
  }

  it("that is unset again moves nothing", async () => {
    const world = worldOf(25);
    await run(starting(world, "12").pipeline, signals().options);
    const unset = starting(world, null);
    const record = await run(unset.pipeline, signals().options);
    assert.deepEqual([unset.asked, record.counts.read], [[], 0]);
  });

  it("that cannot be applied is tried again by the next run", async () => {
    const world = worldOf(25);
    await run(starting(world, "25").pipeline, signals().options);
    const { pipeline } = starting(world, "12");
    const start = () => Promise.reject(new ExportError("auth", "denied"));
    const record = await run({ ...pipeline, source: { ...pipeline.source, start } }, signals().options);
    assert.deepEqual([record.error?.kind, record.to], ["auth", event(25).id]);
    assert.equal((await run(pipeline, signals().options)).counts.read, 13);
  });
});

describe("refused events", () => {
  const refusing = (pipeline: Pipeline, sequences: readonly number[]) =>
    sending(async (batch, signal) => {
      const rejected = batch
        .filter(({ timeMs }) => sequences.includes(timeMs))
        .map((item) => ({ event: item, reason: "too large" }));
      await pipeline.destination.send(
        batch.filter(({ timeMs }) => !sequences.includes(timeMs)),
        signal,
      );
      return { rejected, unsent: [] };
    });

  it("become dead letters in the commit that passes them, and people hear of it", async () => {
    const world = worldOf(30, [], 1);
    const pipeline = world.pipeline();
    const heard: Notice[] = [];
    const options = { ...signals().options, onNotice: (notice: Notice) => heard.push(notice) };
    const record = await run({ ...pipeline, ...refusing(pipeline, [12, 25]) }, options);
    assert.deepEqual([record.outcome, record.counts.rejected, record.counts.delivered], ["succeeded", 2, 28]);
    assert.deepEqual(
      world.commits.flatMap(({ cursor, deadLetters = [] }) =>
        deadLetters.map((letter) => [cursor, letter.event.id, letter.reason]),
      ),
      [
        [event(20).id, event(12).id, "too large"],
        [event(30).id, event(25).id, "too large"],
      ],
    );
    assert.deepEqual(
      record.notices.map(({ kind, lost, message }) => [kind, lost, message.split(":")[0]]),
      [
        [
          "dead-letter",
          false,
          `2 events were refused for good and kept as dead letters, the first one ${event(12).id}`,
        ],
      ],
    );
    assert.equal(heard.length, 1, "the log hears of the first at once");
    assert.match(heard[0]?.message ?? "", /^1 event was refused/);
  });

  it("of a batch behind a failed one are not stored, as that batch is sent again", async () => {
    const world = worldOf(40);
    const pipeline = withFullWindow(world.pipeline(), 4);
    const { destination } = refusing(pipeline, [35]);
    const failing = sending(async (batch, signal) => {
      if (first(batch) === 21) throw new ExportError("permanent", "refused");
      return destination.send(batch, signal);
    });
    const record = await run({ ...pipeline, ...failing }, signals().options);
    assert.deepEqual([record.outcome, record.to], ["failed", event(20).id]);
    assert.deepEqual([record.counts.rejected, record.notices], [0, []]);
    assert.equal(world.deadLetters.size, 0);
    const next = await run({ ...world.pipeline(), ...refusing(world.pipeline(), [35]) }, signals().options);
    assert.deepEqual([next.counts.rejected, next.counts.delivered], [1, 19]);
  });
});

describe("the lag", () => {
  it("is never negative, also for events from the future", async () => {
    const world = worldOf(20, [], 1);
    const pipeline = world.pipeline();
    const future = { ...event(1), timeMs: world.clock.now() + 3_600_000 };
    const read: Pipeline["source"]["read"] = async function* () {
      yield { events: [future], cursor: future.id };
      throw new ExportError("auth", "denied");
    };
    const record = await run(
      { ...pipeline, batchSize: 1, source: { ...pipeline.source, read } },
      signals().options,
    );
    assert.deepEqual([record.outcome, record.to, record.lagMs], ["failed", future.id, 0]);
  });
});
