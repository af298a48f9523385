import { cursorAt, isAfter, readCursor, timeOfId } from "../auth0/log-id.ts";
import { parseStartPosition } from "../auth0/start-position.ts";
import { ExportError } from "../core/errors.ts";
import type { Pipeline } from "../core/run.ts";
import type { Cursor, Source } from "../core/types.ts";
import { execute } from "../execute.ts";
import type { Store } from "../state/store.ts";
import { rememberedStart } from "./checkpoint.ts";
import { type Context, type GlobalOptions, openContext, replayName } from "./context.ts";
import { finish, openOperation, refuseJsonBesideStdout } from "./operate.ts";

interface ReplayOptions extends GlobalOptions {
  readonly from: string;
  readonly to?: string;
}

/**
 * Exports again. Without `--to` the pipeline's own checkpoint moves back, so an interrupted replay is finished by
 * the next run. With `--to` the stretch is exported beside it, under a checkpoint of its own: called again with
 * the same bounds, an interrupted one goes on.
 */
export async function replay(options: ReplayOptions): Promise<never> {
  const context = await openContext(options);
  refuseJsonBesideStdout(context, options.json);
  const { from, to } = options;
  const until = to === undefined ? null : upperBound(to, context);
  const { pipelines, around, shutdown } = await openOperation(context);
  const { store } = around;

  const replays =
    until === null
      ? await rewound(pipelines, from, store, context, shutdown.stop)
      : await Promise.all(pipelines.map((pipeline) => bounded(pipeline, from, until, store, shutdown.stop)));
  // Whoever replays a stretch sees how it ends; a report would speak of a next scheduled run, and there is none.
  const reporter = until === null ? around.reporter : { report: async () => {} };
  const run = (pipeline: Pipeline) => execute(pipeline, "replay", { ...around, reporter });
  const records = await Promise.all(replays.map(run));
  if (until !== null) {
    const finished = records.filter(({ outcome }) => outcome === "succeeded");
    for (const { pipeline } of finished) await store.removeCheckpoint(pipeline);
  }
  return finish(shutdown, records, options.json);
}

/**
 * The pipelines with their checkpoints moved back. Moving one forward would skip events, so that is refused, and
 * before any of them is moved.
 */
async function rewound(
  pipelines: readonly Pipeline[],
  from: string,
  store: Store,
  { config }: Context,
  signal: AbortSignal,
): Promise<readonly Pipeline[]> {
  const moves = [];
  for (const { name, source } of pipelines) {
    const start = await source.start(from, signal);
    const checkpoint = await store.checkpoint(name);
    const current = checkpoint?.cursor ?? null;
    if (current !== null && source.isAfter(start.cursor, current)) {
      const message = `--from ${from} is after the checkpoint ${current} of ${name}: the events between them would be skipped. Run "auth0-log-exporter run" to export them, or "auth0-log-exporter checkpoint set" to skip them on purpose`;
      throw new ExportError("config", message);
    }
    moves.push({ name, to: { ...start, startFrom: rememberedStart(config, checkpoint) } });
  }
  for (const { name, to } of moves) await store.setCheckpoint(name, to);
  return pipelines;
}

/**
 * A pipeline that reads up to and including `until` and leaves the checkpoint of the one it comes from alone. It
 * goes on with an interrupted replay of the same bounds, and forgets one of others.
 */
async function bounded(
  pipeline: Pipeline,
  from: string,
  until: Cursor,
  store: Store,
  signal: AbortSignal,
): Promise<Pipeline> {
  const start = await pipeline.source.start(from, signal);
  if (pipeline.source.isAfter(start.cursor, until)) {
    throw new ExportError("config", `--to is before --from ${from}: there is nothing between them`);
  }
  const source: Source = {
    ...pipeline.source,
    start: async () => start,
    async *read(after, stop) {
      let { cursor } = after;
      for await (const page of pipeline.source.read(after, stop)) {
        const events = page.events.filter(({ id }) => !isAfter(id, until));
        const isEnd = events.length < page.events.length;
        cursor = isEnd ? (events.at(-1)?.id ?? cursor) : page.cursor;
        yield { ...page, events, cursor };
        if (isEnd) return;
      }
    },
  };
  const name = replayName(pipeline.name);
  const startFrom = `${from}..${readCursor(until).id}`;
  if ((await store.checkpoint(name))?.startFrom !== startFrom) await store.removeCheckpoint(name);
  return { ...pipeline, source, name, startFrom };
}

function upperBound(to: string, { config, clock }: Context): Cursor {
  const position = parsePosition(to, clock.now());
  const until =
    position?.kind === "id" ? position.id : position?.kind === "time" ? cursorAt(position.timeMs) : null;
  if (until !== null) {
    // What has not settled is not read, so that the end would not be reached.
    if ((timeOfId(until) ?? 0) <= clock.now() - config.settleMs) return until;
    const seconds = config.settleMs / 1_000;
    throw new ExportError(
      "config",
      `--to: expected a position that SETTLE_SECONDS=${seconds} have passed since; got "${to}"`,
    );
  }
  const forms = "a log_id, an ISO date or time that has passed, -24h or -7d";
  throw new ExportError("config", `--to: expected ${forms}; got "${to}"`);
}

function parsePosition(text: string, nowMs: number) {
  try {
    return parseStartPosition(text, nowMs);
  } catch {
    return null;
  }
}
