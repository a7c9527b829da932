/**
 * Half an hour of what a busy site does to Centauri: mixed traffic over HTTP/1.1 and HTTP/2, each
 * answer checked byte for byte, while every second upstreams come and go, routes are reloaded and a
 * certificate is swapped. Fails when one request failed, or when memory or descriptors grew.
 *
 *     npm run soak -- [--minutes 30] [--workers 1] [--runtime node24path …]
 *
 * `--runtime`: what runs Centauri, a path to node or deno; default: what runs this.
 */
import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import tls from "node:tls";
import { parseArgs } from "node:util";
import { CertificateStore, ZERO_TIME } from "../lib/store.ts";
import { readCertificate, selfSigned } from "../lib/x509.ts";
import { type Program, type Runtime, startProgram, thisRuntime } from "./support.ts";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    workers: { type: "string", default: "1" },
    runtime: { type: "string" },
  },
});

const NAMES = ["a.test", "b.test", "c.test"];
const UPSTREAMS = 3;
const CLIENTS = 6; // of each kind
const TICK = 1_000; // ms between two reloads
const SAMPLE = 5_000; // ms between two looks at memory and descriptors
/** What the last third may have more than the second: memory as a share, descriptors as a number. */
const MEMORY_GROWTH = 1.15;
const DESCRIPTOR_GROWTH = 20;

const cleanUp: (() => unknown)[] = [];
const scope = { after: (clean: () => unknown): void => void cleanUp.unshift(clean) };

interface Upstream {
  readonly port: number;
  /** Lets what is in flight end. */
  close(): void;
}

/** Answers with as many bytes as asked for, with what it was sent, or as a tunnel. */
async function startUpstream(): Promise<Upstream> {
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://upstream");
    if (pathname === "/echo") return void request.pipe(response);
    request.resume();
    const size = Number(searchParams.get("size") ?? 5);
    if (pathname === "/bytes") {
      response.setHeader("Content-Length", size);
      return void response.end(Buffer.alloc(size, "x"));
    }
    let pieces = 10; // one after another, without a length, as events come
    const next = (): void => {
      if (pieces-- === 0) return void response.end();
      response.write("x".repeat(size));
      globalThis.setTimeout(next, 20);
    };
    next();
  });
  server.on("upgrade", (request, socket) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${request.headers.upgrade}\r\n` +
        "Connection: upgrade\r\n\r\n",
    );
    socket.on("error", () => {}).pipe(socket);
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  scope.after(() => server.close().closeAllConnections());
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

const hash = (bytes: string | Buffer): string => createHash("sha256").update(bytes).digest("hex");

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

type Ask = (path: string, body?: Buffer) => Promise<Answer>;

/** Over HTTP/1.1, on connections that are kept or on a new one for each. */
function http1Client(port: number, name: string, keepAlive: boolean): Ask {
  const agent = new https.Agent({ keepAlive, maxSockets: 2 });
  scope.after(() => agent.destroy());
  return (path, body) =>
    new Promise((resolve, reject) => {
      const method = body === undefined ? "GET" : "POST";
      const to = { host: "127.0.0.1", port, path, method, agent, rejectUnauthorized: false };
      const sent = https.request({ ...to, servername: name, headers: { host: name } }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", reject);
        answer.on("end", () => {
          if (!answer.complete) return reject(new Error("the answer was cut"));
          resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks) });
        });
      });
      sent.on("error", reject).end(body);
    });
}

/** Over HTTP/2, a hundred requests on each connection. */
function http2Client(port: number, name: string): Ask {
  let session: http2.ClientHttp2Session | undefined;
  let count = 0;
  scope.after(() => session?.destroy());
  const open = (): http2.ClientHttp2Session => {
    const old = session; // may have requests that wait for the next turn
    globalThis.setTimeout(() => old?.close(), 1_000);
    session = http2.connect(`https://${name}:${port}`, {
      ...{ servername: name, rejectUnauthorized: false },
      createConnection: () =>
        tls.connect({
          ...{ host: "127.0.0.1", port, servername: name, rejectUnauthorized: false },
          ALPNProtocols: ["h2"],
        }),
    });
    return session.on("error", () => {}); // its requests tell
  };
  return (path, body) =>
    new Promise((resolve, reject) => {
      const session = count++ % 100 === 0 ? open() : undefined;
      const stream = (session ?? current()).request({
        ...{ ":path": path, ":authority": name },
        ":method": body === undefined ? "GET" : "POST",
      });
      const chunks: Buffer[] = [];
      let status = 0;
      stream.on("response", (fields) => status = Number(fields[":status"]));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", reject);
      stream.on("close", () => {
        if (stream.rstCode !== 0) return reject(new Error(`reset with ${stream.rstCode}`));
        resolve({ status, body: Buffer.concat(chunks) });
      });
      stream.end(body);
    });
  function current(): http2.ClientHttp2Session {
    return session ?? open();
  }
}

/** A tunnel that sends and gets back some messages. */
async function tunnel(port: number, name: string): Promise<void> {
  const socket = tls.connect({
    ...{ host: "127.0.0.1", port, servername: name, rejectUnauthorized: false },
    ALPNProtocols: ["http/1.1"],
  });
  const message = randomBytes(3_000).toString("hex");
  socket.write(
    `GET /tunnel HTTP/1.1\r\nHost: ${name}\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n`,
  );
  let text = "";
  let sent = 0;
  for await (const chunk of socket.setEncoding("latin1")) {
    text += chunk;
    const headEnd = text.indexOf("\r\n\r\n") + 4;
    if (headEnd < 4) continue;
    assert.match(text, /^HTTP\/1\.1 101 /);
    if (text.length - headEnd < sent * message.length) continue;
    if (sent++ === 5) break;
    socket.write(message);
    await setTimeout(50);
  }
  socket.destroy();
  assert.equal(sent, 6, "the tunnel was cut");
}

/** One after another until it is told to stop; what fails is noted and goes on. */
class Traffic {
  stopping = false;
  count = 0;
  readonly failures: string[] = [];

  async repeat(what: string, work: () => Promise<void>): Promise<void> {
    while (!this.stopping) {
      await work().catch((error: Error) => {
        this.failures.push(`${new Date().toISOString()} ${what}: ${error.message}`);
        if (this.failures.length === 100) this.stopping = true;
      });
      this.count++;
    }
  }

  begin(port: number): Promise<unknown> {
    const upload = randomBytes(256 * 1024);
    const uploadHash = hash(upload);
    const check = async (answer: Promise<Answer>, size: number, sum?: string): Promise<void> => {
      const { status, body } = await answer;
      assert.equal(status, 200);
      assert.equal(body.length, size);
      if (sum !== undefined) assert.equal(hash(body), sum);
    };
    const works = Array.from({ length: CLIENTS }, (_, i): [string, () => Promise<void>][] => {
      const name = NAMES[i % NAMES.length] as string;
      const [kept, fresh] = [http1Client(port, name, true), http1Client(port, name, false)];
      const multiplexed = http2Client(port, name);
      const mixed = (ask: Ask) => async (): Promise<void> => {
        await Promise.all([
          check(ask("/bytes?size=5"), 5),
          check(ask("/bytes?size=10240"), 10_240),
          check(ask("/echo", upload), upload.length, uploadHash),
        ]);
        await check(ask("/bytes?size=1048576"), 1_048_576);
        await setTimeout(20);
      };
      return [
        ["HTTP/1.1", mixed(kept)],
        ["HTTP/2", mixed(multiplexed)],
        ["a new connection", () => check(fresh("/bytes?size=10240"), 10_240)],
        ["events", () => check(multiplexed("/events?size=100"), 1_000)],
        ["a tunnel", () => tunnel(port, name)],
      ];
    });
    return Promise.all(works.flat().map(([what, work]) => this.repeat(what, work)));
  }
}

/** What changes each second. */
class Churn {
  reloads = 0;
  readonly #folder: string;
  readonly #upstreams: Upstream[] = [];
  readonly #store: CertificateStore;
  readonly #key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

  constructor(folder: string, store: CertificateStore) {
    this.#folder = folder;
    this.#store = store;
  }

  async change(): Promise<Upstream | undefined> {
    this.#upstreams.push(await startUpstream());
    const old = this.#upstreams.length > UPSTREAMS ? this.#upstreams.shift() : undefined;
    const lines = this.#upstreams.map(({ port }) => `  upstream 127.0.0.1:${port}\n`).join("");
    const routes = NAMES.map((name) => `route ${name}\n  provider selfsigned\n${lines}`);
    await writeFile(join(this.#folder, "centauri.conf"), routes.join(""));
    return old;
  }

  /** Saves a new certificate for the name; gives its serial number. */
  async swap(name: string): Promise<string> {
    const [from, to] = [Date.now() - 60_000, Date.now() + 30 * 86_400_000];
    const [notBefore, notAfter] = [from, to].map((ms) => new Date(Math.trunc(ms / 1000) * 1000));
    const certificate = selfSigned({
      ...{ names: [name], key: this.#key, serial: randomBytes(16) },
      ...{ notBefore: notBefore as Date, notAfter: notAfter as Date },
    });
    await this.#store.save({
      ...{ provider: "selfsigned", issuer: "", certificate, subject: name, altNames: null },
      privateKey: String(this.#key.export({ type: "sec1", format: "pem" })),
      ...{ notAfter: (notAfter as Date).toISOString(), ocspResponse: null },
      ...{ nextOcspUpdate: ZERO_TIME, ariNextUpdate: ZERO_TIME, ariRenewalTime: ZERO_TIME },
      ariExplanation: "",
    });
    return readCertificate(certificate).serial.toString("hex").replace(/^0+/, "");
  }
}

function servedSerial(port: number, servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
    socket.on("error", reject).on("secureConnect", () => {
      resolve(socket.getPeerCertificate().serialNumber.toLowerCase().replace(/^0+/, ""));
      socket.destroy();
    });
  });
}

/** Of a process and its children: resident memory in MiB, and open descriptors. */
async function look(pid: number): Promise<{ memory: number; descriptors: number }> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  let [memory, descriptors] = [0, 0];
  for (const each of [String(pid), ...children.split(" ").filter((one) => one !== "")]) {
    const status = await readFile(`/proc/${each}/status`, "utf8");
    memory += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    descriptors += (await readdir(`/proc/${each}/fd`)).length;
  }
  return { memory, descriptors };
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

function runtimeOf(path: string): Runtime {
  const [, kind, version = ""] = /^(?:(deno) |v)([\d.]+)/.exec(
    execFileSync(path, ["--version"], { encoding: "utf8" }),
  ) ?? [];
  return { path, kind: kind === "deno" ? "deno" : "node", version };
}

async function start(folder: string): Promise<{ centauri: Program; port: number; churn: Churn }> {
  const storeFile = join(folder, "certs.json");
  const store = await CertificateStore.open(storeFile, () => new Date());
  const churn = new Churn(folder, store);
  for (let i = 0; i < UPSTREAMS; i++) await churn.change();
  for (const name of NAMES) await churn.swap(name);
  const centauri = startProgram(scope, "centauri.ts", {
    args: ["--workers", options.workers],
    runtime: options.runtime === undefined ? thisRuntime : runtimeOf(options.runtime),
    env: {
      ...{ CONFIG: join(folder, "centauri.conf"), CERTIFICATE_STORE: storeFile },
      ...{ HTTPS_PORT: "0", HTTP_PORT: "0", LOG_FORMAT: "json" },
    },
  });
  const { port } = await centauri.waitForLog(({ service }) => service === "https", 60_000);
  return { centauri, port: port as number, churn };
}

async function soak(folder: string): Promise<string[]> {
  const { centauri, port, churn } = await start(folder);
  const traffic = new Traffic();
  const over = traffic.begin(port);
  const until = Date.now() + Number(options.minutes) * 60_000;
  const samples: { memory: number; descriptors: number }[] = [];
  for (let next = Date.now(); Date.now() < until && !traffic.stopping;) {
    const name = NAMES[churn.reloads % NAMES.length] as string;
    const [old, serial] = [await churn.change(), await churn.swap(name)];
    const from = centauri.logs.length;
    centauri.signal("SIGHUP");
    await centauri.waitForLog(({ msg }) => msg === "routes loaded", 20_000, from);
    old?.close();
    churn.reloads++;
    const served = await servedSerial(port, name);
    if (served !== serial) traffic.failures.push(`${name}: serial ${served}, not ${serial}`);
    if (Date.now() >= next) {
      samples.push(await look(centauri.pid));
      const { memory = 0, descriptors = 0 } = samples.at(-1) ?? {};
      if (samples.length % 12 === 1) {
        process.stdout.write(
          `${new Date().toISOString()} ${traffic.count} rounds, ${churn.reloads} reloads, ` +
            `${traffic.failures.length} failures, ${memory.toFixed(0)} MiB, ${descriptors} files\n`,
        );
      }
      next = Date.now() + SAMPLE;
    }
    await setTimeout(TICK);
  }
  traffic.stopping = true;
  await over;
  if (await centauri.stop() !== 0) traffic.failures.push("Centauri didn't end well");
  const bad = centauri.logs.filter((line) => /"level":"(WARN|ERROR)"/i.test(line));
  return [...traffic.failures, ...bad, ...growth(samples)];
}

/** The first third is the warm-up. */
function growth(samples: readonly { memory: number; descriptors: number }[]): string[] {
  const third = Math.floor(samples.length / 3);
  const [middle, last] = [samples.slice(third, 2 * third), samples.slice(2 * third)];
  const faults: string[] = [];
  const [m1, m2] = [middle, last].map((part) => median(part.map(({ memory }) => memory)));
  const [d1, d2] = [middle, last].map((part) => median(part.map((one) => one.descriptors)));
  const figures = `memory ${m1?.toFixed(0)} to ${m2?.toFixed(0)} MiB, descriptors ${d1} to ${d2}`;
  process.stdout.write(`medians of the second and the last third: ${figures}\n`);
  if ((m2 ?? 0) > (m1 ?? 0) * MEMORY_GROWTH) faults.push(`memory grew: ${figures}`);
  if ((d2 ?? 0) > (d1 ?? 0) + DESCRIPTOR_GROWTH) faults.push(`descriptors grew: ${figures}`);
  return faults;
}

const folder = await mkdtemp(join(tmpdir(), "centauri-soak-"));
scope.after(() => rm(folder, { recursive: true, force: true }));
const faults = await soak(folder).finally(async () => {
  for (const clean of cleanUp) await clean();
});
for (const fault of faults.slice(0, 50)) process.stdout.write(`${fault}\n`);
process.stdout.write(faults.length === 0 ? "well\n" : `${faults.length} faults\n`);
process.exit(faults.length === 0 ? 0 : 1);
