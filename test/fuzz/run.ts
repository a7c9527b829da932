/**
 * The long mode of the fuzz test: one target, or all, for as many inputs as asked for.
 *
 *     node --import tsx test/fuzz/run.ts --target heads --inputs 10000000 --seed 1
 *     node --import tsx test/fuzz/run.ts --target heads --input BASE64
 *
 * The same seed gives the same inputs. What is found is told with the smallest input that still
 * does it; the second form tries that again. A codec that is to be fuzzed is a row of targets.ts;
 * what was found and mended is a row of the codec's vectors.
 */
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { parseDecimal } from "../../lib/number.ts";
import { Finding, Fuzzer, smallest, type Target } from "./fuzzer.ts";
import { Random } from "./random.ts";
import { targets } from "./targets.ts";

const SHOWN = 1500; // characters of what is long
const STEP = 50_000; // inputs between two lines about how it goes

const { values } = parseArgs({
  options: {
    target: { type: "string" },
    inputs: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    input: { type: "string" },
    quiet: { type: "boolean", default: false },
  },
});

function report(target: Target, finding: Finding): void {
  const least = smallest(target, finding);
  const [shown, base64] = [least.toString("latin1"), least.toString("base64")];
  console.log(`${target.name}: FOUND ${finding.message.slice(0, SHOWN)}`);
  console.log(`  in ${least.length} bytes: ${JSON.stringify(shown.slice(0, SHOWN))}`);
  if (base64.length < SHOWN) console.log(`  again: --target ${target.name} --input ${base64}`);
  else {
    const file = join(tmpdir(), `fuzz-${target.name}`);
    writeFileSync(file, base64);
    console.log(`  again: --target ${target.name} --input $(cat ${file})`);
  }
  process.exitCode = 1;
}

async function fuzz(target: Target, inputs: number, seed: number): Promise<void> {
  const fuzzer = new Fuzzer(target, seed);
  const start = performance.now();
  const told = () => {
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const memory = (process.memoryUsage.rss() / 2 ** 20).toFixed();
    const { count, outcomes } = fuzzer;
    const what = `${count} inputs, ${seconds} s, ${outcomes} outcomes, ${memory} MiB`;
    console.log(`${target.name}: ${what}`);
  };
  try {
    while (fuzzer.count < inputs) {
      await fuzzer.run(Math.min(STEP, inputs - fuzzer.count));
      if (!values.quiet) told();
    }
  } catch (error) {
    if (!(error instanceof Finding)) throw error;
    report(target, error);
  }
  if (values.quiet) told();
}

const [inputs, seed] = [parseDecimal(values.inputs), parseDecimal(values.seed)];
const chosen = targets.filter(({ name }) => name === (values.target ?? name));
if (inputs === undefined || seed === undefined || chosen.length === 0) {
  const names = targets.map(({ name }) => name).join(", ");
  throw new Error(`expected numbers for --inputs and --seed, and a --target of ${names}`);
}
for (const target of chosen) {
  if (values.input === undefined) await fuzz(target, inputs, seed);
  else console.log(target.test(Buffer.from(values.input, "base64"), new Random(seed)));
}
