/**
 * Centauri: a TLS-terminating reverse proxy. This file wires the parts together and ends them;
 * see the README for the order to read them in.
 */
import { availableParallelism } from "node:os";
import process from "node:process";
import { parseNetworks } from "./lib/addr.ts";
import { answer } from "./lib/answer.ts";
import { acmeSettings, checkAcmeOptions, commandOf } from "./lib/acmesettings.ts";
import { isAutomatic, providersInUse } from "./lib/acmesettings.ts";
import type { Ask } from "./lib/askedchallenges.ts";
import { Certificates } from "./lib/certs.ts";
import { ChallengeAnswers } from "./lib/challenges.ts";
import { Clock } from "./lib/clock.ts";
import { type Logger, quote } from "./lib/log.ts";
import { parseDecimal } from "./lib/number.ts";
import { OptionError, type Options } from "./lib/options.ts";
import { logSettings, signalled, startProgram } from "./lib/program.ts";
import { type Route, RouteError, type RouteTable } from "./lib/routes.ts";
import { logProblems, readRoutes, RouteSourceError, startFileSource } from "./lib/routesource.ts";
import { createFrontend, LocalServer, type Server } from "./lib/serving.ts";
import type { ServingSettings } from "./lib/serving.ts";
import { CENTAURI_OPTIONS } from "./lib/settings.ts";
import type { Sharing } from "./lib/sharing.ts";
import { CertificateStore, type Store } from "./lib/store.ts";

const PROVIDERS = ["lego", "selfsigned"];
/** At the end, for challenges of orders under way, in milliseconds. */
const CLEAN_UP_TIMEOUT = 5_000;
const MAX_WORKERS = 256;

/** What the table of options can't know. Throws OptionError. */
async function checkOptions(options: Options): Promise<void> {
  const unknown = options.list("certificate-providers").find((name) => !PROVIDERS.includes(name));
  if (unknown !== undefined) {
    const expected = `expected ${PROVIDERS.join(" or ")}`;
    throw new OptionError(`can't use --certificate-providers ${quote(unknown)}: ${expected}`);
  }
  checkAcmeOptions(options);
  commandOf(options);
  workerCount(options);
  if (isShared(options)) (await import("./lib/sharing.ts")).redisSettings(options);
  try {
    parseNetworks(options.string("trusted-downstreams"));
  } catch (error) {
    throw new OptionError(`can't use --trusted-downstreams: ${(error as Error).message}`);
  }
}

const isShared = (options: Options): boolean =>
  options.choice("certificate-store-type") === "redis";

/** Where certificates are, and what goes with it if that is shared. */
async function openStore(
  options: Options,
  log: Logger,
): Promise<{ store: Store; sharing?: Sharing }> {
  if (!isShared(options)) {
    const path = options.string("certificate-store");
    return { store: await CertificateStore.open(path, () => new Date()) };
  }
  const sharing = await (await import("./lib/sharing.ts")).openSharing(options, log);
  return { store: sharing.store, sharing };
}

/** What a route file can't know by itself. Throws RouteError with all problems. */
function checkRoutes({ routes }: RouteTable): void {
  const expected = `expected ${PROVIDERS.join(" or ")}`;
  const problems = routes
    .filter(({ provider }) => provider !== undefined && !PROVIDERS.includes(provider))
    .map(({ line, provider }) => ({
      line,
      message: `unknown provider "${provider}": ${expected}`,
    }));
  if (problems.length > 0) throw new RouteError(problems);
}

/** Says all that is wrong, not only what a start would stumble over first. */
async function validate(options: Options, log: Logger): Promise<boolean> {
  const path = options.string("config");
  const { checkAutocert } = await import("./lib/autocert.ts");
  const reading = readRoutes(path, checkRoutes);
  const checks = [
    ...[openStore(options, log).then(({ sharing }) => sharing?.close()), reading],
    ...isAutomatic(options) ? [checkAutocert(acmeSettings(options), process.env)] : [],
  ];
  const failed = (await Promise.allSettled(checks)).filter((one) => one.status === "rejected");
  for (const { reason } of failed) explain(log, reason, "configuration is not valid");
  if (failed.length > 0) return false;
  log.info("configuration is valid", { path, routes: (await reading).routes.length });
  return true;
}

function explain(log: Logger, error: Error, consequence: string): void {
  if (error instanceof RouteSourceError) logProblems(log, error, consequence);
  else log.error(consequence, { error });
}

function servingSettings(options: Options): ServingSettings {
  return {
    httpPort: options.integer("http-port"),
    httpsPort: options.integer("https-port"),
    redirectPort: options.integer("http-redirect-port"),
    limits: { bytes: options.size("max-head-size"), fields: options.integer("max-head-fields") },
    maxConnections: maxConnections(options),
    timeouts: {
      handshake: options.duration("handshake-timeout"),
      head: options.duration("header-timeout"),
      idle: options.duration("idle-timeout"),
      stall: options.duration("stall-timeout"),
    },
    trustedNetworks: options.string("trusted-downstreams"),
    connectTimeout: options.duration("connect-timeout"),
    shutdownTimeout: options.duration("shutdown-timeout"),
  };
}

/** This process, or as many workers as the options ask for. */
async function createServer(
  options: Options,
  { certificates, ask, log }: { certificates: Certificates; ask: Ask | undefined; log: Logger },
): Promise<Server> {
  const [settings, count] = [servingSettings(options), workerCount(options)];
  if (count === 1) {
    const certificateOf = (route: Route) => certificates.find(route);
    const server = new LocalServer(settings, { log, certificateOf });
    if (ask === undefined) return server;
    const { AskedChallenges } = await import("./lib/askedchallenges.ts");
    server.challenges.others = new AskedChallenges(ask);
    return server;
  }
  const { Workers } = await import("./lib/workers.ts");
  return new Workers({
    count,
    settings: {
      ...settings,
      wildcards: options.list("wildcard-domains"),
      asks: ask !== undefined,
      log: { ...logSettings(options), terminal: process.stdout.isTTY === true },
    },
    ...{ log, certificates, ask },
    write: (line) => void process.stdout.write(line),
  });
}

async function serve(options: Options, log: Logger): Promise<boolean> {
  let reload = () => {};
  // Before anything else, for whoever sends it to a program that is starting would end it.
  process.on("SIGHUP", () => reload());
  const { store, sharing } = await openStore(options, log);
  const certificates = new Certificates(store, {
    providers: providersInUse(options),
    wildcards: options.list("wildcard-domains"),
    log,
  });
  const server = await createServer(options, { certificates, ask: sharing?.ask, log });
  const onChange = (names: readonly string[]) => server.forget(certificates.renewed(names));
  const autocert = isAutomatic(options)
    ? await (await import("./lib/autocert.ts")).createAutocert(acmeSettings(options), {
      ...{ store, leases: sharing?.leases, challenges: server.challenges, onChange, log },
      env: process.env,
      progress: (step, fields) => log.debug(step, fields),
    })
    : undefined;
  sharing?.join(server.challenges, (names, isOther) => {
    autocert?.renewal.look(names);
    if (!isOther) return;
    onChange(names).catch((error) => log.error("certificate not taken up", { names, error }));
  });
  let routes: RouteTable["routes"] = [];
  const obtain = () => autocert?.renewal.want(certificates.wanted(routes, "lego"));
  let listening = false;
  const apply = async (table: RouteTable) => {
    checkRoutes(table);
    await server.apply(table, certificates.retain(table.routes));
    routes = table.routes;
    if (listening) obtain();
  };
  const reloadStore = () =>
    store.reload().catch((error) => log.error("certificate store not read again", { error }));
  const starting = startFileSource({
    path: options.string("config"),
    watch: options.boolean("config-watch"),
    apply,
    log,
  });
  let pending = false; // of a storm of signals each reload sees all that was changed before it
  reload = () => {
    if (pending) return;
    pending = true;
    reloadStore().then(() => pending = false).then(() => starting)
      .then((started) => started.reload(), () => {});
  };
  const source = await starting;
  await server.listen();
  listening = true; // now a CA that is told to look finds the answer
  obtain();
  const stop = await signalled();
  log.info("stopping", { signal: stop, next: "requests in flight may end" });
  source.close();
  const ended = autocert?.close();
  await server.drain();
  await Promise.race([ended, new Promise((done) => setTimeout(done, CLEAN_UP_TIMEOUT))]);
  server.close();
  sharing?.close();
  log.info("stopped");
  return true;
}

/** Does one thing for a person who watches, and answers what a CA asks for meanwhile. */
async function command(options: Options, log: Logger): Promise<boolean> {
  const { store, sharing } = await openStore(options, log);
  const clock = new Clock();
  const challenges = new ChallengeAnswers();
  sharing?.join(challenges, () => {});
  const frontend = createFrontend(servingSettings(options), {
    ...{ clock, log, challenges },
    certificateFor: () => undefined,
    handle: (head, downstream) => answer(downstream, head, 404, "Only a CA is answered here."),
  });
  try {
    const { runCommand } = await import("./lib/commands.ts");
    return await runCommand(options, {
      ...{ store, leases: sharing?.leases, challenges, log, env: process.env },
      listen: () => frontend.listen(),
      write: (line) => void process.stdout.write(`${line}\n`),
    });
  } finally {
    await frontend.drain(0);
    clock.close();
    sharing?.close();
  }
}

/** Throws OptionError. */
function workerCount(options: Options): number {
  const text = options.string("workers");
  const count = text === "auto" ? availableParallelism() : parseDecimal(text, MAX_WORKERS) ?? 0;
  if (count > 0) return count;
  const expected = `expected auto, or a whole number, 1 to ${MAX_WORKERS}`;
  throw new OptionError(`can't use --workers ${quote(text, 60)}: ${expected}`);
}

/**
 * Deno 2.9 never accepts again once it has run out of files, and says nothing. Most systems allow
 * 1,024 of them, of which a client may take two; there, whoever has more must ask for more.
 */
function maxConnections(options: Options): number {
  if ("Deno" in globalThis && !options.isSet("max-connections")) return 480;
  return options.integer("max-connections");
}

await startProgram({
  name: "centauri",
  options: CENTAURI_OPTIONS,
  log: "stdout",
  settings: checkOptions,
  async run(options, _settings, log) {
    const work = options.boolean("validate") ? validate : commandOf(options) ? command : serve;
    try {
      return await work(options, log);
    } catch (error) {
      explain(log, error as Error, "can't start");
      return false;
    }
  },
});
