/**
 * The ACME side, put together as the settings ask for it: which CAs, which challenges, through
 * which DNS; what the front end, the renewals and the commands use of it.
 *
 * Needs `acmesettings.ts`, `issuer.ts`, `renewal.ts` and what those need, `httpsclient.ts`,
 * `resolver.ts`, and what is in `dns/` when it is asked for. Loaded when ACME is.
 */
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import tls from "node:tls";
import type { AcmeSettings } from "./acmesettings.ts";
import { AcmeState } from "./acmestate.ts";
import { Authority } from "./authority.ts";
import type { ChallengeAnswers, Solver } from "./challenges.ts";
import { createHttpClient, type HttpClient } from "./httpsclient.ts";
import { Issuer } from "./issuer.ts";
import type { Leases } from "./lease.ts";
import type { Logger } from "./log.ts";
import type { Progress } from "./order.ts";
import { createPreflight, foresee } from "./preflight.ts";
import { Renewal } from "./renewal.ts";
import { Resolver } from "./resolver.ts";
import type { Store } from "./store.ts";

/** Parts that others use; `close` ends what is under way. */
export interface Autocert {
  readonly authorities: readonly Authority[];
  readonly issuer: Issuer;
  readonly renewal: Renewal;
  close(): Promise<void>;
}

/** What a start would find wrong: damaged files, a DNS provider that can't be used. */
export async function checkAutocert(
  settings: AcmeSettings,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const { userAgent, statePath, directories, account } = settings;
  readRoots(settings);
  await AcmeState.open(statePath);
  for (const [index, directory] of directories.entries()) {
    await account(directory, index === 0).load();
  }
  const { request } = createHttpClient({ userAgent });
  const { problem } = await loadDns(settings, createResolver(settings), request, () => {}, env);
  if (problem !== undefined) throw problem;
}

/** Rejects for what can't work at all: state on disk that is damaged. */
export async function createAutocert(
  settings: AcmeSettings,
  parts: {
    store: Store;
    /** Where other machines obtain certificates for the same store. */
    leases?: Leases | undefined;
    /** Needed for http-01 and tls-alpn-01. */
    challenges?: ChallengeAnswers;
    /** Called when another certificate or staple is stored; resolves when it is served. */
    onChange: (names: readonly string[]) => Promise<void> | void;
    /** Told of names that no certificate was obtained for. */
    onFailure?: (names: readonly string[]) => void;
    log: Logger;
    progress: Progress;
    env: Readonly<Record<string, string | undefined>>;
  },
): Promise<Autocert> {
  const { store, leases, challenges, onChange, onFailure, log, progress, env } = parts;
  const { userAgent, serverName } = settings;
  const state = await AcmeState.open(settings.statePath);
  const roots = readRoots(settings);
  const caClient = createHttpClient({
    userAgent,
    ...roots && { ca: roots },
    ...serverName !== "" && { serverName },
  });
  const apiClient = createHttpClient({ userAgent });
  const http = limited(caClient.request, settings.requestLimit);
  const resolver = createResolver(settings);
  const authorities = createAuthorities(settings, http, log, progress);
  const dns = await loadDns(settings, resolver, apiClient.request, progress, env);
  if (dns.problem) log.error("DNS provider can't be used", { error: dns.problem });
  const solvers = new Map<string, Solver>();
  for (const type of settings.challenges) {
    if (type === "http-01" && challenges) solvers.set(type, challenges.httpSolver);
    else if (type === "tls-alpn-01" && challenges) solvers.set(type, challenges.tlsSolver);
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
    keyType: settings.keyType,
    mustStaple: settings.mustStaple,
    profile: settings.profile,
    preferredChain: settings.preferredChain,
    ports: settings.ports,
    timeout: settings.timeout,
  });
  const renewal = new Renewal({
    ...shared,
    ...{ issuer, leases },
    configuration: configurationOf(settings, dns.settings),
    interval: settings.obtainInterval,
    foresee: async (names, authority) => {
      await foresee(checks, names, await authority.client(), AbortSignal.timeout(60_000));
    },
    staple: async (record) => {
      const { updateStaple } = await import("./stapling.ts");
      return updateStaple(record, apiClient.request, log);
    },
    ...{ onChange, onFailure },
  });
  const close = async () => {
    await renewal.close();
    caClient.close();
    apiClient.close();
  };
  return { authorities, issuer, renewal, close };
}

function createAuthorities(
  settings: AcmeSettings,
  http: HttpClient,
  log: Logger,
  progress: Progress,
): Authority[] {
  const { externalKids: kids, externalHmacs: hmacs, externalAlgorithm: algorithm } = settings;
  if (kids.length !== hmacs.length) {
    log.warn("no external account binding: --acme-external-kid and -hmac come in pairs");
  }
  return settings.directories.map((directory, index) => {
    const [kid, hmac] = [kids[index], hmacs[index]];
    const bound = kid !== undefined && hmac !== undefined && kid !== "-" &&
      kids.length === hmacs.length;
    return new Authority({
      directory,
      first: index === 0,
      email: settings.email,
      externalAccount: bound ? { kid, hmac, algorithm } : undefined,
      account: settings.account(directory, index === 0),
      http,
      progress,
    });
  });
}

/** Why there is no DNS provider is told for each certificate that it would be needed for. */
async function loadDns(
  { challenges, dnsProvider, propagationDelay: delay, followCnames }: AcmeSettings,
  resolver: Resolver,
  http: HttpClient,
  progress: Progress,
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ solver?: Solver; problem?: Error; settings?: readonly string[] }> {
  if (!challenges.includes("dns-01")) return {};
  const [{ loadProvider, providerEnvironment }, { dnsSolver }] = await Promise.all([
    import("./dns/load.ts"),
    import("./dns/dns01.ts"),
  ]);
  const read = providerEnvironment(env);
  const settings = new Set<string>();
  try {
    const provider = await loadProvider(dnsProvider, {
      env: (name) => {
        const value = read(name);
        settings.add(`${name}=${value ?? ""}`);
        return value;
      },
      http,
      zoneOf: (name, signal) => resolver.zoneOf(name, signal),
    });
    const solver = dnsSolver({ provider, resolver, followCnames, delay, progress });
    return { solver, settings: [...settings] };
  } catch (error) {
    return { problem: error as Error };
  }
}

function createResolver({ resolvers: servers }: AcmeSettings): Resolver {
  return new Resolver(servers.length > 0 ? { servers } : {});
}

/** The roots that CAs are verified with; undefined for the runtime's. Throws an Error. */
function readRoots({ rootFiles, systemRoots }: AcmeSettings): string[] | undefined {
  if (rootFiles.length === 0) return undefined;
  try {
    const own = rootFiles.map((path) => readFileSync(path, "utf8"));
    own.forEach((pem) => new X509Certificate(pem)); // throws for what is none
    return [...own, ...systemRoots ? tls.rootCertificates : []];
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

/** A hash of what an order's success may depend on; `dns`: the DNS provider's settings. */
function configurationOf(settings: AcmeSettings, dns: readonly string[] = []): string {
  const { email, profile, dnsProvider, resolvers, keyType, directories, challenges } = settings;
  const { externalKids, externalHmacs, mustStaple } = settings;
  const all = [
    ...[email, profile, dnsProvider, resolvers, keyType, directories, challenges],
    ...[externalKids, externalHmacs, mustStaple, dns],
  ];
  return createHash("sha256").update(JSON.stringify(all)).digest("base64url");
}
