/**
 * Processes that serve, seen from the one that decides: started, told, watched, replaced. Theirs is
 * `worker.ts`.
 *
 * How they share a port, as measured on Node 20 to 26 and Deno 2.9 (CPU time for a connection that
 * is opened and closed): the cluster module's SCHED_NONE, 105 µs, where this process binds, and the
 * workers accept from the one queue. Its round robin costs 280 µs, for this process accepts and
 * hands over. Sockets of their own with SO_REUSEPORT cost 110 µs, spread better, and aren't there
 * on Node 20; but what waits in the queue of a worker that dies is lost, and what comes for one
 * that hangs waits for it. From the one queue others take it.
 *
 * A worker has no account key, and no environment that may have one: all it is told comes by IPC.
 * Its log lines are written here, for two processes that write to one pipe may mix longer ones.
 *
 * Needs `serving.ts`, `challenges.ts`, `certs.ts`, and the runtime's cluster module.
 */
import cluster, { type Worker } from "node:cluster";
import { isIP } from "node:net";
import process from "node:process";
import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { fileURLToPath } from "node:url";
import type { Ask, ChallengeQuestion } from "./askedchallenges.ts";
import type { Certificates } from "./certs.ts";
import { type ChallengeAnswer, ChallengeAnswers } from "./challenges.ts";
import type { Identity } from "./contexts.ts";
import type { Listening } from "./frontend.ts";
import type { Report } from "./health.ts";
import type { FieldLines } from "./http1.ts";
import type { Level, Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { ObserveSettings } from "./observing.ts";
import type { Route, RouteTable } from "./routes.ts";
import { primaryNames, type Server, type ServingSettings } from "./serving.ts";
import type { Identify } from "./whois.ts";

/** Looks at the workers, in milliseconds; one not heard of at so many of them in a row hangs. */
const LOOK_INTERVAL = 2_000;
const LOOKS = 5;
/** The same for one that is starting. */
const START_LOOKS = 30;
/** One that lived shorter than this has crashed; after each in a row the wait is twice as long. */
const WELL_AFTER = 10_000;
const FIRST_WAIT = 100;
const LONGEST_WAIT = 30_000;
/** For saying how it is, in milliseconds. */
const REPORT_TIMEOUT = 2_000;
/** For saying what it has counted, in milliseconds; after it what it said before counts. */
const COUNT_TIMEOUT = 2_000;
/** UTF-16 units of a log line: one has no more fields that this is too little for. */
const MAX_LINE = 256 * 1024;
/** Variables that a worker has; others may hold secrets, such as those of DNS providers. */
const KEPT = /^(PATH|HOME|TMPDIR|TZ|LANG|LC_.*|SSL_CERT_.*|NODE_(OPTIONS|EXTRA_CA_CERTS)|DENO_.*)$/;

/** What a worker needs to know to start. */
export interface WorkerSettings extends ServingSettings {
  readonly wildcards: readonly string[];
  /** What a CA asks for and isn't known is asked here. */
  readonly asks: boolean;
  readonly log: Readonly<{ level: Level; format: "text" | "json"; terminal: boolean }>;
  readonly observe: ObserveSettings;
}

/** What a worker does when it is told to, and says when it is done. */
export type Task =
  | { readonly routes: readonly Route[]; readonly stale: readonly string[] }
  | { readonly forget: readonly string[] }
  | { readonly challenge: ChallengeAnswer }
  | { readonly addresses: readonly string[] }
  | { readonly count: true }
  | { readonly reopen: true }
  | { readonly drain: true };

/** All that holds when a worker starts. */
export interface Start {
  readonly start: WorkerSettings;
  /** Its number, from 1 on. */
  readonly worker: number;
  readonly routes: readonly Route[];
  readonly challenges: readonly ChallengeAnswer[];
}

/**
 * `start` comes first and answers `hello`; `key` answers `ask`, `whose` answers `whoIs`, `question`
 * what has that number; `report` is answered so.
 */
export type ToWorker =
  | { readonly report: true }
  | Start
  | { readonly id: number; readonly task: Task }
  | { readonly key: string; readonly identity?: Identity | undefined }
  | { readonly whose: number; readonly fields: FieldLines }
  | { readonly question: number; readonly found?: ChallengeAnswer | undefined };

/** `failed` says why a start, or a task, isn't done; `counted` answers `count`. */
export type FromWorker =
  | { readonly hello: true }
  | { readonly listening: readonly Listening[] }
  | { readonly failed: string }
  | { readonly id: number; readonly failed?: string; readonly counted?: unknown }
  | { readonly lines: string }
  | { readonly ask: string }
  | { readonly whoIs: number; readonly address: string; readonly port: number }
  | { readonly question: number; readonly about: ChallengeQuestion }
  | { readonly unusable: string; readonly problem: string }
  | { readonly line: string }
  | { readonly report: Report }
  | { readonly alive: true };

export interface WorkersOptions {
  readonly count: number;
  readonly settings: WorkerSettings;
  readonly log: Logger;
  /** Writes a log line. */
  readonly write: (line: string) => void;
  /** Whose certificates are served, by key (see contexts.ts). */
  readonly certificates: Pick<Certificates, "identity" | "unusable">;
  /** Who clients are. */
  readonly identify?: Identify | undefined;
  /** Takes lines of the access log. */
  readonly takeLines?: ((lines: unknown) => void) | undefined;
  /** What those that have ended had counted; no counter goes backwards. */
  readonly ended?: Metrics | undefined;
  /** For challenges that aren't known here; it checks what it is asked. */
  readonly ask?: Ask | undefined;
}

/** A place that one worker after another has. */
interface Place {
  readonly number: number;
  child: Worker;
  state: "starting" | "started" | "listening";
  /** Looks in a row that it wasn't heard of. */
  silent: number;
  /** How many in a row crashed here; undefined for the first one. */
  readonly crashes: number | undefined;
  /** What it was told and hasn't answered, by id. */
  readonly tasks: Map<number, (failed?: string) => void>;
  /** Set while it is asked; what it said last. */
  counting: Promise<void> | undefined;
  counted: unknown;
  /** Settles its start. */
  onStart: (result: readonly Listening[] | Error) => void;
  /** Those who wait for its report; undefined when it won't come. */
  readonly onReport: Set<(report?: unknown) => void>;
}

export class Workers implements Server {
  readonly challenges: ChallengeAnswers = new ChallengeAnswers((answer) => this.#challenge(answer));
  readonly #options: WorkersOptions;
  readonly #places: Place[] = [];
  #routes: readonly Route[] = [];
  /** Where Tailscale's ports are open. */
  #addresses: readonly string[] = [];
  /** What CAs are answered now, for workers that start. */
  readonly #answers = new Map<string, ChallengeAnswer>();
  #looks: ReturnType<typeof setInterval> | undefined;
  #nextId = 0;
  /** Those that end now aren't replaced. */
  #ending = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Rejects if one of them can't start. */
  async listen(): Promise<void> {
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    const exec = fileURLToPath(new URL("./worker.ts", import.meta.url));
    cluster.setupPrimary({ exec, args: [], serialization: "json" });
    process.once("exit", () => this.close());
    this.#looks = setInterval(() => this.#look(), LOOK_INTERVAL);
    const numbers = Array.from({ length: this.#options.count }, (_, i) => i + 1);
    const [ports = []] = await Promise.all(numbers.map((number) => this.#start(number)));
    for (const at of ports) this.#options.log.info("listening", at);
  }

  listenOn(addresses: readonly string[]): Promise<void> {
    this.#addresses = addresses;
    return this.#tell({ addresses });
  }

  async apply({ routes }: RouteTable, stale: readonly string[]): Promise<void> {
    this.#routes = routes;
    this.#options.ended?.retain("route", primaryNames(routes).add(""));
    await this.#tell({ routes, stale });
  }

  forget(keys: readonly string[]): Promise<void> {
    return this.#tell({ forget: keys });
  }

  async report(): ReturnType<Server["report"]> {
    const told = await Promise.all(this.#places.map(ask));
    const silent = this.#places.filter((_, i) => told[i] === undefined);
    return {
      reports: told.filter((one) => one !== undefined),
      silent: silent.map(({ number }) => number),
    };
  }

  reopen(): Promise<void> {
    return this.#tell({ reopen: true });
  }

  async counts(): Promise<readonly unknown[]> {
    const asked = this.#places.filter(({ state }) => state === "listening").map((place) =>
      place.counting ??= this.#ask(place, { count: true }).catch(() => {})
        .finally(() => place.counting = undefined)
    );
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((done) => timer = setTimeout(done, COUNT_TIMEOUT));
    await Promise.race([Promise.all(asked), late]).finally(() => clearTimeout(timer));
    return [this.#options.ended?.snapshot(), ...this.#places.map(({ counted }) => counted)];
  }

  drain(): Promise<void> {
    this.#ending = true;
    return this.#tell({ drain: true });
  }

  close(): void {
    this.#ending = true;
    clearInterval(this.#looks);
    for (const { child } of this.#places) child.process.kill("SIGKILL");
  }

  #challenge(challenge: ChallengeAnswer): Promise<void> {
    const isHttp = "token" in challenge;
    const key = isHttp ? `token ${challenge.token}` : `name ${challenge.serverName}`;
    const given = isHttp ? challenge.keyAuthorization : challenge.certificate;
    if (given === undefined) this.#answers.delete(key);
    else this.#answers.set(key, challenge);
    return this.#tell({ challenge });
  }

  /**
   * Resolves when every worker has done it, or has ended; one that hasn't started yet will have it
   * from the start. Rejects when one can't do it.
   */
  async #tell(task: Task, places: readonly Place[] = this.#places): Promise<void> {
    const started = places.filter(({ state }) => state !== "starting");
    await Promise.all(started.map((place) => this.#ask(place, task)));
  }

  #ask(place: Place, task: Task): Promise<void> {
    return new Promise((done, reject) => {
      const id = ++this.#nextId;
      place.tasks.set(id, (failed) => failed === undefined ? done() : reject(new Error(failed)));
      send(place, { id, task });
    });
  }

  /** Resolves with its ports when it listens; `crashes` of the one that it replaces. */
  #start(number: number, crashes?: number): Promise<readonly Listening[]> {
    const { log } = this.#options;
    const others = Object.keys(process.env).filter((name) => !KEPT.test(name));
    const child = cluster.fork(Object.fromEntries(others.map((name) => [name, undefined])));
    const since = performance.now();
    log.debug("worker starts", { worker: number, pid: child.process.pid });
    return new Promise((resolve, reject) => {
      const onStart: Place["onStart"] = (result) =>
        result instanceof Error ? reject(result) : resolve(result);
      const fresh = {
        ...{ silent: 0, tasks: new Map(), onStart, onReport: new Set<never>() },
        ...{ counting: undefined, counted: undefined },
      };
      const place: Place = { number, child, state: "starting", crashes, ...fresh };
      this.#places[number - 1] = place;
      child.on("message", (message: FromWorker) => this.#hear(place, message));
      child.on("error", (error) => child.process.pid === undefined && ended(error.message));
      child.once("exit", (code, signal) => ended(signal ?? `exit code ${code}`));
      const ended = (why: string) => this.#onEnd(place, why, performance.now() - since);
    });
  }

  #hear(place: Place, message: FromWorker): void {
    const { settings, write, certificates, ask, log, takeLines } = this.#options;
    const { number: worker, tasks } = place;
    const isFirst = place.crashes === undefined;
    place.silent = 0;
    if ("line" in message) write(String(message.line).slice(0, MAX_LINE));
    else if ("ask" in message) {
      send(place, { key: message.ask, identity: certificates.identity(message.ask) });
    } else if ("whoIs" in message) this.#identify(place, message);
    else if ("question" in message) {
      const { question, about } = message;
      const found = ask?.(about) ?? Promise.resolve(undefined);
      found.catch(() => undefined).then((found) => send(place, { question, found }));
    } else if ("unusable" in message) {
      certificates.unusable(message.unusable, new Error(message.problem));
    } else if ("report" in message) {
      for (const done of place.onReport) done(message.report);
    } else if ("lines" in message) takeLines?.(message.lines);
    else if ("id" in message) {
      if ("counted" in message) place.counted = message.counted;
      tasks.get(message.id)?.(message.failed);
      tasks.delete(message.id);
    } else if (this.#ending) return;
    else if ("hello" in message) {
      place.state = "started";
      const challenges = [...this.#answers.values()];
      send(place, { start: settings, worker, routes: this.#routes, challenges });
    } else if ("listening" in message) {
      place.state = "listening";
      place.onStart(message.listening);
      const addresses = this.#addresses; // if they can't be opened, the next look will say so
      if (addresses.length > 0) this.#tell({ addresses }, [place]).catch(() => {});
      if (!isFirst) log.info("worker replaced", { worker, pid: place.child.process.pid });
    } else if ("failed" in message) {
      place.onStart(new Error(message.failed));
      if (!isFirst) log.error("worker can't start", { worker, problem: message.failed });
      place.child.process.kill("SIGKILL");
    }
  }

  async #identify(
    place: Place,
    { whoIs, address, port }: { whoIs: number; address: string; port: number },
  ): Promise<void> {
    const isPeer = typeof address === "string" && isIP(address) !== 0 && Number.isSafeInteger(port);
    const fields = isPeer ? await this.#options.identify?.(address, port) : [];
    send(place, { whose: whoIs, fields: fields ?? [] });
  }

  #onEnd(place: Place, why: string, lived: number): void {
    const { number: worker, child, tasks } = place;
    const isFailedStart = place.state !== "listening" && place.crashes === undefined;
    place.onStart(new Error(`worker ${worker} ended while it started: ${why}`));
    place.state = "starting"; // is told nothing any more
    for (const done of [...tasks.values(), ...place.onReport]) done();
    tasks.clear();
    this.#options.ended?.add(place.counted);
    place.counted = undefined;
    if (this.#ending || isFailedStart) return; // the latter ends the program
    const crashes = lived < WELL_AFTER ? (place.crashes ?? 0) + 1 : 0;
    const wait = crashes < 2 ? 0 : Math.min(FIRST_WAIT * 2 ** (crashes - 2), LONGEST_WAIT);
    const next = wait === 0 ? "another one starts" : `another one starts in ${wait / 1000} s`;
    this.#options.log.error("worker ended", { worker, pid: child.process.pid, why, next });
    setTimeout(() => {
      if (!this.#ending) this.#start(worker, crashes).catch(() => {}); // it is said where it ends
    }, wait);
  }

  /**
   * Looks are counted, not time: after this process itself has stood still, what the workers said
   * meanwhile is heard before the next look.
   */
  #look(): void {
    for (const place of this.#places) {
      const limit = place.state === "listening" ? LOOKS : START_LOOKS;
      if (++place.silent !== limit + 1) continue;
      const { number: worker, child } = place;
      const next = "it is killed, its connections are lost";
      this.#options.log.error("worker hangs", { worker, pid: child.process.pid, next });
      child.process.kill("SIGKILL");
    }
  }
}

/** To one that has just ended, nothing: its end is heard by itself. */
function send({ child }: Place, message: ToWorker): void {
  if (child.isConnected()) child.send(message, () => {});
}

/** What it says of itself; undefined if it isn't there, or doesn't in time. */
function ask(place: Place): Promise<unknown> {
  if (place.state !== "listening") return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const done = (report?: unknown) => {
      clearTimeout(timer);
      place.onReport.delete(done);
      resolve(report);
    };
    const timer = setTimeout(done, REPORT_TIMEOUT);
    place.onReport.add(done);
    send(place, { report: true });
  });
}
