import { mock, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../src/core/types.ts";

/**
 * A machine with two clocks: the steady one, which drives the timers, and the wall clock, which may be set. One
 * that slept is one whose wall clock was set forward. Both stand still unless they are told to move.
 */
export function createMachine(test: Pick<TestContext, "mock">, start: string | number, stepMs = 5_000) {
  let steadyMs = 0;
  let wallMs = new Date(start).getTime();
  test.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  mock.timers.enable({ apis: ["Date"], now: wallMs });
  const clock: Clock = {
    now: () => Date.now(),
    monotonicMs: () => steadyMs,
    random: () => 0.5,
    sleep(ms, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      if (signal.aborted) reject(signal.reason);
      const timer = setTimeout(resolve, ms);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
      return promise;
    },
  };
  return {
    clock,
    steadyMs: () => steadyMs,
    /** Moves both clocks, in steps of `stepMs`, and lets everything happen that waits for them. */
    async advance(ms: number) {
      for (const untilMs = steadyMs + ms; steadyMs < untilMs; ) {
        steadyMs += stepMs;
        wallMs += stepMs;
        mock.timers.setTime(wallMs);
        test.mock.timers.tick(stepMs);
        await nextTurn();
      }
    },
    /** Lets everything happen that waits for no clock. */
    async settle() {
      for (let turn = 0; turn < 100; turn++) await nextTurn();
    },
    /** Sets the wall clock. */
    jump(ms: number) {
      wallMs += ms;
      mock.timers.setTime(wallMs);
    },
    /** Gives the process its own clocks and timers back. */
    reset() {
      test.mock.timers.reset();
      mock.timers.reset();
    },
  };
}
