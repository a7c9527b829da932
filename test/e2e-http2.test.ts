/**
 * HTTP/2 as clients see it: real ones (curl, nghttp, h2load, Node's), and frames by hand where
 * those are too well-behaved. Upstreams see HTTP/1.1.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import http2 from "node:http2";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import {
  connectHttp2,
  data,
  frame,
  GET,
  headers,
  HELLO,
  open,
  ping,
  POST,
  reset,
  to,
  windowUpdate,
} from "./http2wire.ts";
import {
  findProgram,
  needProgram,
  run,
  type Scope,
  startCentauri,
  temporaryFolder,
} from "./support.ts";
import { holdInterfaces } from "./interfaces.ts";
import { frameVectors } from "./vectors/http2.ts";
import { headVectors } from "./vectors/http2-heads.ts";
import {
  type Answer,
  connect,
  curl,
  ok,
  startServer,
  startUpstream,
  type Upstream,
  type Wire,
  writeUntilStuck,
} from "./wire.ts";

const MIB = 1024 * 1024;
const LAST = 1; // END_STREAM

const centauri = await startCentauri({ after }, { routes: "" });

const routeTo = (upstream: string, more = ""): string => `
  route a.example
    upstream ${upstream}
    header add X-Rule applied
    ${more}
  route other.example
    upstream ${upstream}`;

const digest = (bytes: string | Uint8Array): string =>
  createHash("sha256").update(Buffer.from(bytes as string, "latin1")).digest("hex");

/** An upstream that answers, and the route to it. */
async function serve(t: Scope, answer: Answer) {
  const server = await startServer(t, answer);
  await centauri.reload(routeTo(server.name));
  return server;
}

/** An upstream in the hands of the test. */
async function play(t: Scope, more?: string): Promise<Upstream> {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name, more));
  return upstream;
}

test("a request is HTTP/1.1 to its upstream, and an answer is what that said", async (t) => {
  const upstream = await play(t);
  const client = await connectHttp2(t, centauri.httpsPort);
  const more = ["user-agent", "x", "cookie", "a=b", "te", "trailers", "cookie", "c"];
  client.write(headers(1, [...to("/a?b=%20"), ...more, "x-forwarded-for", "1.2.3.4"]));
  const peer = await upstream.accept();
  assert.equal(
    await peer.read("\r\n\r\n"),
    "GET /a?b=%20 HTTP/1.1\r\nHost: a.example\r\nuser-agent: x\r\ncookie: a=b; c\r\n" +
      "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a.example\r\n" +
      "X-Forwarded-Proto: https\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
  );
  peer.write(
    "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\nConnection: x-hop, keep-alive" +
      "\r\nX-Hop: y\r\nKeep-Alive: 5\r\nX-Mixed: Case\r\nTrailer: X-T\r\n\r\n" +
      "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
  );
  await client.line("HEADERS 1 trailers END");
  assert.deepEqual(client.frames.heads, [
    [":status", "200", "date", "now", "x-mixed", "Case", "trailer", "X-T", "x-rule", "applied"],
    ["x-t", "1"],
  ]);
  assert.equal(await client.body(1), "hello");
});

test("bodies, trailers and interim answers go both ways", async (t) => {
  const upstream = await play(t);
  const client = await connectHttp2(t, centauri.httpsPort);
  client.write(open(1, [...POST, "expect", "100-continue"]));
  const peer = await upstream.accept();
  assert.match(await peer.read("\r\n\r\n"), /\r\nexpect: 100-continue\r\n.*chunked\r\n/s);
  peer.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
  await client.line("HEADERS 1 103");
  client.write(data(1, "hello"));
  assert.equal(await peer.read("\r\n5\r\nhello\r\n".slice(2)), "5\r\nhello\r\n");
  client.write(headers(1, ["x-t", "1", "x-forwarded-for", "evil"]));
  assert.equal(await peer.read("\r\n\r\n"), "0\r\nx-t: 1\r\n\r\n");
  peer.write("HTTP/1.1 204 No Content\r\n\r\n");
  await client.line("HEADERS 1 204 END");
  assert.deepEqual(client.frames.lines.filter((line) => line.startsWith("HEADERS")), [
    ...["HEADERS 1 100", "HEADERS 1 103", "HEADERS 1 204 END"],
  ]);
  // By length, on the same connection to the upstream.
  client.write(open(3, [...POST, "content-length", "5"]));
  assert.match(await peer.read("\r\n\r\n"), /^POST \/ [^]*\r\ncontent-length: 5\r\n/);
  client.write(Buffer.concat([data(3, "he"), data(3, "llo", LAST)]));
  assert.equal(await peer.read(5), "hello");
  peer.write(ok("done"));
  assert.equal(await client.body(3), "done");
  for (
    const [id, method, answer] of [
      [5, "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"],
      [7, "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"],
      [9, "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ] as const
  ) {
    client.write(headers(id, GET.with(1, method)));
    await peer.read("\r\n\r\n");
    peer.write(answer);
    await client.line(`HEADERS ${id} ${answer.slice(9, 12)} END`);
  }
  assert.equal(upstream.wires.length, 1);
});

test("malformed requests go nowhere, and neither do frames that nobody may send", async (t) => {
  const server = await serve(t, () => ok(""));
  const client = await connectHttp2(t, centauri.httpsPort);
  const rows = headVectors.filter(({ expect }) => "error" in expect).slice(0, 190);
  assert.ok(rows.length > 100);
  rows.forEach(({ input, ended }, i) => client.write(headers(2 * i + 1, input, ended ? 1 : 0)));
  client.write(ping());
  await client.line("PING ACK 12345678");
  const refused = rows.map((_, i) => `RST_STREAM ${2 * i + 1} PROTOCOL_ERROR`);
  assert.deepEqual(client.frames.lines.filter((line) => line.startsWith("RST")), refused);
  const fatal = frameVectors.filter(({ expect }) => /GOAWAY 0/.test(expect.at(-1) ?? ""));
  assert.ok(fatal.length > 30);
  await Promise.all(fatal.map(async ({ name, input, expect }) => {
    const client = await connectHttp2(t, centauri.httpsPort, input);
    await client.line(expect.at(-1) as string).catch((error) => assert.fail(`${name}: ${error}`));
    await client.until(() => client.ended, `the end: ${name}`);
  }));
  assert.equal(server.requests.length, 0);
  for (const [id, authority, status] of [[1, "a b", 400], [3, "x.example", 421]] as const) {
    const other = await connectHttp2(t, centauri.httpsPort);
    other.write(headers(id, GET.with(7, authority)));
    await other.line(`HEADERS ${id} ${status}`);
    other.write(ping());
    await other.line("PING ACK 12345678");
  }
  assert.equal(server.requests.length, 0);
});

test("HTTP/2 is spoken only where ALPN says so", async (t) => {
  const client = await connect(t, centauri.httpsPort);
  client.write(Buffer.concat([HELLO, headers(1)]));
  assert.match(await client.readToEnd(), /^HTTP\/1\.1 (400|505) /);
  const other = await connectHttp2(t, centauri.httpsPort, Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  await other.line("GOAWAY 0 PROTOCOL_ERROR");
});

test("a stream that isn't read stops its upstream, and no other stream", async (t) => {
  const upstream = await play(t);
  const client = await connectHttp2(t, centauri.httpsPort);
  client.write(Buffer.concat([windowUpdate(0, 200 * MIB), headers(1)]));
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  peer.write(`HTTP/1.1 200 OK\r\nContent-Length: ${100 * MIB}\r\n\r\n`);
  const piece = Buffer.alloc(64 * 1024, "x");
  const sent = await writeUntilStuck(peer.socket, () => piece, 1600);
  assert.ok(sent * piece.length < 24 * MIB, `${sent * piece.length / MIB} MiB were taken`);
  assert.equal((await client.body(1, 65_535)).length, 65_535);
  for (let i = 3; i < 20; i += 2) {
    client.write(headers(i));
    const other = i === 3 ? await upstream.accept() : upstream.wires[1] as Wire;
    await other.read("\r\n\r\n");
    other.write(ok("other"));
    assert.equal(await client.body(i), "other");
  }
  client.write(windowUpdate(1, 10 * MIB));
  assert.ok(await client.body(1, 2 * MIB));
  client.write(reset(1));
  await peer.until(() => peer.ended, "Centauri to leave the upstream");
});

test("a stream whose upstream doesn't read stops alone", async (t) => {
  const upstream = await play(t);
  const client = await connectHttp2(t, centauri.httpsPort);
  client.write(open(1));
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  peer.socket.pause();
  let window = 65_535, seen = 0, sent = 0;
  const look = (): void => {
    for (const line of client.frames.lines.slice(seen)) {
      const [, increment] = /^WINDOW_UPDATE 1 \+(\d+)$/.exec(line) ?? [];
      window += Number(increment ?? 0);
    }
    seen = client.frames.lines.length;
  };
  const piece = data(1, "x".repeat(10_000));
  for (let quiet = 0; quiet < 50;) {
    look();
    if (window < 10_000) {
      quiet++;
      await new Promise((done) => setTimeout(done, 10));
      continue;
    }
    quiet = 0;
    window -= 10_000;
    sent += 10_000;
    client.write(piece);
  }
  assert.ok(sent < 24 * MIB, `${sent} bytes were taken`);
  client.write(headers(3));
  const other = await upstream.accept();
  await other.read("\r\n\r\n");
  other.write(ok("other"));
  assert.equal(await client.body(3), "other");
  peer.socket.resume();
  await client.until(() => (look(), window >= 10_000), "the window");
  client.write(data(1, "", LAST));
  await peer.read("\r\n0\r\n\r\n");
});

test("who leaves a stream, or the connection, leaves its upstream", async (t) => {
  const upstream = await play(t);
  const client = await connectHttp2(t, centauri.httpsPort);
  const peers: Wire[] = [];
  for (const id of [1, 3, 5]) {
    client.write(id === 1 ? open(id) : headers(id));
    peers.push(await upstream.accept());
    await peers.at(-1)?.read("\r\n\r\n");
  }
  const [one, three, five] = peers as [Wire, Wire, Wire];
  client.write(reset(1));
  await one.until(() => one.ended, "Centauri to leave");
  assert.equal(three.ended, false);
  five.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
  assert.equal(await client.body(5, 5), "hello");
  five.socket.destroy();
  await client.line("RST_STREAM 5 INTERNAL_ERROR");
  client.socket.destroy();
  await three.until(() => three.ended, "Centauri to leave");
});

test("an answer that comes before the request's end tells the client to stop", async (t) => {
  const upstream = await play(t);
  const client = await connectHttp2(t, centauri.httpsPort);
  client.write(Buffer.concat([open(1), data(1, "some")]));
  const peer = await upstream.accept();
  await peer.read("some");
  peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
  await client.line("RST_STREAM 1 NO_ERROR");
  assert.ok(client.frames.lines.includes("DATA 1 no END"));
  client.write(Buffer.concat([data(1, "more"), data(1, "", LAST), ping()]));
  await client.line("PING ACK 12345678");
});

const CHAT = [
  ...[":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/chat"],
  ...[":authority", "a.example", "sec-websocket-version", "13", "origin", "https://a.example"],
];
const acceptFor = (key: string): string =>
  createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

/** Takes the request of an upgrade off, and answers it. */
async function upgrade(peer: Wire, accept?: string): Promise<string> {
  const request = await peer.read("\r\n\r\n");
  const [, key = ""] = /^sec-websocket-key: (.*)\r$/mi.exec(request) ?? [];
  peer.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept ?? acceptFor(key)}\r\nSec-WebSocket-Protocol: p\r\n\r\n`,
  );
  return request;
}

test("extended CONNECT is an upgrade to WebSocket for the upstream, and a tunnel", async (t) => {
  const upstream = await play(t);
  const client = await connectHttp2(t, centauri.httpsPort);
  client.write(Buffer.concat([open(1, CHAT), data(1, "early")]));
  const peer = await upstream.accept();
  const request = await upgrade(peer);
  assert.match(request, /^GET \/chat HTTP\/1\.1\r\nHost: a\.example\r\n/);
  assert.match(request, /\r\nsec-websocket-key: [\w+/]{22}==\r\n/);
  assert.match(request, /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n$/);
  await client.line("HEADERS 1 200");
  assert.deepEqual(client.frames.heads, [
    [":status", "200", "sec-websocket-protocol", "p", "x-rule", "applied"],
  ]);
  assert.equal(await peer.read(5), "early");
  for (let i = 0; i < 3; i++) {
    client.write(data(1, `up ${i}`));
    assert.equal(await peer.read(4), `up ${i}`);
    peer.write(`down ${i}`);
    await client.line(`DATA 1 down ${i}`);
  }
  client.write(headers(3)); // meanwhile, requests
  const other = await upstream.accept();
  await other.read("\r\n\r\n");
  other.write(ok("other"));
  assert.equal(await client.body(3), "other");
  client.write(data(1, "bye", LAST));
  assert.equal(await peer.readToEnd(), "bye");
  peer.socket.end("bye, too");
  await client.line("DATA 1 END");
  assert.match(await client.body(1), /bye, too$/);
  assert.equal(client.frames.lines.filter((line) => line.startsWith("RST")).length, 0);
});

test("a tunnel ends with either side, and isn't one before it is accepted", async (t) => {
  const upstream = await play(t);
  const client = await connectHttp2(t, centauri.httpsPort);
  const begin = async (id: number): Promise<Wire> => {
    client.write(open(id, CHAT));
    return await upstream.accept();
  };
  const left = await begin(1);
  await upgrade(left);
  await client.line("HEADERS 1 200");
  client.write(reset(1));
  await left.until(() => left.ended, "Centauri to leave");
  const died = await begin(3);
  await upgrade(died);
  await client.line("HEADERS 3 200");
  died.socket.resetAndDestroy();
  await client.line("RST_STREAM 3 CANCEL");
  await upgrade(await begin(5), "wrong");
  await client.line("HEADERS 5 502");
  const refused = await begin(7);
  await refused.read("\r\n\r\n");
  refused.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  await client.line("HEADERS 7 403");
  await client.line("RST_STREAM 7 NO_ERROR");
  client.write(open(9, CHAT)); // on the connection that is free again
  await refused.read("\r\n\r\n");
  refused.write(ok("a page"));
  await client.line("HEADERS 9 502");
  const ended = await begin(11);
  await upgrade(ended);
  ended.socket.end();
  await client.line("DATA 11 END");
  ended.socket.resetAndDestroy();
  client.write(data(11, "nobody is there any more"));
  await client.line("RST_STREAM 11 NO_ERROR");
});

test("Rapid Reset ends a connection, and nobody else's", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connectHttp2(t, centauri.httpsPort);
  const other = await connectHttp2(t, centauri.httpsPort);
  for (let i = 1; i < 5_000; i += 2) client.write(Buffer.concat([headers(i), reset(i)]));
  await client.until(() => client.ended, "the end");
  assert.match(client.frames.lines.at(-1) ?? "", /^GOAWAY \d+ ENHANCE_YOUR_CALM$/);
  other.write(headers(1));
  await upstream.accept();
  other.write(ping());
  await other.line("PING ACK 12345678");
});

test("SIGTERM lets streams end, and then the connection", async (t) => {
  const upstream = await startUpstream(t);
  const own = await startCentauri(t, { routes: routeTo(upstream.name) });
  const client = await connectHttp2(t, own.httpsPort);
  const idle = await connectHttp2(t, own.httpsPort);
  await idle.line("SETTINGS ACK");
  client.write(headers(1));
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  const stopped = own.stop();
  await client.line(`GOAWAY ${2 ** 31 - 1} NO_ERROR`);
  client.write(frame(6, 1, 0, "\0".repeat(8)));
  await client.line("GOAWAY 1 NO_ERROR");
  await idle.until(() => idle.ended, "the end of the idle one");
  idle.socket.destroy();
  peer.write(ok("bye"));
  assert.equal(await client.body(1), "bye");
  await client.until(() => client.ended, "the end");
  client.socket.destroy();
  assert.equal(await stopped, 0);
});

// Real clients.

test("curl gets and puts 20 MiB whole, several at once", async (t) => {
  if (!needProgram(t, "curl")) return;
  const folder = await temporaryFolder(t);
  const bytes = Buffer.alloc(20 * MIB);
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(i * 2_654_435_761 % 2 ** 32, i);
  await writeFile(join(folder, "upload"), bytes);
  const text = bytes.toString("latin1");
  await serve(t, ({ head, body }) => head.startsWith("PUT") ? ok(digest(body)) : ok(text));
  const down = async (name: string): Promise<void> => {
    const { stdout, stderr } = await curl(
      ...[centauri, "/", "--http2", "-o", join(folder, name), "-w", "%{http_version}"] as const,
    );
    assert.equal(stdout, "2", stderr);
    assert.equal(digest(readFileSync(join(folder, name))), digest(text));
  };
  const up = async (): Promise<void> => {
    const { stdout } = await curl(centauri, "/", "--http2", "-T", join(folder, "upload"));
    assert.equal(stdout, digest(text));
  };
  await Promise.all([down("a"), down("b"), up(), up()]);
});

test("curl notices that an answer was cut", async (t) => {
  if (!needProgram(t, "curl")) return;
  await serve(t, (_, peer) => {
    peer.socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhello");
    return undefined;
  });
  const { code, stderr } = await curl(centauri, "/", "--http2");
  assert.equal(code, 92, stderr); // it lets go of bytes that come with the reset
});

test("nghttp gets many resources over one connection, and uploads with trailers", async (t) => {
  if (!needProgram(t, "nghttp")) return;
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "upload"), "x".repeat(300_000));
  await serve(t, ({ head, body, trailers }) => {
    if (head.startsWith("POST")) return ok(`${body.length} ${trailers.trim()}\n`);
    return ok(`${head.split(" ")[1]}\n`);
  });
  const base = `https://127.0.0.1:${centauri.httpsPort}`;
  const args = ["--no-verify-peer", "-H", ":authority: a.example"];
  const urls = Array.from({ length: 90 }, (_, i) => `${base}/${i}`);
  const got = await run("nghttp", [...args, "-m1", ...urls]);
  assert.deepEqual(got.stdout.split("\n").sort(), urls.map((_, i) => `/${i}`).concat("").sort());
  const file = join(folder, "upload");
  const sent = await run("nghttp", [
    ...[...args, "--no-content-length", "-d", file, "--trailer", "x-t: 1", `${base}/`],
  ]);
  assert.equal(sent.stdout.trim(), "300000 x-t: 1", sent.stderr);
});

test("h2load's requests are all answered", async (t) => {
  if (!needProgram(t, "h2load")) return;
  await serve(t, () => ok("x".repeat(10_240)));
  const { stdout, stderr } = await run("h2load", [
    ...["-n", "4000", "-c", "10", "-m", "20", "--connect-to", `127.0.0.1:${centauri.httpsPort}`],
    "https://a.example/",
  ]);
  assert.match(stdout, /4000 total, 4000 started, 4000 done, 4000 succeeded, 0 failed/, stderr);
  assert.match(stdout, /^status codes: 4000 2xx/m);
});

const PAGE = `<!DOCTYPE html><title>x</title><script>let loaded = 0, failed = 0;</script>
${
  Array.from({ length: 200 }, (_, i) =>
    `<script src="/${i}.js" onerror="failed++"${i % 2 === 0 ? " async" : ""}></script>`).join("")
}
<script>
addEventListener("load", () => {
  const entries = performance.getEntriesByType("resource");
  const multiplexed = entries.filter((entry) =>
    entry.nextHopProtocol === "h2" && entry.connectStart === entry.connectEnd).length;
  const socket = new WebSocket("wss://" + location.host + "/chat");
  const report = (text) =>
    fetch("/report", { method: "POST", body: [loaded, failed, multiplexed, text] });
  socket.onmessage = ({ data }) => report(data);
  socket.onerror = () => report("no WebSocket");
});
</script>`;

test("Chromium loads a page of 200 resources over one connection, and a WebSocket", async (t) => {
  if (!needProgram(t, "chromium")) return;
  t.after(await holdInterfaces());
  const profile = await temporaryFolder(t);
  let told = (_report: string): void => {};
  const report = new Promise<string>((done) => told = done);
  await serve(t, async ({ head, body }, peer) => {
    const [method, target = ""] = head.split(" ");
    if (method === "POST") told(body);
    if (target === "/") return ok(PAGE, "Content-Type: text/html\r\n");
    if (target.endsWith(".js")) return ok(`loaded++;//${"x".repeat(5_000)}`);
    if (target !== "/chat") return ok("");
    // In HTTP/1.1 Chromium spells it with capitals.
    const [, key = ""] = /^sec-websocket-key: (.*)\r$/m.exec(head) ?? [];
    peer.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n\x81\x05hello`,
    );
    await peer.readToEnd();
    return undefined;
  });
  const port = centauri.httpsPort;
  const browser = spawn(findProgram("chromium") as string, [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
    ...["--ignore-certificate-errors", `--user-data-dir=${profile}`],
    ...[`--host-resolver-rules=MAP a.example 127.0.0.1`, `https://a.example:${port}/`],
  ], { stdio: "ignore" });
  const ended = once(browser, "exit");
  t.after(async () => {
    browser.kill();
    await ended;
  });
  const timer = setTimeout(() => told("nothing in time"), 60_000);
  assert.equal(await report, "200,0,200,hello");
  clearTimeout(timer);
});

/** Deno's own client of HTTP/2 has neither extended CONNECT nor much else. */
function needNode(t: TestContext): boolean {
  if (!("Deno" in globalThis)) return true;
  t.diagnostic("skipped: it is about Node's client");
  return false;
}

test("Node's client gets and posts, with trailers, and opens a WebSocket", async (t) => {
  if (!needNode(t)) return;
  const upstream = await startServer(t, async ({ head, body, trailers }, peer) => {
    if (!head.includes("Upgrade: websocket")) {
      return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${
        body.length.toString(16)
      }\r\n` +
        `${body}\r\n0\r\n${trailers}X-Down: 2\r\n\r\n`;
    }
    const [, key = ""] = /^sec-websocket-key: (.*)\r$/mi.exec(head) ?? [];
    peer.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`,
    );
    peer.write(await peer.read(4));
    peer.socket.end();
    return undefined;
  });
  await centauri.reload(routeTo(upstream.name));
  const session = http2.connect(`https://a.example:${centauri.httpsPort}`, {
    ...{ rejectUnauthorized: false, servername: "a.example", host: "127.0.0.1" },
    lookup: (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]),
  } as http2.SecureClientSessionOptions);
  t.after(() => session.destroy());
  await once(session, "remoteSettings");
  const posted = session.request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true });
  posted.on("wantTrailers", () => posted.sendTrailers({ "x-up": "1" }));
  posted.end("x".repeat(200_000));
  let length = 0, got: http2.IncomingHttpHeaders = {};
  posted.on("data", (chunk: Buffer) => length += chunk.length);
  posted.on("trailers", (trailers) => got = trailers);
  await once(posted, "end");
  assert.deepEqual([length, got["x-up"], got["x-down"]], [200_000, "1", "2"]);
  const socket = session.request({
    ...{ ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat" },
    "sec-websocket-version": "13",
  });
  const [answer] = await once(socket, "response");
  assert.equal(answer[":status"], 200);
  socket.end("ping");
  const [pong] = await once(socket, "data");
  assert.equal(pong.toString(), "ping");
  await once(socket, "close");
});

test("nothing above was a bug to Centauri", () => {
  assert.deepEqual(centauri.logs.filter((line) => /internal error|level":"ERROR/.test(line)), []);
});
