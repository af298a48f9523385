import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type CloudWatchStandIn, startCloudWatch } from "../demo/cloudwatch.ts";
import { createEventGenerator } from "../demo/events.ts";
import { type SlackStandIn, startSlack } from "../demo/slack.ts";
import { startTenant, type Tenant } from "../demo/tenant.ts";
import { print } from "./context.ts";

interface DemoOptions {
  readonly events?: number;
  readonly outage?: boolean;
}

/** Events that stand in the log before the exporter starts, and how quickly more come. */
const backlogEvents = 500;
const eventsPerTick = 5;
const tickMs = 250;
const printEveryMs = 2_000;
const outageBeginsMs = 12_000;
const outageLastsMs = 18_000;
/** After the last event: two runs of the schedule and the time for events to settle. */
const catchUpMs = 30_000;
const logGroup = "/demo/auth0";
const logStream = "events";

/** A tenant, a CloudWatch and a Slack on this machine's loopback, and the real exporter between them. */
export async function demo(options: DemoOptions): Promise<never> {
  const [tenant, cloudwatch, slack] = await Promise.all([
    startTenant({ name: "demo" }),
    startCloudWatch(),
    startSlack(),
  ]);
  const dir = await mkdtemp(join(tmpdir(), "auth0-log-exporter-demo-"));
  const exporter = await startExporter(dir, tenant, cloudwatch, slack);
  const tally = createTally(tenant, cloudwatch);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  exporter.once("exit", () => stop.abort());

  await print(
    `tenant https://${tenant.domain} → exporter (pid ${exporter.pid}, every 5 s) → CloudWatch ${cloudwatch.url}\nCtrl-C ends the demo.\n`,
  );
  const printing = setInterval(() => void print(tally.line()), printEveryMs);
  const slackSeen = watchSlack(slack);
  await Promise.all([
    produce(tenant, options.events ?? Number.POSITIVE_INFINITY, stop),
    options.outage ? outage(cloudwatch, stop.signal) : undefined,
  ]);
  cloudwatch.outage = null;
  await print("\nNo more events; waiting for the exporter to catch up (Ctrl-C again ends at once).");
  await caughtUp(tally, exporter);
  clearInterval(printing);
  clearInterval(slackSeen);
  await stopExporter(exporter);

  const { produced, held, lost, duplicated } = tally.totals();
  await print(
    `\nproduced ${produced} · held by CloudWatch ${held} · lost ${lost} · duplicated ${duplicated}`,
  );
  await Promise.all([tenant.close(), cloudwatch.close(), slack.close()]);
  await rm(dir, { recursive: true, force: true });
  process.exit(lost === 0 ? 0 : 1);
}

/** The same program as a user runs it, in a process of its own. */
async function startExporter(
  dir: string,
  tenant: Tenant,
  cloudwatch: CloudWatchStandIn,
  slack: SlackStandIn,
): Promise<ChildProcess> {
  const certificate = join(dir, "tenant.pem");
  await writeFile(certificate, tenant.certificate);
  const settings = {
    AUTH0_DOMAIN: tenant.domain,
    AUTH0_CLIENT_ID: tenant.clientId,
    AUTH0_CLIENT_SECRET: tenant.clientSecret,
    SCHEDULE: "*/5 * * * * *",
    SETTLE_SECONDS: "1",
    GIVE_UP_AFTER_SECONDS: "5",
    CLOUDWATCH_LOG_GROUP_NAME: logGroup,
    CLOUDWATCH_LOG_STREAM_NAME: logStream,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "DEMODEMODEMODEMO",
    AWS_SECRET_KEY: randomBytes(20).toString("hex"),
    AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: cloudwatch.url,
    SLACK_INCOMING_WEBHOOK_URL: slack.url,
    CHECKPOINT_DIR: join(dir, "checkpoints"),
    NODE_EXTRA_CA_CERTS: certificate,
    // A proxy that is set for the real thing knows nothing of this machine's loopback.
    NO_PROXY: "*",
    no_proxy: "*",
  };
  const envFile = join(dir, "empty.env");
  await writeFile(envFile, "");
  const [node, cli] = [process.execPath, process.argv[1] ?? ""];
  // Its own process group, so that Ctrl-C reaches the demo alone, which then ends in order.
  const exporter = spawn(node, ["--", cli, "start", "--env-file", envFile], {
    env: settings,
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  process.on("exit", () => exporter.kill("SIGKILL"));
  return exporter;
}

async function produce(tenant: Tenant, count: number, stop: AbortController): Promise<void> {
  const generate = createEventGenerator({ seed: Date.now() % 1_000_000 });
  let sequence = 0;
  const append = (events: number, fromMs: number, stepMs: number) => {
    for (let index = 0; index < events && sequence < count; index++) {
      const timeMs = fromMs + index * stepMs;
      tenant.append(generate(timeMs, ++sequence));
    }
  };
  append(backlogEvents, Date.now() - 3_600_000, 7_000);
  while (sequence < count && !stop.signal.aborted) {
    await delay(tickMs);
    append(eventsPerTick, Date.now(), 1);
  }
}

async function outage(cloudwatch: CloudWatchStandIn, signal: AbortSignal): Promise<void> {
  const wait = (ms: number) => delay(ms, undefined, { signal }).catch(() => {});
  await wait(outageBeginsMs);
  await print("\n--- CloudWatch fails from now on ---");
  cloudwatch.outage = { status: 503, type: "ServiceUnavailableException" };
  await wait(outageLastsMs);
  cloudwatch.outage = null;
  await print("--- CloudWatch is back ---\n");
}

interface Tally {
  line(): string;
  totals(): { produced: number; held: number; lost: number; duplicated: number };
}

function createTally(tenant: Tenant, cloudwatch: CloudWatchStandIn): Tally {
  const times = new Map<string, number>();
  let seen = 0;
  const totals = () => {
    const events = cloudwatch.events();
    for (; seen < events.length; seen++) {
      const { log_id: id }: { log_id: string } = JSON.parse(events[seen]?.message ?? "{}");
      times.set(id, (times.get(id) ?? 0) + 1);
    }
    const produced = tenant.count;
    const held = times.size;
    return { produced, held, lost: produced - held, duplicated: seen - held };
  };
  const line = () => {
    const { produced, held, lost, duplicated } = totals();
    return `Auth0 has ${produced} events · CloudWatch holds ${held} · on the way ${lost} · duplicated ${duplicated}`;
  };
  return { line, totals };
}

/** Shows what people would read in the channel. */
function watchSlack(slack: SlackStandIn): NodeJS.Timeout {
  let seen = 0;
  return setInterval(() => {
    for (const message of slack.messages.slice(seen))
      void print(`Slack ▏${String(message.text).split("\n").join("\n      ▏")}`);
    seen = slack.messages.length;
  }, tickMs);
}

async function caughtUp(tally: Tally, exporter: ChildProcess): Promise<void> {
  const again = new AbortController();
  process.once("SIGINT", () => again.abort());
  const untilMs = performance.now() + catchUpMs;
  while (
    tally.totals().lost > 0 &&
    exporter.exitCode === null &&
    performance.now() < untilMs &&
    !again.signal.aborted
  ) {
    await delay(tickMs, undefined, { signal: again.signal }).catch(() => {});
  }
}

async function stopExporter(exporter: ChildProcess): Promise<void> {
  if (exporter.exitCode !== null || exporter.signalCode !== null) return;
  const gone = once(exporter, "exit");
  exporter.kill("SIGTERM");
  await gone;
}
