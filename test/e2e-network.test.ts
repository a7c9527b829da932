/**
 * Centauris whose routes come from a server: one that a test plays, and Dotege, with a fake engine
 * and, where it is there, a real one.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { encodeConfig } from "../lib/confignetwork.ts";
import type { TestEngine } from "./dockerscenario.ts";
import { canStartEngine, startEngine } from "./engine.ts";
import { startFakeEngine } from "./fakeengine.ts";
import { until } from "./recorder.ts";
import { type Centauri, httpsExchange, type Program, runCentauri, type Scope } from "./support.ts";
import { startCentauri, startProgram, temporaryFolder } from "./support.ts";
import { ok, startServer } from "./wire.ts";

const PATIENCE = 60_000; // ms for a program to start, or an engine to do something

const routeTo = (upstream: { name: string }, name = "a.example"): string =>
  `route ${name}\n  upstream ${upstream.name}\n`;

type Variables = Readonly<Record<string, string>>;

/** One that has no file, and connects to that port. */
const startClient = (t: Scope, port: number, env: Variables = {}): Promise<Centauri> =>
  startCentauri(t, {
    routes: "this is no route file\n",
    env: { CONFIG_SOURCE: "network", CONFIG_NETWORK_ADDRESS: `127.0.0.1:${port}`, ...env },
  });

/** The body of the answer, or why there is none. */
async function ask({ httpsPort }: Centauri, name = "a.example"): Promise<string> {
  const request = `GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`;
  return await httpsExchange(httpsPort, name, request, { until: 1 }).then(
    (answer) => answer.slice(answer.indexOf("\r\n\r\n") + 4),
    (error: Error) => error.message,
  );
}

async function untilAnswer(of: Centauri, expected: string | RegExp, name?: string): Promise<void> {
  const fits = typeof expected === "string" ? (text: string) => text === expected : undefined;
  let last = "";
  for (const start = Date.now();; await setTimeout(50)) {
    last = await ask(of, name);
    if (fits?.(last) ?? (expected as RegExp).test(last)) return;
    if (Date.now() - start > PATIENCE) break;
  }
  assert.fail(`the answer is never ${expected}, but ${last}:\n${of.logs.join("\n")}`);
}

interface Pusher {
  readonly port: number;
  readonly sockets: ReadonlySet<net.Socket>;
  /** To all who are connected; later ones get it at once. */
  push(routes: string): void;
  close(): void;
}

async function startPusher(t: Scope, port = 0): Promise<Pusher> {
  let latest: Buffer | undefined;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.on("error", () => {}).on("close", () => sockets.delete(socket)));
    if (latest !== undefined) socket.write(latest);
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  t.after(close);
  const push = (routes: string): void => {
    latest = encodeConfig(routes);
    for (const socket of sockets) socket.write(latest);
  };
  return { port: (server.address() as net.AddressInfo).port, sockets, push, close };
}

test("a network source without an address ends the start", async () => {
  for (
    const [address, problem] of [
      ["", "address must be specified"],
      ["nowhere", 'invalid address "nowhere"'],
      ["a:b", 'invalid address "a:b"'],
      ["::1:80", 'invalid address "::1:80"'],
    ] as const
  ) {
    const env = { CONFIG_SOURCE: "NETWORK", CONFIG_NETWORK_ADDRESS: address };
    const { code, stderr } = await runCentauri([], { env });
    const expected = "expected --config-network-address host:port";
    const line = `centauri: failed to start config source: ${problem}: ${expected}\n`;
    assert.deepEqual([code, stderr], [2, line]);
  }
});

for (const workers of ["1", "2"]) {
  test(`routes come from the network, with --workers ${workers}`, async (t) => {
    const [one, two] = [
      await startServer(t, () => ok("one")),
      await startServer(t, () => ok("two")),
    ];
    const pusher = await startPusher(t);
    const centauri = await startClient(t, pusher.port, { WORKERS: workers });
    const { next } = await centauri.waitForLog((r) => r.msg === "waiting for routes");
    assert.match(String(next), /unrecognized_name/);
    assert.match(await ask(centauri), /unrecogni[sz]ed.?name/i); // it listens before there are any
    pusher.push(routeTo(one));
    await untilAnswer(centauri, "one");
    pusher.push(routeTo(two)); // on the same connection
    await untilAnswer(centauri, "two");
    pusher.push(`error please\n${routeTo(one)}`);
    const bad = await centauri.waitForLog((r) => r.level === "ERROR");
    assert.deepEqual([bad.line, bad.address], [1, `127.0.0.1:${pusher.port}`]);
    assert.equal(await ask(centauri), "two");
    pusher.push(`${routeTo(one)}  provider nobody\n`);
    await centauri.waitForLog((r) => /unknown provider "nobody"/.test(String(r.problem)));
    assert.equal(await ask(centauri), "two");
    pusher.close(); // the routes stay
    await centauri.waitForLog((r) => r.level === "WARN" && /the routes stay/.test(String(r.msg)));
    assert.equal(await ask(centauri), "two");
    const again = await startPusher(t, pusher.port);
    again.push(routeTo(one));
    centauri.signal("SIGHUP"); // doesn't wait
    await untilAnswer(centauri, "one");
    centauri.signal("SIGINT");
    await centauri.waitForLog((r) => r.msg === "stopped");
    assert.equal(await centauri.stop(), 0);
  });
}

test("--validate fetches the routes and checks them", async (t) => {
  const pusher = await startPusher(t);
  const folder = await temporaryFolder(t);
  const env = {
    ...{ CONFIG_SOURCE: "network", CONFIG_NETWORK_ADDRESS: `127.0.0.1:${pusher.port}` },
    CERTIFICATE_STORE: join(folder, "certs.json"),
  };
  const validate = () => runCentauri(["--validate", "--log.format=json"], { env });
  pusher.push(routeTo({ name: "app:80" }));
  const good = await validate();
  assert.equal(good.code, 0, good.stdout);
  assert.match(good.stdout, /"msg":"configuration is valid","address":"127.*","routes":1/);
  pusher.push(`error please\n${routeTo({ name: "app:80" })}upstream\n`);
  const bad = await validate();
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /"line":1,[^]*"line":4,/);
  pusher.close();
  const gone = await validate();
  assert.equal(gone.code, 1);
  assert.match(gone.stdout, /failed to get network config: .*ECONNREFUSED/);
});

test("16 MiB of routes, or of anything else, leave Centauri whole", async (t) => {
  const one = await startServer(t, () => ok("one"));
  const pusher = await startPusher(t);
  const centauri = await startClient(t, pusher.port);
  const size = 16 * 1024 * 1024;
  const isRefused = (r: { level?: unknown; msg?: unknown }): boolean =>
    r.level === "ERROR" && /failed to parse/.test(String(r.msg));
  for (
    const [filler, line] of [["\0", 3], ["\n#x", undefined], ["route a.example\n", 3]] as const
  ) {
    const from = centauri.logs.length;
    pusher.push(routeTo(one).padEnd(size, filler));
    if (line === undefined) {
      await centauri.waitForLog((r) => r.msg === "routes loaded", PATIENCE, from);
    } else {
      const { line: found } = await centauri.waitForLog(isRefused, PATIENCE, from);
      assert.equal(found, line);
    }
  }
  await untilAnswer(centauri, "one");
  const many = Array.from({ length: 30_000 }, (_, i) => routeTo(one, `n${i}.example`));
  pusher.push(many.join(""));
  await untilAnswer(centauri, "one", "n29999.example");
  assert.equal(await centauri.stop(), 0);
});

const TEMPLATE = "{{range .Hostnames}}route {{.Name}}\n" +
  "{{range .Containers}}  upstream 127.0.0.1:{{.Port}}\n{{end}}{{end}}";

interface Dotege extends Program {
  readonly port: number;
}

async function startDotege(t: TestContext, engine: TestEngine, port = 0): Promise<Dotege> {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "a.tpl"), TEMPLATE);
  const dotege = startProgram(t, "dotege.ts", {
    cwd: folder,
    env: {
      ...engine.env as Record<string, string>,
      DOTEGE_TEMPLATE_SOURCE: join(folder, "a.tpl"),
      DOTEGE_TEMPLATE_DESTINATION: join(folder, "centauri.conf"),
      DOTEGE_PUSH_LISTEN: `127.0.0.1:${port}`,
      DOTEGE_LOG_FORMAT: "json",
    },
  });
  const isListening = (r: { msg?: unknown; service?: unknown }): boolean =>
    r.msg === "listening" && r.service === "push";
  return { ...dotege, port: (await dotege.waitForLog(isListening, PATIENCE)).port as number };
}

async function feed(t: TestContext, engine: TestEngine): Promise<void> {
  const [one, two] = [await startServer(t, () => ok("one")), await startServer(t, () => ok("two"))];
  const labels = (name: string, { port }: { port: number }): Record<string, string> => ({
    "com.chameth.vhost": name,
    "com.chameth.proxy": `${port}`,
  });
  await engine.run("one", { labels: labels("a.example", one) });
  const dotege = await startDotege(t, engine);
  const early = await Promise.all([startClient(t, dotege.port), startClient(t, dotege.port)]);
  await Promise.all(early.map((each) => untilAnswer(each, "one")));
  await engine.run("two", { labels: labels("b.example", two) });
  await Promise.all(early.map((each) => untilAnswer(each, "two", "b.example")));
  const late = await startClient(t, dotege.port); // gets them at once: nothing changes any more
  await untilAnswer(late, "two", "b.example");
  const all = [...early, late];
  dotege.signal("SIGKILL");
  await dotege.stop();
  const isLost = (r: { level?: unknown; msg?: unknown }): boolean =>
    r.level === "WARN" && /the routes stay/.test(String(r.msg));
  await Promise.all(all.map((each) => each.waitForLog(isLost)));
  for (const each of all) assert.equal(await ask(each), "one");
  await engine.remove("one");
  await engine.run("three", { labels: labels("c.example", one) });
  const second = await startDotege(t, engine, dotege.port);
  await Promise.all(all.map((each) => untilAnswer(each, "one", "c.example")));
  for (const each of all) assert.match(await ask(each), /unrecogni[sz]ed.?name/i); // that is gone
  const isBack = (line: string): boolean => line.includes("network config is back");
  await until(() => all.every(({ logs }) => logs.filter(isBack).length === 1));
  for (const { logs } of all) assert.equal(logs.filter((line) => /"WARN"/.test(line)).length, 1);
  assert.deepEqual(await Promise.all([...all, second].map((each) => each.stop())), [0, 0, 0, 0]);
}

test("Dotege feeds three Centauris, and is missed by none, with a fake engine", async (t) => {
  await feed(t, await startFakeEngine(t));
});

test("Dotege feeds three Centauris, and is missed by none, with a real engine", async (t) => {
  if (canStartEngine(t)) await feed(t, await startEngine(t));
});
