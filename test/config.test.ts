import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { inspect } from "node:util";
import { type Config, loadConfig, secretsIn, slackUrlIn } from "../src/config.ts";
import { ExportError } from "../src/core/errors.ts";
import { type SettingName, settings } from "../src/settings.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** The least that is needed. */
const base: Env = {
  AUTH0_DOMAIN: "my-tenant.eu.auth0.com",
  AUTH0_CLIENT_ID: "client",
  AUTH0_CLIENT_SECRET: "s3cret-of-the-client",
  CLOUDWATCH_LOG_GROUP_NAME: "/auth0/logs",
  CLOUDWATCH_LOG_STREAM_NAME: "events",
};
const webhook = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX";
const awsKey = { AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_KEY: "wJalrXUtnFEMI/K7MDENG" };

const load = (env: Env) => loadConfig({ ...base, ...env });

/** What is wrong with these settings, one problem an item. */
function problemsOf(env: Env): string[] {
  try {
    load(env);
  } catch (thrown) {
    assert.ok(thrown instanceof ExportError && thrown.kind === "config", String(thrown));
    const [first, ...problems] = thrown.message.split("\n  - ");
    assert.equal(first, "the settings are not right; nothing was started:");
    return problems;
  }
  return [];
}

interface Row {
  /** What becomes of the setting. */
  read(config: Config): unknown;
  /** Its value when it is not set or empty; absent when it then is a problem. */
  readonly empty?: unknown;
  readonly good: readonly (readonly [text: string, value: unknown])[];
  readonly bad: readonly string[];
  /** What else has to be set. */
  readonly with?: Env;
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const pkcs8 = rsa.export({ type: "pkcs8", format: "pem" }).toString();
let dir = "";
const file = (name: string) => join(dir, name);

const numbers = (min: number, max: number, scale = 1) => ({
  good: [min, max].map((value) => [String(value), value * scale] as const),
  bad: [String(min - 1), String(max + 1), "1.5", "1e2", "0x10", "ten", "5s", "99999999999999999999"],
});
const flag = {
  good: [
    ["true", true],
    ["false", false],
  ] as const,
  bad: ["yes", "1", "TRUE", "tru"],
};
const region = { good: [["eu-central-1", "eu-central-1"]] as const, bad: ["EU Central", "eu_central"] };
const slackUrl = {
  read: ({ slack }: Config) => slack.url?.() ?? null,
  empty: null,
  good: [[webhook, webhook]] as const,
  bad: ["hooks.slack.com/services/T/B/X", "nonsense", "ftp://hooks.slack.com/services/T/B/X"],
};

const table = {
  AUTH0_DOMAIN: {
    read: ({ auth0 }) => auth0.domain,
    good: [
      ["my-tenant.eu.auth0.com", "my-tenant.eu.auth0.com"],
      ["  login.example.com  ", "login.example.com"],
      ["localhost:8443", "localhost:8443"],
    ],
    bad: [
      "https://my-tenant.auth0.com",
      "my-tenant.auth0.com/",
      "my tenant",
      "-x.com",
      "a.com:port",
      "ä.com",
    ],
  },
  AUTH0_CLIENT_ID: { read: ({ auth0 }) => auth0.clientId, good: [["aB3_x", "aB3_x"]], bad: ["a b", "ü"] },
  AUTH0_CLIENT_SECRET: {
    read: ({ auth0 }) => auth0.clientSecret?.(),
    good: [
      ["p4ss/w+rd=", "p4ss/w+rd="],
      [" trimmed ", "trimmed"],
    ],
    bad: ["with space", "zürich"],
  },
  AUTH0_CLIENT_ASSERTION_KEY_FILE: {
    read: ({ auth0 }) => auth0.clientAssertionKey?.() ?? null,
    empty: null,
    good: [["{pkcs8}", pkcs8]],
    bad: ["{pkcs1}", "{public}", "{garbage}", "{missing}", "{dir}"],
  },
  AUTH0_AUDIENCE: {
    read: ({ auth0 }) => auth0.audience,
    empty: null,
    good: [["https://my-tenant.auth0.com/api/v2/", "https://my-tenant.auth0.com/api/v2/"]],
    bad: ["my-tenant.auth0.com/api/v2/", "http://my-tenant.auth0.com/api/v2/", "nonsense"],
  },
  AUTH0_LOG_RETENTION_DAYS: { read: ({ auth0 }) => auth0.retentionDays, empty: null, ...numbers(1, 365) },
  DESTINATION: {
    read: ({ pipelines }) => pipelines.map(({ name, destination }) => `${name}=${destination}`),
    empty: ["cloudwatch=cloudwatch"],
    good: [
      ["stdout", ["stdout=stdout"]],
      ["cloudwatch, stdout", ["cloudwatch=cloudwatch", "stdout=stdout"]],
      ["a=stdout,b=cloudwatch", ["a=stdout", "b=cloudwatch"]],
      ["eu.prod-1=cloudwatch", ["eu.prod-1=cloudwatch"]],
    ],
    bad: [
      "kafka",
      "cloudwatch,",
      "stdout,stdout",
      "a=stdout,b=stdout",
      "a=stdout,a=cloudwatch",
      "=stdout",
      "a=",
      "a b=stdout",
    ],
  },
  SCHEDULE: {
    read: ({ schedule }) => schedule,
    empty: "*/5 * * * *",
    good: [
      ["0 * * * *", "0 * * * *"],
      ["*/10 * * * * *", "*/10 * * * * *"],
      ["30 2 * * mon-fri", "30 2 * * mon-fri"],
    ],
    bad: [
      "every minute",
      "* * * *",
      "* * * * * * *",
      "61 * * * *",
      "*/90 * * * *",
      "*/0 * * * *",
      "0 */25 * * *",
      "@hourly",
      "5/15 * * * *",
      "0 0 30 2 *",
    ],
  },
  SCHEDULE_TIMEZONE: {
    read: ({ timezone }) => timezone,
    empty: "UTC",
    good: [
      ["Europe/Berlin", "Europe/Berlin"],
      ["America/New_York", "America/New_York"],
    ],
    bad: ["Europe/Atlantis", "CEST+1", "Berlin"],
  },
  RUN_ON_START: { read: ({ runOnStart }) => runOnStart, empty: true, ...flag },
  BATCH_SIZE: { read: ({ batchSize }) => batchSize, empty: 100, ...numbers(1, 100) },
  START_FROM: {
    read: ({ startFrom }) => startFrom,
    empty: null,
    good: [
      ["oldest", "oldest"],
      ["latest", "latest"],
      ["-24h", "-24h"],
      ["-7d", "-7d"],
      ["2026-01-31", "2026-01-31"],
      ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"],
      [
        "90020260102030405678000000000000000000000000000000000001",
        "90020260102030405678000000000000000000000000000000000001",
      ],
    ],
    bad: ["newest", "7d", "2026-02-30", "2999-01-01", "123"],
  },
  LOG_LEVEL: {
    read: ({ minLevel }) => minLevel,
    empty: null,
    good: [
      ["0", 0],
      ["4", 4],
      ["debug", 0],
      ["info", 1],
      ["warning", 2],
      ["error", 3],
      ["critical", 4],
    ],
    bad: ["5", "-1", "warn", "INFO", "fatal"],
  },
  LOG_TYPES: {
    read: ({ types }) => types,
    empty: null,
    good: [
      ["s", ["s"]],
      [" s , fp,sapi ", ["s", "fp", "sapi"]],
    ],
    bad: ["s;fp", "s,,fp", ",", "s fp"],
  },
  MAX_BATCHES_IN_FLIGHT: {
    read: ({ maxBatchesInFlight }) => maxBatchesInFlight,
    empty: 8,
    ...numbers(1, 64),
  },
  SETTLE_SECONDS: { read: ({ settleMs }) => settleMs, empty: 10_000, ...numbers(0, 3600, 1_000) },
  GIVE_UP_AFTER_SECONDS: {
    read: ({ giveUpAfterMs }) => giveUpAfterMs,
    empty: 120_000,
    ...numbers(1, 600, 1_000),
  },
  CLOUDWATCH_LOG_GROUP_NAME: {
    read: ({ cloudwatch }) => cloudwatch?.logGroupName,
    good: [
      ["/auth0/my_tenant-1.logs#x", "/auth0/my_tenant-1.logs#x"],
      ["g".repeat(512), "g".repeat(512)],
    ],
    bad: ["g".repeat(513), "with space", "a:b", "a*"],
  },
  CLOUDWATCH_LOG_STREAM_NAME: {
    read: ({ cloudwatch }) => cloudwatch?.logStreamName,
    good: [
      ["auth0 events/2026", "auth0 events/2026"],
      ["s".repeat(512), "s".repeat(512)],
    ],
    bad: ["s".repeat(513), "a:b", "a*"],
  },
  CLOUDWATCH_CREATE: { read: ({ cloudwatch }) => cloudwatch?.create, empty: true, ...flag },
  CLOUDWATCH_OLD_EVENTS: {
    read: ({ cloudwatch }) => cloudwatch?.oldEvents,
    empty: "dead-letter",
    good: [
      ["clamp", "clamp"],
      ["dead-letter", "dead-letter"],
    ],
    bad: ["drop", "deadletter"],
  },
  AWS_REGION: { read: ({ cloudwatch }) => cloudwatch?.region, empty: null, ...region },
  AWS_DEFAULT_REGION: { read: ({ cloudwatch }) => cloudwatch?.region, empty: null, ...region },
  AWS_ACCESS_KEY_ID: {
    read: ({ cloudwatch }) => cloudwatch?.credentials?.().accessKeyId,
    with: { AWS_SECRET_KEY: awsKey.AWS_SECRET_KEY },
    good: [["AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"]],
    bad: ["short", "AKIAIOSFODNN7 EXAMPLE"],
  },
  AWS_SECRET_KEY: {
    read: ({ cloudwatch }) => cloudwatch?.credentials?.().secretAccessKey,
    with: { AWS_ACCESS_KEY_ID: awsKey.AWS_ACCESS_KEY_ID },
    good: [["wJalr/K7+MDENG=", "wJalr/K7+MDENG="]],
    bad: ["wJalr K7MDENG"],
  },
  AWS_SECRET_ACCESS_KEY: {
    read: ({ cloudwatch }) => cloudwatch?.credentials?.().secretAccessKey,
    with: { AWS_ACCESS_KEY_ID: awsKey.AWS_ACCESS_KEY_ID },
    good: [["wJalr/K7+MDENG=", "wJalr/K7+MDENG="]],
    bad: ["wJalr K7MDENG"],
  },
  AWS_SESSION_TOKEN: {
    read: ({ cloudwatch }) => cloudwatch?.credentials?.().sessionToken ?? null,
    empty: null,
    with: awsKey,
    good: [["IQoJb3JpZ2lu/+=", "IQoJb3JpZ2lu/+="]],
    bad: ["IQoJ b3JpZ2lu"],
  },
  AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: {
    read: ({ cloudwatch }) => cloudwatch?.endpoint,
    empty: null,
    good: [["http://127.0.0.1:5000", "http://127.0.0.1:5000"]],
    bad: ["127.0.0.1:5000", "ftp://logs", "nonsense"],
  },
  SLACK_INCOMING_WEBHOOK_URL: slackUrl,
  SLACK_INCOMING_WEBHOOK: slackUrl,
  SLACK_SEND_SUCCESS: { read: ({ slack }) => slack.sendSuccess, empty: false, ...flag },
  SLACK_REMIND_MINUTES: {
    read: ({ slack }) => slack.remindAfterMs,
    empty: 3_600_000,
    ...numbers(1, 10_080, 60_000),
  },
  CHECKPOINT_DIR: {
    read: ({ checkpointDir }) => checkpointDir,
    empty: resolve("checkpoints"),
    good: [
      ["/var/lib/exporter", "/var/lib/exporter"],
      ["state", resolve("state")],
    ],
    bad: [],
  },
  SHUTDOWN_GRACE_SECONDS: {
    read: ({ shutdownGraceMs }) => shutdownGraceMs,
    empty: 25_000,
    ...numbers(1, 3600, 1_000),
  },
  REQUEST_TIMEOUT_SECONDS: {
    read: ({ requestTimeoutMs }) => requestTimeoutMs,
    empty: 30_000,
    ...numbers(1, 600, 1_000),
  },
  EXPORTER_LOG_LEVEL: {
    read: ({ logLevel }) => logLevel,
    empty: "info",
    good: [
      ["debug", "debug"],
      ["silent", "silent"],
    ],
    bad: ["trace", "DEBUG", "verbose"],
  },
} satisfies Record<SettingName, Row>;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "config-"));
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await Promise.all([
    writeFile(file("pkcs8"), pkcs8),
    writeFile(file("pkcs1"), rsa.export({ type: "pkcs1", format: "pem" })),
    writeFile(file("public"), publicKey.export({ type: "spki", format: "pem" })),
    writeFile(file("garbage"), "-----BEGIN PRIVATE KEY-----\nnot a key\n-----END PRIVATE KEY-----\n"),
  ]);
});
after(() => rm(dir, { recursive: true, force: true }));

/** The environment for one value of one setting; `{name}` stands for a file. */
function envOf(name: SettingName, value: string): Env {
  const row: Row = table[name];
  const path = value.replace(/^\{(.+)\}$/, (_, key: string) => (key === "dir" ? dir : file(key)));
  const key = name === "AUTH0_CLIENT_ASSERTION_KEY_FILE" && value !== "";
  return { ...row.with, ...(key ? { AUTH0_CLIENT_SECRET: "" } : {}), [name]: path };
}

describe("a setting", () => {
  it("stands in the table below, whichever it is", () => {
    assert.deepEqual(Object.keys(table).sort(), Object.keys(settings).sort());
  });

  for (const name of Object.keys(table) as SettingName[]) {
    const row: Row = table[name];

    it(`${name} takes what is right`, () => {
      for (const [given, value] of row.good)
        assert.deepEqual(row.read(load(envOf(name, given)).config), value, given);
    });

    it(`${name} refuses what is wrong, with its name, what is expected and what was got`, () => {
      const isSecret = "secret" in settings[name];
      for (const given of row.bad) {
        const env = envOf(name, given);
        const [problem = "", ...others] = problemsOf(env).filter((line) => line.startsWith(`${name}:`));
        const got = env[name] ?? "";
        assert.match(problem, /expected /, `${name}=${given}`);
        assert.deepEqual(others, []);
        assert.equal(problem.includes(got), !isSecret, problem);
      }
    });

    it(`${name} counts as not set when it is empty`, () => {
      for (const given of [undefined, "", "  "]) {
        const env = { ...row.with, [name]: given };
        if ("empty" in row) assert.deepEqual(row.read(load(env).config), row.empty, inspect(given));
        else assert.match(problemsOf(env).join("\n"), /expected .*(not set|neither is set)/, inspect(given));
      }
    });
  }
});

describe("settings that are not right", () => {
  it("are all told of at once", () => {
    const problems = problemsOf({
      AUTH0_DOMAIN: "",
      AUTH0_CLIENT_ID: "",
      AUTH0_CLIENT_SECRET: "",
      DESTINATION: "cloudwatch,stdout",
      SCHEDULE: "sometimes",
      BATCH_SIZE: "101",
      CLOUDWATCH_LOG_GROUP_NAME: "",
      CLOUDWATCH_LOG_STREAM_NAME: "a*b",
      AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
      SLACK_INCOMING_WEBHOOK_URL: "nonsense",
      HTTPS_PROXY: "nonsense",
    });
    assert.deepEqual(problems.map((problem) => problem.split(":")[0]).sort(), [
      "AUTH0_CLIENT_ID",
      "AUTH0_CLIENT_SECRET",
      "AUTH0_DOMAIN",
      "AWS_SECRET_KEY",
      "BATCH_SIZE",
      "CLOUDWATCH_LOG_GROUP_NAME",
      "CLOUDWATCH_LOG_STREAM_NAME",
      "HTTPS_PROXY",
      "SCHEDULE",
      "SLACK_INCOMING_WEBHOOK_URL",
    ]);
  });

  it("are told of without any secret", () => {
    const secrets = {
      AUTH0_CLIENT_SECRET: "hunter 2",
      AWS_ACCESS_KEY_ID: "hunter2!",
      AWS_SECRET_KEY: "hunter 2",
      AWS_SECRET_ACCESS_KEY: "hunter 2",
      AWS_SESSION_TOKEN: "hunter 2",
      SLACK_INCOMING_WEBHOOK_URL: "hunter2",
      SLACK_INCOMING_WEBHOOK: "hunter2",
      HTTP_PROXY: "hunter2",
    };
    const problems = problemsOf(secrets);
    assert.equal(problems.length, 7, problems.join("\n"));
    assert.doesNotMatch(problems.join("\n"), /hunter/);
  });

  it("BATCH_SIZE above 100 is refused, not clamped", () => {
    assert.deepEqual(problemsOf({ BATCH_SIZE: "101" }), [
      'BATCH_SIZE: expected a whole number from 1 to 100; got "101"',
    ]);
  });

  it("two credentials of the application are one too many", () => {
    const problems = problemsOf({ AUTH0_CLIENT_ASSERTION_KEY_FILE: file("pkcs8") });
    assert.match(problems.join("\n"), /expected one of them; both are set$/);
  });

  it("a PKCS#1 key is refused with the command that converts it", () => {
    const env = envOf("AUTH0_CLIENT_ASSERTION_KEY_FILE", "{pkcs1}");
    const [problem = ""] = problemsOf(env);
    assert.ok(problem.endsWith(`openssl pkcs8 -topk8 -nocrypt -in ${file("pkcs1")}`), problem);
  });

  it("a key file that cannot be read says why", () => {
    const env = envOf("AUTH0_CLIENT_ASSERTION_KEY_FILE", "{missing}");
    assert.match(problemsOf(env).join("\n"), /cannot read .*missing \(ENOENT\)/);
  });

  it("half a pair of AWS keys names the other half", () => {
    assert.match(problemsOf({ AWS_SECRET_KEY: "x" }).join(), /^AWS_ACCESS_KEY_ID: expected together/);
    const env = { AWS_ACCESS_KEY_ID: awsKey.AWS_ACCESS_KEY_ID };
    assert.match(problemsOf(env).join(), /^AWS_SECRET_KEY: expected together/);
  });

  it("CloudWatch's are needed only for CloudWatch", () => {
    const none = { CLOUDWATCH_LOG_GROUP_NAME: "", CLOUDWATCH_LOG_STREAM_NAME: "" };
    assert.equal(load({ ...none, DESTINATION: "stdout" }).config.cloudwatch, null);
    assert.equal(problemsOf({ ...none, DESTINATION: "stdout,cloudwatch" }).length, 2);
  });
});

describe("names that mean the same", () => {
  for (const [name, alias, row] of [
    ["AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", { first: "first+key", second: "second+key" }],
    ["AWS_REGION", "AWS_DEFAULT_REGION", { first: "eu-west-1", second: "us-east-1" }],
    ["SLACK_INCOMING_WEBHOOK_URL", "SLACK_INCOMING_WEBHOOK", { first: `${webhook}1`, second: `${webhook}2` }],
  ] as const) {
    it(`${name} and ${alias}: either works, and the first of them wins`, () => {
      const { read, with: others }: Row = table[name];
      const value = (env: Env) => read(load({ ...others, ...env }).config);
      assert.equal(value({ [name]: row.first }), row.first);
      assert.equal(value({ [alias]: row.second }), row.second);
      assert.equal(value({ [name]: row.first, [alias]: row.second }), row.first);
    });
  }

  it("the webhook's address is known before the rest is right", () => {
    assert.equal(slackUrlIn({ SLACK_INCOMING_WEBHOOK: webhook }), webhook);
    assert.equal(slackUrlIn({ SLACK_INCOMING_WEBHOOK_URL: ` ${webhook} ` }), webhook);
    assert.equal(slackUrlIn({ SLACK_INCOMING_WEBHOOK_URL: "", SLACK_INCOMING_WEBHOOK: webhook }), webhook);
    assert.equal(slackUrlIn({ SLACK_INCOMING_WEBHOOK_URL: "nonsense" }), null);
    assert.equal(slackUrlIn({}), null);
  });
});

describe("a warning", () => {
  const warningsOf = (env: Env) => load(env).warnings;

  it("is not given for what is right", () => {
    assert.deepEqual(
      warningsOf({ PATH: "/bin", HOME: "/root", AWS_PROFILE: "x", LOG_TYPES: "s,fp", BATCH_SIZE: "5" }),
      [],
    );
  });

  it("names what a mistyped name may have meant", () => {
    for (const [given, meant] of [
      ["BATCH_SIZ", "BATCH_SIZE"],
      ["SHEDULE", "SCHEDULE"],
      ["AUTH0_DOMIAN", "AUTH0_DOMAIN"],
      ["LOG_TYPE", "LOG_TYPES"],
      ["start_from", "START_FROM"],
      ["SLACK_INCOMING_WEBHOOK_URI", "SLACK_INCOMING_WEBHOOK_URL"],
    ] as const) {
      assert.deepEqual(warningsOf({ [given]: "x" }), [
        `${given} is not a setting of this program; did you mean ${meant}?`,
      ]);
    }
  });

  it("names what may have been meant also when the settings are refused for it", () => {
    const env = { AUTH0_DOMIAN: "tenant.auth0.com", CLOUDWATCH_LOG_GROUP: "group" };
    assert.throws(
      () => loadConfig(env),
      /AUTH0_DOMIAN .*did you mean AUTH0_DOMAIN\?[\s\S]*did you mean CLOUDWATCH_LOG_GROUP_NAME or /,
    );
  });

  it("tells of the settings of CloudWatch also when DESTINATION is wrong", () => {
    assert.throws(
      () => loadConfig({ DESTINATION: "kafka" }),
      /DESTINATION: [\s\S]*CLOUDWATCH_LOG_GROUP_NAME: /,
    );
  });

  it("names near type codes for one that the catalogue does not know, and takes it all the same", () => {
    const { config, warnings } = load({ LOG_TYPES: "s,sappi,qqqqqqqqq" });
    assert.deepEqual(config.types, ["s", "sappi", "qqqqqqqqq"]);
    assert.equal(warnings.length, 2);
    assert.match(warnings[0] ?? "", /does not know the type "sappi"; did you mean .*sapi/);
    assert.match(warnings[1] ?? "", /does not know the type "qqqqqqqqq"$/);
  });
});

describe("the config", () => {
  const full = {
    ...awsKey,
    AUTH0_CLIENT_SECRET: "hunter2-client",
    AWS_SECRET_KEY: "hunter2-aws",
    AWS_SESSION_TOKEN: "hunter2-session",
    SLACK_INCOMING_WEBHOOK_URL: webhook,
    HTTPS_PROXY: "http://me:hunter2-proxy@proxy.example:3128",
    NO_PROXY: "localhost",
  };

  it("shows no secret, however it is printed", () => {
    const { config } = load(full);
    const key = load(envOf("AUTH0_CLIENT_ASSERTION_KEY_FILE", "{pkcs8}")).config;
    for (const shown of [
      inspect([config, key], { depth: 20, showHidden: true }),
      JSON.stringify([config, key]),
      `${config.auth0.clientSecret} ${config.slack.url}`,
    ]) {
      assert.doesNotMatch(shown, /hunter2|XXXXXX|AKIA|BEGIN PRIVATE/);
    }
  });

  it("says which values must not be printed", () => {
    const secrets = ["hunter2-client", "hunter2-aws", "hunter2-session", webhook, awsKey.AWS_ACCESS_KEY_ID];
    assert.deepEqual([...load(full).secrets].sort(), secrets.sort());
    assert.deepEqual(
      secretsIn({ ...full, BATCH_SIZE: "0", AUTH0_CLIENT_SECRET: " x y " }).includes("x y"),
      true,
    );
  });

  it("cannot be changed", () => {
    const { config } = load({ ...full, LOG_TYPES: "s,fp" });
    const parts: unknown[] = [config];
    for (const part of parts) {
      if (typeof part !== "object" || part === null) continue;
      assert.ok(Object.isFrozen(part), inspect(part));
      parts.push(...Object.values(part));
    }
    assert.ok(parts.length > 40);
  });

  it("has the proxy in either case, and none without one", () => {
    const proxy = "http://proxy.example:3128";
    assert.deepEqual(
      { ...load({ https_proxy: proxy, no_proxy: "a" }).config.proxyEnv },
      {
        https_proxy: proxy,
        no_proxy: "a",
      },
    );
    assert.deepEqual({ ...load({ HTTP_PROXY: proxy }).config.proxyEnv }, { HTTP_PROXY: proxy });
    assert.equal(load({ NO_PROXY: "a", HTTPS_PROXY: " " }).config.proxyEnv, null);
  });
});

describe("the environment", () => {
  const script = `
    import { readEnvironment } from ${JSON.stringify(new URL("../src/config.ts", import.meta.url).href)};
    try {
      const env = readEnvironment(process.argv[1]);
      console.log([env.SCHEDULE, env.BATCH_SIZE].join("|"));
    } catch (error) {
      console.log(error.kind + ": " + error.message);
    }`;
  const read = async (envFile: string | null, env: Env, cwd: string): Promise<string> => {
    const given = Object.entries({ PATH: process.env.PATH, ...env }).filter(
      ([, value]) => value !== undefined,
    );
    const args = ["--input-type=module", "--eval", script, ...(envFile === null ? [] : [envFile])];
    const child = spawn(process.execPath, args, {
      cwd,
      env: Object.fromEntries(given),
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [output] = await Promise.all([text(child.stdout), once(child, "close")]);
    return output.trim();
  };

  it("is read from .env when it is there, and wins over it", async () => {
    const cwd = await mkdtemp(join(dir, "cwd-"));
    assert.equal(await read(null, { BATCH_SIZE: "7" }, cwd), "|7");
    await writeFile(join(cwd, ".env"), 'SCHEDULE="0 * * * *"\nBATCH_SIZE=3\n');
    assert.equal(await read(null, {}, cwd), "0 * * * *|3");
    assert.equal(await read(null, { BATCH_SIZE: "7" }, cwd), "0 * * * *|7");
  });

  it("is read from the file that is named instead, and wins over it", async () => {
    const cwd = await mkdtemp(join(dir, "cwd-"));
    await writeFile(join(cwd, ".env"), "SCHEDULE=wrong\nBATCH_SIZE=wrong\n");
    await writeFile(join(cwd, "other.env"), "BATCH_SIZE=3\n");
    assert.equal(await read("other.env", {}, cwd), "|3");
    assert.equal(await read("other.env", { BATCH_SIZE: "7" }, cwd), "|7");
  });

  it("is a config error when the named file cannot be read", async () => {
    assert.match(await read("absent.env", {}, dir), /^config: cannot read absent\.env: .*ENOENT.*--env-file/);
    assert.match(await read(dir, {}, dir), /^config: cannot read /);
  });
});
