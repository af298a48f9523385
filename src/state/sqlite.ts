import type { DatabaseSync } from "node:sqlite";
import { ExportError } from "../core/errors.ts";
import type { Clock } from "../core/types.ts";
import { makeFolder } from "./folder.ts";
import { lockFolder } from "./lock.ts";
import { checkpointTable } from "./sqlite-checkpoints.ts";
import { deadLetterTable } from "./sqlite-dead-letters.ts";
import { corruptState, storeError } from "./sqlite-errors.ts";
import { runTable } from "./sqlite-runs.ts";
import { openForReading, openForWriting } from "./state-file.ts";
import type { Store } from "./store.ts";
import { transaction } from "./transaction.ts";

interface StoreOptions {
  /** The state folder. */
  readonly dir: string;
  /** `own`: the only process that writes here, until closed. `read`: beside the owner, and every write is refused. */
  readonly mode: "own" | "read";
  readonly clock: Clock;
}

/**
 * Opens the state folder. `own` makes the folder and the state when missing.
 * Throws `locked` when another process owns the folder, `config` when the folder cannot be used, when its state
 * is corrupt or newer than this program, or (`read`) when it holds none yet; `transient` when the disk is full.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { dir, mode } = options;
  try {
    if (mode === "read") return sqliteStore(openForReading(dir), options, () => {});
    makeFolder(dir);
    const lock = lockFolder(dir, options.clock);
    try {
      return sqliteStore(openForWriting(dir), options, lock.release);
    } catch (error) {
      lock.release();
      throw error;
    }
  } catch (error) {
    throw storeError(error, `open the state in ${dir}`, dir);
  }
}

/** @param release called once, after the database is closed */
function sqliteStore(db: DatabaseSync, { dir, mode, clock }: StoreOptions, release: () => void): Store {
  const checkpoints = checkpointTable(db);
  const runs = runTable(db);
  const letters = deadLetterTable(db);

  const read = async <T>(what: string, query: () => T): Promise<T> => {
    try {
      return query();
    } catch (error) {
      // The parser's message would quote the stored text.
      if (error instanceof SyntaxError) throw corruptState(dir, `${what} hold text that is not JSON`);
      throw storeError(error, `read ${what}`, dir);
    }
  };
  const write = async <T>(what: string, work: () => T): Promise<T> => {
    if (mode === "read") throw new ExportError("bug", `cannot store ${what}: opened for reading only`);
    try {
      return transaction(db, work);
    } catch (error) {
      throw storeError(error, `store ${what}`, dir);
    }
  };
  const close = async (): Promise<void> => {
    if (!db.isOpen) return;
    try {
      db.close();
    } finally {
      release();
    }
  };

  return {
    claim: (pipeline) => write(`the claim on ${pipeline}`, () => checkpoints.claim(pipeline, clock.now())),
    commit: (pipeline, epoch, next) =>
      write(`the checkpoint of ${pipeline}`, () => {
        const nowMs = clock.now();
        checkpoints.advance(pipeline, epoch, next, nowMs);
        for (const letter of next.deadLetters ?? []) letters.put(pipeline, letter, nowMs);
      }),
    checkpoint: (pipeline) => read("the checkpoints", () => checkpoints.read(pipeline)),
    checkpoints: () => read("the checkpoints", checkpoints.readAll),
    setCheckpoint: (pipeline, to) =>
      write(`the checkpoint of ${pipeline}`, () => checkpoints.set(pipeline, to, clock.now())),
    removeCheckpoint: (pipeline) =>
      write(`the reset of ${pipeline}`, () => checkpoints.clear(pipeline, clock.now())),

    startRun: (run) => write(`the start of a run of ${run.pipeline}`, () => runs.start(run)),
    finishRun: (id, record) => write(`the end of a run of ${record.pipeline}`, () => runs.finish(id, record)),
    runs: (query) => read("the runs", () => runs.list(query)),
    markReported: (id, atMs) => write("that a run was reported", () => runs.markReported(id, atMs)),

    deadLetters: (query) => read("the dead letters", () => letters.list(query)),
    removeDeadLetters: (ids) =>
      write("the removal of dead letters", () => {
        for (const id of ids) letters.remove(id);
      }),
    countDeadLetters: (pipeline) => read("the dead letters", () => letters.count(pipeline)),

    close,
    [Symbol.asyncDispose]: close,
  };
}
