import { cursorAt, isAfter, readCursor } from "../auth0/log-id.ts";
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
  const until = to === undefined ? null : upperBound(to, context.clock.now());
  const { pipelines, around, shutdown } = await openOperation(context);
  const { store } = around;

  const replays: Pipeline[] = [];
  for (const pipeline of pipelines) {
    if (until === null) replays.push(await rewound(pipeline, from, store, context, shutdown.stop));
    else replays.push(await resumable(bounded(pipeline, from, until), store));
  }
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

/** The pipeline with its checkpoint moved back. Moving it forward would skip events, so that is refused. */
async function rewound(
  pipeline: Pipeline,
  from: string,
  store: Store,
  { config }: Context,
  signal: AbortSignal,
): Promise<Pipeline> {
  const start = await pipeline.source.start(from, signal);
  const checkpoint = await store.checkpoint(pipeline.name);
  const current = checkpoint?.cursor ?? null;
  if (current !== null && pipeline.source.isAfter(start.cursor, current)) {
    const message = `--from ${from} is after the checkpoint ${current} of ${pipeline.name}: the events between them would be skipped. Run "auth0-log-exporter run" to export them, or "auth0-log-exporter checkpoint set" to skip them on purpose`;
    throw new ExportError("config", message);
  }
  await store.setCheckpoint(pipeline.name, { ...start, startFrom: rememberedStart(config, checkpoint) });
  return pipeline;
}

/** Goes on with an interrupted replay of the same bounds, and forgets one of others. */
async function resumable(replay: Pipeline, store: Store): Promise<Pipeline> {
  const checkpoint = await store.checkpoint(replay.name);
  if (checkpoint?.startFrom !== replay.startFrom) await store.removeCheckpoint(replay.name);
  return replay;
}

/** A pipeline that reads up to and including `until` and leaves the checkpoint of the one it comes from alone. */
function bounded(pipeline: Pipeline, from: string, until: Cursor): Pipeline {
  const source: Source = {
    ...pipeline.source,
    start: (_bounds, signal) => pipeline.source.start(from, signal),
    async *read(after, signal) {
      let { cursor } = after;
      for await (const page of pipeline.source.read(after, signal)) {
        const events = page.events.filter(({ id }) => !isAfter(id, until));
        const isEnd = events.length < page.events.length;
        cursor = isEnd ? (events.at(-1)?.id ?? cursor) : page.cursor;
        yield { ...page, events, cursor };
        if (isEnd) return;
      }
    },
  };
  return {
    ...pipeline,
    source,
    name: replayName(pipeline.name),
    startFrom: `${from}..${readCursor(until).id}`,
  };
}

function upperBound(to: string, nowMs: number): Cursor {
  const position = parseStartPosition(to, nowMs);
  if (position.kind === "id") return position.id;
  if (position.kind === "time") return cursorAt(position.timeMs);
  throw new ExportError("config", `--to: expected a log_id or a time; got "${to}"`);
}
