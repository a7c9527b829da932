/**
 * The server side of one HTTP/1.1 connection (RFC 9112 section 9): reads requests one after
 * another, hands each to the proxy, and writes the answers in order.
 *
 * Needs `http1.ts`, `http1reader.ts`, `http1output.ts`, `exchange.ts`, `clock.ts`. Between two
 * requests nothing but the bytes not yet read is kept.
 */
import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { BufferPool } from "./bufferpool.ts";
import type { Clock, Expiring } from "./clock.ts";
import { answer, UNABLE } from "./answer.ts";
import type { Client, Connection, Downstream, Handle, RequestHandler } from "./exchange.ts";
import {
  type BodyLength,
  fieldValue,
  formatChunkSize,
  formatLastChunk,
  formatResponseHead,
  type HeadLimits,
  Http1Error,
  parseRequestHead,
  type ResponseHead,
} from "./http1.ts";
import { Http1Output } from "./http1output.ts";
import { DATA, END, MessageReader } from "./http1reader.ts";
import type { Observer } from "./observer.ts";
import { destroyWhenWritten, readInto } from "./runtime.ts";

/**
 * In milliseconds. `head`: from a head's first byte, or a connection's beginning, to its last byte;
 * `idle`: without a request; `stall`: a client that owes a body, or doesn't take what was sent.
 */
export type ServerTimeouts = Readonly<Record<"head" | "idle" | "stall", number>>;

export interface ServerOptions {
  readonly clock: Clock;
  readonly buffers: BufferPool;
  readonly limits: HeadLimits;
  readonly timeouts: ServerTimeouts;
  readonly handle: Handle;
  /** Told of what `handle` isn't asked about. */
  readonly observer?: Observer | undefined;
  readonly onClientError: (client: Client, error: Error) => void;
  readonly onClose: (connection: Connection) => void;
}

/** How long a closing connection waits for the client to read and close, in milliseconds. */
const LINGER = 5_000;
/** Pipelined bytes that wait while a request is being answered. */
const PIPELINE_LIMIT = 64 * 1024;

/**
 *     HEAD ─ head ─> BODY ─ last byte ─> ANSWER ─ answered ─> HEAD …
 *                      └── 101 ──> TUNNEL
 *     any ─ error, Connection: close ─> CLOSING, what still comes is thrown away
 */
const HEAD = 0, BODY = 1, ANSWER = 2, TUNNEL = 3, CLOSING = 4;

/** `upstream`: to take more of the body; `reading`: the client, what was sent. */
type Wait = "nothing" | "head" | "idle" | "body" | "upstream" | "reading";

export class ServerConnection implements Connection, Downstream, Expiring {
  readonly client: Client;
  deadline = 0;
  readonly #socket: Socket;
  readonly #options: ServerOptions;
  readonly #reader: MessageReader;
  #state: number = HEAD;
  #draining = false;
  #processing = false;
  /** The proxy doesn't want more of the body just now. */
  #paused = false;
  readonly #output: Http1Output;
  // Of the current request, all set by #readHead:
  #handler: RequestHandler | undefined;
  #method = "";
  #minor = 1;
  #keepAlive = true;
  #chunked = false;
  #started = false;
  /** It said `Expect`, and has neither been told to go on nor begun with its body. */
  #expects = false;
  #halfEnded = false;
  #wait: Wait = "head";

  constructor(socket: Socket, client: Client, options: ServerOptions) {
    this.#socket = socket;
    this.client = client;
    this.#options = options;
    this.#reader = new MessageReader(options.limits);
    this.#output = new Http1Output(socket, options.buffers);
    this.#expireIn(options.timeouts.head);
    options.clock.add(this);
    readInto(socket, options.buffers.input, (chunk) => this.#onData(chunk));
    socket.on("end", () => this.#onEnd());
    socket.on("drain", () => this.#onDrain());
    socket.on("error", (error) => options.onClientError(client, error));
    socket.on("close", () => this.#onClose());
  }

  /** Closes when the current request is answered; at once when there is none. */
  drain(): void {
    this.#draining = true;
    this.#keepAlive = false;
    if (this.#state === HEAD && this.#reader.buffered === 0) this.#close();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    if (this.#state === CLOSING) return;
    if (this.#state === TUNNEL) return this.#handler?.onRequestData(chunk);
    this.#reader.push(chunk);
    this.#process();
  }

  /** Goes as far as it can through what has been read. */
  #process(): void {
    if (this.#processing) return;
    this.#processing = true;
    try {
      while (!this.#paused && this.#step());
    } catch (error) {
      this.#refuse(error instanceof Error ? error : new Error(String(error)));
    }
    this.#processing = false;
    this.#reader.keep();
    this.#readOn();
    this.#await();
  }

  #readOn(): void {
    const stop = this.#paused || this.#isFull;
    if (stop === this.#socket.isPaused()) return;
    if (stop) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Enough waits already: for an answer, or for the client to take answers. */
  get #isFull(): boolean {
    if (this.#reader.buffered <= PIPELINE_LIMIT) return false;
    return this.#state === ANSWER || (this.#state === HEAD && this.#output.full);
  }

  /** What has to happen next; `nothing` if that is the answer, which may take for ever. */
  #waitsFor(): Wait {
    if (this.#state === TUNNEL) return "nothing";
    if (this.#output.full || this.#isFull) return "reading";
    if (this.#state === HEAD) return this.#reader.buffered > 0 ? "head" : "idle";
    if (this.#state === ANSWER || this.#expects) return "nothing";
    return this.#paused ? "upstream" : "body";
  }

  /** Sets the deadline for what is waited for: anew if that is something else, or has moved. */
  #await(moved: boolean = false): void {
    if (this.#state === CLOSING) return;
    const wait = this.#waitsFor();
    if (wait === this.#wait && !moved) return;
    this.#wait = wait;
    const { head, idle, stall } = this.#options.timeouts;
    const times = { nothing: 0, head, idle, body: stall, upstream: stall, reading: stall };
    this.#expireIn(times[wait]);
  }

  /** Handles the next event; false when there is nothing to do until something else happens. */
  #step(): boolean {
    if (this.#state === HEAD) return this.#readHead();
    if (this.#state !== BODY) return false;
    const event = this.#reader.readBody();
    if (event === DATA) {
      this.#expects = false;
      this.#handler?.onRequestData(this.#reader.data);
      this.#await(true);
    } else if (event === END) {
      this.#state = ANSWER;
      this.#handler?.onRequestEnd(this.#reader.trailers);
    }
    return event === DATA || this.#state === HEAD; // it may be answered by now
  }

  #readHead(): boolean {
    // Whoever doesn't read the answers gets no further requests answered.
    if (this.#output.full) return false;
    const text = this.#reader.readHead();
    if (text === undefined) return false;
    const head = parseRequestHead(text, this.#options.limits.fields);
    this.#method = head.method;
    this.#minor = head.minor;
    this.#keepAlive = head.keepAlive && !this.#draining;
    this.#started = false;
    this.#reader.startBody(head.length);
    this.#state = head.length === 0 ? ANSWER : BODY;
    // A client that waits for a 100 owes nothing, and the upstream may take its time.
    this.#expects = head.length !== 0 && fieldValue(head.fields, "expect") !== undefined;
    this.#wait = "nothing";
    this.deadline = 0;
    this.#handler = this.#options.handle(head, this);
    return true;
  }

  /** Answers 400 and its kin, and closes: what follows a framing error can't be trusted. */
  #refuse(error: Error): void {
    this.#options.onClientError(this.client, error);
    const status = error instanceof Http1Error ? error.status : 500;
    const open = this.#state !== CLOSING && !this.#started;
    this.#handler?.onGone(open ? status : undefined);
    this.#handler = undefined;
    if (this.#state === CLOSING) return;
    if (this.#started) return this.abort();
    this.#keepAlive = false;
    if (this.#method === "") this.#options.observer?.onRefused(this.client, status);
    answer(this, { method: this.#method }, status, status === 500 ? UNABLE : error.message);
  }

  informational(head: ResponseHead, fields: readonly string[]): void {
    // An HTTP/1.0 client doesn't know interim answers (RFC 9110 section 15.2).
    if (this.#minor === 0 || this.#started) return;
    if (head.status === 100) this.#expects = false;
    this.#output.text(formatResponseHead(head.status, head.reason, fields));
    this.flush();
  }

  respond(status: number, reason: string, fields: string[], length: BodyLength): void {
    this.#started = true;
    if (status === 101) return this.#startTunnel(formatResponseHead(status, reason, fields));
    // A body that is still to come may never come: don't take it for the next request.
    if (this.#state !== ANSWER) this.#keepAlive = false;
    this.#chunked = length < 0 && this.#minor === 1;
    if (this.#chunked) fields.push("Transfer-Encoding", "chunked");
    else if (length < 0) this.#keepAlive = false;
    if (!this.#keepAlive) fields.push("Connection", "close");
    else if (this.#minor === 0) fields.push("Connection", "keep-alive");
    this.#output.text(formatResponseHead(status, reason, fields));
  }

  #startTunnel(head: string): void {
    this.#output.text(head);
    this.#state = TUNNEL;
    this.#expireIn(0);
    const rest = this.#reader.takeRest();
    if (rest.length > 0) this.#handler?.onRequestData(rest);
    this.#readOn();
  }

  write(chunk: Buffer): void {
    if (this.#chunked) this.#output.text(formatChunkSize(chunk.length));
    this.#output.bytes(chunk);
    if (this.#chunked) this.#output.text("\r\n");
  }

  end(trailers: readonly string[]): void {
    if (this.#state === TUNNEL) {
      this.flush();
      this.#output.whenWritten(() => this.#socket.end());
      return this.#endHalf();
    }
    if (this.#chunked) this.#output.text(formatLastChunk(trailers));
    this.#started = this.#chunked = false;
    this.#method = "";
    this.#handler = undefined;
    this.flush();
    if (!this.#keepAlive) return this.#close();
    this.#state = HEAD;
    this.#process();
  }

  /** A tunnel is over when both directions are, even for a client that doesn't take the rest. */
  #endHalf(): void {
    if (this.#halfEnded) {
      this.#state = CLOSING;
      this.#expireIn(this.#options.timeouts.stall);
    }
    this.#halfEnded = true;
  }

  flush(): boolean {
    const more = this.#output.flush();
    if (!more) this.#await();
    return more;
  }

  abort(): void {
    this.flush();
    this.#state = CLOSING;
    this.#handler = undefined;
    this.#expireIn(LINGER);
    // No close_notify: what TLS calls truncation is what this is (RFC 8446 section 6.1).
    this.#output.whenWritten(() => destroyWhenWritten(this.#socket));
  }

  pauseRequest(): void {
    // Without a body to hold back, go on reading, or nobody would see the client leave.
    if (this.#state !== BODY && this.#state !== TUNNEL) return;
    this.#paused = true;
    this.#socket.pause();
    this.#await();
  }

  resumeRequest(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#process();
  }

  /** Ends our side, and reads on until the client ends: a reset could destroy the last answer. */
  #close(): void {
    this.#state = CLOSING;
    this.#handler = undefined;
    this.#expireIn(this.#options.timeouts.stall); // to take what was sent before
    this.#output.whenWritten(() => this.#socket.end(() => this.#expireIn(LINGER)));
    this.#socket.resume();
  }

  #onDrain(): void {
    this.#await(); // before more is written, which may be stuck again
    this.#handler?.onDrain();
    if (this.#state === HEAD) this.#process();
  }

  /** The client sends no more. Except in a tunnel, that is how a client leaves. */
  #onEnd(): void {
    if (this.#state === TUNNEL) {
      this.#handler?.onRequestEnd([]);
      this.#endHalf();
    } else if (this.#state === HEAD) this.#close();
    else if (this.#state !== CLOSING) this.#socket.destroy();
  }

  #onClose(): void {
    this.#options.clock.delete(this);
    this.#handler?.onGone();
    this.#options.onClose(this);
  }

  #expireIn(milliseconds: number): void {
    this.deadline = milliseconds === 0 ? 0 : this.#options.clock.now + milliseconds;
  }

  onDeadline(): void {
    const wait = this.#wait;
    const silent = wait === "head" && this.#reader.buffered === 0; // since it was opened
    if (this.#state === CLOSING || wait === "reading") this.#socket.destroy();
    else if (wait === "idle" || silent) this.#close();
    else if (wait === "upstream") {
      this.#refuse(new Http1Error(504, "The upstream didn't take the request in time."));
    } else this.#refuse(new Http1Error(408, "The request didn't arrive in time."));
  }
}
