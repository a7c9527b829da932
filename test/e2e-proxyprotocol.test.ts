/**
 * Centauri behind balancers that pass connections on and say with a PROXY header whose they are:
 * HAProxy, nginx, and some that a test plays.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import { test, type TestContext } from "node:test";
import { freePorts } from "./acmepeers.ts";
import { obtained, servedSerial, startWith } from "./acmesite.ts";
import { type HaproxyFrontend, needNginxStream } from "./balancers.ts";
import { startHaproxy, startNginxStream, startRelay } from "./balancers.ts";
import { until } from "./recorder.ts";
import { type Centauri, httpsExchange, needProgram, run, runCentauri } from "./support.ts";
import { type Scope, startCentauri } from "./support.ts";
import { connect, ok, readMessage, startServer, wire } from "./wire.ts";

const LISTED = "127.0.0.1/32, ::1";
const GET = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";

/** Its answers are the address that a request came from, as the upstream is told; so is `seen`. */
async function start(
  t: Scope,
  env: Readonly<Record<string, string>> = {},
): Promise<Centauri & { readonly seen: readonly string[] }> {
  const seen: string[] = [];
  const upstream = await startServer(t, ({ head }) => {
    const address = /^x-forwarded-for: (.*)\r$/im.exec(head)?.[1] ?? "nothing";
    seen.push(address);
    return ok(address);
  });
  const routes = `route a.example\n  upstream ${upstream.name}\n`;
  const centauri = await startCentauri(t, {
    routes,
    env: { PROXY_PROTOCOL_FROM: LISTED, LOG_LEVEL: "debug", ...env },
  });
  return { ...centauri, seen };
}

/** What curl got through that port, from that address. */
async function through(port: number, from: string, ...args: string[]): Promise<string> {
  const to = from.includes(":") ? "[::1]" : "127.0.0.1";
  const { stdout, stderr } = await run("curl", [
    ...["-sSk", "--max-time", "20", "--resolve", `a.example:${port}:${to}`, "--interface", from],
    ...[...args, `https://a.example:${port}/`],
  ]);
  return stdout + stderr;
}

const body = (answer: string): string => answer.slice(answer.indexOf("\r\n\r\n") + 4);

const KINDS: Readonly<Record<string, Omit<HaproxyFrontend, "to">>> = {
  "send-proxy": { server: "send-proxy" },
  "send-proxy-v2": { server: "send-proxy-v2" },
  "send-proxy-v2 with TLVs": {
    server: "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn",
  },
  "send-proxy-v2-ssl-cn": {
    bind: "ssl crt client.pem",
    server: "send-proxy-v2-ssl-cn proxy-v2-options crc32c ssl verify none sni str(a.example)",
  },
};

for (const workers of ["1", "2"]) {
  test(`behind HAProxy the client's address counts, with --workers ${workers}`, async (t) => {
    if (!needProgram(t, "haproxy")) return;
    const centauri = await start(t, { WORKERS: workers });
    const kinds = Object.values(KINDS);
    const haproxy = await startHaproxy(t, [
      ...kinds.map((each) => ({ ...each, to: `127.0.0.1:${centauri.httpsPort}` })),
      ...kinds.map((each) => ({ ...each, to: `[::1]:${centauri.httpsPort}` })),
    ]);
    for (const [i, port] of haproxy.ports.entries()) {
      const kind = `${Object.keys(KINDS)[i % kinds.length]}, ${i < kinds.length ? "IPv4" : "IPv6"}`;
      for (const from of ["127.0.0.2", "::1"]) {
        assert.equal(await through(port, from, "--http1.1"), from, kind);
        if (kind.includes("ssl-cn")) continue; // HAProxy speaks TLS there, and no HTTP/2
        assert.equal(await through(port, from, "--http2"), from, kind);
        const version = await through(port, from, "--http2", "-o/dev/null", "-w%{http_version}");
        assert.equal(version, "2");
      }
    }
    assert.doesNotMatch(centauri.logs.join("\n"), /PROXY header refused/);
    assert.equal(await centauri.stop(), 0);
  });
}

test("X-Forwarded-For is kept from clients in TRUSTED_DOWNSTREAMS, not from balancers", async (t) => {
  if (!needProgram(t, "haproxy")) return;
  const centauri = await start(t, { TRUSTED_DOWNSTREAMS: "127.0.0.2, 127.0.0.1" });
  const to = `127.0.0.1:${centauri.httpsPort}`;
  const { ports: [port = 0] } = await startHaproxy(t, [{ to, server: "send-proxy-v2" }]);
  const sent = ["-H", "X-Forwarded-For: 203.0.113.9"];
  assert.equal(await through(port, "127.0.0.2", ...sent), "203.0.113.9, 127.0.0.2");
  assert.equal(await through(port, "127.0.0.3", ...sent), "127.0.0.3");
});

test("HAProxy's health checks are its own connections, and requests in them, too", async (t) => {
  if (!needProgram(t, "haproxy")) return;
  const centauri = await start(t);
  const kinds = ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"];
  const to = `127.0.0.1:${centauri.httpsPort}`;
  const check = (every: string) => `check inter ${every} fall 1 rise 1 check-send-proxy`;
  const backend = [
    "option httpchk",
    "http-check send meth GET uri / ver HTTP/1.1 hdr Host a.example",
    "http-check expect string 127.0.0.1",
  ].join("\n  ");
  const tls = "check-ssl verify none check-sni a.example";
  const haproxy = await startHaproxy(t, [
    ...kinds.map((server) => ({ to, server: `${server} ${check("1s")}` })),
    ...kinds.map((server) => ({ to, backend, server: `${server} ${check("5s")} ${tls}` })),
  ]);
  await until(() => centauri.seen.length >= kinds.length); // each was checked
  assert.deepEqual([...new Set(centauri.seen)], ["127.0.0.1"]);
  for (const port of haproxy.ports) assert.equal(await through(port, "127.0.0.2"), "127.0.0.2");
  assert.doesNotMatch(centauri.logs.join("\n"), /PROXY header refused|"client":""/);
  assert.doesNotMatch(haproxy.output.join("\n"), /DOWN|no server available/);
});

test("behind nginx the client's address counts", async (t) => {
  if (!needNginxStream(t)) return;
  const centauri = await start(t);
  const to = ["127.0.0.1", "[::1]"].map((host) => `${host}:${centauri.httpsPort}`);
  for (const port of (await startNginxStream(t, to)).ports) {
    for (const from of ["127.0.0.2", "::1"]) {
      for (const version of ["--http1.1", "--http2"]) {
        assert.equal(await through(port, from, version), from);
      }
    }
  }
});

test("redirects and faults on the plain port are the client's", async (t) => {
  if (!needProgram(t, "haproxy")) return;
  const centauri = await start(t);
  const { httpPort } = centauri;
  const haproxy = await startHaproxy(
    t,
    ["send-proxy", "send-proxy-v2"].map((server) => ({ to: `127.0.0.1:${httpPort}`, server })),
  );
  for (const port of haproxy.ports) {
    const socket = net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    t.after(() => socket.destroy());
    const client = wire(socket);
    for (const path of ["/a", "/b"]) {
      client.write(`GET ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
      const { head } = await readMessage(client);
      assert.match(
        head,
        new RegExp(`^HTTP/1.1 308 [^]*\r\nlocation: https://a.example${path}\r`, "i"),
      );
    }
    const from = centauri.logs.length;
    client.write("nonsense\r\n\r\n");
    assert.match((await readMessage(client)).head, /^HTTP\/1.1 400 /);
    const error = await centauri.waitForLog((r) => r.msg === "client error", 20_000, from);
    assert.equal(error.client, "127.0.0.2");
  }
});

test("a CA's questions come through HAProxy, too", async (t: TestContext) => {
  if (!needProgram(t, "haproxy")) return;
  const [http = 0, https = 0] = await freePorts(2);
  const haproxy = await startHaproxy(t, [
    { to: `127.0.0.1:${http}`, server: "send-proxy" },
    { to: `127.0.0.1:${https}`, server: "send-proxy-v2" },
  ]);
  const [httpPort = 0, tlsPort = 0] = haproxy.ports;
  const ports = { HTTP_PORT: `${http}`, HTTPS_PORT: `${https}`, PROXY_PROTOCOL_FROM: LISTED };
  for (const challenge of "Deno" in globalThis ? ["http-01"] : ["http-01", "tls-alpn-01"]) {
    const settings = { validate: { httpPort, tlsPort } };
    const env = { ...ports, ACME_CHALLENGES: challenge };
    const { centauri } = await startWith(t, settings, { env });
    await obtained(centauri);
    const served = await servedSerial({ ...centauri, httpsPort: tlsPort }, "a.example.com");
    assert.notEqual(served, "");
    await centauri.stop();
  }
});

const header = (text: string): Buffer => Buffer.from(text, "latin1");
const V1 = header("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
const V2 = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000201c63364028f8301bb", "hex");
const LOCAL = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");

test("a header may be cut anywhere, and come with what follows it", async (t) => {
  const centauri = await start(t);
  for (
    const [bytes, from] of [[V1, "192.0.2.1"], [V2, "192.0.2.1"], [LOCAL, "127.0.0.1"]] as const
  ) {
    for (const size of [1, 5, bytes.length - 1, bytes.length, bytes.length + 1, Infinity]) {
      const port = await startRelay(t, centauri.httpsPort, { header: bytes, size });
      const client = await connect(t, port);
      for (let i = 0; i < 2; i++) {
        client.write(GET);
        assert.equal((await readMessage(client)).body, from, `${bytes.toString("hex")} by ${size}`);
      }
      const plain = await startRelay(t, centauri.httpPort, { header: bytes, size });
      const socket = net.connect(plain, "127.0.0.1");
      t.after(() => socket.destroy());
      const second = wire(socket);
      second.write(GET + GET);
      for (let i = 0; i < 2; i++) {
        assert.match((await readMessage(second)).head, /^HTTP\/1.1 308 /, `by ${size}`);
      }
    }
  }
});

async function refused(centauri: Centauri, port: number, bytes: Uint8Array): Promise<unknown> {
  const from = centauri.logs.length;
  const client = wire(net.connect({ port, host: "127.0.0.1" }));
  client.write(bytes);
  assert.equal(await client.readToEnd(), "");
  client.socket.destroy();
  const isRefused = (r: { msg?: unknown }): boolean => r.msg === "PROXY header refused";
  const { peer, reason } = await centauri.waitForLog(isRefused, 20_000, from);
  assert.equal(peer, "127.0.0.1");
  return reason;
}

test("a listed peer without a header is closed, and the log says why", async (t) => {
  const centauri = await start(t);
  for (const port of [centauri.httpsPort, centauri.httpPort]) {
    assert.equal(await refused(centauri, port, header(GET)), "no PROXY header");
    assert.equal(await refused(centauri, port, header("\x16\x03\x01")), "no PROXY header");
    const twice = header("PROXY TCP4 1.1.1.1 2.2.2.2 1 02\r\n");
    assert.equal(await refused(centauri, port, twice), "bad ports");
    assert.match(
      String(await refused(centauri, port, header(`PROXY UNKNOWN${"x".repeat(100)}`))),
      /TCP4, TCP6|no line end/,
    );
  }
  // It is a listed peer that wants its own name: nobody's TLS, and no word of HTTP.
  await assert.rejects(httpsExchange(centauri.httpsPort, "a.example", GET, { until: 1 }));
});

test("from others a header is never read, and their own address counts", async (t) => {
  const centauri = await start(t);
  const client = await connect(t, centauri.httpsPort, { localAddress: "127.0.0.3" });
  client.write(GET);
  assert.equal((await readMessage(client)).body, "127.0.0.3");
  const options = { host: "127.0.0.1", localAddress: "127.0.0.3" };
  const plain = wire(net.connect({ port: centauri.httpPort, ...options }));
  t.after(() => plain.socket.destroy());
  plain.write(Buffer.concat([V1, header(GET)]));
  assert.match((await readMessage(plain)).head, /^HTTP\/1.1 400 /);
  const tls = wire(net.connect({ port: centauri.httpsPort, ...options }));
  t.after(() => tls.socket.destroy());
  tls.write(V2);
  tls.write(Buffer.from("\x16\x03\x01", "latin1"));
  await tls.readToEnd();
  assert.doesNotMatch(centauri.logs.join("\n"), /192\.0\.2\.1/);
});

test("without the option nobody's header is read", async (t) => {
  const centauri = await start(t, { PROXY_PROTOCOL_FROM: "" });
  assert.equal(
    body(await httpsExchange(centauri.httpsPort, "a.example", GET, { until: 1 })),
    "127.0.0.1",
  );
  const plain = wire(net.connect(centauri.httpPort, "127.0.0.1"));
  t.after(() => plain.socket.destroy());
  plain.write(Buffer.concat([V1, header(GET)]));
  assert.match((await readMessage(plain)).head, /^HTTP\/1.1 400 /);
});

test("headers that don't come, or come slowly, end with the timeout, 1,000 at once", async (t) => {
  const centauri = await start(t, {
    ...{ HANDSHAKE_TIMEOUT: "3s", HEADER_TIMEOUT: "3s", MAX_CONNECTIONS: "400", LOG_LEVEL: "info" },
  });
  const sockets: net.Socket[] = [];
  for (let i = 0; i < 1_000; i++) {
    const port = i % 2 === 0 ? centauri.httpsPort : centauri.httpPort;
    const socket = net.connect(port, "127.0.0.1").on("error", () => {});
    sockets.push(socket);
    socket.write((i % 4 < 2 ? V1 : V2).subarray(0, i % 25));
  }
  const drip = setInterval(() => sockets.forEach((each) => each.writable && each.write("0")), 200);
  t.after(() => {
    clearInterval(drip);
    for (const socket of sockets) socket.destroy();
  });
  await until(() => sockets.every(({ closed }) => closed), () => "some are still open");
  const port = await startRelay(t, centauri.httpsPort, { header: V2 });
  assert.equal(body(await httpsExchange(port, "a.example", GET, { until: 1 })), "192.0.2.1");
  assert.equal(await centauri.stop(), 0);
});

test("a stop doesn't wait for headers", async (t) => {
  const centauri = await start(t);
  const client = wire(net.connect(centauri.httpsPort, "127.0.0.1"));
  client.write(V1.subarray(0, 10));
  const second = await startRelay(t, centauri.httpsPort, { header: V2 });
  assert.equal(body(await httpsExchange(second, "a.example", GET, { until: 1 })), "192.0.2.1");
  const begin = performance.now();
  assert.equal(await centauri.stop(), 0);
  assert.ok(performance.now() - begin < 9_000);
  await client.readToEnd();
});

test("--proxy-protocol-from takes networks only", async () => {
  const { code, stderr } = await runCentauri(["--proxy-protocol-from=10.0.0.0/8,haproxy"]);
  const problem = 'can\'t use --proxy-protocol-from: invalid network "haproxy"';
  assert.deepEqual([code, stderr.startsWith(`centauri: ${problem}`)], [2, true]);
});
