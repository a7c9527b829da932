/**
 * Centauri: a TLS-terminating reverse proxy. This file wires the parts together and ends them;
 * see the README for the order to read them in.
 */
import process from "node:process";
import { parseNetworks } from "./lib/addr.ts";
import { answer } from "./lib/answer.ts";
import { acmeSettings, checkAcmeOptions, commandOf } from "./lib/acmesettings.ts";
import { isAutomatic, providersInUse } from "./lib/acmesettings.ts";
import { Certificates } from "./lib/certs.ts";
import { ChallengeAnswers } from "./lib/challenges.ts";
import { Clock } from "./lib/clock.ts";
import { Frontend, type FrontendOptions } from "./lib/frontend.ts";
import { type Logger, quote } from "./lib/log.ts";
import { OptionError, type Options } from "./lib/options.ts";
import { signalled, startProgram } from "./lib/program.ts";
import { Proxy } from "./lib/proxy.ts";
import { parseRoutes, RouteError, type RouteTable } from "./lib/routes.ts";
import { logProblems, readRoutes, RouteSourceError, startFileSource } from "./lib/routesource.ts";
import { CENTAURI_OPTIONS } from "./lib/settings.ts";
import { CertificateStore } from "./lib/store.ts";
import { UpstreamPools } from "./lib/upstream.ts";

const PROVIDERS = ["lego", "selfsigned"];
/** At the end, for challenges of orders under way, in milliseconds. */
const CLEAN_UP_TIMEOUT = 5_000;

/** What the table of options can't know. Throws OptionError. */
function checkOptions(options: Options): void {
  const unknown = options.list("certificate-providers").find((name) => !PROVIDERS.includes(name));
  if (unknown !== undefined) {
    const expected = `expected ${PROVIDERS.join(" or ")}`;
    throw new OptionError(`can't use --certificate-providers ${quote(unknown)}: ${expected}`);
  }
  checkAcmeOptions(options);
  commandOf(options);
  try {
    parseNetworks(options.string("trusted-downstreams"));
  } catch (error) {
    throw new OptionError(`can't use --trusted-downstreams: ${(error as Error).message}`);
  }
}

function openStore(options: Options): Promise<CertificateStore> {
  return CertificateStore.open(options.string("certificate-store"), () => new Date());
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
    ...[openStore(options), reading],
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

/** The ports, as the options say, and the clock that their timeouts are measured with. */
function createFrontend(
  options: Options,
  parts: Pick<FrontendOptions, "clock" | "log" | "certificateFor" | "challenges" | "handle">,
): Frontend {
  return new Frontend({
    ...parts,
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
    trusted: parseNetworks(options.string("trusted-downstreams")),
  });
}

async function serve(options: Options, log: Logger): Promise<boolean> {
  let reload = () => {};
  // Before anything else, for whoever sends it to a program that is starting would end it.
  process.on("SIGHUP", () => reload());
  const store = await openStore(options);
  const clock = new Clock();
  const pools = new UpstreamPools(clock, options.duration("connect-timeout"));
  const certificates = new Certificates(store, {
    providers: providersInUse(options),
    wildcards: options.list("wildcard-domains"),
    log,
  });
  const challenges = new ChallengeAnswers();
  const autocert = isAutomatic(options)
    ? await (await import("./lib/autocert.ts")).createAutocert(acmeSettings(options), {
      ...{ store, challenges, log, env: process.env },
      onChange: (names) => certificates.renewed(names),
      progress: (step, fields) => log.debug(step, fields),
    })
    : undefined;
  const redirectPort = options.integer("http-redirect-port");
  const proxy = new Proxy(parseRoutes(""), { pools, clock, log, redirectPort });
  const frontend = createFrontend(options, {
    ...{ clock, log, challenges },
    certificateFor: (name) => {
      const route = name === undefined ? proxy.routes.fallback : proxy.routes.find(name);
      return route === undefined ? undefined : certificates.find(route);
    },
    handle: (head, downstream) => proxy.handle(head, downstream),
  });
  const obtain = () => autocert?.renewal.want(certificates.wanted(proxy.routes.routes, "lego"));
  const reloadStore = () =>
    store.reload().catch((error) => log.error("certificate store not read again", { error }));
  let listening = false;
  const apply = (table: RouteTable) => {
    checkRoutes(table);
    proxy.routes = table;
    certificates.retain(table.routes);
    pools.retain(new Set(table.routes.flatMap(upstreamNames)));
    if (listening) obtain();
  };
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
  await frontend.listen();
  listening = true; // now a CA that is told to look finds the answer
  obtain();
  const stop = await signalled();
  log.info("stopping", { signal: stop, next: "requests in flight may end" });
  source.close();
  const ended = autocert?.close();
  await frontend.drain(options.duration("shutdown-timeout"));
  await Promise.race([ended, new Promise((done) => setTimeout(done, CLEAN_UP_TIMEOUT))]);
  pools.close();
  clock.close();
  log.info("stopped");
  return true;
}

/** Does one thing for a person who watches, and answers what a CA asks for meanwhile. */
async function command(options: Options, log: Logger): Promise<boolean> {
  const store = await openStore(options);
  const clock = new Clock();
  const challenges = new ChallengeAnswers();
  const frontend = createFrontend(options, {
    ...{ clock, log, challenges },
    certificateFor: () => undefined,
    handle: (head, downstream) => answer(downstream, head, 404, "Only a CA is answered here."),
  });
  try {
    const { runCommand } = await import("./lib/commands.ts");
    return await runCommand(options, {
      ...{ store, challenges, log, env: process.env },
      listen: () => frontend.listen(),
      write: (line) => void process.stdout.write(`${line}\n`),
    });
  } finally {
    await frontend.drain(0);
    clock.close();
  }
}

/**
 * Deno 2.9 never accepts again once it has run out of files, and says nothing. Most systems allow
 * 1,024 of them, of which a client may take two; there, whoever has more must ask for more.
 */
function maxConnections(options: Options): number {
  if ("Deno" in globalThis && !options.isSet("max-connections")) return 480;
  return options.integer("max-connections");
}

function upstreamNames(route: RouteTable["routes"][number]): string[] {
  return [...route.upstreams, ...route.errors.map((error) => error.upstream)].map((to) => to.name);
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
