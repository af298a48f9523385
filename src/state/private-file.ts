import { closeSync, openSync } from "node:fs";

/**
 * Makes an empty file that only this user can read; leaves one that exists alone. SQLite gives the same
 * rights to the files that it puts beside it.
 */
export function createPrivateFile(path: string): void {
  try {
    // `wx` never opens an existing file: closing it would drop the locks that this process holds on it (POSIX).
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}
