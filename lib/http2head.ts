/**
 * What a list of HTTP/2 fields means: requests as RFC 9113 sections 8.1 to 8.3 have them, extended
 * CONNECT (RFC 8441), trailers, and priorities (RFC 9218). Section numbers are of RFC 9113.
 *
 * Pure. Needs `http1.ts`, `addr.ts`, `number.ts`, `http2.ts`. What comes out can be written as
 * HTTP/1.1: whatever an upstream could read in another way is refused, by the same rules as there.
 */
import { parseHost } from "./addr.ts";
import {
  CHUNKED,
  type FieldLines,
  FieldTable,
  isFieldValue,
  isTarget,
  isToken,
  type RequestHead,
} from "./http1.ts";
import { Http2Error, PROTOCOL_ERROR } from "./http2.ts";
import { parseDecimal } from "./number.ts";

/** How urgent an answer is, 0 to 7 and 0 first, and whether parts of it are of use. */
export type Priority = { readonly urgency: number; readonly incremental: boolean };
export const DEFAULT_PRIORITY: Priority = { urgency: 3, incremental: false };

export interface Http2Request {
  /** With a method of CONNECT as it was sent; the proxy knows no such thing. */
  readonly head: RequestHead;
  /** Lower-case. */
  readonly scheme: string;
  /** Of an extended CONNECT. */
  readonly protocol: string | undefined;
  readonly priority: Priority;
  /** Bytes that DATA must have; undefined when any number will do (8.1.1). */
  readonly size: number | undefined;
}

/** Fields of one connection (8.2.2), of which TE may say `trailers`. */
const CONNECTION_FIELDS = new FieldTable(
  ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
    .map((name) => [name, true] as const),
);

/** Methods with which servers expect a length, even of nothing (RFC 9110 section 8.6). */
const WITH_CONTENT = new Set(["POST", "PUT", "PATCH"]);

/** A scheme (RFC 3986 section 3.1). */
const SCHEME = /^[a-z][a-z0-9+.-]*$/i;

/** Without their colons (8.3.1; RFC 8441 section 4). */
const NO_PSEUDO = {
  ...{ method: undefined, scheme: undefined, authority: undefined, path: undefined },
  protocol: undefined,
};
type PseudoFields = Record<keyof typeof NO_PSEUDO, string | undefined>;
const PSEUDO = new Map(
  Object.keys(NO_PSEUDO).map((name) => [`:${name}`, name as keyof PseudoFields]),
);

/** Of the fields of a request, those that have a meaning here. */
interface Known {
  host: string | undefined;
  length: string | undefined;
  priority: string | undefined;
  /** Where the value of the one Cookie field goes. */
  cookieAt: number;
}

/**
 * Reads the request that a stream begins with; `ended` when nothing follows. Throws Http2Error for
 * the stream: it is malformed (8.1.1).
 */
export function parseRequest(list: FieldLines, stream: number, ended: boolean): Http2Request {
  const pseudo: PseudoFields = { ...NO_PSEUDO };
  const start = readPseudoFields(list, stream, pseudo);
  const known: Known = { host: undefined, length: undefined, priority: undefined, cookieAt: -1 };
  const fields: string[] = ["Host", ""];
  readFields(list, start, stream, fields, known);
  const method = pseudo.method ?? "";
  if (!isToken(method)) throw malformed(stream, "no valid :method");
  const connect = method === "CONNECT", protocol = pseudo.protocol;
  if (!connect && protocol !== undefined) throw malformed(stream, ":protocol without CONNECT");
  const authority = parseAuthority(pseudo.authority, known.host, stream);
  fields[1] = authority;
  const { target, scheme } = connect && protocol === undefined
    ? parseConnect(pseudo, stream)
    : parseTarget(pseudo, stream);
  // What follows a CONNECT is no body, and has no length.
  const size = connect ? undefined : bodySize(known.length, stream, ended);
  if (connect) removeLength(fields);
  const length = size ?? (ended || connect ? 0 : CHUNKED);
  if (size === undefined && ended && WITH_CONTENT.has(method)) fields.push("content-length", "0");
  const head = {
    method,
    target,
    authority,
    minor: 1,
    fields,
    length,
    keepAlive: true,
    connection: NO_OPTIONS,
    upgrade: undefined,
  };
  const priority = known.priority === undefined ? DEFAULT_PRIORITY : parsePriority(known.priority);
  return { head, scheme, protocol, priority, size };
}

const NO_OPTIONS: readonly string[] = [];

/** Those that come first; each is known, and comes once (8.3). Says where the others begin. */
function readPseudoFields(list: FieldLines, stream: number, pseudo: PseudoFields): number {
  let i = 0;
  for (; i < list.length && list[i].charCodeAt(0) === COLON; i += 2) {
    const name = PSEUDO.get(list[i]);
    if (name === undefined) throw malformed(stream, "an unknown pseudo-field");
    if (pseudo[name] !== undefined) throw malformed(stream, `${list[i]} comes twice`);
    pseudo[name] = list[i + 1];
  }
  return i;
}

const COLON = 0x3a;

function readFields(
  list: FieldLines,
  start: number,
  stream: number,
  fields: string[],
  known: Known,
): void {
  for (let i = start; i < list.length; i += 2) {
    const name = list[i], value = list[i + 1];
    checkField(name, value, stream);
    switch (name) {
      case "host":
        known.host = once(known.host, name, value, stream);
        continue;
      case "cookie": // came in crumbs, so that each can be compressed (8.2.3)
        if (known.cookieAt < 0) known.cookieAt = fields.push(name, value) - 1;
        else fields[known.cookieAt] += `; ${value}`;
        continue;
      case "content-length":
        known.length = once(known.length, name, value, stream);
        break;
      case "priority":
        known.priority = known.priority === undefined ? value : `${known.priority},${value}`;
    }
    fields.push(name, value);
  }
}

function once(before: string | undefined, name: string, value: string, stream: number): string {
  if (before !== undefined) throw malformed(stream, `${name} comes twice`);
  return value;
}

/** Sections 8.2.1 and 8.2.2; a colon isn't in a token, so no pseudo-field comes late. */
function checkField(name: string, value: string, stream: number): void {
  if (!isToken(name) || hasUpperCase(name)) throw malformed(stream, "a field's name isn't valid");
  if (!isFieldValue(value)) throw malformed(stream, "a field's value isn't valid");
  const forbidden = CONNECTION_FIELDS.get(name) === true;
  if (forbidden || (name === "te" && value.toLowerCase() !== "trailers")) {
    throw malformed(stream, `${name}, which is about another connection`);
  }
}

function hasUpperCase(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x41 && code <= 0x5a) return true;
  }
  return false;
}

/** One of the two, or both if they agree (8.3.1); a name that isn't valid is refused later. */
function parseAuthority(
  authority: string | undefined,
  host: string | undefined,
  stream: number,
): string {
  const one = authority ?? host;
  if (one === undefined || one === "") throw malformed(stream, "no :authority and no host");
  if (!isFieldValue(one)) throw malformed(stream, ":authority isn't valid");
  if (host === undefined || host === one) return one;
  const [a, b] = [parseHost(one), parseHost(host)];
  const same = a?.name === b?.name && (a?.port ?? 443) === (b?.port ?? 443);
  if (a === undefined || !same) throw malformed(stream, ":authority and host differ");
  return one;
}

type Target = { readonly target: string; readonly scheme: string };

/** Section 8.3.1: a path, or `*` for OPTIONS as a whole. */
function parseTarget(pseudo: PseudoFields, stream: number): Target {
  const { path: target, scheme } = pseudo;
  if (scheme === undefined || !SCHEME.test(scheme)) throw malformed(stream, "no valid :scheme");
  if (target === undefined || !isTarget(target)) throw malformed(stream, "no valid :path");
  const whole = target === "*" && pseudo.method === "OPTIONS";
  if (!whole && !target.startsWith("/")) throw malformed(stream, ":path isn't a path");
  return { target, scheme: scheme.toLowerCase() };
}

/** Section 8.5: there is neither path nor scheme. */
function parseConnect(pseudo: PseudoFields, stream: number): Target {
  const more = pseudo.path ?? pseudo.scheme;
  if (more !== undefined) throw malformed(stream, "CONNECT with :path or :scheme");
  if (pseudo.authority === undefined) throw malformed(stream, "CONNECT without :authority");
  return { target: "", scheme: "https" };
}

function bodySize(text: string | undefined, stream: number, ended: boolean): number | undefined {
  if (text === undefined) return undefined;
  const size = parseDecimal(text);
  if (size === undefined) throw malformed(stream, "content-length isn't one decimal number");
  if (ended && size > 0) throw malformed(stream, "content-length, and no DATA");
  return size;
}

function removeLength(fields: string[]): void {
  const at = fields.findIndex((name, i) => i % 2 === 0 && name === "content-length");
  if (at >= 0) fields.splice(at, 2);
}

/** Trailers (8.1): fields like others, but no pseudo-fields. Throws Http2Error. */
export function checkTrailers(list: FieldLines, stream: number): void {
  for (let i = 0; i < list.length; i += 2) checkField(list[i], list[i + 1], stream);
}

/** Without what an answer can't have in HTTP/2 (8.2.2); any spelling of names. */
export function answerFields(fields: string[]): string[] {
  for (let i = 0; i < fields.length; i += 2) {
    if (CONNECTION_FIELDS.get(fields[i]) === undefined) continue;
    return fields.filter((_, at) => CONNECTION_FIELDS.get(fields[at & ~1]) === undefined);
  }
  return fields;
}

/** Characters in which all is said that a priority may say; each more would cost, for a byte. */
const PRIORITY_LIMIT = 256;

/** RFC 9218 section 4; what can't be read says nothing, and the last of two counts. */
export function parsePriority(text: string): Priority {
  let { urgency, incremental } = DEFAULT_PRIORITY;
  for (const item of text.slice(0, PRIORITY_LIMIT).split(",")) {
    const [, key, value] = /^[ \t]*(u|i)(?:=([0-7]|\?[01]))?[ \t]*(?:;|$)/.exec(item) ?? [];
    if (key === "u" && value !== undefined && value.length === 1) urgency = Number(value);
    else if (key === "i" && value?.length !== 1) incremental = value !== "?0";
  }
  return { urgency, incremental };
}

const malformed = (stream: number, why: string): Http2Error =>
  new Http2Error(stream, PROTOCOL_ERROR, `a malformed request: ${why}`);
