const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/**
 * Text of others as Slack takes it: it can mention nobody and disguise no link
 * (https://docs.slack.dev/messaging/formatting-message-text#escaping). At most `maxChars` long once escaped; a
 * cut stands between characters, never within one or within an entity, and shows as `…`.
 */
export function escaped(text: string, maxChars: number): string {
  // No character gets shorter, so what stands after `maxChars` is never needed.
  const start = tidy(text.slice(0, maxChars + 1));
  let result = "";
  let cutAt = 0;
  for (const char of start) {
    result += entities[char] ?? char;
    if (result.length > maxChars) return `${result.slice(0, cutAt)}…`;
    if (result.length < maxChars) cutAt = result.length;
  }
  return result;
}

/** The text as code, where Slack shows `*`, `_` and `:` as they are. A dash when there is none. */
export function code(text: string, maxChars: number): string {
  const shown = escaped(oneLine(text).replaceAll("`", "ˋ"), maxChars);
  return `\`${shown.trim() === "" ? "–" : shown}\``;
}

export function oneLine(text: string): string {
  return text.replace(/[\r\n\u2028\u2029]+/g, " ");
}

/** Half characters, control characters and those that turn the direction of writing; line feeds stay. */
function tidy(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (char) =>
      char === "\n" ? char : " ",
    );
}

/** A word for a POSIX shell to take as it is. */
export function shellWord(text: string): string {
  return /^[\w.:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function isoTime(epochMs: number): string {
  const time = new Date(epochMs);
  return Number.isNaN(time.getTime()) ? "unknown" : time.toISOString();
}

/** For example `4.2 s`, `3 min 20 s` or `26 h 5 min`. */
export function duration(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

export function number(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

/** For example `1 run` or `3 runs`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
