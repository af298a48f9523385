import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRateLimit, retryAfterMs } from "../../src/auth0/rate-limit.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { virtualClock } from "../support/clock.ts";
import { until } from "../support/exporter.ts";
import { getPage, handClock, never, openTenant } from "./support.ts";

const serverMs = Date.UTC(2026, 5, 15, 12, 0, 0);
const date = new Date(serverMs).toUTCString();
const inSeconds = (seconds: number) => String(serverMs / 1_000 + seconds);
const httpDate = (seconds: number) => new Date(serverMs + seconds * 1_000).toUTCString();
const hourMs = 3_600_000;

/** Headers of an answer, and the wait that they ask for. */
const waits: readonly (readonly [
  name: string,
  headers: Record<string, string>,
  waitMs: number | undefined,
])[] = [
  ["Retry-After in seconds", { "retry-after": "7" }, 7_000],
  ["Retry-After in parts of a second", { "retry-after": "1.5" }, 1_500],
  ["Retry-After as a date", { "retry-after": httpDate(90) }, 90_000],
  ["Retry-After as a date that has passed", { "retry-after": httpDate(-90) }, 0],
  ["x-ratelimit-reset", { "x-ratelimit-reset": inSeconds(9) }, 9_000],
  ["x-ratelimit-reset that has passed", { "x-ratelimit-reset": inSeconds(-9) }, 0],
  ["Retry-After before x-ratelimit-reset", { "retry-after": "3", "x-ratelimit-reset": inSeconds(60) }, 3_000],
  [
    "x-ratelimit-reset behind nonsense in Retry-After",
    { "retry-after": "soon", "x-ratelimit-reset": inSeconds(60) },
    60_000,
  ],
  ["a wait of a day, as ten minutes", { "retry-after": "86400" }, 600_000],
  ["a reset in another century, as ten minutes", { "x-ratelimit-reset": inSeconds(3e9) }, 600_000],
  ["nothing", {}, undefined],
  ["nonsense", { "x-ratelimit-reset": "soon" }, undefined],
  ["a reset at the beginning of time", { "x-ratelimit-reset": "0" }, undefined],
];

describe("the wait that an answer asks for", () => {
  for (const [name, headers, waitMs] of waits) {
    for (const offsetHours of [0, -5, 5]) {
      it(`is read from ${name}, with the local clock ${offsetHours} hours off`, () => {
        const nowMs = serverMs + offsetHours * hourMs;
        assert.equal(retryAfterMs(new Headers({ date, ...headers }), nowMs), waitMs);
      });
    }
  }

  it("is reckoned from the local clock when the answer has no Date", () => {
    assert.equal(retryAfterMs(new Headers({ "x-ratelimit-reset": inSeconds(9) }), serverMs + 2_000), 7_000);
  });
});

describe("a 429", () => {
  for (const [name, headers, leastMs, mostMs] of [
    ["Retry-After", { "retry-after": "30" }, 30_000, 30_000],
    ["x-ratelimit-reset only", { "x-ratelimit-reset": inSeconds(20) }, 20_000, 20_000],
    ["neither", {}, 1_000, 2_000],
    ["Retry-After: 0", { "retry-after": "0" }, 1_000, 2_000],
    ["a reset that has passed", { "x-ratelimit-reset": inSeconds(-1) }, 1_000, 2_000],
  ] as const) {
    it(`with ${name} holds the next request back`, async () => {
      const clock = virtualClock(serverMs - 2 * hourMs);
      const rateLimit = createRateLimit(clock);
      const askedMs = rateLimit.learn(429, new Headers({ date, ...headers }));
      await rateLimit.wait(never);
      assert.equal(clock.monotonicMs(), askedMs);
      assert.ok(clock.monotonicMs() >= leastMs && clock.monotonicMs() <= mostMs, String(askedMs));
    });
  }

  it("is not shortened by an answer that was on its way before it", async () => {
    const clock = virtualClock();
    const rateLimit = createRateLimit(clock);
    rateLimit.learn(429, new Headers({ "retry-after": "60" }));
    rateLimit.learn(200, new Headers({ "x-ratelimit-remaining": "0", "retry-after": "2" }));
    rateLimit.learn(429, new Headers({ "retry-after": "5" }));
    await rateLimit.wait(never);
    assert.equal(clock.monotonicMs(), 60_000);
  });
});

describe("an answer that says that nothing remains", () => {
  const spent = { date, "x-ratelimit-remaining": "0", "x-ratelimit-reset": inSeconds(12) };

  for (const [name, headers, waitMs] of [
    ["holds the next request back until the reset", spent, 12_000],
    ["holds nothing back while something remains", { ...spent, "x-ratelimit-remaining": "1" }, 0],
    ["holds nothing back without a reset", { "x-ratelimit-remaining": "0" }, 0],
    ["holds nothing back after the reset", { ...spent, "x-ratelimit-reset": inSeconds(0) }, 0],
  ] as const) {
    it(name, async () => {
      const clock = virtualClock(serverMs + 5 * hourMs);
      const rateLimit = createRateLimit(clock);
      assert.equal(rateLimit.learn(200, new Headers(headers)), undefined);
      await rateLimit.wait(never);
      assert.equal(clock.monotonicMs(), waitMs);
    });
  }
});

describe("the client of a tenant", () => {
  it("sends nothing before the time that a 429 names, from any pipeline", async () => {
    const clock = handClock();
    await using rig = await openTenant({ client: { clock }, tenant: { now: clock.now } });
    await getPage(rig.client);
    rig.tenant.faults.push({ status: 429, headers: { "retry-after": "30" } });
    const refused = getPage(rig.client);
    await until("the 429", () => clock.waits().length === 1);
    const other = getPage(rig.client);
    await until("the other pipeline", () => clock.waits().length === 2);
    assert.deepEqual(clock.waits(), [30_000, 30_000]);
    clock.advance(29_999);
    assert.deepEqual(clock.waits(), [1, 1]);
    assert.equal(rig.tenant.counts.logs, 2);
    clock.advance(1);
    assert.deepEqual(await Promise.all([refused, other]), ["[]", "[]"]);
    const startMs = rig.tenant.requests[0]?.atMs ?? 0;
    assert.deepEqual(
      rig.tenant.requests.map(({ status, atMs }) => [status, atMs - startMs]),
      [
        [200, 0],
        [200, 0],
        [429, 0],
        [200, 30_000],
        [200, 30_000],
      ],
    );
  });

  it("waits for the reset before it asks again, from any pipeline, when nothing remains", async () => {
    const clock = handClock();
    await using rig = await openTenant({ client: { clock } });
    const headers = {
      date,
      "x-ratelimit-limit": "10",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": inSeconds(45),
    };
    rig.tenant.faults.push({ status: 200, headers, body: [] });
    await getPage(rig.client);
    const pages = [getPage(rig.client), getPage(rig.client)];
    await until("both pipelines", () => clock.waits().length === 2);
    assert.deepEqual(clock.waits(), [45_000, 45_000]);
    assert.equal(rig.tenant.counts.logs, 1);
    clock.advance(45_000);
    await Promise.all(pages);
    assert.equal(rig.tenant.counts.logs, 3);
    assert.deepEqual(rig.retries, []);
  });

  for (const hours of [-7, 7]) {
    it(`waits as long as Auth0 means with a local clock that is ${hours} hours off`, async () => {
      await using rig = await openTenant();
      rig.clock.jump(hours * hourMs);
      const headers = { date, "x-ratelimit-reset": inSeconds(25) };
      rig.tenant.faults.push({ status: 429, headers });
      await getPage(rig.client);
      assert.equal(rig.clock.monotonicMs(), 25_000);
    });
  }

  it("waits out every 429, however long that takes, and then still has time for faults", async () => {
    await using rig = await openTenant({ client: { giveUpAfterMs: 20_000 } });
    const refusal = { status: 429, headers: { "retry-after": "60" } };
    rig.tenant.faults.push(...Array.from({ length: 20 }, () => refusal), { status: 503 });
    await getPage(rig.client);
    assert.ok(rig.clock.monotonicMs() >= 20 * 60_000);
    assert.equal(rig.tenant.counts.logs, 22);
  });

  it("does not count the wait for a reset against the time for which faults are retried", async () => {
    await using rig = await openTenant({ client: { giveUpAfterMs: 1_000 } });
    const headers = { date, "x-ratelimit-remaining": "0", "x-ratelimit-reset": inSeconds(300) };
    rig.tenant.faults.push({ status: 200, headers, body: [] }, { status: 503 });
    await getPage(rig.client);
    assert.equal(await getPage(rig.client), "[]");
    assert.equal(rig.tenant.counts.logs, 3);
  });

  it("never meets the limit of a real bucket that it empties many times", async () => {
    await using rig = await openTenant({
      tenant: { rateLimit: { burst: 4, perSecond: 20 } },
      client: { clock: systemClock },
    });
    for (let page = 0; page < 7; page++) await getPage(rig.client);
    assert.equal(rig.tenant.counts.logs, 7);
    assert.deepEqual(new Set(rig.tenant.requests.map(({ status }) => status)), new Set([200]));
  });
});
