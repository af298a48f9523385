import { inspect } from "node:util";

/** A secret in a config object: call it to get the value. Printing it, in whatever way, does not show the value. */
export type Secret = () => string;

const mask = "[redacted]";

/** Hides `value` in a function, where neither `util.inspect` nor JSON nor a template string finds it. */
export function secret(value: string): Secret {
  const hidden = { value: () => mask };
  return Object.freeze(
    Object.defineProperties(() => value, {
      toString: hidden,
      toJSON: hidden,
      [inspect.custom]: hidden,
    }),
  );
}

export interface Redactor {
  /** The text with every secret replaced by `[redacted]`. */
  redact(text: string): string;
  /** From now on this is a secret too, for example a token just received. Only the newest 20 are remembered. */
  add(secret: string): void;
}

/** Anything shorter would tear ordinary text apart, and is no secret worth the name. */
const minSecretChars = 4;
const maxAddedSecrets = 20;

/**
 * What is a secret by its shape, whatever its value. The group `kept` stays: it says what stood there. Quotes and
 * backslashes end a match, so that a match within JSON text ends within its string; only the line breaks of a PEM
 * block may be JSON escapes. Each pattern takes time linear in the text.
 */
const shapes = [
  // Slack: whoever knows the address can post.
  /(?<kept>https:\/\/hooks\.slack\.com\/services\/)[^\s"'\\<>]+/,
  // RFC 6750 and RFC 7617. "Basic" is also an English word, so an all lower-case word after it is no credential.
  /(?<kept>[Bb]earer +)[\w.~+/=-]+/,
  /(?<kept>Basic +)(?=[a-z]*[A-Z0-9+/=])[\w+/=-]{6,}/,
  // A JSON Web Token, cut short or not: `eyJ` is how `{"` looks in base64.
  /eyJ[\w.-]{8,}/,
  // A private key in PEM, cut short or not.
  /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^"\\-]|\\+[nrt/]|-(?!----))*(?:-----END [A-Z ]*PRIVATE KEY-----)?/,
  // AWS, in headers, in presigned URLs and in the canonical requests that its errors quote.
  /(?<kept>[Ss]ignature=|[Ss]ecurity-[Tt]oken["'\\]*[=:][ "'\\]*)[\w%+/=.-]+/,
  // The password in an address, for example a proxy's.
  /(?<kept>:\/\/[^\s:@/"\\]{0,256}:)[^\s@/"\\]+(?=@)/,
];
const anyShape = new RegExp(shapes.map(({ source }) => source).join("|"), "g");

/**
 * Hides `secrets`, those added later, and what is a secret by its shape. Known secrets are found as they are and
 * as they look in JSON, in a URL, in a form and in base64. Those under 4 characters are ignored.
 */
export function createRedactor(secrets: readonly string[]): Redactor {
  const initialForms = secrets.flatMap(formsOf);
  const addedForms = new Map<string, string[]>();
  let forms = [...new Set(initialForms)];

  return {
    redact: (text) => {
      const spans = [...findForms(forms, text), ...findShapes(text)];
      return spans.length === 0 ? text : replaceSpans(text, spans);
    },
    add: (text) => {
      const newForms = formsOf(text);
      if (newForms.length === 0) return;
      addedForms.delete(text);
      addedForms.set(text, newForms);
      const [oldest] = addedForms.keys();
      if (oldest !== undefined && addedForms.size > maxAddedSecrets) addedForms.delete(oldest);
      forms = [...new Set([...initialForms, ...addedForms.values()].flat())];
    },
  };
}

/** How a secret may look in a text. */
function formsOf(secretText: string): string[] {
  const text = secretText.trim();
  if (text.length < minSecretChars) return [];
  const json = JSON.stringify(text).slice(1, -1);
  const percent = encodeURIComponent(text.toWellFormed());
  const strictPercent = percent.replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const form = new URLSearchParams([["", text]]).toString().slice(1);
  const urlForms = [percent, strictPercent, form];
  return [
    text,
    json,
    // JSON that is quoted in JSON, as in a log line about an error body.
    JSON.stringify(json).slice(1, -1),
    ...urlForms,
    ...urlForms.map((encoded) => encoded.replace(/%[0-9A-F]{2}/g, (byte) => byte.toLowerCase())),
    // With a colon: the user name of Basic authentication without a password.
    ...[text, `${text}:`].flatMap((plain) => {
      const bytes = Buffer.from(plain);
      return [bytes.toString("base64").replace(/=+$/, ""), bytes.toString("base64url")];
    }),
  ];
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** Every place of every form, also where they overlap. Plain searches: faster here than one pattern, and nothing to compile. */
function* findForms(forms: readonly string[], text: string): Generator<Span> {
  for (const form of forms) {
    for (let start = text.indexOf(form); start !== -1; start = text.indexOf(form, start + 1))
      yield { start, end: start + form.length };
  }
}

function* findShapes(text: string): Generator<Span> {
  for (const match of text.matchAll(anyShape)) {
    yield { start: match.index + (match.groups?.kept?.length ?? 0), end: match.index + match[0].length };
  }
}

function replaceSpans(text: string, spans: Span[]): string {
  let result = "";
  let done = 0;
  for (const { start, end } of spans.sort((a, b) => a.start - b.start)) {
    if (start >= done) result += text.slice(done, start) + mask;
    done = Math.max(done, end);
  }
  return result + text.slice(done);
}
