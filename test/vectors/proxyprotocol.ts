/**
 * First bytes of a balancer's connections, in hexadecimal, and what they say. The captured ones are
 * HAProxy 2.6's; the others are put together here so that only what is at fault is wrong.
 */
import { Buffer } from "node:buffer";

/** `source` null: the connection's own peer; `rest`: what follows the header, latin1. */
export type ProxyExpectation =
  | { readonly source: string | null; readonly rest?: string }
  | { readonly refused: RegExp }
  | { readonly more: true };

export type ProxyVector = { name: string; why: string; input: string; expect: ProxyExpectation };

const text = (latin1: string): string => Buffer.from(latin1, "latin1").toString("hex");
const block = (hex: string): string => (hex.length / 2).toString(16).padStart(4, "0") + hex;
const SIGNATURE = "0d0a0d0a000d0a515549540a";

/** A header of version 2, with its length. */
const v2 = (command: string, family: string, body: string): string =>
  SIGNATURE + command + family + block(body);
const tlv = (type: string, value: string): string => type + block(value);

const PORTS = "8f8301bb";
const IPV4 = "c0000201" + "c6336402" + PORTS; // 192.0.2.1, 198.51.100.2
const IPV6_SOURCE = "20010db8000000000000000000000001";
const IPV6 = IPV6_SOURCE + "20010db8000000000000000000000002" + PORTS;
const MAPPED = "00000000000000000000ffff7f000002" + IPV6_SOURCE + PORTS;
const UNIX = text("/run/a.sock").padEnd(216, "0") + text("/run/b.sock").padEnd(216, "0");

const good = (source: string | null, rest = ""): ProxyExpectation => ({ source, rest });
const bad = (refused: RegExp): ProxyExpectation => ({ refused });
const row = (name: string, why: string, input: string, expect: ProxyExpectation): ProxyVector => ({
  ...{ name, why, input, expect },
});
const line = (name: string, why: string, latin1: string, expect: ProxyExpectation): ProxyVector =>
  row(name, why, text(latin1), expect);

const captured: readonly ProxyVector[] = [
  row(
    "send-proxy over a dual-stack port",
    "HAProxy 2.6 writes IPv4 as IPv4-mapped TCP6 there; a first byte of the client's follows",
    "50524f58592054435036203a3a666666663a3132372e302e302e32203a3a666666663a3132372e302e302e31203432" +
      "3531352032343033340d0a68656c6c6f",
    good("127.0.0.2", "hello"),
  ),
  row(
    "send-proxy over IPv6",
    "HAProxy 2.6",
    "50524f58592054435036203a3a31203a3a312033363033312032343033340d0a68656c6c6f",
    good("::1", "hello"),
  ),
  row(
    "send-proxy of a health check",
    "HAProxy 2.6 gives its own address",
    "50524f58592054435034203132372e302e302e31203132372e302e302e312035303033302034343236310d0a",
    good("127.0.0.1"),
  ),
  row(
    "send-proxy-v2",
    "HAProxy 2.6",
    "0d0a0d0a000d0a515549540a2121002400000000000000000000ffff7f00000200000000000000000000ffff7f0000" +
      "018f835de368656c6c6f",
    good("127.0.0.2", "hello"),
  ),
  row(
    "send-proxy-v2 with checksum and unique id",
    "HAProxy 2.6, over IPv6",
    "0d0a0d0a000d0a515549540a212100340000000000000000000000000000000100000000000000000000000000000001" +
      "a9c75de40300044f5e292305000669642d3a3a3168656c6c6f",
    good("::1", "hello"),
  ),
  row(
    "send-proxy-v2-ssl-cn with checksum",
    "HAProxy 2.6, a client with a certificate",
    "0d0a0d0a000d0a515549540a2121004e00000000000000000000ffff7f00000100000000000000000000ffff7f0000" +
      "01dea05de50300044c2649402000200700000000210007544c5376312e3322000e636c69656e742e6578616d706c65",
    good("127.0.0.1"),
  ),
  row(
    "send-proxy-v2 of a health check, with checksum",
    "HAProxy 2.6: LOCAL, of no family",
    "0d0a0d0a000d0a515549540a20000007030004a9b87e8f",
    good(null),
  ),
];

const version1: readonly ProxyVector[] = [
  line(
    "v1 TCP4",
    "section 2.1",
    "PROXY TCP4 192.0.2.1 198.51.100.2 1 65535\r\n",
    good("192.0.2.1"),
  ),
  line(
    "v1 TCP4 with the ClientHello behind it",
    "both in one segment",
    "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n\x16\x03\x01",
    good("192.0.2.1", "\x16\x03\x01"),
  ),
  line(
    "v1 at its longest",
    "section 2.1's worst case for IPv6: 104 characters",
    "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff " +
      "65535 65535\r\n",
    good("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
  ),
  line(
    "v1 UNKNOWN at its longest",
    "section 2.1's worst case, 107 characters; all before the CRLF is ignored",
    "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff " +
      "65535 65535\r\nx",
    good(null, "x"),
  ),
  line("v1 UNKNOWN", "the shortest header", "PROXY UNKNOWN\r\n", good(null)),
  line(
    "v1 TCP6 in another spelling",
    "one client must have one address in logs and lists",
    "PROXY TCP6 2001:DB8:0:0:0:0:0:1 2001:db8::2 1 2\r\n",
    good("2001:db8::1"),
  ),
  line(
    "v1 TCP6 with an IPv4-mapped address in hexadecimal",
    "it is the IPv4 address, for lists of networks too",
    "PROXY TCP6 ::ffff:c000:201 ::1 1 2\r\n",
    good("192.0.2.1"),
  ),
  line(
    "v1 port 0",
    "as a balancer may see it",
    "PROXY TCP4 1.2.3.4 4.3.2.1 0 0\r\n",
    good("1.2.3.4"),
  ),
  line("v1 not finished", "more may come", "PROXY TCP4 192.0.2.1 198", { more: true }),
  line("v1 without its LF", "more may come", "PROXY UNKNOWN\r", { more: true }),
  line("v1 in lower case", "the word is in capitals", "proxy TCP4", bad(/no PROXY header/)),
  line(
    "v1 with two spaces",
    "exactly one each",
    "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    bad(/TCP4/),
  ),
  line("v1 with a tab", "exactly one space", "PROXY\tTCP4 1.1.1.1", bad(/no PROXY header/)),
  line("v1 with TCP5", "no such protocol", "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", bad(/TCP4, TCP6/)),
  line("v1 with UDP4", "not in version 1", "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", bad(/TCP4, TCP6/)),
  line("v1 with UNKNOWNS", "no such protocol", "PROXY UNKNOWNS\r\n", bad(/TCP4, TCP6/)),
  line("v1 without all", "addresses are missing", "PROXY TCP4\r\n", bad(/address/)),
  line("v1 with a name", "addresses only", "PROXY TCP4 localhost 2.2.2.2 1 2\r\n", bad(/address/)),
  line("v1 IPv6 as TCP4", "wrong family", "PROXY TCP4 ::1 ::1 1 2\r\n", bad(/address/)),
  line("v1 IPv4 as TCP6", "wrong family", "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", bad(/address/)),
  line("v1 two families", "wrong destination", "PROXY TCP4 1.1.1.1 ::1 1 2\r\n", bad(/address/)),
  line("v1 zone", "of another machine", "PROXY TCP6 fe80::1%1 ::1 1 2\r\n", bad(/address/)),
  line(
    "v1 octal",
    "some read 08 or 010 as octal",
    "PROXY TCP4 010.1.1.1 2.2.2.2 1 2\r\n",
    bad(/add/),
  ),
  line("v1 three parts", "inet_aton()'s", "PROXY TCP4 127.1 2.2.2.2 1 2\r\n", bad(/address/)),
  line("v1 brackets", "no URL", "PROXY TCP6 [::1] ::1 1 2\r\n", bad(/address/)),
  line("v1 port 65536", "too large", "PROXY TCP4 1.1.1.1 2.2.2.2 65536 1\r\n", bad(/ports/)),
  line("v1 port 01", "leading zero", "PROXY TCP4 1.1.1.1 2.2.2.2 01 1\r\n", bad(/ports/)),
  line("v1 port +1", "digits only", "PROXY TCP4 1.1.1.1 2.2.2.2 +1 1\r\n", bad(/ports/)),
  line("v1 one port", "two", "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", bad(/ports/)),
  line("v1 three ports", "two", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", bad(/ports/)),
  line("v1 space at the end", "no word", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", bad(/ports/)),
  line("v1 LF alone", "the CRLF is required", `PROXY UNKNOWN\n${"x".repeat(100)}`, bad(/107/)),
  line("v1 CR inside", "only CRLF ends it", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rx\r\n", bad(/ports/)),
  line("v1 NUL inside", "no text", "PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n", bad(/address/)),
  line("v1 too long", "108 bytes", `PROXY UNKNOWN ${"x".repeat(92)}\r\n`, bad(/107/)),
  line(
    "v1 that would become short",
    "a header in a header: the second is the client's own words",
    "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\nPROXY TCP4 10.0.0.1 198.51.100.2 1 2\r\n",
    good("192.0.2.1", "PROXY TCP4 10.0.0.1 198.51.100.2 1 2\r\n"),
  ),
];

const version2: readonly ProxyVector[] = [
  row("v2 TCP over IPv4", "section 2.2", v2("21", "11", IPV4) + "16", good("192.0.2.1", "\x16")),
  row("v2 TCP over IPv6", "section 2.2", v2("21", "21", IPV6), good("2001:db8::1")),
  row("v2 IPv4-mapped", "it is the IPv4 address", v2("21", "21", MAPPED), good("127.0.0.2")),
  row("v2 UNIX", "no IP address: the peer's counts", v2("21", "31", UNIX), good(null)),
  row("v2 LOCAL", "a health check", v2("20", "00", ""), good(null)),
  row("v2 LOCAL with all", "the block is discarded", v2("20", "11", IPV4), good(null)),
  row("v2 LOCAL with a bad block", "it is discarded unread", v2("20", "7f", "0102"), good(null)),
  row("v2 UNSPEC", "the sender doesn't know", v2("21", "00", ""), good(null)),
  row("v2 UNSPEC with a block", "nothing is known of it", v2("21", "00", "ffff"), good(null)),
  row(
    "v2 with TLVs",
    "ALPN, an unknown one, an empty one",
    v2("21", "11", IPV4 + tlv("01", text("h2")) + tlv("e0", "00") + tlv("ff", "")) + "16",
    good("192.0.2.1", "\x16"),
  ),
  row(
    "v2 with as much as is allowed",
    "4,096 bytes",
    v2("21", "11", IPV4 + tlv("04", "00".repeat(4_096 - 16 - 12 - 3))),
    good("192.0.2.1"),
  ),
  row(
    "v2 longer than allowed",
    "refused before it is read",
    v2("21", "11", IPV4 + tlv("04", "00".repeat(4_096 - 16 - 12 - 2))),
    bad(/4097 bytes/),
  ),
  row("v2 with the greatest length", "refused at once", SIGNATURE + "2111ffff", bad(/65551 bytes/)),
  row("v2 not finished", "more may come", v2("21", "11", IPV4).slice(0, -2), { more: true }),
  row("v2 signature not finished", "more may come", SIGNATURE.slice(0, 20), { more: true }),
  row("v2 signature wrong at its end", "no header", "0d0a0d0a000d0a515549540b", bad(/no PROXY/)),
  row("v2 version 1", "no such version", v2("11", "11", IPV4), bad(/version/)),
  row("v2 version 3", "no such version", v2("31", "11", IPV4), bad(/version/)),
  row("v2 command 2", "no such command", v2("22", "11", IPV4), bad(/command/)),
  row("v2 UDP over IPv4", "no stream", v2("21", "12", IPV4), bad(/stream/)),
  row("v2 UDP over IPv6", "no stream", v2("21", "22", IPV6), bad(/stream/)),
  row("v2 UNIX datagram", "no stream", v2("21", "32", UNIX), bad(/stream/)),
  row("v2 family 4", "no such family", v2("21", "41", IPV4), bad(/family/)),
  row("v2 transport 3", "no such transport", v2("21", "13", IPV4), bad(/transport/)),
  row("v2 IPv4 without transport", "no such pair", v2("21", "10", IPV4), bad(/transport/)),
  row("v2 too short for IPv4", "11 bytes", v2("21", "11", IPV4.slice(2)), bad(/short/)),
  row("v2 too short for IPv6", "IPv4's block", v2("21", "21", IPV4), bad(/short/)),
  row("v2 too short for UNIX", "IPv6's block", v2("21", "31", IPV6), bad(/short/)),
  row("v2 with half a TLV", "no length", v2("21", "11", IPV4 + "0400"), bad(/TLV/)),
  row("v2 with a TLV too long", "past the end", v2("21", "11", IPV4 + "04000300"), bad(/TLV/)),
  row(
    "v2 with a checksum of 3 bytes",
    "it has 4",
    v2("21", "11", IPV4 + tlv("03", "000000")),
    bad(/checksum/),
  ),
  row(
    "v2 with a wrong checksum",
    "section 2.2.4: it MUST be refused",
    v2("21", "11", IPV4 + tlv("03", "00000000")),
    bad(/wrong checksum/),
  ),
  row(
    "v2 with two checksums",
    "which would count?",
    v2("21", "11", IPV4 + tlv("03", "00000000") + tlv("03", "00000000")),
    bad(/checksum/),
  ),
];

const neither: readonly ProxyVector[] = [
  line("nothing", "a connection has just been opened", "", { more: true }),
  line("a ClientHello", "from a listed balancer, a header is due", "\x16\x03\x01", bad(/no PROXY/)),
  line("an HTTP request", "the same", "GET / HTTP/1.1\r\n", bad(/no PROXY/)),
  line("a PUT", "another word with P", "PUT / HTTP/1.1\r\n", bad(/no PROXY/)),
  line("an HTTP/2 preface", "another word with PR", "PRI * HTTP/2.0", bad(/no PROXY/)),
  line("CRLF and a request", "the signature's first bytes", "\r\nGET / HTTP/1.1", bad(/no PROXY/)),
];

export const vectors: readonly ProxyVector[] = [
  ...captured,
  ...version1,
  ...version2,
  ...neither,
];
