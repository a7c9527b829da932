import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import net from "node:net";
import { test, type TestContext } from "node:test";
import { encodeConfig } from "../lib/confignetwork.ts";
import { fetchRoutes, type NetworkSourceOptions } from "../lib/networksource.ts";
import { startNetworkSource } from "../lib/networksource.ts";
import type { RouteTable } from "../lib/routes.ts";
import { type RouteSource, RouteSourceError } from "../lib/routesource.ts";
import { type Recorder, recordLog, until } from "./recorder.ts";
import type { Scope } from "./support.ts";

const routes = (...names: string[]): string =>
  names.map((name) => `route ${name}\n  upstream 127.0.0.1:8701\n`).join("");

interface Server {
  readonly port: number;
  /** The connections so far, closed ones included. */
  readonly sockets: readonly net.Socket[];
  /** Sends bytes on the latest connection. */
  send(bytes: string | Uint8Array): void;
  close(): Promise<void>;
}

/** `greet` gets each new connection. */
async function startServer(
  t: Scope,
  greet: (socket: net.Socket) => void = () => {},
  port = 0,
): Promise<Server> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
    greet(socket);
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  t.after(close);
  const send = (bytes: string | Uint8Array): void => void sockets.at(-1)?.write(bytes);
  return { port: (server.address() as net.AddressInfo).port, sockets, send, close };
}

interface Setup extends Recorder {
  readonly source: RouteSource;
  /** The names in each table that was applied. */
  readonly applied: readonly string[];
}

function start(
  t: Scope,
  { port }: { readonly port: number },
  options: Partial<NetworkSourceOptions> = {},
): Setup {
  const recorder = recordLog();
  const applied: string[] = [];
  const source = startNetworkSource({
    server: { host: "127.0.0.1", port },
    apply: (table) => void applied.push(namesOf(table)),
    log: recorder.log,
    pause: () => 20,
    ...options,
  });
  t.after(() => source.close());
  return { ...recorder, source, applied };
}

const namesOf = (table: RouteTable): string =>
  table.routes.flatMap(({ domains }) => domains).join(" ");

const count = (lines: readonly string[], pattern: RegExp): number =>
  lines.filter((line) => pattern.test(line)).length;

test("routes are applied as they come, any number of times on a connection", async (t) => {
  const server = await startServer(t);
  const { applied, lines, waitFor } = start(t, server);
  await until(() => server.sockets.length === 1);
  assert.match(lines[0]!, /^info waiting for routes 127\.0\.0\.1:\d+ until they come, all names/);
  server.send(encodeConfig(routes("a.example", "b.example")));
  await waitFor(/^info routes loaded 127\.0\.0\.1:\d+ 2$/);
  server.send(encodeConfig(routes("c.example")));
  await until(() => applied.length === 2);
  server.send(encodeConfig(""));
  await until(() => applied.length === 3);
  assert.deepEqual(applied, ["a.example b.example", "c.example", ""]);
  assert.equal(server.sockets.length, 1);
});

test("of messages that come at once the latest is applied, wherever they are cut", async (t) => {
  const server = await startServer(t);
  const { applied } = start(t, server);
  await until(() => server.sockets.length === 1);
  const bytes = Buffer.concat([
    ...Array.from({ length: 1_000 }, (_, i) => encodeConfig(routes(`a${i}.example`))),
    encodeConfig(routes("last.example")),
  ]);
  server.send(bytes.subarray(0, -5));
  server.send(bytes.subarray(-5));
  await until(() => applied.at(-1) === "last.example");
  assert.ok(applied.length < 300, `${applied.length} times`);
});

test("apply isn't called again before it is done", async (t) => {
  const server = await startServer(t);
  let running = 0;
  let most = 0;
  const applied: string[] = [];
  const apply = async (table: RouteTable): Promise<void> => {
    most = Math.max(most, ++running);
    await new Promise((done) => setTimeout(done, 10));
    applied.push(namesOf(table));
    running--;
  };
  const { source } = start(t, server, { apply });
  await until(() => server.sockets.length === 1);
  for (const name of ["a", "b", "c"]) server.send(encodeConfig(routes(name)));
  await until(() => applied.length > 0);
  source.reload();
  await until(() => server.sockets.length === 2);
  server.send(encodeConfig(routes("d")));
  await until(() => applied.at(-1) === "d");
  assert.equal(most, 1);
});

test("routes that can't be parsed or applied change nothing, and are logged by line", async (t) => {
  const server = await startServer(t);
  const apply = (table: RouteTable): void => {
    if (namesOf(table) === "refused") throw new Error("unknown provider");
    applied.push(namesOf(table));
  };
  const applied: string[] = [];
  const { lines, waitFor } = start(t, server, { apply });
  await until(() => server.sockets.length === 1);
  server.send(encodeConfig(`error please\n${routes("a")}upstream\n`));
  const parse = /^error failed to parse network config: there are no routes yet 127.0.0.1:\d+ 4 /;
  await waitFor(parse);
  assert.equal(
    count(lines, /^error .*: there are no routes yet 127\.0\.0\.1:\d+ 1 .*error please/),
    1,
  );
  server.send(encodeConfig(routes("a")));
  await until(() => applied.length === 1);
  server.send(encodeConfig(routes("refused")));
  await waitFor(/^error route manager error: .*: the old routes stay .* unknown provider$/);
  const latin1 = Buffer.from(encodeConfig(`# a\n${routes("b")}`));
  latin1[19] = 0xe9; // the comment's line end is the byte after it
  server.send(latin1);
  await waitFor(/^error .*: the old routes stay 127\.0\.0\.1:\d+ 1 invalid bytes: expected UTF-8$/);
  server.send(encodeConfig(`# \0\x1b[31m\n${routes("b")}`));
  await waitFor(/^error .*: the old routes stay .* 1 invalid line with control character 0x0/);
  server.send(encodeConfig(routes("b")));
  await until(() => applied.length === 2);
  assert.deepEqual(applied, ["a", "b"]);
  assert.equal(server.sockets.length, 1);
  assert.doesNotMatch(lines.join("\n"), /warn/);
});

for (
  const [what, bytes, problem] of [
    ["another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", /doesn't begin with CENTAURI/],
    ["another version", "CENTAURI\0\0\0\x99\0\0\0\0", /another version/],
    ["more than 16 MiB", "CENTAURI\0\0\0\x01\x01\0\0\x01", /too long/],
  ] as const
) {
  test(`a server that sends ${what} is left, told of once, and tried again`, async (t) => {
    let good = false;
    const server = await startServer(t, (socket) => {
      socket.write(good ? encodeConfig(routes("a")) : Buffer.from(bytes, "latin1"));
    });
    const { applied, lines, waitFor } = start(t, server);
    assert.match(await waitFor(/^warn/), problem);
    await until(() => server.sockets.length > 3);
    good = true;
    await waitFor(/^info network config is back/);
    await until(() => applied.length === 1);
    assert.equal(count(lines, /^warn no network config: there are no routes yet, trying/), 1);
  });
}

test("routes stay while the server is away, which is told once, and its return", async (t) => {
  const server = await startServer(t, (socket) => socket.write(encodeConfig(routes("a"))));
  const { applied, lines, waitFor } = start(t, server);
  await until(() => applied.length === 1);
  await server.close();
  await waitFor(
    /^warn no network config: the routes stay, trying for ever .*closed the connection/,
  );
  await waitFor(/^debug no network config .*ECONNREFUSED/);
  const again = await startServer(
    t,
    (socket) => socket.write(encodeConfig(routes("a", "b"))),
    server.port,
  );
  await waitFor(/^info network config is back/);
  await until(() => applied.length === 2);
  assert.deepEqual(applied, ["a", "a b"]);
  assert.equal(count(lines, /^warn/), 1);
  await again.close();
  await waitFor(/^warn/, lines.findIndex((line) => /is back/.test(line)));
});

test("the same routes after an outage aren't applied again", async (t) => {
  const server = await startServer(t, (socket) => socket.write(encodeConfig(routes("a"))));
  const { applied, waitFor } = start(t, server);
  await until(() => applied.length === 1);
  server.sockets[0]!.destroy();
  await waitFor(/^info network config is back/);
  server.send(encodeConfig(routes("b")));
  await until(() => applied.length === 2);
  assert.deepEqual(applied, ["a", "b"]);
});

test("pauses grow while a server sends routes and leaves at once", async (t) => {
  const seen: number[] = [];
  const pause = (failures: number): number => (seen.push(failures), 5);
  const server = await startServer(t, (socket) => socket.end(encodeConfig(routes("a"))));
  const { lines } = start(t, server, { pause });
  await until(() => seen.length >= 5);
  assert.deepEqual(seen.slice(0, 5), [0, 1, 2, 3, 4], lines.join("\n"));
});

test("a server that says nothing on a new connection is left, and tried again", async (t) => {
  let speak = false;
  const server = await startServer(t, (socket) => {
    if (speak) socket.write(encodeConfig(routes("a")));
  });
  const { applied, lines, waitFor } = start(t, server, { silence: 100 });
  await waitFor(
    /^warn no network config: there are no routes yet.* sends no routes within 100 ms$/,
  );
  await until(() => server.sockets.length > 2);
  speak = true;
  await until(() => applied.length === 1);
  assert.equal(count(lines, /^warn/), 1);
  const { length } = server.sockets;
  await new Promise((done) => setTimeout(done, 500)); // it may be silent after that
  assert.equal(server.sockets.length, length);
});

test("a server that stops in the middle of a message is left", async (t) => {
  const server = await startServer(t);
  const { waitFor, applied } = start(t, server, { silence: 500 });
  await until(() => server.sockets.length === 1);
  server.send(encodeConfig(routes("a")));
  server.send(encodeConfig(routes("b")).subarray(0, 30));
  await waitFor(/^warn .*the routes stay.* doesn't go on with its message within 500 ms$/);
  assert.deepEqual(applied, ["a"]);
  await until(() => server.sockets.length === 2);
});

test("reload() applies the routes again and connects at once", async (t) => {
  const server = await startServer(t, (socket) => socket.write(encodeConfig(routes("a"))));
  const hour = () => 3_600_000;
  const { applied, source, waitFor, lines } = start(t, server, { pause: hour });
  await until(() => applied.length === 1);
  source.reload(); // from a connection
  await until(() => applied.length === 3); // what there was, and what came then
  await server.close();
  await waitFor(/^warn/);
  source.reload(); // from a pause
  await until(() => applied.length === 4); // without the server
  await until(() => count(lines, /no network config/) === 2);
  for (let i = 0; i < 10; i++) source.reload();
  await until(() => applied.length === 5);
  await startServer(t, (socket) => socket.write(encodeConfig(routes("b"))), server.port);
  source.reload();
  await until(() => applied.at(-1) === "b");
  assert.ok(applied.length < 9, applied.join());
});

test("close() ends it, and nothing is applied any more", async (t) => {
  const server = await startServer(t, (socket) => socket.write(encodeConfig(routes("a"))));
  const { applied, source, lines } = start(t, server);
  await until(() => applied.length === 1);
  server.send(encodeConfig(routes("b")));
  source.close();
  await until(() => server.sockets[0]!.closed);
  source.reload();
  assert.deepEqual(applied, ["a"]);
  assert.equal(server.sockets.length, 1);
  assert.equal(count(lines, /^warn/), 0);
});

test("fetchRoutes() gives the first routes, and says why there are none", async (t) => {
  const never = () => {};
  const fetch = ({ port }: { port: number }, check = never, timeout = 20_000) =>
    fetchRoutes({ host: "127.0.0.1", port }, check, timeout);
  const good = await startServer(t, (socket) => socket.write(encodeConfig(routes("a", "b"))));
  assert.equal((await fetch(good)).routes.length, 2);
  await until(() => good.sockets[0]!.closed);
  const fails = async (
    from: { port: number },
    message: RegExp,
    ...rest: [check?: () => void, timeout?: number]
  ): Promise<void> =>
    await assert.rejects(fetch(from, ...rest), { constructor: RouteSourceError, message });
  const check = () => {
    throw new Error("unknown provider");
  };
  await fails(good, /^failed to parse network config "127.0.0.1:\d+": unknown provider$/, check);
  const bad = await startServer(t, (socket) => socket.write(encodeConfig("what\nis\n")));
  await fails(bad, /^failed to parse network config .*: line 1: .*; line 2: /);
  const other = await startServer(t, (socket) => socket.write("220 mail\r\n"));
  await fails(other, /^failed to get network config .*doesn't begin with CENTAURI$/);
  const silent = await startServer(t);
  await fails(silent, /^failed to get network config .* within 100 ms$/, never, 100);
  const leaves = await startServer(t, (socket) => socket.end());
  await fails(leaves, /the server closed the connection$/);
  await silent.close();
  await fails(silent, /ECONNREFUSED/);
});

test("a server may have a name, of which any address is tried", async (t: TestContext) => {
  const server = await startServer(t, (socket) => socket.write(encodeConfig(routes("a"))));
  const { applied } = start(t, server, { server: { host: "localhost", port: server.port } });
  await until(() => applied.length === 1);
});
