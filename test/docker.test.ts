import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import {
  createDocker,
  type Deadlines,
  type Docker,
  DockerError,
  type DockerEvent,
} from "../lib/docker.ts";
import * as der from "../lib/der.ts";
import type { DockerEnvironment } from "../lib/dockerhost.ts";
import { type FakeEngine, RECORDED, send, startFakeEngine } from "./fakeengine.ts";
import { extension, issue } from "./pki.ts";
import { needProgram, type Scope, temporaryFolder } from "./support.ts";

const live = new AbortController().signal;
const ID = "a1".repeat(32);

function newDocker(
  t: Scope,
  env: DockerEnvironment,
  deadlines: Partial<Deadlines> = {},
): Docker {
  const docker = createDocker(env, deadlines);
  t.after(() => docker.close());
  return docker;
}

/** The DockerError that it must end with. */
async function failure(promise: Promise<unknown>): Promise<DockerError> {
  const error: unknown = await promise.then((value) => `it gave ${value}`, (error) => error);
  assert.ok(error instanceof DockerError, String(error));
  assert.doesNotMatch(error.message, /[\0-\x1f]/);
  return error;
}

/** Follows the events until `count` of them have come. */
async function firstEvents(
  docker: Docker,
  count: number,
  start: () => void,
): Promise<DockerEvent[]> {
  const enough = new AbortController();
  const events: DockerEvent[] = [];
  const onEvent = (event: DockerEvent): void => {
    events.push(event);
    if (events.length === count) enough.abort(new Error("enough"));
  };
  await assert.rejects(docker.events({ onOpen: start, onEvent }, enough.signal), /^Error: enough$/);
  return events;
}

const paths = (engine: FakeEngine): string[] =>
  engine.requests.map(({ method, version, path }) => `${method} ${version} ${path}`);

test("the lower of the engine's and our version is chosen, but none it refuses", async (t) => {
  const rows: [api: string, least: string, chosen: string][] = [
    ["1.24", "", "1.24"],
    ["1.30", "1.12", "1.30"],
    ["1.41", "1.12", "1.41"],
    ["1.44", "1.24", "1.44"],
    ["1.51", "1.24", "1.51"],
    ["1.52", "1.44", "1.52"],
    ["1.53", "1.44", "1.52"],
    ["1.70", "1.55", "1.55"],
    ["2.0", "1.60", "1.60"],
  ];
  for (const [api, leastApi, chosen] of rows) {
    const engine = await startFakeEngine(t, { api, leastApi });
    const docker = newDocker(t, engine.env);
    await docker.list(live);
    await docker.list(live);
    const asked = `GET ${chosen} /containers/json`;
    assert.deepEqual(paths(engine), ["GET  /version", asked, asked]);
  }
});

test("a pinned version is the only one that is asked for", async (t) => {
  const engine = await startFakeEngine(t, { api: "1.52", leastApi: "1.44" });
  await newDocker(t, { ...engine.env, DOCKER_API_VERSION: "1.44" }).list(live);
  assert.deepEqual(paths(engine), ["GET 1.44 /containers/json"]);
  const tooOld = newDocker(t, { ...engine.env, DOCKER_API_VERSION: "1.43" });
  const { status, message } = await failure(tooOld.list(live));
  assert.equal(status, 400);
  assert.match(message, /^Docker, GET \/v1.43\/containers\/json: status 400: "client version 1.43/);
});

test("an engine that is too old, or no engine, is refused with the reason", async (t) => {
  const engine = await startFakeEngine(t, { api: "1.23" });
  const docker = newDocker(t, engine.env);
  assert.equal(
    (await failure(docker.list(live))).message,
    "Docker's API has version 1.23: expected 1.24 or later",
  );
  for (const answer of [{}, [], null, { ApiVersion: 1.41 }, { ApiVersion: "1.x" }, 7, "<html>"]) {
    engine.intercept = (_, socket) => (send(socket, 200, answer), true);
    assert.match((await failure(docker.list(live))).message, /doesn't tell the version|is no JSON/);
  }
});

test("an engine that was replaced by one of another version is asked anew", async (t) => {
  const options = { api: "1.52" };
  const engine = await startFakeEngine(t, options);
  const docker = newDocker(t, engine.env);
  await docker.list(live);
  options.api = "1.41";
  assert.equal((await failure(docker.list(live))).status, 400);
  await docker.list(live);
  assert.deepEqual(paths(engine).at(-1), "GET 1.41 /containers/json");
});

test("list() gives ids, and leaves out what could lead elsewhere", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  const { id } = engine.add("web");
  engine.add("gone").status = "exited";
  assert.deepEqual(await docker.list(live), [id]);
  const odd = [null, 7, {}, { Id: 7 }, { Id: "../info" }, { Id: ID.toUpperCase() }, { Id: ID }];
  engine.intercept = ({ path }, socket) =>
    path === "/containers/json" && (send(socket, 200, odd), true);
  assert.deepEqual(await docker.list(live), [ID]);
  engine.intercept = (_, socket) => (send(socket, 200, { a: 1 }), true);
  assert.match((await failure(docker.list(live))).message, /is no list$/);
});

test("inspect() gives the engine's JSON, and undefined for what is gone", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  const container = engine.add("web", { labels: { a: "ü€😀" } });
  assert.deepEqual(await docker.inspect(container.id, live), engine.inspect(container));
  assert.equal(await docker.inspect(ID, live), undefined);
  for (const id of ["", ".", "..", "../info", "a/b", "a?b", "a b", "-a", "a\r\nb", "ü"]) {
    assert.match((await failure(docker.inspect(id, live))).message, /^invalid container "/);
  }
});

test("an answer is the same however it is cut", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  await docker.list(live);
  const json = '{"Id":"ü","Name":"/a"}';
  const parts = [json.slice(0, 7), json.slice(7, 9), json.slice(9)];
  const chunks = parts.map((part) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`);
  const bytes = Buffer.from(
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.join("")}0\r\n\r\n`,
  );
  for (let size = 1; size <= bytes.length; size++) {
    engine.intercept = (_, socket) => {
      const next = (at: number): void => {
        if (at < bytes.length) socket.write(bytes.subarray(at, at + size), () => next(at + size));
      };
      next(0);
      return true;
    };
    assert.deepEqual(await docker.inspect(ID, live), JSON.parse(json), `by ${size}`);
  }
  assert.equal(engine.connections, 1);
});

test("answers that are no use are refused, each with the reason", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  await docker.list(live);
  const rows: [answer: string, message: RegExp, status?: number][] = [
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]", /is no JSON$/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", /is no JSON$/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n" + "x".repeat(4_194_305), /over 4194304/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", /closed before the answer was complete/],
    ["SSH-2.0-OpenSSH\r\n\r\n\r\n\r\n", /the answer isn't HTTP/],
    ["HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", /switches protocols/],
    ["HTTP/1.1 500 Oops\r\nContent-Length: 17\r\n\r\n" + '{"message":"a\\n"}', /500: "a\\n"$/, 500],
    ["HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\n<p>\n", /status 403: "<p>"$/, 403],
    ["HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", /status 302: ""$/, 302],
  ];
  for (const [answer, message, status] of rows) {
    engine.intercept = (_, socket) => socket.end(answer) !== undefined;
    const error = await failure(docker.inspect(ID, live));
    assert.match(error.message, message);
    assert.deepEqual([error.status, error.unreachable], [status, false], error.message);
  }
});

test("an answer without an end is refused at its limit", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  await docker.list(live);
  engine.intercept = (_, socket) => {
    const chunk = `10000\r\n${" ".repeat(65_536)}\r\n`;
    // Deno tells writes of an error before it destroys the socket: that alone would go on for ever.
    const more = (error?: Error | null): void => {
      if (!error && !socket.destroyed) socket.write(chunk, more);
    };
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", more);
    return true;
  };
  assert.match((await failure(docker.inspect(ID, live))).message, /over 4194304 bytes/);
});

test("an answer that doesn't come is given up, and so is one that doesn't end", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env, { inspect: 50, ping: 50 });
  await docker.list(live);
  engine.intercept = () => true;
  assert.match((await failure(docker.inspect(ID, live))).message, /no answer within 0.05 s$/);
  assert.match((await failure(docker.ping(live))).message, /GET \/_ping: no answer within 0.05 s$/);
  engine.intercept = (_, socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
  assert.match((await failure(docker.inspect(ID, live))).message, /no answer within 0.05 s$/);
});

test("whatever waits ends with its signal, and with the signal's reason", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  await docker.list(live);
  const reason = new Error("stop");
  await assert.rejects(docker.list(AbortSignal.abort(reason)), reason);
  const nothing = { onOpen: () => {}, onEvent: () => {} };
  await assert.rejects(docker.events(nothing, AbortSignal.abort(reason)), reason);
  const stop = new AbortController();
  let waiting = 0;
  engine.intercept = () => {
    if (++waiting === 8) stop.abort(reason);
    return true;
  };
  const asked = Array.from({ length: 20 }, () => docker.inspect(ID, stop.signal));
  for (const each of await Promise.allSettled(asked)) {
    assert.deepEqual(each, { status: "rejected", reason });
  }
  assert.equal(waiting, 8, "so many at a time");
});

test("connections are few and used again, also when the engine closes them", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  const { id } = engine.add("web");
  for (let i = 0; i < 5; i++) await docker.inspect(id, live);
  assert.equal(engine.connections, 1);
  await Promise.all(Array.from({ length: 100 }, () => docker.inspect(id, live)));
  assert.ok(engine.connections <= 8, `${engine.connections}`);
  engine.intercept = (_, socket) => {
    engine.intercept = () => false;
    engine.dropConnections();
    return socket.destroyed;
  };
  assert.ok(await docker.inspect(id, live));
  const before = engine.connections;
  await docker.ping(live);
  assert.equal(engine.connections, before + 1, "a ping is of use over a new connection only");
});

test("a signal is never sent twice", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  const { id } = engine.add("web");
  await docker.inspect(id, live);
  engine.intercept = (_, socket) => (socket.destroy(), true);
  const before = engine.requests.length;
  await failure(docker.kill(id, "HUP", live));
  assert.equal(engine.requests.length, before + 1);
});

test("kill() and restart() do as they are told, and fail with the engine's words", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  const { id } = engine.add("web");
  await docker.kill(id, "HUP", live);
  await docker.kill("web", "US R&2", live);
  await docker.restart(id, live);
  const posts = engine.requests.filter(({ method }) => method === "POST");
  assert.deepEqual(posts.map(({ path, query }) => `${path} ${query.get("signal")}`), [
    `/containers/${id}/kill HUP`,
    "/containers/web/kill US R&2",
    `/containers/${id}/restart null`,
  ]);
  await engine.kill("web");
  const error = await failure(docker.kill("web", "HUP", live));
  assert.equal(error.status, 409);
  assert.match(error.message, /^Docker, POST .*\/kill: status 409: ".* is not running"$/);
  assert.equal((await failure(docker.restart("nobody", live))).status, 404);
});

test("an engine that isn't there is told from one that refuses", async (t) => {
  const folder = await temporaryFolder(t);
  const none = await failure(newDocker(t, { DOCKER_HOST: `unix://${folder}/none` }).list(live));
  assert.ok(none.unreachable);
  assert.match(
    none.message,
    /^can't connect to Docker at unix:.*: there is no such file or socket/,
  );
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const refused = await failure(
    newDocker(t, { DOCKER_HOST: `tcp://127.0.0.1:${port}` }).ping(live),
  );
  assert.ok(refused.unreachable);
  assert.match(refused.message, /nothing listens there/);
});

test("the engine is found over IPv6, below a base path, and told its own name", async (t) => {
  const engine = await startFakeEngine(t, { listen: { host: "::1" } });
  await newDocker(t, engine.env).list(live);
  assert.equal(engine.requests[0]?.host, engine.host.slice("tcp://".length));
  engine.intercept = ({ target }, socket) => {
    send(socket, 200, target === "/base/version" ? { ApiVersion: "1.41" } : [{ Id: ID }]);
    return true;
  };
  const docker = newDocker(t, { DOCKER_HOST: `${engine.host}/base/` });
  assert.deepEqual(await docker.list(live), [ID]);
  assert.equal(engine.requests.at(-1)?.target, "/base/v1.41/containers/json");
});

/** A folder as DOCKER_CERT_PATH, an engine with a certificate for `names`, and the CA of both. */
async function withCertificates(
  t: TestContext,
  { host, name }: { host: string; name: string },
): Promise<
  { engine: FakeEngine; folder: string; write: (name: string, text: string) => Promise<void> }
> {
  const ca = issue({ subject: "CA" });
  // test/pki.ts knows no IPv6: the extension by hand (RFC 5280 4.2.1.6).
  const v6 = der.sequence(der.tlv(0x87, Buffer.from(`${"0".repeat(31)}1`, "hex")));
  const san = name === "::1" ? { extensions: [extension("2.5.29.17", v6)] } : { names: [name] };
  const server = issue({ subject: "server", ...san, issuer: ca, serial: Uint8Array.of(2) });
  const client = issue({ subject: "client", issuer: ca, serial: Uint8Array.of(3) });
  const folder = await temporaryFolder(t);
  const write = (file: string, text: string): Promise<void> => writeFile(join(folder, file), text);
  await write("ca.pem", ca.cert);
  await write("cert.pem", client.cert);
  await write("key.pem", client.keyPem);
  const tls = {
    ...{ cert: server.cert, key: server.keyPem, ca: ca.cert },
    ...{ requestCert: true, rejectUnauthorized: true },
  };
  return { engine: await startFakeEngine(t, { listen: { host, tls } }), folder, write };
}

test("TLS shows the client's certificate and verifies the engine's", async (t) => {
  for (const host of ["127.0.0.1", "::1"]) {
    const { engine, folder, write } = await withCertificates(t, { host, name: host });
    const env = { ...engine.env, DOCKER_CERT_PATH: folder, DOCKER_TLS_VERIFY: "1" };
    const docker = newDocker(t, env);
    assert.deepEqual(await docker.list(live), []);
    await write("ca.pem", issue({ subject: "another CA" }).cert);
    const { message, unreachable } = await failure(docker.ping(live));
    assert.ok(unreachable, message);
    assert.match(message, /certificate/i);
    const careless = newDocker(t, { ...env, DOCKER_TLS_VERIFY: "" });
    assert.deepEqual(await careless.list(live), []);
    await rm(join(folder, "key.pem"));
    assert.match((await failure(careless.ping(live))).message, /only one of cert.pem and key.pem/);
    await rm(join(folder, "cert.pem"));
    await failure(careless.ping(live));
  }
});

test("a certificate for another name is refused", async (t) => {
  const { engine, folder } = await withCertificates(t, { host: "127.0.0.1", name: "192.0.2.1" });
  const env = { ...engine.env, DOCKER_CERT_PATH: folder, DOCKER_TLS_VERIFY: "1" };
  assert.ok((await failure(newDocker(t, env).list(live))).unreachable);
});

/** A program `ssh` in the PATH of this process, until the test ends. */
async function fakeSsh(t: TestContext, script: string): Promise<string> {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "bin"));
  await writeFile(join(folder, "bin/ssh"), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, "bin/ssh"), 0o755);
  const { PATH } = process.env;
  process.env.PATH = `${join(folder, "bin")}:${PATH}`;
  t.after(() => process.env.PATH = PATH);
  return folder;
}

test("ssh:// speaks over the standard streams of docker system dial-stdio", async (t) => {
  if (!needProgram(t, "docker")) return;
  const engine = await startFakeEngine(t);
  const { id } = engine.add("web");
  const folder = await fakeSsh(
    t,
    `echo x >> "$0.starts"; printf '%s\\n' "$@" > "$0.args"\n` +
      `exec docker -H ${engine.host} system dial-stdio`,
  );
  const docker = newDocker(t, { DOCKER_HOST: "ssh://me@box:2222" });
  assert.deepEqual(await docker.list(live), [id]);
  await Promise.all(Array.from({ length: 20 }, () => docker.inspect(id, live)));
  const args = await readFile(join(folder, "bin/ssh.args"), "utf8");
  assert.match(args, /\n-l\nme\n-p\n2222\n--\nbox\ndocker\nsystem\ndial-stdio\n$/);
  const events = await firstEvents(docker, 1, () => void engine.rename("web", "bew"));
  assert.deepEqual(events, [{ id, action: "rename" }]);
  const starts = (await readFile(join(folder, "bin/ssh.starts"), "utf8")).length / 2;
  assert.ok(starts <= 4, `two for questions, one for the ping, one for the events; not ${starts}`);
});

test("what ssh says last is the reason that the engine can't be reached", async (t) => {
  await fakeSsh(t, "echo 'me@box: Permission denied (publickey).' >&2; exit 255");
  const docker = newDocker(t, { DOCKER_HOST: "ssh://me@box" });
  assert.match(
    (await failure(docker.list(live))).message,
    /ssh ended with code 255, and said: me@box: Permission denied \(publickey\)\./,
  );
});

test("events are asked for by kind, and since the engine's own time", async (t) => {
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  const { id } = engine.add("web");
  await engine.rename("web", "old"); // before the stream begins, and in its first second
  const events = await firstEvents(docker, 2, () => void engine.rename("old", "new"));
  assert.deepEqual(events, Array(2).fill({ id, action: "rename" }));
  const { query } = engine.requests.find(({ path }) => path === "/events") ?? {};
  const filters = JSON.parse(query?.get("filters") ?? "");
  assert.deepEqual(filters.type, ["container", "network"]);
  assert.ok(["start", "die", "destroy", "connect"].every((each) => filters.event.includes(each)));
  assert.ok(Math.abs(Number(query?.get("since")) - Date.now() / 1000) < 10);
});

test("events of every engine's shape name their container, and others are left out", async (t) => {
  const old = { status: "start", id: ID, from: "box:1" };
  const rows: [event: Record<string, unknown>, action: string | undefined][] = [
    [{ ...old, Type: "container", Action: "start", Actor: { ID, Attributes: {} } }, "start"],
    [{ Type: "container", Action: "start", Actor: { ID } }, "start"],
    [{ Type: "container", Action: "health_status: healthy", Actor: { ID } }, "health_status"],
    [{ Type: "container", Action: "remove", Actor: { ID } }, "remove"],
    [
      { Type: "network", Action: "connect", Actor: { ID: "x", Attributes: { container: ID } } },
      "connect",
    ],
    [{ Type: "network", Action: "disconnect", Actor: { ID, Attributes: {} } }, "disconnect"],
    [{ Type: "network", Action: "create", Actor: { ID } }, undefined],
    [{ Type: "container", Action: "connect", Actor: { ID } }, undefined],
    [{ Type: "container", Action: "exec_start: a", Actor: { ID } }, undefined],
    [{ Type: "container", Action: "start", Actor: { ID: "../info" } }, undefined],
    [{ Type: "container", Action: "start", Actor: 7 }, undefined],
    [{ Type: "container", Action: "start", Actor: null }, undefined],
    [{ Type: "container", Action: 7, Actor: { ID } }, undefined],
    [{ Type: "image", Action: "remove", Actor: { ID }, new: [{}] }, undefined],
    [{}, undefined],
  ];
  const expected = rows.flatMap(([, action]) => action ? [{ id: ID, action }] : []);
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env);
  const text = rows.map(([event]) => JSON.stringify(event)).join("\n");
  for (const size of [1, 2, 7, 100, text.length]) {
    engine.intercept = ({ path }, socket) => {
      if (path !== "/events") return false;
      let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      for (let at = 0; at < text.length; at += size) {
        const part = text.slice(at, at + size);
        answer += `${part.length.toString(16)}\r\n${part}\r\n`;
      }
      socket.write(`${answer}0\r\n\r\n`);
      return true;
    };
    const events: DockerEvent[] = [];
    let opened = 0;
    await docker.events({ onOpen: () => opened++, onEvent: (event) => events.push(event) }, live);
    assert.deepEqual([opened, events], [1, expected], `by ${size}`);
  }
});

test("a stream of events that is refused, broken or no stream says why", async (t) => {
  const ok = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const long = "x".repeat(1 << 20);
  const rows: [answer: string, message: RegExp, status?: number][] = [
    ["HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", /events: status 403: "no"$/, 403],
    [`HTTP/1.1 500 No\r\n\r\n${long}`, /status 500: "x{300}…"$/, 500],
    [`${ok}6\r\n<html>\r\n`, /isn't of JSON objects/],
    [`${ok}4\r\n{a:}\r\n`, /JSON|property name/],
    [`${ok}100006\r\n{"a":"${long}\r\n`, /over 1048576 bytes/],
    [`${ok}3\r\n{"a`, /closed before the answer was complete/],
    ["", /closed before the answer was complete/],
  ];
  const engine = await startFakeEngine(t);
  const docker = newDocker(t, engine.env, { answer: 1_000 });
  for (const [answer, message, status] of rows) {
    engine.intercept = ({ path }, socket) => path === "/events" && socket.end(answer) !== undefined;
    const error = await failure(docker.events({ onOpen: () => {}, onEvent: () => {} }, live));
    assert.match(error.message, message);
    assert.equal(error.status, status);
  }
  engine.intercept = ({ path }) => path === "/events";
  const { message } = await failure(docker.events({ onOpen: () => {}, onEvent: () => {} }, live));
  assert.match(message, /no answer within 1 s/);
  assert.equal(RECORDED["docker 20.10.24"].Name, "/aa");
});
