/**
 * What several DNS providers need: settings read as lego reads them, calls to a service's JSON API
 * whose failures a person can act on, and a lock for services that only replace whole RRsets.
 * Needs addr.ts, dnsmsg.ts, log.ts and number.ts; all I/O goes through the HTTP client that is
 * passed in.
 *
 * No message holds a secret: not the value of a variable, not the query of a URL, not a request's
 * body, and what a service says is searched for the request's credentials before it is repeated.
 */
import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";
import { clearTimeout, setTimeout } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { isDomainName } from "../addr.ts";
import { ancestors } from "../dnsmsg.ts";
import type { HttpAnswer, HttpClient, HttpRequest } from "../httpsclient.ts";
import { quote } from "../log.ts";
import { parseDecimal } from "../number.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "./provider.ts";

/** lego's defaults, in seconds. */
const PROPAGATION_TIMEOUT = 60;
const POLLING_INTERVAL = 2;
const HTTP_TIMEOUT = 30;
export const DEFAULT_TTL = 120;

const MAX_SECONDS = 2 ** 31 - 1; // also the longest TTL (RFC 2181 section 8)
const MAX_TIMER_MS = 2 ** 31 - 1; // longer ones fire at once
/** Octets of JSON that are parsed: a list of many thousand zones. */
const MAX_JSON = 4 * 1024 * 1024;
/** Octets of a file with a secret: far more than any key. */
const MAX_FILE = 64 * 1024;
/** UTF-16 units of a service's own words that are repeated. */
const MAX_WORDS = 300;
/** Shorter values of a request's fields are no secrets, but words such as `*`. */
const MIN_SECRET = 6;
const MAX_DEPTH = 4; // of objects in objects that are searched for a service's words

export type Env = ProviderContext["env"];

/** The first of several variables that is set and not empty: aliases, the preferred one first. */
export function optional(env: Env, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = env(name);
    if (value === undefined || value === "") continue;
    if (!/[\x00-\x1f\x7f]/.test(value)) return value;
    throw new DnsProviderError(`${name} holds a line end or another control character`);
  }
  return undefined;
}

/** As optional(); throws DnsProviderError with all the names when none is set. */
export function needed(env: Env, ...names: readonly [string, ...string[]]): string {
  const value = optional(env, ...names);
  if (value !== undefined) return value;
  const others = names.length > 1 ? ` (or ${names.slice(1).join(", ")})` : "";
  throw new DnsProviderError(`${names[0]}${others} is not set: the DNS provider needs it`);
}

/**
 * A file's text without its last line end; `name` is the variable that has the path. Throws
 * DnsProviderError, without a word of the content, when it is empty, too long or unreadable.
 */
export function readSmallFile(name: string, path: string): string {
  const buffer = Buffer.alloc(MAX_FILE + 1);
  let length = 0;
  try {
    const file = openSync(path, "r");
    try {
      // As far as it goes: a pipe comes in pieces, and has no length.
      for (let got = 1; got > 0 && length < buffer.length; length += got) {
        got = readSync(file, buffer, length, buffer.length - length, null);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new DnsProviderError(`can't read ${quote(path)} (${name})`, { cause: error });
  }
  const text = buffer.toString("utf8", 0, length).replace(/\r?\n$/, "");
  if (text !== "" && length <= MAX_FILE) return text;
  const problem = text === "" ? "is empty" : `has more than ${MAX_FILE} octets`;
  throw new DnsProviderError(
    `${quote(path)} (${name}) ${problem}: expected a secret`,
  );
}

/** A name or several, the preferred one first: variables, or prefixes without last underscore. */
type Names = string | readonly string[];

/** A whole number of seconds; throws DnsProviderError for `2m`, a sign or a fraction. */
export function seconds(env: Env, names: Names, fallback: number): number {
  for (const name of [names].flat()) {
    const given = optional(env, name);
    if (given === undefined) continue;
    const value = parseDecimal(given, MAX_SECONDS);
    if (value !== undefined) return value;
    const problem = `invalid ${name} ${quote(given, 40)}`;
    throw new DnsProviderError(`${problem}: expected a whole number of seconds: 120`);
  }
  return fallback;
}

/**
 * What the variables _PROPAGATION_TIMEOUT and _POLLING_INTERVAL with that prefix say: `CLOUDFLARE`.
 * The defaults given are in seconds, as in lego's documentation; the result is in milliseconds.
 */
export function propagation(
  env: Env,
  prefix: Names,
  fallback: { readonly timeout?: number; readonly interval?: number } = {},
): DnsProvider["propagation"] {
  const { timeout = PROPAGATION_TIMEOUT, interval = POLLING_INTERVAL } = fallback;
  return {
    timeout: seconds(env, withEnd(prefix, "_PROPAGATION_TIMEOUT"), timeout) * 1000,
    interval: seconds(env, withEnd(prefix, "_POLLING_INTERVAL"), interval) * 1000,
  };
}

/** The variable _HTTP_TIMEOUT with that prefix, in milliseconds, for call(); default 30 s. */
export function httpTimeout(env: Env, prefix: Names, fallback: number = HTTP_TIMEOUT): number {
  return seconds(env, withEnd(prefix, "_HTTP_TIMEOUT"), fallback) * 1000;
}

const withEnd = (prefix: Names, end: string): string[] => [prefix].flat().map((one) => one + end);

/** `_acme-challenge.www` of that name in `example.com`; `apex` when it is the zone itself. */
export function relativeName(name: string, zone: string, apex: string = ""): string {
  if (name === zone) return apex;
  if (name.endsWith(`.${zone}`)) return name.slice(0, -zone.length - 1);
  throw new DnsProviderError(`${quote(name)} is not in the zone ${quote(zone)}`);
}

/** The zone of a name and what the name is called there, as relativeName(): fit for URLs. */
export async function placeOf(
  zoneOf: ProviderContext["zoneOf"],
  name: string,
  signal: AbortSignal,
  apex: string = "",
): Promise<{ readonly zone: string; readonly sub: string }> {
  const zone = await zoneOf(name, signal);
  if ([zone, name].every(isDomainName)) return { zone, sub: relativeName(name, zone, apex) };
  throw new DnsProviderError(`${quote(zone, 300)} can't be the zone of ${quote(name, 300)}`);
}

/** The name and those above it that have two labels or more, longest first: zones to look for. */
export const zoneCandidates = (name: string): string[] => ancestors(name).slice(0, -1);

/** A call of a service's API. */
export interface Call {
  readonly method: HttpRequest["method"];
  readonly url: string;
  readonly fields?: readonly string[];
  /** Sent as JSON with its Content-Type, unless it is undefined; instead of `body`. */
  readonly json?: unknown;
  readonly body?: string | Uint8Array;
  readonly signal: AbortSignal;
  /** Milliseconds for all of it; default 30_000. */
  readonly timeout?: number;
  /** As people call it: `Cloudflare`. */
  readonly service: string;
  /** What a 401 or 403 refuses; default `credentials`: `token`. */
  readonly credential?: string;
  /** What is to be done about a status, in words that follow a colon: `it needs Zone:Read …`. */
  readonly explain?: (status: number, body: unknown) => string | undefined;
  /** Statuses that are no failure beside 2xx: 404 when what isn't there needn't be taken away. */
  readonly accept?: readonly number[];
  /** What must not be repeated beside the values of `fields`, which never are. */
  readonly secrets?: readonly string[];
}

/**
 * The answer, if its status is 2xx or one that is accepted. Otherwise rejects with
 * DnsProviderError: `Cloudflare refused the token (403): it needs …; it says "Invalid token"`. When
 * there is no answer, with what the client rejects with, or DnsProviderError when time is up.
 */
export async function call(http: HttpClient, options: Call): Promise<HttpAnswer> {
  const { method, url, service, accept = [] } = options;
  const { fields = [], json } = options;
  const body = json === undefined ? options.body : JSON.stringify(json);
  const type = json === undefined ? [] : ["Content-Type", "application/json"];
  const request = {
    method,
    url,
    fields: [...fields, ...type],
    ...(body !== undefined && { body }),
  };
  const answer = await within(options, (signal) => http({ ...request, signal }));
  const { status } = answer;
  if ((status >= 200 && status <= 299) || accept.includes(status)) return answer;
  throw new DnsProviderError(`${service} ${failure(answer, options)}`);
}

/** As call(), with what the answer's JSON is; undefined without content or for another status. */
export async function callJson(http: HttpClient, options: Call): Promise<unknown> {
  const { status, body } = await call(http, options);
  if (status > 299 || body.length === 0) return undefined;
  const value = parseJson(body);
  if (value !== undefined) return value;
  const said = words(body.subarray(0, MAX_JSON).toString(), undefined, options);
  throw new DnsProviderError(`${options.service} answered ${status}, but not with JSON${said}`);
}

/** Runs `work` with a signal that also ends when time is up; the timer never outlives it. */
async function within<T>(
  { signal, timeout = HTTP_TIMEOUT * 1000, service, method, url }: Call,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const both = new AbortController();
  const abort = () => both.abort(signal.reason);
  const { host, pathname } = new URL(url);
  const where = `${method} ${host}${pathname}`;
  const late = new DnsProviderError(`${service} did not answer in ${timeout} ms: ${where}`);
  const timer = setTimeout(() => both.abort(late), Math.min(timeout, MAX_TIMER_MS));
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await work(both.signal);
  } catch (error) {
    throw both.signal.aborted ? both.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

/** `refused the token (403): what to do; it says "…"`. */
function failure({ status, body }: HttpAnswer, options: Call): string {
  const json = parseJson(body);
  const { explain, credential = "credentials" } = options;
  const refused = status === 401 || status === 403 ? `refused the ${credential}` : undefined;
  const what = refused ?? (status >= 500 ? "failed" : "refused the request");
  const advice = explain?.(status, json);
  const said = words(body.subarray(0, MAX_JSON).toString(), json, options);
  return `${what} (${status})${advice === undefined ? "" : `: ${advice}`}${said}`;
}

/** `; it says "…"`, without what is secret; nothing when nothing was said. */
function words(text: string, json: unknown, { fields = [], secrets = [] }: Call): string {
  let said = spoken(json).join(", ") || text.trim();
  const values = fields.filter((_, at) => at % 2 === 1);
  // A scheme such as Bearer stands before the credentials, and `user:key` may hold two.
  const all = [...secrets, ...values.flatMap((value) => [value, ...value.split(/[ :,=]/)])];
  for (const secret of all.sort((a, b) => b.length - a.length)) {
    if (secret.length >= MIN_SECRET) said = said.replaceAll(secret, "(hidden)");
  }
  return said === "" ? "" : `; it says ${quote(said, MAX_WORDS)}`;
}

/** Members under which services say what is wrong. */
const SPOKEN = ["message", "error", "errors", "error_description", "detail", "details", "title"];

/** The strings among them, in objects and lists too; empty when there are none. */
function spoken(value: unknown, depth: number = 0): string[] {
  if (typeof value === "string") return depth === 0 ? [] : [value];
  if (depth === MAX_DEPTH) return [];
  const items = list(value).slice(0, 10);
  if (items.length > 0) return items.flatMap((item) => spoken(item, depth + 1));
  return SPOKEN.flatMap((key) => spoken(member(value, key), depth + 1));
}

/** Undefined when it isn't JSON, or too long. */
function parseJson(body: Uint8Array & { toString(): string }): unknown {
  if (body.length > MAX_JSON) return undefined;
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

/** What is at `path`, member by member; undefined unless each is an object's own. */
export function member(value: unknown, ...path: readonly string[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null || Array.isArray(at)) return undefined;
    at = Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined;
  }
  return at;
}

/** The string there, or the digits of a whole number: services spell their ids either way. */
export function text(value: unknown, ...path: readonly string[]): string | undefined {
  const found = member(value, ...path);
  return typeof found === "string" || Number.isSafeInteger(found) ? String(found) : undefined;
}

/** The items of the list there; none when it is no list. */
export function list(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = member(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** An item's id; throws unless it has one that can't lead elsewhere in a URL. */
export function idOf(service: string, item: unknown): string {
  const id = text(item, "id") ?? "";
  if (/^[0-9A-Za-z][0-9A-Za-z-]{0,63}$/.test(id)) return id;
  throw unexpected(service, "id");
}

/** Whether a service has this value there: some put quotes around it, some leave them off. */
export const isValue = (found: string | undefined, value: string): boolean =>
  found === value || found === `"${value}"`;

/** That a service's answer, of a status that means success, isn't of the form that it has. */
export function unexpected(service: string, what: string): DnsProviderError {
  return new DnsProviderError(`${service} sent something else than the ${what} expected`);
}

/** The values of an RRset. Throws when one is no text: what can't be read can't be written back. */
export function strings(service: string, value: unknown): readonly string[] {
  const isText = (item: unknown): item is string => typeof item === "string";
  if (Array.isArray(value) && value.every(isText)) return value;
  throw unexpected(service, "records");
}

/**
 * lego's _SEQUENCE_INTERVAL, for services that hold one value a name: `turn` resolves when the
 * interval after the latest `done` of that name is over, so that no cache has the value before.
 * Rejects when the signal ends. Names have their own turns: where lego waits between any two.
 */
export function sequence(env: Env, prefix: Names, fallback: number = PROPAGATION_TIMEOUT): {
  readonly turn: (name: string, signal: AbortSignal) => Promise<void>;
  readonly done: (name: string) => void;
} {
  const interval = seconds(env, withEnd(prefix, "_SEQUENCE_INTERVAL"), fallback) * 1000;
  const free = new Map<string, number>(); // when each name is, on the clock of performance.now()
  return {
    async turn(name, signal) {
      const wait = (free.get(name) ?? 0) - performance.now();
      if (wait > 0) await sleep(Math.min(Math.ceil(wait), MAX_TIMER_MS), undefined, { signal });
      free.delete(name);
    },
    done: (name) => void free.set(name, performance.now() + interval),
  };
}
