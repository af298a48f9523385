/** What one pass over the tenant's log took, in a process of its own. */
export interface Measured {
  readonly events: number;
  /** From the arrival of the first page to the end, so without the start of the process and the login. */
  readonly elapsedMs: number;
  /** CPU time of all threads in the same time. */
  readonly cpuMs: number;
  /** The most memory that the process ever held. */
  readonly peakRssMb: number;
}

/** Starts at the first call of `firstPage`. */
export function createStopwatch() {
  let startedAtMs: number | null = null;
  let cpuBefore = process.cpuUsage();
  return {
    firstPage(): void {
      if (startedAtMs !== null) return;
      startedAtMs = performance.now();
      cpuBefore = process.cpuUsage();
    },
    stop(events: number): Measured {
      const { user, system } = process.cpuUsage(cpuBefore);
      return {
        events,
        elapsedMs: performance.now() - (startedAtMs ?? 0),
        cpuMs: (user + system) / 1_000,
        peakRssMb: process.resourceUsage().maxRSS / 1_024,
      };
    },
  };
}

/** Hands the result to the parent and ends, for SDKs keep timers and connections open. */
export function finish(measured: Measured): void {
  process.send?.(measured, () => process.exit(0));
}
