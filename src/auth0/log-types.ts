import { nearest } from "../lib/edit-distance.ts";
import { type LogTypeRow, logTypeRows } from "./log-types-data.ts";

/** The names of the levels 0–4. */
export const levelNames = ["debug", "info", "warning", "error", "critical"] as const;

export interface LogType {
  /** As in the event's `type`. */
  readonly code: string;
  /** Auth0's name for the event. */
  readonly name: string;
  /** Index in `levelNames`. */
  readonly level: LogTypeRow[1];
  /** The category that log streams filter by; null where Auth0 names none. */
  readonly category: string | null;
}

/**
 * The catalogue, in the order of the codes. A tenant may send codes that it lacks. How each code got its level,
 * first match first:
 *
 * 1. A code that the older extension auth0-logs-to-provider knew keeps the level it had there, so that who
 *    moves over sees the same events. This is also Auth0's own severity (success 1, warning 2, error 3)
 *    wherever Auth0 gives one, but for the six codes that the extension called critical.
 * 2. Auth0's own severity. `mgmt_api_read` is therefore 1: it records that somebody read secrets.
 * 3. For codes without one: 4 for a `limit_…` code, because each of them means that somebody is being blocked
 *    and all older ones have 4; 3 for what failed and for leaked passwords, as `pwd_leak`; 2 for warnings and
 *    for limits that block nobody; 1 for the rest, among it every notice and every started step.
 *
 * No code has level 0: Auth0 logs nothing that is only of use for debugging, and a level must not be a way to
 * lose events unknowingly.
 */
export const logTypes: readonly LogType[] = logTypeRows.map(([code, level, category, name]) => ({
  code,
  name,
  level,
  category,
}));

const byCode: ReadonlyMap<string, LogType> = new Map(logTypes.map((type) => [type.code, type]));

/** What is known of a type code (case counts); undefined for one that the catalogue lacks. */
export function logType(code: string): LogType | undefined {
  return byCode.get(code);
}

/** At most `max` codes that a mistyped `code` may have meant, nearest first; the shorter it is, the nearer they must be. */
export function nearTypes(code: string, max = 3): string[] {
  const maxDistance = Math.min(3, Math.ceil(code.length / 3));
  return nearest(code, byCode.keys(), maxDistance).slice(0, max);
}
