import http from "node:http";
import type { Tools } from "../compose.ts";
import { loadConfig, readEnvironment, secretsIn } from "../config.ts";
import { asExportError, ExportError } from "../core/errors.ts";
import type { RunRecord } from "../core/types.ts";
import { systemClock } from "../lib/clock.ts";
import { createLog, type Log } from "../lib/log.ts";
import { createRedactor } from "../lib/redact.ts";
import type { PipelineName } from "../settings.ts";

export interface GlobalOptions {
  readonly envFile?: string;
  readonly pipeline?: string;
  readonly json?: boolean;
}

export interface Context extends Tools {
  /** The pipelines that the command is about. */
  readonly chosen: readonly PipelineName[];
}

let secrets: readonly string[] = [];

/** What must not be printed, as far as the environment was read. */
export function knownSecrets(): readonly string[] {
  return secrets;
}

/** Settings, log and clock of a command. Throws `config` with every problem of the settings. */
export async function openContext(options: GlobalOptions): Promise<Context> {
  const env = readEnvironment(options.envFile);
  secrets = secretsIn(env);
  const loaded = loadConfig(env);
  secrets = loaded.secrets;
  const { config } = loaded;
  const redactor = createRedactor(loaded.secrets);
  const log = await createLog({
    level: config.logLevel,
    pretty: process.stderr.isTTY === true,
    redact: redactor.redact,
  });
  endOnUnexpected(log);
  for (const warning of loaded.warnings) log.warn(warning);
  if (config.proxyEnv) useProxy(config.proxyEnv);
  return { config, clock: systemClock, log, redactor, chosen: choose(config.pipelines, options.pipeline) };
}

/** What nobody caught ends the process as a bug, and through the log, which knows what must not be shown. */
function endOnUnexpected(log: Log): void {
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (thrown: unknown) => {
      const error = asExportError(thrown);
      log.error({ err: error }, error.message);
      process.exit(70);
    });
  }
}

/** Sends what goes through `fetch` and the default agents, Auth0 and Slack, through the proxy. */
function useProxy(proxyEnv: Readonly<Record<string, string | undefined>>): void {
  if (!("setGlobalProxyFromEnv" in http)) {
    const message = `a proxy is set (HTTP_PROXY, HTTPS_PROXY), and Node ${process.versions.node} cannot use it; install Node 24.14 or newer`;
    throw new ExportError("config", message);
  }
  http.setGlobalProxyFromEnv({ ...proxyEnv });
}

/** The name under which a bounded replay keeps its own checkpoint, history and dead letters. */
export function replayName(pipeline: string): string {
  return `${pipeline}/replay`;
}

function choose(pipelines: readonly PipelineName[], name: string | undefined): readonly PipelineName[] {
  if (name === undefined) return pipelines;
  const chosen = pipelines.filter((pipeline) => pipeline.name === name);
  if (chosen.length > 0) return chosen;
  throw unknownPipeline(name, pipelines);
}

/** As `openContext`, for commands that only look: they may be asked for a bounded replay's name, too. */
export async function openForReading({ pipeline, ...options }: GlobalOptions): Promise<Context> {
  const context = await openContext(options);
  const names = context.chosen.flatMap(({ name }) => [name, replayName(name)]);
  if (pipeline !== undefined && !names.includes(pipeline)) throw unknownPipeline(pipeline, context.chosen);
  return context;
}

function unknownPipeline(name: string, pipelines: readonly PipelineName[]): ExportError {
  const names = pipelines.map((pipeline) => pipeline.name).join(", ");
  return new ExportError("config", `--pipeline: expected one of ${names}; got "${name}"`);
}

/** Writes a line to stdout; resolves once it is written, so that the process may exit. Ends it when nobody reads on. */
export function print(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => {
      if (!error) return resolve();
      // `history | head` has seen enough.
      if ("code" in error && error.code === "EPIPE") process.exit(0);
      reject(error);
    });
  });
}

/** A run record as the program prints it. */
export function recordAsJson(record: RunRecord): Record<string, unknown> {
  const { pipeline, outcome, startedAtMs, endedAtMs, from, to, counts, lagMs, error, notices, unknownTypes } =
    record;
  const startedAt = isoTime(startedAtMs);
  const endedAt = isoTime(endedAtMs);
  return { pipeline, outcome, startedAt, endedAt, from, to, counts, lagMs, error, notices, unknownTypes };
}

export function isoTime(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(timeMs).toISOString();
}
