/**
 * A client of the ACME protocol, in the order of its flow: directory, account, order,
 * authorization, challenge, certificate, revocation, renewal. RFC 8555 with key roll-over and
 * external accounts, RFC 8738 (IP addresses), RFC 9773 (ARI), draft-ietf-acme-profiles.
 *
 * Needs `acmeobjects.ts`, `jose.ts`, `x509.ts`, `der.ts`, `number.ts`, and a function that sends an
 * HTTP request, of which the types alone are in `httpsclient.ts`. No files, no settings; challenges
 * are answered by the caller. A client is one account; its calls may run side by side.
 *
 * An answer that isn't as the RFC has it is an AcmeError that says what was expected. Requests that
 * change nothing, and finalize, are repeated when the server or the network fails; others are the
 * caller's to repeat. What the transport throws goes through as it is.
 */
import type { Buffer } from "node:buffer";
import { createHash, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { setTimeout as timer } from "node:timers/promises";
import type { Account, Authorization, Challenge, Directory, Identifier } from "./acmeobjects.ts";
import type { Link, Order, Problem, Read, RenewalInfo, Resource } from "./acmeobjects.ts";
import * as objects from "./acmeobjects.ts";
import { DerError } from "./der.ts";
import type { HttpAnswer, HttpClient, HttpRequest } from "./httpsclient.ts";
import * as jose from "./jose.ts";
import { parseDecimal } from "./number.ts";
import { OID, readCertificate } from "./x509.ts";

export type { Account, Authorization, Challenge, Directory, Identifier } from "./acmeobjects.ts";
export type { Link, Order, Problem, RenewalInfo } from "./acmeobjects.ts";

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000] as const;
const MAX_ALTERNATES = 10; // chains that are looked at for the preferred issuer
const MAX_DETAIL = 4_096; // bytes of a refusal that are searched for a date
const MAX_NONCES = 64; // kept
const MAX_BAD_NONCES = 10; // retries of one request
const MAX_REPEATS = 4; // of one request when the server or the network fails
const FIRST_PAUSE = 200; // ms before the first look; doubled for each one after it, to MAX_PAUSE
const MAX_PAUSE = 5 * SECOND;
const MAX_POLL = HOUR; // in all, with what Retry-After asks for
const MAX_RETRY_AFTER = 31 * DAY;
const NAMESPACE = "urn:ietf:params:acme:error:"; // RFC 8555 6.7
const POST_FIELDS = ["Content-Type", "application/jose+json", "Accept-Language", "en"];
/** What an order is refused for whether it `replaces` a certificate or not. */
const NOT_FOR_REPLACES = new Set(
  `accountDoesNotExist badNonce badSignatureAlgorithm caa externalAccountRequired invalidProfile
  rateLimited rejectedIdentifier unsupportedIdentifier userActionRequired`.split(/\s+/),
);

export interface AcmeOptions {
  readonly directory: string; // URL
  readonly http: HttpClient;
  readonly key: KeyObject; // the account's, private: P-256, P-384, RSA from 2048 bits
  readonly accountUrl?: string | undefined; // what an earlier newAccount() found
  readonly signal?: AbortSignal | undefined; // ends what is in flight, with its reason
  readonly now?: () => number; // ms since the epoch; default Date.now
  readonly wait?: (ms: number, signal?: AbortSignal) => Promise<unknown>; // default a timer
  readonly random?: () => number; // from 0 to 1; default Math.random
  readonly badNonceRetries?: number; // of one request; default 10
}

/** What the clients of one account share. */
interface Session {
  key: KeyObject;
  accountUrl: string | undefined;
  clockSkew?: number;
  directory?: { readonly value: Promise<Directory>; readonly end: number } | undefined;
  readonly nonces: string[];
}

export class AcmeClient {
  readonly #options: AcmeOptions;
  readonly #session: Session;

  constructor(options: AcmeOptions, session?: Session) {
    this.#options = options;
    this.#session = session ?? { key: options.key, accountUrl: options.accountUrl, nonces: [] };
  }

  /** This client, account and nonces included, with one more signal that ends what is in flight. */
  withSignal(signal: AbortSignal): AcmeClient {
    const signals = this.#options.signal ? [this.#options.signal, signal] : [signal];
    return new AcmeClient({ ...this.#options, signal: AbortSignal.any(signals) }, this.#session);
  }

  get accountUrl(): string | undefined {
    return this.#session.accountUrl;
  }

  /** The server's clock minus ours in ms, to the second, by the latest answer. */
  get clockSkew(): number | undefined {
    return this.#session.clockSkew;
  }

  /** RFC 8555 7.1.1; asked for once a day. */
  getDirectory(): Promise<Directory> {
    const session = this.#session;
    if (session.directory && this.#now() < session.directory.end) return session.directory.value;
    const value = this.#get("directory", this.#options.directory, objects.readDirectory);
    session.directory = { value, end: this.#now() + DAY };
    value.catch(() => session.directory = undefined);
    return value;
  }

  /**
   * RFC 8555 7.3: finds the key's account, or makes one unless `onlyReturnExisting`; agrees to the
   * terms of service. `externalAccount` (7.3.4): `hmac` in base64url or base64; default HS256.
   */
  async newAccount(options: {
    contact?: readonly string[] | undefined;
    onlyReturnExisting?: boolean | undefined;
    externalAccount?: { kid: string; hmac: string; algorithm?: jose.MacAlgorithm } | undefined;
  } = {}): Promise<Account> {
    const { newAccount: url } = await this.getDirectory();
    const { contact, onlyReturnExisting, externalAccount: external } = options;
    const { key } = this.#session;
    const externalAccountBinding = external && jose.macJws(
      external.algorithm ?? "HS256",
      jose.decodeBase64url(external.hmac),
      { kid: external.kid, url },
      jose.publicJwk(key),
    );
    const some = contact?.length ? { contact } : {};
    const terms = { termsOfServiceAgreed: true, ...some, onlyReturnExisting };
    const payload = { ...terms, externalAccountBinding };
    const account = await this.#post("newAccount", url, payload, objects.readAccount, key);
    this.#session.accountUrl = account.url;
    return account;
  }

  /** RFC 8555 7.3.2. `contact`: URLs, `mailto:` mostly; none removes those that are there. */
  updateAccount(contact: readonly string[]): Promise<Account> {
    return this.#post("account", this.#kid(), { contact }, objects.readAccount);
  }

  /** RFC 8555 7.3.6: for good. */
  deactivateAccount(): Promise<Account> {
    return this.#post("account", this.#kid(), { status: "deactivated" }, objects.readAccount);
  }

  /** RFC 8555 7.3.5: afterwards this client signs with the new key. */
  async keyChange(newKey: KeyObject): Promise<void> {
    const { keyChange: url } = await this.getDirectory();
    const change = { account: this.#kid(), oldKey: jose.publicJwk(this.#session.key) };
    // The new key signs that it takes the account, without a nonce; the old one that it gives it.
    const inner = jose.signJws(newKey, { jwk: jose.publicJwk(newKey), url }, change);
    await this.#send("keyChange", url, inner);
    this.#session.key = newKey;
  }

  /**
   * RFC 8555 7.4. `replaces` is the certificateId() of the old certificate (RFC 9773 5): left out
   * where the CA has no renewal information, and once more where it may have refused the order for
   * it; the order says whether it was taken. A profile that isn't offered is not asked for.
   */
  async newOrder(options: {
    identifiers: readonly Identifier[];
    profile?: string | undefined;
    replaces?: string | undefined;
    notBefore?: Date | undefined;
    notAfter?: Date | undefined;
  }): Promise<Order> {
    const { newOrder: url, renewalInfo, meta: { profiles } } = await this.getDirectory();
    if (options.profile !== undefined && !profiles.has(options.profile)) {
      const detail = `no ${options.profile}, only: ${[...profiles.keys()].join(", ")}`;
      throw new AcmeError("ACME profile", { ...blank(detail), type: `${NAMESPACE}invalidProfile` });
    }
    const order = async (replaces?: string) => ({
      ...await this.#post("newOrder", url, { ...options, replaces }, objects.readOrder),
      replaces,
    });
    if (options.replaces === undefined || renewalInfo === undefined) return order();
    return order(options.replaces).catch((error) => {
      if (isForReplaces(error)) return order();
      throw error;
    });
  }

  getOrder(url: string): Promise<Order> {
    return this.#postAsGet("order", url, objects.readOrder);
  }

  /** RFC 8555 7.5. */
  getAuthorization(url: string): Promise<Authorization> {
    return this.#postAsGet("authorization", url, objects.readAuthorization);
  }

  /** RFC 8555 7.5.2: one that nothing will come of. */
  async deactivateAuthorization(url: string): Promise<void> {
    await this.#send("authorization", url, { status: "deactivated" });
  }

  /** RFC 8555 8.1: shows that the holder of the account's key has seen the token. */
  keyAuthorization(token: string): string {
    return `${token}.${jose.thumbprint(this.#session.key)}`;
  }

  /** RFC 8555 7.5.1: the server may look now. */
  respond(challengeUrl: string): Promise<Challenge> {
    return this.#post("challenge", challengeUrl, {}, objects.readChallenge);
  }

  /** Resolves when it is valid; rejects with the problem of the challenge that failed. */
  async waitForAuthorization(url: string): Promise<Authorization> {
    const isFinal = ({ status }: Authorization) => status !== "pending";
    const one = await this.#poll("authorization", () => this.getAuthorization(url), isFinal);
    if (one.status === "valid") return one;
    const { identifier, wildcard, challenges, status } = one;
    const { type = "authorization", error } = challenges.find((challenge) => challenge.error) ?? {};
    const problem = error ?? blank(`the authorization is ${status}`);
    const name = wildcard ? `*.${identifier.value}` : identifier.value;
    const about = { ...problem, identifier: problem.identifier ?? identifier };
    throw new AcmeError(`ACME server refused ${type} for ${name}`, about);
  }

  /** Resolves when the order is in a wanted state; rejects when it can't come to one. */
  waitForOrder(order: Order, wanted: readonly string[]): Promise<Order> {
    const isDone = ({ status, error = blank("no reason given") }: Order) => {
      if (wanted.includes(status)) return true;
      if (["pending", "ready", "processing"].includes(status)) return false;
      throw new AcmeError(`ACME server made the order ${status}`, error);
    };
    return this.#poll("order", () => this.getOrder(order.url), isDone, order);
  }

  /**
   * RFC 8555 7.4: asks for the certificate, unless that was done before, and waits until the order
   * is `valid` and has it. `csr`: PKCS #10 in DER.
   */
  async finalize(order: Order, csr: Uint8Array): Promise<Order> {
    const { url, finalize } = order;
    const payload = { csr: jose.base64url(csr) };
    for (let tries = 0; ["pending", "ready"].includes(order.status); tries++) {
      try {
        order = { ...await this.#post("finalize", finalize, payload, objects.readOrder), url };
        break;
      } catch (error) {
        // Answers get lost, and an order may not be ready yet: its state says what to do.
        await this.#pauseOrThrow(error, tries);
        order = await this.waitForOrder(await this.getOrder(url), ["ready", "processing", "valid"]);
      }
    }
    order = await this.waitForOrder(order, ["valid"]);
    if (order.certificate !== undefined) return order;
    throw new AcmeError("ACME server made the order valid", blank("expected a certificate's URL"));
  }

  /**
   * RFC 8555 7.4.2: PEM, the leaf first. `preferredIssuer`: of several chains, the one whose last
   * certificate has this issuer; else the first.
   */
  async getCertificate(url: string, preferredIssuer?: string): Promise<string> {
    const first = await this.#getChain(url);
    if ((preferredIssuer ?? first.issuer) === first.issuer) return first.pem;
    for (const alternate of first.alternates.slice(0, MAX_ALTERNATES)) {
      const { issuer, pem } = await this.#getChain(alternate);
      if (issuer === preferredIssuer) return pem;
    }
    return first.pem;
  }

  async #getChain(url: string) {
    const answer = await this.#repeat(() => this.#send("certificate", url, ""));
    const { pem, issuer } = understand("certificate", answer, objects.readChain);
    const links = objects.linksOf(answer.fields, url).filter(({ rel }) => rel === "alternate");
    return { pem, issuer, alternates: links.map((link) => link.url) };
  }

  /**
   * RFC 8555 7.6. `der`: the certificate; `certificateKey`: signs instead of the account; `reason`:
   * RFC 5280 5.3.1. That it was revoked before is no error.
   */
  async revokeCertificate(
    der: Uint8Array,
    { reason, certificateKey }: { reason?: number; certificateKey?: KeyObject } = {},
  ): Promise<void> {
    const { revokeCert: url } = await this.getDirectory();
    const payload = { certificate: jose.base64url(der), reason };
    await this.#send("revokeCert", url, payload, certificateKey).catch((error) => {
      if (!isType(error, "alreadyRevoked")) throw error;
    });
  }

  /** RFC 9773 4, by certificateId(); undefined if the CA has none. */
  async renewalInfo(id: string): Promise<RenewalInfo | undefined> {
    const { renewalInfo } = await this.getDirectory();
    if (renewalInfo === undefined) return undefined;
    const url = `${renewalInfo.replace(/\/$/, "")}/${id}`;
    const info = await this.#get("renewalInfo", url, objects.readRenewalInfo);
    const { retryAfter = 6 * HOUR } = info; // RFC 9773 4.3.3, 4.3.2
    return { ...info, retryAfter: Math.min(Math.max(retryAfter, MINUTE), DAY) };
  }

  async #get<T>(what: string, url: string, read: Read<T>): Promise<T & Resource> {
    const answer = await this.#repeat(() => this.#exchange(what, { method: "GET", url }));
    return this.#read(what, answer, read, url);
  }

  /** RFC 8555 6.3. */
  async #postAsGet<T>(what: string, url: string, read: Read<T>): Promise<T & Resource> {
    return this.#read(what, await this.#repeat(() => this.#send(what, url, "")), read, url);
  }

  async #post<T>(what: string, url: string, payload: unknown, read: Read<T>, key?: KeyObject) {
    const answer = await this.#send(what, url, payload, key);
    const created = ["newAccount", "newOrder"].includes(what);
    const [location = ""] = objects.fieldValues(answer.fields, "location");
    return this.#read(what, answer, read, created ? objects.absolute(location, url) : url);
  }

  #read<T>(what: string, answer: HttpAnswer, read: Read<T>, url: string | undefined): T & Resource {
    return understand(what, answer, (body) => {
      if (url === undefined) throw new Error("expected a Location field with a URL");
      return { url, retryAfter: this.#retryAfter(answer), ...read(objects.parse(body), "") };
    });
  }

  async #repeat<T>(request: () => Promise<T>): Promise<T> {
    for (let tries = 0;; tries++) {
      try {
        return await request();
      } catch (error) {
        await this.#pauseOrThrow(error, tries);
      }
    }
  }

  /** Throws the error unless it looks as if it passes. */
  async #pauseOrThrow(error: unknown, tries: number): Promise<void> {
    const asked = error instanceof AcmeError ? error.retryAfter : undefined;
    if (!isPassing(error) || tries >= MAX_REPEATS || (asked ?? 0) > MINUTE) throw error;
    await this.#wait(asked ?? this.#pause(tries + 2));
  }

  async #poll<T extends Resource & { readonly status: string }>(
    what: string,
    get: () => Promise<T>,
    isDone: (state: T) => boolean,
    state?: T,
  ): Promise<T> {
    const end = this.#now() + MAX_POLL;
    for (let tries = 0; state === undefined || !isDone(state); tries++) {
      const pause = Math.max(state?.retryAfter ?? this.#pause(tries), FIRST_PAUSE);
      if (this.#now() + pause > end) {
        throw new AcmeError("ACME server took too long", blank(`${what}: still ${state?.status}`));
      }
      await this.#wait(pause);
      state = await get();
    }
    return state;
  }

  /** RFC 8555 6.2 to 6.5; signed by `key` or the account. A nonce is used once, come what may. */
  async #send(what: string, url: string, payload: unknown, key?: KeyObject): Promise<HttpAnswer> {
    const { badNonceRetries = MAX_BAD_NONCES } = this.#options;
    for (let tries = 0;; tries++) {
      const nonce = this.#session.nonces.pop() ?? await this.#newNonce();
      const by = key ? { jwk: jose.publicJwk(key) } : { kid: this.#kid() };
      const jws = jose.signJws(key ?? this.#session.key, { nonce, url, ...by }, payload);
      const [fields, body] = [POST_FIELDS, JSON.stringify(jws)];
      try {
        return await this.#exchange(what, { method: "POST", url, fields, body });
      } catch (error) {
        if (!isType(error, "badNonce") || tries >= badNonceRetries) throw error;
      }
    }
  }

  /** RFC 8555 7.2. */
  async #newNonce(): Promise<string> {
    const { newNonce: url } = await this.getDirectory();
    const answer = await this.#repeat(() => this.#exchange("newNonce", { method: "HEAD", url }));
    return understand("newNonce", answer, () => {
      const nonce = objects.nonceOf(answer.fields);
      if (nonce !== undefined) return nonce;
      throw new Error("expected a Replay-Nonce field in base64url");
    });
  }

  async #exchange(what: string, request: HttpRequest): Promise<HttpAnswer> {
    const { http, signal } = this.#options;
    signal?.throwIfAborted();
    const answer = await http({ ...request, ...signal && { signal } });
    const date = objects.httpDate(objects.fieldValues(answer.fields, "date")[0]);
    if (!Number.isNaN(date)) this.#session.clockSkew = date - this.#now();
    // The latest is used first: those before it may be forgotten by the server.
    const nonce = request.method === "HEAD" ? undefined : objects.nonceOf(answer.fields);
    const { nonces } = this.#session;
    if (nonce !== undefined && nonces.push(nonce) > MAX_NONCES) nonces.shift();
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw new AcmeError(`ACME server answered ${what} with ${answer.status}`, problemOf(answer), {
      retryAfter: this.#retryAfter(answer),
      links: objects.linksOf(answer.fields, request.url),
    });
  }

  #kid(): string {
    if (this.#session.accountUrl !== undefined) return this.#session.accountUrl;
    throw new AcmeError("ACME account unknown", blank("expected newAccount() to be called first"));
  }

  /** In ms: of Retry-After (RFC 9110 10.2.3), or `retry after 2026-11-25 03:11:00 UTC` in a 429. */
  #retryAfter(answer: HttpAnswer): number | undefined {
    const [value = ""] = objects.fieldValues(answer.fields, "retry-after");
    const detail = answer.status === 429 ? answer.body.toString("latin1", 0, MAX_DETAIL) : "";
    const words = /retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:Z| UTC)/.exec(detail);
    // Both are times on the server's clock.
    const at = objects.httpDate(value) || Date.parse(`${words?.[1]}T${words?.[2]}Z`);
    const ms = /^\d+$/.test(value)
      ? (parseDecimal(value) ?? Infinity) * SECOND
      : Math.max(at - this.#now() - (this.#session.clockSkew ?? 0), 0);
    return Number.isNaN(ms) ? undefined : Math.min(ms, MAX_RETRY_AFTER);
  }

  #pause(tries: number): number {
    const { random = Math.random } = this.#options;
    return Math.min(FIRST_PAUSE * 2 ** tries, MAX_PAUSE) * (1 + random() / 10);
  }

  async #wait(ms: number): Promise<void> {
    const { signal, wait = timeOut } = this.#options;
    await wait(ms, signal).finally(() => signal?.throwIfAborted());
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

const timeOut = (ms: number, signal?: AbortSignal): Promise<unknown> =>
  timer(ms, undefined, signal && { signal });

/** RFC 9773 4.1, for the first certificate of a chain. Throws DerError if it can't have one. */
export function certificateId(pem: string): string {
  const { serial, extension } = readCertificate(pem);
  const parts = extension(OID.authorityKeyIdentifier)?.children ?? [];
  const keyIdentifier = parts.find(({ tag }) => tag === 0x80);
  if (!keyIdentifier) throw new DerError("the certificate doesn't say which key signed it");
  return `${jose.base64url(keyIdentifier.content)}.${jose.base64url(serial)}`;
}

/** RFC 8555 8.4: what the TXT record of dns-01 says. */
export function dnsChallengeValue(keyAuthorization: string): string {
  return jose.base64url(createHash("sha256").update(keyAuthorization).digest());
}

/** A domain name, as A-labels, or an IP address in any spelling (RFC 8738 3: that of RFC 5952). */
export function toIdentifier(name: string): Identifier {
  const bare = name.replace(/^\[(.*)\]$/, "$1");
  if (isIP(bare) === 4) return { type: "ip", value: bare };
  if (isIP(bare) === 0) return { type: "dns", value: name.toLowerCase().replace(/\.$/, "") };
  return { type: "ip", value: new URL(`http://[${bare}]`).hostname.slice(1, -1) };
}

/**
 * The server said no, or nothing that can be understood; its words end the message. `type` is
 * short, as `badNonce`, and "" if it isn't ACME's; `retryAfter`: when to try again, in ms from now.
 */
export class AcmeError extends Error {
  override readonly name = "AcmeError";
  readonly problem: Problem;
  readonly type: string;
  readonly retryAfter: number | undefined;
  readonly links: readonly Link[];

  constructor(
    did: string,
    problem: Problem,
    more: { retryAfter?: number | undefined; links?: readonly Link[]; cause?: unknown } = {},
  ) {
    const parts = problem.subproblems.map((one) =>
      `; ${one.identifier ? `${one.identifier.value}: ` : ""}${words(one)}`
    );
    super(`${did}: ${words(problem)}${parts.join("")}`, more.cause ? { cause: more.cause } : {});
    this.problem = problem;
    this.type = problem.type.startsWith(NAMESPACE) ? problem.type.slice(NAMESPACE.length) : "";
    this.retryAfter = more.retryAfter;
    this.links = more.links ?? [];
  }
}

/** `unauthorized "the server's words"`. */
function words({ type, detail }: Problem): string {
  const short = type.startsWith(NAMESPACE) ? type.slice(NAMESPACE.length) : type;
  return `${short === "about:blank" ? "" : `${short} `}${JSON.stringify(detail)}`;
}

function blank(detail: string, status = 0): Problem {
  return { type: "about:blank", detail, status, subproblems: [] };
}

function isType(error: unknown, type: string): boolean {
  return error instanceof AcmeError && error.type === type;
}

/** What the transport throws, and what the server says of itself. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof AcmeError)) return !(error instanceof jose.JoseError);
  if (error.type === "orderNotReady") return true;
  return error.problem.status >= 500 || error.problem.status === 429;
}

/** RFC 9773 5 knows a 409; CAs also say 400, 403, 404 and 500 for a certificate they don't know. */
function isForReplaces(error: unknown): boolean {
  if (!(error instanceof AcmeError) || NOT_FOR_REPLACES.has(error.type)) return false;
  const { status } = error.problem;
  return (status >= 400 && status < 500 && status !== 429) || status === 500;
}

/** Of a refusal: whatever it is, there is a problem in it. */
function problemOf({ status, body }: HttpAnswer): Problem {
  try {
    return { ...objects.readProblem(objects.parse(body), ""), status };
  } catch {
    return blank(body.toString("latin1", 0, 200), status);
  }
}

function understand<T>(what: string, { status, body }: HttpAnswer, read: (body: Buffer) => T): T {
  try {
    return read(body);
  } catch (cause) {
    const problem = blank((cause as Error).message, status);
    throw new AcmeError(`ACME server answered ${what} with ${status}`, problem, { cause });
  }
}
