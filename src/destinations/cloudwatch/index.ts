import { describe, ExportError } from "../../core/errors.ts";
import type { Clock, Destination, LogEvent, Refused, SendResult } from "../../core/types.ts";
import type { Log } from "../../lib/log.ts";
import { type ClientOptions, createClient } from "./client.ts";
import { toExportError } from "./errors.ts";
import { judge } from "./rejected.ts";
import { type Entry, splitRequests, toEntries } from "./requests.ts";
import { createLogStream, type LogStream } from "./stream.ts";

export interface CloudWatchOptions extends ClientOptions {
  readonly logGroupName: string;
  readonly logStreamName: string;
  /** Create the stream, then the group, when they are missing. */
  readonly create: boolean;
  /** Events older than 14 days: `dead-letter` them, or `clamp` their timestamp to the oldest that is accepted. */
  readonly oldEvents: "dead-letter" | "clamp";
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * CloudWatch Logs: one log event per event, with the event's own time and its JSON text as the message. The
 * service deduplicates nothing, so what is sent again after a lost answer stands in the stream twice.
 */
export function createCloudWatch(options: CloudWatchOptions): Destination {
  const stream = createLogStream({ ...options, client: createClient(options) });
  return {
    send: (events, signal) => send(events, signal, stream, options),
    async check(signal) {
      try {
        return [await stream.check(signal)];
      } catch (thrown) {
        const text = `CloudWatch Logs: stopped before it answered (${describe(thrown)})`;
        return [{ ok: false, text, advice: "Check again." }];
      }
    },
    async close() {
      stream.close();
    },
  };
}

/**
 * Sends requests one after the other, each of them split further where an answer leaves open which of its events
 * it is about: halved while the service refuses the whole, single events where its answer is doubtful.
 */
async function send(
  events: readonly LogEvent[],
  signal: AbortSignal,
  stream: LogStream,
  options: CloudWatchOptions,
): Promise<SendResult> {
  const { clock, log, logGroupName, oldEvents } = options;
  const { entries, refused: rejected } = toEntries(events, { oldEvents, nowMs: clock.now() });
  const alone: Refused[] = [];
  let hasAnswered = false;
  const requests = splitRequests(entries);
  for (let request = requests.shift(); request; request = requests.shift()) {
    const { output, failure } = await stream.put(request, signal);
    if (output) {
      hasAnswered = true;
      const verdict = judge(request, output.info, clock.now(), logGroupName);
      rejected.push(...verdict.rejected);
      requests.unshift(...verdict.doubtful.map((entry) => [entry]));
    } else if (failure.reason !== "refused") {
      if (!hasAnswered) throw toExportError(failure);
      const unsent = [request, ...requests].flat().map(({ event }) => event);
      return { rejected: [...rejected, ...alone], unsent, cause: toExportError(failure) };
    } else if (request.length > 1) {
      log.debug({ events: request.length, reason: failure.text }, "halving a request that was refused");
      requests.unshift(...halve(request));
    } else {
      alone.push(...request.map(({ event }) => ({ event, reason: failure.text })));
    }
  }
  if (!hasAnswered && alone.length > 1) throw refusedAll(alone);
  return { rejected: [...rejected, ...alone], unsent: [] };
}

/**
 * Refused one by one, events are at fault only if the service takes others. When it takes none, the fault lies in
 * what they have in common, a setting for example; then the checkpoint has to stay instead of every event to come
 * ending as a dead letter. A batch of a single event tells nothing about others, and is rejected.
 */
function refusedAll(alone: readonly Refused[]): ExportError {
  return new ExportError(
    "permanent",
    `${alone[0]?.reason} Each of ${alone.length} events was refused by itself, so the cause is not in them: check the log group, the log stream and their KMS key. None was dead-lettered.`,
  );
}

function halve(request: readonly Entry[]): Entry[][] {
  const middle = Math.ceil(request.length / 2);
  return [request.slice(0, middle), request.slice(middle)];
}
