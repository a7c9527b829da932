/**
 * What can be known before an order is placed, so that nothing counts against a CA's limits that
 * can't succeed: names that no public CA certifies, a store that can't be written, a wrong clock,
 * names that don't resolve, CAA records that forbid (RFC 8659).
 *
 * Needs `acmestate.ts`, `causes.ts`, `challenges.ts`, `resolver.ts`. What DNS doesn't answer is the
 * CA's to find out.
 */
import { isIP } from "node:net";
import type { AcmeClient } from "./acme.ts";
import type { AcmeState } from "./acmestate.ts";
import { namesKey } from "./addr.ts";
import type { Authority } from "./authority.ts";
import { caaText, expectsNoPublicCa, type Explanation } from "./causes.ts";
import type { Solver } from "./challenges.ts";
import { type CaaRecord, DnsMessageError } from "./dnsmsg.ts";
import { type Logger, quote } from "./log.ts";
import { type Resolver, ResolverError } from "./resolver.ts";
import { formatDuration } from "./time.ts";

/** CAs date certificates an hour back at most: a clock further off makes them look invalid. */
const MAX_SKEW = 60 * 60 * 1000;
const CRITICAL = 128; // RFC 8659 section 4.1
const KNOWN_TAGS = ["issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail"];

/** Of an account and the challenge types that may be used: what a CAA record may be about. */
interface Issuing {
  readonly identities: readonly string[];
  readonly accountUrl: string;
  readonly types: readonly string[];
}

export interface PreflightOptions {
  readonly resolver: Resolver;
  readonly state: AcmeState;
  readonly solvers: ReadonlyMap<string, Solver>;
  /** The CA is verified with roots of one's own, so it isn't a public one. */
  readonly ownRoots: boolean;
  /** Why the DNS provider that was asked for can't be used. */
  readonly problem: Error | undefined;
  readonly log: Logger;
}

/** Why no order should be placed for the names with this CA; undefined when nothing is known. */
export type Preflight = (
  names: readonly string[],
  authority: Authority,
  client: AcmeClient,
  signal: AbortSignal,
) => Promise<Explanation | undefined>;

export function createPreflight(options: PreflightOptions): Preflight {
  const { resolver, state, solvers, ownRoots, problem } = options;
  const types = [...solvers.keys()];
  return async (names, authority, client, signal) => {
    const { meta } = await client.getDirectory();
    const { hostname } = new URL(authority.directory);
    const isPublic = !ownRoots && expectsNoPublicCa(hostname) === undefined;
    const early = await unwritable(state, namesKey(names)) ?? unprovable(names, types, problem) ??
      wrongClock(client.clockSkew ?? 0) ?? (isPublic ? uncertifiable(names) : undefined) ??
      await foresee(options, names, client, signal);
    // An internal CA may see another DNS than the system does.
    if (early !== undefined || !(isPublic || resolver.explicit)) return early;
    const issuing = { identities: meta.caaIdentities, accountUrl: client.accountUrl ?? "", types };
    const byAddress = !types.some((type) => type.startsWith("dns-"));
    for (const name of names.filter((one) => isIP(one) === 0)) {
      const found = (byAddress ? await unresolved(name, resolver, signal) : undefined) ??
        await forbidden(name, resolver, issuing, signal);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

/** What keeps names from being proved, as solvers tell; logged if it isn't in the way yet. */
export async function foresee(
  { solvers, log }: Pick<PreflightOptions, "solvers" | "log">,
  names: readonly string[],
  client: AcmeClient,
  signal: AbortSignal,
): Promise<Explanation | undefined> {
  for (const solver of solvers.values()) {
    const obstacle = await solver.obstacle?.(names, client, signal);
    if (obstacle?.fatal && solvers.size === 1) return obstacle;
    if (obstacle) log.warn("certificate can't be renewed soon", { names, why: obstacle.message });
  }
  return undefined;
}

const permanent = { retry: "never-until-change", otherCa: false } as const;
const passing = { retry: "soon", otherCa: false } as const;

/** What is under way must be on disk: nothing is ordered that couldn't be kept. */
async function unwritable(state: AcmeState, key: string): Promise<Explanation | undefined> {
  try {
    await state.update(key, {});
    return undefined;
  } catch (error) {
    const message = `the certificate store's folder can't be written: ${(error as Error).message}`;
    const advice = "Let this user write to that folder, and see that the disk isn't full.";
    return { ...passing, cause: "store-unwritable", message, advice };
  }
}

/** Nothing but DNS proves a wildcard, and nothing but an answer at the address an address. */
function unprovable(
  names: readonly string[],
  types: readonly string[],
  problem: Error | undefined,
): Explanation | undefined {
  const isDns = (type: string) => type.startsWith("dns-");
  const lacks = (name: string) =>
    name.startsWith("*.") ? !types.some(isDns) : isIP(name) > 0 && types.every(isDns);
  const name = names.find(lacks);
  if (name === undefined && types.length > 0) return undefined;
  if (problem !== undefined) {
    const message = `the DNS provider can't be used: ${problem.message}`;
    const advice = "Correct --dns-provider and its variables, and start again.";
    return { ...passing, cause: "dns-provider", message, advice };
  }
  const message = `${name} can't be proved by ${types.join(" or ")}`;
  const advice = `Add ${name?.startsWith("*.") ? "dns-01" : "http-01"} to --acme-challenges.`;
  return { ...permanent, cause: "challenge-missing", message, advice };
}

function wrongClock(skew: number): Explanation | undefined {
  if (Math.abs(skew) <= MAX_SKEW) return undefined;
  const off = formatDuration(Math.round(Math.abs(skew) / 60_000) * 60_000);
  const message = `this machine's clock is ${off} ${skew > 0 ? "behind" : "ahead of"} the CA's`;
  return { ...passing, cause: "clock-wrong", message, advice: "Set the clock (NTP)." };
}

function uncertifiable(names: readonly string[]): Explanation | undefined {
  for (const name of names) {
    const reason = expectsNoPublicCa(name);
    if (reason === undefined) continue;
    const message = `no public CA certifies ${quote(name)}: ${reason}`;
    const advice = "Use an internal CA (--acme-directory), or a public name for the route.";
    return { ...permanent, cause: "name-not-public", message, advice };
  }
  return undefined;
}

async function unresolved(
  name: string,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<Explanation | undefined> {
  const found = await answered(resolver.addresses(name, signal));
  if (found === undefined || found.length > 0) return undefined;
  const message = `${name} has no A or AAAA record`;
  const advice = "Add one that leads here; it is looked for again every 10 minutes.";
  return { ...passing, cause: "name-unresolved", message, advice };
}

async function forbidden(
  name: string,
  resolver: Resolver,
  issuing: Issuing,
  signal: AbortSignal,
): Promise<Explanation | undefined> {
  if (issuing.identities.length === 0) return undefined;
  const found = await answered(resolver.caa(name.replace(/^\*\./, ""), signal));
  if (found === undefined || caaPermits(found.records, name.startsWith("*."), issuing)) {
    return undefined;
  }
  const message = `CAA at ${found.name} forbids this CA to issue for ${name}: ` +
    `it has ${caaText(found.records)}`;
  const tag = found.records.some((one) => one.tag === "issuewild") ? "issuewild" : "issue";
  const wanted = name.startsWith("*.") ? tag : "issue"; // RFC 8659 section 4.3
  const advice = `Add the record ${found.name} CAA 0 ${wanted} ${
    quote(issuing.identities[0]!, 100)
  }.`;
  return { ...permanent, cause: "caa-forbids", message, advice };
}

/** RFC 8659 section 4 and RFC 8657: whether one of these records lets the CA issue. */
function caaPermits(
  records: readonly CaaRecord[],
  wildcard: boolean,
  issuing: Issuing,
): boolean {
  if (records.some(({ flags, tag }) => flags & CRITICAL && !KNOWN_TAGS.includes(tag))) return false;
  const wild = records.filter(({ tag }) => tag === "issuewild");
  const relevant = wildcard && wild.length > 0
    ? wild
    : records.filter(({ tag }) => tag === "issue");
  return relevant.length === 0 || relevant.some(({ value }) => {
    const [issuer = "", ...parameters] = value.split(";").map((part) => part.trim());
    return issuing.identities.includes(issuer.toLowerCase()) && parameters.every((parameter) => {
      const [tag = "", text = ""] = parameter.split("=").map((part) => part.trim());
      if (tag.toLowerCase() === "accounturi") return text === issuing.accountUrl;
      if (tag.toLowerCase() !== "validationmethods") return true;
      return text.split(",").some((method) => issuing.types.includes(method.trim()));
    });
  });
}

/** What DNS says; undefined when it says nothing, which proves nothing. */
function answered<T>(question: Promise<T>): Promise<T | undefined> {
  return question.catch((error) => {
    if (error instanceof ResolverError || error instanceof DnsMessageError) return undefined;
    throw error;
  });
}
