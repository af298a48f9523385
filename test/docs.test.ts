/** Holds the pages and the code together: settings, commands, messages, the map of the code and its rules. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseEnv, promisify } from "node:util";
import { loadConfig } from "../src/config.ts";
import { type ExportError, type ExportErrorKind, exitCodeOf, exportErrorKinds } from "../src/core/errors.ts";
import { settings } from "../src/settings.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string) => readFile(join(root, path), "utf8");
const [readme, codeMap, envExample] = await Promise.all([
  read("README.md"),
  read("src/README.md"),
  read(".env.example"),
]);
const names = Object.keys(settings).sort();
const defaults = Object.fromEntries(
  Object.entries(settings).flatMap(([name, setting]) =>
    "default" in setting ? [[name, setting.default]] : [],
  ),
);

/** Values for everything that is required. */
const filledIn = {
  AUTH0_DOMAIN: "my-tenant.eu.auth0.com",
  AUTH0_CLIENT_ID: "client",
  AUTH0_CLIENT_SECRET: "a-secret-of-nobody",
  CLOUDWATCH_LOG_GROUP_NAME: "/auth0/my-tenant",
  CLOUDWATCH_LOG_STREAM_NAME: "events",
};

test("filledIn holds what an empty environment is told to set, and nothing else", () => {
  assert.throws(
    () => loadConfig({}),
    (error: ExportError) => {
      const asked = [...error.message.matchAll(/^ {2}- ([A-Z0-9_]+):/gm)].map(([, name]) => name);
      assert.deepEqual(asked.sort(), Object.keys(filledIn).sort());
      return true;
    },
  );
});

/** The rows of the table under a heading, as cells without their vertical bars. */
function tableUnder(page: string, heading: string): string[][] {
  const [, section = ""] = page.split(new RegExp(`^#+ ${heading}$`, "m"));
  const [table = ""] = /^\|.*\n\|[-| ]+\n(?:\|.*\n)+/m.exec(section) ?? [];
  const rows = table.trimEnd().split("\n").slice(2);
  return rows.map((row) =>
    row
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim()),
  );
}

const inCode = (text: string) => `\`${text}\``;
/** The name of a setting, of an option or of a kind, out of its backticks. */
const outOfCode = (cell = "") => cell.replaceAll("`", "");

test("the README's table has every setting once, with its default, and marks what is required", () => {
  const rows = tableUnder(readme, "Settings");
  assert.deepEqual(rows.map(([name]) => outOfCode(name)).sort(), names);
  for (const [cell, shown = "", meaning = ""] of rows) {
    const name = outOfCode(cell);
    const isRequired = name in filledIn;
    const expected = defaults[name] === undefined ? "–" : inCode(defaults[name]);
    if (isRequired) assert.match(shown, /^\*\*required\*\*/, name);
    else assert.equal(shown, expected, name);
    assert.match(meaning, /\.$/, `${name} has a meaning`);
  }
});

const exampleLines = envExample.split("\n");
const exampleSettings = exampleLines.flatMap((line, index) => {
  const [, mark, name, value] = /^(#?)([A-Z][A-Z0-9_]+)=(.*)$/.exec(line) ?? [];
  return name === undefined
    ? []
    : [{ name, value, isComment: mark === "#", before: exampleLines[index - 1] }];
});

test(".env.example has every setting once, with its default and a meaning; only what is required stands free", () => {
  assert.deepEqual(exampleSettings.map(({ name }) => name).sort(), names);
  for (const { name, value, isComment, before } of exampleSettings) {
    assert.equal(value, defaults[name] ?? "", name);
    assert.equal(isComment, !(name in filledIn), `${name} is commented out unless it is required`);
    assert.match(before ?? "", /^# \S.{10,}$/, `a comment above ${name}`);
  }
});

test("a copy of .env.example with the required settings filled in is enough", () => {
  const { config, warnings } = loadConfig({ ...parseEnv(envExample), ...filledIn });
  assert.equal(config.cloudwatch?.logGroupName, filledIn.CLOUDWATCH_LOG_GROUP_NAME);
  assert.deepEqual(warnings, []);
});

test("a copy of .env.example as it is asks for the required settings alone", () => {
  const problems = (env: Parameters<typeof loadConfig>[0]) => {
    try {
      loadConfig(env);
      return "";
    } catch (thrown) {
      return (thrown as ExportError).message;
    }
  };
  assert.equal(problems(parseEnv(envExample)), problems({}));
});

test("the defaults that are shown are those in effect", () => {
  const all = parseEnv(envExample.replace(/^#(?=[A-Z][A-Z0-9_]+=)/gm, ""));
  // A template, filled in by the SDK with the domain.
  const { AUTH0_AUDIENCE: audience, ...shown } = all;
  assert.equal(audience, settings.AUTH0_AUDIENCE.default);
  const withShown = loadConfig({ ...shown, ...filledIn }).config;
  const withNone = loadConfig(filledIn).config;
  const plain = (config: typeof withNone) => JSON.parse(JSON.stringify(config)) as Record<string, unknown>;
  // Set to its default it seeds the same position; unset it also never counts as a change.
  assert.deepEqual(plain(withShown), { ...plain(withNone), startFrom: settings.START_FROM.default });
});

interface Help {
  readonly path: readonly string[];
  readonly text: string;
}

/** The help of every command, found by following what `--help` lists. */
async function helpPages(path: readonly string[] = []): Promise<Help[]> {
  const { stdout: text } = await promisify(execFile)(process.execPath, [
    join(root, "src/cli.ts"),
    ...path,
    "--help",
  ]);
  const [, list = ""] = text.split("\nCommands:\n");
  const children = [...list.matchAll(/^ {2}([a-z-]+)/gm)].flatMap(([, name = "help"]) =>
    name === "help" ? [] : [name],
  );
  const pages = await Promise.all(children.map((child) => helpPages([...path, child])));
  return [{ path, text }, ...pages.flat()];
}

test("every command and option of --help stands in the README, and the README's commands exist", async () => {
  const pages = await helpPages();
  const commands = pages
    .filter(({ text }) => !text.includes("\nCommands:\n"))
    .map(({ path }) => path.join(" "));
  assert.ok(commands.includes("checkpoint show"), "commands are found, nested ones too");
  const rows = tableUnder(readme, "Commands").map(([cell]) => outOfCode(cell));
  for (const command of commands) {
    const row = rows.find((text) => `${text} `.startsWith(`auth0-log-exporter ${command} `));
    assert.ok(row, `a row for ${command}`);
  }
  assert.equal(rows.length, commands.length);
  for (const { path, text } of pages) {
    for (const [, option = ""] of text.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)) {
      assert.ok(readme.includes(option), `${option} of ${path.join(" ")}`);
    }
    assert.match(text, /\n\nExamples?:\n {2}\$ auth0-log-exporter |^Usage: auth0-log-exporter \[/);
  }
});

const sources = (await readdir(join(root, "src"), { recursive: true })).filter((path) =>
  path.endsWith(".ts"),
);
const code = new Map(
  await Promise.all(sources.map(async (path) => [path, await read(join("src", path))] as const)),
);

test("messages that the README explains are messages of the program", () => {
  const messages = tableUnder(readme, "Troubleshooting").map(([cell]) => outOfCode(cell).toLowerCase());
  assert.ok(messages.length > 10);
  const everything = [...code.values()].join("\n").toLowerCase();
  for (const message of messages) assert.ok(everything.includes(message), message);
});

test("links within the README lead somewhere", () => {
  const headings = [...readme.matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replace(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  );
  const links = [...readme.matchAll(/\]\(#([^)]+)\)/g)].map(([, target]) => target ?? "");
  assert.ok(links.length > 10);
  for (const link of links) assert.ok(headings.includes(link), `#${link}`);
});

test("JSON in the README is JSON", () => {
  const blocks = [...readme.matchAll(/^```json\n(.*?)^```/gms)].map(([, text = ""]) => text);
  assert.ok(blocks.length > 0);
  for (const block of blocks) JSON.parse(block);
});

test("the map names every file and folder of src, one level deep, and nothing else", async () => {
  const [, map = ""] = /^```\n(.*?)^```/ms.exec(codeMap) ?? [];
  const mapped = [...map.matchAll(/^(\S+)/gm)].map(([, name]) => name);
  const entries = await readdir(join(root, "src"), { withFileTypes: true });
  const found = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
  assert.deepEqual(mapped.sort(), found.filter((name) => name !== "README.md").sort());
  let folder = "";
  for (const [, indent = "", name = ""] of map.matchAll(/^( *)(\S+)/gm)) {
    if (indent === "") folder = name;
    else
      assert.ok(
        sources.some((path) => path.startsWith(`${folder}${name}`)),
        `${folder}${name} exists`,
      );
  }
});

test("the table of errors has every kind with its exit code", () => {
  const rows = tableUnder(codeMap, "Errors");
  assert.deepEqual(rows.map(([kind]) => outOfCode(kind)).sort(), [...exportErrorKinds].sort());
  for (const row of rows) {
    const kind = outOfCode(row[0]) as ExportErrorKind;
    assert.equal(row.at(-1), String(exitCodeOf(kind)), kind);
  }
});

/** What a file imports by a relative path, as paths within src, and what it imports from packages. */
function importsOf(path: string): { ours: string[]; packages: { name: string; isType: boolean }[] } {
  const found = (code.get(path) ?? "").matchAll(
    /^(?:import|export)\b(?<type> type\b)?(?:[^"';]*?\bfrom)?\s*"(?<from>[^"]+)"|\bimport\(\s*"(?<lazy>[^"]+)"\s*\)/gm,
  );
  const ours: string[] = [];
  const packages: { name: string; isType: boolean }[] = [];
  for (const { groups } of found) {
    const name = groups?.from ?? groups?.lazy ?? "";
    if (name.startsWith(".")) ours.push(join(path, "..", name));
    else if (groups?.from) packages.push({ name, isType: groups.type !== undefined });
  }
  return { ours, packages };
}

const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: ["core"],
  lib: ["lib", "core"],
  auth0: ["auth0", "lib", "core"],
  destinations: ["destinations", "lib", "core"],
  state: ["state", "lib", "core"],
  reports: ["reports", "lib", "core"],
  demo: ["demo", "lib", "core"],
};

/** Two destinations are plug-ins of their own: `destinations/stdout.ts`, `destinations/cloudwatch/`. */
const pluginOf = (path: string) => /^destinations\/[^/.]+/.exec(path)?.[0];

test("imports point one way", () => {
  for (const path of sources) {
    const [folder = ""] = path.split("/");
    const allowed = mayImport[folder];
    for (const target of importsOf(path).ours) {
      assert.ok(code.has(target), `${path} imports ${target}, which exists`);
      if (!allowed) continue;
      const [targetFolder = ""] = target.split("/");
      assert.ok(allowed.includes(targetFolder), `${path} imports ${target}`);
      if (targetFolder === "destinations")
        assert.equal(pluginOf(target), pluginOf(path), `${path}: ${target}`);
    }
  }
  assert.deepEqual(
    importsOf("cli.ts").ours,
    [join("cli", "program.ts")],
    "what is imported on demand is seen too",
  );
});

test("what takes long to load is loaded when it is first used", () => {
  const slow = /^(auth0|pino|pino-pretty|@aws-sdk\/.*|@slack\/.*)$/;
  for (const path of sources) {
    for (const { name, isType } of importsOf(path).packages) {
      assert.ok(isType || !slow.test(name), `${path} imports ${name} at once`);
    }
  }
});

test("only config.ts reads the environment", () => {
  const readers = sources.filter((path) => /\bprocess\.env\b|from "node:process"/.test(code.get(path) ?? ""));
  assert.deepEqual(readers, ["config.ts"]);
});

test("no file of src is longer than 350 lines", () => {
  for (const [path, text] of code) assert.ok(text.split("\n").length <= 350, path);
});

test("no line ends with a space", async () => {
  const tests = (await readdir(join(root, "test"), { recursive: true })).filter((path) =>
    path.endsWith(".ts"),
  );
  const pages = ["README.md", "CHANGELOG.md", ".env.example", "src/README.md"];
  for (const path of [
    ...pages,
    ...sources.map((p) => join("src", p)),
    ...tests.map((p) => join("test", p)),
  ]) {
    const at = (await read(path)).split("\n").findIndex((line) => /\s$/.test(line));
    assert.equal(at, -1, `${path}:${at + 1}`);
  }
});
