import { asExportError, describe, ExportError } from "../core/errors.ts";
import { abortable, retry } from "../core/retry.ts";
import type { Clock } from "../core/types.ts";
import type { Log } from "../lib/log.ts";
import { createRedactor } from "../lib/redact.ts";
import { readRetryAfter } from "../lib/retry-after.ts";
import type { SlackMessage } from "./slack-message.ts";

/** One message a second for each webhook (https://docs.slack.dev/apis/web-api/rate-limits). */
const minGapMs = 1_000;
/** A pause that Slack asks for is obeyed up to this, so that a nonsense header cannot silence reports for ever. */
const maxPauseMs = 3_600_000;
/** Messages that may wait for their turn; beyond it the oldest is dropped. */
const maxWaiting = 100;
/** Slack answers with a word or two; more is another server's page. */
const maxAnswerBytes = 4_096;

export interface SlackPosterOptions {
  /** The incoming webhook's URL: a secret. */
  readonly url: string;
  /** How long one post may take, the wait for its turn and for a 429 included. */
  readonly timeoutMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SlackPoster {
  /**
   * True once Slack accepted the message. False, and one warning in the log, when it did not, when the time
   * is over or when `signal` aborts. Never rejects. After a time-out Slack may still show the message.
   */
  post(message: SlackMessage, signal: AbortSignal): Promise<boolean>;
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: string;
}

/**
 * Posts to one incoming webhook, in order, at most one message a second. Waits out a 429 and tries a refused
 * connection once more; nothing else is sent twice. Throws `config` for a URL that cannot be a webhook's.
 */
export function createSlackPoster(options: SlackPosterOptions): SlackPoster {
  const { url, timeoutMs = 10_000, clock, log } = options;
  const problem = slackUrlProblem(url);
  if (problem !== null) throw new ExportError("config", `The Slack webhook URL ${problem}.`);
  const send = createSender(url, clock);
  // The messages of libraries and servers may quote the address.
  const { pathname, search } = new URL(url);
  const { redact } = createRedactor([url, pathname + search, pathname.split("/").at(-1) ?? ""]);
  const waiting = new Set<AbortController>();
  let lastTurn: Promise<void> = Promise.resolve();

  async function post(message: SlackMessage, signal: AbortSignal): Promise<boolean> {
    const giveUpAtMs = clock.monotonicMs() + timeoutMs;
    const deadline = AbortSignal.timeout(timeoutMs);
    const dropped = new AbortController();
    const limit = AbortSignal.any([signal, deadline, dropped.signal]);
    waiting.add(dropped);
    const [oldest] = waiting;
    if (oldest && waiting.size > maxWaiting) {
      waiting.delete(oldest);
      oldest.abort();
    }
    const turn = lastTurn;
    const { promise: done, resolve: endTurn } = Promise.withResolvers<void>();
    lastTurn = turn.then(() => done);
    let refusedConnections = 0;
    try {
      await abortable(turn, limit);
      waiting.delete(dropped);
      const giveUpAfterMs = giveUpAtMs - clock.monotonicMs();
      const mayReconnect = () => refusedConnections++ === 0;
      await retry({ clock, signal: limit, giveUpAfterMs }, () => send(message, limit, mayReconnect));
      return true;
    } catch (thrown) {
      let why = redact(asExportError(thrown).message);
      if (dropped.signal.aborted) why = `more than ${maxWaiting} were waiting, and it was the oldest.`;
      else if (signal.aborted) why = "the exporter is stopping.";
      else if (deadline.aborted) why = `there was no answer within ${timeoutMs / 1_000} s.`;
      log.warn(`A report was not posted to Slack: ${why}`);
      return false;
    } finally {
      waiting.delete(dropped);
      endTurn();
    }
  }

  return { post };
}

/** Sends a message once. Throws `rate_limited` while Slack or our own limit wants a pause. */
function createSender(url: string, clock: Clock) {
  let pauseUntilMs = 0;

  return async (message: SlackMessage, signal: AbortSignal, mayReconnect: () => boolean): Promise<void> => {
    const pauseMs = pauseUntilMs - clock.monotonicMs();
    if (pauseMs > 0) throw pauseError(pauseMs);
    const { IncomingWebhook } = await import("@slack/webhook");
    // The SDK's errors drop Retry-After, and it reads a body of any length: so the fetch is ours.
    const seen: { answer?: Answer } = {};
    const webhook = new IncomingWebhook(url, {
      fetch: async (target, init) => {
        const response = await fetch(target, { ...init, redirect: "manual", signal });
        const body = await firstBytes(response);
        seen.answer = { status: response.status, retryAfter: response.headers.get("retry-after"), body };
        return new Response(body === "" ? null : body, { status: response.status });
      },
    });
    let failure: unknown;
    try {
      await webhook.send({ ...message, blocks: [...message.blocks] });
    } catch (thrown) {
      failure = thrown;
    }
    pauseUntilMs = clock.monotonicMs() + minGapMs;
    const { answer } = seen;
    if (!answer) throw connectionError(failure, mayReconnect);
    if (answer.status === 429) {
      const retryAfterMs = readRetryAfter(answer.retryAfter, clock.now()) ?? minGapMs;
      const askedMs = Math.min(Math.max(retryAfterMs, minGapMs), maxPauseMs);
      pauseUntilMs = clock.monotonicMs() + askedMs;
      throw pauseError(askedMs);
    }
    if (!isAccepted(answer, url)) throw new ExportError("permanent", refusal(answer, url));
  };
}

function pauseError(pauseMs: number): ExportError {
  const message = `Slack takes no more messages for ${Math.ceil(pauseMs / 1_000)} s (rate limit).`;
  return new ExportError("rate_limited", message, { retryAfterMs: pauseMs });
}

/** A connection that was never made sent nothing, so one more try cannot post twice. */
function connectionError(thrown: unknown, mayReconnect: () => boolean): ExportError {
  const original = thrown instanceof Error && thrown.cause !== undefined ? thrown.cause : thrown;
  let root = original;
  while (root instanceof Error && root.cause !== undefined) root = root.cause;
  if (root instanceof AggregateError) root = root.errors[0];
  const call = root instanceof Error && "syscall" in root ? root.syscall : null;
  const sentNothing = call === "connect" || call === "getaddrinfo";
  const message = `the connection failed: ${describe(original)}. Check the network and the proxy.`;
  return new ExportError(sentNothing && mayReconnect() ? "transient" : "permanent", message);
}

async function firstBytes(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= maxAnswerBytes) break;
  }
  return Buffer.concat(chunks).toString("utf8", 0, maxAnswerBytes).trim();
}

/** Slack says `ok`. What relays say differs, but a page of HTML is some proxy's. */
function isAccepted({ status, body }: Answer, url: string): boolean {
  if (status < 200 || status > 299) return false;
  return body === "ok" || (!slackHosts.has(new URL(url).hostname) && !body.startsWith("<"));
}

/** What Slack answered and what to do about it; of the body only an error code is quoted, and only one that is no part of the URL. */
function refusal({ status, body }: Answer, url: string): string {
  const code = /^[a-z][a-z_]{1,60}$/.test(body) && !url.includes(body) ? body : null;
  const known = code && advices.find(({ codes }) => codes.includes(code));
  return `the answer was ${code ? `${code} (HTTP ${status})` : `HTTP ${status}`}. ${known ? known.advice : adviceOn(status)}`;
}

function adviceOn(status: number): string {
  if (status >= 500) return "Slack has a fault; what is not reported now is reported after the next run.";
  if (status >= 300 && status < 400)
    return "It is a redirect: set SLACK_INCOMING_WEBHOOK_URL to the final URL.";
  return "That is not how a webhook answers: check SLACK_INCOMING_WEBHOOK_URL and the proxy.";
}

/** Codes: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors. */
const advices: readonly { readonly codes: readonly string[]; readonly advice: string }[] = [
  {
    codes: ["no_service", "no_service_id", "no_active_hooks", "no_team", "team_disabled", "invalid_token"],
    advice:
      "Slack does not know the webhook any more: create a new one and set SLACK_INCOMING_WEBHOOK_URL to it.",
  },
  {
    codes: ["channel_is_archived"],
    advice: "Unarchive the webhook's channel, or create a webhook for another one.",
  },
  {
    codes: ["channel_not_found"],
    advice: "The webhook's channel was deleted: create a webhook for another one.",
  },
  {
    codes: ["action_prohibited", "posting_to_general_channel_denied"],
    advice: "The workspace forbids the webhook to post there: ask an administrator, or use another channel.",
  },
  {
    codes: ["invalid_payload", "invalid_blocks", "msg_blocks_too_long", "msg_too_long", "no_text"],
    advice: "Slack did not understand the message, which is a fault of this program: please report it.",
  },
];

const slackHosts: ReadonlySet<string> = new Set(["hooks.slack.com", "hooks.slack-gov.com"]);
const loopbackHosts: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);

/**
 * What is wrong with a webhook URL, as the end of a sentence and without showing the URL; null when nothing is.
 * Any https server may stand in for Slack, such as a relay or Mattermost; http is for loopback only.
 */
export function slackUrlProblem(url: string): string | null {
  const expected = "expected https://hooks.slack.com/services/T…/B…/…, as the Slack app shows it";
  if (!URL.canParse(url)) return `is not a URL; ${expected}`;
  const { protocol, hostname, username, password, pathname, search, hash } = new URL(url);
  if (username !== "" || password !== "") return `must not hold a user name or password; ${expected}`;
  const isLoopback = protocol === "http:" && loopbackHosts.has(hostname);
  if (protocol !== "https:" && !isLoopback) return `must begin with https://; ${expected}`;
  if (!slackHosts.has(hostname)) {
    const isSlack = /(^|\.)slack(-gov)?\.com$/.test(hostname);
    return isSlack ? `is on a host of Slack that has no incoming webhooks; ${expected}` : null;
  }
  if (/^\/(triggers|workflows)\//.test(pathname)) {
    return `starts a workflow, which takes variables and no messages; ${expected}`;
  }
  const isWebhook = /^\/services\/[TE][A-Z0-9]+\/B[A-Z0-9]+\/[A-Za-z0-9]+$/.test(pathname + search + hash);
  return isWebhook ? null : `is incomplete or has more than it should; ${expected}`;
}
