/**
 * The server side of one HTTP/2 connection (RFC 9113; section numbers are its): reads frames, gives
 * each stream its own, lets streams send in turn, and ends with whoever misbehaves.
 *
 * Needs `http2.ts`, `http2head.ts`, `http2output.ts`, `http2limits.ts`, `http2stream.ts`,
 * `hpack.ts`, `clock.ts`.
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Expiring } from "./clock.ts";
import type { Client } from "./exchange.ts";
import { HpackDecoder, HpackError } from "./hpack.ts";
import { Http1Error } from "./http1.ts";
import type { ServerOptions } from "./http1server.ts";
import {
  ACK,
  COMPRESSION_ERROR,
  CONTINUATION,
  DATA,
  DEFAULT_WINDOW,
  ENABLE_CONNECT_PROTOCOL,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  formatSettings,
  FRAME_LIMIT,
  FRAME_SIZE_ERROR,
  FrameReader,
  GOAWAY,
  HEADER_TABLE_SIZE,
  HEADERS,
  Http2Error,
  INITIAL_WINDOW_SIZE,
  INTERNAL_ERROR,
  MAX_31_BITS,
  MAX_CONCURRENT_STREAMS,
  MAX_HEADER_LIST_SIZE,
  NO_ERROR,
  NO_RFC7540_PRIORITIES,
  parseSettings,
  PING,
  PRIORITY,
  PRIORITY_UPDATE,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  readUint31,
  REFUSED_STREAM,
  RST_STREAM,
  SETTINGS,
  SETTINGS_TIMEOUT,
  STREAM_CLOSED,
  WINDOW_UPDATE,
} from "./http2.ts";
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
  SPARE_CONTINUATIONS,
  SPARE_WINDOW,
  STREAM_LIMIT,
} from "./http2limits.ts";
import { FrameOutput } from "./http2output.ts";
import { Http2Stream, type StreamOwner } from "./http2stream.ts";

/** How long a closing connection waits for the client to read and close, in milliseconds. */
const LINGER = 5_000;
/** How long a client may take to see that no more streams are wanted, in milliseconds. */
const DRAIN_NOTICE = 1_000;

/** A block of fields that comes in several frames (4.3). */
interface Block {
  readonly stream: number;
  readonly flags: number;
  readonly selfDependent: boolean;
  readonly parts: Buffer[];
  bytes: number;
}

export class Http2Connection implements StreamOwner, Expiring {
  readonly client: Client;
  readonly options: ServerOptions;
  readonly output: FrameOutput;
  deadline: number;
  spareWindow: number = SPARE_WINDOW;
  readonly #socket: Socket;
  readonly #reader: FrameReader = new FrameReader();
  readonly #decoder: HpackDecoder;
  readonly #streams = new Map<number, Http2Stream>();
  /** Streams that the connection keeps from sending; in the order of their turns. */
  readonly #queue: Http2Stream[] = [];
  /** The highest that the client has opened; whether it left out any; those that we reset. */
  #lastStream = 0;
  #hasSkipped = false;
  readonly #resets = new Set<number>();
  #block: Block | undefined;
  /** The client's SETTINGS have come; ours were acknowledged. */
  #greeted = false;
  #agreed = false;
  #sendWindow: number = DEFAULT_WINDOW;
  #streamWindow: number = DEFAULT_WINDOW;
  #receiveWindow: number = CONNECTION_WINDOW;
  #resetBudget: Budget;
  #controlBudget: Budget;
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
    this.#decoder = new HpackDecoder({ maxListSize: limits.bytes, maxFields: limits.fields });
    this.#resetBudget = new Budget(RESETS, clock.now);
    this.#controlBudget = new Budget(CONTROL_FRAMES, clock.now);
    this.#opened = this.#idleSince = this.deadline = clock.now;
    clock.add(this);
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("end", () => this.#onEnd());
    socket.on("drain", () => this.#onDrain());
    socket.on("error", (error) => options.onClientError(client, error));
    socket.on("close", () => this.#onClose());
    this.output.raw(formatSettings([
      ...[MAX_CONCURRENT_STREAMS, STREAM_LIMIT, MAX_HEADER_LIST_SIZE, limits.bytes],
      ...[ENABLE_CONNECT_PROTOCOL, 1, NO_RFC7540_PRIORITIES, 1],
    ]));
    this.output.frame(WINDOW_UPDATE, 0, 0, CONNECTION_WINDOW - DEFAULT_WINDOW);
  }

  /** Lets streams end, and those that the client is just about to open (6.8). */
  drain(): void {
    if (this.#draining || this.#closing) return;
    this.#draining = true;
    this.#drainSince = this.deadline = this.options.clock.now;
    this.output.goaway(MAX_31_BITS, NO_ERROR, "");
    this.output.frame(PING, 0, 0, 0, 0); // when it comes back, the client has seen it
  }

  #finishDraining(): void {
    this.#draining = true;
    this.#drainSince = 0;
    this.#finalStream = this.#lastStream;
    this.output.goaway(this.#finalStream, NO_ERROR, "");
    if (this.#streams.size === 0) this.#close();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    if (this.#closing) return;
    this.#reader.push(chunk);
    while (this.#readFrames());
    this.#streams.get(this.#reader.arriving)?.touch();
    this.deadline = this.options.clock.now; // the next sweep looks at what waits
    if (this.output.waiting > OUTPUT_LIMIT && !this.#closing) this.#socket.pause();
  }

  /** Handles frames until there are no more; true if an error of one stream came between. */
  #readFrames(): boolean {
    try {
      while (!this.#closing && this.#reader.next()) this.#onFrame();
      return false;
    } catch (error) {
      return this.#recover(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Ends what an error is about: true if that was a stream, and the connection goes on (5.4). */
  #recover(error: Error): boolean {
    const id = error instanceof Http2Error ? error.stream : 0;
    // What may be reset are streams that the client has opened.
    if (id === 0 || id > this.#lastStream || !this.#resetBudget.take(this.options.clock.now)) {
      this.#fail(error);
      return false;
    }
    this.options.onClientError(this.client, error);
    const stream = this.#streams.get(id);
    const code = (error as Http2Error).code;
    if (stream !== undefined) this.reset(stream, code);
    else this.#sendReset(id, code);
    return true;
  }

  #fail(cause: Error): void {
    const undecodable = cause instanceof HpackError;
    const error = undecodable ? refused(COMPRESSION_ERROR, cause.message) : cause;
    this.options.onClientError(this.client, error);
    if (!(error instanceof Http2Error)) return this.#close(INTERNAL_ERROR, "internal error");
    const isReset = error.stream !== 0 && error.stream <= this.#lastStream;
    this.#close(isReset ? ENHANCE_YOUR_CALM : error.code, error.message);
  }

  #onFrame(): void {
    const { type, flags } = this.#reader;
    if (this.#block !== undefined && type !== CONTINUATION) {
      throw refused(PROTOCOL_ERROR, "a frame between HEADERS and their CONTINUATION");
    }
    if (!this.#greeted && (type !== SETTINGS || (flags & ACK) !== 0)) {
      throw refused(PROTOCOL_ERROR, "the first frame isn't SETTINGS");
    }
    if (this.#block === undefined) this.#partialSince = 0;
    switch (type) {
      case DATA:
        return this.#onDataFrame();
      case HEADERS:
        return this.#onHeaders();
      case CONTINUATION:
        return this.#onContinuation();
      case RST_STREAM:
        return this.#onReset();
      case WINDOW_UPDATE:
        return this.#onWindowUpdate();
      case PUSH_PROMISE:
        throw refused(PROTOCOL_ERROR, "PUSH_PROMISE from a client");
    }
    this.#countControl();
    switch (type) {
      case SETTINGS:
        return this.#onSettings();
      case PING:
        return this.#onPing();
      case PRIORITY:
        return this.#onPriority();
      case PRIORITY_UPDATE:
        return this.#onPriorityUpdate();
      case GOAWAY:
        if (this.#finalStream === Infinity) this.#finishDraining();
    }
  }

  #countControl(): void {
    if (this.#controlBudget.take(this.options.clock.now)) return;
    throw refused(ENHANCE_YOUR_CALM, "too many frames that bring nothing");
  }

  /** A stream that isn't open: undefined if frames may still be on their way to it (5.1). */
  #checkClosed(id: number): undefined {
    if (id > this.#lastStream || id % 2 === 0) {
      throw refused(PROTOCOL_ERROR, `a frame on stream ${id}, which is idle`);
    }
    if (this.#resets.has(id)) return;
    throw refused(STREAM_CLOSED, `a frame on stream ${id}, which is closed`);
  }

  #onDataFrame(): void {
    const reader = this.#reader, { stream, flags } = reader;
    const size = reader.end - reader.start;
    reader.unpad();
    this.#receive(size);
    const to = this.#streams.get(stream) ?? this.#checkClosed(stream);
    const received = (flags & END_STREAM) !== 0;
    const length = reader.end - reader.start;
    if (length === 0 && !received) this.#countControl();
    to?.onData(reader.payload(), size - length, received);
  }

  /** What comes is taken at once, for the connection: see CONNECTION_WINDOW. */
  #receive(bytes: number): void {
    this.#receiveWindow -= bytes;
    if (this.#receiveWindow < 0) throw refused(FLOW_CONTROL_ERROR, "more DATA than allowed");
    if (this.#receiveWindow > CONNECTION_WINDOW / 2) return;
    this.output.frame(WINDOW_UPDATE, 0, 0, CONNECTION_WINDOW - this.#receiveWindow);
    this.#receiveWindow = CONNECTION_WINDOW;
  }

  #onHeaders(): void {
    const reader = this.#reader, { stream, flags } = reader;
    reader.unpad();
    const selfDependent = reader.takePriority() === stream;
    if (stream % 2 === 0) throw refused(PROTOCOL_ERROR, "a client's stream has an odd number");
    if ((flags & END_HEADERS) !== 0) {
      return this.#onBlock(stream, flags, selfDependent, reader.payload());
    }
    this.#block = { stream, flags, selfDependent, parts: [], bytes: 0 };
    this.#gather(this.#block);
  }

  #onContinuation(): void {
    const reader = this.#reader, block = this.#block;
    if (block === undefined || block.stream !== reader.stream) {
      throw refused(PROTOCOL_ERROR, "CONTINUATION of nothing");
    }
    this.#gather(block);
    if ((reader.flags & END_HEADERS) === 0) return;
    this.#block = undefined;
    const { stream, flags, selfDependent, parts } = block;
    this.#onBlock(stream, flags, selfDependent, Buffer.concat(parts));
  }

  #gather(block: Block): void {
    const payload = this.#reader.payload();
    const limit = BLOCK_FACTOR * this.options.limits.bytes;
    block.bytes += payload.length;
    block.parts.push(Buffer.from(payload));
    const frames = Math.ceil(limit / FRAME_LIMIT) + SPARE_CONTINUATIONS;
    if (block.bytes <= limit && block.parts.length <= frames) return;
    throw refused(ENHANCE_YOUR_CALM, `a head of over ${limit} bytes, or in over ${frames} frames`);
  }

  /** A whole block; it is decoded whatever becomes of it, for the next one builds on it (4.3). */
  #onBlock(id: number, flags: number, selfDependent: boolean, block: Buffer): void {
    const list = this.#decoder.decode(block);
    const received = (flags & END_STREAM) !== 0;
    const known = this.#streams.get(id);
    if (known !== undefined) return known.onTrailers(list, received);
    if (id <= this.#lastStream) {
      if (this.#hasSkipped && !this.#resets.has(id)) {
        throw refused(PROTOCOL_ERROR, `stream ${id} after ${this.#lastStream}`);
      }
      return this.#checkClosed(id);
    }
    if (id > this.#lastStream + 2) this.#hasSkipped = true;
    this.#lastStream = id;
    if (id > this.#finalStream) return this.#sendReset(id, REFUSED_STREAM);
    if (this.#streams.size >= STREAM_LIMIT) {
      throw new Http2Error(id, REFUSED_STREAM, `more than ${STREAM_LIMIT} streams at once`);
    }
    if (selfDependent) throw new Http2Error(id, PROTOCOL_ERROR, "it depends on itself");
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
      if (id > this.#lastStream || id % 2 === 0) this.#checkClosed(id);
      return this.#countControl();
    }
    this.forget(stream);
    if (this.#resetBudget.take(this.options.clock.now)) return;
    throw refused(ENHANCE_YOUR_CALM, "too many streams are reset");
  }

  #onWindowUpdate(): void {
    const { stream: id, bytes, start } = this.#reader;
    this.#countControl();
    const increment = readUint31(bytes, start);
    const stream = this.#streams.get(id);
    if (id !== 0 && stream === undefined) {
      if (id > this.#lastStream || id % 2 === 0) this.#checkClosed(id);
      return;
    }
    if (increment === 0) throw new Http2Error(id, PROTOCOL_ERROR, "a window that opens by 0");
    if (stream !== undefined) return stream.openWindow(increment);
    this.#sendWindow += increment;
    if (this.#sendWindow > MAX_31_BITS) {
      throw refused(FLOW_CONTROL_ERROR, "a window over 2^31-1 bytes");
    }
    this.#sendQueued();
  }

  #onSettings(): void {
    const { flags, bytes, start, end } = this.#reader;
    if ((flags & ACK) !== 0) {
      if (start !== end) throw refused(FRAME_SIZE_ERROR, "an acknowledgement with settings");
      this.#agreed = true;
      return;
    }
    this.#greeted = true;
    const settings = parseSettings(bytes, start, end);
    let streamWindow = this.#streamWindow;
    for (let i = 0; i < settings.length; i += 2) {
      const id = settings[i], value = settings[i + 1];
      if (id === HEADER_TABLE_SIZE) this.output.encoder.setMaxTableSize(value);
      else if (id === INITIAL_WINDOW_SIZE) streamWindow = value;
    }
    this.output.frame(SETTINGS, ACK, 0);
    const change = streamWindow - this.#streamWindow;
    this.#streamWindow = streamWindow;
    if (change === 0) return;
    for (const stream of this.#streams.values()) stream.openWindow(change, 0);
  }

  #onPing(): void {
    const { flags, bytes, start } = this.#reader;
    if ((flags & ACK) === 0) {
      this.output.frame(PING, ACK, 0, bytes.readUInt32BE(start), bytes.readUInt32BE(start + 4));
    } else if (this.#drainSince !== 0) this.#finishDraining();
  }

  /** RFC 7540's priorities aren't used, but a stream still can't depend on itself. */
  #onPriority(): void {
    const { stream, bytes, start } = this.#reader;
    if (readUint31(bytes, start) === stream) {
      throw new Http2Error(stream, PROTOCOL_ERROR, "it depends on itself");
    }
  }

  /** RFC 9218 section 7.1; of streams that aren't open yet nothing is kept. */
  #onPriorityUpdate(): void {
    const { bytes, start, end } = this.#reader;
    const id = readUint31(bytes, start);
    if (id === 0) throw refused(PROTOCOL_ERROR, "PRIORITY_UPDATE for stream 0");
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
    this.#controlBudget.earn(bytes / BYTES_PAY);
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
    this.output.frame(RST_STREAM, 0, id, code);
    this.#resets.add(id);
    if (this.#resets.size <= REMEMBERED_RESETS) return;
    for (const oldest of this.#resets) {
      this.#resets.delete(oldest);
      break;
    }
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
  #close(code: number = NO_ERROR, message: string = ""): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#forgetAll();
    if (this.#finalStream === Infinity || code !== NO_ERROR) {
      this.output.goaway(this.#lastStream, code, message);
    }
    this.output.write();
    // Who did nothing wrong may take its time with what was sent before.
    this.#expireIn(code === NO_ERROR ? this.options.timeouts.stall : LINGER);
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
    if (this.#socket.isPaused() && this.output.waiting <= OUTPUT_LIMIT) this.#socket.resume();
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
    if (this.#reader.waiting || this.#block !== undefined) this.#partialSince ||= now;
    else this.#partialSince = 0;
    if (this.#socket.writableNeedDrain) this.#blockedSince ||= now;
    if (!this.#greeted) {
      if (now - this.#opened >= head) this.#close();
    } else if (this.#blockedSince > 0 && now - this.#blockedSince >= stall && !this.#hasTunnel) {
      this.#socket.destroy();
    } else if (this.#partialSince > 0 && now - this.#partialSince >= head) {
      this.#fail(refused(ENHANCE_YOUR_CALM, "a frame or a head didn't arrive in time"));
    } else if (!this.#agreed && now - this.#opened >= stall) {
      this.#fail(refused(SETTINGS_TIMEOUT, "our SETTINGS weren't acknowledged in time"));
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

const refused = (code: number, message: string): Http2Error => new Http2Error(0, code, message);
