/** Several Centauris that share certificates through Redis, and one Pebble. */
import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { RedisChallenges } from "../lib/redischallenges.ts";
import { freePorts, type Pebble, startChalltestsrv, startPebble } from "./acmepeers.ts";
import { routeFor, servedSerial } from "./acmesite.ts";
import { issue } from "./pki.ts";
import { openRedis, type RedisServer, startRedis } from "./redispeer.ts";
import { type Centauri, type LogRecord, runCentauri, startCentauri } from "./support.ts";
import { httpsExchange, needProgram, run, startProgram, startRawUpstream } from "./support.ts";
import { temporaryFolder } from "./support.ts";
import { ok, startServer } from "./wire.ts";

const ISSUE_MS = 120_000; // on a machine that does much else
const NAME = "a.example.com";
const FIELD = `lego;${NAME}`;
const LOCK = `centauri:lock:${NAME}`;

interface Cluster {
  readonly redis: RedisServer;
  readonly pebble: Pebble;
  readonly centauris: readonly Centauri[];
  /** Orders that Pebble was asked for. */
  readonly orders: () => number;
  /** Connections from Pebble, by the Centauri that got them. */
  readonly asked: readonly number[];
  /** Another one. */
  readonly join: () => Promise<Centauri>;
}

interface Options {
  readonly count?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly routes?: string;
  readonly redis?: RedisServer | undefined;
  /** Until then connections from Pebble wait. */
  readonly gate?: Promise<void>;
}

/** Pebble validates through one port, behind which each Centauri has its turn. */
async function startCluster(t: TestContext, options: Options = {}): Promise<Cluster | undefined> {
  const { count = 3, env = {}, routes = routeFor(NAME) } = options;
  const redis = options.redis ?? await startRedis(t);
  const dns = redis && await startChalltestsrv(t);
  const centauris: Centauri[] = [];
  const asked: number[] = [];
  let open = (): void => {};
  const gate = options.gate ?? new Promise<void>((resolve) => open = resolve);
  let turn = 0;
  const balance = (port: (of: Centauri) => number) =>
    startRawUpstream(t, async (socket) => {
      await gate;
      const index = turn++ % centauris.length;
      asked[index] = (asked[index] ?? 0) + 1;
      const to = net.connect(port(centauris[index]!), "127.0.0.1");
      to.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.on("close", () => to.destroy()).pipe(to).pipe(socket);
    });
  const [http, https] = [await balance((of) => of.httpPort), await balance((of) => of.httpsPort)];
  const ports = { httpPort: http.port, tlsPort: https.port };
  const pebble = dns && await startPebble(t, { ...ports, dnsServer: dns.dnsServer });
  if (redis === undefined || dns === undefined || pebble === undefined) return undefined;
  const join = async (): Promise<Centauri> => {
    const all = { ...variables(redis, pebble), ACME_RESOLVERS: dns.dnsServer, ...env };
    const centauri = await startCentauri(t, { routes, env: all });
    centauris.push(centauri);
    return centauri;
  };
  await Promise.all(Array.from({ length: count }, join));
  open();
  const orders = (): number => pebble.output.filter((line) => line.includes("order-plz")).length;
  return { redis, pebble, centauris, orders, asked, join };
}

const variables = (redis: RedisServer, pebble: Pebble): Record<string, string> => ({
  CERTIFICATE_STORE_TYPE: "redis",
  REDIS_ADDRESS: `127.0.0.1:${redis.port}`,
  ACME_EMAIL: "admin@example.com",
  ACME_DIRECTORY: pebble.directory,
  LEGO_CA_CERTIFICATES: pebble.apiRootFile,
  LOG_LEVEL: "debug",
});

/** A promise, and what resolves it. */
function newGate(): { gate: Promise<void>; open: () => void } {
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => open = resolve);
  return { gate, open };
}

/** Again and again, for what takes a second on a machine that is free. */
async function eventually<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (const start = Date.now(); Date.now() - start < ISSUE_MS; await setTimeout(50)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error("it didn't happen");
}

/** The one that has placed an order and waits for Pebble. */
const holder = (centauris: readonly Centauri[]): Promise<Centauri> =>
  eventually(() =>
    centauris.find(({ logs }) => logs.some((line) => line.includes('"msg":"challenge"')))
  );

const has = ({ logs }: Centauri, message: string): boolean =>
  logs.some((line) => line.includes(`"msg":"${message}"`));

const recordIn = async (redis: RedisServer, field = FIELD, prefix = "centauri") =>
  JSON.parse(`${await redis.run("HGET", `${prefix}:certificates`, field)}`);

/** When it was obtained here or taken from another; by its own clock. */
async function served({ waitForLog }: Centauri): Promise<LogRecord> {
  return waitForLog(
    ({ msg }) => msg === "certificate obtained" || msg === "certificate taken from redis",
    ISSUE_MS,
  );
}

for (const type of ["http-01", "tls-alpn-01"]) {
  for (const workers of ["1", "2"]) {
    test(`three with ${workers} workers get one certificate by ${type}`, async (t) => {
      const cluster = await startCluster(t, { env: { ACME_CHALLENGES: type, WORKERS: workers } });
      if (cluster === undefined) return;
      const { centauris, orders, redis, asked } = cluster;
      const records = await Promise.all(centauris.map(served));
      const times = records.map(({ time }) => Date.parse(`${time}`)).sort((a, b) => a - b);
      t.diagnostic(`picked up after ${times.map((time) => time - times[0]!)} ms; asked: ${asked}`);
      assert.equal(records.filter(({ msg }) => msg === "certificate obtained").length, 1);
      const serials = await eventually(async () => { // when each worker knows, too
        const all = await Promise.all(centauris.map((one) => servedSerial(one, NAME)));
        return all.every((serial) => serial !== "" && serial === all[0]) ? all : undefined;
      });
      assert.equal(orders(), 1);
      const record = await recordIn(redis);
      const certificate = new X509Certificate(record.certificate);
      // Deno 2.9 leaves out zeros at the beginning.
      const serial = certificate.serialNumber.toLowerCase().padStart(serials[0]!.length, "0");
      assert.equal(serial, serials[0]);
      assert.ok(certificate.checkPrivateKey(createPrivateKey(record.privateKey)));
      assert.equal(record.provider, "lego");
      assert.equal(record.subject, NAME);
      assert.deepEqual(record.altNames, []);
      for (const left of ["*:lock:*", "*:challenge*"]) { // go after the certificate has come
        await eventually(async () => String(await redis.run("KEYS", left)) === "" || undefined);
      }
    });
  }
}

test("when the holder is killed in mid-order another one orders, once its lease is over", async (t) => {
  const { gate, open } = newGate();
  const cluster = await startCluster(t, { gate, env: { ACME_CHALLENGES: "http-01" } });
  if (cluster === undefined) return;
  const { redis, orders } = cluster;
  const centauris = cluster.centauris as Centauri[];
  const first = await holder(centauris);
  first.signal("SIGKILL");
  centauris.splice(centauris.indexOf(first), 1);
  const life = Number(await redis.run("PTTL", LOCK));
  assert.ok(life > 0 && life <= 60_000, `the lease has ${life} ms`);
  const looks = centauris.map(({ logs }) => logs.length);
  await Promise.all(
    centauris.map(({ waitForLog }, i) =>
      waitForLog(({ msg }) => msg === "certificate is left to others", ISSUE_MS, looks[i])
    ),
  );
  assert.equal(orders(), 1, "nobody orders while the lease lasts");
  open();
  await redis.run("PEXPIRE", LOCK, "1"); // as if a minute had passed
  const start = performance.now();
  const records = await Promise.all(centauris.map(served));
  t.diagnostic(`served ${Math.round(performance.now() - start)} ms after the lease's end`);
  assert.equal(records.filter(({ msg }) => msg === "certificate obtained").length, 1);
  assert.equal(orders(), 2, "the one that was begun, and the one that was ended");
  const again = await cluster.join();
  assert.equal(await servedSerial(again, NAME), await servedSerial(centauris[0]!, NAME));
  assert.equal(orders(), 2);
});

test("a holder that stood still in mid-order ends its order, and begins no other", async (t) => {
  const { gate, open } = newGate();
  const cluster = await startCluster(t, { gate, env: { ACME_CHALLENGES: "http-01" } });
  if (cluster === undefined) return;
  const { redis, orders } = cluster;
  const centauris = [...cluster.centauris];
  const first = await holder(centauris);
  const others = centauris.filter((one) => one !== first);
  (cluster.centauris as Centauri[]).splice(0, 3, ...others);
  first.signal("SIGSTOP");
  t.after(() => first.signal("SIGCONT"));
  await redis.run("PEXPIRE", LOCK, "1"); // as if a minute had passed
  await holder(others);
  open();
  await Promise.all(others.map(served));
  first.signal("SIGCONT");
  await served(first);
  await eventually(async () => {
    const serials = await Promise.all(centauris.map((one) => servedSerial(one, NAME)));
    return new Set(serials).size === 1 && serials[0] !== "";
  });
  assert.equal(orders(), 2, "the one that was begun, and the one that was ended");
});

test("Redis that restarts empty in mid-order: the holder ends its order, nobody else begins one", async (t) => {
  const { gate, open } = newGate();
  const cluster = await startCluster(t, { gate, env: { ACME_CHALLENGES: "http-01" } });
  if (cluster === undefined) return;
  const { redis, orders, centauris } = cluster;
  const first = await holder(centauris);
  await redis.stop();
  await redis.start();
  for (const { waitForLog } of centauris) {
    await waitForLog(({ msg }) => msg === "redis found again", ISSUE_MS);
  }
  await eventually(async () => await redis.run("EXISTS", LOCK) === 1);
  open();
  // The answer to the challenge is lost with Redis: only the holder knows it.
  const mine = centauris.indexOf(first);
  (centauris as Centauri[]).splice(0, 3, first);
  await first.waitForLog(({ msg }) => msg === "certificate obtained", ISSUE_MS);
  t.diagnostic(`the holder was number ${mine + 1}`);
  assert.equal(orders(), 1);
  assert.equal((await recordIn(redis)).subject, NAME);
});

test("Redis that stands still in mid-order: one order, and what is served goes on", async (t) => {
  const { gate, open } = newGate();
  const cluster = await startCluster(t, {
    gate,
    env: { ACME_CHALLENGES: "http-01" },
    routes: routeFor(NAME) + routeFor("self.example.com", "  provider selfsigned\n"),
  });
  if (cluster === undefined) return;
  const { redis, orders } = cluster;
  const centauris = [...cluster.centauris];
  const first = await holder(centauris);
  const selfSigned = () =>
    Promise.all(centauris.map((one) => servedSerial(one, "self.example.com")));
  const before = await eventually(async () => { // each has made one, and one of them stays
    const serials = await selfSigned();
    return new Set(serials).size === 1 ? serials : undefined;
  });
  redis.signal("SIGSTOP");
  t.after(() => redis.signal("SIGCONT"));
  // The others can't find what the CA is to be answered now.
  (cluster.centauris as Centauri[]).splice(0, 3, first);
  open();
  await first.waitForLog(({ msg }) => msg === "certificate obtained", ISSUE_MS);
  assert.ok(has(first, "certificate not stored"));
  const serial = await servedSerial(first, NAME);
  for (const { waitForLog } of centauris) {
    await waitForLog(({ msg }) => msg === "redis lost", ISSUE_MS);
  }
  assert.deepEqual(await selfSigned(), before);
  redis.signal("SIGCONT");
  await Promise.all(centauris.map(served));
  assert.deepEqual(await Promise.all(centauris.map((one) => servedSerial(one, NAME))), [
    ...[serial, serial, serial],
  ]);
  assert.equal(orders(), 1);
  for (const { logs } of centauris) {
    assert.equal(logs.filter((line) => line.includes('"redis lost"')).length, 1);
  }
});

test("while Redis is away nothing is ordered, and what was known is served", async (t) => {
  const cluster = await startCluster(t, { count: 2 });
  if (cluster === undefined) return;
  const { redis, orders, centauris } = cluster;
  await Promise.all(centauris.map(served));
  const [one, two] = centauris as [Centauri, Centauri];
  const serial = await servedSerial(one, NAME);
  await redis.stop();
  for (const each of centauris) {
    await each.waitForLog(({ msg }) => msg === "redis lost", ISSUE_MS);
    await each.reload(routeFor(NAME) + routeFor("b.example.com"));
    const waits = ({ msg, names }: LogRecord) =>
      msg === "certificate is left to others" && `${names}` === "b.example.com";
    await each.waitForLog(waits, ISSUE_MS);
  }
  assert.equal(await servedSerial(one, NAME), serial);
  assert.equal(await servedSerial(two, NAME), serial);
  assert.equal(orders(), 1);
  await redis.start(); // with nothing of what it had
  for (const { waitForLog } of centauris) {
    await waitForLog(
      ({ msg, names }) =>
        /^certificate (obtained|taken)/.test(`${msg}`) && `${names}` === "b.example.com",
      ISSUE_MS,
    );
  }
  assert.equal(orders(), 2, "one for each set of names");
  await eventually(async () => await redis.run("HEXISTS", "centauri:certificates", FIELD) === 1);
  assert.equal((await recordIn(redis)).subject, NAME, "it was put back");
});

test("a failure of one keeps the others from trying at once", async (t) => {
  const redis = await startRedis(t);
  const cluster = redis && await startCluster(t, {
    redis,
    routes: routeFor("fails.example.com"),
    env: { ACME_CHALLENGES: "tls-alpn-01", HTTPS_PORT: "0", REDIS_KEY_PREFIX: "x" },
    gate: new Promise(() => {}), // Pebble waits in vain, and gives up
  });
  if (redis === undefined || cluster === undefined) return;
  const { centauris, orders } = cluster;
  const record = await Promise.any(
    centauris.map(({ waitForLog }) =>
      waitForLog(({ msg }) => msg === "certificate not obtained", ISSUE_MS)
    ),
  );
  const state = await eventually(async () =>
    await redis.run("GET", "x:acme:fails.example.com") ?? undefined
  );
  assert.equal(JSON.parse(`${state}`).failure.next, record.next);
  // Each of the others has had the lease, and has let go of it.
  await Promise.all(centauris.map(async ({ folder }) => {
    const file = `${folder}/certs.json.acme`;
    const known = () => readFile(file, "utf8").then((text) => JSON.parse(text), () => ({}));
    await eventually(async () =>
      (await known())["fails.example.com"]?.failure?.next === record.next
    );
  }));
  assert.equal(orders(), 1);
});

test("what is in Redis from the start is served, and nothing is ordered", async (t) => {
  const cluster = await startCluster(t, { count: 1, env: { WORKERS: "2" } });
  if (cluster === undefined) return;
  const { redis, centauris, orders } = cluster;
  await served(centauris[0]!);
  const record = await recordIn(redis);
  const garbage: readonly string[][] = [
    ["HSET", "centauri:certificates", "lego;b.example.com", "{"],
    ["HSET", "centauri:certificates", "lego;c.example.com", "x".repeat(3_000_000)],
    ["SET", "centauri:changes", "x"],
    ["SET", "centauri:challenges", "x"],
    ["LPUSH", "centauri:acme:b.example.com", "x"],
  ];
  for (const words of garbage) await redis.run(...words);
  const late = await cluster.join();
  assert.equal(await servedSerial(late, NAME), await servedSerial(centauris[0]!, NAME));
  assert.equal(orders(), 1);
  await late.reload(routeFor(NAME) + routeFor("b.example.com"));
  const fits = ({ msg, names }: LogRecord) =>
    msg === "certificate obtained" && `${names}` === "b.example.com";
  await late.waitForLog(fits, ISSUE_MS);
  assert.equal((await recordIn(redis, "lego;b.example.com")).subject, "b.example.com");
  assert.equal((await recordIn(redis)).certificate, record.certificate);
  assert.equal(orders(), 2);
});

for (const workers of ["1", "2"]) {
  test(`what others have to answer is answered by all protocols, with ${workers} workers`, async (t) => {
    const redis = await startRedis(t);
    if (redis === undefined || !needProgram(t, "curl")) return;
    const upstream = await startServer(t, () => ok("from upstream"));
    const centauri = await startCentauri(t, {
      routes: `route ${NAME}\n  upstream ${upstream.name}\n`,
      env: {
        CERTIFICATE_STORE_TYPE: "redis",
        REDIS_ADDRESS: `127.0.0.1:${redis.port}`,
        WORKERS: workers,
      },
    });
    const answers = new RedisChallenges(await openRedis(t, redis.port), "centauri");
    const token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
    const keyAuthorization = `${token}.9jg46WB3rR`;
    await answers.tell({ token, keyAuthorization }, new AbortController().signal);
    const path = `/.well-known/acme-challenge/${token}`;
    const get = async (url: string, ...args: string[]): Promise<string> => {
      const to = ["--connect-to", `::127.0.0.1:${new URL(url).port}`, url];
      const { stdout, stderr } = await run("curl", ["-sSk", "--max-time", "30", ...args, ...to]);
      return stdout + stderr;
    };
    const [http, https] = [centauri.httpPort, centauri.httpsPort];
    assert.equal(await get(`http://${NAME}:${http}${path}`), keyAuthorization);
    for (const version of ["--http1.1", "--http2"]) {
      const at = `https://${NAME}:${https}`;
      assert.equal(await get(`${at}${path}`, version), keyAuthorization);
      assert.equal(await get(`${at}${path.slice(0, -1)}1`, version), "from upstream");
      assert.equal(await get(`${at}${path}`, version, "-d", "x", "-X", "GET"), "from upstream");
      assert.equal(await get(`${at}${path.slice(0, -30)}`, version), "from upstream");
    }
    const two = `GET ${path}1 HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`.repeat(2) +
      `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`;
    const text = await httpsExchange(https, NAME, two, { until: 3 });
    assert.deepEqual(text.match(/from upstream|LoqX[\w.-]+/g), [
      ...["from upstream", "from upstream", keyAuthorization],
    ]);
    redis.signal("SIGSTOP");
    t.after(() => redis.signal("SIGCONT"));
    assert.equal(await get(`https://${NAME}:${https}${path}`), "from upstream");
  });
}

test("two prefixes are two stores", async (t) => {
  const redis = await startRedis(t);
  const first = redis && await startCluster(t, { redis, count: 1 });
  const second = first && await startCluster(t, {
    ...{ redis, count: 1, env: { REDIS_KEY_PREFIX: "other" } },
  });
  if (redis === undefined || first === undefined || second === undefined) return;
  await Promise.all([served(first.centauris[0]!), served(second.centauris[0]!)]);
  assert.deepEqual([first.orders(), second.orders()], [1, 1]);
  const [one, two] = [await recordIn(redis), await recordIn(redis, FIELD, "other")];
  assert.notEqual(one.certificate, two.certificate);
});

test("TLS and a user who may do no more than it takes; a wrong password is told to nobody", async (t) => {
  const folder = await temporaryFolder(t);
  const [ca, file] = [issue({ subject: "ca" }), (name: string) => join(folder, name)];
  const own = issue({ subject: "redis", names: ["localhost"], issuer: ca });
  for (const [name, text] of [["ca", ca.cert], ["cert", own.cert], ["key", own.keyPem]] as const) {
    await writeFile(file(name), text, { mode: 0o600 });
  }
  const [port = 0] = await freePorts(1);
  const secret = "correct-horse";
  const commands = "+hscan +hget +hmget +hset +hdel +set +get +del +eval +xadd +xread +xrevrange" +
    " +zadd +zrem +zremrangebyscore +zrangebyscore +pexpire +select";
  const user = `--user u on >${secret} ~site:* ${commands}`.split(" ");
  const tls = [
    "--tls-port",
    `${port}`,
    "--tls-cert-file",
    file("cert"),
    "--tls-auth-clients",
    "no",
  ];
  const args = [...tls, "--tls-key-file", file("key"), "--tls-ca-cert-file", file("ca")];
  const redis = await startRedis(t, [...args, ...user]);
  const env = {
    REDIS_ADDRESS: `localhost:${port}`,
    REDIS_TLS: "true",
    REDIS_CA_CERTIFICATES: file("ca"),
    REDIS_USERNAME: "u",
    REDIS_PASSWORD: secret,
    REDIS_DB: "3",
    REDIS_KEY_PREFIX: "site",
  };
  const cluster = redis && await startCluster(t, { redis, env });
  if (cluster === undefined) return;
  const { centauris, orders } = cluster;
  await Promise.all(centauris.map(served));
  assert.equal(orders(), 1);
  for (const { logs } of centauris) assert.ok(!logs.join("").includes(secret));
  const config = join(folder, "centauri.conf");
  await writeFile(config, routeFor(NAME));
  const all = { CERTIFICATE_STORE_TYPE: "redis", CONFIG: config, ...env };
  const refuses = async (change: Record<string, string>, why: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await runCentauri([], { env: { ...all, ...change } });
    assert.equal(code, stderr === "" ? 1 : 2, stdout + stderr);
    assert.match(stdout + stderr, why);
    assert.ok(!(stdout + stderr).includes(secret));
  };
  await refuses({ REDIS_USERNAME: "nobody" }, /AUTH: WRONGPASS/);
  await refuses({ REDIS_KEY_PREFIX: "other" }, /HSCAN: NOPERM/);
  await refuses({ REDIS_CA_CERTIFICATES: "" }, /unable to reach redis/);
  await refuses({ REDIS_ADDRESS: `127.0.0.1:${port}` }, /unable to reach redis/);
  await refuses({ REDIS_CA_CERTIFICATES: config }, /can't use --redis-ca-certificates/);
  const { code, stdout } = await runCentauri(["--validate"], { env: all });
  assert.equal(code, 0, stdout);
});

test("Redis that can't be reached at the start ends it; its hash is there afterwards", async (t) => {
  const redis = await startRedis(t);
  if (redis === undefined) return;
  const folder = await temporaryFolder(t);
  const config = join(folder, "centauri.conf");
  await writeFile(config, routeFor(NAME));
  const env = { CERTIFICATE_STORE_TYPE: "Redis", REDIS_KEY_PREFIX: "centauri-test" };
  const upstream = await startServer(t, () => ok("one"));
  const address = `127.0.0.1:${redis.port}`;
  const centauri = await startCentauri(t, {
    routes: `route ${NAME}\n  upstream ${upstream.name}\n`,
    env: { ...env, REDIS_ADDRESS: address },
  });
  const request = `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`;
  assert.match(await httpsExchange(centauri.httpsPort, NAME, request), /^HTTP\/1.1 200 [^]*one$/);
  await eventually(async () => await redis.run("EXISTS", "centauri-test:certificates") === 1);
  await redis.stop();
  for (const args of [[], ["--validate"]]) {
    const all = { ...env, CONFIG: config, REDIS_ADDRESS: address, HTTP_PORT: "0", HTTPS_PORT: "0" };
    const { code, stdout } = await runCentauri(args, { env: all, cwd: folder });
    assert.equal(code, 1);
    assert.match(stdout, /certificate store error: unable to reach redis at 127\.0\.0\.1:\d+: /);
  }
  const { code, stderr } = await runCentauri(["--redis-address", "::1:6379"], { env });
  assert.equal(code, 2);
  assert.match(stderr, /can't use --redis-address "::1:6379": expected host, host:port or/);
});

test("--obtain waits for whoever orders the same, and a running one takes it up", async (t) => {
  const cluster = await startCluster(t, { count: 1 });
  if (cluster === undefined) return;
  const { redis, centauris: [centauri], pebble, orders } = cluster;
  await served(centauri!);
  const before = await servedSerial(centauri!, NAME);
  await redis.run("SET", LOCK, "another", "PX", "60000");
  const folder = await temporaryFolder(t);
  const env = { ...variables(redis, pebble), HTTP_PORT: "0", HTTPS_PORT: "0" };
  const program = startProgram(t, "centauri.ts", { args: ["--obtain", NAME], env, cwd: folder });
  await program.waitForLog(({ msg }) => `${msg}`.startsWith("waiting"), ISSUE_MS);
  assert.equal(orders(), 1);
  await redis.run("DEL", LOCK);
  await program.waitForLog(({ msg }) => /^done .* within seconds/.test(`${msg}`), ISSUE_MS);
  await eventually(async () => await servedSerial(centauri!, NAME) !== before);
  assert.equal(orders(), 2);
});
