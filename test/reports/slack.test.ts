import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { after, describe, it } from "node:test";
import { inspect } from "node:util";
import { ExportError } from "../../src/core/errors.ts";
import { type SlackStandInOptions, startSlack } from "../../src/demo/slack.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { createSlackPoster, slackUrlProblem } from "../../src/reports/slack.ts";
import { renderReport, testMessage } from "../../src/reports/slack-message.ts";
import { virtualClock } from "../support/clock.ts";
import { failedRun, recordingLog } from "./support.ts";

const never = new AbortController().signal;
const message = testMessage("acme.eu.auth0.com");
const closers: (() => Promise<void>)[] = [];

after(async () => {
  for (const close of closers) await close();
});

/** A stand-in and a poster on the same clock, where waits take no time. */
async function start(options: SlackStandInOptions = {}) {
  const clock = virtualClock();
  const slack = await startSlack({ clock, burst: 1, ...options });
  closers.push(slack.close);
  const { log, lines } = recordingLog();
  const poster = createSlackPoster({ url: slack.url, clock, log });
  return { clock, slack, log, lines, poster };
}

/** A server that is not Slack, in front of a path with a secret. */
async function startOther(listener: RequestListener, port = 0) {
  const server = createServer(listener).listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  closers.push(close);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/secrettoken`;
  const { log, lines } = recordingLog();
  return { url, close, lines, poster: createSlackPoster({ url, clock: virtualClock(), log }) };
}

function assertWarned(lines: readonly string[], pattern: RegExp): void {
  assert.equal(lines.length, 1, lines.join("\n"));
  const { level, msg } = JSON.parse(lines[0] ?? "");
  assert.equal(level, 40);
  assert.match(msg, pattern);
}

describe("a post", () => {
  it("is the message and nothing else", async () => {
    const { slack, lines, poster } = await start();
    const report = renderReport({
      tenant: "acme.eu.auth0.com",
      run: failedRun(),
      streak: null,
      warnings: { rejected: 0, notices: [], crashedAtMs: [] },
    });
    assert.equal(await poster.post(report, never), true);
    assert.deepEqual(slack.messages, [JSON.parse(JSON.stringify(report))]);
    assert.deepEqual(lines, []);
  });

  const refusals: [number, string, RegExp][] = [
    [
      404,
      "no_service",
      /no_service \(HTTP 404\)\. Slack does not know the webhook any more: create a new one/,
    ],
    [403, "invalid_token", /invalid_token \(HTTP 403\)\. Slack does not know the webhook/],
    [410, "channel_is_archived", /channel_is_archived \(HTTP 410\)\. Unarchive/],
    [404, "channel_not_found", /channel_not_found \(HTTP 404\)\. The webhook's channel was deleted/],
    [403, "action_prohibited", /action_prohibited \(HTTP 403\)\. The workspace forbids/],
    [400, "invalid_blocks", /invalid_blocks \(HTTP 400\)\..* please report it/],
    [500, "rollup_error", /rollup_error \(HTTP 500\)\. Slack has a fault/],
    [503, "<html>Service Unavailable</html>", /HTTP 503\. Slack has a fault/],
    [407, "", /the connection failed: fetch failed.* Check the network and the proxy/],
    [418, "", /HTTP 418\. That is not how a webhook answers/],
    [200, "<html>Please log in</html>", /HTTP 200\. That is not how a webhook answers/],
  ];
  for (const [status, body, warning] of refusals) {
    it(`that is answered with ${status} ${body} is one warning and no second try`, async () => {
      const { slack, lines, poster } = await start();
      slack.faults.push({ status, body });
      assert.equal(await poster.post(message, never), false);
      assertWarned(lines, warning);
      assert.equal(slack.requests.length, 1);
    });
  }

  it("does not follow a redirect", async () => {
    const { slack, lines, poster } = await start();
    slack.faults.push({ status: 302, headers: { location: slack.url } });
    assert.equal(await poster.post(message, never), false);
    assertWarned(lines, /HTTP 302\. It is a redirect/);
    assert.equal(slack.requests.length, 1);
  });

  it("is not made again when the connection breaks, for Slack may have it", async () => {
    const { clock, slack, lines, poster } = await start();
    slack.faults.push("reset-after-accept");
    assert.equal(await poster.post(message, never), false);
    assertWarned(lines, /the connection failed: /);
    assert.equal(slack.messages.length, 1);
    slack.faults.push("reset");
    clock.advance(1_000);
    assert.equal(await poster.post(message, never), false);
    assert.equal(slack.requests.length, 2);
  });

  it("is tried once more when there was no connection", async () => {
    const { url, close, lines } = await startOther((_request, response) => response.end("ok"));
    await close();
    const clock = virtualClock();
    const { log } = recordingLog();
    const waits: number[] = [];
    const recordingClock = {
      ...clock,
      sleep: (ms: number, signal: AbortSignal) => {
        waits.push(ms);
        return clock.sleep(ms, signal);
      },
    };
    const refused = createSlackPoster({ url, clock: recordingClock, log });
    assert.equal(await refused.post(message, never), false);
    assert.equal(waits.length, 2, "one wait before the second try, one to keep to one a second");
    assert.deepEqual(lines, []);

    const { port } = new URL(url);
    const revivingClock = {
      ...clock,
      sleep: async (ms: number, signal: AbortSignal) => {
        if (revived === null)
          revived = await startOther((_request, response) => response.end("ok"), Number(port));
        return clock.sleep(ms, signal);
      },
    };
    let revived: Awaited<ReturnType<typeof startOther>> | null = null;
    const poster = createSlackPoster({ url, clock: revivingClock, log });
    assert.equal(await poster.post(message, never), true);
  });

  it("accepts what a relay answers instead of ok", async () => {
    const { poster, lines } = await startOther((_request, response) => response.writeHead(204).end());
    assert.equal(await poster.post(message, never), true);
    assert.deepEqual(lines, []);
  });

  it("reads no more than a little of an endless answer", async () => {
    const closed = Promise.withResolvers<void>();
    const { poster, lines } = await startOther((_request, response) => {
      response.writeHead(500).on("close", closed.resolve);
      const write = (): void => {
        while (!response.destroyed && response.write("x".repeat(65_536)));
        response.once("drain", write);
      };
      write();
    });
    assert.equal(await poster.post(message, never), false);
    assertWarned(lines, /HTTP 500/);
    await closed.promise;
  });
});

describe("the rate limit", () => {
  it("lets one message a second through, in order", async () => {
    const { slack, lines, poster } = await start();
    const tenants = Array.from({ length: 8 }, (_, at) => `tenant-${at}`);
    const posted = await Promise.all(tenants.map((tenant) => poster.post(testMessage(tenant), never)));
    assert.deepEqual(posted, Array(8).fill(true));
    assert.deepEqual(
      slack.messages.map(({ text }) => text),
      tenants.map((tenant) => testMessage(tenant).text),
    );
    const times = slack.requests.map(({ atMs }) => atMs);
    for (const [at, atMs] of times.slice(1).entries()) assert.ok(atMs - (times[at] ?? 0) >= 1_000);
    assert.deepEqual(lines, []);
  });

  const pauses: [string, string | undefined, number][] = [
    ["seconds", "7", 7_000],
    ["a date", "Thu, 01 Jan 2026 00:00:05 GMT", 5_000],
    ["a date in the past", "Thu, 01 Jan 2015 00:00:05 GMT", 1_000],
    ["nonsense", "soon", 1_000],
    ["nothing", undefined, 1_000],
  ];
  for (const [what, value, pauseMs] of pauses) {
    it(`waits as long as a 429 asks, in ${what}`, async () => {
      const { clock, slack, lines, poster } = await start();
      const headers = value === undefined ? {} : { "retry-after": value };
      slack.faults.push({ status: 429, body: "rate_limited", headers });
      assert.equal(await poster.post(message, never), true);
      assert.equal(clock.monotonicMs(), pauseMs);
      assert.equal(slack.messages.length, 1);
      assert.deepEqual(lines, []);
    });
  }

  it("gives up at once on a pause that is too long, and sends nothing until it is over", async () => {
    const { clock, slack, lines, poster } = await start();
    slack.faults.push({ status: 429, headers: { "retry-after": "60" } });
    assert.equal(await poster.post(message, never), false);
    assertWarned(lines, /no more messages for 60 s/);
    clock.advance(40_000);
    assert.equal(await poster.post(message, never), false);
    assert.equal(slack.requests.length, 1);
    clock.advance(15_000);
    assert.equal(await poster.post(message, never), true);
    assert.equal(clock.monotonicMs(), 60_000);
  });

  it("obeys no pause for ever", async () => {
    const { clock, slack, poster } = await start();
    slack.faults.push({ status: 429, headers: { "retry-after": "99999999999" } });
    assert.equal(await poster.post(message, never), false);
    clock.advance(3_600_000);
    assert.equal(await poster.post(message, never), true);
  });
});

describe("the time-out", () => {
  it("covers a server that does not answer, and the posts behind it", async () => {
    const slack = await startSlack();
    closers.push(slack.close);
    slack.outage = "hang";
    const { log, lines } = recordingLog();
    const poster = createSlackPoster({ url: slack.url, timeoutMs: 200, clock: systemClock, log });
    const startedAtMs = performance.now();
    const posted = await Promise.all([1, 2, 3].map(() => poster.post(message, never)));
    const tookMs = performance.now() - startedAtMs;
    assert.deepEqual(posted, [false, false, false]);
    assert.ok(tookMs >= 190 && tookMs < 2_000, `took ${tookMs} ms`);
    assert.equal(slack.requests.length, 1);
    assert.equal(lines.length, 3);
    assert.match(lines[0] ?? "", /there was no answer within 0\.2 s/);
    slack.outage = null;
    const after = createSlackPoster({ url: slack.url, clock: systemClock, log });
    assert.equal(await after.post(message, never), true);
  });

  it("covers an answer that does not end", async () => {
    const { url } = await startOther((_request, response) => void response.writeHead(200).write("o"));
    const { log, lines } = recordingLog();
    const poster = createSlackPoster({ url, timeoutMs: 100, clock: systemClock, log });
    assert.equal(await poster.post(message, never), false);
    assertWarned(lines, /no answer within 0\.1 s/);
  });

  it("is cut short by the signal", async () => {
    const arrived = Promise.withResolvers<void>();
    const { slack, lines, poster } = await start({ onRequest: () => arrived.resolve() });
    slack.outage = "hang";
    const stop = new AbortController();
    const posts = [poster.post(message, stop.signal), poster.post(message, stop.signal)];
    await arrived.promise;
    stop.abort();
    assert.deepEqual(await Promise.all(posts), [false, false]);
    assert.equal(await poster.post(message, stop.signal), false);
    for (const line of lines) assert.match(line, /the exporter is stopping/);
    assert.equal(slack.requests.length, 1);
  });

  it("drops the oldest of more than 100 waiting messages", async () => {
    const arrived = Promise.withResolvers<void>();
    const { slack, lines, poster } = await start({ onRequest: () => arrived.resolve() });
    slack.outage = "hang";
    const stop = new AbortController();
    const settled: number[] = [];
    const posts = [poster.post(message, stop.signal)];
    await arrived.promise;
    for (let at = 1; at <= 102; at++) {
      posts.push(poster.post(message, stop.signal));
      posts.at(-1)?.then(
        () => settled.push(at),
        () => settled.push(-1),
      );
    }
    assert.deepEqual(await Promise.all([posts[1], posts[2]]), [false, false]);
    assert.deepEqual(settled, [1, 2]);
    assert.equal(lines.length, 2);
    assert.match(lines[0] ?? "", /more than 100 were waiting/);
    stop.abort();
    assert.deepEqual(await Promise.all(posts), Array(103).fill(false));
  });
});

describe("the webhook's URL", () => {
  it("shows in no warning, whatever a server says", async () => {
    const bodies = ["secrettoken", "no such page: /hook/secrettoken", "<a href='/hook/secrettoken'>"];
    for (const body of bodies) {
      const { poster, lines } = await startOther((_request, response) => response.writeHead(404).end(body));
      assert.equal(await poster.post(message, never), false);
      assertWarned(lines, /the answer was HTTP 404/);
      assert.ok(!lines.join().includes("secrettoken"));
    }
  });

  it("shows in no warning when the connection fails", async () => {
    const { slack, lines, poster } = await start();
    slack.faults.push("reset");
    await poster.post(message, never);
    await slack.close();
    await poster.post(message, never);
    assert.equal(lines.length, 2);
    assert.ok(!lines.join().includes("XXXX"));
  });

  it("does not show when the poster is printed", async () => {
    const { poster } = await start();
    await poster.post(message, never);
    const shown = inspect(poster, { depth: null, showHidden: true }) + JSON.stringify(poster);
    assert.ok(!shown.includes("T000"));
  });

  it("is refused without being shown", () => {
    const { log } = recordingLog();
    const url = "ftp://example.com/secrettoken";
    assert.throws(
      () => createSlackPoster({ url, clock: systemClock, log }),
      (error: unknown) =>
        error instanceof ExportError && error.kind === "config" && !inspect(error).includes("secrettoken"),
    );
  });

  const good = [
    "https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/abcDEF123ghiJKL456mnoPQR",
    "https://hooks.slack-gov.com/services/T01ABCDEF/B01ABCDEF/abcDEF123ghiJKL456mnoPQR",
    "https://mattermost.example.com/hooks/xyz",
    "http://127.0.0.1:8080/services/T000/B000/XXXX",
    "http://localhost/hook",
    "http://[::1]:80/hook",
  ];
  for (const url of good) {
    it(`may be ${url}`, () => assert.equal(slackUrlProblem(url), null));
  }

  const bad: [string, RegExp][] = [
    ["", /^is not a URL/],
    ["hooks.slack.com/services/T0/B0/secret", /^is not a URL/],
    ['"https://hooks.slack.com/services/T0/B0/secret"', /^is not a URL/],
    ["http://hooks.slack.com/services/T0/B0/secret", /^must begin with https/],
    ["http://relay.example.com/secret", /^must begin with https/],
    ["https://user:secret@relay.example.com/", /^must not hold a user name/],
    ["https://hook.slack.com/services/T0/B0/secret", /^is on a host of Slack that has no incoming webhooks/],
    ["https://slack.com/api/secret", /^is on a host of Slack/],
    ["https://hooks.slack.com/triggers/T0/1/secret", /^starts a workflow/],
    ["https://hooks.slack.com/workflows/T0/A0/1/secret", /^starts a workflow/],
    ["https://hooks.slack.com/services/T0/B0", /^is incomplete/],
    ["https://hooks.slack.com/services/T0/B0/secret/", /^is incomplete or has more/],
    ["https://hooks.slack.com/services/T0/B0/secret?x=1", /^is incomplete or has more/],
    ["https://hooks.slack.com/services/secret", /^is incomplete/],
  ];
  for (const [url, problem] of bad) {
    it(`may not be ${url || "empty"}, and the problem does not show it`, () => {
      assert.match(slackUrlProblem(url) ?? "", problem);
      assert.doesNotMatch(slackUrlProblem(url) ?? "", /secret/);
    });
  }
});
