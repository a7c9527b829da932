import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, createPublicKey } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import * as der from "../lib/der.ts";
import { createHttpClient } from "../lib/httpsclient.ts";
import { ocspRequest, readOcspResponse } from "../lib/ocsp.ts";
import { extension, type Identity, issue, nameOf, signatureOf } from "./pki.ts";
import { startResponder } from "./responder.ts";
import { needProgram, run, temporaryFolder } from "./support.ts";
import { type OcspVector, type ResponseParts, vectors } from "./vectors/ocsp.ts";

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;
const SERIAL = 0x80a1; // its first bit is a sign in DER
const OCSP_SIGNING = extension("2.5.29.37", der.sequence(der.oid("1.3.6.1.5.5.7.3.9")));
const SERVER_AUTH = extension("2.5.29.37", der.sequence(der.oid("1.3.6.1.5.5.7.3.1")));

const access = (method: string, tag: number, location: string): Buffer =>
  der.sequence(der.oid(method), der.tlv(tag, Buffer.from(location)));
const accessInfo = (...list: Buffer[]): Buffer =>
  extension("1.3.6.1.5.5.7.1.1", der.sequence(...list));
const OCSP = "1.3.6.1.5.5.7.48.1", CA_ISSUERS = "1.3.6.1.5.5.7.48.2";
const tlsFeatures = (...features: number[]): Buffer =>
  extension("1.3.6.1.5.5.7.1.24", der.sequence(...features.map(der.integer)));

const issuer = issue({ subject: "Issuer" });
const serial = Buffer.from([0x80, 0xa1]);
const leaf = issue({
  subject: "Leaf",
  issuer,
  serial,
  extensions: [
    accessInfo(
      access(CA_ISSUERS, 0x86, "http://ca.example/"),
      access(OCSP, 0x82, "http://dns.example/"),
      access(OCSP, 0x86, "ldap://ldap.example/"),
      access(OCSP, 0x86, "http://ocsp.example/a"),
      access(OCSP, 0x86, "http://other.example/"),
    ),
    tlsFeatures(17, 5),
  ],
});
const appointed = { subject: "Responder", issuer, extensions: [OCSP_SIGNING] };
const signers: Record<NonNullable<ResponseParts["signer"]>, Identity> = {
  issuer,
  appointed: issue(appointed),
  unfit: issue({ ...appointed, extensions: [SERVER_AUTH] }),
  expired: issue({ ...appointed, from: -2 * DAY, to: -DAY }),
  early: issue({ ...appointed, from: DAY, to: 2 * DAY }),
  foreign: issue({ ...appointed, issuer: issue({ subject: "Other" }) }),
  posing: issue({ ...appointed, issuer: issue({ subject: "Issuer" }) }),
};

const certBytes = ({ cert }: Identity): Buffer =>
  Buffer.from(cert.replace(/-----.*-----/g, ""), "base64");

/** The hash of the key's bits, the last 65 bytes of a P-256 key's SubjectPublicKeyInfo. */
function keyHash(algorithm: string, { key }: Identity): Buffer {
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  return createHash(algorithm).update(spki.subarray(-65)).digest();
}

/** GeneralizedTime, so many minutes from now. */
function time(now: Date, minutes: number): Buffer {
  const iso = new Date(now.getTime() + minutes * MINUTE).toISOString();
  const digits = iso.replace(/\.\d*|[-:T]/g, "");
  return der.tlv(0x18, Buffer.from(digits));
}

function certId(parts: ResponseParts, serialNumber: number): Buffer {
  const [algorithm = "sha1", ...without] = (parts.hash ?? "sha1").split(" ");
  const id = algorithm === "sha1" ? "1.3.14.3.2.26" : "2.16.840.1.101.3.4.2.1";
  const nameHash = createHash(algorithm).update(nameOf("Issuer")).digest();
  const bitsHash = keyHash(algorithm, issuer);
  if (parts.wrong === "name hash") nameHash[0]! ^= 1;
  if (parts.wrong === "key hash") bitsHash[19]! ^= 1;
  return der.sequence(
    der.sequence(der.oid(id), ...without.length > 0 ? [] : [der.nullValue()]),
    der.octetString(nameHash),
    der.octetString(bitsHash),
    der.integer(serialNumber),
  );
}

const EXTRA = der.integer(1);

/** A list of extensions within its `[1]`, if the parts want one at this place. */
function extensions(parts: ResponseParts, place: "response" | "single"): Buffer[] {
  const value = (critical: boolean): Buffer =>
    der.explicit(1, der.sequence(extension("1.2.3", der.nullValue(), critical)));
  return [
    ...parts.extension === place ? [value(false)] : [],
    ...parts.critical === place ? [value(true)] : [],
  ];
}

function singleResponse(parts: ResponseParts, now: Date, serialNumber: number): Buffer {
  const { status = "good", from = -10, until = 60 } = parts;
  const statuses = {
    good: der.tlv(0x80),
    revoked: der.tlv(0xa1, time(now, -100), der.explicit(0, der.tlv(0x0a, Uint8Array.of(1)))),
    unknown: der.tlv(0x82),
    else: der.tlv(0x83),
  };
  return der.sequence(
    certId(parts, serialNumber),
    statuses[status],
    time(now, from),
    ...until === "none" ? [] : [der.explicit(0, time(now, until))],
    ...extensions(parts, "single"),
    ...parts.extra === "single" ? [EXTRA] : [],
  );
}

function responseData(parts: ResponseParts, signer: Identity, now: Date): Buffer {
  const others = [1, 2].map((other) => singleResponse({ status: "revoked" }, now, other));
  const own = singleResponse(parts, now, parts.serial ?? SERIAL);
  const lists = { others: [others[0]!, own, others[1]!], "only others": others, none: [] };
  const by = parts.by === "key"
    ? der.explicit(2, der.octetString(keyHash("sha1", signer)))
    : der.explicit(1, nameOf(signer.subject));
  return der.sequence(
    ...parts.version === undefined ? [] : [der.explicit(0, der.integer(parts.version))],
    by,
    time(now, 0),
    der.sequence(...parts.among ? lists[parts.among] : [own]),
    ...extensions(parts, "response"),
    ...parts.extra === "data" ? [EXTRA] : [],
  );
}

function makeResponse(parts: ResponseParts, now: Date): Buffer {
  const signer = signers[parts.signer ?? "issuer"];
  const data = responseData(parts, signer, now);
  const signed = parts.wrong === "signed bytes" ? Buffer.concat([data, Buffer.of(0)]) : data;
  let [algorithm, signature] = signatureOf(signer.key, signed);
  if (parts.wrong === "signature") signature[signature.length - 1]! ^= 1;
  if (parts.wrong === "unused bits") {
    signature = der.bitString(der.readDer(signature).content.subarray(1), 1);
  }
  if (parts.algorithm !== undefined) algorithm = der.sequence(der.oid(parts.algorithm));
  const certs = {
    none: [],
    signer: [certBytes(signer)],
    "others first": [certBytes(issuer), certBytes(leaf), certBytes(signer)],
    garbage: [der.sequence(der.sequence(), der.sequence(), der.bitString(Buffer.of(1)))],
  }[parts.certs ?? "none"];
  const basic = der.sequence(
    data,
    algorithm,
    signature,
    ...certs.length > 0 ? [der.explicit(0, der.sequence(...certs))] : [],
    ...parts.extra === "response" ? [EXTRA] : [],
  );
  const type = der.oid(parts.type ?? "1.3.6.1.5.5.7.48.1.1");
  const bytes = der.explicit(0, der.sequence(type, der.octetString(basic)));
  const code = der.tlv(0x0a, Uint8Array.of(parts.code ?? 0));
  const response = der.sequence(code, ...parts.withoutBytes ? [] : [bytes]);
  return parts.extra === "outside" ? Buffer.concat([response, EXTRA]) : response;
}

const NOW = new Date(Math.trunc(Date.now() / 1000) * 1000);

const read = (bytes: Uint8Array): Date | undefined =>
  readOcspResponse(bytes, leaf.cert, issuer.cert, NOW);

function check(rows: readonly OcspVector[]): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, why, input, expect } of rows) {
    const bytes = makeResponse(input, NOW);
    if (expect instanceof RegExp) {
      assert.throws(() => read(bytes), { message: expect }, `${name} (${why})`);
      continue;
    }
    const { until = 60 } = input;
    const end = until === "none" ? undefined : new Date(NOW.getTime() + until * MINUTE);
    let answer: unknown;
    try {
      answer = read(bytes);
    } catch (error) {
      answer = error;
    }
    assert.deepEqual(answer, end, `${name} (${why})`);
  }
}

test("readOcspResponse() takes each response or refuses it", () => check(vectors));

test("the runner of the responses refuses a wrong row and no rows", () => {
  const row = { name: "wrong", why: "", input: {}, expect: "good" } as const;
  const { AssertionError } = assert;
  assert.throws(() => check([]), AssertionError);
  assert.throws(() => check([{ ...row, expect: /./ }]));
  assert.throws(() => check([{ ...row, input: { wrong: "signature" } }]), AssertionError);
});

test("readOcspResponse() never says another thing of damaged bytes", () => {
  const bytes = makeResponse({ signer: "appointed", certs: "signer" }, NOW);
  const expected = read(bytes);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 1 << at % 8;
    for (const input of [damaged, bytes.subarray(0, at)]) {
      try {
        assert.deepEqual(read(input), expected);
      } catch (error) {
        assert.ok(!(error instanceof assert.AssertionError), String(error));
      }
    }
  }
});

test("ocspRequest() takes the first HTTP URL for OCSP, if there is one", () => {
  assert.equal(ocspRequest(leaf.cert, issuer.cert).url, "http://ocsp.example/a");
  assert.equal(ocspRequest(`${leaf.cert}${issuer.cert}`, issuer.cert).url, "http://ocsp.example/a");
  const none = [[], [accessInfo()], [accessInfo(access(CA_ISSUERS, 0x86, "http://ca.example/"))]];
  for (const extensions of none) {
    const { cert } = issue({ subject: "Leaf", issuer, extensions });
    assert.equal(ocspRequest(cert, issuer.cert).url, undefined);
  }
});

test("the issuer's certificate must be the issuer's", () => {
  const of = (cert: string, by: string) => () =>
    readOcspResponse(makeResponse({}, NOW), cert, by, NOW);
  const none = { message: "no certificate in the PEM text" };
  assert.throws(of(leaf.cert, ""), none);
  assert.throws(of("", issuer.cert), none);
  assert.throws(() => ocspRequest("", issuer.cert), none);
  assert.throws(of(leaf.cert, issue({ subject: "Other" }).cert), /appointed$/);
  // The names agree, the key doesn't: neither the CertID nor the signature fits.
  assert.throws(of(leaf.cert, issue({ subject: "Issuer" }).cert), /has a wrong signature$/);
});

test("a certificate of X.509 v1 has a status, too", () => {
  const { cert } = issue({ subject: "Leaf", issuer, serial, v1: true });
  assert.ok(readOcspResponse(makeResponse({}, NOW), cert, issuer.cert, NOW));
  assert.equal(ocspRequest(cert, issuer.cert).url, undefined);
});

/** A CA of OpenSSL's with three certificates, and a responder that it has appointed. */
async function opensslCa(t: TestContext, algorithm: readonly string[]): Promise<string> {
  const folder = await temporaryFolder(t);
  const openssl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await run("openssl", args, { cwd: folder });
    assert.equal(code, 0, stderr);
  };
  const newKey = ["-nodes", "-newkey", ...algorithm];
  const root = ["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA", "-days", "9"];
  await openssl("req", ...newKey, ...root);
  await writeFile(join(folder, "leaf.ext"), "tlsfeature=status_request\n");
  await writeFile(join(folder, "responder.ext"), "extendedKeyUsage=OCSPSigning\n");
  for (const [i, name] of ["good", "revoked", "unknown", "responder"].entries()) {
    const files = ["-keyout", `${name}.key`, "-out", `${name}.csr`];
    await openssl("req", ...newKey, ...files, "-subj", `/CN=${name}`);
    const ext = name === "responder" ? "responder.ext" : "leaf.ext";
    const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", `0x80A${i}`, "-days", "9"];
    const x509 = ["x509", "-req", "-in", `${name}.csr`, ...by, "-extfile", ext];
    await openssl(...x509, "-out", `${name}.pem`);
  }
  const index = "V\t491231235959Z\t\t80A0\tunknown\t/CN=good\n" +
    "R\t491231235959Z\t260101000000Z,keyCompromise\t80A1\tunknown\t/CN=revoked\n";
  await writeFile(join(folder, "index.txt"), index);
  return folder;
}

test("OpenSSL's responder understands the requests, and its answers are understood", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const { request: ask, close } = createHttpClient({ userAgent: "test/1" });
  t.after(close);
  const rows: [readonly string[], readonly string[]][] = [
    [["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["-rsigner", "ca.pem", "-rkey", "ca.key"]],
    [["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], [
      ...["-rsigner", "responder.pem", "-rkey", "responder.key", "-rmd", "sha384", "-resp_key_id"],
    ]],
    [["rsa:2048"], ["-rsigner", "responder.pem", "-rkey", "responder.key"]],
  ];
  for (const [algorithm, signer] of rows) {
    const folder = await opensslCa(t, algorithm);
    const url = await startResponder(t, folder, signer);
    const pem = (name: string): Promise<string> => readFile(join(folder, `${name}.pem`), "latin1");
    const ca = await pem("ca");
    for (const status of ["good", "revoked", "unknown"]) {
      const own = await pem(status);
      const { request } = ocspRequest(own, ca);
      const made = [
        "-issuer",
        "ca.pem",
        "-cert",
        `${status}.pem`,
        "-no_nonce",
        "-reqout",
        "req.der",
      ];
      await run("openssl", ["ocsp", ...made], { cwd: folder });
      assert.deepEqual(request, await readFile(join(folder, "req.der")));
      const fields = ["Content-Type", "application/ocsp-request"];
      const answer = await ask({ method: "POST", url, fields, body: request });
      const at = (now: Date, cert = own) => readOcspResponse(answer.body, cert, ca, now);
      const now = new Date();
      const end = new Date(now.getTime() + 7 * DAY);
      const expected = { message: new RegExp(`^the certificate is ${status}`) };
      if (status !== "good") assert.throws(() => at(now), expected);
      else assert.ok(Math.abs(at(now)!.getTime() - end.getTime()) < MINUTE);
      assert.throws(() => at(end), { message: /^the OCSP resp.* (for another time|appointed)/ });
      const other = await pem(status === "good" ? "revoked" : "good");
      assert.throws(() => at(now, other), { message: /about other certificates$/ });
    }
  }
});
