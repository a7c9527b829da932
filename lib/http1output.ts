/**
 * What an HTTP/1.1 connection sends, of either side: heads, framing and bodies are gathered, and
 * leave in one write. A connection that sends nothing keeps no buffer.
 *
 * Needs `bufferpool.ts`, `runtime.ts`.
 */
import type { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { type BufferPool, type PooledBuffer, unpooled } from "./bufferpool.ts";
import { writePast } from "./runtime.ts";

/** Bytes up to which a buffer is changed for a larger one, rather than sent: the largest pooled. */
const GROWN_LIMIT = 80 * 1024;

export class Http1Output {
  readonly #socket: Duplex;
  readonly #buffers: BufferPool | undefined;
  /** Comes after what is in the buffer. */
  #text = "";
  #buffer: PooledBuffer | undefined;
  #length = 0;
  /** Writes that aren't through. */
  #writes = 0;
  #onWritten: (() => void) | undefined;

  constructor(socket: Duplex, buffers: BufferPool | undefined) {
    this.#socket = socket;
    this.#buffers = buffers;
  }

  /** The socket has enough: wait for its `drain`. */
  get full(): boolean {
    return this.#socket.writableNeedDrain;
  }

  /** Adds latin1 text. */
  text(text: string): void {
    this.#text += text;
  }

  /** Adds a copy of `chunk`; what no longer fits into one buffer with it is sent before. */
  bytes(chunk: Buffer): void {
    const size = this.#text.length + chunk.length;
    const { bytes } = this.#reserve(size);
    if (this.#text !== "") bytes.write(this.#text, this.#length, "latin1");
    bytes.set(chunk, this.#length + this.#text.length);
    this.#length += size;
    this.#text = "";
  }

  /** A buffer with room for `size` bytes behind those that are gathered. */
  #reserve(size: number): PooledBuffer {
    const before = this.#buffer, length = this.#length, total = length + size;
    if (before !== undefined && total <= before.bytes.length) return before;
    const grows = before !== undefined && total <= GROWN_LIMIT;
    if (!grows) this.#send();
    const next = this.#buffers?.take(grows ? total : size) ?? unpooled(grows ? total : size);
    if (grows) {
      next.bytes.set(before.bytes.subarray(0, length));
      before.release();
    }
    return this.#buffer = next;
  }

  /** Sends what was gathered; false if the socket has enough now. */
  flush(): boolean {
    const room = (this.#buffer?.bytes.length ?? 0) - this.#length;
    if (this.#text.length > 0 && this.#text.length <= room) {
      this.#length += this.#buffer?.bytes.write(this.#text, this.#length, "latin1") ?? 0;
      this.#text = "";
    }
    this.#send();
    if (this.#text !== "") this.#write(this.#text);
    this.#text = "";
    return !this.full;
  }

  #send(): void {
    if (this.#buffer === undefined) return;
    const { bytes, release } = this.#buffer;
    this.#write(bytes.subarray(0, this.#length), release);
    this.#buffer = undefined;
    this.#length = 0;
  }

  #write(chunk: Buffer | string, release?: () => void): void {
    this.#writes++;
    writePast(this.#socket, chunk, () => {
      release?.();
      if (--this.#writes === 0) this.#onWritten?.();
    });
  }

  /** Calls `then` when what was sent is through: before that the socket mustn't be ended. */
  whenWritten(then: () => void): void {
    if (this.#writes === 0) then();
    else this.#onWritten = then;
  }

  /** Forgets what was gathered. */
  clear(): void {
    this.#text = "";
    this.#buffer = undefined;
    this.#length = 0;
  }
}
