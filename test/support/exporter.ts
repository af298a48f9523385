import { ok } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Checkpoint, RunRecord } from "../../src/core/types.ts";
import { type CloudWatchStandIn, startCloudWatch } from "../../src/demo/cloudwatch.ts";
import { createEventGenerator, eventId } from "../../src/demo/events.ts";
import { type SlackStandIn, startSlack } from "../../src/demo/slack.ts";
import { startTenant, type Tenant } from "../../src/demo/tenant.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { openStore } from "../../src/state/sqlite.ts";
import type { StoredDeadLetter } from "../../src/state/store.ts";
import { assertNoSecret, assertNoSecretInFiles, secretSettings, usedTokens } from "./secrets.ts";

const cliPath = fileURLToPath(new URL("../../src/cli.ts", import.meta.url));
/** Compiled code of the command, which makes it start in two thirds of the time. */
export const compileCache = fileURLToPath(new URL("../../node_modules/.cache/compiled", import.meta.url));

export const logGroup = "/test/auth0";
export const logStream = "events";
export const pipeline = "cloudwatch";

export type Env = Record<string, string | undefined>;

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it wrote so far. */
  output(): { stdout: string; stderr: string };
  readonly finished: Promise<Finished>;
}

/** What `run --json` prints. */
export type PrintedRecord = Pick<
  RunRecord,
  "pipeline" | "outcome" | "from" | "to" | "counts" | "lagMs" | "error" | "notices"
> & { readonly startedAt: string; readonly endedAt: string };

/** Services on loopback, a folder for state, and the real command line to run against them. */
export interface Rig extends AsyncDisposable {
  readonly tenant: Tenant;
  readonly cloudwatch: CloudWatchStandIn;
  readonly slack: SlackStandIn;
  readonly dir: string;
  readonly checkpointDir: string;
  readonly env: Readonly<Env>;
  /** Everything that every command wrote, to be searched for secrets. */
  readonly allOutput: string[];
  /** Values that must not appear anywhere; those of secret settings and access tokens need not be added. */
  readonly secrets: Set<string>;
  /** `shell`: a POSIX shell script in which `"$@"` is the command. */
  spawn(args: readonly string[], env?: Env, shell?: string): Running;
  run(args: readonly string[], env?: Env, shell?: string): Promise<Finished>;
  /** Appends `count` events, one per `stepMs` from `fromMs` on; returns their IDs. */
  produce(count: number, fromMs?: number, stepMs?: number): string[];
  /** How often CloudWatch holds each event; of one stream when named. */
  held(stream?: string): Map<string, number>;
  /** As the state folder has it. */
  checkpoint(name?: string): Promise<Checkpoint | null>;
  deadLetters(name?: string): Promise<StoredDeadLetter[]>;
}

interface RigOptions {
  readonly tenant?: Parameters<typeof startTenant>[0];
  readonly cloudwatch?: Parameters<typeof startCloudWatch>[0];
  /** Settings of every command. */
  readonly env?: Env;
}

/** Disposing of it searches all that was written, posted and stored for secrets. */
export async function createRig(options: RigOptions = {}): Promise<Rig> {
  const [tenant, cloudwatch, slack] = await Promise.all([
    startTenant(options.tenant),
    startCloudWatch({ groups: { [logGroup]: [logStream] }, ...options.cloudwatch }),
    startSlack({ burst: 100 }),
  ]);
  const dir = await mkdtemp(join(tmpdir(), "auth0-log-exporter-test-"));
  const certificate = join(dir, "tenant.pem");
  const envFile = join(dir, "empty.env");
  await Promise.all([writeFile(certificate, tenant.certificate), writeFile(envFile, "")]);
  const checkpointDir = join(dir, "checkpoints");
  const env: Env = {
    PATH: process.env.PATH,
    NODE_COMPILE_CACHE: compileCache,
    AUTH0_DOMAIN: tenant.domain,
    AUTH0_CLIENT_ID: tenant.clientId,
    AUTH0_CLIENT_SECRET: tenant.clientSecret,
    SETTLE_SECONDS: "0",
    CLOUDWATCH_LOG_GROUP_NAME: logGroup,
    CLOUDWATCH_LOG_STREAM_NAME: logStream,
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "AKIATESTTESTTEST",
    AWS_SECRET_KEY: "test-secret-access-key",
    AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: cloudwatch.url,
    CHECKPOINT_DIR: checkpointDir,
    NODE_EXTRA_CA_CERTS: certificate,
    ...options.env,
  };
  const allOutput: string[] = [];
  const secrets = new Set([...secretSettings(env), new URL(slack.url).pathname]);
  const running = new Map<ChildProcess, Promise<Finished>>();
  const generate = createEventGenerator({ seed: 7 });
  let sequence = 0;

  const spawnCli = (args: readonly string[], overrides: Env = {}, shell?: string): Running => {
    const merged = { ...env, ...overrides };
    for (const secret of secretSettings(merged)) secrets.add(secret);
    const command = [process.execPath, cliPath, ...args, "--env-file", envFile];
    const [file = "", ...rest] = shell === undefined ? command : ["sh", "-c", shell, "sh", ...command];
    const child = spawn(file, rest, {
      cwd: dir,
      env: Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined)),
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
      });
    }
    const finished = new Promise<Finished>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        running.delete(child);
        allOutput.push(output.stdout, output.stderr);
        resolve({ code, signal, ...output });
      });
    });
    running.set(child, finished);
    return { child, pid: child.pid ?? 0, output: () => ({ ...output }), finished };
  };

  const readState = async <T>(
    read: (store: Awaited<ReturnType<typeof openStore>>) => Promise<T>,
  ): Promise<T> => {
    await using store = await openStore({ dir: checkpointDir, mode: "read", clock: systemClock });
    return await read(store);
  };

  const assertNothingLeaked = async () => {
    const all = [...secrets, ...usedTokens()];
    assertNoSecret(allOutput.join("\n"), all, "the output");
    assertNoSecret(JSON.stringify(slack.messages), all, "a report to Slack");
    await assertNoSecretInFiles(checkpointDir, all);
  };

  return {
    tenant,
    cloudwatch,
    slack,
    dir,
    checkpointDir,
    env,
    allOutput,
    secrets,
    spawn: spawnCli,
    run: (args, overrides, shell) => spawnCli(args, overrides, shell).finished,
    produce(count, fromMs = Date.now() - 3_600_000, stepMs = 1) {
      const events = Array.from({ length: count }, (_, index) => {
        sequence++;
        return {
          id: eventId(fromMs + index * stepMs, sequence),
          event: generate(fromMs + index * stepMs, sequence),
        };
      });
      tenant.append(...events.map(({ event }) => event));
      return events.map(({ id }) => id);
    },
    held(stream) {
      const times = new Map<string, number>();
      for (const { message } of cloudwatch.events(logGroup, stream)) {
        const { log_id: id }: { log_id: string } = JSON.parse(message);
        times.set(id, (times.get(id) ?? 0) + 1);
      }
      return times;
    },
    checkpoint: (name = pipeline) => readState((store) => store.checkpoint(name)),
    deadLetters: (name) => readState((store) => store.deadLetters({ pipeline: name, limit: 100_000 })),
    async [Symbol.asyncDispose]() {
      for (const child of running.keys()) child.kill("SIGKILL");
      await Promise.allSettled(running.values());
      await Promise.all([tenant.close(), cloudwatch.close(), slack.close()]);
      try {
        await assertNothingLeaked();
      } finally {
        await rm(dir, { recursive: true, force: true });
      }
    },
  };
}

/** The record that a command with `--json` printed. */
export function recordOf({ stdout, stderr }: Finished): PrintedRecord {
  const [line = ""] = stdout.split("\n");
  ok(line !== "", `no record was printed; stderr: ${stderr}`);
  return JSON.parse(line);
}

/** The lines of the program's own log. */
export function logLines(stderr: string): { readonly level: string; readonly msg: string }[] {
  return stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
}

/** Fails unless each of the events is held exactly once, and nothing else is. */
export function assertExactlyOnce(held: ReadonlyMap<string, number>, ids: readonly string[]): void {
  const { lost, duplicates } = compare(held, ids);
  const strange = [...held.keys()].filter((id) => !ids.includes(id));
  ok(
    lost.length + duplicates + strange.length === 0,
    `${lost.length} lost, ${duplicates} duplicated, ${strange.length} unasked for`,
  );
}

/** Which of the events are not held, and how many copies too many there are. */
export function compare(held: ReadonlyMap<string, number>, ids: readonly string[]) {
  const duplicates = [...held.values()].reduce((sum, times) => sum + times - 1, 0);
  return { lost: ids.filter((id) => !held.has(id)), duplicates };
}

/** Looks at `condition` until it holds; fails with `what` after `timeoutMs`. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > untilMs) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
    await delay(10);
  }
}
