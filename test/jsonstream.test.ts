import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { JsonStream } from "../lib/jsonstream.ts";

const LIMIT = 64;

interface Vector {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  readonly expect: readonly string[] | RegExp;
}

const row = (input: string, expect: Vector["expect"], why: string): Vector => ({
  name: JSON.stringify(input),
  why,
  input,
  expect,
});

const rows: readonly Vector[] = [
  row('{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}'], "as Docker sends them"),
  row('{"a":1}{"b":2}', ['{"a":1}', '{"b":2}'], "nothing in between"),
  row('\x1e{"a":1}\n\x1e{"b":2}\n', ['{"a":1}', '{"b":2}'], "RFC 7464"),
  row('\r\n \t{}\n\n{"a":\n1}', ["{}", '{"a":\n1}'], "white space anywhere"),
  row('{"a":{"b":[{}]}}{}', ['{"a":{"b":[{}]}}', "{}"], "depth"),
  row('{"a":"}{"}{}', ['{"a":"}{"}', "{}"], "braces in a string"),
  row('{"a":"\\"}"}{}', ['{"a":"\\"}"}', "{}"], "an escaped quotation mark"),
  row('{"a":"\\\\"}{}', ['{"a":"\\\\"}', "{}"], "an escaped backslash"),
  row('{"a":"ü€😀"}', ['{"a":"ü€😀"}'], "characters of several bytes"),
  row("", [], "nothing"),
  row('{"a":', [], "not whole"),
  row(`{"a":"${"x".repeat(LIMIT - 8)}"}`, [`{"a":"${"x".repeat(LIMIT - 8)}"}`], "the longest"),
  row(`{"a":"${"x".repeat(LIMIT - 7)}"}`, /over 64 bytes/, "too long"),
  row("{".repeat(LIMIT + 1), /over 64 bytes/, "too long and not whole"),
  row("[1]", /isn't of JSON objects/, "a list"),
  row("{}1", /isn't of JSON objects/, "a number"),
  row("<html>", /isn't of JSON objects/, "a proxy's page"),
  row("{}}", /isn't of JSON objects/, "one brace too many"),
];

function replay(vectors: readonly Vector[]): void {
  assert.ok(vectors.length > 0, "no rows");
  for (const { name, why, input, expect } of vectors) {
    const bytes = Buffer.from(input);
    for (let size = 1; size <= Math.max(1, bytes.length); size++) {
      const play = (): string[] => {
        const stream = new JsonStream(LIMIT);
        const texts: string[] = [];
        for (let at = 0; at < bytes.length; at += size) {
          const chunk = Buffer.from(bytes.subarray(at, at + size));
          texts.push(...stream.push(chunk));
          chunk.fill(0); // a buffer that is used again
        }
        return texts;
      };
      if (expect instanceof RegExp) assert.throws(play, expect, `${name}: ${why}, by ${size}`);
      else assert.deepEqual(play(), expect, `${name}: ${why}, by ${size}`);
    }
  }
}

test("the runner fails on no rows and on a wrong row", () => {
  assert.throws(() => replay([]), /no rows/);
  assert.throws(() => replay([row("{}", ["{ }"], "a runner that can't fail")]), /can't fail/);
});

test("objects come out of a stream however it is cut", () => {
  replay(rows);
});

test("a long object that comes byte by byte takes linear time", () => {
  const stream = new JsonStream(1 << 20);
  const start = performance.now();
  stream.push(Buffer.from('{"'));
  const one = Buffer.from("x");
  for (let i = 0; i < 1_000_000; i++) stream.push(one);
  assert.deepEqual(stream.push(Buffer.from('":1}')).length, 1);
  assert.ok(performance.now() - start < 10_000);
});
