import { deepEqual, equal, ok } from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { describe, test } from "node:test";
import { createRandom } from "../../src/demo/event-population.ts";
import { compare, createRig, type Rig } from "../support/exporter.ts";
import { onSighting, sightings } from "../support/progress.ts";

/** Kills runs, each at a random moment of its progress, and calls `inspect` after each kill. */
async function killRuns(
  rig: Rig,
  kills: number,
  seed: number,
  inspect: (when: string) => Promise<void>,
): Promise<void> {
  await mkdir(rig.checkpointDir);
  for (let kill = 0; kill < kills; kill++) {
    const sighting = sightings[kill % sightings.length]!;
    const nth = 1 + createRandom(seed, kill).below(30);
    const running = rig.spawn(["run"]);
    let seen = 0;
    const done = onSighting(sighting, rig, () => {
      if (++seen === nth) running.child.kill("SIGKILL");
    });
    const { signal, code, stderr } = await running.finished;
    done();
    const when = `kill ${kill + 1}, when for the ${nth}. time ${sighting}`;
    equal(signal, "SIGKILL", `${when}: it had ended before, with ${code}: ${stderr}`);
    await inspect(when);
  }
}

describe("kill -9", { concurrency: 2 }, () => {
  test("20 kills at random moments lose nothing, and repeat at most a window each", async () => {
    const maxWindowEvents = 4 * 25;
    await using rig = await createRig({ env: { BATCH_SIZE: "25", MAX_BATCHES_IN_FLIGHT: "4" } });
    const ids = rig.produce(10_000);
    let duplicatesBefore = 0;
    await killRuns(rig, 20, 1, async (when) => {
      const cursor = (await rig.checkpoint().catch(() => null))?.cursor ?? "";
      const held = rig.held();
      const ahead = ids.filter((id) => id <= cursor && !held.has(id));
      deepEqual(ahead, [], `${when}: the checkpoint is ahead of what CloudWatch holds`);
      const { duplicates } = compare(held, ids);
      ok(
        duplicates - duplicatesBefore <= maxWindowEvents,
        `${when}: ${duplicates - duplicatesBefore} duplicates`,
      );
      duplicatesBefore = duplicates;
    });

    const { code, stderr } = await rig.run(["run"], { BATCH_SIZE: "100", MAX_BATCHES_IN_FLIGHT: "8" });
    equal(code, 0, stderr);
    const { lost, duplicates } = compare(rig.held(), ids);
    deepEqual(lost, []);
    ok(duplicates <= 20 * maxWindowEvents, `${duplicates} duplicates`);
    equal((await rig.checkpoint())?.cursor, ids.at(-1));
  });

  test("kills while dead letters are written lose none of them, and keep none twice", async () => {
    await using rig = await createRig({ env: { BATCH_SIZE: "10", MAX_BATCHES_IN_FLIGHT: "2" } });
    const oldIds = rig.produce(2_000, Date.now() - 20 * 86_400_000);
    await killRuns(rig, 6, 2, async (when) => {
      const cursor = (await rig.checkpoint().catch(() => null))?.cursor ?? "";
      const letters = new Set((await rig.deadLetters().catch(() => [])).map(({ event }) => event.id));
      const expected = oldIds.filter((id) => id <= cursor);
      deepEqual([...letters].sort(), expected, `${when}: checkpoint and dead letters disagree`);
    });

    const { code, stderr } = await rig.run(["run"]);
    equal(code, 0, stderr);
    const letters = await rig.deadLetters();
    deepEqual(letters.map(({ event }) => event.id).sort(), oldIds);
    equal(rig.cloudwatch.events().length, 0);
  });
});
