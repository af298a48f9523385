import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { assertCurrentSchema, migrate, schemaVersion } from "../../src/state/schema.ts";
import { open, temporaryFolder } from "./support.ts";

function setVersion(dir: string, version: number): void {
  const db = new DatabaseSync(join(dir, "state.db"));
  db.exec(`PRAGMA user_version = ${version}`);
  db.close();
}

test("an empty database becomes one of the newest schema, once", () => {
  const db = new DatabaseSync(":memory:");
  assert.throws(() => assertCurrentSchema(db), { kind: "config", message: /start the exporter once/ });
  migrate(db);
  assertCurrentSchema(db);
  migrate(db);
  assertCurrentSchema(db);
});

test("migrations go on from the version that is there, in one transaction", () => {
  const db = new DatabaseSync(":memory:");
  const steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1)"];
  migrate(db, steps);
  const more = [...steps, "INSERT INTO a VALUES (2)", "INSERT INTO nowhere VALUES (3)"];
  assert.throws(() => migrate(db, more));
  assert.equal(schemaVersion(db), 2);
  assert.deepEqual(db.prepare("SELECT x FROM a").all().length, 1);
  migrate(db, more.slice(0, 3));
  assert.equal(schemaVersion(db), 3);
  assert.deepEqual(db.prepare("SELECT x FROM a").all().length, 2);
});

test("a schema newer than this program is refused with both versions, and stays as it is", async () => {
  await using folder = await temporaryFolder();
  const store = await open(folder.state);
  await store.claim("p");
  await store.close();
  setVersion(folder.state, 7);
  for (const mode of ["own", "read"] as const)
    await assert.rejects(open(folder.state, mode), {
      kind: "config",
      message: new RegExp(
        `${folder.state}/state\\.db has schema version 7, and this program knows version 1: use the newer version`,
      ),
    });
  setVersion(folder.state, 1);
  await using again = await open(folder.state);
  assert.equal((await again.checkpoint("p"))?.epoch, 1);
});

test("state that lost its schema version, as in a dump, is refused instead of begun anew", async () => {
  await using folder = await temporaryFolder();
  const store = await open(folder.state);
  await store.close();
  setVersion(folder.state, 0);
  for (const mode of ["own", "read"] as const)
    await assert.rejects(open(folder.state, mode), {
      kind: "config",
      message: /no schema version, PRAGMA user_version is 0/,
    });
});
