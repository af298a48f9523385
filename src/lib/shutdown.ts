import type { Log } from "./log.ts";

export interface Shutdown {
  /** First signal: nothing new begins, what is under way finishes. */
  readonly stop: AbortSignal;
  /** Three quarters of the grace period later, or at a second signal: what is under way is cancelled. */
  readonly abort: AbortSignal;
  /** Starts the same sequence without a signal from outside. */
  begin(reason: string): void;
  /** Adds something to close at the end; the last added closes first. */
  onClose(name: string, close: () => Promise<void> | void): void;
  /** Closes everything and ends the process: SDKs leave timers behind that would hold it for a minute. */
  exit(code: number): Promise<never>;
}

/** Handles SIGTERM and SIGINT for the life of the process. */
export function createShutdown(options: { graceMs: number; log: Log }): Shutdown {
  const { graceMs, log } = options;
  const stop = new AbortController();
  const abort = new AbortController();
  const closers: { readonly name: string; readonly close: () => Promise<void> | void }[] = [];

  const cancel = (why: string) => {
    if (abort.signal.aborted) return;
    log.warn(
      `${why}: requests are cancelled and nothing more is committed; events of the window in flight may be sent again at the next start`,
    );
    abort.abort(new DOMException("the program is stopping", "AbortError"));
  };
  let end: NodeJS.Timeout | null = null;
  /** Ends the process when the grace period is over. */
  const limit = () => {
    end ??= setTimeout(() => {
      const open = [...closers.map(({ name }) => name), ...new Set(process.getActiveResourcesInfo())].join(
        ", ",
      );
      log.error(`did not stop within ${graceMs / 1_000} s; still open: ${open}`);
      process.exit(1);
    }, graceMs).unref();
    return end;
  };
  const begin = (reason: string) => {
    if (stop.signal.aborted) return cancel(`${reason} again`);
    log.info(`${reason}: stopping; a second signal stops at once`);
    stop.abort(new DOMException("the program is stopping", "AbortError"));
    setTimeout(() => cancel("the grace period is running out"), graceMs * 0.75).unref();
    limit();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => begin(signal));

  return {
    stop: stop.signal,
    abort: abort.signal,
    begin,
    onClose: (name, close) => closers.push({ name, close }),
    async exit(code) {
      // Holds the process, which would otherwise end without a word when a closer waits for nothing.
      limit().ref();
      for (let closer = closers.at(-1); closer; closer = closers.at(-1)) {
        try {
          await closer.close();
        } catch (error) {
          log.warn({ err: error }, `closing ${closer.name} failed`);
        }
        closers.pop();
      }
      process.exit(code);
    },
  };
}
