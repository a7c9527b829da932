/**
 * Answers as bytes (latin1) and what must come of them, as in `http1-requests.ts`. Whatever is
 * wrong with an answer is a 502 to the client, so `error` here is only true or absent.
 */
import { CHUNKED, type ResponseHead, UNTIL_CLOSE } from "../../lib/http1.ts";
import type { Message } from "./http1-requests.ts";

export interface ResponseVector {
  readonly name: string;
  readonly why: string;
  /** The request's method; GET if it isn't there. */
  readonly method?: string;
  readonly input: string;
  readonly expect: readonly ((Partial<ResponseHead> & Message) | { readonly error: true })[];
  readonly rest?: string;
}

const LAST_CHUNK = "0\r\n\r\n";

function ok(fields: string, body: string): string {
  return `HTTP/1.1 200 OK\r\n${fields}\r\n${body}`;
}

function each(
  name: string,
  why: string,
  inputs: readonly string[],
  expect: ResponseVector["expect"],
): ResponseVector[] {
  return inputs.map((input) => ({ name: `${name}: ${JSON.stringify(input)}`, why, input, expect }));
}

const STATUS_LINES: readonly ResponseVector[] = [
  {
    name: "an answer",
    why: "RFC 9112 section 4",
    input: ok("Content-Length: 2\r\nX-A: b\r\nx-a: c\r\n", "hi"),
    expect: [{
      status: 200,
      reason: "OK",
      minor: 1,
      fields: ["Content-Length", "2", "X-A", "b", "x-a", "c"],
      length: 2,
      keepAlive: true,
      connection: [],
      upgrade: undefined,
      body: "hi",
    }],
  },
  ...each(
    "a status line without a reason",
    "RFC 9112 section 4: the space MUST be sent even so; many servers don't",
    ["HTTP/1.1 404 ", "HTTP/1.1 404"].map((line) => line + "\r\nContent-Length: 0\r\n\r\n"),
    [{ status: 404, reason: "", length: 0 }],
  ),
  {
    name: "a reason of any characters that it may have",
    why: "RFC 9112 section 4: HTAB, SP, VCHAR and obs-text, kept though it means nothing",
    input: "HTTP/1.1 299  d\xe9j\xe0\tvu: \x80\xff! \r\nContent-Length: 0\r\n\r\n",
    expect: [{ status: 299, reason: " d\xe9j\xe0\tvu: \x80\xff! " }],
  },
  ...each(
    "a status line of a higher minor version",
    "RFC 9110 section 2.5",
    ["HTTP/1.2", "HTTP/1.9"].map((version) => `${version} 200 OK\r\nContent-Length: 0\r\n\r\n`),
    [{ minor: 1, keepAlive: true }],
  ),
  ...each(
    "a status with no meaning here",
    "RFC 9110 section 15: by its class, or as a 500; it is passed on as it is",
    ["HTTP/1.1 299 x", "HTTP/1.1 599 x", "HTTP/1.1 600 x", "HTTP/1.1 999 x"]
      .map((line) => line + "\r\nContent-Length: 1\r\n\r\na"),
    [{ reason: "x", body: "a" }],
  ),
  ...each(
    "a line that isn't a status line",
    "RFC 9112 section 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]",
    [
      "HTTP/1.1",
      "HTTP/1.1 ",
      "HTTP/1.1 20",
      "HTTP/1.1 2000",
      "HTTP/1.1 2000 OK",
      "HTTP/1.1 020 OK",
      "HTTP/1.1 000 OK",
      "HTTP/1.1 099 OK",
      "HTTP/1.1 -20 OK",
      "HTTP/1.1 +20 OK",
      "HTTP/1.1 2x0 OK",
      "HTTP/1.1 0x2 OK",
      "HTTP/1.1 2.0 OK",
      "HTTP/1.1 200OK",
      "HTTP/1.1 200\tOK",
      "HTTP/1.1  200 OK",
      "HTTP/1.1\t200 OK",
      " HTTP/1.1 200 OK",
      "HTTP/1.1 OK",
      "HTTP/1.1 200 O\x00K",
      "HTTP/1.1 200 O\x7fK",
      "HTTP/1.1 200 O\x0bK",
      "HTTP/1.1 200 OK\r",
      "HTTP/1.1 200\r OK",
      "http/1.1 200 OK",
      "HTTP/1.10 200 OK",
      "HTTP/01.1 200 OK",
      "HTTP/2.0 200 OK",
      "HTTP/2 200 OK",
      "HTTP/0.9 200 OK",
      "ICY 200 OK",
      "200 OK",
      "GET / HTTP/1.1",
      "SSH-2.0-OpenSSH_9.2",
      "<html>",
      "HTTP/1.1 200 OK\nX: y",
    ].map((line) => line + "\r\nContent-Length: 0\r\n\r\n"),
    [{ error: true }],
  ),
  ...each(
    "field lines that no request may have either",
    "RFC 9112 sections 2.2, 5.1 and 5.2: a proxy may mend some of them or send a 502",
    ["A : b", " A: b", "A: b\r\n c", "A: \rb", "A: b\nc: d", "A: \0", "A", ": b", "A: \x7f"]
      .map((line) => ok(`${line}\r\nContent-Length: 0\r\n`, "")),
    [{ error: true }],
  ),
];

const BODILESS: readonly ResponseVector[] = [
  ...["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""].flatMap((fields) => [
    ...["204 No Content", "304 Not Modified"].map((status): ResponseVector => ({
      name: `${status} with ${JSON.stringify(fields)}`,
      why: "RFC 9112 section 6.3, rule 1: no body, whatever the fields say",
      input: `HTTP/1.1 ${status}\r\n${fields}\r\n` + ok("Content-Length: 1\r\n", "a"),
      expect: [{ length: 0, keepAlive: true }, { status: 200, body: "a" }],
    })),
    {
      name: `the answer to HEAD with ${JSON.stringify(fields)}`,
      why: "RFC 9112 section 6.3, rule 1: the fields are those of a GET, the body isn't there",
      method: "HEAD",
      input: ok(fields, "") + "HTTP/1.1 404 x\r\n\r\n",
      expect: [{ status: 200, length: 0, keepAlive: true }, { status: 404, length: 0 }],
    },
  ]),
  {
    name: "the answer to a method that only looks like HEAD",
    why: "RFC 9110 section 9.1: methods are case-sensitive",
    method: "head",
    input: ok("Content-Length: 1\r\n", "a"),
    expect: [{ length: 1, body: "a" }],
  },
  {
    name: "interim answers before the final one",
    why: "RFC 9110 section 15.2: any number of them, RFC 8297 for 103",
    input: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
      "HTTP/1.1 199\r\n\r\n" + ok("Content-Length: 1\r\n", "a"),
    expect: [
      { status: 100, length: 0, keepAlive: true },
      { status: 103, length: 0, fields: ["Link", "</a>"] },
      { status: 199, length: 0 },
      { status: 200, body: "a" },
    ],
  },
  {
    name: "a switch of protocols",
    why: "RFC 9110 section 15.2.2: what follows isn't HTTP; the caller takes it from the reader",
    input: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    expect: [{ status: 101, upgrade: "websocket", connection: ["upgrade"], length: 0 }],
  },
  {
    name: "a switch of protocols that Connection doesn't name",
    why: "RFC 9110 section 7.8: the sender of Upgrade MUST send it as an option of Connection",
    input: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    expect: [{ status: 101, upgrade: undefined, length: 0 }],
  },
  {
    name: "both lengths where there is no body",
    why: "RFC 9112 section 11.2: who sends both is desynchronised, now or with the next answer",
    input: "HTTP/1.1 304 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    expect: [{ error: true }],
  },
];

const FRAMED: readonly ResponseVector[] = [
  {
    name: "a chunked answer with trailers, then another",
    why: "RFC 9112 section 7.1",
    input: ok("Transfer-Encoding: Chunked\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\nT: u\r\nt: v\r\n\r\n") +
      ok("Content-Length: 0\r\n", ""),
    expect: [
      { length: CHUNKED, body: "abc", trailers: ["T", "u", "t", "v"], keepAlive: true },
      { length: 0 },
    ],
  },
  ...each(
    "an answer with a Content-Length that isn't one decimal number",
    "RFC 9112 section 6.3, rule 5: a proxy MUST close and send a 502",
    ["", "+1", "-1", "0x1", "1 1", "1,1", "1, 2", "1a", "18446744073709551617"]
      .map((length) => ok(`Content-Length: ${length}\r\n`, "a")),
    [{ error: true }],
  ),
  ...each(
    "an answer with two lengths",
    "RFC 9112 sections 6.3 and 11.2: answer splitting",
    [
      "Content-Length: 1\r\nContent-Length: 1\r\n",
      "Content-Length: 1\r\nContent-Length: 5\r\n",
      "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
      "Transfer-Encoding:\r\nContent-Length: 1\r\n",
    ].map((fields) => ok(fields, LAST_CHUNK)),
    [{ error: true }],
  ),
  ...each(
    "an answer with a transfer coding other than chunked",
    "RFC 9112 section 7: nobody asked for one with TE; rule 4's close-delimited body is refused",
    [
      ...["", "gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked"],
      ...["xchunked", "chunked;a=b", "\x0bchunked", "chunked,"],
    ].map((coding) => ok(`Transfer-Encoding: ${coding}\r\n`, LAST_CHUNK)),
    [{ error: true }],
  ),
  ...each(
    "Transfer-Encoding in an HTTP/1.0 answer",
    "RFC 9112 section 6.1: MUST be treated as faulty framing",
    [`HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${LAST_CHUNK}`],
    [{ error: true }],
  ),
  ...each(
    "an answer without a length",
    "RFC 9112 section 6.3, rule 8: it ends with the connection, which is of no use after it",
    [
      ok("", "to the end\r\n\r\n"),
      "HTTP/1.0 200\r\nConnection: keep-alive\r\n\r\nto the end\r\n\r\n",
    ],
    [{ length: UNTIL_CLOSE, keepAlive: false, body: "to the end\r\n\r\n" }],
  ),
  {
    name: "an answer cut off before its length",
    why: "RFC 9112 section 8: incomplete, which the client must come to see",
    input: ok("Content-Length: 5\r\n", "hel"),
    expect: [{ length: 5, body: "hel", truncated: true }],
  },
  {
    name: "an answer cut off between chunks",
    why: "RFC 9112 section 8: without the last chunk it is incomplete",
    input: ok("Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n"),
    expect: [{ length: CHUNKED, body: "hel", truncated: true }],
  },
  {
    name: "an answer cut off before the blank line after its last chunk",
    why: "RFC 9112 section 8: incomplete too, trailers may be missing",
    input: ok("Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n0\r\n"),
    expect: [{ length: CHUNKED, body: "hel", truncated: true }],
  },
  ...([
    ["HTTP/1.1", "", true],
    ["HTTP/1.1", "Connection: x, Close\r\n", false],
    ["HTTP/1.0", "", false],
    ["HTTP/1.0", "Connection: Keep-Alive\r\n", true],
    ["HTTP/1.0", "Connection: keep-alive, close\r\n", false],
  ] as const).map(([version, fields, keepAlive]): ResponseVector => ({
    name: `an answer of ${version} with ${JSON.stringify(fields)}`,
    why: "RFC 9112 section 9.3",
    input: `${version} 200 OK\r\n${fields}Content-Length: 0\r\n\r\n`,
    expect: [{ length: 0, keepAlive }],
  })),
];

export const responseVectors: readonly ResponseVector[] = [
  ...STATUS_LINES,
  ...BODILESS,
  ...FRAMED,
];
