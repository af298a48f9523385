import { parsePage } from "../auth0/page.ts";
import { composeAuth0, composeDestination } from "../compose.ts";
import { asExportError, describe, ExportError } from "../core/errors.ts";
import type { Finding } from "../core/types.ts";
import { createRedactor } from "../lib/redact.ts";
import { createSlackPoster } from "../reports/slack.ts";
import { testMessage } from "../reports/slack-message.ts";
import { nextTicks } from "../schedule.ts";
import { openStore } from "../state/sqlite.ts";
import { type Context, type GlobalOptions, knownSecrets, openContext, print } from "./context.ts";

/** Each of the parts must answer within this. */
const timeoutMs = 60_000;

interface CheckOptions extends GlobalOptions {
  readonly slack?: boolean;
}

/** Looks at every part and says what to do about what is wrong. Exports nothing. Exits with 0 or 1. */
export async function check(options: CheckOptions): Promise<never> {
  let failures = 0;
  // Made anew for each line, as the settings are not read yet, and logins bring tokens.
  const redact = (words: string) => createRedactor(knownSecrets()).redact(words);
  const report = async (finding: Finding) => {
    const { ok } = finding;
    const text = redact(finding.text);
    const advice = finding.advice === undefined ? undefined : redact(finding.advice);
    if (!ok) failures++;
    if (options.json) return print(JSON.stringify({ ok, text, ...(advice === undefined ? {} : { advice }) }));
    return print(`${ok ? "✓" : "✗"} ${text}${advice === undefined ? "" : `\n  → ${advice}`}`);
  };
  const context = await openContext(options).catch((thrown: unknown) => asExportError(thrown));
  if (context instanceof ExportError) {
    const text = `settings: ${context.message.replace(/^the settings are not right; nothing was started:/, "not right:")}`;
    await report({ ok: false, text, advice: "correct them in the environment or in .env" });
    process.exit(1);
  }
  const { config } = context;
  await report({
    ok: true,
    text: `settings: pipelines ${context.chosen.map(({ name }) => name).join(", ")}`,
  });
  await report(await checkState(context));
  for (const finding of await checkAuth0(context)) await report(finding);
  for (const name of context.chosen) {
    const destination = composeDestination(context, name);
    const findings = await destination.check(AbortSignal.timeout(timeoutMs)).catch(asFindings);
    for (const finding of findings) await report({ ...finding, text: `${name.name}: ${finding.text}` });
    await destination.close?.().catch(() => {});
  }
  await report(await checkSlack(context, options.slack === true));
  const times = nextTicks(config.schedule, config.timezone, 5).map((time) =>
    localTime(time, config.timezone),
  );
  await report({
    ok: true,
    text: `schedule: "${config.schedule}" (${config.timezone}) fires next at ${times.join(", ")}`,
  });
  process.exit(failures > 0 ? 1 : 0);
}

async function checkState({ config, clock }: Context): Promise<Finding> {
  const dir = config.checkpointDir;
  try {
    const store = await openStore({ dir, mode: "own", clock });
    await store.close();
    return { ok: true, text: `state: ${dir} is writable and free` };
  } catch (thrown) {
    const { kind, message } = asExportError(thrown);
    const isLocked = kind === "locked";
    const advice = "Fine if that is your exporter at work: only one process may own the folder.";
    return { ok: false, text: `state: ${message}`, ...(isLocked ? { advice } : {}) };
  }
}

async function checkAuth0(context: Context): Promise<Finding[]> {
  const { config, clock } = context;
  // A passing fault is a finding here, not something to wait out.
  const client = composeAuth0({ ...context, config: { ...config, giveUpAfterMs: 0 } });
  const findings: Finding[] = [];
  let read: Finding;
  try {
    const events = await client.get(
      "/logs",
      { per_page: "1", sort: "date:-1" },
      {
        signal: AbortSignal.timeout(timeoutMs),
        scope: "read:logs",
        parse: ({ text }) => parsePage(text, "", clock.now()),
      },
    );
    const [newest] = events;
    const text = newest
      ? `the newest event is of ${new Date(newest.timeMs).toISOString()}`
      : "the log is empty";
    read = { ok: true, text: `Auth0 logs: one read of ${config.auth0.domain}; ${text}` };
  } catch (thrown) {
    read = { ok: false, text: `Auth0 logs: ${describe(thrown)}` };
  }
  const scopes = client.grantedScopes();
  if (scopes === null) return [{ ...read, text: read.text.replace("Auth0 logs", "Auth0 login") }];
  const named = scopes.length > 0 ? scopes.join(", ") : "none named";
  const mayRead = scopes.length === 0 || scopes.includes("read:logs") || scopes.includes("read:logs_users");
  const token = { ok: mayRead, text: `Auth0 login: client ${config.auth0.clientId}, scopes: ${named}` };
  const advice =
    "grant read:logs: Applications > APIs > Auth0 Management API > Machine to Machine Applications, then run this again";
  findings.push(mayRead ? token : { ...token, advice }, read);
  return findings;
}

async function checkSlack({ config, clock }: Context, post: boolean): Promise<Finding> {
  const { url } = config.slack;
  if (url === null) {
    const text = "Slack: SLACK_INCOMING_WEBHOOK_URL is not set; failures show in the log alone";
    return post ? { ok: false, text, advice: "set it, or leave out --slack" } : { ok: true, text };
  }
  if (!post)
    return { ok: true, text: "Slack: the webhook's address is well-formed (check --slack posts a message)" };
  const said: string[] = [];
  const hear = (...words: readonly unknown[]) => void said.push(String(words.at(-1)));
  const poster = createSlackPoster({
    url: url(),
    clock,
    log: { debug() {}, info() {}, warn: hear, error: hear },
  });
  const posted = await poster.post(testMessage(config.auth0.domain), AbortSignal.timeout(timeoutMs));
  if (posted) return { ok: true, text: "Slack: the test message was accepted" };
  return { ok: false, text: `Slack: ${said.join("; ")}` };
}

function asFindings(thrown: unknown): Finding[] {
  return [{ ok: false, text: describe(thrown) }];
}

function localTime(time: Date, timeZone: string): string {
  return new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" }).format(time);
}
