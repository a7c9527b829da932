/** What DNS providers share, how they are chosen, and TSIG by vectors. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { loadProvider, providerEnvironment } from "../lib/dns/load.ts";
import { DnsProviderError, type ProviderContext } from "../lib/dns/provider.ts";
import { createProvider as createRfc2136 } from "../lib/dns/rfc2136.ts";
import {
  type Call,
  call,
  callJson,
  list,
  member,
  needed,
  propagation,
  relativeName,
  seconds,
  sequence,
  text,
  zoneCandidates,
} from "../lib/dns/shared.ts";
import { signMessage, TsigError, verifyAnswer } from "../lib/dns/tsig.ts";
import { perKey } from "../lib/turns.ts";
import { CLASS, DnsMessageError, OPCODE, txtData, TYPE } from "../lib/dnsmsg.ts";
import type { HttpAnswer, HttpClient, HttpRequest } from "../lib/httpsclient.ts";
import { temporaryFolder } from "./support.ts";
import { type AnswerRow, ANSWERS, SECRET, SIGNED, SIGNED_AT } from "./vectors/tsig.ts";

const never = new AbortController().signal;
const variables = (values: Record<string, string>) => (name: string) => values[name];

/** A client that answers once, and what it was asked. */
function client(status: number, body: string): { http: HttpClient; asked: HttpRequest[] } {
  const asked: HttpRequest[] = [];
  const answer: HttpAnswer = { status, fields: [], body: Buffer.from(body) };
  return { asked, http: (request) => (asked.push(request), Promise.resolve(answer)) };
}

const request: Call = {
  method: "POST",
  url: "https://api.test/zones?token=in-the-query",
  signal: never,
  service: "Example",
};

async function messageOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(() => assert.fail("it was not refused"), (error) => error);
  assert.ok(error instanceof DnsProviderError, `${error.stack}`);
  return error.message;
}

// --- settings ---

test("needed() takes the first variable that is set, and names all when none is", () => {
  assert.equal(needed(variables({ A: "", B: "b", C: "c" }), "A", "B", "C"), "b");
  assert.throws(() => needed(variables({}), "CF_DNS_API_TOKEN"), {
    message: "CF_DNS_API_TOKEN is not set: the DNS provider needs it",
  });
  assert.throws(() => needed(variables({}), "A", "B", "C"), /^Error: A \(or B, C\) is not set/);
});

test("needed() refuses what would end a header field, and doesn't repeat it", () => {
  assert.throws(() => needed(variables({ A: "hush\r\nx" }), "A"), {
    message: "A holds a line end or another control character",
  });
});

test("seconds() reads whole seconds by the first name that is set, and nothing else", () => {
  assert.equal(seconds(variables({ B: "7" }), ["A", "B"], 60), 7);
  assert.equal(seconds(variables({ A: "0" }), ["A", "B"], 60), 0);
  assert.equal(seconds(variables({ A: "" }), "A", 60), 60);
  for (const value of ["2m", "-1", "1.5", " 1", "0x10", "1e3", "2147483648"]) {
    assert.throws(() => seconds(variables({ A: value }), "A", 60), {
      message: `invalid A "${value}": expected a whole number of seconds: 120`,
    });
  }
});

test("propagation() is in milliseconds and takes a second prefix", () => {
  assert.deepEqual(propagation(variables({}), "CF"), { timeout: 60_000, interval: 2_000 });
  const env = variables({ CF_PROPAGATION_TIMEOUT: "5", CLOUDFLARE_POLLING_INTERVAL: "3" });
  const expected = { timeout: 5_000, interval: 3_000 };
  assert.deepEqual(propagation(env, ["CLOUDFLARE", "CF"], { timeout: 90, interval: 4 }), expected);
});

test("relativeName() takes the zone off, and only a zone that the name is in", () => {
  assert.equal(
    relativeName("_acme-challenge.www.example.com", "example.com"),
    "_acme-challenge.www",
  );
  assert.equal(relativeName("example.com", "example.com"), "");
  assert.equal(relativeName("example.com", "example.com", "@"), "@");
  assert.throws(() => relativeName("badexample.com", "example.com"), DnsProviderError);
});

test("zoneCandidates() has the name and those above, but no top-level domain", () => {
  assert.deepEqual(zoneCandidates("_acme-challenge.a.co.uk"), [
    "_acme-challenge.a.co.uk",
    "a.co.uk",
    "co.uk",
  ]);
  assert.deepEqual(zoneCandidates("localhost"), []);
});

// --- calls ---

test("callJson() sends JSON and resolves with the answer's", async () => {
  const { http, asked } = client(201, '{"id":7}');
  const fields = ["Authorization", "Bearer hush-hush"];
  assert.deepEqual(await callJson(http, { ...request, fields, json: { a: 1 } }), { id: 7 });
  const [{ method, url, fields: sent, body } = assert.fail()] = asked;
  assert.deepEqual([method, url, body], ["POST", request.url, '{"a":1}']);
  assert.deepEqual(sent, [...fields, "Content-Type", "application/json"]);
});

test("callJson() resolves with undefined for no content and for accepted statuses", async () => {
  assert.equal(await callJson(client(204, "").http, request), undefined);
  const absent = client(404, '{"message":"no such record"}').http;
  assert.equal(await callJson(absent, { ...request, accept: [404] }), undefined);
  await assert.rejects(callJson(absent, request), DnsProviderError);
});

test("callJson() refuses a success that isn't JSON", async () => {
  assert.equal(
    await messageOf(callJson(client(200, "<html>Sign in").http, request)),
    'Example answered 200, but not with JSON; it says "<html>Sign in"',
  );
});

const failures: readonly {
  name: string;
  why: string;
  input: [status: number, body: string, more?: Partial<Call>];
  expect: string;
}[] = [
  {
    name: "credentials and what to do",
    why: "the message that people see most",
    input: [403, '{"errors":[{"code":9109,"message":"Invalid access token"}]}', {
      credential: "token",
      explain: (status) => status === 403 ? "it needs Zone:Read and DNS:Edit" : undefined,
    }],
    expect: "refused the token (403): it needs Zone:Read and DNS:Edit; " +
      'it says "Invalid access token"',
  },
  {
    name: "no words at all",
    why: "some services have none",
    input: [401, ""],
    expect: "refused the credentials (401)",
  },
  {
    name: "words in several places",
    why: "each service has its own members",
    input: [422, '{"error":{"message":"a","details":["b",{"message":"c"}]},"id":"x"}'],
    expect: 'refused the request (422); it says "a, b, c"',
  },
  {
    name: "a server's failure",
    why: "nothing that the user can mend",
    input: [502, "<h1>Bad\ngateway</h1>"],
    expect: 'failed (502); it says "<h1>Bad\\ngateway</h1>"',
  },
  {
    name: "words over the limit",
    why: "logs are not for pages of HTML",
    input: [400, "x".repeat(5000)],
    expect: `refused the request (400); it says "${"x".repeat(300)}…"`,
  },
  {
    name: "a terminal's control sequences",
    why: "the text is the service's",
    input: [400, '{"message":"\\u001b[2J"}'],
    expect: 'refused the request (400); it says "\\u001b[2J"',
  },
  {
    name: "the request's secrets, repeated by the service",
    why: "messages end in logs; whole values, and those behind a scheme",
    input: [400, '{"message":"hush-hush, apikey1 and secret2 of Bearer hush-hush"}', {
      fields: ["Authorization", "Bearer hush-hush", "X-Api-Key", "apikey1"],
      secrets: ["secret2"],
    }],
    expect: 'refused the request (400); it says "(hidden), (hidden) and (hidden) of (hidden)"',
  },
  {
    name: "a secret that is the start of another",
    why: "the rest of the longer one must not stay",
    input: [400, "user-1 and user-1-long", { secrets: ["user-1", "user-1-long"] }],
    expect: 'refused the request (400); it says "(hidden) and (hidden)"',
  },
  {
    name: "a secret that the limit would cut in two",
    why: "it is hidden before the words are cut",
    input: [400, `${"x".repeat(295)}hush-hush`, { secrets: ["hush-hush"] }],
    expect: `refused the request (400); it says "${"x".repeat(295)}(hidd…"`,
  },
  {
    name: "members of the prototype",
    why: "JSON of strangers",
    input: [400, '{"__proto__":{"message":"no"}}'],
    expect: 'refused the request (400); it says "{\\"__proto__\\":{\\"message\\":\\"no\\"}}"',
  },
];

async function checkFailures(rows: typeof failures): Promise<void> {
  assert.notEqual(rows.length, 0);
  for (const { name, input: [status, body, more], expect } of rows) {
    const message = await messageOf(call(client(status, body).http, { ...request, ...more }));
    assert.equal(message, `Example ${expect}`, name);
  }
}

test("call() says what failed, and never a secret", async () => {
  await checkFailures(failures);
  await assert.rejects(checkFailures([]));
  await assert.rejects(checkFailures([{ ...failures[0]!, expect: "was happy" }]));
});

/** A client that never answers, but ends as the real one does. */
const silent: HttpClient = ({ signal }) =>
  new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
  });

test("call() gives up when time is up, and at once when it is ended", async () => {
  assert.equal(
    await messageOf(call(silent, { ...request, timeout: 20 })),
    "Example did not answer in 20 ms: POST api.test/zones",
  );
  const ending = new AbortController();
  const ended = call(silent, { ...request, signal: ending.signal });
  ending.abort(new Error("leaving"));
  await assert.rejects(ended, /leaving/);
  const { http, asked } = client(200, "{}");
  await assert.rejects(call(http, { ...request, signal: ending.signal }), /leaving/);
  assert.equal(asked.length, 0);
});

// --- JSON ---

test("member(), text() and list() read only what is there, and of its type", () => {
  const value: unknown = JSON.parse('{"a":{"id":12,"name":"n","list":[1]},"__proto__":{"x":"y"}}');
  assert.equal(text(value, "a", "id"), "12");
  assert.equal(text(value, "a", "name"), "n");
  assert.equal(text(value, "__proto__", "x"), "y"); // its own
  assert.deepEqual(list(value, "a", "list"), [1]);
  assert.deepEqual(list(value, "a"), []);
  for (const path of [["constructor"], ["a", "list", "0"], ["a", "name", "length"], ["b", "c"]]) {
    assert.equal(member(value, ...path), undefined);
  }
  for (const other of [null, undefined, true, 1.5, {}, []]) assert.equal(text(other), undefined);
});

// --- order ---

test("perKey() does the works of one name one after another, well or not", async () => {
  const lock = perKey();
  const events: string[] = [];
  const work = (name: string, fails = false) => async () => {
    events.push(`${name} starts`);
    await new Promise((resolve) => setImmediate(resolve));
    events.push(`${name} ends`);
    if (fails) throw new Error(name);
    return name;
  };
  const all = [
    lock("a", work("a1", true)),
    lock("a", work("a2")),
    lock("b", work("b1")),
    lock("a", work("a3")),
  ];
  const ends = await Promise.allSettled(all);
  assert.deepEqual(ends.map(({ status }) => status === "fulfilled"), [false, true, true, true]);
  const ofA = events.filter((event) => event.startsWith("a"));
  const expected = ["a1 starts", "a1 ends", "a2 starts", "a2 ends", "a3 starts", "a3 ends"];
  assert.deepEqual(ofA, expected);
  assert.ok(events.indexOf("b1 starts") < events.indexOf("a1 ends"));
});

test("sequence() makes a name wait for the interval, until it is ended", async () => {
  const { turn, done } = sequence(variables({ EXEC_SEQUENCE_INTERVAL: "600" }), "EXEC");
  await turn("a", never);
  done("a");
  await turn("b", never);
  const ending = new AbortController();
  const waiting = turn("a", ending.signal);
  ending.abort();
  await assert.rejects(waiting, { name: "AbortError" });
});

// --- choosing one ---

const context = (values: Record<string, string> = {}): ProviderContext => ({
  env: variables(values),
  http: () => Promise.reject(new Error("not to be asked")),
  zoneOf: () => Promise.reject(new Error("not to be asked")),
});

test("loadProvider() loads the provider that is named, also by lego's other names", async () => {
  const env = { RFC2136_NAMESERVER: "192.0.2.1", RFC2136_POLLING_INTERVAL: "9" };
  for (const name of ["rfc2136", "dnsupdate"]) {
    const { propagation } = await loadProvider(name, context(env));
    assert.equal(propagation.interval, 9_000);
  }
  assert.match(await messageOf(loadProvider("acmedns", context())), /^ACME_DNS_API_BASE/);
});

test("loadProvider() says which variable each provider needs", async () => {
  const names = "acme-dns cloudflare desec digitalocean duckdns exec gandi gandiv5 hetzner";
  for (const name of `${names} httpreq ionos ovh porkbun rfc2136 route53`.split(" ")) {
    assert.match(await messageOf(loadProvider(name, context())), /[A-Z]_[A-Z_]+/, name);
  }
});

test("loadProvider() lists the names when there is no such provider", async () => {
  const message = await messageOf(loadProvider("cloudfare", context()));
  assert.match(message, /^unknown DNS provider "cloudfare": did you mean cloudflare\? Known are /);
  assert.match(message, /Known are acme-dns, cloudflare, .+, route53$/);
  assert.match(await messageOf(loadProvider("__proto__", context())), /^unknown .+: Known are/);
});

test("providerEnvironment() reads NAME_FILE without its last line end", async (t) => {
  const folder = await temporaryFolder(t);
  const contents = { one: "token\n", two: "token\r\n", none: "token", more: "a\nb\n\n" };
  for (const [name, text] of Object.entries(contents)) await writeFile(join(folder, name), text);
  const read = (name: string) => providerEnvironment({ KEY_FILE: join(folder, name) })("KEY");
  assert.deepEqual(Object.keys(contents).map(read), ["token", "token", "token", "a\nb\n"]);
});

test("providerEnvironment() prefers the variable, unless it is empty", async (t) => {
  const path = join(await temporaryFolder(t), "file");
  await writeFile(path, "in the file");
  const env = providerEnvironment({ A: "set", A_FILE: "/missing", B: "", B_FILE: path, C: "" });
  assert.deepEqual(["A", "B", "C", "D", "toString"].map(env), [
    "set",
    "in the file",
    undefined,
    undefined,
    undefined,
  ]);
});

test("providerEnvironment() names variable and path of a file that it can't take", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "file");
  const env = providerEnvironment({ KEY_FILE: path });
  assert.throws(() => env("KEY"), { message: `can't read "${path}" (KEY_FILE)` });
  await writeFile(path, "\n");
  assert.throws(() => env("KEY"), { message: `"${path}" (KEY_FILE) is empty: expected a secret` });
  await writeFile(path, "hush".repeat(16 * 1024));
  assert.equal(env("KEY")?.length, 64 * 1024);
  await writeFile(path, "hush".repeat(16 * 1024) + "h");
  assert.throws(() => env("KEY"), (error: Error) => {
    assert.match(error.message, /\(KEY_FILE\) has more than 65536 octets/);
    return !error.message.includes("hush");
  });
  assert.throws(() => providerEnvironment({ KEY_FILE: folder })("KEY"), DnsProviderError);
});

// --- rfc2136's settings ---

const settingsRows: readonly { name: string; input: Record<string, string>; expect: RegExp }[] = [
  {
    name: "no server",
    input: {},
    expect: /^DNSUPDATE_NAMESERVER \(or RFC2136_NAMESERVER\) is not/,
  },
  {
    name: "a port too many",
    input: { RFC2136_NAMESERVER: "a:1:2" },
    expect: /^invalid DNSUPDATE_NAMESERVER or RFC2136_NAMESERVER "a:1:2": expected a host, or/,
  },
  {
    name: "zones that are none",
    input: { RFC2136_NAMESERVER: "a", DNSUPDATE_ZONES: "example.com,exa mple.com" },
    expect: /^invalid zone "exa mple.com" in DNSUPDATE_ZONES or RFC2136_ZONES: expected names/,
  },
  {
    name: "a key without a secret",
    input: { RFC2136_NAMESERVER: "a", RFC2136_TSIG_KEY: "k" },
    expect: /^invalid TSIG key \(.+_SECRET\): expected a secret in base64$/,
  },
  {
    name: "a secret without a key",
    input: { RFC2136_NAMESERVER: "a", RFC2136_TSIG_SECRET: "aHVzaA==" },
    expect: /expected a name for the key$/,
  },
  {
    name: "a secret that isn't base64",
    input: { RFC2136_NAMESERVER: "a", RFC2136_TSIG_KEY: "k", RFC2136_TSIG_SECRET: "hush!" },
    expect: /expected a secret in base64$/,
  },
  {
    name: "an algorithm that nobody should use",
    input: {
      RFC2136_NAMESERVER: "::1",
      RFC2136_TSIG_KEY: "k",
      RFC2136_TSIG_SECRET: "aHVzaA==",
      RFC2136_TSIG_ALGORITHM: "hmac-md5.sig-alg.reg.int.",
    },
    expect: /expected an algorithm of hmac-sha1, hmac-sha224, hmac-sha256, /,
  },
];

function checkSettings(rows: typeof settingsRows): void {
  assert.notEqual(rows.length, 0);
  for (const { name, input, expect } of rows) {
    assert.throws(() => createRfc2136(context(input)), (error: Error) => {
      assert.ok(error instanceof DnsProviderError);
      assert.ok(!error.message.includes("hush"));
      assert.match(error.message, expect, name);
      return true;
    });
  }
}

test("rfc2136 refuses settings that can't work", () => {
  checkSettings(settingsRows);
  assert.throws(() => checkSettings([]));
  assert.throws(() =>
    checkSettings([{ name: "fine", input: { RFC2136_NAMESERVER: "a" }, expect: /a/ }])
  );
});

test("rfc2136 reads a key file in any layout, with comments", async (t) => {
  const path = join(await temporaryFolder(t), "key");
  const create = () =>
    createRfc2136(context({ RFC2136_NAMESERVER: "[::1]:5353", RFC2136_TSIG_FILE: path }));
  const fine = [
    'key "acme" {\n\talgorithm hmac-sha256;\n\tsecret "ab//cd+/ef==";\n};\n',
    "# a\n// b\n/* key x {\n */ key acme{secret ab//cd==;algorithm HMAC-SHA512.;};",
  ];
  for (const content of fine) {
    await writeFile(path, content);
    create();
  }
  for (
    const content of ['key "acme" { algorithm hmac-sha256; };', "acme", 'key "a b" {secret x;};']
  ) {
    await writeFile(path, content);
    assert.throws(create, /^Error: invalid TSIG key \(".+key"\): expected/);
  }
});

// --- TSIG ---

const keyOf = (algorithm: string) => ({
  name: "Acme-Key.",
  algorithm,
  secret: Buffer.from(SECRET),
});

function checkSigned(rows: typeof SIGNED): void {
  assert.notEqual(rows.length, 0);
  for (const { name, input: { algorithm }, expect } of rows) {
    const key = keyOf(algorithm);
    const data = txtData("LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ");
    const update = { type: TYPE.TXT, class: CLASS.IN, ttl: 120, data };
    const { bytes, mac } = signMessage(
      {
        id: 0x1234,
        opcode: OPCODE.UPDATE,
        questions: [{ name: "example.com", type: TYPE.SOA, class: CLASS.IN }],
        authorities: [{ name: "_acme-challenge.example.com", ...update }],
      },
      key,
      SIGNED_AT,
    );
    assert.equal(bytes.toString("hex"), expect.request, name);
    assert.equal(mac.toString("hex"), expect.mac, name);
    const answer = Buffer.from(expect.answer, "hex");
    assert.equal(verifyAnswer(answer, key, mac, SIGNED_AT).error, 0, name);
    const forged = { ...key, secret: Buffer.from("another") };
    assert.throws(() => verifyAnswer(answer, forged, mac, SIGNED_AT), TsigError, name);
    assert.throws(() => verifyAnswer(answer, key, Buffer.alloc(mac.length), SIGNED_AT), TsigError);
  }
}

test("signMessage() and verifyAnswer() agree with another implementation", () => {
  checkSigned(SIGNED);
  assert.throws(() => checkSigned([]));
  const [row = assert.fail()] = SIGNED;
  assert.throws(() => checkSigned([{ ...row, input: { algorithm: "hmac-sha256" } }]));
});

function checkAnswers(rows: readonly AnswerRow[]): void {
  assert.notEqual(rows.length, 0);
  const mac = Buffer.from(
    SIGNED.find(({ input }) => input.algorithm === "hmac-sha256")!.expect.mac,
    "hex",
  );
  for (const { name, input: { answer: hex, now = 2 }, expect } of rows) {
    const verify = () =>
      verifyAnswer(Buffer.from(hex, "hex"), keyOf("hmac-sha256"), mac, SIGNED_AT + now);
    if (typeof expect === "string") {
      assert.throws(verify, (error: Error) => {
        assert.ok(error instanceof TsigError || error instanceof DnsMessageError, name);
        assert.equal(error.message, expect, name);
        return true;
      });
    } else {
      const { answer, ...rest } = verify();
      assert.deepEqual({ rcode: answer.rcode, ...rest }, expect, name);
    }
  }
}

test("verifyAnswer() takes what the server signed, and of the rest only refusals", () => {
  checkAnswers(ANSWERS);
  assert.throws(() => checkAnswers([]));
  assert.throws(() => checkAnswers([{ ...ANSWERS[0]!, expect: { rcode: 0, error: 16 } }]));
});

test("verifyAnswer() refuses a signed answer that is cut short anywhere", () => {
  const row = SIGNED.find(({ input }) => input.algorithm === "hmac-sha256")!;
  const [answer, mac] = [row.expect.answer, row.expect.mac].map((hex) => Buffer.from(hex, "hex"));
  for (let end = 0; end < answer!.length; end++) {
    const verify = () =>
      verifyAnswer(answer!.subarray(0, end), keyOf("hmac-sha256"), mac!, SIGNED_AT);
    assert.throws(verify, DnsMessageError);
  }
});
