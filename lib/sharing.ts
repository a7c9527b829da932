/**
 * What several Centauris share through Redis, put together as the options ask for it: certificates,
 * leases to order them, and what CAs are answered. Accounts aren't shared: each machine has its
 * own.
 *
 * Needs `redis.ts`, `redisstore.ts`, `redislease.ts`, `redischallenges.ts`. Loaded when the store
 * is in Redis.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { delimiter } from "node:path";
import type { Ask } from "./askedchallenges.ts";
import type { ChallengeAnswers } from "./challenges.ts";
import type { Leases } from "./lease.ts";
import { errorText, type Logger, quote } from "./log.ts";
import { OptionError, type Options } from "./options.ts";
import { Redis, redisAddress, type RedisOptions } from "./redis.ts";
import { RedisChallenges } from "./redischallenges.ts";
import { RedisLeases } from "./redislease.ts";
import { type OnChange, RedisStore } from "./redisstore.ts";
import type { Store } from "./store.ts";

export interface Sharing {
  readonly store: Store;
  readonly leases: Leases;
  /** For what CAs ask here of orders that other machines have open. */
  readonly ask: Ask;
  /**
   * From now on others find what CAs are to be answered, and `onChange` is told of what they have
   * stored.
   */
  join(challenges: ChallengeAnswers, onChange: OnChange): void;
  close(): void;
}

/** As the options have it. Throws OptionError. */
export function redisSettings(options: Options): Omit<RedisOptions, "log"> {
  const address = options.string("redis-address");
  const at = redisAddress(address);
  if (at === undefined) {
    const expected = "expected host, host:port or [address]:port";
    throw new OptionError(`can't use --redis-address ${quote(address, 100)}: ${expected}`);
  }
  return {
    ...at,
    tls: options.boolean("redis-tls") ? { ca: readRoots(options) } : undefined,
    username: options.string("redis-username"),
    password: options.string("redis-password"),
    db: options.integer("redis-db"),
  };
}

function readRoots(options: Options): string[] | undefined {
  const paths = options.string("redis-ca-certificates").split(delimiter);
  const files = paths.filter((path) => path !== "");
  try {
    const roots = files.map((path) => readFileSync(path, "utf8"));
    roots.forEach((pem) => new X509Certificate(pem)); // throws for what is none
    return roots.length === 0 ? undefined : roots;
  } catch (error) {
    throw new OptionError(`can't use --redis-ca-certificates: ${errorText(error)}`);
  }
}

/** Rejects with an Error if Redis can't be reached, or doesn't allow what is needed. */
export async function openSharing(options: Options, log: Logger): Promise<Sharing> {
  const prefix = options.string("redis-key-prefix");
  let redis: Redis | undefined;
  try {
    redis = await Redis.open({ ...redisSettings(options), log });
    const store = await RedisStore.open(redis, { prefix, log });
    const leases = new RedisLeases(redis, { prefix, store, log });
    await leases.probe();
    return share(redis, prefix, store, leases);
  } catch (cause) {
    redis?.close();
    throw new Error("certificate store error", { cause });
  }
}

function share(redis: Redis, prefix: string, store: RedisStore, leases: RedisLeases): Sharing {
  const challenges = new RedisChallenges(redis, prefix);
  return {
    ...{ store, leases },
    ask: (question) => challenges.ask(question),
    join(answers, onChange) {
      answers.share = (answer, signal) => challenges.tell(answer, signal);
      store.watch(onChange, (names) => leases.holds(names));
    },
    close() {
      store.close();
      redis.close();
    },
  };
}
