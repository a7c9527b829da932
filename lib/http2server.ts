/**
 * The server side of one HTTP/2 connection (RFC 9113; section numbers are its): reads frames, gives
 * each stream its own, lets streams send in turn, and ends with whoever misbehaves.
 *
 * Needs `http2.ts`, `http2head.ts`, `http2output.ts`, `http2limits.ts`, `http2stream.ts`,
 * `hpack.ts`, `clock.ts`, `runtime.ts`.
 */
import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Expiring } from "./clock.ts";
import type { Client } from "./exchange.ts";
import { HpackDecoder, HpackError } from "./hpack.ts";
import { Http1Error } from "./http1.ts";
import type { ServerOptions } from "./http1server.ts";
import * as h2 from "./http2.ts";
import { parsePriority, parseRequest } from "./http2head.ts";
import {
  BLOCK_FACTOR,
  Budget,
  BYTES_PAY,
  CONNECTION_WINDOW,
  CONTROL_FRAMES,
  OUTPUT_LIMIT,
  REMEMBERED_RESETS,
  REQUEST_PAYS,
  RESETS,
  SPARE_WINDOW,
  STREAM_LIMIT,
} from "./http2limits.ts";
import { FrameOutput } from "./http2output.ts";
import { Http2Stream, type StreamOwner } from "./http2stream.ts";
import { readInto } from "./runtime.ts";

/** How long a closing connection waits for the client to read and close, in milliseconds. */
const LINGER = 5_000;
/** How long a client may take to see that no more streams are wanted, in milliseconds. */
const DRAIN_NOTICE = 1_000;

export class Http2Connection implements StreamOwner, Expiring {
  readonly client: Client;
  readonly options: ServerOptions;
  readonly output: FrameOutput;
  deadline: number;
  spareWindow: number = SPARE_WINDOW;
  readonly #socket: Socket;
  readonly #reader: h2.FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #streams = new Map<number, Http2Stream>();
  /** Streams that the connection keeps from sending; in the order of their turns. */
  readonly #queue: Http2Stream[] = [];
  /** The highest that the client has opened; whether it left out any; those that we reset. */
  #lastStream = 0;
  #hasSkipped = false;
  readonly #resets = new Set<number>();
  /** The client's SETTINGS have come; ours were acknowledged. */
  #greeted = false;
  #agreed = false;
  /** The client's SETTINGS_NO_RFC7540_PRIORITIES, which may not change. */
  #noPriorities = 0;
  #sendWindow: number = h2.DEFAULT_WINDOW;
  #streamWindow: number = h2.DEFAULT_WINDOW;
  #receiveWindow: number = CONNECTION_WINDOW;
  #resetBudget: Budget;
  #controlBudget: Budget;
  /** WINDOW_UPDATE frames that are paid for: they come when the client reads, however late. */
  #paidUpdates = 0;
  /** The last stream that is answered, once that is settled. */
  #finalStream = Infinity;
  #draining = false;
  #closing = false;
  // Since when, in milliseconds, or 0: for what the next sweeps judge.
  readonly #opened: number;
  #idleSince: number;
  #partialSince = 0;
  #blockedSince = 0;
  #drainSince = 0;

  constructor(socket: Socket, client: Client, options: ServerOptions) {
    const { clock, limits } = options;
    this.#socket = socket;
    this.client = client;
    this.options = options;
    this.output = new FrameOutput(socket, options.buffers);
    this.#reader = new h2.FrameReader(BLOCK_FACTOR * limits.bytes, true);
    this.#decoder = new HpackDecoder({ maxListSize: limits.bytes, maxFields: limits.fields });
    this.#resetBudget = new Budget(RESETS, clock.now);
    this.#controlBudget = new Budget(CONTROL_FRAMES, clock.now);
    this.#opened = this.#idleSince = this.deadline = clock.now;
    clock.add(this);
    readInto(socket, options.buffers.input, (chunk) => this.#onData(chunk));
    socket.on("end", () => this.#onEnd());
    socket.on("drain", () => this.#onDrain());
    socket.on("error", (error) => options.onClientError(client, error));
    socket.on("close", () => this.#onClose());
    this.output.raw(h2.formatSettings([
      ...[h2.MAX_CONCURRENT_STREAMS, STREAM_LIMIT, h2.MAX_HEADER_LIST_SIZE, limits.bytes],
      ...[h2.ENABLE_CONNECT_PROTOCOL, 1, h2.NO_RFC7540_PRIORITIES, 1],
    ]));
    this.output.frame(h2.WINDOW_UPDATE, 0, 0, CONNECTION_WINDOW - h2.DEFAULT_WINDOW);
  }

  /** Lets streams end, and those that the client is just about to open (6.8). */
  drain(): void {
    if (this.#draining || this.#closing) return;
    this.#draining = true;
    this.#drainSince = this.deadline = this.options.clock.now;
    this.output.goaway(h2.MAX_31_BITS, h2.NO_ERROR, "");
    this.output.frame(h2.PING, 0, 0, 0, 0); // when it comes back, the client has seen it
  }

  #finishDraining(): void {
    this.#draining = true;
    this.#drainSince = 0;
    this.#finalStream = this.#lastStream;
    this.output.goaway(this.#finalStream, h2.NO_ERROR, "");
    if (this.#streams.size === 0) this.#close();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    if (this.#closing) return;
    this.#reader.push(chunk);
    this.#read();
    this.#reader.keep();
    this.#streams.get(this.#reader.arriving)?.touch();
    if (!this.#closing) this.deadline = this.options.clock.now; // a sweep looks at what waits
  }

  /** Handles what has come, unless what that brings can't leave: one byte may ask for thousands. */
  #read(): void {
    while (this.#readFrames());
    if (this.#isFull && !this.#closing) this.#socket.pause();
  }

  get #isFull(): boolean {
    return this.output.waiting > OUTPUT_LIMIT;
  }

  /** Handles frames until there are no more; true if an error of one stream came between. */
  #readFrames(): boolean {
    try {
      while (!this.#closing && !this.#isFull && this.#reader.next()) this.#onFrame();
      return false;
    } catch (error) {
      return this.#recover(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Ends what an error is about: true if that was a stream, and the connection goes on (5.4). */
  #recover(error: Error): boolean {
    const id = error instanceof h2.Http2Error ? error.stream : 0;
    if (this.#isIdle(id)) return this.#fail(error); // what was never open can't be reset
    if (!this.#resetBudget.take(this.options.clock.now)) {
      return this.#fail(refused(h2.ENHANCE_YOUR_CALM, error.message));
    }
    this.options.onClientError(this.client, error);
    const stream = this.#streams.get(id);
    const code = (error as h2.Http2Error).code;
    if (stream !== undefined) this.reset(stream, code);
    else this.#sendReset(id, code);
    return true;
  }

  #fail(cause: Error): false {
    const undecodable = cause instanceof HpackError;
    const error = undecodable ? refused(h2.COMPRESSION_ERROR, cause.message) : cause;
    this.options.onClientError(this.client, error);
    if (error instanceof h2.Http2Error) this.#close(error.code, error.message);
    else this.#close(h2.INTERNAL_ERROR, "internal error");
    return false;
  }

  #onFrame(): void {
    const { type, flags } = this.#reader;
    if (!this.#greeted && (type !== h2.SETTINGS || (flags & h2.ACK) !== 0)) {
      throw refused(h2.PROTOCOL_ERROR, "the first frame isn't SETTINGS");
    }
    this.#partialSince = 0;
    if (type === h2.WINDOW_UPDATE && this.#paidUpdates >= 1) this.#paidUpdates--;
    else if (type !== h2.DATA && type !== h2.HEADERS && type !== h2.RST_STREAM) {
      this.#countControl();
    }
    switch (type) {
      case h2.DATA:
        return this.#onDataFrame();
      case h2.HEADERS:
        return this.#onHeaders();
      case h2.RST_STREAM:
        return this.#onReset();
      case h2.WINDOW_UPDATE:
        return this.#onWindowUpdate();
      case h2.PUSH_PROMISE:
        throw refused(h2.PROTOCOL_ERROR, "PUSH_PROMISE from a client");
      case h2.SETTINGS:
        return this.#onSettings();
      case h2.PING:
        return this.#onPing();
      case h2.PRIORITY:
        return this.#onPriority();
      case h2.PRIORITY_UPDATE:
        return this.#onPriorityUpdate();
      case h2.GOAWAY:
        if (this.#finalStream === Infinity) this.#finishDraining();
    }
  }

  #countControl(): void {
    if (this.#controlBudget.take(this.options.clock.now)) return;
    throw refused(h2.ENHANCE_YOUR_CALM, "too many frames that bring nothing");
  }

  /** The client hasn't opened it, or can't: 0 too. */
  #isIdle(id: number): boolean {
    return id > this.#lastStream || id % 2 === 0;
  }

  /** Only HEADERS and PRIORITY may come for a stream that is idle (5.1). */
  #checkOpened(id: number): void {
    if (this.#isIdle(id)) {
      throw refused(h2.PROTOCOL_ERROR, `a frame on stream ${id}, which is idle`);
    }
  }

  /** A stream that isn't open: undefined if frames may still be on their way to it (5.1). */
  #checkClosed(id: number): undefined {
    this.#checkOpened(id);
    if (this.#resets.has(id)) return;
    throw refused(h2.STREAM_CLOSED, `a frame on stream ${id}, which is closed`);
  }

  #onDataFrame(): void {
    const reader = this.#reader, { stream, flags } = reader;
    const size = reader.end - reader.start;
    reader.unpad();
    this.#receive(size);
    const to = this.#streams.get(stream) ?? this.#checkClosed(stream);
    const received = (flags & h2.END_STREAM) !== 0;
    const length = reader.end - reader.start;
    if (length === 0 && !received) this.#countControl();
    to?.onData(reader.payload(), size - length, received);
  }

  /** What comes is taken at once, for the connection: see CONNECTION_WINDOW. */
  #receive(bytes: number): void {
    this.#receiveWindow -= bytes;
    if (this.#receiveWindow < 0) throw refused(h2.FLOW_CONTROL_ERROR, "more DATA than allowed");
    if (this.#receiveWindow > CONNECTION_WINDOW / 2) return;
    this.output.frame(h2.WINDOW_UPDATE, 0, 0, CONNECTION_WINDOW - this.#receiveWindow);
    this.#receiveWindow = CONNECTION_WINDOW;
  }

  /** A whole block is decoded whatever becomes of it, for the next one builds on it (4.3). */
  #onHeaders(): void {
    const { stream: id, flags, selfDependent, bytes, start, end } = this.#reader;
    if (id % 2 === 0) throw refused(h2.PROTOCOL_ERROR, "a client's stream has an odd number");
    const list = this.#decoder.decode(bytes, start, end);
    const received = (flags & h2.END_STREAM) !== 0;
    const known = this.#streams.get(id);
    if (known !== undefined) return known.onTrailers(list, received);
    if (id <= this.#lastStream) {
      if (this.#hasSkipped && !this.#resets.has(id)) {
        throw refused(h2.PROTOCOL_ERROR, `stream ${id} after ${this.#lastStream}`);
      }
      return this.#checkClosed(id);
    }
    if (id > this.#lastStream + 2) this.#hasSkipped = true;
    this.#lastStream = id;
    if (id > this.#finalStream || this.#streams.size >= STREAM_LIMIT) {
      throw new h2.Http2Error(id, h2.REFUSED_STREAM, "more streams than are wanted");
    }
    if (selfDependent) throw new h2.Http2Error(id, h2.PROTOCOL_ERROR, "it depends on itself");
    const request = list === undefined ? undefined : parseRequest(list, id, received);
    this.#controlBudget.earn(REQUEST_PAYS);
    const stream = new Http2Stream(id, this, this.#streamWindow, received);
    this.#streams.set(id, stream);
    if (request !== undefined) return stream.begin(request, this.options.handle);
    stream.refuse(new Http1Error(431, "The head is over the limits."));
  }

  /** The client doesn't want a stream any more. */
  #onReset(): void {
    const { stream: id } = this.#reader;
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#checkOpened(id);
      return this.#countControl();
    }
    this.forget(stream);
    if (this.#resetBudget.take(this.options.clock.now)) return;
    throw refused(h2.ENHANCE_YOUR_CALM, "too many streams are reset");
  }

  #onWindowUpdate(): void {
    const { stream: id, bytes, start } = this.#reader;
    const increment = h2.readUint31(bytes, start);
    const stream = this.#streams.get(id);
    if (id !== 0 && stream === undefined) return this.#checkOpened(id);
    if (increment === 0) throw new h2.Http2Error(id, h2.PROTOCOL_ERROR, "a window that opens by 0");
    if (stream !== undefined) return stream.openWindow(increment);
    this.#sendWindow += increment;
    if (this.#sendWindow > h2.MAX_31_BITS) {
      throw refused(h2.FLOW_CONTROL_ERROR, "a window over 2^31-1 bytes");
    }
    this.#sendQueued();
  }

  #onSettings(): void {
    const { flags, bytes, start, end } = this.#reader;
    if ((flags & h2.ACK) !== 0) {
      if (start !== end) throw refused(h2.FRAME_SIZE_ERROR, "an acknowledgement with settings");
      this.#agreed = true;
      return;
    }
    const settings = h2.parseSettings(bytes, start, end);
    let streamWindow = this.#streamWindow, noPriorities = this.#noPriorities;
    for (let i = 0; i < settings.length; i += 2) {
      const id = settings[i], value = settings[i + 1];
      if (id === h2.HEADER_TABLE_SIZE) this.output.encoder.setMaxTableSize(value);
      else if (id === h2.INITIAL_WINDOW_SIZE) streamWindow = value;
      else if (id === h2.NO_RFC7540_PRIORITIES) noPriorities = value;
    }
    if (this.#greeted && noPriorities !== this.#noPriorities) { // RFC 9218 section 2.1
      throw refused(h2.PROTOCOL_ERROR, `the setting ${h2.NO_RFC7540_PRIORITIES} is changed`);
    }
    this.#greeted = true;
    this.#noPriorities = noPriorities;
    this.output.frame(h2.SETTINGS, h2.ACK, 0);
    const change = streamWindow - this.#streamWindow;
    this.#streamWindow = streamWindow;
    if (change === 0) return;
    for (const stream of this.#streams.values()) stream.openWindow(change, 0);
  }

  #onPing(): void {
    const { flags, bytes, start } = this.#reader;
    if ((flags & h2.ACK) === 0) {
      const [high, low] = [bytes.readUInt32BE(start), bytes.readUInt32BE(start + 4)];
      this.output.frame(h2.PING, h2.ACK, 0, high, low);
    } else if (this.#drainSince !== 0) this.#finishDraining();
  }

  /** RFC 7540's priorities aren't used, but a stream still can't depend on itself. */
  #onPriority(): void {
    const { stream, bytes, start } = this.#reader;
    if (h2.readUint31(bytes, start) === stream) {
      throw new h2.Http2Error(stream, h2.PROTOCOL_ERROR, "it depends on itself");
    }
  }

  /** RFC 9218 section 7.1; of streams that aren't open yet nothing is kept. We open none. */
  #onPriorityUpdate(): void {
    const { bytes, start, end } = this.#reader;
    const id = h2.readUint31(bytes, start);
    if (id % 2 === 0) throw refused(h2.PROTOCOL_ERROR, `PRIORITY_UPDATE for stream ${id}`);
    const stream = this.#streams.get(id);
    if (stream !== undefined) {
      stream.priority = parsePriority(bytes.toString("latin1", start + 4, end));
    }
  }

  get room(): number {
    return this.output.hasRoom ? this.#sendWindow : 0;
  }

  sent(bytes: number): void {
    this.#sendWindow -= bytes;
    this.#paidUpdates += bytes / BYTES_PAY;
  }

  schedule(stream: Http2Stream): void {
    if (this.#queue.length === 0 || stream.isEmpty) {
      while (stream.sendable && (stream.isEmpty || this.room > 0)) stream.sendFrame();
    }
    if (stream.sendable && !this.#queue.includes(stream)) this.#queue.push(stream);
  }

  /**
   * Lets streams send that had to wait: the most urgent first, and of equally urgent ones one after
   * another; those that are of use in parts take turns, a frame each (RFC 9218 section 10).
   */
  #sendQueued(): void {
    while (this.#queue.length > 0 && this.room > 0) {
      const stream = this.#queue.reduce((first, each) =>
        each.priority.urgency < first.priority.urgency ? each : first
      );
      stream.sendFrame();
      if (!stream.sendable || stream.priority.incremental) this.#unqueue(stream);
      if (stream.sendable && stream.priority.incremental) this.#queue.push(stream);
      stream.tellDrained();
    }
  }

  #unqueue(stream: Http2Stream): void {
    const at = this.#queue.indexOf(stream);
    if (at >= 0) this.#queue.splice(at, 1);
  }

  reset(stream: Http2Stream, code: number): void {
    this.#sendReset(stream.id, code);
    this.forget(stream);
  }

  #sendReset(id: number, code: number): void {
    this.output.frame(h2.RST_STREAM, 0, id, code);
    this.#resets.add(id);
    const [oldest] = this.#resets;
    if (this.#resets.size > REMEMBERED_RESETS) this.#resets.delete(oldest);
  }

  forget(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    this.#unqueue(stream);
    stream.close();
    if (this.#streams.size > 0) return;
    this.#idleSince = this.options.clock.now;
    if (this.#finalStream !== Infinity) this.#close();
  }

  /** Says why, ends our side, and reads on until the client ends: a reset could destroy that. */
  #close(code: number = h2.NO_ERROR, message: string = ""): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#forgetAll();
    if (this.#finalStream === Infinity || code !== h2.NO_ERROR) {
      // Never a higher one than before (6.8).
      this.output.goaway(Math.min(this.#lastStream, this.#finalStream), code, message);
    }
    this.output.write();
    // Who did nothing wrong may take its time with what was sent before.
    this.#expireIn(code === h2.NO_ERROR ? this.options.timeouts.stall : LINGER);
    this.#socket.end(() => this.#expireIn(LINGER));
    this.#socket.resume();
  }

  #forgetAll(): void {
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
    this.#queue.length = 0;
  }

  #onDrain(): void {
    this.#blockedSince = 0;
    this.output.flush();
    this.#sendQueued();
    if (!this.#socket.isPaused() || this.#closing) return;
    this.#read();
    if (!this.#isFull) this.#socket.resume();
  }

  /** The client sends no more, not even windows: that is how a client leaves. */
  #onEnd(): void {
    if (this.#streams.size > 0) this.#socket.destroy();
    else this.#close();
  }

  #onClose(): void {
    this.#closing = true;
    this.options.clock.delete(this);
    this.#forgetAll();
    this.options.onClose(this);
  }

  #expireIn(milliseconds: number): void {
    this.deadline = this.options.clock.now + milliseconds;
  }

  onDeadline(): void {
    if (this.#closing) return void this.#socket.destroy();
    const { now } = this.options.clock;
    this.#checkTime(now);
    if (this.#closing) return;
    for (const stream of this.#streams.values()) stream.checkTime(now);
    const { idle } = this.options.timeouts;
    const busy = this.#streams.size > 0 || !this.#agreed || this.#partialSince > 0 ||
      this.#blockedSince > 0 || this.#drainSince > 0;
    if (!this.#closing) this.deadline = busy ? now : this.#idleSince + idle;
  }

  /** What concerns the connection as a whole. */
  #checkTime(now: number): void {
    const { head, idle, stall } = this.options.timeouts;
    if (this.#reader.waiting) this.#partialSince ||= now;
    else this.#partialSince = 0;
    if (this.#socket.writableNeedDrain) this.#blockedSince ||= now;
    if (!this.#greeted) {
      if (now - this.#opened >= head) this.#close();
    } else if (this.#blockedSince > 0 && now - this.#blockedSince >= stall && !this.#hasTunnel) {
      this.#socket.destroy();
    } else if (this.#partialSince > 0 && now - this.#partialSince >= head) {
      this.#fail(refused(h2.ENHANCE_YOUR_CALM, "a frame or a head didn't arrive in time"));
    } else if (!this.#agreed && now - this.#opened >= stall) {
      this.#fail(refused(h2.SETTINGS_TIMEOUT, "our SETTINGS weren't acknowledged in time"));
    } else if (this.#drainSince > 0 && now - this.#drainSince >= DRAIN_NOTICE) {
      this.#finishDraining();
    } else if (this.#streams.size === 0 && now - this.#idleSince >= idle) this.#close();
  }

  /** A tunnel may stand still for ever. */
  get #hasTunnel(): boolean {
    for (const stream of this.#streams.values()) if (stream.tunnel) return true;
    return false;
  }
}

const refused = (code: number, message: string): h2.Http2Error =>
  new h2.Http2Error(0, code, message);
