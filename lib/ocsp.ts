/**
 * OCSP (RFC 6960) in its lightweight profile (RFC 5019): the request for one certificate's status,
 * and the response to it, checked as those who are shown the staple will check it.
 *
 * Pure; needs `der.ts`, `x509.ts`, `node:crypto` for hashes and signatures. Refuses a response that
 * isn't strict DER, that was signed by neither the issuer nor a responder that it appointed, that
 * is about another certificate, or whose time isn't now. Not checked: whether the responder's own
 * certificate was revoked (RFC 6960 4.2.2.2.1 leaves that to the CA). There is no nonce.
 */
import type { Buffer } from "node:buffer";
import { createHash, createPublicKey, verify } from "node:crypto";
import * as der from "./der.ts";
import { type Certificate, fromPem, pemBlocks, readCertificate, toPem } from "./x509.ts";

const [BIT_STRING, ENUMERATED, GENERALIZED_TIME, SEQUENCE] = [0x03, 0x0a, 0x18, 0x30];
const URI = 0x86; // GeneralName [6], implicit

const OID = {
  extKeyUsage: "2.5.29.37",
  authorityInfoAccess: "1.3.6.1.5.5.7.1.1",
  tlsFeature: "1.3.6.1.5.5.7.1.24",
  ocspSigning: "1.3.6.1.5.5.7.3.9",
  ocsp: "1.3.6.1.5.5.7.48.1",
  ocspBasic: "1.3.6.1.5.5.7.48.1.1",
  sha1: "1.3.14.3.2.26",
} as const;

/** OID, type of the key, hash. SHA-1 isn't among them: its collisions let signatures be moved. */
const SIGNATURES: readonly (readonly [string, string, string | null])[] = [
  ["1.2.840.10045.4.3.2", "ec", "sha256"],
  ["1.2.840.10045.4.3.3", "ec", "sha384"],
  ["1.2.840.10045.4.3.4", "ec", "sha512"],
  ["1.2.840.113549.1.1.11", "rsa", "sha256"],
  ["1.2.840.113549.1.1.12", "rsa", "sha384"],
  ["1.2.840.113549.1.1.13", "rsa", "sha512"],
  ["1.3.101.112", "ed25519", null],
];

/** RFC 6960 4.2.1: OCSPResponseStatus from 1 on; 4 isn't used. */
const FAILURES = [
  "malformedRequest",
  "internalError",
  "tryLater",
  "4",
  "sigRequired",
  "unauthorized",
];
/** CertStatus by its tag: [0] and [2] are NULL, [1] has time and reason. */
const STATUS = new Map([[0x80, "good"], [0xa1, "revoked"], [0x82, "unknown"]] as const);

/** How far the responder's clock may be ahead of ours, in milliseconds. */
const SKEW = 5 * 60_000;

/** Says what is wrong with a response, or with a certificate. */
export class OcspError extends Error {
  override readonly name = "OcspError";
}

/** Without `nextUpdate` "newer revocation information is available all the time". */
export interface OcspAnswer {
  readonly status: "good" | "revoked" | "unknown";
  readonly thisUpdate: Date;
  readonly nextUpdate: Date | undefined;
}

/**
 * The request in DER, to be POSTed as application/ocsp-request to the URL in the certificate, if
 * there is one of HTTP. Of either PEM text the first certificate counts. Throws OcspError.
 */
export function ocspRequest(
  leafPem: string,
  issuerPem: string,
): { request: Buffer; url: string | undefined } {
  return orOcspError(() => {
    const [leaf, issuer] = readPair(leafPem, issuerPem);
    const sha1 = der.sequence(der.oid(OID.sha1), der.nullValue()); // RFC 5019 2.1.1: MUST
    const certId = der.sequence(sha1, ...certIdRest(leaf, issuer));
    const request = der.sequence(der.sequence(der.sequence(der.sequence(certId))));
    const descriptions = leaf.extension(OID.authorityInfoAccess)?.children ?? [];
    const url = descriptions.filter(({ children: [method] }) => hasOid(method, OID.ocsp))
      .map(({ children }) => children[1]?.tag === URI ? children[1].content.toString("latin1") : "")
      .find((location) => /^https?:\/\//i.test(location));
    return { request, url };
  });
}

/** Whether a certificate promises a staple (RFC 7633; status_request is 5). Throws DerError. */
export function mustStaple(pem: string): boolean {
  const features = readCertificate(pem).extension(OID.tlsFeature)?.children ?? [];
  return features.some(({ raw }) => raw.equals(der.integer(5)));
}

/** What a response in DER says of the certificate that ocspRequest() asked about; OcspError. */
export function readOcspResponse(
  bytes: Uint8Array,
  leafPem: string,
  issuerPem: string,
  now: Date,
): OcspAnswer {
  return orOcspError(() => {
    const [leaf, issuer] = readPair(leafPem, issuerPem);
    const basic = items(basicResponse(bytes), 3);
    const [certs] = optional(basic.slice(3), 0xa0);
    const [responderId, producedAt, responses, ...more] = items(basic[0], 3);
    const [extensions] = optional(more, 0xa1);
    readTime(producedAt);
    refuseCritical(extensions);
    const signer = responder(responderId, certs ? items(certs) : [], issuer, now);
    checkSignature("the response", basic, signer);
    const wanted = certIdRest(leaf, issuer);
    const found = items(responses).find((single) => isAbout(single, wanted));
    if (found === undefined) throw new OcspError("the response is about other certificates");
    return singleResponse(found, now);
  });
}

/** The BasicOCSPResponse within `OCSPResponse` and `ResponseBytes` (RFC 6960 4.2.1). */
function basicResponse(bytes: Uint8Array): der.DerNode {
  const [status, ...rest] = items(der.readDer(bytes), 1);
  const [code, ...more] = status.content;
  if (status.tag !== ENUMERATED || code === undefined || more.length > 0) {
    throw new OcspError("the response has no status");
  }
  if (code !== 0) throw new OcspError(`the responder answered ${FAILURES[code - 1] ?? code}`);
  const [responseBytes] = optional(rest, 0xa0);
  const [type, response] = responseBytes ? items(responseBytes, 2, 2) : [];
  if (hasOid(type, OID.ocspBasic)) return der.readDer(response.content);
  throw new OcspError("the response isn't of the basic type");
}

/** The public key that must have signed: the issuer's, or that of whom it appointed (4.2.2.2). */
function responder(
  id: der.DerNode,
  certs: readonly der.DerNode[],
  issuer: Parsed,
  now: Date,
): Buffer {
  const isNamed = (certificate: Parsed): boolean =>
    id.raw.equals(der.explicit(1, certificate.subject)) ||
    id.raw.equals(der.explicit(2, der.octetString(keyHash(certificate))));
  if (isNamed(issuer)) return issuer.publicKey;
  const found = certs.map(({ raw }) => read(toPem("CERTIFICATE", raw))).find(isNamed);
  if (found === undefined) throw new OcspError("the response lacks its responder's certificate");
  if (!found.issuer.equals(issuer.subject)) {
    throw new OcspError("the responder's certificate is of another issuer");
  }
  checkSignature("the responder's certificate", found.parts, issuer.publicKey);
  const usages = found.extension(OID.extKeyUsage)?.children ?? [];
  if (!usages.some((usage) => hasOid(usage, OID.ocspSigning))) {
    throw new OcspError("the responder's certificate isn't for signing OCSP responses");
  }
  if (now < found.notBefore || now > found.notAfter) {
    throw new OcspError("the responder's certificate has expired or isn't valid yet");
  }
  return found.publicKey;
}

/** A certificate and a response have the same parts: what is signed, algorithm, signature. */
function checkSignature(what: string, parts: readonly der.DerNode[], publicKey: Buffer): void {
  const [signed, algorithm, signature] = parts;
  const known = SIGNATURES.find(([id]) => hasOid(algorithm.children[0], id));
  if (known === undefined) throw new OcspError(`${what} is signed with an unknown algorithm`);
  const [, type, hash] = known;
  const key = createPublicKey({ key: publicKey, format: "der", type: "spki" });
  const [unused, bits] = [signature.content[0], signature.content.subarray(1)];
  const fits = signature.tag === BIT_STRING && unused === 0 && key.asymmetricKeyType === type;
  if (fits && verify(hash, signed.raw, key, bits)) return;
  throw new OcspError(`${what} has a wrong signature`);
}

/** Whether the CertID is the one asked for; some leave out the NULL of its algorithm. */
function isAbout(single: der.DerNode, wanted: readonly Buffer[]): boolean {
  const [algorithm, ...rest] = items(items(single, 1)[0], 4, 4);
  return hasOid(algorithm.children[0], OID.sha1) &&
    rest.every(({ raw }, i) => raw.equals(wanted[i]));
}

function singleResponse(single: der.DerNode, now: Date): OcspAnswer {
  const [, certStatus, from, ...rest] = items(single, 3);
  const [until, extensions] = optional(rest, 0xa0, 0xa1);
  refuseCritical(extensions);
  const status = STATUS.get(certStatus.tag as 0x80);
  if (status === undefined) throw new OcspError("the response has no status of the certificate");
  const thisUpdate = readTime(from);
  const nextUpdate = until && readTime(until);
  if (thisUpdate.getTime() > now.getTime() + SKEW) {
    throw new OcspError(`the response is only valid from ${thisUpdate.toISOString()} on`);
  }
  if (nextUpdate !== undefined && (nextUpdate <= now || nextUpdate < thisUpdate)) {
    throw new OcspError(`the response ended at ${nextUpdate.toISOString()}`);
  }
  return { status, thisUpdate, nextUpdate };
}

/** RFC 6960 4.4 leaves to the client which extensions it knows: none that is critical. */
function refuseCritical(extensions: der.DerNode | undefined): void {
  const list = extensions === undefined ? [] : items(extensions);
  if (list.every((extension) => items(extension, 2).length === 2)) return;
  throw new OcspError("the response has a critical extension");
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

function readPair(leafPem: string, issuerPem: string): [leaf: Parsed, issuer: Parsed] {
  const [leaf, issuer] = [read(leafPem), read(issuerPem)];
  if (leaf.issuer.equals(issuer.subject)) return [leaf, issuer];
  throw new OcspError("the issuer's certificate is that of another issuer");
}

/** A CertID after its algorithm: issuerNameHash, issuerKeyHash, serialNumber (RFC 6960 4.1.1). */
function certIdRest(leaf: Parsed, issuer: Parsed): Buffer[] {
  const hashes = [sha1(issuer.subject), keyHash(issuer)].map(der.octetString);
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
  throw new OcspError(`${length} values with the tag ${node.tag}, expected a sequence`);
}

/** Those that may be left out, each within its `[n]`; in their order and no others. */
function optional(nodes: readonly der.DerNode[], ...tags: number[]): (der.DerNode | undefined)[] {
  const left = [...nodes];
  const found = tags.map((tag) => left[0]?.tag === tag ? left.shift() : undefined);
  const isRight = left.length === 0 && found.every((node) => !node || node.children.length === 1);
  if (isRight) return found.map((node) => node?.children[0]);
  throw new OcspError("the response has a value too many");
}

function hasOid(node: der.DerNode | undefined, id: string): boolean {
  return node !== undefined && node.raw.equals(der.oid(id));
}

function readTime(node: der.DerNode): Date {
  if (node.tag === GENERALIZED_TIME) return der.readTime(node);
  throw new OcspError("the response has no time where one belongs");
}

/** Whatever der.ts and `node:crypto` throw means that the bytes are wrong. */
function orOcspError<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof OcspError) throw cause;
    throw new OcspError(`damaged: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}
