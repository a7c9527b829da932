/**
 * The executor of Go's text/template: trees and data in, text out. Pure; needs gofmt.ts,
 * gostring.ts, govalue.ts, templatebuiltins.ts, templatecall.ts, templatenode.ts.
 *
 * It visits nodes in the order of Go's, noting each (`node`), so that an error is told where Go
 * tells it. Variables are a stack, as Go's are. Of data only what govalue.ts lets through is seen.
 */
import { MAX_TEXT, sprint1 } from "./gofmt.ts";
import { quoteGo } from "./gostring.ts";
import {
  Byte,
  Func,
  hasStringKeys,
  isTrue,
  kindOf,
  type Parameter,
  sortedEntries,
  typeName,
} from "./govalue.ts";
import { BUILTINS } from "./templatebuiltins.ts";
import {
  apply,
  bounded,
  type Callable,
  callValue,
  countProblem,
  fits,
  parameterAt,
} from "./templatecall.ts";
import {
  type Branch,
  type Command,
  type Node,
  type Operand,
  type Pipe,
  showNode,
  type Statement,
} from "./templatenode.ts";

/** Templates within templates; Go's is 100,000, for which JavaScript's stack is too small. */
const MAX_DEPTH = 500;

/** Statements and rounds of a `range`: a second's worth, so that a wrong number ends. */
const MAX_STEPS = 10_000_000;

/** Something that can't be done, at `node` of the template named `template`. */
export class ExecutionProblem extends Error {
  readonly node: Node;
  readonly template: string;
  constructor(message: string, node: Node, template: string) {
    super(message);
    this.node = node;
    this.template = template;
  }
}

type Trees = ReadonlyMap<string, readonly Statement[]>;

interface State {
  readonly trees: Trees;
  readonly functions: ReadonlyMap<string, Callable>;
  readonly out: string[];
  readonly budget: { steps: number; size: number };
  /** What is running, and where it is. */
  template: string;
  node: Node;
  depth: number;
  /** Names and values of variables, the innermost last. */
  names: string[];
  values: unknown[];
}

/** What stops a list before its end. */
type Signal = "break" | "continue" | undefined;

/** Whether it is an object's own and enumerable. */
const isMember = Object.prototype.propertyIsEnumerable;

/** No value came through the pipe: not the same as a value that is nothing. */
const ABSENT = Symbol("absent");

/** Throws ExecutionProblem. */
export function executeTree(
  trees: Trees,
  name: string,
  functions: ReadonlyMap<string, Callable>,
  data: unknown,
): string {
  const tree = trees.get(name) ?? [];
  const dot = data === null ? undefined : data;
  const s: State = {
    trees,
    functions,
    out: [],
    budget: { steps: 0, size: 0 },
    template: name,
    node: { type: "text", at: 0, text: "" },
    depth: 0,
    names: ["$"],
    values: [dot],
  };
  try {
    walk(s, dot, tree);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    fail(s, `nested too deeply or too large: ${error.message}`);
  }
  return s.out.join("");
}

function fail(s: State, message: string): never {
  throw new ExecutionProblem(message, s.node, s.template);
}

function step(s: State): void {
  if (++s.budget.steps > MAX_STEPS) fail(s, `more than ${MAX_STEPS} steps`);
}

function write(s: State, text: string): void {
  s.budget.size += text.length;
  if (s.budget.size > MAX_TEXT) fail(s, `more than ${MAX_TEXT} characters of output`);
  s.out.push(text);
}

function walk(s: State, dot: unknown, list: readonly Statement[]): Signal {
  for (const node of list) {
    step(s);
    s.node = node;
    let signal: Signal;
    switch (node.type) {
      case "text":
        write(s, node.text);
        break;
      case "action":
        printValue(s, node, evaluate(s, dot, node.pipe), node.pipe.variables.length > 0);
        break;
      case "template":
        walkTemplate(s, dot, node);
        break;
      case "range":
        signal = walkRange(s, dot, node);
        break;
      case "if":
      case "with":
        signal = walkBranch(s, dot, node);
        break;
      default:
        return node.type;
    }
    if (signal !== undefined) return signal;
  }
  return undefined;
}

function printValue(s: State, node: Node, value: unknown, isDeclared: boolean): void {
  if (isDeclared) return;
  s.node = node;
  if (value === undefined) return write(s, "<no value>");
  if (kindOf(value) === "func") {
    fail(s, `can't print ${showNode(node)} of type ${typeName(value)}`);
  }
  write(s, sprint1(value));
}

function walkBranch(s: State, dot: unknown, node: Branch): Signal {
  const mark = s.names.length;
  const value = evaluate(s, dot, node.pipe);
  let signal: Signal;
  if (isTrue(value)) signal = walk(s, node.type === "with" ? value : dot, node.body);
  else if (node.otherwise !== undefined) signal = walk(s, dot, node.otherwise);
  s.names.length = s.values.length = mark;
  return signal;
}

function walkTemplate(s: State, dot: unknown, node: Statement & { type: "template" }): void {
  const tree = s.trees.get(node.name);
  if (tree === undefined) fail(s, `template ${quoteGo(node.name)} not defined`);
  if (s.depth >= MAX_DEPTH) fail(s, `exceeded maximum template depth (${MAX_DEPTH})`);
  const value = node.pipe === undefined ? undefined : evaluate(s, dot, node.pipe);
  const { trees, functions, out, budget } = s;
  const [depth, names, values] = [s.depth + 1, ["$"], [value]];
  const inner: State = {
    trees,
    functions,
    out,
    budget,
    template: node.name,
    node,
    depth,
    names,
    values,
  };
  walk(inner, value, tree);
}

function walkRange(s: State, dot: unknown, node: Branch): Signal {
  const start = s.names.length;
  const value = evaluate(s, dot, node.pipe);
  const mark = s.names.length;
  const { variables, isAssign } = node.pipe;
  let isEmpty = true;
  for (const [index, element] of rounds(s, value, variables.length)) {
    isEmpty = false;
    step(s);
    if (isAssign) {
      if (variables.length > 0) assign(s, variables[0]!, variables.length > 1 ? index : element);
      if (variables.length > 1) assign(s, variables[1]!, element);
    } else {
      if (variables.length > 0) s.values[mark - 1] = element;
      if (variables.length > 1) s.values[mark - 2] = index;
    }
    const signal = walk(s, element, node.body);
    s.names.length = s.values.length = mark;
    if (signal === "break") break;
  }
  const hasElse = isEmpty && node.otherwise !== undefined;
  const signal = hasElse ? walk(s, dot, node.otherwise) : undefined;
  s.names.length = s.values.length = start;
  // As in Go, a `break` in an `else` ends just that, a `continue` the round of the range around.
  return signal === "continue" ? signal : undefined;
}

/** Index and element of each round. */
function rounds(s: State, value: unknown, variables: number): Iterable<readonly unknown[]> {
  switch (kindOf(value)) {
    case "invalid":
      return [];
    case "slice":
      return elements(value as unknown[]);
    case "map":
      return sortedEntries(value as ReadonlyMap<unknown, unknown>);
    case "int":
    case "uint8":
      if (variables < 2) return count(value);
      return fail(s, `can't use ${sprint1(value)} to iterate over more than one variable`);
    default:
      return fail(s, `range can't iterate over ${sprint1(value)}`);
  }
}

function* elements(list: readonly unknown[]): Generator<readonly unknown[]> {
  for (let i = 0; i < list.length; i++) yield [i, list[i] ?? null];
}

function* count(value: unknown): Generator<readonly unknown[]> {
  const isByte = value instanceof Byte;
  const end = Number(isByte ? value.value : value);
  for (let i = 0; i < end; i++) yield [undefined, isByte ? new Byte(i) : i];
}

function assign(s: State, name: string, value: unknown): void {
  const at = s.names.lastIndexOf(name);
  if (at < 0) fail(s, `undefined variable: ${name}`);
  s.values[at] = value;
}

function evaluate(s: State, dot: unknown, pipe: Pipe): unknown {
  s.node = pipe;
  let value: unknown = ABSENT;
  for (const command of pipe.commands) {
    value = evaluateCommand(s, dot, command, value) ?? undefined; // a nil interface holds nothing
  }
  for (const name of pipe.variables) {
    if (pipe.isAssign) assign(s, name, value);
    else {
      s.names.push(name);
      s.values.push(value);
    }
  }
  return value;
}

/** `final`: what the command before gave, the last argument of this one. */
function evaluateCommand(s: State, dot: unknown, command: Command, final: unknown): unknown {
  const { args } = command;
  const first = args[0]!;
  switch (first.type) {
    case "field":
      s.node = first;
      return evaluatePath(s, dot, dot, first, first.path, args, final);
    case "chain":
      return evaluateChain(s, dot, first, args, final);
    case "identifier":
      return evaluateFunction(s, dot, first, command, args, final);
    case "variable":
      return evaluateVariable(s, dot, first, args, final);
    case "pipe":
      checkNoArguments(s, args, final);
      return evaluate(s, dot, first);
  }
  s.node = first;
  checkNoArguments(s, args, final);
  if (first.type === "nil") fail(s, "nil is not a command");
  return constantOf(s, dot, first);
}

function checkNoArguments(s: State, args: readonly Operand[], final: unknown): void {
  if (args.length > 1 || final !== ABSENT) {
    fail(s, `can't give argument to non-function ${showNode(args[0]!)}`);
  }
}

function constantOf(s: State, dot: unknown, node: Operand): unknown {
  s.node = node;
  if (node.type === "dot") return dot;
  if (node.type === "bool" || node.type === "string") return node.value;
  if (node.type !== "number") return fail(s, `can't evaluate ${showNode(node)}`);
  return node.constant.value ?? fail(s, `${node.text} overflows int`);
}

function evaluateVariable(
  s: State,
  dot: unknown,
  node: Operand & { type: "variable" },
  args: readonly Operand[],
  final: unknown,
): unknown {
  s.node = node;
  const at = s.names.lastIndexOf(node.name);
  if (at < 0) fail(s, `undefined variable: ${node.name}`);
  const value = s.values[at];
  if (node.path.length > 0) return evaluatePath(s, dot, value, node, node.path, args, final);
  checkNoArguments(s, args.length === 0 ? [node] : args, final);
  return value;
}

function evaluateChain(
  s: State,
  dot: unknown,
  node: Operand & { type: "chain" },
  args: readonly Operand[],
  final: unknown,
): unknown {
  s.node = node;
  const value = evaluateArgument(s, dot, node.of, undefined);
  return evaluatePath(s, dot, value, node, node.path, args, final);
}

/** `.a.b.c`: arguments are for the last. */
function evaluatePath(
  s: State,
  dot: unknown,
  from: unknown,
  node: Operand,
  path: readonly string[],
  args: readonly Operand[],
  final: unknown,
): unknown {
  let value = from;
  const last = path.length - 1;
  for (let i = 0; i < last; i++) value = evaluateField(s, dot, path[i]!, node, [], ABSENT, value);
  return evaluateField(s, dot, path[last]!, node, args, final, value);
}

/** A struct's method or field, a map's element: never what an object inherits. */
function evaluateField(
  s: State,
  dot: unknown,
  name: string,
  node: Operand,
  args: readonly Operand[],
  final: unknown,
  of: unknown,
): unknown {
  if (of === undefined) return undefined;
  if (of === null) return fail(s, `nil pointer evaluating interface {}.${name}`);
  const hasArguments = args.length > 1 || final !== ABSENT;
  const kind = kindOf(of);
  if (kind === "struct" && isMember.call(of, name)) {
    const member = (of as Record<string, unknown>)[name];
    if (typeof member === "function" || member instanceof Func) {
      return callWith(s, dot, member as Callable, { of, name, node, args, final });
    }
    if (hasArguments) fail(s, `${name} has arguments but cannot be invoked as function`);
    return member ?? null;
  }
  if (kind === "map" && hasStringKeys(of as Map<unknown, unknown>)) {
    const map = of as ReadonlyMap<unknown, unknown>;
    if (hasArguments) fail(s, `${name} is not a method but has arguments`);
    return map.has(name) ? map.get(name) ?? null : undefined;
  }
  return fail(s, `can't evaluate field ${name} in type ${typeName(of)}`);
}

function evaluateFunction(
  s: State,
  dot: unknown,
  identifier: Operand & { type: "identifier" },
  node: Node,
  args: readonly Operand[],
  final: unknown,
): unknown {
  s.node = identifier;
  const { name } = identifier;
  const own = s.functions.get(name);
  const builtin = own === undefined ? name : "";
  const callable = own ?? BUILTINS.get(name)!;
  return callWith(s, dot, callable, { of: undefined, name, node, args, final, builtin });
}

interface Call {
  /** The struct whose method it is. */
  readonly of: unknown;
  readonly name: string;
  /** Where it is said that the function failed. */
  readonly node: Node;
  /** Of the command: the first is the function itself. */
  readonly args: readonly Operand[];
  readonly final: unknown;
  /** Its name if it is a builtin. */
  readonly builtin?: string;
}

function callWith(s: State, dot: unknown, callable: Callable, call: Call): unknown {
  const { name, final, builtin } = call;
  const operands = call.args.slice(1);
  const given = operands.length + (final === ABSENT ? 0 : 1);
  const problem = countProblem(callable, name, operands.length, given);
  if (problem !== undefined) fail(s, problem);
  if (builtin === "and" || builtin === "or") {
    let value: unknown;
    for (const operand of operands) {
      value = evaluateArgument(s, dot, operand, "interface {}");
      if (isTrue(value) === (builtin === "or")) return value;
    }
    return final === ABSENT ? value : final;
  }
  const values = operands.map((operand, i) =>
    evaluateArgument(s, dot, operand, parameterAt(callable, i))
  );
  if (final !== ABSENT) values.push(convert(s, final, parameterAt(callable, given - 1)));
  try {
    if (builtin !== "call") return bounded(apply(callable, call.of, values));
    const shown = operands[0] === undefined ? sprint1(final) : showNode(operands[0]);
    return bounded(callValue(shown, values[0], values.slice(1)));
  } catch (error) {
    if (error instanceof ExecutionProblem) throw error;
    s.node = call.node;
    const message = error instanceof Error ? error.message : String(error);
    return fail(s, `error calling ${name}: ${message}`);
  }
}

/** `type` undefined: whatever it is. */
function evaluateArgument(
  s: State,
  dot: unknown,
  node: Operand,
  type: Parameter | undefined,
): unknown {
  s.node = node;
  switch (node.type) {
    case "dot":
      return convert(s, dot, type);
    case "nil":
      if (type === "interface {}" || type === "[]interface {}") return undefined;
      return fail(s, `cannot assign nil to ${type}`);
    case "field":
      return convert(s, evaluatePath(s, dot, dot, node, node.path, [], ABSENT), type);
    case "variable":
      return convert(s, evaluateVariable(s, dot, node, [], ABSENT), type);
    case "pipe":
      return convert(s, evaluate(s, dot, node), type);
    case "identifier":
      return convert(s, evaluateFunction(s, dot, node, node, [], ABSENT), type);
    case "chain":
      return convert(s, evaluateChain(s, dot, node, [], ABSENT), type);
  }
  if (type === undefined || type === "interface {}") return constantOf(s, dot, node);
  if (type === "string" && node.type === "string") return node.value;
  if (type === "bool" && node.type === "bool") return node.value;
  const isInt = type === "int" && node.type === "number" && node.constant.integer !== undefined;
  if (isInt) return node.constant.integer;
  if (type === "[]interface {}") fail(s, `can't handle ${showNode(node)} for arg of type ${type}`);
  return fail(s, `expected ${type === "int" ? "integer" : type}; found ${showNode(node)}`);
}

/** The value as an argument of that type. */
function convert(s: State, value: unknown, type: Parameter | undefined): unknown {
  if (type === undefined || fits(value, type)) return value;
  if (value === undefined) fail(s, `invalid value; expected ${type}`);
  return fail(s, `wrong type for value; expected ${type}; got ${typeName(value)}`);
}
