/**
 * The route file: which names are served, by which upstreams, under which rules. Pure; needs
 * addr.ts, log.ts (quote), nearest.ts, number.ts, `node:net` (isIP) and `node:buffer`.
 *
 *     # The first name of a route is its primary; the lines down to the next route belong to it.
 *     route example.com www.example.com *.static.example.com
 *         upstream app:8080
 *         header default Strict-Transport-Security max-age=15768000
 *         on_error 502 error-pages:8080/down?code=502
 *
 * A line is one directive, its words separated by any spaces and tabs; directives and header
 * operations in any case. All problems are reported, each with its line, and a file with a problem
 * gives no table at all. Names get their one spelling here (lower case, A-labels).
 */
import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import { joinHostPort, MAX_NAME, spellAddress, splitHostPort, toDomainName } from "./addr.ts";
import { quote } from "./log.ts";
import { nearest } from "./nearest.ts";
import { parseDecimal } from "./number.ts";

/** UTF-16 units of a file, never more than its bytes; some 100,000 routes. */
const MAX_FILE = 16 * 1024 * 1024;
/** UTF-16 units of a line; some 2,500 names. */
const MAX_LINE = 64 * 1024;
/** Problems after which the rest isn't read: it is no route file, and others wait for the CPU. */
const MAX_PROBLEMS = 100;
const TOO_MANY = `over ${MAX_PROBLEMS} problems: expected a route file; the rest isn't reported`;
/** Characters of a value that a message quotes. */
const MAX_QUOTED = 80;

/** C0 but for the tab, DEL, C1. A lone CR is one of them: to some programs it ends the line. */
const CONTROL = /[\0-\x08\x0a-\x1f\x7f-\x9f]/;
/** RFC 9110 5.6.2. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Path and query, or neither: no space, control, `#` or non-ASCII in them (RFC 9112 3.2). */
const TARGET = /^(?:\/[!"$-~]*)?$/;

const HEADER_OPERATIONS = ["add", "replace", "default", "delete"] as const;

/** Fields of framing (RFC 9112 6) and of one connection (RFC 9110 7.6.1), in lower case. */
export const CONNECTION_FIELDS: readonly string[] =
  "connection content-length keep-alive proxy-connection te trailer transfer-encoding upgrade"
    .split(" ");

/** How many words follow (undefined: the reader looks itself), what they are, who reads them. */
type Directive = readonly [count: number | undefined, usage: string, read: DirectiveReader];
type DirectiveReader = (reader: Reader, route: Draft, words: string[], line: string) => void;

const DIRECTIVES: ReadonlyMap<string, Directive> = new Map<string, Directive>([
  ["route", [undefined, "NAME…", readDomains]],
  ["upstream", [1, "HOST[:PORT]", readUpstream]],
  ["subject", [undefined, "NAME…", readSubject]],
  ["header", [undefined, "OPERATION NAME [VALUE]", readHeader]],
  ["on_error", [2, "STATUS HOST[:PORT][/PATH[?QUERY]]", readOnError]],
  ["provider", [1, "NAME", readProvider]],
  ["redirect-to-primary", [0, "alone", readRedirect]],
  ["fallback", [0, "alone", readFallback]],
]);

/** `name` is `host:port`, an IPv6 host in brackets; `host` has none. */
export type Upstream = { readonly host: string; readonly port: number; readonly name: string };

/** `key` is `name` in lower case; `value` has one character a byte, as heads do; "" for delete. */
export interface HeaderRule {
  readonly operation: (typeof HEADER_OPERATIONS)[number];
  readonly name: string;
  readonly key: string;
  readonly value: string;
}

/** `status` is 400 to 599; `target` is `/path?query`, undefined for that of the request. */
interface ErrorMapping {
  readonly status: number;
  readonly upstream: Upstream;
  readonly target: string | undefined;
}

/** `line` is that of its "route"; `domains` has its primary first; `subject` may be empty. */
export interface Route {
  readonly line: number;
  readonly domains: readonly string[];
  readonly subject: readonly string[];
  readonly upstreams: readonly Upstream[];
  readonly headers: readonly HeaderRule[];
  readonly errors: readonly ErrorMapping[];
  readonly provider: string | undefined;
  readonly redirectToPrimary: boolean;
  readonly fallback: boolean;
  /** Those that this process has had for it, which the proxy counts. */
  requests: number;
}

export type RouteProblem = { readonly line: number; readonly message: string };

/** All that is wrong with a file, by line; its message has a line for each: `line 3: …`. */
export class RouteError extends Error {
  readonly problems: readonly RouteProblem[];

  constructor(problems: readonly RouteProblem[]) {
    super(problems.map(({ line, message }) => `line ${line}: ${message}`).join("\n"));
    this.name = "RouteError";
    this.problems = problems;
  }
}

/** The routes of a file in its order. */
export class RouteTable {
  readonly routes: readonly Route[];
  readonly fallback: Route | undefined;
  readonly #names: ReadonlyMap<string, Route>;

  /** `names` has the route of each name, wildcards as they are written. */
  constructor(routes: readonly Route[], names: ReadonlyMap<string, Route>) {
    this.routes = routes;
    this.fallback = routes.find((route) => route.fallback);
    this.#names = names;
  }

  /** The route of a lower-case name: by name, by its wildcard (RFC 9525 6.3), else the fallback. */
  find(name: string): Route | undefined {
    const dot = name.indexOf(".");
    return this.#names.get(name) ?? this.#names.get(dot > 0 ? `*${name.slice(dot)}` : "") ??
      this.fallback;
  }
}

/** The table that these routes were taken from. */
export function tableOf(routes: readonly Route[]): RouteTable {
  const names = routes.flatMap((route) => route.domains.map((name) => [name, route] as const));
  return new RouteTable(routes, new Map(names));
}

/** A Route that is still being read. */
type Draft = {
  -readonly [Key in keyof Route]: Route[Key] extends readonly (infer Item)[] ? Item[] : Route[Key];
};

/** The file so far; `names` has the route of each name. */
type Reader = {
  line: number;
  fallbackLine?: number;
  readonly problems: RouteProblem[];
  readonly routes: Draft[];
  readonly names: Map<string, Draft>;
};

/** The table of a whole file; a BOM and CRs are allowed. Throws RouteError. */
export function parseRoutes(text: string): RouteTable {
  const reader: Reader = { line: 1, problems: [], routes: [], names: new Map() };
  if (text.length <= MAX_FILE) readLines(reader, text);
  else report(reader, "file too long", "", `at most ${MAX_FILE} characters`);
  if (reader.problems.length === 0) return new RouteTable(reader.routes, reader.names);
  // What is wrong with a whole route is found at its end and belongs to its first line.
  throw new RouteError(reader.problems.sort((a, b) => a.line - b.line));
}

/** The names of a route's certificate: the subject, then the alternative names. */
export function certificateNames(route: Route): readonly string[] {
  return route.subject.length > 0 ? route.subject : route.domains;
}

/** What answers instead for a status, the first such line; undefined when no line is for it. */
export function errorMapping(route: Route, status: number): ErrorMapping | undefined {
  return route.errors.find((mapping) => mapping.status === status);
}

function readLines(reader: Reader, text: string): void {
  let start = 0;
  for (; start < text.length && reader.problems.length <= MAX_PROBLEMS; reader.line++) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    readLine(reader, text.slice(start, text[end - 1] === "\r" ? end - 1 : end));
    start = end + 1;
  }
  closeRoute(reader);
}

function readLine(reader: Reader, text: string): void {
  const hex = CONTROL.exec(text)?.[0].charCodeAt(0).toString(16);
  if (hex) return report(reader, `invalid line with control character 0x${hex}`, "", "text");
  const line = text.trim(); // takes a BOM off too
  if (line.length > MAX_LINE) return report(reader, "invalid line", line, `at most ${MAX_LINE}`);
  if (line === "" || line.startsWith("#")) return;
  const words = line.split(/[ \t]+/);
  const name = words[0].toLowerCase();
  const directive = DIRECTIVES.get(name);
  if (!directive) return report(reader, "invalid line", line, choice(name, [...DIRECTIVES.keys()]));
  if (name === "route") openRoute(reader);
  const route = reader.routes.at(-1);
  if (!route) return report(reader, `${name} without route`, line, "a route line before it");
  const [count, usage, read] = directive;
  if (words.length - 1 === (count ?? words.length - 1)) read(reader, route, words, line);
  else report(reader, `invalid ${name} line`, line, `${name} ${usage}`);
}

function openRoute(reader: Reader): void {
  closeRoute(reader);
  reader.routes.push({
    line: reader.line,
    domains: [],
    subject: [],
    upstreams: [],
    headers: [],
    errors: [],
    provider: undefined,
    redirectToPrimary: false,
    fallback: false,
    requests: 0,
  });
}

function closeRoute(reader: Reader): void {
  const route = reader.routes.at(-1);
  if (route) route.subject = [...new Set(route.subject)]; // asked for once each
  if (!route || route.upstreams.length > 0) return;
  const place = { ...reader, line: route.line };
  report(place, "no upstreams specified for route", route.domains.join(" "), "an upstream line");
}

/** A name that two routes have would be served by one of them, and nobody could say which. */
function readDomains(reader: Reader, route: Draft, words: string[]): void {
  route.domains = readNames(reader, "route", words);
  for (const name of route.domains) {
    const first = reader.names.get(name);
    if (first) {
      const lines = `lines ${first.line} and ${reader.line}`;
      report(reader, `duplicate domain in ${lines}:`, name, "each name once in a file");
    } else reader.names.set(name, route);
  }
}

function readSubject(reader: Reader, route: Draft, words: string[]): void {
  for (const name of readNames(reader, "subject", words)) route.subject.push(name);
}

/** The names in their one spelling, `*.` before a name allowed. Bad ones are reported, and stay. */
function readNames(reader: Reader, directive: string, words: string[]): string[] {
  if (words.length === 1) report(reader, `no domains specified for ${directive}`, "", "names");
  return words.slice(1).map((word) => {
    // A certificate may be for an address (RFC 8738), for clients that give no name.
    if (directive === "subject" && isIP(word) > 0 && !word.includes("%")) return spellAddress(word);
    const wildcard = word.startsWith("*.") ? "*." : "";
    const name = toDomainName(word.slice(wildcard.length));
    if (name && wildcard.length + name.length <= MAX_NAME) return wildcard + name;
    report(reader, `invalid domain in ${directive}`, word, "a name: a.example or *.a.example");
    return word;
  });
}

function readUpstream(reader: Reader, route: Draft, words: string[]): void {
  route.upstreams.push(parseUpstream(reader, "upstream", words[1]));
}

/** A domain's or container's name, or an IP address; default port 80. A bad one is reported. */
function parseUpstream(reader: Reader, what: string, text: string): Upstream {
  const { host: written, port = 80 } = splitHostPort(text) ?? { host: "" };
  const isAddress = isIP(written) > 0 && !written.includes("%"); // a zone fits in no URL
  const host = toDomainName(written) ?? (isAddress ? written : "");
  if (!host) report(reader, `invalid ${what}`, text, "host:port or [IPv6]:port, port 1-65535");
  return { host, port, name: joinHostPort(host, port) };
}

function readHeader(reader: Reader, route: Draft, words: string[], line: string): void {
  const [, word = "", name = ""] = words;
  const key = name.toLowerCase();
  const value = /^(?:[^ \t]+[ \t]+){3}(.*)$/s.exec(line)?.[1] ?? "";
  const operation = HEADER_OPERATIONS.find((each) => each === word.toLowerCase());
  if (!operation) {
    return report(reader, "invalid header operation", word, choice(word, HEADER_OPERATIONS));
  } else if (name === "" || (value === "") !== (operation === "delete")) {
    const usage = `header ${operation} NAME${operation === "delete" ? "" : " VALUE"}`;
    report(reader, `invalid header ${operation} line`, line, usage);
  } else if (!TOKEN.test(name)) {
    report(reader, "invalid header name", name, "a token (RFC 9110 5.6.2)");
  } else if (CONNECTION_FIELDS.includes(key)) {
    report(reader, "invalid header, framing and connections are the proxy's:", name, "another");
  }
  // A field value is bytes (RFC 9110 5.5): beyond ASCII those of the UTF-8 that the file is in.
  const bytes = /[^\0-\x7f]/.test(value) ? Buffer.from(value, "utf8").toString("latin1") : value;
  route.headers.push({ operation, name, key, value: bytes });
}

function readOnError(reader: Reader, route: Draft, words: string[]): void {
  const [, code, place] = words;
  const status = parseDecimal(code, 599) ?? 0;
  if (status < 400) report(reader, "invalid status code", code, "400 to 599");
  const [address = ""] = place.split(/[/?]/, 1);
  const upstream = parseUpstream(reader, "on_error upstream", address);
  const path = place.slice(address.length);
  if (!TARGET.test(path)) report(reader, "target path must begin with a /", path, "ASCII, no #");
  const target = path.length > 1 ? path : undefined;
  route.errors.push({ status, upstream, target });
}

function readProvider(reader: Reader, route: Draft, words: string[]): void {
  if (route.provider === undefined) route.provider = words[1];
  else report(reader, "route has multiple providers", words[1], "one provider line");
}

function readRedirect(reader: Reader, route: Draft): void {
  const [name, primary = ""] = ["redirect-to-primary", route.domains[0]];
  const single = `${name} specified with only a single domain`;
  const wildcard = `${name} specified with a wildcard first`;
  if (route.redirectToPrimary) report(reader, `multiple ${name} options specified`, "", "one");
  if (route.domains.length === 1) report(reader, single, primary, "names to redirect from");
  if (primary.startsWith("*.")) report(reader, wildcard, primary, "a name to redirect to");
  route.redirectToPrimary = true;
}

function readFallback(reader: Reader, route: Draft): void {
  const { line, fallbackLine } = reader;
  const lines = `lines ${fallbackLine} and ${line}`;
  if (fallbackLine) report(reader, `multiple fallback routes specified in ${lines}`, "", "one");
  reader.fallbackLine ??= line;
  route.fallback = true;
}

/** The value is quoted and cut: it can neither end a line nor fill a screen, nor drive it. */
function report({ line, problems }: Reader, what: string, value: string, expected: string): void {
  if (problems.length > MAX_PROBLEMS) return;
  const quoted = value === "" ? "" : ` ${quote(value, MAX_QUOTED)}`;
  const message = `${what}${quoted}: expected ${expected}`;
  problems.push({ line, message: problems.length < MAX_PROBLEMS ? message : TOO_MANY });
}

/** The candidate that was likely meant, or all of them. */
function choice(word: string, candidates: readonly string[]): string {
  return nearest(word, candidates) ?? `one of ${candidates.join(", ")}`;
}
