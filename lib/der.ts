/**
 * DER (X.690), as far as certificates need it: a writer, and a strict reader that takes exactly one
 * value apart. Pure; needs nothing. A value has one encoding: refused are indefinite and padded
 * lengths, tag numbers above 30, constructed strings, padded integers and arcs, times with
 * fractions or offsets, bytes after the value, and what is over the limits below.
 */
import { Buffer } from "node:buffer";

const MAX_BYTES = 65_536; // a certificate of 100 names has 8 KiB, an OCSP response less
const MAX_DEPTH = 16; // certificates and OCSP responses have up to 10 levels
const [INTEGER, UTC_TIME, SEQUENCE, SET] = [0x02, 0x17, 0x30, 0x31]; // X.680 8.4, X.690 8.1.2

/** A value that has no encoding, or bytes that aren't DER. */
export class DerError extends Error {}

/** `raw` is the whole value, `content` lacks the header: views. Primitives have no `children`. */
export type DerNode = {
  readonly tag: number;
  readonly raw: Buffer;
  readonly content: Buffer;
  readonly children: readonly DerNode[];
};

/** Any tag, with the parts as its content. */
export function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const size = unsigned(content.length);
  const length = content.length < 128 ? size : [0x80 | size.length, ...size];
  return Buffer.concat([Uint8Array.of(tag, ...length), content]);
}

export const sequence = (...items: readonly Uint8Array[]): Buffer => tlv(SEQUENCE, ...items);
/** X.690 11.6: in a SET OF, the encodings are in ascending order. */
export const setOf = (...items: readonly Uint8Array[]): Buffer =>
  tlv(SET, ...items.toSorted(Buffer.compare));
export const boolean = (value: boolean): Buffer => tlv(0x01, Uint8Array.of(value ? 255 : 0));
/** `unused` is the number of low bits of the last byte that don't count; they are 0. */
export const bitString = (bytes: Uint8Array, unused = 0): Buffer =>
  tlv(0x03, Uint8Array.of(unused), bytes);
export const octetString = (bytes: Uint8Array): Buffer => tlv(0x04, bytes);
export const nullValue = (): Buffer => tlv(0x05);
export const utf8String = (text: string): Buffer => tlv(0x0c, Buffer.from(text));
/** `[n] EXPLICIT`: the value within a constructed value of its own. */
export const explicit = (n: number, value: Uint8Array): Buffer => tlv(0xa0 | n, value);
/** `[n] IMPLICIT`: the value under another tag. */
export const implicit = (n: number, value: Uint8Array): Buffer =>
  Buffer.concat([Uint8Array.of(0x80 | (value[0]! & 0x20) | n), value.subarray(1)]);

/** A number or the big-endian bytes of one; never negative. */
export function integer(value: number | Uint8Array): Buffer {
  const bytes = typeof value === "number" ? unsigned(value) : value;
  const start = bytes.findIndex((byte) => byte !== 0);
  const digits = start < 0 ? Buffer.alloc(1) : bytes.subarray(start);
  return tlv(INTEGER, Buffer.alloc(digits[0]! >> 7), digits); // a high first bit is a sign
}

/** `2.5.29.17`. The first two arcs share a number (X.690 8.19.4). */
export function oid(text: string): Buffer {
  if (!/^([01]\.[1-3]?\d|2\.\d+)(\.\d+)*$/.test(text)) throw new DerError(`no OID: ${text}`);
  const [root = 0n, second = 0n, ...arcs] = text.split(".").map(BigInt);
  const bytes = [root * 40n + second, ...arcs].flatMap((arc) => {
    const digits = [Number(arc & 127n)];
    while ((arc >>= 7n) > 0n) digits.unshift(Number(arc & 127n) | 128);
    return digits;
  });
  return tlv(0x06, Buffer.from(bytes));
}

/** Whole seconds. RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on. */
export function time(date: Date): Buffer {
  const year = date.getUTCFullYear();
  return year >= 1950 && year < 2050 ? utcTime(date) : generalizedTime(date);
}

const utcTime = (date: Date): Buffer => tlv(UTC_TIME, Buffer.from(timeText(date).slice(2)));
const generalizedTime = (date: Date): Buffer => tlv(0x18, Buffer.from(timeText(date)));

/** `20491231235959Z`. */
function timeText(date: Date): string {
  const iso = Number.isNaN(date.getTime()) ? "" : date.toISOString();
  if (!/^\d{4}-/.test(iso)) throw new DerError("no date of the years 0 to 9999");
  return iso.replace(/\.\d*|[-:T]/g, "");
}

function unsigned(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) throw new DerError(`no natural number: ${value}`);
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
}

/** Reads one value and all that is in it. Throws DerError. */
export function readDer(bytes: Uint8Array): DerNode {
  if (bytes.length > MAX_BYTES) throw new DerError(`${bytes.length} bytes of DER are too many`);
  const node = readNode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), 0);
  if (node.raw.length < bytes.length) throw new DerError("bytes after the value");
  return node;
}

function readNode(bytes: Buffer, depth: number): DerNode {
  const [tag = 0, first = 0] = bytes;
  const constructed = (tag & 0x20) !== 0;
  // X.690 10.2: of the universal types, SEQUENCE and SET alone are constructed.
  const wrongForm = tag < 0x40 && constructed !== [SEQUENCE, SET].includes(tag | 0x20);
  if (tag === 0 || (tag & 0x1f) === 0x1f || wrongForm) throw new DerError(`tag ${tag}`);
  const start = first < 0x80 ? 2 : 2 + (first & 0x7f);
  // X.690 10.1: the definite form, "in the minimum number of octets"; here 3 are always enough.
  if (first === 0x80 || start > 5 || start > bytes.length) throw new DerError(`length ${first}`);
  const length = start === 2 ? first : bytes.readUIntBE(2, start - 2);
  if (start > 2 && (length < 128 || bytes[2] === 0)) throw new DerError("a padded length");
  if (start + length > bytes.length) throw new DerError("a value that runs past the end");
  if (depth > MAX_DEPTH) throw new DerError(`values nested deeper than ${MAX_DEPTH}`);
  const raw = bytes.subarray(0, start + length);
  const content = raw.subarray(start);
  const children: DerNode[] = [];
  for (let at = 0; constructed && at < content.length; at += children.at(-1)!.raw.length) {
    children.push(readNode(content.subarray(at), depth + 1));
  }
  return { tag, raw, content, children };
}

/** The content: big-endian, two's complement, with the 00 before a high first bit. */
export function readInteger({ tag, content }: DerNode): Buffer {
  const sign = content.length > 1 ? content.readInt16BE() >> 7 : 1; // 0 or -1: a byte too many
  if (tag === INTEGER && content.length > 0 && sign !== 0 && sign !== -1) return content;
  throw new DerError("no INTEGER");
}

/** Both kinds, to the second, with `Z` at the end (RFC 5280 4.1.2.5). */
export function readTime(node: DerNode): Date {
  const short = node.tag === UTC_TIME;
  const digits = node.content.toString("latin1");
  const text = short ? `${digits < "5" ? 20 : 19}${digits}` : digits;
  const date = new Date(text.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  // Writing it again must give the same bytes: no February 30, no other tag, nothing left out.
  if ((short ? utcTime(date) : generalizedTime(date)).equals(node.raw)) return date;
  throw new DerError(`no time: ${JSON.stringify(digits)}`);
}
