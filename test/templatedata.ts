/**
 * What template rows are made of: data described in JSON, and functions; templates-go/main.go has
 * the same for Go. Arrays are slices; `{ "map": {…} }`, `{ "intmap": {…} }` (keys are numbers),
 * `{ "struct": {…} }`, `{ "person": { "Name": …, "Age": … } }` (a struct with methods) and
 * `{ "func": name }` stand for what they say.
 */
import { sprint1 } from "../lib/gofmt.ts";
import { Func } from "../lib/govalue.ts";
import { compile, type Functions, TemplateError } from "../lib/template.ts";
import { createFunctions } from "../lib/templatefunctions.ts";

/** A template and data, with what Go makes of them. */
export interface Row {
  readonly name: string;
  readonly template: string;
  readonly data: unknown;
  readonly output?: string;
  readonly error?: Failure;
}

export interface Failure {
  readonly phase: "parse" | "exec" | "panic";
  readonly line: number;
  /** Only of execution does Go tell one. */
  readonly column: number;
  readonly message: string;
}

interface Person {
  readonly Name: string;
  readonly Age: number;
}

const unlucky = (): never => {
  throw new Error("no luck");
};
const joined = (sep: string, ...parts: string[]): string => parts.join(sep);

/** Functions that data can hold, for `call`. */
const VALUES: Readonly<Record<string, unknown>> = {
  hello: () => "hello",
  twice: new Func(["int"], (n: number) => 2 * n),
  joined: new Func(["string", "string"], joined, true),
  fail: unlucky,
};

/** Functions of ours that Go has, too. */
const OURS: readonly string[] = ["replace", "split", "sortlines", "upper"];

/** What templates can use beside the builtins. */
export const FUNCTIONS: Functions = {
  ...Object.fromEntries(
    Object.entries(createFunctions(() => undefined)).filter(([name]) => OURS.includes(name)),
  ),
  join: new Func(
    ["string", "interface {}"],
    (sep: string, list: unknown) => {
      if (!Array.isArray(list)) throw new Error("not a list");
      return list.map(sprint1).join(sep);
    },
  ),
  add1: new Func(
    ["int"],
    (n: number | bigint) => typeof n === "bigint" ? BigInt.asIntN(64, n + 1n) : n + 1,
  ),
  negate: new Func(["bool"], (value: boolean) => !value),
  same: (value: unknown) => value,
  nothing: () => null,
  count: new Func(["interface {}"], (...values: unknown[]) => values.length, true),
  fail: unlucky,
};

/** What the row's template gives here. */
export function run({ template, data }: Row): Pick<Row, "output" | "error"> {
  let phase: Failure["phase"] = "parse";
  try {
    const compiled = compile("t", template, FUNCTIONS);
    phase = "exec";
    return { output: compiled.execute(build(data)) };
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    const { line, message } = error;
    return { error: { phase, line, column: phase === "exec" ? error.column : 0, message } };
  }
}

/** The data that a description stands for. */
export function build(description: unknown): unknown {
  if (Array.isArray(description)) return description.map(build);
  if (typeof description !== "object" || description === null) return description;
  const [[kind, of] = ["struct", {}]] = Object.entries(description);
  if (kind === "func") return VALUES[of];
  const entries = Object.entries(of as object).map(([key, value]) => [key, build(value)] as const);
  if (kind === "map") return new Map(entries);
  if (kind === "intmap") return new Map(entries.map(([key, value]) => [Number(key), value]));
  return kind === "person" ? person(of) : Object.fromEntries(entries);
}

function person({ Name, Age }: Person): Record<string, unknown> {
  const self = (): unknown => person({ Name, Age });
  return {
    ...{ Name, Age, Self: self, Tags: () => ["a", "b"], Nothing: () => null, Fail: unlucky },
    Same: (value: unknown) => value,
    Greet: new Func(["string"], function (this: Person, greeting: string) {
      return `${greeting}, ${this.Name}`;
    }),
    Older: new Func(["int"], (years: number) => person({ Name, Age: Age + years })),
    Join: new Func(
      ["string", "string"],
      (sep: string, ...parts: string[]) => Name + sep + joined(sep, ...parts),
      true,
    ),
  };
}
