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

interface ScheduleOptions {
  readonly cron: string;
  readonly timezone: string;
  readonly clock: Clock;
  /** Called at each slot, and once for any number of slots that were missed. */
  onTick(trigger: "schedule" | "catch-up"): void;
  /** Called when the wall clock was set forward (positive) or back. */
  onClockJump?(jumpMs: number): void;
}

/**
 * Ticks by the wall clock of `timezone`. node-cron computes the slots; what it does not do stands here: after the
 * clock was set back it waits for the old slot, possibly for years, and missed slots are not made up for.
 */
export function startSchedule(options: ScheduleOptions): Schedule {
  const { clock } = options;
  let last = { slotMs: Number.NEGATIVE_INFINITY, firedAtMs: Number.NEGATIVE_INFINITY };

  const tick = (slot: Date, trigger: "schedule" | "catch-up") => {
    const firedAtMs = clock.monotonicMs();
    const sinceMs = firedAtMs - last.firedAtMs;
    // After the clock was set back a little, a slot comes round a second time.
    if (slot.getTime() <= last.slotMs && sinceMs < gapMs() / 2) return;
    // Slots that were missed together are reported one by one.
    const isCaughtUp = trigger === "catch-up" && sinceMs < clockCheckMs;
    last = { slotMs: slot.getTime(), firedAtMs: isCaughtUp ? last.firedAtMs : firedAtMs };
    if (!isCaughtUp) options.onTick(trigger);
  };
  const create = () => {
    const created = cron.createTask(options.cron, ({ date }) => tick(date, "schedule"), {
      timezone: options.timezone,
      logger: silent,
      suppressMissedWarning: true,
      missedExecutionTolerance: toleranceMs,
    });
    created.on("execution:missed", ({ date }) => tick(date, "catch-up"));
    void created.start();
    return created;
  };
  const gapMs = () => {
    const [first, second] = task.getNextRuns(2);
    return first && second ? second.getTime() - first.getTime() : 0;
  };

  let task = create();
  let offsetMs = clock.now() - clock.monotonicMs();
  const watch = setInterval(() => {
    const jumpMs = clock.now() - clock.monotonicMs() - offsetMs;
    if (Math.abs(jumpMs) < clockJumpMs) return;
    offsetMs += jumpMs;
    options.onClockJump?.(jumpMs);
    void task.destroy();
    task = create();
    if (jumpMs > 0) tick(new Date(clock.now()), "catch-up");
  }, clockCheckMs);

  return {
    stop() {
      clearInterval(watch);
      void task.destroy();
    },
  };
}

/** The next `count` times at which the schedule fires. */
export function nextTicks(expression: string, timezone: string, count: number): Date[] {
  const task = cron.createTask(expression, () => {}, { timezone, logger: silent });
  const times = task.getNextRuns(count);
  void task.destroy();
  return times;
}
