/**
 * The words of this program as types. Nothing here knows Auth0's API, a destination or a database; this
 * file imports nothing but the error that crosses every boundary.
 *
 *   event       one Auth0 log event, kept losslessly
 *   page        what one `GET /api/v2/logs` answers: 0–100 events in `log_id` order
 *   cursor      everything up to and including it is done
 *   checkpoint  the cursor as durably stored, with an epoch that fences writers
 *   batch       up to `BATCH_SIZE` events that passed the filter, with the cursor that is safe once they are done
 *   window      the batches in flight together; the unit of commit
 *   pipeline    one tenant → one destination, with its own checkpoint and history
 *   run         one drain of a pipeline, from its checkpoint until an empty page
 */
import type { ExportError, ExportErrorKind } from "./errors.ts";

/** A position in the tenant's log. Only `auth0/` looks inside; everything else stores it and hands it back. */
export type Cursor = string;

export interface LogEvent {
  /** Auth0's `log_id`; also the cursor that is safe once this event and all before it are done. */
  readonly id: Cursor;
  /** Type code, for example `s` or `fp`; empty when Auth0 sent none. */
  readonly type: string;
  /** The event's own `date`, in epoch milliseconds. */
  readonly timeMs: number;
  /** The JSON text of the event as Auth0 sent it, on one line. What leaves this program is this text. */
  readonly raw: string;
  /** The same, parsed. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** Something a person must hear of although the run goes on. `lost`: events are or may be gone. */
export interface Notice {
  readonly kind: "gap" | "start" | "dead-letter" | "retention";
  readonly lost: boolean;
  readonly message: string;
}

export interface Page {
  readonly events: readonly LogEvent[];
  /** Safe once every event of this page and of those before it is done. */
  readonly cursor: Cursor;
  readonly notices?: readonly Notice[];
}

/** Where reading goes on from, and what is known about it. */
export interface Position {
  readonly cursor: Cursor;
  /** When the log was last known to be complete up to `cursor`, in epoch ms; null when never. */
  readonly confirmedAtMs: number | null;
}

export interface Start {
  readonly cursor: Cursor;
  /** Time that the cursor stands for, in epoch ms; null when it stands for none. */
  readonly eventTimeMs: number | null;
}

export interface Source {
  /** Turns a start position as a user writes it (`oldest`, `-24h`, a time, an ID) into a cursor. Throws `config` for one it cannot read. */
  start(from: string, signal: AbortSignal): Promise<Start>;
  /** Pages, oldest first, strictly after `after`; returns when caught up. Waits out rate limits and passing faults. */
  read(after: Position, signal: AbortSignal): AsyncIterable<Page>;
  /** Whether `a` stands for a later place in the log than `b`. */
  isAfter(a: Cursor, b: Cursor): boolean;
}

export interface Refused {
  readonly event: LogEvent;
  readonly reason: string;
}

export interface SendResult {
  /** The service will never accept these: they become dead letters. */
  readonly rejected: readonly Refused[];
  /** Not accepted this time; only these are sent again. */
  readonly unsent: readonly LogEvent[];
  /** Why there are unsent events; required when there are. */
  readonly cause?: ExportError;
  /** The destination has no form for these; counted, not sent. */
  readonly skipped?: readonly Refused[];
}

export interface Destination {
  /** Resolves once every event is accepted by the service, or listed. Never waits, never retries. A throw means that nothing was accepted. */
  send(events: readonly LogEvent[], signal: AbortSignal): Promise<SendResult>;
  /** One finding per thing looked at; writes no event and throws nothing. */
  check(signal: AbortSignal): Promise<readonly Finding[]>;
  close?(): Promise<void>;
}

/** A line of `check`. */
export interface Finding {
  readonly ok: boolean;
  /** What was looked at and found. */
  readonly text: string;
  /** What to do about it, when not ok. */
  readonly advice?: string;
}

export interface Checkpoint {
  readonly pipeline: string;
  /** Null until the pipeline has a start position. */
  readonly cursor: Cursor | null;
  /** Time of the newest event covered, in epoch ms. */
  readonly eventTimeMs: number | null;
  /** When the pipeline last read an empty page at this cursor, in epoch ms. */
  readonly drainedAtMs: number | null;
  readonly epoch: number;
  /** The last explicit start setting that was applied, as the user wrote it. */
  readonly startFrom: string | null;
  readonly updatedAtMs: number;
}

export interface DeadLetter {
  readonly event: LogEvent;
  readonly reason: string;
}

/** What one commit stores, in one transaction. */
export interface Progress {
  readonly cursor: Cursor;
  readonly eventTimeMs: number | null;
  readonly drainedAtMs: number | null;
  /** Set when this commit applies a start setting. */
  readonly startFrom?: string;
  readonly deadLetters?: readonly DeadLetter[];
}

export interface Counts {
  read: number;
  filtered: number;
  delivered: number;
  rejected: number;
  skipped: number;
  batches: number;
  retries: number;
}

export type Outcome = "running" | "succeeded" | "failed" | "stopped" | "crashed";

/** What is kept, logged, printed and reported of a run. */
export interface RunRecord {
  readonly pipeline: string;
  readonly outcome: Outcome;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
  /** Checkpoint before the run, and after it. */
  readonly from: Cursor | null;
  readonly to: Cursor | null;
  readonly counts: Readonly<Counts>;
  /** now − time of the newest event covered by the checkpoint; 0 once drained; null when unknown. */
  readonly lagMs: number | null;
  readonly error: RunError | null;
  readonly notices: readonly Notice[];
  /** Events per type code that the catalogue does not know. They always pass a level filter. */
  readonly unknownTypes: Readonly<Record<string, number>>;
}

export interface RunError {
  readonly kind: ExportErrorKind;
  readonly message: string;
  /** First and last ID of the batch that failed, when a batch did. */
  readonly batch?: { readonly firstId: Cursor; readonly lastId: Cursor };
}

/** The part of the store that a run needs. Nothing but `core/run.ts` calls `commit`. */
export interface RunStore {
  /** Takes the pipeline for this writer: epoch + 1. Earlier writers are fenced from here on. */
  claim(pipeline: string): Promise<Checkpoint>;
  /** Durable when it resolves. Throws `conflict` when `epoch` is no longer the pipeline's. */
  commit(pipeline: string, epoch: number, next: Progress): Promise<void>;
}

/** Time as a dependency, so that tests can own it. */
export interface Clock {
  /** Wall clock, epoch ms. May jump. */
  now(): number;
  /** Never jumps; for durations. */
  monotonicMs(): number;
  /** [0, 1) */
  random(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}
