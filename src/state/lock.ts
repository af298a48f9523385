import { accessSync, constants, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ExportError } from "../core/errors.ts";
import type { Clock } from "../core/types.ts";
import { createPrivateFile } from "./private-file.ts";
import { isBusy } from "./sqlite-errors.ts";

/** Long enough for a process that is just stopping to hand the folder over. */
const handOverMs = 500;

interface FolderLock {
  release(): void;
}

/**
 * Takes the state folder for this process until released, or until the process ends in whatever way: the
 * lock is the kernel's, held through an open transaction on `lock.db`. A paused owner keeps it.
 * Throws `locked`, naming the owner, when another process has the folder.
 */
export function lockFolder(dir: string, clock: Clock): FolderLock {
  const file = join(dir, "lock.db");
  createPrivateFile(file);
  // SQLite would open a write-protected file for reading, and two readers do not exclude each other.
  accessSync(file, constants.R_OK | constants.W_OK);
  if (statSync(file).size > 0)
    throw new ExportError("config", `${file} is not a lock file of this program: remove it while none runs`);
  const db = new DatabaseSync(file, { timeout: handOverMs });
  try {
    // Nothing is ever written, so the journal need not be a file.
    db.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    writeOwner(dir, clock);
  } catch (error) {
    db.close();
    throw isBusy(error) ? lockedBy(describeOwner(dir), dir) : error;
  }
  return {
    release() {
      try {
        rmSync(ownerFile(dir), { force: true });
      } finally {
        db.close();
      }
    },
  };
}

function lockedBy(owner: string, dir: string): ExportError {
  return new ExportError(
    "locked",
    `the state folder ${dir} is in use by ${owner}: stop it, or give this one a CHECKPOINT_DIR of its own`,
  );
}

function ownerFile(dir: string): string {
  return join(dir, "owner.json");
}

function writeOwner(dir: string, clock: Clock): void {
  const owner = { pid: process.pid, host: hostname(), startedAt: new Date(clock.now()).toISOString() };
  const temporary = `${ownerFile(dir)}.new`;
  writeFileSync(temporary, `${JSON.stringify(owner)}\n`, { mode: 0o600 });
  renameSync(temporary, ownerFile(dir));
}

function describeOwner(dir: string): string {
  try {
    const { pid, host, startedAt } = JSON.parse(readFileSync(ownerFile(dir), "utf8")) as Record<
      string,
      unknown
    >;
    if (typeof pid !== "number" || typeof host !== "string" || typeof startedAt !== "string")
      return "another process";
    return `process ${pid} on ${host}, started ${startedAt}`;
  } catch {
    // The lock decides; the name of its owner is only a help to the reader.
    return "another process";
  }
}
