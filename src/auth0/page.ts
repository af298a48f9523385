import { ExportError } from "../core/errors.ts";
import type { LogEvent } from "../core/types.ts";
import { excerpt } from "./client.ts";
import { timeOfId } from "./log-id.ts";

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/**
 * The body of a page as events. Throws `transient` for anything but a JSON array of objects that have IDs,
 * rising from `afterId` on: a proxy's page with status 200 must never pass for "no events".
 */
export function parsePage(text: string, afterId: string, nowMs: number): LogEvent[] {
  let lastId = afterId;
  return parseItems(text).map(({ item, raw }) => {
    const event = toEvent(item, raw, nowMs);
    if (event.id <= lastId) {
      const message = `Auth0 answered GET /logs out of order: ${event.id} came after ${lastId}; the checkpoint stays where it is`;
      throw new ExportError("transient", message);
    }
    lastId = event.id;
    return event;
  });
}

/** The last event by ID of an answer in any order; undefined for an empty one. Throws as `parsePage`. */
export function parseLast(text: string, nowMs: number): LogEvent | undefined {
  const items = parseItems(text);
  const events = items.map(({ item, raw }) => toEvent(item, raw, nowMs));
  return events.reduce<LogEvent | undefined>(
    (last, event) => (last && last.id > event.id ? last : event),
    undefined,
  );
}

/** The body of one event. Throws `transient` when it is none. */
export function parseEvent(text: string, nowMs: number): LogEvent {
  return toEvent(parseJson(text), text.trim(), nowMs);
}

function parseItems(text: string): { readonly item: unknown; readonly raw: string }[] {
  const items = parseJson(text);
  if (!Array.isArray(items)) throw malformed("something other than a JSON array", text);
  const raws = splitArray(text);
  if (raws.length !== items.length) throw malformed("an array that holds more than objects", text);
  return items.map((item, index) => ({ item, raw: raws[index] as string }));
}

function toEvent(item: unknown, raw: string, nowMs: number): LogEvent {
  const data = item as Record<string, unknown> | null;
  const id = typeof data === "object" && data !== null ? (data.log_id ?? data._id) : undefined;
  if (!data || typeof id !== "string" || id === "") throw malformed("an event without log_id", raw);
  const dateMs = typeof data.date === "string" ? Date.parse(data.date) : Number.NaN;
  const timeMs = Number.isNaN(dateMs) ? (timeOfId(id) ?? nowMs) : dateMs;
  const type = typeof data.type === "string" ? data.type : "";
  return { id, type, timeMs, raw: copyOf(oneLine(raw)), data };
}

/** A slice would keep the whole page in memory, and in two bytes a character if any of its characters needs them. */
function copyOf(slice: string): string {
  return Buffer.from(slice).toString();
}

/** JSON has line breaks only between its tokens, so they go without touching a value. */
function oneLine(raw: string): string {
  return raw.includes("\n") || raw.includes("\r") ? raw.replace(/[\r\n]\s*/g, "") : raw;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed("something other than JSON", text);
  }
}

function malformed(what: string, text: string): ExportError {
  const message = `Auth0 answered GET /logs with ${what}: ${excerpt(text)}; if this stays, look for a proxy or gateway in between`;
  return new ExportError("transient", message);
}

/** The text of each object in a JSON array that is known to be valid, so that numbers and escapes survive as sent. */
export function splitArray(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      at = endOfString(text, at);
    } else if (code === openBrace || code === openBracket) {
      if (depth === 1 && code === openBrace) start = at;
      depth++;
    } else if (code === closeBrace || code === closeBracket) {
      depth--;
      if (depth === 1 && code === closeBrace) parts.push(text.slice(start, at + 1));
    }
  }
  return parts;
}

function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text.charCodeAt(at - 1 - escapes) === backslash) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return text.length;
}
