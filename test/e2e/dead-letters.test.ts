import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { createRig, logGroup, pipeline, recordOf, until } from "../support/exporter.ts";
import { oddEvents } from "../support/odd-events.ts";

const dayMs = 86_400_000;

test("events too old for CloudWatch are kept whole, listed, exported as sent, and delivered by a retry once they may be", async () => {
  await using rig = await createRig();
  const old = oddEvents(Date.now() - 20 * dayMs);
  for (const { id, text } of old) rig.tenant.appendRaw(text, id);
  const [young] = rig.produce(1);
  const finished = await rig.run(["run", "--json"], { SLACK_INCOMING_WEBHOOK_URL: rig.slack.url });
  equal(finished.code, 0, finished.stderr);
  const { counts } = recordOf(finished);
  deepEqual([counts.delivered, counts.rejected], [1, old.length]);
  match(rig.slack.messages[0]?.text ?? "", new RegExp(`^🟡 .*Dead letters: ${old.length} events`, "s"));

  const listed = await rig.run(["dead-letters", "list", "--limit", "3"]);
  equal(listed.code, 0, listed.stderr);
  match(listed.stdout, new RegExp(`^pipeline +event +type +kept at +reason\n${pipeline} +${old[0]?.id} +s `));
  match(listed.stdout, new RegExp(`and ${old.length - 3} more`));

  const exported = await rig.run(["dead-letters", "export"]);
  equal(exported.code, 0, exported.stderr);
  const lines = exported.stdout.trimEnd().split("\n");
  equal(lines.length, old.length);
  for (const [index, { what, text }] of old.entries()) {
    ok(lines[index]?.endsWith(`,"event":${text}}`), what);
    match(JSON.parse(lines[index] ?? "").reason, /14 days/);
  }

  const refusedAgain = await rig.run(["dead-letters", "retry", "--json"]);
  equal(refusedAgain.code, 0, refusedAgain.stderr);
  const again = JSON.parse(refusedAgain.stdout);
  deepEqual(
    { ...again, reason: "" },
    { pipeline, delivered: 0, rejected: old.length, reason: "", error: null },
  );
  match(again.reason, /14 days/);
  equal((await rig.deadLetters()).length, old.length);

  const accepted = await rig.run(["dead-letters", "retry", "--json"], { CLOUDWATCH_OLD_EVENTS: "clamp" });
  equal(accepted.code, 0, accepted.stderr);
  const delivered = { pipeline, delivered: old.length, rejected: 0, reason: null, error: null };
  deepEqual(JSON.parse(accepted.stdout), delivered);
  deepEqual(await rig.deadLetters(), []);
  const held = rig.cloudwatch.events(logGroup).filter(({ message }) => !message.includes(young!));
  deepEqual(
    held.map(({ message }) => message),
    old.map(({ text }) => text),
  );
  ok(held.every(({ timestamp }) => timestamp > Date.now() - 14 * dayMs));
});

test("a retry that CloudWatch does not answer keeps every dead letter", async () => {
  await using rig = await createRig({ env: { GIVE_UP_AFTER_SECONDS: "1" } });
  rig.produce(5, Date.now() - 20 * dayMs);
  equal((await rig.run(["run"])).code, 0);
  rig.cloudwatch.outage = { status: 503 };
  const { code, stdout } = await rig.run(["dead-letters", "retry", "--json"], {
    CLOUDWATCH_OLD_EVENTS: "clamp",
  });
  equal(code, 1);
  match(JSON.parse(stdout).error, /503/);
  equal((await rig.deadLetters()).length, 5);
});

test("the history lists runs newest first, and with --failed only those that failed or crashed", async () => {
  await using rig = await createRig();
  rig.produce(5);
  equal((await rig.run(["run"])).code, 0);
  rig.produce(5);
  rig.cloudwatch.outage = { status: 400, type: "AccessDeniedException" };
  equal((await rig.run(["run"])).code, 1);
  rig.cloudwatch.outage = { fault: "hang", on: "PutLogEvents" };
  const crashing = rig.spawn(["run"]);
  const sent = rig.cloudwatch.requests.length;
  await until("the request that hangs", () => rig.cloudwatch.requests.length > sent);
  crashing.child.kill("SIGKILL");
  await crashing.finished;
  rig.cloudwatch.outage = null;
  equal((await rig.run(["run"])).code, 0);

  const outcomes = async (...flags: string[]) => {
    const { code, stdout, stderr } = await rig.run(["history", "--json", ...flags]);
    equal(code, 0, stderr);
    return stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).outcome);
  };
  deepEqual(await outcomes(), ["succeeded", "crashed", "failed", "succeeded"]);
  deepEqual(await outcomes("--failed", "--limit", "2"), ["crashed", "failed"]);
  const { stdout } = await rig.run(["history", "--failed"]);
  match(stdout, /cloudwatch +failed .*auth: .*AccessDenied/);
});
