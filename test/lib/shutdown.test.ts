import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, it } from "node:test";
import { until } from "../support/exporter.ts";

const url = (path: string) => JSON.stringify(new URL(`../../src/lib/${path}`, import.meta.url).href);

let running: ChildProcess[] = [];

afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
  running = [];
});

/** A program of its own, with `shutdown`, `log` and `say` in scope. What it says and logs comes out in order. */
async function start(body: string, graceMs: number) {
  const script = `
    import { writeSync } from "node:fs";
    import { createLog } from ${url("log.ts")};
    import { createShutdown } from ${url("shutdown.ts")};
    const say = (text) => writeSync(1, JSON.stringify({ msg: text }) + "\\n");
    const stream = { write: (line) => writeSync(1, line) };
    const log = await createLog({ level: "info", pretty: false, redact: (text) => text, stream });
    const shutdown = createShutdown({ graceMs: ${graceMs}, log });
    const never = new Promise(() => {});
    const ticking = () => setInterval(() => {}, 1000);
    shutdown.stop.addEventListener("abort", () => say("stop"));
    shutdown.abort.addEventListener("abort", () => say("abort: " + shutdown.abort.reason.name));
    ${body}
    say("ready");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.push(child);
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const lines = (): { level?: string; msg: string }[] =>
    output.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
  const said = () => lines().map(({ msg }) => msg);
  const ended = once(child, "close").then(([code]) => code as number | null);
  await until("the program", () => said().includes("ready") || child.exitCode !== null);
  return {
    signal: (name: NodeJS.Signals) => child.kill(name),
    lines,
    said,
    heard: (text: string) => until(text, () => said().some((line) => line.startsWith(text))),
    ended,
  };
}

/** Long enough that no test waits for it. */
const longMs = 600_000;

describe("a signal", () => {
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    it(`${name} stops, and cancels nothing`, async () => {
      const program = await start(
        `shutdown.stop.addEventListener("abort", () => {
          say("aborted " + shutdown.abort.aborted);
          void shutdown.exit(0);
        });
        ticking();`,
        longMs,
      );
      program.signal(name);
      assert.equal(await program.ended, 0);
      assert.deepEqual(program.said(), [
        "ready",
        `${name}: stopping; a second signal stops at once`,
        "stop",
        "aborted false",
      ]);
    });
  }

  it("that comes twice cancels, and says that events may be sent again", async () => {
    const program = await start(
      `shutdown.abort.addEventListener("abort", () => void shutdown.exit(0)); ticking();`,
      longMs,
    );
    program.signal("SIGTERM");
    await program.heard("stop");
    program.signal("SIGINT");
    assert.equal(await program.ended, 0);
    assert.match(program.said()[3] ?? "", /^SIGINT again: requests are cancelled.*may be sent again/);
    assert.equal(program.said()[4], "abort: AbortError");
    assert.equal(program.lines()[3]?.level, "warn");
  });

  it("that comes many times cancels once", async () => {
    const program = await start("ticking();", longMs);
    for (const count of [1, 2, 3, 4]) {
      program.signal(count % 2 ? "SIGTERM" : "SIGINT");
      if (count === 1) await program.heard("stop");
      if (count === 2) await program.heard("abort");
    }
    assert.equal(program.said().filter((line) => line.includes("are cancelled")).length, 1);
  });
});

describe("the grace period", () => {
  it("cancels after three quarters of it, and ends the process after all of it", async () => {
    const program = await start(
      `const beganAt = () => performance.now() - at;
      let at = 0;
      shutdown.stop.addEventListener("abort", () => { at = performance.now(); });
      shutdown.abort.addEventListener("abort", () => say("after " + Math.round(beganAt())));
      process.on("exit", () => say("exit after " + Math.round(beganAt())));
      shutdown.onClose("state", () => {});
      shutdown.onClose("destination one", () => {});
      ticking();`,
      400,
    );
    program.signal("SIGTERM");
    assert.equal(await program.ended, 1);
    const after = (start: string) =>
      Number(
        program
          .said()
          .find((line) => line.startsWith(start))
          ?.slice(start.length),
      );
    assert.ok(after("after ") >= 299, "cancelled too early");
    assert.ok(after("exit after ") >= 399, "ended too early");
    assert.ok(after("exit after ") > after("after "));
    const last = program.lines().at(-2);
    assert.equal(last?.level, "error");
    assert.match(
      last?.msg ?? "",
      /^did not stop within 0\.4 s; still open: state, destination one, .*Timeout/,
    );
  });

  it("does not hold a process that has nothing left to do", async () => {
    const program = await start(`shutdown.begin("done");`, longMs);
    assert.equal(await program.ended, 0);
    assert.deepEqual(program.said().slice(0, 2), ["done: stopping; a second signal stops at once", "stop"]);
  });
});

describe("the end", () => {
  it("closes what was opened, the last first, one after the other", async () => {
    const program = await start(
      `for (const name of ["one", "two", "three"]) {
        shutdown.onClose(name, async () => {
          say("closing " + name);
          await new Promise((resolve) => setTimeout(resolve, 5));
          say("closed " + name);
        });
      }
      ticking();
      void shutdown.exit(7);`,
      longMs,
    );
    assert.equal(await program.ended, 7);
    assert.deepEqual(program.said(), [
      "closing three",
      "ready",
      "closed three",
      "closing two",
      "closed two",
      "closing one",
      "closed one",
    ]);
  });

  it("closes the others when one fails, and says which", async () => {
    const program = await start(
      `shutdown.onClose("one", () => say("closed one"));
      shutdown.onClose("two", () => { throw new Error("no"); });
      shutdown.onClose("three", () => Promise.reject(new Error("never")));
      void shutdown.exit(0);`,
      longMs,
    );
    assert.equal(await program.ended, 0);
    assert.deepEqual(
      program.said().filter((line) => line !== "ready"),
      ["closing three failed", "closing two failed", "closed one"],
    );
  });

  for (const [name, beginning] of [
    ["after a signal", `process.kill(process.pid, "SIGTERM");`],
    ["without a signal", ""],
  ] as const) {
    it(`is forced when a closer hangs, ${name}, and names what is still open`, async () => {
      const program = await start(
        `shutdown.onClose("state", () => say("closed state"));
        shutdown.onClose("destination one", () => { ticking(); return never; });
        shutdown.onClose("destination two", () => say("closed two"));
        ${beginning}
        setTimeout(() => void shutdown.exit(0), 10);`,
        300,
      );
      assert.equal(await program.ended, 1);
      const last = program.lines().at(-1);
      assert.equal(last?.level, "error");
      assert.match(last?.msg ?? "", /did not stop within 0\.3 s; still open: state, destination one, /);
      assert.doesNotMatch(last?.msg ?? "", /two/);
      assert.ok(!program.said().includes("closed state"));
    });
  }

  it("is forced too when a closer hangs and nothing else holds the process", async () => {
    const program = await start(
      `shutdown.onClose("destination", () => never);
      await shutdown.exit(0);`,
      300,
    );
    assert.equal(await program.ended, 1);
    assert.match(program.said().at(-1) ?? "", /still open: destination, /);
  });
});
