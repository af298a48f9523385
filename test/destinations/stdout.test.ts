import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { createStdout } from "../../src/destinations/stdout.ts";
import { sampleEvent, sampleEvents, testDestination, until } from "../contract/destination.ts";

const { signal } = new AbortController();

testDestination("standard output", { troubles: [], refuses: false, verbatim: true }, async () => {
  const chunks: string[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      setImmediate(done);
    },
  });
  return {
    destination: createStdout({ stream }),
    held: () =>
      chunks
        .join("")
        .split("\n")
        .filter((line) => line !== "")
        .map((raw) => ({ id: JSON.parse(raw).log_id, raw })),
    requests: () => chunks.length,
    meet: () => {},
    poison: () => {},
    secrets: [],
    close: async () => {},
  };
});

/** Runs `code` in a process of its own whose standard output is a destination. Returns what it reports, in order. */
async function runWith(stdout: "closed pipe" | number, code: string): Promise<string[]> {
  const imported = new URL("../../src/destinations/stdout.ts", import.meta.url).href;
  const script = `
    import { createStdout } from ${JSON.stringify(imported)};
    const destination = createStdout({ stream: process.stdout });
    const { signal } = new AbortController();
    const event = { id: "1", type: "s", timeMs: 0, raw: "{}", data: {} };
    const report = async (sending) => console.error(await sending.then(() => "accepted", ({ kind }) => kind));
    await new Promise((resolve) => process.stdin.resume().once("end", resolve));
    ${code}`;
  const stdio = ["pipe", stdout === "closed pipe" ? "pipe" : stdout, "pipe"] as const;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: [...stdio] });
  child.stdout?.destroy();
  child.stdin?.end();
  const [printed] = await Promise.all([text(child.stderr!), once(child, "exit")]);
  assert.equal(child.exitCode, 0, printed);
  return printed.trim().split("\n");
}

describe("standard output", () => {
  test("resolves only when the stream has taken every byte", async () => {
    const finish: (() => void)[] = [];
    const stream = new Writable({ write: (_chunk, _encoding, done) => finish.push(done) });
    let isDone = false;
    const sending = createStdout({ stream })
      .send(sampleEvents(2), signal)
      .then(() => {
        isDone = true;
      });
    await until(() => finish.length === 1);
    assert.equal(isDone, false);
    finish[0]?.();
    await sending;
  });

  test("stops waiting for a reader that does not read when the signal aborts", async () => {
    const abort = new AbortController();
    const reason = new Error("stopped by the test");
    const stream = new Writable({ write: () => {} });
    const sending = createStdout({ stream }).send(sampleEvents(2), abort.signal);
    abort.abort(reason);
    await assert.rejects(sending, (error) => error === reason);
  });

  test("on a stream that was destroyed or ended is permanent, now and later", async () => {
    for (const end of ["destroy", "end"] as const) {
      const stream = new PassThrough();
      const destination = createStdout({ stream });
      stream[end]();
      await assert.rejects(destination.send(sampleEvents(1), signal), { kind: "permanent" });
      await assert.rejects(destination.send(sampleEvents(1), signal), { kind: "permanent" });
      assert.equal((await destination.check(signal))[0]?.ok, false);
    }
  });

  test("a stream that broke for good is not written to any more", async () => {
    const broken = Object.assign(new Error("no space"), { code: "ENOSPC" });
    const stream = new Writable({ autoDestroy: false, write: (_chunk, _encoding, done) => done(broken) });
    const destination = createStdout({ stream });
    await assert.rejects(destination.send(sampleEvents(1), signal), { kind: "transient" });
    await assert.rejects(destination.send(sampleEvents(1), signal), { kind: "transient" });
  });

  const sendTwice = "for (const _ of [1, 2]) await report(destination.send([event], signal));";

  test("a reader that has gone is a permanent error, and does not end the process", async () => {
    assert.deepEqual(await runWith("closed pipe", sendTwice), ["permanent", "permanent"]);
  });

  test("a full disk is a passing error", {
    skip: !existsSync("/dev/full") && "there is no /dev/full",
  }, async () => {
    const full = openSync("/dev/full", "w");
    assert.deepEqual(await runWith(full, sendTwice), ["transient", "transient"]);
    closeSync(full);
  });

  test("a line torn by a failed write is ended before the next one", async () => {
    const chunks: string[] = [];
    let failures = 1;
    const stream = new Writable({
      write(chunk, _encoding, done) {
        chunks.push(String(chunk));
        done(failures-- > 0 ? Object.assign(new Error("no space"), { code: "ENOSPC" }) : null);
      },
      // As process.stdout does: a failed write does not end it.
      destroy() {
        (this as unknown as { _undestroy(): void })._undestroy();
      },
    });
    const destination = createStdout({ stream });
    const event = sampleEvent(1);
    await assert.rejects(destination.send([event], signal), { kind: "transient" });
    await destination.send([event], signal);
    await destination.send([event], signal);
    assert.deepEqual(chunks, [`${event.raw}\n`, `\n${event.raw}\n`, `${event.raw}\n`]);
  });
});
