import type { RejectedLogEventsInfo } from "@aws-sdk/client-cloudwatch-logs";
import type { Refused } from "../../core/types.ts";
import { type Entry, maxAgeMs, maxAheadMs } from "./requests.ts";

interface Verdict {
  readonly rejected: readonly Refused[];
  /** Accepted or not, this answer does not say for sure. */
  readonly doubtful: readonly Entry[];
}

/**
 * Which entries of an answered request were refused, from AWS's indices and from our own arithmetic.
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_RejectedLogEventsInfo.html calls
 * `tooOldLogEventEndIndex` "the last log event that is too old" and also "exclusive", and says nothing about
 * `expiredLogEventEndIndex`; emulators disagree with it and with each other. So what lies within a range by every
 * reading is refused. What lies at its edge, or outside it although by our clock it is too old or too new, is
 * doubtful: the caller sends it again by itself. That answer is about one event, so its indices leave no doubt, and
 * the price is a duplicate where the event had been accepted, never a loss.
 */
export function judge(
  entries: readonly Entry[],
  info: RejectedLogEventsInfo | undefined,
  nowMs: number,
  logGroupName: string,
): Verdict {
  if (!info) return { rejected: [], doubtful: [] };
  const expiredEnd = info.expiredLogEventEndIndex ?? -1;
  const tooOldEnd = info.tooOldLogEventEndIndex ?? -1;
  const tooNewStart = info.tooNewLogEventStartIndex ?? entries.length;
  const rejected: Refused[] = [];
  const doubtful: Entry[] = [];
  for (const [index, entry] of entries.entries()) {
    const isTooOld = entry.timestampMs < nowMs - maxAgeMs;
    const isTooNew = entry.timestampMs > nowMs + maxAheadMs;
    const isCertain = entries.length === 1 || index < expiredEnd || index < tooOldEnd || index >= tooNewStart;
    let reason: string | undefined;
    // Retention first: where both apply, clamping would not help.
    if (index <= expiredEnd) {
      reason = `older than the retention of the log group ${logGroupName} allows; raise the retention to keep such events`;
    } else if (index >= tooNewStart || isTooNew) {
      reason = "dated more than 2 hours after the time at CloudWatch Logs, which takes nothing newer";
    } else if (index <= tooOldEnd || isTooOld) {
      reason =
        "dated more than 14 days back, and CloudWatch Logs takes nothing older; CLOUDWATCH_OLD_EVENTS=clamp sends such events with a later timestamp";
    }
    if (reason === undefined) continue;
    if (isCertain) rejected.push({ event: entry.event, reason });
    else doubtful.push(entry);
  }
  return { rejected, doubtful };
}
