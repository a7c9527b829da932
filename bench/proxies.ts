/**
 * What the benchmark starts: an upstream, and Centauri, nginx, HAProxy and Caddy in front of it,
 * each with one worker, the same certificate and the same TLS 1.3 suite. Linux only.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { selfSigned } from "../lib/x509.ts";
import { findProgram, type Runtime, runtimeCommand } from "../test/support.ts";

/** Proxies run on one core; the client and the upstream share the other. */
export const PROXY_CORE = "0";
export const CLIENT_CORE = "1";

const START_MS = 20_000;
const STOP_MS = 5_000;
const TICKS_A_SECOND = 100; // of /proc, whatever the kernel's own (USER_HZ, proc(5))
const SUITE = "TLS_AES_128_GCM_SHA256";

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

  /** An nginx with `/small`, 5 bytes, and `/10k`, 10 KiB; resolves with its port. */
  async startUpstream(): Promise<number> {
    const port = await freePort();
    fs.mkdirSync(join(this.folder, "upstream"));
    this.write("upstream/10k", "x".repeat(10 * 1024));
    const config = nginxConfig(`
      server {
        listen 127.0.0.1:${port};
        location = /small { default_type text/plain; return 200 "hello"; }
        location = /10k { root ${join(this.folder, "upstream")}; }
      }`);
    const args = ["-p", this.folder, "-c", this.write("upstream.conf", config)];
    const ready = () => canConnect(port);
    await this.#start("nginx", args, {}, CLIENT_CORE, ready);
    return port;
  }

  /** Starts one of the other programs, or Centauri under the runtime at `kind`, a path. */
  async startProxy(kind: string, upstream: number): Promise<Contender> {
    const port = await freePort();
    const { name, program, args, env } = this.#command(kind, port, upstream);
    const ready = (): Promise<boolean> => answers(port);
    return { name, port, pid: await this.#start(program, args, env, PROXY_CORE, ready) };
  }

  #command(kind: string, port: number, upstream: number): Command {
    const file = (name: string): string => join(this.folder, name);
    if (kind === "nginx") {
      const config = nginxConfig(`
        upstream up { server 127.0.0.1:${upstream}; keepalive 128; keepalive_requests 1000000000; }
        server {
          listen [::]:${port} ssl http2 ipv6only=off;
          ssl_certificate ${file("cert.pem")};
          ssl_certificate_key ${file("key.pem")};
          ssl_protocols TLSv1.2 TLSv1.3;
          ssl_conf_command Ciphersuites ${SUITE};
          client_max_body_size 0;
          proxy_request_buffering off;
          proxy_max_temp_file_size 0;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_set_header Host $http_host;
          proxy_set_header X-Forwarded-For $remote_addr;
          proxy_set_header X-Forwarded-Host $http_host;
          proxy_set_header X-Forwarded-Proto https;
          location / { proxy_pass http://up; }
        }`);
      const args = ["-p", this.folder, "-c", this.write("nginx.conf", config)];
      return { name: "nginx", program: "nginx", args, env: {} };
    }
    if (kind === "haproxy") {
      const config = HAPROXY.replaceAll("PORT", String(port)).replace("UP", String(upstream));
      const path = this.write("haproxy.cfg", config.replace("PEM", file("both.pem")));
      return { name: "haproxy", program: "haproxy", args: ["-db", "-f", path], env: {} };
    }
    if (kind === "caddy") {
      const path = this.write("Caddyfile", caddyConfig(port, upstream, file));
      const args = ["run", "--adapter", "caddyfile", "--config", path];
      const env = { GOMAXPROCS: "1", HOME: this.folder };
      return { name: "caddy", program: "caddy", args, env };
    }
    return this.#centauri(kind, port, upstream);
  }

  #centauri(path: string, port: number, upstream: number): Command {
    const runtime = identify(path);
    const name = `centauri, ${runtime.kind} ${runtime.version}`;
    const record = {
      provider: "selfsigned",
      privateKey: this.#key,
      certificate: this.#certificate,
      subject: "localhost",
      notAfter: this.#notAfter.toISOString(),
    };
    const env = {
      CONFIG: this.write(`${name}.conf`, `route localhost\n  upstream 127.0.0.1:${upstream}\n`),
      CERTIFICATE_STORE: this.write(`${name}.json`, JSON.stringify([record])),
      HTTPS_PORT: String(port),
      HTTP_PORT: "0",
    };
    const [program, ...args] = runtimeCommand("centauri.ts", runtime);
    return { name, program, args, env };
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

  /** Ends every program and removes the folder. */
  async close(): Promise<void> {
    await Promise.all([...this.#children].map(async (child) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      process.kill(child.pid, "SIGTERM");
      await Promise.race([exited, setTimeout(STOP_MS, undefined, { ref: false })]);
      if (child.exitCode === null) child.kill("SIGKILL");
    }));
    fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

interface Command {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A runtime by its path, or by its name in PATH. */
export function identify(name: string): Runtime {
  const path = name.includes("/") ? resolve(name) : findProgram(name) ?? name;
  const text = execFileSync(path, ["--version"], { encoding: "utf8" });
  const [, kind, version] = /^(v|deno )(\d+\.\d+\.\d+)/.exec(text) ?? [];
  if (version === undefined) throw new Error(`neither Node nor Deno: ${name}`);
  return { path, kind: kind === "v" ? "node" : "deno", version };
}

function nginxConfig(servers: string): string {
  const user = userInfo().uid === 0 ? "user root;" : "";
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const name = randomBytes(4).toString("hex");
  return `
    daemon off; worker_processes 1; pid ${name}.pid; error_log stderr; ${user}
    events { worker_connections 1024; }
    http {
      access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
      open_file_cache max=10;
      ${folders.map((folder) => `${folder}_temp_path ${name}-${folder};`).join(" ")}
      ${servers}
    }`;
}

const HAPROXY = `
global
  nbthread 1
  ssl-default-bind-ciphersuites ${SUITE}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 180s
  timeout server 180s
  http-reuse always
  option forwardfor
frontend tls
  bind :::PORT v4v6 ssl crt PEM alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Forwarded-Host %[req.hdr(Host)]
  default_backend up
backend up
  server up 127.0.0.1:UP
`;

function caddyConfig(port: number, upstream: number, file: (name: string) => string): string {
  return `
    {
      auto_https off
      admin off
      log default {
        level ERROR
      }
    }
    https://localhost:${port} {
      tls ${file("cert.pem")} ${file("key.pem")}
      reverse_proxy 127.0.0.1:${upstream} {
        transport http {
          keepalive_idle_conns_per_host 128
        }
      }
    }`;
}

async function freePort(): Promise<number> {
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

/** The process and all that descend from it. */
export function processTree(pid: number): number[] {
  const children = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter(
    (candidate) => readStat(candidate)?.[1] === String(pid),
  );
  return [pid, ...children.flatMap(processTree)];
}

/** User and system time of a process and its children since their start, in seconds. */
export function cpuSeconds(pid: number): number {
  const times = processTree(pid).map(readStat).map((stat) =>
    Number(stat?.[11]) + Number(stat?.[12])
  );
  return times.reduce((sum, time) => sum + (time || 0), 0) / TICKS_A_SECOND;
}

/** The fields of /proc/PID/stat after the name, which may have spaces and brackets in it. */
function readStat(pid: number): string[] | undefined {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined; // it has just ended
  }
}

/** The most memory that a process and its children had, each by itself. */
export function peakMiB(pid: number): number {
  const peaks = processTree(pid).map((one) => {
    const status = fs.readFileSync(`/proc/${one}/status`, "latin1");
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
  });
  return peaks.reduce((sum, peak) => sum + peak, 0) / 1024;
}
