import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../lib/exchange.ts";
import { parseRequestHead, parseResponseHead } from "../lib/http1.ts";
import { clientFields, trailerFields, upstreamFields } from "../lib/rewrite.ts";
import { parseRoutes } from "../lib/routes.ts";
import { type RequestRow, requestRows, type ResponseRow, responseRows } from "./vectors/rewrite.ts";

/** `[name, value, …]` as `name: value` lines. */
function lines(fields: readonly string[]): string[] {
  return fields.flatMap((name, i) => i % 2 === 0 ? [`${name}: ${fields[i + 1]}`] : []);
}

function runRequests(rows: readonly RequestRow[]): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, input, method = "GET", trusted = false, expect } of rows) {
    const text = [`${method} / HTTP/1.1`, "Host: a.example", ...input, ""].join("\r\n");
    const client: Client = {
      address: "192.0.2.1",
      trusted,
      scheme: "https",
      serverName: "a.example",
      certificateNames: [],
      judged: undefined,
    };
    const fields = lines(upstreamFields(parseRequestHead(text, 100), client));
    assert.deepEqual(fields, ["Host: a.example", ...expect], name);
  }
}

function runResponses(rows: readonly ResponseRow[]): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, input, rules = [], expect } of rows) {
    const head = parseResponseHead(
      [`HTTP/1.1 ${input[0]}`, ...input.slice(1), ""].join("\r\n"),
      "GET",
      100,
    );
    const [route] = parseRoutes(["route a", "upstream b", ...rules].join("\n")).routes;
    assert.deepEqual(lines(clientFields(head, route.headers, "today")), expect, name);
  }
}

test("requests reach the upstream as their rows say", () => {
  runRequests(requestRows);
});

test("answers reach the client as their rows say", () => {
  runResponses(responseRows);
});

test("the runners fail on no rows and on a wrong one", () => {
  assert.throws(() => runRequests([]), /no rows/);
  assert.throws(() => runResponses([]), /no rows/);
  assert.throws(() => runRequests([{ ...requestRows[0], expect: [] }]), /unusual/);
  assert.throws(() => runResponses([{ ...responseRows[0], expect: [] }]), /without a date/);
});

test("an absolute-form's authority is the Host that the upstream gets", () => {
  const head = parseRequestHead("GET http://b.example:81/x HTTP/1.1\r\nhOsT: a.example\r\n", 100);
  const client: Client = {
    address: "192.0.2.1",
    trusted: false,
    scheme: "https",
    serverName: undefined,
    certificateNames: [],
    judged: undefined,
  };
  const fields = lines(upstreamFields(head, client));
  assert.deepEqual(fields.slice(0, 3), [
    "hOsT: b.example:81",
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Host: b.example:81",
  ]);
});

test("trailerFields() lets no trailer frame, route, authenticate or name the client", () => {
  const bad = [
    ...["Content-Length", "transfer-encoding", "HOST", "Connection", "Set-Cookie", "Authorization"],
    ...["X-Forwarded-For", "x_real_ip", "Content-Type", "Trailer"],
  ];
  const fields = ["X-Sum", "1", ...bad.flatMap((name) => [name, "x"]), "Server-Timing", "2"];
  assert.deepEqual(trailerFields(fields), ["X-Sum", "1", "Server-Timing", "2"]);
});
