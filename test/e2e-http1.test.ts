/**
 * HTTP/1.1 as clients see it: hostile requests, the order of answers, one request's state and the
 * next, interim and early answers, bodies that nobody takes, time-outs.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { BufferPool } from "../lib/bufferpool.ts";
import { Clock } from "../lib/clock.ts";
import type { Client } from "../lib/exchange.ts";
import { HEAD_LIMITS } from "../lib/http1.ts";
import { ServerConnection } from "../lib/http1server.ts";
import {
  needProgram,
  type Scope,
  startCentauri,
  startRawUpstream,
  temporaryFolder,
} from "./support.ts";
import { bodyVectors } from "./vectors/http1-bodies.ts";
import { framingVectors } from "./vectors/http1-framing.ts";
import { requestVectors } from "./vectors/http1-requests.ts";
import {
  type Answer,
  connect,
  curl,
  ok,
  readMessage,
  startServer,
  startUpstream,
  type Wire,
  wire,
  writeUntilStuck,
} from "./wire.ts";

const CLIENT: Client = {
  address: "127.0.0.1",
  trusted: false,
  scheme: "https",
  serverName: "a.example",
  certificateNames: [],
  judged: undefined,
};

const MIB = 1024 * 1024;
const POISON = "GET /poison HTTP/1.1\r\nHost: a.example\r\n\r\n";

const centauri = await startCentauri({ after }, { routes: routesTo("127.0.0.1:1") });
/** The same in a hurry. */
const hurried = await startCentauri({ after }, {
  routes: routesTo("127.0.0.1:1"),
  args: [
    ...["--header-timeout=300ms", "--idle-timeout=600ms", "--stall-timeout=500ms"],
    ...["--max-head-size=2KiB", "--max-head-fields=10"],
  ],
});

/** `www.a.example` redirects; `other.example` is another site. */
function routesTo(upstream: string, other = "127.0.0.1:1"): string {
  return `
    route a.example www.a.example
      upstream ${upstream}
      redirect-to-primary
    route other.example
      upstream ${other}`;
}

/** The fields that Centauri adds to a request of a test. */
const FORWARDED = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a.example\r\n" +
  "X-Forwarded-Proto: https\r\n";

function get(target: string, fields = "", host = "a.example"): string {
  return `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`;
}

function statuses(text: string): number[] {
  return [...text.matchAll(/(?:^|\n)HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}

interface Hostile {
  readonly name: string;
  readonly input: string;
  /** Of all answers, that of the refusal last. */
  readonly expect: readonly number[];
}

const CHUNKED_POST = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";

/** First what the codec's vectors want refused within the usual limits. */
const HOSTILE: readonly Hostile[] = [
  ...[...requestVectors, ...framingVectors].flatMap(({ name, input, limits, expect }) => {
    const answers = expect.map((each) => "error" in each ? each.error : 200);
    return limits === undefined && (answers.at(-1) ?? 200) !== 200
      ? [{ name, input, expect: answers }]
      : [];
  }),
  ...bodyVectors.flatMap(({ name, input, limits, length, expect }) => {
    if (limits !== undefined || length !== -1 || !("error" in expect)) return [];
    return [{ name, input: CHUNKED_POST + input, expect: [expect.error] }];
  }),
  { name: "a target over the limit", input: `GET /${"a".repeat(66_000)}`, expect: [414] },
  { name: "a field over the limit", input: get("/", `A: ${"a".repeat(66_000)}`), expect: [431] },
  { name: "257 fields", input: get("/", "A: b\r\n".repeat(256)), expect: [431] },
  ...["", "a b", "a..b/", "a@a.example", "a.example:99999", "a.example, a.example", "[::1"].map(
    (host) => ({ name: `Host: ${host}`, input: get("/", "", host), expect: [400] }),
  ),
];

/** Rows of one kind have a name up to a colon in common: two of each are enough here. */
function isSame(name: string, other = ""): boolean {
  return name.includes(": ") && name.split(": ")[0] === other.split(": ")[0];
}

test("a message that can be read in two ways ends its connection, going nowhere", async (t) => {
  const server = await startServer(t, () => ok(""));
  await centauri.reload(routesTo(server.name));
  const check = async ({ name, input, expect }: Hostile): Promise<void> => {
    const client = await connect(t, centauri.httpsPort);
    client.write(input + POISON);
    const text = await client.readToEnd().catch((error) => assert.fail(`${name}: ${error}`));
    assert.deepEqual(statuses(text), expect, `${name}: ${text}`);
    assert.match(text.slice(text.lastIndexOf("HTTP/1.1 ")), /\r\nConnection: close\r\n/, name);
  };
  const rows = HOSTILE.filter(({ name }, i) => !isSame(name, HOSTILE[i - 2]?.name));
  assert.ok(rows.length > 0);
  const queue = [...rows];
  const work = async (): Promise<void> => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) await check(next);
  };
  await Promise.all(Array.from({ length: 8 }, work));
  // Those that came before the hostile one on its connection were answered, and nothing else was.
  const valid = rows.reduce((sum, { expect }) => sum + expect.length - 1, 0);
  assert.equal(server.requests.length, valid);
  assert.doesNotMatch(server.wires.map((each) => each.received).join(), /poison/);
  const harmless = { name: "harmless", input: get("/", "Connection: close\r\n"), expect: [400] };
  await assert.rejects(check(harmless), /harmless/);
});

test("each request has its own fields and body, however the last one was framed", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routesTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  // What a registry's client sends for one layer of an image, and another that only looks like it.
  const requests = [
    ["HEAD /v2/a/blobs/1 HTTP/1.1", "Authorization: Basic a\r\nAccept: x/y\r\n", ""],
    ["POST /v2/a/blobs/ HTTP/1.1", "Content-Length: 0\r\nX-One: 1\r\n", ""],
    [
      "PATCH /v2/a/1 HTTP/1.1",
      "Transfer-Encoding: chunked\r\nX-Two: 2\r\n",
      "3\r\nabc\r\n0\r\n\r\n",
    ],
    ["PUT /v2/a/1?digest=2 HTTP/1.1", "Content-Length: 0\r\nCookie: c\r\n", ""],
    ["GET /v2/a HTTP/1.1", "", ""],
    ["POST /v2/b HTTP/1.1", "Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"],
    ["DELETE /v2/b HTTP/1.1", "Range: bytes=0-1\r\n", ""],
  ] as const;
  const answers = [
    ["404 Not Found", "Content-Length: 19\r\n", ""],
    ["202 Accepted", "Content-Length: 0\r\nLocation: /v2/a/1\r\n", ""],
    ["202 Accepted", "Range: 0-2\r\nContent-Length: 0\r\n", ""],
    ["201 Created", "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n\r\n"],
    ["304 Not Modified", "Content-Length: 9\r\nETag: t\r\n", ""],
    ["204 No Content", "X-Three: 3\r\n", ""],
    ["200 OK", "Content-Length: 2\r\n", "ok"],
  ] as const;
  let peer: Wire | undefined;
  for (let round = 0; round < 3; round++) {
    for (const [i, [line, fields, body]] of requests.entries()) {
      client.write(`${line}\r\nHost: a.example\r\n${fields}\r\n${body}`);
      peer ??= await upstream.accept();
      const framing = /Transfer-Encoding.*\r\n/.exec(fields)?.[0] ?? "";
      const expected = `${line}\r\nHost: a.example\r\n${fields.replace(framing, "")}${FORWARDED}` +
        `${framing}\r\n${body}`;
      assert.equal(await peer.read(expected.length), expected);
      const [status, answerFields, answerBody] = answers[i] ?? ["", "", ""];
      const answer = `HTTP/1.1 ${status}\r\nDate: now\r\n${answerFields}\r\n${answerBody}`;
      peer.write(answer);
      const got = await client.read(answer.length);
      assert.equal(sortFields(got), sortFields(answer));
    }
  }
  assert.equal(upstream.wires.length, 1);
});

/** Transfer-Encoding comes last in what Centauri writes. */
function sortFields(message: string): string {
  return message.split("\r\n").sort().join("\r\n");
}

test("pipelined requests are answered in their order, whoever answers them and when", async (t) => {
  const server = await startServer(t, async ({ head }) => {
    const target = head.split(" ")[1] ?? "";
    await setTimeout(target.length * 7 % 20);
    if (target.includes("missing")) return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    return ok(target, "X-Target: yes\r\n");
  });
  await centauri.reload(routesTo(server.name, server.name));
  const client = await connect(t, centauri.httpsPort);
  let sent = "";
  const expected: [number, string][] = [];
  for (let i = 0; i < 60; i++) {
    if (i % 7 === 1) sent += get(`/${i}`, "", "other.example");
    else if (i % 7 === 3) sent += get(`/${i}`, "", "www.a.example");
    else if (i % 7 === 5) sent += get(`/missing${i}`);
    else {sent += `POST /${
        "x".repeat(i % 5)
      }${i} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n{}`;}
    const status = ({ 1: 421, 3: 308, 5: 404 } as Record<number, number>)[i % 7] ?? 200;
    expected.push([status, status === 200 ? `/${"x".repeat(i % 5)}${i}` : `${i}`]);
  }
  client.write(sent);
  for (const [i, [status, body]] of expected.entries()) {
    const answer = await readMessage(client);
    assert.equal(statuses(answer.head)[0], status, `${i}`);
    if (status === 200) assert.equal(answer.body, body);
    if (status === 308) assert.match(answer.head, new RegExp(`Location: https://a.example/${i}\r`));
  }
  assert.equal(client.ended, false);
  // What was answered here got nowhere.
  assert.equal(
    server.requests.length,
    expected.filter(([status]) => [200, 404].includes(status)).length,
  );
});

interface Plan {
  readonly method: string;
  readonly target: string;
  /** The body with its framing. */
  readonly payload: string;
  readonly body: string;
  readonly answer: string;
}

/** A request of any kind, and how it is to be answered. */
function randomPlan(id: number, random: (below: number) => number): Plan {
  const method = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"][random(6)] ?? "";
  const body = id % 2 === 0 ? "" : "b".repeat([0, 1, 5_000, 120_000][random(4)] ?? 0);
  const size = [1_000, 50_000][random(2)] ?? 0;
  const chunks = [];
  for (let at = 0; at < body.length; at += size) {
    const chunk = body.slice(at, at + size);
    chunks.push(`${chunk.length.toString(16)};e\r\n${chunk}\r\n`);
  }
  const trailer = random(2) === 0 ? "X-T: 1\r\n" : "";
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  const payload = random(2) === 0
    ? `${length}\r\n${body}`
    : `Transfer-Encoding: chunked\r\n\r\n${chunks.join("")}0\r\n${trailer}\r\n`;
  const ways = ["length", "chunked", "close", "close-1.0", "204"];
  const answer = `${ways[random(5)]}/${[0, 1, 1_000, 150_000][random(4)]}`;
  return { method, target: `/${id}/${answer}`, payload, body, answer };
}

/** Answers a request as its target says: `/id/way/size`. */
const answerAsTold: Answer = async ({ head, body }, peer) => {
  const [, id, way, size] = /^\S+ \/(\d+)\/(\S+)\/(\d+) /.exec(head) ?? [];
  const text = `${id} ${body.length} ${"y".repeat(Number(size))}`;
  const sent = head.startsWith("HEAD") ? "" : text;
  await setTimeout(Number(id) % 3);
  const fields = `X-Id: ${id}\r\n`;
  if (way === "204") return `HTTP/1.1 204 No Content\r\n${fields}\r\n`;
  if (way === "length") return ok(text, fields).slice(0, sent === "" ? -text.length : undefined);
  if (way === "chunked") {
    const start = `HTTP/1.1 200 OK\r\n${fields}Transfer-Encoding: chunked\r\n\r\n`;
    return sent === "" ? start : `${start}${sent.length.toString(16)}\r\n${sent}\r\n0\r\n\r\n`;
  }
  const version = way === "close" ? "1.1" : "1.0";
  return void peer.socket.end(
    `HTTP/${version} 200 OK\r\n${fields}Connection: close\r\n\r\n${sent}`,
  );
};

test("requests of every kind and cut follow each other, each with its own answer", async (t) => {
  const server = await startServer(t, answerAsTold);
  await centauri.reload(routesTo(server.name));
  let seed = 1;
  // The same in every run.
  const random = (below: number): number => (seed = (seed * 48_271) % 0x7fffffff) % below;
  const talk = async (): Promise<void> => {
    const client = await connect(t, centauri.httpsPort);
    const plans = Array.from({ length: 50 }, (_, id) => randomPlan(id, random));
    const bytes = Buffer.from(
      plans.map(({ method, target, payload }) =>
        `${method} ${target} HTTP/1.1\r\nHost: a.example\r\n${payload}`
      ).join(""),
    );
    const send = async (): Promise<void> => {
      for (let at = 0, end = 0; at < bytes.length; at = end) {
        end = at + ([1, 300, 30_000, 200_000][random(4)] ?? 1);
        client.write(bytes.subarray(at, end));
        if (random(2) === 0) await setTimeout(0);
      }
    };
    const read = async (): Promise<void> => {
      for (const [id, { method, target, body, answer }] of plans.entries()) {
        const message = await readMessage(client, method);
        assert.match(message.head, new RegExp(`^HTTP/1.1 20[04] [^]*\r\nX-Id: ${id}\r\n`), target);
        const [way = "", size] = answer.split("/");
        const expected = `${id} ${body.length} ${"y".repeat(Number(size))}`;
        const none = method === "HEAD" || way === "204";
        assert.ok(message.body === (none ? "" : expected), `${method} ${target}`);
      }
    };
    await Promise.all([send(), read()]);
  };
  await Promise.all([talk(), talk(), talk()]);
});

test("whoever pipelines without reading is held back, and gets every answer", async (t) => {
  const filler = "x".repeat(2_000);
  const server = await startServer(t, ({ head }) => ok(`${head.split(" ")[1]} ${filler}`));
  await centauri.reload(routesTo(server.name));
  const client = await connect(t, centauri.httpsPort);
  client.socket.pause();
  const before = residentMiB();
  const piece = (i: number) => Buffer.from(get(`/${i}`, `X-Filler: ${filler}\r\n`));
  const sent = await writeUntilStuck(client.socket, piece, 50_000);
  assert.ok(sent > 1_000 && sent < 10_000, `${sent} were taken`);
  assert.ok(residentMiB() - before < 48, `${before} MiB became ${residentMiB()}`);
  client.socket.resume();
  for (let i = 0; i < sent; i++) {
    assert.equal((await readMessage(client)).body, `/${i} ${filler}`);
  }
});

function residentMiB(): number {
  const status = readFileSync(`/proc/${centauri.pid}/status`, "utf8");
  return Number(/VmRSS:\s*(\d+) kB/.exec(status)?.[1]) / 1024;
}

test("a request body behind much that was pipelined is read to its end", async (t) => {
  const body = "b".repeat(300_000);
  const server = await startServer(t, async ({ head, body }) => {
    // By then Centauri has read as much as it wants to while this is being answered.
    if (head.startsWith("GET /slow")) await setTimeout(100);
    return ok(`${body.length}`);
  });
  await centauri.reload(routesTo(server.name));
  const client = await connect(t, centauri.httpsPort);
  client.write(get("/first"));
  await readMessage(client);
  const post =
    `POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  // Five TLS records are more than it keeps, and nearly all of them are requests without a body.
  const many = get("/", `X-Filler: ${"x".repeat(4_000 - get("/", "X-Filler: \r\n").length)}\r\n`);
  client.write(get("/slow") + many.repeat(20) + post + get("/last"));
  for (let i = 0; i < 21; i++) assert.equal((await readMessage(client)).body, "0");
  assert.equal((await readMessage(client)).body, `${body.length}`);
  assert.equal((await readMessage(client)).body, "0");
});

test("closing doesn't cut an answer that is taken slowly", async (t) => {
  const clock = new Clock();
  clock.close(); // this test moves the time
  const served: ServerConnection[] = [];
  const page = Buffer.alloc(16 * MIB, "x");
  const server = await startRawUpstream(t, (socket) => {
    served.push(
      new ServerConnection(socket, CLIENT, {
        clock,
        buffers: new BufferPool(),
        limits: HEAD_LIMITS,
        timeouts: { head: 10_000, idle: 10_000, stall: 60_000 },
        handle: (_, downstream) => {
          downstream.respond(200, "OK", ["Content-Length", `${page.length}`], page.length);
          downstream.write(page);
          return void downstream.end([]);
        },
        onClientError: () => {},
        onClose: () => {},
      }),
    );
  });
  const client = wire(net.connect(server.port, "127.0.0.1"));
  client.write(get("/", "Connection: close\r\n"));
  await client.read("\r\n\r\n");
  client.socket.pause();
  clock.now += 30_000;
  for (const each of served) if (each.deadline <= clock.now) each.onDeadline();
  client.socket.resume();
  assert.equal((await client.readToEnd()).length, page.length);
});

/** One request on a connection of its own; the answer as it came. */
async function exchange(t: Scope, request: string, port = centauri.httpsPort): Promise<string> {
  const client = await connect(t, port);
  client.write(request);
  return await client.readToEnd();
}

test("an HTTP/1.0 client gets what it knows, and keeps its connection if it asks", async (t) => {
  const server = await startServer(t, ({ head }) => {
    assert.match(head, /^GET \S+ HTTP\/1\.1\r\n/);
    if (head.includes("/length")) return ok("hello");
    return "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n" +
      "5\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n";
  });
  await centauri.reload(routesTo(server.name));
  const old = (target: string, fields = "") =>
    `GET ${target} HTTP/1.0\r\nHost: a.example\r\n${fields}\r\n`;
  const plain = await exchange(t, old("/length") + old("/length"));
  assert.match(plain, /^HTTP\/1\.1 200 OK\r\nContent-Length: 5\r\n/);
  assert.match(plain, /\r\nConnection: close\r\n\r\nhello$/);
  const chunked = await exchange(t, old("/chunked", "Connection: keep-alive\r\n"));
  assert.match(chunked, /^HTTP\/1\.1 200 OK\r\n[^]*\r\nConnection: close\r\n\r\nhello world$/);
  assert.doesNotMatch(chunked, /Transfer-Encoding/i);
  const client = await connect(t, centauri.httpsPort);
  for (let i = 0; i < 3; i++) {
    client.write(old("/length", "Connection: Keep-Alive\r\n"));
    const answer = await readMessage(client);
    assert.match(answer.head, /\r\nConnection: keep-alive\r\n/);
    assert.equal(answer.body, "hello");
  }
  assert.equal(client.ended, false);
});

test("answers without a body keep their fields, and the connection goes on", async (t) => {
  const answers: Record<string, string> = {
    "/head": "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 12345\r\n\r\n",
    "/head-chunked": "HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n",
    "/head-bare": "HTTP/1.1 200 OK\r\nDate: d\r\n\r\n",
    "/304": "HTTP/1.1 304 Not Modified\r\nDate: d\r\nContent-Length: 77\r\nETag: a\r\n\r\n",
    "/304-bare": "HTTP/1.1 304 Not Modified\r\nDate: d\r\n\r\n",
    "/204": "HTTP/1.1 204 No Content\r\nDate: d\r\nX-A: b\r\n\r\n",
    "/205": "HTTP/1.1 205 Reset Content\r\nDate: d\r\nContent-Length: 0\r\n\r\n",
    "/204-length": "HTTP/1.1 204 No Content\r\nDate: d\r\nContent-Length: 0\r\n\r\n",
  };
  const expected: Record<string, string> = {
    ...answers,
    "/head-chunked": "HTTP/1.1 200 OK\r\nDate: d\r\n\r\n", // Transfer-Encoding is of one connection
    "/204-length": "HTTP/1.1 204 No Content\r\nDate: d\r\n\r\n", // RFC 9110 section 8.6
  };
  const server = await startServer(t, ({ head }) => answers[head.split(" ")[1] ?? ""]);
  await centauri.reload(routesTo(server.name));
  const client = await connect(t, centauri.httpsPort);
  for (const [target, answer] of Object.entries(expected)) {
    client.write(get(target).replace("GET", target.startsWith("/head") ? "HEAD" : "GET"));
    assert.equal(await client.read(answer.length), answer);
  }
  client.write(get("/204"));
  assert.equal(await client.read("\r\n\r\n"), answers["/204"]);
  assert.equal(server.wires.length, 1);
});

test("Expect: 100-continue and the interim answers to it pass, in both outcomes", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routesTo(upstream.name));
  const post =
    "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
  const client = await connect(t, centauri.httpsPort);
  client.write(post);
  const peer = await upstream.accept();
  assert.match(await peer.read("\r\n\r\n"), /\r\nExpect: 100-continue\r\n/);
  peer.write("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n");
  assert.equal(await client.read("\r\n\r\n"), "HTTP/1.1 102 Processing\r\n\r\n");
  assert.equal(await client.read("\r\n\r\n"), "HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n");
  assert.equal(peer.received.endsWith("\r\n\r\n"), true, "the body waits for the client");
  client.write("body");
  assert.equal(await peer.read(4), "body");
  peer.write("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n");
  const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n";
  assert.equal(await client.read("\r\n\r\n"), hints);
  peer.write(ok("done"));
  assert.equal((await readMessage(client)).body, "done");
  client.write(post);
  await peer.read("\r\n\r\n");
  peer.write("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
  const refused = await client.readToEnd();
  assert.match(refused, /^HTTP\/1\.1 417 Expectation Failed\r\n[^]*\r\nConnection: close\r\n\r\n$/);
  await peer.until(() => peer.ended, "the upstream's connection to end: it may want the body");
});

test("an answer that comes before the request is complete reaches the client", async (t) => {
  const upstream = await startUpstream(t);
  await centauri.reload(routesTo(upstream.name));
  const client = await connect(t, centauri.httpsPort);
  client.write(
    "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
  );
  const peer = await upstream.accept();
  await peer.read("3\r\nabc\r\n");
  peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo");
  assert.match(await client.read("too"), /^HTTP\/1\.1 413 [^]*\r\nConnection: close\r\n/);
  client.write("3\r\ndef\r\n");
  await peer.read("3\r\ndef\r\n");
  peer.write(" large");
  client.write("3\r\nghi\r\n");
  assert.equal(await client.readToEnd(), " large");
  await peer.until(() => peer.ended, "the end: it waits for a body that won't come");
});

test("curl sees an early answer while it uploads 20 MiB that nobody reads", async (t) => {
  if (!needProgram(t, "curl")) return;
  const upstream = await startUpstream(t, (peer) => {
    peer.read("\r\n\r\n").then(() => {
      peer.socket.pause();
      peer.socket.end("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nfull");
    });
  });
  await centauri.reload(routesTo(upstream.name));
  const file = join(await temporaryFolder(t), "upload");
  await writeFile(file, Buffer.alloc(20 * MIB, "u"));
  const format = " %{http_code} %{size_upload}";
  const result = await curl(centauri, "/", "-T", file, "-H", "Expect:", "-w", format);
  const [body, status, size] = result.stdout.split(" ");
  assert.deepEqual([body, status], ["full", "413"], result.stderr);
  assert.ok(Number(size) < 20 * MIB);
});

test("every form of target reaches the upstream as a path and a host", async (t) => {
  const server = await startServer(t, () => ok(""));
  await centauri.reload(routesTo(server.name));
  const client = await connect(t, centauri.httpsPort);
  const rows: [string, string][] = [
    ["GET https://a.example/a%2Fb/../c?d=%zz;e HTTP/1.1", "GET /a%2Fb/../c?d=%zz;e HTTP/1.1"],
    ["GET HTTP://a.example HTTP/1.1", "GET / HTTP/1.1"],
    ["GET http://a.example?q HTTP/1.1", "GET /?q HTTP/1.1"],
    ["OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"],
    ["OPTIONS http://a.example HTTP/1.1", "OPTIONS * HTTP/1.1"],
    ['GET //a//b?c?d&&"<>^`{|} HTTP/1.1', 'GET //a//b?c?d&&"<>^`{|} HTTP/1.1'],
    ["BREW /pot HTTP/1.1", "BREW /pot HTTP/1.1"],
  ];
  for (const [sent, received] of rows) {
    const other = /http/i.test(sent.split(" ")[1] ?? "") ? "b.example" : "a.example";
    client.write(`${sent}\r\nHost: ${other}\r\n\r\n`);
    assert.match((await readMessage(client)).head, /^HTTP\/1\.1 200 OK\r\n/, sent);
    const head = server.requests.at(-1)?.head ?? "";
    assert.equal(head.split("\r\n")[0], received);
    assert.match(head, /\r\nHost: a\.example\r\n[^]*\r\nX-Forwarded-Host: a\.example\r\n/);
  }
  client.write(get("http://other.example/"));
  assert.match((await readMessage(client)).head, /^HTTP\/1\.1 421 /);
});

test("Max-Forwards counts down for OPTIONS and TRACE, and ends here at 0", async (t) => {
  const server = await startServer(t, () => ok("upstream"));
  await centauri.reload(routesTo(server.name));
  const client = await connect(t, centauri.httpsPort);
  const ask = async (method: string, value: string): Promise<[number | undefined, string]> => {
    const count = server.requests.length;
    client.write(get("/", `max-forwards: ${value}\r\n`).replace("GET", method));
    const { head } = await readMessage(client);
    const passed = server.requests[count]?.head ?? "";
    return [statuses(head)[0], /max-forwards: (.*)\r/.exec(passed)?.[1] ?? "not passed"];
  };
  assert.deepEqual(await ask("OPTIONS", "0"), [200, "not passed"]);
  assert.deepEqual(await ask("OPTIONS", "1"), [200, "0"]);
  assert.deepEqual(await ask("TRACE", "0"), [405, "not passed"]);
  assert.deepEqual(await ask("TRACE", "10"), [200, "9"]);
  assert.deepEqual(await ask("GET", "0"), [200, "0"]);
});

test("the limits on a head are options", async (t) => {
  const server = await startServer(t, () => ok(""));
  await hurried.reload(routesTo(server.name));
  const status = async (fields: string): Promise<number[]> =>
    statuses(await exchange(t, get("/", `Connection: close\r\n${fields}`), hurried.httpsPort));
  const rest = 2_048 - get("/", "Connection: close\r\nA: \r\n").length;
  assert.deepEqual(await status(`A: ${"a".repeat(rest)}\r\n`), [200]);
  assert.deepEqual(await status(`A: ${"a".repeat(rest + 1)}\r\n`), [431]);
  assert.deepEqual(await status("A: b\r\n".repeat(8)), [200]);
  assert.deepEqual(await status("A: b\r\n".repeat(9)), [431]);
});

test("an upstream may take longer to answer than any time-out", async (t) => {
  const server = await startServer(t, async () => {
    await setTimeout(1_500);
    return ok("late");
  });
  await hurried.reload(routesTo(server.name));
  const client = await connect(t, hurried.httpsPort);
  client.write("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n{}");
  assert.equal((await readMessage(client)).body, "late");
  client.write(get("/"));
  assert.equal((await readMessage(client)).body, "late");
});

test("a client that is slow with its head or its body gets 408", async (t) => {
  const server = await startServer(t, () => ok(""));
  await hurried.reload(routesTo(server.name));
  const owing = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n12";
  const slow: Record<string, (client: Wire) => unknown> = {
    "a part of a head": (client) => client.write("GET / HTTP/1.1\r\nHost: a.exa"),
    "a head after a request": (client) => client.write(get("/") + "G"),
    "a head in drips": async (client) => {
      for (const each of `GET / HTTP/1.1\r\nHost: a.example\r\nX-A: ${"a".repeat(1_000)}`) {
        if (client.ended) return;
        client.write(each);
        await setTimeout(20);
      }
    },
    "a part of a body": (client) => client.write(owing),
    "a part of a chunk": (client) => client.write(`${CHUNKED_POST}5\r\nhel`),
  };
  await Promise.all(
    Object.entries(slow).map(async ([name, send]) => {
      const client = await connect(t, hurried.httpsPort);
      const [text] = await Promise.all([client.readToEnd(), send(client)]);
      assert.equal(statuses(text).at(-1), 408, name);
      assert.match(text.slice(text.lastIndexOf("HTTP/1.1 ")), /\r\nConnection: close\r\n/, name);
    }),
  );
  // What of a body there was did get there; its end didn't.
  for (const { received } of server.wires) assert.doesNotMatch(received, /123|0\r\n\r\n$/);
});

test("a connection without a request is closed without a word", async (t) => {
  const server = await startServer(t, () => ok("hello"));
  await hurried.reload(routesTo(server.name));
  const silent = exchange(t, "", hurried.httpsPort);
  const afterwards = exchange(t, get("/"), hurried.httpsPort);
  assert.equal(await silent, "");
  assert.match(await afterwards, /^HTTP\/1\.1 200 OK\r\n(?!.*close)[^]*\r\n\r\nhello$/);
});

test("a body that moves is not cut, however slowly, nor is a slow answer", async (t) => {
  const body = "drop by drop";
  const server = await startServer(t, async (_, peer) => {
    peer.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
    for (const each of body) {
      await setTimeout(100);
      peer.write(each);
    }
    return "";
  });
  await hurried.reload(routesTo(server.name));
  const client = await connect(t, hurried.httpsPort);
  client.write(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${body.length}\r\n\r\n`);
  for (const each of body) {
    await setTimeout(100);
    client.write(each);
  }
  assert.equal((await readMessage(client)).body, body);
  assert.equal(server.requests[0]?.body, body);
});

test("a client that takes nothing of its answer is cut off", async (t) => {
  const upstream = await startUpstream(t, (peer) => {
    peer.read("\r\n\r\n").then(() => {
      const length = 64 * MIB;
      peer.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
      peer.write(Buffer.alloc(length));
    });
  });
  await hurried.reload(routesTo(upstream.name));
  const client = await connect(t, hurried.httpsPort);
  client.write(get("/"));
  client.socket.pause();
  const peer = await upstream.accept();
  await peer.until(() => peer.ended, "Centauri to leave the upstream");
});

test("nothing above was a bug to Centauri", () => {
  const logs = [...centauri.logs, ...hurried.logs];
  assert.deepEqual(logs.filter((line) => line.includes("internal error")), []);
});
