/**
 * Lists of fields as HTTP/2 requests begin with, and the request that they are in HTTP/1.1's terms,
 * or why they are malformed (a part of the message).
 */
import { CHUNKED } from "../../lib/http1.ts";

export interface HeadVector {
  readonly name: string;
  readonly why: string;
  readonly input: readonly string[];
  /** Nothing follows: END_STREAM. */
  readonly ended?: true;
  readonly expect:
    | {
      readonly line: string;
      readonly fields: readonly string[];
      readonly length: number;
      readonly protocol?: string;
      readonly scheme?: string;
    }
    | { readonly error: string };
}

const BASE = [":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.example"];
const HOST = ["Host", "a.example"];
const UPGRADE = [
  ...[":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/chat"],
  ...[":authority", "a.example"],
];

function without(name: string, list: readonly string[] = BASE): string[] {
  const at = list.indexOf(name);
  return list.toSpliced(at, 2);
}

function withValue(name: string, value: string, list: readonly string[] = BASE): string[] {
  return list.with(list.indexOf(name) + 1, value);
}

function refused(
  name: string,
  why: string,
  error: string,
  ...inputs: readonly (readonly string[])[]
): HeadVector[] {
  return inputs.map((input) => (
    { name: `${name}: ${JSON.stringify(input.slice(-4))}`, why, input, expect: { error } }
  ));
}

function accepted(
  name: string,
  why: string,
  input: readonly string[],
  line: string,
  fields: readonly string[],
  length: number = 0,
): HeadVector {
  const all = [...HOST, ...fields];
  return { name, why, input, ended: true, expect: { line, fields: all, length } };
}

const ALL_BYTES = [...Array(256).keys()].map((code) => String.fromCharCode(code));
const NAME_CHARACTERS = /[!#$%&'*+\-.^_`|~0-9a-z]/;

export const headVectors: readonly HeadVector[] = [
  accepted("a plain request", "section 8.3.1", BASE, "GET / a.example", []),
  accepted(
    "fields keep their order, duplicates and bytes",
    "RFC 9110 section 5.3",
    [...BASE, "x", "\xe9", "accept", "a", "x", "", "accept", "b, \t c"],
    "GET / a.example",
    ["x", "\xe9", "accept", "a", "x", "", "accept", "b, \t c"],
  ),
  accepted(
    "pseudo-fields in another order",
    "section 8.3: only that they come first",
    [":authority", "a.example", ":path", "/?a=b#".slice(0, 5), ":scheme", "https"].concat(
      [":method", "PURGE"],
    ),
    "PURGE /?a=b a.example",
    [],
  ),
  accepted(
    "host instead of :authority",
    "section 8.3.1: a proxy from HTTP/1.1 may not know another",
    [...without(":authority"), "accept", "a", "host", "a.example"],
    "GET / a.example",
    ["accept", "a"],
  ),
  ...["a.example", "A.Example", "a.example.", "a.example:443", "a.example:"].map((host) =>
    accepted(
      `:authority and the host ${host}, which is the same`,
      "section 8.3.1, RFC 3986 section 6.2",
      [...BASE, "host", host],
      "GET / a.example",
      [],
    )
  ),
  accepted(
    "cookies in crumbs",
    "section 8.2.3: joined with `; ` before they go into HTTP/1.1",
    [...BASE, "cookie", "a=b", "x", "y", "cookie", "c=d", "cookie", "e"],
    "GET / a.example",
    ["cookie", "a=b; c=d; e", "x", "y"],
  ),
  accepted(
    "te: trailers",
    "section 8.2.2",
    [...BASE, "te", "trailers"],
    "GET / a.example",
    ["te", "trailers"],
  ),
  accepted(
    "OPTIONS for the server as a whole",
    "section 8.3.1",
    withValue(":path", "*", withValue(":method", "OPTIONS")),
    "OPTIONS * a.example",
    [],
  ),
  accepted(
    "a POST of nothing",
    "RFC 9110 section 8.6: servers ask for a length otherwise",
    withValue(":method", "POST"),
    "POST / a.example",
    ["content-length", "0"],
  ),
  accepted(
    "a length of 0, and nothing",
    "section 8.1.1",
    [...withValue(":method", "POST"), "content-length", "0"],
    "POST / a.example",
    ["content-length", "0"],
  ),
  {
    name: "a body of a known length",
    why: "section 8.1.1",
    input: [...withValue(":method", "PUT"), "content-length", "12"],
    expect: {
      line: "PUT / a.example",
      fields: [...HOST, "content-length", "12"],
      length: 12,
    },
  },
  {
    name: "a body of any length",
    why: "section 8.1: its end is END_STREAM",
    input: BASE,
    expect: { line: "GET / a.example", fields: HOST, length: CHUNKED },
  },
  {
    name: "another scheme",
    why: "section 8.3.1: well-formed, if not for this connection",
    input: withValue(":scheme", "HTTP"),
    ended: true,
    expect: { line: "GET / a.example", fields: HOST, length: 0, scheme: "http" },
  },
  {
    name: "extended CONNECT",
    why: "RFC 8441 section 4",
    input: [...UPGRADE, "sec-websocket-version", "13", "content-length", "5"],
    expect: {
      line: "CONNECT /chat a.example",
      fields: [...HOST, "sec-websocket-version", "13"],
      length: 0,
      protocol: "websocket",
    },
  },
  {
    name: "CONNECT",
    why: "section 8.5: it is for the proxy to refuse",
    input: [":method", "CONNECT", ":authority", "a.example:80"],
    expect: { line: "CONNECT  a.example:80", fields: ["Host", "a.example:80"], length: 0 },
  },
  ...refused(
    "an upper-case name",
    "section 8.2.1",
    "name",
    [...BASE, "X-A", "b"],
    [...BASE, "aB", "c"],
    [...BASE, "Connection", "close"],
    [...BASE, "Host", "a.example"],
  ),
  ...ALL_BYTES.filter((character) => !NAME_CHARACTERS.test(character)).map((character) => ({
    name: `a name with the byte ${character.charCodeAt(0)}`,
    why: "section 8.2.1 and RFC 9110 section 5.6.2: a colon or a line's end is another field",
    input: [...BASE, `a${character}b`, "c"],
    expect: { error: "name" },
  })),
  ...refused("no name", "section 8.2.1", "name", [...BASE, "", "a"]),
  ...ALL_BYTES.filter((character) => /[\0-\x08\x0a-\x1f\x7f]/.test(character)).map((character) => ({
    name: `a value with the byte ${character.charCodeAt(0)}`,
    why: "section 8.2.1: CR, LF and NUL; HTTP/1.1 has no other control characters either",
    input: [...BASE, "a", `b${character}c`],
    expect: { error: "value" },
  })),
  ...refused(
    "white space around a value",
    "section 8.2.1",
    "value",
    ...[" a", "a ", "\ta", "a\t", " ", "\t"].map((value) => [...BASE, "x", value]),
  ),
  ...refused(
    "a line's end",
    "section 10.3: the oldest way to smuggle a request",
    "value",
    [...BASE, "x", "a\r\nHost: b.example"],
    [...BASE, "cookie", "a\r\n\r\nGET / HTTP/1.1"],
    [...BASE, "content-length", "0\r\n"],
    [...BASE, "host", "a.example\r\nx: y"],
  ),
  ...refused(
    "a field of another connection",
    "section 8.2.2: it would frame, or end, the one to the upstream",
    "another connection",
    [...BASE, "connection", "close"],
    [...BASE, "connection", "content-length"],
    [...BASE, "keep-alive", "1"],
    [...BASE, "proxy-connection", "keep-alive"],
    [...BASE, "transfer-encoding", "chunked"],
    [...BASE, "upgrade", "h2c"],
    [...BASE, "te", "gzip"],
    [...BASE, "te", "trailers, gzip"],
    [...BASE, "te", ""],
  ),
  ...refused(
    "an unknown pseudo-field",
    "section 8.3",
    "unknown pseudo-field",
    [...BASE, ":status", "200"],
    [...BASE, ":a", "b"],
    [...BASE, ":", "b"],
    [...BASE, ":METHOD", "GET"],
    [...BASE, ":__proto__", "x"],
  ),
  ...refused(
    "a pseudo-field behind a field",
    "section 8.3",
    "name",
    [...without(":path"), "a", "b", ":path", "/"],
    [...BASE, "a", "b", ":method", "GET"],
  ),
  ...refused(
    "a pseudo-field twice",
    "section 8.3.1",
    "twice",
    [...BASE, ":method", "GET"],
    [...BASE, ":path", "/"],
    [...BASE, ":scheme", "https"],
    [...BASE, ":authority", "a.example"],
  ),
  ...refused("no method", "section 8.3.1", ":method", without(":method")),
  ...refused("no scheme", "section 8.3.1", ":scheme", without(":scheme")),
  ...refused("no path", "section 8.3.1", ":path", without(":path")),
  ...refused(
    "a method that isn't a token",
    "RFC 9110 section 9.1: it is a part of HTTP/1.1's first line",
    ":method",
    ...["", "GET ", "GET / HTTP/1.1\r\n", "G\rT", "G:T", "\xe9"].map((value) =>
      withValue(":method", value)
    ),
  ),
  ...refused(
    "a path that HTTP/1.1 couldn't have",
    "RFC 9112 section 3.2: it is a part of HTTP/1.1's first line",
    ":path",
    ...["", "a", "?a", "*", "//a b", "/ HTTP/1.1\r\nX: y", "/\t", "/#a", "/\xe9", "/\0", "/\x7f"]
      .map((value) => withValue(":path", value)),
    withValue(":path", "https://a.example/"),
    withValue(":path", "*a", withValue(":method", "OPTIONS")),
  ),
  ...refused(
    "no scheme at all",
    "RFC 3986 section 3.1",
    ":scheme",
    ...["", "1", "https:", "ht tp", "https\r\n"].map((value) => withValue(":scheme", value)),
  ),
  ...refused(
    "no host",
    "section 8.3.1",
    "no :authority",
    without(":authority"),
    withValue(":authority", ""),
    [...withValue(":authority", ""), "host", "a.example"],
  ),
  ...refused(
    "two hosts",
    "section 8.3.1: whoever believes the other one serves another site",
    "differ",
    [...BASE, "host", "b.example"],
    [...BASE, "host", "a.example:444"],
    [...BASE, "host", ""],
    [...BASE, "host", "a.example, a.example"],
    [...withValue(":authority", "a@a.example"), "host", "a.example"],
    [...withValue(":authority", "a b"), "host", "a  b"],
  ),
  ...refused("host twice", "RFC 9110 section 7.2", "host comes twice", [
    ...[...BASE, "host", "a.example"],
    ...["host", "a.example"],
  ]),
  ...refused(
    "an authority with a control character",
    "section 8.2.1",
    ":authority",
    withValue(":authority", "a.example\r\nx: y"),
  ),
  ...refused(
    "a length that isn't one number",
    "RFC 9110 section 8.6",
    "content-length",
    ...["", "+1", "-1", "0x1", "1,1", "1, 1", "1 1", "1e1", "99999999999999999999"].map((value) => [
      ...[...BASE, "content-length", value],
    ]),
    [...BASE, "content-length", "1", "content-length", "1"],
  ),
  {
    name: "a length, and nothing that has it",
    why: "section 8.1.1",
    input: [...BASE, "content-length", "1"],
    ended: true,
    expect: { error: "no DATA" },
  },
  ...refused(
    "CONNECT with more or less than it has",
    "section 8.5",
    "CONNECT",
    [":method", "CONNECT", ":authority", "a.example", ":path", "/"],
    [":method", "CONNECT", ":authority", "a.example", ":scheme", "https"],
    [":method", "CONNECT", "host", "a.example"],
  ),
  ...refused(
    ":protocol without CONNECT",
    "RFC 8441 section 4",
    ":protocol",
    [...BASE, ":protocol", "websocket"],
  ),
  ...refused(
    "extended CONNECT without a part of its URL",
    "RFC 8441 section 4",
    "no ",
    without(":path", UPGRADE),
    without(":scheme", UPGRADE),
    without(":authority", UPGRADE),
  ),
];
