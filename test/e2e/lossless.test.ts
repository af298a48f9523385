import { deepEqual, equal, match, ok } from "node:assert/strict";
import { describe, test } from "node:test";
import { eventId } from "../../src/demo/events.ts";
import { createRig, logGroup, type Rig, recordOf } from "../support/exporter.ts";
import { oddEvents } from "../support/odd-events.ts";

const hourMs = 3_600_000;

function serve(rig: Rig, events: readonly { id: string; text: string }[]): void {
  for (const { id, text } of events) rig.tenant.appendRaw(text, id);
}

describe("what Auth0 sent", { concurrency: 3 }, () => {
  test("arrives in CloudWatch byte for byte, at the event's own time", async () => {
    await using rig = await createRig();
    const events = oddEvents(Date.now() - hourMs);
    serve(rig, events);
    const { code, stderr } = await rig.run(["run"]);
    equal(code, 0, stderr);
    const held = rig.cloudwatch.events(logGroup);
    for (const [index, { what, text, timeMs }] of events.entries()) {
      ok(held[index]?.message === text, `${what} arrived as ${held[index]?.message.slice(0, 300)}`);
      equal(held[index]?.timestamp, timeMs, what);
    }
    equal(held.length, events.length);
  });

  test("arrives whole when it has to be split: more than 1 MiB in a batch, and more than 24 hours", async () => {
    await using rig = await createRig();
    const events = Array.from({ length: 30 }, (_, index) => {
      const timeMs = Date.now() - (60 - index) * 2 * hourMs;
      const id = eventId(timeMs, index + 1);
      const text = `{"date":"${new Date(timeMs).toISOString()}","log_id":"${id}","details":"${"x".repeat(200_000)}"}`;
      return { id, text };
    });
    serve(rig, events);
    const finished = await rig.run(["run", "--json"]);
    equal(finished.code, 0, finished.stderr);
    const held = rig.cloudwatch.events(logGroup);
    equal(held.length, events.length);
    ok(events.every(({ text }, index) => held[index]?.message === text));
    equal(recordOf(finished).counts.retries, 0, "CloudWatch refused a request");
  });

  test("arrives on standard output byte for byte, one line an event, in order", async () => {
    await using rig = await createRig({ env: { DESTINATION: "stdout" } });
    const events = oddEvents(Date.now() - hourMs);
    serve(rig, events);
    const { code, stdout, stderr } = await rig.run(["run"]);
    equal(code, 0, stderr);
    equal(stdout, events.map(({ text }) => `${text}\n`).join(""));
  });

  test("is an event on one line also when Auth0 spreads it over several", async () => {
    await using rig = await createRig({ env: { DESTINATION: "stdout" } });
    const timeMs = Date.now() - hourMs;
    const id = eventId(timeMs, 1);
    const text = JSON.stringify(
      { date: new Date(timeMs).toISOString(), log_id: id, text: "a\r\nb" },
      null,
      2,
    );
    serve(rig, [{ id, text }]);
    const { stdout } = await rig.run(["run"]);
    match(stdout, /^[^\r\n]+\n$/);
    deepEqual(JSON.parse(stdout), JSON.parse(text));
  });
});

test("a reader of standard output that goes away loses nothing: the checkpoint stays before what it missed", async () => {
  await using rig = await createRig({ env: { DESTINATION: "stdout" } });
  const ids = rig.produce(250);
  const firstLine = await rig.run(["run"], {}, '{ "$@"; echo "exit $?" >&2; } | head -n 1');
  ok(firstLine.stdout.includes(ids[0]!));
  match(firstLine.stderr, /run failed: standard output: .*EPIPE.*/);
  match(firstLine.stderr, /^exit 1$/m);
  // The first batch is larger than what a pipe holds, so none of it counts as taken.
  const cursor = (await rig.checkpoint("stdout"))?.cursor ?? "";
  ok(cursor < ids[0]!, cursor);

  const { code, stdout, stderr } = await rig.run(["run"]);
  equal(code, 0, stderr);
  deepEqual(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).log_id),
    ids,
  );
});
