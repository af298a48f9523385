/** A stand-in for a Slack incoming webhook, on loopback, as strict as Slack is or stricter. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "../core/types.ts";
import { systemClock } from "../lib/clock.ts";

const webhookPath = "/services/T000/B000/XXXX";
const maxBodyBytes = 1_048_576;
/** Kept for looking at; beyond it the oldest are forgotten. */
const maxKept = 1_000;

/** What happens to the next request instead of an ordinary answer. */
type SlackFault =
  | {
      readonly status: number;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The connection is reset before anything is read. */
  | "reset"
  /** No answer ever. */
  | "hang"
  /** The message is posted, and the answer lost. */
  | "reset-after-accept";

interface SlackRequest {
  /** On the stand-in's clock. */
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
}

/** A message as posted; `slackRefusal` has checked its form. */
interface SlackPayload {
  readonly text?: string;
  readonly blocks?: readonly SlackPayloadBlock[];
}

interface SlackPayloadBlock {
  readonly type: string;
  readonly text?: { readonly type: string; readonly text: string };
  readonly fields?: readonly { readonly type: string; readonly text: string }[];
}

export interface SlackStandInOptions {
  readonly clock?: Pick<Clock, "now" | "monotonicMs">;
  /** Messages accepted at once before the limit of one a second applies. */
  readonly burst?: number;
  /** Called when a request has arrived, before it is answered. */
  onRequest?(request: SlackRequest): void;
}

export interface SlackStandIn {
  /** The webhook's URL. */
  readonly url: string;
  /** Accepted messages, oldest first. */
  readonly messages: SlackPayload[];
  readonly requests: SlackRequest[];
  /** One for each of the next requests. */
  readonly faults: SlackFault[];
  /** While set, what happens to every request that has no fault of its own. */
  outage: SlackFault | null;
  close(): Promise<void>;
}

/** Starts the stand-in on a free port of 127.0.0.1. */
export async function startSlack(options: SlackStandInOptions = {}): Promise<SlackStandIn> {
  const { clock = systemClock, burst = 3 } = options;
  const limiter = createLimiter(clock, burst);
  const server = createServer((request, response) => {
    handle(request, response).catch(() => request.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  const standIn: SlackStandIn = {
    url: `http://127.0.0.1:${port}${webhookPath}`,
    messages: [],
    requests: [],
    faults: [],
    outage: null,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "" } = request;
    const seen = { atMs: clock.now(), method, path };
    keep(standIn.requests, seen);
    const fault = standIn.faults.shift() ?? standIn.outage;
    const body = await readBody(request);
    options.onRequest?.(seen);
    if (fault === "hang") return;
    if (fault === "reset") return void request.socket.resetAndDestroy();
    if (fault !== null && fault !== "reset-after-accept") {
      return void response.writeHead(fault.status, fault.headers).end(fault.body ?? "");
    }
    const { status, text, retryAfter, payload } = answer(request, body, limiter);
    if (payload) keep(standIn.messages, payload);
    if (fault === "reset-after-accept") return void request.socket.resetAndDestroy();
    response
      .writeHead(status, retryAfter === undefined ? {} : { "retry-after": String(retryAfter) })
      .end(text);
  }

  return standIn;
}

function keep<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > maxKept) list.shift();
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new Error("body too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Seconds. */
  readonly retryAfter?: number;
  /** The message, when it is accepted. */
  readonly payload?: SlackPayload;
}

/** Codes: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors. */
function answer(request: IncomingMessage, body: string, limiter: () => number): Answer {
  if (request.url !== webhookPath) return { status: 404, text: "no_service" };
  if (request.method !== "POST") return { status: 405, text: "method_not_allowed" };
  const retryAfter = limiter();
  if (retryAfter > 0) return { status: 429, text: "rate_limited", retryAfter };
  const isJson = /^application\/json\b/i.test(request.headers["content-type"] ?? "");
  const payload = isJson ? parseJson(body) : undefined;
  const refusal = slackRefusal(payload);
  if (refusal !== null) return { status: 400, text: refusal };
  return { status: 200, text: "ok", payload: payload as SlackPayload };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * One message a second, short bursts beyond it, then 429 with Retry-After in seconds
 * (https://docs.slack.dev/apis/web-api/rate-limits). Gives the seconds to wait, 0 when the message may pass.
 */
function createLimiter(clock: Pick<Clock, "monotonicMs">, burst: number): () => number {
  let tokens = burst;
  let filledAtMs = clock.monotonicMs();
  return () => {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(burst, tokens + (nowMs - filledAtMs) / 1_000);
    filledAtMs = nowMs;
    if (tokens < 1) return Math.ceil(1 - tokens);
    tokens -= 1;
    return 0;
  };
}

/**
 * Slack's error code for a payload that it would refuse, or that a reader would not get whole; null when it is
 * fine. Knows the blocks that reports are made of. Lengths are counted in UTF-16 units, the strictest reading.
 */
export function slackRefusal(payload: unknown): string | null {
  // "verify your content body … is structurally valid": https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks
  if (!isObject(payload) || !isWellFormed(payload)) return "invalid_payload";
  const { text = "", blocks = [], attachments = [] } = payload;
  if (typeof text !== "string") return "invalid_payload";
  // Slack cuts longer texts: https://api.slack.com/changelog/2018-04-truncating-really-long-messages
  if (text.length > 40_000) return "msg_too_long";
  // At most 100: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
  if (!Array.isArray(attachments)) return "invalid_payload";
  if (attachments.length > 100) return "too_many_attachments";
  // At most 50: https://docs.slack.dev/reference/block-kit/blocks
  if (!Array.isArray(blocks) || blocks.length > 50 || !blocks.every(isBlock)) return "invalid_blocks";
  if (text.trim() === "" && blocks.length === 0 && attachments.length === 0) return "no_text";
  // Not documented; seen at about 13,200 with some overhead for each block: https://github.com/slackapi/bolt-js/issues/2509
  return JSON.stringify(blocks).length > 13_200 ? "msg_blocks_too_long" : null;
}

function isBlock(block: unknown): boolean {
  if (!isObject(block)) return false;
  switch (block.type) {
    // https://docs.slack.dev/reference/block-kit/blocks/header-block
    case "header":
      return hasOnly(block, ["type", "block_id", "text"]) && isText(block.text, 150, ["plain_text"]);
    // https://docs.slack.dev/reference/block-kit/blocks/section-block
    case "section": {
      const { text, fields } = block;
      if (!hasOnly(block, ["type", "block_id", "text", "fields", "expand"])) return false;
      if (text === undefined && fields === undefined) return false;
      return (text === undefined || isText(text, 3_000)) && (fields === undefined || isTexts(fields, 2_000));
    }
    // https://docs.slack.dev/reference/block-kit/blocks/context-block
    case "context":
      return hasOnly(block, ["type", "block_id", "elements"]) && isTexts(block.elements, 3_000);
    // https://docs.slack.dev/reference/block-kit/blocks/divider-block
    case "divider":
      return hasOnly(block, ["type", "block_id"]);
    default:
      return false;
  }
}

/** Both lists of texts that blocks have hold at most 10. */
function isTexts(list: unknown, maxChars: number): boolean {
  if (!Array.isArray(list) || list.length === 0 || list.length > 10) return false;
  return list.every((item) => isText(item, maxChars));
}

/** https://docs.slack.dev/reference/block-kit/composition-objects/text-object */
function isText(value: unknown, maxChars: number, types = ["plain_text", "mrkdwn"]): boolean {
  if (!isObject(value) || typeof value.type !== "string" || !types.includes(value.type)) return false;
  const { type, text, emoji = false, verbatim = false } = value;
  if (!hasOnly(value, ["type", "text", type === "mrkdwn" ? "verbatim" : "emoji"])) return false;
  if (typeof emoji !== "boolean" || typeof verbatim !== "boolean") return false;
  return typeof text === "string" && text.trim() !== "" && text.length <= maxChars;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasOnly(object: Record<string, unknown>, names: readonly string[]): boolean {
  return Object.keys(object).every((name) => names.includes(name));
}

/** Half a character in a JSON escape is valid for few JSON parsers, and shown by none. */
function isWellFormed(payload: Record<string, unknown>): boolean {
  let wellFormed = true;
  JSON.stringify(payload, (_name, value) => {
    if (typeof value === "string" && !value.isWellFormed()) wellFormed = false;
    return value;
  });
  return wellFormed;
}
