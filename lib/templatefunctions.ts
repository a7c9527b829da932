/**
 * The functions of Dotege's templates beside Go's builtins: Go Dotege's four, and those that users
 * of Sprig and docker-gen reach for, with their names and argument orders (what is worked on comes
 * last, for pipes; docker-gen's `groupBy` and `where` take it first). Pure; needs gofmt.ts,
 * gostring.ts, govalue.ts, template.ts, templateliteral.ts.
 *
 * Not as there: `split` gives a list (as Go Dotege's does), where a list of texts is wanted any
 * list or value does, a list that is sorted stays as it was, `keys` come sorted, `first` and `last`
 * of nil are nil, and `groupBy` and `where` take a map's elements, and values that aren't text,
 * too.
 */
import { MAX_TEXT, sprint1, sprintf } from "./gofmt.ts";
import { bytewise, compareStrings, joined, quoteGo, wellFormed } from "./gostring.ts";
import {
  AnyMap,
  fieldsOf,
  floatOf,
  Func,
  integerOf,
  isTrue,
  kindOf,
  makeFloat,
  type Parameter,
  sortedEntries,
  typeName,
} from "./govalue.ts";
import type { Functions } from "./template.ts";
import { parseInt64 } from "./templateliteral.ts";

/** Of what fromJson reads: UTF-16 units, and lists and maps within each other. */
const MAX_JSON = 4 * 1024 * 1024;
const MAX_JSON_DEPTH = 100;

const WHITE = /\p{White_Space}/u;

/** A row of the README's table. */
export interface FunctionHelp {
  readonly name: string;
  /** Its arguments, as in a template. */
  readonly usage: string;
  readonly help: string;
}

interface Row extends FunctionHelp {
  readonly func: Func;
}

/** Looks a variable of the environment up. */
type Environment = (name: string) => string | undefined;

/** Parameters by letter: `s` string, `i` int, `a` anything; `*` at the end: any number of it. */
function row(
  name: string,
  usage: string,
  parameters: string,
  help: string,
  call: (...args: never[]) => unknown,
): Row {
  const types: Readonly<Record<string, Parameter>> = { s: "string", i: "int", a: "interface {}" };
  const letters = parameters.replace("*", "");
  const func = new Func([...letters].map((letter) => types[letter]!), call, letters !== parameters);
  return { name, usage, help, func };
}

const rows = (env: Environment): readonly Row[] => [
  row("replace", "from to text", "sss", "`text` with each `from` replaced by `to`", replace),
  row("split", "separator text", "ss", "The parts of `text` between separators, a list", split),
  row("join", "separator list", "sa", "The elements as one text", join),
  row("sortlines", "text", "s", "The lines sorted, by their bytes", sortLines),
  row(
    "default",
    "fallback value",
    "aa*",
    "`value`, unless it is empty, zero or missing",
    orDefault,
  ),
  row("lower", "text", "s", "In lower case", lower),
  row("upper", "text", "s", "In upper case", upper),
  row("trim", "text", "s", "Without white space around it", trim),
  row("trimPrefix", "prefix text", "ss", "`text` without `prefix`", trimPrefix),
  row("trimSuffix", "suffix text", "ss", "`text` without `suffix`", trimSuffix),
  row("hasPrefix", "prefix text", "ss", "Whether `text` begins with `prefix`", hasPrefix),
  row("hasSuffix", "suffix text", "ss", "Whether `text` ends with `suffix`", hasSuffix),
  row("contains", "part text", "ss", "Whether `part` is in `text`", contains),
  row("first", "list", "a", "The first element; nil if there is none", first),
  row("last", "list", "a", "The last element; nil if there is none", last),
  row("sortAlpha", "list", "a", "The elements as text, sorted by their bytes", sortAlpha),
  row("uniq", "list", "a", "The list without what it has twice", uniq),
  row("keys", "map…", "a*", "The keys, sorted", keys),
  row("has", "value list", "aa", "Whether `value` is an element", has),
  row("dict", "key value…", "a*", "A map", dict),
  row("list", "value…", "a*", "A list", (...values: unknown[]) => values),
  row("toJson", "value", "a", "As JSON", toJson),
  row("fromJson", "text", "s", "What the JSON says; nil if it isn't JSON", fromJson),
  row("env", "name", "s", "A variable of Dotege's environment", (name: string) => env(name) ?? ""),
  row("quote", "value…", "a*", "In double quotes, escaped", quote),
  row("indent", "spaces text", "is", "Each line with so many spaces before it", indent),
  row("int", "value", "a", "As an integer; 0 if it isn't a number", toInt),
  row("add", "value…", "a*", "The sum, of integers", add),
  row("groupBy", "list path", "as", "Lists of elements by what is at `path` in each", groupBy),
  row("where", "list path value", "asa", "The elements that have `value` at `path`", where),
];

const sortLines = (text: string) => text.split("\n").sort(compareStrings).join("\n");
const orDefault = (fallback: unknown, value: unknown) => isTrue(value) ? value : fallback;
const lower = (text: string) => mapRunes(text, "toLowerCase");
const upper = (text: string) => mapRunes(text, "toUpperCase");
const hasPrefix = (prefix: string, text: string) => text.startsWith(prefix);
const hasSuffix = (suffix: string, text: string) => text.endsWith(suffix);
const contains = (part: string, text: string) => text.includes(part);
const trimPrefix = (prefix: string, text: string) =>
  text.startsWith(prefix) ? text.slice(prefix.length) : text;
const trimSuffix = (suffix: string, text: string) =>
  text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text;
const first = (list: unknown) => listOf("first", list)[0];
const last = (list: unknown) => listOf("last", list).at(-1);
const sortAlpha = (list: unknown) => textsOf(list).sort(compareStrings);

/** For compile(). `env` is asked when a template calls `env`. */
export function createFunctions(env: Environment): Functions {
  return Object.fromEntries(rows(env).map(({ name, func }) => [name, func]));
}

/** Each function, for people. */
export const FUNCTION_HELP: readonly FunctionHelp[] = rows(() => undefined)
  .map(({ name, usage, help }) => ({ name, usage, help }));

function replace(from: string, to: string, text: string): string {
  const parts = from === "" ? ["", ...text, ""] : split(from, text);
  checkSize(text.length + (parts.length - 1) * Math.max(to.length - from.length, 0));
  return joined(parts.join(to));
}

function join(separator: string, list: unknown): string {
  const text = textsOf(list).join(separator);
  checkSize(text.length);
  return joined(text);
}

/** An empty separator: into characters. */
function split(separator: string, text: string): string[] {
  if (separator === "") return [...text];
  return bytewise([separator, text], (part = "", whole = "") => whole.split(part));
}

function trim(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && WHITE.test(text[start]!)) start++;
  while (end > start && WHITE.test(text[end - 1]!)) end--;
  return text.slice(start, end);
}

/** Go maps runes one by one: to none of several, and bytes that are none to U+FFFD. */
function mapRunes(text: string, way: "toLowerCase" | "toUpperCase"): string {
  if (/^[\0-\x7f]*$/.test(text)) return text[way]();
  return Array.from(wellFormed(text), (rune) => {
    const mapped = rune[way]();
    return [...mapped].length === 1 ? mapped : rune;
  }).join("");
}

function uniq(value: unknown): unknown[] {
  const seen = new Map<string, unknown>();
  for (const element of listOf("uniq", value)) {
    const key = keyOf(element);
    if (!seen.has(key)) seen.set(key, element);
  }
  return [...seen.values()];
}

function keys(...maps: unknown[]): unknown[] {
  return maps.flatMap((map) => sortedEntries(mapOf("keys", map)).map(([key]) => key));
}

function has(value: unknown, list: unknown): boolean {
  const key = keyOf(value);
  return listOf("has", list).some((element) => keyOf(element) === key);
}

function dict(...pairs: unknown[]): AnyMap {
  const map = new AnyMap();
  for (let i = 0; i < pairs.length; i += 2) {
    map.set(sprint1(pairs[i]), i + 1 < pairs.length ? pairs[i + 1] ?? null : "");
  }
  return map;
}

function quote(...values: unknown[]): string {
  const present = values.filter((value) => kindOf(value) !== "invalid");
  return present.map((value) => quoteGo(sprint1(value))).join(" ");
}

function indent(spaces: number, text: string): string {
  if (spaces < 0) throw new Error(`${spaces} spaces: expected 0 or more`);
  const lines = text.split("\n");
  checkSize(text.length + lines.length * spaces);
  const space = " ".repeat(spaces);
  return space + lines.join(`\n${space}`);
}

/** Of text, as Go writes integers in any base; of a number, cut. */
function toInt(value: unknown): number | bigint {
  switch (kindOf(value)) {
    case "string":
      return parseInt64((value as string).replace(/\.0+$/, "")) ?? 0;
    case "int":
    case "uint8":
      return integerOf(value);
    case "float64": {
      const whole = Math.trunc(floatOf(value));
      return Number.isFinite(whole) ? narrow(BigInt(whole)) : 0;
    }
    default:
      return value === true ? 1 : 0;
  }
}

function add(...values: unknown[]): number | bigint {
  return narrow(values.reduce<bigint>((sum, value) => sum + BigInt(toInt(value)), 0n));
}

function narrow(value: bigint): number | bigint {
  const int = BigInt.asIntN(64, value); // overflows as Go's
  return Number.isSafeInteger(Number(int)) ? Number(int) : int;
}

function groupBy(list: unknown, path: string): AnyMap {
  const groups = new Map<string, unknown[]>();
  for (const element of elementsOf("groupBy", list)) {
    const found = valueAt(element, path);
    if (kindOf(found) === "invalid") continue;
    const key = sprint1(found);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [element]);
    else group.push(element);
  }
  return new AnyMap(groups);
}

function where(list: unknown, path: string, value: unknown): unknown[] {
  const key = keyOf(value);
  return elementsOf("where", list).filter((element) => keyOf(valueAt(element, path)) === key);
}

/** `A.b.0`: fields, keys (which may have dots), indexes. Undefined where there is none. */
function valueAt(value: unknown, path: string): unknown {
  let found = value;
  const parts = path === "" ? [] : path.replace(/^\./, "").split(".");
  for (let i = 0; i < parts.length; i++) {
    const name = parts[i]!;
    if (found instanceof Map) {
      let end = i + 1;
      while (end < parts.length && !found.has(parts.slice(i, end).join("."))) end++;
      found = found.get(parts.slice(i, end).join("."));
      i = end - 1;
    } else if (Array.isArray(found)) found = /^\d+$/.test(name) ? found[Number(name)] : undefined;
    else {found = kindOf(found) === "struct"
        ? new Map(fieldsOf(found as object)).get(name)
        : undefined;}
  }
  return found;
}

/** Keys are sorted; nothing for what JSON doesn't have, as Sprig has it. */
function toJson(value: unknown): string {
  const text = jsonOf(value);
  if (text === undefined) return "";
  return text.replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function jsonOf(value: unknown): string | undefined {
  const pairs = (entries: readonly (readonly [unknown, unknown])[]) => {
    const members = entries.map(([key, of]) => [JSON.stringify(wellFormed(`${key}`)), jsonOf(of)]);
    if (members.some(([, text]) => text === undefined)) return undefined;
    return `{${members.map((member) => member.join(":")).join(",")}}`;
  };
  switch (kindOf(value)) {
    case "invalid":
      return "null";
    case "string":
      return JSON.stringify(wellFormed(value as string));
    case "float64":
      return Number.isFinite(floatOf(value)) ? `${floatOf(value)}` : undefined;
    case "bool":
    case "int":
    case "uint8":
      return sprint1(value);
    case "map":
      return pairs(sortedEntries(value as ReadonlyMap<unknown, unknown>));
    case "slice": {
      const elements = (value as unknown[]).map(jsonOf);
      return elements.includes(undefined) ? undefined : `[${elements.join(",")}]`;
    }
    case "struct":
      return pairs(fieldsOf(value as object));
    default:
      return undefined;
  }
}

/** Numbers are floats, as Go's are. */
function fromJson(text: string): unknown {
  if (text.length > MAX_JSON) throw new Error(`JSON of more than ${MAX_JSON} characters`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return null;
  }
  return fromParsed(json, 0);
}

function fromParsed(json: unknown, depth: number): unknown {
  if (depth > MAX_JSON_DEPTH) throw new Error(`JSON nested more than ${MAX_JSON_DEPTH} deep`);
  if (typeof json === "number") return makeFloat(json);
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map((element) => fromParsed(element, depth + 1));
  const entries = Object.entries(json).map(([key, of]) =>
    [key, fromParsed(of, depth + 1)] as const
  );
  return new AnyMap(entries);
}

/** Whatever is equal in type and content has the same. */
function keyOf(value: unknown): string {
  return typeof value === "string" ? `string ${value}` : sprintf("%T %#v", [value, value]);
}

function listOf(name: string, value: unknown): readonly unknown[] {
  if (kindOf(value) === "invalid") return [];
  if (Array.isArray(value)) return value;
  throw new Error(`cannot find ${name} on type ${typeName(value)}`);
}

function elementsOf(name: string, value: unknown): readonly unknown[] {
  return value instanceof Map ? sortedEntries(value).map(([, of]) => of) : listOf(name, value);
}

function mapOf(name: string, value: unknown): ReadonlyMap<unknown, unknown> {
  if (kindOf(value) === "invalid") return new Map();
  if (value instanceof Map) return value;
  throw new Error(`cannot call ${name} on a non-map value of type ${typeName(value)}`);
}

/** A list's elements as text, but for nils; of another value that. */
function textsOf(value: unknown): string[] {
  if (kindOf(value) === "invalid") return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((element) => kindOf(element) !== "invalid").map(sprint1);
}

function checkSize(length: number): void {
  if (length > MAX_TEXT) throw new Error(`a text of more than ${MAX_TEXT} characters`);
}
