import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { Clock, type Expiring } from "../lib/clock.ts";
import type { Connection } from "../lib/exchange.ts";
import { afterHeaders } from "../lib/proxyaccept.ts";
import { type Recorder, recordLog, until } from "./recorder.ts";
import type { Scope } from "./support.ts";

const HEADER = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";

interface Setup extends Recorder {
  readonly clock: Clock;
  readonly open: ReadonlySet<Connection>;
  /** Those that were accepted: whose they are, their deadlines, and what came on them. */
  readonly accepted: readonly (Expiring & { client: string; socket: net.Socket; text: string })[];
  connect(): net.Socket;
}

/** Who connects counts as `peer`. */
async function setUp(t: Scope, peer: string, timeout = 60_000): Promise<Setup> {
  const [recorder, clock] = [recordLog(), new Clock()];
  const accepted: (Expiring & { client: string; socket: net.Socket; text: string })[] = [];
  const open = new Set<Connection>();
  const accept = afterHeaders({
    ...{ clock, timeout, open, log: recorder.log, networks: "192.0.2.0/24" },
    accept: (socket, client) => {
      const one = { client, socket, deadline: 0, text: "", onDeadline: () => {} };
      socket.on("data", (chunk: Buffer) => one.text += chunk.toString("latin1"));
      accepted.push(one);
      return one;
    },
    onEnd: (connection) => void open.delete(connection),
  });
  const sockets: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.push(socket.on("error", () => {}));
    accept(socket, peer);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;
  const connect = (): net.Socket => {
    const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    sockets.push(socket.on("error", () => {}));
    socket.resume();
    return socket;
  };
  t.after(() => {
    clock.close();
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { ...recorder, clock, open, accepted, connect };
}

test("a listed connection is its client's after the header, with what followed it", async (t) => {
  const { accepted, open, connect, lines } = await setUp(t, "192.0.2.99");
  const socket = connect();
  socket.write(HEADER.slice(0, 20));
  await until(() => open.size === 1);
  socket.write(HEADER.slice(20) + "first");
  await until(() => accepted.length === 1);
  socket.write(" second");
  await until(() => accepted[0]!.text === "first second");
  assert.equal(accepted[0]!.client, "192.0.2.1");
  assert.equal(open.size, 0);
  assert.deepEqual(lines, []);
});

test("the deadline is that of the connection's beginning", async (t) => {
  const { accepted, clock, open, connect } = await setUp(t, "192.0.2.99");
  const socket = connect();
  await until(() => open.size === 1);
  const [{ deadline }] = [...open] as (Connection & Expiring)[] as [Connection & Expiring];
  const { now } = clock;
  await until(() => clock.now > now); // it has gone on
  socket.write(HEADER);
  await until(() => accepted.length === 1);
  assert.equal(accepted[0]!.deadline, deadline);
});

test("a header that isn't complete in time ends the connection", async (t) => {
  const { open, connect, waitFor } = await setUp(t, "192.0.2.99", 300);
  const socket = connect();
  socket.write(HEADER.slice(0, -1));
  await waitFor(/^debug PROXY header refused 192\.0\.2\.99 it wasn't complete in time$/);
  await until(() => socket.closed && open.size === 0);
});

test("a client that ends, resets or is drained before its header is complete is gone", async (t) => {
  const { accepted, open, connect, lines } = await setUp(t, "192.0.2.99");
  const sockets = [connect(), connect(), connect()] as const;
  for (const socket of sockets) socket.write(HEADER.slice(0, -1));
  await until(() => open.size === 3);
  sockets[0].end();
  await until(() => open.size === 2);
  sockets[1].resetAndDestroy();
  await until(() => open.size === 1);
  for (const connection of open) connection.drain();
  await until(() => open.size === 0 && sockets.every(({ closed }) => closed));
  assert.deepEqual(accepted, []);
  assert.ok(lines.length <= 1, lines.join("\n")); // the reset
});

test("a header and an end in one are a client that has ended", async (t) => {
  const { accepted, connect } = await setUp(t, "192.0.2.99");
  connect().end(`${HEADER}all`);
  await until(() => accepted[0]?.text === "all");
  await until(() => accepted[0]!.socket.readableEnded);
});

test("others are accepted at once, and what they send is theirs", async (t) => {
  const { accepted, open, connect } = await setUp(t, "198.51.100.1");
  connect().write(HEADER);
  await until(() => accepted[0]?.text === HEADER);
  assert.deepEqual([accepted[0]!.client, open.size], ["198.51.100.1", 0]);
});

test("of whom nobody knows who it was, because it has left, nothing is read", async (t) => {
  const { accepted, connect, open } = await setUp(t, "");
  const socket = connect();
  socket.write(HEADER + "all");
  await until(() => socket.closed && open.size === 0);
  assert.deepEqual(accepted, []);
});
