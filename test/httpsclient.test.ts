import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import dns from "node:dns";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import { join, relative } from "node:path";
import { test, type TestContext } from "node:test";
import { setImmediate, setTimeout } from "node:timers/promises";
import tls from "node:tls";
import { pathToFileURL } from "node:url";
import {
  createHttpClient,
  type HttpAnswer,
  type HttpClientOptions,
  HttpError,
  type HttpRequest,
} from "../lib/httpsclient.ts";
import { fieldValue } from "../lib/http1.ts";
import { selfSigned as selfSignedPem } from "../lib/x509.ts";
import { type Identity, issue, newKey } from "./pki.ts";
import {
  findProgram,
  needProgram,
  root,
  run,
  runtimeCommand,
  type Scope,
  startRawUpstream,
  temporaryFolder,
} from "./support.ts";
import { answers, type AnswerVector } from "./vectors/httpsclient.ts";
import {
  type Answer,
  type Message,
  ok,
  readMessage,
  startServer,
  startUpstream,
  wire,
} from "./wire.ts";

const DAY = 86_400_000;

type Client = ReturnType<typeof createHttpClient>;

function newClient(t: Scope, options: Partial<HttpClientOptions> = {}): Client {
  const client = createHttpClient({ userAgent: "test/1", timeout: 10_000, ...options });
  t.after(client.close);
  return client;
}

/** The message of the HttpError that a request must end with. */
async function failure(promise: Promise<HttpAnswer>): Promise<string> {
  const error: unknown = await promise.then(({ status }) => `answered ${status}`, (error) => error);
  assert.ok(error instanceof HttpError, String(error));
  assert.ok(error.cause !== undefined, error.message);
  return error.message;
}

/** A certificate that is its own root, as one of an internal service. */
function selfSigned(names: readonly string[]): Identity {
  const key = newKey();
  const [notBefore, notAfter] = [new Date(Date.now() - DAY), new Date(Date.now() + DAY)];
  const cert = selfSignedPem({ names, key, serial: Uint8Array.of(1), notBefore, notAfter });
  const keyPem = key.export({ type: "pkcs8", format: "pem" }) as string;
  return { cert, key, keyPem, subject: names[0] ?? "" };
}

interface TlsServer {
  readonly port: number;
  readonly cert: string;
  /** Of each handshake: the name asked for and the protocol agreed on, "none" without. */
  readonly handshakes: readonly string[];
}

/** A TLS server that answers each request; without `answer` it says ok. */
async function startTlsServer(
  t: Scope,
  names: readonly string[],
  options: tls.TlsOptions & { answer?: Answer; host?: string; identity?: Identity } = {},
): Promise<TlsServer> {
  const { answer = () => ok("tls"), host = "127.0.0.1", ...rest } = options;
  const { cert, keyPem: key } = options.identity ?? selfSigned(names);
  const handshakes: string[] = [];
  const sockets = new Set<tls.TLSSocket>();
  const server = tls.createServer({ ALPNProtocols: ["http/1.1"], cert, key, ...rest }, (socket) => {
    sockets.add(socket);
    handshakes.push(`${socket.servername || "none"} ${socket.alpnProtocol || "none"}`);
    const on = wire(socket);
    const serve = async (): Promise<void> => {
      for (;;) {
        const bytes = await answer(await readMessage(on), on);
        if (bytes === undefined) return;
        on.write(bytes);
      }
    };
    serve().catch(() => socket.destroy());
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as net.AddressInfo).port, cert, handshakes };
}

/** Plays each answer whole and byte by byte, each to a client of its own. */
async function check(t: Scope, rows: readonly AnswerVector[]): Promise<void> {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, why, method = "GET", input, expect } of rows) {
    for (const size of input.length > 4_000 ? [input.length] : [input.length || 1, 1]) {
      const peer = await startUpstream(t, async ({ socket, read }) => {
        await read("\r\n\r\n");
        for (let at = 0; at < input.length && !socket.destroyed; at += size) {
          const part = Buffer.from(input.slice(at, at + size), "latin1");
          await new Promise((resolve) => socket.write(part, resolve));
        }
        socket.end();
      });
      const { request, close } = newClient(t, { maxBody: 1_000 });
      const url = `http://${peer.name}/a?secret`;
      const what = `${name} (${why}), ${size} bytes at a time`;
      const asked = request({ method, url });
      if ("error" in expect) {
        const message = await failure(asked);
        assert.match(message, expect.error, what);
        assert.ok(message.startsWith(`${method} ${peer.name}/a: `), message);
      } else {
        const { status, body } = await asked.catch((error) => assert.fail(`${what}: ${error}`));
        assert.deepEqual({ status, body: body.toString("latin1") }, expect, what);
      }
      close();
      await peer.close();
    }
  }
}

test("request() takes each answer or refuses it, however it is cut", (t) => check(t, answers));

test("the runner of the answers refuses a wrong row and no rows", async (t) => {
  const [row] = answers as readonly [AnswerVector];
  const { AssertionError } = assert;
  await assert.rejects(check(t, []), AssertionError);
  await assert.rejects(check(t, [{ ...row, expect: { status: 200, body: "x" } }]), AssertionError);
  await assert.rejects(check(t, [{ ...row, expect: { error: /./ } }]), AssertionError);
  await assert.rejects(check(t, [{ ...row, input: "x" }]), AssertionError);
});

test("request() sends a head with its own fields and the body as bytes", async (t) => {
  const peer = await startServer(t, () => ok(""));
  const { request } = newClient(t);
  const url = `http://${peer.name}/a%2Fb/?q=1&x#part`;
  await request({ method: "POST", url, fields: ["X-A", "b"], body: "\u20ac" });
  await request({ method: "PUT", url, body: Uint8Array.of(0, 255) });
  await request({ method: "POST", url });
  await request({ method: "DELETE", url });
  const head = (line: string, ...more: string[]): string =>
    [
      `${line} /a%2Fb/?q=1&x HTTP/1.1`,
      `Host: ${peer.name}`,
      "User-Agent: test/1",
      "Accept-Encoding: identity",
      ...more,
      "\r\n",
    ].join("\r\n");
  assert.deepEqual(peer.requests.map(({ head, body }) => ({ head, body })), [
    { head: head("POST", "X-A: b", "Content-Length: 3"), body: "\u00e2\u0082\u00ac" },
    { head: head("PUT", "Content-Length: 2"), body: "\0\u00ff" },
    { head: head("POST", "Content-Length: 0"), body: "" },
    { head: head("DELETE"), body: "" },
  ]);
});

test("request() gives the answer's fields as they came", async (t) => {
  const peer = await startServer(t, () => ok("", "Link: <a>\r\nLINK: <b>\r\n"));
  const { fields } = await newClient(t).request({ method: "GET", url: `http://${peer.name}` });
  assert.deepEqual(fields, ["Link", "<a>", "LINK", "<b>", "Content-Length", "0"]);
});

test("request() refuses URLs and fields that it can't send, and shows no secret", async (t) => {
  const { request } = newClient(t);
  const rows: [string, readonly string[], RegExp][] = [
    ["ftp://a.example/", [], /^GET: invalid URL "ftp:\/\/a\.example\/": expected https/],
    ["/path?secret", [], /^GET: invalid URL "\/path": expected/],
    ["https://user:secret@a.example/", [], /^GET: invalid URL "a\.example\/": expected/],
    ["https://user:sec/ret@a.example:x/?secret", [], /^GET: invalid URL "a\.example:x\/": /],
    [
      "http://a.example/?secret",
      ["X-Auth", "secret\n"],
      /^GET a\.example\/: the field "X-Auth" has/,
    ],
    ["http://a.example/", ["X-Auth", "secret\u20ac"], /: the field "X-Auth" has a character/],
    ["http://a.example/", ["A", "b", "X Auth", "secret"], /: the field "X Auth" has a character/],
  ];
  for (const [url, fields, expected] of rows) {
    const message = await failure(request({ method: "GET", url, fields }));
    assert.match(message, expected);
    assert.doesNotMatch(message, /secret|user:|sec\//);
  }
});

test("request() verifies the certificate for names and for addresses", async (t) => {
  const rows: [string, readonly string[], Partial<HttpClientOptions>, RegExp][] = [
    ["localhost", ["localhost"], {}, /^ok, localhost http\/1\.1$/],
    ["localhost.", ["localhost"], {}, /^ok, localhost http\/1\.1$/],
    ["127.0.0.1", ["127.0.0.1"], {}, /^ok, none http\/1\.1$/],
    ["127.0.0.1", ["a.example"], { serverName: "a.example" }, /^ok, a\.example http\/1\.1$/],
    ["localhost", ["a.example"], {}, /for other names \(.*localhost.*DNS:a\.example\)$/],
    ["localhost", ["127.0.0.1"], {}, /for other names \(/],
    ["127.0.0.1", ["localhost"], {}, /for other names \(IP: 127\.0\.0\.1 /],
    ["127.0.0.1", ["127.0.0.2"], {}, /for other names \(IP: 127\.0\.0\.1 /],
    ["localhost", ["localhost"], { serverName: "a.example" }, /for other names \(/],
  ];
  for (const [host, names, options, expected] of rows) {
    const server = await startTlsServer(t, names);
    const { request } = newClient(t, { ca: [server.cert], ...options });
    const url = `https://${host}:${server.port}/`;
    const asked = request({ method: "GET", url });
    const result = await asked.then(() => `ok, ${server.handshakes[0]}`, () => failure(asked));
    assert.match(result, expected, `${host} of ${names} ${JSON.stringify(options)}`);
  }
});

test("request() reaches an IPv6 address and verifies its certificate", async (t) => {
  let server: TlsServer;
  try {
    server = await startTlsServer(t, ["::1"], { host: "::1" });
  } catch {
    return t.skip("there is no IPv6 here");
  }
  const { request } = newClient(t, { ca: [server.cert] });
  const { status } = await request({ method: "GET", url: `https://[::1]:${server.port}/` });
  assert.equal(status, 200);
  assert.deepEqual(server.handshakes, ["none http/1.1"]);
});

test("request() says why a certificate isn't trusted", async (t) => {
  const root = issue({ subject: "Root" });
  const leaf = { subject: "Leaf", names: ["localhost"], issuer: root };
  const rows: [Identity, boolean, RegExp][] = [
    [selfSigned(["localhost"]), false, /: its certificate is self-signed \(/],
    [issue(leaf), false, /: its certificate is of a CA that isn't trusted here/],
    [issue(leaf), true, /^answered 200$/],
    [
      issue({ ...leaf, from: -2 * DAY, to: -DAY }),
      true,
      /has expired, or this machine's|out of date/,
    ],
    [
      issue({ ...leaf, from: DAY, to: 2 * DAY }),
      true,
      /isn't valid yet, or this machin|out of date/,
    ],
  ];
  for (const [own, trusted, expected] of rows) {
    const server = await startTlsServer(t, [], { identity: own });
    const { request } = newClient(t, trusted ? { ca: [root.cert] } : {});
    const asked = request({ method: "GET", url: `https://localhost:${server.port}/path?secret` });
    const message = await asked.then(({ status }) => `answered ${status}`, () => failure(asked));
    assert.match(message, expected);
    const where = `GET localhost:${server.port}/path: `;
    assert.ok(message.startsWith(where) || message.startsWith("answered"), message);
  }
});

test("request() speaks http/1.1 with a server without ALPN, and with none that lacks it", async (t) => {
  const plain = await startTlsServer(t, ["localhost"], { ALPNProtocols: [] });
  const { request } = newClient(t, { ca: [plain.cert] });
  await request({ method: "GET", url: `https://localhost:${plain.port}/` });
  assert.deepEqual(plain.handshakes, ["localhost none"]);
  const other = await startTlsServer(t, ["localhost"], { ALPNProtocols: ["h2"] });
  const client = newClient(t, { ca: [other.cert] });
  const url = `https://localhost:${other.port}/`;
  assert.match(await failure(client.request({ method: "GET", url })), /no.?application.?protocol/i);
});

test("request() says in words that a host can't be reached", async (t) => {
  const { request } = newClient(t);
  const closed = await startUpstream(t);
  await closed.close();
  const plain = await startUpstream(t, async (on) => {
    await on.read(1);
    on.write("HTTP/1.0 400 Bad Request\r\n\r\n");
  });
  const hangsUp = await startUpstream(t, async (on) => {
    await on.read(1);
    on.socket.destroy();
  });
  const rows: [string, RegExp][] = [
    [`https://${closed.name}/`, /: nothing listens there \(.*ECONNREFUSED/],
    [`https://${plain.name}/`, /: it doesn't speak TLS on this port \(/],
    [`https://${hangsUp.name}/`, /: the other side broke off \(/],
    ["https://nowhere.invalid/", /^GET nowhere\.invalid\/: no such name, or it has no address \(/],
  ];
  for (const [url, expected] of rows) {
    assert.match(await failure(request({ method: "GET", url })), expected);
  }
});

test("request() tries every address of a name", async (t) => {
  const peer = await startServer(t, () => ok("here"));
  const secure = await startTlsServer(t, ["a.example"]);
  const { lookup } = dns;
  t.after(() => dns.lookup = lookup);
  const names = new Map([
    ["a.example", ["127.0.0.2", "::1", "127.0.0.1"]],
    ["b.example", ["127.0.0.2", "127.0.0.3"]],
  ]);
  type Found = (error: null, addresses: readonly dns.LookupAddress[]) => void;
  dns.lookup = ((name: string, _: unknown, found: Found) => {
    const addresses = names.get(name)!;
    found(null, addresses.map((address) => ({ address, family: net.isIP(address) })));
  }) as typeof lookup;
  const { request } = newClient(t, { ca: [secure.cert] });
  const answer = await request({ method: "POST", url: `http://a.example:${peer.port}/` });
  assert.equal(String(answer.body), "here");
  const other = await request({ method: "POST", url: `https://a.example:${secure.port}/` });
  assert.equal(String(other.body), "tls");
  const url = `http://b.example:${peer.port}/`;
  const message = await failure(request({ method: "GET", url }));
  assert.match(message, /ECONNREFUSED 127\.0\.0\.2.*; .*ECONNREFUSED 127\.0\.0\.3/);
});

test("request() uses a connection again that was in use a second ago", async (t) => {
  const server = await startTlsServer(t, ["localhost"]);
  const { request } = newClient(t, { ca: [server.cert] });
  const ask = (method: HttpRequest["method"]): Promise<HttpAnswer> =>
    request({ method, url: `https://localhost:${server.port}/` });
  await ask("GET");
  await ask("POST");
  await ask("HEAD").catch(() => {}); // ok() sends a body, which ends this connection
  assert.equal(server.handshakes.length, 1);
  await ask("GET");
  await ask("POST");
  assert.equal(server.handshakes.length, 2);
  const { now } = performance;
  t.after(() => performance.now = now);
  performance.now = () => now.call(performance) + 1_100; // sooner than its timer
  await ask("POST");
  assert.equal(server.handshakes.length, 3);
});

test("request() doesn't mix origins: scheme, host and port", async (t) => {
  const server = await startTlsServer(t, ["localhost", "127.0.0.1"]);
  const { request } = newClient(t, { ca: [server.cert] });
  for (const host of ["localhost", "127.0.0.1", "localhost"]) {
    await request({ method: "GET", url: `https://${host}:${server.port}/` });
  }
  assert.deepEqual(server.handshakes, ["localhost http/1.1", "none http/1.1"]);
});

test("request() repeats nothing when a kept connection was dead", async (t) => {
  const peer = await startServer(t, (_, { socket }) => {
    if (peer.requests.length % 2 === 1) return ok("");
    socket.destroy();
    return undefined;
  });
  const { request } = newClient(t);
  const url = `http://${peer.name}/`;
  for (const method of ["GET", "POST"] as const) {
    await request({ method, url });
    assert.match(await failure(request({ method, url })), /closed before the answer|broke off/);
  }
  assert.equal(peer.requests.length, 4);
});

test("a connection closes when it was idle for its time, when the peer ends it, and by close()", async (t) => {
  const peer = await startServer(t, () => ok(""));
  const start = performance.now();
  const ask = async (client: Client): Promise<void> => {
    await client.request({ method: "GET", url: `http://${peer.name}/` });
  };
  await ask(newClient(t, { idle: 20 }));
  await peer.wires[0]!.until(() => peer.wires[0]!.ended, "the end of an idle connection");
  const client = newClient(t, { idle: 60_000 });
  await ask(client);
  peer.wires[1]!.socket.end();
  await peer.wires[1]!.until(() => peer.wires[1]!.ended, "the client's end");
  await ask(client);
  assert.equal(peer.wires.length, 3);
  client.close();
  await peer.wires[2]!.until(() => peer.wires[2]!.ended, "the end by close()");
  assert.ok(performance.now() - start < 5_000, "sooner than the server loses patience");
});

test("close() lets what is under way come to its end", async (t) => {
  const { request, close } = newClient(t);
  const peer = await startServer(t, () => {
    close();
    return ok("still");
  });
  const { body } = await request({ method: "GET", url: `http://${peer.name}/` });
  assert.equal(String(body), "still");
});

test("an idle connection lets the process end", async (t) => {
  const server = await startTlsServer(t, ["127.0.0.1"]);
  const plain = await startServer(t, () => ok(""));
  const folder = await temporaryFolder(t);
  const lib = pathToFileURL(join(root, "lib/httpsclient.ts")).href;
  const urls = [`https://127.0.0.1:${server.port}/`, `http://${plain.name}/`];
  const script = join(folder, "client.mts");
  await writeFile(
    script,
    `import { createHttpClient } from ${JSON.stringify(lib)};
    const ca = [${JSON.stringify(server.cert)}];
    const { request } = createHttpClient({ userAgent: "x", ca, idle: 60_000, timeout: 60_000 });
    for (const url of ${JSON.stringify(urls)}) {
      console.log((await request({ method: "GET", url })).status);
    }
    const start = performance.now();
    process.on("exit", () => console.log(performance.now() - start < 5_000));`,
  );
  const [program, ...args] = runtimeCommand(relative(root, script));
  const { code, stdout, stderr } = await run(program, args, { timeout: 20_000 });
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "200\n200\ntrue\n" }, stderr);
});

test("request() gives up at its deadline and says where it stood", async (t) => {
  const silent = await startUpstream(t);
  const trickle = await startUpstream(t, async ({ read, write, socket }) => {
    await read("\r\n\r\n");
    write("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n");
    const timer = setInterval(write, 10, "x");
    socket.on("close", () => clearInterval(timer));
  });
  const { request } = newClient(t, { timeout: 150 });
  const rows: [string, typeof silent, RegExp][] = [
    ["https", silent, /\/a: gave up after 0\.15 s, in the TLS handshake$/],
    ["http", silent, /\/a: gave up after 0\.15 s, waiting for the answer$/],
    ["http", trickle, /\/a: gave up after 0\.15 s, waiting for the answer$/],
  ];
  for (const [scheme, peer, expected] of rows) {
    const url = `${scheme}://${peer.name}/a?secret`;
    assert.match(await failure(request({ method: "GET", url })), expected);
    const last = peer.wires.at(-1)!;
    await last.until(() => last.ended, "the end of the connection");
  }
});

test("request() ends with its signal, at every stage", async (t) => {
  const silent = await startUpstream(t);
  const { request } = newClient(t);
  const reason = new Error("enough");
  const early = request({
    method: "GET",
    url: "https://a.invalid/",
    signal: AbortSignal.abort(reason),
  });
  assert.match(await failure(early), /^GET: aborted$/);
  for (const scheme of ["https", "http"]) {
    const controller = new AbortController();
    const { signal } = controller;
    const asked = request({
      method: "POST",
      url: `${scheme}://${silent.name}/`,
      body: "x",
      signal,
    });
    const accepted = await silent.accept();
    await accepted.read(1);
    controller.abort(reason);
    const error = await asked.catch((error) => error);
    assert.equal(error.message, `POST ${silent.name}/: aborted`);
    assert.equal(error.cause.cause, reason);
    await accepted.until(() => accepted.ended, "the end of the connection");
  }
  const controller = new AbortController();
  const looking = request({
    method: "GET",
    url: `http://localhost:${silent.port}/`,
    signal: controller.signal,
  });
  controller.abort();
  assert.match(await failure(looking), /^GET localhost:\d+\/: aborted$/);
});

test("a signal is let go of with the answer, and the kept connection with it", async (t) => {
  const peer = await startServer(t, () => ok(""));
  const { request } = newClient(t);
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const { addEventListener, removeEventListener } = AbortSignal.prototype;
  signal.addEventListener = (...args: unknown[]) => {
    listeners++;
    addEventListener.apply(signal, args as Parameters<typeof addEventListener>);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    listeners--;
    removeEventListener.apply(signal, args as Parameters<typeof removeEventListener>);
  };
  const url = `http://${peer.name}/`;
  await request({ method: "GET", url, signal });
  await setImmediate();
  assert.equal(listeners, 0);
  controller.abort();
  await request({ method: "GET", url });
  assert.equal(peer.wires.length, 1);
});

test("a kept connection that is in use again doesn't end by its idle time", async (t) => {
  let count = 0;
  const peer = await startServer(t, async () => {
    if (count++ > 0) await setTimeout(150);
    return ok("x");
  });
  const { request } = newClient(t, { idle: 50 });
  await request({ method: "GET", url: `http://${peer.name}/` });
  const { status } = await request({ method: "POST", url: `http://${peer.name}/` });
  assert.deepEqual({ status, wires: peer.wires.length }, { status: 200, wires: 1 });
});

/** A server that redirects `/<n>` to `/<n-1>`, and answers at `/0`. */
function countDown({ head }: Message): string {
  const left = Number(/^\w+ \/(\d+)/.exec(head)?.[1]);
  if (left === 0) return head.startsWith("HEAD") ? ok("").replace("h: 0", "h: 5") : ok("there");
  return `HTTP/1.1 30${[1, 2, 3, 7, 8][left % 5]} x\r\nLocation: ${
    left - 1
  }\r\nContent-Length: 0\r\n\r\n`;
}

test("request() follows five redirects of a GET and a HEAD, and not six", async (t) => {
  const peer = await startServer(t, countDown);
  const { request } = newClient(t);
  const url = (n: number): string => `http://${peer.name}/${n}?secret`;
  assert.equal(String((await request({ method: "GET", url: url(5) })).body), "there");
  const { fields } = await request({ method: "HEAD", url: url(5) });
  assert.equal(fieldValue(fields, "content-length"), "5");
  assert.match(await failure(request({ method: "GET", url: url(6) })), /\/1: over 5 redirects$/);
  assert.equal(peer.wires.length, 1);
});

test("request() isn't redirected from https to elsewhere, nor to no URL", async (t) => {
  const plain = await startServer(t, () => ok("plain"));
  const to = async (location: string, scheme = "https"): Promise<string> => {
    const answer = `HTTP/1.1 302 x\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
    const from = scheme === "https"
      ? await startTlsServer(t, ["127.0.0.1"], { answer: () => answer })
      : await startServer(t, () => answer);
    const { request } = newClient(t, "cert" in from ? { ca: [from.cert] } : {});
    return await failure(request({ method: "GET", url: `${scheme}://127.0.0.1:${from.port}/` }));
  };
  assert.match(await to(`http://${plain.name}/`), /: redirected to http:, expected https:$/);
  assert.match(await to("https://:x/"), /: Invalid URL/);
  assert.match(await to("ftp://a.example/x", "http"), /: invalid URL "ftp:\/\/a\.example\/x"/);
  assert.match(await to("http://u:p@a.example/", "http"), /: invalid URL "a\.example\/"/);
  assert.equal(plain.requests.length, 0);
});

test("request() gives its fields to no other origin", async (t) => {
  const other = await startServer(t, () => ok("other"));
  const peer = await startServer(t, ({ head }) => {
    const location = head.startsWith("GET /a ") ? "/b" : `http://${other.name}/c`;
    return `HTTP/1.1 302 x\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
  });
  const { request } = newClient(t);
  await request({ method: "GET", url: `http://${peer.name}/a`, fields: ["X-Api-Key", "k"] });
  assert.match(peer.requests[1]!.head, /\r\nX-Api-Key: k\r\n/);
  assert.match(other.requests[0]!.head, /^GET \/c HTTP/);
  assert.doesNotMatch(other.requests[0]!.head, /X-Api-Key/);
});

test("requests at once have a connection each, and all are kept", async (t) => {
  let arrived = 0;
  let everyone = (): void => {};
  const all = new Promise<void>((resolve) => everyone = resolve);
  const peer = await startServer(t, async () => {
    if (++arrived === 20) everyone();
    await all;
    return ok("x");
  });
  const { request } = newClient(t);
  const url = `http://${peer.name}/`;
  for (let i = 0; i < 2; i++) {
    await Promise.all(Array.from({ length: 20 }, () => request({ method: "GET", url })));
  }
  assert.equal(peer.wires.length, 20);
});

test("a body in chunks of one byte takes linear time and memory", async (t) => {
  const size = 100_000;
  const peer = await startServer(
    t,
    () =>
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${"1\r\nx\r\n".repeat(size)}0\r\n\r\n`,
  );
  const { body } = await newClient(t).request({ method: "GET", url: `http://${peer.name}/` });
  assert.equal(body.length, size);
  assert.ok(body.every((byte) => byte === 0x78));
});

/** A path is there before anybody listens. */
function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path }).on("error", () => resolve(false));
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** nginx can't be told to take any free port, but a unix socket: its path. */
async function startNginx(t: TestContext, own: Identity, folder: string): Promise<string> {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const config = `
    daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
    events {}
    http {
      access_log off; ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")}
      ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;
      server {
        listen unix:${folder}/socket ssl; root ${folder}; keepalive_requests 3; absolute_redirect off;
        location = /chunked { ssi on; ssi_types *; alias ${folder}/large; }
        location = /moved { return 308 /large; }
        location = /post { return 200 $content_length; }
      }
    }`;
  const files = { "key.pem": own.keyPem, "cert.pem": own.cert, "nginx.conf": config };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const nginx = spawn(findProgram("nginx")!, ["-c", join(folder, "nginx.conf")], {
    stdio: "ignore",
  });
  const ended = once(nginx, "close");
  t.after(() => {
    nginx.kill();
    return ended;
  });
  const path = join(folder, "socket");
  while (nginx.exitCode === null && !await accepts(path)) await setTimeout(10);
  return path;
}

test("request() understands nginx", async (t) => {
  if (!needProgram(t, "nginx")) return;
  const own = selfSigned(["localhost"]);
  const folder = await temporaryFolder(t);
  const text = "x".repeat(3_000_000);
  await writeFile(join(folder, "large"), text);
  const path = await startNginx(t, own, folder);
  let connections = 0;
  const { port } = await startRawUpstream(t, (socket) => {
    connections++;
    const behind = net.connect({ path, allowHalfOpen: true }).on("error", () => socket.destroy());
    socket.pipe(behind).pipe(socket);
    t.after(() => behind.destroy());
  });
  const { request } = newClient(t, { ca: [own.cert] });
  const ask = async (method: HttpRequest["method"], to: string): Promise<string> => {
    const url = `https://localhost:${port}/${to}`;
    const { status, body } = await request({
      method,
      url,
      ...method === "POST" && { body: "1234" },
    });
    const what = body.length === text.length && String(body) === text ? "large" : String(body);
    return `${status} ${what.replace(/\s[^]*/, "")}`;
  };
  for (const path of ["large", "chunked", "moved", "large"]) {
    assert.equal(await ask("GET", path), "200 large", path);
  }
  assert.equal(connections, 2, "it closes a connection after three requests");
  assert.equal(await ask("HEAD", "large"), "200 ");
  assert.equal(await ask("POST", "post"), "200 4");
  assert.equal(await ask("GET", "none"), "404 <html>");
  assert.equal(connections, 3);
});
