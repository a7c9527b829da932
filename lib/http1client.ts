/**
 * The client side of one HTTP/1.1 connection: sends a request, tells a handler of the answer as it
 * comes, and is free for the next request afterwards (RFC 9112 section 9).
 *
 * Needs `http1.ts`, `http1reader.ts`, `http1output.ts`. Whoever opens the socket feeds its bytes in
 * with `read`, so that a socket may read into one reused buffer. A chunk, of either direction, is
 * valid only during the call that brings it.
 */
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import type { BufferPool } from "./bufferpool.ts";
import {
  type BodyLength,
  CHUNKED,
  formatChunkSize,
  formatLastChunk,
  HEAD_LIMITS,
  Http1Error,
  parseResponseHead,
  type ResponseHead,
  UNTIL_CLOSE,
} from "./http1.ts";
import { Http1Output } from "./http1output.ts";
import { DATA, END, MessageReader } from "./http1reader.ts";

/** More interim answers than this to one request are a flood. */
const INFORMATIONAL_LIMIT = 64;

/** Told in this order: informational*, response, data*, end; or `onFailed` once, at any point. */
export interface ResponseHandler {
  onInformational(head: ResponseHead): void;
  /** Status 101 too: from then on data is the raw stream of the new protocol. */
  onResponse(head: ResponseHead): void;
  onResponseData(chunk: Buffer): void;
  onResponseEnd(trailers: readonly string[]): void;
  /** After everything that one read brought. */
  onReadEnd(): void;
  onRequestDrain(): void;
  onFailed(error: Error): void;
}

export class ClientConnection {
  /** Some byte of an answer to the current request has come. */
  answered = false;
  /** The answer to the last request wasn't complete. */
  failed = false;
  /** How many requests were sent: over one, and the peer may have closed it before the last. */
  requests = 0;
  /** When it was last freed, for the pool. */
  idleSince = 0;

  readonly #socket: Duplex;
  readonly #reader = new MessageReader(HEAD_LIMITS);
  readonly #onFree: (connection: ClientConnection) => void;
  readonly #output: Http1Output;
  #handler: ResponseHandler | undefined;
  #method = "";
  #requestLength: BodyLength = 0;
  #requestDone = true;
  #inBody = false;
  #tunnel = false;
  #keepAlive = true;
  #informational = 0;
  #paused = false;
  #reading = false;
  #ended = false;
  #answerDone = false;
  #flushing = false;

  /**
   * `onFree` is called when the connection is free again, and when it is closed (see `open`);
   * bodies are sent from `buffers`.
   */
  constructor(
    socket: Duplex,
    onFree: (connection: ClientConnection) => void,
    buffers?: BufferPool,
  ) {
    this.#socket = socket;
    this.#onFree = onFree;
    this.#output = new Http1Output(socket, buffers);
    socket.on("end", () => this.#onEnd());
    socket.on("drain", () => this.#handler?.onRequestDrain());
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => {
      this.#fail(new Error("the connection was closed before the answer was complete"));
      this.#onFree(this);
    });
  }

  get open(): boolean {
    return !this.#ended && !this.#socket.destroyed;
  }

  /** Sends a head as `formatRequestHead` makes it; a body of `length` follows by write and end. */
  send(method: string, head: string, length: BodyLength, handler: ResponseHandler): void {
    this.#handler = handler;
    this.#method = method;
    this.#requestLength = length;
    this.#requestDone = length === 0;
    this.#inBody = this.answered = this.#paused = false;
    this.#informational = 0;
    this.requests++;
    this.#answerDone = false;
    this.#output.text(head);
    if (length === 0) this.#output.flush();
    else this.#flushSoon();
  }

  /** Sends a part of the body; false asks to wait for onRequestDrain. */
  write(chunk: Buffer): boolean {
    const chunked = this.#requestLength === CHUNKED && !this.#tunnel;
    if (chunked) this.#output.text(formatChunkSize(chunk.length));
    this.#output.bytes(chunk);
    if (chunked) this.#output.text("\r\n");
    this.#flushSoon();
    return !this.#output.full;
  }

  /**
   * What comes in one turn of the event loop leaves in one write: a head with its body's first
   * bytes, and all records of TLS that were read together, each of which has a tick of its own.
   */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#output.flush();
    });
  }

  /** Ends the body; in a tunnel, ends the sending half. */
  end(trailers: readonly string[]): void {
    this.#requestDone = true;
    if (this.#requestLength === CHUNKED && !this.#tunnel) {
      this.#output.text(formatLastChunk(trailers));
    }
    this.#output.flush();
    if (this.#tunnel) this.#output.whenWritten(() => this.#socket.end());
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#process();
    if (!this.#paused) this.#socket.resume();
  }

  /** Lets somebody else have the rest of the answer. */
  handOver(handler: ResponseHandler): void {
    this.#handler = handler;
  }

  /** Closes at once and tells the handler nothing more. */
  destroy(): void {
    this.#handler = undefined;
    this.#output.clear();
    this.#socket.destroy();
  }

  /** Takes what the socket read; false asks it to pause. */
  read(chunk: Buffer): boolean {
    if (this.#handler === undefined) {
      this.destroy(); // bytes that nobody asked for: the next answer couldn't be trusted
      return false;
    }
    this.answered = true;
    this.#reader.push(chunk);
    this.#process();
    return !this.#paused;
  }

  #process(): void {
    if (this.#reading) return;
    this.#reading = true;
    const handler = this.#handler;
    try {
      while (!this.#paused && this.#handler !== undefined && this.#step(this.#handler));
      this.#reader.keep();
      if (this.#ended && !this.#paused) this.#finishAtEnd();
      (this.#handler ?? handler)?.onReadEnd();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
    this.#reading = false;
  }

  /** Handles the next event; false when more bytes are needed. */
  #step(handler: ResponseHandler): boolean {
    if (!this.#inBody) return this.#readHead(handler);
    const event = this.#reader.readBody();
    if (event === DATA) handler.onResponseData(this.#reader.data);
    else if (event === END) this.#finish(handler);
    return event === DATA;
  }

  #readHead(handler: ResponseHandler): boolean {
    const text = this.#reader.readHead();
    if (text === undefined) return false;
    const head = parseResponseHead(text, this.#method, HEAD_LIMITS.fields);
    if (head.status < 200 && head.status !== 101) {
      if (++this.#informational > INFORMATIONAL_LIMIT) {
        throw new Http1Error(502, `more than ${INFORMATIONAL_LIMIT} interim answers`);
      }
      handler.onInformational(head);
      return true;
    }
    this.#inBody = true;
    this.#keepAlive = head.keepAlive;
    this.#tunnel = head.status === 101;
    this.#reader.startBody(this.#tunnel ? UNTIL_CLOSE : head.length);
    handler.onResponse(head);
    return true;
  }

  /** The answer is complete: free for the next request, unless something of this one is left. */
  #finish(handler: ResponseHandler): void {
    this.#handler = undefined;
    const left = !this.#requestDone || this.#reader.buffered > 0;
    if (left || !this.#keepAlive || this.#ended) this.#socket.destroy();
    else this.#onFree(this);
    handler.onResponseEnd(this.#reader.trailers);
  }

  #onEnd(): void {
    this.#ended = true;
    if (this.#handler === undefined) this.#socket.destroy();
    else if (!this.#paused) this.#process();
  }

  /** The peer sends no more: complete only if that is what delimits the answer. */
  #finishAtEnd(): void {
    const handler = this.#handler;
    if (handler === undefined || this.#answerDone) return;
    if (!this.#inBody || !this.#reader.endsWithConnection) {
      return this.#fail(new Error("the upstream closed before the answer was complete"));
    }
    // A tunnel's other direction may go on: its end is the handler's business.
    this.#answerDone = true;
    if (!this.#tunnel) this.destroy();
    handler.onResponseEnd([]);
  }

  #fail(error: Error): void {
    const handler = this.#handler;
    this.failed = handler !== undefined;
    this.destroy();
    handler?.onFailed(error);
  }
}
