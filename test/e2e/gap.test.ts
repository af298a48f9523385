import { deepEqual, equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { assertExactlyOnce, createRig, logLines, type Rig, recordOf } from "../support/exporter.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Makes the state what it would be if all that is in it had happened `ms` earlier. */
function age(rig: Rig, ms: number): void {
  const db = new DatabaseSync(join(rig.checkpointDir, "state.db"));
  db.exec(`UPDATE checkpoint SET drained_at_ms = drained_at_ms - ${ms}, updated_at_ms = updated_at_ms - ${ms};
    UPDATE run SET started_at_ms = started_at_ms - ${ms}, ended_at_ms = ended_at_ms - ${ms}, reported_at_ms = reported_at_ms - ${ms}`);
  db.close();
}

/** A tenant whose last export was `outageMs` ago, at an event that is as old. */
async function afterOutage(outageMs: number, retentionMs: number) {
  let tenantNowMs = Date.now() - outageMs;
  const rig = await createRig({ tenant: { retentionMs, now: () => tenantNowMs } });
  const env = { SLACK_INCOMING_WEBHOOK_URL: rig.slack.url };
  const before = rig.produce(10, Date.now() - outageMs - hourMs);
  const { code, stderr } = await rig.run(["run"], env);
  equal(code, 0, stderr);
  age(rig, outageMs);
  tenantNowMs = Date.now();
  return { rig, env, before };
}

describe("after an outage", { concurrency: 3 }, () => {
  test("longer than the retention, the gap is an error and an amber report with its window; the rest arrives once", async () => {
    const { rig, env, before } = await afterOutage(5 * dayMs, 2 * dayMs);
    await using _ = rig;
    // One event an hour, none of them near the edge of the retention.
    const during = rig.produce(120, Date.now() - 5 * dayMs + hourMs / 2, hourMs);
    const kept = during.slice(-48);
    const drainedAtMs = (await rig.checkpoint())?.drainedAtMs ?? 0;
    const window = `Possible gap from ${new Date(drainedAtMs).toISOString()} to `;
    const finished = await rig.run(["run", "--json"], env);

    equal(finished.code, 0, finished.stderr);
    assertExactlyOnce(rig.held(), [...before, ...kept]);
    const errors = logLines(finished.stderr).filter(({ level }) => level === "error");
    equal(errors.length, 1);
    ok(errors[0]?.msg.startsWith(window), errors[0]?.msg);
    const [, untilTime = ""] = /to (\S+Z):/.exec(errors[0]?.msg ?? "") ?? [];
    const firstKept = rig.cloudwatch.events()[before.length];
    equal(untilTime, new Date(firstKept?.timestamp ?? 0).toISOString());
    deepEqual(
      recordOf(finished).notices.map(({ kind, lost }) => ({ kind, lost })),
      [{ kind: "gap", lost: true }],
    );
    equal(rig.slack.messages.length, 1);
    const text = rig.slack.messages[0]?.text ?? "";
    match(text, /^🟡 .*with warnings/);
    ok(text.includes(`${window}${untilTime}`), text);

    const next = await rig.run(["run", "--json"], env);
    deepEqual(recordOf(next).notices, []);
    equal(rig.slack.messages.length, 1);
  });

  test("shorter than the retention, everything is exported and nobody is alarmed", async () => {
    const { rig, env, before } = await afterOutage(5 * dayMs, 30 * dayMs);
    await using _ = rig;
    const during = rig.produce(120, Date.now() - 5 * dayMs + hourMs / 2, hourMs);
    const finished = await rig.run(["run", "--json"], env);

    equal(finished.code, 0, finished.stderr);
    assertExactlyOnce(rig.held(), [...before, ...during]);
    deepEqual(recordOf(finished).notices, []);
    equal(rig.tenant.counts.log, 1, "the checkpoint's event is looked up");
    equal(rig.slack.messages.length, 0);
  });

  test("in a tenant where nothing happens, the gap is told once, and never again while runs go on", async () => {
    const { rig, env } = await afterOutage(5 * dayMs, 2 * dayMs);
    await using _ = rig;
    equal((await rig.run(["run"], env)).code, 0);
    equal(rig.slack.messages.length, 1);
    match(rig.slack.messages[0]?.text ?? "", /Possible gap/);
    for (let run = 0; run < 2; run++) {
      age(rig, 12 * hourMs);
      const finished = await rig.run(["run", "--json"], env);
      equal(finished.code, 0);
      deepEqual(recordOf(finished).notices, []);
    }
    equal(rig.slack.messages.length, 1);
  });
});
