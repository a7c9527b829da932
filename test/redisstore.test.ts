/** The store and the leases in Redis's own server. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { LeaseError } from "../lib/lease.ts";
import { errorText, type Logger } from "../lib/log.ts";
import type { Redis } from "../lib/redis.ts";
import { RedisChallenges } from "../lib/redischallenges.ts";
import { RedisLeases } from "../lib/redislease.ts";
import { fieldOf, RedisStore } from "../lib/redisstore.ts";
import { type CertificateRecord, newRecord, ZERO_TIME } from "../lib/store.ts";
import { type Identity, issue } from "./pki.ts";
import { openRedis, quiet, type RedisServer, startRedis } from "./redispeer.ts";
import { startRawUpstream } from "./support.ts";

const HASH = "centauri:certificates";
const DAY = 86_400_000;
const golden = new URL("vectors/certs.json", import.meta.url);

function make(members: Partial<CertificateRecord> = {}): CertificateRecord {
  const record = newRecord("lego", ["example.com"], new Date(Date.now() + 90 * DAY));
  return { ...record, ...{ issuer: "issuer", privateKey: "key", certificate: "one" }, ...members };
}

/** What was logged, a line each. */
function listening(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const at = (message: string, fields = {}) =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { log: { debug() {}, info: at, warn: at, error: at }, lines };
}

interface Parts {
  readonly redis: Redis;
  readonly store: RedisStore;
  readonly leases: RedisLeases;
  readonly changed: string[][];
}

/** One machine's; it looks for changes. */
async function join(
  t: TestContext,
  server: RedisServer,
  { prefix = "centauri", log = quiet }: { prefix?: string; log?: Logger } = {},
): Promise<Parts> {
  const redis = await openRedis(t, server.port);
  const store = await RedisStore.open(redis, { prefix, log });
  const leases = new RedisLeases(redis, { prefix, store, log });
  const changed: string[][] = [];
  store.watch((names) => void changed.push([...names]), (names) => leases.holds(names));
  t.after(() => store.close());
  return { redis, store, leases, changed };
}

/** Again and again, for what takes a second on a machine that is free. */
async function eventually<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (const start = Date.now(); Date.now() - start < 60_000; await setTimeout(20)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error("it didn't happen in a minute");
}

const fieldsIn = async (server: RedisServer): Promise<string[]> =>
  (await server.run("HKEYS", HASH) as string[]).sort();

test("a record is read back equal by another store, with all its members", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const { store } = await join(t, server);
  const record = make({
    altNames: ["www.example.com", "example.org"],
    ocspResponse: "MAA=",
    nextOcspUpdate: "2026-11-23T01:02:03.456+01:00",
    ariNextUpdate: "2026-11-23T00:00:00Z",
    ariRenewalTime: "2026-12-01T00:00:00Z",
    ariExplanation: 'why \u2028 "é"',
    acmeDirectory: "https://ca.example/directory",
  });
  await store.save(record);
  assert.deepEqual(await fieldsIn(server), ["lego;example.com;example.org;www.example.com"]);
  const other = (await join(t, server)).store;
  const names = ["example.com", ["example.org", "www.example.com"]] as const;
  assert.deepEqual(other.find("lego", ...names), record);
  assert.deepEqual(store.find("lego", ...names), record);
  assert.deepEqual(other.all(), [record]);
});

test("what Go wrote is found under its fields, also without a provider", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const records: CertificateRecord[] = JSON.parse(await readFile(golden, "utf8"));
  for (const { provider, subject, altNames, ...rest } of records) {
    const field = [provider, subject, ...(altNames ?? []).toSorted()].join(";");
    const json = JSON.stringify({ provider, subject, altNames, ...rest });
    await server.run("HSET", HASH, field, json);
  }
  assert.ok((await fieldsIn(server)).includes("lego;example.com;www.example.com"));
  const { store } = await join(t, server);
  assert.equal(store.all().length, records.length);
  assert.ok(store.find("lego", "example.com", ["www.example.com"]));
  assert.equal(store.find("selfsigned", "example.com", null)?.provider, "");
});

test("saving replaces the same provider and names, and nothing else", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const { store } = await join(t, server);
  for (const altNames of [null, null, ["example.net"], ["example.net"], ["example.org"]]) {
    await store.save(make({ altNames }));
  }
  assert.equal((await fieldsIn(server)).length, 3);
  await store.save(make({ provider: "selfsigned", certificate: "other" }));
  assert.equal(store.find("lego", "example.com", null)?.certificate, "one");
  assert.equal(store.find("selfsigned", "example.com", null)?.certificate, "other");
  assert.equal(store.find("third", "example.com", null), undefined);
  await store.save(make({ provider: "", certificate: "any" }));
  assert.equal(store.find("third", "example.com", null)?.certificate, "any");
  assert.equal(store.find("lego", "example.com", null)?.certificate, "one", "the exact one first");
});

test("saving prunes what has expired or has no time, and keeps what is valid", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const past = new Date(Date.now() - 1_000).toISOString();
  for (const [subject, notAfter] of [["past", past], ["zero", ZERO_TIME], ["valid", undefined]]) {
    const record = make({ subject: subject!, ...notAfter !== undefined && { notAfter } });
    await server.run("HSET", HASH, fieldOf(record), JSON.stringify(record));
  }
  const { store } = await join(t, server);
  assert.ok(store.find("lego", "past", null), "until the next save it is there");
  await store.save(make({ subject: "new" }));
  assert.deepEqual(await fieldsIn(server), ["lego;new", "lego;valid"]);
});

test("an expired record that was renewed since it was read isn't pruned", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const notAfter = new Date(Date.now() - 1_000).toISOString();
  const old = make({ notAfter });
  await server.run("HSET", HASH, fieldOf(old), JSON.stringify(old));
  const redis = await openRedis(t, server.port);
  const store = await RedisStore.open(redis, { prefix: "centauri", log: quiet });
  const renewed = JSON.stringify(make({ certificate: "two" }));
  await server.run("HSET", HASH, fieldOf(old), renewed);
  await store.save(make({ subject: "new" }));
  assert.equal(await server.run("HGET", HASH, fieldOf(old)), renewed);
  assert.equal(store.find("lego", "example.com", null)?.certificate, "two");
});

test("two prefixes, and two databases, don't see each other's records", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const one = await join(t, server);
  await one.store.save(make());
  const two = await join(t, server, { prefix: "other" });
  assert.equal(two.store.find("lego", "example.com", null), undefined);
  assert.ok(await one.leases.take(["example.com"]));
  assert.ok(await two.leases.take(["example.com"]));
  const redis = await openRedis(t, server.port, { db: 1 });
  const elsewhere = await RedisStore.open(redis, { prefix: "centauri", log: quiet });
  assert.deepEqual(elsewhere.all(), []);
});

test("others see a new record, and one that the Go program wrote after a while", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const [one, two] = [await join(t, server), await join(t, server)];
  const start = performance.now();
  await one.store.save(make());
  await eventually(() => two.store.find("lego", "example.com", null));
  t.diagnostic(`seen after ${Math.round(performance.now() - start)} ms`);
  assert.deepEqual(two.changed, [["example.com"]]);
  assert.deepEqual(one.changed, [], "its own it knows");
  await one.store.update({ ...make(), ariExplanation: "x" });
  await eventually(() => two.store.find("lego", "example.com", null)?.ariExplanation === "x");
  const theirs = make({ subject: "go.example" });
  await server.run("HSET", HASH, fieldOf(theirs), JSON.stringify(theirs));
  await eventually(() => two.store.find("lego", "go.example", null));
});

test("an update is of the certificate that it was made for, and of no other", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const [one, two] = [await join(t, server), await join(t, server)];
  const [first, second] = [-DAY, -2 * DAY].map((from) => issue({ subject: "x", from }).cert);
  await one.store.save(make({ certificate: first! }));
  const lease = await two.leases.take(["example.com"]);
  await two.store.save(make({ certificate: second! }));
  await lease?.release();
  await one.store.update(make({ certificate: first!, ariExplanation: "late" }));
  const stored = JSON.parse(`${await server.run("HGET", HASH, "lego;example.com")}`);
  assert.equal(stored.certificate, second);
  assert.equal(one.store.find("lego", "example.com", null)?.certificate, second);
});

test("without the lease the certificate that was issued last stays, with it the owner's", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const [older, newer] = [-2 * DAY, -DAY].map((from) => issue({ subject: "x", from }).cert);
  const [one, two] = [await join(t, server), await join(t, server)];
  await one.store.save(make({ certificate: newer! }));
  await two.store.save(make({ certificate: older! }));
  const stored = async () =>
    JSON.parse(`${await server.run("HGET", HASH, "lego;example.com")}`).certificate;
  assert.equal(await stored(), newer);
  assert.equal(two.store.find("lego", "example.com", null)?.certificate, newer);
  const lease = await two.leases.take(["example.com"]);
  await two.store.save(make({ certificate: older! }));
  assert.equal(await stored(), older);
  await lease?.release();
});

test("garbage is skipped and said once, the rest is served, and what was known is put back", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const { log, lines } = listening();
  const good = make({ subject: "good" });
  const bad: readonly [field: string, value: string | Uint8Array, why: RegExp][] = [
    ["lego;json", "{", /not valid JSON/],
    ["lego;bytes", Buffer.from([0xff, 0xfe, 0]), /not valid JSON/],
    ["lego;list", "[]", /privateKey: expected a string/],
    ["lego;null", "null", /privateKey/],
    ["lego;other", JSON.stringify(make()), /other names/],
    ["lego;time", JSON.stringify(make({ subject: "time", notAfter: "soon" })), /notAfter/],
    ["lego;large", "x".repeat(300_000), /over 262144 bytes/],
    ["lego;huge", "x".repeat(3_000_000), /over 262144 bytes/],
    ["", "", /not valid JSON/],
    ["lego;\u202egnp\n", "secret", /not valid JSON/],
  ];
  for (const [field, value] of bad) await server.run("HSET", HASH, field, value);
  await server.run("HSET", HASH, "f".repeat(2_000_000), "x");
  await server.run("HSET", HASH, fieldOf(good), JSON.stringify(good));
  await server.run("SET", "centauri:changes", "x");
  const { store } = await join(t, server, { log });
  assert.deepEqual(store.all(), [good]);
  for (const [field, , why] of bad) {
    const said = lines.filter((line) => line.includes(`"field":${JSON.stringify(field)},`));
    assert.equal(said.length, 1, field);
    assert.match(said[0]!, why);
  }
  const before = lines.length;
  await store.reload();
  assert.equal(lines.length, before, "it was said");
  assert.ok(!lines.join("").includes("secret"));
  for (const value of ["{", "x".repeat(2_000_000)]) {
    await server.run("HSET", HASH, "lego;good", value);
    await store.reload();
    assert.equal(store.find("lego", "good", null)?.subject, "good", "it is served all the same");
    await eventually(async () => `${await server.run("HGET", HASH, "lego;good")}`.includes("one"));
  }
  await store.save(make({ subject: "json" }));
  assert.equal(store.find("lego", "json", null)?.certificate, "one", "garbage is replaced");
  await server.run("DEL", HASH);
  await store.reload();
  assert.equal(store.all().length, 2);
  await eventually(async () => (await fieldsIn(server)).length === 2);
});

test("a certificate that can't be served takes the place of none that can", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const of = ({ cert: certificate, keyPem: privateKey }: Identity) => ({ certificate, privateKey });
  const [good, other, old] = [issue({ subject: "x" }), issue({ subject: "x" }), -DAY / 2]
    .map((one) => of(typeof one === "number" ? issue({ subject: "x", to: one }) : one));
  const { store, changed } = await join(t, server);
  await store.save(make(good));
  const json = () => server.run("HGET", HASH, "lego;example.com");
  const before = await json();
  for (
    const bad of [
      { certificate: "nonsense" },
      { ...good!, privateKey: other!.privateKey },
      { ...good!, privateKey: "" },
      old!,
    ]
  ) {
    await server.run("HSET", HASH, "lego;example.com", JSON.stringify(make(bad)));
    await store.reload();
    assert.equal(store.find("lego", "example.com", null)?.privateKey, good!.privateKey);
    await eventually(async () => await json() === before);
  }
  assert.deepEqual(changed, []);
  await server.run("HSET", HASH, "lego;example.com", JSON.stringify(make(other)));
  await store.reload();
  assert.equal(store.find("lego", "example.com", null)?.certificate, other!.certificate);
  assert.deepEqual(changed, [["example.com"]]);
});

test("a hash that is something else fails the start, and later stops nothing", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const { log, lines } = listening();
  const { store } = await join(t, server, { log });
  await store.save(make());
  await server.run("DEL", HASH);
  await server.run("LPUSH", HASH, "x");
  await assert.rejects(store.save(make({ subject: "b" })), /WRONGTYPE/);
  await eventually(() => lines.some((line) => line.includes("can't be read or written")));
  assert.equal(store.all().length, 2, "both are served");
  await assert.rejects(join(t, server), /HSCAN: WRONGTYPE/);
  await server.run("DEL", HASH);
  await eventually(async () => (await fieldsIn(server)).length === 2);
});

test("what can't be saved is found all the same, and saved when Redis is back", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const { store } = await join(t, server);
  await store.save(make({ subject: "before" }));
  await server.stop();
  await assert.rejects(store.save(make()), { name: "RedisError" });
  assert.equal(store.find("lego", "example.com", null)?.certificate, "one");
  await server.start();
  await eventually(async () => (await fieldsIn(server)).length === 2);
});

test("a server that never answers: nothing is found, saving fails in time", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const redis = await openRedis(t, server.port, { timeout: 100 });
  const store = await RedisStore.open(redis, { prefix: "centauri", log: quiet });
  server.signal("SIGSTOP");
  t.after(() => server.signal("SIGCONT"));
  const start = performance.now();
  assert.equal(store.find("lego", "example.com", null), undefined);
  const error = await store.save(make()).then(() => assert.fail(), (error: Error) => error);
  assert.equal(errorText(error), "HGET: no answer in 100 ms");
  const leases = new RedisLeases(redis, { prefix: "centauri", store, log: quiet });
  assert.equal(await leases.take(["example.com"]), undefined);
  assert.ok(performance.now() - start < 2_000);
});

test("one has the lease, others when it is released, or its time is over", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const [one, two] = [await join(t, server), await join(t, server)];
  const names = ["example.com", "www.example.com", "a.example.com"];
  const key = "centauri:lock:example.com;a.example.com;www.example.com";
  const lease = await one.leases.take(names);
  assert.ok(lease);
  const life = Number(await server.run("PTTL", key));
  assert.ok(life > 50_000 && life <= 60_000, `${life} ms`);
  const other = ["example.com", "a.example.com", "www.example.com"];
  assert.equal(await two.leases.take(other), undefined, "the order of other names doesn't matter");
  assert.equal(await one.leases.take(names), undefined);
  assert.ok(one.leases.holds(other) && !two.leases.holds(names));
  await lease.check();
  await lease.release();
  await lease.release();
  const again = await one.leases.take(names);
  assert.ok(again, "right after it was released");
  await server.run("PEXPIRE", key, "1"); // as if a minute had passed
  const theirs = await eventually(() => two.leases.take(names));
  await assert.rejects(again.check(), LeaseError);
  assert.equal(one.leases.holds(names), false);
  await again.release();
  assert.equal(await server.run("EXISTS", key), 1, "whoever lost it removes nothing");
  await theirs.check();
  await theirs.release();
  assert.equal(await server.run("EXISTS", key), 0);
});

test("the Go program's lock is respected, and ours is one that it respects", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const { leases } = await join(t, server);
  const key = "centauri:lock:example.com";
  assert.equal(await server.run("SET", key, "go's", "NX", "PX", "60000"), "OK");
  assert.equal(await leases.take(["example.com"]), undefined);
  await server.run("DEL", key);
  const lease = await leases.take(["example.com"]);
  assert.ok(lease);
  assert.equal(await server.run("SET", key, "go's", "NX", "PX", "60000"), null);
  await lease.release();
});

test("a lease is extended when Redis has forgotten it, before others take it", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const [one, two] = [await join(t, server), await join(t, server)];
  const lease = await one.leases.take(["example.com"]);
  assert.ok(lease);
  await server.stop();
  await assert.rejects(lease.check(), LeaseError);
  assert.equal(await two.leases.take(["example.com"]), undefined);
  await server.start();
  await eventually(() => one.redis.connected && two.redis.connected);
  assert.equal(await two.leases.take(["free.example"]), undefined, "it waits for the others");
  await eventually(() => lease.check().then(() => true, () => undefined));
  assert.equal(await server.run("EXISTS", "centauri:lock:example.com"), 1);
  assert.ok(one.leases.holds(["example.com"]));
});

test("whoever takes a lease knows what others have stored, and what they have found out", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const [one, two] = [await join(t, server), await join(t, server)];
  const lease = await one.leases.take(["example.com"]);
  assert.equal(lease?.note, undefined);
  await one.store.save(make());
  const at = new Date().toISOString();
  const texts = { configuration: "c", dns: "", cause: "x", message: "m", advice: "a" };
  const failure = { count: 1, at, next: at, ...texts };
  await lease?.release({ at, entry: { failure, holds: { "https://ca.example/": at } } });
  const next = await two.leases.take(["example.com"]);
  assert.equal(two.store.find("lego", "example.com", null)?.certificate, "one");
  assert.deepEqual(JSON.parse(JSON.stringify(next?.note)), {
    at,
    entry: { failure, holds: { "https://ca.example/": at } },
  });
  await next?.release();
  for (const note of ["{", "[]", '{"at":"x"}', `{"at":"${at}","failure":1}`, "x".repeat(99_999)]) {
    await server.run("SET", "centauri:acme:example.com", note);
    const lease = await one.leases.take(["example.com"]);
    assert.ok(lease, "garbage stops nobody");
    assert.equal(lease.note, undefined);
    await lease.release();
  }
  await server.run("SET", "centauri:acme:example.com", `{"at":"${at}","pending":{"key":"x"}}`);
  assert.equal((await two.leases.take(["example.com"]))?.note, undefined, "no keys of others");
});

test("a user that may run no scripts is refused, and it is said what it needs", async (t) => {
  const server = await startRedis(t, ["--user", "x", "on", ">p", "~*", "+@all", "-eval"]);
  if (server === undefined) return;
  const redis = await openRedis(t, server.port, { username: "x", password: "p" });
  const store = await RedisStore.open(redis, { prefix: "centauri", log: quiet });
  const leases = new RedisLeases(redis, { prefix: "centauri", store, log: quiet });
  await assert.rejects(leases.probe(), /redis runs no scripts: .*EVAL/);
});

test("what a CA is to be answered is found by others until it is removed", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const [one, two] = [
    new RedisChallenges(await openRedis(t, server.port), "centauri"),
    new RedisChallenges(await openRedis(t, server.port), "centauri"),
  ];
  const { signal } = new AbortController();
  const token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
  const http = { token, keyAuthorization: `${token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI` };
  const tls = { serverName: "a.example.com", certificate: { key: "key", cert: "cert" } };
  await server.run("SET", "centauri:challenges", "garbage");
  assert.equal(await two.ask({ token }).catch(() => undefined), undefined);
  for (const answer of [http, tls]) await one.tell(answer, signal);
  assert.deepEqual(await two.ask({ token }), http);
  assert.deepEqual(await two.ask({ serverName: "a.example.com" }), tls);
  const [life = 0] = [Number(await server.run("PTTL", `centauri:challenge:http:${token}`))];
  assert.ok(life > 0 && life <= 3_600_000);
  for (const [key, value] of [[`http:${token}`, "x.y"], ["tls:a.example.com", '{"key":1}']]) {
    await server.run("SET", `centauri:challenge:${key}`, value!);
  }
  assert.equal(await two.ask({ token }), undefined, "an answer to another question");
  assert.equal(await two.ask({ serverName: "a.example.com" }), undefined);
  await one.tell({ token }, signal);
  await one.tell({ serverName: "a.example.com" }, signal);
  assert.deepEqual(await server.run("KEYS", "*"), []);
});

test("a flood of tokens that nobody knows costs Redis next to nothing", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const challenges = new RedisChallenges(await openRedis(t, server.port), "centauri");
  await server.run("CONFIG", "RESETSTAT");
  const start = performance.now();
  const token = (i: number): string => `${i}`.padStart(43, "x");
  const asked = Array.from({ length: 4_000 }, (_, i) => challenges.ask({ token: token(i) }));
  await Promise.all(asked);
  for (let i = 0; i < 20; i++) await challenges.ask({ token: token(i) });
  const most = (performance.now() - start) / 50 + 2;
  const stats = `${await server.run("INFO", "commandstats")}`;
  const calls = Number(/cmdstat_zrangebyscore:calls=(\d+)/.exec(stats)?.[1]);
  assert.ok(calls >= 2 && calls <= most, `${calls} looks, not ${most}`);
  assert.ok(!stats.includes("cmdstat_get:"));
  for (const question of [{ token: "short" }, { token: "../../etc/passwd-and-more-of-it" }]) {
    assert.equal(await challenges.ask(question), undefined);
  }
});

test("an answer waits for Redis to come back, as long as somebody wants it", async (t) => {
  const server = await startRedis(t);
  if (server === undefined) return;
  const redis = await openRedis(t, server.port);
  const challenges = new RedisChallenges(redis, "centauri");
  await server.stop();
  const token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
  const answer = { token, keyAuthorization: `${token}.x` };
  const ended = new AbortController();
  const unwanted = challenges.tell(answer, ended.signal);
  ended.abort(new Error("enough"));
  await assert.rejects(unwanted);
  const wanted = challenges.tell(answer, new AbortController().signal);
  await server.start();
  await wanted;
  assert.deepEqual(await challenges.ask({ token }), answer);
});

test("a server that answers something else is none", async (t) => {
  for (
    const [answer, why] of [
      ["+OK\r\n", /something else than a list/],
      ["*1\r\n*1\r\n:0\r\n", /something else than a text/],
      ["*2\r\n*1\r\n$1\r\n0\r\n$1\r\nx\r\n", /something else than a text/],
      ["*0\r\n", /something else than a text/],
      ["-ERR no\r\n", /HSCAN: ERR no/],
    ] as const
  ) {
    const { port } = await startRawUpstream(t, (socket) => {
      socket.on("data", (bytes) => {
        const isPing = bytes.includes("PING");
        for (let i = bytes.toString().split("*").length - 1; i > 0; i--) {
          socket.write(isPing ? "+PONG\r\n" : answer);
        }
      });
    });
    const redis = await openRedis(t, port);
    await assert.rejects(RedisStore.open(redis, { prefix: "c", log: quiet }), why);
  }
});
