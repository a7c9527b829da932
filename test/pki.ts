/**
 * Certificates of a small public key infrastructure, for tests: a CA and what it has issued, with
 * any extensions. Written apart from what reads them, on `der.ts` alone.
 */
import { Buffer } from "node:buffer";
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { isIP } from "node:net";
import * as der from "../lib/der.ts";
import { toPem } from "../lib/x509.ts";

const DAY = 86_400_000;

export interface Identity {
  readonly cert: string;
  readonly key: KeyObject;
  /** PEM. */
  readonly keyPem: string;
  readonly subject: string;
}

export function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** A Name (RFC 5280 4.1.2.4) of one common name. */
export function nameOf(commonName: string): Buffer {
  const attribute = der.sequence(der.oid("2.5.4.3"), der.utf8String(commonName));
  return der.sequence(der.setOf(attribute));
}

/** AlgorithmIdentifier and signature of an EC key with SHA-256, as certificates and OCSP end. */
export function signatureOf(key: KeyObject, signed: Uint8Array): [Buffer, Buffer] {
  const algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"));
  return [algorithm, der.bitString(sign("sha256", signed, key))];
}

export function extension(id: string, value: Uint8Array, critical: boolean = false): Buffer {
  const flag = critical ? [der.boolean(true)] : [];
  return der.sequence(der.oid(id), ...flag, der.octetString(value));
}

/** Issues a certificate; without `issuer` it is a CA's own. `from` and `to`: ms from now. */
export function issue(options: {
  subject: string;
  names?: readonly string[];
  issuer?: Identity;
  serial?: Uint8Array;
  from?: number;
  to?: number;
  extensions?: readonly Uint8Array[];
  key?: KeyObject;
  /** Without version and extensions. */
  v1?: boolean;
}): Identity {
  const { subject, names = [], issuer, from = -DAY, to = DAY, key = newKey() } = options;
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  const [notBefore, notAfter] = [new Date(Date.now() + from), new Date(Date.now() + to)];
  const list = names.map((name) =>
    isIP(name) === 4
      ? der.tlv(0x87, Buffer.from(name.split(".").map(Number)))
      : der.tlv(0x82, Buffer.from(name))
  );
  const algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"));
  const extensions = [
    extension("2.5.29.19", der.sequence(...issuer ? [] : [der.boolean(true)]), true),
    ...list.length > 0 ? [extension("2.5.29.17", der.sequence(...list))] : [],
    ...options.extensions ?? [],
  ];
  const tbs = der.sequence(
    ...options.v1 ? [] : [der.explicit(0, der.integer(2))],
    der.integer(options.serial ?? Uint8Array.of(1, 2, 3)),
    algorithm,
    nameOf(issuer?.subject ?? subject),
    der.sequence(der.time(notBefore), der.time(notAfter)),
    nameOf(subject),
    spki,
    ...options.v1 ? [] : [der.explicit(3, der.sequence(...extensions))],
  );
  const signature = signatureOf(issuer?.key ?? key, tbs);
  const cert = toPem("CERTIFICATE", der.sequence(tbs, ...signature));
  return { cert, key, keyPem: key.export({ type: "pkcs8", format: "pem" }) as string, subject };
}
