/** Every command line of README.md and docs/*.md is tested; see readmecommands.ts. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { allCommands, commandFaults, commandsOf, HOW, pages } from "./readmecommands.ts";
import { root } from "./support.ts";

test("each command line of the pages is tested, here or elsewhere", () => {
  const commands = allCommands();
  assert.ok(commands.length > 0);
  assert.deepEqual(commandFaults(commands, HOW), []);
});

test("commandsOf() joins lines, and refuses what it might miss", () => {
  const of = (...lines: string[]): string[] =>
    commandsOf("x.md", lines.join("\n")).map(({ text }) => text);
  assert.deepEqual(of("Say `npm ci` or `other`:", "```sh", "# why", "a \\", "  b", "```"), [
    "npm ci",
    "a b",
  ]);
  assert.deepEqual(of("```sh", "a <<END", " b", "END", "c", "```"), ["a <<END\n b\nEND", "c"]);
  assert.deepEqual(of("1. x", "   ```sh", "   a", "   ```", "```text", "b", "```"), ["a"]);
  assert.throws(() => of("    a"), /x\.md:1: indented by four/);
  assert.throws(() => of("```", "a", "```"), /x\.md:1: a block of what/);
  assert.throws(() => of("```sh", "a"), /x\.md:1: a block without an end/);
});

test("commandFaults() finds each kind of fault", () => {
  const command = { file: "x.md", block: 1, text: "a", inline: false };
  assert.deepEqual(commandFaults([command], new Map()), ["x.md:1: nothing tests: a"]);
  assert.deepEqual(commandFaults([], new Map([["a", {}]])), ["no page has: a"]);
  const elsewhere = ["README.md", /no such words/] as const;
  assert.deepEqual(commandFaults([command], new Map([["a", { elsewhere }]])), [
    "README.md has nothing like /no such words/, which is to test: a",
  ]);
  assert.deepEqual(commandFaults([command], new Map([["a", { unit: "dotege.service" }]])), [
    "dotege.service doesn't start: a",
  ]);
});

test("what npm is told to run exists", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const names = allCommands().flatMap(({ text }) => /^npm run (\w+)/.exec(text)?.[1] ?? []);
  assert.ok(names.length > 0);
  for (const name of names) assert.equal(typeof scripts[name], "string", `npm run ${name}`);
});

test("links between the pages lead somewhere", () => {
  let count = 0;
  for (const page of pages()) {
    for (const [, target = ""] of markdown(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https:/.test(target)) continue;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : join(dirname(page), path);
      assert.ok(existsSync(join(root, file)), `${page}: ${target}`);
      if (anchor !== undefined) assert.ok(anchors(file).includes(anchor), `${page}: ${target}`);
      count++;
    }
  }
  assert.ok(count > 0);
});

function markdown(page: string): string {
  return readFileSync(join(root, page), "utf8");
}

/** What GitHub makes of headings. */
function anchors(page: string): string[] {
  return [...markdown(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}
