/**
 * What CloudWatch Logs accepts and how it refuses the rest, without a network. `API` below stands for
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference. The same limits stand in the type
 * declarations of @aws-sdk/client-cloudwatch-logs.
 */

/** One answer of the service: an AWS JSON 1.1 body and its status. */
export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface InputEvent {
  readonly timestamp: number;
  readonly message: string;
}

/** Events from `start` to before `end` are accepted; `body` is the answer. */
export interface Verdict {
  readonly start: number;
  readonly end: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const dayMs = 86_400_000;
const hourMs = 3_600_000;

/** API/API_PutLogEvents.html: "batch of events must satisfy the following constraints". */
const maxBatchBytes = 1_048_576;
const overheadBytes = 26;
const maxEvents = 10_000;
const maxSpanMs = 24 * hourMs;
const maxAgeMs = 14 * dayMs;
const maxAheadMs = 2 * hourMs;

/** An exception as the service words it. */
export function exception(type: string, message: string, status = 400): Answer {
  return { status, body: { __type: type, message } };
}

/** API/API_PutLogEvents.html#API_PutLogEvents_Errors, in the service's words. */
export const notFound = (what: "group" | "stream"): Answer =>
  exception("ResourceNotFoundException", `The specified log ${what} does not exist.`);

const invalid = (message: string) => exception("InvalidParameterException", message);

const constraint = (value: string, member: string, rule: string) =>
  invalid(
    `1 validation error detected: Value '${value}' at '${member}' failed to satisfy constraint: Member must ${rule}`,
  );

/** API/API_CreateLogGroup.html and API/API_CreateLogStream.html: lengths and patterns of names. */
const nameRules = {
  logGroupName: /^[.\-_/#A-Za-z0-9]+$/,
  logStreamName: /^[^:*]*$/,
  logStreamNamePrefix: /^[^:*]*$/,
};

/** Refuses a name that is missing, of the wrong length, or with characters that AWS does not take. */
export function checkName(input: Record<string, unknown>, member: keyof typeof nameRules): Answer | null {
  const name = input[member];
  if (typeof name !== "string") {
    return invalid(
      `1 validation error detected: Value null at '${member}' failed to satisfy constraint: Member must not be null`,
    );
  }
  if (name.length < 1) return constraint(name, member, "have length greater than or equal to 1");
  if (name.length > 512) return constraint(name, member, "have length less than or equal to 512");
  const pattern = nameRules[member];
  if (!pattern.test(name)) {
    return constraint(name, member, `satisfy regular expression pattern: ${pattern.source.slice(1, -1)}`);
  }
  // API/API_CreateLogGroup.html: names cannot start with the string aws/.
  if (member === "logGroupName" && name.startsWith("aws/")) {
    return invalid("Log groups starting with AWS/ are reserved for AWS.");
  }
  return null;
}

/** What makes PutLogEvents refuse the whole call. API/API_PutLogEvents.html, API/API_InputLogEvent.html. */
export function checkEvents(value: unknown, nowMs: number): Answer | readonly InputEvent[] {
  if (!Array.isArray(value)) {
    return invalid(
      "1 validation error detected: Value null at 'logEvents' failed to satisfy constraint: Member must not be null",
    );
  }
  if (value.length < 1) return constraint("[]", "logEvents", "have length greater than or equal to 1");
  if (value.length > maxEvents) {
    return constraint("[…]", "logEvents", `have length less than or equal to ${maxEvents}`);
  }
  let batchBytes = 0;
  let previousMs = Number.NEGATIVE_INFINITY;
  let firstValidMs: number | undefined;
  for (const [index, { timestamp, message }] of (value as Partial<InputEvent>[]).entries()) {
    const member = `logEvents.${index + 1}.member`;
    if (!Number.isSafeInteger(timestamp) || timestamp === undefined || timestamp < 0) {
      return constraint(String(timestamp), `${member}.timestamp`, "be a whole number of at least 0");
    }
    if (typeof message !== "string" || message.length < 1) {
      return constraint("", `${member}.message`, "have length greater than or equal to 1");
    }
    const eventBytes = Buffer.byteLength(message) + overheadBytes;
    if (eventBytes > maxBatchBytes) {
      return invalid(`Log event too large: ${eventBytes} bytes exceeds limit of ${maxBatchBytes}`);
    }
    batchBytes += eventBytes;
    if (timestamp < previousMs) {
      return invalid("Log events in a single PutLogEvents request must be in chronological order.");
    }
    previousMs = timestamp;
    // The span is that of "valid events (within 14 days in the past to 2 hours in future)".
    if (timestamp < nowMs - maxAgeMs || timestamp > nowMs + maxAheadMs) continue;
    firstValidMs ??= timestamp;
    if (timestamp - firstValidMs > maxSpanMs) {
      return invalid(
        "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
      );
    }
  }
  if (batchBytes > maxBatchBytes) {
    return invalid(`Upload too large: ${batchBytes} bytes exceeds limit of ${maxBatchBytes}`);
  }
  return value as InputEvent[];
}

/**
 * Which of the ordered events are kept. API/API_RejectedLogEventsInfo.html: `tooOldLogEventEndIndex` is exclusive,
 * `tooNewLogEventStartIndex` inclusive; `expiredLogEventEndIndex` says neither and is taken as exclusive.
 */
export function judgeTimes(
  events: readonly InputEvent[],
  nowMs: number,
  retentionDays: number | undefined,
): Verdict {
  const before = (limitMs: number) => {
    const index = events.findIndex((event) => event.timestamp >= limitMs);
    return index === -1 ? events.length : index;
  };
  const tooOldEnd = before(nowMs - maxAgeMs);
  const tooNewStart = before(nowMs + maxAheadMs + 1);
  const expiredEnd = retentionDays === undefined ? 0 : before(nowMs - retentionDays * dayMs);
  const info = {
    ...(tooOldEnd > 0 && { tooOldLogEventEndIndex: tooOldEnd }),
    ...(tooNewStart < events.length && { tooNewLogEventStartIndex: tooNewStart }),
    ...(expiredEnd > 0 && { expiredLogEventEndIndex: expiredEnd }),
  };
  return {
    start: Math.max(tooOldEnd, expiredEnd),
    end: tooNewStart,
    body: Object.keys(info).length > 0 ? { rejectedLogEventsInfo: info } : {},
  };
}

/**
 * Refuses a request that is not signed with Signature Version 4 for the service `logs`. The signature itself is
 * not computed. https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html and
 * API/CommonErrors.html.
 */
export function checkSignature(
  headers: NodeJS.Dict<string | string[]>,
  expected: { readonly region?: string | undefined; readonly accessKeyId?: string | undefined },
): Answer | null {
  const { authorization, "x-amz-date": date } = headers;
  if (authorization === undefined || date === undefined) {
    return exception("MissingAuthenticationTokenException", "Missing Authentication Token");
  }
  const parts =
    /^AWS4-HMAC-SHA256 Credential=(?<key>[^/\s,]+)\/(?<day>\d{8})\/(?<region>[a-z0-9-]+)\/(?<service>\w+)\/aws4_request, SignedHeaders=[a-z0-9;-]*\bhost\b[a-z0-9;-]*, Signature=[0-9a-f]{64}$/.exec(
      String(authorization),
    )?.groups;
  if (!parts) {
    return exception(
      "IncompleteSignatureException",
      "The request signature does not conform to AWS standards.",
    );
  }
  const { key, day, region, service } = parts;
  if (service !== "logs" || (expected.region !== undefined && region !== expected.region)) {
    return exception(
      "InvalidSignatureException",
      `Credential should be scoped to a valid region, service. Got '${region}/${service}'.`,
    );
  }
  if (!String(date).startsWith(`${day}T`)) {
    return exception("InvalidSignatureException", "Date in Credential scope does not match x-amz-date.");
  }
  if (expected.accessKeyId !== undefined && key !== expected.accessKeyId) {
    return exception("UnrecognizedClientException", "The security token included in the request is invalid.");
  }
  return null;
}
