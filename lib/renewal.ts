/**
 * When certificates are obtained and renewed: what is missing at once, what is stored at a random
 * time in the window that the CA suggests (ARI, RFC 9773), else at two thirds of its life; what
 * failed after a while that grows, across restarts too. A certificate is served to its end whatever
 * happens here.
 *
 * Needs `issuer.ts`, `acmestate.ts`, `store.ts`, `acme.ts`, `ocsp.ts` when certificates must
 * staple, and timers.
 */
import { createHash } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { certificateId } from "./acme.ts";
import { type AcmeState, type Failure, namesKey } from "./acmestate.ts";
import type { Authority } from "./authority.ts";
import { IssueError, type Issuer } from "./issuer.ts";
import type { Logger } from "./log.ts";
import type { Resolver } from "./resolver.ts";
import { type CertificateRecord, type CertificateStore, ZERO_TIME } from "./store.ts";
import { readCertificate } from "./x509.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Everything is looked at again at least this often; also what a timer may be set to. */
const CHECK_INTERVAL = 12 * HOUR;
/** After the first, second … failure in a row; the last for all others. */
const BACKOFF = [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY];
/** For what isn't the CA's doing: looked at again without asking the CA. */
const SOON = 10 * MINUTE;
/** When the CA doesn't tell what it suggests (RFC 9773 section 4.3.3). */
const ARI_RETRY = 6 * HOUR;
/** Certificates with a shorter life are renewed at half of it, not at two thirds. */
const SHORT_LIFE = 10 * DAY;
/** Orders in flight at a time. */
const CONCURRENCY = 8;

export interface RenewalOptions {
  readonly issuer: Issuer;
  readonly authorities: readonly Authority[];
  readonly store: CertificateStore;
  readonly state: AcmeState;
  readonly resolver: Resolver;
  readonly log: Logger;
  /** What an order depends on, as text: when it changes, what can't succeed is tried again. */
  readonly configuration: string;
  /** Between the starts of two orders, in milliseconds. */
  readonly interval: number;
  /** Brings up to date what is stapled to a certificate that must staple; see `stapling.ts`. */
  readonly staple: (
    record: CertificateRecord,
  ) => Promise<{ readonly record?: CertificateRecord; readonly next: number } | undefined>;
  /** Called when another certificate, or another staple, is stored for the names. */
  readonly onChange: (names: readonly string[]) => void;
}

/** A set of names that a certificate is wanted for. */
interface Item {
  readonly names: readonly string[];
  readonly key: string;
  /** Milliseconds since the epoch; when its staple is looked at, Infinity for never. */
  due: number;
  stapleAt: number;
  /** The certificate that `stapleAt` is about. */
  stapleFor: string | undefined;
  busy: boolean;
}

export class Renewal {
  readonly #options: RenewalOptions;
  readonly #stopped = new AbortController();
  #items = new Map<string, Item>();
  #running = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextOrder = 0;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** The sets of names, subject first, that certificates are wanted for from now on. */
  want(sets: readonly (readonly string[])[]): void {
    const items = new Map<string, Item>();
    for (const names of sets) {
      const key = namesKey(names);
      const item = this.#items.get(key) ??
        { names, key, due: 0, stapleAt: 0, stapleFor: undefined, busy: false };
      if (!item.busy) item.due = this.#plan(item, true);
      items.set(key, item);
    }
    this.#items = items;
    this.#tick();
  }

  /** Ends orders in flight: what they got so far is taken up again at the next start. */
  close(): void {
    clearTimeout(this.#timer);
    this.#stopped.abort(new Error("Centauri is stopping"));
  }

  #record({ names: [subject = "", ...altNames] }: Item): CertificateRecord | undefined {
    const record = this.#options.store.find("lego", subject, altNames);
    return record !== undefined && Date.parse(record.notAfter) > Date.now() ? record : undefined;
  }

  /** When there is something to do for a set of names; `fresh`: the configuration may be new. */
  #plan(item: Item, fresh = false): number {
    const record = this.#record(item);
    const { failure } = this.#options.state.get(item.key);
    const waits = failure?.next === "" ? fresh ? 0 : Date.now() + SOON : undefined;
    const allowed = waits ?? Date.parse(failure?.next ?? ZERO_TIME);
    if (record === undefined) return allowed;
    return Math.min(Math.max(renewalTime(record), allowed), ariTime(record), item.stapleAt);
  }

  /** Starts what is due, and sets the timer for what is due next. */
  #tick(): void {
    clearTimeout(this.#timer);
    if (this.#stopped.signal.aborted) return;
    const now = Date.now();
    let next = now + CHECK_INTERVAL;
    for (const item of this.#items.values()) {
      if (item.busy) continue;
      if (item.due <= now && this.#running < CONCURRENCY) void this.#run(item);
      else if (item.due > now) next = Math.min(next, item.due);
    }
    this.#timer = setTimeout(() => this.#onTimer(), next - now);
  }

  #onTimer(): void {
    for (const item of this.#items.values()) {
      if (!item.busy && item.due > Date.now()) item.due = Math.min(item.due, this.#plan(item));
    }
    this.#tick();
  }

  async #run(item: Item): Promise<void> {
    item.busy = true;
    this.#running++;
    try {
      await this.#work(item);
      item.due = this.#plan(item);
    } catch (error) {
      if (!this.#stopped.signal.aborted) {
        this.#options.log.error("internal error: please report it", { error: error as Error });
      }
      item.due = Date.now() + SOON;
    }
    item.busy = false;
    this.#running--;
    this.#tick();
  }

  async #work(item: Item): Promise<void> {
    await this.#options.store.reload(); // another process may have done it
    let record = this.#record(item);
    if (record !== undefined && ariTime(record) <= Date.now()) {
      record = await this.#refreshAri(item, record);
    }
    if (record === undefined || renewalTime(record) <= Date.now()) await this.#obtain(item, record);
    record = this.#record(item);
    // Once in its time: a responder that is down isn't asked, nor complained of, at every look.
    const known = record !== undefined && record.certificate === item.stapleFor;
    if (known && item.stapleAt > Date.now()) return;
    const stapled = record && await this.#options.staple(record);
    item.stapleFor = record?.certificate;
    item.stapleAt = record === undefined ? 0 : stapled?.next ?? Infinity;
    if (stapled?.record === undefined) return;
    await this.#options.store.save(stapled.record);
    this.#options.onChange(item.names);
  }

  async #refreshAri(item: Item, record: CertificateRecord): Promise<CertificateRecord> {
    const { authorities, store, log } = this.#options;
    const authority = authorities.find(({ directory }) => directory === record.acmeDirectory) ??
      authorities[0];
    let next = ARI_RETRY;
    let change = {};
    try {
      if (authority === undefined) throw new TypeError("no CA is configured");
      await this.#options.issuer.checkProof(item.names, authority);
      const client = await authority.client();
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
      log.warn("renewal time not known", { subject: record.subject, error: error as Error });
    }
    const ariNextUpdate = new Date(Date.now() + next).toISOString();
    const updated = { ...record, ...change, ariNextUpdate };
    await store.save(updated);
    return updated;
  }

  async #obtain(item: Item, old: CertificateRecord | undefined): Promise<void> {
    const { issuer, state, log, onChange } = this.#options;
    const { failure } = state.get(item.key);
    if (failure !== undefined && await this.#mustWait(item, failure)) return;
    await this.#spaced();
    try {
      const record = await issuer.obtain(item.names, this.#stopped.signal, old);
      log.info("certificate obtained", { names: item.names, until: record.notAfter });
      onChange(item.names);
    } catch (error) {
      if (!(error instanceof IssueError)) throw error;
      await this.#onFailure(item, error, failure?.count ?? 0, old);
    }
  }
  /** Whether it is too early, or nothing has changed that the last failure depended on. */
  async #mustWait(item: Item, { next, fingerprint }: Failure): Promise<boolean> {
    if (next !== "") return Date.parse(next) > Date.now();
    return await this.#fingerprint(item) === fingerprint;
  }

  /** Of the configuration, and of what CAs look for in the names' DNS. */
  async #fingerprint({ key, names }: Item): Promise<string> {
    const { resolver, configuration } = this.#options;
    const hash = createHash("sha256").update(`${configuration}\n${key}`);
    for (const name of names.map((one) => one.replace(/^\*\./, ""))) {
      const found = await Promise.all([resolver.addresses(name), resolver.caa(name)])
        .catch(() => undefined);
      const caa = found?.[1].records.map(({ tag, value }) => `${tag} ${value}`).sort() ?? [];
      // Whether there are addresses: which ones may change with every answer.
      hash.update(`\n${name} ${(found?.[0].length ?? 0) > 0} ${caa.join()}`);
    }
    return hash.digest("base64url");
  }

  /** Waits for its turn where orders must be apart. */
  async #spaced(): Promise<void> {
    const now = Date.now();
    const at = Math.max(now, this.#nextOrder);
    this.#nextOrder = at + this.#options.interval;
    if (at > now) await wait(at - now, undefined, { signal: this.#stopped.signal });
  }

  async #onFailure(
    item: Item,
    { explanation, ca }: IssueError,
    before: number,
    old: CertificateRecord | undefined,
  ): Promise<void> {
    const { cause, message, advice, retry, retryAt } = explanation;
    const now = Date.now();
    const count = retry === "soon" ? before : before + 1;
    const pause = retry === "soon" ? SOON : BACKOFF[Math.min(count, BACKOFF.length) - 1] ?? DAY;
    const earliest = Math.max(now + pause * (1 + Math.random() / 10), retryAt?.getTime() ?? 0);
    const waits = retry === "never-until-change";
    const next = waits ? "" : new Date(earliest).toISOString();
    const fingerprint = waits ? await this.#fingerprint(item) : "";
    const at = new Date(now).toISOString();
    const failure = { count, at, next, fingerprint, cause, message, advice };
    this.#options.log.error("certificate not obtained", {
      names: item.names,
      ca,
      cause,
      problem: message,
      advice,
      next: next || "when the configuration or DNS changes",
      serving: old === undefined ? "nothing" : `the old one, until ${old.notAfter}`,
    });
    await this.#options.state.update(item.key, { failure });
  }
}

/** When to renew: as the CA suggests, and before nine tenths of its life are over in any case. */
export function renewalTime(record: CertificateRecord): number {
  const { notBefore, notAfter } = readCertificate(record.certificate);
  const [start, end] = [notBefore.getTime(), notAfter.getTime()];
  if (record.ariRenewalTime !== ZERO_TIME) {
    return Math.min(Date.parse(record.ariRenewalTime), start + (end - start) * 0.9);
  }
  return start + (end - start) * (end - start < SHORT_LIFE ? 1 / 2 : 2 / 3);
}

/** When to ask the CA again what it suggests. */
const ariTime = ({ ariNextUpdate }: CertificateRecord): number => Date.parse(ariNextUpdate);

/** RFC 9773 4.2: a random time in the window, kept as long as the window still has it. */
export function timeInWindow(kept: string, start: Date, end: Date): string {
  if (
    kept !== ZERO_TIME && Date.parse(kept) >= start.getTime() && Date.parse(kept) < end.getTime()
  ) {
    return kept;
  }
  const at = start.getTime() + Math.random() * (end.getTime() - start.getTime());
  return new Date(at).toISOString();
}
