/**
 * HPACK: blocks in hexadecimal that come one after another on a connection, and what must come of
 * each. Sections and appendices are those of RFC 7541.
 */
import type { DecoderLimits } from "../../lib/hpack.ts";

/** A list as `[name, value, …]`; or it is over a limit; or the connection is at its end. */
export type Outcome = readonly string[] | "too large" | "error";

export interface Step {
  readonly input: string;
  readonly expect: Outcome;
  /** The dynamic table after it, newest first, and its size; not compared if not given. */
  readonly table?: readonly string[];
  readonly size?: number;
  /** Indices of the names of fields that must never be indexed; by default there are none. */
  readonly never?: readonly number[];
  /** Each SETTINGS_HEADER_TABLE_SIZE that is acknowledged before the block. */
  readonly settings?: readonly number[];
}

export interface HpackVector {
  readonly name: string;
  readonly why: string;
  readonly limits?: Partial<DecoderLimits>;
  readonly blocks: readonly Step[];
}

/** C.1; `bits` are those before the prefix. */
export const integers = [
  { name: "C.1.1", why: "fits into the prefix", value: 10, prefix: 5, bits: 0x20, expect: "2a" },
  { name: "C.1.2", why: "goes on", value: 1337, prefix: 5, bits: 0x20, expect: "3f9a0a" },
  { name: "C.1.3", why: "starts at an octet", value: 42, prefix: 8, bits: 0, expect: "2a" },
  {
    name: "full prefix",
    why: "needs a zero after it",
    value: 31,
    prefix: 5,
    bits: 0x20,
    expect: "3f00",
  },
  { name: "long", why: "two more octets", value: 4096, prefix: 5, bits: 0x20, expect: "3fe11f" },
] as const;

const text = (value: string): string =>
  [...value].map((char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
const integer = (value: number, prefix: number, bits: number): string => {
  const mask = 2 ** prefix - 1;
  const octets = [bits | Math.min(value, mask)];
  if (value >= mask) {
    for (value -= mask; value >= 0x80; value = Math.floor(value / 0x80)) {
      octets.push(value % 0x80 + 0x80);
    }
    octets.push(value);
  }
  return octets.map((octet) => octet.toString(16).padStart(2, "0")).join("");
};
/** A string literal as it is. */
const plain = (value: string): string => integer(value.length, 7, 0) + text(value);
/** With incremental indexing, without, and never. */
const literal = (bits: "40" | "00" | "10", name: string, value: string): string =>
  bits + plain(name) + plain(value);
const tableSize = (size: number): string => integer(size, 5, 0x20);

const GET = [":method", "GET"];
const EXAMPLE = [":authority", "www.example.com"];
const REQUESTS = [
  [...GET, ":scheme", "http", ":path", "/", ...EXAMPLE],
  [...GET, ":scheme", "http", ":path", "/", ...EXAMPLE, "cache-control", "no-cache"],
  [
    ...[...GET, ":scheme", "https", ":path", "/index.html", ...EXAMPLE],
    ...["custom-key", "custom-value"],
  ],
] as const;
const REQUEST_TABLES = [
  { table: [":authority: www.example.com"], size: 57 },
  { table: ["cache-control: no-cache", ":authority: www.example.com"], size: 110 },
  {
    table: [
      ...["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
    ],
    size: 164,
  },
] as const;
const LOCATION = "https://www.example.com";
const DATES = ["Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT"] as const;
const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const RESPONSES = [
  [":status", "302", "cache-control", "private", "date", DATES[0], "location", LOCATION],
  [":status", "307", "cache-control", "private", "date", DATES[0], "location", LOCATION],
  [
    ...[":status", "200", "cache-control", "private", "date", DATES[1], "location", LOCATION],
    ...["content-encoding", "gzip", "set-cookie", COOKIE],
  ],
] as const;
const RESPONSE_TABLES = [
  {
    table: [
      ...[`location: ${LOCATION}`, `date: ${DATES[0]}`, "cache-control: private", ":status: 302"],
    ],
    size: 222,
  },
  {
    table: [
      ...[":status: 307", `location: ${LOCATION}`, `date: ${DATES[0]}`, "cache-control: private"],
    ],
    size: 222,
  },
  {
    table: [`set-cookie: ${COOKIE}`, "content-encoding: gzip", `date: ${DATES[1]}`],
    size: 215,
  },
] as const;

const steps = (
  lists: readonly (readonly string[])[],
  tables: readonly { readonly table: readonly string[]; readonly size: number }[],
  inputs: readonly string[],
): Step[] => inputs.map((input, i) => ({ input, expect: lists[i], ...tables[i] }));

const TO_256: Step = { input: tableSize(256), expect: [], size: 0 };

/** Appendix C from C.2 on. */
const APPENDIX_C: readonly HpackVector[] = [
  {
    name: "C.2.1",
    why: "literal with indexing",
    blocks: [{
      input: "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
      expect: ["custom-key", "custom-header"],
      table: ["custom-key: custom-header"],
      size: 55,
    }],
  },
  {
    name: "C.2.2",
    why: "literal without indexing",
    blocks: [{
      input: "040c2f73616d706c652f70617468",
      expect: [":path", "/sample/path"],
      table: [],
      size: 0,
    }],
  },
  {
    name: "C.2.3",
    why: "literal never indexed",
    blocks: [{
      input: "100870617373776f726406736563726574",
      expect: ["password", "secret"],
      table: [],
      size: 0,
      never: [0],
    }],
  },
  { name: "C.2.4", why: "indexed", blocks: [{ input: "82", expect: GET, table: [], size: 0 }] },
  {
    name: "C.3",
    why: "requests without Huffman code",
    blocks: steps(REQUESTS, REQUEST_TABLES, [
      "828684410f7777772e6578616d706c652e636f6d",
      "828684be58086e6f2d6361636865",
      "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ]),
  },
  {
    name: "C.4",
    why: "requests with Huffman code",
    blocks: steps(REQUESTS, REQUEST_TABLES, [
      "828684418cf1e3c2e5f23a6ba0ab90f4ff",
      "828684be5886a8eb10649cbf",
      "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ]),
  },
  {
    name: "C.5",
    why: "responses without Huffman code, and eviction",
    blocks: [
      TO_256,
      ...steps(RESPONSES, RESPONSE_TABLES, [
        "4803333032580770726976617465611d4d6f6e2c203231204f63742032303133" +
        "2032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d70" +
        "6c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d" +
        "54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f5049" +
        "5541585157454f49553b206d61782d6167653d333630303b2076657273696f6e" +
        "3d31",
      ]),
    ],
  },
  {
    name: "C.6",
    why: "responses with Huffman code, and eviction",
    blocks: [
      TO_256,
      ...steps(RESPONSES, RESPONSE_TABLES, [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a6" +
        "2d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab" +
        "77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f" +
        "9587316065c003ed4ee5b1063d5007",
      ]),
    ],
  },
];

const refused = (name: string, why: string, ...inputs: readonly string[]): HpackVector[] =>
  inputs.map((input) => ({
    name: `${name}: ${input.slice(0, 40)}`,
    why,
    blocks: [{ input, expect: "error" }],
  }));

const INVALID: readonly HpackVector[] = [
  ...refused("index 0", "6.1: a decoding error", "80"),
  ...refused(
    "an index past both tables",
    "2.3.3",
    "be",
    "ff00",
    "ffffffff7f",
    "7e0161",
    "0f2f0161",
  ),
  ...refused(
    "an index that is far past the table's end",
    "2.3.3",
    "4001610131ff3f",
    "4001610131ffbf01",
  ),
  ...refused("the last index of the static table, plus one, as a name", "2.3.3", "7e00"),
  ...refused("an integer without an end", "5.1", "ff", "ff80", "7f", "3f", "0f", "1fff"),
  ...refused(
    "an integer of too many octets",
    "5.1: in value or octet length",
    ...["ff8080808000", "ff8080808001", "3fffffffff7f", "3fffffffffffffffffff01", "007f8080808000"],
  ),
  ...refused(
    "a string that is longer than its block",
    "nothing may be allocated for it either",
    ...["00", "0001", "000161", "00016103", "0001610361", "0001617fffffff7f", "00ffffffff7f"],
  ),
  ...refused(
    "Huffman code with padding of 8 bits or more",
    "5.2: MUST be treated as a decoding error",
    ...["00016181ff", "000161821fff", "000161831fffff", "000161831fffff"],
  ),
  ...refused("padding that isn't ones", "5.2: a decoding error", "0001618118", "000161811e"),
  ...refused(
    "EOS in Huffman code",
    "5.2: a decoding error",
    ...["00016184ffffffff", "00016184fffffffc", "000161851fffffffff", "000161861ffffffff1ff"],
  ),
  ...refused("Huffman code that is cut", "30 bits are longer than padding", "00016183ffffff"),
  ...refused(
    "a table size after a field",
    "4.2: at the beginning of a block",
    "8220",
    "823fe11f",
    "822001610161",
  ),
  ...refused("a table larger than was allowed", "6.3: a decoding error", "3fe21f", "3fffffff7f"),
  ...refused("three table sizes", "4.2: at most two", "202020", "20203fe11f"),
];

const BIG = "v".repeat(4000);

const TABLES: readonly HpackVector[] = [
  {
    name: "an empty block",
    why: "a list of no fields, as trailers may be",
    blocks: [{ input: "", expect: [], table: [], size: 0 }],
  },
  {
    name: "empty names and values",
    why: "valid here; HTTP/2 refuses the name",
    blocks: [{ input: "400000", expect: ["", ""], table: [": "], size: 32 }],
  },
  {
    name: "all bytes",
    why: "latin1, a character a byte, whatever it is",
    blocks: [{ input: "00036100ff047f800d0a", expect: ["a\0\xff", "\x7f\x80\r\n"], table: [] }],
  },
  {
    name: "duplicates",
    why: "2.3.2: entries may be the same, and order is kept",
    blocks: [{
      input: literal("40", "a", "1") + literal("40", "a", "1") + "bfbe",
      expect: ["a", "1", "a", "1", "a", "1", "a", "1"],
      table: ["a: 1", "a: 1"],
      size: 68,
    }],
  },
  {
    name: "two table sizes",
    why: "4.2: lowered and raised between two blocks",
    blocks: [
      { input: literal("40", "a", "1"), expect: ["a", "1"], size: 34 },
      { input: "20" + tableSize(4096) + "82", expect: GET, table: [], size: 0 },
    ],
  },
  {
    name: "a smaller table",
    why: "4.3: evicts until what is left fits",
    blocks: [
      { input: literal("40", "a", "1") + literal("40", "b", "2"), expect: ["a", "1", "b", "2"] },
      { input: tableSize(67), expect: [], table: ["b: 2"], size: 34 },
      { input: tableSize(34), expect: [], table: ["b: 2"], size: 34 },
      { input: tableSize(33), expect: [], table: [], size: 0 },
      { input: literal("40", "a", "1"), expect: ["a", "1"], table: [], size: 0 },
    ],
  },
  {
    name: "an entry larger than the table",
    why: "4.4: empties it, and isn't an error",
    blocks: [
      { input: tableSize(100) + literal("40", "a", "1"), expect: ["a", "1"], size: 34 },
      { input: literal("40", "b", "2".repeat(68)), expect: ["b", "2".repeat(68)], table: [] },
      { input: literal("40", "b", "2".repeat(67)), expect: ["b", "2".repeat(67)], size: 100 },
    ],
  },
  {
    name: "a name of an entry that its own field evicts",
    why: "4.4: the name is used before",
    blocks: [
      { input: tableSize(40) + literal("40", "a", "1"), expect: ["a", "1"], size: 34 },
      { input: "7e0132", expect: ["a", "2"], table: ["a: 2"], size: 34 },
    ],
  },
  {
    name: "never-indexed fields among others",
    why: "7.1.3: who passes them on must keep it",
    blocks: [
      {
        input: "82" + literal("10", "a", "1") + "1f08026869" + "84",
        expect: [...GET, "a", "1", "authorization", "hi", ":path", "/"],
        table: [],
        never: [2, 4],
      },
      { input: "82", expect: GET },
    ],
  },
  {
    name: "the table is at its limit of entries",
    why: "128 empty ones, each of 32 bytes",
    blocks: [{
      input: "400000".repeat(130),
      expect: Array.from({ length: 260 }, () => ""),
      table: Array.from({ length: 128 }, () => ": "),
      size: 4096,
    }],
  },
];

const AGREED: readonly HpackVector[] = [
  {
    name: "a lowered setting, followed",
    why: "4.2: the first block after it says so",
    blocks: [
      { input: literal("40", "a", "1"), expect: ["a", "1"], size: 34 },
      { settings: [100], input: tableSize(100) + "be", expect: ["a", "1"], size: 34 },
      { input: tableSize(101), expect: "error" },
    ],
  },
  {
    name: "a lowered setting, not followed",
    why: "4.2: a change of the size MUST be acknowledged",
    blocks: [{ settings: [100], input: "82", expect: "error" }],
  },
  {
    name: "a setting lowered to nothing and raised again",
    why: "4.2: the smallest must be signalled, or entries stay that are gone elsewhere",
    blocks: [
      { settings: [0], input: "20" + tableSize(0), expect: [], size: 0 },
      { settings: [4096], input: tableSize(4096) + literal("40", "a", "1"), expect: ["a", "1"] },
      { input: "be", expect: ["a", "1"] },
    ],
  },
  {
    name: "the smallest of several settings, not signalled",
    why: "4.2: MUST be, even if a larger one came after it",
    blocks: [{ settings: [0, 100], input: tableSize(100), expect: "error" }],
  },
  {
    name: "a setting raised again, as if it hadn't been lowered",
    why: "4.2: the smallest MUST be signalled",
    blocks: [{ settings: [0, 4096], input: tableSize(4096), expect: "error" }],
  },
  {
    name: "the smallest of several settings, and the last",
    why: "4.2: two at most",
    blocks: [{ settings: [0, 100], input: "20" + tableSize(100), expect: [] }],
  },
  {
    name: "a larger size than the lowered setting",
    why: "6.3: the limit is the one that was acknowledged",
    blocks: [{ settings: [100], input: tableSize(101), expect: "error" }],
  },
  {
    name: "a larger table from the start",
    why: "it has 4096 bytes until the peer says otherwise",
    limits: { maxTableSize: 8192 },
    blocks: [
      {
        input: literal("40", "a", BIG) + literal("40", "b", BIG),
        expect: ["a", BIG, "b", BIG],
        size: 4033,
      },
      { input: tableSize(8192) + literal("40", "a", BIG), expect: ["a", BIG], size: 8066 },
      { input: "bfbe", expect: ["b", BIG, "a", BIG] },
      { input: "400000".repeat(256), expect: Array.from({ length: 512 }, () => ""), size: 8192 },
      { input: "ffbe01", expect: ["", ""] },
      { input: tableSize(8193), expect: "error" },
    ],
  },
  {
    name: "no table from the start",
    why: "it has 4096 bytes until the peer has seen the settings",
    limits: { maxTableSize: 0 },
    blocks: [
      { input: literal("40", "a", "1"), expect: ["a", "1"], size: 34 },
      { settings: [0], input: tableSize(0) + literal("40", "a", "1"), expect: ["a", "1"], size: 0 },
      { input: "be", expect: "error" },
    ],
  },
  {
    name: "a setting that the table keeps to already",
    why: "there is nothing to signal",
    blocks: [
      { input: tableSize(50), expect: [] },
      { settings: [100], input: "82", expect: GET },
    ],
  },
];

const LIMITED: readonly HpackVector[] = [
  {
    name: "a list of just the size",
    why: "RFC 9113 section 6.5.2: 32 more for each field",
    limits: { maxListSize: 85 },
    blocks: [
      { input: "82" + literal("00", "a", "2345678901"), expect: [...GET, "a", "2345678901"] },
      { input: "82" + literal("00", "a", "23456789012"), expect: "too large" },
      { input: "82", expect: GET },
    ],
  },
  {
    name: "just as many fields",
    why: "the limit is on their number too",
    limits: { maxFields: 2 },
    blocks: [
      { input: "8284", expect: [...GET, ":path", "/"] },
      { input: "828486", expect: "too large" },
      { input: "82".repeat(10_000), expect: "too large" },
      { input: "82", expect: GET },
    ],
  },
  {
    name: "a bomb",
    why: "a byte stands for 4 KiB; what is over the limit isn't stored, and the table stays right",
    blocks: [
      { input: literal("40", "a", BIG), expect: ["a", BIG], size: 4033 },
      { input: "be".repeat(16_000), expect: "too large", size: 4033 },
      { input: "be".repeat(17) + literal("40", "b", "1"), expect: "too large", size: 4067 },
      { input: "be", expect: ["b", "1"] },
    ],
  },
  {
    name: "an error after the limit",
    why: "the table can't be trusted then, even if the list is refused anyway",
    limits: { maxListSize: 40 },
    blocks: [{ input: "828482be", expect: "error" }],
  },
  {
    name: "a string longer than any limit",
    why: "as an entry it would be larger than the table, and empties it",
    blocks: [
      { input: literal("40", "a", "1"), expect: ["a", "1"] },
      { input: literal("00", "a", "1".repeat(70_000)), expect: "too large", table: ["a: 1"] },
      { input: literal("40", "a", "1".repeat(70_000)), expect: "too large", table: [], size: 0 },
      { input: literal("40", "a".repeat(70_000), "1"), expect: "too large", table: [], size: 0 },
      { input: literal("40", "a", "1"), expect: ["a", "1"], table: ["a: 1"] },
    ],
  },
  {
    name: "the same in Huffman code",
    why: "zeros have the shortest code, 5 bits",
    blocks: [
      {
        input: "400161" + integer(45_000, 7, 0x80) + "00".repeat(45_000),
        expect: "too large",
        table: [],
      },
      { input: "00016185" + "00".repeat(5), expect: ["a", "00000000"] },
    ],
  },
  {
    name: "a list that is smaller than an entry may be",
    why: "the entry stays for lists to come",
    limits: { maxListSize: 100 },
    blocks: [
      { input: literal("40", "a", BIG), expect: "too large", table: [`a: ${BIG}`], size: 4033 },
      { input: "be", expect: "too large" },
    ],
  },
];

export const hpackVectors: readonly HpackVector[] = [
  ...[...APPENDIX_C, ...INVALID, ...TABLES, ...AGREED, ...LIMITED],
];
