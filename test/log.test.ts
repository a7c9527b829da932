import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger, type Fields, type Level, quote } from "../lib/log.ts";

type LogOptions = Parameters<typeof createLogger>[0];

const LEVELS: readonly Level[] = ["debug", "info", "warn", "error"];
const TEXT = "time=2026-11-22T16:43:45.123Z level=INFO msg=m";

/** What a logger writes for one event at level info. */
function written(message: string, fields?: Fields, options: Partial<LogOptions> = {}): string {
  const lines: string[] = [];
  const now = () => new Date("2026-11-22T16:43:45.123Z");
  const write = (line: string) => void lines.push(line);
  createLogger({ level: "debug", format: "text", write, now, ...options }).info(message, fields);
  assert.equal(lines.length, 1);
  return lines[0]!;
}

test("createLogger() writes text as Go's slog does", () => {
  assert.equal(
    written("listening for HTTPS", { address: "[::]:8443", routes: 3, http2: false }),
    'time=2026-11-22T16:43:45.123Z level=INFO msg="listening for HTTPS" address=[::]:8443 ' +
      "routes=3 http2=false\n",
  );
});

test("createLogger() quotes in text only what needs it", () => {
  const rows: [Fields[string], string][] = [
    ["", '""'],
    ["a=b", '"a=b"'],
    ["a b", '"a b"'],
    ['a"b', '"a\\"b"'],
    ["a\\b", "a\\b"],
    ["a \\b", '"a \\\\b"'],
    ["é😀", "é😀"],
    ["[a]", "[a]"],
    [["a", "b c"], '"[a b c]"'],
    [["a"], "[a]"],
    [[], "[]"],
    [1.5, "1.5"],
    [NaN, "NaN"],
    [true, "true"],
  ];
  for (const [value, text] of rows) assert.equal(written("m", { k: value }), `${TEXT} k=${text}\n`);
  assert.equal(written("m", { "k y": 1 }), `${TEXT} "k y"=1\n`);
});

test("createLogger() writes JSON as Go's slog does, fields in their order", () => {
  const fields = { b: "x y", a: 1, "7": true, list: ["p", "q r"], nan: NaN, ["__proto__"]: "p" };
  assert.equal(
    written("hello", fields, { format: "json" }),
    '{"time":"2026-11-22T16:43:45.123Z","level":"INFO","msg":"hello","7":true,"b":"x y","a":1,' +
      '"list":["p","q r"],"nan":null,"__proto__":"p"}\n',
  );
});

test("createLogger() writes a line for eyes on a terminal, with the local time", () => {
  const now = () => new Date(2026, 10, 22, 16, 43, 45);
  assert.equal(
    written("listening for HTTPS", { port: 8443, name: "a b" }, { terminal: true, now }),
    '16:43:45 \x1b[32mINFO \x1b[0m  listening for HTTPS \x1b[2m port=8443 name="a b"\x1b[0m\n',
  );
  assert.equal(written("m", {}, { terminal: true, now }), "16:43:45 \x1b[32mINFO \x1b[0m  m\n");
});

test("createLogger() gives each level its colour on a terminal, and none to JSON", () => {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const log = createLogger({ level: "debug", format: "text", write, terminal: true });
  for (const level of LEVELS) log[level]("m");
  assert.deepEqual(lines.map((line) => /\x1b\[(\d+)m(\w+)/.exec(line)?.slice(1)), [
    ["2", "DEBUG"],
    ["32", "INFO"],
    ["33", "WARN"],
    ["31", "ERROR"],
  ]);
  assert.ok(written("m", {}, { format: "json", terminal: true }).startsWith('{"time"'));
});

test("createLogger() lets nothing unprintable out raw, in any format", () => {
  const codes = [...Array(0x20).keys(), ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i)];
  codes.push(0xa0, 0xad, 0x61c, 0x200b, 0x200e, 0x200f, 0x2028, 0x2029, 0x3000, 0xfeff, 0xe0001);
  for (let code = 0x202a; code <= 0x202e; code++) codes.push(code);
  for (let code = 0x2066; code <= 0x2069; code++) codes.push(code, 0xd800, 0xdfff);
  for (const code of codes) {
    const char = String.fromCodePoint(code);
    const name = code.toString(16);
    for (const options of [{}, { terminal: true }, { format: "json" as const }]) {
      for (const fields of [{}, { k: `a${char}b` }, { k: [char] }, { [`k${char}`]: 1 }]) {
        const message = Object.keys(fields).length === 0 ? `a${char}b` : "m";
        const line = written(message, fields, options);
        const rest = line.slice(0, -1).replaceAll(/\x1b\[\d+m/g, "");
        assert.ok(!/\p{C}/u.test(rest), `${name} in ${JSON.stringify(line)}`);
        assert.ok(!rest.includes(char), `${name} in ${JSON.stringify(line)}`);
        assert.ok(line.endsWith("\n"));
      }
    }
  }
});

test("createLogger() writes JSON that reads back as what was logged", () => {
  const value = 'a\n\x1b[31m\x7f\x85\u2028\u202e\u{e0001}"\\ é😀';
  const record = JSON.parse(written(value, { value, list: [value] }, { format: "json" }));
  assert.equal(record.msg, value);
  assert.equal(record.value, value);
  assert.deepEqual(record.list, [value]);
});

test("createLogger() escapes so that a reader sees what it was", () => {
  const line = written("m", { k: "a\n\x1b[31m\x85\u202e" });
  assert.equal(line, `${TEXT} k="a\\n\\u001b[31m\\u0085\\u202e"\n`);
  assert.match(written("a\nb\x1b[2J", {}, { terminal: true }), / {2}a\\nb\\u001b\[2J\n$/);
});

test("createLogger() cuts messages, values and lists at 2,048 characters", () => {
  const long = "x".repeat(2049);
  assert.equal(written("m", { k: long }), `${TEXT} k=${"x".repeat(2048)}…\n`);
  assert.equal(written("m", { k: "x".repeat(2048) }), `${TEXT} k=${"x".repeat(2048)}\n`);
  assert.equal(written("m", { k: new Error(long) }), `${TEXT} k=${"x".repeat(2048)}…\n`);
  assert.match(written(long), / msg=x{2048}…\n$/);
  const { list } = JSON.parse(written("m", { list: Array(3000).fill("y") }, { format: "json" }));
  assert.deepEqual(list, ["y ".repeat(1024) + "…"]);
  // No half of a surrogate pair is left behind.
  assert.equal(written("m", { k: "x".repeat(2047) + "😀" }), `${TEXT} k=${"x".repeat(2047)}…\n`);
});

test("createLogger() tells an Error by its message and its causes", () => {
  const root = new Error("connection refused");
  const error = new Error("can't reach it", { cause: new Error("connect", { cause: root }) });
  const line = `${TEXT} error="can't reach it: connect: connection refused"\n`;
  assert.equal(written("m", { error }), line);
  assert.equal(written("m", { error: new Error("a", { cause: "b" }) }), `${TEXT} error="a: b"\n`);
  const several = new AggregateError([new Error("x"), new Error("y")]);
  assert.equal(written("m", { error: several }), `${TEXT} error="Error: x, Error: y"\n`);
  assert.equal(written("m", { error: new TypeError() }), `${TEXT} error=TypeError\n`);
});

test("createLogger() ends a chain of causes that loops", () => {
  const error = new Error("a");
  error.cause = new Error("b", { cause: error });
  assert.equal(written("m", { error }), `${TEXT} error="a: b: a: b: a: b: a: b"\n`);
});

test("createLogger() doesn't repeat a cause that the message quotes", () => {
  const error = new Error("nothing listens there (refused)", { cause: new Error("refused") });
  assert.equal(written("m", { error }), `${TEXT} error="nothing listens there (refused)"\n`);
});

test("createLogger() leaves undefined fields out", () => {
  assert.equal(written("m", { a: undefined, b: 1 }), `${TEXT} b=1\n`);
  assert.ok(!written("m", { a: undefined }, { format: "json" }).includes('"a"'));
});

test("createLogger() writes its level and what is more severe", () => {
  for (const [least, level] of LEVELS.entries()) {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    const log = createLogger({ level, format: "text", write });
    for (const each of LEVELS) log[each]("m");
    assert.equal(lines.length, LEVELS.length - least, level);
  }
});

test("createLogger() outlives a write that throws", () => {
  const write = () => {
    throw new Error("EPIPE");
  };
  createLogger({ level: "info", format: "text", write }).error("m");
});

test("quote() quotes, escapes and cuts", () => {
  assert.equal(quote('a "b"\n\u202e'), '"a \\"b\\"\\n\\u202e"');
  assert.equal(quote("abcdef", 3), '"abc…"');
});
