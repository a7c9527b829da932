/**
 * Names, addresses and authorities: `example.com`, `[::1]:8080`, `10.0.0.0/8`. Pure; needs
 * number.ts, `node:net` (isIP, BlockList) and `node:url` (domainToASCII).
 *
 * Domain names are LDH labels (RFC 1034 3.5, RFC 5890 2.3.1) and `_`, which containers and service
 * names use. Nothing that any resolver may read as an IPv4 address is a domain name. The Host
 * field is read by RFC 3986 3.2.2 and RFC 9110 7.2 with no percent-encoding, no userinfo and no
 * list: two programs that disagree on a host serve each other's pages.
 */
import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";
import { domainToASCII } from "node:url";
import { parseDecimal } from "./number.ts";

/** Characters in a name without its last dot: 255 octets on the wire (RFC 1035 2.3.4). */
export const MAX_NAME = 253;
/** UTF-16 units of a name in Unicode; Punycode takes time quadratic in the length of a label. */
const MAX_UNICODE_NAME = 1024;
const MAX_PORT = 65_535;

const LABEL = "(?!-)[a-z0-9_-]{1,63}(?<!-)";
const DOMAIN_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`, "i");
/** inet_aton() reads these as the end of an IPv4 address: `127.1`, `2130706433`, `0x7f.0x1`. */
const NUMBER_LAST = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/i;
/** What a name in Unicode may be made of: of ASCII only letters, digits, `_`, `-` and the dot. */
const UNICODE_NAME = /^[\w.\-\u{80}-\u{10ffff}]*$/u;

/** A host without brackets, and its port if there was one. */
export type HostPort = { readonly host: string; readonly port: number | undefined };

/** The host of a request: lower case, without its last dot; an IPv6 address keeps its brackets. */
export type Authority = { readonly name: string; readonly port: number | undefined };

/** IP networks. */
export interface AddressSet {
  /** False for text that is no IP address; an IPv4-mapped address is the IPv4 address it holds. */
  has(address: string): boolean;
}

/** LDH and `_`, labels of 1 to 63, at most 253 in all; no last dot, no `*`, never an address. */
export function isDomainName(name: string): boolean {
  return name.length <= MAX_NAME && DOMAIN_NAME.test(name) && !NUMBER_LAST.test(name);
}

/**
 * The one spelling of a domain name: lower case, A-labels (RFC 5890 2.3.2.1), no last dot;
 * undefined when it isn't a domain name. Idempotent. A few capitals and new scripts map differently
 * from one runtime's Unicode to the next (`ẞ` was `ss` before Node 24); A-labels never do.
 */
export function toDomainName(text: string): string | undefined {
  // UTS 46 does its own case mapping: lower-casing a name in Unicode first would change some.
  const isUnicode = /[^\0-\x7f]/.test(text);
  if (isUnicode && (text.length > MAX_UNICODE_NAME || !UNICODE_NAME.test(text))) return undefined;
  const ascii = isUnicode ? domainToASCII(text) : text.toLowerCase();
  const name = ascii.endsWith(".") ? ascii.slice(0, -1) : ascii;
  return isDomainName(name) ? name : undefined;
}

/**
 * `*.example.com` for a name right below one of the domains (which may be written with the `*.`);
 * names that become equal once, where the first one was.
 */
export function foldWildcards(names: readonly string[], wildcards: readonly string[]): string[] {
  const domains = wildcards.map((domain) => domain.toLowerCase().replace(/^\*?\./, ""));
  const isBelow = (name: string) =>
    domains.includes(name.slice(name.indexOf(".") + 1).toLowerCase());
  const folded = names.map((name) => isBelow(name) ? name.replace(/^[^.]*/, "*") : name);
  return [...new Set(folded)];
}

/** The same for the same subject, which is first, and the same other names in any order. */
export function namesKey([subject = "", ...others]: readonly string[]): string {
  return [subject, ...others.toSorted()].join(" ");
}

/**
 * `host`, `host:port`, `[v6]` or `[v6]:port`, port 1 to 65535; otherwise undefined. What is in
 * brackets is an IPv6 address (with a zone, perhaps); any other host is the caller's to judge. An
 * IPv6 address without brackets is undefined: `::1:80` could be a host and a port, or neither.
 */
export function splitHostPort(text: string): HostPort | undefined {
  const literal = text.startsWith("[");
  const colon = text.indexOf(":", literal ? text.indexOf("]") : 0);
  const end = colon < 0 ? text.length : colon;
  const host = literal ? text.slice(1, end - 1) : text.slice(0, end);
  if (literal ? text[end - 1] !== "]" || !isIPv6(host) : host === "") return undefined;
  if (colon < 0) return { host, port: undefined };
  const port = parseDecimal(text.slice(colon + 1), MAX_PORT);
  return port ? { host, port } : undefined; // port 0 can't be connected to
}

/** The inverse of splitHostPort(): `host:port`, an IPv6 address in brackets. */
export function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * A Host field or `:authority` (RFC 9110 7.2): letters, digits, `-`, `_` and dots, or an IPv6
 * address in brackets, then perhaps a colon and perhaps a port (RFC 3986 3.2.3 allows `host:`).
 * Undefined for anything else. Runs once a request: one pass, nothing allocated but the answer.
 */
export function parseHost(text: string): Authority | undefined {
  if (text.charCodeAt(0) === 0x5b) return parseLiteral(text);
  let end = 0;
  let lower = true;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code >= 0x61 && code <= 0x7a) continue; // a-z
    if (code === 0x2d || code === 0x2e || code === 0x5f) continue; // - . _
    if (code >= 0x30 && code <= 0x39) continue; // 0-9
    if (code === 0x3a) break;
    if (code < 0x41 || code > 0x5a) return undefined;
    lower = false;
  }
  // "example.com." is the same host as "example.com" (RFC 3986 3.2.2).
  const name = text.slice(0, text.charCodeAt(end - 1) === 0x2e ? end - 1 : end);
  return name === "" ? undefined : withPort(lower ? name : name.toLowerCase(), text, end);
}

/** IP-literal without zone (RFC 6874's `%25` has no meaning at a server) and without IPvFuture. */
function parseLiteral(text: string): Authority | undefined {
  const end = text.indexOf("]") + 1;
  const address = text.slice(1, end - 1);
  if (end === 0 || address.includes("%") || !isIPv6(address)) return undefined;
  if (end < text.length && text.charCodeAt(end) !== 0x3a) return undefined;
  return withPort(`[${address.toLowerCase()}]`, text, end);
}

/** `end` is where the colon is, or the text ends. */
function withPort(name: string, text: string, end: number): Authority | undefined {
  if (end + 1 >= text.length) return { name, port: undefined };
  const port = parseDecimal(text.slice(end + 1), MAX_PORT);
  return port === undefined ? undefined : { name, port };
}

/**
 * A socket's address as people write it: `::ffff:192.0.2.1`, which a dual-stack listener reports
 * for IPv4 (RFC 4291 2.5.5.2), is `192.0.2.1`, and `fe80::1%eth0` has no zone. The rest unchanged.
 */
export function canonicalAddress(address: string): string {
  const zone = address.indexOf("%");
  const bare = zone > 0 && isIPv6(address) ? address.slice(0, zone) : address;
  const mapped = /^::ffff:([0-9.]+)$/i.exec(bare)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : bare;
}

/** An IP address in its one spelling (RFC 5952), as the URL parser writes it; without a zone. */
export const spellAddress = (address: string): string =>
  isIPv4(address) ? address : new URL(`http://[${address}]`).hostname.slice(1, -1);

/**
 * A comma-separated list of networks (`10.0.0.0/8`) and single addresses; spaces and empty items
 * don't count. Throws an Error that names the item. Bits below the prefix don't matter.
 */
export function parseNetworks(text: string): AddressSet {
  // One list a family: Node holds 192.0.2.1 to be in ::/0 and Deno doesn't (Node 20 to 26, Deno
  // 2.9). Within a list both see through IPv4-mapped addresses, so those belong to the first.
  const [ipv4, ipv6, mapped] = [new BlockList(), new BlockList(), new BlockList()];
  mapped.addSubnet("::ffff:0:0", 96, "ipv6");
  const items = text.split(",").map((item) => item.trim()).filter((item) => item !== "");
  for (const item of items) {
    const { address, prefix, family } = parseNetwork(item);
    const isIpv4 = family === "ipv4" || (prefix >= 96 && mapped.check(address, "ipv6"));
    (isIpv4 ? ipv4 : ipv6).addSubnet(address, prefix, family);
  }
  const has = (address: string): boolean => {
    const bare = canonicalAddress(address);
    if (isIPv4(bare)) return ipv4.check(bare, "ipv4");
    return isIPv6(bare) && (mapped.check(bare, "ipv6") ? ipv4 : ipv6).check(bare, "ipv6");
  };
  return { has };
}

/** RFC 4632 3.1 and RFC 4291 2.3; the prefix has no leading zero, which some read as octal. */
function parseNetwork(
  item: string,
): { address: string; prefix: number; family: "ipv4" | "ipv6" } {
  const slash = item.indexOf("/");
  const address = slash < 0 ? item : item.slice(0, slash);
  const family = isIPv4(address) ? "ipv4" : "ipv6";
  const bits = family === "ipv4" ? 32 : 128;
  const digits = slash < 0 ? String(bits) : item.slice(slash + 1);
  const prefix = /^0./.test(digits) ? undefined : parseDecimal(digits, bits);
  if (isIP(address) === 0 || address.includes("%") || prefix === undefined) {
    const quoted = JSON.stringify(item);
    throw new Error(`invalid network ${quoted}: expected an IP address or a block: 10.0.0.0/8`);
  }
  return { address, prefix, family };
}
