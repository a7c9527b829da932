/**
 * Certificate requests (RFC 2986) and certificates (RFC 5280) of the test CA: a request is read and
 * its signature verified; leafs come from one intermediate that two roots have signed. No clock.
 */
import { Buffer } from "node:buffer";
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { randomBytes, sign, verify } from "node:crypto";
import * as der from "../../lib/der.ts";
import { extension, generalNames, OID, toPem } from "../../lib/x509.ts";

const MUST_STAPLE = "1.3.6.1.5.5.7.1.24"; // RFC 7633
const EXTENSION_REQUEST = "1.2.840.113549.1.9.14"; // RFC 2985 5.4.2
const SIGNATURES: Readonly<Record<string, string>> = {
  "1.2.840.10045.4.3.2": "sha256", // ECDSA
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.113549.1.1.11": "sha256", // RSA
};
const YEAR = 31_536_000_000;

/** The message says what is wrong. */
export class CsrError extends Error {}

export interface Csr {
  readonly spki: Buffer;
  /** RFC 5280 4.2.1.6, each with its tag. */
  readonly names: readonly der.DerNode[];
  readonly commonName: string | undefined;
  readonly mustStaple: boolean;
}

/** Throws CsrError, or DerError for what isn't DER. */
export function readCsr(bytes: Uint8Array): Csr {
  const request = der.readDer(bytes);
  const [info, algorithm, signature] = request.children;
  const [version, subject, spki, attributes] = info?.children ?? [];
  // RFC 2986 4.1: version 0; the attributes are there even when there are none.
  const whole = request.children.length === 3 && info?.children.length === 4;
  const isFirst = version?.raw.equals(der.integer(0)) && attributes?.tag === 0xa0;
  if (!whole || !isFirst) throw new CsrError("it has not the form of a PKCS #10 request");
  const hash = lookUp(SIGNATURES, algorithm!.children[0]);
  if (!hash) throw new CsrError("it is signed by an algorithm that isn't known");
  const key = createPublicKey({ key: spki!.raw, type: "spki", format: "der" });
  const bits = key.asymmetricKeyDetails?.modulusLength;
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const strong = bits
    ? [2048, 3072, 4096].includes(bits)
    : /^(prime256v1|secp384r1)$/.test(`${curve}`);
  if (!strong) throw new CsrError(`a key of ${bits ?? curve} isn't taken`);
  if (signature!.tag !== 0x03 || !verify(hash, info!.raw, key, signature!.content.subarray(1))) {
    throw new CsrError("its signature is wrong");
  }
  const extensions = requestedExtensions(attributes!);
  const names = extensions.get(hexOid(OID.subjectAltName))?.children ?? [];
  const mustStaple = extensions.get(hexOid(MUST_STAPLE))?.raw.toString("hex");
  if (mustStaple !== undefined && mustStaple !== "3003020105") throw new CsrError("TLS feature");
  return {
    spki: spki!.raw,
    names,
    commonName: commonNameOf(subject!),
    mustStaple: mustStaple !== undefined,
  };
}

const hexOid = (id: string): string => der.oid(id).toString("hex");

function lookUp(table: Readonly<Record<string, string>>, id?: der.DerNode): string | undefined {
  return Object.entries(table).find(([text]) => id?.raw.equals(der.oid(text)))?.[1];
}

/** Hex of the OID => the value. */
function requestedExtensions(attributes: der.DerNode): Map<string, der.DerNode> {
  const wanted = attributes.children.filter(({ children: [id] }) =>
    id?.raw.equals(der.oid(EXTENSION_REQUEST))
  );
  if (wanted.length > 1) throw new CsrError("it requests extensions twice");
  const list = wanted[0]?.children[1]?.children[0]?.children ?? [];
  const entries = list.map(({ children }) =>
    [children[0]!.raw.toString("hex"), der.readDer(children.at(-1)!.content)] as const
  );
  if (new Map(entries).size < entries.length) throw new CsrError("an extension is there twice");
  return new Map(entries);
}

/** undefined for an empty subject; a subject may have nothing else. */
function commonNameOf(subject: der.DerNode): string | undefined {
  if (subject.children.length === 0) return undefined;
  const [id, value] = subject.children[0]!.children[0]?.children ?? [];
  const alone = subject.children.length === 1 && subject.children[0]!.children.length === 1;
  if (alone && id?.raw.equals(der.oid(OID.commonName))) return value!.content.toString("utf8");
  throw new CsrError("its subject has more than a common name");
}

export interface Issuer {
  readonly key: KeyObject;
  readonly keyId: Buffer;
  /** PEM, and the intermediate that each has signed, with the same name and key. */
  readonly roots: readonly [string, string];
  readonly intermediates: readonly [string, string];
}

const NAME = "Test CA E1";

/** Valid from a year before to ten years after. */
export function newIssuer(now: Date): Issuer {
  const dates = [new Date(now.getTime() - YEAR), new Date(now.getTime() + 10 * YEAR)] as const;
  const key = newKey();
  const chain = (rootName: string): [string, string] => {
    const root = newKey();
    const common = { issuer: rootName, issuerKey: root, dates };
    const caOf = (subject: string, subjectKey: KeyObject): string => {
      const extensions = [
        extension("2.5.29.19", der.sequence(der.boolean(true)), true), // basicConstraints
        extension(OID.keyUsage, der.bitString(Uint8Array.of(0x06), 1), true), // certificates, CRLs
      ];
      return toPem(
        "CERTIFICATE",
        signed({ ...common, subject, spki: spkiOf(subjectKey), extensions }),
      );
    };
    return [caOf(rootName, root), caOf(NAME, key)];
  };
  const [[root1, first], [root2, second]] = [chain("Test CA Root X1"), chain("Test CA Root X2")];
  return {
    key,
    keyId: keyIdOf(spkiOf(key)),
    roots: [root1, root2],
    intermediates: [first, second],
  };
}

const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const spkiOf = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ type: "spki", format: "der" });

/** RFC 7093 2 (1). */
function keyIdOf(spki: Uint8Array): Buffer {
  const bits = der.readDer(spki).children[1]!.content.subarray(1);
  return createHash("sha256").update(bits).digest().subarray(0, 20);
}

/** The leaf in DER, and its serial number: 16 octets with a high first bit. */
export function issueLeaf(
  issuer: Issuer,
  csr: Csr,
  options: {
    names: readonly string[];
    dates: readonly [Date, Date];
    ocspUrl: string | undefined;
  },
): { leaf: Buffer; serial: Buffer } {
  // The INTEGER then starts with 00, which certificate identifiers keep (RFC 9773 4.1).
  const serial = randomBytes(16);
  serial[0]! |= 0x80;
  const ocsp = der.sequence(der.oid("1.3.6.1.5.5.7.48.1"), der.tlv(0x86, ascii(options.ocspUrl)));
  const isEc =
    createPublicKey({ key: csr.spki, type: "spki", format: "der" }).asymmetricKeyType === "ec";
  const usage = isEc
    ? der.bitString(Uint8Array.of(0x80), 7)
    : der.bitString(Uint8Array.of(0xa0), 5);
  const leaf = signed({
    issuer: NAME,
    issuerKey: issuer.key,
    subject: csr.commonName,
    spki: csr.spki,
    serial,
    dates: options.dates,
    extensions: [
      extension(OID.subjectAltName, generalNames(options.names), csr.commonName === undefined),
      extension(OID.keyUsage, usage, true),
      extension(OID.extKeyUsage, der.sequence(der.oid(OID.serverAuth))),
      extension("2.5.29.19", der.sequence(), true),
      ...options.ocspUrl ? [extension("1.3.6.1.5.5.7.1.1", der.sequence(ocsp))] : [],
      ...csr.mustStaple ? [extension(MUST_STAPLE, der.sequence(der.integer(5)))] : [],
    ],
  });
  return { leaf, serial };
}

const ascii = (text = ""): Buffer => Buffer.from(text, "latin1");

/** A certificate in DER, with both key identifiers. */
function signed(options: {
  issuer: string;
  issuerKey: KeyObject;
  subject: string | undefined;
  spki: Buffer;
  serial?: Buffer;
  dates: readonly [Date, Date];
  extensions: readonly Uint8Array[];
}): Buffer {
  const { issuer, issuerKey, subject, spki, serial = randomBytes(16), dates } = options;
  const algorithm = der.sequence(der.oid(OID.ecdsaWithSha256));
  const issuerId = keyIdOf(spkiOf(issuerKey));
  const extensions = [
    ...options.extensions,
    extension("2.5.29.14", der.octetString(keyIdOf(spki))), // subjectKeyIdentifier
    extension("2.5.29.35", der.sequence(der.tlv(0x80, issuerId))), // authorityKeyIdentifier
  ];
  const tbs = der.sequence(
    der.explicit(0, der.integer(2)), // v3
    der.integer(serial),
    algorithm,
    nameOf(issuer),
    der.sequence(...dates.map(der.time)),
    nameOf(subject),
    spki,
    der.explicit(3, der.sequence(...extensions)),
  );
  return der.sequence(tbs, algorithm, der.bitString(sign("sha256", tbs, issuerKey)));
}

function nameOf(commonName: string | undefined): Buffer {
  if (commonName === undefined) return der.sequence();
  const attribute = der.sequence(der.oid(OID.commonName), der.utf8String(commonName));
  return der.sequence(der.setOf(attribute));
}

export const wholeSecond = (ms: number): number => Math.trunc(ms / 1000) * 1000;
