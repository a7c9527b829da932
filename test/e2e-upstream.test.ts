/**
 * The way to the upstream and back: bodies, what is tried again, what is rewritten, and the pages
 * of `on_error`.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import dns from "node:dns";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Clock } from "../lib/clock.ts";
import { UpstreamPools } from "../lib/upstream.ts";
import { needProgram, run, type Scope, startCentauri, temporaryFolder } from "./support.ts";
import { responseVectors } from "./vectors/http1-responses.ts";
import {
  connect,
  curl,
  ok,
  readMessage,
  startServer,
  startUpstream,
  type Upstream,
  type Wire,
  writeUntilStuck,
} from "./wire.ts";

const MIB = 1024 * 1024;
/** Refuses connections: nobody listens there, and nobody but root may. */
const REFUSED = "127.0.0.1:1";
const UNABLE = "The server was unable to complete your request";
/** Clients that connect from here are trusted; Centauri's other clients come from 127.0.0.1. */
const TRUSTED = "127.0.0.2";

const centauri = await startCentauri({ after }, {
  routes: routeTo(REFUSED),
  env: { TRUSTED_DOWNSTREAMS: `192.168.1.0/24, ${TRUSTED}/32` },
});

function routeTo(...lines: string[]): string {
  const [upstream, ...more] = lines;
  return `route a.example\nupstream ${upstream}\n${more.join("\n")}\n`;
}

function get(target: string, fields = ""): string {
  return `GET ${target} HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n`;
}

function post(target: string, body: string, fields = ""): string {
  const length = `Content-Length: ${body.length}\r\n`;
  return `POST ${target} HTTP/1.1\r\nHost: a.example\r\n${fields}${length}\r\n${body}`;
}

/** A head's fields, `[name, value, …]`. */
function fields(head: string): string[] {
  return head.split("\r\n").slice(1, -2).flatMap((line) => line.split(/: (.*)/, 2));
}

/** One request on a new connection, and the answer's head and body. */
async function ask(t: Scope, request: string, localAddress = "127.0.0.1") {
  const client = await connect(t, centauri.httpsPort, { localAddress });
  client.write(request);
  return await readMessage(client, request.split(" ")[0]);
}

test("bodies keep their framing and their trailers in both directions", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  client.write(
    "POST / HTTP/1.1\r\nHost: a.example\r\nTrailer: X-Sum\r\nTransfer-Encoding: Chunked\r\n\r\n" +
      '05;ext=1;b="c\\"d"\r\nhello\r\n1\r\n \r\n0000;last\r\nX-Sum: 1\r\nx-sum:2\r\n' +
      "Content-Length: 5\r\nX_Forwarded_For: 9.9.9.9\r\nConnection: close\r\n\r\n",
  );
  const peer = await upstream.accept();
  const request = await readMessage(peer);
  assert.equal(request.body, "hello ");
  assert.equal(request.trailers, "X-Sum: 1\r\nx-sum: 2\r\n");
  assert.match(request.head, /\r\nTrailer: X-Sum\r\n[^]*\r\nTransfer-Encoding: chunked\r\n/);
  peer.write(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Time\r\n\r\n" +
      "3;a\r\nabc\r\n00000a\r\n0123456789\r\n0\r\nX-Time: now\r\nSet-Cookie: a\r\n\r\n",
  );
  const answer = await readMessage(client);
  assert.equal(answer.body, "abc0123456789");
  assert.equal(answer.trailers, "X-Time: now\r\n");
  client.write(post("/", "by length"));
  assert.match((await readMessage(peer)).head, /\r\nContent-Length: 9\r\n/);
  peer.socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  const byClose = await readMessage(client);
  assert.match(byClose.head, /\r\nTransfer-Encoding: chunked\r\n/);
  assert.equal(byClose.body, "until the end");
  client.write(get("/"));
  const second = await upstream.accept();
  await second.read("\r\n\r\n");
  second.write(ok("a new connection"));
  assert.equal((await readMessage(client)).body, "a new connection");
});

function digest(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes as Uint8Array).digest("hex");
}

/** The same bytes in every run, none of which repeats soon. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = 1; i < length; i += 4) {
    bytes.writeUInt32LE(x = x * 1664525 + 1013904223 >>> 0, i);
  }
  return bytes;
}

test("20 MiB go up and down whole, by length and in chunks, several at once", async (t) => {
  if (!needProgram(t, "curl")) return;
  const folder = await temporaryFolder(t);
  const file = join(folder, "upload");
  const bytes = noise(20 * MIB);
  await writeFile(file, bytes);
  const text = bytes.toString("latin1");
  const server = await startServer(t, ({ head, body }, peer) => {
    if (head.startsWith("PUT")) return ok(`${digest(Buffer.from(body, "latin1"))}`);
    if (head.includes("/length")) return ok(text);
    peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let at = 0, size = 1; at < text.length; at += size, size = size * 7 % 100_003) {
      const chunk = text.slice(at, at + size);
      peer.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
    }
    return "0\r\n\r\n";
  });
  await centauri.reload(routeTo(server.name));
  const down = async (target: string): Promise<void> => {
    const name = join(folder, `${target.slice(1)}`);
    const { code, stderr } = await curl(centauri, target, "-o", name);
    assert.equal(code, 0, stderr);
    assert.equal(digest(readFileSync(name)), digest(bytes), target);
  };
  const up = async (...how: string[]): Promise<void> => {
    const { stdout, stderr } = await curl(centauri, "/", "-H", "Expect:", "-T", file, ...how);
    assert.equal(stdout, digest(bytes), `${how} ${stderr}`);
  };
  await Promise.all([
    down("/length"),
    down("/chunked"),
    up(),
    up("-H", "Transfer-Encoding: chunked"),
  ]);
});

test("an upstream waits while the client doesn't read", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  client.write(get("/"));
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  const length = 200 * MIB;
  peer.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\nfirst`);
  await client.read("first");
  client.socket.pause();
  const piece = Buffer.alloc(64 * 1024, "x");
  const sent = await writeUntilStuck(peer.socket, () => piece, length / piece.length);
  assert.ok(sent * piece.length < 24 * MIB, `${sent * piece.length / MIB} MiB were taken`);
  const got = client.received.length;
  client.socket.resume();
  await client.until(() => client.received.length > got + 2 * MIB, "the rest");
});

test("a client waits while the upstream doesn't read", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  const length = 200 * MIB;
  client.write(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${length}\r\n\r\nfirst`);
  const peer = await upstream.accept();
  await peer.read("first");
  peer.socket.pause();
  const piece = Buffer.alloc(64 * 1024, "x");
  const sent = await writeUntilStuck(client.socket, () => piece, length / piece.length);
  assert.ok(sent * piece.length < 24 * MIB, `${sent * piece.length / MIB} MiB were taken`);
  peer.socket.resume();
  await peer.until(() => peer.received.length > sent * piece.length, "the rest");
});

test("curl notices that a body was cut short, however it was delimited", async (t) => {
  if (!needProgram(t, "curl")) return;
  const head = "HTTP/1.1 200 OK\r\n";
  const cut: Record<string, (peer: Wire) => unknown> = {
    "/length": (peer) => peer.socket.end(`${head}Content-Length: 10\r\n\r\nhello`),
    "/length-reset": async (peer) => {
      peer.write(`${head}Content-Length: 10\r\n\r\nhello`);
      await setTimeout(50); // for a reset overtakes what it follows
      peer.socket.resetAndDestroy();
    },
    "/chunk": (peer) => peer.socket.end(`${head}Transfer-Encoding: chunked\r\n\r\n8\r\nhello`),
    "/chunks": (peer) => peer.socket.end(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`),
    "/trailers": (peer) =>
      peer.socket.end(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n`),
    "/bad-chunk": (peer) => peer.write(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello5\r\n`),
    "/close-reset": async (peer) => {
      peer.write(`${head}\r\nhello`);
      await setTimeout(50);
      peer.socket.resetAndDestroy();
    },
  };
  const server = await startServer(t, async ({ head }, peer) => {
    await cut[head.split(" ")[1] ?? ""]?.(peer);
    return undefined;
  });
  await centauri.reload(routeTo(server.name));
  for (const [target] of Object.entries(cut)) {
    const { code, stdout, stderr } = await curl(centauri, target);
    assert.equal(stdout, "hello", `${target} ${stderr}`);
    // 18: fewer bytes than announced; 56: no last chunk.
    assert.ok(code === 18 || code === 56, `${target}: exit code ${code} ${stderr}`);
  }
});

test("an HTTP/1.0 client can tell an answer that was cut short by how TLS ends", async (t) => {
  if (!needProgram(t, "openssl")) return;
  const server = await startServer(t, ({ head }, peer) => {
    const chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    return void peer.socket.end(head.includes("/whole") ? `${chunk}0\r\n\r\n` : chunk);
  });
  await centauri.reload(routeTo(server.name));
  const end = async (target: string): Promise<string> => {
    const address = `127.0.0.1:${centauri.httpsPort}`;
    const args = ["s_client", "-quiet", "-connect", address, "-servername", "a.example"];
    const input = `GET ${target} HTTP/1.0\r\nHost: a.example\r\n\r\n`;
    const { stdout, stderr } = await run("openssl", args, { input });
    assert.match(stdout, /\r\n\r\nhello$/, stderr);
    return stderr;
  };
  assert.doesNotMatch(await end("/whole"), /unexpected eof/);
  assert.match(await end("/cut"), /unexpected eof/);
});

/** Answers that no client may get to see any of. */
const GARBAGE: readonly { name: string; method: string; input: string }[] = responseVectors.flatMap(
  ({ name, method = "GET", input, expect }) =>
    expect.length === 1 && "error" in expect[0]! ? [{ name, method, input }] : [],
);

test("an answer that isn't one is a 502, and its connection isn't used again", async (t) => {
  let next = "";
  const upstream = await startUpstream(t, (peer) => {
    peer.read("\r\n\r\n").then(() => peer.write(next), () => {});
  });
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  const check = async (row: typeof GARBAGE[number]): Promise<void> => {
    next = row.input;
    client.write(get("/").replace("GET", row.method));
    const { head, body } = await readMessage(client, row.method);
    assert.match(head, /^HTTP\/1\.1 502 Bad Gateway\r\n/, row.name);
    assert.ok(row.method === "HEAD" || body.includes(UNABLE), row.name);
    const peer = upstream.wires.at(-1);
    await peer?.until(() => peer.ended, `Centauri to leave after ${row.name}`);
  };
  assert.ok(GARBAGE.length > 0);
  for (const each of GARBAGE) await check(each);
  assert.equal(upstream.wires.length, GARBAGE.length);
  await assert.rejects(check({ name: "an answer", method: "GET", input: ok("") }), /an answer/);
});

test("nothing at all, and more than was asked for, aren't answers either", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  const answer = async (bytes: string): Promise<string> => {
    client.write(get("/"));
    const peer = await upstream.accept();
    await peer.read("\r\n\r\n");
    if (bytes.includes("Content-Length: 3")) peer.write(bytes);
    else peer.socket.end(bytes);
    const { head, body } = await readMessage(client);
    return `${head.slice(9, 12)} ${body}`;
  };
  assert.match(await answer(""), /^502 .*/);
  assert.match(await answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), /^502 .*/);
  assert.match(await answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), /^502 .*/);
  assert.match(await answer("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(65) + ok("late")), /^502 .*/);
  // Of these connections none may be used again, though the upstream would go on.
  assert.equal(await answer(ok("one") + ok("two")), "200 one");
  assert.equal(await answer(ok("3rd", "Connection: close\r\n")), "200 3rd");
  assert.equal(await answer(ok("4th")), "200 4th");
  const idle = upstream.wires.at(-1);
  idle?.write(ok("unasked"));
  await idle?.until(() => idle.ended, "Centauri to leave an upstream that talks unasked");
  assert.equal(await answer(ok("5th")), "200 5th");
});

/** What an upstream does that answers one request of a connection and dies of the second. */
async function startDying(t: Scope, die: (peer: Wire) => unknown) {
  const heads: string[] = [];
  const server = await startServer(t, ({ head }, peer) => {
    heads.push(head.slice(0, head.indexOf(" HTTP")));
    const isSecond = server.wires[0] === peer && peer.received.includes("/second");
    if (isSecond) return void die(peer);
    return ok(`${server.wires.indexOf(peer)}`);
  });
  return { ...server, heads };
}

test("a request is sent again only if its connection died early and it is harmless", async (t) => {
  const deaths: Record<string, (peer: Wire) => unknown> = {
    end: (peer) => peer.socket.end(),
    reset: (peer) => peer.socket.resetAndDestroy(),
  };
  const requests: [string, string, "again" | "502"][] = [
    ["a GET", get("/second"), "again"],
    ["a HEAD", get("/second").replace("GET", "HEAD"), "again"],
    ["a DELETE", get("/second").replace("GET", "DELETE"), "again"],
    ["a PUT with its body at hand", post("/second", "body").replace("POST", "PUT"), "again"],
    ["a POST without a body", post("/second", ""), "502"],
    ["a POST with one", post("/second", "body"), "502"],
    ["a PATCH", post("/second", "body").replace("POST", "PATCH"), "502"],
    ["a method nobody knows", get("/second").replace("GET", "GIT"), "502"],
  ];
  for (const [how, die] of Object.entries(deaths)) {
    for (const [name, request, expect] of requests) {
      const dying = await startDying(t, die);
      await centauri.reload(routeTo(dying.name));
      const client = await connect(t, centauri.httpsPort);
      client.write(get("/first"));
      assert.equal((await readMessage(client)).body, "0");
      client.write(request);
      const method = request.split(" ")[0];
      const { head, body } = await readMessage(client, method);
      const seen = dying.heads.filter((each) => each === `${method} /second`).length;
      if (expect === "again") {
        assert.match(head, /^HTTP\/1\.1 200 /, `${name}, ${how}`);
        assert.ok(method === "HEAD" || body === "1", name);
        assert.equal(seen, 2, name);
        assert.equal(dying.requests.at(-1)?.body, request.split("\r\n\r\n")[1], name);
      } else {
        assert.match(head, /^HTTP\/1\.1 502 /, `${name}, ${how}`);
        assert.equal(seen, 1, name);
        assert.equal(dying.wires.length, 1, name);
      }
    }
  }
});

test("what mustn't be sent twice goes out on a connection that was used just now", async (t) => {
  const server = await startServer(t, () => ok(""));
  await centauri.reload(routeTo(server.name));
  const client = await connect(t, centauri.httpsPort);
  const connections = async (request: string): Promise<number> => {
    client.write(request);
    await readMessage(client);
    return server.wires.length;
  };
  assert.equal(await connections(get("/")), 1);
  assert.equal(await connections(post("/", "body")), 1);
  await setTimeout(1_600); // a second, and how far Centauri's clock may lag
  assert.equal(await connections(post("/", "body")), 2);
  await setTimeout(1_600);
  assert.equal(await connections(get("/")), 2);
});

test("a request goes to one connection of the pool at most, and then to a new one", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const answered = [1, 2, 3].map(() => ask(t, get("/first")));
  const idle = await Promise.all([1, 2, 3].map(() => upstream.accept()));
  for (const peer of idle) {
    await peer.read("\r\n\r\n");
    peer.write(ok(""));
  }
  await Promise.all(answered);
  for (const peer of idle) peer.read("\r\n\r\n").then(() => peer.socket.end(), () => {});
  const again = ask(t, get("/second"));
  const fresh = await upstream.accept();
  await fresh.read("\r\n\r\n");
  fresh.write(ok("done"));
  assert.equal((await again).body, "done");
  assert.equal(idle.filter((peer) => peer.received.includes("/second")).length, 1);
});

test("a POST whose body the client hasn't sent yet is sent again", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  client.write(get("/first"));
  const first = await upstream.accept();
  await first.read("\r\n\r\n");
  first.write(ok(""));
  await readMessage(client);
  client.write("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\n");
  await first.read("\r\n\r\n");
  first.socket.end();
  const second = await upstream.accept();
  await second.read("\r\n\r\n");
  client.write("body");
  assert.equal(await second.read(4), "body");
  second.write(ok("done"));
  assert.equal((await readMessage(client)).body, "done");
});

test("a request isn't sent again after a new connection, or a byte of an answer", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  const dies = async (peer: Wire, bytes: string): Promise<void> => {
    client.write(get("/"));
    await peer.read("\r\n\r\n");
    peer.socket.end(bytes);
    assert.match((await readMessage(client)).head, /^HTTP\/1\.1 502 /);
  };
  const accepted = upstream.accept();
  client.write(get("/"));
  const first = await accepted;
  await first.read("\r\n\r\n");
  first.socket.end();
  assert.match((await readMessage(client)).head, /^HTTP\/1\.1 502 /);
  client.write(get("/"));
  const second = await upstream.accept();
  await second.read("\r\n\r\n");
  second.write(ok(""));
  await readMessage(client);
  await dies(second, "H");
  assert.equal(upstream.wires.length, 2);
});

test("a harmless request that a new connection dies of is sent to one other upstream", async (t) => {
  const dying = await Promise.all([1, 2, 3].map(() =>
    startUpstream(t, (peer) => {
      peer.read("\r\n\r\n").then(() => peer.socket.destroy());
    })
  ));
  const [first, ...rest] = dying.map(({ name }) => name) as [string, ...string[]];
  await centauri.reload(routeTo(first, ...rest.map((name) => `upstream ${name}`)));
  const count = (): number => dying.reduce((sum, { wires }) => sum + wires.length, 0);
  for (
    const [request, tries] of [[get("/"), 2], [post("/", ""), 1], [post("/", "x"), 1]] as const
  ) {
    const before = count();
    const client = await connect(t, centauri.httpsPort);
    client.write(request);
    assert.match((await readMessage(client)).head, /^HTTP\/1\.1 502 /);
    assert.equal(count() - before, tries);
  }
  const well = await startServer(t, () => ok("well"));
  await centauri.reload(routeTo(well.name, `upstream ${first}`));
  for (let i = 0; i < 8; i++) { // a new connection each time
    const client = await connect(t, centauri.httpsPort);
    client.write(get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    assert.equal((await readMessage(client)).body, "well");
  }
});

test("an idle connection that the upstream closes costs no request", async (t) => {
  const upstream = await startUpstream(t, (peer) => {
    peer.read("\r\n\r\n").then(() => peer.socket.end(ok("hello")));
  });
  await centauri.reload(routeTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  for (let i = 0; i < 20; i++) {
    client.write(post("/", ""));
    assert.equal((await readMessage(client)).body, "hello");
    await upstream.wires[i]?.until(() => upstream.wires[i]?.ended === true, "Centauri's end");
  }
});

test("an upstream that refuses is passed over, and the log says so once", async (t) => {
  const server = await startServer(t, ({ body }) => ok(`got ${body}`));
  // With nine that refuse, the first choice is nearly always one of them.
  const refused = Array.from({ length: 9 }, (_, i) => `127.0.0.1:${i + 1}`);
  await centauri.reload(routeTo(server.name));
  const client = await connect(t, centauri.httpsPort);
  client.write(get("/"));
  await readMessage(client); // leaves an idle connection
  const from = centauri.logs.length;
  await centauri.reload(routeTo(server.name, ...refused.map((name) => `upstream ${name}`)));
  for (let i = 0; i < 20; i++) {
    client.write(post("/", "a body").replace("POST", i % 4 === 3 ? "POST" : "PUT"));
    assert.equal((await readMessage(client)).body, "got a body");
  }
  const said = centauri.logs.slice(from).filter((line) => line.includes("upstream failed"));
  assert.ok(said.length >= 1 && said.length <= 9, said.join("\n"));
  assert.equal(new Set(said.map((line) => JSON.parse(line).upstream)).size, said.length);
  assert.match(said[0] ?? "", /"error":"connect ECONNREFUSED.*"next":"trying another upstream"/);
  await centauri.reload(routeTo(REFUSED, "upstream 127.0.0.1:2"));
  client.write(get("/"));
  const { head, body } = await readMessage(client);
  assert.match(head, /^HTTP\/1\.1 502 Bad Gateway\r\n/);
  assert.match(body, /<h1>Bad Gateway<\/h1>/);
});

test("an upstream that has just failed is left alone while there is another", async (t) => {
  const server = await startServer(t, () => ok(""));
  const failing = await startUpstream(t);
  await failing.close();
  await centauri.reload(routeTo(server.name, `upstream ${failing.name}`));
  const client = await connect(t, centauri.httpsPort);
  const failed = () => centauri.logs.some((line) => line.includes(failing.name));
  for (let i = 0; i < 100 && !failed(); i++) {
    client.write(get("/"));
    await readMessage(client);
  }
  assert.ok(failed(), "either is chosen");
  let count = 0;
  const back = net.createServer(() => count++).listen(failing.port, "127.0.0.1");
  t.after(() => back.close());
  await once(back, "listening");
  for (let i = 0; i < 30; i++) {
    client.write(get("/"));
    await readMessage(client);
  }
  assert.equal(count, 0);
});

test("every address of a name is tried", async (t) => {
  const upstream = await startUpstream(t);
  const clock = new Clock();
  const pools = new UpstreamPools(clock, 5_000);
  const { lookup } = dns.promises;
  t.after(() => {
    dns.promises.lookup = lookup;
    pools.close();
    clock.close();
  });
  const to = {
    host: "several.example",
    port: upstream.port,
    name: `several.example:${upstream.port}`,
  };
  const resolve = (...addresses: string[]): void => {
    const found = addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    dns.promises.lookup = ((name: string) => {
      assert.equal(name, to.host);
      return Promise.resolve(found);
    }) as unknown as typeof lookup;
  };
  resolve("::1", "127.0.0.2", "127.0.0.1");
  const connection = await pools.connect(to);
  assert.ok(connection.open);
  await upstream.accept();
  resolve("::1", "127.0.0.2");
  await assert.rejects(pools.connect(to), /ECONNREFUSED|EADDRNOTAVAIL/);
  resolve();
  await assert.rejects(pools.connect(to), /several\.example has no address/);
  dns.promises.lookup = (() => new Promise(() => {})) as unknown as typeof lookup;
  const hasty = new UpstreamPools(clock, 20);
  t.after(() => hasty.close());
  await assert.rejects(hasty.connect(to), /wasn't resolved in time/);
});

/** The head of the next request, as the upstream gets it. */
async function forwarded(
  t: Scope,
  upstream: Upstream,
  sent: string,
  localAddress = "127.0.0.1",
): Promise<string> {
  const client = await connect(t, centauri.httpsPort, { localAddress });
  const [peer] = await Promise.all([upstream.accept(), client.write(sent)]);
  const head = await peer.read("\r\n\r\n");
  peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  await readMessage(client, sent.split(" ")[0]);
  return head;
}

/** `name: value` lines of a field, in any case. */
function values(head: string, name: string): string[] {
  const list = fields(head);
  return list.filter((_, i) => i % 2 === 1 && list[i - 1]?.toLowerCase() === name.toLowerCase());
}

const NOTHING_FORWARDED = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a.example\r\n" +
  "X-Forwarded-Proto: https\r\n\r\n";

test("curl's request reaches the upstream as it is, with what Centauri adds", async (t) => {
  if (!needProgram(t, "curl")) return;
  const server = await startServer(t, () => ok("hello from the upstream"));
  await centauri.reload(routeTo(server.name));
  const { code, stdout } = await curl(centauri, "/foo/bar?a=b;c=%zz&d=%2F", "-A", "foo");
  assert.deepEqual([code, stdout], [0, "hello from the upstream"]);
  const host = `a.example:${centauri.httpsPort}`;
  assert.equal(
    server.requests[0]?.head,
    `GET /foo/bar?a=b;c=%zz&d=%2F HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: foo\r\nAccept: */*\r\n` +
      `X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: ${host}\r\nX-Forwarded-Proto: https\r\n\r\n`,
  );
  await curl(centauri, "/", "-H", "User-Agent:");
  assert.deepEqual(values(server.requests[1]?.head ?? "", "user-agent"), []);
});

test("a client can't say who it is", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const names = [
    ...["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP"],
    ...["True-Client-IP", "Tailscale-User-Login", "Tailscale-User-Name"],
    ...["Tailscale-User-Profile-Pic"],
  ];
  const claims = names.flatMap((name) => [
    `${name}: 10.9.9.9`,
    `${name.toLowerCase()}: 10.9.9.9, x`,
    `${name.toUpperCase()}: 10.9.9.9`,
    `${name.replaceAll("-", "_")}: 10.9.9.9`,
    `${name.replace("-", "_")}: 10.9.9.9`,
  ]);
  // As long as one of them, or longer.
  const alike = ["X-Real-IQ: 1", "X-Real-IP-Too: 2", "Forwarder: 3", "X_Real_IQ: 4"];
  const request = get("/", [...claims, ...alike].map((line) => `${line}\r\n`).join(""));
  const head = await forwarded(t, upstream, request);
  const kept = alike.map((line) => `${line}\r\n`).join("");
  assert.equal(head, `GET / HTTP/1.1\r\nHost: a.example\r\n${kept}${NOTHING_FORWARDED}`);
});

test("only a trusted client's X-Forwarded fields are kept, and added to", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const lines = "X-Forwarded-For: 10.0.0.1\r\nx-forwarded-host: original.example.com\r\n" +
    "X-Forwarded-Proto: http\r\nX-Real-IP: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\n" +
    "X_Forwarded_For: 10.9.9.9\r\n";
  const head = await forwarded(t, upstream, get("/", lines), TRUSTED);
  assert.deepEqual(values(head, "X-Forwarded-For"), [`10.0.0.1, ${TRUSTED}`]);
  assert.deepEqual(values(head, "X-Forwarded-Host"), ["original.example.com"]);
  assert.deepEqual(values(head, "X-Forwarded-Proto"), ["http"]);
  assert.doesNotMatch(head, /10\.9\.9\.9/);
  const several = await forwarded(
    t,
    upstream,
    get("/", "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nX-Forwarded-For: 10.0.0.3\r\n"),
    TRUSTED,
  );
  assert.deepEqual(values(several, "X-Forwarded-For"), [
    `10.0.0.1, 10.0.0.2, 10.0.0.3, ${TRUSTED}`,
  ]);
  const none = await forwarded(t, upstream, get("/"), TRUSTED);
  assert.ok(none.endsWith(NOTHING_FORWARDED.replace("127.0.0.1", TRUSTED)), none);
  // Neither in the trusted network nor at the trusted address.
  const untrusted = await forwarded(t, upstream, get("/", lines));
  assert.ok(untrusted.endsWith(NOTHING_FORWARDED), untrusted);
  assert.doesNotMatch(untrusted, /10\.0\.0\.1|original/);
});

test("what concerns one connection goes no further, in both directions", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const hop = "Connection: keep-alive, X-Foo, x-BAR\r\nKeep-Alive: timeout=5\r\n" +
    "Proxy-Connection: keep-alive\r\nX-Foo: 1\r\nX-Bar: 2\r\nx-foo: 3\r\n" +
    "Proxy-Authorization: Basic a\r\nProxy-Authenticate: Basic\r\nUpgrade: websocket\r\n" +
    "TE: gzip\r\n";
  const client = await connect(t, centauri.httpsPort);
  client.write(get("/", `${hop}X-Foobar: 4\r\n`));
  const peer = await upstream.accept();
  const plain = `GET / HTTP/1.1\r\nHost: a.example\r\nX-Foobar: 4\r\n${NOTHING_FORWARDED}`;
  assert.equal(await peer.read("\r\n\r\n"), plain);
  peer.write(`HTTP/1.1 200 OK\r\nDate: d\r\n${hop}X-Foobar: 4\r\nContent-Length: 0\r\n\r\n`);
  const answer = "HTTP/1.1 200 OK\r\nDate: d\r\nX-Foobar: 4\r\nContent-Length: 0\r\n\r\n";
  assert.equal(await client.read("\r\n\r\n"), answer);
});

test("Connection can't name away what Centauri itself sets or needs", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const names = "Host, Content-Length, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Date";
  const client = await connect(t, centauri.httpsPort);
  client.write(post("/", "hello", `Connection: ${names}, Cookie\r\nCookie: gone\r\n`));
  const peer = await upstream.accept();
  assert.equal(
    await peer.read("hello"),
    `POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n${NOTHING_FORWARDED}hello`,
  );
  peer.write(`HTTP/1.1 200 OK\r\nDate: d\r\nConnection: ${names}\r\nContent-Length: 2\r\n\r\nhi`);
  const answer = "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 2\r\n\r\nhi";
  assert.equal(await client.read(answer.length), answer);
});

test("of TE only trailers passes, and an upgrade to h2c doesn't", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const te = await forwarded(t, upstream, get("/", "TE: gzip, Trailers\r\nConnection: TE\r\n"));
  assert.match(te, /https\r\nConnection: TE\r\nTE: trailers\r\n\r\n$/);
  const h2c = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\n";
  const plain = `GET / HTTP/1.1\r\nHost: a.example\r\n${NOTHING_FORWARDED}`;
  assert.equal(await forwarded(t, upstream, get("/", h2c)), plain);
  const both = "Upgrade: websocket, H2C\r\nConnection: upgrade\r\n";
  assert.equal(await forwarded(t, upstream, get("/", both)), plain);
  const old = get("/", "Upgrade: websocket\r\nConnection: Upgrade\r\n").replace("1.1", "1.0");
  assert.equal(await forwarded(t, upstream, old), plain);
});

test("any other valid field passes byte for byte, in order and with duplicates", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routeTo(upstream.name));
  const tchars = "!#$%&'*+-.^_`|~09azAZ";
  const text = Array.from({ length: 128 }, (_, i) => String.fromCharCode(128 + i)).join("");
  const visible = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).join("");
  const unusual = [
    `${tchars}: ${visible}`,
    `X-Text: a${text}z`,
    "X-Empty: ",
    "X-Inner: a \t b",
    "x-empty: ",
    ..."Set-Cookie: a=b; Path=/|SET-COOKIE: c|set-cookie: d|Cookie: e|cookie: f".split("|"),
    `X-Long: ${"long ".repeat(6_000)}end`,
    "__proto__: 1",
    "constructor: 2",
    "1: 2",
    "Via: 1.1 other",
    "Priority: u=1, i",
    "Sec-Fetch-Mode: navigate",
    "Accept-Encoding: gzip;q=0, br",
    "Server: unknown/1",
    "Strict-Transport-Security: max-age=1",
    'Content-Type: text/html;charset="a\\"b"',
  ].map((line) => `${line}\r\n`).join("");
  const client = await connect(t, centauri.httpsPort);
  client.write(`GET / HTTP/1.1\r\n${unusual}Host: a.example\r\n\r\n`);
  const peer = await upstream.accept();
  const expected = `GET / HTTP/1.1\r\n${unusual}Host: a.example\r\n${NOTHING_FORWARDED}`;
  assert.equal(await peer.read("\r\n\r\n"), expected);
  const answer = `HTTP/1.1 299 ${text} really\r\n${unusual}Date: d\r\nContent-Length: 0\r\n\r\n`;
  peer.write(answer);
  assert.equal(await client.read("\r\n\r\n"), answer);
});

test("an answer without a date gets one, and no other field", async (t) => {
  const server = await startServer(t, () => "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n");
  await centauri.reload(routeTo(server.name));
  const { head } = await ask(t, get("/"));
  const date = /^HTTP\/1\.1 404 \r\nContent-Length: 0\r\nDate: (.* GMT)\r\n\r\n$/.exec(head)?.[1];
  assert.ok(Math.abs(Date.parse(date ?? "") - Date.now()) < 10_000, head);
});

const RULES = [
  "header add X-Test test1",
  "header add x-test test2",
  "header delete X-Gone",
  "header replace X-Replaced new value",
  "header default X-Default default",
  "header default X-Present default",
  "header default X-Empty default",
];

test("header rules change answers in the order of the file", async (t) => {
  const server = await startServer(t, () =>
    ok(
      "",
      "Date: d\r\nX-Test: test0\r\nx-gone: 1\r\nX-Gone: 2\r\nX-REPLACED: old\r\n" +
        "X-Replaced: older\r\nX-Present: here\r\nX-Empty:\r\n",
    ));
  await centauri.reload(routeTo(server.name, ...RULES));
  const { head } = await ask(t, get("/"));
  assert.equal(
    head,
    "HTTP/1.1 200 OK\r\nDate: d\r\nX-Test: test0\r\nX-Present: here\r\nContent-Length: 0\r\n" +
      "X-Test: test1\r\nx-test: test2\r\nX-Replaced: new value\r\nX-Default: default\r\n" +
      "X-Empty: default\r\n\r\n",
  );
  const chain = [
    "header add X-A 1",
    "header delete X-A",
    "header default X-A 2",
    "header add X-A 3",
  ];
  await centauri.reload(routeTo(server.name, ...chain));
  assert.deepEqual(values((await ask(t, get("/"))).head, "x-a"), ["2", "3"]);
  await centauri.reload(routeTo(REFUSED, ...RULES));
  const page = await ask(t, get("/"));
  assert.match(page.head, /^HTTP\/1\.1 502 /);
  assert.deepEqual(values(page.head, "x-test"), ["test1", "test2"]);
  assert.deepEqual(values(page.head, "x-default"), ["default"]);
});

/** A route to `upstream` with `on_error` lines. */
function mapped(upstream: string, ...errors: string[]): string {
  return routeTo(upstream, ...errors.map((line) => `on_error ${line}`));
}

const NOT_FOUND = "HTTP/1.1 404 Gone Fishing\r\nX-Original: 1\r\nContent-Length: 8\r\n\r\noriginal";

/** Serves one page, with a status of its own that nobody should see. */
function startPages(t: Scope, fields = "", body = '{"error":"page"}') {
  const type = `Content-Type: application/json\r\n${fields}`;
  return startServer(t, () => ok(body, type).replace("200 OK", "418 Teapot"));
}

test("an answer with a mapped status becomes the page, with the route's fields", async (t) => {
  const server = await startServer(t, () => NOT_FOUND);
  const pages = await startPages(
    t,
    "Keep-Alive: timeout=5\r\nX-Kept: yes\r\nConnection: X-Hop\r\nX-Hop: 1\r\n",
  );
  await centauri.reload(
    mapped(server.name, `404 ${pages.name}`) + "header replace X-Rule applied\n",
  );
  const client = await connect(t, centauri.httpsPort);
  client.write(post("/a%2Fb?c=d", "body", "Cookie: secret\r\nUser-Agent: foo\r\n"));
  const { head, body } = await readMessage(client);
  assert.match(head, /^HTTP\/1\.1 404 Gone Fishing\r\n/);
  assert.deepEqual(
    fields(head).filter((_, i, all) => all[i & ~1] !== "Date"),
    [
      ...["Content-Type", "application/json", "X-Kept", "yes", "Content-Length", "16"],
      ...["X-Rule", "applied"],
    ],
  );
  assert.equal(body, '{"error":"page"}');
  assert.equal(
    pages.requests[0]?.head,
    `GET /a%2Fb?c=d HTTP/1.1\r\nHost: ${pages.name}\r\n${NOTHING_FORWARDED}`,
  );
  assert.equal(server.requests[0]?.body, "body");
  client.write(get("/again")); // the client's connection goes on
  assert.equal((await readMessage(client)).body, body);
  client.write(get("/head").replace("GET", "HEAD"));
  const headOnly = await readMessage(client, "HEAD");
  assert.match(headOnly.head, /^HTTP\/1\.1 404 [^]*\r\nContent-Length: 16\r\n/);
  assert.match(pages.requests[2]?.head ?? "", /^GET \/head /);
  client.write(get("/last"));
  assert.match((await readMessage(client)).head, /^HTTP\/1\.1 404 /);
});

test("a page may have a path; the first line for a status counts, others stay", async (t) => {
  const server = await startServer(t, ({ head }) => {
    const status = /\/(\d+)/.exec(head)?.[1];
    return `HTTP/1.1 ${status} x\r\nContent-Length: 8\r\n\r\noriginal`;
  });
  const pages = await startPages(t);
  await centauri.reload(
    mapped(server.name, `404 ${pages.name}/e?code=404`, `404 ${REFUSED}`, `500 ${pages.name}/`),
  );
  const body = async (target: string) => (await ask(t, get(target))).body;
  assert.equal(await body("/404?x"), '{"error":"page"}');
  assert.match(pages.requests[0]?.head ?? "", /^GET \/e\?code=404 HTTP/);
  assert.equal(await body("/500?x"), '{"error":"page"}');
  assert.match(pages.requests[1]?.head ?? "", /^GET \/500\?x HTTP/);
  for (const status of [200, 201, 302, 403, 502, 599]) {
    assert.equal(await body(`/${status}`), "original", `${status}`);
  }
  assert.equal(pages.requests.length, 2);
});

test("curl gets the page of an upstream that refuses, or else the built-in one", async (t) => {
  if (!needProgram(t, "curl")) return;
  const pages = await startPages(t);
  const format = "\n%{http_code} %{content_type}";
  await centauri.reload(mapped(REFUSED, `502 ${pages.name}/down`));
  const page = await curl(centauri, "/", "-w", format);
  assert.equal(page.stdout, '{"error":"page"}\n502 application/json');
  await centauri.reload(mapped(REFUSED, "502 127.0.0.1:2/down") + "header add X-Rule applied\n");
  const builtIn = await curl(centauri, "/", "-w", `${format} %header{x-rule}`);
  assert.match(builtIn.stdout, new RegExp(UNABLE));
  assert.match(builtIn.stdout, /<h1>Bad Gateway<\/h1>/);
  assert.match(builtIn.stdout, /\n502 text\/html; charset=utf-8 applied$/);
});

test("what the upstream said stays when the page can't be had", async (t) => {
  const server = await startServer(t, () => NOT_FOUND);
  const broken = await startServer(t, ({ head }, peer) => {
    if (head.includes("/garbage")) return "what?\r\n\r\n";
    if (head.includes("/101")) return "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nraw";
    if (head.includes("/loop")) {
      return "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n";
    }
    if (head.includes("/tls")) {
      const location = `https://127.0.0.1:${peer.socket.localPort}/plain`;
      return `HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
    }
    if (head.includes("/plain")) return ok("fetched without TLS");
    return void peer.socket.end();
  });
  const errors = ["/garbage", "/101", "/loop", "/tls", "/end"].map((path) =>
    `${broken.name}${path}`
  );
  for (const error of [REFUSED, ...errors]) {
    await centauri.reload(mapped(server.name, `404 ${error}`));
    const { head, body } = await ask(t, get("/"));
    assert.match(head, /^HTTP\/1\.1 404 Gone Fishing\r\nX-Original: 1\r\n/, error);
    assert.equal(body, "original", error);
  }
  assert.equal(broken.requests.filter(({ head }) => head.includes("/loop")).length, 6);
});

test("redirects to a page are followed, and the client sees none of them", async (t) => {
  const second = await startServer(t, ({ head }) => {
    if (head.startsWith("GET /b/c?d ")) {
      return "HTTP/1.1 301 x\r\nLocation: ../e\r\nContent-Length: 2\r\n\r\nno";
    }
    return ok("the page", "Content-Type: text/plain\r\n");
  });
  const first = await startServer(
    t,
    () =>
      `HTTP/1.1 302 Found\r\nLocation: http://${second.name}/b/c?d\r\nContent-Length: 0\r\n\r\n`,
  );
  await centauri.reload(mapped(REFUSED, `502 ${first.name}/start`));
  const { head, body } = await ask(t, get("/"));
  assert.match(head, /^HTTP\/1\.1 502 Bad Gateway\r\n/);
  assert.deepEqual(values(head, "Location"), []);
  assert.equal(body, "the page");
  assert.deepEqual(second.requests.map((each) => each.head.split(" ")[1]), ["/b/c?d", "/e"]);
  assert.equal(values(second.requests[0]?.head ?? "", "Host")[0], second.name);
  assert.equal(values(second.requests[1]?.head ?? "", "X-Forwarded-Host")[0], "a.example");
});

test("a page that takes longer than 5 s isn't waited for, nor is the rest of one", async (t) => {
  const server = await startServer(t, () => NOT_FOUND);
  const hanging = await startServer(t, ({ head }, peer) => {
    if (head.includes("/body")) peer.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
    return undefined;
  });
  await centauri.reload(
    mapped(server.name, `404 ${hanging.name}`) + "route b.example\n" +
      mapped(REFUSED, `502 ${hanging.name}`).slice("route a.example\n".length),
  );
  const started = performance.now();
  const other = await connect(t, centauri.httpsPort, { servername: "b.example" });
  other.write(get("/", "").replace("a.example", "b.example"));
  const cut = await connect(t, centauri.httpsPort);
  cut.write(get("/body"));
  const [original, builtIn] = await Promise.all([ask(t, get("/")), readMessage(other)]);
  assert.equal(original.body, "original");
  assert.match(builtIn.body, new RegExp(UNABLE));
  assert.match(await cut.readToEnd(), /^HTTP\/1\.1 404 [^]*\r\n\r\npart$/);
  const seconds = (performance.now() - started) / 1000;
  assert.ok(seconds > 4.9 && seconds < 7, `${seconds} s`);
});

test("a body that is still coming in never gets to the upstream of the page", async (t) => {
  const upstream = await startUpstream(t);
  const pages = await startUpstream(t);
  await centauri.reload(mapped(upstream.name, `413 ${pages.name}`));
  const client = await connect(t, centauri.httpsPort);
  const smuggled = get("/smuggled");
  client.write(
    `POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${smuggled.length * 3}\r\n\r\n`,
  );
  const peer = await upstream.accept();
  await peer.read("\r\n\r\n");
  peer.write("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
  const page = await pages.accept();
  await page.read("\r\n\r\n");
  client.write(smuggled);
  page.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour");
  await client.read("four");
  client.write(smuggled);
  // By the time that another connection has been served, those bytes have been read.
  await ask(t, get("/").replace("a.example", "nowhere.example"));
  page.write("more");
  assert.equal(await client.readToEnd(), "more");
  await page.until(() => page.ended, "the end of the page's connection");
  assert.equal(page.received.split("\r\n\r\n").length, 2, page.received);
});

test("an upstream that dies while its page is fetched changes nothing", async (t) => {
  for (const available of [true, false]) {
    const upstream = await startUpstream(t);
    const pages = await startUpstream(t);
    await centauri.reload(mapped(upstream.name, `404 ${pages.name}`, `502 ${pages.name}`));
    const client = await connect(t, centauri.httpsPort);
    const length = 16 * MIB;
    client.write(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${length}\r\n\r\n`);
    const peer = await upstream.accept();
    await peer.read("\r\n\r\n");
    peer.socket.pause();
    client.write(Buffer.alloc(length)); // so that Centauri is still writing when it dies
    peer.write("HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\noriginal");
    const page = await pages.accept();
    await page.read("\r\n\r\n");
    peer.socket.resetAndDestroy();
    await setTimeout(100);
    if (available) page.write(ok("the page"));
    else page.socket.end();
    const { head, body } = await readMessage(client);
    const status = head.slice(9, 12);
    // Without the page, what came of the original counts, or if none did, the built-in page.
    if (available) assert.deepEqual([status, body], ["404", "the page"]);
    else if (status === "404") assert.equal(body, "original");
    else assert.match(status + body, new RegExp(`^502[^]*${UNABLE}`));
    assert.equal(pages.wires.length, 1, "one page is fetched");
    assert.equal(client.received, head + body);
  }
});

test("nothing above was a bug to Centauri", () => {
  assert.deepEqual(centauri.logs.filter((line) => line.includes("internal error")), []);
});
