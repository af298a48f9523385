import cron from "node-cron";
import { z } from "zod";
import { levelNames } from "./auth0/log-types.ts";
import { parseStartPosition, startPositionForms } from "./auth0/start-position.ts";
import { describe } from "./core/errors.ts";
import { nextTicks } from "./schedule.ts";

/** One environment variable: what it may hold, and what an error says of it. */
interface Setting {
  readonly schema: z.ZodType<unknown, string>;
  /** What a right value looks like; ends the sentence "expected …". */
  readonly expected: string;
  /** As the README and `.env.example` show it; absent when there is none. */
  readonly default?: string;
  readonly required?: true;
  /** The value is never shown. */
  readonly secret?: true;
}

const text = z.string();
const matching = (pattern: RegExp) => z.string().regex(pattern);
const wholeNumber = (min: number, max: number) => ({
  schema: z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .pipe(z.number().min(min).max(max)),
  expected: `a whole number from ${min} to ${max}`,
});
const yesOrNo = {
  schema: z.enum(["true", "false"]).transform((value) => value === "true"),
  expected: "true or false",
};
const destinationNames = ["cloudwatch", "stdout"] as const;

export const settings = {
  AUTH0_DOMAIN: {
    schema: matching(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/i),
    expected: "a host name such as my-tenant.eu.auth0.com, without https:// and without a path",
    required: true,
  },
  AUTH0_CLIENT_ID: {
    schema: matching(/^[\x21-\x7e]+$/),
    expected: "the client ID of a machine-to-machine application",
    required: true,
  },
  AUTH0_CLIENT_SECRET: {
    schema: matching(/^[\x21-\x7e]+$/),
    expected: "the application's client secret, without spaces",
    secret: true,
  },
  AUTH0_CLIENT_ASSERTION_KEY_FILE: { schema: text, expected: "the path of a private key, PKCS#8 in PEM" },
  AUTH0_AUDIENCE: {
    schema: z.url({ protocol: /^https$/ }),
    expected: "the identifier of the Management API, such as https://my-tenant.eu.auth0.com/api/v2/",
    default: "https://{domain}/api/v2/",
  },
  AUTH0_LOG_RETENTION_DAYS: wholeNumber(1, 365),
  DESTINATION: {
    schema: text.transform(parseDestinations),
    expected: `a comma list of ${destinationNames.join(", ")}, each at most once; "name=destination" gives the pipeline another name`,
    default: "cloudwatch",
  },
  SCHEDULE: {
    schema: text.refine(isSchedule),
    expected: "a cron expression of 5 fields, or of 6 with the seconds first",
    default: "*/5 * * * *",
  },
  SCHEDULE_TIMEZONE: {
    schema: text.refine(isTimeZone),
    expected: "a time zone such as UTC or Europe/Berlin",
    default: "UTC",
  },
  RUN_ON_START: { ...yesOrNo, default: "true" },
  BATCH_SIZE: { ...wholeNumber(1, 100), default: "100" },
  START_FROM: {
    schema: text.superRefine((value, context) => {
      try {
        parseStartPosition(value, Date.now());
      } catch (thrown) {
        context.addIssue({ code: "custom", message: describe(thrown) });
      }
    }),
    expected: startPositionForms,
    default: "oldest",
  },
  LOG_LEVEL: {
    schema: text.transform((value, context) => {
      const names: readonly string[] = levelNames;
      const level = /^[0-4]$/.test(value) ? Number(value) : names.indexOf(value);
      if (level === -1) context.addIssue({ code: "custom", message: "unknown level" });
      return level;
    }),
    expected: `0 to 4, or one of ${levelNames.join(", ")}`,
  },
  LOG_TYPES: {
    schema: matching(/^\s*\w+(\s*,\s*\w+)*\s*$/).transform((value) =>
      value.split(",").map((code) => code.trim()),
    ),
    expected: "a comma list of type codes such as s,f,fp; leave it out for all types",
  },
  MAX_BATCHES_IN_FLIGHT: { ...wholeNumber(1, 64), default: "8" },
  SETTLE_SECONDS: { ...wholeNumber(0, 3600), default: "10" },
  // Not as long as the watchdog waits, which would end the run first.
  GIVE_UP_AFTER_SECONDS: { ...wholeNumber(1, 600), default: "120" },
  CLOUDWATCH_LOG_GROUP_NAME: {
    schema: matching(/^[.\-_/#A-Za-z0-9]{1,512}$/),
    expected: "a log group's name: 1 to 512 letters, digits and _ - / . #",
  },
  CLOUDWATCH_LOG_STREAM_NAME: {
    schema: matching(/^[^:*]{1,512}$/),
    expected: "a log stream's name: 1 to 512 characters without : and *",
  },
  CLOUDWATCH_CREATE: { ...yesOrNo, default: "true" },
  CLOUDWATCH_OLD_EVENTS: {
    schema: z.enum(["dead-letter", "clamp"]),
    expected: "dead-letter or clamp",
    default: "dead-letter",
  },
  AWS_REGION: { schema: matching(/^[a-z0-9-]+$/), expected: "a region such as eu-central-1" },
  AWS_DEFAULT_REGION: { schema: matching(/^[a-z0-9-]+$/), expected: "a region such as eu-central-1" },
  AWS_ACCESS_KEY_ID: { schema: matching(/^\w{16,128}$/), expected: "an access key ID", secret: true },
  AWS_SECRET_KEY: { schema: matching(/^\S+$/), expected: "a secret access key", secret: true },
  AWS_SECRET_ACCESS_KEY: { schema: matching(/^\S+$/), expected: "a secret access key", secret: true },
  AWS_SESSION_TOKEN: { schema: matching(/^\S+$/), expected: "a session token", secret: true },
  AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: {
    schema: z.url({ protocol: /^https?$/ }),
    expected: "the address of another CloudWatch Logs endpoint",
  },
  SLACK_INCOMING_WEBHOOK_URL: {
    schema: text,
    expected: "an incoming webhook's address, https://hooks.slack.com/services/…",
    secret: true,
  },
  SLACK_INCOMING_WEBHOOK: {
    schema: text,
    expected: "an incoming webhook's address, https://hooks.slack.com/services/…",
    secret: true,
  },
  SLACK_SEND_SUCCESS: { ...yesOrNo, default: "false" },
  SLACK_REMIND_MINUTES: { ...wholeNumber(1, 10_080), default: "60" },
  CHECKPOINT_DIR: { schema: text, expected: "a folder", default: "./checkpoints" },
  SHUTDOWN_GRACE_SECONDS: { ...wholeNumber(1, 3600), default: "25" },
  REQUEST_TIMEOUT_SECONDS: { ...wholeNumber(1, 600), default: "30" },
  EXPORTER_LOG_LEVEL: {
    schema: z.enum(["debug", "info", "warn", "error", "silent"]),
    expected: "debug, info, warn, error or silent",
    default: "info",
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;
export type SettingValue<N extends SettingName> = z.output<(typeof settings)[N]["schema"]>;
type DestinationName = (typeof destinationNames)[number];

/** One pipeline as `DESTINATION` names it. */
export interface PipelineName {
  readonly name: string;
  readonly destination: DestinationName;
}

function parseDestinations(value: string, context: z.RefinementCtx): readonly PipelineName[] {
  const pipelines = value.split(",").map((item) => {
    const [, name, destination = ""] = /^(?:([a-z0-9][a-z0-9_.-]*)=)?([a-z]+)$/i.exec(item.trim()) ?? [];
    return { name: name ?? destination, destination };
  });
  const known = (item: { name: string; destination: string }): item is PipelineName =>
    destinationNames.some((name) => name === item.destination);
  const names = new Set(pipelines.map(({ name }) => name));
  // There is one set of settings for each destination, so that two pipelines to it would write everything twice.
  const destinations = new Set(pipelines.map(({ destination }) => destination));
  const areDistinct = names.size === pipelines.length && destinations.size === pipelines.length;
  if (pipelines.every(known) && areDistinct) return pipelines;
  context.addIssue({ code: "custom", message: "unknown or repeated" });
  return z.NEVER;
}

/** How many values each field has, seconds first. */
const fieldSizes = [60, 60, 24, 31, 12, 7];

function isSchedule(value: string): boolean {
  const fields = value.split(/ +/);
  if (fields.length < 5 || fields.length > 6 || !cron.validate(value)) return false;
  // node-cron takes a step that is longer than its field, such as */90, and then fires at another pace.
  const sizes = fieldSizes.slice(-fields.length);
  const isLong = (field: string, size = 0) =>
    field.split(",").some((part) => Number(part.split("/")[1]) > size);
  if (fields.some((field, index) => isLong(field, sizes[index]))) return false;
  try {
    return nextTicks(value, "UTC", 1).length === 1;
  } catch {
    // Never, as on 30 February.
    return false;
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
