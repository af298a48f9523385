import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { open, startOwner, temporaryFolder } from "./support.ts";

/** How long a new owner may take after the old one is gone. */
const hardLimitMs = 500;

test("a second process is told who owns the folder, and since when", async () => {
  await using folder = await temporaryFolder();
  await using owner = startOwner("hold", folder.state);
  assert.deepEqual(await owner.next(), { opened: true });
  const { startedAt } = JSON.parse(await readFile(join(folder.state, "owner.json"), "utf8")) as {
    startedAt: string;
  };
  assert.ok(Math.abs(Date.parse(startedAt) - Date.now()) < 60_000);
  await assert.rejects(open(folder.state), {
    name: "ExportError",
    kind: "locked",
    message:
      `the state folder ${folder.state} is in use by process ${owner.pid} on ${hostname()}, started ${startedAt}: ` +
      "stop it, or give this one a CHECKPOINT_DIR of its own",
  });
});

test("a second store in the same process is refused as well, and the first keeps the lock", async () => {
  await using folder = await temporaryFolder();
  await using store = await open(folder.state);
  await assert.rejects(open(folder.state), {
    kind: "locked",
    message: new RegExp(`process ${process.pid} `),
  });
  // Closing a file drops the locks of its whole process on it, so ask another process.
  await using other = startOwner("hold", folder.state);
  assert.equal((await other.next())?.kind, "locked");
  await store.claim("p");
});

test("the folder is free at once after a clean stop and after kill -9", async () => {
  await using folder = await temporaryFolder();
  for (const stop of ["end", "kill"]) {
    await using owner = startOwner("hold", folder.state);
    assert.deepEqual(await owner.next(), { opened: true });
    if (stop === "end") owner.end();
    else owner.signal("SIGKILL");
    await owner.ended();
    const endedAtMs = performance.now();
    await using _store = await open(folder.state);
    assert.ok(
      performance.now() - endedAtMs < hardLimitMs,
      `free only ${performance.now() - endedAtMs} ms later`,
    );
    const owned = JSON.parse(await readFile(join(folder.state, "owner.json"), "utf8")) as { pid: number };
    assert.equal(owned.pid, process.pid);
  }
});

test("a paused owner keeps the folder", async () => {
  await using folder = await temporaryFolder();
  await using owner = startOwner("hold", folder.state);
  assert.deepEqual(await owner.next(), { opened: true });
  owner.signal("SIGSTOP");
  await assert.rejects(open(folder.state), { kind: "locked" });
  owner.signal("SIGCONT");
  owner.end();
  await owner.ended();
  await using _store = await open(folder.state);
});

test("an owner whose name cannot be read is another process", async () => {
  await using folder = await temporaryFolder();
  await using _store = await open(folder.state);
  for (const text of ["null", '{"pid":1,"host":']) {
    await writeFile(join(folder.state, "owner.json"), text);
    await assert.rejects(open(folder.state), {
      kind: "locked",
      message: /in use by another process: stop it/,
    });
  }
});

test("a lock file that holds something is not ours and is not locked", async () => {
  await using folder = await temporaryFolder();
  const store = await open(folder.state);
  await store.close();
  await writeFile(join(folder.state, "lock.db"), "somebody's notes");
  await assert.rejects(open(folder.state), { kind: "config", message: /lock\.db is not a lock file/ });
});
