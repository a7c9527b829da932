/**
 * As many requests as a proxy answers, by wrk, for HTTP/2 by h2load: CPU time a request, requests a
 * second, the most memory. And the same with 10,000 routes.
 */
import { run } from "../test/support.ts";
import { PEERS } from "./peers.ts";
import { cpuSeconds, peakMiB } from "./proc.ts";
import { type Bench, CLIENT_CORE, type Contender } from "./proxies.ts";
import { perKind, type Subject } from "./subject.ts";

const ROUTES = 10_000;
const BODY = 10 * 1024;
/** A runtime compiles what it runs often, which takes it CPU time: before the measurement. */
const WARM_UP = { cpuSeconds: 3, seconds: 2, rounds: 6 };
const REST_MS = 20_000; // for a load generator to end by itself

const ANSWERS = { small: "5 bytes", "10k": "10 KiB", "1m": "1 MiB", post: "POST of 10 KiB" };

interface Load {
  readonly title: string;
  readonly program: string;
  readonly args: (seconds: number) => readonly string[];
  /** For a request with a body: a file that says so, and its option. */
  readonly body: readonly [option: string, content: string];
  readonly requests: RegExp;
  readonly perSecond: RegExp;
  /** What is wrong, a line of it each time. */
  readonly trouble: RegExp;
  /** What must be there, or something else was measured. */
  readonly protocol: RegExp;
}

export const LOADS: Readonly<Record<"h1" | "h2", Load>> = {
  h1: {
    title: "HTTP/1.1",
    program: "wrk",
    args: (seconds) => ["-t1", "-c64", `-d${seconds}s`],
    body: ["-s", `wrk.method = "POST"; wrk.body = string.rep("x", ${BODY})`],
    requests: /(\d+) requests in/,
    perSecond: /Requests\/sec: +([\d.]+)/,
    trouble: /(Socket errors|Non-2xx).*$/gm,
    protocol: /^/,
  },
  h2: {
    title: "HTTP/2",
    program: "h2load",
    args: (seconds) => ["-t1", "-c16", "-m8", `-D${seconds}`],
    body: ["-d", "x".repeat(BODY)],
    requests: /(\d+) succeeded/,
    perSecond: /([\d.]+) req\/s/,
    trouble: /[1-9]\d* (failed|errored|timeout|[345]xx)/g,
    protocol: /^Application protocol: h2$/m,
  },
};

interface Run {
  readonly perSecond: number;
  /** Microseconds a request. */
  readonly cpu: number;
}

export const LOAD_SUBJECTS: readonly Subject[] = (["h1", "h2"] as const).flatMap((protocol) =>
  Object.entries(ANSWERS).map(([path, what]): Subject => {
    const title = `${LOADS[protocol].title}, ${what}`;
    return {
      name: `${protocol}-${path}`,
      rows: [
        { title: `${title}: CPU µs a request`, digits: 1 },
        { title: `${title}: requests a second`, digits: 0, isDetail: true },
        { title: `${title}: most memory, MiB`, digits: 0, isDetail: path !== "10k" },
      ],
      async begin(bench, { seconds }) {
        const upstream = await bench.startUpstream();
        const started = perKind(async (kind) => {
          const proxy = await bench.startProxy(kind, upstream);
          if (!PEERS.has(kind)) await warmUp(bench, proxy, protocol, path);
          return proxy;
        });
        return async (kind) => {
          const proxy = await started(kind);
          const { cpu, perSecond } = await drive(bench, proxy, { protocol, path, seconds });
          return [cpu, perSecond, peakMiB(proxy.pid)];
        };
      },
    };
  })
);

export const ROUTES_SUBJECT: Subject = {
  name: "routes",
  rows: [
    { title: "10,000 routes: CPU µs a request (HTTP/1.1, 5 bytes)", digits: 1 },
    { title: "10,000 routes: × the CPU time with one route", digits: 2 },
  ],
  applies: (kind) => !PEERS.has(kind),
  async begin(bench, { seconds }) {
    const upstream = await bench.startUpstream();
    const plan = { protocol: "h1", path: "small", seconds } as const;
    const started = perKind(async (kind) => {
      const proxies = [
        await bench.startProxy(kind, upstream),
        await bench.startProxy(kind, upstream, ROUTES - 1),
      ] as const;
      for (const proxy of proxies) await warmUp(bench, proxy, plan.protocol, plan.path);
      return proxies;
    });
    return async (kind) => {
      const [one, many] = await started(kind);
      const { cpu: before } = await drive(bench, one, plan);
      const { cpu } = await drive(bench, many, plan);
      return [cpu, cpu / before];
    };
  },
};

export async function warmUp(
  bench: Bench,
  proxy: Contender,
  protocol: "h1" | "h2",
  path: string,
): Promise<void> {
  const plan = { protocol, path, seconds: WARM_UP.seconds };
  const start = cpuSeconds(proxy.pid);
  for (let i = 0; i < WARM_UP.rounds; i++) {
    await drive(bench, proxy, plan);
    if (cpuSeconds(proxy.pid) - start > WARM_UP.cpuSeconds) return;
  }
}

/** Throws when anything but the answer came. */
export async function drive(
  bench: Bench,
  { port, pid }: Contender,
  { protocol, path, seconds }: { protocol: "h1" | "h2"; path: string; seconds: number },
): Promise<Run> {
  const { program, ...load } = LOADS[protocol];
  const [option, content] = load.body;
  const body = path === "post" ? [option, bench.write(`body-${protocol}`, content)] : [];
  const args = [program, ...load.args(seconds), ...body, `https://localhost:${port}/${path}`];
  const before = cpuSeconds(pid);
  const timeout = seconds * 1000 + REST_MS;
  const { code, stdout, stderr } = await run("taskset", ["-c", CLIENT_CORE, ...args], { timeout });
  const used = cpuSeconds(pid) - before;
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${stderr}`);
  const trouble = stdout.match(load.trouble);
  if (trouble !== null) throw new Error(trouble.join("; "));
  const requests = Number(load.requests.exec(stdout)?.[1] ?? 0);
  if (requests === 0) throw new Error("no answers");
  if (!load.protocol.test(stdout)) throw new Error("another protocol");
  const perSecond = Number(load.perSecond.exec(stdout)?.[1]);
  return { perSecond, cpu: used / requests * 1e6 };
}
