import type { DatabaseSync } from "node:sqlite";

/** Runs `work` in one write transaction: all of it is stored, or nothing when it throws. */
export function transaction<T>(db: DatabaseSync, work: () => T): T {
  // IMMEDIATE, because a transaction that begins by reading cannot wait for its turn to write.
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    // SQLite itself has already rolled back after some faults of the disk.
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}
