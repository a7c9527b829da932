/**
 * OCSP responses about one certificate: how each differs from a good one that its issuer signed, and
 * what comes of it, "good" or an error's words. Times are in minutes from now.
 */

/** What a response is made of; the defaults are in `makeResponse` of ocsp.test.ts. */
export interface ResponseParts {
  /** OCSPResponseStatus. */
  readonly code?: number;
  readonly withoutBytes?: boolean;
  readonly type?: string;
  /** Who signs; `unfit` and so on are certificates of the issuer, `foreign` is another CA's. */
  readonly signer?: "issuer" | "appointed" | "unfit" | "expired" | "early" | "foreign" | "posing";
  readonly by?: "name" | "key";
  readonly certs?: "signer" | "none" | "others first" | "garbage";
  readonly algorithm?: string;
  readonly status?: "good" | "revoked" | "unknown" | "else";
  readonly serial?: number;
  readonly hash?: "sha1" | "sha256" | "sha1 without NULL";
  readonly wrong?:
    | "name hash"
    | "key hash"
    | "signature"
    | "signed bytes"
    | "unused bits";
  readonly from?: number;
  readonly until?: number | "none";
  readonly critical?: "response" | "single";
  readonly extension?: "response" | "single";
  /** Statuses of other certificates around it, or nothing at all. */
  readonly among?: "others" | "only others" | "none";
  readonly version?: number;
  readonly extra?: "outside" | "response" | "single" | "data";
}

export interface OcspVector {
  readonly name: string;
  readonly why: string;
  readonly input: ResponseParts;
  readonly expect: "good" | RegExp;
}

const SIGNATURE = /^the OCSP response has a wrong signature$/;
const UNAPPOINTED = /^the OCSP response is signed by none that the issuer appointed$/;
const TIME = /^the OCSP response is for another time: 20\d\d-.*Z to (20\d\d-.*Z|now)$/;
const OTHER = /^the OCSP response is about other certificates$/;
const TOO_MANY = /^a value too many in the OCSP response$/;
const CRITICAL = /^3 values .* expected a sequence$/;

export const vectors: readonly OcspVector[] = [
  { name: "good", why: "the issuer signs itself", input: {}, expect: "good" },
  { name: "revoked", why: "4.2.1", input: { status: "revoked" }, expect: /is revoked$/ },
  { name: "unknown", why: "4.2.1", input: { status: "unknown" }, expect: /is unknown to its CA$/ },
  {
    name: "another status",
    why: "CertStatus is a CHOICE of three",
    input: { status: "else" },
    expect: /is of no status$/,
  },
  { name: "by key", why: "ResponderID's other form", input: { by: "key" }, expect: "good" },
  {
    name: "a certificate that isn't needed",
    why: "some responders send the issuer's along",
    input: { certs: "signer" },
    expect: "good",
  },
  {
    name: "an appointed responder",
    why: "4.2.2.2: the issuer's certificate for it, with id-kp-OCSPSigning",
    input: { signer: "appointed", certs: "signer" },
    expect: "good",
  },
  {
    name: "an appointed responder by key, among others",
    why: "certs may hold more than one",
    input: { signer: "appointed", by: "key", certs: "others first" },
    expect: "good",
  },
  {
    name: "an appointed responder without its certificate",
    why: "there is nowhere else to find it",
    input: { signer: "appointed", certs: "none" },
    expect: UNAPPOINTED,
  },
  {
    name: "certificates that are none",
    why: "they come from outside",
    input: { signer: "appointed", certs: "garbage" },
    expect: /^/,
  },
  {
    name: "a certificate for something else",
    why: "else any customer of the CA could vouch for any other",
    input: { signer: "unfit", certs: "signer" },
    expect: UNAPPOINTED,
  },
  {
    name: "an expired responder",
    why: "its key may have been given away",
    input: { signer: "expired", certs: "signer" },
    expect: UNAPPOINTED,
  },
  {
    name: "a responder to come",
    why: "as one that has been",
    input: { signer: "early", certs: "signer" },
    expect: UNAPPOINTED,
  },
  {
    name: "another CA's responder",
    why: "4.2.2.2: issued directly by the CA in the request",
    input: { signer: "foreign", certs: "signer" },
    expect: UNAPPOINTED,
  },
  {
    name: "a responder of a CA of the same name",
    why: "a name proves nothing",
    input: { signer: "posing", certs: "signer" },
    expect: SIGNATURE,
  },
  { name: "a wrong signature", why: "-", input: { wrong: "signature" }, expect: SIGNATURE },
  { name: "signed otherwise", why: "-", input: { wrong: "signed bytes" }, expect: SIGNATURE },
  {
    name: "unused bits",
    why: "no signature has",
    input: { wrong: "unused bits" },
    expect: SIGNATURE,
  },
  {
    name: "an algorithm for other keys",
    why: "the key says how it is used",
    input: { algorithm: "1.2.840.113549.1.1.11" },
    expect: SIGNATURE,
  },
  {
    name: "SHA-1",
    why: "who finds a collision has a signature for it",
    input: { algorithm: "1.2.840.10045.4.1" },
    expect: SIGNATURE,
  },
  { name: "another serial", why: "3.2, item 1", input: { serial: 7 }, expect: OTHER },
  { name: "another issuer's name", why: "3.2", input: { wrong: "name hash" }, expect: OTHER },
  { name: "another issuer's key", why: "3.2", input: { wrong: "key hash" }, expect: OTHER },
  {
    name: "another hash",
    why: "a response to the request names what the request does",
    input: { hash: "sha256" },
    expect: OTHER,
  },
  {
    name: "SHA-1 without NULL",
    why: "RFC 5754 2: both forms are to be taken",
    input: { hash: "sha1 without NULL" },
    expect: "good",
  },
  { name: "one of several", why: "RFC 5019 2.2.1", input: { among: "others" }, expect: "good" },
  { name: "several others", why: "3.2", input: { among: "only others" }, expect: OTHER },
  { name: "none at all", why: "3.2", input: { among: "none" }, expect: OTHER },
  { name: "no end", why: "2.4: may be left out", input: { until: "none" }, expect: "good" },
  {
    name: "an end that was",
    why: "3.2, item 6",
    input: { from: -20, until: -1 },
    expect: TIME,
  },
  {
    name: "an end that is now",
    why: "no client would see it in time",
    input: { from: -20, until: 0 },
    expect: TIME,
  },
  {
    name: "a begin to come",
    why: "3.2, item 5",
    input: { from: 6 },
    expect: TIME,
  },
  { name: "a clock ahead", why: "clocks differ by minutes", input: { from: 4 }, expect: "good" },
  {
    name: "an end before the begin",
    why: "no time is in it",
    input: { from: 4, until: 3 },
    expect: TIME,
  },
  { name: "an extension", why: "4.4", input: { extension: "response" }, expect: "good" },
  { name: "an extension of one", why: "4.4", input: { extension: "single" }, expect: "good" },
  { name: "a critical extension", why: "4.4", input: { critical: "response" }, expect: CRITICAL },
  { name: "a critical one of one", why: "4.4", input: { critical: "single" }, expect: CRITICAL },
  {
    name: "another version",
    why: "nobody knows what is in it; v1 is left out in DER",
    input: { version: 1 },
    expect: /^/,
  },
  ...["malformedRequest", "internalError", "tryLater", "4", "sigRequired", "unauthorized", "7"].map(
    (word, i) => ({
      name: word,
      why: "4.2.1, OCSPResponseStatus; it isn't signed",
      input: { code: i + 1, withoutBytes: true },
      expect: new RegExp(`^the OCSP responder answered ${word}$`),
    }),
  ),
  {
    name: "a failure with a response",
    why: "the status comes first",
    input: { code: 6 },
    expect: /^the OCSP responder answered unauthorized$/,
  },
  {
    name: "success without a response",
    why: "4.2.1: responseBytes",
    input: { withoutBytes: true },
    expect: /^the OCSP response isn't of the basic type$/,
  },
  {
    name: "another type",
    why: "4.2.1: id-pkix-ocsp-basic is the only one",
    input: { type: "1.3.6.1.5.5.7.48.1.2" },
    expect: /^the OCSP response isn't of the basic type$/,
  },
  {
    name: "bytes after it",
    why: "strict DER",
    input: { extra: "outside" },
    expect: /after the value/,
  },
  { name: "more in a response", why: "strict", input: { extra: "response" }, expect: TOO_MANY },
  { name: "more in the data", why: "strict", input: { extra: "data" }, expect: TOO_MANY },
  { name: "more in a status", why: "strict", input: { extra: "single" }, expect: TOO_MANY },
];
