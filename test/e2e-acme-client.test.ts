/** The ACME client against Pebble, which somebody else wrote, over our own HTTP client. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { AcmeClient, AcmeError, type AcmeOptions, toIdentifier } from "../lib/acme.ts";
import { createHttpClient, type HttpRequest } from "../lib/httpsclient.ts";
import { certificateNames, certificateRequest, fromPem, pemBlocks } from "../lib/x509.ts";
import { readCertificate } from "../lib/x509.ts";
import { type Pebble, type PebbleOptions, startPebble } from "./acmepeers.ts";
import { run, temporaryFolder } from "./support.ts";

const MAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
const newKey = (namedCurve = "P-256"): KeyObject =>
  generateKeyPairSync("ec", { namedCurve }).privateKey;

interface Started {
  readonly pebble: Pebble;
  readonly client: AcmeClient;
  /** `METHOD` of each request so far. */
  readonly requests: string[];
  connect(options: Partial<AcmeOptions>): AcmeClient;
}

/** A Pebble that believes every challenge; undefined, and the test is skipped, if there is none. */
async function start(
  t: TestContext,
  options: Partial<PebbleOptions>,
): Promise<Started | undefined> {
  const env = { PEBBLE_VA_ALWAYS_VALID: "1", ...options.env };
  const pebble = await startPebble(t, { httpPort: 80, tlsPort: 443, ...options, env });
  if (pebble === undefined) return undefined;
  const { request, close } = createHttpClient({ ca: [pebble.apiRoot], userAgent: "test" });
  t.after(close);
  const requests: string[] = [];
  const http = (sent: HttpRequest) => {
    requests.push(sent.method);
    return request(sent);
  };
  const { directory } = pebble;
  const connect = (more: Partial<AcmeOptions>): AcmeClient =>
    new AcmeClient({ directory, http, key: newKey(), ...more });
  return { pebble, client: connect({}), requests, connect };
}

/** The flow of RFC 8555, from the order to the chain; the names must be valid by any challenge. */
async function obtain(
  client: AcmeClient,
  names: readonly string[],
  key: KeyObject = newKey(),
  preferredIssuer?: string,
): Promise<string> {
  const order = await client.newOrder({ identifiers: names.map(toIdentifier) });
  for (const url of order.authorizations) {
    const { status, challenges } = await client.getAuthorization(url);
    if (status === "valid") continue;
    await client.respond(challenges[0]!.url);
    await client.waitForAuthorization(url);
  }
  const { certificate } = await client.finalize(order, certificateRequest({ names, key }));
  return client.getCertificate(certificate!, preferredIssuer);
}

async function verified(t: TestContext, { pebble }: Started, chain: string, root = 0) {
  const folder = await temporaryFolder(t);
  const file = (name: string): string => join(folder, name);
  await writeFile(file("root.pem"), await pebble.root(root));
  await writeFile(file("chain.pem"), chain);
  const args = ["-CAfile", "root.pem", "-untrusted", "chain.pem", "chain.pem"];
  const { stdout, stderr } = await run("openssl", ["verify", ...args], { cwd: folder });
  assert.match(stdout, /^chain\.pem: OK$/m, stderr);
}

test("a certificate comes from Pebble, with every second nonce refused", async (t) => {
  const started = await start(t, { env: { PEBBLE_WFE_NONCEREJECT: "50" }, strict: true });
  if (!started) return;
  const { client } = started;
  const { url, body } = await client.newAccount({ contact: ["mailto:a@example.com"] });
  assert.match(url, /^https:\/\/localhost:\d+\//);
  assert.equal(body.status, "valid");
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const keys = [[newKey(), "192.0.2.7"], [newKey("P-384"), "2001:db8::7"], [rsa, "A.A.Example"]];
  for (const [key, name] of keys as [KeyObject, string][]) {
    const names = ["a.example", "*.a.example", name];
    const chain = await obtain(client, names, key);
    assert.deepEqual(certificateNames(chain).sort(), names.map((n) => n.toLowerCase()).sort());
    assert.ok(new X509Certificate(chain).checkPrivateKey(key));
    assert.match(readCertificate(chain).issuerName ?? "", /^Pebble Intermediate CA/);
    await verified(t, started, chain);
  }
  assert.ok(Math.abs(client.clockSkew!) < 5_000);
});

test("a certificate comes from Pebble that refuses nine nonces in ten", async (t) => {
  const started = await start(t, { env: { PEBBLE_WFE_NONCEREJECT: "90" } });
  if (!started) return;
  const { client } = started;
  await client.newAccount();
  await verified(t, started, await obtain(client, ["b.example"]));
});

test("a certificate takes 9 or 10 requests and little time", async (t) => {
  const started = await start(t, {});
  if (!started) return;
  const { client, requests } = started;
  const from = performance.now();
  await client.newAccount();
  await obtain(client, ["c.example"]);
  const ms = Math.round(performance.now() - from);
  t.diagnostic(`${requests.length} requests, ${ms} ms`);
  // Pebble's finalize gives an order that is processing, which is looked at once more.
  assert.ok(requests.length >= 9 && requests.length <= 11, `${requests.length}`);
});

test("accounts are found, changed, given another key and ended", async (t) => {
  const started = await start(t, {});
  if (!started) return;
  const { connect } = started;
  const key = newKey("P-384");
  const client = connect({ key });
  const unknown = await client.newAccount({ onlyReturnExisting: true }).catch((error) => error);
  assert.equal((unknown as AcmeError).type, "accountDoesNotExist");
  const { url } = await client.newAccount();
  assert.equal((await connect({ key }).newAccount({ onlyReturnExisting: true })).url, url);
  await client.updateAccount(["mailto:b@example.com"]);
  const { body } = await client.newAccount({ onlyReturnExisting: true });
  assert.deepEqual(body.contact, ["mailto:b@example.com"]);
  const next = newKey();
  await client.keyChange(next);
  await client.updateAccount([]);
  assert.equal((await connect({ key: next }).newAccount()).url, url);
  await assert.rejects(connect({ key }).newAccount({ onlyReturnExisting: true }), AcmeError);
  const other = connect({});
  await other.newAccount();
  await assert.rejects(other.keyChange(next), AcmeError, "the key has an account");
  await other.updateAccount([]);
  await client.deactivateAccount();
  const gone = await client.newOrder({ identifiers: [toIdentifier("d.example")] })
    .catch((error) => error);
  assert.equal((gone as AcmeError).type, "unauthorized");
});

test("an external account is needed, checked and bound", async (t) => {
  const started = await start(t, { eab: { "kid-1": MAC_KEY } });
  if (!started) return;
  const { client } = started;
  assert.equal((await client.getDirectory()).meta.externalAccountRequired, true);
  const type = (promise: Promise<unknown>): Promise<string> =>
    promise.then(() => "none", (error: AcmeError) => error.type);
  assert.equal(await type(client.newAccount()), "externalAccountRequired");
  const bind = (kid: string, hmac: string, algorithm?: "HS256" | "HS384" | "HS512") =>
    client.newAccount({ externalAccount: { kid, hmac, ...algorithm && { algorithm } } });
  assert.equal(await type(bind("kid-2", MAC_KEY)), "unauthorized");
  assert.equal(await type(bind("kid-1", MAC_KEY.replace("z", "y"))), "unauthorized");
  for (const algorithm of [undefined, "HS384", "HS512"] as const) {
    const bound = started.connect({});
    const { body } = await bound.newAccount({
      externalAccount: { kid: "kid-1", hmac: MAC_KEY, ...algorithm && { algorithm } },
    });
    assert.equal(body.status, "valid");
  }
});

test("alternate chains are chosen by the issuer of their last certificate", async (t) => {
  const started = await start(t, {
    env: { PEBBLE_ALTERNATE_ROOTS: "2", PEBBLE_CHAIN_LENGTH: "2" },
  });
  if (!started) return;
  const { client, pebble } = started;
  await client.newAccount();
  const issuer = readCertificate(await pebble.root(2)).issuerName!;
  const chain = await obtain(client, ["e.example"], newKey(), issuer);
  assert.equal(readCertificate(pemBlocks(chain, "CERTIFICATE").at(-1)!).issuerName, issuer);
  await verified(t, started, chain, 2);
});

test("certificates are revoked by the account and by their own key", async (t) => {
  const started = await start(t, {});
  if (!started) return;
  const { client, pebble, connect } = started;
  await client.newAccount();
  const key = newKey();
  for (const [by, certificateKey] of [[client, undefined], [connect({}), key]] as const) {
    const der = fromPem(pemBlocks(await obtain(client, ["f.example"], key), "CERTIFICATE")[0]!);
    await by.revokeCertificate(der, certificateKey);
    const serial = new X509Certificate(der).serialNumber;
    assert.equal((await pebble.certificateStatus(serial.toLowerCase())).Status, "Revoked");
    await by.revokeCertificate(der, certificateKey);
  }
  await assert.rejects(client.revokeCertificate(Buffer.of(1)), AcmeError);
});

test("refusals come with the server's own words, and authorizations are given up", async (t) => {
  const started = await start(t, { config: { domainBlocklist: ["blocked.test"] } });
  if (!started) return;
  const { client } = started;
  await client.newAccount();
  const caught = await client.newOrder({ identifiers: [toIdentifier("www.blocked.test")] })
    .catch((error) => error);
  assert.ok(caught instanceof AcmeError);
  assert.equal(caught.type, "rejectedIdentifier");
  assert.match(caught.message, /^ACME server answered newOrder with 400: rejectedIdentifier "/);
  assert.equal(await client.renewalInfo("a.b"), undefined, "Pebble 2.4 has no such thing");
  const order = await client.newOrder({ identifiers: [toIdentifier("g.example")] });
  const [url = ""] = order.authorizations;
  await client.deactivateAuthorization(url);
  assert.equal((await client.getAuthorization(url)).status, "deactivated");
  await assert.rejects(client.waitForAuthorization(url), /g\.example: "the authorization is deact/);
});
