import { accessSync, constants, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ExportError } from "../core/errors.ts";
import { createPrivateFile } from "./private-file.ts";
import { assertCurrentSchema, migrate, schemaVersion } from "./schema.ts";
import { corruptState } from "./sqlite-errors.ts";

/** Waiting blocks the event loop, and only a foreign program can make the writer wait. */
const busyTimeoutMs = 1000;

/** A check reads every page, about 1 ms per MB; beyond this size only the tables that dead letters do not swell. */
const fullCheckMaxBytes = 64 * 1024 * 1024;

/** Opens `state.db` for its owner, who holds the lock of the folder; makes it when there is none. */
export function openForWriting(dir: string): DatabaseSync {
  const file = join(dir, "state.db");
  if (!hasState(dir)) createState(dir);
  accessSync(file, constants.R_OK | constants.W_OK);
  return prepared(new DatabaseSync(file, { timeout: busyTimeoutMs }), (db) => {
    assertOurs(db, dir);
    // A restored backup may have another journal mode.
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    assertSound(db, dir);
    migrate(db);
  });
}

/** Opens `state.db` for reading, also beside the process that owns it. */
export function openForReading(dir: string): DatabaseSync {
  if (!hasState(dir))
    throw new ExportError(
      "config",
      `there is no state in ${dir} yet: start the exporter first, or set CHECKPOINT_DIR to the folder that it uses`,
    );
  const file = join(dir, "state.db");
  return prepared(new DatabaseSync(file, { readOnly: true, timeout: busyTimeoutMs }), (db) => {
    assertOurs(db, dir);
    assertCurrentSchema(db);
  });
}

function prepared(db: DatabaseSync, prepare: (db: DatabaseSync) => void): DatabaseSync {
  try {
    prepare(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * False when the folder is new. State is made under another name and renamed, so an empty `state.db` was
 * emptied by somebody; and SQLite would throw a log away whose database is missing or empty.
 */
function hasState(dir: string): boolean {
  const size = sizeOf(join(dir, "state.db"));
  if (size === 0) throw corruptState(dir, "state.db is empty");
  if (size === null && sizeOf(join(dir, "state.db-wal")))
    throw corruptState(dir, "state.db is missing, and its log state.db-wal is there");
  return size !== null;
}

function sizeOf(file: string): number | null {
  return statSync(file, { throwIfNoEntry: false })?.size ?? null;
}

function createState(dir: string): void {
  const file = join(dir, "state.db.new");
  for (const suffix of ["", "-journal", "-wal", "-shm"]) rmSync(file + suffix, { force: true });
  createPrivateFile(file);
  const db = prepared(new DatabaseSync(file), (created) => {
    // In this order nothing is left to be moved from the log into the file, which could fail unseen at closing.
    migrate(created);
    created.exec("PRAGMA journal_mode = WAL");
  });
  // SQLite makes the new name durable with the first commit: it syncs the folder because it makes the log there.
  db.close();
  renameSync(file, join(dir, "state.db"));
}

/** The schema version is the first thing that is lost when state is put together from a dump. */
function assertOurs(db: DatabaseSync, dir: string): void {
  if (schemaVersion(db) === 0)
    throw corruptState(dir, "state.db carries no schema version, PRAGMA user_version is 0");
}

function assertSound(db: DatabaseSync, dir: string): void {
  const checks =
    (sizeOf(join(dir, "state.db")) ?? 0) <= fullCheckMaxBytes
      ? ["quick_check(1)"]
      : ["quick_check(checkpoint)", "quick_check(run)"];
  for (const check of checks) {
    const finding = Object.values(db.prepare(`PRAGMA ${check}`).get() ?? {})[0];
    if (finding !== "ok") throw corruptState(dir, String(finding).replaceAll("\n", " "));
  }
}
