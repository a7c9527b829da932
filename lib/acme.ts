/**
 * A client of the ACME protocol, in the order of its flow: directory, account, order, authorization,
 * challenge, certificate, revocation, renewal. RFC 8555, with key roll-over and external accounts;
 * RFC 8738 (IP addresses), RFC 9773 (renewal information), draft-ietf-acme-profiles.
 *
 * Needs `jose.ts`, `x509.ts`, `der.ts`, `number.ts`, and a function that sends an HTTP request, of
 * which the types alone are in `httpsclient.ts`. No files, no settings; challenges are answered by
 * the caller. A client is one account; its calls may run side by side.
 *
 * Answers are validated once, here: what isn't as the RFC has it is an AcmeError that says what was
 * expected. Requests that change nothing, and finalize, are repeated when the server or the network
 * fails; others are the caller's to repeat. What the transport throws goes through as it is.
 */
import type { Buffer } from "node:buffer";
import { createHash, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { setTimeout as timer } from "node:timers/promises";
import { DerError } from "./der.ts";
import type { HttpAnswer, HttpClient, HttpRequest } from "./httpsclient.ts";
import * as jose from "./jose.ts";
import { parseDecimal } from "./number.ts";
import { OID, pemBlocks, readCertificate } from "./x509.ts";

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000] as const;
const MAX_JSON = 1024 * 1024; // bytes: 100 authorizations have 10 KiB
const MAX_TEXT = 4_096; // characters of a URL or a problem's detail
const MAX_ITEMS = 1_000; // in an array; CAs take 100 names an order
const MAX_LINKS = 8_192; // characters of Link fields that are looked at
const MAX_CHAIN = 10; // certificates in a chain, and alternate chains
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
  /** URL. */
  readonly directory: string;
  readonly http: HttpClient;
  /** The account's, private: P-256, P-384, RSA from 2048 bits. */
  readonly key: KeyObject;
  /** What an earlier newAccount() found. */
  readonly accountUrl?: string | undefined;
  /** Ends what is in flight, with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds since the epoch; default Date.now. */
  readonly now?: () => number;
  /** Default a timer. */
  readonly wait?: (ms: number, signal?: AbortSignal) => Promise<unknown>;
  /** From 0 to 1; default Math.random. */
  readonly random?: () => number;
  /** How often a request is sent again because of its nonce; default 10. */
  readonly badNonceRetries?: number;
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
    const value = this.#get("directory", this.#options.directory, readDirectory);
    session.directory = { value, end: this.#now() + DAY };
    value.catch(() => session.directory = undefined);
    return value;
  }

  /**
   * RFC 8555 7.3: finds the key's account, or makes one unless `onlyReturnExisting`; agrees to the
   * terms of service. `externalAccount` (7.3.4) is what the CA gave, in base64url or base64.
   */
  async newAccount(options: {
    contact?: readonly string[] | undefined;
    onlyReturnExisting?: boolean | undefined;
    externalAccount?: ExternalAccount | undefined;
  } = {}): Promise<Account> {
    const { newAccount: url } = await this.getDirectory();
    const { contact, onlyReturnExisting, externalAccount: external } = options;
    const { key } = this.#session;
    const account = await this.#post(
      "newAccount",
      url,
      {
        termsOfServiceAgreed: true,
        contact: contact?.length ? contact : undefined,
        onlyReturnExisting,
        externalAccountBinding: external && bindAccount(external, url, key),
      },
      readAccount,
      key,
    );
    this.#session.accountUrl = account.url;
    return account;
  }

  /** RFC 8555 7.3.2. `contact`: URLs, `mailto:` mostly; none removes those that are there. */
  updateAccount(contact: readonly string[]): Promise<Account> {
    return this.#post("account", this.#kid(), { contact }, readAccount);
  }

  /** RFC 8555 7.3.6: for good. */
  deactivateAccount(): Promise<Account> {
    return this.#post("account", this.#kid(), { status: "deactivated" }, readAccount);
  }

  /** RFC 8555 7.3.5: afterwards this client signs with the new key. */
  async keyChange(newKey: KeyObject): Promise<void> {
    const { keyChange: url } = await this.getDirectory();
    const change = { account: this.#kid(), oldKey: jose.publicJwk(this.#session.key) };
    // The new key signs that it takes the account, without a nonce; the old one that it gives it.
    const inner = jose.signJws(newKey, { jwk: jose.publicJwk(newKey), url }, change);
    await this.#sendSigned("keyChange", url, inner);
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
      const offered = [...profiles.keys()].join(", ") || "none";
      throw localError(
        "ACME profile",
        `no ${options.profile}: offered: ${offered}`,
        "invalidProfile",
      );
    }
    const order = async (replaces?: string) => ({
      ...await this.#post("newOrder", url, { ...options, replaces }, readOrder),
      replaces,
    });
    if (options.replaces === undefined || renewalInfo === undefined) return order();
    return order(options.replaces).catch((error) => {
      if (isForReplaces(error)) return order();
      throw error;
    });
  }

  getOrder(url: string): Promise<Order> {
    return this.#postAsGet("order", url, readOrder);
  }

  /** RFC 8555 7.5. */
  getAuthorization(url: string): Promise<Authorization> {
    return this.#postAsGet("authorization", url, readAuthorization);
  }

  /** RFC 8555 7.5.2: one that nothing will come of. */
  async deactivateAuthorization(url: string): Promise<void> {
    await this.#sendSigned("authorization", url, { status: "deactivated" });
  }

  /** RFC 8555 8.1: shows that the holder of the account's key has seen the token. */
  keyAuthorization(token: string): string {
    return `${token}.${jose.thumbprint(this.#session.key)}`;
  }

  /** RFC 8555 7.5.1: the server may look now. */
  respond(challengeUrl: string): Promise<Challenge> {
    return this.#post("challenge", challengeUrl, {}, readChallenge);
  }

  /** Resolves when it is valid; rejects with the problem of the challenge that failed. */
  async waitForAuthorization(url: string): Promise<Authorization> {
    const isFinal = ({ status }: Authorization) => status !== "pending";
    const one = await this.#poll("authorization", () => this.getAuthorization(url), isFinal);
    if (one.status === "valid") return one;
    const { identifier, wildcard, challenges, status } = one;
    const failed = challenges.find(({ error }) => error !== undefined);
    const problem = failed?.error ?? blank(`the authorization is ${status}`);
    const name = `${wildcard ? "*." : ""}${identifier.value}`;
    throw new AcmeError(`ACME server refused ${failed?.type ?? "authorization"} for ${name}`, {
      ...problem,
      identifier: problem.identifier ?? identifier,
    });
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
        order = await this.#post("finalize", finalize, payload, readOrder, undefined, url);
        break;
      } catch (error) {
        // Answers get lost, and an order may not be ready yet: its state says what to do.
        await this.#pauseOrThrow(error, tries);
        order = await this.waitForOrder(await this.getOrder(url), ["ready", "processing", "valid"]);
      }
    }
    order = await this.waitForOrder(order, ["valid"]);
    if (order.certificate !== undefined) return order;
    throw localError("ACME server made the order valid", "expected a URL of the certificate in it");
  }

  /**
   * RFC 8555 7.4.2: PEM, the leaf first. `preferredIssuer`: of several chains, the one whose last
   * certificate has this issuer; else the first.
   */
  async getCertificate(url: string, preferredIssuer?: string): Promise<string> {
    const first = await this.#getChain(url);
    if ((preferredIssuer ?? first.issuer) === first.issuer) return first.pem;
    for (const alternate of first.alternates.slice(0, MAX_CHAIN)) {
      const { issuer, pem } = await this.#getChain(alternate);
      if (issuer === preferredIssuer) return pem;
    }
    return first.pem;
  }

  async #getChain(url: string): Promise<Chain> {
    const answer = await this.#repeat(() => this.#sendSigned("certificate", url, ""));
    const links = linksOf(answer, url).filter(({ rel }) => rel === "alternate");
    const chain = understand("certificate", answer, readChain);
    return { ...chain, alternates: links.map((link) => link.url) };
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
    await this.#sendSigned("revokeCert", url, payload, certificateKey).catch((error) => {
      if (!isType(error, "alreadyRevoked")) throw error;
    });
  }

  /** RFC 9773 4, by certificateId(); undefined if the CA has none. Asks again in 1 min to 1 day. */
  async renewalInfo(id: string): Promise<RenewalInfo | undefined> {
    const { renewalInfo } = await this.getDirectory();
    if (renewalInfo === undefined) return undefined;
    const url = `${renewalInfo.replace(/\/$/, "")}/${id}`;
    const { retryAfter = 6 * HOUR, ...info } = await this.#get("renewalInfo", url, readRenewalInfo);
    return { ...info, retryAfter: Math.min(Math.max(retryAfter, MINUTE), DAY) }; // 4.3.2, 4.3.3
  }

  #get<T>(what: string, url: string, read: Reader<T>): Promise<T & Resource> {
    return this.#repeat(() => this.#send(what, { method: "GET", url }))
      .then((answer) => this.#read(what, answer, read, url));
  }

  /** RFC 8555 6.3. */
  #postAsGet<T>(what: string, url: string, read: Reader<T>): Promise<T & Resource> {
    return this.#repeat(() => this.#sendSigned(what, url, ""))
      .then((answer) => this.#read(what, answer, read, url));
  }

  /** `key`: signs instead of the account; `of`: the resource's URL where neither says it. */
  async #post<T>(
    what: string,
    url: string,
    payload: unknown,
    read: Reader<T>,
    key?: KeyObject,
    of: string = url,
  ): Promise<T & Resource> {
    const answer = await this.#sendSigned(what, url, payload, key);
    const created = answer.status === 201 || what === "newAccount";
    const [location = created ? "" : of] = created ? fieldValues(answer, "location") : [];
    return this.#read(what, answer, read, absolute(location, url));
  }

  #read<T>(what: string, answer: HttpAnswer, read: Reader<T>, url: string | undefined) {
    return understand(what, answer, (body) => {
      if (url === undefined) throw new Error("expected a Location field with a URL");
      return { url, retryAfter: this.#retryAfter(answer), ...read(parse(body)) };
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

  async #poll<T extends { readonly status: string } & Resource>(
    what: string,
    get: () => Promise<T>,
    isDone: (state: T) => boolean,
    state?: T,
  ): Promise<T> {
    const end = this.#now() + MAX_POLL;
    for (let tries = 0; state === undefined || !isDone(state); tries++) {
      const pause = Math.max(state?.retryAfter ?? this.#pause(tries), FIRST_PAUSE);
      if (this.#now() + pause > end) {
        throw localError("ACME server took too long", `the ${what} is still ${state?.status}`);
      }
      await this.#wait(pause);
      state = await get();
    }
    return state;
  }

  /** RFC 8555 6.2 to 6.5. A nonce is used once, whatever comes of it. */
  async #sendSigned(what: string, url: string, payload: unknown, key?: KeyObject) {
    const { badNonceRetries = MAX_BAD_NONCES } = this.#options;
    for (let tries = 0;; tries++) {
      const nonce = this.#session.nonces.pop() ?? await this.#newNonce();
      const by = key ? { jwk: jose.publicJwk(key) } : { kid: this.#kid() };
      const jws = jose.signJws(key ?? this.#session.key, { nonce, url, ...by }, payload);
      const body = JSON.stringify(jws);
      try {
        return await this.#send(what, { method: "POST", url, fields: POST_FIELDS, body });
      } catch (error) {
        if (!isType(error, "badNonce") || tries >= badNonceRetries) throw error;
      }
    }
  }

  /** RFC 8555 7.2. */
  async #newNonce(): Promise<string> {
    const { newNonce: url } = await this.getDirectory();
    const answer = await this.#repeat(() => this.#send("newNonce", { method: "HEAD", url }));
    return understand("newNonce", answer, () => {
      const nonce = nonceOf(answer);
      if (nonce !== undefined) return nonce;
      throw new Error("expected a Replay-Nonce field in base64url");
    });
  }

  async #send(what: string, request: HttpRequest): Promise<HttpAnswer> {
    const { http, signal } = this.#options;
    signal?.throwIfAborted();
    const answer = await http({ ...request, ...signal && { signal } });
    const date = httpDate(fieldValues(answer, "date")[0]);
    if (date !== undefined) this.#session.clockSkew = date - this.#now();
    // The latest is used first: those before it may be forgotten by the server.
    const nonce = request.method === "HEAD" ? undefined : nonceOf(answer);
    if (nonce !== undefined && this.#session.nonces.push(nonce) > MAX_NONCES) {
      this.#session.nonces.shift();
    }
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw new AcmeError(`ACME server answered ${what} with ${answer.status}`, problemOf(answer), {
      retryAfter: this.#retryAfter(answer),
      links: linksOf(answer, request.url),
    });
  }

  #kid(): string {
    if (this.#session.accountUrl !== undefined) return this.#session.accountUrl;
    throw localError("ACME account unknown", "expected newAccount() to be called first");
  }

  /** RFC 9110 10.2.3, in ms: seconds, or a date on the server's clock. */
  #retryAfter(answer: HttpAnswer): number | undefined {
    const [value = ""] = fieldValues(answer, "retry-after");
    const now = this.#now() + (this.#session.clockSkew ?? 0);
    const date = httpDate(value);
    const words = retryWords(answer);
    if (/^\d+$/.test(value)) {
      return Math.min((parseDecimal(value) ?? Infinity) * SECOND, MAX_RETRY_AFTER);
    }
    const at = date ?? words;
    return at === undefined ? undefined : Math.min(Math.max(at - now, 0), MAX_RETRY_AFTER);
  }

  #pause(tries: number): number {
    const { random = Math.random } = this.#options;
    return Math.min(FIRST_PAUSE * 2 ** tries, MAX_PAUSE) * (1 + random() / 10);
  }

  async #wait(ms: number): Promise<void> {
    const { signal, wait = sleep } = this.#options;
    await wait(ms, signal).finally(() => signal?.throwIfAborted());
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

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

export interface Identifier {
  readonly type: "dns" | "ip";
  readonly value: string;
}

/** `hmac`: base64url or base64. `algorithm`: default HS256. */
export interface ExternalAccount {
  readonly kid: string;
  readonly hmac: string;
  readonly algorithm?: jose.MacAlgorithm;
}

/** RFC 8555 7.3.4. */
function bindAccount(
  { kid, hmac, algorithm = "HS256" }: ExternalAccount,
  url: string,
  key: KeyObject,
): jose.FlattenedJws {
  return jose.macJws(algorithm, jose.decodeBase64url(hmac), { kid, url }, jose.publicJwk(key));
}

/** A problem document (RFC 9457, RFC 8555 6.7). */
export interface Problem {
  /** In full; `about:blank` when there is none. */
  readonly type: string;
  readonly detail: string;
  /** HTTP's; 0 when there is none. */
  readonly status: number;
  /** A URL for people, such as of new terms of service. */
  readonly instance?: string | undefined;
  readonly identifier?: Identifier | undefined;
  /** RFC 8555 6.7.1: they have none themselves. */
  readonly subproblems: readonly Problem[];
  /** Those that the server takes, for badSignatureAlgorithm. */
  readonly algorithms?: readonly string[] | undefined;
}

/** `rel` in lower case: `help`, `terms-of-service`, `alternate` … */
export interface Link {
  readonly rel: string;
  readonly url: string;
}

/** The server said no, or nothing that can be understood; the message ends with its words. */
export class AcmeError extends Error {
  override readonly name = "AcmeError";
  readonly problem: Problem;
  /** `rateLimited`, `badNonce` …; "" for a type that isn't ACME's. */
  readonly type: string;
  /** When to try again, in ms from now: of Retry-After, or as the detail says. */
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

const blank = (detail: string, status = 0): Problem => ({
  ...{ type: "about:blank", detail, status, subproblems: [] },
});

const localError = (did: string, detail: string, type?: string): AcmeError =>
  new AcmeError(did, { ...blank(detail), ...type && { type: NAMESPACE + type } });

const isType = (error: unknown, type: string): boolean =>
  error instanceof AcmeError && error.type === type;

/** What the transport throws passes, and what the server says of itself. */
const isPassing = (error: unknown): boolean =>
  !(error instanceof AcmeError) || error.problem.status >= 500 || error.problem.status === 429 ||
  error.type === "orderNotReady";

/** RFC 9773 5 knows a 409; CAs also say 400, 403, 404 and 500 for a certificate they don't know. */
function isForReplaces(error: unknown): boolean {
  if (!(error instanceof AcmeError) || NOT_FOR_REPLACES.has(error.type)) return false;
  const { status } = error.problem;
  return (status >= 400 && status < 500 && status !== 429) || status === 500;
}

/** Of a refusal: whatever it is, there is a problem in it. */
function problemOf({ status, body }: HttpAnswer): Problem {
  try {
    return { ...readProblem(parse(body)), status };
  } catch {
    return blank(body.toString("latin1", 0, 200), status);
  }
}

/** What is in a document of the server's; throws an Error that says what was expected. */
type Json = Readonly<Record<string, unknown>>;
type Reader<T> = (document: Json) => T;

/** `retryAfter`: when the server wants to be asked again, in ms. */
interface Resource {
  readonly url: string;
  readonly retryAfter: number | undefined;
}

/** RFC 8555 7.1.1; what is optional in `meta` is empty if it isn't there. */
export type Directory = Readonly<ReturnType<typeof readDirectory>>;

function readDirectory(o: Json) {
  const meta = optional(o, "meta", object) ?? {};
  const profiles = optional(meta, "profiles", object) ?? {};
  return {
    newNonce: link(o, "newNonce"),
    newAccount: link(o, "newAccount"),
    newOrder: link(o, "newOrder"),
    revokeCert: link(o, "revokeCert"),
    keyChange: link(o, "keyChange"),
    renewalInfo: optional(o, "renewalInfo", link),
    meta: {
      termsOfService: optional(meta, "termsOfService", text),
      caaIdentities: optional(meta, "caaIdentities", texts) ?? [],
      externalAccountRequired: meta.externalAccountRequired === true,
      /** Name to description. */
      profiles: new Map(Object.keys(profiles).map((name) => [name, text(profiles, name)])),
      // draft-ietf-acme-dns-persist-02
      issuerDomainNames: optional(meta, "issuerDomainNames", texts) ?? [],
      accountHashPrefix: optional(meta, "accountHashPrefix", text),
    },
  };
}

/** RFC 8555 7.1.2; `body` is the object as the server sent it. */
export type Account = Resource & Readonly<ReturnType<typeof readAccount>>;

function readAccount(o: Json) {
  const status = optional(o, "status", text) ?? "valid";
  return { status, contact: optional(o, "contact", texts) ?? [], body: o as unknown };
}

/** RFC 8555 7.1.3. `status`: pending, ready, processing, valid, invalid, or another word. */
export type Order = Resource & Readonly<ReturnType<typeof readOrder>>;

function readOrder(o: Json) {
  return {
    status: text(o, "status"),
    identifiers: list(o, "identifiers", identifier),
    authorizations: list(o, "authorizations", link),
    finalize: link(o, "finalize"),
    certificate: optional(o, "certificate", link),
    expires: optional(o, "expires", date),
    error: optional(o, "error", problem),
    profile: optional(o, "profile", text),
    replaces: optional(o, "replaces", text),
  };
}

/** RFC 8555 7.1.4. */
export type Authorization = Resource & Readonly<ReturnType<typeof readAuthorization>>;

function readAuthorization(o: Json) {
  return {
    identifier: identifier(o, "identifier"),
    wildcard: o.wildcard === true,
    status: text(o, "status"),
    challenges: list(o, "challenges", object).map(readChallenge),
    expires: optional(o, "expires", date),
  };
}

/** RFC 8555 7.1.5; the last two are those of dns-persist-01, which has no token. */
export interface Challenge {
  readonly type: string;
  readonly url: string;
  readonly status: string;
  readonly token?: string | undefined;
  readonly error?: Problem | undefined;
  readonly issuerDomainNames?: readonly string[] | undefined;
  readonly accountUri?: string | undefined;
}

function readChallenge(o: Json): Challenge {
  return {
    type: text(o, "type"),
    url: link(o, "url"),
    status: text(o, "status"),
    token: optional(o, "token", token),
    error: optional(o, "error", problem),
    issuerDomainNames: optional(o, "issuerDomainNames", texts) ??
      optional(o, "issuer-domain-names", texts),
    accountUri: optional(o, "accountUri", link) ?? optional(o, "accounturi", link),
  };
}

/** RFC 9773 4.2; `retryAfter` in ms. */
export type RenewalInfo =
  & Readonly<ReturnType<typeof readRenewalInfo>>
  & { readonly retryAfter: number };

function readRenewalInfo(o: Json) {
  const window = object(o, "suggestedWindow");
  const [start, end] = [date(window, "start"), date(window, "end")];
  if (start >= end) throw new Error("expected a window that ends after it starts");
  return { start, end, explanationUrl: optional(o, "explanationURL", link) };
}

/** Whatever it is: the problem is that there is one. */
function readProblem(o: Json, nested = false): Problem {
  const lenient = <T>(name: string, read: Member<T>): T | undefined => {
    try {
      return optional(o, name, read);
    } catch {
      return undefined;
    }
  };
  const { status } = o;
  return {
    type: lenient("type", text) ?? "about:blank",
    detail: lenient("detail", text) ?? "",
    status: typeof status === "number" && Number.isInteger(status) ? status : 0,
    instance: lenient("instance", link),
    identifier: lenient("identifier", identifier),
    algorithms: lenient("algorithms", texts),
    subproblems: nested ? [] : (lenient("subproblems", (o, name) => list(o, name, object)) ?? [])
      .map((one) => readProblem(one, true)),
  };
}

interface Chain {
  readonly pem: string;
  /** Common name of the last certificate's issuer. */
  readonly issuer: string | undefined;
  readonly alternates: readonly string[];
}

/** RFC 8555 9.1: nothing but certificates is taken out of it. */
function readChain(body: Buffer): Chain {
  const blocks = pemBlocks(body.toString("latin1"), "CERTIFICATE");
  if (blocks.length > 0 && blocks.length <= MAX_CHAIN) {
    const issuer = blocks.map((block) => readCertificate(block).issuerName).at(-1);
    return { pem: blocks.join(""), issuer, alternates: [] };
  }
  throw new Error(`expected 1 to ${MAX_CHAIN} certificates in PEM, not ${blocks.length}`);
}

function understand<T>(what: string, { status, body }: HttpAnswer, read: (body: Buffer) => T): T {
  try {
    return read(body);
  } catch (cause) {
    const problem = blank((cause as Error).message, status);
    throw new AcmeError(`ACME server answered ${what} with ${status}`, problem, { cause });
  }
}

function parse(body: Buffer): Json {
  if (body.length > MAX_JSON) throw new Error(`expected at most ${MAX_JSON} bytes`);
  try {
    return object({ it: JSON.parse(body.toString()) }, "it");
  } catch {
    throw new Error(`expected a JSON object, not ${shown(body.toString("latin1", 0, 100))}`);
  }
}

/** Reads a member; `label` is its name for people. */
type Member<T> = (object: Json, name: string, label?: string) => T;

function member<T>(expected: string, read: (value: unknown) => T | undefined): Member<T> {
  return (object, name, label = name) => {
    const value = read(object[name]);
    if (value !== undefined) return value;
    throw new Error(`expected ${label} to be ${expected}, not ${shown(object[name])}`);
  };
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 100));
  return typeof value === "object" && value !== null ? "an object or array" : String(value);
}

const asText = (value: unknown): string | undefined =>
  typeof value === "string" && value.length <= MAX_TEXT ? value : undefined;
const matching = (pattern: RegExp) => (value: unknown): string | undefined =>
  pattern.test(asText(value) ?? "") ? asText(value) : undefined;
const asUrl = (value: unknown): string | undefined =>
  matching(/^https?:\/\/[!-~]+$/i)(value) && URL.canParse(value as string)
    ? asText(value)
    : undefined;
const asObject = (value: unknown): Json | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : undefined;
/** RFC 3339. */
const asDate = (value: unknown): Date | undefined => {
  const found = matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i)(value);
  const at = new Date(found ?? NaN);
  return Number.isNaN(at.getTime()) ? undefined : at;
};

const text = member("a text", asText);
const link = member("an http or https URL", asUrl);
const object = member("an object", asObject);
const date = member("a date", asDate);
/** RFC 8555 8.1: it becomes part of a path. */
const token = member("a token in base64url", matching(/^[\w-]+$/));
const array = member(
  "an array",
  (value) =>
    Array.isArray(value) && value.length <= MAX_ITEMS ? value as readonly unknown[] : undefined,
);
const problem: Member<Problem> = (o, name, label) => readProblem(object(o, name, label));
const texts: Member<readonly string[]> = (o, name) => list(o, name, text);

function list<T>(o: Json, name: string, read: Member<T>): readonly T[] {
  return array(o, name).map((it, i) => read({ it }, "it", `${name}[${i}]`));
}

function optional<T>(o: Json, name: string, read: Member<T>): T | undefined {
  return o[name] === undefined || o[name] === null ? undefined : read(o, name);
}

function identifier(o: Json, name: string, label: string = name): Identifier {
  const found = object(o, name, label);
  const type = text(found, "type");
  if (type === "dns" || type === "ip") return { type, value: text(found, "value") };
  throw new Error(`expected ${label} to be of type dns or ip, not ${shown(type)}`);
}

/** Each value of each field of that name. */
function fieldValues({ fields }: HttpAnswer, name: string): string[] {
  return fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === name);
}

/** RFC 8555 6.5.1: other than base64url is to be ignored. */
function nonceOf(answer: HttpAnswer): string | undefined {
  return fieldValues(answer, "replay-nonce").find((value) => /^[\w-]{1,512}$/.test(value));
}

/** RFC 8288 3: any number of `<target>; name="value"; …` in any number of fields. */
function linksOf(answer: HttpAnswer, base: string): Link[] {
  const links = fieldValues(answer, "link").join(",").slice(0, MAX_LINKS).matchAll(
    /<([^<>]*)>((?:[^",]|"(?:[^"\\]|\\.)*")*)/g,
  );
  return [...links].flatMap(([, target = "", parameters = ""]) => {
    const url = absolute(target, base);
    const rel = /^(?:[^"]|"[^"]*")*?;\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]+))/i.exec(parameters);
    const relations = (rel?.[1] ?? rel?.[2] ?? "").toLowerCase().split(/\s+/);
    return url === undefined ? [] : relations.map((rel) => ({ rel, url }));
  });
}

/** As it is, if it isn't relative: the account's URL is compared byte by byte. */
function absolute(url: string, base: string): string | undefined {
  const known = asUrl(url);
  if (known !== undefined || url === "" || !URL.canParse(url, base)) return known;
  return asUrl(new URL(url, base).href);
}

/** RFC 9110 5.6.7, the one form that is still sent; ms since the epoch. */
function httpDate(value = ""): number | undefined {
  const at = /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? undefined : at;
}

/** `retry after 2026-11-25 03:11:00 UTC`, as rate limits are explained; ms since the epoch. */
function retryWords({ status, body }: HttpAnswer): number | undefined {
  if (status !== 429) return undefined;
  const found = /retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:Z| UTC)/.exec(
    body.toString("latin1", 0, MAX_TEXT),
  );
  const at = found ? Date.parse(`${found[1]}T${found[2]}Z`) : NaN;
  return Number.isNaN(at) ? undefined : at;
}

const sleep = (ms: number, signal?: AbortSignal): Promise<unknown> =>
  timer(ms, undefined, signal && { signal });
