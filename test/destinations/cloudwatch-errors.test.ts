import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import { pino } from "pino";
import { ExportError, type ExportErrorKind } from "../../src/core/errors.ts";
import type { CloudWatchFault } from "../../src/demo/cloudwatch.ts";
import { createCloudWatch } from "../../src/destinations/cloudwatch/index.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { sampleEvents } from "../contract/destination.ts";
import { credentials, group, openCloudWatch, region, stream } from "../support/cloudwatch.ts";

const { signal } = new AbortController();

/** What one faulty answer to PutLogEvents is thrown as. */
async function errorFor(fault: CloudWatchFault): Promise<ExportError> {
  await using cloud = await openCloudWatch();
  cloud.standIn.faults.push(fault);
  return await errorOf(cloud.destination.send(sampleEvents(2), signal));
}

async function errorOf(sending: Promise<unknown>): Promise<ExportError> {
  const error = await sending.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ExportError, String(error));
  return error;
}

const cases: [string, CloudWatchFault, ExportErrorKind, RegExp][] = [
  [
    "ThrottlingException",
    "throttle",
    "rate_limited",
    /PutLogEvents: ThrottlingException \(HTTP 400\): Rate exceeded/,
  ],
  ["LimitExceededException", { status: 400, type: "LimitExceededException" }, "rate_limited", /quota/],
  ["429 of a proxy", { status: 429, body: "<html>slow down</html>" }, "rate_limited", /HTTP 429/],
  [
    "ServiceUnavailableException",
    { status: 503, type: "ServiceUnavailableException" },
    "transient",
    /HTTP 503/,
  ],
  ["InternalFailure", { status: 500, type: "InternalFailure" }, "transient", /health\.aws/],
  ["502 of a proxy", { status: 502, body: "<html>bad gateway</html>" }, "transient", /HTTP 502/],
  ["504 with no body", { status: 504, body: "" }, "transient", /HTTP 504/],
  ["408", { status: 408, type: "RequestTimeoutException" }, "transient", /HTTP 408/],
  [
    "RequestAbortedException",
    { status: 400, type: "RequestAbortedException" },
    "transient",
    /RequestAborted/,
  ],
  [
    "OperationAbortedException",
    { status: 400, type: "OperationAbortedException" },
    "transient",
    /OperationAborted/,
  ],
  ["a 200 with a page", "html", "transient", /HTTP 200 with a body that is not JSON.*proxy/],
  ["a 200 with nothing", "empty", "transient", /200 without a request ID.*proxy/],
  [
    "a 200 that is too long",
    { status: 200, body: " ".repeat(1_100_000) },
    "transient",
    /more than 1048576 bytes/,
  ],
  [
    "a redirect to a page",
    { status: 302, body: "<html/>", headers: { location: "/" } },
    "transient",
    /HTTP 302.*proxy/,
  ],
  ["a connection reset", "reset", "transient", /ECONNRESET/],
  [
    "AccessDeniedException",
    { status: 400, type: "AccessDeniedException" },
    "auth",
    /Allow logs:PutLogEvents on arn:aws:logs:\*:\*:log-group:\/auth0\/tenant:\*/,
  ],
  [
    "UnrecognizedClientException",
    { status: 400, type: "UnrecognizedClientException" },
    "auth",
    /AWS_ACCESS_KEY_ID/,
  ],
  ["InvalidClientTokenId", { status: 403, type: "InvalidClientTokenId" }, "auth", /AWS_ACCESS_KEY_ID/],
  ["ExpiredTokenException", { status: 400, type: "ExpiredTokenException" }, "auth", /Renew the credentials/],
  ["InvalidSignatureException", { status: 400, type: "InvalidSignatureException" }, "auth", /AWS_SECRET_KEY/],
  [
    "MissingAuthenticationToken",
    { status: 403, type: "MissingAuthenticationToken" },
    "auth",
    /AWS_ACCESS_KEY_ID/,
  ],
  ["OptInRequired", { status: 403, type: "OptInRequired" }, "auth", /Enable the region/],
  ["403 of a firewall", { status: 403, body: "<html>blocked</html>" }, "auth", /firewall/],
  ["407 of a proxy", { status: 407, body: "" }, "auth", /HTTPS_PROXY/],
  ["an exception nobody knows", { status: 400, type: "TeapotException" }, "permanent", /TeapotException/],
];

describe("errors of CloudWatch Logs", () => {
  for (const [name, fault, kind, pattern] of cases) {
    test(`${name} is ${kind}`, async () => {
      const error = await errorFor(fault);
      assert.equal(error.kind, kind, error.message);
      assert.match(error.message, pattern);
      assert.equal(error.retryAfterMs, undefined);
      assert.ok(!error.message.includes("\n") && error.message.length < 700, error.message);
    });
  }

  test("carry what Retry-After asks for, in seconds or as a date", async () => {
    const inSeconds = await errorFor({ status: 503, headers: { "retry-after": "12" } });
    assert.equal(inSeconds.retryAfterMs, 12_000);
    const date = new Date(Date.now() + 60_000).toUTCString();
    const { retryAfterMs = 0 } = await errorFor({ status: 429, headers: { "retry-after": date } });
    assert.ok(retryAfterMs > 50_000 && retryAfterMs <= 60_000, String(retryAfterMs));
    assert.equal(
      (await errorFor({ status: 503, headers: { "retry-after": "soon" } })).retryAfterMs,
      undefined,
    );
  });

  test("a clock that is wrong is passing once, as the SDK corrects it; a wrong key is auth all the same", async () => {
    await using cloud = await openCloudWatch();
    const headers = { date: new Date(Date.now() + 3_600_000).toUTCString() };
    cloud.standIn.outage = { status: 400, type: "InvalidSignatureException", headers };
    const skewed = await errorOf(cloud.destination.send(sampleEvents(1), signal));
    assert.deepEqual([skewed.kind, /clock is 60 minutes off/.test(skewed.message)], ["transient", true]);
    assert.equal((await errorOf(cloud.destination.send(sampleEvents(1), signal))).kind, "auth");
    cloud.standIn.outage = { status: 400, type: "AccessDeniedException", headers };
    assert.equal((await errorOf(cloud.destination.send(sampleEvents(1), signal))).kind, "auth");
  });

  test("keys that were replaced are read anew after a refusal", async () => {
    let keys = { ...credentials, accessKeyId: "AKIAOLDKEY" };
    await using cloud = await openCloudWatch({ credentials: () => keys });
    assert.equal((await errorOf(cloud.destination.send(sampleEvents(1), signal))).kind, "auth");
    keys = credentials;
    assert.deepEqual(await cloud.destination.send(sampleEvents(1), signal), { rejected: [], unsent: [] });
  });

  test("hang-after-accept is transient at the deadline, although the events are there", async () => {
    await using cloud = await openCloudWatch({ requestTimeoutMs: 150 });
    cloud.standIn.faults.push("hang-after-accept");
    const error = await errorOf(cloud.destination.send(sampleEvents(2), signal));
    assert.equal(error.kind, "transient");
    assert.match(error.message, /150 ms/);
    assert.equal(cloud.standIn.counts.events, 2);
  });

  test("an answer that trickles in without end is transient at the deadline", {
    timeout: 5_000,
  }, async (t) => {
    const server = createServer((_request, response) => {
      response.writeHead(200, { "x-amzn-requestid": "x" });
      const dripping = setInterval(() => response.write(" "), 10);
      response.on("close", () => clearInterval(dripping));
    });
    t.after(() => server.close().closeAllConnections());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using cloud = await openCloudWatch({ endpoint, requestTimeoutMs: 200 });
    const error = await errorOf(cloud.destination.send(sampleEvents(2), signal));
    assert.deepEqual([error.kind, /no answer within 200 ms/.test(error.message)], ["transient", true]);
    // The connection was given up too, or this would never end.
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("what the SDK finds by itself", () => {
  const saved = { ...process.env };
  before(() => {
    for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
    // Neither the profiles nor an instance's role of the machine that runs this.
    Object.assign(process.env, {
      AWS_CONFIG_FILE: "/dev/null",
      AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
      AWS_EC2_METADATA_DISABLED: "true",
    });
  });
  after(() => {
    process.env = saved;
  });
  const options = {
    logGroupName: group,
    logStreamName: stream,
    create: false,
    oldEvents: "dead-letter",
    requestTimeoutMs: 10_000,
    clock: systemClock,
    log: pino({ level: "silent" }),
  } as const;

  test("no region is a config error", async () => {
    const destination = createCloudWatch({ ...options, credentials: () => credentials });
    const error = await errorOf(destination.send(sampleEvents(1), signal));
    assert.deepEqual([error.kind, /Set AWS_REGION/.test(error.message)], ["config", true]);
    await destination.close?.();
  });

  test("no credentials are an auth error", async () => {
    const destination = createCloudWatch({ ...options, region });
    const error = await errorOf(destination.send(sampleEvents(1), signal));
    assert.deepEqual([error.kind, /role or AWS_PROFILE/.test(error.message)], ["auth", true], error.message);
    const [finding] = await destination.check(signal);
    assert.equal(finding?.ok, false);
    await destination.close?.();
  });

  test("region, keys and endpoint from the environment are enough", async () => {
    await using cloud = await openCloudWatch();
    Object.assign(process.env, {
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: cloud.standIn.url,
    });
    const destination = createCloudWatch(options);
    assert.deepEqual(await destination.send(sampleEvents(3), signal), { rejected: [], unsent: [] });
    assert.equal(cloud.standIn.counts.events, 3);
    await destination.close?.();
  });
});

describe("a proxy", () => {
  /** Passes plain requests on, and refuses tunnels; both are written down. */
  async function startProxy() {
    const seen: string[] = [];
    const server = createServer((incoming, outgoing) => {
      seen.push(`${incoming.method} ${incoming.headers["proxy-authorization"]}`);
      const { method = "POST", headers, url = "" } = incoming;
      const onward = request(url, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(onward);
    });
    server.on("connect", ({ url }, socket) => {
      seen.push(`CONNECT ${url}`);
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = `http://user:pa55word@127.0.0.1:${(server.address() as AddressInfo).port}`;
    const close = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
    return { address, seen, [Symbol.asyncDispose]: close };
  }

  test("named by HTTP_PROXY carries the requests", async () => {
    await using proxy = await startProxy();
    await using cloud = await openCloudWatch({ proxyEnv: { HTTP_PROXY: proxy.address } });
    assert.deepEqual(await cloud.destination.send(sampleEvents(3), signal), { rejected: [], unsent: [] });
    assert.deepEqual(proxy.seen, [`POST Basic ${btoa("user:pa55word")}`]);
  });

  test("is passed by for what NO_PROXY names", async () => {
    await using proxy = await startProxy();
    await using cloud = await openCloudWatch({
      proxyEnv: { http_proxy: proxy.address, no_proxy: "127.0.0.1" },
    });
    assert.deepEqual(await cloud.destination.send(sampleEvents(3), signal), { rejected: [], unsent: [] });
    assert.deepEqual(proxy.seen, []);
  });

  test("named by HTTPS_PROXY is asked for a tunnel to AWS, and its password is not shown", async () => {
    await using proxy = await startProxy();
    await using cloud = await openCloudWatch({
      proxyEnv: { HTTPS_PROXY: proxy.address },
      endpoint: "https://logs.eu-central-1.amazonaws.com",
    });
    const error = await errorOf(cloud.destination.send(sampleEvents(3), signal));
    assert.deepEqual(proxy.seen, ["CONNECT logs.eu-central-1.amazonaws.com:443"]);
    assert.equal(error.kind, "transient");
    assert.match(error.message, /tunnel.*407.*proxy settings/);
    const shown = inspect([error, cloud.destination], { depth: 20, showHidden: true });
    assert.ok(!shown.includes("pa55word"), shown);
  });
});
