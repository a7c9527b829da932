/**
 * Buffers for what is written: a new 10 KiB buffer costs more than filling it does, in page faults
 * and garbage collection. One is free again when the stream that it was written to says that the
 * write is done. Base; needs nothing.
 */
import { Buffer } from "node:buffer";

/** Sizes in bytes: most answers with their heads, and a whole read with the largest usual head. */
const SIZES = [16 * 1024, 80 * 1024];
/** Free buffers that are kept, of each size. */
const KEPT = 64;

export interface PooledBuffer {
  readonly bytes: Buffer;
  /** To be given to the write as its callback; nobody may touch the bytes after it. */
  readonly release: () => void;
}

export class BufferPool {
  /**
   * For many sockets to read into: a read and its callback happen in one go, and whoever keeps
   * bytes beyond the callback copies them.
   */
  readonly input: Buffer = Buffer.allocUnsafeSlow(64 * 1024);
  readonly #free: PooledBuffer[][] = SIZES.map(() => []);

  /** A buffer of at least `size` bytes, with whatever it had in it. */
  take(size: number): PooledBuffer {
    const at = SIZES.findIndex((each) => each >= size);
    if (at < 0) return unpooled(size);
    const free = this.#free[at];
    return free.pop() ?? this.#make(SIZES[at], free);
  }

  #make(size: number, free: PooledBuffer[]): PooledBuffer {
    const release = () => void (free.length < KEPT && free.push(buffer));
    const buffer = { bytes: Buffer.allocUnsafeSlow(size), release };
    return buffer;
  }
}

/** One that is used once. */
export function unpooled(size: number): PooledBuffer {
  return { bytes: Buffer.allocUnsafeSlow(size), release: () => {} };
}
