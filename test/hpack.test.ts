/** HPACK by the vectors of its RFC and by those of people who mean no good; then round trips. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import {
  type DynamicTable,
  encodedLimit,
  HpackDecoder,
  HpackEncoder,
  HpackError,
  writeInteger,
} from "../lib/hpack.ts";
import { huffmanDecode, huffmanEncode, huffmanLength, huffmanRoom } from "../lib/huffman.ts";
import { type HpackVector, hpackVectors, integers, type Outcome } from "./vectors/hpack.ts";

const LIMITS = { maxListSize: 65_536, maxFields: 1000 };

/** Of a block by itself, or with such a byte at each side of it. */
function outcome(decoder: HpackDecoder, block: Buffer, around?: number): Outcome {
  try {
    if (around === undefined) return decoder.decode(block) ?? "too large";
    const bytes = Buffer.concat([Buffer.of(around), block, Buffer.of(around)]);
    return decoder.decode(bytes, 1, 1 + block.length) ?? "too large";
  } catch (error) {
    if (error instanceof HpackError) return "error";
    throw error;
  }
}

/** Newest first. */
function entries(table: DynamicTable): string[] {
  return Array.from({ length: table.length }, (_, i) => {
    const { name, value } = table.at(i) ?? assert.fail("an entry is missing");
    return `${name}: ${value}`;
  });
}

function replay(rows: readonly HpackVector[], around?: number): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, limits, blocks } of rows) {
    const decoder = new HpackDecoder({ ...LIMITS, ...limits });
    blocks.forEach(({ settings = [], input, expect, table, size, never = [] }, i) => {
      const label = `${name}, block ${i}: ${why}`;
      for (const size of settings) decoder.setMaxTableSize(size);
      assert.deepEqual(outcome(decoder, Buffer.from(input, "hex"), around), expect, label);
      if (table !== undefined) assert.deepEqual(entries(decoder.table), table, label);
      if (size !== undefined) assert.equal(decoder.table.size, size, label);
      if (expect !== "error") assert.deepEqual(decoder.neverIndexed, never, label);
    });
  }
}

test("the runner fails on no rows and on a wrong row", () => {
  const wrong = { name: "wrong", why: "a runner that can't fail tests nothing" };
  const block = { input: "82", expect: [":method", "GET"] };
  assert.throws(() => replay([]), /no rows/);
  for (const differs of [{ expect: "error" }, { size: 1 }, { table: ["a: 1"] }, { never: [0] }]) {
    assert.throws(() => replay([{ ...wrong, blocks: [{ ...block, ...differs } as typeof block] }]));
  }
});

test("the decoder does with each block what it must, and keeps its table", () => {
  replay(hpackVectors);
});

test("bytes before and after a block say nothing", () => {
  const empty = { name: "empty", why: "padding may follow", blocks: [{ input: "", expect: [] }] };
  for (const around of [0x00, 0x20, 0x3f, 0x82, 0xff]) replay([empty, ...hpackVectors], around);
});

test("writeInteger() writes the integers of appendix C.1, and those at its edges", () => {
  assert.ok(integers.length > 0, "no rows");
  for (const { name, why, value, prefix, bits, expect } of integers) {
    const out = Buffer.alloc(8);
    const end = writeInteger(out, 0, bits, prefix, value);
    assert.equal(out.toString("hex", 0, end), expect, `${name}: ${why}`);
  }
});

test("the encoder writes the requests of appendix C.4, byte for byte", () => {
  const row = hpackVectors.find(({ name }) => name === "C.4") ?? assert.fail("no row");
  const encoder = new HpackEncoder();
  for (const { input, expect, table } of row.blocks) {
    assert.equal(encode(encoder, expect as string[]).toString("hex"), input);
    assert.deepEqual(entries(encoder.table), table);
  }
});

/** Into a buffer that is full of something else, at some place in it. */
function encode(encoder: HpackEncoder, fields: readonly string[]): Buffer {
  const out = Buffer.alloc(3 + encodedLimit(fields), "!");
  const end = encoder.encode(fields, out, 3);
  assert.ok(end <= out.length, "more than encodedLimit() said");
  assert.equal(out.toString("latin1", 0, 3), "!!!");
  assert.ok(out.subarray(end).every((byte) => byte === 0x21), "written past the end");
  return Buffer.from(out.subarray(3, end));
}

const RESPONSE = [
  ...[":status", "200", "server", "s", "date", "Mon, 21 Oct 2013 20:13:21 GMT"],
  ...["content-type", "text/html; charset=utf-8", "content-length", "10240"],
  ...["etag", '"5f-2800"', "cache-control", "public, max-age=3600", "set-cookie", "a=b"],
];

test("the encoder keeps what is said again, and nothing else, in the table", () => {
  const encoder = new HpackEncoder();
  const first = encode(encoder, RESPONSE);
  assert.deepEqual(entries(encoder.table), [
    "cache-control: public, max-age=3600",
    "content-type: text/html; charset=utf-8",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "server: s",
  ]);
  const second = encode(encoder, RESPONSE);
  assert.equal(encoder.table.length, 4);
  assert.ok(second.length < 32 && first.length > 80, `${first.length}, ${second.length}`);
});

test("the encoder lets no secret into a table, here or anywhere", () => {
  const secrets = ["set-cookie", "cookie", "authorization", "proxy-authorization"];
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder(LIMITS);
  const fields = secrets.flatMap((name) => [name, "x"]);
  assert.deepEqual(decoder.decode(encode(encoder, fields)), fields);
  assert.deepEqual(decoder.neverIndexed, [0, 2, 4, 6]);
  assert.equal(encoder.table.length, 0);
  assert.equal(decoder.table.length, 0);
});

test("the encoder writes names in lower case, however they are spelled", () => {
  const decoder = new HpackDecoder(LIMITS);
  const encoder = new HpackEncoder();
  const spellings = ["ETag", "etag", "Etag", "ETAG", "X-Other", "x-other", "Www-Authenticate"];
  const fields = spellings.flatMap((name) => [name, "1"]);
  const lower = spellings.flatMap((name) => [name.toLowerCase(), "1"]);
  assert.deepEqual(decoder.decode(encode(encoder, fields)), lower);
  assert.equal(encoder.table.length, 2);
});

test("values that are never the same push nothing out of the encoder's table", () => {
  const encoder = new HpackEncoder();
  encode(encoder, ["server", "s"]);
  for (let i = 0; i < 1000; i++) encode(encoder, ["x-trace", `${i}`, "etag", `"${i}"`]);
  assert.deepEqual(entries(encoder.table).at(-1), "server: s");
  assert.equal(encoder.table.length, 9);
  encode(encoder, ["content-security-policy", "x".repeat(4000)]);
  assert.equal(encoder.table.length, 9);
});

test("an entry leaves the encoder's table without those of its name that came after it", () => {
  const encoder = new HpackEncoder();
  const one = ["x-one", "1".repeat(1000)], other = ["x-one", "2".repeat(1000)];
  for (const fields of [one, other, ["x-two", "3".repeat(2000)]]) encode(encoder, fields);
  assert.equal(encoder.table.length, 2);
  assert.equal(encode(encoder, other).length, 1);
  assert.ok(encode(encoder, one).length > 100);
  assert.equal(encode(encoder, one).length, 1);
});

test("Huffman code is used only where it is shorter", () => {
  const rows = [["&", "0126"], ["&a", "022661"], ["0&a", "03302661"]] as const;
  for (const [value, hex] of rows) {
    assert.ok(encode(new HpackEncoder(), ["x", value]).toString("hex").endsWith(hex), value);
  }
});

test("the date of now is in the encoder's table, however many there were", () => {
  const encoder = new HpackEncoder();
  for (let i = 0; i < 200; i++) {
    const date = ["date", `Mon, 21 Oct 2013 20:13:21 GMT, or ${i} s later`];
    encode(encoder, date);
    assert.equal(encode(encoder, date).length, 1);
  }
});

test("the encoder tells of a lowered table, of the smallest one, and of its own limit", () => {
  const encoder = new HpackEncoder();
  const hex = (): string => encode(encoder, []).toString("hex");
  encode(encoder, ["server", "s"]);
  assert.equal(hex(), "");
  encoder.setMaxTableSize(100);
  assert.equal(encoder.table.length, 1);
  assert.equal(hex(), "3f45");
  assert.equal(hex(), "");
  encoder.setMaxTableSize(0);
  encoder.setMaxTableSize(4_294_967_295);
  assert.equal(encoder.table.length, 0);
  assert.equal(hex(), "203fe11f");
  assert.equal(hex(), "");
});

test("Huffman code comes back as what it was, for each byte and for any bytes", () => {
  const random = randomOf(2);
  const out = Buffer.alloc(64);
  for (let i = 0; i < 20_000; i++) {
    const text = i < 256 ? String.fromCharCode(i) : randomText(random, random(40));
    const bytes = Buffer.alloc(huffmanLength(text) + 2, 0x55);
    const end = huffmanEncode(text, bytes, 1);
    assert.equal(end, bytes.length - 1);
    assert.equal(bytes[end], 0x55);
    const length = huffmanDecode(bytes, 1, end, out);
    assert.equal(out.toString("latin1", 0, length), text);
    assert.ok(length <= huffmanRoom(end - 1));
  }
});

test("100,000 random lists come back as they were, while the table's size changes", () => {
  const random = randomOf(1);
  let encoder = new HpackEncoder(), decoder = new HpackDecoder(LIMITS);
  for (let i = 0; i < 100_000; i++) {
    if (i % 1000 === 0) [encoder, decoder] = [new HpackEncoder(), new HpackDecoder(LIMITS)];
    for (let changes = random(20) === 0 ? 1 + random(3) : 0; changes > 0; changes--) {
      const size = [0, 33, 100, 256, 1000, 4095, 4096][random(7)];
      encoder.setMaxTableSize(size);
      decoder.setMaxTableSize(size);
    }
    const fields = randomFields(random);
    const block = encode(encoder, fields);
    assert.deepEqual(decoder.decode(block), fields);
    assert.equal(decoder.table.size, encoder.table.size);
    assert.equal(decoder.table.maxSize, encoder.table.maxSize);
    if (i % 50 === 0) assert.deepEqual(entries(decoder.table), entries(encoder.table));
  }
});

test("a block that is cut, or has wrong bytes, is an HpackError or another list", () => {
  const random = randomOf(3);
  const encoder = new HpackEncoder();
  const valid = [RESPONSE, RESPONSE, ...Array.from({ length: 50 }, () => randomFields(random))]
    .map((fields) => encode(encoder, fields));
  const before = (count: number): HpackDecoder => {
    const decoder = new HpackDecoder(LIMITS);
    for (const block of valid.slice(0, count)) decoder.decode(block);
    return decoder;
  };
  valid.forEach((block, count) => {
    for (let end = 0; end < block.length; end += 1 + random(1 + (count >> 2))) {
      outcome(before(count), block.subarray(0, end));
    }
    for (let i = 0; i < 20; i++) {
      const wrong = Buffer.from(block);
      for (let bytes = 1 + random(3); bytes > 0; bytes--) wrong[random(wrong.length)] = random(256);
      outcome(before(count), wrong);
    }
  });
  for (const { blocks, limits } of hpackVectors) {
    const decoder = new HpackDecoder({ ...LIMITS, ...limits });
    const [{ input }] = blocks;
    const whole = Buffer.from(input, "hex");
    const most = Math.min(whole.length, 300);
    for (let end = 0; end <= most; end++) outcome(decoder, whole.subarray(0, end));
  }
});

test("a field that is cut anywhere is an HpackError", () => {
  for (const field of ["00016103616161", "40016183a8eb10", "0f0d826402", "7f00", "ff00"]) {
    const block = Buffer.from(field, "hex");
    for (let end = 1; end < block.length; end++) {
      const decoder = new HpackDecoder(LIMITS);
      assert.throws(() => decoder.decode(block.subarray(0, end)), HpackError, `${field} ${end}`);
      assert.throws(() => decoder.decode(block, 0, end), HpackError, `${field} ${end}, and more`);
    }
  }
});

test("bombs take time in line with their bytes", () => {
  const decoder = new HpackDecoder(LIMITS);
  const literal = Buffer.concat([Buffer.from("4001617fa11e", "hex"), Buffer.alloc(4000, "v")]);
  assert.equal(decoder.decode(literal)?.length, 2);
  const started = performance.now();
  assert.equal(decoder.decode(Buffer.alloc(1_000_000, 0xbe)), undefined);
  assert.equal(decoder.decode(Buffer.alloc(999_999, Buffer.from("400000", "hex"))), undefined);
  assert.ok(performance.now() - started < 5_000);
});

/** A number from 0 to below `limit`, the same ones each time for one seed (xorshift32). */
function randomOf(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

function randomText(random: (limit: number) => number, length: number): string {
  const most = random(4) === 0 ? 256 : 95; // mostly ASCII
  const codes = Array.from({ length }, () => most === 256 ? random(256) : 32 + random(most));
  return String.fromCharCode(...codes);
}

/** Few names and fewer values, so that they come again, and some that never did. */
function randomFields(random: (limit: number) => number): string[] {
  const names = [":status", "server", "date", "content-type", "etag", "set-cookie", "x-a", "x-b"];
  const fields: string[] = [];
  for (let i = random(12); i > 0; i--) {
    const name = random(10) === 0 ? `x-${random(1000)}` : names[random(names.length)];
    const length = random(20) === 0 ? random(1500) : random(30);
    const repeated = ["200", "gzip, deflate", "", "a".repeat(random(40))];
    const value = random(2) === 0 ? repeated[random(4)] : randomText(random, length);
    fields.push(name, value);
  }
  return fields;
}
