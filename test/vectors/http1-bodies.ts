/**
 * Bodies as bytes (latin1) with their framing, and what must come of them: the data, the trailers
 * and the bytes that belong to what follows, or the status of the error.
 */
import { type BodyLength, CHUNKED, type HeadLimits, UNTIL_CLOSE } from "../../lib/http1.ts";

export interface BodyVector {
  readonly name: string;
  readonly why: string;
  readonly length: BodyLength;
  readonly limits?: HeadLimits;
  readonly input: string;
  /** The connection ends with the input. */
  readonly expect:
    | { readonly data: string; readonly trailers?: readonly string[]; readonly rest?: string }
    /** Data that isn't the whole body. */
    | { readonly data: string; readonly waiting: true }
    | { readonly error: number };
}

const NEXT = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";
const TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/** All but `"` and `\` that stands in a quoted string as it is (RFC 9110 section 5.6.4). */
const QDTEXT = "\t" + String.fromCharCode(
  ...[...Array(256).keys()].filter((code) =>
    code >= 0x20 && code !== 0x22 && code !== 0x5c && code !== 0x7f
  ),
);

function each(
  name: string,
  why: string,
  inputs: readonly string[],
  expect: BodyVector["expect"],
): BodyVector[] {
  return inputs.map((input) => (
    { name: `${name}: ${JSON.stringify(input)}`, why, length: CHUNKED, input, expect }
  ));
}

const PLAIN: readonly BodyVector[] = [
  {
    name: "no body",
    why: "RFC 9112 section 6.3, rule 7: what follows is the next message",
    length: 0,
    input: NEXT,
    expect: { data: "", rest: NEXT },
  },
  {
    name: "a body by its length, and what follows",
    why: "RFC 9112 section 6.2",
    length: 5,
    input: "\r\n\0\xff0" + NEXT,
    expect: { data: "\r\n\0\xff0", rest: NEXT },
  },
  {
    name: "a body short of its length",
    why: "RFC 9112 section 8: not an end",
    length: 5,
    input: "hell",
    expect: { data: "hell", waiting: true },
  },
  {
    name: "a body that ends with the connection",
    why: "RFC 9112 section 6.3, rule 8: all bytes are its own",
    length: UNTIL_CLOSE,
    input: "0\r\n\r\n" + NEXT,
    expect: { data: "0\r\n\r\n" + NEXT },
  },
];

const CHUNKS: readonly BodyVector[] = [
  {
    name: "chunks, and what follows",
    why: "RFC 9112 section 7.1",
    length: CHUNKED,
    input: "5\r\nhello\r\n2\r\n\r\n\r\n10\r\n0123456789abcdef\r\n" + LAST_CHUNK + NEXT,
    expect: { data: "hello\r\n0123456789abcdef", rest: NEXT },
  },
  {
    name: "no chunk but the last, and what follows",
    why: "RFC 9112 section 7.1",
    length: CHUNKED,
    input: LAST_CHUNK + "\r\n" + NEXT,
    expect: { data: "", rest: "\r\n" + NEXT },
  },
  {
    name: "data that looks like chunks",
    why: "sizes alone say where a chunk ends",
    length: CHUNKED,
    input: "7\r\n\r\n0\r\n\r\n\r\n" + LAST_CHUNK,
    expect: { data: "\r\n0\r\n\r\n" },
  },
  ...each(
    "sizes in either case and with leading zeros",
    'RFC 9112 section 7.1: chunk-size = 1*HEXDIG, last-chunk = 1*"0"',
    ["a", "A", "0A", "00a", "00000000000000000000000A"]
      .map((size) => `${size}\r\n0123456789\r\n000\r\n\r\n`),
    { data: "0123456789" },
  ),
  {
    name: "the largest size that is counted exactly",
    why: "RFC 9112 section 7.1: anticipate large hexadecimal numerals",
    length: CHUNKED,
    input: "1fffffffffffff\r\nab",
    expect: { data: "ab", waiting: true },
  },
  ...each(
    "a size that isn't hexadecimal digits, or too large",
    "RFC 9112 section 7.1: parseInt reads most of these, which is how requests get smuggled",
    [
      "",
      "0x5",
      "0X5",
      "x5",
      "5x",
      "-1",
      "+5",
      "-0",
      " 5",
      "\t5",
      "5 ",
      "5\t",
      "5 5",
      "5\xa0",
      "5h",
      "g",
      "5.",
      "5,5",
      "5_0",
      '"5"',
      "5\0",
      "\x005",
      "5\x0b",
      "\xb5",
      "20000000000000",
      "ffffffffffffffff",
      "10000000000000005",
      "100000000000000000000000000000005",
    ].flatMap((size) => [`${size}\r\nhello\r\n${LAST_CHUNK}`, `${size}\r\n\r\n`]),
    { error: 400 },
  ),
  ...each(
    "something other than CRLF after a chunk's data",
    "RFC 9112 section 7.1: data longer or shorter than its size, and parties that skip two bytes",
    [
      "5\r\nhello5\r\nhello\r\n",
      "5\r\nhelloX\r\n",
      "5\r\nhello!!",
      "5\r\nhello\n",
      "5\r\nhello\n\n",
      "5\r\nhello\r\r",
      "5\r\nhello\rX\r\n",
      "5\r\nhello \r\n",
      "5\r\nhello\n\r",
      "4\r\nhello\r\n",
      "6\r\nhello\r\n0\r\n\r\n",
      "5\r\nhello0\r\n\r\n",
      "5\r\nhello\r\n\r\n0\r\n\r\n",
    ],
    { error: 400 },
  ),
  ...each(
    "a line that ends with a bare LF or has a bare CR",
    "RFC 9112 section 2.2, CVE-2025-22871: a chunk's line isn't the place to be lenient",
    [
      "5\nhello\r\n0\r\n\r\n",
      "\n5\r\nhello\r\n0\r\n\r\n",
      "5;a\nhello\r\n0\r\n\r\n",
      "5;\nhello\r\n0\r\n\r\n",
      '5;a="\n"\r\nhello\r\n0\r\n\r\n',
      "5;a=\nb\r\nhello\r\n0\r\n\r\n",
      "5;a\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
      "5\r\nhello\r\n0\n\r\n",
      "5\r\nhello\r\n0\r\n\n",
      "5\r\nhello\r\n0\n\n",
      "0\r\nA: b\n\r\n",
      "0\r\nA: b\r\n\n",
      "0\r\nA: b\nC: d\r\n\r\n",
      "5\rhello\r\n0\r\n\r\n",
      "5\r\r\nhello\r\n0\r\n\r\n",
      "\r5\r\nhello\r\n0\r\n\r\n",
      "5;a\rb\r\nhello\r\n0\r\n\r\n",
      '5;a="\r"\r\nhello\r\n0\r\n\r\n',
      "0\r\n\rA: b\r\n\r\n",
      "0\r\nA: b\r\r\n\r\n",
    ],
    { error: 400 },
  ),
  ...each(
    "a body cut off",
    "RFC 9112 section 8: without its last CRLF it isn't whole",
    ["", "\r", "\r\n", "\r\n0", "\r\n0\r\n", "\r\n0\r\n\r", "\r\n0\r\nA", "\r\n0\r\nA: b\r\n"]
      .map((end) => "5\r\nhello" + end),
    { data: "hello", waiting: true },
  ),
];

const EXTENSIONS: readonly BodyVector[] = [
  ...each(
    "chunk extensions",
    "RFC 9112 section 7.1.1: MUST be ignored when not understood",
    [
      ";a",
      ";a=b",
      ";a;b=c;d",
      `;${TCHARS}=${TCHARS}`,
      ';a=""',
      `;a="${QDTEXT}"`,
      ';a="\\"";b="\\\\"',
      ';a="\\;\\\t\\ \\\xff";b',
      ';a=";b=\\"c;"',
      ' ; a = b ; c = "d" ',
      "\t;\ta\t=\tb",
      " \t ;a",
    ].map((ext) => `5${ext.trimEnd()}\r\nhello\r\n0${ext.trimEnd()}\r\n\r\n`),
    { data: "hello" },
  ),
  ...each(
    "a chunk extension that isn't well formed",
    "RFC 9112 section 7.1.1: who reads on to the next semicolon or quote reads another line",
    [
      ";",
      ";;a",
      ";a;",
      ";a=",
      ";=b",
      ";a==b",
      ";a b",
      ";a=b c",
      ";a ",
      ";a=b\t",
      ' ;a="b" ',
      ';a="',
      ';a="b',
      ';a="b\\"',
      ';a=b"c"',
      ';a="b"c',
      ';a="\0"',
      ';a="\x7f"',
      ';a="\\\x01"',
      ";a\xe9",
      ";a=\xe9",
      ";a,b",
      ";a:b",
      "x;b",
      " a",
    ].map((ext) => `5${ext}\r\nhello\r\n${LAST_CHUNK}`),
    { error: 400 },
  ),
  {
    name: "a size line of exactly 1024 bytes",
    why: "a limit of our own, on what is kept in memory before a chunk starts",
    length: CHUNKED,
    input: `1;${"a".repeat(1020)}\r\nX\r\n` + LAST_CHUNK,
    expect: { data: "X" },
  },
  ...["1;" + "a".repeat(1021), "1".padStart(1023, "0"), "1;" + "a".repeat(2000)].map((line) => ({
    name: `a size line of ${line.length + 2} bytes that starts with ${line.slice(0, 3)}`,
    why: "CVE-2023-39326: refused before more of it is kept",
    length: CHUNKED,
    input: `${line}\r\nX\r\n` + LAST_CHUNK,
    expect: { error: 400 },
  })),
];

const SMALL: HeadLimits = { bytes: 32, fields: 3 };

const TRAILERS: readonly BodyVector[] = [
  {
    name: "trailers, and what follows",
    why: "RFC 9112 section 7.1.2: fields like a head's, bytes, case, order and duplicates kept",
    length: CHUNKED,
    input: `1\r\na\r\n0\r\nX-A: b\r\nx-a:\t c \r\n${TCHARS}:\r\n__proto__: \xff\r\n\r\n` + NEXT,
    expect: {
      data: "a",
      trailers: ["X-A", "b", "x-a", "c", TCHARS, "", "__proto__", "\xff"],
      rest: NEXT,
    },
  },
  ...each(
    "a trailer that isn't a field line",
    "RFC 9112 sections 5.1, 5.2 and 7.1.2",
    ["A", "A : b", " A: b", "A: b\r\n c", ": b", "A: \0", "A: \x7f", "A: \rb", "GET / HTTP/1.1"]
      .map((line) => `0\r\n${line}\r\n\r\n`),
    { error: 400 },
  ),
  {
    name: "trailers of as many bytes and fields as allowed",
    why: "the limits of a head are those of its trailers, the blank line included",
    length: CHUNKED,
    limits: SMALL,
    input: "0\r\na: bbbbbbbbb\r\nc: d\r\ne: fffff\r\n\r\n" + NEXT,
    expect: { data: "", trailers: ["a", "bbbbbbbbb", "c", "d", "e", "fffff"], rest: NEXT },
  },
  {
    name: "trailers of one byte more",
    why: "RFC 6585 section 5: 431, as for a head",
    length: CHUNKED,
    limits: SMALL,
    input: "0\r\na: bbbbbbbbb\r\nc: d\r\ne: ffffff\r\n\r\n",
    expect: { error: 431 },
  },
  {
    name: "trailers of one field more",
    why: "RFC 6585 section 5: 431, as for a head",
    length: CHUNKED,
    limits: SMALL,
    input: "0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n",
    expect: { error: 431 },
  },
  {
    name: "trailers of white space",
    why: "what is left out of a value counts too: bytes are what the limit is of",
    length: CHUNKED,
    limits: SMALL,
    input: `0\r\na:${" ".repeat(12)}\r\nb:${" ".repeat(12)}\r\n\r\n`,
    expect: { error: 431 },
  },
  {
    name: "trailers cut off at the limit",
    why: "refused without waiting for the end of the line",
    length: CHUNKED,
    limits: SMALL,
    input: "0\r\na: bbbbbbbbbbbb\r\nc: dddddddddddd",
    expect: { error: 431 },
  },
];

export const bodyVectors: readonly BodyVector[] = [
  ...PLAIN,
  ...CHUNKS,
  ...EXTENSIONS,
  ...TRAILERS,
];
