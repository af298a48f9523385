import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";

/** Exit code for a command line that is not right, as for settings that are not. */
const usageError = 2;

/** Runs the command line. Vendor SDKs, settings and state are loaded by the command that needs them. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(argv);
  } catch (thrown) {
    if (thrown instanceof CommanderError) process.exit(thrown.exitCode === 0 ? 0 : usageError);
    const { fail } = await import("./fail.ts");
    fail(thrown);
  }
}

function program(): Command {
  const root = new Command("auth0-log-exporter")
    .description("Exports every log event of an Auth0 tenant, from checkpoint to checkpoint.")
    .version(version())
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .option(
      "--env-file <path>",
      "file with settings; what the environment sets wins (default: .env if there)",
    )
    .addHelpText(
      "after",
      "\nSettings come from the environment; .env.example lists them.\nExit codes: 0 done, 1 failed, 2 settings or usage, 3 state folder in use, 70 a bug.",
    );
  addRunCommands(root);
  addStateCommands(root);
  addDemo(root);
  return root;
}

function addRunCommands(root: Command): void {
  command(root, "start", "export on the schedule until stopped", [
    "start",
    "start --env-file /etc/auth0-log-exporter.env",
  ])
    .addOption(pipelineOption())
    .action(async (_, self: Command) => (await import("./start.ts")).start(self.optsWithGlobals()));
  command(root, "run", "export everything new once, then exit", ["run", "run --json | jq .counts"])
    .addOption(pipelineOption())
    .option("--json", "print the run record")
    .action(async (_, self: Command) => (await import("./run.ts")).runOnce(self.optsWithGlobals()));
  command(root, "check", "test settings, state, Auth0, destination and Slack without exporting anything", [
    "check",
    "check --slack",
  ])
    .addOption(pipelineOption())
    .option("--slack", "post a test message to Slack")
    .option("--json", "print the findings as JSON")
    .action(async (_, self: Command) => (await import("./check.ts")).check(self.optsWithGlobals()));
  command(root, "replay", "export again from a position", [
    "replay --from -24h",
    "replay --from 2026-01-31T08:00:00Z --to 2026-01-31T12:00:00Z",
  ])
    .addOption(pipelineOption())
    .requiredOption("--from <position>", "log_id (that event included), ISO date or time, -24h, oldest")
    .option(
      "--to <position>",
      "last log_id or time to export; the checkpoint then stays where it is. Without it the checkpoint moves back to --from, and everything since is exported",
    )
    .option("--json", "print the run record")
    .action(async (_, self: Command) => (await import("./replay.ts")).replay(self.optsWithGlobals()));
}

function addStateCommands(root: Command): void {
  const checkpoint = command(root, "checkpoint", "show or move the checkpoint", [
    "checkpoint show --json",
    "checkpoint set -24h",
  ]);
  command(checkpoint, "show", "print where each pipeline stands", ["checkpoint show --json"])
    .addOption(pipelineOption())
    .option("--json", "print JSON, one line per pipeline")
    .action(async (_, self: Command) => (await import("./checkpoint.ts")).show(self.optsWithGlobals()));
  command(checkpoint, "set", "move the checkpoint; the next run goes on from there", [
    "checkpoint set 2026-01-31",
    "checkpoint set latest",
  ])
    .argument("<position>", "log_id (that event included), ISO date or time, -24h, oldest, latest")
    .addOption(pipelineOption())
    .option("--json", "print the new checkpoint")
    .allowUnknownOption()
    .action(async (position: string, _, self: Command) =>
      (await import("./checkpoint.ts")).set(position, self.optsWithGlobals()),
    );
  command(checkpoint, "reset", "forget the checkpoint; the next run begins at START_FROM", [
    "checkpoint reset",
  ])
    .addOption(pipelineOption())
    .option("--json", "print the result")
    .action(async (_, self: Command) => (await import("./checkpoint.ts")).reset(self.optsWithGlobals()));

  command(root, "history", "list past runs, newest first", ["history --failed --limit 5", "history --json"])
    .addOption(pipelineOption())
    .option("--failed", "only runs that failed or crashed")
    .option("--limit <n>", "at most this many", wholeNumber, 20)
    .option("--json", "print run records, one line each")
    .action(async (_, self: Command) => (await import("./history.ts")).history(self.optsWithGlobals()));

  const deadLetters = command(root, "dead-letters", "events that a destination refused for good", [
    "dead-letters list",
    "dead-letters export > refused.ndjson",
  ]);
  command(deadLetters, "list", "list them, oldest first", ["dead-letters list --limit 5"])
    .addOption(pipelineOption())
    .option("--limit <n>", "at most this many", wholeNumber, 50)
    .option("--json", "print JSON, one line each")
    .action(async (_, self: Command) => (await import("./dead-letters.ts")).list(self.optsWithGlobals()));
  command(deadLetters, "export", "print them whole, as NDJSON", ["dead-letters export > refused.ndjson"])
    .addOption(pipelineOption())
    .option("--json", "no difference: it is JSON, one line each")
    .action(async (_, self: Command) =>
      (await import("./dead-letters.ts")).exportAll(self.optsWithGlobals()),
    );
  command(deadLetters, "retry", "send them again and remove those that are accepted", ["dead-letters retry"])
    .addOption(pipelineOption())
    .option("--json", "print the result")
    .action(async (_, self: Command) => (await import("./dead-letters.ts")).retryAll(self.optsWithGlobals()));
}

function addDemo(root: Command): void {
  command(root, "demo", "watch it work against a tenant and a CloudWatch made up on this machine", [
    "demo",
    "demo --events 2000 --outage",
  ])
    .option("--events <n>", "stop after this many events (default: until Ctrl-C)", wholeNumber)
    .option("--outage", "let the destination fail for a while")
    .action(async (_, self: Command) => (await import("./demo.ts")).demo(self.optsWithGlobals()));
}

function command(parent: Command, name: string, description: string, examples: readonly string[]): Command {
  const lines = examples.map((example) => `  $ auth0-log-exporter ${example}`).join("\n");
  return parent
    .command(name)
    .description(description)
    .exitOverride()
    .addHelpText("after", `\nExample${examples.length > 1 ? "s" : ""}:\n${lines}`);
}

function pipelineOption(): Option {
  return new Option("--pipeline <name>", "only this pipeline (default: all)");
}

function wholeNumber(value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new InvalidArgumentError("Expected a whole number above 0.");
}

function version(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  return manifest.version;
}
