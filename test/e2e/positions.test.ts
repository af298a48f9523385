import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { describe, test } from "node:test";
import {
  assertExactlyOnce,
  createRig,
  logLines,
  pipeline,
  type Rig,
  recordOf,
  until,
} from "../support/exporter.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** A tenant with ten events of four days, ten of two hours and ten of ten minutes ago, whose dates are in no order. */
async function createHistory() {
  const nowMs = Date.now();
  const twoHoursAgoMs = nowMs - 2 * hourMs;
  const rig = await createRig();
  const old = rig.produce(10, nowMs - 4 * dayMs);
  const middle = rig.produce(10, twoHoursAgoMs);
  const recent = rig.produce(10, nowMs - 10 * minuteMs);
  /** Time at which the nth of the middle events was recorded. */
  const middleTime = (nth: number) => new Date(twoHoursAgoMs + nth).toISOString();
  return { rig, old, middle, recent, all: [...old, ...middle, ...recent], middleTime };
}
type History = Awaited<ReturnType<typeof createHistory>>;

/** How often CloudWatch holds each of the events. */
function copies(rig: Rig, ids: readonly string[]): number[] {
  const held = rig.held();
  return ids.map((id) => held.get(id) ?? 0);
}

describe("START_FROM on a first run", { concurrency: 3 }, () => {
  const forms: readonly {
    form: string;
    of: (history: History) => string;
    from: (history: History) => readonly string[];
  }[] = [
    { form: "oldest", of: () => "oldest", from: ({ all }) => all },
    { form: "an ID, that event included", of: ({ middle }) => middle[3]!, from: ({ all }) => all.slice(13) },
    {
      form: "a date",
      of: () => new Date(Date.now() - 2 * dayMs).toISOString().slice(0, 10),
      from: ({ all }) => all.slice(10),
    },
    { form: "a time", of: ({ middleTime }) => middleTime(5), from: ({ all }) => all.slice(15) },
    { form: "hours ago", of: () => "-1h", from: ({ recent }) => recent },
  ];
  for (const { form, of, from } of forms) {
    test(`${form}: exports what it says, and nothing before`, async () => {
      const history = await createHistory();
      await using rig = history.rig;
      const finished = await rig.run(["run", "--json"], { START_FROM: of(history) });
      equal(finished.code, 0, finished.stderr);
      assertExactlyOnce(rig.held(), from(history));
      deepEqual(recordOf(finished).notices, []);
    });
  }

  test("latest: exports nothing that is there, and everything that comes", async () => {
    const { rig: opened } = await createHistory();
    await using rig = opened;
    equal((await rig.run(["run"], { START_FROM: "latest" })).code, 0);
    equal(rig.held().size, 0);
    const later = rig.produce(3, Date.now() - minuteMs);
    equal((await rig.run(["run"], { START_FROM: "latest" })).code, 0);
    assertExactlyOnce(rig.held(), later);
  });

  test("an ID that Auth0 no longer has: says so, and goes on after it", async () => {
    const { rig: opened, middle, recent } = await createHistory();
    await using rig = opened;
    const gone = middle[3]!.replace(/0{5}(\d{3})$/, "77777$1");
    const finished = await rig.run(["run", "--json"], {
      START_FROM: gone,
      SLACK_INCOMING_WEBHOOK_URL: rig.slack.url,
    });
    equal(finished.code, 0, finished.stderr);
    assertExactlyOnce(rig.held(), [...middle.slice(4), ...recent]);
    match(recordOf(finished).notices[0]?.message ?? "", new RegExp(`no event ${gone}`));
    match(rig.slack.messages[0]?.text ?? "", /^🟡/);
  });

  test("one that Auth0 refuses is a config error with advice, for the daemon too", async () => {
    await using rig = await createRig();
    rig.tenant.outage = {
      status: 400,
      body: { statusCode: 400, error: "Bad Request", message: "Invalid from" },
      on: "logs",
    };
    const finished = await rig.run(["run", "--json"]);
    equal(finished.code, 2);
    const { error } = recordOf(finished);
    equal(error?.kind, "config");
    match(error?.message ?? "", /Invalid from.*auth0-log-exporter checkpoint set oldest/);
    equal((await rig.run(["start"])).code, 2);
  });
});

test("START_FROM is applied once when it changes, and never by a restart", async () => {
  const { rig: opened, all, recent } = await createHistory();
  await using rig = opened;
  const run = async (startFrom?: string) => {
    const finished = await rig.run(["run", "--json"], { START_FROM: startFrom });
    equal(finished.code, 0, finished.stderr);
    return {
      read: recordOf(finished).counts.read,
      warnings: logLines(finished.stderr).filter(({ level }) => level === "warn"),
    };
  };
  equal((await run("-7d")).read, 30);
  equal((await run("-7d")).read, 0);
  const changed = await run(recent[5]);
  equal(changed.read, 5);
  match(changed.warnings[0]?.msg ?? "", /START_FROM changed from -7d to/);
  equal((await run(recent[5])).read, 0);
  equal((await run()).read, 0);
  deepEqual(
    copies(rig, all),
    all.map((id) => (id >= recent[5]! ? 2 : 1)),
  );
});

describe("replay", { concurrency: 3 }, () => {
  test("without --to moves the checkpoint back and exports everything since", async () => {
    const { rig: opened, all, recent } = await createHistory();
    await using rig = opened;
    equal((await rig.run(["run"])).code, 0);
    const { code, stderr } = await rig.run(["replay", "--from", "-1h"]);
    equal(code, 0, stderr);
    deepEqual(
      copies(rig, all),
      all.map((id) => (recent.includes(id) ? 2 : 1)),
    );
    equal((await rig.checkpoint())?.cursor, all.at(-1));
  });

  const bounds: readonly {
    form: string;
    of: (history: History) => readonly [string, string];
    last: number;
  }[] = [
    { form: "IDs, both events included", of: ({ middle }) => [middle[2]!, middle[7]!], last: 7 },
    { form: "times, the last one excluded", of: ({ middleTime }) => [middleTime(2), middleTime(7)], last: 6 },
  ];
  for (const { form, of, last } of bounds) {
    test(`between two ${form}, leaves the checkpoint where it is`, async () => {
      const history = await createHistory();
      await using rig = history.rig;
      equal((await rig.run(["run"])).code, 0);
      const before = await rig.checkpoint();
      const [from, to] = of(history);
      const finished = await rig.run(["replay", "--from", from, "--to", to, "--json"]);
      equal(finished.code, 0, finished.stderr);
      const again = history.middle.slice(2, last + 1);
      deepEqual(
        copies(rig, history.all),
        history.all.map((id) => (again.includes(id) ? 2 : 1)),
      );
      equal(recordOf(finished).counts.delivered, again.length);
      deepEqual(await rig.checkpoint(), before);
    });
  }

  test("between two bounds, interrupted and called again, goes on where it was", async () => {
    await using rig = await createRig({ cloudwatch: { latencyMs: 50 }, env: { MAX_BATCHES_IN_FLIGHT: "1" } });
    const ids = rig.produce(900);
    equal((await rig.run(["run"])).code, 0);
    const args = ["replay", "--from", ids[0]!, "--to", ids.at(-1)!];
    const running = rig.spawn(args);
    await until("a part of the replay", () => rig.cloudwatch.counts.events >= 1_100);
    running.child.kill("SIGTERM");
    equal((await running.finished).code, 0);
    const part = rig.cloudwatch.counts.events;
    ok(part < 1_800, "the signal came too late to interrupt anything");

    const { code, stderr } = await rig.run(args);
    equal(code, 0, stderr);
    deepEqual(new Set(copies(rig, ids)), new Set([2]));
    equal((await rig.checkpoint(`${pipeline}/replay`))?.cursor ?? null, null);
  });

  test("forward, over events that were never exported, is refused", async () => {
    const { rig: opened, middle } = await createHistory();
    await using rig = opened;
    equal((await rig.run(["run"])).code, 0);
    equal((await rig.run(["checkpoint", "set", middle[0]!])).code, 0);
    const before = await rig.checkpoint();
    const { code, stderr } = await rig.run(["replay", "--from", "-1h"]);
    equal(code, 2);
    match(stderr, /would be skipped/);
    deepEqual(await rig.checkpoint(), before);
    equal(rig.held().size, 30);
  });

  test("that is refused for one of two pipelines moves neither", async () => {
    const { rig: opened, middle } = await createHistory();
    await using rig = opened;
    const both = { DESTINATION: "stdout,cloudwatch" };
    equal((await rig.run(["run"], both)).code, 0);
    equal((await rig.run(["checkpoint", "set", middle[0]!, "--pipeline", "cloudwatch"], both)).code, 0);
    const before = await rig.checkpoint("stdout");
    equal((await rig.run(["replay", "--from", "-1h"], both)).code, 2);
    deepEqual(await rig.checkpoint("stdout"), before);
  });

  test("whose end is before its beginning, or is no position, is refused", async () => {
    const { rig: opened, middle } = await createHistory();
    await using rig = opened;
    for (const to of [middle[1]!, "-3d", "oldest", "yesterday"]) {
      const { code, stderr } = await rig.run(["replay", "--from", middle[4]!, "--to", to]);
      equal(code, 2);
      match(stderr, /--to/);
    }
    equal(rig.held().size, 0);
  });
});

describe("checkpoint", { concurrency: 3 }, () => {
  test("show, set and reset: the next run goes on from what they say", async () => {
    const { rig: opened, all, middle, recent } = await createHistory();
    await using rig = opened;
    equal((await rig.run(["run"])).code, 0);
    const shown = await rig.run(["checkpoint", "show", "--json"]);
    equal(shown.code, 0, shown.stderr);
    const stored = await rig.checkpoint();
    deepEqual(JSON.parse(shown.stdout), {
      pipeline,
      cursor: all.at(-1),
      eventTime: new Date(stored?.eventTimeMs ?? 0).toISOString(),
      epoch: stored?.epoch,
      updatedAt: new Date(stored?.updatedAtMs ?? 0).toISOString(),
    });

    equal((await rig.run(["checkpoint", "set", middle[4]!])).code, 0);
    equal((await rig.run(["run"])).code, 0);
    deepEqual(
      copies(rig, all),
      all.map((id) => (id >= middle[4]! ? 2 : 1)),
    );

    const set = await rig.run(["checkpoint", "set", "-1h", "--json"]);
    equal(set.code, 0, set.stderr);
    ok(Math.abs(Date.parse(JSON.parse(set.stdout).eventTime) - (Date.now() - hourMs)) < minuteMs);

    const reset = await rig.run(["checkpoint", "reset", "--json"]);
    equal(reset.code, 0, reset.stderr);
    equal(JSON.parse(reset.stdout).cursor, null);
    equal((await rig.run(["run"], { START_FROM: recent[9]! })).code, 0);
    deepEqual(
      copies(rig, all),
      all.map((id) => (id === recent[9] ? 3 : id >= middle[4]! ? 2 : 1)),
    );
  });

  test("set latest skips on purpose, and a START_FROM that is still set does not move it back", async () => {
    const { rig: opened } = await createHistory();
    await using rig = opened;
    const env = { START_FROM: "oldest" };
    equal((await rig.run(["checkpoint", "set", "latest"], env)).code, 0);
    equal((await rig.run(["run"], env)).code, 0);
    equal(rig.held().size, 0);
    const later = rig.produce(2, Date.now() - minuteMs);
    equal((await rig.run(["run"], env)).code, 0);
    assertExactlyOnce(rig.held(), later);
  });

  test("set takes nothing else, and leaves the checkpoint alone then", async () => {
    await using rig = await createRig();
    equal((await rig.run(["checkpoint", "set", "2026-01-31"])).code, 0);
    const before = await rig.checkpoint();
    notEqual(before, null);
    const { code, stderr } = await rig.run(["checkpoint", "set", "yesterday"]);
    equal(code, 2);
    match(stderr, /expected a log_id, an ISO date.*got "yesterday"/);
    deepEqual(await rig.checkpoint(), before);
  });
});
