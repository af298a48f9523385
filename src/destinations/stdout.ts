import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import type { Writable } from "node:stream";
import { describe, ExportError } from "../core/errors.ts";
import { abortable } from "../core/retry.ts";
import type { Destination } from "../core/types.ts";

export interface StdoutOptions {
  /** The descriptor behind the stream, when there is one. */
  readonly fd?: number;
  /** Stays open when the destination is closed. */
  readonly stream: Writable;
}

/** NDJSON: the JSON text of one event a line, each taken by the stream before `send` resolves. */
export function createStdout({ stream, fd }: StdoutOptions): Destination {
  if (fd !== undefined && isFile(fd)) return createFileOutput(fd);
  /** Whether a line stands half written, so that the next has to start a new one. */
  let isTorn = false;
  // A failed write is reported to its callback; as an event without a listener it would also end the process.
  const ignore = () => {};
  stream.on("error", ignore);

  const write = (text: string) =>
    new Promise<void>((resolve, reject) => {
      // A stream that has failed for good keeps what it is given, and never calls back.
      if (stream.errored) throw toExportError(stream.errored);
      const whole = isTorn ? `\n${text}` : text;
      isTorn = false;
      stream.write(whole, (error) => {
        if (!error) return resolve();
        isTorn = true;
        reject(toExportError(error));
      });
    });

  return {
    async send(events, signal) {
      signal.throwIfAborted();
      if (events.length > 0) await abortable(write(events.map(({ raw }) => `${raw}\n`).join("")), signal);
      return { rejected: [], unsent: [] };
    },
    async check() {
      return stream.writable
        ? [{ ok: true, text: "standard output: one line of JSON an event" }]
        : [{ ok: false, text: "standard output is closed", advice: "Give it a reader or a file." }];
    },
    async close() {
      stream.off("error", ignore);
    },
  };
}

/**
 * Into a file, written here: Node's own stream for files writes once and reports success also when the disk had
 * room for a part only.
 */
function createFileOutput(fd: number): Destination {
  let isTorn = endsTorn(fd);
  return {
    async send(events, signal) {
      signal.throwIfAborted();
      if (events.length === 0) return { rejected: [], unsent: [] };
      const bytes = Buffer.from((isTorn ? "\n" : "") + events.map(({ raw }) => `${raw}\n`).join(""));
      let written = 0;
      try {
        while (written < bytes.length) written += writeSync(fd, bytes, written);
      } catch (error) {
        isTorn ||= written > 0;
        throw toExportError(error as NodeJS.ErrnoException);
      }
      isTorn = false;
      return { rejected: [], unsent: [] };
    },
    async check() {
      return [{ ok: true, text: "standard output: one line of JSON an event, into a file" }];
    },
  };
}

function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    return false;
  }
}

/** Whether an earlier process left half a line at the end; false where the system does not let us look. */
function endsTorn(fd: number): boolean {
  try {
    const { size } = fstatSync(fd);
    const file = openSync(`/proc/self/fd/${fd}`, "r");
    const last = Buffer.alloc(1);
    const bytes = readSync(file, last, 0, 1, size - 1);
    closeSync(file);
    return bytes === 1 && last.toString() !== "\n";
  } catch {
    return false;
  }
}

/** A full disk may be freed again; a reader that went away does not return. */
function toExportError(error: NodeJS.ErrnoException): ExportError {
  const isPassing = ["ENOSPC", "EDQUOT", "EFBIG", "EAGAIN", "EIO"].includes(error.code ?? "");
  return new ExportError(
    isPassing ? "transient" : "permanent",
    `standard output: ${describe(error)}. ${isPassing ? "Free some space on its disk." : "Give it a reader or a file, and start again."}`,
  );
}
