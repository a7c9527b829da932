/**
 * DNS-PERSIST-01: a TXT record that stays says which account may have certificates for a name from
 * which CA (draft-ietf-acme-dns-persist; sections are those of draft 02). This makes such records
 * and judges those that are there. Pure; needs addr.ts, log.ts, number.ts; DNS is read elsewhere.
 *
 * Two forms are spoken. Drafts 00 and 01 name the account by its URL, or by the `accounturi` of the
 * challenge; draft 02 by a hash, below the directory's `accountHashPrefix`: a CA that has one is
 * taken for 02, unless its challenge has an `accounturi`. Refuses challenges that are malformed,
 * and accounts whose URI can't stand in a record.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { isDomainName } from "../addr.ts";
import { quote } from "../log.ts";
import { parseDecimal } from "../number.ts";

const MAX_ISSUERS = 10; // section 3.1
const MAX_URI = 2048; // characters
const MAX_RECORD = 16_384; // characters of a TXT value that is looked at
const MAX_SECONDS = 8_640_000_000_000; // since the epoch, of the last Date
const TTL = 3600;
/** Milliseconds before a record's end when it is warned of. */
const WARN_BEFORE = 30 * 24 * 60 * 60 * 1000;

/** A challenge that is malformed, or a CA or an account that no record can be made for. */
export class PersistError extends Error {}

/** What records are made from; `meta` and `challenge` as the ACME client gives them. */
export interface PersistAccount {
  readonly accountUrl: string;
  /** RFC 7638, base64url: of the account's key, and of earlier ones whose records still count. */
  readonly thumbprints: readonly [string, ...string[]];
  readonly meta: {
    readonly issuerDomainNames: readonly string[];
    readonly caaIdentities: readonly string[];
    readonly accountHashPrefix?: string | undefined;
  };
  /** Undefined before there is an order: records can be set beforehand (section 4.5). */
  readonly challenge?: {
    readonly issuerDomainNames?: readonly string[] | undefined;
    readonly accountUri?: string | undefined;
  } | undefined;
}

/** What a record must say: of each list any item will do, and the first is what is printed. */
export interface PersistWanted {
  /** Without `*.`. */
  readonly domain: string;
  readonly wildcard: boolean;
  readonly issuers: readonly string[];
  readonly accountUris: readonly string[];
}

/** A record as it is found. `issuer` in lower case, "" for none. */
export interface PersistRecord {
  readonly issuer: string;
  readonly accountUri: string | undefined;
  readonly wildcard: boolean;
  readonly until: Date | undefined;
}

export interface PersistState {
  readonly state: "good" | "missing" | "expired" | "expiring" | "wrong";
  /** When the record ends, if it does and is right but for that. */
  readonly until?: Date;
  /** For people: what is there and, unless all is well, what to do. */
  readonly message: string;
}

/** Where the record of a name is: `_validation-persist.example.com`, of `*.example.com` too. */
export function persistName(name: string): string {
  return `_validation-persist.${name.replace(/^\*\./, "")}`;
}

/** What the record of a name must say; `*.` asks for one for wildcards. Throws PersistError. */
export function persistWanted(name: string, account: PersistAccount): PersistWanted {
  const { challenge, accountUrl, meta: { accountHashPrefix } } = account;
  const domain = name.replace(/^\*\./, "");
  if (!isDomainName(domain)) throw new PersistError(`${quote(name, 300)} is no domain name`);
  const isHashed = accountHashPrefix !== undefined && challenge?.accountUri === undefined;
  // A CA must take the hash for any domain as well (section 4.1): others may have set it.
  const hashes = [domain, "*"].flatMap((scope) =>
    account.thumbprints.map((key) => accountHashPrefix + accountHash(scope, key, accountUrl))
  );
  const accountUris = isHashed ? hashes : [challenge?.accountUri ?? accountUrl];
  for (const uri of accountUris) {
    // What ends a parameter, or isn't visible, would make another record of it (RFC 8659 4.2).
    if (uri.length <= MAX_URI && /^[\x21-\x3a\x3c-\x7e]+$/.test(uri)) continue;
    throw new PersistError(`${quote(uri, 100)} can't stand in a record: expected an account's URL`);
  }
  return { domain, wildcard: domain !== name, issuers: issuersOf(account, isHashed), accountUris };
}

/** `sha-256/…`: what stands for an account, after the prefix; `domain` may be `*` (section 4.1). */
export function accountHash(domain: string, thumbprint: string, accountUrl: string): string {
  const hash = createHash("sha256").update(Buffer.from([domain.length]));
  return `sha-256/${hash.update(domain + thumbprint + accountUrl, "latin1").digest("base64url")}`;
}

/** The record's value: `letsencrypt.org; accounturi=…; policy=wildcard; persistUntil=…`. */
export function persistRecord(wanted: PersistWanted, until?: Date): string {
  const value = `${wanted.issuers[0]}; accounturi=${wanted.accountUris[0]}`;
  const end = until === undefined ? "" : `; persistUntil=${Math.floor(until.getTime() / 1000)}`;
  return `${value}${wanted.wildcard ? "; policy=wildcard" : ""}${end}`;
}

/** The records to set for names, one a domain; `line` is a zone file's. Throws PersistError. */
export function persistRecords(
  names: readonly string[],
  account: PersistAccount,
  until?: Date,
): readonly { readonly name: string; readonly value: string; readonly line: string }[] {
  const byDomain = new Map<string, PersistWanted>();
  for (const wanted of names.map((name) => persistWanted(name, account))) {
    if (wanted.wildcard || !byDomain.has(wanted.domain)) byDomain.set(wanted.domain, wanted);
  }
  return [...byDomain.values()].map((wanted) => {
    const value = persistRecord(wanted, until);
    return { name: persistName(wanted.domain), value, line: zoneLine(wanted, value) };
  });
}

/** RFC 1035 section 5.1: strings of at most 255 octets, which are joined again (section 9.1). */
function zoneLine({ domain }: PersistWanted, value: string): string {
  const strings = (value.match(/.{1,255}/g) ?? []).map((text) => text.replace(/["\\]/g, "\\$&"));
  return `${persistName(domain)}. ${TTL} IN TXT ${strings.map((text) => `"${text}"`).join(" ")}`;
}

/** The CA's names, in its order: any will do. */
function issuersOf({ challenge, meta }: PersistAccount, isHashed: boolean): readonly string[] {
  const { issuerDomainNames, caaIdentities } = meta;
  const promised = issuerDomainNames.length > 0 || isHashed ? issuerDomainNames : caaIdentities;
  const issuers = challenge === undefined ? promised : challenge.issuerDomainNames ?? [];
  const isIssuer = (name: string) => isDomainName(name) && issuerOf(name) === name;
  const isHidden = (name: string) => caaIdentities.length > 0 && !caaIdentities.includes(name);
  const isList = issuers.length > 0 && issuers.length <= MAX_ISSUERS && issuers.every(isIssuer);
  // Section 3.2: clients MUST refuse a challenge without a name that the directory promises, or
  // with one that isn't disclosed for CAA.
  const isPromised = issuerDomainNames.every((name) => issuers.includes(name));
  if (isList && (!isHashed || (isPromised && !issuers.some(isHidden)))) return issuers;
  const found = quote(issuers.join(", "), 200);
  const expected = "expected 1 to 10 names, those of its directory and of its caaIdentities";
  throw new PersistError(`the CA's issuer domain names are ${found}: ${expected}`);
}

// RFC 8659 section 4.2. No two repetitions of the same characters meet: time is linear.
const LABEL = "[0-9a-z](?:-*[0-9a-z])*";
const ISSUER = new RegExp(`^[ \\t]*(?:(${LABEL}(?:\\.${LABEL})*)[ \\t]*)?$`, "i");
const VALUE = "[\\x21-\\x3a\\x3c-\\x7e]+";
const PARAMETER = new RegExp(`^[ \\t]*(${LABEL})[ \\t]*=[ \\t]*(?:(${VALUE})[ \\t]*)?$`, "i");

/** The value of a TXT record, its strings joined; undefined when it is malformed. */
export function parsePersistRecord(value: string): PersistRecord | undefined {
  const issuer = issuerOf(value);
  if (issuer === undefined || value.length > MAX_RECORD) return undefined;
  const parts = value.split(";").slice(1);
  const parameters = new Map<string, string>();
  // Nothing may follow the first semicolon, but not another one.
  for (const part of parts.length === 1 && /^[ \t]*$/.test(parts[0] ?? "") ? [] : parts) {
    const [, tag = "", text = ""] = PARAMETER.exec(part) ?? [];
    if (tag === "" || parameters.has(tag.toLowerCase())) return undefined;
    parameters.set(tag.toLowerCase(), text);
  }
  const end = parameters.get("persistuntil");
  const seconds = parseDecimal(end ?? "", MAX_SECONDS);
  if (end !== undefined && seconds === undefined) return undefined;
  return {
    issuer,
    accountUri: parameters.get("accounturi"),
    wildcard: parameters.get("policy")?.toLowerCase() === "wildcard",
    until: seconds === undefined ? undefined : new Date(seconds * 1000),
  };
}

/** Of malformed records too, if that much can be read: then it is seen whose they are. */
function issuerOf(value: string): string | undefined {
  const [head = ""] = value.slice(0, MAX_RECORD).split(";", 1);
  const match = ISSUER.exec(head);
  return match === null ? undefined : (match[1] ?? "").toLowerCase();
}

/**
 * What the values found at persistName() are worth. Those for other CAs are no concern of ours, and
 * of several for ours the best one counts (section 4.3.2). `now` in ms since the epoch, default the
 * system's clock; `warnBefore` in ms, default 30 days.
 */
export function checkPersist(
  values: readonly string[],
  wanted: PersistWanted,
  { now = Date.now(), warnBefore = WARN_BEFORE }: { now?: number; warnBefore?: number } = {},
): PersistState {
  const line = zoneLine(wanted, persistRecord(wanted));
  const at = persistName(wanted.domain);
  const [first, ...more] = values.filter((value) => wanted.issuers.includes(issuerOf(value) ?? ""));
  if (first === undefined) {
    const message = `no record for ${wanted.issuers.join(" or ")} at ${at}: add ${line}`;
    return { state: "missing", message };
  }
  const records = [first, ...more].map(parsePersistRecord);
  const right = records.filter((record) => fault(record, wanted) === undefined);
  const what = `the record for ${issuerOf(first)} at ${at}`;
  if (right.length === 0) {
    const why = `${what} ${fault(records[0], wanted)}: it says ${quote(first, 300)}`;
    return { state: "wrong", message: `${why}; replace it by ${line}` };
  }
  const end = Math.max(...right.map((record) => record?.until?.getTime() ?? Infinity));
  if (end === Infinity) return { state: "good", message: `${what} is right` };
  const until = new Date(end);
  const when = until.toISOString();
  if (end <= now) {
    return { state: "expired", until, message: `${what} ended ${when}: replace it by ${line}` };
  }
  const isFar = end - now > warnBefore;
  if (isFar) return { state: "good", until, message: `${what} is right until ${when}` };
  const why = `${what} ends ${when}, and after that no certificate can be had`;
  return { state: "expiring", until, message: `${why}: replace it by ${line}` };
}

/** What is wrong with a record for our CA, but for its end. */
function fault(record: PersistRecord | undefined, wanted: PersistWanted): string | undefined {
  if (record === undefined) return "can't be read";
  if (record.accountUri === undefined) return "names no account";
  // Simple String Comparison (RFC 3986 section 6.2.1): case counts.
  if (!wanted.accountUris.includes(record.accountUri)) return "names another account";
  return wanted.wildcard && !record.wildcard ? "isn't for wildcards" : undefined;
}
