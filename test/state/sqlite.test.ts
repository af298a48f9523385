import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { inspect } from "node:util";
import { openStore } from "../../src/state/sqlite.ts";
import { letter, progress, record, testStore } from "../contract/store.ts";
import { open, startOwner, temporaryFolder } from "./support.ts";

testStore("sqlite", async () => {
  const dir = await mkdtemp(join(tmpdir(), "store-"));
  return {
    open: (clock) => openStore({ dir, mode: "own", clock }),
    remove: () => rm(dir, { recursive: true }),
  };
});

test("the folder and its files are made for this user alone", async () => {
  await using folder = await temporaryFolder();
  const dir = join(folder.state, "below", "another");
  await using store = await open(dir);
  await store.claim("p");
  const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
  assert.equal(await modeOf(dir), 0o700);
  const files = await readdir(dir);
  assert.deepEqual(files.sort(), ["lock.db", "owner.json", "state.db", "state.db-shm", "state.db-wal"]);
  for (const file of files) assert.equal(await modeOf(join(dir, file)), 0o600, file);
});

test("closing leaves state.db whole, without a log or an owner beside it", async () => {
  await using folder = await temporaryFolder();
  const store = await open(folder.state);
  await store.claim("p");
  await store.close();
  assert.deepEqual((await readdir(folder.state)).sort(), ["lock.db", "state.db"]);
});

test("a folder that cannot be written is a config error that names it and what to do", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.dir, "file");
  await writeFile(file, "");
  for (const dir of [file, join(file, "checkpoints")])
    await assert.rejects(open(dir), {
      name: "ExportError",
      kind: "config",
      message: new RegExp(
        `cannot open the state in ${dir}: .*make the folder ${dir} writable.*CHECKPOINT_DIR`,
      ),
    });
});

test("a process that died while it made the state leaves nothing in the way", async () => {
  await using folder = await temporaryFolder();
  const first = await open(folder.state);
  await first.close();
  await rm(join(folder.state, "state.db"));
  for (const suffix of ["", "-journal", "-wal", "-shm"])
    await writeFile(join(folder.state, `state.db.new${suffix}`), "half of something");
  await using store = await open(folder.state);
  await store.claim("p");
  assert.deepEqual(
    (await readdir(folder.state)).filter((name) => name.includes("new")),
    [],
  );
});

test("a full disk is a transient error, costs nothing that was committed, and does not wedge the store", async (t) => {
  // The limit on the size of a file is the kernel's own refusal to write more; Windows has none.
  if (process.platform === "win32") return t.skip("no limit on the size of files");
  await using folder = await temporaryFolder();
  await using owner = startOwner("fill", folder.state, 512);
  assert.deepEqual(await owner.next(), { opened: true });
  let fact = await owner.next();
  let committed = 0;
  for (; fact?.committed !== undefined; fact = await owner.next()) committed = fact.committed;
  assert.ok(committed > 0);
  assert.equal(fact?.refused, committed + 1);
  assert.equal(fact?.kind, "transient");
  assert.match(fact?.message ?? "", /^cannot store the checkpoint of p: the disk .* full; .*checkpoints/);
  assert.doesNotMatch(fact?.message ?? "", /secret-content/);
  assert.deepEqual(await owner.next(), { cursor: String(committed), letters: committed });
  assert.deepEqual(await owner.next(), { cursor: "after" });
  owner.signal("SIGKILL");
  await owner.ended();
  await using store = await open(folder.state);
  assert.equal((await store.checkpoint("p"))?.cursor, "after");
  assert.equal(await store.countDeadLetters("p"), committed);
});

test("a full disk when the state is made is a transient error, and the next start is a first one", async (t) => {
  if (process.platform === "win32") return t.skip("no limit on the size of files");
  await using folder = await temporaryFolder();
  await using owner = startOwner("hold", folder.state, 8);
  const fact = await owner.next();
  assert.equal(fact?.kind, "transient");
  await owner.ended();
  await using store = await open(folder.state);
  assert.equal((await store.claim("p")).epoch, 1);
});

test("a program that holds state.db makes a commit transient, not lost", async () => {
  await using folder = await temporaryFolder();
  await using store = await open(folder.state);
  const { epoch } = await store.claim("p");
  const foreign = new DatabaseSync(join(folder.state, "state.db"));
  foreign.exec("BEGIN IMMEDIATE");
  await assert.rejects(store.commit("p", epoch, progress("c1")), {
    kind: "transient",
    message: /another program holds .*state\.db/,
  });
  foreign.close();
  await store.commit("p", epoch, progress("c1"));
  assert.equal((await store.checkpoint("p"))?.cursor, "c1");
});

test("reading goes on beside the owner, sees every commit, and refuses to write", async () => {
  await using folder = await temporaryFolder();
  const owner = await open(folder.state);
  await using reader = await open(folder.state, "read");
  const { epoch } = await owner.claim("p");
  for (const cursor of ["c1", "c2"]) {
    await owner.commit("p", epoch, progress(cursor, { deadLetters: [letter(cursor)] }));
    assert.equal((await reader.checkpoint("p"))?.cursor, cursor);
  }
  assert.equal(await reader.countDeadLetters(), 2);
  for (const write of [
    reader.claim("p"),
    reader.commit("p", epoch, progress("c3")),
    reader.setCheckpoint("p", { cursor: "c3", eventTimeMs: null }),
    reader.removeCheckpoint("p"),
    reader.startRun({ pipeline: "p", startedAtMs: 1, trigger: "test", from: null }),
    reader.removeDeadLetters([1, 2]),
  ])
    await assert.rejects(write, { kind: "bug", message: /opened for reading only/ });
  await owner.close();
  assert.deepEqual([(await reader.checkpoint("p"))?.cursor, await reader.countDeadLetters()], ["c2", 2]);
});

test("reading works without an owner, also after one that was killed", async () => {
  await using folder = await temporaryFolder();
  await using owner = startOwner("commit", folder.state);
  let committed = 0;
  for (let fact = await owner.next(); committed < 20; fact = await owner.next())
    committed = fact?.committed ?? 0;
  owner.signal("SIGKILL");
  await owner.ended();
  await using reader = await open(folder.state, "read");
  assert.ok(Number((await reader.checkpoint("p"))?.cursor) >= committed);
});

test("reading where nothing has run yet says so", async () => {
  await using folder = await temporaryFolder();
  for (const dir of [folder.dir, folder.state])
    await assert.rejects(open(dir, "read"), {
      kind: "config",
      message: /there is no state in .* yet: start/,
    });
});

test("of each pipeline the newest 10,000 runs are kept", async () => {
  await using folder = await temporaryFolder();
  const first = await open(folder.state);
  await first.startRun({ pipeline: "other", startedAtMs: 1, trigger: "test", from: null });
  await first.close();
  const db = new DatabaseSync(join(folder.state, "state.db"));
  db.exec(`WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10002)
    INSERT INTO run (id, pipeline, started_by, outcome, started_at_ms, counts, error, notices, unknown_types)
    SELECT i, 'p', 'test', 'succeeded', i, '{}', 'null', '[]', '{}' FROM n`);
  db.close();
  await using store = await open(folder.state);
  const id = await store.startRun({ pipeline: "p", startedAtMs: 1, trigger: "test", from: null });
  await store.finishRun(id, record("p"));
  const kept = await store.runs({ pipeline: "p", limit: 20_000 });
  assert.equal(kept.length, 10_000);
  assert.deepEqual([kept[0]?.id, kept.at(-1)?.id], [10_003, 4]);
  assert.equal((await store.runs({ pipeline: "other", limit: 5 })).length, 1);
});

test("a closed store refuses, and no error carries an event", async () => {
  await using folder = await temporaryFolder();
  const store = await open(folder.state);
  const { epoch } = await store.claim("p");
  const next = progress("c1", { deadLetters: [letter("e1", "secret-content")] });
  const errors = [await store.commit("p", epoch + 1, next).catch((error: unknown) => error)];
  await store.close();
  errors.push(await store.commit("p", epoch, next).catch((error: unknown) => error));
  for (const error of errors) {
    assert.ok(error instanceof Error);
    assert.doesNotMatch(inspect(error, { depth: 9 }), /secret-content|log_id/);
  }
});
