import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { parseRoutes, RouteError } from "../lib/routes.ts";
import {
  createTailscaled,
  fieldText,
  readPair,
  readStatus,
  readUser,
  TailscaleError,
  userFields,
} from "../lib/tailscale.ts";
import { checkTailscaleRoutes, Tailnet } from "../lib/tailscalefrontend.ts";
import { type Ask, rememberWhoIs } from "../lib/whois.ts";
import { type FakeTailscale, http, pairFor, running } from "./faketailscale.ts";
import { startFakeTailscale, userNode } from "./faketailscale.ts";
import { issue } from "./pki.ts";
import { recordLog, until } from "./recorder.ts";
import { temporaryFolder } from "./support.ts";
import { type Row, statuses, texts, users } from "./vectors/tailscale.ts";

const never = new AbortController().signal;
const NAME = "node.tail1234.ts.net";
const DAY = 86_400_000;

function replay<Expected>(
  rows: readonly Row<Expected>[],
  actual: (input: string) => unknown,
): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) {
    const about = `${name}: ${why}`;
    if (!(expect instanceof RegExp)) assert.deepEqual(actual(input), expect, about);
    else {
      assert.throws(() => actual(input), (error: Error) => {
        assert.ok(error instanceof TailscaleError, about);
        assert.match(error.message, expect, about);
        return true;
      });
    }
  }
}

const body = (text: string): { body: Buffer } => ({ body: Buffer.from(text) });

test("the runner fails on no rows and on a wrong row", () => {
  const wrong = { name: "wrong", why: "a runner that can't fail tests nothing", input: "a" };
  assert.throws(() => replay([], fieldText), /no rows/);
  assert.throws(() => replay([{ ...wrong, expect: "b" }], fieldText), /can't fail/);
  assert.throws(() => replay([{ ...wrong, expect: /b/ }], fieldText), /Missing expected exception/);
});

test("readStatus() reads what a node is, and refuses what it can't be", () => {
  replay(statuses, (input) => readStatus(body(input)));
});

test("readUser() and userFields() tell upstreams of users, and of nobody else", () => {
  replay(users, (input) => {
    const user = readUser(body(input));
    return user && userFields(user);
  });
});

test("fieldText() makes a value of any text", () => {
  replay(texts, fieldText);
});

/** RFC 2047 section 6.2: spaces between encoded-words aren't part of the text. */
function decode(value: string): string {
  if (!value.includes("=?")) return value;
  const words = value.split(" ").map((word) => /^=\?utf-8\?q\?([^? ]+)\?=$/.exec(word)?.[1]);
  assert.ok(
    words.every((word, i) => word !== undefined && value.split(" ")[i]!.length <= 75),
    value,
  );
  const bytes = words.join("").replaceAll("_", " ").replace(
    /=([0-9A-F]{2})/g,
    (_, digits) => String.fromCharCode(parseInt(digits, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}

test("fieldText() loses nothing", () => {
  for (const { input } of texts) {
    const expected = input === "\ud83d" ? "\ufffd" : input;
    assert.equal(decode(fieldText(input)), expected);
  }
});

const [ca, stranger] = [issue({ subject: "CA" }), issue({ subject: "x", names: [NAME] })];
const good = pairFor(NAME);
const [key = "", leaf = ""] = good.split(/(?<=END EC PRIVATE KEY-----\n)/);

test("readPair() takes a key and the chain of the name's certificate", () => {
  const { certificate, privateKey, notAfter } = readPair(body(good), NAME);
  assert.equal(privateKey, key);
  assert.equal(certificate, leaf);
  assert.ok(notAfter.getTime() > Date.now());
  assert.equal(readPair(body(leaf + key), NAME).certificate, leaf);
});

for (
  const [what, text, problem] of [
    ["nothing", "", /isn't as expected/],
    ["no key", leaf, /isn't as expected/],
    ["no certificate", key, /isn't as expected/],
    ["two keys", key + good, /isn't as expected/],
    ["eleven certificates", good + ca.cert.repeat(9), /isn't as expected/],
    ["another's key", stranger.keyPem + leaf, /the key isn't the certificate's/],
    ["a key that is none", key.replace(/^M/m, "A") + leaf, /isn't as expected/],
    ["a certificate that is none", key + leaf.replace(/^M/m, "A"), /isn't as expected/],
    ["another name's", pairFor("other.tail1234.ts.net"), /for other names/],
    ["one that is over", pairFor(NAME, { from: -2 * DAY, to: -DAY }), /has expired/],
  ] as const
) {
  test(`readPair() refuses ${what}`, () => {
    assert.throws(() => readPair(body(text), NAME), (error: Error) => {
      assert.ok(error instanceof TailscaleError, String(error));
      assert.match(error.message, problem);
      assert.ok(!error.message.includes("PRIVATE") && error.cause === undefined);
      return true;
    });
  });
}

const DEADLINES = { status: 500, whois: 500, certificate: 500 };

test("a client asks as tailscaled wants to be asked", async (t) => {
  const fake = await startFakeTailscale(t);
  const client = createTailscaled(fake.path);
  fake.users.set("100.64.0.9", userNode("alice@example.com", "Alice"));
  fake.users.set("fd7a::9", userNode("bob@example.com"));
  fake.certificates.set(NAME, good);
  assert.equal((await client.status(never)).state, "Running");
  assert.equal((await client.whoIs("100.64.0.9", 4711, never))?.displayName, "Alice");
  assert.equal((await client.whoIs("fd7a::9", 4711, never))?.login, "bob@example.com");
  assert.equal(await client.whoIs("100.64.0.10", 1, never), undefined);
  assert.equal((await client.certificate(NAME, never)).privateKey, key);
  assert.deepEqual(fake.asked, [
    "/localapi/v0/status?peers=false",
    "/localapi/v0/whois?addr=100.64.0.9%3A4711&proto=tcp",
    "/localapi/v0/whois?addr=%5Bfd7a%3A%3A9%5D%3A4711&proto=tcp",
    "/localapi/v0/whois?addr=100.64.0.10%3A1&proto=tcp",
    `/localapi/v0/cert/${NAME}?type=pair`,
  ]);
  for (const name of ["../status", "a/b", "", "a?type=key", "a b"]) {
    await assert.rejects(client.certificate(name, never), /no domain name/);
  }
  await assert.rejects(client.certificate("other.ts.net", never), {
    message: 'tailscaled answers 500: "invalid domain \\"other.ts.net\\"; only ' +
      '\\"node.tail1234.ts.net\\" is permitted"',
  });
});

for (
  const [what, reply, problem] of [
    ["nothing at all", undefined, /no answer within 0.5 s/],
    ["half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", /broke off|closed before/],
    ["something else", "SSH-2.0-OpenSSH_9.2\r\n\r\n", /isn't HTTP/],
    ["what isn't for it", http("403 Forbidden", "status access denied\n"), /403: "status access d/],
    [
      "an announcement of 1 TB",
      "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n{",
      /close/,
    ],
    ["16 MiB", http("200 OK", " ".repeat(2 ** 24)), /over 1048576 bytes/],
    ["chunks", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5g\r\n`, /isn't HTTP/],
    ["heads for ever", "HTTP/1.1 100 Continue\r\n\r\n".repeat(100), /isn't HTTP/],
    ["another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", /unasked/],
    ["what drives terminals", http("500 \u001b", "\u001b[2J\r\nlevel=error"), /500|isn't HTTP/],
  ] as const
) {
  test(`a client refuses ${what}`, async (t) => {
    const fake = await startFakeTailscale(t);
    fake.reply = () => reply;
    const client = createTailscaled(fake.path, DEADLINES);
    for (const call of [client.status(never), client.whoIs("100.64.0.9", 1, never)]) {
      const error: unknown = await call.then(() => "an answer", (error) => error);
      assert.ok(error instanceof TailscaleError, String(error));
      assert.match(error.message, problem);
      // deno-lint-ignore no-control-regex
      assert.ok(error.message.length < 600 && !/[\0-\x1f]/.test(error.message), error.message);
    }
  });
}

test("a client says where nobody is, and ends with its signal", async (t) => {
  const path = join(await temporaryFolder(t), "no.sock");
  await assert.rejects(createTailscaled(path).status(never), {
    message: new RegExp(`^tailscaled at ${path}: there is no such file or socket`),
  });
  const fake = await startFakeTailscale(t);
  fake.reply = () => undefined;
  const abort = new AbortController();
  const asked = createTailscaled(fake.path).status(abort.signal);
  await until(() => fake.asked.length > 0);
  abort.abort();
  await assert.rejects(asked, /aborted/);
  await assert.rejects(createTailscaled(fake.path).status(abort.signal), /aborted/);
});

/** A memory of its own clock, and what it asked. */
function memory(ask: Ask): {
  identify: ReturnType<typeof rememberWhoIs>;
  asked: string[];
  failures: string[];
  pass(ms: number): void;
} {
  const [asked, failures]: [string[], string[]] = [[], []];
  let time = 0;
  const identify = rememberWhoIs((address, port) => {
    asked.push(`${address} ${port}`);
    return ask(address, port);
  }, { onFailure: ({ message }) => void failures.push(message), now: () => time });
  return { identify, asked, failures, pass: (ms) => void (time += ms) };
}

test("who a client is is asked once a minute, and nobody waits for what is known", async () => {
  let name = "alice";
  const { identify, asked, pass } = memory(async () => [name]);
  const both = [identify("100.64.0.9", 1), identify("100.64.0.9", 2)];
  assert.ok(both.every((one) => one instanceof Promise));
  assert.deepEqual(await Promise.all(both), [["alice"], ["alice"]]);
  assert.deepEqual(identify("100.64.0.9", 3), ["alice"]);
  assert.deepEqual(asked, ["100.64.0.9 1"]);
  name = "bob";
  pass(60_000);
  assert.deepEqual(identify("100.64.0.9", 4), ["alice"], "asked again meanwhile");
  await until(() => JSON.stringify(identify("100.64.0.9", 5)) === '["bob"]');
  assert.deepEqual(asked, ["100.64.0.9 1", "100.64.0.9 4"]);
  pass(120_000);
  const waited = identify("100.64.0.9", 6);
  assert.ok(waited instanceof Promise, "too old for anybody to go by");
  assert.deepEqual(await waited, ["bob"]);
});

test("a failure is nobody for two seconds, and doesn't undo what is known", async () => {
  let fails = true;
  const { identify, asked, failures, pass } = memory(async () => {
    if (fails) throw new Error("gone");
    return ["alice"];
  });
  assert.deepEqual(await identify("100.64.0.9", 1), []);
  assert.deepEqual(identify("100.64.0.9", 2), []);
  assert.deepEqual([asked.length, failures], [1, ["gone"]]);
  pass(2_000);
  fails = false;
  assert.deepEqual(await identify("100.64.0.9", 3), ["alice"]);
  fails = true;
  pass(60_000);
  assert.deepEqual(identify("100.64.0.9", 4), ["alice"]);
  await until(() => failures.length === 2);
  assert.deepEqual(identify("100.64.0.9", 5), ["alice"]);
  assert.equal(asked.length, 3, "not asked again at once");
  pass(60_000);
  assert.deepEqual(await identify("100.64.0.9", 6), []);
});

test("no more than 4,096 clients are remembered", async () => {
  const { identify, asked } = memory(async (address) => [address]);
  const ask = (i: number) => identify(`100.64.${i >> 8}.${i & 255}`, 1);
  for (let i = 0; i < 4_096; i++) await ask(i);
  for (let i = 0; i < 4_096; i++) assert.ok(!(ask(i) instanceof Promise));
  await ask(4_096);
  assert.equal(asked.length, 4_097);
  assert.ok(!(ask(1) instanceof Promise));
  assert.ok(ask(0) instanceof Promise, "the oldest is forgotten");
});

test("no more than 32 questions are asked at a time, and no client waits for ever", async () => {
  let running = 0, most = 0;
  const { identify, failures, asked } = memory(() => {
    most = Math.max(most, ++running);
    return new Promise(() => {});
  });
  const start = performance.now();
  const all = Array.from({ length: 2_000 }, (_, i) => identify(`100.64.${i >> 8}.${i & 255}`, 1));
  assert.deepEqual(new Set((await Promise.all(all)).map(({ length }) => length)), new Set([0]));
  assert.ok(performance.now() - start < 20_000);
  assert.deepEqual([most, asked.length], [32, 32]);
  const counts = new Map<string, number>();
  for (const message of failures) counts.set(message, (counts.get(message) ?? 0) + 1);
  assert.deepEqual(Object.fromEntries(counts), {
    "no answer within 3 s": 32 + 1_024,
    "too many clients at a time": 2_000 - 32 - 1_024,
  });
});

const routes = (...lines: string[]) =>
  parseRoutes(lines.map((line) => `${line}\nupstream a:1`).join("\n")).routes;

test("a route may not want one certificate for names of Tailscale and others", () => {
  const check = (...lines: string[]) => checkTailscaleRoutes({ routes: routes(...lines) });
  check(`route ${NAME}`, "route a.example b.example", `route x.ts.net y.ts.net`);
  check(`route ${NAME} a.example\nsubject a.example`);
  for (const line of [`route ${NAME} a.example`, `route a.example\nsubject a.example ${NAME}`]) {
    assert.throws(() => check("route b.example", line), (error: Error) => {
      assert.ok(error instanceof RouteError);
      assert.deepEqual(error.problems.map(({ line }) => line), [3]);
      return true;
    });
  }
});

/** A front end whose addresses and forgotten keys are noted. */
async function startTailnet(t: TestContext, fake: FakeTailscale): Promise<{
  tailnet: Tailnet;
  opened: string[];
  forgotten: string[];
  recorder: ReturnType<typeof recordLog>;
}> {
  const recorder = recordLog();
  const [opened, forgotten]: [string[], string[]] = [[], []];
  const tailscaled = createTailscaled(fake.path, { ...DEADLINES, certificate: 5_000 });
  const looks = { first: 50, all: 200 };
  const tailnet = new Tailnet({ mode: "https", tailscaled, log: recorder.log, looks });
  t.after(() => tailnet.close());
  tailnet.run({
    listenOn: async (addresses) => {
      if (addresses.includes("192.0.2.1")) throw new Error("can't listen on x: EADDRNOTAVAIL");
      opened.push(addresses.join());
    },
    forget: async (keys) => void forgotten.push(...keys),
  });
  return { tailnet, opened, forgotten, recorder };
}

test("a node that isn't ready is waited for, and the log says what to do", async (t) => {
  const fake = await startFakeTailscale(t);
  fake.status = { BackendState: "NeedsLogin", Self: null };
  const { opened, recorder } = await startTailnet(t, fake);
  await recorder.waitFor(
    /^warn Tailscale isn't ready .*run `tailscale up` what is open stays open; trying again$/,
  );
  fake.status = { BackendState: "Running", TUN: false, Self: { TailscaleIPs: ["100.64.0.1"] } };
  await recorder.waitFor(/without userspace networking/);
  fake.status = running("192.0.2.1");
  await recorder.waitFor(/EADDRNOTAVAIL; tailscaled must run in this container/);
  fake.status = running("100.64.0.1", "fd7a::1");
  await recorder.waitFor(/^info Tailscale is ready 100.64.0.1,fd7a::1$/);
  assert.deepEqual(opened, ["100.64.0.1,fd7a::1"]);
  assert.equal(recorder.lines.length, 4, recorder.lines.join("\n"));
});

test("clients from the node's own addresses are nobody", async (t) => {
  const fake = await startFakeTailscale(t);
  for (const address of ["127.0.0.2", "127.0.0.3"]) fake.users.set(address, userNode("alice@x"));
  const { tailnet, recorder } = await startTailnet(t, fake);
  await recorder.waitFor(/Tailscale is ready/);
  assert.deepEqual(tailnet.identify("127.0.0.2", 1), []);
  assert.deepEqual(await tailnet.identify("127.0.0.3", 1), ["Tailscale-User-Login", "alice@x"]);
  assert.equal(fake.askedFor("whois").length, 1);
});

test("certificates are asked for, kept while they are good, and asked for again", async (t) => {
  const fake = await startFakeTailscale(t);
  const [other, gone] = ["other.tail1234.ts.net", "gone.tail1234.ts.net"];
  fake.certificates.set(NAME, good);
  const { tailnet, forgotten, recorder } = await startTailnet(t, fake);
  const table = routes(`route ${NAME} ${other}`, `route a.example`, `route ${gone}`);
  tailnet.want(table);
  assert.deepEqual(tailnet.find(NAME), { certificate: undefined });
  assert.equal(tailnet.find("a.example"), undefined);
  assert.deepEqual(tailnet.others(table).map(({ domains }) => domains[0]), ["a.example"]);
  await recorder.waitFor(new RegExp(`^info certificate from tailscaled ${NAME}`));
  assert.deepEqual(tailnet.find(NAME)?.certificate?.names, [NAME]);
  const [asKey = ""] = forgotten;
  const identity = tailnet.identity(asKey);
  assert.equal(identity?.privateKey, key);
  assert.equal(Buffer.from(identity?.ticketKeys ?? "", "base64").length, 48);
  assert.equal(tailnet.identity("tailscale;nobody.ts.net"), undefined);
  assert.equal(tailnet.identity(";a.example"), undefined);
  await recorder.waitFor(new RegExp(`^warn no certificate from tailscaled ${other} .*answers 500`));
  tailnet.want(routes(`route ${NAME}`));
  assert.deepEqual(tailnet.find(other), { certificate: undefined });
  assert.notEqual(tailnet.find(NAME)?.certificate, undefined);
});

test("a certificate is asked for again when half of its time is over", async (t) => {
  const fake = await startFakeTailscale(t);
  fake.certificates.set(NAME, pairFor(NAME, { to: 6_000 }));
  const { tailnet, recorder, forgotten } = await startTailnet(t, fake);
  tailnet.want(routes(`route ${NAME}`));
  await recorder.waitFor(/certificate from tailscaled/);
  const before = tailnet.find(NAME)?.certificate;
  assert.notEqual(before, undefined);
  fake.certificates.set(NAME, good);
  await until(() => forgotten.length === 2);
  assert.notEqual(tailnet.find(NAME)?.certificate, before);
  assert.equal(tailnet.identity(forgotten[0] ?? "")?.privateKey, key);
});

test("a certificate that can't be renewed is served until it is over", async (t) => {
  const fake = await startFakeTailscale(t);
  fake.certificates.set(NAME, pairFor(NAME, { to: 6_000 }));
  const { tailnet, recorder, forgotten } = await startTailnet(t, fake);
  tailnet.want(routes(`route ${NAME}`));
  await until(() => forgotten.length === 1);
  const before = tailnet.find(NAME)?.certificate;
  fake.certificates.set(NAME, stranger.keyPem + leaf);
  const line = await recorder.waitFor(/^warn no certificate from tailscaled/);
  assert.match(line, /the key isn't the certificate's the old one is served$/);
  assert.ok(before !== undefined && tailnet.find(NAME)?.certificate === before);
  await until(() => tailnet.find(NAME)?.certificate === undefined);
  assert.equal(tailnet.identity(forgotten[0] ?? ""), undefined);
});
