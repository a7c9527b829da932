/**
 * How long requests take while a proxy has half the load that it can take, by h2load's log.
 *
 * What a proxy can take is measured first, for each by itself.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../test/support.ts";
import { drive, LOADS, warmUp } from "./loads.ts";
import { PEERS } from "./peers.ts";
import { type Bench, CLIENT_CORE, type Contender } from "./proxies.ts";
import { perKind, quantile, type Subject } from "./subject.ts";

const PATH = "10k";
const CONNECTIONS = { h1: 64, h2: 16 };
/** Of the intended rate: with less, it wasn't half load. */
const LEAST_SHARE = 0.9;

export const LATENCY_SUBJECTS: readonly Subject[] = (["h1", "h2"] as const).map((protocol) => {
  const title = `${LOADS[protocol].title}, 10 KiB, half load`;
  return {
    name: `latency-${protocol}`,
    rows: [
      { title: `${title}: p50 ms`, digits: 2 },
      { title: `${title}: p99 ms`, digits: 2 },
      { title: `${title}: requests a second`, digits: 0, isDetail: true },
    ],
    async begin(bench, { seconds }) {
      const upstream = await bench.startUpstream();
      const started = perKind(async (kind) => {
        const proxy = await bench.startProxy(kind, upstream);
        if (!PEERS.has(kind)) await warmUp(bench, proxy, protocol, PATH);
        const { perSecond } = await drive(bench, proxy, { protocol, path: PATH, seconds });
        return { proxy, rate: Math.round(perSecond / 2) };
      });
      return async (kind) => {
        const { proxy, rate } = await started(kind);
        return await latencies(bench, proxy, { protocol, rate, seconds });
      };
    },
  };
});

/** p50 and p99 in milliseconds, and the rate that there was. */
async function latencies(
  bench: Bench,
  { port }: Contender,
  { protocol, rate, seconds }: { protocol: "h1" | "h2"; rate: number; seconds: number },
): Promise<number[]> {
  const clients = CONNECTIONS[protocol];
  const log = join(bench.folder, "latency.log");
  bench.write("latency.log", "");
  const args = [
    ...["h2load", "-t1", `-c${clients}`, `-D${seconds}`, `--rps=${rate / clients}`],
    ...["--log-file", log, ...protocol === "h1" ? ["--h1"] : ["-m8"]],
  ];
  await run("taskset", ["-c", CLIENT_CORE, ...args, `https://localhost:${port}/${PATH}`]);
  const rows = readFileSync(log, "latin1").trim().split("\n").map((line) => line.split("\t"));
  const wrong = rows.find(([, status]) => status !== "200");
  if (wrong !== undefined) throw new Error(`an answer ${wrong[1] ?? "never came"}`);
  const got = rows.length / seconds;
  if (got < rate * LEAST_SHARE) throw new Error(`${got.toFixed(0)} of ${rate} requests a second`);
  const times = rows.map(([, , micros]) => Number(micros) / 1000);
  return [quantile(times, 0.5), quantile(times, 0.99), got];
}
