/**
 * X.509 certificates (RFC 5280): self-signed ones are written, of others the serial number, the
 * expiry, the extensions and the names are read; and which host a set of names covers (RFC 9525).
 * No clock and no randomness; needs der.ts, number.ts, `node:crypto` to sign, `node:net` (isIP).
 */
import { Buffer } from "node:buffer";
import { createHash, createPublicKey, type KeyObject, sign } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import * as der from "./der.ts";
import { parseDecimal } from "./number.ts";

const MAX_COMMON_NAME = 64; // RFC 5280 A.1: ub-common-name
const MAX_SERIAL = 20; // octets (RFC 5280 4.1.2.2)
const DNS_NAME = 0x82; // GeneralName [2] and [7], implicit
const IP_ADDRESS = 0x87;

export const OID = {
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
} as const;

/**
 * PEM. `names`: domain names, wildcards, IP addresses; the subject first. `key`: private, on P-256.
 * `serial`: a positive number of at most 20 octets in DER; 16 random bytes do. Throws DerError.
 */
export function selfSigned(options: {
  names: readonly string[];
  key: KeyObject;
  serial: Uint8Array;
  notBefore: Date;
  notAfter: Date;
}): string {
  const { names: [subject = ""], key } = options;
  const isP256 = key.asymmetricKeyDetails?.namedCurve === "prime256v1";
  if (!isP256) throw new der.DerError("a self-signed certificate takes a key on P-256");
  const serial = der.integer(options.serial);
  const isSerial = serial.length <= 2 + MAX_SERIAL && options.serial.some((byte) => byte !== 0);
  if (!isSerial) throw new der.DerError("a serial number is positive and has at most 20 octets");
  // RFC 5280 4.2.1.6: with an empty subject, the alternative name is critical.
  const fits = subject.length <= MAX_COMMON_NAME;
  const attribute = der.sequence(der.oid(OID.commonName), der.utf8String(subject));
  const name = fits ? der.sequence(der.setOf(attribute)) : der.sequence();
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  const algorithm = der.sequence(der.oid(OID.ecdsaWithSha256));
  const tbsCertificate = der.sequence(
    der.explicit(0, der.integer(2)), // v3
    serial,
    algorithm,
    name, // issuer
    der.sequence(der.time(options.notBefore), der.time(options.notAfter)),
    name, // subject
    spki,
    der.explicit(3, der.sequence(...extensions(options.names, !fits, spki))),
  );
  const signature = sign("sha256", tbsCertificate, key);
  return toPem("CERTIFICATE", der.sequence(tbsCertificate, algorithm, der.bitString(signature)));
}

function extensions(names: readonly string[], critical: boolean, spki: Uint8Array): Buffer[] {
  // RFC 7093 2 (1): of SHA-256 over the bits of the public key, the first 160 bits.
  const bits = child(der.readDer(spki), 1).content.subarray(1);
  const keyId = createHash("sha256").update(bits).digest().subarray(0, 20);
  return [
    extension(OID.subjectAltName, generalNames(names), critical),
    extension(OID.basicConstraints, der.sequence(), true), // no CA
    extension(OID.keyUsage, der.bitString(Uint8Array.of(0x80), 7), true), // digitalSignature
    extension(OID.extKeyUsage, der.sequence(der.oid(OID.serverAuth))),
    extension(OID.subjectKeyIdentifier, der.octetString(keyId)),
  ];
}

/** An Extension of a certificate or a request; DER leaves out a `critical` that is FALSE. */
export function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return der.sequence(der.oid(id), ...critical ? [der.boolean(true)] : [], der.octetString(value));
}

/** The value of subjectAltName: names in their order, in lower case, each once. */
export function generalNames(names: readonly string[]): Buffer {
  if (names.length === 0) throw new der.DerError("a certificate has at least one name");
  const encoded = names.map((name) => {
    if (!/^[!-~]+$/.test(name)) throw new der.DerError(`no name for a certificate: ${name}`);
    const address = addressBytes(name);
    return address
      ? der.tlv(IP_ADDRESS, address)
      : der.tlv(DNS_NAME, Buffer.from(name.toLowerCase()));
  });
  return der.sequence(...new Map(encoded.map((name) => [name.toString("hex"), name])).values());
}

/** `serial`: the INTEGER's content, with the 00 before a high first bit; `extension`: by OID. */
export type Certificate = {
  readonly serial: Buffer;
  readonly notAfter: Date;
  extension(id: string): der.DerNode | undefined;
};

/** The first certificate of a chain, read and not verified. Throws DerError. */
export function readCertificate(pem: string): Certificate {
  const [block] = pemBlocks(pem, "CERTIFICATE");
  if (block === undefined) throw new der.DerError("no certificate in the PEM text");
  const tbs = child(der.readDer(fromPem(block)), 0);
  const first = child(tbs, 0).tag === 0xa0 ? 1 : 0; // v1 has no version
  const list = tbs.children.find(({ tag }) => tag === 0xa3);
  return {
    serial: der.readInteger(child(tbs, first)),
    notAfter: der.readTime(child(child(tbs, first + 3), 1)),
    extension(id) {
      const wanted = der.oid(id);
      const found = list?.children[0]?.children.find((e) => child(e, 0).raw.equals(wanted));
      return found && der.readDer(child(found, found.children.length - 1).content);
    },
  };
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
  if (isIPv4(text)) return Buffer.from(text.split(".").map((part) => parseDecimal(part) ?? 0));
  if (!isIPv6(text) || text.includes("%")) return undefined;
  // The URL parser reads every spelling and writes one: hexadecimal groups, `::` once at most.
  const spelling = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const padded = spelling.replace(/\w+/g, (group) => group.padStart(4, "0"));
  const [head = "", tail = ""] = padded.split("::").map((half) => half.replaceAll(":", ""));
  return Buffer.from(head + "0".repeat(32 - head.length - tail.length) + tail, "hex");
}

function addressText(bytes: Buffer): string {
  const groups = bytes.toString("hex").replace(/(....)(?=.)/g, "$1:");
  return bytes.length === 4 ? bytes.join(".") : new URL(`http://[${groups}]`).hostname.slice(1, -1);
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
