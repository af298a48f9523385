import { describe, ExportError } from "./core/errors.ts";
import { type Pipeline, run } from "./core/run.ts";
import type { Clock, RunRecord } from "./core/types.ts";
import { limitHeap } from "./lib/heap.ts";
import type { Log } from "./lib/log.ts";
import type { Reporter } from "./reports/report.ts";
import { retentionNotice, timeLeftMs } from "./retention.ts";
import type { Store } from "./state/store.ts";

/** A run that read nothing and committed nothing for this long hangs. */
const stallAfterMs = 15 * 60_000;
const watchEveryMs = 30_000;

export interface ExecuteOptions {
  readonly store: Store;
  readonly reporter: Reporter;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes secrets out of a text: what a run says goes to the store, to Slack and to stdout. */
  redact(text: string): string;
  /** How long Auth0 keeps events; null when it is not known. */
  readonly retentionMs: number | null;
  readonly stop: AbortSignal;
  readonly abort: AbortSignal;
}

/**
 * One run with everything around it: its row in the history, the watchdog, the line in the log, the report.
 * Never rejects; an outage of the store or of Slack shows in the log and leaves the run's outcome alone.
 */
export async function execute(
  pipeline: Pipeline,
  trigger: string,
  options: ExecuteOptions,
): Promise<RunRecord> {
  const { store, log } = options;
  const id = await recordStart(pipeline.name, trigger, options).catch(
    warnAbout(log, "the run's start was not recorded"),
  );
  const record = completed(await watched(pipeline, options), options);
  logRun(log, trigger, record, options.retentionMs);
  if (id !== undefined) {
    await store.finishRun(id, record).catch(warnAbout(log, "the run's end was not recorded"));
  }
  await options.reporter
    .report({ ...record, id: id ?? null, trigger, reportedAtMs: null }, options.abort)
    .catch(warnAbout(log, "the run was not reported"));
  return record;
}

/** The record with what only its surroundings know, and without secrets. */
function completed(record: RunRecord, { log, redact, retentionMs }: ExecuteOptions): RunRecord {
  const { error } = record;
  const late = retentionNotice(record, retentionMs);
  if (late) log[late.lost ? "error" : "warn"]({ pipeline: record.pipeline }, late.message);
  const notices = late ? [...record.notices, late] : record.notices;
  return {
    ...record,
    error: error && { ...error, message: redact(error.message) },
    notices: notices.map((notice) => ({ ...notice, message: redact(notice.message) })),
  };
}

async function recordStart(
  pipeline: string,
  trigger: string,
  { store, clock }: ExecuteOptions,
): Promise<number> {
  const checkpoint = await store.checkpoint(pipeline);
  return store.startRun({ pipeline, startedAtMs: clock.now(), trigger, from: checkpoint?.cursor ?? null });
}

async function watched(pipeline: Pipeline, options: ExecuteOptions): Promise<RunRecord> {
  const { clock, log, stop } = options;
  limitHeap();
  const stalled = new AbortController();
  let progressAtMs = clock.monotonicMs();
  const watch = setInterval(() => {
    if (clock.monotonicMs() - progressAtMs < stallAfterMs) return;
    const message = `no page was read and nothing was committed for ${stallAfterMs / 60_000} minutes; the run was ended, and the next one goes on from the checkpoint. If this stays, restart the exporter and report it with its log`;
    stalled.abort(new ExportError("transient", message));
  }, watchEveryMs);
  try {
    return await run(pipeline, {
      stop,
      abort: AbortSignal.any([options.abort, stalled.signal]),
      onProgress: () => {
        progressAtMs = clock.monotonicMs();
        limitHeap();
      },
      onNotice: ({ lost, message }) => log[lost ? "error" : "warn"]({ pipeline: pipeline.name }, message),
      onRetry: (error, waitMs) => {
        const fields = { pipeline: pipeline.name, waitMs: Math.round(waitMs) };
        log.warn(fields, `sending again: ${error.message}`);
      },
    });
  } finally {
    clearInterval(watch);
  }
}

/** The one line of a run. */
function logRun(log: Log, trigger: string, record: RunRecord, retentionMs: number | null): void {
  const { pipeline, outcome, counts, from, to, lagMs, error } = record;
  const durationMs = (record.endedAtMs ?? record.startedAtMs) - record.startedAtMs;
  const eventsPerSecond = durationMs > 0 ? Math.round((counts.read * 1_000) / durationMs) : null;
  const leftMs = timeLeftMs(lagMs, retentionMs);
  const timeLeft = leftMs === null ? {} : { timeLeftMs: leftMs };
  const unknownTypes =
    Object.keys(record.unknownTypes).length > 0 ? { unknownTypes: record.unknownTypes } : {};
  const fields = {
    pipeline,
    trigger,
    outcome,
    ...counts,
    durationMs,
    eventsPerSecond,
    lagMs,
    ...timeLeft,
    from,
    to,
    ...unknownTypes,
  };
  if (error) log.error({ ...fields, kind: error.kind, ...error.batch }, `run failed: ${error.message}`);
  else log.info(fields, `run ${outcome}: ${counts.delivered} of ${counts.read} events delivered`);
}

function warnAbout(log: Log, what: string): (thrown: unknown) => undefined {
  return (thrown) => {
    log.warn(`${what}: ${describe(thrown)}`);
  };
}
