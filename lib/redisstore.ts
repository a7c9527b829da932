/**
 * Certificates with their private keys in Redis, in the format of Centauri's: the hash
 * `<prefix>:certificates` has them by `provider;subject;other names, sorted`, each a record in
 * JSON. Several Centauris share it, the Go program too.
 *
 * All of it is held in memory, so `find` doesn't wait, and what was known goes on being served when
 * Redis is away. What others save is seen within seconds: each change is noted in the stream
 * `<prefix>:changes`, which is read every second. The Go program notes nothing: the whole hash is
 * read twice a minute, and after each reconnect.
 *
 * What is in Redis is a stranger's: a record that is none, or is another's than its field says, is
 * skipped and said once. What was known and is gone or spoiled there, though it hasn't expired, is
 * put back. Nothing is written but if what is there is what was last read there.
 *
 * Needs `redis.ts`, `resp.ts`, `store.ts`, `turns.ts`, `x509.ts`.
 */
import { Buffer } from "node:buffer";
import { createPublicKey } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { Logger } from "./log.ts";
import type { Redis } from "./redis.ts";
import { type Reply, TooLong } from "./resp.ts";
import { type CertificateRecord, checkRecord, type Names, type Store } from "./store.ts";
import { perKey } from "./turns.ts";
import { readCertificate } from "./x509.ts";

/** Bytes of one record in JSON, and of all of them. */
const MAX_RECORD = 256 * 1024;
const MAX_BYTES = 64 * 1024 * 1024; // some 10,000 certificates
/** Milliseconds, between looks at what changed, and at everything. */
const LOOK_INTERVAL = 1_000;
const READ_INTERVAL = 30_000;
/** Fields of all, read at once, pruned at a save; changes read at once; complaints. */
const [MAX_FIELDS, BATCH, PRUNED, CHANGES, SAID] = [100_000, 50, 100, 500, 1_000];
/** Changes that the stream keeps: more than come between two readings of everything. */
const STREAM_LENGTH = "10000";
/** Attempts at replacing what others replace. */
const TRIES = 5;

/**
 * Replaces a field if it is as expected (empty: there is none) or too long to be read; an empty
 * value removes it. Nobody but us needs the stream: if it can't be written, that is no failure.
 */
const REPLACE = `
local value = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if value ~= ARGV[2] and #value <= tonumber(ARGV[4]) then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1])
else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'field', ARGV[1])
return 1`;

/** A record, and its JSON as it is in Redis. */
interface Stored {
  readonly raw: Buffer;
  readonly record: CertificateRecord;
}

/** What a field has, empty if it isn't there, and the record if that is one. */
interface Found {
  readonly raw: Buffer | TooLong;
  readonly record?: CertificateRecord;
}

interface Change {
  readonly record: CertificateRecord;
  /** Only of a record with this certificate. */
  readonly isUpdate: boolean;
}

export type OnChange = (names: readonly string[], isOther: boolean) => void;

export interface RedisStoreOptions {
  readonly prefix: string;
  readonly log: Logger;
  /** Default: the system's clock. */
  readonly now?: () => Date;
}

export class RedisStore implements Store {
  readonly #redis: Redis;
  readonly #options: RedisStoreOptions;
  readonly #hash: string;
  readonly #stream: string;
  #stored = new Map<string, Stored>();
  /** Bytes of what is stored. */
  #bytes = 0;
  /** What isn't in Redis yet, or was lost there. */
  readonly #unsaved = new Map<string, Change>();
  readonly #inTurn = perKey();
  readonly #said = new Set<string>();
  /** The last change that was read. */
  #change = "0-0";
  #readAt = 0;
  readonly #closed = new AbortController();
  #onChange: OnChange | undefined;
  #holds: ((names: readonly string[]) => boolean) | undefined;

  private constructor(redis: Redis, options: RedisStoreOptions) {
    this.#redis = redis;
    this.#options = options;
    this.#hash = `${options.prefix}:certificates`;
    this.#stream = `${options.prefix}:changes`;
  }

  /** Reads all there is; rejects with RedisError if it can't. */
  static async open(redis: Redis, options: RedisStoreOptions): Promise<RedisStore> {
    const store = new RedisStore(redis, options);
    await store.reload();
    return store;
  }

  /**
   * Looks for changes from now on. `onChange`: told of the names of a record that somebody else has
   * stored, and whether another certificate, or staple, is in it. `holds`: whether nobody else may
   * order one of these names now.
   */
  watch(
    onChange: OnChange,
    holds: (names: readonly string[]) => boolean,
  ): void {
    this.#onChange = onChange;
    this.#holds = holds;
    this.#redis.onReconnect(() => this.#readAt = 0);
    void this.#watch();
  }

  close(): void {
    this.#closed.abort();
  }

  all(): readonly CertificateRecord[] {
    const unsaved = [...this.#unsaved.values()].map(({ record }) => record);
    const stored = [...this.#stored].filter(([field]) => !this.#unsaved.has(field))
      .map(([, { record }]) => record);
    return [...stored, ...unsaved];
  }

  find(provider: string, subject: string, altNames: Names): CertificateRecord | undefined {
    const field = fieldOf({ provider, subject, altNames });
    const found = this.#unsaved.get(field)?.record ?? this.#stored.get(field)?.record;
    return found || provider === "" ? found : this.find("", subject, altNames);
  }

  save(record: CertificateRecord): Promise<void> {
    return this.#save({ record: checkRecord(record, "the new record"), isUpdate: false });
  }

  async update(record: CertificateRecord): Promise<void> {
    const field = fieldOf(record);
    const unsaved = this.#unsaved.get(field);
    const isUpdate = unsaved?.record.certificate !== record.certificate || unsaved.isUpdate;
    if (unsaved !== undefined && !unsaved.isUpdate && isUpdate) return; // there is a newer one
    await this.#save({ record: checkRecord(record, "the new record"), isUpdate });
  }

  /** Everything, a batch at a time: a large hash isn't one answer. */
  async reload(): Promise<void> {
    await this.#skipChanges();
    const seen = new Set<string>();
    let [cursor, rounds] = ["0", 0];
    do {
      const command = ["HSCAN", this.#hash, cursor, "COUNT", `${BATCH}`];
      const [next, pairs] = listOf(await this.#redis.run(command));
      cursor = textOf(next);
      const fields = listOf(pairs);
      for (let i = 0; i + 1 < fields.length; i += 2) {
        if (fields[i] instanceof TooLong) continue;
        const field = textOf(fields[i]);
        if (!seen.has(field)) this.#take(field, fields[i + 1]); // a scan may give it twice
        seen.add(field);
      }
      if (Math.max(seen.size, ++rounds) > MAX_FIELDS) {
        throw new Error(`${this.#hash} has over ${MAX_FIELDS} fields`);
      }
    } while (cursor !== "0" && !this.#closed.signal.aborted);
    // What came after the scan had begun may not have been seen.
    const gone = [...this.#stored.keys()].filter((field) => !seen.has(field));
    await this.read(gone);
  }

  /** Takes in what Redis has now; rejects with RedisError. */
  async read(fields: readonly string[]): Promise<void> {
    for (let i = 0; i < fields.length; i += BATCH) {
      const batch = fields.slice(i, i + BATCH);
      const values = listOf(await this.#redis.run(["HMGET", this.#hash, ...batch]));
      batch.forEach((field, at) => this.#take(field, values[at]));
    }
  }

  async #save(change: Change): Promise<void> {
    const field = fieldOf(change.record);
    this.#unsaved.set(field, change);
    await this.#write(field);
    await this.#prune().catch(() => {}); // it was saved; what has expired goes another time
  }

  /** Stores what isn't stored, unless somebody has stored something better. */
  #write(field: string): Promise<void> {
    return this.#inTurn(field, async () => {
      for (let tries = 0; tries < TRIES; tries++) {
        const change = this.#unsaved.get(field);
        if (change === undefined) return;
        const value = await this.#redis.run(["HGET", this.#hash, field]);
        const { raw: expected, record: theirs } = this.#read(field, value);
        const isOurs = theirs === undefined || this.#isBetter(change, theirs);
        const raw = isOurs ? await this.#replace(field, expected, change.record) : expected;
        if (raw === undefined || raw instanceof TooLong) continue;
        if (this.#unsaved.get(field) === change) this.#unsaved.delete(field);
        this.#put(field, { raw, record: isOurs ? change.record : theirs });
        // Whoever was given ours has to forget it.
        if (!isOurs) this.#onChange?.(namesOf(theirs), true);
      }
      if (this.#unsaved.has(field)) throw new Error(`others change ${field} all the time`);
    });
  }

  /** What is there then; undefined if something else was there than expected. */
  async #replace(
    field: string,
    expected: Buffer | TooLong,
    record: CertificateRecord | undefined,
  ): Promise<Buffer | undefined> {
    const raw = Buffer.from(record === undefined ? "" : JSON.stringify(record));
    if (raw.length > MAX_RECORD) throw new Error(`a record of over ${MAX_RECORD} bytes`);
    const old = expected instanceof TooLong ? "" : expected;
    const keys = ["EVAL", REPLACE, "2", this.#hash, this.#stream];
    const limits = [`${MAX_RECORD}`, STREAM_LENGTH];
    const reply = await this.#redis.run([...keys, field, old, raw, ...limits]);
    return reply === 1 ? raw : undefined;
  }

  /**
   * Whether a record is to take the place of what is stored. Who holds the lease knows; of two that
   * were ordered without knowing of each other, the one that was issued last.
   */
  #isBetter({ record, isUpdate }: Change, theirs: CertificateRecord): boolean {
    if (this.#isWorse(theirs, record)) return true;
    if (theirs.certificate === record.certificate) return true;
    if (isUpdate) return false;
    if (this.#holds?.(namesOf(record))) return true;
    return issuedAt(record) > issuedAt(theirs);
  }

  /** What has expired, unless it was renewed since it was read. */
  async #prune(): Promise<void> {
    const now = this.#now;
    const expired = [...this.#stored]
      .filter(([, { record }]) => Date.parse(record.notAfter) <= now).slice(0, PRUNED);
    for (const [field, { raw }] of expired) {
      const done = await this.#replace(field, raw, undefined);
      if (done === undefined) await this.read([field]);
      else this.#put(field, undefined);
    }
  }

  /** What Redis has in a field now. */
  #take(field: string, value: Reply | undefined): void {
    const before = this.#stored.get(field);
    if (value instanceof Buffer && before?.raw.equals(value)) return;
    const { raw, record } = this.#read(field, value);
    const spoiled = record === undefined || raw instanceof TooLong ||
      (before !== undefined && this.#isWorse(record, before.record));
    if (spoiled) {
      this.#put(field, undefined);
      if (before !== undefined) this.#keep(field, before.record);
      return;
    }
    this.#put(field, { raw, record });
    const unsaved = this.#unsaved.get(field);
    if (unsaved?.isUpdate && !this.#isBetter(unsaved, record)) this.#unsaved.delete(field);
    if (this.#onChange !== undefined) this.#tell(record, before?.record);
  }

  #tell(record: CertificateRecord, before: CertificateRecord | undefined): void {
    const [names, until] = [namesOf(record), record.notAfter];
    const isOther = before?.certificate !== record.certificate;
    const fields = { names, provider: record.provider, until };
    if (isOther) this.#options.log.info("certificate taken from redis", fields);
    this.#onChange?.(names, isOther || before?.ocspResponse !== record.ocspResponse);
  }

  /** Whether a certificate that can't be served would take the place of one that can. */
  #isWorse(record: CertificateRecord, before: CertificateRecord): boolean {
    if (record.certificate === before.certificate && record.privateKey === before.privateKey) {
      return false;
    }
    return !isUsable(record, this.#now) && isUsable(before, this.#now);
  }

  /** Puts back what was lost; expired ones needn't be. */
  #keep(field: string, record: CertificateRecord): void {
    if (Date.parse(record.notAfter) <= this.#now || this.#unsaved.has(field)) return;
    this.#unsaved.set(field, { record, isUpdate: false });
    this.#options.log.warn("certificate lost in redis", { field, next: "it is put back" });
  }

  #put(field: string, stored: Stored | undefined): void {
    this.#bytes -= sizeOf(field, this.#stored.get(field));
    this.#stored.delete(field);
    const size = sizeOf(field, stored);
    if (stored === undefined) return;
    if (this.#bytes + size > MAX_BYTES) return this.#sayOnce("", `over ${MAX_BYTES} bytes in all`);
    this.#stored.set(field, stored);
    this.#bytes += size;
  }

  #read(field: string, value: Reply | undefined): Found {
    if (value === null) return { raw: Buffer.alloc(0) };
    const isBytes = value instanceof Buffer;
    const raw = isBytes && value.length <= MAX_RECORD ? value : new TooLong(MAX_RECORD + 1);
    try {
      if (raw instanceof TooLong) throw new Error(`it has over ${MAX_RECORD} bytes`);
      const record = checkRecord(parseJson(raw.toString()), "the record");
      if (fieldOf(record) !== field) throw new Error("it is of other names, or another provider");
      this.#said.delete(field);
      return { raw, record };
    } catch (error) {
      this.#sayOnce(field, (error as Error).message);
      return { raw };
    }
  }

  get #now(): number {
    return (this.#options.now?.() ?? new Date()).getTime();
  }

  #sayOnce(field: string, problem: string): void {
    if (this.#said.has(field) || this.#said.size >= SAID) return;
    this.#said.add(field);
    this.#options.log.error("certificate in redis skipped", { key: this.#hash, field, problem });
  }

  /** What was changed up to now will have been read. */
  async #skipChanges(): Promise<void> {
    const command = ["XREVRANGE", this.#stream, "+", "-", "COUNT", "1"];
    const entries = await this.#redis.run(command).catch(() => []); // garbage: see #readChanges
    this.#change = textOf(listOf(listOf(entries)[0] ?? ["0-0"])[0]);
  }

  async #readChanges(): Promise<void> {
    const { log } = this.#options;
    const from = ["COUNT", `${CHANGES}`, "STREAMS", this.#stream, this.#change];
    const reply = await this.#redis.run(["XREAD", ...from]).catch((error: Error) => {
      if (!this.#redis.connected || this.#said.has(this.#stream)) return null;
      this.#said.add(this.#stream);
      const next = `others' certificates are seen within ${READ_INTERVAL / 1000} s`;
      log.error("changes in redis can't be read", { key: this.#stream, error, next });
      return null;
    });
    const entries = listOf(listOf(listOf(reply ?? [])[0] ?? [])[1] ?? []).map(listOf);
    const last = entries.at(-1);
    if (last !== undefined) this.#change = textOf(last[0]);
    const fields = new Set(entries.map(([, values]) => textOf(listOf(values)[1])));
    await this.read([...fields]);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closed;
    this.#readAt = performance.now() + READ_INTERVAL;
    while (!signal.aborted) {
      await wait(LOOK_INTERVAL, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted || !this.#redis.connected) continue;
      try {
        await this.#look();
        this.#said.delete(this.#hash);
      } catch (error) {
        if (!this.#redis.connected || this.#said.has(this.#hash)) continue;
        this.#said.add(this.#hash);
        const fields = { key: this.#hash, error: error as Error };
        this.#options.log.error("certificates in redis can't be read or written", fields);
      }
    }
  }

  async #look(): Promise<void> {
    if (performance.now() >= this.#readAt) {
      this.#readAt = performance.now() + READ_INTERVAL;
      await this.reload();
    } else await this.#readChanges();
    let problem: unknown;
    for (const field of [...this.#unsaved.keys()]) {
      await this.#write(field).catch((error) => problem ??= error);
    }
    if (problem !== undefined) throw problem;
  }
}

/** `provider;subject;other;names`, the latter sorted. */
export function fieldOf(
  { provider, subject, altNames }: Pick<CertificateRecord, "provider" | "subject" | "altNames">,
): string {
  return `${provider};${nameList([subject, ...altNames ?? []])}`;
}

/** `subject;other;names`, the latter sorted: the same for the same set of names. */
export function nameList([subject = "", ...others]: readonly string[]): string {
  return [subject, ...others.toSorted()].join(";");
}

const namesOf = ({ subject, altNames }: CertificateRecord): string[] => [
  subject,
  ...altNames ?? [],
];

/** Milliseconds since the epoch; 0 for what can't be read. */
function issuedAt({ certificate }: CertificateRecord): number {
  try {
    return readCertificate(certificate).notBefore.getTime();
  } catch {
    return 0;
  }
}

/** Whether it is a certificate with its key, and valid. */
function isUsable({ certificate, privateKey }: CertificateRecord, now: number): boolean {
  try {
    const { publicKey, notAfter } = readCertificate(certificate);
    const key = createPublicKey(privateKey).export({ type: "spki", format: "der" });
    return publicKey.equals(key) && notAfter.getTime() > now;
  } catch {
    return false;
  }
}

const sizeOf = (field: string, stored: Stored | undefined): number =>
  stored === undefined ? 0 : field.length + stored.raw.length;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("it is not valid JSON"); // the parser's message would quote private keys
  }
}

/** Another kind of answer than the command has is of a server that is none. */
function listOf(reply: Reply | undefined): readonly Reply[] {
  if (Array.isArray(reply)) return reply;
  throw new Error("redis answered something else than a list");
}

function textOf(reply: Reply | undefined): string {
  if (typeof reply === "string") return reply;
  if (reply instanceof Buffer) return reply.toString();
  throw new Error("redis answered something else than a text");
}
