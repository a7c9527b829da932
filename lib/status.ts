/**
 * What a running Centauri says of itself: per route its certificate, its upstreams, its requests,
 * and what is wrong, with why, when it is tried again, and what to do. Plain JSON; `version` goes
 * up when a member changes its meaning.
 *
 * Nothing in it is secret: no keys, no tokens, no e-mail address, no account. What a CA or an
 * upstream said is a stranger's text: whoever shows it has to escape it.
 *
 * Needs `certs.ts`, `renewal.ts`, `serving.ts`, `health.ts`, `x509.ts`. Loaded when somebody asks.
 */
import type { Buffer } from "node:buffer";
import { createPublicKey } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Certificates, Stored } from "./certs.ts";
import { type Health, Merged } from "./health.ts";
import type { Outlook, Renewal } from "./renewal.ts";
import type { Route } from "./routes.ts";
import type { Server } from "./serving.ts";
import type { CertificateRecord } from "./store.ts";
import { ABSENCE, acmeOff, adviceFor, redact, redactMessage, unusable } from "./statuscauses.ts";
import { readCertificate } from "./x509.ts";

/** An answer is given to all who ask within this time, in milliseconds. */
const FRESH = 1_000;
/** Others get their turn after so many milliseconds of looking at routes. */
const TURN = 10;
/** A certificate that nothing renews is worth a word when so much of its life is left. */
const LATE = 1 / 3;
/** Problems of a route file that are shown. */
const MAX_PROBLEMS = 100;

/** All times are RFC 3339. */
export interface Status {
  readonly version: 1;
  readonly at: string;
  readonly startedAt: string;
  readonly configuration: {
    /** The route file, or who sends the routes. */
    readonly from: string;
    /** When the routes came into force. */
    readonly since: string;
  };
  /** Routes that aren't served; of the others, those with something to look at. */
  readonly problems: number;
  readonly warnings: number;
  /** Of the program as a whole. */
  readonly findings: readonly Finding[];
  /** In the file's order. */
  readonly routes: readonly RouteStatus[];
}

/** `problem`: something isn't served, or not as configured; `warning`: that may come. */
export interface Finding {
  readonly level: "problem" | "warning";
  /** Stable, for programs: `rate-limited`. */
  readonly cause: string;
  /** What is wrong, in the CA's or the upstream's own words where there are some. */
  readonly what: string;
  /** What to do about it. */
  readonly advice: string;
  /** When it was tried last, how often in a row, at which CA, by which types of challenges. */
  readonly at?: string;
  readonly attempts?: number;
  readonly ca?: string;
  readonly challenges?: readonly string[];
  /** When it is tried again; `change`: when the configuration or DNS does, else in a day. */
  readonly next?: string;
}

export interface RouteStatus {
  /** The primary one first. */
  readonly names: readonly string[];
  readonly line: number;
  /** Whether it serves all other names as well. */
  readonly fallback: boolean;
  readonly served: boolean;
  /** Since the processes that serve have started. */
  readonly requests: number;
  readonly certificate: CertificateStatus;
  readonly upstreams: readonly UpstreamStatus[];
  readonly findings: readonly Finding[];
}

export interface CertificateStatus {
  /** `on-demand`: a self-signed one is made when somebody connects. */
  readonly state: "valid" | "expired" | "missing" | "unusable" | "on-demand";
  /** The subject first. */
  readonly names: readonly string[];
  /** `lego` for what a CA gave, `selfsigned`. */
  readonly provider?: string;
  readonly issuer?: string;
  readonly notBefore?: string;
  readonly notAfter?: string;
  /** When it is renewed, and whether the CA suggests that time (ARI), perhaps with its reason. */
  readonly renewal?: { readonly at: string; readonly suggested: boolean; readonly see?: string };
  /** Since when one is being obtained. */
  readonly orderedAt?: string;
}

export interface UpstreamStatus {
  readonly name: string;
  /** How its last request went; `unknown` when there was none. */
  readonly state: "works" | "fails" | "unknown";
  /** Since when that is so. */
  readonly since?: string;
  readonly workedAt?: string;
  readonly failedAt?: string;
  /** In a row. */
  readonly failures: number;
  readonly failure?: string;
}

/** Routes in force, and why newer ones aren't; times in milliseconds since the epoch. */
export interface RoutesInForce {
  readonly routes: readonly Route[];
  readonly from: string;
  readonly since: number;
  readonly failure?: {
    readonly at: number;
    readonly problems: readonly { readonly line?: number; readonly message: string }[];
  } | undefined;
}

export interface StatusParts {
  readonly startedAt: number;
  readonly inForce: () => RoutesInForce;
  readonly certificates: Pick<Certificates, "look">;
  /** Undefined where nothing obtains certificates. */
  readonly renewal: Pick<Renewal, "look"> | undefined;
  readonly server: Pick<Server, "report">;
}

/** A function that gives the status; who asks while it is being made, or soon after, shares it. */
export function createStatus(parts: StatusParts): () => Promise<Status> {
  const facts = new WeakMap<CertificateRecord, Facts | Error>();
  let made: Promise<Status> | undefined;
  let until = 0;
  return () => {
    if (made !== undefined && performance.now() < until) return made;
    until = Infinity;
    const end = () => until = performance.now() + FRESH;
    made = gather(parts, facts);
    made.then(end, () => until = 0);
    return made;
  };
}

/** What is read of a certificate, once. */
type Facts = Readonly<{ issuer: string; notBefore: number; notAfter: number }>;
type KnownFacts = WeakMap<CertificateRecord, Facts | Error>;

async function gather(parts: StatusParts, known: KnownFacts): Promise<Status> {
  const { reports, silent } = await parts.server.report();
  const inForce = parts.inForce();
  const merged = new Merged(namesIn(inForce.routes));
  for (const report of reports) {
    merged.add(report);
    await setImmediate();
  }
  const routes: RouteStatus[] = [];
  let turn = performance.now();
  for (const route of inForce.routes) {
    routes.push(routeStatus(route, parts, known, merged));
    if (performance.now() - turn < TURN) continue;
    await setImmediate();
    turn = performance.now();
  }
  const problems = routes.filter(({ served }) => !served).length;
  return {
    version: 1,
    at: time(Date.now()),
    startedAt: time(parts.startedAt),
    configuration: { from: inForce.from, since: time(inForce.since) },
    problems,
    warnings: routes.filter(({ findings }) => findings.length > 0).length - problems,
    findings: [...reloadFindings(inForce), ...silent.map(silentWorker)],
    routes,
  };
}

/** Of upstreams, and the primaries. */
function namesIn(routes: readonly Route[]): Set<string> {
  const names = new Set<string>();
  for (const { domains: [primary = ""], upstreams } of routes) {
    names.add(primary);
    for (const { name } of upstreams) names.add(name);
  }
  return names;
}

function routeStatus(
  route: Route,
  parts: StatusParts,
  known: KnownFacts,
  merged: Merged,
): RouteStatus {
  const certificate = certificateOf(route, parts, known);
  const health = upstreamsOf(route, merged.upstreams);
  const findings = [...certificate.findings, ...health.findings];
  return {
    names: route.domains,
    line: route.line,
    fallback: route.fallback,
    served: findings.every(({ level }) => level !== "problem"),
    requests: merged.requests.get(route.domains[0] ?? "") ?? 0,
    certificate: certificate.status,
    upstreams: health.statuses,
    findings,
  };
}

function reloadFindings({ failure }: RoutesInForce): Finding[] {
  if (failure === undefined) return [];
  const { at, problems } = failure;
  const shown = problems.slice(0, MAX_PROBLEMS).map(({ line, message }) =>
    line === undefined ? message : `line ${line}: ${message}`
  );
  if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more`);
  return [{
    level: "problem",
    cause: "reload-failed",
    what: `${shown.join("; ")}; the routes of before stay in force`,
    advice: "Correct that, see what --validate says, and send SIGHUP.",
    at: time(at),
  }];
}

function silentWorker(worker: number): Finding {
  return {
    level: "warning",
    cause: "worker-silent",
    what: `worker ${worker} doesn't say how it is: what it knows is missing here`,
    advice: "Wait: one that is starting will, and one that hangs is replaced.",
  };
}

type Judged<Name extends string, T> =
  & Readonly<Record<Name, T>>
  & { readonly findings: readonly Finding[] };

function upstreamsOf(
  route: Route,
  healths: ReadonlyMap<string, Health>,
): Judged<"statuses", UpstreamStatus[]> {
  const statuses = route.upstreams.map(({ name }) => upstreamStatus(name, healths.get(name)));
  const failing = statuses.filter(({ state }) => state === "fails");
  const level = failing.length === statuses.length ? "problem" : "warning";
  const findings = failing.map(({ name, failure = "", failures, failedAt = "" }): Finding => ({
    level,
    cause: "upstream-failed",
    what: `upstream ${name} fails: ${failure}`,
    advice: adviceFor(failure),
    ...{ at: failedAt, attempts: failures },
  }));
  return { statuses, findings };
}

function upstreamStatus(name: string, health: Health | undefined): UpstreamStatus {
  if (health === undefined) return { name, state: "unknown", failures: 0 };
  const { workedAt, failedAt, failures, failure, since } = health;
  return {
    ...{ name, state: failures > 0 ? "fails" : "works", failures },
    ...since > 0 && { since: time(since) },
    ...workedAt > 0 && { workedAt: time(workedAt) },
    ...failedAt > 0 && { failedAt: time(failedAt), failure: redact(failure) },
  };
}

/** What there is, what becomes of it, and what is wrong with it. */
function certificateOf(
  route: Route,
  { certificates, renewal }: StatusParts,
  known: KnownFacts,
): Judged<"status", CertificateStatus> {
  const stored = certificates.look(route);
  const outlook = stored.providers.includes("lego") ? renewal?.look(stored.names) : undefined;
  // Renewal has looked at the key before it plans anything; what is self-signed is ours.
  const isChecked = outlook?.renewal !== undefined || stored.record?.provider === "selfsigned";
  const facts = stored.record && factsOf(stored.record, known, isChecked);
  const broken = facts instanceof Error ? facts.message : stored.problem;
  const state = stateOf(stored, facts, broken);
  const status = certificateStatus(state, stored, facts, outlook);
  const isGood = state === "valid" || state === "on-demand";
  const level = isGood ? "warning" : "problem";
  const findings: Finding[] = [];
  if (state === "unusable") findings.push({ level, ...unusable(broken) });
  if (outlook?.failure !== undefined) findings.push(failed(level, outlook, status));
  else if (renewal === undefined) {
    if (!isGood || isLate(stored, status)) {
      findings.push({ level, ...acmeOff(stored.providers, lookOf(status)) });
    }
  } else if (state === "missing" || state === "expired") findings.push(waiting(outlook, status));
  return { status, findings };
}

function stateOf(
  { record, providers }: Stored,
  facts: Facts | Error | undefined,
  broken: string,
): CertificateStatus["state"] {
  if (broken !== "") return "unusable";
  if (facts !== undefined && !(facts instanceof Error) && facts.notAfter > Date.now()) {
    return "valid";
  }
  if (providers.includes("selfsigned")) return "on-demand";
  return record === undefined ? "missing" : "expired";
}

function certificateStatus(
  state: CertificateStatus["state"],
  { names, record, providers }: Stored,
  facts: Facts | Error | undefined,
  outlook: Outlook | undefined,
): CertificateStatus {
  const provider = record?.provider || providers[0];
  const ordering = outlook?.doing === "ordering" && outlook.at <= Date.now();
  const see = redact(record?.ariExplanation ?? "");
  return {
    ...{ state, names },
    ...state === "on-demand" ? { provider: "selfsigned" } : provider && { provider },
    ...state !== "on-demand" && facts !== undefined && !(facts instanceof Error) && {
      issuer: facts.issuer,
      notBefore: time(facts.notBefore),
      notAfter: time(facts.notAfter),
    },
    ...outlook?.renewal && {
      renewal: {
        at: time(Math.max(outlook.renewal.at, outlook.at)),
        suggested: outlook.renewal.suggested,
        ...see !== "" && { see },
      },
    },
    ...ordering && { orderedAt: time(outlook.at) },
  };
}

function factsOf(record: CertificateRecord, known: KnownFacts, isChecked: boolean): Facts | Error {
  let facts = known.get(record);
  if (facts === undefined) known.set(record, facts = readFacts(record, isChecked));
  return facts;
}

function readFacts(record: CertificateRecord, isChecked: boolean): Facts | Error {
  const { provider, certificate } = record;
  try {
    const { issuerName = "", notBefore, notAfter, publicKey } = readCertificate(certificate);
    if (!isChecked && !publicKey.equals(keyOf(record))) {
      throw new Error("its key is another certificate's");
    }
    const issuer = provider === "selfsigned" ? "" : issuerName;
    return { issuer, notBefore: notBefore.getTime(), notAfter: notAfter.getTime() };
  } catch (error) {
    return error as Error;
  }
}

/** Throws an Error. */
function keyOf({ privateKey }: CertificateRecord): Buffer {
  try {
    return createPublicKey(privateKey).export({ type: "spki", format: "der" });
  } catch {
    throw new Error("its key can't be read");
  }
}

/** Why an order failed; while there is a certificate, it is served on. */
function failed(
  level: Finding["level"],
  { failure, at, doing, onChange }: Outlook,
  status: CertificateStatus,
): Finding {
  const { cause = "", message = "", advice = "", attempts = 0, ca = "" } = failure ?? {};
  const { challenges = [] } = failure ?? {};
  const before = level === "warning" ? "the certificate can't be renewed: " : ended(status);
  return {
    ...{ level, cause, attempts, at: time(failure?.at ?? 0) },
    what: before + redactMessage(cause, message),
    advice: redact(advice),
    ...ca !== "" && { ca },
    ...challenges.length > 0 && { challenges },
    next: doing === "waiting" && onChange ? "change" : time(Math.max(at, Date.now())),
  };
}

/** There is none, and nothing has failed: it is on its way. */
function waiting(outlook: Outlook | undefined, status: CertificateStatus): Finding {
  const { doing = "starting", at = 0 } = outlook ?? {};
  const isLater = at > Date.now();
  const { cause, what, advice } = ABSENCE[doing === "ordering" && isLater ? "spaced" : doing];
  const next = isLater ? { next: time(at) } : {};
  return { level: "problem", cause, what: ended(status) + what, advice, ...next };
}

const ended = ({ state, notAfter = "" }: CertificateStatus): string =>
  state === "expired" ? `the certificate in the store ended at ${notAfter}; ` : "";

/** Whether it matters that nothing obtains certificates, though there is one. */
function isLate({ providers }: Stored, status: CertificateStatus): boolean {
  const { notBefore = "", notAfter = "" } = status;
  if (!providers.includes("lego")) return false;
  if (status.provider === "selfsigned") return true;
  const [start, end] = [Date.parse(notBefore), Date.parse(notAfter)];
  return end - Date.now() < (end - start) * LATE;
}

const lookOf = ({ state, provider }: CertificateStatus): CertificateStatus["state"] =>
  provider === "selfsigned" ? "on-demand" : state;

/** Never throws: what is no time is that of the epoch. */
const time = (ms: number): string =>
  new Date(Math.min(Math.max(Math.round(ms) || 0, 0), 8.64e15)).toISOString();
