/** The DNS codec by vectors, of which most come from someone who means no good. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import {
  addressText,
  caaRecord,
  decodeMessage,
  DnsMessageError,
  EDNS,
  encodeMessage,
  encodeName,
  nameOf,
  readName,
  txtData,
  txtStrings,
  TYPE,
} from "../lib/dnsmsg.ts";
import type { DnsMessage, DnsRecord } from "../lib/dnsmsg.ts";
import * as vectors from "./vectors/dnsmsg.ts";
import type { Vector } from "./vectors/dnsmsg.ts";

/** Every row, or a failure that names it and says why it is there; none at all fails too. */
function replay<Row extends Vector>(
  rows: readonly Row[],
  actual: (input: string, row: Row) => string,
): void {
  assert.ok(rows.length > 0, "no rows");
  for (const row of rows) {
    const label = `${row.name}: ${row.why}`;
    const run = () => actual(row.input, row);
    if (row.expect === undefined) assert.throws(run, DnsMessageError, label);
    else assert.equal(run(), row.expect, label);
  }
}

const bytesOf = (input: string): Buffer => Buffer.from(input, "hex");
const flags = ["qr", "tc", "rd"] as const;

/** The form that the vectors have. */
function describe(message: DnsMessage): string {
  const { id, opcode, rcode } = message;
  const records = (section: string, list: readonly DnsRecord[]) =>
    list.map(({ name, type, class: group, ttl, data }) =>
      `${section} ${name} ${type} ${group} ${ttl} ${data.toString("hex")}`
    );
  return [
    [id, `op${opcode}`, `rc${rcode}`, ...flags.filter((flag) => message[flag])].join(" "),
    ...message.questions.map(({ name, type, class: group }) => `${name} ${type} ${group}`),
    ...records("an", message.answers),
    ...records("ns", message.authorities),
    ...records("ar", message.additionals),
  ].join("; ");
}

test("the runner fails on no rows and on a wrong row", () => {
  const wrong = { name: "wrong", why: "a runner that can't fail tests nothing", input: "a" };
  assert.throws(() => replay([], String), /no rows/);
  assert.throws(() => replay([{ ...wrong, expect: "b" }], String), /can't fail/);
  assert.throws(() => replay([{ ...wrong, expect: undefined }], String), /can't fail/);
});

test("decodeMessage() reads messages and refuses what isn't one", () => {
  replay(vectors.messages, (input) => describe(decodeMessage(bytesOf(input))));
});

test("decodeMessage() refuses every message that lacks its end", () => {
  let count = 0;
  for (const { input, expect, name } of vectors.messages) {
    if (expect === undefined || /\btc\b/.test(expect)) continue;
    const bytes = bytesOf(input);
    for (let length = 0; length < bytes.length; length++, count++) {
      const run = () => decodeMessage(bytes.subarray(0, length));
      assert.throws(run, DnsMessageError, `${name}, ${length} of ${bytes.length}`);
    }
  }
  assert.ok(count > 500);
});

test("decodeMessage() throws nothing else, whichever byte is another", () => {
  for (const { input } of vectors.messages) {
    const bytes = bytesOf(input);
    for (let i = 0; i < Math.min(bytes.length, 150); i++) {
      for (const value of [0, 1, 0x3f, 0x40, 0xc0, 0xff]) {
        const changed = Buffer.from(bytes);
        changed[i] = value;
        try {
          encodeMessage(decodeMessage(changed));
        } catch (error) {
          assert.ok(error instanceof DnsMessageError, `${input} ${i} ${value}: ${error}`);
        }
      }
    }
  }
});

test("decodeMessage() takes a view that starts anywhere", () => {
  const { input, expect } = vectors.messages.find(({ name }) => name === "all sections")!;
  const bytes = Buffer.concat([Buffer.from("xyz"), bytesOf(input)]).subarray(3);
  assert.equal(describe(decodeMessage(bytes)), expect);
});

test("decodeMessage() is done with the worst 64 KiB in no time", () => {
  // The longest name at the start, and as many records that point to it as there is room for.
  const name = "00".repeat(4) + ("3f" + "ff".repeat(63)).repeat(3) + "3d" + "ff".repeat(61) + "00";
  const count = Math.floor((65_535 - 12 - 5 - bytesOf(name).length) / 18);
  const counts = "0001" + count.toString(16).padStart(4, "0") + "00000000";
  const owner = name.slice(8) + "00010001";
  const record = "c00c" + "0005" + "0001" + "00000000" + "0002" + "c00c";
  const bytes = bytesOf("00000000" + counts + owner + record.repeat(count));
  const start = performance.now();
  const message = decodeMessage(bytes);
  assert.equal(message.answers.length, count);
  assert.equal(message.answers.at(-1)!.data.length, 255);
  assert.ok(performance.now() - start < 3_000);
});

test("encodeMessage() undoes decodeMessage()", () => {
  for (const { input, expect, name } of vectors.messages) {
    if (expect === undefined) continue;
    const message = decodeMessage(bytesOf(input));
    const again = encodeMessage(message);
    assert.equal(describe(decodeMessage(again)), expect, name);
    assert.deepEqual(encodeMessage(decodeMessage(again)), again, name);
  }
});

test("encodeMessage() leaves out what isn't given, and offers EDNS when told to", () => {
  assert.equal(encodeMessage({}).toString("hex"), "00".repeat(12));
  const query = { id: 1, rd: true, questions: [{ name: "a.", type: TYPE.CAA, class: 1 }] };
  const bytes = encodeMessage({ ...query, additionals: [EDNS] });
  assert.equal(
    bytes.toString("hex"),
    "000101000001000000000001" + "016100" + "01010001" + "000029" + "04d0" + "00000000" + "0000",
  );
});

test("encodeMessage() refuses what its fields can't hold", () => {
  const record = { name: "a", type: 16, class: 1, ttl: 0, data: Buffer.alloc(40_000) };
  assert.throws(() => encodeMessage({ answers: [record, record] }), DnsMessageError);
  assert.throws(() => encodeMessage({ id: 65_536 }), RangeError);
  const long = { ...record, data: Buffer.alloc(65_536) };
  assert.throws(() => encodeMessage({ answers: [long] }), RangeError);
  const question = { name: "a b", type: 1, class: 1 };
  assert.throws(() => encodeMessage({ questions: [question] }), DnsMessageError);
});

test("lastRecordAt is where the last record starts", () => {
  const rest = { id: 9, questions: [{ name: "a.test", type: 6, class: 1 }] };
  const record = { name: "key", type: TYPE.TSIG, class: 255, ttl: 0, data: Buffer.from("x") };
  const signed = encodeMessage({ ...rest, additionals: [EDNS, record] });
  const unsigned = encodeMessage({ ...rest, additionals: [EDNS] });
  const { lastRecordAt } = decodeMessage(signed);
  assert.equal(lastRecordAt, unsigned.length);
  assert.deepEqual(signed.subarray(12, lastRecordAt), unsigned.subarray(12));
});

test("readName() reads names and refuses endless ones", () => {
  replay(vectors.wireNames, (input, { at }) => readName({ bytes: bytesOf(input), at }));
});

test("encodeName() takes names as they are written, and refuses what isn't one", () => {
  replay(vectors.textNames, (input) => encodeName(input).toString("hex"));
});

test("names that differ in more than case are different texts", () => {
  const texts = Array.from({ length: 256 }, (_, i) => nameOf(Buffer.of(2, i, 0x61, 0)));
  assert.ok(texts.every((text) => /^[!-~]+$/.test(text)));
  assert.equal(new Set(texts).size, 256 - 26);
  assert.notEqual(nameOf(Buffer.from("\x03a.b\0")), nameOf(Buffer.from("\x01a\x01b\0")));
});

test("txtStrings() joins the strings of a record", () => {
  replay(vectors.texts, (input) => txtStrings(bytesOf(input)));
});

test("txtData() splits what is over 255 octets", () => {
  for (const length of [0, 1, 255, 256, 510, 511]) {
    const text = "\xff\n".repeat(256).slice(0, length);
    assert.equal(txtStrings(txtData(text)), text);
    assert.equal(txtData(text).length, length + Math.max(1, Math.ceil(length / 255)));
  }
});

test("addressText() writes addresses", () => {
  replay(vectors.addresses, (input) => addressText(bytesOf(input)));
});

test("caaRecord() reads flags, tag and value", () => {
  replay(vectors.caa, (input) => Object.values(caaRecord(bytesOf(input))).join(" "));
});
