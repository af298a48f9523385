import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { createRedactor, secret } from "../../src/lib/redact.ts";

const clientSecret = `s3cr&t/"q\\uote" +é`;

describe("a known secret", () => {
  const { redact } = createRedactor([clientSecret]);
  const json = JSON.stringify(clientSecret);
  const forms: Readonly<Record<string, string>> = {
    plain: clientSecret,
    "in JSON": json.slice(1, -1),
    "in JSON in JSON": JSON.stringify(json).slice(3, -3),
    "in a URL": encodeURIComponent(clientSecret),
    "in a URL in lower case": "s3cr%26t%2f%22q%5cuote%22%20%2b%c3%a9",
    "in a form": new URLSearchParams({ x: clientSecret }).toString().slice(2),
    "in base64": Buffer.from(clientSecret).toString("base64"),
    "in base64url": Buffer.from(clientSecret).toString("base64url"),
    "as a user name in base64": Buffer.from(`${clientSecret}:`).toString("base64"),
  };
  for (const [name, form] of Object.entries(forms)) {
    it(`is hidden ${name}`, () => {
      const hidden = redact(`before<${form}>after<${form}>`).replaceAll("=", "");
      assert.equal(hidden, "before<[redacted]>after<[redacted]>");
    });
  }

  it("is hidden whole where it shares a part with another", () => {
    const { redact } = createRedactor(["abcd", "abcdefgh", "ghijkl", "xyxy"]);
    assert.equal(
      redact("1 abcdefgh 2 abcdefghijkl 3 abcd4 xyxyxy5"),
      "1 [redacted] 2 [redacted] 3 [redacted]4 [redacted]5",
    );
  });

  it("is hidden whole where it begins or ends like a secret by shape", () => {
    const { redact } = createRedactor(["eyJhbGciOi", "tail of it", "Bearer of news"]);
    assert.equal(redact("a eyJhbGciOi.pay.sig b"), "a [redacted] b");
    assert.equal(redact("Bearer abc.tail of it b"), "Bearer [redacted] b");
    assert.equal(redact("Bearer of news"), "[redacted]");
  });

  it("is ignored when shorter than 4 characters", () => {
    const redactor = createRedactor(["abc", ""]);
    redactor.add("xyz");
    assert.equal(redactor.redact("abc xyz"), "abc xyz");
  });

  it("is known without the white space around it", () => {
    assert.equal(createRedactor(["hunter22\n"]).redact("is hunter22!"), "is [redacted]!");
  });

  it("never survives, wherever it stands and whatever else is secret", () => {
    // Nothing that the mask contains, so that the mask itself cannot complete a secret.
    const text = fc.string({
      unit: fc.constantFrom("x", "y", "1", "/", "+", '"', "\\", "é", "\n", "%", " "),
    });
    fc.assert(
      fc.property(
        fc.array(text, { maxLength: 4 }),
        fc.array(text),
        fc.array(fc.nat(3)),
        (secrets, parts, places) => {
          const { redact } = createRedactor(secrets);
          const mixed = parts.map((part, index) => part + (secrets[places[index] ?? 0] ?? "")).join("");
          const plain = redact(mixed);
          const json = redact(JSON.stringify(mixed));
          for (const known of secrets.map((each) => each.trim()).filter(({ length }) => length >= 4)) {
            assert.ok(!plain.includes(known));
            assert.ok(!json.includes(JSON.stringify(known).slice(1, -1)));
          }
        },
      ),
    );
  });

  it("leaves JSON text JSON", () => {
    const word = fc.string({ unit: fc.constantFrom("x", "y", "é", "-"), minLength: 4 });
    const text = fc.array(fc.oneof(word, fc.string())).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.array(word), text, (secrets, message) => {
        const parsed = JSON.parse(createRedactor(secrets).redact(JSON.stringify({ message })));
        assert.deepEqual(Object.keys(parsed), ["message"]);
      }),
    );
  });

  it("costs no more than the text is long", { timeout: 20_000 }, () => {
    const { redact } = createRedactor(["aaaaaaaaab", clientSecret]);
    const hostile = [
      "a",
      "eyJ",
      "://a:",
      "-----BEGIN PRIVATE KEY-----",
      "Bearer ",
      "Basic ",
      "Basic aaaa",
      "\\",
    ];
    for (const piece of hostile) redact(piece.repeat(1_000_000 / piece.length));
  });
});

describe("an added secret", () => {
  it("is hidden from then on", () => {
    const redactor = createRedactor(["configured"]);
    assert.equal(redactor.redact("token-1 configured"), "token-1 [redacted]");
    redactor.add("token-1");
    assert.equal(redactor.redact("token-1 configured"), "[redacted] [redacted]");
  });

  it("is one of the newest 20; those known from the start stay", () => {
    const redactor = createRedactor(["configured"]);
    const token = (index: number) => `token-${String(index).padStart(3, "0")}`;
    for (let index = 0; index < 20; index++) redactor.add(token(index));
    redactor.add(token(0));
    redactor.add(token(20));
    redactor.add("-");
    const shown = (text: string) => redactor.redact(text) === text;
    assert.ok(shown(token(1)));
    for (const index of [0, 2, 19, 20]) assert.ok(!shown(token(index)), token(index));
    assert.ok(!shown("configured"));
  });
});

describe("a secret by its shape", () => {
  const { redact } = createRedactor([]);
  const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhYmMifQ.c2lnbmF0dXJl_-x";
  const pem = `-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF/+==\n-----END PRIVATE KEY-----`;
  const legacyPem = `-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,A1B2\n\nMIIE\n-----END RSA PRIVATE KEY-----\n`;
  const cases: readonly (readonly [name: string, text: string, hidden: string])[] = [
    [
      "a Slack webhook",
      "POST https://hooks.slack.com/services/T0/B0/xyz failed",
      "POST https://hooks.slack.com/services/[redacted] failed",
    ],
    ["a bearer token", "authorization: Bearer abc-._~+/=", "authorization: Bearer [redacted]"],
    ["a bearer token in lower case", "bearer abc, later", "bearer [redacted], later"],
    ["Basic credentials", "'Basic dXNlcjpwYXNz'", "'Basic [redacted]'"],
    ["a JSON Web Token", `(${jwt})`, "([redacted])"],
    ["a JSON Web Token cut short", `(${jwt.slice(0, 30)})`, "([redacted])"],
    ["a private key", `key: ${pem}, next`, "key: [redacted], next"],
    ["an encrypted private key", `key: ${legacyPem}next`, "key: [redacted]\nnext"],
    ["a private key cut short", `key: ${pem.slice(0, 50)}`, "key: [redacted]"],
    ["a signature", "Credential=AK/x, Signature=0a1b2c", "Credential=AK/x, Signature=[redacted]"],
    ["a presigned URL", "?X-Amz-Signature=0a1b&X-Amz-Date=1", "?X-Amz-Signature=[redacted]&X-Amz-Date=1"],
    ["a session token", "'x-amz-security-token': 'IQoJ+b/3='", "'x-amz-security-token': '[redacted]'"],
    ["a password in an address", "http://bob:hunter2@proxy:3128/", "http://bob:[redacted]@proxy:3128/"],
  ];
  for (const [name, text, hidden] of cases) {
    it(`${name} is hidden, as text and in JSON`, () => {
      assert.equal(redact(text), hidden);
      assert.deepEqual(JSON.parse(redact(JSON.stringify({ text, next: 1 }))), { text: hidden, next: 1 });
      const quoted = JSON.parse(redact(JSON.stringify({ text: JSON.stringify({ text }), next: 1 })));
      assert.deepEqual(JSON.parse(quoted.text), { text: hidden });
      assert.equal(redact(hidden), hidden);
    });
  }

  it("is not seen in ordinary text", () => {
    for (const text of [
      "Basic authentication failed at https://localhost:8443/api/v2/logs?from=900#a@b",
      "token_type Bearer",
      "-----BEGIN PUBLIC KEY-----",
      "90020261120100000123000000000000001223372036854775807",
      "2026-11-20T10:00:00.000Z eyJ",
    ])
      assert.equal(redact(text), text);
  });
});

describe("secret", () => {
  const held = { clientSecret: secret("hunter22"), nested: [{ deep: { token: secret("hunter22") } }] };

  it("gives its value to who calls it", () => {
    assert.equal(held.clientSecret(), "hunter22");
  });

  it("shows its value in no other way", () => {
    const views = [
      inspect(held, { depth: 20, showHidden: true }),
      inspect(held, { depth: 20, showHidden: true, customInspect: false, getters: true }),
      JSON.stringify(held),
      `${held.clientSecret}`,
      String(held.clientSecret),
      "".concat(held.clientSecret as unknown as string),
      Object.entries(held.clientSecret).join(),
      held.clientSecret.name,
      JSON.stringify(Object.getOwnPropertyDescriptors(held.clientSecret)),
    ];
    for (const view of views) assert.ok(!view.includes("hunter22"), view);
    assert.equal(JSON.stringify([held.clientSecret]), '["[redacted]"]');
    assert.equal(inspect(held.clientSecret), "[redacted]");
    assert.equal(`${held.clientSecret}`, "[redacted]");
    assert.throws(() => structuredClone(held), { name: "DataCloneError" });
  });

  it("cannot be changed", () => {
    assert.throws(() => Object.assign(held.clientSecret, { toString: () => "x" }), TypeError);
  });
});
