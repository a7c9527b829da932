import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { colourDiff, unifiedDiff } from "../lib/diff.ts";
import { needProgram, run, temporaryFolder } from "./support.ts";
import { diffs, type Vector } from "./vectors/diff.ts";

const NAMES = "--- old\n+++ new\n";

function replay(rows: readonly Vector[]): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) {
    const diff = unifiedDiff("old", "new", ...input);
    assert.equal(diff, expect && NAMES + expect, `${name}: ${why}`);
  }
}

test("the runner fails on no rows and on a wrong row", () => {
  assert.throws(() => replay([]), /no rows/);
  const why = "a runner that can't fail tests nothing";
  const wrong: Vector = { name: "wrong", why, input: ["a\n", "b\n"], expect: "@@ -1 +1 @@\n" };
  assert.throws(() => replay([wrong]), /can't fail/);
});

test("unifiedDiff() says what changed, with three lines around it", () => replay(diffs));

test("unifiedDiff() says what diff -u says", async (t) => {
  if (!needProgram(t, "diff")) return;
  const folder = await temporaryFolder(t);
  for (const { name, input, expect } of diffs) {
    for (const [i, file] of ["old", "new"].entries()) {
      await writeFile(join(folder, file), input[i]!);
    }
    const { stdout } = await run("diff", ["-u", "old", "new"], { cwd: folder });
    assert.equal(stdout.replace(/^.*\n.*\n/, ""), expect, name);
  }
});

/** The same numbers every time, from 0 to below `end`. */
function generator(seed: number): (end: number) => number {
  return (end) => {
    seed = Math.imul(seed ^ seed >>> 15, 0x2c1b3c6d) + 0x9e3779b9 | 0;
    return (seed >>> 8) % end;
  };
}

/** Few different lines, so that many are equal; an edited copy, or another text altogether. */
function randomPair(random: (end: number) => number): [string, string] {
  const line = (): string => ["", "a", "b", "c\r", "-- d", "\\ e", "\tf"][random(7)]!;
  const end = (): string => ["\n", "\n", "\n", ""][random(4)]!;
  const text = (list: string[]): string => list.length === 0 ? "" : list.join("\n") + end();
  const old = Array.from({ length: random(40) }, line);
  const edited = old.flatMap((one) =>
    [[one], [one], [one], [line()], [], [one, line()]][random(6)]!
  );
  return [text(old), text(random(8) === 0 ? Array.from({ length: random(40) }, line) : edited)];
}

test("patch makes the new text of the old one and the diff, and no diff is shorter", async (t) => {
  if (!needProgram(t, "patch") || !needProgram(t, "diff")) return;
  const folder = await temporaryFolder(t);
  const random = generator(1);
  const pairs = Array.from({ length: 400 }, () => randomPair(random));
  for (const name of ["old", "new", "patched"]) await mkdir(join(folder, name));
  const diff: string[] = [];
  for (const [i, [oldText, newText]] of pairs.entries()) {
    await writeFile(join(folder, "old", `${i}`), oldText);
    await writeFile(join(folder, "new", `${i}`), newText);
    await writeFile(join(folder, "patched", `${i}`), oldText);
    diff.push(unifiedDiff(`${i}`, `${i}`, oldText, newText));
  }
  const args = ["--binary", "--force", "--directory", join(folder, "patched")];
  const patched = await run("patch", args, { input: diff.join("") });
  assert.equal(patched.code, 0, patched.stdout + patched.stderr);
  for (const [i, [, newText]] of pairs.entries()) {
    assert.equal(await readFile(join(folder, "patched", `${i}`), "utf8"), newText, diff[i]);
  }
  const minimal = await run("diff", ["-ru", "--minimal", "old", "new"], { cwd: folder });
  const changed = (text: string): number =>
    text.match(/^[-+](?!-- \S*\d|\+\+ \S*\d)/gm)?.length ?? 0;
  assert.ok(changed(minimal.stdout) > 1_000);
  assert.equal(changed(diff.join("")), changed(minimal.stdout));
});

test("unifiedDiff() takes linear time on texts that are made to be compared slowly", () => {
  const random = generator(2);
  const rows = (count: number, of: number): string =>
    Array.from({ length: count }, () => `${random(of)}\n`).join("");
  const started = performance.now();
  for (
    const [oldText, newText] of [
      [rows(300_000, 2), rows(300_000, 2)],
      [rows(300_000, 100_000), rows(300_000, 100_000)],
      [
        "a\n".repeat(300_000) + "b\n".repeat(300_000),
        "b\n".repeat(300_000) + "a\n".repeat(300_000),
      ],
      ["x".repeat(10_000_000), "y".repeat(10_000_000)],
    ] as const
  ) {
    const diff = unifiedDiff("old", "new", oldText, newText);
    const length = diff.split("\n").filter((line) => line.startsWith("-")).length;
    assert.ok(length > 1);
  }
  assert.ok(performance.now() - started < 60_000); // of hours, were it quadratic
});

test("unifiedDiff() shows single changes among thousands of others", () => {
  const rows = (mark: string): string =>
    Array.from({ length: 5_000 }, (_, i) => `server ${i}\n  address ${mark}${i}\n`).join("");
  const changed = unifiedDiff("old", "new", rows("a"), rows("b")).match(/^[-+](?!--|\+\+)/gm);
  assert.equal(changed?.length, 10_000); // and not the 10,000 lines that stay
});

test("unifiedDiff() names files so that they can't be taken for anything else", () => {
  const head = (name: string): string => unifiedDiff("/dev/null", name, "", "a\n").split("@@")[0]!;
  assert.equal(head("/data/a.cfg"), "--- /dev/null\n+++ /data/a.cfg\n");
  assert.equal(head("/data/a b"), "--- /dev/null\n+++ /data/a b\t\n");
  assert.equal(head("a\n+b"), '--- /dev/null\n+++ "a\\n+b"\n');
});

test("colourDiff() colours each line by what it says, and escapes what drives terminals", () => {
  const diff = unifiedDiff("old", "new", '-- a\nb "q" \\\n', 'b "q" \\\n\tc\x1b[2J\u202e\r\n');
  assert.equal(
    colourDiff(diff),
    [
      "\x1b[1m--- old\x1b[0m",
      "\x1b[1m+++ new\x1b[0m",
      "\x1b[36m@@ -1,2 +1,2 @@\x1b[0m",
      "\x1b[31m--- a\x1b[0m",
      ' b "q" \\',
      "\x1b[32m+\tc\\u001b[2J\\u202e\\r\x1b[0m",
      "",
    ].join("\n"),
  );
  assert.equal(colourDiff(""), "");
});
