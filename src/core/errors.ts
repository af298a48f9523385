/** The closed list of what can go wrong; `src/README.md` says what each means for a run, the daemon and the exit code. */
export const exportErrorKinds = [
  "config",
  "locked",
  "auth",
  "rate_limited",
  "transient",
  "permanent",
  "conflict",
  "aborted",
  "bug",
] as const;

export type ExportErrorKind = (typeof exportErrorKinds)[number];

interface ExportErrorOptions {
  /** How long the service asked us to wait, in ms. */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** The one error of this program. Its message says what happened, to what, and what to do next. */
export class ExportError extends Error {
  override readonly name = "ExportError";
  readonly kind: ExportErrorKind;
  readonly retryAfterMs: number | undefined;

  constructor(kind: ExportErrorKind, message: string, options: ExportErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Anything thrown, as an ExportError; what nobody classified is a bug of ours. */
export function asExportError(thrown: unknown): ExportError {
  if (thrown instanceof ExportError) return thrown;
  if (thrown instanceof Error && thrown.name === "AbortError") {
    return new ExportError("aborted", thrown.message, { cause: thrown });
  }
  return new ExportError("bug", `unexpected ${describe(thrown)}; please report this`, { cause: thrown });
}

/** One line for anything thrown, with the causes behind it: `fetch failed (ECONNREFUSED: connect …)`. */
export function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  // Its message tells of its cause already.
  if (thrown instanceof ExportError) return thrown.message;
  const code = (thrown as { code?: unknown }).code;
  const own =
    typeof code === "string" && !thrown.message.includes(code)
      ? `${code}: ${thrown.message}`
      : thrown.message;
  const text = own || thrown.name;
  if (thrown instanceof AggregateError && thrown.errors.length > 0)
    return `${text} (${describe(thrown.errors[0])})`;
  return thrown.cause instanceof Error ? `${text} (${describe(thrown.cause)})` : text;
}

/** Exit code of a one-shot command that ended with this kind of error. */
export function exitCodeOf(kind: ExportErrorKind): number {
  switch (kind) {
    case "config":
      return 2;
    case "locked":
      return 3;
    case "bug":
      return 70;
    case "aborted":
      return 0;
    case "auth":
    case "rate_limited":
    case "transient":
    case "permanent":
    case "conflict":
      return 1;
    default:
      return kind satisfies never;
  }
}
