import assert from "node:assert/strict";
import { test } from "node:test";
import { open, startOwner, temporaryFolder } from "./support.ts";

const kills = 20;

test(`${kills} × kill -9 during commits: nothing acknowledged is lost, and dead letters match the cursor`, async () => {
  await using folder = await temporaryFolder();
  let before = 0;
  for (let kill = 0; kill < kills; kill++) {
    await using owner = startOwner("commit", folder.state);
    assert.deepEqual(await owner.next(), { opened: true });
    const acknowledgements = 1 + Math.floor(Math.random() * 40);
    let acknowledged = before;
    const read = (fact: { committed?: number } | undefined) => {
      assert.equal(fact?.committed, acknowledged + 1);
      acknowledged++;
    };
    for (let n = 0; n < acknowledgements; n++) read(await owner.next());
    owner.signal("SIGKILL");
    for (let fact = await owner.next(); fact !== undefined; fact = await owner.next()) read(fact);

    await using store = await open(folder.state);
    const stored = Number((await store.checkpoint("p"))?.cursor);
    assert.ok(stored >= acknowledged, `cursor ${stored} although ${acknowledged} was acknowledged`);
    assert.ok(stored <= acknowledged + 1, `cursor ${stored} after ${acknowledged}`);
    const letters = await store.deadLetters({ pipeline: "p", limit: 1_000_000 });
    assert.deepEqual(
      letters.map(({ event }) => Number(event.id)),
      Array.from({ length: Math.floor(stored / 3) }, (_, n) => 3 * (n + 1)),
    );
    before = stored;
  }
});
