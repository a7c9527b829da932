/**
 * A lock between processes, for whoever reads a file, changes it and writes it again. Node and Deno
 * share no flock(2), so the holder is who created `<path>.lock` (O_EXCL); it touches that file every
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

/** The lock wasn't got, or was lost; with the system's error as its cause if no file can be made. */
export class LockError extends Error {}

/**
 * Does `work` while no other process, and no other call in this one, is in `withLock` for the same
 * file, which needn't exist. `check` rejects if this process was stopped for so long that it lost
 * the lock: for right before what can't be undone. `patience`: how long to wait for others, default
 * 60_000 ms. Rejects with LockError, the reason of `signal` (which ends the waiting, not the work),
 * or what `work` rejects with.
 */
export async function withLock<T>(
  path: string,
  work: (check: () => Promise<void>) => Promise<T>,
  { signal, patience = PATIENCE }: { signal?: AbortSignal; patience?: number } = {},
): Promise<T> {
  const lock = `${await realpath(path).catch(() => path)}.lock`; // links to a file have one lock
  const owner = newOwner();
  const isOurs = (now: Seen) => now.owner === owner;
  const seen = new Map<string, Seen>();
  for (const start = performance.now();; await setTimeout(POLL * (0.5 + Math.random()))) {
    signal?.throwIfAborted();
    if (await create(lock, owner)) break;
    await removeDead(lock, seen);
    if (performance.now() - start < patience) continue;
    const holder = seen.get(lock)?.owner.split("-")[0] || "unknown";
    throw new LockError(`${lock}: others hold it, now process ${holder}: waited ${patience} ms`);
  }
  const touch = () => void utimes(lock, new Date(), new Date()).catch(() => {});
  const timer = setInterval(touch, TOUCH);
  try {
    return await work(async () => {
      const now = await look(lock);
      if (!now || !isOurs(now)) throw new LockError(`${lock}: lost, for it wasn't touched in time`);
    });
  } finally {
    clearInterval(timer);
    await remove(lock, owner, isOurs).catch(() => {}); // then it expires
  }
}

const newOwner = (): string => `${process.pid}-${randomBytes(8).toString("hex")}`;

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

/** A lock as one waiter found it: whose it is, when it was last touched, and when that was found. */
interface Seen {
  readonly owner: string;
  readonly touched: string;
  readonly at: number;
}

async function look(lock: string): Promise<Seen | undefined> {
  try {
    const { ino, mtimeMs } = await stat(lock);
    const owner = (await readFile(lock, "utf8")).replace(/[^\w-]/g, "");
    return { owner, touched: `${owner} ${ino} ${mtimeMs}`, at: performance.now() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return undefined;
}

/** Removes a lock that `seen` has had, untouched, for a whole lease. */
async function removeDead(lock: string, seen: Map<string, Seen>): Promise<void> {
  const [before, now] = [seen.get(lock), await look(lock)];
  if (now === undefined) return;
  const isSame = ({ touched }: Seen) => touched === now.touched;
  if (before === undefined || !isSame(before)) return void seen.set(lock, now);
  if (now.at - before.at < LEASE || await remove(lock, now.owner, isSame)) return;
  await removeDead(`${lock}.${now.owner}`, seen);
}

/** Unless it has changed; false if another process is about to, or died over it. */
async function remove(
  lock: string,
  owner: string,
  isSame: (now: Seen) => boolean,
): Promise<boolean> {
  const right = `${lock}.${owner}`;
  if (!(await create(right, newOwner()))) return false;
  const now = await look(lock);
  if (now && isSame(now)) await rm(lock);
  await rm(right, { force: true });
  return true;
}
