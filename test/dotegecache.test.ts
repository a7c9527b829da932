/** Dotege 1.3.2's cache file; the golden one was written by Go's encoding/json. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  X509Certificate,
} from "node:crypto";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import tls from "node:tls";
import { openDotegeCache } from "../lib/dotegecache.ts";
import { newRecord } from "../lib/store.ts";
import { privateKeyPem } from "../lib/x509.ts";
import { issue } from "./pki.ts";
import { type Scope, temporaryFolder } from "./support.ts";

const CA = "https://ca.test/directory";
const OTHER_CA = "https://other.test/directory";
const golden = new URL("vectors/dotege-certs.json", import.meta.url);
const now = (): Date => new Date("2026-11-22T12:00:00Z");

// deno-lint-ignore no-explicit-any
type Json = any;
const readJson = async (path: string | URL): Promise<Json> =>
  JSON.parse(await readFile(path, "utf8"));

/** A copy of the golden file, changed perhaps; or a file with this text. */
async function cacheFile(t: Scope, change: string | ((json: Json) => void) = ""): Promise<string> {
  const path = join(await temporaryFolder(t), "certs.json");
  const json = await readJson(golden);
  if (typeof change === "function") change(json);
  await writeFile(
    path,
    typeof change === "string" && change !== "" ? change : JSON.stringify(json),
  );
  return path;
}

test("openDotegeCache() reads the certificates that Go wrote, and they serve TLS", async () => {
  const { store } = await openDotegeCache(golden.pathname, now);
  const [ec, rsa] = [
    store.find("lego", "www.example.com", ["example.com"]),
    store.find("lego", "*.example.net", []),
  ];
  for (const record of [ec, rsa]) {
    assert.ok(record);
    tls.createSecureContext({ key: record.privateKey, cert: record.certificate });
    assert.equal(Date.parse(record.notAfter), Date.UTC(2126, 10, 1, 12, 34, 56));
    assert.match(new X509Certificate(record.issuer).subject, /CN=Test CA/);
  }
  assert.match(ec?.privateKey ?? "", /^-----BEGIN EC PRIVATE KEY-----\n/);
  assert.match(rsa?.privateKey ?? "", /^-----BEGIN RSA PRIVATE KEY-----\n/);
  assert.equal(ec?.certificate.match(/BEGIN CERTIFICATE/g)?.length, 2, "the whole chain");
});

test("openDotegeCache() reads the account that Go wrote", async () => {
  const account = await (await openDotegeCache(golden.pathname, now)).account(CA).load();
  assert.equal(account?.email, "admin@example.com");
  assert.equal(account?.registration?.uri, "https://ca.test/acct/7");
  assert.equal(account?.key.asymmetricKeyDetails?.namedCurve, "prime256v1");
});

test("a saved certificate leaves all that Go wrote, and what nobody knows", async (t) => {
  const path = await cacheFile(t, (json) => {
    json.extra = { a: [1] };
    json.user.extra = "b";
    json.certs[0].extra = "c";
  });
  const before = await readJson(path);
  const { store } = await openDotegeCache(path, now);
  const names = ["new.example", "also.example"];
  const made = issue({ subject: "new.example", names });
  await store.save({
    ...newRecord("lego", names, new Date("2027-01-02T03:04:05Z")),
    ...{ certificate: made.cert, privateKey: privateKeyPem(made.key) },
    acmeDirectory: CA,
  });
  const after = await readJson(path);
  assert.deepEqual(after.user, before.user);
  assert.deepEqual(after.extra, before.extra);
  assert.equal(after.certs.length, 3);
  for (const [index, old] of before.certs.entries()) {
    assert.deepEqual({ ...after.certs[index], ...old }, after.certs[index]);
  }
  const [, , added] = after.certs;
  assert.deepEqual(added.domains, names);
  assert.equal(added.notAfter, "2027-01-02T03:04:05.000Z");
  assert.equal(Buffer.from(added.certificate, "base64").toString(), made.cert);
  createPrivateKey(Buffer.from(added.privateKey, "base64").toString());
  assert.equal(added.csr, null);
  for (const ours of ["provider", "subject", "altNames", "ocspResponse", "nextOcspUpdate"]) {
    assert.ok(!(ours in added), ours);
  }
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test("what is saved is found by a new cache, with what the CA suggests", async (t) => {
  const path = await cacheFile(t);
  const { store } = await openDotegeCache(path, now);
  const record = store.find("lego", "*.example.net", []);
  assert.ok(record);
  const ari = { ariRenewalTime: "2026-12-24T00:00:00Z", ariExplanation: "https://ca.test/why" };
  await store.save({ ...record, ...ari });
  const again = (await openDotegeCache(path, now)).store;
  assert.deepEqual(again.find("lego", "*.example.net", []), { ...record, ...ari });
  assert.equal(again.all().length, 2);
});

test("a cache sees what another one saved, and neither loses anything", async (t) => {
  const path = await cacheFile(t);
  const [one, two] = [await openDotegeCache(path, now), await openDotegeCache(path, now)];
  const pem = one.store.find("lego", "*.example.net", []);
  assert.ok(pem);
  const save = (cache: typeof one, subject: string) =>
    cache.store.save({ ...pem, subject, altNames: [] });
  const account = await one.account(CA).load();
  assert.ok(account);
  await Promise.all([
    ...["a.test", "b.test"].map((name) => save(one, name)),
    ...["c.test", "d.test"].map((name) => save(two, name)),
    one.account(CA).save({ ...account, email: "new@example.com" }),
  ]);
  const { user, certs } = await readJson(path);
  assert.equal(certs.length, 6);
  assert.equal(user.email, "new@example.com");
  assert.equal((await two.account(CA).load())?.email, "new@example.com");
});

test("an account is saved as Go reads it", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const cache = await openDotegeCache(path, now);
  assert.equal(await cache.account(CA).load(), undefined);
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await cache.account(CA).save({ email: "a@example.com", key });
  assert.equal((await readJson(path)).user.registration, undefined);
  const registration = { body: { status: "valid" }, uri: "https://ca.test/acct/1" };
  await cache.account(CA).save({ email: "a@example.com", key, registration });
  const { user } = await readJson(path);
  assert.deepEqual(user.registration, registration);
  const der = Buffer.from(user.key, "base64");
  const read = createPrivateKey({ key: der, format: "der", type: "sec1" });
  const spki = (from: typeof key) => createPublicKey(from).export({ format: "pem", type: "spki" });
  assert.equal(spki(read), spki(key));
  const loaded = await (await openDotegeCache(path, now)).account(CA).load();
  assert.deepEqual(loaded?.registration, registration);
});

test("an account that couldn't be saved isn't there", async (t) => {
  const folder = join(await temporaryFolder(t), "missing");
  const store = (await openDotegeCache(join(folder, "certs.json"), now)).account(CA);
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await assert.rejects(store.save({ email: "a@example.com", key }));
  assert.equal(await store.load(), undefined);
  await mkdir(folder);
  await store.save({ email: "b@example.com", key });
  assert.equal((await store.load())?.email, "b@example.com");
});

test("with another CA the key is the same, and the account isn't", async (t) => {
  const path = await cacheFile(t);
  const cache = await openDotegeCache(path, now);
  const [mine, other] = [await cache.account(CA).load(), await cache.account(OTHER_CA).load()];
  assert.ok(mine && other);
  assert.equal(other.registration, undefined);
  assert.ok(other.key.equals(mine.key));
  const registration = { body: {}, uri: "https://elsewhere.test/acct/1" };
  await cache.account(OTHER_CA).save({ ...other, registration });
  assert.deepEqual((await cache.account(OTHER_CA).load())?.registration, registration);
  assert.equal((await cache.account(CA).load())?.registration, undefined);
});

test("of two that find no account one makes it", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const made: string[] = [];
  await Promise.all(["one", "two"].map(async (email) => {
    const store = (await openDotegeCache(path, now)).account(CA);
    await store.exclusively(async () => {
      if (await store.load() !== undefined) return;
      made.push(email);
      await store.save({
        email,
        key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
      });
    });
  }));
  assert.equal(made.length, 1);
});

test("expired certificates go when something is saved", async (t) => {
  const path = await cacheFile(t, (json) => json.certs[0].notAfter = "2026-11-22T11:59:59Z");
  const { store } = await openDotegeCache(path, now);
  assert.equal(store.all().length, 2);
  const [, kept] = store.all();
  assert.ok(kept);
  await store.save(kept);
  assert.deepEqual((await readJson(path)).certs.map(({ domains }: Json) => domains), [[
    "*.example.net",
  ]]);
});

/** What Go writes when there is nothing, and what lacks what isn't needed. */
const EMPTY: readonly [why: string, text: string][] = [
  ["nothing yet", "{}"],
  ["nil for both", `{"user":null,"certs":null}`],
  ["no certificates", `{"user":null,"certs":[]}`],
];
for (const [why, text] of EMPTY) {
  test(`openDotegeCache() takes a file with ${why}`, async (t) => {
    const { store, account } = await openDotegeCache(await cacheFile(t, text), now);
    assert.equal(store.all().length, 0);
    assert.equal(await account(CA).load(), undefined);
  });
}

const DAMAGED: readonly [why: string, change: string | ((json: Json) => void), says: RegExp][] = [
  ["an empty file", " ", /not valid JSON/],
  ["half a file", '{"user":', /not valid JSON/],
  ["Centauri's store", "[]", /no JSON object/],
  ["certificates that are no array", (j) => j.certs = {}, /certs: expected an array/],
  [
    "a certificate that is none",
    (j) => j.certs[1] = 1,
    /certificate 2: domains: expected an array/,
  ],
  ["no names", (j) => j.certs[0].domains = [], /certificate 1: subject: expected a string/],
  ["names that are none", (j) => j.certs[0].domains = ["a", 1], /certificate 1: altNames/],
  ["a key that isn't in base64", (j) => j.certs[0].privateKey = "%", /privateKey: expected PEM in/],
  ["no chain", (j) => delete j.certs[0].certificate, /certificate: expected PEM in base64/],
  ["an end that is no time", (j) => j.certs[0].notAfter = "soon", /notAfter: expected an RFC 3339/],
  ["an account that is none", (j) => j.user = [1], /user.key: expected a private key in base64/],
  ["an account's key in PEM", (j) => j.user.key = "-----BEGIN", /user.key: expected a private key/],
];
for (const [why, change, says] of DAMAGED) {
  test(`openDotegeCache() refuses ${why}, names the file and leaves it`, async (t) => {
    const path = await cacheFile(t, change);
    const before = await readFile(path, "utf8");
    const error = await openDotegeCache(path, now).then(() => undefined, (error: Error) => error);
    assert.match(error?.message ?? "", says);
    assert.ok(error?.message.includes(path));
    assert.equal(await readFile(path, "utf8"), before);
  });
}

test("a file that is damaged later isn't written over", async (t) => {
  const path = await cacheFile(t);
  const { store, account } = await openDotegeCache(path, now);
  const [record] = store.all();
  const user = await account(CA).load();
  assert.ok(record && user);
  await writeFile(path, "{");
  await assert.rejects(store.save(record), /not valid JSON/);
  await assert.rejects(account(CA).save(user), /not valid JSON/);
  assert.equal(await readFile(path, "utf8"), "{");
});
