import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { type Batch, type FillOptions, fillBatches, readAhead } from "../../src/core/batch.ts";
import type { LogEvent, Notice, Page } from "../../src/core/types.ts";
import { event } from "../support/world.ts";

const events = (from: number, to: number, type = "s") =>
  Array.from({ length: to - from + 1 }, (_, index) => event(from + index, type));
const page = (items: readonly LogEvent[], more: Partial<Page> = {}): Page => ({
  events: items,
  cursor: items.at(-1)?.id ?? "",
  ...more,
});
const notice = (message: string): Notice => ({ kind: "gap", lost: true, message });

async function* paged(...pages: readonly (Page | Error)[]): AsyncGenerator<Page> {
  for (const item of pages) {
    if (item instanceof Error) throw item;
    yield item;
  }
}

/** The batches, and what they ended with. */
async function fill(pages: AsyncIterable<Page>, options: Partial<FillOptions> = {}) {
  const batches: Batch[] = [];
  const all = { batchSize: 10, accepts: () => true, isKnownType: () => true, ...options };
  try {
    for await (const batch of fillBatches(pages, all)) batches.push(batch);
    return { batches, thrown: null };
  } catch (thrown) {
    return { batches, thrown };
  }
}

const sizes = (batches: readonly Batch[]) => batches.map(({ events }) => events.length);

describe("filling batches", () => {
  it("makes each exactly the size, but the last, whatever the pages", async () => {
    const { batches } = await fill(paged(page(events(1, 7)), page(events(8, 25)), page(events(26, 33))));
    assert.deepEqual(sizes(batches), [10, 10, 10, 3]);
    assert.deepEqual(
      batches.map(({ cursor }) => cursor),
      [10, 20, 30, 33].map((last) => event(last).id),
    );
    assert.deepEqual(
      batches.map(({ eventTimeMs }) => eventTimeMs),
      [10, 20, 30, 33],
    );
  });

  it("moves the cursor over what the filter left out, before, between and after", async () => {
    const accepts = ({ timeMs }: LogEvent) => timeMs === 5 || timeMs === 18;
    const pages = paged(page(events(1, 10)), page(events(11, 20)), page(events(21, 30)));
    const { batches } = await fill(pages, { accepts, batchSize: 2 });
    assert.deepEqual(
      batches.map(({ events, cursor, read, filtered }) => [events.length, cursor, read, filtered]),
      [
        [2, event(18).id, 18, 16],
        [0, event(20).id, 2, 2],
        [0, event(30).id, 10, 10],
      ],
    );
  });

  it("does not move the cursor over events that wait for their batch to fill", async () => {
    const accepts = ({ timeMs }: LogEvent) => timeMs === 5;
    const { batches } = await fill(paged(page(events(1, 10)), page(events(11, 20))), { accepts });
    assert.deepEqual(
      batches.map(({ events, cursor, read }) => [events.length, cursor, read]),
      [[1, event(20).id, 20]],
    );
  });

  it("hands on what was read before a failure, then fails", async () => {
    const failure = new Error("no more");
    const { batches, thrown } = await fill(paged(page(events(1, 14)), failure));
    assert.deepEqual(sizes(batches), [10, 4]);
    assert.equal(batches[1]?.cursor, event(14).id);
    assert.equal(thrown, failure);
  });

  it("keeps each notice, also of a page without events", async () => {
    const pages = paged(
      page(events(1, 3), { notices: [notice("first")] }),
      page([], { cursor: "c", notices: [notice("second")] }),
    );
    const { batches } = await fill(pages);
    assert.deepEqual(
      batches.flatMap(({ notices }) => notices.map(({ message }) => message)),
      ["first", "second"],
    );
    const empty = await fill(paged(page([], { cursor: "c", notices: [notice("alone")] })));
    assert.deepEqual(
      empty.batches.map(({ events, cursor, notices }) => [events.length, cursor, notices.length]),
      [[0, "c", 1]],
    );
  });

  it("counts passed events of unknown types, by type", async () => {
    const items = [event(1), event(2, "new"), event(3, "newer"), event(4, "new"), event(5, "dropped")];
    const { batches } = await fill(paged(page(items)), {
      isKnownType: (code) => code === "s",
      accepts: ({ type }) => type !== "dropped",
    });
    assert.deepEqual(
      [...(batches[0]?.unknownTypes ?? [])],
      [
        ["new", 2],
        ["newer", 1],
      ],
    );
  });

  it("tells of each page", async () => {
    let pages = 0;
    await fill(paged(page(events(1, 3)), page(events(4, 6))), { onPage: () => pages++ });
    assert.equal(pages, 2);
  });

  it("loses nothing and passes nothing, whatever pages, filter and failure", async () => {
    const world = fc.record({
      lengths: fc.array(fc.nat(12), { maxLength: 8 }),
      batchSize: fc.integer({ min: 1, max: 9 }),
      passEvery: fc.integer({ min: 1, max: 5 }),
      fails: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(world, async ({ lengths, batchSize, passEvery, fails }) => {
        let next = 1;
        const pages = lengths.map((length) => {
          const first = next;
          next += length;
          return page(events(first, next - 1), { cursor: event(next - 1).id });
        });
        const accepts = ({ timeMs }: LogEvent) => timeMs % passEvery === 0;
        const failure = fails ? [new Error("no more")] : [];
        const { batches } = await fill(paged(...pages, ...failure), { batchSize, accepts });
        const read = events(1, next - 1);
        assert.deepEqual(
          batches.flatMap((batch) => batch.events),
          read.filter(accepts),
        );
        assert.ok(sizes(batches).every((size) => size <= batchSize));
        const filled = sizes(batches).filter((size) => size > 0);
        assert.ok(filled.slice(0, -1).every((size) => size === batchSize));
        let covered = 0;
        for (const batch of batches) {
          covered += batch.read;
          assert.equal(batch.cursor, event(covered).id);
          assert.equal(batch.read, batch.filtered + batch.events.length);
        }
        assert.equal(covered, read.length);
      }),
    );
  });
});

/** Batches of one event of this length each, and how many were asked for. */
function source(count: number, length = 10) {
  const state = { asked: 0, closed: false };
  async function* batches(): AsyncGenerator<Batch> {
    try {
      for (let index = 1; index <= count; index++) {
        state.asked = index;
        yield batchOf({ ...event(index), raw: "x".repeat(length) });
      }
    } finally {
      state.closed = true;
    }
  }
  return { state, batches: batches() };
}

function batchOf(item: LogEvent): Batch {
  return {
    events: [item],
    cursor: item.id,
    eventTimeMs: item.timeMs,
    read: 1,
    filtered: 0,
    notices: [],
    unknownTypes: new Map(),
  };
}

async function settle() {
  for (let turn = 0; turn < 20; turn++) await nextTurn();
}

const roomy = { maxReady: 100, maxReadyLength: 1_000_000 };

describe("reading ahead", () => {
  it("holds no more batches than it may, and goes on when they are taken", async () => {
    const { state, batches } = source(50);
    const ahead = readAhead(batches, { ...roomy, maxReady: 4 });
    await settle();
    assert.equal(state.asked, 4);
    assert.equal((await ahead.take(3)).length, 3);
    await settle();
    assert.equal(state.asked, 7);
    ahead.close();
  });

  it("holds no more text than it may, but for one batch", async () => {
    const { state, batches } = source(50, 400);
    const ahead = readAhead(batches, { ...roomy, maxReadyLength: 1_000 });
    await settle();
    assert.equal(state.asked, 3);
    await ahead.take(1);
    await settle();
    assert.equal(state.asked, 4);
    ahead.close();
  });

  it("gives what is ready at once, at most as many as asked for, in order", async () => {
    const { batches } = source(5);
    const ahead = readAhead(batches, roomy);
    assert.equal((await ahead.take(3)).length, 1, "the first take waits for one batch alone");
    await settle();
    assert.deepEqual(
      (await ahead.take(3)).map(({ cursor }) => cursor),
      [2, 3, 4].map((sequence) => event(sequence).id),
    );
    assert.equal((await ahead.take(3)).length, 1);
    assert.deepEqual(await ahead.take(3), []);
    assert.deepEqual(await ahead.take(3), []);
  });

  it("gives what came before a failure first, then fails", async () => {
    const failure = new Error("no more");
    async function* failing() {
      yield batchOf(event(1));
      yield batchOf(event(2));
      throw failure;
    }
    const ahead = readAhead(failing(), roomy);
    await settle();
    assert.equal((await ahead.take(1)).length, 1);
    assert.equal((await ahead.take(5)).length, 1);
    await assert.rejects(ahead.take(1), (thrown) => thrown === failure);
  });

  it("when closed gives nothing more, lets its source end, and wakes who waits", async () => {
    const blocked = source(50);
    const full = readAhead(blocked.batches, { ...roomy, maxReady: 2 });
    await settle();
    full.close();
    await settle();
    assert.equal(blocked.state.closed, true);
    assert.equal(blocked.state.asked, 2);
    assert.deepEqual(await full.take(1), []);

    const silent = readAhead(
      { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) },
      roomy,
    );
    const waiting = silent.take(1);
    silent.close();
    assert.deepEqual(await waiting, []);
  });

  it("leaves no rejection behind when its source fails after it was closed", async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (thrown: unknown) => unhandled.push(thrown);
    process.on("unhandledRejection", onUnhandled);
    const late = Promise.withResolvers<IteratorResult<Batch>>();
    const ahead = readAhead({ [Symbol.asyncIterator]: () => ({ next: () => late.promise }) }, roomy);
    ahead.close();
    late.reject(new Error("late"));
    await settle();
    process.off("unhandledRejection", onUnhandled);
    assert.deepEqual(unhandled, []);
  });
});
