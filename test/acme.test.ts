import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  verify,
} from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import {
  AcmeClient,
  AcmeError,
  type AcmeOptions,
  certificateId,
  dnsChallengeValue,
  type Order,
  toIdentifier,
} from "../lib/acme.ts";
import type { HttpAnswer, HttpRequest } from "../lib/httpsclient.ts";
import { JoseError, publicJwk, thumbprint } from "../lib/jose.ts";
import { fromPem, selfSigned } from "../lib/x509.ts";

const CA = "https://ca.example";
const NOW = Date.parse("2026-11-22T12:00:00Z");
const URN = "urn:ietf:params:acme:error:";
const newKey = (namedCurve = "P-256"): KeyObject =>
  generateKeyPairSync("ec", { namedCurve }).privateKey;
const KEY = newKey();
const [ACCOUNT, ORDER, AUTHZ, CHALLENGE] = [
  `${CA}/account/1`,
  `${CA}/order/1`,
  `${CA}/authz/1`,
  `${CA}/challenge/1`,
];
const [FINALIZE, CERT] = [`${CA}/finalize/1`, `${CA}/cert/1`];
const DIRECTORY = {
  newNonce: `${CA}/new-nonce`,
  newAccount: `${CA}/new-account`,
  newOrder: `${CA}/new-order`,
  revokeCert: `${CA}/revoke-cert`,
  keyChange: `${CA}/key-change`,
  renewalInfo: `${CA}/renewal-info/`,
  meta: {
    termsOfService: `${CA}/terms`,
    caaIdentities: ["ca.example"],
    externalAccountRequired: true,
    profiles: { shortlived: "six days" },
  },
};
const ORDER_BODY = {
  status: "pending",
  identifiers: [{ type: "dns", value: "example.com" }],
  authorizations: [AUTHZ],
  finalize: FINALIZE,
  expires: "2026-11-29T12:00:00.123456789Z",
};
const AUTHZ_BODY = {
  status: "pending",
  identifier: { type: "dns", value: "example.com" },
  challenges: [{ type: "http-01", url: CHALLENGE, status: "pending", token: "t-o_k" }],
};
const NAMES = [{ type: "dns", value: "example.com" }] as const;

interface Reply {
  readonly status?: number;
  readonly fields?: readonly string[];
  readonly body?: unknown;
  /** The nonce sent along; default a new one. "" for none. */
  readonly nonce?: string;
}

/** A POST as the server sees it; `payload` is the text. */
interface Sent {
  readonly method: string;
  readonly path: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: string;
  readonly jws: {
    readonly protected: string;
    readonly payload: string;
    readonly signature: string;
  };
}

type Script = Reply | Error | ((sent: Sent) => Reply | Error);

const refused = (status: number, type: string, detail = "why", more: object = {}): Reply => ({
  status,
  fields: ["Content-Type", "application/problem+json"],
  body: { type: URN + type, detail, ...more },
});

/**
 * A server that answers each path by the next reply of its script, the last one again and again. It
 * insists on what RFC 8555 6 says of requests: signature, one key, url, a nonce of its own, once.
 */
function fakeServer(
  scripts: Record<string, Script | readonly Script[]>,
  options: Partial<AcmeOptions> = {},
) {
  const log: Sent[] = [];
  const pauses: number[] = [];
  const nonces = new Set<string>();
  let [count, now, key] = [0, NOW, options.key ?? KEY];
  const turns = new Map<string, number>();
  const all: typeof scripts = {
    "/directory": { body: DIRECTORY, nonce: "" },
    "/new-nonce": {},
    "/new-account": { status: 201, fields: ["Location", ACCOUNT], body: { status: "valid" } },
    "/new-order": { status: 201, fields: ["Location", ORDER], body: ORDER_BODY },
    "/order/1": { body: ORDER_BODY },
    "/authz/1": { body: AUTHZ_BODY },
    "/challenge/1": { body: AUTHZ_BODY.challenges[0] },
    "/key-change": {},
    "/revoke-cert": {},
    "/account/1": { body: { status: "valid", contact: ["mailto:a@example.com"] } },
    ...scripts,
  };
  const http = async ({ method, url, fields = [], body }: HttpRequest): Promise<HttpAnswer> => {
    const path = url.slice(CA.length);
    assert.ok(url.startsWith(`${CA}/`), url);
    const sent = method === "POST" ? read(String(body), url) : undefined;
    if (sent) assert.deepEqual(fields.slice(0, 2), ["Content-Type", "application/jose+json"]);
    log.push({ header: {}, payload: "", jws: read.none, ...sent, method, path });
    const script = all[path];
    assert.ok(script !== undefined, `no script for ${path}`);
    const list = Array.isArray(script) ? script as readonly Script[] : [script as Script];
    const turn = turns.get(path) ?? 0;
    turns.set(path, turn + 1);
    const next = list[Math.min(turn, list.length - 1)]!;
    const reply = typeof next === "function" ? next(log.at(-1)!) : next;
    if (reply instanceof Error) throw reply;
    const nonce = reply.nonce ?? `nonce-${++count}`;
    nonces.add(nonce);
    const content = reply.body ?? {};
    const raw = typeof content === "string" ? content : JSON.stringify(content);
    return {
      status: reply.status ?? 200,
      fields: [
        ...["Date", new Date(now + 5_000).toUTCString()],
        ...nonce ? ["replay-nonce", nonce] : [],
        ...reply.fields ?? [],
      ],
      body: Buffer.from(method === "HEAD" ? "" : raw),
    };
  };
  const read = (body: string, url: string) => {
    const jws = JSON.parse(body);
    assert.deepEqual(Object.keys(jws), ["protected", "payload", "signature"]);
    const header = JSON.parse(Buffer.from(jws.protected, "base64url").toString());
    assert.equal(header.url, url);
    assert.ok(nonces.delete(header.nonce), `${header.nonce}: not of this server, or used`);
    assert.notEqual(header.jwk === undefined, header.kid === undefined, "one of jwk and kid");
    if (header.jwk) assert.ok(isSigned(jws, createPublicKey({ key: header.jwk, format: "jwk" })));
    else assert.ok(header.kid === ACCOUNT && isSigned(jws, createPublicKey(key)));
    return { header, payload: Buffer.from(jws.payload, "base64url").toString(), jws };
  };
  read.none = { protected: "", payload: "", signature: "" };
  const client = new AcmeClient({
    directory: `${CA}/directory`,
    http,
    key,
    accountUrl: ACCOUNT,
    now: () => now,
    wait: async (ms) => {
      pauses.push(ms);
      now += ms;
    },
    ...options,
  });
  return {
    client,
    log,
    pauses,
    /** `METHOD path` of each request. */
    paths: () => log.map(({ method, path }) => `${method} ${path}`),
    pass: (ms: number) => now += ms,
    setKey: (other: KeyObject) => key = other,
  };
}

function isSigned(jws: Sent["jws"], key: KeyObject): boolean {
  const input = Buffer.from(`${jws.protected}.${jws.payload}`);
  const hash = key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? "sha384" : "sha256";
  const signature = Buffer.from(jws.signature, "base64url");
  return verify(hash, input, { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** What it rejects with, as AcmeError. */
async function failure(promise: Promise<unknown>): Promise<AcmeError> {
  const error = await promise.then(() => assert.fail("resolved"), (error) => error);
  assert.ok(error instanceof AcmeError, String(error.stack));
  return error;
}

const pem = (name: string): string =>
  selfSigned({
    names: [name],
    key: KEY,
    serial: Buffer.of(1),
    notBefore: new Date(NOW),
    notAfter: new Date(NOW + 1e9),
  });

const CHAIN = pem("leaf.example") + pem("Default-CA");

test("a certificate takes 9 requests, the fewest the protocol allows", async () => {
  const server = fakeServer({
    "/authz/1": [{ body: AUTHZ_BODY }, { body: { ...AUTHZ_BODY, status: "valid" } }],
    "/finalize/1": { body: { ...ORDER_BODY, status: "valid", certificate: CERT } },
    "/cert/1": { body: CHAIN },
  }, { accountUrl: undefined });
  const { client, log } = server;
  const account = await client.newAccount({ contact: ["mailto:a@example.com"] });
  assert.deepEqual([account.url, account.body, client.accountUrl], [
    ACCOUNT,
    { status: "valid" },
    ACCOUNT,
  ]);
  const order = await client.newOrder({ identifiers: NAMES });
  assert.equal(order.url, ORDER);
  const { challenges: [challenge] } = await client.getAuthorization(order.authorizations[0]!);
  assert.equal(client.keyAuthorization(challenge!.token!), `t-o_k.${thumbprint(KEY)}`);
  await client.respond(challenge!.url);
  assert.equal((await client.waitForAuthorization(AUTHZ)).status, "valid");
  const done = await client.finalize(order, Buffer.from("csr"));
  assert.equal(await client.getCertificate(done.certificate!), CHAIN);
  assert.deepEqual(server.paths(), [
    "GET /directory",
    "HEAD /new-nonce",
    "POST /new-account",
    "POST /new-order",
    "POST /authz/1",
    "POST /challenge/1",
    "POST /authz/1",
    "POST /finalize/1",
    "POST /cert/1",
  ]);
  assert.deepEqual(server.pauses, [200]);
  const payloads = log.slice(2).map(({ payload }) => payload);
  const expected = { termsOfServiceAgreed: true, contact: ["mailto:a@example.com"] };
  assert.deepEqual(payloads, [
    JSON.stringify(expected),
    JSON.stringify({ identifiers: NAMES }),
    "",
    "{}",
    "",
    JSON.stringify({ csr: Buffer.from("csr").toString("base64url") }),
    "",
  ]);
  assert.deepEqual(log[2]?.header.jwk, publicJwk(KEY), "newAccount is signed by the key itself");
  assert.ok(log.slice(3).every(({ header }) => header.kid === ACCOUNT));
});

test("getDirectory() is asked for once a day, and again after a failure", async () => {
  const server = fakeServer({
    "/directory": [{ status: 400, body: "" }, { body: DIRECTORY }],
  });
  const { client } = server;
  await failure(client.getDirectory());
  const [directory] = await Promise.all([client.getDirectory(), client.getDirectory()]);
  assert.deepEqual(directory.meta.profiles, new Set(["shortlived"]));
  assert.equal(directory.meta.externalAccountRequired, true);
  assert.deepEqual(directory.meta.caaIdentities, ["ca.example"]);
  assert.deepEqual(directory.meta.issuerDomainNames, []);
  server.pass(23 * 3_600_000);
  await client.getDirectory();
  assert.equal(server.log.length, 2);
  server.pass(3_600_001);
  await client.getDirectory();
  assert.equal(server.log.length, 3);
});

test("clockSkew is what the server's Date says", async () => {
  const { client } = fakeServer({});
  assert.equal(client.clockSkew, undefined);
  await client.getDirectory();
  assert.equal(client.clockSkew, 5_000);
});

test("a request is sent again after badNonce, with the nonce of the refusal", async () => {
  const bad = refused(400, "badNonce");
  const server = fakeServer({ "/order/1": [bad, bad, { body: ORDER_BODY }] });
  await server.client.getOrder(ORDER);
  const head = ["GET /directory", "HEAD /new-nonce"];
  assert.deepEqual(server.paths(), [...head, ...Array(3).fill("POST /order/1")]);
  assert.deepEqual(server.log.slice(3).map(({ header }) => header.nonce), ["nonce-2", "nonce-3"]);
});

test("a request isn't sent more than 101 times for its nonce", async () => {
  const server = fakeServer({ "/new-order": refused(400, "badNonce") });
  assert.equal((await failure(server.client.newOrder({ identifiers: NAMES }))).type, "badNonce");
  assert.equal(server.paths().filter((path) => path === "POST /new-order").length, 101);
});

test("nonces that aren't base64url are ignored, and newNonce without one is an error", async () => {
  const server = fakeServer({ "/order/1": { body: ORDER_BODY, nonce: "bad nonce" } });
  await server.client.getOrder(ORDER);
  await server.client.getOrder(ORDER);
  assert.equal(server.paths().filter((path) => path === "HEAD /new-nonce").length, 2);
  const { client } = fakeServer({ "/new-nonce": { nonce: "" } });
  const { message } = await failure(client.getOrder(ORDER));
  assert.match(message, /ACME newNonce: "expected a Replay-Nonce field in base64url"/);
});

test("a nonce isn't used again after the network failed", async () => {
  const server = fakeServer({ "/order/1": [new Error("reset"), { body: ORDER_BODY }] });
  await server.client.getOrder(ORDER);
  assert.deepEqual(server.paths().slice(1), [
    "HEAD /new-nonce",
    "POST /order/1",
    "HEAD /new-nonce",
    "POST /order/1",
  ]);
});

test("the latest nonce is used first: older ones may be forgotten", async () => {
  const { client, log } = fakeServer({});
  await Promise.all([client.getOrder(ORDER), client.getOrder(ORDER)]);
  await client.getOrder(ORDER);
  await client.getOrder(ORDER);
  const [third, fourth] = log.slice(-2).map(({ header }) => header.nonce);
  assert.deepEqual([third, fourth], ["nonce-4", "nonce-5"]);
});

test("a key that can't sign is said so at once", async () => {
  const { client, pauses } = fakeServer({}, { key: newKey("P-521") });
  await assert.rejects(client.getOrder(ORDER), JoseError);
  assert.deepEqual(pauses, []);
});

test("requests side by side each have a nonce of their own", async () => {
  const { client } = fakeServer({});
  await Promise.all(Array.from({ length: 20 }, () => client.getOrder(ORDER)));
  await Promise.all(Array.from({ length: 20 }, () => client.getOrder(ORDER)));
});

test("what changes nothing is repeated when the server fails, as it says", async () => {
  const busy = { status: 503, fields: ["Retry-After", "7"], body: "<html>busy</html>" };
  const server = fakeServer({
    "/order/1": [new Error("reset"), busy, { status: 500 }, { body: ORDER_BODY }],
  });
  await server.client.getOrder(ORDER);
  assert.deepEqual(server.pauses, [800, 7_000, 3_200]);
  const down = fakeServer({ "/order/1": { status: 502, body: "" } });
  assert.equal((await failure(down.client.getOrder(ORDER))).problem.status, 502);
  assert.equal(down.paths().filter((path) => path === "POST /order/1").length, 5);
  const later = { status: 503, fields: ["Retry-After", "3600"] };
  const long = fakeServer({ "/order/1": later });
  assert.equal((await failure(long.client.getOrder(ORDER))).retryAfter, 3_600_000);
  assert.deepEqual(long.pauses, []);
});

test("what may change something is sent once", async () => {
  const server = fakeServer({ "/new-order": [new Error("reset"), { body: ORDER_BODY }] });
  await assert.rejects(server.client.newOrder({ identifiers: NAMES }), /^Error: reset$/);
  const other = fakeServer({ "/new-order": { status: 500 } });
  await failure(other.client.newOrder({ identifiers: NAMES }));
  assert.equal(other.paths().filter((path) => path === "POST /new-order").length, 1);
});

test("newAccount() binds an external account with each hash", async () => {
  const secret = Buffer.from("f".repeat(63) + "\xff", "latin1");
  for (
    const [algorithm, hash, hmac] of [
      [undefined, "sha256", secret.toString("base64url")],
      ["HS384", "sha384", secret.toString("base64")],
      ["HS512", "sha512", secret.toString("base64url")],
    ] as const
  ) {
    const { client, log } = fakeServer({});
    const externalAccount = { kid: "kid-1", hmac, ...algorithm && { algorithm } };
    await client.newAccount({ externalAccount, onlyReturnExisting: true });
    const { onlyReturnExisting, externalAccountBinding: jws } = JSON.parse(log.at(-1)!.payload);
    assert.equal(onlyReturnExisting, true);
    const input = `${jws.protected}.${jws.payload}`;
    assert.equal(createHmac(hash, secret).update(input).digest("base64url"), jws.signature);
    assert.deepEqual(JSON.parse(Buffer.from(jws.protected, "base64url").toString()), {
      alg: algorithm ?? "HS256",
      kid: "kid-1",
      url: `${CA}/new-account`,
    });
    const payload = JSON.parse(Buffer.from(jws.payload, "base64url").toString());
    assert.deepEqual(payload, publicJwk(KEY));
  }
});

test("newAccount() needs a Location; a relative one is resolved", async () => {
  const reply = (...fields: string[]) => fakeServer({ "/new-account": { fields, body: {} } });
  const account = await reply("Location", "/account/1").client.newAccount();
  assert.equal(account.url, ACCOUNT);
  for (const fields of [[], ["Location", ""], ["Location", "ftp://ca.example/"]]) {
    const { message } = await failure(reply(...fields).client.newAccount());
    assert.match(message, /newAccount with 200: "expected a Location field with a URL"/);
  }
});

test("updateAccount() and deactivateAccount() post to the account", async () => {
  const { client, log } = fakeServer({});
  await client.updateAccount(["mailto:b@example.com"]);
  await client.deactivateAccount();
  const payloads = log.slice(-2).map(({ path, payload }) => [path, payload]);
  assert.deepEqual(payloads, [
    ["/account/1", '{"contact":["mailto:b@example.com"]}'],
    ["/account/1", '{"status":"deactivated"}'],
  ]);
  const nobody = fakeServer({}, { accountUrl: undefined }).client;
  await assert.rejects(
    async () => nobody.updateAccount([]),
    /expected newAccount\(\) to be called/,
  );
});

test("keyChange() has the new key take what the old one gives, then uses it", async () => {
  const server = fakeServer({});
  const next = newKey("P-384");
  await server.client.keyChange(next);
  const { header, payload } = server.log.at(-1)!;
  assert.equal(header.kid, ACCOUNT);
  const inner = JSON.parse(payload);
  assert.ok(isSigned(inner, createPublicKey(next)));
  assert.deepEqual(JSON.parse(Buffer.from(inner.protected, "base64url").toString()), {
    alg: "ES384",
    jwk: publicJwk(next),
    url: `${CA}/key-change`,
  });
  const content = JSON.parse(Buffer.from(inner.payload, "base64url").toString());
  assert.deepEqual(content, { account: ACCOUNT, oldKey: publicJwk(KEY) });
  server.setKey(next);
  await server.client.getOrder(ORDER);
  assert.equal(server.client.keyAuthorization("t"), `t.${thumbprint(next)}`);
});

test("keyChange() keeps the old key when it is refused", async () => {
  const { client } = fakeServer({ "/key-change": { status: 409, fields: ["Location", ACCOUNT] } });
  assert.equal((await failure(client.keyChange(newKey()))).problem.status, 409);
  assert.equal(client.keyAuthorization("t"), `t.${thumbprint(KEY)}`);
});

test("newOrder() asks for a profile and a certificate to replace", async () => {
  const { client, log } = fakeServer({});
  await client.newOrder({
    identifiers: [toIdentifier("192.0.2.1")],
    profile: "shortlived",
    replaces: "a.b",
  });
  assert.deepEqual(JSON.parse(log.at(-1)!.payload), {
    identifiers: [{ type: "ip", value: "192.0.2.1" }],
    profile: "shortlived",
    replaces: "a.b",
  });
});

test("newOrder() doesn't ask for what the CA doesn't have", async () => {
  const { renewalInfo: _, ...plain } = DIRECTORY;
  const { client, log } = fakeServer({ "/directory": { body: { ...plain, meta: null } } });
  const error = await failure(client.newOrder({ identifiers: NAMES, profile: "classic" }));
  assert.equal(error.type, "invalidProfile");
  assert.match(error.message, /^ACME profile: invalidProfile "no classic, only: "$/);
  await client.newOrder({ identifiers: NAMES, replaces: "a.b" });
  assert.deepEqual(JSON.parse(log.at(-1)!.payload), { identifiers: NAMES });
});

test("newOrder() goes without replaces when that may be why it was refused", async () => {
  const { "/new-order": made } = { "/new-order": { status: 201, fields: ["Location", ORDER] } };
  const rows = [
    [409, "alreadyReplaced", true],
    [404, "malformed", true],
    [400, "malformed", true],
    [403, "unauthorized", true],
    [500, "serverInternal", true],
    [429, "rateLimited", false],
    [401, "unauthorized", false],
    [503, "serverInternal", false],
  ] as const;
  for (const [status, type, again] of rows) {
    const taken = { ...made, body: ORDER_BODY };
    const server = fakeServer({ "/new-order": [refused(status, type), taken] });
    const ordered = server.client.newOrder({ identifiers: NAMES, replaces: "a.b" });
    if (again) assert.equal((await ordered).url, ORDER);
    else assert.equal((await failure(ordered)).type, type);
    assert.equal(server.log.length, again ? 4 : 3, type);
    if (again) assert.deepEqual(JSON.parse(server.log.at(-1)!.payload), { identifiers: NAMES });
  }
  const never = fakeServer({ "/new-order": refused(409, "alreadyReplaced") });
  await failure(never.client.newOrder({ identifiers: NAMES, replaces: "a.b" }));
  assert.equal(never.log.length, 4, "once");
});

test("waitForAuthorization() looks soon, then less and less often", async () => {
  const pending = Array(7).fill({ body: AUTHZ_BODY });
  const server = fakeServer({
    "/authz/1": [...pending, { body: { ...AUTHZ_BODY, status: "valid" } }],
  });
  await server.client.waitForAuthorization(AUTHZ);
  assert.deepEqual(server.pauses, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
});

test("waitForAuthorization() waits as Retry-After says, in both forms, within limits", async () => {
  const after = (value: string) => ({ fields: ["Retry-After", value], body: AUTHZ_BODY });
  const server = fakeServer({
    "/authz/1": [
      after("3"),
      after(new Date(NOW + 5_000 + 200 + 3_000 + 10_000).toUTCString()), // on the server's clock
      after("0"),
      after("Sun, 06 Nov 1994 08:49:37 GMT"),
      after("-1"),
      after("soon"),
      { body: { ...AUTHZ_BODY, status: "valid" } },
    ],
  });
  await server.client.waitForAuthorization(AUTHZ);
  const [first, second, third, fourth, ...others] = server.pauses;
  assert.deepEqual([first, second, fourth], [200, 3_000, 200]);
  assert.ok(third! > 9_000 && third! <= 10_000, `${third}`); // a Date has no milliseconds
  assert.deepEqual(others, [200, 5_000, 5_000]);
  const forever = fakeServer({ "/authz/1": after("9".repeat(99)) });
  const { message } = await failure(forever.client.waitForAuthorization(AUTHZ));
  assert.match(message, /took too long: "authorization: still pending"/);
});

test("waitForAuthorization() gives up after an hour", async () => {
  const server = fakeServer({ "/authz/1": { body: AUTHZ_BODY } });
  await failure(server.client.waitForAuthorization(AUTHZ));
  const passed = server.pauses.reduce((sum, ms) => sum + ms);
  assert.ok(passed > 3_590_000 && passed <= 3_600_000);
});

test("waitForAuthorization() rejects with the failed challenge's own problem", async () => {
  const error = { type: `${URN}dns`, detail: "no A record\u001b[2J", status: 400 };
  const [challenge] = AUTHZ_BODY.challenges;
  const other = { ...challenge, type: "dns-01", status: "pending" };
  const challenges = [other, { ...challenge, status: "invalid", error }];
  const server = fakeServer({
    "/authz/1": { body: { ...AUTHZ_BODY, status: "invalid", wildcard: true, challenges } },
  });
  const caught = await failure(server.client.waitForAuthorization(AUTHZ));
  assert.equal(caught.type, "dns");
  assert.deepEqual(caught.problem.identifier, { type: "dns", value: "example.com" });
  const message = 'ACME server refused http-01 for *.example.com: dns "no A record\\u001b[2J"';
  assert.equal(caught.message, message);
  const silent = fakeServer({ "/authz/1": { body: { ...AUTHZ_BODY, status: "expired" } } });
  const { type, message: text } = await failure(silent.client.waitForAuthorization(AUTHZ));
  assert.deepEqual([type, text.includes("the authorization is expired")], ["", true]);
});

test("finalize() asks nothing when it is known how the order ends", async () => {
  const error = { type: `${URN}caa`, detail: "forbidden", status: 503 };
  const server = fakeServer({ "/order/1": { body: { ...ORDER_BODY, status: "invalid", error } } });
  const invalid = await server.client.getOrder(ORDER);
  const asked = server.log.length;
  const caught = await failure(server.client.finalize(invalid, Buffer.of(1)));
  assert.equal(caught.message, 'ACME server made the order invalid: caa "forbidden"');
  const { error: _, ...other } = { ...invalid, status: "deactivated" };
  await failure(server.client.finalize({ ...other, error: undefined }, Buffer.of(1)));
  assert.equal(server.log.length, asked);
});

const orderIs = (status: string, more: object = {}): Reply => ({
  body: { ...ORDER_BODY, status, ...more },
});
const VALID = orderIs("valid", { certificate: CERT });

/** An order of that state, as newOrder() would give it. */
async function orderOf(client: AcmeClient, status: string): Promise<Order> {
  return { ...await client.newOrder({ identifiers: NAMES }), status };
}

test("finalize() polls an order that is processing, and keeps its URL", async () => {
  const server = fakeServer({
    "/finalize/1": { ...orderIs("processing"), fields: ["Retry-After", "2", "Location", "/other"] },
    "/order/1": [orderIs("processing"), VALID],
  });
  const order = await server.client.finalize(await orderOf(server.client, "ready"), Buffer.of(1));
  assert.deepEqual([order.url, order.certificate], [ORDER, CERT]);
  assert.deepEqual(server.pauses, [2_000, 400]);
});

test("finalize() takes an order up where an earlier run left it", async () => {
  const server = fakeServer({ "/order/1": VALID });
  const { client } = server;
  assert.equal(
    (await client.finalize(await orderOf(client, "processing"), Buffer.of(1))).status,
    "valid",
  );
  const valid = { ...await orderOf(client, "valid"), certificate: CERT };
  assert.equal(await client.finalize(valid, Buffer.of(1)), valid);
  assert.ok(!server.paths().includes("POST /finalize/1"));
});

test("finalize() waits for an order that isn't ready, and asks again", async () => {
  const server = fakeServer({
    "/finalize/1": [refused(403, "orderNotReady"), VALID],
    "/order/1": [orderIs("pending"), orderIs("ready")],
  });
  await server.client.finalize(await orderOf(server.client, "pending"), Buffer.of(1));
  const paths = server.paths().slice(3);
  const look = "POST /order/1";
  assert.deepEqual(paths, ["POST /finalize/1", look, look, "POST /finalize/1"]);
});

test("finalize() asks for the order's state when its answer was lost", async () => {
  for (const lost of [new Error("reset"), { status: 504, body: "" }]) {
    const server = fakeServer({ "/finalize/1": lost, "/order/1": [orderIs("processing"), VALID] });
    await server.client.finalize(await orderOf(server.client, "ready"), Buffer.of(1));
    assert.equal(server.paths().filter((path) => path === "POST /finalize/1").length, 1);
  }
});

test("finalize() asks once for an order that ends meanwhile", async () => {
  const error = { type: `${URN}serverInternal`, detail: "gone", status: 500 };
  const server = fakeServer({
    "/finalize/1": { status: 504, body: "" },
    "/order/1": orderIs("invalid", { error }),
  });
  const order = await orderOf(server.client, "ready");
  const { message } = await failure(server.client.finalize(order, Buffer.of(1)));
  assert.equal(message, 'ACME server made the order invalid: serverInternal "gone"');
  assert.equal(server.paths().filter((path) => path === "POST /order/1").length, 1);
});

test("finalize() gives up on a refusal, and on an order that never is ready", async () => {
  const bad = fakeServer({ "/finalize/1": refused(400, "badCSR") });
  const order = await orderOf(bad.client, "ready");
  assert.equal((await failure(bad.client.finalize(order, Buffer.of(1)))).type, "badCSR");
  const server = fakeServer({
    "/finalize/1": refused(403, "orderNotReady"),
    "/order/1": orderIs("ready"),
  });
  assert.equal((await failure(server.client.finalize(order, Buffer.of(1)))).type, "orderNotReady");
  assert.equal(server.paths().filter((path) => path === "POST /finalize/1").length, 5);
  const without = fakeServer({ "/finalize/1": orderIs("valid") });
  const { message } = await failure(without.client.finalize(order, Buffer.of(1)));
  assert.match(message, /expected a certificate's URL/);
});

test("getCertificate() takes the chain of the preferred issuer", async () => {
  const links = [
    ...["Link", `<${CA}/directory>;rel="index", </cert/2>; title="a,b;rel=x"; rel="alternate"`],
    ...["link", `<${CA}/cert/3>;REL=Alternate;x`],
  ];
  const chain = (name: string) => pem("leaf.example") + pem(name);
  const scripts = {
    "/cert/1": { fields: links, body: chain("Default-CA") },
    "/cert/2": { body: chain("Second-CA") },
    "/cert/3": { body: chain("Third-CA") },
  };
  const rows = [
    [undefined, "Default-CA", 1],
    ["Default-CA", "Default-CA", 1],
    ["Second-CA", "Second-CA", 2],
    ["Third-CA", "Third-CA", 3],
    ["leaf.example", "Default-CA", 3],
  ] as const;
  for (const [preferred, issuer, requests] of rows) {
    const seen = new Map<string, string>();
    const chains = Object.entries(scripts).map(([path, reply]) => [path, () => {
      seen.set(path, reply.body);
      return reply;
    }]);
    const { client } = fakeServer(Object.fromEntries(chains));
    const got = await client.getCertificate(CERT, preferred);
    const path = [...seen].find(([, body]) => body === got)?.[0];
    assert.equal(path, Object.entries(scripts).find(([, r]) => r.body === got)?.[0]);
    assert.equal(
      got,
      Object.values(scripts)[["Default-CA", "Second-CA", "Third-CA"].indexOf(issuer)]?.body,
    );
    assert.equal(seen.size, requests);
  }
});

test("getCertificate() gives the default chain when another can't be had", async () => {
  const link = ["Link", '</cert/2>;rel="alternate", </cert/3>; rel=alternate'];
  const first = { fields: link, body: CHAIN };
  for (const gone of [{ status: 404 }, { body: "no chain" }, new Error("reset")]) {
    const other = pem("leaf.example") + pem("Third-CA");
    const { client } = fakeServer({ "/cert/1": first, "/cert/2": gone, "/cert/3": gone });
    assert.equal(await client.getCertificate(CERT, "Third-CA"), CHAIN);
    const half = fakeServer({ "/cert/1": first, "/cert/2": gone, "/cert/3": { body: other } });
    assert.equal(await half.client.getCertificate(CERT, "Third-CA"), other);
  }
});

test("getCertificate() takes nothing but certificates out of the answer", async () => {
  const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  const { client } = fakeServer({ "/cert/1": { body: `${key}\r\n${CHAIN}# end\n` } });
  assert.equal(await client.getCertificate(CERT), CHAIN);
  const block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  for (const body of ["", key, block, CHAIN.repeat(6)]) {
    const { message } = await failure(
      fakeServer({ "/cert/1": { body } }).client.getCertificate(CERT),
    );
    assert.match(message, /^ACME server answered certificate with 200: "/);
  }
});

test("revokeCertificate() is signed by the account or the certificate's key", async () => {
  const { client, log } = fakeServer({});
  await client.revokeCertificate(Buffer.of(1, 2));
  await client.revokeCertificate(Buffer.of(1, 2), KEY);
  const [byAccount, byKey] = log.slice(-2);
  assert.deepEqual(JSON.parse(byAccount!.payload), { certificate: "AQI" });
  assert.deepEqual([byAccount!.header.kid, byKey!.header.kid], [ACCOUNT, undefined]);
  assert.deepEqual(byKey!.header.jwk, publicJwk(KEY));
});

test("revokeCertificate() is content with one that was revoked before", async () => {
  await fakeServer({ "/revoke-cert": refused(400, "alreadyRevoked") }).client.revokeCertificate(
    Buffer.of(1),
  );
  const { client } = fakeServer({ "/revoke-cert": refused(403, "unauthorized") });
  assert.equal((await failure(client.revokeCertificate(Buffer.of(1)))).type, "unauthorized");
});

const WINDOW = { start: "2026-12-01T00:00:00Z", end: "2026-12-02T02:00:00+02:00" };

test("renewalInfo() gives the window and when to ask again, within limits", async () => {
  for (
    const [fields, retryAfter] of [
      [[], 21_600_000],
      [["Retry-After", "3600"], 3_600_000],
      [["Retry-After", "1"], 60_000],
      [["Retry-After", "0"], 60_000],
      [["Retry-After", "999999999999"], 86_400_000],
    ] as const
  ) {
    const explanationURL = "https://ca.example/incident";
    const body = { suggestedWindow: WINDOW, explanationURL };
    const { client, log } = fakeServer({ "/renewal-info/a.b": { fields, body, nonce: "" } });
    assert.deepEqual(await client.renewalInfo("a.b"), {
      url: `${CA}/renewal-info/a.b`,
      ...{ start: new Date("2026-12-01T00:00:00Z"), end: new Date("2026-12-02T00:00:00Z") },
      explanationUrl: explanationURL,
      retryAfter,
    });
    assert.deepEqual(log.map(({ method }) => method), ["GET", "GET"]);
  }
});

test("renewalInfo() is undefined where there is none, and refuses bad windows", async () => {
  const { renewalInfo: _, ...plain } = DIRECTORY;
  const without = fakeServer({ "/directory": { body: plain } });
  assert.equal(await without.client.renewalInfo("a.b"), undefined);
  const { start, end } = WINDOW;
  const bad = [
    {},
    { start },
    { start: end, end: start },
    { start, end: start },
    { start: "2026-13-01T00:00:00Z", end },
    { start: 5, end },
    { start: "tomorrow", end },
    { start, end: "9999-12-31T23:59:59-23:59" }, // year 10000
  ];
  for (const suggestedWindow of bad) {
    const { client } = fakeServer({ "/renewal-info/a.b": { body: { suggestedWindow } } });
    assert.match((await failure(client.renewalInfo("a.b"))).message, /"expected /);
  }
  assert.equal(
    (await failure(fakeServer({ "/renewal-info/a.b": { status: 404 } }).client.renewalInfo("a.b")))
      .problem.status,
    404,
  );
});

test("AcmeError keeps the problem, its subproblems and when to try again", async () => {
  const { client } = fakeServer({
    "/new-order": {
      status: 403,
      fields: ["Retry-After", "60"],
      body: {
        type: `${URN}userActionRequired`,
        detail: "agree",
        instance: `${CA}/terms-2`,
        algorithms: ["ES256"],
        subproblems: [
          { type: `${URN}caa`, detail: "no", identifier: { type: "dns", value: "a.example" } },
          { detail: "nested", subproblems: [{}] },
        ],
      },
    },
  });
  const error = await failure(client.newOrder({ identifiers: NAMES }));
  assert.equal(error.type, "userActionRequired");
  assert.equal(error.retryAfter, 60_000);
  const { problem } = error;
  assert.deepEqual([problem.status, problem.instance], [403, `${CA}/terms-2`]);
  assert.deepEqual(problem.algorithms, ["ES256"]);
  assert.deepEqual(problem.subproblems.map(({ type, subproblems }) => [type, subproblems]), [
    [`${URN}caa`, []],
    ["about:blank", []],
  ]);
  assert.equal(
    error.message,
    'ACME server answered newOrder with 403: userActionRequired "agree"; a.example: caa "no"; ' +
      '"nested"',
  );
});

test("what is limited is asked for again only when the server says when", async () => {
  const limited = refused(429, "rateLimited");
  const soon = { ...limited, fields: ["Retry-After", "5"] };
  const server = fakeServer({ "/order/1": [soon, limited] });
  assert.equal((await failure(server.client.getOrder(ORDER))).retryAfter, undefined);
  assert.deepEqual(server.pauses, [5_000]);
});

test("whatever a refusal says, it becomes an AcmeError", async () => {
  const bodies = [
    "",
    "<html>",
    "null",
    "[]",
    '"text"',
    "{",
    "[".repeat(100_000),
    '{"type":5,"detail":[],"status":"x","identifier":7,"subproblems":{"length":1}}',
    '{"type":null,"subproblems":[1,null,[]],"instance":"javascript:alert(1)"}',
    '{"__proto__":{"type":"x"},"identifier":{"type":"email","value":"x"}}',
    `{"detail":"${"x".repeat(2_000_000)}"}`,
    "\xff\xfe",
  ];
  for (const body of bodies) {
    const { client } = fakeServer({ "/new-order": { status: 418, body } });
    const { problem, type, message } = await failure(client.newOrder({ identifiers: NAMES }));
    const { type: full, status, subproblems, instance, identifier } = problem;
    assert.deepEqual([full, type, status, subproblems], ["about:blank", "", 418, []]);
    assert.deepEqual([instance, identifier], [undefined, undefined]);
    assert.ok(message.length < 5_000);
  }
});

test("an answer that isn't as the RFC has it says what was expected", async () => {
  const [challenge] = AUTHZ_BODY.challenges;
  const rows: readonly [path: string, body: unknown, expected: RegExp][] = [
    ["/order/1", "<!DOCTYPE html>", /^ACME server answered order with 200: .*DOCTYPE/],
    ["/order/1", "[]", /expected the answer to be an object, not an array/],
    ["/order/1", "null", /expected the answer to be an object, not null/],
    ["/order/1", " ".repeat(1024 * 1024 + 1), /expected at most 1048576 bytes/],
    ["/order/1", {}, /expected status to be a text, not undefined/],
    ["/order/1", { ...ORDER_BODY, status: 5 }, /expected status to be a text, not 5/],
    ["/order/1", { ...ORDER_BODY, status: "x".repeat(5_000) }, /expected status to be a text/],
    ["/order/1", { ...ORDER_BODY, finalize: "/f" }, /finalize to be an http or https URL, not/],
    ["/order/1", { ...ORDER_BODY, finalize: "file:///x" }, /finalize to be an http or https URL/],
    ["/order/1", { ...ORDER_BODY, finalize: "https://a b/" }, /finalize to be an http or https/],
    ["/order/1", { ...ORDER_BODY, finalize: ["https://a/"] }, /finalize to be .* an array/],
    [
      "/order/1",
      { ...ORDER_BODY, certificate: "javascript:1" },
      /expected certificate to be an ht/,
    ],
    ["/order/1", { ...ORDER_BODY, authorizations: AUTHZ }, /authorizations to be an array/],
    ["/order/1", { ...ORDER_BODY, authorizations: { length: 1 } }, /authorizations to be an arr/],
    ["/order/1", { ...ORDER_BODY, authorizations: [AUTHZ, 5] }, /expected authorizations\[1\] to/],
    ["/order/1", { ...ORDER_BODY, authorizations: Array(1_001).fill(AUTHZ) }, /to be an array/],
    [
      "/authz/1",
      { ...AUTHZ_BODY, identifier: { type: "email", value: "a" } },
      /expected identifier\.type to be dns or ip, not/,
    ],
    ["/order/1", { ...ORDER_BODY, error: "bad" }, /expected error to be an object/],
    ["/authz/1", { ...AUTHZ_BODY, identifier: null }, /expected identifier to be an object/],
    ["/authz/1", { ...AUTHZ_BODY, challenges: [null] }, /expected challenges\[0\] to be an object/],
    ["/authz/1", { ...AUTHZ_BODY, challenges: [{ ...challenge, token: "../x" }] }, /token to be/],
    ["/authz/1", { ...AUTHZ_BODY, challenges: [{ ...challenge, token: 5 }] }, /token to be/],
    ["/authz/1", { ...AUTHZ_BODY, challenges: [{ ...challenge, url: "" }] }, /url to be an http/],
    ["/directory", { ...DIRECTORY, newNonce: undefined }, /expected newNonce to be an http/],
    ["/directory", { ...DIRECTORY, meta: [] }, /expected meta to be an object/],
    ["/directory", { ...DIRECTORY, meta: { profiles: ["a"] } }, /profiles to be an object/],
    ["/directory", { ...DIRECTORY, meta: { caaIdentities: "x" } }, /caaIdentities to be an array/],
  ];
  for (const [path, body, expected] of rows) {
    const { client } = fakeServer({ [path]: { body } });
    const get = path === "/authz/1" ? client.getAuthorization(AUTHZ) : client.getOrder(ORDER);
    const { message, problem } = await failure(get);
    assert.match(message, expected);
    assert.equal(problem.status, 200);
    assert.ok(message.length < 300, message);
  }
});

test("getAuthorization() reads challenges without a token, in both spellings", async () => {
  const base = { type: "dns-persist-01", url: CHALLENGE, status: "pending" };
  const challenges = [
    { ...base, "issuer-domain-names": ["ca.example"], accounturi: ACCOUNT },
    { ...base, issuerDomainNames: ["ca.example", "other.example"] },
  ];
  const { client } = fakeServer({ "/authz/1": { body: { ...AUTHZ_BODY, challenges } } });
  const [first, second] = (await client.getAuthorization(AUTHZ)).challenges;
  assert.deepEqual([first?.issuerDomainNames, first?.accountUri], [["ca.example"], ACCOUNT]);
  assert.deepEqual(second?.issuerDomainNames, ["ca.example", "other.example"]);
  assert.deepEqual([first?.token, second?.accountUri], [undefined, undefined]);
});

test("deactivateAuthorization() says so", async () => {
  const { client, log } = fakeServer({ "/authz/1": { body: "" } });
  await client.deactivateAuthorization(AUTHZ);
  assert.equal(log.at(-1)?.payload, '{"status":"deactivated"}');
});

test("an aborted signal ends requests and pauses, and those of one client only", async () => {
  const { client } = fakeServer({}, { wait: undefined as never });
  const stop = new AbortController();
  const mine = client.withSignal(stop.signal);
  const waiting = mine.waitForAuthorization(AUTHZ);
  stop.abort(new Error("enough"));
  await assert.rejects(waiting, (error: Error) => /enough|abort/i.test(`${error} ${error.cause}`));
  await assert.rejects(mine.getOrder(ORDER), /enough/);
  assert.equal((await client.getOrder(ORDER)).url, ORDER);
  assert.equal(mine.accountUrl, ACCOUNT);
});

test("an aborted signal doesn't end the directory request that others wait for", async () => {
  const { client, log } = fakeServer({ "/directory": [new Error("reset"), { body: DIRECTORY }] });
  const stop = new AbortController();
  const first = client.withSignal(stop.signal).getDirectory();
  const second = client.withSignal(new AbortController().signal).getDirectory();
  stop.abort(new Error("enough"));
  await assert.rejects(first, /enough/);
  assert.equal((await second).newOrder, DIRECTORY.newOrder);
  await assert.rejects(client.withSignal(stop.signal).getDirectory(), /enough/);
  assert.equal(log.length, 2);
});

test("withSignal() shares account, key and nonces", async () => {
  const server = fakeServer({}, { accountUrl: undefined });
  const other = server.client.withSignal(new AbortController().signal);
  await other.newAccount();
  assert.equal(server.client.accountUrl, ACCOUNT);
  await server.client.getOrder(ORDER);
  await other.getOrder(ORDER);
  assert.equal(server.paths().filter((path) => path === "HEAD /new-nonce").length, 1);
});

// RFC 9773 appendix A.
const ARI_EXAMPLE = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`;

test("certificateId() gives the example of RFC 9773", () => {
  assert.equal(certificateId(ARI_EXAMPLE), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
  assert.equal(certificateId(ARI_EXAMPLE + CHAIN), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
  assert.throws(() => certificateId(CHAIN), /doesn't say which key/);
  assert.equal(fromPem(ARI_EXAMPLE).length, 327);
});

test("dnsChallengeValue() is the hash of the key authorization", () => {
  // The SHA-256 of "abc" (FIPS 180-2, appendix B.1) in base64url.
  assert.equal(dnsChallengeValue("abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
});

test("toIdentifier() gives names in lower case and addresses as RFC 5952 has them", () => {
  const rows = [
    ["Example.COM", "dns", "example.com"],
    ["*.example.com.", "dns", "*.example.com"],
    ["xn--bcher-kva.example", "dns", "xn--bcher-kva.example"],
    ["192.0.2.1", "ip", "192.0.2.1"],
    ["2001:DB8:0:0:0:0:0:1", "ip", "2001:db8::1"],
    ["[2001:db8::1]", "ip", "2001:db8::1"],
  ] as const;
  for (const [name, type, value] of rows) assert.deepEqual(toIdentifier(name), { type, value });
});

test("the RFC's own files are named by what they need", async () => {
  for (const name of ["acme", "jose"]) {
    const source = await readFile(new URL(`../lib/${name}.ts`, import.meta.url), "utf8");
    const header = source.slice(0, source.indexOf("*/"));
    for (const [, file] of source.matchAll(/from "\.\/([\w.]+)"/g)) {
      assert.ok(header.includes(`\`${file}\``), `the header of ${name}.ts names ${file}`);
    }
    assert.doesNotMatch(source, /centauri/i);
  }
});
