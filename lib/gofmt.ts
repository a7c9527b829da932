/**
 * Go's fmt: Sprint, Sprintln and Sprintf for values as govalue.ts has them. Pure; needs gofloat.ts,
 * gostring.ts, govalue.ts.
 *
 * All verbs, flags, widths, precisions, `*`, argument indexes, and Go's notes on mistakes, such as
 * `%!d(string=x)`. Not as Go: an address (`%p`, a function) is always 0xc000000000.
 */
import { type FloatVerb, formatFloat } from "./gofloat.ts";
import { byteLength, isPrintable, joined, quoteGo, runeCount, toBytes } from "./gostring.ts";
import { fieldsOf, floatOf, integerOf, kindOf, sortedEntries, typeName } from "./govalue.ts";

/** In UTF-16 units, of what is made of one call: more is a RangeError. */
export const MAX_TEXT = 64 * 1024 * 1024;

/** Go's limit of widths, precisions and argument numbers. */
const MAX_NUMBER = 1_000_000;

const MAX_RUNE = 0x10ffff;
const ADDRESS = 0xc000000000;
const BASES: ReadonlyMap<string, number> = new Map([
  ["v", 10],
  ["d", 10],
  ["b", 2],
  ["o", 8],
  ["O", 8],
  ["x", 16],
  ["X", 16],
]);

const FLAGS: ReadonlyMap<string, "sharp" | "zero" | "plus" | "minus" | "space"> = new Map([
  ["#", "sharp"],
  ["0", "zero"],
  ["+", "plus"],
  ["-", "minus"],
  [" ", "space"],
]);

/** What stands between `%` and the verb. */
interface Flags {
  minus: boolean;
  plus: boolean;
  sharp: boolean;
  space: boolean;
  zero: boolean;
  /** `%+v` and `%#v`, which don't count as plus and sharp. */
  plusV: boolean;
  sharpV: boolean;
  width: number | undefined;
  precision: number | undefined;
}

/** A format being worked through. */
interface Printing {
  readonly format: string;
  readonly args: readonly unknown[];
  at: number;
  argument: number;
  /** An argument index was used, so that some may stay unused. */
  isReordered: boolean;
  isGoodIndex: boolean;
}

const plainFlags = (): Flags => ({
  minus: false,
  plus: false,
  sharp: false,
  space: false,
  zero: false,
  plusV: false,
  sharpV: false,
  width: undefined,
  precision: undefined,
});

/** `%v`. */
export function sprint1(value: unknown): string {
  if (typeof value === "string") return value;
  if (Number.isSafeInteger(value)) return String(value);
  return formatArgument(value, "v", plainFlags());
}

/** With a space between two that aren't strings. */
export function sprint(args: readonly unknown[]): string {
  let out = "";
  args.forEach((arg, i) => {
    const isApart = i > 0 && typeof arg !== "string" && typeof args[i - 1] !== "string";
    out = append(out, isApart ? " " : "", sprint1(arg));
  });
  return joined(out);
}

export function sprintln(args: readonly unknown[]): string {
  let out = "";
  args.forEach((arg, i) => out = append(out, i > 0 ? " " : "", sprint1(arg)));
  return `${joined(out)}\n`;
}

export function sprintf(format: string, args: readonly unknown[]): string {
  const p = { format, args, at: 0, argument: 0, isReordered: false, isGoodIndex: true };
  let out = "";
  while (p.at < format.length) {
    const percent = format.indexOf("%", p.at);
    const end = percent < 0 ? format.length : percent;
    out = append(out, "", format.slice(p.at, end));
    p.at = end + 1;
    if (percent >= 0) out = append(out, "", directive(p));
  }
  if (!p.isReordered && p.argument < args.length) {
    const extra = args.slice(p.argument).map((arg) => noteOf(arg, plainFlags()));
    out = append(out, "", `%!(EXTRA ${extra.join(", ")})`);
  }
  return joined(out);
}

function append(out: string, space: string, part: string): string {
  const all = out + space + part;
  if (all.length > MAX_TEXT) throw new RangeError(`a text of more than ${MAX_TEXT} characters`);
  return all;
}

/** What one `%…` becomes. */
function directive(p: Printing): string {
  const flags = plainFlags();
  p.isGoodIndex = true;
  readFlags(p, flags);
  let isAfterIndex = readIndex(p);
  let notes = "";
  if (p.format[p.at] === "*") {
    p.at++;
    flags.width = takeInteger(p);
    if (flags.width === undefined) notes += "%!(BADWIDTH)";
    else if (flags.width < 0) {
      Object.assign(flags, { width: -flags.width, minus: true, zero: false });
    }
    isAfterIndex = false;
  } else {
    flags.width = readNumber(p);
    if (isAfterIndex && flags.width !== undefined) p.isGoodIndex = false;
  }
  if (p.format[p.at] === "." && p.at + 1 < p.format.length) {
    p.at++;
    if (isAfterIndex) p.isGoodIndex = false;
    isAfterIndex = readIndex(p);
    if (p.format[p.at] === "*") {
      p.at++;
      const precision = takeInteger(p);
      flags.precision = precision !== undefined && precision >= 0 ? precision : undefined;
      if (flags.precision === undefined) notes += "%!(BADPREC)";
      isAfterIndex = false;
    } else flags.precision = readNumber(p) ?? 0;
  }
  if (!isAfterIndex) readIndex(p);
  if (p.at >= p.format.length) return notes + "%!(NOVERB)";
  return notes + verbText(p, flags);
}

function readFlags(p: Printing, flags: Flags): void {
  for (; p.at < p.format.length; p.at++) {
    const name = FLAGS.get(p.format[p.at]!);
    if (name === undefined) return;
    flags[name] = true;
  }
}

/** The verb and its argument. */
function verbText(p: Printing, flags: Flags): string {
  const verb = String.fromCodePoint(p.format.codePointAt(p.at)!);
  p.at += verb.length;
  if (verb === "%") return "%";
  if (!p.isGoodIndex) return `%!${verb}(BADINDEX)`;
  if (p.argument >= p.args.length) return `%!${verb}(MISSING)`;
  if (verb === "v" || verb === "w") {
    [flags.sharpV, flags.plusV] = [flags.sharp, flags.plus];
    flags.sharp = flags.plus = false;
  }
  return formatArgument(p.args[p.argument++], verb, flags);
}

/** Digits; undefined for none, and for a number that is too large, which ends the format. */
function readNumber(p: Printing, end = p.format.length): number | undefined {
  let value: number | undefined;
  for (; p.at < end && isDigit(p.format.charCodeAt(p.at)); p.at++) {
    if ((value ?? 0) > MAX_NUMBER) {
      p.at = end;
      return undefined;
    }
    value = (value ?? 0) * 10 + Number(p.format[p.at]);
  }
  return value;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** `[n]`, if it is there; whether it is a number. */
function readIndex(p: Printing): boolean {
  if (p.format[p.at] !== "[") return false;
  p.isReordered = true;
  const start = p.at++;
  const close = p.format.indexOf("]", start);
  const number = close > start + 1 ? readNumber(p, close) : undefined;
  const isNumber = number !== undefined && p.at === close;
  p.at = close < 0 || p.format.length - start < 3 ? start + 1 : close + 1;
  if (isNumber && number >= 1 && number <= p.args.length) p.argument = number - 1;
  else p.isGoodIndex = false;
  return isNumber;
}

/** The next argument as a `*` wants it. */
function takeInteger(p: Printing): number | undefined {
  if (p.argument >= p.args.length) return undefined;
  const arg = p.args[p.argument++];
  const kind = kindOf(arg);
  if (kind !== "int" && kind !== "uint8") return undefined;
  const value = Number(integerOf(arg));
  return Math.abs(value) > MAX_NUMBER ? undefined : value;
}

function formatArgument(value: unknown, verb: string, flags: Flags): string {
  const kind = kindOf(value);
  if (kind === "invalid") {
    return verb === "v" || verb === "T" ? pad("<nil>", flags) : badVerb(value, verb, flags);
  }
  if (verb === "T") return formatText(typeName(value), flags);
  if (verb === "p") return formatAddress(value, verb, flags);
  const isComposite = kind === "map" || kind === "slice" || kind === "struct";
  if (verb === "w" && isComposite) return badVerb(value, verb, flags);
  return formatValue(value, verb, flags);
}

/** `%!d(string=x)`. */
function badVerb(value: unknown, verb: string, flags: Flags): string {
  return `%!${verb}(${noteOf(value, flags)})`;
}

function noteOf(value: unknown, flags: Flags): string {
  if (kindOf(value) === "invalid") return "<nil>";
  return `${typeName(value)}=${formatValue(value, "v", flags)}`;
}

/** At any depth. */
function formatValue(value: unknown, verb: string, flags: Flags): string {
  switch (kindOf(value)) {
    case "invalid":
      return flags.sharpV ? "interface {}(nil)" : "<nil>";
    case "bool":
      if (verb !== "t" && verb !== "v") return badVerb(value, verb, flags);
      return pad(String(value), flags);
    case "int":
    case "uint8":
      return formatInteger(value, verb, flags);
    case "float64":
      return formatFloat64(value, verb, flags);
    case "string":
      return formatString(value as string, verb, flags);
    case "func":
      return formatAddress(value, verb, flags);
    default:
      return formatComposite(value, verb, flags);
  }
}

function formatComposite(value: unknown, verb: string, flags: Flags): string {
  const of = (element: unknown) => formatValue(element, verb, flags);
  let [open, close] = ["[", "]"];
  let parts: string[];
  if (value instanceof Map) {
    open = "map[";
    parts = sortedEntries(value).map(([key, element]) => `${of(key)}:${of(element)}`);
  } else if (Array.isArray(value)) parts = value.map(of);
  else {
    [open, close] = ["{", "}"];
    const isNamed = flags.plusV || flags.sharpV;
    parts = fieldsOf(value as object).map(([name, field]) =>
      (isNamed ? `${name}:` : "") + of(field)
    );
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > MAX_TEXT) throw new RangeError(`a text of more than ${MAX_TEXT} characters`);
  if (flags.sharpV) return `${typeName(value)}{${parts.join(", ")}}`;
  return open + parts.join(" ") + close;
}

function formatInteger(value: unknown, verb: string, flags: Flags): string {
  const number = integerOf(value);
  if (verb === "c" || verb === "q" || verb === "U") return formatRune(number, verb, flags);
  const isHex = verb === "v" && flags.sharpV && kindOf(value) === "uint8";
  const base = isHex ? 16 : BASES.get(verb);
  if (base === undefined) return badVerb(value, verb, flags);
  return integerText(number, verb, base, isHex ? { ...flags, sharp: true } : flags);
}

function integerText(number: number | bigint, verb: string, base: number, flags: Flags): string {
  const { precision, width, zero, minus, plus, space, sharp } = flags;
  const isNegative = number < 0;
  if (precision === 0 && number == 0) return " ".repeat(width ?? 0);
  let digits = (isNegative ? -number : number).toString(base);
  const hasSign = isNegative || plus || space;
  const zeros = precision ??
    (zero && !minus && width !== undefined ? width - (hasSign ? 1 : 0) : 0);
  digits = digits.padStart(zeros, "0");
  if (sharp && base === 2) digits = `0b${digits}`;
  if (sharp && base === 8 && !digits.startsWith("0")) digits = `0${digits}`;
  if (sharp && base === 16) digits = `0x${digits}`;
  if (verb === "O") digits = `0o${digits}`;
  if (verb === "X") digits = digits.toUpperCase();
  const sign = isNegative ? "-" : plus ? "+" : space ? " " : "";
  return pad(sign + digits, flags, false);
}

/** `%c`, `%q` and `%U` of a number. */
function formatRune(number: number | bigint, verb: string, flags: Flags): string {
  const isRune = number >= 0 && number <= MAX_RUNE;
  const isValid = isRune && !(number >= 0xd800 && number <= 0xdfff);
  const rune = String.fromCodePoint(isValid ? Number(number) : 0xfffd);
  if (verb === "c") return pad(rune, flags);
  if (verb === "q") return pad(quoteGo(rune, flags.plus, "'"), flags);
  const hex = BigInt.asUintN(64, BigInt(number)).toString(16).toUpperCase();
  const digits = hex.padStart(Math.max(flags.precision ?? 0, 4), "0");
  const shown = flags.sharp && isValid && isPrintable(rune) ? ` '${rune}'` : "";
  return pad(`U+${digits}${shown}`, flags, false);
}

function formatFloat64(value: unknown, verb: string, flags: Flags): string {
  const form = verb === "v" ? "g" : verb === "F" ? "f" : verb;
  if (!/^[beEfgGxX]$/.test(form)) return badVerb(value, verb, flags);
  const precision = flags.precision ?? (/^[eEf]$/.test(form) ? 6 : -1);
  let text = formatFloat(floatOf(value), form as FloatVerb, precision);
  if (!/^[+-]/.test(text)) text = `+${text}`;
  if (flags.space && !flags.plus && text.startsWith("+")) text = ` ${text.slice(1)}`;
  if (/[IN]/.test(text)) {
    const isBare = text.endsWith("NaN") && !flags.plus && !flags.space;
    return pad(isBare ? text.slice(1) : text, flags, false);
  }
  if (flags.sharp && form !== "b") text = withPoint(text, form, precision);
  if (!flags.plus && text.startsWith("+")) return pad(text.slice(1), flags);
  const { zero, minus, width = 0 } = flags;
  if (!zero || minus || width <= text.length) return pad(text, flags);
  return text[0] + text.slice(1).padStart(width - 1, "0"); // the sign before the zeros
}

/** The sharp flag: a point always, and with %g and %x so many digits as the precision says. */
function withPoint(text: string, verb: string, precision: number): string {
  const isHex = verb === "x" || verb === "X";
  const tailAt = text.search(isHex ? /[pP]/ : /[eE]/);
  const [head, tail] = tailAt < 0 ? [text, ""] : [text.slice(0, tailAt), text.slice(tailAt)];
  let missing = /^[gGx]$/.test(verb) ? (precision < 0 ? 6 : precision) : 0;
  const significant = head.slice(1).replace(".", "").replace(/^0*/, "");
  missing -= significant.length;
  if (!head.includes(".") && head.slice(1) === "0") missing--;
  const point = head.includes(".") ? "" : ".";
  return head + point + "0".repeat(Math.max(missing, 0)) + tail;
}

function formatString(value: string, verb: string, flags: Flags): string {
  if (verb === "s" || (verb === "v" && !flags.sharpV)) return formatText(value, flags);
  if (verb === "x" || verb === "X") return formatBytes(value, verb, flags);
  if (verb !== "q" && verb !== "v") return badVerb(value, verb, flags);
  const text = truncate(value, flags.precision);
  // strconv.CanBackquote: one line without backquotes, controls but tab, bad bytes or a BOM.
  const isRaw = /^[^\x00-\x08\x0a-\x1f\x7f`\ufeff\ud800-\udfff]*$/u.test(text);
  if (flags.sharp && isRaw) return pad(`\`${text}\``, flags);
  return pad(quoteGo(text, flags.plus), flags);
}

function formatText(text: string, flags: Flags): string {
  return pad(truncate(text, flags.precision), flags);
}

function truncate(text: string, runes: number | undefined): string {
  if (runes === undefined || text.length <= runes) return text;
  let end = 0;
  for (const rune of text) {
    if (--runes < 0) break;
    end += rune.length;
  }
  return text.slice(0, end);
}

/** `%x` of a string. */
function formatBytes(value: string, verb: string, flags: Flags): string {
  const { precision, sharp, space } = flags;
  const bytes = toBytes(value).subarray(0, Math.min(precision ?? Infinity, byteLength(value)));
  const hex = bytes.toString("hex");
  const pairs = space ? hex.match(/../g) ?? [] : [hex];
  let text = pairs.map((pair) => (sharp && hex !== "" ? "0x" : "") + pair).join(" ");
  if (verb === "X") text = text.toUpperCase();
  return pad(text, flags);
}

function formatAddress(value: unknown, verb: string, flags: Flags): string {
  const kind = kindOf(value);
  if (kind !== "map" && kind !== "slice" && kind !== "func") return badVerb(value, verb, flags);
  if (verb === "v" && flags.sharpV) return `(${typeName(value)})(0x${ADDRESS.toString(16)})`;
  const base = verb === "p" || verb === "v" ? 16 : BASES.get(verb);
  if (base === undefined) return badVerb(value, verb, flags);
  const sharp = verb === "p" || verb === "v" ? !flags.sharp : flags.sharp;
  return integerText(ADDRESS, verb, base, { ...flags, sharp });
}

/** To the width, in runes; zeros only on the left. */
function pad(text: string, flags: Flags, zero = flags.zero): string {
  const missing = (flags.width ?? 0) - (flags.width === undefined ? 0 : runeCount(text));
  if (missing <= 0) return text;
  if (flags.minus) return text + " ".repeat(missing);
  return (zero ? "0" : " ").repeat(missing) + text;
}
