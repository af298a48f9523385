/**
 * What to report, decided from the history in the store, so that it holds across restarts and for runs that are
 * a process each. A run counts as reported once Slack accepted its message; that message also told of everything
 * that the runs before it had to tell.
 */
import { describe } from "../core/errors.ts";
import type { Clock, Notice, RunRecord } from "../core/types.ts";
import type { Log } from "../lib/log.ts";
import type { SlackPoster } from "./slack.ts";
import {
  hasFailed,
  type RunReport,
  renderReport,
  renderStartupFailure,
  type StartupFailure,
  type Streak,
  type Warnings,
} from "./slack-message.ts";

/** How many earlier runs are looked at. An unchanged failure is repeated after as many runs at the latest. */
const maxEarlierRuns = 1_000;
const pageRuns = 200;
/** Runs of a pipeline that are remembered here because the store could not. */
const maxUnsavedRuns = 100;

interface StoredRun extends RunRecord {
  readonly id: number;
  readonly trigger: string;
  /** When Slack accepted a report of the run, in epoch ms. */
  readonly reportedAtMs: number | null;
}

/** A run that the store could not record has no ID. */
export type ReportableRun = Omit<StoredRun, "id"> & { readonly id: number | null };

/** The part of the store that reports need. */
export interface ReportHistory {
  /** Newest first; with `beforeId`, only runs older than that one. */
  runs(query: {
    readonly pipeline: string;
    readonly limit: number;
    readonly beforeId?: number | undefined;
  }): Promise<readonly StoredRun[]>;
  markReported(runId: number, atMs: number): Promise<void>;
}

export interface ReporterOptions {
  readonly store: ReportHistory;
  /** Null: nothing is reported. */
  readonly poster: SlackPoster | null;
  /** The tenant's domain. */
  readonly tenant: string;
  /** Also report runs that succeeded with nothing else to tell. */
  readonly sendSuccess: boolean;
  /** How long an unchanged failure or warning is not repeated. */
  readonly remindAfterMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Reporter {
  /** Reports a run that has ended, when there is something to tell. Never rejects. */
  report(run: ReportableRun, signal: AbortSignal): Promise<void>;
}

export function createReporter(options: ReporterOptions): Reporter {
  const { store, poster, clock, log } = options;
  const unsavedByPipeline = new Map<string, ReportableRun[]>();

  async function earlierRuns(run: ReportableRun): Promise<ReportableRun[]> {
    const unsaved = unsavedByPipeline.get(run.pipeline) ?? [];
    const stored = await readHistory(store, run).catch((thrown) => {
      log.warn(`The history of runs was not read, so a report may repeat itself: ${describe(thrown)}`);
      return [];
    });
    if (unsaved.length === 0) return stored;
    const known = stored.filter(({ id }) => !unsaved.some((other) => other.id === id));
    return [...unsaved, ...known].sort((a, b) => b.startedAtMs - a.startedAtMs);
  }

  /** What the store cannot keep, for example on a full disk, is kept here: otherwise each run would be reported. */
  async function keep(run: ReportableRun, reportedAtMs: number | null): Promise<void> {
    if (run.id !== null) {
      if (reportedAtMs === null) return;
      try {
        return await store.markReported(run.id, reportedAtMs);
      } catch (thrown) {
        log.warn(`A report was posted, but the store did not take note of it: ${describe(thrown)}`);
      }
    }
    const unsaved = unsavedByPipeline.get(run.pipeline) ?? [];
    unsavedByPipeline.set(run.pipeline, [{ ...run, reportedAtMs }, ...unsaved].slice(0, maxUnsavedRuns));
  }

  return {
    async report(run, signal) {
      if (poster === null || run.outcome === "running" || run.reportedAtMs !== null) return;
      const report = decide(run, await earlierRuns(run), options);
      const isPosted = report !== null && (await poster.post(renderReport(report), signal));
      await keep(run, isPosted ? clock.now() : null);
    },
  };
}

/** Reports a failure before any run. There is no history yet, so each one is reported. Never rejects. */
export async function reportStartupFailure(
  poster: SlackPoster,
  failure: StartupFailure,
  signal: AbortSignal,
): Promise<void> {
  await poster.post(renderStartupFailure(failure), signal);
}

/** Earlier runs of the same pipeline, newest first; one more than is looked at, to know whether there are more. */
async function readHistory(store: ReportHistory, { pipeline, id }: ReportableRun): Promise<StoredRun[]> {
  const runs: StoredRun[] = [];
  let beforeId = id ?? undefined;
  while (runs.length <= maxEarlierRuns) {
    const limit = Math.min(pageRuns, maxEarlierRuns + 1 - runs.length);
    const page = await store.runs({ pipeline, limit, beforeId });
    runs.push(...page);
    if (page.length < limit) break;
    beforeId = page.at(-1)?.id;
  }
  return runs;
}

/** The report that is due after `run`, or null. `earlier` is newest first. */
function decide(
  run: ReportableRun,
  earlier: readonly ReportableRun[],
  { tenant, sendSuccess, remindAfterMs, clock }: ReporterOptions,
): RunReport | null {
  const nowMs = clock.now();
  // A time in the future, left by a clock that was wrong, silences nothing.
  const isRecent = (atMs: number | null) => atMs !== null && atMs <= nowMs && nowMs - atMs < remindAfterMs;
  const { warnings, areNews } = findWarnings(run, earlier, isRecent);
  if (hasFailed(run)) {
    const failures = currentFailures(run, earlier);
    const isTold = failures.some((other) => isRecent(other.reportedAtMs) && isSameFailure(other, run));
    if (isTold && !areNews) return null;
    return { tenant, run, streak: streakOf(failures, earlier, null), warnings };
  }
  const streak = run.outcome === "succeeded" ? endedStreak(run, earlier) : null;
  const isDue = streak !== null || areNews || (run.outcome === "succeeded" && sendSuccess);
  return isDue ? { tenant, run, streak, warnings } : null;
}

function isSameFailure(a: ReportableRun, b: ReportableRun): boolean {
  return a.outcome === b.outcome && a.error?.kind === b.error?.kind && a.to === b.to;
}

/** The failed run and those before it back to the last success. Stopped runs say nothing either way. */
function currentFailures(run: ReportableRun, earlier: readonly ReportableRun[]): ReportableRun[] {
  const success = earlier.findIndex(({ outcome }) => outcome === "succeeded");
  return [run, ...earlier.slice(0, success === -1 ? earlier.length : success).filter(hasFailed)];
}

/** The failures that Slack was told of when it was not told of a success since; null when there are none. */
function endedStreak(run: ReportableRun, earlier: readonly ReportableRun[]): Streak | null {
  const failures: ReportableRun[] = [];
  let endedBy = run;
  let isTold = false;
  for (const other of earlier) {
    if (hasFailed(other)) {
      failures.push(other);
      isTold ||= other.reportedAtMs !== null;
    } else if (other.outcome === "succeeded") {
      if (isTold || other.reportedAtMs !== null) break;
      // An earlier success whose message did not get through ended the streak, not this run.
      if (failures.length === 0) endedBy = other;
    }
  }
  return isTold ? streakOf(failures, earlier, endedBy.endedAtMs) : null;
}

function streakOf(
  failures: readonly ReportableRun[],
  earlier: readonly ReportableRun[],
  endedAtMs: number | null,
): Streak {
  const oldest = failures.at(-1) ?? null;
  const before = earlier.slice(oldest === null ? 0 : earlier.indexOf(oldest) + 1);
  const hasBeginning =
    earlier.length <= maxEarlierRuns || before.some(({ outcome }) => outcome === "succeeded");
  const runs = Math.min(failures.length, maxEarlierRuns);
  return { runs, moreThan: !hasBeginning, sinceMs: oldest?.startedAtMs ?? 0, endedAtMs };
}

/** What the runs since the last report have to tell, and whether any of it was not told within the reminder time. */
function findWarnings(
  run: ReportableRun,
  earlier: readonly ReportableRun[],
  isRecent: (atMs: number | null) => boolean,
): { warnings: Warnings; areNews: boolean } {
  const recentKeys = new Set<string>();
  const untold = [run];
  let reportedAtMs: number | null = null;
  for (const other of earlier) {
    reportedAtMs = other.reportedAtMs ?? reportedAtMs;
    if (reportedAtMs === null) untold.push(other);
    else if (isRecent(reportedAtMs)) for (const key of warningKeys(other)) recentKeys.add(key);
  }
  const notices = new Map<string, Notice>();
  for (const other of untold) {
    for (const notice of other.notices.filter(isWarning)) {
      const key = noticeKey(other, notice);
      if (!notices.has(key)) notices.set(key, notice);
    }
  }
  const crashes = untold.filter((other) => other !== run && other.outcome === "crashed");
  const warnings = {
    rejected: untold.reduce((sum, { counts }) => sum + counts.rejected, 0),
    notices: [...notices.values()],
    crashedAtMs: crashes.map(({ startedAtMs }) => startedAtMs),
  };
  const areNews = untold.some((other) => warningKeys(other).some((key) => !recentKeys.has(key)));
  return { warnings, areNews };
}

function isWarning({ kind, lost }: Notice): boolean {
  return lost || kind === "dead-letter" || kind === "retention";
}

/** Dead letters are one matter; what is lost is another one at each checkpoint. */
function noticeKey({ from }: ReportableRun, { kind }: Notice): string {
  return kind === "dead-letter" ? kind : `${kind} after ${from}`;
}

function warningKeys(run: ReportableRun): string[] {
  const keys = run.notices.filter(isWarning).map((notice) => noticeKey(run, notice));
  if (run.counts.rejected > 0) keys.push("dead-letter");
  if (run.outcome === "crashed") keys.push("crash");
  return keys;
}
