/** Config → the parts of the exporter, put together. Nothing here opens a connection. */
import { type Auth0Client, createAuth0Client } from "./auth0/client.ts";
import { logType } from "./auth0/log-types.ts";
import { createLogs } from "./auth0/logs.ts";
import type { Config } from "./config.ts";
import { ExportError } from "./core/errors.ts";
import { createFilter } from "./core/filter.ts";
import type { Pipeline } from "./core/run.ts";
import type { Clock, Destination, RunStore } from "./core/types.ts";
import { createCloudWatch } from "./destinations/cloudwatch/index.ts";
import { createStdout } from "./destinations/stdout.ts";
import type { Log } from "./lib/log.ts";
import type { Redactor } from "./lib/redact.ts";
import type { PipelineName } from "./settings.ts";

export interface Tools {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly redactor: Redactor;
}

/** The tenant's Management API: one client, and so one token and one rate limit, for all pipelines of the process. */
export function composeAuth0({ config, clock, log, redactor }: Tools): Auth0Client {
  const { domain, clientId, clientSecret, clientAssertionKey, audience } = config.auth0;
  return createAuth0Client({
    domain,
    clientId,
    ...(clientSecret ? { clientSecret } : {}),
    ...(clientAssertionKey ? { clientAssertionKey } : {}),
    ...(audience === null ? {} : { audience }),
    requestTimeoutMs: config.requestTimeoutMs,
    giveUpAfterMs: config.giveUpAfterMs,
    clock,
    onSecret: (token) => redactor.add(token),
    onRetry: (error, waitMs) =>
      log.warn({ waitMs: Math.round(waitMs) }, `asking Auth0 again: ${error.message}`),
  });
}

export function composeDestination(
  { config, clock, log }: Tools,
  { destination }: PipelineName,
): Destination {
  switch (destination) {
    case "stdout":
      return createStdout({ stream: process.stdout, fd: process.stdout.fd });
    case "cloudwatch": {
      if (!config.cloudwatch) throw new ExportError("bug", "the CloudWatch settings were not read");
      const { region, credentials, endpoint, ...names } = config.cloudwatch;
      return createCloudWatch({
        ...names,
        ...(region === null ? {} : { region }),
        ...(credentials === null ? {} : { credentials }),
        ...(endpoint === null ? {} : { endpoint }),
        ...(config.proxyEnv === null ? {} : { proxyEnv: config.proxyEnv }),
        requestTimeoutMs: config.requestTimeoutMs,
        clock,
        log,
      });
    }
    default:
      return destination satisfies never;
  }
}

export function composePipeline(
  tools: Tools,
  name: PipelineName,
  parts: { readonly client: Auth0Client; readonly destination: Destination; readonly store: RunStore },
): Pipeline {
  const { config, clock } = tools;
  const types = config.types === null ? undefined : new Set(config.types);
  return {
    name: name.name,
    source: createLogs({ client: parts.client, clock, settleMs: config.settleMs }),
    destination: parts.destination,
    store: parts.store,
    clock,
    startFrom: config.startFrom,
    batchSize: config.batchSize,
    maxBatchesInFlight: config.maxBatchesInFlight,
    giveUpAfterMs: config.giveUpAfterMs,
    accepts: createFilter({
      minLevel: config.minLevel ?? undefined,
      types,
      levelOf: (code) => logType(code)?.level,
    }),
    isKnownType: (code) => logType(code) !== undefined,
  };
}
