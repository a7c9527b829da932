/** DNS messages, names and rdata in hexadecimal, and what becomes of them. */

/** `expect` undefined: must be refused. */
export interface Vector<Expected = string> {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  readonly expect: Expected | undefined;
}

const hex = (value: number, bytes: number): string => value.toString(16).padStart(2 * bytes, "0");
const chars = (text: string): string =>
  [...text].map((char) => hex(char.charCodeAt(0), 1)).join("");
const label = (text: string): string => hex(text.length, 1) + chars(text);
/** A name in plain letters. */
const n = (text: string): string =>
  text.split(".").filter((part) => part !== "").map(label).join("") + "00";
/** Id 7, flags, and how many of each section. */
const header = (flags: string, ...counts: readonly number[]): string =>
  "0007" + flags + counts.map((count) => hex(count, 2)).join("");
const question = (name: string, type: number): string => name + hex(type, 2) + "0001";
const record = (name: string, type: number, data: string, group = 1, ttl = 60): string =>
  name + hex(type, 2) + hex(group, 2) + hex(ttl, 4) + hex(data.length / 2, 2) + data;
const opt = (ttl: number, data = ""): string => record("00", 41, data, 1232, ttl);
const ask = question(n("a.test"), 16); // at 12, its "test" at 14
const answer = (...records: readonly string[]): string =>
  header("8180", 1, records.length, 0, 0) + ask + records.join("");
const said = (...records: readonly string[]): string =>
  ["7 op0 rc0 qr rd", "a.test 16 1", ...records].join("; ");

/** `expect`: id, opcode, rcode and flags; then each question and record: name, type, class … */
export const messages: readonly Vector[] = [
  { name: "header", why: "all counts 0", input: header("0000", 0, 0, 0, 0), expect: "7 op0 rc0" },
  {
    name: "flags",
    why: "of those that nobody here reads, none is in the way",
    input: header("85b0", 0, 0, 0, 0),
    expect: "7 op0 rc0 qr rd",
  },
  {
    name: "opcode and rcode",
    why: "four bits each, the reserved one beside them ignored",
    input: header("7c4f", 0, 0, 0, 0),
    expect: "7 op15 rc15",
  },
  {
    name: "query",
    why: "one question",
    input: header("0100", 1, 0, 0, 0) + ask,
    expect: "7 op0 rc0 rd; a.test 16 1",
  },
  {
    name: "capitals",
    why: "names have one spelling",
    input: header("0100", 1, 0, 0, 0) + question(n("A.TeST"), 16),
    expect: "7 op0 rc0 rd; a.test 16 1",
  },
  {
    name: "all sections",
    why: "in their order",
    input: header("0000", 1, 1, 1, 1) + ask + record(n("b"), 1, "7f000001") +
      record(n("c"), 16, "0178") + record(n("d"), 99, "ff", 4, 0xffffffff),
    expect: "7 op0 rc0; a.test 16 1; an b 1 1 60 7f000001; ns c 16 1 60 0178; " +
      "ar d 99 4 4294967295 ff",
  },
  {
    name: "a pointer as owner",
    why: "RFC 1035 4.1.4",
    input: answer(record("c00c", 16, "0178")),
    expect: said("an a.test 16 1 60 0178"),
  },
  {
    name: "labels, then a pointer",
    why: "RFC 1035 4.1.4",
    input: answer(record("0162c00e", 16, "")),
    expect: said("an b.test 16 1 60 "),
  },
  {
    name: "a pointer to a pointer",
    why: "each leads backwards",
    input: answer(record("0162c00e", 16, ""), record("0163c018", 16, "")),
    expect: said("an b.test 16 1 60 ", "an c.b.test 16 1 60 "),
  },
  {
    name: "compressed CNAME",
    why: "its name is written out",
    input: answer(record("c00c", 5, "0142c00e")),
    expect: said(`an a.test 5 1 60 ${n("B.test")}`),
  },
  {
    name: "compressed NS",
    why: "as CNAME",
    input: answer(record("c00c", 2, "c00e")),
    expect: said(`an a.test 2 1 60 ${n("test")}`),
  },
  {
    name: "compressed SOA",
    why: "nobody here reads it: as it is",
    input: answer(record("c00c", 6, "026e73c00e" + "c018" + "11".repeat(20))),
    expect: said("an a.test 6 1 60 026e73c00ec018" + "11".repeat(20)),
  },
  {
    name: "UPDATE",
    why: "RFC 2136: class ANY and NONE, nothing in the rdata, ttl 0",
    input: header("2800", 1, 2, 1, 0) + question(n("test"), 6) +
      record(n("a.test"), 16, "", 255, 0) +
      record(n("a.test"), 255, "", 254, 0) + record(n("a.test"), 16, "0178", 254, 0),
    expect:
      "7 op5 rc0; test 6 1; an a.test 16 255 0 ; an a.test 255 254 0 ; ns a.test 16 254 0 0178",
  },
  {
    name: "OPT",
    why: "RFC 6891: rcode 0x012 is in two places",
    input: header("8002", 0, 0, 0, 1) + opt(0x01000000),
    expect: "7 op0 rc18 qr; ar  41 1232 16777216 ",
  },
  {
    name: "OPT with an option",
    why: "options are opaque",
    input: header("8000", 0, 0, 0, 1) + opt(0x8000, "000a0001ff"),
    expect: "7 op0 rc0 qr; ar  41 1232 32768 000a0001ff",
  },
  {
    name: "truncated in a record",
    why: "what is left of records doesn't count (RFC 2181 9)",
    input: header("8200", 1, 9, 9, 9) + ask + record("c00c", 16, "0178").slice(0, -6),
    expect: "7 op0 rc0 qr tc; a.test 16 1",
  },
  { name: "nothing", why: "no header", input: "", expect: undefined },
  { name: "a byte less", why: "half a header", input: "00".repeat(11), expect: undefined },
  {
    name: "a byte more",
    why: "nothing may hide after the end",
    input: header("0100", 1, 0, 0, 0) + ask + "00",
    expect: undefined,
  },
  {
    name: "65535 questions",
    why: "a count that the bytes can't hold",
    input: header("0000", 65_535, 0, 0, 0) + ask,
    expect: undefined,
  },
  {
    name: "65535 of all",
    why: "as above",
    input: header("0000", 65_535, 65_535, 65_535, 65_535) + ask.repeat(100),
    expect: undefined,
  },
  {
    name: "65535 questions, truncated",
    why: "questions must be whole",
    input: header("0200", 65_535, 0, 0, 0) + ask,
    expect: undefined,
  },
  {
    name: "more records than bytes",
    why: "the last lacks",
    input: header("8180", 1, 2, 0, 0) + ask + record("c00c", 16, "00".repeat(30)),
    expect: undefined,
  },
  {
    name: "a pointer to itself",
    why: "a loop",
    input: header("0000", 1, 0, 0, 0) + question("c00c", 1),
    expect: undefined,
  },
  {
    name: "two pointers in a circle",
    why: "a loop",
    input: header("0000", 2, 0, 0, 0) + question("c012", 1) + question("c00c", 1),
    expect: undefined,
  },
  {
    name: "a label and a pointer to it",
    why: "a loop that grows the name",
    input: header("0000", 1, 0, 0, 0) + question("0161c00c", 1),
    expect: undefined,
  },
  {
    name: "a pointer forwards",
    why: "only prior names may be pointed to",
    input: header("0000", 2, 0, 0, 0) + question("c012", 1) + question("00", 1),
    expect: undefined,
  },
  {
    name: "a pointer beyond the end",
    why: "there is nothing",
    input: header("0000", 1, 0, 0, 0) + question("ffff", 1),
    expect: undefined,
  },
  {
    name: "half a pointer",
    why: "it needs two octets",
    input: header("0200", 1, 0, 0, 0) + "0161016101" + "c0",
    expect: undefined,
  },
  {
    name: "64 octets in a label",
    why: "what was label type 01 (RFC 6891 5)",
    input: header("0000", 1, 0, 0, 0) + question(n("a".repeat(64)), 1),
    expect: undefined,
  },
  {
    name: "128 octets in a label",
    why: "label type 10, reserved",
    input: header("0000", 1, 0, 0, 0) + question(n("a".repeat(128)), 1),
    expect: undefined,
  },
  {
    name: "63 octets in a label",
    why: "the limit",
    input: header("0000", 1, 0, 0, 0) + question(n("a".repeat(63)), 1),
    expect: `7 op0 rc0; ${"a".repeat(63)} 1 1`,
  },
  {
    name: "255 octets in a name",
    why: "the limit",
    input: header("0000", 1, 0, 0, 0) + question(n("a.".repeat(127)), 1),
    expect: `7 op0 rc0; ${"a.".repeat(126)}a 1 1`,
  },
  {
    name: "256 octets in a name",
    why: "over it",
    input: header("0000", 1, 0, 0, 0) + question("0262" + "62" + n("a.".repeat(126)), 1),
    expect: undefined,
  },
  {
    name: "a name that grows over 255 octets by pointers",
    why: "each part alone is short enough",
    input: header("0000", 2, 0, 0, 0) + question(n("a.".repeat(100)), 1) +
      question(n("a.".repeat(100)).slice(0, -2) + "c00c", 1),
    expect: undefined,
  },
  {
    name: "CNAME with a byte after its name",
    why: "two readers could see two names",
    input: answer(record("c00c", 5, "0162c00e00")),
    expect: undefined,
  },
  {
    name: "CNAME that leaves its rdata",
    why: "the name ends in the next record",
    input: answer(record("c00c", 5, "01"), record("c00c", 5, "c00c")),
    expect: undefined,
  },
  {
    name: "CNAME of nothing",
    why: "no name",
    input: answer(record("c00c", 5, "")),
    expect: undefined,
  },
];

/** A chain of pointers, each to the one before. */
const chain = (count: number): string =>
  "00" + Array.from({ length: count }, (_, i) => hex(0xc000 + Math.max(0, 2 * i - 1), 2)).join("");

/** Names on the wire, of which the last starts at `at`; `expect` in text. */
export const wireNames: readonly (Vector & { readonly at: number })[] = [
  { name: "root", why: "empty", input: "00", at: 0, expect: "" },
  { name: "label", why: "one", input: n("a"), at: 0, expect: "a" },
  {
    name: "odd",
    why: "dots, spaces, quotes and bytes above 127 in a label",
    input: "05" + "2e205c22ff" + "0161" + "00",
    at: 0,
    expect: "\\046\\032\\092\\034\\255.a",
  },
  { name: "16 pointers", why: "the limit", input: chain(16), at: 31, expect: "" },
  { name: "17 pointers", why: "over it", input: chain(17), at: 33, expect: undefined },
  { name: "no end", why: "no root label", input: "0161", at: 0, expect: undefined },
  { name: "no start", why: "beyond the bytes", input: "0161", at: 9, expect: undefined },
  { name: "short label", why: "two of three", input: "036161", at: 0, expect: undefined },
];

/** `input` in text; `expect` on the wire. */
export const textNames: readonly Vector[] = [
  { name: "root", why: "no labels", input: "", expect: "00" },
  { name: "dot", why: "the root as well", input: ".", expect: "00" },
  { name: "plain", why: "two labels", input: "a.test", expect: n("a.test") },
  { name: "last dot", why: "the same", input: "a.test.", expect: n("a.test") },
  { name: "capitals", why: "the same", input: "A.TEST", expect: n("a.test") },
  { name: "underscore", why: "in use", input: "_acme-challenge.a", expect: n("_acme-challenge.a") },
  { name: "wildcard", why: "in use", input: "*.a", expect: n("*.a") },
  { name: "slash", why: "RFC 2317", input: "0/25.a", expect: n("0/25.a") },
  { name: "escapes", why: "read only", input: "a\\046b", expect: undefined },
  { name: "63", why: "the limit", input: "a".repeat(63), expect: n("a".repeat(63)) },
  { name: "64", why: "over it", input: "a".repeat(64), expect: undefined },
  { name: "255", why: "the limit", input: "a.".repeat(127), expect: n("a.".repeat(127)) },
  { name: "256", why: "over it", input: "bb." + "a.".repeat(126), expect: undefined },
  { name: "a megabyte", why: "no time is lost", input: "a.".repeat(500_000), expect: undefined },
  { name: "empty label", why: "only the root's is", input: "a..b", expect: undefined },
  { name: "first dot", why: "an empty label", input: ".a", expect: undefined },
  { name: "two dots", why: "an empty label", input: "..", expect: undefined },
  { name: "space", why: "no part of a name", input: "a b", expect: undefined },
  { name: "line end", why: "no part of a name", input: "a\n", expect: undefined },
  { name: "NUL", why: "no part of a name", input: "a\0", expect: undefined },
  { name: "Unicode", why: "A-labels only", input: "é", expect: undefined },
  { name: "Kelvin sign", why: "lower case of it is k", input: "\u212a", expect: undefined },
  { name: "backslash", why: "an escape", input: "a\\", expect: undefined },
];

/** Rdata of TXT; `expect` the text. */
export const texts: readonly Vector[] = [
  { name: "none", why: "not allowed, and harmless", input: "", expect: "" },
  { name: "empty", why: "one of no octets", input: "00", expect: "" },
  { name: "one", why: "a string", input: label("abc"), expect: "abc" },
  {
    name: "two",
    why: "joined with nothing between",
    input: label("ab") + label("c"),
    expect: "abc",
  },
  { name: "bytes", why: "latin1", input: "03" + "00e9ff", expect: "\0\xe9\xff" },
  { name: "short", why: "two of three octets", input: "036161", expect: undefined },
  { name: "short second", why: "none of one", input: "01" + "61" + "01", expect: undefined },
];

/** Rdata of A and AAAA. */
export const addresses: readonly Vector[] = [
  { name: "IPv4", why: "four octets", input: "c0000201", expect: "192.0.2.1" },
  {
    name: "IPv6",
    why: "RFC 5952",
    input: "20010db8" + "00".repeat(11) + "01",
    expect: "2001:db8::1",
  },
  { name: "::", why: "RFC 5952", input: "00".repeat(16), expect: "::" },
  {
    name: "IPv6 in full",
    why: "no zeros to leave out",
    input: "20010db800010002000300040005abcd",
    expect: "2001:db8:1:2:3:4:5:abcd",
  },
  { name: "none", why: "no octets", input: "", expect: undefined },
  { name: "five octets", why: "neither", input: "c000020100", expect: undefined },
];

/** Rdata of CAA; `expect` flags, tag and value. */
export const caa: readonly Vector[] = [
  {
    name: "issue",
    why: "RFC 8659 4.2",
    input: "00" + label("issue") + chars("ca.test"),
    expect: "0 issue ca.test",
  },
  { name: "critical", why: "flag 128", input: "80" + label("x"), expect: "128 x " },
  {
    name: "capitals",
    why: "tags have no case",
    input: "00" + label("IsSue") + chars("A"),
    expect: "0 issue A",
  },
  { name: "no tag", why: "at least one octet", input: "0000" + chars("a"), expect: undefined },
  { name: "short tag", why: "two of three octets", input: "00036161", expect: undefined },
  { name: "flags only", why: "no tag", input: "00", expect: undefined },
  { name: "nothing", why: "no flags", input: "", expect: undefined },
];
