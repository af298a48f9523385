import { deepEqual, equal, match, ok } from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
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

const outage = { status: 503, type: "ServiceUnavailableException" } as const;
/** Fails a run without any retry. */
const denied = { status: 400, type: "AccessDeniedException" } as const;
const reporting = (rig: Rig) => ({ SLACK_INCOMING_WEBHOOK_URL: rig.slack.url });

/** The replay command of a report, as a person copies it out of the channel. */
function commandIn(message: Rig["slack"]["messages"][number] | undefined): string {
  const [, command = ""] = /`(auth0-log-exporter replay [^`]*)`/.exec(message?.text ?? "") ?? [];
  return command.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

/** Runs a command line as it was typed, with `auth0-log-exporter` being the command under test. */
async function type(rig: Rig, commandLine: string) {
  const name = join(rig.dir, "auth0-log-exporter");
  const [node, cli] = [process.execPath, join(import.meta.dirname, "../../src/cli.ts")];
  await writeFile(name, `#!/bin/sh\nexec "${node}" "${cli}" "$@"\n`);
  await chmod(name, 0o755);
  return rig.run([], { ...reporting(rig), PATH: `${rig.dir}:${process.env.PATH}` }, commandLine);
}

describe("reports to Slack", { concurrency: 3 }, () => {
  test("a Slack that never answers delays an export by its time-out of 10 s alone", async () => {
    await using rig = await createRig();
    const ids = rig.produce(5);
    rig.slack.outage = "hang";
    const finished = await rig.run(["run", "--json"], { ...reporting(rig), SLACK_SEND_SUCCESS: "true" });
    const delayMs = Date.now() - Date.parse(recordOf(finished).endedAt);
    equal(finished.code, 0);
    assertExactlyOnce(rig.held(), ids);
    ok(delayMs > 9_000 && delayMs < 15_000, `delayed by ${delayMs} ms`);
  });

  test("a failed run is reported with its checkpoint and a command that replays from it, which works", async () => {
    await using rig = await createRig({ env: { GIVE_UP_AFTER_SECONDS: "1" } });
    const before = rig.produce(50, Date.now() - 7_200_000);
    equal((await rig.run(["run"])).code, 0);
    const after = rig.produce(150);
    rig.cloudwatch.outage = outage;
    equal((await rig.run(["run"], reporting(rig))).code, 1);

    equal(rig.slack.messages.length, 1);
    const text = JSON.stringify(rig.slack.messages[0]);
    for (const fact of [
      before.at(-1),
      after[0],
      after[99],
      rig.tenant.domain,
      "Error (transient)",
      "0 delivered",
    ]) {
      ok(text.includes(fact ?? ""), `the report does not say ${fact}: ${text}`);
    }
    rig.cloudwatch.outage = null;
    const command = commandIn(rig.slack.messages[0]);
    const replayed = await type(rig, command);
    equal(replayed.code, 0, `${command}: ${replayed.stderr}`);
    const { lost, duplicates } = compare(rig.held(), [...before, ...after]);
    deepEqual(lost, []);
    equal(duplicates, 1, "a replay from an event has that event again, and no other");
  });

  test("the command of a first run that failed replays everything", async () => {
    await using rig = await createRig();
    const ids = rig.produce(20);
    rig.cloudwatch.outage = denied;
    equal((await rig.run(["run"], reporting(rig))).code, 1);
    rig.cloudwatch.outage = null;
    const command = commandIn(rig.slack.messages[0]);
    const replayed = await type(rig, command);
    equal(replayed.code, 0, `${command}: ${replayed.stderr}`);
    assertExactlyOnce(rig.held(), ids);
  });

  test("an unchanged failure is reported once over several processes, then the recovery", async () => {
    await using rig = await createRig();
    const ids = rig.produce(20);
    rig.cloudwatch.outage = denied;
    for (let run = 0; run < 2; run++) equal((await rig.run(["run"], reporting(rig))).code, 1);
    equal(rig.slack.messages.length, 1);
    match(rig.slack.messages[0]?.text ?? "", /^🔴 .*failed/);

    rig.cloudwatch.outage = null;
    for (let run = 0; run < 2; run++) equal((await rig.run(["run"], reporting(rig))).code, 0);
    equal(rig.slack.messages.length, 2);
    match(rig.slack.messages[1]?.text ?? "", /^🟢 .*recovered after 2 runs, 0 minutes/);
    assertExactlyOnce(rig.held(), ids);
  });

  test("the daemon stays up while the destination is down, recovers by itself, and reports both", async () => {
    await using rig = await createRig({ env: { GIVE_UP_AFTER_SECONDS: "1", SCHEDULE: "* * * * * *" } });
    const ids = rig.produce(150);
    rig.cloudwatch.outage = outage;
    const running = rig.spawn(["start"], reporting(rig));
    const failures = () =>
      logLines(running.output().stderr).filter(({ msg }) => msg.startsWith("run failed")).length;
    await until("two failed runs", () => failures() >= 2);
    equal(rig.slack.messages.length, 1);
    rig.cloudwatch.outage = null;
    await until("the report of the recovery", () => rig.slack.messages.length >= 2);
    running.child.kill("SIGTERM");
    const { code } = await running.finished;

    equal(code, 0);
    match(rig.slack.messages[1]?.text ?? "", /^🟢 .*recovered after \d+ runs/);
    assertExactlyOnce(rig.held(), ids);
  });

  test("successful runs are reported only with SLACK_SEND_SUCCESS", async () => {
    await using rig = await createRig();
    rig.produce(5);
    equal((await rig.run(["run"], reporting(rig))).code, 0);
    equal(rig.slack.messages.length, 0);
    equal((await rig.run(["run"], { ...reporting(rig), SLACK_SEND_SUCCESS: "true" })).code, 0);
    match(rig.slack.messages[0]?.text ?? "", /^🟢/);
  });

  for (const fault of ["reset", { status: 404, body: "no_service" }] as const) {
    const name = typeof fault === "string" ? fault : fault.status;
    test(`a Slack that answers with ${name} fails no export, and is a warning in the log`, async () => {
      await using rig = await createRig();
      const ids = rig.produce(5);
      rig.slack.outage = fault;
      const { code, stderr } = await rig.run(["run"], { ...reporting(rig), SLACK_SEND_SUCCESS: "true" });
      equal(code, 0);
      assertExactlyOnce(rig.held(), ids);
      const warnings = logLines(stderr).filter(({ level }) => level === "warn");
      equal(warnings.length, 1);
      match(warnings[0]?.msg ?? "", /not posted to Slack/);
    });
  }

  test("a daemon that cannot start for its settings tells Slack", async () => {
    await using rig = await createRig();
    const { code } = await rig.run(["start"], { ...reporting(rig), BATCH_SIZE: "101" });
    equal(code, 2);
    equal(rig.slack.messages.length, 1);
    match(rig.slack.messages[0]?.text ?? "", /^🔴 .*could not start.*BATCH_SIZE/s);
  });
});
