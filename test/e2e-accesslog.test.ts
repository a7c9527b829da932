/** Centauri's access log: what is in it, where it goes, and what happens when it can't. */
import assert from "node:assert/strict";
import { readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import net from "node:net";
import process from "node:process";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { connectHttp2, GET as GET2, headers, to } from "./http2wire.ts";
import { linesOf, startObserved } from "./observed.ts";
import { until } from "./recorder.ts";
import { type Centauri, httpsExchange, isRunning, needProgram, run } from "./support.ts";
import { runCentauri, type Scope, startCentauri, temporaryFolder } from "./support.ts";
import { connect, curl, ok, readMessage, startServer, startUpstream } from "./wire.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const COMBINED = /^(\S+) - - \[(\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] (".*)$/;
const LOG = "access.log";

/** Lines of the Combined Log Format without what is always the same. */
const short = (lines: readonly string[]): string[] =>
  lines.map((line) => {
    const [, client, , rest = ""] = COMBINED.exec(line) ?? assert.fail(line);
    assert.equal(client, "127.0.0.1");
    return rest.replace(/"curl\/[^"]*"$/, '"curl"');
  });

/** The log is a file in its folder. */
const start = (t: Scope, routes: string, env: Readonly<Record<string, string>> = {}) =>
  startCentauri(t, { routes, env: { ACCESS_LOG: LOG, LOG_LEVEL: "debug", ...env } });

for (const workers of ["1", "2"]) {
  test(`each request is a line in the Combined Log Format, with ${workers} process(es)`, async (t) => {
    const upstream = await startServer(t, () => ok("five!"));
    const routes = `route a.example\n  upstream ${upstream.name}\n`;
    const centauri = await start(t, routes, { WORKERS: workers });
    const { httpsPort, httpPort } = centauri;
    await curl(centauri, "/a?b=c", "-e", "http://r.example/");
    await curl(centauri, "/2", "--http2", "-A", 'ev"il\\\u2603');
    await curl(centauri, "/post", "-d", "12345678", "-A", "");
    await run("curl", ["-s", "-H", "Host: x.example", `http://127.0.0.1:${httpPort}/plain`]);
    await run("curl", ["-s", "-I", "-H", "Host: x.example", `http://127.0.0.1:${httpPort}/head`]);
    await httpsExchange(httpsPort, "a.example", GET.replace("a.ex", "other.ex"), { until: 1 });
    await httpsExchange(httpsPort, "a.example", 'NO" HEAD\r\n\r\n');
    await httpsExchange(httpsPort, "a.example", `GET /${"x".repeat(70_000)} HTTP/1.1\r\n\r\n`);
    const lines = short(await linesOf(centauri, LOG, 8));
    const expected = [
      '"GET /a?b=c HTTP/1.1" 200 5 "http://r.example/" "curl"',
      '"GET /2 HTTP/2.0" 200 5 "-" "ev\\x22il\\x5C\\xE2\\x98\\x83"',
      '"POST /post HTTP/1.1" 200 5 "-" "-"',
      '"GET /plain HTTP/1.1" 308 134 "-" "curl"',
      '"HEAD /head HTTP/1.1" 308 0 "-" "curl"',
      '"GET / HTTP/1.1" 421 181 "-" "-"',
      '"-" 400 0 "-" "-"',
      '"-" 414 0 "-" "-"',
    ];
    assert.deepEqual(lines.sort(), expected.sort()); // of workers each sends its own in order
    assert.equal((await stat(join(centauri.folder, LOG))).mode & 0o137, 0);
    assert.ok(!centauri.logs.some((line) => line.includes("/a?b=c")), "it isn't the log's");
  });

  test(`a file that is moved away is begun anew on a signal, with ${workers} process(es)`, async (t) => {
    const upstream = await startServer(t, () => ok("x"));
    const routes = `route a.example\n  upstream ${upstream.name}\n`;
    const centauri = await start(t, routes, { WORKERS: workers });
    const path = join(centauri.folder, LOG);
    let [asked, going] = [0, true];
    const asking = (async () => {
      while (going) {
        const request = GET.replace("/", `/${asked++}`);
        await httpsExchange(centauri.httpsPort, "a.example", request, { until: 1 });
      }
    })();
    for (const signal of ["SIGUSR1", "SIGUSR2"] as const) {
      const from = centauri.logs.length;
      await until(() => stat(path).then(({ size }) => size > 0));
      await rename(path, `${path}.${signal}`);
      centauri.signal(signal);
      await centauri.waitForLog(({ msg }) => msg === "access log reopened", undefined, from);
    }
    await until(() => stat(path).then(({ size }) => size > 0));
    going = false;
    await asking;
    assert.equal(await centauri.stop(), 0);
    const parts = await Promise.all(
      [`${path}.SIGUSR1`, `${path}.SIGUSR2`, path].map((one) => readFile(one, "utf8")),
    );
    for (const part of parts) assert.match(part, /\n$/);
    const targets = parts.join("").trim().split("\n").map((line) =>
      Number(/"GET \/(\d+) HTTP/.exec(line)?.[1])
    );
    const sorted = targets.sort((a, b) => a - b);
    assert.deepEqual(sorted, Array.from({ length: asked }, (_, i) => i), "none lost, none twice");
    assert.ok(!centauri.logs.some((line) => /debugger/i.test(line)) || "Deno" in globalThis);
  });
}

test("JSON lines say more, whatever a client sends", async (t) => {
  const upstream = await startServer(t, async ({ head }, on) => {
    if (head.startsWith("GET /dies")) return void on.socket.destroy();
    await setTimeout(50);
    return ok("five!");
  });
  const routes = `route a.example\n  upstream ${upstream.name}\nroute dead.example\n` +
    "  upstream 127.0.0.1:1\n  upstream 127.0.0.2:1\n";
  const centauri = await start(t, routes, { ACCESS_LOG_FORMAT: "json" });
  await curl(centauri, "/post", "-d", "12345678", "-A", 'a"\\\u2603', "-e", "http://r/");
  await httpsExchange(
    centauri.httpsPort,
    "dead.example",
    GET.replace("a.ex", "dead.ex").replace("\r\n\r\n", "\r\nUser-Agent: \x80\xff\r\n\r\n"),
    { until: 1 },
  );
  await curl(centauri, "/dies", "--http2");
  const lines = await linesOf(centauri, LOG, 3);
  const [first, second, third] = lines.map((line) => JSON.parse(line));
  const { time, duration, upstream_time, ...rest } = first;
  assert.deepEqual(rest, {
    ...{ client: "127.0.0.1", method: "POST", host: `a.example:${centauri.httpsPort}` },
    ...{ target: "/post", protocol: "HTTP/1.1", status: 200, received: 8, sent: 5 },
    ...{ ended: "complete", route: "a.example", upstream: upstream.name, retries: 0 },
    ...{ tls: "TLSv1.3", referer: "http://r/", user_agent: 'a"\\\xe2\x98\x83' },
  });
  assert.ok(Math.abs(Date.now() - Date.parse(time)) < 60_000, time);
  assert.ok(upstream_time > 0.04 && duration >= upstream_time && duration < 10, lines[0]);
  assert.deepEqual(
    [second.status, second.ended, second.route, second.retries, second.upstream_time],
    [502, "upstream failed", "dead.example", 1, undefined],
  );
  assert.match(second.upstream, /^127\.0\.0\.[12]:1$/);
  assert.deepEqual([third.status, third.ended, third.protocol], [
    502,
    "upstream failed",
    "HTTP/2.0",
  ]);
});

test("a tunnel is a line at its end; who leaves, or is too slow, is one too", async (t) => {
  const upstream = await startUpstream(t);
  const centauri = await start(t, `route a.example\n  upstream ${upstream.name}\n`, {
    ...{ ACCESS_LOG_FORMAT: "json", HEADER_TIMEOUT: "300ms", STALL_TIMEOUT: "300ms" },
    SHUTDOWN_TIMEOUT: "100ms",
  });
  const next = async (count: number) =>
    JSON.parse((await linesOf(centauri, LOG, count))[count - 1]!);

  const tunnel = await connect(t, centauri.httpsPort, { allowHalfOpen: true });
  tunnel.write(GET.replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  peer.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nup");
  await tunnel.read("\r\n\r\nup");
  tunnel.write("client");
  await peer.read("client");
  tunnel.socket.end();
  peer.socket.end();
  const first = await next(1);
  assert.deepEqual(
    [first.status, first.received, first.sent, first.ended],
    [101, 6, 2, "complete"],
  );

  const leaving = await connect(t, centauri.httpsPort);
  leaving.write(GET);
  await (await upstream.accept()).read("\r\n\r\n");
  leaving.socket.destroy();
  assert.deepEqual([(await next(2)).status, (await next(2)).ended], [499, "client left"]);

  const slow = await connect(t, centauri.httpsPort);
  slow.write("GET / HTTP/1.1\r\nHo");
  const third = await next(3);
  assert.deepEqual([third.status, third.method, third.ended], [408, undefined, "complete"]);

  const owing = await connect(t, centauri.httpsPort);
  owing.write("POST /body HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n12");
  const fourth = await next(4);
  assert.deepEqual([fourth.status, fourth.target, fourth.received], [408, "/body", 2]);

  const reset = await connectHttp2(t, centauri.httpsPort);
  reset.write(headers(1, to("/reset", GET2)));
  reset.socket.on("error", () => {});
  await until(() => upstream.wires.some(({ received }) => received.startsWith("GET /reset ")));
  reset.socket.destroy();
  const fifth = await next(5);
  assert.deepEqual([fifth.target, fifth.ended], ["/reset", "client left"]);

  const half = await connect(t, centauri.httpsPort);
  half.write(GET.replace("/", "/half"));
  await until(() => upstream.wires.some(({ received }) => received.startsWith("GET /half ")));
  const end = upstream.wires.find(({ received }) => received.startsWith("GET /half "))!;
  end.write(ok("whole").replace("Length: 5", "Length: 50"));
  await half.read("whole");
  end.socket.destroy();
  const sixth = await next(6);
  assert.deepEqual([sixth.status, sixth.sent, sixth.ended], [200, 5, "upstream failed"]);

  const cut = await connect(t, centauri.httpsPort);
  cut.write(GET.replace("/", "/cut"));
  await until(() => upstream.wires.some(({ received }) => received.startsWith("GET /cut ")));
  assert.equal(await stopWithin(centauri), 0);
  const seventh = await next(7);
  assert.deepEqual([seventh.target, seventh.ended], ["/cut", "cut"]);
});

const stopWithin = ({ stop }: Centauri): Promise<number | null> => stop();

test("the end of the program loses no line, of workers neither", async (t) => {
  const upstream = await startServer(t, () => ok("x"));
  const routes = `route a.example\n  upstream ${upstream.name}\n`;
  for (const workers of ["1", "2"]) {
    const centauri = await start(t, routes, { WORKERS: workers });
    const client = await connect(t, centauri.httpsPort);
    for (let i = 0; i < 100; i++) {
      client.write(GET);
      await readMessage(client);
    }
    assert.equal(await centauri.stop(), 0);
    assert.equal((await readFile(join(centauri.folder, LOG), "utf8")).split("\n").length, 101);
  }
});

test("lines go to standard output, beside the log", async (t) => {
  const upstream = await startServer(t, () => ok("x"));
  const centauri = await start(t, `route a.example\n  upstream ${upstream.name}\n`, {
    ...{ ACCESS_LOG: "stdout", WORKERS: "2" },
  });
  await curl(centauri, "/here");
  const { msg } = await centauri.waitForLog(({ msg }) => /"GET \/here /.test(`${msg}`));
  assert.match(`${msg}`, COMBINED);
  centauri.signal("SIGUSR1"); // changes nothing
  await curl(centauri, "/there");
  await centauri.waitForLog(({ msg }) => /"GET \/there /.test(`${msg}`));
});

for (const workers of ["1", "2"]) {
  test(`a full disk costs lines, and a word in the log, with ${workers} process(es)`, async (t) => {
    const upstream = await startServer(t, () => ok("x"));
    const routes = `route a.example\n  upstream ${upstream.name}\n`;
    const centauri = await startObserved(t, routes, { ACCESS_LOG: "/dev/full", WORKERS: workers });
    const name = "centauri_access_log_dropped_lines_total";
    for (let i = 0; i < 3; i++) {
      assert.equal((await curl(centauri, "/")).stdout, "x");
      await centauri.expect({ [name]: i + 1 });
    }
    const said = centauri.logs.filter((line) => line.includes("access log lines dropped"));
    assert.ok(said.length > 0 && said.length <= Number(workers), said.join()); // each once
    assert.match(said[0]!, /ENOSPC|No space left/);
    assert.ok(await isRunning(centauri.pid));
  });
}

test("a log that can't be opened ends the start", async (t) => {
  const folder = await temporaryFolder(t);
  const upstream = await startServer(t, () => ok("x"));
  const { folder: conf } = await start(t, `route a.example\n  upstream ${upstream.name}\n`);
  const { code, stdout } = await runCentauri([`--access-log=${folder}/none/access.log`], {
    env: { CONFIG: join(conf, "centauri.conf"), HTTP_PORT: "0", HTTPS_PORT: "0" },
    cwd: folder,
  });
  assert.equal(code, 1);
  assert.match(stdout, /can't start.*can't open access log .*ENOENT/);
});

test("a signal opens no port for a debugger", async (t) => {
  if (!needProgram(t, "ss")) return;
  const centauri = await start(t, "route a.example\n  upstream 127.0.0.1:1\n", { WORKERS: "2" });
  const pids = centauri.logs.map((line) => JSON.parse(line))
    .filter(({ msg }) => msg === "worker starts").map(({ pid }) => pid as number);
  assert.equal(pids.length, 2);
  const ports = async (): Promise<string[]> => {
    const { stdout } = await run("ss", ["-Hltnp"]);
    const ours = [centauri.pid, ...pids].map((pid) => `pid=${pid},`);
    return stdout.split("\n").filter((line) => ours.some((pid) => line.includes(pid)))
      .map((line) => line.trim().split(/\s+/)[3] ?? "").sort();
  };
  const before = await ports();
  assert.ok(before.length >= 2, before.join());
  for (const pid of [...pids, centauri.pid]) {
    process.kill(pid, "SIGUSR1");
    await setTimeout(pid === centauri.pid || "Deno" in globalThis ? 200 : 0);
  }
  await centauri.waitForLog(({ msg }) => msg === "access log reopened");
  await until(async () => `${await ports()}` === `${before}`, () => `other ports than ${before}`);
  for (const pid of pids) assert.ok(await isRunning(pid));
  const client = net.connect(centauri.httpPort, "127.0.0.1");
  t.after(() => client.destroy());
});
