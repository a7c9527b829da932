/** Certificates as files, for HAProxy and nginx: what is written, when, and who may read it. */
import assert from "node:assert/strict";
import { chmod, chown, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { CertFiles, type CertFilesOptions, fileName } from "../lib/certfiles.ts";
import { type CertificateRecord, newRecord } from "../lib/store.ts";
import { privateKeyPem } from "../lib/x509.ts";
import { freePorts } from "./acmepeers.ts";
import { type Identity, issue } from "./pki.ts";
import { needProgram, run, type Scope, temporaryFolder } from "./support.ts";

const DAY = 86_400_000;
const authority = issue({ subject: "Test CA" });

/** A stored certificate, with the chain up to its CA. */
function makeRecord(names: readonly string[], from: Identity = authority): CertificateRecord {
  const { cert, key } = issue({ subject: names[0] ?? "", names, issuer: from });
  return {
    ...newRecord("lego", names, new Date(Date.now() + DAY)),
    ...{ certificate: cert + authority.cert, privateKey: privateKeyPem(key) },
  };
}

interface Setup {
  readonly folder: string;
  readonly files: CertFiles;
  /** Messages and errors. */
  readonly logged: string[];
}

async function setUp(t: Scope, options: Partial<CertFilesOptions> = {}): Promise<Setup> {
  const folder = await temporaryFolder(t);
  const logged: string[] = [];
  const say = (message: string, fields: object = {}): void => {
    logged.push(`${message} ${"error" in fields ? fields.error : ""}`.trim());
  };
  const log = { debug: say, info: say, warn: say, error: say };
  const defaults = { folder, layout: "combined", mode: 0o600, log } as const;
  return { folder, logged, files: new CertFiles({ ...defaults, ...options }) };
}

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777;

const NAMES: readonly [name: string, expect: string | undefined][] = [
  ["example.com", "example.com"],
  ["*.example.com", "_.example.com"],
  ["a_b.example.com", "a_b.example.com"],
  ["../etc/passwd", undefined],
  ["a/b.example.com", undefined],
  ["..", undefined],
  ["", undefined],
  [".example.com", undefined],
  ["a..example.com", undefined],
  ["*", undefined],
  ["*.*.example.com", undefined],
  ["example.com\0.pem", undefined],
  ["example.com\n", undefined],
  ["10.0.0.1", undefined],
];
for (const [name, expect] of NAMES) {
  test(`fileName() ${expect === undefined ? "refuses" : "takes"} ${JSON.stringify(name)}`, () => {
    if (expect === undefined) assert.throws(() => fileName(name), TypeError);
    else assert.equal(fileName(name), expect);
  });
}

test("in one file the chain comes first, then the key, as Go wrote it", async (t) => {
  const { folder, files } = await setUp(t);
  const record = makeRecord(["a.test"]);
  assert.equal(await files.deploy("a.test", record), true);
  assert.deepEqual(await readdir(folder), ["a.test.pem"]);
  const path = join(folder, "a.test.pem");
  assert.equal(await readFile(path, "utf8"), record.certificate + record.privateKey);
  assert.equal(await modeOf(path), 0o600);
});

test("split, the chain and the key have a file each", async (t) => {
  const { folder, files } = await setUp(t, { layout: "splitkeys", mode: 0o640 });
  const record = makeRecord(["*.a.test"]);
  assert.equal(await files.deploy("_.a.test", record), true);
  assert.deepEqual((await readdir(folder)).sort(), ["_.a.test.key", "_.a.test.pem"]);
  assert.equal(await readFile(join(folder, "_.a.test.pem"), "utf8"), record.certificate);
  assert.equal(await readFile(join(folder, "_.a.test.key"), "utf8"), record.privateKey);
  assert.equal(await modeOf(join(folder, "_.a.test.key")), 0o640);
});

test("PEM that lacks its last line end gets it before the key", async (t) => {
  const { folder, files } = await setUp(t);
  const record = makeRecord(["a.test"]);
  const trimmed = { ...record, certificate: record.certificate.trim() };
  await files.deploy("a.test", trimmed);
  const text = await readFile(join(folder, "a.test.pem"), "utf8");
  assert.equal(text, record.certificate + record.privateKey);
});

test("what is on disk already isn't written again", async (t) => {
  const { folder, files, logged } = await setUp(t, { layout: "splitkeys" });
  const record = makeRecord(["a.test"]);
  await writeFile(join(folder, "a.test.pem"), record.certificate, { mode: 0o600 });
  await writeFile(join(folder, "a.test.key"), record.privateKey, { mode: 0o600 });
  const before = await stat(join(folder, "a.test.pem"));
  assert.equal(await files.deploy("a.test", record), false);
  assert.equal((await stat(join(folder, "a.test.pem"))).ino, before.ino);
  assert.deepEqual(logged, []);
});

for (const end of [".pem", ".key"]) {
  test(`a missing or changed ${end} file is restored, and the other isn't touched`, async (t) => {
    const { folder, files } = await setUp(t, { layout: "splitkeys" });
    const record = makeRecord(["a.test"]);
    await files.deploy("a.test", record);
    const path = join(folder, `a.test${end}`);
    const other = join(folder, `a.test${end === ".pem" ? ".key" : ".pem"}`);
    const text = await readFile(path, "utf8");
    const { ino } = await stat(other);
    for (const damage of [() => rm(path), () => writeFile(path, text.replace(/[A-Z]{3}/, "AAA"))]) {
      assert.equal(await files.deploy("a.test", record), false);
      await damage();
      assert.equal(await files.deploy("a.test", record), true);
      assert.equal(await readFile(path, "utf8"), text);
      assert.equal((await stat(other)).ino, ino);
    }
  });
}

test("a renewed certificate replaces both files", async (t) => {
  const { folder, files } = await setUp(t, { layout: "splitkeys" });
  const first = makeRecord(["a.test"]);
  assert.equal(await files.deploy("a.test", first), true);
  assert.equal(await files.deploy("a.test", first), false);
  const renewed = makeRecord(["a.test"]);
  assert.equal(await files.deploy("a.test", renewed), true);
  assert.equal(await readFile(join(folder, "a.test.key"), "utf8"), renewed.privateKey);
  assert.equal(await readFile(join(folder, "a.test.pem"), "utf8"), renewed.certificate);
});

test("a file that more may read than asked is closed to them, without being written", async (t) => {
  const { folder, files } = await setUp(t);
  const record = makeRecord(["a.test"]);
  await files.deploy("a.test", record);
  const path = join(folder, "a.test.pem");
  await chmod(path, 0o644);
  assert.equal(await files.deploy("a.test", record), false);
  assert.equal(await modeOf(path), 0o600);
});

test("files are given to whom they are for", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("only root gives files away");
  const { folder, files } = await setUp(t, { owner: { uid: 1234, gid: 4321 }, mode: 0o440 });
  const record = makeRecord(["a.test"]);
  const path = join(folder, "a.test.pem");
  const ownerOf = async (): Promise<number[]> => {
    const { uid, gid } = await stat(path);
    return [uid, gid];
  };
  await files.deploy("a.test", record);
  assert.deepEqual(await ownerOf(), [1234, 4321]);
  assert.equal(await modeOf(path), 0o440);
  await chown(path, 0, 0);
  assert.equal(await files.deploy("a.test", record), false);
  assert.deepEqual(await ownerOf(), [1234, 4321]);
});

test("a file that somebody gave away stays his when it is replaced", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("only root gives files away");
  const { folder, files } = await setUp(t);
  await files.deploy("a.test", makeRecord(["a.test"]));
  await chown(join(folder, "a.test.pem"), 1234, 4321);
  await files.deploy("a.test", makeRecord(["a.test"]));
  const { uid, gid } = await stat(join(folder, "a.test.pem"));
  assert.deepEqual([uid, gid], [1234, 4321]);
});

test("what can't be written is told once, with the file's name, and again when it differs", async (t) => {
  const { folder, files, logged } = await setUp(t, { layout: "splitkeys" });
  await mkdir(join(folder, "a.test.key"));
  const record = makeRecord(["a.test"]);
  assert.equal(await files.deploy("a.test", record), false);
  assert.equal(await files.deploy("a.test", record), false);
  assert.equal(logged.length, 1);
  assert.match(logged[0] ?? "", /^certificate not deployed .*EISDIR/);
  assert.deepEqual(await readdir(folder), ["a.test.key"], "no chain without its key");
  await rm(join(folder, "a.test.key"), { recursive: true });
  assert.equal(await files.deploy("a.test", record), true);
  await rm(folder, { recursive: true });
  assert.equal(await files.deploy("a.test", record), false);
  assert.match(logged.at(-1) ?? "", /ENOENT/);
});

const FAULTS: readonly [why: string, change: Partial<CertificateRecord>, says: RegExp][] = [
  ["with another's key", { privateKey: makeRecord(["b.test"]).privateKey }, /is for another key/],
  ["without a key", { privateKey: "-----BEGIN EC PRIVATE KEY-----\n" }, /./],
  ["for another name", { subject: "b.test" }, /lacks the name b\.test/],
  ["that is none", { certificate: "-----BEGIN CERTIFICATE-----\n" }, /no certificate in the PEM/],
];
for (const [why, change, says] of FAULTS) {
  test(`a stored certificate ${why} isn't deployed: HAProxy wouldn't start`, async (t) => {
    const { folder, files, logged } = await setUp(t);
    const record = { ...makeRecord(["a.test"]), ...change };
    assert.equal(await files.deploy("a.test", record), false);
    assert.match(logged[0] ?? "", says);
    assert.deepEqual(await readdir(folder), []);
  });
}

test("HAProxy takes a folder of chains with their keys", async (t) => {
  if (!needProgram(t, "haproxy")) return;
  const { folder, files } = await setUp(t);
  await files.deploy("a.test", makeRecord(["a.test", "b.test"]));
  await files.deploy("_.a.test", makeRecord(["*.a.test"]));
  const [port] = await freePorts(1);
  const config = join(await temporaryFolder(t), "haproxy.cfg");
  const lines = [
    "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s",
    `frontend f\n  bind 127.0.0.1:${port} ssl strict-sni crt ${folder}\n  default_backend b`,
    "backend b\n  server one 127.0.0.1:1",
  ];
  await writeFile(config, `${lines.join("\n")}\n`);
  const { code, stdout, stderr } = await run("haproxy", ["-c", "-f", config]);
  assert.equal(code, 0, stdout + stderr);
  await writeFile(join(folder, "broken.pem"), "no certificate");
  assert.notEqual((await run("haproxy", ["-c", "-f", config])).code, 0, "it looks at them");
});

test("nginx takes a chain and its key", async (t) => {
  if (!needProgram(t, "nginx")) return;
  const { folder, files } = await setUp(t, { layout: "splitkeys" });
  await files.deploy("_.a.test", makeRecord(["*.a.test"]));
  const [port] = await freePorts(1);
  const work = await temporaryFolder(t);
  const config = join(work, "nginx.conf");
  const [chain, key] = [".pem", ".key"].map((end) => join(folder, `_.a.test${end}`));
  const server = [
    `listen 127.0.0.1:${port} ssl;`,
    `ssl_certificate ${chain}; ssl_certificate_key ${key};`,
  ];
  const http = `http { access_log off; server { ${server.join(" ")} } }`;
  await writeFile(config, `pid ${work}/pid; error_log stderr; events {}\n${http}\n`);
  const check = () => run("nginx", ["-t", "-p", work, "-c", config]);
  const { code, stderr } = await check();
  assert.equal(code, 0, stderr);
  await writeFile(key!, makeRecord(["*.a.test"]).privateKey);
  assert.notEqual((await check()).code, 0, "it looks at them");
});
