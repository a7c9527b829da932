/**
 * One certificate, from the names to the chain: the CAs in their order, an order, a challenge for
 * every name, another type of challenge where one fails, and the record in the store (RFC 8555
 * section 7.4). What goes wrong comes out as an IssueError that a person can act on.
 *
 * Needs `authority.ts`, `acme.ts`, `acmestate.ts`, `causes.ts`, `challenges.ts`, `preflight.ts`,
 * `store.ts`, `x509.ts`.
 */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import {
  type AcmeClient,
  AcmeError,
  type Authorization,
  certificateId,
  type Challenge,
  type Order,
  toIdentifier,
} from "./acme.ts";
import { type AcmeState, namesKey } from "./acmestate.ts";
import type { Authority } from "./authority.ts";
import { explain, type Explanation, type Failure } from "./causes.ts";
import type { Proof, Solver } from "./challenges.ts";
import type { Logger } from "./log.ts";
import { parseDecimal } from "./number.ts";
import type { Preflight } from "./preflight.ts";
import type { Resolver } from "./resolver.ts";
import { type CertificateRecord, type CertificateStore, ZERO_TIME } from "./store.ts";
import { certificateNames, certificateRequest, coversName, readCertificate } from "./x509.ts";

/** What a key can be; P-256 is what every client takes and costs least. */
export const KEY_TYPES = ["P256", "P384", "RSA2048", "RSA3072", "RSA4096"] as const;
/** For cleaning up after an attempt, which has none of its time left, in milliseconds. */
const CLEAN_UP_TIMEOUT = 60_000;

export interface IssuerOptions {
  /** In order of preference. */
  readonly authorities: readonly Authority[];
  /** By challenge type, in order of preference. */
  readonly solvers: ReadonlyMap<string, Solver>;
  readonly preflight: Preflight;
  readonly resolver: Resolver;
  readonly store: CertificateStore;
  readonly state: AcmeState;
  readonly log: Logger;
  readonly keyType: (typeof KEY_TYPES)[number];
  readonly mustStaple: boolean;
  /** Empty for the CA's default. */
  readonly profile: string;
  /** Common name of the issuer that the chain should end at; empty for the CA's default. */
  readonly preferredChain: string;
  readonly ports: Failure["ports"];
  /** In milliseconds, for one certificate from one CA; 0 for none. */
  readonly timeout: number;
  readonly progress: (step: string, fields: Readonly<Record<string, string>>) => void;
}

/** Why there is no certificate, in words for a person. */
export class IssueError extends Error {
  readonly explanation: Explanation;
  /** Directory host of the CA. */
  readonly ca: string;

  constructor(explanation: Explanation, ca: string, cause?: unknown) {
    super(explanation.message, { cause });
    this.explanation = explanation;
    this.ca = ca;
  }
}

/** A name that couldn't be proved by one type of challenge. */
class ProofError extends Error {
  readonly proof: Proof;
  readonly offered: readonly string[];

  constructor(proof: Proof, { challenges }: Authorization, cause: unknown) {
    super(`${proof.challenge.type} failed`, { cause });
    this.proof = proof;
    this.offered = challenges.map(({ type }) => type);
  }
}

export class Issuer {
  readonly #options: IssuerOptions;
  /** For solvers that can do only one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: IssuerOptions) {
    this.#options = options;
  }

  /**
   * Obtains a certificate from the first CA that gives one, and stores it. `old`: the one that it
   * replaces. Rejects with IssueError. The next CA is only asked when the one before is down or
   * limits rates: what is wrong with a name is wrong for all of them.
   */
  async obtain(
    names: readonly string[],
    signal: AbortSignal,
    old?: CertificateRecord,
  ): Promise<CertificateRecord> {
    let failure: IssueError | undefined;
    for (const authority of this.#options.authorities) {
      try {
        return await this.#obtainFrom(authority, names, signal, old);
      } catch (error) {
        if (signal.aborted) throw error;
        const latest = await this.#explain(error, authority, names, old);
        failure ??= latest;
        if (!latest.explanation.otherCa) throw latest;
        this.#options.progress("CA failed", { ca: authority.host, why: latest.message });
      }
    }
    throw failure ?? new Error("no CA is configured");
  }

  async #obtainFrom(
    authority: Authority,
    names: readonly string[],
    outer: AbortSignal,
    old?: CertificateRecord,
  ): Promise<CertificateRecord> {
    const { timeout } = this.#options;
    const signal = timeout === 0 ? outer : AbortSignal.any([outer, AbortSignal.timeout(timeout)]);
    const record = await authority.use(async (shared) => {
      const client = shared.withSignal(signal);
      const types = [...this.#options.solvers.keys()];
      const obstacle = await this.#options.preflight(names, authority, client, types);
      if (obstacle !== undefined) throw new IssueError(obstacle, authority.host);
      await this.#checkProof(names, authority, client, signal);
      return this.#order(client, authority, names, signal, old);
    });
    await this.#save(record, names);
    return record;
  }

  /** Of the way that goes first: what will keep the next certificate from being had is said early. */
  async checkProof(names: readonly string[], authority: Authority): Promise<void> {
    const client = await authority.client();
    await this.#checkProof(names, authority, client, AbortSignal.timeout(CLEAN_UP_TIMEOUT))
      .catch((error: Error) => this.#options.log.error("renewal will fail", { names, error }));
  }

  async #checkProof(
    names: readonly string[],
    authority: Authority,
    client: AcmeClient,
    signal: AbortSignal,
  ): Promise<void> {
    const [solver] = this.#options.solvers.values();
    const obstacle = await solver?.obstacle?.(names, client, signal);
    if (obstacle?.fatal) throw new IssueError(obstacle, authority.host);
    if (obstacle) this.#options.log.warn("renewal will fail", { names, why: obstacle.message });
  }

  /** Orders until the names are proved: a failed challenge ends its order (RFC 8555 7.1.6). */
  async #order(
    client: AcmeClient,
    authority: Authority,
    names: readonly string[],
    signal: AbortSignal,
    old?: CertificateRecord,
  ): Promise<CertificateRecord> {
    const failed: ProofError[] = [];
    const key = namesKey(names);
    let resumed = await this.#resume(client, authority, key);
    for (;;) {
      const order = resumed?.order ?? await this.#newOrder(client, authority, names, old);
      try {
        if (order.status === "pending") await this.#prove(client, order, key, failed, signal);
        return await this.#finalize(client, authority, order, names, resumed?.key);
      } catch (error) {
        if (!(error instanceof ProofError)) throw error;
        failed.push(error);
        const left = this.#typesLeft(error.proof, failed);
        if (!left.some((type) => error.offered.includes(type))) throw error;
        const { identifier: { value: name }, challenge: { type } } = error.proof;
        const why = error.cause instanceof Error ? error.cause.message : "";
        this.#options.progress("challenge failed", { name, type, why });
      }
      resumed = undefined;
    }
  }

  async #newOrder(
    client: AcmeClient,
    authority: Authority,
    names: readonly string[],
    old?: CertificateRecord,
  ): Promise<Order> {
    const { meta, renewalInfo } = await client.getDirectory();
    const { profile, log, progress } = this.#options;
    const offered = profile === "" || authority.first || meta.profiles.has(profile);
    if (!offered) log.warn("CA doesn't offer the profile", { ca: authority.host, profile });
    const theirs = old?.acmeDirectory === undefined || old.acmeDirectory === authority.directory;
    const order = await client.newOrder({
      identifiers: names.map(toIdentifier),
      ...profile !== "" && offered ? { profile } : {},
      ...old !== undefined && renewalInfo !== undefined && theirs
        ? { replaces: certificateId(old.certificate) }
        : {},
    });
    progress("order", { url: order.url, names: names.join(" ") });
    return order;
  }

  /** The order that an earlier run was about to end, with its key, if it can still be ended. */
  async #resume(
    client: AcmeClient,
    { directory }: Authority,
    names: string,
  ): Promise<{ order: Order; key: KeyObject } | undefined> {
    const { state, progress } = this.#options;
    const { pending } = state.get(names);
    if (pending?.directory !== directory) return undefined;
    try {
      const order = await client.getOrder(pending.url);
      if (!["ready", "processing", "valid"].includes(order.status)) return undefined;
      progress("order taken up again", { url: order.url });
      return { order, key: createPrivateKey(pending.key) };
    } catch (error) {
      if (!(error instanceof AcmeError)) throw error;
      return undefined;
    }
  }

  /** Proves every name of an order, all at once; rejects with ProofError for one that can't be. */
  async #prove(
    client: AcmeClient,
    order: Order,
    names: string,
    failed: readonly ProofError[],
    signal: AbortSignal,
  ): Promise<void> {
    const known = await Promise.all(
      order.authorizations.map((url) => client.getAuthorization(url)),
    );
    const open = known.filter(({ status }) => status !== "valid");
    const proofs = open.map((one) => [one, this.#choose(client, one, names, failed)] as const);
    const ended = await Promise.allSettled(proofs.map(async ([authorization, proof]) => {
      const solver = this.#options.solvers.get(proof.challenge.type);
      if (solver === undefined) throw new TypeError(`no solver for ${proof.challenge.type}`);
      const work = () => this.#proveOne(client, authorization, proof, solver, signal);
      if (!solver.sequential) return work();
      const turn = this.#turn.then(work, work);
      this.#turn = turn.catch(() => {});
      return turn;
    }));
    const rejected = ended.find((one) => one.status === "rejected");
    if (rejected !== undefined) throw rejected.reason;
    const instead = proofs.map(([, proof]) => proof).find((proof) => isAgain(failed, proof));
    if (instead !== undefined) {
      await this.#options.state.update(names, { provenBy: instead.challenge.type });
    }
  }

  async #proveOne(
    client: AcmeClient,
    authorization: Authorization,
    proof: Proof,
    solver: Solver,
    signal: AbortSignal,
  ): Promise<void> {
    const { log, progress } = this.#options;
    const name = proof.identifier.value;
    const { type } = proof.challenge;
    const { url } = authorization;
    let told = false;
    try {
      await solver.prepare(proof, signal);
      progress("challenge", { name, type });
      told = true;
      await client.respond(proof.challenge.url);
      await client.waitForAuthorization(url);
      progress("name proved", { name, type });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      // A courtesy to the CA: what will never be tried needn't be kept open.
      if (!told) await client.deactivateAuthorization(url).catch(() => {});
      throw new ProofError(proof, authorization, error);
    } finally {
      await solver.cleanUp(proof, AbortSignal.timeout(CLEAN_UP_TIMEOUT)).catch((error: Error) =>
        log.warn("challenge not cleaned up", { name, type, error })
      );
    }
  }

  /** What worked last first, then as configured; none that failed in this attempt. */
  #choose(
    client: AcmeClient,
    { identifier, wildcard, challenges }: Authorization,
    names: string,
    failed: readonly ProofError[],
  ): Proof {
    const { provenBy = "" } = this.#options.state.get(names);
    const left = this.#typesLeft({ identifier }, failed);
    const challenge = [provenBy, ...left]
      .filter((type) => left.includes(type))
      .map((type) => challenges.find((offered: Challenge) => offered.type === type))
      .find((offered) => offered !== undefined);
    if (challenge !== undefined) {
      const keyAuthorization = client.keyAuthorization(challenge.token ?? "");
      return { client, identifier, wildcard, challenge, keyAuthorization };
    }
    const offered = challenges.map(({ type }) => type).join(", ");
    const name = `${wildcard ? "*." : ""}${identifier.value}`;
    const tried = left.join(", ") || "nothing";
    throw new Error(`${name} can be proved by ${offered} only: ${tried} is configured`);
  }

  /** The configured types that didn't fail for the name in this attempt. */
  #typesLeft({ identifier }: Pick<Proof, "identifier">, failed: readonly ProofError[]): string[] {
    const mine = failed.filter(({ proof }) => proof.identifier.value === identifier.value);
    return [...this.#options.solvers.keys()]
      .filter((type) => mine.every(({ proof }) => proof.challenge.type !== type));
  }

  async #finalize(
    client: AcmeClient,
    { directory }: Authority,
    order: Order,
    names: readonly string[],
    resumedKey?: KeyObject,
  ): Promise<CertificateRecord> {
    const { state, keyType, mustStaple, preferredChain, progress } = this.#options;
    const key = resumedKey ?? await generateKey(keyType);
    const pem = exportKey(key);
    // On disk before the CA is asked: what it issues can be fetched after a crash.
    await state.update(namesKey(names), { pending: { directory, url: order.url, key: pem } });
    progress("finalize", { url: order.url });
    const csr = certificateRequest({ names, key, mustStaple });
    const { certificate: url } = await client.finalize(order, csr);
    if (url === undefined) throw new Error("the CA's order is valid but has no certificate");
    const chain = await client.getCertificate(url, preferredChain || undefined);
    const [subject = "", ...altNames] = names;
    return {
      provider: "lego",
      issuer: chain.slice(chain.indexOf("-----BEGIN", 1)),
      privateKey: pem,
      certificate: checkIssued(chain, key, names),
      subject,
      altNames,
      notAfter: readCertificate(chain).notAfter.toISOString(),
      ocspResponse: null,
      nextOcspUpdate: ZERO_TIME,
      ariNextUpdate: ZERO_TIME,
      ariRenewalTime: ZERO_TIME,
      ariExplanation: "",
      acmeDirectory: directory,
    };
  }

  /** In words for a person, with what is seen from here. */
  async #explain(
    error: unknown,
    { host: ca }: Authority,
    names: readonly string[],
    old?: CertificateRecord,
  ): Promise<IssueError> {
    if (error instanceof IssueError) return error;
    const proof = error instanceof ProofError ? error.proof : undefined;
    const cause = error instanceof ProofError ? error.cause : error;
    const problem = cause instanceof AcmeError ? cause : undefined;
    const explanation = explain({
      names,
      ca,
      ports: this.#options.ports,
      error: cause instanceof Error ? cause : new Error(String(cause)),
      ...proof && { name: proof.identifier.value, challenge: proof.challenge.type },
      ...proof && { seen: await this.#look(proof) },
      ...problem && { problem: problem.problem },
      ...problem?.retryAfter && { retryAt: new Date(Date.now() + problem.retryAfter) },
      ...old && { notAfter: new Date(old.notAfter) },
    });
    return new IssueError(explanation, ca, error);
  }

  /** What a name's DNS says at the moment. */
  async #look({ identifier: { value }, challenge: { type } }: Proof): Promise<Failure["seen"]> {
    const { resolver } = this.#options;
    if (type !== "dns-01") {
      const addresses = await resolver.addresses(value).catch(() => undefined);
      return addresses && { addresses };
    }
    const name = await resolver.canonicalName(`_acme-challenge.${value}`).catch(() => undefined);
    const txt = name && await resolver.txtEverywhere(name).catch(() => undefined);
    return txt ? { txt } : undefined;
  }

  async #save(record: CertificateRecord, names: readonly string[]): Promise<void> {
    const { store, state, log, progress } = this.#options;
    progress("certificate", { names: names.join(" "), until: record.notAfter });
    try {
      await store.save(record);
      await state.update(namesKey(names), { pending: undefined, failure: undefined });
    } catch (error) {
      const next = "it is served from memory, and stored with the next one";
      log.error("certificate not stored", { names, error: error as Error, next });
    }
  }
}

const isAgain = (failed: readonly ProofError[], { identifier }: Proof): boolean =>
  failed.some(({ proof }) => proof.identifier.value === identifier.value);

async function generateKey(type: IssuerOptions["keyType"]): Promise<KeyObject> {
  const generate = promisify(generateKeyPair);
  if (type.startsWith("RSA")) {
    const modulusLength = parseDecimal(type.slice(3)) ?? 2048;
    return (await generate("rsa", { modulusLength })).privateKey;
  }
  return (await generate("ec", { namedCurve: `P-${type.slice(1)}` })).privateKey;
}

/** PEM as the Go program reads it: SEC1, PKCS #1. */
function exportKey(key: KeyObject): string {
  const type = key.asymmetricKeyType === "ec" ? "sec1" : "pkcs1";
  return key.export({ format: "pem", type: type as "pkcs1" }).toString();
}

/** The chain, if it is for this key and these names; throws an Error that says what is wrong. */
function checkIssued(chain: string, key: KeyObject, names: readonly string[]): string {
  const expected = createPublicKey(key).export({ type: "spki", format: "der" });
  if (!readCertificate(chain).publicKey.equals(expected)) {
    throw new Error("the CA's certificate is for another key");
  }
  const covered = certificateNames(chain);
  const missing = names.find((name) => !covered.includes(name) && !coversName(covered, name));
  if (missing !== undefined) throw new Error(`the CA's certificate lacks the name ${missing}`);
  return chain;
}
