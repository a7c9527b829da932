/**
 * What serves, apart from what decides: the front end, the proxy, and certificates by lookup. The
 * seam is `Server`: it is this process (`LocalServer`), or workers of which each has a LocalServer
 * (`workers.ts`).
 *
 * Needs `frontend.ts`, `proxy.ts`, `upstream.ts`, `challenges.ts`, `clock.ts`.
 */
import { parseNetworks } from "./addr.ts";
import { ChallengeAnswers } from "./challenges.ts";
import { Clock } from "./clock.ts";
import { Frontend, type FrontendOptions } from "./frontend.ts";
import type { Report } from "./health.ts";
import { Proxy } from "./proxy.ts";
import { parseRoutes, type Route, type RouteTable } from "./routes.ts";
import type { ServedMetrics } from "./servedmetrics.ts";
import { UpstreamPools } from "./upstream.ts";

type Ports = "httpPort" | "httpsPort" | "redirectPort" | "tailscale";
type Limits = "limits" | "maxConnections" | "timeouts" | "proxyNetworks";

/** What the options say of serving, as JSON can carry it; times in milliseconds. */
export interface ServingSettings extends Pick<FrontendOptions, Ports | Limits> {
  /** As parseNetworks() takes it. */
  readonly trustedNetworks: string;
  readonly connectTimeout: number;
  readonly shutdownTimeout: number;
}

/** A promise resolves when it holds for all that serve. */
export interface Server {
  /** What CAs are answered. */
  readonly challenges: ChallengeAnswers;
  /** Opens the ports, but for Tailscale's; says in the log where they are. */
  listen(): Promise<void>;
  /** Has the ports open at these addresses, and at no others; rejects if some can't be opened. */
  listenOn(addresses: readonly string[]): Promise<void>;
  /** Puts routes in force; certificates of these keys aren't served any more. */
  apply(table: RouteTable, stale: readonly string[]): Promise<void>;
  /** Certificates of these keys aren't served any more. */
  forget(keys: readonly string[]): Promise<void>;
  /** What each process that serves says; `silent`: numbers of the workers that say nothing. */
  report(): Promise<{ reports: readonly unknown[]; silent: readonly number[] }>;
  /** Opens the access log anew, where other processes have it. */
  reopen?(): Promise<void>;
  /** What each process has counted, as snapshots (see metrics.ts) that may be a stranger's. */
  counts(): Promise<readonly unknown[]>;
  /** Stops accepting; resolves when what was in flight has ended, or its time was over. */
  drain(): Promise<void>;
  /** Ends everything at once. */
  close(): void;
}

type Shared = "log" | "onListening" | "identify" | "observer";
type Made = "clock" | "challenges" | "certificateFor" | "handle" | "isServed";
type FrontendParts = Shared | Made;

/** The ports, with the clock that their timeouts are measured with. */
export function createFrontend(
  { trustedNetworks, ...settings }: ServingSettings,
  parts: Pick<FrontendOptions, FrontendParts>,
): Frontend {
  return new Frontend({ ...settings, ...parts, trusted: parseNetworks(trustedNetworks) });
}

export interface LocalParts extends Pick<FrontendOptions, Shared> {
  /** What the observer counts in. */
  readonly metrics?: ServedMetrics | undefined;
  /** Of a route, for one of its names; for those of Tailscale it depends on the name. */
  readonly certificateOf: (
    route: Route,
    name: string,
  ) => ReturnType<FrontendOptions["certificateFor"]>;
  /** For what keeps certificates elsewhere. */
  readonly forget?: (keys: readonly string[]) => void;
}

/** All of it in this process. */
export class LocalServer implements Server {
  readonly challenges: ChallengeAnswers = new ChallengeAnswers();
  readonly #settings: ServingSettings;
  readonly #parts: LocalParts;
  readonly #clock = new Clock();
  readonly #pools: UpstreamPools;
  readonly #proxy: Proxy;
  readonly #frontend: Frontend;

  constructor(settings: ServingSettings, parts: LocalParts) {
    this.#settings = settings;
    this.#parts = parts;
    const [clock, { challenges }, { certificateOf, ...rest }] = [this.#clock, this, parts];
    const { redirectPort, connectTimeout } = settings;
    const pools = this.#pools = new UpstreamPools(clock, connectTimeout);
    const proxy = new Proxy(parseRoutes(""), { pools, clock, log: parts.log, redirectPort });
    this.#proxy = proxy;
    this.#frontend = createFrontend(settings, {
      ...{ ...rest, clock, challenges },
      certificateFor: (name) => {
        const route = name === undefined ? proxy.routes.fallback : proxy.routes.find(name);
        return route === undefined ? undefined : certificateOf(route, name ?? route.domains[0]);
      },
      isServed: (name) => proxy.routes.find(name) !== undefined,
      handle: (head, downstream) => proxy.handle(head, downstream),
    });
  }

  listen(): Promise<void> {
    return this.#frontend.listen();
  }

  listenOn(addresses: readonly string[]): Promise<void> {
    return this.#frontend.listenOn(addresses);
  }

  async apply(table: RouteTable, stale: readonly string[]): Promise<void> {
    const before = new Map(this.#requests());
    for (const route of table.routes) route.requests = before.get(route.domains[0] ?? "") ?? 0;
    this.#proxy.routes = table;
    this.#parts.forget?.(stale);
    this.#pools.retain(new Set(table.routes.flatMap(upstreamNames)));
    this.#parts.metrics?.retain(primaryNames(table.routes));
  }

  async report(): Promise<{ reports: [Report]; silent: [] }> {
    const report = { upstreams: this.#pools.health(), requests: this.#requests() };
    return { reports: [report], silent: [] };
  }

  /** By primary; of routes that have had any. */
  #requests(): Report["requests"] {
    const asked = this.#proxy.routes.routes.filter(({ requests }) => requests > 0);
    return asked.map(({ domains, requests }) => [domains[0] ?? "", requests]);
  }

  async counts(): Promise<readonly unknown[]> {
    return [this.#parts.metrics?.snapshot(this.#frontend.connections)];
  }

  async forget(keys: readonly string[]): Promise<void> {
    this.#parts.forget?.(keys);
  }

  drain(): Promise<void> {
    return this.#frontend.drain(this.#settings.shutdownTimeout);
  }

  close(): void {
    this.#pools.close();
    this.#clock.close();
  }
}

function upstreamNames(route: Route): string[] {
  return [...route.upstreams, ...route.errors.map((error) => error.upstream)].map((to) => to.name);
}

/** What routes are called by. */
export function primaryNames(routes: readonly Route[]): Set<string> {
  return new Set(routes.map(({ domains: [primary = ""] }) => primary));
}
