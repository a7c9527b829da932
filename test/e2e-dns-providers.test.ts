/**
 * The DNS providers that need no account, against real servers: BIND for rfc2136, HTTP servers
 * for httpreq and acme-dns, scripts for exec.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import dgram from "node:dgram";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { once } from "node:events";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { createProvider as createAcmeDns } from "../lib/dns/acme-dns.ts";
import { createProvider as createExec } from "../lib/dns/exec.ts";
import { createProvider as createHttpreq } from "../lib/dns/httpreq.ts";
import { type DnsProvider, DnsProviderError, type TxtRecord } from "../lib/dns/provider.ts";
import type { CreateProvider } from "../lib/dns/provider.ts";
import { createProvider as createRfc2136 } from "../lib/dns/rfc2136.ts";
import { signMessage, TSIG_ERROR, verifyAnswer } from "../lib/dns/tsig.ts";
import { CLASS, decodeMessage, encodeMessage, OPCODE, txtStrings, TYPE } from "../lib/dnsmsg.ts";
import { createHttpClient } from "../lib/httpsclient.ts";
import { freePorts } from "./acmepeers.ts";
import {
  findProgram,
  isRunning,
  needProgram,
  run,
  type Scope,
  temporaryFolder,
} from "./support.ts";

const SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const ALGORITHMS = ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"];
const VALUE = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ";
const OTHER_VALUE = "gfj9Xq-Rg85nM-v0hTKTS3LdDo4mYPCaGcYN3Eq1a4A";
const never = new AbortController().signal;

/** A provider with those variables; what waits for its test's end is closed then. */
function provider(t: Scope, create: CreateProvider, env: Record<string, string>): DnsProvider {
  const client = createHttpClient({ userAgent: "test" });
  t.after(() => client.close());
  const zoneOf = () => Promise.reject(new Error("not to be asked"));
  return create({ env: (name) => env[name], http: client.request, zoneOf });
}

function txt(name: string, value: string = VALUE, domain: string = "example.test"): TxtRecord {
  return { name, value, domain, token: "-token", keyAuthorization: "-token.thumbprint" };
}

/** Rejects with the provider's error, whose message and cause are these. */
async function refuses(work: Promise<unknown>, message: RegExp, cause?: RegExp): Promise<Error> {
  const error = await work.then(() => assert.fail("it was not refused"), (error) => error);
  assert.ok(error instanceof DnsProviderError, `${error.stack}`);
  assert.match(error.message, message);
  if (cause !== undefined) assert.match(String((error.cause as Error).message), cause);
  return error;
}

// --- rfc2136 ---

interface Named {
  readonly server: string;
  readonly port: number;
  readonly folder: string;
}

/** BIND with the zones example.test and sub.example.test, and a key for each algorithm. */
async function startNamed(t: Scope): Promise<Named> {
  const folder = await temporaryFolder(t);
  const port = await freePort();
  const zone = (name: string, policy: string): string =>
    `zone "${name}" { type primary; file "${name}.zone"; ${policy} };`;
  const grants = ALGORITHMS.map((algorithm) => `grant ${algorithm} zonesub TXT;`).join(" ");
  const policy = `update-policy { ${grants} grant file-key zonesub TXT; };`;
  const keys = ["reader", ...ALGORITHMS].map((name) => {
    const algorithm = name === "reader" ? "hmac-sha256" : name;
    return `key "${name}" { algorithm ${algorithm}; secret "${SECRET}"; };`;
  });
  const settings = `options { directory "${folder}"; pid-file none; recursion no; notify no;
      listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; dnssec-validation no;
      session-keyfile "${folder}/session.key"; minimal-responses yes; }; controls {};
    include "${folder}/file.key"; ${keys.join("\n")}
    ${zone("example.test", policy)} ${zone("sub.example.test", policy)}
    ${zone("open.test", "allow-update { 127.0.0.1; };")} ${zone("closed.test", "")}`;
  const records = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n";
  for (const name of ["example.test", "sub.example.test", "open.test", "closed.test"]) {
    await writeFile(join(folder, `${name}.zone`), records);
  }
  const { stdout } = await run("tsig-keygen", ["-a", "hmac-sha512", "file-key"]);
  await writeFile(join(folder, "file.key"), stdout);
  await writeFile(join(folder, "named.conf"), settings);
  const args = ["-g", "-n", "1", "-c", join(folder, "named.conf")];
  const child = spawn(findProgram("named")!, args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  t.after(() => {
    process.kill(child.pid!, "SIGTERM");
    return ended;
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line);
    if (!line.endsWith(" running")) continue;
    child.stderr.resume();
    return { server: `127.0.0.1:${port}`, port, folder };
  }
  throw new Error(`named did not start:\n${lines.join("\n")}`);
}

/** One that is free for UDP and for TCP now: named has no port 0. */
async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Sends a datagram and resolves with the first that comes back. */
async function askUdp(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = dgram.createSocket("udp4");
  try {
    return await new Promise((resolve, reject) => {
      socket.on("message", resolve).on("error", reject);
      socket.send(bytes, port, "127.0.0.1");
    });
  } finally {
    socket.close();
  }
}

async function txtAt(port: number, name: string): Promise<string[]> {
  const questions = [{ name, type: TYPE.TXT, class: CLASS.IN }];
  const answer = decodeMessage(await askUdp(port, encodeMessage({ id: 1, questions })));
  return answer.answers.map(({ data }) => txtStrings(data)).sort();
}

const withKey = (server: string, name: string = "hmac-sha256"): Record<string, string> => ({
  DNSUPDATE_NAMESERVER: server,
  DNSUPDATE_TSIG_KEY: name,
  DNSUPDATE_TSIG_ALGORITHM: ALGORITHMS.includes(name) ? `${name}.` : "hmac-sha256",
  DNSUPDATE_TSIG_SECRET: SECRET,
});

test("rfc2136 adds one value beside others and takes away only that one", async (t) => {
  if (!needProgram(t, "named")) return;
  const { server, port } = await startNamed(t);
  const name = "_acme-challenge.example.test";
  const dns = provider(t, createRfc2136, withKey(server));
  await dns.present(txt(name), never);
  await dns.present(txt(name, OTHER_VALUE), never);
  await dns.present(txt(name), never); // again
  assert.deepEqual(await txtAt(port, name), [VALUE, OTHER_VALUE]);
  await dns.cleanUp(txt(name), never);
  await dns.cleanUp(txt(name), never); // again
  assert.deepEqual(await txtAt(port, name), [OTHER_VALUE]);
  await dns.cleanUp(txt(name, OTHER_VALUE), never);
  assert.deepEqual(await txtAt(port, name), []);
});

test("rfc2136 signs with every algorithm, with a key file, and without a key", async (t) => {
  if (!needProgram(t, "named")) return;
  const { server, port, folder } = await startNamed(t);
  for (const algorithm of ALGORITHMS) {
    const name = `${algorithm}.example.test`;
    const env = withKey(server, algorithm);
    if (algorithm === "hmac-sha1") delete env.DNSUPDATE_TSIG_ALGORITHM; // the default
    await provider(t, createRfc2136, env).present(txt(name), never);
    assert.deepEqual(await txtAt(port, name), [VALUE]);
  }
  const file = { RFC2136_NAMESERVER: server, RFC2136_TSIG_FILE: join(folder, "file.key") };
  await provider(t, createRfc2136, file).present(txt("file.example.test"), never);
  assert.deepEqual(await txtAt(port, "file.example.test"), [VALUE]);
  const open = provider(t, createRfc2136, { RFC2136_NAMESERVER: server });
  await open.present(txt("_acme-challenge.open.test"), never);
  assert.deepEqual(await txtAt(port, "_acme-challenge.open.test"), [VALUE]);
});

test("rfc2136 finds the closest zone of a name, or takes the one that it is told", async (t) => {
  if (!needProgram(t, "named")) return;
  const { server, port } = await startNamed(t);
  const dns = provider(t, createRfc2136, withKey(server));
  for (const name of ["_acme-challenge.a.b.sub.example.test", "sub.example.test"]) {
    await dns.present(txt(name), never);
    assert.deepEqual(await txtAt(port, name), [VALUE]);
  }
  await refuses(
    dns.present(txt("_acme-challenge.elsewhere.invalid"), never),
    /^the name server 127\.0\.0\.1:\d+ refused to say which zone .+invalid is in: .+\(REFUSED\)$/,
  );
  const told = { ...withKey(server), DNSUPDATE_ZONES: "test, example.test" };
  await provider(t, createRfc2136, told).present(txt("told.example.test"), never);
  assert.deepEqual(await txtAt(port, "told.example.test"), [VALUE]);
  const wrong = { ...withKey(server), DNSUPDATE_ZONES: "test" };
  await refuses(
    provider(t, createRfc2136, wrong).present(txt("a.example.test"), never),
    /refused the update of test: it isn't the zone's primary server.+\(NOTAUTH\)$/,
  );
});

test("rfc2136 says why an update is refused, and never the secret", async (t) => {
  if (!needProgram(t, "named")) return;
  const { server } = await startNamed(t);
  const name = "_acme-challenge.example.test";
  const refused = async (env: Record<string, string>, message: RegExp, at = name) => {
    const dns = provider(t, createRfc2136, { ...withKey(server), ...env });
    const error = await refuses(dns.present(txt(at), never), message);
    assert.ok(!error.message.includes(SECRET));
  };
  const secret = Buffer.from("another one").toString("base64");
  await refused({ DNSUPDATE_TSIG_SECRET: secret }, /"hmac-sha256" has another secret there/);
  await refused({ DNSUPDATE_TSIG_KEY: "nobody" }, /doesn't know the key "nobody" .+\(BADKEY\)/);
  await refused({ DNSUPDATE_TSIG_ALGORITHM: "hmac-sha512" }, /\(BADKEY\)|\(BADSIG\)/);
  await refused({ DNSUPDATE_TSIG_KEY: "reader" }, /update of example.test: the key "reader" may/);
  await refused({}, /\(REFUSED\)/, "_acme-challenge.closed.test");
});

test("verifyAnswer() reads the time of a server whose clock differs", async (t) => {
  if (!needProgram(t, "named")) return;
  const { port } = await startNamed(t);
  const secret = Buffer.from(SECRET, "base64");
  const key = { name: "hmac-sha256", algorithm: "hmac-sha256", secret };
  const questions = [{ name: "example.test", type: TYPE.SOA, class: CLASS.IN }];
  const now = Math.floor(Date.now() / 1000);
  const { bytes, mac } = signMessage({ id: 7, questions }, key, now - 3600);
  const reply = verifyAnswer(await askUdp(port, bytes), key, mac, now - 3600);
  assert.equal(reply.error, TSIG_ERROR.BADTIME);
  assert.ok(Math.abs(reply.serverTime! - now) < 60, `${reply.serverTime} is not about ${now}`);
});

test("rfc2136 sends by TCP what is too long for UDP", async (t) => {
  if (!needProgram(t, "named")) return;
  const { server, port } = await startNamed(t);
  const dns = provider(t, createRfc2136, withKey(server));
  await dns.present(txt("long.example.test", "v".repeat(480)), never);
  assert.equal((await askTxtTcp(port, "long.example.test"))[0]?.length, 480);
});

async function askTxtTcp(port: number, name: string): Promise<string[]> {
  const socket = net.connect(port, "127.0.0.1");
  const bytes = encodeMessage({ id: 1, questions: [{ name, type: TYPE.TXT, class: CLASS.IN }] });
  socket.write(Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes]));
  let input = Buffer.alloc(0);
  for await (const chunk of socket) {
    input = Buffer.concat([input, chunk as Buffer]);
    if (input.length >= 2 && input.length >= 2 + input.readUInt16BE(0)) break;
  }
  return decodeMessage(input.subarray(2)).answers.map(({ data }) => txtStrings(data));
}

/** A name server of UDP whose datagrams the test answers. */
async function startDns(
  t: Scope,
  answer: (bytes: Buffer) => readonly Buffer[],
): Promise<{ server: string; port: number }> {
  const socket = dgram.createSocket("udp4");
  socket.on("message", (bytes, { port, address }) => {
    for (const reply of answer(bytes)) socket.send(reply, port, address);
  });
  const [port = 0] = await freePorts(1); // one that is free for TCP too
  await once(socket.bind(port, "127.0.0.1"), "listening");
  t.after(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  return { server: `127.0.0.1:${port}`, port };
}

/** Answers by TCP too, and tells how many updates each message had. */
async function startDnsTcp(t: Scope, port: number): Promise<number[]> {
  const updates: number[] = [];
  const server = net.createServer({ noDelay: true }, (socket) => {
    let input = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      input = Buffer.concat([input, chunk]);
      if (input.length < 2 || input.length < 2 + input.readUInt16BE(0)) return;
      const { id, opcode, questions, authorities } = decodeMessage(input.subarray(2));
      updates.push(authorities.length);
      const answers = opcode === OPCODE.QUERY ? [SOA] : [];
      const bytes = encodeMessage({ id, opcode, questions, answers, qr: true });
      const rest = [...Buffer.of(0, bytes.length), ...bytes];
      const next = (): void => { // an answer comes in pieces
        socket.write(Buffer.of(...rest.splice(0, 1)));
        if (rest.length > 0) setImmediate(next);
      };
      next();
    });
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return updates;
}

const SOA = {
  name: "example.test",
  type: TYPE.SOA,
  class: CLASS.IN,
  ttl: 0,
  data: Buffer.alloc(22), // two names that are the root, five numbers
};

test("rfc2136 asks again by TCP when the answer by UDP is truncated", async (t) => {
  const { server, port } = await startDns(t, (bytes) => {
    const { id, opcode, questions } = decodeMessage(bytes);
    return [encodeMessage({ id, opcode, questions, qr: true, tc: true })];
  });
  const updates = await startDnsTcp(t, port);
  const dns = provider(t, createRfc2136, { RFC2136_NAMESERVER: server });
  await dns.present(txt("example.test"), never);
  assert.deepEqual(updates, [0, 1]);
});

test("rfc2136 sends only what is short by UDP, and asks for the zone once", async (t) => {
  const asked: number[] = [];
  const { server, port } = await startDns(t, (bytes) => {
    const { id, opcode, questions } = decodeMessage(bytes);
    asked.push(opcode);
    return [encodeMessage({ id, opcode, questions, authorities: [SOA], qr: true, rcode: 3 })];
  });
  const updates = await startDnsTcp(t, port);
  const dns = provider(t, createRfc2136, { RFC2136_NAMESERVER: server });
  await dns.present(txt("_acme-challenge.a.b.c.example.test", "v".repeat(480)), never);
  assert.deepEqual(asked, [OPCODE.QUERY]);
  assert.deepEqual(updates, [1]);
});

test("rfc2136 doesn't take an answer that isn't signed, or is another's", async (t) => {
  const { server } = await startDns(t, (bytes) => {
    const { id, opcode, questions } = decodeMessage(bytes);
    const other = encodeMessage({ id: id ^ 1, opcode, questions, qr: true, rcode: 5 });
    return [Buffer.from("no message"), other, encodeMessage({ id, opcode, questions, qr: true })];
  });
  const env = { ...withKey(server), DNSUPDATE_DNS_TIMEOUT: "1", DNSUPDATE_ZONES: "example.test" };
  const dns = provider(t, createRfc2136, env);
  await refuses(dns.present(txt("a.example.test"), never), /that counts$/, /it isn't signed/);
});

test("rfc2136 gives up on a silent server in its time, and at once when it is ended", async (t) => {
  let seen = 0;
  const { server } = await startDns(t, () => (seen++, []));
  const env = { RFC2136_NAMESERVER: server, RFC2136_DNS_TIMEOUT: "1" };
  const silent = provider(t, createRfc2136, env).present(txt("a.example.test"), never);
  await refuses(silent, /^the name server .+ did not answer in 1 s$/);
  assert.equal(seen, 4);
  const ending = new AbortController();
  const patient = provider(t, createRfc2136, { RFC2136_NAMESERVER: server });
  const ended = patient.present(txt("a.example.test"), ending.signal);
  ending.abort(new Error("leaving"));
  await assert.rejects(ended, /leaving/);
});

// --- httpreq ---

interface Seen {
  readonly path: string;
  readonly type: string | undefined;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

/** A server that answers each request with what `answer` gives. */
async function startHttp(
  t: Scope,
  answer: (request: Seen, headers: http.IncomingHttpHeaders) => readonly [number, unknown?],
): Promise<{ url: string; host: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = http.createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => body += text);
    request.on("end", () => {
      const { "content-type": type, authorization } = request.headers;
      const json = body === "" ? undefined : JSON.parse(body);
      const one = { path: `${request.method} ${request.url}`, type, authorization, body: json };
      seen.push(one);
      const [status, value] = answer(one, request.headers);
      if (status === 0) return; // never
      response.statusCode = status;
      response.end(typeof value === "string" ? value : JSON.stringify(value));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url: `http://${host}`, host, seen };
}

test("httpreq posts name and value to /present and /cleanup", async (t) => {
  const { url, seen } = await startHttp(t, () => [200]);
  const dns = provider(t, createHttpreq, { HTTPREQ_ENDPOINT: `${url}/acme/?zone=1` });
  await dns.present(txt("_acme-challenge.example.test"), never);
  await dns.cleanUp(txt("_acme-challenge.example.test"), never);
  const rest = {
    type: "application/json",
    authorization: undefined,
    body: { fqdn: "_acme-challenge.example.test.", value: VALUE },
  };
  assert.deepEqual(seen, [
    { path: "POST /acme/present?zone=1", ...rest },
    { path: "POST /acme/cleanup?zone=1", ...rest },
  ]);
});

test("httpreq posts the challenge itself with HTTPREQ_MODE=RAW, and logs in", async (t) => {
  const { url, host, seen } = await startHttp(t, () => [204]);
  const raw = { HTTPREQ_ENDPOINT: url, HTTPREQ_MODE: "RAW" };
  const env = { ...raw, HTTPREQ_USERNAME: "user", HTTPREQ_PASSWORD: "pässword" };
  await provider(t, createHttpreq, env).present(txt("_acme-challenge.example.test"), never);
  const inUrl = { ...raw, HTTPREQ_ENDPOINT: `http://user:p%C3%A4ssword@${host}` };
  await provider(t, createHttpreq, inUrl).present(txt("_acme-challenge.example.test"), never);
  const authorization = `Basic ${Buffer.from("user:pässword").toString("base64")}`;
  const body = { domain: "example.test", token: "-token", keyAuth: "-token.thumbprint" };
  const one = { path: "POST /present", type: "application/json", authorization, body };
  assert.deepEqual(seen, [one, one]);
});

test("httpreq repeats what the server says, without the credentials", async (t) => {
  const { url } = await startHttp(t, ({ authorization }) => [
    403,
    { message: `not for ${authorization} (secret-word)` },
  ]);
  const login = { HTTPREQ_USERNAME: "user", HTTPREQ_PASSWORD: "secret-word" };
  const dns = provider(t, createHttpreq, { HTTPREQ_ENDPOINT: url, ...login });
  await refuses(
    dns.present(txt("a.example.test"), never),
    /'s \/present refused the credentials \(403\); it says "not for \(hidden\) \(\(hidden\)\)"$/,
  );
});

test("httpreq gives up after HTTPREQ_HTTP_TIMEOUT, and at once when it is ended", async (t) => {
  const { url, seen } = await startHttp(t, () => [0]);
  const env = { HTTPREQ_ENDPOINT: url, HTTPREQ_HTTP_TIMEOUT: "1" };
  const slow = provider(t, createHttpreq, env).present(txt("a.example.test"), never);
  await refuses(slow, /did not answer in 1000 ms: POST 127\.0\.0\.1:\d+\/present$/);
  assert.equal(seen.length, 1);
  const ending = new AbortController();
  const patient = provider(t, createHttpreq, { HTTPREQ_ENDPOINT: url });
  const ended = patient.present(txt("a.example.test"), ending.signal);
  ending.abort(new Error("leaving"));
  await assert.rejects(ended, /leaving/);
});

// --- acme-dns ---

/** What acme-dns documents: accounts by /register, and the two latest values by /update. */
async function startAcmeDns(t: Scope) {
  const accounts = new Map<string, { key: string; subdomain: string; values: string[] }>();
  const allowed: unknown[] = [];
  const { url, seen } = await startHttp(t, ({ path, body }, headers) => {
    if (path === "POST /register") {
      const id = `${accounts.size}d420c92-3bbd-41a5-a0c8-13d99f41ef5f`;
      const account = { key: `key-${id}`, subdomain: `sub-${id}`, values: [] };
      accounts.set(`user-${id}`, account);
      allowed.push((body as { allowfrom?: unknown } | undefined)?.allowfrom);
      const { key: password, subdomain } = account;
      const fulldomain = `${subdomain}.auth.test`;
      return [201, { allowfrom: [], fulldomain, subdomain, username: `user-${id}`, password }];
    }
    const account = accounts.get(String(headers["x-api-user"]));
    const { subdomain, txt } = body as { subdomain: string; txt: string };
    const knows = headers["x-api-key"] === account?.key && subdomain === account?.subdomain;
    if (path !== "POST /update" || account === undefined || !knows) {
      return [401, { error: "forbidden" }];
    }
    if (txt.length !== 43) return [400, { error: "bad_txt" }];
    account.values = [...account.values, txt].slice(-2);
    return [200, { txt }];
  });
  return { url, seen, accounts, allowed };
}

test("acme-dns registers at first, says which CNAME to set, and then updates", async (t) => {
  const { url, accounts, allowed } = await startAcmeDns(t);
  const path = join(await temporaryFolder(t), "accounts.json");
  const env = {
    ACME_DNS_API_BASE: `${url}/`,
    ACME_DNS_STORAGE_PATH: path,
    ACME_DNS_ALLOWLIST: "192.0.2.0/24, 2001:db8::/32",
  };
  const dns = provider(t, createAcmeDns, env);
  const name = "_acme-challenge.example.test";
  const missing =
    /_acme-challenge\.example\.test\. CNAME (sub-[0-9a-f-]+\.auth\.test)\. \(there is none/;
  const [{ message }] = await Promise.all([
    refuses(dns.present(txt(name), never), missing),
    refuses(dns.present(txt(name, OTHER_VALUE), never), missing), // the wildcard, together with it
  ]);
  await refuses(dns.present(txt("cdn.invalid"), never), /CNAME .+ \(it leads to cdn\.invalid\)$/);
  assert.equal(accounts.size, 1);
  assert.deepEqual(allowed, [["192.0.2.0/24", "2001:db8::/32"]]);
  const target = missing.exec(message)![1]!;
  await dns.present(txt(target), never);
  await provider(t, createAcmeDns, env).present(txt(target, OTHER_VALUE), never); // a restart
  await dns.cleanUp(txt(target), never);
  const [username, account] = [...accounts][0]!;
  assert.deepEqual(account.values, [VALUE, OTHER_VALUE]);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const subdomain = target.replace(".auth.test", "");
  const stored = { fulldomain: target, subdomain, username, password: account.key };
  assert.deepEqual(JSON.parse(await readFile(path, "utf8")), {
    "example.test": { ...stored, server_url: url },
  });
});

test("acme-dns takes lego's file, keeps what it doesn't know, and shares accounts", async (t) => {
  const { url, accounts } = await startAcmeDns(t);
  accounts.set("user", { key: "password", subdomain: "sub", values: [] });
  const path = join(await temporaryFolder(t), "accounts.json");
  const account = {
    fulldomain: "sub.auth.test",
    subdomain: "sub",
    username: "user",
    password: "password",
    server_url: "",
  };
  const old = { "example.test": { ...account, more: 1 }, "__proto__.test": 7 };
  await writeFile(path, JSON.stringify(old));
  const dns = provider(t, createAcmeDns, { ACME_DNS_API_BASE: url, ACME_DNS_STORAGE_PATH: path });
  await dns.present(txt("sub.auth.test"), never);
  await dns.present(txt("sub.auth.test", OTHER_VALUE, "www.example.test"), never);
  assert.deepEqual(accounts.get("user")?.values, [VALUE, OTHER_VALUE]);
  await refuses(dns.present(txt("_acme-challenge.new.test", VALUE, "new.test"), never), /CNAME/);
  const { "new.test": added, ...rest } = JSON.parse(await readFile(path, "utf8"));
  assert.deepEqual(rest, old);
  assert.match(added.fulldomain, /auth\.test$/);
});

test("acme-dns registers every domain once, whoever asks at the same time", async (t) => {
  const { url, accounts } = await startAcmeDns(t);
  const path = join(await temporaryFolder(t), "accounts.json");
  const env = { ACME_DNS_API_BASE: url, ACME_DNS_STORAGE_PATH: path };
  const domains = ["a.test", "b.test", "c.test", "a.test", "b.test", "c.test"];
  await Promise.all(domains.map((domain) => {
    const one = provider(t, createAcmeDns, env); // each as another process would
    return refuses(one.present(txt(`_acme-challenge.${domain}`, VALUE, domain), never), /CNAME/);
  }));
  assert.equal(accounts.size, 3);
  const stored = Object.keys(JSON.parse(await readFile(path, "utf8")));
  assert.deepEqual(stored.sort(), ["a.test", "b.test", "c.test"]);
});

test("acme-dns names a damaged file, leaves it alone and repeats nothing of it", async (t) => {
  const { url, seen } = await startAcmeDns(t);
  const path = join(await temporaryFolder(t), "accounts.json");
  const dns = provider(t, createAcmeDns, { ACME_DNS_API_BASE: url, ACME_DNS_STORAGE_PATH: path });
  const damaged = [
    '{"example.test": {"password":',
    "[]",
    "null",
    '{"example.test":{"password":1}}',
  ];
  for (const content of damaged) {
    await writeFile(path, content);
    const { message, cause } = await refuses(
      dns.present(txt("_acme-challenge.example.test"), never),
      /accounts\.json".* damaged/,
    );
    assert.ok(!message.includes('password":'), message);
    assert.equal(cause, undefined);
    assert.equal(await readFile(path, "utf8"), content);
  }
  assert.equal(seen.length, 0);
});

test("acme-dns says what a server that refuses may want", async (t) => {
  const { url } = await startAcmeDns(t);
  const path = join(await temporaryFolder(t), "accounts.json");
  const account = {
    fulldomain: "sub.auth.test",
    subdomain: "sub",
    username: "u",
    password: "secret",
  };
  await writeFile(path, JSON.stringify({ "example.test": account }));
  const dns = provider(t, createAcmeDns, { ACME_DNS_API_BASE: url, ACME_DNS_STORAGE_PATH: path });
  await refuses(
    dns.present(txt("sub.auth.test"), never),
    /^acme-dns refused the credentials \(401\): the account is of another server.+"forbidden"$/,
  );
});

// --- exec ---

/** A shell script that its owner may run. */
async function script(t: Scope, text: string): Promise<{ path: string; folder: string }> {
  const folder = join(await temporaryFolder(t), "with space");
  await mkdir(folder);
  const path = join(folder, "hook.sh");
  await writeFile(path, `#!/bin/sh\ncd "$(dirname "$0")"\n${text}\n`);
  await chmod(path, 0o755);
  return { path, folder };
}

test("exec runs the program with the name and the value", async (t) => {
  const { path, folder } = await script(t, 'printf "[%s]" "$@" >> log');
  const dns = provider(t, createExec, { EXEC_PATH: path });
  await dns.present(txt("_acme-challenge.example.test"), never);
  await dns.cleanUp(txt("_acme-challenge.example.test"), never);
  const raw = provider(t, createExec, { EXEC_PATH: path, EXEC_MODE: "RAW" });
  await raw.present(txt("_acme-challenge.example.test"), never);
  const both = `[_acme-challenge.example.test.][${VALUE}]`;
  assert.equal(
    await readFile(join(folder, "log"), "utf8"),
    `[present]${both}[cleanup]${both}[present][--][example.test][-token][-token.thumbprint]`,
  );
  assert.equal(dns.sequential, true);
});

test("exec tells the code and the end of what the program said", async (t) => {
  const { path } = await script(t, 'seq 100000; echo "zone \x1b[1mlocked" >&2; exit 3');
  const { message } = await refuses(
    provider(t, createExec, { EXEC_PATH: path }).present(txt("a.test"), never),
    /hook\.sh present" ended with code 3; it said ".*99999\\n100000.*zone \\u001b\[1mlocked.*"$/,
  );
  assert.ok(message.length < 3_500, `${message.length}`);
});

test("exec says that there is no program, or that a signal ended it", async (t) => {
  const { path } = await script(t, "kill -9 $$");
  const killed = provider(t, createExec, { EXEC_PATH: path });
  await refuses(killed.present(txt("a.test"), never), /present" was ended by SIGKILL$/);
  const none = provider(t, createExec, { EXEC_PATH: `${path}.missing` });
  await refuses(none.present(txt("a.test"), never), /^can't run EXEC_PATH ".+missing"$/, /ENOENT/);
});

test("exec doesn't wait for what the program leaves running", async (t) => {
  const { path, folder } = await script(t, "sleep 600 & echo $! > pid");
  await provider(t, createExec, { EXEC_PATH: path }).present(txt("a.test"), never);
  process.kill(Number(await readFile(join(folder, "pid"), "utf8")), "SIGKILL");
});

test("exec kills the program and what it started when it is ended", async (t) => {
  const { path, folder } = await script(t, "sleep 600 & echo $! > new; mv new pid; wait");
  const ending = new AbortController();
  const running = provider(t, createExec, { EXEC_PATH: path }).present(
    txt("a.test"),
    ending.signal,
  );
  const started = async (): Promise<number> => {
    for (;; await setTimeout(5)) {
      const text = await readFile(join(folder, "pid"), "utf8").catch(() => "");
      if (text !== "") return Number(text);
    }
  };
  const pid = await started();
  ending.abort(new Error("leaving"));
  await assert.rejects(running, /leaving/);
  while (await isRunning(pid)) await setTimeout(5);
});

test("exec waits EXEC_SEQUENCE_INTERVAL between two values of one name", async (t) => {
  const { path } = await script(t, "");
  const dns = provider(t, createExec, { EXEC_PATH: path, EXEC_SEQUENCE_INTERVAL: "4" });
  await dns.present(txt("a.test"), never);
  await dns.cleanUp(txt("a.test"), never);
  const start = performance.now();
  await dns.present(txt("b.test"), never);
  assert.ok(performance.now() - start < 3_500, "another name needn't wait");
  await dns.present(txt("a.test", OTHER_VALUE), never);
  assert.ok(performance.now() - start >= 3_500, "the same name must wait");
});
