import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ExportError, type ExportErrorKind } from "../../src/core/errors.ts";
import { abortable, type RetryOptions, retry } from "../../src/core/retry.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { virtualClock } from "../support/clock.ts";

const never = new AbortController().signal;

/** Fails with each error in turn, then resolves with how often it was called. */
function failing(errors: readonly unknown[]) {
  let calls = 0;
  return async () => {
    const error = errors[calls++];
    if (error !== undefined) throw error;
    return calls;
  };
}

/** The waits before each try, on a clock of its own. */
async function waitsOf(errors: readonly unknown[], options: Partial<RetryOptions> = {}, random = () => 0.5) {
  const clock = virtualClock(0, random);
  const waits: number[] = [];
  const onRetry = (_: ExportError, waitMs: number) => waits.push(waitMs);
  const attempt = failing(errors);
  const result = retry({ clock, signal: never, giveUpAfterMs: 3_600_000, onRetry, ...options }, attempt);
  const end = await result.then(
    (calls) => ({ calls, thrown: null as unknown }),
    (thrown: unknown) => ({ calls: 0, thrown }),
  );
  return { ...end, waits, elapsedMs: clock.monotonicMs() };
}

const transient = (options = {}) => new ExportError("transient", "no luck", options);
const limited = (retryAfterMs?: number) => new ExportError("rate_limited", "slow down", { retryAfterMs });
const times = <T>(count: number, create: () => T) => Array.from({ length: count }, create);

describe("retry", () => {
  it("calls once when it works", async () => {
    assert.deepEqual(await waitsOf([]), { calls: 1, thrown: null, waits: [], elapsedMs: 0 });
  });

  it("tells each try its number", async () => {
    const tries: number[] = [];
    const options = { clock: virtualClock(), signal: never, giveUpAfterMs: 60_000 };
    await retry(options, async (count) => {
      tries.push(count);
      if (count < 3) throw transient();
    });
    assert.deepEqual(tries, [0, 1, 2, 3]);
  });

  it("doubles the wait from 0.5 s to 30 s", async () => {
    const { waits } = await waitsOf(times(9, transient), {}, () => 1);
    assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  it("waits anywhere between nothing and the step, whatever the dice say", async () => {
    const dice = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
      minLength: 1,
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(dice, async (rolls) => {
        let roll = 0;
        const { waits } = await waitsOf(times(rolls.length, transient), {}, () => rolls[roll++] ?? 0);
        assert.equal(waits.length, rolls.length);
        for (const [index, waitMs] of waits.entries()) {
          const step = Math.min(30_000, 500 * 2 ** index);
          assert.equal(waitMs, (rolls[index] ?? 0) * step);
          assert.ok(waitMs >= 0 && waitMs <= 30_000);
        }
      }),
    );
  });

  it("waits finitely however often it failed", async () => {
    const { waits } = await waitsOf(times(2_000, transient), { giveUpAfterMs: 1e12 }, () => 1);
    assert.equal(waits.at(-1), 30_000);
  });

  it("waits as long as the service asks, for either kind", async () => {
    const errors = [limited(90_000), transient({ retryAfterMs: 45_000 }), limited(0), limited()];
    const { waits } = await waitsOf(errors);
    assert.deepEqual(waits, [90_000, 45_000, 0, 2_000]);
  });

  for (const kind of ["config", "locked", "auth", "permanent", "conflict", "aborted", "bug"] as const) {
    it(`throws ${kind} at once`, async () => {
      const error = new ExportError(kind satisfies ExportErrorKind, "no", { retryAfterMs: 5 });
      const { thrown, waits } = await waitsOf([error]);
      assert.equal(thrown, error);
      assert.deepEqual(waits, []);
    });
  }

  it("throws what nobody classified at once, as it is", async () => {
    const { thrown, waits } = await waitsOf([new TypeError("x is undefined")]);
    assert.ok(thrown instanceof ExportError && thrown.kind === "bug" && thrown.cause instanceof TypeError);
    assert.deepEqual(waits, []);
  });

  it("throws the last error instead of a wait that ends too late", async () => {
    const last = transient();
    const { thrown, waits, elapsedMs } = await waitsOf(
      [transient(), transient(), last],
      { giveUpAfterMs: 3_000 },
      () => 1,
    );
    assert.equal(thrown, last);
    assert.deepEqual(waits, [500, 1_000]);
    assert.equal(elapsedMs, 1_500);
  });

  it("takes a wait that ends just in time", async () => {
    const { calls } = await waitsOf([transient({ retryAfterMs: 3_000 })], { giveUpAfterMs: 3_000 });
    assert.equal(calls, 2);
    const late = await waitsOf([transient({ retryAfterMs: 3_001 })], { giveUpAfterMs: 3_000 });
    assert.ok(late.thrown);
  });

  it("counts the time that the tries themselves take", async () => {
    const clock = virtualClock();
    let calls = 0;
    const slow = async () => {
      calls++;
      clock.advance(4_000);
      throw transient();
    };
    await assert.rejects(retry({ clock, signal: never, giveUpAfterMs: 10_000 }, slow), { kind: "transient" });
    assert.equal(calls, 3);
  });

  it("when patient, does not count the waits of a rate limit, and still counts the others", async () => {
    const errors = [...times(10, () => limited(60_000)), transient(), transient(), transient()];
    const impatient = await waitsOf(errors, { giveUpAfterMs: 90_000 });
    assert.deepEqual(impatient.waits, [60_000]);
    const patient = await waitsOf(errors, { giveUpAfterMs: 90_000, patient: true });
    assert.equal(patient.calls, 14);
    const exhausted = await waitsOf([...errors, ...times(9, transient)], {
      giveUpAfterMs: 90_000,
      patient: true,
    });
    assert.ok(exhausted.thrown);
  });
});

describe("an abort", () => {
  const reason = new ExportError("transient", "the run hangs");

  it("before the first try calls nothing", async () => {
    const options = { clock: virtualClock(), signal: AbortSignal.abort(reason), giveUpAfterMs: 1_000 };
    await assert.rejects(
      retry(options, () => assert.fail("was called")),
      (thrown) => thrown === reason,
    );
  });

  it("during a try is thrown instead of what the try failed with", async () => {
    const controller = new AbortController();
    const options = { clock: virtualClock(), signal: controller.signal, giveUpAfterMs: 1_000 };
    const attempt = async () => {
      controller.abort(reason);
      throw new Error("socket closed");
    };
    await assert.rejects(retry(options, attempt), (thrown) => thrown === reason);
  });

  it("during a wait ends it at once, with the reason, on the machine's own clock", {
    timeout: 5_000,
  }, async () => {
    const controller = new AbortController();
    const onRetry = () => setImmediate(() => controller.abort(reason));
    const options = { clock: systemClock, signal: controller.signal, giveUpAfterMs: 100_000, onRetry };
    await assert.rejects(retry(options, failing([limited(60_000)])), (thrown) => thrown === reason);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  });
});

describe("abortable", () => {
  it("gives what the promise gives, and leaves no listener", async () => {
    const { signal } = new AbortController();
    assert.equal(await abortable(Promise.resolve(5), signal), 5);
    await assert.rejects(abortable(Promise.reject(new Error("no")), signal), /no/);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  it("ends with the signal's reason although the promise never settles", async () => {
    const controller = new AbortController();
    const ended = abortable(new Promise(() => {}), controller.signal);
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(ended, (thrown) => thrown === reason);
    await assert.rejects(abortable(Promise.resolve(5), controller.signal), (thrown) => thrown === reason);
  });

  it("leaves no rejection behind when the promise fails after the abort", async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (thrown: unknown) => unhandled.push(thrown);
    process.on("unhandledRejection", onUnhandled);
    const controller = new AbortController();
    const late = Promise.withResolvers<never>();
    const ended = abortable(late.promise, controller.signal);
    controller.abort();
    await assert.rejects(ended);
    late.reject(new Error("late"));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", onUnhandled);
    assert.deepEqual(unhandled, []);
  });
});
