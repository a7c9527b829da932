/** Problem documents of the test CA (RFC 8555 6.7, RFC 9457), and the words that are looked for. */

/** An identifier as in orders (RFC 8555 9.7.7, RFC 8738): type `dns` or `ip`. */
export interface Identifier {
  readonly type: string;
  readonly value: string;
}

/** `type` is a whole URN. Made by problem() and says(). */
export interface Problem {
  readonly type: string;
  readonly detail: string;
  readonly status?: number;
  readonly instance?: string;
  readonly identifier?: Identifier;
  readonly algorithms?: readonly string[];
  readonly subproblems?: readonly Problem[];
}

export const URN = "urn:ietf:params:acme:error:";

/** Where RFC 8555 and RFC 9773 name one, theirs; 400 for the other types. */
const STATUS: Readonly<Record<string, number>> = {
  caa: 403,
  externalAccountRequired: 403,
  incorrectResponse: 403,
  orderNotReady: 403,
  unauthorized: 403,
  userActionRequired: 403,
  alreadyReplaced: 409,
  rateLimited: 429,
  serverInternal: 500,
};

/** `type` without the URN. */
export function problem(type: string, detail: string, more: Partial<Problem> = {}): Problem {
  return { type: URN + type, detail, status: STATUS[type] ?? 400, ...more };
}

/**
 * What Let's Encrypt answers, in its words where a client looks for words: type and detail, with
 * numbers in braces for the values. IP is an address, FETCH that and a URL.
 */
const FETCH = "{0}: Fetching {1}: ";
const WORDS = {
  // http-01: address, URL
  timeout: ["connection", `${FETCH}Timeout during connect (likely firewall problem)`],
  refused: ["connection", `${FETCH}Connection refused`],
  readTimeout: ["connection", `${FETCH}Timeout after connect (your server may be slow)`],
  redirectLoop: ["connection", `${FETCH}Redirect loop detected`],
  tooManyRedirects: ["connection", `${FETCH}Too many redirects`],
  wrongStatus: ["unauthorized", "{0}: Invalid response from {1}: {2}"],
  wrongBody: ["unauthorized", 'The key authorization file was not right: "{2}" from {1} ({0})'],
  // tls-alpn-01: name, reason
  noAlpn: ["unauthorized", 'Cannot negotiate ALPN protocol "acme-tls/1" for tls-alpn-01 challenge'],
  wrongCertificate: [
    "unauthorized",
    "Incorrect validation certificate for tls-alpn-01 challenge. Requested {0}: {1}",
  ],
  tlsFailed: ["tls", "{0}: remote error: tls: {1}"],
  // DNS: name, type
  noAddress: ["dns", "no valid A records found for {0}; no valid AAAA records found for {0}"],
  noSuchName: [
    "dns",
    "DNS problem: NXDOMAIN looking up {1} for {0} - check that a DNS record exists for this domain",
  ],
  servfail: ["dns", "DNS problem: SERVFAIL looking up {1} for {0}"],
  noTxt: ["unauthorized", "No TXT record found at {0}"],
  wrongTxt: ["unauthorized", 'Incorrect TXT record "{1}"{2} found at {0}'],
  caa: ["caa", "CAA record for {0} prevents issuance"],
  // Requests
  tooManyCertificates: [
    "rateLimited",
    "too many certificates (5) already issued for this exact set of identifiers in the last " +
    "168h0m0s, retry after {0}: see https://ca.test/limits",
  ],
  tooManyFailures: ["rateLimited", "too many failed authorizations recently"], // without a time
  paused: [
    "rateLimited",
    "Your account is temporarily prevented from requesting certificates for {0}. " +
    "Please visit: {1}",
  ],
  notPublic: [
    "rejectedIdentifier",
    'Cannot issue for "{0}": Domain name does not end with a valid public suffix (TLD)',
  ],
  noAddressByProfile: [
    "rejectedIdentifier",
    "Default profile does not permit IP address identifiers",
  ],
  profileNotPermitted: [
    "unauthorized",
    'account ID 1 is not permitted to use certificate profile "{0}"',
  ],
  busy: ["serverInternal", "Service busy; retry later."],
} as const satisfies Readonly<Record<string, readonly [string, string]>>;

/** One of the table; a Date becomes `2026-11-25 03:11:00 UTC`. */
export function says(what: keyof typeof WORDS, ...values: readonly (string | Date)[]): Problem {
  const [type, words] = WORDS[what];
  const texts = values.map((value) =>
    typeof value === "string" ? value : value.toISOString().replace(/T(.*)\.\d+Z/, " $1 UTC")
  );
  return problem(type, words.replace(/\{(\d)\}/g, (_, index) => texts[index] ?? ""));
}

/** As another vantage point says it. */
export function secondary(first: Problem): Problem {
  return { ...first, detail: `During secondary validation: ${first.detail}` };
}

/** Seconds, or a time, which is sent as an HTTP-date. */
export type RetryAfter = number | Date;

export interface Answer {
  /** Default 200. */
  readonly status?: number;
  /** Names in lower case; an empty value keeps a header away that would be sent otherwise. */
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body?: string | Uint8Array | object;
  /**
   * `cut` closes the connection after half of the body, `hang` says nothing more from there;
   * without a body, both before the first byte. `endless` goes on after the body, with blanks.
   */
  readonly ending?: "cut" | "hang" | "endless";
}

/** The answer that a request is refused with. */
export function refusal(problem: Problem, retryAfter?: RetryAfter): Answer {
  const headers = { "content-type": "application/problem+json", ...retryHeader(retryAfter) };
  return { status: problem.status ?? 400, headers, body: problem };
}

/** Ends a request with a problem. */
export class Refused extends Error {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;

  constructor(problem: Problem, headers: Readonly<Record<string, string>> = {}) {
    super(problem.detail);
    this.problem = problem;
    this.headers = headers;
  }
}

export function refuse(type: string, detail: string, more: Partial<Problem> = {}): never {
  throw new Refused(problem(type, detail, more));
}

export function retryHeader(after: RetryAfter | undefined): Record<string, string> {
  if (after === undefined) return {};
  return { "retry-after": typeof after === "number" ? `${after}` : after.toUTCString() };
}
