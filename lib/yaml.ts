/**
 * The part of YAML 1.2 that short configuration is written in: lists and maps in block and flow
 * style (which takes in JSON), plain and quoted scalars on one line, comments. Pure; needs
 * number.ts.
 *
 *     - name: alice           # an item begins with a dash, a map's keys stand below each other
 *       groups: [staff, "x"]
 *
 * Scalars stay text: what `yes` or `007` mean is the caller's. Refused, with line and column: all
 * else that YAML has (anchors, tags, block scalars, text over several lines, several documents,
 * keys that aren't scalars), tabs that indent, control characters, a key twice, more than 8 levels.
 * No message quotes the text, for it may hold secrets.
 */

import { parseHex } from "./number.ts";

/** UTF-16 units; Linux takes variables of up to 128 KiB. */
const MAX_TEXT = 256 * 1024;
/** Lists and maps in each other. */
const MAX_DEPTH = 8;

/** What YAML 1.2 5.1 doesn't let stand unescaped, but for CR, which is looked at by itself. */
const UNPRINTABLE = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\p{Cs}\ufffe\uffff]|\r(?!\n)/u;

/** YAML 1.2 5.7, also all of JSON's; `x`, `u` and `U` take so many hexadecimal digits. */
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ...[["0", "\0"], ["a", "\x07"], ["b", "\b"], ["t", "\t"], ["n", "\n"], ["v", "\v"]],
  ...[["f", "\f"], ["r", "\r"], ["e", "\x1b"], [" ", " "], ['"', '"'], ["/", "/"], ["\\", "\\"]],
  ...[["N", "\x85"], ["_", "\xa0"], ["L", "\u2028"], ["P", "\u2029"]],
] as [string, string][]);
const DIGITS: ReadonlyMap<string, number> = new Map([["x", 2], ["u", 4], ["U", 8]]);

/** `at`: where it begins, for position(). */
export type YamlNode =
  | { readonly at: number; readonly kind: "text"; readonly text: string; readonly isNull: boolean }
  | { readonly at: number; readonly kind: "list"; readonly items: readonly YamlNode[] }
  | { readonly at: number; readonly kind: "map"; readonly entries: YamlEntries };
/** By key, in their order; `at` is where the key begins. */
export type YamlEntries = ReadonlyMap<string, { readonly at: number; readonly value: YamlNode }>;
type Text = Extract<YamlNode, { kind: "text" }>;
type Entries = Map<string, { at: number; value: YamlNode }>;

/** `at`: where in the text; the message says what was expected there. */
export class YamlError extends Error {
  readonly at: number;

  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

type Reader = { readonly text: string; at: number; depth: number };

/** Undefined for a text of nothing but blanks and comments. Throws YamlError. */
export function parseYaml(text: string): YamlNode | undefined {
  if (text.length > MAX_TEXT) throw new YamlError(0, `expected at most ${MAX_TEXT} characters`);
  const bad = UNPRINTABLE.exec(text);
  if (bad) throw new YamlError(bad.index, "expected no control character");
  const reader: Reader = { text, at: 0, depth: 0 };
  skip(reader);
  if (/^---[ \r\n]/.test(text.slice(reader.at, reader.at + 4))) {
    reader.at += 3;
    skip(reader);
  }
  if (isEnd(reader)) return undefined;
  const node = readBlock(reader);
  skip(reader);
  if (!isEnd(reader)) throw new YamlError(reader.at, "expected the end: indented otherwise?");
  return node;
}

/** Line and column, from 1, of a place in a text. */
export function position(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1)!.length + 1 };
}

/** Whatever begins at the reader's place, which is the first of its line or follows a dash. */
function readBlock(reader: Reader): YamlNode {
  checkIndent(reader);
  const { at } = reader;
  if (isFlow(reader)) return readLine(reader, readFlow);
  if (isDash(reader)) return nested(reader, () => readBlockList(reader));
  const text = readScalar(reader, false);
  if (isColon(reader, false)) return nested(reader, () => readBlockMap(reader, text, at));
  endLine(reader);
  return text;
}

function readBlockList(reader: Reader): YamlNode {
  const { at } = reader;
  const column = columnOf(reader);
  const items: YamlNode[] = [];
  do {
    const dash = reader.at++;
    skip(reader);
    if (isEnd(reader) || columnOf(reader) <= column) {
      throw new YamlError(dash, "expected something after the dash");
    }
    items.push(readBlock(reader));
  } while (isNext(reader, column) && isDash(reader));
  return { at, kind: "list", items };
}

/** `first` is its first key, which has been read, the reader being at the colon. */
function readBlockMap(reader: Reader, first: Text, at: number): YamlNode {
  const column = columnOf({ ...reader, at });
  const entries: Entries = new Map();
  for (let key = first;; key = readScalar(reader, false)) {
    if (!isColon(reader, false)) throw new YamlError(reader.at, "expected a colon and a space");
    reader.at++;
    addEntry(entries, key, readBlockValue(reader, column));
    if (!isNext(reader, column) || isDash(reader)) return { at, kind: "map", entries };
  }
}

/** After a colon, on its line or below it; a list may be as far left as the key. */
function readBlockValue(reader: Reader, column: number): YamlNode {
  const line = lineStart(reader);
  const colon = reader.at - 1;
  skip(reader);
  const isSameLine = lineStart(reader) === line;
  if (isEnd(reader) || columnOf(reader) < column + (isDash(reader) ? 0 : 1)) {
    return { at: colon, kind: "text", text: "", isNull: true };
  }
  if (!isSameLine || isFlow(reader)) return readBlock(reader);
  if (isDash(reader)) throw new YamlError(reader.at, "expected the list on lines of its own");
  return readLine(reader, (reader) => readScalar(reader, false));
}

function readLine(reader: Reader, read: (reader: Reader) => YamlNode): YamlNode {
  const node = read(reader);
  endLine(reader);
  return node;
}

/** Whether another item or key follows at a column; one further right belongs nowhere. */
function isNext(reader: Reader, column: number): boolean {
  skip(reader);
  if (isEnd(reader)) return false;
  checkIndent(reader);
  const here = columnOf(reader);
  if (here > column) throw new YamlError(reader.at, "expected another indentation, or quotes");
  return here === column;
}

/** A scalar, or a list or map in brackets, which may go over lines. */
function readFlow(reader: Reader): YamlNode {
  if (!isFlow(reader)) return readScalar(reader, true);
  const { at } = reader;
  const isList = reader.text[reader.at++] === "[";
  const items: YamlNode[] = [];
  const entries: Entries = new Map();
  return nested(reader, () => {
    for (skip(reader); !take(reader, isList ? "]" : "}"); skip(reader)) {
      if (isList) items.push(readFlow(reader));
      else readFlowEntry(reader, entries);
      skip(reader);
      if (!take(reader, ",") && reader.text[reader.at] !== (isList ? "]" : "}")) {
        throw new YamlError(reader.at, `expected a comma or ${isList ? "]" : "}"}`);
      }
    }
    return isList ? { at, kind: "list", items } : { at, kind: "map", entries };
  });
}

function readFlowEntry(reader: Reader, entries: Entries): void {
  const isQuoted = /["']/.test(reader.text[reader.at] ?? "");
  const key = readScalar(reader, true);
  skip(reader);
  if (!isColon(reader, isQuoted)) throw new YamlError(reader.at, "expected a colon and a space");
  reader.at++;
  skip(reader);
  addEntry(entries, key, readFlow(reader));
}

function addEntry(entries: Entries, { at, text }: Text, value: YamlNode): void {
  if (entries.has(text)) throw new YamlError(at, "expected each key once");
  entries.set(text, { at, value });
}

/** `isInFlow`: where a comma and brackets end plain text. */
function readScalar(reader: Reader, isInFlow: boolean): Text {
  const { text, at } = reader;
  if (text[at] === '"') return { at, kind: "text", text: readDouble(reader), isNull: false };
  if (text[at] === "'") return { at, kind: "text", text: readSingle(reader), isNull: false };
  if (/^(?:[,[\]{}#&*!|>%@`]|[-?:](?:\s|$))/.test(text.slice(at, at + 2)) || isEnd(reader)) {
    throw new YamlError(at, "expected text, in quotes if it begins with such a character");
  }
  const end = isInFlow ? /[,[\]{}\r\n]|:(?=[\s,[\]{}]|$)|[ \t]#/g : /[\r\n]|:(?=\s|$)|[ \t]#/g;
  end.lastIndex = at;
  reader.at = end.exec(text)?.index ?? text.length;
  const plain = text.slice(at, reader.at).trimEnd();
  return { at, kind: "text", text: plain, isNull: /^(?:~|null|Null|NULL)$/.test(plain) };
}

function readSingle(reader: Reader): string {
  const match = /'((?:[^'\r\n]|'')*)'/y;
  match.lastIndex = reader.at;
  const found = match.exec(reader.text);
  if (found === null) throw new YamlError(reader.at, "expected a closing ' on the same line");
  reader.at = match.lastIndex;
  return found[1]!.replaceAll("''", "'");
}

function readDouble(reader: Reader): string {
  const { text, at } = reader;
  let value = "";
  for (reader.at++; text[reader.at] !== '"'; reader.at++) {
    const char = text[reader.at] ?? "\n";
    if (char === "\n" || char === "\r") {
      throw new YamlError(at, 'expected a closing " on the same line');
    }
    value += char === "\\" ? readEscape(reader) : char;
  }
  reader.at++;
  return value;
}

/** From the backslash to the last character of the escape. */
function readEscape(reader: Reader): string {
  const backslash = reader.at++;
  const letter = reader.text[reader.at] ?? "";
  const digits = DIGITS.get(letter) ?? 0;
  const hex = reader.text.slice(reader.at + 1, reader.at + 1 + digits);
  reader.at += digits;
  const code = hex.length === digits ? parseHex(hex, 0x10ffff) : undefined;
  const char = code === undefined ? ESCAPES.get(letter) : String.fromCodePoint(code);
  if (char === undefined) throw new YamlError(backslash, 'expected an escape of YAML: \\\\ or \\"');
  return char;
}

/** Blanks, line ends, and comments where a blank or nothing comes before them. */
function skip(reader: Reader): void {
  const blank = /(?:[ \t\r\n]+|(?<![^ \t\r\n])#[^\n]*)*/y;
  blank.lastIndex = reader.at;
  blank.exec(reader.text);
  reader.at = blank.lastIndex;
}

/** Nothing but a comment may follow on the line of a value. */
function endLine(reader: Reader): void {
  const rest = /[ \t]*(?:(?<=[ \t])#[^\n]*)?(?=\r?\n|$)/y;
  rest.lastIndex = reader.at;
  if (rest.exec(reader.text) === null) {
    throw new YamlError(reader.at, "expected the end of the line, or quotes around the text");
  }
}

/** Only spaces, and the dashes of lists, can stand before a node in block style. */
function checkIndent(reader: Reader): void {
  const tab = reader.text.slice(lineStart(reader), reader.at).indexOf("\t");
  if (tab >= 0) throw new YamlError(lineStart(reader) + tab, "expected spaces, not a tab");
}

function nested(reader: Reader, read: () => YamlNode): YamlNode {
  if (++reader.depth > MAX_DEPTH) {
    throw new YamlError(reader.at, `expected at most ${MAX_DEPTH} levels`);
  }
  const node = read();
  reader.depth--;
  return node;
}

function take(reader: Reader, char: string): boolean {
  if (reader.text[reader.at] !== char) return false;
  reader.at++;
  return true;
}

const isEnd = ({ text, at }: Reader): boolean => at >= text.length;
const isFlow = ({ text, at }: Reader): boolean => text[at] === "[" || text[at] === "{";
const isDash = ({ text, at }: Reader): boolean => /^-(?:\s|$)/.test(text.slice(at, at + 2));
/** `isAdjacent`: after a quoted key in flow style a value may follow at once, as in JSON. */
const isColon = ({ text, at }: Reader, isAdjacent: boolean): boolean =>
  text[at] === ":" && (isAdjacent || /^:(?:[\s,[\]{}]|$)/.test(text.slice(at, at + 2)));
const lineStart = ({ text, at }: Reader): number => text.lastIndexOf("\n", at - 1) + 1;
const columnOf = (reader: Reader): number => reader.at - lineStart(reader);
