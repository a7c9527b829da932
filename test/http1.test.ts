/**
 * HTTP/1.1 heads and bodies: every vector at every split size, with the bytes handed over in every
 * way a connection may do it; then round trips and the work that hostile bytes may cause.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { test } from "node:test";
import {
  CHUNKED,
  formatChunkSize,
  formatLastChunk,
  formatRequestHead,
  formatResponseHead,
  HEAD_LIMITS,
  type HeadLimits,
  Http1Error,
  parseRequestHead,
  parseResponseHead,
  UNTIL_CLOSE,
} from "../lib/http1.ts";
import { DATA, END, MessageReader, MORE } from "../lib/http1reader.ts";
import { bodyVectors } from "./vectors/http1-bodies.ts";
import { framingVectors } from "./vectors/http1-framing.ts";
import { requestVectors } from "./vectors/http1-requests.ts";
import { responseVectors } from "./vectors/http1-responses.ts";

interface Head {
  readonly length: number;
}

/** A head's own properties and what came of its body, or the status of the error. */
type Outcome = Record<string, unknown>;

interface Run {
  readonly limits: HeadLimits;
  /** Parses a head; or, where the input starts inside a body, the length of that. */
  readonly head: ((text: string) => Head) | number;
  /** Whatever is wrong with an answer is a 502 to the client: its status isn't compared. */
  readonly answer?: true;
}

/** How bytes reach the reader: steps taken after each piece, and whether its buffer is reused. */
interface Delivery {
  readonly steps: number;
  readonly reuse: boolean;
}

const DELIVERIES: readonly Delivery[] = [0, 1, Infinity].flatMap((steps) => [
  { steps, reuse: false },
  { steps, reuse: true },
]);

/** Cuts `input` into a piece of `first` bytes and pieces of `size`, and reads what they hold. */
function replay(
  run: Run,
  input: Buffer,
  first: number,
  size: number,
  delivery: Delivery,
): { messages: Outcome[]; rest: string } {
  const reader = new MessageReader(run.limits);
  const messages: Outcome[] = [];
  let open: { body: string } | undefined;
  let failed = false;
  const start = (head: Head): void => {
    const message = { ...head, body: "", trailers: [], ended: false };
    messages.push(message);
    open = message;
    reader.startBody(head.length);
  };
  /** Reads one head or one piece of a body; false when more bytes are needed. */
  const step = (): boolean => {
    if (open === undefined) {
      const text = typeof run.head === "number" ? undefined : reader.readHead();
      if (text === undefined || typeof run.head === "number") return false;
      start(run.head(text));
      return true;
    }
    const event = reader.readBody();
    if (event === DATA) open.body += reader.data.toString("latin1");
    if (event === END) {
      assert.equal(reader.readBody(), END, "the end stays the end");
      Object.assign(open, { trailers: reader.trailers, ended: true });
      open = undefined;
    }
    return event !== MORE;
  };
  const steps = (count: number): void => {
    try {
      for (let i = 0; i < count && !failed; i++) if (!step()) return;
    } catch (error) {
      if (!(error instanceof Http1Error)) throw error;
      failed = true;
      messages.push({ error: run.answer ?? error.status });
    }
  };
  if (typeof run.head === "number") start({ length: run.head });
  const reused = Buffer.alloc(Math.max(first, size));
  for (let pos = 0; pos < input.length && !failed;) {
    const piece = input.subarray(pos, pos + (pos === 0 ? first : size));
    pos += piece.length;
    if (delivery.reuse) reused.fill("!").set(piece);
    reader.push(delivery.reuse ? reused.subarray(0, piece.length) : Buffer.from(piece));
    steps(delivery.steps);
    if (delivery.reuse) reader.keep();
  }
  steps(Infinity);
  // Here the connection ends.
  if (open !== undefined) Object.assign(open, { ended: reader.endsWithConnection });
  if (failed) return { messages, rest: "" };
  const waiting = reader.buffered;
  const rest = reader.takeRest().toString("latin1");
  assert.equal(rest.length, waiting);
  assert.equal(reader.buffered, 0);
  return { messages, rest };
}

/** Every split size, and a first piece of every length: the same must come of each. */
function replayAll(name: string, run: Run, text: string): { messages: Outcome[]; rest: string } {
  const input = Buffer.from(text, "latin1");
  const whole = replay(run, input, input.length, input.length, DELIVERIES[5]);
  const expected = JSON.stringify(whole);
  const check = (first: number, size: number, delivery: Delivery): void => {
    const actual = replay(run, input, first, size, delivery);
    if (JSON.stringify(actual) === expected) return; // deepEqual takes ten times as long
    const how = `cut after ${first}, then every ${size}, ${JSON.stringify(delivery)}`;
    assert.deepEqual(actual, whole, `${name}: ${how}`);
  };
  for (let n = 1; n <= input.length; n++) {
    const inTurn = DELIVERIES[n % DELIVERIES.length];
    for (const delivery of n < 8 ? DELIVERIES : [inTurn]) check(n, n, delivery);
    if (2 * n < input.length) check(n, input.length, inTurn);
  }
  return whole;
}

/** What the replay of a message must show, with what the vector leaves out filled in. */
function checkMessage(name: string, actual: Outcome, expected: Outcome): void {
  if ("error" in expected || "error" in actual) return assert.deepEqual(actual, expected, name);
  const { truncated, ...wanted } = expected;
  const full: Outcome = { body: "", trailers: [], ...wanted };
  full.ended = truncated !== true;
  for (const [key, value] of Object.entries(full)) {
    assert.deepEqual(actual[key], value, `${name}: ${key}`);
  }
}

/** A row of any of the message vectors. */
interface Row {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  readonly method?: string;
  readonly limits?: HeadLimits;
  readonly expect: readonly object[];
  readonly rest?: string;
}

function runMessages(rows: readonly Row[], toRun: (row: Row) => Run): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const row of rows) {
    const { messages, rest } = replayAll(row.name, toRun(row), row.input);
    assert.equal(messages.length, row.expect.length, `${row.name}: ${JSON.stringify(messages)}`);
    messages.forEach((message, i) => checkMessage(row.name, message, { ...row.expect[i] }));
    if (messages.every((message) => !("error" in message))) {
      assert.equal(rest, row.rest ?? "", `${row.name}: rest`);
    }
  }
}

function runRequests(rows: readonly Row[]): void {
  runMessages(rows, ({ limits = HEAD_LIMITS }) => ({
    limits,
    head: (text) => parseRequestHead(text, limits.fields),
  }));
}

function runResponses(rows: readonly Row[]): void {
  runMessages(rows, ({ method = "GET" }) => ({
    limits: HEAD_LIMITS,
    head: (text) => parseResponseHead(text, method, HEAD_LIMITS.fields),
    answer: true,
  }));
}

function runBodies(rows: typeof bodyVectors): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, length, limits = HEAD_LIMITS, input, expect } of rows) {
    const { messages, rest } = replayAll(name, { limits, head: length }, input);
    if ("error" in expect) {
      assert.deepEqual(messages.at(-1), { error: expect.error }, name);
      continue;
    }
    const ended = !("waiting" in expect);
    const { trailers = [], rest: left = "" } = ended ? expect : {};
    assert.deepEqual(messages, [{ length, body: expect.data, trailers, ended }], name);
    if (ended) assert.equal(rest, left, `${name}: rest`);
  }
}

test("requests give what their vectors say, however they are cut", () => {
  runRequests(requestVectors);
  runRequests(framingVectors);
});

test("answers give what their vectors say, however they are cut", () => {
  runResponses(responseVectors);
});

test("bodies give what their vectors say, however they are cut", () => {
  runBodies(bodyVectors);
});

test("the runners fail on no rows and on a wrong one", () => {
  for (const run of [runRequests, runResponses, runBodies]) {
    assert.throws(() => run([]), /no vectors/);
  }
  const [request] = requestVectors, [answer] = responseVectors, [body] = bodyVectors;
  const wrong = { ...request.expect[0], target: "/other" };
  assert.throws(() => runRequests([{ ...request, expect: [wrong] }]), /target/);
  assert.throws(() => runRequests([{ ...request, expect: [] }]), /the least/);
  assert.throws(() => runRequests([{ ...request, expect: [{ error: 400 }] }]), /the least/);
  assert.throws(() => runRequests([{ ...request, rest: "x" }]), /rest/);
  assert.throws(() => runResponses([{ ...answer, expect: [{ body: "ho" }] }]), /body/);
  assert.throws(() => runResponses([{ ...answer, expect: [{ error: true }] }]), /an answer/);
  assert.throws(() => runBodies([{ ...body, expect: { data: "x" } }]), /no body/);
  assert.throws(() => runBodies([{ ...body, expect: { error: 400 } }]), /no body/);
});

test("every row has a name of its own and a reason", () => {
  const rows = [...requestVectors, ...framingVectors, ...responseVectors, ...bodyVectors];
  assert.equal(new Set(rows.map((row) => row.name)).size, rows.length);
  for (const row of rows) assert.match(row.why, /\w{2} \w/, row.name);
});

/** Small numbers from a seed (mulberry32), so that a failure can be had again. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const BYTES = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
const TOKEN = BYTES.filter((char) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char));
const VALUE = BYTES.filter((char) => /[\t\x20-\x7e\x80-\xff]/.test(char));
const TARGET = BYTES.filter((char) => /[\x21\x22\x24-\x7e]/.test(char));

type Random = (below: number) => number;

function text(next: Random, chars: readonly string[], least: number): string {
  return Array.from({ length: least + next(12) }, () => chars[next(chars.length)]).join("");
}

/** Fields that say nothing about the framing (whose names are longer, or in `taken`). */
function someFields(next: Random): string[] {
  const taken = ["host", "upgrade", "expect", "connection"];
  const names = Array.from({ length: next(6) }, () => text(next, TOKEN, 1));
  return names.filter((name) => !taken.includes(name.toLowerCase()))
    .flatMap((name) => [name, text(next, VALUE, 0).replace(/^[ \t]+|[ \t]+$/g, "")]);
}

/** What comes of `input` in pieces of random sizes. */
function pieces(next: Random, run: Run, input: string): { messages: Outcome[]; rest: string } {
  const bytes = Buffer.from(input, "latin1");
  const delivery = DELIVERIES[next(DELIVERIES.length)];
  return replay(run, bytes, 1 + next(40), 1 + next(40), delivery);
}

test("formatRequestHead() gives what parseRequestHead() reads back, 10,000 times", () => {
  const next = random(1);
  const run: Run = { limits: HEAD_LIMITS, head: (head) => parseRequestHead(head, 256) };
  for (let i = 0; i < 10_000; i++) {
    // A comma would make it two hosts.
    const authority = text(next, TARGET.filter((char) => char !== ","), 0);
    const fields = [...someFields(next), "Host", authority, ...someFields(next)];
    const method = text(next, TOKEN, 1), target = "/" + text(next, TARGET, 0);
    const { messages, rest } = pieces(next, run, formatRequestHead(method, target, fields));
    const expected = { method, target, minor: 1, fields, authority, length: 0 };
    assert.equal(messages.length, 1);
    assert.deepEqual({ ...messages[0], ...expected }, messages[0], `round ${i}`);
    assert.equal(rest, "");
  }
});

test("formatResponseHead() gives what parseResponseHead() reads back, 10,000 times", () => {
  const next = random(2);
  const run: Run = { limits: HEAD_LIMITS, head: (head) => parseResponseHead(head, "GET", 256) };
  for (let i = 0; i < 10_000; i++) {
    const fields = someFields(next);
    const status = 200 + next(800), reason = text(next, VALUE, 0);
    const body = text(next, BYTES, 0);
    const bodiless = status === 204 || status === 304;
    const input = formatResponseHead(status, reason, fields) + (bodiless ? "" : body);
    const { messages } = pieces(next, run, input);
    const expected = { status, reason, minor: 1, fields, length: bodiless ? 0 : UNTIL_CLOSE };
    assert.equal(messages.length, 1);
    assert.deepEqual({ ...messages[0], ...expected }, messages[0], `round ${i}`);
    assert.equal(messages[0].body, bodiless ? "" : body);
  }
});

test("formatChunkSize() and formatLastChunk() give what readBody() undoes, 10,000 times", () => {
  const next = random(3);
  for (let i = 0; i < 10_000; i++) {
    const parts = Array.from({ length: next(5) }, () => text(next, BYTES, 1).repeat(1 + next(3)));
    const trailers = someFields(next);
    const rest = text(next, BYTES, 0);
    const chunks = parts.map((part) => formatChunkSize(part.length) + part + "\r\n").join("");
    const input = chunks + formatLastChunk(trailers) + rest;
    const actual = pieces(next, { limits: HEAD_LIMITS, head: CHUNKED }, input);
    const message = { length: CHUNKED, body: parts.join(""), trailers, ended: true };
    assert.deepEqual(actual, { messages: [message], rest }, `round ${i}`);
  }
});

/** Counts what pushing `input` byte by byte allocates and copies, while `read` reads it. */
function countWork(input: Buffer, limits: HeadLimits, read: (reader: MessageReader) => void): {
  allocated: number;
  copied: number;
} {
  const work = { allocated: 0, copied: 0 };
  const { allocUnsafe } = Buffer;
  Buffer.allocUnsafe = (size) => {
    work.allocated += size;
    return allocUnsafe(size);
  };
  try {
    const reader = new MessageReader(limits);
    for (let i = 0; i < input.length; i++) {
      const piece = input.subarray(i, i + 1);
      piece.copy = (...to) => {
        work.copied++;
        return Buffer.prototype.copy.apply(piece, to);
      };
      reader.push(piece);
      read(reader);
    }
  } finally {
    Buffer.allocUnsafe = allocUnsafe;
  }
  return work;
}

test("a head sent byte by byte costs linear work", () => {
  const long = `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(60_000)}\r\n`;
  const input = Buffer.from(long + "Y: z\r\n\r\n");
  let heads = 0;
  const work = countWork(input, HEAD_LIMITS, (reader) => {
    if (reader.readHead() !== undefined) heads++;
  });
  assert.equal(heads, 1);
  assert.equal(work.copied, input.length);
  assert.ok(work.allocated > 0 && work.allocated < 5 * input.length, `${work.allocated} bytes`);
});

test("trailers sent byte by byte cost linear work", () => {
  const input = Buffer.from("0\r\n" + `X: ${"x".repeat(230)}\r\n`.repeat(256) + "\r\n");
  let started = false, ended = 0;
  const work = countWork(input, HEAD_LIMITS, (reader) => {
    if (!started) reader.startBody(CHUNKED);
    started = true;
    if (reader.readBody() === END) ended++;
  });
  assert.equal(ended, 1);
  assert.equal(work.copied, input.length);
  assert.ok(work.allocated < 5 * input.length, `${work.allocated} bytes`);
});

test("bytes that wait cost linear work and come in order, however small their pieces", () => {
  const input = Buffer.from(Array.from({ length: 256 * 1024 }, (_, i) => i % 251));
  let reader: MessageReader | undefined;
  const work = countWork(input, HEAD_LIMITS, (r) => reader = r);
  assert.ok(work.allocated < 5 * input.length, `${work.allocated} bytes`);
  assert.equal(reader?.buffered, input.length);
  assert.ok(reader?.takeRest().equals(input));
});

test("keep() copies what waits once", () => {
  const reader = new MessageReader(HEAD_LIMITS);
  const { from } = Buffer;
  let copies = 0;
  const counting = (...args: Parameters<typeof from>) => {
    copies++;
    return from(...args);
  };
  reader.push(Buffer.alloc(1000));
  reader.push(Buffer.alloc(1000));
  Object.assign(Buffer, { from: counting });
  try {
    for (let i = 0; i < 10; i++) reader.keep();
  } finally {
    Object.assign(Buffer, { from });
  }
  assert.equal(copies, 1);
  assert.equal(reader.buffered, 2000);
});

test("MessageReader refuses a head as soon as it is over the limit", () => {
  for (const size of [1, 7, 1000]) {
    const reader = new MessageReader({ bytes: 1000, fields: 10 });
    const piece = Buffer.alloc(size, "G");
    let pushed = 0;
    assert.throws(() => {
      for (; pushed < 10_000; pushed += size) {
        reader.push(piece);
        reader.readHead();
      }
    }, { name: "Http1Error", status: 414 });
    assert.ok(pushed + size - 1000 < size, `${pushed} bytes with pieces of ${size}`);
  }
});

test("chunk extensions are refused once there are too many of them in one body", () => {
  const chunk = Buffer.from("1;" + "a".repeat(998) + "\r\nx\r\n");
  const reader = new MessageReader(HEAD_LIMITS);
  const feed = (count: number): number => {
    let data = 0;
    for (let i = 0; i < count; i++) {
      reader.push(chunk);
      while (reader.readBody() === DATA) data++;
    }
    return data;
  };
  const plain = Buffer.from("1\r\nx\r\n".repeat(20_000));
  for (let body = 0; body < 2; body++) {
    reader.startBody(CHUNKED);
    assert.equal(feed(16), 16);
    reader.push(plain);
    for (let i = 0; i < 20_000; i++) assert.equal(reader.readBody(), DATA);
    reader.push(Buffer.from(formatLastChunk([])));
    assert.equal(reader.readBody(), END);
  }
  reader.startBody(CHUNKED);
  assert.equal(feed(16), 16);
  assert.throws(() => feed(1), { status: 400, message: /too many chunk extensions/ });
  // A body of any size may have one to each chunk, as long as they aren't what it consists of.
  const signed = Buffer.from(`3e8;a=${"b".repeat(900)}\r\n${"x".repeat(1000)}\r\n`);
  reader.startBody(CHUNKED);
  reader.takeRest();
  for (let i = 0; i < 100; i++) {
    reader.push(signed);
    assert.equal(reader.readBody(), DATA);
    assert.equal(reader.readBody(), MORE);
  }
});

test("text made to be slow to judge isn't", () => {
  const n = 60_000;
  const start = process.cpuUsage().user;
  const values = [" ", "\t ", "a,", ", ", " ,", "a ", "\xa0", ";", '"', "chunked,", "upgrade "];
  for (const name of ["X", "Connection", "Upgrade", "Transfer-Encoding", "Content-Length"]) {
    for (const value of values) {
      const fields = `Host: a\r\n${name}: x,x${value.repeat(n / value.length)}x\r\n`;
      const head = `GET / HTTP/1.1\r\n${fields}`;
      const refused = name === "Transfer-Encoding" || name === "Content-Length" ||
        (name === "Connection" && /\w,/.test(value));
      if (refused) assert.throws(() => parseRequestHead(head, 256), Http1Error);
      else assert.equal(parseRequestHead(head, 256).fields.length, 4);
    }
  }
  for (const ext of [";a", " ;a", ";a ", "; ", ";a= ", ';a="\\a', '"', "\\", ";a=b ", '";']) {
    const reader = new MessageReader(HEAD_LIMITS);
    reader.startBody(CHUNKED);
    reader.push(Buffer.from(`1;a="${ext.repeat(1000 / ext.length)}\0\r\n`));
    assert.throws(() => reader.readBody(), { status: 400 }, ext);
  }
  // 50 ms when this was written; one loop within another would take more than a minute.
  assert.ok(process.cpuUsage().user - start < 5_000_000);
});
