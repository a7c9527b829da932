/** Centauri and Pebble: certificates from the first order on, by every kind of challenge. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import {
  type Challtestsrv,
  freePorts,
  type Named,
  type Pebble,
  type PebbleOptions,
  startChalltestsrv,
  startNamed,
  startPebble,
} from "./acmepeers.ts";
import { type Centauri, run, runCentauri, startCentauri, temporaryFolder } from "./support.ts";

const ISSUE_MS = 120_000; // on a machine that does much else

interface Site {
  readonly pebble: Pebble;
  readonly dns: Challtestsrv;
  readonly ports: { readonly http: number; readonly https: number };
  /** Variables that every Centauri of the test has. */
  readonly env: Readonly<Record<string, string>>;
}

/** Pebble and its DNS server, and the ports that Pebble validates at. */
async function startSite(
  t: TestContext,
  options: Partial<PebbleOptions> = {},
): Promise<Site | undefined> {
  const dns = await startChalltestsrv(t);
  const [http = 0, https = 0] = await freePorts(2);
  const pebble = dns && await startPebble(t, {
    ...{ httpPort: http, tlsPort: https, dnsServer: dns.dnsServer },
    ...options,
  });
  if (dns === undefined || pebble === undefined) return undefined;
  const env = {
    ...{ HTTP_PORT: `${http}`, HTTPS_PORT: `${https}` },
    ...caVariables(pebble),
    ...{ ACME_RESOLVERS: dns.dnsServer, LOG_LEVEL: "debug" },
  };
  return { pebble, dns, ports: { http, https }, env };
}

const caVariables = ({ directory, apiRootFile }: Pebble): Record<string, string> => ({
  ACME_EMAIL: "admin@example.com",
  ACME_DIRECTORY: directory,
  LEGO_CA_CERTIFICATES: apiRootFile,
});

const routesFor = (...names: readonly string[]): string =>
  names.map((name) => `route ${name}\n  upstream 127.0.0.1:1\n`).join("");

/** What openssl says of a handshake for a name. */
async function handshake(port: number, servername: string): Promise<string> {
  const args = ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", servername];
  const { stdout, stderr } = await run("openssl", args);
  return stdout + stderr;
}

async function obtained(centauri: Centauri, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const record = await centauri.waitForLog(
      ({ msg, names }) =>
        /^certificate (not )?obtained$/.test(`${msg}`) && Array.isArray(names) &&
        names.includes(name),
      ISSUE_MS,
    );
    assert.equal(record.msg, "certificate obtained", JSON.stringify(record));
  }
}

/** That openssl verifies the chain that is served for the name against Pebble's root. */
async function verifies(t: TestContext, pebble: Pebble, port: number, name: string): Promise<void> {
  const folder = await temporaryFolder(t);
  const rootFile = join(folder, "root.pem");
  await writeFile(rootFile, await pebble.root());
  const args = ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", name];
  const checks = ["-CAfile", rootFile, "-verify_return_error", "-verify_hostname", name];
  const { code, stdout, stderr } = await run("openssl", [...args, ...checks]);
  assert.equal(code, 0, `${stdout}${stderr}`);
  assert.match(stdout, /Verify return code: 0 \(ok\)/);
}

for (const type of ["http-01", "tls-alpn-01"]) {
  test(`a certificate is obtained by ${type} and served`, async (t) => {
    const site = await startSite(t);
    if (site === undefined) return;
    const centauri = await startCentauri(t, {
      routes: routesFor("a.example.com www.a.example.com"),
      env: { ...site.env, ACME_CHALLENGES: type },
    });
    await obtained(centauri, "a.example.com");
    await verifies(t, site.pebble, centauri.httpsPort, "www.a.example.com");
    const [record] = JSON.parse(await readFile(join(centauri.folder, "certs.json"), "utf8"));
    assert.equal(record.provider, "lego");
    assert.equal(record.subject, "a.example.com");
    assert.deepEqual(record.altNames, ["www.a.example.com"]);
    assert.match(record.privateKey, /^-----BEGIN EC PRIVATE KEY-----/);
    for (const file of ["certs.json", "user.pem", "certs.json.acme"]) {
      assert.equal((await stat(join(centauri.folder, file))).mode & 0o777, 0o600, file);
    }
  });
}

test("with an e-mail address and nothing else, one challenge is tried when the other fails", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const [closed = 0] = await freePorts(1);
  // The CA finds nothing at its HTTP port: HTTP-01 fails, TLS-ALPN-01 doesn't.
  const centauri = await startCentauri(t, {
    routes: routesFor("b.example.com"),
    env: { ...site.env, HTTP_PORT: `${closed}` },
  });
  await obtained(centauri, "b.example.com");
  assert.ok(centauri.logs.some((line) => line.includes('"challenge failed"')));
  await verifies(t, site.pebble, centauri.httpsPort, "b.example.com");
  const state = JSON.parse(await readFile(join(centauri.folder, "certs.json.acme"), "utf8"));
  assert.equal(state["b.example.com"].provenBy, "tls-alpn-01", "what worked goes first next time");
});

test("until there is a certificate its names get unrecognized_name, and nothing is self-signed", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  await site.dns.setServfail("c.example.com");
  const centauri = await startCentauri(t, { routes: routesFor("c.example.com"), env: site.env });
  const failure = await centauri.waitForLog(
    ({ msg }) => msg === "certificate not obtained",
    ISSUE_MS,
  );
  assert.match(await handshake(centauri.httpsPort, "c.example.com"), /alert number 112/);
  for (const field of ["names", "ca", "cause", "problem", "advice", "next"]) {
    assert.notEqual(failure[field] ?? "", "", field);
  }
});

test("an order isn't placed for a name that doesn't resolve", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  await site.dns.manage("set-default-ipv4", { ip: "" });
  const centauri = await startCentauri(t, { routes: routesFor("d.example.com"), env: site.env });
  const failure = await centauri.waitForLog(
    ({ msg }) => msg === "certificate not obtained",
    ISSUE_MS,
  );
  assert.equal(failure.cause, "name-unresolved");
  assert.ok(!site.pebble.output.some((line) => line.includes("order-plz")), "an order was placed");
});

test("a restart serves what is stored at once and orders nothing", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const folder = await temporaryFolder(t);
  const files = {
    CERTIFICATE_STORE: join(folder, "certs.json"),
    USER_DATA: join(folder, "user.pem"),
  };
  const start = () =>
    startCentauri(t, { routes: routesFor("e.example.com"), env: { ...site.env, ...files } });
  const first = await start();
  await obtained(first, "e.example.com");
  await first.stop();
  const orders = () => site.pebble.output.filter((line) => line.includes("order-plz")).length;
  assert.equal(orders(), 1);
  const second = await start();
  await verifies(t, site.pebble, second.httpsPort, "e.example.com");
  await second.stop();
  assert.equal(orders(), 1);
});

test("a reload obtains what is new, and a set of names is ordered once", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const env = { ...site.env, WILDCARD_DOMAINS: "" };
  const centauri = await startCentauri(t, { routes: routesFor("f.example.com"), env });
  await obtained(centauri, "f.example.com");
  const shared = "g.example.com\n  subject f.example.com";
  await centauri.reload(
    routesFor("f.example.com", "h.example.com").replace(
      "route h",
      `route ${shared}\n  upstream 127.0.0.1:1\nroute h`,
    ),
  );
  await obtained(centauri, "h.example.com");
  const orders = site.pebble.output.filter((line) => line.includes("order-plz")).length;
  assert.equal(orders, 2);
});

/** named with a zone, and with another that CNAMEs lead to. */
async function startDns(t: TestContext): Promise<{ pebble: Pebble; named: Named } | undefined> {
  const named = await startNamed(t, {
    zones: {
      "example.com":
        "@ A 127.0.0.1\n* A 127.0.0.1\n_acme-challenge.cname CNAME x.acme.example.net.",
      "acme.example.net": "",
    },
  });
  const pebble = named &&
    await startPebble(t, { httpPort: 1, tlsPort: 1, dnsServer: named.server });
  return named && pebble && { named, pebble };
}

const tsigVariables = (named: Named): Record<string, string> => ({
  DNS_PROVIDER: "rfc2136",
  RFC2136_NAMESERVER: named.server,
  RFC2136_TSIG_KEY: named.keyName,
  RFC2136_TSIG_ALGORITHM: named.algorithm,
  RFC2136_TSIG_SECRET: named.secret,
  RFC2136_POLLING_INTERVAL: "1",
  ACME_RESOLVERS: named.server,
});

test("a name and its wildcard are proved by DNS, and the records are gone afterwards", async (t) => {
  const site = await startDns(t);
  if (site === undefined) return;
  const centauri = await startCentauri(t, {
    routes: "route i.example.com\n  subject example.com *.example.com\n  upstream 127.0.0.1:1\n",
    env: { ...caVariables(site.pebble), ...tsigVariables(site.named) },
  });
  await obtained(centauri, "example.com");
  await verifies(t, site.pebble, centauri.httpsPort, "i.example.com");
  assert.deepEqual(await site.named.lookupTxt("_acme-challenge.example.com"), []);
});

test("a CNAME at _acme-challenge leads to the zone that is written", async (t) => {
  const site = await startDns(t);
  if (site === undefined) return;
  const centauri = await startCentauri(t, {
    routes: routesFor("cname.example.com"),
    env: { ...caVariables(site.pebble), ...tsigVariables(site.named) },
  });
  await obtained(centauri, "cname.example.com");
  await verifies(t, site.pebble, centauri.httpsPort, "cname.example.com");
});

test("names below a wildcard domain share its certificate", async (t) => {
  const site = await startDns(t);
  if (site === undefined) return;
  const centauri = await startCentauri(t, {
    routes: routesFor("j.example.com", "k.example.com"),
    env: {
      ...caVariables(site.pebble),
      ...tsigVariables(site.named),
      WILDCARD_DOMAINS: "example.com",
    },
  });
  await obtained(centauri, "*.example.com");
  await verifies(t, site.pebble, centauri.httpsPort, "j.example.com");
  await verifies(t, site.pebble, centauri.httpsPort, "k.example.com");
  assert.equal(site.pebble.output.filter((line) => line.includes("order-plz")).length, 1);
});

test("a script sets records where DNS can't be asked, as with the Go program", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const script = join(await temporaryFolder(t), "dns.sh");
  const management = site.dns.managementUrl;
  await writeFile(
    script,
    `#!/bin/sh
case $1 in
present) curl -sf -d "{\\"host\\":\\"$2\\",\\"value\\":\\"$3\\"}" ${management}/set-txt ;;
cleanup) curl -sf -d "{\\"host\\":\\"$2\\"}" ${management}/clear-txt ;;
esac
`,
  );
  await chmod(script, 0o755);
  const { ACME_RESOLVERS: _, ...env } = site.env;
  const centauri = await startCentauri(t, {
    routes: routesFor("l.example.com"),
    env: {
      ...env,
      ...{ DNS_PROVIDER: "exec", EXEC_PATH: script, ACME_RESOLVERS: "127.0.0.1:9" },
      ...{ ACME_DISABLE_PROPAGATION_CHECK: "true", ACME_PROPAGATION_DELAY: "100ms" },
    },
  });
  await obtained(centauri, "l.example.com");
  await verifies(t, site.pebble, centauri.httpsPort, "l.example.com");
});

test("an account is bound to an external one where the CA wants that", async (t) => {
  const hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
  const site = await startSite(t, { eab: { "kid-1": hmac } });
  if (site === undefined) return;
  const without = await startCentauri(t, { routes: routesFor("m.example.com"), env: site.env });
  const failure = await without.waitForLog(
    ({ msg }) => msg === "certificate not obtained",
    ISSUE_MS,
  );
  assert.match(String(failure.advice), /acme-external|kid/i);
  await without.stop();
  const env = { ...site.env, ACME_EXTERNAL_KID: "kid-1", ACME_EXTERNAL_HMAC: hmac };
  const centauri = await startCentauri(t, { routes: routesFor("m.example.com"), env });
  await obtained(centauri, "m.example.com");
});

test("--obtain says each step, and its certificate is stored", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const cwd = await temporaryFolder(t);
  const { code, stdout, stderr } = await runCentauri(
    ["--obtain", "n.example.com", "www.n.example.com"],
    { env: site.env, cwd },
  );
  assert.equal(code, 0, stdout + stderr);
  for (const step of ["directory", "account", "order", "challenge", "finalize", "done"]) {
    assert.match(stdout, new RegExp(`^${step}`, "m"));
  }
  const [record] = JSON.parse(await readFile(join(cwd, "certs.json"), "utf8"));
  assert.equal(record.subject, "n.example.com");
});

test("--account and --revoke do what they say", async (t) => {
  const site = await startSite(t);
  if (site === undefined) return;
  const cwd = await temporaryFolder(t);
  const centauri = (...args: string[]) => runCentauri(args, { env: site.env, cwd });
  assert.equal((await centauri("--obtain", "o.example.com")).code, 0);
  const before = JSON.parse(await readFile(join(cwd, "user.pem"), "utf8"));
  const rolled = await centauri("--account", "rollover");
  assert.equal(rolled.code, 0, rolled.stdout + rolled.stderr);
  const after = JSON.parse(await readFile(join(cwd, "user.pem"), "utf8"));
  assert.notEqual(after.key, before.key);
  assert.equal(after.registration.uri, before.registration.uri);
  assert.equal((await centauri("--obtain", "p.example.com")).code, 0, "with the new key");
  const [record] = JSON.parse(await readFile(join(cwd, "certs.json"), "utf8"));
  const file = join(cwd, "revoke.pem");
  await writeFile(file, record.certificate);
  const revoked = await centauri("--revoke", file);
  assert.equal(revoked.code, 0, revoked.stdout + revoked.stderr);
  const serial = new X509Certificate(record.certificate).serialNumber.toLowerCase();
  assert.equal((await site.pebble.certificateStatus(serial)).Status, "Revoked");
  assert.equal((await centauri("--account", "deactivate")).code, 0);
  assert.equal((await centauri("--obtain", "q.example.com")).code, 0, "with a new account");
});

for (const reject of process.env.CI ? [0, 50, 90] : [90]) {
  test(`a CA that refuses ${reject} % of nonces is asked again`, async (t) => {
    const site = await startSite(t, { env: { PEBBLE_WFE_NONCEREJECT: `${reject}` } });
    if (site === undefined) return;
    const centauri = await startCentauri(t, { routes: routesFor("r.example.com"), env: site.env });
    await obtained(centauri, "r.example.com");
  });
}

test("authorizations that the CA uses again aren't proved again", async (t) => {
  const site = await startSite(t, { env: { PEBBLE_AUTHZREUSE: "100" } });
  if (site === undefined) return;
  const centauri = await startCentauri(t, { routes: routesFor("s.example.com"), env: site.env });
  await obtained(centauri, "s.example.com");
  await centauri.reload(routesFor("s.example.com u.example.com"));
  await obtained(centauri, "u.example.com");
});

test("a CA that validates slowly is waited for", async (t) => {
  const site = await startSite(t, { env: { PEBBLE_VA_NOSLEEP: "", PEBBLE_VA_SLEEPTIME: "3" } });
  if (site === undefined) return;
  const centauri = await startCentauri(t, { routes: routesFor("v.example.com"), env: site.env });
  await obtained(centauri, "v.example.com");
});

test("--validate says what an order would fail for", async (t) => {
  const cwd = await temporaryFolder(t);
  await writeFile(join(cwd, "centauri.conf"), routesFor("a.example.com"));
  const validate = (env: Record<string, string>) => runCentauri(["--validate"], { env, cwd });
  for (
    const [env, words] of [
      [{ DNS_PROVIDER: "cloudflare" }, /CF_DNS_API_TOKEN.*is not set/],
      [{ DNS_PROVIDER: "clouflare" }, /did you mean cloudflare\?/],
      [{ DNS_PROVIDER: "exec", EXEC_PATH: "/bin/true", USER_DATA: "bad.pem" }, /bad\.pem/],
    ] as const
  ) {
    await writeFile(join(cwd, "bad.pem"), "{");
    const { code, stdout } = await validate(env);
    assert.equal(code, 1, stdout);
    assert.match(stdout, words);
  }
  const { code, stdout } = await validate({ DNS_PROVIDER: "exec", EXEC_PATH: "/bin/true" });
  assert.equal(code, 0, stdout);
});
