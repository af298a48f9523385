import { composeAuth0, composeDestination, composePipeline } from "../compose.ts";
import { ExportError, exitCodeOf } from "../core/errors.ts";
import type { Pipeline } from "../core/run.ts";
import type { RunRecord } from "../core/types.ts";
import type { ExecuteOptions } from "../execute.ts";
import { createShutdown, type Shutdown } from "../lib/shutdown.ts";
import { createReporter, type Reporter } from "../reports/report.ts";
import { createSlackPoster } from "../reports/slack.ts";
import { openStore } from "../state/sqlite.ts";
import type { Store } from "../state/store.ts";
import type { Context } from "./context.ts";
import { print, recordAsJson } from "./context.ts";

/** What a command that exports holds; `shutdown` closes all of it. */
export interface Operation {
  readonly pipelines: readonly Pipeline[];
  /** What every run of them needs. */
  readonly around: ExecuteOptions;
  readonly shutdown: Shutdown;
}

/** Takes the state folder and puts the chosen pipelines together. Throws `locked` and `config`. */
export async function openOperation(context: Context): Promise<Operation> {
  const { config, clock, log } = context;
  const store = await openStore({ dir: config.checkpointDir, mode: "own", clock });
  const shutdown = createShutdown({ graceMs: config.shutdownGraceMs, log });
  shutdown.onClose("state", () => store.close());
  const client = composeAuth0(context);
  const pipelines = context.chosen.map((name) => {
    const destination = composeDestination(context, name);
    shutdown.onClose(`destination ${name.name}`, () => destination.close?.());
    return composePipeline(context, name, { client, destination, store });
  });
  const { redact } = context.redactor;
  const reporter = composeReporter(context, store);
  const { stop, abort } = shutdown;
  const { retentionDays } = config.auth0;
  const retentionMs = retentionDays === null ? null : retentionDays * 86_400_000;
  return { pipelines, around: { store, reporter, clock, log, redact, retentionMs, stop, abort }, shutdown };
}

function composeReporter({ config, clock, log }: Context, store: Store): Reporter {
  const { url, sendSuccess, remindAfterMs } = config.slack;
  const poster = url === null ? null : createSlackPoster({ url: url(), clock, log });
  return createReporter({
    store,
    poster,
    tenant: config.auth0.domain,
    sendSuccess,
    remindAfterMs,
    clock,
    log,
  });
}

/** Prints what a one-shot command's runs came to, if asked to, and ends the process with their exit code. */
export async function finish(
  shutdown: Shutdown,
  records: readonly RunRecord[],
  json: boolean | undefined,
): Promise<never> {
  if (json) for (const record of records) await print(JSON.stringify(recordAsJson(record)));
  return shutdown.exit(Math.max(0, ...records.map(({ error }) => (error ? exitCodeOf(error.kind) : 0))));
}

/** Events and a record on the same stdout could not be told apart. */
export function refuseJsonBesideStdout(context: Context, json: boolean | undefined): void {
  if (!json || context.chosen.every(({ destination }) => destination !== "stdout")) return;
  throw new ExportError(
    "config",
    "--json: DESTINATION=stdout writes events where the record would go; leave one of them out",
  );
}
