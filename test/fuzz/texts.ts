/** Codecs of text: what people write, and JSON from elsewhere. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import { checkKey, readAccount } from "../../lib/account.ts";
import * as acme from "../../lib/acmeobjects.ts";
import * as addr from "../../lib/addr.ts";
import { unifiedDiff } from "../../lib/diff.ts";
import { parsePersistRecord } from "../../lib/dns/persist.ts";
import { DockerHostError, parseDockerHost } from "../../lib/dockerhost.ts";
import { decodeBase64url, JoseError } from "../../lib/jose.ts";
import { JsonStream } from "../../lib/jsonstream.ts";
import { errorText, quote } from "../../lib/log.ts";
import { nearest } from "../../lib/nearest.ts";
import { parseSignal, parseTargets } from "../../lib/notify.ts";
import { OptionError, parseOptions } from "../../lib/options.ts";
import { parseTemplates } from "../../lib/outputs.ts";
import { parseRoutes, RouteError, type RouteTable } from "../../lib/routes.ts";
import { CENTAURI_OPTIONS } from "../../lib/settings.ts";
import { formatSize, parseSize } from "../../lib/size.ts";
import { checkRecord, newRecord } from "../../lib/store.ts";
import { formatDuration, parseDuration } from "../../lib/time.ts";
import { parseUsers, UsersError } from "../../lib/users.ts";
import { coversName, pemBlocks, privateKeyPem } from "../../lib/x509.ts";
import * as addrVectors from "../vectors/addr.ts";
import { base64, ecKey } from "../vectors/jose.ts";
import * as optionVectors from "../vectors/options.ts";
import * as routeVectors from "../vectors/routes.ts";
import { durations, sizes } from "../vectors/time.ts";
import * as userVectors from "../vectors/users.ts";
import { kindOf, same, type Target } from "./fuzzer.ts";
import { cut } from "./http1.ts";
import type { Random } from "./random.ts";

type ErrorClass = new (...of: never[]) => Error;

/** What came of it, or of which of these classes the error is; any other is a finding. */
function attempt(work: () => unknown, ...classes: readonly ErrorClass[]): string {
  try {
    return String(work());
  } catch (error) {
    if (!(error instanceof Error) || !classes.some((one) => error.constructor === one)) throw error;
    assert.doesNotMatch(error.message, UNQUOTED);
    return kindOf(error);
  }
}

/** What JSON escapes. */
const UNQUOTED = /[\0-\x08\x0b-\x1f]/;
/** What must not reach a terminal. */
const UNPRINTABLE = /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]|[\ud800-\udbff](?![\udc00-\udfff])/;

function testJsonStream(input: Buffer, random: Random): string {
  const read = (pieces: readonly Buffer[]): [string[], string] => {
    const stream = new JsonStream(512), texts: string[] = [];
    const told = attempt(() => {
      for (const piece of pieces) texts.push(...stream.push(piece));
      return "";
    }, Error);
    return [texts, told];
  };
  const [texts, told] = read([input]);
  const [cutTexts, cutTold] = read(cut(input, random));
  assert.equal(cutTold, told);
  if (told === "") same(cutTexts, texts);
  const text = input.toString("utf8", 0, 30), written = JSON.stringify({ [text]: [text, {}] });
  same(read(cut(Buffer.from(`${written}\n${written}`), random)), [[written, written], ""]);
  return `${texts.length} ${told}`;
}

function testRoutes(input: Buffer): string {
  const text = input.toString("utf8");
  return attempt(() => {
    const table = readTable(text);
    for (const route of table.routes) {
      for (const name of route.domains) {
        const found = table.find(name.replace("*", "any"));
        if (name.startsWith("*")) assert.ok(found !== undefined);
        else assert.equal(found, route);
      }
      for (const { name, value } of route.headers) assert.doesNotMatch(name + value, /[\r\n\0]/);
    }
    same(parseRoutes(text.replaceAll("\r\n", "\n").replaceAll("\n", "\r\n")), table);
    const [first] = table.routes;
    return `${table.routes.length} ${first && Object.values(first).map((v) => `${v}`.length > 0)}`;
  }, RouteError);
}

function readTable(text: string): RouteTable {
  try {
    return parseRoutes(text);
  } catch (error) {
    assert.doesNotMatch((error as Error).message, UNPRINTABLE);
    throw error;
  }
}

function testUsers(input: Buffer): string {
  return attempt(() => {
    const users = parseUsers(input.toString("utf8"));
    for (const { name, password } of users) assert.ok(name !== "" && password !== "");
    return `${users.length} ${users[0]?.groups.length}`;
  }, UsersError);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function testStore(input: Buffer): string {
  const json = parsed(input.toString("utf8"));
  const told = [json].flat().slice(0, 4).map((value, i) =>
    attempt(() => {
      const record = checkRecord(value, `record ${i}`);
      same(checkRecord(JSON.parse(JSON.stringify(record)), "again"), record);
      return Object.keys(record).length;
    }, Error)
  );
  const key = (name: string, value: unknown) =>
    checkKey(name, "in PEM", () => createPrivateKey(String(value)));
  told.push(attempt(() => typeof readAccount(json, key).email, Error));
  return told.join();
}

function testAcme(input: Buffer): string {
  const fields = ["Link", input.toString("latin1").slice(0, 300), "Replay-Nonce", "x"];
  const url = "https://ca.example/x";
  const reads: readonly (() => unknown)[] = [
    () => acme.problemOf(input, 400).type,
    () => acme.readDirectory(input).newNonce,
    () => acme.readAccount(input).body !== undefined,
    () => acme.readOrder(input).status,
    () => acme.readAuthorization(input).challenges.length,
    () => acme.readRenewalInfo(input).explanationUrl,
    () => acme.readChain(input, fields, url),
    () => acme.nonceOf(fields),
    () => acme.absolute(input.toString("utf8"), url),
    () => acme.httpDate(input.toString("latin1")),
  ];
  return reads.map((read) => {
    try {
      return read() !== undefined;
    } catch (error) {
      assert.ok(!(error instanceof TypeError || error instanceof RangeError), errorText(error));
      return kindOf(error as Error).slice(0, 24);
    }
  }).join();
}

function testOptions(input: Buffer): string {
  const [args = "", ...lines] = input.toString("utf8").split("\n");
  const env = new Map(lines.map((line) => line.split("=", 2) as [string, string]));
  return attempt(() => {
    const options = parseOptions(CENTAURI_OPTIONS, args.split(" "), Object.fromEntries(env));
    return CENTAURI_OPTIONS.filter(({ name }) => options.isSet(name)).map(({ name }) => name);
  }, OptionError);
}

function testAddr(input: Buffer): string {
  const text = input.toString("utf8");
  const name = addr.toDomainName(text);
  if (name !== undefined) assert.equal(addr.toDomainName(name), name, "idempotent");
  const isName = addr.isDomainName(text);
  if (isName) assert.equal(name, text.toLowerCase());
  const split = addr.splitHostPort(text);
  if (split?.port !== undefined) {
    same(addr.splitHostPort(addr.joinHostPort(split.host, split.port)), split);
  }
  const host = addr.parseHost(text);
  if (host !== undefined) assert.match(host.name, /^([a-z0-9._-]+|\[[0-9a-f:.]+\])$/);
  addr.canonicalAddress(text);
  coversName([text, "*.example"], text);
  addr.foldWildcards([text, "a.example"], [text]);
  const networks = attempt(() => void addr.parseNetworks(text), Error);
  return [name?.includes("xn--"), isName, split && !!split.port, host?.port === undefined, networks]
    .join();
}

/** Values of options, and what goes to people; each line of it says nothing but what it says. */
function testWords(input: Buffer): string {
  const text = input.toString("utf8");
  const shown = quote(text, 50);
  assert.doesNotMatch(shown, UNPRINTABLE);
  const ms = parseDuration(text), size = parseSize(text);
  if (ms !== undefined) assert.equal(parseDuration(formatDuration(ms)), ms, formatDuration(ms));
  if (size !== undefined) assert.equal(parseSize(formatSize(size)), size);
  const half = text.length >> 1;
  nearest(text.slice(0, 100), ["upstream", text.slice(0, half)]);
  if (text.length < 600) {
    assert.equal(unifiedDiff("a", "b", text, text) === "", true);
    unifiedDiff("a", "b", text.slice(0, half), text.slice(half));
  }
  pemBlocks(text, "CERTIFICATE");
  return [
    ms === undefined,
    size === undefined,
    attempt(() => parseTargets(text).length > 1, Error),
    attempt(() => void parseSignal(text), Error),
    attempt(() => parseTemplates(text).length > 1, Error),
    attempt(() => decodeBase64url(text).length > 0, JoseError),
    attempt(() => parseDockerHost({ DOCKER_HOST: text }).way.kind, DockerHostError),
    parsePersistRecord(text) === undefined,
  ].join();
}

const inputs = (rows: readonly { readonly input: string }[]): string[] =>
  rows.map(({ input }) => input).filter(({ length }) => length < 4096);

const ROUTE_WORDS = ["route ", "upstream ", "header add ", "header delete ", "header replace "]
  .concat("header default ", "provider selfsigned\n", "redirect-to-primary\n", "fallback\n", "#")
  .concat("subject ", "error 404 ", "a.example ", "*.b.example", "[::1]:80\n", "xn--", "\n", "\r\n")
  .concat("domain ", "127.0.0.1:8080", "X-Foo", "Content-Length", "\ufeff", "\t", ",", ".");
const YAML_WORDS = [
  "- ",
  "name: ",
  "password: ",
  "groups: ",
  "[",
  "]",
  "{",
  "}",
  '"',
  "'",
  "|",
  ">",
]
  .concat("\n", "  ", "\t", "&a ", "*a", "!!str ", "<<: ", "? ", "---\n", "...", "~", "null", "#")
  .concat(", ", ": ", "\\x41", "\\u0000", "\\ud800", "''", "%YAML");
const JSON_WORDS = ["{", "}", "[", "]", '"', ",", ":", "null", "true", "1e999", "-0", '"\\u0000"']
  .concat('"__proto__":{}', '"\\ud800"', "\\", '"":', "[[[[", '{"":', "\x1e", '"status":"valid"');

const ORDER = {
  ...{ status: "pending", identifier: { type: "dns", value: "a.example" }, wildcard: true },
  ...{ authorizations: ["https://ca.example/a"], finalize: "https://ca.example/f" },
  ...{ certificate: "https://ca.example/c", meta: { profiles: { a: "b" }, caaIdentities: ["a"] } },
  ...{ error: { type: "urn:ietf:params:acme:error:dns", detail: "x", subproblems: [{}] } },
  ...{ newNonce: "https://ca.example/n", newAccount: "https://ca.example/m" },
  ...{ newOrder: "https://ca.example/o", revokeCert: "https://ca.example/r" },
  ...{ keyChange: "https://ca.example/k", renewalInfo: "https://ca.example/i" },
  challenges: [{ type: "http-01", url: "https://ca.example/c", token: "abcDEF_-0123456789012345" }],
  suggestedWindow: { start: "2026-11-28T08:00:00Z", end: "2026-11-29T08:00:00Z" },
};
const ACCOUNT = {
  ...{ email: "a@a.example", directory: "https://ca.example/dir" },
  registration: { body: { status: "valid" }, uri: "https://ca.example/1" },
  key: privateKeyPem(createPrivateKey({ key: ecKey, format: "jwk" })),
};
const STORED = newRecord("lego", ["a.example", "b.example"], new Date(1e12));

export const textTargets: readonly Target[] = [
  {
    name: "jsonstream",
    seeds: () => ['{"a":1}\n{"b":"}\\""}', '\x1e{"a":{}}\x1e{}', "{", "[", '{"a":"\\\\"}{}'],
    words: JSON_WORDS,
    limit: 1024,
    test: testJsonStream,
  },
  {
    name: "routes",
    seeds: () => inputs([...routeVectors.files, ...routeVectors.problems]),
    words: ROUTE_WORDS,
    limit: 2048,
    test: testRoutes,
  },
  {
    name: "users",
    seeds: () => inputs([...userVectors.valid, ...userVectors.invalid]),
    words: YAML_WORDS,
    limit: 2048,
    test: testUsers,
  },
  {
    name: "store",
    seeds: () => ["[]", "null", ...[[STORED], STORED, ACCOUNT].map((one) => JSON.stringify(one))],
    words: [...JSON_WORDS, ...Object.keys({ ...STORED, ...ACCOUNT }).map((name) => `"${name}":`)],
    test: testStore,
  },
  {
    name: "acme",
    seeds: () => [
      JSON.stringify(ORDER),
      "{}",
      '<https://ca.example/b>;rel="alternate"',
      "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ],
    words: [
      ...JSON_WORDS,
      ...Object.keys(ORDER).map((name) => `"${name}":`),
      ";rel=alternate",
      "<",
    ],
    limit: 2048,
    cost: 4,
    test: testAcme,
  },
  {
    name: "options",
    seeds: () => [
      ...[...optionVectors.values, ...optionVectors.errors].map(({ input: { argv = [], env } }) =>
        [argv.join(" "), ...Object.entries(env ?? {}).map((pair) => pair.join("="))].join("\n")
      ),
      "--http-port=80 --log-format json\nHTTPS_PORT=443",
    ],
    words: CENTAURI_OPTIONS.flatMap(({ name, variable }) => [`--${name}=`, `\n${variable}=`]),
    limit: 512,
    test: testOptions,
  },
  {
    name: "addr",
    seeds: () =>
      inputs([
        ...[...addrVectors.domainNames, ...addrVectors.canonicalNames, ...addrVectors.hostPorts],
        ...[...addrVectors.hosts, ...addrVectors.socketAddresses, ...addrVectors.badNetworks],
        ...addrVectors.networks.map((row) => ({
          input: String((row as { input: unknown }).input),
        })),
      ]),
    words: [
      "xn--",
      "[::1]",
      ":80",
      "%25",
      "::ffff:",
      "/8",
      ",",
      ".",
      "*.",
      "\u00fc",
      "\u3002",
      "0x",
    ],
    limit: 512,
    test: testAddr,
  },
  {
    name: "words",
    seeds: () => [
      ...inputs(base64),
      ...inputs(durations as readonly { readonly input: string }[]),
      ...inputs(sizes as readonly { readonly input: string }[]),
      ...[
        "label=a=b, web",
        "a.tpl:/b,c:d",
        "SIGHUP",
        "tcp://a:1",
        "ssh://a@b:22",
        "fd://",
        "a\nb\n",
      ],
      "ca.example; accounturi=https://ca.example/1; policy=wildcard; persistUntil=1767225600",
      "unix:///var/run/docker.sock",
    ],
    words: [
      "h",
      "ms",
      "\u00b5s",
      "KiB",
      ".",
      "0",
      "SIG",
      "label=",
      "://",
      "=",
      ";",
      "\u2028",
      "-----",
    ],
    limit: 1024,
    test: testWords,
  },
];
