import type { Checkpoint, Cursor, DeadLetter, RunRecord, RunStore, Start } from "../core/types.ts";

/** A start position, and the setting that it came from when one did. */
export interface NewCheckpoint extends Start {
  /** The start setting as the user wrote it; left out, the one stored stays. */
  readonly startFrom?: string | undefined;
}

export interface NewRun {
  readonly pipeline: string;
  readonly startedAtMs: number;
  /** What began the run, for example `schedule` or `command`. */
  readonly trigger: string;
  /** The checkpoint's cursor before the run. */
  readonly from: Cursor | null;
}

export interface StoredRun extends RunRecord {
  /** Rises with every run of the store. */
  readonly id: number;
  readonly trigger: string;
  /** When the run was reported to a person, in epoch ms. */
  readonly reportedAtMs: number | null;
}

export interface RunQuery {
  readonly pipeline?: string | undefined;
  /** Only runs with the outcome `failed` or `crashed`. */
  readonly failedOnly?: boolean | undefined;
  readonly limit: number;
  /** Only runs older than this one; for the next page. */
  readonly beforeId?: number | undefined;
}

export interface StoredDeadLetter extends DeadLetter {
  /** Never used again, not even after removal. */
  readonly id: number;
  readonly pipeline: string;
  /** When it was stored, in epoch ms. */
  readonly atMs: number;
}

export interface DeadLetterQuery {
  readonly pipeline?: string | undefined;
  readonly limit: number;
  /** Only dead letters stored after this one; for the next page. */
  readonly afterId?: number | undefined;
}

/**
 * The durable state: checkpoints, runs and dead letters. Whatever resolves is on the disk.
 *
 * Every method throws `config` when the state is corrupt and `transient` when it cannot be stored for now
 * (disk full, disk fault, held by another program). No error carries the content of an event.
 */
export interface Store extends RunStore, AsyncDisposable {
  /** Null when the pipeline never had a checkpoint; after a removal, one without a cursor. */
  checkpoint(pipeline: string): Promise<Checkpoint | null>;
  /** All, by name of the pipeline. */
  checkpoints(): Promise<Checkpoint[]>;
  /** Moves the pipeline, or begins it, and fences a live run. It counts as not drained. */
  setCheckpoint(pipeline: string, to: NewCheckpoint): Promise<Checkpoint>;
  /**
   * Forgets position and start setting, and fences a live run. The epoch stays and rises, so that no later
   * writer can get one that an earlier writer still holds. False when there was no position to forget.
   */
  removeCheckpoint(pipeline: string): Promise<boolean>;

  /**
   * Records that a run began and returns its ID. Runs of the pipeline that are still recorded as running
   * become `crashed`: the caller owns the pipeline, so nobody else can be running it.
   */
  startRun(run: NewRun): Promise<number>;
  /** Stores the record; of each pipeline only the newest 10,000 runs are kept. Throws `bug` for an unknown ID. */
  finishRun(id: number, record: RunRecord): Promise<void>;
  /** Newest first. */
  runs(query: RunQuery): Promise<StoredRun[]>;
  markReported(runId: number, atMs: number): Promise<void>;

  /** By ID, oldest first. An event that is refused again replaces its dead letter and keeps its ID. */
  deadLetters(query: DeadLetterQuery): Promise<StoredDeadLetter[]>;
  removeDeadLetters(ids: readonly number[]): Promise<void>;
  countDeadLetters(pipeline?: string): Promise<number>;

  /** May be called again. */
  close(): Promise<void>;
}
