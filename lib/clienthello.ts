/**
 * The TLS ClientHello, read before TLS starts: the name the client wants (RFC 6066 3) and the
 * protocols it offers (RFC 7301), so that a name nobody serves is refused with the right alert.
 * Pure; needs nothing. Reads RFC 8446 4.1.2 and 5.1 across any split into records and segments and
 * checks every length, the names and the version; the TLS stack judges the rest by the same bytes.
 */
import { Buffer } from "node:buffer";

/** Bytes on the wire, record headers included. Hellos with X25519MLKEM768 are about 1,600. */
export const HELLO_LIMIT = 16_384;
/** Alert descriptions, RFC 8446 6. */
const UNEXPECTED_MESSAGE = 10, RECORD_OVERFLOW = 22, DECODE_ERROR = 50;
export const UNRECOGNIZED_NAME = 112, NO_APPLICATION_PROTOCOL = 120, PROTOCOL_VERSION = 70;

const RECORD_HEADER = 5; // type, legacy version (2), length (2)
const HANDSHAKE_HEADER = 4; // type, length (3)
const TYPE = { handshake: 22, clientHello: 1, serverName: 0, hostName: 0, alpn: 16, versions: 43 };

/**
 * Names are latin1 text, those of `alpn` in the client's order. `serverName` is the host_name in
 * lower case without its last dot, otherwise as it came: an odd one matches no route.
 */
export type ClientHello = { serverName: string | undefined; alpn: readonly string[] };

/**
 * `more`: no hello is complete before there are `need` bytes in all. A caller that waits for them
 * spends linear time however the bytes trickle in; calling sooner is allowed.
 * `plaintext`: the first byte is a letter, as in an HTTP request and in no TLS record.
 * `malformed`: answer with the fatal `alert`; `message` is for the log.
 */
export type HelloResult =
  | { state: "more"; need: number }
  | { state: "hello"; hello: ClientHello }
  | { state: "plaintext" }
  | { state: "malformed"; alert: number; message: string };

/** The 7 bytes of a fatal alert record, as sent before any version is agreed. */
export function fatalAlert(description: number): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}

/** Reads the first bytes of a connection; what follows the ClientHello's record is left alone. */
export function readClientHello(bytes: Uint8Array): HelloResult {
  if (isLetter(bytes[0])) return { state: "plaintext" };
  try {
    const message = readRecords(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    if (typeof message === "number") return { state: "more", need: message };
    return { state: "hello", hello: readHello(cursorOf(message, HANDSHAKE_HEADER)) };
  } catch (error) {
    if (!(error instanceof HelloError)) throw error;
    return { state: "malformed", alert: error.alert, message: error.message };
  }
}

const isLetter = (code: number): boolean => (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a;

/** What is wrong with a hello, and the alert that says so. */
export class HelloError extends Error {
  readonly alert: number;
  constructor(message: string, alert: number = DECODE_ERROR) {
    super(message);
    this.alert = alert;
  }
}

/** The whole handshake message, or the number of bytes without which it can't be complete. */
export function readRecords(bytes: Buffer): Buffer | number {
  const fragments: Buffer[] = [];
  let [at, have, size] = [0, 0, HANDSHAKE_HEADER];
  while (have < size) {
    const end = at + recordSize(bytes, at);
    // What is missing takes one more record at least: a hello in tiny ones costs few calls.
    const need = Math.max(end, at + RECORD_HEADER + size - have);
    if (need > HELLO_LIMIT) throw new HelloError(`the hello takes more than ${HELLO_LIMIT} bytes`);
    if (end > bytes.length) return bytes.length === 0 ? 1 : need;
    const fragment = bytes.subarray(at + RECORD_HEADER, end);
    if (fragments.length === 0 && fragment[0] !== TYPE.clientHello) {
      throw new HelloError(`handshake type ${fragment[0]}, expected 1`, UNEXPECTED_MESSAGE);
    }
    fragments.push(fragment);
    [at, have] = [end, have + fragment.length];
    if (size === 4 && have >= 4) size += joined(fragments).readUIntBE(1, 3);
  }
  // RFC 8446 5.1 lets messages share a record, but a client has nothing to say after its hello.
  if (have > size) throw new HelloError("data after the ClientHello", UNEXPECTED_MESSAGE);
  return joined(fragments);
}

const joined = (fragments: readonly Buffer[]): Buffer =>
  fragments.length === 1 ? fragments[0] : Buffer.concat(fragments);

/** The size of the record at `at`, or of its header while that is incomplete. */
function recordSize(bytes: Buffer, at: number): number {
  const type = bytes[at] ?? TYPE.handshake, major = bytes[at + 1] ?? 3;
  if (type !== TYPE.handshake) {
    // 20 to 24 are TLS records out of turn; the rest, SSLv2 hellos too, is not TLS at all.
    const alert = type >= 20 && type <= 24 ? UNEXPECTED_MESSAGE : DECODE_ERROR;
    throw new HelloError(`record type ${type}, expected 22`, alert);
  }
  // RFC 5246 E.1: any {03,XX} must be accepted.
  if (major !== 3) throw new HelloError(`record version ${major}, expected 3`, PROTOCOL_VERSION);
  if (bytes.length < at + RECORD_HEADER) return RECORD_HEADER;
  const length = bytes.readUInt16BE(at + 3);
  // RFC 8446 5.1: "The length MUST NOT exceed 2^14 bytes", nor be zero here; 5.4 has the alert.
  if (length > 16_384) throw new HelloError(`a record of ${length} bytes`, RECORD_OVERFLOW);
  if (length === 0) throw new HelloError("an empty record", UNEXPECTED_MESSAGE);
  return RECORD_HEADER + length;
}

/** RFC 8446 4.1.2; a TLS 1.2 hello may end before the extensions (RFC 5246 7.4.1.2). */
function readHello(message: Cursor): ClientHello {
  // A legacy version above TLS 1.2 negotiates TLS 1.2 (RFC 5246 E.1).
  let versions = [Math.min(readUint(message, 2), 0x0303)];
  skip(message, 32); // random
  readVector(message, 1, 0, 32); // legacy_session_id
  const suites = readVector(message, 2, 2);
  if ((suites.end - suites.at) % 2 > 0) throw new HelloError("half a cipher suite");
  readVector(message, 1, 1); // legacy_compression_methods
  const hello: ClientHello = { serverName: undefined, alpn: [] };
  const seen = new Set<number>();
  const readExtension = (list: Cursor): void => {
    const type = readUint(list, 2);
    const data = readVector(list, 2, 0);
    // RFC 8446 4.2: "There MUST NOT be more than one extension of the same type".
    if (seen.size === seen.add(type).size) throw new HelloError(`extension ${type} twice`);
    if (type === TYPE.serverName) hello.serverName = readServerName(data);
    // RFC 7301 3.1: "Empty strings MUST NOT be included".
    if (type === TYPE.alpn) hello.alpn = readList(data, 2, 1, (names) => readText(names, 1));
    // RFC 8446 4.2.1: with this extension the legacy version says nothing.
    if (type === TYPE.versions) versions = readList(data, 1, 1, (all) => readUint(all, 2));
  };
  if (message.at < message.end) readList(message, 2, 0, readExtension);
  if (versions.some((version) => version === 0x0303 || version === 0x0304)) return hello;
  throw new HelloError("offers neither TLS 1.2 nor TLS 1.3", PROTOCOL_VERSION);
}

/** RFC 6066 3. Types of names yet to come have a 16-bit length too, and are skipped. */
function readServerName(data: Cursor): string | undefined {
  const names = readList(data, 2, 1, (list) => [readUint(list, 1), readText(list, 2)] as const);
  const hosts = names.filter(([type]) => type === TYPE.hostName);
  // "MUST NOT contain more than one name of the same name_type": which of two would count?
  if (hosts.length > 1) throw new HelloError("two host names");
  return hosts[0]?.[1].replace(/[A-Z]+/g, (s) => s.toLowerCase()).replace(/(?<=.)\.$/s, "");
}

/** A part of bytes, from a position on; `acmetls.ts` reads by it what isn't read here. */
export type Cursor = { readonly bytes: Buffer; at: number; readonly end: number };
type Read<T> = (from: Cursor) => T;

export function cursorOf(bytes: Buffer, at = 0): Cursor {
  return { bytes, at, end: bytes.length };
}

/** Moves over `size` bytes; returns where they begin. */
export function skip(cursor: Cursor, size: number): number {
  const from = cursor.at;
  if (size > cursor.end - from) throw new HelloError(`${size} bytes run past the end`);
  cursor.at += size;
  return from;
}

/** A number of at most 3 bytes. */
export function readUint(cursor: Cursor, size: number): number {
  let value = 0;
  for (let at = skip(cursor, size); at < cursor.at; at++) value = value << 8 | cursor.bytes[at];
  return value;
}

/** A vector of RFC 8446 3.4: `prefix` bytes of length, then `min` to `max` bytes. */
export function readVector(cursor: Cursor, prefix: number, min: number, max = 0xffff): Cursor {
  const length = readUint(cursor, prefix);
  if (length < min || length > max) throw new HelloError(`a vector of ${length} bytes`);
  return { bytes: cursor.bytes, at: skip(cursor, length), end: cursor.at };
}

/** As readVector(), the bytes themselves. */
export function readBytes(cursor: Cursor, prefix: number, min: number, max?: number): Buffer {
  const { bytes, at, end } = readVector(cursor, prefix, min, max);
  return bytes.subarray(at, end);
}

/** A vector of entries, which nothing may follow. */
export function readList<T>(from: Cursor, prefix: number, min: number, read: Read<T>): T[] {
  const list = readVector(from, prefix, min);
  if (from.at < from.end) throw new HelloError("bytes after a list");
  return readEntries(list, read);
}

export function readEntries<T>(list: Cursor, read: Read<T>): T[] {
  const entries: T[] = [];
  while (list.at < list.end) entries.push(read(list));
  return entries;
}

function readText(cursor: Cursor, prefix: number): string {
  const { bytes, at, end } = readVector(cursor, prefix, 1);
  return bytes.toString("latin1", at, end);
}
