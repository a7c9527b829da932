import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers";
import { createProvider as cloudflare } from "../lib/dns/cloudflare.ts";
import { createProvider as duckdns } from "../lib/dns/duckdns.ts";
import { createProvider as hetzner } from "../lib/dns/hetzner.ts";
import { createProvider as porkbun } from "../lib/dns/porkbun.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "../lib/dns/provider.ts";
import {
  canonicalQuery,
  createProvider as route53,
  type Element,
  parseXml,
  sharedCredentials,
  sign,
} from "../lib/dns/route53.ts";
import type { HttpClient } from "../lib/httpsclient.ts";
import {
  type Exchange,
  NAME,
  type ServiceRow,
  serviceRows,
  type SettingsRow,
  settingsRows,
  type SignatureRow,
  signatureRows,
  SIGNED_AT,
  USUAL_ENV,
  VALUE,
  type XmlRow,
  xmlRows,
  type XmlTree,
} from "./vectors/dns-services1.ts";

const KEYS = { id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };

/** Milliseconds that route53 would have waited. */
const waits: number[] = [];
const timing = { now: () => SIGNED_AT, wait: async (ms: number) => void waits.push(ms) };

const PROVIDERS: Readonly<
  Record<ServiceRow["provider"], (context: ProviderContext) => DnsProvider>
> = { cloudflare, duckdns, hetzner, porkbun, route53: (context) => route53(context, timing) };

/** A client that wants these requests, in this order and no others. */
function expecting(exchanges: readonly Exchange[]): { http: HttpClient; check: () => void } {
  const left = [...exchanges];
  const wrong: unknown[] = []; // kept, in case a provider takes it for a failure of the service
  const http: HttpClient = async ({ method, url, fields = [], body }) => {
    try {
      const next = left.shift();
      assert.ok(next, `unexpected request: ${method} ${url}`);
      const { request, status, answer } = next;
      const wanted = request.fields.map((value) => {
        if (!value.endsWith("Signature=*")) return value;
        return signed(method, url, request.fields, typeof body === "string" ? body : "");
      });
      const got = { method, url, fields, ...(body !== undefined && { body }) };
      assert.deepEqual(got, { ...request, fields: wanted });
      const text = typeof answer === "string" ? answer : JSON.stringify(answer);
      return { status, fields: [], body: Buffer.from(text) };
    } catch (error) {
      wrong.push(error);
      throw error;
    }
  };
  const check = () => {
    if (wrong.length > 0) throw wrong[0];
    assert.deepEqual(left.map(({ request }) => `${request.method} ${request.url}`), []);
  };
  return { http, check };
}

/** The Authorization for a request with these fields, whose signature isn't in the vectors. */
function signed(method: string, url: string, all: readonly string[], body: string): string {
  const field = (name: string) => all.includes(name) ? all[all.indexOf(name) + 1] : undefined;
  const type = field("Content-Type");
  const fields = type === undefined ? [] : ["Content-Type", type];
  const region = /\d{8}\/([^/]+)/.exec(field("Authorization") ?? "")?.[1] ?? "";
  const keys = { ...KEYS, token: field("X-Amz-Security-Token") };
  const scope = { region, service: "route53" };
  return sign({ method, url, fields, body }, keys, scope, new Date(SIGNED_AT)).at(-1) ?? "";
}

function context(
  provider: string,
  http: HttpClient,
  more: Readonly<Record<string, string>> = {},
  zone: string = "example.com",
): ProviderContext {
  const env: Readonly<Record<string, string>> = { ...USUAL_ENV[provider], ...more };
  return { env: (name) => env[name], http, zoneOf: async () => zone };
}

const record = (name: string = NAME, value: string = VALUE) => ({
  ...{ name, value, domain: "www.example.com", token: "token", keyAuthorization: "token.thumb" },
});

async function runServices(rows: readonly ServiceRow[]): Promise<void> {
  assert.ok(rows.length > 0, "no rows");
  for (const row of rows) {
    const { http, check } = expecting(row.exchanges);
    const made = context(row.provider, http, row.env, row.zone);
    const provider = PROVIDERS[row.provider](made);
    const done = provider[row.action](record(row.record), AbortSignal.timeout(10_000));
    const failure = await done.then(() => undefined, (error: unknown) => error);
    try {
      check();
      if (row.expect === undefined) assert.equal(failure, undefined);
      else checkMessage(failure, row.expect, { ...USUAL_ENV[row.provider], ...row.env });
    } catch (error) {
      throw new Error(row.name, { cause: error });
    }
  }
}

/** The parts in that order, and nothing of a secret. */
function checkMessage(
  failure: unknown,
  parts: readonly string[],
  env: Readonly<Record<string, string>>,
): void {
  assert.ok(failure instanceof DnsProviderError, `no DnsProviderError: ${failure}`);
  let from = 0;
  for (const part of parts) {
    const at = failure.message.indexOf(part, from);
    assert.ok(at >= 0, `no ${JSON.stringify(part)} in ${failure.message}`);
    from = at + part.length;
  }
  for (const [name, secret] of Object.entries(env)) {
    if (!/TOKEN|KEY/.test(name) || name === "AWS_ACCESS_KEY_ID") continue;
    assert.ok(!failure.message.includes(secret), `${name} is in ${failure.message}`);
  }
}

function runSettings(rows: readonly SettingsRow[]): void {
  assert.ok(rows.length > 0, "no rows");
  const http: HttpClient = () => Promise.reject(new Error("asked"));
  for (const { name, provider, env, expect } of rows) {
    const make = () =>
      PROVIDERS[provider]({ env: (key) => env[key], http, zoneOf: async () => "example.com" });
    if (typeof expect === "string") {
      const wanted = { constructor: DnsProviderError, message: expect };
      const error = thrown(make);
      assert.equal(error.constructor, wanted.constructor, name);
      assert.ok(error.message.includes(expect), `${name}: ${error.message}`);
    } else {
      const { propagation: { timeout, interval }, sequential } = make();
      const got = { timeout, interval, ...(sequential !== undefined && { sequential }) };
      assert.deepEqual(got, expect, name);
    }
  }
}

function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new assert.AssertionError({ message: "nothing was thrown" });
}

function runSignatures(rows: readonly SignatureRow[]): void {
  assert.ok(rows.length > 0, "no rows");
  const date = new Date("2015-08-30T12:36:00Z");
  const scope = { region: "us-east-1", service: "service" };
  for (const { name, method, path = "", query = [], fields = [], body = "", ...row } of rows) {
    const url = `https://example.amazonaws.com/${path}${canonicalQuery(query)}`;
    const keys = { ...KEYS, token: row.token };
    const got = sign({ method, url, fields, body }, keys, scope, date);
    const token = row.token === undefined ? [] : ["X-Amz-Security-Token", row.token];
    const credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/" +
      `aws4_request, SignedHeaders=${row.expect[0]}, Signature=${row.expect[1]}`;
    const date1 = ["X-Amz-Date", "20150830T123600Z"];
    assert.deepEqual(got, [...fields, ...date1, ...token, "Authorization", credential], name);
  }
}

function runXml(rows: readonly XmlRow[]): void {
  assert.ok(rows.length > 0, "no rows");
  const tree = ({ name, text, elements }: Element): XmlTree => {
    return [name, elements.length > 0 ? elements.map(tree) : text];
  };
  for (const { name, input, expect } of rows) {
    const read = () => tree(parseXml(Buffer.from(input)));
    if (expect === undefined) assert.throws(read, DnsProviderError, name);
    else assert.deepEqual(read(), expect, name);
  }
}

test("DNS services are asked, and answers taken, as their rows say", async () => {
  await runServices(serviceRows);
});

test("DNS services are made from variables as their rows say", () => {
  runSettings(settingsRows);
});

test("sign() makes the signatures of AWS's suite", () => {
  runSignatures(signatureRows);
  // Not in the suite: what encodeURIComponent() leaves.
  assert.equal(canonicalQuery([["b", "!'()*"], ["a", "~ "]]), "?a=~%20&b=%21%27%28%29%2A");
});

test("parseXml() reads what its rows say and refuses the rest", () => {
  runXml(xmlRows);
});

test("the runners fail on no rows and on a wrong one", async () => {
  await assert.rejects(runServices([]), /no rows/);
  assert.throws(() => runSettings([]), /no rows/);
  assert.throws(() => runSignatures([]), /no rows/);
  assert.throws(() => runXml([]), /no rows/);
  const [row] = serviceRows;
  const [exchange] = row.exchanges;
  const wrongs: readonly Partial<ServiceRow>[] = [
    { exchanges: row.exchanges.slice(0, -1) },
    { exchanges: [...row.exchanges, exchange] },
    { exchanges: [{ ...exchange, request: { ...exchange.request, method: "HEAD" } }] },
    { exchanges: [{ ...exchange, request: { ...exchange.request, fields: [] } }] },
    { exchanges: [{ ...exchange, request: { ...exchange.request, body: "" } }] },
    { expect: ["anything"] },
    { env: { CF_TTL: "121" } },
  ];
  for (const wrong of wrongs) {
    await assert.rejects(runServices([{ ...row, ...wrong }]), new RegExp(row.name));
  }
  assert.throws(() => runSettings([{ ...settingsRows[0], expect: "x" }]), /nothing was thrown/);
  const bad = { ...signatureRows[0], method: "PUT" };
  assert.throws(() => runSignatures([bad]), /get-vanilla/);
  assert.throws(() => runXml([{ ...xmlRows[0], expect: undefined }]), /elements/);
});

test("route53 writes values of one name one after another, and loses none", async () => {
  const other = "b".repeat(43);
  const stored: string[] = [];
  let busy = 0;
  const http: HttpClient = async ({ method, body }) => {
    assert.equal(++busy, 1, "two requests at once");
    await Promise.resolve();
    busy--;
    const set = `<ResourceRecordSet><Name>${NAME}.</Name><Type>TXT</Type><TTL>10</TTL>` +
      `<ResourceRecords>${
        stored.map((value) => `<ResourceRecord><Value>${value}</Value></ResourceRecord>`).join("")
      }</ResourceRecords></ResourceRecordSet>`;
    if (method === "POST") {
      const created = String(body).split("<Action>CREATE</Action>")[1];
      const values = [...created.matchAll(/<Value>(.*?)<\/Value>/g)].map(([, value]) => value);
      stored.splice(0, stored.length, ...values);
    }
    const text = method === "POST"
      ? "<a><ChangeInfo><Id>C1</Id></ChangeInfo></a>"
      : `<a><ResourceRecordSets>${stored.length === 0 ? "" : set}</ResourceRecordSets></a>`;
    return { status: 200, fields: [], body: Buffer.from(text) };
  };
  const env = { AWS_HOSTED_ZONE_ID: "Z1", AWS_WAIT_FOR_RECORD_SETS_CHANGED: "false" };
  const provider = PROVIDERS.route53(context("route53", http, env));
  const { signal } = new AbortController();
  await Promise.all([
    provider.present(record(), signal),
    provider.present(record(NAME, other), signal),
  ]);
  assert.deepEqual(stored, [`&#34;${VALUE}&#34;`, `&#34;${other}&#34;`]);
  await Promise.all([provider.cleanUp(record(), signal), provider.present(record(), signal)]);
  assert.deepEqual(stored, [`&#34;${other}&#34;`, `&#34;${VALUE}&#34;`]);
});

test("route53 waits longer each time that it is throttled", async () => {
  const row = serviceRows.find(({ name }) => name === "route53 is throttled, and asked again");
  assert.ok(row);
  waits.length = 0;
  await runServices([row]);
  assert.equal(waits.length, 4);
  waits.forEach((ms, at) => {
    assert.ok(ms >= 400 * 2 ** at && ms <= 500 * 2 ** at, `${ms} ms at ${at}`);
  });
});

test("route53 gives up on more pages of zones than an account has", async () => {
  let asked = 0;
  const http: HttpClient = async () => {
    asked++;
    const text = "<a><HostedZones/><IsTruncated>true</IsTruncated>" +
      "<NextDNSName>example.com</NextDNSName><NextHostedZoneId>Z1</NextHostedZoneId></a>";
    return { status: 200, fields: [], body: Buffer.from(text) };
  };
  const provider = PROVIDERS.route53(context("route53", http));
  const { signal } = new AbortController();
  await assert.rejects(
    provider.present(record(), signal),
    /more than 2000 hosted zones below exam/,
  );
  assert.equal(asked, 20);
});

test("route53 reads a profile of the shared credentials file, again for each change", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "centauri-aws-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "credentials");
  const text = (id: string) =>
    `# keys\n[default]\naws_access_key_id=AKIDOTHER\n\n[ mine ]\r\naws_access_key_id = ${id}\r\n` +
    "aws_secret_access_key=a=b\naws_session_token = t \n;x=y\n[z]\naws_access_key_id = no\n";
  await writeFile(path, text("AKID1"));
  const seen: string[] = [];
  const http: HttpClient = async ({ fields = [] }) => {
    seen.push(/Credential=(\w+)/.exec(fields.join())?.[1] ?? "", fields[3]);
    return { status: 200, fields: [], body: Buffer.from("<a><ResourceRecordSets/></a>") };
  };
  const env: Readonly<Record<string, string>> = {
    AWS_SHARED_CREDENTIALS_FILE: path,
    AWS_PROFILE: "mine",
    AWS_HOSTED_ZONE_ID: "Z1",
  };
  const made = { env: (name: string) => env[name], http, zoneOf: async () => "" };
  const provider = PROVIDERS.route53(made);
  const { signal } = new AbortController();
  await provider.cleanUp(record(), signal);
  await writeFile(path, text("AKID2"));
  await provider.cleanUp(record(), signal);
  assert.deepEqual(seen, ["AKID1", "t", "AKID2", "t"]);
  assert.deepEqual(sharedCredentials(text("AKID3"), "mine").secret, "a=b");
  assert.throws(
    () => sharedCredentials(text("AKID3"), "default"),
    /profile "default".* lacks keys/,
  );
  assert.throws(() => sharedCredentials("", "mine"), DnsProviderError);
  const bad = text("AKID\rX: y"); // it would get into a field
  assert.throws(() => sharedCredentials(bad, "mine"), DnsProviderError);
});

test("DNS services pass the signal on, and end with it", async () => {
  for (const [name, create] of Object.entries(PROVIDERS)) {
    const controller = new AbortController();
    const reason = new Error("enough");
    const http: HttpClient = ({ signal }) =>
      new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
        controller.abort(reason);
      });
    const provider = create(context(name, http));
    const zone = name === "duckdns" ? "_acme-challenge.a.duckdns.org" : NAME;
    await assert.rejects(provider.present(record(zone), controller.signal), reason, name);
  }
});

test("hetzner changes a zone in one action at a time", async () => {
  let running = 0;
  const http: HttpClient = async ({ method, url }) => {
    if (method === "POST") assert.equal(++running, 1, "two actions at once");
    if (url.includes("/actions/7")) running--;
    const status = url.includes("/actions/7") ? "success" : "running";
    const answer = method === "GET" && !url.includes("/actions/")
      ? { rrset: { records: [] } }
      : { action: { id: 7, status } };
    return { status: 200, fields: [], body: Buffer.from(JSON.stringify(answer)) };
  };
  const provider = PROVIDERS.hetzner(context("hetzner", http));
  const { signal } = new AbortController();
  const names = ["a", "b", "c"].map((label) => `_acme-challenge.${label}.example.com`);
  await Promise.all(names.map((name) => provider.present(record(name), signal)));
  assert.equal(running, 0);
});

test("duckdns lets the interval pass between two values of a name", async () => {
  const exchange = (query: string): Exchange => ({
    request: { method: "GET", url: `https://www.duckdns.org/update?${query}`, fields: [] },
    status: 200,
    answer: "OK",
  });
  const set = `domains=mine&token=a7c4d0ad-114e&txt=${VALUE}`;
  const { http, check } = expecting([exchange(set), exchange(`${set}&clear=true`)]);
  const provider = PROVIDERS.duckdns(context("duckdns", http));
  const controller = new AbortController();
  const name = "_acme-challenge.mine.duckdns.org";
  await provider.present(record(name), controller.signal);
  await provider.cleanUp(record(name), controller.signal);
  const again = provider.present(record("mine.duckdns.org"), controller.signal);
  // Time to ask, if it did not wait: it waits for a minute.
  await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  await assert.rejects(again, { name: "AbortError" });
  check();
});
