/**
 * TSIG, what signs DNS messages with a shared secret (RFC 8945): requests made, answers checked.
 * Pure but for the MAC, which is `node:crypto`'s; needs dnsmsg.ts. Times are parameters.
 *
 * Refuses truncated MACs (section 5.2.2.1), several messages in one answer (5.3.1), and an answer
 * signed with another key or algorithm than its request.
 */
import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import {
  CLASS,
  decodeMessage,
  type DnsMessage,
  type DnsRecord,
  encodeMessage,
  encodeName,
  nameOf,
  readName,
  TYPE,
} from "../dnsmsg.ts";

/** RFC 8945 section 6, without those of MD5 and GSS; the names as node:crypto knows the hashes. */
export const ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ["hmac-sha1", "sha1"],
  ["hmac-sha224", "sha224"],
  ["hmac-sha256", "sha256"],
  ["hmac-sha384", "sha384"],
  ["hmac-sha512", "sha512"],
]);

/** Section 3. */
export const TSIG_ERROR = { BADSIG: 16, BADKEY: 17, BADTIME: 18 } as const;

/** Seconds that clocks may differ; section 10 recommends as many. */
const FUDGE = 300;

export interface TsigKey {
  readonly name: string;
  /** One of ALGORITHMS, without last dot. */
  readonly algorithm: string;
  readonly secret: Uint8Array;
}

/** Bytes that aren't an answer signed with the request's key. */
export class TsigError extends Error {}

/** Section 4.2; times are seconds since the epoch. */
interface Tsig {
  readonly time: number;
  readonly fudge: number;
  readonly error: number;
  readonly other: Buffer;
}

/** The message with a TSIG record as its last; `mac` is for the answer. `time`: seconds. */
export function signMessage(
  message: Partial<DnsMessage>,
  key: TsigKey,
  time: number,
): { bytes: Buffer; mac: Buffer } {
  const tsig = { time, fudge: FUDGE, error: 0, other: Buffer.alloc(0) };
  const mac = digest(key, [encodeMessage(message), variables(key, tsig)]);
  const data = Buffer.concat([
    encodeName(key.algorithm),
    uint(time, 6),
    uint(FUDGE, 2),
    uint(mac.length, 2),
    mac,
    uint(message.id ?? 0, 2),
    uint(0, 4), // no error, no other data
  ]);
  const record: DnsRecord = { name: key.name, type: TYPE.TSIG, class: CLASS.ANY, ttl: 0, data };
  const additionals = [...message.additionals ?? [], record];
  return { bytes: encodeMessage({ ...message, additionals }), mac };
}

/**
 * What an answer to a request with `requestMac` says (section 5.3); `error` is of TSIG_ERROR, or 0,
 * and `serverTime` what a server with another time says that it is (5.2.3). An answer with BADSIG
 * or BADKEY can't be signed (5.3.2), and one without TSIG whose rcode says failure is let through:
 * who forges them can only make us fail. Throws TsigError, or DnsMessageError for no message.
 */
export function verifyAnswer(
  bytes: Buffer,
  key: TsigKey,
  requestMac: Buffer,
  now: number,
): { answer: DnsMessage; error: number; serverTime?: number } {
  const answer = decodeMessage(bytes);
  const record = answer.additionals.at(-1);
  if (record?.type !== TYPE.TSIG) {
    if (answer.rcode !== 0 || answer.tc) return { answer, error: 0 };
    throw new TsigError(`it isn't signed`);
  }
  const { algorithm, mac, id, ...tsig } = readTsig(record);
  const { BADSIG, BADKEY, BADTIME } = TSIG_ERROR;
  if (mac.length === 0 && (tsig.error === BADSIG || tsig.error === BADKEY)) {
    return { answer, error: tsig.error };
  }
  if (record.name !== canonical(key.name) || algorithm !== canonical(key.algorithm)) {
    throw new TsigError("it is signed with another key");
  }
  // Section 4.3.1: the message as it was before the record was added, with the id it had.
  const message = Buffer.concat([uint(id, 2), bytes.subarray(2, answer.lastRecordAt)]);
  message.writeUInt16BE(bytes.readUInt16BE(10) - 1, 10);
  const parts = [uint(requestMac.length, 2), requestMac, message, variables(key, tsig)];
  const expected = digest(key, parts);
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) {
    throw new TsigError("its signature is wrong");
  }
  if (Math.abs(now - tsig.time) > tsig.fudge) throw new TsigError("it was signed at another time");
  if (tsig.error !== BADTIME || tsig.other.length !== 6) return { answer, error: tsig.error };
  return { answer, error: BADTIME, serverTime: tsig.other.readUIntBE(0, 6) };
}

/** Section 4.2. Throws TsigError. */
function readTsig({ data }: DnsRecord): Tsig & { algorithm: string; mac: Buffer; id: number } {
  const cursor = { bytes: data, at: 0 };
  const algorithm = readName(cursor);
  const end = cursor.at;
  const macAt = end + 10;
  const macEnd = data.length < macAt ? Infinity : macAt + data.readUInt16BE(end + 8);
  const otherAt = macEnd + 6;
  if (data.length < otherAt || data.length !== otherAt + data.readUInt16BE(macEnd + 4)) {
    throw new TsigError("its TSIG record is damaged");
  }
  return {
    algorithm,
    time: data.readUIntBE(end, 6),
    fudge: data.readUInt16BE(end + 6),
    mac: data.subarray(macAt, macEnd),
    id: data.readUInt16BE(macEnd),
    error: data.readUInt16BE(macEnd + 2),
    other: data.subarray(otherAt),
  };
}

/** Section 4.3.3: what is signed of the record itself. */
function variables(key: TsigKey, { time, fudge, error, other }: Tsig): Buffer {
  return Buffer.concat([
    encodeName(key.name),
    uint(CLASS.ANY, 2),
    uint(0, 4), // TTL
    encodeName(key.algorithm),
    uint(time, 6),
    uint(fudge, 2),
    uint(error, 2),
    uint(other.length, 2),
    other,
  ]);
}

function digest({ algorithm, secret }: TsigKey, parts: readonly Buffer[]): Buffer {
  const hash = ALGORITHMS.get(algorithm);
  if (hash === undefined) throw new TsigError(`unknown algorithm ${JSON.stringify(algorithm)}`);
  return createHmac(hash, secret).update(Buffer.concat(parts)).digest();
}

/** As names are when they have been decoded. */
const canonical = (name: string): string => nameOf(encodeName(name));

function uint(value: number, octets: number): Buffer {
  const bytes = Buffer.alloc(octets);
  bytes.writeUIntBE(value, 0, octets);
  return bytes;
}
