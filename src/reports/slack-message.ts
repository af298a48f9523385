import type { ExportErrorKind } from "../core/errors.ts";
import type { Notice, RunRecord } from "../core/types.ts";
import { code, duration, escaped, isoTime, number, oneLine, plural, shellWord } from "./slack-text.ts";

/** What is posted: blocks, and the same in short for notifications and screen readers. */
export interface SlackMessage {
  readonly text: string;
  readonly blocks: readonly SlackBlock[];
  readonly unfurl_links: false;
  readonly unfurl_media: false;
}

type SlackBlock =
  | { readonly type: "header"; readonly text: SlackText }
  | { readonly type: "section"; readonly text: SlackText }
  | { readonly type: "section"; readonly fields: readonly SlackText[] };

/** `verbatim`: Slack makes no links of what looks like one. `emoji`: `:colons:` become pictures. */
type SlackText =
  | { readonly type: "plain_text"; readonly text: string; readonly emoji: boolean }
  | { readonly type: "mrkdwn"; readonly text: string; readonly verbatim: true };

/** Failed and crashed runs in a row. */
export interface Streak {
  readonly runs: number;
  /** The history was not read to the streak's beginning. */
  readonly moreThan: boolean;
  readonly sinceMs: number;
  /** When a run succeeded again; null while the streak lasts. */
  readonly endedAtMs: number | null;
}

/** What a person must hear of although runs go on, from all runs since the last report. */
export interface Warnings {
  /** Events that became dead letters. */
  readonly rejected: number;
  readonly notices: readonly Notice[];
  /** When the runs started that ended with their process, newest first, in epoch ms. */
  readonly crashedAtMs: readonly number[];
}

export interface RunReport {
  /** The tenant's domain. */
  readonly tenant: string;
  readonly run: RunRecord;
  /** With a failed run: the streak that it is part of. With a succeeded one: the streak that is over. */
  readonly streak: Streak | null;
  readonly warnings: Warnings;
}

export interface StartupFailure {
  readonly tenant: string;
  readonly kind: ExportErrorKind;
  readonly message: string;
}

/**
 * Slack's limits: 50 blocks, 3,000 characters a text, 2,000 a field, 150 a header, and about 13,200 for all blocks
 * as JSON. With these the longest message stays below all of them, even where JSON doubles every character.
 */
const maxErrorChars = 1_500;
const maxNoticeChars = 400;
const maxNotices = 4;
const maxCommandChars = 300;
const maxNameChars = 100;
const maxTitleNameChars = 40;

/** A run as a message: red for failed, amber for something to look at, green for good. */
export function renderReport(report: RunReport): SlackMessage {
  const { tenant, run } = report;
  const title = `${mark(report)} ${escaped(oneLine(run.pipeline), maxTitleNameChars)} ${verdict(report)}`;
  const texts = [...(hasFailed(run) ? failureTexts(run) : []), ...warningTexts(report.warnings)];
  return message(fallback(title, tenant, texts), [
    { type: "header", text: plain(title, true) },
    { type: "section", fields: facts(report).map(([label, value]) => mrkdwn(`*${label}*\n${value}`)) },
    ...texts.map(section),
  ]);
}

/** For a failure before any run, such as settings that are refused. */
export function renderStartupFailure(failure: StartupFailure): SlackMessage {
  const { tenant, kind } = failure;
  const title = "🔴 auth0-log-exporter could not start";
  const texts = [plain(errorText(failure)), mrkdwn(`*What to do*\n${advice(kind)}`)];
  return message(fallback(title, tenant, texts), [
    { type: "header", text: plain(title, true) },
    section(mrkdwn(`*Tenant*\n${code(tenant, maxNameChars)}`)),
    ...texts.map(section),
  ]);
}

/** What `check` posts to see whether reports arrive. */
export function testMessage(tenant: string): SlackMessage {
  const title = "🟢 Reports of auth0-log-exporter arrive here";
  const text = fallback(title, tenant, []);
  return message(text, [section(plain(text))]);
}

function message(text: string, blocks: readonly SlackBlock[]): SlackMessage {
  return { text, blocks, unfurl_links: false, unfurl_media: false };
}

const section = (text: SlackText): SlackBlock => ({ type: "section", text });
const plain = (text: string, emoji = false): SlackText => ({ type: "plain_text", text, emoji });
const mrkdwn = (text: string): SlackText => ({ type: "mrkdwn", text, verbatim: true });

/** The message without its blocks. */
function fallback(title: string, tenant: string, texts: readonly SlackText[]): string {
  const first = `${title} (tenant ${escaped(oneLine(tenant), maxNameChars)})`;
  return [first, ...texts.map(({ text }) => text)].join("\n");
}

export function hasFailed({ outcome }: RunRecord): boolean {
  return outcome === "failed" || outcome === "crashed";
}

function hasWarnings({ rejected, notices, crashedAtMs }: Warnings): boolean {
  return rejected > 0 || notices.length > 0 || crashedAtMs.length > 0;
}

function mark({ run, warnings }: RunReport): string {
  if (hasFailed(run)) return "🔴";
  return hasWarnings(warnings) ? "🟡" : "🟢";
}

function verdict({ run, streak, warnings }: RunReport): string {
  if (hasFailed(run)) {
    return streak && streak.runs > 1 ? `${run.outcome} (${runsText(streak)} in a row)` : run.outcome;
  }
  const what = streak ? `recovered after ${runsText(streak)}, ${minutesText(streak, run)}` : run.outcome;
  return hasWarnings(warnings) ? `${what}, with warnings` : what;
}

function runsText({ runs, moreThan }: Streak): string {
  return `${moreThan ? "more than " : ""}${plural(runs, "run")}`;
}

function minutesText({ sinceMs, endedAtMs }: Streak, run: RunRecord): string {
  const untilMs = endedAtMs ?? run.endedAtMs ?? run.startedAtMs;
  return plural(Math.max(0, Math.round((untilMs - sinceMs) / 60_000)), "minute");
}

/** Label and value; at most the ten that a section takes. */
function facts({ tenant, run, streak }: RunReport): [string, string][] {
  const { counts, startedAtMs, endedAtMs, lagMs } = run;
  const tookMs = endedAtMs === null ? null : Math.max(0, endedAtMs - startedAtMs);
  const rate = tookMs ? `, ${number((counts.read * 1_000) / tookMs)} events/s` : "";
  const events = [
    `${number(counts.read)} read`,
    `${number(counts.filtered)} filtered`,
    `${number(counts.delivered)} delivered`,
    `${number(counts.rejected)} rejected`,
    `${number(counts.skipped)} skipped`,
  ];
  const list: [string, string][] = [
    ["Pipeline", code(run.pipeline, maxNameChars)],
    ["Tenant", code(tenant, maxNameChars)],
    ["Started", isoTime(startedAtMs)],
    ["Ended", endedAtMs === null ? "not known" : isoTime(endedAtMs)],
    ["Duration", tookMs === null ? "not known" : `${duration(tookMs)}${rate}`],
    ["Lag", lagMs === null ? "not known" : duration(lagMs)],
    ["Events", events.join(", ")],
    ["Batches", `${number(counts.batches)}, with ${plural(counts.retries, "retry", "retries")}`],
  ];
  if (!hasFailed(run)) list.push(["Checkpoint", code(run.to ?? "", maxNameChars)]);
  else if (streak && streak.runs > 1) {
    list.push(["Failing since", `${isoTime(streak.sinceMs)}${streak.moreThan ? " or longer" : ""}`]);
  }
  return list;
}

function failureTexts(run: RunRecord): SlackText[] {
  const { error } = run;
  const texts = [
    plain(error ? errorText(error) : "The process ended before the run did: it crashed or was killed."),
  ];
  if (error?.batch) {
    const { firstId, lastId } = error.batch;
    texts.push(mrkdwn(`*Failed batch*\n${code(firstId, maxNameChars)} to ${code(lastId, maxNameChars)}`));
  }
  texts.push(mrkdwn(`*Checkpoint to resume from*\n${resumeText(run)}`));
  texts.push(mrkdwn(`*What to do*\n${error ? advice(error.kind) : crashAdvice}`));
  return texts;
}

function errorText({
  kind,
  message: why,
}: {
  readonly kind: ExportErrorKind;
  readonly message: string;
}): string {
  return `Error (${kind}): ${escaped(why, maxErrorChars)}`;
}

function resumeText({ pipeline, from, to }: RunRecord): string {
  const resumes = "The next scheduled run resumes from there by itself.";
  const byHand = "To replay from it by hand, with the exporter stopped:";
  const cursor = to ?? from;
  if (cursor === null) return `The run ended before it was read. ${resumes}`;
  const command = `auth0-log-exporter replay --pipeline ${shellWord(pipeline)} --from ${shellWord(cursor)}`;
  const shown = `${code(cursor, maxNameChars)}\n${resumes}`;
  return `${shown} ${byHand}\n${code(command, maxCommandChars)}`;
}

function warningTexts({ rejected, notices, crashedAtMs }: Warnings): SlackText[] {
  const lines: string[] = [];
  const [crashedLastMs] = crashedAtMs;
  const lossesFirst = notices.toSorted((a, b) => Number(b.lost) - Number(a.lost));
  for (const notice of lossesFirst.slice(0, maxNotices)) {
    lines.push(`${notice.lost ? "Possible loss" : "Warning"}: ${escaped(notice.message, maxNoticeChars)}`);
  }
  if (notices.length > maxNotices) {
    lines.push(`${plural(notices.length - maxNotices, "more warning")}: see the log.`);
  }
  if (rejected > 0) {
    const events = plural(rejected, "event");
    lines.push(`Dead letters: ${events} since the last report. See "auth0-log-exporter dead-letters list".`);
  }
  if (crashedLastMs !== undefined) {
    const runs = plural(crashedAtMs.length, "earlier run");
    const last = `the last one started at ${isoTime(crashedLastMs)}`;
    lines.push(
      `Crashed: ${runs} ended with the process, ${last}. The next run went on from the checkpoint. ${crashAdvice}`,
    );
  }
  return lines.map((line) => plain(`🟡 ${line}`));
}

const crashAdvice =
  "Look in the supervisor's log for why the process ended, such as lack of memory. Events delivered just before may arrive twice.";

/** What a person can do about a failure of this kind. */
function advice(kind: ExportErrorKind): string {
  switch (kind) {
    case "config":
      return "Correct what the error names, then start again. `auth0-log-exporter check` looks at every setting.";
    case "locked":
      return "Stop the other process, or give this one another CHECKPOINT_DIR.";
    case "auth":
      return "Check the credentials and permissions that the error names; `auth0-log-exporter check` tries them, writing excepted.";
    case "rate_limited":
      return "Nothing, if it passes. If it stays: find out what else uses up the limit, or run less often.";
    case "transient":
      return "Nothing, if it passes. If it stays: see the service's status page and try `auth0-log-exporter check`.";
    case "permanent":
      return "The export stands still until this is solved, and nothing is skipped. Change what the error names; `auth0-log-exporter check` helps.";
    case "conflict":
      return "Nothing, if the checkpoint was moved by hand. Otherwise make sure that only one exporter runs this pipeline.";
    case "aborted":
      return "Nothing: the run was cancelled.";
    case "bug":
      return "Please report this error, with the log around it.";
    default:
      return kind satisfies never;
  }
}
