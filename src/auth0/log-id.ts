import type { Cursor } from "../core/types.ts";

/*
 * A log_id is 56 digits: a prefix of three ("900"; "800" in older regions), the UTC time yyyyMMddHHmmssSSS at
 * which Auth0 recorded the event, and a sequence. Auth0 documents the order but not the layout; the layout is
 * what its staff describe (community.auth0.com/t/log-id-structure/113985) and what recorded answers show.
 * Checkpoint paging takes an ID that no event has as a plain lower bound.
 */
const prefix = "900";
const timeDigits = 17;
const idDigits = 56;
const padding = "0".repeat(idDigits - prefix.length - timeDigits);
const layout = /^\d{3}(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{3})\d{36}$/;

/** A cursor with this mark stands just before the event that it names: the event itself is still to be read. */
const inclusiveMark = "=";

/** The time at which Auth0 recorded the event, in epoch ms; null for an ID of another layout. */
export function timeOfId(id: string): number | null {
  const parts = layout.exec(id)?.slice(1).map(Number);
  if (!parts) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0] = parts;
  const timeMs = Date.UTC(year, month - 1, day, hour, minute, second, ms);
  // Digits that are no time, such as a 95th month, belong to an ID of another layout.
  const isTime = new Date(timeMs).toISOString().replace(/\D/g, "") === id.slice(3, 3 + timeDigits);
  return isTime ? timeMs : null;
}

/** A lower bound for every event recorded from `timeMs` on. No event has this ID. */
export function cursorAt(timeMs: number): Cursor {
  const digits = new Date(timeMs).toISOString().replace(/\D/g, "");
  return `${prefix}${digits}${padding}`;
}

/** Below every event that a tenant can hold. */
export const oldestCursor: Cursor = cursorAt(0);

/** The cursor just before an event, so that the event is exported too. */
export function cursorBefore(id: string): Cursor {
  return `${inclusiveMark}${id}`;
}

/** What a cursor means: the ID to read after, whether the event of that ID is still to be read, and whether any event has it. */
export function readCursor(cursor: Cursor): { id: string; inclusive: boolean; synthetic: boolean } {
  const inclusive = cursor.startsWith(inclusiveMark);
  const id = inclusive ? cursor.slice(inclusiveMark.length) : cursor;
  return { id, inclusive, synthetic: id.endsWith(padding) };
}

/** Orders two cursors by the ID they name, as Auth0 orders its log: as strings. */
export function isAfter(a: Cursor, b: Cursor): boolean {
  return readCursor(a).id > readCursor(b).id;
}
