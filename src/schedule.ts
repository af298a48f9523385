import cron from "node-cron";
import type { Clock } from "./core/types.ts";

/** How often the wall clock is compared with the steady one. */
const clockCheckMs = 10_000;
/** A difference that is no drift: the wall clock was set, or the machine slept. */
const clockJumpMs = 3_000;
/** A tick may be late by this much, for example behind a long garbage collection, and still count as on time. */
const toleranceMs = 30_000;

const silent = { info() {}, warn() {}, error() {}, debug() {} };

export interface Schedule {
  stop(): void;
}

type Trigger = "schedule" | "catch-up";

interface ScheduleOptions {
  readonly cron: string;
  readonly timezone: string;
  readonly clock: Clock;
  /** Called at each slot, and once for any number of slots that were missed. */
  onTick(trigger: Trigger): void;
  /** Called when the wall clock was set forward (positive) or back. */
  onClockJump?(jumpMs: number): void;
}

/**
 * Ticks by the wall clock of `timezone`. node-cron computes the slots; the timer is our own, because node-cron's
 * walks through every slot that was missed, which blocks for minutes when a clock is set forward by years, and
 * waits for the old slot when a clock is set back.
 */
export function startSchedule(options: ScheduleOptions): Schedule {
  const { clock } = options;
  const slots = createSlots(options.cron, options.timezone);
  let nextMs = slots.next(1)[0]?.getTime() ?? Number.POSITIVE_INFINITY;
  let offsetMs = clock.now() - clock.monotonicMs();
  let last = { slotMs: Number.NEGATIVE_INFINITY, atMs: Number.NEGATIVE_INFINITY };

  const tick = (slotMs: number, trigger: Trigger) => {
    const atMs = clock.monotonicMs();
    const [first, second] = slots.next(2);
    const gapMs = first && second ? second.getTime() - first.getTime() : 0;
    // After the clock was set back a little, a slot comes round a second time.
    if (slotMs <= last.slotMs && atMs - last.atMs < gapMs / 2) return;
    last = { slotMs, atMs };
    options.onTick(trigger);
  };
  const wake = () => {
    const nowMs = clock.now();
    const jumpMs = nowMs - clock.monotonicMs() - offsetMs;
    const isJump = Math.abs(jumpMs) >= clockJumpMs;
    if (isJump) {
      offsetMs += jumpMs;
      options.onClockJump?.(jumpMs);
      if (jumpMs > 0) tick(nowMs, "catch-up");
    } else if (nowMs >= nextMs) {
      tick(nextMs, nowMs - nextMs > toleranceMs ? "catch-up" : "schedule");
    }
    if (isJump || nowMs >= nextMs) nextMs = slots.next(1)[0]?.getTime() ?? Number.POSITIVE_INFINITY;
    timer = setTimeout(wake, waitMs());
  };
  const waitMs = () => Math.max(0, Math.min(nextMs - clock.now(), clockCheckMs));

  let timer = setTimeout(wake, waitMs());
  return {
    stop() {
      clearTimeout(timer);
      slots.close();
    },
  };
}

/** The next `count` times at which the schedule fires. Throws when there is none. */
export function nextTicks(expression: string, timezone: string, count: number): Date[] {
  const slots = createSlots(expression, timezone);
  try {
    return slots.next(count);
  } finally {
    slots.close();
  }
}

/** A task that is never started: it only computes. */
function createSlots(expression: string, timezone: string) {
  const task = cron.createTask(expression, () => {}, { timezone, logger: silent });
  return {
    next: (count: number) => task.getNextRuns(count),
    /** node-cron keeps a list of its tasks. */
    close: () => void task.destroy(),
  };
}
