import { ExportError } from "./errors.ts";
import { abortable, type RetryOptions, retry } from "./retry.ts";
import type { Destination, LogEvent, Refused, SendResult } from "./types.ts";

export interface Delivery {
  readonly delivered: number;
  readonly rejected: readonly Refused[];
  readonly skipped: number;
}

/**
 * Sends until every event is accepted, refused for good, or given up; only the unsent part goes again.
 * Throws the last ExportError when it gives up, and the signal's reason on abort: part of the events may have
 * been accepted by then.
 */
export async function deliver(
  destination: Destination,
  events: readonly LogEvent[],
  options: RetryOptions,
): Promise<Delivery> {
  const rejected: Refused[] = [];
  let delivered = 0;
  let skipped = 0;
  let left = events;
  if (left.length === 0) return { delivered, rejected, skipped };
  await retry(options, async () => {
    const result = await abortable(destination.send(left, options.signal), options.signal);
    assertAccounted(left, result);
    const skippedNow = result.skipped?.length ?? 0;
    rejected.push(...result.rejected);
    skipped += skippedNow;
    delivered += left.length - result.rejected.length - result.unsent.length - skippedNow;
    left = result.unsent;
    if (left.length > 0) {
      throw result.cause ?? new ExportError("bug", "the destination left events unsent without saying why");
    }
  });
  return { delivered, rejected, skipped };
}

/** An event that the destination lists twice, or that it was not given, would make the counts lie. */
function assertAccounted(sent: readonly LogEvent[], result: SendResult): void {
  const skipped = result.skipped ?? [];
  const listed = result.rejected.length + result.unsent.length + skipped.length;
  if (listed === 0) return;
  const open = new Set(sent);
  const named = [...result.unsent, ...result.rejected.map((r) => r.event), ...skipped.map((s) => s.event)];
  if (!named.every((event) => open.delete(event))) {
    throw new ExportError("bug", "the destination listed an event twice, or one that it was not given");
  }
}
