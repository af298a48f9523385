import type { Writable } from "node:stream";
import { describe, ExportError } from "../core/errors.ts";
import { abortable } from "../core/retry.ts";
import type { Destination } from "../core/types.ts";

export interface StdoutOptions {
  /** Stays open when the destination is closed. */
  readonly stream: Writable;
}

/** NDJSON: the JSON text of one event a line, each taken by the stream before `send` resolves. */
export function createStdout({ stream }: StdoutOptions): Destination {
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

/** A full disk may be freed again; a reader that went away does not return. */
function toExportError(error: NodeJS.ErrnoException): ExportError {
  const isPassing = ["ENOSPC", "EDQUOT", "EAGAIN", "EIO"].includes(error.code ?? "");
  return new ExportError(
    isPassing ? "transient" : "permanent",
    `standard output: ${describe(error)}. ${isPassing ? "Free some space on its disk." : "Give it a reader or a file, and start again."}`,
  );
}
