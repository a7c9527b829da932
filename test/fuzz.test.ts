/**
 * Every codec under inputs made of its vectors: a few seconds of it, with a seed that is always the
 * same and one of the day. `test/fuzz/run.ts` goes on for as long as it is let.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { Finding, Fuzzer, smallest, type Target } from "./fuzz/fuzzer.ts";
import { targets } from "./fuzz/targets.ts";

const INPUTS = 1_000;
const today = Math.trunc(Date.now() / 86_400_000);

async function fuzz(target: Target, seed: number, inputs: number): Promise<void> {
  const fuzzer = new Fuzzer(target, seed);
  try {
    await fuzzer.run(inputs);
  } catch (error) {
    if (!(error instanceof Finding)) throw error;
    const base64 = smallest(target, error).toString("base64");
    const again = `test/fuzz/run.ts --target ${target.name} --input ${base64}`;
    assert.fail(`${target.name}, seed ${seed}, input ${fuzzer.count}: ${error.message}\n${again}`);
  }
  assert.equal(fuzzer.count, inputs);
}

for (const target of targets) {
  test(`${target.name}: no input does what none may do`, async () => {
    const inputs = Math.ceil(INPUTS / (target.cost ?? 1));
    await fuzz(target, 1, inputs);
    await fuzz(target, today, inputs);
  });
}

const ROW: Target = { name: "x", seeds: () => ["seed"], test: () => "" };
const found = (message: RegExp, test: Target["test"], more: Partial<Target> = {}) =>
  assert.rejects(fuzz({ ...ROW, ...more, test }, 1, 5_000), { message });

test("the fuzzer finds what throws, and tells the smallest input that does it", async () => {
  await found(/input eA==|input eHg=/, (input) => {
    if (input.includes("x")) throw new Error("an x");
    return String(input.length);
  }, { words: ["axb"] });
});

test("the fuzzer finds time that grows faster than the input", async () => {
  const quadratic = (input: Buffer): string => {
    let sum = 0;
    for (const a of input) for (let i = 0; i < input.length; i += 32) sum += a ^ input[i];
    return String(sum);
  };
  await found(/time grows faster/, quadratic);
});

test("the fuzzer finds memory out of proportion", async () => {
  const kept: Buffer[] = [];
  await found(/bytes take/, (input) => {
    if (input.length > 40_000) kept.push(Buffer.alloc(300_000_000));
    return String(input.length);
  });
});

test("the fuzzer finds what code of a few parts does only for all of them", async () => {
  await found(/all four/, (input) => {
    const text = input.toString("latin1");
    const has = ["one", "two", "six", "ten"].filter((word) => text.includes(word));
    if (has.length === 4) throw new Error("all four");
    return has.join();
  }, { words: ["one", "two", "six", "ten"] });
});

test("a target needs seeds, and the same seed gives the same inputs", async () => {
  assert.throws(() => new Fuzzer({ ...ROW, seeds: () => [] }, 1), /no seeds/);
  const inputs = async (seed: number): Promise<string[]> => {
    const all: string[] = [];
    const test = (input: Buffer) => String(all.push(input.toString("latin1")) % 7);
    await new Fuzzer({ ...ROW, test }, seed).run(200);
    return all;
  };
  const first = await inputs(5);
  assert.deepEqual(await inputs(5), first);
  assert.notDeepEqual(await inputs(6), first);
});
