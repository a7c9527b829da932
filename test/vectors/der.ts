/** DER in hexadecimal, and what the reader and the writer make of it. */

/** `expect`: the tree as `tag(content)`, in hexadecimal; undefined for what must be refused. */
export type DerVector = { name: string; why: string; input: string; expect: string | undefined };

const nested = (depth: number): string => {
  let value = "";
  for (let i = 0; i < depth; i++) {
    value = "30" + (value.length / 2).toString(16).padStart(2, "0") + value;
  }
  return value;
};

export const vectors: readonly DerVector[] = [
  { name: "NULL", why: "no content", input: "0500", expect: "5()" },
  { name: "BOOLEAN", why: "primitive", input: "0101ff", expect: "1(ff)" },
  { name: "SEQUENCE", why: "two values", input: "300502010a0500", expect: "30(2(0a)5())" },
  { name: "an empty SEQUENCE", why: "no values", input: "3000", expect: "30()" },
  { name: "[0] EXPLICIT", why: "has children", input: "a003020102", expect: "a0(2(02))" },
  { name: "[2] IMPLICIT", why: "has none", input: "820161", expect: "82(61)" },
  {
    name: "127 bytes",
    why: "the longest short length",
    input: "047f" + "00".repeat(127),
    expect: `4(${"00".repeat(127)})`,
  },
  {
    name: "128 bytes",
    why: "the shortest long length",
    input: "048180" + "00".repeat(128),
    expect: `4(${"00".repeat(128)})`,
  },
  {
    name: "256 bytes",
    why: "two octets of length",
    input: "04820100" + "00".repeat(256),
    expect: `4(${"00".repeat(256)})`,
  },
  {
    name: "17 levels",
    why: "as deep as it goes",
    input: nested(17),
    expect: "30(".repeat(17) + ")".repeat(17),
  },
  { name: "18 levels", why: "too deep", input: nested(18), expect: undefined },
  {
    name: "more than 64 KiB",
    why: "too long",
    input: "0483010000" + "00".repeat(65_536),
    expect: undefined,
  },
  { name: "nothing", why: "no value", input: "", expect: undefined },
  { name: "a tag alone", why: "no length", input: "05", expect: undefined },
  { name: "two values", why: "one is what is read", input: "05000500", expect: undefined },
  { name: "a byte too few", why: "runs past the end", input: "040361ff", expect: undefined },
  {
    name: "a child past its parent",
    why: "the bytes are there, but they are another's",
    input: "3006300304020102",
    expect: undefined,
  },
  { name: "an indefinite length", why: "BER", input: "30800500" + "0000", expect: undefined },
  {
    name: "an indefinite length before 128 bytes",
    why: "80 isn't the length 128 either",
    input: "0480" + "00".repeat(128),
    expect: undefined,
  },
  { name: "a long length for 3", why: "X.690 10.1", input: "048103616161", expect: undefined },
  {
    name: "a length padded with 00",
    why: "X.690 10.1",
    input: "04820080" + "00".repeat(128),
    expect: undefined,
  },
  {
    name: "four octets of length",
    why: "over any limit",
    input: "048400000001",
    expect: undefined,
  },
  {
    name: "eight octets of length",
    why: "more than a number holds",
    input: "0488" + "00".repeat(7) + "0100",
    expect: undefined,
  },
  { name: "length FF", why: "X.690 8.1.3.5 reserves it", input: "04ff00", expect: undefined },
  { name: "half a length", why: "the second octet is missing", input: "048201", expect: undefined },
  { name: "tag 0", why: "BER's end of contents", input: "0000", expect: undefined },
  { name: "a high tag number", why: "X.509 has none", input: "1f8101" + "00", expect: undefined },
  {
    name: "a constructed OCTET STRING",
    why: "X.690 10.2",
    input: "2403040161",
    expect: undefined,
  },
  { name: "a primitive SEQUENCE", why: "X.690 8.9.1", input: "1000", expect: undefined },
];

/** Dates with their encodings in whole; RFC 5280 4.1.2.5 has the border between the two types. */
export const times: readonly { name: string; date: string; input: string }[] = [
  { name: "1950", date: "1950-01-01T00:00:00.000Z", input: "500101000000Z" },
  { name: "1999", date: "1999-12-31T23:59:59.000Z", input: "991231235959Z" },
  { name: "2000", date: "2000-02-29T12:34:56.000Z", input: "000229123456Z" },
  { name: "2049", date: "2049-12-31T23:59:59.000Z", input: "491231235959Z" },
  { name: "2050", date: "2050-01-01T00:00:00.000Z", input: "20500101000000Z" },
  { name: "9999", date: "9999-12-31T23:59:59.000Z", input: "99991231235959Z" },
  { name: "1949", date: "1949-12-31T23:59:59.000Z", input: "19491231235959Z" },
];

/** Contents that are no time: UTCTime of 13 characters, GeneralizedTime otherwise. */
export const badTimes: readonly string[] = [
  "",
  "261122165718",
  "2611221657Z",
  "261322165718Z",
  "260230165718Z",
  "261122245718Z",
  "261122166018Z",
  "2611221657 8Z",
  "261122165718z",
  "261122165718+0000",
  "20261122165718.5Z",
  "20261122165718",
  "+020261122165718Z",
  "Nov 22 2026 16:57Z",
];

/** Object identifiers and their contents. */
export const oids: readonly { text: string; input: string }[] = [
  { text: "0.0", input: "00" },
  { text: "1.39", input: "4f" },
  { text: "2.5.29.17", input: "551d11" },
  { text: "1.2.840.10045.4.3.2", input: "2a8648ce3d040302" },
  { text: "2.999.1", input: "883701" },
  { text: "1.3.6.1.4.1.311.128.16383.16384", input: "2b060104018237" + "8100" + "ff7f" + "818000" },
  {
    text: "2.25.340282366920938463463374607431768211455",
    input: "69" + "83" + "ff".repeat(17) + "7f",
  },
];

/** Unsigned numbers, as big-endian bytes, and the contents of their INTEGERs. */
export const integers: readonly { name: string; bytes: string; input: string }[] = [
  { name: "0", bytes: "00", input: "00" },
  { name: "no bytes", bytes: "", input: "00" },
  { name: "127", bytes: "7f", input: "7f" },
  { name: "128", bytes: "80", input: "0080" },
  { name: "256", bytes: "0100", input: "0100" },
  { name: "leading zeros", bytes: "00000080", input: "0080" },
  { name: "20 bytes", bytes: "7f" + "ff".repeat(19), input: "7f" + "ff".repeat(19) },
  { name: "RFC 9773 4.1's serial", bytes: "8765432100", input: "008765432100" },
];
