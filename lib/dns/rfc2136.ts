/**
 * DNS-01 by dynamic update of one's own name server (RFC 2136), signed with TSIG (RFC 8945), as
 * lego's `rfc2136`, now `dnsupdate`. Variables begin with DNSUPDATE_ or RFC2136_: NAMESERVER (host,
 * host:port), TSIG_KEY, TSIG_SECRET (base64) and TSIG_ALGORITHM (default hmac-sha1, as lego), or
 * TSIG_FILE (what tsig-keygen prints); TTL (120), DNS_TIMEOUT (10), PROPAGATION_TIMEOUT (60) and
 * POLLING_INTERVAL (2) in seconds; ZONES, comma-separated, instead of asking. Without a key nothing
 * is signed. No GSS-TSIG. Values come and go one by one, where lego replaces all at the name. Needs
 * tsig.ts, dnsmsg.ts, addr.ts, `node:dgram`, `node:net`, `node:dns`. Tested with BIND 9.18.
 */
import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import dgram from "node:dgram";
import { lookup } from "node:dns/promises";
import net from "node:net";
import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";
import { joinHostPort, splitHostPort, toDomainName } from "../addr.ts";
import { ancestors, CLASS, decodeMessage, type DnsMessage, encodeMessage } from "../dnsmsg.ts";
import { OPCODE, RCODE, txtData, TYPE } from "../dnsmsg.ts";
import { quote } from "../log.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "./provider.ts";
import { DEFAULT_TTL, type Env, needed, optional, propagation } from "./shared.ts";
import { readSmallFile, seconds } from "./shared.ts";
import { ALGORITHMS, signMessage, TSIG_ERROR, type TsigKey, verifyAnswer } from "./tsig.ts";

const PORT = 53;
const DNS_TIMEOUT = 10; // seconds, lego's
/** How often a datagram is sent within the timeout; an update that comes twice does no harm. */
const TRIES = 4;
/** Octets; what is longer goes by TCP (RFC 1035 section 4.2.1), for no EDNS is offered. */
const MAX_UDP = 512;

/** Of a name server whose name has several: one of them may not be reached from here. */
const MAX_ADDRESSES = 4;

interface Settings {
  readonly host: string;
  readonly port: number;
  readonly key: TsigKey | undefined;
  readonly zones: readonly string[];
  readonly ttl: number;
  /** Milliseconds for one answer. */
  readonly timeout: number;
}

export function createProvider({ env }: ProviderContext): DnsProvider {
  const settings = readSettings(env);
  const change = async (name: string, type: Change, signal: AbortSignal): Promise<void> => {
    const zone = zoneAmong(settings, name) ?? await findZone(settings, name, signal);
    const update = { name, type: TYPE.TXT, ...type };
    const questions = [{ name: zone, type: TYPE.SOA, class: CLASS.IN }]; // RFC 2136 section 2.3
    const message = { opcode: OPCODE.UPDATE, questions, authorities: [update] };
    const reply = await exchange(settings, message, signal);
    if (reply.answer.rcode !== 0) throw refusal(settings, `the update of ${zone}`, reply, name);
  };
  return {
    propagation: propagation(env, PREFIXES),
    // RFC 2136 section 2.5.1: adds to an RRset; a record that is there already changes nothing.
    present: ({ name, value }, signal) =>
      change(name, { class: CLASS.IN, ttl: settings.ttl, data: txtData(value) }, signal),
    // Section 2.5.4: deletes this record from its RRset, if it is there.
    cleanUp: ({ name, value }, signal) =>
      change(name, { class: CLASS.NONE, ttl: 0, data: txtData(value) }, signal),
  };
}

type Change = { readonly class: number; readonly ttl: number; readonly data: Buffer };

const PREFIXES = ["DNSUPDATE", "RFC2136"] as const;
const names = (end: string): [string, string] => [`DNSUPDATE_${end}`, `RFC2136_${end}`];

function readSettings(env: Env): Settings {
  const server = needed(env, ...names("NAMESERVER"));
  const address = net.isIPv6(server) ? { host: server, port: PORT } : splitHostPort(server);
  if (address === undefined) {
    const problem = `invalid ${names("NAMESERVER").join(" or ")} ${quote(server, 100)}`;
    throw new DnsProviderError(`${problem}: expected a host, or a host and a port: 10.0.0.2:53`);
  }
  const zones = (optional(env, ...names("ZONES")) ?? "").split(",").filter(Boolean).map((zone) => {
    const name = toDomainName(zone.trim());
    if (name !== undefined) return name;
    const problem = `invalid zone ${quote(zone, 100)} in ${names("ZONES").join(" or ")}`;
    throw new DnsProviderError(`${problem}: expected names, comma-separated`);
  });
  return {
    host: address.host,
    port: address.port ?? PORT,
    key: readKey(env),
    zones: zones.sort((a, b) => b.length - a.length), // a zone before those it is in
    ttl: seconds(env, names("TTL"), DEFAULT_TTL),
    timeout: seconds(env, names("DNS_TIMEOUT"), DNS_TIMEOUT) * 1000,
  };
}

/** As lego, the file comes before the variables; unlike lego, half a key is an error. */
function readKey(env: Env): TsigKey | undefined {
  const path = optional(env, ...names("TSIG_FILE"));
  const file = path === undefined ? undefined : readKeyFile(path);
  const name = file ? file.get("key") : optional(env, ...names("TSIG_KEY"));
  const secret = file ? file.get("secret") : optional(env, ...names("TSIG_SECRET"));
  const given = file ? file.get("algorithm") : optional(env, ...names("TSIG_ALGORITHM"));
  if (name === undefined && secret === undefined && file === undefined) return undefined;
  const where = path === undefined ? `${names("TSIG_KEY").join(" or ")}, …_SECRET` : quote(path);
  const fail = (expected: string): never => {
    throw new DnsProviderError(`invalid TSIG key (${where}): expected ${expected}`);
  };
  const algorithm = (given ?? "hmac-sha1").toLowerCase().replace(/\.$/, "");
  if (!ALGORITHMS.has(algorithm)) fail(`an algorithm of ${[...ALGORITHMS.keys()].join(", ")}`);
  if (!name || !/^[\w.-]{1,253}$/.test(name)) return fail("a name for the key");
  if (!secret || !/^[A-Za-z0-9+/]+={0,2}$/.test(secret)) return fail("a secret in base64");
  return { name: name.toLowerCase(), algorithm, secret: Buffer.from(secret, "base64") };
}

/** `key "name" { algorithm hmac-sha256; secret "base64"; };` with BIND's comments. */
function readKeyFile(path: string): Map<string, string> {
  const text = readSmallFile(names("TSIG_FILE").join(" or "), path);
  const tokens = text.matchAll(/"([^"]*)"|\/\*[^]*?\*\/|(?:\/\/|#).*|[{};]|[^\s{};"]+/g);
  const words = [...tokens].map(([all, quoted]) => quoted ?? all).filter((word) =>
    !/^(?:\/\*|\/\/|#|[{};]$)/.test(word)
  );
  const at = words.indexOf("key");
  const pairs = [0, 2, 4].map((i) => words.slice(at + i, at + i + 2));
  return new Map(pairs.filter((pair): pair is [string, string] => pair.length === 2));
}

function zoneAmong({ zones }: Settings, name: string): string | undefined {
  return zones.find((zone) => name === zone || name.endsWith(`.${zone}`));
}

/**
 * The server is asked for the SOA of the name and of those above it. Its first answer shows it: an
 * answer that there is none has the zone's SOA with it (RFC 2308 section 2).
 */
async function findZone(settings: Settings, name: string, signal: AbortSignal): Promise<string> {
  for (const here of ancestors(name)) {
    const questions = [{ name: here, type: TYPE.SOA, class: CLASS.IN }];
    const reply = await exchange(settings, { rd: true, questions }, signal);
    const { rcode, answers, authorities } = reply.answer;
    if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) {
      throw refusal(settings, `to say which zone ${name} is in`, reply, name);
    }
    if (answers.some(({ type }) => type === TYPE.CNAME)) continue; // no zone's name is an alias
    const zone = [...answers, ...authorities].find(({ type, name: owner }) =>
      type === TYPE.SOA && owner !== "" && (here === owner || here.endsWith(`.${owner}`))
    );
    if (zone !== undefined) return zone.name;
  }
  throw new DnsProviderError(`${serverName(settings)} knows of no zone that ${name} is in`);
}

type Reply = ReturnType<typeof verifyAnswer>;

/** Sends a message, signed if there is a key; resolves with the answer, whatever its rcode. */
async function exchange(
  settings: Settings,
  message: Partial<DnsMessage>,
  signal: AbortSignal,
): Promise<Reply> {
  const { host, key } = settings;
  const addresses = await lookup(host, { all: true }).catch((cause) => {
    throw new DnsProviderError(`no address of ${serverName(settings)}`, { cause });
  });
  const request = { ...message, id: randomInt(0x10000) };
  const time = Math.floor(Date.now() / 1000);
  const { bytes, mac } = key === undefined
    ? { bytes: encodeMessage(request), mac: Buffer.alloc(0) }
    : signMessage(request, key, time);
  const accept = (input: Buffer): Reply => {
    const reply = key === undefined
      ? { answer: decodeMessage(input), error: 0 }
      : verifyAnswer(input, key, mac, Math.floor(Date.now() / 1000));
    const { qr, id, opcode } = reply.answer;
    if (qr && id === request.id && opcode === (request.opcode ?? OPCODE.QUERY)) return reply;
    throw new Error("it answers something else");
  };
  let failure: unknown;
  for (const { address } of addresses.slice(0, MAX_ADDRESSES)) {
    const call = { settings, address, bytes, accept, signal };
    try {
      const reply = bytes.length > MAX_UDP ? undefined : await overUdp(call);
      return reply === undefined || reply.answer.tc ? await overTcp(call) : reply;
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

interface Call {
  readonly settings: Settings;
  readonly address: string;
  readonly bytes: Buffer;
  /** Throws when it isn't the answer, or not to be trusted. */
  readonly accept: (bytes: Buffer) => Reply;
  readonly signal: AbortSignal;
}

/** What isn't accepted may be forged: the true answer is waited for besides, until time is up. */
function overUdp({ settings, address, bytes, accept, signal }: Call): Promise<Reply> {
  signal.throwIfAborted(); // by now
  const socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
  return new Promise<Reply>((resolve, reject) => {
    let refused: unknown;
    let sent = 0;
    const send = (): void => {
      if (++sent > TRIES) reject(silence(settings, refused));
      else socket.send(bytes, (error) => error && reject(silence(settings, error)));
    };
    const timer = setInterval(send, settings.timeout / TRIES);
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    socket.on("message", (input) => {
      try {
        resolve(accept(input));
      } catch (error) {
        refused = error;
      }
    });
    socket.on("error", (error) => reject(silence(settings, error)));
    socket.on("close", () => {
      clearInterval(timer);
      signal.removeEventListener("abort", abort);
    });
    socket.connect(settings.port, address, send); // so that only its datagrams come
  }).finally(() => socket.close());
}

/** RFC 1035 section 4.2.2. */
function overTcp({ settings, address, bytes, accept, signal }: Call): Promise<Reply> {
  signal.throwIfAborted();
  const socket = net.connect(settings.port, address);
  return new Promise<Reply>((resolve, reject) => {
    let input: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => reject(silence(settings)), settings.timeout);
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    socket.on("connect", () => {
      socket.write(Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes]));
    });
    socket.on("data", (chunk: Buffer) => {
      input = Buffer.concat([input, chunk]);
      const end = input.length < 2 ? Infinity : 2 + input.readUInt16BE(0);
      if (input.length < end) return;
      try {
        resolve(accept(input.subarray(2, end)));
      } catch (error) {
        reject(silence(settings, error));
      }
    });
    socket.on("error", (error) => reject(silence(settings, error)));
    socket.on("close", () => {
      reject(silence(settings, new Error("it closed the connection"))); // unless it's settled
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    });
  }).finally(() => socket.destroy());
}

function silence(settings: Settings, cause?: unknown): DnsProviderError {
  const what = `no answer from ${serverName(settings)} that counts`;
  return cause === undefined
    ? new DnsProviderError(`${serverName(settings)} did not answer in ${settings.timeout / 1000} s`)
    : new DnsProviderError(what, { cause });
}

const serverName = ({ host, port }: Settings): string =>
  `the name server ${joinHostPort(host, port)}`;

/** Why, and what to do about it. `what` is what was refused. */
function refusal(settings: Settings, what: string, reply: Reply, name: string): DnsProviderError {
  const reason = tsigReason(settings, reply) ?? rcodeReason(settings, reply, name);
  return new DnsProviderError(`${serverName(settings)} refused ${what}: ${reason}`);
}

function tsigReason({ key }: Settings, { error, serverTime }: Reply): string | undefined {
  const which = `the key ${quote(key?.name ?? "")}`;
  switch (error) {
    case 0:
      return undefined;
    case TSIG_ERROR.BADSIG:
      return `${which} has another secret there (BADSIG)`;
    case TSIG_ERROR.BADKEY:
      return `it doesn't know ${which} with ${key?.algorithm} (BADKEY)`;
    case TSIG_ERROR.BADTIME: {
      const ahead = serverTime === undefined ? 0 : serverTime - Math.floor(Date.now() / 1000);
      const how = ahead < 0 ? "behind" : "ahead";
      return `its clock is ${Math.abs(ahead)} s ${how} of ours (BADTIME); set the wrong one`;
    }
    default:
      return `TSIG error ${error}`;
  }
}

/** RFC 1035 section 4.1.1, RFC 2136 section 2.2. */
function rcodeReason({ key }: Settings, { answer: { rcode } }: Reply, name: string): string {
  const who = key === undefined ? "requests without a TSIG key" : `the key ${quote(key.name)}`;
  switch (rcode) {
    case 1:
      return "it doesn't understand the request (FORMERR)";
    case 2:
      return "it failed, as when it can't write the zone's journal; see its log (SERVFAIL)";
    case 4:
      return "it takes no updates (NOTIMP)";
    case 5:
      return `${who} may not do that; allow it TXT records at ${name} (REFUSED)`;
    case 9:
      return "it isn't the zone's primary server, or doesn't allow that (NOTAUTH)";
    case 10:
      return `${name} isn't in that zone (NOTZONE)`;
    default:
      return `rcode ${rcode}`;
  }
}
