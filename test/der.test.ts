import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import * as der from "../lib/der.ts";
import { badTimes, type DerVector, integers, oids, times, vectors } from "./vectors/der.ts";

const bytesOf = (hex: string): Buffer => Buffer.from(hex, "hex");

/** `tag(content)`, from the outside in. */
function outline(node: der.DerNode): string {
  const inner = node.tag & 0x20
    ? node.children.map(outline).join("")
    : node.content.toString("hex");
  return `${node.tag.toString(16)}(${inner})`;
}

/** The inverse of readDer(), made of the writer alone. */
function rewrite(node: der.DerNode): Buffer {
  return der.tlv(node.tag, ...node.tag & 0x20 ? node.children.map(rewrite) : [node.content]);
}

function check(rows: readonly DerVector[]): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, why, input, expect } of rows) {
    const bytes = bytesOf(input);
    if (expect === undefined) {
      assert.throws(() => der.readDer(bytes), der.DerError, `${name}: ${why}`);
      continue;
    }
    const node = der.readDer(bytes);
    assert.equal(outline(node), expect, name);
    assert.deepEqual(node.raw, bytes, name);
    assert.deepEqual(rewrite(node), bytes, `${name}, written again`);
    for (let size = 0; size < bytes.length; size++) {
      assert.throws(() => der.readDer(bytes.subarray(0, size)), der.DerError, `${name}, cut`);
    }
  }
}

test("readDer() takes each vector apart or refuses it", () => check(vectors));

test("the runner of the DER vectors refuses a wrong row and no rows", () => {
  const wrong = { name: "wrong", why: "", input: "0500", expect: "5(00)" };
  assert.throws(() => check([wrong]), assert.AssertionError);
  assert.throws(() => check([{ ...wrong, expect: undefined }]), assert.AssertionError);
  assert.throws(() => check([]), assert.AssertionError);
});

test("readDer() throws nothing but DerError for damaged bytes", () => {
  const value = der.sequence(der.integer(5), der.explicit(0, der.octetString(bytesOf("616263"))));
  for (let at = 0; at < value.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const damaged = Buffer.from(value);
      damaged[at] = byte;
      try {
        assert.deepEqual(rewrite(der.readDer(damaged)), damaged);
      } catch (error) {
        assert.ok(error instanceof der.DerError, String(error));
      }
    }
  }
});

test("readDer() reads a view into a larger buffer", () => {
  const view = new Uint8Array(bytesOf("ff0201ff0500")).subarray(1, 4);
  assert.equal(outline(der.readDer(view)), "2(ff)");
});

test("the writers give the encodings of X.690", () => {
  const rows: readonly [Buffer, string][] = [
    [der.boolean(true), "0101ff"],
    [der.boolean(false), "010100"],
    [der.nullValue(), "0500"],
    [der.octetString(bytesOf("00ff")), "040200ff"],
    [der.bitString(bytesOf("80"), 7), "03020780"],
    [der.bitString(bytesOf("80")), "03020080"],
    [der.utf8String("é"), "0c02c3a9"],
    [der.sequence(der.integer(1), der.nullValue()), "30050201010500"],
    [der.setOf(der.integer(3), der.integer(1), der.integer(2)), "3109020101020102020103"],
    [der.explicit(3, der.integer(1)), "a303020101"],
    [der.implicit(3, der.integer(1)), "830101"],
    [der.implicit(3, der.sequence(der.nullValue())), "a3020500"],
    [der.integer(0), "020100"],
    [der.integer(65_537), "0203010001"],
    [der.integer(Number.MAX_SAFE_INTEGER), "02071fffffffffffff"],
    [der.octetString(Buffer.alloc(300)), "0482012c" + "00".repeat(300)],
  ];
  for (const [encoding, expect] of rows) {
    assert.equal(encoding.toString("hex"), expect);
    assert.deepEqual(rewrite(der.readDer(encoding)), encoding);
  }
});

test("integer() writes the least bytes and readInteger() gives them again", () => {
  assert.ok(integers.length > 0);
  for (const { name, bytes, input } of integers) {
    const encoding = der.integer(bytesOf(bytes));
    assert.equal(encoding.subarray(2).toString("hex"), input, name);
    assert.equal(der.readInteger(der.readDer(encoding)).toString("hex"), input, name);
  }
});

test("integer() refuses what is no natural number", () => {
  for (const value of [-1, 0.5, NaN, 2 ** 53]) {
    assert.throws(() => der.integer(value), der.DerError, String(value));
  }
});

test("readInteger() refuses padding, no content and other types", () => {
  for (const bad of ["0200", "02020001", "0202007f", "0202ff80", "0202ffff", "0a0101", "0101ff"]) {
    assert.throws(() => der.readInteger(der.readDer(bytesOf(bad))), der.DerError, bad);
  }
  for (const good of ["0201ff", "02020080", "0202ff7f"]) {
    const content = der.readInteger(der.readDer(bytesOf(good)));
    assert.equal(content.toString("hex"), good.slice(4), "negative ones exist in the wild");
  }
});

test("oid() writes arcs of any size", () => {
  assert.ok(oids.length > 0);
  for (const { text, input } of oids) {
    assert.equal(der.oid(text).subarray(2).toString("hex"), input, text);
  }
});

test("oid() refuses what is no object identifier", () => {
  for (
    const text of ["", "1", "3.1", "1.40", "0.40", "1..2", "1.2.", ".1.2", "1.a", "1.2 ", "-1.2"]
  ) {
    assert.throws(() => der.oid(text), der.DerError, text);
  }
});

test("time() writes UTCTime through 2049 and readTime() gives the date again", () => {
  assert.ok(times.length > 0);
  for (const { name, date, input } of times) {
    const encoding = der.time(new Date(date));
    assert.equal(encoding[0], input.length === 13 ? 0x17 : 0x18, name);
    assert.equal(encoding.subarray(2).toString(), input, name);
    assert.equal(der.readTime(der.readDer(encoding)).toISOString(), date, name);
  }
});

test("time() drops fractions of a second and refuses what is no date", () => {
  const encoding = der.time(new Date("2026-11-22T16:57:18.999Z"));
  assert.equal(encoding.subarray(2).toString(), "261122165718Z");
  for (const bad of [NaN, Date.UTC(10_000, 0), Date.UTC(-1, 0)]) {
    assert.throws(() => der.time(new Date(bad)), der.DerError);
  }
});

test("readTime() reads a GeneralizedTime before 2050, as OCSP has it", () => {
  const node = der.readDer(der.tlv(0x18, Buffer.from("20261122165718Z")));
  assert.equal(der.readTime(node).toISOString(), "2026-11-22T16:57:18.000Z");
});

test("readTime() refuses fractions, offsets, dates that don't exist and other types", () => {
  assert.ok(badTimes.length > 0);
  for (const text of badTimes) {
    for (const tag of [0x17, 0x18, 0x04]) {
      const node = der.readDer(der.tlv(tag, Buffer.from(text)));
      assert.throws(() => der.readTime(node), der.DerError, text);
    }
  }
  const wrongTag = der.readDer(der.tlv(0x04, Buffer.from("20261122165718Z")));
  assert.throws(() => der.readTime(wrongTag), der.DerError);
});
