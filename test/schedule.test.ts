import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, it, mock, type TestContext } from "node:test";
import fc from "fast-check";
import cron from "node-cron";
import { nextTicks, type Schedule, startSchedule } from "../src/schedule.ts";
import { createMachine } from "./support/machine.ts";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

interface Tick {
  readonly trigger: string;
  /** By the wall clock, and since the start by the steady one. */
  readonly wall: string;
  readonly steadyMs: number;
}

interface Options {
  readonly start: string;
  readonly cron?: string;
  readonly timezone?: string;
  /** Slots and jumps have to be at multiples of it. */
  readonly stepMs?: number;
}

/** A schedule on a machine of its own. */
function schedule(test: Pick<TestContext, "mock">, options: Options) {
  const { start, cron: expression = "*/5 * * * *", timezone = "UTC", stepMs } = options;
  const machine = createMachine(test, start, stepMs);
  const ticks: Tick[] = [];
  const jumps: number[] = [];
  const running: Schedule = startSchedule({
    cron: expression,
    timezone,
    clock: machine.clock,
    onTick: (trigger) =>
      ticks.push({ trigger, wall: new Date().toISOString(), steadyMs: machine.steadyMs() }),
    onClockJump: (jumpMs) => jumps.push(jumpMs),
  });
  return {
    ...machine,
    ticks,
    jumps,
    stop: () => running.stop(),
    /** Ends it all, for a test that has more than one machine. */
    discard() {
      running.stop();
      machine.reset();
    },
  };
}

/** Gaps between neighbours, in ms. */
const gaps = (times: readonly number[]) => times.slice(1).map((time, index) => time - (times[index] ?? time));
const walls = (ticks: readonly Tick[]) => ticks.map(({ wall }) => wall);
const triggers = (ticks: readonly Tick[]) => ticks.map(({ trigger }) => trigger);

afterEach(() => {
  mock.timers.reset();
});

describe("a schedule", () => {
  it("ticks once at each slot, day after day", async (t) => {
    const machine = schedule(t, { start: "2026-06-15T10:02:00Z", stepMs: 20 * second });
    await machine.advance(2 * day);
    assert.equal(machine.ticks.length, 2 * 288);
    assert.equal(machine.ticks[0]?.wall, "2026-06-15T10:05:00.000Z");
    assert.deepEqual(new Set(gaps(machine.ticks.map(({ steadyMs }) => steadyMs))), new Set([5 * minute]));
    assert.deepEqual(new Set(triggers(machine.ticks)), new Set(["schedule"]));
    assert.deepEqual(machine.jumps, []);
    machine.stop();
  });

  it("takes seconds as a sixth field", async (t) => {
    const machine = schedule(t, { start: "2026-06-15T10:02:00Z", cron: "*/10 * * * * *" });
    await machine.advance(minute);
    assert.equal(machine.ticks.length, 6);
    machine.stop();
  });

  it("goes by its time zone", async (t) => {
    const options = { cron: "30 9 * * *", timezone: "America/New_York", stepMs: minute };
    const machine = schedule(t, { start: "2026-06-15T10:00:00Z", ...options });
    await machine.advance(day);
    assert.deepEqual(walls(machine.ticks), ["2026-06-15T13:30:00.000Z"]);
    machine.stop();
  });

  it("waits for a slot that is further away than the longest timer", async (t) => {
    const options = { cron: "0 0 1 1 *", stepMs: 10 * minute };
    const machine = schedule(t, { start: "2026-11-02T12:00:00Z", ...options });
    await machine.advance(60 * day);
    assert.deepEqual(walls(machine.ticks), ["2027-01-01T00:00:00.000Z"]);
    machine.stop();
  });

  it("leaves nothing behind when it is stopped, however often the clock was set", async (t) => {
    const before = cron.getTasks().size;
    const machine = schedule(t, { start: "2026-06-15T10:02:00Z" });
    for (const jump of [hour, -hour, day, -day]) {
      machine.jump(jump);
      await machine.advance(minute);
    }
    assert.equal(cron.getTasks().size, before + 1);
    machine.stop();
    const ticks = machine.ticks.length;
    machine.jump(day);
    await machine.advance(hour);
    assert.equal(machine.ticks.length, ticks);
    assert.equal(cron.getTasks().size, before);
  });

  it("does not hold the process once it is stopped", async () => {
    const script = `
      import { startSchedule } from ${JSON.stringify(new URL("../src/schedule.ts", import.meta.url).href)};
      import { systemClock } from ${JSON.stringify(new URL("../src/lib/clock.ts", import.meta.url).href)};
      startSchedule({ cron: "* * * * *", timezone: "UTC", clock: systemClock, onTick() {} }).stop();
      process.stdout.write(process.getActiveResourcesInfo().filter((name) => name === "Timeout").join());`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    assert.deepEqual(await once(child, "close"), [0, null]);
    assert.equal(output, "");
  });
});

describe("a clock that is set forward, or a machine that slept", () => {
  for (const [name, jump] of [
    ["three days", 3 * day],
    ["an hour", hour],
    ["ten years", 3_652 * day],
  ] as const) {
    // A tick may have been just before, and a slot may come just after.
    for (const afterTick of [5 * second, 2 * minute, 4 * minute + 55 * second]) {
      it(`by ${name}, ${afterTick / second} s after a tick, is one catch-up, and the schedule goes on`, async (t) => {
        const machine = schedule(t, { start: "2026-06-15T10:02:05Z" });
        await machine.advance(2 * minute + 55 * second + afterTick);
        assert.deepEqual(walls(machine.ticks), ["2026-06-15T10:05:00.000Z"]);
        machine.jump(jump);
        const jumpedMs = machine.steadyMs();
        await machine.advance(20 * minute);
        const [, ...after] = machine.ticks;
        assert.equal(after[0]?.trigger, "catch-up");
        assert.ok((after[0]?.steadyMs ?? 0) - jumpedMs <= 10 * second, "within ten seconds");
        const regular = after.filter(({ trigger }) => trigger === "schedule");
        assert.equal(after.length - regular.length, 1);
        const slot = Math.floor(Date.parse(after[0]?.wall ?? "") / (5 * minute));
        const slots = regular.map((_, index) => (slot + 1 + index) * 5 * minute);
        assert.deepEqual(
          walls(regular),
          slots.map((slotMs) => new Date(slotMs).toISOString()),
        );
        assert.ok(regular.length >= 3);
        assert.deepEqual(machine.jumps, [jump]);
        machine.stop();
      });
    }
  }

  it("catches up a daily schedule at once, not at its next slot", async (t) => {
    const machine = schedule(t, { start: "2026-06-15T02:50:00Z", cron: "0 3 * * *" });
    await machine.advance(10 * minute + 5 * second);
    machine.jump(3 * day);
    await machine.advance(hour);
    assert.deepEqual(triggers(machine.ticks), ["schedule", "catch-up"]);
    machine.stop();
  });

  it("by a jump within a slot still ticks at the slot", async (t) => {
    const machine = schedule(t, { start: "2026-06-15T10:00:30Z" });
    machine.jump(minute);
    await machine.advance(5 * minute);
    assert.deepEqual(triggers(machine.ticks), ["catch-up", "schedule"]);
    machine.stop();
  });
});

describe("a clock that is set back", () => {
  for (const [name, jump] of [
    ["an hour", -hour],
    ["seven minutes", -7 * minute],
    ["ten years", -3_652 * day],
  ] as const) {
    it(`by ${name} ticks again within one interval, and never twice in a row`, async (t) => {
      const machine = schedule(t, { start: "2026-06-15T10:02:00Z" });
      await machine.advance(5 * minute);
      machine.jump(jump);
      await machine.advance(30 * minute);
      const times = machine.ticks.map(({ steadyMs }) => steadyMs);
      const [first = 0, next = 0] = times;
      assert.equal(first, 3 * minute);
      assert.ok(next - 5 * minute <= 5 * minute, `${next - 5 * minute} ms after the clock was set`);
      assert.ok(Math.min(...gaps(times)) >= 2.5 * minute, gaps(times).join());
      assert.ok(Math.max(...gaps(times)) <= 7.5 * minute, gaps(times).join());
      assert.deepEqual(new Set(triggers(machine.ticks)), new Set(["schedule"]));
      assert.deepEqual(machine.jumps, [jump]);
      machine.stop();
    });
  }

  for (const delay of [0, 5 * second, 25 * second]) {
    it(`by 30 s, ${delay / second} s after a tick, does not repeat the slot`, async (t) => {
      const machine = schedule(t, { start: "2026-06-15T10:04:00Z" });
      await machine.advance(minute + delay);
      machine.jump(-30 * second);
      await machine.advance(10 * minute);
      assert.deepEqual(walls(machine.ticks), ["2026-06-15T10:05:00.000Z", "2026-06-15T10:10:00.000Z"]);
      machine.stop();
    });
  }

  it("does not repeat a daily slot", async (t) => {
    const machine = schedule(t, { start: "2026-06-15T02:59:00Z", cron: "0 3 * * *", stepMs: 10 * second });
    await machine.advance(2 * minute);
    machine.jump(-hour);
    await machine.advance(2 * day + 2 * hour);
    assert.deepEqual(walls(machine.ticks), [
      "2026-06-15T03:00:00.000Z",
      "2026-06-16T03:00:00.000Z",
      "2026-06-17T03:00:00.000Z",
    ]);
    machine.stop();
  });
});

describe("a process that was held up", () => {
  it("ticks once for all slots that passed meanwhile, and the schedule goes on", async (t) => {
    const machine = schedule(t, { start: "2026-06-15T10:04:00Z", stepMs: 17 * minute });
    await machine.advance(17 * minute);
    assert.deepEqual(triggers(machine.ticks), ["catch-up"]);
    await machine.advance(17 * minute);
    assert.deepEqual(triggers(machine.ticks), ["catch-up", "catch-up"]);
    machine.stop();
  });

  it("by less than half a minute is on time", async (t) => {
    const machine = schedule(t, { start: "2026-06-15T10:04:50Z", stepMs: 30 * second });
    await machine.advance(minute);
    assert.deepEqual(triggers(machine.ticks), ["schedule"]);
    machine.stop();
  });
});

describe("the night on which the clocks change", () => {
  for (const [timezone, spring, autumn] of [
    ["Europe/Berlin", "2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"],
    ["America/New_York", "2027-03-13T12:00:00Z", "2026-10-31T12:00:00Z"],
  ] as const) {
    const ticksOf = async (t: TestContext, start: string, expression: string, days: number) => {
      const options = { start, cron: expression, timezone, stepMs: 15 * minute };
      const machine = schedule(t, options);
      await machine.advance(days * day);
      machine.discard();
      return machine.ticks;
    };
    const localDay = ({ wall }: Tick) => new Date(wall).toLocaleDateString("sv-SE", { timeZone: timezone });

    it(`in ${timezone}, every quarter of an hour: spring leaves no gap`, async (t) => {
      const ticks = await ticksOf(t, spring, "*/15 * * * *", 2);
      assert.equal(ticks.length, 192);
      assert.deepEqual(new Set(gaps(ticks.map(({ steadyMs }) => steadyMs))), new Set([15 * minute]));
    });

    it(`in ${timezone}, every quarter of an hour: the hour that comes twice in autumn ticks once`, async (t) => {
      const ticks = await ticksOf(t, autumn, "*/15 * * * *", 2);
      assert.equal(ticks.length, 192 - 4);
      const between = gaps(ticks.map(({ steadyMs }) => steadyMs));
      assert.deepEqual(
        between.filter((gap) => gap !== 15 * minute),
        [75 * minute],
      );
    });

    it(`in ${timezone}, a daily time that spring leaves out: no tick that day`, async (t) => {
      const ticks = await ticksOf(t, spring, "30 2 * * *", 3);
      assert.deepEqual(gaps(ticks.map(({ steadyMs }) => steadyMs)), [day]);
      const changed = new Date(Date.parse(spring) + day).toISOString().slice(0, 10);
      assert.ok(!ticks.map(localDay).includes(changed));
    });

    it(`in ${timezone}, a daily time that autumn has twice: one tick that day`, async (t) => {
      const repeated = timezone === "Europe/Berlin" ? "30 2 * * *" : "30 1 * * *";
      const ticks = await ticksOf(t, autumn, repeated, 3);
      assert.equal(ticks.length, 3);
      assert.equal(new Set(ticks.map(localDay)).size, 3);
    });

    it(`in ${timezone}, another daily time: one tick each day, spring and autumn`, async (t) => {
      for (const start of [spring, autumn]) {
        const ticks = await ticksOf(t, start, "15 4 * * *", 3);
        assert.equal(ticks.length, 3);
        assert.equal(new Set(ticks.map(localDay)).size, 3);
      }
    });

    it(`in ${timezone}, every interval: no day without a tick`, async (t) => {
      for (const expression of ["*/30 * * * *", "0 * * * *", "0 */2 * * *", "0 */6 * * *", "0 */12 * * *"]) {
        for (const start of [spring, autumn]) {
          const ticks = await ticksOf(t, start, expression, 3);
          const days = new Set(ticks.map(localDay));
          for (const later of [1, 2, 3]) {
            const date = new Date(Date.parse(start) + later * day).toISOString().slice(0, 10);
            assert.ok(days.has(date), `${expression}: none on ${date}`);
          }
          const most = Math.max(...gaps(ticks.map(({ steadyMs }) => steadyMs)));
          assert.ok(most <= 13 * hour, `${expression}: ${most} ms without a tick`);
        }
      }
    });
  }
});

describe("the next ticks", () => {
  it("are in the schedule's own time zone", (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-06-15T10:02:00Z") });
    assert.deepEqual(
      nextTicks("30 9 * * *", "Europe/Berlin", 2).map((date) => date.toISOString()),
      ["2026-06-16T07:30:00.000Z", "2026-06-17T07:30:00.000Z"],
    );
    assert.deepEqual(nextTicks("*/5 * * * *", "UTC", 0), []);
  });

  it("take the day of the month and the day of the week together, unlike cron", (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-01-01T00:00:00Z") });
    assert.deepEqual(
      nextTicks("0 0 13 * 5", "UTC", 3).map((date) => date.toISOString().slice(0, 10)),
      ["2026-02-13", "2026-03-13", "2026-11-13"],
    );
  });

  it("of a schedule that never ticks are an error, and leave nothing behind", () => {
    const before = cron.getTasks().size;
    assert.throws(() => nextTicks("0 0 30 2 *", "UTC", 1));
    assert.equal(cron.getTasks().size, before);
  });
});

describe("a clock that goes mad", () => {
  it("neither stops the schedule nor doubles its ticks", async (t) => {
    const move = fc.record({
      jumpMs: fc.oneof(
        fc.integer({ min: -600, max: 600 }).map((seconds) => seconds * 5 * second),
        fc.constantFrom(-3_652 * day, 3_652 * day, -day, 3 * day),
      ),
      thenMs: fc.integer({ min: 1, max: 180 }).map((steps) => steps * 5 * second),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 1, maxLength: 6 }), async (moves) => {
        const machine = schedule(t, { start: "2036-06-15T10:02:00Z" });
        await machine.advance(5 * minute);
        const jumpedMs: number[] = [];
        for (const { jumpMs, thenMs } of moves) {
          jumpedMs.push(machine.steadyMs());
          machine.jump(jumpMs);
          await machine.advance(thenMs);
        }
        await machine.advance(15 * minute);
        machine.discard();
        const { ticks } = machine;
        for (const [index, { steadyMs }] of ticks.entries()) {
          const before = ticks[index - 1]?.steadyMs ?? 0;
          const quietMs = steadyMs - Math.max(before, ...jumpedMs.filter((atMs) => atMs < steadyMs));
          assert.ok(quietMs <= 7.5 * minute + 10 * second, `${quietMs} ms without a tick`);
        }
        const regular = ticks.filter(({ trigger }) => trigger === "schedule");
        const forward = moves.filter(({ jumpMs }) => jumpMs > 0).length;
        const closest = Math.min(...gaps(regular.map(({ steadyMs }) => steadyMs)));
        assert.ok(closest >= (forward > 0 ? 5 * second : 2.5 * minute), `ticks ${closest} ms apart`);
        const caughtUp = ticks.length - regular.length;
        assert.ok(caughtUp <= forward, `${caughtUp} catch-ups for ${forward} jumps forward`);
      }),
      { numRuns: 60 },
    );
  });
});
