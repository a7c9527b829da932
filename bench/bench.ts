/**
 * Requests a second, and CPU time a request, of Centauri and its peers: `npm run bench`.
 *
 * Each proxy has one core to itself, in front of the same nginx; wrk drives them in turn (A B C A B
 * C …) over HTTPS keep-alive. Requests a second are what wrk says; the CPU time is user and system
 * time of the proxy's processes from /proc, over the run. On a machine that others share, trust
 * the CPU time. `--large` instead moves 1 GiB each way and watches the memory.
 *
 * Needs Linux with two cores, nginx, wrk and taskset, and for `--large` curl.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { findProgram, run } from "../test/support.ts";
import { measureLarge } from "./large.ts";
import { Bench, CLIENT_CORE, type Contender, cpuSeconds } from "./proxies.ts";

const PATHS = { small: "5 bytes", "10k": "10 KiB" } as const;
const PEERS = ["nginx", "haproxy", "caddy"];
const CONNECTIONS = 64;
/** A runtime compiles what it runs often: that is before the measurement. */
const WARM_UP = { requests: 20_000, seconds: 2, rounds: 6 } as const;

const USAGE = `Usage: bench.ts [options]
  --runtime PATH   a Node or Deno that runs Centauri, or none; may be repeated (this one)
  --peers NAMES    of ${PEERS.join(",")}: those that are installed
  --only NAMES     of ${Object.keys(PATHS).join(",")}
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
  /** What wrk said was wrong; empty if nothing. */
  readonly trouble: string;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", multiple: true, default: [process.execPath] },
      peers: { type: "string", default: PEERS.join() },
      only: { type: "string", default: Object.keys(PATHS).join() },
      runs: { type: "string", default: "5" },
      seconds: { type: "string", default: "5" },
      large: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  for (const name of ["nginx", "wrk", "taskset"]) {
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
      const results = await compare(contenders, path, Number(values.runs), Number(values.seconds));
      const entries = Object.fromEntries(results);
      console.log(values.json ? JSON.stringify({ path, results: entries }) : table(path, results));
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
  path: string,
  runs: number,
  seconds: number,
): Promise<Map<string, Run[]>> {
  const results = new Map(contenders.map(({ name }) => [name, [] as Run[]]));
  for (const contender of contenders) await warmUp(contender, path);
  for (let i = 0; i < runs; i++) {
    for (const contender of contenders) {
      const result = await drive(contender, path, seconds);
      results.get(contender.name)?.push(result);
      process.stderr.write(
        `${path} ${i + 1}/${runs} ${contender.name}: ${
          result.cpu.toFixed(1)
        } µs ${result.trouble}\n`,
      );
    }
  }
  return results;
}

async function warmUp(contender: Contender, path: string): Promise<void> {
  let requests = 0;
  for (let i = 0; i < WARM_UP.rounds && requests < WARM_UP.requests; i++) {
    requests += (await drive(contender, path, WARM_UP.seconds)).requests;
  }
  if (requests === 0) throw new Error(`${contender.name} answers nothing`);
}

async function drive({ port, pid }: Contender, path: string, seconds: number): Promise<Run> {
  const url = `https://localhost:${port}/${path}`;
  const load = [`-t1`, `-c${CONNECTIONS}`, `-d${seconds}s`, url];
  const before = cpuSeconds(pid);
  const { stdout, stderr } = await run("taskset", ["-c", CLIENT_CORE, "wrk", ...load]);
  const used = cpuSeconds(pid) - before;
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  if (stdout === "") throw new Error(`wrk failed: ${stderr}`);
  return {
    requests,
    perSecond: Number(/Requests\/sec: +([\d.]+)/.exec(stdout)?.[1]),
    cpu: used / Math.max(requests, 1) * 1e6,
    trouble: (stdout.match(/^ *(Socket errors|Non-2xx).*$/gm) ?? []).join("; ").trim(),
  };
}

/** Medians with the least and the greatest; the ratio is to nginx's CPU time in the same round. */
function table(path: string, results: ReadonlyMap<string, readonly Run[]>): string {
  const nginx = results.get("nginx");
  const rows = [...results].map(([name, runs]) => [
    name,
    spread(runs.map((one) => one.perSecond), 0),
    spread(runs.map((one) => one.cpu), 1),
    nginx ? spread(runs.map((one, i) => one.cpu / (nginx[i]?.cpu ?? NaN)), 2) : "",
    [...new Set(runs.map((one) => one.trouble))].join(" ").trim(),
  ]);
  const head = [PATHS[path as keyof typeof PATHS], "requests/s", "CPU µs/request", "× nginx", ""];
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
