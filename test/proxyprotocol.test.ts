import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { type ProxyResult, readProxyHeader } from "../lib/proxyprotocol.ts";
import { type ProxyVector, vectors } from "./vectors/proxyprotocol.ts";

/** What a vector says of a result for these bytes. */
function outcome(result: ProxyResult, bytes: Buffer): unknown {
  if (result.state === "more") return result;
  if (result.state === "malformed") return result.message;
  const { source, length } = result;
  return { source: source ?? null, rest: bytes.toString("latin1", length) };
}

/** Reads as a caller does who waits for the bytes that it is told to wait for. */
function readAsTold(bytes: Buffer): ProxyResult {
  for (let size = 0;;) {
    const result = readProxyHeader(bytes.subarray(0, size));
    if (result.state !== "more" || size === bytes.length) return result;
    assert.ok(result.need > size, `${size} bytes, and told to wait for ${result.need}`);
    size = Math.min(result.need, bytes.length);
  }
}

function compare(actual: unknown, { expect }: ProxyVector, where: string): void {
  if (!("refused" in expect)) return assert.deepEqual(actual, { rest: "", ...expect }, where);
  assert.equal(typeof actual, "string", where);
  assert.match(actual as string, expect.refused, where);
}

/** Every prefix says `more` until one says what the whole says, and all longer ones say it too. */
function check(rows: readonly ProxyVector[]): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const row of rows) {
    const bytes = Buffer.from(row.input, "hex");
    let decided: ProxyResult | undefined;
    for (let size = 0; size <= bytes.length; size++) {
      const where = `${row.name}, first ${size} bytes`;
      const result = readProxyHeader(bytes.subarray(0, size));
      if (result.state === "more") {
        assert.equal(decided, undefined, `${where}: undecided again`);
        assert.ok(result.need > size && result.need <= 4_096, `${where}: needs ${result.need}`);
        continue;
      }
      assert.deepEqual(result, decided ??= result, where);
    }
    const whole = readProxyHeader(bytes);
    if ("more" in row.expect) assert.equal(whole.state, "more", row.name);
    else compare(outcome(whole, bytes), row, row.name);
    assert.deepEqual(readAsTold(bytes).state, whole.state, row.name);
  }
}

test("readProxyHeader() gives each vector's result at every split size", () => check(vectors));

test("the runner of the vectors refuses a wrong row and no rows", () => {
  const [first] = vectors as [ProxyVector];
  const wrong = { ...first, expect: { source: "192.0.2.99", rest: "hello" } };
  assert.throws(() => check([wrong]), assert.AssertionError);
  assert.throws(() => check([{ ...first, expect: { refused: /./ } }]), assert.AssertionError);
  assert.throws(() => check([{ ...first, expect: { more: true } }]), assert.AssertionError);
  assert.throws(() => check([]), assert.AssertionError);
});

test("a checksum is right for its header only, whichever bit differs", () => {
  const row = vectors.find(({ name }) => name.includes("checksum and unique id")) as ProxyVector;
  const header = Buffer.from(row.input, "hex").subarray(0, -"hello".length);
  assert.equal(readProxyHeader(header).state, "header");
  for (let at = 16; at < header.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const damaged = Buffer.from(header);
      damaged[at]! ^= 1 << bit;
      const { state, ...rest } = readProxyHeader(damaged);
      // Without its type, or with a length that makes it another TLV, it isn't seen as one.
      const hidden = at >= 52 && at < 55 || at >= 59 && at < 62;
      if (!hidden) assert.equal(state, "malformed", `${at}.${bit}: ${JSON.stringify(rest)}`);
    }
  }
});

test("readProxyHeader() has a value for every damaged header", () => {
  for (const { input } of vectors.filter(({ input }) => input.length < 400)) {
    const bytes = Buffer.from(input, "hex");
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [0x01, 0x20, 0x80, 0xff]) {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= flip;
        const result = readAsTold(damaged);
        assert.match(result.state, /^(more|header|malformed)$/);
        if (result.state === "header") assert.ok(result.length <= damaged.length);
      }
    }
  }
});
