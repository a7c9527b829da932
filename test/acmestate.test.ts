import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { AcmeState } from "../lib/acmestate.ts";
import { namesKey } from "../lib/addr.ts";
import { privateKeyPem } from "../lib/x509.ts";
import { temporaryFolder } from "./support.ts";

const failure = {
  count: 2,
  at: "2026-11-22T12:00:00Z",
  next: "2026-11-22T12:10:00Z",
  configuration: "",
  dns: "",
  cause: "port-unreachable",
  message: "closed",
  advice: "open it",
};
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pending = {
  directory: "https://ca.example/dir",
  url: "https://ca.example/1",
  key: privateKeyPem(privateKey),
};

test("AcmeState keeps what it is told, and forgets what is undefined", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json.acme");
  const state = await AcmeState.open(path);
  assert.deepEqual(state.get("a.example"), {});
  const saves = [state.update("a.example", { pending }), state.update("a.example", { failure })];
  assert.deepEqual(state.get("a.example"), { pending, failure }, "before it is on disk");
  await Promise.all([...saves, state.update("b.example", { provenBy: "dns-01" })]);
  assert.deepEqual((await AcmeState.open(path)).get("a.example"), { pending, failure });
  await state.update("a.example", { pending: undefined });
  await state.update("b.example", { provenBy: undefined });
  assert.equal((await AcmeState.open(path)).get("a.example").pending, undefined);
  assert.deepEqual(JSON.parse(await readFile(path, "utf8")), { "a.example": { failure } });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test("AcmeState merges members that several processes change at once", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json.acme");
  const [ours, theirs] = [await AcmeState.open(path), await AcmeState.open(path)];
  await Promise.all([
    ours.update("a.example", { pending }),
    theirs.update("a.example", { failure }),
    theirs.update("b.example", { provenBy: "http-01" }),
  ]);
  await ours.update("c.example", { provenBy: "dns-01" });
  assert.deepEqual(ours.get("a.example"), { failure, pending });
  assert.deepEqual(ours.get("b.example"), { provenBy: "http-01" });
});

test("AcmeState writes with the next change what couldn't be written", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json.acme");
  const state = await AcmeState.open(path);
  await writeFile(path, "{");
  await assert.rejects(state.update("a.example", { failure }), { message: /not valid JSON$/ });
  assert.equal(await readFile(path, "utf8"), "{", "a damaged file is left alone");
  await writeFile(path, "{}");
  await state.update("b.example", { provenBy: "dns-01" });
  assert.deepEqual((await AcmeState.open(path)).get("a.example"), { failure });
});

test("AcmeState.open() names a damaged file, and quotes nothing of it", async (t) => {
  const path = join(await temporaryFolder(t), "certs.json.acme");
  const entries = [
    ...[{ ...failure, count: "2" }, { count: 1 }, { ...failure, at: "then" }].map((one) => {
      return { failure: one };
    }),
    { failure: { ...failure, next: "later" } }, // NaN would be due for ever, and never be tried
    ...[{ key: "SECRET" }, { ...pending, key: "SECRET" }, { ...pending, url: "/1" }].map((one) => {
      return { pending: one };
    }),
    { hasty: { count: -1, at: failure.at } },
    { holds: { "https://ca.example/dir": "later" } },
    { provenBy: 7 },
  ];
  const texts = entries.map((entry) => JSON.stringify({ a: entry }));
  for (const text of [...texts, "", "[]", "7", '"text"', '{"key": "SECRET" oops}']) {
    await writeFile(path, text);
    await assert.rejects(AcmeState.open(path), (error: Error) => {
      assert.ok(error.message.startsWith(`${path} can't be used: `), error.message);
      assert.doesNotMatch(error.message, /SECRET/);
      return true;
    }, text);
  }
});

test("namesKey() is the same for the same names", () => {
  assert.equal(namesKey(["a", "c", "b"]), namesKey(["a", "b", "c"]));
});
