/**
 * ACME accounts on disk, in the format of Centauri's user.pem, which is JSON in spite of its name:
 * `{ email, registration: { body, uri }, key }`, the key SEC1 or PKCS #1 in PEM. Each CA has its own
 * file. Needs file.ts and log.ts. Files are replaced atomically, with mode 0600; one that can't be read is
 * never written, and no message quotes what is in it.
 */
import { createHash, createPrivateKey, type KeyObject } from "node:crypto";
import { open, readFile, stat } from "node:fs/promises";
import { writeFileAtomic } from "./file.ts";
import { quote } from "./log.ts";

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

/** The file holds no account, or can't: the message names it and says what is wrong. */
export class AccountError extends Error {}

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
  const stored = await read(path).catch(() => undefined);
  return stored?.directory === undefined ? otherwise : stored.directory === directory;
}

/** Undefined if there is no file; rejects with AccountError for what is no account with this CA. */
export async function loadAccount(
  path: string,
  directory: string,
): Promise<StoredAccount | undefined> {
  const account = await read(path);
  checkDirectory(path, account, directory);
  return account;
}

/** Resolves when it is on disk; rejects with AccountError, and then nothing has changed. */
export async function saveAccount(path: string, account: StoredAccount): Promise<void> {
  const old = await read(path);
  checkDirectory(path, old, account.directory);
  const known = { registration: undefined, directory: undefined, nextKey: undefined };
  const merged = { ...old, ...known, ...account };
  const keys = { key: toPem(account.key), nextKey: account.nextKey && toPem(account.nextKey) };
  try {
    // A file that was made read-only stays as it is, though it could be replaced.
    if (old !== undefined) await (await open(path, "r+")).close();
    await writeFileAtomic(path, JSON.stringify({ ...merged, ...keys }, null, 2) + "\n");
  } catch (cause) {
    throw new AccountError(`unable to write to path ${path}`, { cause });
  }
}

function checkDirectory(path: string, account?: StoredAccount, directory?: string): void {
  const theirs = account?.directory;
  if (theirs === undefined || directory === undefined || theirs === directory) return;
  throw new AccountError(`${path} has the account with ${quote(theirs, 200)}, not ${directory}`);
}

async function read(path: string): Promise<StoredAccount | undefined> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`);
    return parse(await readFile(path, "utf8"));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new AccountError(`the account file ${path} can't be used: ${message}`);
  }
}

function parse(text: string): StoredAccount {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("it is not valid JSON"); // the parser's message would quote the key
  }
  if (typeof json !== "object" || json === null) throw new Error("it is no JSON object");
  const members = json as Record<string, unknown>;
  const { email = "", key, nextKey, registration, directory } = members;
  const { uri = "", body = {} } = Object(registration);
  for (const [name, value] of Object.entries({ email, directory, "registration.uri": uri })) {
    if (typeof value === "string" || (name === "directory" && value === undefined)) continue;
    throw new Error(`${name}: expected a string`);
  }
  return {
    ...members,
    email: String(email),
    key: fromPem("key", key),
    nextKey: nextKey === undefined ? undefined : fromPem("nextKey", nextKey),
    registration: uri === "" ? undefined : { ...Object(registration), body, uri },
  };
}

function fromPem(name: string, pem: unknown): KeyObject {
  try {
    const key = createPrivateKey(String(pem));
    const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    if (CURVES.includes(namedCurve)) return key;
    if (key.asymmetricKeyType === "rsa" && modulusLength >= MIN_RSA_BITS) return key;
  } catch {
    // No private key at all.
  }
  throw new Error(`${name}: expected a private key in PEM: P-256, P-384 or RSA from 2048 bits on`);
}

/** As Go writes and reads it. */
function toPem(key: KeyObject): string {
  const type = key.asymmetricKeyType === "ec" ? "sec1" : "pkcs1";
  return key.export({ format: "pem", type: type as "pkcs1" }).toString();
}
