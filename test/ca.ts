/**
 * An ACME CA for tests, in memory, that is as strict as a server may be: RFC 8555, RFC 8737
 * (tls-alpn-01), RFC 8738 (IP addresses), RFC 9773 (ARI), draft-ietf-acme-profiles, and
 * draft-ietf-acme-dns-persist 00, 01 and 02. Written from those, and from no client.
 *
 * It issues chains that verify, checks challenges for real if told to, writes down what it got, and
 * answers by `settings`, which a test may change at any time, or as a test's own function says.
 * It differs from what a public CA does where that catches faults: identifiers come back in another
 * order, serial numbers have a high first bit, the directory has a member that nobody knows.
 *
 * Left out: newAuthz, an account's list of orders, OCSP and CRLs.
 */
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import type http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { selfSigned } from "../lib/x509.ts";
import type { Validation } from "./ca/challenges.ts";
import { type Csr, type Issuer, newIssuer, wholeSecond } from "./ca/issuer.ts";
import { base64url, checkAlgorithm, checkMembers, checkSignature } from "./ca/jws.ts";
import { type Json, readJson, readJwk, readJws } from "./ca/jws.ts";
import { type Answer, type Identifier, type Problem, refusal, refuse } from "./ca/problems.ts";
import { Refused, type RetryAfter, URN } from "./ca/problems.ts";
import { type Call, RESOURCES } from "./ca/resources.ts";
import type { Scope } from "./support.ts";

const MAX_BODY = 262_144;
const [HOUR, DAY] = [3_600, 86_400]; // seconds

/** Filled as far as it was understood. */
export interface CaRequest {
  readonly method: string;
  readonly path: string;
  /** `newOrder`, `authz`, … as in RESOURCES, or `unknown`. */
  readonly resource: string;
  readonly headers: Readonly<http.IncomingHttpHeaders>;
  readonly body: string;
  header?: Json;
  account?: Account;
  /** undefined for POST-as-GET and for anything but POST. */
  payload?: Json | undefined;
  /** Of the answer: its status, and its problem's type without the URN. */
  status?: number;
  problem?: string;
}

/** Gives an answer, or undefined for the ordinary one, which `proceed` makes too, to be altered. */
export type Hook = (
  request: CaRequest,
  proceed: () => Promise<Answer>,
) => Answer | undefined | Promise<Answer | undefined>;

export interface RenewalWindow {
  readonly start: Date | string;
  readonly end: Date | string;
  readonly explanationURL?: string;
}

export interface CaSettings {
  /** How challenges are checked; `always`: all pass. */
  validate: "always" | Validation;
  /** The problem that a challenge fails with, before it is checked. */
  fail: (identifier: Identifier, type: string) => Problem | undefined;
  /** Offered ones; of these, those that the identifier can have. Also known: `dns-persist-01`. */
  challenges: readonly string[];
  /** Which draft of dns-persist-01 is followed: 00 names no account in the challenge. */
  persist: { draft: 0 | 1 | 2; issuerDomainNames: readonly string[] };
  /** Valid authorizations of the account are used again. */
  authzReuse: boolean;
  /** Why no certificate is given for an identifier: the detail of `rejectedIdentifier`. */
  reject: (identifier: Identifier) => string | undefined;
  /** How many polls see a challenge (at its authorization) and an order in state `processing`. */
  processing: { challenge: number; order: number };
  /** Sent while an authorization is pending and an order is processing; and with ARI, always. */
  retryAfter: { authz?: RetryAfter; order?: RetryAfter; renewalInfo: RetryAfter };
  /** Per cent of good nonces that are refused, evenly spread: at 50 every other. */
  badNonce: number;
  termsOfService: string | undefined;
  caaIdentities: readonly string[];
  /** Key id => MAC key in base64url. */
  externalAccounts: Readonly<Record<string, string>>;
  externalAccountRequired: boolean;
  /** Of certificates, in seconds; from an hour ago, or a 60th of it if that is less. */
  lifetime: number;
  /** Name => what it is; the first is taken for orders that name none. */
  profiles: Readonly<Record<string, { readonly description: string; readonly lifetime?: number }>>;
  /** Whether orders may have notBefore and notAfter. */
  dates: boolean;
  ocspUrl: string | undefined;
  /** Ends an order as invalid instead of issuing. */
  issueProblem: Problem | undefined;
  /** A second chain, to another root, by Link. */
  alternateChain: boolean;
  /** false: no ARI. A function gives the window; by default it's about the last third. */
  renewalInfo: boolean | ((certificate: CaCertificate) => RenewalWindow);
  /** Of the Date header, from the clock; in milliseconds. */
  clockOffset: number;
}

const DEFAULTS: CaSettings = {
  validate: "always",
  fail: () => undefined,
  challenges: ["http-01", "tls-alpn-01", "dns-01"],
  persist: { draft: 1, issuerDomainNames: ["ca.test"] },
  authzReuse: false,
  reject: () => undefined,
  processing: { challenge: 0, order: 0 },
  retryAfter: { renewalInfo: 6 * HOUR },
  badNonce: 0,
  termsOfService: "https://ca.test/terms/1",
  caaIdentities: ["ca.test"],
  externalAccounts: {},
  externalAccountRequired: false,
  lifetime: 90 * DAY,
  profiles: {},
  dates: true,
  ocspUrl: undefined,
  issueProblem: undefined,
  alternateChain: false,
  renewalInfo: true,
  clockOffset: 0,
};

/** What it keeps; a test may look at all of it and set a state, such as `expired`. */
export interface Account {
  readonly url: string;
  status: "valid" | "deactivated" | "revoked";
  contact: readonly string[];
  key: KeyObject;
  /** RFC 7638, of its keys up to now, the current one last. */
  readonly thumbprints: string[];
  readonly externalKeyId: string | undefined;
}

export interface Challenge {
  readonly url: string;
  readonly type: string;
  readonly token: string;
  status: "pending" | "processing" | "valid" | "invalid";
  error?: Problem;
  validated?: Date;
  polls: number;
  outcome?: Promise<Problem | undefined>;
}

export interface Authorization {
  readonly url: string;
  readonly account: Account;
  readonly identifier: Identifier;
  readonly wildcard: boolean;
  readonly challenges: readonly Challenge[];
  readonly expires: Date;
  status: "pending" | "valid" | "invalid" | "deactivated" | "expired" | "revoked";
}

export interface Order {
  readonly url: string;
  readonly account: Account;
  readonly identifiers: readonly Identifier[];
  readonly authorizations: readonly Authorization[];
  readonly expires: Date;
  readonly notBefore: Date | undefined;
  readonly notAfter: Date | undefined;
  readonly profile: string | undefined;
  readonly replaces: string | undefined;
  status: "pending" | "ready" | "processing" | "valid" | "invalid";
  error?: Problem;
  polls: number;
  csr?: Csr;
  certificate?: CaCertificate;
}

export interface CaCertificate {
  readonly url: string;
  readonly order: Order;
  /** RFC 9773 4.1. */
  readonly id: string;
  /** Hex, in lower case. */
  readonly serial: string;
  readonly der: Buffer;
  /** PEM: the leaf and what is between it and the root, of the same index in `roots`. */
  readonly chains: readonly [string, string];
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly spki: Buffer;
  revoked?: { readonly reason: number; readonly at: Date };
  replacedBy?: Order;
}

export interface Ca {
  /** The directory's URL, on host `localhost`. */
  readonly directory: string;
  /** PEM: what the API's certificate is checked against. */
  readonly apiRoot: string;
  /** PEM: what issued certificates are checked against; the second is the alternate chain's. */
  readonly roots: readonly [string, string];
  readonly settings: CaSettings;
  readonly requests: readonly CaRequest[];
  /** A CA that has forgotten an account: take it out. */
  readonly accounts: Account[];
  readonly orders: readonly Order[];
  readonly authorizations: readonly Authorization[];
  readonly certificates: readonly CaCertificate[];
  /**
   * Asked before the resource, or with `*` before any, about requests that were found to be right;
   * the first answer counts.
   */
  on(resource: string, hook: Hook): void;
  /** Without a resource, of all. */
  off(resource?: string): void;
  close(): Promise<void>;
}

/** What the handlers share. */
export interface State extends Omit<Ca, "on" | "off" | "close" | "directory" | "apiRoot"> {
  readonly base: string;
  readonly requests: CaRequest[];
  readonly orders: Order[];
  readonly authorizations: Authorization[];
  readonly certificates: CaCertificate[];
  readonly issuer: Issuer;
  readonly nonces: Set<string>;
  nonceLoad: number;
}

/** Starts a CA on a free port of 127.0.0.1; it ends with the test. */
export async function startCa(t: Scope, settings: Partial<CaSettings> = {}): Promise<Ca> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const now = wholeSecond(Date.now());
  const apiRoot = selfSigned({
    names: [`ca-${randomBytes(4).toString("hex")}.test`, "localhost"], // whose roots differ by name
    key: privateKey,
    serial: randomBytes(16),
    notBefore: new Date(now - DAY * 1000),
    notAfter: new Date(now + DAY * 1000),
  });
  const key = privateKey.export({ type: "pkcs8", format: "pem" });
  const server = https.createServer({ cert: apiRoot, key, keepAliveTimeout: 60_000 });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve()); // an error here says that it was closed before
      server.closeAllConnections();
    });
  t.after(close);
  const base = `https://localhost:${(server.address() as AddressInfo).port}`;
  const issuer = newIssuer(new Date(now));
  const lists = { requests: [], accounts: [], orders: [], authorizations: [], certificates: [] };
  const ca: State = {
    ...{ base, issuer, roots: issuer.roots, nonces: new Set(), nonceLoad: 0, ...lists },
    settings: { ...DEFAULTS, ...settings },
  };
  const hooks: [string, Hook][] = [];
  server.on("request", (req, res) => {
    readBody(req).then((body) => handle(ca, hooks, req, body)).then(
      (answer) => send(ca, req, res, answer),
    ).catch((error) => send(ca, req, res, { status: 500, body: String(error?.stack) }));
  });
  return {
    ...{ directory: `${base}/directory`, apiRoot, close, ...ca },
    on: (resource, hook) => void hooks.push([resource, hook]),
    off(resource) {
      const kept = hooks.filter(([name]) => resource !== undefined && name !== resource);
      hooks.splice(0, hooks.length, ...kept);
    },
  };
}

/** undefined if it was too long. */
async function readBody(req: http.IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req) if ((size += chunk.length) <= MAX_BODY) chunks.push(chunk);
  return size <= MAX_BODY ? Buffer.concat(chunks).toString() : undefined;
}

async function handle(
  ca: State,
  hooks: readonly [string, Hook][],
  req: http.IncomingMessage,
  body = "",
): Promise<Answer> {
  const { method = "", url: path = "", headers } = req;
  const found = RESOURCES.find(([, pattern]) => pattern.test(path));
  const [resource = "unknown", , methods = "", handler] = found ?? [];
  const request: CaRequest = { method, path, resource, headers, body };
  ca.requests.push(request);
  const answer = await (async () => {
    if (!headers["user-agent"]) refuse("malformed", "no User-Agent: RFC 8555 6.1");
    if (!handler) refuse("malformed", `no resource ${path}`, { status: 404 });
    // RFC 8555 6.3: a GET of what takes POST-as-GET is answered 405, with type malformed.
    if (!methods.split(" ").includes(method)) {
      refuse("malformed", `${resource} takes ${methods}, not ${method}`, { status: 405 });
    }
    const call = method === "POST"
      ? authenticate(ca, request)
      : { path, url: ca.base + path, method, payload: undefined } as unknown as Call;
    const proceed = async (): Promise<Answer> => handler(ca, call);
    for (const [name, hook] of hooks) {
      const scripted = [resource, "*"].includes(name) ? await hook(request, proceed) : undefined;
      if (scripted !== undefined) return scripted;
    }
    return await proceed();
  })().catch((error: unknown): Answer => {
    if (!(error instanceof Refused)) throw error;
    const answer = refusal(error.problem);
    return { ...answer, headers: { ...answer.headers, ...error.headers } };
  });
  request.status = answer.status ?? 200;
  const { type } = (answer.body ?? {}) as Partial<Problem>;
  if (typeof type === "string") request.problem = type.replace(URN, "");
  return answer;
}

/** Adds what every answer has: RFC 8555 6.5 (a nonce) and 7.1 (the link to the directory). */
function send(
  ca: State,
  req: http.IncomingMessage,
  res: http.ServerResponse,
  { status = 200, headers = {}, body, ending }: Answer,
): void {
  const isText = typeof body === "string" || body instanceof Uint8Array;
  const bytes = Buffer.from(isText ? body : body === undefined ? "" : JSON.stringify(body));
  const index = req.url === "/directory" ? [] : [`<${ca.base}/directory>;rel="index"`];
  const needsNonce = req.method === "POST" || req.url === "/new-nonce";
  const all: Record<string, string> = {
    date: new Date(Date.now() + ca.settings.clockOffset).toUTCString(),
    "cache-control": "public, max-age=0, no-cache",
    ...needsNonce ? { "replay-nonce": newNonceValue(ca), "cache-control": "no-store" } : {},
    ...isText || body === undefined ? {} : { "content-type": "application/json" },
    ...status === 204 ? {} : { "content-length": `${bytes.length}` },
    ...headers,
    link: [...index, ...headers.link ? [headers.link] : []].join(", "), // one field for all
  };
  if (ending === "endless") delete all["content-length"];
  if (ending === "cut" && body === undefined) return void req.socket.destroy();
  if (ending === "hang" && body === undefined) return;
  res.writeHead(status, Object.fromEntries(Object.entries(all).filter(([, value]) => value)));
  if (ending === undefined) return void res.end(bytes);
  const half = bytes.subarray(0, bytes.length / 2);
  if (ending === "cut") res.write(half, () => req.socket.destroy());
  else if (ending === "hang") res.write(half);
  else {
    const more = (): void => {
      while (!res.destroyed && res.write(Buffer.alloc(65_536, " ")));
    };
    res.on("drain", more).write(bytes);
    more();
  }
}

function newNonceValue(ca: State): string {
  const nonce = randomBytes(16).toString("base64url");
  ca.nonces.add(nonce);
  return nonce;
}

/** The checks of RFC 8555 6.2 to 6.5, for a request that came by POST. */
function authenticate(ca: State, request: CaRequest): Call {
  const { path, resource, headers, body, method } = request;
  if (headers["transfer-encoding"] !== undefined || headers["content-length"] === undefined) {
    refuse("malformed", "missing Content-Length", { status: 411 });
  }
  if (headers["content-type"] !== "application/jose+json") {
    refuse("malformed", "the Content-Type isn't application/jose+json", { status: 415 });
  }
  const jws = readJws(readJson(body, "the body"));
  const { header } = jws;
  request.header = header;
  const byKey = "jwk" in header;
  checkMembers(header, ["alg", byKey ? "jwk" : "kid", "nonce", "url"], "the protected header");
  // Section 6.2: `jwk` for newAccount and for revocation by the certificate's key, else `kid`.
  if (byKey ? !["newAccount", "revokeCert"].includes(resource) : resource === "newAccount") {
    refuse("malformed", `${resource} isn't signed by ${byKey ? "jwk" : "kid"}`);
  }
  checkAlgorithm(header);
  checkNonce(ca, header.nonce);
  const url = ca.base + path;
  if (header.url !== url) {
    refuse("unauthorized", `url ${header.url} isn't ${url}`, { status: 401 });
  }
  const account = byKey ? undefined : ca.accounts.find(({ url }) => url === header.kid);
  if (!byKey && !account) refuse("accountDoesNotExist", `no account ${header.kid}`);
  const key = account?.key ?? readJwk(header.jwk);
  checkSignature(jws, key);
  if (account && account.status !== "valid") {
    refuse("unauthorized", `the account is ${account.status}`, { status: 401 });
  }
  const text = jws.payload.toString();
  const payload = text === "" ? undefined : readJson(text, "the payload");
  if (account) request.account = account;
  request.payload = payload;
  // Section 7.5.1: "an empty JSON body ("{}")"; nothing else is one, blanks included.
  if (resource === "challenge" && payload && text !== "{}") refuse("malformed", "not exactly {}");
  return { path, url, method, key, account, header, payload };
}

function checkNonce(ca: State, nonce: unknown): void {
  const known = ca.nonces.delete(base64url(nonce, "the nonce").toString("base64url"));
  if (!known) refuse("badNonce", "JWS has an invalid anti-replay nonce");
  ca.nonceLoad += ca.settings.badNonce;
  if (ca.nonceLoad < 100) return;
  ca.nonceLoad -= 100;
  refuse("badNonce", "JWS has an expired anti-replay nonce");
}
