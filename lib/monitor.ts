/**
 * What an operator sees of the program, on the side of the main process: the page of metrics, which
 * sums what all processes count, and lines of the access log that go to standard output.
 *
 * Needs `metrics.ts`, `servedmetrics.ts`, `accesslog.ts`, `observing.ts`, `metricsserver.ts`
 * (types). Loaded when there are metrics or an access log.
 */
import process from "node:process";
import type { AccessFormat } from "./accessline.ts";
import { areLines, createAccessLog, isStdout, LineBuffer, sayDropped } from "./accesslog.ts";
import type { WriteLines } from "./accesslog.ts";
import { namesOf } from "./contexts.ts";
import type { Logger } from "./log.ts";
import { type Family, Metrics, METRICS_TYPE } from "./metrics.ts";
import type { Page } from "./metricsserver.ts";
import { type Observation, observe, type ObserveSettings } from "./observing.ts";
import type { Route } from "./routes.ts";
import { maxOpenFiles, measureProcess, SERVED_FAMILIES } from "./servedmetrics.ts";
import type { Store } from "./store.ts";

const [COUNTER, GAUGE] = ["counter", "gauge"] as const;
const EXPIRY = "centauri_certificate_expiry_timestamp_seconds";
const RELOAD = "centauri_config_last_reload_successful";
const RELOADED_AT = "centauri_config_last_reload_success_timestamp_seconds";
const FAILED_ORDERS = "centauri_acme_orders_failed_total";
const DROPPED = "centauri_access_log_dropped_lines_total";

/** What only the main process knows. */
const MAIN_FAMILIES: readonly Family[] = [
  {
    name: EXPIRY,
    type: GAUGE,
    help: "When the certificate that is stored for a route expires, and what its subject is.",
    labels: ["route", "subject"],
  },
  {
    name: RELOAD,
    type: GAUGE,
    help: "Whether the routes that were read last are in force.",
    labels: [],
  },
  {
    name: RELOADED_AT,
    type: GAUGE,
    help: "When routes came into force last.",
    labels: [],
  },
  {
    name: FAILED_ORDERS,
    type: COUNTER,
    help: "Certificates that weren't obtained, by subject.",
    labels: ["subject"],
  },
  {
    name: "process_start_time_seconds",
    type: GAUGE,
    help: "When the main process started.",
    labels: [],
  },
  { name: "process_max_fds", type: GAUGE, help: "Most open files of each process.", labels: [] },
];

export interface MonitorOptions {
  readonly metrics: boolean;
  /** A file, `-` or `stdout`; empty for none. */
  readonly accessLog: string;
  readonly format: AccessFormat;
  readonly wildcards: readonly string[];
  /** Where certificates may come from, best first. */
  readonly providers: readonly string[];
  readonly store: Store;
  readonly log: Logger;
}

export class Monitor {
  readonly settings: ObserveSettings;
  /** What workers that have ended had counted. */
  readonly ended: Metrics | undefined;
  readonly #options: MonitorOptions;
  readonly #metrics: Metrics = new Metrics([...SERVED_FAMILIES, ...MAIN_FAMILIES]);
  /** Of workers' lines for standard output. */
  readonly #lines: LineBuffer | undefined;
  /** What observes in this process, if it serves. */
  #local: Observation | undefined;
  #routes: readonly Route[] = [];

  /** Rejects if the access log can't be opened. */
  static async open(options: MonitorOptions): Promise<Monitor> {
    const monitor = new Monitor(options);
    const { accessLog: path } = options;
    if (path === "") return monitor;
    const tried = createAccessLog(path, toStdout);
    await tried.open();
    tried.close();
    return monitor;
  }

  private constructor(options: MonitorOptions) {
    const { metrics, accessLog: path, format, log } = options;
    this.#options = options;
    this.settings = { metrics, accessLog: path === "" ? undefined : { path, format } };
    if (metrics) {
      this.ended = new Metrics(SERVED_FAMILIES.filter(({ type }) => type !== GAUGE));
    }
    if (!isStdout(path)) return;
    const say = sayDropped(log);
    this.#lines = new LineBuffer(toStdout, (count, error) => {
      this.#metrics.series(DROPPED)[0]! += count;
      say(count, error);
    });
  }

  /** What observes when this process serves by itself. Rejects if the log can't be opened. */
  async local(): Promise<Observation> {
    this.#local = observe(this.settings, this.#options.log, toStdout);
    await this.#local.accessLog?.open();
    return this.#local;
  }

  /** Takes a worker's lines; what can't be of the log is left out. */
  takeLines(lines: unknown): void {
    if (areLines(lines)) this.#lines?.push(lines, lines.split("\n").length - 1);
  }

  /** Opens the access log anew; `others` does it where other processes have it. */
  async reopen(others: () => Promise<void> | undefined): Promise<void> {
    const { accessLog: path, log } = this.#options;
    if (path === "" || isStdout(path)) return;
    try {
      await (this.#local?.accessLog?.open() ?? others());
      log.info("access log reopened", { path });
    } catch (error) {
      const next = "the old file stays";
      log.error("access log not reopened", { path, error: error as Error, next });
    }
  }

  /** Routes are in force. */
  onReload(routes: readonly Route[]): void {
    this.#routes = routes;
    this.#metrics.series(RELOAD)[0] = 1;
    this.#metrics.series(RELOADED_AT)[0] = Math.round(Date.now() / 1000);
    this.#metrics.retain("subject", new Set(routes.map((route) => this.#namesOf(route)[0] ?? "")));
  }

  /** The old routes stay. */
  onReloadFailed(): void {
    this.#metrics.series(RELOAD)[0] = 0;
  }

  onOrderFailed([subject = ""]: readonly string[]): void {
    this.#metrics.series(FAILED_ORDERS, subject)[0]!++;
  }

  /** `counts`: what the processes that serve have counted. */
  async page(counts: Promise<readonly unknown[]>): Promise<Page> {
    const all = new Metrics([...SERVED_FAMILIES, ...MAIN_FAMILIES]);
    if (this.#local === undefined) measureProcess(this.#metrics); // else it is counted as serving
    this.#metrics.series("process_start_time_seconds")[0] = performance.timeOrigin / 1000;
    const files = maxOpenFiles();
    if (files !== undefined) this.#metrics.series("process_max_fds")[0] = files;
    for (const snapshot of [this.#metrics.snapshot(), ...await counts]) all.add(snapshot);
    this.#addExpiries(all);
    return { type: METRICS_TYPE, body: all.format() };
  }

  #addExpiries(to: Metrics): void {
    const { store, providers } = this.#options;
    for (const route of this.#routes) {
      const [subject = "", ...alternates] = this.#namesOf(route);
      const from = route.provider === undefined ? providers : [route.provider];
      const ends = from.map((provider) => store.find(provider, subject, alternates)?.notAfter)
        .filter((end) => end !== undefined).map((end) => Date.parse(end) / 1000);
      const [best] = ends.filter((end) => end > Date.now() / 1000).concat(ends);
      if (best === undefined) continue;
      to.series(EXPIRY, route.domains[0] ?? "", subject)[0] = best;
    }
  }

  #namesOf(route: Route): string[] {
    return namesOf(route, this.#options.wildcards);
  }

  /** Resolves when the access log is written, or can't be in time. */
  async close(): Promise<void> {
    await Promise.all([this.#local?.close(), this.#lines?.close()]);
  }
}

const toStdout: WriteLines = (lines, done) => void process.stdout.write(lines, done);
