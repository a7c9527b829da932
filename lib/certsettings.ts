/**
 * Dotege's options about certificates, and what they mean together. Variables are those of Dotege
 * 1.3.2, and lego's; flags are named as Centauri's, as far as there are such, which is how advice
 * names them.
 *
 * Needs options.ts, acmesettings.ts, addr.ts, certfiles.ts, log.ts, number.ts.
 */
import { delimiter } from "node:path";
import type { AcmeSettings, KeyType } from "./acmesettings.ts";
import { toDomainName } from "./addr.ts";
import type { CertFilesOptions } from "./certfiles.ts";
import { quote } from "./log.ts";
import { parseDecimal, parseMode } from "./number.ts";
import { type Option, OptionError, type Options, optionTable } from "./options.ts";

const MAX_ID = 2 ** 32 - 2; // of users and groups: -1 as 32 bits is none
const CHALLENGES = ["dns-01", "dns-persist-01"]; // nothing here answers a CA
const LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory";

/** Rows for Dotege's table, with their variables. */
export const CERTIFICATE_OPTIONS: readonly Option[] = optionTable(`
Certificates
  certificate-deployment  choice combined|splitkeys|disabled  disabled  PEM files; see acme-email.
  cert-destination      string folder       /data/certs/   Where the files go.
  cert-mode             string octal        0600           Of the files.
  cert-uid              string number       -1             Their owner; -1: unchanged.
  cert-gid              string number       -1             Their group; -1: unchanged.
  wildcard-domains      list domains        -              Below these, one wildcard for all names.
  acme-email            string address      -              Of the account; files are combined then.
  acme-directory        string url          ${LETS_ENCRYPT}  The CA.
  acme-challenges       list types          dns-01         Or dns-persist-01; best first.
  acme-key-type         choice P256|P384|2048|4096|8192  P384  Of certificates; numbers: RSA.
  acme-cache-file       string file         /data/config/certs.json  Account, keys; mode 0600.
  acme-resolvers        string servers      -              To ask instead of a zone's own.
  dns-provider          string name         -              Who sets the records of dns-01.
  lego-ca-certificates  string files        -              Roots for the CA's own server, PEM.
  lego-ca-system-cert-pool  boolean         false          Trust the usual roots as well.
  lego-ca-server-name   string name         -              To expect in the CA's own certificate.
  lego-disable-cname-support  boolean       false          Don't follow CNAMEs at _acme-challenge.
`).map((option) => ({ ...option, variable: variableOf(option.name) }));

function variableOf(name: string): string {
  if (name === "acme-directory") return "DOTEGE_ACME_ENDPOINT";
  const variable = name.toUpperCase().replaceAll("-", "_");
  return name.startsWith("lego-") ? variable : `DOTEGE_${variable}`;
}

/** How certificates are deployed, and why, for the log. */
export interface Deployment {
  readonly deployment: "combined" | "splitkeys" | "disabled";
  readonly why: string;
}

export function deploymentOf(options: Options): Deployment {
  const deployment = options.choice("certificate-deployment") as Deployment["deployment"];
  if (options.isSet("certificate-deployment")) return { deployment, why: "as configured" };
  return options.string("acme-email") === ""
    ? { deployment, why: "the default without an ACME e-mail address" }
    : { deployment: "combined", why: "the default with an ACME e-mail address" };
}

export interface CertSettings {
  readonly files: Omit<CertFilesOptions, "log">;
  readonly wildcards: readonly string[];
  readonly cacheFile: string;
  readonly acme: Omit<AcmeSettings, "account">;
}

/** Undefined when nothing is to be deployed. Throws OptionError. */
export function certSettings(options: Options): CertSettings | undefined {
  const { deployment: layout } = deploymentOf(options);
  if (layout === "disabled") return undefined;
  const [uid, gid] = [readId(options, "cert-uid"), readId(options, "cert-gid")];
  const owner = { ...uid === undefined ? {} : { uid }, ...gid === undefined ? {} : { gid } };
  const given = Object.keys(owner).length > 0 ? { owner } : {};
  const folder = options.string("cert-destination");
  const cacheFile = options.string("acme-cache-file");
  return {
    files: { folder, layout, mode: readMode(options), ...given },
    wildcards: readWildcards(options),
    cacheFile,
    acme: readAcme(options, `${cacheFile}.acme`),
  };
}

function readAcme(options: Options, statePath: string): CertSettings["acme"] {
  const directory = options.string("acme-directory");
  if (!URL.canParse(directory) || new URL(directory).protocol !== "https:") {
    refuse("acme-directory", directory, "an https:// URL");
  }
  const challenges = options.list("acme-challenges");
  const unknown = challenges.find((type) => !CHALLENGES.includes(type)) ??
    (challenges.length === 0 ? "" : undefined);
  if (unknown !== undefined) refuse("acme-challenges", unknown, `some of ${CHALLENGES.join(", ")}`);
  const dnsProvider = options.string("dns-provider");
  if (challenges.includes("dns-01") && dnsProvider === "") {
    throw new OptionError("can't obtain certificates by dns-01: --dns-provider isn't set");
  }
  return {
    ...{ userAgent: "Dotege/0.1", statePath, email: options.string("acme-email") },
    ...{ directories: [directory], challenges, dnsProvider },
    ...{ externalKids: [], externalHmacs: [], externalAlgorithm: "HS256" },
    ...{ profile: "", preferredChain: "", mustStaple: false },
    keyType: options.choice("acme-key-type").replace(/^\d/, "RSA$&") as KeyType,
    ...{ requestLimit: 18, obtainInterval: 0, timeout: 10 * 60 * 1000 },
    ports: { http: 80, https: 443 }, // which no CA is told to look at
    rootFiles: options.string("lego-ca-certificates").split(delimiter).filter((one) => one !== ""),
    systemRoots: options.boolean("lego-ca-system-cert-pool"),
    serverName: options.string("lego-ca-server-name"),
    resolvers: options.string("acme-resolvers").split(/[\s,]+/).filter((one) => one !== ""),
    propagationDelay: undefined,
    followCnames: !options.boolean("lego-disable-cname-support"),
  };
}

/** Empty is the default, here and below. */
function readMode(options: Options): number {
  const text = options.string("cert-mode") || "0600";
  return parseMode(text) ?? refuse("cert-mode", text, "an octal number, 0 to 0777");
}

function readId(options: Options, name: string): number | undefined {
  const text = options.string(name) || "-1";
  if (text === "-1") return undefined;
  return parseDecimal(text, MAX_ID) ?? refuse(name, text, "a number, or -1 for unchanged");
}

/** Separated by commas too. */
function readWildcards(options: Options): string[] {
  const texts = options.list("wildcard-domains").flatMap((text) => text.split(","));
  return texts.filter((text) => text !== "").map((text) =>
    toDomainName(text.replace(/^\*?\./, "")) ?? refuse("wildcard-domains", text, "domain names")
  );
}

function refuse(name: string, value: string, expected: string): never {
  throw new OptionError(`can't use --${name} ${quote(value, 60)}: expected ${expected}`);
}
