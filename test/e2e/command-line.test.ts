import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { compileCache, createRig } from "../support/exporter.ts";

const cliPath = fileURLToPath(new URL("../../src/cli.ts", import.meta.url));
const node = (...args: string[]) => promisify(execFile)(process.execPath, args);
const cli = (...args: string[]) => node(cliPath, ...args);

const commands = [
  "",
  "start",
  "run",
  "check",
  "replay",
  "checkpoint",
  "checkpoint show",
  "checkpoint set",
  "checkpoint reset",
  "history",
  "dead-letters",
  "dead-letters list",
  "dead-letters export",
  "dead-letters retry",
  "demo",
];
const helpOf = (command: string) => [...command.split(" ").filter(Boolean), "--help"];

/** The commands that a help text lists. */
function listedIn(help: string): string[] {
  const [, list = ""] = help.split(/^Commands:$/m);
  return [...list.matchAll(/^ {2}([a-z-]+)/gm)]
    .map(([, name = ""]) => name)
    .filter((name) => name !== "help");
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

/** Wall time of each run in ms; all take turns, so that a busy machine slows them alike. */
async function timeInTurns(rounds: number, runs: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  const timesMs = runs.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, run] of runs.entries()) {
      const startedAtMs = performance.now();
      await run();
      timesMs[index]!.push(performance.now() - startedAtMs);
    }
  }
  return timesMs.map(median);
}

describe("--help", { concurrency: 3 }, () => {
  for (const command of commands) {
    test(`of "${command || "auth0-log-exporter"}" has an example`, async () => {
      const { stdout, stderr } = await cli(...helpOf(command));
      equal(stderr, "");
      match(stdout, /^Usage: auth0-log-exporter/);
      if (command !== "") match(stdout, new RegExp(`^Examples?:\n +\\$ auth0-log-exporter ${command}`, "m"));
      const isParentOf = (name: string) => name.startsWith(command === "" ? "" : `${command} `);
      const below = commands.filter((name) => name !== command && isParentOf(name));
      const children = below.map((name) => name.slice(command.length).trim().split(" ")[0]);
      deepEqual(listedIn(stdout), [...new Set(children)], "a command that is not tested here");
    });
  }

  test("loads no package but commander", async () => {
    const dir = await mkdtemp(join(tmpdir(), "auth0-log-exporter-test-"));
    const file = join(dir, "loaded.json");
    const recorder = `import { registerHooks } from "node:module";
      import { writeFileSync } from "node:fs";
      const loaded = [];
      registerHooks({ load: (url, context, next) => { loaded.push(url); return next(url, context); } });
      process.on("exit", () => writeFileSync(${JSON.stringify(file)}, JSON.stringify(loaded)));`;
    try {
      for (const command of ["", "run", "dead-letters retry"]) {
        await node(
          `--import=data:text/javascript,${encodeURIComponent(recorder)}`,
          cliPath,
          ...helpOf(command),
        );
        const loaded: string[] = JSON.parse(await readFile(file, "utf8"));
        ok(
          loaded.some((url) => url.endsWith("/src/cli/program.ts")),
          "nothing was recorded",
        );
        const packages = loaded.flatMap(
          (url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? [],
        );
        deepEqual([...new Set(packages)], ["commander"], command);
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

test("--help takes at most three times as long as Node takes to start", async () => {
  // What is published is JavaScript: with the cache, stripping types does not count.
  const env = { ...process.env, NODE_COMPILE_CACHE: compileCache };
  const [bare = 0, ...helps] = await timeInTurns(5, [
    () => promisify(execFile)(process.execPath, ["-e", "0"], { env }),
    () => promisify(execFile)(process.execPath, [cliPath, "--help"], { env }),
    () => promisify(execFile)(process.execPath, [cliPath, "dead-letters", "retry", "--help"], { env }),
  ]);
  for (const help of helps) ok(help <= 3 * bare, `${help} ms; bare Node: ${bare} ms`);
});

describe("exit codes", { concurrency: 3 }, () => {
  for (const args of [
    ["exprot"],
    ["run", "--exprot"],
    ["replay"],
    ["checkpoint", "set"],
    ["history", "--limit", "0"],
    ["history", "--limit", "ten"],
    ["run", "extra"],
  ]) {
    test(`"${args.join(" ")}" is a usage error: 2, and a sentence about it`, async () => {
      const result = await cli(...args).then(
        () => ({ code: 0, stderr: "" }),
        (error: { code: number; stderr: string }) => error,
      );
      equal(result.code, 2);
      match(result.stderr, /^error: /);
    });
  }

  test("settings that are wrong are all told at once, each with what is expected and what was given", async () => {
    await using rig = await createRig();
    const wrong = {
      AUTH0_DOMAIN: "https://tenant.eu.auth0.com/",
      AUTH0_CLIENT_ID: undefined,
      BATCH_SIZE: "101",
      SCHEDULE: "every five minutes",
      SCHEDULE_TIMEZONE: "Europe/Atlantis",
      START_FROM: "yesterday",
      LOG_LEVEL: "5",
      CLOUDWATCH_LOG_GROUP_NAME: "a group",
      REQUEST_TIMEOUT_SECONDS: "0",
    };
    const { code, stderr } = await rig.run(["run"], wrong);
    equal(code, 2);
    for (const [name, value] of Object.entries(wrong)) {
      const line = stderr.split("\n").find((text) => text.startsWith(`  - ${name}: expected `));
      ok(line, `${name} is not told: ${stderr}`);
      ok(line.endsWith(value === undefined ? "it is not set" : `got "${value}"`), line);
    }
    deepEqual({ ...rig.tenant.counts }, { token: 0, logs: 0, log: 0 });
  });

  test("an env file that is named has to be there", async () => {
    await using rig = await createRig();
    // Node itself looks for --env-file among a script's arguments, and ends with 9 before the script begins.
    const { code, stderr } = await rig.run(["run", "--env-file", "missing.env"]);
    notEqual(code, 0);
    match(stderr, /missing\.env/);
  });

  test("the .env of the working directory is read, and what the environment sets wins over it", async () => {
    await using rig = await createRig({ env: { CHECKPOINT_DIR: undefined } });
    await writeFile(join(rig.dir, ".env"), "CHECKPOINT_DIR=of-the-file\n");
    const show = 'exec "$1" "$2" checkpoint show';
    match((await rig.run([], {}, show)).stderr, /no state in .*\/of-the-file yet/);
    const env = { CHECKPOINT_DIR: "of-the-environment" };
    match((await rig.run([], env, show)).stderr, /no state in .*\/of-the-environment yet/);
  });
});
