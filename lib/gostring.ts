/**
 * Go's strings in JavaScript's: Go counts, cuts and compares bytes, which need not be UTF-8. Pure;
 * needs nothing.
 *
 * A byte that isn't part of valid UTF-8 stands as a lone surrogate, U+DC00 + the byte, until it is
 * put beside others that complete it (`joined`) or leaves the program (`wellFormed`), as U+FFFD.
 */
import { Buffer } from "node:buffer";

/** With the `u` flag no half of a pair matches. */
const STRAY = /[\udc80-\udcff]+/gu;
const HAS_STRAY = /[\udc80-\udcff]/u;
const SURROGATE = /[\ud800-\udfff]/;
const UNPRINTABLE = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u; // unicode.IsPrint

/** `\a` and its like, by their characters. */
const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ...["\x07a", "\bb", "\ff", "\nn", "\rr", "\tt", "\vv", "\\\\"].map((pair) =>
    [pair[0]!, `\\${pair[1]}`] as const
  ),
]);

export function toBytes(text: string): Buffer {
  if (!HAS_STRAY.test(text)) return Buffer.from(text);
  const parts: Buffer[] = [];
  let end = 0;
  for (const { index, 0: stray } of text.matchAll(STRAY)) {
    // latin1 takes the low byte of each unit, which is the byte meant.
    parts.push(Buffer.from(text.slice(end, index)), Buffer.from(stray, "latin1"));
    end = index + stray.length;
  }
  return Buffer.concat([...parts, Buffer.from(text.slice(end))]);
}

export function fromBytes(bytes: Buffer): string {
  const text = bytes.toString();
  if (!text.includes("\ufffd")) return text;
  const parts: string[] = [];
  for (let i = 0, start = 0; i < bytes.length;) {
    const width = runeWidth(bytes, i);
    if (width === 0) {
      parts.push(bytes.toString("utf8", start, i), String.fromCharCode(0xdc00 | bytes[i]!));
      start = i + 1;
    }
    i += width || 1;
    if (i >= bytes.length) parts.push(bytes.toString("utf8", start));
  }
  return parts.join("");
}

/** For each of the texts a string of its bytes, and the strings that come of them as text again. */
export function bytewise(
  texts: readonly string[],
  run: (...bytes: string[]) => string[],
): string[] {
  if (!texts.some((text) => HAS_STRAY.test(text))) return run(...texts);
  const bytes = texts.map((text) => toBytes(text).toString("latin1"));
  return run(...bytes).map((part) => fromBytes(Buffer.from(part, "latin1")));
}

/** Of a text that may have been put together: bytes that now are a character become it. */
export function joined(text: string): string {
  return HAS_STRAY.test(text) ? fromBytes(toBytes(text)) : text;
}

/** Each byte that isn't UTF-8, and each other lone surrogate, as U+FFFD. */
export function wellFormed(text: string): string {
  return SURROGATE.test(text) ? joined(text).replace(/\p{Surrogate}/gu, "\ufffd") : text;
}

/** In bytes. */
export function byteLength(text: string): number {
  const strays = HAS_STRAY.test(text) ? text.match(STRAY)!.join("").length : 0;
  return Buffer.byteLength(text) - 2 * strays; // Buffer counts three for each
}

/** In code points; a byte that isn't UTF-8 is one. */
export function runeCount(text: string): number {
  if (!SURROGATE.test(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** By bytes: JavaScript's `<` would put U+10000 before U+E000. Negative, 0 or positive. */
export function compareStrings(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const one = a.charCodeAt(i);
    const other = b.charCodeAt(i);
    if (one === other) continue;
    if (one < 0xd800 && other < 0xd800) return one - other;
    return Buffer.compare(toBytes(a), toBytes(b));
  }
  return a.length - b.length;
}

/** Go's unicode.IsPrint, of one code point. */
export function isPrintable(rune: string): boolean {
  return !UNPRINTABLE.test(rune);
}

/** strconv.Quote, or QuoteToASCII; for `'`, of a rune, QuoteRune. */
export function quoteGo(text: string, ascii = false, mark = '"'): string {
  const plain = ascii ? /^[ -~]*$/ : /^[\p{L}\p{N} -~]*$/u;
  if (plain.test(text) && !text.includes(mark) && !text.includes("\\")) return mark + text + mark;
  let out = mark;
  for (const rune of text) {
    const code = rune.codePointAt(0)!;
    const hex = code.toString(16);
    if (rune === mark) out += `\\${rune}`;
    else if (SHORT_ESCAPES.has(rune)) out += SHORT_ESCAPES.get(rune);
    else if (code < 0x80 ? code >= 0x20 && code < 0x7f : !ascii && isPrintable(rune)) out += rune;
    else if (HAS_STRAY.test(rune)) out += `\\x${(code & 0xff).toString(16)}`;
    else if (code < 0x80) out += `\\x${hex.padStart(2, "0")}`;
    else if (code < 0x10000) out += `\\u${SURROGATE.test(rune) ? "fffd" : hex.padStart(4, "0")}`;
    else out += `\\U${hex.padStart(8, "0")}`;
  }
  return out + mark;
}

/** The bytes of the valid UTF-8 sequence that begins there; 0 if none does. */
function runeWidth(bytes: Buffer, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const width = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (at + width > bytes.length) return 0;
  for (let i = 1; i < width; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return 0;
  // Refused too: what has a shorter form, surrogates, and what is above U+10FFFF.
  const second = bytes[at + 1]!;
  if (first === 0xe0 ? second < 0xa0 : first === 0xf0 ? second < 0x90 : false) return 0;
  return (first === 0xed && second > 0x9f) || (first === 0xf4 && second > 0x8f) ? 0 : width;
}
