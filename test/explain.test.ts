import assert from "node:assert/strict";
import { test } from "node:test";
import { explain } from "../lib/explain.ts";
import { type Verdict, view } from "../lib/hostnames.ts";
import { container } from "./containers.ts";

const verdict = (more: Partial<Verdict>): Verdict => ({
  ...{
    id: "0".repeat(64),
    name: "web",
    hosts: [],
    port: -1,
    portFrom: "",
    reason: "",
    problems: [],
  },
  ...more,
});

test("explain() says per container its hosts and port, or the reason that it has no route", () => {
  const { verdicts } = view([
    container("web", {
      labels: {
        "com.chameth.vhost": "example.com, www.example.com",
        "com.chameth.proxy": "8080",
        "com.chameth.headers": "Foo:bar",
      },
    }),
    container("api", {
      labels: { "com.chameth.vhost": "api.example.com", "com.chameth.proxytag": "x" },
    }),
    container("db", { ports: [5432] }),
    container("two", { labels: { "com.chameth.vhost": "two.example.com" }, ports: [80, 443] }),
  ], { proxyTag: "", users: [] });
  assert.equal(
    explain(verdicts),
    `api
  no route  its label com.chameth.proxytag is "x", wanted is none

db
  no route  it has no label com.chameth.vhost

two
  hosts     two.example.com
  no route  it exposes 80 and 443: set com.chameth.proxy to one of them

web
  hosts     example.com www.example.com
  port      8080 (label com.chameth.proxy)
  problem   label com.chameth.headers "Foo:bar": expected Name: value, with a
            space between the two

4 containers, 1 with a route, 1 problem
`,
  );
});

test("explain() says that there is nothing", () => {
  assert.equal(explain([]), "0 containers, 0 with a route, 0 problems\n");
});

test("explain() fits 80 columns, but for words that don't", () => {
  const hosts = Array.from({ length: 40 }, (_, i) => `${"x".repeat(i)}.example.com`);
  const long = "y".repeat(100);
  const reason = `${"why ".repeat(50)}${long} not`;
  const lines = explain([verdict({ hosts, reason, problems: [reason] })]).split("\n");
  for (const line of lines) assert.ok(line.length <= 80 || line.endsWith(long), line);
  assert.ok(lines.some((line) => line.length > 72 && line.length <= 80));
  assert.deepEqual(lines.join(" ").split(/ +/).filter((word) => hosts.includes(word)), hosts);
});

test("explain() lets nothing through that drives a terminal or hides text", () => {
  const evil = "a\x1b[2J\u202eb\nc\u00a0d\u2028e\x9b\u{e0001}";
  const text = explain([verdict({ name: evil, reason: evil, problems: [evil] })]);
  assert.doesNotMatch(text, /(?![\n ])[\p{C}\p{Z}]/u);
  assert.ok(
    text.startsWith("a\\u001b[2J\\u202eb\\nc\\u00a0d\\u2028e\\u009b\\udb40\\udc01\n"),
    text,
  );
});
