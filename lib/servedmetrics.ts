/**
 * What a process that serves counts: requests by route, connections, handshakes, and itself.
 * `centauri_response_total` and `centauri_tls_hello_total` are those of Go's Centauri.
 *
 * Needs `metrics.ts`, `observe.ts` (types), and /proc for files. Loaded when metrics are on.
 */
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { type Family, Metrics, observe, type Series, type Snapshot } from "./metrics.ts";
import type { RequestFacts, Sink } from "./observe.ts";

/** In seconds: what a proxy adds, what people notice, what they don't wait for. */
const DURATIONS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const [COUNTER, GAUGE] = ["counter", "gauge"] as const;
const ROUTE = ["route"];

/** `route`: its first domain, or empty for what belongs to none. */
export const SERVED_FAMILIES: readonly Family[] = [
  {
    name: "centauri_response_total",
    type: COUNTER,
    help: "Answers by route and status; 499: the client left before there was one.",
    labels: ["route", "status"],
  },
  {
    name: "centauri_request_duration_seconds",
    type: "histogram",
    help: "From a request's head to its answer's end, tunnels left out.",
    labels: ROUTE,
    bounds: DURATIONS,
  },
  {
    name: "centauri_requests_incomplete_total",
    type: COUNTER,
    help: "Requests that ended before their answer was complete, or without one of an upstream.",
    labels: ["route", "reason"],
  },
  {
    name: "centauri_upstream_failures_total",
    type: COUNTER,
    help: "Upstreams that couldn't be reached, or failed in the middle of an answer.",
    labels: ROUTE,
  },
  {
    name: "centauri_upstream_retries_total",
    type: COUNTER,
    help: "Requests sent once more, to another upstream or on another connection.",
    labels: ROUTE,
  },
  {
    name: "centauri_requests_in_flight",
    type: GAUGE,
    help: "Requests, and tunnels, that haven't ended.",
    labels: [],
  },
  {
    name: "centauri_connections",
    type: GAUGE,
    help: "Connections of clients, handshakes included.",
    labels: [],
  },
  {
    name: "centauri_tls_hello_total",
    type: COUNTER,
    help: "ClientHellos by whether there was a certificate for them.",
    labels: ["known"],
  },
  {
    name: "centauri_tls_handshake_failures_total",
    type: COUNTER,
    help: "Connections to the TLS port that didn't get through the handshake.",
    labels: ["reason"],
  },
  {
    name: "centauri_access_log_dropped_lines_total",
    type: COUNTER,
    help: "Lines of the access log that couldn't be written in time.",
    labels: [],
  },
  {
    name: "process_cpu_seconds_total",
    type: COUNTER,
    help: "CPU time, user and system, of all processes.",
    labels: [],
  },
  {
    name: "process_resident_memory_bytes",
    type: GAUGE,
    help: "Resident memory of all processes; what they share counts for each.",
    labels: [],
  },
  { name: "process_open_fds", type: GAUGE, help: "Open files of all processes.", labels: [] },
];

/** Of one route. */
interface RouteSeries {
  readonly duration: Series;
  /** By status. */
  readonly responses: Map<number, Series>;
}

export class ServedMetrics implements Sink {
  readonly metrics: Metrics = new Metrics(SERVED_FAMILIES);
  #routes = new Map<string, RouteSeries>();
  #inFlight = 0;

  constructor() {
    this.metrics.series("centauri_tls_hello_total", "true");
    this.metrics.series("centauri_tls_hello_total", "false");
  }

  onRequestBegin(): void {
    this.#inFlight++;
  }

  onRequestEnd(facts: RequestFacts): void {
    this.#inFlight--;
    const { route = "", status, beganAt, endedAt, ending, failures, retries } = facts;
    const of = this.#routes.get(route) ?? this.#addRoute(route);
    (of.responses.get(status) ?? this.#addStatus(route, of, status))[0]!++;
    if (status !== 101) observe(of.duration, DURATIONS, (endedAt - beganAt) / 1000);
    if (ending !== "complete") {
      const reason = ending.replace(" ", "_");
      this.metrics.series("centauri_requests_incomplete_total", route, reason)[0]!++;
    }
    if (failures > 0) this.#count("centauri_upstream_failures_total", failures, route);
    if (retries > 0) this.#count("centauri_upstream_retries_total", retries, route);
  }

  onHello(known: boolean): void {
    this.#count("centauri_tls_hello_total", 1, `${known}`);
  }

  onHandshakeFailed(reason: string): void {
    this.#count("centauri_tls_handshake_failures_total", 1, reason);
  }

  onLinesDropped(count: number): void {
    this.#count("centauri_access_log_dropped_lines_total", count);
  }

  /** Forgets routes that aren't among these. */
  retain(routes: ReadonlySet<string>): void {
    this.metrics.retain("route", new Set([...routes, ""]));
    this.#routes = new Map();
  }

  /** `connections` as of now. */
  snapshot(connections: number): Snapshot {
    this.metrics.series("centauri_connections")[0] = connections;
    this.metrics.series("centauri_requests_in_flight")[0] = this.#inFlight;
    measureProcess(this.metrics);
    return this.metrics.snapshot();
  }

  #count(name: string, count: number, ...labels: string[]): void {
    this.metrics.series(name, ...labels)[0]! += count;
  }

  #addRoute(route: string): RouteSeries {
    const duration = this.metrics.series("centauri_request_duration_seconds", route);
    const added = { duration, responses: new Map() };
    this.#routes.set(route, added);
    return added;
  }

  /** An upstream may answer with any status. */
  #addStatus(route: string, { responses }: RouteSeries, status: number): Series {
    const label = status >= 100 && status <= 599 ? `${status}` : "other";
    const added = this.metrics.series("centauri_response_total", route, label);
    responses.set(status, added);
    return added;
  }
}

/** This process, with the names that Prometheus's own clients use. */
export function measureProcess(metrics: Metrics): void {
  const { user, system } = process.cpuUsage(); // in microseconds
  metrics.series("process_cpu_seconds_total")[0] = (user + system) / 1e6;
  metrics.series("process_resident_memory_bytes")[0] = process.memoryUsage().rss;
  try {
    metrics.series("process_open_fds")[0] = readdirSync("/proc/self/fd").length;
  } catch {
    // there is no /proc here
  }
}

/** How many files one process may have open; undefined where that isn't known or unlimited. */
export function maxOpenFiles(): number | undefined {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const text = /^Max open files +(\d+) /m.exec(limits)?.[1];
    return text === undefined ? undefined : Number(text);
  } catch {
    return undefined;
  }
}
