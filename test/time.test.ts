import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSize, parseSize } from "../lib/size.ts";
import { formatDuration, parseDuration } from "../lib/time.ts";
import { durations, sizes, type Vector } from "./vectors/time.ts";

function replay(rows: readonly Vector[], parse: (text: string) => number | undefined): void {
  assert.ok(rows.length > 0, "no rows");
  for (const row of rows) assert.equal(parse(row.input), row.expect, `${row.name}: ${row.why}`);
}

test("the runner fails on no rows and on a wrong row", () => {
  const wrong = { name: "wrong", why: "a runner that can't fail tests nothing", input: "1s" };
  assert.throws(() => replay([], parseDuration), /no rows/);
  assert.throws(() => replay([{ ...wrong, expect: 1 }], parseDuration), /can't fail/);
});

test("parseDuration() reads what Go's time.ParseDuration reads, in milliseconds", () => {
  replay(durations, parseDuration);
});

test("parseSize() reads bytes and binary units, and nothing that has two readings", () => {
  replay(sizes, parseSize);
});

test("formatDuration() writes as Go does, without the parts that are zero", () => {
  const rows: [number, string][] = [
    [0, "0s"],
    [10_000, "10s"],
    [90_000, "1m30s"],
    [180_000, "3m"],
    [3_600_000, "1h"],
    [3_605_000, "1h5s"],
    [1_500, "1.5s"],
    [61_001, "1m1.001s"],
    [100, "100ms"],
    [1.5, "1.5ms"],
    [0.0015, "1.5µs"],
    [0.000001, "1ns"],
    [0.1 + 0.2, "300µs"],
    [59_999.9999999, "1m"],
    [-5, "-5ms"],
    [NaN, "NaNms"],
    [Infinity, "Infinityms"],
  ];
  for (const [ms, text] of rows) assert.equal(formatDuration(ms), text);
});

test("formatDuration() and formatSize() write what comes back as the same number", () => {
  for (const { name, expect } of durations) {
    if (expect !== undefined) assert.equal(parseDuration(formatDuration(expect)), expect, name);
  }
  for (const { name, expect } of sizes) {
    if (expect !== undefined) assert.equal(parseSize(formatSize(expect)), expect, name);
  }
});

test("formatSize() takes the largest unit that leaves a whole number", () => {
  const rows: [number, string][] = [
    [0, "0"],
    [1023, "1023"],
    [1024, "1KiB"],
    [65_537, "65537"],
    [1536, "1536"],
    [1_048_576, "1MiB"],
    [3 * 2 ** 30, "3GiB"],
    [1025 * 2 ** 30, "1025GiB"],
  ];
  for (const [bytes, text] of rows) assert.equal(formatSize(bytes), text);
});
