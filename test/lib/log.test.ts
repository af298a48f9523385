import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { ExportError } from "../../src/core/errors.ts";
import { createLog, type LogOptions } from "../../src/lib/log.ts";
import { createRedactor } from "../../src/lib/redact.ts";

/** A log that keeps its lines. */
async function createTestLog(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = await createLog({
    level: "info",
    pretty: false,
    redact: (line) => line,
    stream: { write: (line) => lines.push(line) },
    ...options,
  });
  return { log, lines, first: () => JSON.parse(lines[0] ?? "") };
}

describe("a line of the log", () => {
  it("is JSON with an ISO time and the level as a word", async () => {
    const { log, lines, first } = await createTestLog();
    log.info({ pipeline: "cloudwatch", counts: { read: 2 } }, "run ended");
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /^\{.*\}\n$/);
    const { time, ...fields } = first();
    assert.equal(new Date(time).toISOString(), time);
    assert.deepEqual(fields, {
      level: "info",
      pipeline: "cloudwatch",
      counts: { read: 2 },
      msg: "run ended",
    });
  });

  it("has the fields of the log and of its child", async () => {
    const { log, first } = await createTestLog({ base: { tenant: "acme" } });
    log.child({ pipeline: "stdout" }).warn("hm");
    assert.partialDeepStrictEqual(first(), { level: "warn", tenant: "acme", pipeline: "stdout", msg: "hm" });
  });

  it("is written only from the log's level on", async () => {
    const { log, lines } = await createTestLog({ level: "warn" });
    log.debug("no");
    log.info("no");
    log.warn("yes");
    log.error("yes");
    assert.equal(lines.length, 2);
    const silent = await createTestLog({ level: "silent" });
    silent.log.error("no");
    assert.equal(silent.lines.length, 0);
  });

  for (const pretty of [false, true]) {
    it(`holds no secret, ${pretty ? "pretty" : "as JSON"}`, async () => {
      const secret = 'hunter"22\\\n';
      const { redact } = createRedactor([secret]);
      const { log, lines } = await createTestLog({ level: "debug", pretty, redact, base: { base: secret } });
      log.info(secret);
      log.info({ deep: { list: [secret] }, [secret]: 1 }, `with ${secret}`);
      log.child({ secret }).info("x");
      const cause = new Error(`cause ${secret}`);
      log.error({ err: new ExportError("auth", `denied ${secret}`, { cause }) }, "failed");
      log.error(new AggregateError([cause, secret], secret));
      assert.equal(lines.length, 5);
      for (const line of lines) {
        assert.match(line, /\[redacted\]/);
        assert.doesNotMatch(line, /hunter/);
      }
    });
  }
});

describe("an error in the log", () => {
  it("shows its kind, its message and its causes, and no more", async () => {
    const refused = Object.assign(new Error("connect 127.0.0.1:1"), { code: "ECONNREFUSED" });
    const cause = Object.assign(new TypeError("fetch failed", { cause: refused }), {
      request: { body: "x" },
    });
    for (const key of ["err", "error"]) {
      const { log, first } = await createTestLog();
      log.error({ [key]: new ExportError("transient", "could not read", { cause }) }, "run failed");
      assert.deepEqual(first()[key], {
        kind: "transient",
        message: "could not read",
        causes: ["TypeError: fetch failed", "ECONNREFUSED: connect 127.0.0.1:1"],
      });
    }
  });

  it("is the message when there is none", async () => {
    const { log, first } = await createTestLog();
    log.error(new RangeError("too far"));
    assert.partialDeepStrictEqual(first(), {
      msg: "too far",
      error: { name: "RangeError", message: "too far", causes: [] },
    });
  });

  it("shows the stacks, causes included, at debug and for a bug", async () => {
    const cause = new TypeError("x is undefined");
    const stacks = /ExportError: oops\n {4}at .*\ncaused by: TypeError: x is undefined\n {4}at /s;
    const debug = await createTestLog({ level: "debug" });
    debug.log.warn({ err: new ExportError("transient", "oops", { cause }) }, "hm");
    assert.match(debug.first().err.stack, stacks);
    const bug = await createTestLog();
    bug.log.error({ err: new ExportError("bug", "oops", { cause }) }, "hm");
    assert.match(bug.first().err.stack, stacks);
  });

  it("shows every kind of cause, and ends with a chain that does not", async () => {
    const { log, lines } = await createTestLog();
    const loop = new Error("loop");
    loop.cause = loop;
    log.error({ err: loop }, "hm");
    log.error(
      { err: new AggregateError([new Error("one"), "two", { three: 3 }, Object.create(null)], "all") },
      "hm",
    );
    log.error({ error: { kind: "auth", message: "of a run record" } }, "hm");
    const [looped, aggregate, record] = lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      looped.err.causes,
      Array.from({ length: 8 }, () => "Error: loop"),
    );
    assert.deepEqual(aggregate.err.causes, [
      "Error: one",
      "two",
      "{ three: 3 }",
      "[Object: null prototype] {}",
    ]);
    assert.deepEqual(record.error, { kind: "auth", message: "of a run record" });
  });
});

describe("a pretty line", () => {
  it("is text, without colours where it is not a terminal that reads it", async () => {
    const { log, lines } = await createTestLog({ pretty: true });
    log.warn({ pipeline: "cloudwatch", error: new ExportError("auth", "denied") }, "run failed");
    assert.match(
      lines.join(""),
      /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] WARN: run failed \{"pipeline":"cloudwatch"\}\n/,
    );
    assert.match(lines.join(""), /"kind": "auth"/);
    assert.ok(!lines.join("").includes("\u001b"));
  });
});

const logUrl = new URL("../../src/lib/log.ts", import.meta.url).href;

/** Runs `body` in a process of its own, with `createLog` in scope. */
function runChild(body: string, stderr: "pipe" | number = "pipe") {
  const script = `import { createLog } from ${JSON.stringify(logUrl)};\n${body}`;
  return spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["pipe", "pipe", stderr],
  });
}

const options = `{ level: "info", redact: (line) => line, pretty: false }`;
const manyLines = `
  const log = await createLog(${options});
  const filler = (index) => "x".repeat(index === 1000 ? 500_000 : 500);
  for (let index = 0; index < 2000; index++) log.info({ index, filler: filler(index) }, "line");
  process.exit(7);`;

function assertAllLines(output: string): void {
  const lines = output.trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).index),
    Array.from({ length: 2000 }, (_, index) => index),
  );
}

describe("the log on stderr", { timeout: 30_000 }, () => {
  // Node makes a pipe non-blocking once `process.stderr` was used, so both kinds are met in practice.
  for (const [name, prelude] of [
    ["a pipe", ""],
    ["a non-blocking pipe", "process.stderr.write('');"],
  ] as const) {
    it(`loses no line at process.exit, to ${name} with a slow reader`, async () => {
      const child = runChild(`${prelude} process.stdout.write("started"); ${manyLines}`);
      const closed = once(child, "close");
      // The pipe is full long before anything is read from it.
      await once(child.stdout!, "data");
      const output = await text(child.stderr!);
      assertAllLines(output);
      assert.deepEqual(await closed, [7, null]);
    });
  }

  it("loses no line at process.exit, to a file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "log-"));
    const fd = openSync(join(folder, "log"), "w");
    const child = runChild(manyLines, fd);
    closeSync(fd);
    assert.deepEqual(await once(child, "exit"), [7, null]);
    assertAllLines(readFileSync(join(folder, "log"), "utf8"));
    await rm(folder, { recursive: true });
  });

  for (const pretty of [false, true]) {
    it(`does not end the program when nobody reads it any more, ${pretty ? "pretty" : "as JSON"}`, async () => {
      const child = runChild(`
        const log = await createLog({ ...${options}, pretty: ${pretty} });
        log.info("ready");
        process.stdin.once("data", () => {
          for (let index = 0; index < 1000; index++) log.info({ filler: "x".repeat(500) }, "line");
          setImmediate(() => { process.stdout.write("still here"); process.exit(7); });
        });`);
      const closed = once(child, "exit");
      await once(child.stderr!, "data");
      child.stderr!.destroy();
      await once(child.stderr!, "close");
      child.stdin!.end("go");
      assert.equal(await text(child.stdout!), "still here");
      assert.deepEqual(await closed, [7, null]);
    });
  }

  it("loads pino only when a log is created, and pino-pretty only when asked for", async () => {
    const child = runChild(`
      import { createRequire } from "node:module";
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).map((path) => path.split("node_modules/")[1]?.split("/")[0]);
      const report = { before: loaded() };
      await createLog(${options});
      report.plain = loaded();
      await createLog({ ...${options}, pretty: true });
      report.pretty = loaded();
      process.stdout.write(JSON.stringify(report));`);
    const { before, plain, pretty } = JSON.parse(await text(child.stdout!));
    assert.deepEqual(before, []);
    assert.ok(plain.includes("pino") && !plain.includes("pino-pretty"));
    assert.ok(pretty.includes("pino-pretty"));
  });
});
