/**
 * The certificate that each route is served with. What the store has and is valid comes first, from
 * the providers in their order; a self-signed one is made when one is asked for, so that ten
 * thousand names cost nothing before somebody connects to them.
 *
 * Needs `store.ts`, `x509.ts`, and the runtime's TLS.
 */
import { Buffer } from "node:buffer";
import { constants, generateKeyPairSync, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import tls from "node:tls";
import { namesKey } from "./acmestate.ts";
import { foldWildcards } from "./addr.ts";
import type { Logger } from "./log.ts";
import { certificateNames as routeNames, type Route } from "./routes.ts";
import { type CertificateRecord, type CertificateStore, newRecord } from "./store.ts";
import { certificateNames, privateKeyPem, selfSigned } from "./x509.ts";

const DAY = 24 * 60 * 60 * 1000;
const SELF_SIGNED_LIFETIME = 30 * DAY;
/** A self-signed certificate with less time left than this is replaced. */
const SELF_SIGNED_RENEWAL = 7 * DAY;
/** How long a context lives: its session ticket keys go with it. */
const CONTEXT_LIFETIME = DAY / 2;

/** Mozilla's intermediate TLS 1.2 suites that have forward secrecy without DH parameters. */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

export interface ServedCertificate {
  readonly context: tls.SecureContext;
  /** DNS names and addresses that the certificate covers. */
  readonly names: readonly string[];
  /** The protocols that it is for; default those of HTTP. */
  readonly alpn?: readonly string[];
  /** An OCSP response to staple (RFC 6066 section 8). */
  readonly staple?: Buffer | undefined;
  /** Answers the hello instead of the runtime's TLS; or returns why it refused. */
  readonly answer?: ((hello: Buffer, socket: Socket) => string | undefined) | undefined;
}

interface Entry extends ServedCertificate {
  /** Milliseconds since the epoch, after which another is looked for. */
  readonly goodUntil: number;
  readonly certificate: string;
}

export class Certificates {
  readonly #store: CertificateStore;
  readonly #providers: readonly string[];
  readonly #wildcards: readonly string[];
  readonly #log: Logger;
  #entries = new Map<string, Entry>();
  /** Names whose absence the log has been told of. */
  #missing = new Set<string>();

  /**
   * `providers` in order of preference: `lego` (what ACME obtained) and `selfsigned`. `wildcards`:
   * domains of which one wildcard certificate covers all names below.
   */
  constructor(
    store: CertificateStore,
    { providers, wildcards, log }: {
      providers: readonly string[];
      wildcards: readonly string[];
      log: Logger;
    },
  ) {
    this.#store = store;
    this.#providers = providers;
    this.#wildcards = wildcards;
    this.#log = log;
  }

  /** The sets of names, subject first, that these routes want from a provider; each set once. */
  wanted(routes: readonly Route[], provider: string): (readonly string[])[] {
    const from = routes.filter((route) => this.#providersOf(route).includes(provider));
    const sets = from.map((route) => this.#names(route));
    return [...new Map(sets.map((names) => [namesKey(names), names])).values()];
  }

  /** The next connection to these names gets what is in the store by then. */
  renewed(names: readonly string[]): void {
    for (const provider of ["", "lego"]) this.#entries.delete(`${provider};${namesKey(names)}`);
  }

  /** Forgets contexts of routes that are gone, and those that the store has newer ones for. */
  retain(routes: readonly Route[]): void {
    const kept = new Map<string, Entry>();
    for (const route of routes) {
      const entry = this.#entries.get(this.#key(route));
      if (entry === undefined) continue;
      const [subject = "", ...alternates] = this.#names(route);
      const stored = this.#providersOf(route)
        .map((provider) => this.#store.find(provider, subject, alternates))
        .find((record) => record !== undefined);
      if (stored === undefined || stored.certificate === entry.certificate) {
        kept.set(this.#key(route), entry);
      }
    }
    this.#entries = kept;
    this.#missing = new Set();
  }

  /** The route's certificate, undefined while there is none. */
  find(route: Route): ServedCertificate | undefined {
    const key = this.#key(route);
    const entry = this.#entries.get(key);
    if (entry !== undefined && entry.goodUntil > Date.now()) return entry;
    try {
      const record = this.#record(route);
      if (record === undefined) return this.#saysMissing(route, key);
      const made = makeEntry(record);
      this.#entries.set(key, made);
      return made;
    } catch (error) {
      return this.#saysMissing(route, key, error as Error);
    }
  }

  #record(route: Route): CertificateRecord | undefined {
    const [subject = "", ...alternates] = this.#names(route);
    const now = Date.now();
    for (const provider of this.#providersOf(route)) {
      const stored = this.#store.find(provider, subject, alternates);
      const left = stored === undefined ? 0 : Date.parse(stored.notAfter) - now;
      if (stored !== undefined && left > (provider === "selfsigned" ? SELF_SIGNED_RENEWAL : 0)) {
        return stored;
      }
      if (provider === "selfsigned") return this.#signItself(subject, alternates, now);
    }
    return undefined;
  }

  #providersOf(route: Route): readonly string[] {
    return route.provider === undefined ? this.#providers : [route.provider];
  }

  #names(route: Route): string[] {
    return foldWildcards(routeNames(route), this.#wildcards);
  }

  /** What decides which certificate a route has. */
  #key(route: Route): string {
    return `${route.provider ?? ""};${namesKey(this.#names(route))}`;
  }

  #signItself(subject: string, alternates: string[], now: number): CertificateRecord {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const notAfter = new Date(now + SELF_SIGNED_LIFETIME);
    const certificate = selfSigned({
      names: [subject, ...alternates],
      key: privateKey,
      serial: randomBytes(16),
      notBefore: new Date(now),
      notAfter,
    });
    const record = {
      ...newRecord("selfsigned", [subject, ...alternates], notAfter),
      privateKey: privateKeyPem(privateKey),
      certificate,
    };
    this.#log.info("self-signed certificate made", { subject, until: record.notAfter });
    this.#store.save(record).catch((error: Error) =>
      this.#log.error("certificate not stored", {
        subject,
        error,
        next: "it is served from memory",
      })
    );
    return record;
  }

  #saysMissing(route: Route, key: string, error?: Error): undefined {
    if (this.#missing.has(key)) return;
    this.#missing.add(key);
    const next = "its names get the TLS alert unrecognized_name";
    this.#log.warn("no certificate for route", { route: route.domains[0], error, next });
  }
}

function makeEntry(record: CertificateRecord): Entry {
  const context = secureContext(record.privateKey, record.certificate);
  const [now, stapleEnd] = [Date.now(), Date.parse(record.nextOcspUpdate)];
  const staple = record.ocspResponse !== null && stapleEnd > now
    ? Buffer.from(record.ocspResponse, "base64")
    : undefined;
  const end = Math.min(now + CONTEXT_LIFETIME, Date.parse(record.notAfter));
  const goodUntil = staple === undefined ? end : Math.min(end, stapleEnd);
  const { certificate } = record;
  return { context, names: certificateNames(certificate), goodUntil, staple, certificate };
}

/**
 * TLS 1.2 and 1.3 with Mozilla's intermediate settings; the client's order of suites counts.
 * X25519MLKEM768 comes with OpenSSL 3.5 (Node 22.20): before it, a list that names it is refused.
 */
function secureContext(key: string, cert: string): tls.SecureContext {
  const secureOptions = constants.SSL_OP_NO_RENEGOTIATION;
  const base = { key, cert, minVersion: "TLSv1.2", ciphers: CIPHERS, secureOptions } as const;
  const classical = "X25519:prime256v1:secp384r1";
  try {
    return tls.createSecureContext({ ...base, ecdhCurve: `X25519MLKEM768:${classical}` });
  } catch {
    return tls.createSecureContext({ ...base, ecdhCurve: classical });
  }
}
