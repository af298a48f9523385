import { pino } from "pino";
import { type CloudWatchStandInOptions, startCloudWatch } from "../../src/demo/cloudwatch.ts";
import { type CloudWatchOptions, createCloudWatch } from "../../src/destinations/cloudwatch/index.ts";
import { systemClock } from "../../src/lib/clock.ts";

export const group = "/auth0/tenant";
export const stream = "events";
export const region = "eu-central-1";
export const credentials = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  sessionToken: "IQoJb3JpZ2luX2VjEXAMPLETOKEN//////////wEaCXVz",
};
const secrets = [credentials.secretAccessKey, credentials.sessionToken];

/** A stand-in that has the group and the stream, unless `service` says otherwise, and a destination that sends to it. */
export async function openCloudWatch(
  options: Partial<CloudWatchOptions> = {},
  service: CloudWatchStandInOptions = {},
) {
  const standIn = await startCloudWatch({
    groups: { [group]: [stream] },
    region,
    accessKeyId: credentials.accessKeyId,
    ...service,
  });
  const destination = createCloudWatch({
    logGroupName: group,
    logStreamName: stream,
    create: false,
    oldEvents: "dead-letter",
    region,
    credentials: () => credentials,
    endpoint: standIn.url,
    requestTimeoutMs: 30_000,
    clock: systemClock,
    log: pino({ level: "silent" }),
    ...options,
  });
  const close = async () => {
    await destination.close?.();
    await standIn.close();
  };
  return { standIn, destination, secrets, close, [Symbol.asyncDispose]: close };
}
