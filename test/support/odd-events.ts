import { eventId } from "../../src/demo/events.ts";

export interface RawEvent {
  readonly id: string;
  readonly timeMs: number;
  readonly text: string;
}

/** JSON that does not survive a parser and a serializer, or that some code on the way might stumble over. */
const oddDetails: Readonly<Record<string, string>> = {
  "a number beyond double precision": '{"id":12345678901234567890,"big":1e400,"small":-0,"one":1.0}',
  "half a surrogate pair": '{"half":"\\ud800","other":"\\udfff!"}',
  "prototype names": '{"__proto__":{"polluted":true},"constructor":null,"toString":"x"}',
  "a name twice": '{"a":1,"a":2}',
  "text that is not ASCII": '{"name":"Zoë 😀 日本語 \u2028\u2029 \u0000é"}'.replace("\u0000", "\\u0000"),
  "escapes that need not be": '{"slash":"\\/","letter":"\\u0041","tab":"\\t"}',
  "null everywhere": '{"a":null,"b":[null,{}],"c":[]}',
  "what looks like the end of an event": '{"text":"\\"},{\\"log_id\\":\\"1\\"}]","more":"\\\\"}',
  "spaces between tokens": '{ "a" : [ 1 , 2 ] , "b" : { } }',
  "deep nesting": `${'{"a":['.repeat(40)}1${"]}".repeat(40)}`,
  "200 KB": `{"text":"${"é".repeat(100_000)}"}`,
};

/** One event for each oddity, a second apart, with a date that no ID says. */
export function oddEvents(fromMs: number): (RawEvent & { readonly what: string })[] {
  return Object.entries(oddDetails).map(([what, details], index) => {
    const timeMs = fromMs + index * 1_000;
    const id = eventId(timeMs + 2_500, index + 1);
    const date = new Date(timeMs).toISOString();
    const text = `{"date":"${date}","type":"s","log_id":"${id}","_id":"${id}","details":${details},"unheard_of":[]}`;
    return { what, id, timeMs, text };
  });
}
