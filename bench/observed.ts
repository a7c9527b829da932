/**
 * What observing costs: CPU time that a request takes more with an access log, and with metrics,
 * each beside a Centauri without, in turns that are short, for the difference is less than what
 * else goes on in a machine makes of a longer one.
 */
import { join } from "node:path";
import { drive, warmUp } from "./loads.ts";
import { PEERS } from "./peers.ts";
import { freePort } from "./proxies.ts";
import { median, perKind, type Subject } from "./subject.ts";

const TURNS = 6;
/** Of each turn. */
const SECONDS = 3;

type Variables = Readonly<Record<string, string>>;

/** What is compared, the first being without. */
const variants = (folder: string, port: number): readonly Variables[] => [
  {},
  { ACCESS_LOG: join(folder, `access-${port}.log`) },
  { ACCESS_LOG: join(folder, `access-${port}.json`), ACCESS_LOG_FORMAT: "json" },
  { METRICS_PORT: `${port}`, METRICS_ADDRESS: "127.0.0.1" },
];

export const OBSERVED: Subject = {
  name: "observed",
  rows: [
    { title: "Access log, Combined: CPU µs a request more", digits: 2, hasRatio: false },
    { title: "Access log, JSON: CPU µs a request more", digits: 2, hasRatio: false },
    { title: "Metrics: CPU µs a request more", digits: 2, hasRatio: false },
  ],
  mostRuns: 1,
  applies: (kind) => !PEERS.has(kind),
  async begin(bench) {
    const upstream = await bench.startUpstream();
    const plan = { protocol: "h1", path: "small", seconds: SECONDS } as const;
    const started = perKind(async (kind) => {
      const proxies = [];
      for (const more of variants(bench.folder, await freePort())) {
        const proxy = await bench.startProxy(kind, upstream, 0, more);
        await warmUp(bench, proxy, plan.protocol, plan.path);
        proxies.push(proxy);
      }
      return proxies;
    });
    return async (kind) => {
      const proxies = await started(kind);
      const costs: number[][] = proxies.map(() => []);
      for (let turn = 0; turn < TURNS; turn++) {
        for (const [i, proxy] of proxies.entries()) {
          costs[i]?.push((await drive(bench, proxy, plan)).cpu);
        }
      }
      return differences(costs);
    };
  },
};

/** The median of what each costs more than the first one did in the same turn. */
function differences([without = [], ...others]: readonly (readonly number[])[]): number[] {
  return others.map((costs) => median(costs.map((cost, turn) => cost - (without[turn] ?? NaN))));
}
