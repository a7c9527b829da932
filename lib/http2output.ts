/**
 * What leaves a HTTP/2 connection: frames of all its streams are gathered in one buffer, and go to
 * the socket in one write a turn of the event loop.
 *
 * Needs `http2.ts`, `hpack.ts`, `bufferpool.ts`.
 */
import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { BufferPool, PooledBuffer } from "./bufferpool.ts";
import { encodedLimit, HpackEncoder } from "./hpack.ts";
import type { FieldLines } from "./http1.ts";
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  FRAME_HEAD,
  FRAME_LIMIT,
  GOAWAY,
  HEADERS,
  writeFrameHead,
  writeUint32,
} from "./http2.ts";

/** Bytes that are gathered before DATA has to wait; what is larger is written at once. */
const GATHER_LIMIT = 64 * 1024;
/** The largest buffer that the pool keeps. */
const BUFFER_LIMIT = 80 * 1024;

export class FrameOutput {
  readonly encoder: HpackEncoder = new HpackEncoder();
  readonly #socket: Socket;
  readonly #buffers: BufferPool;
  #buffer: PooledBuffer | undefined;
  #length = 0;
  #scheduled = false;

  constructor(socket: Socket, buffers: BufferPool) {
    this.#socket = socket;
    this.#buffers = buffers;
  }

  /** Bytes that wait, here and in the socket. */
  get waiting(): number {
    return this.#length + this.#socket.writableLength;
  }

  /** Whether DATA may be gathered. */
  get hasRoom(): boolean {
    if (this.#length < GATHER_LIMIT) return true;
    if (this.#socket.writableNeedDrain) return false;
    this.flush();
    return true;
  }

  /** A DATA frame; its payload of `length` bytes is for the caller to write where this says. */
  data(stream: number, length: number, flags: number): { to: Buffer; at: number } {
    const to = this.#reserve(FRAME_HEAD + length);
    const at = writeFrameHead(to, this.#length, length, DATA, flags, stream);
    this.#length += FRAME_HEAD + length;
    return { to, at };
  }

  /** HEADERS of `first` and `fields`, with as many CONTINUATION frames as it takes. */
  headers(stream: number, first: FieldLines, fields: FieldLines, flags: number): void {
    const to = this.#reserve(FRAME_HEAD + encodedLimit(first) + encodedLimit(fields));
    const start = this.#length + FRAME_HEAD;
    const end = this.encoder.encode(fields, to, this.encoder.encode(first, to, start));
    const length = end - start;
    if (length > FRAME_LIMIT) return this.#split(to.subarray(start, end), stream, flags);
    writeFrameHead(to, this.#length, length, HEADERS, flags | END_HEADERS, stream);
    this.#length += FRAME_HEAD + length;
  }

  /** Writes a block in several frames, beginning where it is now. */
  #split(block: Buffer, stream: number, flags: number): void {
    const frames = Math.ceil(block.length / FRAME_LIMIT);
    const copy = Uint8Array.from(block);
    for (let i = 0; i < frames; i++) {
      const part = copy.subarray(i * FRAME_LIMIT, (i + 1) * FRAME_LIMIT);
      const last = i === frames - 1 ? END_HEADERS : 0;
      const [type, own] = i === 0 ? [HEADERS, flags] : [CONTINUATION, 0];
      const to = this.#reserve(FRAME_HEAD + part.length);
      to.set(part, writeFrameHead(to, this.#length, part.length, type, own | last, stream));
      this.#length += FRAME_HEAD + part.length;
    }
  }

  /** A frame whose payload is numbers of 32 bits. */
  frame(type: number, flags: number, stream: number, ...payload: readonly number[]): void {
    const length = 4 * payload.length;
    const to = this.#reserve(FRAME_HEAD + length);
    let at = writeFrameHead(to, this.#length, length, type, flags, stream);
    for (const number of payload) at = writeUint32(to, at, number);
    this.#length = at;
  }

  /** `text` says why, in ASCII, to whoever looks at the other end. */
  goaway(lastStream: number, code: number, text: string): void {
    const length = 8 + text.length;
    const to = this.#reserve(FRAME_HEAD + length);
    let at = writeFrameHead(to, this.#length, length, GOAWAY, 0, 0);
    at = writeUint32(to, writeUint32(to, at, lastStream), code);
    this.#length = at + to.write(text, at, "latin1");
  }

  raw(frames: Buffer): void {
    this.#reserve(frames.length).set(frames, this.#length);
    this.#length += frames.length;
  }

  /** Writes what was gathered; a socket that is full gets it when it has drained. */
  flush(): void {
    if (!this.#socket.writableNeedDrain) this.write();
  }

  /** Writes what was gathered, however full the socket is. */
  write(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    this.#buffer = undefined;
    const bytes = buffer.bytes.subarray(0, this.#length);
    this.#length = 0;
    this.#socket.write(bytes, buffer.release);
  }

  /** A buffer with room for `size` bytes behind those that are gathered. */
  #reserve(size: number): Buffer {
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#onTurn);
    }
    const before = this.#buffer, length = this.#length;
    if (before === undefined) return (this.#buffer = this.#buffers.take(size)).bytes;
    if (length + size <= before.bytes.length) return before.bytes;
    if (length + size > BUFFER_LIMIT) {
      this.write();
      return (this.#buffer = this.#buffers.take(size)).bytes;
    }
    const larger = this.#buffer = this.#buffers.take(length + size);
    larger.bytes.set(before.bytes.subarray(0, length));
    before.release();
    return larger.bytes;
  }

  readonly #onTurn = (): void => {
    this.#scheduled = false;
    this.flush();
  };
}
