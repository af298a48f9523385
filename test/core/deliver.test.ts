import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { deliver } from "../../src/core/deliver.ts";
import { ExportError } from "../../src/core/errors.ts";
import type { Destination, LogEvent, SendResult } from "../../src/core/types.ts";
import { virtualClock } from "../support/clock.ts";
import { event } from "../support/world.ts";

const never = new AbortController().signal;
const events = [1, 2, 3, 4, 5].map((sequence) => event(sequence));
const [one, two, three, four, five] = events as [LogEvent, LogEvent, LogEvent, LogEvent, LogEvent];
const cause = new ExportError("transient", "part was not accepted");
const all: SendResult = { rejected: [], unsent: [] };

/** A destination that answers in turn, and remembers what it was given. */
function answering(answers: readonly (SendResult | Error)[]) {
  const given: string[][] = [];
  const destination: Destination = {
    check: async () => [],
    async send(batch) {
      const answer = answers[given.length] ?? all;
      given.push(batch.map(({ id }) => id));
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  return { destination, given };
}

function send(destination: Destination, batch: readonly LogEvent[] = events, signal = never) {
  const clock = virtualClock();
  const retries: number[] = [];
  const onRetry = (_: ExportError, waitMs: number) => retries.push(waitMs);
  const delivery = deliver(destination, batch, { clock, signal, giveUpAfterMs: 60_000, onRetry });
  return { delivery, retries, clock };
}

const ids = (batch: readonly LogEvent[]) => batch.map(({ id }) => id);
const refused = (item: LogEvent) => ({ event: item, reason: "too large" });

describe("deliver", () => {
  it("sends nothing when there is nothing to send", async () => {
    const { destination, given } = answering([]);
    assert.deepEqual(await send(destination, []).delivery, { delivered: 0, rejected: [], skipped: 0 });
    assert.deepEqual(given, []);
  });

  it("sends all, once", async () => {
    const { destination, given } = answering([]);
    assert.deepEqual(await send(destination).delivery, { delivered: 5, rejected: [], skipped: 0 });
    assert.deepEqual(given, [ids(events)]);
  });

  it("sends only the unsent part again, and adds up what became of each", async () => {
    const { destination, given } = answering([
      { rejected: [refused(one)], unsent: [three, four, five], cause },
      cause,
      { rejected: [], unsent: [five], cause, skipped: [refused(three)] },
      { rejected: [refused(five)], unsent: [] },
    ]);
    const { delivery, retries } = send(destination);
    assert.deepEqual(await delivery, { delivered: 2, rejected: [refused(one), refused(five)], skipped: 1 });
    assert.deepEqual(given, [ids(events), ids([three, four, five]), ids([three, four, five]), ids([five])]);
    assert.equal(retries.length, 3);
  });

  it("waits as long as the cause of the unsent part asks", async () => {
    const slow = new ExportError("rate_limited", "slow down", { retryAfterMs: 7_000 });
    const { destination } = answering([{ rejected: [], unsent: [five], cause: slow }]);
    const { delivery, retries } = send(destination);
    await delivery;
    assert.deepEqual(retries, [7_000]);
  });

  it("throws the last error when it gives up", async () => {
    const last = new ExportError("transient", "the last one");
    const { destination, given } = answering([...Array.from({ length: 6 }, () => cause), last]);
    const options = { clock: virtualClock(0, () => 1), signal: never, giveUpAfterMs: 32_000 };
    await assert.rejects(deliver(destination, events, options), (thrown) => thrown === last);
    assert.equal(given.length, 7);
  });

  it("throws a cause that no retry can mend at once", async () => {
    const denied = new ExportError("auth", "denied");
    const { destination, given } = answering([{ rejected: [], unsent: [five], cause: denied }]);
    await assert.rejects(send(destination).delivery, (thrown) => thrown === denied);
    assert.equal(given.length, 1);
  });

  it("ends on abort although the destination never answers", async () => {
    const controller = new AbortController();
    const destination = { check: async () => [], send: () => new Promise<never>(() => {}) };
    const { delivery } = send(destination, events, controller.signal);
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(delivery, (thrown) => thrown === reason);
  });

  for (const [name, answer] of [
    ["an event twice", { rejected: [refused(one), refused(one)], unsent: [] }],
    ["an event as refused and as unsent", { rejected: [refused(one)], unsent: [one], cause }],
    ["an event as refused and as skipped", { rejected: [refused(one)], skipped: [refused(one)], unsent: [] }],
    ["an event that it was not given", { rejected: [], unsent: [event(9)], cause }],
    ["a copy of an event", { rejected: [refused({ ...one })], unsent: [] }],
    ["unsent events without a cause", { rejected: [], unsent: [two] }],
  ] as const) {
    it(`takes it for a bug when the destination lists ${name}`, async () => {
      const { destination, given } = answering([answer]);
      await assert.rejects(send(destination).delivery, { kind: "bug" });
      assert.equal(given.length, 1);
    });
  }

  it("accounts for every event exactly once, whatever the destination does with it", async () => {
    const fate = fc.constantFrom("accept", "reject", "skip", "unsent");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fate, { minLength: 5, maxLength: 5 }), { maxLength: 8 }),
        async (rounds) => {
          const acceptedIds: string[] = [];
          let round = 0;
          const destination: Destination = {
            check: async () => [],
            async send(batch) {
              const fates = rounds[round++] ?? [];
              const having = (wanted: string) =>
                batch.filter((item) => (fates[events.indexOf(item)] ?? "accept") === wanted);
              acceptedIds.push(...ids(having("accept")));
              return {
                rejected: having("reject").map(refused),
                skipped: having("skip").map(refused),
                unsent: having("unsent"),
                cause,
              };
            },
          };
          const { delivered, rejected, skipped } = await deliver(destination, events, {
            clock: virtualClock(),
            signal: never,
            giveUpAfterMs: 3_600_000,
          });
          assert.equal(delivered + rejected.length + skipped, events.length);
          assert.equal(delivered, acceptedIds.length);
          assert.equal(
            new Set([...acceptedIds, ...rejected.map((item) => item.event.id)]).size,
            delivered + rejected.length,
          );
        },
      ),
    );
  });
});
