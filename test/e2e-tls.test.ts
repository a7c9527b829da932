/**
 * The TLS front end as clients see it: who gets which certificate, or the alert `unrecognized_name`
 * and nothing else; what is negotiated; misdirected requests; redirects; the certificate store.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile, stat, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { setImmediate, setTimeout } from "node:timers/promises";
import type { CertificateRecord } from "../lib/store.ts";
import { selfSigned } from "../lib/x509.ts";
import {
  findProgram,
  httpsExchange,
  needProgram,
  root,
  run,
  runCentauri,
  type Scope,
  startCentauri,
  startRawUpstream,
  temporaryFolder,
  thisRuntime,
} from "./support.ts";
import { NODE_24, record as tlsRecord, vectors } from "./vectors/clienthello.ts";
import { ok, readMessage, startServer, wire } from "./wire.ts";

const file: Scope = { after };
const DAY = 24 * 60 * 60 * 1000;
const UNRECOGNIZED_NAME = "15030300020270";

/** Answers with the head of the request, so that a test sees what arrived. */
const upstream = await startServer(file, ({ head }) => ok(head));
const routes = (...more: string[]): string =>
  more.map((route) => `${route.trim()}\n  upstream ${upstream.name}\n`).join("");

/** Without a fallback; all that it serves is self-signed. */
const plain = await startCentauri(file, {
  env: { LOG_LEVEL: "debug" },
  routes: routes(
    "route example.com www.example.com *.static.example.com",
    "route other.example",
    "route Bücher.Example",
    "route *.wild.example",
    "route own.wild.example",
    "route example.net\nprovider lego",
    "route primary.example www.primary.example *.primary.example\nredirect-to-primary\n" +
      "header add X-Rule applied",
    "route deep.subject.example\nsubject subject.example *.subject.example",
  ),
});

/** With a fallback, another port to redirect to, a short handshake, and a store of before. */
const stored = await startCentauri(file, {
  env: { CERTIFICATE_STORE: await writeStore(), LOG_LEVEL: "debug" },
  args: ["--http-redirect-port=8443", "--handshake-timeout", "2s"],
  routes: routes(
    "route example.com www.example.com",
    "route other.example",
    "route rsa.example\nprovider lego",
    "route soon.example\nprovider selfsigned",
    "route later.example\nprovider selfsigned",
    "route renewable.example",
    "route expired.example",
    "route expired.org\nprovider lego",
    "route old.example\nprovider lego",
    "route damaged.example\nprovider lego",
    "route primary.example www.primary.example\nredirect-to-primary",
    "route fallback.example\nfallback",
  ),
});

/** Before the store is written, which removes what has expired. */
const expiredAnswer = await rawAnswer(stored.httpsPort, helloFor("expired.org"));

/** The store of the second Centauri, with other.example's certificate from the first one. */
async function writeStore(): Promise<string> {
  await httpsExchange(plain.httpsPort, "other.example", get("other.example"), { until: 1 });
  const made = await untilStored(join(plain.folder, "certs.json"), "other.example");
  const go: CertificateRecord[] = JSON.parse(
    await readFile(join(root, "test/vectors/certs.json"), "utf8"),
  );
  const records = [
    ...made,
    ...go.filter(({ provider, subject }) => provider === "lego" && subject === "example.com"),
    makeRecord("soon.example", "selfsigned", 6.9 * DAY),
    makeRecord("later.example", "selfsigned", 7.1 * DAY),
    makeRecord("renewable.example", "lego", DAY / 24),
    makeRecord("expired.example", "lego", -1000),
    makeRecord("expired.org", "lego", -1000),
    makeRecord("old.example", "", DAY),
    { ...makeRecord("damaged.example", "lego", DAY), certificate: "damaged" },
    ...await rsaRecord(),
  ];
  const path = join(await temporaryFolder(file), "certs.json");
  await writeFile(path, JSON.stringify(records));
  return path;
}

function makeRecord(subject: string, provider: string, left: number): CertificateRecord {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const notAfter = new Date(Date.now() + left);
  const serial = Buffer.from(subject).subarray(0, 16);
  const dates = { notBefore: new Date(Date.now() - 30 * DAY), notAfter };
  const certificate = selfSigned({ names: [subject], key, serial, ...dates });
  const privateKey = key.export({ format: "pem", type: "sec1" }).toString();
  return storeRecord({ provider, subject, certificate, privateKey, notAfter });
}

/** For the cipher suites that need it; none without openssl to make it. */
async function rsaRecord(): Promise<CertificateRecord[]> {
  if (findProgram("openssl") === undefined) return [];
  const subject = "rsa.example";
  const { privateKey: key } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const privateKey = key.export({ format: "pem", type: "pkcs1" }).toString();
  const keyFile = join(await temporaryFolder(file), "key.pem");
  await writeFile(keyFile, privateKey);
  const san = ["-addext", `subjectAltName=DNS:${subject}`, "-subj", `/CN=${subject}`];
  const { stdout } = await run("openssl", ["req", "-x509", "-key", keyFile, "-days", "30", ...san]);
  const certificate = pemOf(stdout);
  const notAfter = new Date(Date.now() + 30 * DAY);
  return [storeRecord({ provider: "lego", subject, certificate, privateKey, notAfter })];
}

function storeRecord(
  { notAfter, ...given }:
    & Pick<
      CertificateRecord,
      "provider" | "subject" | "certificate" | "privateKey"
    >
    & { notAfter: Date },
): CertificateRecord {
  const unset = "0001-01-01T00:00:00Z";
  const ari = { ariNextUpdate: unset, ariRenewalTime: unset, ariExplanation: "" };
  const ocsp = { ocspResponse: null, nextOcspUpdate: unset };
  return {
    issuer: "",
    altNames: null,
    notAfter: notAfter.toISOString(),
    ...ocsp,
    ...ari,
    ...given,
  };
}

/** The store's records once it has one for that subject. */
async function untilStored(path: string, subject: string): Promise<CertificateRecord[]> {
  for (let patience = 500; patience > 0; patience--, await setTimeout(10)) {
    const text = await readFile(path, "utf8").catch(() => "[]");
    const records: CertificateRecord[] = JSON.parse(text);
    if (records.some((each) => each.subject === subject)) return records;
  }
  throw new Error(`${subject} isn't in ${path}`);
}

function get(host: string, path = "/"): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
}

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
}

function locationOf(answer: string): string | undefined {
  return /\r\nLocation: ([^\r]*)\r\n/.exec(answer)?.[1];
}

/** One request to one name: the status, for tests that only want to know whether it is served. */
async function statusFor(port: number, name: string, host: string): Promise<number> {
  return statusOf(await httpsExchange(port, name, get(host), { until: 1 }));
}

/** All that comes back for raw bytes before the peer ends, in hexadecimal. */
async function rawAnswer(port: number, bytes: Uint8Array): Promise<string> {
  const client = wire(net.connect({ port, host: "127.0.0.1", noDelay: true }));
  client.write(bytes);
  const answer = Buffer.from(await client.readToEnd(), "latin1").toString("hex");
  client.socket.destroy();
  return answer;
}

function alertOf(description: number): string {
  return `150303000202${description.toString(16).padStart(2, "0")}`;
}

/** The hello of Node 24 for another name of as many bytes as example.com. */
function helloFor(name: string): Buffer {
  assert.equal(name.length, "example.com".length);
  const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");
  return Buffer.from(NODE_24.replace(hex("example.com"), hex(name)), "hex");
}

/** The whole output of `openssl s_client`, which sends `input` and then leaves. */
async function sClient(port: number, args: readonly string[], input = ""): Promise<string> {
  const to = ["-connect", `127.0.0.1:${port}`];
  const { stdout, stderr } = await run("openssl", ["s_client", ...to, ...args], { input });
  return stdout + stderr;
}

function pemOf(text: string): string {
  return /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----\n/.exec(text)?.[0] ?? "";
}

/** The certificate that a name is served with. */
async function certificateOf(port: number, name: string): Promise<X509Certificate> {
  return new X509Certificate(pemOf(await sClient(port, ["-servername", name])));
}

/** A port that passes everything on, the client's first bytes through `change`. */
async function relayTo(
  t: Scope,
  port: number,
  change: (hello: Buffer) => readonly Buffer[],
): Promise<number> {
  const relay = await startRawUpstream(t, (client) => {
    const server = net.connect({ port, host: "127.0.0.1", noDelay: true });
    server.on("error", () => client.destroy()).on("close", () => client.destroy());
    client.on("close", () => server.destroy());
    server.pipe(client);
    client.once("data", async (hello: Buffer) => {
      client.pause();
      for (const piece of change(hello)) {
        server.write(piece);
        await setImmediate();
      }
      client.pipe(server);
    });
  });
  return relay.port;
}

function inPieces(bytes: Buffer, size: number): Buffer[] {
  const starts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => i * size);
  return starts.map((start) => bytes.subarray(start, start + size));
}

function inRecords(hello: Buffer, size: number): Buffer[] {
  assert.equal(hello.readUInt16BE(3), hello.length - 5, "one record");
  return inPieces(hello.subarray(5), size).map((part) =>
    Buffer.from(tlsRecord(part.toString("hex")), "hex")
  );
}

test("no route, no name or no certificate: seven bytes and nothing else", async () => {
  const noName = vectors.find(({ name }) => name === "curl, no name");
  assert.ok(noName);
  const refused = [
    helloFor("example.org"), // no route
    helloFor("example.net"), // a route that nothing was obtained for
    Buffer.from(noName.input, "hex"),
  ];
  for (const hello of refused) {
    assert.equal(await rawAnswer(plain.httpsPort, hello), UNRECOGNIZED_NAME);
  }
  const served = wire(net.connect(plain.httpsPort, "127.0.0.1"));
  served.write(helloFor("example.com"));
  assert.equal((await served.read(1)).charCodeAt(0), 22, "a handshake record");
  served.socket.destroy();
});

test("openssl and curl say what the alert says", async (t) => {
  if (!needProgram(t, "openssl") || !needProgram(t, "curl")) return;
  for (const name of ["example.net", "nowhere.example", "a.b.wild.example", "wild.example"]) {
    const output = await sClient(plain.httpsPort, ["-servername", name]);
    assert.match(output, /alert number 112/, name);
    assert.doesNotMatch(output, /BEGIN CERTIFICATE/);
  }
  assert.match(await sClient(plain.httpsPort, ["-noservername"]), /alert number 112/);
  const { code, stderr } = await run("curl", ["-sSk", `https://127.0.0.1:${plain.httpsPort}/`]);
  assert.equal(code, 35);
  assert.match(stderr, /unrecognized name/);
});

test("every ClientHello that is malformed gets its alert and no handshake", async () => {
  const rows = vectors.filter(({ expect }) => expect.state === "malformed");
  assert.ok(rows.length > 30);
  for (const { name, input, expect } of rows) {
    if (expect.state !== "malformed") continue;
    const answer = await rawAnswer(plain.httpsPort, Buffer.from(input, "hex"));
    assert.equal(answer, alertOf(expect.alert), name);
  }
});

test("a ClientHello of 16 KiB is read, and one of a byte more is not", async () => {
  const padded = (total: number): Buffer => {
    const hello = Buffer.from(NODE_24, "hex");
    const padding = Buffer.alloc(total - hello.length);
    padding.writeUInt32BE(21 * 65_536 + padding.length - 4); // RFC 7685: type 21 and the length
    const bytes = Buffer.concat([hello, padding]);
    const extensions = 5 + 4 + 2 + 32 + 33 + 2 + bytes.readUInt16BE(76) + 2;
    assert.equal(bytes.readUInt16BE(extensions), hello.length - extensions - 2);
    bytes.writeUInt16BE(total - extensions - 2, extensions);
    bytes.writeUIntBE(total - 9, 6, 3);
    bytes.writeUInt16BE(total - 5, 3);
    return bytes;
  };
  const client = wire(net.connect(plain.httpsPort, "127.0.0.1"));
  client.write(padded(16_384));
  assert.equal((await client.read(3)).slice(0, 2), "\x16\x03");
  client.socket.destroy();
  assert.equal(await rawAnswer(plain.httpsPort, padded(16_385)), alertOf(50));
});

test("a ClientHello may come byte by byte or in many records", async (t) => {
  const cuts: [string, (hello: Buffer) => Buffer[]][] = [
    ["bytes", (hello) => inPieces(hello, 1)],
    ["records of 1", (hello) => inRecords(hello, 1)],
    ["records of 3, in pieces of 7", (hello) => inPieces(Buffer.concat(inRecords(hello, 3)), 7)],
    ["records of 100", (hello) => inRecords(hello, 100)],
  ];
  for (const [name, cut] of cuts) {
    const port = await relayTo(t, plain.httpsPort, cut);
    assert.equal(await statusFor(port, "example.com", "example.com"), 200, name);
  }
});

test("a handshake that takes too long is cut, however many bytes trickle in", async () => {
  const hello = helloFor("example.com");
  const trickle = async (client: ReturnType<typeof wire>, bytes: Buffer): Promise<void> => {
    for (const byte of inPieces(bytes, 1)) {
      if (client.ended) return;
      client.write(byte);
      await setTimeout(25);
    }
  };
  const starts = [Buffer.alloc(0), hello.subarray(0, 3), hello.subarray(0, 100), hello];
  await Promise.all(starts.map(async (bytes) => {
    const start = Date.now();
    const client = wire(net.connect({ port: stored.httpsPort, host: "127.0.0.1", noDelay: true }));
    client.write(bytes);
    const rest = hello.subarray(bytes.length, -1);
    const [answer] = await Promise.all([client.readToEnd(), trickle(client, rest)]);
    const duration = Date.now() - start;
    assert.ok(duration > 1_500 && duration < 9_000, `${bytes.length} bytes: ${duration} ms`);
    if (bytes.length < hello.length) assert.equal(answer, "");
    client.socket.destroy();
  }));
});

test("plain HTTP on the TLS port gets a 400 that says so", async (t) => {
  const answer = Buffer.from(
    await rawAnswer(plain.httpsPort, Buffer.from(get("example.com"))),
    "hex",
  ).toString();
  assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: text\/plain\r\n/);
  assert.match(answer, /\r\nConnection: close\r\n\r\nThis port speaks HTTPS, .*\n$/);
  if (!needProgram(t, "curl")) return;
  const { stdout } = await run("curl", ["-sS", `http://127.0.0.1:${plain.httpsPort}/`]);
  assert.match(stdout, /^This port speaks HTTPS, .*\n$/);
});

test("HTTP/2 is chosen, or else 1.1 or 1.0, and a client that has only others is refused", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const offering = (list: string): Promise<string> =>
    sClient(plain.httpsPort, ["-servername", "example.com", "-alpn", list]);
  for (const list of ["h2", "h2,http/1.1", "http/1.1,h2", "http/1.0,h2", "h2,acme-tls/1"]) {
    assert.match(await offering(list), /^ALPN protocol: h2$/m, list);
  }
  for (const list of ["http/1.1", "http/1.0,http/1.1", "unknown,http/1.1", "h2c,http/1.1"]) {
    assert.match(await offering(list), /^ALPN protocol: http\/1\.1$/m, list);
  }
  // What `curl --http1.0` offers; HTTP/1.0 is served.
  assert.match(await offering("h3,http/1.0"), /^ALPN protocol: http\/1\.0$/m);
  for (const list of ["h2c", "h3,acme-tls/1", "http/0.9"]) {
    assert.match(await offering(list), /alert number 120/, list);
  }
  const without = await sClient(plain.httpsPort, ["-servername", "example.com"]);
  assert.match(without, /^No ALPN negotiated$/m);
  const options = { until: 1, tls: { ALPNProtocols: [] } };
  const answer = await httpsExchange(plain.httpsPort, "example.com", get("example.com"), options);
  assert.equal(statusOf(answer), 200);
});

test("TLS 1.2 and 1.3 with each of their suites, and nothing older or weaker", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const negotiated = async (name: string, ...args: string[]): Promise<string | undefined> => {
    const output = await sClient(stored.httpsPort, ["-servername", name, ...args]);
    return /^New, ([^,]+, Cipher is .*)$/m.exec(output)?.[1];
  };
  for (const suite of ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"]) {
    const chosen = await negotiated("example.com", "-tls1_3", "-ciphersuites", `TLS_${suite}`);
    assert.equal(chosen, `TLSv1.3, Cipher is TLS_${suite}`);
  }
  for (const [type, name] of [["ECDSA", "other.example"], ["RSA", "rsa.example"]] as const) {
    for (const rest of ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]) {
      const suite = `ECDHE-${type}-${rest}`;
      const chosen = await negotiated(name, "-tls1_2", "-cipher", suite);
      assert.equal(chosen, `TLSv1.2, Cipher is ${suite}`);
    }
  }
  const none = "(NONE), Cipher is (NONE)";
  const any = ["-cipher", "ALL:@SECLEVEL=0"];
  for (const version of ["-tls1", "-tls1_1"]) {
    const output = await sClient(stored.httpsPort, ["-servername", "example.com", version, ...any]);
    assert.match(output, /alert number 70/, version);
  }
  for (const suite of ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA256"]) {
    const weak = ["-tls1_2", "-cipher", `${suite}:@SECLEVEL=0`];
    assert.equal(await negotiated("rsa.example", ...weak), none, suite);
  }
});

test("of a client's suites the cheapest is taken, unless it has ChaCha20 first", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const [aes128, aes256] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"];
  const chacha = "TLS_CHACHA20_POLY1305_SHA256";
  const first = [`${aes256}:${chacha}:${aes128}`, `${chacha}:${aes128}`];
  for (const [i, expected] of [thisRuntime.kind === "deno" ? aes256 : aes128, chacha].entries()) {
    const args = ["-servername", "example.com", "-tls1_3", "-ciphersuites", first[i] as string];
    const output = await sClient(stored.httpsPort, args);
    assert.equal(/^New, TLSv1.3, Cipher is (.*)$/m.exec(output)?.[1], expected);
  }
});

test("keys are agreed on X25519, P-256, P-384, and X25519MLKEM768 where known", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const groups = [["X25519", "X25519"], ["P-256", "prime256v1"], ["P-384", "secp384r1"]] as const;
  for (const version of ["-tls1_2", "-tls1_3"]) {
    for (const [group, name] of groups) {
      // An ECDSA certificate's own curve must be among those of a TLS 1.2 client (RFC 8422 5.3).
      const args = ["-servername", "rsa.example", version, "-groups", group];
      const output = await sClient(stored.httpsPort, args);
      assert.match(output, new RegExp(`^Server Temp Key: .*${name}`, "m"), `${version} ${group}`);
    }
  }
  // This hello offers it first. OpenSSL knows it since 3.5, and Deno's TLS does.
  const [major = 0, minor = 0] = process.versions.openssl?.split(".").map(Number) ?? [];
  const known = thisRuntime.kind === "deno" || major > 3 || (major === 3 && minor >= 5);
  const client = wire(net.connect(plain.httpsPort, "127.0.0.1"));
  client.write(helloFor("example.com"));
  const header = await client.read(5);
  const serverHello = Buffer.from(
    await client.read(256 * header.charCodeAt(3) + header.charCodeAt(4)),
    "latin1",
  );
  client.socket.destroy();
  assert.equal(chosenGroup(serverHello), known ? 0x11ec : 0x001d);
});

/** The group in the key_share extension (RFC 8446 4.2.8) of a ServerHello, without its record. */
function chosenGroup(hello: Buffer): number {
  let at = 4 + 2 + 32;
  at += 1 + (hello[at] as number) + 2 + 1 + 2; // session id, suite, compression, length
  for (; at < hello.length; at += 4 + hello.readUInt16BE(at + 2)) {
    if (hello.readUInt16BE(at) === 51) return hello.readUInt16BE(at + 4);
  }
  throw new Error("no key_share");
}

test("a session is resumed, under TLS 1.2 and 1.3", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const session = join(await temporaryFolder(t), "session.pem");
  const request = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
  for (const version of ["-tls1_2", "-tls1_3"]) {
    const args = ["-servername", "example.com", version, "-ign_eof"];
    const first = await sClient(plain.httpsPort, [...args, "-sess_out", session], request);
    assert.match(first, /^New, TLS/m, version);
    const second = await sClient(plain.httpsPort, [...args, "-sess_in", session], request);
    assert.match(second, /^Reused, TLS/m, version);
    assert.match(second, /^HTTP\/1\.1 200 /m);
    // A ticket is worth nothing where another certificate is served.
    const other = ["-servername", "other.example", version, "-sess_in", session];
    assert.match(await sClient(plain.httpsPort, other), /^New, TLS/m, version);
  }
});

test("renegotiation is refused", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const args = ["-servername", "example.com", "-tls1_2"];
  const output = await sClient(plain.httpsPort, args, "R\n");
  assert.match(output, /^RENEGOTIATING$[^]*no renegotiation/m);
});

test("names are found in any case, with a last dot, as A-labels and by wildcard", async (t) => {
  const { httpsPort } = plain;
  const served = [
    ["EXAMPLE.Com", "eXample.COM"],
    ["example.com", "example.com."],
    ["example.com", "EXAMPLE.COM:443"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["XN--BCHER-KVA.example", "Xn--Bcher-kva.Example"],
    ["a.wild.example", "a.wild.example"],
    ["A.WILD.example", "b.wild.EXAMPLE"],
    ["own.wild.example", "own.wild.example"],
    ["x.static.example.com", "www.example.com"],
  ] as const;
  for (const [name, host] of served) {
    assert.equal(await statusFor(httpsPort, name, host), 200, `${name}, ${host}`);
  }
  for (const host of ["bücher.example", "*.wild.example", "example.com..", "example..com"]) {
    const bytes = Buffer.from(host).toString("latin1");
    const status = await statusFor(httpsPort, "example.com", bytes);
    assert.ok(status === 400 || status === 421, `${host}: ${status}`);
  }
  if (!needProgram(t, "openssl")) return;
  for (const name of ["example.com.", "EXAMPLE.COM"]) { // as typed, which not every client does
    assert.match(await sClient(httpsPort, ["-servername", name]), /^New, TLSv1/m, name);
  }
});

test("each name of a route has the route's certificate", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const names = ["example.com", "www.example.com", "any.static.example.com"];
  const all = await Promise.all(names.map((name) => certificateOf(plain.httpsPort, name)));
  assert.equal(new Set(all.map((each) => each.serialNumber)).size, 1);
  assert.equal(all[0]?.subject, "CN=example.com");
  const dns = ["example.com", "www.example.com", "*.static.example.com"];
  assert.equal(all[0]?.subjectAltName, dns.map((name) => `DNS:${name}`).join(", "));
  const subject = await certificateOf(plain.httpsPort, "deep.subject.example");
  assert.equal(subject.subject, "CN=subject.example");
  assert.equal(subject.subjectAltName, "DNS:subject.example, DNS:*.subject.example");
  const wild = await certificateOf(plain.httpsPort, "a.wild.example");
  assert.equal(wild.subject, "CN=*.wild.example");
  const own = await certificateOf(plain.httpsPort, "own.wild.example");
  assert.equal(own.subject, "CN=own.wild.example", "the most specific name wins");
  const idn = await certificateOf(plain.httpsPort, "xn--bcher-kva.example");
  assert.equal(idn.subjectAltName, "DNS:xn--bcher-kva.example");
});

test("a self-signed certificate satisfies openssl verify and curl", async (t) => {
  if (!needProgram(t, "openssl") || !needProgram(t, "curl")) return;
  const { httpsPort } = plain;
  const pem = join(await temporaryFolder(t), "certificate.pem");
  const certificate = await certificateOf(httpsPort, "example.com");
  await writeFile(pem, certificate.toString());
  const strict = ["verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslserver"];
  for (
    const [host, code] of [["www.example.com", 0], ["a.static.example.com", 0], [
      "other.example",
      2,
    ]] as const
  ) {
    const args = [...strict, "-verify_hostname", host, "-partial_chain", "-trusted", pem, pem];
    const { code: result, stdout, stderr } = await run("openssl", args);
    assert.equal(result, code, stdout + stderr);
  }
  const resolve = ["--resolve", `www.example.com:${httpsPort}:127.0.0.1`];
  const url = `https://www.example.com:${httpsPort}/`;
  const { code, stderr } = await run("curl", ["-sS", "--cacert", pem, ...resolve, url]);
  assert.equal(code, 0, stderr);
  const days = (Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / DAY;
  assert.equal(Math.round(days), 30);
});

test("a host that the connection isn't for gets 421, and the next its answer", async () => {
  const rows: [port: number, name: string, host: string, status: number][] = [
    [plain.httpsPort, "example.com", "www.example.com", 200],
    [plain.httpsPort, "example.com", "a.static.example.com", 200],
    [plain.httpsPort, "a.static.example.com", "example.com", 200],
    [plain.httpsPort, "example.com", "example.com:1234", 200],
    [plain.httpsPort, "example.com", "other.example", 421],
    [plain.httpsPort, "example.com", "a.b.static.example.com", 421],
    [plain.httpsPort, "example.com", "static.example.com", 421],
    [plain.httpsPort, "example.com", "nowhere.example", 421],
    [plain.httpsPort, "example.com", "127.0.0.1", 421],
    [plain.httpsPort, "example.com", "[::1]:443", 421],
    [plain.httpsPort, "a.wild.example", "b.wild.example", 200],
    [plain.httpsPort, "a.wild.example", "own.wild.example", 200], // the certificate covers it
    [plain.httpsPort, "own.wild.example", "a.wild.example", 421],
    [plain.httpsPort, "deep.subject.example", "deep.subject.example", 200],
    [plain.httpsPort, "deep.subject.example", "subject.example", 421], // covered, but no route
    [stored.httpsPort, "", "fallback.example", 200],
    [stored.httpsPort, "", "anything.example", 200],
    [stored.httpsPort, "", "127.0.0.1", 200],
    [stored.httpsPort, "", "[::1]", 200],
    [stored.httpsPort, "", "other.example", 421],
    [stored.httpsPort, "unknown.example", "unknown.example", 200],
    [stored.httpsPort, "unknown.example", "fallback.example", 200],
    [stored.httpsPort, "unknown.example", "other.example", 421],
    [stored.httpsPort, "other.example", "unknown.example", 421],
    [stored.httpsPort, "other.example", "fallback.example", 421],
  ];
  for (const [port, name, host, status] of rows) {
    const answer = await httpsExchange(port, name, get(host), { until: 1 });
    assert.equal(statusOf(answer), status, `${name || "no name"}, ${host}: ${answer}`);
  }
  const both = get("other.example") + get("example.com");
  const answers = await httpsExchange(plain.httpsPort, "example.com", both, { until: 2 });
  assert.deepEqual(answers.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 421", "HTTP/1.1 200"]);
});

test("a fallback route serves clients that give no name or an unknown one", async (t) => {
  if (!needProgram(t, "openssl")) return;
  for (const args of [["-noservername"], ["-servername", "nowhere.example"]]) {
    const served = new X509Certificate(pemOf(await sClient(stored.httpsPort, args)));
    assert.equal(served.subject, "CN=fallback.example");
  }
  const expired = await sClient(stored.httpsPort, ["-servername", "expired.org"]);
  assert.match(expired, /alert number 112/, "a route without certificate isn't the fallback's");
});

test("secondary names are redirected, path and query byte for byte", async () => {
  const paths = ["/foo?a=b", "/a%2Fb;c//d?x=%zz&y=;&z", "//evil.example/", "/%", "/?", '/"<>|'];
  for (const [{ httpsPort }, port] of [[plain, ""], [stored, ":8443"]] as const) {
    for (const path of paths) {
      for (const host of ["www.primary.example", "WWW.Primary.example:443"]) {
        const request = get(host, path);
        const answer = await httpsExchange(httpsPort, "www.primary.example", request, { until: 1 });
        assert.equal(statusOf(answer), 308);
        assert.equal(locationOf(answer), `https://primary.example${port}${path}`);
        assert.doesNotMatch(answer, /X-Rule/);
      }
    }
    for (const host of ["primary.example", "PRIMARY.example.", "primary.example:99"]) {
      const request = get(host, "/foo");
      const answer = await httpsExchange(httpsPort, "primary.example", request, { until: 1 });
      assert.equal(statusOf(answer), 200, host);
      assert.match(answer, /\r\n\r\nGET \/foo HTTP/);
    }
  }
  const wild = get("any.primary.example", "/x");
  const answer = await httpsExchange(plain.httpsPort, "any.primary.example", wild, { until: 1 });
  assert.equal(locationOf(answer), "https://primary.example/x");
  const post = "POST /form HTTP/1.1\r\nHost: www.primary.example\r\nContent-Length: 9\r\n\r\n";
  const early = await httpsExchange(plain.httpsPort, "www.primary.example", post);
  assert.equal(statusOf(early), 308);
  assert.match(early, /\r\nConnection: close\r\n/, "a body that may never come isn't waited for");
});

test("port 80 redirects every valid name to https, and answers 400 to all else", async (t) => {
  const exchange = async (port: number, request: string): Promise<string> => {
    const client = wire(net.connect(port, "127.0.0.1"));
    t.after(() => client.socket.destroy());
    client.write(request);
    const { head } = await readMessage(client, request.slice(0, request.indexOf(" ")));
    return head;
  };
  const long = "a".repeat(64);
  for (const { httpPort, port } of [{ ...plain, port: "" }, { ...stored, port: ":8443" }]) {
    const redirected: [host: string, path: string, name?: string][] = [
      ["example.com", "/foo/bar"],
      ["example.com", "/foo/bar?baz=quux"],
      ["example.com", "/a%2Fb;c//d?x=%zz&y=;"],
      ["example.com", "//evil.example/%2e%2e"],
      ["example.com:80", "/", "example.com"],
      ["Example.COM.:8080", "/", "example.com"],
      ["nobody-serves-this.example", "/"],
      ["_service.example", "/"],
      ["localhost", "/"],
    ];
    for (const [host, path, name = host] of redirected) {
      const answer = await exchange(httpPort, get(host, path));
      assert.equal(statusOf(answer), 308, host);
      assert.equal(locationOf(answer), `https://${name}${port}${path}`);
    }
  }
  const refused = [
    "",
    "/invalid/",
    "invalid host",
    "127.0.0.1",
    "127.0.0.1:80",
    "[::1]",
    "[::1]:80",
  ]
    .concat(["-a.example", "a-.example", "a.-b", "a..b", "invalid..domain", ".a", "a.b-", "1.2.3"])
    .concat([long, `${long}.example`, `${"a.".repeat(127)}a`, "a@b", "a,b", "a.example:x", "::1"]);
  for (const host of refused) {
    const answer = await exchange(plain.httpPort, get(host));
    assert.equal(statusOf(answer), 400, host);
    assert.equal(locationOf(answer), undefined);
  }
  assert.equal(statusOf(await exchange(plain.httpPort, "GET / HTTP/1.0\r\n\r\n")), 400);
  assert.equal(statusOf(await exchange(plain.httpPort, "\x16\x03\x01\x01\x00\r\n\r\n")), 400);
  const head = await exchange(plain.httpPort, "HEAD /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
  assert.equal(locationOf(head), "https://a.example/x");
  const absolute = get("b.example", "http://a.example/x?y");
  assert.equal(locationOf(await exchange(plain.httpPort, absolute)), "https://a.example/x?y");
  const client = wire(net.connect(plain.httpPort, "127.0.0.1"));
  t.after(() => client.socket.destroy());
  client.write(get("a.example") + get("b.example"));
  assert.equal(locationOf((await readMessage(client)).head), "https://a.example/");
  assert.equal(locationOf((await readMessage(client)).head), "https://b.example/");
});

test("self-signed certificates are kept in Go's format and served again", async (t) => {
  const path = join(plain.folder, "certs.json");
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const [record] = await untilStored(path, "other.example");
  assert.ok(record);
  assert.match(record.privateKey, /^-----BEGIN EC PRIVATE KEY-----\n/);
  assert.match(record.certificate, /^-----BEGIN CERTIFICATE-----\n/);
  assert.match(record.notAfter, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  const { privateKey: _key, certificate: _certificate, notAfter: _notAfter, ...rest } = record;
  assert.deepEqual(rest, {
    provider: "selfsigned",
    issuer: "",
    subject: "other.example",
    altNames: [],
    ocspResponse: null,
    nextOcspUpdate: "0001-01-01T00:00:00Z",
    ariNextUpdate: "0001-01-01T00:00:00Z",
    ariRenewalTime: "0001-01-01T00:00:00Z",
    ariExplanation: "",
  });
  if (!needProgram(t, "openssl")) return;
  const before = await certificateOf(plain.httpsPort, "other.example");
  const after = await certificateOf(stored.httpsPort, "other.example");
  assert.equal(after.serialNumber, before.serialNumber);
  assert.ok(after.serialNumber.length > 16, "a random serial");
});

test("a certificate that Go stored is served", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const text = await readFile(join(root, "test/vectors/certs.json"), "utf8");
  const [record]: CertificateRecord[] = JSON.parse(text);
  const served = await certificateOf(stored.httpsPort, "www.example.com");
  assert.equal(served.serialNumber, new X509Certificate(record?.certificate ?? "").serialNumber);
});

test("stored certificates are served while good, self-signed ones made anew in time", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const serial = (name: string): string => Buffer.from(name).subarray(0, 16).toString("hex");
  const served = async (name: string): Promise<string> =>
    (await certificateOf(stored.httpsPort, name)).serialNumber.toLowerCase();
  for (const name of ["later.example", "renewable.example", "old.example"]) {
    assert.equal(await served(name), serial(name), name);
  }
  for (const name of ["soon.example", "expired.example"]) {
    const made = await served(name);
    assert.notEqual(made, serial(name), name);
    assert.equal(await served(name), made, "and kept");
  }
  assert.equal(expiredAnswer, UNRECOGNIZED_NAME);
  for (const name of ["expired.org", "damaged.example"]) {
    const output = await sClient(stored.httpsPort, ["-servername", name]);
    assert.match(output, /alert number 112/, name);
    await sClient(stored.httpsPort, ["-servername", name]);
    const told = stored.logs.filter((line) => line.includes(`"route":"${name}"`));
    assert.equal(told.length, 1, "said once");
    assert.match(told[0] ?? "", /"level":"WARN","msg":"no certificate for route"/);
  }
});

test("a damaged store ends the start, and is left as it is", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const env = { CERTIFICATE_STORE: path, CONFIG: join(plain.folder, "centauri.conf") };
  for (const text of ["[{", ""]) {
    await writeFile(path, text);
    const { code, stdout } = await runCentauri([], { env });
    assert.equal(code, 1, text);
    assert.ok(stdout.includes(path), stdout);
    assert.equal(stdout.trimEnd().split("\n").length, 1);
    assert.equal(await readFile(path, "utf8"), text);
  }
});

test("what a client wrote is only in the log escaped, and at debug level", async () => {
  const from = plain.logs.length;
  for (const name of ['\0\n\r\t\x1b[31m"\\', "\x7f\x80\x85\x9b31m\xa0\xad.a"]) {
    assert.equal(await rawAnswer(plain.httpsPort, helloFor(name)), UNRECOGNIZED_NAME);
    const record = await plain.waitForLog((r) => r.name === name, 5_000, from);
    assert.equal(record.level, "DEBUG");
  }
  await statusFor(plain.httpsPort, "example.com", "\x1b[31m");
  for (const line of plain.logs) {
    assert.doesNotThrow(() => JSON.parse(line), line);
    assert.doesNotMatch(line, /[\0-\x1f\x7f-\xa0\xad]/);
  }
});

test("a client that leaves during the handshake is let go at once", async () => {
  const from = stored.logs.length;
  const client = wire(net.connect(stored.httpsPort, "127.0.0.1"));
  client.socket.end(helloFor("example.com"));
  await client.readToEnd();
  const record = await stored.waitForLog((r) => r.msg === "handshake refused", 5_000, from);
  assert.equal(record.reason, "the client left");
});

test("TCP asks whether a silent client is still there", async (t) => {
  if (!needProgram(t, "ss")) return;
  for (const port of [plain.httpsPort, plain.httpPort]) {
    const client = net.connect(port, "127.0.0.1");
    t.after(() => client.destroy());
    await once(client, "connect");
    const filter = ["sport", "=", `:${port}`, "dport", "=", `:${client.localPort}`];
    const timer = async (): Promise<string> =>
      (await run("ss", ["-tnoH", "state", "established", ...filter])).stdout;
    for (let patience = 100; !/timer:\(keepalive,/.test(await timer()); await setTimeout(20)) {
      assert.ok(patience-- > 0, await timer());
    }
  }
});
