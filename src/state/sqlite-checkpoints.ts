import type { DatabaseSync } from "node:sqlite";
import { ExportError } from "../core/errors.ts";
import type { Checkpoint, Progress } from "../core/types.ts";
import type { NewCheckpoint } from "./store.ts";

const columns = `pipeline, cursor, event_time_ms AS eventTimeMs, drained_at_ms AS drainedAtMs, epoch,
  start_from AS startFrom, updated_at_ms AS updatedAtMs`;

/** The statements on the table `checkpoint`, prepared once. */
export function checkpointTable(db: DatabaseSync) {
  const one = db.prepare(`SELECT ${columns} FROM checkpoint WHERE pipeline = ?`);
  const all = db.prepare(`SELECT ${columns} FROM checkpoint ORDER BY pipeline`);
  const claim = db.prepare(
    `INSERT INTO checkpoint (pipeline, epoch, updated_at_ms) VALUES (:pipeline, 1, :nowMs)
     ON CONFLICT (pipeline) DO UPDATE SET epoch = epoch + 1
     RETURNING ${columns}`,
  );
  const advance = db.prepare(
    `UPDATE checkpoint SET cursor = :cursor, event_time_ms = :eventTimeMs, drained_at_ms = :drainedAtMs,
       start_from = coalesce(:startFrom, start_from), updated_at_ms = :nowMs
     WHERE pipeline = :pipeline AND epoch = :epoch`,
  );
  const set = db.prepare(
    `INSERT INTO checkpoint (pipeline, cursor, event_time_ms, epoch, start_from, updated_at_ms)
     VALUES (:pipeline, :cursor, :eventTimeMs, 1, :startFrom, :nowMs)
     ON CONFLICT (pipeline) DO UPDATE SET cursor = excluded.cursor, event_time_ms = excluded.event_time_ms,
       drained_at_ms = NULL, epoch = epoch + 1, start_from = coalesce(excluded.start_from, start_from),
       updated_at_ms = excluded.updated_at_ms
     RETURNING ${columns}`,
  );
  const clear = db.prepare(
    `UPDATE checkpoint SET cursor = NULL, event_time_ms = NULL, drained_at_ms = NULL, epoch = epoch + 1,
       start_from = NULL, updated_at_ms = :nowMs
     WHERE pipeline = :pipeline`,
  );

  const read = (pipeline: string): Checkpoint | null => {
    const row = one.get(pipeline);
    return row === undefined ? null : ({ ...row } as unknown as Checkpoint);
  };

  return {
    read,
    readAll: () => all.all().map((row) => ({ ...row }) as unknown as Checkpoint),
    claim: (pipeline: string, nowMs: number) =>
      ({ ...claim.get({ pipeline, nowMs }) }) as unknown as Checkpoint,
    set: (pipeline: string, to: NewCheckpoint, nowMs: number) =>
      ({
        ...set.get({
          pipeline,
          cursor: to.cursor,
          eventTimeMs: to.eventTimeMs,
          startFrom: to.startFrom ?? null,
          nowMs,
        }),
      }) as unknown as Checkpoint,

    /** Throws `conflict` when `epoch` is no longer the pipeline's. */
    advance(pipeline: string, epoch: number, next: Progress, nowMs: number): void {
      const { changes } = advance.run({
        pipeline,
        epoch,
        cursor: next.cursor,
        eventTimeMs: next.eventTimeMs,
        drainedAtMs: next.drainedAtMs,
        startFrom: next.startFrom ?? null,
        nowMs,
      });
      if (changes === 0)
        throw new ExportError(
          "conflict",
          `the checkpoint of ${pipeline} was moved or claimed by somebody else during this run: nothing more is ` +
            "stored, and the next run goes on from the checkpoint as it is now",
        );
    },

    /** True when there was a position to forget. */
    clear(pipeline: string, nowMs: number): boolean {
      const before = read(pipeline);
      clear.run({ pipeline, nowMs });
      return before !== null && before.cursor !== null;
    },
  };
}
