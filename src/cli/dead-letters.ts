import { composeDestination } from "../compose.ts";
import { deliver } from "../core/deliver.ts";
import { asExportError, describe, exitCodeOf } from "../core/errors.ts";
import type { Destination, LogEvent, Refused } from "../core/types.ts";
import { createShutdown } from "../lib/shutdown.ts";
import type { PipelineName } from "../settings.ts";
import { openStore } from "../state/sqlite.ts";
import type { Store, StoredDeadLetter } from "../state/store.ts";
import {
  type Context,
  type GlobalOptions,
  isoTime,
  openContext,
  openForReading,
  print,
  replayName,
} from "./context.ts";
import { table } from "./table.ts";

/** Read and sent at a time. */
const pageSize = 100;

interface ListOptions extends GlobalOptions {
  readonly limit: number;
}

export async function list(options: ListOptions): Promise<void> {
  const { config, clock } = await openForReading(options);
  await using store = await openStore({ dir: config.checkpointDir, mode: "read", clock });
  const letters = await store.deadLetters({ pipeline: options.pipeline, limit: options.limit });
  if (options.json) {
    for (const letter of letters) await print(JSON.stringify(summary(letter)));
    return;
  }
  if (letters.length === 0) return print("No dead letters.");
  const head = ["pipeline", "event", "type", "kept at", "reason"];
  const rows = letters.map((letter) => Object.values(summary(letter)).map(String));
  await print(table([head, ...rows]));
  const more = (await store.countDeadLetters(options.pipeline)) - letters.length;
  if (more > 0) await print(`… and ${more} more (--limit)`);
}

function summary({ pipeline, event, atMs, reason }: StoredDeadLetter) {
  return { pipeline, event: event.id, type: event.type, at: isoTime(atMs), reason };
}

export async function exportAll(options: GlobalOptions): Promise<void> {
  const { config, clock } = await openForReading(options);
  await using store = await openStore({ dir: config.checkpointDir, mode: "read", clock });
  for await (const letters of pages(store, options.pipeline)) {
    for (const { pipeline, atMs, reason, event } of letters) {
      const head = JSON.stringify({ pipeline, at: isoTime(atMs), reason });
      // The event goes out as Auth0 sent it, not as this program would write it.
      await print(`${head.slice(0, -1)},"event":${event.raw}}`);
    }
  }
}

export async function retryAll(options: GlobalOptions): Promise<never> {
  const context = await openContext(options);
  const { config, clock, log } = context;
  const store = await openStore({ dir: config.checkpointDir, mode: "own", clock });
  const shutdown = createShutdown({ graceMs: config.shutdownGraceMs, log });
  shutdown.onClose("state", () => store.close());
  let exitCode = 0;
  for (const name of context.chosen) {
    const destination = composeDestination(context, name);
    shutdown.onClose(`destination ${name.name}`, () => destination.close?.());
    const result = await retryPipeline(context, name, destination, store, shutdown.stop);
    exitCode = Math.max(exitCode, result.exitCode);
    const { delivered, rejected, reason, error } = result;
    const why = reason === null ? "" : `, the first one because ${reason}`;
    const text = `${name.name}: ${delivered} delivered and removed, ${rejected} rejected again and kept${why}`;
    await print(
      options.json ? JSON.stringify({ pipeline: name.name, delivered, rejected, reason, error }) : text,
    );
    if (error && !options.json) await print(`  stopped: ${error}`);
  }
  return shutdown.exit(exitCode);
}

/** A dead letter is removed only after the destination accepted it; what it refuses again stays. */
async function retryPipeline(
  { config, clock, redactor }: Context,
  name: PipelineName,
  destination: Destination,
  store: Store,
  signal: AbortSignal,
) {
  const totals = {
    delivered: 0,
    rejected: 0,
    reason: null as string | null,
    error: null as string | null,
    exitCode: 0,
  };
  try {
    for (const pipeline of [name.name, replayName(name.name)]) {
      for await (const letters of pages(store, pipeline)) {
        const events = letters.map(({ event }) => event);
        const options = { clock, signal, giveUpAfterMs: config.giveUpAfterMs };
        const rejected = await deliver(destination, events, options).then(
          (delivery) => delivery.rejected,
          (thrown: unknown) => allRejected(events, thrown),
        );
        const kept = new Set(rejected.map(({ event }) => event));
        const delivered = letters.filter(({ event }) => !kept.has(event));
        await store.removeDeadLetters(delivered.map(({ id }) => id));
        totals.delivered += delivered.length;
        totals.rejected += kept.size;
        totals.reason ??= rejected[0] ? redactor.redact(rejected[0].reason) : null;
      }
    }
  } catch (thrown) {
    totals.error = redactor.redact(describe(thrown));
    totals.exitCode = exitCodeOf(asExportError(thrown).kind);
  }
  return totals;
}

/** A destination that refuses every event of a page for good says nothing about those of the next. */
function allRejected(events: readonly LogEvent[], thrown: unknown): readonly Refused[] {
  const { kind, message } = asExportError(thrown);
  if (kind !== "permanent") throw thrown;
  return events.map((event) => ({ event, reason: message }));
}

async function* pages(store: Store, pipeline: string | undefined): AsyncGenerator<StoredDeadLetter[]> {
  let afterId = 0;
  for (;;) {
    const letters = await store.deadLetters({ pipeline, limit: pageSize, afterId });
    const last = letters.at(-1);
    if (!last) return;
    yield letters;
    afterId = last.id;
  }
}
