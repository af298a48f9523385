import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

const module = new URL("../../src/lib/heap.ts", import.meta.url).href;

/** A process that always holds its newest objects, as a run does, and tells how far the young generation grew. */
const script = `
  const { limitHeap } = await import(${JSON.stringify(module)});
  const { getHeapSpaceStatistics } = await import("node:v8");
  const held = Array.from({ length: 30_000 });
  for (let made = 0; made < 3_000_000; made++) {
    if (made % 1_000 === 0 && process.argv[1] === "limited") limitHeap();
    held[made % held.length] = { made, text: "x" + made };
  }
  const young = getHeapSpaceStatistics().find((space) => space.space_name === "new_space");
  console.log(young.space_size);
`;

async function youngBytes(mode: string): Promise<number> {
  const args = ["--input-type=module", "--eval", script, mode];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
  assert.equal(stderr, "", "V8 knows the flags");
  return Number(stdout);
}

test("the young generation stays small where V8 would let it grow", async () => {
  const [limited, unlimited] = await Promise.all(["limited", "unlimited"].map(youngBytes));
  assert.ok(limited! <= 20 * 1024 * 1024, `grew to ${limited} bytes`);
  assert.ok(unlimited! > limited!, `${unlimited} bytes without a limit: this test proves nothing`);
});
