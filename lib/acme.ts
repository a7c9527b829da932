/**
 * A client of the ACME protocol, in the order of its flow: directory, account, order,
 * authorization, challenge, certificate, revocation, renewal. RFC 8555 with key roll-over and
 * external accounts, RFC 8738 (IP addresses), RFC 9773 (ARI), draft-ietf-acme-profiles.
 *
 * Needs `acmeobjects.ts`, `jose.ts`, `number.ts`, `x509.ts` with its `addr.ts` and `der.ts`; and
 * a function that sends an HTTP request, such as `httpsclient.ts` has. No files, no settings;
 * challenges are answered by the caller. A client is one account; its calls may run side by side.
 *
 * An answer that isn't as the RFC has it is an AcmeError that says what was expected. Requests that
 * change nothing, and finalize, are repeated when the server or the network fails; others are the
 * caller's to repeat. What the transport throws goes through as it is.
 */
import { createHash, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { setTimeout as timer } from "node:timers/promises";
import type { Account, Authorization, Directory, Identifier, Order } from "./acmeobjects.ts";
import type { Problem, Reader, RenewalInfo, Resource } from "./acmeobjects.ts";
import * as objects from "./acmeobjects.ts";
import { blank } from "./acmeobjects.ts";
import type { HttpAnswer, HttpClient, HttpRequest } from "./httpsclient.ts";
import * as jose from "./jose.ts";
import { parseDecimal } from "./number.ts";
import { OID, readCertificate } from "./x509.ts";

export type { Authorization, Challenge, Identifier, Order, Problem } from "./acmeobjects.ts";

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000] as const;
const MAX_ALTERNATES = 10; // chains that are looked at for the preferred issuer
const MAX_NONCES = 64; // kept
const MAX_BAD_NONCES = 100; // retries of one request: Pebble may refuse nine nonces in ten
const MAX_REPEATS = 4; // of one request when the server or the network fails
const FIRST_PAUSE = 200; // ms before the first look; doubled for each one after it, to MAX_PAUSE
const MAX_PAUSE = 5 * SECOND;
const MAX_POLL = HOUR; // in all, with what Retry-After asks for
const MAX_RETRY_AFTER = 31 * DAY;
const NAMESPACE = "urn:ietf:params:acme:error:"; // RFC 8555 6.7
const POST_FIELDS = ["Content-Type", "application/jose+json", "Accept-Language", "en"];
/** RFC 9773 5 has 409 for `replaces`; CAs say the others too, of a certificate they don't know. */
const NOT_REPLACED = [400, 403, 404, 409, 500];

export interface AcmeOptions {
  readonly directory: string; // URL
  readonly http: HttpClient;
  readonly key: KeyObject; // the account's, private: P-256, P-384, RSA from 2048 bits
  readonly accountUrl?: string | undefined; // what an earlier newAccount() found
  readonly now?: () => number; // ms since the epoch; default Date.now
  readonly wait?: (ms: number) => Promise<unknown>; // default a timer
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
  readonly #signal: AbortSignal | undefined;

  constructor(options: AcmeOptions, session?: Session, signal?: AbortSignal) {
    this.#options = options;
    this.#session = session ?? { key: options.key, accountUrl: options.accountUrl, nonces: [] };
    this.#signal = signal;
  }

  /** This client, account and nonces included, for calls that end with the signal's reason. */
  withSignal(signal: AbortSignal): AcmeClient {
    return new AcmeClient(this.#options, this.#session, signal);
  }

  get accountUrl(): string | undefined {
    return this.#session.accountUrl;
  }

  /** The server's clock minus ours in ms, to the second, by the latest answer. */
  get clockSkew(): number | undefined {
    return this.#session.clockSkew;
  }

  /** RFC 8555 7.1.1; asked for once a day, for all who wait: nobody's signal ends the request. */
  getDirectory(): Promise<Directory> {
    const [session, options] = [this.#session, this.#options];
    if (session.directory === undefined || session.directory.end <= this.#now()) {
      const shared = new AcmeClient(options, session);
      const value = shared.#get("directory", options.directory, objects.readDirectory, "GET");
      session.directory = { value, end: this.#now() + DAY };
      value.catch(() => session.directory = undefined);
    }
    return orAborted(session.directory.value, this.#signal);
  }

  /**
   * RFC 8555 7.3: finds the key's account, or makes one unless `onlyReturnExisting`; agrees to the
   * terms of service. `externalAccount` (7.3.4): `hmac` in base64url or base64; default HS256.
   */
  async newAccount(options: {
    contact?: readonly string[];
    onlyReturnExisting?: boolean;
    externalAccount?: { kid: string; hmac: string; algorithm?: jose.MacAlgorithm } | undefined;
  } = {}): Promise<Account> {
    const { newAccount: url } = await this.getDirectory();
    const { contact, onlyReturnExisting, externalAccount: external } = options;
    const { key } = this.#session;
    const payload = {
      termsOfServiceAgreed: true,
      contact: contact?.length ? contact : undefined,
      onlyReturnExisting,
      externalAccountBinding: external && jose.macJws(
        external.algorithm ?? "HS256",
        jose.decodeBase64url(external.hmac),
        { kid: external.kid, url },
        jose.publicJwk(key),
      ),
    };
    const account = await this.#create("newAccount", url, payload, objects.readAccount, key);
    this.#session.accountUrl = account.url;
    return account;
  }

  /** RFC 8555 7.3.2. `contact`: URLs, `mailto:` mostly; none removes those that are there. */
  async updateAccount(contact: readonly string[]): Promise<void> {
    await this.#send("account", this.#kid(), { contact });
  }

  /** RFC 8555 7.3.6: for good. */
  async deactivateAccount(): Promise<void> {
    await this.#send("account", this.#kid(), { status: "deactivated" });
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
   * it. A profile that isn't offered is not asked for.
   */
  async newOrder(options: {
    identifiers: readonly Identifier[];
    profile?: string;
    replaces?: string | undefined;
  }): Promise<Order> {
    const { newOrder: url, renewalInfo, meta: { profiles } } = await this.getDirectory();
    const { replaces, ...plain } = options;
    if (plain.profile !== undefined && !profiles.has(plain.profile)) {
      const detail = `no ${plain.profile}, only: ${[...profiles].join(", ")}`;
      throw new AcmeError("ACME profile", { ...blank(detail), type: `${NAMESPACE}invalidProfile` });
    }
    const order = (payload: object) => this.#create("newOrder", url, payload, objects.readOrder);
    if (replaces === undefined || renewalInfo === undefined) return order(plain);
    return order(options).catch((error) => {
      if (NOT_REPLACED.includes(error.problem?.status)) return order(plain);
      throw error;
    });
  }

  getOrder(url: string): Promise<Order> {
    return this.#get("order", url, objects.readOrder);
  }

  /** RFC 8555 7.5. */
  getAuthorization(url: string): Promise<Authorization> {
    return this.#get("authorization", url, objects.readAuthorization);
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
  async respond(challengeUrl: string): Promise<void> {
    await this.#send("challenge", challengeUrl, {});
  }

  /** Resolves when it is valid; rejects with the problem of the challenge that failed. */
  async waitForAuthorization(url: string): Promise<Authorization> {
    const isFinal = ({ status }: Authorization) => status !== "pending";
    const one = await this.#poll("authorization", () => this.getAuthorization(url), isFinal);
    if (one.status === "valid") return one;
    const { identifier, wildcard, challenges, status } = one;
    const { type = "authorization", error = blank(`the authorization is ${status}`) } =
      challenges.find((challenge) => challenge.error) ?? {};
    const name = wildcard ? `*.${identifier.value}` : identifier.value;
    const problem = { ...error, identifier: error.identifier ?? identifier };
    throw new AcmeError(`ACME server refused ${type} for ${name}`, problem);
  }

  /**
   * RFC 8555 7.4: asks for the certificate, unless that was done before, and waits until the order
   * is `valid` and has it. `csr`: PKCS #10 in DER.
   */
  async finalize(order: Order, csr: Uint8Array): Promise<Order> {
    const { url, finalize } = order;
    const payload = { csr: jose.base64url(csr) };
    const ask = async () => {
      if (!["pending", "ready"].includes(order.status)) return;
      const answer = await this.#send("finalize", finalize, payload);
      order = this.#read("finalize", answer, objects.readOrder, url);
    };
    // Answers get lost, and an order may not be ready yet: its state says what to do.
    await this.#repeat(ask, async () => {
      order = await this.#waitForOrder(await this.getOrder(url), ["ready", "processing"]);
    });
    order = await this.#waitForOrder(order, []);
    if (order.certificate !== undefined) return order;
    throw new AcmeError("ACME server made the order valid", blank("expected a certificate's URL"));
  }

  /** Until it is in a wanted state or valid; rejects when it can't come to one. */
  #waitForOrder(order: Order, wanted: readonly string[]): Promise<Order> {
    const isDone = ({ status, error = blank("no reason given") }: Order) => {
      if (status === "valid" || wanted.includes(status)) return true;
      if (["pending", "ready", "processing"].includes(status)) return false;
      throw new AcmeError(`ACME server made the order ${status}`, error);
    };
    return this.#poll("order", () => this.getOrder(order.url), isDone, order);
  }

  /**
   * RFC 8555 7.4.2: PEM, the leaf first. `preferredIssuer`: of several chains, the one whose last
   * certificate has this issuer; else the first, also when another can't be had.
   */
  async getCertificate(url: string, preferredIssuer?: string): Promise<string> {
    const first = await this.#get("certificate", url, objects.readChain);
    if ((preferredIssuer ?? first.issuer) === first.issuer) return first.pem;
    for (const alternate of first.alternates.slice(0, MAX_ALTERNATES)) {
      const get = this.#get("certificate", alternate, objects.readChain);
      const other = await get.catch(() => undefined);
      if (other !== undefined && other.issuer === preferredIssuer) return other.pem;
    }
    return first.pem;
  }

  /** RFC 8555 7.6; signed by the certificate's key or the account. Revoked before is no error. */
  async revokeCertificate(der: Uint8Array, certificateKey?: KeyObject): Promise<void> {
    const { revokeCert: url } = await this.getDirectory();
    const certificate = jose.base64url(der);
    await this.#send("revokeCert", url, { certificate }, certificateKey).catch((error) => {
      if (error.type !== "alreadyRevoked") throw error;
    });
  }

  /** RFC 9773 4, by certificateId(); undefined if the CA has none. */
  async renewalInfo(id: string): Promise<RenewalInfo | undefined> {
    const { renewalInfo } = await this.getDirectory();
    if (renewalInfo === undefined) return undefined;
    const url = `${renewalInfo.replace(/\/$/, "")}/${id}`;
    const info = await this.#get("renewalInfo", url, objects.readRenewalInfo, "GET");
    const { retryAfter = 6 * HOUR } = info; // RFC 9773 4.3.3, 4.3.2
    return { ...info, retryAfter: Math.min(Math.max(retryAfter, MINUTE), DAY) };
  }

  /** POST-as-GET (RFC 8555 6.3) for all that belongs to an account. */
  async #get<T>(what: string, url: string, read: Reader<T>, method: "GET" | "POST" = "POST") {
    const ask = () =>
      method === "GET" ? this.#exchange(what, { method, url }) : this.#send(what, url, "");
    return this.#read(what, await this.#repeat(ask), read, url);
  }

  /** What a request makes has its URL in Location (RFC 8555 7.3, 7.4). */
  async #create<T>(what: string, url: string, payload: object, read: Reader<T>, key?: KeyObject) {
    const answer = await this.#send(what, url, payload, key);
    const [location = ""] = objects.fieldValues(answer.fields, "location");
    return this.#read(what, answer, read, objects.absolute(location, url));
  }

  #read<T>(what: string, answer: HttpAnswer, read: Reader<T>, url?: string): T & Resource {
    const { status, fields, body } = answer;
    try {
      if (url === undefined) throw new Error("expected a Location field with a URL");
      return { url, retryAfter: this.#retryAfter(fields), ...read(body, fields, url) };
    } catch (cause) {
      const problem = blank((cause as Error).message, status);
      throw new AcmeError(`ACME server answered ${what} with ${status}`, problem);
    }
  }

  /** Asks again while the error looks as if it passes. */
  async #repeat<T>(request: () => Promise<T>, before?: () => Promise<void>): Promise<T> {
    for (let tries = 0;; tries++) {
      try {
        return await request();
      } catch (error) {
        const { retryAfter = pauseAfter(tries + 2) } = error instanceof AcmeError ? error : {};
        if (!isPassing(error) || tries === MAX_REPEATS || retryAfter > MINUTE) throw error;
        await this.#wait(retryAfter);
      }
      await before?.();
    }
  }

  async #poll<T extends Resource & { readonly status: string }>(
    what: string,
    get: () => Promise<T>,
    isDone: (state: T) => boolean,
    state?: T,
  ): Promise<T> {
    const end = this.#now() + MAX_POLL;
    for (let tries = 0; state === undefined || !isDone(state); tries++) {
      const pause = Math.max(state?.retryAfter ?? pauseAfter(tries), FIRST_PAUSE);
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
    for (let tries = 0;; tries++) {
      const nonce = this.#session.nonces.pop() ?? await this.#newNonce();
      const by = key ? { jwk: jose.publicJwk(key) } : { kid: this.#kid() };
      const jws = jose.signJws(key ?? this.#session.key, { nonce, url, ...by }, payload);
      const [fields, body] = [POST_FIELDS, JSON.stringify(jws)];
      try {
        return await this.#exchange(what, { method: "POST", url, fields, body });
      } catch (error) {
        const isBadNonce = error instanceof AcmeError && error.type === "badNonce";
        if (!isBadNonce || tries >= MAX_BAD_NONCES) throw error;
      }
    }
  }

  /** RFC 8555 7.2. */
  async #newNonce(): Promise<string> {
    const { newNonce: url } = await this.getDirectory();
    const answer = await this.#repeat(() => this.#exchange("newNonce", { method: "HEAD", url }));
    const nonce = objects.nonceOf(answer.fields);
    if (nonce !== undefined) return nonce;
    throw new AcmeError("ACME newNonce", blank("expected a Replay-Nonce field in base64url"));
  }

  async #exchange(what: string, request: HttpRequest): Promise<HttpAnswer> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    const answer = await this.#options.http({ ...request, ...signal && { signal } });
    const date = objects.httpDate(objects.fieldValues(answer.fields, "date")[0]);
    if (!Number.isNaN(date)) this.#session.clockSkew = date - this.#now();
    // The latest is used first: those before it may be forgotten by the server.
    const nonce = request.method === "HEAD" ? undefined : objects.nonceOf(answer.fields);
    const { nonces } = this.#session;
    if (nonce !== undefined && nonces.push(nonce) > MAX_NONCES) nonces.shift();
    const { status, fields, body } = answer;
    if (status >= 200 && status < 300) return answer;
    const [problem, retryAfter] = [objects.problemOf(body, status), this.#retryAfter(fields)];
    throw new AcmeError(`ACME server answered ${what} with ${status}`, problem, retryAfter);
  }

  #kid(): string {
    if (this.#session.accountUrl !== undefined) return this.#session.accountUrl;
    throw new AcmeError("ACME account unknown", blank("expected newAccount() to be called first"));
  }

  /** RFC 9110 10.2.3: seconds, or a time on the server's clock; in ms from now. */
  #retryAfter(fields: readonly string[]): number | undefined {
    const [value = ""] = objects.fieldValues(fields, "retry-after");
    const seconds = parseDecimal(value.slice(0, 15)); // with more digits it is no less too long
    const ms = seconds === undefined
      ? objects.httpDate(value) - this.#now() - (this.#session.clockSkew ?? 0)
      : seconds * SECOND;
    return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER);
  }

  async #wait(ms: number): Promise<void> {
    const signal = this.#signal;
    const { wait = (ms) => timer(ms, undefined, signal && { signal }) } = this.#options;
    await wait(ms).finally(() => signal?.throwIfAborted());
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

const pauseAfter = (tries: number): number => Math.min(FIRST_PAUSE * 2 ** tries, MAX_PAUSE);

/** Rejects when the signal is aborted; what is waited for goes on. */
export function orAborted<T>(value: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal?.reason);
    signal?.addEventListener("abort", stop);
    value.then(resolve, reject).finally(() => signal?.removeEventListener("abort", stop));
    if (signal?.aborted) stop();
  });
}

/** RFC 9773 4.1, for the first certificate of a chain. Throws an Error if it can't have one. */
export function certificateId(pem: string): string {
  const { serial, extension } = readCertificate(pem);
  const parts = extension(OID.authorityKeyIdentifier)?.children ?? [];
  const keyIdentifier = parts.find(({ tag }) => tag === 0x80);
  if (!keyIdentifier) throw new Error("the certificate doesn't say which key signed it");
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

  constructor(did: string, problem: Problem, retryAfter?: number) {
    const parts = problem.subproblems.map((one) =>
      `; ${one.identifier ? `${one.identifier.value}: ` : ""}${words(one)}`
    );
    super(`${did}: ${words(problem)}${parts.join("")}`);
    this.problem = problem;
    this.type = problem.type.startsWith(NAMESPACE) ? problem.type.slice(NAMESPACE.length) : "";
    this.retryAfter = retryAfter;
  }
}

/** `unauthorized "the server's words"`. */
function words({ type, detail }: Problem): string {
  const short = type === "about:blank" ? "" : `${type.replace(NAMESPACE, "")} `;
  return `${short}${JSON.stringify(detail)}`;
}

/** What the transport throws, and what the server says of itself. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof AcmeError)) return !(error instanceof jose.JoseError);
  const { type, problem: { status }, retryAfter } = error;
  return type === "orderNotReady" || status >= 500 || (status === 429 && retryAfter !== undefined);
}
