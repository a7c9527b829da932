/**
 * The resources of the test CA in the order in which a client comes to them: what each does with a
 * request that was signed as it must be (RFC 8555 7, RFC 9773, draft-ietf-acme-profiles).
 */
import { Buffer } from "node:buffer";
import { type KeyObject, randomBytes } from "node:crypto";
import { isIP } from "node:net";
import * as der from "../../lib/der.ts";
import { generalNames, toPem } from "../../lib/x509.ts";
import type { Account, Authorization, CaCertificate, Challenge, Order } from "../ca.ts";
import type { RenewalWindow, State } from "../ca.ts";
import { validate } from "./challenges.ts";
import { type Csr, CsrError, issueLeaf, readCsr, wholeSecond } from "./issuer.ts";
import { base64url, checkAlgorithm, checkMac, checkMembers, checkSignature } from "./jws.ts";
import { type Json, jwkThumbprint, MACS, readJson, readJwk, readJws, thumbprintOf } from "./jws.ts";
import { type Answer, type Identifier, type Problem, problem, refuse } from "./problems.ts";
import { Refused, retryHeader } from "./problems.ts";

const [HOUR, DAY] = [3_600, 86_400]; // seconds

/** A request whose signature was right; for others than POST there is only `path` that counts. */
export interface Call {
  readonly path: string;
  readonly url: string;
  readonly method: string;
  readonly key: KeyObject;
  /** undefined where the request was signed by `jwk`. */
  readonly account: Account | undefined;
  readonly header: Json;
  readonly payload: Json | undefined;
}

type Handler = (ca: State, call: Call) => Answer | Promise<Answer>;

/** Name, path, methods, and what answers. */
export const RESOURCES: readonly (readonly [string, RegExp, string, Handler])[] = [
  ["directory", /^\/directory$/, "GET", directory],
  ["newNonce", /^\/new-nonce$/, "GET HEAD", newNonce],
  ["renewalInfo", /^\/renewal-info\//, "GET", renewalInfo],
  ["newAccount", /^\/new-account$/, "POST", newAccount],
  ["newOrder", /^\/new-order$/, "POST", newOrder],
  ["revokeCert", /^\/revoke-cert$/, "POST", revokeCert],
  ["keyChange", /^\/key-change$/, "POST", keyChange],
  ["account", /^\/account\/\d+$/, "POST", account],
  ["order", /^\/order\/\d+$/, "POST", order],
  ["finalize", /^\/order\/\d+\/finalize$/, "POST", finalize],
  ["authz", /^\/authz\/\d+$/, "POST", authz],
  ["challenge", /^\/authz\/\d+\/\d$/, "POST", challenge],
  ["certificate", /^\/certificate\/\d+$/, "POST", certificate],
  ["alternate", /^\/certificate\/\d+\/alternate$/, "POST", certificate],
];

function directory({ base, settings }: State): Answer {
  const { termsOfService, caaIdentities, externalAccountRequired, profiles, persist } = settings;
  const described = Object.entries(profiles).map(([name, { description }]) => [name, description]);
  const { issuerDomainNames } = persist;
  const hasPersist = settings.challenges.includes("dns-persist-01") && persist.draft === 2;
  return {
    body: {
      "X1q7wF-6Jsc": "https://ca.test/what-is-this-member",
      newNonce: `${base}/new-nonce`,
      newAccount: `${base}/new-account`,
      newOrder: `${base}/new-order`,
      revokeCert: `${base}/revoke-cert`,
      keyChange: `${base}/key-change`,
      ...settings.renewalInfo ? { renewalInfo: `${base}/renewal-info` } : {},
      meta: {
        termsOfService,
        website: "https://ca.test",
        caaIdentities,
        externalAccountRequired,
        ...described.length > 0 ? { profiles: Object.fromEntries(described) } : {},
        ...hasPersist ? { issuerDomainNames, accountHashPrefix: `${base}/account-hash/` } : {},
      },
    },
  };
}

function newNonce(_: State, { method }: Call): Answer {
  return { status: method === "HEAD" ? 200 : 204 }; // RFC 8555 7.2
}

/** RFC 9773 4.1, 4.2. */
function renewalInfo(ca: State, { path }: Call): Answer {
  if (!ca.settings.renewalInfo) return refuse("malformed", "no ARI here", { status: 404 });
  const found = findByCertId(ca, path.slice("/renewal-info/".length));
  const { explanationURL, start, end } = windowOf(ca, found);
  const body = { suggestedWindow: { start, end }, explanationURL };
  return { headers: retryHeader(ca.settings.retryAfter.renewalInfo), body };
}

function findByCertId(ca: State, id: string): CaCertificate {
  const [keyId = "", serial = "", ...rest] = id.split(".");
  if (rest.length > 0 || serial === "") refuse("malformed", `${id}: not two parts and a dot`);
  if (!base64url(keyId, "the key identifier").equals(ca.issuer.keyId)) {
    refuse("malformed", `${keyId} is the key identifier of another CA`);
  }
  base64url(serial, "the serial number");
  const found = ca.certificates.find((one) => one.id === id);
  return found ?? refuse("malformed", `no certificate ${id}`, { status: 404 });
}

/** The same for a certificate each time, unless it is revoked in between. */
function windowOf({ settings }: State, one: CaCertificate): RenewalWindow {
  if (typeof settings.renewalInfo === "function") return settings.renewalInfo(one);
  const lifetime = one.notAfter.getTime() - one.notBefore.getTime();
  const ideal = one.revoked
    ? one.revoked.at.getTime() - HOUR * 1000 - lifetime / 100 // the whole window is in the past
    : one.notAfter.getTime() - lifetime / (lifetime < 10 * DAY * 1000 ? 2 : 3);
  const [start, end] = [ideal - lifetime / 100, ideal + lifetime / 100];
  return { start: new Date(start), end: new Date(end) };
}

// ---- Accounts (RFC 8555 7.3)

function accountAnswer({ url, status, contact }: Account, code = 200): Answer {
  const body = { status, contact, termsOfServiceAgreed: true };
  return { status: code, headers: { location: url }, body };
}

function newAccount(ca: State, { key, payload = {}, url, header }: Call): Answer {
  const thumbprint = thumbprintOf(key);
  const existing = ca.accounts.find(({ thumbprints }) => thumbprints.at(-1) === thumbprint);
  if (existing?.status === "valid") return accountAnswer(existing);
  if (existing) refuse("unauthorized", `the key's account is ${existing.status}`);
  if (payload.onlyReturnExisting === true) refuse("accountDoesNotExist", "no account for the key");
  const { termsOfService, externalAccountRequired } = ca.settings;
  if (termsOfService !== undefined && payload.termsOfServiceAgreed !== true) {
    refuse("userActionRequired", "the terms of service weren't agreed", {
      instance: termsOfService,
    });
  }
  const binding = payload.externalAccountBinding;
  if (binding === undefined && externalAccountRequired) {
    refuse("externalAccountRequired", "External account binding is required");
  }
  const account: Account = {
    url: `${ca.base}/account/${ca.requests.length}`, // never the same again
    status: "valid",
    contact: readContact(payload.contact ?? []),
    key,
    thumbprints: [thumbprint],
    externalKeyId: binding === undefined
      ? undefined
      : checkBinding(ca, binding as Json, url, header.jwk),
  };
  ca.accounts.push(account);
  return accountAnswer(account, 201);
}

function readContact(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return refuse("malformed", "contact isn't an array");
  for (const url of value) {
    if (typeof url !== "string" || !url.startsWith("mailto:")) {
      refuse("unsupportedContact", `contact ${url} isn't a mailto URL`);
    }
    // Section 7.3: neither header fields nor more than one address.
    if (!/^mailto:[^@,?\s]+@[^@,?\s]+\.[^@,?\s]+$/.test(url)) refuse("invalidContact", url);
  }
  return value;
}

/** RFC 8555 7.3.4; the key identifier. */
function checkBinding({ settings }: State, value: Json, url: string, jwk: unknown): string {
  const jws = readJws(value);
  const { header, payload } = jws;
  checkMembers(header, ["alg", "kid", "url"], "the binding's protected header");
  const kid = header.kid as string;
  if (!MACS.has(header.alg as string)) refuse("malformed", `${header.alg} isn't a MAC algorithm`);
  if (header.url !== url) refuse("malformed", "the binding's url is another than the request's");
  if (thumbprintOf(readJwk(readJson(payload.toString(), "the binding"))) !== jwkThumbprint(jwk)) {
    refuse("malformed", "the binding's payload is another key than the account's");
  }
  const secret = settings.externalAccounts[kid];
  if (secret === undefined) return refuse("unauthorized", `no external account ${kid}`);
  checkMac(jws, Buffer.from(secret, "base64url"));
  return kid;
}

function account(ca: State, { url, account, payload = {} }: Call): Answer {
  const own = owned(ca.accounts, url, account, (one) => one);
  if (payload.status !== undefined && payload.status !== "deactivated") {
    refuse("malformed", `an account can't be made ${payload.status}`);
  }
  if (payload.contact !== undefined) own.contact = readContact(payload.contact);
  if (payload.status === "deactivated") own.status = "deactivated"; // section 7.3.6
  return accountAnswer(own);
}

/** RFC 8555 7.3.5: the new key signs for the account within what the old one signs. */
function keyChange(ca: State, { url, account, payload = {} }: Call): Answer {
  const inner = readJws(payload);
  checkMembers(inner.header, ["alg", "jwk", "url"], "the inner protected header"); // no nonce
  checkAlgorithm(inner.header);
  const key = readJwk(inner.header.jwk);
  checkSignature(inner, key);
  if (inner.header.url !== url) refuse("malformed", "the inner url is another than the outer");
  const change = readJson(inner.payload.toString(), "the inner payload");
  if (change.account !== account!.url) refuse("malformed", "the inner account is another");
  if (jwkThumbprint(change.oldKey) !== account!.thumbprints.at(-1)) {
    refuse("malformed", "oldKey isn't the account's key");
  }
  const thumbprint = thumbprintOf(key);
  const taken = ca.accounts.find(({ thumbprints }) => thumbprints.at(-1) === thumbprint);
  if (taken) {
    const detail = "the new key has an account";
    throw new Refused(problem("malformed", detail, { status: 409 }), { location: taken.url });
  }
  account!.key = key;
  account!.thumbprints.push(thumbprint);
  return accountAnswer(account!);
}

/** What is at the URL; refused if there is nothing, or it is another account's. */
function owned<T extends { readonly url: string }>(
  list: readonly T[],
  url: string,
  account: Account | undefined,
  ownerOf: (one: T) => Account,
): T {
  const found = list.find((one) => one.url === url);
  if (!found) return refuse("malformed", `nothing at ${url}`, { status: 404 });
  if (ownerOf(found) !== account) refuse("unauthorized", "it is another account's");
  return found;
}

// ---- Orders (RFC 8555 7.4)

function newOrder(ca: State, { account, payload = {} }: Call): Answer {
  const { settings, base } = ca;
  const identifiers = readIdentifiers(ca, payload.identifiers);
  const [notBefore, notAfter] = [payload.notBefore, payload.notAfter].map(readDate);
  if ((notBefore || notAfter) && !settings.dates) {
    refuse("malformed", "NotBefore and NotAfter are not supported");
  }
  const profiles = Object.keys(settings.profiles);
  const { profile = profiles[0] } = payload as { profile?: string };
  if (profile !== undefined && !profiles.includes(profile)) {
    refuse("invalidProfile", `profile "${profile}" not recognized`);
  }
  const predecessor = settings.renewalInfo && payload.replaces !== undefined
    ? checkReplaces(ca, account!, identifiers, payload.replaces)
    : undefined;
  const order: Order = {
    ...{ url: `${base}/order/${ca.orders.length + 1}`, account: account!, identifiers },
    authorizations: identifiers.map((identifier) => authorize(ca, account!, identifier)),
    ...{ expires: new Date(wholeSecond(Date.now()) + DAY * 1000), notBefore, notAfter, profile },
    ...{ replaces: predecessor?.id, status: "pending", polls: 0 },
  };
  ca.orders.push(order);
  if (predecessor) predecessor.replacedBy = order;
  refreshOrder(order);
  const { body } = orderAnswer(ca, order);
  return { status: 201, headers: { location: order.url }, body: body! };
}

/** In another order than they came: nothing says that it is kept. */
function readIdentifiers(ca: State, value: unknown): Identifier[] {
  if (!Array.isArray(value) || value.length === 0) refuse("malformed", "no identifiers");
  const given = value as Identifier[];
  const faults = given.flatMap((identifier) => identifierFault(ca, identifier) ?? []);
  if (faults.length === 1) throw new Refused(faults[0]!);
  if (faults.length > 1) {
    const detail = `${faults[0]!.detail} (and ${faults.length - 1} more problems. Refer to ` +
      "sub-problems for more information.)";
    refuse("rejectedIdentifier", detail, { subproblems: faults });
  }
  const texts = given.map(({ type, value }) => `${type} ${value}`);
  if (new Set(texts).size < texts.length) refuse("malformed", "an identifier is there twice");
  return given.map(({ type, value }) => ({ type, value })).reverse();
}

function identifierFault(ca: State, identifier: Identifier): Problem | undefined {
  const { type, value } = (identifier ?? {}) as Partial<Identifier>;
  if (type !== "dns" && type !== "ip") {
    return problem("unsupportedIdentifier", `an identifier of type ${type}`, { identifier });
  }
  const name = /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$/;
  const fits = typeof value === "string" && value.length <= 253 &&
    (type === "dns" ? name.test(value) : isCanonicalAddress(value));
  const detail = fits
    ? ca.settings.reject({ type, value })
    : `Cannot issue for "${value}": ${type === "dns" ? "no domain name" : "no IP address"}`;
  return detail === undefined ? undefined : problem("rejectedIdentifier", detail, { identifier });
}

/** RFC 8738 3: as RFC 1123 2.1 and RFC 5952 4 write it. */
function isCanonicalAddress(value: string): boolean {
  const host = isIP(value) === 6 ? `[${value}]` : value;
  return isIP(value) !== 0 && new URL(`http://${host}`).hostname === host;
}

function readDate(value: unknown): Date | undefined {
  if (value === undefined) return undefined;
  const isTime = typeof value === "string" &&
    /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(value);
  const date = new Date(isTime ? value : NaN);
  return isNaN(date.getTime()) ? refuse("malformed", `${value} isn't a time`) : date;
}

/** RFC 9773 5. */
function checkReplaces(
  ca: State,
  account: Account,
  identifiers: readonly Identifier[],
  id: unknown,
): CaCertificate {
  if (typeof id !== "string") return refuse("malformed", "replaces isn't a string");
  const found = findByCertId(ca, id);
  if (found.order.account !== account) {
    refuse("unauthorized", "requester account did not request the certificate being replaced");
  }
  const before = found.order.identifiers.map(({ value }) => value);
  if (!identifiers.some(({ value }) => before.includes(value))) {
    refuse("malformed", "no identifier in common with the certificate being replaced");
  }
  if (found.replacedBy && found.replacedBy.status !== "invalid") {
    refuse("alreadyReplaced", `certificate ${id} is already replaced by another order`);
  }
  return found;
}

function orderAnswer(ca: State, order: Order): Answer {
  const { status, expires, identifiers, notBefore, notAfter, error, profile, replaces } = order;
  // Neither in the order of these identifiers nor in that of the request.
  const [first, ...others] = order.authorizations.map(({ url }) => url);
  const authorizations = [...others, first];
  const certificate = status === "valid" ? order.certificate?.url : undefined;
  const urls = { authorizations, finalize: `${order.url}/finalize`, certificate };
  const { retryAfter } = ca.settings;
  return {
    headers: retryHeader(status === "processing" ? retryAfter.order : undefined),
    body: { status, expires, identifiers, notBefore, notAfter, error, profile, replaces, ...urls },
  };
}

/** RFC 8555 7.1.6: of the authorizations' states follows the order's. */
function refreshOrder(order: Order): void {
  if (order.status !== "pending") return;
  const states = order.authorizations.map(({ status }) => status);
  if (states.every((status) => status === "valid")) order.status = "ready";
  else if (states.some((status) => status !== "valid" && status !== "pending")) {
    order.status = "invalid";
  }
}

async function order(ca: State, { url, account, payload }: Call): Promise<Answer> {
  const own = owned(ca.orders, url, account, (one) => one.account);
  if (payload) refuse("malformed", "an order is read by POST-as-GET");
  for (const one of own.authorizations) await settle(one);
  refreshOrder(own);
  if (own.status === "processing" && own.polls-- <= 0) complete(ca, own);
  return orderAnswer(ca, own);
}

async function finalize(ca: State, { url, account, payload }: Call): Promise<Answer> {
  const own = owned(ca.orders, url.replace(/\/finalize$/, ""), account, (one) => one.account);
  const csr = csrOf(base64url(payload?.csr, "csr"));
  for (const one of own.authorizations) await settle(one);
  refreshOrder(own);
  if (own.status !== "ready") {
    refuse("orderNotReady", `Order's status ("${own.status}") is not acceptable for finalization`);
  }
  const wanted = der.readDer(generalNames(own.identifiers.map(({ value }) => value))).children;
  const same = wanted.map(hexOf).sort().join() === csr.names.map(hexOf).sort().join();
  if (!same) refuse("badCSR", "the CSR's names aren't the order's identifiers");
  const cn = own.identifiers.some(({ value }) => value === csr.commonName);
  if (csr.commonName !== undefined && !cn) refuse("badCSR", "the common name isn't in the order");
  const accountSpki = account!.key.export({ type: "spki", format: "der" });
  if (csr.spki.equals(accountSpki)) {
    refuse("badCSR", "certificate public key must be different than account key");
  }
  Object.assign(own, { csr, status: "processing", polls: ca.settings.processing.order });
  if (own.polls === 0) complete(ca, own);
  return orderAnswer(ca, own);
}

function csrOf(bytes: Buffer): Csr {
  try {
    return readCsr(bytes);
  } catch (error) {
    if (!(error instanceof CsrError || error instanceof der.DerError)) throw error;
    return refuse("badCSR", `the CSR can't be taken: ${error.message}`);
  }
}

const hexOf = ({ raw }: der.DerNode): string => raw.toString("hex");

function complete(ca: State, order: Order): void {
  const { issueProblem } = ca.settings;
  order.status = issueProblem ? "invalid" : "valid";
  if (issueProblem) order.error = issueProblem;
  else ca.certificates.push(order.certificate = issue(ca, order, order.csr!));
}

function issue(ca: State, order: Order, csr: Csr): CaCertificate {
  const { settings, issuer } = ca;
  const names = order.identifiers.map(({ value }) => value);
  const lifetime = (settings.profiles[order.profile ?? ""]?.lifetime ?? settings.lifetime) * 1000;
  const start = wholeSecond(Date.now() - Math.min(HOUR * 1000, lifetime / 60));
  const notBefore = order.notBefore ?? new Date(start);
  // RFC 5280 4.1.2.5: both ends belong to the validity.
  const notAfter = order.notAfter ?? new Date(notBefore.getTime() + lifetime - 1000);
  const dates = [notBefore, notAfter] as const;
  const { leaf, serial } = issueLeaf(issuer, csr, { names, dates, ocspUrl: settings.ocspUrl });
  const content = der.integer(serial).subarray(2);
  const pem = toPem("CERTIFICATE", leaf);
  const [first, second] = issuer.intermediates;
  return {
    ...{ url: `${ca.base}/certificate/${ca.certificates.length + 1}`, order },
    id: `${issuer.keyId.toString("base64url")}.${content.toString("base64url")}`,
    ...{ serial: serial.toString("hex"), der: leaf, chains: [pem + first, pem + second] },
    ...{ notBefore, notAfter, spki: csr.spki },
  };
}

// ---- Authorizations and challenges (RFC 8555 7.5)

/** A new one, or a valid one of before. */
function authorize(ca: State, account: Account, { type, value }: Identifier): Authorization {
  const wildcard = value.startsWith("*.");
  const identifier = { type, value: wildcard ? value.slice(2) : value };
  const reused = ca.settings.authzReuse &&
    ca.authorizations.find((one) =>
      one.account === account && one.status === "valid" && one.wildcard === wildcard &&
      one.identifier.type === type && one.identifier.value === identifier.value
    );
  if (reused) return reused;
  const url = `${ca.base}/authz/${ca.authorizations.length + 1}`;
  // By DNS alone for wildcards, and never for addresses (RFC 8738 7).
  const fits = (name: string): boolean => name.startsWith("dns-") ? type === "dns" : !wildcard;
  const challenges = ca.settings.challenges.filter(fits).map((name, index): Challenge => {
    const token = name === "dns-persist-01" ? "" : randomBytes(32).toString("base64url");
    return { url: `${url}/${index}`, type: name, token, status: "pending", polls: 0 };
  });
  const expires = new Date(wholeSecond(Date.now()) + DAY * 1000);
  const made = { url, account, identifier, wildcard, challenges, expires };
  ca.authorizations.push({ ...made, status: "pending" });
  return ca.authorizations.at(-1)!;
}

function challengeBody(ca: State, { account }: Authorization, one: Challenge): Json {
  const { type, url, status, token, error, validated } = one;
  const { draft, issuerDomainNames } = ca.settings.persist;
  const [accounturi, both] = [draft === 1 ? account.url : undefined, { type, url, status }];
  if (token) return { ...both, token, error, validated };
  const persist = draft === 2
    ? { issuerDomainNames }
    : { "issuer-domain-names": issuerDomainNames, accounturi };
  return { ...both, ...persist, error, validated };
}

/** Takes over what has come out, when enough polls have seen it pending. */
async function settle(authorization: Authorization): Promise<void> {
  for (const one of authorization.challenges) {
    if (one.status !== "processing" || one.polls-- > 0) continue;
    const error = await one.outcome;
    one.status = error ? "invalid" : "valid";
    if (error) one.error = error;
    else one.validated = new Date();
    if (authorization.status === "pending") authorization.status = one.status;
  }
}

async function authz(ca: State, { url, account, payload }: Call): Promise<Answer> {
  const own = owned(ca.authorizations, url, account, (one) => one.account);
  if (payload && payload.status !== "deactivated") refuse("malformed", "neither empty nor that");
  if (payload) own.status = "deactivated"; // section 7.5.2
  await settle(own);
  const { identifier, status, expires, challenges } = own;
  const wildcard = own.wildcard || undefined; // section 7.1.4: absent if false
  const shown = challenges.map((one) => challengeBody(ca, own, one));
  return {
    headers: retryHeader(status === "pending" ? ca.settings.retryAfter.authz : undefined),
    body: { identifier, status, expires, wildcard, challenges: shown },
  };
}

async function challenge(ca: State, { url, account, payload }: Call): Promise<Answer> {
  const authzUrl = url.replace(/\/\d$/, "");
  const own = owned(ca.authorizations, authzUrl, account, (one) => one.account);
  const one = own.challenges.find((one) => one.url === url);
  if (!one) return refuse("malformed", `nothing at ${url}`, { status: 404 });
  if (!payload) await settle(own);
  else if (one.status === "pending") {
    if (own.status !== "pending") refuse("malformed", "the authorization must be pending");
    const { validate: how, fail, processing, persist } = ca.settings;
    const failure = fail(own.identifier, one.type);
    const claim = {
      ...{ type: one.type, token: one.token, identifier: own.identifier, wildcard: own.wildcard },
      ...{ accountUrl: own.account.url, thumbprints: own.account.thumbprints },
      persist: { ...persist, accountHashPrefix: `${ca.base}/account-hash/` },
    };
    const isChecked = failure === undefined && how !== "always";
    one.outcome = isChecked ? validate(how, claim) : Promise.resolve(failure);
    Object.assign(one, { status: "processing", polls: processing.challenge });
  }
  return { headers: { link: `<${authzUrl}>;rel="up"` }, body: challengeBody(ca, own, one) };
}

// ---- Certificates (RFC 8555 7.4.2, 7.6)

function certificate(ca: State, { url, account, payload }: Call): Answer {
  const firstUrl = url.replace(/\/alternate$/, "");
  const own = owned(ca.certificates, firstUrl, account, (one) => one.order.account);
  if (payload) refuse("malformed", "a certificate is read by POST-as-GET");
  const isFirst = firstUrl === url;
  const { alternateChain } = ca.settings;
  if (!isFirst && !alternateChain) refuse("malformed", `nothing at ${url}`, { status: 404 });
  const other = `<${isFirst ? `${url}/alternate` : firstUrl}>;rel="alternate"`;
  return {
    headers: {
      "content-type": "application/pem-certificate-chain",
      link: alternateChain ? other : "",
    },
    body: own.chains[isFirst ? 0 : 1],
  };
}

function revokeCert(ca: State, { account, key, payload }: Call): Answer {
  const bytes = base64url(payload?.certificate, "certificate");
  const found = ca.certificates.find((one) => one.der.equals(bytes));
  if (!found) return refuse("malformed", "no certificate of this CA", { status: 404 });
  const allowed = account
    ? account === found.order.account
    : found.spki.equals(key.export({ type: "spki", format: "der" }));
  if (!allowed) refuse("unauthorized", "it is neither the account's nor signed by its key");
  const reason = payload?.reason ?? 0;
  if (typeof reason !== "number" || ![0, 1, 4, 5].includes(reason)) {
    return refuse("badRevocationReason", `reason ${reason}: 0, 1, 4 and 5 are taken`);
  }
  if (found.revoked) refuse("alreadyRevoked", "it was revoked before");
  found.revoked = { reason, at: new Date() };
  return {};
}
