/**
 * A DNS client (RFC 1035 section 4.2, RFC 5452, RFC 7766): what is published now, since nothing is
 * remembered from one call to the next. Recursive servers are asked for everything, and for
 * txtEverywhere() those that the zone itself lists. Needs `dnsmsg.ts`, `addr.ts`, `node:dgram`,
 * `node:net`, `node:dns` and, where that may not say which the system's servers are,
 * /etc/resolv.conf.
 *
 * Each query has its own random id and port. An answer counts only from the address and port that
 * were asked, with that id and that question; a truncated one is asked for again over TCP. There is
 * no DNSSEC: the servers that are asked, and the way to them, are trusted.
 */
import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import system from "node:dns";
import { on, setMaxListeners } from "node:events";
import { readFileSync } from "node:fs";
import net, { isIP, isIPv6 } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { canonicalAddress, joinHostPort, splitHostPort } from "./addr.ts";
import * as dns from "./dnsmsg.ts";
import { CLASS, RCODE, TYPE } from "./dnsmsg.ts";
import type { CaaRecord, DnsMessage, DnsRecord } from "./dnsmsg.ts";

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
  /** How often each server is asked; default 2. */
  readonly tries?: number;
  /** Where the servers of a zone listen; default 53. */
  readonly authoritativePort?: number;
}

export interface Answer {
  /** NOERROR or NXDOMAIN: with CNAMEs, that of the last name (RFC 6604). */
  readonly rcode: number;
  /** Those of the type that was asked for, at `canonicalName`, where the CNAMEs led. */
  readonly records: readonly DnsRecord[];
  readonly canonicalName: string;
  readonly server: string;
}

/** What one server says a name's TXT records are, or why it didn't. */
export interface TxtAnswer {
  readonly server: string;
  readonly values: readonly string[] | undefined;
  readonly error?: string;
}

/** Nobody answered, or only with an error, whose `rcode` it has; or there is no such zone. */
export class ResolverError extends Error {
  readonly rcode: number | undefined;

  constructor(message: string, rcode?: number) {
    super(message);
    this.rcode = rcode;
  }
}

/** Who is asked: `host:port` each, in this order. */
type Via = { readonly servers: readonly string[]; readonly recursion: boolean };

/**
 * Names may have a last dot; those in answers have none and are lower case. Methods reject with
 * ResolverError, with DnsMessageError for a name or record that is malformed, or the signal's
 * reason.
 */
export class Resolver {
  /** Servers were given. */
  readonly explicit: boolean;
  readonly #options: ResolverOptions;
  readonly #given: readonly string[];

  /** Throws ResolverError for a server that isn't one. */
  constructor(options: ResolverOptions = {}) {
    this.#options = options;
    this.#given = (options.servers ?? []).map(parseServer);
    this.explicit = this.#given.length > 0;
  }

  /** Records of one TYPE; CNAMEs are followed unless they are what is asked for. */
  async query(name: string, type: number, signal?: AbortSignal): Promise<Answer> {
    return await this.#query(this.#recursive(), name, type, signal);
  }

  /** IPv4 first; [] when the name has none or isn't there. An error at one family only is none. */
  async addresses(name: string, signal?: AbortSignal): Promise<string[]> {
    const both = [TYPE.A, TYPE.AAAA].map((type) => this.query(name, type, signal));
    const results = await Promise.allSettled(both);
    const records = results.flatMap((one) => one.status === "fulfilled" ? one.value.records : []);
    const failed = results.find((one) => one.status === "rejected");
    if (records.length === 0 && failed) throw failed.reason;
    return records.map(({ data }) => dns.addressText(data));
  }

  async txt(name: string, signal?: AbortSignal): Promise<string[]> {
    const { records } = await this.query(name, TYPE.TXT, signal);
    return records.map(({ data }) => dns.txtStrings(data));
  }

  /**
   * RFC 8659 section 3: the records at the name, or at its nearest parent that has some, and which
   * name that is; "" and [] when there are none. A `*.` in front doesn't count.
   */
  async caa(name: string, signal?: AbortSignal): Promise<{ name: string; records: CaaRecord[] }> {
    for (const candidate of ancestors(name.replace(/^\*\./, ""))) {
      const { records } = await this.query(candidate, TYPE.CAA, signal);
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
    const chain = [spell(name)];
    let isAlias = true;
    while (isAlias) {
      const { records } = await this.query(chain.at(-1)!, TYPE.CNAME, signal);
      isAlias = follow(records, chain);
    }
    return chain.at(-1)!;
  }

  /** The zone that the name is in; the root doesn't count. */
  async zoneOf(name: string, signal?: AbortSignal): Promise<string> {
    for (const candidate of ancestors(name)) {
      const { message } = await this.#ask(this.#recursive(), candidate, TYPE.SOA, signal);
      const records = [...message.answers, ...message.authorities];
      // No zone starts at a CNAME, and the SOA record beside one is of the zone that it leads to.
      if (records.some((one) => one.type === TYPE.CNAME && one.name === candidate)) continue;
      const parents = ancestors(candidate);
      const soa = records.find((one) => one.type === TYPE.SOA && parents.includes(one.name));
      if (soa) return soa.name;
    }
    throw new ResolverError(`no zone found for ${JSON.stringify(name)}: no SOA at it or above it`);
  }

  /** The servers that a zone lists, at least one; no addresses where they can't be found. */
  async nameServers(
    zone: string,
    signal?: AbortSignal,
  ): Promise<readonly { name: string; addresses: readonly string[] }[]> {
    const { records } = await this.query(zone, TYPE.NS, signal);
    const names = new Set(records.slice(0, MAX_ADDRESSES).map(({ data }) => dns.nameOf(data)));
    if (names.size === 0) throw new ResolverError(`no NS records at ${JSON.stringify(zone)}`);
    const servers = [...names].map(async (name) => {
      return { name, addresses: await this.addresses(name, signal).catch(() => []) };
    });
    return await Promise.all(servers).finally(() => signal?.throwIfAborted());
  }

  /**
   * The name's TXT records, as each address of each server of its zone has them, CNAMEs followed
   * before; or as each server that was given has them. What fails is in the list with its error,
   * but for IPv6 addresses that don't answer while something else does: many hosts have no IPv6.
   */
  async txtEverywhere(name: string, signal?: AbortSignal): Promise<readonly TxtAnswer[]> {
    const target = this.explicit ? name : await this.canonicalName(name, signal);
    const asked = this.explicit
      ? this.#given.map((server) => ({ label: server, server, address: "" }))
      : await this.#authorities(target, signal);
    const each = asked.map(async ({ label, server, address }) => {
      const via = { servers: server === "" ? [] : [server], recursion: this.explicit };
      try {
        const { records } = await this.#query(via, target, TYPE.TXT, signal);
        const values = records.map(({ data }) => dns.txtStrings(data));
        return { answer: { server: label, values }, isKept: true };
      } catch (error) {
        const isSilent = error instanceof ResolverError && error.rcode === undefined;
        const answer = { server: label, values: undefined, error: messageOf(error) };
        return { answer, isKept: !isSilent || !isIPv6(address) };
      }
    });
    const answers = await Promise.all(each);
    signal?.throwIfAborted();
    const kept = answers.filter(({ isKept }) => isKept);
    return (kept.length > 0 ? kept : answers).map(({ answer }) => answer);
  }

  /** The addresses of the servers of a name's zone; `server` is "" for one without an address. */
  async #authorities(
    name: string,
    signal?: AbortSignal,
  ): Promise<{ label: string; server: string; address: string }[]> {
    const { authoritativePort = PORT } = this.#options;
    const servers = await this.nameServers(await this.zoneOf(name, signal), signal);
    const all = servers.flatMap(({ name, addresses }) => {
      if (addresses.length === 0) return { label: name, server: "", address: "" };
      return addresses.map((address) => {
        const server = joinHostPort(address, authoritativePort);
        return { label: `${name} (${address})`, server, address };
      });
    });
    return all.slice(0, MAX_ADDRESSES);
  }

  #recursive(): Via {
    return { servers: this.explicit ? this.#given : systemServers(), recursion: true };
  }

  async #query(via: Via, name: string, type: number, signal?: AbortSignal): Promise<Answer> {
    const chain = [spell(name)];
    for (;;) {
      const asked = chain.at(-1)!;
      const { message, server } = await this.#ask(via, asked, type, signal);
      const { rcode, answers } = message;
      while (type !== TYPE.CNAME && follow(answers, chain));
      const canonicalName = chain.at(-1)!;
      const records = answers.filter((one) => one.type === type && one.name === canonicalName);
      // A server that doesn't know where a CNAME leads says that there is one, and no more.
      const isAll = records.length > 0 || canonicalName === asked || rcode === RCODE.NXDOMAIN;
      if (isAll) return { rcode, records, canonicalName, server };
    }
  }

  /** The first answer that says what there is, or that there is nothing. */
  async #ask(
    via: Via,
    name: string,
    type: number,
    signal?: AbortSignal,
  ): Promise<{ message: DnsMessage; server: string }> {
    const { timeout = TIMEOUT, tries = TRIES } = this.#options;
    const faults = new Map<string, string>();
    let rcode: number | undefined;
    for (let round = 0; round < tries; round++) {
      for (const server of via.servers) {
        // What doesn't know EDNS may answer with an error, or not (RFC 6891 7): first with it.
        const query = dns.encodeMessage({
          id: randomInt(65_536), // RFC 5452 9.2
          rd: via.recursion,
          questions: [{ name, type, class: CLASS.IN }],
          additionals: round === 0 ? [dns.EDNS] : [],
        });
        try {
          const message = await exchange(server, query, timeout, signal);
          rcode = message.rcode;
          if (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN) return { message, server };
          faults.set(server, `answered ${nameIn(RCODE, rcode, "rcode")}`);
        } catch (error) {
          signal?.throwIfAborted();
          faults.set(server, messageOf(error));
        }
      }
    }
    const why = [...faults].map(([server, fault]) => `${server} ${fault}`).join(", ");
    const what = `${nameIn(TYPE, type, "type")} of ${JSON.stringify(name)}`;
    throw new ResolverError(`can't look up ${what}: ${why || "no server to ask"}`, rcode);
  }
}

function parseServer(text: string): string {
  const { host, port = PORT } = isIPv6(text) ? { host: text } : splitHostPort(text) ?? {};
  // The spelling that a socket reports: answers are known by their sender.
  if (host?.includes(":")) return joinHostPort(host.replace(/^[^%]+/, shortest), port);
  if (host !== undefined) return joinHostPort(host, port);
  throw new ResolverError(`invalid server ${JSON.stringify(text)}: expected a host, or host:port`);
}

const shortest = (ipv6: string): string => new URL(`http://[${ipv6}]`).hostname.slice(1, -1);

/** Deno (2.9) lists them twice, and without `--allow-sys` not at all: there the file tells. */
function systemServers(): string[] {
  try {
    return [...new Set(system.getServers())].map(parseServer);
  } catch {
    const lines = readFileSync("/etc/resolv.conf", "utf8").matchAll(/^nameserver[ \t]+(\S+)/gm);
    return [...lines].map(([, server = ""]) => parseServer(server));
  }
}

/** The one spelling of a name: lower case, without its last dot. */
const spell = (name: string): string => dns.nameOf(dns.encodeName(name));
const messageOf = (error: unknown): string => error instanceof Error ? error.message : "failed";
const nameIn = (table: Readonly<Record<string, number>>, value: number, word: string): string =>
  Object.keys(table).find((name) => table[name] === value) ?? `${word} ${value}`;

/** The name and its parents, the root excepted. */
function ancestors(name: string): string[] {
  const labels = spell(name).split(".").filter((label) => label !== "");
  return labels.map((_, i) => labels.slice(i).join("."));
}

/** Adds where the CNAME at the chain's end leads; false when there is none. */
function follow(records: readonly DnsRecord[], chain: string[]): boolean {
  const alias = records.find((one) => one.type === TYPE.CNAME && one.name === chain.at(-1));
  if (alias === undefined) return false;
  const next = dns.nameOf(alias.data);
  if (!chain.includes(next) && chain.length <= MAX_ALIASES) return chain.push(next) > 0;
  throw new ResolverError(
    `CNAMEs from "${chain[0]}" lead in a loop or on over ${MAX_ALIASES} names`,
  );
}

/** One query to one server, for at most `ms` milliseconds; nothing stays open. */
async function exchange(
  server: string,
  query: Buffer,
  ms: number,
  outer: AbortSignal | undefined,
): Promise<DnsMessage> {
  outer?.throwIfAborted();
  if (outer) setMaxListeners(0, outer); // Node 20 warns of more than ten
  const controller = new AbortController();
  const { signal } = controller;
  const timer = setTimeout(() => controller.abort(new ResolverError("timed out")), ms);
  const stop = () => controller.abort(outer?.reason);
  outer?.addEventListener("abort", stop);
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
  try {
    return await Promise.race([overUdpOrTcp(server, query, signal), aborted]);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", stop);
    controller.abort(); // closes the sockets
  }
}

async function overUdpOrTcp(
  server: string,
  query: Buffer,
  signal: AbortSignal,
): Promise<DnsMessage> {
  const { host, port = PORT } = splitHostPort(server)!;
  const { address } = isIP(host) ? { address: host } : await system.promises.lookup(host);
  signal.throwIfAborted();
  const answer = await overUdp(address, port, query, signal);
  if (!answer.tc) return answer;
  const whole = answerTo(query, await overTcp(address, port, query, signal));
  if (whole && !whole.tc) return whole;
  throw new ResolverError("answered something else over TCP");
}

async function overUdp(
  address: string,
  port: number,
  query: Buffer,
  signal: AbortSignal,
): Promise<DnsMessage> {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  signal.addEventListener("abort", () => socket.close());
  const messages = on(socket, "message", { signal });
  // Connected, so that Node is told when nobody listens there; Deno (2.9) hears all senders still.
  socket.once("connect", () => socket.send(query)).connect(port, address);
  for await (const [bytes, from] of messages) {
    if (from.port !== port || canonicalAddress(from.address) !== canonicalAddress(address)) {
      continue;
    }
    const answer = answerTo(query, bytes);
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
async function overTcp(
  host: string,
  port: number,
  query: Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  const socket = net.connect({ host, port });
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
