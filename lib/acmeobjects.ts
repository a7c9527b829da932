/**
 * The objects of ACME as a server sends them (RFC 8555 sections 6.7 and 7.1, RFC 9773 section 4.2),
 * certificate chains (9.1) and the header fields that come with them, validated: what isn't as the
 * RFC has it is an Error that says what was expected. A problem is read whatever it looks like.
 *
 * Pure; needs `x509.ts`. Members that nobody here knows are left out; URLs are http or https.
 */
import type { Buffer } from "node:buffer";
import { pemBlocks, readCertificate } from "./x509.ts";

const MAX_JSON = 1024 * 1024; // bytes: 100 authorizations have 10 KiB
const MAX_TEXT = 4_096; // characters of a URL or a problem's detail
const MAX_LINKS = 8_192; // characters of Link fields that are looked at
const MAX_ITEMS = 1_000; // in an array; CAs take 100 names an order
const MAX_CHAIN = 10; // certificates

/** Limited before it is parsed. */
export function parse(body: Buffer): unknown {
  if (body.length > MAX_JSON) throw new Error(`expected at most ${MAX_JSON} bytes`);
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new Error(`expected a JSON object, not ${shown(body.toString("latin1", 0, 100))}`);
  }
}

/** Checks a value; throws an Error that says what was expected of the one with that label. */
export type Read<T> = (value: unknown, label: string) => T;

const check =
  <T>(expected: string, is: (value: unknown) => value is T): Read<T> => (value, label) => {
    if (is(value)) return value;
    throw new Error(`expected ${label || "the answer"} to be ${expected}, not ${shown(value)}`);
  };

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 100));
  if (Array.isArray(value)) return "an array"; // String() would run into its depth
  return isObject(value) ? "an object" : String(value);
}

const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length <= MAX_TEXT;
const isUrl = (value: unknown): value is string =>
  isText(value) && /^https?:\/\/[!-~]+$/i.test(value) && URL.canParse(value);
/** RFC 8555 8.1: base64url; it becomes part of a path. */
const isToken = (value: unknown): value is string => isText(value) && /^[\w-]+$/.test(value);
/** RFC 3339. */
const isDate = (value: unknown): value is string =>
  isText(value) && !Number.isNaN(Date.parse(value)) &&
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(value);
type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const text = check("a text", isText);
const link = check("an http or https URL", isUrl);
const dateText = check("a date", isDate);
const date: Read<Date> = (value, label) => new Date(dateText(value, label));
const object = check("an object", isObject);
const array = check(
  "an array",
  (value): value is readonly unknown[] => Array.isArray(value) && value.length <= MAX_ITEMS,
);

const list = <T>(read: Read<T>): Read<readonly T[]> => (value, label) =>
  array(value, label).map((one, i) => read(one, `${label}[${i}]`));
const texts = list(text);
const textsOrNone: Read<readonly string[]> = (value, label) => texts(value ?? [], label);
const optional = <T>(read: Read<T>): Read<T | undefined> => (value, label) =>
  value === undefined || value === null ? undefined : read(value, label);
/** `other` if it isn't there or isn't right: for what is no reason to refuse the rest. */
const or = <T, U>(read: Read<T>, other: U): Read<T | U> => (value, label) => {
  try {
    return read(value, label);
  } catch {
    return other;
  }
};

const members =
  <T>(all: { readonly [K in keyof T]: Read<T[K]> }): Read<Readonly<T>> => (value, label) => {
    const from = object(value, label);
    const prefix = label === "" ? "" : `${label}.`;
    const read = ([name, one]: [string, Read<unknown>]) => [name, one(from[name], prefix + name)];
    return Object.fromEntries(Object.entries<Read<unknown>>(all).map(read)) as T;
  };

const mapOf = <T>(read: Read<T>): Read<ReadonlyMap<string, T>> => (value, label) =>
  new Map(Object.entries(object(value ?? {}, label)).map(([name, one]) => [name, read(one, name)]));

/** `retryAfter`: when the server wants to be asked again, in ms. */
export interface Resource {
  readonly url: string;
  readonly retryAfter: number | undefined;
}

export type Identifier = ReturnType<typeof readIdentifier>;
const readIdentifier = members({
  type: check("dns or ip", (value): value is "dns" | "ip" => value === "dns" || value === "ip"),
  value: text,
});

/** A problem document (RFC 9457, RFC 8555 6.7). */
export interface Problem {
  readonly type: string; // in full; `about:blank` when there is none
  readonly detail: string;
  readonly status: number; // HTTP's; 0 when there is none
  readonly instance?: string | undefined; // a URL for people, such as of new terms of service
  readonly identifier?: Identifier | undefined;
  readonly algorithms?: readonly string[] | undefined; // of badSignatureAlgorithm: those taken
  readonly subproblems: readonly Problem[]; // RFC 8555 6.7.1: they have none themselves
}

const problemMembers = {
  type: or(text, "about:blank"),
  detail: or(text, ""),
  status: or(check("a status", (value): value is number => Number.isInteger(value)), 0),
  instance: or(link, undefined),
  identifier: or(readIdentifier, undefined),
  algorithms: or(texts, undefined),
};
const readSubproblem = members({ ...problemMembers, subproblems: () => [] });
export const readProblem: Read<Problem> = members({
  ...problemMembers,
  subproblems: or(list(readSubproblem), []),
});

/** RFC 8555 7.1.1; `profiles`: name to description. The last two: draft-ietf-acme-dns-persist. */
export type Directory = ReturnType<typeof readDirectory>;
const readMeta = members({
  termsOfService: optional(text),
  caaIdentities: textsOrNone,
  externalAccountRequired: (value): boolean => value === true,
  profiles: mapOf(text),
  issuerDomainNames: textsOrNone,
  accountHashPrefix: optional(text),
});
export const readDirectory = members({
  newNonce: link,
  newAccount: link,
  newOrder: link,
  revokeCert: link,
  keyChange: link,
  renewalInfo: optional(link),
  meta: (value, label) => readMeta(value ?? {}, label),
});

/** RFC 8555 7.1.2; `body` is the object as the server sent it. */
export type Account = Resource & ReturnType<typeof readAccount>;
const accountMembers = members({ status: or(text, "valid"), contact: textsOrNone });
export const readAccount = (body: unknown, label: string) => ({
  ...accountMembers(body, label),
  body,
});

/** RFC 8555 7.1.3. `status`: pending, ready, processing, valid, invalid, or another word. */
export type Order = Resource & ReturnType<typeof readOrder>;
export const readOrder = members({
  status: text,
  identifiers: list(readIdentifier),
  authorizations: list(link),
  finalize: link,
  certificate: optional(link),
  expires: optional(date),
  error: optional(readProblem),
  profile: optional(text),
  replaces: optional(text),
});

/** RFC 8555 7.1.5; the last two are dns-persist-01's, in either spelling. */
export interface Challenge {
  readonly type: string;
  readonly url: string;
  readonly status: string;
  readonly token?: string | undefined;
  readonly error?: Problem | undefined;
  readonly issuerDomainNames?: readonly string[] | undefined;
  readonly accountUri?: string | undefined;
}
const challengeMembers = members({
  type: text,
  url: link,
  status: text,
  token: optional(check("base64url", isToken)),
  error: optional(readProblem),
  issuerDomainNames: optional(texts),
  accountUri: optional(link),
  "issuer-domain-names": optional(texts),
  accounturi: optional(link),
});
export const readChallenge: Read<Challenge> = (value, label) => {
  const { accounturi, "issuer-domain-names": names, ...rest } = challengeMembers(value, label);
  const { issuerDomainNames = names, accountUri = accounturi } = rest;
  return { ...rest, issuerDomainNames, accountUri };
};

/** RFC 8555 7.1.4. */
export type Authorization = Resource & ReturnType<typeof readAuthorization>;
export const readAuthorization = members({
  identifier: readIdentifier,
  wildcard: (value): boolean => value === true,
  status: text,
  challenges: list(readChallenge),
  expires: optional(date),
});

/** RFC 9773 4.2; `retryAfter` in ms, from a minute to a day. */
export type RenewalInfo = ReturnType<typeof readRenewalInfo> & { readonly retryAfter: number };
const renewalMembers = members({
  suggestedWindow: members({ start: date, end: date }),
  explanationURL: or(link, undefined),
});
export const readRenewalInfo = (value: unknown, label: string) => {
  const { suggestedWindow: { start, end }, explanationURL } = renewalMembers(value, label);
  if (start < end) return { start, end, explanationUrl: explanationURL };
  throw new Error("expected a window that ends after it starts");
};

/** RFC 8555 9.1: nothing but certificates is taken out. `issuer`: of the last, its common name. */
export function readChain(body: Buffer): { pem: string; issuer: string | undefined } {
  const blocks = pemBlocks(body.toString("latin1"), "CERTIFICATE");
  const issuers = blocks.slice(0, MAX_CHAIN).map((block) => readCertificate(block).issuerName);
  if (issuers.length === blocks.length && blocks.length > 0) {
    return { pem: blocks.join(""), issuer: issuers.at(-1) };
  }
  throw new Error(`expected 1 to ${MAX_CHAIN} certificates in PEM, not ${blocks.length}`);
}

/** Each value of each field of that name. */
export function fieldValues(fields: readonly string[], name: string): string[] {
  return fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === name);
}

/** RFC 8555 6.5.1: other than base64url is to be ignored. */
export function nonceOf(fields: readonly string[]): string | undefined {
  return fieldValues(fields, "replay-nonce").find((value) => /^[\w-]{1,512}$/.test(value));
}

/** `rel` in lower case: `help`, `terms-of-service`, `alternate` … */
export interface Link {
  readonly rel: string;
  readonly url: string;
}

/** RFC 8288 3: any number of `<target>; name="value"; …` in any number of fields. */
export function linksOf(fields: readonly string[], base: string): Link[] {
  const text = fieldValues(fields, "link").join(",").slice(0, MAX_LINKS);
  const links = [...text.matchAll(/<([^<>]*)>((?:[^",]|"(?:[^"\\]|\\.)*")*)/g)];
  return links.flatMap(([, target = "", parameters = ""]) => {
    const url = absolute(target, base) ?? "";
    const rel = /^(?:[^"]|"[^"]*")*?;\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]+))/i.exec(parameters);
    const relations = (rel?.[1] ?? rel?.[2] ?? "").toLowerCase().split(/\s+/);
    return relations.map((rel) => ({ rel, url })).filter(({ rel, url }) => rel && url);
  });
}

/** As it is, if it isn't relative: the account's URL is compared byte by byte. */
export function absolute(url: string, base: string): string | undefined {
  const full = isUrl(url) || url === "" || !URL.canParse(url, base) ? url : new URL(url, base).href;
  return isUrl(full) ? full : undefined;
}

/** RFC 9110 5.6.7, the one form that is still sent, in ms since the epoch; NaN for all else. */
export function httpDate(value = ""): number {
  return /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/.test(value) ? Date.parse(value) : NaN;
}
