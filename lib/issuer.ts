/**
 * One certificate, from whichever CA gives one: the CAs in their order, each asked only when
 * nothing is known to be in the way, and what goes wrong in words that a person can act on.
 *
 * Needs `order.ts`, `authority.ts`, `acmestate.ts`, `causes.ts`, `preflight.ts`, `resolver.ts`,
 * `store.ts`.
 */
import { AcmeError, type Problem } from "./acme.ts";
import type { AcmeState } from "./acmestate.ts";
import { namesKey } from "./addr.ts";
import type { Authority } from "./authority.ts";
import { explain, type Explanation, type Failure, NO_DIRECTORY } from "./causes.ts";
import type { Proof } from "./challenges.ts";
import { LeaseError } from "./lease.ts";
import { type MayOrder, type OrderOptions, Orders, ProofError } from "./order.ts";
import type { Preflight } from "./preflight.ts";
import type { Resolver } from "./resolver.ts";
import type { CertificateRecord, Store } from "./store.ts";

/** For looking at DNS after a failure, in milliseconds. */
const LOOK_TIMEOUT = 30_000;

export interface IssuerOptions extends OrderOptions {
  /** In order of preference. */
  readonly authorities: readonly Authority[];
  readonly preflight: Preflight;
  readonly resolver: Resolver;
  readonly store: Store;
  readonly state: AcmeState;
  readonly ports: Failure["ports"];
  /** In milliseconds, for one certificate from one CA; 0 for none. */
  readonly timeout: number;
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

export class Issuer {
  readonly #options: IssuerOptions;
  readonly #orders: Orders;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.#orders = new Orders(options);
  }

  /**
   * Obtains a certificate from the first CA that gives one, and stores it. `old`: the one that it
   * replaces; `mayOrder` is asked before each order. Rejects with IssueError, or as `mayOrder`. The
   * next CA is only asked when the one before is down or limits rates: what is wrong with a name is
   * wrong for all of them.
   */
  async obtain(
    names: readonly string[],
    signal: AbortSignal,
    old?: CertificateRecord,
    mayOrder?: MayOrder,
  ): Promise<CertificateRecord> {
    const { authorities, state, progress } = this.#options;
    const key = namesKey(names);
    const failures: IssueError[] = [];
    for (const authority of authorities) {
      const held = Date.parse(state.get(key).holds?.[authority.directory] ?? "");
      if (held > Date.now() && authorities.length > 1) continue;
      try {
        return await this.#obtainFrom(authority, names, signal, old, mayOrder);
      } catch (error) {
        if (signal.aborted || error instanceof LeaseError) throw error;
        const failure = await this.#explain(error, authority, names, signal, old);
        const { otherCa, retryAt } = failure.explanation;
        failures.push(failure);
        if (retryAt !== undefined) await this.#hold(key, authority, retryAt);
        if (!otherCa || authority === authorities.at(-1)) break;
        progress("CA failed", { ca: authority.host, why: failure.message });
      }
    }
    // What is wrong with the names says more than that a CA was down before.
    throw failures.at(-1) ?? this.#heldError(key);
  }

  async #obtainFrom(
    authority: Authority,
    names: readonly string[],
    outer: AbortSignal,
    old?: CertificateRecord,
    mayOrder?: MayOrder,
  ): Promise<CertificateRecord> {
    const { timeout, preflight } = this.#options;
    const signal = timeout === 0 ? outer : AbortSignal.any([outer, AbortSignal.timeout(timeout)]);
    const record = await authority.use(async (client) => {
      const obstacle = await preflight(names, authority, client, signal);
      if (obstacle !== undefined) throw new IssueError(obstacle, authority.host);
      const key = namesKey(names);
      return this.#orders.place({ names, key, client, authority, signal, old, mayOrder });
    }, signal);
    await this.#save(record, names);
    return record;
  }

  /** Until when a CA isn't asked for these names, while others can be. */
  async #hold(key: string, { directory }: Authority, until: Date): Promise<void> {
    const { state } = this.#options;
    const holds = { ...state.get(key).holds, [directory]: until.toISOString() };
    await state.update(key, { holds });
  }

  #heldError(key: string): IssueError {
    const times = Object.values(this.#options.state.get(key).holds ?? {});
    const first = new Date(Math.min(...times.map((time) => Date.parse(time))));
    return new IssueError({
      cause: "rate-limited",
      message: `no CA takes orders for these names before ${first.toISOString()}`,
      advice: "Wait, or name another CA with --acme-directory.",
      ...{ retry: "backoff", retryAt: first, otherCa: false },
    }, "all");
  }

  /** In words for a person, with what is seen from here. */
  async #explain(
    error: unknown,
    { host: ca }: Authority,
    names: readonly string[],
    signal: AbortSignal,
    old?: CertificateRecord,
  ): Promise<IssueError> {
    if (error instanceof IssueError) return error;
    const proof = error instanceof ProofError ? error.proof : undefined;
    const cause = error instanceof ProofError ? error.cause : error;
    const isOfCa = cause instanceof AcmeError && !NO_DIRECTORY.test(cause.message);
    const problem = isOfCa ? cause : undefined;
    const limited = AbortSignal.any([signal, AbortSignal.timeout(LOOK_TIMEOUT)]);
    const explanation = explain({
      names,
      ca,
      ports: this.#options.ports,
      error: cause instanceof Error ? cause : new Error(String(cause)),
      ...proof && { name: proof.identifier.value, challenge: proof.challenge.type },
      ...error instanceof ProofError && { earlier: error.earlier.map((one) => one.cause) },
      seen: await this.#look(proof, problem?.problem, names, limited),
      ...problem && { problem: problem.problem },
      ...problem?.retryAfter && { retryAt: new Date(Date.now() + problem.retryAfter) },
      ...old && { notAfter: new Date(old.notAfter) },
    });
    return new IssueError(explanation, ca, error);
  }

  /** What DNS says at the moment of what the CA found wrong, or of the name to be proved. */
  async #look(
    proof: Proof | undefined,
    problem: Problem | undefined,
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<Failure["seen"]> {
    const { resolver } = this.#options;
    const value = proof?.identifier.value;
    const nothing = () => undefined;
    const all = problem === undefined ? [] : [...problem.subproblems, problem];
    const forbids = all.find(({ type, detail }) => /:caa$|\bCAA\b/.test(`${detail} ${type}`));
    if (forbids !== undefined) {
      const name = names.find((one) => one === forbids.identifier?.value) ?? value ?? names[0]!;
      return { caa: await resolver.caa(name.replace(/^\*\./, ""), signal).catch(nothing) };
    }
    if (value === undefined) return undefined;
    if (proof?.challenge.type !== "dns-01") {
      return { addresses: await resolver.addresses(value, signal).catch(nothing) };
    }
    const at = `_acme-challenge.${value}`;
    return { txt: await resolver.txtEverywhere(at, signal).catch(nothing) };
  }

  async #save(record: CertificateRecord, names: readonly string[]): Promise<void> {
    const { store, state, log, progress } = this.#options;
    progress("certificate", { names, until: record.notAfter });
    try {
      await store.save(record);
      const done = { pending: undefined, failure: undefined, holds: undefined };
      await state.update(namesKey(names), done);
    } catch (error) {
      const next = "it is served from memory, and stored with the next one";
      log.error("certificate not stored", { names, error: error as Error, next });
    }
  }
}
