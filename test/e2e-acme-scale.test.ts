/**
 * Centauri and Pebble where much is obtained at once, or where one of them dies: nothing is ordered
 * twice, nothing that was issued is lost, and what is stored is served whatever the CA does.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import type http from "node:http";
import https from "node:https";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import tls from "node:tls";
import {
  type Challtestsrv,
  freePorts,
  type Pebble,
  type PebbleOptions,
  startChalltestsrv,
  startPebble,
} from "./acmepeers.ts";
import { endingTime } from "./acmesite.ts";
import { issue } from "./pki.ts";
import {
  type Centauri,
  httpsExchange,
  type LogRecord,
  startCentauri,
  startRawUpstream,
  temporaryFolder,
} from "./support.ts";

const ISSUE_MS = 120_000; // a lock that a killed process left behind is waited for, too
const ROUNDS = process.env.CI ? 6 : 4;
const DRAIN_MS = 10_000; // the default of --shutdown-timeout
const DAY = 86_400_000;
const SEED = Number(process.env.SEED ?? 1);
/** What Pebble says. */
const ORDERED = /^Pebble \S+ \S+ Added order "/;
const ISSUED = /Issued certificate serial (\w+) for order/;

interface Site {
  readonly pebble: Pebble;
  readonly dns: Challtestsrv;
  /** Where certificates, state and account are, for one Centauri after another. */
  readonly folder: string;
  /** Starts a Centauri that Pebble validates names at, with routes for the names. */
  start(names: readonly string[], env?: Readonly<Record<string, string>>): Promise<Centauri>;
}

async function startSite(
  t: TestContext,
  options: Partial<PebbleOptions> = {},
): Promise<Site | undefined> {
  const dns = await startChalltestsrv(t);
  const [http = 0, tlsPort = 0] = await freePorts(2);
  const pebble = dns &&
    await startPebble(t, { httpPort: http, tlsPort, dnsServer: dns.dnsServer, ...options });
  if (dns === undefined || pebble === undefined) return undefined;
  const folder = await temporaryFolder(t);
  const common = {
    ...{ HTTP_PORT: `${http}`, HTTPS_PORT: `${tlsPort}`, ACME_RESOLVERS: dns.dnsServer },
    ...{ ACME_EMAIL: "admin@example.com", ACME_DIRECTORY: pebble.directory },
    ...{ LEGO_CA_CERTIFICATES: pebble.apiRootFile, ACME_OVERALL_REQUEST_LIMIT: "1000" },
    ...{ CERTIFICATE_STORE: join(folder, "certs.json"), USER_DATA: join(folder, "user.pem") },
  };
  const start: Site["start"] = (names, env = {}) =>
    startCentauri(t, { routes: routesFor(names), env: { ...common, ...env } });
  return { pebble, dns, folder, start };
}

const routesFor = (names: readonly string[]): string =>
  names.map((name) => `route ${name}\n  upstream 127.0.0.1:1\n`).join("");

const named = (count: number, suffix: string): string[] =>
  Array.from({ length: count }, (_, i) => `n${i}.${suffix}`);

const linesOf = ({ output }: Pebble, pattern: RegExp): string[] =>
  output.filter((line) => pattern.test(line));

/** Serial numbers of all that Pebble issued, in the order of their issue. */
const issuedBy = (pebble: Pebble): string[] =>
  linesOf(pebble, ISSUED).map((line) => (ISSUED.exec(line)?.[1] ?? "").replace(/^0+/, ""));

/** Looks until it is so; fails with what `says` says after `ms`. */
async function until(
  isSo: () => boolean | Promise<boolean>,
  says: () => string,
  ms = ISSUE_MS,
): Promise<void> {
  for (const start = Date.now(); !await isSo(); await setTimeout(1)) {
    assert.ok(Date.now() - start < ms, `not within ${ms} ms: ${says()}`);
  }
}

/** Subject => serial number, of the records in the store; `{}` before there is one. */
async function stored({ folder }: Site): Promise<Map<string, string>> {
  const text = await readFile(join(folder, "certs.json"), "utf8").catch(() => "[]");
  const records: { subject: string; certificate: string }[] = JSON.parse(text);
  return new Map(records.map(({ subject, certificate }) => [subject, serialOf(certificate)]));
}

/** Without zeros at its start: Deno (2.9) leaves out one of them. */
const serialOf = (certificate: string | Uint8Array): string =>
  new X509Certificate(certificate).serialNumber.toLowerCase().replace(/^0+/, "");

const obtained = ({ logs }: Centauri): number =>
  logs.filter((line) => line.includes('"certificate obtained"')).length;

const allObtained = (centauri: Centauri, count: number): Promise<void> =>
  until(() => obtained(centauri) >= count, () => centauri.logs.join("\n"));

/** Resolves when Centauri has said why there is no certificate. */
const refused = (centauri: Centauri): Promise<LogRecord> =>
  centauri.waitForLog(({ msg }) => msg === "certificate not obtained", ISSUE_MS);

/** The serial number of what is served for a name, once the client has verified its chain. */
async function served(port: number, servername: string, root: string): Promise<string> {
  const socket = tls.connect({ host: "127.0.0.1", port, servername, ca: root });
  await once(socket, "secureConnect");
  const { raw } = socket.getPeerCertificate();
  socket.destroy();
  return serialOf(raw);
}

test("200 names are ordered once each from a CA that refuses every other nonce", async (t) => {
  const site = await startSite(t, { env: { PEBBLE_WFE_NONCEREJECT: "50" } });
  if (site === undefined) return;
  const { pebble } = site;
  const names = named(200, "many.example.com");
  const centauri = await site.start(names);
  await allObtained(centauri, names.length);
  assert.equal(linesOf(pebble, ORDERED).length, names.length);
  assert.equal(issuedBy(pebble).length, names.length);
  const records = await stored(site);
  assert.deepEqual([...records.values()].sort(), issuedBy(pebble).sort());
  const root = await pebble.root();
  for (const name of names) {
    assert.equal(await served(centauri.httpsPort, name, root), records.get(name), name);
  }
  // Orders that were placed and whose certificate wasn't issued yet.
  let [open, most] = [0, 0];
  for (const line of pebble.output) {
    open += ORDERED.test(line) ? 1 : ISSUED.test(line) ? -1 : 0;
    most = Math.max(most, open);
  }
  assert.ok(most > 1 && most <= 8, `${most} orders at a time`);
  assert.equal(linesOf(pebble, /There are now \d+ accounts/).length, 1);
  await centauri.stop();
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  return () => {
    seed = (seed + 0x6D2B79F5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), seed | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function kill(centauri: Centauri): Promise<void> {
  centauri.signal("SIGKILL");
  await centauri.stop();
}

/** That what a killed Centauri left is whole, and nobody else's to read. */
async function checkFiles({ folder }: Site): Promise<void> {
  for (const file of await readdir(folder)) {
    const path = join(folder, file);
    assert.equal((await stat(path)).mode & 0o777, 0o600, file);
    if (!/^(certs\.json|user\.pem|certs\.json\.acme)$/.test(file)) continue;
    assert.ok(JSON.parse(await readFile(path, "utf8")), file);
  }
}

/** So that the next start tries what failed. */
async function forgetFailures({ folder }: Site): Promise<void> {
  const path = join(folder, "certs.json.acme");
  const state: Record<string, object> = JSON.parse(await readFile(path, "utf8"));
  const left = Object.entries(state).map(([key, entry]) => [key, { ...entry, failure: undefined }]);
  await writeFile(path, JSON.stringify(Object.fromEntries(left)));
}

/** What Pebble says while it issues, in its order. */
const MOMENTS = [
  /POST \/sign-me-up|POST \/order-plz/,
  ORDERED,
  /POST \/chalZ/,
  /set VALID by/,
  /POST \/finalize-order/,
  /is fully authorized/,
  ISSUED,
  /POST \/certZ/,
];

test(`kill -9 at ${ROUNDS} moments loses no certificate, and none is issued twice`, async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const { pebble } = site;
  const random = randomFrom(SEED);
  let names: string[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    names = named(7 + 3 * round, "killed.example.com");
    const from = pebble.output.length;
    const moment = MOMENTS[Math.trunc(random() * MOMENTS.length)] as RegExp;
    const times = Math.ceil(random() * 4);
    const before = (await stored(site)).size;
    const centauri = await site.start(names);
    const said = () => pebble.output.slice(from).filter((line) => moment.test(line)).length;
    // What the CA looked for while nobody was there has failed, and waits.
    const waiting = () =>
      centauri.logs.filter((line) => /"certificate (not obtained|waits)"/.test(line));
    const isDone = () => obtained(centauri) + waiting().length >= names.length - before;
    await until(() => said() >= times || isDone(), () => centauri.logs.join("\n"));
    await setTimeout(random() * 30); // the moment is arbitrary: nothing is waited for
    await kill(centauri);
    t.diagnostic(`round ${round}: ${times} × ${moment}, ${issuedBy(pebble).length} issued`);
    await checkFiles(site);
  }
  // What waits is tried again: that isn't what is tested.
  for (let missing = names.length; missing > 0;) {
    await forgetFailures(site);
    const before = (await stored(site)).size;
    const last = await site.start(names);
    const failed = () => last.logs.filter((line) => line.includes("certificate not obtained"));
    const isDone = () => before + obtained(last) + failed().length >= names.length;
    await until(isDone, () => last.logs.join("\n"));
    await last.stop();
    missing = failed().length;
  }
  await checkFiles(site);
  const records = await stored(site);
  assert.deepEqual([...records.keys()].sort(), names.toSorted());
  assert.deepEqual([...records.values()].sort(), issuedBy(pebble).sort(), "issued, and stored");
});

test("starts that kill -9 ends order once what can't be validated", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const { pebble, dns } = site;
  const bad = "bad.example.com";
  await dns.setServfail(bad);
  const good = named(10, "good.example.com");
  for (const [round, name] of good.entries()) {
    const names = round === 0 ? [bad] : [bad, name];
    const centauri = await site.start(names, { ACME_CHALLENGES: "http-01" });
    // The first one dies while the CA looks; the second says why there is no certificate. By the
    // time that a certificate is issued for another name, one for the bad one could be ordered.
    const says = () => `round ${round}: ${centauri.logs.join("\n")}`;
    if (round === 0) await until(() => triesOf(pebble, bad) > 0, says);
    else if (round > 1) await until(() => issuedBy(pebble).length >= round, says);
    else await refused(centauri);
    await kill(centauri);
  }
  assert.equal(triesOf(pebble, bad), 1);
  assert.equal(linesOf(pebble, ORDERED).length - issuedBy(pebble).length, 1, "orders for it");
});

/** How often a name was to be validated. */
const triesOf = (pebble: Pebble, name: string): number =>
  linesOf(pebble, /Pulled a task/).filter((line) => line.includes(`"${name}"`)).length;

test("what was issued when kill -9 came is fetched by the next start, not ordered", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const { pebble } = site;
  const first = await site.start(["fetched.example.com"]);
  await until(() => issuedBy(pebble).length > 0, () => first.logs.join("\n"));
  await kill(first);
  assert.equal((await stored(site)).size, 0);
  const second = await site.start(["fetched.example.com"]);
  await allObtained(second, 1);
  assert.equal(linesOf(pebble, ORDERED).length, 1);
  assert.deepEqual([...(await stored(site)).values()], issuedBy(pebble));
  await second.stop();
});

test("an order that kill -9 left no time to forget doesn't renew its certificate", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const { pebble, folder } = site;
  const name = "renewed.example.com";
  const first = await site.start([name]);
  const state = join(folder, "certs.json.acme");
  await until(async () => (await readFile(state, "utf8").catch(() => "")).includes(name), () => "");
  const pending = await readFile(state, "utf8");
  await allObtained(first, 1);
  await first.stop();
  await writeFile(state, pending);
  const store = join(folder, "certs.json");
  const [record] = JSON.parse(await readFile(store, "utf8"));
  const due = { ...record, ariRenewalTime: new Date(0).toISOString() };
  await writeFile(store, JSON.stringify([due]));
  const second = await site.start([name]);
  await allObtained(second, 1);
  assert.equal((await stored(site)).get(name), issuedBy(pebble)[1], "another one");
  await second.stop();
  assert.equal(obtained(second), 1);
});

test("Centauris that share a store and an account lose nothing of each other's", async (t) => {
  const site = await startSite(t, { env: { PEBBLE_VA_ALWAYS_VALID: "1" } });
  if (site === undefined) return;
  const { pebble, folder } = site;
  const env = { HTTP_PORT: "0", HTTPS_PORT: "0", ACME_CHALLENGES: "http-01" };
  const sets = ["one", "two"].map((own) => named(10, `${own}.example.com`));
  const both = await Promise.all(sets.map((names) => site.start(names, env)));
  await Promise.all(both.map((centauri) => allObtained(centauri, 10)));
  await Promise.all(both.map((centauri) => centauri.stop()));
  await checkFiles(site);
  const records = await stored(site);
  assert.deepEqual([...records.keys()].sort(), sets.flat().sort());
  assert.deepEqual([...records.values()].sort(), issuedBy(pebble).sort());
  assert.equal(linesOf(pebble, /There are now \d+ accounts/).length, 1);
  const state = JSON.parse(await readFile(join(folder, "certs.json.acme"), "utf8"));
  assert.deepEqual(state, {}, "no order is left");
});

test("names that are gone for a moment, or in another order, are ordered once", async (t) => {
  const slow = { PEBBLE_VA_NOSLEEP: "", PEBBLE_VA_SLEEPTIME: "2" };
  const site = await startSite(t, { env: slow });
  if (site === undefined) return;
  const { pebble } = site;
  const centauri = await site.start(["a.example.com b.example.com"]);
  await until(() => linesOf(pebble, /Pulled a task/).length > 0, () => pebble.output.join("\n"));
  await centauri.reload("");
  await centauri.reload(routesFor(["a.example.com b.example.com"]));
  await allObtained(centauri, 1);
  assert.equal(linesOf(pebble, ORDERED).length, 1);
  await centauri.reload(routesFor(["b.example.com a.example.com"]));
  await allObtained(centauri, 2);
  const serial = await served(centauri.httpsPort, "a.example.com", await pebble.root());
  assert.equal(serial, issuedBy(pebble)[1]);
  await centauri.stop();
});

/** A record that Centauri obtained, as far as it knows, and its certificate. */
function recordOf(name: string): { record: object; certificate: string } {
  const { cert, keyPem } = issue({ subject: name, names: [name], to: 80 * DAY });
  const notAfter = new Date(new X509Certificate(cert).validTo).toISOString();
  const record = { provider: "lego", subject: name, certificate: cert, privateKey: keyPem };
  return { record: { ...record, notAfter }, certificate: cert };
}

test("without a CA what is stored is served, and the rest obtained after SIGHUP", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const [port = 0] = await freePorts(1);
  const { record, certificate } = recordOf("kept.example.com");
  await writeFile(join(site.folder, "certs.json"), JSON.stringify([record]));
  const env = { ACME_DIRECTORY: `https://localhost:${port}/dir` };
  const centauri = await site.start(["kept.example.com", "new.example.com"], env);
  const { httpsPort } = centauri;
  assert.equal(await served(httpsPort, "kept.example.com", certificate), serialOf(certificate));
  const failure = await refused(centauri);
  assert.equal(failure.cause, "ca-unreachable");
  // A minute later, not ten, should nobody send SIGHUP: the system may just have started.
  assert.ok(Date.parse(`${failure.next}`) - Date.parse(`${failure.time}`) < 70_000);
  const gate = net.createServer((socket) => {
    const to = net.connect(Number(new URL(site.pebble.directory).port), "127.0.0.1");
    socket.pipe(to).pipe(socket);
    for (const each of [socket, to]) each.on("error", () => each.destroy());
  });
  t.after(() => gate.close());
  await once(gate.listen(port, "127.0.0.1"), "listening");
  centauri.signal("SIGHUP");
  await allObtained(centauri, 1);
  const root = await site.pebble.root();
  assert.equal(await served(httpsPort, "new.example.com", root), issuedBy(site.pebble)[0]);
  await centauri.stop();
});

/** What a CA may do instead of its work. */
const TROUBLE = {
  "never answers": () => {},
  "answers 500": (response: http.ServerResponse) => response.writeHead(500).end(),
};

for (const [what, answer] of Object.entries(TROUBLE)) {
  test(`a CA that ${what} stops no traffic, and not the end`, async (t) => {
    const ca = issue({ subject: "ca", names: ["localhost"] });
    let requests = 0;
    const server = https.createServer({ key: ca.keyPem, cert: ca.cert }, (_, response) => {
      requests++;
      answer(response);
    });
    t.after(() => server.close(() => {}) && server.closeAllConnections());
    await once(server.listen(0, "127.0.0.1"), "listening");
    const upstream = await startRawUpstream(t, (socket) => {
      socket.on("data", () => socket.end("HTTP/1.1 204 No Content\r\n\r\n"));
    });
    const folder = await temporaryFolder(t);
    const { record } = recordOf("kept.example.com");
    await writeFile(join(folder, "certs.json"), JSON.stringify([record]));
    await writeFile(join(folder, "root.pem"), ca.cert);
    const routes = routesFor(["kept.example.com", "new.example.com"])
      .replaceAll("127.0.0.1:1\n", `127.0.0.1:${upstream.port}\n`);
    const centauri = await startCentauri(t, {
      routes,
      env: {
        ...{ ACME_EMAIL: "admin@example.com", CERTIFICATE_STORE: join(folder, "certs.json") },
        ACME_DIRECTORY: `https://localhost:${(server.address() as net.AddressInfo).port}/dir`,
        LEGO_CA_CERTIFICATES: join(folder, "root.pem"),
      },
    });
    await until(() => requests > 0, () => centauri.logs.join("\n"));
    const request = "GET / HTTP/1.1\r\nHost: kept.example.com\r\nConnection: close\r\n\r\n";
    const response = await httpsExchange(centauri.httpsPort, "kept.example.com", request);
    assert.match(response, /^HTTP\/1.1 204 /);
    assert.equal(await centauri.stop(), 0);
    assert.ok(endingTime(centauri) < 4_000, centauri.logs.join("\n"));
  });
}

test("SIGTERM ends an order at once, and the next start goes on with it", async (t) => {
  const slow = { PEBBLE_VA_NOSLEEP: "", PEBBLE_VA_SLEEPTIME: "5", PEBBLE_VA_ALWAYS_VALID: "1" };
  const site = await startSite(t, { env: slow });
  if (site === undefined) return;
  const { pebble } = site;
  const first = await site.start(["ended.example.com"]);
  await until(() => linesOf(pebble, /Pulled a task/).length > 0, () => pebble.output.join("\n"));
  assert.equal(await first.stop(), 0);
  assert.ok(endingTime(first) < DRAIN_MS, first.logs.join("\n"));
  assert.ok(!first.logs.some((line) => line.includes('"ERROR"')), first.logs.join("\n"));
  const second = await site.start(["ended.example.com"]);
  await allObtained(second, 1);
  assert.equal(linesOf(pebble, ORDERED).length, 1);
  await second.stop();
});
