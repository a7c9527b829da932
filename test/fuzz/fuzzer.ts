/**
 * Feeds a target inputs that are made of its vectors and of those before that did something new.
 *
 * What is found is thrown: what the target threw, an input that takes too long or for ever, time
 * that grows faster than the input, memory out of proportion. The same seed gives the same inputs.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import vm from "node:vm";
import { mutate } from "./mutate.ts";
import { Random } from "./random.ts";

/** Inputs that are kept; the corpus of a target that tells each apart would grow for ever. */
const MOST_KEPT = 4_000;
/** Inputs in one go, and milliseconds after which one of them doesn't end. */
const BATCH = 1024;
const HANG_MS = 300_000;
/** One in so many inputs is made long as well: of those that do something new, and of all. */
const LONG_NEW = 8, LONG_EVERY = 4_000;
/** Bytes of the short and the long form; the long one may take so much, in milliseconds. */
const SHORT = 12 * 1024, LONG = 4 * SHORT, LONG_MS = 40;
/** Time for four times the bytes: 4 is linear, 16 is quadratic. */
const STEEP = 9;
/** Bytes that one input may allocate, garbage included, and the process may hold. */
const ALLOCATED = 256 * 1024 * 1024, HELD = 1536 * 1024 * 1024;

export interface Target {
  readonly name: string;
  /** To begin with; texts are UTF-8. There must be one. */
  readonly seeds: () => readonly (Uint8Array | string)[];
  /** What means something to the codec. */
  readonly words?: readonly (Uint8Array | string)[];
  /** Bytes of an input; default 4096. */
  readonly limit?: number;
  /** Milliseconds that an input of `limit` bytes may take; default 500. */
  readonly slow?: number;
  /** How much slower than others it is: so many times fewer inputs where all get theirs. */
  readonly cost?: number;
  /** Edits by which the input stays well formed; half of the inputs are made so. */
  readonly edit?: (input: Buffer, random: Random, others: readonly Buffer[]) => Buffer;
  /**
   * What came of the input, in few words: others than before are new behaviour. Whatever it throws
   * is a finding.
   */
  readonly test: (input: Buffer, random: Random) => string;
}

export class Finding extends Error {
  readonly input: Buffer;
  constructor(message: string, input: Buffer, cause?: unknown) {
    super(message, { cause });
    this.input = input;
  }
}

export class Fuzzer {
  /** Inputs so far. */
  count = 0;
  readonly #target: Target;
  readonly #random: Random;
  readonly #corpus: Buffer[];
  readonly #words: readonly Buffer[];
  readonly #outcomes = new Set<string>();
  readonly #interruptibly = interruptible();
  #current: Buffer = Buffer.alloc(0);

  constructor(target: Target, seed: number) {
    this.#target = target;
    this.#random = new Random(seed);
    this.#corpus = target.seeds().map((input) => Buffer.from(input as string));
    this.#words = (target.words ?? []).map((word) => Buffer.from(word as string));
    if (this.#corpus.length === 0) throw new Error(`the target ${target.name} has no seeds`);
  }

  /** Outcomes that were told apart. */
  get outcomes(): number {
    return this.#outcomes.size;
  }

  /** Tests `count` inputs more, those of the corpus first; throws a Finding. */
  async run(count: number): Promise<void> {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0; // most of the time would go there
    try {
      await this.#run(count);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }

  async #run(count: number): Promise<void> {
    for (const end = this.count + count; this.count < end;) {
      const size = Math.min(BATCH, end - this.count);
      this.#interruptibly(() => {
        for (let i = 0; i < size; i++) this.#step();
      }, () => new Finding(`no end within ${HANG_MS} ms`, this.#current));
      await setImmediate(); // for what a target has left for the next turn
      const held = process.memoryUsage.rss();
      if (held > HELD) throw new Finding(`the process holds ${held} bytes`, this.#current);
    }
  }

  #step(): void {
    const random = this.#random, corpus = this.#corpus;
    const { limit = 4096, edit } = this.#target;
    const at = this.count++;
    let input = at < corpus.length ? corpus[at] : random.pick(corpus);
    if (at >= corpus.length) {
      const others = corpus;
      if (edit !== undefined && random.once(2)) input = edit(input, random, others);
      else input = mutate(input, random, others, this.#words, limit);
    }
    this.#current = input;
    const outcome = this.#timed(input);
    const isNew = !this.#outcomes.has(outcome);
    if (isNew) {
      this.#outcomes.add(outcome);
      if (at >= corpus.length && corpus.length < MOST_KEPT) corpus.push(Buffer.from(input));
    }
    if (random.once(isNew ? LONG_NEW : LONG_EVERY)) this.#checkGrowth(input);
  }

  /** Slow once may be the machine. */
  #timed(input: Buffer): string {
    const { slow = 500 } = this.#target;
    const start = performance.now();
    const outcome = this.#test(input, this.#random);
    if (performance.now() - start <= slow) return outcome;
    const ms = this.#fastest(input, 3);
    if (ms > slow) throw new Finding(`an input of ${input.length} bytes takes ${ms} ms`, input);
    return outcome;
  }

  #test(input: Buffer, random: Random): string {
    try {
      return this.#target.test(input, random);
    } catch (error) {
      throw new Finding(String((error as Error)?.stack ?? error), input, error);
    }
  }

  /** Repeats a part of it until it is long: is that as long again in time, or longer? */
  #checkGrowth(input: Buffer): void {
    const at = this.#random.below(input.length + 1);
    const part = input.subarray(at, at + 1 + this.#random.below(64));
    if (part.length === 0) return;
    const repeated = (size: number) =>
      Buffer.concat([
        input.subarray(0, at),
        Buffer.alloc(Math.max(part.length, size - input.length), part),
        input.subarray(at + part.length),
      ]);
    const long = this.#current = repeated(LONG), short = repeated(SHORT);
    const before = process.memoryUsage();
    let ms = this.#fastest(long, 1);
    const after = process.memoryUsage();
    const taken = after.heapUsed + after.external - before.heapUsed - before.external;
    if (taken > ALLOCATED) throw new Finding(`${long.length} bytes take ${taken}`, long);
    for (let tries = 0; tries < 3; tries++) {
      if (ms < (this.#target.slow ?? LONG_MS)) return;
      ms = this.#fastest(long, 3); // what a busy machine does is no finding
      if (ms < STEEP * this.#fastest(short, 3)) return;
    }
    throw new Finding(`time grows faster than an input of ${long.length} bytes: ${ms} ms`, long);
  }

  #fastest(input: Buffer, times: number): number {
    let fastest = Infinity;
    for (let i = 0; i < times; i++) {
      const random = new Random(this.count); // how often this is done must not change what follows
      const start = process.cpuUsage(); // other processes don't count
      this.#test(input, random);
      const { user, system } = process.cpuUsage(start);
      fastest = Math.min(fastest, (user + system) / 1000);
    }
    return fastest;
  }
}

/** Runs `work`, or ends it with a failure when it doesn't end by itself. */
type Interruptible = (work: () => void, failure: () => Error) => void;

/** Deno 2.9 has no such time-out: there what doesn't end is for whoever waits for the test. */
function interruptible(): Interruptible {
  if ("Deno" in globalThis) return (work) => work();
  const within: { work?: () => void } = {};
  const context = vm.createContext(within), script = new vm.Script("work()");
  return (work, failure) => {
    within.work = work;
    try {
      script.runInContext(context, { timeout: HANG_MS });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw code === "ERR_SCRIPT_EXECUTION_TIMEOUT" ? failure() : error;
    }
  };
}

/** The input with as much left out as the same finding allows. */
export function smallest(target: Target, { input, message, cause }: Finding): Buffer {
  if (!(cause instanceof Error)) return input; // it was about time or memory
  const told = (text: string) => text.split("\n")[0]?.replace(/\d+/g, "") ?? "";
  const isFound = (tried: Buffer) => {
    for (let tries = 0; tries < 3; tries++) {
      try {
        target.test(tried, new Random(tries));
      } catch (error) {
        return told(String((error as Error)?.stack ?? error)) === told(message);
      }
    }
    return false;
  };
  let best = input;
  for (let size = best.length >> 1; size > 0; size = size >> 1) {
    for (let at = 0; at < best.length;) {
      const tried = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (isFound(tried)) best = tried;
      else at += size;
    }
  }
  return best;
}

/** As assert.deepEqual, for values of JSON, many of them. */
export function same(actual: unknown, expected: unknown): void {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) assert.deepEqual(actual, expected);
}

/** The first line of an error's message, without what it quotes: that is no behaviour. */
export function kindOf(error: Error): string {
  const [first = ""] = error.message.slice(0, 120).split("\n", 1);
  return first.replace(/"[^]*?(?:"|$)|`[^]*?`|<[^]*>|\d+/g, "#");
}
