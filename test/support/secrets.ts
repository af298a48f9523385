import { ok } from "node:assert/strict";
import { subscribe } from "node:diagnostics_channel";
import { readdir, readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { type SettingName, settings } from "../../src/settings.ts";

/** Credentials that any server of this process was shown. */
const shownCredentials = new Set<string>();

subscribe("http.server.request.start", (message) => {
  const { request } = message as { readonly request: IncomingMessage };
  const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1];
  if (token !== undefined) shownCredentials.add(token);
});

/** The access tokens that the exporters of this process have used so far. */
export function usedTokens(): readonly string[] {
  return [...shownCredentials];
}

/** What the secret settings of an environment hold. */
export function secretSettings(env: Readonly<Record<string, string | undefined>>): string[] {
  const names = Object.keys(settings) as SettingName[];
  return names
    .filter((name) => "secret" in settings[name] && name !== "AWS_ACCESS_KEY_ID")
    .flatMap((name) => env[name] ?? [])
    .filter((value) => value !== "");
}

/** Fails when one of the secrets stands in the text, as it is, in a URL, in JSON or in base64. */
export function assertNoSecret(text: string | Buffer, secrets: Iterable<string>, where: string): void {
  for (const secret of secrets) {
    const forms = [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      Buffer.from(secret).toString("base64").replace(/=+$/, ""),
    ];
    ok(!forms.some((form) => text.includes(form)), `${where} shows a secret (${secret.slice(0, 4)}…)`);
  }
}

/** The same for every file below `dir`; none is fine. */
export async function assertNoSecretInFiles(dir: string, secrets: readonly string[]): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries.filter((found) => found.isFile())) {
    const path = join(entry.parentPath, entry.name);
    assertNoSecret(await readFile(path), secrets, path);
  }
}
