/**
 * Centauri: a TLS-terminating reverse proxy. This file wires the parts together and ends them;
 * see the README for the order to read them in.
 */
import process from "node:process";
import { joinHostPort } from "./lib/addr.ts";
import { answer } from "./lib/answer.ts";
import { acmeSettings, commandOf, providersInUse } from "./lib/acmesettings.ts";
import type { Ask } from "./lib/askedchallenges.ts";
import { checkOptions, isShared, originOf, routeCheck } from "./lib/centaurisettings.ts";
import { serverAddress, servingSettings, tailscaleMode } from "./lib/centaurisettings.ts";
import { usesAcme, workerCount } from "./lib/centaurisettings.ts";
import { Certificates } from "./lib/certs.ts";
import { ChallengeAnswers } from "./lib/challenges.ts";
import { Clock } from "./lib/clock.ts";
import type { Logger } from "./lib/log.ts";
import type { Monitor } from "./lib/monitor.ts";
import type { Page, Pages } from "./lib/metricsserver.ts";
import type { Options } from "./lib/options.ts";
import { logSettings, signalled, startProgram } from "./lib/program.ts";
import type { RouteTable } from "./lib/routes.ts";
import { logProblems, readRoutes, RouteSourceError, startFileSource } from "./lib/routesource.ts";
import type { RouteSource, RouteSourceOptions } from "./lib/routesource.ts";
import { onUserSignal } from "./lib/runtime.ts";
import { createFrontend, type LocalParts, LocalServer, type Server } from "./lib/serving.ts";
import { CENTAURI_OPTIONS } from "./lib/settings.ts";
import type { Sharing } from "./lib/sharing.ts";
import type { RoutesInForce, Status, StatusParts } from "./lib/status.ts";
import { CertificateStore, type Store } from "./lib/store.ts";
import type { Tailnet } from "./lib/tailscalefrontend.ts";

/** At the end, for challenges of orders under way, in milliseconds. */
const CLEAN_UP_TIMEOUT = 5_000;

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

/** Says all that is wrong, not only what a start would stumble over first. */
async function validate(options: Options, log: Logger): Promise<boolean> {
  const { checkAutocert } = await import("./lib/autocert.ts");
  const [path, server] = [options.string("config"), serverAddress(options)];
  const check = await routeCheck(options);
  const reading = server === undefined
    ? readRoutes(path, check)
    : (await import("./lib/networksource.ts")).fetchRoutes(server, check);
  const checks = [
    ...[openStore(options, log).then(({ sharing }) => sharing?.close()), reading],
    ...usesAcme(options) ? [checkAutocert(acmeSettings(options), process.env)] : [],
  ];
  const failed = (await Promise.allSettled(checks)).filter((one) => one.status === "rejected");
  for (const { reason } of failed) explain(log, reason, "configuration is not valid");
  if (failed.length > 0) return false;
  const from = server === undefined
    ? { path }
    : { address: joinHostPort(server.host, server.port) };
  log.info("configuration is valid", { ...from, routes: (await reading).routes.length });
  return true;
}

function explain(log: Logger, error: Error, consequence: string): void {
  if (error instanceof RouteSourceError) logProblems(log, error, consequence);
  else log.error(consequence, { error });
}

/** This process, or as many workers as the options ask for. */
async function createServer(
  options: Options,
  { certificates, tailnet, monitor, ask, log }: {
    certificates: Certificates;
    tailnet: Tailnet | undefined;
    monitor: Monitor | undefined;
    ask: Ask | undefined;
    log: Logger;
  },
): Promise<Server> {
  const [settings, count] = [servingSettings(options), workerCount(options)];
  if (count === 1) {
    const { observer, metrics } = await monitor?.local() ?? {};
    const certificateOf: LocalParts["certificateOf"] = (route, name) => {
      const found = tailnet?.find(name);
      return found === undefined ? certificates.find(route) : found.certificate;
    };
    const identify = tailnet?.identifySocket;
    const parts = { log, certificateOf, identify, observer, metrics };
    const server = new LocalServer(settings, parts);
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
      observe: monitor?.settings ?? { metrics: false },
    },
    ...{ log, ask, identify: tailnet?.identify, ended: monitor?.ended },
    certificates: {
      identity: (key) => tailnet?.identity(key) ?? certificates.identity(key),
      unusable: (key, error) => certificates.unusable(key, error),
    },
    takeLines: (lines) => monitor?.takeLines(lines),
    write: (line) => void process.stdout.write(line),
  });
}

/** Metrics and the access log, where the options ask for either. */
async function createMonitor(
  options: Options,
  parts: { store: Store; log: Logger },
): Promise<Monitor | undefined> {
  const [metrics, accessLog] = [options.integer("metrics-port") > 0, options.string("access-log")];
  if (!metrics && accessLog === "") return undefined;
  return await (await import("./lib/monitor.ts")).Monitor.open({
    ...{ ...parts, metrics, accessLog },
    format: options.choice("access-log-format") as "combined" | "json",
    wildcards: options.list("wildcard-domains"),
    providers: providersInUse(options),
  });
}

/** Resolves when the port for metrics is open, if there is to be one; with what closes it. */
async function openMetricsPort(options: Options, log: Logger, pages: Pages): Promise<() => void> {
  const [port, address] = [options.integer("metrics-port"), options.string("metrics-address")];
  if (port === 0) return () => {};
  const { startMetricsServer } = await import("./lib/metricsserver.ts");
  return (await startMetricsServer({ port, address, pages, log })).close;
}

async function serve(options: Options, log: Logger): Promise<boolean> {
  let reload = () => {};
  let reopen = () => {};
  // Before anything else, for whoever sends one to a program that is starting would end it, or have
  // Node listen for a debugger.
  process.on("SIGHUP", () => reload());
  onUserSignal(() => reopen());
  const { store, sharing } = await openStore(options, log);
  const certificates = new Certificates(store, {
    providers: providersInUse(options),
    wildcards: options.list("wildcard-domains"),
    log,
  });
  const startedAt = Date.now();
  const [tailnet, check] = [await createTailnet(options, log), await routeCheck(options)];
  const monitor = await createMonitor(options, { store, log });
  const ask = sharing?.ask;
  const server = await createServer(options, { certificates, tailnet, monitor, ask, log });
  reopen = () => void monitor?.reopen(() => server.reopen?.());
  const onChange = (names: readonly string[]) => server.forget(certificates.renewed(names));
  const autocert = usesAcme(options)
    ? await (await import("./lib/autocert.ts")).createAutocert(acmeSettings(options), {
      ...{ store, leases: sharing?.leases, challenges: server.challenges, onChange, log },
      onFailure: (names) => monitor?.onOrderFailed(names),
      env: process.env,
      progress: (step, fields) => log.debug(step, fields),
    })
    : undefined;
  sharing?.join(server.challenges, (names, isOther) => {
    autocert?.renewal.lookAgain(names);
    if (!isOther) return;
    onChange(names).catch((error) => log.error("certificate not taken up", { names, error }));
  });
  let inForce: RoutesInForce = { routes: [], from: originOf(options), since: startedAt };
  const obtain = () => {
    const routes = tailnet?.others(inForce.routes) ?? inForce.routes;
    autocert?.renewal.want(certificates.wanted(routes, "lego"));
  };
  let listening = false;
  const apply = async (table: RouteTable) => {
    check(table);
    await server.apply(table, certificates.retain(table.routes));
    inForce = { from: inForce.from, routes: table.routes, since: Date.now() };
    monitor?.onReload(table.routes);
    tailnet?.want(table.routes);
    if (listening) obtain();
  };
  const reloadStore = () =>
    store.reload().catch((error) => log.error("certificate store not read again", { error }));
  const starting = startSource(options, {
    apply,
    onFailure: ({ problems }) => {
      monitor?.onReloadFailed();
      inForce = { ...inForce, failure: { at: Date.now(), problems } };
    },
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
  const parts = { startedAt, inForce: () => inForce, certificates, server };
  const status = lazyStatus({ ...parts, renewal: autocert?.renewal });
  const pages: Pages = new Map([
    ...monitor ? [["/metrics", () => monitor.page(server.counts())] as const] : [],
    ...options.boolean("status-page") ? [["/status", () => pageOf(status)] as const] : [],
  ]);
  const closeMetrics = await openMetricsPort(options, log, pages);
  await server.listen();
  tailnet?.run(server);
  listening = true; // now a CA that is told to look finds the answer
  obtain();
  const statusSocket = openStatusSocket(options, { status, log }); // a signal doesn't wait for it
  const stop = await signalled();
  log.info("stopping", { signal: stop, next: "requests in flight may end" });
  void statusSocket.then((socket) => socket?.close());
  source.close();
  tailnet?.close();
  const ended = autocert?.close();
  await server.drain();
  await Promise.race([ended, new Promise((done) => setTimeout(done, CLEAN_UP_TIMEOUT))]);
  await monitor?.close();
  closeMetrics();
  server.close();
  sharing?.close();
  log.info("stopped");
  return true;
}

/** Resolves when the routes of a file are in force; those of a server are when they come. */
async function startSource(options: Options, parts: RouteSourceOptions): Promise<RouteSource> {
  const server = serverAddress(options);
  if (server === undefined) {
    const watch = options.boolean("config-watch");
    return await startFileSource({ path: options.string("config"), watch, ...parts });
  }
  return (await import("./lib/networksource.ts")).startNetworkSource({ server, ...parts });
}

async function createTailnet(options: Options, log: Logger): Promise<Tailnet | undefined> {
  const mode = tailscaleMode(options);
  if (mode === undefined) return undefined;
  const { Tailnet } = await import("./lib/tailscalefrontend.ts");
  const { createTailscaled } = await import("./lib/tailscale.ts");
  const tailscaled = createTailscaled(options.string("tailscale-socket"));
  return new Tailnet({ mode, tailscaled, log });
}

/** What makes a status is loaded when somebody asks. */
function lazyStatus(parts: StatusParts): () => Promise<Status> {
  let made: Promise<() => Promise<Status>> | undefined;
  return async () => {
    made ??= import("./lib/status.ts").then(({ createStatus }) => createStatus(parts));
    return (await made)();
  };
}

async function pageOf(status: () => Promise<Status>): Promise<Page> {
  const { statusPage } = await import("./lib/statuspage.ts");
  return statusPage(await status());
}

/** Where `--status` asks, if anywhere. */
async function openStatusSocket(
  options: Options,
  parts: { status: () => Promise<Status>; log: Logger },
): Promise<{ close(): void } | undefined> {
  const { serveStatus, statusSocket } = await import("./lib/statussocket.ts");
  const path = statusSocket(options);
  return path === undefined ? undefined : serveStatus({ ...parts, path });
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

await startProgram({
  name: "centauri",
  options: CENTAURI_OPTIONS,
  log: "stdout",
  settings: checkOptions,
  async run(options, _settings, log) {
    const work = options.boolean("validate") ? validate : commandOf(options) ? command : serve;
    try {
      if (options.boolean("status")) {
        return await (await import("./lib/statuscommand.ts")).statusCommand(options);
      }
      return await work(options, log);
    } catch (error) {
      explain(log, error as Error, "can't start");
      return false;
    }
  },
});
