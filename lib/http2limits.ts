/**
 * What one HTTP/2 client may do to its connection. Each limit has its reason; whoever goes over one
 * gets GOAWAY with ENHANCE_YOUR_CALM, unless it says otherwise. Pure; needs nothing.
 */

/**
 * Streams open at once; more are refused. RFC 9113 section 6.5.2 recommends no fewer, and each may
 * hold a connection to an upstream, a window of its body and one read of its answer.
 */
export const STREAM_LIMIT = 100;

/**
 * The connection's window, in bytes. It opens again as DATA comes, whoever takes that: so a slow
 * upstream stops its own stream only, and what is held is limited by the streams' windows.
 */
export const CONNECTION_WINDOW = 1024 * 1024;

/** Bytes by which the windows of all streams together may grow: some fast uploads, not all. */
export const SPARE_WINDOW = 1024 * 1024;

/** Blocks over the limit on heads are decoded, to answer 431, up to so many times of it. */
export const BLOCK_FACTOR = 2;

/** Bytes that wait for a client that doesn't read; with more, nothing of it is read either. */
export const OUTPUT_LIMIT = 256 * 1024;

/** Streams reset before which others are remembered, to ignore what was on its way to them. */
export const REMEMBERED_RESETS = 256;

/** How a number of events is limited: so many at once, and so many a second in the long run. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * Streams that end before their answer does, whoever ends them: a request costs the client two
 * frames, and an upstream more (CVE-2023-44487, CVE-2025-8671). A page that is left in the middle
 * ends all of its streams, perhaps twice.
 */
export const RESETS: Rate = { burst: 2 * STREAM_LIMIT, perSecond: 20 };

/**
 * Frames that neither ask for anything nor bring it: SETTINGS, PING, PRIORITY, WINDOW_UPDATE,
 * empty DATA, unknown types. What is useful pays for some: see REQUEST_PAYS and BYTES_PAY.
 */
export const CONTROL_FRAMES: Rate = { burst: 1000, perSecond: 100 };
/** Frames that a request may bring along: priorities and windows. */
export const REQUEST_PAYS = 8;
/**
 * Bytes sent for which a client may open windows once, then or later: the most diligent do it for
 * each packet, and some, of 4 MiB a stream, read all that they let come before the first of it.
 */
export const BYTES_PAY = 512;

/** Counts down to a limit, and up again with time. */
export class Budget {
  readonly #rate: Rate;
  #left: number;
  #at: number;

  /** `now` is in milliseconds, here and below. */
  constructor(rate: Rate, now: number) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#at = now;
  }

  /** Whether there was one left. */
  take(now: number): boolean {
    this.earn((now - this.#at) / 1000 * this.#rate.perSecond);
    this.#at = now;
    return --this.#left >= 0;
  }

  earn(count: number): void {
    this.#left = Math.min(this.#rate.burst, this.#left + count);
  }
}
