/**
 * Leases in Redis, as Centauri's Go program takes them: the key `<prefix>:lock:subject;other;names`
 * has a random value that only its owner knows, and a minute to live; the owner renews it every
 * 20 seconds, and nobody else removes it. Beside it, in `<prefix>:acme:subject;other;names`, the
 * owner leaves what failed, so that ten machines don't ask a CA ten times for what it refuses; the
 * Go program doesn't know of that.
 *
 * Comparing and changing takes a script (EVAL): a user of Redis that may run none is refused at the
 * start. After a reconnect nothing is taken for a while: if Redis has forgotten all leases, those
 * who have them renew them first.
 *
 * Needs `redis.ts`, `redisstore.ts`, `acmestate.ts`, `lease.ts`.
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { clearInterval, setInterval } from "node:timers";
import { setTimeout as wait } from "node:timers/promises";
import { type Entry, isEntry } from "./acmestate.ts";
import { type Lease, LeaseError, type Leases, type Note } from "./lease.ts";
import type { Logger } from "./log.ts";
import type { Redis } from "./redis.ts";
import type { Reply } from "./resp.ts";
import { fieldOf, nameList, type RedisStore } from "./redisstore.ts";

/** Milliseconds, as in Go. */
const [DURATION, RENEWAL] = [60_000, 20_000];
/** Between attempts at letting go of what may have been taken. */
const RETRY = 1_000;
/** Longer than it takes others to find Redis again. */
const QUIET = 10_000;
/** No CA's Retry-After is longer, as far as it is heeded. */
const NOTE_LIFE = 32 * 24 * 60 * 60 * 1000;
const MAX_NOTE = 64 * 1024; // bytes

/** Nobody else can have it, so what Redis has forgotten is taken again. */
const EXTEND = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;
const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`;

export interface RedisLeasesOptions {
  readonly prefix: string;
  readonly store: Pick<RedisStore, "read">;
  readonly log: Logger;
}

export class RedisLeases implements Leases {
  readonly #redis: Redis;
  readonly #options: RedisLeasesOptions;
  readonly #held = new Map<string, RedisLease>();
  #quietUntil = 0;

  constructor(redis: Redis, options: RedisLeasesOptions) {
    this.#redis = redis;
    this.#options = options;
    redis.onReconnect(() => {
      this.#quietUntil = performance.now() + QUIET;
      for (const lease of this.#held.values()) void lease.extend();
    });
  }

  /** Rejects with an Error if the user may not do what leases take. */
  async probe(): Promise<void> {
    await this.#redis.run(["EVAL", "return 1", "0"]).catch((cause) => {
      const why = "expected a user that may use EVAL (in Redis: ACL SETUSER … +eval)";
      throw new Error(`redis runs no scripts: ${why}`, { cause });
    });
  }

  /** Whether nobody else can have the lease of these names. */
  holds(names: readonly string[]): boolean {
    return this.#held.get(nameList(names))?.isGood ?? false;
  }

  async take(names: readonly string[]): Promise<Lease | undefined> {
    if (performance.now() < this.#quietUntil) return undefined;
    const list = nameList(names);
    if (this.#held.has(list)) return undefined;
    const [redis, { prefix }] = [this.#redis, this.#options];
    const keys = { lock: `${prefix}:lock:${list}`, note: `${prefix}:acme:${list}` };
    const owner = randomBytes(16).toString("hex");
    const since = performance.now();
    try {
      const taken = await redis.run(["SET", keys.lock, owner, "NX", "PX", `${DURATION}`]);
      if (taken !== "OK") return undefined;
      const [subject = "", ...altNames] = names;
      const fields = ["lego", ""].map((provider) => fieldOf({ provider, subject, altNames }));
      await this.#options.store.read(fields);
      const note = this.#readNote(await redis.run(["GET", keys.note]).catch(() => null), list);
      const onEnd = () => void this.#held.delete(list);
      const lease = new RedisLease(redis, { keys, owner, since, note, onEnd });
      this.#held.set(list, lease);
      return lease;
    } catch {
      void this.#abandon(keys.lock, owner);
      return undefined;
    }
  }

  /** A Redis that didn't answer may have carried it out: nobody would have that lease. */
  async #abandon(lock: string, owner: string): Promise<void> {
    for (let waited = 0; waited < DURATION; waited += RETRY) {
      const words = ["EVAL", RELEASE, "1", lock, owner];
      if (await this.#redis.run(words).then(() => true, () => false)) return;
      await wait(RETRY, undefined, { ref: false });
    }
  }

  /** Of a key that has something else: nothing. */
  #readNote(reply: Reply, list: string): Note | undefined {
    if (!(reply instanceof Buffer) || reply.length > MAX_NOTE) return undefined;
    try {
      const { at, ...entry } = Object(JSON.parse(reply.toString()));
      if (typeof at !== "string" || Number.isNaN(Date.parse(at)) || !isEntry(entry)) throw entry;
      const { failure, holds, hasty, provenBy } = entry as Entry;
      return { at, entry: { failure, holds, hasty, provenBy } };
    } catch {
      this.#options.log.warn("note in redis skipped", { names: list.split(";") });
      return undefined;
    }
  }
}

class RedisLease implements Lease {
  readonly note: Note | undefined;
  readonly #redis: Redis;
  readonly #keys: { readonly lock: string; readonly note: string };
  readonly #owner: string;
  readonly #onEnd: () => void;
  readonly #timer: ReturnType<typeof setInterval>;
  /** By this machine's monotonic clock, when Redis can't have forgotten it yet. */
  #goodSince: number;
  #lost = false;

  constructor(redis: Redis, { keys, owner, since, note, onEnd }: {
    keys: { lock: string; note: string };
    owner: string;
    since: number;
    note: Note | undefined;
    onEnd: () => void;
  }) {
    this.note = note;
    this.#redis = redis;
    this.#keys = keys;
    this.#owner = owner;
    this.#onEnd = onEnd;
    this.#goodSince = since;
    this.#timer = setInterval(() => void this.extend(), RENEWAL).unref();
  }

  get isGood(): boolean {
    return !this.#lost && performance.now() - this.#goodSince < DURATION;
  }

  /**
   * What is lost stays lost, also when its time was over once: somebody may have had it meanwhile.
   * A Redis that is away may still have it.
   */
  async extend(): Promise<void> {
    const since = performance.now();
    this.#lost ||= since - this.#goodSince >= DURATION;
    if (this.#lost) return;
    const words = ["EVAL", EXTEND, "1", this.#keys.lock, this.#owner, `${DURATION}`];
    const reply = await this.#redis.run(words).catch(() => undefined);
    if (reply === 1) this.#goodSince = since;
    else if (reply !== undefined) this.#lost = true;
  }

  /** Asks, for a machine that slept doesn't know for how long. */
  async check(): Promise<void> {
    const before = performance.now();
    await this.extend();
    if (!this.#lost && this.#goodSince >= before) return;
    throw new LeaseError(this.#lost ? "the lease was lost" : "redis is away");
  }

  async release(note?: Note): Promise<void> {
    clearInterval(this.#timer);
    const leave = note !== undefined && this.isGood;
    const text = JSON.stringify({ at: note?.at, ...note?.entry });
    const life = ["PX", `${NOTE_LIFE}`];
    await this.#redis.runAll([
      ...leave ? [["SET", this.#keys.note, text, ...life]] : [],
      ["EVAL", RELEASE, "1", this.#keys.lock, this.#owner],
    ]).catch(() => {}); // then it expires
    this.#lost = true;
    this.#onEnd();
  }
}
