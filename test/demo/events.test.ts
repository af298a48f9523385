import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createEventGenerator, eventId } from "../../src/demo/events.ts";

const startMs = Date.UTC(2026, 10, 20, 9, 0, 0);
const generate = createEventGenerator({ seed: 7 });
const sample = Array.from({ length: 4_000 }, (_, index) => generate(startMs + index * 40, index + 1));
const details = (event: Record<string, unknown>) => event.details as Record<string, unknown>;

/** Type codes that Auth0 documents (auth0.com/docs/deploy-monitor/logs/log-event-type-codes), and two older ones: du, fapi. */
const documented = new Set(
  `actions_execution_failed api_limit api_limit_warning cls du f fapi fcp feacft feccft fepft fertft flo fn fp fs
  fsa fu gd_auth_failed gd_auth_rejected gd_auth_succeed gd_enrollment_complete gd_otp_rate_limit_exceed
  gd_send_pn gd_send_sms gd_start_auth gd_unenroll limit_mu limit_sul limit_wc mgmt_api_read
  organization_member_added pwd_leak s sapi sce scp scpr sdu seacft seccft sepft sertft si slo ss ssa sscim sv
  w`.split(/\s+/),
);

test("an id is 900, the UTC time to the millisecond and the sequence, in 56 digits", () => {
  const id = eventId(Date.UTC(2024, 2, 8, 3, 59, 5, 601), 1_766);
  assert.equal(id, "90020240308035905601000000000000000000000000000000001766");
});

test("ids sort as text by time, then by sequence", () => {
  const time = fc.integer({ min: Date.UTC(2015, 0), max: Date.UTC(2099, 0) });
  const sequence = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(time, sequence, time, sequence, (timeA, sequenceA, timeB, sequenceB) => {
      const [a, b] = [eventId(timeA, sequenceA), eventId(timeB, sequenceB)];
      assert.equal(a.length, 56);
      assert.equal(a < b, timeA < timeB || (timeA === timeB && sequenceA < sequenceB));
    }),
  );
});

test("an id never ends in zeros only", () => {
  for (const sequence of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => eventId(startMs, sequence), RangeError);
  }
});

test("events of many families come, with documented type codes only", () => {
  const types = new Set(sample.map((event) => event.type));
  assert.deepEqual(
    [...types].filter((type) => !documented.has(String(type))),
    [],
  );
  assert.equal(types.size, documented.size);
});

test("sizes are those of real events: 0.7 to 7 KB, half of them above 1.1 to 1.3 KB", () => {
  const sizes = sample.map((event) => Buffer.byteLength(JSON.stringify(event))).sort((a, b) => a - b);
  const median = sizes[sizes.length / 2] ?? 0;
  assert.ok((sizes[0] ?? 0) >= 700, `smallest ${sizes[0]}`);
  assert.ok((sizes.at(-1) ?? 0) <= 7_168 && (sizes.at(-1) ?? 0) > 5_000, `largest ${sizes.at(-1)}`);
  assert.ok(median >= 1_100 && median <= 1_300, `median ${median}`);
});

test("an event carries its id twice, the fields of the API and a date before the id's time", () => {
  sample.forEach((event, index) => {
    const timeMs = startMs + index * 40;
    assert.equal(event.log_id, eventId(timeMs, index + 1));
    assert.equal(event._id, event.log_id);
    assert.deepEqual(event.$event_schema, { version: "1.0.0" });
    assert.equal(event.tenant_name, "demo");
    assert.equal(typeof event.isMobile, "boolean");
    const delayMs = timeMs - Date.parse(String(event.date));
    assert.ok(delayMs >= 1_300 && delayMs <= 5_000, `delay ${delayMs}`);
    assert.equal(new Date(String(event.date)).toISOString(), event.date);
  });
});

test("dates do not rise with the ids", () => {
  const dates = sample.map((event) => String(event.date));
  assert.ok(dates.some((date, index) => date < (dates[index - 1] ?? "")));
});

test("values vary as they do at Auth0", () => {
  const some = (check: (event: Record<string, unknown>) => boolean) =>
    assert.ok(sample.some(check), check.toString());
  some((event) => typeof event.scope === "string");
  some((event) => Array.isArray(event.scope));
  some((event) => event.connection === null);
  some((event) => event.user_id === "");
  some((event) => event.details === null);
  some((event) => typeof (event.location_info as { latitude?: unknown } | undefined)?.latitude === "number");
  some((event) => JSON.stringify(event).includes("李"));
  some((event) => JSON.stringify(event).includes("🌻"));
  const identities = sample
    .filter((event) => event.type === "s")
    .flatMap((event) => details(event).prompts as { identity?: unknown }[])
    .map((prompt) => typeof prompt.identity);
  assert.deepEqual(new Set(identities), new Set(["string", "number", "undefined"]));
});

test("sapi events hold the request and the response with their bodies", () => {
  for (const event of sample.filter(({ type }) => type === "sapi")) {
    const { request, response } = details(event) as Record<string, Record<string, unknown>>;
    assert.equal(typeof request?.body, "object");
    assert.equal(typeof response?.body, "object");
    assert.ok(Number(response?.statusCode) < 300);
  }
});

test("the same seed makes the same event, whatever was made before", () => {
  const again = createEventGenerator({ seed: 7 });
  assert.deepEqual(again(startMs + 99 * 40, 100), sample[99]);
  assert.notDeepEqual(createEventGenerator({ seed: 8 })(startMs + 99 * 40, 100), sample[99]);
});

test("every event survives JSON", () => {
  for (const event of sample) assert.deepEqual(JSON.parse(JSON.stringify(event)), event);
});

test("users, types and tenant are as asked", () => {
  const few = createEventGenerator({ seed: 1, users: 2, types: ["s", "fp"], tenant: "acme" });
  const events = Array.from({ length: 200 }, (_, index) => few(startMs, index + 1));
  assert.deepEqual(new Set(events.map(({ type }) => type)), new Set(["s", "fp"]));
  assert.equal(new Set(events.map((event) => event.user_id)).size, 2);
  assert.ok(events.every((event) => event.tenant_name === "acme" && event.hostname === "acme.eu.auth0.com"));
});

test("a type, a population or a selection that cannot be is refused", () => {
  assert.throws(() => createEventGenerator({ seed: 1, types: ["nonsense"] }), /no events of type nonsense/);
  assert.throws(() => createEventGenerator({ seed: 1, types: [] }), RangeError);
  assert.throws(() => createEventGenerator({ seed: 1, users: 0 }), RangeError);
});
