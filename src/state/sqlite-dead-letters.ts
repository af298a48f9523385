import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import type { DeadLetter } from "../core/types.ts";
import type { DeadLetterQuery, StoredDeadLetter } from "./store.ts";

const putSql = `INSERT INTO dead_letter (pipeline, event_id, type, time_ms, at_ms, reason, raw)
  VALUES (:pipeline, :eventId, :type, :timeMs, :nowMs, :reason, :raw)
  ON CONFLICT (pipeline, event_id) DO UPDATE SET type = excluded.type, time_ms = excluded.time_ms,
    at_ms = excluded.at_ms, reason = excluded.reason, raw = excluded.raw`;

const listSql = `SELECT * FROM dead_letter
  WHERE id > :afterId AND (:pipeline IS NULL OR pipeline = :pipeline)
  ORDER BY id LIMIT :limit`;

/** The statements on the table `dead_letter`, prepared once. */
export function deadLetterTable(db: DatabaseSync) {
  const put = db.prepare(putSql);
  const list = db.prepare(listSql);
  const remove = db.prepare("DELETE FROM dead_letter WHERE id = ?");
  const count = db.prepare(
    "SELECT count(*) AS n FROM dead_letter WHERE :pipeline IS NULL OR pipeline = :pipeline",
  );

  return {
    /** The same event again replaces what is stored of it: a run that crashed before its commit does it over. */
    put(pipeline: string, { event, reason }: DeadLetter, nowMs: number): void {
      const { id: eventId, type, timeMs, raw } = event;
      put.run({ pipeline, eventId, type, timeMs, nowMs, reason, raw });
    },

    list: ({ pipeline, limit, afterId }: DeadLetterQuery): StoredDeadLetter[] =>
      list.all({ pipeline: pipeline ?? null, limit, afterId: afterId ?? 0 }).map(storedDeadLetter),

    remove(id: number): void {
      remove.run(id);
    },

    count: (pipeline?: string): number => Number(count.get({ pipeline: pipeline ?? null })?.n),
  };
}

function storedDeadLetter(row: Record<string, SQLOutputValue>): StoredDeadLetter {
  const raw = row.raw as string;
  return {
    id: row.id as number,
    pipeline: row.pipeline as string,
    event: {
      id: row.event_id as string,
      type: row.type as string,
      timeMs: row.time_ms as number,
      raw,
      data: JSON.parse(raw) as Record<string, unknown>,
    },
    reason: row.reason as string,
    atMs: row.at_ms as number,
  };
}
