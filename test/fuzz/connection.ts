/**
 * A connection of a client, HTTP/1.1 or HTTP/2, over a socket that is none, with an application
 * that answers by the request's path; and what happens to connections meanwhile.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { EventEmitter } from "node:events";
import type net from "node:net";
import { BufferPool } from "../../lib/bufferpool.ts";
import type { Clock, Expiring } from "../../lib/clock.ts";
import type { Client, Connection, Downstream, RequestHandler } from "../../lib/exchange.ts";
import { fieldValue, HEAD_LIMITS, type RequestHead, type ResponseHead } from "../../lib/http1.ts";
import type { ServerOptions } from "../../lib/http1server.ts";
import type { Random } from "./random.ts";

export const CLIENT: Client = {
  address: "192.0.2.1",
  trusted: false,
  scheme: "https",
  serverName: "a.example",
  certificateNames: [],
  judged: undefined,
};

/** A socket that takes all, or says that it is full. */
class FakeSocket extends EventEmitter {
  writableNeedDrain = false;
  writableLength = 0;
  ended = false;
  destroyed = false;
  #paused = false;
  readonly #take: (bytes: Buffer) => void;

  constructor(take: (bytes: Buffer) => void) {
    super();
    this.#take = take;
  }

  write(bytes: Buffer | string, ...rest: readonly (BufferEncoding | (() => void))[]): boolean {
    assert.ok(!this.ended || this.destroyed, "written after the end");
    if (!this.destroyed) this.#take(Buffer.from(bytes as string, "latin1"));
    const done = rest.at(-1);
    if (typeof done === "function") done();
    return !this.writableNeedDrain;
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    if (this.destroyed) return;
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

/** Answers at once, after the request, in parts or never; and is told of nothing after its end. */
export class Application implements RequestHandler {
  readonly head: RequestHead;
  readonly #downstream: Downstream;
  #over = false;
  #ended = false;
  /** The whole answer was given, or cut, while there may be more of the request. */
  answered = false;
  cut = false;
  waits = false;

  constructor(head: RequestHead, downstream: Downstream) {
    this.head = head;
    this.#downstream = downstream;
    const { target, upgrade } = head;
    if (target === "/slow") downstream.pauseRequest();
    if (upgrade !== undefined) this.waits = true;
    else if (target !== "/echo" && target !== "/wait") this.#answer();
  }

  #answer(): void {
    const { method, target } = this.head;
    if (target === "/hints") this.#downstream.informational(HINTS, ["link", "</a>"]);
    this.#downstream.respond(200, "", ["Content-Type", "text/plain"], -1);
    const body = Buffer.alloc(target === "/big" ? 70_000 : 5, "a");
    if (method !== "HEAD") this.#downstream.write(body);
    this.answered = target !== "/open";
    if (target === "/cut") {
      this.cut = true;
      this.#downstream.abort();
    } else if (target !== "/open") this.#downstream.end(target === "/echo" ? ["x", "y"] : []);
  }

  get #isTunnel(): boolean {
    return this.head.upgrade !== undefined && !this.waits;
  }

  /** When the request is whole: what comes then is another stream, with an end of its own. */
  openTunnel(): void {
    if (!this.waits || this.#over || (this.head.length !== 0 && !this.#ended)) return;
    this.waits = this.#ended = false;
    const key = fieldValue(this.head.fields, "sec-websocket-key") ?? "";
    const accept = createHash("sha1").update(key + ACCEPT).digest("base64");
    this.#downstream.respond(101, "", ["Sec-WebSocket-Accept", accept], -2);
  }

  onRequestData(chunk: Buffer): void {
    assert.ok(!this.#over && !this.#ended && chunk.length > 0, "data after the end");
    if (this.#isTunnel) this.#downstream.write(Buffer.from(chunk));
    if (this.head.target === "/slow") this.#downstream.resumeRequest();
  }

  onRequestEnd(): void {
    assert.ok(!this.#over && !this.#ended, "an end after the end");
    this.#ended = true;
    if (this.#isTunnel) this.#downstream.end([]);
    else if (this.head.target === "/echo") this.#answer();
  }

  onDrain(): void {
    assert.ok(!this.#over);
  }

  onGone(): void {
    assert.ok(!this.#over, "gone twice");
    this.#over = true;
  }
}

const ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 section 1.3
const HINTS: ResponseHead = {
  ...{ status: 103, reason: "", minor: 1, fields: [], length: 0, keepAlive: true },
  ...{ connection: [], upgrade: undefined },
};

class FakeClock {
  now = 1;
  readonly items = new Set<Expiring>();

  add(item: Expiring): void {
    this.items.add(item);
  }

  delete(item: Expiring): void {
    this.items.delete(item);
  }

  advance(ms: number): void {
    this.now += ms;
    for (const item of this.items) {
      if (item.deadline === 0 || item.deadline > this.now) continue;
      item.deadline = 0;
      item.onDeadline();
    }
  }
}

const BUFFERS = new BufferPool();

export type Kind = new (socket: net.Socket, client: Client, options: ServerOptions) =>
  & Connection
  & { readonly output?: { flush(): void } };

export interface Talk {
  /** In the order of their requests. */
  readonly applications: readonly Application[];
  /** The connection was cut, or has errors to tell. */
  readonly destroyed: boolean;
}

/** Gives the pieces to a connection, whose bytes go to `take`; `moments` is for what may happen. */
export function talk(
  Kind: Kind,
  pieces: readonly Buffer[],
  take: (bytes: Buffer) => void,
  moments?: Random,
): Talk {
  const socket = new FakeSocket(take), clock = new FakeClock();
  const applications: Application[] = [];
  const connection = new Kind(socket as unknown as net.Socket, { ...CLIENT }, {
    clock: clock as unknown as Clock,
    buffers: BUFFERS,
    limits: { ...HEAD_LIMITS, bytes: 4096 },
    timeouts: { head: 10_000, idle: 180_000, stall: 60_000 },
    handle: (head, downstream) => {
      const application = new Application(head, downstream);
      applications.push(application);
      return application.answered ? undefined : application;
    },
    onClientError: () => {},
    onClose: () => {},
  });
  for (const piece of pieces) {
    if (socket.destroyed) break;
    if (piece.length === 0) continue;
    const bytes = Buffer.from(piece);
    socket.emit("data", bytes);
    if (connection.output === undefined) bytes.fill(0xaa); // HTTP/1.1 reads all into one buffer
    for (const each of applications) each.openTunnel();
    connection.output?.flush();
    if (moments?.once(3)) disturb(socket, clock, connection, moments);
  }
  const { destroyed } = socket;
  if (!destroyed) socket.emit("end");
  connection.output?.flush();
  clock.advance(200_000);
  socket.destroy();
  assert.equal(clock.items.size, 0, "a closed connection leaves nothing behind");
  return { applications, destroyed };
}

/** Nobody takes what is sent, time goes by, the program ends, the network fails. */
function disturb(
  socket: FakeSocket,
  clock: FakeClock,
  connection: Connection,
  random: Random,
): void {
  const what = random.below(5);
  if (what === 0) socket.writableNeedDrain = true;
  if (what === 1 && socket.writableNeedDrain) {
    socket.writableNeedDrain = false;
    socket.emit("drain");
  }
  if (what === 2) clock.advance(random.below(70_000));
  if (what === 3) connection.drain();
  if (what === 4 && random.once(10)) socket.emit("error", new Error("reset"));
}
