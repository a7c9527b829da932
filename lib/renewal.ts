/**
 * When certificates are obtained and renewed: what is missing at once, what is stored at a random
 * time in the window that the CA suggests (ARI, RFC 9773), else at two thirds of its life; what
 * failed after a while that grows, across restarts too. A certificate is served to its end whatever
 * happens here.
 *
 * Needs `issuer.ts`, `acmestate.ts`, `store.ts`, `acme.ts`, `x509.ts`, and timers.
 */
import { createHash, createPublicKey } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { certificateId, orAborted } from "./acme.ts";
import type { Entry, Failure } from "./acmestate.ts";
import { namesKey } from "./addr.ts";
import type { Authority } from "./authority.ts";
import { IssueError, type Issuer, type IssuerOptions } from "./issuer.ts";
import { LeaseError, type Leases, type Note } from "./lease.ts";
import { type MayOrder, ProofError } from "./order.ts";
import { type CertificateRecord, ZERO_TIME } from "./store.ts";
import { OID, readCertificate } from "./x509.ts";

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000];
/** Times are looked at at least this often: a clock may be set, and a machine may sleep. */
const CHECK_INTERVAL = HOUR;
/** After the first, second … failure in a row; the last for all others. */
const BACKOFF = [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY];
/** For what isn't the CA's doing, from the second time on: it is looked at, the CA isn't asked. */
const SOON = 10 * MINUTE;
/** When the CA doesn't tell what it suggests (RFC 9773 section 4.3.3). */
const ARI_RETRY = 6 * HOUR;
/** Certificates with a shorter life are renewed at half of it, not at two thirds. */
const SHORT_LIFE = 10 * DAY;
/** When what can't succeed is tried again; a day, for what changes at the CA. */
const ON_CHANGE = "when the configuration or DNS changes, else in a day";
/** When somebody else has the lease, from the first to the longest pause. */
const [FIRST_LOOK, LAST_LOOK] = [SECOND, 5 * SECOND];
/** Orders in flight at a time. */
const CONCURRENCY = 8;

type Shared = Pick<IssuerOptions, "authorities" | "store" | "state" | "resolver" | "log">;

export interface RenewalOptions extends Shared {
  readonly issuer: Issuer;
  /** Where other machines order, too: whoever has the lease of a set of names does. */
  readonly leases?: Leases | undefined;
  /** What an order depends on, hashed: when it changes, what failed may be tried at once. */
  readonly configuration: string;
  /** Between the starts of two orders, in milliseconds. */
  readonly interval: number;
  /** Says what will keep names from being proved, though their certificate is still good. */
  readonly foresee: (names: readonly string[], authority: Authority) => Promise<void>;
  /** Brings up to date what is stapled to a certificate that must staple; see `stapling.ts`. */
  readonly staple: (
    record: CertificateRecord,
  ) => Promise<{ readonly record?: CertificateRecord; readonly next: number }>;
  /** Called when another certificate, or another staple, is stored; resolves when it is served. */
  readonly onChange: (names: readonly string[]) => Promise<void> | void;
  /** Called when an order has failed. */
  readonly onFailure?: ((names: readonly string[]) => void) | undefined;
}

/** A set of names that a certificate is wanted for. */
interface Item {
  readonly names: readonly string[];
  readonly key: string;
  /** Milliseconds since the epoch; the next two are 0 for any time. */
  due: number;
  /** When the staple is looked at; when the names are, after what wasn't the CA's doing. */
  stapleAt: number;
  /** The certificate that `stapleAt` is about. */
  stapleFor: string | undefined;
  holdUntil: number;
  /** How often in a row somebody else had the lease, and when it is looked at again. */
  looks: number;
  lookAt: number;
  /** When this process obtained its latest certificate. */
  obtainedAt: number;
  busy: boolean;
  /** When its order began, or may begin where orders must be apart; 0 for none under way. */
  orderAt: number;
  /** Why it failed last, in this process; `certificate`: that there was then. */
  failed: (Attempt & { readonly certificate: string | undefined }) | undefined;
}

/** The last attempt; times are in milliseconds since the epoch. */
export interface Attempt {
  readonly at: number;
  /** How many in a row failed, as far as this process knows. */
  readonly attempts: number;
  /** Host of its directory, and types of challenges; empty if another process tried. */
  readonly ca: string;
  readonly challenges: readonly string[];
  readonly cause: string;
  readonly message: string;
  readonly advice: string;
}

/** How it stands with a set of names; times as above. */
export interface Outlook {
  /** `ordering` since `at`, or from `at` on; `queued` for those before it; `waiting` until `at`. */
  readonly doing: "ordering" | "queued" | "waiting";
  readonly at: number;
  /** It waits for a change of the configuration or of DNS, else until `at`. */
  readonly onChange: boolean;
  /** When what is stored is renewed, and whether the CA suggested that. */
  readonly renewal: { readonly at: number; readonly suggested: boolean } | undefined;
  readonly failure: Attempt | undefined;
}

/** What is read of a certificate, once: in milliseconds since the epoch. */
type Life = { readonly start: number; readonly end: number; readonly mustStaple: boolean };

export class Renewal {
  readonly #options: RenewalOptions;
  readonly #stopped = new AbortController();
  #items = new Map<string, Item>();
  /** Those under way, also of names that aren't wanted any more. */
  readonly #running = new Map<string, Promise<void>>();
  readonly #lives = new WeakMap<CertificateRecord, Life>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextOrder = 0;
  #reloadAt = 0;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /**
   * The sets of names, subject first, that certificates are wanted for from now on. After a reload
   * those that were wanted before are tried at once, too, if they wait for a change.
   */
  want(sets: readonly (readonly string[])[], isReload = true): void {
    const items = new Map<string, Item>();
    for (const names of sets) {
      const key = namesKey(names);
      const busy = this.#running.has(key);
      const times = { due: 0, stapleAt: 0, holdUntil: 0, obtainedAt: 0, orderAt: 0 };
      const nothing = { stapleFor: undefined, failed: undefined };
      const known = this.#items.get(key);
      const item = known ?? { names, key, ...times, ...nothing, looks: 0, lookAt: 0, busy };
      items.set(key, item);
      if (known !== undefined && !isReload) continue;
      item.holdUntil = 0; // whoever reloads may have mended it
      if (!item.busy) item.due = this.#plan(item, true);
      this.#tellWaiting(item);
    }
    this.#items = items;
    this.#tick();
  }

  /** Undefined for names that no certificate is wanted for. */
  look(names: readonly string[]): Outlook | undefined {
    const item = this.#items.get(namesKey(names));
    if (item === undefined) return undefined;
    const record = this.#record(item);
    const { failure } = this.#options.state.get(item.key);
    const { cause = "", message = "", advice = "", count = 0, at = "" } = failure ?? {};
    const stored = failure &&
      { at: Date.parse(at), attempts: count, ca: "", challenges: [], cause, message, advice };
    const isOld = record !== undefined && item.failed?.certificate !== record.certificate;
    const now = Date.now();
    const order = item.busy ? item.orderAt : 0;
    const doing = order > 0 ? "ordering" : !item.busy && item.due <= now ? "queued" : "waiting";
    return {
      doing,
      at: order || Math.max(item.due, this.#orderTime(item, record)),
      onChange: failure?.next === "" && failure.configuration === this.#options.configuration,
      renewal: record && {
        at: this.#renewalTime(record),
        suggested: record.ariRenewalTime !== ZERO_TIME,
      },
      failure: isOld ? stored : item.failed ?? stored,
    };
  }

  /** Somebody else has stored another record of these names. */
  lookAgain(names: readonly string[]): void {
    const item = this.#items.get(namesKey(names));
    if (item === undefined || item.busy) return; // it is planned anew when it isn't
    item.due = this.#plan(item);
    this.#tick();
  }

  /** Ends orders under way; resolves when they have: they are taken up again at the next start. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stopped.abort(new Error("the program is stopping"));
    await Promise.all(this.#running.values());
  }

  /** The certificate that there is, if it can be read and is valid. */
  #record({ names: [subject = "", ...altNames] }: Item): CertificateRecord | undefined {
    const record = this.#options.store.find("lego", subject, altNames);
    return record !== undefined && this.#life(record).end > Date.now() ? record : undefined;
  }

  #life(record: CertificateRecord): Life {
    let life = this.#lives.get(record);
    if (life === undefined) this.#lives.set(record, life = this.#readLife(record));
    return life;
  }

  #readLife(record: CertificateRecord): Life {
    try {
      const { notBefore, notAfter, publicKey, extension } = readCertificate(record.certificate);
      const key = createPublicKey(record.privateKey).export({ type: "spki", format: "der" });
      if (!publicKey.equals(key)) throw new Error("its key is another certificate's");
      const mustStaple = extension(OID.tlsFeature) !== undefined;
      return { start: notBefore.getTime(), end: notAfter.getTime(), mustStaple };
    } catch (error) {
      const { subject } = record;
      this.#options.log.error("stored certificate not usable", { subject, error: error as Error });
      return { start: 0, end: 0, mustStaple: false };
    }
  }

  /** When there is something to do; `fresh`: somebody may have changed what was in the way. */
  #plan(item: Item, fresh = false): number {
    const record = this.#record(item);
    const waits = !fresh && this.#options.state.get(item.key).failure?.next === "";
    const order = Math.max(this.#orderTime(item, record), waits ? Date.now() + SOON : 0);
    if (record === undefined) return order;
    const staple = this.#life(record).mustStaple ? item.stapleAt : Infinity;
    return Math.min(order, ariTime(record), staple);
  }

  /** When an order may be placed, if what a failure waits for has changed by then. */
  #orderTime(item: Item, record: CertificateRecord | undefined): number {
    const { key, holdUntil, lookAt } = item;
    const { failure, hasty } = this.#options.state.get(key);
    const renew = record === undefined ? 0 : this.#renewalTime(record);
    const paced = this.#paced(hasty, record);
    return Math.max(renew, paced, holdUntil, lookAt, this.#allowed(failure));
  }

  /** No pace outlasts half of what the latest certificate had left; a clock may have been wrong. */
  #paced(hasty: Entry["hasty"], record: CertificateRecord | undefined): number {
    const at = Date.parse(hasty?.at ?? "");
    if (hasty === undefined || at > Date.now() + HOUR) return 0;
    const half = record === undefined ? Infinity : (this.#life(record).end - at) / 2;
    return at + Math.min(pause(hasty.count), Math.max(half, MINUTE));
  }

  /** When what has failed may be tried again; a clock may have been wrong when that was written. */
  #allowed(failure: Failure | undefined): number {
    const { at, next, configuration } = failure ?? { next: "" };
    const isOld = configuration !== this.#options.configuration;
    return next === "" || isOld || Date.parse(at ?? "") > Date.now() + HOUR ? 0 : Date.parse(next);
  }

  /** At a start or reload: what waits, so that nobody wonders why nothing happens. */
  #tellWaiting({ names, key }: Item): void {
    const { failure } = this.#options.state.get(key);
    if (failure === undefined) return;
    const { message: problem, advice, next, configuration } = failure;
    const waits = next === "" && configuration === this.#options.configuration;
    if (!waits && this.#allowed(failure) <= Date.now()) return;
    const until = next || ON_CHANGE;
    this.#options.log.info("certificate waits", { names, problem, advice, next: until });
  }

  /** Starts what is due, and sets the timer for what is due next. */
  #tick(): void {
    clearTimeout(this.#timer);
    if (this.#stopped.signal.aborted) return;
    const now = Date.now();
    let next = now + CHECK_INTERVAL;
    for (const item of this.#items.values()) {
      if (item.busy) continue;
      if (item.due > now) next = Math.min(next, item.due);
      else if (this.#running.size < CONCURRENCY) this.#start(item);
    }
    this.#timer = setTimeout(() => this.#tick(), next - now);
  }

  #start(item: Item): void {
    item.busy = true;
    const done = this.#work(item).then(() => this.#plan(item)).catch((error: Error) => {
      if (!this.#stopped.signal.aborted) {
        this.#options.log.error("certificate not looked after", { names: item.names, error });
      }
      return Date.now() + SOON;
    }).then((due) => {
      this.#running.delete(item.key);
      const current = this.#items.get(item.key) ?? item; // a reload may have made another
      current.busy = false;
      current.due = due;
      this.#tick();
    });
    this.#running.set(item.key, done);
  }

  async #work(item: Item): Promise<void> {
    const { store, staple, onChange, leases } = this.#options;
    if (leases === undefined) await this.#reloadStore();
    let record = this.#record(item);
    if (record !== undefined && ariTime(record) <= Date.now()) {
      record = await this.#refreshAri(item, record);
    }
    if (this.#orderTime(item, record) > Date.now()) item.looks = 0;
    else if (leases === undefined) await this.#obtain(item, record);
    else await this.#obtainAlone(item, leases);
    record = this.#record(item);
    if (record === undefined || !this.#life(record).mustStaple) return;
    // Once in its time: a responder that is down isn't asked, nor complained of, at every look.
    if (record.certificate === item.stapleFor && item.stapleAt > Date.now()) return;
    const stapled = await staple(record);
    item.stapleFor = record.certificate;
    item.stapleAt = stapled.next;
    if (stapled.record === undefined) return;
    await store.update(stapled.record);
    await onChange(item.names);
  }

  /** Another process may have obtained it. A large file isn't read for each of many sets. */
  async #reloadStore(): Promise<void> {
    const now = performance.now();
    if (now < this.#reloadAt) return;
    this.#reloadAt = now + 10 * SECOND;
    await this.#options.store.reload();
  }

  async #refreshAri(item: Item, record: CertificateRecord): Promise<CertificateRecord> {
    const { authorities, store, log, foresee } = this.#options;
    const [first] = authorities;
    const authority = authorities.find(({ directory }) => directory === record.acmeDirectory);
    const { signal } = this.#stopped;
    let next = ARI_RETRY;
    let change = {};
    try {
      const asked = authority ?? first;
      if (asked === undefined) throw new TypeError("no CA is configured");
      await orAborted(foresee(item.names, asked), signal);
      const client = (await orAborted(asked.client(), signal)).withSignal(signal);
      const info = await client.renewalInfo(certificateId(record.certificate));
      if (info === undefined) next = DAY;
      else {
        next = info.retryAfter;
        const ariRenewalTime = timeInWindow(record.ariRenewalTime, info.start, info.end);
        change = { ariRenewalTime, ariExplanation: info.explanationUrl ?? "" };
        if (info.explanationUrl !== undefined && info.explanationUrl !== record.ariExplanation) {
          const fields = { subject: record.subject, see: info.explanationUrl, at: ariRenewalTime };
          log.warn("the CA asks to renew a certificate early", fields);
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      log.warn("renewal time not known", { subject: record.subject, error: error as Error });
    }
    const ariNextUpdate = new Date(Date.now() + next).toISOString();
    await store.update({ ...record, ...change, ariNextUpdate });
    return this.#record(item) ?? record;
  }

  /**
   * Takes over what others have found out or obtained; orders if there is still something to do.
   */
  async #obtainAlone(item: Item, leases: Leases): Promise<void> {
    const { state, log } = this.#options;
    const lease = await leases.take(item.names);
    if (lease === undefined) {
      log.debug("certificate is left to others", { names: item.names });
      item.lookAt = Date.now() + Math.min(FIRST_LOOK * 2 ** item.looks++, LAST_LOOK);
      return;
    }
    item.looks = 0;
    let note: Note | undefined;
    try {
      await this.#adopt(item, lease.note);
      const record = this.#record(item);
      const isDone = this.#orderTime(item, record) > Date.now();
      if (isDone && record !== undefined) await this.#forgetOrder(item);
      if (isDone) return;
      await this.#obtain(item, record, () => lease.check());
      const { pending: _, ...entry } = state.get(item.key);
      note = { at: new Date().toISOString(), entry };
    } finally {
      await lease.release(note);
    }
  }

  /** What whoever had the lease last knows counts, unless this process has failed after that. */
  async #adopt({ key }: Item, note: Note | undefined): Promise<void> {
    const { state } = this.#options;
    const { pending: _, ...mine } = state.get(key);
    if (note === undefined || Date.parse(note.at) < Date.parse(mine.failure?.at ?? note.at)) return;
    const { failure, holds, hasty, provenBy = mine.provenBy } = note.entry;
    const known = [mine.failure, mine.holds, mine.hasty, mine.provenBy];
    if (JSON.stringify(known) !== JSON.stringify([failure, holds, hasty, provenBy])) {
      await state.update(key, { failure, holds, hasty, provenBy });
    }
  }

  /** The certificate of an order that was left behind isn't needed any more. */
  async #forgetOrder({ key }: Item): Promise<void> {
    const { state } = this.#options;
    if (state.get(key).pending) await state.update(key, { pending: undefined });
  }

  async #obtain(
    item: Item,
    old: CertificateRecord | undefined,
    mayOrder?: MayOrder,
  ): Promise<void> {
    const { issuer, state, log, onChange } = this.#options;
    const { failure, hasty } = state.get(item.key);
    if (failure?.next === "" && await this.#unchanged(item, failure)) return;
    try {
      await this.#spaced(item);
      const record = await issuer.obtain(item.names, this.#stopped.signal, old, mayOrder);
      item.failed = undefined;
      await onChange(item.names);
      log.info("certificate obtained", { names: item.names, until: record.notAfter });
      // What is due again with nine tenths of its life left is ordered at a slower and slower pace,
      // as is what can't be read, or wasn't kept, once it is there.
      const isUseless = this.#record(item) === undefined;
      const isHasty = isUseless || (old !== undefined && this.#isYoung(item, old));
      item.obtainedAt = Date.now();
      const count = isHasty ? (hasty?.count ?? 0) + 1 : 0;
      const change = count === 0 ? undefined : { count, at: new Date().toISOString() };
      if (hasty !== undefined || change !== undefined) {
        await state.update(item.key, { hasty: change });
      }
    } catch (error) {
      if (error instanceof LeaseError) {
        item.lookAt = Date.now() + LAST_LOOK;
        return log.warn("certificate is left to others", { names: item.names, error });
      }
      if (!(error instanceof IssueError)) throw error;
      await this.#onFailure(item, error, failure, old);
    } finally {
      item.orderAt = 0;
    }
  }

  #isYoung({ obtainedAt }: Item, record: CertificateRecord): boolean {
    const { start, end } = this.#life(record);
    return [start, obtainedAt].some((since) => Date.now() < since + (end - since) / 10);
  }

  /** Whether nothing is known to have changed that the failure depended on. */
  async #unchanged(item: Item, { configuration, dns, at }: Failure): Promise<boolean> {
    if (configuration !== this.#options.configuration) return false;
    if (Date.parse(at) + DAY < Date.now()) return false;
    const now = await this.#dnsOf(item);
    return now === "" || dns === "" || now === dns;
  }

  /** What CAs look for in the names' DNS, hashed; empty when something didn't answer. */
  async #dnsOf({ names }: Item): Promise<string> {
    const { resolver } = this.#options;
    const hash = createHash("sha256");
    try {
      for (const name of names.map((one) => one.replace(/^\*\./, ""))) {
        const [addresses, caa] = await Promise.all([resolver.addresses(name), resolver.caa(name)]);
        const rules = caa.records.map(({ tag, value }) => `${tag} ${value}`).sort();
        // Whether there are addresses: which ones may change with every answer.
        hash.update(`${name} ${addresses.length > 0} ${rules.join()}\n`);
      }
      return hash.digest("base64url");
    } catch {
      return "";
    }
  }

  /** Waits for its turn where orders must be apart. */
  async #spaced(item: Item): Promise<void> {
    const now = performance.now();
    const at = Math.max(now, this.#nextOrder);
    this.#nextOrder = at + this.#options.interval;
    item.orderAt = Date.now() + at - now;
    if (at > now) await wait(at - now, undefined, { signal: this.#stopped.signal });
  }

  async #onFailure(
    item: Item,
    { explanation, ca, cause: error }: IssueError,
    before: Failure | undefined,
    old: CertificateRecord | undefined,
  ): Promise<void> {
    const { cause, message, advice, retry, retryAt } = explanation;
    const { state, log, configuration } = this.#options;
    const now = Date.now();
    this.#options.onFailure?.(item.names);
    const count = (before?.count ?? 0) + 1;
    const soon = item.holdUntil === 0 ? MINUTE : SOON; // the network may come up after us
    const delay = retry === "soon" ? soon : pause(count) * (1 + Math.random() / 10);
    const until = new Date(Math.max(now + delay, retryAt?.getTime() ?? 0)).toISOString();
    const next = retry === "never-until-change" ? "" : until;
    const attempts = (item.failed?.attempts ?? before?.count ?? 0) + 1;
    const challenges = error instanceof ProofError
      ? [...error.earlier, error].map(({ proof }) => proof.challenge.type)
      : [];
    const attempt = { at: now, attempts, ca, challenges, cause, message, advice };
    item.failed = { ...attempt, certificate: old?.certificate };
    // The CA was asked for nothing: a restart may try again at once.
    if (retry === "soon") item.holdUntil = Date.parse(until);
    else {
      const dns = next === "" ? await this.#dnsOf(item) : "";
      const at = new Date(now).toISOString();
      const failure = { count, at, next, configuration, dns, cause, message, advice };
      await state.update(item.key, { failure });
    }
    log.error("certificate not obtained", {
      names: item.names,
      ca,
      cause,
      problem: message,
      advice,
      next: next || ON_CHANGE,
      serving: old === undefined ? "nothing" : `the old one, until ${old.notAfter}`,
    });
  }

  /** As the CA suggests, and before nine tenths of the certificate's life are over in any case. */
  #renewalTime(record: CertificateRecord): number {
    const { start, end } = this.#life(record);
    if (record.ariRenewalTime !== ZERO_TIME) {
      return Math.min(Date.parse(record.ariRenewalTime), start + (end - start) * 0.9);
    }
    return start + (end - start) * (end - start < SHORT_LIFE ? 1 / 2 : 2 / 3);
  }
}

const pause = (count: number): number => BACKOFF[Math.min(count, BACKOFF.length) - 1] ?? 0;

/** When to ask the CA again what it suggests. */
const ariTime = ({ ariNextUpdate }: CertificateRecord): number => Date.parse(ariNextUpdate);

/** RFC 9773 4.2: a random time in the window, kept as long as the window still has it. */
function timeInWindow(kept: string, start: Date, end: Date): string {
  const [from, to, old] = [start.getTime(), end.getTime(), Date.parse(kept)];
  if (kept !== ZERO_TIME && old >= from && old < to) return kept;
  return new Date(from + Math.random() * (to - from)).toISOString();
}
