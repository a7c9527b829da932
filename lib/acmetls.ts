/**
 * The server's side of one TLS 1.3 handshake (RFC 8446), by hand: for TLS-ALPN-01 (RFC 8737) where
 * the runtime's TLS refuses to serve a certificate with the critical extension that this needs. Key
 * and certificate prove the challenge alone and nothing is ever said over the connection, so the
 * client's Finished isn't verified: all that comes after it is close_notify.
 *
 * TLS_AES_128_GCM_SHA256, ecdsa_secp256r1_sha256, X25519 or P-256 by a share that is there. Refuses
 * the rest with its alert: TLS 1.2, a hello that would have to be asked for another share. Resumes
 * nothing, reads no early data. Needs `clienthello.ts` and `node:crypto`; pure but for its keys.
 */
import { Buffer } from "node:buffer";
import * as crypto from "node:crypto";
import * as wire from "./clienthello.ts";

/** Alert descriptions, RFC 8446 6. */
const HANDSHAKE_FAILURE = 40, ILLEGAL_PARAMETER = 47;
const PROTOCOL_VERSION = 70, MISSING_EXTENSION = 109;
const EXTENSION = { groups: 10, signatures: 13, alpn: 16, versions: 43, keyShare: 51 };
const TLS_1_3 = 0x0304, AES_128_GCM_SHA256 = 0x1301, ECDSA_P256_SHA256 = 0x0403;
const RECORD = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 };
const SERVER_HELLO = 2, ENCRYPTED_EXTENSIONS = 8, CERTIFICATE = 11, CERTIFICATE_VERIFY = 15;
const FINISHED = 20;
const SIGNATURE_CONTEXT = Buffer.from(`${" ".repeat(64)}TLS 1.3, server CertificateVerify\0`);
const CLOSE_NOTIFY = Buffer.of(1, 0), ZEROS = Buffer.alloc(32), TAG_SIZE = 16;
/** A record with a Finished and nothing else: header, message, type, tag. An alert is shorter. */
export const FINISHED_SIZE = 5 + 4 + 32 + 1 + TAG_SIZE;

/** In order of preference. `prefix` and a share (RFC 8446 4.2.8.2) are a SubjectPublicKeyInfo. */
const GROUPS = [{
  ...{ id: 0x001d, share: /^.{32}$/s, prefix: "302a300506032b656e032100" },
  newKey: () => crypto.generateKeyPairSync("x25519").privateKey,
}, {
  ...{ id: 0x0017, share: /^\x04.{64}$/s },
  prefix: "3059301306072a8648ce3d020106082a8648ce3d030107034200",
  newKey: () => crypto.generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
}];

type Identity = { certificate: Buffer; key: crypto.KeyObject; protocol: string };
/** What the answer depends on. */
type Offer = { sessionId: Buffer; group: (typeof GROUPS)[number]; share: Buffer };

/**
 * `flight` goes to the client at once, `closeNotify` when it has sent FINISHED_SIZE bytes. Or the
 * fatal `alert` goes instead; `reason` is for the log.
 */
export type HandshakeAnswer =
  | { readonly flight: Buffer; readonly closeNotify: Buffer }
  | { readonly alert: number; readonly reason: string };

/**
 * `hello`: the records of a ClientHello that readClientHello() took and that offers `protocol`.
 * `certificate`: DER, small enough for one record; `key`: its private key, P-256. `fixed`: for
 * tests, instead of random ones.
 */
export function answerHandshake({ hello, fixed, ...identity }: Identity & {
  readonly hello: Buffer;
  readonly fixed?: { readonly random: Buffer; readonly privateKey: crypto.KeyObject };
}): HandshakeAnswer {
  try {
    const clientHello = wire.readRecords(hello);
    if (typeof clientHello === "number") throw new wire.HelloError("the hello isn't complete");
    const offer = readOffer(clientHello);
    const { ownShare, secret } = agree(offer, fixed?.privateKey ?? offer.group.newKey());
    const serverHello = writeServerHello(offer, ownShare, fixed?.random ?? crypto.randomBytes(32));
    return writeFlight([clientHello, serverHello], secret, identity);
  } catch (error) {
    if (!(error instanceof wire.HelloError)) throw error;
    return { alert: error.alert, reason: error.message };
  }
}

/** RFC 8446 4.1.2, and what 9.2 wants to be there. Throws HelloError. */
function readOffer(clientHello: Buffer): Offer {
  const hello = wire.cursorOf(clientHello);
  wire.skip(hello, 4 + 2 + 32); // header, legacy_version, random
  const sessionId = wire.readBytes(hello, 1, 0, 32);
  const suites = wire.readEntries(wire.readVector(hello, 2, 2), readUint16);
  const compression = wire.readBytes(hello, 1, 1);
  const found = new Map<number, wire.Cursor>();
  const keep = (list: wire.Cursor) => found.set(readUint16(list), wire.readVector(list, 2, 0));
  if (hello.at < hello.end) wire.readList(hello, 2, 0, keep);
  const read = <T>(type: number, prefix: number, readEntry: (list: wire.Cursor) => T): T[] => {
    const data = found.get(type);
    check(data !== undefined, MISSING_EXTENSION, `no extension ${type}`);
    return wire.readList(data, prefix, 0, readEntry);
  };
  const versions = found.has(EXTENSION.versions) ? read(EXTENSION.versions, 1, readUint16) : [];
  check(versions.includes(TLS_1_3), PROTOCOL_VERSION, "TLS 1.3 isn't offered");
  check(compression.equals(Buffer.of(0)), ILLEGAL_PARAMETER, "compression is offered");
  const signatures = read(EXTENSION.signatures, 2, readUint16);
  const groups = read(EXTENSION.groups, 2, readUint16);
  const shares = read(EXTENSION.keyShare, 2, (list) => {
    return [readUint16(list), wire.readBytes(list, 2, 1)] as const;
  });
  const shareOf = new Map(shares);
  check(shareOf.size === shares.length, ILLEGAL_PARAMETER, "two shares of a group");
  const group = GROUPS.find(({ id }) => groups.includes(id) && shareOf.has(id));
  const fits = suites.includes(AES_128_GCM_SHA256) && signatures.includes(ECDSA_P256_SHA256);
  check(fits && group !== undefined, HANDSHAKE_FAILURE, "no parameters in common");
  return { sessionId, group, share: shareOf.get(group.id)! };
}

const readUint16 = (list: wire.Cursor): number => wire.readUint(list, 2);

function check(holds: boolean, alert: number, message: string): asserts holds {
  if (!holds) throw new wire.HelloError(message, alert);
}

/** RFC 8446 4.2.8, 7.4. The runtime refuses points off the curve and shared secrets of zeros. */
function agree({ group, share }: Offer, privateKey: crypto.KeyObject) {
  const prefix = Buffer.from(group.prefix, "hex");
  const own = crypto.createPublicKey(privateKey).export({ type: "spki", format: "der" });
  check(group.share.test(share.toString("latin1")), ILLEGAL_PARAMETER, "a share of another form");
  try {
    const key = Buffer.concat([prefix, share]);
    const publicKey = crypto.createPublicKey({ key, format: "der", type: "spki" });
    const secret = crypto.diffieHellman({ privateKey, publicKey });
    return { ownShare: own.subarray(prefix.length), secret };
  } catch {
    throw new wire.HelloError("a share that can't be used", ILLEGAL_PARAMETER);
  }
}

/** RFC 8446 4.1.3. */
function writeServerHello({ sessionId, group }: Offer, ownShare: Buffer, random: Buffer): Buffer {
  const keyShare = extension(EXTENSION.keyShare, uint16(group.id), vector(2, ownShare));
  const version = extension(EXTENSION.versions, uint16(TLS_1_3));
  const start = Buffer.concat([uint16(0x0303), random, vector(1, sessionId)]);
  const chosen = Buffer.concat([uint16(AES_128_GCM_SHA256), Buffer.of(0)]); // no compression
  return message(SERVER_HELLO, start, chosen, vector(2, keyShare, version));
}

/** What follows the ServerHello (RFC 8446 4.3.1, 4.4), by the keys that 7.1 derives. */
function writeFlight(
  [clientHello, serverHello]: readonly [Buffer, Buffer],
  secret: Buffer,
  { certificate, key, protocol }: Identity,
): HandshakeAnswer {
  const said = [clientHello, serverHello];
  const early = hmac(ZEROS, ZEROS); // no pre-shared key
  const handshake = hmac(deriveSecret(early, "derived", []), secret);
  const master = hmac(deriveSecret(handshake, "derived", []), ZEROS);
  const traffic = deriveSecret(handshake, "s hs traffic", said);
  const alpn = extension(EXTENSION.alpn, vector(2, vector(1, Buffer.from(protocol))));
  said.push(message(ENCRYPTED_EXTENSIONS, vector(2, alpn)));
  const chain = vector(3, vector(3, certificate), vector(2)); // one entry, no extensions
  said.push(message(CERTIFICATE, vector(1), chain));
  const content = Buffer.concat([SIGNATURE_CONTEXT, hash(said)]);
  const signature = vector(2, crypto.sign("sha256", content, key));
  said.push(message(CERTIFICATE_VERIFY, uint16(ECDSA_P256_SHA256), signature));
  const verifyData = hmac(expandLabel(traffic, "finished", Buffer.of(), 32), hash(said));
  said.push(message(FINISHED, verifyData));
  const flight = Buffer.concat([
    record(RECORD.handshake, serverHello),
    record(RECORD.changeCipherSpec, Buffer.of(1)), // for middleboxes: RFC 8446 D.4
    seal(traffic, RECORD.handshake, Buffer.concat(said.slice(2))),
  ]);
  const ending = deriveSecret(master, "s ap traffic", said);
  return { flight, closeNotify: seal(ending, RECORD.alert, CLOSE_NOTIFY) };
}

/** RFC 8446 5.2 and 5.3. Each secret protects one record, the nonce of which is the IV itself. */
function seal(secret: Buffer, type: number, content: Buffer): Buffer {
  const key = expandLabel(secret, "key", Buffer.of(), 16);
  const iv = expandLabel(secret, "iv", Buffer.of(), 12);
  const size = content.length + 1 + TAG_SIZE;
  const header = Buffer.concat([Buffer.of(RECORD.applicationData, 3, 3), uint16(size)]);
  const cipher = crypto.createCipheriv("aes-128-gcm", key, iv).setAAD(header);
  const sealed = [cipher.update(content), cipher.update(Buffer.of(type)), cipher.final()];
  return Buffer.concat([header, ...sealed, cipher.getAuthTag()]);
}

/** HKDF-Expand-Label of RFC 8446 7.1: up to 32 bytes are one block of HKDF (RFC 5869). */
function expandLabel(secret: Buffer, label: string, context: Buffer, size: number): Buffer {
  const parts = [uint16(size), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context)];
  return hmac(secret, ...parts, Buffer.of(1)).subarray(0, size);
}

const deriveSecret = (secret: Buffer, label: string, messages: readonly Buffer[]): Buffer =>
  expandLabel(secret, label, hash(messages), 32);
const hmac = (key: Buffer, ...parts: Buffer[]): Buffer =>
  crypto.createHmac("sha256", key).update(Buffer.concat(parts)).digest();
const hash = (parts: readonly Buffer[]): Buffer =>
  crypto.createHash("sha256").update(Buffer.concat(parts)).digest();
const record = (type: number, content: Buffer): Buffer =>
  Buffer.concat([Buffer.of(type, 3, 3), vector(2, content)]);
const message = (type: number, ...parts: Buffer[]): Buffer =>
  Buffer.concat([Buffer.of(type), vector(3, ...parts)]);
const extension = (type: number, ...parts: Buffer[]): Buffer =>
  Buffer.concat([uint16(type), vector(2, ...parts)]);

/** A vector of RFC 8446 3.4, with `prefix` bytes of length. */
function vector(prefix: number, ...parts: Buffer[]): Buffer {
  const size = Buffer.alloc(prefix);
  const content = Buffer.concat(parts);
  size.writeUIntBE(content.length, 0, prefix);
  return Buffer.concat([size, content]);
}

const uint16 = (value: number): Buffer => Buffer.of(value >> 8, value & 0xff);
