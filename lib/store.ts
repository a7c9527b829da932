/**
 * The certificate store: certificates with their private keys in one JSON file, in the format of
 * Centauri's certs.json. Needs file.ts and lock.ts. The file is replaced atomically, with mode 0600;
 * one that can't be read is never written. Processes that share a file lose nothing of each other's:
 * each save reads, merges and writes under a lock. The Go program takes no part in that.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { writeFileAtomic } from "./file.ts";
import { LockError, withLock } from "./lock.ts";

const MAX_BYTES = 64 * 1024 * 1024; // some 10,000 certificates
/** Why a folder takes no new file, though a file in it may be written. */
const REFUSALS: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS"]);
/** A time that isn't set, as Go writes it. */
export const ZERO_TIME = "0001-01-01T00:00:00Z";

/** Times are RFC 3339, ZERO_TIME when unset; texts are empty when unset; OCSP is in base64. */
export interface CertificateRecord {
  readonly provider: string; // `lego` (ACME), `selfsigned`; empty: any, as before version 2.7
  readonly issuer: string; // PEM, as the next two
  readonly privateKey: string;
  readonly certificate: string; // the chain, leaf first
  readonly subject: string;
  readonly altNames: readonly string[] | null; // without the subject, in any order
  readonly notAfter: string;
  readonly ocspResponse: string | null;
  readonly nextOcspUpdate: string;
  readonly ariNextUpdate: string;
  readonly ariRenewalTime: string;
  readonly ariExplanation: string;
  readonly acmeDirectory?: string; // URL of the CA that issued it; not of Go, which ignores it
}

type Kind = readonly [expected: string, unset: unknown, fits: (value: unknown) => boolean];
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
const isText = (v: unknown): v is string => typeof v === "string";
const isTime = (v: unknown): boolean => isText(v) && RFC_3339.test(v) && Date.parse(v) < Infinity;
const isNames = (v: unknown): boolean => v === null || (Array.isArray(v) && v.every(isText));
const TEXT: Kind = ["a string", "", isText];
const NEEDED: Kind = ["a string", undefined, isText];
const OPTIONAL: Kind = ["a string or nothing", undefined, (v) => v === undefined || isText(v)];
const TIME: Kind = ["an RFC 3339 time", ZERO_TIME, isTime];

/** What is null or missing in a file is unset, as for Go. */
const MEMBERS: Readonly<Record<keyof CertificateRecord, Kind>> = {
  provider: TEXT,
  issuer: TEXT,
  privateKey: NEEDED,
  certificate: NEEDED,
  subject: NEEDED,
  altNames: ["an array of strings or null", null, isNames],
  notAfter: TIME,
  ocspResponse: ["a string or null", null, (v) => v === null || isText(v)],
  nextOcspUpdate: TIME,
  ariNextUpdate: TIME,
  ariRenewalTime: TIME,
  ariExplanation: TEXT,
  acmeDirectory: OPTIONAL,
};

/** The file is no certificate store, or can't become one; the message says where and what. */
export class StoreError extends Error {}

/** The records of one file. They are held in memory: `find` doesn't wait. */
export class CertificateStore {
  readonly #path: string;
  readonly #now: () => Date;
  /** What the file held when its content had this hash, by `keyOf`. */
  #saved: ReadonlyMap<string, CertificateRecord> = new Map();
  #hash: string | undefined;
  /** What isn't in the file: new, or of a save that failed. */
  readonly #unsaved = new Map<string, CertificateRecord>();
  #writing: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;

  private constructor(path: string, now: () => Date) {
    this.#path = path;
    this.#now = now;
  }

  /** A missing file is an empty store; rejects with StoreError for what is no store. */
  static async open(path: string, now: () => Date): Promise<CertificateStore> {
    const store = new CertificateStore(path, now);
    await store.#load();
    return store;
  }

  /** Takes in what other processes saved meanwhile; rejects as open() does. */
  reload(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#load());
    const loaded = this.#writing;
    this.#writing = loaded.catch(() => {});
    return loaded;
  }

  /** Of exactly these names and of the provider, else of no provider; it may have expired. */
  find(provider: string, subject: string, altNames: Names): CertificateRecord | undefined {
    const key = keyOf({ provider, subject, altNames });
    const found = this.#unsaved.get(key) ?? this.#saved.get(key);
    return found || provider === "" ? found : this.find("", subject, altNames);
  }

  /**
   * Adds a record, or replaces the one of the same provider and names; expired ones go. Resolves
   * when it is on disk. Saves are written in order, those that come during a write together. If
   * the write fails, `find` has the record all the same, and the next save tries again. To keep
   * members that this program doesn't know, spread the record that is found into the new one.
   */
  async save(record: CertificateRecord): Promise<void> {
    this.#unsaved.set(keyOf(record), checkRecord(record, `${this.#path}: a new record`));
    this.#queued ??= this.#writing.then(() => this.#write());
    this.#writing = this.#queued.catch(() => {});
    return this.#queued;
  }

  async #write(): Promise<void> {
    this.#queued = undefined;
    const merge = (check?: () => Promise<void>) => this.#merge(check);
    await withLock(this.#path, merge).catch(async (error) => {
      // A single file mounted into a folder that nobody may write to can't be locked, nor replaced.
      const isRefused = error instanceof LockError && REFUSALS.has(codeOf(error.cause));
      if (!isRefused || !(await isThere(this.#path))) throw error;
      await merge();
    });
  }

  async #merge(check?: () => Promise<void>): Promise<void> {
    const unsaved = new Map(this.#unsaved);
    await this.#load();
    const now = this.#now().getTime();
    const merged = [...new Map([...this.#saved, ...unsaved]).values()];
    const valid = merged.filter(({ notAfter }) => Date.parse(notAfter) > now);
    const json = Buffer.from(JSON.stringify(valid, null, 2) + "\n");
    if (json.length > MAX_BYTES) throw new StoreError(`${this.#path}: over ${MAX_BYTES} bytes`);
    await check?.();
    await writeFileAtomic(this.#path, json, { mode: 0o600 });
    this.#saved = byKey(valid);
    this.#hash = hashOf(json);
    for (const [key, record] of unsaved) {
      if (this.#unsaved.get(key) === record) this.#unsaved.delete(key);
    }
  }

  /** Reads the file if it isn't known; if it is gone, what it held stays and is written again. */
  async #load(): Promise<void> {
    try {
      if (!(await isThere(this.#path))) return;
      const bytes = await readFile(this.#path);
      const hash = hashOf(bytes); // stat() can't tell: inodes come back, and in the same instant
      if (hash === this.#hash) return;
      this.#saved = byKey(readRecords(bytes.toString()));
      this.#hash = hash;
    } catch (error) {
      const what = error instanceof Error ? error.message : error;
      throw new StoreError(`the certificate store ${this.#path} can't be read: ${what}`);
    }
  }
}

type Names = CertificateRecord["altNames"];
/** The same for the same provider and names. */
function keyOf(record: { provider: string; subject: string; altNames: Names }): string {
  return JSON.stringify([record.provider, record.subject, ...(record.altNames ?? []).toSorted()]);
}

const byKey = (records: readonly CertificateRecord[]): Map<string, CertificateRecord> =>
  new Map(records.map((record) => [keyOf(record), record]));

function readRecords(text: string): CertificateRecord[] {
  if (text === "") throw new StoreError("it is empty; write [] into it, or remove it");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new StoreError("it is not valid JSON"); // the parser's message would quote private keys
  }
  const list = json ?? []; // Go writes null for no records
  if (!Array.isArray(list)) throw new StoreError("it is no JSON array");
  return list.map((value: unknown, index) => checkRecord(value, `record ${index + 1}`));
}

/** A copy with every member there is; `where` is for the StoreError. */
function checkRecord(value: unknown, where: string): CertificateRecord {
  const record: Record<string, unknown> = { ...Object(value) };
  for (const [name, [expected, unset, fits]] of Object.entries(MEMBERS)) {
    record[name] ??= unset;
    if (!fits(record[name])) throw new StoreError(`${where}: ${name}: expected ${expected}`);
    if (record[name] === undefined) delete record[name];
  }
  return record as unknown as CertificateRecord;
}

/** False when there is nothing; rejects when there is no regular file, or too large a one. */
async function isThere(path: string): Promise<boolean> {
  const info = await stat(path).catch((error) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
  if (info === undefined) return false;
  if (!info.isFile()) throw new StoreError(`it is ${info.isDirectory() ? "a folder" : "no file"}`);
  if (info.size > MAX_BYTES) throw new StoreError(`it has more than ${MAX_BYTES} bytes`);
  return true;
}

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const codeOf = (error: unknown): string =>
  String((error as NodeJS.ErrnoException | undefined)?.code);
