import assert from "node:assert/strict";
import { test } from "node:test";
import { Func } from "../lib/govalue.ts";
import { compile } from "../lib/template.ts";
import { createFunctions, FUNCTION_HELP } from "../lib/templatefunctions.ts";
import { others, sprig, type Vector } from "./vectors/templatefunctions.ts";

const FUNCTIONS = createFunctions((name) => new Map([["HOME", "/root"]]).get(name));

const DATA = {
  List: ["b", "a", "c", "a"],
  EmptyList: [],
  Labels: new Map([["com.chameth.proxy", "8080"]]),
  Site: { Host: "example.com", Port: 443 },
  ById: new Map([["1", { Name: "a" }]]),
  Hosts: [
    {
      ...{ Name: "a", Env: new Map([["VIRTUAL_HOST", "x"]]), Ports: [80] },
      ...{ Labels: new Map([["com.x", "1"]]), Method: () => "m" },
    },
    { Name: "b", Env: new Map(), Ports: [80], Labels: new Map() },
    { Name: "a", Env: new Map([["VIRTUAL_HOST", "y"]]), Ports: [], Labels: new Map() },
  ],
};

function render(source: string): string {
  try {
    return compile("t", source, FUNCTIONS).execute(new Map<string, unknown>(Object.entries(DATA)));
  } catch (error) {
    return (error as Error).message;
  }
}

function replay(rows: readonly Vector[]): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) {
    if (typeof expect === "string") assert.equal(render(input), expect, `${name}: ${why}`);
    else assert.match(render(input), expect, `${name}: ${why}`);
  }
}

test("the runner fails on no rows and on a wrong row", () => {
  const row = { name: "wrong", why: "a runner that can't fail tests nothing", input: "a" };
  assert.throws(() => replay([]), /no rows/);
  assert.throws(() => replay([{ ...row, expect: "b" }]), /can't fail/);
  assert.throws(() => replay([{ ...row, expect: /b/ }]), /can't fail/);
});

test("Sprig's functions give what Sprig's give", () => replay(sprig));

test("Go Dotege's and docker-gen's functions give what theirs give", () => replay(others));

test("each function has a line of help and an argument for each parameter", () => {
  assert.deepEqual(FUNCTION_HELP.map(({ name }) => name), Object.keys(FUNCTIONS));
  for (const { name, usage, help } of FUNCTION_HELP) {
    const func = FUNCTIONS[name];
    assert.ok(func instanceof Func && help !== "" && usage !== "", name);
    const words = usage.split(" ").length;
    assert.ok(func.isVariadic || words === func.parameters.length, `${name} ${usage}`);
  }
});

test("what functions make has limits", () => {
  const limit = /error calling \w+: .*more than \d+/;
  const long = '{{$x := printf "%1000000d" 1}}';
  assert.match(render(`${long}{{indent 100000000 $x}}`), limit);
  assert.match(render(`${long}{{replace " " $x $x}}`), limit);
  assert.match(render(`${long}{{$l := list $x $x}}{{join (printf "%100s" $x) (list)}}`), /^$/);
  const deep = "[".repeat(200) + "]".repeat(200);
  assert.match(render(`{{fromJson "${deep}"}}`), limit);
  assert.equal(render(`{{fromJson "${"[".repeat(100_000)}"}}`), "<no value>");
});

test("the list that a function is given stays as it is", () => {
  assert.equal(render("{{$s := sortAlpha .List}}{{$u := uniq .List}}{{.List}}"), "[b a c a]");
});
