/**
 * A lock between processes, for whoever reads a file, changes it and writes it again. Node and Deno
 * share no flock(2), so the holder is who created `<path>.lock` (O_EXCL), and touches it every
 * second. A lock that nobody touches for LEASE is of a dead process, and goes. Each waiter measures
 * that on its own monotonic clock, so no clock that is set, here or on a file server, ends a lease;
 * nor does a process number that is gone: containers that share a volume don't share those.
 *
 * Of two who find the same dead lock, the slower must not remove the quicker one's new lock. So
 * whoever removes a lock, its owner too, first creates `<lock>.<owner>`: only one can, and nobody
 * else removes that lock meanwhile. If its maker dies, that file is a dead lock like any other.
 */
import { randomBytes } from "node:crypto";
import { readFile, realpath, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";

/** Milliseconds. */
const [LEASE, TOUCH, PATIENCE, POLL] = [5_000, 1_000, 60_000, 20];

/** The lock wasn't got, or was lost; its cause is the system's error, or the signal's reason. */
export class LockError extends Error {}

/**
 * Does `work` while no other process, and no other call in this one, is in `withLock` for the same
 * file, which needn't exist. `check` rejects if this process was stopped for so long that it lost
 * the lock: for right before what can't be undone. `signal` ends the waiting, not the work; default
 * after 60_000 ms. Rejects with LockError, or with what `work` rejects with.
 */
export async function withLock<T>(
  path: string,
  work: (check: () => Promise<void>) => Promise<T>,
  signal: AbortSignal = AbortSignal.timeout(PATIENCE),
): Promise<T> {
  const lock = `${await realpath(path).catch(() => path)}.lock`; // links to a file have one lock
  const owner = newOwner();
  const seen = new Map<string, Seen>();
  for (;; await setTimeout(POLL * (0.5 + Math.random()))) {
    if (signal.aborted) {
      const holder = ownerOf(seen.get(lock)?.state ?? "unknown").split("-")[0];
      const message = `${lock}: others hold it, now process ${holder}`;
      throw new LockError(message, { cause: signal.reason });
    }
    if (await create(lock, owner)) break;
    await removeDead(lock, seen);
  }
  const touch = () => void utimes(lock, new Date(), new Date()).catch(() => {});
  const timer = setInterval(touch, TOUCH);
  try {
    return await work(async () => {
      if ((await look(lock))?.startsWith(`${owner} `)) return;
      throw new LockError(`${lock}: lost, for it wasn't touched in time`);
    });
  } finally {
    clearInterval(timer);
    await remove(lock, `${owner} `).catch(() => {}); // then it expires
  }
}

const newOwner = (): string => `${process.pid}-${randomBytes(8).toString("hex")}`;
const ownerOf = (state: string): string => state.split(" ")[0] ?? "";

/** False if it is there. What a full disk leaves behind, empty, expires. */
async function create(lock: string, owner: string): Promise<boolean> {
  try {
    await writeFile(lock, owner, { flag: "wx", mode: 0o600 });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new LockError(`no lock can be made in ${dirname(lock)}`, { cause });
  }
}

/** A lock's owner, a space, and what changes when it is touched. */
async function look(lock: string): Promise<string | undefined> {
  try {
    const { ino, mtimeMs } = await stat(lock);
    const owner = (await readFile(lock, "utf8")).replace(/[^\w-]/g, "");
    return `${owner} ${ino} ${mtimeMs};`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return undefined;
}

/** What a waiter found last, and when it found that first. */
type Seen = { readonly state: string; readonly since: number };

/** Removes a lock that `seen` has had, untouched, for a whole lease. */
async function removeDead(lock: string, seen: Map<string, Seen>): Promise<void> {
  const [before, state] = [seen.get(lock), await look(lock)];
  if (state === undefined) return;
  const now = performance.now();
  if (before?.state !== state) return void seen.set(lock, { state, since: now });
  if (now - before.since < LEASE || await remove(lock, state)) return;
  await removeDead(`${lock}.${ownerOf(state)}`, seen);
}

/** If its state still begins so; false if another process is about to, or died over it. */
async function remove(lock: string, state: string): Promise<boolean> {
  const right = `${lock}.${ownerOf(state)}`;
  if (!(await create(right, newOwner()))) return false;
  if ((await look(lock))?.startsWith(state)) await rm(lock);
  await rm(right, { force: true });
  return true;
}
