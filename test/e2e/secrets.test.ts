import { equal, match, ok, throws } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createRig, until } from "../support/exporter.ts";
import { onSighting } from "../support/progress.ts";
import { assertNoSecret, usedTokens } from "../support/secrets.ts";

// Disposing of a rig searches all that it wrote, posted and stored; so each test here only has to go wrong.

/** Values that no setting takes, each of them a secret that was mistyped. Of two names of a setting, the first counts. */
const wrongValues: readonly Readonly<Record<string, string | undefined>>[] = [
  {
    AUTH0_CLIENT_SECRET: "kept-from-view 1",
    AWS_SECRET_KEY: "kept from view/2+3",
    AWS_SESSION_TOKEN: "kept from view/6+7==",
    SLACK_INCOMING_WEBHOOK_URL: "https://hooks.slack.com/services/T0KEPT/B0KEPT/kept from view",
  },
  {
    AWS_SECRET_KEY: undefined,
    AWS_SECRET_ACCESS_KEY: "kept from view/4+5",
    SLACK_INCOMING_WEBHOOK: "http://hooks.slack.com/services/T1KEPT/B1KEPT/keptfromview",
  },
];

/** Throws, in the middle of whatever the program does, an error that quotes a secret. */
const throwing = (how: string) => {
  const code = `process.on("SIGUSR2", () => { const text = "quotes " + process.env.AUTH0_CLIENT_SECRET; ${how} })`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
};

describe("secrets", { concurrency: 3 }, () => {
  test("the search for them finds them, in every form and in tokens that were used", async () => {
    await using rig = await createRig();
    rig.produce(5);
    equal((await rig.run(["run"])).code, 0);
    const [token = ""] = usedTokens();
    ok(token.length >= 20);
    const secret = "a secret/with+odd=letters";
    for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64")]) {
      throws(() => assertNoSecret(`before ${form} after`, [secret], "a text"), /shows a secret/);
    }
    assertNoSecret("nothing of the kind", [secret, token], "a text");
  });

  for (const values of wrongValues) {
    const names = Object.keys(values).filter((name) => values[name] !== undefined);
    test(`wrong values of ${names.join(", ")} are refused without being shown`, async () => {
      await using rig = await createRig();
      const { code, stderr } = await rig.run(["run"], values);
      equal(code, 2);
      for (const name of names) match(stderr, new RegExp(name));
    });
  }

  test("a key file that holds something else is refused without being shown", async () => {
    await using rig = await createRig();
    const keyFile = join(rig.dir, "key.pem");
    const content = "c2VjcmV0LWtleS1tYXRlcmlhbA";
    await writeFile(keyFile, `-----BEGIN RSA PRIVATE KEY-----\n${content}\n-----END RSA PRIVATE KEY-----\n`);
    rig.secrets.add(content);
    const env = { AUTH0_CLIENT_SECRET: undefined, AUTH0_CLIENT_ASSERTION_KEY_FILE: keyFile };
    const { code, stderr } = await rig.run(["run"], env);
    equal(code, 2);
    match(stderr, /AUTH0_CLIENT_ASSERTION_KEY_FILE/);
  });

  test("services that repeat what they were sent do not bring it into a log, a record or a report", async () => {
    await using rig = await createRig({ env: { EXPORTER_LOG_LEVEL: "debug", GIVE_UP_AFTER_SECONDS: "1" } });
    rig.produce(5);
    const env = { SLACK_INCOMING_WEBHOOK_URL: rig.slack.url };
    const repeat = (text: string) => {
      rig.tenant.outage = {
        status: 500,
        body: `<pre>${text}</pre>`,
        headers: { "content-type": "text/html" },
        on: "logs",
      };
    };
    const done = onSighting("a request arrives", rig, (request) => {
      const [, token] = /^Bearer (.*)$/.exec(request?.headers.authorization ?? "") ?? [];
      if (token !== undefined) repeat(token);
    });
    match((await rig.run(["run", "--json"], env)).stdout, /<pre>\[redacted\]<\/pre>/);
    done();

    const secrets = `${rig.tenant.clientSecret} ${rig.env.AWS_SECRET_KEY} ${rig.slack.url}`;
    rig.tenant.outage = {
      status: 401,
      body: { error: "access_denied", error_description: secrets },
      on: "token",
    };
    equal((await rig.run(["run", "--json"], env)).code, 1);
    rig.tenant.outage = null;
    rig.cloudwatch.outage = {
      status: 403,
      body: JSON.stringify({ __type: "AccessDeniedException", message: secrets }),
    };
    equal((await rig.run(["run", "--json"], env)).code, 1);
    rig.slack.outage = { status: 400, body: `${secrets} ${new URL(rig.slack.url).pathname}` };
    const { code, stdout } = await rig.run(["run", "--json"], env);
    equal(code, 1);
    match(stdout, /\[redacted\] \[redacted\]/);
    equal((await rig.run(["history", "--failed"])).code, 0);
  });

  for (const [what, command, how] of [
    ["an uncaught error", "start", "throw new Error(text, { cause: { text } })"],
    ["an unhandled rejection", "run", "Promise.reject(new TypeError(text))"],
  ] as const) {
    test(`${what} ends "${command}" with 70, with its secrets left out`, async () => {
      await using rig = await createRig();
      rig.produce(5);
      rig.cloudwatch.outage = "hang";
      const running = rig.spawn([command], throwing(how));
      await until("the request that hangs", () => rig.cloudwatch.requests.length > 0);
      running.child.kill("SIGUSR2");
      const { code, stderr } = await running.finished;
      equal(code, 70, stderr);
      match(stderr, /quotes \[redacted\]/);
    });
  }
});
