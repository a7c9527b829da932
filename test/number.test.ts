import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDecimal, parseHex } from "../lib/number.ts";

/** [text, decimal, hexadecimal]; undefined where it isn't a number. */
const rows: readonly (readonly [string, number | undefined, number | undefined])[] = [
  ["0", 0, 0],
  ["00012", 12, 18],
  ["9007199254740991", 9007199254740991, undefined],
  ["9007199254740992", undefined, undefined],
  ["1fffffffffffff", undefined, 9007199254740991],
  ["20000000000000", 20000000000000, undefined],
  ["aF", undefined, 175],
  ["", undefined, undefined],
  ["-1", undefined, undefined],
  ["+1", undefined, undefined],
  [" 1", undefined, undefined],
  ["1 ", undefined, undefined],
  ["1.0", undefined, undefined],
  ["1e3", undefined, 0x1e3],
  ["0x10", undefined, undefined],
  ["1_0", undefined, undefined],
  ["١", undefined, undefined],
  ["g", undefined, undefined],
  ["@", undefined, undefined],
  ["`", undefined, undefined],
  ["1".repeat(100_000), undefined, undefined],
];

test("parseDecimal() and parseHex() read digits and nothing else", () => {
  for (const [text, decimal, hex] of rows) {
    assert.equal(parseDecimal(text), decimal, `decimal ${text.slice(0, 20)}`);
    assert.equal(parseHex(text), hex, `hexadecimal ${text.slice(0, 20)}`);
  }
});

test("parseDecimal() refuses what is over its limit", () => {
  assert.equal(parseDecimal("65535", 65535), 65535);
  assert.equal(parseDecimal("65536", 65535), undefined);
});
