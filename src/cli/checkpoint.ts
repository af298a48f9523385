import { createLogs } from "../auth0/logs.ts";
import { composeAuth0 } from "../compose.ts";
import type { Checkpoint } from "../core/types.ts";
import { openStore } from "../state/sqlite.ts";
import { type Context, type GlobalOptions, isoTime, openContext, print } from "./context.ts";

export async function show(options: GlobalOptions): Promise<void> {
  const context = await openContext(options);
  await using store = await openStore({
    dir: context.config.checkpointDir,
    mode: "read",
    clock: context.clock,
  });
  for (const { name } of context.chosen) {
    await printCheckpoint(name, await store.checkpoint(name), options.json);
  }
}

/** Moves the checkpoint of each chosen pipeline. Throws `locked` while another process owns the state folder. */
export async function set(position: string, options: GlobalOptions): Promise<never> {
  const context = await openContext(options);
  const { config, clock } = context;
  const store = await openStore({ dir: config.checkpointDir, mode: "own", clock });
  const source = createLogs({ client: composeAuth0(context), clock, settleMs: config.settleMs });
  const start = await source.start(position, AbortSignal.timeout(config.giveUpAfterMs));
  for (const { name } of context.chosen) {
    const startFrom = rememberedStart(config, await store.checkpoint(name));
    await printCheckpoint(name, await store.setCheckpoint(name, { ...start, startFrom }), options.json);
  }
  await store.close();
  process.exit(0);
}

/** The start setting that counts as applied after a move by hand, so that `START_FROM` does not move it away again. */
export function rememberedStart({ startFrom }: Context["config"], checkpoint: Checkpoint | null): string {
  return startFrom ?? checkpoint?.startFrom ?? "oldest";
}

export async function reset(options: GlobalOptions): Promise<void> {
  const context = await openContext(options);
  await using store = await openStore({
    dir: context.config.checkpointDir,
    mode: "own",
    clock: context.clock,
  });
  for (const { name } of context.chosen) {
    await store.removeCheckpoint(name);
    await printCheckpoint(name, await store.checkpoint(name), options.json, resetText(context, name));
  }
}

function resetText({ config }: Context, name: string): string {
  return `${name}: no checkpoint any more; the next run begins at ${config.startFrom ?? "oldest"}`;
}

async function printCheckpoint(
  pipeline: string,
  checkpoint: Checkpoint | null,
  json: boolean | undefined,
  textWithout = `${pipeline}: no checkpoint yet; the first run sets it`,
): Promise<void> {
  const { cursor = null, eventTimeMs = null, epoch = 0 } = checkpoint ?? {};
  const eventTime = isoTime(eventTimeMs);
  const updatedAt = isoTime(checkpoint?.updatedAtMs ?? null);
  if (json) return print(JSON.stringify({ pipeline, cursor, eventTime, epoch, updatedAt }));
  if (cursor === null) return print(textWithout);
  const covers = eventTime === null ? "before every event" : `events up to ${eventTime}`;
  return print(`${pipeline}: ${cursor}\n  ${covers}; stored ${updatedAt}, epoch ${epoch}`);
}
