import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createFilter } from "../../src/core/filter.ts";
import type { LogEvent } from "../../src/core/types.ts";

const levels = new Map([
  ["quiet", 0],
  ["s", 1],
  ["w", 2],
  ["fp", 3],
  ["api_limit", 4],
]);
const levelOf = (code: string) => levels.get(code);

function eventOf(type: string): LogEvent {
  const data = { log_id: "90020261120", type, date: "2026-11-20T10:00:00.000Z" };
  return { id: data.log_id, type, timeMs: Date.parse(data.date), raw: JSON.stringify(data), data };
}

const passing = (filter: (event: LogEvent) => boolean, types: readonly string[]) =>
  types.filter((type) => filter(eventOf(type)));

const allTypes = [...levels.keys(), "invented_yesterday", ""];
const anyType = fc.oneof(
  fc.constantFrom(...allTypes),
  fc.constantFrom("__proto__", "constructor"),
  fc.string(),
);
const anyLevel = fc.nat(4);
const anyTypes = fc.array(anyType).map((types) => new Set(types));

describe("createFilter", () => {
  it("passes everything without a level and types", () => {
    assert.deepEqual(passing(createFilter({ levelOf }), allTypes), allTypes);
  });

  it("passes the level and all above it, and types without a level", () => {
    const filter = createFilter({ minLevel: 3, levelOf });
    assert.deepEqual(passing(filter, allTypes), ["fp", "api_limit", "invented_yesterday", ""]);
  });

  it("passes the types that are given, compared exactly", () => {
    const filter = createFilter({ types: new Set(["s", "invented_yesterday"]), levelOf });
    assert.deepEqual(passing(filter, [...allTypes, "S", "s "]), ["s", "invented_yesterday"]);
  });

  it("asks for both where both are given", () => {
    const filter = createFilter({ minLevel: 2, types: new Set(["s", "fp", "invented_yesterday"]), levelOf });
    assert.deepEqual(passing(filter, allTypes), ["fp", "invented_yesterday"]);
  });

  it("drops an event without a type only when types are given", () => {
    assert.deepEqual(passing(createFilter({ minLevel: 4, levelOf }), [""]), [""]);
    assert.deepEqual(passing(createFilter({ types: new Set(["s"]), levelOf }), [""]), []);
  });

  it("passes with both exactly what each passes alone", () => {
    fc.assert(
      fc.property(anyLevel, anyTypes, anyType, (minLevel, types, type) => {
        const event = eventOf(type);
        const both = createFilter({ minLevel, types, levelOf })(event);
        assert.equal(
          both,
          createFilter({ minLevel, levelOf })(event) && createFilter({ types, levelOf })(event),
        );
      }),
    );
  });

  it("never drops a type for being unknown to the catalogue", () => {
    fc.assert(
      fc.property(anyLevel, fc.option(anyTypes, { nil: undefined }), anyType, (minLevel, types, type) => {
        fc.pre(!levels.has(type));
        const filter = createFilter({ minLevel, types: types?.add(type), levelOf });
        assert.ok(filter(eventOf(type)));
      }),
    );
  });

  it("passes no more at a higher level", () => {
    fc.assert(
      fc.property(anyLevel, anyLevel, anyType, (one, other, type) => {
        const [low, high] = [Math.min(one, other), Math.max(one, other)];
        const event = eventOf(type);
        if (createFilter({ minLevel: high, levelOf })(event))
          assert.ok(createFilter({ minLevel: low, levelOf })(event));
      }),
    );
  });
});
