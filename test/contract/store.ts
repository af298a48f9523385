/** What every Store must do, whatever it stores in. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import type { Clock, Counts, DeadLetter, LogEvent, Progress, RunRecord } from "../../src/core/types.ts";
import { systemClock } from "../../src/lib/clock.ts";
import type { Store } from "../../src/state/store.ts";

/** A place that outlives the stores opened on it. */
interface StorePlace {
  open(clock: Clock): Promise<Store>;
  remove(): Promise<void>;
}

const counts: Counts = {
  read: 7,
  filtered: 1,
  delivered: 3,
  rejected: 2,
  skipped: 1,
  batches: 2,
  retries: 4,
};

function storedEvent(id: string, data: Record<string, unknown> = {}): LogEvent {
  const raw = JSON.stringify({ log_id: id, ...data });
  return { id, type: "fp", timeMs: 1_700_000_000_123, raw, data: JSON.parse(raw) as Record<string, unknown> };
}

export function letter(id: string, reason = "too old"): DeadLetter {
  return { event: storedEvent(id), reason };
}

export function progress(cursor: string, more: Partial<Progress> = {}): Progress {
  return { cursor, eventTimeMs: 1_700_000_000_000, drainedAtMs: null, ...more };
}

export function record(pipeline: string, more: Partial<RunRecord> = {}): RunRecord {
  return {
    pipeline,
    outcome: "succeeded",
    startedAtMs: 1000,
    endedAtMs: 2000,
    from: "a",
    to: "b",
    counts,
    lagMs: 0,
    error: null,
    notices: [],
    unknownTypes: {},
    ...more,
  };
}

export function testStore(name: string, createPlace: () => Promise<StorePlace>): void {
  describe(`${name} is a Store`, () => {
    let nowMs = 1_750_000_000_000;
    const clock: Clock = { ...systemClock, now: () => nowMs };
    let place: StorePlace;
    let store: Store;
    let made = 0;
    /** Every test works on a pipeline of its own. */
    const newPipeline = () => `pipeline-${++made}`;

    before(async () => {
      place = await createPlace();
      store = await place.open(clock);
    });
    after(async () => {
      await store.close();
      await place.remove();
    });

    checkpointTests(
      () => store,
      newPipeline,
      (ms) => {
        nowMs = ms;
      },
    );
    deadLetterTests(() => store, newPipeline);
    runTests(() => store, newPipeline);
    modelTest(() => store, newPipeline);

    test("everything is there after closing, also twice, and opening again", async () => {
      const pipeline = newPipeline();
      const { epoch } = await store.claim(pipeline);
      await store.commit(pipeline, epoch, progress("c1", { deadLetters: [letter("e1")] }));
      const id = await store.startRun({ pipeline, startedAtMs: 1, trigger: "schedule", from: null });
      await store.finishRun(id, record(pipeline));
      const whole = async () => [
        await store.checkpoints(),
        await store.deadLetters({ limit: 1000 }),
        await store.runs({ limit: 1000 }),
      ];
      const stored = await whole();
      await store.close();
      await store.close();
      store = await place.open(clock);
      assert.deepEqual(await whole(), stored);
      assert.equal((await store.claim(pipeline)).epoch, epoch + 1);
    });
  });
}

type Get<T> = () => T;

function checkpointTests(store: Get<Store>, newPipeline: Get<string>, setNow: (ms: number) => void): void {
  test("a pipeline never claimed has no checkpoint; a claim makes one without a cursor", async () => {
    const pipeline = newPipeline();
    assert.equal(await store().checkpoint(pipeline), null);
    assert.equal(await store().removeCheckpoint(pipeline), false);
    assert.equal(await store().checkpoint(pipeline), null);
    setNow(5000);
    const claimed = await store().claim(pipeline);
    assert.deepEqual(claimed, {
      pipeline,
      cursor: null,
      eventTimeMs: null,
      drainedAtMs: null,
      epoch: 1,
      startFrom: null,
      updatedAtMs: 5000,
    });
    assert.deepEqual(await store().checkpoint(pipeline), claimed);
  });

  test("a commit stores all of the progress, and a claim changes nothing but the epoch", async () => {
    const pipeline = newPipeline();
    const { epoch } = await store().claim(pipeline);
    setNow(6000);
    await store().commit(pipeline, epoch, {
      cursor: "c1",
      eventTimeMs: 11,
      drainedAtMs: 12,
      startFrom: "-7d",
    });
    setNow(7000);
    const expected = {
      pipeline,
      cursor: "c1",
      eventTimeMs: 11,
      drainedAtMs: 12,
      epoch: epoch + 1,
      startFrom: "-7d",
      updatedAtMs: 6000,
    };
    assert.deepEqual(await store().claim(pipeline), expected);
    assert.deepEqual(
      (await store().checkpoints()).filter((one) => one.pipeline === pipeline),
      [expected],
    );
  });

  test("a commit without a start setting keeps the one stored; times that are null become null", async () => {
    const pipeline = newPipeline();
    const { epoch } = await store().claim(pipeline);
    await store().commit(pipeline, epoch, progress("c1", { startFrom: "oldest", drainedAtMs: 5 }));
    await store().commit(pipeline, epoch, { cursor: "c2", eventTimeMs: null, drainedAtMs: null });
    const stored = await store().checkpoint(pipeline);
    assert.deepEqual(
      [stored?.cursor, stored?.startFrom, stored?.eventTimeMs, stored?.drainedAtMs],
      ["c2", "oldest", null, null],
    );
  });

  test("a fenced commit throws conflict and stores neither cursor nor dead letters", async () => {
    const pipeline = newPipeline();
    const first = await store().claim(pipeline);
    const second = await store().claim(pipeline);
    await store().commit(pipeline, second.epoch, progress("c1"));
    for (const epoch of [first.epoch, second.epoch + 1])
      await assert.rejects(
        store().commit(pipeline, epoch, progress("c2", { deadLetters: [letter("e1")] })),
        (error: Error) => error.name === "ExportError" && "kind" in error && error.kind === "conflict",
      );
    assert.equal((await store().checkpoint(pipeline))?.cursor, "c1");
    assert.equal(await store().countDeadLetters(pipeline), 0);
  });

  test("a commit for a pipeline that was never claimed is a conflict", async () => {
    await assert.rejects(store().commit(newPipeline(), 1, progress("c1")), { kind: "conflict" });
  });

  test("pipelines do not touch each other", async () => {
    const [one, other] = [newPipeline(), newPipeline()];
    const { epoch } = await store().claim(one);
    await store().setCheckpoint(other, { cursor: "x", eventTimeMs: null });
    await store().setCheckpoint(other, { cursor: "y", eventTimeMs: null });
    await store().commit(one, epoch, progress("c1"));
    assert.equal((await store().checkpoint(one))?.cursor, "c1");
    assert.equal((await store().checkpoint(other))?.cursor, "y");
    assert.deepEqual(
      (await store().checkpoints())
        .map((each) => each.pipeline)
        .filter((each) => [one, other].includes(each)),
      [one, other],
    );
  });

  test("setting a checkpoint begins or moves a pipeline, makes it undrained and fences", async () => {
    const pipeline = newPipeline();
    setNow(8000);
    assert.deepEqual(
      await store().setCheckpoint(pipeline, { cursor: "c5", eventTimeMs: 5, startFrom: "-1d" }),
      {
        pipeline,
        cursor: "c5",
        eventTimeMs: 5,
        drainedAtMs: null,
        epoch: 1,
        startFrom: "-1d",
        updatedAtMs: 8000,
      },
    );
    const { epoch } = await store().claim(pipeline);
    await store().commit(pipeline, epoch, progress("c6", { drainedAtMs: 66 }));
    setNow(9000);
    const moved = await store().setCheckpoint(pipeline, { cursor: "c3", eventTimeMs: null });
    assert.deepEqual(moved, {
      pipeline,
      cursor: "c3",
      eventTimeMs: null,
      drainedAtMs: null,
      epoch: epoch + 1,
      startFrom: "-1d",
      updatedAtMs: 9000,
    });
    assert.deepEqual(await store().checkpoint(pipeline), moved);
    await assert.rejects(store().commit(pipeline, epoch, progress("c7")), { kind: "conflict" });
  });

  test("removing a checkpoint forgets it, fences, and never gives an epoch out twice", async () => {
    const pipeline = newPipeline();
    const { epoch } = await store().claim(pipeline);
    await store().commit(pipeline, epoch, progress("c1", { startFrom: "oldest", drainedAtMs: 1 }));
    assert.equal(await store().removeCheckpoint(pipeline), true);
    const removed = await store().checkpoint(pipeline);
    assert.deepEqual(
      [removed?.cursor, removed?.startFrom, removed?.eventTimeMs, removed?.drainedAtMs],
      [null, null, null, null],
    );
    await assert.rejects(store().commit(pipeline, epoch, progress("c2")), { kind: "conflict" });
    assert.equal(await store().removeCheckpoint(pipeline), false);
    const again = await store().claim(pipeline);
    assert.ok(again.epoch > epoch + 1, "an epoch was given out twice");
    await assert.rejects(store().commit(pipeline, epoch, progress("c2")), { kind: "conflict" });
  });

  test("removing the checkpoint of a run that has not committed yet fences it too", async () => {
    const pipeline = newPipeline();
    const { epoch } = await store().claim(pipeline);
    assert.equal(await store().removeCheckpoint(pipeline), false);
    await assert.rejects(store().commit(pipeline, epoch, progress("c1")), { kind: "conflict" });
  });
}

function deadLetterTests(store: Get<Store>, newPipeline: Get<string>): void {
  test("a dead letter gives back the event exactly", async () => {
    const text = fc.string({ unit: "grapheme" });
    const anyEvent = fc
      .record({
        type: fc.oneof(text, fc.constant("with\0null")),
        timeMs: fc.integer({ min: 0, max: 4e12 }),
        reason: text,
        data: fc.dictionary(text, fc.jsonValue()),
        space: fc.constantFrom("", " "),
      })
      .map(({ data, space, ...rest }) => ({ ...rest, raw: space + JSON.stringify(data) + space }));
    const pipeline = newPipeline();
    const { epoch } = await store().claim(pipeline);
    let afterId = 0;
    let n = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(anyEvent, { minLength: 1, maxLength: 4 }), async (events) => {
        const deadLetters = events.map(({ raw, type, timeMs, reason }) => ({
          event: { id: `e${++n}`, type, timeMs, raw, data: JSON.parse(raw) as Record<string, unknown> },
          reason,
        }));
        await store().commit(pipeline, epoch, progress(`c${n}`, { deadLetters }));
        const stored = await store().deadLetters({ pipeline, limit: 10, afterId });
        afterId = stored.at(-1)?.id ?? 0;
        assert.deepEqual(
          stored.map(({ event, reason }) => ({ event, reason })),
          deadLetters,
        );
      }),
      { numRuns: 50 },
    );
  });

  test("an event refused again replaces its dead letter; another pipeline's stays", async () => {
    const [one, other] = [newPipeline(), newPipeline()];
    for (const pipeline of [one, other]) {
      const { epoch } = await store().claim(pipeline);
      await store().commit(pipeline, epoch, progress("c1", { deadLetters: [letter("e1"), letter("e2")] }));
    }
    const [first] = await store().deadLetters({ pipeline: one, limit: 1 });
    const { epoch } = await store().claim(one);
    await store().commit(one, epoch, progress("c1", { deadLetters: [letter("e1", "too large")] }));
    const stored = await store().deadLetters({ pipeline: one, limit: 10 });
    assert.deepEqual(
      stored.map(({ event, reason }) => [event.id, reason]),
      [
        ["e1", "too large"],
        ["e2", "too old"],
      ],
    );
    assert.equal(stored[0]?.id, first?.id);
    assert.equal(await store().countDeadLetters(one), 2);
    assert.deepEqual(
      (await store().deadLetters({ pipeline: other, limit: 10 })).map(({ reason }) => reason),
      ["too old", "too old"],
    );
  });

  test("dead letters are paged by ID, counted, removed, and no ID comes back", async () => {
    const pipeline = newPipeline();
    const { epoch } = await store().claim(pipeline);
    const ids = ["e1", "e2", "e3", "e4", "e5"];
    await store().commit(pipeline, epoch, progress("c1", { deadLetters: ids.map((id) => letter(id)) }));
    const firstPage = await store().deadLetters({ pipeline, limit: 2 });
    const rest = await store().deadLetters({ pipeline, limit: 10, afterId: firstPage[1]?.id });
    const stored = [...firstPage, ...rest];
    assert.deepEqual(
      stored.map(({ event }) => event.id),
      ids,
    );
    const total = await store().countDeadLetters();
    const newest = stored.at(-1)?.id ?? 0;
    await store().removeDeadLetters([stored[1]?.id ?? 0, newest]);
    assert.equal(await store().countDeadLetters(pipeline), 3);
    assert.equal(await store().countDeadLetters(), total - 2);
    assert.equal((await store().deadLetters({ limit: 10_000 })).length, total - 2);
    await store().commit(pipeline, epoch, progress("c2", { deadLetters: [letter("e6")] }));
    const [again] = await store().deadLetters({ pipeline, limit: 1, afterId: newest - 1 });
    assert.equal(again?.event.id, "e6");
    assert.ok((again?.id ?? 0) > newest, "the ID of a removed dead letter was given to another event");
  });
}

function runTests(store: Get<Store>, newPipeline: Get<string>): void {
  test("a run is stored from its start to its report", async () => {
    const pipeline = newPipeline();
    const id = await store().startRun({ pipeline, startedAtMs: 1000, trigger: "schedule", from: "a" });
    const none = { read: 0, filtered: 0, delivered: 0, rejected: 0, skipped: 0, batches: 0, retries: 0 };
    const running = record(pipeline, {
      outcome: "running",
      endedAtMs: null,
      to: null,
      counts: none,
      lagMs: null,
    });
    const more = { id, trigger: "schedule", reportedAtMs: null };
    assert.deepEqual(await store().runs({ pipeline, limit: 5 }), [{ ...running, ...more }]);
    const finished = record(pipeline, {
      outcome: "failed",
      error: { kind: "transient", message: "no 'luck' \u{1F600}", batch: { firstId: "a1", lastId: "a9" } },
      notices: [{ kind: "gap", lost: true, message: "from–to" }],
      unknownTypes: { "x-new": 3 },
      lagMs: 1234,
    });
    await store().finishRun(id, finished);
    assert.deepEqual(await store().runs({ pipeline, limit: 5 }), [{ ...finished, ...more }]);
    await store().markReported(id, 3000);
    assert.deepEqual(await store().runs({ pipeline, limit: 5 }), [
      { ...finished, ...more, reportedAtMs: 3000 },
    ]);
  });

  test("a run that never ended becomes crashed when the next begins, and only its pipeline's", async () => {
    const [one, other] = [newPipeline(), newPipeline()];
    const start = (pipeline: string) =>
      store().startRun({ pipeline, startedAtMs: 1, trigger: "schedule", from: null });
    const ended = await start(one);
    await store().finishRun(ended, record(one, { outcome: "stopped" }));
    await start(other);
    await start(one);
    await start(one);
    const outcomes = async (pipeline: string) =>
      (await store().runs({ pipeline, limit: 10 })).map(({ outcome }) => outcome);
    assert.deepEqual(await outcomes(one), ["running", "crashed", "stopped"]);
    assert.deepEqual(await outcomes(other), ["running"]);
  });

  test("runs are listed newest first, by pipeline, by failure and by page", async () => {
    const [one, other] = [newPipeline(), newPipeline()];
    const ids: number[] = [];
    for (const [pipeline, outcome] of [
      [one, "succeeded"],
      [one, "failed"],
      [other, "failed"],
      [one, "stopped"],
      [one, "running"],
      [one, "succeeded"],
    ] as const) {
      const id = await store().startRun({ pipeline, startedAtMs: 1, trigger: "command", from: null });
      if (outcome !== "running") await store().finishRun(id, record(pipeline, { outcome }));
      ids.push(id);
    }
    const [a, b, c, d, e, f] = ids;
    const listed = async (query: Parameters<Store["runs"]>[0]) =>
      (await store().runs(query)).map(({ id }) => id);
    assert.deepEqual(await listed({ limit: 6 }), [f, e, d, c, b, a]);
    assert.deepEqual(await listed({ pipeline: one, limit: 10 }), [f, e, d, b, a]);
    assert.deepEqual(await listed({ pipeline: one, limit: 2, beforeId: e }), [d, b]);
    assert.deepEqual(await listed({ pipeline: one, failedOnly: true, limit: 10 }), [e, b]);
    assert.deepEqual(await listed({ failedOnly: true, limit: 2, beforeId: f }), [e, c]);
  });

  test("finishing a run that was never started is our own bug", async () => {
    await assert.rejects(store().finishRun(987_654_321, record(newPipeline())), { kind: "bug" });
  });
}

/** Two writers and an operator do random things; a few lines of plain code say what must come of it. */
function modelTest(store: Get<Store>, newPipeline: Get<string>): void {
  const writer = fc.constantFrom(0, 1);
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant("claim" as const), writer }) },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("commit" as const),
        writer,
        letters: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 3 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("set" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("startRun" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("finishRun" as const) }) },
  );

  test("whatever two writers do: the cursor is the last one committed, stale writers get conflict, dead letters are exactly those committed", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
        const pipeline = newPipeline();
        const held = [0, 0];
        const epochsGiven = new Set<number>();
        let live = -1;
        let cursor: string | null = null;
        const refused = new Map<string, string>();
        const runs: { id: number; outcome: string }[] = [];

        for (const [at, now] of steps.entries()) {
          switch (now.do) {
            case "claim": {
              const claimed = await store().claim(pipeline);
              assert.equal(claimed.cursor, cursor);
              assert.ok(!epochsGiven.has(claimed.epoch), "an epoch was given out twice");
              epochsGiven.add(claimed.epoch);
              held[now.writer] = live = claimed.epoch;
              break;
            }
            case "commit": {
              const epoch = held[now.writer] ?? 0;
              const next = progress(`c${at}`, {
                deadLetters: now.letters.map((id) => letter(`e${id}`, `at ${at}`)),
              });
              if (epoch !== live) {
                await assert.rejects(store().commit(pipeline, epoch, next), { kind: "conflict" });
                break;
              }
              await store().commit(pipeline, epoch, next);
              cursor = next.cursor;
              for (const id of now.letters) refused.set(`e${id}`, `at ${at}`);
              break;
            }
            case "set":
              cursor = `s${at}`;
              await store().setCheckpoint(pipeline, { cursor, eventTimeMs: null });
              live = -1;
              break;
            case "remove":
              assert.equal(await store().removeCheckpoint(pipeline), cursor !== null);
              cursor = null;
              live = -1;
              break;
            case "startRun": {
              const id = await store().startRun({ pipeline, startedAtMs: at, trigger: "test", from: cursor });
              for (const run of runs) if (run.outcome === "running") run.outcome = "crashed";
              runs.unshift({ id, outcome: "running" });
              break;
            }
            case "finishRun": {
              const run = runs[0];
              if (run === undefined) break;
              run.outcome = "failed";
              await store().finishRun(run.id, record(pipeline, { outcome: "failed" }));
              break;
            }
            default:
              now satisfies never;
          }
          assert.equal((await store().checkpoint(pipeline))?.cursor ?? null, cursor);
        }

        const letters = await store().deadLetters({ pipeline, limit: 100 });
        assert.equal(letters.length, refused.size);
        assert.deepEqual(new Map(letters.map(({ event, reason }) => [event.id, reason])), refused);
        assert.deepEqual(
          (await store().runs({ pipeline, limit: 100 })).map(({ id, outcome }) => ({ id, outcome })),
          runs,
        );
      }),
      { numRuns: 100 },
    );
  });
}
