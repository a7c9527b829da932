/**
 * The certificate store: the seam, and certificates with their private keys in one JSON file, in
 * the format of Centauri's certs.json. Needs jsonfile.ts, which keeps the file whole and lets
 * processes share it; the Go program takes no part in that lock.
 */
import { JsonMap, type Shape } from "./jsonfile.ts";

const MAX_BYTES = 64 * 1024 * 1024; // some 10,000 certificates
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

/**
 * Where records are kept, be it a file or elsewhere. What there is is known: `find` doesn't wait.
 */
export interface Store {
  /** Takes in what others saved meanwhile; rejects as opening it does. */
  reload(): Promise<void>;
  /** In no order that means something; some may have expired. */
  all(): readonly CertificateRecord[];
  /** Of exactly these names and of the provider, else of no provider; it may have expired. */
  find(provider: string, subject: string, altNames: Names): CertificateRecord | undefined;
  /**
   * Adds a record, or replaces the one of the same provider and names; expired ones go. Resolves
   * when it is kept; if it can't be, `find` has it all the same, and it is tried again later. To
   * keep members that this program doesn't know, spread the record that is found.
   */
  save(record: CertificateRecord): Promise<void>;
  /** As save(), but only if the record's certificate isn't replaced: somebody may renew it now. */
  update(record: CertificateRecord): Promise<void>;
}

/** The records of one file, held in memory. */
export class CertificateStore implements Store {
  readonly #records: JsonMap<Change>;

  /** As open(); or of a file in another format, whose map was opened with recordShape(). */
  constructor(records: JsonMap<Change>) {
    this.#records = records;
  }

  /** A missing file is an empty store; rejects with an Error that names what is none. */
  static async open(path: string, now: () => Date): Promise<CertificateStore> {
    const shape = recordShape(now, readRecords, (records) => records);
    return new CertificateStore(await JsonMap.open(path, shape));
  }

  reload(): Promise<void> {
    return this.#records.reload();
  }

  all(): readonly CertificateRecord[] {
    return this.#records.values();
  }

  find(provider: string, subject: string, altNames: Names): CertificateRecord | undefined {
    const found = this.#records.get(keyOf({ provider, subject, altNames }));
    return found || provider === "" ? found : this.find("", subject, altNames);
  }

  /** It is tried again with the next one. */
  async save(record: CertificateRecord): Promise<void> {
    return this.#records.set(keyOf(record), checkRecord(record, "the new record"));
  }

  async update(record: CertificateRecord): Promise<void> {
    const change = checkRecord(record, "the new record");
    return this.#records.set(keyOf(record), { ...change, isUpdate: true });
  }
}

/** `isUpdate`: of a record with this certificate, and of no other; not in the file. */
export interface Change extends CertificateRecord {
  readonly isUpdate?: boolean;
}

/** How records are kept: `parse` throws as Shape's, `format` gets those that haven't expired. */
export function recordShape(
  now: () => Date,
  parse: (json: unknown) => readonly CertificateRecord[],
  format: (records: readonly CertificateRecord[]) => unknown,
): Shape<Change> {
  return {
    maxBytes: MAX_BYTES,
    parse: (json) => new Map(parse(json).map((record) => [keyOf(record), record])),
    format: (records) =>
      format([...records.values()].filter((one) => Date.parse(one.notAfter) > now().getTime())),
    merge(old, { isUpdate = false, ...record }) {
      if (old === undefined || !isUpdate) return record;
      if (old.certificate !== record.certificate) return old;
      return old.isUpdate ? { ...record, isUpdate } : record;
    },
  };
}

/** A record of these names, the subject first, that lacks certificate and key. */
export function newRecord(
  provider: string,
  [subject = "", ...altNames]: readonly string[],
  notAfter: Date,
): CertificateRecord {
  const times = { nextOcspUpdate: ZERO_TIME, ariNextUpdate: ZERO_TIME, ariRenewalTime: ZERO_TIME };
  const empty = { issuer: "", privateKey: "", certificate: "", ariExplanation: "" };
  const end = notAfter.toISOString();
  return { provider, subject, altNames, notAfter: end, ocspResponse: null, ...times, ...empty };
}

export type Names = CertificateRecord["altNames"];
/** The same for the same provider and names. */
function keyOf(record: { provider: string; subject: string; altNames: Names }): string {
  return JSON.stringify([record.provider, record.subject, ...(record.altNames ?? []).toSorted()]);
}

function readRecords(json: unknown): CertificateRecord[] {
  const list = json ?? []; // Go writes null for no records
  if (!Array.isArray(list)) throw new Error("it is no JSON array");
  return list.map((value: unknown, i) => checkRecord(value, `record ${i + 1}`));
}

/** A copy with every member there is; throws an Error that names a wrong one and quotes nothing. */
export function checkRecord(value: unknown, where: string): CertificateRecord {
  const record: Record<string, unknown> = { ...typeof value === "object" ? value : {} };
  for (const [name, [expected, unset, fits]] of Object.entries(MEMBERS)) {
    record[name] ??= unset;
    if (!fits(record[name])) throw new Error(`${where}: ${name}: expected ${expected}`);
    if (record[name] === undefined) delete record[name];
  }
  return record as unknown as CertificateRecord;
}
