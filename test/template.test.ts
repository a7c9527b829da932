import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AnyMap, Float } from "../lib/govalue.ts";
import { compile, TemplateError } from "../lib/template.ts";
import { root } from "./support.ts";
import { type Row, run } from "./templatedata.ts";

/** Rows that Go's text/template answered (templates-go/main.go). */
const ROWS = readRows(readFileSync(join(root, "test/vectors/template.ndjson"), "utf8"));

/** A message in these words tells of a type, an address or a check that only Go has. */
const ONLY_GO = /main\.Person|type interface \{\}|type func\(|0x|reflect: |non-comparable/;

/** Shared data are named by lines of their own. */
function readRows(text: string): readonly Row[] {
  const named = new Map<string, unknown>();
  return text.trimEnd().split("\n").flatMap((line) => {
    const { define, ...row } = JSON.parse(line) as Row & { define?: string };
    if (define !== undefined) named.set(define, row.data);
    const name = (row.data as { named?: string } | null)?.named;
    return define === undefined
      ? [name === undefined ? row : { ...row, data: named.get(name) }]
      : [];
  });
}

function replay(rows: readonly Row[]): void {
  assert.ok(rows.length > 0, "no rows");
  for (const row of rows) {
    const got = run(row);
    const where = ({ error }: Pick<Row, "error">) => error && { ...error, message: "" };
    const about = `${row.name}: ${row.template}\n${row.error?.message}\n${got.error?.message}`;
    assert.deepEqual([got.output, where(got)], [row.output, where(row)], about);
    const isComparable = !ONLY_GO.test(row.error?.message ?? "");
    if (isComparable) assert.equal(got.error?.message, row.error?.message, about);
  }
}

/** The error of a template that fails. */
function failure(source: string, data?: unknown): TemplateError {
  try {
    compile("t", source).execute(data);
  } catch (error) {
    assert.ok(error instanceof TemplateError, `${error}`);
    return error;
  }
  return assert.fail(`${source} works`);
}

const render = (source: string, data?: unknown): string => compile("t", source).execute(data);

test("the runner fails on no rows and on a wrong row", () => {
  const row = { name: "wrong", template: "a", data: null };
  assert.throws(() => replay([]), /no rows/);
  assert.throws(() => replay([{ ...row, output: "b" }]), /wrong/);
  const error = { phase: "exec", line: 1, column: 3, message: "" } as const;
  const failing = { ...row, template: "{{1 2}}" };
  assert.throws(() => replay([{ ...failing, error }]), /wrong/);
});

test("templates give what Go's text/template gives, and fail where and as it does", () => {
  assert.ok(ROWS.length >= 600, `${ROWS.length} rows`);
  replay(ROWS);
});

test("an error says which template, line and column", () => {
  const error = failure("é\né{{.A.B}}", { A: 1 });
  assert.deepEqual([error.template, error.line, error.column], ["t", 2, 6]);
  const message = 'template: t:2:6: executing "t" at <.A.B>: can\'t evaluate field B in type int';
  assert.equal(error.message, message);
  const parse = failure("a\n  {{end}}");
  assert.deepEqual([parse.line, parse.message], [2, "template: t:2: unexpected {{end}}"]);
});

test("nothing that an object inherits can be reached", () => {
  const data = { S: {}, M: new Map([["a", "b"]]), L: [1], F: "x", N: 1, C: new Map() };
  const names = ["constructor", "__proto__", "toString", "hasOwnProperty", "length", "size", "get"];
  for (const name of names) {
    for (const path of [`.${name}`, `.S.${name}`, `.L.${name}`, `.F.${name}`, `.N.${name}`]) {
      assert.match(failure(`{{${path}}}`, data).message, /can't evaluate field/, path);
    }
    assert.equal(render(`{{.M.${name}}}`, data), "<no value>");
    assert.equal(render(`{{index .C "${name}"}}`, data), "");
    assert.match(failure(`{{${name} 1}}`).message, /not defined/);
  }
});

test("own members that have an inherited one's name are as any other", () => {
  const data = JSON.parse('{ "__proto__": 1, "constructor": { "x": 2 } }') as unknown;
  assert.equal(render("{{.__proto__}} {{.constructor.x}}", data), "1 2");
});

test("a map's missing key gives its elements' zero, a dict's nothing", () => {
  const source = '{{index . "x"}}';
  assert.equal(render(source, new Map([["a", "b"]])), "");
  assert.equal(render(source, new Map([["a", 1]])), "0");
  assert.equal(render(source, new Map([["a", new Float(1)]])), "0");
  assert.equal(render(source, new Map<string, unknown>([["a", "b"], ["c", 1]])), "<no value>");
  assert.equal(render(source, new AnyMap([["a", "b"]])), "<no value>");
});

test("a method is called with its object and as many arguments as it takes", () => {
  const data = {
    Name: "x",
    Hello(this: { Name: string }, to: string) {
      return `${this.Name} greets ${to}`;
    },
  };
  assert.equal(render('{{.Hello "y"}}{{"z" | .Hello}}', data), "x greets yx greets z");
  assert.match(failure("{{.Hello}}", data).message, /wrong number of args for Hello: want 1 got 0/);
  assert.equal(render("{{.}}", data), "{x}");
});

test("recursion and nesting end in an error, not in the runtime's stack", () => {
  const endless = '{{define "x"}}{{if true}}{{with 1}}{{template "x" .}}{{end}}{{end}}{{end}}';
  assert.match(failure(`${endless}{{template "x"}}`).message, /exceeded maximum template depth/);
  for (const depth of [1001, 100_000]) {
    const parens = `{{${"(".repeat(depth)}1${")".repeat(depth)}}}`;
    assert.match(failure(parens).message, /max expression depth exceeded|nested too deeply/);
    const ifs = "{{if true}}".repeat(depth) + "{{end}}".repeat(depth);
    assert.match(failure(ifs).message, /max nesting depth exceeded|nested too deeply/);
  }
  assert.equal(render(`{{${"(".repeat(500)}1${")".repeat(500)}}}`), "1");
  assert.equal(render("{{if true}}".repeat(500) + "x" + "{{end}}".repeat(500)), "x");
  const chain = "{{if false}}" + "{{else if false}}".repeat(500) + "{{else}}x{{end}}";
  assert.equal(render(chain), "x");
});

test("output, texts and steps have limits", () => {
  const limit = /more than \d+ (characters|steps)/;
  assert.match(failure("{{range 9223372036854775807}}{{end}}").message, limit);
  assert.match(failure('{{range 1000}}{{printf "%1000000d" 1}}{{end}}').message, limit);
  const doubling = '{{$x := "xx"}}{{range 100}}{{$x = print $x $x}}{{end}}';
  assert.match(failure(doubling).message, limit);
  const format = "%1000000d".repeat(100);
  assert.match(failure(`{{printf "${format}" ${"1 ".repeat(100)}}}`).message, limit);
});

test("a long template is parsed in linear time", () => {
  const source = "{{/* c */}}{{.}} {{`x`}}".repeat(40_000);
  assert.equal(render(source, 1).length, 3 * 40_000);
  assert.match(failure(`{{"${"\\n".repeat(500_000)}`).message, /unterminated|nested too/);
});

test("bytes that aren't UTF-8 come out as U+FFFD, those that are as their character", () => {
  assert.equal(render('{{slice "é" 0 1}}|{{slice "é" 0 1}}{{slice "é" 1}}'), "\ufffd|é");
  assert.equal(render("{{.}}", "a\ud800b"), "a\ufffdb");
});
