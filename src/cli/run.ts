import { execute } from "../execute.ts";
import { type GlobalOptions, openContext } from "./context.ts";
import { finish, openOperation, refuseJsonBesideStdout } from "./operate.ts";

/** One drain of each pipeline, all at the same time. */
export async function runOnce(options: GlobalOptions): Promise<never> {
  const context = await openContext(options);
  refuseJsonBesideStdout(context, options.json);
  const { pipelines, around, shutdown } = await openOperation(context);
  const records = await Promise.all(pipelines.map((pipeline) => execute(pipeline, "command", around)));
  return finish(shutdown, records, options.json);
}
