/**
 * OCSP (RFC 6960) in its lightweight profile (RFC 5019): the request for one certificate's status,
 * and the response to it, checked as those who are shown the staple will check it.
 *
 * Pure; needs `der.ts`, `x509.ts`, `node:crypto` for hashes and signatures. Refuses a response that
 * isn't strict DER, that was signed by neither the issuer nor a responder that it appointed, that
 * is about another certificate, or whose time isn't now. Not checked: whether the responder's own
 * certificate was revoked (RFC 6960 4.2.2.2.1 leaves that to the CA). There is no nonce. Whatever
 * is wrong, an Error says what; of PEM text the first certificate counts.
 */
import type { Buffer } from "node:buffer";
import { createHash, createPublicKey, verify } from "node:crypto";
import * as der from "./der.ts";
import { type Certificate, fromPem, OID, pemBlocks, readCertificate, toPem } from "./x509.ts";

const [BIT_STRING, SEQUENCE] = [0x03, 0x30];
const URI = 0x86; // GeneralName [6], implicit

const AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
const OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
const OCSP = "1.3.6.1.5.5.7.48.1", OCSP_BASIC = "1.3.6.1.5.5.7.48.1.1";
const SHA1 = "1.3.14.3.2.26";

/** OID, type of the key, hash. SHA-1 isn't among them: its collisions let signatures be moved. */
const SIGNATURES: readonly (readonly [id: string, keyType: string, hash: string])[] = [
  ["1.2.840.10045.4.3.2", "ec", "sha256"],
  ["1.2.840.10045.4.3.3", "ec", "sha384"],
  ["1.2.840.10045.4.3.4", "ec", "sha512"],
  ["1.2.840.113549.1.1.11", "rsa", "sha256"],
  ["1.2.840.113549.1.1.12", "rsa", "sha384"],
  ["1.2.840.113549.1.1.13", "rsa", "sha512"],
];

/** RFC 6960 4.2.1: OCSPResponseStatus, an ENUMERATED; 4 isn't used. */
const SUCCESSFUL = der.tlv(0x0a, Uint8Array.of(0));
const FAILURES = "0 malformedRequest internalError tryLater 4 sigRequired unauthorized".split(" ");
/** CertStatus by its tag: [0] and [2] are NULL, [1] has time and reason. */
const GOOD = 0x80, STATUS = new Map([[0xa1, "revoked"], [0x82, "unknown to its CA"]]);

/** How far the responder's clock may be ahead of ours, in milliseconds. */
const SKEW = 5 * 60_000;

/**
 * The request in DER, to be POSTed as application/ocsp-request to the URL in the certificate, if
 * there is one of HTTP.
 */
export function ocspRequest(
  leafPem: string,
  issuerPem: string,
): { request: Buffer; url: string | undefined } {
  const leaf = read(leafPem);
  const sha1 = der.sequence(der.oid(SHA1), der.nullValue()); // RFC 5019 2.1.1: MUST
  const certId = der.sequence(sha1, ...certIdRest(leaf, read(issuerPem)));
  const request = der.sequence(der.sequence(der.sequence(der.sequence(certId))));
  const descriptions = leaf.extension(AUTHORITY_INFO_ACCESS)?.children ?? [];
  const url = descriptions.filter(({ children: [method] }) => hasOid(method, OCSP))
    .map(({ children: [, at] }) => at?.tag === URI ? at.content.toString("latin1") : "")
    .find((location) => /^https?:\/\//i.test(location));
  return { request, url };
}

/**
 * The end of the time for which a response in DER says that the certificate of ocspRequest() is
 * good; undefined: it has none, "newer revocation information is available all the time".
 */
export function readOcspResponse(
  bytes: Uint8Array,
  leafPem: string,
  issuerPem: string,
  now: Date,
): Date | undefined {
  const issuer = read(issuerPem);
  const basic = items(basicResponse(bytes), 3);
  const [certs] = optional(basic.slice(3), 0xa0);
  const [responderId, , responses, ...more] = items(basic[0], 3);
  refuseCritical(optional(more, 0xa1)[0]);
  checkSignature(basic, responder(responderId, certs ? items(certs) : [], issuer, now));
  const wanted = certIdRest(read(leafPem), issuer);
  const found = items(responses).find((single) => isAbout(single, wanted));
  if (found === undefined) throw new Error("the OCSP response is about other certificates");
  return goodUntil(found, now);
}

/** The BasicOCSPResponse within `OCSPResponse` and `ResponseBytes` (RFC 6960 4.2.1). */
function basicResponse(bytes: Uint8Array): der.DerNode {
  const [status, ...rest] = items(der.readDer(bytes), 1);
  const [code = 0] = status.content;
  if (!status.raw.equals(SUCCESSFUL)) {
    throw new Error(`the OCSP responder answered ${FAILURES[code] ?? code}`);
  }
  const [responseBytes] = optional(rest, 0xa0);
  const [type, response] = responseBytes ? items(responseBytes, 2, 2) : [];
  if (hasOid(type, OCSP_BASIC)) return der.readDer(response.content);
  throw new Error("the OCSP response isn't of the basic type");
}

/** The public key that must have signed: the issuer's, or that of whom it appointed (4.2.2.2). */
function responder(
  id: der.DerNode,
  certs: readonly der.DerNode[],
  issuer: Parsed,
  now: Date,
): Buffer {
  const isNamed = (one: Parsed) =>
    id.raw.equals(der.explicit(1, one.subject)) ||
    id.raw.equals(der.explicit(2, der.octetString(keyHash(one))));
  if (isNamed(issuer)) return issuer.publicKey;
  const isAppointed = (one: Parsed) =>
    isNamed(one) && one.issuer.equals(issuer.subject) &&
    one.extension(OID.extKeyUsage)?.children.some((usage) => hasOid(usage, OCSP_SIGNING)) &&
    one.notBefore <= now && now <= one.notAfter;
  const found = certs.map(({ raw }) => read(toPem("CERTIFICATE", raw))).find(isAppointed);
  if (found === undefined) {
    throw new Error("the OCSP response is signed by none that the issuer appointed");
  }
  checkSignature(found.parts, issuer.publicKey);
  return found.publicKey;
}

/** A certificate and a response have the same parts: what is signed, algorithm, signature. */
function checkSignature(parts: readonly der.DerNode[], publicKey: Buffer): void {
  const [signed, algorithm, signature] = parts;
  const [, keyType, hash = ""] = SIGNATURES.find(([id]) => hasOid(algorithm.children[0], id)) ?? [];
  const key = createPublicKey({ key: publicKey, format: "der", type: "spki" });
  const [unused, bits] = [signature.content[0], signature.content.subarray(1)];
  const fits = signature.tag === BIT_STRING && unused === 0 && key.asymmetricKeyType === keyType;
  if (!fits || !verify(hash, signed.raw, key, bits)) {
    throw new Error("the OCSP response has a wrong signature");
  }
}

/** Whether the CertID is the one asked for; some leave out the NULL of its algorithm. */
function isAbout(single: der.DerNode, wanted: readonly Buffer[]): boolean {
  const [algorithm, ...rest] = items(items(single, 1)[0], 4, 4);
  return hasOid(algorithm.children[0], SHA1) && rest.every(({ raw }, i) => raw.equals(wanted[i]));
}

function goodUntil(single: der.DerNode, now: Date): Date | undefined {
  const [, { tag }, from, ...rest] = items(single, 3);
  const [until, extensions] = optional(rest, 0xa0, 0xa1);
  refuseCritical(extensions);
  const [start, end] = [der.readTime(from), until && der.readTime(until)];
  if (start.getTime() > now.getTime() + SKEW || (end && (end <= now || end < start))) {
    const time = `${start.toISOString()} to ${end?.toISOString() ?? "now"}`;
    throw new Error(`the OCSP response is for another time: ${time}`);
  }
  if (tag !== GOOD) throw new Error(`the certificate is ${STATUS.get(tag) ?? "of no status"}`);
  return end;
}

/** RFC 6960 4.4 leaves to the client which extensions it knows: none that is critical. */
function refuseCritical(extensions: der.DerNode | undefined): void {
  const list = extensions === undefined ? [] : items(extensions);
  for (const extension of list) items(extension, 2, 2);
}

/** With what x509.ts doesn't tell; `issuer` and `subject` are Names in DER. */
interface Parsed extends Certificate {
  readonly parts: readonly der.DerNode[];
  readonly issuer: Buffer;
  readonly subject: Buffer;
}

function read(pem: string): Parsed {
  const certificate = readCertificate(pem);
  const parts = items(der.readDer(fromPem(pemBlocks(pem, "CERTIFICATE")[0])), 3, 3);
  const [version, ...values] = items(parts[0], 6);
  if (version.tag !== 0xa0) values.unshift(version); // v1 leaves it out
  return { ...certificate, parts, issuer: values[2].raw, subject: values[4].raw };
}

/** A CertID after its algorithm: issuerNameHash, issuerKeyHash, serialNumber (RFC 6960 4.1.1). */
function certIdRest(leaf: Parsed, issuer: Parsed): Buffer[] {
  const hashes = [sha1(leaf.issuer), keyHash(issuer)].map(der.octetString);
  return [...hashes, der.tlv(0x02, leaf.serial)];
}

/** Of the bits of the public key alone, "excluding tag, length, and number of unused bits". */
function keyHash({ publicKey }: Parsed): Buffer {
  return sha1(items(der.readDer(publicKey), 2, 2)[1].content.subarray(1));
}

const sha1 = (bytes: Uint8Array): Buffer => createHash("sha1").update(bytes).digest();

/** The values in a SEQUENCE of that many. */
function items(node: der.DerNode, least = 0, most = Infinity): readonly der.DerNode[] {
  const { length } = node.children;
  if (node.tag === SEQUENCE && length >= least && length <= most) return node.children;
  throw new Error(`${length} values with the tag ${node.tag}, expected a sequence`);
}

/** Those that may be left out, each within its `[n]`; in their order and no others. */
function optional(nodes: readonly der.DerNode[], ...tags: number[]): (der.DerNode | undefined)[] {
  const left = [...nodes];
  const found = tags.map((tag) => left[0]?.tag === tag ? left.shift() : undefined);
  const isRight = left.length === 0 && found.every((node) => !node || node.children.length === 1);
  if (isRight) return found.map((node) => node?.children[0]);
  throw new Error("a value too many in the OCSP response");
}

const hasOid = (node: der.DerNode | undefined, id: string): boolean =>
  node !== undefined && node.raw.equals(der.oid(id));
