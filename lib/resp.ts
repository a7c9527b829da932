/**
 * The Redis serialization protocol, RESP2 and RESP3: commands are written, replies are read as they
 * come in, in pieces of any size. Pure; needs number.ts.
 *
 * Refuses whatever isn't a reply by the letter, numbers that aren't digits, RESP3's streamed types,
 * and what is over the limits, before anything is allocated for it. A bulk string that is too long
 * is no fault of the connection: it is passed over, and a TooLong stands for it. Linear in time.
 */
import { Buffer } from "node:buffer";
import { parseDecimal } from "./number.ts";

const CRLF = Buffer.from("\r\n");
const LF = 0x0a;
/** The protocol's own limit for a bulk string. */
const MAX_BULK = 512 * 1024 * 1024;
/** Digits of a big number: reading one takes more than linear time. */
const MAX_DIGITS = 400;
/** Signed 64 bits have no more. */
const INTEGER = /^[+-]?\d{1,19}$/;
const DOUBLE = /^(nan|[+-]?inf|[+-]?\d+(\.\d+)?([eE][+-]?\d+)?)$/;

export interface RespLimits {
  /** Bytes of a line without CRLF, and of a bulk string. */
  readonly line: number;
  readonly bulk: number;
  /** Of one reply: bytes of all bulk strings that are kept, items of all aggregates, levels. */
  readonly reply: number;
  readonly items: number;
  readonly depth: number;
}

/** What was received is no reply, or is over the limits: the connection is of no use any more. */
export class RespError extends Error {
  override readonly name = "RespError";
}

/** An error that the server answered; `code` is its first word: `WRONGTYPE`. */
export class ErrorReply extends Error {
  override readonly name = "ErrorReply";
  get code(): string {
    return /^[A-Z]+/.exec(this.message)?.[0] ?? "";
  }
}

/** Stands for a bulk string that was over the limit. */
export class TooLong {
  readonly bytes: number;
  constructor(bytes: number) {
    this.bytes = bytes;
  }
}

/** What a RESP3 server says without being asked. */
export class Push {
  readonly values: readonly Reply[];
  constructor(values: readonly Reply[]) {
    this.values = values;
  }
}

/**
 * Bulk and verbatim strings are bytes, simple strings text; integers beyond 2^53 and big numbers
 * are bigints. Maps are arrays of keys and values in turn. RESP2's two kinds of null are null.
 */
export type Reply =
  | Buffer
  | string
  | number
  | bigint
  | boolean
  | null
  | ErrorReply
  | TooLong
  | readonly Reply[];

/** A command as servers take it: an array of bulk strings. Text is sent as UTF-8. */
export function formatCommand(words: readonly (string | Uint8Array)[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = typeof word === "string" ? Buffer.from(word) : word;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, CRLF);
  }
  return Buffer.concat(parts);
}

/** An aggregate of which items are missing. */
interface Aggregate {
  readonly type: string;
  left: number;
  readonly values: Reply[];
}

/** A bulk string that isn't complete: `kept` has it from byte `from` on, and the CRLF. */
interface Bulk {
  readonly type: string;
  readonly size: number;
  readonly from: number;
  readonly kept: Buffer;
  at: number;
}

export class RespReader {
  readonly #limits: RespLimits;
  #line: Buffer[] = [];
  #lineBytes = 0;
  #bulk: Bulk | undefined;
  #open: Aggregate[] = [];
  /** Of the reply that is being read. */
  #items = 0;
  #bytes = 0;
  #complete: (Reply | Push)[] = [];

  constructor(limits: RespLimits) {
    this.#limits = limits;
  }

  /** The replies that these bytes complete; the bytes may be used again. Throws RespError. */
  push(bytes: Buffer): (Reply | Push)[] {
    this.#complete = [];
    for (let at = 0; at < bytes.length;) {
      at = this.#bulk === undefined ? this.#readLine(bytes, at) : this.#readBulk(bytes, at);
    }
    return this.#complete;
  }

  #readLine(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(LF, from);
    const part = bytes.subarray(from, end < 0 ? bytes.length : end);
    this.#lineBytes += part.length;
    if (this.#lineBytes > this.#limits.line + 1) {
      throw new RespError(`a line is over ${this.#limits.line} bytes`);
    }
    if (end < 0) {
      this.#line.push(Buffer.from(part));
      return bytes.length;
    }
    const line = Buffer.concat([...this.#line, part]).toString();
    this.#line = [];
    this.#lineBytes = 0;
    if (line === "" || line.indexOf("\r") !== line.length - 1) {
      throw new RespError("a line doesn't end in CRLF");
    }
    this.#onLine(line.slice(0, 1), line.slice(1, -1));
    return end + 1;
  }

  #onLine(type: string, text: string): void {
    switch (type) {
      case "+":
        return this.#add(text);
      case "-":
        return this.#add(new ErrorReply(text));
      case ":":
        return this.#add(readInteger(text));
      case ",":
        return this.#add(readDouble(text));
      case "(":
        return this.#add(readBigNumber(text));
      case "#":
        if (text !== "t" && text !== "f") throw new RespError("a boolean is neither t nor f");
        return this.#add(text === "t");
      case "_":
        if (text !== "") throw new RespError("a null has a value");
        return this.#add(null);
      case "$":
      case "!":
      case "=":
        return this.#startBulk(type, text);
      case "*":
      case "~":
      case "%":
      case "|":
      case ">":
        return this.#startAggregate(type, text);
      default:
        throw new RespError("a reply is of no known type");
    }
  }

  #startBulk(type: string, text: string): void {
    if (type === "$" && text === "-1") return this.#add(null);
    const size = parseDecimal(text, MAX_BULK);
    if (size === undefined) throw new RespError("a bulk string's length is none, or too large");
    const fits = size <= this.#limits.bulk && this.#bytes + size <= this.#limits.reply;
    if (fits) this.#bytes += size;
    const from = fits ? 0 : size;
    this.#bulk = { type, size, from, kept: Buffer.allocUnsafe(size - from + 2), at: 0 };
  }

  #readBulk(bytes: Buffer, start: number): number {
    const bulk = this.#bulk!;
    const { from, kept, type, size } = bulk;
    const passed = Math.max(0, Math.min(from - bulk.at, bytes.length - start));
    bulk.at += passed;
    const at = start + passed;
    const count = bulk.at < from ? 0 : bytes.copy(kept, bulk.at - from, at);
    bulk.at += count;
    if (bulk.at < size + 2) return at + count;
    this.#bulk = undefined;
    if (!kept.subarray(-2).equals(CRLF)) throw new RespError("a bulk string isn't as long as said");
    this.#add(from > 0 ? new TooLong(size) : ofBulk(type, kept.subarray(0, size)));
    return at + count;
  }

  #startAggregate(type: string, text: string): void {
    if (type === "*" && text === "-1") return this.#add(null);
    const { items, depth } = this.#limits;
    const pairs = type === "%" || type === "|";
    const count = parseDecimal(text, items);
    if (count === undefined) throw new RespError("a number of items is none, or too large");
    const left = pairs ? 2 * count : count;
    this.#items += left;
    if (this.#items > items) throw new RespError(`a reply has over ${items} items`);
    if (this.#open.length >= depth) throw new RespError(`a reply has over ${depth} levels`);
    if (type === ">" && this.#open.length > 0) throw new RespError("a push is in a reply");
    this.#open.push({ type, left, values: [] });
    if (left === 0) this.#close();
  }

  /** A value is complete: the reply, or the next item of what is open. */
  #add(value: Reply): void {
    const inner = this.#open.at(-1);
    if (inner === undefined) return this.#end(value);
    inner.values.push(value);
    if (--inner.left === 0) this.#close();
  }

  /** The innermost aggregate is complete; attributes are about what follows, and nobody asks. */
  #close(): void {
    const { type, values } = this.#open.pop()!;
    if (type === ">") this.#end(new Push(values));
    else if (type !== "|") this.#add(values);
  }

  #end(reply: Reply | Push): void {
    this.#complete.push(reply);
    this.#items = this.#bytes = 0;
  }
}

/** The bytes are of a buffer of their own. */
function ofBulk(type: string, bytes: Buffer): Reply {
  if (type === "!") return new ErrorReply(bytes.toString());
  if (type === "$") return bytes;
  // Three letters say what it is, and a colon follows them.
  if (bytes[3] !== 0x3a) throw new RespError("a verbatim string has no type");
  return bytes.subarray(4);
}

function readInteger(text: string): number | bigint {
  if (!INTEGER.test(text)) throw new RespError("an integer isn't one");
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text.replace("+", ""));
}

function readBigNumber(text: string): bigint {
  if (text.length <= MAX_DIGITS && /^[+-]?\d+$/.test(text)) return BigInt(text.replace("+", ""));
  throw new RespError("a big number isn't one, or too large");
}

function readDouble(text: string): number {
  if (!DOUBLE.test(text)) throw new RespError("a double isn't one");
  if (text === "nan") return NaN;
  return Number(text.replace("inf", "Infinity"));
}
