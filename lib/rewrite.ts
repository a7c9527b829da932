/**
 * What a proxy changes in a head on its way through: fields that concern one connection go no
 * further (RFC 9110 section 7.6.1), fields that only a proxy may set are set, route rules apply.
 * Everything else keeps its bytes, case, order and duplicates. Pure; needs `http1.ts`.
 */
import type { Client } from "./exchange.ts";
import {
  CHUNKED,
  type FieldLines,
  FieldTable,
  fieldValue,
  listItems,
  type RequestHead,
  type ResponseHead,
} from "./http1.ts";
import { parseDecimal } from "./number.ts";
import type { HeaderRule } from "./routes.ts";

/** What happens to a field, by its lower-case name; others pass unless Connection says. */
const DROP = 1, KEEP = 2, HOST = 3, FORWARDED_FOR = 4, FORWARDS = 5, DATE = 6;

/** RFC 9110 sections 7.6.1 and 11.7, and what came before it; `Trailer` stays, as trailers do. */
const HOP_BY_HOP = dropped(
  "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te " +
    "transfer-encoding upgrade",
);

/** Who the client is: an upstream believes these, so a client must not be able to say them. */
const IDENTITY = dropped(
  "forwarded x-real-ip true-client-ip x-forwarded-host x-forwarded-proto tailscale-user-login " +
    "tailscale-user-name tailscale-user-profile-pic tailscale-headers-info " +
    "tailscale-app-capabilities tailscale-funnel-request",
).set("x-forwarded-for", FORWARDED_FOR);

/** A length is the message's own, whatever Connection says of it. */
const REQUEST_FIELDS = new Map([...HOP_BY_HOP, ...IDENTITY])
  .set("host", HOST).set("content-length", KEEP).set("max-forwards", FORWARDS);
const RESPONSE_FIELDS = new Map(HOP_BY_HOP).set("content-length", KEEP).set("date", DATE);

/** A trailer must not frame, route or authenticate (RFC 9110 section 6.5.1), nor say who it is. */
const NOT_IN_TRAILERS = dropped(
  "authorization content-encoding content-range content-type cookie expect set-cookie trailer",
);

const REQUEST_TABLE = new FieldTable(REQUEST_FIELDS);
const RESPONSE_TABLE = new FieldTable(RESPONSE_FIELDS);

/** The fields of a request as the upstream gets them. */
export function upstreamFields(head: RequestHead, client: Client): string[] {
  const { fields, connection, authority } = head;
  const out: string[] = [];
  let forwardedFor = "";
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i], value = fields[i + 1];
    switch (requestAction(name, connection)) {
      case DROP:
        break;
      case HOST:
        out.push(name, authority);
        break;
      case FORWARDED_FOR:
        forwardedFor += value + ", ";
        break;
      case FORWARDS:
        out.push(name, forwardsLeft(head.method, value));
        break;
      default:
        out.push(name, value);
    }
  }
  const { trusted, address } = client;
  out.push("X-Forwarded-For", trusted ? forwardedFor + address : address);
  out.push("X-Forwarded-Host", trusted && fieldValue(fields, "x-forwarded-host") || authority);
  const proto = trusted && fieldValue(fields, "x-forwarded-proto") || client.scheme;
  out.push("X-Forwarded-Proto", proto);
  if (head.length === CHUNKED) out.push("Transfer-Encoding", "chunked");
  pushConnectionFields(head, out);
  return out;
}

/** RFC 9110 section 7.6.2: of these two methods it counts the proxies; 0 has been answered. */
function forwardsLeft(method: string, value: string): string {
  const left = method === "OPTIONS" || method === "TRACE" ? parseDecimal(value) : undefined;
  return left ? `${left - 1}` : value;
}

function requestAction(name: string, connection: readonly string[]): number | undefined {
  const action = REQUEST_TABLE.get(name);
  if (action !== undefined) return action;
  // CGI and its heirs can't tell X_Real_IP from X-Real-IP, nor Content_Length from the length.
  if (name.includes("_") && REQUEST_TABLE.get(name.replaceAll("_", "-")) !== undefined) return DROP;
  return isOption(name, connection) ? DROP : undefined;
}

/** Whether Connection has a field's name in it; hardly ever is one of the right length there. */
function isOption(name: string, connection: readonly string[]): boolean {
  const { length } = name;
  for (const option of connection) {
    if (option.length === length) return connection.includes(name.toLowerCase());
  }
  return false;
}

/**
 * The proxy's own Connection field. An Upgrade passes, but not to h2c: over TLS it isn't allowed
 * (RFC 9113 section 3.1), and it would carry requests past the proxy unseen.
 */
function pushConnectionFields(head: RequestHead, out: string[]): void {
  if (head.upgrade !== undefined && !listItems(head.upgrade).includes("h2c")) {
    out.push("Connection", "Upgrade", "Upgrade", head.upgrade);
  } else if (listItems(fieldValue(head.fields, "te") ?? "").includes("trailers")) {
    out.push("Connection", "TE", "TE", "trailers");
  }
}

/** The fields of an answer as the client gets them, with the route's rules applied. */
export function clientFields(
  head: ResponseHead,
  rules: readonly HeaderRule[],
  date: string,
): string[] {
  const { fields, connection } = head;
  const out: string[] = [];
  let dated = head.status < 200;
  const sized = head.length !== CHUNKED && head.status >= 200 && head.status !== 204;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    const action = RESPONSE_TABLE.get(name);
    if (action === undefined ? isOption(name, connection) : action === DROP) continue;
    if (action === KEEP && !sized) continue;
    if (action === DATE) dated = true;
    out.push(name, fields[i + 1]);
  }
  // Whoever forwards an answer without a date adds one (RFC 9110 section 6.6.1).
  if (!dated) out.push("Date", date);
  if (head.status === 101 && head.upgrade !== undefined) {
    out.push("Connection", "Upgrade", "Upgrade", head.upgrade);
  }
  return rules.length === 0 ? out : applyRules(out, rules);
}

/** Trailer fields that may pass. */
export function trailerFields(trailers: FieldLines): FieldLines {
  if (trailers.length === 0) return trailers;
  const mayNot = (name: string) => REQUEST_FIELDS.has(name) || NOT_IN_TRAILERS.has(name);
  return withoutFields(trailers, (lower) => mayNot(lower.replaceAll("_", "-")));
}

/** Applies header rules in their order; `default` takes an empty value for an absent one. */
export function applyRules(fields: string[], rules: readonly HeaderRule[]): string[] {
  for (const { operation, name, key, value } of rules) {
    const present = (at: string, i: number) =>
      i % 2 === 0 && at.toLowerCase() === key && fields[i + 1] !== "";
    if (operation === "default" && fields.some(present)) continue;
    if (operation !== "add") fields = withoutFields(fields, (lower) => lower === key);
    if (operation !== "delete") fields.push(name, value);
  }
  return fields;
}

function withoutFields(fields: FieldLines, drop: (lower: string) => boolean): string[] {
  const out: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (!drop(fields[i].toLowerCase())) out.push(fields[i], fields[i + 1]);
  }
  return out;
}

function dropped(names: string): Map<string, number> {
  return new Map(names.split(" ").map((name) => [name, DROP]));
}
