/**
 * DNS messages (RFC 1035 section 4), with EDNS(0) (RFC 6891) and the rdata that certificates need:
 * addresses, TXT, CAA (RFC 8659). Pure; needs `node:buffer`. RFC 2136's UPDATE is the same message:
 * its zone, prerequisites and updates are the questions, answers and authorities.
 *
 * Names are text: lower case, no last dot, "" for the root; a byte that isn't of `a-z 0-9 - _ * /`
 * is `\DDD`, a dot within a label too, so that equal names are equal strings. Compression is read
 * and never written: what is encoded is the same bytes each time, with the records in order, and
 * TSIG (RFC 8945) can sign them. Refused are pointers that don't lead backwards, labels over 63 and
 * names over 255 octets, counts that the bytes can't hold, and bytes after the last record.
 */
import { Buffer } from "node:buffer";

/** The length comes in 16 bits over TCP (RFC 1035 4.2.2), and UDP can't hold more. */
export const MAX_MESSAGE = 65_535;
const MAX_LABEL = 63; // octets, RFC 1035 2.3.4
const MAX_NAME = 255; // octets with the lengths, RFC 1035 2.3.4
const MAX_POINTERS = 127; // in one name, which can't have more labels
const HEADER = 12; // octets, RFC 1035 4.1.1
/** Octets at least: the root's name, then type and class, and with a record ttl and length. */
const [MIN_QUESTION, MIN_RECORD] = [5, 11];

// Not `as const`: these are compared with what a peer says, which is any number.
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  TXT: 16,
  AAAA: 28,
  OPT: 41,
  TSIG: 250,
  ANY: 255,
  CAA: 257,
};
export const CLASS = { IN: 1, NONE: 254, ANY: 255 }; // RFC 1035 3.2.4, RFC 2136 1.3
export const OPCODE = { QUERY: 0, UPDATE: 5 };
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 };

/** RFC 1035 4.1.1; `ad` and `cd` are of RFC 4035 3.2. */
const FLAGS = { qr: 1 << 15, aa: 1 << 10, tc: 1 << 9, rd: 1 << 8, ra: 1 << 7, ad: 32, cd: 16 };
type Flag = keyof typeof FLAGS;
const flags = Object.entries(FLAGS) as [Flag, number][];
/** By type: names that rdata starts with, maybe compressed (RFC 3597 4), and octets after them. */
const LAYOUT = new Map([[TYPE.NS, [1, 0]], [TYPE.CNAME, [1, 0]], [TYPE.SOA, [2, 20]]]);

/** Bytes that are no message or no rdata of the type, or a name that can't be encoded. */
export class DnsMessageError extends Error {}

export interface DnsQuestion {
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

export interface DnsRecord extends DnsQuestion {
  /** Seconds, 32 bits without sign; of an OPT record, upper rcode bits, version and flags. */
  readonly ttl: number;
  /** The rdata, names in it decompressed: a view, or new when there are names. May be empty. */
  readonly data: Buffer;
}

export interface DnsMessage extends Readonly<Record<Flag, boolean>> {
  readonly id: number;
  readonly opcode: number;
  /** 12 bits when there is an OPT record (RFC 6891 6.1.3), else 4. */
  readonly rcode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
  /** Where in the bytes the last record starts; what a TSIG in that place signs ends there. */
  readonly lastRecordAt?: number;
}

export interface CaaRecord {
  /** 128 is "critical": a CA that doesn't know the tag must not issue. */
  readonly flags: number;
  /** Lower case: `issue`. */
  readonly tag: string;
  readonly value: string;
}

/** For the additional section: UDP answers of 1232 octets pass every path without fragments. */
export const EDNS: DnsRecord = {
  name: "",
  type: TYPE.OPT,
  class: 1232,
  ttl: 0,
  data: Buffer.alloc(0),
};

/**
 * The parts that are left out are 0, false or empty. Only the lower four bits of `rcode` are
 * written: an OPT record has the others. Throws DnsMessageError, or RangeError for a number that
 * its field can't hold.
 */
export function encodeMessage(message: Partial<DnsMessage>): Buffer {
  const { questions = [], answers = [], authorities = [], additionals = [] } = message;
  let bits = (message.opcode ?? 0) << 11 | (message.rcode ?? 0) & 15;
  for (const [flag, bit] of flags) if (message[flag]) bits |= bit;
  const counts = [questions, answers, authorities, additionals].map((section) => section.length);
  const bytes = Buffer.concat([
    u16(message.id ?? 0, bits, ...counts),
    ...questions.map(encodeQuestion),
    ...[...answers, ...authorities, ...additionals].flatMap(encodeRecord),
  ]);
  if (bytes.length > MAX_MESSAGE) throw new DnsMessageError("message over 65,535 octets");
  return bytes;
}

function encodeQuestion({ name, type, class: group }: DnsQuestion): Buffer {
  return Buffer.concat([encodeName(name), u16(type, group)]);
}

function encodeRecord(record: DnsRecord): Buffer[] {
  const { ttl, data } = record;
  return [encodeQuestion(record), u16(ttl >>> 16, ttl & 0xffff, data.length), data];
}

function u16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => bytes.writeUInt16BE(value, 2 * i));
  return bytes;
}

/**
 * Uncompressed, lower case. A last dot may be there; "" and "." are the root. Strict: other
 * characters than those named above must be written `\DDD`. Throws DnsMessageError.
 */
export function encodeName(text: string): Buffer {
  const isName = text.length <= 4 * MAX_NAME && NAME.test(text);
  const labels = isName ? text.toLowerCase().split(".").filter((label) => label !== "") : [""];
  const bytes = Buffer.concat([...labels.map(unescape).map(characterString), Buffer.alloc(1)]);
  if (labels[0] !== "" && bytes.length <= MAX_NAME) return bytes;
  const quoted = JSON.stringify(text.slice(0, MAX_NAME));
  throw new DnsMessageError(`invalid name ${quoted}: expected labels of 1 to 63, 255 in all`);
}

const OCTET = "(?:[a-z0-9_*/-]|\\\\(?:[01]\\d\\d|2[0-4]\\d|25[0-5]))";
const NAME = new RegExp(`^(?:${OCTET}{1,63}(?:\\.${OCTET}{1,63})*)?\\.?$`, "i");
const unescape = (label: string): string =>
  label.replace(/\\(...)/g, (_, digits: string) => String.fromCharCode(Number(digits)));

/** RFC 1035 3.3.14: as many strings of up to 255 octets as it takes. `text` is latin1. */
export function txtData(text: string): Buffer {
  return Buffer.concat((text.match(/[^]{1,255}/g) ?? [""]).map(characterString));
}

/** RFC 1035 3.3: one octet of length, then that many; a label is one as well. */
const characterString = (text: string): Buffer =>
  Buffer.from(String.fromCharCode(text.length) + text, "latin1");

/**
 * RFC 1035 4.1. Of a message that says it was truncated only the questions are read: what is left
 * of the rest counts for nothing (RFC 2181 9). Throws DnsMessageError.
 */
export function decodeMessage(input: Uint8Array): DnsMessage {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  if (bytes.length < HEADER) throw new DnsMessageError("message without a whole header");
  const bits = bytes.readUInt16BE(2);
  const isTruncated = (bits & FLAGS.tc) !== 0;
  const [questionCount = 0, ...counts] = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  const recordCount = isTruncated ? 0 : counts.reduce((sum, count) => sum + count);
  if (questionCount * MIN_QUESTION + recordCount * MIN_RECORD > bytes.length - HEADER) {
    throw new DnsMessageError("message with larger counts than it has bytes for");
  }
  const cursor: Cursor = { bytes, at: HEADER, start: HEADER };
  const questions = Array.from({ length: questionCount }, () => readQuestion(cursor));
  const [answers = [], authorities = [], additionals = []] = counts.map((length) =>
    Array.from({ length: isTruncated ? 0 : length }, () => readRecord(cursor))
  );
  if (!isTruncated && cursor.at < bytes.length) {
    throw new DnsMessageError("message with bytes after its last record");
  }
  const opts = additionals.filter(({ type }) => type === TYPE.OPT);
  if (opts.length > 1) throw new DnsMessageError("message with two OPT records"); // RFC 6891 6.1.1
  return {
    ...Object.fromEntries(flags.map(([flag, bit]) => [flag, (bits & bit) !== 0])) as Record<
      Flag,
      boolean
    >,
    id: bytes.readUInt16BE(0),
    opcode: bits >> 11 & 15,
    rcode: (bits & 15) | (opts[0]?.ttl ?? 0) >>> 24 << 4,
    questions,
    answers,
    authorities,
    additionals,
    lastRecordAt: cursor.start,
  };
}

/** `start`: of the record that was read last. */
type Cursor = { readonly bytes: Buffer; at: number; start: number };

function take(cursor: Cursor, length: number): Buffer {
  const end = cursor.at + length;
  if (end > cursor.bytes.length) throw new DnsMessageError("message that ends too early");
  const part = cursor.bytes.subarray(cursor.at, end);
  cursor.at = end;
  return part;
}

function readQuestion(cursor: Cursor): DnsQuestion {
  const { name, end } = readName(cursor.bytes, cursor.at);
  cursor.at = end;
  const fixed = take(cursor, 4);
  return { name, type: fixed.readUInt16BE(0), class: fixed.readUInt16BE(2) };
}

function readRecord(cursor: Cursor): DnsRecord {
  cursor.start = cursor.at;
  const question = readQuestion(cursor);
  const fixed = take(cursor, 6);
  const start = cursor.at;
  const data = take(cursor, fixed.readUInt16BE(4));
  const [names = 0, rest = 0] = LAYOUT.get(question.type) ?? [];
  // In an UPDATE there may be a type and nothing of it, but in another class (RFC 2136 2.4, 2.5).
  const isPlain = names === 0 || (data.length === 0 && question.class !== CLASS.IN);
  const expanded = isPlain ? data : expand(cursor.bytes, start, cursor.at, names, rest);
  return { ...question, ttl: fixed.readUInt32BE(0), data: expanded };
}

/** The rdata from `start` to `end` with its names written out. */
function expand(bytes: Buffer, start: number, end: number, names: number, rest: number): Buffer {
  let at = start;
  const parts: Buffer[] = [];
  for (let i = 0; i < names; i++) {
    const name = readLabels(bytes, at);
    at = name.end;
    for (const label of name.labels) parts.push(Buffer.of(label.length), label);
    parts.push(Buffer.alloc(1));
  }
  if (at + rest !== end) throw new DnsMessageError("rdata of another length than its names");
  return Buffer.concat([...parts, bytes.subarray(at, end)]);
}

/** The name at `start`, and where what comes after it starts. Throws DnsMessageError. */
export function readName(bytes: Buffer, start: number): { name: string; end: number } {
  const { labels, end } = readLabels(bytes, start);
  const texts = labels.map((label) => label.toString("latin1").replace(ODD, escape).toLowerCase());
  return { name: texts.join("."), end };
}

/**
 * RFC 1035 4.1.4. Each pointer has to lead before the labels that led to it: so none is met twice.
 */
function readLabels(bytes: Buffer, start: number): { labels: Buffer[]; end: number } {
  const labels: Buffer[] = [];
  let [at, from, size, pointers, end] = [start, start, 1, 0, -1];
  for (;;) {
    const length = bytes[at++];
    if (length === undefined) throw new DnsMessageError("name that ends too early");
    if (length === 0) return { labels, end: end < 0 ? at : end };
    if (length >= 0xc0) {
      const target = (length & 63) << 8 | (bytes[at] ?? 0xffff);
      if (target >= from || ++pointers > MAX_POINTERS) throw new DnsMessageError("pointer loop");
      if (end < 0) end = at + 1;
      at = from = target;
      continue;
    }
    size += length + 1;
    if (length > MAX_LABEL || size > MAX_NAME) throw new DnsMessageError("name that is too long");
    if (at + length > bytes.length) throw new DnsMessageError("name that ends too early");
    labels.push(bytes.subarray(at, at += length));
  }
}

const ODD = /[^a-zA-Z0-9_*/-]/g;
const escape = (char: string): string => "\\" + String(char.charCodeAt(0)).padStart(3, "0");

/** The rdata of NS and CNAME. Throws DnsMessageError. */
export function nameOf(data: Buffer): string {
  return readName(data, 0).name;
}

/** The strings of a TXT record joined, as latin1. Throws DnsMessageError. */
export function txtStrings(data: Buffer): string {
  const parts: string[] = [];
  const cursor: Cursor = { bytes: data, at: 0, start: 0 };
  while (cursor.at < data.length) parts.push(take(cursor, take(cursor, 1)[0]!).toString("latin1"));
  return parts.join("");
}

/** The rdata of A or AAAA as RFC 5952 writes it. Throws DnsMessageError. */
export function addressText(data: Buffer): string {
  if (data.length === 4) return data.join(".");
  if (data.length !== 16) throw new DnsMessageError("address of neither 4 nor 16 octets");
  const groups = data.toString("hex").match(/.{4}/g)!.join(":");
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}

/** RFC 8659 4.1. Throws DnsMessageError. */
export function caaRecord(data: Buffer): CaaRecord {
  const cursor: Cursor = { bytes: data, at: 0, start: 0 };
  const [flags = 0, length = 0] = take(cursor, 2);
  if (length === 0) throw new DnsMessageError("CAA record without a tag");
  const tag = take(cursor, length).toString("latin1").toLowerCase();
  return { flags, tag, value: data.toString("latin1", cursor.at) };
}
