import { ExportError } from "../core/errors.ts";
import type { Clock, LogEvent, Notice, Position, Source, Start } from "../core/types.ts";
import { type Answer, type Auth0Client, excerpt } from "./client.ts";
import { cursorAt, cursorBefore, isAfter, oldestCursor, readCursor, timeOfId } from "./log-id.ts";
import { parseEvent, parseLast, parsePage } from "./page.ts";
import { parseStartPosition } from "./start-position.ts";

/** Most events in one answer: https://auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api */
const take = 100;
/** The shortest retention of any plan is one day; a checkpoint that was confirmed within this time can hide no gap. */
const gapCheckAfterMs = 20 * 3_600_000;
const scope = "read:logs";

export interface LogsOptions {
  readonly client: Auth0Client;
  readonly clock: Clock;
  /** Events whose ID is younger are left for the next run, as one with a lower ID may still appear before them. */
  readonly settleMs: number;
}

/** The tenant's log, read by checkpoint paging: `from` (exclusive) and `take`, nothing else. */
export function createLogs({ client, clock, settleMs }: LogsOptions): Source {
  const page = (afterId: string, signal: AbortSignal) =>
    client.get(
      "/logs",
      { from: afterId, take: String(take) },
      {
        signal,
        scope,
        expected: [400],
        parse: (answer) => {
          if (answer.status === 400) throw refusedPosition(afterId, answer);
          return readPage(answer, afterId, clock.now(), settleMs);
        },
      },
    );

  return {
    isAfter,

    async start(from, signal) {
      const position = parseStartPosition(from, clock.now());
      switch (position.kind) {
        case "oldest":
          return { cursor: oldestCursor, eventTimeMs: null };
        case "time":
          return { cursor: cursorAt(position.timeMs), eventTimeMs: position.timeMs };
        case "id":
          return { cursor: cursorBefore(position.id), eventTimeMs: timeOfId(position.id) };
        case "latest":
          return latest({ client, clock, settleMs }, signal);
        default:
          return position satisfies never;
      }
    },

    async *read(after, signal) {
      const opening = await openingPage(client, clock, after, signal);
      let { id } = readCursor(after.cursor);
      let { notices, gapFromMs } = opening;
      if (opening.event) {
        yield { events: [opening.event], cursor: id, notices };
        notices = [];
      }
      for (;;) {
        const { settled, isLast } = await page(id, signal);
        if (gapFromMs !== null) notices = [...notices, gapNotice(gapFromMs, id, settled[0], clock.now())];
        id = settled.at(-1)?.id ?? id;
        if (settled.length > 0 || notices.length > 0) yield { events: settled, cursor: id, notices };
        if (isLast) return;
        notices = [];
        gapFromMs = null;
      }
    },
  };
}

interface Opening {
  /** The event that an inclusive cursor names. */
  readonly event: LogEvent | null;
  readonly notices: readonly Notice[];
  /** Set when events after the checkpoint may be gone: the time up to which none is. */
  readonly gapFromMs: number | null;
}

/** What must be known of the checkpoint before the first page. */
async function openingPage(
  client: Auth0Client,
  clock: Clock,
  { cursor, confirmedAtMs }: Position,
  signal: AbortSignal,
): Promise<Opening> {
  const { id, inclusive, synthetic } = readCursor(cursor);
  const nothing = { event: null, notices: [], gapFromMs: null };
  const knownAtMs = Math.max(timeOfId(id) ?? 0, confirmedAtMs ?? 0);
  const isOld = clock.now() - knownAtMs > gapCheckAfterMs;
  if (synthetic || (!inclusive && !isOld)) return nothing;
  const event = await eventById(client, clock, id, signal);
  if (inclusive) {
    if (event) return { ...nothing, event };
    const message = `Auth0 has no event ${id}, or no longer (check the ID): the export starts with the first event after it.`;
    return { ...nothing, notices: [{ kind: "start", lost: true, message }] };
  }
  return event ? nothing : { ...nothing, gapFromMs: knownAtMs };
}

function gapNotice(fromMs: number, id: string, first: LogEvent | undefined, nowMs: number): Notice {
  const from = new Date(fromMs).toISOString();
  const to = new Date(first?.timeMs ?? nowMs).toISOString();
  const message = `Possible gap from ${from} to ${to}: Auth0 has deleted the checkpoint's event ${id}, so events after it may have been deleted before they were exported. The export goes on with the oldest event that is left. Run it more often than the plan's retention.`;
  return { kind: "gap", lost: true, message };
}

/** Null when there is none. An ID that Auth0 does not take for one counts as that: reading after it decides. */
async function eventById(client: Auth0Client, clock: Clock, id: string, signal: AbortSignal) {
  return client.get(
    `/logs/${id}`,
    {},
    {
      signal,
      scope,
      expected: [400, 404],
      parse: ({ status, text }) => {
        if (status !== 200) return null;
        const event = parseEvent(text, clock.now());
        if (event.id === id) return event;
        throw new ExportError(
          "transient",
          `Auth0 answered the request for event ${id} with another one, ${event.id}`,
        );
      },
    },
  );
}

/**
 * The position of the last event that has settled. Search mode knows only the order of dates, in which the last ID
 * is often not the first answer; an empty tenant starts now.
 */
async function latest({ client, clock, settleMs }: LogsOptions, signal: AbortSignal): Promise<Start> {
  const { last, nowMs } = await lastEvent(client, clock, signal);
  if (!last) return { cursor: cursorAt(nowMs), eventTimeMs: nowMs };
  const settled = cursorAt(nowMs - settleMs);
  return last.id > settled
    ? { cursor: settled, eventTimeMs: nowMs - settleMs }
    : { cursor: last.id, eventTimeMs: last.timeMs };
}

function lastEvent(client: Auth0Client, clock: Clock, signal: AbortSignal) {
  const parse = (answer: Answer) => ({
    last: parseLast(answer.text, clock.now()),
    nowMs: serverNowMs(answer, clock.now()),
  });
  return client.get("/logs", { per_page: String(take), sort: "date:-1" }, { signal, scope, parse });
}

/** Further ahead than this, a time is none: either the ID has another layout, or the clock that we compare with is wrong. */
const maxAheadMs = 3_600_000;

/** The settled events of an answer, and whether there is nothing after them for now. */
function readPage(answer: Answer, afterId: string, localNowMs: number, settleMs: number) {
  const nowMs = serverNowMs(answer, localNowMs);
  const events = parsePage(answer.text, afterId, localNowMs);
  const unsettledAt = events.findIndex(({ id }) => {
    const aheadMs = (timeOfId(id) ?? Number.NEGATIVE_INFINITY) - nowMs;
    return aheadMs > -settleMs && aheadMs <= maxAheadMs;
  });
  if (unsettledAt === -1) return { settled: events, isLast: events.length === 0 };
  return { settled: events.slice(0, unsettledAt), isLast: true };
}

function serverNowMs({ headers }: Answer, localNowMs: number): number {
  return Date.parse(headers.get("date") ?? "") || localNowMs;
}

function refusedPosition(id: string, answer: Answer): ExportError {
  const message = `Auth0 refuses the checkpoint ${id} as a start position (400: ${excerpt(answer.text)}). Choose another one: auth0-log-exporter checkpoint set oldest, or a time such as -24h`;
  return new ExportError("config", message);
}
