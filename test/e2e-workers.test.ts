/** Centauri with several workers: what must not be noticed from outside, and what is in the log. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import fs from "node:fs";
import { join } from "node:path";
import net from "node:net";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { freePorts, startChalltestsrv, startPebble } from "./acmepeers.ts";
import { obtained, routeFor, servedSerial, startWith } from "./acmesite.ts";
import { loadedAtStart } from "./imports.ts";
import { readSources } from "./readme.ts";
import { type Centauri, httpsExchange, isRunning, type LogRecord } from "./support.ts";
import { needProgram, run, runCentauri, type Scope, startCentauri } from "./support.ts";
import { connect, ok, readMessage, startServer, startUpstream, type Wire } from "./wire.ts";

const isDeno = "Deno" in globalThis;
const START_MS = 60_000; // of a worker, on a machine that does much else
const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const GET_CLOSE = "GET / HTTP/1.1\r\nHost: dead.example\r\nConnection: close\r\n\r\n";
const GET_DEAD = "GET / HTTP/1.1\r\nHost: dead.example\r\n\r\n";

/** One certificate for both names: the log tells which worker couldn't reach the dead upstream. */
const routesTo = ({ name }: { name: string }): string =>
  [["a.example", name], ["dead.example", "127.0.0.1:1"]].map(([host, to]) =>
    `route ${host}\n  subject a.example dead.example\n  upstream ${to}\n`
  ).join("");

const start = (t: Scope, routes: string, env: Record<string, string> = {}): Promise<Centauri> =>
  startCentauri(t, { routes, env: { WORKERS: "2", LOG_LEVEL: "debug", ...env } });

/** The number of the worker that has a connection. */
async function workerOf({ logs, waitForLog }: Centauri, client: Wire): Promise<number> {
  const from = logs.length;
  client.write(GET_DEAD);
  assert.match((await readMessage(client)).head, /^HTTP\/1.1 502 /);
  const { worker } = await waitForLog(({ msg }) => msg === "upstream failed", 5_000, from);
  return worker as number;
}

/** Connections until each of two workers has one at least; theirs, in order. */
async function connectBoth(t: Scope, centauri: Centauri): Promise<[Wire[], Wire[]]> {
  const of: [Wire[], Wire[]] = [[], []];
  for (let i = 0; of[0].length === 0 || of[1].length === 0; i++) {
    assert.ok(i < 500, `all by one worker: ${of.map(({ length }) => length)}`);
    const client = await connect(t, centauri.httpsPort);
    of[await workerOf(centauri, client) - 1]!.push(client);
  }
  return of;
}

async function answerOn(client: Wire): Promise<string> {
  client.write(GET);
  return (await readMessage(client)).body;
}

/** The process of a worker: the latest. */
function pidOf({ logs }: Centauri, worker: number): number {
  const records = logs.map((line) => JSON.parse(line) as LogRecord);
  const last = records.findLast((r) => r.msg === "worker starts" && r.worker === worker);
  return last?.pid as number;
}

/** Requests on new connections, one after another, until it is stopped; their answers. */
function keepAsking({ httpsPort }: Centauri): { stop: () => Promise<string[]> } {
  const answers: string[] = [];
  let going = true;
  const asking = (async () => {
    while (going) {
      const answer = await httpsExchange(httpsPort, "a.example", GET, { until: 1 })
        .catch((error: Error) => `failed: ${error.message}`);
      answers.push(answer.slice(answer.indexOf("\r\n\r\n") + 1).trim()); // what failed, as it is
    }
  })();
  const stop = async (): Promise<string[]> => {
    going = false;
    await asking;
    return answers;
  };
  return { stop };
}

test("--workers takes auto or a number, and one process is the default", async (t) => {
  for (const text of ["0", "257", "two", ""]) {
    const { code, stderr } = await runCentauri([`--workers=${text}`]);
    assert.equal(code, 2);
    assert.ok(stderr.startsWith(`centauri: can't use --workers "${text}": expected auto, or `));
  }
  const one = await startCentauri(t, { routes: routesTo({ name: "127.0.0.1:1" }) });
  const children = await readFile(`/proc/${one.pid}/task/${one.pid}/children`, "utf8");
  const names = children.split(" ").filter((pid) => pid !== "").map(commandOf);
  assert.ok(!names.some((name) => name.includes("worker.ts")), names.join());
});

const commandOf = (pid: string | number): string => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
  } catch {
    return ""; // it has just ended
  }
};

test("a port that can't be opened ends the start, and all workers with it", async (t) => {
  const upstream = await startServer(t, () => ok("one"));
  const first = await start(t, routesTo(upstream));
  const env = { CONFIG: join(first.folder, "centauri.conf"), WORKERS: "2", LOG_LEVEL: "debug" };
  const { code, stdout } = await runCentauri([], {
    env: { ...env, HTTPS_PORT: `${first.httpsPort}`, HTTP_PORT: "0", LOG_FORMAT: "json" },
    cwd: first.folder,
  });
  assert.equal(code, 1, stdout);
  const records = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const errors = records.filter(({ level }) => level === "ERROR");
  assert.equal(errors.length, 1, stdout);
  assert.equal(errors[0].msg, "can't start");
  assert.match(
    errors[0].error,
    new RegExp(`can't listen on port ${first.httpsPort}: .*EADDRINUSE`),
  );
  for (const { pid } of records.filter(({ msg }) => msg === "worker starts")) await gone(pid);
});

async function gone(pid: number): Promise<void> {
  for (let i = 0; await isRunning(pid); i++) {
    assert.ok(i < 500, `process ${pid} still runs`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

test("all workers serve, and what a reload says is true of all of them", async (t) => {
  const upstreams = [await startServer(t, () => ok("one")), await startServer(t, () => ok("two"))];
  const centauri = await start(t, routesTo(upstreams[0]!));
  const listening = centauri.logs.filter((line) => line.includes('"msg":"listening"'));
  assert.equal(listening.length, 2, "one line for each port");
  const [ofFirst, ofSecond] = await connectBoth(t, centauri);
  const both = [ofFirst[0]!, ofSecond[0]!];
  const others = keepAsking(centauri);
  for (let i = 0; i < 20; i++) {
    const body = ["two", "one"][i % 2]!;
    await centauri.reload(routesTo(upstreams[1 - i % 2]!));
    assert.deepEqual(await Promise.all(both.map(answerOn)), [body, body]);
  }
  const answers = await others.stop();
  assert.ok(answers.length > 5);
  assert.deepEqual(answers.filter((body) => body !== "one" && body !== "two"), []);
  await centauri.reload("route b.example\n  upstream 127.0.0.1:1\n");
  for (const client of both) {
    client.write(GET);
    assert.match((await readMessage(client)).head, /^HTTP\/1.1 421 /);
  }
});

test("of a worker that is killed only its own connections are lost, and it is replaced", async (t) => {
  const upstream = await startServer(t, () => ok("one"));
  const centauri = await start(t, routesTo(upstream));
  const [ofFirst, ofSecond] = await connectBoth(t, centauri);
  const [victim, pid] = [ofFirst[0]!, pidOf(centauri, 1)];
  const from = centauri.logs.length;
  process.kill(pid, "SIGKILL");
  await victim.readToEnd();
  const others = keepAsking(centauri);
  const ended = await centauri.waitForLog(({ msg }) => msg === "worker ended", 5_000, from);
  assert.deepEqual([ended.worker, ended.pid, ended.why], [1, pid, "SIGKILL"]);
  await centauri.waitForLog(({ msg }) => msg === "worker replaced", START_MS, from);
  const answers = await others.stop();
  assert.deepEqual(answers.filter((body) => body !== "one"), [], "new ones are all served");
  for (const client of ofSecond) assert.equal(await answerOn(client), "one");
  await connectBoth(t, centauri); // the new one serves, too
  assert.equal(centauri.logs.filter((line) => line.includes('"listening"')).length, 2);
});

test("a worker that crashes again and again is started more and more slowly", async (t) => {
  const upstream = await startServer(t, () => ok("one"));
  const centauri = await start(t, routesTo(upstream));
  const waits: unknown[] = [];
  for (let i = 0; i < 5; i++) {
    const from = centauri.logs.length;
    process.kill(pidOf(centauri, 1), "SIGKILL");
    waits.push((await centauri.waitForLog(({ msg }) => msg === "worker ended", 5_000, from)).next);
    await centauri.waitForLog(({ msg }) => msg === "worker starts", START_MS, from);
  }
  const next = "another one starts";
  const expected = [next, ...[0.1, 0.2, 0.4, 0.8].map((wait) => `${next} in ${wait} s`)];
  assert.deepEqual(waits, expected);
  const answer = await httpsExchange(centauri.httpsPort, "a.example", GET, { until: 1 });
  assert.match(answer, /^HTTP\/1.1 200 /);
});

test("a worker that hangs is noticed and replaced, and the others serve meanwhile", async (t) => {
  const upstream = await startServer(t, () => ok("one"));
  const centauri = await start(t, routesTo(upstream));
  await connectBoth(t, centauri);
  const from = centauri.logs.length;
  const pid = pidOf(centauri, 2);
  process.kill(pid, "SIGSTOP");
  const others = keepAsking(centauri);
  const hangs = await centauri.waitForLog(({ msg }) => msg === "worker hangs", START_MS, from);
  assert.deepEqual([hangs.worker, hangs.pid], [2, pid]);
  await centauri.waitForLog(({ msg }) => msg === "worker replaced", START_MS, from);
  const answers = await others.stop();
  assert.deepEqual(answers.filter((body) => body !== "one"), []);
});

test("SIGTERM lets requests in flight end in all workers, and all end", async (t) => {
  const upstream = await startUpstream(t);
  const centauri = await start(t, routesTo(upstream));
  const of = await connectBoth(t, centauri);
  const pids = [pidOf(centauri, 1), pidOf(centauri, 2)];
  const answers = [of[0][0]!, of[1][0]!].map((client) => answerOn(client));
  const asked = [await upstream.accept(), await upstream.accept()];
  for (const on of asked) await readMessage(on);
  for (const pid of pids) process.kill(pid, "SIGTERM"); // as for a group: it's the main's to decide
  centauri.signal("SIGTERM");
  await centauri.waitForLog(({ msg }) => msg === "stopping");
  for (const idle of [...of[0].slice(1), ...of[1].slice(1)]) await idle.readToEnd();
  for (const port of [centauri.httpsPort, centauri.httpPort]) await refuses(port);
  for (const on of asked) on.write(ok("late"));
  assert.deepEqual(await Promise.all(answers), ["late", "late"]);
  for (const pid of [...pids, centauri.pid]) await gone(pid);
  assert.equal(await centauri.stop(), 0);
  assert.ok(!centauri.logs.some((line) => line.includes("worker ended")));
});

/** Whether it does, soon: each worker closes it when it is told to. */
async function refuses(port: number): Promise<void> {
  const tryOnce = (): Promise<string> =>
    new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => resolve("open"));
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
      socket.on("connect", () => socket.destroy());
    });
  for (let i = 0; await tryOnce() !== "ECONNREFUSED"; i++) {
    assert.ok(i < 500, `port ${port} is still open`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

test("workers end with the main process, however it ends", async (t) => {
  const centauri = await start(t, routesTo({ name: "127.0.0.1:1" }));
  centauri.signal("SIGKILL");
  for (const worker of [1, 2]) await gone(pidOf(centauri, worker));
});

test("a session is resumed by whichever worker has the next connection", {
  skip: isDeno && "Deno 2.9 has no keys for tickets that workers could share",
}, async (t) => {
  if (!needProgram(t, "openssl")) return;
  const centauri = await start(t, routesTo({ name: "127.0.0.1:1" }));
  const file = join(centauri.folder, "session.pem");
  const to = ["-connect", `127.0.0.1:${centauri.httpsPort}`, "-servername", "a.example"];
  const visit = async (...args: string[]): Promise<string> =>
    (await run("openssl", ["s_client", ...to, ...args], { input: GET_CLOSE })).stdout;
  for (const version of ["-tls1_2", "-tls1_3"]) {
    assert.match(await visit(version, "-sess_out", file, "-ign_eof"), /^New, /m);
    for (let i = 0; i < 12; i++) {
      assert.match(await visit(version, "-sess_in", file), /^Reused, /m, `${version}, ${i}`);
    }
  }
});

for (const type of ["http-01", "tls-alpn-01"]) {
  test(`every worker answers a CA by ${type} and has the certificate; none has the account`, async (t) => {
    const dns = await startChalltestsrv(t);
    const [http = 0, https = 0] = await freePorts(2);
    const ports = { httpPort: http, tlsPort: https };
    const pebble = dns && await startPebble(t, { ...ports, dnsServer: dns.dnsServer });
    if (dns === undefined || pebble === undefined) return;
    const centauri = await start(t, routeFor("a.example.com") + routeFor("b.example.com"), {
      ...{ HTTP_PORT: `${http}`, HTTPS_PORT: `${https}`, ACME_CHALLENGES: type },
      ...{ ACME_EMAIL: "admin@example.com", ACME_DIRECTORY: pebble.directory },
      ...{ LEGO_CA_CERTIFICATES: pebble.apiRootFile, ACME_RESOLVERS: dns.dnsServer },
      ...{ WORKERS: "3", OVH_APPLICATION_SECRET: "hush-hush" },
    });
    for (const name of ["a.example.com", "b.example.com"]) {
      await obtained(centauri, { name });
      const serials = new Set<string>();
      for (let i = 0; i < 10; i++) serials.add(await servedSerial(centauri, name));
      assert.equal(serials.size, 1);
    }
    assert.ok(!centauri.logs.some((line) => line.includes('"challenge failed"')));
    await knowNothing(t, centauri);
  });
}

/** That no worker has the account's key, nor variables that are others' business. */
async function knowNothing(t: TestContext, centauri: Centauri): Promise<void> {
  const { key } = JSON.parse(await readFile(join(centauri.folder, "user.pem"), "utf8"));
  const [, secret = ""] = key.split("\n"); // base64 of the private part and more
  assert.ok(secret.length > 40);
  for (const worker of [1, 2, 3]) {
    const pid = pidOf(centauri, worker);
    const environment = fs.readFileSync(`/proc/${pid}/environ`, "latin1");
    assert.ok(environment.includes("PATH="), environment);
    for (const text of ["hush-hush", "ACME_"]) assert.ok(!environment.includes(text), text);
    if (process.getuid?.() !== 0) t.diagnostic("its memory isn't looked at: only root may");
    else {
      assert.ok(hasInMemory(pid, "b.example.com"), "what it has is found");
      assert.ok(!hasInMemory(pid, secret));
    }
  }
}

function hasInMemory(pid: number, text: string): boolean {
  const file = fs.openSync(`/proc/${pid}/mem`, "r");
  try {
    for (const line of fs.readFileSync(`/proc/${pid}/maps`, "latin1").split("\n")) {
      const [, from, to] = /^(\w+)-(\w+) rw/.exec(line) ?? [];
      if (from === undefined || to === undefined) continue;
      const size = parseInt(to, 16) - parseInt(from, 16);
      if (size > 2 ** 28) continue; // reserved, not used
      const bytes = Buffer.alloc(size);
      try {
        fs.readSync(file, bytes, 0, size, parseInt(from, 16));
      } catch {
        continue; // not readable
      }
      if (bytes.includes(text)) return true;
    }
    return false;
  } finally {
    fs.closeSync(file);
  }
}

test("a worker loads nothing of ACME, nor of how certificates are stored", () => {
  const loaded = [...loadedAtStart("worker", readSources())];
  assert.ok(loaded.includes("frontend"));
  for (const name of ["account", "acme", "acmestate", "autocert", "certs", "jsonfile", "store"]) {
    assert.ok(!loaded.includes(name), name);
  }
});

test("a certificate that is renewed is served by all workers once that is said", async (t) => {
  const name = "a.example.com";
  const site = await startWith(t, {
    renewalInfo: ({ order }) => {
      const isFirst = order === site?.ca.certificates[0]?.order;
      const begin = Date.now() + (isFirst ? -2 : 1_000) * 3_600_000;
      return { start: new Date(begin), end: new Date(begin + 3_600_000) };
    },
  }, { env: { WORKERS: "3", LOG_LEVEL: "debug" } });
  const { centauri, ca } = site;
  await obtained(centauri);
  for (let i = 0; i < 10; i++) await servedSerial(centauri, name); // all workers have it
  const from = centauri.logs.findIndex((line) => line.includes('"certificate obtained"')) + 1;
  await obtained(centauri, { from });
  for (let i = 0; i < 10; i++) {
    assert.equal(await servedSerial(centauri, name), ca.certificates[1]?.serial);
  }
});
