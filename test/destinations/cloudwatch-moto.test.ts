/** The same scenarios against moto, an emulator that others wrote: https://docs.getmoto.org */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { CloudWatchLogsClient, GetLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { pino } from "pino";
import { type CloudWatchOptions, createCloudWatch } from "../../src/destinations/cloudwatch/index.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { sampleEvent, sampleEvents } from "../contract/destination.ts";
import { credentials, region } from "../support/cloudwatch.ts";

const dayMs = 86_400_000;
const { signal } = new AbortController();
const isThere = spawnSync("moto_server", ["--help"], { stdio: "ignore" }).status === 0;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const name = "CloudWatch Logs as moto sees it";
if (isThere) describe(name, testAgainstMoto);
else test(name, { skip: "moto_server is not on PATH: pip install 'moto[server,logs]'" });

function testAgainstMoto(): void {
  let moto: ChildProcess;
  let endpoint: string;
  let reader: CloudWatchLogsClient;
  let streams = 0;

  before(async () => {
    const port = await freePort();
    endpoint = `http://127.0.0.1:${port}`;
    moto = spawn("moto_server", ["-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
    reader = new CloudWatchLogsClient({ endpoint, region, credentials });
    const deadlineMs = performance.now() + 30_000;
    for (;;) {
      const isUp = await fetch(endpoint).then(
        () => true,
        () => false,
      );
      if (isUp) break;
      assert.ok(moto.exitCode === null && performance.now() < deadlineMs, "moto_server did not come up");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
  after(async () => {
    reader.destroy();
    moto.kill();
    if (moto.exitCode === null && moto.signalCode === null) await once(moto, "exit");
  });

  /** A destination for a stream that nobody used before. */
  const open = (options: Partial<CloudWatchOptions> = {}) => {
    const names = { logGroupName: `/moto/${++streams}`, logStreamName: "events" };
    const destination = createCloudWatch({
      ...names,
      create: true,
      oldEvents: "dead-letter",
      region,
      credentials: () => credentials,
      endpoint,
      requestTimeoutMs: 10_000,
      clock: systemClock,
      log: pino({ level: "silent" }),
      ...options,
    });
    const held = async () => {
      const { events = [] } = await reader.send(new GetLogEventsCommand({ ...names, startFromHead: true }));
      return events.map(({ timestamp, message }) => ({ timestamp, message }));
    };
    return { destination, held, [Symbol.asyncDispose]: async () => destination.close?.() };
  };

  test("creates the group and the stream, and delivers every event with its time and text", async () => {
    await using cloud = open();
    assert.deepEqual(
      (await cloud.destination.check(signal)).map(({ ok }) => ok),
      [true],
    );
    const events = sampleEvents(100);
    assert.deepEqual(await cloud.destination.send(events, signal), { rejected: [], unsent: [] });
    assert.deepEqual(
      await cloud.held(),
      events.map(({ timeMs, raw }) => ({ timestamp: timeMs, message: raw })),
    );
    const [finding] = await cloud.destination.check(signal);
    assert.match(finding?.text ?? "", /found/);
  });

  test("takes odd texts as they are", async () => {
    await using cloud = open();
    const event = sampleEvent(
      1,
      '"text":"héllo 日本 🙂\\u2028","lone":"\\\\ud83d","big":12345678901234567890,"__proto__":{}',
    );
    await cloud.destination.send([event], signal);
    assert.deepEqual(
      (await cloud.held()).map(({ message }) => message),
      [event.raw],
    );
  });

  test("takes unsorted events in one go", async () => {
    await using cloud = open();
    const nowMs = Date.now();
    const events = [3, 1, 2].map((minutes) => sampleEvent(minutes, '"type":"s"', nowMs - minutes * 60_000));
    assert.deepEqual(await cloud.destination.send(events, signal), { rejected: [], unsent: [] });
    assert.equal((await cloud.held()).length, 3);
  });

  test("rejects the too old and the too new, and none else", async () => {
    await using cloud = open();
    const nowMs = Date.now();
    const offsetsMs = [-30, -20, -15, -13, -1, 0, 1, 2, 3].map((days) => days * dayMs);
    const events = offsetsMs.map((offsetMs, index) => sampleEvent(index, '"type":"s"', nowMs + offsetMs));
    const { rejected, unsent } = await cloud.destination.send(events, signal);
    assert.deepEqual(unsent, []);
    const expected = events.filter((_, index) => index < 3 || index > 5);
    assert.deepEqual(new Set(rejected.map(({ event }) => event)), new Set(expected));
    const texts = new Set((await cloud.held()).map(({ message }) => message));
    assert.deepEqual(texts, new Set(events.slice(3, 6).map(({ raw }) => raw)));
  });

  test("rejects several that are too old or too new in one request", async () => {
    await using cloud = open();
    const nowMs = Date.now();
    const old = [3, 2, 1].map((number) =>
      sampleEvent(number, '"type":"s"', nowMs - 14 * dayMs - number * 60_000),
    );
    const late = [5, 6, 7].map((number) =>
      sampleEvent(number, '"type":"s"', nowMs + dayMs + number * 60_000),
    );
    for (const events of [old, late]) {
      const { rejected } = await cloud.destination.send(events, signal);
      assert.deepEqual(new Set(rejected.map(({ event }) => event)), new Set(events));
    }
    assert.deepEqual(await cloud.held(), []);
  });

  test("clamps old events", async () => {
    await using cloud = open({ oldEvents: "clamp" });
    const event = sampleEvent(1, '"type":"s"', Date.now() - 90 * dayMs);
    assert.deepEqual(await cloud.destination.send([event], signal), { rejected: [], unsent: [] });
    assert.deepEqual(
      (await cloud.held()).map(({ message }) => message),
      [event.raw],
    );
  });

  test("says what to create when it may not", async () => {
    await using cloud = open({ create: false });
    await assert.rejects(cloud.destination.send(sampleEvents(1), signal), {
      kind: "permanent",
      message: /CLOUDWATCH_CREATE/,
    });
    assert.equal((await cloud.destination.check(signal))[0]?.ok, false);
  });
}
