/**
 * Work that waits until events stop coming, but not for ever, and that never overlaps itself; and
 * how long to wait after failures. Needs log.ts.
 */
import { clearTimeout, setTimeout } from "node:timers";
import type { Logger } from "./log.ts";

/** Milliseconds to wait after so many failures in a row: 1 s, 2 s, 4 s and so on up to 60 s. */
export const backoff = (failures: number): number => 1_000 * Math.min(2 ** (failures - 1), 60);

/** Milliseconds until the next try to connect: at first, and at most; it doubles. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [100, 30_000];

/** Milliseconds until the next try; `random`: from 0 to 1, so that many don't try at a time. */
export function pauseAfter(failures: number, random: number): number {
  return Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE) * (0.5 + random / 2);
}

export interface Debounce {
  /** Runs once nothing has been triggered for the quiet time, or when the longest wait is over. */
  trigger(): void;
  /** Runs without waiting; during a run, right after it. */
  now(): void;
  /** Resolves when no run is under way; none starts any more. */
  close(): Promise<void>;
}

/**
 * `quiet` and `max` in milliseconds; 100 and 2_000 by default. Of all triggers during a run one
 * more comes. What `run` throws is logged.
 */
export function createDebounce(
  run: () => Promise<void> | void,
  { quiet = 100, max = 2_000, log }: {
    readonly quiet?: number;
    readonly max?: number;
    readonly log: Logger;
  },
): Debounce {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let since: number | undefined; // when the first trigger came that no run has seen
  let due = false; // as soon as the run under way has ended
  let closed = false;
  let running: Promise<void> | undefined;

  const work = async (): Promise<void> => {
    while (due && !closed) {
      due = false;
      since = undefined;
      clearTimeout(timer);
      await attempt(run, log);
    }
    running = undefined;
  };
  const now = (): void => {
    due = true;
    if (!closed) running ??= work();
  };
  const trigger = (): void => {
    if (closed) return;
    const time = performance.now();
    since ??= time;
    clearTimeout(timer);
    timer = setTimeout(now, Math.min(quiet, Math.max(0, since + max - time)));
  };
  const close = async (): Promise<void> => {
    closed = true;
    clearTimeout(timer);
    await running;
  };
  return { trigger, now, close };
}

async function attempt(run: () => Promise<void> | void, log: Logger): Promise<void> {
  try {
    await run();
  } catch (error) {
    log.error("failed", { error: error as Error });
  }
}
