/**
 * Requests a second, and CPU time a request, of Centauri and its peers: `npm run bench`.
 *
 * Each proxy has one core to itself, in front of the same nginx; wrk, or for HTTP/2 h2load, drives
 * them in turn (A B C A B C …) over HTTPS keep-alive. Requests a second are what that says; the CPU
 * time is user and system time of the proxy's processes from /proc, over the run. On a machine that
 * others share, trust the CPU time. `--large` instead moves 1 GiB each way and watches the memory.
 *
 * Needs Linux with two cores, nginx, wrk or h2load, and taskset, and for `--large` curl.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { findProgram, run } from "../test/support.ts";
import { measureLarge } from "./large.ts";
import { Bench, CLIENT_CORE, type Contender, cpuSeconds } from "./proxies.ts";

const PATHS = { small: "5 bytes", "10k": "10 KiB" } as const;
const PEERS = ["nginx", "haproxy", "caddy"];
/** A runtime compiles what it runs often: that is before the measurement. */
const WARM_UP = { requests: 20_000, seconds: 2, rounds: 6 } as const;

interface Load {
  readonly program: string;
  readonly args: (seconds: number) => readonly string[];
  readonly requests: RegExp;
  readonly perSecond: RegExp;
  /** What is wrong, a line of it each time. */
  readonly trouble: RegExp;
  /** What must be there, or something else was measured. */
  readonly protocol: RegExp;
}

const LOADS: Readonly<Record<string, Load | undefined>> = {
  h1: {
    program: "wrk",
    args: (seconds) => ["-t1", "-c64", `-d${seconds}s`],
    requests: /(\d+) requests in/,
    perSecond: /Requests\/sec: +([\d.]+)/,
    trouble: /^ *(Socket errors|Non-2xx).*$/gm,
    protocol: /^/,
  },
  h2: {
    program: "h2load",
    args: (seconds) => ["-t1", "-c16", "-m8", `-D${seconds}`],
    requests: /(\d+) succeeded/,
    perSecond: /([\d.]+) req\/s/,
    trouble: /[1-9]\d* (failed|errored|timeout|[345]xx)/g,
    protocol: /^Application protocol: h2$/m,
  },
};

const USAGE = `Usage: bench.ts [options]
  --runtime PATH   a Node or Deno that runs Centauri, or none; may be repeated (this one)
  --peers NAMES    of ${PEERS.join(",")}: those that are installed
  --only NAMES     of ${Object.keys(PATHS).join(",")}
  --protocol NAME  one of ${Object.keys(LOADS).join(",")} (h1)
  --runs N         of each proxy and answer (5)
  --seconds N      a run (5)
  --large          1 GiB down and up instead: CPU time and memory
  --json           every run as JSON
`;

interface Run {
  readonly requests: number;
  readonly perSecond: number;
  /** Microseconds a request. */
  readonly cpu: number;
  /** What wrk or h2load said was wrong; empty if nothing. */
  readonly trouble: string;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", multiple: true, default: [process.execPath] },
      peers: { type: "string", default: PEERS.join() },
      only: { type: "string", default: Object.keys(PATHS).join() },
      protocol: { type: "string", default: "h1" },
      runs: { type: "string", default: "5" },
      seconds: { type: "string", default: "5" },
      large: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const { protocol } = values;
  const load = LOADS[protocol];
  if (load === undefined) throw new Error(`unknown: ${protocol}: expected h1 or h2`);
  for (const name of ["nginx", load.program, "taskset"]) {
    if (findProgram(name) === undefined) throw new Error(`${name} isn't installed`);
  }
  const peers = namesOf(values.peers, PEERS).filter((name) => findProgram(name) !== undefined);
  const kinds = [...values.runtime.filter((path) => path !== "none"), ...peers];
  const bench = new Bench();
  const interrupted = (): void => void bench.close().then(() => process.exit(130));
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    if (values.large) return await measureLarge(bench, kinds);
    const upstream = await bench.startUpstream();
    const contenders: Contender[] = [];
    for (const kind of kinds) contenders.push(await bench.startProxy(kind, upstream));
    for (const path of namesOf(values.only, Object.keys(PATHS))) {
      const plan = { load, path, runs: Number(values.runs), seconds: Number(values.seconds) };
      const results = await compare(contenders, plan);
      const entries = Object.fromEntries(results);
      const json = (): string => JSON.stringify({ protocol, path, results: entries });
      console.log(
        values.json ? json() : table(`${PATHS[path as keyof typeof PATHS]}, ${protocol}`, results),
      );
    }
  } finally {
    await bench.close();
  }
}

function namesOf(list: string, known: readonly string[]): string[] {
  const names = list.split(",").filter((name) => name !== "none");
  const wrong = names.find((name) => !known.includes(name));
  if (wrong !== undefined) throw new Error(`unknown: ${wrong}: expected ${known.join(" or ")}`);
  return names;
}

/** All contenders once, then all of them again: what disturbs the machine disturbs them all. */
async function compare(
  contenders: readonly Contender[],
  { runs, ...plan }: Plan & { readonly runs: number },
): Promise<Map<string, Run[]>> {
  const results = new Map(contenders.map(({ name }) => [name, [] as Run[]]));
  for (const contender of contenders) await warmUp(contender, plan);
  for (let i = 0; i < runs; i++) {
    for (const contender of contenders) {
      const result = await drive(contender, plan);
      results.get(contender.name)?.push(result);
      process.stderr.write(
        `${plan.path} ${i + 1}/${runs} ${contender.name}: ${
          result.cpu.toFixed(1)
        } µs ${result.trouble}\n`,
      );
    }
  }
  return results;
}

interface Plan {
  readonly load: Load;
  readonly path: string;
  /** Of each run. */
  readonly seconds: number;
}

async function warmUp(contender: Contender, plan: Plan): Promise<void> {
  const seconds = WARM_UP.seconds;
  let requests = 0;
  for (let i = 0; i < WARM_UP.rounds && requests < WARM_UP.requests; i++) {
    requests += (await drive(contender, { ...plan, seconds })).requests;
  }
  if (requests === 0) throw new Error(`${contender.name} answers nothing`);
}

async function drive({ name, port, pid }: Contender, plan: Plan): Promise<Run> {
  const { load, path, seconds } = plan;
  const args = [load.program, ...load.args(seconds), `https://localhost:${port}/${path}`];
  const before = cpuSeconds(pid);
  const { stdout, stderr } = await run("taskset", ["-c", CLIENT_CORE, ...args]);
  const used = cpuSeconds(pid) - before;
  const requests = Number(load.requests.exec(stdout)?.[1] ?? 0);
  if (stdout === "") throw new Error(`${load.program} failed: ${stderr}`);
  if (!load.protocol.test(stdout)) throw new Error(`${name} speaks another protocol`);
  return {
    requests,
    perSecond: Number(load.perSecond.exec(stdout)?.[1]),
    cpu: used / Math.max(requests, 1) * 1e6,
    trouble: (stdout.match(load.trouble) ?? []).join("; ").trim(),
  };
}

/** Medians with the least and the greatest; the ratio is to nginx's CPU time in the same round. */
function table(title: string, results: ReadonlyMap<string, readonly Run[]>): string {
  const nginx = results.get("nginx");
  const rows = [...results].map(([name, runs]) => [
    name,
    spread(runs.map((one) => one.perSecond), 0),
    spread(runs.map((one) => one.cpu), 1),
    nginx ? spread(runs.map((one, i) => one.cpu / (nginx[i]?.cpu ?? NaN)), 2) : "",
    [...new Set(runs.map((one) => one.trouble))].join(" ").trim(),
  ]);
  const head = [title, "requests/s", "CPU µs/request", "× nginx", ""];
  const lines = [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  return `${lines.join("\n")}\n`;
}

function spread(values: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = NaN, high = NaN] = [sorted[sorted.length % 2 ? middle : middle - 1], sorted[middle]];
  return (low + high) / 2;
}

await main().catch((error: Error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});
