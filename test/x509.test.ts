import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import tls from "node:tls";
import * as der from "../lib/der.ts";
import {
  certificateNames,
  certificateRequest,
  coversName,
  extension,
  fromPem,
  OID,
  pemBlocks,
  readCertificate,
  reverseName,
  selfSigned,
  toPem,
} from "../lib/x509.ts";
import { needProgram, run, temporaryFolder } from "./support.ts";

const LONG = `${"a".repeat(60)}.example.com`;
const SERIAL = Buffer.from("80112233445566778899aabbccddeeff", "hex");
const DAY = 86_400_000;

function newKey(namedCurve = "P-256"): KeyObject {
  return generateKeyPairSync("ec", { namedCurve }).privateKey;
}

type Options = Partial<Parameters<typeof selfSigned>[0]>;

function make(names: readonly string[], options: Options = {}): string {
  const notBefore = new Date(Math.trunc(Date.now() / 1000) * 1000 - DAY);
  const notAfter = new Date(notBefore.getTime() + 30 * DAY);
  return selfSigned({ names, key: newKey(), serial: SERIAL, notBefore, notAfter, ...options });
}

/** `openssl x509 -text`, after `openssl verify` found the certificate good as its own issuer. */
async function opensslText(
  folder: string,
  pem: string,
  strictness = "-x509_strict",
): Promise<string> {
  const file = join(folder, "certificate.pem");
  await writeFile(file, pem);
  const verified = await run("openssl", ["verify", strictness, "-CAfile", file, file]);
  assert.equal(verified.stdout, `${file}: OK\n`, verified.stderr);
  const { stdout } = await run("openssl", ["x509", "-noout", "-text", "-in", file]);
  return stdout.replace(/ +\n/g, "\n");
}

test("selfSigned() makes what OpenSSL verifies and reads", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const text = await opensslText(
    await temporaryFolder(t),
    make(["Example.com", "www.example.com", "*.example.org", "192.0.2.1", "2001:db8::1"]),
  );
  for (
    const expected of [
      /Version: 3 \(0x2\)/,
      /Serial Number:\s+80:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\n/,
      /Issuer: CN ?= ?Example\.com\n/,
      /Subject: CN ?= ?Example\.com\n/,
      /NIST CURVE: P-256/,
      /X509v3 Subject Alternative Name:\n\s+DNS:example\.com, DNS:www\.example\.com, /,
      /DNS:\*\.example\.org, IP Address:192\.0\.2\.1, IP Address:2001:DB8:0:0:0:0:0:1\n/,
      /X509v3 Basic Constraints: critical\n\s+CA:FALSE\n/,
      /X509v3 Key Usage: critical\n\s+Digital Signature\n/,
      /X509v3 Extended Key Usage:\n\s+TLS Web Server Authentication\n/,
      /Signature Algorithm: ecdsa-with-SHA256\n/,
    ]
  ) assert.match(text, expected);
});

test("selfSigned() leaves out a common name over 64 bytes", async (t) => {
  const pem = make([LONG, "example.com"]);
  assert.deepEqual(certificateNames(pem), [LONG, "example.com"]);
  const edge = "b".repeat(52) + ".example.com";
  assert.equal(edge.length, 64);
  assert.match(new X509Certificate(make([edge])).subject, /^CN=b{52}\.example\.com$/);
  if (!needProgram(t, "openssl")) return;
  const text = await opensslText(await temporaryFolder(t), pem);
  assert.match(text, /Subject:\n/);
  assert.match(text, /X509v3 Subject Alternative Name: critical\n\s+DNS:a{60}\.example\.com, DNS:/);
});

test("selfSigned() makes what the runtime reads, to the second", () => {
  const key = newKey();
  const notBefore = new Date("2049-12-31T23:59:59.000Z");
  const notAfter = new Date("2050-01-01T00:00:00.000Z");
  const pem = make(["example.com"], { key, notBefore, notAfter });
  const certificate = new X509Certificate(pem);
  assert.equal(certificate.serialNumber.toLowerCase(), SERIAL.toString("hex"));
  assert.equal(new Date(certificate.validFrom).getTime(), notBefore.getTime());
  assert.equal(new Date(certificate.validTo).getTime(), notAfter.getTime());
  assert.equal(certificate.ca, false);
  assert.ok(certificate.verify(certificate.publicKey));
  const tbs = der.readDer(fromPem(pem)).children[0]!;
  const [from, to] = tbs.children[4]!.children;
  assert.deepEqual([from?.tag, to?.tag], [0x17, 0x18], "UTCTime through 2049");
  assert.equal(readCertificate(pem).notAfter.getTime(), notAfter.getTime());
});

test("selfSigned() makes what a TLS client of this runtime trusts", async (t) => {
  const key = newKey();
  const cert = make(["localhost"], { key });
  const pem = key.export({ type: "pkcs8", format: "pem" });
  const server = tls.createServer({ cert, key: pem }, (socket) => socket.end("served"));
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as { port: number };
  const client = tls.connect({ host: "127.0.0.1", port, servername: "localhost", ca: cert });
  t.after(() => client.destroy());
  const [data] = await once(client, "data");
  assert.equal(String(data), "served");
  assert.ok(client.authorized);
});

test("selfSigned() names each name once, in order", () => {
  const names = ["b.example", "a.example", "B.example", "a.example", "::1", "0:0::1", "c.example"];
  assert.deepEqual(certificateNames(make(names)), ["b.example", "a.example", "::1", "c.example"]);
});

test("selfSigned() refuses names, keys and dates that make no certificate", () => {
  const refused: readonly [string, readonly string[], Options][] = [
    ["an empty name", ["example.com", ""], {}],
    ["a name with a space", ["a b"], {}],
    ["a name with a line end", ["example.com\n"], {}],
    ["a name in Unicode", ["exämple.com"], {}],
    ["a key on P-521", ["a"], { key: newKey("P-521") }],
    ["no date", ["a"], { notAfter: new Date(NaN) }],
  ];
  for (const [why, names, options] of refused) {
    assert.throws(() => make(names, options), der.DerError, why);
  }
});

test("selfSigned() takes a serial of 20 octets, and leading zeros", () => {
  for (const serial of [Buffer.alloc(20, 0x7f), Buffer.concat([Buffer.alloc(9), SERIAL])]) {
    const content = readCertificate(make(["a"], { serial })).serial;
    assert.ok(content.length <= 20);
    assert.equal(BigInt(`0x${content.toString("hex")}`), BigInt(`0x${serial.toString("hex")}`));
  }
});

test("readCertificate() gives serial, expiry and extensions of the first in a chain", async () => {
  const [record] = JSON.parse(
    await readFile(new URL("vectors/certs.json", import.meta.url), "utf8"),
  );
  const { serial, notAfter, extension } = readCertificate(record.certificate);
  const expected = new X509Certificate(record.certificate).serialNumber.toLowerCase();
  assert.equal(serial.toString("hex"), expected);
  assert.equal(notAfter.toISOString(), "2126-11-22T16:57:18.000Z");
  assert.equal(
    extension(OID.extKeyUsage)?.children[0]?.raw.toString("hex"),
    "06082b06010505070301",
  );
  assert.equal(extension("1.3.6.1.5.5.7.1.24"), undefined, "no must-staple");
  assert.deepEqual(certificateNames(record.certificate), ["example.com", "www.example.com"]);
});

test("readCertificate() reads a certificate of version 1, without extensions", () => {
  const time = der.sequence(der.time(new Date(0)), der.time(new Date(DAY)));
  const name = der.sequence();
  const spki = der.sequence(der.sequence(), der.bitString(Buffer.from("key")));
  const tbs = der.sequence(der.integer(5), der.sequence(), name, time, name, spki);
  const pem = toPem("CERTIFICATE", der.sequence(tbs));
  assert.deepEqual(readCertificate(pem).serial, Buffer.from([5]));
  assert.equal(readCertificate(pem).notAfter.getTime(), DAY);
  assert.deepEqual(certificateNames(pem), []);
});

test("readCertificate() throws DerError for what is no certificate", () => {
  const block = (bytes: Uint8Array): string => toPem("CERTIFICATE", bytes);
  const good = fromPem(make(["example.com"]));
  const bad = ["", "text", block(der.nullValue()), block(der.sequence(der.sequence()))];
  bad.push(block(good.subarray(0, -1)), block(Buffer.concat([good, good])));
  bad.push(toPem("EC PRIVATE KEY", good));
  for (const pem of bad) assert.throws(() => readCertificate(pem), der.DerError);
});

test("certificateNames() skips other kinds of names and addresses of no length", () => {
  const { children: [tbs] } = der.readDer(fromPem(make(["example.com"])));
  const names = der.sequence(
    der.tlv(0x81, Buffer.from("mail@example.com")),
    der.tlv(0x82, Buffer.from("a.example")),
    der.tlv(0x86, Buffer.from("https://example.com/")),
    der.tlv(0x87, Buffer.from([192, 0, 2, 255])),
    der.tlv(0x87, Buffer.from([192, 0, 2])),
    der.tlv(0x87, Buffer.from("20010db8000000000000000000000000", "hex")),
    der.tlv(0x87, Buffer.alloc(28)),
  );
  const list = der.explicit(3, der.sequence(extension(OID.subjectAltName, names)));
  const changed = der.sequence(...tbs!.children.slice(0, -1).map(({ raw }) => raw), list);
  const pem = toPem("CERTIFICATE", der.sequence(changed));
  assert.deepEqual(certificateNames(pem), ["a.example", "192.0.2.255", "2001:db8::"]);
});

/** `openssl req -text`, after `openssl req -verify` found the signature good. */
async function requestText(folder: string, request: Uint8Array): Promise<string> {
  const file = join(folder, "request.der");
  await writeFile(file, request);
  const args = ["req", "-verify", "-noout", "-text", "-nameopt", "utf8", "-inform", "DER"];
  const { code, stdout, stderr } = await run("openssl", [...args, "-in", file]);
  assert.equal(code, 0, stderr);
  assert.match(stderr + stdout, /self-signature verify OK/);
  return stdout.replace(/ +\n/g, "\n");
}

test("certificateRequest() makes what OpenSSL verifies, for each kind of key", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const folder = await temporaryFolder(t);
  const names = ["Example.com", "*.example.com", LONG, "192.0.2.1", "2001:db8::1"];
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  for (
    const [key, algorithm] of [
      [newKey(), "ecdsa-with-SHA256"],
      [newKey("P-384"), "ecdsa-with-SHA384"],
      [rsa, "sha256WithRSAEncryption"],
    ] as const
  ) {
    const text = await requestText(folder, certificateRequest({ names, key }));
    assert.match(text, new RegExp(`Signature Algorithm: ${algorithm}\n`));
    assert.match(text, /Version: 1 \(0x0\)/);
    assert.match(text, /Subject:\n/, "no common name");
    assert.match(text, /Alternative Name:\n\s+DNS:example\.com, DNS:\*\.example\.com, DNS:a{60}/);
    assert.match(text, /, IP Address:192\.0\.2\.1, IP Address:2001:DB8:0:0:0:0:0:1\n/);
    assert.doesNotMatch(text, /TLS Feature/);
    const spki = createPublicKey(key).export({ type: "spki", format: "der" });
    assert.ok(certificateRequest({ names, key }).includes(spki));
  }
});

test("certificateRequest() asks for a certificate that must staple", async (t) => {
  const names = ["example.com"];
  const request = certificateRequest({ names, key: newKey(), mustStaple: true });
  const [info] = der.readDer(request).children;
  assert.equal(info?.children[3]?.tag, 0xa0);
  if (!needProgram(t, "openssl")) return;
  const text = await requestText(await temporaryFolder(t), request);
  assert.match(text, /TLS Feature:\n\s+status_request\n/);
});

test("certificateRequest() refuses names and keys that no certificate has", () => {
  const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" }).privateKey;
  const ed25519 = generateKeyPairSync("ed25519").privateKey;
  assert.throws(() => certificateRequest({ names: ["a b"], key: newKey() }), der.DerError);
  for (const key of [p521, ed25519]) {
    assert.throws(() => certificateRequest({ names: ["example.com"], key }), der.DerError);
  }
});

function makeChallenge(name: string, keyAuthorization: string): string {
  const [notBefore, notAfter] = [new Date(Date.now() - DAY), new Date(Date.now() + DAY)];
  return selfSigned({
    names: [name],
    keyAuthorization,
    key: newKey(),
    serial: SERIAL,
    notBefore,
    notAfter,
  });
}

test("selfSigned() answers tls-alpn-01 with the hash of the key authorization", async (t) => {
  const token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.thumbprint";
  for (const name of ["example.com", LONG, "192.0.2.1", "2001:db8::1"]) {
    const pem = makeChallenge(name, token);
    const read = readCertificate(pem);
    assert.deepEqual(certificateNames(pem), [name]);
    const digest = createHash("sha256").update(token).digest("hex");
    // RFC 8737 3: "The extension value MUST contain the DER encoding of the Authorization"
    assert.equal(read.extension(OID.acmeIdentifier)?.raw.toString("hex"), `0420${digest}`);
    const [tbs] = der.readDer(fromPem(pem)).children;
    assert.deepEqual(tbs?.children[3]?.raw, tbs?.children[5]?.raw, "issuer and subject");
    const ids = tbs?.children[7]?.children[0]?.children.map(({ children }) => children[0]!.raw);
    const idOf = (id: string) => ids?.filter((one) => one.equals(der.oid(id))).length;
    assert.deepEqual([idOf(OID.subjectAltName), idOf(OID.acmeIdentifier)], [1, 1]);
    assert.ok(new X509Certificate(pem).verify(new X509Certificate(pem).publicKey));
  }
  if (!needProgram(t, "openssl")) return;
  const pem = makeChallenge("example.com", token);
  const text = await opensslText(await temporaryFolder(t), pem, "-ignore_critical");
  assert.match(text, /1\.3\.6\.1\.5\.5\.7\.1\.31: critical\n/);
  assert.match(text, /Alternative Name:\n\s+DNS:example\.com\n/);
});

test("readCertificate() gives the issuer's common name, public key and lifetime", async (t) => {
  const key = newKey();
  const notBefore = new Date("2026-01-01T00:00:00Z");
  const pem = make(["example.com"], { key, notBefore });
  const read = readCertificate(pem);
  assert.equal(read.issuerName, "example.com");
  assert.equal(read.notBefore.getTime(), notBefore.getTime());
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  assert.deepEqual(read.publicKey, spki);
  assert.equal(readCertificate(make([LONG])).issuerName, undefined);
  if (!needProgram(t, "openssl")) return;
  const folder = await temporaryFolder(t);
  const subject = "/C=DE/CN=less specific/O=CN=x/CN=Root Ä1/OU=after";
  const args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-utf8", "-keyout", "/dev/null"];
  const { stdout } = await run("openssl", [...args, "-subj", subject], { cwd: folder });
  assert.equal(readCertificate(stdout).issuerName, "Root Ä1");
});

test("reverseName() gives an address's name in the reverse tree", () => {
  assert.equal(reverseName("192.0.2.10"), "10.2.0.192.in-addr.arpa");
  const digits = `1${".0".repeat(23)}.8.b.d.0.1.0.0.2.ip6.arpa`;
  assert.equal(reverseName("2001:db8::1"), digits);
  assert.throws(() => reverseName("example.com"), der.DerError);
});

const COVERED: readonly [names: string, host: string][] = [
  ["example.com", "example.com"],
  ["example.com", "EXAMPLE.com"],
  ["Example.COM", "example.com"],
  ["example.com", "example.com."],
  ["a.example b.example", "b.example"],
  ["*.example.com", "www.example.com"],
  ["*.Example.com", "WWW.example.COM"],
  ["*.example.com", "*.example.com"],
  ["*.example.com", "xn--bcher-kva.example.com"],
  ["192.0.2.1", "192.0.2.1"],
  ["2001:db8::1", "2001:DB8:0:0:0:0:0:1"],
  ["2001:db8::1", "[2001:db8::1]"],
  ["::ffff:192.0.2.1", "::ffff:c000:201"],
  ["::", "0::0"],
  ["1::", "1:0:0:0:0:0:0:0"],
];

const NOT_COVERED: readonly [names: string, host: string][] = [
  ["", ""],
  ["example.com", ""],
  ["example.com", "www.example.com"],
  ["www.example.com", "example.com"],
  ["*.example.com", "example.com"],
  ["*.example.com", "a.b.example.com"],
  ["*.example.com", ".example.com"],
  ["*.example.com", "www.example.org"],
  ["*.*.example.com", "a.b.example.com"],
  ["a.*.example.com", "a.b.example.com"],
  ["w*.example.com", "www.example.com"],
  ["*", "localhost"],
  ["*.", "localhost."],
  ["*.0.2.1", "192.0.2.1"],
  ["192.0.2.1", "192.0.2.10"],
  ["::1", "::2"],
  ["::1", "0.0.0.1"],
  ["fe80::1", "fe80::1%eth0"],
];

test("coversName() follows RFC 9525", () => {
  for (const [names, host] of COVERED) {
    assert.ok(coversName(names.split(" "), host), `${names} covers ${host}`);
  }
  for (const [names, host] of NOT_COVERED) {
    assert.ok(!coversName(names.split(" "), host), `${names} doesn't cover ${host}`);
  }
});

test("coversName() says what the runtime's own check says", () => {
  const rows = [...COVERED, ...NOT_COVERED].filter(([, host]) =>
    /^[a-z0-9][a-z0-9.-]*$/i.test(host)
  );
  assert.ok(rows.length > 15);
  for (const [names, host] of rows) {
    const alternatives = names.split(" ").map((n) => `${isIP(n) ? "IP Address" : "DNS"}:${n}`);
    const certificate = { subject: { CN: "none" }, subjectaltname: alternatives.join(", ") };
    const failed = tls.checkServerIdentity(host, certificate as tls.PeerCertificate);
    // Node's own check accepts `w*.example.com`; RFC 9525 6.3 wants `*` to be the whole label.
    if (names.startsWith("w*")) continue;
    assert.equal(coversName(names.split(" "), host), failed === undefined, `${names}: ${host}`);
  }
});

test("pemBlocks() finds the blocks of a label, whatever is around them", () => {
  const [one, two] = [make(["one.example"]), make(["two.example"])];
  const key = toPem("EC PRIVATE KEY", Buffer.from("key"));
  const text = `subject=one\r\n${one.replaceAll("\n", "\r\n")}${key}\n\n# two\n${two}`;
  const blocks = pemBlocks(text, "CERTIFICATE");
  assert.deepEqual(blocks.map(fromPem), [one, two].map(fromPem));
  assert.deepEqual(blocks.map((block) => certificateNames(block)[0]), [
    "one.example",
    "two.example",
  ]);
  assert.deepEqual(pemBlocks(text, "EC PRIVATE KEY").map(String), [key]);
  assert.deepEqual(pemBlocks(text, "PRIVATE KEY"), []);
  assert.deepEqual(pemBlocks(one.slice(0, -10), "CERTIFICATE"), []);
});

test("toPem() has lines of 64 characters", () => {
  for (const size of [0, 1, 47, 48, 49, 96, 97]) {
    const bytes = Buffer.alloc(size, 0xa5);
    const [first, ...lines] = toPem("TEST", bytes).split("\n");
    assert.equal(first, "-----BEGIN TEST-----");
    assert.deepEqual(lines.slice(-2), ["-----END TEST-----", ""]);
    const body = lines.slice(0, -2);
    assert.ok(body.slice(0, -1).every((line) => line.length === 64));
    assert.ok((body.at(-1) ?? "").length <= 64);
    assert.deepEqual(fromPem(toPem("TEST", bytes)), bytes);
  }
});
