import {
  type Answer,
  checkEvents,
  checkName,
  exception,
  type InputEvent,
  judgeTimes,
  notFound,
} from "./cloudwatch-rules.ts";

/** What a request carries, parsed. */
export type Input = Readonly<Record<string, unknown>>;

export interface StandInCounts {
  requests: number;
  /** Events accepted, repeated ones included. */
  events: number;
  /** Different `log_id`s among them. */
  distinct: number;
  /** UTF-8 bytes of the messages accepted. */
  bytes: number;
  /** Events refused inside a 200. */
  rejected: number;
}

interface StoredEvent extends InputEvent {
  readonly group: string;
  readonly stream: string;
}

/** What the service holds. */
export interface State {
  /** Streams by group, each with the time of its creation. */
  readonly groups: Map<string, Map<string, number>>;
  readonly stored: StoredEvent[];
  readonly ids: Set<string>;
  readonly counts: StandInCounts;
  readonly now: () => number;
  readonly keep: "all" | "counts";
  readonly retentionDays: number | undefined;
  readonly poison: (message: string) => boolean;
  readonly signedFor: { readonly region: string | undefined; readonly accessKeyId: string | undefined };
}

/** The actions it knows. None deduplicates: API/API_PutLogEvents.html says that sequence tokens are ignored. */
export const actions = { PutLogEvents, CreateLogGroup, CreateLogStream, DescribeLogStreams } satisfies Record<
  string,
  (state: State, input: Input) => Answer
>;

const alreadyExists = (what: "group" | "stream") =>
  exception("ResourceAlreadyExistsException", `The specified log ${what} already exists`);

/** API/API_PutLogEvents.html */
function PutLogEvents(state: State, input: Input): Answer {
  const refused = checkName(input, "logGroupName") ?? checkName(input, "logStreamName");
  if (refused) return refused;
  const nowMs = state.now();
  const events = checkEvents(input.logEvents, nowMs);
  if ("status" in events) return events;
  const group = String(input.logGroupName);
  const stream = String(input.logStreamName);
  const streams = state.groups.get(group);
  if (!streams) return notFound("group");
  if (!streams.has(stream)) return notFound("stream");
  if (events.some(({ message }) => state.poison(message))) {
    return exception("InvalidParameterException", "Log event message is not acceptable.");
  }
  const { start, end, body } = judgeTimes(events, nowMs, state.retentionDays);
  const accepted = events.slice(start, end);
  for (const { timestamp, message } of accepted) {
    state.counts.events++;
    state.counts.bytes += Buffer.byteLength(message);
    const id = /"log_id":\s*"([^"]+)"/.exec(message)?.[1];
    // Copied, for a slice would keep the whole message in memory.
    if (id !== undefined) state.ids.add(Buffer.from(id).toString());
    if (state.keep === "all") state.stored.push({ timestamp, message, group, stream });
  }
  state.counts.distinct = state.ids.size;
  state.counts.rejected += events.length - accepted.length;
  return { status: 200, body };
}

/** API/API_CreateLogGroup.html */
function CreateLogGroup(state: State, input: Input): Answer {
  const refused = checkName(input, "logGroupName");
  if (refused) return refused;
  const group = String(input.logGroupName);
  if (state.groups.has(group)) return alreadyExists("group");
  state.groups.set(group, new Map());
  return { status: 200, body: {} };
}

/** API/API_CreateLogStream.html */
function CreateLogStream(state: State, input: Input): Answer {
  const refused = checkName(input, "logGroupName") ?? checkName(input, "logStreamName");
  if (refused) return refused;
  const streams = state.groups.get(String(input.logGroupName));
  const stream = String(input.logStreamName);
  if (!streams) return notFound("group");
  if (streams.has(stream)) return alreadyExists("stream");
  streams.set(stream, state.now());
  return { status: 200, body: {} };
}

/** API/API_DescribeLogStreams.html: matches by prefix, sorts by name, at most 50 a page. */
function DescribeLogStreams(state: State, input: Input): Answer {
  const { limit = 50, logStreamNamePrefix: prefix, nextToken } = input;
  const refused =
    checkName(input, "logGroupName") ??
    (prefix === undefined ? null : checkName(input, "logStreamNamePrefix"));
  if (refused) return refused;
  if (typeof limit !== "number" || !Number.isInteger(limit) || limit < 1 || limit > 50) {
    return exception("InvalidParameterException", "'limit' must be a whole number from 1 to 50");
  }
  const streams = state.groups.get(String(input.logGroupName));
  if (!streams) return notFound("group");
  const after = Buffer.from(String(nextToken ?? ""), "base64url").toString();
  const names = [...streams.keys()]
    .filter((name) => name.startsWith(String(prefix ?? "")) && name > after)
    .sort();
  const page = names.slice(0, limit);
  return {
    status: 200,
    body: {
      logStreams: page.map((logStreamName) => ({
        logStreamName,
        creationTime: streams.get(logStreamName),
        storedBytes: 0,
      })),
      ...(names.length > limit && { nextToken: Buffer.from(page.at(-1) ?? "").toString("base64url") }),
    },
  };
}
