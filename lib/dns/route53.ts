/**
 * The provider `route53`: hosted zones in Amazon Route 53, whose API writes all values of a name at
 * once, in XML, with requests signed by AWS Signature Version 4. A change deletes the set of values
 * that was read and creates the new one in one step: what another program wrote in between makes it
 * fail, and it is done again, instead of being lost. Written from its documentation and from what
 * other clients send; not run against the real service.
 *
 * AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; or those of the profile
 * AWS_PROFILE (default) in AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), read again for each
 * request. No roles: neither the machine's nor AWS_ASSUME_ROLE_ARN. AWS_REGION, AWS_DEFAULT_REGION:
 * tell China and GovCloud from the rest. AWS_HOSTED_ZONE_ID, else the longest public zone with the
 * name's end (private: AWS_PRIVATE_ZONE=true). AWS_MAX_RETRIES (5): tries of a request.
 * AWS_WAIT_FOR_RECORD_SETS_CHANGED (true): until all of the service's servers have the value.
 * AWS_TTL (10), AWS_PROPAGATION_TIMEOUT (120), AWS_POLLING_INTERVAL (4) in seconds. The identity
 * needs the actions in PERMISSIONS. Needs log.ts, number.ts, shared.ts.
 */
import type { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { quote } from "../log.ts";
import { parseDecimal, parseHex } from "../number.ts";
import { perKey } from "../turns.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "./provider.ts";
import {
  call,
  type Env,
  optional,
  propagation,
  readSmallFile,
  seconds,
  unexpected,
  zoneCandidates,
} from "./shared.ts";

const SERVICE = "Route 53";
const VERSION = "2013-04-01";
const NAMESPACE = `https://route53.amazonaws.com/doc/${VERSION}/`;
const PERMISSIONS = "route53:ListHostedZonesByName, route53:ListResourceRecordSets, " +
  "route53:ChangeResourceRecordSets (CREATE and DELETE) and route53:GetChange";

/** Octets of an answer that are parsed: 100 zones have some 100 KiB. */
const MAX_XML = 1024 * 1024;
const MAX_DEPTH = 16; // of elements; answers have 6
const MAX_PAGES = 20; // of 100 zones each; an account has 500 unless it asked for more
const MAX_CONFLICTS = 5; // changes of one name by others, between our reading and writing
const MAX_BACKOFF = 30_000; // milliseconds between tries

/** Where it is asked, and the region that signatures name: one for each of AWS's partitions. */
const PARTITIONS: readonly (readonly [prefix: string, host: string, region: string])[] = [
  ["cn-", "route53.amazonaws.com.cn", "cn-northwest-1"],
  ["us-gov-", "route53.us-gov.amazonaws.com", "us-gov-west-1"],
];
const COMMERCIAL = ["", "route53.amazonaws.com", "us-east-1"] as const;

/** Above all that what is to be deleted isn't as it is said to be, or what is created is there. */
const CONFLICT = "InvalidChangeBatch";
/** Errors that pass: five requests a second for an account are allowed. */
const PASSING = ["Throttling", "ThrottlingException", "PriorRequestNotComplete"];

/** What is to be done about the others, by code. */
const ADVICE: ReadonlyMap<string, string> = new Map([
  ["AccessDenied", `the identity needs ${PERMISSIONS}`],
  ["InvalidClientTokenId", `AWS_ACCESS_KEY_ID must be a key of an identity with ${PERMISSIONS}`],
  ["UnrecognizedClientException", "AWS_ACCESS_KEY_ID or AWS_SESSION_TOKEN isn't known there"],
  ["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY must belong to AWS_ACCESS_KEY_ID"],
  ["ExpiredToken", "AWS_SESSION_TOKEN has ended: get another"],
  ["RequestExpired", "this machine's clock must be right"],
  ["NoSuchHostedZone", "AWS_HOSTED_ZONE_ID must be a zone of this account"],
]);

export interface Credentials {
  readonly id: string;
  readonly secret: string;
  readonly token?: string | undefined;
}

/** Time and waiting, for tests: `now` in milliseconds since the epoch. */
export interface Timing {
  readonly now: () => number;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

const SYSTEM: Timing = { now: Date.now, wait: (ms, signal) => delay(ms, undefined, { signal }) };

/** An element of an answer: text of its own, or elements. */
export interface Element {
  readonly name: string;
  readonly text: string;
  readonly elements: readonly Element[];
}

/** The values of a name, as the service writes them: quoted, with its escapes. */
interface RecordSet {
  readonly ttl: number;
  readonly values: readonly string[];
}

/** A CreateProvider; `timing` for tests. */
export function createProvider(context: ProviderContext, timing: Timing = SYSTEM): DnsProvider {
  const { env } = context;
  const ttl = seconds(env, "AWS_TTL", 10);
  const times = propagation(env, "AWS", { timeout: 120, interval: 4 });
  const waits = flag(env, "AWS_WAIT_FOR_RECORD_SETS_CHANGED", true);
  const zoneIdOf = hostedZones(env);
  const clientOf = clients(context, timing);
  const locked = perKey();

  /** Makes the set of a name what `edit` says; undefined when that is what it is already. */
  const change = (
    name: string,
    ask: Ask,
    edit: (values: readonly string[]) => readonly string[] | undefined,
  ): Promise<string | undefined> =>
    locked(name, async () => {
      const zone = await zoneIdOf(name, ask);
      for (let conflicts = 0;; conflicts++) {
        const before = await recordSet(zone, name, ask);
        const values = edit(before?.values ?? []);
        if (values === undefined) return undefined;
        // A TTL is for all values of a name: not ours to change.
        const after = values.length === 0 ? undefined : { ttl: before?.ttl ?? ttl, values };
        try {
          const body = batch(name, before, after);
          const answer = await ask("POST", `hostedzone/${zone}/rrset`, [], body);
          return resourceId(textOf(answer, "ChangeInfo", "Id"), "change");
        } catch (error) {
          const conflict = error instanceof Route53Error && error.code === CONFLICT;
          if (!conflict || conflicts === MAX_CONFLICTS) throw error;
        }
      }
    });

  /** Until all of the service's servers have it. */
  const inSync = async (id: string, ask: Ask, signal: AbortSignal): Promise<void> => {
    // Counted, for an end whatever the service says.
    for (let left = times.timeout / Math.max(times.interval, 1);; left--) {
      const status = textOf(await ask("GET", `change/${id}`), "ChangeInfo", "Status");
      if (status === "INSYNC") return;
      if (status !== "PENDING") throw unexpected(SERVICE, "status of a change");
      if (left < 1) throw new DnsProviderError(`${SERVICE} still has change ${id} PENDING`);
      await timing.wait(times.interval, signal);
    }
  };

  return {
    propagation: times,
    async present({ name, value }, signal) {
      const ask = clientOf(signal);
      const id = await change(name, ask, (values) => {
        return values.includes(`"${value}"`) ? undefined : [...values, `"${value}"`];
      });
      if (waits && id !== undefined) await inSync(id, ask, signal);
    },
    async cleanUp({ name, value }, signal) {
      await change(name, clientOf(signal), (values) => {
        const others = values.filter((other) => other !== `"${value}"`);
        return others.length === values.length ? undefined : others;
      });
    },
  };
}

/** Answers with the id of the zone that a name is in. */
function hostedZones(env: Env): (name: string, ask: Ask) => Promise<string> {
  const given = optional(env, "AWS_HOSTED_ZONE_ID");
  const kind = flag(env, "AWS_PRIVATE_ZONE", false) ? "private" : "public";
  if (given !== undefined) {
    const id = /^(?:\/hostedzone\/)?([0-9A-Z]{1,32})$/.exec(given)?.[1];
    if (id !== undefined) return async () => id;
    const problem = `invalid AWS_HOSTED_ZONE_ID ${quote(given, 60)}`;
    throw new DnsProviderError(`${problem}: expected capitals and digits: Z0123456789ABCDEFGHIJ`);
  }
  return async (name, ask) => {
    const candidates = zoneCandidates(name);
    const wanted = kind === "private" ? "true" : "false";
    const found = new Map<string, string>();
    for (const zone of await zonesBelow(candidates.at(-1) ?? name, ask)) {
      const its = (textOf(zone, "Name") ?? "").replace(/\.$/, "");
      // Of several with one name the first counts, as in lego.
      if (textOf(zone, "Config", "PrivateZone") === wanted && !found.has(its)) {
        found.set(its, textOf(zone, "Id") ?? "");
      }
    }
    const longest = candidates.find((candidate) => found.has(candidate));
    if (longest !== undefined) return resourceId(found.get(longest), "hostedzone");
    const problem = `no ${kind} hosted zone of this ${SERVICE} account holds ${quote(name, 300)}`;
    throw new DnsProviderError(`${problem}: set AWS_HOSTED_ZONE_ID, or use another account's key`);
  };
}

/**
 * The HostedZone elements from that name on, as long as they are below it: the service sorts by
 * labels from the right, so that those are in one piece.
 */
async function zonesBelow(top: string, ask: Ask): Promise<readonly Element[]> {
  const zones: Element[] = [];
  let start: Query = [["dnsname", top]];
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await ask("GET", "hostedzonesbyname", [...start, ["maxitems", "100"]]);
    const list = child(answer, "HostedZones");
    if (list === undefined) throw unexpected(SERVICE, "list of hosted zones");
    zones.push(...list.elements);
    if (textOf(answer, "IsTruncated") !== "true") return zones;
    const next = textOf(answer, "NextDNSName") ?? "";
    if (!/^[!-~]{1,1024}$/.test(next)) throw unexpected(SERVICE, "name of the next zone");
    if (!`.${next}`.replace(/\.$/, "").endsWith(`.${top}`)) return zones;
    const nextId = resourceId(textOf(answer, "NextHostedZoneId"), "hostedzone");
    start = [["dnsname", next], ["hostedzoneid", nextId]];
  }
  throw new DnsProviderError(
    `more than ${MAX_PAGES * 100} hosted zones below ${top}: set AWS_HOSTED_ZONE_ID`,
  );
}

/** The TXT values of a name; undefined when it has none. */
async function recordSet(zone: string, name: string, ask: Ask): Promise<RecordSet | undefined> {
  // The list starts at the first set that isn't before this one: it is that one, or not there.
  const query: Query = [["maxitems", "1"], ["name", name], ["type", "TXT"]];
  const answer = await ask("GET", `hostedzone/${zone}/rrset`, query);
  const sets = child(answer, "ResourceRecordSets");
  if (sets === undefined) throw unexpected(SERVICE, "list of record sets");
  const set = sets.elements.find((item) => {
    return textOf(item, "Name") === `${name}.` && textOf(item, "Type") === "TXT";
  });
  if (set === undefined) return undefined;
  if (textOf(set, "SetIdentifier") !== undefined) {
    const problem = `the TXT records of ${quote(name, 300)} have a routing policy`;
    throw new DnsProviderError(`${problem}: expected simple ones, or none`);
  }
  const records = child(set, "ResourceRecords")?.elements ?? [];
  const ttl = parseDecimal(textOf(set, "TTL") ?? "", 2 ** 31 - 1);
  const values = records.map((record) => textOf(record, "Value") ?? "");
  if (ttl === undefined || values.length === 0 || values.includes("")) {
    throw unexpected(SERVICE, "values");
  }
  return { ttl, values };
}

/** A ChangeBatch: all of it is done or nothing. What is deleted must be as it is said to be. */
function batch(
  name: string,
  before: RecordSet | undefined,
  after: RecordSet | undefined,
): string {
  const one = (action: string, set: RecordSet | undefined): string => {
    if (set === undefined) return "";
    const values = set.values.map((value) =>
      element("ResourceRecord", element("Value", escape(value)))
    );
    const parts = element("Name", escape(`${name}.`)) + element("Type", "TXT") +
      element("TTL", String(set.ttl)) + element("ResourceRecords", values.join(""));
    return element("Change", element("Action", action) + element("ResourceRecordSet", parts));
  };
  const changes = element("Changes", one("DELETE", before) + one("CREATE", after));
  const root = "ChangeResourceRecordSetsRequest";
  const content = element("ChangeBatch", changes);
  return `<?xml version="1.0" encoding="UTF-8"?><${root} xmlns="${NAMESPACE}">${content}</${root}>`;
}

const element = (name: string, content: string): string => `<${name}>${content}</${name}>`;

/** One request; answers with the root element. */
type Ask = (
  method: "GET" | "POST",
  path: string,
  query?: Query,
  body?: string,
) => Promise<Element>;

type Query = readonly (readonly [name: string, value: string])[];

/** What the service refused, with its own code: `InvalidChangeBatch`. */
class Route53Error extends DnsProviderError {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Signs requests, and repeats those that a passing error met. */
function clients(
  { env, http }: ProviderContext,
  { now, wait }: Timing,
): (signal: AbortSignal) => Ask {
  credentials(env); // those that lack are told at once
  const region = optional(env, "AWS_REGION", "AWS_DEFAULT_REGION") ?? "";
  const partition = PARTITIONS.find(([prefix]) => region.startsWith(prefix)) ?? COMMERCIAL;
  const [, host, signingRegion] = partition;
  const tries = Math.max(seconds(env, "AWS_MAX_RETRIES", 5), 1);
  const scope = { service: "route53", region: signingRegion };

  return (signal) => async (method, path, query = [], body = "") => {
    const url = `https://${host}/${VERSION}/${path}${canonicalQuery(query)}`;
    const type = method === "POST" ? ["Content-Type", "application/xml"] : [];
    for (let attempt = 1;; attempt++) {
      const keys = credentials(env);
      const fields = sign({ method, url, fields: type, body }, keys, scope, new Date(now()));
      const { status, body: answer } = await call(http, {
        ...{ method, url, fields, signal, service: SERVICE, accept: REFUSALS },
        ...(method === "POST" && { body }),
      });
      if (status <= 299) return parseXml(answer);
      const error = refusal(status, answer, keys);
      const passing = PASSING.includes(error.code) || status === 429 || status >= 500;
      if (!passing || error.code === CONFLICT || attempt >= tries) throw error;
      // 400 to 500 ms at first, as lego has it; doubled each time.
      await wait(Math.min(2 ** attempt * (200 + Math.random() * 50), MAX_BACKOFF), signal);
    }
  };
}

const REFUSALS: readonly number[] = [400, 403, 404, 409, 413, 429, 500, 502, 503, 504];

/** An error from `<ErrorResponse><Error><Code>…` or `<InvalidChangeBatch><Messages><Message>…`. */
function refusal(status: number, body: Buffer, keys: Credentials): Route53Error {
  let root: Element | undefined;
  try {
    root = parseXml(body);
  } catch {
    // A page of something in between: the status has to do.
  }
  const inner = root && child(root, "Error");
  const given = (inner ? textOf(inner, "Code") : root?.name) ?? "";
  const code = /^[A-Z][A-Za-z.]{1,60}$/.test(given) ? given : "";
  const said = inner ? textOf(inner, "Message") : root && textOf(root, "Messages", "Message");
  // Only the first line: after it come the request's fields, for signatures that don't match.
  let words = said?.trim().split("\n")[0] ?? "";
  for (const secret of [keys.secret, keys.token ?? ""]) {
    if (secret !== "") words = words.replaceAll(secret, "(hidden)");
  }
  const advice = ADVICE.get(code) ?? (status === 403 ? ADVICE.get("AccessDenied") : undefined);
  const what = status === 403 ? "refused the credentials" : "refused the request";
  const told = `${SERVICE} ${what} (${[status, code].join(" ").trim()})`;
  const end = words === "" ? "" : `; it says ${quote(words, 300)}`;
  return new Route53Error(code, `${told}${advice === undefined ? "" : `: ${advice}`}${end}`);
}

/** From the variables, else from the shared file. Throws DnsProviderError when neither has them. */
function credentials(env: Env): Credentials {
  const id = optional(env, "AWS_ACCESS_KEY_ID");
  const secret = optional(env, "AWS_SECRET_ACCESS_KEY");
  if (optional(env, "AWS_ASSUME_ROLE_ARN") !== undefined) {
    throw new DnsProviderError("AWS_ASSUME_ROLE_ARN isn't supported: use a key of the role itself");
  }
  if (id !== undefined && secret !== undefined) {
    return { id, secret, token: optional(env, "AWS_SESSION_TOKEN") };
  }
  if (id !== undefined || secret !== undefined) {
    const missing = id === undefined ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY";
    throw new DnsProviderError(`${missing} is not set, but the other one is: both are needed`);
  }
  const given = optional(env, "AWS_SHARED_CREDENTIALS_FILE");
  const path = given ?? join(homedir(), ".aws", "credentials");
  const profile = optional(env, "AWS_PROFILE") ?? "default";
  try {
    return sharedCredentials(readSmallFile("AWS_SHARED_CREDENTIALS_FILE", path), profile);
  } catch (cause) {
    if (given !== undefined && cause instanceof DnsProviderError) throw cause;
    const needs = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set";
    const place = `${quote(path)} has no keys for profile ${quote(profile, 60)}`;
    throw new DnsProviderError(`${needs}, and ${place}: the DNS provider needs them`, { cause });
  }
}

/** A profile of `~/.aws/credentials`: `[name]`, then `key = value` lines. */
export function sharedCredentials(text: string, profile: string): Credentials {
  let section = "";
  const values = new Map<string, string>();
  for (const line of text.split("\n").map((raw) => raw.trim())) {
    const head = /^\[([^\]]*)\]/.exec(line)?.[1];
    if (head !== undefined) section = head.trim();
    const at = line.indexOf("=");
    if (section !== profile || at < 1 || /^[#;[]/.test(line)) continue;
    const value = line.slice(at + 1).trim();
    if (/^[!-~]+$/.test(value)) values.set(line.slice(0, at).trim().toLowerCase(), value);
  }
  const id = values.get("aws_access_key_id");
  const secret = values.get("aws_secret_access_key");
  if (id && secret) return { id, secret, token: values.get("aws_session_token") };
  throw new DnsProviderError(
    `profile ${quote(profile, 60)} in the shared credentials file (AWS_SHARED_CREDENTIALS_FILE) ` +
      "lacks keys: expected aws_access_key_id and aws_secret_access_key",
  );
}

/** What is signed. The path has only characters that need no encoding, the query is canonical. */
export interface Signable {
  readonly method: string;
  readonly url: string;
  /** Flat, without Host; all of them are signed. */
  readonly fields: readonly string[];
  readonly body: string;
}

/** AWS Signature Version 4: the fields, with X-Amz-Date and Authorization. */
export function sign(
  { method, url, fields, body }: Signable,
  { id, secret, token }: Credentials,
  { region, service }: { readonly region: string; readonly service: string },
  date: Date,
): string[] {
  const { host, pathname, search } = new URL(url);
  const time = date.toISOString().replace(/[:-]|\.\d{3}/g, "");
  const sent = [...fields, "X-Amz-Date", time];
  if (token !== undefined) sent.push("X-Amz-Security-Token", token);
  const signed = ["host", host, ...sent].flatMap((name, at, all) => {
    return at % 2 === 0 ? [[name.toLowerCase(), all[at + 1].trim().replace(/ +/g, " ")]] : [];
  }).sort(([a], [b]) => a < b ? -1 : 1);
  const names = signed.map(([name]) => name).join(";");
  const lines = signed.map(([name, value]) => `${name}:${value}\n`).join("");
  const canonical = [method, pathname, search.slice(1), lines, names, sha256(body)].join("\n");
  const scope = [time.slice(0, 8), region, service, "aws4_request"];
  const toSign = ["AWS4-HMAC-SHA256", time, scope.join("/"), sha256(canonical)].join("\n");
  const key = scope.reduce<string | Buffer>((key, part) => hmac(key, part), `AWS4${secret}`);
  const signature = hmac(key, toSign).toString("hex");
  const credential = `AWS4-HMAC-SHA256 Credential=${id}/${scope.join("/")}`;
  sent.push("Authorization", `${credential}, SignedHeaders=${names}, Signature=${signature}`);
  return sent;
}

/** `?a=b&c=d`, sorted and encoded as signatures need it; empty without any. */
export function canonicalQuery(query: Query): string {
  const pairs = query.map(([name, value]) => [name, value].map(encode)).sort(([a], [b]) => {
    return a < b ? -1 : 1;
  });
  return pairs.length === 0 ? "" : `?${pairs.map((pair) => pair.join("=")).join("&")}`;
}

/** RFC 3986 section 2.3: all but the unreserved characters. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  });
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac("sha256", key).update(text).digest();

/** Text, an end tag, or a start tag with its attributes, of which nothing is used. */
const TOKEN = /([^<]+)|<\/([A-Za-z]\w*)\s*>|<([A-Za-z]\w*)(?:\s+[\w:]+="[^"<]*")*\s*(\/?)>/gy;
const ENTITIES: ReadonlyMap<string, string> = new Map(
  [["amp", "&"], ["lt", "<"], ["gt", ">"], ["quot", '"'], ["apos", "'"]],
);

/**
 * The root element of what the service sends: elements, attributes, text and an XML declaration. No
 * comments, CDATA, instructions or document types: it sends none, and a document type can expand
 * without end. Throws DnsProviderError.
 */
export function parseXml(body: Uint8Array & { toString(): string }): Element {
  const wrong = unexpected(SERVICE, "XML");
  if (body.length > MAX_XML) throw wrong;
  const text = body.toString().replace(/^\uFEFF?<\?xml[^<>]*\?>/, "").trim();
  const open = [{ name: "", text: "", elements: [] as Element[] }];
  const [root] = open;
  let read = 0;
  for (const [whole, chars, end, start, empty] of text.matchAll(TOKEN)) {
    const current = open[open.length - 1];
    if (current === root && (start === undefined || root.elements.length > 0)) throw wrong;
    if (chars !== undefined) current.text += unescape(chars);
    if (end !== undefined && open.pop()?.name !== end) throw wrong;
    if (start !== undefined) {
      const item = { name: start, text: "", elements: [] };
      current.elements.push(item);
      if (empty === "" && open.push(item) > MAX_DEPTH) throw wrong;
    }
    read += whole.length;
  }
  if (read < text.length || open.length > 1 || root.elements.length === 0) throw wrong;
  return root.elements[0];
}

function unescape(text: string): string {
  return text.replace(/&([^;]{0,10})(;?)/g, (_, name: string, end: string) => {
    const hex = name.startsWith("#x") ? parseHex(name.slice(2), 0x10ffff) : undefined;
    const code = name.startsWith("#") ? hex ?? parseDecimal(name.slice(1), 0x10ffff) : undefined;
    const found = code === undefined ? ENTITIES.get(name) : String.fromCodePoint(code);
    if (found === undefined || end === "") throw unexpected(SERVICE, "XML");
    return found;
  });
}

/** Markup and what XML doesn't keep as it is, as numbers. */
function escape(text: string): string {
  return text.replace(/[<>&"'\t\r\n]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** The first element down that path. */
function child(parent: Element, ...path: readonly string[]): Element | undefined {
  let at: Element | undefined = parent;
  for (const name of path) at = at?.elements.find((item) => item.name === name);
  return at;
}

const textOf = (parent: Element, ...path: readonly string[]): string | undefined =>
  child(parent, ...path)?.text;

/** Without `/hostedzone/` or `/change/`; throws unless it is one: ids get into URLs. */
function resourceId(text: string = "", kind: string): string {
  const id = text.startsWith(`/${kind}/`) ? text.slice(kind.length + 2) : text;
  if (/^[0-9A-Za-z]{1,32}$/.test(id)) return id;
  throw unexpected(SERVICE, `id of a ${kind}`);
}

function flag(env: Env, name: string, fallback: boolean): boolean {
  const value = optional(env, name)?.toLowerCase();
  if (value === undefined) return fallback;
  if (["true", "t", "1"].includes(value)) return true;
  if (["false", "f", "0"].includes(value)) return false;
  throw new DnsProviderError(`invalid ${name} ${quote(value, 40)}: expected true or false`);
}
