import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { type SlackStandInOptions, slackRefusal, startSlack } from "../../src/demo/slack.ts";
import { virtualClock } from "../support/clock.ts";

const text = (length: number) => "x".repeat(length);
const plain = (length: number) => ({ type: "plain_text", text: text(length) });
const mrkdwn = (length: number) => ({ type: "mrkdwn", text: text(length) });
const section = (length: number) => ({ type: "section", text: plain(length) });

describe("slackRefusal", () => {
  const cases: [string, unknown, string | null][] = [
    ["a text", { text: "hello" }, null],
    ["blocks without a text", { blocks: [section(1)] }, null],
    ["nothing", {}, "no_text"],
    ["an empty text", { text: "" }, "no_text"],
    ["no object", ["hello"], "invalid_payload"],
    ["null", null, "invalid_payload"],
    ["a text that is no string", { text: 1 }, "invalid_payload"],
    ["half a character", { text: "\ud83d" }, "invalid_payload"],
    [
      "half a character in a block",
      { blocks: [{ type: "section", text: { type: "mrkdwn", text: "\udc00" } }] },
      "invalid_payload",
    ],
    ["the longest text", { text: text(40_000) }, null],
    ["a text too long", { text: text(40_001) }, "msg_too_long"],
    ["100 attachments", { attachments: Array(100).fill({}) }, null],
    ["101 attachments", { attachments: Array(101).fill({}) }, "too_many_attachments"],
    ["50 blocks", { blocks: Array(50).fill({ type: "divider" }) }, null],
    ["51 blocks", { blocks: Array(51).fill({ type: "divider" }) }, "invalid_blocks"],
    ["an unknown block", { blocks: [{ type: "banner" }] }, "invalid_blocks"],
    ["the longest header", { blocks: [{ type: "header", text: plain(150) }] }, null],
    ["a header too long", { blocks: [{ type: "header", text: plain(151) }] }, "invalid_blocks"],
    ["a header in mrkdwn", { blocks: [{ type: "header", text: mrkdwn(1) }] }, "invalid_blocks"],
    ["the longest section", { blocks: [section(3_000)] }, null],
    ["a section too long", { blocks: [section(3_001)] }, "invalid_blocks"],
    ["an empty section text", { blocks: [section(0)] }, "invalid_blocks"],
    ["a section without content", { blocks: [{ type: "section" }] }, "invalid_blocks"],
    ["10 fields", { blocks: [{ type: "section", fields: Array(10).fill(mrkdwn(10)) }] }, null],
    ["11 fields", { blocks: [{ type: "section", fields: Array(11).fill(mrkdwn(10)) }] }, "invalid_blocks"],
    ["no fields", { blocks: [{ type: "section", fields: [] }] }, "invalid_blocks"],
    ["the longest field", { blocks: [{ type: "section", fields: [mrkdwn(2_000)] }] }, null],
    ["a field too long", { blocks: [{ type: "section", fields: [mrkdwn(2_001)] }] }, "invalid_blocks"],
    ["a context", { blocks: [{ type: "context", elements: [mrkdwn(10)] }] }, null],
    [
      "verbatim on plain text",
      { blocks: [{ type: "section", text: { ...plain(1), verbatim: true } }] },
      "invalid_blocks",
    ],
    ["verbatim on mrkdwn", { blocks: [{ type: "section", text: { ...mrkdwn(1), verbatim: true } }] }, null],
    ["an unknown property", { blocks: [{ ...section(1), colour: "red" }] }, "invalid_blocks"],
    ["many long blocks", { blocks: Array(4).fill(section(3_000)) }, null],
    ["too much in all", { blocks: Array(5).fill(section(2_700)) }, "msg_blocks_too_long"],
  ];
  for (const [what, payload, refusal] of cases) {
    it(`${refusal === null ? "accepts" : "refuses"} ${what}`, () => {
      assert.equal(slackRefusal(payload), refusal);
    });
  }
});

describe("the Slack stand-in", () => {
  const closers: (() => Promise<void>)[] = [];
  after(async () => {
    for (const close of closers) await close();
  });

  async function start(options: SlackStandInOptions = {}) {
    const slack = await startSlack(options);
    closers.push(slack.close);
    const post = async (payload: unknown, init: RequestInit = {}, path = "") => {
      const headers = { "content-type": "application/json" };
      const body = JSON.stringify(payload);
      const response = await fetch(slack.url + path, { method: "POST", headers, body, ...init });
      return {
        status: response.status,
        body: await response.text(),
        retryAfter: response.headers.get("retry-after"),
      };
    };
    return { slack, post };
  }

  it("accepts a message and keeps it", async () => {
    const { slack, post } = await start();
    assert.deepEqual(await post({ text: "hello" }), { status: 200, body: "ok", retryAfter: null });
    assert.deepEqual(slack.messages, [{ text: "hello" }]);
    assert.deepEqual(
      slack.requests.map(({ method, path }) => `${method} ${path}`),
      ["POST /services/T000/B000/XXXX"],
    );
  });

  it("refuses what is no message for it", async () => {
    const { slack, post } = await start({ burst: 10 });
    const answers = [
      await post({}),
      await post({ text: "hello" }, { body: "{" }),
      await post({ text: "hello" }, { headers: { "content-type": "text/plain" } }),
      await post({ text: "hello" }, {}, "/more"),
      await post({ text: "hello" }, { method: "PUT" }),
      await post({ blocks: [{ type: "header" }] }),
    ];
    assert.deepEqual(
      answers.map(({ status, body }) => `${status} ${body}`),
      [
        "400 no_text",
        "400 invalid_payload",
        "400 invalid_payload",
        "404 no_service",
        "405 method_not_allowed",
        "400 invalid_blocks",
      ],
    );
    assert.deepEqual(slack.messages, []);
  });

  it("takes one message a second after a burst", async () => {
    const clock = virtualClock();
    const { slack, post } = await start({ clock, burst: 2 });
    const message = { text: "hello" };
    const statuses = [(await post(message)).status, (await post(message)).status];
    const refused = await post(message);
    clock.advance(999);
    statuses.push((await post(message)).status);
    clock.advance(1);
    statuses.push((await post(message)).status);
    assert.deepEqual(statuses, [200, 200, 429, 200]);
    assert.deepEqual(refused, { status: 429, body: "rate_limited", retryAfter: "1" });
    assert.equal(slack.messages.length, 3);
  });

  it("fails as it is told, then as long as the outage lasts", async () => {
    const { slack, post } = await start({ burst: 10 });
    const message = { text: "hello" };
    slack.faults.push({ status: 410, body: "channel_is_archived", headers: { "retry-after": "7" } });
    slack.faults.push("reset", "reset-after-accept");
    assert.deepEqual(await post(message), { status: 410, body: "channel_is_archived", retryAfter: "7" });
    await assert.rejects(post(message), TypeError);
    assert.equal(slack.messages.length, 0);
    await assert.rejects(post(message), TypeError);
    assert.equal(slack.messages.length, 1);

    slack.outage = { status: 503 };
    assert.equal((await post(message)).status, 503);
    assert.equal((await post(message)).status, 503);
    slack.outage = null;
    assert.equal((await post(message)).status, 200);

    slack.faults.push("hang");
    await assert.rejects(post(message, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
    assert.equal(slack.messages.length, 2);
  });

  it("keeps the newest 1,000 requests", async () => {
    const { slack, post } = await start();
    slack.outage = { status: 503 };
    await post({ text: "first" }, {}, "/first");
    for (let sent = 0; sent < 1_000; sent += 50) {
      await Promise.all(Array.from({ length: 50 }, () => post({ text: "more" })));
    }
    assert.equal(slack.requests.length, 1_000);
    assert.ok(slack.requests.every(({ path }) => !path.endsWith("/first")));
  });
});
