import { equal, ok } from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createRig } from "../support/exporter.ts";

test("a file that takes only a part of a batch moves no checkpoint past it, and its torn line harms no other", async () => {
  await using rig = await createRig();
  const ids = rig.produce(250);
  const file = join(rig.dir, "events.ndjson");
  // A limit on the size of files, as a full disk: the kernel writes what fits and says how much that was.
  const limited = (kilobytes: number | "unlimited") => `ulimit -f ${kilobytes}; exec "$@" >> ${file}`;
  const env = { DESTINATION: "stdout", GIVE_UP_AFTER_SECONDS: "1" };
  const cut = await rig.run(["run"], env, limited(200));
  equal(cut.code, 1, cut.stderr);
  const rest = await rig.run(["run"], env, limited("unlimited"));
  equal(rest.code, 0, rest.stderr);

  const whole = new Set<string>();
  for (const line of (await readFile(file, "utf8")).split("\n")) {
    try {
      whole.add(JSON.parse(line).log_id);
    } catch {
      // The torn line.
    }
  }
  ok(
    ids.every((id) => whole.has(id)),
    `${ids.length - whole.size} events are not in the file`,
  );
});
