/**
 * The control side as an operator sees it: options, --validate, starts that fail, reloads, the end,
 * the log, and how many connections there may be.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { CENTAURI_OPTIONS } from "../lib/settings.ts";
import {
  type Centauri,
  httpsExchange,
  needProgram,
  run,
  runCentauri,
  runtimeCommand,
  type Scope,
  startCentauri,
  temporaryFolder,
  thisRuntime,
} from "./support.ts";
import { NODE_24, vectors } from "./vectors/clienthello.ts";
import { connect, ok, readMessage, startServer, startUpstream, type Wire, wire } from "./wire.ts";

const file: Scope = { after };
const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/** Two upstreams, told apart by what they answer. */
const one = await startServer(file, () => ok("one"));
const two = await startServer(file, () => ok("two"));
const routeTo = (upstream: { name: string }, name = "a.example"): string =>
  `route ${name}\n  upstream ${upstream.name}\n`;

/** One for all tests that reload it by signal, at the log's default level. */
const centauri = await startCentauri(file, { routes: routeTo(one) });

/** The body of the answer that a.example gives now. */
async function answerOf({ httpsPort }: Centauri, name = "a.example"): Promise<string> {
  const request = GET.replace("a.example", name);
  const answer = await httpsExchange(httpsPort, name, request, { until: 1 });
  return answer.slice(answer.indexOf("\r\n\r\n") + 4);
}

/** Asks until the answer is that, as it must be soon. */
async function untilAnswer(of: Centauri, body: string): Promise<void> {
  for (let patience = 100; await answerOf(of) !== body; await setTimeout(50)) {
    assert.ok(patience-- > 0, `the answer is never ${body}:\n${of.logs.join("\n")}`);
  }
}

async function rawConnection(t: Scope, port: number): Promise<Wire> {
  const socket = net.connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return wire(socket);
}

/** Sends some bytes and closes; resolves when the other side has closed, too. */
async function sendRaw(port: number, bytes: string | Uint8Array): Promise<void> {
  const client = wire(net.connect(port, "127.0.0.1"));
  client.write(bytes);
  client.socket.end();
  await client.readToEnd();
  client.socket.destroy();
}

interface BadOption {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly expect: string;
}

const badOptions: readonly BadOption[] = [
  { args: ["--htps-port=1"], expect: `unknown option "--htps-port": did you mean --https-port?` },
  {
    args: ["-https-port", "http"],
    expect: `can't use --https-port "http": expected a whole number, 0 to 65535`,
  },
  { env: { HTTP_PORT: "" }, expect: `can't use HTTP_PORT "": expected a whole number, 0 to 65535` },
  { env: { FRONTEND: "not-good" }, expect: "FRONTEND: unknown frontend: not-good: expected " },
  {
    env: { CONFIG_SOURCE: "invalid" },
    expect: "CONFIG_SOURCE: unknown config source: invalid: expected ",
  },
  {
    env: { CERTIFICATE_STORE_TYPE: "invalid" },
    expect: "CERTIFICATE_STORE_TYPE: unknown certificate store: invalid: expected ",
  },
  {
    args: ["--log.level=infos"],
    expect: "--log.level: unknown log level: infos: expected one of debug, info, warn, error; " +
      "did you mean info?",
  },
  {
    args: ["--shutdown-timeout=1000h"],
    expect: `can't use --shutdown-timeout "1000h": expected a duration like 1m30s, 0s to 24h`,
  },
  { args: ["--config"], expect: "give --config a value: expected text" },
  { args: ["--validate", "false"], expect: `remove "false": expected options only` },
  {
    env: { CERTIFICATE_PROVIDERS: "lego self\u001b[31m" },
    expect: `can't use --certificate-providers "self\\u001b[31m": expected lego or selfsigned`,
  },
  {
    env: { TRUSTED_DOWNSTREAMS: "10.0.0.0/8,not-a-cidr" },
    expect: `can't use --trusted-downstreams: invalid network "not-a-cidr": expected `,
  },
];

test("an option that can't be used ends the start with one line and exit code 2", async () => {
  assert.ok(badOptions.length > 0);
  await Promise.all(badOptions.map(async ({ args = [], env = {}, expect }) => {
    const { code, stdout, stderr } = await runCentauri(args, { env });
    assert.equal(code, 2, expect);
    assert.equal(stdout, "");
    assert.ok(stderr.startsWith(`centauri: ${expect}`), `${stderr} isn't ${expect}`);
    assert.match(stderr, /^[^\n]+\n$/);
  }));
});

test("--help lists every option with its default and variable", async () => {
  const { code, stdout, stderr } = await runCentauri(["--help"]);
  assert.deepEqual([code, stderr], [0, ""]);
  for (const { name, group } of CENTAURI_OPTIONS) {
    assert.match(stdout, new RegExp(`^  --${name.replace(".", "\\.")}( |$)`, "m"));
    assert.match(stdout, new RegExp(`^${group}$`, "m"));
  }
  for (const note of ["(default 8443; HTTPS_PORT)", "(default 3m; IDLE_TIMEOUT)", "LOG_LEVEL)"]) {
    assert.ok(stdout.includes(note), note);
  }
});

/** A route file in a folder of its own. */
async function routeFile(t: Scope, text: string): Promise<string> {
  const path = join(await temporaryFolder(t), "centauri.conf");
  await writeFile(path, text);
  return path;
}

/** --validate's exit code, and its output as text. */
async function validate(
  config: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; lines: string[] }> {
  const store = { CERTIFICATE_STORE: join(config, "../certs.json") };
  const { code, stdout, stderr } = await runCentauri([], {
    env: { VALIDATE: "true", CONFIG: config, ...store, ...env },
  });
  assert.equal(stderr, "");
  return { code, lines: stdout.split("\n").slice(0, -1) };
}

test("--validate passes a good file without listening, or writing anything", async (t) => {
  const path = await routeFile(t, routeTo(one));
  const { code, lines } = await validate(path, { HTTPS_PORT: `${centauri.httpsPort}` });
  assert.equal(code, 0, lines.join("\n"));
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", / level=INFO msg="configuration is valid" .*routes=1$/);
  await assert.rejects(readFile(join(path, "../certs.json")), { code: "ENOENT" });
});

test("--validate tells of all problems with their lines, and exits with 1", async (t) => {
  const path = await routeFile(
    t,
    "upstram x\nroute a.example b..c\n  upstream up:99999\n\nroute a.example\n  provider lego\n" +
      "  header nothing\n",
  );
  const bad = await validate(path, { LOG_FORMAT: "JSON" });
  assert.equal(bad.code, 1);
  const records = bad.lines.map((line) => JSON.parse(line));
  assert.deepEqual(records.map(({ line }) => line), [1, 2, 3, 5, 5, 7]);
  for (const record of records) {
    assert.equal(record.level, "ERROR");
    assert.match(record.msg, /^failed to parse config file: /);
    assert.equal(record.path, path);
  }
  assert.match(records[0].problem, /invalid line "upstram x": expected upstream/);

  await writeFile(path, `${routeTo(one)}  provider letsencrypt\n`);
  const store = join(path, "../certs.json");
  await writeFile(store, "{");
  const provider = await validate(path);
  assert.equal(provider.code, 1);
  const [first = "", second = ""] = provider.lines.sort();
  assert.match(
    first + second,
    /line=1 problem="unknown provider \\"letsencrypt\\": expected lego /,
  );
  assert.ok((first + second).includes(store), "and of the store");

  await rm(path);
  const missing = await validate(path);
  assert.equal(missing.code, 1);
  assert.match(missing.lines.join("\n"), /failed to open config file/);
});

test("a flag beats its variable, with one dash or two, after = or a space", async (t) => {
  const path = await routeFile(t, routeTo(one));
  const env = { CONFIG: "/nowhere", VALIDATE: "false", LOG_LEVEL: "error", LOG_FORMAT: "json" };
  for (
    const args of [["-config", path, "-log.level=INFO"], [
      `--config=${path}`,
      "--log.level",
      "Info",
    ]]
  ) {
    const { code, stdout } = await runCentauri([...args, "--validate"], { env });
    assert.equal(code, 0, stdout);
    assert.equal(JSON.parse(stdout).msg, "configuration is valid");
  }
});

test("a start that can't succeed says why and exits with 1", async (t) => {
  const store = join(await temporaryFolder(t), "certs.json");
  const start = async (env: Readonly<Record<string, string>>): Promise<string> => {
    const ports = { HTTP_PORT: "0", HTTPS_PORT: "0", CERTIFICATE_STORE: store };
    const { code, stdout, stderr } = await runCentauri([], { env: { ...ports, ...env } });
    assert.equal(code, 1, stdout + stderr);
    assert.equal(stderr, "");
    assert.doesNotMatch(stdout, /listening.*listening/s);
    assert.doesNotMatch(stdout, /^ +at /m, "no stack");
    return stdout;
  };
  const CONFIG = await routeFile(t, routeTo(one));
  for (
    const [name, port] of [["HTTPS_PORT", centauri.httpsPort], ["HTTP_PORT", centauri.httpPort]]
  ) {
    const output = await start({ CONFIG, [`${name}`]: `${port}` });
    assert.match(
      output,
      new RegExp(`msg="can't start" error="can't listen on port ${port}: .*EADDRINUSE`),
    );
  }
  assert.match(await start({ CONFIG: "/nowhere" }), /msg="failed to open config file: .*ENOENT/);
  const folder = await start({ CONFIG: join(CONFIG, "..") });
  assert.match(folder, /msg="failed to open config file: .*(EISDIR|is a directory)/i);
  const bad = await start({ CONFIG: await routeFile(t, "a\nb\n") });
  assert.equal(bad.match(/msg="failed to parse config file: .* line=[12] /g)?.length, 2);
  const unknown = await start({ CONFIG: await routeFile(t, `${routeTo(one)}provider x\n`) });
  assert.match(unknown, /unknown provider \\"x\\"/);
});

test("the log is text or JSON, whatever the case of the choice, from its level on", async (t) => {
  const path = await routeFile(t, routeTo(one));
  const [line = ""] = (await validate(path)).lines;
  const iso = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z";
  const text = `^time=${iso} level=INFO msg="configuration is valid" path=${path} routes=1$`;
  assert.match(line, new RegExp(text));
  const { lines } = await validate(path, { LOG_FORMAT: "JSON", LOG_LEVEL: "DEBUG" });
  const { time, ...rest } = JSON.parse(lines[0] ?? "");
  assert.match(time, new RegExp(`^${iso}$`));
  assert.deepEqual(rest, { level: "INFO", msg: "configuration is valid", path, routes: 1 });
  assert.deepEqual(await validate(path, { LOG_LEVEL: "Warn" }), { code: 0, lines: [] });
});

test("SIGHUP puts the file in force, and a file with problems changes nothing", async () => {
  await centauri.reload(routeTo({ name: "127.0.0.1:1" }));
  assert.match(await answerOf(centauri), /<h1>Bad Gateway<\/h1>/);
  await centauri.reload(routeTo(two));
  assert.equal(await answerOf(centauri), "two");

  const from = centauri.logs.length;
  await centauri.writeRoutes("route a.example\n upstrem x\nroute b.example\n  header nothing\n");
  centauri.signal("SIGHUP");
  await centauri.waitForLog((r) => r.line === 4, 5_000, from);
  const problems = centauri.logs.slice(from).map((line) => JSON.parse(line))
    .filter(({ level }) => level === "ERROR");
  assert.deepEqual(problems.map(({ line }) => line), [1, 2, 3, 4]);
  for (const { msg } of problems) {
    assert.equal(msg, "failed to parse config file: the old routes stay");
  }
  assert.equal(await answerOf(centauri), "two");
  const path = join(centauri.folder, "centauri.conf");
  await rm(path);
  centauri.signal("SIGHUP");
  const stays = "failed to open config file: the old routes stay";
  await centauri.waitForLog((r) => r.msg === stays && r.path === path, 5_000, from);
  assert.equal(await answerOf(centauri), "two");
  await centauri.writeRoutes(`${routeTo(one)}  provider nobody\n`);
  centauri.signal("SIGHUP");
  await centauri.waitForLog((r) => /unknown provider "nobody"/.test(`${r.problem}`), 5_000, from);
  assert.equal(await answerOf(centauri), "two");

  await centauri.reload("# nothing\n");
  await assert.rejects(answerOf(centauri), /unrecogni[sz]ed.?name|received: ""/i);
  await centauri.reload(routeTo(one));
  assert.equal(await answerOf(centauri), "one");
});

test("a reload leaves requests in flight, kept connections and upgraded ones alone", async (t) => {
  const upstream = await startUpstream(t);
  const chat = `${routeTo(upstream, "chat.example")}${routeTo(one)}`;
  await centauri.reload(chat);
  const servername = "chat.example";
  const request = GET.replace("a.example", servername);
  const kept = await connect(t, centauri.httpsPort);
  kept.write(GET);
  assert.equal((await readMessage(kept)).body, "one");
  const asking = await connect(t, centauri.httpsPort, { servername });
  asking.write(request);
  const asked = await upstream.accept();
  await asked.read("\r\n\r\n");
  const upgrading = await connect(t, centauri.httpsPort, { servername });
  const upgrade = "Connection: upgrade\r\nUpgrade: echo\r\n\r\n";
  upgrading.write(request.replace(/\r\n$/, upgrade));
  const upgraded = await upstream.accept();
  await upgraded.read("\r\n\r\n");
  upgraded.write(`HTTP/1.1 101 Switching Protocols\r\n${upgrade}`);
  await upgrading.read("\r\n\r\n");

  await centauri.reload(routeTo(two)); // without chat.example
  asked.write(ok("late"));
  assert.equal((await readMessage(asking)).body, "late");
  upgraded.write("down");
  assert.equal(await upgrading.read(4), "down");
  upgrading.write("up");
  assert.equal(await upgraded.read(2), "up");
  kept.write(GET);
  assert.equal((await readMessage(kept)).body, "two");
  asking.write(request);
  assert.match((await readMessage(asking)).head, /^HTTP\/1\.1 421 /, "its route is gone");
});

/** As a whole, so that no reload finds half of it. */
async function replaceRoutes(text: string): Promise<void> {
  const path = join(centauri.folder, "centauri.conf");
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

test("two hundred SIGHUPs cost no request, and the last file counts", async (t) => {
  const asking = await connect(t, centauri.httpsPort);
  for (let count = 0; count < 200; count++) {
    if (count % 10 === 0) await replaceRoutes(routeTo(count % 20 === 0 ? one : two));
    centauri.signal("SIGHUP");
    if (count % 10 > 0) continue;
    asking.write(GET);
    assert.match((await readMessage(asking)).body, /^(one|two)$/);
  }
  await replaceRoutes(routeTo(two));
  centauri.signal("SIGHUP");
  await untilAnswer(centauri, "two");
});

test("10,000 routes are reloaded while requests go on, and none fails", async (t) => {
  const many = Array.from({ length: 10_000 }, (_, i) => routeTo(one, `n${i}.example`)).join("");
  const asking = await connect(t, centauri.httpsPort);
  const state = { done: false, requests: 0, longest: 0 };
  const ask = async (): Promise<void> => {
    while (!state.done) {
      const start = performance.now();
      asking.write(GET);
      assert.match((await readMessage(asking)).head, /^HTTP\/1\.1 200 /);
      assert.match(await answerOf(centauri), /^(one|two)$/); // on a connection of its own
      state.longest = Math.max(state.longest, performance.now() - start);
      state.requests++;
    }
  };
  const reload = async (): Promise<number> => {
    const [start, from] = [Date.now(), centauri.logs.length];
    centauri.signal("SIGHUP");
    const record = await centauri.waitForLog((r) => r.msg === "routes loaded", 5_000, from);
    return Date.parse(`${record.time}`) - start;
  };
  const reloads = async (): Promise<void> => {
    await centauri.writeRoutes(routeTo(two) + many);
    const times = [await reload(), await reload(), await reload()];
    await setTimeout(100);
    const { requests, longest } = state;
    t.diagnostic(
      `10,000 routes were loaded after ${times.join(", ")} ms; ` +
        `${requests} pairs of requests, the longest ${Math.round(longest)} ms`,
    );
  };
  await Promise.all([ask(), reloads().finally(() => state.done = true)]);
  assert.ok(state.requests > 0);
  assert.equal(await answerOf(centauri, "n9999.example"), "one");
  assert.equal(await answerOf(centauri), "two");
  await centauri.reload(routeTo(one));
});

test("--config-watch follows a rewrite, a replacement and a swapped link", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "centauri.conf");
  await mkdir(join(folder, "..v1"));
  await writeFile(join(folder, "..v1/centauri.conf"), routeTo(one));
  await symlink("..v1", join(folder, "..data")); // as Kubernetes mounts a ConfigMap
  await symlink("..data/centauri.conf", path);
  const watching = await startCentauri(t, {
    routes: "",
    env: { CONFIG: path },
    args: ["--config-watch"],
  });
  assert.equal(await answerOf(watching), "one");
  await mkdir(join(folder, "..v2"));
  await writeFile(join(folder, "..v2/centauri.conf"), routeTo(two));
  await symlink("..v2", join(folder, "..data_tmp"));
  await rename(join(folder, "..data_tmp"), join(folder, "..data"));
  await untilAnswer(watching, "two");
  await writeFile(path, routeTo(one)); // through both links
  await untilAnswer(watching, "one");
  const from = watching.logs.length;
  await writeFile(`${path}.new`, "route a.example");
  await rename(`${path}.new`, path);
  await watching.waitForLog((r) => r.msg === PROBLEM && r.line === 1, 5_000, from);
  assert.equal(await answerOf(watching), "one");
  await writeFile(`${path}.new`, routeTo(two));
  await rename(`${path}.new`, path);
  await untilAnswer(watching, "two");
  await writeFile(path, routeTo(one));
  await untilAnswer(watching, "one");
  assert.equal(await watching.stop(), 0);
});

const PROBLEM = "failed to parse config file: the old routes stay";

/** Centauri with its log's pipe in the hands of the test. */
function spawnCentauri(
  t: Scope,
  env: Readonly<Record<string, string>>,
): {
  child: ChildProcess;
  lines: string[];
  ended: Promise<number | null>;
  ports(): Promise<number[]>;
} {
  const [program, ...args] = runtimeCommand("centauri.ts");
  const own = ["PATH", "HOME", "TMPDIR", "DENO_DIR"].map((name) => [name, process.env[name]]);
  const ports = { HTTP_PORT: "0", HTTPS_PORT: "0", LOG_FORMAT: "json" };
  const child = spawn(program, args, {
    env: { ...Object.fromEntries(own), ...ports, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit").then(([code]) => code as number | null);
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  t.after(() => {
    child.kill("SIGKILL");
    return ended;
  });
  const listening = async (): Promise<number[]> => {
    for (let patience = 2_000; patience > 0; patience--, await setTimeout(10)) {
      const found = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "listening");
      if (found.length === 2) return found.map(({ port }) => port);
    }
    throw new Error(lines.join("\n"));
  };
  return { child, lines, ended, ports: listening };
}

test("a SIGHUP during the start is a reload after it", async (t) => {
  if (!needProgram(t, "mkfifo")) return;
  const folder = await temporaryFolder(t);
  const path = join(folder, "centauri.conf");
  await run("mkfifo", [path]);
  const env = { CONFIG: path, CERTIFICATE_STORE: join(folder, "certs.json") };
  const { child, lines, ended, ports } = spawnCentauri(t, env);
  for (const upstream of [one, two]) {
    const pipe = await open(path, "w"); // which waits until Centauri reads its routes
    if (upstream === one) process.kill(child.pid as number, "SIGHUP");
    await pipe.writeFile(routeTo(upstream));
    await pipe.close();
    for (let patience = 2_000; patience > 0; patience--, await setTimeout(10)) {
      if (lines.some((line) => line.includes('"msg":"routes loaded"'))) break;
    }
  }
  const [port = 0] = await ports();
  const asked = async (): Promise<string> => httpsExchange(port, "a.example", GET, { until: 1 });
  for (let patience = 500; !(await asked()).endsWith("two"); await setTimeout(10)) {
    assert.ok(patience-- > 0, lines.join("\n"));
  }
  process.kill(child.pid as number, "SIGTERM");
  assert.equal(await ended, 0);
});

test("Centauri serves on when nobody reads its log any more", async (t) => {
  const folder = await temporaryFolder(t);
  const env = {
    CONFIG: join(folder, "centauri.conf"),
    CERTIFICATE_STORE: join(folder, "certs.json"),
  };
  await writeFile(env.CONFIG, routeTo(one));
  const { child, ended, ports } = spawnCentauri(t, env);
  const [port = 0] = await ports();
  child.stdout?.destroy();
  const asked = async (): Promise<string> => httpsExchange(port, "a.example", GET, { until: 1 });
  assert.match(await asked(), /one$/); // the certificate made for it is logged
  await writeFile(`${env.CONFIG}.new`, routeTo(two));
  await rename(`${env.CONFIG}.new`, env.CONFIG);
  for (let patience = 100; !(await asked()).endsWith("two"); await setTimeout(50)) {
    process.kill(child.pid as number, "SIGHUP");
    assert.ok(patience-- > 0);
  }
  process.kill(child.pid as number, "SIGTERM");
  assert.equal(await ended, 0);
});

test("an end lets requests finish, closes what is idle and refuses what is new", async (t) => {
  const upstream = await startUpstream(t);
  const args = ["--shutdown-timeout=60s", "--handshake-timeout=60s", "--header-timeout=60s"];
  const ending = await startCentauri(t, { routes: routeTo(upstream), args });
  const { httpsPort } = ending;
  const idle = await connect(t, httpsPort);
  idle.write(GET);
  const answering = await upstream.accept();
  await answering.read("\r\n\r\n");
  answering.write(ok("idle"));
  assert.doesNotMatch((await readMessage(idle)).head, /Connection: close/);
  const asking = await connect(t, httpsPort);
  asking.write(GET);
  await answering.read("\r\n\r\n"); // on the connection that was kept
  const uploading = await connect(t, httpsPort);
  uploading.write(GET.replace("GET", "PUT").replace(/\r\n$/, "Content-Length: 4\r\n\r\nab"));
  const taking = await upstream.accept();
  await taking.read("\r\n\r\nab");
  const silent = await rawConnection(t, httpsPort);
  const plain = await rawConnection(t, ending.httpPort);

  ending.signal("SIGTERM");
  const told = await ending.waitForLog((r) => r.msg === "stopping");
  assert.equal(told.signal, "SIGTERM");
  for (const wire of [idle, silent, plain]) assert.equal(await wire.readToEnd(), "");
  for (const port of [httpsPort, ending.httpPort]) {
    await assert.rejects(rawConnection(t, port), { code: "ECONNREFUSED" });
  }
  answering.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfini");
  const head = await asking.read("\r\n\r\n");
  assert.match(head, /\r\nConnection: close\r\n/);
  uploading.write("cd");
  await taking.read("cd");
  taking.write(ok("taken"));
  const taken = await readMessage(uploading);
  assert.match(taken.head, /\r\nConnection: close\r\n/);
  assert.equal(taken.body, "taken");
  answering.write("shed");
  assert.equal(await asking.readToEnd(), "finished");
  assert.equal(await exitCode(ending), 0);
});

/** Of one that has had its signal: the one that stop() sends would be its second. */
async function exitCode(ending: Centauri): Promise<number | null> {
  await ending.waitForLog((r) => r.msg === "stopped");
  return ending.stop();
}

test("connections over the limit are closed, and what hangs at the end is cut", async (t) => {
  const upstream = await startUpstream(t);
  const ending = await startCentauri(t, {
    routes: routeTo(upstream),
    args: ["--max-connections=4", "--shutdown-timeout", "300ms"],
  });
  const wires = [await rawConnection(t, ending.httpsPort), await rawConnection(t, ending.httpPort)];
  wires.push(await rawConnection(t, ending.httpsPort));
  const hanging = await connect(t, ending.httpsPort);
  hanging.write(GET);
  await (await upstream.accept()).read("\r\n\r\n");
  for (let count = 0; count < 20; count++) {
    const port = count % 2 ? ending.httpsPort : ending.httpPort;
    assert.equal(await (await rawConnection(t, port)).readToEnd(), "");
  }
  const full = ending.logs.filter((line) => line.includes("too many connections"));
  assert.equal(full.length, 1, "said once");
  wires[1]?.socket.end(GET);
  await wires[1]?.readToEnd();
  for (let patience = 100;; await setTimeout(20)) { // until its place is free
    const next = await rawConnection(t, ending.httpPort);
    next.write(GET.replace(/\r\n$/, "Connection: close\r\n\r\n"));
    if (/^HTTP\/1\.1 308 /.test(await next.readToEnd())) break;
    assert.ok(patience-- > 0);
  }

  const start = Date.now();
  ending.signal("SIGINT");
  assert.equal(await exitCode(ending), 0);
  assert.ok(Date.now() - start < 4_000, `${Date.now() - start} ms`);
  assert.equal((await hanging.readToEnd()).includes("HTTP/1.1 200"), false);
  const cut = ending.logs.filter((line) => line.includes("connections cut"));
  assert.deepEqual(cut.map((line) => JSON.parse(line).count), [1]);
});

test("five hundred connections are no trouble, and too many under Deno", async (t) => {
  const wires: Wire[] = [];
  for (let i = 0; i < 500; i++) wires.push(await rawConnection(t, centauri.httpPort));
  const last = wires.at(-1);
  last?.write(GET.replace(/\r\n$/, "Connection: close\r\n\r\n"));
  const answer = await last?.readToEnd();
  assert.match(answer ?? "", thisRuntime.kind === "deno" ? /^$/ : /^HTTP\/1\.1 308 /);
  for (const { socket } of wires) socket.destroy();
  for (let patience = 100; patience > 0; patience--, await setTimeout(20)) {
    if (await answerOf(centauri).catch(() => "") === "one") return;
  }
  assert.fail("it serves no more");
});

test("a second signal ends it at once", async (t) => {
  const upstream = await startUpstream(t);
  const ending = await startCentauri(t, { routes: routeTo(upstream) });
  const hanging = await connect(t, ending.httpsPort);
  hanging.write(GET);
  await (await upstream.accept()).read("\r\n\r\n");
  ending.signal("SIGINT");
  await ending.waitForLog((r) => r.msg === "stopping");
  const start = Date.now();
  ending.signal("SIGTERM");
  assert.equal(await ending.stop(), 1);
  assert.ok(Date.now() - start < 4_000, `${Date.now() - start} ms`); // the drain takes 10 s
});

test("nobody outside can make the log grow", async (t) => {
  await centauri.reload(`${routeTo(one)}${routeTo({ name: "127.0.0.1:1" }, "down.example")}`);
  await answerOf(centauri);
  await answerOf(centauri, "down.example"); // is said once
  const from = centauri.logs.length;
  const malformed = vectors.filter(({ expect }) => expect.state !== "more");
  const batch = async (count: number, send: (i: number) => Promise<void>): Promise<void> => {
    for (let i = 0; i < count; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, n) => send(i + n)));
    }
  };
  const hello = Buffer.from(NODE_24.replace(/6578616d706c652e636f6d/, ANY_NAME), "hex");
  const garbage = Buffer.concat([hello, Buffer.alloc(100, 0x41)]);
  await batch(500, (i) => {
    const { input } = malformed[i % malformed.length] ?? { input: "" };
    return sendRaw(centauri.httpsPort, Buffer.from(input, "hex"));
  });
  await batch(500, (i) => sendRaw(centauri.httpsPort, i % 2 ? hello : garbage));
  await batch(500, () => sendRaw(centauri.httpPort, "GET / HTTP/1.1\r\nHost: \x1b[31m\r\n\r\n"));
  const bad = [
    "\0",
    "GET\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
  ];
  await batch(500, async (i) => {
    const client = await connect(t, centauri.httpsPort);
    client.write(i < 100 ? GET.replace("a.example", "a\x1b.example") : bad[i % bad.length] ?? "");
    client.socket.end();
    await client.readToEnd();
    client.socket.destroy();
  });
  for (let i = 0; i < 50; i++) await answerOf(centauri, "down.example");
  const grown = centauri.logs.slice(from).filter((line) => !line.includes("upstream failed"));
  assert.deepEqual(grown, []);
  assert.ok(centauri.logs.length - from < 5, "of the upstream that is down, once in ten seconds");
});

const ANY_NAME = Buffer.from("a.example.\0").toString("hex");
