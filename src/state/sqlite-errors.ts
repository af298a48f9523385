import { describe, ExportError } from "../core/errors.ts";

/** Primary result codes of SQLite that mean something to a user; source: https://www.sqlite.org/rescode.html */
const resultCode = {
  busy: 5,
  locked: 6,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;

/** What the system calls answer when no more can be written: disk, quota, limit on the size of a file. */
const fullDiskCodes = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** True when another connection holds the lock that was asked for. */
export function isBusy(thrown: unknown): boolean {
  return sqliteCode(thrown) === resultCode.busy;
}

/**
 * Whatever SQLite or the file system threw, as an ExportError that tells what failed and what to do.
 * @param action completes "cannot …", for example `store the checkpoint of cloudwatch`
 */
export function storeError(thrown: unknown, action: string, dir: string): ExportError {
  if (thrown instanceof ExportError) return thrown;
  const fail = (kind: "config" | "transient" | "bug", text: string) =>
    new ExportError(kind, `cannot ${action}: ${text}`, { cause: thrown });
  switch (sqliteCode(thrown)) {
    case resultCode.corrupt:
    case resultCode.notADatabase:
      return corruptState(dir, describe(thrown));
    case resultCode.full:
      return fail("transient", `the disk is full; free space on the disk of ${dir}`);
    case resultCode.ioError:
      return fail("transient", `the disk failed or is full; check the disk of ${dir}, its space and quota`);
    case resultCode.readOnly:
      return fail("transient", `the disk has become read-only; make ${dir} writable again`);
    case resultCode.busy:
    case resultCode.locked:
      return fail("transient", `another program holds ${dir}/state.db; end it`);
    case resultCode.cannotOpen:
      return fail(
        "config",
        `a file in ${dir} cannot be opened; give this user the right to read and write it`,
      );
    case undefined:
      break;
    default:
      return fail("bug", `unexpected SQLite error, ${describe(thrown)}; please report this`);
  }
  const systemCode = systemCodeOf(thrown);
  if (systemCode === undefined) return fail("bug", `unexpected ${describe(thrown)}; please report this`);
  if (fullDiskCodes.has(systemCode))
    return fail("transient", `the disk is full (${systemCode}); free space on the disk of ${dir}`);
  return fail(
    "config",
    `${describe(thrown)}; make the folder ${dir} writable for this user, or set CHECKPOINT_DIR to one that is`,
  );
}

/** The error for state that is damaged. `finding` must hold nothing of an event. */
export function corruptState(dir: string, finding: string): ExportError {
  return new ExportError(
    "config",
    `the state in ${dir} is corrupt (${finding}). The exporter never restarts from zero by itself: ` +
      "restore a backup of state.db, with state.db-wal and state.db-shm removed; or move the folder away and " +
      "set START_FROM to the last event that was delivered",
  );
}

function sqliteCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !("errcode" in thrown)) return undefined;
  // The low byte is the primary code; the rest of an extended code tells where it happened.
  return Number(thrown.errcode) & 0xff;
}

function systemCodeOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("syscall" in thrown) || !("code" in thrown)) return undefined;
  return String(thrown.code);
}
