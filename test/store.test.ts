import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { setImmediate, setTimeout } from "node:timers/promises";
import tls from "node:tls";
import { type CertificateRecord, CertificateStore, ZERO_TIME } from "../lib/store.ts";
import { selfSigned } from "../lib/x509.ts";
import { runtimeCommand, temporaryFolder } from "./support.ts";

const NOW = new Date("2026-11-22T12:00:00Z");
const now = (): Date => NOW;
const golden = new URL("vectors/certs.json", import.meta.url);

function make(members: Partial<CertificateRecord> = {}): CertificateRecord {
  return {
    provider: "lego",
    issuer: "issuer",
    privateKey: "key",
    certificate: "certificate",
    subject: "example.com",
    altNames: null,
    notAfter: "2027-01-01T00:00:00Z",
    ocspResponse: null,
    nextOcspUpdate: ZERO_TIME,
    ariNextUpdate: ZERO_TIME,
    ariRenewalTime: ZERO_TIME,
    ariExplanation: "",
    ...members,
  };
}

const storeAt = (path: string): Promise<CertificateStore> => CertificateStore.open(path, now);
const contentOf = async (path: string): Promise<CertificateRecord[]> =>
  JSON.parse(await readFile(path, "utf8"));
const subjectsOf = async (path: string): Promise<string[]> =>
  (await contentOf(path)).map(({ subject }) => subject);

test("CertificateStore opens what Go wrote, and its key and certificate serve TLS", async () => {
  const store = await CertificateStore.open(golden.pathname, now);
  const record = store.find("lego", "example.com", ["www.example.com"]);
  assert.ok(record);
  assert.match(record.privateKey, /^-----BEGIN EC PRIVATE KEY-----\n/);
  tls.createSecureContext({ key: record.privateKey, cert: record.certificate });
  assert.equal(Date.parse(record.notAfter), Date.UTC(2126, 10, 22, 16, 57, 18));
  assert.equal(Date.parse(record.nextOcspUpdate), Date.UTC(2026, 10, 25, 2, 0, 0, 123));
  assert.equal(record.ocspResponse, "MAMKAQA=");
  assert.equal(record.ariExplanation, "https://example.com/a?b=<c>&d");
  const anonymous = store.find("selfsigned", "example.com", null);
  assert.equal(anonymous?.provider, "");
  assert.equal(anonymous?.nextOcspUpdate, ZERO_TIME);
  assert.match(new X509Certificate(anonymous.certificate).subject, /CN=example\.com/);
});

test("CertificateStore keeps all that Go wrote when it writes the file again", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  await writeFile(path, await readFile(golden));
  const before = await contentOf(path);
  await (await storeAt(path)).save(make({ subject: "new.example" }));
  assert.deepEqual(await contentOf(path), [...before, make({ subject: "new.example" })]);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test("CertificateStore gives a saved record back, to itself and to a new store", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const store = await storeAt(path);
  const record = make({
    altNames: ["www.example.com", "example.org"],
    ocspResponse: "MAA=",
    nextOcspUpdate: "2026-11-23T01:02:03.456+01:00",
    ariNextUpdate: "2026-11-23T00:00:00Z",
    ariRenewalTime: "2026-12-01T00:00:00Z",
    ariExplanation: 'why \u2028 "é"',
  });
  const names = ["example.com", ["example.org", "www.example.com"]] as const;
  assert.equal(store.find("lego", ...names), undefined);
  await store.save(record);
  assert.deepEqual(store.find("lego", ...names), record);
  assert.deepEqual((await storeAt(path)).find("lego", ...names), record);
  assert.deepEqual(await readdir(join(path, "..")), ["certs.json"]);
});

test("CertificateStore keeps members that it doesn't know", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const text = JSON.stringify([{ ...make(), fresh: { x: [1] } }, make({ subject: "b" })]);
  await writeFile(path, text.replace('"fresh"', '"__proto__":7,"fresh"'));
  const store = await storeAt(path);
  const found = store.find("lego", "example.com", null);
  assert.ok(found);
  await store.save({ ...found, ariExplanation: "changed" });
  const written = await readFile(path, "utf8");
  assert.match(written, /"__proto__": 7,\s+"fresh": \{\s+"x": \[\s+1\s+\]\s+\}/);
  assert.match(written, /"ariExplanation": "changed"/);
  assert.deepEqual(await subjectsOf(path), ["example.com", "b"]);
});

test("CertificateStore drops expired records and those without a time when it saves", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const times = {
    "past.example": "2026-11-22T11:59:59Z",
    "now.example": "2026-11-22T12:00:00Z",
    "soon.example": "2026-11-22T12:00:00.5Z",
    "zone.example": "2026-11-22T12:59:59+01:00",
    "zero.example": ZERO_TIME,
    "valid.example": "2030-01-01T00:00:00Z",
  };
  const records = Object.entries(times).map(([subject, notAfter]) => make({ subject, notAfter }));
  await writeFile(path, JSON.stringify(records));
  const store = await storeAt(path);
  assert.ok(store.find("lego", "past.example", null), "until the next save it is there");
  await store.save(make({ subject: "new.example" }));
  assert.deepEqual(await subjectsOf(path), ["soon.example", "valid.example", "new.example"]);
  assert.equal((await storeAt(path)).find("lego", "past.example", null), undefined);
});

test("CertificateStore replaces the record of the same provider and names", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const store = await storeAt(path);
  const providers = ["", "", "net", "net", "org"];
  for (const [i, provider] of providers.entries()) {
    const altNames = i % 2 === 0 ? ["a", "b"] : ["b", "a"];
    await store.save(make({ provider, altNames, privateKey: `key ${i}` }));
  }
  const kept = (await contentOf(path)).map(({ provider, privateKey }) => [provider, privateKey]);
  assert.deepEqual(kept, [["", "key 1"], ["net", "key 3"], ["org", "key 4"]]);
});

test("CertificateStore finds by provider, or a record without one", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const store = await storeAt(path);
  const find = (provider: string): string | undefined =>
    store.find(provider, "example.com", null)?.provider;
  await store.save(make({ provider: "net" }));
  assert.deepEqual([find("net"), find("org"), find("")], ["net", undefined, undefined]);
  await store.save(make({ provider: "" }));
  assert.deepEqual([find("net"), find("org"), find("")], ["net", "", ""]);
  await store.save(make({ provider: "org" }));
  assert.deepEqual([find("net"), find("org"), find("")], ["net", "org", ""]);
});

test("CertificateStore finds exactly the names that are asked for", async (t) => {
  const store = await storeAt(join(await temporaryFolder(t), "certs.json"));
  await store.save(make({ subject: "a", altNames: ["b", "c"] }));
  await store.save(make({ subject: "d", altNames: [] }));
  const found: readonly [string, string[] | null][] = [["a", ["b", "c"]], ["a", ["c", "b"]], [
    "d",
    null,
  ], ["d", []]];
  for (const [subject, altNames] of found) assert.ok(store.find("lego", subject, altNames));
  const missing: readonly [string, string[] | null][] = [
    ["b", ["a", "c"]],
    ["a", ["b"]],
    ["a", ["b", "c", "d"]],
    ["a", ["b", "d"]],
    ["a", null],
    ["a,b", ["c"]],
    ["a", ["b,c"]],
    ["__proto__", null],
    ["toString", null],
  ];
  for (const [subject, names] of missing) {
    assert.equal(store.find("lego", subject, names), undefined);
  }
});

test("CertificateStore.open() takes a missing file, [] and null for an empty store", async (t) => {
  const folder = await temporaryFolder(t);
  for (const text of [undefined, "[]", "null", " [ ]\n"]) {
    const path = join(folder, "certs.json");
    if (text !== undefined) await writeFile(path, text);
    const store = await storeAt(path);
    assert.equal(store.find("lego", "example.com", null), undefined);
    await store.save(make());
    assert.deepEqual(await contentOf(path), [make()]);
    await rm(path);
  }
});

test("CertificateStore.open() fills in what older versions didn't write", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const { privateKey, certificate, subject, notAfter } = make();
  const old = { privateKey, certificate, subject, notAfter, issuer: null, ariRenewalTime: null };
  await writeFile(path, JSON.stringify([old]));
  const found = (await storeAt(path)).find("lego", "example.com", null);
  assert.deepEqual(found, make({ provider: "", issuer: "" }));
});

test("CertificateStore.open() refuses what is no store, and leaves it alone", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const record = (members: Record<string, unknown>): string =>
    JSON.stringify([make(), { ...make(), ...members }]);
  const refused: readonly [string, RegExp][] = [
    ["", /is empty/],
    ["{", /not valid JSON/],
    ['[{"privateKey": "SECRET" oops}]', /not valid JSON$/],
    ["[] []", /not valid JSON/],
    ["{}", /no JSON array/],
    ['"text"', /no JSON array/],
    ["7", /no JSON array/],
    ["[1]", /record 1: privateKey: expected a string/],
    ["[null]", /record 1: privateKey: expected a string/],
    ["[[]]", /record 1: privateKey: expected a string/],
    [record({ subject: null }), /record 2: subject: expected a string/],
    [record({ certificate: 7 }), /record 2: certificate: expected a string/],
    [record({ provider: false }), /record 2: provider: expected a string/],
    [record({ altNames: "a" }), /record 2: altNames: expected an array of strings or null/],
    [record({ altNames: ["a", 1] }), /record 2: altNames: expected an array of strings or null/],
    [record({ ocspResponse: [1] }), /record 2: ocspResponse: expected a string or null/],
    [record({ notAfter: "soon" }), /record 2: notAfter: expected an RFC 3339 time/],
    [record({ notAfter: 0 }), /record 2: notAfter: expected an RFC 3339 time/],
    [record({ notAfter: "2027-01-01" }), /expected an RFC 3339 time/],
    [record({ notAfter: "2027-13-01T00:00:00Z" }), /expected an RFC 3339 time/],
    [record({ ariNextUpdate: "2027-01-01T00:00:00" }), /ariNextUpdate: expected an RFC 3339/],
  ];
  for (const [text, message] of refused) {
    await writeFile(path, text);
    await assert.rejects(storeAt(path), (error: Error) => {
      assert.match(error.message, message);
      assert.ok(error.message.includes(path));
      assert.doesNotMatch(error.message, /SECRET/);
      return true;
    }, text);
    assert.equal(await readFile(path, "utf8"), text);
  }
});

test("CertificateStore.open() refuses a folder, and more than 64 MiB", async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(storeAt(folder), { message: /it is no regular file$/ });
  await assert.rejects(storeAt("/dev/null"), { message: /it is no regular file$/ });
  const path = join(folder, "certs.json");
  await writeFile(path, "[]");
  await truncate(path, 64 * 1024 * 1024 + 1);
  await assert.rejects(storeAt(path), { message: /more than 67108864 bytes$/ });
});

test("CertificateStore.save() refuses a record that couldn't be read again", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const store = await storeAt(path);
  const bad = make({ notAfter: "Sun, 22 Nov 2026 12:00:00 GMT" });
  await assert.rejects(store.save(bad), { message: /notAfter: expected an RFC 3339 time/ });
  assert.equal(store.find("lego", "example.com", null), undefined);
  await store.save(make());
  assert.deepEqual(await contentOf(path), [make()]);
});

test("CertificateStore.save() writes in order what is saved at once", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const store = await storeAt(path);
  const saves: Promise<void>[] = [];
  for (let i = 0; i < 50; i++) {
    const subject = `${i % 25}.example`;
    const saved = store.save(make({ subject, privateKey: String(i) })).then(async () => {
      const found = (await contentOf(path)).find((record) => record.subject === subject);
      assert.ok(Number(found?.privateKey) >= i, `on disk when the promise resolves: ${i}`);
    });
    saves.push(saved);
    if (i % 3 === 0) await setImmediate(); // some come while others are written
  }
  await Promise.all(saves);
  const keys = (await contentOf(path)).map(({ privateKey }) => Number(privateKey));
  assert.deepEqual(keys, Array.from({ length: 25 }, (_, i) => i + 25));
});

test("CertificateStore merges what another process saved before it writes", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const [ours, theirs] = [await storeAt(path), await storeAt(path)];
  await ours.save(make({ subject: "ours.example" }));
  await theirs.save(make({ subject: "theirs.example" }));
  await theirs.save(make({ subject: "both.example", privateKey: "theirs" }));
  await ours.save(make({ subject: "both.example", privateKey: "ours" }));
  assert.deepEqual(await subjectsOf(path), ["ours.example", "theirs.example", "both.example"]);
  assert.ok(ours.find("lego", "theirs.example", null));
  assert.equal((await contentOf(path))[2]?.privateKey, "ours");
  await theirs.save(make({ subject: "both.example", privateKey: "theirs again" }));
  await ours.save(make({ subject: "last.example" }));
  assert.equal(
    (await contentOf(path))[2]?.privateKey,
    "theirs again",
    "what is saved is done with",
  );
});

test("CertificateStore writes a file that has gone anew, with all it held", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const store = await storeAt(path);
  await store.save(make({ subject: "a.example" }));
  await rm(path);
  await store.save(make({ subject: "b.example" }));
  assert.deepEqual(await subjectsOf(path), ["a.example", "b.example"]);
});

test("CertificateStore.save() doesn't overwrite a file that has become unreadable", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const store = await storeAt(path);
  await store.save(make({ subject: "a.example" }));
  await writeFile(path, "[{");
  await assert.rejects(store.save(make({ subject: "b.example" })), /not valid JSON$/);
  assert.equal(await readFile(path, "utf8"), "[{");
  assert.ok(store.find("lego", "a.example", null));
  assert.ok(store.find("lego", "b.example", null));
});

test("CertificateStore serves a record whose save failed, and saves it later", async (t) => {
  const folder = join(await temporaryFolder(t), "data");
  const path = join(folder, "certs.json");
  const store = await storeAt(path);
  const failing = [store.save(make({ subject: "a" })), store.save(make({ subject: "b" }))];
  const results = await Promise.allSettled(failing);
  assert.deepEqual(results.map(({ status }) => status), ["rejected", "rejected"]);
  assert.ok(store.find("lego", "a", null));
  await mkdir(folder);
  await store.save(make({ subject: "c" }));
  assert.deepEqual(await subjectsOf(path), ["a", "b", "c"]);
});

test("CertificateStore tightens the mode of a file that others could read", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  await writeFile(path, "[]");
  await chmod(path, 0o644);
  await (await storeAt(path)).save(make());
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test("CertificateStore keeps which CA issued a certificate, where that is known", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const acmeDirectory = "https://ca.example/directory";
  await (await storeAt(path)).save(make({ subject: "a", acmeDirectory }));
  await (await storeAt(path)).save(make({ subject: "b" }));
  const store = await storeAt(path);
  assert.equal(store.find("lego", "a", null)?.acmeDirectory, acmeDirectory);
  assert.ok(!("acmeDirectory" in (store.find("lego", "b", null) ?? {})));
  await writeFile(path, JSON.stringify([{ ...make(), acmeDirectory: 7 }]));
  await assert.rejects(storeAt(path), { message: /acmeDirectory: expected a string or nothing$/ });
});

test("CertificateStore writes a file in a folder that takes no lock, as a mount may be", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "certs.json");
  await writeFile(path, "[]");
  await chmod(path, 0o666);
  await chmod(folder, 0o555);
  const isRoot = process.getuid?.() === 0; // to whom a mode forbids nothing
  if (isRoot) process.seteuid?.(65534);
  try {
    await (await storeAt(path)).save(make());
    const missing = (await storeAt(join(folder, "none.json"))).save(make());
    await assert.rejects(missing, { message: `no lock can be made in ${folder}` });
  } finally {
    if (isRoot) process.seteuid?.(0);
    await chmod(folder, 0o755);
  }
  assert.deepEqual(await contentOf(path), [make()]);
  assert.deepEqual(await readdir(folder), ["certs.json"]);
});

test("CertificateStore keeps what another process renewed while a change was under way", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [older, newer] = ["2026-09-01T00:00:00Z", "2026-11-20T00:00:00Z"].map((start) =>
    selfSigned({
      ...{ names: ["example.com"], key, serial: Buffer.from("11", "hex") },
      ...{ notBefore: new Date(start), notAfter: new Date("2027-01-01T00:00:00Z") },
    })
  );
  const [one, two] = [await storeAt(path), await storeAt(path)];
  await one.save(make({ certificate: older! }));
  await two.reload();
  const old = two.find("lego", "example.com", null)!;
  await one.save(make({ certificate: newer!, notAfter: "2026-12-01T00:00:00Z" }));
  await two.update({ ...old, ariNextUpdate: "2026-11-23T00:00:00Z" });
  assert.deepEqual((await contentOf(path)).map(({ certificate }) => certificate), [newer]);
  assert.equal(two.find("lego", "example.com", null)?.certificate, newer);
  await two.update({ ...old, ariNextUpdate: "2026-11-23T00:00:00Z" });
  assert.deepEqual((await contentOf(path)).map(({ certificate }) => certificate), [newer]);
  await two.update({ ...old, certificate: newer!, ariNextUpdate: "2026-11-24T00:00:00Z" });
  assert.equal((await contentOf(path))[0]?.ariNextUpdate, "2026-11-24T00:00:00Z");
  // A new one counts, though its CA may have dated it back: by an hour, some do.
  await two.save(make({ certificate: older! }));
  assert.deepEqual((await contentOf(path)).map(({ certificate }) => certificate), [older]);
});

/** Another process that saves `<prefix>-<i>.example`; the subjects that were saved so far. */
function startWriter(t: TestContext, path: string, prefix: string, count: number) {
  const [program, ...args] = runtimeCommand("test/store-writer.ts");
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(program, [...args, path, prefix, `${count}`], { stdio: [...stdio] });
  t.after(() => child.kill("SIGKILL"));
  const saved: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => saved.push(line));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { saved, ended, kill: () => child.kill("SIGKILL") };
}

test("CertificateStore loses nothing of several processes that save at once", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const writers = ["a", "b", "c"].map((prefix) => startWriter(t, path, prefix, 80));
  const store = await storeAt(path);
  for (let i = 0; i < 80; i++) await store.save(make({ subject: `d-${i}.example` }));
  for (const { ended } of writers) assert.equal(await ended, 0);
  const wanted = ["a", "b", "c", "d"].flatMap((prefix) =>
    Array.from({ length: 80 }, (_, i) => `${prefix}-${i}.example`)
  );
  assert.deepEqual((await subjectsOf(path)).sort(), wanted.sort());
});

test("CertificateStore loses nothing when processes are killed while they save", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json");
  const saved: string[] = [];
  for (const round of ["a", "b", "c"]) {
    const names = ["x", "y"].map((name) => `${round}-${name}`);
    const writers = names.map((name) => startWriter(t, path, name, 1e6));
    const start = performance.now();
    while (!writers.some((writer) => writer.saved.length > 10)) {
      assert.ok(performance.now() - start < 120_000, "a lock of the dead is got again");
      await setTimeout(5);
      await contentOf(path).catch((error) => assert.equal(error.code, "ENOENT")); // always whole
    }
    for (const { kill, ended } of writers) {
      await setTimeout(Math.random() * 30);
      kill();
      await ended;
    }
    saved.push(...writers.flatMap((writer) => writer.saved));
  }
  const start = performance.now();
  await (await storeAt(path)).save(make({ subject: "last.example" }));
  assert.ok(performance.now() - start < 60_000);
  const kept = new Set(await subjectsOf(path));
  assert.deepEqual(saved.filter((subject) => !kept.has(subject)), []);
  assert.ok(kept.has("last.example") && saved.length > 30);
});
