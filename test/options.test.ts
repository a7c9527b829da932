import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatHelp,
  formatMarkdown,
  OptionError,
  type Options,
  parseOptions,
} from "../lib/options.ts";
import { errors, table, values, type Vector } from "./vectors/options.ts";

function replay(rows: readonly Vector[]): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) {
    assert.deepEqual(outcome(input, "option" in expect ? expect.option : ""), expect, name + why);
  }
}

function outcome({ argv = [], env = {} }: Vector["input"], option: string): Vector["expect"] {
  try {
    const options = parseOptions(table, argv, env);
    const kind = table.find(({ name }) => name === option)?.kind ?? "string";
    return { option, value: options[kind](option) };
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    return { error: error.message };
  }
}

test("the runner fails on no rows and on a wrong row", () => {
  const wrong: Vector = {
    name: "wrong",
    why: "a runner that can't fail tests nothing",
    input: { argv: ["--config", "a"] },
    expect: { option: "config", value: "b" },
  };
  assert.throws(() => replay([]), /no rows/);
  assert.throws(() => replay([wrong]), /can't fail/);
  assert.throws(() => replay([{ ...wrong, expect: { error: "a" } }]), TypeError);
});

test("parseOptions() reads flags and variables as Go's programs do", () => replay(values));

test("parseOptions() refuses in one line what can't be used, and says what would be", () => {
  replay(errors);
  for (const { name, expect } of errors) {
    assert.ok("error" in expect && !/[\p{C}\u2028\u2029]/u.test(expect.error), name);
  }
});

test("parseOptions() reads defaults by their kinds and ranges", () => {
  const [port] = table.filter(({ name }) => name === "http-port");
  const parse = (text: string) => () => parseOptions([{ ...port!, default: text }], [], {});
  assert.equal(parse("65535")().integer("http-port"), 65535);
  assert.throws(parse("65536"), TypeError);
});

test("an accessor throws for a name or kind that the table doesn't have", () => {
  const options = parseOptions(table, [], {});
  const kinds: (keyof Options)[] = [
    ...["string", "integer", "boolean", "duration", "size", "choice", "list"] as const,
  ];
  for (const kind of kinds) {
    for (const option of table) {
      if (option.kind === kind) options[kind](option.name);
      else assert.throws(() => options[kind](option.name), TypeError, `${kind} ${option.name}`);
    }
    assert.throws(() => options[kind]("toString"), TypeError);
  }
  assert.throws(() => options.isSet("toString"), TypeError);
});

test("isSet() tells whether a flag or a variable gave the value", () => {
  const options = parseOptions(table, ["--config", "app.conf"], { HTTP_PORT: "8080" });
  assert.ok(options.isSet("config") && options.isSet("http-port"));
  assert.ok(!options.isSet("idle"));
});

test("formatHelp() lists each group's options with default and variable, within 80 columns", () => {
  const long = "Words to fill more than one line. ".repeat(5).trim();
  const rows = table.map((option) => option.name === "idle" ? { ...option, help: long } : option);
  const help = formatHelp("Usage: app [options]", rows);
  assert.equal(
    help,
    `Usage: app [options]

A
  --config file
      Helps. (default app.conf; CONFIG)
  --http-port integer
      Helps. (default 8080; HTTP_PORT)
  --uid integer
      Helps. (default -1; UID)
  --workers integer
      Helps. (default 1; WORKERS)
  --idle duration
      Words to fill more than one line. Words to fill more than one line. Words
      to fill more than one line. Words to fill more than one line. Words to
      fill more than one line. (default 3m; IDLE)
  --max-head size
      Helps. (default 64KiB; MAX_HEAD)
  --log.format text|JSON
      Helps. (default text; LOG_FORMAT)
  --providers list
      Helps. (default lego selfsigned; PROVIDERS)
  --docker string
      Helps. (default empty; DOCKER_HOST)

B
  --validate
      Helps. (default false; VALIDATE)

C
  --help
      Helps. (default false)
`,
  );
  assert.ok(help.split("\n").every((line) => line.length <= 80));
});

test("formatMarkdown() is one table with a row for each group and option", () => {
  const rows = table.filter(({ name }) => ["log.format", "help", "docker"].includes(name));
  assert.equal(
    formatMarkdown(rows),
    `| Flag | Variable | Default | Meaning |
|---|---|---|---|
| **A** |  |  |  |
| \`--log.format text\\|JSON\` | \`LOG_FORMAT\` | \`text\` | Helps. |
| \`--docker string\` | \`DOCKER_HOST\` |  | Helps. |
| **C** |  |  |  |
| \`--help\` |  | \`false\` | Helps. |
`,
  );
});
