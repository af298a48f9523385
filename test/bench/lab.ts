import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Arrived, CloudWatchAddress, CloudWatchOptions } from "./cloudwatch.ts";
import type { Measured } from "./stopwatch.ts";
import type { TenantAddress, TenantOptions } from "./tenant.ts";

const logGroup = "/bench/auth0";
const logStream = "events";

type Subject = "exporter" | "naive" | "reader";
type Environment = Readonly<Record<string, string | undefined>>;

export interface LabOptions {
  /** Events in the tenant's log. */
  readonly events: number;
  /** How long each page, and each call to CloudWatch Logs, takes; 0 by default. */
  readonly pageLatencyMs?: number;
  readonly sendLatencyMs?: number;
}

/** Stand-ins in processes of their own, and a folder for what is measured against them. */
export interface Lab extends AsyncDisposable {
  /** The exporter's settings, with a state folder of its own. */
  settings(): Promise<Environment>;
  /** Runs the subject over the whole log, in a process of its own. */
  measure(subject: Subject): Promise<Measured>;
  /** Throws unless `work` made each event of the log arrive, once. */
  expectAll<T>(work: () => Promise<T>): Promise<T>;
}

export async function openLab({ events, pageLatencyMs = 0, sendLatencyMs = 0 }: LabOptions): Promise<Lab> {
  const tenant = forkFile("tenant", {}, { events, pageLatencyMs } satisfies TenantOptions);
  const cloudwatch = forkFile("cloudwatch", {}, {
    sendLatencyMs,
    logGroup,
    logStream,
  } satisfies CloudWatchOptions);
  const [{ certificate, ...auth0 }, { url }] = await Promise.all([
    nextMessage<TenantAddress>(tenant),
    nextMessage<CloudWatchAddress>(cloudwatch),
  ]);
  const dir = await mkdtemp(join(tmpdir(), "auth0-log-exporter-bench-"));
  const certificateFile = join(dir, "tenant.pem");
  await writeFile(certificateFile, certificate);

  const settings = async (): Promise<Environment> => ({
    AUTH0_DOMAIN: auth0.domain,
    AUTH0_CLIENT_ID: auth0.clientId,
    AUTH0_CLIENT_SECRET: auth0.clientSecret,
    CLOUDWATCH_LOG_GROUP_NAME: logGroup,
    CLOUDWATCH_LOG_STREAM_NAME: logStream,
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "AKIABENCHBENCHBENCH",
    AWS_SECRET_KEY: "bench-secret-access-key",
    AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: url,
    CHECKPOINT_DIR: await mkdtemp(join(dir, "checkpoints-")),
    EXPORTER_LOG_LEVEL: "warn",
    NODE_EXTRA_CA_CERTS: certificateFile,
  });
  const arrived = (): Promise<Arrived> => {
    cloudwatch.send("arrived?");
    return nextMessage<Arrived>(cloudwatch);
  };
  const expectAll = async <T>(work: () => Promise<T>): Promise<T> => {
    const before = await arrived();
    const result = await work();
    const after = await arrived();
    const sent = after.events - before.events;
    if (sent !== events || after.distinct !== events) {
      throw new Error(`${events} events, but ${sent} arrived, ${after.distinct} different ones in all`);
    }
    return result;
  };

  return {
    settings,
    expectAll,
    async measure(subject) {
      const work = async () => nextMessage<Measured>(forkFile(subject, await settings()));
      return subject === "reader" ? work() : expectAll(work);
    },
    async [Symbol.asyncDispose]() {
      const gone = Promise.all([once(tenant, "exit"), once(cloudwatch, "exit")]);
      tenant.disconnect();
      cloudwatch.disconnect();
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Starts a file of this folder as a process that sees nothing of the environment but `env`. */
function forkFile(name: string, env: Environment, options?: object): ChildProcess {
  const path = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  return fork(path, options ? [JSON.stringify(options)] : [], { env: { PATH: process.env.PATH, ...env } });
}

/** What the child says next. Throws when it ends without saying anything. */
async function nextMessage<T>(child: ChildProcess): Promise<T> {
  const answered = new AbortController();
  const ended = once(child, "exit", answered).then(([code]) => {
    throw new Error(`a process of the bench ended with ${code} and no result`);
  });
  try {
    const [message] = await Promise.race([once(child, "message", answered), ended]);
    return message as T;
  } finally {
    answered.abort();
  }
}
