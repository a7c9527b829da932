/**
 * Dotege's certificates with Pebble or the CA of ca.ts, and BIND for DNS: obtained, kept in the
 * cache file, deployed, renewed.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { AcmeClient } from "../lib/acme.ts";
import { CERTIFICATE_OPTIONS, certSettings } from "../lib/certsettings.ts";
import { createDotegeCertificates, type DotegeCertificates } from "../lib/dotegecerts.ts";
import { createHttpClient } from "../lib/httpsclient.ts";
import type { Fields } from "../lib/log.ts";
import { parseOptions } from "../lib/options.ts";
import { type Named, type Pebble, startNamed, startPebble } from "./acmepeers.ts";
import { startCa } from "./ca.ts";
import { needProgram, run, temporaryFolder } from "./support.ts";

const WAIT_MS = 60_000;
const golden = new URL("vectors/dotege-certs.json", import.meta.url);

type Variables = Readonly<Record<string, string>>;

interface Site {
  readonly pebble: Pebble;
  readonly folder: string;
  readonly certs: string;
  readonly cache: string;
  readonly env: Variables;
}

/** A zone that may be written, and where files go; without what a CA is found by. */
async function startZone(
  t: TestContext,
): Promise<Omit<Site, "pebble"> & { named: Named } | undefined> {
  const named = await startNamed(t, {
    zones: { "example.com": "@ A 127.0.0.1\n* A 127.0.0.1\n*.sub A 127.0.0.1" },
  });
  if (named === undefined) return undefined;
  const folder = await temporaryFolder(t);
  const [certs, cache] = [join(folder, "certs"), join(folder, "certs.json")];
  await mkdir(certs);
  const env = {
    ...{ DOTEGE_ACME_EMAIL: "admin@example.com", DOTEGE_ACME_KEY_TYPE: "P256" },
    ...{ DOTEGE_CERT_DESTINATION: certs, DOTEGE_ACME_CACHE_FILE: cache },
    ...{ DOTEGE_ACME_RESOLVERS: named.server, DOTEGE_DNS_PROVIDER: "rfc2136" },
    RFC2136_NAMESERVER: named.server,
    RFC2136_TSIG_KEY: named.keyName,
    RFC2136_TSIG_ALGORITHM: named.algorithm,
    RFC2136_TSIG_SECRET: named.secret,
    RFC2136_POLLING_INTERVAL: "1",
  };
  return { named, folder, certs, cache, env };
}

async function startSite(t: TestContext): Promise<Site | undefined> {
  const zone = await startZone(t);
  const pebble = zone &&
    await startPebble(t, { httpPort: 1, tlsPort: 1, dnsServer: zone.named.server });
  if (zone === undefined || pebble === undefined) return undefined;
  const { directory, apiRootFile } = pebble;
  const ca = { DOTEGE_ACME_ENDPOINT: directory, LEGO_CA_CERTIFICATES: apiRootFile };
  return { ...zone, pebble, env: { ...zone.env, ...ca } };
}

interface Running extends DotegeCertificates {
  /** Resolves when files were written so often, from the start on; rejects after a minute. */
  deployments(count: number): Promise<void>;
  /** The record of that message, now or later; the first, or another. */
  logged(message: string, count?: number): Promise<Fields>;
  readonly counts: { deployed: number };
}

async function start(t: TestContext, env: Variables): Promise<Running> {
  const settings = certSettings(parseOptions(CERTIFICATE_OPTIONS, [], env));
  assert.ok(settings);
  const records: { message: string; fields: Fields }[] = [];
  const counts = { deployed: 0 };
  const waiting = new Set<() => void>();
  const look = (): void => waiting.forEach((one) => one());
  const until = <T>(what: string, find: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(check);
        reject(new Error(`no ${what}: ${JSON.stringify(records, null, 1)}`));
      }, WAIT_MS);
      const check = (): void => {
        const found = find();
        if (found === undefined) return;
        clearTimeout(timer);
        waiting.delete(check);
        resolve(found);
      };
      waiting.add(check);
      check();
    });
  const say = (message: string, fields: Fields = {}): void => {
    records.push({ message, fields });
    look();
  };
  const dotege = await createDotegeCertificates(settings, {
    ...{ log: { debug: say, info: say, warn: say, error: say }, env },
    onDeploy: () => {
      counts.deployed++;
      look();
    },
  });
  t.after(() => dotege.close());
  return {
    ...dotege,
    counts,
    deployments: (count) =>
      until(`${count} deployments`, () => counts.deployed >= count || undefined).then(() => {}),
    logged: (message, count = 1) =>
      until(message, () => records.filter((one) => one.message === message)[count - 1]?.fields),
  };
}

const orders = ({ pebble }: Site): number =>
  pebble.output.filter((line) => line.includes("order-plz")).length;

/** The certificate of a file, which OpenSSL verifies up to Pebble's root. */
async function verified(t: TestContext, site: Site, file: string): Promise<X509Certificate> {
  const rootFile = join(await temporaryFolder(t), "root.pem");
  await writeFile(rootFile, await site.pebble.root());
  const path = join(site.certs, file);
  const args = ["verify", "-CAfile", rootFile, "-untrusted", path, path];
  const { code, stdout, stderr } = await run("openssl", args);
  assert.equal(code, 0, stdout + stderr);
  return new X509Certificate(await readFile(path));
}

test("a certificate is obtained by DNS, kept as Go kept it, and deployed; a restart orders nothing", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const hosts = [["www.example.com", "example.com"]];
  const first = await start(t, { ...site.env, DOTEGE_CERT_MODE: "0640" });
  await first.want(hosts);
  await first.deployments(1);
  const { subjectAltName } = await verified(t, site, "www.example.com.pem");
  assert.deepEqual(subjectAltName?.split(", ").sort(), ["DNS:example.com", "DNS:www.example.com"]);
  const file = join(site.certs, "www.example.com.pem");
  assert.equal((await stat(file)).mode & 0o7777, 0o640);
  await first.close();
  const { user, certs: [stored] } = JSON.parse(await readFile(site.cache, "utf8"));
  assert.equal(user.email, "admin@example.com");
  assert.match(user.registration.uri, /^https:\/\/localhost/);
  assert.deepEqual(stored.domains, hosts[0]);
  const pem = (name: string): string => Buffer.from(stored[name], "base64").toString();
  assert.equal(await readFile(file, "utf8"), pem("certificate") + pem("privateKey"));
  for (const path of [site.cache, `${site.cache}.acme`]) {
    assert.equal((await stat(path)).mode & 0o7777, 0o600, path);
  }
  const { ino } = await stat(file);
  const second = await start(t, { ...site.env, DOTEGE_CERT_MODE: "0640" });
  await second.want(hosts);
  assert.equal((await stat(file)).ino, ino, "it isn't written again");
  await rm(file);
  await second.want(hosts);
  assert.ok(await stat(file), "it is deployed at once");
  await second.close();
  assert.equal(second.counts.deployed, 1);
  assert.equal(orders(site), 1);
});

/** An account with Pebble that another program made. */
async function register(site: Site): Promise<{ key: KeyObject; url: string; body: unknown }> {
  const { request: http, close } = createHttpClient({
    userAgent: "test",
    ca: [site.pebble.apiRoot],
  });
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const client = new AcmeClient({ directory: site.pebble.directory, http, key });
  const account = await client.newAccount({ contact: ["mailto:admin@example.com"] });
  close();
  return { key, ...account };
}

test("Go's account and certificates are used: nothing is registered, nor issued again", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const { key, url: uri, body } = await register(site);
  const json = JSON.parse(await readFile(golden, "utf8"));
  const der = key.export({ format: "der", type: "sec1" });
  json.user.registration = { body, uri };
  json.user.key = der.toString("base64");
  await writeFile(site.cache, JSON.stringify(json), { mode: 0o600 });
  const env = { ...site.env, DOTEGE_CERTIFICATE_DEPLOYMENT: "splitkeys" };
  const dotege = await start(t, { ...env, DOTEGE_WILDCARD_DOMAINS: "example.net" });
  await dotege.want([["example.com", "www.example.com"], ["a.example.net"], ["b.example.net"]]);
  assert.deepEqual((await readdir(site.certs)).sort(), [
    ...["_.example.net.key", "_.example.net.pem", "www.example.com.key", "www.example.com.pem"],
  ]);
  await dotege.want([["example.com", "www.example.com"], ["new.example.com"]]);
  await dotege.deployments(2);
  await verified(t, site, "new.example.com.pem");
  await dotege.close();
  assert.equal(orders(site), 1, "for what is new only");
  const after = JSON.parse(await readFile(site.cache, "utf8"));
  assert.equal(after.user.registration.uri, uri);
  assert.equal(after.user.key, json.user.key);
  assert.deepEqual(after.certs.map(({ domains }: { domains: unknown }) => domains), [
    ...json.certs.map(({ domains }: { domains: unknown }) => domains),
    ["new.example.com"],
  ]);
  for (const [index, before] of json.certs.entries()) {
    assert.deepEqual({ ...after.certs[index], ...before }, after.certs[index]);
  }
});

test("an order that fails stops nothing: others are deployed, and the log says why", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const dotege = await start(t, site.env);
  await dotege.want([["nobody.example.org"], ["a.example.com"]]);
  await dotege.deployments(1);
  const { names, problem, advice, next } = await dotege.logged("certificate not obtained");
  assert.deepEqual(names, ["nobody.example.org"]);
  for (const text of [problem, advice, next]) assert.notEqual(text ?? "", "");
  assert.deepEqual(await readdir(site.certs), ["a.example.com.pem"]);
  await dotege.close();
  const ordered = orders(site);
  const again = await start(t, site.env);
  await again.want([["nobody.example.org"], ["a.example.com"]]);
  assert.deepEqual((await again.logged("certificate waits")).names, ["nobody.example.org"]);
  await again.close();
  assert.equal(orders(site), ordered, "it is remembered on disk");
});

test("a missing key file is restored, and who reads it is told", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const env = { ...site.env, DOTEGE_CERTIFICATE_DEPLOYMENT: "splitkeys" };
  const dotege = await start(t, env);
  const hosts = [["a.example.com"]];
  await dotege.want(hosts);
  await dotege.deployments(1);
  const key = join(site.certs, "a.example.com.key");
  const text = await readFile(key, "utf8");
  await rm(key);
  await dotege.want(hosts);
  assert.equal(await readFile(key, "utf8"), text);
  assert.equal(dotege.counts.deployed, 2);
  await dotege.want(hosts);
  assert.equal(dotege.counts.deployed, 2, "and then no more");
});

test("names below a wildcard share a file, and one set in another order is the same", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const env = { ...site.env, DOTEGE_WILDCARD_DOMAINS: "sub.example.com" };
  const dotege = await start(t, env);
  await dotege.want([["a.sub.example.com", "a.example.com"], ["b.sub.example.com"]]);
  await dotege.logged("certificate obtained", 2);
  // The second has no name of its own: the first one's file covers it.
  await dotege.want([["a.example.com", "c.sub.example.com"]]);
  assert.deepEqual(await readdir(site.certs), ["_.sub.example.com.pem"]);
  await verified(t, site, "_.sub.example.com.pem");
  await dotege.close();
  assert.equal(orders(site), 2);
});

test("HAProxy serves what is deployed", async (t) => {
  const site = await startSite(t);
  if (site === undefined || !needProgram(t, "haproxy")) return;
  const dotege = await start(t, site.env);
  const hosts = [["a.example.com"], ["*.example.com"]];
  await dotege.want(hosts);
  await dotege.logged("certificate obtained", 2);
  await dotege.want(hosts);
  assert.deepEqual((await readdir(site.certs)).sort(), ["_.example.com.pem", "a.example.com.pem"]);
  const config = join(site.folder, "haproxy.cfg");
  const bind = `bind unix@${site.folder}/sock ssl strict-sni crt ${site.certs}`;
  await writeFile(config, `defaults\n  mode http\nfrontend f\n  ${bind}\n`);
  const { code, stderr } = await run("haproxy", ["-c", "-f", config]);
  assert.equal(code, 0, stderr);
});

test("a certificate is renewed when the CA suggests it, with the file's name as it was", async (t) => {
  const zone = await startZone(t);
  if (zone === undefined) return;
  const from = Date.now();
  const ca = await startCa(t, {
    renewalInfo: ({ order }) => {
      const [first, last] = order.replaces === undefined ? [2_000, 3_000] : [1e9, 2e9];
      return { start: new Date(from + first), end: new Date(from + last) };
    },
  });
  const roots = join(zone.folder, "roots.pem");
  await writeFile(roots, ca.apiRoot);
  const env = { ...zone.env, DOTEGE_ACME_ENDPOINT: ca.directory, LEGO_CA_CERTIFICATES: roots };
  const dotege = await start(t, env);
  await dotege.want([["b.example.com", "a.example.com"]]);
  await dotege.deployments(2);
  assert.deepEqual(await readdir(zone.certs), ["b.example.com.pem"]);
  const [first, second] = ca.certificates;
  assert.equal(second?.order.replaces, first?.id);
  const served = new X509Certificate(await readFile(join(zone.certs, "b.example.com.pem")));
  assert.equal(served.serialNumber.toLowerCase(), second?.serial);
  assert.equal(ca.accounts.length, 1);
});

test("with dns-persist-01 no provider is needed: the log says which record to set", async (t) => {
  const zone = await startZone(t);
  if (zone === undefined) return;
  const ca = await startCa(t, { challenges: ["dns-persist-01"] });
  const roots = join(zone.folder, "roots.pem");
  await writeFile(roots, ca.apiRoot);
  const env = {
    ...{ ...zone.env, DOTEGE_DNS_PROVIDER: "", DOTEGE_ACME_CHALLENGES: "dns-persist-01" },
    ...{ DOTEGE_ACME_ENDPOINT: ca.directory, LEGO_CA_CERTIFICATES: roots },
  };
  const first = await start(t, env);
  await first.want([["a.example.com"]]);
  const { advice } = await first.logged("certificate not obtained");
  const value = /_validation-persist\.a\.example\.com\. \d+ IN TXT ("[^\n]*")/.exec(`${advice}`)
    ?.[1];
  assert.ok(value, `${advice}`);
  await first.close();
  await zone.named.update("example.com", `add _validation-persist.a.example.com. 1 TXT ${value}`);
  const second = await start(t, env);
  await second.want([["a.example.com"]]);
  await second.deployments(1);
  assert.deepEqual(await readdir(zone.certs), ["a.example.com.pem"]);
});

test("a folder that can't be written is told, and written when it can be", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  await rm(site.certs, { recursive: true });
  const dotege = await start(t, site.env);
  await dotege.want([["a.example.com"]]);
  const { file, next } = await dotege.logged("certificate not deployed");
  assert.equal(file, join(site.certs, "a.example.com.pem"));
  assert.match(String(next), /tried again/);
  await mkdir(site.certs);
  await dotege.want([["a.example.com"]]);
  assert.deepEqual(await readdir(site.certs), ["a.example.com.pem"]);
  assert.equal(orders(site), 1);
});

test("a damaged cache is said so at the start, and left alone", async (t) => {
  const folder = await temporaryFolder(t);
  const cache = join(folder, "certs.json");
  await writeFile(cache, '{"user":');
  const env = { DOTEGE_ACME_EMAIL: "a@example.com", DOTEGE_DNS_PROVIDER: "exec" };
  const starting = start(t, { ...env, DOTEGE_ACME_CACHE_FILE: cache });
  await assert.rejects(starting, (error: Error) => error.message.includes(cache));
  assert.equal(await readFile(cache, "utf8"), '{"user":');
  assert.deepEqual(await readdir(folder), ["certs.json"]);
});
