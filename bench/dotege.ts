/**
 * What Dotege costs with many containers: time from its start to the first file, from an event to
 * the new file (which includes the debounce), CPU time while nothing happens, memory.
 *
 * The engine is the one of the tests, which answers as a recorded one did; with `--real` a few
 * containers of a real one come and go instead. Times are those that a reader of the file sees.
 *
 * NODE_COMPILE_CACHE is passed on. Needs Linux; for `--real` root, dockerd and busybox.
 */
import { watch } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { TestEngine } from "../test/dockerscenario.ts";
import { startEngine } from "../test/engine.ts";
import { startFakeEngine } from "../test/fakeengine.ts";
import {
  type Program,
  root,
  type Runtime,
  startProgram,
  temporaryFolder,
} from "../test/support.ts";
import { cpuSeconds, peakMiB } from "./proc.ts";
import { identify } from "./proxies.ts";

const HEAD = ["runtime", "containers", "first file ms", "new file ms", "idle CPU %", "peak MiB"];
/** After the last event, for what a runtime collects and compiles of what it did before. */
const SETTLE_MS = 30_000;
const USAGE = `Usage: dotege.ts [options]
  --runtime PATH    a Node or Deno that runs Dotege; may be repeated (this one)
  --containers N    that are there at the start (1000)
  --runs N          starts of each runtime, for medians (5)
  --events N        containers that come, one by one, after each start (10)
  --idle N          seconds in which nothing happens, after the last start (30)
  --template NAME   of the bundled ones (centauri.conf.tpl)
  --real            with a real engine; --containers is then best small
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", multiple: true, default: [process.execPath] },
      containers: { type: "string", default: "1000" },
      runs: { type: "string", default: "5" },
      events: { type: "string", default: "10" },
      idle: { type: "string", default: "30" },
      template: { type: "string", default: "centauri.conf.tpl" },
      real: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const clean: (() => unknown)[] = [];
  const t = { after: (end: () => unknown) => clean.unshift(end) } as unknown as TestContext;
  try {
    const engine = values.real ? await startEngine(t) : await startFakeEngine(t);
    const count = Number(values.containers);
    for (let i = 0; i < count; i++) await runOne(engine, `site${i}`);
    for (const row of [HEAD, HEAD.map(() => "---")]) console.log(`| ${row.join(" | ")} |`);
    for (const path of values.runtime) {
      const row = await measure(t, engine, identify(path), {
        ...{ template: values.template, runs: Number(values.runs) },
        ...{ events: Number(values.events), idle: Number(values.idle) },
      });
      console.log(`| ${[row[0], count, ...row.slice(1)].join(" | ")} |`);
    }
  } finally {
    for (const end of clean) await end();
  }
}

function runOne(engine: TestEngine, name: string): Promise<string> {
  const labels = { "com.chameth.vhost": `${name}.example.com`, "com.chameth.proxy": "80" };
  return engine.run(name, { labels });
}

async function measure(
  t: TestContext,
  engine: TestEngine,
  runtime: Runtime,
  options: { template: string; runs: number; events: number; idle: number },
): Promise<string[]> {
  const [first, next, peaks]: [number[], number[], number[]] = [[], [], []];
  let idle = 0;
  for (let run = 0; run < options.runs; run++) {
    const { dotege, follows, ms } = await start(t, engine, runtime, options.template);
    first.push(ms);
    for (let i = 0; i < options.events; i++) {
      const name = `new${run}x${i}`;
      const done = follows(`${name}.example.com`);
      const from = performance.now();
      await runOne(engine, name);
      next.push(await done - from);
    }
    if (run === options.runs - 1) {
      await setTimeout(SETTLE_MS);
      const before = cpuSeconds(dotege.pid);
      await setTimeout(options.idle * 1000);
      idle = (cpuSeconds(dotege.pid) - before) / options.idle;
    }
    peaks.push(peakMiB(dotege.pid));
    await dotege.stop();
    for (let i = 0; i < options.events; i++) await engine.remove(`new${run}x${i}`);
  }
  const cells = [first, next].map(spread);
  return [
    `${runtime.kind} ${runtime.version}`,
    ...cells,
    (idle * 100).toFixed(2),
    spread(peaks),
  ];
}

/** `follows` resolves with the time when the file has a text; call it before what leads there. */
async function start(
  t: TestContext,
  engine: TestEngine,
  runtime: Runtime,
  template: string,
): Promise<{ dotege: Program; follows: (text: string) => Promise<number>; ms: number }> {
  const folder = await temporaryFolder(t);
  const path = join(folder, "out");
  await writeFile(path, "");
  const follows = async (text: string): Promise<number> => {
    const changes = watch(folder);
    try {
      for (;;) {
        const changed = new Promise((resolve) => changes.once("change", resolve));
        if ((await readFile(path, "utf8")).includes(text)) return performance.now();
        await changed;
      }
    } finally {
      changes.close();
    }
  };
  const cache = process.env.NODE_COMPILE_CACHE;
  const found = follows("example.com");
  const from = performance.now();
  const dotege = startProgram(t, "dotege.ts", {
    cwd: folder,
    runtime,
    env: {
      ...engine.env as Record<string, string>,
      ...cache === undefined ? {} : { NODE_COMPILE_CACHE: cache },
      DOTEGE_TEMPLATE_SOURCE: join(root, "templates", template),
      DOTEGE_TEMPLATE_DESTINATION: path,
    },
  });
  return { dotege, follows, ms: await found - from };
}

/** Median and range. */
function spread(values: number[]): string {
  const sorted = values.toSorted((a, b) => a - b).map((value) => value.toFixed(0));
  return `${sorted[sorted.length >> 1]} (${sorted[0]}–${sorted.at(-1)})`;
}

main().catch((error) => {
  console.error(`${error}`);
  process.exitCode = 1;
});
