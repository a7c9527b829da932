/**
 * A DNS client (RFC 1035 section 4.2, RFC 5452, RFC 7766): what is published now, since nothing is
 * remembered from one call to the next. Recursive servers are asked for everything, and for
 * txtEverywhere() those that the zone itself lists. Needs `dnsmsg.ts`, `addr.ts`, `node:dgram`,
 * `node:net` and `node:dns`.
 *
 * Each query has its own random id and port. An answer counts only from the address and port that
 * were asked, with that id and that question; a truncated one is asked for again over TCP. There is
 * no DNSSEC: the servers that are asked, and the way to them, are trusted.
 */
import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import system from "node:dns";
import { on } from "node:events";
import net, { isIPv6 } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { canonicalAddress, joinHostPort, parseNetworks, splitHostPort } from "./addr.ts";
import * as dns from "./dnsmsg.ts";
import { type CaaRecord, CLASS, type DnsMessage, type DnsRecord, RCODE, TYPE } from "./dnsmsg.ts";

const PORT = 53;
const TIMEOUT = 5_000; // ms for one try at one server, UDP and TCP together
const TRIES = 2; // at each server
const MAX_ALIASES = 10; // CNAMEs from one name; public resolvers follow 8 to 16
const MAX_ADDRESSES = 64; // of one zone's servers; the root has 26

export interface ResolverOptions {
  /** `host`, `host:port`, `[v6]:port` or an IPv6 address; default, or when empty: the system's. */
  readonly servers?: readonly string[];
  /** Milliseconds that one server has for one try; default 5_000. */
  readonly timeout?: number;
  /** Where the servers of a zone listen; default 53. */
  readonly authoritativePort?: number;
}

/** What one server says a name's TXT records are, or why it didn't. */
export interface TxtAnswer {
  readonly server: string;
  readonly values: readonly string[] | undefined;
  readonly error?: string;
}

/** Nobody answered, or only with an error; or there is no such zone. */
export class ResolverError extends Error {}

/** `host:port` each, in the order in which they are asked. */
type Servers = readonly string[];
/** Where CNAMEs led, and what is there. */
type Found = { readonly canonicalName: string; readonly records: readonly DnsRecord[] };
/** What the log calls a server, and where it listens: nowhere when it has no address. */
type Asked = readonly [label: string, at: Servers];

/**
 * Names may have a last dot; those in answers have none and are lower case. Methods reject with
 * ResolverError, with DnsMessageError for a malformed name or record, or with the signal's reason.
 */
export class Resolver {
  /** Servers were given. */
  readonly explicit: boolean;
  readonly #options: Required<ResolverOptions>;

  /** Throws ResolverError for a server that isn't one. */
  constructor({ servers = [], timeout = TIMEOUT, authoritativePort = PORT }: ResolverOptions = {}) {
    this.#options = { servers: servers.map(parseServer), timeout, authoritativePort };
    this.explicit = servers.length > 0;
  }

  /** IPv4 first; [] when the name has none or isn't there. An error at one family only is none. */
  async addresses(name: string, signal?: AbortSignal): Promise<string[]> {
    const both = [TYPE.A, TYPE.AAAA].map((type) => this.#query(name, type, signal));
    const results = await Promise.allSettled(both);
    const records = results.flatMap((one) => one.status === "fulfilled" ? one.value.records : []);
    const failed = results.find((one) => one.status === "rejected");
    if (records.length === 0 && failed) throw failed.reason;
    return records.map(({ data }) => dns.addressText(data));
  }

  /** `at`: the authoritative servers to ask instead. */
  async txt(name: string, signal?: AbortSignal, at?: Servers): Promise<string[]> {
    const { records } = await this.#query(name, TYPE.TXT, signal, at);
    return records.map(({ data }) => dns.txtStrings(data));
  }

  /**
   * RFC 8659 section 3: the records at the name, or at its nearest parent that has some, and which
   * name that is; "" and [] when there are none.
   */
  async caa(name: string, signal?: AbortSignal): Promise<{ name: string; records: CaaRecord[] }> {
    for (const candidate of dns.ancestors(spell(name))) {
      const { records } = await this.#query(candidate, TYPE.CAA, signal);
      if (records.length === 0) continue;
      return { name: candidate, records: records.map(({ data }) => dns.caaRecord(data)) };
    }
    return { name: "", records: [] };
  }

  /**
   * Where the CNAMEs from the name lead; nothing needs to be there yet. They are asked for one by
   * one: a question for TXT could make a server remember that there is none (RFC 2308).
   */
  async canonicalName(name: string, signal?: AbortSignal): Promise<string> {
    return (await this.#query(name, TYPE.CNAME, signal)).canonicalName;
  }

  /** The zone that the name is in; the root doesn't count. */
  async zoneOf(name: string, signal?: AbortSignal): Promise<string> {
    const candidates = dns.ancestors(spell(name));
    for (const candidate of candidates) {
      const { answers, authorities } = await this.#ask(candidate, TYPE.SOA, signal);
      const records = [...answers, ...authorities];
      // No zone starts at a CNAME, and the SOA record beside one is of the zone that it leads to.
      if (records.some((one) => one.type === TYPE.CNAME && one.name === candidate)) continue;
      const soa = records.find((one) => one.type === TYPE.SOA && candidates.includes(one.name));
      if (soa) return soa.name;
    }
    throw new ResolverError(`no zone found for ${JSON.stringify(name)}: no SOA at it or above it`);
  }

  /**
   * The name's TXT records, as each address of each server of its zone has them, CNAMEs followed
   * before; or as each server that was given has them. What fails is in the list with its error,
   * but for IPv6 addresses while there is something else: many hosts have no IPv6.
   */
  async txtEverywhere(name: string, signal?: AbortSignal): Promise<readonly TxtAnswer[]> {
    const target = this.explicit ? name : await this.canonicalName(name, signal);
    const asked: readonly Asked[] = this.explicit
      ? this.#options.servers.map((server) => [server, [server]])
      : await this.#authorities(target, signal);
    const answers = await Promise.all(asked.map(([server, at]) =>
      this.txt(target, signal, at).then(
        (values): TxtAnswer => ({ server, values }),
        (error: Error): TxtAnswer => ({ server, values: undefined, error: error.message }),
      )
    ));
    signal?.throwIfAborted();
    const isIPv6Failure = ({ server, values }: TxtAnswer) => !values && /:.*:/.test(server);
    const rest = answers.filter((answer) => !isIPv6Failure(answer));
    return rest.length > 0 ? rest : answers;
  }

  async #authorities(name: string, signal?: AbortSignal): Promise<Asked[]> {
    const zone = await this.zoneOf(name, signal);
    const { records } = await this.#query(zone, TYPE.NS, signal);
    const names = new Set(records.slice(0, MAX_ADDRESSES).map(({ data }) => dns.nameOf(data)));
    if (names.size === 0) throw new ResolverError(`no NS records at ${JSON.stringify(zone)}`);
    const servers = [...names].map(async (server): Promise<Asked[]> => {
      const addresses = await this.addresses(server, signal).catch(() => []);
      if (addresses.length === 0) return [[server, []]];
      return addresses.map((address) => {
        return [`${server} (${address})`, [joinHostPort(address, this.#options.authoritativePort)]];
      });
    });
    return (await Promise.all(servers)).flat().slice(0, MAX_ADDRESSES);
  }

  /** The records of a type where the CNAMEs from the name lead. */
  async #query(name: string, type: number, signal?: AbortSignal, at?: Servers): Promise<Found> {
    const chain = [spell(name)];
    for (;;) {
      const asked = chain.at(-1)!;
      const { answers } = await this.#ask(asked, type, signal, at);
      while (follow(answers, chain));
      const canonicalName = chain.at(-1)!;
      const records = answers.filter((one) => one.type === type && one.name === canonicalName);
      // A server that doesn't know where a CNAME leads says that there is one, and no more.
      if (records.length > 0 || canonicalName === asked) return { canonicalName, records };
    }
  }

  /** The first answer that says what there is, or that there is nothing. */
  async #ask(name: string, type: number, signal?: AbortSignal, at?: Servers): Promise<DnsMessage> {
    const servers = at ?? (this.explicit ? this.#options.servers : systemServers());
    const faults = new Map<string, string>();
    for (let round = 0; round < TRIES; round++) {
      for (const server of servers) {
        // What doesn't know EDNS may answer with an error, or not (RFC 6891 7): first with it.
        const query = dns.encodeMessage({
          id: randomInt(65_536), // RFC 5452 9.2
          rd: at === undefined || this.explicit, // a zone's own server isn't asked to look further
          questions: [{ name, type, class: CLASS.IN }],
          additionals: round === 0 ? [dns.EDNS] : [],
        });
        try {
          const message = await exchange(server, query, this.#options.timeout, signal);
          const { rcode } = message;
          if (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN) return message;
          faults.set(server, `answered ${nameIn(RCODE, rcode)}`);
        } catch (error) {
          signal?.throwIfAborted();
          faults.set(server, messageOf(error));
        }
      }
    }
    const why = [...faults].map(([server, fault]) => `${server} ${fault}`).join(", ");
    const what = `${nameIn(TYPE, type)} of ${JSON.stringify(name)}`;
    throw new ResolverError(`can't look up ${what}: ${why || "no server to ask"}`);
  }
}

function parseServer(text: string): string {
  const { host, port = PORT } = isIPv6(text) ? { host: text } : splitHostPort(text) ?? {};
  if (host !== undefined) return joinHostPort(host, port);
  throw new ResolverError(`invalid server ${JSON.stringify(text)}: expected a host, or host:port`);
}

/** Deno (2.9) lists them twice, and with `--allow-sys=networkInterfaces` only. */
function systemServers(): string[] {
  try {
    return [...new Set(system.getServers())].map(parseServer);
  } catch (error) {
    throw new ResolverError(`can't tell the system's DNS servers: ${messageOf(error)}`);
  }
}

/** The one spelling of a name: lower case, without its last dot. */
const spell = (name: string): string => dns.nameOf(dns.encodeName(name));
const messageOf = (error: unknown): string => (error as Error).message;
const nameIn = (table: Readonly<Record<string, number>>, value: number): string =>
  Object.keys(table).find((name) => table[name] === value) ?? `code ${value}`;

/** Adds where the CNAME at the chain's end leads; false when there is none. */
function follow(records: readonly DnsRecord[], chain: string[]): boolean {
  const alias = records.find((one) => one.type === TYPE.CNAME && one.name === chain.at(-1));
  if (alias === undefined) return false;
  const next = dns.nameOf(alias.data);
  if (!chain.includes(next) && chain.length <= MAX_ALIASES) return chain.push(next) > 0;
  throw new ResolverError(`CNAMEs from "${chain[0]}" lead in a loop or over ${MAX_ALIASES} names`);
}

/** One query to one server, for at most `ms` milliseconds from when its address is known. */
async function exchange(
  server: string,
  query: Buffer,
  ms: number,
  outer: AbortSignal | undefined,
): Promise<DnsMessage> {
  const { host, port = PORT } = splitHostPort(server)!;
  const inner = new AbortController();
  const timer = setTimeout(() => inner.abort(new ResolverError("timed out")), ms);
  const signal = AbortSignal.any(outer ? [inner.signal, outer] : [inner.signal]);
  try {
    const { address } = await system.promises.lookup(host);
    signal.throwIfAborted();
    const peer = { host: address, port };
    const answer = await overUdp(peer, query, signal);
    if (!answer.tc) return answer;
    const whole = answerTo(query, await overTcp(peer, query, signal));
    if (whole && !whole.tc) return whole;
    throw new ResolverError("answered something else over TCP");
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    inner.abort(); // closes the sockets
  }
}

type Peer = { readonly host: string; readonly port: number };

async function overUdp(peer: Peer, query: Buffer, signal: AbortSignal): Promise<DnsMessage> {
  const { host, port } = peer;
  const sender = parseNetworks(canonicalAddress(host)); // however the socket spells it
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  signal.addEventListener("abort", () => socket.close());
  const messages = on(socket, "message", { signal });
  // Connected, so that Node is told when nobody listens there; Deno (2.9) hears all senders still.
  socket.once("connect", () => socket.send(query)).connect(port, host);
  for await (const [bytes, from] of messages) {
    const answer = from.port === port && sender.has(from.address) && answerTo(query, bytes);
    if (answer) return answer;
  }
  throw signal.reason;
}

/** The message if it answers the query; undefined if it could be anyone's (RFC 5452 9.1). */
function answerTo(query: Buffer, bytes: Buffer): DnsMessage | undefined {
  if (!bytes.subarray(0, 2).equals(query.subarray(0, 2))) return undefined;
  const answer = dns.decodeMessage(bytes);
  const isSame = isDeepStrictEqual(answer.questions, dns.decodeMessage(query).questions);
  return answer.qr && isSame ? answer : undefined;
}

/** RFC 7766 8: a length of two octets, then the message. */
async function overTcp(peer: Peer, query: Buffer, signal: AbortSignal): Promise<Buffer> {
  const socket = net.connect(peer);
  signal.addEventListener("abort", () => socket.destroy());
  socket.write(Buffer.concat([Buffer.of(query.length >> 8, query.length & 255), query]));
  const buffer = Buffer.alloc(2 + dns.MAX_MESSAGE);
  let size = 0;
  for await (const chunk of socket) {
    size += (chunk as Buffer).copy(buffer, size);
    const end = 2 + buffer.readUInt16BE(0);
    if (size > 1 && size >= end) return buffer.subarray(2, end);
  }
  throw new ResolverError("closed before its answer was complete");
}
