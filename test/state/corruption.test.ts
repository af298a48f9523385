import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { copyFile, open as openFile, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { letter, progress, record } from "../contract/store.ts";
import { open, startOwner, temporaryFolder } from "./support.ts";

const pageBytes = 4096;

const corrupt = (dir: string) => ({
  name: "ExportError",
  kind: "config",
  message: new RegExp(
    `the state in ${dir} is corrupt \\(.*never restarts from zero.*restore a backup of state\\.db`,
  ),
});

/** A closed state folder that has something of everything. */
async function usedState(dir: string): Promise<string> {
  await using store = await open(dir);
  const { epoch } = await store.claim("p");
  for (let n = 0; n < 20; n++) {
    const letters = [letter(`e${n}`, "too old ".repeat(50))];
    await store.commit("p", epoch, progress(`c${n}`, { deadLetters: letters }));
    const id = await store.startRun({ pipeline: "p", startedAtMs: n, trigger: "test", from: null });
    await store.finishRun(id, record("p"));
  }
  return join(dir, "state.db");
}

/** @param page counted from 1, as SQLite does */
async function overwritePage(file: string, page: number): Promise<void> {
  const handle = await openFile(file, "r+");
  await handle.write(Buffer.alloc(pageBytes, 0xff), 0, pageBytes, (page - 1) * pageBytes);
  await handle.close();
}

test("what is not a database is refused, by the owner and by a reader", async () => {
  await using folder = await temporaryFolder();
  const file = await usedState(folder.state);
  const good = await readFile(file);
  const cases: Record<string, Buffer> = {
    empty: Buffer.alloc(0),
    "one byte": Buffer.from("S"),
    text: Buffer.from("cursor=900202611201200000\n".repeat(400)),
    zeros: Buffer.alloc(good.length),
    "random bytes": randomFillSync(Buffer.alloc(good.length)),
    "header alone": good.subarray(0, 100),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    await writeFile(file, bytes);
    for (const mode of ["own", "read"] as const)
      await assert.rejects(open(folder.state, mode), corrupt(folder.state), `${name}, ${mode}`);
    assert.deepEqual(await readFile(file), bytes, `${name}: the evidence was changed`);
  }
  await writeFile(file, good);
  await using store = await open(folder.state);
  assert.equal((await store.checkpoint("p"))?.cursor, "c19");
});

test("a truncated file is refused at every length", async () => {
  await using folder = await temporaryFolder();
  const file = await usedState(folder.state);
  const backup = join(folder.dir, "backup.db");
  await copyFile(file, backup);
  const { size } = await stat(file);
  for (let length = size - pageBytes; length > 0; length -= pageBytes)
    for (const cut of [length, length + 1000]) {
      await copyFile(backup, file);
      await truncate(file, cut);
      await assert.rejects(open(folder.state), corrupt(folder.state), `${cut} of ${size} bytes`);
    }
});

test("random bytes anywhere: refused, or the checkpoint is what it was", async () => {
  await using folder = await temporaryFolder();
  const file = await usedState(folder.state);
  const backup = join(folder.dir, "backup.db");
  await copyFile(file, backup);
  const pages = (await stat(file)).size / pageBytes;
  let refused = 0;
  const damage = fc.record({
    page: fc.integer({ min: 0, max: pages - 1 }),
    bytes: fc.uint8Array({ minLength: 200, maxLength: pageBytes }),
  });
  await fc.assert(
    fc.asyncProperty(damage, async ({ page, bytes }) => {
      await copyFile(backup, file);
      const handle = await openFile(file, "r+");
      await handle.write(bytes, 0, bytes.length, page * pageBytes);
      await handle.close();
      try {
        await using store = await open(folder.state);
        assert.equal((await store.checkpoint("p"))?.cursor, "c19");
        await store.deadLetters({ limit: 100 });
        await store.runs({ limit: 100 });
      } catch (error) {
        assert.ok(error instanceof Error && "kind" in error && error.kind === "config", inspect(error));
        refused++;
      }
    }),
    { numRuns: 60 },
  );
  assert.ok(refused > 30, `only ${refused} of 60 were refused`);
});

test("damage that shows only when it is read is a config error too, and quotes nothing", async () => {
  await using folder = await temporaryFolder();
  const file = await usedState(folder.state);
  const db = new DatabaseSync(file);
  db.exec("UPDATE dead_letter SET raw = 'secret-content'; UPDATE run SET counts = 'secret-content'");
  const { rootpage } = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'checkpoint'").get() ?? {};
  db.close();
  const store = await open(folder.state);
  for (const reading of [store.deadLetters({ limit: 10 }), store.runs({ limit: 10 })])
    await assert.rejects(reading, (error: Error) => {
      assert.match(error.message, corrupt(folder.state).message);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /secret|content/);
      return true;
    });
  await store.close();

  await overwritePage(file, Number(rootpage));
  await using reader = await open(folder.state, "read");
  await assert.rejects(reader.checkpoint("p"), corrupt(folder.state));
});

test("state swollen by dead letters is checked where the checkpoints are", async () => {
  await using folder = await temporaryFolder();
  const file = await usedState(folder.state);
  const db = new DatabaseSync(file);
  db.exec(`PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;
    UPDATE dead_letter SET raw = '"' || hex(zeroblob(33 * 1024 * 1024)) || '"' WHERE id = 1;
    PRAGMA journal_mode = WAL`);
  const { rootpage } = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'checkpoint'").get() ?? {};
  db.close();
  const healthy = await open(folder.state);
  assert.equal((await healthy.checkpoint("p"))?.cursor, "c19");
  await healthy.close();
  await overwritePage(file, Number(rootpage));
  await assert.rejects(open(folder.state), corrupt(folder.state));
});

test("a log without its database is refused; SQLite would throw it away and begin anew", async () => {
  await using folder = await temporaryFolder();
  await using owner = startOwner("commit", folder.state);
  for (let fact = await owner.next(); fact?.committed !== 5; fact = await owner.next()) assert.ok(fact);
  owner.signal("SIGKILL");
  await owner.ended();
  const file = join(folder.state, "state.db");
  for (const damage of [() => truncate(file, 0), () => rm(file)]) {
    await damage();
    for (const mode of ["own", "read"] as const)
      await assert.rejects(open(folder.state, mode), corrupt(folder.state));
    assert.ok((await stat(`${file}-wal`)).size > 0);
  }
});

test("the owner of a corrupt folder gives the lock back", async () => {
  await using folder = await temporaryFolder();
  const file = await usedState(folder.state);
  const good = await readFile(file);
  await writeFile(file, "not a database");
  await assert.rejects(open(folder.state), { kind: "config" });
  await writeFile(file, good);
  await using _store = await open(folder.state);
});
