import { ExportError } from "../core/errors.ts";

/** A start position as a user writes it, understood. */
export type StartPosition =
  | { readonly kind: "oldest" }
  | { readonly kind: "latest" }
  | { readonly kind: "time"; readonly timeMs: number }
  | { readonly kind: "id"; readonly id: string };

export const startPositionForms =
  'a log_id, an ISO date or time such as 2026-01-31 or 2026-01-31T12:00:00Z, "-24h" or "-7d", "oldest" or "latest"';

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Reads `oldest`, `latest`, `-90m`/`-24h`/`-7d`, an ISO date or time (UTC unless it says otherwise) or a log_id
 * (with or without the "=" that `checkpoint show` prints before one that is still to be exported).
 * Throws `config` for anything else, and for a time that is still to come.
 */
export function parseStartPosition(text: string, nowMs: number): StartPosition {
  const value = text.trim();
  if (value === "oldest" || value === "latest") return { kind: value };
  const id = /^=?(\d{20,})$/.exec(value)?.[1];
  if (id) return { kind: "id", id };
  const ago = /^-(\d{1,6})([mhd])$/.exec(value);
  if (ago) return { kind: "time", timeMs: nowMs - Number(ago[1]) * unitMs[ago[2] as keyof typeof unitMs] };
  const timeMs = parseIsoTime(value);
  if (timeMs === null) throw new ExportError("config", `expected ${startPositionForms}; got "${value}"`);
  if (timeMs > nowMs) throw new ExportError("config", `expected a time that has passed; got "${value}"`);
  return { kind: "time", timeMs };
}

function parseIsoTime(text: string): number | null {
  const match =
    /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?)(Z|[+-]\d{2}:?\d{2})?)?$/i.exec(text);
  if (!match) return null;
  const [, date = "", time = "00:00", zone = "Z"] = match;
  const timeMs = Date.parse(`${date}T${time}${zone.toUpperCase()}`);
  const dayMs = Date.parse(`${date}T00:00Z`);
  if (Number.isNaN(timeMs) || Number.isNaN(dayMs)) return null;
  // Date.parse takes 30 February for 2 March.
  return new Date(dayMs).toISOString().startsWith(date) ? timeMs : null;
}
