/** Whoever keeps the other side waiting: which deadline holds for whom, and what it ends. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { type Scope, startCentauri } from "./support.ts";
import { connect, ok, readMessage, startServer, startUpstream, type Wire } from "./wire.ts";

const HEAD_MS = 700;
const STALL_MS = 4_000; // longer than this process may be kept from sending

const centauri = await startCentauri({ after }, {
  routes: "",
  args: [`--header-timeout=${HEAD_MS}ms`, "--idle-timeout=20s", `--stall-timeout=${STALL_MS}ms`],
});

const POST = "POST / HTTP/1.1\r\nHost: a.example\r\n";
const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/** An exchange whose request has begun: its client, and the upstream's side of it. */
async function begin(t: Scope, request: string, more = ""): Promise<{ client: Wire; peer: Wire }> {
  const upstream = await startUpstream(t);
  await centauri.reload(`route a.example\nupstream ${upstream.name}\n${more}`);
  const client = await connect(t, centauri.httpsPort);
  client.write(request);
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  return { client, peer };
}

test("a client that doesn't read is cut, also when its request ends meanwhile", async (t) => {
  const { client, peer } = await begin(t, `${POST}Content-Length: 2\r\n\r\na`);
  client.socket.pause();
  const size = 64 * 1024 * 1024;
  peer.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
  peer.socket.write(Buffer.alloc(size));
  await setTimeout(HEAD_MS); // for the answer to be stuck, and the deadline to be set
  client.write("b");
  await peer.until(() => peer.closed, "the end of the upstream's connection");
});

test("an upstream that takes no more of a request is answered for with 504", async (t) => {
  const { client, peer } = await begin(t, `${POST}Content-Length: 64000000\r\n\r\n`);
  peer.socket.pause();
  client.socket.on("error", () => {});
  client.socket.write(Buffer.alloc(64_000_000));
  assert.match(await client.read("\r\n\r\n"), /^HTTP\/1\.1 504 Gateway Timeout\r\n/);
});

test("a client that waits to be told to go on isn't stalling", async (t) => {
  const { client, peer } = await begin(
    t,
    `${POST}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n`,
  );
  await setTimeout(STALL_MS + 600);
  peer.write("HTTP/1.1 100 Continue\r\n\r\n");
  assert.match(await client.read("\r\n\r\n"), /^HTTP\/1\.1 100 /);
  client.write("x");
  assert.equal(await peer.read("x"), "x");
  peer.write(ok("done"));
  assert.equal((await readMessage(client)).body, "done");
});

test("an empty line after a request isn't the beginning of the next one", async (t) => {
  const server = await startServer(t, () => ok("a"));
  await centauri.reload(`route a.example\nupstream ${server.name}\n`);
  const client = await connect(t, centauri.httpsPort);
  for (const end of ["\r\n", ""]) {
    client.write(GET + end);
    assert.equal((await readMessage(client)).body, "a");
    await setTimeout(end === "" ? 0 : HEAD_MS + 500);
  }
});

test("an error after a HEAD request is written for the request that it is about", async (t) => {
  const server = await startServer(t, () => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  await centauri.reload(`route a.example\nupstream ${server.name}\n`);
  const client = await connect(t, centauri.httpsPort);
  client.write(GET.replace("GET", "HEAD"));
  await readMessage(client, "HEAD");
  client.write("GET / HTTP/1.1\n");
  const { head, body } = await readMessage(client);
  assert.match(head, /^HTTP\/1\.1 400 /);
  assert.match(body, /Bad Request/);
});

test("a request goes on to its upstream while an error page is fetched in vain", async (t) => {
  const page = await startUpstream(t, (accepted) => accepted.socket.destroy());
  const request = `${POST}Content-Length: 2\r\n\r\na`;
  const { client, peer } = await begin(t, request, `on_error 500 ${page.name}/\n`);
  peer.write("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n");
  client.write("b");
  assert.equal(await peer.read("ab"), "ab");
  peer.write("done");
  assert.equal((await readMessage(client)).body, "done");
});

test("an error page without a body is none", async (t) => {
  for (const status of ["204 No Content", "304 Not Modified\r\nContent-Length: 120"]) {
    const page = await startServer(t, () => `HTTP/1.1 ${status}\r\n\r\n`);
    const { client, peer } = await begin(t, GET, `on_error 500 ${page.name}/\n`);
    peer.write("HTTP/1.1 500 Oops\r\nContent-Length: 8\r\n\r\noriginal");
    assert.equal((await readMessage(client)).body, "original");
  }
});

test("an answer that an error page may replace waits, however the client reads", async (t) => {
  const page = await startUpstream(t);
  const { client, peer } = await begin(t, GET, `on_error 500 ${page.name}/\n`);
  client.socket.pause();
  const hint = `HTTP/1.1 103 Early Hints\r\nLink: ${"x".repeat(50_000)}\r\n\r\n`;
  for (let i = 0; i < 60; i++) peer.write(hint);
  peer.write("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nevil");
  client.socket.resume();
  const fetching = await page.accept();
  await fetching.read("\r\n\r\n");
  fetching.write(ok("page"));
  const { head, body } = await readMessage(client);
  assert.match(head, /^HTTP\/1\.1 500 Oops\r\n/);
  assert.equal(body, "page");
  assert.ok(!client.received.includes("evil"));
});
