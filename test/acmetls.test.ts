/** The TLS 1.3 handshake of TLS-ALPN-01: by the bytes of RFC 8448, a client made here, openssl. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as crypto from "node:crypto";
import { test, type TestContext } from "node:test";
import tls from "node:tls";
import { answerHandshake, type HandshakeAnswer } from "../lib/acmetls.ts";
import { parseNetworks } from "../lib/addr.ts";
import { ACME_TLS_ALPN, answerByHand, ChallengeAnswers } from "../lib/challenges.ts";
import { readClientHello } from "../lib/clienthello.ts";
import { Clock } from "../lib/clock.ts";
import { Frontend } from "../lib/frontend.ts";
import { type Fields, type Logger } from "../lib/log.ts";
import { fromPem, selfSigned } from "../lib/x509.ts";
import { needProgram, run, type Scope } from "./support.ts";

const NAME = "acme.example.com";
const { privateKey: key } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = selfSigned({
  ...{ names: [NAME], key, keyAuthorization: "token.thumbprint", serial: crypto.randomBytes(16) },
  ...{ notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 3_600_000) },
});
const certificate = fromPem(pem);
const identity = { certificate, key, protocol: ACME_TLS_ALPN };
type Flight = Extract<HandshakeAnswer, { flight: Buffer }>;

/** RFC 8448 section 3, with the keys that it derives. */
const RFC_8448 = {
  hello: "010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece700000613" +
    "0113031302010000910000000b0009000006736572766572ff01000100000a00140012001d0017001800" +
    "190100010101020103010400230000003300260024001d002099381de560e4bd43d23d8e435a7dbafeb3" +
    "c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e0403050306030203080408050806" +
    "04010501060102010402050206020202002d00020101001c00024001",
  random: "a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e26928",
  privateKey: "b1580eeadf6dd589b8ef4f2d5652578cc810e9980191ec8d058308cea216a21e",
  serverHello:
    "020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100" +
    "002e00330024001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f" +
    "002b00020304",
  serverKey: "3fce516009c21727d0f2e4e86ee403bc",
  serverIv: "5d313eb2671276ee13000b30",
};

/** A length of `size` bytes, then the parts. */
function block(size: number, ...parts: readonly (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string, "hex")));
  return Buffer.from(
    (body.length.toString(16)).padStart(2 * size, "0") + body.toString("hex"),
    "hex",
  );
}

const inRecord = (message: Buffer): Buffer =>
  Buffer.concat([Buffer.of(22, 3, 1), block(2, message)]);
const inMessage = (body: Buffer): Buffer => Buffer.concat([Buffer.of(1), block(3, body)]);

type Share = readonly [group: string, share: Buffer];
interface Parts {
  readonly shares?: readonly Share[];
  readonly session?: string;
  readonly suites?: string;
  readonly compression?: string;
  /** Bodies of extensions by their type, in hexadecimal; undefined for none. */
  readonly extensions?: Readonly<Record<string, Buffer | undefined>>;
}

/** The body of a ClientHello of a CA, with changes. */
function helloBody({ shares = [], session = "", suites, compression, extensions }: Parts): Buffer {
  const all = {
    "0000": block(2, "00", block(2, Buffer.from(NAME))),
    "0010": block(2, block(1, Buffer.from(ACME_TLS_ALPN))),
    "000a": block(2, "001d0017"),
    "000d": block(2, "08040403"),
    "002b": block(1, "03040303"),
    "0033": block(2, ...shares.map(([group, share]) => hex(group, block(2, share)))),
    ...extensions,
  };
  const list = Object.entries(all).map(([type, body]) =>
    body === undefined ? Buffer.alloc(0) : hex(type, block(2, body))
  );
  const lists = [block(1, session), block(2, suites ?? "13021301"), block(1, compression ?? "00")];
  return hex("0303", Buffer.alloc(32, 0x5a), ...lists, block(2, ...list));
}

const hex = (...parts: readonly (string | Buffer)[]): Buffer =>
  Buffer.concat(parts.map((part) => typeof part === "string" ? Buffer.from(part, "hex") : part));

const spkiOf = (privateKey: crypto.KeyObject): Buffer =>
  crypto.createPublicKey(privateKey).export({ type: "spki", format: "der" });
const x25519 = crypto.generateKeyPairSync("x25519").privateKey;
const p256 = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const X25519_SHARE: Share = ["001d", spkiOf(x25519).subarray(-32)];
const P256_SHARE: Share = ["0017", spkiOf(p256).subarray(-65)];

function answerTo(parts: Parts): HandshakeAnswer {
  const hello = inRecord(inMessage(helloBody(parts)));
  assert.equal(readClientHello(hello).state, "hello");
  return answerHandshake({ hello, ...identity });
}

/** [type, body] of each record. */
function recordsOf(bytes: Buffer): (readonly [number, Buffer])[] {
  const records: (readonly [number, Buffer])[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt16BE(at + 3);
    assert.ok(end <= bytes.length && bytes.readUInt16BE(at + 1) === 0x0303);
    records.push([bytes[at] as number, bytes.subarray(at + 5, end)]);
    at = end;
  }
  return records;
}

/** The plain content of a protected record, its type last. Throws if it isn't authentic. */
function open(sealed: Buffer, key: Buffer, iv: Buffer): Buffer {
  const opened = crypto.createDecipheriv("aes-128-gcm", key, iv, { authTagLength: 16 });
  opened.setAAD(hex("170303", Buffer.of(sealed.length >> 8, sealed.length & 255)));
  opened.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([opened.update(sealed.subarray(0, -16)), opened.final()]);
}

/** The messages of a flight, each with its header. */
function messagesOf(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    messages.push(bytes.subarray(at, at += 4 + bytes.readUIntBE(at + 1, 3)));
  }
  return messages;
}

const sha256 = (...parts: Buffer[]): Buffer =>
  crypto.createHash("sha256").update(Buffer.concat(parts)).digest();
const hmac = (key: Buffer, data: Buffer): Buffer =>
  crypto.createHmac("sha256", key).update(data).digest();

/** RFC 8446 7.1: the runtime's HKDF has no half of it alone, so its second half is done here. */
function expand(secret: Buffer, label: string, context: Buffer, size: number): Buffer {
  const info = hex(
    "00",
    Buffer.of(size),
    block(1, Buffer.from(`tls13 ${label}`)),
    block(1, context),
  );
  return hmac(secret, hex(info, "01")).subarray(0, size);
}

/** A client: what it finds in the flight, and that everything that is signed or sealed is right. */
function receive({ flight, closeNotify }: Flight, clientHello: Buffer, own: crypto.KeyObject) {
  const [plain, change, sealed, ...more] = recordsOf(flight);
  assert.deepEqual([plain?.[0], change, sealed?.[0], more], [22, [20, Buffer.of(1)], 23, []]);
  const serverHello = plain![1];
  const shareAt = 4 + 2 + 32 + 1 + serverHello[38]! + 2 + 1 + 2 + 4 + 4;
  const share = serverHello.subarray(shareAt, shareAt + serverHello.readUInt16BE(shareAt - 2));
  const publicKey = crypto.createPublicKey({
    ...{ format: "der", type: "spki" },
    key: Buffer.concat([spkiOf(own).subarray(0, -share.length), share]),
  });
  const shared = crypto.diffieHellman({ privateKey: own, publicKey });
  const zeros = Buffer.alloc(32);
  const handshake = hmac(expand(hmac(zeros, zeros), "derived", sha256(), 32), shared);
  const traffic = expand(handshake, "s hs traffic", sha256(clientHello, serverHello), 32);
  const openWith = (secret: Buffer, body: Buffer): Buffer =>
    open(
      body,
      expand(secret, "key", Buffer.alloc(0), 16),
      expand(secret, "iv", Buffer.alloc(0), 12),
    );
  const content = openWith(traffic, sealed![1]);
  assert.equal(content.at(-1), 22);
  const messages = messagesOf(content.subarray(0, -1));
  const [extensions, chain, verify, finished] = messages as [Buffer, Buffer, Buffer, Buffer];
  assert.deepEqual(messages.map(([type]) => type), [8, 11, 15, 20]);
  const until = (count: number): Buffer =>
    sha256(clientHello, serverHello, ...messages.slice(0, count));
  const signed = hex(Buffer.alloc(64, " "), Buffer.from("TLS 1.3, server CertificateVerify\0"));
  const { publicKey: signer } = new crypto.X509Certificate(chain.subarray(4 + 1 + 3 + 3, -2));
  assert.equal(verify.readUInt16BE(4), 0x0403);
  assert.ok(crypto.verify("sha256", hex(signed, until(2)), signer, verify.subarray(8)));
  const verifyData = hmac(expand(traffic, "finished", Buffer.alloc(0), 32), until(3));
  assert.deepEqual(finished.subarray(4), verifyData);
  const master = hmac(expand(handshake, "derived", sha256(), 32), zeros);
  const [closing] = recordsOf(closeNotify);
  const alert = openWith(expand(master, "s ap traffic", until(4), 32), closing![1]);
  return { serverHello, extensions, chain, alert };
}

test("answerHandshake() says what RFC 8448 says, byte for byte, up to the certificate", () => {
  const pkcs8 = hex("302e020100300506032b656e04220420", RFC_8448.privateKey);
  const privateKey = crypto.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const answer = answerHandshake({
    hello: inRecord(Buffer.from(RFC_8448.hello, "hex")),
    ...identity,
    fixed: { random: Buffer.from(RFC_8448.random, "hex"), privateKey },
  }) as Flight;
  const [plain, , sealed] = recordsOf(answer.flight);
  assert.equal(plain?.[1].toString("hex"), RFC_8448.serverHello);
  const [serverKey, iv] = [RFC_8448.serverKey, RFC_8448.serverIv].map((one) => hex(one));
  const [extensions, chain] = messagesOf(open(sealed![1], serverKey!, iv!).subarray(0, -1));
  assert.deepEqual(
    extensions,
    hex("08000013", "0011", "0010000d000b0a", Buffer.from("acme-tls/1")),
  );
  assert.ok(chain?.includes(certificate));
});

for (
  const [name, shares, own, group] of [
    ["X25519", [P256_SHARE, X25519_SHARE], x25519, "001d"],
    [
      "X25519 next to groups that nobody knows",
      [["11ec", Buffer.alloc(1_216)], X25519_SHARE],
      x25519,
      "001d",
    ],
    ["P-256", [P256_SHARE], p256, "0017"],
  ] as const
) {
  test(`a client completes the handshake with ${name}, and its session id comes back`, () => {
    const message = inMessage(helloBody({ shares, session: "ab".repeat(32) }));
    const answer = answerHandshake({ hello: inRecord(message), ...identity }) as Flight;
    const { serverHello, extensions, chain, alert } = receive(answer, message, own);
    assert.deepEqual(serverHello.subarray(38, 74), hex("20", "ab".repeat(32), "130100"));
    assert.ok(serverHello.includes(hex("0033", Buffer.of(0, group === "001d" ? 36 : 69), group)));
    assert.ok(serverHello.subarray(-6).equals(hex("002b00020304")));
    assert.deepEqual(extensions.subarray(-10).toString(), ACME_TLS_ALPN);
    assert.deepEqual(chain.subarray(4), hex("00", block(3, block(3, certificate), "0000")));
    assert.deepEqual(alert, hex("010015"), "close_notify, a warning");
  });
}

test("two handshakes have nothing in common", () => {
  const flights = [1, 2].map(() => (answerTo({ shares: [X25519_SHARE] }) as Flight).flight);
  assert.notDeepEqual(flights[0]?.subarray(11, 43), flights[1]?.subarray(11, 43), "random");
  assert.notDeepEqual(flights[0]?.subarray(-200), flights[1]?.subarray(-200));
});

const refusals: readonly (readonly [name: string, alert: number, parts: Parts])[] = [
  ["TLS 1.2 alone by an extension", 70, { extensions: { "002b": block(1, "0303") } }],
  ["TLS 1.2 alone without one", 70, { extensions: { "002b": undefined } }],
  ["AES-256 alone", 40, { suites: "1302" }],
  ["RSA signatures alone", 40, { extensions: { "000d": block(2, "0804") } }],
  ["no signatures", 109, { extensions: { "000d": undefined } }],
  ["no groups", 109, { extensions: { "000a": undefined } }],
  ["no shares", 109, { extensions: { "0033": undefined } }],
  ["an empty list of shares", 40, { shares: [] }],
  ["a share of P-384 alone", 40, { shares: [["0018", Buffer.alloc(97, 4)]] }],
  ["a share of a group that it doesn't list", 40, { extensions: { "000a": block(2, "0017") } }],
  ["compression", 47, { compression: "0001" }],
  ["a share of X25519 of 33 bytes", 47, { shares: [["001d", Buffer.alloc(33, 9)]] }],
  ["a share of X25519 of 31 bytes", 47, { shares: [["001d", Buffer.alloc(31, 9)]] }],
  ["a share of zeros: RFC 7748 6.1", 47, { shares: [["001d", Buffer.alloc(32)]] }],
  ["a point of P-256 off the curve", 47, { shares: [["0017", Buffer.alloc(65, 4)]] }],
  ["a compressed point", 47, { shares: [["0017", hex("02", P256_SHARE[1].subarray(1, 33))]] }],
  ["a point in hybrid form", 47, { shares: [["0017", hybrid(P256_SHARE[1])]] }],
  ["two shares of a group", 47, { shares: [X25519_SHARE, X25519_SHARE] }],
  ["half a signature", 50, { extensions: { "000d": block(2, "040304") } }],
  ["an empty share", 50, { shares: [["001d", Buffer.alloc(0)]] }],
  ["bytes after the shares", 50, { extensions: { "0033": hex(block(2), "00") } }],
  ["bytes after the groups", 50, { extensions: { "000a": hex(block(2, "001d"), "00") } }],
];

function hybrid(point: Buffer): Buffer {
  return Buffer.concat([Buffer.of(6 + (point.at(-1)! & 1)), point.subarray(1)]);
}

/** The names of rows that aren't refused with their alert. */
const failing = (rows: typeof refusals): string[] =>
  rows.filter(([, alert, parts]) => {
    const answer = answerTo({ shares: [X25519_SHARE], ...parts });
    return !("alert" in answer) || answer.alert !== alert || answer.reason === "";
  }).map(([name]) => name);

test("answerHandshake() refuses what it can't answer with the right alert", () => {
  assert.ok(refusals.length > 0);
  assert.deepEqual(failing(refusals), []);
  assert.deepEqual(failing([["wrong", 40, {}]]), ["wrong"]);
});

test("answerHandshake() takes a hello cut anywhere for none, whatever its lengths say", () => {
  const body = helloBody({ shares: [P256_SHARE, X25519_SHARE], session: "ab".repeat(32) });
  const whole = inRecord(inMessage(body));
  for (let size = 0; size < whole.length; size++) {
    const answer = answerHandshake({ hello: whole.subarray(0, size), ...identity });
    assert.deepEqual("alert" in answer && answer.alert, 50, `${size} bytes`);
  }
  for (let size = 0; size < body.length; size++) {
    const hello = inRecord(inMessage(body.subarray(0, size)));
    const answer = answerHandshake({ hello, ...identity });
    // Without any extensions it is whole, and one of TLS 1.2.
    assert.ok("alert" in answer && [50, 70].includes(answer.alert), `a body of ${size} bytes`);
  }
});

test("answerHandshake() never throws, whichever byte of the hello is another", () => {
  const whole = inRecord(inMessage(helloBody({ shares: [X25519_SHARE] })));
  let [answered, refused] = [0, 0];
  for (let at = 0; at < whole.length; at++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const hello = Buffer.from(whole);
      hello[at] = hello[at]! ^ flip;
      if ("alert" in answerHandshake({ hello, ...identity })) refused++;
      else answered++;
    }
  }
  assert.ok(answered > 0 && refused > 0);
});

/** A front end that answers any hello of a CA by hand; its TLS port, and what its log says. */
async function startFrontend(t: Scope): Promise<{ port: number; said: Fields[] }> {
  const clock = new Clock();
  const said: Fields[] = [];
  const add = (message: string, fields: Fields = {}) => void said.push({ message, ...fields });
  const log: Logger = { debug: add, info: add, warn: add, error: add };
  const challenges = Object.assign(new ChallengeAnswers(), {
    tls: () => ({
      ...{ context: tls.createSecureContext(), names: [], alpn: [ACME_TLS_ALPN] },
      answer,
    }),
  });
  const answer = await answerByHand(pem, key);
  const frontend = new Frontend({
    ...{ httpPort: 0, httpsPort: 0, redirectPort: 443, clock, log, challenges },
    ...{ limits: { bytes: 16_384, fields: 100 }, maxConnections: 10 },
    timeouts: { handshake: 5_000, head: 5_000, idle: 5_000, stall: 5_000 },
    trusted: parseNetworks(""),
    certificateFor: () => undefined,
    handle: () => assert.fail("no request comes this way"),
  });
  await frontend.listen();
  t.after(async () => {
    await frontend.drain(0);
    clock.close();
  });
  const listening = said.find(({ service }) => service === "https");
  return { port: listening?.port as number, said };
}

async function openssl(port: number, ...args: readonly string[]): Promise<string> {
  const to = ["-connect", `127.0.0.1:${port}`, "-servername", NAME, "-alpn", ACME_TLS_ALPN];
  const { stdout, stderr } = await run("openssl", ["s_client", ...to, "-msg", "-ign_eof", ...args]);
  return stdout + stderr;
}

for (const groups of ["X25519:P-256", "P-256:X25519"]) {
  test(`openssl with ${groups} completes the handshake and sees the certificate`, async (t) => {
    if (!needProgram(t, "openssl")) return;
    const { port, said } = await startFrontend(t);
    const output = await openssl(port, "-groups", groups, "-showcerts");
    assert.match(output, /New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256/);
    assert.match(output, /ALPN protocol: acme-tls\/1/);
    const shown = /-----BEGIN[^]*?END CERTIFICATE-----/.exec(output)?.[0] ?? "";
    assert.deepEqual(fromPem(shown), certificate);
    assert.match(output, /<<< TLS 1.3, Alert \[length 0002\], warning close_notify/);
    assert.ok(!said.some(({ message }) => message === "handshake refused"), JSON.stringify(said));
  });
}

for (
  const [args, alert] of [
    [["-tls1_2"], "protocol version"],
    [["-groups", "P-384:X25519"], "handshake failure"],
    [["-ciphersuites", "TLS_AES_256_GCM_SHA384"], "handshake failure"],
  ] as const
) {
  test(`openssl ${args.join(" ")} gets the alert ${alert}`, async (t: TestContext) => {
    if (!needProgram(t, "openssl")) return;
    const { port, said } = await startFrontend(t);
    assert.match(await openssl(port, ...args), new RegExp(`alert ${alert}`));
    assert.ok(said.some(({ message, name }) => message === "handshake refused" && name === NAME));
  });
}
