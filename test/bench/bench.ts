/**
 * `npm run bench`: how fast and how heavy the exporter is, against stand-ins in another process. Not a test: it
 * always ends with 0, and what it says depends on what else the machine does. Build first, to measure what is published.
 *
 *   npm run bench -- --only c,d     these rows
 *   npm run bench -- --events 50000 with this many events instead of each row's own number
 */
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { type Line, rows } from "./rows.ts";

const { values } = parseArgs({ options: { only: { type: "string" }, events: { type: "string" } } });
const chosen = values.only?.split(",") ?? Object.keys(rows);
const header: Record<keyof Line, string> = {
  what: "what",
  measured: "measured",
  target: "target",
  ratio: "ratio",
  ok: "",
};
const widths: Record<keyof Line, number> = { what: 42, measured: 16, target: 18, ratio: 38, ok: 1 };

print(`Node ${process.versions.node}, ${availableParallelism()} × ${cpus()[0]?.model ?? "unknown CPU"}\n`);
printLine(" ", header);
for (const name of chosen) {
  const row = rows[name];
  if (!row) throw new Error(`--only: expected some of ${Object.keys(rows).join(",")}; got "${name}"`);
  const lines = await row.run(values.events === undefined ? row.events : Number(values.events));
  for (const line of lines) printLine(name, { ...line, ok: line.ok ? "✓" : "✗" });
}

function printLine(name: string, line: Readonly<Record<keyof Line, string>>): void {
  const columns = (Object.keys(widths) as (keyof Line)[]).map((column) =>
    line[column].padEnd(widths[column]),
  );
  print(`${name}  ${columns.join("  ")}`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
