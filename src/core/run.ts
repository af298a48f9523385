/**
 * THE LOOP. The delivery guarantee stands in this file and nowhere else:
 *
 *   1. events are delivered, or refused for good by the destination;
 *   2. then, in one transaction, the refused ones become dead letters and the checkpoint moves;
 *   3. nothing else commits.
 *
 * A crash between 1 and 2 repeats at most the window in flight. Nothing is ever skipped, because the next run
 * reads strictly after the checkpoint, and the checkpoint never passes an event that is not done.
 */
import { type Batch, fillBatches, readAhead } from "./batch.ts";
import { type Delivery, deliver } from "./deliver.ts";
import { asExportError, ExportError } from "./errors.ts";
import { abortable } from "./retry.ts";
import type {
  Checkpoint,
  Clock,
  Counts,
  Cursor,
  Destination,
  LogEvent,
  Notice,
  Outcome,
  Position,
  Refused,
  RunError,
  RunRecord,
  RunStore,
  Source,
} from "./types.ts";

/** Text of events that may wait to be sent: with one window in flight, twice this is the memory bound. */
const maxReadyLength = 16 * 1024 * 1024;
/** Distinct unknown type codes that a record names; the others share one line. */
const maxUnknownTypes = 50;

/** One tenant → one destination, ready to run. */
export interface Pipeline {
  readonly name: string;
  readonly source: Source;
  readonly destination: Destination;
  readonly store: RunStore;
  readonly clock: Clock;
  /** Start position as the user wrote it; null when unset. Seeds an absent checkpoint; a changed one is applied once. */
  readonly startFrom: string | null;
  readonly batchSize: number;
  /** The window. */
  readonly maxBatchesInFlight: number;
  readonly giveUpAfterMs: number;
  accepts(event: LogEvent): boolean;
  isKnownType(code: string): boolean;
}

export interface RunOptions {
  /** Ends reading; the window in flight finishes and commits. */
  readonly stop: AbortSignal;
  /** Cancels requests; nothing more commits. */
  readonly abort: AbortSignal;
  /** Called whenever a page was read or a window committed. */
  onProgress?(): void;
  onNotice?(notice: Notice): void;
  onRetry?(error: ExportError, waitMs: number): void;
}

/** What a run has done so far; all of it is covered by the checkpoint. */
interface Tally {
  from: Cursor | null;
  to: Cursor | null;
  eventTimeMs: number | null;
  /** When the log was last known to hold nothing more. */
  drainedAtMs: number | null;
  readonly counts: Counts;
  readonly notices: Notice[];
  readonly unknownTypes: Map<string, number>;
  firstRejected: Refused | null;
  failedBatch: Batch | null;
}

/** Drains the pipeline from its checkpoint until an empty page. Never rejects: how it ended stands in the record. */
export async function run(pipeline: Pipeline, options: RunOptions): Promise<RunRecord> {
  const startedAtMs = pipeline.clock.now();
  const tally: Tally = {
    from: null,
    to: null,
    eventTimeMs: null,
    drainedAtMs: null,
    counts: { read: 0, filtered: 0, delivered: 0, rejected: 0, skipped: 0, batches: 0, retries: 0 },
    notices: [],
    unknownTypes: new Map(),
    firstRejected: null,
    failedBatch: null,
  };
  let outcome: Outcome;
  let error: RunError | null = null;
  try {
    outcome = await drain(pipeline, options, tally);
    assertBalanced(tally.counts);
  } catch (thrown) {
    const failure = asExportError(thrown);
    outcome = failure.kind === "aborted" ? "stopped" : "failed";
    if (outcome === "failed") error = runError(failure, tally.failedBatch);
  }
  if (tally.firstRejected) tally.notices.push(deadLetterNotice(tally.counts.rejected, tally.firstRejected));
  const endedAtMs = pipeline.clock.now();
  const drained = outcome === "succeeded";
  const { from, to, eventTimeMs, drainedAtMs, counts, notices, unknownTypes } = tally;
  // In a quiet tenant the newest event is old, although nothing waited when an empty page was last read.
  const coveredUntilMs = eventTimeMs === null ? drainedAtMs : Math.max(eventTimeMs, drainedAtMs ?? 0);
  return {
    pipeline: pipeline.name,
    outcome,
    startedAtMs,
    endedAtMs,
    from,
    to,
    counts,
    lagMs: drained ? 0 : coveredUntilMs === null ? null : Math.max(0, endedAtMs - coveredUntilMs),
    error,
    notices,
    unknownTypes: Object.fromEntries(unknownTypes),
  };
}

async function drain(pipeline: Pipeline, options: RunOptions, tally: Tally): Promise<Outcome> {
  const { store, source, name, clock } = pipeline;
  const { stop, abort } = options;
  const checkpoint = await store.claim(name);
  tally.from = tally.to = checkpoint.cursor;
  tally.eventTimeMs = checkpoint.eventTimeMs;
  tally.drainedAtMs = checkpoint.drainedAtMs;
  const reading = AbortSignal.any([stop, abort]);
  if (stop.aborted) return "stopped";
  const position = await startPosition(pipeline, checkpoint, options, tally, reading);

  const pages = source.read(position, reading);
  const batches = readAhead(fillBatches(pages, fillOptions(pipeline, options)), {
    maxReady: pipeline.maxBatchesInFlight,
    maxReadyLength,
  });
  const endReading = () => batches.close();
  reading.addEventListener("abort", endReading, { once: true });
  try {
    while (!reading.aborted) {
      const window = await batches.take(pipeline.maxBatchesInFlight);
      if (window.length === 0) break;
      await deliverWindow(pipeline, options, checkpoint.epoch, window, tally);
      options.onProgress?.();
    }
  } finally {
    reading.removeEventListener("abort", endReading);
    batches.close();
  }
  // Aborted is not stopped: the reason may be one to tell people of.
  abort.throwIfAborted();
  if (stop.aborted) return "stopped";
  const progress = { cursor: tally.to ?? position.cursor, eventTimeMs: tally.eventTimeMs };
  await store.commit(name, checkpoint.epoch, { ...progress, drainedAtMs: clock.now() });
  return "succeeded";
}

/** Sends a window's batches at the same time, waits for all, then commits up to the first that failed. */
async function deliverWindow(
  pipeline: Pipeline,
  options: RunOptions,
  epoch: number,
  window: readonly Batch[],
  tally: Tally,
): Promise<void> {
  for (const notice of window.flatMap((batch) => batch.notices)) addNotice(tally, options, notice);
  const results = await Promise.allSettled(
    window.map((batch) => deliverBatch(pipeline, options, batch, tally)),
  );
  options.abort.throwIfAborted();

  const failedAt = results.findIndex((result) => result.status === "rejected");
  const done = failedAt === -1 ? window : window.slice(0, failedAt);
  const deliveries = results
    .slice(0, done.length)
    .flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
  const last = done.at(-1);
  if (last) {
    const deadLetters = deliveries.flatMap((delivery) => delivery.rejected);
    const progress = { cursor: last.cursor, eventTimeMs: last.eventTimeMs ?? tally.eventTimeMs };
    await pipeline.store.commit(pipeline.name, epoch, { ...progress, drainedAtMs: null, deadLetters });
    count(tally, done, deliveries);
    tally.to = progress.cursor;
    tally.eventTimeMs = progress.eventTimeMs;
    if (!tally.firstRejected && deadLetters[0]) {
      tally.firstRejected = deadLetters[0];
      options.onNotice?.(deadLetterNotice(tally.counts.rejected, deadLetters[0]));
    }
  }
  const failed = results[failedAt];
  if (failed?.status !== "rejected") return;
  tally.failedBatch = window[failedAt] ?? null;
  throw failed.reason;
}

function deliverBatch(
  pipeline: Pipeline,
  options: RunOptions,
  batch: Batch,
  tally: Tally,
): Promise<Delivery> {
  return deliver(pipeline.destination, batch.events, {
    clock: pipeline.clock,
    signal: options.abort,
    giveUpAfterMs: pipeline.giveUpAfterMs,
    onRetry: (error, waitMs) => {
      tally.counts.retries++;
      options.onRetry?.(error, waitMs);
    },
  });
}

/** Where to read on from: the checkpoint; or, when there is none or `START_FROM` was changed, the start setting, stored before anything is read. */
async function startPosition(
  pipeline: Pipeline,
  checkpoint: Checkpoint,
  options: RunOptions,
  tally: Tally,
  signal: AbortSignal,
): Promise<Position> {
  const changed = pipeline.startFrom !== null && pipeline.startFrom !== checkpoint.startFrom;
  if (checkpoint.cursor !== null && !changed) {
    return { cursor: checkpoint.cursor, confirmedAtMs: checkpoint.drainedAtMs };
  }
  const startFrom = pipeline.startFrom ?? "oldest";
  const { cursor, eventTimeMs } = await abortable(pipeline.source.start(startFrom, signal), signal);
  await pipeline.store.commit(pipeline.name, checkpoint.epoch, {
    cursor,
    eventTimeMs,
    drainedAtMs: null,
    startFrom,
  });
  if (checkpoint.cursor !== null) {
    const isForward = pipeline.source.isAfter(cursor, checkpoint.cursor);
    addNotice(tally, options, startNotice(startFrom, checkpoint, isForward));
  }
  tally.to = cursor;
  tally.eventTimeMs = eventTimeMs;
  return { cursor, confirmedAtMs: null };
}

function fillOptions(pipeline: Pipeline, options: RunOptions) {
  return {
    batchSize: pipeline.batchSize,
    accepts: pipeline.accepts,
    isKnownType: pipeline.isKnownType,
    onPage: () => options.onProgress?.(),
  };
}

function count(tally: Tally, batches: readonly Batch[], deliveries: readonly Delivery[]): void {
  const { counts, unknownTypes } = tally;
  for (const batch of batches) {
    counts.read += batch.read;
    counts.filtered += batch.filtered;
    if (batch.events.length > 0) counts.batches++;
    for (const [code, events] of batch.unknownTypes) {
      const key = unknownTypes.has(code) || unknownTypes.size < maxUnknownTypes ? code : "(others)";
      unknownTypes.set(key, (unknownTypes.get(key) ?? 0) + events);
    }
  }
  for (const delivery of deliveries) {
    counts.delivered += delivery.delivered;
    counts.rejected += delivery.rejected.length;
    counts.skipped += delivery.skipped;
  }
}

/** Every event read is filtered, delivered, dead-lettered or skipped; anything else is a lie about completeness. */
function assertBalanced(counts: Counts): void {
  const accounted = counts.filtered + counts.delivered + counts.rejected + counts.skipped;
  if (counts.read === accounted) return;
  throw new ExportError(
    "bug",
    `the run does not balance: ${counts.read} events read, ${accounted} accounted for`,
  );
}

function addNotice(tally: Tally, options: RunOptions, notice: Notice): void {
  tally.notices.push(notice);
  options.onNotice?.(notice);
}

function deadLetterNotice(rejected: number, first: Refused): Notice {
  const events = rejected === 1 ? "1 event was" : `${rejected} events were`;
  const message = `${events} refused for good and kept as dead letters, the first one ${first.event.id}: ${first.reason}. See "auth0-log-exporter dead-letters list".`;
  return { kind: "dead-letter", lost: false, message };
}

function startNotice(startFrom: string, before: Checkpoint, isForward: boolean): Notice {
  const consequence = isForward ? "events in between are not exported" : "events in between are sent again";
  const message = `START_FROM changed from ${before.startFrom ?? "unset"} to ${startFrom}: the checkpoint moved ${isForward ? "forward" : "back"} from ${before.cursor}; ${consequence}.`;
  return { kind: "start", lost: isForward, message };
}

function runError({ kind, message }: ExportError, batch: Batch | null): RunError {
  const [first, last] = [batch?.events[0], batch?.events.at(-1)];
  if (!first || !last) return { kind, message };
  return { kind, message, batch: { firstId: first.id, lastId: last.id } };
}
