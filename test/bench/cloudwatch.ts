/** A child process: a CloudWatch Logs that only counts. Tells what it counted when sent a message; ends with its parent. */
import { startCloudWatch } from "../../src/demo/cloudwatch.ts";

export interface CloudWatchOptions {
  readonly sendLatencyMs: number;
  readonly logGroup: string;
  readonly logStream: string;
}

export interface CloudWatchAddress {
  readonly url: string;
}

export interface Arrived {
  readonly events: number;
  /** How many different ones. */
  readonly distinct: number;
}

const { sendLatencyMs, logGroup, logStream }: CloudWatchOptions = JSON.parse(process.argv[2] ?? "{}");
const groups = { [logGroup]: [logStream] };
const { url, counts } = await startCloudWatch({ keep: "counts", latencyMs: sendLatencyMs, groups });
process.on("message", () => {
  const { events, distinct } = counts;
  process.send?.({ events, distinct } satisfies Arrived);
});
process.on("disconnect", () => process.exit(0));
process.send?.({ url } satisfies CloudWatchAddress);
