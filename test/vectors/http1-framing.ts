/**
 * Field lines and what they say about the body: requests that two parties could read differently
 * if anyone were lenient. Rows as in `http1-requests.ts`.
 */
import { CHUNKED } from "../../lib/http1.ts";
import { each, type RequestVector } from "./http1-requests.ts";

const HOST = "Host: a.example\r\n";
const LAST_CHUNK = "0\r\n\r\n";
const NEXT = "GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n";
/** Every character of a token (RFC 9110 section 5.6.2). */
const TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const VISIBLE = String.fromCharCode(...Array.from({ length: 94 }, (_, i) => 0x21 + i));
const OBS_TEXT = String.fromCharCode(...Array.from({ length: 128 }, (_, i) => 128 + i));
/** All that a field value can't have but CR and LF, which the rows name apart. */
const CONTROLS = [...Array(32).keys(), 0x7f].filter((code) => ![0x09, 0x0a, 0x0d].includes(code));

function get(fields: string): string {
  return `GET / HTTP/1.1\r\n${HOST}${fields}\r\n`;
}

function post(fields: string, body: string): string {
  return `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
}

const FIELD_LINES: readonly RequestVector[] = [
  {
    name: "unusual but valid fields keep their bytes, case, order and duplicates",
    why: "RFC 9110 sections 5.1 to 5.5: nothing there is ours to change",
    input: get(
      `${TCHARS}: tchars\r\nX-Text: a${OBS_TEXT}z\r\nx-visible: ${VISIBLE}\r\n` +
        "X-Text: b\r\nx-TEXT: c\r\n0: zero\r\nX-Inner: a \t b\r\nX-Colon: a: b::\r\n",
    ),
    expect: [{
      fields: [
        ...["Host", "a.example", TCHARS, "tchars", "X-Text", `a${OBS_TEXT}z`],
        ...["x-visible", VISIBLE, "X-Text", "b", "x-TEXT", "c", "0", "zero"],
        ...["X-Inner", "a \t b", "X-Colon", "a: b::"],
      ],
    }],
  },
  {
    name: "white space around a value, and values of nothing",
    why: "RFC 9112 section 5.1: OWS is left out; RFC 9110 section 5.5: a value may be empty",
    input: get("a:b\r\nc:  \t d\t \r\ne:\r\nf: \t \r\ng:\xa0h\xa0\r\n"),
    expect: [{
      fields: ["Host", "a.example", "a", "b", "c", "d", "e", "", "f", "", "g", "\xa0h\xa0"],
    }],
  },
  {
    name: "fields named after properties of every object",
    why: "prototype pollution: names are peers' text and never keys of a plain object",
    input: get("__proto__: 1\r\nconstructor: 2\r\ntoString: 3\r\nConnection: __proto__\r\n"),
    expect: [{
      fields: [
        ...["Host", "a.example", "__proto__", "1", "constructor", "2", "toString", "3"],
        ...["Connection", "__proto__"],
      ],
      connection: ["__proto__"],
    }],
  },
  ...each(
    "obs-fold",
    "RFC 9112 section 5.2: MUST be refused or replaced; whoever doesn't unfold sees a new field",
    [" b", "\tb", " ", " Transfer-Encoding: chunked"].map((fold) => get(`X-A: a\r\n${fold}\r\n`)),
    [{ error: 400 }],
  ),
  ...each(
    "white space before the first field",
    "RFC 9112 section 2.2: a recipient that skips it and one that unfolds it see different fields",
    [" ", "\t"].map((space) => `GET / HTTP/1.1\r\n${space}X-A: b\r\n${HOST}\r\n`),
    [{ error: 400 }],
  ),
  ...each(
    "white space between name and colon",
    "RFC 9112 section 5.1: MUST be a 400 (a smuggled Transfer-Encoding)",
    [" ", "\t", "\xa0", "\x0b", "\x85"]
      .map((space) => get(`Transfer-Encoding${space}: chunked\r\n`) + LAST_CHUNK),
    [{ error: 400 }],
  ),
  ...each(
    "a field line without a name or a colon",
    'RFC 9112 section 5: field-line = field-name ":" OWS field-value OWS',
    [":", ": b", "X-A", "X-A b", "=", "GET / HTTP/1.1"].map((line) => get(line + "\r\n")),
    [{ error: 400 }],
  ),
  ...each(
    "a name with a character that isn't a token's",
    "RFC 9110 sections 5.1 and 5.6.2",
    [...'"(),/;<=>?@[\\]{} \t\x80\xff', ...CONTROLS.map((code) => String.fromCharCode(code))]
      .map((char) => get(`X${char}A: b\r\n`)),
    [{ error: 400 }],
  ),
  ...each(
    "a value with a control character",
    "RFC 9110 section 5.5: CR, LF and NUL MUST be refused, the others are invalid",
    CONTROLS.map((code) => get(`X-A: a${String.fromCharCode(code)}b\r\n`)),
    [{ error: 400 }],
  ),
  ...each(
    "a bare CR",
    "RFC 9112 section 2.2: MUST be invalid or replaced; some take it for the end of a line",
    ["X-A: \rb", "X-A: b\r", "X-A\r: b", "\rX-A: b", "X-A: a\rTransfer-Encoding: chunked", "\r"]
      .map((line) => get(line + "\r\n")),
    [{ error: 400 }],
  ),
  ...each(
    "a bare LF",
    "RFC 9112 section 2.2 lets it end a line: whoever doesn't sees one field where we'd see two",
    [
      `GET / HTTP/1.1\n${HOST}\r\n`,
      "GET / HTTP/1.1\r\nHost: a.example\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.example\r\n\n",
      "GET / HTTP/1.1\r\nHost: a.example\n\n",
      "GET / HTTP/1.1\nHost: a.example\n\n",
      get("X-A: \nb\r\n"),
      get("X-A\n: b\r\n"),
      get("\nX-A: b\r\n"),
      get("X-A: b\nTransfer-Encoding: chunked\r\n"),
      "GET / HTTP/1.1\r\nHost: a.example\r\n\n" + NEXT,
    ],
    [{ error: 400 }],
  ),
  {
    name: "a blank line with a bare CR",
    why: "RFC 9112 section 2.2: no end of the head, and what comes next is no field",
    input: `GET / HTTP/1.1\r\n${HOST}\r${NEXT}`,
    expect: [{ error: 400 }],
  },
];

const LENGTHS: readonly RequestVector[] = [
  {
    name: "a Content-Length",
    why: "RFC 9112 section 6.3, rule 6",
    input: post("Content-Length: 5\r\n", "hello"),
    expect: [{ length: 5, body: "hello" }],
  },
  {
    name: "a Content-Length of 0 and one with leading zeros",
    why: "RFC 9110 section 8.6: 1*DIGIT, decimal however it starts",
    input: post("content-LENGTH: 0\r\n", "") + post("Content-Length: 0010\r\n", "0123456789"),
    expect: [{ length: 0 }, { length: 10, body: "0123456789" }],
  },
  {
    name: "a body that looks like a request",
    why: "CL.0: a body is skipped by its length, whatever the method",
    input: `GET / HTTP/1.1\r\n${HOST}Content-Length: ${NEXT.length}\r\n\r\n${NEXT}${NEXT}`,
    expect: [{ target: "/", body: NEXT }, { target: "/next" }],
  },
  {
    name: "the largest length that is counted exactly",
    why: "RFC 9110 section 8.6: anticipate large decimal numerals",
    input: post("Content-Length: 9007199254740991\r\n", "ab"),
    expect: [{ length: 9007199254740991, body: "ab", truncated: true }],
  },
  ...each(
    "a Content-Length that isn't one decimal number",
    "RFC 9112 section 6.3, rule 5: unrecoverable, 400 and close",
    [
      "",
      "+5",
      "-5",
      "-0",
      "5 5",
      "5\t5",
      "0x5",
      "5a",
      "a",
      "5.0",
      "5e0",
      "5_0",
      "5;",
      "5,",
      ",5",
      "5,5",
      "5, 5",
      "5, 6",
      '"5"',
      "\xb2",
      "\xa05",
      "5\xa0",
      "Infinity",
      "NaN",
      "9007199254740992",
      "4294967296000000000005",
      "18446744073709551621",
      "99999999999999999999999999999999999999999999999999",
    ].map((length) => post(`Content-Length: ${length}\r\n`, "hello")),
    [{ error: 400 }],
  ),
  ...each(
    "more than one Content-Length",
    "RFC 9112 section 6.3, rule 5: the same twice MAY be taken, and who takes it may differ",
    [
      post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
      post("Content-Length: 5\r\ncontent-length: 6\r\n", "hello"),
      post("Content-Length: 5\r\nContent-Length:\r\n", "hello"),
      post("Content-Length: 5\r\nX: y\r\nContent-Length: 0\r\n", "hello"),
    ],
    [{ error: 400 }],
  ),
  {
    name: "fields whose names are near to Content-Length",
    why: "valid fields of their own; nothing here maps _ to - or cuts a name",
    input: get("Content_Length: 5\r\nContent-Lengt: 6\r\nContent-Lengths: 7\r\n"),
    expect: [{ length: 0 }],
  },
];

const CODINGS: readonly RequestVector[] = [
  ...each(
    "Transfer-Encoding: chunked in odd case and with white space around it",
    "RFC 9112 section 7: coding names are case-insensitive; RFC 9110 section 5.5: OWS",
    ["chunked", "Chunked", "CHUNKED", "  chunked", "chunked ", "\tchunked \t"]
      .map((coding) => post(`Transfer-Encoding: ${coding}\r\n`, "5\r\nhello\r\n" + LAST_CHUNK)),
    [{ length: CHUNKED, body: "hello" }],
  ),
  ...each(
    "a coding before chunked",
    "RFC 9112 section 6.1: a transfer coding that isn't understood SHOULD get a 501",
    [
      "Transfer-Encoding: gzip, chunked\r\n",
      "Transfer-Encoding: gzip,CHUNKED\r\n",
      "Transfer-Encoding: gzip, deflate, chunked\r\n",
      "Transfer-Encoding: ,gzip ,, chunked,\r\n",
      "Transfer-Encoding: x;a=b, chunked\r\n",
      "Transfer-Encoding: identity, chunked\r\n",
      "Transfer-Encoding: gzip, identity, chunked\r\n",
      'Transfer-Encoding: "gzip", chunked\r\n',
      "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    ].map((fields) => post(fields, LAST_CHUNK)),
    [{ error: 501 }],
  ),
  ...each(
    "a Transfer-Encoding that doesn't end in chunked, or has it twice",
    "RFC 9112 section 6.3, rule 4: the length can't be told, 400 and close (TE.TE)",
    [
      "",
      "gzip",
      "identity",
      "xchunked",
      "chunkedx",
      "chunke",
      "x chunked",
      "chunked x",
      "\xa0, chunked",
      "chunked;q=1",
      "chunked; a",
      '"chunked"',
      "'chunked'",
      "chunked, chunked",
      "chunked,chunked, chunked",
      "chunked, gzip",
      "chunked, identity",
      "chunked,",
      ",chunked",
      ", chunked",
      "chunked, ",
      "\x0bchunked",
      "chunked\x0b",
      "\x0cchunked",
      "\x00chunked",
      "chun\x00ked",
      "\xa0chunked",
      "chunked\xa0",
      "\xffchunked",
      "chunked\r",
      "chunked\x7f",
    ].map((coding) => post(`Transfer-Encoding: ${coding}\r\n`, LAST_CHUNK)),
    [{ error: 400 }],
  ),
  ...each(
    "more than one Transfer-Encoding",
    "RFC 9110 section 5.3: fields join to one list, and chunked is in it once (TE.TE)",
    [
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
      "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
      "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
    ].map((fields) => post(fields, LAST_CHUNK)),
    [{ error: 400 }],
  ),
  ...each(
    "both Transfer-Encoding and Content-Length",
    "RFC 9112 section 6.1: a server MAY refuse it; CL.TE and TE.CL smuggling otherwise",
    [
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length:\r\n",
      "Content-Length: x\r\ntransfer-encoding: chunked\r\n",
      "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
      "Content-Length: 5\r\nTransfer-Encoding:\r\n",
    ].map((fields) => post(fields, LAST_CHUNK)),
    [{ error: 400 }],
  ),
  ...each(
    "Transfer-Encoding in HTTP/1.0",
    "RFC 9112 section 6.1: framing is faulty; a 1.0 party before us didn't see chunks",
    ["", "Content-Length: 5\r\n", "Connection: keep-alive\r\n"].map((more) =>
      `POST / HTTP/1.0\r\n${HOST}${more}Transfer-Encoding: chunked\r\n\r\n${LAST_CHUNK}`
    ),
    [{ error: 400 }],
  ),
  {
    name: "fields whose names are near to Transfer-Encoding",
    why: "valid fields of their own",
    input: get("Transfer_Encoding: chunked\r\nTransferEncoding: chunked\r\nTE: chunked\r\n"),
    expect: [{ length: 0 }],
  },
];

export const framingVectors: readonly RequestVector[] = [
  ...FIELD_LINES,
  ...LENGTHS,
  ...CODINGS,
];
