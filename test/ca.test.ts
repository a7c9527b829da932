/** The test CA against a client of this file's own, which can do wrong whatever it likes. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, createHmac, createPublicKey, generateKeyPairSync } from "node:crypto";
import { type KeyObject, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import tls from "node:tls";
import * as der from "../lib/der.ts";
import { certificateNames, extension, generalNames, OID, pemBlocks, toPem } from "../lib/x509.ts";
import { type Ca, type CaSettings, startCa } from "./ca.ts";
import { type Claim, validate } from "./ca/challenges.ts";
import { type Identifier, problem, refusal, says, secondary } from "./ca/problems.ts";
import { needProgram, run, type Scope, temporaryFolder, thisRuntime } from "./support.ts";

type Json = Record<string, unknown>;

interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  readonly json: Json;
}

/** What a request is made of, to be spoilt: `jws` and `header` get what would be sent. */
interface Spoil {
  readonly header?: (header: Json) => Json;
  readonly jws?: (jws: Json) => unknown;
  readonly text?: (payload: string) => string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly byKey?: boolean;
}

function send(
  ca: Ca,
  method: string,
  url: string,
  body?: string,
  headers: http.OutgoingHttpHeaders = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const hasLength = body !== undefined && !("transfer-encoding" in headers);
    const length = hasLength ? { "content-length": Buffer.byteLength(body) } : {};
    const all = { "user-agent": "test", ...length, ...headers };
    const options = { method, ca: ca.apiRoot, headers: all, agent: false };
    const request = https.request(url, options, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => {
        if ((text += part).length > 5_000_000) request.destroy(new Error("too much"));
      });
      answer.on("error", reject).on("end", () => {
        const isJson = /json/.test(`${answer.headers["content-type"]}`) && text.startsWith("{");
        const json = isJson ? JSON.parse(text) : {};
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, json });
      });
      answer.on("aborted", () => reject(new Error("aborted")));
    });
    request.setTimeout(10_000, () => request.destroy(new Error("silence")));
    request.on("error", reject).end(body);
  });
}

const ALGORITHMS = {
  ES256: { make: () => generateKeyPairSync("ec", { namedCurve: "P-256" }), hash: "sha256" },
  ES384: { make: () => generateKeyPairSync("ec", { namedCurve: "P-384" }), hash: "sha384" },
  RS256: { make: () => generateKeyPairSync("rsa", { modulusLength: 2048 }), hash: "sha256" },
} as const;
type Alg = keyof typeof ALGORITHMS;

const b64 = (data: string | Uint8Array): string =>
  Buffer.from(data as string).toString("base64url");

function jwkOf(key: KeyObject): Json {
  const { kty, crv, x, y, n, e } = key.export({ format: "jwk" });
  return kty === "RSA" ? { e, kty, n } : { crv, kty, x, y };
}

function signed(key: KeyObject, alg: Alg, header: Json, payload: string): Json {
  const [protect, text] = [b64(JSON.stringify(header)), b64(payload)];
  const options = { key, dsaEncoding: "ieee-p1363" } as const;
  const signature = sign(ALGORITHMS[alg].hash, Buffer.from(`${protect}.${text}`), options);
  return { protected: protect, payload: text, signature: b64(signature) };
}

/** A client with a key; `kid` is set by register(). */
class Client {
  readonly ca: Ca;
  readonly alg: Alg;
  readonly base: string;
  key: KeyObject;
  kid = "";

  constructor(ca: Ca, alg: Alg = "ES256") {
    [this.ca, this.alg, this.key] = [ca, alg, ALGORITHMS[alg].make().privateKey];
    this.base = ca.directory.replace("/directory", "");
  }

  async nonce(): Promise<string> {
    const { headers } = await send(this.ca, "HEAD", `${this.base}/new-nonce`);
    return headers["replay-nonce"] as string;
  }

  /** `payload` undefined: POST-as-GET. */
  async post(path: string, payload?: object, spoil: Spoil = {}): Promise<Reply> {
    const url = path.startsWith("https:") ? path : this.base + path;
    const { byKey = this.kid === "" } = spoil;
    const header = {
      alg: this.alg,
      ...byKey ? { jwk: jwkOf(this.key) } : { kid: this.kid },
      nonce: await this.nonce(),
      url,
    };
    const text = payload === undefined ? "" : JSON.stringify(payload);
    const [wanted, body] = [spoil.header?.(header) ?? header, spoil.text?.(text) ?? text];
    const jws = signed(this.key, this.alg, wanted, body);
    const headers = { "content-type": "application/jose+json", ...spoil.headers };
    return send(this.ca, "POST", url, JSON.stringify(spoil.jws?.(jws) ?? jws), headers);
  }

  async register(more: object = {}): Promise<Reply> {
    const reply = await this.post("/new-account", { termsOfServiceAgreed: true, ...more });
    this.kid = reply.headers.location ?? "";
    return reply;
  }

  order(names: readonly string[], more: object = {}): Promise<Reply> {
    return this.post("/new-order", { identifiers: names.map(identify), ...more });
  }

  /** Responds to the first challenge of each authorization, or those of a type, and polls once. */
  async authorize(order: Json, type?: string): Promise<Reply[]> {
    const replies: Reply[] = [];
    for (const url of order.authorizations as string[]) {
      const { json } = await this.post(url);
      const challenges = json.challenges as { type: string; url: string }[];
      const one = challenges.find((one) => type === undefined || one.type === type);
      await this.post(one!.url, {});
      replies.push(await this.post(url));
    }
    return replies;
  }

  /** The whole way; the PEM chain. */
  async obtain(names: readonly string[], more: object = {}, csr?: CsrOptions): Promise<string> {
    const { json: order } = await this.order(names, more);
    await this.authorize(order);
    const done = await this.post(`${order.finalize}`, { csr: b64(makeCsr(names, csr)) });
    assert.equal(done.json.status, "valid", done.text);
    return (await this.post(`${done.json.certificate}`)).text;
  }
}

function identify(value: string): Identifier {
  return { type: /^[\d.]+$|:/.test(value) ? "ip" : "dns", value };
}

interface CsrOptions {
  key?: KeyObject;
  commonName?: string;
  staple?: boolean;
  spoil?: boolean;
}

function makeCsr(names: readonly string[], options: CsrOptions = {}): Buffer {
  const { key = ALGORITHMS.ES256.make().privateKey, commonName, staple, spoil } = options;
  const isRsa = key.asymmetricKeyType === "rsa";
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  const subject = commonName === undefined ? [] : [
    der.setOf(der.sequence(der.oid(OID.commonName), der.utf8String(commonName))),
  ];
  const extensions = [
    extension(OID.subjectAltName, generalNames(names)),
    ...staple ? [extension("1.3.6.1.5.5.7.1.24", Buffer.from("3003020105", "hex"))] : [],
  ];
  const attribute = der.sequence(
    der.oid("1.2.840.113549.1.9.14"),
    der.setOf(der.sequence(...extensions)),
  );
  const info = der.sequence(
    der.integer(0),
    der.sequence(...subject),
    spki,
    der.tlv(0xa0, attribute),
  );
  const algorithm = isRsa
    ? der.sequence(der.oid("1.2.840.113549.1.1.11"), der.nullValue())
    : der.sequence(der.oid(OID.ecdsaWithSha256));
  const signature = sign("sha256", spoil ? Buffer.concat([info, info]) : info, key);
  return der.sequence(info, algorithm, der.bitString(signature));
}

async function start(t: Scope, settings: Partial<CaSettings> = {}, alg: Alg = "ES256") {
  const ca = await startCa(t, settings);
  const client = new Client(ca, alg);
  await client.register();
  return { ca, client };
}

/** Status and type of a refusal. */
const refused = ({ status, json }: Reply): string =>
  `${status} ${`${json.type}`.split(":").at(-1)}`;

const DAY = 86_400_000;

// ---- The whole way

test("a client that does all right gets a chain that verifies", async (t) => {
  const { ca, client } = await start(t);
  const names = ["a.test", "*.a.test", "192.0.2.1", "2001:db8::1"];
  const chain = await client.obtain(names);
  const [leaf = "", intermediate = "", ...rest] = pemBlocks(chain, "CERTIFICATE");
  assert.equal(rest.length, 0);
  assert.deepEqual(certificateNames(leaf).sort(), [...names].sort());
  const [one, two, root] = [leaf, intermediate, ca.roots[0]].map((pem) => new X509Certificate(pem));
  assert.ok(one!.checkIssued(two!) && one!.verify(two!.publicKey));
  assert.ok(two!.checkIssued(root!) && two!.verify(root!.publicKey) && root!.ca && !one!.ca);
  assert.equal(ca.certificates[0]?.serial, one!.serialNumber.toLowerCase());
  if (!needProgram(t, "openssl")) return;
  const folder = await temporaryFolder(t);
  const path = (name: string): string => join(folder, name);
  await writeFile(path("root.pem"), ca.roots[0]);
  await writeFile(path("between.pem"), intermediate);
  await writeFile(path("leaf.pem"), leaf);
  const { stdout, stderr } = await run("openssl", [
    ...["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", path("root.pem")],
    ...["-untrusted", path("between.pem"), "-verify_hostname", "x.a.test", path("leaf.pem")],
  ]);
  assert.equal(stdout, `${path("leaf.pem")}: OK\n`, stderr);
});

test("what came in is written down", async (t) => {
  const { ca, client } = await start(t);
  await client.obtain(["a.test"]);
  const posts = ca.requests.filter(({ method }) => method === "POST");
  assert.deepEqual(posts.map(({ resource }) => resource), [
    ...["newAccount", "newOrder", "authz", "challenge", "authz", "finalize", "certificate"],
  ]);
  assert.deepEqual(posts[1]?.payload, { identifiers: [{ type: "dns", value: "a.test" }] });
  assert.equal(posts[1]?.account, ca.accounts[0]);
  assert.deepEqual(posts.map(({ status }) => status), [201, 201, 200, 200, 200, 200, 200]);
  assert.deepEqual([posts[2]?.payload, posts[3]?.payload], [undefined, {}]);
  await client.post("/new-order", {});
  assert.deepEqual([ca.requests.at(-1)?.status, ca.requests.at(-1)?.problem], [400, "malformed"]);
  assert.equal(ca.orders[0]?.status, "valid");
  assert.equal(ca.certificates[0]?.order, ca.orders[0]);
});

test("every answer has what RFC 8555 demands of it", async (t) => {
  const { ca, client } = await start(t, { clockOffset: 3 * DAY });
  const directory = await send(ca, "GET", ca.directory);
  assert.equal(directory.headers.link, undefined);
  assert.equal(directory.headers["replay-nonce"], undefined);
  const skew = Date.parse(`${directory.headers.date}`) - Date.now();
  assert.ok(Math.abs(skew - 3 * DAY) < 10_000, `${skew}`);
  const get = await send(ca, "GET", `${directory.json.newNonce}`);
  assert.deepEqual([get.status, get.headers["cache-control"]], [204, "no-store"]);
  const order = await client.order(["a.test"]);
  const index = `<${ca.directory}>;rel="index"`;
  for (const { headers } of [order, await client.post("/new-order", {}), get]) {
    assert.match(`${headers["replay-nonce"]}`, /^[\w-]{22}$/);
    assert.equal(headers.link, index);
  }
  const { json } = await client.post((order.json.authorizations as string[])[0]!);
  const [{ url }] = json.challenges as [{ url: string }];
  const up = `${index}, <${url.replace(/\/0$/, "")}>;rel="up"`;
  assert.equal((await client.post(url)).headers.link, up, "two values in one field");
});

for (const alg of ["ES384", "RS256"] as const) {
  test(`accounts of ${alg} are taken`, async (t) => {
    const { client } = await start(t, {}, alg);
    const key = ALGORITHMS[alg].make().privateKey;
    const chain = await client.obtain(["a.test"], {}, alg === "RS256" ? { key } : {});
    const { asymmetricKeyType } = new X509Certificate(chain).publicKey;
    assert.equal(asymmetricKeyType, alg === "RS256" ? "rsa" : "ec");
  });
}

// ---- What is refused

interface Row {
  readonly name: string;
  readonly spoil: Spoil;
  readonly expect: string;
}

const flip = (text: unknown): string => `${text}`.replace(/^./, (c) => c === "A" ? "B" : "A");

const ROWS: readonly Row[] = [
  { name: "no content type", spoil: { headers: { "content-type": "" } }, expect: "415 malformed" },
  {
    name: "a content type with a parameter",
    spoil: { headers: { "content-type": "application/jose+json; charset=utf-8" } },
    expect: "415 malformed",
  },
  { name: "no User-Agent", spoil: { headers: { "user-agent": "" } }, expect: "400 malformed" },
  {
    name: "a chunked body",
    spoil: { headers: { "transfer-encoding": "chunked" } },
    expect: "411 malformed",
  },
  {
    name: "general JSON serialization",
    spoil: { jws: ({ payload, ...one }) => ({ payload, signatures: [one] }) },
    expect: "400 malformed",
  },
  {
    name: "an unprotected header",
    spoil: { jws: (jws) => ({ ...jws, header: {} }) },
    expect: "400 malformed",
  },
  {
    name: "padding",
    spoil: { jws: (jws) => ({ ...jws, signature: `${jws.signature}==` }) },
    expect: "400 malformed",
  },
  {
    name: "a wrong signature",
    spoil: { jws: (jws) => ({ ...jws, signature: flip(jws.signature) }) },
    expect: "400 malformed",
  },
  {
    name: "a signature in DER",
    spoil: { jws: (jws) => ({ ...jws, signature: b64(der.sequence(der.integer(1))) }) },
    expect: "400 malformed",
  },
  {
    name: "another url",
    spoil: { header: (header) => ({ ...header, url: `${header.url}/` }) },
    expect: "401 unauthorized",
  },
  {
    name: "a nonce that nobody gave",
    spoil: { header: (header) => ({ ...header, nonce: flip(header.nonce) }) },
    expect: "400 badNonce",
  },
  { name: "jwk for newOrder", spoil: { byKey: true }, expect: "400 malformed" },
  {
    name: "jwk and kid",
    spoil: { header: (header) => ({ ...header, jwk: {} }) },
    expect: "400 malformed",
  },
  {
    name: "a header without alg",
    spoil: { header: ({ alg: _, ...header }) => header },
    expect: "400 malformed",
  },
  {
    name: "a MAC",
    spoil: { header: (header) => ({ ...header, alg: "HS256" }) },
    expect: "400 badSignatureAlgorithm",
  },
  {
    name: "an alg that isn't the key's",
    spoil: { header: (header) => ({ ...header, alg: "ES384" }) },
    expect: "400 malformed",
  },
  {
    name: "an unknown account",
    spoil: { header: (header) => ({ ...header, kid: `${header.kid}9` }) },
    expect: "400 accountDoesNotExist",
  },
  { name: "a payload that isn't JSON", spoil: { text: () => "{" }, expect: "400 malformed" },
  { name: "an array as payload", spoil: { text: () => "[]" }, expect: "400 malformed" },
];

async function checkRow(client: Client, { name, spoil, expect }: Row): Promise<void> {
  const reply = await client.post("/new-order", { identifiers: [identify("a.test")] }, spoil);
  assert.equal(refused(reply), expect, `${name}: ${reply.text}`);
  assert.equal(reply.headers["content-type"], "application/problem+json");
}

test("a request that is wrong in one way is refused", async (t) => {
  const { ca, client } = await start(t);
  assert.ok(ROWS.length > 0);
  for (const row of ROWS) await checkRow(client, row);
  assert.equal(ca.orders.length, 0);
  await assert.rejects(checkRow(client, { name: "right", spoil: {}, expect: "400 malformed" }));
  const reply = await client.post(
    "/new-order",
    {},
    ROWS.find(({ name }) => name === "a MAC")!.spoil,
  );
  assert.deepEqual(reply.json.algorithms, ["ES256", "ES384", "RS256"]);
});

test("a nonce can be used once, and no GET does for POST-as-GET", async (t) => {
  const { ca, client } = await start(t);
  const nonce = await client.nonce();
  const spoil = { header: (header: Json): Json => ({ ...header, nonce }) };
  assert.equal((await client.post(client.kid, undefined, spoil)).status, 200);
  const again = await client.post(client.kid, undefined, spoil);
  assert.equal(refused(again), "400 badNonce");
  assert.ok(again.headers["replay-nonce"]);
  assert.equal(refused(await send(ca, "GET", client.kid)), "405 malformed");
  assert.equal(refused(await send(ca, "GET", `${client.base}/nothing`)), "404 malformed");
});

test("good nonces are refused evenly at the rate that is set", async (t) => {
  const { ca, client } = await start(t);
  ca.settings.badNonce = 90;
  const states: number[] = [];
  while (states.length < 20) states.push((await client.post(client.kid)).status);
  assert.equal(states.filter((status) => status === 400).length, 18);
  assert.equal(ca.requests.filter((request) => request.problem === "badNonce").length, 18);
});

test("a challenge takes {} and nothing else, and nobody else's", async (t) => {
  const { ca, client } = await start(t);
  const { json: order } = await client.order(["a.test"]);
  const { json } = await client.post((order.authorizations as string[])[0]!);
  const [{ url }] = json.challenges as [{ url: string }];
  for (const text of ["{ }", '{"keyAuthorization":"x"}']) {
    const reply = await client.post(url, {}, { text: () => text });
    assert.equal(refused(reply), "400 malformed", text);
  }
  const other = new Client(ca);
  await other.register();
  for (const path of [url, url.replace(/.\d$/, ""), `${client.base}/order/1`, client.kid]) {
    assert.equal(refused(await other.post(path)), "403 unauthorized", path);
  }
  assert.equal((await client.post(url, {})).status, 200);
});

// ---- Accounts

test("accounts are made once, found, changed and ended", async (t) => {
  const ca = await startCa(t);
  const client = new Client(ca);
  const only = { onlyReturnExisting: true };
  assert.equal(refused(await client.post("/new-account", only)), "400 accountDoesNotExist");
  assert.equal(refused(await client.post("/new-account", {})), "403 userActionRequired");
  for (const [contact, type] of [["tel:1", "unsupportedContact"], ["mailto:a", "invalidContact"]]) {
    assert.equal(refused(await client.register({ contact: [contact] })), `400 ${type}`);
  }
  const made = await client.register({ contact: ["mailto:a@a.test"] });
  assert.equal(made.status, 201);
  const found = await client.post("/new-account", only, { byKey: true });
  assert.deepEqual([found.status, found.headers.location], [200, made.headers.location]);
  const changed = await client.post(client.kid, { contact: ["mailto:b@a.test"] });
  assert.deepEqual(changed.json.contact, ["mailto:b@a.test"]);
  assert.equal(
    (await client.post(client.kid, { status: "deactivated" })).json.status,
    "deactivated",
  );
  assert.equal(refused(await client.order(["a.test"])), "401 unauthorized");
  assert.equal(
    refused(await client.post("/new-account", only, { byKey: true })),
    "403 unauthorized",
  );
  assert.equal(ca.accounts.length, 1);
  ca.accounts.length = 0;
  assert.equal(refused(await client.post(client.kid)), "400 accountDoesNotExist");
  await client.post("/new-account", { termsOfServiceAgreed: true }, { byKey: true });
  assert.notEqual(ca.accounts[0]?.url, client.kid, "another URL than before");
});

test("an account key is of a kind that is taken", async (t) => {
  const ca = await startCa(t);
  const client = new Client(ca, "RS256");
  client.key = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
  assert.equal(refused(await client.register()), "400 badPublicKey");
  const withPrivate = (header: Json): Json => ({
    ...header,
    jwk: { ...header.jwk as Json, d: "AA" },
  });
  const reply = await client.post("/new-account", {}, { header: withPrivate });
  assert.equal(refused(reply), "400 malformed");
});

function binding(client: Client, kid: string, secret: Buffer, change: object = {}): Json {
  const url = `${client.base}/new-account`;
  const protect = b64(JSON.stringify({ alg: "HS256", kid, url, ...change }));
  const payload = b64(JSON.stringify(jwkOf(client.key)));
  const hash = "alg" in change ? "sha384" : "sha256";
  const mac = createHmac(hash, secret).update(`${protect}.${payload}`).digest();
  return { protected: protect, payload, signature: b64(mac) };
}

test("external accounts are bound by their MAC", async (t) => {
  const secret = Buffer.alloc(32, 7);
  const settings = { externalAccountRequired: true, externalAccounts: { "kid-1": b64(secret) } };
  const ca = await startCa(t, settings);
  const { json } = await send(ca, "GET", ca.directory);
  assert.equal((json.meta as Json).externalAccountRequired, true);
  const client = new Client(ca);
  const other = new Client(ca);
  const tries: [string, Json | undefined][] = [
    ["403 externalAccountRequired", undefined],
    ["403 unauthorized", binding(client, "kid-2", secret)],
    ["403 unauthorized", binding(client, "kid-1", Buffer.alloc(32))],
    ["400 malformed", binding(other, "kid-1", secret)],
    ["400 malformed", binding(client, "kid-1", secret, { url: ca.directory })],
    ["400 malformed", binding(client, "kid-1", secret, { nonce: "AA" })],
    ["201 undefined", binding(client, "kid-1", secret)],
  ];
  for (const [expect, externalAccountBinding] of tries) {
    assert.equal(refused(await client.register({ externalAccountBinding })), expect);
  }
  const third = binding(other, "kid-1", secret, { alg: "HS384" });
  assert.equal((await other.register({ externalAccountBinding: third })).status, 201);
  assert.deepEqual(ca.accounts.map((one) => one.externalKeyId), ["kid-1", "kid-1"]);
});

test("an account's key is changed by both keys", async (t) => {
  const { ca, client } = await start(t);
  const [old, next] = [client.key, ALGORITHMS.ES256.make().privateKey];
  const url = `${client.base}/key-change`;
  const inner = (key: KeyObject, change: Json = {}, more: Json = {}): Json =>
    signed(
      key,
      "ES256",
      { alg: "ES256", jwk: jwkOf(key), url, ...more },
      JSON.stringify({ account: client.kid, oldKey: jwkOf(old), ...change }),
    );
  for (
    const wrong of [
      inner(next, { account: `${client.kid}0` }),
      inner(next, { oldKey: jwkOf(next) }),
      inner(next, {}, { nonce: "AA" }),
      inner(next, {}, { url: ca.directory }),
      { ...inner(next), signature: inner(old).signature },
    ]
  ) assert.equal(refused(await client.post(url, wrong)), "400 malformed");
  const taken = await client.post(url, inner(old));
  assert.deepEqual([taken.status, taken.headers.location], [409, client.kid]);
  assert.equal((await client.post(url, inner(next))).status, 200);
  assert.equal(refused(await client.post(client.kid)), "400 malformed", "the old key");
  client.key = next;
  assert.equal((await client.post(client.kid)).status, 200);
});

// ---- Orders

test("identifiers are looked at one by one", async (t) => {
  const reject = ({ value }: Identifier): string | undefined =>
    value.endsWith(".local") ? says("notPublic", value).detail : undefined;
  const { client } = await start(t, { reject });
  for (
    const [name, type] of [
      ["A.test", "rejectedIdentifier"],
      ["a.test.", "rejectedIdentifier"],
      ["a_b.test", "rejectedIdentifier"],
      ["test", "rejectedIdentifier"],
      ["*.*.test", "rejectedIdentifier"],
      ["2001:DB8::1", "rejectedIdentifier"],
      ["nas.local", "rejectedIdentifier"],
    ] as const
  ) assert.equal(refused(await client.order([name])), `400 ${type}`, name);
  const email = { identifiers: [{ type: "email", value: "a@a.test" }] };
  assert.equal(refused(await client.post("/new-order", email)), "400 unsupportedIdentifier");
  assert.equal(refused(await client.order([])), "400 malformed");
  assert.equal(refused(await client.order(["a.test", "a.test"])), "400 malformed");
  const { json } = await client.order(["a.local", "a.test", "b.local"]);
  const subproblems = json.subproblems as { identifier: Identifier; type: string }[];
  assert.deepEqual(subproblems.map((one) => one.identifier.value), ["a.local", "b.local"]);
  assert.match(`${json.detail}`, /"a\.local".*\(and 1 more problems/);
});

test("an order goes from pending over ready and processing to valid", async (t) => {
  const at = new Date("2031-01-02T03:04:05Z");
  const retryAfter = { authz: 7, order: at, renewalInfo: 60 };
  const { client } = await start(t, { processing: { challenge: 2, order: 1 }, retryAfter });
  const made = await client.order(["a.test"]);
  const { json: order } = made;
  const url = made.headers.location!;
  const early = { csr: b64(makeCsr(["a.test"])) };
  assert.equal(refused(await client.post(`${order.finalize}`, early)), "403 orderNotReady");
  const [authz = ""] = order.authorizations as string[];
  const { json } = await client.post(authz);
  const [{ url: challenge, status }] = json.challenges as [{ url: string; status: string }];
  assert.equal(status, "pending");
  assert.equal((await client.post(challenge, {})).json.status, "processing");
  const polls = [await client.post(authz), await client.post(authz), await client.post(authz)];
  assert.deepEqual(polls.map(({ json }) => json.status), ["pending", "pending", "valid"]);
  assert.deepEqual(polls.map(({ headers }) => headers["retry-after"]), ["7", "7", undefined]);
  assert.equal((await client.post(url)).json.status, "ready");
  const finalized = await client.post(`${order.finalize}`, early);
  assert.deepEqual([finalized.json.status, finalized.json.certificate], ["processing", undefined]);
  assert.equal(finalized.headers["retry-after"], "Thu, 02 Jan 2031 03:04:05 GMT");
  assert.equal((await client.post(url)).json.status, "processing");
  const done = await client.post(url);
  assert.deepEqual([done.json.status, done.headers["retry-after"]], ["valid", undefined]);
  assert.ok(done.json.certificate);
  assert.equal(refused(await client.post(`${order.finalize}`, early)), "403 orderNotReady");
});

test("an order fails with its authorization, or at issuing", async (t) => {
  const { ca, client } = await start(t, { fail: ({ value }) => says("caa", value) });
  const made = await client.order(["a.test"]);
  const [{ json: authz }] = await client.authorize(made.json) as [Reply];
  assert.equal(authz.status, "invalid");
  const [{ error }] = authz.challenges as [{ error: Json }];
  assert.equal(error.detail, "CAA record for a.test prevents issuance");
  assert.equal((await client.post(made.headers.location!)).json.status, "invalid");
  ca.settings.fail = () => undefined;
  ca.settings.issueProblem = secondary(says("timeout", "192.0.2.1", "http://b.test/"));
  const next = await client.order(["b.test"]);
  await client.authorize(next.json);
  const reply = await client.post(`${next.json.finalize}`, { csr: b64(makeCsr(["b.test"])) });
  assert.equal(reply.json.status, "invalid");
  assert.match(`${(reply.json.error as Json).detail}`, /^During secondary validation: 192.0.2.1: /);
  const third = await client.order(["c.test"]);
  const [url = ""] = third.json.authorizations as string[];
  assert.equal((await client.post(url, { status: "deactivated" })).json.status, "deactivated");
  assert.equal((await client.post(third.headers.location!)).json.status, "invalid");
});

test("valid authorizations are used again if that is set", async (t) => {
  const { ca, client } = await start(t);
  await client.obtain(["a.test"]);
  assert.equal((await client.order(["a.test"])).json.status, "pending");
  ca.settings.authzReuse = true;
  assert.equal((await client.order(["a.test"])).json.status, "ready");
  assert.equal((await client.order(["a.test", "*.a.test"])).json.status, "pending");
});

test("wildcards are proved by DNS, addresses never", async (t) => {
  const { client } = await start(t, { challenges: ["http-01", "dns-01", "tls-alpn-01"] });
  const { json } = await client.order(["*.a.test", "192.0.2.1"]);
  const found = new Map<unknown, unknown[]>();
  for (const url of json.authorizations as string[]) {
    const { json: authz } = await client.post(url);
    const types = (authz.challenges as { type: string }[]).map(({ type }) => type);
    found.set((authz.identifier as Identifier).value, [authz.wildcard, ...types]);
  }
  assert.deepEqual(found.get("a.test"), [true, "dns-01"]);
  assert.deepEqual(found.get("192.0.2.1"), [undefined, "http-01", "tls-alpn-01"]);
});

test("a CSR has to be right in every way", async (t) => {
  const { ca, client } = await start(t);
  const { json: order } = await client.order(["a.test", "b.test"]);
  await client.authorize(order);
  const names = ["a.test", "b.test"];
  const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
  for (
    const [why, csr] of [
      ["a name less", makeCsr(["a.test"])],
      ["a name more", makeCsr([...names, "c.test"])],
      ["another name", makeCsr(["a.test", "c.test"])],
      ["another common name", makeCsr(names, { commonName: "c.test" })],
      ["a wrong signature", makeCsr(names, { spoil: true })],
      ["the account's key", makeCsr(names, { key: client.key })],
      ["a weak key", makeCsr(names, { key: rsa })],
      ["no DER", Buffer.from("hello")],
      ["bytes after it", Buffer.concat([makeCsr(names), Buffer.of(0)])],
    ] as const
  ) {
    const reply = await client.post(`${order.finalize}`, { csr: b64(csr) });
    assert.equal(refused(reply), "400 badCSR", why);
  }
  const padded = { csr: makeCsr(names).toString("base64") + "=" };
  assert.equal(refused(await client.post(`${order.finalize}`, padded)), "400 malformed");
  const good = { csr: b64(makeCsr(names, { commonName: "b.test", staple: true })) };
  assert.equal((await client.post(`${order.finalize}`, good)).json.status, "valid");
  const { subject } = new X509Certificate(ca.certificates[0]!.der);
  assert.equal(subject, "CN=b.test");
});

test("a CSR that OpenSSL made is taken, with must-staple", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const { ca, client } = await start(t, { ocspUrl: "http://127.0.0.1:1/ocsp" });
  const file = join(await temporaryFolder(t), "a");
  const { code, stderr } = await run("openssl", [
    ...["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/", "-outform", "DER"],
    ...["-keyout", `${file}.key`, "-out", `${file}.csr`, "-addext", "tlsfeature=status_request"],
    ...["-addext", "subjectAltName=DNS:a.test,IP:2001:db8::1"],
  ]);
  assert.equal(code, 0, stderr);
  const { json: order } = await client.order(["a.test", "2001:db8::1"]);
  await client.authorize(order);
  const csr = b64(await readFile(`${file}.csr`));
  assert.equal((await client.post(`${order.finalize}`, { csr })).json.status, "valid");
  await writeFile(`${file}.pem`, toPem("CERTIFICATE", ca.certificates[0]!.der));
  const { stdout } = await run("openssl", ["x509", "-in", `${file}.pem`, "-noout", "-text"]);
  for (
    const expected of [
      /TLS Feature: *\n *status_request/,
      /OCSP - URI:http:\/\/127\.0\.0\.1:1\/ocsp/,
      /Subject Alternative Name: critical\n *(DNS:a\.test|IP Address:2001:DB8:0:0:0:0:0:1), \w/,
      /Key Usage: critical\n *Digital Signature, Key Encipherment\n/,
      /Authority Key Identifier/,
    ]
  ) assert.match(stdout, expected);
});

test("profiles and lifetimes are as set, also the shortest", async (t) => {
  const { ca, client } = await start(t, { lifetime: 600 });
  const { json } = await send(ca, "GET", ca.directory);
  assert.equal("profiles" in (json.meta as Json), false);
  assert.equal(refused(await client.order(["a.test"], { profile: "x" })), "400 invalidProfile");
  await client.obtain(["a.test"]);
  ca.settings.profiles = {
    classic: { description: "https://ca.test/classic" },
    shortlived: { description: "six days", lifetime: 160 * 3600 },
  };
  const { json: other } = await send(ca, "GET", ca.directory);
  const described = { classic: "https://ca.test/classic", shortlived: "six days" };
  assert.deepEqual((other.meta as Json).profiles, described);
  assert.equal((await client.order(["a.test"])).json.profile, "classic");
  assert.equal(
    (await client.order(["a.test"], { profile: "shortlived" })).json.profile,
    "shortlived",
  );
  await client.obtain(["b.test"], { profile: "shortlived" });
  const lifetimes = ca.certificates.map(({ notBefore, notAfter }) =>
    (notAfter.getTime() - notBefore.getTime()) / 1000 + 1
  );
  assert.deepEqual(lifetimes, [600, 160 * 3600]);
  const { validFrom, validTo } = new X509Certificate(ca.certificates[0]!.der);
  assert.equal(Date.parse(validTo) - Date.parse(validFrom), 599_000);
  assert.ok(Date.parse(validFrom) <= Date.now() && Date.parse(validTo) > Date.now());
});

test("notBefore and notAfter are kept, or refused", async (t) => {
  const { ca, client } = await start(t);
  const notAfter = new Date(Math.trunc(Date.now() / 1000) * 1000 + DAY).toISOString();
  await client.obtain(["a.test"], { notAfter });
  assert.equal(ca.certificates[0]?.notAfter.toISOString(), notAfter);
  assert.equal(refused(await client.order(["a.test"], { notAfter: "soon" })), "400 malformed");
  ca.settings.dates = false;
  const reply = await client.order(["a.test"], { notAfter });
  assert.equal(reply.json.detail, "NotBefore and NotAfter are not supported");
});

// ---- Renewal information, certificates

test("renewal information is that of the certificate, and stays", async (t) => {
  const { ca, client } = await start(t);
  await client.obtain(["a.test"]);
  const { json } = await send(ca, "GET", ca.directory);
  const [one] = ca.certificates;
  const aki = new X509Certificate(one!.der);
  assert.ok(aki.serialNumber.toLowerCase() === one!.serial && /^[89a-f]/.test(one!.serial));
  assert.match(one!.id, /^[\w-]{27}\.A[\w-]{22}$/, "17 octets, with the 00 in front");
  const url = `${json.renewalInfo}/${one!.id}`;
  const [first, second] = [await send(ca, "GET", url), await send(ca, "GET", url)];
  assert.deepEqual(first.json, second.json);
  assert.equal(first.headers["retry-after"], "21600");
  const { start: from, end } = first.json.suggestedWindow as { start: string; end: string };
  const lifetime = 90 * DAY;
  assert.equal(Date.parse(end) - Date.parse(from), Math.round((lifetime - 1000) / 50));
  assert.ok(Math.abs(Date.parse(end) - (Date.now() + (2 / 3 + 0.01) * lifetime)) < 2 * 3_600_000);
  for (
    const [id, expect] of [
      ["x", "400 malformed"],
      [`${one!.id}.x`, "400 malformed"],
      [`AAAA.${one!.id.split(".")[1]}`, "400 malformed"],
      [`${one!.id.split(".")[0]}.AQ`, "404 malformed"],
    ]
  ) assert.equal(refused(await send(ca, "GET", `${json.renewalInfo}/${id}`)), expect, id);
  ca.settings.renewalInfo = () => ({ start: "x", end: new Date(0), explanationURL: "https://e/" });
  ca.settings.retryAfter = { renewalInfo: new Date(0) };
  const scripted = await send(ca, "GET", url);
  assert.deepEqual(scripted.json, {
    suggestedWindow: { start: "x", end: "1970-01-01T00:00:00.000Z" },
    explanationURL: "https://e/",
  });
  assert.equal(scripted.headers["retry-after"], "Thu, 01 Jan 1970 00:00:00 GMT");
  ca.settings.renewalInfo = false;
  assert.equal((await send(ca, "GET", url)).status, 404);
  assert.equal((await send(ca, "GET", ca.directory)).json.renewalInfo, undefined);
});

test("a certificate is replaced once, by its account, with a name in common", async (t) => {
  const { ca, client } = await start(t);
  await client.obtain(["a.test", "b.test"]);
  const replaces = ca.certificates[0]!.id;
  const other = new Client(ca);
  await other.register();
  assert.equal(refused(await other.order(["a.test"], { replaces })), "403 unauthorized");
  assert.equal(refused(await client.order(["c.test"], { replaces })), "400 malformed");
  assert.equal(refused(await client.order(["a.test"], { replaces: "a" })), "400 malformed");
  const unknown = replaces.replace(/\..*/, ".AQ");
  assert.equal(refused(await client.order(["a.test"], { replaces: unknown })), "404 malformed");
  const order = await client.order(["a.test"], { replaces });
  assert.equal(order.json.replaces, replaces);
  const twice = await client.order(["a.test"], { replaces });
  assert.equal(refused(twice), "409 alreadyReplaced");
  assert.equal((await client.order(["a.test"])).status, 201);
  await client.post((order.json.authorizations as string[])[0]!, { status: "deactivated" });
  await client.post(order.headers.location!);
  assert.equal((await client.order(["a.test"], { replaces })).status, 201, "that order failed");
  ca.settings.renewalInfo = false;
  assert.equal("replaces" in (await client.order(["a.test"], { replaces: "a" })).json, false);
});

test("the alternate chain leads to the other root", async (t) => {
  const { ca, client } = await start(t, { alternateChain: true });
  await client.obtain(["a.test"]);
  const url = ca.certificates[0]!.url;
  const { headers, text } = await client.post(url);
  assert.equal(headers["content-type"], "application/pem-certificate-chain");
  const link = `<${ca.directory}>;rel="index", <${url}/alternate>;rel="alternate"`;
  assert.equal(headers.link, link);
  const alternate = await client.post(`${url}/alternate`);
  assert.match(`${alternate.headers.link}`, new RegExp(`<${url}>;rel="alternate"$`));
  for (const [index, chain] of [text, alternate.text].entries()) {
    const [leaf, between] = pemBlocks(chain, "CERTIFICATE").map((pem) => new X509Certificate(pem));
    const root = new X509Certificate(ca.roots[index as 0 | 1]);
    assert.ok(leaf!.verify(between!.publicKey) && between!.verify(root.publicKey));
    assert.equal(between!.issuer, `CN=Test CA Root X${index + 1}`);
  }
});

test("a certificate is revoked by its account or its own key, once", async (t) => {
  const { ca, client } = await start(t);
  const key = ALGORITHMS.ES256.make().privateKey;
  await client.obtain(["a.test"], {}, { key });
  await client.obtain(["b.test"]);
  const [first, second] = ca.certificates.map((one) => b64(one.der));
  const other = new Client(ca);
  await other.register();
  const path = "/revoke-cert";
  assert.equal(refused(await other.post(path, { certificate: first })), "403 unauthorized");
  assert.equal(refused(await other.post(path, { certificate: "AAAA" })), "404 malformed");
  other.key = key;
  assert.equal(
    refused(await other.post(path, { certificate: second }, { byKey: true })),
    "403 unauthorized",
  );
  assert.equal((await other.post(path, { certificate: first }, { byKey: true })).status, 200);
  assert.equal(
    refused(await client.post(path, { certificate: second, reason: 3 })),
    "400 badRevocationReason",
  );
  assert.equal((await client.post(path, { certificate: second, reason: 4 })).status, 200);
  assert.equal(refused(await client.post(path, { certificate: second })), "400 alreadyRevoked");
  assert.deepEqual(ca.certificates.map(({ revoked }) => revoked?.reason), [0, 4]);
  const { json } = await send(ca, "GET", `${client.base}/renewal-info/${ca.certificates[0]!.id}`);
  assert.ok(Date.parse((json.suggestedWindow as { end: string }).end) < Date.now());
});

// ---- Challenges

/** A server of challenges; `answer` is asked for each path. */
async function startHttp(t: Scope, answer: (path: string, host: string) => [number, string]) {
  const server = http.createServer((req, res) => {
    const [status, body] = answer(req.url ?? "", req.headers.host ?? "");
    res.writeHead(status, status < 400 && status >= 300 ? { location: body } : {}).end(body);
  });
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}

const thumbprintOf = (client: Client): string =>
  createHash("sha256").update(JSON.stringify(jwkOf(client.key))).digest("base64url");

/** Starts the challenge of each authorization, and gives what they failed with, or "valid". */
async function outcomes(client: Client, names: readonly string[], type: string): Promise<string[]> {
  const { json } = await client.order(names);
  const replies = await client.authorize(json, type);
  return replies.map(({ json: { status, challenges } }) => {
    const { error } = (challenges as { type: string; error?: Json }[]).find((c) =>
      c.type === type
    )!;
    return error ? `${`${error.type}`.split(":").at(-1)} ${error.detail}` : `${status}`;
  });
}

test("http-01 is looked for at the name's address and follows no redirect", async (t) => {
  const { ca, client } = await start(t);
  const seen: string[] = [];
  let reply = (token: string): [number, string] => [200, `${token}.${thumbprintOf(client)}\r\n`];
  const httpPort = await startHttp(t, (path, host) => {
    seen.push(host);
    return reply(path.replace("/.well-known/acme-challenge/", ""));
  });
  const hostOf = (name: string): string | undefined => name === "no.test" ? undefined : "127.0.0.1";
  ca.settings.validate = { httpPort, tlsPort: 1, hostOf };
  const check = (name: string): Promise<string[]> => outcomes(client, [name], "http-01");
  assert.deepEqual(await check("a.test"), ["valid"]);
  assert.deepEqual(await check("2001:db8::1"), ["valid"]);
  assert.deepEqual(seen, ["a.test", "[2001:db8::1]"]);
  assert.match(
    (await check("no.test"))[0]!,
    /^dns no valid A records found for no\.test; no valid/,
  );
  reply = (token) => [200, `${token}.${"A".repeat(43)}`];
  assert.match((await check("a.test"))[0]!, /^unauthorized .*key authorization/);
  reply = () => [404, "none"];
  assert.match((await check("a.test"))[0]!, /^unauthorized 127\.0\.0\.1: Invalid .*: 404$/);
  reply = () => [302, "/elsewhere"];
  assert.match((await check("a.test"))[0]!, /^unauthorized .*: 302$/);
  assert.equal(seen.length, 5);
  ca.settings.validate = { httpPort: 1, tlsPort: 1 };
  const refusedAt = /^connection 127\.0\.0\.1: Fetching http:\/\/a\.test\/.*: Connection refused$/;
  assert.match((await check("a.test"))[0]!, refusedAt);
});

interface AlpnOptions {
  names: readonly string[];
  digest: Buffer;
  critical?: boolean;
  twice?: boolean;
}

function alpnCertificate(
  { names, digest, critical = true, twice }: AlpnOptions,
): tls.SecureContext {
  const { privateKey: key } = ALGORITHMS.ES256.make();
  const algorithm = der.sequence(der.oid(OID.ecdsaWithSha256));
  const name = der.sequence();
  const id = extension("1.3.6.1.5.5.7.1.31", der.octetString(digest), critical);
  const tbs = der.sequence(
    der.explicit(0, der.integer(2)),
    der.integer(7),
    algorithm,
    name,
    der.sequence(der.time(new Date(Date.now() - DAY)), der.time(new Date(Date.now() + DAY))),
    name,
    createPublicKey(key).export({ type: "spki", format: "der" }),
    der.explicit(
      3,
      der.sequence(
        extension(OID.subjectAltName, generalNames(names), true),
        id,
        ...twice ? [id] : [],
      ),
    ),
  );
  const bytes = der.sequence(tbs, algorithm, der.bitString(sign("sha256", tbs, key)));
  const cert = toPem("CERTIFICATE", bytes);
  return tls.createSecureContext({ cert, key: key.export({ type: "pkcs8", format: "pem" }) });
}

test("tls-alpn-01 takes one certificate and no other", async (t) => {
  // Deno 2.9.6 neither serves nor takes a certificate with a critical extension unknown to it.
  if (thisRuntime.kind === "deno") return t.skip("Deno's TLS refuses acmeIdentifier");
  const { ca, client } = await start(t);
  let change: Partial<AlpnOptions> = {};
  const seen: string[] = [];
  const settings: tls.TlsOptions = {
    ALPNProtocols: ["acme-tls/1"],
    SNICallback(name, done) {
      seen.push(name);
      const authz = ca.authorizations.at(-1)!;
      const { token } = authz.challenges.find(({ type }) => type === "tls-alpn-01")!;
      const digest = createHash("sha256").update(`${token}.${thumbprintOf(client)}`).digest();
      done(null, alpnCertificate({ names: [authz.identifier.value], digest, ...change }));
    },
  };
  const listen = async (options: tls.TlsOptions): Promise<void> => {
    const server = tls.createServer(options).on("tlsClientError", () => {});
    t.after(() => server.close());
    await once(server.listen(0, "127.0.0.1"), "listening");
    ca.settings.validate = { httpPort: 1, tlsPort: (server.address() as AddressInfo).port };
  };
  await listen(settings);
  const check = async (name: string): Promise<string> =>
    (await outcomes(client, [name], "tls-alpn-01"))[0]!;
  assert.equal(await check("a.test"), "valid");
  assert.equal(await check("192.0.2.1"), "valid");
  assert.equal(await check("2001:db8::1"), "valid");
  const zeros = "0.".repeat(23);
  const reversed = `1.${zeros}8.b.d.0.1.0.0.2.ip6.arpa`;
  assert.deepEqual(seen, ["a.test", "1.2.0.192.in-addr.arpa", reversed]);
  for (
    const [wrong, expect] of [
      [{ names: ["a.test", "b.test"] }, /its names/],
      [{ names: ["b.test"] }, /its names/],
      [{ digest: Buffer.alloc(32) }, /acmeIdentifier/],
      [{ critical: false }, /acmeIdentifier/],
      [{ twice: true }, /^/], // OpenSSL may refuse to send it
    ] as const
  ) {
    change = wrong;
    const outcome = await check("a.test");
    assert.match(outcome, expect);
    assert.notEqual(outcome, "valid");
  }
  change = {};
  await listen({ ...settings, ALPNProtocols: ["http/1.1"] });
  assert.match(await check("a.test"), /^tls /);
  await listen({ SNICallback: settings.SNICallback! });
  assert.match(await check("a.test"), /^unauthorized Cannot negotiate ALPN protocol/);
  ca.settings.validate = { httpPort: 1, tlsPort: 1 };
  assert.match(await check("a.test"), /^connection /);
});

test("dns-01 wants the digest among the values", async (t) => {
  const { ca, client } = await start(t);
  let values: readonly string[] = [];
  const asked: string[] = [];
  const lookupTxt = (name: string): Promise<readonly string[]> => {
    asked.push(name);
    const { token } = ca.authorizations.at(-1)!.challenges.find(({ type }) => type === "dns-01")!;
    const good = createHash("sha256").update(`${token}.${thumbprintOf(client)}`).digest(
      "base64url",
    );
    return Promise.resolve(values.map((value) => value === "GOOD" ? good : value));
  };
  ca.settings.validate = { httpPort: 1, tlsPort: 1, lookupTxt };
  const check = async (name: string): Promise<string> =>
    (await outcomes(client, [name], "dns-01"))[0]!;
  const name = "_acme-challenge.a.test";
  assert.equal(await check("a.test"), `unauthorized No TXT record found at ${name}`);
  values = ["x", "y", "z"];
  const wrong = `unauthorized Incorrect TXT record "x" (and 2 more) found at ${name}`;
  assert.equal(await check("a.test"), wrong);
  values = ["x", "GOOD"];
  assert.equal(await check("*.a.test"), "valid");
  assert.deepEqual(new Set(asked), new Set([name]));
  ca.settings.validate = { httpPort: 1, tlsPort: 1, lookupTxt: () => Promise.reject(new Error()) };
  assert.match(await check("a.test"), /^dns DNS problem: SERVFAIL looking up TXT for /);
  delete (ca.settings.validate as { lookupTxt?: unknown }).lookupTxt;
  assert.match(await check("a.test"), /^dns DNS problem: NXDOMAIN looking up TXT for /);
});

test("dns-persist-01 has the challenge of the draft that is set, without a token", async (t) => {
  const { ca, client } = await start(t, { challenges: ["dns-persist-01"] });
  const names = ["ca.test", "other.test"];
  const fields = { type: "dns-persist-01", status: "pending" };
  const shapes = [
    { ...fields, "issuer-domain-names": names },
    { ...fields, "issuer-domain-names": names, accounturi: client.kid },
    { ...fields, issuerDomainNames: names },
  ];
  for (const draft of [0, 1, 2] as const) {
    ca.settings.persist = { draft, issuerDomainNames: names };
    const { json: order } = await client.order(["a.test"]);
    const { json } = await client.post((order.authorizations as string[])[0]!);
    const [{ url: _, ...shape }] = json.challenges as [Json];
    assert.deepEqual(shape, shapes[draft]);
    const { meta } = (await send(ca, "GET", ca.directory)).json as { meta: Json };
    assert.deepEqual(meta.issuerDomainNames, draft === 2 ? names : undefined);
    const prefix = draft === 2 ? `${client.base}/account-hash/` : undefined;
    assert.equal(meta.accountHashPrefix, prefix);
  }
  const { json } = await client.order(["192.0.2.1"]);
  assert.deepEqual((await client.post((json.authorizations as string[])[0]!)).json.challenges, []);
});

const CLAIM: Claim = {
  type: "dns-persist-01",
  identifier: { type: "dns", value: "example.com" },
  wildcard: false,
  token: "",
  accountUrl: "https://ca.example/acct/123",
  thumbprints: ["x".repeat(43), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"],
  persist: {
    draft: 1,
    issuerDomainNames: ["authority.example"],
    accountHashPrefix: "https://ca.example/account-hash/",
  },
};

const persisted = (values: readonly string[], claim: Claim): Promise<unknown> => {
  const lookupTxt = (): Promise<readonly string[]> => Promise.resolve(values);
  return validate({ httpPort: 1, tlsPort: 1, lookupTxt }, claim);
};

test("dns-persist-01 records of drafts 00 and 01 name the account", async () => {
  const good = "authority.example; accounturi=https://ca.example/acct/123";
  for (
    const [value, wildcard, valid] of [
      [good, false, true],
      [`  authority.example;AccountURI=https://ca.example/acct/123 ; x=y;`, false, true],
      [good, true, false],
      [`${good}; policy=WildCard`, true, true],
      [`${good}; policy=other`, true, false],
      [`${good}; persistUntil=1`, false, false],
      [`${good}; persistUntil=4102444800`, false, true],
      [`${good}; persistUntil=0x99999999999`, false, false],
      [`${good}; policy=wildcard; POLICY=wildcard`, true, false],
      [`${good}; nothing`, false, false],
      [`${good}4`, false, false],
      [good.replace("authority", "other"), false, false],
      ["authority.example", false, false],
    ] as const
  ) {
    const problem = await persisted([value], { ...CLAIM, wildcard });
    assert.equal(problem === undefined, valid, `${value} ${JSON.stringify(problem)}`);
  }
  assert.equal(await persisted(["v=spf1", good], CLAIM), undefined);
});

test("dns-persist-01 records of draft 02 have the hash of the draft's example", async () => {
  const claim: Claim = { ...CLAIM, persist: { ...CLAIM.persist, draft: 2 } };
  const start = "authority.example; accounturi=https://ca.example/account-hash/sha-256/";
  const [own, any] = [
    `${start}5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw`,
    `${start}NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug`,
  ];
  const other: Claim = { ...claim, identifier: { type: "dns", value: "other.example.com" } };
  assert.equal(await persisted([own], claim), undefined);
  assert.equal(await persisted([any], claim), undefined);
  assert.equal(await persisted([any], other), undefined);
  assert.notEqual(await persisted([own], other), undefined);
  const plain = "authority.example; accounturi=https://ca.example/acct/123";
  assert.notEqual(await persisted([plain], claim), undefined);
  const rotated: Claim = { ...claim, thumbprints: [...claim.thumbprints, "y".repeat(43)] };
  assert.equal(await persisted([own], rotated), undefined, "a key of before");
});

// ---- Answers of a test's own

test("a test scripts any answer, or alters the ordinary one", async (t) => {
  const { ca, client } = await start(t);
  const at = new Date("2026-11-25T03:11:00Z");
  const answers = [
    refusal(says("tooManyCertificates", at), 3600),
    refusal(says("tooManyFailures"), at),
    refusal(says("paused", "a.test", "https://ca.test/unpause")),
    refusal({ ...says("busy"), status: 503 }, 60),
    refusal(problem("userActionRequired", "new terms", { instance: "https://ca.test/terms/2" })),
    { status: 502, headers: { "content-type": "text/html" }, body: "<html>" },
    { status: 201, headers: { location: `${client.base}/order/1` }, body: { status: 7 } },
  ];
  ca.on("newOrder", () => answers.shift());
  const replies: Reply[] = [];
  while (answers.length > 0) replies.push(await client.order(["a.test"]));
  assert.deepEqual(replies.map(refused), [
    ...["429 rateLimited", "429 rateLimited", "429 rateLimited", "503 serverInternal"],
    ...["403 userActionRequired", "502 undefined", "201 undefined"],
  ]);
  assert.match(
    `${replies[0]?.json.detail}`,
    /in the last 168h0m0s, retry after 2026-11-25 03:11:00 UTC/,
  );
  assert.deepEqual(replies.slice(0, 4).map(({ headers }) => headers["retry-after"]), [
    ...["3600", "Wed, 25 Nov 2026 03:11:00 GMT", undefined, "60"],
  ]);
  assert.match(
    `${replies[2]?.json.detail}`,
    /temporarily prevented .* https:\/\/ca\.test\/unpause$/,
  );
  assert.equal(replies[4]?.json.instance, "https://ca.test/terms/2");
  assert.ok(replies.every(({ headers }) => headers["replay-nonce"]));
  assert.equal(ca.orders.length, 0);
  ca.off();
  ca.on("*", async ({ resource }, proceed) => {
    if (resource !== "newOrder") return undefined;
    const answer = await proceed();
    const headers = { ...answer.headers, "replay-nonce": "", location: "" };
    return { ...answer, headers, body: { ...answer.body as Json, identifiers: null } };
  });
  const altered = await client.order(["a.test"]);
  assert.deepEqual([altered.status, altered.json.identifiers], [201, null]);
  assert.equal(altered.headers["replay-nonce"], undefined);
  assert.equal(altered.headers.location, undefined);
  assert.equal(ca.orders.length, 1);
  ca.off("*");
  assert.ok((await client.order(["b.test"])).json.identifiers);
});

test("a test cuts answers, leaves them hanging, or has them never end", async (t) => {
  const { ca } = await start(t);
  const get = (): Promise<Reply> => send(ca, "GET", ca.directory);
  for (
    const answer of [
      { ending: "cut" },
      { ending: "cut", body: { a: "b".repeat(100) } },
      { ending: "endless", body: '{"a":"' },
    ] as const
  ) {
    ca.on("directory", () => answer);
    await assert.rejects(get(), answer.ending === "cut" ? /hang up|abort|reset|clos/i : /too much/);
    ca.off("directory");
  }
  for (const answer of [{ ending: "hang" }, { ending: "hang", body: "{}" }] as const) {
    ca.on("directory", () => answer);
    let over = false;
    const pending = get().then(() => "answered", () => "failed").finally(() => over = true);
    while (!ca.requests.at(-1)?.status) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(over, false);
    ca.off();
    if (answer.body === undefined) continue;
    await ca.close();
    assert.equal(await pending, "failed");
  }
  await ca.close();
});
