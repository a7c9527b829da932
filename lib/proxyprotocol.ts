/**
 * What a balancer that passes on TCP connections says first of whose they are: the PROXY protocol,
 * versions 1 and 2 (HAProxy's proxy-protocol.txt, whose sections are named here). Pure; needs
 * addr.ts, number.ts, `node:net` (isIP).
 *
 * Strict: no header has two readings, and what isn't one is refused at its first wrong byte. Of
 * version 2's TLVs only the checksum is read, the others are skipped by their lengths. Addresses
 * come in their one spelling. A datagram's are refused: what is read here is a stream.
 */
import { Buffer } from "node:buffer";
import { isIPv4, isIPv6 } from "node:net";
import { canonicalAddress, spellAddress } from "./addr.ts";
import { parseDecimal } from "./number.ts";

/** Bytes of a header of version 1, CRLF included (section 2.1). */
const V1_LIMIT = 107;
/** Bytes of a header of version 2; with a client's certificate in it, as much as it may need. */
const V2_LIMIT = 4_096;

const V1_START = Buffer.from("PROXY ", "latin1");
const V2_START = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Signature, version and command, family and transport, length. */
const V2_FIXED = V2_START.length + 4;

const LOCAL = 0x20;
const PROXY = 0x21;
/** PP2_TYPE_CRC32C (section 2.2.4). */
const CHECKSUM = 0x03;

/** Families of version 2 over streams: how long source, destination and ports are. */
const FAMILIES: ReadonlyMap<number, { readonly name: string; readonly length: number }> = new Map([
  [0x11, { name: "TCP over IPv4", length: 12 }],
  [0x21, { name: "TCP over IPv6", length: 36 }],
  [0x31, { name: "UNIX stream", length: 216 }],
]);

/**
 * `more`: nothing can be said before there are `need` bytes. `header`: it is `length` bytes long;
 * `source` is whose connection it is, undefined for the balancer's own (a health check) and for
 * one whose addresses aren't IP: then it's the connection's own peer. `malformed`: it isn't one.
 */
export type ProxyResult =
  | { readonly state: "more"; readonly need: number }
  | { readonly state: "header"; readonly length: number; readonly source: string | undefined }
  | { readonly state: "malformed"; readonly message: string };

class HeaderError extends Error {}

/** Reads the header that a connection's first bytes are. Never throws. */
export function readProxyHeader(bytes: Buffer): ProxyResult {
  if (bytes.length === 0) return { state: "more", need: 1 };
  try {
    return bytes[0] === V1_START[0] ? readText(bytes) : readBinary(bytes);
  } catch (error) {
    return { state: "malformed", message: (error as Error).message };
  }
}

/** Section 2.1: one line of ASCII, its words separated by one space each. */
function readText(bytes: Buffer): ProxyResult {
  checkStart(bytes, V1_START);
  const end = bytes.subarray(0, V1_LIMIT).indexOf("\r\n");
  if (end < 0) {
    if (bytes.length < V1_LIMIT) return { state: "more", need: bytes.length + 1 };
    throw new HeaderError(`no line end within ${V1_LIMIT} bytes`);
  }
  const line = bytes.toString("latin1", V1_START.length, end);
  return { state: "header", length: end + 2, source: readLine(line) };
}

function readLine(line: string): string | undefined {
  // "the receiver must ignore anything presented before the CRLF"
  if (line === "UNKNOWN" || line.startsWith("UNKNOWN ")) return undefined;
  const words = line.split(" ");
  const [family, source = "", destination = "", ...ports] = words;
  const isFamily = family === "TCP4" ? isIPv4 : family === "TCP6" ? isIPv6 : undefined;
  if (isFamily === undefined) throw new HeaderError("a protocol that isn't TCP4, TCP6 or UNKNOWN");
  // isIPv6() allows a zone, which is of no use on another machine.
  if (![source, destination].every((text) => isFamily(text) && !text.includes("%"))) {
    throw new HeaderError(`an address that isn't one of ${family}`);
  }
  if (ports.length !== 2 || !ports.every(isPort)) throw new HeaderError("bad ports");
  return spell(source);
}

/** "must not have leading zeroes" */
function isPort(text: string): boolean {
  return !/^0./.test(text) && parseDecimal(text, 65_535) !== undefined;
}

/** Section 2.2. */
function readBinary(bytes: Buffer): ProxyResult {
  checkStart(bytes, V2_START);
  if (bytes.length < V2_FIXED) return { state: "more", need: V2_FIXED };
  const [command, family] = [bytes[V2_START.length], bytes[V2_START.length + 1] as number];
  const length = V2_FIXED + bytes.readUInt16BE(V2_START.length + 2);
  if (command !== LOCAL && command !== PROXY) throw new HeaderError("a version or command unknown");
  if (length > V2_LIMIT) throw new HeaderError(`${length} bytes: expected at most ${V2_LIMIT}`);
  if (bytes.length < length) return { state: "more", need: length };
  // All the rest "must be discarded": of the one nothing counts, of the other nothing is known.
  if (command === LOCAL || family === 0) return { state: "header", length, source: undefined };
  const addresses = FAMILIES.get(family);
  if (addresses === undefined) throw new HeaderError("a family or transport that isn't a stream's");
  const block = bytes.subarray(V2_FIXED, length);
  if (block.length < addresses.length) throw new HeaderError(`too short for ${addresses.name}`);
  checkTlvs(bytes.subarray(0, length), V2_FIXED + addresses.length);
  return { state: "header", length, source: readSource(block, family) };
}

function readSource(block: Buffer, family: number): string | undefined {
  if (family === 0x11) return block.subarray(0, 4).join(".");
  if (family !== 0x21) return undefined;
  return spell(block.toString("hex", 0, 16).replace(/....(?=.)/g, "$&:"));
}

/** Section 2.2.7: they fill what is left, each with type, length and so many bytes. */
function checkTlvs(header: Buffer, from: number): void {
  let checksum: number | undefined;
  for (let at = from, end = at; at < header.length; at = end) {
    end = at + 3 <= header.length ? at + 3 + header.readUInt16BE(at + 1) : Infinity;
    if (end > header.length) throw new HeaderError("a TLV that runs past the end");
    if (header[at] !== CHECKSUM) continue;
    if (end - at !== 3 + 4 || checksum !== undefined) throw new HeaderError("a bad checksum TLV");
    checksum = at + 3;
  }
  if (checksum === undefined) return;
  const zeroed = Buffer.from(header).fill(0, checksum, checksum + 4);
  if (crc32c(zeroed) !== header.readUInt32BE(checksum)) throw new HeaderError("a wrong checksum");
}

/** RFC 4960 appendix B; without a table, which few headers have a use for. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

/** An IPv4-mapped address is the IPv4 address that it holds, however it is written. */
function spell(address: string): string {
  const spelled = spellAddress(canonicalAddress(address));
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(spelled) ?? [];
  if (high === undefined || low === undefined) return spelled;
  return Buffer.from(high.padStart(4, "0") + low.padStart(4, "0"), "hex").join(".");
}

/** Throws if the bytes, as far as they go, aren't those. */
function checkStart(bytes: Buffer, start: Buffer): void {
  const size = Math.min(bytes.length, start.length);
  if (bytes.compare(start, 0, size, 0, size) !== 0) throw new HeaderError("no PROXY header");
}
