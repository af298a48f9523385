import type { RejectedLogEventsInfo } from "@aws-sdk/client-cloudwatch-logs";
import { ExportError } from "../../core/errors.ts";
import { abortable } from "../../core/retry.ts";
import type { Clock, Finding } from "../../core/types.ts";
import type { Log } from "../../lib/log.ts";
import { type Client, putLogEventsCommand, type Send } from "./client.ts";
import { type Call, explain, type Failure, notFoundAdvice } from "./errors.ts";
import { type Entry, encodeRequest } from "./requests.ts";

interface StreamOptions {
  readonly client: Client;
  readonly logGroupName: string;
  readonly logStreamName: string;
  readonly create: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

type Names = Pick<StreamOptions, "logGroupName" | "logStreamName">;

type Outcome<Output> =
  | { readonly output: Output; readonly failure?: never }
  | { readonly failure: Failure; readonly output?: never };

/** One log stream. Its methods throw nothing but the signal's reason. */
export interface LogStream {
  /** One request, and what AWS says of single events in it. Creates what is missing, if it may. */
  put(
    entries: readonly Entry[],
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly info: RejectedLogEventsInfo | undefined }>>;
  check(signal: AbortSignal): Promise<Finding>;
  close(): void;
}

export function createLogStream(options: StreamOptions): LogStream {
  const { client, logGroupName, logStreamName, create } = options;
  const names = { logGroupName, logStreamName };
  const call = createCall(options);
  const provisioner = createProvisioner(call, names, options.log);

  const putOnce = async (body: Buffer, signal: AbortSignal) => {
    const { output, failure } = await call("PutLogEvents", signal, (aws, sdk, sending) =>
      aws.send(putLogEventsCommand(sdk, body), sending),
    );
    return output ? { output: { info: output.rejectedLogEventsInfo } } : { failure };
  };

  return {
    async put(entries, signal) {
      const body = encodeRequest(logGroupName, logStreamName, entries);
      const first = await putOnce(body, signal);
      if (!create || first.failure?.reason !== "not-found") return first;
      const notCreated = await provisioner.create(signal);
      // Whatever was refused there, it was none of the events.
      if (notCreated) return { failure: { ...notCreated, reason: "other" } };
      const second = await putOnce(body, signal);
      if (second.failure?.reason !== "not-found") return second;
      return {
        failure: {
          ...second.failure,
          kind: "transient",
          advice: "It was created, but is not known everywhere yet.",
        },
      };
    },
    async check(signal) {
      const what = `CloudWatch Logs: log group ${logGroupName}, log stream ${logStreamName}`;
      const { output: isThere, failure } = await find(call, names, signal);
      if (isThere) return { ok: true, text: `${what}: found` };
      if (failure && failure.reason !== "not-found") {
        return { ok: false, text: failure.text, advice: failure.advice };
      }
      return create
        ? { ok: true, text: `${what}: will be created` }
        : { ok: false, text: `${what}: not found`, advice: notFoundAdvice(names) };
    },
    close() {
      provisioner.close();
      client.close();
    },
  };
}

type CallAws = <Output extends { readonly $metadata: { readonly requestId?: string | undefined } }>(
  action: Call["action"],
  signal: AbortSignal,
  send: Send<Output>,
) => Promise<Outcome<Output>>;

/** One request, whose errors are values; only an abort is thrown. */
function createCall({ client, logGroupName, logStreamName, clock }: StreamOptions): CallAws {
  return async (action, signal, send) => {
    try {
      return { output: await client.call(signal, send) };
    } catch (thrown) {
      signal.throwIfAborted();
      return { failure: explain(thrown, { action, logGroupName, logStreamName }, clock.now()) };
    }
  };
}

/** Creates the stream, and the group where it is missing too. That something is there already is fine. */
function createProvisioner(call: CallAws, names: Names, log: Log) {
  const closing = new AbortController();
  let creating: Promise<Failure | null> | undefined;

  const created = (what: string, { failure }: Outcome<unknown>): Failure | null => {
    if (!failure) log.info(names, `created the log ${what}`);
    return failure && failure.reason !== "already-there" ? failure : null;
  };
  const createStream = async () => {
    const outcome = await call("CreateLogStream", closing.signal, (aws, sdk, sending) =>
      aws.send(new sdk.CreateLogStreamCommand(names), sending),
    );
    return created("stream", outcome);
  };
  const createGroup = async () => {
    const { logGroupName } = names;
    const outcome = await call("CreateLogGroup", closing.signal, (aws, sdk, sending) =>
      aws.send(new sdk.CreateLogGroupCommand({ logGroupName }), sending),
    );
    return created("group", outcome);
  };
  const createAll = async () => {
    const failure = await createStream();
    if (failure?.reason !== "not-found") return failure;
    return (await createGroup()) ?? (await createStream());
  };

  return {
    /** Requests in flight together find the stream missing together; it is created once for all of them. */
    create(signal: AbortSignal): Promise<Failure | null> {
      signal.throwIfAborted();
      creating ??= createAll().finally(() => {
        creating = undefined;
      });
      return abortable(creating, signal);
    },
    close() {
      closing.abort(new ExportError("aborted", "CloudWatch Logs was closed while a log stream was created"));
    },
  };
}

/** Of 50 names each. A name sorts before the longer ones that start with it. */
const maxPages = 20;

/** Whether the stream is there. The service matches prefixes, so that a sibling may answer in its place. */
async function find(call: CallAws, names: Names, signal: AbortSignal): Promise<Outcome<boolean>> {
  const { logGroupName, logStreamName } = names;
  let nextToken: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const input = { logGroupName, logStreamNamePrefix: logStreamName, limit: 50, nextToken };
    const { output, failure } = await call("DescribeLogStreams", signal, (aws, sdk, sending) =>
      aws.send(new sdk.DescribeLogStreamsCommand(input), sending),
    );
    if (failure) return { failure };
    if (output.logStreams?.some((found) => found.logStreamName === logStreamName)) return { output: true };
    nextToken = output.nextToken;
    if (nextToken === undefined) break;
  }
  return { output: false };
}
