/**
 * The ACME side, put together as the options ask for it: which CAs, which challenges, through which
 * DNS; what the front end, the renewals and the commands use of it.
 *
 * Needs `acmesettings.ts`, `issuer.ts`, `renewal.ts` and what those need, `httpsclient.ts`,
 * `resolver.ts`, and what is in `dns/` when it is asked for. Loaded when ACME is.
 */
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { delimiter } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import tls from "node:tls";
import { accountPath, loadAccount } from "./account.ts";
import { challengeTypes, isAutomatic } from "./acmesettings.ts";
import { AcmeState } from "./acmestate.ts";
import { Authority } from "./authority.ts";
import type { Certificates } from "./certs.ts";
import { ChallengeAnswers, type Solver } from "./challenges.ts";
import { createHttpClient, type HttpClient } from "./httpsclient.ts";
import { Issuer } from "./issuer.ts";
import type { MacAlgorithm } from "./jose.ts";
import type { Logger } from "./log.ts";
import type { Options } from "./options.ts";
import type { KEY_TYPES, Progress } from "./order.ts";
import { createPreflight, foresee } from "./preflight.ts";
import { Renewal } from "./renewal.ts";
import { Resolver } from "./resolver.ts";
import type { CertificateStore } from "./store.ts";

const USER_AGENT = "Centauri/0.1";

/** Parts that others use; `close` ends what is under way. */
export interface Autocert {
  readonly authorities: readonly Authority[];
  readonly issuer: Issuer;
  readonly renewal: Renewal;
  close(): Promise<void>;
}

/** What a start would find wrong: damaged files, a DNS provider that can't be used. */
export async function checkAutocert(
  options: Options,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  if (!isAutomatic(options)) return;
  readRoots(options);
  await AcmeState.open(statePath(options));
  for (const [index, directory] of options.list("acme-directory").entries()) {
    const path = await accountPath(options.string("user-data"), directory, index === 0);
    await loadAccount(path, directory);
  }
  const { request } = createHttpClient({ userAgent: USER_AGENT });
  const { problem } = await loadDns(options, createResolver(options), request, () => {}, env);
  if (problem !== undefined) throw problem;
}

const statePath = (options: Options): string => `${options.string("certificate-store")}.acme`;

/** Rejects for what can't work at all: state on disk that is damaged. */
export async function createAutocert(
  options: Options,
  parts: {
    store: CertificateStore;
    challenges: ChallengeAnswers;
    certificates: Certificates;
    log: Logger;
    progress: Progress;
    env: Readonly<Record<string, string | undefined>>;
  },
): Promise<Autocert> {
  const { store, challenges, certificates, log, progress, env } = parts;
  const state = await AcmeState.open(statePath(options));
  const roots = readRoots(options);
  const serverName = options.string("lego-ca-server-name") || undefined;
  const caClient = createHttpClient({
    userAgent: USER_AGENT,
    ...roots && { ca: roots },
    ...serverName && { serverName },
  });
  const apiClient = createHttpClient({ userAgent: USER_AGENT });
  const http = limited(caClient.request, options.integer("acme-overall-request-limit"));
  const resolver = createResolver(options);
  const authorities = createAuthorities(options, http, log, progress);
  const dns = await loadDns(options, resolver, apiClient.request, progress, env);
  if (dns.problem) log.error("DNS provider can't be used", { error: dns.problem });
  const solvers = new Map<string, Solver>();
  for (const type of challengeTypes(options)) {
    if (type === "http-01") solvers.set(type, challenges.httpSolver);
    else if (type === "tls-alpn-01") solvers.set(type, challenges.tlsSolver);
    else if (type === "dns-01" && dns.solver !== undefined) solvers.set(type, dns.solver);
    else if (type === "dns-persist-01") {
      const { persistSolver } = await import("./dns/persist01.ts");
      solvers.set(type, persistSolver(resolver));
    }
  }
  const shared = { authorities, solvers, resolver, store, state, log, progress };
  const checks = { ...shared, ownRoots: roots !== undefined, problem: dns.problem };
  const issuer = new Issuer({
    ...shared,
    preflight: createPreflight(checks),
    keyType: options.choice("acme-key-type") as (typeof KEY_TYPES)[number],
    mustStaple: options.boolean("ocsp-stapling"),
    profile: options.string("acme-profile"),
    preferredChain: options.string("acme-preferred-chain"),
    ports: { http: options.integer("http-port"), https: options.integer("https-port") },
    timeout: options.duration("acme-overall-timeout"),
  });
  const renewal = new Renewal({
    ...shared,
    issuer,
    configuration: configurationOf(options, dns.settings),
    interval: options.duration("acme-obtain-interval"),
    foresee: async (names, authority) => {
      await foresee(checks, names, await authority.client(), AbortSignal.timeout(60_000));
    },
    staple: async (record) => {
      const { updateStaple } = await import("./stapling.ts");
      return updateStaple(record, apiClient.request, log);
    },
    onChange: (names) => certificates.renewed(names),
  });
  const close = async () => {
    await renewal.close();
    caClient.close();
    apiClient.close();
  };
  return { authorities, issuer, renewal, close };
}

function createAuthorities(
  options: Options,
  http: HttpClient,
  log: Logger,
  progress: Progress,
): Authority[] {
  const kids = options.list("acme-external-kid");
  const hmacs = options.list("acme-external-hmac");
  const algorithm = options.choice("acme-external-algorithm") as MacAlgorithm;
  if (kids.length !== hmacs.length) {
    log.warn("no external account binding: --acme-external-kid and -hmac come in pairs");
  }
  return options.list("acme-directory").map((directory, index) => {
    const [kid, hmac] = [kids[index], hmacs[index]];
    const bound = kid !== undefined && hmac !== undefined && kid !== "-" &&
      kids.length === hmacs.length;
    return new Authority({
      directory,
      first: index === 0,
      email: options.string("acme-email"),
      externalAccount: bound ? { kid, hmac, algorithm } : undefined,
      userData: options.string("user-data"),
      http,
      progress,
    });
  });
}

/** Why there is no DNS provider is told for each certificate that it would be needed for. */
async function loadDns(
  options: Options,
  resolver: Resolver,
  http: HttpClient,
  progress: Progress,
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ solver?: Solver; problem?: Error; settings?: readonly string[] }> {
  if (!challengeTypes(options).includes("dns-01")) return {};
  const [{ loadProvider, providerEnvironment }, { dnsSolver }] = await Promise.all([
    import("./dns/load.ts"),
    import("./dns/dns01.ts"),
  ]);
  const unchecked = options.boolean("acme-disable-propagation-check");
  const read = providerEnvironment(env);
  const settings = new Set<string>();
  try {
    const provider = await loadProvider(options.string("dns-provider"), {
      env: (name) => {
        const value = read(name);
        settings.add(`${name}=${value ?? ""}`);
        return value;
      },
      http,
      zoneOf: (name, signal) => resolver.zoneOf(name, signal),
    });
    const solver = dnsSolver({
      provider,
      resolver,
      followCnames: !options.boolean("lego-disable-cname-support"),
      delay: unchecked ? options.duration("acme-propagation-delay") : undefined,
      progress,
    });
    return { solver, settings: [...settings] };
  } catch (error) {
    return { problem: error as Error };
  }
}

function createResolver(options: Options): Resolver {
  const servers = options.string("acme-resolvers").split(/[\s,]+/).filter((one) => one !== "");
  return new Resolver(servers.length > 0 ? { servers } : {});
}

/** The roots that CAs are verified with; undefined for the runtime's. Throws an Error. */
function readRoots(options: Options): string[] | undefined {
  const paths = options.string("lego-ca-certificates").split(delimiter).filter((path) =>
    path !== ""
  );
  if (paths.length === 0) return undefined;
  try {
    const own = paths.map((path) => readFileSync(path, "utf8"));
    own.forEach((pem) => new X509Certificate(pem)); // throws for what is none
    const system = options.boolean("lego-ca-system-cert-pool");
    return [...own, ...system ? tls.rootCertificates : []];
  } catch (error) {
    throw new Error("can't use --lego-ca-certificates", { cause: error });
  }
}

/** At most as many requests a second, evenly apart when there are more. */
function limited(http: HttpClient, perSecond: number): HttpClient {
  let next = 0;
  return async (request) => {
    const now = performance.now();
    const at = Math.max(next, now - 1000); // what wasn't used for a second may be used at once
    next = at + 1000 / perSecond;
    const { signal } = request;
    if (at > now) await wait(at - now, undefined, signal && { signal });
    return http(request);
  };
}

/** A hash of what an order's success may depend on; `settings` are the DNS provider's. */
function configurationOf(options: Options, settings: readonly string[] = []): string {
  const texts = ["acme-email", "acme-profile", "dns-provider", "acme-resolvers", "acme-key-type"];
  const lists = ["acme-directory", "acme-challenges", "acme-external-kid", "acme-external-hmac"];
  const all = [
    ...texts.map((name) => name === "acme-key-type" ? options.choice(name) : options.string(name)),
    ...lists.map((name) => options.list(name)),
    ...[options.boolean("ocsp-stapling"), settings],
  ];
  return createHash("sha256").update(JSON.stringify(all)).digest("base64url");
}
