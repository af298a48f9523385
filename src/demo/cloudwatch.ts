import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { actions, type Input, type StandInCounts, type State } from "./cloudwatch-actions.ts";
import { type Answer, checkSignature, exception, type InputEvent } from "./cloudwatch-rules.ts";

type Action = keyof typeof actions;

/**
 * `reset`: resets the connection before the body is read. `reset-after-accept`: carries the request out, then
 * resets the connection. `hang`, `hang-after-accept`: the same, but never answers. `hang-in-body`: answers with the
 * head and the first byte. `html`: a page with status 200, as a captive portal sends it. `empty`: status 200 with
 * neither a body nor a request ID. `throttle`: 400 ThrottlingException.
 */
type FaultName =
  | "reset"
  | "reset-after-accept"
  | "hang"
  | "hang-after-accept"
  | "hang-in-body"
  | "html"
  | "empty"
  | "throttle";

interface FaultAnswer {
  readonly status: number;
  /** AWS's exception type. */
  readonly type?: string;
  /** Sent as it is; without one, an AWS exception of `type`. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `on`: the action it waits for; any, when absent. */
export type CloudWatchFault =
  | FaultName
  | { readonly fault: FaultName; readonly on?: Action }
  | (FaultAnswer & { readonly on?: Action });

export interface CloudWatchStandInOptions {
  /** The service's clock, epoch ms; the machine's by default. */
  readonly now?: () => number;
  /** How long each answer is held back; 0 by default. */
  readonly latencyMs?: number;
  /** Retention of every group; nothing expires by default. */
  readonly retentionDays?: number;
  /** "counts" keeps no event, only `counts`: for benchmarks. */
  readonly keep?: "all" | "counts";
  /** A call with a message for which this is true is refused as a whole. */
  readonly poison?: (message: string) => boolean;
  /** Names of groups that exist from the start, each with its streams. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /** Region and access key that requests must be signed for; any by default. */
  readonly region?: string;
  readonly accessKeyId?: string;
}

interface RequestRecord {
  readonly action: string;
  /** 0 when there was no answer. */
  readonly status: number;
  /** How many events the request carried; 0 when it was not read. */
  readonly events: number;
  /** Size of its body. */
  readonly bytes: number;
}

export interface CloudWatchStandIn extends AsyncDisposable {
  /** For AWS_ENDPOINT_URL_CLOUDWATCH_LOGS. */
  readonly url: string;
  /** Each request uses up the first that is meant for its action. */
  readonly faults: CloudWatchFault[];
  /** Meets every request while set. */
  outage: CloudWatchFault | null;
  readonly counts: Readonly<StandInCounts>;
  /** The last 10,000. */
  readonly requests: readonly RequestRecord[];
  /** In order of arrival; of one group or one stream when named. */
  events(group?: string, stream?: string): InputEvent[];
  /** Ends at once, open connections included. */
  close(): Promise<void>;
}

const maxRecords = 10_000;
/** Well above the largest valid call, although escaping makes messages longer. */
const maxBodyBytes = 8 * 1_048_576;

/**
 * A CloudWatch Logs service on 127.0.0.1, as strict as the real one, speaking AWS JSON 1.1 over HTTP:
 * https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
 */
export async function startCloudWatch(options: CloudWatchStandInOptions = {}): Promise<CloudWatchStandIn> {
  const state = createState(options);
  const requests: RequestRecord[] = [];
  const timers = new Set<NodeJS.Timeout>();

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    state.counts.requests++;
    const action = String(request.headers["x-amz-target"]).replace(/^Logs_20140328\./, "");
    const fault = meet(standIn, action);
    const record = (status: number, input?: Input | null) => {
      const events = Array.isArray(input?.logEvents) ? input.logEvents.length : 0;
      requests.push({ action, status, events, bytes: Number(request.headers["content-length"] ?? 0) });
      if (requests.length > maxRecords) requests.shift();
    };

    if (fault === "reset") {
      record(0);
      request.socket.resetAndDestroy();
      return;
    }
    const body = await readBody(request);
    if (body === null || fault === "hang") {
      record(0);
      if (body === null) request.destroy();
      return;
    }
    const input = parseInput(body);
    const answer =
      typeof fault === "object" && fault !== null ? fault : answerTo(state, action, input, request);
    if (fault === "reset-after-accept" || fault === "hang-after-accept") {
      record(0, input);
      if (fault === "reset-after-accept") request.socket.resetAndDestroy();
      return;
    }
    record(answer.status, input);
    if (options.latencyMs) await later(options.latencyMs, timers);
    respond(response, answer, fault === "hang-in-body");
  }

  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async () => {
    for (const timer of timers) clearTimeout(timer);
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  const standIn: CloudWatchStandIn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults: [],
    outage: null,
    counts: state.counts,
    requests,
    events: (group, stream) =>
      state.stored
        .filter(
          (event) => (group ?? event.group) === event.group && (stream ?? event.stream) === event.stream,
        )
        .map(({ timestamp, message }) => ({ timestamp, message })),
    close,
    [Symbol.asyncDispose]: close,
  };
  return standIn;
}

function createState(options: CloudWatchStandInOptions): State {
  const now = options.now ?? Date.now;
  return {
    groups: new Map(
      Object.entries(options.groups ?? {}).map(([group, streams]) => [
        group,
        new Map(streams.map((stream) => [stream, now()])),
      ]),
    ),
    stored: [],
    ids: new Set(),
    counts: { requests: 0, events: 0, distinct: 0, bytes: 0, rejected: 0 },
    now,
    keep: options.keep ?? "all",
    retentionDays: options.retentionDays,
    poison: options.poison ?? (() => false),
    signedFor: { region: options.region, accessKeyId: options.accessKeyId },
  };
}

type LooseAnswer = Answer & { readonly text?: string; readonly headers?: Readonly<Record<string, string>> };

/** What this request meets: a way to misbehave, an answer to give instead of its own, or nothing. */
function meet(standIn: CloudWatchStandIn, action: string): FaultName | LooseAnswer | null {
  const { outage, faults } = standIn;
  const matches = (fault: CloudWatchFault) => typeof fault === "string" || (fault.on ?? action) === action;
  const index = faults.findIndex(matches);
  const fault = outage && matches(outage) ? outage : index === -1 ? null : faults.splice(index, 1)[0];
  if (!fault) return null;
  if (typeof fault === "object" && "status" in fault) {
    return {
      ...exception(fault.type ?? "InternalFailure", "This answer was asked for.", fault.status),
      ...(fault.body !== undefined && { text: fault.body }),
      ...(fault.headers && { headers: fault.headers }),
    };
  }
  const name = typeof fault === "string" ? fault : fault.fault;
  switch (name) {
    case "throttle":
      // API/CommonErrors.html
      return exception("ThrottlingException", "Rate exceeded");
    case "html":
      return { ...bare, text: "<html><body>Sign in to go on</body></html>" };
    case "empty":
      return bare;
    default:
      return name;
  }
}

/** Status 200 and nothing that AWS would add. */
const bare = {
  status: 200,
  body: {},
  text: "",
  headers: { "x-amzn-requestid": "", "content-type": "text/html" },
};

function respond(response: ServerResponse, answer: LooseAnswer, isHalf: boolean): void {
  const text = answer.text ?? JSON.stringify(answer.body);
  const headers = {
    "content-type": "application/x-amz-json-1.1",
    "x-amzn-requestid": randomUUID(),
    "content-length": String(Buffer.byteLength(text)),
    ...answer.headers,
  };
  const present = Object.entries(headers).filter(([, value]) => value !== "");
  response.writeHead(answer.status, Object.fromEntries(present));
  if (isHalf) response.write(text.slice(0, 1));
  else response.end(text);
}

/** The whole body; null when the client goes away, or sends more than the service reads. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBodyBytes) return null;
      chunks.push(chunk);
    }
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}

function parseInput(body: Buffer): Input | null {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === "object" && value !== null ? (value as Input) : null;
  } catch {
    return null;
  }
}

function answerTo(state: State, action: string, input: Input | null, request: IncomingMessage): Answer {
  const { method, headers } = request;
  // API/CommonErrors.html
  const unknown = exception("UnknownOperationException", "", 404);
  if (method !== "POST" || headers["content-type"] !== "application/x-amz-json-1.1") return unknown;
  const refused = checkSignature(headers, state.signedFor);
  if (refused) return refused;
  if (!Object.hasOwn(actions, action)) return unknown;
  if (input === null) return exception("SerializationException", "The body is not a JSON object.");
  return actions[action as Action](state, input);
}

function later(ms: number, timers: Set<NodeJS.Timeout>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      resolve();
    }, ms);
    timers.add(timer);
  });
}
