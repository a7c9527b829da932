/**
 * Calling functions with values as arguments: how many there must be, and of which types. Pure;
 * needs gofmt.ts, govalue.ts. Errors are in Go's words.
 */
import { MAX_TEXT } from "./gofmt.ts";
import { Byte, Func, kindOf, type Parameter, typeName } from "./govalue.ts";

/** A plain function takes anything, as many as its `length` says. */
export type Callable = Func | ((...args: never[]) => unknown);

export function apply(callable: Callable, of: unknown, args: readonly unknown[]): unknown {
  const run = callable instanceof Func ? callable.call : callable;
  return Reflect.apply(run, of, args) ?? null;
}

/** Texts that grow by being put together stop here. */
export function bounded(value: unknown): unknown {
  if (typeof value === "string" && value.length > MAX_TEXT) {
    throw new Error(`a text of more than ${MAX_TEXT} characters`);
  }
  return value;
}

/** `call`: of a function that is a value. */
export function callValue(shown: string, value: unknown, args: readonly unknown[]): unknown {
  if (kindOf(value) === "invalid") throw new Error("call of nil");
  if (typeof value !== "function" && !(value instanceof Func)) {
    throw new Error(`non-function ${shown} of type ${typeName(value)}`);
  }
  const callable = value as Callable;
  const { wanted, isVariadic } = signature(callable);
  if (isVariadic ? args.length < wanted : args.length !== wanted) {
    const least = isVariadic ? "at least " : "";
    throw new Error(`wrong number of args for ${shown}: got ${args.length} want ${least}${wanted}`);
  }
  const values = args.map((arg, i) => {
    const type = parameterAt(callable, i);
    const value = type === "int" && arg instanceof Byte ? arg.value : arg;
    if (fits(value, type)) return value;
    const isNil = kindOf(arg) === "invalid";
    const problem = isNil ? "is nil; should be of type" : `has type ${typeName(arg)}; should be`;
    throw new Error(`arg ${i}: value ${problem} ${type}`);
  });
  return apply(callable, undefined, values);
}

/** How many arguments there must be. A plain function takes as many as its `length` says. */
function signature(callable: Callable): { wanted: number; isVariadic: boolean } {
  if (!(callable instanceof Func)) return { wanted: callable.length, isVariadic: false };
  const { parameters: { length }, isVariadic } = callable;
  return { wanted: isVariadic ? length - 1 : length, isVariadic };
}

/** What is wrong with a number of arguments, the one that comes through the pipe among `given`. */
export function countProblem(
  callable: Callable,
  name: string,
  operands: number,
  given: number,
): string | undefined {
  const { wanted, isVariadic } = signature(callable);
  if (isVariadic ? given >= wanted : given === wanted) return undefined;
  const numbers = isVariadic ? `at least ${wanted} got ${operands}` : `${wanted} got ${given}`;
  return `wrong number of args for ${name}: want ${numbers}`;
}

export function parameterAt(callable: Callable, index: number): Parameter {
  if (!(callable instanceof Func)) return "interface {}";
  return callable.parameters[index] ?? callable.parameters.at(-1) ?? "interface {}";
}

export function fits(value: unknown, type: Parameter): boolean {
  if (type === "interface {}") return true;
  return type === "[]interface {}"
    ? value === undefined || Array.isArray(value)
    : kindOf(value) === type;
}
