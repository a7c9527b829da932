/**
 * Why there is no certificate, in words for a person: the CA's problem (RFC 8555 section 6.7) or our
 * own error, told apart by type and by the wording of Let's Encrypt's and Pebble's servers. Pure,
 * but for the clock if `now` isn't given. Needs addr.ts and log.ts.
 *
 * What a CA says is a stranger's text, and holds others' in turn: it is cut, quoted, and matched by
 * regular expressions that take linear time. Rules are tried in their order; the first one that
 * fits counts.
 */
import { isIP } from "node:net";
import { isDomainName, MAX_NAME, parseNetworks } from "./addr.ts";
import { quote } from "./log.ts";

const MAX_DETAIL = 2_000; // UTF-16 units that are looked at
const MAX_SHOWN = 300; // of which a message shows so many
const MAX_ITEMS = 4; // names, addresses and servers in a message
const MAX_WAIT = 31 * 24 * 60 * 60 * 1000; // ms that a CA may ask for
const MAX_CAUSES = 8;
const NAMESPACE = "urn:ietf:params:acme:error:";

/** What is used of a problem document; `type` is its full URN, `status` is HTTP's. */
export interface Problem {
  readonly type: string;
  readonly detail: string;
  readonly status: number;
  readonly instance?: string | undefined;
  readonly identifier?: { readonly value: string } | undefined;
  readonly subproblems: readonly Problem[];
}

/** What went wrong. What isn't known is left out. */
export interface Failure {
  readonly names: readonly string[];
  /** Host of the CA's directory. */
  readonly ca: string;
  readonly caName?: string | undefined;
  /** `http-01` … and the name that it was for. */
  readonly challenge?: string | undefined;
  readonly name?: string | undefined;
  /** What the CA answered; it goes before `error`, which is of the network, the disk, DNS … */
  readonly problem?: Problem | undefined;
  readonly error?: Error | undefined;
  /** Where this machine listens. */
  readonly ports?: { readonly http: number; readonly https: number } | undefined;
  /** Seen from here: what the name resolves to, our own addresses, its TXT by server, its CAA. */
  readonly seen?: {
    readonly addresses?: readonly string[] | undefined;
    readonly own?: readonly string[] | undefined;
    readonly txt?: readonly TxtAnswer[] | undefined;
    readonly caa?: string | undefined;
  } | undefined;
  readonly retryAt?: Date | undefined;
  /** Of the certificate that is served meanwhile. */
  readonly notAfter?: Date | undefined;
  readonly now?: Date | undefined;
}

interface TxtAnswer {
  readonly server: string;
  readonly values: readonly string[] | undefined;
  readonly error?: string | undefined;
}

/**
 * `backoff`: later each time; `at`: not before `retryAt`; `soon`: the CA was asked for nothing that
 * it counts; `never-until-change`: only when the configuration or DNS has changed.
 */
export type Retry = "backoff" | "at" | "never-until-change" | "soon";

export interface Explanation {
  /** Stable, for programs: `port-unreachable`. */
  readonly cause: string;
  /** What is wrong, and what to do: a sentence each, of printable characters. */
  readonly message: string;
  readonly advice: string;
  readonly retry: Retry;
  readonly retryAt?: Date;
  /** Whether another CA may do better. Never for what is wrong with a name. */
  readonly otherCa: boolean;
}

const [NEVER, SOON] = ["never-until-change", "soon"] as const;
const OTHER_CA = true;

/** Types: ACME's short names, `error` for one of ours, empty for any. */
type Rule = readonly [
  cause: string,
  types: string,
  words?: RegExp | undefined,
  retry?: Retry,
  otherCa?: boolean,
];
const RULES: readonly Rule[] = [
  ["paused", "", /temporarily prevented from requesting/i, NEVER, OTHER_CA],
  ["rate-limited-duplicates", "rateLimited", /exact set of/i, "backoff", OTHER_CA],
  ["rate-limited", "rateLimited", undefined, "backoff", OTHER_CA],
  ["ca-down", "serverInternal", undefined, "backoff", OTHER_CA],
  ["binding-required", "externalAccountRequired", undefined, NEVER],
  [
    "binding-refused",
    "unauthorized malformed",
    /external account|'kid' references|\bEAB\b/i,
    NEVER,
  ],
  ["terms-changed", "userActionRequired agreementRequired"],
  ["account-unknown", "accountDoesNotExist"],
  ["account-closed", "unauthorized", /account .{0,60}(deactivated|revoked|not valid)/i],
  ["email-refused", "invalidContact unsupportedContact invalidEmail", undefined, NEVER],
  ["ip-needs-profile", "", /not permit (IP address|ip type) identifiers/i, NEVER],
  ["profile-refused", "invalidProfile", undefined, NEVER],
  ["profile-refused", "unauthorized malformed", /certificate profile/i, NEVER],
  ["caa-unanswered", "", /looking up CAA|CAA .{0,300}(SERVFAIL|timed out|DNSSEC)/i],
  ["caa-forbids", "caa", undefined, NEVER],
  ["name-refused", "rejectedIdentifier unsupportedIdentifier", undefined, NEVER],
  ["name-refused", "", /public suffix|cannot issue for|forbidden by policy/i, NEVER],
  ["csr-refused", "badCSR badPublicKey badSignatureAlgorithm", undefined, NEVER],
  ["dnssec-broken", "", /DNSSEC|bogus/i],
  ["txt-missing", "", /no TXT record|NXDOMAIN looking up TXT/i],
  ["txt-wrong", "", /incorrect TXT record|correct value not found for DNS/i],
  ["name-unresolved", "", /NXDOMAIN|no valid A records|could not resolve|no IP addresses found/i],
  ["dns-unanswered", "dns"],
  ["dns-unanswered", "", /SERVFAIL|retrieving TXT|occurred while resolving/i],
  ["blocked-for-some", "", /^During secondary validation: /],
  ["redirect-broken", "", /redirect loop|too many redirects|redirect target|10 redirects/i],
  ["ipv6-elsewhere", "connection unauthorized tls incorrectResponse", /^[0-9a-f]*:[0-9a-f:.]+: /],
  ["access-refused", "unauthorized", /(: |returned )40[13]$/],
  ["tls-elsewhere", "tls"],
  ["tls-elsewhere", "", /ALPN protocol|validation certificate|only speaks HTTP/i],
  ["server-silent", "connection", /slow or overloaded|reset by peer|HTTP\/2 over HTTP/i],
  ["port-unreachable", "connection"],
  ["port-unreachable", "", /failed to connect/i],
  ["points-elsewhere", "incorrectResponse"],
  ["points-elsewhere", "", /invalid response from|non-200 status|key authorization/i],
  ["account-damaged", "error", /^the account file /],
  ["not-writable", "error", /unable to write to|E(ACCES|PERM|ROFS|NOSPC|DQUOT): /, SOON],
  ["port-in-use", "error", /EADDRINUSE/],
  ["dns-unseen", "error", /TXT record at .{0,300} isn't seen/],
];
const PROVIDER_RULES: readonly Rule[] = [
  ["dns-credentials", "error", /\b40[13]\b|NOTAUTH|REFUSED|denied|is not set/],
  ["dns-provider", "error"],
];
const CA_RULES: readonly Rule[] = [
  ["clock-wrong", "error", /isn't valid yet|NOT_YET_VALID|HAS_EXPIRED/, SOON],
  ["ca-untrusted", "error", /SELF_SIGNED|ISSUER_CERT|VERIFY_LEAF|ALTNAME_INVALID/, SOON],
  ["timed-out", "error", /TimeoutError/, "backoff", OTHER_CA],
  ["ca-unreachable", "error", undefined, SOON, OTHER_CA],
];
const UNKNOWN: Rule = ["unknown", ""];

/** What is wrong, before the quotation; what to do. In braces: what is known of the failure. */
const TEXTS = `
paused: {ca} has paused this account for {name}, after many failures one after another
  Find out why it failed, and then lift the pause{served}.{link}
rate-limited-duplicates: {ca} has issued too many certificates for just these names: {name}
  Check that the certificate store is kept between starts{served}.
rate-limited: {ca} limits how much it does for {name} at a time
  Wait; if failures used the limit up, find their cause first{served}.
ca-down: {ca} has trouble of its own
  Wait, or name a second CA (--acme-directory){served}.
binding-required: {ca} wants accounts that are bound to a customer's (EAB)
  Set --acme-external-kid and --acme-external-hmac; for ZeroSSL, --acme-email will do.
binding-refused: {ca} refuses the external account binding
  Get new values for --acme-external-kid and -hmac: some CAs' end after a few days unused.
terms-changed: {ca} has new terms of service
  Read and accept them; then it goes on by itself.{link}
account-unknown: {ca} doesn't know the account
  Nothing: it is registered again.
account-closed: the account with {ca} is closed
  Move the file of --user-data away; a new account is registered then.
email-refused: {ca} refuses the e-mail address
  Correct --acme-email.
ip-needs-profile: {ca} certifies the address {name} only under another profile
  Set --acme-profile; for Let's Encrypt, to shortlived.
profile-refused: {ca} refuses the certificate profile
  Set --acme-profile to one that this CA offers to this account, or remove it.
caa-unanswered: {ca} couldn't look up the CAA records of {name}
  Have the name servers answer for type CAA, if only with an empty answer.
caa-forbids: CAA records forbid {ca} to issue for {name}
  Add a CAA record that allows this CA (issue, or issuewild for a wildcard), or remove them.
name-refused: {ca} doesn't certify {name}
  Use an internal CA (--acme-directory) or self-signing for it, or another name.
csr-refused: {ca} refuses the key or the request
  Try another --acme-key-type.
dnssec-broken: DNSSEC of {name} is broken, so its DNS counts for nothing
  Have the DS record at the registrar and the zone's signatures mended, or remove the DS record.
txt-missing: {ca} finds no TXT record at _acme-challenge.{base}
  Check that the provider serves this zone, or wait longer for DNS to spread.
txt-wrong: {ca} finds only other TXT records at _acme-challenge.{base}
  Remove old ones; if another client uses the name too, delegate it by CNAME.
name-unresolved: {name} has no address in DNS
  Add an A or AAAA record that leads here, and wait until it is seen everywhere.
dns-unanswered: {ca} got no useful answer from the name servers of {name}
  Check that all of them work and can be reached from everywhere.
blocked-for-some: {ca} looks from several places, and some of them got no good answer for {name}
  Exempt /.well-known/acme-challenge/ from filters by country or robot, or use --dns-provider.
redirect-broken: {name} answers the challenge with redirects that {ca} doesn't follow
  Let /.well-known/acme-challenge/ through: at most 10 hops, to ports 80 and 443 only.
ipv6-elsewhere: {ca} asked {name}{at}, over IPv6, where the answer isn't Centauri's
  Make that address lead to {here}, or remove the AAAA record.
access-refused: something before Centauri refuses {ca} access to {name}
  Exempt /.well-known/acme-challenge/ from logins and filters at the CDN or proxy in front.
tls-elsewhere: TLS for {name} isn't answered by Centauri where {ca} asks
  Pass TCP port 443 through to {here}: nothing in front may end TLS; or use http-01.
server-silent: port {port} of {name} is open{at}, but doesn't answer {ca} as it should
  Check what it leads to: {here} is meant; a device in between may wait, or speak otherwise.
port-unreachable: {ca} can't open port {port} of {name}{at}
  Let TCP port {port} through to {here} (firewall, router, NAT), or use --dns-provider.
points-elsewhere: {ca} reaches another server than this one as {name}{at}
  Make the name's DNS, and any proxy in front, lead to {here}.
clock-wrong: the certificate of {ca} isn't valid by this machine's clock
  Set the clock (NTP); if it is right, the CA has to renew that certificate.
ca-untrusted: the certificate of {ca} isn't trusted here
  For an internal CA set --lego-ca-certificates to its root; else see who intercepts TLS.
account-damaged: the account can't be read
  Mend that file, or move it away.
not-writable: a file that is needed can't be read or written
  Let this user do so, and see that the disk isn't full.
port-in-use: another process has the port
  Stop it, or set --http-port and --https-port.
dns-unseen: the DNS provider took the TXT record of {name}, but its name servers don't all have it
  Check that the zone is really served by that provider; if it is slow, let it have more time.
dns-credentials: the DNS provider refuses what is asked of it for {name}
  Check its variables: the key has to be allowed to read the zone and to change TXT records.
dns-provider: the TXT record for {name} couldn't be set
  Check the DNS provider's variables, and whether its service works.
ca-unreachable: {ca} can't be reached
  Check outbound TCP port 443, DNS and proxies.
timed-out: it took too long to get a certificate for {name}
  Raise --acme-overall-timeout.
unknown: no certificate for {name}
  See what the CA says, and the log before this.
`;

/** Why it failed and what to do. Takes all that is known; what isn't, is left out of the words. */
export function explain(failure: Failure): Explanation {
  const { problem, error, seen = {}, now = new Date() } = failure;
  const found = problem ? fromProblem(problem, failure) : fromError(error, failure);
  const [id, , , retry = "backoff", otherCa = false] = found.rule;
  const facts = collect(failure, found);
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_, key) => facts.get(key) ?? "");
  const [says = "", advice = ""] = TEXTS.split(`\n${id}: `)[1]?.split("\n") ?? [];
  const words = found.words === "" ? "" : `: ${problem ? "the CA says " : ""}`;
  const asked = failure.retryAt ?? retryAfter(found.words);
  const retryAt = asked && new Date(Math.min(asked.getTime(), now.getTime() + MAX_WAIT));
  return {
    cause: id,
    message: fill(says) + fromHere(seen) + words + (words && quote(found.words, MAX_SHOWN)),
    advice: fill(advice.trim()),
    retry: retryAt && retry !== NEVER ? "at" : retry,
    ...retryAt && retry !== NEVER ? { retryAt } : {},
    otherCa,
  };
}

interface Found {
  readonly rule: Rule;
  readonly words: string;
  readonly name?: string | undefined;
}

/** The first of the subproblems (section 6.7.1) that is known, else the problem itself. */
function fromProblem(problem: Problem, { names, seen }: Failure): Found {
  for (const one of [...problem.subproblems, problem]) {
    const words = one.detail.slice(0, MAX_DETAIL);
    const address = addressIn(words);
    // What is wrong at our own address isn't that the name leads elsewhere.
    const text = seen?.own?.includes(address) ? words.replace(`${address}: `, "") : words;
    const rule = ruleFor(typeOf(one), text);
    const name = names.find((name) => name === one.identifier?.value);
    if (rule) return { rule, words, name };
  }
  return { rule: UNKNOWN, words: problem.detail.slice(0, MAX_DETAIL) };
}

function fromError(error: Error | undefined, { ca, challenge }: Failure): Found {
  const [words, text] = chain(error);
  const isOfCa = words.includes(ca) || /TimeoutError/.test(text);
  const others = isOfCa ? CA_RULES : challenge === "dns-01" ? PROVIDER_RULES : [];
  return { rule: ruleFor("error", text, [...RULES, ...others]) ?? UNKNOWN, words };
}

const ruleFor = (type: string, text: string, rules = RULES): Rule | undefined =>
  rules.find(([, types, words]) => {
    const fits = types === "" ? type !== "error" : types.split(" ").includes(type);
    return fits && (words?.test(text) ?? true);
  });

/** ACME's short name; without one, what the status says. */
function typeOf({ type, status }: Problem): string {
  if (type.startsWith(NAMESPACE)) return type.slice(NAMESPACE.length);
  return status >= 500 ? "serverInternal" : status === 429 ? "rateLimited" : "";
}

/** An error's messages, and those with the systems' codes, outermost first. */
function chain(error: unknown): [words: string, text: string] {
  const [words, text]: string[][] = [[], []];
  for (let one = error; one instanceof Error && text.length < MAX_CAUSES * 3; one = one.cause) {
    if (!words.join().includes(one.message)) words.push(one.message);
    text.push(one.message, `${(one as NodeJS.ErrnoException).code}`, one.name);
  }
  return [words.join(": ").slice(0, MAX_DETAIL), text.join(" ").slice(0, MAX_DETAIL)];
}

/** What the texts may tell. */
function collect(failure: Failure, { words, name }: Found): Map<string, string> {
  const { names, ca, caName = ca, challenge, ports, problem, notAfter } = failure;
  const subject = name ?? (failure.name === undefined ? list(names) : shown(failure.name));
  const address = addressIn(words);
  const isTls = challenge === "tls-alpn-01";
  const ours = isTls ? ports?.https : ports?.http;
  const [url] = /https:\/\/[!#-;=?-~]{1,1500}/.exec(problem?.instance ?? words) ?? [];
  return new Map([
    ["name", subject],
    ["base", subject.replace(/^\*\./, "")],
    ["ca", caName],
    ["at", address && ` at ${address}`],
    ["port", isTls ? "443" : "80"],
    ["here", ours === undefined ? "Centauri" : `Centauri's port ${ours}`],
    ["link", url ? ` See ${url}` : ""],
    ["served", notAfter ? `; the old certificate is served until ${day(notAfter)}` : ""],
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
  const parts = [
    ...addresses ? [`DNS here says ${list(addresses) || "nothing"}`] : [],
    ...caa === undefined ? [] : [`CAA here is ${quote(caa, MAX_SHOWN)}`],
    ...txt ? [`TXT records by server: ${list(txt.map(ofServer)) || "none found"}`] : [],
  ];
  return parts.length === 0 ? "" : ` (${parts.join("; ")})`;
}

function ofServer({ server, values, error }: TxtAnswer): string {
  const has = values ? `has ${values.length || "none"}` : `fails: ${quote(error ?? "", 100)}`;
  return `${quote(server, MAX_NAME)} ${has}`;
}

/** A CA may have sent it. */
const shown = (name: string): string =>
  isDomainName(name.replace(/^\*\./, "")) || isIP(name) ? name : quote(name, MAX_NAME);

function list(items: readonly string[]): string {
  const more = items.length - MAX_ITEMS;
  return items.slice(0, MAX_ITEMS).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

const day = (date: Date): string => date.toISOString().slice(0, 10);

/** `retry after 2026-11-25 03:11:00 UTC`, or as RFC 3339 has it. */
function retryAfter(words: string): Date | undefined {
  const form = /\bretry after (\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?:Z| UTC)/i;
  const [, date, time] = form.exec(words) ?? [];
  const at = new Date(`${date}T${time}Z`);
  return Number.isNaN(at.getTime()) ? undefined : at;
}

/** What no public CA certifies (CA/Browser Forum's Baseline Requirements 4.2.2, 7.1.2.7). */
const RESERVED: ReadonlyMap<string, string> = new Map(
  [
    ["RFC 6761", "example invalid localhost test example.com example.net example.org"],
    ["RFC 6762", "local"],
    ["RFC 7686", "onion"],
    ["RFC 8375", "home.arpa"],
    ["RFC 9476", "alt"],
    ["ICANN", "internal"],
    ["no registry", "corp domain home host intranet lan localdomain mail private workgroup"],
  ].flatMap(([by = "", names = ""]) => names.split(" ").map((name) => [name, by] as const)),
);
/** RFC 6890's registries; of IPv6 only 2000::/3 is public. */
const SPECIAL = parseNetworks(
  "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24," +
    "192.0.2.0/24,192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/3," +
    "::/3,4000::/2,8000::/1,2001::/23,2001:db8::/32,2002::/16,3fff::/20",
);

/** Why no public CA can certify a name (or `*.` and a name, or an address); undefined if one can. */
export function expectsNoPublicCa(name: string): string | undefined {
  const base = name.replace(/^\*\./, "").toLowerCase();
  if (isIP(base)) {
    if (base !== name.toLowerCase()) return "an address has no wildcard";
    return SPECIAL.has(base) ? "it is no public address" : undefined;
  }
  if (base.length > MAX_NAME) return `it has more than ${MAX_NAME} characters`;
  if (!isDomainName(base)) return "it is no domain name";
  if (base.includes("_")) return "it has an underscore";
  if (/(^|\.)(?!xn)..--/.test(base)) return "it has -- where only xn-- may stand (RFC 5890)";
  const labels = base.split(".");
  if (labels.length === 1) return "it is a single label";
  for (const end of [labels.slice(-2).join("."), labels.at(-1) ?? ""]) {
    const by = RESERVED.get(end);
    if (by !== undefined) return `${end} is no public domain (${by})`;
  }
  return undefined;
}
