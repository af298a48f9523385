import { inspect } from "node:util";
import type { LevelWithSilent, Logger } from "pino";
import { ExportError } from "../core/errors.ts";
import { createSyncWriter } from "./sync-writer.ts";

/** What a part of the program needs of the log. WARN: nothing was lost. ERROR: data is lost, or a person is needed. */
export type Log = Pick<Logger, "debug" | "info" | "warn" | "error">;

export interface LogOptions {
  readonly level: LevelWithSilent;
  /** Lines for people instead of JSON. */
  readonly pretty: boolean;
  /** Every line goes through it, as JSON, before anything else sees it. */
  readonly redact: (text: string) => string;
  /** Where the lines go, one `write` a line; stderr by default. */
  readonly stream?: { write(text: string): unknown };
  /** Fields of every line. */
  readonly base?: Readonly<Record<string, unknown>>;
}

/**
 * The program's own log: one JSON object a line, ISO time, level as a word. On stderr, a line is written when the
 * call returns, so none is lost at `process.exit`. Errors under `err` and `error` become `{kind, message, causes}`;
 * their stacks are shown by a log at debug, and for bugs, which nobody can report without one.
 * Loads pino (20 ms), and pino-pretty where asked, when called.
 */
export async function createLog(options: LogOptions): Promise<Logger> {
  const { level, redact, stream = createSyncWriter(2) } = options;
  const { pino } = await import("pino");
  const render = options.pretty ? await createRenderer(options.stream === undefined) : (line: string) => line;
  const withStack = level === "debug" || level === "trace";
  const serializeError = (value: unknown) => (value instanceof Error ? errorFields(value, withStack) : value);

  return pino(
    {
      level,
      base: options.base ?? null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      errorKey: "error",
      serializers: { err: serializeError, error: serializeError },
    },
    { write: (line) => void stream.write(render(redact(line))) },
  );
}

/** Called for each line in this thread: a worker would lose the last lines at `process.exit`. */
async function createRenderer(toStderr: boolean): Promise<(line: string) => string> {
  const { prettyFactory } = await import("pino-pretty");
  return prettyFactory({
    colorize: toStderr && process.stderr.isTTY && process.stderr.hasColors(),
    singleLine: true,
    translateTime: "SYS:yyyy-mm-dd HH:MM:ss",
  });
}

/** More than any real chain, and an end to one that leads back to itself. */
const maxCauses = 8;

/** Only these fields: SDK errors carry whole requests and responses with them. */
function errorFields(error: Error, withStack: boolean): Record<string, unknown> {
  const causes = causesOf(error).take(maxCauses).toArray();
  const kind = error instanceof ExportError ? error.kind : undefined;
  const stacks = [error, ...causes].flatMap((cause) => (cause instanceof Error ? (cause.stack ?? []) : []));
  return {
    ...(kind === undefined ? { name: error.name } : { kind }),
    message: error.message,
    causes: causes.map(oneLine),
    ...(withStack || kind === "bug" ? { stack: stacks.join("\ncaused by: ") } : {}),
  };
}

function* causesOf(error: Error): Generator<unknown> {
  const causes: unknown[] = [error.cause, ...(error instanceof AggregateError ? error.errors : [])];
  for (const cause of causes.filter((cause) => cause !== undefined)) {
    yield cause;
    if (cause instanceof Error) yield* causesOf(cause);
  }
}

function oneLine(cause: unknown): string {
  if (typeof cause === "string") return cause;
  if (!(cause instanceof Error)) return inspect(cause, { depth: 1, breakLength: Number.POSITIVE_INFINITY });
  const { code } = cause as NodeJS.ErrnoException;
  return `${code ?? cause.name}: ${cause.message}`;
}
