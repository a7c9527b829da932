/**
 * JSON Web Signatures as RFC 8555 6.2 wants them, and the keys of accounts: read strictly,
 * verified, refused with the problem that is due. It signs nothing.
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, createPublicKey, type KeyObject } from "node:crypto";
import { timingSafeEqual, verify } from "node:crypto";
import { refuse } from "./problems.ts";

export type Json = Readonly<Record<string, unknown>>;

const SIGNATURES = new Map([
  ["ES256", { kty: "EC", crv: "P-256", hash: "sha256", bytes: 64 }],
  ["ES384", { kty: "EC", crv: "P-384", hash: "sha384", bytes: 96 }],
  ["RS256", { kty: "RSA", crv: undefined, hash: "sha256", bytes: undefined }],
]);
export const MACS = new Map([["HS256", "sha256"], ["HS384", "sha384"], ["HS512", "sha512"]]);
const KEY_MEMBERS = new Map([["EC", ["crv", "kty", "x", "y"]], ["RSA", ["e", "kty", "n"]]]);

export interface Jws {
  readonly header: Json;
  readonly payload: Buffer;
  readonly signingInput: Buffer;
  readonly signature: Buffer;
}

export function readJws(value: Json): Jws {
  checkMembers(value, ["payload", "protected", "signature"], "the flattened JWS");
  const text = (name: string): string => value[name] as string;
  return {
    header: readJson(base64url(value.protected, "protected").toString(), "the protected header"),
    payload: base64url(value.payload, "payload"),
    signingInput: Buffer.from(`${text("protected")}.${text("payload")}`),
    signature: base64url(value.signature, "signature"),
  };
}

/** RFC 8555 6.1: without padding, and nothing that isn't of the alphabet. */
export function base64url(value: unknown, what: string): Buffer {
  const bytes = Buffer.from(typeof value === "string" ? value : "", "base64url");
  if (bytes.toString("base64url") !== value) refuse("malformed", `${what} isn't base64url`);
  return bytes;
}

export function readJson(text: string, what: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  } catch { /* as what isn't an object */ }
  return refuse("malformed", `${what} isn't a JSON object`);
}

export function checkMembers(value: Json, wanted: readonly string[], what: string): void {
  const names = Object.keys(value).sort();
  if (names.join() !== wanted.join()) refuse("malformed", `${what} has ${names}, not ${wanted}`);
}

export function checkAlgorithm({ alg }: Json): void {
  const algorithms = [...SIGNATURES.keys()];
  if (SIGNATURES.has(alg as string)) return;
  refuse("badSignatureAlgorithm", `${alg} isn't one of ${algorithms}`, { algorithms });
}

export function checkSignature({ header, signingInput, signature }: Jws, key: KeyObject): void {
  const { kty, crv, hash, bytes } = SIGNATURES.get(header.alg as string)!;
  const jwk = key.export({ format: "jwk" });
  const fits = jwk.kty === kty && jwk.crv === crv && bytes === (bytes && signature.length);
  const dsaEncoding = "ieee-p1363"; // RFC 7518 3.4: R and S as octets, one after the other
  if (fits && verify(hash, signingInput, { key, dsaEncoding }, signature)) return;
  refuse("malformed", "JWS verification error");
}

/** An account's public key: RSA of 2048 bits or more, P-256, P-384. */
export function readJwk(value: unknown): KeyObject {
  const jwk = (value ?? {}) as Readonly<Record<string, string>>;
  const members = KEY_MEMBERS.get(jwk.kty ?? "");
  if (!members) return refuse("badPublicKey", `a key of type ${jwk.kty}`);
  checkMembers(jwk, members, "the jwk"); // a private member would be a grave mistake
  try {
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const { modulusLength = 2048 } = key.asymmetricKeyDetails ?? {};
    if (modulusLength >= 2048 && modulusLength <= 4096) return key;
  } catch { /* as a size that isn't taken */ }
  return refuse("badPublicKey", "a key that can't be used");
}

/** RFC 7638. */
export function thumbprintOf(key: KeyObject): string {
  const jwk = key.export({ format: "jwk" }) as Readonly<Record<string, string>>;
  const members = KEY_MEMBERS.get(jwk.kty!)!.map((name) => [name, jwk[name]]);
  const text = JSON.stringify(Object.fromEntries(members));
  return createHash("sha256").update(text).digest("base64url");
}

export const jwkThumbprint = (jwk: unknown): string => thumbprintOf(readJwk(jwk));

/** For an external account (RFC 8555 7.3.4). */
export function checkMac({ header, signingInput, signature }: Jws, secret: Uint8Array): void {
  const hash = MACS.get(header.alg as string)!;
  const mac = createHmac(hash, secret).update(signingInput).digest();
  if (mac.length === signature.length && timingSafeEqual(mac, signature)) return;
  refuse("unauthorized", "the binding's MAC is wrong");
}
