import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { ExportError } from "../core/errors.ts";
import type { Counts, Notice, Outcome, RunError, RunRecord } from "../core/types.ts";
import type { NewRun, RunQuery, StoredRun } from "./store.ts";

/** Years of runs every five minutes would slow down every listing; this is a month of them. */
const keptRuns = 10_000;

const noCounts: Counts = {
  read: 0,
  filtered: 0,
  delivered: 0,
  rejected: 0,
  skipped: 0,
  batches: 0,
  retries: 0,
};

const insertSql = `INSERT INTO run (pipeline, started_by, outcome, started_at_ms, from_cursor, counts, error, notices,
    unknown_types)
  VALUES (:pipeline, :trigger, 'running', :startedAtMs, :from, :counts, 'null', '[]', '{}')
  RETURNING id`;

const finishSql = `UPDATE run SET outcome = :outcome, started_at_ms = :startedAtMs, ended_at_ms = :endedAtMs,
    from_cursor = :from, to_cursor = :to, lag_ms = :lagMs, counts = :counts, error = :error, notices = :notices,
    unknown_types = :unknownTypes
  WHERE id = :id`;

const pruneSql = `DELETE FROM run WHERE pipeline = :pipeline
    AND id <= (SELECT id FROM run WHERE pipeline = :pipeline ORDER BY id DESC LIMIT 1 OFFSET ${keptRuns})`;

const listSql = `SELECT * FROM run
  WHERE (:pipeline IS NULL OR pipeline = :pipeline)
    AND (:beforeId IS NULL OR id < :beforeId)
    AND (NOT :failedOnly OR outcome IN ('failed', 'crashed'))
  ORDER BY id DESC LIMIT :limit`;

/** The statements on the table `run`, prepared once. */
export function runTable(db: DatabaseSync) {
  const markCrashed = db.prepare(
    "UPDATE run SET outcome = 'crashed' WHERE pipeline = ? AND outcome = 'running'",
  );
  const insert = db.prepare(insertSql);
  const finish = db.prepare(finishSql);
  const prune = db.prepare(pruneSql);
  const list = db.prepare(listSql);
  const report = db.prepare("UPDATE run SET reported_at_ms = :atMs WHERE id = :id");

  return {
    start({ pipeline, trigger, startedAtMs, from }: NewRun): number {
      markCrashed.run(pipeline);
      return Number(
        insert.get({ pipeline, trigger, startedAtMs, from, counts: JSON.stringify(noCounts) })?.id,
      );
    },

    /** Throws `bug` for an unknown ID. */
    finish(id: number, record: RunRecord): void {
      const { changes } = finish.run({
        id,
        outcome: record.outcome,
        startedAtMs: record.startedAtMs,
        endedAtMs: record.endedAtMs,
        from: record.from,
        to: record.to,
        lagMs: record.lagMs,
        counts: JSON.stringify(record.counts),
        error: JSON.stringify(record.error),
        notices: JSON.stringify(record.notices),
        unknownTypes: JSON.stringify(record.unknownTypes),
      });
      if (changes === 0) throw new ExportError("bug", `run ${id} of ${record.pipeline} was never started`);
      prune.run({ pipeline: record.pipeline });
    },

    list: ({ pipeline, failedOnly, limit, beforeId }: RunQuery): StoredRun[] =>
      list
        .all({
          pipeline: pipeline ?? null,
          failedOnly: failedOnly ? 1 : 0,
          limit,
          beforeId: beforeId ?? null,
        })
        .map(storedRun),

    markReported(id: number, atMs: number): void {
      report.run({ id, atMs });
    },
  };
}

function storedRun(row: Record<string, SQLOutputValue>): StoredRun {
  return {
    id: row.id as number,
    pipeline: row.pipeline as string,
    trigger: row.started_by as string,
    outcome: row.outcome as Outcome,
    startedAtMs: row.started_at_ms as number,
    endedAtMs: row.ended_at_ms as number | null,
    reportedAtMs: row.reported_at_ms as number | null,
    from: row.from_cursor as string | null,
    to: row.to_cursor as string | null,
    lagMs: row.lag_ms as number | null,
    counts: JSON.parse(row.counts as string) as Counts,
    error: JSON.parse(row.error as string) as RunError | null,
    notices: JSON.parse(row.notices as string) as Notice[],
    unknownTypes: JSON.parse(row.unknown_types as string) as Record<string, number>,
  };
}
