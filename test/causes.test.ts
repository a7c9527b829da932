import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { expectsNoPublicCa, explain } from "../lib/causes.ts";
import { failures, names, problem, type Vector } from "./vectors/causes.ts";

const DAY = 24 * 60 * 60 * 1000;

function replay<I, E>(rows: readonly Vector<I, E>[], run: (input: I) => unknown): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) {
    assert.deepEqual(run(input), expect, `${name}: ${why}`);
  }
}

test("the runner fails on no rows and on a wrong row", () => {
  const wrong = { name: "wrong", why: "a runner that can't fail tests nothing", input: "a.dev" };
  assert.throws(() => replay([], expectsNoPublicCa), /no rows/);
  assert.throws(() => replay([{ ...wrong, expect: "no" }], expectsNoPublicCa), /can't fail/);
});

test("explain() says what is wrong and what to do, for each cause", () => {
  replay(failures, explain);
});

test("explain() has words for every cause, and a vector for each", () => {
  const source = readFileSync(new URL("../lib/causes.ts", import.meta.url), "utf8");
  const rules = [...source.matchAll(/\["([a-z-]+)", \//g)].map(([, cause]) => cause);
  const known = new Set(failures.map(({ expect }) => expect.cause));
  assert.ok(rules.length > 25);
  assert.deepEqual(rules.filter((cause) => !known.has(`${cause}`)), []);
  for (const { name, expect: { message, advice } } of failures) {
    assert.ok(message.length > 10 && advice.length > 10 && /[.\w]$/.test(advice), name);
    assert.doesNotMatch(message + advice, /\{\w+\}(?!\\n)|undefined|\p{C}/u, name);
  }
});

test("explain() sends nobody to another CA for what is wrong with a name", () => {
  for (const type of ["connection", "dns", "tls", "unauthorized", "incorrectResponse", "caa"]) {
    const failure = { names: ["a.example"], ca: "ca.example", problem: problem(type, "x", 403) };
    const { otherCa } = explain(failure);
    assert.equal(otherCa, false, type);
  }
});

test("explain() takes hostile texts of any length in little time", () => {
  const details = ["During secondary validation: ", "CAA ", "account ", "1:", "dial tcp [", "TXT "]
    .map((part) => part.repeat(1e6 / part.length));
  for (const detail of details) {
    for (const type of ["unauthorized", "connection", "malformed", "x"]) {
      const subproblem = { ...problem(type, detail, 0), subproblems: [] };
      const hostile = problem(type, detail, 400, [subproblem]);
      const error = new Error(detail, { cause: new Error(detail) });
      const start = performance.now();
      const failure = { names: [detail], ca: "ca.example", name: detail };
      for (const part of [{ problem: hostile }, { error }, { error, challenge: "dns-01" }]) {
        const { message, advice } = explain({ ...failure, ...part });
        assert.ok(message.length + advice.length < 3_000);
      }
      assert.ok(performance.now() - start < 500);
    }
  }
});

test("explain() has a pause tried again in a day, and nothing later than 31 days from now", () => {
  const rows = [
    [1, "Your account is temporarily prevented from requesting certificates"],
    [31, "too many, retry after 9999-12-31 00:00:00 UTC"],
  ] as const;
  for (const [days, detail] of rows) {
    const limit = problem("rateLimited", detail, 429);
    const { retry, retryAt } = explain({ names: ["a.example"], ca: "ca.example", problem: limit });
    assert.equal(retry, "backoff");
    assert.ok(Math.abs((retryAt?.getTime() ?? 0) - Date.now() - days * DAY) < 10_000, detail);
  }
});

test("explain() survives an error that is its own cause", () => {
  const error = new Error("round");
  error.cause = error;
  const { message } = explain({ names: ["a.example"], ca: "ca.example", error });
  assert.match(message, /^no certificate for a\.example: "round[round: ]*"$/);
});

test("expectsNoPublicCa() gives the reason, and none for what a public CA may certify", () => {
  replay(names, expectsNoPublicCa);
});
