import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { nearest } from "../../src/lib/edit-distance.ts";

describe("nearest", () => {
  it("counts an insertion, a deletion, a replacement and a swap as one each", () => {
    for (const typed of ["BATCH_SIZEE", "BATC_SIZE", "BATCH-SIZE", "BATHC_SIZE"]) {
      assert.deepEqual(nearest(typed, ["BATCH_SIZE"], 1), ["BATCH_SIZE"], typed);
      assert.deepEqual(nearest(typed, ["BATCH_SIZE"], 0), [], typed);
    }
  });

  it("puts the nearest first and otherwise keeps the order", () => {
    assert.deepEqual(nearest("cat", ["bats", "cats", "cat", "dog", "bat", "cut"], 2), [
      "cat",
      "cats",
      "bat",
      "cut",
      "bats",
    ]);
  });

  it("ignores case", () => {
    assert.deepEqual(nearest("batch_size", ["BATCH_SIZE"], 0), ["BATCH_SIZE"]);
  });

  it("agrees with the definition", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 6 });
    fc.assert(
      fc.property(word, word, fc.nat(7), (a, b, maxDistance) => {
        assert.equal(nearest(a, [b], maxDistance).length === 1, distance(a, b) <= maxDistance);
      }),
      { numRuns: 500 },
    );
  });
});

/** The recursive definition of the distance, slow and plain. */
function distance(a: string, b: string): number {
  if (a === "" || b === "") return a.length + b.length;
  const options = [
    distance(a.slice(1), b) + 1,
    distance(a, b.slice(1)) + 1,
    distance(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1),
  ];
  if (a.length > 1 && b.length > 1 && a[0] === b[1] && a[1] === b[0])
    options.push(distance(a.slice(2), b.slice(2)) + 1);
  return Math.min(...options);
}
