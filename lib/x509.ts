/**
 * X.509 certificates (RFC 5280): self-signed ones, those that answer a tls-alpn-01 challenge (RFC
 * 8737) and requests for others (PKCS #10, RFC 2986) are written; of any certificate what the type
 * Certificate has is read; and which host a set of names covers (RFC 9525). Verifies nothing.
 * No clock and no randomness; needs addr.ts, der.ts, `node:crypto` to sign, `node:net` (isIP).
 */
import { Buffer } from "node:buffer";
import { createHash, createPublicKey, type KeyObject, sign } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { spellAddress } from "./addr.ts";
import * as der from "./der.ts";

const MAX_COMMON_NAME = 64; // RFC 5280 A.1: ub-common-name
const DNS_NAME = 0x82; // GeneralName [2] and [7], implicit
const IP_ADDRESS = 0x87;

export const OID = {
  commonName: "2.5.4.3",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  tlsFeature: "1.3.6.1.5.5.7.1.24", // RFC 7633
  acmeIdentifier: "1.3.6.1.5.5.7.1.31", // RFC 8737 6.1
  extensionRequest: "1.2.840.113549.1.9.14", // RFC 2985 5.4.2
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
} as const;
const COMMON_NAME = der.oid(OID.commonName);

/** By curve, or `rsa`: the hash, and the AlgorithmIdentifier (RFC 5758 3.2, RFC 4055 5). */
const SIGNATURES = new Map<string | undefined, readonly [hash: string, algorithm: Buffer]>([
  ["prime256v1", ["sha256", der.sequence(der.oid(OID.ecdsaWithSha256))]],
  ["secp384r1", ["sha384", der.sequence(der.oid("1.2.840.10045.4.3.3"))]],
  ["rsa", ["sha256", der.sequence(der.oid("1.2.840.113549.1.1.11"), der.nullValue())]],
]);

/**
 * PEM, signed by its own key. `names`: domain names, wildcards, IP addresses; the subject first.
 * `serial`: a positive number of at most 20 octets (RFC 5280 4.1.2.2); 16 random bytes do.
 * `keyAuthorization`: for what a server shows to a client that offers the protocol `acme-tls/1`
 * (RFC 8737 3), with the one name being proved, without `*.`. Throws DerError.
 */
export function selfSigned(options: {
  readonly names: readonly string[];
  readonly key: KeyObject;
  readonly serial: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly keyAuthorization?: string;
}): string {
  const { names, names: [subject = ""], key, keyAuthorization } = options;
  // RFC 5280 4.2.1.6: with an empty subject, the alternative name is critical.
  const fits = subject.length <= MAX_COMMON_NAME;
  const attribute = der.sequence(COMMON_NAME, der.utf8String(subject));
  const name = fits ? der.sequence(der.setOf(attribute)) : der.sequence();
  const extensions = [
    extension(OID.subjectAltName, generalNames(names), !fits),
    extension(OID.basicConstraints, der.sequence(), true), // no CA
    extension(OID.keyUsage, der.bitString(Uint8Array.of(0x80), 7), true), // digitalSignature
    extension(OID.extKeyUsage, der.sequence(der.oid(OID.serverAuth))),
  ];
  if (keyAuthorization !== undefined) {
    const digest = createHash("sha256").update(keyAuthorization).digest();
    extensions.push(extension(OID.acmeIdentifier, der.octetString(digest), true));
  }
  const bytes = signed(key, (algorithm) =>
    der.sequence(
      der.explicit(0, der.integer(2)), // v3
      der.integer(options.serial),
      algorithm,
      name, // issuer
      der.sequence(der.time(options.notBefore), der.time(options.notAfter)),
      name, // subject
      publicKeyInfo(key),
      der.explicit(3, der.sequence(...extensions)),
    ));
  return toPem("CERTIFICATE", bytes);
}

/**
 * PKCS #10 in DER, with an empty subject: the names of a server are alternative names and nothing
 * else (CA/Browser Forum BR 7.1.4.3). `names`: as selfSigned(); they become lower-case. `key`:
 * private: P-256, P-384 or RSA. `mustStaple`: asks for a certificate that clients take with an OCSP
 * response only. Throws DerError.
 */
export function certificateRequest(options: {
  names: readonly string[];
  key: KeyObject;
  mustStaple?: boolean;
}): Buffer {
  const { names, key, mustStaple } = options;
  const wanted = [extension(OID.subjectAltName, generalNames(names))];
  // RFC 7633 6: a SEQUENCE of the TLS extensions that the server must answer: status_request (5).
  if (mustStaple) wanted.push(extension(OID.tlsFeature, der.sequence(der.integer(5))));
  const values = der.setOf(der.sequence(...wanted));
  const attribute = der.sequence(der.oid(OID.extensionRequest), values);
  return signed(key, () =>
    der.sequence(
      der.integer(0), // v1
      der.sequence(), // subject
      publicKeyInfo(key),
      der.tlv(0xa0, attribute), // [0] IMPLICIT SET
    ));
}

/** RFC 5280 4.1, RFC 2986 4.2: what is signed, the algorithm, the signature. */
function signed(key: KeyObject, content: (algorithm: Buffer) => Buffer): Buffer {
  const { asymmetricKeyDetails, asymmetricKeyType } = key;
  const found = SIGNATURES.get(asymmetricKeyDetails?.namedCurve ?? asymmetricKeyType);
  if (!found) throw new der.DerError("no key to sign with: expected P-256, P-384 or RSA");
  const [hash, algorithm] = found;
  const bytes = content(algorithm);
  return der.sequence(bytes, algorithm, der.bitString(sign(hash, bytes, key)));
}

const publicKeyInfo = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ type: "spki", format: "der" });

/** An Extension of a certificate or a request; DER leaves out a `critical` that is FALSE. */
export function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return der.sequence(der.oid(id), ...critical ? [der.boolean(true)] : [], der.octetString(value));
}

/** The value of subjectAltName: names in their order, in lower case, each once. */
export function generalNames(names: readonly string[]): Buffer {
  const encoded = names.map((name) => {
    if (!/^[!-~]+$/.test(name)) throw new der.DerError(`no name for a certificate: ${name}`);
    const address = addressBytes(name);
    if (address) return der.tlv(IP_ADDRESS, address);
    return der.tlv(DNS_NAME, Buffer.from(name.toLowerCase()));
  });
  return der.sequence(...new Map(encoded.map((name) => [name.toString("hex"), name])).values());
}

export type Certificate = ReturnType<typeof readCertificate>;

/** The first certificate of a chain, read and not verified. Throws DerError. */
export function readCertificate(pem: string) {
  const [block] = pemBlocks(pem, "CERTIFICATE");
  if (block === undefined) throw new der.DerError("no certificate in the PEM text");
  const tbs = child(der.readDer(fromPem(block)), 0);
  const first = child(tbs, 0).tag === 0xa0 ? 1 : 0; // v1 has no version
  const validity = child(tbs, first + 3);
  const list = tbs.children.find(({ tag }) => tag === 0xa3);
  return {
    serial: der.readInteger(child(tbs, first)), // with the 00 before a high first bit
    issuerName: commonName(child(tbs, first + 2)),
    notBefore: der.readTime(child(validity, 0)),
    notAfter: der.readTime(child(validity, 1)),
    publicKey: child(tbs, first + 5).raw, // SubjectPublicKeyInfo
    /** A value by its OID. */
    extension(id: string): der.DerNode | undefined {
      const wanted = der.oid(id);
      const found = list?.children[0]?.children.find((e) => child(e, 0).raw.equals(wanted));
      return found && der.readDer(child(found, found.children.length - 1).content);
    },
  };
}

/** Of a Name: a sequence of sets of pairs, of which the last common name is the most specific. */
function commonName(name: der.DerNode): string | undefined {
  const pairs = name.children.flatMap(({ children }) => children);
  const value = pairs.findLast((pair) => child(pair, 0).raw.equals(COMMON_NAME))?.children[1];
  return value?.content.toString(value.tag === 0x0c ? "utf8" : "latin1"); // else PrintableString
}

/** The DNS names and IP addresses of the first certificate: RFC 9525 knows no others. */
export function certificateNames(pem: string): string[] {
  const names = readCertificate(pem).extension(OID.subjectAltName)?.children ?? [];
  return names.flatMap(({ tag, content }) => {
    if (tag === DNS_NAME) return content.toString("latin1");
    return tag === IP_ADDRESS && [4, 16].includes(content.length) ? addressText(content) : [];
  });
}

function child({ children }: der.DerNode, index: number): der.DerNode {
  if (index < children.length) return children[index]!;
  throw new der.DerError(`no value ${index} in a sequence of ${children.length}`);
}

/**
 * Whether a certificate with these names is one for `host` (RFC 9525 6.3): case doesn't count, nor
 * a trailing dot; `*` is a whole left-most label and stands for exactly one; addresses are equal.
 */
export function coversName(names: readonly string[], host: string): boolean {
  const address = addressBytes(host.replace(/^\[(.*)\]$/, "$1"));
  if (address) return names.some((name) => addressBytes(name)?.equals(address));
  const wanted = host.toLowerCase().replace(/\.$/, "");
  const wildcard = wanted.replace(/^[^.]+(?=\..)/, "*");
  return wanted !== "" && names.some((name) => [wanted, wildcard].includes(name.toLowerCase()));
}

/** 4 or 16 bytes; undefined for any other name. */
function addressBytes(text: string): Buffer | undefined {
  if (isIPv4(text)) return Buffer.from(text.split(".").map(Number)); // decimal digits for sure
  if (!isIPv6(text) || text.includes("%")) return undefined;
  // The URL parser reads every spelling and writes one: hexadecimal groups, `::` once at most.
  const spelling = spellAddress(text);
  const padded = spelling.replace(/\w+/g, (group) => group.padStart(4, "0"));
  const [head = "", tail = ""] = padded.split("::").map((half) => half.replaceAll(":", ""));
  return Buffer.from(head + "0".repeat(32 - head.length - tail.length) + tail, "hex");
}

function addressText(bytes: Buffer): string {
  const groups = bytes.toString("hex").replace(/(....)(?=.)/g, "$1:");
  return spellAddress(bytes.length === 4 ? bytes.join(".") : groups);
}

/**
 * An address's name in the reverse tree, which a tls-alpn-01 client asks for by SNI (RFC 8738
 * section 6): `4.3.2.1.in-addr.arpa`, 32 digits and `ip6.arpa`. Throws DerError for anything else.
 */
export function reverseName(address: string): string {
  const bytes = addressBytes(address);
  if (!bytes) throw new der.DerError(`no IP address: ${address}`);
  return bytes.length === 4
    ? `${bytes.toReversed().join(".")}.in-addr.arpa`
    : `${[...bytes.toString("hex")].reverse().join(".")}.ip6.arpa`;
}

/** The blocks of one label, such as `CERTIFICATE`, each with its markers and a last line end. */
export function pemBlocks(text: string, label: string): string[] {
  const block = new RegExp(`-----BEGIN ${label}-----[A-Za-z0-9+/=\\s]+-----END ${label}-----`, "g");
  return (text.match(block) ?? []).map((found) => `${found}\n`);
}

/** The bytes of one block. */
export const fromPem = (block: string): Buffer =>
  Buffer.from(block.replace(/-----[^-]+-----/g, ""), "base64");

export function toPem(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes).toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/** In the forms that the Go program writes and reads: SEC1 for EC, PKCS #1 for RSA. */
export function privateKeyPem(key: KeyObject): string {
  const type = key.asymmetricKeyType === "ec" ? "sec1" : "pkcs1";
  return key.export({ format: "pem", type: type as "pkcs1" }).toString();
}
