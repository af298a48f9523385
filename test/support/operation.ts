import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pipeline } from "../../src/core/run.ts";
import type { Clock, LogEvent } from "../../src/core/types.ts";
import type { ExecuteOptions } from "../../src/execute.ts";
import { createLog } from "../../src/lib/log.ts";
import type { ReportableRun } from "../../src/reports/report.ts";
import { openStore } from "../../src/state/sqlite.ts";
import { createWorld, event } from "./world.ts";

interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** What surrounds a run: a real store in a folder of its own, a log that keeps its lines, a reporter that keeps the runs. */
export async function openOperation(clock: Clock) {
  const dir = await mkdtemp(join(tmpdir(), "operation-"));
  const store = await openStore({ dir: join(dir, "checkpoints"), mode: "own", clock });
  const lines: LogLine[] = [];
  const log = await createLog({
    level: "debug",
    pretty: false,
    redact: (text) => text,
    stream: { write: (line) => lines.push(JSON.parse(line)) },
  });
  const reported: ReportableRun[] = [];
  const stop = new AbortController();
  const abort = new AbortController();
  const around: ExecuteOptions = {
    store,
    reporter: {
      report: async (run) => {
        reported.push(run);
      },
    },
    clock,
    log,
    redact: (text) => text.replaceAll("hunter2", "[redacted]"),
    retentionMs: null,
    stop: stop.signal,
    abort: abort.signal,
  };
  return {
    store,
    around,
    lines,
    reported,
    stop,
    abort,
    async [Symbol.asyncDispose]() {
      await store.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A pipeline of `count` events, in pages and batches of ten, on the operation's store; its destination takes all. */
export function pipelineOf(
  { around }: { readonly around: ExecuteOptions },
  count: number,
  overrides: Partial<Pipeline> = {},
) {
  const events: LogEvent[] = Array.from({ length: count }, (_, index) => event(index + 1));
  const world = createWorld({ events, pageSize: 10, batchSize: 10, window: 4, faults: [] });
  const { clock, store } = around;
  return { world, pipeline: world.pipeline({ clock, store, ...overrides }) };
}

/** Never settles, and looks at no signal. */
export function nothing(): Promise<never> {
  return new Promise(() => {});
}
