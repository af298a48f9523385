import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { createSyncWriter } from "../../src/lib/sync-writer.ts";

describe("a synchronous writer", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "sync-writer-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("has written a text when write returns", () => {
    const path = join(folder, "log");
    const fd = openSync(path, "a");
    const writer = createSyncWriter(fd);
    writer.write("één\n");
    assert.equal(readFileSync(path, "utf8"), "één\n");
    writer.write("two\n");
    assert.equal(readFileSync(path, "utf8"), "één\ntwo\n");
    closeSync(fd);
  });

  it("drops what a full pipe does not take within a second, and goes on with whole lines", () => {
    const pipe = openPipe(join(folder, "pipe"));
    const writer = createSyncWriter(pipe.writeFd);
    const line = (digit: number) => `${String(digit).repeat(9_999)}\n`;
    const startedAtMs = performance.now();
    for (let digit = 0; digit <= 9; digit++) writer.write(line(digit));
    const tookMs = performance.now() - startedAtMs;
    assert.ok(tookMs > 900 && tookMs < 3_500, `waits once for a second, took ${tookMs} ms`);

    const taken = pipe.read();
    writer.write("later\n");
    const lines = (taken + pipe.read()).split("\n");
    assert.deepEqual(lines.slice(-2), ["later", ""]);
    const [torn = "", ...whole] = lines.slice(0, -2).reverse();
    assert.ok(whole.length > 0 && torn.length > 0 && torn.length < 9_999);
    for (const [digit, text] of whole.reverse().entries()) assert.equal(`${text}\n`, line(digit));
    pipe.close();
  });

  it("waits for a slow reader again once something was taken", () => {
    const pipe = openPipe(join(folder, "pipe"));
    const writer = createSyncWriter(pipe.writeFd);
    const fill = () => {
      for (let index = 0; index < 20; index++) writer.write("x".repeat(4_096));
    };
    fill();
    pipe.read();
    const startedAtMs = performance.now();
    fill();
    assert.ok(performance.now() - startedAtMs > 900);
    pipe.close();
  });

  it("does not mind a reader that has gone", () => {
    const pipe = openPipe(join(folder, "pipe"));
    closeSync(pipe.readFd);
    createSyncWriter(pipe.writeFd).write("to nobody\n");
    closeSync(pipe.writeFd);
  });

  it("does not mind a full disk", {
    skip: !existsSync("/dev/full") && "this system has no /dev/full",
  }, () => {
    const fd = openSync("/dev/full", "w");
    createSyncWriter(fd).write("too much\n");
    closeSync(fd);
  });
});

/** A named pipe with both ends in this process, neither of them blocking. */
function openPipe(path: string) {
  execFileSync("/usr/bin/env", ["mkfifo", path]);
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeFd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(1 << 20);
  return {
    readFd,
    writeFd,
    read: () => buffer.toString("utf8", 0, readSync(readFd, buffer)),
    close: () => {
      closeSync(readFd);
      closeSync(writeFd);
    },
  };
}
