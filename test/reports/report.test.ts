import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { Notice, RunRecord } from "../../src/core/types.ts";
import { type SlackStandIn, startSlack } from "../../src/demo/slack.ts";
import {
  createReporter,
  type ReportableRun,
  type ReporterOptions,
  type ReportHistory,
  reportStartupFailure,
} from "../../src/reports/report.ts";
import { createSlackPoster } from "../../src/reports/slack.ts";
import { openStore } from "../../src/state/sqlite.ts";
import { virtualClock } from "../support/clock.ts";
import { failedRun, logId, recordingLog, succeededRun } from "./support.ts";

const never = new AbortController().signal;
const minuteMs = 60_000;
const closers: (() => Promise<void>)[] = [];

after(async () => {
  for (const close of closers.reverse()) await close();
});

type HistoryRun = ReportableRun & { readonly id: number };

/** A store's history in memory. `fail` makes calls reject, as on a full disk. */
function memoryHistory() {
  const stored: HistoryRun[] = [];
  const failing = { reads: false, marks: false };
  const history: ReportHistory = {
    async runs({ pipeline, limit, beforeId = Number.POSITIVE_INFINITY }) {
      if (failing.reads) throw new Error("disk fault");
      const older = stored.filter((run) => run.pipeline === pipeline && run.id < beforeId);
      return older.toReversed().slice(0, limit);
    },
    async markReported(runId, atMs) {
      if (failing.marks) throw new Error("disk full");
      const at = stored.findIndex(({ id }) => id === runId);
      const run = stored[at];
      assert.ok(run && run.reportedAtMs === null, "a run is marked once");
      stored[at] = { ...run, reportedAtMs: atMs };
    },
  };
  const add = (record: RunRecord): HistoryRun => {
    const run = { ...record, id: stored.length + 1, trigger: "schedule", reportedAtMs: null };
    stored.push(run);
    return run;
  };
  return { history, stored, failing, add };
}

/** A pipeline that runs every five minutes, each run taking one, and what Slack is told of it. */
async function start(options: Partial<ReporterOptions> = {}) {
  const clock = virtualClock();
  const slack = await startSlack({ clock });
  closers.push(slack.close);
  const memory = memoryHistory();
  const { log, lines } = recordingLog();
  const create = () => {
    const poster = createSlackPoster({ url: slack.url, clock, log });
    const defaults = {
      poster,
      tenant: "acme.eu.auth0.com",
      sendSuccess: false,
      remindAfterMs: 60 * minuteMs,
    };
    return createReporter({ store: memory.history, clock, log, ...defaults, ...options });
  };
  let reporter = create();

  /** The next run: recorded, then reported. Gives the titles of what Slack was told. */
  async function run(record: RunRecord, isRecorded = true): Promise<string[]> {
    const before = slack.messages.length;
    const times = { startedAtMs: clock.now(), endedAtMs: clock.now() + minuteMs };
    clock.advance(minuteMs);
    const timed = { ...record, ...times };
    const reportable = isRecorded
      ? memory.add(timed)
      : { ...timed, id: null, trigger: "schedule", reportedAtMs: null };
    await reporter.report(reportable, never);
    clock.advance(4 * minuteMs);
    return titles(slack).slice(before);
  }

  return {
    ...memory,
    clock,
    slack,
    lines,
    run,
    report: (reportable: ReportableRun) => reporter.report(reportable, never),
    /** A new process with the same history. */
    restart: () => {
      reporter = create();
    },
  };
}

function titles({ messages }: SlackStandIn): string[] {
  return messages.map(({ blocks }) => blocks?.[0]?.text?.text ?? "");
}

function textOf({ messages }: SlackStandIn, at = -1): string {
  return messages.at(at)?.text ?? "";
}

const ok = succeededRun();
const failed = failedRun();
const crashed = succeededRun({ outcome: "crashed", endedAtMs: null });
const stopped = succeededRun({ outcome: "stopped" });
const otherKind = failedRun({ error: { kind: "auth", message: "403" } });
const moved = failedRun({ to: logId(2_000) });

function withWarning(record: RunRecord, notice: Partial<Notice> = {}, rejected = 0): RunRecord {
  const gap: Notice = { kind: "gap", lost: true, message: "Possible gap from A to B.", ...notice };
  return { ...record, notices: [gap], counts: { ...record.counts, rejected } };
}

const refusing = withWarning(ok, { kind: "dead-letter", lost: false, message: "2 events were refused." }, 2);

describe("failures", () => {
  it("are reported at once, and unchanged ones again after the reminder time", async () => {
    const { run } = await start();
    assert.deepEqual(await run(failed), ["🔴 cloudwatch failed"]);
    for (let at = 2; at <= 12; at++) assert.deepEqual(await run(failed), [], `run ${at}`);
    assert.deepEqual(await run(failed), ["🔴 cloudwatch failed (13 runs in a row)"]);
    assert.deepEqual(await run(failed), []);
  });

  it("are reported at once when kind or checkpoint changes", async () => {
    const { run } = await start();
    await run(failed);
    assert.deepEqual(await run(otherKind), ["🔴 cloudwatch failed (2 runs in a row)"]);
    assert.deepEqual(await run(otherKind), []);
    assert.deepEqual(await run(moved), ["🔴 cloudwatch failed (4 runs in a row)"]);
    assert.deepEqual(await run(moved), []);
  });

  it("are repeated no more often when they alternate", async () => {
    const { run, slack } = await start();
    for (let at = 0; at < 12; at++) await run(at % 2 === 0 ? failed : otherKind);
    assert.equal(slack.messages.length, 2);
    assert.equal((await run(failed)).length, 1);
  });

  it("may have another message without being another failure", async () => {
    const { run } = await start();
    await run(failed);
    const request = failedRun({ error: { kind: "transient", message: "503, request 4711" } });
    assert.deepEqual(await run(request), []);
  });

  it("are repeated every time with no reminder time", async () => {
    const { run, slack } = await start({ remindAfterMs: 0 });
    for (let at = 0; at < 3; at++) await run(failed);
    assert.equal(slack.messages.length, 3);
  });

  it("of one pipeline say nothing about another", async () => {
    const { run } = await start();
    await run(failed);
    assert.deepEqual(await run({ ...failed, pipeline: "stdout" }), ["🔴 stdout failed"]);
    assert.deepEqual(await run({ ...ok, pipeline: "elasticsearch" }), []);
  });

  it("are remembered by the history, not by the process", async () => {
    const { run, restart } = await start();
    await run(failed);
    restart();
    assert.deepEqual(await run(failed), []);
    restart();
    assert.deepEqual(await run(ok), ["🟢 cloudwatch recovered after 2 runs, 11 minutes"]);
  });

  it("are silenced by no report from the future", async () => {
    const { run, clock } = await start();
    clock.jump(30 * 24 * 60 * minuteMs);
    await run(failed);
    clock.jump(-30 * 24 * 60 * minuteMs);
    assert.equal((await run(failed)).length, 1);
    assert.equal((await run(failed)).length, 0);
  });

  it("go on being counted and reminded of over 10,000 runs", async () => {
    const { run, add, stored, clock, report, slack } = await start();
    const startedAtMs = clock.now() - 10_000 * 5 * minuteMs;
    for (let at = 0; at < 10_000; at++) add({ ...failed, startedAtMs: startedAtMs + at * 5 * minuteMs });
    assert.deepEqual(await run(failed), ["🔴 cloudwatch failed (more than 1000 runs in a row)"]);
    assert.deepEqual(await run(failed), []);
    assert.match(textOf(slack), /^🔴 cloudwatch failed \(more than 1000/);
    assert.deepEqual(await run(ok), ["🟢 cloudwatch recovered after more than 1000 runs, 5006 minutes"]);
    const last = stored.at(-1);
    assert.ok(last);
    await report(last);
    assert.equal(slack.messages.length, 2, "a run that was reported is not reported again");
  });
});

describe("recovery", () => {
  it("is reported once, by the first run that succeeds", async () => {
    const { run } = await start();
    for (let at = 0; at < 3; at++) await run(failed);
    assert.deepEqual(await run(ok), ["🟢 cloudwatch recovered after 3 runs, 16 minutes"]);
    assert.deepEqual(await run(ok), []);
    assert.deepEqual(await run(failed), ["🔴 cloudwatch failed"]);
  });

  it("is not reported when the failure was not", async () => {
    const { run, slack } = await start();
    slack.outage = { status: 503 };
    await run(failed);
    slack.outage = null;
    assert.deepEqual(await run(ok), []);
  });

  it("tells each time when failures flap, for the last word was that all is well", async () => {
    const { run } = await start();
    const told: string[] = [];
    for (const record of [failed, ok, failed, ok, ok]) told.push(...(await run(record)));
    assert.deepEqual(told, [
      "🔴 cloudwatch failed",
      "🟢 cloudwatch recovered after 1 run, 6 minutes",
      "🔴 cloudwatch failed",
      "🟢 cloudwatch recovered after 1 run, 6 minutes",
    ]);
  });

  it("is not affected by stopped runs, which count neither way", async () => {
    const { run } = await start();
    await run(failed);
    assert.deepEqual(await run(stopped), []);
    assert.deepEqual(await run(failed), []);
    assert.deepEqual(await run(stopped), []);
    assert.deepEqual(await run(moved), ["🔴 cloudwatch failed (3 runs in a row)"]);
    assert.deepEqual(await run(ok), ["🟢 cloudwatch recovered after 3 runs, 26 minutes"]);
  });

  it("counts runs that ended with their process", async () => {
    const { run, add, clock, slack } = await start();
    await run(failed);
    add({ ...crashed, startedAtMs: clock.now() });
    clock.advance(5 * minuteMs);
    assert.deepEqual(await run(ok), ["🟡 cloudwatch recovered after 2 runs, 11 minutes, with warnings"]);
    assert.match(textOf(slack), /Crashed: 1 earlier run/);
    assert.deepEqual(await run(ok), []);
  });

  it("that Slack did not take is reported by a later run, with its own time", async () => {
    const { run, slack } = await start();
    await run(failed);
    slack.outage = { status: 503 };
    for (const record of [failed, ok, ok, failed, ok]) await run(record);
    slack.outage = null;
    assert.deepEqual(await run(ok), ["🟢 cloudwatch recovered after 3 runs, 26 minutes"]);
    assert.deepEqual(await run(ok), []);
  });
});

describe("a crash", () => {
  it("is mentioned once, by the next run, whatever its outcome", async () => {
    for (const next of [ok, stopped, failed]) {
      const { run, add, slack } = await start();
      add(crashed);
      assert.equal((await run(next)).length, 1);
      assert.match(textOf(slack), /Crashed: 1 earlier run/);
      await run(ok);
      assert.equal(slack.messages.filter(({ text = "" }) => text.includes("Crashed")).length, 1);
    }
  });

  it("in a loop is not repeated within the reminder time", async () => {
    const { run, add, slack, clock } = await start();
    for (let at = 0; at < 13; at++) {
      add({ ...crashed, startedAtMs: clock.now() });
      await run(ok);
    }
    assert.equal(slack.messages.length, 2);
    assert.match(textOf(slack), /Crashed: 12 earlier runs/);
  });

  it("can be reported itself", async () => {
    const { add, clock, report, run, slack } = await start();
    await report(add({ ...crashed, startedAtMs: clock.now() }));
    assert.deepEqual(titles(slack), ["🔴 cloudwatch crashed"]);
    assert.doesNotMatch(textOf(slack), /Crashed: /);
    assert.deepEqual(await run(ok), ["🟢 cloudwatch recovered after 1 run, 1 minute"]);
    assert.doesNotMatch(textOf(slack), /Crashed: /);
  });
});

describe("warnings", () => {
  it("are reported although the run succeeded", async () => {
    const { run, slack } = await start();
    assert.deepEqual(await run(withWarning(ok)), ["🟡 cloudwatch succeeded, with warnings"]);
    assert.match(textOf(slack), /Possible loss: Possible gap from A to B\./);
    assert.deepEqual(await run(ok), []);
  });

  it("that lose nothing are not", async () => {
    const { run } = await start();
    assert.deepEqual(await run(withWarning(ok, { kind: "start", lost: false })), []);
  });

  it("about a gap are not repeated while the run fails at it, and another gap is reported at once", async () => {
    const { run } = await start();
    assert.deepEqual(await run(withWarning(failed)), ["🔴 cloudwatch failed"]);
    assert.deepEqual(await run(withWarning(failed, { message: "Possible gap from A to C." })), []);
    assert.equal((await run(withWarning({ ...failed, from: logId(5) }))).length, 1);
  });

  it("about dead letters are collected within the reminder time", async () => {
    const { run, slack } = await start();
    assert.deepEqual(await run(refusing), ["🟡 cloudwatch succeeded, with warnings"]);
    for (let at = 0; at < 5; at++) assert.deepEqual(await run(refusing), []);
    for (let at = 0; at < 6; at++) assert.deepEqual(await run(ok), []);
    assert.deepEqual(await run(ok), ["🟡 cloudwatch succeeded, with warnings"]);
    assert.match(textOf(slack), /Dead letters: 10 events since the last report/);
    assert.deepEqual(await run(ok), []);
    assert.equal((await run(withWarning(ok))).length, 1, "a gap is another matter");
  });

  it("that Slack did not take are reported by a later run", async () => {
    const { run, slack } = await start();
    slack.outage = { status: 503 };
    await run(refusing);
    await run(withWarning(ok));
    await run(withWarning(ok, { kind: "dead-letter", lost: false, message: "3 events were refused." }, 3));
    await run(ok);
    slack.outage = null;
    assert.deepEqual(await run(ok), ["🟡 cloudwatch succeeded, with warnings"]);
    assert.match(textOf(slack), /Possible gap from A to B\./);
    assert.match(textOf(slack), /Dead letters: 5 events/);
    assert.match(textOf(slack), /3 events were refused\./, "of the same matter, the newest notice is enough");
    assert.doesNotMatch(textOf(slack), /2 events were refused\./);
    assert.deepEqual(await run(ok), []);
  });
});

describe("successes", () => {
  it("are reported only when that is asked for", async () => {
    const quiet = await start();
    assert.deepEqual(await quiet.run(ok), []);
    const { run } = await start({ sendSuccess: true });
    assert.deepEqual(await run(ok), ["🟢 cloudwatch succeeded"]);
    assert.deepEqual(await run(ok), ["🟢 cloudwatch succeeded"]);
    assert.deepEqual(await run(stopped), []);
  });

  it("end in nothing without a webhook", async () => {
    const { run, lines } = await start({ poster: null });
    assert.deepEqual(await run(failed), []);
    assert.deepEqual(lines, []);
  });
});

describe("an outage of Slack", () => {
  it("of days costs one warning a run, and the first report after it tells the state", async () => {
    const { run, slack, lines } = await start();
    slack.outage = { status: 503 };
    const runs = (2 * 24 * 60) / 5;
    for (let at = 0; at < runs; at++) await run(failed);
    assert.equal(lines.length, runs);
    assert.ok(lines.every((line) => line.includes("HTTP 503")));
    slack.outage = null;
    assert.deepEqual(await run(failed), [`🔴 cloudwatch failed (${runs + 1} runs in a row)`]);
    assert.deepEqual(await run(failed), []);
  });

  it("in the middle of a streak brings the reminder at once when it is over", async () => {
    const { run, slack } = await start();
    await run(failed);
    for (let at = 0; at < 11; at++) await run(failed);
    slack.outage = { status: 503 };
    await run(failed);
    await run(failed);
    slack.outage = null;
    assert.deepEqual(await run(failed), ["🔴 cloudwatch failed (15 runs in a row)"]);
  });
});

describe("a store that fails", () => {
  it("does not make reports repeat themselves", async () => {
    const { run, failing, lines, slack } = await start();
    failing.marks = true;
    assert.equal((await run(failed)).length, 1);
    assert.match(lines.join(), /the store did not take note of it: disk full/);
    assert.deepEqual(await run(failed), []);
    assert.deepEqual(await run(failed, false), []);
    assert.deepEqual(await run(otherKind, false), ["🔴 cloudwatch failed (4 runs in a row)"]);
    failing.marks = false;
    assert.deepEqual(await run(ok), ["🟢 cloudwatch recovered after 4 runs, 21 minutes"]);
    assert.deepEqual(await run(ok), []);
    assert.equal(slack.messages.length, 3);
  });

  it("does not keep a failure from being reported", async () => {
    const { run, failing, lines } = await start();
    failing.reads = true;
    assert.deepEqual(await run(failed), ["🔴 cloudwatch failed"]);
    assert.match(lines.join(), /history of runs was not read.*disk fault/);
  });
});

describe("with the store on disk", () => {
  it("each run may be a process of its own", async () => {
    const dir = await mkdtemp(join(tmpdir(), "reports-"));
    const clock = virtualClock();
    const slack = await startSlack({ clock });
    closers.push(slack.close, () => rm(dir, { recursive: true }));
    const { log, lines } = recordingLog();

    for (const record of [failed, failed, null, ok, ok]) {
      const store = await openStore({ dir, mode: "own", clock });
      const startedAtMs = clock.now();
      const { pipeline } = ok;
      const id = await store.startRun({ pipeline, startedAtMs, trigger: "command", from: null });
      clock.advance(5 * minuteMs);
      if (record !== null) {
        await store.finishRun(id, { ...record, startedAtMs, endedAtMs: clock.now() });
        const [run] = await store.runs({ pipeline, limit: 1 });
        assert.ok(run);
        const poster = createSlackPoster({ url: slack.url, clock, log });
        const options = { poster, tenant: "acme", sendSuccess: false, remindAfterMs: 60 * minuteMs };
        await createReporter({ store, clock, log, ...options }).report(run, never);
      }
      await store.close();
    }
    assert.deepEqual(titles(slack), [
      "🔴 cloudwatch failed",
      "🟡 cloudwatch recovered after 3 runs, 20 minutes, with warnings",
    ]);
    assert.deepEqual(lines, []);
  });
});

describe("reportStartupFailure", () => {
  it("posts what is wrong", async () => {
    const slack = await startSlack();
    closers.push(slack.close);
    const { log } = recordingLog();
    const poster = createSlackPoster({ url: slack.url, clock: virtualClock(), log });
    const failure = { tenant: "acme", kind: "config", message: "BATCH_SIZE: expected 1 to 100" } as const;
    await reportStartupFailure(poster, failure, never);
    assert.deepEqual(titles(slack), ["🔴 auth0-log-exporter could not start"]);
    assert.match(textOf(slack), /BATCH_SIZE/);
  });
});
