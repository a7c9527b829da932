/**
 * What CAs are to be answered, shared through Redis: `<prefix>:challenge:http:TOKEN` has a key
 * authorization, `<prefix>:challenge:tls:NAME` a certificate with its key, each for an hour at
 * most. Which there are is in the sorted set `<prefix>:challenges`, by the time of their end.
 *
 * That set is read first, twenty times a second at most, however many ask: so a flood of tokens
 * that nobody knows costs Redis next to nothing, and never keeps a CA from its answer.
 *
 * Needs `redis.ts`, `challenges.ts`, `askedchallenges.ts`.
 */
import { Buffer } from "node:buffer";
import { setTimeout as wait } from "node:timers/promises";
import { type ChallengeQuestion, isQuestion } from "./askedchallenges.ts";
import type { ChallengeAnswer, KeyAndCertificate } from "./challenges.ts";
import { type Redis, RedisError } from "./redis.ts";
import { ErrorReply, type Reply } from "./resp.ts";

/** Milliseconds: no order is open for longer; machines' clocks may differ by some of it. */
const LIFE = 60 * 60 * 1000;
const LOOK_INTERVAL = 50; // ms
const RETRY = 500; // ms
/** Challenges that are looked at, and bytes of an answer. */
const [MAX_OPEN, MAX_ANSWER] = [10_000, 16 * 1024];
/** Questions at a time, of all workers. */
const MAX_ASKED = 4_096;

export class RedisChallenges {
  readonly #redis: Redis;
  readonly #prefix: string;
  /** The look that the next ones who ask will wait for, and the end of the one under way. */
  #next: Promise<ReadonlySet<string>> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #lookedAt = -LOOK_INTERVAL;
  #asked = 0;

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis;
    this.#prefix = prefix;
  }

  /**
   * Resolves when others can find the answer: waits for Redis if it is away, until the signal ends
   * that. What is to be removed and can't be expires.
   */
  async tell(answer: ChallengeAnswer, signal: AbortSignal): Promise<void> {
    const member = memberOf(answer);
    const [key, index] = [`${this.#prefix}:challenge:${member}`, `${this.#prefix}:challenges`];
    const text = textOf(answer);
    if (text === undefined) {
      const remove = [["DEL", key], ["ZREM", index, member]];
      return void await this.#redis.runAll(remove, signal).catch(() => {});
    }
    for (;;) {
      const now = Date.now();
      const set = [
        ["SET", key, text, "PX", `${LIFE}`],
        ["ZREMRANGEBYSCORE", index, "-inf", `${now}`],
        ["ZADD", index, `${now + LIFE}`, member],
        ["PEXPIRE", index, `${LIFE}`],
      ];
      try {
        return void await this.#redis.runAll(set, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (isWrongType(error)) await this.#redis.run(["DEL", index], signal).catch(() => {});
      }
      await wait(RETRY, undefined, { signal });
    }
  }

  /** Of whatever is asked; rejects with RedisError. */
  async ask(question: ChallengeQuestion): Promise<ChallengeAnswer | undefined> {
    if (!isQuestion(question) || this.#asked >= MAX_ASKED) return undefined;
    this.#asked++;
    try {
      const member = memberOf(question);
      if (!(await this.#look()).has(member)) return undefined;
      const key = `${this.#prefix}:challenge:${member}`;
      return readAnswer(question, await this.#redis.run(["GET", key]));
    } finally {
      this.#asked--;
    }
  }

  /** What is open at a moment after this call. */
  #look(): Promise<ReadonlySet<string>> {
    if (this.#next !== undefined) return this.#next;
    const look = this.#last.then(async () => {
      const pause = this.#lookedAt + LOOK_INTERVAL - performance.now();
      if (pause > 0) await wait(pause);
      this.#next = undefined; // whoever asks from now on needs another
      this.#lookedAt = performance.now();
      const range = [`${Date.now()}`, "+inf", "LIMIT", "0", `${MAX_OPEN}`];
      const index = `${this.#prefix}:challenges`;
      const members = await this.#redis.run(["ZRANGEBYSCORE", index, ...range]);
      return new Set(Array.isArray(members) ? members.map(String) : []);
    });
    this.#last = look.catch(() => {});
    return this.#next = look;
  }
}

const memberOf = (one: ChallengeQuestion): string =>
  "token" in one ? `http:${one.token}` : `tls:${one.serverName}`;

function textOf(answer: ChallengeAnswer): string | undefined {
  if ("token" in answer) return answer.keyAuthorization;
  return answer.certificate && JSON.stringify(answer.certificate);
}

/** Undefined for what is no answer to that. */
function readAnswer(question: ChallengeQuestion, reply: Reply): ChallengeAnswer | undefined {
  if (!(reply instanceof Buffer) || reply.length > MAX_ANSWER) return undefined;
  const text = reply.toString();
  if ("token" in question) {
    const { token } = question;
    const rest = text.startsWith(`${token}.`) ? text.slice(token.length + 1) : "";
    return /^[A-Za-z0-9_-]+$/.test(rest) ? { token, keyAuthorization: text } : undefined;
  }
  const certificate = readCertificate(text);
  return certificate && { serverName: question.serverName, certificate };
}

function readCertificate(text: string): KeyAndCertificate | undefined {
  try {
    const { key, cert } = Object(JSON.parse(text));
    return typeof key === "string" && typeof cert === "string" ? { key, cert } : undefined;
  } catch {
    return undefined;
  }
}

const isWrongType = (error: unknown): boolean =>
  error instanceof RedisError && error.cause instanceof ErrorReply &&
  error.cause.code === "WRONGTYPE";
