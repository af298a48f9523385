export interface Deadline {
  /** Aborts with the signal that it was made of, or with a `TimeoutError` when the time is over. */
  readonly signal: AbortSignal;
  /** Frees the timer and the listener; to be called when the work is done. */
  end(): void;
}

/**
 * As `AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])`, which would keep its timer, and what hangs on it,
 * until the time is over: at hundreds of requests a second, those of the last half minute.
 */
export function startDeadline(signal: AbortSignal, timeoutMs: number): Deadline {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal.reason);
  const timer = setTimeout(() => {
    controller.abort(new DOMException(`no answer within ${timeoutMs} ms`, "TimeoutError"));
  }, timeoutMs);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    },
  };
}
