import { openStore } from "../state/sqlite.ts";
import type { StoredRun } from "../state/store.ts";
import { type GlobalOptions, isoTime, openForReading, print, recordAsJson } from "./context.ts";
import { table } from "./table.ts";

interface HistoryOptions extends GlobalOptions {
  readonly failed?: boolean;
  readonly limit: number;
}

export async function history(options: HistoryOptions): Promise<void> {
  const { config, clock } = await openForReading(options);
  await using store = await openStore({ dir: config.checkpointDir, mode: "read", clock });
  const { pipeline, failed: failedOnly, limit } = options;
  const runs = await store.runs({ pipeline, failedOnly, limit });
  if (options.json) {
    for (const run of runs)
      await print(JSON.stringify({ ...recordAsJson(run), id: run.id, trigger: run.trigger }));
    return;
  }
  if (runs.length === 0) return print(failedOnly ? "No run failed." : "No runs yet.");
  const head = [
    "run",
    "pipeline",
    "outcome",
    "started",
    "took",
    "read",
    "filtered",
    "delivered",
    "rejected",
    "error",
  ];
  await print(table([head, ...runs.map(row)]));
}

function row(run: StoredRun): string[] {
  const { id, pipeline, outcome, startedAtMs, endedAtMs, counts, error } = run;
  const took = endedAtMs === null ? "" : `${((endedAtMs - startedAtMs) / 1_000).toFixed(1)} s`;
  const numbers = [counts.read, counts.filtered, counts.delivered, counts.rejected].map(String);
  const why = error ? shortened(`${error.kind}: ${error.message}`) : "";
  return [String(id), pipeline, outcome, isoTime(startedAtMs) ?? "", took, ...numbers, why];
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}
