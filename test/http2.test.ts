/**
 * HTTP/2 as a codec and as a connection over a socket that is none: requests as lists of fields,
 * every frame vector at every split size, what limits do, who waits and whose turn it is.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import type net from "node:net";
import { test } from "node:test";
import { BufferPool } from "../lib/bufferpool.ts";
import type { Clock, Expiring } from "../lib/clock.ts";
import type { Client, Downstream, RequestHandler } from "../lib/exchange.ts";
import { HEAD_LIMITS, type RequestHead } from "../lib/http1.ts";
import { FrameReader, Http2Error, PROTOCOL_ERROR } from "../lib/http2.ts";
import { answerFields, parsePriority, parseRequest } from "../lib/http2head.ts";
import { Budget } from "../lib/http2limits.ts";
import { Http2Connection } from "../lib/http2server.ts";
import {
  block,
  continuation,
  data,
  frame,
  FrameLines,
  GET,
  goaway,
  headers,
  HELLO,
  open,
  ping,
  POST,
  PREFACE,
  reset,
  settings,
  to,
  uint32,
  windowUpdate,
} from "./http2wire.ts";
import { type FrameVector, frameVectors } from "./vectors/http2.ts";
import { type HeadVector, headVectors } from "./vectors/http2-heads.ts";

const CLIENT: Client = {
  address: "127.0.0.1",
  trusted: false,
  scheme: "https",
  serverName: "a.example",
  certificateNames: [],
  judged: undefined,
};

const EMPTY = Buffer.alloc(0);

/** A socket that keeps what is written, and is as full as a test says. */
class FakeSocket extends EventEmitter {
  readonly lines = new FrameLines();
  writableNeedDrain = false;
  writableLength = 0;
  writes = 0;
  ended = false;
  destroyed = false;
  #paused = false;

  write(bytes: Buffer, done: () => void): boolean {
    this.writes++;
    this.lines.push(Buffer.from(bytes));
    done();
    return !this.writableNeedDrain;
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  isPaused(): boolean {
    return this.#paused;
  }
}

/** What an application would do, by the request's path. */
class Application implements RequestHandler {
  readonly head: RequestHead;
  readonly downstream: Downstream;
  body = "";
  gone = false;
  drained = 0;

  constructor(head: RequestHead, downstream: Downstream) {
    this.head = head;
    this.downstream = downstream;
    if (head.target === "/slow") downstream.pauseRequest();
    if (head.target === "/hints") {
      const hint = { status: 103, reason: "", minor: 1, fields: [], length: 0, keepAlive: true };
      downstream.informational({ ...hint, connection: [], upgrade: undefined }, ["link", "</a>"]);
    }
    if (head.target === "/" || head.target === "/hints") this.answer("hello");
    if (head.target === "/empty") {
      downstream.respond(204, "", [], 0);
      downstream.end([]);
    }
  }

  answer(body: string, trailers: readonly string[] = []): void {
    const bodiless = this.head.method === "HEAD";
    this.downstream.respond(200, "", ["Content-Type", "text/plain", "Connection", "x"], -1);
    if (!bodiless) this.downstream.write(Buffer.from(body));
    this.downstream.end(trailers);
  }

  onRequestData(chunk: Buffer): void {
    this.body += chunk.toString("latin1");
  }

  onRequestEnd(trailers: readonly string[]): void {
    if (this.head.target === "/echo") this.answer(this.body, trailers);
  }

  onDrain(): void {
    this.drained++;
  }

  onGone(): void {
    this.gone = true;
  }
}

/** A clock that goes only when it is told to. */
class FakeClock {
  now = 1;
  readonly #items = new Set<Expiring>();

  add(item: Expiring): void {
    this.#items.add(item);
  }

  delete(item: Expiring): void {
    this.#items.delete(item);
  }

  wait(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now += 250;
      for (const item of this.#items) {
        if (item.deadline === 0 || item.deadline > this.now) continue;
        item.deadline = 0;
        item.onDeadline();
      }
    }
  }
}

interface Session {
  readonly socket: FakeSocket;
  readonly connection: Http2Connection;
  readonly applications: Application[];
  readonly errors: Error[];
  /** Gives bytes to the server, and takes what it has to say. */
  send(...pieces: readonly Buffer[]): void;
  /** Lines since the last call. */
  take(): string[];
  /** Lets time pass, in milliseconds. */
  wait(ms: number): void;
}

/** A connection whose client has said hello, unless `greeting` is another. */
function connect(greeting: Buffer = HELLO): Session {
  const socket = new FakeSocket();
  const applications: Application[] = [];
  const errors: Error[] = [];
  const clock = new FakeClock();
  const connection = new Http2Connection(socket as unknown as net.Socket, { ...CLIENT }, {
    clock: clock as unknown as Clock,
    buffers: new BufferPool(),
    limits: HEAD_LIMITS,
    timeouts: { head: 10_000, idle: 180_000, stall: 60_000 },
    handle: (head, downstream) => {
      const application = new Application(head, downstream);
      applications.push(application);
      return application;
    },
    onClientError: (_, error) => errors.push(error),
    onClose: () => {},
  });
  let taken = 0;
  const take = (): string[] => {
    connection.output.flush();
    return socket.lines.lines.slice(taken, taken = socket.lines.lines.length);
  };
  const send = (...pieces: readonly Buffer[]): void => {
    for (const piece of pieces) socket.emit("data", piece);
    connection.output.flush();
  };
  const wait = (ms: number): void => {
    clock.wait(ms);
    connection.output.flush();
  };
  const session = { socket, connection, applications, errors, send, take, wait };
  send(greeting);
  if (greeting === HELLO) take();
  return session;
}

function replay({ input }: FrameVector, first: number, size: number): string[] {
  const session = connect(EMPTY);
  const pieces = first > 0 ? [input.subarray(0, first)] : [];
  for (let at = first; at < input.length; at += size) pieces.push(input.subarray(at, at + size));
  session.send(...pieces);
  const lines = session.take();
  const start = ["SETTINGS", "WINDOW_UPDATE 0 +983041", "SETTINGS ACK"];
  for (const line of start) if (lines[0] === line) lines.shift();
  if (lines.at(-1)?.startsWith("GOAWAY") && !lines.at(-1)?.endsWith("NO_ERROR")) {
    assert.ok(session.socket.ended, "a connection ends with its GOAWAY");
    assert.ok(session.applications.every(({ gone, head }) => gone || head.target !== "/wait"));
  }
  session.socket.destroy();
  return lines;
}

function checkFrames(vector: FrameVector): void {
  const { name, input, expect } = vector;
  assert.deepEqual(replay(vector, 0, input.length), expect, name);
  // What is much is cut here and there, and in a few sizes.
  const step = Math.ceil(input.length / 500), sizes = Math.min(input.length, 40 * step);
  for (let size = step; size < sizes; size += step) {
    assert.deepEqual(replay(vector, 0, size), expect, `${name}, in pieces of ${size}`);
  }
  for (let first = 1; first < input.length; first += 2 * step ** 2 - 1) {
    assert.deepEqual(replay(vector, first, input.length), expect, `${name}, cut at ${first}`);
  }
}

test("each frame vector gets its frames, however its bytes are cut", () => {
  assert.ok(frameVectors.length > 0);
  for (const vector of frameVectors) checkFrames(vector);
  const [wrong] = frameVectors.filter(({ name }) => name === "a request");
  assert.throws(() => checkFrames({ ...wrong as FrameVector, expect: [] }), /a request/);
});

function checkHead({ name, input, ended, expect }: HeadVector): void {
  const parse = () => parseRequest(input, 1, ended === true);
  if ("error" in expect) {
    assert.throws(parse, (error) => {
      assert.ok(error instanceof Http2Error, `${name}: ${error}`);
      assert.deepEqual([error.stream, error.code], [1, PROTOCOL_ERROR], name);
      assert.ok(error.message.includes(expect.error), `${name}: ${error.message}`);
      return true;
    }, name);
    return;
  }
  const { head, protocol, scheme } = parse();
  const { method, target, authority, fields, length } = head;
  const { protocol: p, scheme: s = "https" } = expect;
  assert.deepEqual([`${method} ${target} ${authority}`, fields, length, protocol, scheme], [
    ...[expect.line, expect.fields, expect.length, p, s],
  ], name);
}

test("parseRequest() takes what can be said in HTTP/1.1, and nothing else", () => {
  assert.ok(headVectors.length > 0);
  for (const vector of headVectors) checkHead(vector);
  const wrong: HeadVector = { name: "wrong", why: "", input: GET, expect: { error: "x" } };
  assert.throws(() => checkHead(wrong), /wrong/);
});

test("parsePriority() reads what it can", () => {
  for (
    const [text, urgency, incremental] of [
      ["", 3, false],
      ["u=0", 0, false],
      ["u=7, i", 7, true],
      ["i,u=1", 1, true],
      ["i=?0", 3, false],
      ["i=?1;x=y,u=2;a", 2, true],
      ["u=8, i=1, x, ,u", 3, false],
      ["u=1,u=5", 5, false],
      ["u=-1", 3, false],
      ["\x00".repeat(1000), 3, false],
      ["u=1" + ",".repeat(60_000) + "u=2", 1, false],
      ["u=1;" + " ".repeat(16_000) + "\n", 1, false],
      ["u=1" + " ".repeat(200) + "\n", 3, false],
    ] as const
  ) assert.deepEqual(parsePriority(text), { urgency, incremental }, text);
});

test("answerFields() leaves out what HTTP/2 hasn't", () => {
  const fields = ["A", "b", "Connection", "x", "KEEP-ALIVE", "y", "Transfer-Encoding", "chunked"];
  assert.deepEqual(answerFields([...fields, "Upgrade", "h2c", "c", "d"]), ["A", "b", "c", "d"]);
  assert.deepEqual(answerFields(["Te", "x"]), ["Te", "x"]);
});

test("FrameReader copies no payload that came in one piece", () => {
  const reader = new FrameReader(100_000);
  const bytes = Buffer.concat([PREFACE, data(1, "hello"), data(1, "x")]);
  reader.push(bytes);
  assert.ok(reader.next() && reader.payload().buffer === bytes.buffer);
  assert.ok(reader.next() && !reader.next());
});

test("FrameReader keeps what it hasn't given away, and nothing else, of a borrowed chunk", () => {
  const reader = new FrameReader(100_000, true);
  const chunk = Buffer.concat([PREFACE, data(1, "hello"), data(1, "world", 1)]);
  reader.push(chunk.subarray(0, -2));
  assert.ok(reader.next());
  reader.keep();
  chunk.fill(0, 0, chunk.length - 2);
  const parts: [text: string, flags: number][] = [];
  const take = () => {
    while (reader.next()) parts.push([reader.payload().toString(), reader.flags]);
  };
  take();
  reader.push(chunk.subarray(-2));
  take();
  assert.deepEqual(parts, [["wor", 0], ["ld", 1]]);
});

test("random bytes end a connection, or do nothing, and are never a bug", () => {
  let seed = 1;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
  for (let round = 0; round < 3_000; round++) {
    const session = connect();
    for (let i = random(8); i >= 0; i--) {
      const payload = Buffer.from(Array.from({ length: random(20) }, () => random(256)));
      const body = random(3) === 0 ? block(random(2) === 0 ? GET : POST) : payload;
      session.send(frame([random(11), 1][random(2)] as number, random(256), random(6), body));
    }
    session.socket.destroy();
    for (const error of session.errors) assert.ok("code" in error || error.name === "HpackError");
  }
});

test("frames of many streams leave in one write", async () => {
  const { socket, connection } = connect();
  const writes = socket.writes;
  socket.emit("data", Buffer.concat(Array.from({ length: 20 }, (_, i) => headers(2 * i + 1))));
  assert.equal(socket.writes, writes);
  await new Promise(setImmediate);
  assert.equal(socket.writes, writes + 1);
  assert.equal(socket.lines.heads.length, 20);
  assert.deepEqual(socket.lines.heads[0], [":status", "200", "content-type", "text/plain"]);
  connection.destroy();
});

test("a head of more than a frame goes out in CONTINUATION frames, and comes in so", () => {
  const { send, take, socket, applications } = connect();
  const long = "x".repeat(40_000);
  const bytes = block([...to("/wait"), "x", long]);
  const cut = [bytes.subarray(0, 16_384), bytes.subarray(16_384, 32_768), bytes.subarray(32_768)];
  send(
    frame(1, 1, 1, cut[0]),
    continuation(1, cut[1] as Buffer),
    continuation(1, cut[2] as Buffer, 4),
  );
  const [application] = applications;
  assert.equal(application?.head.fields.at(-1), long);
  application?.downstream.respond(200, "", ["Y", long], 0);
  application?.downstream.end([]);
  assert.deepEqual(take(), ["HEADERS 1 200 END"]);
  assert.deepEqual(socket.lines.heads[0]?.slice(2), ["y", long]);
});

test("a head over the limits gets 431, and the connection goes on", () => {
  for (const more of [["x", "y".repeat(66_000)], Array(600).fill("a")]) {
    const { send, take } = connect();
    const bytes = block([...GET, ...more]);
    const frames = [];
    for (let at = 0; at < bytes.length; at += 16_384) {
      const part = bytes.subarray(at, at + 16_384);
      const last = at + 16_384 >= bytes.length ? 4 : 0;
      frames.push(at === 0 ? frame(1, 1 | last, 1, part) : continuation(1, part, last));
    }
    send(...frames, headers(3));
    const [first, , ...rest] = take();
    assert.equal(first, "HEADERS 1 431");
    assert.deepEqual(rest, ["HEADERS 3 200", "DATA 3 hello END"]);
  }
});

test("HPACK bomb: 48 MB in 12 KB are decoded for their effects, and answered with 431", () => {
  const { send, take, errors } = connect();
  const entry = Buffer.concat([Buffer.from([0x40]), block(["x", "y".repeat(4_000)]).subarray(1)]);
  const start = performance.now();
  for (let i = 0; i < 50; i++) {
    const bomb = Buffer.concat([block(GET), i === 0 ? entry : EMPTY, Buffer.alloc(12_000, 0xbe)]);
    send(frame(1, 5, 2 * i + 1, bomb));
  }
  send(headers(101));
  const lines = take();
  assert.equal(lines.filter((line) => line.endsWith("431")).length, 50);
  assert.deepEqual(lines.slice(-2), ["HEADERS 101 200", "DATA 101 hello END"]);
  assert.equal(errors.length, 50);
  assert.ok(performance.now() - start < 5_000);
});

test("a client has time to read why its connection ends", () => {
  const { send, wait, socket } = connect();
  send(windowUpdate(0, 0));
  assert.ok(socket.ended);
  wait(4_500);
  assert.equal(socket.destroyed, false);
  wait(1_000);
  assert.ok(socket.destroyed);
});

// Attacks. Each ends with GOAWAY and ENHANCE_YOUR_CALM, and what was in flight is let go.

function attack(session: Session, bytes: (i: number) => Buffer, most: number): number {
  for (let i = 0; i < most; i++) {
    session.send(bytes(i));
    if (!session.socket.ended) continue;
    assert.match(session.take().at(-1) ?? "", /^GOAWAY \d+ ENHANCE_YOUR_CALM$/);
    assert.ok(session.applications.every(({ gone, head }) => gone || head.target === "/"));
    const before = session.socket.writes;
    session.send(ping(), headers(9999));
    assert.equal(session.socket.writes, before, "nothing is answered any more");
    return i;
  }
  return most;
}

const odd = (i: number): number => 2 * i + 1;

test("Rapid Reset: a client may leave 200 requests at once, and 20 a second", () => {
  const session = connect();
  const leave = (i: number) => Buffer.concat([headers(odd(i), to("/wait")), reset(odd(i))]);
  assert.equal(attack(session, leave, 1_000), 200);
  assert.equal(session.applications.length, 201);
  const slow = connect();
  for (let i = 0; i < 500; i++, slow.wait(250)) slow.send(leave(i));
  assert.equal(slow.socket.ended, false);
});

test("MadeYouReset: streams that are ended for errors count like those that clients leave", () => {
  const errors: Record<string, (id: number) => Buffer[]> = {
    "window overflow": (id) => [headers(id, to("/wait")), windowUpdate(id, 0x7fff_ffff)],
    "window by 0": (id) => [headers(id, to("/wait")), windowUpdate(id, 0)],
    "half-closed": (id) => [headers(id, to("/wait")), data(id, "a")],
    "PRIORITY of 4 bytes": (id) => [headers(id, to("/wait")), frame(2, 0, id, uint32(0))],
    "length": (id) => [open(id, [...to("/wait", POST), "content-length", "1"]), data(id, "ab")],
    "malformed": (id) => [headers(id, [...GET, "X", "y"])],
  };
  for (const [name, bytes] of Object.entries(errors)) {
    assert.equal(attack(connect(), (i) => Buffer.concat(bytes(odd(i))), 1_000), 200, name);
  }
  const full = connect();
  for (let i = 0; i < 100; i++) full.send(headers(odd(i), to("/wait")));
  assert.equal(attack(full, (i) => headers(odd(i + 100), to("/wait")), 1_000), 200, "refused");
  const leaving = connect();
  leaving.send(headers(1, to("/wait")), goaway());
  assert.equal(attack(leaving, (i) => headers(odd(i + 1)), 1_000), 200, "after GOAWAY");
});

test("CONTINUATION flood: neither many frames nor many bytes make a head without an end", () => {
  const empty = connect();
  empty.send(frame(1, 1, 1, block(GET)));
  assert.ok(attack(empty, () => continuation(1, ""), 100) < 20);
  const large = connect();
  large.send(frame(1, 1, 1, block(GET)));
  assert.ok(attack(large, () => continuation(1, Buffer.alloc(16_384)), 100) < 9);
});

test("floods of frames that bring nothing", () => {
  const flood: Record<string, Buffer> = {
    SETTINGS: settings(),
    "SETTINGS ACK": frame(4, 1, 0),
    PING: ping(),
    "PING ACK": frame(6, 1, 0, "12345678"),
    PRIORITY: frame(2, 0, 7, uint32(0, 0).subarray(0, 5)),
    WINDOW_UPDATE: windowUpdate(0, 1),
    "WINDOW_UPDATE of a stream": windowUpdate(1, 1),
    "empty DATA": data(1, ""),
    "DATA of padding alone": data(1, "\x01\0", 8),
    PRIORITY_UPDATE: frame(16, 0, 0, uint32(1)),
    "an unknown type": frame(0x2a, 0, 0, "x".repeat(100)),
  };
  for (const [name, bytes] of Object.entries(flood)) {
    const session = connect();
    session.send(open(1, to("/wait", POST)));
    const count = attack(session, () => bytes, 5_000);
    assert.ok(count > 900 && count <= 1_010, `${name}: ${count}`);
    const slow = connect();
    slow.send(open(1, to("/wait", POST)));
    for (let i = 0; i < 200; i++, slow.wait(250)) slow.send(...Array(20).fill(bytes));
    assert.equal(slow.socket.ended, false, name);
  }
});

test("windows may be opened as often as it takes for what is sent", () => {
  const session = connect();
  session.send(settings(4, 1024), headers(1, to("/wait")));
  const [application] = session.applications;
  application?.downstream.respond(200, "", [], -1);
  for (let i = 0; i < 20_000; i++) {
    application?.downstream.write(Buffer.alloc(1024));
    assert.ok(application?.downstream.flush());
    session.send(windowUpdate(1, 1024), windowUpdate(0, 1024));
  }
  assert.equal(session.socket.ended, false);
});

test("windows may be opened for what was sent long before, and no more often", () => {
  const session = connect();
  session.send(settings(4, 4_194_304), windowUpdate(0, 2 ** 30), headers(1, to("/wait")));
  const [application] = session.applications;
  application?.downstream.respond(200, "", [], -1);
  for (let i = 0; i < 1024; i++) {
    application?.downstream.write(Buffer.alloc(4096));
    assert.ok(application?.downstream.flush());
  }
  for (let i = 0; i < 1024; i++) session.send(windowUpdate(1, 4096), windowUpdate(0, 4096));
  assert.equal(session.socket.ended, false);
  const most = 4_194_304 / 512 - 2048 + 1_010;
  assert.ok(attack(session, () => windowUpdate(0, 1), 20_000) <= most);
});

test("a client that doesn't read gets nothing more read, and is cut in time", () => {
  const { socket, send, wait } = connect();
  socket.writableNeedDrain = true;
  socket.writableLength = 300_000;
  send(ping());
  assert.ok(socket.isPaused());
  wait(59_000);
  assert.equal(socket.destroyed, false);
  wait(2_000);
  assert.ok(socket.destroyed);
});

test("what waits for a client that doesn't read is read on when it has drained", () => {
  const { socket, send, take } = connect();
  socket.writableNeedDrain = true;
  socket.writableLength = 300_000;
  send(ping());
  assert.deepEqual(take(), []);
  socket.writableNeedDrain = false;
  socket.writableLength = 0;
  socket.emit("drain");
  assert.equal(socket.isPaused(), false);
  assert.deepEqual(take(), ["PING ACK 12345678"]);
});

test("frames wait when what those before them bring can't leave", () => {
  const { socket, send, applications } = connect();
  socket.writableNeedDrain = true;
  socket.writableLength = 250_000;
  send(Buffer.concat(Array.from({ length: 1000 }, (_, i) => headers(2 * i + 1))));
  assert.ok(applications.length > 100 && applications.length < 1000, `${applications.length}`);
  assert.ok(socket.isPaused());
  socket.writableNeedDrain = false;
  socket.writableLength = 0;
  socket.emit("drain");
  assert.equal(applications.length, 1000);
  assert.equal(socket.isPaused(), false);
});

test("a client that never opens a window loses that stream", () => {
  const { send, take, wait, applications, socket } = connect();
  send(settings(4, 0), headers(1, to("/wait")));
  const [application] = applications;
  application?.downstream.respond(200, "", [], -1);
  application?.downstream.write(Buffer.alloc(100));
  assert.equal(application?.downstream.flush(), false);
  wait(59_000);
  assert.equal(application?.gone, false);
  wait(2_000);
  assert.ok(application?.gone);
  assert.deepEqual(take(), ["SETTINGS ACK", "HEADERS 1 200", "RST_STREAM 1 CANCEL"]);
  assert.equal(socket.ended, false);
});

test("requests and heads that never end are ended", () => {
  const body = connect();
  body.send(open(1, to("/echo", POST)), data(1, "a"));
  body.wait(59_000);
  body.send(data(1, "b"));
  body.wait(59_000);
  assert.deepEqual(body.take(), []);
  body.wait(2_000);
  assert.equal(body.take()[0], "HEADERS 1 408");
  assert.ok(body.applications[0]?.gone);
  const slow = connect();
  slow.send(open(1, to("/slow", POST)), data(1, "a"));
  slow.wait(61_000);
  assert.equal(slow.take()[0], "HEADERS 1 504");
  for (
    const bytes of [frame(1, 1, 1, block(GET)), ping().subarray(0, 12), PREFACE.subarray(0, 5)]
  ) {
    const session = connect();
    session.wait(20_000);
    session.send(bytes);
    session.wait(9_500);
    assert.equal(session.socket.ended, false);
    session.wait(1_000);
    assert.ok(session.socket.ended);
    assert.deepEqual(session.take(), ["GOAWAY 0 ENHANCE_YOUR_CALM"]);
  }
});

test("a body that moves isn't cut, not even within a frame", () => {
  const { send, wait, take } = connect();
  send(open(1, to("/echo", POST)));
  const bytes = data(1, "abcd", 1);
  send(bytes.subarray(0, 9));
  for (let i = 9; i < bytes.length; i++, wait(40_000)) send(bytes.subarray(i, i + 1));
  assert.deepEqual(take(), ["HEADERS 1 200", "DATA 1 abcd END"]);
});

test("a client that says nothing, doesn't agree, or is idle, is left", () => {
  const silent = connect(EMPTY);
  silent.wait(10_500);
  assert.ok(silent.socket.ended);
  silent.wait(60_500);
  assert.ok(silent.socket.destroyed);
  const reserved = connect(Buffer.concat([PREFACE, settings()]));
  reserved.wait(60_500);
  assert.equal(reserved.take().at(-1), "GOAWAY 0 SETTINGS_TIMEOUT");
  const idle = connect();
  idle.send(headers(1));
  idle.wait(90_000);
  idle.send(headers(3));
  idle.take();
  idle.wait(179_000);
  assert.deepEqual(idle.take(), []);
  idle.wait(2_000);
  assert.deepEqual(idle.take(), ["GOAWAY 3 NO_ERROR"]);
});

test("a drain lets streams end, and those that were being opened", () => {
  const { send, take, connection, applications, socket } = connect();
  send(headers(1, to("/wait")));
  connection.drain();
  assert.deepEqual(take(), [`GOAWAY ${2 ** 31 - 1} NO_ERROR`, "PING"]);
  send(headers(3), frame(6, 1, 0, "\0".repeat(8)), headers(5));
  const answer = ["HEADERS 3 200", "DATA 3 hello END"];
  assert.deepEqual(take(), [...answer, "GOAWAY 3 NO_ERROR", "RST_STREAM 5 REFUSED_STREAM"]);
  assert.equal(socket.ended, false);
  applications[0]?.answer("bye");
  assert.deepEqual(take(), ["HEADERS 1 200", "DATA 1 bye END"]);
  assert.ok(socket.ended);
  const silent = connect();
  silent.connection.drain();
  silent.wait(1_500);
  assert.ok(silent.socket.ended);
});

test("a stream whose request isn't taken stops alone, and its window with it", () => {
  const { send, take, applications } = connect();
  send(open(1, to("/slow", POST)));
  for (let i = 0; i < 3; i++) send(data(1, "a".repeat(16_384)));
  send(open(3, to("/echo", POST)));
  for (let i = 0; i < 40; i++) send(data(3, "b".repeat(16_384)), data(3, "c"));
  const opened = take();
  assert.ok(opened.length > 3 && opened.every((line) => / [03] \+/.test(line)), opened.join());
  const [slow] = applications;
  assert.equal(slow?.body, "");
  slow?.downstream.resumeRequest();
  assert.equal(slow?.body.length, 3 * 16_384);
  assert.deepEqual(take(), [`WINDOW_UPDATE 1 +${3 * 16_384 + 192 * 1024}`]);
  send(data(3, "", 1));
  assert.equal(applications[1]?.body.length, 40 * 16_385);
});

test("a stream whose answer isn't taken stops alone, and goes on where it stopped", () => {
  const { send, take, applications, socket } = connect();
  send(headers(1, to("/wait")), headers(3, to("/wait")), windowUpdate(0, 1_000_000));
  const [one, three] = applications;
  const text = Array.from({ length: 20_000 }, (_, i) => `${i} `).join("");
  for (const each of [one, three]) each?.downstream.respond(200, "", [], -1);
  for (let at = 0; at < text.length; at += 30_000) {
    const borrowed = Buffer.from(text.slice(at, at + 30_000));
    for (const each of [one, three]) {
      each?.downstream.write(borrowed);
      assert.equal(each?.downstream.flush(), at < 60_000);
    }
    borrowed.fill("x");
    if (at >= 60_000) send(windowUpdate(3, 30_000), windowUpdate(1, 1));
  }
  assert.equal(three?.drained, 2);
  assert.equal(one?.drained, 0);
  three?.downstream.end([]);
  one?.downstream.end(["X-T", "1"]);
  send(windowUpdate(3, 30_000), windowUpdate(1, 100_000));
  const lines = take();
  assert.deepEqual(lines.slice(-1), ["HEADERS 1 trailers END"]);
  assert.ok(socket.lines.bodies.get(1) === text && socket.lines.bodies.get(3) === text);
});

test("streams that wait have their turns by urgency, and in parts if they are of use so", () => {
  const { send, take, applications, socket } = connect();
  const priorities = ["u=5", "u=1, i", "u=1, i", "u=3", "u=7"];
  priorities.forEach((priority, i) =>
    send(headers(odd(i), [...to("/wait"), "priority", priority]))
  );
  send(frame(16, 0, 0, Buffer.concat([uint32(9), Buffer.from("u=0")])));
  socket.writableNeedDrain = true; // so that they gather no more than a buffer
  for (const application of applications) {
    application.downstream.respond(200, "", [], -1);
    application.downstream.write(Buffer.alloc(60_000));
    application.downstream.end([]);
  }
  socket.writableNeedDrain = false;
  socket.emit("drain");
  send(windowUpdate(0, 1_000_000));
  const order = take().filter((line) => line.startsWith("DATA")).map((line) => line.split(" ")[1]);
  // The first two got what the connection's window had, before others waited.
  assert.equal(order.join(""), "11113" + "9999" + "35353535" + "7777");
  assert.equal(socket.lines.bodies.get(9)?.length, 60_000);
});

test("an answer that the proxy cuts is reset, and one that hasn't begun is 502", () => {
  const { send, take, applications } = connect();
  send(headers(1, to("/wait")), headers(3, to("/wait")));
  const [one, three] = applications;
  one?.downstream.respond(200, "", [], 100);
  one?.downstream.write(Buffer.from("some"));
  one?.downstream.flush();
  one?.downstream.abort();
  three?.downstream.abort();
  const lines = take();
  assert.deepEqual(lines.slice(0, 4), [
    ...["HEADERS 1 200", "DATA 1 some", "RST_STREAM 1 INTERNAL_ERROR", "HEADERS 3 502"],
  ]);
});

test("Budget lets a burst go, and then so many a second", () => {
  const budget = new Budget({ burst: 2, perSecond: 4 }, 0);
  const takes = [0, 0, 0, 1000, 1000, 1000, 2000].map((now) => budget.take(now));
  assert.deepEqual(takes, [true, true, false, true, true, false, true]);
});
