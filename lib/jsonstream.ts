/**
 * JSON objects one after another, as streaming APIs send them: with a line feed between them, a
 * record separator before each (RFC 7464), or nothing. Pure; needs nothing.
 *
 * Refuses anything else between objects, and objects that are too long. It finds where an object
 * ends, by braces outside of strings; whether it is JSON is for JSON.parse. Each byte is looked at
 * once, however the bytes were cut.
 */
import { Buffer } from "node:buffer";

const [OPEN, CLOSE, QUOTE, BACKSLASH] = [0x7b, 0x7d, 0x22, 0x5c];
/** What may stand between objects: JSON's white space and the record separator. */
const BETWEEN: readonly number[] = [0x20, 0x09, 0x0a, 0x0d, 0x1e];

export class JsonStream {
  readonly #limit: number;
  /** What came of the object at hand, in one buffer that grows: bytes one by one cost just that. */
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** `limit`: bytes of one object. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The texts of the objects that are whole now; throws an Error, after which it's of no use. */
  push(chunk: Buffer): string[] {
    const texts: string[] = [];
    let start = 0; // of what belongs to the object at hand
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.#depth === 0) {
        start = at;
        if (byte === OPEN) this.#depth = 1;
        else if (!BETWEEN.includes(byte)) throw new Error("the stream isn't of JSON objects");
      } else if (this.#closes(byte)) {
        texts.push(this.#take(chunk.subarray(start, at + 1)));
      }
    }
    if (this.#depth > 0) this.#keep(chunk.subarray(start));
    return texts;
  }

  /** Whether the byte ends the object. */
  #closes(byte: number): boolean {
    if (this.#escaped) this.#escaped = false;
    else if (this.#inString) {
      if (byte === QUOTE) this.#inString = false;
      else if (byte === BACKSLASH) this.#escaped = true;
    } else if (byte === QUOTE) this.#inString = true;
    else if (byte === OPEN) this.#depth++;
    else if (byte === CLOSE) return --this.#depth === 0;
    return false;
  }

  #take(last: Buffer): string {
    this.#keep(last);
    const text = this.#bytes.toString("utf8", 0, this.#length);
    this.#length = 0;
    return text;
  }

  #keep(part: Buffer): void {
    const end = this.#length + part.length;
    if (end > this.#limit) throw new Error(`an object is over ${this.#limit} bytes long`);
    if (end > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes.subarray(0, this.#length)], 2 * end);
    }
    this.#length += part.copy(this.#bytes, this.#length);
  }
}
