/** The resolver against servers that say what the test wants. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import type { RemoteInfo, Socket } from "node:dgram";
import { once } from "node:events";
import { getServers, setServers } from "node:dns";
import net from "node:net";
import process from "node:process";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { CLASS, decodeMessage, EDNS, encodeMessage, encodeName } from "../lib/dnsmsg.ts";
import { RCODE, txtData, TYPE } from "../lib/dnsmsg.ts";
import type { DnsMessage, DnsRecord } from "../lib/dnsmsg.ts";
import { Resolver, ResolverError } from "../lib/resolver.ts";

interface Asked {
  readonly message: DnsMessage;
  readonly over: "udp" | "tcp";
  readonly from: { readonly address: string; readonly port: number };
}
/** "half": over TCP, the start of one. */
type Reply = Partial<DnsMessage> | "half" | undefined;

interface Server {
  readonly text: string;
  readonly port: number;
  readonly asked: Asked[];
  readonly udp: Socket;
  /** Emits "left" when a client has closed its connection. */
  readonly tcp: net.Server;
}

/** UDP and TCP at one port: one that is free for the first may not be for the other. */
async function bindBoth(
  host: string,
  port: number,
  tries = 5,
): Promise<{ udp: Socket; tcp: net.Server }> {
  const udp = createSocket(host.includes(":") ? "udp6" : "udp4");
  const tcp = net.createServer();
  try {
    await once(udp.bind(port, host), "listening");
    await once(tcp.listen(udp.address().port, host), "listening");
    return { udp, tcp };
  } catch (error) {
    udp.close();
    if (port !== 0 || tries === 1) throw error;
    return await bindBoth(host, port, tries - 1);
  }
}

/** A server whose answers have the id and the question that were asked, unless they say others. */
async function serve(
  t: TestContext,
  reply: (asked: Asked, server: Server) => Reply,
  { host = "127.0.0.1", port = 0 }: { host?: string; port?: number } = {},
): Promise<Server> {
  const { udp, tcp } = await bindBoth(host, port);
  t.after(() => udp.close());
  t.after(() => tcp.close());
  const bound = udp.address().port;
  const text = host.includes(":") ? `[${host}]:${bound}` : `${host}:${bound}`;
  const server: Server = { text, port: bound, asked: [], udp, tcp };
  const answer = (
    bytes: Buffer,
    over: "udp" | "tcp",
    from: Asked["from"],
  ): Buffer | "half" | undefined => {
    const asked = { message: decodeMessage(bytes), over, from };
    server.asked.push(asked);
    const said = reply(asked, server);
    const { id, questions } = asked.message;
    return typeof said === "object" ? encodeMessage({ id, questions, qr: true, ...said }) : said;
  };
  udp.on("message", (bytes, from: RemoteInfo) => {
    const bytesBack = answer(bytes, "udp", from);
    if (typeof bytesBack === "object") udp.send(bytesBack, from.port, from.address);
  });
  tcp.on("connection", (socket) => {
    socket.once("close", () => tcp.emit("left"));
    t.after(() => socket.destroy());
    socket.on("error", () => {}).on("data", (bytes: Buffer) => {
      const from = { address: socket.remoteAddress!, port: socket.remotePort! };
      const bytesBack = answer(bytes.subarray(2), "tcp", from);
      if (bytesBack === "half") return void socket.end(Buffer.of(1, 0, 0));
      if (!bytesBack) return;
      const length = Buffer.of(bytesBack.length >> 8, bytesBack.length & 255);
      for (const byte of Buffer.concat([length, bytesBack])) socket.write(Buffer.of(byte));
    });
  });
  return server;
}

const make = (type: number, toData: (text: string) => Buffer) => (name: string, text: string) => ({
  ...{ name, type, class: CLASS.IN, ttl: 1 },
  data: toData(text),
});
const a = make(TYPE.A, (text) => Buffer.from(text.split(".").map(Number)));
const aaaa = make(TYPE.AAAA, (hex) => Buffer.from(hex.padStart(32, "0"), "hex"));
const txt = make(TYPE.TXT, txtData);
const cname = make(TYPE.CNAME, encodeName);
const ns = make(TYPE.NS, encodeName);
const soa = make(TYPE.SOA, (name) => Buffer.concat([encodeName(name), Buffer.alloc(21)]));
const caa = make(TYPE.CAA, (value) => Buffer.from(`\0\x05issue${value}`));

/** Answers from these records as an authoritative server does that follows no CNAME. */
function zone(records: readonly DnsRecord[], soaAt?: string): (asked: Asked) => Reply {
  return ({ message }) => {
    const { name, type } = message.questions[0]!;
    const here = records.filter((record) => record.name === name);
    const answers = here.filter((one) => one.type === type || one.type === TYPE.CNAME);
    const isUnder = records.some((record) => record.name.endsWith(`.${name}`));
    const rcode = here.length > 0 || isUnder ? RCODE.NOERROR : RCODE.NXDOMAIN;
    const authorities = answers.length > 0 || soaAt === undefined ? [] : [soa(soaAt, "ns")];
    return { rcode, answers, authorities };
  };
}

const at = (...servers: readonly Server[]): Resolver =>
  new Resolver({ servers: servers.map(({ text }) => text), timeout: 10_000 });
const quick = (...servers: readonly Server[]): Resolver =>
  new Resolver({ servers: servers.map(({ text }) => text), timeout: 300 });

/** Until a UDP port can be had, which Deno (2.9) lets go of a little after close(). */
async function freePort(port: number): Promise<void> {
  const end = performance.now() + 5_000;
  for (let isFree = false; !isFree;) {
    const socket = createSocket("udp4");
    try {
      await once(socket.bind(port, "127.0.0.1"), "listening");
      isFree = true;
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    } finally {
      socket.close();
    }
  }
}

test("a query desires recursion, offers EDNS, and has a new id and port each time", async (t) => {
  const server = await serve(t, zone([txt("a.test", "one")]));
  const resolver = at(server);
  assert.deepEqual(await resolver.txt("A.test."), ["one"]);
  for (let i = 0; i < 15; i++) assert.deepEqual(await resolver.txt("a.test"), ["one"]);
  const [{ message }] = server.asked as [Asked];
  assert.equal(message.rd, true);
  assert.deepEqual(message.additionals, [EDNS]);
  assert.deepEqual(message.questions, [{ name: "a.test", type: TYPE.TXT, class: CLASS.IN }]);
  assert.ok(new Set(server.asked.map(({ message }) => message.id)).size > 10);
  assert.ok(new Set(server.asked.map(({ from }) => from.port)).size > 10);
});

test("a query passes over what isn't an answer to it", async (t) => {
  const other = createSocket("udp4");
  t.after(() => other.close());
  const server = await serve(t, ({ message, from }, { udp }) => {
    const good = { id: message.id, qr: true, questions: message.questions };
    const bad = { ...good, answers: [txt("a.test", "bad")] };
    const [question] = message.questions;
    const send = (socket: Socket, bytes: Buffer) => socket.send(bytes, from.port, from.address);
    send(other, encodeMessage(bad));
    send(udp, Buffer.of(1));
    send(udp, encodeMessage({ ...bad, id: message.id ^ 1 }));
    send(udp, encodeMessage({ ...bad, qr: false }));
    send(udp, encodeMessage({ ...bad, questions: [] }));
    send(udp, encodeMessage({ ...bad, questions: [{ ...question!, name: "b.test" }] }));
    send(udp, encodeMessage({ ...bad, questions: [{ ...question!, type: TYPE.A }] }));
    send(udp, encodeMessage({ ...bad, questions: [question!, question!] }));
    return { answers: [txt("a.test", "good")] };
  });
  assert.deepEqual(await at(server).txt("a.test"), ["good"]);
  assert.equal(server.asked.length, 1);
});

test("a query takes an answer that spells the name in capitals", async (t) => {
  const server = await serve(t, ({ message, from }, { udp }) => {
    const answer = encodeMessage({ ...message, qr: true, answers: [txt("a.test", "1")] });
    const capitals = Buffer.from(answer.toString("latin1").replaceAll("test", "TeST"), "latin1");
    udp.send(capitals, from.port, from.address);
    return undefined;
  });
  assert.deepEqual(await at(server).txt("a.test"), ["1"]);
});

test("a query asks again over TCP when an answer is truncated", async (t) => {
  const long = "x".repeat(5_000);
  const server = await serve(t, ({ over }) => ({
    tc: over === "udp",
    answers: over === "udp" ? [] : [txt("a.test", long)],
  }));
  assert.deepEqual(await at(server).txt("a.test"), [long]);
  assert.deepEqual(server.asked.map(({ over }) => over), ["udp", "tcp"]);
});

test("a query takes no half, foreign or truncated answer over TCP", async (t) => {
  const replies: [(asked: Asked) => Reply, RegExp][] = [
    [() => "half", /closed before its answer was complete/],
    [({ message }) => ({ id: message.id ^ 1 }), /answered something else over TCP/],
    [() => ({ questions: [] }), /answered something else over TCP/],
    [() => ({ tc: true }), /answered something else over TCP/],
  ];
  for (const [reply, expected] of replies) {
    const server = await serve(t, (asked) => asked.over === "udp" ? { tc: true } : reply(asked));
    await assert.rejects(at(server).txt("a.test"), expected);
  }
});

test("a query fails at once for a malformed answer, and asks the next server", async (t) => {
  const bad = await serve(t, ({ message, from }, { udp }) => {
    const bytes = encodeMessage({ ...message, qr: true });
    udp.send(Buffer.concat([bytes, Buffer.of(0)]), from.port, from.address);
    return undefined;
  });
  const good = await serve(t, zone([txt("a.test", "1")]));
  assert.deepEqual(await at(bad, good).txt("a.test"), ["1"]);
  await assert.rejects(at(bad).txt("a.test"), {
    name: "Error",
    message: `can't look up TXT of "a.test": ${bad.text} message with bytes after its last record`,
  });
});

test("a query waits for no server too long, and asks each again without EDNS", async (t) => {
  const silent = await serve(t, () => undefined);
  const old = await serve(
    t,
    ({ message }) =>
      message.additionals.length > 0 ? { rcode: RCODE.FORMERR } : { answers: [txt("a.test", "1")] },
  );
  assert.deepEqual(await quick(silent, old).txt("a.test"), ["1"]);
  assert.deepEqual(silent.asked.map(({ message }) => message.additionals), [[EDNS], []]);
  const expected = new ResolverError(`can't look up TXT of "a.test": ${silent.text} timed out`);
  await assert.rejects(quick(silent).txt("a.test"), expected);
});

test("when there are only errors, each server's is told", async (t) => {
  const first = await serve(t, () => ({ rcode: RCODE.SERVFAIL }));
  const second = await serve(t, () => ({ rcode: 9 }));
  const list = `${first.text} answered SERVFAIL, ${second.text} answered code 9`;
  const expected = new ResolverError(`can't look up TXT of "a.test": ${list}`);
  await assert.rejects(at(first, second).txt("a.test"), expected);
  assert.equal(first.asked.length, 2);
});

test("a query rejects with the signal's reason and leaves nothing open", async (t) => {
  const silent = await serve(t, ({ over }) => over === "udp" ? undefined : {});
  const stopped = new Error("stopped");
  const controller = new AbortController();
  const pending = Promise.allSettled(
    Array.from({ length: 20 }, () => at(silent).txt("a.test", controller.signal)),
  );
  while (silent.asked.length < 20) await once(silent.udp, "message");
  controller.abort(stopped);
  for (const result of await pending) {
    assert.equal(result.status === "rejected" && result.reason, stopped);
  }
  for (const { from } of silent.asked) await freePort(from.port);
  await assert.rejects(at(silent).txt("a.test", controller.signal), stopped);
  assert.equal(silent.asked.length, 20);
});

test("a query closes its TCP connection when the signal is aborted", async (t) => {
  const controller = new AbortController();
  const server = await serve(t, ({ over }) => {
    if (over === "tcp") controller.abort(new Error("stopped"));
    return over === "tcp" ? undefined : { tc: true };
  });
  const left = once(server.tcp, "left");
  await assert.rejects(at(server).txt("a.test", controller.signal), /stopped/);
  await left;
});

test("a query follows CNAMEs in an answer, and asks on when one leads out of it", async (t) => {
  const records = [cname("a.test", "b.test"), cname("b.test", "c.test"), txt("c.test", "1")];
  const whole = await serve(t, () => ({ answers: records }));
  assert.deepEqual(await at(whole).txt("a.test"), ["1"]);
  assert.equal(whole.asked.length, 1);
  const partial = await serve(t, zone(records));
  assert.deepEqual(await at(partial).txt("a.test"), ["1"]);
  assert.equal(partial.asked.length, 3);
  const nowhere = await serve(t, () => ({
    rcode: RCODE.NXDOMAIN,
    answers: [cname("a.test", "x.test")],
  }));
  assert.deepEqual(await at(nowhere).txt("a.test"), []);
});

test("a query follows ten CNAMEs and no more, and no loop", async (t) => {
  const chain = (count: number) =>
    Array.from({ length: count }, (_, i) => cname(`${i}.test`, `${i + 1}.test`));
  for (const reply of [zone, (records: DnsRecord[]) => () => ({ answers: records })]) {
    const ten = await serve(t, reply([...chain(10), txt("10.test", "1")]));
    assert.deepEqual(await at(ten).txt("0.test"), ["1"]);
    const eleven = await serve(t, reply([...chain(11), txt("11.test", "1")]));
    await assert.rejects(at(eleven).txt("0.test"), /CNAMEs from "0.test" lead in a loop or/);
    await assert.rejects(at(eleven).canonicalName("0.test"), /CNAMEs from "0.test"/);
    const loop = await serve(t, reply([cname("a.test", "b.test"), cname("b.test", "a.test")]));
    await assert.rejects(at(loop).txt("a.test"), ResolverError);
    assert.ok(loop.asked.length <= 2);
    await assert.rejects(at(loop).canonicalName("a.test"), ResolverError);
    const self = await serve(t, reply([cname("a.test", "a.test")]));
    await assert.rejects(at(self).canonicalName("a.test"), ResolverError);
  }
});

test("canonicalName() needs nothing to be there where the CNAMEs lead", async (t) => {
  const records = [cname("_acme-challenge.a.test", "x.b.test"), cname("x.b.test", "y.b.test")];
  const server = await serve(
    t,
    (asked) => ({ ...zone(records)(asked) as object, rcode: RCODE.NXDOMAIN }),
  );
  assert.equal(await at(server).canonicalName("_ACME-challenge.a.test."), "y.b.test");
  assert.equal(await at(server).canonicalName("other.test"), "other.test");
  assert.ok(server.asked.every(({ message }) => message.questions[0]!.type === TYPE.CNAME));
});

test("addresses() gives both families, and one when the other fails", async (t) => {
  const server = await serve(
    t,
    zone([a("a.test", "192.0.2.1"), aaaa("a.test", "1"), txt("b.test", "")]),
  );
  assert.deepEqual(await at(server).addresses("a.test"), ["192.0.2.1", "::1"]);
  assert.deepEqual(await at(server).addresses("b.test"), []);
  assert.deepEqual(await at(server).addresses("none.test"), []);
  const half = await serve(
    t,
    ({ message }) =>
      message.questions[0]!.type === TYPE.A
        ? { answers: [a("a.test", "192.0.2.1")] }
        : { rcode: RCODE.SERVFAIL },
  );
  assert.deepEqual(await at(half).addresses("a.test"), ["192.0.2.1"]);
  const none = await serve(t, ({ message }) => ({
    rcode: message.questions[0]!.type === TYPE.A ? RCODE.NOERROR : RCODE.REFUSED,
  }));
  await assert.rejects(at(none).addresses("a.test"), /answered REFUSED/);
});

test("caa() climbs to the first name that has records", async (t) => {
  const server = await serve(
    t,
    zone([
      ...[caa("test", "far.example"), caa("b.test", "near.example"), cname("c.b.test", "d.e.test")],
      ...[caa("d.e.test", "alias.example"), caa("*.b.test", "wild.example"), txt("x.y.test", "")],
    ]),
  );
  const issue = (value: string) => [{ flags: 0, tag: "issue", value }];
  const rows: [string, string, string][] = [
    ["b.test", "b.test", "near.example"],
    ["b.test.", "b.test", "near.example"],
    ["z.a.b.test", "b.test", "near.example"],
    ["c.b.test", "c.b.test", "alias.example"],
    ["x.y.test", "test", "far.example"],
  ];
  for (const [name, found, value] of rows) {
    assert.deepEqual(await at(server).caa(name), { name: found, records: issue(value) }, name);
  }
  assert.deepEqual(await at(server).caa("a.example"), { name: "", records: [] });
});

test("caa() rejects when a name on the way can't be looked up or read", async (t) => {
  const failing = await serve(
    t,
    (asked) =>
      asked.message.questions[0]!.name === "b.test"
        ? { rcode: RCODE.SERVFAIL }
        : zone([caa("test", "x")])(asked),
  );
  await assert.rejects(at(failing).caa("a.b.test"), /answered SERVFAIL/);
  const bad = { ...caa("test", ""), data: Buffer.of(0, 9, 0x61) };
  const malformed = await serve(t, zone([bad]));
  await assert.rejects(at(malformed).caa("test"), /ends too early/);
});

test("zoneOf() finds the SOA record at or above the name", async (t) => {
  const server = await serve(t, (asked) => {
    const { name } = asked.message.questions[0]!;
    if (name === "sub.a.test") return { answers: [soa(name, "ns")] };
    // Beside a CNAME: the zone of its target, here even one that is above the name.
    if (name === "alias.sub.a.test") {
      return { answers: [cname(name, "www.a.test")], authorities: [soa("a.test", "ns")] };
    }
    if (name.endsWith("a.test")) return { authorities: [soa("a.test", "ns")] };
    if (name === "x.foreign.test") return { authorities: [soa("eign.test", "ns")] };
    return { rcode: RCODE.NXDOMAIN, authorities: [soa("", "ns")] };
  });
  const resolver = at(server);
  assert.equal(await resolver.zoneOf("a.test."), "a.test");
  assert.equal(await resolver.zoneOf("x.y.A.test"), "a.test");
  assert.equal(await resolver.zoneOf("sub.a.test"), "sub.a.test");
  assert.equal(await resolver.zoneOf("alias.sub.a.test"), "sub.a.test");
  await assert.rejects(resolver.zoneOf("x.foreign.test"), /no zone found for "x.foreign.test"/);
  await assert.rejects(resolver.zoneOf("nowhere.example"), /no zone found/);
});

test("txtEverywhere() tells what each server that was given says", async (t) => {
  const one = await serve(
    t,
    zone([cname("a.test", "b.test"), txt("b.test", "1"), txt("b.test", "2")]),
  );
  const two = await serve(t, zone([]));
  const three = await serve(t, () => ({ rcode: RCODE.REFUSED }));
  const resolver = at(one, two, three);
  assert.equal(resolver.explicit, true);
  assert.deepEqual(await resolver.txtEverywhere("a.test"), [
    { server: one.text, values: ["1", "2"] },
    { server: two.text, values: [] },
    {
      server: three.text,
      values: undefined,
      error: `can't look up TXT of "a.test": ${three.text} answered REFUSED`,
    },
  ]);
  const stopped = new Error("stopped");
  await assert.rejects(resolver.txtEverywhere("a.test", AbortSignal.abort(stopped)), stopped);
});

test("a server is a host and perhaps a port", () => {
  for (const server of ["192.0.2.1", "dns.test", "dns.test:5353", "::1", "[::1]", "[::1]:5353"]) {
    assert.equal(new Resolver({ servers: [server] }).explicit, true);
  }
  for (const server of ["", "dns.test:", "dns.test:0", "dns.test:65536", "::1:", "[::1", "[a]:1"]) {
    assert.throws(() => new Resolver({ servers: [server] }), /invalid server .*: expected a host/);
  }
  assert.equal(new Resolver({ servers: [] }).explicit, false);
  assert.equal(new Resolver().explicit, false);
});

test("a query finds a server by its name, and asks over IPv6", async (t) => {
  const server = await serve(t, zone([txt("a.test", "1")]), { host: "::1" });
  assert.deepEqual(await at(server).txt("a.test"), ["1"]);
  const spelled = new Resolver({ servers: [`[0:0::0:1]:${server.port}`] });
  assert.deepEqual(await spelled.txt("a.test"), ["1"]);
  const local = await serve(t, zone([txt("a.test", "1")]));
  const named = new Resolver({
    servers: [`localhost:${server.port}`, `localhost:${local.port}`],
    timeout: 2_000,
  });
  assert.deepEqual(await named.txt("a.test"), ["1"]);
});

/** The system's servers are those, until the test ends; this process's only. */
function useServers(t: TestContext, ...servers: readonly Server[]): void {
  const before = getServers();
  t.after(() => setServers(before));
  setServers(servers.map(({ text }) => text));
}

test("a resolver without servers asks the system's", async (t) => {
  const server = await serve(t, zone([txt("a.test", "1")]));
  useServers(t, server);
  assert.deepEqual(await new Resolver().txt("a.test"), ["1"]);
});

test("txtEverywhere() asks every address of every server of the zone", async (t) => {
  const recursive = await serve(t, (asked) => {
    const { type, name } = asked.message.questions[0]!;
    if (type === TYPE.SOA) return { authorities: [soa("b.test", "ns1.b.test")] };
    return zone([
      ...[cname("_acme-challenge.a.test", "x.b.test"), txt("x.b.test", "not asked")],
      ...[ns("b.test", "ns1.b.test"), ns("b.test", "ns2.b.test"), ns("b.test", "ns3.b.test")],
      ...[a("ns1.b.test", "127.0.0.1"), a("ns1.b.test", "127.0.0.2"), a("ns2.b.test", "127.0.0.3")],
      ...[aaaa("ns1.b.test", "1"), aaaa("ns2.b.test", "20010db8" + "1".padStart(24, "0"))],
    ], name)(asked);
  });
  useServers(t, recursive);
  const one = await serve(t, zone([txt("x.b.test", "1"), txt("x.b.test", "2")]));
  const { port } = one;
  const two = await serve(t, zone([txt("x.b.test", "1")]), { host: "127.0.0.2", port });
  await serve(t, () => ({ rcode: RCODE.REFUSED }), { host: "127.0.0.3", port });
  await serve(t, zone([]), { host: "::1", port });
  const resolver = new Resolver({ authoritativePort: port, timeout: 2_000 });
  assert.deepEqual(await resolver.txtEverywhere("_acme-challenge.A.test."), [
    { server: "ns1.b.test (127.0.0.1)", values: ["1", "2"] },
    { server: "ns1.b.test (127.0.0.2)", values: ["1"] },
    { server: "ns1.b.test (::1)", values: [] },
    {
      server: "ns2.b.test (127.0.0.3)",
      values: undefined,
      error: `can't look up TXT of "x.b.test": 127.0.0.3:${port} answered REFUSED`,
    },
    {
      server: "ns3.b.test",
      values: undefined,
      error: `can't look up TXT of "x.b.test": no server to ask`,
    },
  ]);
  assert.equal(one.asked[0]!.message.rd, false);
  assert.equal(two.asked.length, 1);
});

test("txtEverywhere() has IPv6 addresses that don't answer when nothing else is there", async (t) => {
  const nowhere = "20010db8" + "1".padStart(24, "0");
  const recursive = await serve(t, (asked) => {
    if (asked.message.questions[0]!.type === TYPE.SOA) return { authorities: [soa("test", "ns")] };
    return zone([ns("test", "ns.test"), aaaa("ns.test", nowhere), txt("a.test", "")])(asked);
  });
  useServers(t, recursive);
  const answers = await new Resolver({ timeout: 500 }).txtEverywhere("a.test");
  assert.deepEqual(answers.map(({ server, values }) => ({ server, values })), [
    { server: "ns.test (2001:db8::1)", values: undefined },
  ]);
  assert.match(answers[0]?.error ?? "", /^can't look up TXT of "a.test": \[2001:db8::1\]:53 /);
  const stopped = new Error("stopped");
  const signal = AbortSignal.abort(stopped);
  await assert.rejects(new Resolver().txtEverywhere("a.test", signal), stopped);
});

test("many queries may share a signal", async (t) => {
  const warnings: unknown[] = [];
  const warn = (warning: unknown) => void warnings.push(warning);
  process.on("warning", warn);
  t.after(() => process.off("warning", warn));
  const server = await serve(t, zone([txt("a.test", "1")]));
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 100 }, () => at(server).txt("a.test", signal)));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});
