import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ExportError } from "../../src/core/errors.ts";
import type { LogEvent } from "../../src/core/types.ts";
import type { CloudWatchFault } from "../../src/demo/cloudwatch.ts";
import { systemClock } from "../../src/lib/clock.ts";
import {
  type Abilities,
  logId,
  sampleEvent,
  sampleEvents,
  type Trouble,
  testDestination,
} from "../contract/destination.ts";
import { credentials, group, openCloudWatch, stream } from "../support/cloudwatch.ts";

const dayMs = 86_400_000;
const hourMs = 3_600_000;
const minuteMs = 60_000;
const { signal } = new AbortController();

/** A refusal that quotes the signed headers, as AWS words it. */
const signatureRefusal = JSON.stringify({
  __type: "InvalidSignatureException",
  message: `The signature does not match. The Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:${credentials.sessionToken}'`,
});

const faults: Readonly<Record<Trouble, CloudWatchFault>> = {
  throttled: "throttle",
  unavailable: { status: 503, type: "ServiceUnavailableException" },
  forbidden: { status: 400, body: signatureRefusal },
  reset: "reset",
  resetAfterAccept: "reset-after-accept",
  hang: "hang",
  hangInBody: "hang-in-body",
};

const abilities: Abilities = { troubles: Object.keys(faults) as Trouble[], refuses: true, verbatim: true };

testDestination("CloudWatch Logs", abilities, async (options) => {
  const poisoned = new Set<string>();
  const idOf = (message: string) => /"log_id":"(\d+)"/.exec(message)?.[1] ?? "";
  const { standIn, destination, secrets, close } = await openCloudWatch(options, {
    poison: (message) => poisoned.has(idOf(message)),
  });
  return {
    destination,
    secrets,
    close,
    held: () => standIn.events().map(({ message }) => ({ id: idOf(message), raw: message })),
    requests: () => standIn.requests.length,
    poison: (id) => poisoned.add(id),
    meet: (trouble) => standIn.faults.push(faults[trouble]),
  };
});

/** What the log stream holds, by `log_id` number. */
const numbersOf = (events: readonly { readonly message: string }[]) =>
  events.map(({ message }) => Number(JSON.parse(message).log_id.slice(3)));
const numberOf = (event: LogEvent) => Number(event.id.slice(3));
const at = (...timesMs: number[]) => timesMs.map((timeMs, index) => sampleEvent(index, '"type":"s"', timeMs));

describe("timestamps", () => {
  test("are the events' own, in order, equal ones as they came", async () => {
    await using cloud = await openCloudWatch();
    const nowMs = Date.now();
    const events = at(nowMs - 5, nowMs - 9, nowMs - 5, nowMs - 9);
    await cloud.destination.send(events, signal);
    assert.deepEqual(numbersOf(cloud.standIn.events()), [1, 3, 0, 2]);
    assert.deepEqual(
      cloud.standIn.events().map(({ timestamp }) => timestamp),
      [nowMs - 9, nowMs - 9, nowMs - 5, nowMs - 5],
    );
    assert.equal(cloud.standIn.requests.length, 1);
  });

  test("beyond 14 days back and 2 hours ahead become rejections; none between is lost", async () => {
    const nowMs = Date.now();
    const clock = { ...systemClock, now: () => nowMs };
    await using cloud = await openCloudWatch({ clock }, { now: clock.now });
    const events = at(
      nowMs - 20 * dayMs,
      nowMs - 14 * dayMs - 1,
      nowMs - 14 * dayMs,
      nowMs - dayMs,
      nowMs,
      nowMs + 2 * hourMs,
      nowMs + 2 * hourMs + 1,
      nowMs + 9 * dayMs,
    );
    const { rejected, unsent } = await cloud.destination.send(events, signal);
    assert.deepEqual(unsent, []);
    assert.deepEqual(rejected.map(({ event }) => numberOf(event)).sort(), [0, 1, 6, 7]);
    for (const { event, reason } of rejected) {
      assert.match(reason, numberOf(event) < 2 ? /14 days .* CLOUDWATCH_OLD_EVENTS/ : /2 hours/);
    }
    assert.deepEqual([...new Set(numbersOf(cloud.standIn.events()))].sort(), [2, 3, 4, 5]);
  });

  test("clamped: old events get the oldest accepted time and keep their order and date", async () => {
    const nowMs = Date.now();
    const clock = { ...systemClock, now: () => nowMs };
    // The service's clock is ahead of ours.
    await using cloud = await openCloudWatch(
      { clock, oldEvents: "clamp" },
      { now: () => nowMs + 4 * minuteMs },
    );
    const events = at(nowMs - 90 * dayMs, nowMs - 14 * dayMs - 1, nowMs - 30 * dayMs, nowMs);
    assert.deepEqual(await cloud.destination.send(events, signal), { rejected: [], unsent: [] });
    const held = cloud.standIn.events();
    assert.deepEqual(numbersOf(held), [0, 1, 2, 3]);
    const oldestMs = nowMs - 14 * dayMs + 5 * minuteMs;
    assert.deepEqual(
      held.map(({ timestamp }) => timestamp),
      [oldestMs, oldestMs, oldestMs, nowMs],
    );
    assert.deepEqual(
      held.map(({ message }) => message),
      events.map(({ raw }) => raw),
    );
  });

  for (const oldEvents of ["clamp", "dead-letter"] as const) {
    test(`past the group's retention are rejected naming it (${oldEvents})`, async () => {
      const nowMs = Date.now();
      await using cloud = await openCloudWatch({ oldEvents }, { retentionDays: 3, now: () => nowMs });
      const events = at(nowMs - 13 * dayMs, nowMs - 3 * dayMs - 2, nowMs - 3 * dayMs + 1, nowMs - 2 * dayMs);
      const { rejected } = await cloud.destination.send(events, signal);
      assert.deepEqual(
        rejected.map(({ event }) => numberOf(event)),
        [0, 1],
      );
      for (const { reason } of rejected)
        assert.ok(reason.includes(`retention of the log group ${group}`), reason);
      assert.deepEqual([...new Set(numbersOf(cloud.standIn.events()))], [2, 3]);
    });
  }

  test("that are no times are rejected without a request", async () => {
    await using cloud = await openCloudWatch();
    const events = [Number.NaN, 1.5, -1].map((timeMs, index) => ({ ...sampleEvent(index), timeMs }));
    const { rejected } = await cloud.destination.send(events, signal);
    assert.deepEqual(
      rejected.map(({ event }) => event),
      events,
    );
    assert.equal(cloud.standIn.requests.length, 0);
  });
});

describe("events that cannot be accepted", () => {
  for (let position = 0; position < 9; position++) {
    test(`a refused event at position ${position} of 9 is found, and the others are delivered`, async () => {
      await using cloud = await openCloudWatch(
        {},
        { poison: (message) => message.includes(logId(position)) },
      );
      const events = sampleEvents(9);
      const { rejected, unsent } = await cloud.destination.send(events, signal);
      assert.deepEqual(
        rejected.map(({ event }) => event),
        [events[position]],
      );
      assert.match(rejected[0]?.reason ?? "", /InvalidParameterException .*not acceptable/);
      assert.deepEqual(unsent, []);
      assert.deepEqual(
        numbersOf(cloud.standIn.events()),
        [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((n) => n !== position),
      );
    });
  }

  test("several are found in one batch", async () => {
    await using cloud = await openCloudWatch({}, { poison: (message) => /"log_id":"\d*[37]"/.test(message) });
    const { rejected } = await cloud.destination.send(sampleEvents(30), signal);
    assert.deepEqual(
      rejected.map(({ event }) => numberOf(event)),
      [3, 7, 13, 17, 23, 27],
    );
    assert.equal(new Set(numbersOf(cloud.standIn.events())).size, 24);
    assert.equal(cloud.standIn.counts.events, 24);
  });

  test("all of two or more: the cause is not in them, so none is rejected", async () => {
    await using cloud = await openCloudWatch({}, { poison: () => true });
    await assert.rejects(cloud.destination.send(sampleEvents(4), signal), (error) => {
      assert.ok(error instanceof ExportError);
      assert.equal(error.kind, "permanent");
      assert.match(error.message, /not acceptable.*each of 4 events.*None was dead-lettered/i);
      return true;
    });
  });

  test("a single one is rejected", async () => {
    await using cloud = await openCloudWatch({}, { poison: () => true });
    const [event] = sampleEvents(1);
    const { rejected } = await cloud.destination.send([event!], signal);
    assert.deepEqual(
      rejected.map((refused) => refused.event),
      [event],
    );
  });

  test("a name that AWS refuses is permanent at once, even for a single event", async () => {
    await using cloud = await openCloudWatch({ logStreamName: "a:b" });
    await assert.rejects(cloud.destination.send(sampleEvents(1), signal), {
      kind: "permanent",
      message: /logStreamName/,
    });
    assert.equal(cloud.standIn.requests.length, 1);
  });

  test("an oversized one is rejected before sending, measured in UTF-8", async () => {
    await using cloud = await openCloudWatch();
    const frame = Buffer.byteLength(sampleEvent(0, '"text":""').raw);
    const fits = sampleEvent(0, `"text":"${"a".repeat(1_000_000 - frame)}"`);
    const big = sampleEvent(1, `"text":"${"é".repeat((1_000_000 - frame) / 2)}ab"`);
    assert.equal(Buffer.byteLength(fits.raw), 1_000_000);
    const { rejected } = await cloud.destination.send([fits, big], signal);
    assert.deepEqual(
      rejected.map(({ event }) => event),
      [big],
    );
    assert.match(rejected[0]?.reason ?? "", /1000001 bytes|100000\d bytes/);
    assert.deepEqual(numbersOf(cloud.standIn.events()), [0]);
  });

  test("a proxy's limit on the body is met by halving", async () => {
    await using cloud = await openCloudWatch();
    cloud.standIn.faults.push({ status: 413, body: "<html>Request Entity Too Large</html>" });
    assert.deepEqual(await cloud.destination.send(sampleEvents(4), signal), { rejected: [], unsent: [] });
    assert.deepEqual(
      cloud.standIn.requests.map(({ events }) => events),
      [4, 2, 2],
    );
  });
});

describe("a batch of several requests", () => {
  const nowMs = Date.now();
  const fourDays = () => at(nowMs - 3 * dayMs, nowMs - 2 * dayMs, nowMs - dayMs, nowMs);

  test("lists as unsent what a later request failed on and all after it, with the cause", async () => {
    await using cloud = await openCloudWatch(
      {},
      {
        poison: (message) => {
          const fault = { status: 500, headers: { "retry-after": "7" } };
          if (message.includes(logId(1))) cloud.standIn.faults.push(fault);
          return false;
        },
      },
    );
    const { rejected, unsent, cause } = await cloud.destination.send(fourDays(), signal);
    assert.deepEqual(rejected, []);
    assert.deepEqual(unsent.map(numberOf), [2, 3]);
    assert.deepEqual([cause?.kind, cause?.retryAfterMs], ["transient", 7_000]);
    assert.deepEqual(numbersOf(cloud.standIn.events()), [0, 1]);
    assert.deepEqual(await cloud.destination.send(unsent, signal), { rejected: [], unsent: [] });
    assert.deepEqual(numbersOf(cloud.standIn.events()), [0, 1, 2, 3]);
  });

  test("keeps the rejections of the requests before a failure", async () => {
    await using cloud = await openCloudWatch(
      {},
      {
        poison: (message) => {
          if (message.includes(logId(2))) cloud.standIn.faults.push("reset");
          return message.includes(logId(1));
        },
      },
    );
    const { rejected, unsent, cause } = await cloud.destination.send(fourDays(), signal);
    assert.deepEqual(
      rejected.map(({ event }) => numberOf(event)),
      [1],
    );
    assert.deepEqual(unsent.map(numberOf), [3]);
    assert.equal(cause?.kind, "transient");
  });

  test("throws when the first fails, even after an event was refused alone", async () => {
    await using cloud = await openCloudWatch(
      {},
      {
        poison: (message) => {
          if (message.includes(logId(0))) cloud.standIn.faults.push("throttle");
          return message.includes(logId(0));
        },
      },
    );
    await assert.rejects(cloud.destination.send(fourDays(), signal), { kind: "rate_limited" });
    assert.deepEqual(cloud.standIn.events(), []);
  });

  test("ends with the signal's reason when it aborts half-way", async () => {
    const abort = new AbortController();
    const reason = new Error("stopped by the test");
    await using cloud = await openCloudWatch(
      {},
      {
        poison: (message) => {
          if (message.includes(logId(1))) abort.abort(reason);
          return false;
        },
      },
    );
    await assert.rejects(cloud.destination.send(fourDays(), abort.signal), (error) => error === reason);
  });
});

describe("a missing log group or stream", () => {
  const actions = (cloud: Awaited<ReturnType<typeof openCloudWatch>>) =>
    cloud.standIn.requests.map(({ action, status }) => `${action} ${status}`);

  test("is created, once for all sends in flight, and the events are delivered", async () => {
    // Every send learns that the stream is missing long before it is there.
    await using cloud = await openCloudWatch({ create: true }, { groups: {}, latencyMs: 50 });
    const sends = sampleEvents(8).map((event) => cloud.destination.send([event], signal));
    for (const result of await Promise.all(sends)) assert.deepEqual(result, { rejected: [], unsent: [] });
    assert.equal(cloud.standIn.events(group, stream).length, 8);
    const created = actions(cloud).filter((action) => action.startsWith("Create"));
    assert.deepEqual(created, ["CreateLogStream 400", "CreateLogGroup 200", "CreateLogStream 200"]);
  });

  test("only the stream is created in a group that is there", async () => {
    await using cloud = await openCloudWatch({ create: true }, { groups: { [group]: ["other"] } });
    await cloud.destination.send(sampleEvents(1), signal);
    assert.deepEqual(actions(cloud), ["PutLogEvents 400", "CreateLogStream 200", "PutLogEvents 200"]);
  });

  test("that someone else creates at the same time is as good", async () => {
    await using cloud = await openCloudWatch({ create: true }, { groups: { [group]: [] } });
    cloud.standIn.faults.push({ status: 400, type: "ResourceAlreadyExistsException", on: "CreateLogStream" });
    await assert.rejects(cloud.destination.send(sampleEvents(1), signal), {
      kind: "transient",
      message: /not known everywhere/,
    });
    assert.deepEqual(await cloud.destination.send(sampleEvents(1), signal), { rejected: [], unsent: [] });
  });

  test("is a permanent error that says what to create, where it may not be created", async () => {
    for (const groups of [{}, { [group]: [`${stream}-2`] }]) {
      await using cloud = await openCloudWatch({ create: false }, { groups });
      await assert.rejects(cloud.destination.send(sampleEvents(1), signal), (error) => {
        assert.ok(error instanceof ExportError);
        assert.equal(error.kind, "permanent");
        for (const part of [group, stream, "CLOUDWATCH_CREATE=true"]) assert.ok(error.message.includes(part));
        return true;
      });
      assert.deepEqual(actions(cloud), ["PutLogEvents 400"]);
    }
  });

  test("whose name AWS keeps for itself costs no event its delivery", async () => {
    await using cloud = await openCloudWatch({ create: true, logGroupName: "new" });
    const message = "1 validation error detected: something about the name";
    const body = JSON.stringify({ __type: "InvalidParameterException", message });
    cloud.standIn.faults.push({ status: 400, body, on: "CreateLogGroup" });
    await assert.rejects(cloud.destination.send(sampleEvents(1), signal), { kind: "permanent" });
  });

  test("names the action that is not allowed when it cannot be created", async () => {
    await using cloud = await openCloudWatch({ create: true }, { groups: {} });
    cloud.standIn.faults.push({ status: 400, type: "AccessDeniedException", on: "CreateLogGroup" });
    await assert.rejects(cloud.destination.send(sampleEvents(1), signal), {
      kind: "auth",
      message:
        /CreateLogGroup: AccessDeniedException .* Allow logs:CreateLogGroup on arn:aws:logs:\*:\*:log-group:\/auth0\/tenant:\*/,
    });
  });
});

describe("check", () => {
  test("compares names exactly, however many siblings share the prefix", async () => {
    const siblings = Array.from({ length: 120 }, (_, index) => `${stream}-${index}`);
    await using without = await openCloudWatch({}, { groups: { [group]: siblings } });
    const [missing] = await without.destination.check(signal);
    assert.equal(missing?.ok, false);
    assert.match(missing?.text ?? "", /log stream events: not found/);
    assert.match(missing?.advice ?? "", /CLOUDWATCH_CREATE/);
    assert.equal(without.standIn.requests.length, 3);
    await using withIt = await openCloudWatch({}, { groups: { [group]: [...siblings, stream] } });
    assert.equal((await withIt.destination.check(signal))[0]?.ok, true);
    assert.equal(withIt.standIn.counts.events, 0);
  });

  test("is content with what will be created, and creates nothing", async () => {
    for (const groups of [{}, { [group]: [`${stream}-2`] }]) {
      await using cloud = await openCloudWatch({ create: true }, { groups });
      const [finding] = await cloud.destination.check(signal);
      assert.equal(finding?.ok, true);
      assert.match(finding?.text ?? "", /will be created/);
      assert.ok(cloud.standIn.requests.every(({ action }) => action === "DescribeLogStreams"));
    }
  });

  test("says what to do about wrong keys and about an endpoint that nobody answers", async () => {
    const wrong = { ...credentials, accessKeyId: "AKIAWRONG" };
    await using cloud = await openCloudWatch({ credentials: () => wrong });
    const [denied] = await cloud.destination.check(signal);
    assert.deepEqual([denied?.ok, /UnrecognizedClient/.test(denied?.text ?? "")], [false, true]);
    assert.match(denied?.advice ?? "", /AWS_ACCESS_KEY_ID/);
    await cloud.standIn.close();
    const [refused] = await cloud.destination.check(signal);
    assert.equal(refused?.ok, false);
    assert.match(refused?.text ?? "", /ECONN(REFUSED|RESET)/);
    assert.match(refused?.advice ?? "", /network/);
  });
});
