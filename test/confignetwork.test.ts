import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { test } from "node:test";
import { ConfigError, ConfigReader, encodeConfig, payloadLength } from "../lib/confignetwork.ts";
import { type ConfigVector, vectors } from "./vectors/confignetwork.ts";

/** Cut into pieces of that size. */
function readAll(bytes: Buffer, size: number): { payloads: string[]; midway: boolean } | Error {
  const reader = new ConfigReader();
  const payloads: string[] = [];
  try {
    for (let at = 0; at < bytes.length; at += size) {
      const piece = Buffer.from(bytes.subarray(at, at + size));
      payloads.push(...reader.push(piece).map((payload) => payload.toString("latin1")));
      piece.fill(0x2a); // a socket may use it for what comes next
    }
  } catch (error) {
    return error as Error;
  }
  return { payloads, midway: reader.isMidway };
}

function check(rows: readonly ConfigVector[]): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, input, expect } of rows) {
    const bytes = Buffer.from(input, "latin1");
    for (let size = 1; size <= Math.max(1, bytes.length); size++) {
      const result = readAll(bytes, size);
      const where = `${name}, in pieces of ${size}`;
      if (!("refused" in expect)) assert.deepEqual(result, expect, where);
      else if (result instanceof ConfigError) assert.match(result.message, expect.refused, where);
      else assert.fail(`${where}: ${JSON.stringify(result)}`);
    }
  }
}

test("ConfigReader gives each vector's result at every split size", () => check(vectors));

test("the runner of the vectors refuses a wrong row and no rows", () => {
  const row = { name: "wrong", why: "it proves that the runner can fail", input: "CENTAURI" };
  const whole = { payloads: [], midway: false };
  assert.throws(() => check([{ ...row, expect: whole }]), assert.AssertionError);
  assert.throws(() => check([{ ...row, expect: { refused: /./ } }]), assert.AssertionError);
  const refused = { ...row, input: "X", expect: whole };
  assert.throws(() => check([refused]), assert.AssertionError);
  assert.throws(() => check([]), assert.AssertionError);
});

test("what encodeConfig() writes, ConfigReader reads", () => {
  const texts = ["", "route é\n", "x".repeat(70_000), "\0\ufeff"];
  const messages = texts.map(encodeConfig);
  for (const size of [1, 7, 65_536, 1_000_000]) {
    const result = readAll(Buffer.concat(messages), size);
    const payloads = texts.map((text) => Buffer.from(text).toString("latin1"));
    assert.deepEqual(result, { payloads, midway: false });
  }
  assert.deepEqual(messages.map(payloadLength), [0, 9, 70_000, 4]);
});

test("ConfigReader reads 16 MiB, and keeps no more than twice what has come", () => {
  const text = "x".repeat(16 * 1024 * 1024);
  const message = encodeConfig(text);
  assert.throws(() => encodeConfig(`${text}x`), RangeError);
  const readers = Array.from({ length: 64 }, () => new ConfigReader());
  const before = process.memoryUsage().arrayBuffers;
  for (const reader of readers) reader.push(message.subarray(0, 1_000));
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 64 * 1024 * 1024, `${grown} bytes for 64 times 1,000`);
  const reader = new ConfigReader();
  const payloads: Buffer[] = [];
  for (let at = 0; at < message.length; at += 65_536) {
    payloads.push(...reader.push(message.subarray(at, at + 65_536)));
  }
  assert.deepEqual(payloads.map(({ length }) => length), [text.length]);
});

test("a message in pieces of one byte takes time and memory of its length", () => {
  const message = encodeConfig("x".repeat(1024 * 1024));
  const reader = new ConfigReader();
  const start = performance.now();
  let payloads: Buffer[] = [];
  for (let at = 0; at < message.length; at++) payloads = reader.push(message.subarray(at, at + 1));
  assert.equal(payloads[0]?.length, 1024 * 1024);
  assert.ok(performance.now() - start < 10_000);
});
