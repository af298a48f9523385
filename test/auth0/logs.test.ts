import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Auth0Client } from "../../src/auth0/client.ts";
import { cursorAt, cursorBefore, oldestCursor } from "../../src/auth0/log-id.ts";
import { createLogs } from "../../src/auth0/logs.ts";
import type { Clock, Notice, Position } from "../../src/core/types.ts";
import { eventId } from "../../src/demo/events.ts";
import type { Fault } from "../../src/demo/tenant-faults.ts";
import { failureOf, never, openTenant, produce } from "./support.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

function sourceOf(rig: { client: Auth0Client; clock: Clock }, settleMs = 0) {
  return createLogs({ client: rig.client, clock: rig.clock, settleMs });
}

/** Everything after the position: the events' IDs, the cursor that is safe then, and what there was to tell. */
async function drain(source: ReturnType<typeof createLogs>, from: Partial<Position> = {}) {
  const position = { cursor: oldestCursor, confirmedAtMs: Date.now(), ...from };
  const ids: string[] = [];
  const notices: Notice[] = [];
  let { cursor } = position;
  for await (const page of source.read(position, never)) {
    ids.push(...page.events.map(({ id }) => id));
    notices.push(...(page.notices ?? []));
    cursor = page.cursor;
  }
  return { ids, notices, cursor };
}

const every = (count: number, stepMs: number, fromMs: number) =>
  Array.from({ length: count }, (_, index) => fromMs + index * stepMs);

describe("reading the log", () => {
  it("asks with from and take=100 and nothing else", async () => {
    await using rig = await openTenant();
    const ids = produce(rig.tenant, every(150, 1_000, Date.now() - hourMs));
    await drain(sourceOf(rig), { cursor: cursorAt(Date.now() - dayMs) });
    const [login, ...pages] = rig.tenant.requests;
    assert.equal(`${login?.method} ${login?.url}`, "POST /oauth/token");
    for (const { method, url } of pages) {
      const { pathname, searchParams } = new URL(url, rig.tenant.origin);
      assert.equal(`${method} ${pathname}`, "GET /api/v2/logs");
      assert.deepEqual([...searchParams.keys()].sort(), ["from", "take"]);
      assert.equal(searchParams.get("take"), "100");
    }
    assert.deepEqual(
      pages.slice(1).map(({ url }) => new URL(url, rig.tenant.origin).searchParams.get("from")),
      [ids[99], ids[149]],
    );
  });

  for (const count of [0, 1, 99, 100, 101, 250]) {
    it(`takes ceil(n/100) + 1 requests for ${count} events, and gives each once, in order`, async () => {
      await using rig = await openTenant();
      const ids = produce(rig.tenant, every(count, 1_000, Date.now() - hourMs));
      const read = await drain(sourceOf(rig));
      assert.deepEqual(read.ids, ids);
      assert.equal(read.cursor, ids.at(-1) ?? oldestCursor);
      assert.deepEqual(rig.tenant.counts, { token: 1, logs: Math.ceil(count / 100) + 1, log: 0 });
    });
  }

  it("goes on after the cursor in the next run, with the token of the last one", async () => {
    await using rig = await openTenant();
    const source = sourceOf(rig);
    const first = produce(rig.tenant, every(3, 1_000, Date.now() - hourMs));
    const { cursor } = await drain(source);
    assert.equal(cursor, first.at(-1));
    const second = produce(rig.tenant, every(3, 1_000, Date.now() - minuteMs));
    assert.deepEqual((await drain(source, { cursor })).ids, second);
    assert.equal(rig.tenant.counts.token, 1);
  });

  it("does not follow where the Link header points", async () => {
    await using rig = await openTenant();
    await using other = await openTenant();
    const id = eventId(Date.now() - hourMs, 1);
    const link = `<${other.tenant.origin}/api/v2/logs?from=${id}>; rel="next"`;
    rig.tenant.faults.push({ status: 200, headers: { link }, body: [{ log_id: id, type: "s" }] });
    assert.deepEqual((await drain(sourceOf(rig))).ids, [id]);
    assert.deepEqual(other.tenant.requests, []);
  });

  it("is ordered by ID, not by date", async () => {
    await using rig = await openTenant();
    const ids = [1, 2, 3].map((sequence) => eventId(Date.now() - hourMs, sequence));
    const dates = ["2026-03-01T00:00:02.000Z", "2026-03-01T00:00:01.000Z", "2026-03-01T00:00:03.000Z"];
    rig.tenant.append(...ids.map((id, index) => ({ log_id: id, type: "s", date: dates[index] })));
    assert.deepEqual((await drain(sourceOf(rig))).ids, ids);
  });
});

/** Answers with status 200, or none at all, that must not pass for a page. */
const garbage: readonly (readonly [name: string, fault: Fault, says: RegExp])[] = [
  ["HTML", { kind: "html", on: "logs" }, /other than JSON: <!doctype html><html>.*look for a proxy/],
  ["an empty body", { kind: "empty", on: "logs" }, /other than JSON: empty body/],
  ["an object", { kind: "not-array", on: "logs" }, /other than a JSON array: \{"logs":\[\]\}/],
  ["a page in the wrong order", { kind: "descending", on: "logs" }, /out of order: \d+ came after \d+/],
  ["a truncated body", { kind: "truncate", on: "logs" }, /UND_ERR_SOCKET|ECONNRESET/],
  ["a reset connection", { kind: "reset", on: "logs" }, /UND_ERR_SOCKET|ECONNRESET/],
];

describe("a page answered with", () => {
  for (const [name, fault, says] of garbage) {
    it(`${name} is asked for again, and nothing is lost`, async () => {
      await using rig = await openTenant();
      const ids = produce(rig.tenant, every(150, 1_000, Date.now() - hourMs));
      rig.tenant.faults.push(fault, fault);
      assert.deepEqual((await drain(sourceOf(rig))).ids, ids);
      assert.equal(rig.tenant.counts.logs, 2 + 3);
    });

    it(`${name} again and again is transient, never "no events"`, async () => {
      await using rig = await openTenant({ client: { giveUpAfterMs: 2_000 } });
      produce(rig.tenant, every(150, 1_000, Date.now() - hourMs));
      rig.tenant.outage = fault;
      const { message } = await failureOf(drain(sourceOf(rig)), "transient");
      assert.match(message, says);
      assert.ok(message.length < 450, message);
      assert.ok(rig.tenant.counts.logs > 2);
    });
  }

  it("at most 200 characters of garbage say so", async () => {
    await using rig = await openTenant({ client: { giveUpAfterMs: 0 } });
    rig.tenant.outage = { status: 200, on: "logs", body: "z".repeat(100_000) };
    const { message } = await failureOf(drain(sourceOf(rig)), "transient");
    assert.equal(message.match(/z/g)?.length, 200);
  });

  it("an ID at or before the cursor is an error, never a rewind", async () => {
    await using rig = await openTenant({ client: { giveUpAfterMs: 0 } });
    const id = eventId(Date.now() - hourMs, 1);
    rig.tenant.outage = { status: 200, on: "logs", body: [{ log_id: id }] };
    await failureOf(drain(sourceOf(rig), { cursor: id }), "transient");
    await failureOf(drain(sourceOf(rig), { cursor: eventId(Date.now(), 1) }), "transient");
  });

  it("400 is a config error that says what to do", async () => {
    await using rig = await openTenant();
    rig.tenant.outage = { status: 400, on: "logs", body: { statusCode: 400, message: "Invalid checkpoint" } };
    const cursor = eventId(Date.now() - hourMs, 1);
    const { message } = await failureOf(drain(sourceOf(rig), { cursor }), "config");
    assert.match(message, new RegExp(`refuses the checkpoint ${cursor}.*Invalid checkpoint`));
    assert.match(message, /checkpoint set oldest/);
    assert.equal(rig.tenant.counts.logs, 1);
  });

  it("400 when an ID is looked up leaves the decision to the page", async () => {
    await using rig = await openTenant();
    const ids = produce(rig.tenant, every(3, 1_000, Date.now() - hourMs));
    rig.tenant.outage = { status: 400, on: "log", body: { statusCode: 400, message: "Bad id" } };
    const read = await drain(sourceOf(rig), { cursor: "=12345678901234567890" });
    assert.deepEqual(read.ids, ids);
    assert.equal(read.notices[0]?.kind, "start");
    rig.tenant.faults.push({ status: 400, on: "logs", body: { statusCode: 400, message: "Bad id" } });
    await failureOf(drain(sourceOf(rig), { cursor: "=12345678901234567890" }), "config");
  });
});

describe("a start position", () => {
  const start = async (from: string, timesMs: readonly number[]) => {
    await using rig = await openTenant();
    const produced = produce(rig.tenant, timesMs);
    const source = sourceOf(rig);
    const { cursor, eventTimeMs } = await source.start(from, never);
    const startRequests = rig.tenant.requests.length;
    const read = await drain(source, { cursor, confirmedAtMs: null });
    return { ...read, produced, eventTimeMs, startRequests };
  };
  const nowMs = Date.now();
  const [old, middle, recent] = [nowMs - 20 * dayMs, nowMs - 2 * dayMs, nowMs - 2 * hourMs];
  const times = [old, middle, recent];

  it("oldest gives everything that Auth0 has", async () => {
    const read = await start("oldest", times);
    assert.deepEqual(read.ids, read.produced);
    assert.equal(read.eventTimeMs, null);
    assert.equal(read.startRequests, 0);
  });

  for (const [form, from, first] of [
    ["days ago", "-7d", 1],
    ["hours ago", "-24h", 2],
    ["minutes ago", "-90m", 3],
    ["an ISO time", new Date(middle).toISOString(), 1],
    ["an ISO time a millisecond later", new Date(middle + 1).toISOString(), 2],
    ["an ISO date", new Date(middle - dayMs).toISOString().slice(0, 10), 1],
  ] as const) {
    it(`of ${form} gives what Auth0 recorded from then on`, async () => {
      const read = await start(from, times);
      assert.deepEqual(read.ids, read.produced.slice(first));
      assert.equal(read.startRequests, 0);
      assert.ok((read.eventTimeMs ?? 0) <= (times[first] ?? Number.POSITIVE_INFINITY));
      assert.deepEqual(read.notices, []);
    });
  }

  it("of the latest gives only what comes after", async () => {
    await using rig = await openTenant();
    const source = sourceOf(rig);
    const ids = produce(rig.tenant, times);
    const started = await source.start("latest", never);
    assert.equal(started.cursor, ids.at(-1));
    assert.ok(Math.abs((started.eventTimeMs ?? 0) - recent) < 10_000);
    const later = produce(rig.tenant, [nowMs - hourMs]);
    assert.deepEqual((await drain(source, started)).ids, later);
    assert.equal(rig.tenant.requests[1]?.url, "/api/v2/logs?per_page=100&sort=date%3A-1");
  });

  it("of the latest in an empty tenant is now", async () => {
    await using rig = await openTenant();
    const started = await sourceOf(rig).start("latest", never);
    // By Auth0's clock, whose Date header has whole seconds.
    assert.equal(started.cursor, cursorAt(started.eventTimeMs ?? 0));
    assert.ok(Math.abs((started.eventTimeMs ?? 0) - rig.clock.now()) < 5_000);
  });

  it("that is an ID gives that event first, read by its ID, then those after it", async () => {
    await using rig = await openTenant();
    const source = sourceOf(rig);
    const ids = produce(rig.tenant, times);
    const started = await source.start(ids[1] ?? "", never);
    assert.deepEqual(started, { cursor: cursorBefore(ids[1] ?? ""), eventTimeMs: middle });
    const read = await drain(source, { cursor: started.cursor, confirmedAtMs: null });
    assert.deepEqual(read, { ids: ids.slice(1), notices: [], cursor: ids[2] });
    assert.deepEqual(
      rig.tenant.requests.slice(1).map(({ url }) => url.split("?")[0]),
      [`/api/v2/logs/${ids[1]}`, "/api/v2/logs", "/api/v2/logs"],
    );
  });

  it("that is the ID of an event that is gone says so and goes on after it", async () => {
    await using rig = await openTenant();
    const ids = produce(rig.tenant, times);
    const gone = eventId(middle - hourMs, 1);
    const read = await drain(sourceOf(rig), { cursor: cursorBefore(gone), confirmedAtMs: null });
    assert.deepEqual(read.ids, ids.slice(1));
    assert.deepEqual(
      read.notices.map(({ kind, lost }) => [kind, lost]),
      [["start", true]],
    );
    assert.match(read.notices[0]?.message ?? "", new RegExp(`no event ${gone}`));
  });

  it("that is the ID of an event that is gone moves the cursor, so that it is said once", async () => {
    await using rig = await openTenant();
    const gone = eventId(middle, 1);
    const read = await drain(sourceOf(rig), { cursor: cursorBefore(gone), confirmedAtMs: null });
    assert.equal(read.notices.length, 1);
    assert.equal(read.cursor, gone);
  });

  it("that cannot be read is a config error", async () => {
    await using rig = await openTenant();
    await failureOf(sourceOf(rig).start("yesterday", never), "config");
    assert.deepEqual(rig.tenant.requests, []);
  });
});

describe("settling", () => {
  it("leaves young events, by Auth0's clock, and loses none that come late with a lower ID", async () => {
    for (const localClockHours of [0, -5, 5]) {
      await using rig = await openTenant();
      rig.clock.jump(localClockHours * hourMs);
      const nowMs = Date.now();
      const [settled, young] = produce(rig.tenant, [nowMs - 120_000, nowMs - 30_000]);
      const first = await drain(sourceOf(rig, minuteMs));
      assert.deepEqual(first.ids, [settled]);
      assert.equal(first.cursor, settled);
      const [late] = produce(rig.tenant, [nowMs - 40_000]);
      const second = await drain(sourceOf(rig, 0), { cursor: first.cursor });
      assert.deepEqual(second.ids, [late, young]);
    }
  });

  it("ends the run at the first young event, though pages follow", async () => {
    await using rig = await openTenant();
    const ids = produce(rig.tenant, every(300, 1_000, Date.now() - 190_000));
    const read = await drain(sourceOf(rig, minuteMs));
    assert.deepEqual(read.ids, ids.slice(0, read.ids.length));
    assert.ok(read.ids.length >= 125 && read.ids.length <= 135, String(read.ids.length));
    assert.equal(rig.tenant.counts.logs, 2);
  });

  it("does not hold back events with IDs of another layout", async () => {
    await using rig = await openTenant();
    const ids = ["100", "101"];
    rig.tenant.append(...ids.map((id) => ({ log_id: id, type: "s" })));
    assert.deepEqual((await drain(sourceOf(rig, hourMs), { cursor: "0" })).ids, ids);
  });

  it("does not take digits that are no time, or a time far ahead, for a young event: they would never settle", async () => {
    await using rig = await openTenant();
    const noTime = "49574419589858254662358307566469418022270857965582942242";
    const farAhead = eventId(Date.now() + 400 * 24 * hourMs, 1);
    rig.tenant.append(...[noTime, farAhead].map((id) => ({ log_id: id, type: "s" })));
    assert.deepEqual((await drain(sourceOf(rig, hourMs), { cursor: "0" })).ids, [noTime, farAhead]);
  });

  it("does not take another event for the one looked up", async () => {
    await using rig = await openTenant();
    const [id = ""] = produce(rig.tenant, every(1, 1_000, Date.now() - hourMs));
    const other = { log_id: eventId(Date.now() - 2 * hourMs, 9), type: "s" };
    rig.tenant.faults.push({ status: 200, on: "log", body: other });
    assert.deepEqual((await drain(sourceOf(rig), { cursor: `=${id}` })).ids, [id]);
  });
});

describe("a checkpoint whose event is gone", () => {
  const nowMs = Date.now();
  /** A tenant with a retention of one day, and the cursor of an event that it had two days ago. */
  const open = async () => {
    const rig = await openTenant({ tenant: { retentionMs: dayMs } });
    const [cursor = ""] = produce(rig.tenant, [nowMs - 2 * dayMs]);
    const ids = produce(rig.tenant, [nowMs - 3 * hourMs, nowMs - 2 * hourMs]);
    return { ...rig, cursor, ids, [Symbol.asyncDispose]: rig[Symbol.asyncDispose] };
  };

  it("may hide a gap: the notice says from when to when, and the export goes on", async () => {
    await using rig = await open();
    const read = await drain(sourceOf(rig), { cursor: rig.cursor, confirmedAtMs: null });
    assert.deepEqual(read.ids, rig.ids);
    assert.equal(read.notices.length, 1);
    const [notice] = read.notices;
    assert.deepEqual([notice?.kind, notice?.lost], ["gap", true]);
    const [, from = "", to = ""] = /from (\S+) to (\S+):/.exec(notice?.message ?? "") ?? [];
    assert.equal(from, new Date(nowMs - 2 * dayMs).toISOString());
    const firstMs = nowMs - 3 * hourMs;
    assert.ok(Math.abs(Date.parse(to) - firstMs) < 10_000, to);
  });

  it("hides nothing from before the log was last read to its end", async () => {
    await using rig = await open();
    const confirmedAtMs = nowMs - 25 * hourMs;
    const read = await drain(sourceOf(rig), { cursor: rig.cursor, confirmedAtMs });
    assert.match(
      read.notices[0]?.message ?? "",
      new RegExp(`Possible gap from ${new Date(confirmedAtMs).toISOString()} to `),
    );
  });

  it("is told of when there is nothing to read either", async () => {
    await using rig = await openTenant();
    const cursor = eventId(nowMs - 2 * dayMs, 7);
    const read = await drain(sourceOf(rig), { cursor, confirmedAtMs: null });
    assert.deepEqual(read.ids, []);
    assert.equal(read.cursor, cursor);
    const to = new Date(rig.clock.now()).toISOString();
    assert.match(read.notices[0]?.message ?? "", new RegExp(` to ${to}: `));
  });

  for (const [name, confirmedHoursAgo, lookups] of [
    ["19 hours ago is not looked up", 19, 0],
    ["21 hours ago is looked up", 21, 1],
  ] as const) {
    it(`and was confirmed ${name}`, async () => {
      await using rig = await open();
      const confirmedAtMs = nowMs - confirmedHoursAgo * hourMs;
      const read = await drain(sourceOf(rig), { cursor: rig.cursor, confirmedAtMs });
      assert.equal(rig.tenant.counts.log, lookups);
      assert.equal(read.notices.length, lookups);
    });
  }

  it("is not looked up when the event itself is younger than 20 hours", async () => {
    await using rig = await openTenant();
    await drain(sourceOf(rig), { cursor: eventId(nowMs - 19 * hourMs, 7), confirmedAtMs: null });
    assert.equal(rig.tenant.counts.log, 0);
  });
});

describe("an old checkpoint", () => {
  it("whose event Auth0 still has hides no gap", async () => {
    await using rig = await openTenant();
    const ids = produce(rig.tenant, [Date.now() - 5 * dayMs, Date.now() - 4 * dayMs]);
    const read = await drain(sourceOf(rig), { cursor: ids[0] ?? "", confirmedAtMs: null });
    assert.deepEqual(read, { ids: ids.slice(1), notices: [], cursor: ids[1] });
    assert.equal(rig.tenant.counts.log, 1);
  });

  it("that a time was made into is not looked up", async () => {
    await using rig = await openTenant();
    const read = await drain(sourceOf(rig), {
      cursor: cursorAt(Date.now() - 9 * dayMs),
      confirmedAtMs: null,
    });
    assert.equal(rig.tenant.counts.log, 0);
    assert.deepEqual(read.notices, []);
  });
});
