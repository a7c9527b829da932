/**
 * Templates at random, for a comparison with the real package; nothing that the tests run.
 *
 *     node --import tsx test/templatefuzz.ts SEED COUNT > rows
 *     (cd test/templates-go && go run .) < rows > answers
 *     node --import tsx test/templatefuzz.ts answers
 *
 * The last tells the rows where output, or phase, line or column of a failure differ.
 */
import { createReadStream } from "node:fs";
import { argv, stdout } from "node:process";
import { createInterface } from "node:readline";
import { type Row, run } from "./templatedata.ts";
import {
  BAD_NUMBERS,
  BAD_STRINGS,
  DATA,
  FLOATS,
  FORMATS,
  INTS,
  JUNK,
  METHODS,
  NAMES,
  STRINGS,
  TYPED,
} from "./vectors/templatefuzz.ts";

/** How deep actions and parentheses go. */
const MAX_DEPTH = 3;

type Random = (below: number) => number;

/** mulberry32 */
function random(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 * below);
  };
}

class Generator {
  readonly #below: Random;
  #variables: string[] = [];
  #ranges = 0;
  /** Whether expressions are made to fit, and if so to what data; where `.` is known, that too. */
  #isTyped = false;
  #defined: string[] = [];
  #template = "";
  #dot: unknown;

  constructor(seed: number) {
    this.#below = random(seed);
  }

  row(name: string): Row {
    this.#variables = [];
    this.#ranges = 0;
    const data = this.#chance(2) ? this.#pick(DATA) : this.#data(0);
    this.#isTyped = !this.#chance(4);
    this.#dot = data;
    this.#defined = [];
    let template = "";
    for (const name of ["x", "y", "z", "t"]) {
      if (!this.#chance(name === "t" ? 40 : 5)) continue;
      template += this.#inner(`define "${name}"`, name);
      this.#defined.push(name);
    }
    template += this.#list(0);
    for (let n = this.#chance(this.#isTyped ? 8 : 3) ? 1 + this.#below(3) : 0; n > 0; n--) {
      template = this.#broken(template);
    }
    // Rounds for ever.
    if (template.includes("range")) template = template.replace(/\d{8,}/g, "3");
    return { name, template, data };
  }

  /** Without functions: their addresses differ. */
  #data(depth: number): unknown {
    const fields = (): unknown => {
      const names = NAMES.filter(() => this.#chance(3));
      return Object.fromEntries(names.map((name) => [name, this.#data(depth + 1)]));
    };
    switch (this.#below(depth === 0 ? 4 : depth > 2 ? 7 : 14)) {
      case 0:
      case 1:
        return depth > 2 ? this.#below(200) - 100 : { struct: fields() };
      case 2:
        return depth > 2 ? this.#below(1000) / 7 : { map: fields() };
      case 3:
        if (depth > 2) return this.#chance(2);
        return Array.from({ length: this.#below(4) }, () => this.#data(depth + 1));
      case 4:
        return null;
      case 5:
      case 6:
        return this.#pick(["", "a", "b,c", "é", "日本", "x\ny", "<&>", "\u{1f600}", "A", "10"]);
      case 7:
        return { map: { A: "x", B: "y" } };
      case 8:
        return { intmap: { 1: "a", 2: this.#data(3) } };
      case 9:
        return { person: { Name: "Dee", Age: this.#below(9) } };
      case 10:
        return [1, 2, 3].slice(this.#below(3));
      default:
        return this.#below(50);
    }
  }

  /** An expression that is likely to be of a type. */
  #typed(type: string, depth: number): string {
    if (this.#chance(50)) return this.#operand(depth);
    const paths = this.#paths(type);
    if (paths.length > 0 && (this.#chance(2) || !(type in TYPED))) return this.#pick(paths);
    if (type === "l" && depth >= MAX_DEPTH) return '(split "," "a,b")';
    if (type === "m") return this.#pick(["$", ".", "$.M"]);
    if (depth >= MAX_DEPTH && type !== "a") {
      return this.#pick({ s: STRINGS, i: INTS, f: FLOATS, b: ["true", "false"] }[type] ?? ["."]);
    }
    const pattern = this.#pick(TYPED[type] ?? ["."]);
    const text = pattern.replace(/"[^"]*"|\b[a-zA-Z]\b/g, (word) => {
      if (word.startsWith('"')) return word.replace("V", () => this.#pick(FORMATS));
      if (word === "S") return this.#string();
      if (word === "I") return this.#pick(INTS);
      if (word === "F") return this.#pick(FLOATS);
      if (word === "P") return this.#pick([...this.#paths("a"), ".", ...this.#variables]);
      const inner = this.#typed(word, depth + 1);
      return /^(["(].*|[^ ]+)$/s.test(inner) && !/ /.test(inner.replace(/"[^"]*"/g, ""))
        ? inner
        : `(${inner})`;
    });
    return text;
  }

  /** Paths from `.` to what is of the type. */
  #paths(type: string): string[] {
    const found: string[] = [];
    const visit = (value: unknown, path: string, depth: number): void => {
      if (type === "a" || typeOf(value) === type) found.push(path === "" ? "." : path);
      if (depth > 2 || typeof value !== "object" || value === null || Array.isArray(value)) return;
      const [[kind, of] = ["", {}]] = Object.entries(value);
      if (kind === "func" || kind === "intmap") return;
      for (const [name, field] of Object.entries(of as object)) {
        visit(field, `${path}.${name}`, depth + 1);
      }
      if (kind !== "person") return;
      const methods = {
        s: ['Greet "hi"', 'Join "-" "a"'],
        i: ["Same 1"],
        l: ["Tags"],
        m: ["Self"],
      };
      for (const [of, calls] of Object.entries(methods)) {
        if (type === of) found.push(...calls.map((call) => `(${path}.${call})`));
      }
    };
    visit(this.#dot, "", 0);
    return found;
  }

  #chance(oneIn: number): boolean {
    return this.#below(oneIn) === 0;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)]!;
  }

  /** A piece removed, added, repeated or replaced. */
  #broken(text: string): string {
    const at = this.#below(text.length + 1);
    const end = at + this.#below(4);
    switch (this.#below(5)) {
      case 0:
        return text.slice(0, at);
      case 1:
        return text.slice(0, at) + text.slice(end);
      case 2:
        return text.slice(0, at) + text.slice(at, end) + text.slice(at);
      default:
        return text.slice(0, at) + this.#pick(JUNK) + text.slice(this.#chance(2) ? at : end);
    }
  }

  /**
   * A template within the template; what it uses and has within comes after it in the alphabet: Go
   * would recur 100,000 times.
   */
  #inner(head: string, name: string): string {
    const [variables, ranges, template, dot] = [
      ...[this.#variables, this.#ranges, this.#template, this.#dot] as const,
    ];
    this.#variables = [];
    this.#ranges = 0;
    this.#template = name;
    if (head.startsWith("define") && this.#chance(2)) this.#dot = undefined;
    const list = this.#list(1);
    [this.#variables, this.#ranges, this.#template, this.#dot] = [variables, ranges, template, dot];
    return this.#action(head) + list + this.#action("end");
  }

  #list(depth: number): string {
    let out = "";
    for (let n = 1 + this.#below(3); n > 0; n--) out += this.#node(depth);
    return out;
  }

  #node(depth: number): string {
    const kind = this.#below(depth < MAX_DEPTH ? 16 : 8);
    if (kind < 3) return this.#pick(["text ", " ", "\n", "a\n  b", "é\n", "-", "", "} ", "日\t"]);
    if (kind < 7) return this.#action(this.#pipeline(depth));
    if (kind === 7) return this.#small();
    if (kind < 10) return this.#branch("if", depth);
    if (kind < 13) return this.#branch("range", depth);
    if (kind < 15) return this.#branch("with", depth);
    const names = ["u", "v", "w", "x", "y", "z"].filter((name) =>
      name > this.#template && !this.#defined.includes(name)
    );
    const isTwice = this.#template === "" && this.#chance(30);
    const name = isTwice ? "x" : names[this.#below(names.length)];
    if (name === undefined) return "";
    this.#defined.push(name);
    return this.#inner(`block "${name}" ${this.#chance(3) ? this.#pipeline(depth) : "."}`, name);
  }

  #small(): string {
    if (this.#chance(3)) return `{{/* c${this.#chance(3) ? "\n" : ""} */}}`;
    if (this.#chance(4)) return `a {{- /* c */ -}} \n b`;
    if (this.#ranges > 0 && this.#chance(2)) return this.#action(this.#pick(["break", "continue"]));
    const names = this.#defined.filter((name) => name > this.#template);
    const name = this.#chance(30) ? "none" : names[this.#below(names.length)];
    if (name === undefined) return "";
    const data = this.#chance(2) ? "" : ` ${this.#pipeline(1)}`;
    return this.#action(`template "${name}"${data}`);
  }

  #branch(word: "if" | "range" | "with", depth: number): string {
    const scope = this.#variables.length;
    const isRange = word === "range";
    let head = isRange ? this.#rangeHead(depth) : this.#pipeline(depth);
    if (!isRange && this.#chance(4)) head = `${this.#newVariable()} := ${this.#value(depth)}`;
    let out = this.#action(`${word} ${head}`);
    if (isRange) this.#ranges++;
    const dot = this.#dot;
    if (word !== "if") this.#dot = this.#within(head, isRange);
    out += this.#list(depth + 1);
    this.#dot = dot;
    if (isRange) this.#ranges--;
    while (!isRange && this.#chance(4)) {
      out += this.#action(`else ${word} ${this.#pipeline(depth)}`) + this.#list(depth + 1);
    }
    if (this.#chance(2)) out += this.#action("else") + this.#list(depth + 1);
    this.#variables.length = scope;
    return out + this.#action("end");
  }

  #rangeHead(depth: number): string {
    const over = this.#isTyped
      ? this.#chance(5)
        ? `${this.#below(4)}`
        : this.#typed(this.#paths("m").length > 0 ? this.#pick(["l", "m"]) : "l", depth)
      : this.#chance(4)
      ? this.#value(depth)
      : this.#pick([".", "$", ".L", ".M", "$.L", ".E", "3", ".A", ".I", ".S.B", "$.M", ".P.Tags"]);
    const one = () => this.#newVariable();
    switch (this.#below(8)) {
      case 0:
      case 1:
        return `${one()} := ${over}`;
      case 2:
      case 3:
        return `${one()}, ${one()} := ${over}`;
      case 4: {
        const known = this.#variables.at(-1);
        if (known === undefined) return over;
        return this.#chance(2) ? `${known} = ${over}` : `${known}, ${known} = ${over}`;
      }
      default:
        return over;
    }
  }

  /** What `.` is in a body, as far as it is plain to see. */
  #within(head: string, isRange: boolean): unknown {
    let value = this.#dot;
    const path = /(\.[A-Z.]*)$/.exec(head)?.[1];
    if (path === undefined) return isRange ? "a" : undefined;
    for (const name of path.split(".").filter((part) => part !== "")) {
      const of = Object.values(Object(value))[0] as Record<string, unknown> | undefined;
      value = of?.[name];
    }
    if (!isRange || typeof value !== "object" || value === null) return value;
    return Object.values(Array.isArray(value) ? value : Object.values(value)[0])[0];
  }

  #newVariable(): string {
    const name = this.#pick(["$x", "$y", "$z"]);
    this.#variables.push(name);
    return name;
  }

  #action(inside: string): string {
    const left = this.#chance(6) ? `{{-${this.#pick([" ", "\n", "\t"])}` : "{{";
    const right = this.#chance(6) ? `${this.#pick([" ", "\n"])}-}}` : "}}";
    const space = () => this.#chance(8) ? this.#pick([" ", "\n", "  ", "\n\t"]) : "";
    return left + space() + inside + space() + right;
  }

  #pipeline(depth: number): string {
    if (this.#chance(8)) {
      const value = this.#value(depth);
      const known = this.#variables.at(-1);
      return known !== undefined && this.#chance(2)
        ? `${known} = ${value}`
        : `${this.#newVariable()} := ${value}`;
    }
    return this.#value(depth);
  }

  /** Commands joined by `|`. */
  #value(depth: number): string {
    if (this.#isTyped) return this.#typed(this.#pick(["s", "s", "i", "a", "a", "b", "f"]), depth);
    let out = this.#command(depth);
    while (this.#chance(4)) {
      const space = this.#chance(6) ? "" : this.#chance(8) ? "\n" : " ";
      out += `${space}|${space}${this.#call(depth, true)}`;
    }
    return out;
  }

  #command(depth: number): string {
    if (depth >= MAX_DEPTH || this.#chance(2)) return this.#operand(depth);
    return this.#call(depth, false);
  }

  #call(depth: number, isPiped: boolean): string {
    const string = () => this.#chance(8) ? this.#operand(depth) : this.#string();
    const int = () => this.#chance(8) ? this.#operand(depth) : this.#pick(INTS);
    const any = () => this.#operand(depth);
    const last = (make: () => string) => isPiped ? "" : ` ${make()}`;
    const several = () => Array.from({ length: this.#below(3) }, any).map((a) => ` ${a}`).join("");
    switch (this.#below(22)) {
      case 0:
      case 1:
      case 2:
        return `printf "${this.#pick(FORMATS)}"${several()}${last(any)}`;
      case 3:
        return `${this.#pick(["print", "println", "html", "js", "urlquery"])}${several()}${
          last(any)
        }`;
      case 4:
      case 5:
        return `${this.#pick(["and", "or"])} ${any()}${several()}${last(any)}`;
      case 6:
        return `not${last(any)}`;
      case 7:
        return `len${last(any)}`;
      case 8:
      case 9:
        return `index ${any()}${this.#chance(3) ? ` ${int()}` : ""}${
          last(this.#chance(2) ? int : string)
        }`;
      case 10:
        return `slice ${any()}${this.#chance(2) ? ` ${int()}` : ""}${last(int)}`;
      case 11:
      case 12:
        return `${this.#pick(["eq", "ne", "lt", "le", "gt", "ge"])} ${any()}${last(any)}`;
      case 13:
        return this.#chance(2) ? `eq ${any()} ${any()}${last(any)}` : `eq ${int()}${last(int)}`;
      case 14:
        return `call ${this.#pick([".H", ".T", "$.H", "$.T", ".A"])}${several()}${last(int)}`;
      case 15:
        return `replace ${string()} ${string()}${last(string)}`;
      case 16:
        return `split ","${last(string)} ${this.#chance(4) ? "| join `-`" : ""}`;
      case 17:
        return `${this.#pick(["upper", "sortlines"])}${last(string)}`;
      case 18:
        return `add1${last(int)}`;
      case 19:
        return `${this.#pick(["same", "negate", "count"])}${last(any)}`;
      case 20:
        return `${this.#pick(["nothing", "fail", "missing", "count"])}${several()}`;
      default:
        return `${this.#path()}${several()}`;
    }
  }

  #path(): string {
    const from = this.#chance(4)
      ? this.#pick(["$", ...this.#variables, this.#chance(30) ? "$x" : "$"])
      : "";
    let out = from + (this.#chance(10) ? "" : `.${this.#name()}`) || ".";
    if (out !== "." && this.#chance(3)) out += `.${this.#name()}`;
    return out;
  }

  #name(): string {
    return this.#pick(this.#chance(5) ? METHODS : NAMES);
  }

  #string(): string {
    return this.#pick(this.#chance(60) ? BAD_STRINGS : STRINGS);
  }

  #operand(depth: number): string {
    switch (this.#below(14)) {
      case 0:
        return ".";
      case 1:
        return this.#pick(["$", ...this.#variables]);
      case 2:
        return this.#pick(["true", "false", "nil", "nil"]);
      case 3:
        return this.#pick(this.#chance(40) ? BAD_NUMBERS : FLOATS);
      case 4:
        return this.#pick(INTS);
      case 5:
      case 6:
        return this.#string();
      case 7:
      case 8:
        if (depth >= MAX_DEPTH) return this.#path();
        return `(${this.#pipeline(depth + 1)})${this.#chance(4) ? `.${this.#name()}` : ""}`;
      default:
        return this.#path();
    }
  }
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return "l";
  if (typeof value === "number") return Number.isInteger(value) ? "i" : "f";
  if (typeof value === "object" && value !== null) return "map" in value ? "m" : "o";
  return { string: "s", boolean: "b" }[typeof value as string] ?? "o";
}

/** What can't be the same: the name of a type that only Go has, and addresses, in any base. */
const INCOMPARABLE = /main\.Person|0xc0|c000000000|824633720832|1?4000000000000|11(00){19}/i;

/** What Go fails with and we don't: an index in an interface, or too much to print. */
const TOLERATED = /^too long|exceeded maximum|cannot index slice\/array with type interface/;

async function compare(path: string): Promise<void> {
  const counts = { rows: 0, outputs: 0, failures: 0, skipped: 0, different: 0, wording: 0 };
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const row = JSON.parse(line) as Row;
    const got = run(row);
    counts.rows++;
    const outputs = `${row.output} ${got.output}`;
    if (TOLERATED.test(row.error?.message ?? "") || INCOMPARABLE.test(outputs)) {
      counts.skipped++;
      continue;
    }
    counts[row.error ? "failures" : "outputs"]++;
    const keys = ({ output, error }: Pick<Row, "output" | "error">) =>
      JSON.stringify([output, error?.phase, error?.line, error?.column]);
    if (keys(got) !== keys(row)) {
      if (counts.different++ < 20) console.log(JSON.stringify({ ...row, got }, null, 1));
    } else if (got.error?.message !== row.error?.message) {
      if (counts.wording++ < 20) console.log(`${row.error?.message}\n  ${got.error?.message}`);
    }
  }
  console.log(counts);
}

function generate(seed: number, count: number): void {
  const generator = new Generator(seed);
  for (let i = 0; i < count; i++) {
    stdout.write(`${JSON.stringify(generator.row(`${seed}/${i}`))}\n`);
  }
}

const [, , first = "1", count] = argv;
if (count === undefined) await compare(first);
else generate(Number(first), Number(count));
