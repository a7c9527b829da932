/**
 * The certificate that each route is served with. What the store has and is valid comes first, from
 * the providers in their order; a self-signed one is made when one is asked for, so that ten
 * thousand names cost nothing before somebody connects to them.
 *
 * Needs `store.ts`, `contexts.ts`, `x509.ts`.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { namesKey } from "./addr.ts";
import { certificateKey, type Identity, keyOf, namesOf } from "./contexts.ts";
import { type ServedCertificate, toServed } from "./contexts.ts";
import { errorText, type Logger } from "./log.ts";
import type { Route } from "./routes.ts";
import { type CertificateRecord, newRecord, type Store } from "./store.ts";
import { privateKeyPem, selfSigned } from "./x509.ts";

const DAY = 24 * 60 * 60 * 1000;
const SELF_SIGNED_LIFETIME = 30 * DAY;
/** A self-signed certificate with less time left than this is replaced. */
const SELF_SIGNED_RENEWAL = 7 * DAY;
/** How long a context lives: its session ticket keys go with it. */
const CONTEXT_LIFETIME = DAY / 2;

interface Entry {
  readonly identity: Identity;
  /** Made when this process serves it. */
  served?: ServedCertificate;
  /** Made when workers do. */
  ticketKeys?: string;
}

/** `record` may have expired; `problem` says why it can't be served, and is empty if it can. */
export interface Stored {
  /** The certificate's, subject first. */
  readonly names: readonly string[];
  /** Where it may come from, best first. */
  readonly providers: readonly string[];
  readonly record: CertificateRecord | undefined;
  readonly problem: string;
}

export class Certificates {
  readonly #store: Store;
  readonly #providers: readonly string[];
  readonly #wildcards: readonly string[];
  readonly #log: Logger;
  #entries = new Map<string, Entry>();
  /** By the keys of their certificates; of several, any. */
  #routes = new Map<string, Route>();
  /** Keys whose absence the log has been told of, and why what is stored can't be served. */
  #missing = new Map<string, string>();

  /**
   * `providers` in order of preference: `lego` (what ACME obtained) and `selfsigned`. `wildcards`:
   * domains of which one wildcard certificate covers all names below.
   */
  constructor(
    store: Store,
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
    const sets = from.map((route) => namesOf(route, this.#wildcards));
    return [...new Map(sets.map((names) => [namesKey(names), names])).values()];
  }

  /**
   * The next connection to these names gets what is in the store by then. Returns the keys of what
   * workers have to forget.
   */
  renewed(names: readonly string[]): readonly string[] {
    const keys = ["", "lego", "selfsigned"].map((provider) => keyOf(provider, names));
    for (const key of keys) {
      this.#entries.delete(key);
      this.#missing.delete(key);
    }
    return keys;
  }

  /**
   * Forgets certificates of routes that are gone, and those that the store has newer ones for;
   * returns their keys, as renewed() does.
   */
  retain(routes: readonly Route[]): readonly string[] {
    const before = this.#entries;
    const kept = new Map<string, Entry>();
    this.#routes = new Map();
    for (const route of routes) {
      const key = certificateKey(route, this.#wildcards);
      this.#routes.set(key, route);
      const entry = before.get(key);
      if (entry === undefined) continue;
      const [subject = "", ...alternates] = namesOf(route, this.#wildcards);
      const stored = this.#providersOf(route)
        .map((provider) => this.#store.find(provider, subject, alternates))
        .find((record) => record !== undefined);
      if (stored === undefined || stored.certificate === entry.identity.certificate) {
        kept.set(key, entry);
      }
    }
    this.#entries = kept;
    this.#missing = new Map();
    return [...before.keys()].filter((key) => !kept.has(key));
  }

  /** The route's certificate, undefined while there is none. */
  find(route: Route): ServedCertificate | undefined {
    const key = certificateKey(route, this.#wildcards);
    const entry = this.#entry(route, key);
    if (entry === undefined) return undefined;
    try {
      return entry.served ??= toServed(entry.identity);
    } catch (error) {
      return void this.unusable(key, error as Error, route);
    }
  }

  /** What there is for a route, found out without making anything. */
  look(route: Route): Stored {
    const names = namesOf(route, this.#wildcards);
    const [subject = "", ...alternates] = names;
    const providers = this.#providersOf(route);
    const records = providers.map((provider) => this.#store.find(provider, subject, alternates))
      .filter((record) => record !== undefined);
    const record = records.find(({ notAfter }) => Date.parse(notAfter) > Date.now()) ?? records[0];
    const key = keyOf(route.provider, names);
    const problem = this.#entries.has(key) ? "" : this.#missing.get(key) ?? "";
    return { names, providers, record, problem };
  }

  /** It can't be served, as whoever tried to has found; it is looked for anew. */
  unusable(key: string, error: Error, route: Route | undefined = this.#routes.get(key)): void {
    this.#entries.delete(key);
    if (route !== undefined) this.#saysMissing(route, key, error);
  }

  /** For a worker: the certificate of that key, undefined while there is none. */
  identity(key: string): Identity | undefined {
    const route = this.#routes.get(key);
    const entry = route && this.#entry(route, key);
    if (entry === undefined) return undefined;
    const ticketKeys = entry.ticketKeys ??= randomBytes(48).toString("base64");
    return { ...entry.identity, ticketKeys };
  }

  #entry(route: Route, key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined && entry.identity.goodUntil > Date.now()) return entry;
    try {
      const record = this.#record(route);
      if (record === undefined) return this.#saysMissing(route, key);
      const made = { identity: toIdentity(record) };
      this.#entries.set(key, made);
      return made;
    } catch (error) {
      return this.#saysMissing(route, key, error as Error);
    }
  }

  #record(route: Route): CertificateRecord | undefined {
    const [subject = "", ...alternates] = namesOf(route, this.#wildcards);
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
    this.#missing.set(key, error === undefined ? "" : errorText(error));
    const next = "its names get the TLS alert unrecognized_name";
    this.#log.warn("no certificate for route", { route: route.domains[0], error, next });
  }
}

function toIdentity(record: CertificateRecord): Identity {
  const { certificate, privateKey, ocspResponse } = record;
  const [now, stapleEnd] = [Date.now(), Date.parse(record.nextOcspUpdate)];
  const staple = stapleEnd > now ? ocspResponse ?? undefined : undefined;
  const end = Math.min(now + CONTEXT_LIFETIME, Date.parse(record.notAfter));
  const goodUntil = staple === undefined ? end : Math.min(end, stapleEnd);
  return { certificate, privateKey, staple, goodUntil };
}
