import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUsers, UsersError } from "../lib/users.ts";
import { invalid, valid } from "./vectors/users.ts";

/** An error as line, column and message; users as lists of words. */
function read(text: string): unknown[] {
  try {
    return parseUsers(text).map(({ name, password, groups }) => [name, password, ...groups]);
  } catch (error) {
    if (!(error instanceof UsersError)) throw error;
    const { line, column, message } = error;
    assert.ok(message.startsWith(`line ${line}, column ${column}: `), message);
    return [line, column, message];
  }
}

function replay(rows: readonly { name: string; why: string; input: string; expect: unknown }[]) {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) {
    assert.deepEqual(read(input), expect, `${name}: ${why}`);
  }
}

function replayErrors(rows: typeof invalid): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect: [line, column, part] } of rows) {
    const [gotLine, gotColumn, message] = read(input);
    assert.deepEqual([gotLine, gotColumn], [line, column], `${name}: ${why}: ${message}`);
    assert.ok(`${message}`.includes(part), `${name}: ${why}: ${message}`);
  }
}

test("the runners fail on no rows and on a wrong row", () => {
  const wrong = { name: "wrong", why: "a runner that can't fail tests nothing", input: "[]" };
  assert.throws(() => replay([]), /no rows/);
  assert.throws(() => replay([{ ...wrong, expect: [["a", "b"]] }]), /can't fail/);
  assert.throws(() => replayErrors([]), /no rows/);
  assert.throws(() => replayErrors([{ ...wrong, expect: [1, 1, ""] }]), /can't fail/);
});

test("parseUsers() reads lists of maps in YAML's block and flow style, and JSON", () => {
  replay(valid);
});

test("parseUsers() says line and column of whatever else there is", () => {
  replayErrors(invalid);
});

test("no message has anything of the text in it", () => {
  const secret = "hunter2";
  const shapes = [
    ...[`- name: x\n  password: ${secret}: y`, `[{name: x, ${secret}: y}]`, `- ${secret}`],
    ...[`- {name: ${secret}, name: ${secret}}`, `- name: a\n  password: "${secret}`, secret],
    ...[`- name: a\n  ${secret}\n`, `[{name: a, password: [${secret}]}]`, `- *${secret}`],
    `- name: ${secret}\n  password: x\n- name: ${secret}\n  password: x`,
  ];
  for (const text of shapes) {
    assert.throws(
      () => parseUsers(text),
      (error: Error) => error instanceof UsersError && !error.message.includes(secret),
      text,
    );
  }
});

test("parseUsers() ends on all beginnings of what it reads, with users or a UsersError", () => {
  for (const { input } of [...valid, ...invalid]) {
    if (input.length > 1000) continue;
    for (let end = 0; end <= input.length; end++) read(input.slice(0, end));
  }
});

test("parseUsers() takes time in proportion to the text", () => {
  const size = 250_000;
  const unit = (text: string) => text.repeat(size / text.length);
  const users = Array.from({ length: 10_000 }, (_, i) => `- {name: u${i}, password: x}`).join("\n");
  assert.equal(parseUsers(users.slice(0, size)).length > 1_000, true);
  const texts = ["- ", "[", "# ", "a ", "- a\n", "[[],", "'", "''", "a:\n", "\t", '"\\', "{a: "];
  for (const text of [...texts, "x", " \n", "- name: a\n", "? "]) read(unit(text));
  const keys = Array.from({ length: 25_000 }, (_, i) => `k${i}: ,`).join("");
  read(`[{${keys}}]`);
});
