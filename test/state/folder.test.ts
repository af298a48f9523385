import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeFolder } from "../../src/state/folder.ts";

test("a folder is made with those above it, for this user alone, and one that exists is left as it is", (t) => {
  const root = mkdtempSync(join(tmpdir(), "folder-test-"));
  t.after(() => rmSync(root, { recursive: true }));
  const path = join(root, "a", "b");
  makeFolder(path);
  makeFolder(path);
  for (const made of [join(root, "a"), path]) assert.equal(statSync(made).mode & 0o777, 0o700);
});

test("a file system that makes no folders is an error, not a hang", (t) => {
  if (process.platform !== "linux") return t.skip("there is no /proc");
  const url = new URL("../../src/state/folder.ts", import.meta.url).href;
  const code = `import { makeFolder } from ${JSON.stringify(url)}; makeFolder("/proc/no/folder")`;
  const options = { timeout: 10_000, encoding: "utf8" } as const;
  const { signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], options);
  assert.equal(signal, null, "it had to be ended");
  assert.match(stderr, /ENOENT/);
});
