/**
 * JSON Web Signatures as ACME uses them: flattened and signed by a key or with a shared secret (RFC
 * 7515, RFC 7518), public keys as JWK (RFC 7517) with their thumbprints (RFC 7638), base64url (RFC
 * 4648 section 5). No clock and no I/O; needs `node:crypto` and nothing else.
 *
 * Signs with ES256, ES384 and RS256: what public CAs take for account keys. Refused are other
 * curves, Ed25519, RSA keys below 2048 bits, and text that isn't base64. Verifies nothing.
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, createPublicKey, type KeyObject, sign } from "node:crypto";

const MIN_RSA_BITS = 2048; // RFC 7518 3.3: "A key of size 2048 bits or larger MUST be used"

/** `alg` by the key: RFC 7518 3.1. A curve has its hash (3.4). */
const ALGORITHMS: ReadonlyMap<string | undefined, { alg: string; hash: string }> = new Map([
  ["prime256v1", { alg: "ES256", hash: "sha256" }],
  ["secp384r1", { alg: "ES384", hash: "sha384" }],
  ["rsa", { alg: "RS256", hash: "sha256" }],
]);

export type MacAlgorithm = "HS256" | "HS384" | "HS512";

/** RFC 7515 7.2.2, without an unprotected header; `JSON.stringify()` makes the body of it. */
export type FlattenedJws = Readonly<Record<"protected" | "payload" | "signature", string>>;

/** A key that nothing can be signed with, or text that isn't base64. */
export class JoseError extends Error {
  override readonly name = "JoseError";
}

/**
 * Signs; `alg` is added to the protected `header`. `payload`: a string is signed as it is, "" for a
 * POST-as-GET (RFC 8555 6.3) included; anything else as JSON. Throws JoseError.
 */
export function signJws(key: KeyObject, header: object, payload: unknown): FlattenedJws {
  const { alg, hash } = algorithmOf(key);
  // RFC 7518 3.4: an ECDSA signature is R and S side by side, not the DER that X.509 wants.
  const by = { key, dsaEncoding: "ieee-p1363" } as const;
  return flatten({ alg, ...header }, payload, (input) => sign(hash, input, by));
}

/** As signJws(), with a secret that both sides know (RFC 7518 3.2). */
export function macJws(
  alg: MacAlgorithm,
  secret: Uint8Array,
  header: object,
  payload: unknown,
): FlattenedJws {
  const mac = createHmac(alg.replace("HS", "sha"), secret);
  return flatten({ alg, ...header }, payload, (input) => mac.update(input).digest());
}

/** RFC 7515 5.1: what is signed is `BASE64URL(header) || '.' || BASE64URL(payload)`. */
function flatten(header: object, payload: unknown, by: (input: Buffer) => Buffer): FlattenedJws {
  const head = base64url(JSON.stringify(header));
  const body = base64url(typeof payload === "string" ? payload : JSON.stringify(payload));
  const signature = base64url(by(Buffer.from(`${head}.${body}`)));
  return { protected: head, payload: body, signature };
}

function algorithmOf(key: KeyObject): { alg: string; hash: string } {
  const { namedCurve, modulusLength = MIN_RSA_BITS } = key.asymmetricKeyDetails ?? {};
  const found = ALGORITHMS.get(namedCurve ?? key.asymmetricKeyType);
  if (found && modulusLength >= MIN_RSA_BITS) return found;
  const kind = namedCurve ?? `${key.asymmetricKeyType ?? key.type} ${modulusLength}`;
  throw new JoseError(`no key to sign with: ${kind}: expected P-256, P-384, or RSA from 2048 bits`);
}

/**
 * The public half of a key: the members that RFC 7638 3.2 requires and no other, in lexicographic
 * order. Throws JoseError for keys that signJws() doesn't take.
 */
export function publicJwk(key: KeyObject): Readonly<Record<string, string>> {
  algorithmOf(key);
  const half = key.type === "private" ? createPublicKey(key) : key;
  const { crv = "", kty = "", x = "", y = "", e = "", n = "" } = half.export({ format: "jwk" });
  return kty === "RSA" ? { e, kty, n } : { crv, kty, x, y };
}

/** RFC 7638 3: SHA-256 over the JWK as JSON without white space, in base64url. */
export function thumbprint(key: KeyObject): string {
  return base64url(createHash("sha256").update(JSON.stringify(publicJwk(key))).digest());
}

/** Without padding (RFC 7515 2). Text is encoded as UTF-8. */
export function base64url(data: string | Uint8Array): string {
  return Buffer.from(data as string).toString("base64url");
}

/**
 * Either alphabet, padded or not: some CAs print the secret of an external account in standard
 * base64. Throws JoseError, which doesn't quote the text, for white space and all else.
 */
export function decodeBase64url(text: string): Buffer {
  const digits = /^(?:[\w+/-]{4})*(?:[\w+/-]{2}(?:==)?|[\w+/-]{3}=?)?$/;
  if (digits.test(text)) return Buffer.from(text, "base64url");
  throw new JoseError("no base64url: expected letters, digits, - and _ only, or base64");
}
