/**
 * One certificate from one CA: an order, a challenge for every name, another type of challenge
 * where one fails, and the chain (RFC 8555 section 7.4). An order is on disk with its key as soon
 * as it is placed: after a crash it is taken up again, and nothing that was issued is lost.
 *
 * Needs `authority.ts`, `acme.ts`, `acmestate.ts`, `challenges.ts`, `store.ts`, `turns.ts`,
 * `x509.ts`.
 */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import tls from "node:tls";
import { promisify } from "node:util";
import {
  type AcmeClient,
  AcmeError,
  type Authorization,
  certificateId,
  type Order,
  toIdentifier,
} from "./acme.ts";
import type { KeyType } from "./acmesettings.ts";
import type { AcmeState } from "./acmestate.ts";
import type { Authority } from "./authority.ts";
import type { Proof, Solver } from "./challenges.ts";
import type { Fields, Logger } from "./log.ts";
import { parseDecimal } from "./number.ts";
import { type CertificateRecord, newRecord } from "./store.ts";
import { perKey } from "./turns.ts";
import { certificateNames, certificateRequest, coversName } from "./x509.ts";
import { privateKeyPem, readCertificate } from "./x509.ts";

/** For cleaning up after an attempt, which has none of its time left, in milliseconds. */
const CLEAN_UP_TIMEOUT = 60_000;

/** What is told while a certificate is obtained. */
export type Progress = (step: string, fields: Fields) => void;

export interface OrderOptions {
  /** By challenge type, in order of preference. */
  readonly solvers: ReadonlyMap<string, Solver>;
  readonly state: AcmeState;
  readonly log: Logger;
  readonly progress: Progress;
  readonly keyType: KeyType;
  readonly mustStaple: boolean;
  /** Empty for the CA's default, as the next. */
  readonly profile: string;
  /** Common name of the issuer that the chain should end at. */
  readonly preferredChain: string;
}

/** What is wanted, from whom; `key` is that of the set of names, `old` what is replaced. */
interface Wanted {
  readonly names: readonly string[];
  readonly key: string;
  readonly client: AcmeClient;
  readonly authority: Authority;
  readonly signal: AbortSignal;
  readonly old: CertificateRecord | undefined;
  readonly mayOrder?: MayOrder | undefined;
}

/** Rejects with LeaseError when somebody else may be ordering the same. */
export type MayOrder = () => Promise<void>;

/** An order under way, with the key that its certificate is for. */
type Open = { readonly order: Order; readonly key: KeyObject };

/** A name that couldn't be proved by one type of challenge; `offered`: those that the CA has. */
export class ProofError extends Error {
  readonly proof: Proof;
  readonly offered: readonly string[];
  /** Of the same name, by other types, in the same attempt. */
  earlier: readonly ProofError[] = [];

  constructor(proof: Proof, { challenges }: Authorization, cause: unknown) {
    super(`${proof.challenge.type} failed`, { cause });
    this.proof = proof;
    this.offered = challenges.map(({ type }) => type);
  }
}

export class Orders {
  readonly #options: OrderOptions;
  readonly #inTurn = perKey();

  constructor(options: OrderOptions) {
    this.#options = options;
  }

  /** Rejects with ProofError when a name can be proved in no way that is left, or as the client. */
  async place(wanted: Wanted): Promise<CertificateRecord> {
    const { state, progress } = this.#options;
    const failed: ProofError[] = [];
    // A failed challenge ends its order (RFC 8555 7.1.6): each round is a new one.
    for (let open = await this.#resume(wanted);; open = undefined) {
      const { order, key } = open ?? await this.#newOrder(wanted);
      const errors = order.status === "pending" ? await this.#prove(wanted, order, failed) : [];
      if (errors.length === 0) return await this.#finalize(wanted, order, key);
      await state.update(wanted.key, { pending: undefined });
      failed.push(...errors);
      for (const error of errors) {
        const left = this.#typesLeft(error.proof, failed);
        const { identifier: { value: name }, challenge: { type } } = error.proof;
        if (!left.some((one) => error.offered.includes(one))) {
          const isSame = (other: ProofError) => other.proof.identifier.value === name;
          error.earlier = failed.filter((other) => other !== error && isSame(other));
          throw error;
        }
        progress("challenge failed", { name, type, error: error.cause as Error });
      }
    }
  }

  async #newOrder(wanted: Wanted): Promise<Open> {
    const { names, client, authority, old, key: id, mayOrder } = wanted;
    const { meta } = await client.getDirectory();
    const { profile, log, progress, state, keyType } = this.#options;
    const offered = profile === "" || authority.first || meta.profiles.has(profile);
    if (!offered) log.warn("CA doesn't offer the profile", { ca: authority.host, profile });
    const key = await generateKey(keyType);
    await mayOrder?.();
    const order = await client.newOrder({
      identifiers: names.map(toIdentifier),
      ...profile !== "" && offered ? { profile } : {},
      ...{ replaces: replacedId(old, authority) },
    });
    const { directory } = authority;
    await state.update(id, { pending: { directory, url: order.url, key: privateKeyPem(key) } });
    progress("order", { url: order.url, names });
    return { order, key };
  }

  /** The order that an earlier run has left, if it can still be ended. Rejects if it has failed. */
  async #resume(wanted: Wanted): Promise<Open | undefined> {
    const { client, authority, key, old } = wanted;
    const { pending } = this.#options.state.get(key);
    if (pending?.key === old?.privateKey) return undefined; // it was ended, and the end not noted
    if (pending?.directory !== authority.directory) return undefined;
    try {
      const order = await client.getOrder(pending.url);
      if (order.status === "invalid") await this.#tellFailure(wanted, order);
      if (!["pending", "ready", "processing", "valid"].includes(order.status)) return undefined;
      this.#options.progress("order taken up again", { url: order.url });
      return { order, key: createPrivateKey(pending.key) };
    } catch (error) {
      // It is gone, or nobody's any more; while a CA is busy or down it may still be there.
      if (error instanceof AcmeError && !isOfMoment(error)) return undefined;
      throw error;
    }
  }

  /**
   * A challenge that failed while nobody was there counts before there is another order: or else a
   * restart loop would place one each time. An order that just expired isn't a failure.
   */
  async #tellFailure({ client, key }: Wanted, { authorizations }: Order): Promise<void> {
    await this.#options.state.update(key, { pending: undefined });
    for (const url of authorizations) {
      const one = await client.getAuthorization(url);
      const challenge = one.challenges.find(({ error }) => error);
      if (challenge === undefined) continue;
      const why = await client.waitForAuthorization(url).catch((error: Error) => error);
      throw new ProofError({ ...one, client, challenge, keyAuthorization: "" }, one, why);
    }
  }

  /** Proves every name of an order, all at once; gives those that couldn't be. */
  async #prove(wanted: Wanted, order: Order, failed: readonly ProofError[]): Promise<ProofError[]> {
    const { client, names, key } = wanted;
    // RFC 8555 7.1.3: one a name, or fewer. All are asked for at once.
    const count = order.authorizations.length;
    if (count > names.length) throw new Error(`the CA wants ${count} proofs of ${names.length}`);
    const known = await Promise.all(
      order.authorizations.map((url) => client.getAuthorization(url)),
    );
    const open = known.filter(({ status }) => status !== "valid");
    const proofs = open.map((one) => {
      const name = `${one.wildcard ? "*." : ""}${one.identifier.value}`;
      // A solver would write for a stranger's name what a CA makes up.
      if (!names.includes(name)) throw new Error(`the CA's order is for ${name} too`);
      return [one, this.#choose(wanted, one, name, failed)] as const;
    });
    const ended = await Promise.allSettled(proofs.map(([authorization, proof]) => {
      const solver = this.#options.solvers.get(proof.challenge.type);
      if (solver === undefined) throw new TypeError(`no solver for ${proof.challenge.type}`);
      const work = () => this.#proveOne(wanted, authorization, proof, solver);
      const turn = solver.turn?.(proof);
      return turn === undefined ? work() : this.#inTurn(turn, work);
    }));
    const reasons = ended.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
    const other = reasons.find((reason) => !(reason instanceof ProofError));
    if (other !== undefined) throw other;
    const instead = proofs.map(([, proof]) => proof).find((proof) => isAgain(failed, proof));
    if (reasons.length === 0 && instead !== undefined) {
      await this.#options.state.update(key, { provenBy: instead.challenge.type });
    }
    return reasons;
  }

  async #proveOne(
    { client, signal }: Wanted,
    authorization: Authorization,
    proof: Proof,
    solver: Solver,
  ): Promise<void> {
    const { log, progress } = this.#options;
    const { identifier: { value: name }, challenge: { type, url } } = proof;
    let told = false;
    try {
      await solver.prepare(proof, signal);
      progress("challenge", { name, type });
      told = true;
      await client.respond(url);
      await client.waitForAuthorization(authorization.url);
      progress("name proved", { name, type });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      // The CA can't be reached, which is no challenge's fault: the order is taken up again.
      if (told && isOfMoment(error)) throw error;
      // A courtesy to the CA: what will never be tried needn't be kept open.
      if (!told) await client.deactivateAuthorization(authorization.url).catch(() => {});
      throw new ProofError(proof, authorization, error);
    } finally {
      await solver.cleanUp(proof, AbortSignal.timeout(CLEAN_UP_TIMEOUT)).catch((error: Error) => {
        // What couldn't be prepared has said so already.
        if (told) log.warn("challenge not cleaned up", { name, type, error });
      });
    }
  }

  /** What worked last first, then as configured; none that failed in this attempt. */
  #choose(
    { client, key }: Wanted,
    { identifier, wildcard, challenges }: Authorization,
    name: string,
    failed: readonly ProofError[],
  ): Proof {
    const { provenBy = "" } = this.#options.state.get(key);
    const left = this.#typesLeft({ identifier }, failed);
    const challenge = [provenBy, ...left]
      .filter((type) => left.includes(type))
      .map((type) => challenges.find((offered) => offered.type === type))
      .find((offered) => offered !== undefined);
    if (challenge !== undefined) {
      const keyAuthorization = client.keyAuthorization(challenge.token ?? "");
      return { client, identifier, wildcard, challenge, keyAuthorization };
    }
    const offered = challenges.map(({ type }) => type).join(", ");
    throw new Error(`${name} can be proved by ${offered} only, not by ${left.join(", ")}`);
  }

  /** The configured types that didn't fail for the name in this attempt. */
  #typesLeft({ identifier }: Pick<Proof, "identifier">, failed: readonly ProofError[]): string[] {
    const mine = failed.filter(({ proof }) => proof.identifier.value === identifier.value);
    return [...this.#options.solvers.keys()]
      .filter((type) => mine.every(({ proof }) => proof.challenge.type !== type));
  }

  async #finalize(wanted: Wanted, order: Order, key: KeyObject): Promise<CertificateRecord> {
    const { state, mustStaple, preferredChain, progress } = this.#options;
    const { client, names, authority } = wanted;
    progress("finalize", { url: order.url });
    const csr = certificateRequest({ names, key, mustStaple });
    const { certificate: url = "" } = await client.finalize(order, csr);
    const chain = await client.getCertificate(url, preferredChain || undefined);
    const fault = faultOf(chain, key, names);
    if (fault !== undefined) {
      await state.update(wanted.key, { pending: undefined });
      throw new Error(`the CA's certificate ${fault}`);
    }
    return {
      ...newRecord("lego", names, readCertificate(chain).notAfter),
      issuer: /\n(-----BEGIN[^]*)/.exec(chain)?.[1] ?? "",
      privateKey: privateKeyPem(key),
      certificate: chain,
      acmeDirectory: authority.directory,
    };
  }
}

/** RFC 9773 5, for the CA that issued it: old certificates of an internal CA may have no id. */
function replacedId(
  old: CertificateRecord | undefined,
  { directory }: Authority,
): string | undefined {
  if (old === undefined || (old.acmeDirectory ?? directory) !== directory) return undefined;
  try {
    return certificateId(old.certificate);
  } catch {
    return undefined;
  }
}

/** Of the network, or of a CA that is down or busy. */
const isOfMoment = (error: unknown): boolean =>
  !(error instanceof AcmeError) || error.problem.status >= 500 || error.problem.status === 429;

const isAgain = (failed: readonly ProofError[], { identifier }: Proof): boolean =>
  failed.some(({ proof }) => proof.identifier.value === identifier.value);

async function generateKey(type: KeyType): Promise<KeyObject> {
  const generate = promisify(generateKeyPair);
  if (type.startsWith("RSA")) {
    const modulusLength = parseDecimal(type.slice(3)) ?? 2048;
    return (await generate("rsa", { modulusLength })).privateKey;
  }
  return (await generate("ec", { namedCurve: `P-${type.slice(1)}` })).privateKey;
}

/** What is wrong with a chain that should be for this key and these names, and valid now. */
export function faultOf(
  chain: string,
  key: KeyObject,
  names: readonly string[],
): string | undefined {
  const { publicKey, notAfter } = readCertificate(chain);
  const expected = createPublicKey(key).export({ type: "spki", format: "der" });
  if (!publicKey.equals(expected)) return "is for another key";
  const covered = certificateNames(chain);
  const missing = names.find((name) => !covered.includes(name) && !coversName(covered, name));
  if (missing !== undefined) return `lacks the name ${missing}`;
  if (notAfter.getTime() <= Date.now()) {
    return `ended at ${notAfter.toISOString()}, or this machine's clock is wrong`;
  }
  try {
    tls.createSecureContext({ key: privateKeyPem(key), cert: chain });
    return undefined;
  } catch (error) {
    return `can't be served: ${(error as Error).message}`; // a weak signature in it, for example
  }
}
