import type { Clock } from "../../src/core/types.ts";

/** A clock on which sleeping takes no time but moves the hands. */
export function virtualClock(startMs = Date.UTC(2026, 0, 1), random: () => number = () => 0.5) {
  let elapsedMs = 0;
  let jumpMs = 0;
  const clock: Clock = {
    now: () => startMs + jumpMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    random,
    async sleep(ms, signal) {
      signal.throwIfAborted();
      elapsedMs += ms;
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    },
  };
  return {
    ...clock,
    advance: (ms: number) => {
      elapsedMs += ms;
    },
    /** Moves the wall clock alone. */
    jump: (ms: number) => {
      jumpMs += ms;
    },
  };
}
