import { deepEqual, equal, ok } from "node:assert/strict";
import { describe, test } from "node:test";
import { assertExactlyOnce, compare, createRig, logLines, recordOf, until } from "../support/exporter.ts";

const window = { BATCH_SIZE: "100", MAX_BATCHES_IN_FLIGHT: "2" };
const maxWindowEvents = 200;

describe("stopping", { concurrency: 3 }, () => {
  test("after SIGTERM the window in flight is delivered and committed, and nothing is sent twice", async () => {
    await using rig = await createRig({ cloudwatch: { latencyMs: 50 }, env: window });
    const ids = rig.produce(2_000);
    const running = rig.spawn(["run", "--json"]);
    await until("some events at CloudWatch", () => rig.cloudwatch.counts.events >= 300);
    running.child.kill("SIGTERM");
    const finished = await running.finished;

    equal(finished.code, 0);
    equal(recordOf(finished).outcome, "stopped");
    const held = [...rig.held().keys()].sort();
    ok(held.length < ids.length, "the signal came too late to stop anything");
    equal((await rig.checkpoint())?.cursor, held.at(-1));
    assertExactlyOnce(rig.held(), ids.slice(0, held.length));

    equal((await rig.run(["run"])).code, 0);
    assertExactlyOnce(rig.held(), ids);
  });

  test("the daemon ends in order on SIGINT, in the middle of a run", async () => {
    await using rig = await createRig({ cloudwatch: { latencyMs: 50 }, env: window });
    const ids = rig.produce(2_000);
    const running = rig.spawn(["start"]);
    await until("some events at CloudWatch", () => rig.cloudwatch.counts.events >= 300);
    running.child.kill("SIGINT");
    const { code, stderr } = await running.finished;

    equal(code, 0);
    equal(logLines(stderr).at(-1)?.msg, "stopped");
    const history = await rig.run(["history", "--json"]);
    equal(JSON.parse(history.stdout).outcome, "stopped");
    const held = [...rig.held().keys()].sort();
    equal((await rig.checkpoint())?.cursor, held.at(-1));
    assertExactlyOnce(rig.held(), ids.slice(0, held.length));
  });

  test("a second SIGTERM cancels the requests: one warning, nothing lost, at most a window twice", async () => {
    await using rig = await createRig({ env: window });
    const ids = rig.produce(1_000);
    rig.cloudwatch.outage = { fault: "hang-after-accept", on: "PutLogEvents" };
    const running = rig.spawn(["run", "--json"]);
    await until("a batch at CloudWatch", () => rig.cloudwatch.counts.events >= 100);
    running.child.kill("SIGTERM");
    await until("the first signal's log line", () => running.output().stderr.includes("SIGTERM: stopping"));
    running.child.kill("SIGTERM");
    const finished = await running.finished;

    equal(finished.code, 0);
    equal(recordOf(finished).outcome, "stopped");
    const warnings = logLines(finished.stderr).filter(({ msg }) => msg.includes("may be sent again"));
    deepEqual(
      warnings.map(({ level }) => level),
      ["warn"],
    );

    rig.cloudwatch.outage = null;
    equal((await rig.run(["run"])).code, 0);
    const { lost, duplicates } = compare(rig.held(), ids);
    deepEqual(lost, []);
    ok(duplicates > 0 && duplicates <= maxWindowEvents, `${duplicates} duplicates`);
  });

  test("when the grace period runs out, the requests are cancelled without a second signal", async () => {
    await using rig = await createRig({ env: { ...window, SHUTDOWN_GRACE_SECONDS: "4" } });
    rig.produce(100);
    rig.cloudwatch.outage = { fault: "hang", on: "PutLogEvents" };
    const running = rig.spawn(["start"]);
    await until("the request that hangs", () => rig.cloudwatch.requests.length > 0);
    const signalledAtMs = performance.now();
    running.child.kill("SIGTERM");
    const { code, stderr } = await running.finished;

    // The forced end, which comes with the whole grace period, exits with 1.
    equal(code, 0, stderr);
    ok(performance.now() - signalledAtMs >= 2_900, "it did not wait for the request");
    ok(logLines(stderr).some(({ msg }) => msg.startsWith("the grace period is running out")));
  });

  test("a stop does not wait for an answer of Auth0", async () => {
    await using rig = await createRig();
    rig.produce(100);
    rig.tenant.outage = { kind: "hang", on: "logs" };
    const running = rig.spawn(["run", "--json"]);
    await until("the request that hangs", () => rig.tenant.counts.logs > 0);
    running.child.kill("SIGTERM");
    const finished = await running.finished;

    equal(finished.code, 0);
    equal(recordOf(finished).outcome, "stopped");
    ok(!finished.stderr.includes("grace period"), finished.stderr);
  });
});
