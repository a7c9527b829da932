import { test } from "node:test";
import assert from "node:assert/strict";
import { nearest } from "../lib/nearest.ts";
import {
  certificateNames,
  errorMapping,
  parseRoutes,
  type Route,
  RouteError,
  type RouteProblem,
} from "../lib/routes.ts";
import * as vectors from "./vectors/routes.ts";
import type { ExpectedRoute, Vector } from "./vectors/routes.ts";

/** Every row, or a failure that names the row and says why it is there; none at all fails too. */
function replay<Expected>(
  rows: readonly Vector<Expected>[],
  actual: (input: string, row: Vector<Expected>) => unknown,
): void {
  assert.ok(rows.length > 0, "no rows");
  for (const row of rows) {
    assert.deepEqual(actual(row.input, row), row.expect, `${row.name}: ${row.why}`);
  }
}

/** A route as the vectors write it: what is empty or false is left out. */
function summary(route: Route): ExpectedRoute {
  const { line, domains, subject, headers, errors, provider, redirectToPrimary, fallback } = route;
  return {
    line,
    domains,
    upstreams: route.upstreams.map(({ name }) => name),
    ...(subject.length > 0 && { subject }),
    ...(headers.length > 0 && {
      headers: headers.map(({ operation, name, value }) => [operation, name, value] as const),
    }),
    ...(errors.length > 0 && {
      errors: errors.map(({ status, upstream: { name }, target }) =>
        target === undefined ? [status, name] as const : [status, name, target] as const
      ),
    }),
    ...(provider !== undefined && { provider }),
    ...(redirectToPrimary && { redirectToPrimary }),
    ...(fallback && { fallback }),
  };
}

function parse(input: string): ExpectedRoute[] {
  return parseRoutes(input).routes.map(summary);
}

function problemsOf(input: string): readonly RouteProblem[] {
  try {
    parseRoutes(input);
  } catch (error) {
    if (error instanceof RouteError) return error.problems;
    throw error;
  }
  return [];
}

/** The expected text where a message contains it, else the message, so that a failure shows it. */
function reported(input: string, expect: readonly (readonly [number, string])[]): unknown {
  return problemsOf(input).map(({ line, message }, at) => {
    const text = expect[at]?.[1] ?? "";
    return [line, text !== "" && message.includes(text) ? text : message];
  });
}

test("the runner fails on no rows and on a wrong row", () => {
  const [row] = vectors.files.filter(({ name }) => name === "fallback");
  const [bad] = vectors.problems.filter(({ name }) => name === "unknown");
  assert.throws(() => replay([], parse), /no rows/);
  assert.throws(() => replay([{ ...row!, expect: [] }], parse), /fallback: P14/);
  for (const expect of [[], [[2, "invalid line"]], [[1, "no such text"]]] as [number, string][][]) {
    const wrong = [{ ...bad!, expect }];
    assert.throws(() => replay(wrong, (input) => reported(input, expect)), /unknown: P2/);
  }
});

test("parseRoutes() reads every directive", () => {
  replay(vectors.files, parse);
});

test("parseRoutes() reports every problem of a file by its line", () => {
  replay(vectors.problems, (input, { expect }) => reported(input, expect));
});

test("parseRoutes() says of every problem what was expected", () => {
  for (const { name, input } of vectors.problems) {
    for (const { line, message } of problemsOf(input)) {
      assert.match(message, /: expected \S/, `${name}, line ${line}`);
      assert.ok(message.length < 300 && !/[\0-\x1f\x7f]/.test(message), `${name}, line ${line}`);
    }
  }
});

test("RouteError's message has a line for each problem", () => {
  assert.throws(() => parseRoutes("upstream a:80\nerror please\n"), {
    name: "RouteError",
    message: 'line 1: upstream without route "upstream a:80": expected a route line before it\n' +
      'line 2: invalid line "error please": expected one of route, upstream, subject, header, ' +
      "on_error, provider, redirect-to-primary, fallback",
  });
});

test("parseRoutes() gives the same table for LF, CRLF and a comment after every line", () => {
  for (const { name, input, expect } of vectors.files) {
    const lines = input.replaceAll("\r", "");
    assert.deepEqual(parse(lines.replaceAll("\n", "\r\n")), expect, name);
    const commented = parse(lines.replaceAll("\n", "\n#c\n"));
    const moved = expect.map((route) => ({ ...route, line: route.line * 2 - 1 }));
    assert.deepEqual(commented, moved, name);
  }
});

test("parseRoutes() takes apart an upstream and keeps a header's spelling beside its key", () => {
  const [route] = parseRoutes("route a\nupstream [::1]:81\nheader add X-Test foo").routes;
  assert.deepEqual(route!.upstreams, [{ host: "::1", port: 81, name: "[::1]:81" }]);
  const rule = { operation: "add", name: "X-Test", key: "x-test", value: "foo" };
  assert.deepEqual(route!.headers, [rule]);
});

test("RouteTable.find() prefers the name, then its wildcard, then the fallback", () => {
  replay(vectors.lookups, (input, { expect }) => {
    const table = parseRoutes(input);
    return Object.fromEntries(Object.keys(expect).map((name) => [name, table.find(name)?.line]));
  });
});

test("RouteTable.fallback is the route that says so", () => {
  const [first, second] = [
    parseRoutes("route a\nupstream b"),
    parseRoutes("route a\nupstream b\nfallback"),
  ];
  assert.equal(first!.fallback, undefined);
  assert.equal(second!.fallback, second!.routes[0]);
});

test("certificateNames() is the subject, else the domains", () => {
  replay(vectors.certificates, (input) => certificateNames(parseRoutes(input).routes[0]!));
});

test("errorMapping() is the first of the status", () => {
  replay(vectors.mappings, (input, { expect }) => {
    const [route] = parseRoutes(input).routes;
    const entries = Object.keys(expect).map((status) => {
      return [status, errorMapping(route!, Number(status))?.upstream.name];
    });
    return Object.fromEntries(entries);
  });
});

test("parseRoutes() reads 10,000 routes and finds each", () => {
  const names = Array.from({ length: 10_000 }, (_, at) => `app${at}.example.com`);
  const header = "header default Strict-Transport-Security max-age=15768000";
  const text = names.map((name) => `route ${name}\n    upstream app:8080\n    ${header}\n`).join(
    "",
  );
  const table = parseRoutes(text);
  for (const [at, name] of names.entries()) assert.equal(table.find(name), table.routes[at]);
});

test("parseRoutes() takes linear time for a route with very many subject lines", () => {
  const lines = Array.from({ length: 200_000 }, (_, at) => `subject s${at % 150_000}.example\n`);
  const start = performance.now();
  const [route] = parseRoutes(`route a\nupstream b\n${lines.join("")}`).routes;
  assert.equal(route!.subject.length, 150_000); // each once
  assert.ok(performance.now() - start < 30_000); // hours, if each line looked at those before
});

test("nearest() suggests a name within two edits, in any case", () => {
  const names = ["route", "upstream", "on_error", "add"];
  const rows = { route: "route", ruote: "route", UPSTREM: "upstream", ad: "add", ade: "add" };
  for (const [word, expected] of Object.entries(rows)) assert.equal(nearest(word, names), expected);
  for (const word of ["error", "", "x", "rt", "oute_r", "__proto__", "route".repeat(1e6)]) {
    assert.equal(nearest(word, names), undefined, word.slice(0, 20));
  }
  assert.equal(nearest("pat", ["cat", "pot"]), "cat");
  assert.equal(nearest("ab", ["xy"]), undefined, "no letter in common");
});
