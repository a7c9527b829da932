/** What a running Centauri says of itself by --status, and how it can be asked. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Status } from "../lib/status.ts";
import { askStatus, type StatusError } from "../lib/statussocket.ts";
import { newRecord } from "../lib/store.ts";
import { freePorts, startChalltestsrv, startPebble } from "./acmepeers.ts";
import { failed, obtained, routeFor, startWith, variables } from "./acmesite.ts";
import { startCa } from "./ca.ts";
import { refusal, says } from "./ca/problems.ts";
import { issue } from "./pki.ts";
import { type Centauri, type Finished, httpsExchange, run, runCentauri } from "./support.ts";
import { startCentauri, temporaryFolder } from "./support.ts";
import { ok, startServer } from "./wire.ts";

const WAIT_MS = 60_000; // on a machine that does much else
const [SECOND, DAY] = [1_000, 86_400_000];

/** Where the certificate store of a test's variables has its socket. */
const socketOf = (store: string): string => `${store}.sock`;

/** The first status that fits, from a socket that may not be there yet. */
async function statusWhen(
  path: string,
  fits: (status: Status) => boolean = () => true,
): Promise<Status> {
  for (const start = Date.now();; await setTimeout(50)) {
    const status = await askStatus(path).catch((error: StatusError) => error);
    if (!(status instanceof Error) && fits(status)) return status;
    if (Date.now() - start < WAIT_MS) continue;
    throw status instanceof Error ? status : new Error(JSON.stringify(status, null, 2));
  }
}

const findingOf = (status: Status, cause: string, route = 0) =>
  status.routes[route]?.findings.find((finding) => finding.cause === cause);

/** The finding of a route, and what the program says of it. */
async function finding(store: string, cause: string, route = 0) {
  const status = await statusWhen(
    socketOf(store),
    (one) => findingOf(one, cause, route) !== undefined,
  );
  return { status, route: status.routes[route]!, ...findingOf(status, cause, route)! };
}

const statusCommand = (store: string, ...args: readonly string[]): Promise<Finished> =>
  runCentauri(["--status", ...args], { env: { CERTIFICATE_STORE: store } });

const get = (host: string): string => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

/** A store in a file, with a certificate for these names from and to so many ms from now. */
async function storeWith(t: TestContext, name: string, from: number, to: number): Promise<string> {
  const { cert, keyPem } = issue({ subject: name, names: [name], from, to });
  const record = newRecord("lego", [name], new Date(Date.now() + to));
  const store = join(await temporaryFolder(t), "certs.json");
  await writeFile(store, JSON.stringify([{ ...record, certificate: cert, privateKey: keyPem }]));
  return store;
}

for (const workers of ["1", "2"]) {
  test(`with --workers ${workers} all is well, and the exit code says so`, async (t) => {
    const dns = await startChalltestsrv(t);
    const [http = 0, https = 0] = await freePorts(2);
    const pebble = dns && await startPebble(t, {
      ...{ httpPort: http, tlsPort: https, dnsServer: dns.dnsServer },
    });
    if (dns === undefined || pebble === undefined) return;
    const upstream = await startServer(t, () => ok("here"));
    const env = {
      ...{ HTTP_PORT: `${http}`, HTTPS_PORT: `${https}`, WORKERS: workers },
      ...{ ACME_EMAIL: "someone@example.com", ACME_DIRECTORY: pebble.directory },
      ...{ LEGO_CA_CERTIFICATES: pebble.apiRootFile, ACME_RESOLVERS: dns.dnsServer },
    };
    const routes = `route a.example.com www.a.example.com\n  upstream ${upstream.name}\n`;
    const centauri = await startCentauri(t, { routes, env });
    await obtained(centauri);
    for (let i = 0; i < 4; i++) {
      await httpsExchange(centauri.httpsPort, "a.example.com", get("a.example.com"), { until: 1 });
    }
    const store = join(centauri.folder, "certs.json");
    const { routes: [route] } = await statusWhen(
      socketOf(store),
      ({ routes: [one] }) => one?.upstreams[0]?.state === "works",
    );
    assert.ok(route?.served);
    assert.deepEqual(route.findings, []);
    assert.equal(route.requests, 4);
    assert.equal(route.certificate.state, "valid");
    assert.match(route.certificate.issuer ?? "", /^Pebble Intermediate CA/);
    assert.ok(Date.parse(route.certificate.renewal?.at ?? "") > Date.now() + DAY);
    await centauri.reload(routes);
    const { code, stdout } = await statusCommand(store);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^1 route: 1 is well\n/);
    assert.match(stdout, /\n {2}route {8}line 1; 4 requests\n/, "a reload forgets none");
    assert.match(stdout, /\n {2}certificate {2}from Pebble Intermediate CA.*, valid for \d+ days/);
    const { stdout: json } = await statusCommand(store, "--json");
    assert.equal(JSON.parse(json).routes.length, 1);
    const account = JSON.parse(await readFile(join(centauri.folder, "user.pem"), "utf8"));
    const secrets = ["someone", "PRIVATE", "acct", "my-account", account.registration.uri];
    for (const secret of secrets) assert.ok(!(json + stdout).includes(secret), secret);
  });
}

test("a CA that can't be reached is told, with the next try and what to do", async (t) => {
  const [port] = await freePorts(1);
  const store = join(await temporaryFolder(t), "certs.json");
  await startCentauri(t, {
    routes: routeFor("a.example.com"),
    env: { ACME_DIRECTORY: `https://127.0.0.1:${port}/dir`, CERTIFICATE_STORE: store },
  });
  const { advice, what, next = "", ca, level, attempts } = await finding(store, "ca-unreachable");
  assert.equal(level, "problem");
  assert.equal(ca, `127.0.0.1:${port}`);
  assert.match(what, /can't be reached.*ECONNREFUSED/);
  assert.match(advice, /^Check outbound TCP/);
  assert.equal(attempts, 1);
  assert.ok(Date.parse(next) > Date.now() && Date.parse(next) < Date.now() + 120 * SECOND);
  const { code, stdout } = await statusCommand(store);
  assert.equal(code, 1);
  assert.match(stdout, /NOT SERVED {2}a\.example\.com\n {2}problem .*\n(.*\n)* {2}next try {5}in /);
});

test("a name that leads elsewhere is told in the CA's own words, without the token", async (t) => {
  const dns = await startChalltestsrv(t);
  const elsewhere = await startServer(t, () => ok("another site"));
  const pebble = dns && await startPebble(t, {
    ...{ httpPort: elsewhere.port, tlsPort: 1, dnsServer: dns.dnsServer },
  });
  if (dns === undefined || pebble === undefined) return;
  const centauri = await startCentauri(t, {
    routes: routeFor("a.example.com"),
    env: {
      ...{ ACME_EMAIL: "someone@example.com", ACME_DIRECTORY: pebble.directory },
      ...{ LEGO_CA_CERTIFICATES: pebble.apiRootFile, ACME_RESOLVERS: dns.dnsServer },
      ...{ ACME_CHALLENGES: "http-01" },
    },
  });
  const store = join(centauri.folder, "certs.json");
  const { what, advice, challenges } = await finding(store, "points-elsewhere");
  assert.deepEqual(challenges, ["http-01"]);
  assert.match(what, /the CA says "/);
  assert.doesNotMatch(what, /[\w-]{40}/);
  assert.match(advice, /lead to Centauri's port \d+/);
});

test("a rate limit is told with the CA's time for the next try", async (t) => {
  const until = new Date(Date.now() + 3 * DAY);
  const { env, centauri } = await startWith(t, {}, {
    prepare: (ca) =>
      ca.on(
        "newOrder",
        () => refusal(says("tooManyFailures"), until),
      ),
  });
  await failed(centauri);
  const { what, next = "", at = "" } = await finding(env.CERTIFICATE_STORE!, "rate-limited");
  assert.match(what, /the CA says "/);
  assert.ok(Math.abs(Date.parse(next) - until.getTime()) < 10 * SECOND, next);
  assert.ok(Date.parse(at) > Date.now() - WAIT_MS);
});

test("with ACME off it says which options turn it on; what is self-signed is served", async (t) => {
  const centauri = await startCentauri(t, {
    routes: routeFor("a.example.com", "  provider lego\n") + routeFor("b.example.com") +
      routeFor("c.example.com", "  provider selfsigned\n"),
  });
  const store = join(centauri.folder, "certs.json");
  const { advice, status: { routes } } = await finding(store, "acme-off");
  assert.match(advice, /--acme-email.*--dns-provider/);
  assert.deepEqual(routes.map(({ served }) => served), [false, true, true]);
  assert.deepEqual(routes.map(({ findings }) => findings.length), [1, 1, 0]);
  assert.deepEqual(routes.map((one) => one.certificate.state), [
    ...["missing", "on-demand", "on-demand"],
  ]);
  await httpsExchange(centauri.httpsPort, "c.example.com", get("c.example.com"), { until: 1 });
  const made = await statusWhen(
    socketOf(store),
    (one) => one.routes[2]?.certificate.state === "valid",
  );
  assert.equal(made.routes[2]?.certificate.provider, "selfsigned");
});

test("a certificate in the store that has ended isn't served, and it says when it did", async (t) => {
  const store = await storeWith(t, "a.example.com", -20 * DAY, -DAY);
  await startCentauri(t, {
    routes: routeFor("a.example.com"),
    env: { CERTIFICATE_STORE: store, CERTIFICATE_PROVIDERS: "lego" },
  });
  const { what, route } = await finding(store, "acme-off");
  assert.equal(route.served, false);
  assert.equal(route.certificate.state, "expired");
  assert.match(what, /no certificate that is valid/);
  assert.match((await statusCommand(store)).stdout, / ended \d+ h ago \(|ended 1 days ago \(/);
});

test("a certificate is served on while it can't be renewed, which needs a look", async (t) => {
  const store = await storeWith(t, "a.example.com", -89 * DAY, DAY);
  const ca = await startCa(t, {
    fail: () => says("wrongStatus", "127.0.0.1", "http://a.example.com/", "404"),
  });
  const env = { ...await variables(t, ca), CERTIFICATE_STORE: store };
  const centauri = await startCentauri(t, { routes: routeFor("a.example.com"), env });
  await failed(centauri);
  const { status: { routes: [route], warnings, problems } } = await finding(
    ...[store, "points-elsewhere"] as const,
  );
  assert.deepEqual([problems, warnings, route?.served], [0, 1, true]);
  assert.equal(route?.findings[0]?.level, "warning");
  assert.match(route.findings[0].what, /^the certificate can't be renewed: /);
  assert.equal(route.certificate.state, "valid");
  const { code, stdout } = await statusCommand(store);
  assert.equal(code, 0, "it is served");
  assert.match(stdout, /NEEDS A LOOK {2}a\.example\.com/);
});

test("a certificate in the store that can't be used is told", async (t) => {
  const store = await storeWith(t, "a.example.com", -DAY, 30 * DAY);
  const [record] = JSON.parse(await readFile(store, "utf8"));
  await writeFile(store, JSON.stringify([{ ...record, privateKey: "no key" }]));
  const centauri = await startCentauri(t, {
    routes: routeFor("a.example.com"),
    env: { CERTIFICATE_STORE: store },
  });
  const { code } = await run("openssl", [
    ...["s_client", "-connect", `127.0.0.1:${centauri.httpsPort}`, "-servername", "a.example.com"],
  ]);
  assert.notEqual(code, 0);
  const { route } = await finding(store, "certificate-unusable");
  assert.deepEqual([route.served, route.certificate.state], [false, "unusable"]);
});

test("an order that waits for its turn is told, and the one under way", async (t) => {
  const ca = await startCa(t);
  let go = () => {};
  const gone = new Promise<void>((resolve) => go = resolve);
  t.after(() => go());
  ca.on("newOrder", async () => void await gone);
  const files = await variables(t, ca);
  const env = { ...files, ACME_OBTAIN_INTERVAL: "1h" };
  await startCentauri(t, { routes: routeFor("a.example.com") + routeFor("b.example.com"), env });
  const store = files.CERTIFICATE_STORE!;
  const causes = ({ routes }: Status) => routes.map(({ findings: [one] }) => one?.cause).sort();
  const { routes } = await statusWhen(
    socketOf(store),
    (status) => causes(status).join() === "ordering,spaced", // whichever came first
  );
  const next = routes.flatMap(({ findings }) => findings[0]?.next ?? []);
  assert.equal(next.length, 1);
  assert.ok(Math.abs(Date.parse(next[0]!) - Date.now() - 3_600_000) < WAIT_MS);
  const since = routes.flatMap(({ certificate }) => certificate.orderedAt ?? []);
  assert.ok(since.length === 1 && Date.parse(since[0]!) <= Date.now());
});

test("the time for renewal that the CA suggests is told, with its reason", async (t) => {
  const [start, end] = [new Date(Date.now() + 5 * DAY), new Date(Date.now() + 6 * DAY)];
  const { env } = await startWith(t, {
    renewalInfo: () => ({ start, end, explanationURL: "https://ca.test/why?token=hidden" }),
  });
  const { routes: [route] } = await statusWhen(
    socketOf(env.CERTIFICATE_STORE!),
    ({ routes: [one] }) => one?.certificate.renewal?.suggested === true,
  );
  const { at = "", see } = route?.certificate.renewal ?? {};
  assert.ok(Date.parse(at) >= start.getTime() - SECOND && Date.parse(at) <= end.getTime());
  assert.equal(see, "https://ca.test/why?…");
});

for (const workers of ["1", "2"]) {
  test(`with --workers ${workers} an upstream's failures are told, and that it works again`, async (t) => {
    const [port = 0] = await freePorts(1);
    const centauri = await startCentauri(t, {
      routes: `route a.example\n  provider selfsigned\n  upstream 127.0.0.1:${port}\n`,
      env: { WORKERS: workers },
    });
    const ask = () =>
      httpsExchange(centauri.httpsPort, "a.example", get("a.example"), { until: 1 });
    for (let i = 0; i < 3; i++) assert.match(await ask(), /^HTTP\/1.1 502 /);
    const store = join(centauri.folder, "certs.json");
    const told = await finding(store, "upstream-failed");
    assert.match(told.what, new RegExp(`^upstream 127.0.0.1:${port} fails: .*ECONNREFUSED`));
    assert.match(told.advice, /nothing listens/);
    assert.equal(told.route.served, false);
    const { routes: [three] } = await statusWhen(
      socketOf(store),
      ({ routes: [one] }) => one?.upstreams[0]?.failures === 3,
    );
    assert.equal(three?.requests, 3);
    assert.equal((await statusCommand(store)).code, 1);
    const server = createServer((socket) => {
      socket.on("error", () => {}).once("data", () => {
        socket.end(ok("back").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
      });
    });
    t.after(() => server.close());
    await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
    assert.match(await ask(), /^HTTP\/1.1 200 /);
    const { routes: [again] } = await statusWhen(
      socketOf(store),
      ({ routes: [one] }) => one?.upstreams[0]?.state === "works",
    );
    assert.equal(again?.served, true);
    assert.equal(again.upstreams[0]?.failures, 0);
    assert.match(again.upstreams[0].failure ?? "", /ECONNREFUSED/, "the last one is still told");
    assert.ok(again.upstreams[0].since! >= again.upstreams[0].failedAt!);
  });
}

test("one of two upstreams that fails needs a look, and the route is served", async (t) => {
  const upstream = await startServer(t, () => ok("here"));
  const centauri = await startCentauri(t, {
    routes: `route a.example\n  provider selfsigned\n  upstream 127.0.0.1:1\n` +
      `  upstream ${upstream.name}\n`,
  });
  const store = join(centauri.folder, "certs.json");
  for (let asked = false; !asked;) {
    await httpsExchange(centauri.httpsPort, "a.example", get("a.example"), { until: 1 });
    const { routes: [route] } = await statusWhen(socketOf(store));
    asked = route?.upstreams.every(({ state }) => state !== "unknown") ?? false;
    if (!asked) await setTimeout(100);
  }
  const { level, route } = await finding(store, "upstream-failed");
  assert.deepEqual([level, route.served], ["warning", true]);
});

test("a reload that failed is told with its lines, and that the old routes stay", async (t) => {
  const centauri = await startCentauri(t, {
    routes: routeFor("a.example", "  provider selfsigned\n"),
  });
  const store = join(centauri.folder, "certs.json");
  const from = centauri.logs.length;
  await centauri.writeRoutes("route a.example\n  upstrem b\nroute b..example\n  upstream b\n");
  centauri.signal("SIGHUP");
  await centauri.waitForLog(({ level }) => level === "ERROR", undefined, from);
  const status = await statusWhen(socketOf(store), ({ findings }) => findings.length > 0);
  const [told] = status.findings;
  assert.equal(told?.cause, "reload-failed");
  assert.match(told.what, /line 2: .*upstrem.*; line 3: .*; the routes of before stay in force/);
  assert.deepEqual(status.routes.map(({ names }) => names), [["a.example"]]);
  const { code, stdout } = await statusCommand(store);
  assert.equal(code, 0, "all routes in force are served");
  assert.match(stdout, /\nPROBLEM {2}New routes weren't taken\n/);
  await centauri.reload(routeFor("c.example", "  provider selfsigned\n"));
  const after = await statusWhen(socketOf(store), ({ findings }) => findings.length === 0);
  assert.deepEqual(after.routes.map(({ names }) => names), [["c.example"]]);
});

test("the socket is for one user, goes at the end, and replaces what a crash left", async (t) => {
  const folder = await temporaryFolder(t);
  const env = { CERTIFICATE_STORE: join(folder, "certs.json") };
  const routes = routeFor("a.example", "  provider selfsigned\n");
  const first = await startCentauri(t, { routes, env });
  const path = socketOf(env.CERTIFICATE_STORE);
  await statusWhen(path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  first.signal("SIGKILL");
  await first.stop();
  const dead = await statusCommand(env.CERTIFICATE_STORE);
  assert.equal(dead.code, 2);
  assert.match(dead.stderr, /^centauri: no running Centauri answers at ".*\nStart it: the one /);
  const second = await startCentauri(t, { routes, env });
  await statusWhen(path);
  await second.stop();
  assert.ok(!(await readdir(folder)).some((name) => name.includes(".sock")));
  const { code, stderr } = await statusCommand(env.CERTIFICATE_STORE);
  assert.equal(code, 2);
  assert.match(stderr, /ENOENT.*\nStart it; if it runs, give the same --certificate-store/);
});

test("of two with one store the first answers, and the second one after its end", async (t) => {
  const folder = await temporaryFolder(t);
  const env = { CERTIFICATE_STORE: join(folder, "certs.json") };
  const path = socketOf(env.CERTIFICATE_STORE);
  const routes = (name: string) => routeFor(name, "  provider selfsigned\n");
  const first = await startCentauri(t, { routes: routes("one.example"), env });
  await statusWhen(path);
  const second = await startCentauri(t, { routes: routes("two.example"), env });
  const warned = ({ msg, error }: Readonly<Record<string, unknown>>) =>
    msg === "--status can't be answered" && `${error}`.includes("another Centauri answers");
  await second.waitForLog(warned);
  assert.deepEqual((await askStatus(path)).routes[0]?.names, ["one.example"]);
  await first.stop();
  assert.deepEqual((await statusWhen(path)).routes[0]?.names, ["two.example"]);
});

test("where there can be no socket it says so once, and serves", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "folder"));
  await writeFile(join(folder, "file"), "mine");
  const routes = routeFor("a.example", "  provider selfsigned\n");
  for (
    const [path, error] of [
      [join(folder, "none", "x.sock"), /ENOENT|no such file/i],
      [join(folder, "file"), /there is a file, and no socket/],
      [join(folder, "folder"), /there is a file, and no socket/],
      [join(folder, "x".repeat(110 - folder.length)), /no socket's path has over 107 bytes/],
    ] as const
  ) {
    const centauri = await startCentauri(t, { routes, env: { STATUS_SOCKET: path } });
    const record = await centauri.waitForLog(({ msg }) => msg === "--status can't be answered");
    assert.match(`${record.error}`, error);
    const answer = await httpsExchange(centauri.httpsPort, "a.example", get("a.example"), {
      until: 1,
    });
    assert.match(answer, /^HTTP\/1.1 502 /);
    await centauri.stop();
    const warnings = centauri.logs.filter((line) => line.includes("--status can't be answered"));
    assert.equal(warnings.length, 1);
  }
  assert.equal(await readFile(join(folder, "file"), "utf8"), "mine");
});

test("--status-socket names another, or none", async (t) => {
  const folder = await temporaryFolder(t);
  const routes = routeFor("a.example", "  provider selfsigned\n");
  const path = join(folder, "own.sock");
  await startCentauri(t, { routes, env: { STATUS_SOCKET: path } });
  await statusWhen(path);
  const { code } = await runCentauri(["--status", "--status-socket", path]);
  assert.equal(code, 0);
  const off = await runCentauri(["--status", "--status-socket", "off"]);
  assert.deepEqual([off.code, off.stdout], [2, ""]);
});

test("whoever holds the socket open, or answers by something else, isn't waited for", async (t) => {
  const folder = await temporaryFolder(t);
  for (
    const [name, answer, words] of [
      ["version", '{"version":2,"routes":[]}\n', /says something else/],
      ["garbage", "\x1b[31m{]", /says something else/],
      ["shape", '{"version":1,"routes":[{}]}', /can't be read/],
      ["nothing", "", /says something else/],
    ] as const
  ) {
    const path = join(folder, `${name}.sock`);
    const server = createServer((socket) => {
      socket.on("error", () => {}).once("data", () => socket.end(answer));
    });
    t.after(() => server.close());
    await new Promise<void>((done) => server.listen(path, done));
    const { code, stderr, stdout } = await runCentauri(["--status", "--status-socket", path]);
    assert.deepEqual([code, stdout], [2, ""], name);
    assert.match(stderr, words);
    assert.ok(!stderr.includes("\x1b"));
  }
});

test("a worker that stands still is told as silent", async (t) => {
  const centauri: Centauri = await startCentauri(t, {
    routes: routeFor("a.example", "  provider selfsigned\n"),
    env: { WORKERS: "2", LOG_LEVEL: "debug" },
  });
  const { pid } = await centauri.waitForLog(({ msg, worker }) =>
    msg === "worker starts" && worker === 2
  );
  const path = socketOf(join(centauri.folder, "certs.json"));
  await statusWhen(path);
  process.kill(pid as number, "SIGSTOP");
  t.after(() => {
    try {
      process.kill(pid as number, "SIGKILL");
    } catch { /* the program has */ }
  });
  const { findings } = await statusWhen(path, (one) => one.findings.length > 0);
  assert.equal(findings[0]?.cause, "worker-silent");
  assert.match(findings[0].what, /^worker 2 /);
});
