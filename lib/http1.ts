/**
 * HTTP/1.1 heads and framing as RFC 9112 has them, parsed and written; `http1reader.ts` takes
 * them, and the bodies, out of a connection's bytes.
 *
 * Pure: strings in, values out. Needs `number.ts`.
 * Refuses whatever two implementations could frame differently: both lengths, a length that isn't
 * digits, any transfer coding but `chunked`, bare CR or LF, obs-fold, space before a colon, control
 * characters, more than one Host. What is valid keeps its bytes, case, order and duplicates.
 *
 * Heads are latin1 strings, one character a byte.
 */
import { parseDecimal } from "./number.ts";

/** The fields of a message as they came, or are to go: `[name, value, …]`. */
export type FieldLines = readonly string[];

/** Limits on a head; bytes include the start line and the blank line. */
export type HeadLimits = { readonly bytes: number; readonly fields: number };
export const HEAD_LIMITS: HeadLimits = { bytes: 64 * 1024, fields: 256 };

/** Options in Connection: each is compared with each field's name later on. */
const CONNECTION_LIMIT = 256;

/** A body's length in bytes, or one of the next two. */
export type BodyLength = number;
export const CHUNKED = -1;
/** The body ends with the connection: answers only (RFC 9112 section 6.3, rule 8). */
export const UNTIL_CLOSE = -2;

/**
 * Why a message was refused. `status` is what the client gets for a request (RFC 9110 section 15);
 * whatever is wrong with an answer is a 502 to it, even if a limit or a field line says 4xx here.
 */
export class Http1Error extends Error {
  override readonly name = "Http1Error";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Head {
  /** HTTP/1.x */
  readonly minor: number;
  readonly fields: FieldLines;
  readonly length: BodyLength;
  /** The sender wants the connection to go on (RFC 9112 section 9.3). */
  readonly keepAlive: boolean;
  /** Lower-case options of the Connection field: names of fields that go no further. */
  readonly connection: readonly string[];
  /** The Upgrade field's value, if Connection says `upgrade`. */
  readonly upgrade: string | undefined;
}

export interface RequestHead extends Head {
  readonly method: string;
  /** Origin-form or `*`; an absolute-form is taken apart into this and `authority`. */
  readonly target: string;
  /** `uri-host [":" port]` as sent, not yet validated as a name. */
  readonly authority: string;
}

export interface ResponseHead extends Head {
  readonly status: number;
  readonly reason: string;
}

/** Reads `request-line CRLF *( field-line CRLF )`; throws Http1Error. */
export function parseRequestHead(text: string, maxFields: number): RequestHead {
  const lineEnd = text.indexOf("\r\n");
  const methodEnd = tokenEnd(text, 0);
  if (methodEnd === 0 || text.charCodeAt(methodEnd) !== SP) {
    throw new Http1Error(400, "the request line doesn't start with a method and one space");
  }
  let pos = methodEnd + 1;
  while (TARGET[text.charCodeAt(pos)] === 1) pos++;
  const sent = text.slice(methodEnd + 1, pos);
  if (sent === "" || text.charCodeAt(pos) !== SP) {
    throw new Http1Error(400, "the request target is empty or has a character that isn't allowed");
  }
  const minor = requestVersion(text.slice(pos + 1, lineEnd));
  const method = text.slice(0, methodEnd);
  const fields = parseFields(text, lineEnd + 2, maxFields);
  const seen = framingFields(fields);
  const host = seen[HOST];
  if (host === undefined || host.includes(",")) {
    throw new Http1Error(400, "expected exactly one Host field");
  }
  const { target, authority } = parseTarget(method, sent, host);
  const { keepAlive, connection, upgrade } = connectionState(seen, minor, true);
  const length = bodyLength(seen, minor, 0);
  return { method, target, authority, minor, fields, length, keepAlive, connection, upgrade };
}

/** `HTTP/1.x` → x. A higher minor version is the highest we know: 1 (RFC 9110 section 2.5). */
function requestVersion(text: string): number {
  if (text === "HTTP/1.1" || /^HTTP\/1\.[2-9]$/.test(text)) return 1;
  if (text === "HTTP/1.0") return 0;
  const other = /^HTTP\/\d\.\d$/.test(text);
  throw new Http1Error(other ? 505 : 400, "the request's HTTP version isn't 1.0 or 1.1");
}

/**
 * RFC 9112 section 3.2: origin-form, absolute-form (whose authority wins over Host, 3.2.2) and
 * asterisk-form. There is no tunnel to ask for here, so CONNECT is not implemented.
 */
function parseTarget(method: string, target: string, host: string): Target {
  if (method === "CONNECT") throw new Http1Error(501, "CONNECT isn't implemented");
  if (target.charCodeAt(0) === SLASH) return { target, authority: host };
  if (target === "*" && method === "OPTIONS") return { target, authority: host };
  const absolute = /^https?:\/\/([^/?]*)(.*)$/i.exec(target);
  if (absolute === null) throw new Http1Error(400, "the request target isn't a path or an URL");
  const [, authority, rest] = absolute;
  const path = rest.startsWith("/") ? rest : rest !== "" || method !== "OPTIONS" ? "/" + rest : "*";
  return { target: path, authority };
}

type Target = Pick<RequestHead, "target" | "authority">;

/** Reads `status-line CRLF *( field-line CRLF )`, the answer to `method`; throws Http1Error. */
export function parseResponseHead(text: string, method: string, maxFields: number): ResponseHead {
  const lineEnd = text.indexOf("\r\n");
  const digit = text.startsWith("HTTP/1.") ? text.charCodeAt(7) - DIGIT_0 : -1;
  const status = parseDecimal(text.slice(9, 12), 999) ?? 0;
  // `HTTP/1.1 200` without the space before an empty reason is common, and harmless.
  const bare = lineEnd === 12;
  const spaced = text.charCodeAt(8) === SP && (bare || text.charCodeAt(12) === SP);
  if (digit < 0 || digit > 9 || status < 100 || !spaced || valueEnd(text, 8) !== lineEnd) {
    throw new Http1Error(502, "the answer doesn't start with a status line");
  }
  const minor = digit === 0 ? 0 : 1;
  const fields = parseFields(text, lineEnd + 2, maxFields);
  const seen = framingFields(fields);
  let length = bodyLength(seen, minor, UNTIL_CLOSE);
  const bodiless = method === "HEAD" || status < 200 || status === 204 || status === 304;
  const delimited = bodiless || length !== UNTIL_CLOSE;
  const { keepAlive, connection, upgrade } = connectionState(seen, minor, delimited);
  const reason = bare ? "" : text.slice(13, lineEnd);
  if (bodiless) length = 0;
  return { status, reason, minor, fields, length, keepAlive, connection, upgrade };
}

/**
 * RFC 9112 section 6.3; `otherwise` where no field says it. Both lengths, differing ones, or an
 * unknown coding: whoever believes the other one is desynchronised (section 11.2).
 */
function bodyLength(seen: FramingFields, minor: number, otherwise: BodyLength): BodyLength {
  const codings = seen[CODINGS], size = seen[LENGTH];
  if (codings === undefined) {
    const length = size === undefined ? otherwise : parseDecimal(size);
    if (length !== undefined) return length;
    throw new Http1Error(400, "Content-Length isn't one decimal number");
  }
  if (minor === 0) throw new Http1Error(400, "Transfer-Encoding in an HTTP/1.0 message");
  if (size !== undefined) throw new Http1Error(400, "both Transfer-Encoding and Content-Length");
  if (codings.toLowerCase() === "chunked") return CHUNKED;
  const list = listItems(codings);
  // What else ends in it is unknown here (section 6.1), and the rest can't be framed.
  const known = list.pop() === "chunked" && list.length > 0 && !list.includes("chunked");
  throw new Http1Error(known ? 501 : 400, "Transfer-Encoding other than chunked");
}

/** The fields that decide where a message ends and what becomes of the connection. */
type FramingFields = (string | undefined)[];
const HOST = 0, LENGTH = 1, CODINGS = 2, CONNECTION = 3, UPGRADE = 4;

/** Several of one name are one list (RFC 9110 section 5.3): two, even equal ones, parse as none. */
function framingFields(fields: FieldLines): FramingFields {
  const seen: FramingFields = [undefined, undefined, undefined, undefined, undefined];
  for (let i = 0; i < fields.length; i += 2) {
    const at = FRAMING.get(fields[i]);
    if (at === undefined) continue;
    const before = seen[at];
    seen[at] = before === undefined ? fields[i + 1] : before + ", " + fields[i + 1];
  }
  return seen;
}

type Connection = Pick<Head, "keepAlive" | "connection" | "upgrade">;

function connectionState(seen: FramingFields, minor: number, delimited: boolean): Connection {
  const connection = listItems(seen[CONNECTION] ?? "");
  if (connection.length > CONNECTION_LIMIT) {
    throw new Http1Error(431, `more than ${CONNECTION_LIMIT} Connection options`);
  }
  const keepAlive = delimited && (minor === 1 || connection.includes("keep-alive"));
  return {
    keepAlive: keepAlive && !connection.includes("close"),
    connection,
    upgrade: minor === 1 && connection.includes("upgrade") ? seen[UPGRADE] || undefined : undefined,
  };
}

/** Lower-case items of a comma-separated list (RFC 9110 section 5.6.1), empty ones left out. */
export function listItems(value: string): string[] {
  const lower = value.toLowerCase();
  if (!lower.includes(",")) return lower === "" ? [] : [lower];
  return lower.split(",").map((item) => item.trim()).filter((item) => item !== "");
}

/**
 * Reads `*( field-line CRLF )` from `pos` to the end of `text`; values without the white space
 * around them (RFC 9112 section 5). Throws Http1Error: 400, or 431 past `maxFields`.
 */
export function parseFields(text: string, pos: number, maxFields: number): string[] {
  const fields: string[] = [];
  while (pos < text.length) {
    const nameEnd = tokenEnd(text, pos);
    // An obs-fold starts with white space, and so has no name either (RFC 9112 section 5.2).
    if (nameEnd === pos || text.charCodeAt(nameEnd) !== COLON) {
      throw new Http1Error(400, "a field line doesn't start with a name and a colon");
    }
    let start = nameEnd + 1;
    while (isBlank(text.charCodeAt(start))) start++;
    let end = valueEnd(text, start);
    if (text.charCodeAt(end) !== CR || text.charCodeAt(end + 1) !== LF) {
      throw new Http1Error(400, "a field value has a control character");
    }
    const next = end + 2;
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
    fields.push(text.slice(pos, nameEnd), text.slice(start, end));
    if (fields.length > 2 * maxFields) throw new Http1Error(431, `more than ${maxFields} fields`);
    pos = next;
  }
  return fields;
}

/** The first value of a field, by its lower-case name. */
export function fieldValue(fields: FieldLines, lower: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i].length === lower.length && isName(fields[i], lower)) return fields[i + 1];
  }
  return undefined;
}

/** `request-line CRLF *( field-line CRLF ) CRLF` */
export function formatRequestHead(method: string, target: string, fields: FieldLines): string {
  return `${method} ${target} HTTP/1.1\r\n${formatFields(fields)}\r\n`;
}

/** `status-line CRLF *( field-line CRLF ) CRLF` */
export function formatResponseHead(status: number, reason: string, fields: FieldLines): string {
  return `HTTP/1.1 ${status} ${reason}\r\n${formatFields(fields)}\r\n`;
}

/** `*( field-line CRLF )`; names and values must be such as parseFields lets through. */
function formatFields(fields: FieldLines): string {
  let text = "";
  for (let i = 0; i < fields.length; i += 2) text += fields[i] + ": " + fields[i + 1] + "\r\n";
  return text;
}

/** `chunk-size CRLF`; the chunk's data and another CRLF follow. */
export function formatChunkSize(size: number): string {
  return size.toString(16) + "\r\n";
}

/** `last-chunk trailer-section CRLF` */
export function formatLastChunk(trailers: FieldLines): string {
  return trailers.length === 0 ? "0\r\n\r\n" : `0\r\n${formatFields(trailers)}\r\n`;
}

export const CR = 0x0d, LF = 0x0a;
const SP = 0x20, HTAB = 0x09, COLON = 0x3a, SLASH = 0x2f, DIGIT_0 = 0x30;

/** Character classes by code; past 255 or past the end of the text they give undefined. */
const TOKEN = characters(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/);
const FIELD_VALUE = characters(/[\t\x20-\x7e\x80-\xff]/);
/** Visible ASCII but `#`: a fragment is never sent (RFC 9112 section 3.2). */
const TARGET = characters(/[\x21\x22\x24-\x7e]/);

/** A token (RFC 9110 section 5.6.2), as methods and field names are. */
export function isToken(text: string): boolean {
  return text !== "" && tokenEnd(text, 0) === text.length;
}

/** What `parseFields` gives as a value: no control characters, no white space around it. */
export function isFieldValue(text: string): boolean {
  if (text === "") return true;
  const { length } = text;
  return valueEnd(text, 0) === length && !isBlank(text.charCodeAt(0)) &&
    !isBlank(text.charCodeAt(length - 1));
}

/** Characters that a request target may have, and at least one of them. */
export function isTarget(text: string): boolean {
  let pos = 0;
  while (TARGET[text.charCodeAt(pos)] === 1) pos++;
  return pos > 0 && pos === text.length;
}

function tokenEnd(text: string, pos: number): number {
  while (TOKEN[text.charCodeAt(pos)] === 1) pos++;
  return pos;
}

function valueEnd(text: string, pos: number): number {
  while (FIELD_VALUE[text.charCodeAt(pos)] === 1) pos++;
  return pos;
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}

function characters(pattern: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, i) => pattern.test(String.fromCharCode(i)) ? 1 : 0);
}

/**
 * Values by the lower-case names of fields, found in any case. Most names' lengths rule them out.
 */
export class FieldTable<T> {
  readonly #byLength: (readonly [string, T])[][] = Array.from({ length: 64 }, () => []);

  constructor(entries: Iterable<readonly [string, T]>) {
    for (const entry of entries) this.#byLength[entry[0].length].push(entry);
  }

  get(name: string): T | undefined {
    if (name.length >= this.#byLength.length) return undefined;
    for (const [lower, value] of this.#byLength[name.length]) {
      if (isName(name, lower)) return value;
    }
    return undefined;
  }
}

/** Whether a token of the same length is this name; 0x20 makes letters small, and no others so. */
function isName(token: string, lower: string): boolean {
  let pos = 0;
  while (pos < lower.length && (token.charCodeAt(pos) | 0x20) === lower.charCodeAt(pos)) pos++;
  return pos === lower.length;
}

const FRAMING = new FieldTable([
  ["host", HOST],
  ["content-length", LENGTH],
  ["transfer-encoding", CODINGS],
  ["connection", CONNECTION],
  ["upgrade", UPGRADE],
]);
