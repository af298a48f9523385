/** A child process: the exporter as its own command composes it from the environment, for one run. */
import { openContext } from "../../src/cli/context.ts";
import { openOperation } from "../../src/cli/operate.ts";
import { run } from "../../src/core/run.ts";
import { createStopwatch, finish } from "./stopwatch.ts";

const context = await openContext({});
const { pipelines, shutdown } = await openOperation(context);
const [pipeline] = pipelines;
if (!pipeline) throw new Error("the settings name no pipeline");
const stopwatch = createStopwatch();
const record = await run(pipeline, {
  stop: shutdown.stop,
  abort: shutdown.abort,
  onProgress: stopwatch.firstPage,
});
if (record.outcome !== "succeeded") throw new Error(`the run ${record.outcome}: ${record.error?.message}`);
finish(stopwatch.stop(record.counts.delivered));
