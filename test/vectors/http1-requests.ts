/**
 * Request lines, targets, connections and limits: requests as bytes (latin1) and what must come of them. `expect` has one entry a message, an
 * `error` (the status of the answer) being the last; what an entry leaves out is not compared,
 * except that `body` and `trailers` are then empty. `rest` is what the reader still holds.
 */
import { CHUNKED, type HeadLimits, type RequestHead } from "../../lib/http1.ts";

export interface Message {
  readonly body?: string;
  readonly trailers?: readonly string[];
  /** The input ended inside the body, and the body may not end so. */
  readonly truncated?: true;
}

export interface RequestVector {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  readonly limits?: HeadLimits;
  readonly expect: readonly ((Partial<RequestHead> & Message) | { readonly error: number })[];
  readonly rest?: string;
}

const HOST = "Host: a.example\r\n";
const LAST_CHUNK = "0\r\n\r\n";
const NEXT = "GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n";
/** Every character of a token (RFC 9110 section 5.6.2). */
const TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const VISIBLE = String.fromCharCode(...Array.from({ length: 94 }, (_, i) => 0x21 + i));

function get(fields: string): string {
  return `GET / HTTP/1.1\r\n${HOST}${fields}\r\n`;
}

function post(fields: string, body: string): string {
  return `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
}

function startLine(line: string): string {
  return `${line}\r\n${HOST}\r\n`;
}

/** One row for each input, all with the same reason and the same outcome. */
export function each(
  name: string,
  why: string,
  inputs: readonly string[],
  expect: RequestVector["expect"],
): RequestVector[] {
  return inputs.map((input) => ({ name: `${name}: ${JSON.stringify(input)}`, why, input, expect }));
}

const REQUEST_LINES: readonly RequestVector[] = [
  {
    name: "the least a request can be",
    why: "RFC 9112 sections 2.1 and 3.2: a request line and Host",
    input: NEXT,
    expect: [{
      method: "GET",
      target: "/next",
      minor: 1,
      fields: ["Host", "a.example"],
      authority: "a.example",
      length: 0,
      keepAlive: true,
      connection: [],
      upgrade: undefined,
    }],
  },
  {
    name: "a method with every token character",
    why: "RFC 9110 section 9.1: method = token, case-sensitive, and any may be registered",
    input: startLine(`${TCHARS} / HTTP/1.1`),
    expect: [{ method: TCHARS, length: 0 }],
  },
  ...each(
    "white space that isn't the one space",
    "RFC 9112 sections 3 and 11.2: splitting on white space lets a part mean two things",
    [
      " GET / HTTP/1.1",
      "\tGET / HTTP/1.1",
      "GET  / HTTP/1.1",
      "GET /  HTTP/1.1",
      "GET\t/ HTTP/1.1",
      "GET /\tHTTP/1.1",
      "GET\x0b/ HTTP/1.1",
      "GET /\x0cHTTP/1.1",
      "GET\xa0/ HTTP/1.1",
      "GET / HTTP/1.1 ",
      "GET / HTTP/1.1\t",
      "GET / HTTP/1.1 x",
      "GET / HTTP/1.1 HTTP/1.1",
      "GET /a b HTTP/1.1",
      "GET /\rHTTP/1.1",
      "GET / HTTP/1.1\r",
      "\rGET / HTTP/1.1",
    ].map(startLine),
    [{ error: 400 }],
  ),
  ...each(
    "a request line that lacks a part or has a wrong one",
    "RFC 9112 section 3: request-line = method SP request-target SP HTTP-version",
    [
      "GET",
      "GET ",
      "GET /",
      "GET / ",
      "GET HTTP/1.1",
      " / HTTP/1.1",
      ": / HTTP/1.1",
      "GE(T / HTTP/1.1",
      "GET: / HTTP/1.1",
      "G\xc9T / HTTP/1.1",
      "G\x00T / HTTP/1.1",
      "HTTP/1.1 200 OK",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ].map(startLine),
    [{ error: 400 }],
  ),
  ...each(
    "a target with a character that no target has",
    "RFC 9112 section 3.2: invalid targets get a 400; no fragment, control or non-ASCII byte",
    ["/\x00", "/\x01", "/\x1f", "/\x7f", "/#f", "/\x80", "/caf\xc3\xa9"]
      .map((target) => startLine(`GET ${target} HTTP/1.1`)),
    [{ error: 400 }],
  ),
  ...each(
    "a version that isn't spelled HTTP/digit.digit",
    "RFC 9112 section 2.3: HTTP-name is case-sensitive, one digit on either side",
    [
      "http/1.1",
      "Http/1.1",
      "HTTP/1.1.1",
      "HTTP/11",
      "HTTP/1",
      "HTTP/1.",
      "HTTP/.1",
      "HTTP/01.1",
      "HTTP/1.01",
      "HTTP/1.10",
      "HTTP/1,1",
      "HTTP/+1.1",
      "HTTP/-1.1",
      "HTTP/1.x",
      "HTTPS/1.1",
      "HTTP1.1",
      "HTTP/\xb9.1",
    ].map((version) => startLine(`GET / ${version}`)),
    [{ error: 400 }],
  ),
  ...each(
    "a higher minor version",
    "RFC 9110 section 2.5: processed as the highest one known of that major version",
    ["HTTP/1.2", "HTTP/1.9"].map((version) => startLine(`GET / ${version}`)),
    [{ minor: 1, keepAlive: true }],
  ),
  ...each(
    "another major version",
    "RFC 9110 section 15.6.6: 505, also to the preface of HTTP/2 (RFC 9113 section 3.4)",
    ["GET / HTTP/0.9", "GET / HTTP/2.0", "GET / HTTP/3.0", "GET / HTTP/9.9", "PRI * HTTP/2.0"]
      .map(startLine),
    [{ error: 505 }],
  ),
  {
    name: "one empty line before a request",
    why: "RFC 9112 section 2.2: SHOULD be ignored",
    input: "\r\n" + NEXT,
    expect: [{ target: "/next" }],
  },
  {
    name: "four empty lines before a request",
    why: "RFC 9112 section 2.2: at least one; they come in twos to whoever looks for CRLF CRLF",
    input: "\r\n\r\n\r\n\r\n" + NEXT,
    expect: [{ target: "/next" }],
  },
  {
    name: "empty lines and nothing after them",
    why: "they are no beginning of a request: whoever sent just them is idle",
    input: "\r\n\r\n\r\n",
    expect: [],
    rest: "",
  },
  ...each(
    "something that isn't an empty line before a request",
    "RFC 9112 section 2.2: white space or a bare CR or LF there is no CRLF",
    ["\n", "\r", "\r\r\n", "\n\r\n", "\r\n\n", "\r\n ", " \r\n", "\0", "\r\n\r\n\n"]
      .map((before) => before + NEXT),
    [{ error: 400 }],
  ),
  {
    name: "a request that isn't whole yet",
    why: "no head before its blank line",
    input: "GET / HTTP/1.1\r\nHost: a.example\r\n",
    expect: [],
    rest: "GET / HTTP/1.1\r\nHost: a.example\r\n",
  },
];

const TARGETS: readonly RequestVector[] = [
  {
    name: "an origin-form with every character that is let through",
    why: "RFC 9112 section 3.2.1; browsers send some that RFC 3986 wants encoded, upstreams decide",
    input: startLine(`GET /${VISIBLE.replace("#", "")} HTTP/1.1`),
    expect: [{ target: "/" + VISIBLE.replace("#", ""), authority: "a.example" }],
  },
  ...each(
    "a path that must not be normalised",
    "RFC 9112 section 3.2.1: sent on as received",
    ["GET //b/../%2e%2E/./?a=/../&b=//?; HTTP/1.1"].map(startLine),
    [{ target: "//b/../%2e%2E/./?a=/../&b=//?;", authority: "a.example" }],
  ),
  ...each(
    "an absolute-form",
    "RFC 9112 section 3.2.2: MUST be accepted, and its authority, not Host, is the one that counts",
    [
      "GET http://b.example:8080/p?q HTTP/1.1",
      "GET HTTP://b.example:8080/p?q HTTP/1.1",
      "GET https://b.example:8080/p?q HTTP/1.1",
    ].map(startLine),
    [{ target: "/p?q", authority: "b.example:8080", fields: ["Host", "a.example"] }],
  ),
  ...each(
    "an absolute-form without a path",
    "RFC 9112 section 3.2.1: an empty path is sent as /",
    ["GET http://b.example HTTP/1.1"].map(startLine),
    [{ target: "/", authority: "b.example" }],
  ),
  ...each(
    "an absolute-form with a query and no path",
    "RFC 3986 section 3.2: the authority ends at the question mark too",
    ["GET http://b.example?u=http://c.example/ HTTP/1.1"].map(startLine),
    [{ target: "/?u=http://c.example/", authority: "b.example" }],
  ),
  ...each(
    "OPTIONS with an absolute-form without a path",
    "RFC 9112 section 3.2.4: the last proxy MUST send * for it",
    ["OPTIONS http://b.example HTTP/1.1"].map(startLine),
    [{ target: "*", authority: "b.example" }],
  ),
  ...each(
    "OPTIONS with an absolute-form and an empty path but a query",
    "RFC 9112 section 3.2.4: * is for no path and no query",
    ["OPTIONS http://b.example?q HTTP/1.1"].map(startLine),
    [{ target: "/?q", authority: "b.example" }],
  ),
  ...each(
    "an absolute-form with user information",
    "RFC 9110 section 4.2.4: kept in the authority, where no name has an @",
    ["GET http://a.example@b.example/ HTTP/1.1"].map(startLine),
    [{ authority: "a.example@b.example" }],
  ),
  ...each(
    "an absolute-form without an authority",
    "RFC 9110 section 4.2.1: an empty host is invalid; the caller sees that it's empty",
    ["GET http:///p HTTP/1.1"].map(startLine),
    [{ authority: "", target: "/p" }],
  ),
  {
    name: "an absolute-form and no Host",
    why: "RFC 9112 section 3.2: Host MUST be sent with every form of target",
    input: "GET http://b.example/ HTTP/1.1\r\n\r\n",
    expect: [{ error: 400 }],
  },
  ...each(
    "OPTIONS with the asterisk-form",
    "RFC 9112 section 3.2.4",
    ["OPTIONS * HTTP/1.1"].map(startLine),
    [{ method: "OPTIONS", target: "*", authority: "a.example" }],
  ),
  ...each(
    "CONNECT",
    "RFC 9110 sections 9.3.6 and 15.6.2: there is no tunnel to open",
    ["a.example:443", "a.example", "/", "*", "http://a.example/"]
      .map((target) => startLine(`CONNECT ${target} HTTP/1.1`)),
    [{ error: 501 }],
  ),
  ...each(
    "a target of no form",
    "RFC 9112 section 3.2: authority-form and asterisk-form have one method each",
    [
      "GET *",
      "OPTIONS **",
      "OPTIONS *?q",
      "get *",
      "GET a.example:443",
      "GET a.example",
      "GET a.example/p",
      "GET ?q",
      "GET \\p",
      "GET http:/a.example/",
      "GET http:a.example",
      "GET http",
      "GET ://a.example/",
      "GET httpx://a.example/",
      "GET ftp://a.example/",
      "GET javascript:1",
    ].map((line) => startLine(line + " HTTP/1.1")),
    [{ error: 400 }],
  ),
];

const HOSTS: readonly RequestVector[] = [
  ...each(
    "no Host, or more than one",
    "RFC 9112 section 3.2: MUST be a 400; two parties may route by different ones",
    [
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "GET / HTTP/1.1\r\nX-Host: a.example\r\n\r\n",
      get(HOST),
      get("host: b.example\r\n"),
      get("HOST:\r\n"),
      `GET / HTTP/1.1\r\nHost:\r\n${HOST}\r\n`,
      "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n",
      `GET / HTTP/1.0\r\n${HOST}${HOST}\r\n`,
    ],
    [{ error: 400 }],
  ),
  {
    name: "an empty Host",
    why: "RFC 9112 section 3.2: a valid field; the caller sees that it names nothing",
    input: "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    expect: [{ authority: "", fields: ["Host", ""] }],
  },
  {
    name: "a Host in odd case with white space around it",
    why: "RFC 9110 sections 5.1 and 5.5: names in any case, white space isn't part of the value",
    input: "GET / HTTP/1.1\r\nhOsT:\t A.Example:443 \t\r\n\r\n",
    expect: [{ authority: "A.Example:443", fields: ["hOsT", "A.Example:443"] }],
  },
];

const CONNECTIONS: readonly RequestVector[] = [
  ...([
    ["HTTP/1.1", "", true],
    ["HTTP/1.1", "Connection:\r\n", true],
    ["HTTP/1.1", "Connection: keep-alive\r\n", true],
    ["HTTP/1.1", "Connection: close\r\n", false],
    ["HTTP/1.1", "connection: CLOSE\r\n", false],
    ["HTTP/1.1", "Connection: keep-alive, close\r\n", false],
    ["HTTP/1.1", "Connection: x,\tclose\t,y\r\n", false],
    ["HTTP/1.1", "Connection: x\r\nConnection: close\r\n", false],
    ["HTTP/1.1", "Connection: close\r\nConnection: keep-alive\r\n", false],
    ["HTTP/1.1", "Connection: closed, xclose, close;a, close x\r\n", true],
    ["HTTP/1.1", "Proxy-Connection: close\r\nKeep-Alive: timeout=0\r\n", true],
    ["HTTP/1.0", "", false],
    ["HTTP/1.0", "Connection: x\r\n", false],
    ["HTTP/1.0", "Connection: Keep-Alive\r\n", true],
    ["HTTP/1.0", "Connection: x\r\nConnection: keep-alive\r\n", true],
    ["HTTP/1.0", "Connection: keep-alive, close\r\n", false],
    ["HTTP/1.0", "Proxy-Connection: keep-alive\r\n", false],
  ] as const).map(([version, fields, keepAlive]): RequestVector => ({
    name: `a request of ${version} with ${JSON.stringify(fields)}`,
    why: "RFC 9112 section 9.3: close, then 1.1, then keep-alive in 1.0, else the connection ends",
    input: `GET / ${version}\r\n${HOST}${fields}\r\n`,
    expect: [{ minor: version === "HTTP/1.1" ? 1 : 0, keepAlive }],
  })),
  {
    name: "Connection options",
    why: "RFC 9110 sections 5.6.1 and 7.6.1: a list over all its fields, empty items left out",
    input: get("Connection: X-A , ,x-b,\r\nconnection: \r\nCONNECTION: TE\t,,Keep-Alive\r\n"),
    expect: [{ connection: ["x-a", "x-b", "te", "keep-alive"], keepAlive: true }],
  },
  {
    name: "Connection options next to a no-break space",
    why: "no token has one (RFC 9110 section 5.6.2), and closing and dropping more is safe",
    input: get("Connection: close\xa0,\xa0x-a, x-b\r\n"),
    expect: [{ connection: ["close", "x-a", "x-b"], keepAlive: false }],
  },
  {
    name: "an upgrade to WebSocket",
    why: "RFC 6455 section 4.1, as Firefox sends it",
    input: get("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"),
    expect: [{ upgrade: "websocket", connection: ["keep-alive", "upgrade"], keepAlive: true }],
  },
  {
    name: "an Upgrade of several fields keeps order and case",
    why: "RFC 9110 sections 5.3 and 7.8: a list by preference",
    input: get("Connection: upgrade\r\nUpgrade: HTTP/2.0, SHTTP/1.3\r\nupgrade: IRC/6.9\r\n"),
    expect: [{ upgrade: "HTTP/2.0, SHTTP/1.3, IRC/6.9" }],
  },
  ...each(
    "an Upgrade that isn't asked for",
    "RFC 9110 section 7.8: Connection MUST name it, and HTTP/1.0 has none",
    [
      get("Upgrade: websocket\r\n"),
      get("Connection: keep-alive\r\nUpgrade: websocket\r\n"),
      get("Connection: upgrade\r\n"),
      get("Connection: upgrade\r\nUpgrade:\r\n"),
      `GET / HTTP/1.0\r\n${HOST}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`,
    ],
    [{ upgrade: undefined }],
  ),
  ...each(
    "Expect: 100-continue",
    "RFC 9110 section 10.1.1: the upstream answers it",
    ["100-continue", "100-Continue", " 100-CONTINUE "]
      .map((value) => post(`Expect: ${value}\r\nContent-Length: 1\r\n`, "a")),
    [{ body: "a" }],
  ),
  ...each(
    "an expectation that isn't ours to meet",
    "RFC 9110 section 10.1.1: ignored from HTTP/1.0; others are left to the upstream",
    [
      `POST / HTTP/1.0\r\n${HOST}Expect: 100-continue\r\nContent-Length: 1\r\n\r\na`,
      post("Expect: 100-continuex\r\nContent-Length: 1\r\n", "a"),
      post("Expect:\r\nContent-Length: 1\r\n", "a"),
    ],
    [{ body: "a" }],
  ),
];

const SMALL: HeadLimits = { bytes: 64, fields: 3 };
const PADDING = 64 - "GET / HTTP/1.1\r\nHost: a.example\r\nX: \r\n\r\n".length;

const LIMITED: readonly RequestVector[] = [
  {
    name: "a head of exactly as many bytes as allowed, twice",
    why: "the limit is of each head, the blank line included",
    limits: SMALL,
    input: get(`X: ${"x".repeat(PADDING)}\r\n`).repeat(2),
    expect: [{ target: "/" }, { target: "/" }],
  },
  {
    name: "a head of one byte more",
    why: "RFC 6585 section 5: 431",
    limits: SMALL,
    input: get(`X: ${"x".repeat(PADDING + 1)}\r\n`),
    expect: [{ error: 431 }],
  },
  {
    name: "a head that doesn't end in as many bytes as allowed",
    why: "refused without waiting for its end",
    limits: SMALL,
    input: get(`X: ${"x".repeat(PADDING + 9)}`).slice(0, 64),
    expect: [{ error: 431 }],
  },
  {
    name: "a head over the limit with bytes after the limit that are wrong in another way",
    why: "what is past the limit isn't looked at, however the bytes were cut",
    limits: SMALL,
    input: get(`X: ${"x".repeat(PADDING + 9)}`).slice(0, 64) + "\n\n\r\n\r\n",
    expect: [{ error: 431 }],
  },
  {
    name: "a first line over the limit",
    why: "RFC 9112 section 3: MUST be a 414",
    limits: SMALL,
    input: startLine(`GET /${"x".repeat(60)} HTTP/1.1`),
    expect: [{ error: 414 }],
  },
  {
    name: "a first line that ends right past the limit",
    why: "RFC 9112 section 3: 414, and the CR past the limit isn't looked at",
    limits: SMALL,
    input: startLine(`GET /${"x".repeat(50)} HTTP/1.1`),
    expect: [{ error: 414 }],
  },
  {
    name: "as many fields as allowed",
    why: "Host counts as one",
    limits: SMALL,
    input: get("a:\r\nb:\r\n"),
    expect: [{ fields: ["Host", "a.example", "a", "", "b", ""] }],
  },
  {
    name: "one field more",
    why: "RFC 6585 section 5: 431 for a number of fields too",
    limits: SMALL,
    input: get("a:\r\nb:\r\nc:\r\n"),
    expect: [{ error: 431 }],
  },
  {
    name: "as many Connection options as allowed, and empty items",
    why: "a limit of our own; RFC 9110 section 5.6.1.2: empty items don't count",
    input: get(`Connection: ${"a,".repeat(128)}\r\nConnection: ${",a".repeat(128)}\r\n`),
    expect: [{ connection: Array(256).fill("a") }],
  },
  {
    name: "one Connection option more",
    why: "64 KiB of options compared with 256 names are a tenth of a second's work",
    input: get(`Connection: ${"a,".repeat(128)}\r\nConnection: ${",a".repeat(129)}\r\n`),
    expect: [{ error: 431 }],
  },
  {
    name: "empty lines past the limit before a request",
    why: "RFC 9112 section 2.2: they are skipped, and are no part of the head",
    limits: SMALL,
    input: "\r\n".repeat(40) + NEXT,
    expect: [{ target: "/next" }],
  },
];

const PIPELINES: readonly RequestVector[] = [
  {
    name: "five requests with every kind of body",
    why: "RFC 9112 section 9.3.2: nothing of one is left in the next",
    input:
      post("Transfer-Encoding: chunked\r\nConnection: upgrade\r\nUpgrade: x\r\n", "1\r\na\r\n") +
      "0\r\nT: u\r\n\r\n" + NEXT + post("Content-Length: 2\r\nExpect: 100-continue\r\n", "\r\n") +
      "\r\n" + post("Transfer-Encoding: chunked\r\n", LAST_CHUNK) + NEXT,
    expect: [
      { length: CHUNKED, upgrade: "x", body: "a", trailers: ["T", "u"] },
      { length: 0, upgrade: undefined, connection: [] },
      { length: 2, body: "\r\n" },
      { length: CHUNKED },
      { length: 0, target: "/next" },
    ],
  },
  {
    name: "a good request, then a bad one",
    why: "the first is answered before the connection closes",
    input: NEXT + "GET / HTTP/1.1\r\n\r\n" + NEXT,
    expect: [{ target: "/next" }, { error: 400 }],
  },
  {
    name: "a body longer than its length",
    why: "the rest is the next request, and it isn't one",
    input: post("Content-Length: 3\r\n", "hello") + "\r\n\r\n",
    expect: [{ body: "hel" }, { error: 400 }],
  },
  {
    name: "a request without a length and with a body",
    why: "RFC 9112 section 6.3, rule 7: the length is 0",
    input: post("", "a=b&c=d") + "\r\n\r\n",
    expect: [{ length: 0 }, { error: 400 }],
  },
  {
    name: "a part of the next head",
    why: "it waits",
    input: NEXT + "GET /n",
    expect: [{ target: "/next" }],
    rest: "GET /n",
  },
];

export const requestVectors: readonly RequestVector[] = [
  ...REQUEST_LINES,
  ...TARGETS,
  ...HOSTS,
  ...CONNECTIONS,
  ...LIMITED,
  ...PIPELINES,
];
