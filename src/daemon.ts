import type { Config } from "./config.ts";
import { type ExportErrorKind, exitCodeOf } from "./core/errors.ts";
import type { Pipeline } from "./core/run.ts";
import { type ExecuteOptions, execute } from "./execute.ts";
import type { Shutdown } from "./lib/shutdown.ts";
import { nextTicks, startSchedule } from "./schedule.ts";

export interface DaemonOptions extends Omit<ExecuteOptions, "stop" | "abort"> {
  readonly config: Pick<Config, "schedule" | "timezone" | "runOnStart">;
  readonly pipelines: readonly Pipeline[];
  readonly shutdown: Shutdown;
}

/** Runs every pipeline on the schedule until it is told to stop. Resolves with the process's exit code. */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const { config, pipelines, shutdown, log, clock } = options;
  const running = new Map<string, Promise<void>>();
  let exitCode = 0;

  const trigger = (pipeline: Pipeline, why: string) => {
    if (shutdown.stop.aborted) return;
    if (running.has(pipeline.name)) {
      log.debug(
        { pipeline: pipeline.name },
        `${why}: the run before is still under way and drains everything`,
      );
      return;
    }
    const { stop, abort } = shutdown;
    const work = execute(pipeline, why, { ...options, stop, abort }).then(({ error }) => {
      running.delete(pipeline.name);
      if (!error || !endsDaemon(error.kind)) return;
      exitCode ||= exitCodeOf(error.kind);
      const reason = `pipeline ${pipeline.name} cannot go on (${error.kind})`;
      // A second beginning would cancel the windows that the other pipelines have in flight.
      if (shutdown.stop.aborted) log.error(reason);
      else shutdown.begin(reason);
    });
    running.set(pipeline.name, work);
  };

  const schedules = pipelines.map((pipeline) =>
    startSchedule({
      cron: config.schedule,
      timezone: config.timezone,
      clock,
      onTick: (why) => trigger(pipeline, why),
      onClockJump: (jumpMs) =>
        log.warn({ pipeline: pipeline.name, jumpMs }, "the wall clock was set; the schedule follows it"),
    }),
  );
  const [next] = nextTicks(config.schedule, config.timezone, 1);
  log.info(
    {
      pipelines: pipelines.map(({ name }) => name),
      schedule: config.schedule,
      timezone: config.timezone,
      next,
    },
    "started",
  );
  if (config.runOnStart) for (const pipeline of pipelines) trigger(pipeline, "start");

  await aborted(shutdown.stop);
  for (const schedule of schedules) schedule.stop();
  await Promise.all(running.values());
  log.info("stopped");
  return exitCode;
}

/** Kinds that no later run can mend; the supervisor or a person has to. */
function endsDaemon(kind: ExportErrorKind): boolean {
  return kind === "config" || kind === "bug";
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
