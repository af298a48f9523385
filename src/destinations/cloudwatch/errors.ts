import { describe, ExportError, type ExportErrorKind } from "../../core/errors.ts";
import { readRetryAfter } from "../../lib/retry-after.ts";

/** What the SDK throws. None of it leaves this folder: its hidden fields hold the signed request. */
interface SdkError extends Error {
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

/** What was called. */
export interface Call {
  readonly action: "PutLogEvents" | "CreateLogStream" | "CreateLogGroup" | "DescribeLogStreams";
  readonly logGroupName: string;
  readonly logStreamName: string;
}

/** A request that was not accepted. */
export interface Failure {
  readonly kind: ExportErrorKind;
  /** `refused`: because of what the request contains, so that a part of it may still be accepted. */
  readonly reason: "not-found" | "already-there" | "refused" | "other";
  /** What happened, to what. */
  readonly text: string;
  /** What to do next. */
  readonly advice: string;
  readonly retryAfterMs?: number | undefined;
}

/** An answer that cannot be CloudWatch's own. */
export const badAnswer = (message: string) => Object.assign(new Error(message), { name: "BadAnswer" });

/** The service does not take the time that a request was signed with. */
export const clockSkew = (skewMs: number) =>
  Object.assign(
    new Error(
      `this machine's clock is ${Math.round(Math.abs(skewMs) / 60_000)} minutes off; AWS's time is used from now on`,
    ),
    { name: "ClockSkew" },
  );

/** Whether a wrong clock may be the cause. */
export const isAboutTime = (thrown: unknown) =>
  /Signature|^RequestExpired|^RequestTimeTooSkewed/.test((thrown as SdkError).name);

const isGarbled = ({ name }: Error) => name === "BadAnswer" || name === "SyntaxError";

/**
 * Names of exceptions, by what they mean for us:
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html and those of the SDK.
 */
const throttled = /^(Throttl|TooManyRequests|LimitExceeded|RequestLimitExceeded)/;
const denied =
  /^(AccessDenied|NotAuthorized|OptInRequired|UnrecognizedClient|InvalidSignature|IncompleteSignature|SignatureDoesNotMatch|ExpiredToken|RequestExpired|MissingAuthenticationToken|InvalidClientTokenId|InvalidAccessKeyId|CredentialsProviderError|TokenProviderError)/;
const passing = /^(OperationAborted|RequestAborted|RequestTimeout|TimeoutError|ServiceUnavailable)/;
const refused = /^(InvalidParameter|Serialization|Validation)(Exception|Error)$/;
const reasons: Readonly<Record<string, Failure["reason"]>> = {
  ResourceNotFoundException: "not-found",
  ResourceAlreadyExistsException: "already-there",
};

/** Whether the credentials, or what they may do, are at fault. */
export function isDenied(thrown: unknown): boolean {
  const { name, $metadata } = thrown as SdkError;
  return denied.test(name) || [401, 403, 407].includes($metadata?.httpStatusCode ?? 0);
}

/** Puts what the SDK threw into words: by HTTP status first, for a proxy's page has no name. */
export function explain(thrown: unknown, call: Call, nowMs: number): Failure {
  const error = thrown instanceof Error ? (thrown as SdkError) : (new Error(String(thrown)) as SdkError);
  return {
    ...classify(error, call),
    reason: reasonOf(error),
    text: `CloudWatch Logs, ${call.action}: ${wordsOf(error)}`,
    // A wait of nothing would be no back-off at all.
    retryAfterMs: readRetryAfter(error.$response?.headers?.["retry-after"], nowMs) || undefined,
  };
}

/** The same as an error to throw. */
export function toExportError({ kind, text, advice, retryAfterMs }: Failure): ExportError {
  return new ExportError(kind, `${text}${/[.!?…]$/.test(text) ? "" : "."} ${advice}`, { retryAfterMs });
}

function reasonOf(error: SdkError): Failure["reason"] {
  if (error.$metadata?.httpStatusCode === 413) return "refused";
  // What names the group, the stream or the key holds for every part of the request.
  if (refused.test(error.name) && !/log ?group|log ?stream|\bKMS\b/i.test(error.message)) return "refused";
  return reasons[error.name] ?? "other";
}

function classify(error: SdkError, call: Call): Pick<Failure, "kind" | "advice"> {
  const { name } = error;
  const status = error.$metadata?.httpStatusCode;
  if (status === 429 || throttled.test(name)) {
    return { kind: "rate_limited", advice: "If this persists, ask AWS for a higher quota." };
  }
  if (status === 408 || (status !== undefined && status >= 500)) {
    return { kind: "transient", advice: "If this persists, see https://health.aws.amazon.com." };
  }
  if (name === "ClockSkew") return { kind: "transient", advice: "Set the clock." };
  if (isDenied(error)) return { kind: "auth", advice: authAdvice(error, call) };
  if (isGarbled(error)) return { kind: "transient", advice: proxyAdvice };
  if (passing.test(name) || status === 200) {
    return { kind: "transient", advice: "If this persists, look at the network between here and AWS." };
  }
  if (/region is missing/i.test(error.message)) return { kind: "config", advice: "Set AWS_REGION." };
  if (name === "ResourceNotFoundException") return { kind: "permanent", advice: notFoundAdvice(call) };
  if (status !== undefined) {
    return {
      kind: "permanent",
      advice: "Check the log group, the log stream and the KMS key, if there is one.",
    };
  }
  // Without an answer it is the network or the SDK itself; Node names misuse of its functions like this.
  return typeof error.code === "string" && !/^ERR_(INVALID|MISSING|OUT_OF)_/.test(error.code)
    ? { kind: "transient", advice: "Check AWS_REGION, the proxy settings and the network." }
    : { kind: "bug", advice: "Please report this." };
}

const proxyAdvice = "A proxy or a firewall answers in AWS's place: let this machine reach CloudWatch Logs.";

function authAdvice(error: SdkError, { action, logGroupName }: Call): string {
  const { name } = error;
  if (error.$metadata?.httpStatusCode === 407) {
    return "The proxy asks for a user name and password: put them into HTTPS_PROXY.";
  }
  if (isGarbled(error)) return proxyAdvice;
  if (/^(AccessDenied|NotAuthorized)/.test(name)) {
    const hint = action === "DescribeLogStreams" ? " Only this check needs it." : "";
    return `Allow logs:${action} on arn:aws:logs:*:*:log-group:${logGroupName}:*.${hint}`;
  }
  if (/^(ExpiredToken|RequestExpired)/.test(name)) {
    return "Renew the credentials, and check this machine's clock.";
  }
  if (/Signature/.test(name)) return "Check AWS_SECRET_KEY, AWS_REGION and this machine's clock.";
  if (name === "OptInRequired") return "Enable the region for the AWS account, or set another AWS_REGION.";
  if (name.endsWith("ProviderError")) {
    return "Set AWS_ACCESS_KEY_ID and AWS_SECRET_KEY, or give the machine a role or AWS_PROFILE.";
  }
  return "Check AWS_ACCESS_KEY_ID, AWS_SECRET_KEY and AWS_SESSION_TOKEN.";
}

export function notFoundAdvice({ logGroupName, logStreamName }: Omit<Call, "action">): string {
  return `Create the log group ${logGroupName} with the log stream ${logStreamName}, or set CLOUDWATCH_CREATE=true; or correct CLOUDWATCH_LOG_GROUP_NAME, CLOUDWATCH_LOG_STREAM_NAME or AWS_REGION.`;
}

const maxWordsChars = 300;

function wordsOf(error: SdkError): string {
  const status = error.$metadata?.httpStatusCode;
  if (error.name === "SyntaxError") return `HTTP ${status} with a body that is not JSON`;
  const words = status === undefined ? describe(error) : error.message;
  // From "The Canonical String" on, AWS repeats the signed headers, session token included.
  const [first = ""] = words.split(/\n|The Canonical String/i, 1);
  const short = first.length > maxWordsChars ? `${first.slice(0, maxWordsChars)}…` : first.trim();
  return status === undefined ? short : `${error.name} (HTTP ${status})${short && `: ${short}`}`;
}
