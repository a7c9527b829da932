/**
 * Go's view of JavaScript's values: what kind each is, the name of its type, its truth and order.
 * Pure; needs gostring.ts.
 *
 *   undefined              nothing (a missing key)  string, boolean    string, bool
 *   null                   a nil in an interface    integral number    int (a bigint beyond 2^53)
 *   Map                    map                      other number       float64 (Float if integral)
 *   array                  slice                    Byte               uint8
 *   other object           struct                   function, Func     func; of a struct: a method
 *
 * Of an object only its own enumerable members exist: nothing of a prototype can be reached. Maps
 * and slices hold interfaces, unless all that is in one is of one basic type (as strings in an
 * empty one are): then that, and a missing key's value is that type's zero.
 */
import { compareStrings } from "./gostring.ts";

export type Kind =
  | "invalid"
  | "bool"
  | "int"
  | "uint8"
  | "float64"
  | "string"
  | "map"
  | "slice"
  | "struct"
  | "func";

/** A float64 whose value is integral. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A byte of a string. */
export class Byte {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A map of interfaces, whatever is in it. */
export class AnyMap extends Map<string, unknown> {}

/** A parameter's type; `[]interface {}` takes any slice, the last takes anything. */
export type Parameter = "string" | "int" | "bool" | "[]interface {}" | "interface {}";

/** A function with parameters of types; of a variadic one the last may come any number of times. */
export class Func {
  readonly parameters: readonly Parameter[];
  readonly isVariadic: boolean;
  readonly call: (...args: never[]) => unknown;
  constructor(
    parameters: readonly Parameter[],
    call: (...args: never[]) => unknown,
    isVariadic = false,
  ) {
    this.parameters = parameters;
    this.call = call;
    this.isVariadic = isVariadic;
  }
}

const KINDS: Readonly<Record<string, Kind>> = {
  undefined: "invalid",
  symbol: "invalid",
  boolean: "bool",
  string: "string",
  bigint: "int",
  function: "func",
};

/** The types that an element can be of, all others being interfaces, with their zeros. */
const ZEROS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["string", ""],
  ["bool", false],
  ["int", 0],
  ["float64", new Float(0)],
]);

export function kindOf(value: unknown): Kind {
  if (typeof value === "number") return Number.isSafeInteger(value) ? "int" : "float64";
  if (typeof value !== "object") return KINDS[typeof value]!;
  if (value === null) return "invalid";
  if (value instanceof Map) return "map";
  if (Array.isArray(value)) return "slice";
  if (value instanceof Float) return "float64";
  if (value instanceof Byte) return "uint8";
  return value instanceof Func ? "func" : "struct";
}

/** Of a float64. */
export function floatOf(value: unknown): number {
  return value instanceof Float ? value.value : value as number;
}

/** Of an int or uint8; a bigint beyond 2^53. */
export function integerOf(value: unknown): number | bigint {
  return value instanceof Byte ? value.value : value as number | bigint;
}

export function makeFloat(value: number): number | Float {
  return Number.isSafeInteger(value) ? new Float(value) : value;
}

/** As Go writes it. */
export function typeName(value: unknown): string {
  const kind = kindOf(value);
  switch (kind) {
    case "invalid":
      return "interface {}";
    case "map": {
      const map = value as ReadonlyMap<unknown, unknown>;
      return `map[${elementType(map.keys())}]${mapElement(map)}`;
    }
    case "slice":
      return `[]${elementType(value as unknown[])}`;
    case "struct": {
      const fields = fieldsOf(value as object).map(([name, of]) => ` ${name} ${typeName(of)}`);
      return `struct {${fields.join(";")}${fields.length > 0 ? " " : ""}}`;
    }
    case "func":
      return "func()";
    default:
      return kind;
  }
}

/** What a key that is missing stands for: null, a nil interface, or a basic type's zero. */
export function zeroElement(map: ReadonlyMap<unknown, unknown>): unknown {
  return ZEROS.get(mapElement(map)) ?? null;
}

/** Whether keys are strings, as an empty map's are. */
export function hasStringKeys(map: ReadonlyMap<unknown, unknown>): boolean {
  for (const key of map.keys()) return typeof key === "string";
  return true;
}

/** Name and value of a struct's members that aren't methods, in their order. */
export function fieldsOf(struct: object): [string, unknown][] {
  return Object.entries(struct).filter(([, value]) => kindOf(value) !== "func");
}

/** By key, as Go visits them: numbers by value, strings by their bytes. */
export function sortedEntries(
  map: ReadonlyMap<unknown, unknown>,
): readonly (readonly [unknown, unknown])[] {
  return [...map].sort(([a], [b]) =>
    typeof a === "string" && typeof b === "string" ? compareStrings(a, b) : Number(a) - Number(b)
  );
}

/** Whether it isn't its type's zero or empty. */
export function isTrue(value: unknown): boolean {
  switch (kindOf(value)) {
    case "invalid":
      return false;
    case "bool":
      return value as boolean;
    case "string":
    case "slice":
      return (value as string | unknown[]).length > 0;
    case "map":
      return (value as Map<unknown, unknown>).size > 0;
    case "int":
    case "uint8":
      return Number(integerOf(value)) !== 0;
    case "float64":
      return floatOf(value) !== 0;
    default:
      return true;
  }
}

function mapElement(map: ReadonlyMap<unknown, unknown>): string {
  return map instanceof AnyMap ? "interface {}" : elementType(map.values());
}

function elementType(values: Iterable<unknown>): string {
  let first: string | undefined;
  for (const value of values) {
    const kind = kindOf(value);
    if (!ZEROS.has(kind) || kind !== (first ?? kind)) return "interface {}";
    first = kind;
  }
  return first ?? "string";
}
