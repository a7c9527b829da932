/** Centauri, a CA with an OCSP responder, and OpenSSL as the client that asks for a staple. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import * as der from "../lib/der.ts";
import { freePorts } from "./acmepeers.ts";
import { type Ca, type CaSettings, startCa } from "./ca.ts";
import { extension, issue } from "./pki.ts";
import { startResponder } from "./responder.ts";
import { type Centauri, type LogRecord, needProgram, run } from "./support.ts";
import { startCentauri, temporaryFolder } from "./support.ts";

const isDeno = "Deno" in globalThis;
const DAY = 86_400_000;
const WAIT_MS = 120_000;
const NAME = "a.example.com";
const SERIAL = Buffer.from([0x40, 0xa1]);
const ROUTES = `route ${NAME}\n  upstream 127.0.0.1:1\n`;
const MUST_STAPLE = extension("1.3.6.1.5.5.7.1.24", der.sequence(der.integer(5)));
const NO_STAPLE = /certificate must staple, which Deno can't|no OCSP response/;

/** A response that was good for a while, for the record of a certificate. */
const ENDED = {
  ocspResponse: "MAMKAQY=",
  nextOcspUpdate: new Date(Date.now() - 60_000).toISOString(),
};

type Variables = Readonly<Record<string, string>>;

/** What a Centauri of the test is told, with ACME on. */
async function variables(t: TestContext, ca: Ca): Promise<Record<string, string>> {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "roots.pem"), ca.apiRoot);
  return {
    ACME_DIRECTORY: ca.directory,
    LEGO_CA_CERTIFICATES: join(folder, "roots.pem"),
    ACME_CHALLENGES: "http-01",
    CERTIFICATE_STORE: join(folder, "certs.json"),
    USER_DATA: join(folder, "user.pem"),
  };
}

interface Site {
  /** With `ca.pem`, `leaf.pem` and what the responder answers by, `index.txt`. */
  readonly folder: string;
  readonly env: Variables;
  readonly start: () => Promise<Centauri>;
  readonly record: () => Promise<Readonly<Record<string, unknown>>>;
}

/** A store with one certificate that must staple, and its responder, which has this to say of it. */
async function prepare(t: TestContext, state: "V" | "R" | "down"): Promise<Site> {
  const folder = await temporaryFolder(t);
  const issuer = issue({ subject: "CA", to: 90 * DAY });
  const ended = state === "R" ? "260101000000Z,keyCompromise" : "";
  const files = {
    "ca.pem": issuer.cert,
    "ca.key": issuer.keyPem,
    "index.txt": `${state}\t491231235959Z\t${ended}\t40A1\tunknown\t/CN=${NAME}\n`,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const url = state === "down"
    ? `http://127.0.0.1:${await freePorts(1)}/`
    : await startResponder(t, folder, ["-rsigner", "ca.pem", "-rkey", "ca.key"]);
  const at = der.sequence(der.oid("1.3.6.1.5.5.7.48.1"), der.tlv(0x86, Buffer.from(url)));
  const leaf = issue({
    subject: NAME,
    names: [NAME],
    issuer,
    serial: SERIAL,
    to: 60 * DAY,
    extensions: [MUST_STAPLE, extension("1.3.6.1.5.5.7.1.1", der.sequence(at))],
  });
  await writeFile(join(folder, "leaf.pem"), leaf.cert);
  const env = await variables(t, await startCa(t));
  const record = {
    provider: "lego",
    issuer: issuer.cert,
    privateKey: leaf.keyPem,
    certificate: leaf.cert,
    subject: NAME,
    altNames: null,
    ...ENDED,
    notAfter: new Date(Date.now() + 60 * DAY).toISOString(),
    ariNextUpdate: new Date(Date.now() + DAY).toISOString(),
  };
  const store = env.CERTIFICATE_STORE!;
  await writeFile(store, JSON.stringify([record]));
  return {
    folder,
    env,
    start: () => startCentauri(t, { routes: ROUTES, env }),
    record: async () => JSON.parse(await readFile(store, "utf8"))[0],
  };
}

/** What OpenSSL shows of a staple, and of the certificate that it came with. */
async function shown({ httpsPort }: Centauri, ...args: string[]): Promise<string> {
  const connect = ["s_client", "-connect", `127.0.0.1:${httpsPort}`, "-servername", NAME];
  return (await run("openssl", [...connect, "-status", ...args])).stdout;
}

/** Waits for the next look at the staple, and gives what the log says of it. */
async function said(centauri: Centauri): Promise<LogRecord> {
  return await centauri.waitForLog(({ msg }) => NO_STAPLE.test(`${msg}`), WAIT_MS);
}

/** One line in the log, and after a reload no other. */
async function saidOnce(centauri: Centauri): Promise<void> {
  await centauri.reload(ROUTES);
  await setTimeout(300);
  assert.equal(centauri.logs.filter((line) => NO_STAPLE.test(line)).length, 1);
}

async function servedWithout(centauri: Centauri): Promise<void> {
  const text = await shown(centauri);
  assert.match(text, /OCSP response: no response sent/);
  assert.match(text, new RegExp(`subject=CN = ${NAME}`));
}

test("a certificate that must staple is served with a response, across restarts", async (t) => {
  if (!needProgram(t, "openssl")) return;
  if (isDeno) return t.skip("Deno can't staple");
  const { folder, start, record } = await prepare(t, "V");
  const centauri = await start();
  const end = Date.now() + WAIT_MS;
  while ((await record()).ocspResponse === ENDED.ocspResponse && Date.now() < end) {
    await setTimeout(20);
  }
  const stored = await record();
  const left = Date.parse(`${stored.nextOcspUpdate}`) - Date.now();
  assert.ok(left > 6 * DAY && left <= 7 * DAY, `${stored.nextOcspUpdate}`);
  for (const version of ["-tls1_2", "-tls1_3"]) {
    const text = await shown(centauri, version);
    assert.match(text, /OCSP Response Status: successful/, version);
    assert.match(text, /Serial Number: 40A1\n\s*Cert Status: good/, version);
  }
  await writeFile(join(folder, "staple"), Buffer.from(`${stored.ocspResponse}`, "base64"));
  const about = ["-issuer", "ca.pem", "-cert", "leaf.pem", "-CAfile", "ca.pem", "-no_nonce"];
  const judged = await run("openssl", ["ocsp", "-respin", "staple", ...about], { cwd: folder });
  assert.match(judged.stderr, /Response verify OK/);
  assert.match(judged.stdout, /leaf\.pem: good/);
  await centauri.stop();
  const again = await start();
  assert.match(await shown(again), /Cert Status: good/, "from the store, at once");
  await setTimeout(300);
  assert.equal((await record()).ocspResponse, stored.ocspResponse, "it isn't asked for again");
  assert.ok(![...centauri.logs, ...again.logs].some((line) => NO_STAPLE.test(line)));
});

for (const [state, why] of [["R", /is revoked/], ["down", /nothing listens there/]] as const) {
  test(`what can't be stapled (${state}) is said once, and the certificate served`, async (t) => {
    if (!needProgram(t, "openssl")) return;
    if (isDeno) return t.skip("Deno can't staple");
    const { start, record } = await prepare(t, state);
    const centauri = await start();
    const { level, subject, error } = await said(centauri);
    assert.deepEqual({ level, subject }, { level: "WARN", subject: NAME });
    assert.match(`${error}`, why);
    await servedWithout(centauri);
    await saidOnce(centauri);
    assert.equal((await record()).ocspResponse, ENDED.ocspResponse);
  });
}

test("Deno says that it can't staple, and serves the certificate", async (t) => {
  if (!isDeno) return t.skip("for Deno");
  if (!needProgram(t, "openssl")) return;
  const { start, record } = await prepare(t, "V");
  const centauri = await start();
  const { level, subject, next } = await said(centauri);
  assert.deepEqual({ level, subject }, { level: "ERROR", subject: NAME });
  assert.match(`${next}`, /run Centauri on Node/);
  await servedWithout(centauri);
  await saidOnce(centauri);
  assert.equal((await record()).ocspResponse, ENDED.ocspResponse);
});

/** A CA, and how often its responder, which has no good day, was asked for something. */
async function failingCa(t: TestContext): Promise<{ ca: Ca; asked: () => number }> {
  let asked = 0;
  const server = http.createServer((request, response) => {
    asked += request.headers["content-type"] === "application/ocsp-request" ? 1 : 0;
    response.writeHead(500).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const ocspUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const settings: Partial<CaSettings> = { ocspUrl };
  return { ca: await startCa(t, settings), asked: () => asked };
}

for (const wanted of [true, false]) {
  test(`a certificate ${wanted ? "must" : "needn't"} staple as --ocsp-stapling says`, async (t) => {
    if (!needProgram(t, "openssl")) return;
    const { ca, asked } = await failingCa(t);
    const env: Variables = { ...await variables(t, ca), OCSP_STAPLING: `${wanted}` };
    const centauri = await startCentauri(t, { routes: ROUTES, env });
    await centauri.waitForLog(({ msg }) => msg === "certificate obtained", WAIT_MS);
    assert.equal(ca.orders[0]?.csr?.mustStaple, wanted);
    if (wanted) await said(centauri);
    const [record] = JSON.parse(await readFile(env.CERTIFICATE_STORE!, "utf8"));
    const { stdout } = await run("openssl", ["x509", "-noout", "-text"], {
      input: record.certificate,
    });
    assert.equal(/TLS Feature:\s*status_request\n/.test(stdout), wanted);
    assert.equal(asked(), wanted && !isDeno ? 1 : 0);
    assert.match(await shown(centauri), /OCSP response: no response sent/);
  });
}
