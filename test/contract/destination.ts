/** What every Destination must do, whatever it sends to. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, test } from "node:test";
import { inspect } from "node:util";
import { ExportError, type ExportErrorKind } from "../../src/core/errors.ts";
import type { Clock, Destination, LogEvent } from "../../src/core/types.ts";
import { systemClock } from "../../src/lib/clock.ts";

/** How the next request may go wrong. */
export type Trouble =
  | "throttled"
  | "unavailable"
  | "forbidden"
  | "reset"
  | "resetAfterAccept"
  | "hang"
  | "hangInBody";

/** What a destination is asked to prove. */
export interface Abilities {
  /** What can happen to it. */
  readonly troubles: readonly Trouble[];
  /** The service may refuse single events for good. */
  readonly refuses: boolean;
  /** It sends the text of an event as it is. */
  readonly verbatim: boolean;
}

export interface DestinationHarness {
  readonly destination: Destination;
  /** What the service has accepted, in order of arrival. */
  held(): readonly { readonly id: string; readonly raw?: string }[];
  /** How many requests the service has seen. */
  requests(): number;
  /** The next request goes wrong like this. */
  meet(trouble: Trouble): void;
  /** From now on the service refuses the event with this ID for good. */
  poison(id: string): void;
  /** What must never be printed. */
  readonly secrets: readonly string[];
  close(): Promise<void>;
}

export interface HarnessOptions {
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
}

export function logId(number: number): string {
  return `900${String(number).padStart(53, "0")}`;
}

/** An event that nothing may change. `members` is JSON text, without braces, that goes into it as it is. */
export function sampleEvent(number: number, members = '"type":"s"', timeMs = Date.now() - 60_000): LogEvent {
  const id = logId(number);
  const raw = `{"log_id":"${id}","date":"${new Date(timeMs).toISOString()}",${members}}`;
  return deepFreeze({ id, type: "s", timeMs, raw, data: JSON.parse(raw) as Record<string, unknown> });
}

export function sampleEvents(count: number): LogEvent[] {
  return Array.from({ length: count }, (_, index) => sampleEvent(index));
}

/** What JSON can hold and careless code damages. */
const oddMembers = [
  '"text":"héllo 日本 🙂 \u2028\u2029 \u00a0"',
  '"lone":"\\ud83d","pair":"\\ud83d\\ude00","nul":"\\u0000","escape":"\\"\\\\\\/\\b\\f\\n\\r\\t"',
  '"big":12345678901234567890,"huge":1e400,"exact":0.10000000000000000001,"zero":-0,"one":1.0',
  '"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":null',
  '"null":null,"empty":"","list":[[],{},[null]],"date":["not","a","date"],"twice":1,"twice":2',
  ' "spaced" : [ 1 ,\t2 ] , "html":"</script><!-- & -->","line":"a\\nb"',
];

export function testDestination(
  name: string,
  abilities: Abilities,
  create: (options: HarnessOptions) => Promise<DestinationHarness>,
): void {
  const { troubles, refuses, verbatim } = abilities;
  const quickTroubles = troubles.filter((trouble) => !trouble.startsWith("hang"));

  describe(`${name} is a Destination`, () => {
    let harness: DestinationHarness;
    let abort: AbortController;
    beforeEach(async () => {
      abort = new AbortController();
      harness = await create({ requestTimeoutMs: 60_000, clock: impatientClock });
    });
    afterEach(() => harness.close());
    const send = (events: readonly LogEvent[]) => harness.destination.send(events, abort.signal);
    const heldIds = () => harness.held().map(({ id }) => id);
    const idsOf = (events: readonly LogEvent[]) => events.map(({ id }) => id);
    const isKind = (kind: ExportErrorKind) => (error: unknown) => {
      assert.ok(error instanceof ExportError, String(error));
      assert.equal(error.kind, kind, error.message);
      return true;
    };

    test("accepts every event once, in order", async () => {
      const events = sampleEvents(250);
      assert.deepEqual(await send(events), { rejected: [], unsent: [] });
      assert.deepEqual(heldIds(), idsOf(events));
    });

    test("sends nothing when there is nothing to send", async () => {
      assert.deepEqual(await send([]), { rejected: [], unsent: [] });
      assert.equal(harness.requests(), 0);
    });

    if (verbatim) {
      test("delivers the JSON text of an event unchanged", async () => {
        const events = oddMembers.map((members, index) => sampleEvent(index, members));
        assert.deepEqual(await send(events), { rejected: [], unsent: [] });
        assert.deepEqual(
          harness.held().map(({ raw }) => raw),
          events.map(({ raw }) => raw),
        );
      });
    }

    test("takes many sends at the same time", async () => {
      const events = sampleEvents(320);
      const warnings: Error[] = [];
      const onWarning = (warning: Error) => warnings.push(warning);
      process.on("warning", onWarning);
      await Promise.all(
        Array.from({ length: 32 }, (_, batch) => send(events.slice(batch * 10, batch * 10 + 10))),
      );
      process.off("warning", onWarning);
      assert.deepEqual(warnings, []);
      assert.deepEqual(heldIds().sort(), idsOf(events));
    });

    if (refuses) {
      test("lists an event that the service refuses, and delivers the others", async () => {
        const events = sampleEvents(20);
        const bad = events[7]!;
        harness.poison(bad.id);
        const { rejected, unsent } = await send(events);
        assert.deepEqual(
          rejected.map(({ event }) => event),
          [bad],
        );
        assert.match(rejected[0]?.reason ?? "", /\w/);
        assert.deepEqual(unsent, []);
        assert.deepEqual(heldIds().sort(), idsOf(events.filter((event) => event !== bad)));
      });
    }

    for (const [trouble, kind] of [
      ["throttled", "rate_limited"],
      ["unavailable", "transient"],
      ["reset", "transient"],
      ["forbidden", "auth"],
    ] as const) {
      if (!troubles.includes(trouble)) continue;
      test(`${trouble}: throws ${kind} after one request, and accepts the same events the next time`, async () => {
        const events = sampleEvents(5);
        harness.meet(trouble);
        await assert.rejects(send(events), isKind(kind));
        assert.equal(harness.requests(), 1);
        assert.deepEqual(heldIds(), []);
        assert.deepEqual(await send(events), { rejected: [], unsent: [] });
        assert.deepEqual(heldIds(), idsOf(events));
      });
    }

    if (troubles.includes("resetAfterAccept")) {
      test("resetAfterAccept: calls a lost answer transient, so that the events are sent again", async () => {
        harness.meet("resetAfterAccept");
        await assert.rejects(send(sampleEvents(5)), isKind("transient"));
        assert.equal(heldIds().length, 5);
      });
    }

    for (const trouble of ["hang", "hangInBody"] as const) {
      if (!troubles.includes(trouble)) continue;
      test(`${trouble}: throws transient at the deadline`, async () => {
        await harness.close();
        harness = await create({ requestTimeoutMs: 200, clock: impatientClock });
        harness.meet(trouble);
        await assert.rejects(send(sampleEvents(2)), isKind("transient"));
      });

      test(`${trouble}: ends with the signal's reason as soon as it aborts`, async () => {
        harness.meet(trouble);
        const reason = new Error("stopped by the test");
        const sending = send(sampleEvents(2));
        await until(() => harness.requests() > 0);
        abort.abort(reason);
        await assert.rejects(sending, (error) => error === reason);
      });
    }

    test("sends nothing once the signal has aborted", async () => {
      const reason = new Error("stopped by the test");
      abort.abort(reason);
      await assert.rejects(send(sampleEvents(2)), (error) => error === reason);
      assert.equal(harness.requests(), 0);
    });

    test("can be stopped at any moment", async () => {
      for (let ticks = 0; ticks < 40; ticks++) {
        const stop = new AbortController();
        const reason = new Error("stopped by the test");
        const sending = harness.destination.send(sampleEvents(3), stop.signal);
        const outcome = sending.then(
          (result) => result,
          (error: unknown) => error,
        );
        for (let tick = 0; tick < ticks; tick++) await (ticks % 2 ? nextTurn() : null);
        stop.abort(reason);
        const ended = await outcome;
        if (ended !== reason) assert.deepEqual(ended, { rejected: [], unsent: [] });
        assert.equal(getEventListeners(stop.signal, "abort").length, 0);
      }
    });

    test("leaves no listener on the signal, whether it succeeds or fails", async () => {
      for (const trouble of quickTroubles) {
        harness.meet(trouble);
        await assert.rejects(send(sampleEvents(1)));
      }
      for (let round = 0; round < 50; round++) await send(sampleEvents(1));
      assert.equal(getEventListeners(abort.signal, "abort").length, 0);
    });

    test("checks without sending an event", async () => {
      const findings = await harness.destination.check(abort.signal);
      assert.ok(findings.length > 0);
      for (const { ok, text } of findings) assert.ok(ok && text.length > 0, text);
      assert.deepEqual(heldIds(), []);
    });

    test("checks without throwing, even when it is stopped", async () => {
      abort.abort(new Error("stopped by the test"));
      assert.ok(Array.isArray(await harness.destination.check(abort.signal)));
    });

    if (troubles.includes("forbidden")) {
      test("checks by saying what is wrong and what to do", async () => {
        harness.meet("forbidden");
        const findings = await harness.destination.check(abort.signal);
        assert.ok(findings.some(({ ok, advice }) => !ok && advice));
      });
    }

    test("never shows a secret", async () => {
      const shown: unknown[] = [harness.destination];
      for (const trouble of quickTroubles) {
        harness.meet(trouble);
        shown.push(await send(sampleEvents(2)).catch((error: unknown) => error));
        harness.meet(trouble);
        shown.push(await harness.destination.check(abort.signal));
      }
      shown.push(harness.destination);
      for (const value of shown) {
        const printed = `${inspect(value, { depth: 20, showHidden: true })} ${JSON.stringify(value)} ${value}`;
        for (const secret of harness.secrets) assert.ok(!printed.includes(secret), printed);
      }
    });
  });
}

/** Waiting is for the caller; a destination that sleeps fails. */
const impatientClock: Clock = {
  ...systemClock,
  sleep: () => Promise.reject(new Error("a destination must not wait")),
};

/** Resolves once `condition` holds; fails after 5 s. */
export async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5_000;
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, `still waiting for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
