/**
 * DNS messages (RFC 1035 section 4), with EDNS(0) (RFC 6891) and the rdata that certificates need:
 * addresses, TXT, CAA (RFC 8659). Pure; needs addr.ts. RFC 2136's UPDATE is the same message:
 * its zone, prerequisites and updates are the questions, answers and authorities.
 *
 * Names are text: lower case, no last dot, "" for the root; a byte that isn't of `a-z 0-9 - _ * /`
 * is `\DDD`, a dot within a label too, so that equal names are equal strings. Compression is read
 * and never written: what is encoded is the same bytes each time, with the records in order, and
 * TSIG (RFC 8945) can sign them. Refused are pointers that don't lead backwards, labels over 63 and
 * names over 255 octets, counts of more than there is, and bytes after the last record.
 */
import { Buffer } from "node:buffer";
import { spellAddress } from "./addr.ts";

/** The length comes in 16 bits over TCP (RFC 1035 4.2.2), and UDP can't hold more. */
export const MAX_MESSAGE = 65_535;
const MAX_LABEL = 63; // octets, RFC 1035 2.3.4
const MAX_NAME = 255; // octets with the lengths, RFC 1035 2.3.4
const MAX_POINTERS = 16; // in one name: servers make one or two, and many take long to follow

// Not `as const`: these are compared with what a peer says, which is any number.
export const TYPE = {
  ...{ A: 1, NS: 2, CNAME: 5, SOA: 6, TXT: 16, AAAA: 28, CAA: 257 },
  ...{ OPT: 41, TSIG: 250 }, // about the message that they are in
};
export const CLASS = { IN: 1, NONE: 254, ANY: 255 }; // RFC 1035 3.2.4, RFC 2136 1.3
export const OPCODE = { QUERY: 0, UPDATE: 5 };
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 };
const FLAGS = { qr: 1 << 15, tc: 1 << 9, rd: 1 << 8 };

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
  /** The rdata; the name of NS or CNAME is decompressed. */
  readonly data: Buffer;
}

export interface DnsMessage {
  readonly id: number;
  readonly qr: boolean;
  readonly opcode: number;
  readonly tc: boolean;
  readonly rd: boolean;
  /** 12 bits when there is an OPT record (RFC 6891 6.1.3), else 4. */
  readonly rcode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
  /** Where in the bytes the last record starts; what a TSIG in that place signs ends there. */
  readonly lastRecordAt: number;
}

export interface CaaRecord {
  /** 128 is "critical": a CA that doesn't know the tag must not issue. */
  readonly flags: number;
  /** Lower case: `issue`. */
  readonly tag: string;
  readonly value: string;
}

const NOTHING = Buffer.alloc(0);
/** For the additional section: UDP answers of 1232 octets pass every path without fragments. */
export const EDNS: DnsRecord = { name: "", type: TYPE.OPT, class: 1232, ttl: 0, data: NOTHING };

/**
 * The parts that are left out are 0, false or empty. Only the lower four bits of `rcode` are
 * written. Throws DnsMessageError, or RangeError for a number that its field can't hold.
 */
export function encodeMessage(message: Partial<DnsMessage>): Buffer {
  const { id = 0, opcode = 0, rcode = 0, questions = [] } = message;
  const { answers = [], authorities = [], additionals = [] } = message;
  let bits = opcode << 11 | rcode & 15;
  for (const flag of ["qr", "tc", "rd"] as const) if (message[flag]) bits |= FLAGS[flag];
  const counts = [questions, answers, authorities, additionals].map((section) => section.length);
  const bytes = Buffer.concat([
    u16(id, bits, ...counts),
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

const NAME = /^(?:[a-z0-9_*/-]{1,63}(?:\.[a-z0-9_*/-]{1,63})*)?$/i;

/**
 * Uncompressed, lower case. A last dot may be there; "" and "." are the root. No name here needs
 * other characters than those above: one with an escape can't be asked for. Throws DnsMessageError.
 */
export function encodeName(text: string): Buffer {
  const name = text.replace(/\.$/, "");
  if (name.length + 2 > MAX_NAME || !NAME.test(name)) {
    const quoted = JSON.stringify(text.slice(0, MAX_NAME));
    throw new DnsMessageError(`invalid name ${quoted}: expected labels of 1 to 63, 253 in all`);
  }
  const labels = name.toLowerCase().match(/[^.]+/g) ?? [];
  return Buffer.concat([...labels, ""].map(characterString)); // the last is the root's
}

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
export function decodeMessage(bytes: Buffer): DnsMessage {
  const cursor = { bytes, at: 0 };
  const [id, bits, questionCount] = [uint(cursor, 2), uint(cursor, 2), uint(cursor, 2)];
  const counts = [uint(cursor, 2), uint(cursor, 2), uint(cursor, 2)];
  const [qr, tc, rd] = [FLAGS.qr, FLAGS.tc, FLAGS.rd].map((flag) => (bits & flag) !== 0);
  // What a count says is allocated as it is read, and there are at most 65,535.
  const questions = Array.from({ length: questionCount }, () => readQuestion(cursor));
  let lastRecordAt = cursor.at;
  const [answers = [], authorities = [], additionals = []] = counts.map((count) =>
    Array.from({ length: tc ? 0 : count }, () => {
      lastRecordAt = cursor.at;
      return readRecord(cursor);
    })
  );
  if (!tc && cursor.at < bytes.length) {
    throw new DnsMessageError("message with bytes after its last record");
  }
  const extended = additionals.find(({ type }) => type === TYPE.OPT)?.ttl ?? 0;
  const [opcode, rcode] = [bits >> 11 & 15, bits & 15 | extended >>> 24 << 4];
  const header = { id, qr, opcode, tc, rd, rcode };
  return { ...header, questions, answers, authorities, additionals, lastRecordAt };
}

/** Where to read next. */
type Cursor = { readonly bytes: Buffer; at: number };

function take(cursor: Cursor, length: number): Buffer {
  const start = cursor.at;
  cursor.at += length;
  if (cursor.at > cursor.bytes.length) throw new DnsMessageError("message that ends too early");
  return cursor.bytes.subarray(start, cursor.at);
}

const uint = (cursor: Cursor, octets: number): number => take(cursor, octets).readUIntBE(0, octets);

function readQuestion(cursor: Cursor): DnsQuestion {
  return { name: readName(cursor), type: uint(cursor, 2), class: uint(cursor, 2) };
}

function readRecord(cursor: Cursor): DnsRecord {
  const record = { ...readQuestion(cursor), ttl: uint(cursor, 4) };
  const data = take(cursor, uint(cursor, 2));
  if (![TYPE.NS, TYPE.CNAME].includes(record.type)) return { ...record, data };
  const own = { bytes: cursor.bytes, at: cursor.at - data.length };
  const labels = readLabels(own).flatMap((label) => [Buffer.of(label.length), label]);
  if (own.at === cursor.at) return { ...record, data: Buffer.concat([...labels, Buffer.alloc(1)]) };
  throw new DnsMessageError("rdata of another length than its name");
}

/** The name at the cursor. Throws DnsMessageError. */
export function readName(cursor: Cursor): string {
  const texts = readLabels(cursor).map((label) => label.toString("latin1").replace(ODD, escape));
  return texts.join(".").toLowerCase();
}

const ODD = /[^a-zA-Z0-9_*/-]/g;
const escape = (char: string): string => "\\" + String(char.charCodeAt(0)).padStart(3, "0");

/** RFC 1035 4.1.4. A pointer has to lead before the labels that led to it: none is met twice. */
function readLabels(cursor: Cursor): Buffer[] {
  const labels: Buffer[] = [];
  let [part, start, size, pointers] = [cursor, cursor.at, 1, 0];
  for (;;) {
    const length = uint(part, 1);
    if (length === 0) return labels;
    if (length >= 0xc0) {
      const at = (length & 63) << 8 | uint(part, 1);
      if (at >= start || ++pointers > MAX_POINTERS) throw new DnsMessageError("pointer loop");
      part = { bytes: cursor.bytes, at };
      start = at;
      continue;
    }
    size += length + 1;
    if (length > MAX_LABEL || size > MAX_NAME) throw new DnsMessageError("name that is too long");
    labels.push(take(part, length));
  }
}

/** The name and its parents, the root excepted. */
export function ancestors(name: string): string[] {
  const labels = name.split(".");
  return labels.map((_, i) => labels.slice(i).join("."));
}

/** The rdata of NS and CNAME. Throws DnsMessageError. */
export const nameOf = (data: Buffer): string => readName({ bytes: data, at: 0 });

/** The strings of a TXT record joined, as latin1. Throws DnsMessageError. */
export function txtStrings(data: Buffer): string {
  const cursor = { bytes: data, at: 0 };
  let text = "";
  while (cursor.at < data.length) text += take(cursor, uint(cursor, 1)).toString("latin1");
  return text;
}

/** The rdata of A or AAAA as RFC 5952 writes it. Throws DnsMessageError. */
export function addressText(data: Buffer): string {
  if (data.length === 4) return data.join(".");
  if (data.length !== 16) throw new DnsMessageError("address of neither 4 nor 16 octets");
  const groups = data.toString("hex").match(/.{4}/g)!.join(":");
  return spellAddress(groups);
}

/** RFC 8659 4.1. Throws DnsMessageError. */
export function caaRecord(data: Buffer): CaaRecord {
  const cursor = { bytes: data, at: 0 };
  const [flags, length] = [uint(cursor, 1), uint(cursor, 1)];
  if (length === 0) throw new DnsMessageError("CAA record without a tag");
  const tag = take(cursor, length).toString("latin1").toLowerCase();
  return { flags, tag, value: data.toString("latin1", cursor.at) };
}
