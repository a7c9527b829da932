/** Connections that live long: upgrades, events, clients that leave. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { needProgram, type Scope, startCentauri } from "./support.ts";
import { connect, curl, ok, readMessage, startServer, startUpstream, type Wire } from "./wire.ts";

const MIB = 1024 * 1024;

/** Time-outs so short that whatever they apply to doesn't outlive a test. */
const centauri = await startCentauri({ after }, {
  routes: "",
  args: ["--header-timeout=400ms", "--idle-timeout=400ms", "--stall-timeout=400ms"],
});

function routeTo(upstream: string): string {
  return `route a.example\nupstream ${upstream}\nheader add X-Rule applied\n`;
}

const UPGRADE = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\n" +
  "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
  "Sec-WebSocket-Version: 13\r\n\r\n";
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/** Both ends of an upgraded connection. */
async function openTunnel(t: Scope): Promise<{ client: Wire; peer: Wire }> {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort, { allowHalfOpen: true });
  client.write(UPGRADE);
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  peer.write(SWITCH);
  await client.read("\r\n\r\n");
  return { client, peer };
}

test("an upgrade passes with its fields, and then anything does in both directions", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  client.write(GET + UPGRADE); // not even the first request on its connection
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  peer.write(ok("first"));
  assert.equal((await readMessage(client)).body, "first");
  const request = await peer.read("\r\n\r\n");
  assert.equal(
    request,
    "GET /chat HTTP/1.1\r\nHost: a.example\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
      "Sec-WebSocket-Version: 13\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a.example\r\n" +
      "X-Forwarded-Proto: https\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  );
  peer.write(SWITCH);
  const answer = await client.read("\r\n\r\n");
  assert.match(answer, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  const expected = [...SWITCH.trim().split("\r\n"), "X-Rule: applied"].sort();
  assert.deepEqual(answer.trim().split("\r\n").sort(), expected);
  const bytes = String.fromCharCode(...Array(256).keys());
  for (let i = 0; i < 3; i++) {
    client.write(`${i}${bytes}${GET}`);
    assert.equal(await peer.read(257 + GET.length), `${i}${bytes}${GET}`);
    peer.write(`${bytes}${ok("")}${i}`);
    assert.equal(await client.read(257 + ok("").length), `${bytes}${ok("")}${i}`);
  }
  const much = Buffer.alloc(8 * MIB, bytes, "latin1");
  client.write(much);
  peer.write(much);
  const [up, down] = await Promise.all([peer.read(much.length), client.read(much.length)]);
  assert.ok(up === much.toString("latin1") && down === up);
});

test("what is sent right behind the request or the 101 isn't lost", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  const eager = "e".repeat(200_000);
  client.write(`${UPGRADE}${eager}`);
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  assert.equal(peer.received.includes("e".repeat(100)), false, "it isn't switched yet");
  peer.write(`${SWITCH}hello`);
  await client.read("\r\n\r\n");
  assert.equal(await client.read(5), "hello");
  assert.equal(await peer.read(eager.length), eager);
});

test("either side of an upgraded connection may end first, and the other goes on", async (t) => {
  for (const first of ["client", "peer"] as const) {
    const { client, peer } = await openTunnel(t);
    const [ends, goesOn] = first === "client" ? [client, peer] : [peer, client];
    ends.socket.end("the last");
    assert.equal(await goesOn.readToEnd(), "the last", first);
    for (let i = 0; i < 3; i++) {
      goesOn.write(`still ${i}`);
      assert.equal(await ends.read(7), `still ${i}`);
    }
    assert.equal(ends.ended, false);
    goesOn.socket.end("bye");
    assert.equal(await ends.readToEnd(), "bye");
  }
});

test("an upgraded connection outlives every time-out, silent or not taken", async (t) => {
  const { client, peer } = await openTunnel(t);
  await setTimeout(1_000);
  client.socket.pause();
  const much = "m".repeat(16 * MIB); // more than anything on the way holds
  peer.write(much);
  await setTimeout(1_000);
  client.socket.resume();
  assert.equal((await client.read(much.length)).length, much.length);
  client.write("alive");
  assert.equal(await peer.read(5), "alive");
});

test("an upstream may refuse an upgrade: the connection goes on as HTTP", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  client.write(UPGRADE);
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  peer.write("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
  assert.match((await readMessage(client)).head, /^HTTP\/1\.1 426 Upgrade Required\r\n/);
  client.write(GET);
  await peer.read("\r\n\r\n");
  peer.write(ok("yes"));
  assert.equal((await readMessage(client)).body, "yes");
  // What was meant for the other protocol is then no request.
  client.write(`${UPGRADE}\x81\x05hello`);
  await peer.read("\r\n\r\n");
  peer.write(ok("no"));
  assert.equal((await readMessage(client)).body, "no");
  assert.match(await client.readToEnd(), /^HTTP\/1\.1 (400|408) /);
  assert.doesNotMatch(peer.received, /hello/);
});

test("a reload cuts no connection: upgraded, in the middle of an answer, or idle", async (t) => {
  const { client, peer } = await openTunnel(t);
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const download = await connect(t, centauri.httpsPort);
  download.write(GET);
  const source = await upstream.accept();
  await source.read("\r\n\r\n");
  source.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
  await download.read("12345");
  const idle = await connect(t, centauri.httpsPort);
  const other = await startServer(t, () => ok("from the new one"));
  await centauri.reload("route b.example\nupstream 127.0.0.1:1\n"); // without the route
  await centauri.reload(routeTo(other.name));
  client.write("ping");
  assert.equal(await peer.read(4), "ping");
  peer.write("pong");
  assert.equal(await client.read(4), "pong");
  source.write("67890");
  assert.equal(await download.read(5), "67890");
  download.write(GET);
  assert.equal((await readMessage(download)).body, "from the new one");
  idle.write(GET);
  assert.equal((await readMessage(idle)).body, "from the new one");
});

test("events arrive one by one, as they are sent", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  for (const chunked of [true, false]) {
    const client = await connect(t, centauri.httpsPort);
    client.write(GET);
    const peer = await upstream.accept();
    await peer.read("\r\n\r\n");
    const coding = chunked ? "Transfer-Encoding: chunked\r\n" : "";
    peer.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n${coding}\r\n`);
    await client.read("\r\n\r\n"); // the head doesn't wait for an event
    for (let i = 0; i < 5; i++) {
      const event = `data: ${i}\n\n`;
      peer.write(chunked ? `9\r\n${event}\r\n` : event);
      assert.equal(await client.read("\r\n"), "9\r\n");
      assert.equal(await client.read("\r\n"), `${event}\r\n`); // the next one isn't there yet
    }
    await setTimeout(1_000); // longer than any time-out
    peer.socket.end(chunked ? "0\r\n\r\n" : "");
    assert.equal(await client.read("\r\n\r\n"), "0\r\n\r\n");
    client.socket.destroy();
  }
});

/** What a client may be in the middle of when it leaves. */
const SITUATIONS: Record<string, (client: Wire, peer: () => Promise<Wire>) => Promise<Wire>> = {
  "waiting for an answer": async (client, accept) => {
    client.write(GET);
    const peer = await accept();
    await peer.read("\r\n\r\n");
    return peer;
  },
  "downloading": async (client, accept) => {
    client.write(GET);
    const peer = await accept();
    await peer.read("\r\n\r\n");
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
    await client.read("some");
    return peer;
  },
  "downloading without reading": async (client, accept) => {
    client.write(GET);
    client.socket.pause();
    const peer = await accept();
    await peer.read("\r\n\r\n");
    peer.write(`HTTP/1.1 200 OK\r\nContent-Length: ${32 * MIB}\r\n\r\n`);
    peer.write(Buffer.alloc(16 * MIB));
    return peer;
  },
  "uploading by length": async (client, accept) => {
    client.write("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nsome");
    const peer = await accept();
    await peer.read("some");
    return peer;
  },
  "uploading in chunks": async (client, accept) => {
    client.write("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write("4\r\nsome\r\n");
    const peer = await accept();
    await peer.read("some");
    return peer;
  },
  "on an upgraded connection": async (client, accept) => {
    client.write(UPGRADE);
    const peer = await accept();
    await peer.read("\r\n\r\n");
    peer.write(SWITCH);
    await client.read("\r\n\r\n");
    return peer;
  },
};

test("a client that leaves takes its upstream connection along within a second", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  for (const [situation, play] of Object.entries(SITUATIONS)) {
    for (const how of ["end", "destroy"] as const) {
      const client = await connect(t, centauri.httpsPort);
      const peer = await play(client, upstream.accept);
      const left = performance.now();
      client.socket[how]();
      await peer.until(() => peer.ended, `Centauri to leave a client that was ${situation}`);
      const took = performance.now() - left;
      assert.ok(took < 1_000, `${situation}, ${how}: ${took} ms`);
      // What the upstream got can't be taken for a whole request.
      assert.doesNotMatch(peer.received, /\r\n0\r\n\r\n$/);
      peer.socket.destroy();
    }
  }
});

test("the upstream sees within a second that curl was interrupted", async (t) => {
  if (!needProgram(t, "curl")) return;
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const [result, peer] = await Promise.all([curl(centauri, "/", "-m", "0.5"), upstream.accept()]);
  const left = performance.now();
  assert.equal(result.code, 28, result.stderr);
  await peer.until(() => peer.ended, "Centauri to leave");
  assert.ok(performance.now() - left < 1_000);
});

test("an upstream that dies takes an upgraded connection with it", async (t) => {
  const { client, peer } = await openTunnel(t);
  const died = performance.now();
  peer.socket.resetAndDestroy();
  await client.until(() => client.ended, "the end");
  assert.ok(performance.now() - died < 1_000);
  const { client: other, peer: its } = await openTunnel(t);
  other.socket.destroy();
  await its.until(() => its.ended, "the end");
});

test("nothing above was a bug to Centauri", () => {
  assert.deepEqual(centauri.logs.filter((line) => line.includes("internal error")), []);
});
