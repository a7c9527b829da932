import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmod, mkdir, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { accountPath, loadAccount, saveAccount } from "../lib/account.ts";
import { temporaryFolder } from "./support.ts";

const FIRST = "https://ca.example/directory";
const SECOND = "https://other.example:14000/dir";

/** As encoding/json of Go writes it, with a key of crypto/x509. */
const GO_FILE = `{"email":"me@example.com","registration":{"body":{"status":"valid",` +
  `"contact":["mailto:me@example.com"]},"uri":"https://ca.example/acme/acct/1"},` +
  `"key":"-----BEGIN EC PRIVATE KEY-----\\n` +
  `MIGkAgEBBDDero+ByduYV4XkSSMIG7bU+J1M3NoKUr7+LtOz++sIxwciZhzHSKr8\\n` +
  `W5DH2qXnSregBwYFK4EEACKhZANiAAS8nA074Cfv5WNK453JzOZmrdhUWbT7HvXa\\n` +
  `VkpQ2eu7iAuh+iOMNlm6JwbqcTUDLmED50QI66FvH8X138vlncBWfpQLtKl2N+aE\\n` +
  `K5P8lfUGnHYRZhKBCBneh5CpYjyt/EY=\\n-----END EC PRIVATE KEY-----\\n"}`;

const p256 = ec("P-256");
function ec(namedCurve: string): KeyObject {
  return generateKeyPairSync("ec", { namedCurve }).privateKey;
}
function rsa(modulusLength: number): KeyObject {
  return generateKeyPairSync("rsa", { modulusLength }).privateKey;
}
const pem = (key: KeyObject, type: "sec1" | "pkcs1" | "pkcs8" = "sec1"): string =>
  key.export({ format: "pem", type }).toString();
const publicPem = (key: KeyObject | undefined): string =>
  key === undefined ? "none" : createPublicKey(key).export({ format: "pem", type: "spki" }) + "";
const contentOf = async (path: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(path, "utf8"));

test("loadAccount() reads what Go wrote, and saveAccount() keeps all of it", async (t) => {
  const path = join(await temporaryFolder(t), "user.pem");
  await writeFile(path, GO_FILE);
  const account = await loadAccount(path, FIRST);
  assert.ok(account);
  assert.equal(account.email, "me@example.com");
  assert.deepEqual(account.registration, JSON.parse(GO_FILE).registration);
  assert.equal(account.key.asymmetricKeyDetails?.namedCurve, "secp384r1");
  assert.deepEqual([account.directory, account.nextKey], [undefined, undefined]);
  await saveAccount(path, account);
  assert.deepEqual(await contentOf(path), JSON.parse(GO_FILE));
});

test("loadAccount() gives nothing where there is no file", async (t) => {
  const folder = await temporaryFolder(t);
  assert.equal(await loadAccount(join(folder, "user.pem"), FIRST), undefined);
  assert.equal(await loadAccount(join(folder, "none", "user.pem"), FIRST), undefined);
});

test("saveAccount() stores keys of each kind, and they come back", async (t) => {
  const path = join(await temporaryFolder(t), "user.pem");
  for (const key of [p256, ec("P-384"), rsa(2048)]) {
    const registration = { body: { status: "valid" }, uri: "https://ca.example/acct/1" };
    const account = { email: "", directory: FIRST, key, registration, nextKey: p256 };
    await saveAccount(path, account);
    const loaded = await loadAccount(path, FIRST);
    assert.equal(publicPem(loaded?.key), publicPem(key));
    assert.equal(publicPem(loaded?.nextKey), publicPem(p256));
    assert.deepEqual({ ...loaded, key, nextKey: p256 }, account);
    const label = key.asymmetricKeyType === "ec" ? "EC" : "RSA";
    assert.match(`${(await contentOf(path)).key}`, RegExp(`^-----BEGIN ${label} PRIVATE KEY-----`));
  }
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(join(path, "..")), ["user.pem"]);
});

test("loadAccount() takes a key in PKCS #8 too, and an account without registration", async (t) => {
  const path = join(await temporaryFolder(t), "user.pem");
  await writeFile(path, JSON.stringify({ key: pem(p256, "pkcs8") }));
  const loaded = await loadAccount(path, FIRST);
  assert.deepEqual({ ...loaded, key: publicPem(loaded?.key) }, {
    email: "",
    key: publicPem(p256),
    nextKey: undefined,
    registration: undefined,
  });
});

test("saveAccount() keeps members it doesn't know, and drops those that are done with", async (t) => {
  const path = join(await temporaryFolder(t), "user.pem");
  const registration = { body: {}, uri: "https://ca.example/1", more: 1 };
  const file = { email: "a@b.example", key: pem(p256), nextKey: pem(p256), registration, x: [7] };
  await writeFile(path, JSON.stringify(file));
  const loaded = await loadAccount(path, FIRST);
  assert.ok(loaded);
  await saveAccount(path, { ...loaded, nextKey: undefined });
  const { nextKey: _, ...kept } = file;
  assert.deepEqual(await contentOf(path), kept);
  await saveAccount(path, { email: "new@b.example", key: p256 }); // not spread: x stays
  assert.deepEqual(await contentOf(path), { email: "new@b.example", key: file.key, x: [7] });
});

test("loadAccount() names a damaged file and what is wrong, and saveAccount() leaves it", async (t) => {
  const path = join(await temporaryFolder(t), "user.pem");
  const ours = { email: "a@b.example", key: pem(p256) };
  const file = (members: Record<string, unknown>): string =>
    JSON.stringify({ ...ours, ...members });
  const badKey = /: key: expected a private key in PEM: P-256, P-384 or RSA from 2048 bits on$/;
  const rows: readonly [string, RegExp][] = [
    ["", /: it is empty; remove it$/],
    ['{"key": "SECRET" oops}', /: it is not valid JSON$/],
    ["null", /: it is no JSON object$/],
    ["7", /: it is no JSON object$/],
    ["[]", badKey],
    ["{}", badKey],
    [file({ key: "nope" }), badKey],
    [file({ key: 7 }), badKey],
    [file({ key: "-----BEGIN EC PRIVATE KEY-----\nSECRET\n-----END EC PRIVATE KEY-----" }), badKey],
    [file({ key: publicPem(p256) }), badKey],
    [file({ key: pem(ec("P-521")) }), badKey],
    [file({ key: pem(rsa(1024), "pkcs1") }), badKey],
    [file({ key: pem(generateKeyPairSync("ed25519").privateKey, "pkcs8") }), badKey],
    [file({ nextKey: "SECRET" }), /: nextKey: expected a private key in PEM/],
    [file({ email: 7 }), /: email: expected a string$/],
    [file({ directory: 7 }), /: directory: expected a string$/],
    [file({ registration: { uri: 7 } }), /: registration\.uri: expected a string$/],
  ];
  for (const [text, message] of rows) {
    await writeFile(path, text);
    const load = () => loadAccount(path, FIRST);
    const save = () => saveAccount(path, { email: "", key: p256 });
    for (const attempt of [load, save]) {
      await assert.rejects(attempt(), (error: Error) => {
        assert.ok(error.message.startsWith(`${path} can't be used: `));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /SECRET/);
        return true;
      });
    }
    assert.equal(await readFile(path, "utf8"), text);
  }
});

test("loadAccount() refuses a folder, and more than 1 MiB", async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(loadAccount(folder, FIRST), { message: /it is no regular file$/ });
  const path = join(folder, "user.pem");
  await writeFile(path, GO_FILE);
  await truncate(path, 1024 * 1024 + 1);
  await assert.rejects(loadAccount(path, FIRST), { message: /it has more than 1048576 bytes$/ });
});

test("saveAccount() says that it is unable to write to a path, and why", async (t) => {
  const folder = await temporaryFolder(t);
  const account = { email: "", key: p256 };
  const missing = join(folder, "none", "user.pem");
  const rejects = (path: string, code: string): Promise<void> =>
    assert.rejects(saveAccount(path, account), (error: Error) => {
      assert.equal(error.message, `unable to write to path ${path}`);
      return (error.cause as NodeJS.ErrnoException).code === code;
    });
  await rejects(missing, "ENOENT");
  const [closed, open] = [join(folder, "closed"), join(folder, "open")];
  for (const place of [closed, open]) await mkdir(place);
  await writeFile(join(open, "user.pem"), GO_FILE);
  await chmod(join(open, "user.pem"), 0o444);
  await chmod(closed, 0o555);
  for (const place of [open, folder]) await chmod(place, 0o777);
  const isRoot = process.getuid?.() === 0; // to whom a mode forbids nothing
  if (isRoot) process.seteuid?.(65534);
  try {
    await rejects(join(closed, "user.pem"), "EACCES");
    await rejects(join(open, "user.pem"), "EACCES");
  } finally {
    if (isRoot) process.seteuid?.(0);
    await chmod(closed, 0o755);
  }
  assert.equal(await readFile(join(open, "user.pem"), "utf8"), GO_FILE);
  assert.deepEqual(await readdir(closed), []);
});

test("accountPath() gives each CA a file of its own", async (t) => {
  const path = join(await temporaryFolder(t), "user.pem");
  const save = async (directory: string, first: boolean): Promise<string> => {
    const place = await accountPath(path, directory, first);
    await saveAccount(place, { email: "", key: p256, directory });
    assert.equal(await accountPath(path, directory, first), place, "and finds it again");
    return place.slice(path.length);
  };
  assert.equal(await accountPath(path, SECOND, false), `${path}.other.example_14000`);
  assert.equal(await save(FIRST, true), "");
  assert.equal(await save(SECOND, false), ".other.example_14000");
  assert.equal(await accountPath(path, FIRST, false), path, "in whatever order");
  assert.equal(await accountPath(path, SECOND, true), `${path}.other.example_14000`);
  assert.equal(await save("https://third.example/a", true), ".third.example", "it is another's");
  assert.match(await save("https://third.example/b", false), /^\.third\.example_[0-9a-f]{8}$/);
  assert.equal(await save("https://[::1]:8443/", false), ".[__1]_8443");
});

test("accountPath() takes a file of the Go program, or a damaged one, for the first CA's", async (t) => {
  const path = join(await temporaryFolder(t), "user.pem");
  for (const text of [GO_FILE, "{"]) {
    await writeFile(path, text);
    assert.equal(await accountPath(path, FIRST, true), path);
    assert.equal(await accountPath(path, SECOND, false), `${path}.other.example_14000`);
  }
});

test("An account isn't taken for one with another CA, nor replaced by one", async (t) => {
  const path = join(await temporaryFolder(t), "user.pem");
  await saveAccount(path, { email: "", key: p256, directory: FIRST });
  const message = `${path} has the account with "${FIRST}", not ${SECOND}`;
  await assert.rejects(loadAccount(path, SECOND), { message });
  const other = { email: "", key: p256, directory: SECOND };
  await assert.rejects(saveAccount(path, other), { message });
});
