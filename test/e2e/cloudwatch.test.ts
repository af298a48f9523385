import { deepEqual, equal, match, ok } from "node:assert/strict";
import { describe, test } from "node:test";
import type { CloudWatchFault } from "../../src/demo/cloudwatch.ts";
import { assertExactlyOnce, compare, createRig, logGroup, logStream, recordOf } from "../support/exporter.ts";
import { onSighting } from "../support/progress.ts";

describe("faults of CloudWatch", { concurrency: 3 }, () => {
  const notAccepted: Readonly<Record<string, CloudWatchFault>> = {
    "a request that is never answered": "hang",
    "a reset connection": "reset",
    "a page of HTML with status 200": "html",
    "an empty answer with status 200": "empty",
    "throttling, which has status 400": "throttle",
    "a 503": { status: 503, type: "ServiceUnavailableException" },
    "a proxy's 502 page": {
      status: 502,
      body: "<html>Bad Gateway</html>",
      headers: { "content-type": "text/html" },
    },
  };
  for (const [what, fault] of Object.entries(notAccepted)) {
    test(`${what} is sent again within the run; every event arrives once`, async () => {
      await using rig = await createRig({ env: { REQUEST_TIMEOUT_SECONDS: "2" } });
      const ids = rig.produce(150);
      rig.cloudwatch.faults.push(fault);
      const finished = await rig.run(["run", "--json"]);

      equal(finished.code, 0, finished.stderr);
      assertExactlyOnce(rig.held(), ids);
      ok(recordOf(finished).counts.retries >= 1);
    });
  }

  const accepted: Readonly<Record<string, CloudWatchFault>> = {
    "an answer that never comes": "hang-after-accept",
    "an answer that is lost with its connection": "reset-after-accept",
    "an answer that stops half-way": "hang-in-body",
  };
  for (const [what, fault] of Object.entries(accepted)) {
    test(`${what} costs one batch of duplicates, and no event`, async () => {
      await using rig = await createRig({ env: { REQUEST_TIMEOUT_SECONDS: "2" } });
      const ids = rig.produce(150);
      rig.cloudwatch.faults.push(fault);
      const finished = await rig.run(["run", "--json"]);

      equal(finished.code, 0, finished.stderr);
      const { lost, duplicates } = compare(rig.held(), ids);
      deepEqual(lost, []);
      // Only one request met the fault, and it carried a batch.
      ok(duplicates > 0 && duplicates <= 100, `${duplicates} duplicates`);
      equal(recordOf(finished).counts.delivered, ids.length);
    });
  }

  test("an event that makes CloudWatch refuse its request is dead-lettered alone", async () => {
    let poisoned = "";
    await using rig = await createRig({ cloudwatch: { poison: (text) => text.includes(poisoned) } });
    const ids = rig.produce(150);
    poisoned = `"log_id":"${ids[42]}"`;
    const finished = await rig.run(["run", "--json"]);

    equal(finished.code, 0, finished.stderr);
    const { counts } = recordOf(finished);
    deepEqual([counts.delivered, counts.rejected], [149, 1]);
    assertExactlyOnce(
      rig.held(),
      ids.filter((id) => id !== ids[42]),
    );
    const [letter, ...others] = await rig.deadLetters();
    equal(letter?.event.id, ids[42]);
    deepEqual(others, []);
  });

  test("a missing log group and stream are created; with CLOUDWATCH_CREATE=false they are named", async () => {
    await using rig = await createRig({ cloudwatch: { groups: {} } });
    const ids = rig.produce(10);
    const refused = await rig.run(["run", "--json"], { CLOUDWATCH_CREATE: "false" });
    equal(refused.code, 1);
    const { error } = recordOf(refused);
    equal(error?.kind, "permanent");
    match(error?.message ?? "", new RegExp(`${logGroup}.*${logStream}.*CLOUDWATCH_CREATE`));
    deepEqual(error?.batch, { firstId: ids[0], lastId: ids[9] });

    const { code, stderr } = await rig.run(["run"]);
    equal(code, 0, stderr);
    assertExactlyOnce(rig.held(), ids);
  });

  test("refused credentials fail the run at once as auth", async () => {
    await using rig = await createRig({ cloudwatch: { accessKeyId: "AKIAOFSOMEBODYELSE" } });
    const ids = rig.produce(10);
    const finished = await rig.run(["run", "--json"]);
    equal(finished.code, 1);
    const { error, counts } = recordOf(finished);
    equal(error?.kind, "auth");
    match(error?.message ?? "", /AWS_ACCESS_KEY_ID/);
    equal(counts.retries, 0);
    equal(rig.held().size, 0);
    ok(
      ((await rig.checkpoint())?.cursor ?? "") < ids[0]!,
      "the checkpoint moved over events that nobody has",
    );
  });
});

describe("an outage of CloudWatch", { concurrency: 3 }, () => {
  test("holds up no other destination: each pipeline has its own checkpoint", async () => {
    await using rig = await createRig({ env: { DESTINATION: "cloudwatch,stdout" } });
    const ids = rig.produce(150);
    rig.cloudwatch.outage = { status: 400, type: "AccessDeniedException" };
    const { code, stdout } = await rig.run(["run"]);
    equal(code, 1);
    const printed = stdout.trimEnd().split("\n");
    deepEqual(
      printed.map((line) => JSON.parse(line).log_id),
      ids,
    );
    equal((await rig.checkpoint("stdout"))?.cursor, ids.at(-1));
    ok(((await rig.checkpoint("cloudwatch"))?.cursor ?? "") < ids[0]!);

    rig.cloudwatch.outage = null;
    const later = await rig.run(["run", "--pipeline", "cloudwatch"]);
    deepEqual([later.code, later.stdout], [0, ""]);
    assertExactlyOnce(rig.held(), ids);
  });

  const outage = { status: 503, type: "ServiceUnavailableException" } as const;

  test("longer than retrying lasts: the run fails, the checkpoint holds, the next run delivers the rest", async () => {
    await using rig = await createRig({ env: { GIVE_UP_AFTER_SECONDS: "2" } });
    const before = rig.produce(50, Date.now() - 7_200_000);
    equal((await rig.run(["run"])).code, 0);
    const after = rig.produce(250);
    rig.cloudwatch.outage = outage;
    const finished = await rig.run(["run", "--json"]);

    equal(finished.code, 1);
    const record = recordOf(finished);
    deepEqual([record.outcome, record.error?.kind], ["failed", "transient"]);
    equal(record.to, before.at(-1));
    equal((await rig.checkpoint())?.cursor, before.at(-1));
    deepEqual(record.error?.batch, { firstId: after[0], lastId: after[99] });
    ok(record.counts.retries >= 1 && rig.cloudwatch.counts.requests < 50, "not retried, or hammered");

    rig.cloudwatch.outage = null;
    equal((await rig.run(["run"])).code, 0);
    assertExactlyOnce(rig.held(), [...before, ...after]);
  });

  test("what was delivered before it is committed, and not sent again", async () => {
    await using rig = await createRig({ env: { GIVE_UP_AFTER_SECONDS: "1", MAX_BATCHES_IN_FLIGHT: "1" } });
    const ids = rig.produce(500);
    const done = onSighting("an answer leaves", rig, () => {
      if (rig.cloudwatch.counts.events >= 200) rig.cloudwatch.outage = outage;
    });
    const finished = await rig.run(["run", "--json"]);
    done();
    equal(finished.code, 1);
    const { to, counts } = recordOf(finished);
    equal(counts.delivered, 200);
    equal(to, [...rig.held().keys()].sort().at(-1));

    rig.cloudwatch.outage = null;
    equal((await rig.run(["run"])).code, 0);
    assertExactlyOnce(rig.held(), ids);
  });
});
