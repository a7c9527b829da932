/**
 * ACME accounts on disk, in the format of Centauri's user.pem, which is JSON in spite of its name:
 * `{ email, registration: { body, uri }, key }`, the key SEC1 or PKCS #1 in PEM. Each CA has a
 * file of its own; errors name it, and quote nothing of it. Needs file.ts, jsonfile.ts, lock.ts and
 * log.ts.
 */
import { createHash, createPrivateKey, type KeyObject } from "node:crypto";
import { open } from "node:fs/promises";
import { writeFileAtomic } from "./file.ts";
import { readJson } from "./jsonfile.ts";
import { withLock } from "./lock.ts";
import { quote } from "./log.ts";
import { privateKeyPem } from "./x509.ts";

const MAX_BYTES = 1024 * 1024;
const MIN_RSA_BITS = 2048; // what CAs take
const CURVES: readonly unknown[] = ["prime256v1", "secp384r1"];

/** An account; what this program doesn't know of a file comes along when it is spread and saved. */
export interface StoredAccount {
  /** May be empty. */
  readonly email: string;
  /** Private: P-256, P-384 (of the Go program) or RSA. */
  readonly key: KeyObject;
  /** What the CA sent (RFC 8555 section 7.1.2), and the account's URL; undefined before that. */
  readonly registration?: { readonly body: unknown; readonly uri: string } | undefined;
  /** URL of the CA's directory; the Go program doesn't know it, and ignores it. */
  readonly directory?: string | undefined;
  /** Likewise: what `key` is about to be replaced by, stored before the CA hears of it (7.3.5). */
  readonly nextKey?: KeyObject | undefined;
}

/** Where the account with one CA is kept. */
export interface AccountStore {
  /** Undefined if there is none yet; rejects for one that can't be used, and says where it is. */
  load(): Promise<StoredAccount | undefined>;
  /** Resolves when it is on disk. */
  save(account: StoredAccount): Promise<void>;
  /** While no other process is in it: of two that find no account, one makes it. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
}

/** In a file; see accountPath(). */
export function accountFile(userData: string, directory: string, first: boolean): AccountStore {
  const path = () => accountPath(userData, directory, first);
  return {
    load: async () => loadAccount(await path(), directory),
    save: async (account) => saveAccount(await path(), { ...account, directory }),
    exclusively: async (work) => withLock(await path(), work),
  };
}

/**
 * Where the account with a CA is: in `userData` itself if that is of this directory, or if it is
 * missing or of the Go program and this is the first directory; else in a file beside it that is
 * named after the host. A damaged file is taken for one of the Go program.
 */
export async function accountPath(
  userData: string,
  directory: string,
  first: boolean,
): Promise<string> {
  if (await isFor(userData, directory, first)) return userData;
  const named = `${userData}.${new URL(directory).host.replaceAll(":", "_")}`;
  if (await isFor(named, directory, true)) return named;
  return `${named}_${createHash("sha256").update(directory).digest("hex").slice(0, 8)}`;
}

async function isFor(path: string, directory: string, otherwise: boolean): Promise<boolean> {
  const stored = await loadAccount(path).catch(() => undefined);
  return stored?.directory === undefined ? otherwise : stored.directory === directory;
}

/** Undefined if there is no file; rejects for what is no account, or one with another CA. */
export async function loadAccount(
  path: string,
  directory?: string,
): Promise<StoredAccount | undefined> {
  const account = await readJson(path, MAX_BYTES, (json) => readAccount(json, fromPem));
  const theirs = account?.directory ?? directory;
  if (directory === undefined || theirs === directory) return account;
  throw new Error(`${path} has the account with ${quote(`${theirs}`, 200)}, not ${directory}`);
}

/** Resolves when it is on disk; rejects for a file that loadAccount() refuses, and leaves it. */
export async function saveAccount(path: string, account: StoredAccount): Promise<void> {
  const old = await loadAccount(path, account.directory);
  const known = { registration: undefined, directory: undefined, nextKey: undefined };
  const keys = {
    key: privateKeyPem(account.key),
    nextKey: account.nextKey && privateKeyPem(account.nextKey),
  };
  try {
    // A file that was made read-only stays as it is, though it could be replaced.
    if (old !== undefined) await (await open(path, "r+")).close();
    const json = JSON.stringify({ ...old, ...known, ...account, ...keys }, null, 2);
    await writeFileAtomic(path, json + "\n");
  } catch (cause) {
    throw new Error(`unable to write to path ${path}`, { cause });
  }
}

/** Throws an Error that says what is wrong, and quotes nothing; as `readKey` does. */
export function readAccount(
  json: unknown,
  readKey: (name: string, value: unknown) => KeyObject,
): StoredAccount {
  if (typeof json !== "object" || json === null) throw new Error("it is no JSON object");
  const members = json as Record<string, unknown>;
  const { email = "", key, nextKey, registration, directory = "" } = members;
  const { uri = "", body = {} } = Object(registration);
  const texts = { email, directory, "registration.uri": uri };
  const wrong = Object.entries(texts).find(([, value]) => typeof value !== "string");
  if (wrong) throw new Error(`${wrong[0]}: expected a string`);
  return {
    ...members,
    email: String(email),
    key: readKey("key", key),
    nextKey: nextKey === undefined ? undefined : readKey("nextKey", nextKey),
    registration: uri === "" ? undefined : { ...Object(registration), body, uri },
  };
}

function fromPem(name: string, pem: unknown): KeyObject {
  return checkKey(name, "in PEM", () => createPrivateKey(String(pem)));
}

/** The key, if it is one for an account; throws an Error that quotes nothing. */
export function checkKey(name: string, form: string, read: () => KeyObject): KeyObject {
  try {
    const key = read();
    const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    if (CURVES.includes(namedCurve)) return key;
    if (key.asymmetricKeyType === "rsa" && modulusLength >= MIN_RSA_BITS) return key;
  } catch {
    // No private key at all.
  }
  throw new Error(`${name}: expected a private key ${form}: P-256, P-384 or RSA from 2048 bits on`);
}
