/**
 * Messages of the network configuration protocol, by which Centauris get their routes: on one
 * connection, any number of times, `CENTAURI`, version 00 00 00 01, a length as 4 bytes, most
 * significant first, and as many bytes of route configuration. Pure; needs `node:buffer`.
 *
 * A header is refused at its first wrong byte, and a length before anything is allocated for it;
 * memory grows with what has come, not with what was promised.
 */
import { Buffer } from "node:buffer";

/** Bytes of routes, as many as a route file may have. */
const MAX_PAYLOAD = 16 * 1024 * 1024;
/** Bytes that are allocated for a payload at first; twice as many whenever that is too little. */
const FIRST_PART = 64 * 1024;

const MAGIC = "CENTAURI";
/** What each message begins with. */
const START = Buffer.from(`${MAGIC}\0\0\0\x01`, "latin1");
const HEADER = START.length + 4;

/** What comes isn't this protocol; nothing that follows can be read. */
export class ConfigError extends Error {}

/** The bytes of one message. Throws a RangeError for more than 16 MiB of routes. */
export function encodeConfig(text: string): Buffer {
  const length = Buffer.byteLength(text);
  if (length > MAX_PAYLOAD) throw new RangeError(`more than ${MAX_PAYLOAD} bytes of routes`);
  const frame = Buffer.alloc(HEADER + length);
  frame.set(START);
  frame.writeUInt32BE(length, START.length);
  frame.write(text, HEADER);
  return frame;
}

/** Bytes of routes in a message. */
export const payloadLength = (message: Buffer): number => message.length - HEADER;

/** Payloads out of one connection's bytes, however these are cut. */
export class ConfigReader {
  #headerBytes = 0;
  #length = 0;
  /** What there is of the payload, at its beginning. */
  #payload = Buffer.alloc(0);
  #have = 0;

  /** Whether a message has begun and isn't complete. */
  get isMidway(): boolean {
    return this.#headerBytes > 0;
  }

  /** The payloads that these bytes complete. Throws ConfigError, after which it reads no more. */
  push(chunk: Buffer): Buffer[] {
    const payloads: Buffer[] = [];
    for (let at = 0; at < chunk.length;) {
      if (this.#headerBytes < HEADER) this.#readHeader(chunk[at++] as number);
      else at += this.#take(chunk.subarray(at));
      if (this.#headerBytes < HEADER || this.#have < this.#length) continue;
      payloads.push(this.#payload.subarray(0, this.#length));
      this.#payload = Buffer.alloc(0);
      this.#headerBytes = this.#length = this.#have = 0;
    }
    return payloads;
  }

  #readHeader(byte: number): void {
    const at = this.#headerBytes++;
    if (at >= START.length) {
      this.#length = this.#length * 256 + byte;
      if (this.#length <= MAX_PAYLOAD) return;
      throw new ConfigError(`the message is too long: expected at most ${MAX_PAYLOAD} bytes`);
    }
    if (byte === START[at]) return;
    if (at < MAGIC.length) throw new ConfigError(`what it sends doesn't begin with ${MAGIC}`);
    throw new ConfigError("the message has another version: expected 00 00 00 01");
  }

  /** Returns how many of the bytes belong to the payload. */
  #take(bytes: Buffer): number {
    const size = Math.min(bytes.length, this.#length - this.#have);
    const need = this.#have + size;
    if (need > this.#payload.length) {
      const room = Math.max(need, 2 * this.#payload.length, FIRST_PART);
      const larger = Buffer.allocUnsafe(Math.min(room, this.#length));
      larger.set(this.#payload.subarray(0, this.#have));
      this.#payload = larger;
    }
    this.#payload.set(bytes.subarray(0, size), this.#have);
    this.#have = need;
    return size;
  }
}
