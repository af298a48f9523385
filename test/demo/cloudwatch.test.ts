import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, test } from "node:test";
import {
  type CloudWatchStandIn,
  type CloudWatchStandInOptions,
  startCloudWatch,
} from "../../src/demo/cloudwatch.ts";

const nowMs = Date.UTC(2026, 5, 1);
const dayMs = 86_400_000;
const hourMs = 3_600_000;
const authorization = `AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260601/eu-central-1/logs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=${"0".repeat(64)}`;

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly message: string | undefined;
  readonly body: Record<string, unknown>;
  readonly requestId: string | null;
}

async function call(
  { url }: CloudWatchStandIn,
  action: string,
  input: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const all: Record<string, string> = {
    "content-type": "application/x-amz-json-1.1",
    "x-amz-target": `Logs_20140328.${action}`,
    "x-amz-date": "20260601T000000Z",
    authorization,
    ...headers,
  };
  const present = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
  const response = await fetch(url, { method: "POST", headers: present, body: JSON.stringify(input) });
  const body = (await response.json()) as Record<string, unknown>;
  return {
    status: response.status,
    type: body.__type as string | undefined,
    message: body.message as string | undefined,
    body,
    requestId: response.headers.get("x-amzn-requestid"),
  };
}

const open = (options: CloudWatchStandInOptions = {}) =>
  startCloudWatch({ now: () => nowMs, groups: { g: ["s", "s-2", "t"] }, ...options });

interface PutEvent {
  readonly timestamp: unknown;
  readonly message: unknown;
}

const put = (standIn: CloudWatchStandIn, logEvents: readonly PutEvent[], names = {}) =>
  call(standIn, "PutLogEvents", { logGroupName: "g", logStreamName: "s", logEvents, ...names });
const at = (...offsetsMs: number[]) =>
  offsetsMs.map((offsetMs, index) => ({ timestamp: nowMs + offsetMs, message: `{"log_id":"${index}"}` }));
const manyOf = (count: number, message: string) =>
  Array.from({ length: count }, () => ({ timestamp: nowMs, message }));

describe("PutLogEvents", () => {
  test("keeps what it accepts in order of arrival, and never deduplicates", async () => {
    await using standIn = await open();
    const events = at(-5, 0, 0);
    for (let time = 0; time < 2; time++) {
      const { status, body, requestId } = await put(standIn, events);
      assert.deepEqual([status, body], [200, {}]);
      assert.match(requestId ?? "", /^[\da-f-]{36}$/);
    }
    assert.deepEqual(standIn.events(), [...events, ...events]);
    assert.deepEqual(standIn.events("g", "t"), []);
    const { requests, events: held, distinct, rejected } = standIn.counts;
    assert.deepEqual(
      { requests, held, distinct, rejected },
      { requests: 2, held: 6, distinct: 3, rejected: 0 },
    );
    assert.deepEqual(
      standIn.requests.map(({ action, status, events: count }) => ({ action, status, count })),
      Array(2).fill({ action: "PutLogEvents", status: 200, count: 3 }),
    );
  });

  const full = 1_048_576 - 26;
  const refused: [string, readonly PutEvent[], RegExp][] = [
    ["out of order", at(0, -1), /chronological order/],
    ["more than 24 hours", at(-24 * hourMs, 1), /cannot span more than 24 hours/],
    ["more than 10,000 events", manyOf(10_001, "x"), /less than or equal to 10000/],
    ["no events", [], /greater than or equal to 1/],
    [
      "a byte too many in one event",
      manyOf(1, `${"é".repeat(full / 2)}a`),
      /Log event too large: 1048577 bytes/,
    ],
    ["a byte too many in all", manyOf(2, "a".repeat(full / 2 - 12)), /Upload too large: 1048578 bytes/],
    ["an empty message", [...at(0), { timestamp: nowMs, message: "" }], /logEvents\.2\.member\.message/],
    ["a message that is no text", [{ timestamp: nowMs, message: 1 }], /logEvents\.1\.member\.message/],
    ["a fraction as timestamp", [{ timestamp: 1.5, message: "x" }], /logEvents\.1\.member\.timestamp/],
    ["a text as timestamp", [{ timestamp: String(nowMs), message: "x" }], /member\.timestamp/],
    ["a negative timestamp", [{ timestamp: -1, message: "x" }], /member\.timestamp/],
  ];
  for (const [what, events, pattern] of refused) {
    test(`refuses the whole call for ${what}`, async () => {
      await using standIn = await open();
      const { status, type, message } = await put(standIn, events);
      assert.deepEqual([status, type], [400, "InvalidParameterException"]);
      assert.match(message ?? "", pattern);
      assert.deepEqual(standIn.events(), []);
    });
  }

  test("accepts exactly 24 hours, 10,000 events, and both byte limits to the last", async () => {
    await using standIn = await open();
    const halves = manyOf(2, "é".repeat((1_048_576 / 2 - 26) / 2));
    for (const events of [at(-24 * hourMs, 0), manyOf(10_000, "x"), manyOf(1, "a".repeat(full)), halves]) {
      assert.equal((await put(standIn, events)).status, 200);
    }
  });

  const rejections: [string, readonly number[], object, readonly number[]][] = [
    ["14 days old exactly", [-14 * dayMs], {}, [0]],
    ["older", [-20 * dayMs, -14 * dayMs - 1, -14 * dayMs], { tooOldLogEventEndIndex: 2 }, [2]],
    ["all older", [-20 * dayMs, -15 * dayMs], { tooOldLogEventEndIndex: 2 }, []],
    ["2 hours ahead exactly", [0, 2 * hourMs], {}, [0, 1]],
    ["further ahead", [0, 2 * hourMs + 1, 9 * dayMs], { tooNewLogEventStartIndex: 1 }, [0]],
    ["both", [-20 * dayMs, 0, 3 * hourMs], { tooOldLogEventEndIndex: 1, tooNewLogEventStartIndex: 2 }, [1]],
  ];
  for (const [what, offsetsMs, info, held] of rejections) {
    test(`tells which events it left out: ${what}`, async () => {
      await using standIn = await open();
      const { status, body } = await put(standIn, at(...offsetsMs));
      assert.equal(status, 200);
      assert.deepEqual(body.rejectedLogEventsInfo ?? {}, info);
      assert.deepEqual(
        standIn.events().map(({ message }) => Number(JSON.parse(message).log_id)),
        held,
      );
      assert.equal(standIn.counts.rejected, offsetsMs.length - held.length);
    });
  }

  test("leaves out what the retention has expired", async () => {
    await using standIn = await open({ retentionDays: 3 });
    const { body } = await put(standIn, at(-20 * dayMs, -3 * dayMs - 1, -3 * dayMs, -3 * dayMs));
    assert.deepEqual(body.rejectedLogEventsInfo, { tooOldLogEventEndIndex: 1, expiredLogEventEndIndex: 2 });
    assert.equal(standIn.events().length, 2);
  });

  test("refuses the whole call for a poisonous event", async () => {
    await using standIn = await open({ poison: (message) => message.includes('"1"') });
    assert.equal((await put(standIn, at(0, 0))).type, "InvalidParameterException");
    assert.equal((await put(standIn, at(0))).status, 200);
  });

  test("keeps only counts when asked to", async () => {
    await using standIn = await open({ keep: "counts" });
    await put(standIn, at(0, 0));
    await put(standIn, at(0, 0, 0));
    assert.deepEqual(standIn.events(), []);
    const { events, distinct, bytes } = standIn.counts;
    assert.deepEqual([events, distinct, bytes], [5, 3, 5 * '{"log_id":"0"}'.length]);
  });
});

describe("groups and streams", () => {
  test("must exist, and are made once", async () => {
    await using standIn = await open({ groups: {} });
    const stream = { logGroupName: "new/g", logStreamName: "new s" };
    const noGroup = ["ResourceNotFoundException", "The specified log group does not exist."];
    const noStream = ["ResourceNotFoundException", "The specified log stream does not exist."];
    const answer = async (action: string, input: object) => {
      const { status, type, message } = await call(standIn, action, input);
      return status === 200 ? [status] : [type, message];
    };
    const putInput = { ...stream, logEvents: at(0) };
    assert.deepEqual(await answer("PutLogEvents", putInput), noGroup);
    assert.deepEqual(await answer("DescribeLogStreams", { logGroupName: "new/g" }), noGroup);
    assert.deepEqual(await answer("CreateLogStream", stream), noGroup);
    assert.deepEqual(await answer("CreateLogGroup", { logGroupName: "new/g" }), [200]);
    assert.equal(
      (await answer("CreateLogGroup", { logGroupName: "new/g" }))[0],
      "ResourceAlreadyExistsException",
    );
    assert.deepEqual(await answer("PutLogEvents", putInput), noStream);
    assert.deepEqual(await answer("CreateLogStream", stream), [200]);
    assert.equal((await answer("CreateLogStream", stream))[0], "ResourceAlreadyExistsException");
    assert.deepEqual(await answer("PutLogEvents", putInput), [200]);
    assert.equal(standIn.events("new/g", "new s").length, 1);
  });

  test("have names of AWS's patterns", async () => {
    await using standIn = await open();
    for (const logGroupName of ["", "a b", "ä", "x".repeat(513), "aws/mine", undefined]) {
      assert.equal(
        (await call(standIn, "CreateLogGroup", { logGroupName })).type,
        "InvalidParameterException",
      );
    }
    for (const logStreamName of ["", "a:b", "a*", "x".repeat(513), undefined]) {
      const { type } = await call(standIn, "CreateLogStream", { logGroupName: "g", logStreamName });
      assert.equal(type, "InvalidParameterException");
      assert.equal((await put(standIn, at(0), { logStreamName })).type, "InvalidParameterException");
    }
  });

  test("are described by prefix, sorted, page by page", async () => {
    await using standIn = await open({ groups: { g: ["t", "s-2", "s", "s-10"] } });
    const page = async (more: object) => {
      const { body } = await call(standIn, "DescribeLogStreams", { logGroupName: "g", ...more });
      const streams = body.logStreams as { logStreamName: string }[];
      return { names: streams.map(({ logStreamName }) => logStreamName), nextToken: body.nextToken };
    };
    assert.deepEqual(await page({}), { names: ["s", "s-10", "s-2", "t"], nextToken: undefined });
    const first = await page({ logStreamNamePrefix: "s", limit: 2 });
    assert.deepEqual(first.names, ["s", "s-10"]);
    const second = await page({ logStreamNamePrefix: "s", limit: 2, nextToken: first.nextToken });
    assert.deepEqual(second, { names: ["s-2"], nextToken: undefined });
    for (const limit of [0, 51, 1.5, "2"]) {
      const { type } = await call(standIn, "DescribeLogStreams", { logGroupName: "g", limit });
      assert.equal(type, "InvalidParameterException");
    }
  });
});

describe("requests", () => {
  const wrong: [string, Record<string, string>, string][] = [
    ["without a signature", { authorization: "" }, "MissingAuthenticationTokenException"],
    ["without a date", { "x-amz-date": "" }, "MissingAuthenticationTokenException"],
    ["with another scheme", { authorization: "Bearer x" }, "IncompleteSignatureException"],
    [
      "signed for another service",
      { authorization: authorization.replace("/logs/", "/s3/") },
      "InvalidSignatureException",
    ],
    [
      "signed for another region",
      { authorization: authorization.replace("eu-", "us-") },
      "InvalidSignatureException",
    ],
    ["signed on another day", { "x-amz-date": "20260602T000000Z" }, "InvalidSignatureException"],
    [
      "with an unknown key",
      { authorization: authorization.replace("AKIA", "ASIA") },
      "UnrecognizedClientException",
    ],
    ["of an unknown action", { "x-amz-target": "Logs_20140328.toString" }, "UnknownOperationException"],
    ["of another content type", { "content-type": "application/json" }, "UnknownOperationException"],
  ];
  for (const [what, headers, type] of wrong) {
    test(`${what} are refused`, async () => {
      await using standIn = await open({ region: "eu-central-1", accessKeyId: "AKIAEXAMPLE" });
      const answer = await call(standIn, "DescribeLogStreams", { logGroupName: "g" }, headers);
      assert.equal(answer.type, type);
      assert.ok(answer.requestId);
    });
  }

  test("that are no JSON object are refused", async () => {
    await using standIn = await open();
    assert.equal((await call(standIn, "PutLogEvents", null)).type, "SerializationException");
  });

  test("are remembered with what they carried", async () => {
    await using standIn = await open();
    await put(standIn, at(0));
    const [first] = standIn.requests;
    assert.deepEqual([first?.events, (first?.bytes ?? 0) > 50], [1, true]);
  });

  test("are forgotten from the 10,001st on, oldest first", async () => {
    await using standIn = await open();
    await put(standIn, at(0));
    const socket = connect(Number(new URL(standIn.url).port), "127.0.0.1").resume();
    socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".repeat(10_000));
    while (standIn.counts.requests < 10_001) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(standIn.requests.length, 10_000);
    assert.ok(!standIn.requests.some(({ action }) => action === "PutLogEvents"));
    socket.destroy();
  });

  test("are held back by the latency", async () => {
    await using standIn = await open({ latencyMs: 40 });
    const startMs = performance.now();
    await put(standIn, at(0));
    assert.ok(performance.now() - startMs >= 39);
  });
});

describe("faults", () => {
  test("are used up one by one, each by the action it waits for", async () => {
    await using standIn = await open();
    standIn.faults.push({ status: 418, type: "Teapot", on: "CreateLogGroup" }, "throttle");
    assert.equal((await put(standIn, at(0))).type, "ThrottlingException");
    assert.equal((await put(standIn, at(0))).status, 200);
    const answer = await call(standIn, "CreateLogGroup", { logGroupName: "n" });
    assert.deepEqual([answer.status, answer.type], [418, "Teapot"]);
    assert.equal((await call(standIn, "CreateLogGroup", { logGroupName: "n" })).status, 200);
    assert.deepEqual(standIn.faults, []);
  });

  test("of an outage meet every request until it ends, and use up no other", async () => {
    await using standIn = await open();
    standIn.faults.push("throttle");
    standIn.outage = { status: 503, type: "ServiceUnavailableException" };
    for (let time = 0; time < 3; time++) assert.equal((await put(standIn, at(0))).status, 503);
    standIn.outage = null;
    assert.equal((await put(standIn, at(0))).type, "ThrottlingException");
    assert.equal((await put(standIn, at(0))).status, 200);
  });

  test("reset the connection before or after the events are stored", async () => {
    await using standIn = await open();
    standIn.faults.push("reset", "reset-after-accept");
    await assert.rejects(put(standIn, at(0)));
    assert.equal(standIn.counts.events, 0);
    await assert.rejects(put(standIn, at(0)));
    assert.equal(standIn.counts.events, 1);
    assert.deepEqual(
      standIn.requests.map(({ status, events }) => [status, events]),
      [
        [0, 0],
        [0, 1],
      ],
    );
  });

  test("that hang end when the stand-in closes", async () => {
    const standIn = await open();
    standIn.faults.push("hang", "hang-after-accept", "hang-in-body");
    const hanging = [put(standIn, at(0)), put(standIn, at(0)), put(standIn, at(0))];
    const ended = Promise.allSettled(hanging);
    while (standIn.requests.length < 3) await new Promise((resolve) => setTimeout(resolve, 1));
    await standIn.close();
    assert.deepEqual(
      (await ended).map(({ status }) => status),
      ["rejected", "rejected", "rejected"],
    );
    assert.equal(standIn.counts.events, 2);
  });

  test("answer with a page, or with nothing at all, and with no request ID", async () => {
    await using standIn = await open();
    standIn.faults.push("html", "empty");
    for (const pattern of [/^<html>/, /^$/]) {
      const response = await fetch(standIn.url, { method: "POST", body: "{}" });
      assert.equal(response.status, 200);
      assert.match(await response.text(), pattern);
      assert.equal(response.headers.get("x-amzn-requestid"), null);
    }
  });
});
