/**
 * Takes HTTP/1.1 messages out of a connection's bytes: heads as text, bodies with their framing
 * undone (RFC 9112 sections 6 and 7), however the bytes were cut.
 *
 * Pure. Needs `http1.ts` and `number.ts`. Refuses a bare LF, a chunk size that isn't hexadecimal
 * digits, a chunk longer than its size, extensions that aren't well formed or too many.
 */
import { Buffer } from "node:buffer";
import {
  type BodyLength,
  CHUNKED,
  CR,
  type HeadLimits,
  Http1Error,
  LF,
  parseFields,
  UNTIL_CLOSE,
} from "./http1.ts";
import { parseHex } from "./number.ts";

/** A chunk's size line with its extensions, in bytes; nobody sends more than a few. */
const CHUNK_LINE_LIMIT = 1024;
/** More bytes of extensions than of data, by this much, are an attack (CVE-2023-39326). */
const CHUNK_EXT_LIMIT = 16 * 1024;

const CRLF: Buffer = Buffer.from("\r\n");
const CRLF_CRLF: Buffer = Buffer.from("\r\n\r\n");
const EMPTY: Buffer = Buffer.alloc(0);

const BWS = "[ \\t]*";
const NAME = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED =
  '"(?:[\\t\\x20\\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*"';
/** `*( BWS ";" BWS name [ BWS "=" BWS value ] ) CRLF`: no two parts can match the same text. */
const CHUNK_EXT = new RegExp(
  `^(?:${BWS};${BWS}${NAME}(?:${BWS}=${BWS}(?:${NAME}|${QUOTED}))?)*\\r\\n$`,
);

/** What a body's reader found next. */
export const MORE = 0, DATA = 1, END = 2;
type BodyEvent = typeof MORE | typeof DATA | typeof END;

/**
 * The places in a chunked body (RFC 9112 section 7.1):
 *
 *     SIZE ─ size ext CRLF ─> DATA ─ n bytes ─> DATA_CRLF ─> SIZE …
 *       └── 0 ext CRLF ─────> TRAILERS ─ *( field CRLF ) CRLF ─> END
 */
const SIZE = 0, CHUNK_DATA = 1, DATA_CRLF = 2, TRAILERS = 3;

/**
 * Takes a connection's bytes as they come and gives messages when asked: `readHead` until there
 * is one, `startBody` with its length, `readBody` until END, and again. Whoever doesn't ask
 * leaves the bytes where they are, which is how a body is paused and pipelined requests wait.
 * Each byte is looked at a bounded number of times, however the bytes were cut.
 */
export class MessageReader {
  /** The bytes of the last DATA: a view, valid until the next push of a reused buffer. */
  data: Buffer = EMPTY;
  /** The trailer fields, once readBody said END. */
  trailers: string[] = [];

  readonly #limits: HeadLimits;
  #chunk: Buffer = EMPTY;
  #pos = 0;
  /** The chunk is the caller's buffer, not a copy. */
  #borrowed = false;
  /** Collects what is pushed while the chunk isn't used up. */
  #queue: Buffer = EMPTY;
  #queueLength = 0;
  /** Collects a head or a line that came in pieces. */
  #partial: Buffer = EMPTY;
  #partialLength = 0;
  #length: BodyLength = 0;
  /** Bytes left of the body or of the chunk; in trailers, of what they may have. */
  #left = 0;
  #place: number = SIZE;
  #extBytes = 0;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  push(chunk: Buffer): void {
    if (this.#pos === this.#chunk.length && this.#queueLength === 0) {
      this.#chunk = chunk;
      this.#pos = 0;
      this.#borrowed = true;
    } else {
      this.#queue = reserve(this.#queue, this.#queueLength, this.#queueLength + chunk.length);
      this.#queueLength += chunk.copy(this.#queue, this.#queueLength);
    }
  }

  /** Bytes that wait, part of a head included. */
  get buffered(): number {
    return this.#chunk.length - this.#pos + this.#queueLength + this.#partialLength;
  }

  /** Takes all that waits, as after a 101 answer. */
  takeRest(): Buffer {
    const partial = this.#partial.subarray(0, this.#partialLength);
    const queue = this.#queue.subarray(0, this.#queueLength);
    const rest = Buffer.concat([partial, this.#chunk.subarray(this.#pos), queue]);
    this.#chunk = this.#partial = this.#queue = EMPTY;
    this.#pos = this.#partialLength = this.#queueLength = 0;
    return rest;
  }

  /** Copies what waits out of a buffer that its owner is about to use again. */
  keep(): void {
    if (!this.#borrowed || this.#pos === this.#chunk.length) return;
    this.#chunk = Buffer.from(this.#chunk.subarray(this.#pos));
    this.#pos = 0;
    this.#borrowed = false;
  }

  /**
   * The next head without its blank line, undefined until it is whole. Empty lines before it are
   * skipped (RFC 9112 section 2.2). Throws Http1Error: 400, 414 or 431.
   */
  readHead(): string | undefined {
    for (;;) {
      const text = this.#readUntil(CRLF_CRLF, this.#limits.bytes, CRLF.length);
      if (text === undefined) return this.#dropEmptyLine();
      let start = 0;
      while (text.charCodeAt(start) === CR && text.charCodeAt(start + 1) === LF) start += 2;
      if (start < text.length) return text.slice(start);
    }
  }

  /** An empty line alone isn't the beginning of a head: who sent just that is idle. */
  #dropEmptyLine(): undefined {
    const partial = this.#partial;
    if (this.#partialLength === 2 && partial[0] === CR && partial[1] === LF) {
      this.#partialLength = 0;
    }
  }

  startBody(length: BodyLength): void {
    this.#length = length;
    this.#left = length > 0 ? length : 0;
    this.#place = SIZE;
    this.#extBytes = 0;
    if (this.trailers.length > 0) this.trailers = [];
  }

  /** DATA with `data` set, END with `trailers` set, or MORE bytes are needed; throws Http1Error. */
  readBody(): BodyEvent {
    if (this.#length === CHUNKED) return this.#readChunked();
    if (this.#length === UNTIL_CLOSE) return this.#take(Infinity) ? DATA : MORE;
    if (this.#left === 0) return END;
    return this.#take(this.#left) ? DATA : MORE;
  }

  /** Whether the message may end here because the connection did. */
  get endsWithConnection(): boolean {
    return this.#length === UNTIL_CLOSE;
  }

  #readChunked(): BodyEvent {
    for (;;) {
      if (this.#place === CHUNK_DATA) {
        if (this.#left > 0) return this.#take(this.#left) ? DATA : MORE;
        this.#place = DATA_CRLF;
      }
      if (this.#place === TRAILERS) return this.#readTrailers();
      const line = this.#readUntil(CRLF, this.#place === DATA_CRLF ? 2 : CHUNK_LINE_LIMIT, 0);
      if (line === undefined) return MORE;
      if (this.#place === DATA_CRLF) this.#place = SIZE;
      else if ((this.#left = this.#chunkSize(line)) > 0) this.#place = CHUNK_DATA;
      else {
        this.#place = TRAILERS;
        this.#left = this.#limits.bytes;
      }
    }
  }

  /** `chunk-size [ chunk-ext ] CRLF`; extensions are checked and dropped (section 7.1.1). */
  #chunkSize(line: string): number {
    const sizeEnd = line.search(/[^0-9A-Fa-f]/);
    const size = parseHex(line.slice(0, sizeEnd));
    if (size === undefined) throw new Http1Error(400, "a chunk's size isn't hexadecimal digits");
    if (sizeEnd !== line.length - 2) {
      if (!CHUNK_EXT.test(line.slice(sizeEnd))) {
        throw new Http1Error(400, "a chunk's extension isn't well formed");
      }
      this.#extBytes += line.length - sizeEnd;
      if (this.#extBytes > CHUNK_EXT_LIMIT) throw new Http1Error(400, "too many chunk extensions");
    }
    this.#extBytes = Math.max(0, this.#extBytes - size);
    return size;
  }

  #readTrailers(): BodyEvent {
    for (;;) {
      const line = this.#readUntil(CRLF, this.#left, 0);
      if (line === undefined) return MORE;
      if (line === "\r\n") {
        this.#length = this.#left = 0;
        return END;
      }
      this.#left -= line.length;
      this.trailers.push(...parseFields(line, 0, 1));
      const { fields } = this.#limits;
      if (this.trailers.length > 2 * fields) {
        throw new Http1Error(431, `more than ${fields} trailer fields`);
      }
    }
  }

  /** Sets `data` to what there is of the next `left` bytes; false when there is nothing. */
  #take(left: number): boolean {
    if (!this.#advance()) return false;
    const end = Math.min(this.#chunk.length, this.#pos + left);
    this.data = this.#pos === 0 && end === this.#chunk.length
      ? this.#chunk
      : this.#chunk.subarray(this.#pos, end);
    this.#left -= end - this.#pos;
    this.#pos = end;
    return true;
  }

  #advance(): boolean {
    if (this.#pos < this.#chunk.length) return true;
    if (this.#queueLength === 0) return false;
    this.#chunk = this.#queue.subarray(0, this.#queueLength);
    this.#pos = this.#queueLength = 0;
    this.#queue = EMPTY;
    this.#borrowed = false;
    return true;
  }

  /**
   * Text up to `end`, but for the last `cut` bytes of it, undefined until it is there; a bare LF is
   * an error at once. It isn't cut later, as a part of a text is slower to look through.
   */
  #readUntil(end: Buffer, limit: number, cut: number): string | undefined {
    while (this.#advance()) {
      if (this.#partialLength === 0) {
        const at = this.#chunk.indexOf(end, this.#pos);
        if (at >= 0 && at + end.length - this.#pos <= limit) {
          const text = this.#chunk.toString("latin1", this.#pos, at + end.length - cut);
          this.#pos = at + end.length;
          return text;
        }
      }
      const text = this.#collect(end, limit, cut);
      if (text !== undefined) return text;
    }
    return undefined;
  }

  /** The slow way: moves the chunk's bytes to the partial buffer and looks for `end` there. */
  #collect(end: Buffer, limit: number, cut: number): string | undefined {
    const from = this.#partialLength;
    const added = Math.min(this.#chunk.length - this.#pos, limit - from);
    this.#partial = reserve(this.#partial, from, from + added);
    this.#chunk.copy(this.#partial, from, this.#pos, this.#pos + added);
    const partial = this.#partial.subarray(0, from + added);
    const at = partial.indexOf(end, Math.max(0, from - end.length + 1));
    const length = at < 0 ? partial.length : at + end.length;
    refuseBareLf(partial.subarray(0, length), from);
    if (at < 0 && length === limit) throw this.#tooLong(partial, limit);
    this.#pos += length - from;
    this.#partialLength = at < 0 ? length : 0;
    if (at < 0) return undefined;
    const text = partial.toString("latin1", 0, length - cut);
    this.#partial = EMPTY;
    return text;
  }

  #tooLong(bytes: Buffer, limit: number): Http1Error {
    if (this.#length !== CHUNKED) {
      // A target longer than the server wants to read has a status of its own (RFC 9112 section 3).
      const [status, what] = bytes.indexOf(CR) < 0 ? [414, "first line"] : [431, "head"];
      return new Http1Error(status, `the ${what} is over ${limit} bytes`);
    }
    if (this.#place === DATA_CRLF) return new Http1Error(400, "a chunk is longer than it says");
    if (this.#place === SIZE) return new Http1Error(400, `a chunk line is over ${limit} bytes`);
    return new Http1Error(431, `the trailers are over ${this.#limits.bytes} bytes`);
  }
}

/** Room for `size` bytes, of which `used` are there; doubles, so that byte by byte is linear. */
function reserve(buffer: Buffer, used: number, size: number): Buffer {
  if (size <= buffer.length) return buffer;
  const grown = Buffer.allocUnsafe(Math.max(256, 2 * size));
  buffer.copy(grown, 0, 0, used);
  return grown;
}

/** Some end lines at a bare LF, others don't: the oldest way to smuggle a field. */
function refuseBareLf(bytes: Buffer, from: number): void {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (at === 0 || bytes[at - 1] !== CR) throw new Http1Error(400, "a line ends with a bare LF");
  }
}
