/** A child process: the shortest loop that the same SDKs allow. One page, one call, and so on; nothing is stored. */
import { CloudWatchLogsClient, PutLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { ManagementClient } from "auth0";
import { createStopwatch, finish } from "./stopwatch.ts";

const env = process.env;
const domain = env.AUTH0_DOMAIN ?? "";
const auth0 = new ManagementClient({
  domain,
  clientId: env.AUTH0_CLIENT_ID ?? "",
  clientSecret: env.AUTH0_CLIENT_SECRET ?? "",
});
const cloudwatch = new CloudWatchLogsClient({
  region: env.AWS_REGION ?? "",
  endpoint: env.AWS_ENDPOINT_URL_CLOUDWATCH_LOGS ?? "",
  credentials: { accessKeyId: env.AWS_ACCESS_KEY_ID ?? "", secretAccessKey: env.AWS_SECRET_KEY ?? "" },
});

const stopwatch = createStopwatch();
let delivered = 0;
for (let from = "0"; ; ) {
  const response = await auth0.fetch(`https://${domain}/api/v2/logs?from=${from}&take=100`);
  const events = (await response.json()) as { readonly date: string; readonly log_id: string }[];
  stopwatch.firstPage();
  const last = events.at(-1);
  if (!last) break;
  const logEvents = events
    .map((event) => ({ timestamp: Date.parse(event.date), message: JSON.stringify(event) }))
    .sort((a, b) => a.timestamp - b.timestamp);
  await cloudwatch.send(
    new PutLogEventsCommand({
      logGroupName: env.CLOUDWATCH_LOG_GROUP_NAME ?? "",
      logStreamName: env.CLOUDWATCH_LOG_STREAM_NAME ?? "",
      logEvents,
    }),
  );
  delivered += events.length;
  from = last.log_id;
}
finish(stopwatch.stop(delivered));
