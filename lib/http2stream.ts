/**
 * One stream of an HTTP/2 connection: a request and its answer, with their flow control (RFC 9113
 * sections 5.2 and 8.1), or a WebSocket's tunnel (RFC 8441).
 *
 * Needs `exchange.ts`, `answer.ts`, `http1server.ts` (types), `http2.ts`, `http2head.ts`,
 * `http2output.ts`, and SHA-1.
 *
 *     open ── END_STREAM from the client ──> half-closed (remote) ── our END_STREAM ──> closed
 *      └── our END_STREAM, and RST_STREAM(NO_ERROR) for a request that is no longer of use ──┘
 */
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { answer, UNABLE } from "./answer.ts";
import type { Client, Downstream, Handle, RequestHandler } from "./exchange.ts";
import {
  type BodyLength,
  type FieldLines,
  fieldValue,
  Http1Error,
  type RequestHead,
  type ResponseHead,
} from "./http1.ts";
import type { ServerOptions } from "./http1server.ts";
import * as h2 from "./http2.ts";
import {
  answerFields,
  checkTrailers,
  DEFAULT_PRIORITY,
  type Http2Request,
  type Priority,
} from "./http2head.ts";
import { ByteQueue, type FrameOutput } from "./http2output.ts";

/** What a stream needs of its connection. */
export interface StreamOwner {
  readonly client: Client;
  readonly options: ServerOptions;
  readonly output: FrameOutput;
  /** Bytes that may be sent now, by the connection's window and the socket. */
  readonly room: number;
  /** Bytes that windows may still grow by. */
  spareWindow: number;
  /** Lets `sendFrame` be called now, or when there is room and it is the stream's turn. */
  schedule(stream: Http2Stream): void;
  /** DATA has gone out. */
  sent(bytes: number): void;
  /** Sends RST_STREAM, and forgets the stream. */
  reset(stream: Http2Stream, code: number): void;
  forget(stream: Http2Stream): void;
}

/** By how much the window of a body that goes through fast grows, in bytes: 64 to 256 KiB. */
const WINDOW_GROWTH = 192 * 1024;

/** RFC 6455 section 1.3. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** `upstream`: to take more of the body; `reading`: the client, what was sent. */
type Wait = "nothing" | "body" | "upstream" | "reading";

export class Http2Stream implements Downstream {
  readonly id: number;
  readonly client: Client;
  priority: Priority = DEFAULT_PRIORITY;
  /** After a CONNECT that was accepted. */
  tunnel = false;
  readonly #owner: StreamOwner;
  #handler: RequestHandler | undefined;
  #method = "";
  #closed = false;
  #wait: Wait = "nothing";
  #moved = false;
  #since = 0;
  // The request:
  #receiveWindow: number = h2.DEFAULT_WINDOW;
  #fullWindow: number = h2.DEFAULT_WINDOW;
  /** Bytes taken that the client hasn't been told of. */
  #taken = 0;
  /** Bytes that are to come, where the client said so. */
  #left: number | undefined;
  /** There is a body, or a tunnel: somebody takes DATA, and is told of its end. */
  #hasBody = false;
  #expects = false;
  #paused = false;
  /** What came while nobody took it. */
  #held: Buffer = EMPTY;
  #heldLength = 0;
  #received: boolean;
  #endTold = false;
  #trailers: FieldLines = NONE;
  /** What Sec-WebSocket-Accept has to be. */
  #accept: string | undefined;
  // The answer:
  #sendWindow: number;
  #started = false;
  #status = "";
  /** Until they are sent. */
  #fields: FieldLines | undefined;
  readonly #queue: ByteQueue = new ByteQueue();
  #ending = false;
  #answerTrailers: FieldLines = NONE;
  #ended = false;
  #stuck = false;

  /** `received` when nothing follows the request's head. */
  constructor(id: number, owner: StreamOwner, sendWindow: number, received: boolean) {
    this.id = id;
    this.#received = received;
    this.client = owner.client;
    this.#owner = owner;
    this.#sendWindow = sendWindow;
  }

  /** Hands a request to the proxy. */
  begin(request: Http2Request, handle: Handle): void {
    const { head, size, priority } = request;
    this.#method = head.method;
    this.#left = size;
    this.#hasBody = head.length !== 0;
    this.#expects = this.#hasBody && fieldValue(head.fields, "expect") !== undefined;
    this.priority = priority;
    try {
      const handler = this.#handle(request, handle);
      if (!this.#ending) this.#handler = handler;
    } catch (error) {
      this.refuse(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #handle({ head, scheme, protocol }: Http2Request, handle: Handle): RequestHandler | undefined {
    if (head.method === "CONNECT" && protocol !== "websocket") {
      return this.#decline(head, 501, "CONNECT isn't implemented, but for WebSocket.");
    }
    if (scheme !== this.client.scheme) {
      return this.#decline(head, 421, "This connection isn't for the scheme asked for.");
    }
    return handle(protocol === undefined ? head : this.#upgradeHead(head), this);
  }

  #decline(head: RequestHead, status: number, why: string): undefined {
    this.#owner.options.observer?.onRefused(this.client, status, head);
    return answer(this, head, status, why);
  }

  /** The request of HTTP/1.1 that asks for what an extended CONNECT asks for (RFC 8441 5.1). */
  #upgradeHead(head: RequestHead): RequestHead {
    const key = randomBytes(16).toString("base64");
    this.#accept = createHash("sha1").update(key + WEBSOCKET_GUID).digest("base64");
    const fields = withoutField(head.fields, "sec-websocket-key");
    fields.push("sec-websocket-key", key);
    return { ...head, method: "GET", fields, upgrade: "websocket" };
  }

  /** Answers with an Http1Error's status, and lets go of the upstream. */
  refuse(error: Error): void {
    const { onClientError, observer } = this.#owner.options;
    onClientError(this.client, error);
    const status = error instanceof Http1Error ? error.status : 500;
    this.#handler?.onGone(this.#closed || this.#started ? undefined : status);
    this.#handler = undefined;
    if (this.#closed) return;
    if (this.#started) return this.abort();
    if (this.#method === "") observer?.onRefused(this.client, status);
    answer(this, { method: this.#method }, status, status === 500 ? UNABLE : error.message);
  }

  /** DATA, and how many bytes were padding. Throws Http2Error. */
  onData(data: Buffer, padding: number, received: boolean): void {
    this.#mayCome();
    this.#receiveWindow -= data.length + padding;
    if (this.#receiveWindow < 0) throw this.#error(h2.FLOW_CONTROL_ERROR, "more DATA than allowed");
    if (this.#left !== undefined && (this.#left -= data.length) < 0) {
      throw this.#error(h2.PROTOCOL_ERROR, "more DATA than content-length says");
    }
    this.#moved = true;
    this.#expects = false;
    if (this.#handler !== undefined && data.length > 0) {
      if (this.#holds) this.#hold(data);
      else {
        this.#handler.onRequestData(data);
        this.#credit(data.length);
      }
    }
    this.#credit(padding);
    if (received) this.#onReceived(NONE);
  }

  /** HEADERS after the first; undefined when they were over the limits. Throws Http2Error. */
  onTrailers(trailers: FieldLines | undefined, received: boolean): void {
    this.#mayCome();
    if (!received || this.#accept !== undefined) { // a tunnel has DATA and nothing else (8.5)
      throw this.#error(h2.PROTOCOL_ERROR, "HEADERS in the middle of a stream");
    }
    if (trailers === undefined) {
      return this.refuse(new Http1Error(431, "The trailers are over the limits."));
    }
    checkTrailers(trailers, this.id);
    this.#onReceived(trailers);
  }

  /** In the state half-closed (remote) nothing else is allowed (5.1). */
  #mayCome(): void {
    if (this.#received) throw this.#error(h2.STREAM_CLOSED, "a frame after END_STREAM");
  }

  #onReceived(trailers: FieldLines): void {
    if (this.#left !== undefined && this.#left > 0) {
      throw this.#error(h2.PROTOCOL_ERROR, "less DATA than content-length says");
    }
    this.#received = true;
    this.#trailers = trailers;
    this.#tellEnd();
  }

  #tellEnd(): void {
    if (!this.#received || this.#endTold || this.#closed || this.#holds) return;
    this.#endTold = true;
    if (this.#hasBody) this.#handler?.onRequestEnd(this.#trailers);
    if (this.#ended) this.#owner.forget(this);
  }

  /** The upstream doesn't take DATA just now; or there is no tunnel yet that it could go to. */
  get #holds(): boolean {
    return this.#paused || this.#heldLength > 0 || (this.#accept !== undefined && !this.tunnel);
  }

  /** Keeps bytes, at most a window of them. */
  #hold(data: Buffer): void {
    const length = this.#heldLength + data.length;
    if (length > this.#held.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(2 * length, this.#fullWindow));
      this.#held.copy(grown, 0, 0, this.#heldLength);
      this.#held = grown;
    }
    data.copy(this.#held, this.#heldLength);
    this.#heldLength = length;
  }

  #deliverHeld(): void {
    const held = this.#held.subarray(0, this.#heldLength);
    this.#held = EMPTY;
    this.#heldLength = 0;
    if (held.length > 0) this.#handler?.onRequestData(held);
    this.#credit(held.length);
    this.#tellEnd();
  }

  /** Opens the window by halves, so that few frames say it; not while the upstream is slow. */
  #credit(bytes: number): void {
    this.#taken += bytes;
    if (this.#received || this.#closed || this.#paused) return;
    if (this.#taken < this.#fullWindow / 2) return;
    if (this.#fullWindow === h2.DEFAULT_WINDOW && this.#owner.spareWindow >= WINDOW_GROWTH) {
      this.#owner.spareWindow -= WINDOW_GROWTH;
      this.#fullWindow += WINDOW_GROWTH;
      this.#taken += WINDOW_GROWTH;
    }
    this.#owner.output.frame(h2.WINDOW_UPDATE, 0, this.id, this.#taken);
    this.#receiveWindow += this.#taken;
    this.#taken = 0;
  }

  pauseRequest(): void {
    if (this.#hasBody) this.#paused = true;
  }

  resumeRequest(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#moved = true;
    this.#deliverHeld();
  }

  informational({ status }: ResponseHead, fields: FieldLines): void {
    if (this.#started || this.#closed) return;
    if (status === 100) this.#expects = false;
    this.#owner.output.headers(this.id, [":status", `${status}`], answerFields([...fields]), 0);
  }

  respond(status: number, _reason: string, fields: string[], _length: BodyLength): void {
    if (status === 101) return this.#openTunnel(fields);
    if (this.#accept !== undefined && status < 300) { // which here would say that there is a tunnel
      throw new Http1Error(502, "the upstream didn't switch to WebSocket");
    }
    this.#started = true;
    this.#status = `${status}`;
    this.#fields = answerFields(fields);
  }

  /** RFC 8441 section 5: what 101 is there is 200 here; the upstream has to be one of WebSocket. */
  #openTunnel(fields: string[]): void {
    if (fieldValue(fields, "sec-websocket-accept") !== this.#accept) {
      throw new Http1Error(502, "the upstream switched to something else than WebSocket");
    }
    this.tunnel = this.#started = this.#hasBody = true;
    this.#status = "200";
    this.#fields = withoutField(answerFields(fields), "sec-websocket-accept");
    this.#deliverHeld();
  }

  write(chunk: Buffer): void {
    this.#queue.push(chunk);
  }

  flush(): boolean {
    this.#send();
    return !(this.#stuck = this.#queue.length > 0);
  }

  end(trailers: FieldLines): void {
    this.#ending = true;
    this.#answerTrailers = trailers;
    if (!this.tunnel) this.#handler = undefined;
    this.#send();
  }

  #send(): void {
    if (this.#closed) return this.#queue.clear();
    if (this.#fields !== undefined) this.#sendHead(this.#fields);
    if (this.sendable) this.#owner.schedule(this);
    this.#queue.keep(this.#owner.options.buffers);
  }

  #sendHead(fields: FieldLines): void {
    const bare = this.#ending && this.#queue.length === 0 && this.#answerTrailers.length === 0;
    const flags = bare ? h2.END_STREAM : 0;
    this.#owner.output.headers(this.id, [":status", this.#status], fields, flags);
    this.#fields = undefined;
    if (bare) this.#onEnded();
  }

  /** Something waits that the stream's own window lets through. */
  get sendable(): boolean {
    if (this.#closed || this.#ended) return false;
    return this.#queue.length > 0 ? this.#sendWindow > 0 : this.#ending;
  }

  /** No window is needed for what waits, if anything does: it is only the end. */
  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** Sends one DATA frame, and the end if nothing is left before it. */
  sendFrame(): void {
    if (this.#queue.length > 0) {
      const room = Math.min(this.#owner.room, this.#sendWindow, h2.FRAME_LIMIT);
      const length = Math.min(this.#queue.length, room);
      if (length <= 0) return;
      const last = this.#ending && length === this.#queue.length &&
        this.#answerTrailers.length === 0;
      this.#sendData(length, last ? h2.END_STREAM : 0);
      if (last) return this.#onEnded();
    }
    if (this.#queue.length > 0 || !this.#ending) return;
    const { output } = this.#owner;
    if (this.#answerTrailers.length === 0) output.data(this.id, 0, h2.END_STREAM);
    else output.headers(this.id, NONE, this.#answerTrailers, h2.END_STREAM);
    this.#onEnded();
  }

  #sendData(length: number, flags: number): void {
    const { to, at } = this.#owner.output.data(this.id, length, flags);
    this.#queue.moveTo(to, at, length);
    this.#owner.sent(length);
    this.#sendWindow -= length;
    this.#moved = true;
  }

  /** What flush left has been sent: more is welcome. */
  tellDrained(): void {
    if (!this.#stuck || this.#queue.length > 0) return;
    this.#stuck = false;
    this.#handler?.onDrain();
  }

  #onEnded(): void {
    this.#ended = true;
    if (this.#received) {
      if (!this.tunnel || this.#endTold) this.#owner.forget(this);
    } else if (!this.tunnel) this.#owner.reset(this, h2.NO_ERROR); // the rest is of no use (8.1)
  }

  /** The client lets more be sent, or less than nothing (6.9.2). Throws Http2Error for `blamed`. */
  openWindow(bytes: number, blamed: number = this.id): void {
    this.#sendWindow += bytes;
    if (this.#sendWindow > h2.MAX_31_BITS) {
      throw new h2.Http2Error(blamed, h2.FLOW_CONTROL_ERROR, "a window over 2^31-1 bytes");
    }
    if (bytes > 0 && this.#fields === undefined && this.sendable) this.#owner.schedule(this);
    this.tellDrained();
  }

  abort(): void {
    this.#handler = undefined;
    if (this.#closed) return;
    if (!this.#started) return answer(this, { method: this.#method }, 502, UNABLE);
    this.#send(); // what there is of it
    if (this.#closed) return;
    const code = this.tunnel ? h2.CANCEL : h2.INTERNAL_ERROR;
    this.#owner.reset(this, this.#ended ? h2.NO_ERROR : code);
  }

  /** The stream is no more; the proxy is told, unless it has nothing more to do with it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.spareWindow += this.#fullWindow - h2.DEFAULT_WINDOW;
    this.#queue.clear();
    this.#held = EMPTY;
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onGone();
  }

  /** Whether somebody keeps the other side waiting for too long; called now and then. */
  checkTime(now: number): void {
    const wait = this.#waitsFor();
    if (wait !== this.#wait || this.#moved) {
      this.#wait = wait;
      this.#moved = false;
      this.#since = now;
    }
    if (wait === "nothing" || now - this.#since < this.#owner.options.timeouts.stall) return;
    if (wait === "body") this.refuse(new Http1Error(408, "The request didn't arrive in time."));
    else if (wait === "upstream") {
      this.refuse(new Http1Error(504, "The upstream didn't take the request in time."));
    } else {
      const error = this.#error(h2.CANCEL, "the client doesn't take the answer");
      this.#owner.options.onClientError(this.client, error);
      this.#owner.reset(this, h2.CANCEL);
    }
  }

  #waitsFor(): Wait {
    if (this.tunnel) return "nothing";
    if (this.#queue.length > 0) return "reading";
    if (this.#paused && (this.#heldLength > 0 || !this.#received)) return "upstream";
    return this.#received || this.#expects ? "nothing" : "body";
  }

  /** A DATA frame for it has come in part. */
  touch(): void {
    this.#moved = true;
  }

  #error(code: number, message: string): h2.Http2Error {
    return new h2.Http2Error(this.id, code, message);
  }
}

const EMPTY: Buffer = Buffer.alloc(0);
const NONE: FieldLines = [];

function withoutField(fields: FieldLines, name: string): string[] {
  return fields.filter((_, at) => fields[at & ~1].toLowerCase() !== name);
}
