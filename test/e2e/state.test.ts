import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { truncate, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  assertExactlyOnce,
  compare,
  createRig,
  logLines,
  type Rig,
  recordOf,
  until,
} from "../support/exporter.ts";

/** A limit of the kernel on the size of files: what lies beyond it is refused as on a full disk. Unit: 512 bytes. */
const withFullDisk = (blocks: number) => `ulimit -S -f ${blocks}; exec "$@"`;
/** Compiled code would be the first thing that does not fit. */
const noCache = { NODE_COMPILE_CACHE: undefined };
const hasPrlimit = spawnSync("prlimit", ["--version"]).status === 0;

async function startDaemon(rig: Rig, env = {}, shell?: string) {
  const running = rig.spawn(["start"], env, shell);
  await until("the daemon's first run", () => running.output().stderr.includes('"trigger":"start"'));
  return running;
}

describe("a full disk", { concurrency: 3 }, () => {
  const window = { MAX_BATCHES_IN_FLIGHT: "2", BATCH_SIZE: "20", ...noCache };
  const maxWindowEvents = 40;

  test("fails the run, holds the checkpoint and is reported; with space again nothing is lost", async () => {
    await using rig = await createRig({ env: window });
    const ids = rig.produce(1_000);
    const reporting = { SLACK_INCOMING_WEBHOOK_URL: rig.slack.url };
    const finished = await rig.run(["run", "--json"], reporting, withFullDisk(100));

    equal(finished.code, 1);
    const { error, to, counts } = recordOf(finished);
    equal(error?.kind, "transient");
    match(error?.message ?? "", /disk .*full.*checkpoints/);
    ok(counts.delivered > 0, "the disk was full from the beginning");
    equal((await rig.checkpoint())?.cursor, to);
    match(rig.slack.messages[0]?.text ?? "", /disk .*full/);

    equal((await rig.run(["run"])).code, 0);
    const { lost, duplicates } = compare(rig.held(), ids);
    deepEqual(lost, []);
    ok(duplicates <= maxWindowEvents, `${duplicates} duplicates`);
  });

  test("keeps no half of a commit: dead letters and checkpoint always agree", async () => {
    await using rig = await createRig({ env: window });
    const oldIds = rig.produce(500, Date.now() - 20 * 86_400_000);
    const letters = async () => (await rig.deadLetters()).map(({ event }) => event.id).sort();
    equal((await rig.run(["run"], {}, withFullDisk(400))).code, 1);
    const cursor = (await rig.checkpoint())?.cursor ?? "";
    ok((await letters()).length > 0, "the disk was full from the beginning");
    deepEqual(
      await letters(),
      oldIds.filter((id) => id <= cursor),
    );

    equal((await rig.run(["run"])).code, 0);
    deepEqual(await letters(), oldIds);
  });

  test("is survived by the daemon, which goes on once there is space", {
    skip: !hasPrlimit && "needs prlimit",
  }, async () => {
    await using rig = await createRig({ env: { ...window, SCHEDULE: "* * * * * *" } });
    const ids = rig.produce(1_000);
    const running = await startDaemon(rig, {}, withFullDisk(100));
    await until("a failed run", () => running.output().stderr.includes("run failed"));
    equal(spawnSync("prlimit", ["--pid", String(running.pid), "--fsize=unlimited"]).status, 0);
    await until("all events", () => compare(rig.held(), ids).lost.length === 0);
    running.child.kill("SIGTERM");
    equal((await running.finished).code, 0);
  });

  test("at the start is one sentence and exit code 1, and nothing is delivered", async () => {
    await using rig = await createRig({ env: noCache });
    rig.produce(10);
    const { code, stderr } = await rig.run(["run"], {}, withFullDisk(0));
    equal(code, 1);
    match(stderr, /^auth0-log-exporter: .*the disk is full.*\n$/);
    equal(rig.cloudwatch.counts.requests, 0);
  });
});

describe("a state folder that cannot be used", { concurrency: 3 }, () => {
  test("is one sentence and exit code 2, before anything is read or delivered", async () => {
    await using rig = await createRig();
    rig.produce(10);
    const file = join(rig.dir, "a-file");
    await writeFile(file, "");
    const { code, stderr } = await rig.run(["run"], { CHECKPOINT_DIR: join(file, "checkpoints") });
    equal(code, 2);
    match(stderr, /^auth0-log-exporter: .*a-file\/checkpoints.*CHECKPOINT_DIR.*\n$/);
    deepEqual({ ...rig.tenant.counts }, { token: 0, logs: 0, log: 0 });
    equal(rig.cloudwatch.counts.requests, 0);
  });

  test("because its state is corrupt stops the daemon loudly, and never begins again from zero", async () => {
    await using rig = await createRig();
    rig.produce(10);
    equal((await rig.run(["run"])).code, 0);
    await truncate(join(rig.checkpointDir, "state.db"), 5_000);
    const { code, stderr } = await rig.run(["start"], { SLACK_INCOMING_WEBHOOK_URL: rig.slack.url });
    equal(code, 2);
    match(stderr, /corrupt/);
    match(rig.slack.messages[0]?.text ?? "", /corrupt/);
    equal(rig.cloudwatch.events().length, 10);
  });
});

describe("two processes on one state folder", { concurrency: 3 }, () => {
  test("the second daemon exits with 3 and names the first; the first keeps it while it is paused, until it is killed", async () => {
    await using rig = await createRig();
    const first = await startDaemon(rig);
    const owner = new RegExp(`in use by process ${first.pid} on ${hostname()}`);
    const second = await rig.run(["start"]);
    equal(second.code, 3);
    match(second.stderr, owner);

    first.child.kill("SIGSTOP");
    const third = await rig.run(["run"]);
    first.child.kill("SIGCONT");
    equal(third.code, 3);
    match(third.stderr, owner);
    equal(first.child.exitCode, null);

    first.child.kill("SIGKILL");
    await first.finished;
    equal((await rig.run(["run"])).code, 0);
  });

  test("commands that move things are refused beside a daemon, and commands that show things work", async () => {
    await using rig = await createRig();
    const old = rig.produce(3, Date.now() - 20 * 86_400_000);
    const ids = rig.produce(5);
    const daemon = await startDaemon(rig);
    await until("the end of the first run", () => daemon.output().stderr.includes("run succeeded"));
    const before = await rig.checkpoint();

    const moving = [
      ["checkpoint", "set", "oldest"],
      ["checkpoint", "reset"],
      ["replay", "--from", "oldest"],
      ["dead-letters", "retry"],
    ];
    const refused = await Promise.all(moving.map((args) => rig.run(args)));
    for (const [index, { code, stderr }] of refused.entries()) {
      equal(code, 3, moving[index]?.join(" "));
      match(stderr, /in use by process/);
    }
    const showing = [
      ["checkpoint", "show", "--json"],
      ["history", "--json"],
      ["dead-letters", "list", "--json"],
    ];
    const shown = await Promise.all(showing.map((args) => rig.run(args)));
    deepEqual(
      shown.map(({ code }) => code),
      [0, 0, 0],
    );
    const [checkpoint, history, letters] = shown.map(({ stdout }) =>
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    );
    equal(checkpoint?.[0].cursor, ids.at(-1));
    deepEqual(history?.[0].counts.delivered, 5);
    deepEqual(letters?.map(({ event }) => event).sort(), old);
    deepEqual(await rig.checkpoint(), before);
    notEqual(before, null);
    equal(logLines(daemon.output().stderr).filter(({ level }) => level === "error").length, 0);
    assertExactlyOnce(rig.held(), ids);
  });
});
