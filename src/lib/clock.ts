import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../core/types.ts";

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: () => Math.random(),
  sleep: async (ms, signal) => {
    // Node rejects with an AbortError of its own, which would hide why the signal aborted.
    await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
  },
};
