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

/** What an answer is read by; throws an Error that says what was expected. */
export type Reader<T> = (body: Buffer, fields: readonly string[], url: string) => T;

/** Limited before it is parsed. */
const json = <T>(read: Read<T>) => (body: Buffer): T => {
  if (body.length > MAX_JSON) throw new Error(`expected at most ${MAX_JSON} bytes`);
  return read(JSON.parse(body.toString()), "");
};

/** Checks a value; throws an Error that says what was expected of the one with that label. */
type Read<T> = (value: unknown, label: string) => T;

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

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isList = (value: unknown): value is readonly unknown[] =>
  Array.isArray(value) && value.length <= MAX_ITEMS;
const isUrl = (text: string): boolean => /^https?:\/\/[!-~]+$/i.test(text) && URL.canParse(text);
/** RFC 3339; in UTC too, where an offset may lead to a year that it can't write. */
const isDate = (text: string): boolean =>
  !Number.isNaN(Date.parse(text)) && /^\d/.test(new Date(text).toISOString()) &&
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(text);

const textThat = (expected: string, is: (text: string) => boolean): Read<string> =>
  check(
    expected,
    (value): value is string => typeof value === "string" && value.length <= MAX_TEXT && is(value),
  );
const text = textThat("a text", () => true);
const link = textThat("an http or https URL", isUrl);
/** RFC 8555 8.1; it becomes part of a path. */
const token = textThat("base64url", (text) => /^[\w-]+$/.test(text));
const dateText = textThat("a date", isDate);
const date: Read<Date> = (value, label) => new Date(dateText(value, label));
const object = check("an object", isObject);
const array = check("an array", isList);

const list = <T>(read: Read<T>): Read<readonly T[]> => (value, label) =>
  array(value, label).map((one, i) => read(one, `${label}[${i}]`));
const texts = list(text);
const textsOrNone: Read<readonly string[]> = (value, label) => texts(value ?? [], label);
const isTrue = (value: unknown): boolean => value === true;
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

/** A problem document (RFC 9457, RFC 8555 6.7); `status` is HTTP's, or 0. */
export type Problem = ReturnType<typeof problem>;
const problemMembers = {
  type: or(text, "about:blank"), // in full
  detail: or(text, ""),
  status: or(check("a status", (value): value is number => Number.isInteger(value)), 0),
  instance: or(link, undefined), // for people, such as new terms of service
  identifier: or(readIdentifier, undefined),
  algorithms: or(texts, undefined), // of badSignatureAlgorithm: those taken
};
// RFC 8555 6.7.1: subproblems have none themselves.
const subproblem = members({ ...problemMembers, subproblems: (): readonly never[] => [] });
const problem = members({ ...problemMembers, subproblems: or(list(subproblem), []) });

/** One that has nothing but words. */
export const blank = (detail: string, status = 0): Problem => problem({ detail, status }, "");

/** Of a refusal: whatever it is, there is a problem in it. */
export function problemOf(body: Buffer, status: number): Problem {
  try {
    return { ...json(problem)(body), status };
  } catch {
    return blank(body.toString("latin1", 0, 200), status);
  }
}

/** RFC 8555 7.1.1; of `profiles` the names. The last two: draft-ietf-acme-dns-persist. */
export type Directory = ReturnType<typeof readDirectory>;
const readMeta = members({
  caaIdentities: textsOrNone,
  externalAccountRequired: isTrue,
  profiles: (value, label) => new Set(Object.keys(object(value ?? {}, label))),
  issuerDomainNames: textsOrNone,
  accountHashPrefix: optional(text),
});
export const readDirectory = json(members({
  newNonce: link,
  newAccount: link,
  newOrder: link,
  revokeCert: link,
  keyChange: link,
  renewalInfo: optional(link),
  meta: (value, label) => readMeta(value ?? {}, label),
}));

/** RFC 8555 7.1.2: the object as the server sent it. */
export type Account = Resource & ReturnType<typeof readAccount>;
export const readAccount = json((value, label) => ({ body: object(value, label) }));

/** RFC 8555 7.1.3. `status`: pending, ready, processing, valid, invalid, or another word. */
export type Order = Resource & ReturnType<typeof readOrder>;
export const readOrder = json(members({
  status: text,
  authorizations: list(link),
  finalize: link,
  certificate: optional(link),
  error: optional(problem),
}));

/** RFC 8555 7.1.5; the last two are dns-persist-01's, in either spelling. */
export type Challenge = ReturnType<typeof challenge>;
const challengeMembers = members({
  type: text,
  url: link,
  token: optional(token),
  error: optional(problem),
  issuerDomainNames: optional(texts),
  accountUri: optional(link),
});
const challenge = (value: unknown, label: string) => {
  const { accounturi, "issuer-domain-names": names, ...rest } = object(value, label);
  return challengeMembers({ issuerDomainNames: names, accountUri: accounturi, ...rest }, label);
};

/** RFC 8555 7.1.4. */
export type Authorization = Resource & ReturnType<typeof readAuthorization>;
export const readAuthorization = json(members({
  identifier: readIdentifier,
  wildcard: isTrue,
  status: text,
  challenges: list(challenge),
}));

/** RFC 9773 4.2; `retryAfter` in ms, from a minute to a day. */
export type RenewalInfo = ReturnType<typeof readRenewalInfo> & { readonly retryAfter: number };
const renewalMembers = json(members({
  suggestedWindow: members({ start: date, end: date }),
  explanationURL: or(link, undefined),
}));
export const readRenewalInfo = (body: Buffer) => {
  const { suggestedWindow: { start, end }, explanationURL } = renewalMembers(body);
  if (start < end) return { start, end, explanationUrl: explanationURL };
  throw new Error("expected a window that ends after it starts");
};

/** RFC 8555 9.1: nothing but certificates is taken out. `issuer`: of the last, its common name. */
export function readChain(body: Buffer, fields: readonly string[], url: string) {
  const blocks = pemBlocks(body.toString("latin1"), "CERTIFICATE");
  const issuers = blocks.slice(0, MAX_CHAIN).map((block) => readCertificate(block).issuerName);
  if (issuers.length === blocks.length && blocks.length > 0) {
    return { pem: blocks.join(""), issuer: issuers.at(-1), alternates: alternatesOf(fields, url) };
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

/** The URLs of the links with `rel="alternate"` (RFC 8288 3), in any number of fields. */
function alternatesOf(fields: readonly string[], base: string): string[] {
  const text = fieldValues(fields, "link").join(",").slice(0, MAX_LINKS);
  const links = [...text.matchAll(/<([^<>]*)>((?:[^",]|"(?:[^"\\]|\\.)*")*)/g)];
  return links.flatMap(([, target = "", parameters = ""]) => {
    const is = /;\s*rel\s*=\s*(?:"(?:[^"]*\s)?)?alternate(?=["\s;]|$)/i.test(parameters);
    return is ? absolute(target, base) ?? [] : [];
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
