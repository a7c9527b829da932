/**
 * Servers that others wrote, for the tests of certificates: Pebble (an ACME CA), pebble-challtestsrv
 * (a DNS server that answers what it is told) and BIND's named (a resolver and primary that takes
 * signed updates). Each listens on 127.0.0.1 at ports that the system gave, and ends with its test.
 * Each `start…` gives undefined, and has skipped the test, when its program isn't installed.
 *
 * What Debian's Pebble 2.4 can't do is in ca.ts.
 */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes, randomInt } from "node:crypto";
import dgram from "node:dgram";
import { promises as dns } from "node:dns";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { selfSigned } from "../lib/x509.ts";
import { findProgram, needProgram, run, temporaryFolder } from "./support.ts";

const LOCALHOST = "127.0.0.1";
const LOWEST_PORT = 10_000;
const START_MS = 60_000;
const REQUEST_MS = 30_000;
const TRIES = 5; // somebody else may take a free port before the program has it
const DAY = 86_400_000;

/** A program that runs beside the test. */
export interface Peer {
  readonly pid: number;
  /** Each line it wrote so far. */
  readonly output: readonly string[];
  /** Kills it, and resolves when it is gone. The end of the test does that too. */
  stop(): Promise<void>;
}

/**
 * Port numbers that were free a moment ago, for TCP and for UDP, all different: for a server whose
 * port somebody has to know before it starts, or again after it has ended. They are below those
 * that the system gives to connections, one of which could take a port in between.
 */
export async function freePorts(count: number): Promise<number[]> {
  const open: (net.Server | dgram.Socket)[] = [];
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(LOWEST_PORT, firstEphemeralPort());
    const tcp = net.createServer();
    const udp = dgram.createSocket("udp4");
    const bound = [
      new Promise((resolve) =>
        tcp.once("error", () => resolve(false)).listen(port, () => resolve(true))
      ),
      new Promise((resolve) =>
        udp.once("error", () => resolve(false)).bind(port, () => resolve(true))
      ),
    ];
    const [isTcp, isUdp] = await Promise.all(bound);
    if (isTcp) open.push(tcp);
    if (isUdp) open.push(udp);
    if (isTcp && isUdp) ports.push(port);
  }
  // Under Deno 2.9 a UDP port stays taken until the event.
  await Promise.all(open.map((socket) => {
    const closed = once(socket, "close");
    socket.close();
    return closed;
  }));
  return ports;
}

/** Linux says where its range begins; elsewhere the IANA's begins higher than this. */
function firstEphemeralPort(): number {
  const path = "/proc/sys/net/ipv4/ip_local_port_range";
  return existsSync(path) ? Number(readFileSync(path, "utf8").split("\t")[0]) : 32_768;
}

/** Starts the program and waits until `answers` resolves; rejects with its output if it doesn't. */
async function startPeer(
  t: TestContext,
  name: string,
  args: readonly string[],
  options: { cwd: string; env?: Readonly<Record<string, string>> },
  answers: () => Promise<unknown>,
): Promise<Peer> {
  const env = { PATH: process.env.PATH ?? "", HOME: options.cwd, ...options.env };
  const child = spawn(findProgram(name) ?? name, args, { ...options, env, stdio: "pipe" });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      output.push(...lines);
    });
  }
  const over = new AbortController();
  const ended = new Promise<void>((resolve) => {
    child.once("error", (error) => output.push(error.message)).once("close", () => resolve());
    child.once("error", () => resolve());
  }).then(() => over.abort());
  const kill = (): void => void (over.signal.aborted || child.kill("SIGKILL"));
  process.once("exit", kill);
  const stop = async (): Promise<void> => {
    kill();
    await ended;
    process.off("exit", kill);
  };
  t.after(stop);
  for (const start = Date.now();; await setTimeout(20)) {
    const up = await answers().then(() => true, () => false);
    if (up && !over.signal.aborted) return { pid: child.pid as number, output, stop };
    if (!over.signal.aborted && Date.now() - start < START_MS) continue;
    await stop();
    throw new Error(`${name} doesn't answer:\n${output.join("\n")}`);
  }
}

/** Another try with other ports if the program found one taken. */
async function withPorts<T>(count: number, start: (ports: number[]) => Promise<T>): Promise<T> {
  for (let tries = 1;; tries++) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      if (tries === TRIES || !/address (already )?in use/i.test(String(error))) throw error;
    }
  }
}

/** One request on a connection of its own; `ca` is what its certificate is checked against. */
export function fetchText(
  url: string,
  options: { method?: string; body?: string; ca?: string } = {},
): Promise<{ status: number; body: string }> {
  const { body = "", ca, method = "GET" } = options;
  const { request } = url.startsWith("https:") ? https : http;
  return new Promise((resolve, reject) => {
    const length = Buffer.byteLength(body);
    const settings = { method, agent: false, headers: { "content-length": length } };
    const sent = request(url, ca === undefined ? settings : { ...settings, ca }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => text += part).on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: text }));
    });
    sent.setTimeout(REQUEST_MS, () => sent.destroy(new Error(`${url}: no answer`)));
    sent.on("error", reject).end(body);
  });
}

export interface PebbleOptions {
  /** Where it validates, on the address that the name has. */
  readonly httpPort: number;
  readonly tlsPort: number;
  /** `host:port` of the only DNS server it asks; the system's resolver otherwise. */
  readonly dnsServer?: string;
  /** External accounts, key id => MAC key in base64url; an account needs one if any are given. */
  readonly eab?: Readonly<Record<string, string>>;
  /** PEBBLE_…; by default it neither sleeps, nor refuses good nonces, nor (but for 1 %) reuses. */
  readonly env?: Readonly<Record<string, string>>;
  /** More of the `pebble` object in its configuration, such as `certificateValidityPeriod`. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly strict?: boolean;
  /** Where it listens; default 127.0.0.1. */
  readonly address?: string;
}

export interface Pebble extends Peer {
  /** The URL of the directory, on host `localhost` or the address that was given. */
  readonly directory: string;
  /** PEM: what the API's own certificate is checked against; and a file with it. */
  readonly apiRoot: string;
  readonly apiRootFile: string;
  /** PEM of the root of the issued chains; `chain` above 0 with PEBBLE_ALTERNATE_ROOTS. */
  root(chain?: number): Promise<string>;
  /** PEM of the intermediate below it. */
  intermediate(chain?: number): Promise<string>;
  /** What it knows of a certificate, such as `Status: "Revoked"`, by its serial number in hex. */
  certificateStatus(serial: string): Promise<Readonly<Record<string, unknown>>>;
}

export async function startPebble(
  t: TestContext,
  options: PebbleOptions,
): Promise<Pebble | undefined> {
  if (!needProgram(t, "pebble")) return undefined;
  const folder = await temporaryFolder(t);
  const apiRootFile = join(folder, "api.pem");
  const { address = LOCALHOST } = options;
  const apiRoot = await writeApiCertificate(apiRootFile, join(folder, "api.key"), address);
  return withPorts(2, async ([port, managementPort]) => {
    const configFile = join(folder, "pebble.json");
    const config = {
      listenAddress: `${address}:${port}`,
      managementListenAddress: `${address}:${managementPort}`,
      certificate: apiRootFile,
      privateKey: join(folder, "api.key"),
      httpPort: options.httpPort,
      tlsPort: options.tlsPort,
      ocspResponderURL: "",
      externalAccountBindingRequired: options.eab !== undefined,
      externalAccountMACKeys: options.eab ?? {},
      ...options.config,
    };
    await writeFile(configFile, JSON.stringify({ pebble: config }));
    const { dnsServer, strict = false } = options;
    const dnsArgs = dnsServer === undefined ? [] : ["-dnsserver", dnsServer];
    const env = { PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0", PEBBLE_AUTHZREUSE: "0" };
    const host = address === LOCALHOST ? "localhost" : address;
    const directory = `https://${host}:${port}/dir`;
    const get = async (url: string): Promise<string> => {
      const { status, body } = await fetchText(url, { ca: apiRoot });
      if (status !== 200) throw new Error(`pebble answered ${status} to ${url}: ${body}`);
      return body;
    };
    const manage = (path: string): Promise<string> =>
      get(`https://${host}:${managementPort}/${path}`);
    const peer = await startPeer(
      t,
      "pebble",
      ["-config", configFile, `-strict=${strict}`, ...dnsArgs],
      { cwd: folder, env: { ...env, ...options.env } },
      () => Promise.all([get(directory), manage("roots/0")]),
    );
    return {
      ...peer,
      directory,
      apiRoot,
      apiRootFile,
      root: (chain = 0) => manage(`roots/${chain}`),
      intermediate: (chain = 0) => manage(`intermediates/${chain}`),
      certificateStatus: async (serial) =>
        JSON.parse(await manage(`cert-status-by-serial/${serial}`)),
    };
  });
}

/** A certificate of its own for `localhost` and an address, which is its own root. */
async function writeApiCertificate(
  certificateFile: string,
  keyFile: string,
  address: string,
): Promise<string> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const now = Math.trunc(Date.now() / 1000) * 1000;
  const pem = selfSigned({
    names: ["localhost", address],
    key: privateKey,
    serial: randomBytes(16),
    notBefore: new Date(now - DAY),
    notAfter: new Date(now + DAY),
  });
  await writeFile(certificateFile, pem);
  await writeFile(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  return pem;
}

/** Names are given without a dot at their end. Each call resolves when it holds. */
export interface Challtestsrv extends Peer {
  /** `127.0.0.1:port`, UDP and TCP. It has no SOA: nobody can find a zone in it. */
  readonly dnsServer: string;
  /** For scripts: `POST …/set-txt`. */
  readonly managementUrl: string;
  /** One more value at the name. */
  setTxt(name: string, value: string): Promise<void>;
  clearTxt(name: string): Promise<void>;
  /** Instead of the default, which is 127.0.0.1 and no IPv6 address for every name. */
  addA(name: string, ...addresses: readonly string[]): Promise<void>;
  addAaaa(name: string, ...addresses: readonly string[]): Promise<void>;
  addCaa(name: string, ...policies: readonly { tag: string; value: string }[]): Promise<void>;
  setCname(name: string, target: string): Promise<void>;
  setServfail(name: string): Promise<void>;
  /** Any other: `clear-a`, `clear-caa`, `clear-cname`, `clear-servfail`, `set-default-ipv4`, … */
  manage(call: string, body: Readonly<Record<string, unknown>>): Promise<string>;
  /** The questions it got about a name, as it tells them. */
  dnsQueries(name: string): Promise<readonly unknown[]>;
}

export async function startChalltestsrv(t: TestContext): Promise<Challtestsrv | undefined> {
  if (!needProgram(t, "pebble-challtestsrv")) return undefined;
  const cwd = await temporaryFolder(t);
  return withPorts(2, async ([dnsPort, managementPort]) => {
    const dnsServer = `${LOCALHOST}:${dnsPort}`;
    const management = `${LOCALHOST}:${managementPort}`;
    const manage: Challtestsrv["manage"] = async (call, value) => {
      const body = JSON.stringify(value);
      const answer = await fetchText(`http://${management}/${call}`, { method: "POST", body });
      if (answer.status === 200) return answer.body;
      throw new Error(`pebble-challtestsrv answered ${answer.status} to ${call}: ${answer.body}`);
    };
    const call = async (name: string, host: string, more: object = {}): Promise<void> => {
      await manage(name, { host: `${host}.`, ...more });
    };
    const resolver = resolverAt(dnsServer);
    const peer = await startPeer(
      t,
      "pebble-challtestsrv",
      // The other three servers answer challenges by themselves; here that's what is tested.
      ["-dns01", dnsServer, "-management", management, "-defaultIPv6", ""].concat(
        ["-http01", "", "-https01", "", "-tlsalpn01", ""],
      ),
      { cwd },
      () => Promise.all([manage("clear-a", { host: "a." }), resolver.resolve4("start.test")]),
    );
    return {
      ...peer,
      dnsServer,
      managementUrl: `http://${management}`,
      setTxt: (name, value) => call("set-txt", name, { value }),
      clearTxt: (name) => call("clear-txt", name),
      addA: (name, ...addresses) => call("add-a", name, { addresses }),
      addAaaa: (name, ...addresses) => call("add-aaaa", name, { addresses }),
      addCaa: (name, ...policies) => call("add-caa", name, { policies }),
      setCname: (name, target) => call("set-cname", name, { target: `${target}.` }),
      setServfail: (name) => call("set-servfail", name),
      manage,
      dnsQueries: async (name) =>
        JSON.parse(await manage("dns-request-history", { host: name })) ?? [], // the one call without the dot
    };
  });
}

function resolverAt(server: string): InstanceType<typeof dns.Resolver> {
  const resolver = new dns.Resolver({ timeout: 1_000, tries: 3 });
  resolver.setServers([server]);
  return resolver;
}

export interface NamedOptions {
  /**
   * Zone => lines of its file, with names relative to it: `www A 127.0.0.1`. What has no SOA gets
   * one, TTLs of a second, and `ns` as its name server, at 127.0.0.1.
   */
  readonly zones: Readonly<Record<string, string>>;
  /** Default `hmac-sha256`. */
  readonly algorithm?: string;
  /** What the key may change in each zone; by default TXT records at any name. */
  readonly policy?: string;
  /** More statements of `options { … }`. */
  readonly options?: string;
}

export interface Named extends Peer {
  /** `127.0.0.1:port`, UDP and TCP. It knows nothing beyond its zones, and asks nobody else. */
  readonly server: string;
  readonly port: number;
  /** TSIG: the key's name without a dot at its end, the algorithm, the secret in base64. */
  readonly keyName: string;
  readonly algorithm: string;
  readonly secret: string;
  /** A file with the key, for `nsupdate -k`. */
  readonly keyFile: string;
  /** The values at a name, strings of one record joined; [] if there are none. */
  lookupTxt(name: string): Promise<string[]>;
  /** Changes a zone by nsupdate and TSIG, in its words: `add www.a.test 1 TXT "x"`. */
  update(zone: string, ...changes: readonly string[]): Promise<void>;
}

export async function startNamed(
  t: TestContext,
  options: NamedOptions,
): Promise<Named | undefined> {
  if (!needProgram(t, "named")) return undefined;
  const folder = await temporaryFolder(t);
  const { algorithm = "hmac-sha256" } = options;
  const [keyName, secret] = ["acme", randomBytes(32).toString("base64")];
  const keyFile = join(folder, "acme.key");
  const key = `key "${keyName}" { algorithm ${algorithm}; secret "${secret}"; };\n`;
  await writeFile(keyFile, key, { mode: 0o600 });
  const zones = await writeZones(folder, options, keyName);
  return withPorts(1, async ([port = 0]) => {
    const server = `${LOCALHOST}:${port}`;
    const configFile = join(folder, "named.conf");
    await writeFile(configFile, namedConfig(folder, port, options.options) + key + zones);
    const resolver = resolverAt(server);
    const lookupTxt = (name: string): Promise<string[]> =>
      resolver.resolveTxt(name).then((records) => records.map((strings) => strings.join("")))
        .catch((error: NodeJS.ErrnoException) => {
          if (error.code === "ENODATA" || error.code === "ENOTFOUND") return [];
          throw error;
        });
    const peer = await startPeer(
      t,
      "named",
      ["-g", "-4", "-n", "1", "-c", configFile],
      { cwd: folder },
      () => lookupTxt("started"),
    );
    const update: Named["update"] = async (zone, ...changes) => {
      const lines = [`server ${LOCALHOST} ${port}`, `zone ${zone}`];
      const input = `${
        [...lines, ...changes.map((line) => `update ${line}`), "send"].join("\n")
      }\n`;
      const { code, stdout, stderr } = await run("nsupdate", ["-k", keyFile], { input });
      if (code !== 0) throw new Error(`nsupdate: ${stdout}${stderr}`);
    };
    return { ...peer, server, port, keyName, algorithm, secret, keyFile, lookupTxt, update };
  });
}

function namedConfig(folder: string, port: number, more = ""): string {
  return `options {
    directory "${folder}";
    listen-on port ${port} { ${LOCALHOST}; };
    listen-on-v6 { none; };
    pid-file "named.pid";
    session-keyfile "session.key";
    managed-keys-directory "${folder}";
    # Without recursion it wouldn't follow a CNAME from one of its zones into another.
    recursion yes;
    allow-recursion { any; };
    dnssec-validation no;
    empty-zones-enable no;
    notify no;
    ${more}
  };
  controls { };\n`;
}

/** The zones' files, and the statements that name them. */
async function writeZones(folder: string, options: NamedOptions, key: string): Promise<string> {
  const { policy = `grant ${key} zonesub TXT;` } = options;
  await mkdir(join(folder, "zones"));
  // With a root of its own, it has nobody to ask about other names: they don't exist.
  const root = options.zones["."] === undefined ? { ".": "started TXT yes" } : {};
  const zones = Object.entries({ ...root, ...options.zones });
  const statements = zones.map(async ([zone, lines], index) => {
    const file = join(folder, "zones", `${index}.zone`);
    const start = "$TTL 1\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A " + LOCALHOST;
    await writeFile(file, /\bSOA\b/.test(lines) ? `${lines}\n` : `${start}\n${lines}\n`);
    return `zone "${zone}" { type primary; file "${file}"; update-policy { ${policy} }; };\n`;
  });
  return (await Promise.all(statements)).join("");
}
