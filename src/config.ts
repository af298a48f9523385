/** Environment → frozen Config. The only file that reads `process.env`. */
import { createPrivateKey } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { inspect } from "node:util";
import { logType, nearTypes } from "./auth0/log-types.ts";
import { describe, ExportError } from "./core/errors.ts";
import { nearest } from "./lib/edit-distance.ts";
import { type Secret, secret } from "./lib/redact.ts";
import { slackUrlProblem } from "./reports/slack.ts";
import { type PipelineName, type SettingName, type SettingValue, settings } from "./settings.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Config {
  readonly auth0: {
    readonly domain: string;
    readonly clientId: string;
    readonly clientSecret: Secret | null;
    readonly clientAssertionKey: Secret | null;
    readonly audience: string | null;
    readonly retentionDays: number | null;
  };
  readonly pipelines: readonly PipelineName[];
  readonly schedule: string;
  readonly timezone: string;
  readonly runOnStart: boolean;
  readonly batchSize: number;
  /** As the user wrote it; null when unset, which seeds like `oldest` and never counts as a change. */
  readonly startFrom: string | null;
  readonly minLevel: number | null;
  readonly types: readonly string[] | null;
  readonly maxBatchesInFlight: number;
  readonly settleMs: number;
  readonly giveUpAfterMs: number;
  readonly cloudwatch: {
    readonly logGroupName: string;
    readonly logStreamName: string;
    readonly create: boolean;
    readonly oldEvents: "dead-letter" | "clamp";
    readonly region: string | null;
    readonly credentials: (() => AwsCredentials) | null;
    readonly endpoint: string | null;
  } | null;
  readonly slack: {
    readonly url: Secret | null;
    readonly sendSuccess: boolean;
    readonly remindAfterMs: number;
  };
  readonly checkpointDir: string;
  readonly shutdownGraceMs: number;
  readonly requestTimeoutMs: number;
  readonly logLevel: SettingValue<"EXPORTER_LOG_LEVEL">;
  /** `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in either case; null when there is no proxy. */
  readonly proxyEnv: Environment | null;
}

interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** What looks wrong but stops nothing. */
  readonly warnings: readonly string[];
  /** Everything that must not be printed. */
  readonly secrets: readonly string[];
}

/**
 * The process's environment, with `envFile` loaded into it first; what is set already wins over the file.
 * Without `envFile`, `.env` is taken if it is there. Throws `config` when a named file cannot be read.
 */
export function readEnvironment(envFile: string | undefined): Environment {
  const path = envFile ?? ".env";
  if (envFile !== undefined || existsSync(path)) {
    try {
      process.loadEnvFile(path);
    } catch (thrown) {
      const advice = "name a readable file with --env-file";
      throw new ExportError("config", `cannot read ${path}: ${describe(thrown)}; ${advice}`, {
        cause: thrown,
      });
    }
  }
  return process.env;
}

/** What the secret settings hold, whether the rest is right or not: known before any error is printed. */
export function secretsIn(env: Environment): string[] {
  return Object.entries(settings)
    .filter(([, setting]) => "secret" in setting)
    .map(([name]) => env[name]?.trim() ?? "")
    .filter((value) => value !== "");
}

/** The report webhook's address, when it is one. */
export function slackUrlIn(env: Environment): string | null {
  const url = (env[slackNameIn(env)] ?? "").trim();
  return url !== "" && slackUrlProblem(url) === null ? url : null;
}

function slackNameIn(env: Environment) {
  return isSet(env, "SLACK_INCOMING_WEBHOOK_URL") ? "SLACK_INCOMING_WEBHOOK_URL" : "SLACK_INCOMING_WEBHOOK";
}

/** Reads the settings. Throws one `config` error that lists every problem. */
export function loadConfig(env: Environment): LoadedConfig {
  const problems: string[] = [];
  const get = <N extends SettingName>(name: N) => readSetting(name, env, problems);

  const pipelines = get("DESTINATION") ?? [];
  const slackName = slackNameIn(env);
  const slackUrl = get(slackName);
  const slackProblem = slackUrl === undefined ? null : slackUrlProblem(slackUrl);
  if (slackProblem) problems.push(`${slackName}: ${slackProblem}`);
  // With a DESTINATION that is not right, every problem of the default one is told as well.
  const usesCloudWatch =
    pipelines.length === 0 || pipelines.some(({ destination }) => destination === "cloudwatch");
  const config = {
    auth0: readAuth0(get, problems),
    pipelines,
    schedule: get("SCHEDULE"),
    timezone: get("SCHEDULE_TIMEZONE"),
    runOnStart: get("RUN_ON_START"),
    batchSize: get("BATCH_SIZE"),
    startFrom: isSet(env, "START_FROM") ? (get("START_FROM") ?? null) : null,
    minLevel: get("LOG_LEVEL") ?? null,
    types: get("LOG_TYPES") ?? null,
    maxBatchesInFlight: get("MAX_BATCHES_IN_FLIGHT"),
    settleMs: inMs(get("SETTLE_SECONDS")),
    giveUpAfterMs: inMs(get("GIVE_UP_AFTER_SECONDS")),
    cloudwatch: usesCloudWatch ? readCloudWatch(get, problems) : null,
    slack: {
      url: slackUrl === undefined ? null : secret(slackUrl),
      sendSuccess: get("SLACK_SEND_SUCCESS"),
      remindAfterMs: inMs(get("SLACK_REMIND_MINUTES")) * 60,
    },
    checkpointDir: resolve(get("CHECKPOINT_DIR") ?? ""),
    shutdownGraceMs: inMs(get("SHUTDOWN_GRACE_SECONDS")),
    requestTimeoutMs: inMs(get("REQUEST_TIMEOUT_SECONDS")),
    logLevel: get("EXPORTER_LOG_LEVEL"),
    proxyEnv: readProxy(env, problems),
  };
  const misspelt = nameWarnings(env);
  if (problems.length > 0) {
    const list = [...problems, ...misspelt].map((problem) => `\n  - ${problem}`).join("");
    throw new ExportError("config", `the settings are not right; nothing was started:${list}`);
  }
  const warnings = [...typeWarnings(config.types), ...misspelt];
  // With no problem found, every setting that has a default has a value.
  return { config: deepFreeze(config as Config), warnings, secrets: secretsIn(env) };
}

type Get = <N extends SettingName>(name: N) => SettingValue<N> | undefined;

function isSet(env: Environment, name: string): boolean {
  return (env[name] ?? "").trim() !== "";
}

/** Whether there is a problem of this setting already, so that what follows from it is not told of as well. */
function isReported(name: SettingName, problems: readonly string[]): boolean {
  return problems.some((problem) => problem.startsWith(`${name}:`));
}

function readSetting<N extends SettingName>(
  name: N,
  env: Environment,
  problems: string[],
): SettingValue<N> | undefined {
  const setting: { expected: string; default?: string; required?: true; secret?: true; schema: unknown } =
    settings[name];
  const given = isSet(env, name) ? (env[name] ?? "").trim() : undefined;
  const value = given ?? (setting.default?.includes("{") ? undefined : setting.default);
  if (value === undefined) {
    if (setting.required) problems.push(`${name}: expected ${setting.expected}; it is not set`);
    return undefined;
  }
  const result = settings[name].schema.safeParse(value);
  if (result.success) return result.data as SettingValue<N>;
  const got = setting.secret ? "a value that does not look like one" : `"${value}"`;
  const said = result.error.issues[0]?.message ?? "";
  problems.push(
    `${name}: ${said.startsWith("expected ") ? said : `expected ${setting.expected}; got ${got}`}`,
  );
  return undefined;
}

function readAuth0(get: Get, problems: string[]) {
  const clientSecret = get("AUTH0_CLIENT_SECRET");
  const keyFile = get("AUTH0_CLIENT_ASSERTION_KEY_FILE");
  if (clientSecret === undefined && keyFile === undefined && !isReported("AUTH0_CLIENT_SECRET", problems)) {
    const message = `AUTH0_CLIENT_SECRET: expected ${settings.AUTH0_CLIENT_SECRET.expected}, or AUTH0_CLIENT_ASSERTION_KEY_FILE instead; neither is set`;
    problems.push(message);
  }
  if (clientSecret !== undefined && keyFile !== undefined) {
    problems.push(
      "AUTH0_CLIENT_SECRET and AUTH0_CLIENT_ASSERTION_KEY_FILE: expected one of them; both are set",
    );
  }
  const key = keyFile === undefined ? null : readKey(keyFile, problems);
  return {
    domain: get("AUTH0_DOMAIN"),
    clientId: get("AUTH0_CLIENT_ID"),
    clientSecret: clientSecret === undefined ? null : secret(clientSecret),
    clientAssertionKey: key === null ? null : secret(key),
    audience: get("AUTH0_AUDIENCE") ?? null,
    retentionDays: get("AUTH0_LOG_RETENTION_DAYS") ?? null,
  };
}

/** The SDK takes PKCS#8 alone and says nothing useful about other forms. */
function readKey(path: string, problems: string[]): string | null {
  const { expected } = settings.AUTH0_CLIENT_ASSERTION_KEY_FILE;
  try {
    const pem = readFileSync(path, "utf8");
    const isPkcs8 = pem.includes("-----BEGIN PRIVATE KEY-----");
    if (createPrivateKey(pem).asymmetricKeyType === "rsa" && isPkcs8) return pem;
    problems.push(
      `AUTH0_CLIENT_ASSERTION_KEY_FILE: expected ${expected}; ${path} holds another form. Convert it: openssl pkcs8 -topk8 -nocrypt -in ${path}`,
    );
  } catch (thrown) {
    const why = (thrown as NodeJS.ErrnoException).code ?? "it does not parse";
    problems.push(`AUTH0_CLIENT_ASSERTION_KEY_FILE: expected ${expected}; cannot read ${path} (${why})`);
  }
  return null;
}

function readCloudWatch(get: Get, problems: string[]) {
  const names = ["CLOUDWATCH_LOG_GROUP_NAME", "CLOUDWATCH_LOG_STREAM_NAME"] as const;
  const [logGroupName, logStreamName] = names.map((name) => get(name));
  names.forEach((name, index) => {
    const isMissing = [logGroupName, logStreamName][index] === undefined;
    if (isMissing && !isReported(name, problems))
      problems.push(`${name}: expected ${settings[name].expected}; it is not set`);
  });
  return {
    logGroupName,
    logStreamName,
    create: get("CLOUDWATCH_CREATE"),
    oldEvents: get("CLOUDWATCH_OLD_EVENTS"),
    region: get("AWS_REGION") ?? get("AWS_DEFAULT_REGION") ?? null,
    credentials: readCredentials(get, problems),
    endpoint: get("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS") ?? null,
  };
}

/** Keys given here win; without them the SDK looks where it always does: profile, container, instance. */
function readCredentials(get: Get, problems: string[]): (() => AwsCredentials) | null {
  const accessKeyId = get("AWS_ACCESS_KEY_ID");
  const secretAccessKey = get("AWS_SECRET_KEY") ?? get("AWS_SECRET_ACCESS_KEY");
  const sessionToken = get("AWS_SESSION_TOKEN");
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return () => ({ accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) });
  }
  const missing = accessKeyId === undefined ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_KEY";
  const isWrong = ([missing, "AWS_SECRET_ACCESS_KEY"] as const).some((name) => isReported(name, problems));
  if ((accessKeyId !== undefined || secretAccessKey !== undefined) && !isWrong) {
    problems.push(
      `${missing}: expected together with the other half of the key pair, or neither of them; it is not set`,
    );
  }
  return null;
}

function readProxy(env: Environment, problems: string[]): Environment | null {
  const names = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].flatMap((name) => [name, name.toLowerCase()]);
  const found = names.filter((name) => isSet(env, name)).map((name) => [name, env[name]] as const);
  const proxies = found.filter(([name]) => !/no_proxy/i.test(name));
  for (const [name, value] of proxies) {
    if (!URL.canParse(value ?? ""))
      problems.push(`${name}: expected a proxy's address such as http://proxy.example:3128`);
  }
  if (proxies.length === 0) return null;
  // An address may hold a password, so the object does not show what it holds.
  const hidden = { value: () => "[redacted]" };
  return Object.defineProperties(Object.fromEntries(found), { toJSON: hidden, [inspect.custom]: hidden });
}

function typeWarnings(types: readonly string[] | null): string[] {
  return (types ?? [])
    .filter((code) => logType(code) === undefined)
    .map((code) => {
      const near = nearTypes(code);
      const hint = near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "";
      return `LOG_TYPES: the catalogue does not know the type "${code}"${hint}`;
    });
}

/** Names of others that are a letter or two away from ours. */
const namesOfOthers = new Set([
  "AWS_PROFILE",
  "AWS_CONFIG_FILE",
  "AWS_ENDPOINT_URL",
  "LOG_LEVELS",
  "NODE_EXTRA_CA_CERTS",
]);

/** Who writes these means this program. */
const ourPrefix = /^(AUTH0|CLOUDWATCH|SLACK|SCHEDULE|CHECKPOINT|EXPORTER)_/;

function nameWarnings(env: Environment): string[] {
  const ours = Object.keys(settings);
  return Object.keys(env)
    .filter((name) => name.length > 5 && !ours.includes(name) && !namesOfOthers.has(name))
    .flatMap((name) => {
      const [prefix] = ourPrefix.exec(name) ?? [];
      const near = nearest(name, ours, 2).slice(0, 1);
      const siblings = prefix === undefined ? [] : ours.filter((other) => other.startsWith(prefix));
      const meant = near.length > 0 ? near : siblings;
      return meant.length === 0
        ? []
        : [`${name} is not a setting of this program; did you mean ${meant.join(" or ")}?`];
    });
}

function inMs(seconds: number | undefined): number {
  return (seconds ?? 0) * 1_000;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
