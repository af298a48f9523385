import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseEvent, parsePage, splitArray } from "../../src/auth0/page.ts";

const nowMs = Date.UTC(2026, 0, 2);

test("each event's text is what Auth0 sent, to the byte, whatever JSON it is", () => {
  const anyObjects = fc.array(fc.dictionary(fc.string(), fc.jsonValue({ depthSize: "medium" })), {
    maxLength: 5,
  });
  fc.assert(
    fc.property(anyObjects, fc.constantFrom(undefined, 1, "\t"), (objects, indent) => {
      const text = JSON.stringify(objects, null, indent);
      const parts = splitArray(text);
      assert.deepEqual(
        parts.map((part) => JSON.parse(part)),
        JSON.parse(text),
      );
      for (const part of parts) assert.ok(text.includes(part));
    }),
    { numRuns: 500 },
  );
});

test("numbers, escapes, nulls and odd keys survive as sent", () => {
  const raw =
    '{"log_id":"5","big":12345678901234567890,"float":1.0,"exp":1e400,"tab":"\\u0009","lone":"\\ud800","quote":"\\\\\\"]}[{","__proto__":{"a":null},"2":1,"1":2,"umlaut":"Grüße 日本 🎉"}';
  const [event] = parsePage(`[${raw}]`, "", nowMs);
  assert.equal(event?.raw, raw);
});

test("line breaks between tokens go, those in values stay", () => {
  const text = '[\n  {\r\n    "log_id": "5",\n    "text": "a\\nb   c"\n  }\n]';
  const [event] = parsePage(text, "", nowMs);
  assert.equal(event?.raw, '{"log_id": "5","text": "a\\nb   c"}');
});

test("an event's time is its date; without one, the time in its ID; without that, the time of reading", () => {
  const id = "90020260101000000123000000000000000000000000000000000001";
  const timeOf = (event: object) => parseEvent(JSON.stringify(event), nowMs).timeMs;
  assert.equal(timeOf({ log_id: id, date: "2025-12-31T23:59:58.000Z" }), Date.UTC(2025, 11, 31, 23, 59, 58));
  assert.equal(timeOf({ log_id: id, date: "nonsense" }), Date.UTC(2026, 0, 1, 0, 0, 0, 123));
  assert.equal(timeOf({ log_id: id, date: { odd: true } }), Date.UTC(2026, 0, 1, 0, 0, 0, 123));
  assert.equal(timeOf({ _id: "short" }), nowMs);
});

for (const [what, text] of [
  ["a page of HTML", "<html>maintenance</html>"],
  ["an empty body", ""],
  ["a cut body", '[{"log_id":"1"},{"log_'],
  ["an object", '{"logs":[]}'],
  ["an array of something else", "[1,2]"],
  ["a mixed array", '[{"log_id":"1"},3]'],
  ["an event without ID", '[{"type":"s"}]'],
  ["IDs that fall", '[{"log_id":"7"},{"log_id":"6"}]'],
  ["an ID twice", '[{"log_id":"7"},{"log_id":"7"}]'],
  ["an ID at the checkpoint", '[{"log_id":"4"}]'],
] as const) {
  test(`${what} with status 200 is an error, never "no events"`, () => {
    assert.throws(
      () => parsePage(text, "4", nowMs),
      (error: { kind?: string; message: string }) => error.kind === "transient" && error.message.length < 600,
    );
  });
}
