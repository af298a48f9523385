import type { DatabaseSync } from "node:sqlite";
import { ExportError } from "../core/errors.ts";
import { transaction } from "./transaction.ts";

/**
 * One step per schema version, applied in order and never changed once released.
 *
 * `dead_letter.id` is AUTOINCREMENT so that an ID that somebody has listed never comes to mean another event.
 */
const migrations: readonly string[] = [
  `CREATE TABLE checkpoint (
     pipeline TEXT PRIMARY KEY,
     cursor TEXT,
     event_time_ms INTEGER,
     drained_at_ms INTEGER,
     epoch INTEGER NOT NULL,
     start_from TEXT,
     updated_at_ms INTEGER NOT NULL
   ) STRICT;

   CREATE TABLE run (
     id INTEGER PRIMARY KEY,
     pipeline TEXT NOT NULL,
     started_by TEXT NOT NULL,
     outcome TEXT NOT NULL,
     started_at_ms INTEGER NOT NULL,
     ended_at_ms INTEGER,
     reported_at_ms INTEGER,
     from_cursor TEXT,
     to_cursor TEXT,
     lag_ms INTEGER,
     counts TEXT NOT NULL,
     error TEXT NOT NULL,
     notices TEXT NOT NULL,
     unknown_types TEXT NOT NULL
   ) STRICT;
   CREATE INDEX run_by_pipeline ON run (pipeline);
   CREATE INDEX run_running ON run (pipeline) WHERE outcome = 'running';

   CREATE TABLE dead_letter (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     pipeline TEXT NOT NULL,
     event_id TEXT NOT NULL,
     type TEXT NOT NULL,
     time_ms INTEGER NOT NULL,
     at_ms INTEGER NOT NULL,
     reason TEXT NOT NULL,
     raw TEXT NOT NULL,
     UNIQUE (pipeline, event_id)
   ) STRICT;`,
];

/** Brings the database to the newest schema in one transaction. Throws `config` for one newer than `steps`. */
export function migrate(db: DatabaseSync, steps: readonly string[] = migrations): void {
  const version = schemaVersion(db);
  if (version === steps.length) return;
  if (version > steps.length) throw wrongVersion(db, version, steps.length);
  transaction(db, () => {
    for (const step of steps.slice(version)) db.exec(step);
    db.exec(`PRAGMA user_version = ${steps.length}`);
  });
}

/** Throws `config` unless the database has exactly the schema that this program reads. */
export function assertCurrentSchema(db: DatabaseSync): void {
  const version = schemaVersion(db);
  if (version !== migrations.length) throw wrongVersion(db, version, migrations.length);
}

/** Zero for a database that no program of ours has made. */
export function schemaVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.user_version);
}

function wrongVersion(db: DatabaseSync, found: number, known: number): ExportError {
  const advice =
    found > known
      ? "use the newer version of the program that wrote it, or restore a backup from before the upgrade"
      : "start the exporter once, which brings the state up to date";
  return new ExportError(
    "config",
    `the state in ${db.location()} has schema version ${found}, and this program knows version ${known}: ${advice}`,
  );
}
