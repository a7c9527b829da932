/**
 * The functions that every template has: Go's text/template builtins, though `and`, `or` and `call`
 * are the executor's. Pure; needs gofmt.ts, gostring.ts, govalue.ts. Errors are in Go's words.
 */
import { sprint, sprintf, sprintln } from "./gofmt.ts";
import { byteLength, compareStrings, fromBytes, isPrintable, toBytes } from "./gostring.ts";
import {
  Byte,
  fieldsOf,
  floatOf,
  Func,
  hasStringKeys,
  integerOf,
  isTrue,
  type Kind,
  kindOf,
  typeName,
  zeroElement,
} from "./govalue.ts";

const ANY = "interface {}";

const HTML: Readonly<Record<string, string>> = {
  ...{ "\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;" },
};

const UPPER_HEX = (code: number, width: number) =>
  code.toString(16).toUpperCase().padStart(width, "0");

const any = (call: (...args: never[]) => unknown, ...rest: readonly (typeof ANY)[]): Func =>
  new Func([ANY, ...rest], call);
const variadic = (call: (...args: never[]) => unknown, ...first: readonly (typeof ANY)[]): Func =>
  new Func([...first, ANY], call, true);

export const BUILTINS: ReadonlyMap<string, Func> = new Map<string, Func>([
  // The executor evaluates these itself; the parameters count.
  ["and", variadic(() => undefined, ANY)],
  ["or", variadic(() => undefined, ANY)],
  ["call", variadic(() => undefined, ANY)],
  ["not", any((value: unknown) => !isTrue(value))],
  ["len", any(length)],
  ["index", variadic(index, ANY)],
  ["slice", variadic(slice, ANY)],
  ["print", variadic((...args: unknown[]) => sprint(args))],
  ["println", variadic((...args: unknown[]) => sprintln(args))],
  [
    "printf",
    new Func(["string", ANY], (f: string, ...args: unknown[]) => sprintf(f, args), true),
  ],
  ["html", variadic((...args: unknown[]) => escapeHtml(textOf(args)))],
  ["js", variadic((...args: unknown[]) => escapeJs(textOf(args)))],
  ["urlquery", variadic((...args: unknown[]) => escapeQuery(textOf(args)))],
  ["eq", variadic(equalsAny, ANY)],
  ["ne", any((a: unknown, b: unknown) => !equalsAny(a, b), ANY)],
  ["lt", any(isLess, ANY)],
  ["le", any((a: unknown, b: unknown) => isLess(a, b) || equalsAny(a, b), ANY)],
  ["gt", any((a: unknown, b: unknown) => !(isLess(a, b) || equalsAny(a, b)), ANY)],
  ["ge", any((a: unknown, b: unknown) => !isLess(a, b), ANY)],
]);

function length(value: unknown): number {
  switch (kindOf(value)) {
    case "string":
      return byteLength(value as string);
    case "slice":
      return (value as unknown[]).length;
    case "map":
      return (value as Map<unknown, unknown>).size;
    case "invalid":
      throw new Error("len of nil pointer");
    default:
      throw new Error(`len of type ${typeName(value)}`);
  }
}

function index(item: unknown, ...indexes: unknown[]): unknown {
  if (kindOf(item) === "invalid") throw new Error("index of untyped nil");
  let found = item;
  for (const at of indexes) {
    if (found instanceof Map) found = elementOf(found, at);
    else if (Array.isArray(found)) found = found[indexOf(at, found.length - 1)] ?? null;
    else if (typeof found === "string") {
      const bytes = toBytes(found);
      found = new Byte(bytes[indexOf(at, bytes.length - 1)]!);
    } else if (kindOf(found) === "invalid") throw new Error("index of nil pointer");
    else throw new Error(`can't index item of type ${typeName(found)}`);
  }
  return found;
}

function elementOf(map: ReadonlyMap<unknown, unknown>, key: unknown): unknown {
  const wanted = hasStringKeys(map) ? "string" : "int";
  let kind: string = kindOf(key);
  if (kind === "invalid") throw new Error(`value is nil; should be of type ${wanted}`);
  if (wanted === "int" && kind === "uint8") kind = "int";
  if (kind !== wanted) throw new Error(`value has type ${typeName(key)}; should be ${wanted}`);
  const found = key instanceof Byte ? key.value : key;
  return map.has(found) ? map.get(found) ?? null : zeroElement(map);
}

/** An index from 0 to `max`. */
function indexOf(value: unknown, max: number): number {
  const kind = kindOf(value);
  if (kind === "invalid") throw new Error("cannot index slice/array with nil");
  if (kind !== "int" && kind !== "uint8") {
    throw new Error(`cannot index slice/array with type ${typeName(value)}`);
  }
  const number = integerOf(value);
  if (number < 0 || number > max) throw new Error(`index out of range: ${number}`);
  return Number(number);
}

function slice(item: unknown, ...indexes: unknown[]): unknown {
  const kind = kindOf(item);
  if (kind === "invalid") throw new Error("slice of untyped nil");
  if (indexes.length > 3) throw new Error(`too many slice indexes: ${indexes.length}`);
  if (kind === "string" && indexes.length === 3) throw new Error("cannot 3-index slice a string");
  if (kind !== "string" && kind !== "slice") {
    throw new Error(`can't slice item of type ${typeName(item)}`);
  }
  const size = length(item);
  const { all, from } = kind === "slice" ? backing(item as Part) : { all: [], from: 0 };
  const max = kind === "slice" ? all.length - from : size;
  const [low = 0, high = size, end = max] = indexes.map((value) => indexOf(value, max));
  if (low > high) throw new Error(`invalid slice index: ${low} > ${high}`);
  if (high > end) throw new Error(`invalid slice index: ${high} > ${end}`);
  if (kind === "string") return fromBytes(toBytes(item as string).subarray(low, high));
  const part: Part = all.slice(from + low, from + high);
  part[BACKING] = { all: all.slice(0, from + end), from: from + low };
  return part;
}

/** Of an array that was sliced: what a slice of it can reach. */
const BACKING = Symbol("backing");
type Part = unknown[] & { [BACKING]?: { all: readonly unknown[]; from: number } };

function backing(part: Part): { all: readonly unknown[]; from: number } {
  return part[BACKING] ?? { all: part, from: 0 };
}

/** Whether it equals any of the others. */
function equalsAny(first: unknown, ...others: unknown[]): boolean {
  if (others.length === 0) throw new Error("missing argument for comparison");
  return others.some((other) => equals(first, other));
}

const BASIC: ReadonlySet<Kind> = new Set<Kind>(["bool", "int", "uint8", "float64", "string"]);

function equals(a: unknown, b: unknown): boolean {
  const [kindA, kindB] = [kindOf(a), kindOf(b)];
  if (kindA === "invalid" || kindB === "invalid") return kindA === kindB;
  if (BASIC.has(kindA) || BASIC.has(kindB)) {
    checkComparable(a, b);
    return kindA === "float64" ? floatOf(a) === floatOf(b) : scalarOf(a) === scalarOf(b);
  }
  if (kindA !== kindB) {
    throw new Error(`non-comparable types ${typeName(a)} and ${typeName(b)}`);
  }
  if (!isComparable(b)) throw new Error(`non-comparable type ${typeName(b)}`);
  return isSame(a, b);
}

function checkComparable(a: unknown, b: unknown): void {
  const [one, other] = [a, b].map((value) => {
    const kind = kindOf(value);
    return kind === "uint8" ? "int" : BASIC.has(kind) ? kind : "other";
  });
  if (one === other) return;
  throw new Error(`incompatible types for comparison: ${typeName(a)} and ${typeName(b)}`);
}

function scalarOf(value: unknown): unknown {
  return value instanceof Byte ? value.value : value;
}

/** Structs are, unless a field isn't. */
function isComparable(value: unknown): boolean {
  const kind = kindOf(value);
  if (kind !== "struct") return kind !== "map" && kind !== "slice" && kind !== "func";
  return fieldsOf(value as object).every(([, field]) => isComparable(field));
}

function isSame(a: unknown, b: unknown): boolean {
  if (kindOf(a) !== "struct") return typeName(a) === typeName(b) && equals(a, b);
  if (kindOf(b) !== "struct") return false;
  const [fieldsA, fieldsB] = [fieldsOf(a as object), fieldsOf(b as object)];
  return fieldsA.length === fieldsB.length &&
    fieldsA.every(([name, value], i) => name === fieldsB[i]![0] && isSame(value, fieldsB[i]![1]));
}

function isLess(a: unknown, b: unknown): boolean {
  for (const value of [a, b]) {
    if (!BASIC.has(kindOf(value))) throw new Error("invalid type for comparison");
  }
  checkComparable(a, b);
  switch (kindOf(a)) {
    case "bool":
      throw new Error("invalid type for comparison");
    case "string":
      return compareStrings(a as string, b as string) < 0;
    case "float64":
      return floatOf(a) < floatOf(b);
    default:
      return integerOf(a) < integerOf(b);
  }
}

function textOf(args: readonly unknown[]): string {
  return sprint(args.map((value) => kindOf(value) === "invalid" ? "<no value>" : value));
}

function escapeHtml(text: string): string {
  return text.replace(/[\0"'&<>]/g, (char) => HTML[char]!);
}

function escapeJs(text: string): string {
  return text.replace(/[\\'"<>&=\0-\x1f]|[^\0-\x7f]/gu, (rune) => {
    const code = rune.codePointAt(0)!;
    if (code >= 0x80) return isBare(rune) ? rune : `\\u${UPPER_HEX(code, 4)}`;
    return /[\\'"]/.test(rune) ? `\\${rune}` : `\\u${UPPER_HEX(code, 4)}`;
  });
}

/** Bytes that aren't UTF-8 count as U+FFFD, which can be printed. */
function isBare(rune: string): boolean {
  return /^\p{Surrogate}/u.test(rune) || isPrintable(rune);
}

function escapeQuery(text: string): string {
  if (/^[\w.~-]*$/.test(text)) return text;
  return toBytes(text).toString("latin1").replace(
    /[^\w.~-]/g,
    (byte) => byte === " " ? "+" : `%${UPPER_HEX(byte.charCodeAt(0), 2)}`,
  );
}
