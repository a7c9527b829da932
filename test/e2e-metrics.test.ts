/** Centauri's page of metrics: what is counted, by whom, and what is not. */
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { startWith } from "./acmesite.ts";
import { freePorts } from "./acmepeers.ts";
import { connectHttp2, GET as GET2, headers } from "./http2wire.ts";
import { type Observed, startObserved } from "./observed.ts";
import { until } from "./recorder.ts";
import { httpsExchange, needProgram, run, runCentauri, startCentauri } from "./support.ts";
import { connect, curl, ok, readMessage, startServer, startUpstream } from "./wire.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const START_MS = 60_000;

const response = (route: string, status: number): string =>
  `centauri_response_total{route="${route}",status="${status}"}`;
const of = (name: string, labels = ""): string => `centauri_${name}${labels && `{${labels}}`}`;

/** A request over a connection of its own; its status. */
async function ask(centauri: Observed, host: string, target = "/", more = ""): Promise<number> {
  const request = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`;
  const answer = await httpsExchange(centauri.httpsPort, host.split(":")[0]!, request);
  return Number(answer.slice(9, 12));
}

for (const workers of ["1", "2"]) {
  const about = workers === "1" ? "one process" : `${workers} workers together`;

  test(`answers of ${about} are counted by route and status, as Go's are`, async (t) => {
    const upstream = await startServer(t, ({ head }) => {
      return head.startsWith("GET /no") ? ok("").replace("200 OK", "404 Not Found") : ok("five!");
    });
    const routes = `route a.example b.example\n  upstream ${upstream.name}\n` +
      "  redirect-to-primary\nroute dead.example\n  upstream 127.0.0.1:1\n" +
      "  upstream 127.0.0.2:1\n";
    const centauri = await startObserved(t, routes, { WORKERS: workers });
    for (let i = 0; i < 8; i++) assert.equal(await ask(centauri, "a.example"), 200);
    assert.equal(await ask(centauri, "a.example:8443"), 200); // Go loses these
    assert.equal(await ask(centauri, "a.example", "/no"), 404);
    assert.equal(await ask(centauri, "b.example"), 308);
    assert.equal(await ask(centauri, "dead.example"), 502);
    assert.equal(await ask(centauri, "a.example", "/", "Bad\r\n"), 400);
    const h2 = await connectHttp2(t, centauri.httpsPort);
    h2.write(headers(1, GET2));
    assert.equal(await h2.body(1), "five!");
    const samples = await centauri.expect({
      [response("a.example", 200)]: 10,
      [response("a.example", 404)]: 1,
      [response("a.example", 308)]: 1,
      [response("dead.example", 502)]: 1,
      [response("", 400)]: 1,
      [of("tls_hello_total", 'known="true"')]: 14,
      [of("requests_in_flight")]: 0,
      [of("connections")]: 1,
      [of("upstream_failures_total", 'route="dead.example"')]: 2,
      [of("upstream_retries_total", 'route="dead.example"')]: 1,
      [of("requests_incomplete_total", 'route="dead.example",reason="upstream_failed"')]: 1,
      [of("request_duration_seconds_count", 'route="a.example"')]: 12,
      [of("request_duration_seconds_bucket", 'route="a.example",le="+Inf"')]: 12,
      [of("config_last_reload_successful")]: 1,
    });
    assert.ok(samples.get("process_cpu_seconds_total")! > 0.1);
    assert.ok(samples.get("process_resident_memory_bytes")! > 1e7);
    assert.ok(samples.get("process_open_fds")! > 5);
    const age = Date.now() / 1000 - samples.get("process_start_time_seconds")!;
    assert.ok(age > 0 && age < 600, `${age}`);
    if (!needProgram(t, "promtool")) return;
    const checked = await run("promtool", ["check", "metrics"], { input: await centauri.page() });
    assert.deepEqual(checked, { code: 0, stdout: "", stderr: "" });
  });
}

test("nothing that a client sends becomes a label", async (t) => {
  const upstream = await startServer(t, () => ok("x"));
  const centauri = await startObserved(t, `route a.example\n  upstream ${upstream.name}\n`);
  await ask(centauri, "a.example", "/secret-path?secret-query", "X-Secret-Field: secret\r\n");
  await ask(centauri, "a.example", "/", "X-Forwarded-Host: secret.example\r\n");
  const method = `SECRET${GET.slice(3)}`;
  await httpsExchange(centauri.httpsPort, "a.example", method, { until: 1 });
  await httpsExchange(centauri.httpsPort, "a.example", GET.replace("a.ex", "secret.ex"), {
    until: 1,
  });
  await assert.rejects(httpsExchange(centauri.httpsPort, "secret.example", GET));
  await centauri.expect({
    [response("a.example", 200)]: 3,
    [response("", 421)]: 1,
    [of("tls_hello_total", 'known="false"')]: 1,
  });
  assert.doesNotMatch(await centauri.page(), /secret/i);
});

test("requests are in flight until they end, tunnels too; clients that leave are told", async (t) => {
  const upstream = await startUpstream(t);
  const centauri = await startObserved(t, `route a.example\n  upstream ${upstream.name}\n`);
  const client = await connect(t, centauri.httpsPort);
  client.write(GET);
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  await centauri.expect({ [of("requests_in_flight")]: 1, [of("connections")]: 1 });
  client.socket.destroy();
  await centauri.expect({
    [of("requests_in_flight")]: 0,
    [of("connections")]: 0,
    [response("a.example", 499)]: 1,
    [of("requests_incomplete_total", 'route="a.example",reason="client_left"')]: 1,
  });

  const tunnel = await connect(t, centauri.httpsPort, { allowHalfOpen: true });
  tunnel.write(GET.replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
  const end = await upstream.accept();
  await end.read("\r\n\r\n");
  end.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
  await tunnel.read("\r\n\r\n");
  await centauri.expect({ [of("requests_in_flight")]: 1 });
  tunnel.socket.end();
  end.socket.end();
  const samples = await centauri.expect({
    [of("requests_in_flight")]: 0,
    [response("a.example", 101)]: 1,
  });
  assert.equal(samples.get(of("request_duration_seconds_count", 'route="a.example"')), 1);
});

test("handshakes that fail are counted by why they do", async (t) => {
  const centauri = await startObserved(
    t,
    "route a.example\n  upstream 127.0.0.1:1\n" +
      "route b.example\n  provider lego\n  upstream 127.0.0.1:1\n",
    { HANDSHAKE_TIMEOUT: "1s" },
  );
  const { httpsPort } = centauri;
  const fails = (name: string, tls = {}): Promise<void> =>
    assert.rejects(httpsExchange(httpsPort, name, GET, { tls }));
  const bytes = (text: string | undefined): net.Socket => {
    const socket = net.connect(httpsPort, "127.0.0.1").on("error", () => {});
    t.after(() => socket.destroy());
    return text === undefined ? socket : (socket.write(text), socket.resume());
  };
  await fails("unknown.example");
  await fails("");
  await fails("b.example");
  await fails("a.example", { ALPNProtocols: ["ftp"] });
  bytes("GET / HTTP/1.1\r\n\r\n");
  bytes("\x16\x03\x01\x00\x05\x02\x00\x00\x00\x00");
  bytes(undefined).on("connect", function (this: net.Socket) {
    this.end();
  });
  bytes("\x16"); // and no more
  const failed = (reason: string) => of("tls_handshake_failures_total", `reason="${reason}"`);
  const expected: Record<string, number> = {};
  for (
    const reason of [
      ...["unknown_name", "no_server_name", "no_certificate", "no_common_protocol"],
      ...["not_tls", "malformed", "client_left", "timeout"],
    ]
  ) expected[failed(reason)] = 1;
  await centauri.expect(expected);
  if (!needProgram(t, "openssl")) return;
  const s_client = (...args: string[]) =>
    run("openssl", ["s_client", "-connect", `127.0.0.1:${httpsPort}`, ...args]);
  await s_client("-servername", "a.example", "-tls1_2", "-cipher", "AES128-SHA");
  await s_client("-servername", "a.example", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0");
  await curl(centauri, "/", "--no-insecure");
  await centauri.expect({
    [failed("no_shared_cipher")]: 1,
    [failed("protocol_version")]: 1,
    [failed("certificate_refused")]: 1,
  });
});

test("a reload that fails is told, and what it leaves as it was; one that doesn't, too", async (t) => {
  const upstream = await startServer(t, () => ok("x"));
  const route = (name: string) => `route ${name}\n  upstream ${upstream.name}\n`;
  const centauri = await startObserved(t, route("a.example") + route("b.example"));
  const [reload, at] = ["successful", "success_timestamp_seconds"].map((end) =>
    of(`config_last_reload_${end}`)
  ) as [string, string];
  for (const host of ["a.example", "b.example"]) assert.equal(await ask(centauri, host), 200);
  const before = await centauri.expect({ [reload]: 1, [response("b.example", 200)]: 1 });
  const age = Date.now() / 1000 - before.get(at)!;
  assert.ok(age > -1 && age < 600, `${age}`);
  await centauri.writeRoutes("route\n");
  centauri.signal("SIGHUP");
  const after = await centauri.expect({ [reload]: 0, [response("b.example", 200)]: 1 });
  assert.equal(after.get(at), before.get(at));
  await centauri.reload(route("a.example"));
  const samples = await centauri.expect({ [reload]: 1, [response("a.example", 200)]: 1 });
  assert.equal(samples.get(response("b.example", 200)), undefined);
  assert.ok(samples.get(at)! >= before.get(at)!);
});

/** The processes of workers, by number. */
async function pidsOf({ logs, pid }: Observed, count: number): Promise<number[]> {
  const find = () =>
    logs.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "worker starts");
  await until(() => find().length >= count, () => `workers of ${pid}`);
  return find().map((record) => record.pid);
}

async function crash(centauri: Observed, signal: NodeJS.Signals, pid: number): Promise<void> {
  const from = centauri.logs.length;
  process.kill(pid, signal);
  await centauri.waitForLog(({ msg }) => msg === "worker replaced", START_MS, from);
}

test("no counter goes backwards when workers die", async (t) => {
  const upstream = await startServer(t, () => ok("x"));
  const routes = `route a.example\n  upstream ${upstream.name}\n`;
  const centauri = await startObserved(t, routes, { WORKERS: "2" });
  const askOften = async (): Promise<void> => {
    for (let i = 0; i < 6; i++) assert.equal(await ask(centauri, "a.example"), 200);
  };
  await askOften();
  const first = await centauri.expect({ [response("a.example", 200)]: 6 });
  for (const pid of await pidsOf(centauri, 2)) await crash(centauri, "SIGKILL", pid);
  const second = await centauri.expect({ [response("a.example", 200)]: 6 });
  const counters = [...first.keys()].filter((key) => /_(total|count|sum|bucket)(\{|$)/.test(key));
  assert.ok(counters.length > 10);
  for (const key of counters) assert.ok(second.get(key)! >= first.get(key)!, key);
  await askOften();
  await centauri.expect({
    [response("a.example", 200)]: 12,
    [of("requests_in_flight")]: 0,
    [of("connections")]: 0,
  });
});

test("a worker that hangs keeps nobody from the others' figures, nor from its last ones", async (t) => {
  const upstream = await startServer(t, () => ok("x"));
  const routes = `route a.example\n  upstream ${upstream.name}\n`;
  const centauri = await startObserved(t, routes, { WORKERS: "2" });
  for (let i = 0; i < 6; i++) assert.equal(await ask(centauri, "a.example"), 200);
  await centauri.expect({ [response("a.example", 200)]: 6 });
  const [pid = 0] = await pidsOf(centauri, 2);
  process.kill(pid, "SIGSTOP");
  const samples = await centauri.samples().finally(() => process.kill(pid, "SIGCONT"));
  assert.equal(samples.get(response("a.example", 200)), 6);
});

test("certificates are told with their expiry and subject, orders that fail by subject", async (t) => {
  const [port = 0] = await freePorts(1);
  const { centauri } = await startWith(t, { reject: () => "no" }, {
    routes: "route b.example c.example\n  subject c.example\n  provider selfsigned\n" +
      "  upstream 127.0.0.1:1\nroute nowhere.example\n  upstream 127.0.0.1:1\n",
    env: { METRICS_PORT: `${port}`, CERTIFICATE_PROVIDERS: "lego selfsigned" },
  });
  await httpsExchange(centauri.httpsPort, "b.example", GET.replace("a.ex", "b.ex"), { until: 1 });
  let text = "";
  await until(async () => {
    text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return text.includes(of("acme_orders_failed_total"));
  }, () => text + centauri.logs.join("\n"));
  const [, end] = /_expiry_timestamp_seconds\{route="b\.example",subject="([^"]*)"\} /.exec(text)!;
  assert.equal(end, "c.example");
  const at = Number(/_expiry_timestamp_seconds\{route="b\.example".* (\S+)\n/.exec(text)?.[1]);
  const days = (at - Date.now() / 1000) / 86_400;
  assert.ok(days > 29 && days <= 30, `${days}`);
  assert.match(text, /^centauri_acme_orders_failed_total\{subject="nowhere\.example"\} 1$/m);
});

test("the port answers for its pages only, and is closed when the program ends", async (t) => {
  const centauri = await startObserved(t, "route a.example\n  upstream 127.0.0.1:1\n");
  const url = `http://127.0.0.1:${centauri.metricsPort}`;
  const status = async (path: string, method = "GET"): Promise<number> => {
    const answer = await fetch(url + path, { method, redirect: "manual" });
    await answer.body?.cancel();
    return answer.status;
  };
  assert.deepEqual(
    [await status("/metrics?x"), await status("/"), await status("/metrics/"), await status("//")],
    [200, 404, 404, 404],
  );
  assert.deepEqual([await status("/metrics", "HEAD"), await status("/metrics", "POST")], [
    200,
    405,
  ]);
  const { headers } = await fetch(`${url}/metrics`);
  assert.equal(headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assert.equal(headers.get("cache-control"), "no-store");
  const other = net.connect(centauri.metricsPort, "127.0.0.1").on("error", () => {});
  t.after(() => other.destroy());
  await once(other, "connect");
  assert.equal(await centauri.stop(), 0);
  await assert.rejects(fetch(url));
});

test("a port for metrics that is taken ends the start", async (t: TestContext) => {
  const first = await startObserved(t, "route a.example\n  upstream 127.0.0.1:1\n");
  const { code, stdout } = await runCentauri([`--metrics-port=${first.metricsPort}`], {
    env: {
      ...{ CONFIG: `${first.folder}/centauri.conf`, HTTP_PORT: "0", HTTPS_PORT: "0" },
      METRICS_ADDRESS: "127.0.0.1",
    },
    cwd: first.folder,
  });
  assert.equal(code, 1);
  assert.match(
    stdout,
    new RegExp(`can't listen on metrics port ${first.metricsPort}: .*EADDRINUSE`),
  );
});

test("without metrics and an access log nothing of them is loaded, and no port is open", async (t) => {
  const upstream = await startServer(t, () => ok("x"));
  const centauri = await startCentauri(t, {
    routes: `route a.example\n  upstream ${upstream.name}\n`,
  });
  assert.equal((await curl(centauri, "/")).stdout, "x");
  const client = await connect(t, centauri.httpsPort);
  client.write(GET);
  assert.equal((await readMessage(client)).body, "x");
  assert.ok(!centauri.logs.some((line) => line.includes('"metrics"')));
});
