/** What connections cost: CPU time of a full TLS handshake, memory of a connection that is idle. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { run, runtimeCommand } from "../test/support.ts";
import { PEERS } from "./peers.ts";
import { cpuSeconds, openFilesLimit, residentMiB } from "./proc.ts";
import { CLIENT_CORE, type Contender } from "./proxies.ts";
import { perKind, type Subject } from "./subject.ts";

const IDLE = 3_000;
const SPARE_FILES = 500;
const SETTLE = { everyMs: 500, looks: 12, share: 0.002 };
const WARM_UP_SECONDS = 2;
const REST_MS = 30_000;

export const HANDSHAKES: Subject = {
  name: "handshakes",
  rows: [
    { title: "full TLS handshake: CPU µs", digits: 0 },
    { title: "full TLS handshakes a second, by a client on one core", digits: 0, isDetail: true },
  ],
  async begin(bench, { seconds }) {
    const upstream = await bench.startUpstream();
    const started = perKind(async (kind) => {
      const proxy = await bench.startProxy(kind, upstream);
      if (!PEERS.has(kind)) await handshakes(proxy, WARM_UP_SECONDS);
      return proxy;
    });
    return async (kind) => await handshakes(await started(kind), seconds);
  },
};

async function handshakes({ port, pid }: Contender, seconds: number): Promise<number[]> {
  const args = [...clientCommand("handshakes", port, seconds)];
  const before = cpuSeconds(pid);
  const { code, stdout, stderr } = await run("taskset", args, {
    timeout: seconds * 1000 + REST_MS,
  });
  if (code !== 0) throw new Error(stdout || stderr);
  const count = Number(stdout);
  return [(cpuSeconds(pid) - before) / count * 1e6, count / seconds];
}

const clientCommand = (mode: string, port: number, amount: number): string[] => [
  ...["-c", CLIENT_CORE, ...runtimeCommand("bench/client.ts")],
  ...[mode, String(port), String(amount)],
];

export const IDLE_CONNECTIONS: Subject = {
  name: "idle",
  rows: [
    { title: "memory after the start, MiB", digits: 0 },
    { title: `KiB a TLS connection, ${IDLE} idle after a request each`, digits: 1 },
  ],
  mostRuns: 1,
  async begin(bench) {
    const least = 2 * IDLE + SPARE_FILES; // a proxy may have as many to its upstream
    if (openFilesLimit() < least) throw new Error(`needs "ulimit -n ${least}" or more`);
    const upstream = await bench.startUpstream();
    return async (kind) => {
      const proxy = await bench.startProxy(kind, upstream);
      try {
        return await idleMemory(proxy);
      } finally {
        await bench.stop(proxy.pid); // and with it what it keeps of these connections
      }
    };
  },
};

async function idleMemory({ port, pid }: Contender): Promise<number[]> {
  const rest = await settledMiB(pid);
  const client = spawn("taskset", clientCommand("idle", port, IDLE));
  const lines = createInterface(client.stdout)[Symbol.asyncIterator]();
  const exited = once(client, "exit");
  try {
    const { value = "the client ended" } = await lines.next();
    if (value !== "idle") throw new Error(value);
    const idle = await settledMiB(pid);
    if (client.exitCode !== null) throw new Error((await lines.next()).value);
    return [rest, (idle - rest) * 1024 / IDLE];
  } finally {
    client.stdin.end();
    await exited;
  }
}

/** Memory when it no longer changes, or after a while. */
async function settledMiB(pid: number): Promise<number> {
  let last = residentMiB(pid);
  for (let i = 0, same = 0; i < SETTLE.looks && same < 3; i++) {
    await setTimeout(SETTLE.everyMs);
    const now = residentMiB(pid);
    same = Math.abs(now - last) < last * SETTLE.share ? same + 1 : 0;
    last = now;
  }
  return last;
}
