import assert from "node:assert/strict";
import { test } from "node:test";
import { parseStartPosition } from "../../src/auth0/start-position.ts";

const nowMs = Date.UTC(2026, 5, 15, 12, 0, 0);
const at = (text: string) => ({ kind: "time", timeMs: Date.parse(text) });
const id = "90020260102030405678000000000000000000000000000000000001";

for (const [text, expected] of [
  ["oldest", { kind: "oldest" }],
  [" latest ", { kind: "latest" }],
  ["-24h", at("2026-06-14T12:00:00Z")],
  ["-7d", at("2026-06-08T12:00:00Z")],
  ["-90m", at("2026-06-15T10:30:00Z")],
  ["2026-01-31", at("2026-01-31T00:00:00Z")],
  ["2026-01-31T08:15", at("2026-01-31T08:15:00Z")],
  ["2026-01-31 08:15:30", at("2026-01-31T08:15:30Z")],
  ["2026-01-31T08:15:30.123Z", at("2026-01-31T08:15:30.123Z")],
  ["2026-01-31T08:15:30+02:00", at("2026-01-31T06:15:30Z")],
  [id, { kind: "id", id }],
  [`=${id}`, { kind: "id", id }],
] as const) {
  test(`"${text}" is understood, in UTC whatever the machine's zone`, () => {
    assert.deepEqual(parseStartPosition(text, nowMs), expected);
  });
}

for (const text of [
  "",
  "yesterday",
  "24h",
  "-24",
  "2026-02-30",
  "2026-13-01",
  "2026-99-99",
  "12345",
  "2026-01-31T25:00",
  "2027-01-01",
  "abc1234567890",
  "-24h; rm",
]) {
  test(`"${text}" is refused, with what is expected and what was got`, () => {
    assert.throws(
      () => parseStartPosition(text, nowMs),
      (error: { kind?: string; message: string }) =>
        error.kind === "config" && error.message.includes(`got "${text}"`),
    );
  });
}
