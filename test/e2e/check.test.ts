import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createRig, type Env, type Rig, until } from "../support/exporter.ts";

interface Finding {
  readonly ok: boolean;
  readonly text: string;
  readonly advice?: string;
}

async function check(rig: Rig, env: Env = {}, ...flags: string[]) {
  const { code, stdout, stderr } = await rig.run(["check", "--json", ...flags], env);
  const findings: Finding[] = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  return { code, findings, wrong: findings.filter((finding) => !finding.ok), stderr };
}

describe("check", { concurrency: 3 }, () => {
  test("looks at everything, exports nothing, and exits with 0 when all is well", async () => {
    await using rig = await createRig();
    rig.produce(5);
    const { code, findings, stderr } = await check(rig, { SLACK_INCOMING_WEBHOOK_URL: rig.slack.url });
    equal(code, 0, stderr);
    for (const what of [
      "settings",
      "state",
      "Auth0 login",
      "Auth0 logs",
      "CloudWatch Logs",
      "Slack",
      "schedule",
    ]) {
      ok(
        findings.some(({ text }) => text.includes(what)),
        what,
      );
    }
    equal(findings.at(-1)?.text.match(/\d\d:\d\d:\d\d/g)?.length, 5, "the next five run times");
    equal(rig.cloudwatch.events().length, 0);
    equal(rig.slack.messages.length, 0);
    equal((await rig.run(["check", "--slack"], { SLACK_INCOMING_WEBHOOK_URL: rig.slack.url })).code, 0);
    equal(rig.slack.messages.length, 1);
  });

  test("finds everything that is wrong in one go, with advice, and exits with 1", async () => {
    await using rig = await createRig({ tenant: { scopes: ["read:users"] }, cloudwatch: { groups: {} } });
    rig.slack.outage = { status: 404, body: "no_service" };
    const env = { CLOUDWATCH_CREATE: "false", SLACK_INCOMING_WEBHOOK_URL: rig.slack.url };
    const { code, wrong } = await check(rig, env, "--slack");
    equal(code, 1);
    deepEqual(
      wrong.map(({ text }) => text.split(":")[0]),
      ["Auth0 login", "Auth0 logs", "cloudwatch", "Slack"],
    );
    const hasAdvice = ({ text, advice }: (typeof wrong)[number]) =>
      advice ?? /; grant|create a new one/.test(text);
    ok(wrong.every(hasAdvice));
    match(wrong.map(({ text, advice }) => `${text} ${advice}`).join("\n"), /read:logs/);
  });

  test("tells of settings, a wrong secret and a destination that is down", async () => {
    await using rig = await createRig();
    const settings = await check(rig, { BATCH_SIZE: "0" });
    equal(settings.code, 1);
    match(settings.wrong[0]?.text ?? "", /BATCH_SIZE/);
    rig.cloudwatch.outage = { status: 503 };
    const { code, wrong } = await check(rig, { AUTH0_CLIENT_SECRET: "this-is-not-the-secret" });
    equal(code, 1);
    deepEqual(
      wrong.map(({ text }) => text.split(":")[0]),
      ["Auth0 login", "cloudwatch"],
    );
  });

  test("beside a daemon names the daemon that owns the state", async () => {
    await using rig = await createRig();
    const daemon = rig.spawn(["start"]);
    await until("the daemon", () => daemon.output().stderr.includes('"msg":"started"'));
    const { code, wrong } = await check(rig);
    equal(code, 1);
    equal(wrong.length, 1);
    match(wrong[0]?.text ?? "", new RegExp(`process ${daemon.pid} `));
  });
});

test("the demo exports what its tenant produces, and says so when it ends", async () => {
  const cli = fileURLToPath(new URL("../../src/cli.ts", import.meta.url));
  const demo = spawn(process.execPath, [cli, "demo", "--events", "300"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let printed = "";
  demo.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  const code = await new Promise((resolve) => demo.once("close", resolve));
  equal(code, 0, printed);
  match(printed, /^produced 300 · held by CloudWatch 300 · lost 0 · duplicated 0$/m);
});
