import { pino } from "pino";
import type { RunRecord } from "../../src/core/types.ts";

/** A real log whose lines can be looked at. */
export function recordingLog() {
  const lines: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  return { log, lines };
}

/** A log_id with the shape of Auth0's. */
export function logId(sequence: number): string {
  return `90020260101${String(sequence).padStart(45, "0")}`;
}

const startedAtMs = Date.UTC(2026, 0, 1, 12);

/** A run that failed in its second minute. */
export function failedRun(changes: Partial<RunRecord> = {}): RunRecord {
  return {
    ...succeededRun(),
    outcome: "failed",
    lagMs: 3_600_000,
    error: {
      kind: "transient",
      message: "CloudWatch answered 503 Service Unavailable",
      batch: { firstId: logId(1_001), lastId: logId(1_100) },
    },
    ...changes,
  };
}

export function succeededRun(changes: Partial<RunRecord> = {}): RunRecord {
  return {
    pipeline: "cloudwatch",
    outcome: "succeeded",
    startedAtMs,
    endedAtMs: startedAtMs + 90_000,
    from: logId(1),
    to: logId(1_000),
    counts: {
      read: 1_800,
      filtered: 500,
      delivered: 1_300,
      rejected: 0,
      skipped: 0,
      batches: 13,
      retries: 7,
    },
    lagMs: 0,
    error: null,
    notices: [],
    unknownTypes: {},
    ...changes,
  };
}
