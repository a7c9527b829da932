/** Which certificates Dotege wants, and what its options about them mean. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CERTIFICATE_OPTIONS, certSettings, deploymentOf } from "../lib/certsettings.ts";
import { byFileName, wantedNames } from "../lib/dotegecerts.ts";
import { OptionError, type Options, parseOptions } from "../lib/options.ts";

const WILDCARDS = ["example.wc"];
const WANTED: readonly [why: string, hosts: string[][], expect: string[][]][] = [
  ["no container", [], []],
  ["a container without hosts", [[]], []],
  ["one name", [["example.com"]], [["example.com"]]],
  ["names in their order", [["b.com", "a.com"]], [["b.com", "a.com"]]],
  ["names below a wildcard", [["a.example.wc", "b.example.wc", "c.example.wc"]], [[
    "*.example.wc",
  ]]],
  ["a wildcard in its name's place", [["example.com", "foo.example.wc", "foo.example.com"]], [[
    ...["example.com", "*.example.wc", "foo.example.com"],
  ]]],
  ["the wildcard's domain, and two levels below it", [["example.wc", "a.b.example.wc"]], [[
    ...["example.wc", "a.b.example.wc"],
  ]]],
  ["a name twice", [["a.com", "A.com.", "b.com"]], [["a.com", "b.com"]]],
  ["a wildcard that a label has", [["*.a.com"]], [["*.a.com"]]],
  ["a set twice, in another order", [["a.com", "b.com"], ["b.com", "a.com"]], [["a.com", "b.com"]]],
  ["sets with names in common", [["a.com"], ["a.com", "b.com"]], [["a.com"], ["a.com", "b.com"]]],
  ["what is no name", [["../a", "a/b", "10.0.0.1", "", "*", "a..b"], ["ok.com", "no\n"]], [[
    "ok.com",
  ]]],
  ["names in Unicode", [["bücher.example"]], [["xn--bcher-kva.example"]]],
];
for (const [why, hosts, expect] of WANTED) {
  test(`wantedNames() with ${why}`, () => {
    assert.deepEqual(wantedNames(hosts, WILDCARDS), expect);
  });
}

test("wantedNames() folds below each of two wildcards", () => {
  const wanted = wantedNames([["a.one.com", "a.two.com", "b.one.com"]], ["one.com", "two.com"]);
  assert.deepEqual(wanted, [["*.one.com", "*.two.com"]]);
});

const FILES: readonly [why: string, sets: string[][], expect: Readonly<Record<string, string>>][] =
  [
    ["by their first names", [["b", "a"], ["*.a"]], { b: "b a", "_.a": "*.a" }],
    ["by another name where the first is taken", [["a", "b"], ["a", "c"]], { a: "a b", c: "a c" }],
    ["in none where all names are in others", [["a", "b"], ["a"], ["b"]], { a: "a b", b: "b" }],
    ["apart from a name that looks like the wildcard's", [["*.a"], ["_.a"]], { "_.a": "*.a" }],
  ];
for (const [why, sets, expect] of FILES) {
  test(`certificates are in files named ${why}`, () => {
    const records = sets.map(([subject = "", ...altNames]) => ({ subject, altNames }));
    const named = [...byFileName(records)].map(([file, { subject, altNames }]) =>
      [file, [subject, ...altNames].join(" ")] as const
    );
    assert.deepEqual(Object.fromEntries(named), expect);
  });
}

const read = (env: Readonly<Record<string, string>>): Options =>
  parseOptions(CERTIFICATE_OPTIONS, [], env);
const EMAIL = { DOTEGE_ACME_EMAIL: "a@example.com", DOTEGE_DNS_PROVIDER: "exec" };

test("nothing is deployed by default, and files are combined with an e-mail address", () => {
  assert.equal(certSettings(read({})), undefined);
  assert.equal(deploymentOf(read({})).deployment, "disabled");
  const implied = deploymentOf(read(EMAIL));
  assert.equal(implied.deployment, "combined");
  assert.match(implied.why, /e-mail/);
  for (const deployment of ["disabled", "splitkeys", "Combined"]) {
    const options = read({ ...EMAIL, DOTEGE_CERTIFICATE_DEPLOYMENT: deployment });
    assert.deepEqual(deploymentOf(options), {
      ...{ deployment: deployment.toLowerCase(), why: "as configured" },
    });
  }
});

test("settings without further variables are those of Dotege 1.3.2", () => {
  const settings = certSettings(read(EMAIL));
  assert.deepEqual(settings?.files, {
    ...{ folder: "/data/certs/", layout: "combined", mode: 0o600 },
  });
  assert.deepEqual(settings?.wildcards, []);
  assert.equal(settings?.cacheFile, "/data/config/certs.json");
  const { acme } = settings ?? assert.fail();
  assert.equal(acme.email, "a@example.com");
  assert.deepEqual(acme.directories, ["https://acme-v02.api.letsencrypt.org/directory"]);
  assert.deepEqual(acme.challenges, ["dns-01"]);
  assert.equal(acme.dnsProvider, "exec");
  assert.equal(acme.keyType, "P384");
  assert.equal(acme.statePath, "/data/config/certs.json.acme");
});

test("settings are read from Dotege's and lego's variables", () => {
  const settings = certSettings(read({
    DOTEGE_CERTIFICATE_DEPLOYMENT: "splitkeys",
    DOTEGE_DNS_PROVIDER: "cloudflare",
    DOTEGE_ACME_ENDPOINT: "https://ca.test/dir",
    DOTEGE_ACME_KEY_TYPE: "8192",
    DOTEGE_ACME_CACHE_FILE: "/tmp/cache.json",
    DOTEGE_CERT_DESTINATION: "/certs",
    DOTEGE_CERT_UID: "1000",
    DOTEGE_CERT_GID: "-1",
    DOTEGE_CERT_MODE: "0640",
    DOTEGE_WILDCARD_DOMAINS: "example.com,.Example.org  *.example.net",
    LEGO_CA_CERTIFICATES: "/a.pem:/b.pem",
    LEGO_DISABLE_CNAME_SUPPORT: "true",
  })) ?? assert.fail();
  assert.deepEqual(settings.files, {
    ...{ folder: "/certs", layout: "splitkeys", mode: 0o640, owner: { uid: 1000 } },
  });
  assert.deepEqual(settings.wildcards, ["example.com", "example.org", "example.net"]);
  assert.equal(settings.cacheFile, "/tmp/cache.json");
  assert.deepEqual(settings.acme.directories, ["https://ca.test/dir"]);
  assert.equal(settings.acme.keyType, "RSA8192");
  assert.deepEqual(settings.acme.rootFiles, ["/a.pem", "/b.pem"]);
  assert.equal(settings.acme.followCnames, false);
});

test("dns-persist-01 needs no provider", () => {
  const env = { DOTEGE_ACME_EMAIL: "a@example.com", DOTEGE_ACME_CHALLENGES: "dns-persist-01" };
  assert.deepEqual(certSettings(read(env))?.acme.challenges, ["dns-persist-01"]);
});

const REFUSED: readonly [variables: Readonly<Record<string, string>>, says: RegExp][] = [
  [{ DOTEGE_DNS_PROVIDER: "" }, /--dns-provider isn't set/],
  [{ DOTEGE_ACME_ENDPOINT: "http://ca.test/" }, /--acme-directory "http:.*an https:\/\/ URL/],
  [{ DOTEGE_ACME_CHALLENGES: "http-01" }, /--acme-challenges "http-01": expected some of dns-01/],
  [{ DOTEGE_ACME_CHALLENGES: "" }, /--acme-challenges ""/],
  [{ DOTEGE_ACME_KEY_TYPE: "P521" }, /unknown acme key: P521/],
  [{ DOTEGE_CERTIFICATE_DEPLOYMENT: "split" }, /expected one of combined, splitkeys, disabled/],
  [{ DOTEGE_CERT_MODE: "0o600" }, /--cert-mode "0o600": expected an octal number/],
  [{ DOTEGE_CERT_MODE: "1777" }, /--cert-mode/],
  [{ DOTEGE_CERT_MODE: "680" }, /--cert-mode/],
  [{ DOTEGE_CERT_UID: "root" }, /--cert-uid "root": expected a number, or -1/],
  [{ DOTEGE_CERT_GID: "-2" }, /--cert-gid/],
  [{ DOTEGE_CERT_GID: "4294967295" }, /--cert-gid/],
  [{ DOTEGE_WILDCARD_DOMAINS: "a..b" }, /--wildcard-domains "a..b"/],
];
for (const [variables, says] of REFUSED) {
  test(`certSettings() refuses ${JSON.stringify(variables)}`, () => {
    assert.throws(() => certSettings(read({ ...EMAIL, ...variables })), (error) => {
      assert.ok(error instanceof OptionError);
      assert.match(error.message, says);
      return true;
    });
  });
}

test("empty variables of mode and owner are the defaults", () => {
  const env = { DOTEGE_CERT_MODE: "", DOTEGE_CERT_UID: "", DOTEGE_CERT_GID: "" };
  const { files } = certSettings(read({ ...EMAIL, ...env })) ?? assert.fail();
  assert.deepEqual([files.mode, files.owner], [0o600, undefined]);
});
