/**
 * A process that serves: it has the connections, the routes, and the certificates that somebody
 * asked for. All that is to be decided, the main process decides (`workers.ts`), which starts this
 * program, and tells it what to do by IPC; it ends when that one does.
 *
 * Needs `serving.ts`, `contexts.ts`, `log.ts`, `program.ts`.
 */
import process from "node:process";
import { setInterval } from "node:timers";
import type { ChallengeAnswer } from "./challenges.ts";
import { certificateKey, type Identity, type ServedCertificate } from "./contexts.ts";
import { tailnetKey, toServed } from "./contexts.ts";
import type { Listening } from "./frontend.ts";
import type { FieldLines } from "./http1.ts";
import { createLogger, errorText, type Level, type Logger } from "./log.ts";
import type { Observation } from "./observing.ts";
import { logBugs } from "./program.ts";
import { type Route, tableOf } from "./routes.ts";
import { onUserSignal } from "./runtime.ts";
import { type LocalParts, LocalServer } from "./serving.ts";
import type { FromWorker, Start, Task, ToWorker, WorkerSettings } from "./workers.ts";

const ALIVE_INTERVAL = 1_000;
/** Lines on their way to the main process; more are dropped while it doesn't take them. */
const MAX_LINES = 1_000;
/** Milliseconds that the main process isn't asked again who a client is; it remembers it itself. */
const WHOIS_FRESH = 5_000;

function send(message: FromWorker, done: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, undefined, done);
}

/** The log, each line of which tells whose it is. */
function createWorkerLog(settings: WorkerSettings["log"], worker: number): Logger {
  let underWay = 0;
  let dropped = 0;
  const log = createLogger({
    ...settings,
    write: (line) => {
      if (underWay >= MAX_LINES) return void dropped++;
      underWay++;
      send({ line }, () => {
        if (--underWay > 0 || dropped === 0) return;
        const count = dropped;
        dropped = 0;
        log.warn("log lines dropped", { count, worker });
      });
    },
  });
  const at = (level: Level): Logger[Level] => (message, fields) =>
    log[level](message, { ...fields, worker });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Certificates by key: the main process is asked for each when it is needed first. */
class AskedCertificates {
  readonly #settings: Pick<WorkerSettings, "wildcards" | "tailscale">;
  readonly #served = new Map<string, { goodUntil: number; certificate: ServedCertificate }>();
  readonly #asked = new Map<string, PromiseWithResolver>();

  constructor(settings: Pick<WorkerSettings, "wildcards" | "tailscale">) {
    this.#settings = settings;
  }

  find(
    route: Route,
    name: string,
  ): ServedCertificate | Promise<ServedCertificate | undefined> {
    const { tailscale, wildcards } = this.#settings;
    const own = tailscale === undefined ? undefined : tailnetKey(name);
    const key = own ?? certificateKey(route, wildcards);
    const served = this.#served.get(key);
    if (served !== undefined && served.goodUntil > Date.now()) return served.certificate;
    let asked = this.#asked.get(key);
    if (asked === undefined) {
      let resolve: PromiseWithResolver["resolve"] = () => {};
      asked = { promise: new Promise((done) => resolve = done), resolve };
      this.#asked.set(key, asked);
      send({ ask: key });
    }
    return asked.promise;
  }

  /** What the main process answers. */
  take(key: string, identity: Identity | undefined): void {
    const asked = this.#asked.get(key);
    this.#asked.delete(key);
    try {
      const certificate = identity && toServed(identity);
      if (certificate) this.#served.set(key, { goodUntil: identity.goodUntil, certificate });
      asked?.resolve(certificate);
    } catch (error) {
      send({ unusable: key, problem: errorText(error) });
      asked?.resolve(undefined);
    }
  }

  forget(keys: readonly string[]): void {
    for (const key of keys) this.#served.delete(key);
  }
}

interface PromiseWithResolver {
  readonly promise: Promise<ServedCertificate | undefined>;
  readonly resolve: (certificate: ServedCertificate | undefined) => void;
}

/** The main process is asked for challenges that aren't known here, too. */
async function askForChallenges(server: LocalServer): Promise<void> {
  const { AskedChallenges } = await import("./askedchallenges.ts");
  const asked = new Map<number, (found: ChallengeAnswer | undefined) => void>();
  let last = 0;
  server.challenges.others = new AskedChallenges((about) =>
    new Promise((resolve) => {
      asked.set(++last, resolve);
      send({ question: last, about });
    })
  );
  process.on("message", (message: ToWorker) => {
    if (!("question" in message)) return;
    asked.get(message.question)?.(message.found);
    asked.delete(message.question);
  });
}

/** What observes, if anything is to be; without an access log that can't be opened. */
async function createObserver(settings: WorkerSettings["observe"], log: Logger): Promise<Observed> {
  if (!settings.metrics && settings.accessLog === undefined) return {};
  const { observe } = await import("./observing.ts");
  const observed = observe(settings, log, (lines, done) => send({ lines }, done));
  await observed.accessLog?.open().catch((error: Error) => {
    log.error("access log not opened", { error, next: "SIGUSR1 tries again" });
  });
  return observed;
}

type Observed = Partial<Observation>;

async function perform({ server, observed }: Serving, { id, task }: TaskMessage): Promise<void> {
  if ("count" in task) return send({ id, counted: (await server.counts())[0] });
  if ("routes" in task) await server.apply(tableOf(task.routes), task.stale);
  else if ("forget" in task) await server.forget(task.forget);
  else if ("challenge" in task) await server.challenges.apply(task.challenge);
  else if ("addresses" in task) await server.listenOn(task.addresses);
  else if ("reopen" in task) await observed.accessLog?.open();
  else {
    await server.drain();
    await observed.close?.();
  }
  send({ id });
}

type Serving = Readonly<{ server: LocalServer; observed: Observed }>;
type TaskMessage = Readonly<{ id: number; task: Task }>;

async function start({ start: settings, worker, routes, challenges }: Start): Promise<void> {
  const log = createWorkerLog(settings.log, worker);
  logBugs(log);
  const certificates = new AskedCertificates(settings);
  const listening: Listening[] = [];
  let isStarting = true;
  const asked = new Map<number, (fields: FieldLines) => void>();
  const observed = await createObserver(settings.observe, log);
  const server = new LocalServer(settings, {
    ...{ log, observer: observed.observer, metrics: observed.metrics },
    certificateOf: (route, name) => certificates.find(route, name),
    forget: (keys) => certificates.forget(keys),
    onListening: (at) => {
      if (isStarting) listening.push(at);
      else if (worker === 1) log.info("listening", at);
    },
    identify: settings.tailscale && await askWhoIs(asked, log),
  });
  // What holds at the start comes before what changes it.
  const loaded = Promise.all([
    server.apply(tableOf(routes), []),
    ...challenges.map((challenge) => server.challenges.apply(challenge)),
  ]);
  process.on("message", (message: ToWorker) => {
    if ("key" in message) return certificates.take(message.key, message.identity);
    if ("whose" in message) {
      asked.get(message.whose)?.(message.fields);
      return void asked.delete(message.whose);
    }
    if ("report" in message) {
      return void server.report().then(({ reports: [report] }) => send({ report }));
    }
    if (!("task" in message)) return;
    loaded.then(() => perform({ server, observed }, message)).catch((error: Error) => {
      send({ id: message.id, failed: errorText(error) });
    });
  });
  await loaded;
  if (settings.asks) await askForChallenges(server);
  await server.listen();
  isStarting = false;
  send({ listening });
}

/** Who clients are, as the main process knows: `asked` has what its answers go to. */
async function askWhoIs(
  asked: Map<number, (fields: FieldLines) => void>,
  log: Logger,
): Promise<LocalParts["identify"]> {
  const { identifySockets, rememberWhoIs } = await import("./whois.ts");
  let last = 0;
  const ask = (address: string, port: number): Promise<FieldLines> =>
    new Promise((resolve) => {
      asked.set(++last, resolve);
      send({ whoIs: last, address, port });
    });
  const onFailure = (error: Error) => log.debug("client unknown", { error });
  return identifySockets(rememberWhoIs(ask, { onFailure, fresh: WHOIS_FRESH }));
}

// The main process decides, also when a signal goes to all processes of a group; SIGUSR1 would
// have Node listen for a debugger.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const) {
  process.on(signal, () => {});
}
onUserSignal(() => {});
process.once("disconnect", () => process.exit(0));
process.once("message", (message: ToWorker) => {
  if (!("start" in message)) return;
  start(message).catch((error: Error) => send({ failed: errorText(error) }));
});
setInterval(() => send({ alive: true }), ALIVE_INTERVAL);
send({ hello: true });
