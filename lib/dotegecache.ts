/**
 * The cache file of Dotege 1.3.2: the account with a CA and the certificates, in one JSON object
 *
 *     { user: { email, registration: { body, uri }, key },
 *       certs: [ { domains, certUrl, certStableUrl, notAfter,
 *                  privateKey, certificate, issuer, csr } ] }
 *
 * where the account's key is base64 of SEC1, and the last four are base64 of PEM, or null. It is
 * read and written, so that the Go program can take it up again; what is added to it (`directory`,
 * what the CA suggests for renewal) that program ignores, as it does the lock.
 *
 * Needs account.ts, jsonfile.ts, lock.ts, store.ts.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, type KeyObject } from "node:crypto";
import { type AccountStore, checkKey, readAccount, type StoredAccount } from "./account.ts";
import { JsonMap, readJson, type Shape } from "./jsonfile.ts";
import { withLock } from "./lock.ts";
import { type CertificateRecord, CertificateStore, checkRecord, recordShape } from "./store.ts";

const MAX_BYTES = 64 * 1024 * 1024; // some 10,000 certificates
const PEM_MEMBERS = ["privateKey", "certificate", "issuer"] as const;
/** The key of the only account. */
const USER = "user";

export interface DotegeCache {
  readonly store: CertificateStore;
  /** The account, for the CA of this directory. */
  account(directory: string): AccountStore;
}

/** A missing file is empty; rejects with an Error that names a damaged one, which is left alone. */
export async function openDotegeCache(path: string, now: () => Date): Promise<DotegeCache> {
  const records = recordShape(now, readCertificates, (list) => list.map(formatCertificate));
  const certificates = await JsonMap.open(path, memberShape("certs", records));
  const accountShape = () => memberShape("user", ACCOUNT_SHAPE);
  const accounts = await JsonMap.open(path, accountShape());
  return {
    store: new CertificateStore(certificates),
    account: (directory) => ({
      async load() {
        // From the disk: a CA may not hear of an account whose key couldn't be written.
        const account = (await readJson(path, MAX_BYTES, accountShape().parse))?.get(USER);
        // Another CA knows nothing of the account; the key will do there too.
        if (account === undefined || isWith(account, directory)) return account;
        return { ...account, registration: undefined };
      },
      save: (account) => accounts.set(USER, { ...account, directory }),
      exclusively: (work) => withLock(`${path}.user`, work), // saving takes the file's own lock
    }),
  };
}

/** Go doesn't say which CA an account is with; its URL does, as far as it matters. */
function isWith({ directory, registration }: StoredAccount, url: string): boolean {
  if (directory !== undefined) return directory === url;
  const account = registration?.uri ?? "";
  return URL.canParse(account) && new URL(account).host === new URL(url).host;
}

/** One member of the file's object; the others stay as they are, even if nobody knows them. */
function memberShape<V>(name: string, shape: Shape<V>): Shape<V> {
  let all: Readonly<Record<string, unknown>> = {}; // as last parsed: right before it is written
  return {
    ...shape,
    parse(json) {
      if (typeof json !== "object" || json === null || Array.isArray(json)) {
        throw new Error("it is no JSON object");
      }
      all = json as typeof all;
      return shape.parse(all[name]);
    },
    format: (entries) => ({ ...all, [name]: shape.format(entries) }),
  };
}

const ACCOUNT_SHAPE: Shape<StoredAccount> = {
  maxBytes: MAX_BYTES,
  parse: (json) => new Map((json ?? null) === null ? [] : [[USER, readAccount(json, readKey)]]),
  format(accounts) {
    const account = accounts.get(USER);
    if (account === undefined) return null;
    const { key, nextKey } = account;
    return { ...account, key: formatKey(key), nextKey: nextKey && formatKey(nextKey) };
  },
  merge: (old, change) => ({ ...old, ...change }),
};

function readKey(name: string, value: unknown): KeyObject {
  const key = Buffer.from(String(value), "base64");
  const read = () => createPrivateKey({ key, format: "der", type: "sec1" });
  return checkKey(`user.${name}`, "in base64 of SEC1", read);
}

const formatKey = (key: KeyObject): string =>
  key.export({ format: "der", type: "sec1" }).toString("base64");

function readCertificates(json: unknown): CertificateRecord[] {
  const list = json ?? []; // Go writes null for none
  if (!Array.isArray(list)) throw new Error("certs: expected an array");
  return list.map((value: unknown, i) => readOne(value, `certificate ${i + 1}`));
}

/** Members that the record doesn't have come along. */
function readOne(value: unknown, where: string): CertificateRecord {
  const { domains, ...members } = Object(value);
  if (!Array.isArray(domains)) throw new Error(`${where}: domains: expected an array`);
  const [subject, ...altNames] = domains;
  const texts = PEM_MEMBERS.map((name) => [name, readPem(members[name], `${where}: ${name}`)]);
  const pem = Object.fromEntries(texts);
  return checkRecord({ ...members, ...pem, provider: "lego", subject, altNames }, where);
}

function readPem(value: unknown, where: string): string {
  if ((value ?? "") === "" && where.endsWith("issuer")) return "";
  const text = typeof value === "string" ? Buffer.from(value, "base64").toString() : "";
  if (text.includes("-----BEGIN ")) return text;
  throw new Error(`${where}: expected PEM in base64`);
}

/** Without what is the same for all: who obtained it, and OCSP, which others staple. */
function formatCertificate(record: CertificateRecord): unknown {
  const { subject, altNames, provider: _, ocspResponse: _1, nextOcspUpdate: _2, ...kept } = record;
  const texts = PEM_MEMBERS.map((name) => [name, Buffer.from(record[name]).toString("base64")]);
  const pem = Object.fromEntries(texts);
  const domains = [subject, ...altNames ?? []];
  return { domains, certUrl: "", certStableUrl: "", csr: null, ...kept, ...pem };
}
