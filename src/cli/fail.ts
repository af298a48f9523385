import { asExportError, exitCodeOf } from "../core/errors.ts";
import { createRedactor } from "../lib/redact.ts";
import { knownSecrets } from "./context.ts";

/** Ends the process with one message for a person, and the exit code that its kind has. */
export function fail(thrown: unknown): never {
  const error = asExportError(thrown);
  const detail = error.kind === "bug" && thrown instanceof Error ? `\n${thrown.stack ?? ""}` : "";
  process.stderr.write(
    `${createRedactor(knownSecrets()).redact(`auth0-log-exporter: ${error.message}${detail}`)}\n`,
  );
  process.exit(exitCodeOf(error.kind));
}
