import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type * as Sdk from "@aws-sdk/client-cloudwatch-logs";
import { abortable } from "../../core/retry.ts";
import { startDeadline } from "../../lib/deadline.ts";
import { badAnswer, clockSkew, isAboutTime, isDenied } from "./errors.ts";

interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface ClientOptions {
  /** The SDK's own choice when absent: AWS_REGION, then the profile's. */
  readonly region?: string;
  /** A function, so that printing the options shows no secret; the SDK's default chain when absent. */
  readonly credentials?: () => AwsCredentials;
  readonly endpoint?: string;
  /** Deadline of each request, the search for credentials and the body of the answer included. */
  readonly requestTimeoutMs: number;
  /** HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case. */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>>;
}

interface SendOptions {
  readonly abortSignal: AbortSignal;
}

export type Send<Output> = (
  client: Sdk.CloudWatchLogsClient,
  sdk: typeof Sdk,
  options: SendOptions,
) => Promise<Output>;

export interface Client {
  /**
   * One request, without any retry. Throws the signal's reason on abort, else whatever the SDK throws, or an
   * error of its own: a `TimeoutError` when the deadline passes, a `BadAnswer` when AWS cannot be its author.
   */
  call<Output extends { readonly $metadata: { readonly requestId?: string | undefined } }>(
    signal: AbortSignal,
    send: Send<Output>,
  ): Promise<Output>;
  close(): void;
}

const maxConnectMs = 5_000;
/** AWS refuses signatures that are 5 minutes or more from its own time. */
const minSkewMs = 4 * 60_000;
/** A page of DescribeLogStreams, the longest answer, is far shorter. */
const maxAnswerBytes = 1_048_576;

/** A client that is made at the first call and keeps its connections. */
export function createClient(options: ClientOptions): Client {
  const agentOptions = { keepAlive: true, ...(options.proxyEnv && { proxyEnv: options.proxyEnv }) };
  const httpAgent = new HttpAgent(agentOptions);
  const httpsAgent = new HttpsAgent(agentOptions);
  let loading: Promise<typeof Sdk> | undefined;
  let current: Sdk.CloudWatchLogsClient | undefined;

  const connect = async () => {
    loading ??= import("@aws-sdk/client-cloudwatch-logs");
    const sdk = await loading;
    current ??= new sdk.CloudWatchLogsClient({ ...toConfig(options), requestHandler: handler });
    return { sdk, client: current };
  };
  const handler = {
    httpAgent,
    httpsAgent,
    connectionTimeout: Math.min(maxConnectMs, options.requestTimeoutMs),
    requestTimeout: options.requestTimeoutMs,
    throwOnRequestTimeout: true,
    socketTimeout: options.requestTimeoutMs,
  };

  return {
    async call(signal, send) {
      signal.throwIfAborted();
      const deadline = startDeadline(signal, options.requestTimeoutMs);
      try {
        const { sdk, client } = await abortable(connect(), deadline.signal);
        deadline.signal.throwIfAborted();
        const skewMs = client.config.systemClockOffset;
        const sending = send(client, sdk, { abortSignal: deadline.signal }).catch((thrown: unknown) => {
          // The SDK reads AWS's time from every answer; it was wrong about it if it has just changed its mind.
          const newSkewMs = client.config.systemClockOffset;
          const isCorrected = Math.abs(newSkewMs - skewMs) >= minSkewMs;
          throw isCorrected && isAboutTime(thrown) ? clockSkew(newSkewMs) : thrown;
        });
        const output = await abortable(sending, deadline.signal);
        // Seen from proxies: 200 with an empty body, which the SDK takes for success.
        if (output.$metadata.requestId === undefined) throw badAnswer("HTTP 200 without a request ID");
        return output;
      } catch (thrown) {
        signal.throwIfAborted();
        // The SDK keeps keys for good; a new client reads them anew, which finds rotated ones.
        if (isDenied(thrown)) current = undefined;
        throw thrown;
      } finally {
        deadline.end();
      }
    },
    close() {
      current?.destroy();
      httpAgent.destroy();
      httpsAgent.destroy();
    },
  };
}

function toConfig({ region, endpoint, credentials }: ClientOptions): Sdk.CloudWatchLogsClientConfig {
  return {
    // Waiting and retrying are the caller's.
    maxAttempts: 1,
    streamCollector: readAnswer,
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials && { credentials: async () => credentials() }),
  };
}

async function readAnswer(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) throw badAnswer(`the answer has more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * PutLogEvents with a body that is encoded already: the SDK's encoder goes character by character, which took a
 * quarter of the time of a request. It gets nothing to encode, and its body is replaced.
 */
export function putLogEventsCommand(sdk: typeof Sdk, body: Buffer): Sdk.PutLogEventsCommand {
  const nothing = { logGroupName: undefined, logStreamName: undefined, logEvents: undefined };
  const command = new sdk.PutLogEventsCommand(nothing);
  command.middlewareStack.add(
    (next) => (args) => {
      (args.request as { body: unknown }).body = body;
      return next(args);
    },
    // Before the SDK measures the body and signs it.
    { step: "build", priority: "high", name: "encodedBody" },
  );
  return command;
}
