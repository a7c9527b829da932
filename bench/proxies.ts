/**
 * What the benchmark starts: an upstream, and Centauri and its peers in front of it, all with the
 * same certificate. Linux only.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { selfSigned } from "../lib/x509.ts";
import { findProgram, type Runtime, runtimeCommand } from "../test/support.ts";
import { nginxUpstream, PEERS } from "./peers.ts";

/** Proxies run on one core; the client and the upstream share the other. */
export const PROXY_CORE = "0";
export const CLIENT_CORE = "1";

const START_MS = 20_000;
const STOP_MS = 5_000;
const SIZES = { "10k": 10 * 1024, "1m": 1024 * 1024 };

export interface Contender {
  readonly name: string;
  readonly port: number;
  /** Of the process that was started; its children belong to it. */
  readonly pid: number;
}

/** A folder in memory where the system has one, and everything started in it, to be ended. */
export class Bench {
  readonly folder: string;
  readonly #children = new Set<ChildProcess>();
  readonly #certificate: string;
  readonly #key: string;
  readonly #notAfter = new Date(Date.now() + 30 * 86_400_000);

  constructor() {
    const memory = "/dev/shm";
    this.folder = fs.mkdtempSync(
      join(fs.existsSync(memory) ? memory : tmpdir(), "centauri-bench-"),
    );
    const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = key.export({ format: "pem", type: "sec1" }).toString();
    const serial = randomBytes(15);
    const period = { notBefore: new Date(), notAfter: this.#notAfter };
    this.#certificate = selfSigned({ names: ["localhost"], key, serial, ...period });
    this.write("cert.pem", this.#certificate);
    this.write("key.pem", this.#key);
    this.write("both.pem", this.#certificate + this.#key);
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    fs.writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** An nginx with the paths of `nginxUpstream`; resolves with its port. */
  async startUpstream(): Promise<number> {
    const port = await freePort();
    const folder = join(this.folder, "upstream");
    fs.mkdirSync(folder, { recursive: true });
    for (const [name, size] of Object.entries(SIZES)) {
      this.write(`upstream/${name}`, "x".repeat(size));
    }
    const config = this.write("upstream.conf", nginxUpstream(port, folder));
    const args = ["-p", this.folder, "-c", config];
    await this.#start("nginx", args, {}, CLIENT_CORE, () => canConnect(port));
    return port;
  }

  /**
   * Starts one of the peers, or Centauri under the runtime at `kind`, a path, with `routes` more
   * than the one that is asked for (0; peers have none), and options in `more`.
   */
  async startProxy(
    kind: string,
    upstream: number,
    routes = 0,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Contender> {
    const port = await freePort();
    const peer = PEERS.get(kind);
    const ready = (): Promise<boolean> => answers(port);
    if (peer === undefined) {
      const [program, args, env] = this.#centauri(kind, port, upstream, routes);
      const pid = await this.#start(program, args, { ...env, ...more }, PROXY_CORE, ready);
      return { name: nameOf(kind), port, pid };
    }
    const file = (name: string): string => join(this.folder, name);
    const config = this.write(`${kind}.conf`, peer.config({ port, upstream, file }));
    const env = { GOMAXPROCS: "1", HOME: this.folder };
    const args = peer.args(config, this.folder);
    return { name: nameOf(kind), port, pid: await this.#start(kind, args, env, PROXY_CORE, ready) };
  }

  #centauri(path: string, port: number, upstream: number, routes: number): Command {
    const name = `centauri-${port}`;
    const record = {
      provider: "selfsigned",
      privateKey: this.#key,
      certificate: this.#certificate,
      subject: "localhost",
      notAfter: this.#notAfter.toISOString(),
    };
    const names = [...Array.from({ length: routes }, (_, i) => `site${i}.example`), "localhost"];
    const text = names.map((one) => `route ${one}\n  upstream 127.0.0.1:${upstream}\n`).join("");
    const env = {
      CONFIG: this.write(`${name}.conf`, text),
      CERTIFICATE_STORE: this.write(`${name}.json`, JSON.stringify([record])),
      HTTPS_PORT: String(port),
      HTTP_PORT: "0",
      MAX_CONNECTIONS: "10000", // under Deno the default is less
    };
    const [program, ...args] = runtimeCommand("centauri.ts", identify(path));
    return [program, args, env];
  }

  /** Starts a program on one core; resolves with its pid when it is ready. */
  async #start(
    program: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    core: string,
    ready: () => Promise<boolean>,
  ): Promise<number> {
    const path = findProgram(program) ?? program;
    const child = spawn("taskset", ["-c", core, path, ...args], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.add(child);
    let output = "";
    let ended = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (text) => output = (output + text).slice(-4096));
    }
    child.on("error", () => ended = true).on("exit", () => ended = true);
    for (const start = Date.now(); !await ready(); await setTimeout(50)) {
      if (!ended && Date.now() - start < START_MS) continue;
      throw new Error(`${program} doesn't listen:\n${output}`);
    }
    return child.pid as number;
  }

  /** Ends every program, or the one with this pid. */
  async stop(pid?: number): Promise<void> {
    const chosen = [...this.#children].filter((child) => pid === undefined || child.pid === pid);
    await Promise.all(chosen.map(async (child) => {
      this.#children.delete(child);
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      process.kill(child.pid, "SIGTERM");
      await Promise.race([exited, setTimeout(STOP_MS, undefined, { ref: false })]);
      if (child.exitCode === null) child.kill("SIGKILL");
    }));
  }

  /** Ends every program and removes the folder. */
  async close(): Promise<void> {
    await this.stop();
    fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

type Command = [string, readonly string[], Readonly<Record<string, string>>];

/** A runtime by its path, or by its name in PATH. */
export function identify(name: string): Runtime {
  const path = name.includes("/") ? resolve(name) : findProgram(name) ?? name;
  const text = execFileSync(path, ["--version"], { encoding: "utf8" });
  const [, kind, version] = /^(v|deno )(\d+\.\d+\.\d+)/.exec(text) ?? [];
  if (version === undefined) throw new Error(`neither Node nor Deno: ${name}`);
  return { path, kind: kind === "v" ? "node" : "deno", version };
}

/** As the table calls it: a peer, or Centauri under the runtime at this path, with its version. */
export function nameOf(kind: string): string {
  const peer = PEERS.get(kind);
  if (peer === undefined) {
    const { kind: runtime, version } = identify(kind);
    return `Centauri, ${runtime === "node" ? "Node" : "Deno"} ${version}`;
  }
  const { stdout, stderr } = spawnSync(findProgram(kind) ?? kind, [peer.version]);
  const [version = ""] = /\d+(\.\d+)+/.exec(`${stdout}${stderr}`) ?? [];
  return `${peer.title} ${version}`;
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
  });
}

/** Whether a whole answer comes through. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { port, host: "localhost", path: "/small", rejectUnauthorized: false };
    https.get({ ...options, agent: false, timeout: 2_000 }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode === 200));
    }).on("error", () => resolve(false)).on("timeout", () => resolve(false));
  });
}
