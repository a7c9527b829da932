/** What an upstream answers, to a connection of Centauri's over a socket that is none. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import type { ResponseHead } from "../../lib/http1.ts";
import { ClientConnection, type ResponseHandler } from "../../lib/http1client.ts";
import { responseVectors } from "../vectors/http1-responses.ts";
import { kindOf, type Target } from "./fuzzer.ts";
import { cut } from "./http1.ts";
import type { Random } from "./random.ts";

class FakeSocket extends EventEmitter {
  destroyed = false;
  paused = false;

  write(): boolean {
    return true;
  }

  cork(): void {}

  uncork(): void {}

  end(): void {}

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }
}

/** Writes down what it is told, and refuses to be told it in another order than is promised. */
class Listener implements ResponseHandler {
  log = "";
  failed = "";
  #place: "head" | "body" | "over" = "head";
  #tunnel = false;
  readonly #onData: () => void;

  constructor(onData: () => void) {
    this.#onData = onData;
  }

  onInformational({ status }: ResponseHead): void {
    assert.equal(this.#place, "head");
    this.log += `${status} `;
  }

  onResponse({ status, length }: ResponseHead): void {
    assert.equal(this.#place, "head");
    this.#place = "body";
    this.#tunnel = status === 101;
    this.log += `${status} ${Math.sign(length)}\n`;
  }

  onResponseData(chunk: Buffer): void {
    assert.equal(this.#place, "body");
    assert.ok(chunk.length > 0);
    this.log += chunk.toString("latin1");
    this.#onData();
  }

  onResponseEnd(trailers: readonly string[]): void {
    assert.equal(this.#place, "body");
    this.#place = "over";
    this.log += `\n${trailers.join()} END`;
  }

  onFailed(error: Error): void {
    if (this.#place === "over" && this.#tunnel) return; // which has another half
    assert.notEqual(this.#place, "over");
    this.#place = "over";
    this.failed = kindOf(error);
  }

  onReadEnd(): void {}

  onRequestDrain(): void {}

  get isOver(): boolean {
    return this.#place === "over";
  }
}

const METHODS = ["GET", "HEAD", "POST"];

/** What is told of an answer in these pieces; `moments`: the client is slow now and then. */
function hear(pieces: readonly Buffer[], method: string, moments?: Random): Listener {
  const socket = new FakeSocket();
  let freed = 0;
  const connection = new ClientConnection(socket as unknown as Duplex, ({ open }) => {
    if (open) freed++;
  });
  const listener = new Listener(() => {
    if (moments?.once(3)) connection.pause();
  });
  connection.send(method, `${method} / HTTP/1.1\r\nHost: a\r\n\r\n`, 0, listener);
  for (const piece of pieces) {
    while (socket.paused && !socket.destroyed) connection.resume();
    if (piece.length === 0 || socket.destroyed) continue;
    connection.read(piece);
    piece.fill(0xaa);
  }
  assert.ok(freed <= 1);
  if (!socket.destroyed) socket.emit("end");
  while (socket.paused && !socket.destroyed) connection.resume();
  socket.destroy();
  assert.ok(listener.isOver, "neither an end nor a failure");
  return listener;
}

function testUpstream(input: Buffer, random: Random): string {
  const method = METHODS[(input.at(-1) ?? 0) % METHODS.length];
  const copy = () => cut(input, random);
  const whole = hear([Buffer.from(input)], method);
  for (const moments of [undefined, random]) {
    const again = hear(copy(), method, moments);
    assert.equal(again.log, whole.log);
    assert.equal(again.failed === "", whole.failed === "");
  }
  const [heads = ""] = whole.log.split("\n", 1);
  return `${heads.slice(0, 24)} ${whole.log.endsWith("END")} ${whole.failed}`;
}

const WORDS = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 x\r\n\r\n", "HTTP/1.1 101 x\r\n\r\n"]
  .concat("HTTP/1.1 200 OK\r\n", "Content-Length: 3\r\n\r\nabc", "Connection: close\r\n")
  .concat(
    "Transfer-Encoding: chunked\r\n\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nT: u\r\n\r\n",
    "\r\n",
  );

export const upstreamTargets: readonly Target[] = [{
  name: "upstream",
  seeds: () =>
    responseVectors.map(({ input }) => Buffer.from(input, "latin1"))
      .filter(({ length }) => length <= 1024),
  words: WORDS,
  limit: 1024,
  test: testUpstream,
}];
