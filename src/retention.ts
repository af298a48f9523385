import type { Notice, RunRecord } from "./core/types.ts";

/** Past this share of the retention, people are told: half is left to act. */
const warnAtShare = 0.5;

/**
 * How long until Auth0 deletes events that are not exported yet, in ms; negative when it has begun to. Everything
 * not exported is at most `lagMs` old. Null when nothing waits, or when the plan's retention is not known.
 */
export function timeLeftMs(lagMs: number | null, retentionMs: number | null): number | null {
  return retentionMs === null || lagMs === null || lagMs === 0 ? null : retentionMs - lagMs;
}

/** What people must hear of a run that ended too far behind; null when there is time enough. */
export function retentionNotice({ lagMs, to }: RunRecord, retentionMs: number | null): Notice | null {
  const leftMs = timeLeftMs(lagMs, retentionMs);
  if (leftMs === null || retentionMs === null || leftMs > retentionMs * (1 - warnAtShare)) return null;
  const behind = `The checkpoint ${to} is ${hours(retentionMs - leftMs)} behind, and AUTH0_LOG_RETENTION_DAYS is ${retentionMs / 86_400_000}`;
  const message =
    leftMs > 0
      ? `${behind}: ${hours(leftMs)} are left before Auth0 deletes events that are not exported. Mend what keeps the runs from finishing; until then, nothing is lost.`
      : `${behind}: Auth0 is deleting events that are not exported. Mend what keeps the runs from finishing at once.`;
  return { kind: "retention", lost: leftMs <= 0, message };
}

function hours(ms: number): string {
  return `${(ms / 3_600_000).toFixed(1)} hours`;
}
