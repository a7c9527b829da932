/**
 * Go's literals as templates have them: strings, characters and numbers (the Go specification's
 * lexical elements, as strconv reads them). Pure; needs gostring.ts, govalue.ts.
 *
 * Refused, though Go takes them: imaginary numbers.
 */
import { joined, quoteGo } from "./gostring.ts";
import { Float, makeFloat } from "./govalue.ts";

const [MIN_INT64, MAX_INT64, MAX_UINT64] = [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 64n - 1n];

/** One character or escape of a literal in the quotes that it excludes. */
const ESCAPES = {
  '"': /\\(?:[abfnrtv\\"]|[0-7]{3}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8})|[^\\"\n]/uy,
  "'": /\\(?:[abfnrtv\\']|[0-7]{3}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8})|[^\\']/uy,
} as const;

const CONTROLS: Readonly<Record<string, string>> = {
  ...{ a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" },
};

const INTEGER = /^([+-]?)(0[xX][\da-fA-F]+|0[oO][0-7]+|0[bB][01]+|\d+)$/;
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const HEX_FLOAT = /^([+-]?)0[xX]([\da-fA-F]*)\.?([\da-fA-F]*)[pP]([+-]?\d+)$/;

/** An underscore that doesn't stand between digits, or a prefix and a digit. */
const MISPLACED = /_(?!\d)|(?<![\dbBoO])_/;
const MISPLACED_HEX = /_(?![\da-fA-F])|(?<![\da-fA-FxX])_/;

/** A literal that isn't one, in strconv's or text/template's words. */
export class LiteralError extends Error {}

/** A number before it is known what type is wanted of it. */
export interface Constant {
  /** As an int would have it; undefined if it isn't integral or beyond 64 bits. */
  readonly integer: number | bigint | undefined;
  /** What it is where any type will do; undefined: an int that overflows. */
  readonly value: number | bigint | Float | undefined;
}

/** Of a literal in double or back quotes, with them. */
export function unquote(literal: string): string {
  const body = literal.slice(1, -1);
  if (literal.startsWith("`")) return body.replaceAll("\r", "");
  let out = "";
  for (let i = 0; i < body.length;) {
    const [text, width] = readCharacter(body, i, '"');
    out += text;
    i += width;
  }
  return joined(out);
}

/** The code point of a literal in single quotes, with them. */
export function unquoteRune(literal: string): number {
  const [text, width] = readCharacter(literal.slice(1), 0, "'");
  if (literal.slice(1 + width) !== "'") {
    throw new LiteralError(`malformed character constant: ${literal}`);
  }
  const code = text.codePointAt(0)!;
  return text.length === 1 && code >= 0xdc80 && code <= 0xdcff ? code & 0xff : code;
}

/** The character's text, where a byte of 128 or more is as in gostring.ts, and its width there. */
function readCharacter(body: string, at: number, mark: '"' | "'"): [string, number] {
  const pattern = ESCAPES[mark];
  pattern.lastIndex = at;
  const [found] = pattern.exec(body) ?? [];
  if (found === undefined) throw new LiteralError("invalid syntax");
  if (found[0] !== "\\") return [found, found.length];
  const kind = found[1]!;
  if (CONTROLS[kind] !== undefined) return [CONTROLS[kind], 2];
  if (!/[0-7xuU]/.test(kind)) return [kind, 2];
  const code = /[0-7]/.test(kind) ? parseInt(found.slice(1), 8) : parseInt(found.slice(2), 16);
  if (kind === "u" || kind === "U") {
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      throw new LiteralError("invalid syntax");
    }
    return [String.fromCodePoint(code), found.length];
  }
  if (code > 0xff) throw new LiteralError("invalid syntax");
  return [String.fromCharCode(code < 0x80 ? code : 0xdc00 | code), found.length];
}

/** Of a number as the lexer found it. */
export function parseNumber(text: string): Constant {
  if (text.endsWith("i")) throw new LiteralError(`imaginary numbers aren't supported: ${text}`);
  const integer = parseInteger(text);
  if (integer !== undefined) {
    if (integer > MAX_INT64 && integer <= MAX_UINT64 && !/^[+-]/.test(text)) {
      return { integer: undefined, value: undefined };
    }
    const int = parseInt64(text);
    if (int !== undefined) return { integer: int, value: int };
  }
  const float = parseFloat64(text);
  if (float === undefined) throw new LiteralError(`illegal number syntax: ${quoteGo(text)}`);
  if (!/[.eEpP]/.test(text)) {
    throw new LiteralError(`integer overflow: ${quoteGo(text)}`);
  }
  const isInt64 = Number.isInteger(float) && float >= -(2 ** 63) && float < 2 ** 63;
  const value = Object.is(float, -0) ? new Float(float) : makeFloat(float);
  return { integer: isInt64 ? narrow(BigInt(float)) : undefined, value };
}

/** strconv.ParseInt of any base; undefined if it isn't an integer's literal or beyond 64 bits. */
export function parseInt64(text: string): number | bigint | undefined {
  const value = parseInteger(text);
  return value === undefined || value < MIN_INT64 || value > MAX_INT64 ? undefined : narrow(value);
}

/** Of a literal of any base; undefined if it isn't an integer's. */
function parseInteger(text: string): bigint | undefined {
  const [, sign, digits = ""] = INTEGER.exec(withoutUnderscores(text)) ?? [];
  // A leading zero means octal.
  const literal = /^0\d/.test(digits) ? `0o${digits}` : digits;
  if (literal === "" || /^0o.*[89]/.test(literal)) return undefined;
  return BigInt(literal) * (sign === "-" ? -1n : 1n);
}

/** Undefined if it isn't a number's literal, or too large. */
function parseFloat64(text: string): number | undefined {
  const plain = withoutUnderscores(text);
  const [, sign, whole = "", fraction = "", power] = HEX_FLOAT.exec(plain) ?? [];
  let value: number;
  if (power !== undefined && whole + fraction !== "") {
    const mantissa = Number(BigInt(`0x${whole}${fraction}`)) * (sign === "-" ? -1 : 1);
    value = mantissa * 2 ** (Number(power) - 4 * fraction.length);
  } else if (DECIMAL.test(plain)) value = Number(plain);
  else return undefined;
  return Number.isFinite(value) ? value : undefined;
}

/** Where one is misplaced, nothing. */
function withoutUnderscores(text: string): string {
  const isHex = /^[+-]?0[xX]/.test(text);
  return (isHex ? MISPLACED_HEX : MISPLACED).test(text) ? "" : text.replaceAll("_", "");
}

function narrow(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
