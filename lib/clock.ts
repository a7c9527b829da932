/**
 * One coarse clock for timeouts and dates. A timer a connection would cost more than the
 * connection does: here setting a deadline is one assignment, and a sweep four times a second
 * finds those that have passed. Base; needs nothing.
 */

export interface Expiring {
  /** When to call onDeadline, on the clock of `Clock#now`; 0 for never. */
  deadline: number;
  onDeadline(): void;
}

/** How far the clock may lag, in milliseconds. */
const RESOLUTION = 250;

export class Clock {
  /** Milliseconds on a monotonic clock, as of the last sweep. */
  now: number = performance.now();
  /** For a Date field (RFC 9110 section 5.6.7). */
  date: string = new Date().toUTCString();
  readonly #items = new Set<Expiring>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor() {
    this.#timer = setInterval(() => this.#sweep(), RESOLUTION);
  }

  add(item: Expiring): void {
    this.#items.add(item);
  }

  delete(item: Expiring): void {
    this.#items.delete(item);
  }

  /** Stops the clock; nothing expires after it. */
  close(): void {
    clearInterval(this.#timer);
    this.#items.clear();
  }

  #sweep(): void {
    this.now = performance.now();
    this.date = new Date().toUTCString();
    for (const item of this.#items) {
      if (item.deadline === 0 || item.deadline > this.now) continue;
      item.deadline = 0;
      item.onDeadline();
    }
  }
}
