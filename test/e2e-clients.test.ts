/**
 * Programs that people reach sites with, each as it comes: git, wget, wrk, openssl, Chromium, and
 * the HTTP clients of Python and Go. What curl, h2load and nghttp do is in other files.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, truncate, writeFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import process from "node:process";
import { after, test, type TestContext } from "node:test";
import tls from "node:tls";
import { toPem } from "../lib/x509.ts";
import {
  findProgram,
  type Finished,
  needProgram,
  root,
  run,
  startCentauri,
  temporaryFolder,
} from "./support.ts";
import { holdInterfaces } from "./interfaces.ts";
import { ok, startServer, type Wire } from "./wire.ts";

const FILE: Buffer = Buffer.from("0123456789".repeat(30_000));
const RUN_MS = 120_000; // on a machine that does much else
const { PATH = "", HOME = "" } = process.env;

const repositories = await temporaryFolder({ after });
const upstream = http.createServer(answer);
await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
after(() => new Promise((resolve) => (upstream.close(resolve), upstream.closeAllConnections())));
const { port: upstreamPort } = upstream.address() as { port: number };
const centauri = await startCentauri({ after }, {
  routes: `route localhost\n  upstream 127.0.0.1:${upstreamPort}\n`,
});
const base = `https://localhost:${centauri.httpsPort}`;
const caFile = join(centauri.folder, "ca.pem");
await writeFile(caFile, await certificate());

/** What Centauri made for its route. */
async function certificate(): Promise<string> {
  const options = { host: "127.0.0.1", port: centauri.httpsPort, servername: "localhost" };
  const socket = tls.connect({ ...options, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const pem = toPem("CERTIFICATE", socket.getPeerCertificate().raw);
  socket.destroy();
  return pem;
}

function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  const { method = "", url = "" } = request;
  if (url.startsWith("/git/")) return runGit(request, response);
  let length = 0;
  request.on("data", (chunk) => length += chunk.length).on("end", () => {
    if (url.startsWith("/echo")) response.end(`${method} ${url} ${length}`);
    else if (url === "/file") answerFile(request, response);
    else if (url === "/trailers") {
      response.writeHead(200, { Trailer: "X-Sum" }).write("body");
      response.addTrailers({ "X-Sum": "12" });
      response.end();
    } else response.writeHead(404).end("nothing here");
  });
}

function answerFile(request: http.IncomingMessage, response: http.ServerResponse): void {
  const { headers, method } = request;
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
  if (first === undefined) {
    response.writeHead(200, { "Content-Length": FILE.length, "Accept-Ranges": "bytes" });
    return void response.end(method === "HEAD" ? undefined : FILE);
  }
  const part = FILE.subarray(Number(first), last ? Number(last) + 1 : undefined);
  const range = `bytes ${first}-${Number(first) + part.length - 1}/${FILE.length}`;
  response.writeHead(206, { "Content-Range": range, "Content-Length": part.length }).end(part);
}

/** git's own server, by CGI (RFC 3875). */
function runGit(request: http.IncomingMessage, response: http.ServerResponse): void {
  const { pathname, search } = new URL(request.url ?? "", "http://localhost");
  const { headers, method = "" } = request;
  const field = (name: string): string => String(headers[name] ?? "");
  const backend = spawn("git", ["http-backend"], {
    env: {
      ...{ PATH, GIT_PROJECT_ROOT: repositories, GIT_HTTP_EXPORT_ALL: "1", REMOTE_USER: "me" },
      ...{ PATH_INFO: pathname.replace("/git", ""), QUERY_STRING: search.slice(1) },
      ...{ REQUEST_METHOD: method, CONTENT_TYPE: field("content-type") },
      ...{ HTTP_CONTENT_ENCODING: field("content-encoding") },
      ...{ GIT_PROTOCOL: field("git-protocol"), GIT_CONFIG_NOSYSTEM: "1", HOME: repositories },
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  request.pipe(backend.stdin);
  let head: string | undefined = "";
  backend.stdout.on("data", (chunk: Buffer) => {
    if (head === undefined) return void response.write(chunk);
    head += chunk.toString("latin1");
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    for (const line of head.slice(0, end).split("\r\n")) {
      const [, name = "", value = ""] = /^([^:]*): (.*)$/.exec(line) ?? [];
      if (name === "Status") response.statusCode = Number(value.slice(0, 3));
      else response.setHeader(name, value);
    }
    response.write(Buffer.from(head.slice(end + 4), "latin1"));
    head = undefined;
  });
  backend.stdout.on("end", () => response.end());
}

for (const version of ["HTTP/1.1", "HTTP/2"]) {
  test(`git clones, pushes and fetches over ${version}`, async (t) => {
    if (!needProgram(t, "git")) return;
    const folder = await temporaryFolder(t);
    const git = async (where: string, ...args: string[]): Promise<string> => {
      const env = { PATH, HOME: folder, GIT_SSL_CAINFO: caFile, GIT_CONFIG_NOSYSTEM: "1" };
      const identity = ["-c", "user.name=A", "-c", "user.email=a@a.example"];
      const options = [...identity, "-c", `http.version=${version}`, "-c", "gc.auto=0"];
      const cwd = join(folder, where);
      const { code, stdout, stderr } = await run("git", [...options, ...args], { env, cwd });
      assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
      return stdout.trim();
    };
    const name = `${version.replace("/", "")}.git`;
    await git("", "init", "-q", "--bare", "-b", "main", join(repositories, name));
    await git("", "clone", "-q", `${base}/git/${name}`, "a");
    // More than git's buffer of 1 MiB: it is sent in chunks. And many small objects.
    await writeFile(join(folder, "a", "large"), randomBytes(3_000_000));
    for (let i = 0; i < 50; i++) await writeFile(join(folder, "a", `small${i}`), `${i}\n`);
    await git("a", "add", ".");
    await git("a", "commit", "-q", "-m", "One");
    await git("a", "push", "-q", "origin", "HEAD:main");
    await git("", "clone", "-q", `${base}/git/${name}`, "b");
    await git("b", "fsck", "--strict");
    assert.equal(await git("b", "rev-parse", "HEAD"), await git("a", "rev-parse", "HEAD"));
    await writeFile(join(folder, "b", "small0"), "changed\n");
    await git("b", "commit", "-q", "-a", "-m", "Two");
    await git("b", "push", "-q", "origin", "HEAD:main");
    await git("a", "fetch", "-q", "origin");
    assert.equal(await git("a", "rev-parse", "FETCH_HEAD"), await git("b", "rev-parse", "HEAD"));
    await git("", "clone", "-q", "--depth", "1", `${base}/git/${name}`, "c");
    assert.equal(await readFile(join(folder, "c", "small0"), "utf8"), "changed\n");
  });
}

test("wget gets a file, goes on where it ended, and posts", async (t) => {
  if (!needProgram(t, "wget")) return;
  const folder = await temporaryFolder(t);
  const wget = async (...args: string[]): Promise<Finished> => {
    const finished = await run("wget", ["-q", `--ca-certificate=${caFile}`, ...args], {
      cwd: folder,
    });
    assert.equal(finished.code, 0, finished.stderr);
    return finished;
  };
  await wget(`${base}/file`);
  const file = join(folder, "file");
  assert.deepEqual(await readFile(file), FILE);
  await truncate(file, 100_001);
  await wget("-c", `${base}/file`);
  assert.deepEqual(await readFile(file), FILE);
  const { stdout } = await wget("-O", "-", `--post-file=${file}`, `${base}/echo`);
  assert.equal(stdout, "POST /echo 300000");
});

test("wrk's requests are all answered", async (t) => {
  if (!needProgram(t, "wrk")) return;
  const args = ["-t", "2", "-c", "20", "-d", "2s", `${base}/echo`];
  const { stdout, stderr } = await run("wrk", args, { timeout: RUN_MS });
  assert.match(stdout, /\n\s*[1-9]\d* requests in /, stderr);
  assert.doesNotMatch(stdout, /Socket errors|Non-2xx/);
});

test("openssl s_client gets a page, with each version of TLS", async (t) => {
  if (!needProgram(t, "openssl")) return;
  for (const [version, name] of [["-tls1_2", "TLSv1.2"], ["-tls1_3", "TLSv1.3"]] as const) {
    const { stdout } = await run("openssl", [
      ...["s_client", "-connect", `localhost:${centauri.httpsPort}`, "-servername", "localhost"],
      ...["-CAfile", caFile, "-verify_return_error", "-alpn", "http/1.1", "-ign_eof", version],
    ], { input: "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" });
    assert.match(stdout, new RegExp(`Protocol *: ${name}|New, ${name}`));
    assert.match(stdout, /Verification: OK/);
    assert.match(stdout, /ALPN protocol: http\/1\.1/);
    assert.match(stdout, /HTTP\/1\.1 200 OK\r?\n[^]*GET \/echo 0/);
  }
});

test("Python's clients get, upload, take ranges and share connections", async (t) => {
  if (!needProgram(t, "python3")) return;
  const script = join(root, "test/clients/client.py");
  const args = [script, String(centauri.httpsPort), caFile];
  const { stdout, stderr } = await run("python3", args, { timeout: RUN_MS });
  assert.deepEqual(stdout.trim().split("\n"), [
    "kept_alive: 50 requests over 1 connection",
    "chunked_upload: PUT /echo 3000000",
    "head_and_ranges: 200 300000 206 0123456789",
    "urllib_form: POST /echo 7",
    "error_status: 404 nothing here",
    "side_by_side: {300000}",
  ], stderr);
});

test("Go's client gets, uploads, takes trailers and does much at once", async (t) => {
  if (findProgram("go") === undefined) return t.skip("skipped: Go is not installed");
  const folder = await temporaryFolder(t);
  const program = join(folder, "client");
  const env = { PATH, HOME, SSL_CERT_FILE: caFile, GOFLAGS: "-mod=mod", GOTOOLCHAIN: "local" };
  const source = join(root, "test/clients/client.go");
  const built = await run("go", ["build", "-o", program, source], { env, timeout: RUN_MS });
  assert.equal(built.code, 0, built.stderr);
  for (const protocol of ["HTTP/1.1", "HTTP/2.0"]) {
    const args = [String(centauri.httpsPort), protocol];
    const { stdout, stderr } = await run(program, args, { env, timeout: RUN_MS });
    assert.deepEqual(stdout.trim().split("\n"), [
      `get: ${protocol} GET /echo?a 0`,
      "chunked upload: PUT /echo 3000000",
      "expecting to continue: POST /echo 100000",
      "trailers: 12",
      "side by side: 0 of 200 failed",
    ], stderr);
  }
});

const ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 section 1.3

/** A WebSocket that sends each masked frame of up to 64 KiB back. */
async function echo(head: string, peer: Wire): Promise<void> {
  const [, key = ""] = /^sec-websocket-key: (.*)\r$/im.exec(head) ?? [];
  const accept = createHash("sha1").update(key + ACCEPT).digest("base64");
  peer.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  for (;;) {
    const [type = "", size = ""] = await peer.read(2);
    let length = size.charCodeAt(0) & 127;
    const extended = length === 126 ? await peer.read(2) : "";
    if (extended !== "") length = Buffer.from(extended, "latin1").readUInt16BE();
    const mask = Buffer.from(await peer.read(4), "latin1");
    const data = Buffer.from(await peer.read(length), "latin1").map((byte, i) =>
      byte ^ mask[i % 4]
    );
    const start = type + String.fromCharCode(extended === "" ? length : 126) + extended;
    peer.write(start + Buffer.from(data).toString("latin1"));
    if ((type.charCodeAt(0) & 15) === 8) return;
  }
}

const PAGE = `<!DOCTYPE html><meta charset="utf-8"><title>x</title><script>
const told = {};
const say = (text) => fetch("/report", { method: "POST", body: text });
async function tell() {
  told.protocol = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  const upload = { method: "POST", body: new Blob(["x".repeat(3e6)]) };
  told.upload = await (await fetch("/upload", upload)).text();
  const form = new FormData();
  form.set("file", new Blob(["y".repeat(1e6)]), "\\u00e9.bin");
  told.form = await (await fetch("/form", { method: "POST", body: form })).text();
  const part = await fetch("/range", { headers: { Range: "bytes=5-9" } });
  told.range = [part.status, part.headers.get("Content-Range"), await part.text()].join(" ");
  told.events = await new Promise((resolve) => {
    const events = new EventSource("/events"), all = [];
    events.onmessage = ({ data, lastEventId }) => {
      all.push(lastEventId + data);
      fetch("/more");
      if (all.length < 4) return;
      events.close();
      resolve(all.join());
    };
  });
  told.socket = await new Promise((resolve) => {
    const socket = new WebSocket("wss://" + location.host + "/socket"), sizes = [];
    const messages = ["a", "b".repeat(200), "c".repeat(60000)];
    socket.onopen = () => messages.forEach((message) => socket.send(message));
    socket.onerror = () => resolve("failed");
    socket.onmessage = ({ data }) => {
      sizes.push(data === messages[sizes.length] ? data.length : "another");
      if (sizes.length === 3) socket.close(1000);
    };
    socket.onclose = ({ code }) => resolve(sizes.join() + " " + code);
  });
}
tell().then(() => say(JSON.stringify(told)), (error) => say(error.stack + JSON.stringify(told)));
</script>`;

/** What the page says, from a site that sends an event each time that it has seen the last one. */
async function browse(t: TestContext, ...flags: string[]): Promise<string> {
  let told = (_: string): void => {};
  const report = new Promise<string>((resolve) => told = resolve);
  let seen = (): void => {};
  const site = await startServer(t, async ({ head, body }, peer) => {
    const [, target] = head.split(" ");
    if (target === "/") return ok(PAGE, "Content-Type: text/html\r\n");
    if (target === "/report") told(body);
    if (target === "/upload") return ok(`${body.length}`);
    if (target === "/form") {
      return ok(`${body.match(/y{9,}/)?.[0].length} ${body.includes('filename="\xc3\xa9.bin"')}`);
    }
    if (target === "/range") {
      const range = "Content-Range: bytes 5-9/10\r\n";
      return /^range: bytes=5-9\r$/im.test(head)
        ? ok("56789", range).replace("200 OK", "206 Partial Content")
        : ok("no range");
    }
    if (target === "/more") seen();
    if (target === "/socket") return void await echo(head, peer).catch(() => {});
    if (target !== "/events") return ok("");
    peer.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    for (let i = 1; i <= 4; i++) {
      const next = new Promise<void>((resolve) => seen = resolve);
      peer.write(`id: ${i}\ndata: e\n\n`);
      await next;
    }
    await peer.readToEnd();
    return undefined;
  });
  const program = await startCentauri(t, {
    routes: `route a.example\n  upstream ${site.name}\n`,
  });
  const browser = spawn(findProgram("chromium") as string, [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    ...["--no-first-run", "--disable-background-networking", "--disable-component-update"],
    ...["--ignore-certificate-errors", `--user-data-dir=${await temporaryFolder(t)}`, ...flags],
    "--host-resolver-rules=MAP a.example 127.0.0.1, MAP * ~NOTFOUND",
    `https://a.example:${program.httpsPort}/`,
  ], { stdio: "ignore" });
  const ended = once(browser, "exit");
  const timer = setTimeout(() => told("nothing in time"), RUN_MS);
  const said = await report;
  clearTimeout(timer);
  browser.kill();
  await ended;
  return said;
}

for (const [protocol, flags] of [["h2", []], ["http/1.1", ["--disable-http2"]]] as const) {
  test(`Chromium uploads, takes ranges, events and messages over ${protocol}`, async (t) => {
    if (!needProgram(t, "chromium")) return;
    t.after(await holdInterfaces());
    const said = await browse(t, ...flags);
    assert.deepEqual(said.startsWith("{") ? JSON.parse(said) : said, {
      protocol,
      upload: "3000000",
      form: "1000000 true",
      range: "206 bytes 5-9/10 56789",
      events: "1e,2e,3e,4e",
      socket: "1,200,60000 1000",
    });
  });
}
