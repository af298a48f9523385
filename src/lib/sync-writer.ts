import { writeSync } from "node:fs";

/** How long a reader of a full pipe is waited for, and how often it is looked at. */
const stallMs = 1_000;
const pollMs = 5;

export interface SyncWriter {
  /** Has handed the text to the system when it returns; drops it when the system does not take it. Never throws. */
  write(text: string): void;
}

/**
 * Writes lines to a file descriptor before anything else happens. Node's own streams queue what a full pipe does
 * not take at once, and `process.exit` throws that queue away. A line is dropped when nobody listens any more
 * (EPIPE), when the disk is full, and when a non-blocking pipe stays full for a second: a log that cannot be
 * written must not end or hang an export.
 */
export function createSyncWriter(fd: number): SyncWriter {
  let stalled = false;
  let torn = false;

  return {
    write: (text) => {
      // A line that was cut short must not run into the next one.
      const bytes = Buffer.from(torn ? `\n${text}` : text);
      // Who just waited in vain does not wait again until something was taken.
      let waitsLeft = stalled ? 0 : stallMs / pollMs;
      let written = 0;
      while (written < bytes.length) {
        try {
          written += writeSync(fd, bytes, written);
        } catch (error) {
          const isFull = (error as NodeJS.ErrnoException).code === "EAGAIN";
          if (isFull && waitsLeft-- > 0) {
            pause();
            continue;
          }
          stalled = isFull;
          torn ||= written > 0;
          return;
        }
      }
      stalled = false;
      torn = false;
    },
  };
}

const neverNotified = new Int32Array(new SharedArrayBuffer(4));

function pause(): void {
  Atomics.wait(neverNotified, 0, 0, pollMs);
}
