/**
 * Templates: any text as one, with data of all kinds; and ours, with whatever containers say, whose
 * output must be what the program that reads it takes.
 */
import assert from "node:assert/strict";
import type { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ContainerError, readContainer } from "../../lib/container.ts";
import { view } from "../../lib/hostnames.ts";
import { parseRoutes } from "../../lib/routes.ts";
import { compile, TemplateError } from "../../lib/template.ts";
import { createFunctions } from "../../lib/templatefunctions.ts";
import { RECORDED } from "../fakeengine.ts";
import { root } from "../support.ts";
import { build, FUNCTIONS } from "../templatedata.ts";
import * as labels from "../vectors/hostnames.ts";
import * as parts from "../vectors/templatefuzz.ts";
import { kindOf, type Target } from "./fuzzer.ts";
import type { Random } from "./random.ts";

const functions = { ...createFunctions(() => undefined), ...FUNCTIONS };
const DATA = parts.DATA.map(build);

function attempt(work: () => string): string {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    assert.ok(error.line >= 1 && error.column >= 0);
    return kindOf(error).replace(/^.*?: executing/, "").replace(/:.*?:/, "");
  }
}

function testTemplate(input: Buffer, random: Random): string {
  const text = input.toString("utf8");
  return attempt(() => {
    const template = compile("t", text, functions);
    const outputs = [random.pick(DATA), input.length > 0 ? text : []].map((data) =>
      attempt(() => {
        const output = template.execute(data);
        assert.ok((output as string & { isWellFormed(): boolean }).isWellFormed());
        return String(Math.min(output.length, 20));
      })
    );
    return outputs.join();
  });
}

const OURS = ["centauri.conf", "haproxy.cfg", "nginx.conf", "domains.txt"].map((name) =>
  compile(name, readFileSync(join(root, "templates", `${name}.tpl`), "utf8"), functions)
);

/** The input is a container's labels, `name=value` a line; what starts with `{` is its JSON. */
function testLabels(input: Buffer): string {
  const text = input.toString("utf8");
  let json = structuredClone(RECORDED["docker 20.10.24"]);
  if (text.startsWith("{")) {
    try {
      json = JSON.parse(text);
    } catch { /* then its labels are odd */ }
  } else {
    const pairs = text.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2));
    json.Config.Labels = Object.fromEntries(pairs.map(([name, value = ""]) => [name, value]));
  }
  try {
    const one = readContainer(json), other = { ...one, id: "f".repeat(64), name: "other" };
    const users = [{ name: "u", password: "p", groups: ["g"] }];
    const { data, verdicts } = view([one, other], { proxyTag: "", users });
    const [routes = "", ...others] = OURS.map((template) => template.execute(data));
    for (const output of [routes, ...others]) {
      assert.doesNotMatch(output, /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]/);
    }
    const table = parseRoutes(routes);
    const { problems, hosts, reason } = verdicts[0] ?? assert.fail("no verdict");
    const told = problems.map((problem) => problem.replace(/"[^]*?"|\d+/g, "#")).slice(0, 3);
    return `${table.routes.length} ${hosts.length} ${kindOf(new Error(reason))} ${told}`;
  } catch (error) {
    if (error instanceof ContainerError) return kindOf(error);
    throw error;
  }
}

/** Rows of template.ndjson that aren't long. */
function templateRows(): string[] {
  const lines = readFileSync(join(root, "test/vectors/template.ndjson"), "utf8").trimEnd();
  return lines.split("\n").map((line): string => JSON.parse(line).template ?? "")
    .filter(({ length }) => length < 300);
}

const WORDS = ["{{", "}}", "{{- ", " -}}", "{{end}}", "{{else}}", "{{range .}}", "{{with .}}", "$"]
  .concat("{{if .A}}", '{{define "x"}}', '{{template "x" .}}', '{{block "y" .}}', "{{break}}", "|")
  .concat("{{range $i, $e := .L}}", "{{/* */}}", ".A.B", "(", ")", ":=", " = ", "nil", "true", "..")
  .concat("{{.}}", "call ", "index ", "slice ", "printf ", "print ", "len ", "html ", "js ", "and ")
  .concat("eq ", "lt ", "not ", "replace ", "split ", "join ", "dict ", "fromJson ", "indent ")
  .concat(parts.STRINGS, parts.BAD_STRINGS, parts.FORMATS.map((format) => JSON.stringify(format)))
  .concat(parts.NAMES, parts.JUNK, parts.BAD_NUMBERS, parts.INTS, parts.FLOATS);
const LABEL_WORDS = ["com.chameth.vhost=", "com.chameth.proxy=", "com.chameth.headers", "\n", " "]
  .concat("com.chameth.auth=", "com.chameth.proxytag=", "a.example", "*.b.example", ",", ": ", '"')
  .concat(
    "\\",
    "{",
    "}",
    "$",
    "#",
    ";",
    "'",
    "\t",
    "\u2028",
    "X-A: b",
    ".x=",
    "8080",
    "\u00fc",
    "%",
  )
  .concat('{"Id":"', '"Config":{', '"Labels":', '"State":{"Status":"running"}', "null", "[]", "--");

const labelLines = (): string[] => [
  ...labels.lists.map(({ input }) => `com.chameth.vhost=${input}\ncom.chameth.proxy=80`),
  ...labels.names.map(({ input }) => `com.chameth.vhost=${input}\ncom.chameth.proxy=80`),
  ...labels.headers.map(({ input }) =>
    ["com.chameth.vhost=a.example", "com.chameth.proxy=80"]
      .concat(Object.entries(input).map((pair) => pair.join("="))).join("\n")
  ),
  "com.chameth.vhost=a.example\ncom.chameth.auth=g",
  JSON.stringify(RECORDED["docker 20.10.24"]),
];

export const templateTargets: readonly Target[] = [
  {
    name: "template",
    seeds: templateRows,
    words: WORDS.map(String),
    limit: 400,
    slow: 20_000, // templates are the operator's: they may count to ten million
    cost: 4,
    test: testTemplate,
  },
  {
    name: "labels",
    seeds: () => labelLines().filter(({ length }) => length < 4096),
    words: LABEL_WORDS,
    limit: 4096,
    cost: 8,
    test: testLabels,
  },
];
