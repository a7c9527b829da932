/**
 * HTTP/2 frames, read and written, as RFC 9113 sections 3.4, 4 and 6 have them, and PRIORITY_UPDATE
 * of RFC 9218. Section numbers are of RFC 9113. What a list of fields means is in `http2head.ts`.
 *
 * Pure: bytes in, frames out. Needs nothing. Refuses with Http2Error what isn't the client's
 * preface, frames over 16,384 bytes, of a length or on a stream that their type doesn't have,
 * padding longer than what it pads, and blocks of fields that don't end. Unknown types and flags,
 * and reserved bits, are ignored.
 */
import { Buffer } from "node:buffer";

/** What a client sends first (3.4). */
const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Bytes before each frame's payload (4.1), and what a payload has at most, either way (4.2). */
export const FRAME_HEAD = 9, FRAME_LIMIT = 16_384;

/** Frames that a block comes in beside those that it needs: empty ones cost, and bring nothing. */
const SPARE_CONTINUATIONS = 8; // CVE-2024-27316

/** The largest window, and the largest stream identifier (6.9.1, 5.1.1). */
export const MAX_31_BITS = 0x7fff_ffff;

/** Windows before anyone says otherwise, in bytes (6.9.2). */
export const DEFAULT_WINDOW = 65_535;

/** Types of frames (6; RFC 9218 section 7.1). */
export const DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4, PUSH_PROMISE = 5;
export const PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8, CONTINUATION = 9, PRIORITY_UPDATE = 16;

/** Flags; ACK is for SETTINGS and PING, PRIORITIZED for HEADERS. */
export const END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITIZED = 32;

/** Section 7. */
export const NO_ERROR = 0, PROTOCOL_ERROR = 1, INTERNAL_ERROR = 2, FLOW_CONTROL_ERROR = 3;
export const SETTINGS_TIMEOUT = 4, STREAM_CLOSED = 5, FRAME_SIZE_ERROR = 6, REFUSED_STREAM = 7;
export const CANCEL = 8, COMPRESSION_ERROR = 9, ENHANCE_YOUR_CALM = 11;

/** Settings (6.5.2; RFC 8441 section 3; RFC 9218 section 2.1). */
export const HEADER_TABLE_SIZE = 1, ENABLE_PUSH = 2, MAX_CONCURRENT_STREAMS = 3;
export const INITIAL_WINDOW_SIZE = 4, MAX_FRAME_SIZE = 5, MAX_HEADER_LIST_SIZE = 6;
export const ENABLE_CONNECT_PROTOCOL = 8, NO_RFC7540_PRIORITIES = 9;

/** What ends a stream, or with stream 0 the connection (5.4). `code` is one of section 7. */
export class Http2Error extends Error {
  override readonly name = "Http2Error";
  readonly code: number;
  readonly stream: number;
  constructor(stream: number, code: number, message: string) {
    super(message);
    this.code = code;
    this.stream = stream;
  }
}

/** Where a frame may be, and which lengths its payload may have. */
interface FrameRule {
  readonly name: string;
  readonly on: "a stream" | "stream 0" | "either";
  readonly fits: (length: number) => boolean;
}

const anyLength = (): boolean => true;

const RULES: readonly (FrameRule | undefined)[] = [
  { name: "DATA", on: "a stream", fits: anyLength },
  { name: "HEADERS", on: "a stream", fits: anyLength },
  { name: "PRIORITY", on: "a stream", fits: (length) => length === 5 },
  { name: "RST_STREAM", on: "a stream", fits: (length) => length === 4 },
  { name: "SETTINGS", on: "stream 0", fits: (length) => length % 6 === 0 },
  { name: "PUSH_PROMISE", on: "a stream", fits: anyLength },
  { name: "PING", on: "stream 0", fits: (length) => length === 8 },
  { name: "GOAWAY", on: "stream 0", fits: (length) => length >= 8 },
  { name: "WINDOW_UPDATE", on: "either", fits: (length) => length === 4 },
  { name: "CONTINUATION", on: "a stream", fits: anyLength },
  ...Array<undefined>(6).fill(undefined),
  { name: "PRIORITY_UPDATE", on: "stream 0", fits: (length) => length >= 4 },
];

/** A block of fields that comes in several frames (4.3). */
interface Block {
  readonly stream: number;
  readonly flags: number;
  readonly parts: Buffer[];
  bytes: number;
}

/**
 * Takes frames out of a connection's bytes, however they were cut: `push`, then `next` until it is
 * false. HEADERS come with their CONTINUATION frames, as one. Payloads aren't copied unless they
 * came in pieces, of which one frame's or block's are kept; but with `parts`, DATA that has come in
 * part is given away at once, as a frame that doesn't end its stream, and its rest as others.
 */
export class FrameReader {
  // The frame that `next` found, reserved bits left out:
  type = 0;
  flags = 0;
  stream = 0;
  /** Where its payload is: of HEADERS the block alone, of DATA with padding until `unpad`. */
  bytes: Buffer = PREFACE;
  start = 0;
  end = 0;
  /** HEADERS whose priority says that the stream depends on itself (RFC 7540 section 5.3.1). */
  selfDependent = false;

  /** Bytes of the preface that have come. */
  #greeted = 0;
  #chunk: Buffer = EMPTY;
  #pos = 0;
  #partial: Buffer = EMPTY;
  #partialLength = 0;
  readonly #parts: boolean;
  /** Bytes that are to come of a DATA frame of which a part was given away, and its flags. */
  #rest = 0;
  #restFlags = 0;
  readonly #blockLimit: number;
  #block: Block | undefined;

  /** `blockLimit` in bytes, compressed. */
  constructor(blockLimit: number, parts = false) {
    this.#blockLimit = blockLimit;
    this.#parts = parts;
  }

  /** The chunk must stay as it is until `keep`, no longer. */
  push(chunk: Buffer): void {
    const left = this.#chunk.subarray(this.#pos);
    this.#chunk = left.length === 0 ? chunk : Buffer.concat([left, chunk]);
    this.#pos = 0;
  }

  /** Copies what `next` has left, where the chunk was borrowed. */
  keep(): void {
    this.#chunk = this.#pos < this.#chunk.length
      ? Buffer.from(this.#chunk.subarray(this.#pos))
      : EMPTY;
    this.#pos = 0;
  }

  /** The stream of a DATA frame that has come in part; 0 when there is none. */
  get arriving(): number {
    const partial = this.#partial;
    return this.#partialLength >= FRAME_HEAD && partial[3] === DATA ? readUint31(partial, 5) : 0;
  }

  /** A part of the preface, of a block, or of a frame that isn't DATA, waits for its rest. */
  get waiting(): boolean {
    if (this.#greeted < PREFACE.length || this.#block !== undefined) return true;
    return this.#partialLength > 0 && this.arriving === 0;
  }

  /** Whether there is another whole frame. Throws Http2Error. */
  next(): boolean {
    if (this.#greeted < PREFACE.length && !this.#readPreface()) return false;
    if (this.#rest > 0) return this.#takeRest();
    while (this.#take()) {
      const { bytes, start } = this;
      this.type = bytes[start + 3];
      this.flags = bytes[start + 4];
      this.stream = readUint31(bytes, start + 5);
      this.start += FRAME_HEAD;
      this.#checkTurn();
      this.#check(RULES[this.type]);
      if (this.#isWhole()) return true;
    }
    return false;
  }

  /** Between HEADERS and the last CONTINUATION nothing else may come (4.3). */
  #checkTurn(): void {
    const expected = this.#block?.stream;
    const fits = this.type === CONTINUATION ? this.stream === expected : expected === undefined;
    if (fits) return;
    throw refused(PROTOCOL_ERROR, "not the CONTINUATION that has to come, or one too many");
  }

  #isWhole(): boolean {
    const { type, flags, stream } = this;
    if (this.#block !== undefined) return this.#gather(this.#block);
    if (this.#rest > 0) { // of DATA
      this.#restFlags = flags;
      this.flags &= ~END_STREAM;
    }
    if (type !== HEADERS) return true;
    this.unpad();
    this.#takePriority();
    if ((flags & END_HEADERS) !== 0) return true;
    return this.#gather(this.#block = { stream, flags, parts: [], bytes: 0 });
  }

  #gather(block: Block): boolean {
    block.bytes += this.end - this.start;
    block.parts.push(Buffer.from(this.payload()));
    const frames = Math.ceil(this.#blockLimit / FRAME_LIMIT) + SPARE_CONTINUATIONS;
    if (block.bytes > this.#blockLimit || block.parts.length > frames) {
      const limits = `${this.#blockLimit} bytes or ${frames} frames`;
      throw refused(ENHANCE_YOUR_CALM, `a block of fields over ${limits}`);
    }
    if ((this.flags & END_HEADERS) === 0) return false;
    this.#block = undefined;
    this.type = HEADERS;
    this.flags = block.flags;
    this.bytes = Buffer.concat(block.parts);
    this.start = 0;
    this.end = block.bytes;
    return true;
  }

  /** The payload, or what is left of it. */
  payload(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  /** Takes padding off (6.1), the last thing in a frame. */
  unpad(): void {
    if ((this.flags & PADDED) === 0) return;
    const padding = this.start < this.end ? this.bytes[this.start] : Infinity;
    this.start++;
    this.end -= padding;
    if (this.end < this.start) throw refused(PROTOCOL_ERROR, "more padding than payload");
  }

  /** Takes the priority off that HEADERS may have, behind the padding's length (6.2). */
  #takePriority(): void {
    this.selfDependent = false;
    if ((this.flags & PRIORITIZED) === 0) return;
    if (this.end - this.start < 5) throw refused(FRAME_SIZE_ERROR, "HEADERS without a priority");
    this.selfDependent = readUint31(this.bytes, this.start) === this.stream;
    this.start += 5;
  }

  #readPreface(): boolean {
    const chunk = this.#chunk;
    while (this.#greeted < PREFACE.length) {
      if (this.#pos === chunk.length) return false;
      if (chunk[this.#pos++] !== PREFACE[this.#greeted++]) {
        throw refused(PROTOCOL_ERROR, "the connection doesn't begin with HTTP/2's preface");
      }
    }
    return true;
  }

  /** Sets where the next frame is, its head included. */
  #take(): boolean {
    const left = this.#chunk.length - this.#pos;
    if (this.#partialLength > 0 || left < FRAME_HEAD) return left > 0 && this.#collect();
    const size = FRAME_HEAD + frameLength(this.#chunk, this.#pos);
    if (left < size) {
      if (!this.#canPart(left)) return this.#collect();
      this.#rest = size - left;
    }
    this.bytes = this.#chunk;
    this.start = this.#pos;
    this.end = this.#pos += size - this.#rest;
    return true;
  }

  /** Whether what has come of a frame can be given away: padding says its length first. */
  #canPart(left: number): boolean {
    const at = this.#pos, chunk = this.#chunk;
    return this.#parts && left > FRAME_HEAD && chunk[at + 3] === DATA &&
      (chunk[at + 4] & PADDED) === 0;
  }

  /** More of the DATA frame that the last part was of. */
  #takeRest(): boolean {
    const count = Math.min(this.#rest, this.#chunk.length - this.#pos);
    if (count === 0) return false;
    this.bytes = this.#chunk;
    this.start = this.#pos;
    this.end = this.#pos += count;
    this.#rest -= count;
    if (this.#rest === 0) this.flags = this.#restFlags;
    return true;
  }

  /** Puts a frame together: its head first, which says how much room the rest needs. */
  #collect(): boolean {
    for (;;) {
      const had = this.#partialLength;
      const size = had < FRAME_HEAD ? FRAME_HEAD : FRAME_HEAD + frameLength(this.#partial, 0);
      if (this.#partial.length < size) {
        const grown = Buffer.allocUnsafe(size);
        this.#partial.copy(grown, 0, 0, had);
        this.#partial = grown;
      }
      const copied = this.#chunk.copy(this.#partial, had, this.#pos, this.#pos + size - had);
      this.#pos += copied;
      this.#partialLength += copied;
      if (this.#partialLength < size) return false;
      if (size > FRAME_HEAD || frameLength(this.#partial, 0) === 0) break;
    }
    this.bytes = this.#partial;
    this.start = 0;
    this.end = this.#partialLength;
    this.#partial = EMPTY;
    this.#partialLength = 0;
    return true;
  }

  #check(rule: FrameRule | undefined): void {
    if (rule === undefined) return;
    const { name, on, fits } = rule;
    if (on !== "either" && (on === "stream 0") !== (this.stream === 0)) {
      throw refused(PROTOCOL_ERROR, `${name} that isn't on ${on}`);
    }
    if (fits(this.end - this.start)) return;
    // The only one that changes nothing (4.2).
    const stream = this.type === PRIORITY ? this.stream : 0;
    throw new Http2Error(stream, FRAME_SIZE_ERROR, `${name} of a length that it can't have`);
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

const refused = (code: number, message: string): Http2Error => new Http2Error(0, code, message);

function frameLength(bytes: Buffer, at: number): number {
  const length = bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2];
  if (length <= FRAME_LIMIT) return length;
  throw refused(FRAME_SIZE_ERROR, `a frame of more than ${FRAME_LIMIT} bytes`);
}

/** A number of 31 bits; the one before them is reserved. */
export function readUint31(bytes: Buffer, at: number): number {
  return (bytes[at] & 0x7f) << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
}

/** The values that a setting may have, and the error that another one is (6.5.2). */
const SETTING_RANGES: ReadonlyMap<number, readonly [min: number, max: number, error: number]> =
  new Map([
    [ENABLE_PUSH, [0, 1, PROTOCOL_ERROR]],
    [INITIAL_WINDOW_SIZE, [0, MAX_31_BITS, FLOW_CONTROL_ERROR]],
    [MAX_FRAME_SIZE, [FRAME_LIMIT, 0xff_ffff, PROTOCOL_ERROR]],
    [ENABLE_CONNECT_PROTOCOL, [0, 1, PROTOCOL_ERROR]],
    [NO_RFC7540_PRIORITIES, [0, 1, PROTOCOL_ERROR]],
  ]);

/** Reads a SETTINGS frame's payload: `[identifier, value, …]`. Throws Http2Error. */
export function parseSettings(bytes: Buffer, start: number, end: number): number[] {
  const settings: number[] = [];
  for (let at = start; at < end; at += 6) {
    const id = bytes.readUInt16BE(at), value = bytes.readUInt32BE(at + 2);
    const [min, max, error] = SETTING_RANGES.get(id) ?? ANY;
    if (value < min || value > max) throw refused(error, `the setting ${id} can't be ${value}`);
    settings.push(id, value);
  }
  return settings;
}

const ANY = [0, Infinity, NO_ERROR] as const;

/** Writes what comes before a payload, and says where that goes. */
export function writeFrameHead(
  to: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): number {
  to[at] = length >> 16;
  to[at + 1] = length >> 8;
  to[at + 2] = length;
  to[at + 3] = type;
  to[at + 4] = flags;
  return writeUint32(to, at + 5, stream);
}

export function writeUint32(to: Buffer, at: number, value: number): number {
  to[at] = value >>> 24;
  to[at + 1] = value >>> 16;
  to[at + 2] = value >>> 8;
  to[at + 3] = value;
  return at + 4;
}

/** A SETTINGS frame with `[identifier, value, …]`. */
export function formatSettings(settings: readonly number[]): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD + 3 * settings.length);
  let at = writeFrameHead(frame, 0, 3 * settings.length, SETTINGS, 0, 0);
  for (let i = 0; i < settings.length; i += 2) {
    at = frame.writeUInt16BE(settings[i], at);
    at = frame.writeUInt32BE(settings[i + 1], at);
  }
  return frame;
}
