/**
 * HPACK, the compression of HTTP/2's field lists (RFC 7541): one decoder and one encoder a
 * connection. Section numbers are of RFC 7541.
 *
 * No I/O; what is kept is the two dynamic tables. Needs `huffman.ts`, `http1.ts` (a type).
 * Refuses what isn't valid with HpackError, after which a connection can't go on: integers of more
 * than 28 bits, indices of nothing, strings and blocks that are cut, wrong Huffman padding, table
 * sizes that weren't allowed or come late. A list that is merely too large is decoded to its end
 * without being stored, so that one stream can be refused (431) and the connection goes on.
 *
 * Names and values are latin1 strings, one character a byte, and not judged here: what RFC 9113
 * section 8.2 forbids in them is for the connection to find.
 */
import { Buffer } from "node:buffer";
import type { FieldLines } from "./http1.ts";
import { huffmanDecode, huffmanEncode, huffmanLength, huffmanRoom } from "./huffman.ts";

/** Bytes of a dynamic table before anyone says otherwise (RFC 9113 section 6.5.2). */
export const DEFAULT_TABLE_SIZE = 4096;

/** Bytes that an entry counts beside its name and value (4.1), as a field does in a list's size. */
const FIELD_OVERHEAD = 32;

/** At most 7 bits each; what is longer has no honest use, whatever its value (5.1). */
const INTEGER_OCTETS = 4;

/** Bytes of a buffer that is kept from string to string; few are longer. */
const KEPT_TEXT = 4096;

/** A larger share of the table isn't worth what it pushes out. */
const ENTRY_SHARE = 3 / 4;

/** With so many values of one name in the table the next one won't be repeated either. */
const VALUES_A_NAME = 8;

/** A block that can't be decoded: COMPRESSION_ERROR for the connection (RFC 9113 section 4.3). */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

export interface Entry {
  readonly name: string;
  readonly value: string;
  readonly size: number;
}

/** Appendix A: index 1 and on; what follows the first space is the value. */
const STATIC_TABLE: readonly Entry[] = (
  ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|" +
  ":status 200|:status 204|:status 206|:status 304|:status 400|:status 404|:status 500|" +
  "accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|" +
  "access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|" +
  "content-encoding|content-language|content-length|content-location|content-range|" +
  "content-type|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|" +
  "if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|" +
  "proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|" +
  "strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
).split("|").map((text) => {
  const [name = "", ...words] = text.split(" ");
  return entryOf(name, words.join(" "));
});

function entryOf(name: string, value: string): Entry {
  return { name, value, size: name.length + value.length + FIELD_OVERHEAD };
}

/** Section 2.3.2: first in, first out, in at most `maxSize` bytes. */
export class DynamicTable<E extends Entry = Entry> {
  /** Bytes of the entries (4.1). */
  size = 0;
  length = 0;
  maxSize: number;
  /** Entries that there ever were: the newest one's number, from 1. */
  inserted = 0;
  readonly #ring: (E | undefined)[];

  /** `maxSize` won't be set higher than here. */
  constructor(maxSize: number) {
    this.maxSize = maxSize;
    const most = Math.floor(maxSize / FIELD_OVERHEAD);
    this.#ring = new Array(2 ** Math.ceil(Math.log2(Math.max(most, 1)))).fill(undefined);
  }

  /** The newest is 0. */
  at(index: number): E | undefined {
    if (index >= this.length) return undefined;
    return this.#ring[(this.inserted - 1 - index) & (this.#ring.length - 1)];
  }

  /** Makes room first; what is larger than the table leaves it empty (4.4). */
  insert(entry: E): void {
    this.#shrink(this.maxSize - entry.size);
    if (entry.size > this.maxSize) return;
    this.#ring[this.inserted++ & (this.#ring.length - 1)] = entry;
    this.size += entry.size;
    this.length++;
  }

  resize(maxSize: number): void {
    this.maxSize = maxSize;
    this.#shrink(maxSize);
  }

  #shrink(size: number): void {
    while (this.size > size && this.length > 0) this.evict();
  }

  protected evict(): E {
    const slot = (this.inserted - this.length) & (this.#ring.length - 1);
    const entry = this.#ring[slot] as E;
    this.#ring[slot] = undefined;
    this.size -= entry.size;
    this.length--;
    return entry;
  }
}

export interface DecoderLimits {
  /** SETTINGS_HEADER_TABLE_SIZE as announced, or the default of 4096; for all the connection. */
  readonly maxTableSize?: number;
  /** Bytes of a list: names, values and 32 for each field (RFC 9113 section 6.5.2). */
  readonly maxListSize: number;
  readonly maxFields: number;
}

export class HpackDecoder {
  readonly table: DynamicTable;
  /** Indices of the names, in the last list, of fields that must never enter a table (6.2.3). */
  neverIndexed: readonly number[] = NONE;
  readonly #limits: DecoderLimits;
  #allowedTableSize: number;
  /** Until the peer has said that its table is no larger, nothing else may come (4.2). */
  #requiredTableSize = Infinity;
  #block: Buffer = EMPTY;
  #pos = 0;
  #end = 0;
  /** What the Huffman code is undone into. */
  #text: Buffer = EMPTY;

  constructor(limits: DecoderLimits) {
    const { maxTableSize = DEFAULT_TABLE_SIZE } = limits;
    this.#limits = limits;
    this.#allowedTableSize = maxTableSize;
    this.table = new DynamicTable(Math.max(maxTableSize, DEFAULT_TABLE_SIZE));
    this.table.resize(DEFAULT_TABLE_SIZE);
  }

  /** The peer has acknowledged a SETTINGS_HEADER_TABLE_SIZE, of at most the first one or 4096. */
  setMaxTableSize(size: number): void {
    this.#allowedTableSize = size;
    if (size < this.table.maxSize) {
      this.#requiredTableSize = Math.min(this.#requiredTableSize, size);
    }
  }

  /**
   * Decodes a whole block, from `start` to `end`: `[name, value, …]`, or undefined when the list is
   * over a limit. Work and memory are linear in the block's bytes, which the caller limits. Throws
   * HpackError.
   */
  decode(block: Buffer, start = 0, end: number = block.length): string[] | undefined {
    this.#block = block;
    this.#pos = start;
    this.#end = end;
    const { maxListSize, maxFields } = this.#limits;
    const fields: string[] = [], never: number[] = [];
    let size = 0;
    this.#readTableSizes();
    while (this.#pos < end) {
      const isNever = (block[this.#pos] & 0xf0) === NEVER_INDEXED;
      const entry = this.#readField();
      // Counted before it is stored: one byte can stand for an entry as large as the table.
      size += entry.size;
      if (size > maxListSize || fields.length >= 2 * maxFields) size = Infinity;
      else {
        if (isNever) never.push(fields.length);
        fields.push(entry.name, entry.value);
      }
    }
    this.#block = EMPTY;
    this.neverIndexed = never;
    return size === Infinity ? undefined : fields;
  }

  /** Section 6.3; at a block's start only, and two if the size was lowered and raised (4.2). */
  #readTableSizes(): void {
    for (let i = 0; this.#pos < this.#end; i++) {
      if ((this.#block[this.#pos] & 0xe0) !== TABLE_SIZE) break;
      const size = this.#readInteger(5);
      if (size > this.#allowedTableSize) throw new HpackError("a larger table than was allowed");
      if (i === 2) throw new HpackError("more than two table sizes");
      if (size <= this.#requiredTableSize) this.#requiredTableSize = Infinity;
      this.table.resize(size);
    }
    if (this.#requiredTableSize !== Infinity) {
      throw new HpackError("the table's size isn't lowered as it was agreed");
    }
  }

  /** Sections 6.1 and 6.2. */
  #readField(): Entry {
    const first = this.#block[this.#pos];
    if (first & INDEXED) return this.#entryAt(this.#readInteger(7));
    if (first & WITH_INDEXING) {
      const entry = this.#readLiteral(6);
      this.table.insert(entry);
      return entry;
    }
    if (first & TABLE_SIZE) throw new HpackError("a table size after a field");
    return this.#readLiteral(4);
  }

  #readLiteral(prefix: number): Entry {
    const index = this.#readInteger(prefix);
    const name = index === 0 ? this.#readString() : this.#entryAt(index).name;
    return entryOf(name, this.#readString());
  }

  /** Section 2.3.3. */
  #entryAt(index: number): Entry {
    const dynamic = index - STATIC_TABLE.length - 1;
    const entry = dynamic < 0 ? STATIC_TABLE[index - 1] : this.table.at(dynamic);
    if (entry === undefined) throw new HpackError(`nothing has the index ${index}`);
    return entry;
  }

  /** Section 5.1. */
  #readInteger(prefix: number): number {
    const mask = (1 << prefix) - 1;
    let value = this.#readByte() & mask;
    if (value < mask) return value;
    for (let i = 0; i < INTEGER_OCTETS; i++) {
      const octet = this.#readByte();
      value += (octet & 0x7f) << (7 * i);
      if (octet < 0x80) return value;
    }
    throw new HpackError(`an integer of more than ${INTEGER_OCTETS} octets`);
  }

  #readByte(): number {
    if (this.#pos >= this.#end) throw new HpackError("the block is cut");
    return this.#block[this.#pos++];
  }

  /** Section 5.2. */
  #readString(): string {
    const huffman = (this.#block[this.#pos] & HUFFMAN) !== 0;
    const length = this.#readInteger(7);
    const start = this.#pos, end = start + length;
    if (end > this.#end) throw new HpackError("the block is cut");
    this.#pos = end;
    if (!huffman) return this.#block.toString("latin1", start, end);
    const text = this.#textBuffer(huffmanRoom(length));
    const decoded = huffmanDecode(this.#block, start, end, text);
    if (decoded < 0) throw new HpackError("a string isn't valid Huffman code");
    return text.toString("latin1", 0, decoded);
  }

  #textBuffer(room: number): Buffer {
    if (room > KEPT_TEXT) return Buffer.allocUnsafe(room);
    if (room > this.#text.length) this.#text = Buffer.allocUnsafe(2 ** Math.ceil(Math.log2(room)));
    return this.#text;
  }
}

const NONE: readonly number[] = [];
const EMPTY: Buffer = Buffer.alloc(0);

/** Section 6: the first bits of each representation; an integer has the others. */
const INDEXED = 0x80, WITH_INDEXING = 0x40, TABLE_SIZE = 0x20;
const NEVER_INDEXED = 0x10, WITHOUT_INDEXING = 0;
/** The first bit of a string. */
const HUFFMAN = 0x80;

/** What becomes of a field that isn't in a table. */
type Policy = "repeated" | "current" | "volatile" | "secret";

/** What isn't here is worth a place in the table: servers say the same with each answer. */
const POLICIES: Readonly<Record<Exclude<Policy, "repeated">, readonly string[]>> = {
  // One value after another, each for all answers of its time.
  current: ["date"],
  // Of one resource or one answer: they would push out the others.
  volatile: [
    ...["age", "content-length", "content-location", "content-range", "etag", "expires"],
    ...["last-modified", "location", "x-request-id"],
  ],
  // Never in a table, where guesses could be compared with them (7.1).
  secret: ["authentication-info", "authorization", "cookie", "proxy-authorization", "set-cookie"],
};

interface Name {
  readonly lower: string;
  /** In the static table; 0 if it isn't there. */
  readonly index: number;
  readonly policy: Policy;
  /** Static indices of whole fields, by their values. */
  readonly values: ReadonlyMap<string, number> | undefined;
}

/** By the usual spellings, so that those needn't be lower-cased: `etag`, `Etag`. */
const NAMES: ReadonlyMap<string, Name> = namesBySpelling();

function namesBySpelling(): Map<string, Name> {
  const policies = new Map<string, Policy>();
  for (const [policy, names] of Object.entries(POLICIES)) {
    for (const name of names) policies.set(name, policy as Policy);
  }
  const spellings = new Map<string, Name>();
  for (const lower of new Set([...STATIC_TABLE.map(({ name }) => name), ...policies.keys()])) {
    const index = STATIC_TABLE.findIndex(({ name }) => name === lower) + 1;
    const whole = STATIC_TABLE.flatMap(({ name, value }, i): [string, number][] =>
      name === lower && value !== "" ? [[value, i + 1]] : []
    );
    const values = whole.length > 0 ? new Map(whole) : undefined;
    const name = { lower, index, policy: policies.get(lower) ?? "repeated", values } as const;
    spellings.set(lower, name);
    spellings.set(lower.replace(/\b[a-z]/g, (first) => first.toUpperCase()), name);
  }
  return spellings;
}

interface SentEntry extends Entry {
  /** What `inserted` was when it came into the table. */
  readonly number: number;
  /** The one before it of the same name; it may have left the table. */
  older: SentEntry | undefined;
}

/** The encoder's table, in which entries are found by their names. */
class SentTable extends DynamicTable<SentEntry> {
  readonly newest = new Map<string, SentEntry>();

  add(name: string, value: string): void {
    this.insert({ ...entryOf(name, value), number: this.inserted, older: undefined });
    const entry = this.at(0);
    if (entry === undefined) return;
    entry.older = this.newest.get(name);
    this.newest.set(name, entry);
  }

  indexOf({ number }: SentEntry): number {
    return STATIC_TABLE.length + this.inserted - number;
  }

  isGone({ number }: SentEntry): boolean {
    return number < this.inserted - this.length;
  }

  protected override evict(): SentEntry {
    const entry = super.evict();
    if (this.newest.get(entry.name) === entry) this.newest.delete(entry.name);
    return entry;
  }
}

export class HpackEncoder {
  readonly #table: SentTable = new SentTable(DEFAULT_TABLE_SIZE);
  /** The smallest table size since the last block, if the peer is to be told of one. */
  #smallest: number | undefined;

  get table(): DynamicTable {
    return this.#table;
  }

  /**
   * The peer's SETTINGS_HEADER_TABLE_SIZE. The next block tells it the size that is used, never
   * more than 4096 bytes.
   */
  setMaxTableSize(setting: number): void {
    const size = Math.min(setting, DEFAULT_TABLE_SIZE);
    this.#smallest = Math.min(this.#smallest ?? DEFAULT_TABLE_SIZE, size);
    this.#table.resize(size);
  }

  /**
   * Writes fields, their names in lower case however they come, to `out` from `at` on, where there
   * must be room for `encodedLimit(fields)` bytes; returns where they end. Several calls in turn
   * make one block: `:status` and then the rest.
   */
  encode(fields: FieldLines, out: Buffer, at: number): number {
    if (this.#smallest !== undefined) {
      const { maxSize } = this.#table;
      if (this.#smallest < maxSize) at = writeInteger(out, at, TABLE_SIZE, 5, this.#smallest);
      at = writeInteger(out, at, TABLE_SIZE, 5, maxSize);
      this.#smallest = undefined;
    }
    for (let i = 0; i < fields.length; i += 2) {
      at = this.#encodeField(fields[i], fields[i + 1], out, at);
    }
    return at;
  }

  #encodeField(spelling: string, value: string, out: Buffer, at: number): number {
    let name = NAMES.get(spelling);
    const lower = name?.lower ?? spelling.toLowerCase();
    name ??= NAMES.get(lower);
    const policy = name?.policy ?? "repeated";
    const whole = name?.values?.get(value);
    if (whole !== undefined) return writeInteger(out, at, INDEXED, 7, whole);
    let index = name?.index ?? 0;
    if (policy === "volatile") at = writeInteger(out, at, WITHOUT_INDEXING, 4, index);
    else if (policy === "secret") at = writeInteger(out, at, NEVER_INDEXED, 4, index);
    else {
      const table = this.#table;
      const newest = table.newest.get(lower);
      let count = 0;
      for (let entry = newest; entry !== undefined; entry = entry.older, count++) {
        if (entry.value === value) return writeInteger(out, at, INDEXED, 7, table.indexOf(entry));
        if (entry.older !== undefined && table.isGone(entry.older)) entry.older = undefined;
      }
      if (index === 0 && newest !== undefined) index = table.indexOf(newest);
      const size = lower.length + value.length + FIELD_OVERHEAD;
      const worthwhile = policy === "current" || count < VALUES_A_NAME;
      if (worthwhile && size <= table.maxSize * ENTRY_SHARE) {
        at = writeInteger(out, at, WITH_INDEXING, 6, index);
        table.add(lower, value);
      } else at = writeInteger(out, at, WITHOUT_INDEXING, 4, index);
    }
    if (index === 0) at = writeString(out, at, lower);
    return writeString(out, at, value);
  }
}

/** More bytes than encode(fields) can take: each integer has 5 at most. */
export function encodedLimit(fields: FieldLines): number {
  let bytes = 10 + 15 * fields.length / 2;
  for (const text of fields) bytes += text.length;
  return bytes;
}

function writeString(out: Buffer, at: number, text: string): number {
  const length = huffmanLength(text);
  if (length < text.length) {
    return huffmanEncode(text, out, writeInteger(out, at, HUFFMAN, 7, length));
  }
  at = writeInteger(out, at, 0, 7, text.length);
  for (let i = 0; i < text.length; i++) out[at++] = text.charCodeAt(i);
  return at;
}

/** Section 5.1; `bits` come before the prefix. Returns where the integer ends. */
export function writeInteger(
  out: Buffer,
  at: number,
  bits: number,
  prefix: number,
  value: number,
): number {
  const mask = (1 << prefix) - 1;
  if (value < mask) {
    out[at++] = bits | value;
    return at;
  }
  out[at++] = bits | mask;
  for (value -= mask; value >= 0x80; value >>>= 7) out[at++] = value & 0x7f | 0x80;
  out[at++] = value;
  return at;
}
