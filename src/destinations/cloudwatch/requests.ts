import type { LogEvent, Refused } from "../../core/types.ts";

/** An event as it goes into a request. */
export interface Entry {
  readonly event: LogEvent;
  readonly timestampMs: number;
  /** What it counts towards the batch limit. */
  readonly bytes: number;
}

/**
 * The rules of PutLogEvents:
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
 */
const maxRequestBytes = 1_048_576;
const overheadBytes = 26;
const maxRequestEvents = 10_000;
const maxSpanMs = 24 * 3_600_000;
export const maxAgeMs = 14 * 86_400_000;
export const maxAheadMs = 2 * 3_600_000;

/** AWS says 1 MB without saying how it counts; this much is accepted in practice. */
const maxMessageBytes = 1_000_000;

/** How far inside the 14 days a clamped event lands, so that our clock and a slow request do not push it out. */
const clampMarginMs = 5 * 60_000;

interface EntryOptions {
  readonly oldEvents: "dead-letter" | "clamp";
  readonly nowMs: number;
}

/** Measures the events, and refuses those that no request can carry. */
export function toEntries(
  events: readonly LogEvent[],
  options: EntryOptions,
): { readonly entries: Entry[]; readonly refused: Refused[] } {
  const entries: Entry[] = [];
  const refused: Refused[] = [];
  const oldestMs =
    options.oldEvents === "clamp" ? options.nowMs - maxAgeMs + clampMarginMs : Number.NEGATIVE_INFINITY;
  for (const event of events) {
    const messageBytes = Buffer.byteLength(event.raw);
    const timestampMs = Math.max(event.timeMs, oldestMs);
    if (messageBytes > maxMessageBytes) {
      const reason = `the event has ${messageBytes} bytes; CloudWatch Logs takes at most ${maxMessageBytes}`;
      refused.push({ event, reason });
    } else if (messageBytes === 0) {
      refused.push({ event, reason: "the event is empty" });
    } else if (!Number.isSafeInteger(timestampMs) || timestampMs < 0) {
      refused.push({
        event,
        reason: `the event's time, ${event.timeMs}, is none that CloudWatch Logs takes`,
      });
    } else {
      entries.push({ event, timestampMs, bytes: messageBytes + overheadBytes });
    }
  }
  return { entries, refused };
}

/** Entries in the order of their time, equal times as they came, cut where a limit of the service asks for it. */
export function splitRequests(entries: readonly Entry[]): Entry[][] {
  const inOrder = entries.every(
    (entry, index) => entry.timestampMs >= (entries[index - 1] ?? entry).timestampMs,
  );
  const ordered = inOrder ? entries : entries.toSorted((a, b) => a.timestampMs - b.timestampMs);
  const requests: Entry[][] = [];
  let request: Entry[] = [];
  let bytes = 0;
  let startMs = 0;
  for (const entry of ordered) {
    const isFull =
      request.length === maxRequestEvents ||
      bytes + entry.bytes > maxRequestBytes ||
      entry.timestampMs - startMs >= maxSpanMs;
    if (request.length === 0 || isFull) {
      request = [];
      requests.push(request);
      bytes = 0;
      startMs = entry.timestampMs;
    }
    request.push(entry);
    bytes += entry.bytes;
  }
  return requests;
}

/** The body of PutLogEvents, put together event by event: as one long string it takes twice the time to encode. */
export function encodeRequest(
  logGroupName: string,
  logStreamName: string,
  entries: readonly Entry[],
): Buffer {
  const withoutEvents = JSON.stringify({ logGroupName, logStreamName, logEvents: [] });
  const logEvents = entries.map(({ timestampMs: timestamp, event: { raw: message } }, index) =>
    Buffer.from(`${index === 0 ? "" : ","}${JSON.stringify({ timestamp, message })}`),
  );
  return Buffer.concat([Buffer.from(withoutEvents.slice(0, -2)), ...logEvents, Buffer.from("]}")]);
}
