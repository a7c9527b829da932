/**
 * ClientHellos and what becomes of them. The captured ones are what real clients sent; the others
 * are put together here, from the inside out, so that every length but the one at fault is right.
 */
import { Buffer } from "node:buffer";
import type { HelloResult } from "../../lib/clienthello.ts";

type Malformed = { state: "malformed"; alert: number };
export type HelloExpectation = Exclude<HelloResult, { state: "malformed" }> | Malformed;
export type HelloVector = { name: string; why: string; input: string; expect: HelloExpectation };

const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");
const joined = (lines: string): string => lines.replace(/\s/g, "");

/** A length of `size` bytes, then the parts. */
function block(size: number, ...parts: readonly string[]): string {
  const body = parts.join("");
  return (body.length / 2).toString(16).padStart(2 * size, "0") + body;
}

/** Exported for the tests that cut a message into records of their own. */
export const record = (body: string, type = "16", version = "0301"): string =>
  type + version + block(2, body);
const handshake = (body: string, type = "01"): string => type + block(3, body);
const extension = (type: string, data: string): string => type + block(2, data);
const hostName = (name: string, type = "00"): string => type + block(2, hex(name));
const serverNames = (...names: readonly string[]): string => extension("0000", block(2, ...names));
const protocols = (...names: readonly string[]): string =>
  extension("0010", block(2, ...names.map((name) => block(1, hex(name)))));
const versions = (list: string): string => extension("002b", block(1, list));
const TLS_1_3 = versions("0304");
const RANDOM = "5a".repeat(32);

type Parts = { version?: string; session?: string; suites?: string; compression?: string };

/** The body of a ClientHello; `tail` is all that follows the compression methods. */
function body(tail: string, parts: Parts = {}): string {
  const { version = "0303", session = "", suites = "1301c02f", compression = "00" } = parts;
  const fixed = block(1, session) + block(2, suites) + block(1, compression);
  return version + RANDOM + fixed + tail;
}

const hello = (extensions: readonly string[], parts?: Parts): string =>
  handshake(body(block(2, ...extensions), parts));
const found = (serverName?: string, ...alpn: string[]): HelloExpectation => ({
  state: "hello",
  hello: { serverName, alpn },
});
const malformed = (alert = 50): Malformed => ({ state: "malformed", alert });
const NAME = serverNames(hostName("example.com"));
const GOOD = hello([NAME, TLS_1_3]);

/** Node 24: 1,606 bytes, with a key share of X25519MLKEM768. */
export const NODE_24 = joined(`
16030106410100063d03036f36f9b8f567d91d832849a69002313ca1930ae27912b200d0c4c576b50174b22044683ca6
d2df996d3315d896b11ec90d8965f36cdf4c0c4b365e907f5eac52a70068130213031301c02fc02bc030c02c009ec027
0067c028006b00a3009fcca9cca8ccaac0adc09fc05dc061c057c05300a2c0acc09ec05cc060c056c052c024006ac023
0040c00ac01400390038c009c01300330032009dc09dc051009cc09cc050003d003c0035002f0100058cff0100010000
000010000e00000b6578616d706c652e636f6d000b000403000102000a0012001011ec001d0017001e00180019010001
01002300000010000e000c02683208687474702f312e310016000000170000000d003600340905090609040403050306
0308070808081a081b081c0809080a080b080408050806040105010601030303010302040205020602002b0005040304
0303002d00020101003304ea04e811ec04c033d806592472da2bc970573ffea848fdb53f49dc5ec8139faf3756f98559
74210453a2bddd9970e0bb9cb2b23c6364a59df03add1b63067067efe236c3e8cc69212c905bc082e359d9265dbb0c92
bf34419482bef10a1260f61738fcb6783b90faf46f96b6c033983143b72fabe3a3c5a6458158cce28615325ab799209c
86fba2108bb78ba847540560b807be439c640e222a64310462857692965e4f737feed89e2cf3bf42b946b65323d6e317
22d1b23e8895a08298175904f2e6a2789531b91cb75e6812d63a357c582c1497037550bd9846c9ae52057ee299a8040f
bb2156ada5b671fcb7deaa4942e68d71c27b8148013578b1c5837f87a10d3952554c4b3881411c81942ea544c640bc91
6e86b5af8a7f8e9cb9c4f62bc75c8378c471ea8862047700a85c91b7e21994f30ffd8147cac5839c14027bf0398f9493
68835065724c356b54fa36aa5cda98f5f174c0367f19998ba8b49dd2e570b695397fc67d7b848afd03a773692f8de267
4d11a71d276668f611354588b302329ad1a9970b89bc1b3e256216b8229aca41a19611a38dec997d5a12aaa6200723b0
6d5c897063ad85d545890351a9e15899d2c97a13ae7ef76fd1c9b3916c2bfb8aa79e9a3360140d8e0031e1507f4c66b8
16f3c2a129244d161e0c71b22565213a9464d5a133a0888622f89ab8a5238b506f85223686f1a671e92600071a417095
861138ca96137cb7b9a5103c79670bf9a943b707b34f74cf3af0950df32a8e344462727f812c0d20667dc84a6014b503
c4895a2394432c14011e36a037d0bf29405a604b557698a495325013d6ae2f30b04e08b14768c70d231eb0d6a25bf039
e83ccd376bb91ed006d5e145f6a4bcb8a27a25e327a7f46bcb4848cde372be15564ee2b9c5ac00246718ae715b52b3c3
2f67712d729e4f28882fd02f22d11b09825b75f41dd9fc8f6d315af8ec479119991a41c5592261c972282995c88863bf
b204773ed01e59d18cb9635d87741b4628caf73ab169214776f7658d8944ba4b82dde66d72ec137cba40c6789beaeb58
08fb2463920349d5690fe27c5337a2d70989ffea21fe515d5a578e2500b50e9ab6b96b2a0e68155b8404ac7ca336f187
8021ccdef9c0cec542f5475b09b0afd6c7a38ae1107df80b04d10d089308ec5c0a2e107650b77fdceb4bd5a504860b94
9c13347c575f421163e86213b0b07666e5974665364a6644671a7580f4b8d6b58d61ba9980ec1a24a081d4e97fd53030
99bb92080b1a3cc3126ceab7bec3454f020d09ab4926ac57485b7d544bbf3a478e7092063a407301b2bd417019657b65
ff853ca3a4383f3029baa8b088ebae49e07122b01e607a9d8c70188583790c19ccf8b94caf6c2a97105fdf578ea92b81
49d8b4f83b8a29e2a528fa6565724ff5c61908c90a98f6772aa1abd9f63667770699d0614fe1b8e5758a4b60ce78e922
85b69225f69eb67b68ef87c20d992dc8590f7085879d9abc685b3afddb6a4e100c0378874a1982fcf3914d4c18c26805
559203bc7938f8a862a803584f864b187b9544c63a4b732019100af8bacecf68832c870bf073c1fa65215581a745c03f
4adbcfec8cb34e9ac5f5d4361c0693a72690a9650f6f48f897b758c7d276cd72c31a50dc04f40133b49f59e1340635e7
9bd5b04efc77d25699c1801653cd4080669a7de27bc5ff5b7d345447d60ebfea956d001d00200c0b1a29954c44a0778c
ad3ddb08336641b60f13271c0b8d9de02ec7b11d641d
`);

/** Deno 2.9. */
const DENO_2 = joined(`
16030100ff010000fb0303fc9bd3632bef90f4e727324761be0b1e9d322e9d32e763c7b5266e5022b793ae204acd1435
2621d4f638dffe7402fe0220921742d986f7d6701b72ca3db47c27920014130213011303c02cc02bcca9c030c02fcca8
00ff0100009e000a000a0008001d0017001811ec0023000000000010000e00000b6578616d706c652e636f6d00170000
000d001600140503040306030807080608050804060105010401000500050100000000002b000504030403030010000e
000c02683208687474702f312e31003300260024001d002037bb8499d67a56e64836db73d642701920865577a5ad7ebd
b47fb2edfa461b76000b00020100002d00020101
`);

/** OpenSSL 3.0, `-tls1_2 -servername Example.COM`. */
const OPENSSL_TLS_1_2 = joined(`
16030100cb010000c70303bcdb76a842c12857736a93b9f37885c9d4845dc2b1ae4f2f353b1416ec93b98e000038c02c
c030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c
0035002f00ff0100006600000010000e00000b4578616d706c652e434f4d000b000403000102000a000c000a001d0017
001e00190018002300000016000000170000000d002a0028040305030603080708080809080a080b0804080508060401
05010601030303010302040205020602
`);

/** OpenSSL 3.0, `-tls1_1`. */
const OPENSSL_TLS_1_1 = joined(`
16030100930100008f0302f6f9fbc42240e83938b55fb66b97fcedf17b40cd3b59a7f1adb18361634791e800002ec00a
c0140039003800880087c019003a0089c009c0130033003200450044c0180034004600350084002f004100ff01000038
00000010000e00000b6578616d706c652e636f6d000b000403000102000a000c000a001d0017001e0019001800230000
0016000000170000
`);

/** curl to `https://127.0.0.1/`: no server name. */
const CURL_IP_LITERAL = joined(`
1603010200010001fc0303402dbb0e448142d7329e842bcf9aded8ec8fcfcd9af215b6d6e38ded9d77155d20ecd1cbf9
c335f78fcda37c7ece3d4dfab44ac4a535f902c9e447ef43f52f906d003e130213031301c02cc030009fcca9cca8ccaa
c02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f00ff01000175
000b000403000102000a00160014001d0017001e00190018010001010102010301040010000e000c0268320868747470
2f312e31001600000017000000310000000d002a0028040305030603080708080809080a080b08040805080604010501
0601030303010302040205020602002b0009080304030303020301002d00020101003300260024001d0020c053edbc91
112f374a291050a0ba65d5176199a8a7aa6d8b898a57bbf73bc276001500c60000000000000000000000000000000000
000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
00000000000000000000000000000000000000000000000000000000000000000000000000
`);

const captured: readonly HelloVector[] = [
  {
    name: "Node 24",
    why: "a post-quantum hello is longer than a segment",
    input: NODE_24,
    expect: found("example.com", "h2", "http/1.1"),
  },
  {
    name: "Node 24, in two records",
    why: "a record boundary may be anywhere, here within the handshake header",
    input: record(NODE_24.slice(10, 14)) + record(NODE_24.slice(14)),
    expect: found("example.com", "h2", "http/1.1"),
  },
  {
    name: "Deno",
    why: "rustls orders its extensions at random",
    input: DENO_2,
    expect: found("example.com", "h2", "http/1.1"),
  },
  {
    name: "OpenSSL, TLS 1.2",
    why: "no supported_versions; the name comes in mixed case",
    input: OPENSSL_TLS_1_2,
    expect: found("example.com"),
  },
  {
    name: "OpenSSL, TLS 1.1",
    why: "it can't negotiate TLS 1.2",
    input: OPENSSL_TLS_1_1,
    expect: malformed(70),
  },
  {
    name: "curl, no name",
    why: "an IP literal is no host_name (RFC 6066 3)",
    input: CURL_IP_LITERAL,
    expect: found(undefined, "h2", "http/1.1"),
  },
];

const accepted: readonly HelloVector[] = [
  {
    name: "no extensions block",
    why: "RFC 5246 7.4.1.2: a TLS 1.2 hello may end before it",
    input: record(handshake(body(""))),
    expect: found(),
  },
  {
    name: "an empty extensions block",
    why: "RFC 5246 7.4.1.4: extensions<0..2^16-1>",
    input: record(hello([])),
    expect: found(),
  },
  {
    name: "a session id of 32 bytes",
    why: "the longest there is",
    input: record(hello([NAME], { session: "ab".repeat(32) })),
    expect: found("example.com"),
  },
  {
    name: "any record version {03,XX}",
    why: "RFC 5246 E.1",
    input: record(GOOD, "16", "03ff"),
    expect: found("example.com"),
  },
  {
    name: "bytes after the record",
    why: "early data is for the TLS stack",
    input: record(GOOD) + record("00", "17"),
    expect: found("example.com"),
  },
  {
    name: "legacy version 0305 without supported_versions",
    why: "RFC 5246 E.1: the server answers with its own highest version",
    input: record(hello([NAME], { version: "0305" })),
    expect: found("example.com"),
  },
  {
    name: "legacy version 0301 with supported_versions",
    why: "RFC 8446 4.2.1: the extension alone counts",
    input: record(hello([NAME, TLS_1_3], { version: "0301" })),
    expect: found("example.com"),
  },
  {
    name: "GREASE in versions and extensions",
    why: "RFC 8701: unknown values are ignored",
    input: record(
      hello([extension("0a0a", ""), NAME, versions("7a7a0303"), extension("1a1a", "00")]),
    ),
    expect: found("example.com"),
  },
  {
    name: "one trailing dot",
    why: "names are compared without it",
    input: record(hello([serverNames(hostName("Example.COM."))])),
    expect: found("example.com"),
  },
  {
    name: "two trailing dots",
    why: "only one is removed: this matches no route",
    input: record(hello([serverNames(hostName("example.com.."))])),
    expect: found("example.com."),
  },
  {
    name: "a name that is only a dot",
    why: "a name is never empty",
    input: record(hello([serverNames(hostName("."))])),
    expect: found("."),
  },
  {
    name: "a name with line ends, NUL and bytes above 127",
    why: "they stay as they are; only A to Z is lower-cased",
    input: record(hello([serverNames(hostName("\xC0A\0\n\xFF.\n"))])),
    expect: found("\xC0a\0\n\xFF.\n"),
  },
  {
    name: "an IP literal as a name",
    why: "passes as text: it matches no route",
    input: record(hello([serverNames(hostName("192.0.2.1"))])),
    expect: found("192.0.2.1"),
  },
  {
    name: "a name of an unknown type",
    why: "RFC 6066 3: types to come have a 16-bit length, too",
    input: record(hello([serverNames(hostName("x", "07"), hostName("example.com"))])),
    expect: found("example.com"),
  },
  {
    name: "ALPN of one protocol with odd bytes",
    why: "protocol names are opaque (RFC 7301 3.1)",
    input: record(hello([NAME, protocols("\xFF\0", "acme-tls/1")])),
    expect: found("example.com", "\xFF\0", "acme-tls/1"),
  },
];

const plaintext: readonly HelloVector[] = [
  {
    name: "an HTTP request",
    why: "plain HTTP sent to the TLS port",
    input: hex("GET / HTTP/1.1\r\n\r\n"),
    expect: { state: "plaintext" },
  },
  {
    name: "a lower-case letter",
    why: "some clients don't know that methods are in upper case",
    input: hex("z"),
    expect: { state: "plaintext" },
  },
  {
    name: "what is next to the letters",
    why: "`[` follows Z and starts no method",
    input: hex("["),
    expect: malformed(),
  },
];

const unfinished: readonly HelloVector[] = [
  { name: "nothing", why: "one byte tells TLS", input: "", expect: { state: "more", need: 1 } },
  {
    name: "one byte",
    why: "a record header and a handshake header must follow",
    input: "16",
    expect: { state: "more", need: 9 },
  },
  {
    name: "a record header",
    why: "the record says how much there is",
    input: "1603010100",
    expect: { state: "more", need: 261 },
  },
  {
    name: "one tiny record",
    why: "the rest takes at least one more record",
    input: record("01000100"),
    expect: { state: "more", need: 9 + 5 + 256 },
  },
  {
    name: "two tiny records",
    why: "of the handshake header two bytes are missing, in a third",
    input: record("01") + record("00"),
    expect: { state: "more", need: 12 + 5 + 2 },
  },
  {
    name: "the longest hello within the limit",
    why: "16,384 bytes are not too many",
    input: record("01003ff2"),
    expect: { state: "more", need: 16_384 },
  },
];

const badRecords: readonly HelloVector[] = [
  {
    name: "a hello past the limit",
    why: "refused before it is collected",
    input: record("01003ff3"),
    expect: malformed(),
  },
  {
    name: "the largest record",
    why: "RFC 8446 5.1 allows it; with its header it is past the limit",
    input: "1603014000",
    expect: malformed(),
  },
  { name: "a record over 2^14", why: "RFC 8446 5.1", input: "1603014001", expect: malformed(22) },
  { name: "record version 2", why: "{03,XX} only", input: "160200", expect: malformed(70) },
  { name: "an empty record", why: "RFC 8446 5.1", input: record(""), expect: malformed(10) },
  {
    name: "an empty record between two",
    why: "RFC 8446 5.1",
    input: record(GOOD.slice(0, 20)) + record(""),
    expect: malformed(10),
  },
  {
    name: "an SSLv2 hello",
    why: "RFC 6176: never",
    input: "802e0100020015000000100700c0030080010080",
    expect: malformed(),
  },
  { name: "an alert", why: "out of turn", input: record("0100", "15"), expect: malformed(10) },
  {
    name: "application data",
    why: "out of turn",
    input: record("00", "17"),
    expect: malformed(10),
  },
  {
    name: "an alert between the hello's records",
    why: "RFC 8446 5.1: messages are not interleaved",
    input: record(GOOD.slice(0, 20)) + record("0100", "15"),
    expect: malformed(10),
  },
  {
    name: "a ServerHello",
    why: "only a ClientHello starts a connection",
    input: record(handshake(body(""), "02")),
    expect: malformed(10),
  },
  {
    name: "a second message in the record",
    why: "a client says nothing before the server answered",
    input: record(GOOD + handshake("", "14")),
    expect: malformed(10),
  },
  {
    name: "one byte after the hello in its last record",
    why: "a ClientHello must end its record",
    input: record(GOOD.slice(0, 8)) + record(GOOD.slice(8) + "00"),
    expect: malformed(10),
  },
  { name: "NUL", why: "no TLS record", input: "00", expect: malformed() },
];

/** Rows of one body each, in a correct message and record. */
const badBodies: readonly HelloVector[] = ([
  ["an empty body", "", 50],
  ["an end within the random", "0303" + "00".repeat(31), 50],
  ["a session id of 33 bytes", body("", { session: "ab".repeat(33) }), 50],
  ["a session id past the end", "0303" + RANDOM + "20" + "00".repeat(31), 50],
  ["no cipher suites", body("", { suites: "" }), 50],
  ["half a cipher suite", body("", { suites: "130113" }), 50],
  ["no compression methods", body("", { compression: "" }), 50],
  ["an end before the compression methods", "0303" + RANDOM + "00" + "00021301", 50],
  ["one byte for the extensions' length", body("00"), 50],
  ["extensions past the end", body("0005" + TLS_1_3.slice(0, 8)), 50],
  ["bytes after the extensions", body(block(2, NAME) + "00"), 50],
  ["half an extension header", body(block(2, NAME, "0017")), 50],
  ["an extension past the block", body(block(2, "001700020a")), 50],
  ["one extension twice", body(block(2, extension("0017", ""), NAME, extension("0017", ""))), 50],
  ["two server_name extensions", body(block(2, NAME, NAME)), 50],
  ["empty server_name data", body(block(2, extension("0000", ""))), 50],
  ["an empty server name list", body(block(2, serverNames())), 50],
  ["an empty name", body(block(2, serverNames(hostName("")))), 50],
  ["two host names", body(block(2, serverNames(hostName("a.example"), hostName("b.example")))), 50],
  ["the same host name twice", body(block(2, serverNames(hostName("a"), hostName("a")))), 50],
  ["a name past its list", body(block(2, serverNames("00" + "0005" + "61"))), 50],
  ["a name without its length", body(block(2, serverNames("00" + "00"))), 50],
  [
    "bytes after the server name list",
    body(block(2, extension("0000", "0004" + hostName("a") + "00"))),
    50,
  ],
  [
    "a server name list past the extension",
    body(block(2, extension("0000", "0005" + hostName("a")))),
    50,
  ],
  ["an empty protocol list", body(block(2, protocols())), 50],
  ["an empty protocol name", body(block(2, protocols("h2", ""))), 50],
  ["a protocol name past its list", body(block(2, extension("0010", "000303" + hex("h2")))), 50],
  [
    "bytes after the protocol list",
    body(block(2, extension("0010", "000302" + hex("h2") + "00"))),
    50,
  ],
  ["an empty version list", body(block(2, versions(""))), 50],
  ["half a version", body(block(2, versions("030403"))), 50],
  ["bytes after the version list", body(block(2, extension("002b", "02030400"))), 50],
  ["supported_versions up to TLS 1.1", body(block(2, versions("03020301"))), 70],
  ["supported_versions of the future only", body(block(2, versions("03057a7a"))), 70],
  ["SSL 3.0", body("", { version: "0300" }), 70],
  ["TLS 1.1 without extensions", body("", { version: "0302" }), 70],
] as const).map(([name, input, alert]) => ({
  name,
  why: alert === 50 ? "the lengths or the entries don't add up" : "neither TLS 1.2 nor 1.3",
  input: record(handshake(input)),
  expect: malformed(alert),
}));

export const vectors: readonly HelloVector[] = [
  ...captured,
  ...accepted,
  ...plaintext,
  ...unfinished,
  ...badRecords,
  ...badBodies,
];
