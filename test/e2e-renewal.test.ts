/** Centauri and a strict CA of our own: renewals, refusals, second CAs, and what is remembered. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { freePorts, startChalltestsrv } from "./acmepeers.ts";
import { failed, obtained, orderCount, outcome, routeFor, servedSerial } from "./acmesite.ts";
import { renewed, startWith, type Variables, variables } from "./acmesite.ts";
import { startCa } from "./ca.ts";
import { type Answer, problem, refusal, says } from "./ca/problems.ts";
import { run, runCentauri, startCentauri } from "./support.ts";

const HOUR = 3_600;

test("a certificate is renewed in the window that the CA suggests, and replaces the old one", async (t) => {
  const start = Date.now();
  const { ca, centauri } = await startWith(t, {
    renewalInfo: (certificate) =>
      certificate.order.replaces === undefined
        ? { start: new Date(start + 3_000), end: new Date(start + 4_000) }
        : { start: new Date(start + 80 * HOUR * 1000), end: new Date(start + 90 * HOUR * 1000) },
  });
  await renewed(centauri);
  assert.ok(Date.now() >= start + 3_000, "not before the window");
  const [first, second] = ca.certificates;
  assert.equal(second?.order.replaces, first?.id);
  assert.equal(await servedSerial(centauri, "a.example.com"), second?.serial);
  assert.equal(ca.certificates.length, 2);
});

for (
  const [why, answer] of [
    ["it was replaced already", problem("alreadyReplaced", "replaced", { status: 409 })],
    ["the CA doesn't know it", problem("malformed", "no such certificate", { status: 404 })],
    ["the CA fails over it", problem("serverInternal", "error", { status: 500 })],
  ] as const
) {
  test(`a renewal is ordered without "replaces" when ${why}`, async (t) => {
    const { ca, centauri } = await startWith(t, {
      renewalInfo: (certificate) => {
        const now = Date.now();
        const from = certificate.order.replaces === undefined && ca.certificates.length === 1
          ? now
          : now + 80 * HOUR * 1000;
        return { start: new Date(from), end: new Date(from + 1_000) };
      },
    }, {
      prepare: (started) =>
        started.on(
          "newOrder",
          ({ payload }): Answer | undefined =>
            payload?.replaces === undefined ? undefined : refusal(answer),
        ),
    });
    await renewed(centauri);
    assert.equal(ca.certificates.length, 2);
    assert.equal(ca.certificates[1]?.order.replaces, undefined);
  });
}

test("without ARI a short certificate is renewed at half of its life", async (t) => {
  const { ca, centauri } = await startWith(t, { renewalInfo: false, lifetime: 24 });
  await renewed(centauri);
  const [certificate] = ca.certificates;
  const half = (certificate!.notAfter.getTime() + certificate!.notBefore.getTime()) / 2;
  assert.ok(Date.now() >= half - 1_000, "not sooner");
  assert.ok(Date.now() < certificate!.notAfter.getTime(), "before the old one ended");
});

test("the second CA is asked when the first is down", async (t) => {
  const [first, second] = [await startCa(t), await startCa(t)];
  first.on("*", () => ({ status: 503, body: "no" }));
  const env = await variables(t, first, second);
  const centauri = await startCentauri(t, { routes: routeFor("a.example.com"), env });
  await obtained(centauri);
  assert.equal(second.certificates.length, 1);
  assert.equal(second.accounts.length, 1);
});

test("the second CA is asked when the first limits rates, not when a name can't be proved", async (t) => {
  const [first, second] = [await startCa(t), await startCa(t)];
  first.on("newOrder", ({ payload }) => {
    const [{ value = "" } = {}] = (payload?.identifiers ?? []) as { value?: string }[];
    const limit = says("tooManyCertificates", new Date(Date.now() + 3 * HOUR * 1000));
    return value === "limited.example.com" ? refusal(limit, 3 * HOUR) : undefined;
  });
  first.settings.fail = () => says("refused", "127.0.0.1", "http://a.example.com/");
  const env = await variables(t, first, second);
  const centauri = await startCentauri(t, { routes: routeFor("limited.example.com"), env });
  await obtained(centauri);
  const from = centauri.logs.length;
  await centauri.reload(routeFor("b.example.com"));
  const record = await outcome(centauri, { from });
  assert.equal(record.msg, "certificate not obtained");
  assert.deepEqual(second.orders.map(({ identifiers }) => identifiers[0]?.value), [
    "limited.example.com",
  ]);
});

test("a failure is remembered across restarts: nothing is ordered before its time", async (t) => {
  const { ca, centauri, start } = await startWith(t, {
    fail: () => says("timeout", "203.0.113.7", "http://a.example.com/.well-known/x"),
  });
  const record = await failed(centauri);
  assert.match(String(record.problem), /Timeout during connect/, "the CA's own words");
  const wait = Date.parse(String(record.next)) - Date.parse(String(record.time));
  assert.ok(wait > 30_000 && wait < 90_000, `a minute, not ${wait} ms`);
  assert.equal(orderCount(ca), 1);
  for (let i = 0; i < 3; i++) {
    const again = await start();
    await again.reload(routeFor("a.example.com"));
    await again.stop();
  }
  assert.equal(orderCount(ca), 1);
});

test("Retry-After is honoured, and the next try named", async (t) => {
  const until = new Date(Date.now() + 30 * HOUR * 1000);
  const { centauri } = await startWith(t, {}, {
    prepare: (ca) => ca.on("newOrder", () => refusal(says("tooManyFailures"), until)),
  });
  const { next } = await failed(centauri);
  assert.ok(Math.abs(Date.parse(String(next)) - until.getTime()) < 60_000, String(next));
});

test("a paused account isn't used again, and the way out is shown", async (t) => {
  const url = "https://ca.test/unpause/1";
  const { ca, centauri, start } = await startWith(t, {}, {
    prepare: (ca) => ca.on("newOrder", () => refusal(says("paused", "a.example.com", url))),
  });
  const record = await failed(centauri);
  assert.equal(record.cause, "paused");
  assert.ok(JSON.stringify(record).includes(url));
  await centauri.stop();
  const again = await start();
  await again.reload(routeFor("a.example.com"));
  assert.equal(orderCount(ca), 1);
});

test("what can't succeed is tried again when the configuration changes", async (t) => {
  const { ca, centauri, env } = await startWith(t, { reject: () => "not here" });
  assert.equal((await failed(centauri)).cause, "name-refused");
  await centauri.stop();
  ca.settings.reject = () => undefined;
  const same = await startCentauri(t, { routes: routeFor("a.example.com"), env });
  await same.reload(routeFor("a.example.com"));
  assert.equal(orderCount(ca), 1, "nothing has changed");
  await same.stop();
  const changed = { ...env, ACME_EMAIL: "other@example.com" };
  await obtained(await startCentauri(t, { routes: routeFor("a.example.com"), env: changed }));
  assert.deepEqual(ca.accounts[0]?.contact, ["mailto:other@example.com"], "told to the CA too");
});

test("a profile is asked for, and one that the CA hasn't is said", async (t) => {
  const profiles = {
    classic: { description: "c" },
    shortlived: { description: "s", lifetime: 600 },
  };
  const { ca, centauri } = await startWith(t, { profiles }, {
    env: { ACME_PROFILE: "shortlived" },
  });
  await obtained(centauri);
  assert.equal(ca.orders[0]?.profile, "shortlived");
  const other = await startWith(t, { profiles }, { env: { ACME_PROFILE: "none" } });
  assert.equal((await failed(other.centauri)).cause, "profile-refused");
  assert.equal(orderCount(other.ca), 0);
});

test("an address can be a certificate's subject, for clients that give no name", async (t) => {
  const routes = routeFor("a.example.com", "  subject 192.0.2.1 2001:db8::1\n  fallback\n");
  const { ca, centauri } = await startWith(t, {}, { routes });
  await obtained(centauri);
  assert.deepEqual(
    ca.orders[0]?.identifiers.map(({ type, value }) => `${type} ${value}`).sort(),
    ["ip 192.0.2.1", "ip 2001:db8::1"],
  );
  const connect = ["s_client", "-connect", `127.0.0.1:${centauri.httpsPort}`, "-noservername"];
  const { stdout } = await run("openssl", connect);
  const { stdout: shown } = await run("openssl", ["x509", "-noout", "-text"], { input: stdout });
  assert.match(shown, /IP Address:192\.0\.2\.1\b/);
  assert.match(shown, /IP Address:2001:DB8:0:0:0:0:0:1\b/);
});

test("an address is obtained however it is spelled", async (t) => {
  const ca = await startCa(t);
  const [http = 0, https = 0] = await freePorts(2);
  const env = { ...await variables(t, ca), HTTP_PORT: `${http}`, HTTPS_PORT: `${https}` };
  const { code, stdout } = await runCentauri(["--obtain", "2001:DB8:0::1"], { env });
  assert.equal(code, 0, stdout);
  assert.equal(ca.orders[0]?.identifiers[0]?.value, "2001:db8::1");
});

test("an account that the CA has forgotten is registered again, with its key", async (t) => {
  const { ca, centauri, env } = await startWith(t, {});
  await obtained(centauri);
  const key = async () => JSON.parse(await readFile(env.USER_DATA!, "utf8")).key;
  const before = await key();
  ca.accounts.splice(0);
  const from = centauri.logs.length;
  await centauri.reload(routeFor("b.example.com"));
  await obtained(centauri, { from });
  assert.equal(await key(), before);
  assert.equal(ca.accounts.length, 1);
});

test("the Go program's account, on P-384, is used", async (t) => {
  const ca = await startCa(t);
  const env = await variables(t, ca);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const key = privateKey.export({ format: "pem", type: "sec1" });
  const uri = `${new URL(ca.directory).origin}/acct/unknown`;
  const account = { email: env.ACME_EMAIL, registration: { body: {}, uri }, key };
  await writeFile(env.USER_DATA!, JSON.stringify(account));
  await obtained(await startCentauri(t, { routes: routeFor("a.example.com"), env }));
  assert.equal(ca.accounts[0]?.key.asymmetricKeyDetails?.namedCurve, "secp384r1");
  assert.equal(JSON.parse(await readFile(env.USER_DATA!, "utf8")).key, key);
});

test("states that last, and both forms of Retry-After, are waited for", async (t) => {
  const { centauri } = await startWith(t, {
    processing: { challenge: 2, order: 2 },
    retryAfter: { authz: 1, order: new Date(Date.now() + 3_000), renewalInfo: HOUR },
    badNonce: 40,
  });
  await obtained(centauri);
});

for (
  const [what, resource, answer] of [
    ["no JSON", "newOrder", { status: 201, body: "<html>" }],
    ["other types", "newOrder", { status: 201, body: { status: 5, authorizations: "x" } }],
    ["too much", "newOrder", { status: 201, body: "{", ending: "endless" }],
    ["half of it", "directory", { body: { newNonce: "https://x/" }, ending: "cut" }],
    ["another's certificate", "certificate", { body: "-----BEGIN CERTIFICATE-----" }],
  ] as const
) {
  test(`a CA that answers ${resource} with ${what} is a failure, and no more than that`, async (t) => {
    const { centauri } = await startWith(t, {}, {
      prepare: (ca) => ca.on(resource, () => answer),
    });
    const record = await failed(centauri);
    assert.notEqual(record.problem, "");
    assert.ok(String(record.problem).length < 1_000);
    await centauri.reload(routeFor("a.example.com"));
    assert.ok(!centauri.logs.some((line) => line.includes("internal error")));
  });
}

test("no order is placed when this machine's clock is far from the CA's", async (t) => {
  const { ca, centauri } = await startWith(t, { clockOffset: 3 * 24 * HOUR * 1000 });
  assert.equal((await failed(centauri)).cause, "clock-wrong");
  assert.equal(orderCount(ca), 0);
});

test("no order is placed when CAA forbids", async (t) => {
  const dns = await startChalltestsrv(t);
  if (dns === undefined) return;
  await dns.addCaa("a.example.com", { tag: "issue", value: "other.test" });
  const env = { ACME_RESOLVERS: dns.dnsServer };
  const { ca, centauri } = await startWith(t, { caaIdentities: ["ca.test"] }, { env });
  const record = await failed(centauri);
  assert.equal(record.cause, "caa-forbids");
  assert.match(String(record.advice), /issue "ca\.test"/);
  assert.equal(orderCount(ca), 0);
});

test("what a CA calls itself is escaped where it is told", async (t) => {
  const dns = await startChalltestsrv(t);
  if (dns === undefined) return;
  await dns.addCaa("a.example.com", { tag: "issue", value: "other.test" });
  const ca = await startCa(t, { caaIdentities: ["ca.test\x1b[2J\n"] });
  const [http = 0, https = 0] = await freePorts(2);
  const ports = { HTTP_PORT: `${http}`, HTTPS_PORT: `${https}`, ACME_RESOLVERS: dns.dnsServer };
  const env = { ...await variables(t, ca), ...ports };
  const { code, stdout } = await runCentauri(["--obtain", "a.example.com"], { env });
  assert.equal(code, 1, stdout);
  assert.match(stdout, /CAA 0 issue "ca\.test\\u001b\[2J\\n"\.\n$/);
});

test("when the CA fails over CAA, what is seen from here is told", async (t) => {
  const dns = await startChalltestsrv(t);
  if (dns === undefined) return;
  await dns.addCaa("a.example.com", { tag: "issue", value: "other.test" });
  const { centauri } = await startWith(t, {
    caaIdentities: [], // it doesn't say what to look for beforehand
    fail: () => problem("caa", "CAA record for a.example.com prevents issuance", { status: 403 }),
  }, { env: { ACME_RESOLVERS: dns.dnsServer } });
  const record = await failed(centauri);
  assert.equal(record.cause, "caa-forbids");
  assert.match(String(record.problem), /CAA here, at a\.example\.com: "issue other\.test"/);
});

test("when each type of challenge fails, all of them are told", async (t) => {
  const { centauri } = await startWith(t, {
    fail: (_, type) => problem("connection", `closed for ${type}`, { status: 400 }),
  }, { env: { ACME_CHALLENGES: "http-01 tls-alpn-01" } });
  const { problem: said } = await failed(centauri);
  assert.match(String(said), /closed for tls-alpn-01"; before that ".*closed for http-01/);
});

for (const draft of [0, 1, 2] as const) {
  test(`a record set once proves a name, as draft 0${draft} of dns-persist-01 has it`, async (t) => {
    const dns = await startChalltestsrv(t);
    if (dns === undefined) return;
    const records: string[] = [];
    const ca = await startCa(t, {
      validate: { httpPort: 1, tlsPort: 1, lookupTxt: () => Promise.resolve(records) },
      challenges: ["http-01", "dns-persist-01"],
      persist: { draft, issuerDomainNames: ["ca.test"] },
    });
    const [http = 0, https = 0] = await freePorts(2);
    const env = {
      ...await variables(t, ca),
      ...{ ACME_CHALLENGES: "dns-persist-01", ACME_RESOLVERS: dns.dnsServer },
      ...{ HTTP_PORT: `${http}`, HTTPS_PORT: `${https}` },
    };
    const obtain = () => runCentauri(["--obtain", "*.example.com"], { env });
    const { code, stdout } = await obtain();
    assert.equal(code, 1, stdout);
    assert.equal(orderCount(ca), 0, "nothing is ordered without the record");
    const line = /_validation-persist\.example\.com\. 3600 IN TXT ("[^\n]*")/.exec(stdout)?.[1];
    assert.ok(line, stdout);
    const value = line.split('"').filter((_, i) => i % 2 === 1).join("");
    assert.match(value, /policy=wildcard/);
    records.push(value);
    await dns.setTxt("_validation-persist.example.com", value);
    const again = await obtain();
    assert.equal(again.code, 0, again.stdout + again.stderr);
    assert.equal(ca.certificates.length, 1);
  });
}

test("the chain that ends at the preferred issuer is stored", async (t) => {
  const settings = { alternateChain: true };
  const plain = await startWith(t, settings);
  await obtained(plain.centauri);
  const [, alternate = ""] = plain.ca.roots;
  const { stdout } = await run("openssl", ["x509", "-noout", "-subject", "-nameopt", "RFC2253"], {
    input: alternate,
  });
  const name = /CN=([^,\n]+)/.exec(stdout)?.[1] ?? "";
  const ca = await startCa(t, settings);
  const root = await run("openssl", ["x509", "-noout", "-subject", "-nameopt", "RFC2253"], {
    input: ca.roots[1],
  });
  assert.ok(root.stdout.includes(name), "both CAs name theirs alike");
  const env: Variables = { ...await variables(t, ca), ACME_PREFERRED_CHAIN: name };
  await obtained(await startCentauri(t, { routes: routeFor("a.example.com"), env }));
  const [record] = JSON.parse(await readFile(env.CERTIFICATE_STORE!, "utf8"));
  assert.equal(record.certificate, ca.certificates[0]?.chains[1]);
});

for (
  const [type, shown, pem] of [
    ["P384", /ASN1 OID: secp384r1/, /^-----BEGIN EC PRIVATE KEY-----/],
    ["RSA2048", /Public-Key: \(2048 bit\)/, /^-----BEGIN RSA PRIVATE KEY-----/],
  ] as const
) {
  test(`a certificate's key can be ${type}`, async (t) => {
    const { centauri, env } = await startWith(t, {}, { env: { ACME_KEY_TYPE: type } });
    await obtained(centauri);
    const connect = ["s_client", "-connect", `127.0.0.1:${centauri.httpsPort}`];
    const { stdout } = await run("openssl", [...connect, "-servername", "a.example.com"]);
    const text = await run("openssl", ["x509", "-noout", "-text"], { input: stdout });
    assert.match(text.stdout, shown);
    const [record] = JSON.parse(await readFile(env.CERTIFICATE_STORE!, "utf8"));
    assert.match(record.privateKey, pem);
  });
}
