/**
 * Centauri in a tailnet that isn't there: its tailscaled is faketailscale.ts, and the node's
 * addresses are loopback ones, of which 127.0.0.9 is a client's.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import net from "node:net";
import process from "node:process";
import { test, type TestContext } from "node:test";
import tls from "node:tls";
import { type FakeTailscale, http, pairFor, running } from "./faketailscale.ts";
import { startFakeTailscale, userNode } from "./faketailscale.ts";
import { until } from "./recorder.ts";
import { needProgram, type Program, run, runCentauri, type Scope } from "./support.ts";
import { startProgram, temporaryFolder } from "./support.ts";
import { ok, readMessage, startServer, type Wire, wire } from "./wire.ts";

const START_MS = 60_000;
const WAIT_MS = 30_000; // there is a look at the node every ten seconds
const NAME = "node.tail1234.ts.net";
const [CLIENT, OTHER, THIRD] = ["127.0.0.9", "127.0.0.10", "127.0.0.11"];
const ALICE = userNode("alice@example.com", "Alice Krūmiņa", "https://pics.example/a?s=96");
const ALICES = [
  "Tailscale-User-Login: alice@example.com",
  "Tailscale-User-Name: =?utf-8?q?Alice_Kr=C5=ABmi=C5=86a?=",
  "Tailscale-User-Profile-Pic: https://pics.example/a?s=96",
];

interface Site extends Program {
  readonly fake: FakeTailscale;
  readonly folder: string;
  writeRoutes(text: string): Promise<void>;
  /** Once a port is open there. */
  portAt(address: string, service?: string, from?: number): Promise<number>;
}

/** Centauri before an upstream that answers with the request's head, for `a.example`. */
async function start(
  t: Scope,
  { routes = (upstream) => `route a.example b.example\n  upstream ${upstream}\n`, env = {}, fake }:
    {
      routes?: (upstream: string) => string;
      env?: Record<string, string>;
      fake?: FakeTailscale;
    } = {},
): Promise<Site> {
  fake ??= await startFakeTailscale(t);
  const [folder, upstream] = [
    await temporaryFolder(t),
    await startServer(t, ({ head }) => ok(head)),
  ];
  const file = join(folder, "centauri.conf");
  const writeRoutes = (text: string): Promise<void> => writeFile(file, text);
  await writeRoutes(routes(upstream.name));
  const program = startProgram(t, "centauri.ts", {
    cwd: folder,
    env: {
      ...{ FRONTEND: "tailscale", TAILSCALE_SOCKET: fake.path, HTTP_PORT: "0", HTTPS_PORT: "0" },
      ...{ LOG_FORMAT: "json", ...env },
    },
  });
  const portAt: Site["portAt"] = async (address, service = "http", from = 0) => {
    const isIt = (text: unknown): boolean =>
      `${text}`.startsWith(address.includes(":") ? `[${address}]:` : `${address}:`);
    const { port } = await program.waitForLog(
      (r) => r.msg === "listening" && r.service === service && isIt(r.address),
      START_MS,
      from,
    );
    return port as number;
  };
  return { ...program, fake, folder, writeRoutes, portAt };
}

async function connectTo(
  t: Scope,
  host: string,
  port: number,
  localAddress: string = CLIENT,
): Promise<Wire> {
  const from = host.includes(":") ? {} : { localAddress };
  const socket = net.connect({ host, port, noDelay: true, ...from });
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return wire(socket);
}

/** The fields of Tailscale that the upstream got of a request. */
async function fieldsOn(
  client: Wire,
  more: string = "",
  host: string = "a.example",
): Promise<string[]> {
  client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`);
  const { head, body } = await readMessage(client);
  assert.match(head, /^HTTP\/1.1 200 /);
  return body.split("\r\n").filter((line) => /^tailscale/i.test(line));
}

const POSING = [
  "Tailscale-User-Login: root",
  "tailscale-user-name: root",
  "TAILSCALE_USER_PROFILE_PIC: x",
  "Tailscale-Headers-Info: https://tailscale.com/s/serve-headers",
  "Tailscale-App-Capabilities: {}",
  "Connection: keep-alive, Tailscale-User-Login",
].map((line) => `${line}\r\n`).join("");

const refuses = async (host: string, port: number): Promise<boolean> => {
  const socket = net.connect({ host, port });
  const [event] = await Promise.race([
    once(socket, "connect").then(() => ["connect"]),
    new Promise<[string]>((resolve) => socket.on("error", () => resolve(["error"]))),
  ]);
  socket.destroy();
  return event === "error";
};

for (const workers of ["1", "2"]) {
  const env = { WORKERS: workers };
  test(`with ${workers} workers, plain routes are served at the node's addresses only`, async (t) => {
    const fake = await startFakeTailscale(t);
    fake.status = running("127.0.0.2", "::1");
    fake.users.set(CLIENT, ALICE).set("::1", ALICE);
    fake.users.set(THIRD, userNode("bob\r\nTailscale-User-Login: root", "\u0000", "\r\nX: y"));
    const site = await start(t, { env, fake });
    const [port, port6] = [await site.portAt("127.0.0.2"), await site.portAt("::1")];
    const client = await connectTo(t, "127.0.0.2", port);
    assert.deepEqual(await fieldsOn(client, POSING), ALICES);
    assert.deepEqual(await fieldsOn(client, POSING), ALICES);
    assert.equal(fake.askedFor("whois").length, 1);
    const posing = await connectTo(t, "127.0.0.2", port, THIRD);
    assert.deepEqual(await fieldsOn(posing, POSING), [
      "Tailscale-User-Login: =?utf-8?q?bob=0D=0ATailscale-User-Login:_root?=",
      "Tailscale-User-Name: =?utf-8?q?=00?=",
    ]);
    const stranger = await connectTo(t, "127.0.0.2", port, OTHER);
    assert.deepEqual(await fieldsOn(stranger, POSING), [], "no peer has that address");
    const own = await connectTo(t, "::1", port6);
    assert.deepEqual(
      await fieldsOn(own, POSING),
      [],
      "anybody on this machine may come from there",
    );
    stranger.write("GET / HTTP/1.1\r\nHost: nowhere.example\r\n\r\n");
    assert.match((await readMessage(stranger)).head, /^HTTP\/1.1 421 /);
    assert.ok(await refuses("127.0.0.1", port));
    assert.ok(!site.logs.some((line) => line.includes('"service":"https"')));
    assert.ok(!fake.asked.some((target) => target.includes("/cert/")));
    assert.equal(await site.stop(), 0);
  });

  test(`with ${workers} workers, https has tailscaled's certificate for names of Tailscale`, async (t) => {
    const fake = await startFakeTailscale(t);
    fake.users.set(CLIENT, ALICE);
    fake.certificates.set(NAME, pairFor(NAME));
    const site = await start(t, {
      fake,
      env: { ...env, TAILSCALE_MODE: "HTTPS" },
      routes: (upstream) =>
        `route ${NAME}\n  upstream ${upstream}\nroute a.example\n  upstream ${upstream}\n`,
    });
    const [port, plain] = [await site.portAt("127.0.0.2", "https"), await site.portAt("127.0.0.2")];
    await site.waitForLog(({ msg }) => msg === "certificate from tailscaled", WAIT_MS);
    const secure = await connectTls(t, port, NAME);
    const served = new X509Certificate(secure.certificate);
    assert.ok(fake.certificates.get(NAME)?.includes(served.toString().trim()));
    assert.deepEqual(await fieldsOn(secure.client, POSING, NAME), ALICES);
    const other = await connectTls(t, port, "a.example");
    assert.match(new X509Certificate(other.certificate).subjectAltName ?? "", /DNS:a.example/);
    assert.deepEqual(await fieldsOn(other.client), ALICES);
    const redirected = await connectTo(t, "127.0.0.2", plain);
    redirected.write(`GET /x?y HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`);
    const { head } = await readMessage(redirected);
    assert.match(head, new RegExp(`^HTTP/1.1 308 [^]*\r\nLocation: https://${NAME}/x\\?y\r\n`));
    await http2Fields(t, port);
    const from = site.logs.length;
    const added = "new.tail1234.ts.net";
    fake.certificates.set(added, pairFor(added));
    await site.writeRoutes(`route ${added}\n  upstream 127.0.0.1:1\n`);
    site.signal("SIGHUP");
    await site.waitForLog((r) => r.msg === "certificate from tailscaled", WAIT_MS, from);
    const { certificate } = await connectTls(t, port, added);
    assert.match(new X509Certificate(certificate).subjectAltName ?? "", /DNS:new\./);
  });
}

async function connectTls(
  t: Scope,
  port: number,
  servername: string,
): Promise<{ client: Wire; certificate: Uint8Array }> {
  const below = await connectTo(t, "127.0.0.2", port);
  below.socket.removeAllListeners("data");
  const options = { rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] };
  const socket = tls.connect({ socket: below.socket, servername, ...options });
  await once(socket, "secureConnect");
  return { client: wire(socket), certificate: socket.getPeerCertificate().raw };
}

async function http2Fields(t: TestContext, port: number): Promise<void> {
  if (!needProgram(t, "curl")) return;
  const { stdout, stderr } = await run("curl", [
    ...["-sSk", "--http2", "--interface", CLIENT, "-H", "Tailscale-User-Login: root"],
    ...["--resolve", `a.example:${port}:127.0.0.2`, `https://a.example:${port}/`],
    ...["--next", "-sSk", "-w", "\nHTTP/%{http_version}\n", "--interface", CLIENT],
    ...["--resolve", `a.example:${port}:127.0.0.2`, `https://a.example:${port}/`],
  ]);
  const lines = stdout.split(/\r?\n/);
  const found = lines.filter((line) => /^tailscale|^HTTP\//i.test(line));
  assert.deepEqual(found, [...ALICES, ...ALICES, "HTTP/2"], stderr);
}

test("the usual ports are the default, and others may be asked for", async (t) => {
  const fake = await startFakeTailscale(t);
  fake.status = running("127.77.7.7");
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "centauri.conf"), "route a.example\n  upstream 127.0.0.1:1\n");
  const env = { FRONTEND: "tailscale", TAILSCALE_SOCKET: fake.path, LOG_FORMAT: "json" };
  const site = startProgram(t, "centauri.ts", {
    cwd: folder,
    env: { ...env, TAILSCALE_MODE: "https" },
  });
  const isAbout = (port: number) => (r: Readonly<Record<string, unknown>>): boolean =>
    r.address === `127.77.7.7:${port}` || `${r.problem}`.includes(`127.77.7.7:${port}`);
  const { problem } = await site.waitForLog(isAbout(443), START_MS);
  if (problem === undefined) await site.waitForLog(isAbout(80));
  else assert.match(String(problem), /CAP_NET_BIND_SERVICE; see --http-port/); // not root
});

test("redirect-to-primary keeps a plain port that isn't 80", async (t) => {
  const port = await freePort();
  for (const [given, shown] of [[`${port}`, `:${port}`], ["0", ""]] as const) {
    const site = await start(t, {
      routes: (upstream) =>
        `route a.example www.example\n  redirect-to-primary\n  upstream ${upstream}\n`,
      env: { HTTP_PORT: given },
    });
    const client = await connectTo(t, "127.0.0.2", await site.portAt("127.0.0.2"));
    client.write("GET /x HTTP/1.1\r\nHost: www.example\r\n\r\n");
    const { head } = await readMessage(client);
    assert.ok(head.includes(`\r\nLocation: http://a.example${shown}/x\r\n`), head);
  }
});

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.2");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("a tailscaled that goes and comes back costs nobody anything but the fields", async (t) => {
  const { fake, ...site } = await start(t, { env: { WORKERS: "2" } });
  fake.users.set(CLIENT, ALICE).set(THIRD, ALICE);
  const port = await site.portAt("127.0.0.2");
  const known = await connectTo(t, "127.0.0.2", port);
  assert.deepEqual(await fieldsOn(known), ALICES);
  await fake.stop();
  assert.deepEqual(await fieldsOn(known), ALICES, "known for a minute");
  for (let i = 0; i < 20; i++) {
    const client = await connectTo(t, "127.0.0.2", port, OTHER);
    assert.deepEqual(await fieldsOn(client, POSING), []);
  }
  const { problem } = await site.waitForLog(({ msg }) => msg === "Tailscale isn't ready", WAIT_MS);
  assert.match(
    String(problem),
    /no such file or socket.*; start tailscaled, or say by --tailscale-s/,
  );
  const third = await connectTo(t, "127.0.0.2", port, THIRD);
  assert.deepEqual(await fieldsOn(third), []);
  const warnings = (): string[] => site.logs.filter((line) => line.includes('"WARN"'));
  assert.equal(warnings().length, 2, warnings().join("\n"));
  const from = site.logs.length;
  await fake.start();
  await site.waitForLog(({ msg }) => msg === "Tailscale is ready", WAIT_MS, from);
  await until(async () => (await fieldsOn(third)).length === 3);
  assert.equal(warnings().length, 2);
});

const HOSTILE: readonly (readonly [what: string, reply: string | undefined])[] = [
  ["garbage", "\u0000\u001b[2J\r\n\r\n"],
  ["16 MiB", http("200 OK", `{"Node":{},"x":"${"x".repeat(2 ** 24)}"}`)],
  ["half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"],
  ["lists in lists", http("200 OK", "[".repeat(100_000) + "]".repeat(100_000))],
  ["other types", http("200 OK", `{"Node":{"Tags":7},"UserProfile":{"LoginName":{}}}`)],
  ["line ends in JSON", http("200 OK", `{"Node":{},"UserProfile":{"LoginName":"\r\nX: y"}}`)],
  ["nothing", undefined],
];

for (const workers of ["1", "2"]) {
  test(`with ${workers} workers, requests go without the fields whatever tailscaled answers`, async (t) => {
    const { fake, ...site } = await start(t, { env: { WORKERS: workers } });
    fake.users.set(CLIENT, ALICE);
    const port = await site.portAt("127.0.0.2");
    const known = await connectTo(t, "127.0.0.2", port);
    assert.deepEqual(await fieldsOn(known), ALICES);
    for (const [i, [what, reply]] of HOSTILE.entries()) {
      fake.reply = () => reply;
      const start = performance.now();
      const others = await Promise.all(
        Array.from(
          { length: 20 },
          (_, j) => connectTo(t, "127.0.0.2", port, `127.0.${i + 1}.${j}`),
        ),
      );
      const fields = await Promise.all(others.map((other) => fieldsOn(other, POSING)));
      assert.deepEqual(fields.flat(), [], what);
      assert.ok(performance.now() - start < 10_000, what);
      assert.deepEqual(await fieldsOn(known), ALICES, what);
    }
    await site.waitForLog(({ msg }) => msg === "Tailscale isn't ready", WAIT_MS);
    fake.reply = undefined;
    const from = site.logs.length;
    await site.waitForLog(({ msg }) => msg === "Tailscale is ready", WAIT_MS, from);
    const warned = site.logs.filter((line) => line.includes("can't tell who clients are"));
    assert.equal(warned.length, 1);
    for (const line of site.logs) assert.ok(!/internal error|\u001b/.test(line), line);
    assert.equal(await site.stop(), 0);
  });
}

test("a client that leaves while it is asked for leaves nothing behind", async (t) => {
  const { fake, ...site } = await start(t);
  const port = await site.portAt("127.0.0.2");
  fake.reply = () => undefined;
  const client = await connectTo(t, "127.0.0.2", port);
  client.write("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nhalf");
  await until(() => fake.askedFor("whois").length === 1);
  client.socket.destroy();
  const other = await connectTo(t, "127.0.0.2", port, OTHER);
  other.write("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nfull");
  assert.match((await readMessage(other)).body, /^POST \/ HTTP\/1.1\r\n/);
  other.socket.destroy();
  assert.equal(await site.stop(), 0);
  assert.ok(!site.logs.some((line) => /internal error|connections cut/.test(line)));
});

test("the ports follow the node's addresses, whatever the workers do", async (t) => {
  const port = await freePort();
  const env = { WORKERS: "2", LOG_LEVEL: "debug", HTTP_PORT: `${port}` };
  const { fake, ...site } = await start(t, { env });
  await site.portAt("127.0.0.2");
  const from = site.logs.length;
  fake.status = running("127.0.0.3");
  await site.portAt("127.0.0.3", "http", from);
  await until(() => refuses("127.0.0.2", port));
  const started = site.logs.map((line) => JSON.parse(line)).filter(isStart);
  assert.equal(started.length, 2);
  const after = site.logs.length;
  await fake.stop(); // who comes back has the addresses nevertheless
  for (const { pid } of started) process.kill(pid, "SIGKILL");
  await site.waitForLog(({ msg }) => msg === "worker replaced", START_MS, after);
  await until(async () => !await refuses("127.0.0.3", port));
  const client = await connectTo(t, "127.0.0.3", port);
  assert.deepEqual(await fieldsOn(client), []);
  assert.ok(await refuses("127.0.0.2", port));
});

const isStart = ({ msg }: Readonly<Record<string, unknown>>): boolean => msg === "worker starts";

test("a start waits for tailscaled, and ends when it is told to", async (t) => {
  const fake = await startFakeTailscale(t);
  await fake.stop();
  const site = await start(t, { fake });
  await site.waitForLog((r) => r.msg === "Tailscale isn't ready", START_MS);
  fake.status = { BackendState: "Stopped", TUN: true, Self: { TailscaleIPs: ["127.0.0.2"] } };
  await fake.start();
  const isStopped = (r: Readonly<Record<string, unknown>>): boolean =>
    `${r.problem}`.endsWith("run `tailscale up`");
  await site.waitForLog(isStopped, WAIT_MS);
  assert.ok(!site.logs.some((line) => line.includes('"listening"')));
  assert.equal(await site.stop(), 0);
});

const FOREIGN = { TAILSCALE_KEY: "tskey-auth-hush", TAILSCALE_DIR: "/data/tailscale" };

for (
  const [env, expected] of [
    [
      { TAILSCALE_KEY: FOREIGN.TAILSCALE_KEY },
      /remove --tailscale-key: .* `tailscale up --auth-key=/,
    ],
    [{ TAILSCALE_DIR: "/data" }, /remove --tailscale-dir: .* `tailscaled --statedir=/],
    [{ TAILSCALE_HOSTNAME: "x" }, /remove --tailscale-hostname: .* `tailscale up --hostname=/],
    [
      { TAILSCALE_MODE: "ftp" },
      /unknown value for tailscale mode: ftp: expected one of http, https/,
    ],
  ] as const
) {
  test(`${Object.keys(env)[0]} is refused with FRONTEND=tailscale`, async () => {
    const { code, stderr } = await runCentauri([], { env: { FRONTEND: "tailscale", ...env } });
    assert.equal(code, 2);
    assert.match(stderr, expected);
    assert.ok(!stderr.includes("hush") && stderr.trim().split("\n").length === 1, stderr);
  });
}

test("--validate knows which certificates can't be had, and TCP knows no Tailscale", async (t) => {
  const folder = await temporaryFolder(t);
  const config = join(folder, "centauri.conf");
  await writeFile(config, `route a.example ${NAME}\n  upstream 127.0.0.1:1\n`);
  const validate = (env: Record<string, string>) =>
    runCentauri(["--validate"], { env: { CONFIG: config, ...env }, cwd: folder });
  const refused = await validate({ FRONTEND: "tailscale", TAILSCALE_MODE: "https" });
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /line=1 .*a certificate for names of Tailscale/);
  assert.equal((await validate({ FRONTEND: "tailscale" })).code, 0);
  assert.equal((await validate({ FRONTEND: "tcp", ...FOREIGN, TAILSCALE_MODE: "https" })).code, 0);
});

test("certificates of CAs are for https alone", async (t) => {
  const folder = await temporaryFolder(t);
  const config = join(folder, "centauri.conf");
  await writeFile(config, "route a.example\n  upstream 127.0.0.1:1\n");
  const env = { FRONTEND: "tailscale", CONFIG: config, DNS_PROVIDER: "cloudflare" }; // no token
  for (const [mode, expected] of [["http", 0], ["https", 1]] as const) {
    const options = {
      env: { ...env, ACME_EMAIL: "a@b.example", TAILSCALE_MODE: mode },
      cwd: folder,
    };
    assert.equal((await runCentauri(["--validate"], options)).code, expected, mode);
  }
});
