import assert from "node:assert/strict";
import { mkdir, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type AccessFormat, createFormatter } from "../lib/accessline.ts";
import { areLines, createAccessLog, LineBuffer, sayDropped } from "../lib/accesslog.ts";
import type { AccessLog, WriteLines } from "../lib/accesslog.ts";
import type { RequestFacts } from "../lib/observe.ts";
import { recordLog, until } from "./recorder.ts";
import { needProgram, run, temporaryFolder } from "./support.ts";
import { type LineVector, lineVectors } from "./vectors/accesslog.ts";

const NOW = Date.UTC(2026, 10, 8, 6, 5, 4, 37);

function factsOf({ head, client, ...rest }: LineVector["input"]): RequestFacts {
  return {
    ...{ status: 200, beganAt: 7, endedAt: 8.5, received: 0, sent: 5, route: "a.example" },
    ...{ upstream: "127.0.0.1:80", upstreamTime: 1, retries: 0, failures: 0 },
    ending: "complete",
    ...rest,
    head: head === "none" ? undefined : {
      ...{ method: "GET", target: "/a?b", authority: "a.example", minor: 1, fields: [] },
      ...{ length: 0, keepAlive: true, connection: [], upgrade: undefined },
      ...head,
    },
    client: {
      ...{ address: "192.0.2.7", trusted: false, scheme: "https", serverName: undefined },
      ...{ certificateNames: [], judged: undefined },
      ...client,
    },
  };
}

function check(rows: readonly LineVector[], format: AccessFormat): void {
  assert.ok(rows.length > 0);
  for (const { name, why, input, [format]: expect } of rows) {
    const line = createFormatter(format)(factsOf(input), NOW);
    const time = format === "json"
      ? /2026-11-08T06:05:04\.037Z/
      : /0[789]\/Nov\/2026:\S+ [+-]\d{4}/;
    assert.equal(line.replace(time, "TIME"), `${expect}\n`, `${name}: ${why}`);
    assert.match(line, /^[ -~]+\n$/, name);
    if (format === "json") assert.equal(typeof JSON.parse(line), "object", name);
    assert.ok(areLines(line));
  }
}

test("a line in the Combined Log Format has what Apache and nginx write", () => {
  check(lineVectors, "combined");
});

test("a line in JSON is JSON, whatever a client sends", () => check(lineVectors, "json"));

test("the runner of these vectors sees a wrong one, and that there are none", () => {
  const [first] = lineVectors;
  assert.throws(() => check([{ ...first!, combined: "" }], "combined"), assert.AssertionError);
  assert.throws(() => check([{ ...first!, json: "" }], "json"), assert.AssertionError);
  assert.throws(() => check([], "json"), assert.AssertionError);
});

test("every byte but printable ASCII is escaped, and JSON gives it back", () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join("");
  const facts = factsOf({ head: { target: bytes } });
  const combined = createFormatter("combined")(facts, NOW);
  assert.match(combined, /^[ -~]+\n$/);
  const [, target = ""] = /"GET (.*) HTTP\/1\.1"/.exec(combined) ?? [];
  const bytesOf = target.replace(
    /\\x([0-9A-F]{2})/g,
    (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)),
  );
  assert.equal(bytesOf, bytes);
  assert.equal(JSON.parse(createFormatter("json")(facts, NOW)).target, bytes);
});

test("the time is local, with its distance from UTC, and goes on", async (t) => {
  const format = createFormatter("combined");
  const times = [0, 999, 1000].map((ms) => /\[(.*?)\]/.exec(format(factsOf({}), ms))?.[1]);
  assert.equal(times[0], times[1]);
  assert.notEqual(times[0], times[2]);
  if (!needProgram(t, "date")) return;
  const { stdout } = await run("date", ["-d", "@1", "+%d/%b/%Y:%H:%M:%S %z"], {
    env: { ...process.env, LC_ALL: "C" } as Record<string, string>,
  });
  assert.equal(times[2], stdout.trim());
});

/** Takes lines, and says that they are written when it is told to. */
function holdWrites() {
  const written: string[] = [];
  const waiting: ((error?: Error) => void)[] = [];
  const write: WriteLines = (lines, done) => {
    written.push(lines);
    waiting.push(done);
  };
  return { write, written, done: (error?: Error) => waiting.shift()?.(error) };
}

test("lines are gathered, and a batch waits for the one before it", async () => {
  const { write, written, done } = holdWrites();
  const buffer = new LineBuffer(write, () => assert.fail("nothing is lost"));
  for (const line of ["a\n", "b\n"]) buffer.push(line);
  assert.deepEqual(written, []);
  await until(() => written.length > 0);
  buffer.push("c\n");
  buffer.push("d\n".repeat(40_000), 40_000);
  assert.deepEqual(written, ["a\nb\n"]);
  done();
  assert.deepEqual(written.map(({ length }) => length), [4, 80_002]);
  done();
  await buffer.close();
});

test("many lines at once don't wait for the time to be over", () => {
  const { write, written } = holdWrites();
  const buffer = new LineBuffer(write, () => {});
  buffer.push("x".repeat(65_535) + "\n");
  assert.equal(written.length, 1);
});

test("what isn't taken in time is dropped, and nothing waits for it", () => {
  const { write } = holdWrites();
  let lost = 0;
  const buffer = new LineBuffer(write, (lines) => lost += lines);
  const line = "x".repeat(1023) + "\n";
  for (let i = 0; i < 64 + 4 * 1024 + 10; i++) buffer.push(line);
  assert.equal(lost, 10);
});

test("lines that can't be written are counted", async () => {
  const { write, done } = holdWrites();
  const lost: [number, string][] = [];
  const buffer = new LineBuffer(write, (lines, { message }) => lost.push([lines, message]));
  for (let i = 0; i < 3; i++) buffer.push("a\n");
  const closed = buffer.close();
  done(new Error("ENOSPC"));
  await closed;
  assert.deepEqual(lost, [[3, "ENOSPC"]]);
});

test("the end comes when all is written", async () => {
  const { write, written, done } = holdWrites();
  const buffer = new LineBuffer(write, () => {});
  buffer.push("a\n");
  let isClosed = false;
  const closed = buffer.close().then(() => isClosed = true);
  assert.deepEqual(written, ["a\n"]);
  buffer.push("b\n");
  await undefined;
  assert.equal(isClosed, false);
  done();
  assert.deepEqual(written, ["a\n", "b\n"]);
  done();
  await closed;
});

test("lost lines are said once, and then not for a while", () => {
  const { log, lines } = recordLog();
  const say = sayDropped(log);
  for (let i = 0; i < 1000; i++) say(2, new Error("ENOSPC"));
  assert.deepEqual(lines, ["error access log lines dropped 2 ENOSPC"]);
});

test("a worker's lines are lines, or nothing", () => {
  for (const text of ["", "a", "a\nb", "a\x1b\n", "a\r\n", "é\n", 5, undefined, ["a\n"]]) {
    assert.equal(areLines(text), false, JSON.stringify(text));
  }
  assert.ok(areLines("a b ~\n\nc\n"));
});

const writeLines = (write: WriteLines, lines: string): Promise<Error | null | undefined> =>
  new Promise((done) => write(lines, done));

/** A file's log, open. */
async function openLog(path: string): Promise<AccessLog> {
  const log = createAccessLog(path, () => assert.fail("that's for standard output"));
  await log.open();
  return log;
}

test("a file is appended to, isn't everybody's, and is opened anew", async (t) => {
  const path = join(await temporaryFolder(t), "access.log");
  const file = await openLog(path);
  t.after(() => file.close());
  await writeLines(file.write, "a\n");
  assert.equal((await stat(path)).mode & 0o137, 0);
  await rename(path, `${path}.1`);
  await writeLines(file.write, "b\n");
  await file.open();
  await writeLines(file.write, "c\n");
  assert.deepEqual([await readFile(`${path}.1`, "utf8"), await readFile(path, "utf8")], [
    "a\nb\n",
    "c\n",
  ]);
  const again = await openLog(path);
  await writeLines(again.write, "d\n");
  again.close();
  assert.equal(await readFile(path, "utf8"), "c\nd\n");
});

test("a file that can't be opened anew leaves the old one in use", async (t) => {
  const folder = join(await temporaryFolder(t), "folder");
  await mkdir(folder);
  const path = join(folder, "access.log");
  const file = await openLog(path);
  t.after(() => file.close());
  await rename(folder, `${folder}.1`);
  await assert.rejects(file.open(), /can't open access log/);
  await writeLines(file.write, "a\n");
  assert.equal(await readFile(join(`${folder}.1`, "access.log"), "utf8"), "a\n");
  await mkdir(folder);
  await file.open();
  await writeLines(file.write, "b\n");
  assert.equal(await readFile(path, "utf8"), "b\n");
});

test("before it is open, lines are lost, and the file may be opened later", async (t) => {
  const path = join(await temporaryFolder(t), "access.log");
  const file = createAccessLog(path, () => {});
  assert.match(`${await writeLines(file.write, "a\n")}`, /isn't open/);
  await file.open();
  assert.equal(await writeLines(file.write, "b\n"), null);
  file.close();
});

test("a file that can't be opened at the start says so", async (t) => {
  const folder = await temporaryFolder(t);
  for (const path of [folder, join(folder, "none", "access.log")]) {
    await assert.rejects(openLog(path), /^Error: can't open access log "/);
  }
});

test("a FIFO without a reader is refused, not waited for", async (t) => {
  if ("Deno" in globalThis) return t.skip("Deno 2.9 waits");
  if (!needProgram(t, "mkfifo")) return;
  const path = join(await temporaryFolder(t), "fifo");
  await run("mkfifo", [path]);
  await assert.rejects(openLog(path), /can't open access log/);
});

test("a full disk loses lines and nothing else", async () => {
  const file = await openLog("/dev/full");
  assert.match(`${await writeLines(file.write, "a\n")}`, /ENOSPC|No space left/);
  file.close();
});

test("a pipe whose reader is slow gets every line whole, in the end", async (t) => {
  if (!needProgram(t, "mkfifo")) return;
  const path = join(await temporaryFolder(t), "fifo");
  await run("mkfifo", [path]);
  const reading = run("sh", ["-c", `exec 3<"$0"; sleep 0.2; exec cat <&3`, path]);
  let file: AccessLog | undefined;
  await until(async () => {
    file = await openLog(path).catch(() => undefined);
    return file !== undefined;
  });
  const lines = Array.from({ length: 30_000 }, (_, i) => `${i}\n`).join(""); // over 64 KiB
  assert.equal(await writeLines(file!.write, lines), null);
  file!.close();
  assert.equal((await reading).stdout, lines);
});
