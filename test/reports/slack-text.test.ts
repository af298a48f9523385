import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import fc from "fast-check";
import { code, duration, escaped, isoTime, shellWord } from "../../src/reports/slack-text.ts";

const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc
    .array(fc.constantFrom("&", "<", ">", "🎈", "é", "x", "\n", "\0", "\ud83d"))
    .map((parts) => parts.join("")),
);

function unescaped(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

describe("escaped", () => {
  it("keeps a text that fits", () => {
    assert.equal(escaped("Hello & <world>", 100), "Hello &amp; &lt;world&gt;");
    assert.equal(escaped("Hello & <world>", 25), "Hello &amp; &lt;world&gt;");
  });

  it("cuts what does not fit between characters and entities", () => {
    const cuts = Array.from({ length: 15 }, (_, maxChars) => escaped("ab&c🎈<", maxChars)).slice(1);
    const [a, ab, amp, c, balloon] = ["a…", "ab…", "ab&amp;…", "ab&amp;c…", "ab&amp;c🎈…"];
    const all = "ab&amp;c🎈&lt;";
    assert.deepEqual(cuts, ["…", a, ab, ab, ab, ab, ab, amp, c, c, balloon, balloon, balloon, all]);
  });

  it("is never longer than allowed, well-formed, and a beginning of the text", () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 1, max: 40 }), (text, maxChars) => {
        const result = escaped(text, maxChars);
        assert.ok(result.length <= maxChars);
        assert.ok(result.isWellFormed());
        const clean = text.toWellFormed().replace(/[^\P{Cc}\n]/gu, " ");
        const shown = unescaped(result);
        assert.ok(shown === clean || (shown.endsWith("…") && clean.startsWith(shown.slice(0, -1))));
      }),
    );
  });

  it("takes no longer for a huge text", () => {
    assert.equal(escaped("<".repeat(50_000_000), 9), "&lt;&lt;…");
  });
});

describe("code", () => {
  it("is one line and ends where it should", () => {
    assert.equal(code("a`b\r\nc", 20), "`aˋb c`");
    assert.equal(code("", 20), "`–`");
    assert.equal(code(" \n", 20), "`–`");
  });
});

describe("shellWord", () => {
  it("gives the shell exactly the text", () => {
    for (const text of [
      "cloudwatch",
      "",
      "two words",
      "it's",
      "$(id)",
      "a;b",
      "`id`",
      "*",
      "-x",
      "\\",
      "~",
      "\n",
    ]) {
      const output = execFileSync("/bin/sh", ["-c", `printf '%s' ${shellWord(text)}`], { encoding: "utf8" });
      assert.equal(output, text);
    }
  });
});

describe("times", () => {
  it("are shown for people", () => {
    assert.deepEqual([0, 4_249, 59_949, 60_000, 3_599_000, 3_600_000, 93_900_000].map(duration), [
      "0.0 s",
      "4.2 s",
      "59.9 s",
      "1 min 0 s",
      "59 min 59 s",
      "1 h 0 min",
      "26 h 5 min",
    ]);
    assert.equal(isoTime(0), "1970-01-01T00:00:00.000Z");
    assert.equal(isoTime(Number.NaN), "unknown");
    assert.equal(isoTime(1e20), "unknown");
  });
});
