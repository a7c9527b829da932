/**
 * What certificates are obtained by, whatever a program calls its options; and what Centauri's mean
 * together: whether ACME is used, which challenges and providers, which command.
 * Needs `options.ts`, `addr.ts`, `account.ts`.
 */
import { isIP } from "node:net";
import { delimiter } from "node:path";
import { accountFile, type AccountStore } from "./account.ts";
import { toDomainName } from "./addr.ts";
import type { MacAlgorithm } from "./jose.ts";
import { quote } from "./log.ts";
import { OptionError, type Options } from "./options.ts";

const CHALLENGES = ["http-01", "tls-alpn-01", "dns-01", "dns-persist-01"];
const ACCOUNT_ACTIONS = ["rollover", "deactivate"];

/** What a key can be; P-256 is what every client takes and costs least. */
export type KeyType = "P256" | "P384" | "RSA2048" | "RSA3072" | "RSA4096" | "RSA8192";

/** Durations are in milliseconds; texts are empty where there is nothing to say. */
export interface AcmeSettings {
  /** Product and version, for servers. */
  readonly userAgent: string;
  /** The file for what failed and what is under way. */
  readonly statePath: string;
  /** Where the account with a CA is; `first`: it is the preferred one. */
  readonly account: (directory: string, first: boolean) => AccountStore;
  readonly email: string;
  /** URLs of CAs' directories, in order of preference. */
  readonly directories: readonly string[];
  /** Of each CA, `-` for none; as many keys. */
  readonly externalKids: readonly string[];
  readonly externalHmacs: readonly string[];
  readonly externalAlgorithm: MacAlgorithm;
  /** In order of preference. */
  readonly challenges: readonly string[];
  readonly profile: string;
  readonly keyType: KeyType;
  readonly preferredChain: string;
  readonly mustStaple: boolean;
  /** Requests a second. */
  readonly requestLimit: number;
  /** Between the starts of two orders. */
  readonly obtainInterval: number;
  /** For one certificate; 0 for none. */
  readonly timeout: number;
  /** Of this program, where CAs look for challenges. */
  readonly ports: { readonly http: number; readonly https: number };
  /** What CAs' own servers are verified by: files of roots, the usual ones too, another name. */
  readonly rootFiles: readonly string[];
  readonly systemRoots: boolean;
  readonly serverName: string;
  readonly dnsProvider: string;
  /** None: those of the system and of each zone. */
  readonly resolvers: readonly string[];
  /** Instead of looking whether a record is seen; undefined: look. */
  readonly propagationDelay: number | undefined;
  readonly followCnames: boolean;
}

/** As Centauri's options have it. */
export function acmeSettings(options: Options): AcmeSettings {
  const unchecked = options.boolean("acme-disable-propagation-check");
  return {
    userAgent: "Centauri/0.1",
    statePath: `${options.string("certificate-store")}.acme`,
    account: (directory, first) => accountFile(options.string("user-data"), directory, first),
    email: options.string("acme-email"),
    directories: options.list("acme-directory"),
    externalKids: options.list("acme-external-kid"),
    externalHmacs: options.list("acme-external-hmac"),
    externalAlgorithm: options.choice("acme-external-algorithm") as MacAlgorithm,
    challenges: challengeTypes(options),
    profile: options.string("acme-profile"),
    keyType: options.choice("acme-key-type") as KeyType,
    preferredChain: options.string("acme-preferred-chain"),
    mustStaple: options.boolean("ocsp-stapling"),
    requestLimit: options.integer("acme-overall-request-limit"),
    obtainInterval: options.duration("acme-obtain-interval"),
    timeout: options.duration("acme-overall-timeout"),
    ports: { http: options.integer("http-port"), https: options.integer("https-port") },
    rootFiles: options.string("lego-ca-certificates").split(delimiter).filter((one) => one !== ""),
    systemRoots: options.boolean("lego-ca-system-cert-pool"),
    serverName: options.string("lego-ca-server-name"),
    dnsProvider: options.string("dns-provider"),
    resolvers: options.string("acme-resolvers").split(/[\s,]+/).filter((one) => one !== ""),
    propagationDelay: unchecked ? options.duration("acme-propagation-delay") : undefined,
    followCnames: !options.boolean("lego-disable-cname-support"),
  };
}

/** Whether certificates are to be obtained: somebody gave an address, a CA or a DNS provider. */
export function isAutomatic(options: Options): boolean {
  return options.string("acme-email") !== "" || options.isSet("acme-directory") ||
    options.string("dns-provider") !== "";
}

/** The providers that are used: with ACME, nothing is self-signed that it could obtain. */
export function providersInUse(options: Options): readonly string[] {
  const providers = options.list("certificate-providers");
  const last = providers.findIndex((name) => name !== "lego" || isAutomatic(options));
  return last < 0 ? providers : providers.slice(0, last + 1);
}

/** In order of preference. */
export function challengeTypes(options: Options): readonly string[] {
  const chosen = options.list("acme-challenges");
  if (chosen.length > 0) return chosen;
  if (options.string("dns-provider") !== "") return ["dns-01"];
  return ["http-01", "tls-alpn-01"];
}

/** Throws OptionError for what the table of options can't know. */
export function checkAcmeOptions(options: Options): void {
  if (options.list("acme-directory").length === 0) {
    throw new OptionError("can't use --acme-directory: expected one https:// URL or more");
  }
  for (const url of options.list("acme-directory")) {
    if (URL.canParse(url) && new URL(url).protocol === "https:") continue;
    throw new OptionError(`can't use --acme-directory "${url}": expected https:// URLs`);
  }
  for (const type of challengeTypes(options)) {
    if (CHALLENGES.includes(type)) continue;
    const expected = `expected some of ${CHALLENGES.join(", ")}`;
    throw new OptionError(`can't use --acme-challenges "${type}": ${expected}`);
  }
  const byProvider = challengeTypes(options).includes("dns-01");
  if (byProvider && options.string("dns-provider") === "") {
    throw new OptionError("can't use --acme-challenges dns-01: --dns-provider isn't set");
  }
}

/** Which command the options ask for; undefined for none. Throws OptionError. */
export function commandOf(options: Options): "obtain" | "account" | "revoke" | undefined {
  const action = options.string("account");
  if (action !== "" && !ACCOUNT_ACTIONS.includes(action)) {
    throw new OptionError(`can't use --account ${quote(action)}: expected rollover or deactivate`);
  }
  for (const name of options.list("obtain")) {
    if (isIP(name) > 0 || toDomainName(name.replace(/^\*\./, "")) !== undefined) continue;
    throw new OptionError(`can't use --obtain ${quote(name)}: expected domain names`);
  }
  const given = [
    ...options.list("obtain").length > 0 ? ["obtain"] as const : [],
    ...action !== "" ? ["account"] as const : [],
    ...options.string("revoke") !== "" ? ["revoke"] as const : [],
  ];
  if (given.length <= 1) return given[0];
  throw new OptionError(`can't do --${given.join(" and --")} at once`);
}
