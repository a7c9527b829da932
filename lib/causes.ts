/**
 * Why there is no certificate, in words for a person: the CA's problem (RFC 8555 section 6.7) or an
 * error of ours, told apart by type and by the wording of Let's Encrypt's and Pebble's servers.
 * Needs addr.ts, log.ts, the types of acme.ts and resolver.ts, and the clock.
 *
 * What a CA says is a stranger's text, and holds others' in turn: it is cut, quoted, and matched by
 * regular expressions that take linear time.
 */
import { isIP } from "node:net";
import type { Problem } from "./acme.ts";
import { isDomainName, MAX_NAME, parseNetworks } from "./addr.ts";
import type { CaaRecord } from "./dnsmsg.ts";
import { errorText, quote } from "./log.ts";
import type { Resolver, TxtAnswer } from "./resolver.ts";

const MAX_DETAIL = 2_000; // UTF-16 units that are looked at
const MAX_SHOWN = 300; // of which a message shows so many
const MAX_ITEMS = 4; // names, addresses and servers in a message
const DAY = 24 * 60 * 60 * 1000;
const MAX_WAIT = 31 * DAY; // that a CA may ask for
const NAMESPACE = "urn:ietf:params:acme:error:";

/** What went wrong. What isn't known is left out. */
export interface Failure {
  readonly names: readonly string[];
  /** Host of the CA's directory. */
  readonly ca: string;
  /** `http-01` … and the name that it was for. */
  readonly challenge?: string | undefined;
  readonly name?: string | undefined;
  /** What the CA answered; it goes before `error`, which is of the network, the disk, DNS … */
  readonly problem?: Problem | undefined;
  readonly error?: Error | undefined;
  /** Where this machine listens. */
  readonly ports?: { readonly http: number; readonly https: number } | undefined;
  /** Of the name, by other challenges. */
  readonly earlier?: readonly unknown[] | undefined;
  /** From here: what the name resolves to, what each server says its TXT records are, CAA. */
  readonly seen?: {
    readonly addresses?: readonly string[] | undefined;
    readonly txt?: readonly TxtAnswer[] | undefined;
    readonly caa?: Awaited<ReturnType<Resolver["caa"]>> | undefined;
  } | undefined;
  readonly retryAt?: Date | undefined;
  /** Of the certificate that is served meanwhile. */
  readonly notAfter?: Date | undefined;
}

/**
 * `backoff`: later each time; `soon`: the CA was asked for nothing that it counts;
 * `never-until-change`: only when the configuration or DNS has changed.
 */
export type Retry = "backoff" | "soon" | "never-until-change";

export interface Explanation {
  /** Stable, for programs: `port-unreachable`. */
  readonly cause: string;
  /** What is wrong, and what to do: a sentence each, of printable characters. */
  readonly message: string;
  readonly advice: string;
  readonly retry: Retry;
  /** Not before this, however `retry` has it. */
  readonly retryAt?: Date;
  /** Whether another CA may do better. Never for what is wrong with a name. */
  readonly otherCa: boolean;
}

const [LATER, SOON, NEVER, OTHER_CA] = ["backoff", "soon", "never-until-change", true] as const;

/** What the ACME client says of an answer that is no directory, though no server error either. */
export const NO_DIRECTORY = /answered directory with (200|404)/;

type Rule = readonly [cause: string, words: RegExp, retry?: Retry, otherCa?: boolean];
/** Matched against ACME's short type, a space and the detail; the first one counts. */
const PROBLEMS: readonly Rule[] = [
  ["paused", /temporarily prevented from requesting/i, LATER, OTHER_CA],
  ["rate-limited", /^rateLimited /, LATER, OTHER_CA],
  ["ca-down", /^serverInternal /, LATER, OTHER_CA],
  ["terms-changed", /^userActionRequired /],
  ["account-refused", /^(accountDoesNotExist|invalidContact|unsupportedContact) /],
  ["account-refused", /^unauthorized .*\baccount .{0,60}(deactivated|revoked|not valid)/is],
  ["binding-refused", /^externalAccountRequired |external account|'kid' references/i, NEVER],
  ["profile-refused", /^(invalidProfile|bad(CSR|PublicKey|SignatureAlgorithm)) /, NEVER],
  ["profile-refused", /certificate profile|not permit IP \w+ identifiers/i, NEVER],
  ["caa-unanswered", /looking up CAA|^dns .*\bCAA\b/s],
  ["caa-forbids", /^caa /, NEVER],
  ["name-refused", /^(rejected|unsupported)Identifier |public suffix|forbidden by policy/i, NEVER],
  ["txt-missing", /no TXT record|NXDOMAIN looking up TXT/i],
  ["txt-wrong", /incorrect TXT record|correct value not found for DNS/i],
  ["name-unresolved", /NXDOMAIN|no valid A records|could not resolve|no IP addresses found/i],
  ["dns-unanswered", /^dns |SERVFAIL|DNSSEC|retrieving TXT|occurred while resolving/i],
  ["access-refused", /^\w* During secondary validation: |(: |returned )40[13]$/],
  ["redirect-broken", /redirect loop|too many redirects|redirect target|10 redirects/i],
  ["ipv6-elsewhere", /^(connection|unauthorized|tls|incorrectResponse) [0-9a-f]*:[0-9a-f:.]+: /],
  ["tls-elsewhere", /^tls |ALPN protocol|validation certificate|only speaks HTTP/i],
  ["port-unreachable", /^connection |failed to connect/i],
  ["points-elsewhere", /^incorrectResponse |response from|non-200 status|key authorization/i],
];
/** Matched against our own error's words: of the CA, of the DNS provider, or of neither. */
const ERRORS: readonly Rule[] = [
  ["file-unusable", /can't be used: |unable to write to|E(ACCES|PERM|ROFS|NOSPC|DQUOT): /, SOON],
  ["dns-unseen", /TXT record at .{0,300} isn't seen/],
  ["timed-out", /due to timeout|Signal timed out/, LATER, OTHER_CA],
  ["challenge-missing", / can be proved by .{0,200} only, not by /, NEVER],
  ["binding-refused", /base64url/, NEVER],
  ["directory-wrong", NO_DIRECTORY, SOON], // or a page of what is in between, for a while
];
const CA_ERRORS: readonly Rule[] = [
  ["ca-untrusted", /its certificate /, SOON],
  ["ca-unreachable", /^/, SOON, OTHER_CA],
];
const PROVIDER_ERRORS: readonly Rule[] = [["dns-provider", /^/]];
const UNKNOWN: Rule = ["unknown", /^/];

/** What is wrong, before the quotation; what to do. In braces: what is known of the failure. */
const TEXTS = `
paused: {ca} has paused this account for {name}, after many failures one after another
  Find out why it failed, and then lift the pause{served}.{link}
rate-limited: {ca} limits how much it does for {name} at a time
  Wait; see why so much was asked: failures, or a certificate store that isn't kept{served}.
ca-down: {ca} has trouble of its own
  Wait, or name a second CA (--acme-directory){served}.
binding-refused: {ca} wants an external account binding (EAB), and not the one it was given, if any
  Set --acme-external-kid and -hmac anew: some CAs' expire; for ZeroSSL --acme-email will do.
terms-changed: {ca} has new terms of service
  Read and accept them; then it goes on by itself.{link}
account-refused: {ca} refuses the account, or its e-mail address
  Correct --acme-email, or move the file of --user-data away: a new account is registered then.
profile-refused: {ca} doesn't certify {name} under this profile, or with this key
  Set --acme-profile to one that it offers (for addresses: shortlived), or another --acme-key-type.
caa-unanswered: {ca} couldn't look up the CAA records of {name}
  Have the name servers answer for type CAA, if only with an empty answer, and check DNSSEC.
caa-forbids: CAA records forbid {ca} to issue for {name}
  Add a CAA record that allows this CA (issue, or issuewild for a wildcard), or remove them.
name-refused: {ca} doesn't certify {name}
  Use an internal CA (--acme-directory) or self-signing for it, or another name.
txt-missing: {ca} finds no TXT record at _acme-challenge.{base}
  Check that the provider serves this zone, or wait longer for DNS to spread.
txt-wrong: {ca} finds only other TXT records at _acme-challenge.{base}
  Remove old ones; if another client uses the name too, delegate it by CNAME.
name-unresolved: {name} has no address in DNS
  Add an A or AAAA record that leads here, and wait until it is seen everywhere.
dns-unanswered: {ca} got no useful answer from the name servers of {name}
  Check that all of them can be reached from everywhere, and that DNSSEC is whole.
access-refused: something in front of Centauri refuses {ca} access to {name}, at least in part
  Exempt /.well-known/acme-challenge/ from logins and filters (CDN, country, robot), or use dns-01.
redirect-broken: {name} answers the challenge with redirects that {ca} doesn't follow
  Let /.well-known/acme-challenge/ through: at most 10 hops, to ports 80 and 443 only.
ipv6-elsewhere: {ca} asked {name}{at}, over IPv6, where the answer isn't Centauri's
  Make that address lead to {here}, or remove the AAAA record.
tls-elsewhere: TLS for {name} isn't answered by Centauri where {ca} asks
  Pass TCP port 443 through to {here}: nothing in front may end TLS; or use http-01.
port-unreachable: {ca} gets no answer at port {port} of {name}{at}
  Let TCP port {port} through to {here} (firewall, router, NAT), or use --dns-provider.
points-elsewhere: {ca} reaches another server than this one as {name}{at}
  Make the name's DNS, and any proxy in front, lead to {here}.
file-unusable: a file that is needed can't be read or written
  Let this user do so, and see that the disk isn't full; mend a damaged file, or move it away.
dns-unseen: the DNS provider took the TXT record of {name}, but its name servers don't all have it
  Check that the zone is really served by that provider; if it is slow, let it have more time.
timed-out: it took too long to get a certificate for {name}
  Raise --acme-overall-timeout.
challenge-missing: {ca} doesn't offer a way to prove {name} that is configured
  Name one that it offers in --acme-challenges; for dns-01 set --dns-provider.
directory-wrong: there is no ACME directory where {ca} was asked for it
  Correct the path of --acme-directory: it often ends in /directory.
ca-untrusted: the server certificate of {ca} isn't valid here
  Set the clock if it is wrong; for an internal CA set --lego-ca-certificates to its root.
ca-unreachable: {ca} can't be reached
  Check outbound TCP port 443, DNS and proxies.
dns-provider: the TXT record for {name} couldn't be set
  Check the DNS provider's variables, and that the key may read the zone and change TXT records.
unknown: no certificate for {name}
  See what the CA says, and the log before this.
`;

/** Why it failed and what to do. */
export function explain(failure: Failure): Explanation {
  const { problem, seen = {}, earlier = [] } = failure;
  const found = problem ? fromProblem(problem, failure) : fromError(failure);
  const [cause, , retry = LATER, otherCa = false] = found.rule;
  const facts = collect(failure, found);
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_, key) => facts.get(key) ?? "");
  const [says = "", advice = ""] = TEXTS.split(`\n${cause}: `)[1]?.split("\n") ?? [];
  const words = found.words && `: ${problem ? "the CA says " : ""}${quote(found.words, MAX_SHOWN)}`;
  const before = earlier.map((error) => `; before that ${quote(errorText(error), MAX_SHOWN)}`);
  // A pause is lifted at the CA, which nothing here would notice.
  const tomorrow = cause === "paused" ? new Date(Date.now() + DAY) : undefined;
  const retryAt = failure.retryAt ?? retryAfter(found.words) ?? tomorrow;
  return {
    cause,
    message: fill(says) + fromHere(seen) + words + before.join(""),
    advice: fill(advice.trim()),
    retry,
    ...retryAt && { retryAt },
    otherCa,
  };
}

type Found = { readonly rule: Rule; readonly words: string; readonly name?: string | undefined };

/** The first of the subproblems (section 6.7.1) that is known, else the problem itself. */
function fromProblem(problem: Problem, { names }: Failure): Found {
  for (const one of [...problem.subproblems, problem]) {
    const words = one.detail.slice(0, MAX_DETAIL);
    const rule = PROBLEMS.find(([, pattern]) => pattern.test(`${typeOf(one)} ${words}`));
    const name = names.find((name) => name === one.identifier?.value);
    if (rule) return { rule, words, name };
  }
  return { rule: UNKNOWN, words: problem.detail.slice(0, MAX_DETAIL) };
}

/** ACME's short name; without one, what the status says. */
function typeOf({ type, status }: Problem): string {
  if (type.startsWith(NAMESPACE)) return type.slice(NAMESPACE.length);
  return status >= 500 ? "serverInternal" : status === 429 ? "rateLimited" : "";
}

function fromError({ error, ca, challenge }: Failure): Found {
  const words = error ? errorText(error).slice(0, MAX_DETAIL) : "";
  const others = words.includes(ca) ? CA_ERRORS : challenge === "dns-01" ? PROVIDER_ERRORS : [];
  const rule = [...ERRORS, ...others].find(([, pattern]) => pattern.test(words)) ?? UNKNOWN;
  // Once there is an order the CA counts, and the words may be a provider's, or a program's.
  return { rule: challenge === undefined ? rule : [rule[0], rule[1]], words };
}

/** What the texts may tell. */
function collect(failure: Failure, { words, name }: Found): Map<string, string> {
  const { names, ca, challenge, ports, problem, notAfter } = failure;
  const subject = name ?? (failure.name === undefined ? list(names) : shown(failure.name));
  const address = addressIn(words);
  const isTls = challenge === "tls-alpn-01";
  const ours = isTls ? ports?.https : ports?.http;
  const [url] = /https:\/\/[!#-;=?-~]{1,1500}/.exec(problem?.instance ?? words) ?? [];
  const until = notAfter?.toISOString().slice(0, 10);
  return new Map([
    ["name", subject],
    ["base", subject.replace(/^\*\./, "")],
    ["ca", ca],
    ["at", address && ` at ${address}`],
    ["port", isTls ? "443" : "80"],
    ["here", ours === undefined ? "Centauri" : `Centauri's port ${ours}`],
    ["link", url ? ` See ${url}` : ""],
    ["served", until ? `; the old certificate is served until ${until}` : ""],
  ]);
}

/** `192.0.2.1: Fetching …` of Let's Encrypt, `dial tcp 192.0.2.1:80: …` of Pebble; or empty. */
function addressIn(words: string): string {
  const plain = words.replace(/^During secondary validation: /, "");
  const [, first = ""] = /^([0-9a-f.:]{2,45}): /.exec(plain) ??
    /(?:dial tcp|connect to) \[?([0-9.]{7,15}|(?<=\[)[0-9a-f:]{2,45})\]?:\d/.exec(plain) ?? [];
  return isIP(first) ? first : "";
}

/** What is seen from here, in brackets. */
function fromHere({ addresses, txt, caa }: NonNullable<Failure["seen"]>): string {
  if (caa?.records.length === 0) return " (no CAA records are seen from here)";
  if (caa) return ` (CAA here, at ${shown(caa.name)}: ${caaText(caa.records)})`;
  if (addresses) return ` (DNS here says ${list(addresses) || "nothing"})`;
  return txt ? ` (TXT records by server: ${list(txt.map(ofServer)) || "none found"})` : "";
}

/** `"issue ca.example, iodef mailto:…"`. */
export const caaText = (records: readonly CaaRecord[]): string =>
  quote(records.map(({ tag, value }) => `${tag} ${value}`).join(", "), 200);

function ofServer({ server, values, error = "" }: TxtAnswer): string {
  return `${quote(server)} ` +
    (values ? `has ${values.length || "none"}` : `fails: ${quote(error)}`);
}

/** A CA may have sent it. */
const shown = (name: string): string =>
  isDomainName(name.replace(/^\*\./, "")) || isIP(name) ? name : quote(name, MAX_NAME);

function list(items: readonly string[]): string {
  const more = items.length - MAX_ITEMS;
  return items.slice(0, MAX_ITEMS).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** `retry after 2026-11-25 03:11:00 UTC`, or as RFC 3339 has it. */
function retryAfter(words: string): Date | undefined {
  const form = /\bretry after (\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?:Z| UTC)/i;
  const [, date, time] = form.exec(words) ?? [];
  const at = Date.parse(`${date}T${time}Z`);
  return Number.isNaN(at) ? undefined : new Date(Math.min(at, Date.now() + MAX_WAIT));
}

/** What no public CA certifies: RFC 6761's registry, ICANN's `internal`, what home routers use. */
const RESERVED =
  ("example invalid localhost test example.com example.net example.org local onion alt " +
    "home.arpa internal corp domain home host intranet lan localdomain mail private workgroup")
    .split(" ");
/** RFC 6890's registries; of IPv6 only 2000::/3 is public. */
const SPECIAL = parseNetworks(
  "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24," +
    "192.0.2.0/24,192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/3," +
    "::/3,4000::/2,8000::/1,2001::/23,2001:db8::/32,2002::/16,3fff::/20",
);

/** Why no public CA can certify a name, with or without `*.`, or an address. */
export function expectsNoPublicCa(name: string): string | undefined {
  const base = name.replace(/^\*\./, "").toLowerCase();
  if (isIP(base)) {
    if (base !== name.toLowerCase()) return "an address has no wildcard";
    return SPECIAL.has(base) ? "it is no public address" : undefined;
  }
  if (!isDomainName(base)) return "it is no domain name";
  if (base.includes("_")) return "it has an underscore";
  if (/(^|\.)(?!xn)..--/.test(base)) return "it has -- where only xn-- may stand (RFC 5890)";
  if (!base.includes(".")) return "it is a single label";
  const end = RESERVED.find((one) => base === one || base.endsWith(`.${one}`));
  return end && `${end} is no public domain`;
}
