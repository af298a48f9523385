import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type ExportErrorKind, exportErrorKinds } from "../../src/core/errors.ts";
import type { RunRecord } from "../../src/core/types.ts";
import { slackRefusal } from "../../src/demo/slack.ts";
import {
  type RunReport,
  renderReport,
  renderStartupFailure,
  type SlackMessage,
  testMessage,
} from "../../src/reports/slack-message.ts";
import { failedRun, logId, succeededRun } from "./support.ts";

const tenant = "acme.eu.auth0.com";
const noWarnings = { rejected: 0, notices: [], crashedAtMs: [] };
const gap = {
  kind: "gap",
  lost: true,
  message: "Possible gap from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z.",
} as const;

function report(run: RunRecord, changes: Partial<RunReport> = {}): RunReport {
  return { tenant, run, streak: null, warnings: noWarnings, ...changes };
}

/** Every text that the message shows. */
function texts(message: SlackMessage): string[] {
  const shown = message.blocks.flatMap((block) => ("fields" in block ? block.fields : [block.text]));
  return [message.text, ...shown.map(({ text }) => text)];
}

function title(message: SlackMessage): string {
  const [first] = message.blocks;
  return first?.type === "header" ? first.text.text : "";
}

function assertShows(message: SlackMessage, ...parts: readonly string[]): void {
  const all = texts(message).slice(1).join("\n");
  for (const part of parts) assert.ok(all.includes(part), `"${part}" is not in:\n${all}`);
}

describe("renderReport", () => {
  it("shows a failure with all that is needed to act", () => {
    const message = renderReport(report(failedRun()));
    assert.equal(title(message), "🔴 cloudwatch failed");
    assertShows(
      message,
      "*Pipeline*\n`cloudwatch`",
      "*Tenant*\n`acme.eu.auth0.com`",
      "*Started*\n2026-01-01T12:00:00.000Z",
      "*Ended*\n2026-01-01T12:01:30.000Z",
      "*Duration*\n1 min 30 s, 20 events/s",
      "*Lag*\n1 h 0 min",
      "1,800 read, 500 filtered, 1,300 delivered, 0 rejected, 0 skipped",
      "*Batches*\n13, with 7 retries",
      "Error (transient): CloudWatch answered 503 Service Unavailable",
      `*Failed batch*\n\`${logId(1_001)}\` to \`${logId(1_100)}\``,
      `*Checkpoint to resume from*\n\`${logId(1_000)}\``,
      "The next scheduled run resumes from there by itself.",
      `\`auth0-log-exporter replay --pipeline cloudwatch --from ${logId(1_000)}\``,
      "*What to do*\nNothing, if it passes.",
    );
  });

  it("says the same without blocks", () => {
    const { text } = renderReport(report(failedRun()));
    assert.match(
      text,
      /^🔴 cloudwatch failed \(tenant acme\.eu\.auth0\.com\)\nError \(transient\): CloudWatch/,
    );
    assert.ok(text.includes(`replay --pipeline cloudwatch --from ${logId(1_000)}`));
  });

  it("has advice of its own for every kind of error", () => {
    const advices = exportErrorKinds.map((kind) => {
      const message = renderReport(report(failedRun({ error: { kind, message: "" } })));
      return texts(message).find((text) => text.startsWith("*What to do*\n"));
    });
    assert.equal(new Set(advices).size, exportErrorKinds.length);
    assert.ok(!advices.includes(undefined));
  });

  it("resumes from where the run began when nothing moved, and knows when it does not know", () => {
    assertShows(renderReport(report(failedRun({ to: null }))), `--from ${logId(1)}\``);
    const message = renderReport(report(failedRun({ from: null, to: null })));
    assertShows(message, "The run ended before it was read.");
    assert.ok(!texts(message).join().includes("replay"));
  });

  it("counts the failures in a row", () => {
    const streak = { runs: 3, moreThan: false, sinceMs: Date.UTC(2026, 0, 1, 11), endedAtMs: null };
    const message = renderReport(report(failedRun(), { streak }));
    assert.equal(title(message), "🔴 cloudwatch failed (3 runs in a row)");
    assertShows(message, "*Failing since*\n2026-01-01T11:00:00.000Z");
    const long = renderReport(report(failedRun(), { streak: { ...streak, runs: 1_000, moreThan: true } }));
    assert.equal(title(long), "🔴 cloudwatch failed (more than 1000 runs in a row)");
    assertShows(long, "or longer");
  });

  it("shows a crash, which has no error", () => {
    const crashed = succeededRun({ outcome: "crashed", endedAtMs: null, lagMs: null, to: null });
    const message = renderReport(report(crashed));
    assert.equal(title(message), "🔴 cloudwatch crashed");
    assertShows(message, "it crashed or was killed", "*Ended*\nnot known", `--from ${logId(1)}\``);
  });

  it("shows a success", () => {
    const message = renderReport(report(succeededRun()));
    assert.equal(title(message), "🟢 cloudwatch succeeded");
    assertShows(message, "*Lag*\n0.0 s", `*Checkpoint*\n\`${logId(1_000)}\``);
    assert.ok(!texts(message).join().includes("replay"));
  });

  it("shows a recovery in runs and minutes", () => {
    const run = succeededRun();
    const ended = run.endedAtMs ?? 0;
    const streak = { runs: 3, moreThan: false, sinceMs: ended - 15 * 60_000, endedAtMs: ended };
    assert.equal(
      title(renderReport(report(run, { streak }))),
      "🟢 cloudwatch recovered after 3 runs, 15 minutes",
    );
    const short = { ...streak, runs: 1, sinceMs: ended - 60_000 };
    assert.equal(
      title(renderReport(report(run, { streak: short }))),
      "🟢 cloudwatch recovered after 1 run, 1 minute",
    );
    const jumped = { ...streak, runs: 1_000, moreThan: true, sinceMs: ended + 60_000 };
    assert.equal(
      title(renderReport(report(run, { streak: jumped }))),
      "🟢 cloudwatch recovered after more than 1000 runs, 0 minutes",
    );
  });

  it("turns amber for dead letters, gaps and crashes, losses first", () => {
    const refused = { kind: "dead-letter", lost: false, message: "2 events were refused." } as const;
    const warnings = {
      rejected: 2,
      notices: [refused, gap],
      crashedAtMs: [Date.UTC(2026, 0, 1, 10), Date.UTC(2026, 0, 1, 9)],
    };
    const message = renderReport(report(succeededRun(), { warnings }));
    assert.equal(title(message), "🟡 cloudwatch succeeded, with warnings");
    assert.deepEqual(texts(message).slice(-4), [
      `🟡 Possible loss: ${gap.message}`,
      "🟡 Warning: 2 events were refused.",
      '🟡 Dead letters: 2 events since the last report. See "auth0-log-exporter dead-letters list".',
      "🟡 Crashed: 2 earlier runs ended with the process, the last one started at 2026-01-01T10:00:00.000Z. The next run went on from the checkpoint. Look in the supervisor's log for why the process ended, such as lack of memory. Events delivered just before may arrive twice.",
    ]);
    const failed = renderReport(report(failedRun(), { warnings }));
    assert.equal(title(failed), "🔴 cloudwatch failed");
    assertShows(failed, gap.message);
  });

  it("shows four notices and counts the others", () => {
    const notices = Array.from({ length: 6 }, (_, at) => ({ ...gap, message: `gap ${at}` }));
    const message = renderReport(report(succeededRun(), { warnings: { ...noWarnings, notices } }));
    assertShows(message, "gap 3", "🟡 2 more warnings: see the log.");
    assert.ok(!texts(message).join().includes("gap 4"));
  });

  it("quotes words for the shell, so that the command can be copied", () => {
    const run = failedRun({ pipeline: "my pipe'`\nline", to: "a;b" });
    assertShows(renderReport(report(run)), "--pipeline 'my pipe'\\''ˋ line' --from 'a;b'`");
  });
});

describe("other messages", () => {
  it("shows why the exporter could not start", () => {
    const message = renderStartupFailure({
      tenant,
      kind: "config",
      message: "BATCH_SIZE: expected 1 to 100",
    });
    assert.equal(title(message), "🔴 auth0-log-exporter could not start");
    assertShows(message, "acme.eu.auth0.com", "Error (config): BATCH_SIZE", "*What to do*\nCorrect what");
    assert.ok(message.text.includes("BATCH_SIZE: expected 1 to 100"));
  });

  it("has a test message that names the tenant", () => {
    assertShows(testMessage(tenant), "acme.eu.auth0.com");
  });
});

describe("every message", () => {
  /** Text as an attacker, a broken server or a clumsy user would make it. */
  const anyText = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
    fc
      .array(
        fc.constantFrom(
          "<!channel>",
          "<@U123>",
          "<http://a.b|c>",
          "&",
          "&lt;",
          "`",
          "*",
          "\\",
          '"',
          "\n",
          "🎈",
          "\u202e",
        ),
      )
      .map((parts) => parts.join("")),
    fc
      .tuple(
        fc.constantFrom("<", "&", "\\", '"', "`", "🎈", "x", "\n", "\ud83d", "\0"),
        fc.integer({ min: 100, max: 5_000 }),
      )
      .map(([unit, times]) => unit.repeat(times)),
  );
  const anyTime = fc.oneof(fc.double(), fc.integer(), fc.constant(Date.UTC(2026, 0, 1)));
  const anyCount = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  const anyKind: fc.Arbitrary<ExportErrorKind> = fc.constantFrom(...exportErrorKinds);
  const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
  const anyNotice = fc.record({
    kind: fc.constantFrom("gap" as const, "start" as const, "dead-letter" as const),
    lost: fc.boolean(),
    message: anyText,
  });
  const anyRun: fc.Arbitrary<RunRecord> = fc.record({
    pipeline: anyText,
    outcome: fc.constantFrom("succeeded" as const, "failed" as const, "stopped" as const, "crashed" as const),
    startedAtMs: anyTime,
    endedAtMs: orNull(anyTime),
    from: orNull(anyText),
    to: orNull(anyText),
    counts: fc.record({
      read: anyCount,
      filtered: anyCount,
      delivered: anyCount,
      rejected: anyCount,
      skipped: anyCount,
      batches: anyCount,
      retries: anyCount,
    }),
    lagMs: orNull(anyTime),
    error: orNull(
      fc.oneof(
        fc.record({ kind: anyKind, message: anyText }),
        fc.record({
          kind: anyKind,
          message: anyText,
          batch: fc.record({ firstId: anyText, lastId: anyText }),
        }),
      ),
    ),
    notices: fc.constant([]),
    unknownTypes: fc.constant({}),
  });
  const anyReport: fc.Arbitrary<RunReport> = fc.record({
    tenant: anyText,
    run: anyRun,
    streak: orNull(
      fc.record({ runs: anyCount, moreThan: fc.boolean(), sinceMs: anyTime, endedAtMs: orNull(anyTime) }),
    ),
    warnings: fc.record({
      rejected: anyCount,
      notices: fc.array(anyNotice, { maxLength: 8 }),
      crashedAtMs: fc.array(anyTime, { maxLength: 3 }),
    }),
  });
  const anyMessage = fc.oneof(
    { weight: 8, arbitrary: anyReport.map(renderReport) },
    {
      weight: 1,
      arbitrary: fc.record({ tenant: anyText, kind: anyKind, message: anyText }).map(renderStartupFailure),
    },
    { weight: 1, arbitrary: anyText.map(testMessage) },
  );

  it("is accepted by Slack, mentions nobody and links nowhere, whatever the texts hold", () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        assert.equal(slackRefusal(message), null);
        for (const text of texts(message)) {
          assert.doesNotMatch(text, /[<>]|&(?!amp;|lt;|gt;)/);
          assert.doesNotMatch(text, /[\u202a-\u202e\u2066-\u2069]/);
        }
        assert.ok(message.text.length <= 4_500);
      }),
      { numRuns: 800 },
    );
  });

  it("lets no text end a code span", () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        for (const text of texts(message)
          .slice(1)
          .filter((shown) => shown.startsWith("*"))) {
          const spans = text.split("`");
          assert.equal(spans.length % 2, 1, text);
          for (const span of spans.filter((_, at) => at % 2 === 1)) assert.match(span, /^[^\n]*\S[^\n]*$/);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("stays within the limit for all blocks when everything is as long as it gets", () => {
    for (const worst of ["\\", "<", "🎈", "`", '\n"']) {
      const long = worst.repeat(10_000);
      const notice = { kind: "gap", lost: true, message: long } as const;
      const run = failedRun({
        pipeline: long,
        to: long,
        error: { kind: "permanent", message: long, batch: { firstId: long, lastId: long } },
      });
      const warnings = { rejected: 1e9, notices: Array(9).fill(notice), crashedAtMs: [0, 0] };
      const streak = { runs: 1_000, moreThan: true, sinceMs: 0, endedAtMs: null };
      assert.equal(slackRefusal(renderReport({ tenant: long, run, streak, warnings })), null);
    }
  });
});
