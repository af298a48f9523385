import { deepEqual, equal, match, ok } from "node:assert/strict";
import { describe, test } from "node:test";
import type { Fault } from "../../src/demo/tenant-faults.ts";
import { assertExactlyOnce, createRig, type Rig, recordOf, until } from "../support/exporter.ts";

const reporting = (rig: Rig) => ({ SLACK_INCOMING_WEBHOOK_URL: rig.slack.url });

describe("faults of Auth0", { concurrency: 3 }, () => {
  const faults: Readonly<Record<string, Fault>> = {
    "a request that is never answered": "hang",
    "a body that stops half-way": "hang-body",
    "a body that is cut off": "truncate",
    "a reset connection": "reset",
    "a page of HTML with status 200": "html",
    "an empty body with status 200": "empty",
    "an object in the place of the array": "not-array",
    "a page in the wrong order": "descending",
    "a 503": { status: 503, body: "upstream connect error" },
  };
  for (const [what, fault] of Object.entries(faults)) {
    test(`${what} is asked for again within the run, and nothing is lost`, async () => {
      await using rig = await createRig({ env: { REQUEST_TIMEOUT_SECONDS: "2" } });
      const ids = rig.produce(150);
      rig.tenant.faults.push(fault);
      const finished = await rig.run(["run", "--json"]);

      equal(finished.code, 0, finished.stderr);
      assertExactlyOnce(rig.held(), ids);
      deepEqual(rig.tenant.faults, []);
      match(finished.stderr, /asking Auth0 again/);
    });
  }

  const tokenFaults: Readonly<Record<string, Fault>> = {
    "is never answered": { kind: "hang", on: "token" },
    "is answered with a page of HTML": { kind: "html", on: "token" },
    "is answered with 429": { status: 429, headers: { "retry-after": "1" }, on: "token" },
  };
  for (const [what, fault] of Object.entries(tokenFaults)) {
    test(`a login that ${what} is tried again within the run`, async () => {
      await using rig = await createRig({ env: { REQUEST_TIMEOUT_SECONDS: "2" } });
      const ids = rig.produce(10);
      rig.tenant.faults.push(fault);
      const { code, stderr } = await rig.run(["run"]);

      equal(code, 0, stderr);
      assertExactlyOnce(rig.held(), ids);
      ok(rig.tenant.counts.token >= 2);
    });
  }

  test("a storm of 429s is waited out as told, longer than faults are retried", async () => {
    await using rig = await createRig({ env: { GIVE_UP_AFTER_SECONDS: "3" } });
    const ids = rig.produce(250);
    const refused = { status: 429, headers: { "retry-after": "1" }, on: "logs" } as const;
    rig.tenant.faults.push(refused, refused, refused);
    const finished = await rig.run(["run", "--json"]);

    equal(finished.code, 0, finished.stderr);
    assertExactlyOnce(rig.held(), ids);
    const pages = rig.tenant.requests.filter(({ url }) => url.startsWith("/api/v2/logs?"));
    const hurried = pages.filter(({ status }, index) => {
      const next = pages[index + 1];
      return status === 429 && next && next.atMs - pages[index]!.atMs < 990;
    });
    deepEqual(hurried, [], "asked again before the second was over");
  });

  test("a token that is revoked during a run costs exactly one more login, and no event", async () => {
    await using rig = await createRig({ tenant: { pageLatencyMs: 20 } });
    const ids = rig.produce(1_500);
    const running = rig.spawn(["run"]);
    await until("the third page", () => rig.tenant.counts.logs >= 3);
    rig.tenant.faults.push("revoke");
    const { code, stderr } = await running.finished;

    equal(code, 0, stderr);
    deepEqual(rig.tenant.faults, []);
    equal(rig.tenant.counts.token, 2);
    assertExactlyOnce(rig.held(), ids);
  });

  test("a second 401 right after a new login fails the run as auth, and Slack hears of it", async () => {
    await using rig = await createRig();
    rig.produce(10);
    rig.tenant.outage = { status: 401, body: { statusCode: 401, message: "Invalid token" }, on: "logs" };
    const finished = await rig.run(["run", "--json"], reporting(rig));

    equal(finished.code, 1);
    equal(recordOf(finished).error?.kind, "auth");
    deepEqual({ ...rig.tenant.counts }, { token: 2, logs: 2, log: 0 });
    equal(rig.slack.messages.length, 1);
    match(rig.slack.messages[0]?.text ?? "", /Error \(auth\): .*AUTH0_AUDIENCE/);
  });

  test("a wrong client secret ends the run at once, with a report to Slack", async () => {
    await using rig = await createRig();
    const wrong = { ...reporting(rig), AUTH0_CLIENT_SECRET: "this-is-not-the-secret" };
    const finished = await rig.run(["run", "--json"], wrong);

    equal(finished.code, 1);
    const { error, startedAt, endedAt } = recordOf(finished);
    equal(error?.kind, "auth");
    match(error?.message ?? "", /401 .*AUTH0_CLIENT_SECRET/);
    ok(Date.parse(endedAt) - Date.parse(startedAt) < 10_000);
    deepEqual({ ...rig.tenant.counts }, { token: 1, logs: 0, log: 0 });
    match(rig.slack.messages[0]?.text ?? "", /Error \(auth\)/);
  });

  test("a wrong client secret keeps the daemon up, with a report to Slack", async () => {
    await using rig = await createRig();
    const wrong = { ...reporting(rig), AUTH0_CLIENT_SECRET: "this-is-not-the-secret" };
    const running = rig.spawn(["start"], wrong);
    await until("the report", () => rig.slack.messages.length > 0);
    equal(running.child.exitCode, null);
    running.child.kill("SIGTERM");
    equal((await running.finished).code, 0);
  });

  test("a missing scope fails the run and is named", async () => {
    await using rig = await createRig({ tenant: { scopes: ["read:users"] } });
    const finished = await rig.run(["run", "--json"], reporting(rig));

    equal(finished.code, 1);
    const { error } = recordOf(finished);
    equal(error?.kind, "auth");
    match(error?.message ?? "", /403 .*read:logs/);
    match(rig.slack.messages[0]?.text ?? "", /read:logs/);
  });
});

describe("requests to Auth0", { concurrency: 3 }, () => {
  const filters: Readonly<Record<string, Record<string, string>>> = {
    "no filter": {},
    "a filter that passes some": { LOG_LEVEL: "error" },
    "a filter that passes none": { LOG_TYPES: "gd_tenant_update", LOG_LEVEL: "4" },
  };
  for (const [what, filter] of Object.entries(filters)) {
    test(`${what}: n events take exactly ceil(n / 100) + 1 pages, and one login`, async () => {
      await using rig = await createRig({ env: filter });
      const ids = rig.produce(250);
      const finished = await rig.run(["run", "--json"]);

      equal(finished.code, 0, finished.stderr);
      deepEqual({ ...rig.tenant.counts }, { token: 1, logs: 4, log: 0 });
      const { counts, to } = recordOf(finished);
      equal(counts.read, 250);
      equal(counts.delivered, rig.held().size);
      equal(counts.filtered > 0, what !== "no filter");
      equal(to, ids.at(-1));
      const queries = rig.tenant.requests.map(({ url }) => new URL(url, rig.tenant.origin).searchParams);
      ok(
        queries
          .slice(1)
          .every((query) => [...query.keys()].sort().join() === "from,take" && query.get("take") === "100"),
      );
    });
  }

  test("an exact multiple of a page takes one more request, and an empty log takes one", async () => {
    await using rig = await createRig();
    equal((await rig.run(["run"])).code, 0);
    equal(rig.tenant.counts.logs, 1);
    rig.produce(200);
    equal((await rig.run(["run"])).code, 0);
    equal(rig.tenant.counts.logs, 1 + 3);
    equal(rig.tenant.counts.token, 2, "one login for each process");
  });

  test("two pipelines of one process share one login", async () => {
    await using rig = await createRig();
    const ids = rig.produce(120);
    const { code, stdout, stderr } = await rig.run(["run"], { DESTINATION: "cloudwatch,stdout" });

    equal(code, 0, stderr);
    equal(rig.tenant.counts.token, 1);
    assertExactlyOnce(rig.held(), ids);
    equal(stdout.trimEnd().split("\n").length, ids.length);
  });
});
