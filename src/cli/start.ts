import { readEnvironment, slackUrlIn } from "../config.ts";
import { asExportError } from "../core/errors.ts";
import { runDaemon } from "../daemon.ts";
import { systemClock } from "../lib/clock.ts";
import { createLog } from "../lib/log.ts";
import { createRedactor } from "../lib/redact.ts";
import { reportStartupFailure } from "../reports/report.ts";
import { createSlackPoster } from "../reports/slack.ts";
import { type GlobalOptions, knownSecrets, openContext } from "./context.ts";
import { openOperation } from "./operate.ts";

/** The daemon. */
export async function start(options: GlobalOptions): Promise<never> {
  const { context, operation } = await open(options).catch(async (thrown: unknown) => {
    await tellSlack(thrown, options);
    throw thrown;
  });
  const { config } = context;
  const { pipelines, around, shutdown } = operation;
  const exitCode = await runDaemon({ ...around, config, pipelines, shutdown });
  return shutdown.exit(exitCode);
}

async function open(options: GlobalOptions) {
  const context = await openContext(options);
  return { context, operation: await openOperation(context) };
}

/** A daemon that cannot start has no run to report; people hear of it all the same, if the address is right. */
async function tellSlack(thrown: unknown, options: GlobalOptions): Promise<void> {
  const error = asExportError(thrown);
  if (error.kind === "locked") return;
  const env = readEnvironment(options.envFile);
  const url = slackUrlIn(env);
  if (url === null) return;
  const { redact } = createRedactor(knownSecrets());
  const log = await createLog({ level: "info", pretty: false, redact });
  const poster = createSlackPoster({ url, clock: systemClock, log });
  const message = redact(error.message);
  await reportStartupFailure(
    poster,
    { kind: error.kind, message, tenant: env.AUTH0_DOMAIN ?? "" },
    AbortSignal.timeout(15_000),
  );
}
