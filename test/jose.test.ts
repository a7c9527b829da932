import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  verify,
} from "node:crypto";
import { test } from "node:test";
import {
  base64url,
  decodeBase64url,
  type FlattenedJws,
  JoseError,
  macJws,
  publicJwk,
  signJws,
  thumbprint,
} from "../lib/jose.ts";
import {
  base64,
  type Base64Vector,
  ecKey,
  ecSigned,
  type JwsVector,
  rsaKey,
  signatures,
  thumbprints,
  type ThumbprintVector,
} from "./vectors/jose.ts";

const privateKey = (key: JsonWebKey): KeyObject => createPrivateKey({ key, format: "jwk" });
const ec = (namedCurve: string): KeyObject => generateKeyPairSync("ec", { namedCurve }).privateKey;

function checkBase64(rows: readonly Base64Vector[]): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, why, input, expect } of rows) {
    if (expect === undefined) {
      assert.throws(() => decodeBase64url(input), JoseError, `${name}: ${why}`);
    } else assert.equal(decodeBase64url(input).toString("hex"), expect, name);
  }
}

function checkSignatures(rows: readonly JwsVector[]): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, input: { jwk, secret, header, payload }, expect } of rows) {
    const jws = secret
      ? macJws(secret[0], decodeBase64url(secret[1]), header, payload)
      : signJws(privateKey(jwk!), header, payload);
    assert.deepEqual(jws, expect, name);
  }
}

function checkThumbprints(rows: readonly ThumbprintVector[]): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, input, expect } of rows) {
    assert.equal(thumbprint(createPublicKey({ key: input, format: "jwk" })), expect, name);
    if (input.d) assert.equal(thumbprint(privateKey(input)), expect, `${name}, of the private key`);
  }
}

test("decodeBase64url() reads or refuses each vector", () => checkBase64(base64));

test("signJws() and macJws() give the signatures of the vectors", () => {
  checkSignatures(signatures);
});

test("thumbprint() gives the hashes of the vectors", () => checkThumbprints(thumbprints));

test("the runners of the JOSE vectors refuse a wrong row and no rows", () => {
  const { AssertionError } = assert;
  const row = { name: "", why: "", input: "Zg", expect: "67" };
  assert.throws(() => checkBase64([row]), AssertionError);
  assert.throws(() => checkBase64([{ ...row, expect: undefined }]), AssertionError);
  assert.throws(() => checkBase64([]), AssertionError);
  const jws = signatures[1]!;
  const other = { ...jws.expect, payload: "" };
  assert.throws(() => checkSignatures([{ ...jws, expect: other }]), AssertionError);
  assert.throws(() => checkSignatures([]), AssertionError);
  assert.throws(() => checkThumbprints([{ ...row, input: ecKey }]), AssertionError);
  assert.throws(() => checkThumbprints([]), AssertionError);
});

/** As the other side does it: RFC 7515 5.2. */
function isValid(jws: FlattenedJws, key: KeyObject, hash: string): boolean {
  const input = Buffer.from(`${jws.protected}.${jws.payload}`);
  const signature = Buffer.from(jws.signature, "base64url");
  return verify(hash, input, { key: createPublicKey(key), dsaEncoding: "ieee-p1363" }, signature);
}

test("signJws() signs with a key's own algorithm, R and S side by side", () => {
  assert.ok(isValid(ecSigned, privateKey(ecKey), "sha256"), "the check itself: RFC 7515 A.3");
  for (
    const [key, alg, hash, length] of [
      [privateKey(ecKey), "ES256", "sha256", 64],
      [ec("P-384"), "ES384", "sha384", 96],
      [privateKey(rsaKey), "RS256", "sha256", 256],
    ] as const
  ) {
    const jws = signJws(key, { nonce: "n", url: "https://ca.example/" }, { ä: 1 });
    assert.ok(isValid(jws, key, hash), alg);
    assert.equal(Buffer.from(jws.signature, "base64url").length, length);
    const header = Buffer.from(jws.protected, "base64url").toString();
    assert.equal(header, `{"alg":"${alg}","nonce":"n","url":"https://ca.example/"}`);
    assert.equal(Buffer.from(jws.payload, "base64url").toString(), '{"ä":1}');
    assert.ok(!isValid({ ...jws, payload: "e30" }, key, hash), "another payload");
  }
});

test("signJws() takes a string as it is: nothing for a POST-as-GET", () => {
  assert.equal(signJws(ec("P-256"), {}, "").payload, "");
  assert.equal(signJws(ec("P-256"), {}, {}).payload, base64url("{}"));
});

test("publicJwk() gives nothing of the private key, in the order of RFC 7638", () => {
  const { kty, crv, x, y } = ecKey;
  const expected = JSON.stringify({ crv, kty, x, y });
  assert.equal(JSON.stringify(publicJwk(privateKey(ecKey))), expected);
  assert.equal(JSON.stringify(publicJwk(createPublicKey(privateKey(ecKey)))), expected);
  assert.deepEqual(Object.keys(publicJwk(privateKey(rsaKey))), ["e", "kty", "n"]);
});

test("signJws() and publicJwk() refuse keys that CAs don't take", () => {
  const keys = [
    generateKeyPairSync("ed25519").privateKey,
    ec("P-521"),
    generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey,
  ];
  for (const key of keys) {
    assert.throws(() => signJws(key, {}, ""), JoseError);
    assert.throws(() => publicJwk(key), JoseError);
  }
});

test("base64url() and decodeBase64url() are inverse", () => {
  for (let length = 0; length < 70; length++) {
    const bytes = Buffer.from(Array.from({ length }, (_, i) => i * 37 + length & 255));
    assert.deepEqual(decodeBase64url(base64url(bytes)), bytes);
    assert.deepEqual(decodeBase64url(bytes.toString("base64")), bytes, "standard base64");
  }
  assert.equal(base64url("é"), "w6k");
});
