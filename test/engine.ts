/**
 * A real Docker engine for tests: a dockerd of its own, in a temporary folder, with one image made
 * of busybox. Needs root, and Debian's packages docker.io and busybox-static.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { RunOptions, TestEngine } from "./dockerscenario.ts";
import { holdInterfaces } from "./interfaces.ts";
import { findProgram, needProgram, run, type Scope } from "./support.ts";

const START_MS = 60_000;
const STOP_MS = 60_000;
/** What the image has of busybox, besides its shell. */
const APPLETS = ["sh", "sleep", "echo", "cat", "false", "true", "kill", "httpd"];

/** Whether an engine can be started here; if not, as needProgram() has it. */
export function canStartEngine(t: TestContext): boolean {
  if (!["dockerd", "docker", "busybox"].every((name) => needProgram(t, name))) return false;
  if (process.getuid?.() === 0) return true;
  if (process.env.REQUIRE_PROGRAMS) assert.fail("dockerd needs root, and REQUIRE_PROGRAMS is set");
  t.skip("skipped: dockerd needs root");
  return false;
}

export class Engine implements TestEngine {
  readonly env: { readonly DOCKER_HOST: string };
  readonly folder: string;
  /** Milliseconds that a command of docker() may take. */
  timeout = 60_000;
  #child: ChildProcess | undefined;
  #output = "";
  /** Lets go of the interfaces; undefined until it makes a network. */
  #release: (() => void) | undefined;

  constructor(folder: string) {
    this.folder = folder;
    this.env = { DOCKER_HOST: `unix://${join(folder, "docker.sock")}` };
  }

  /** Runs `docker` against it; rejects if that fails; gives what it printed. */
  async docker(...args: string[]): Promise<string> {
    const env = { PATH: process.env.PATH ?? "", DOCKER_CONFIG: this.folder, ...this.env };
    const { code, stdout, stderr } = await run("docker", args, { env, timeout: this.timeout });
    if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${stderr}\n${this.#output}`);
    return stdout.trim();
  }

  /**
   * Without rules of a firewall and without docker0, which another engine may have. `hosts` is its
   * own /etc/hosts, `caFile` what it trusts instead of the system's roots.
   */
  async startUp({ hosts, caFile }: { hosts?: string; caFile?: string } = {}): Promise<void> {
    const at = (name: string): string => join(this.folder, name);
    await writeFile(at("daemon.json"), "{}"); // not the machine's own settings
    await writeFile(at("hosts"), hosts ?? "");
    const script = 'mount --bind "$0" /etc/hosts && exec "$@"';
    const wrapper = hosts === undefined
      ? []
      : ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, at("hosts")];
    const [program = "", ...args] = [
      ...[...wrapper, findProgram("dockerd") as string],
      ...["--storage-driver", "vfs", "--data-root", at("data"), "--exec-root", at("exec")],
      ...["--pidfile", at("pid"), "--host", this.env.DOCKER_HOST],
      ...["--bridge", "none", "--iptables=false", "--ip6tables=false"],
      ...["--config-file", at("daemon.json"), "--containerd-namespace", `test${process.pid}`],
    ];
    const env = { ...process.env, ...caFile === undefined ? {} : { SSL_CERT_FILE: caFile } };
    const child = spawn(program, args, { env, stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#output = (this.#output + text).slice(-5_000);
    });
    let isOver = false;
    child.once("close", () => isOver = true).once("error", () => isOver = true);
    for (const start = Date.now(); !await this.#answers(); await setTimeout(50)) {
      if (isOver || Date.now() - start > START_MS) throw new Error(`no dockerd: ${this.#output}`);
    }
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = net.connect({ path: join(this.folder, "docker.sock") });
      socket.on("error", () => resolve(false)).on("close", () => resolve(false));
      socket.once("data", (data) => {
        resolve(String(data).startsWith("HTTP/1.1 200"));
        socket.destroy();
      });
      socket.write("GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n");
    });
  }

  async shutDown(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null) return;
    const over = once(child, "close", { signal: AbortSignal.timeout(STOP_MS) });
    process.kill(child.pid, "SIGTERM");
    await over;
  }

  /** Of busybox alone; it exposes 8080/tcp. */
  async makeImage(): Promise<void> {
    const files = join(this.folder, "root");
    await mkdir(join(files, "bin"), { recursive: true });
    await copyFile(findProgram("busybox") as string, join(files, "bin/busybox"));
    for (const name of APPLETS) await symlink("busybox", join(files, "bin", name));
    await run("tar", ["-C", files, "-cf", join(this.folder, "root.tar"), "."]);
    await this.docker("import", "-c", "EXPOSE 8080", join(this.folder, "root.tar"), "box:1");
  }

  async end(): Promise<void> {
    try {
      if (this.#child?.exitCode === null) await this.#removeAll();
    } finally {
      await this.shutDown();
      this.#release?.();
      await rm(this.folder, { recursive: true, force: true });
    }
  }

  /** Networks too: their bridges would stay. */
  async #removeAll(): Promise<void> {
    const ids = (await this.docker("ps", "-aq")).split("\n").filter((id) => id !== "");
    if (ids.length > 0) await this.docker("rm", "-f", ...ids);
    await this.docker("network", "prune", "-f");
  }

  async createNetwork(name: string): Promise<void> {
    this.#release ??= await holdInterfaces();
    await this.docker("network", "create", name);
  }

  /** `command`: what it runs; default: it waits. */
  run(name: string, options: RunOptions & { command?: readonly string[] } = {}): Promise<string> {
    const { labels = {}, env = [], expose = [], publish = [], network = "none" } = options;
    const { health, restart, crash, command = crash ? ["false"] : ["sleep", "100000"] } = options;
    return this.docker(
      ...["run", "-d", "--name", name, "--network", network, "--stop-timeout", "0"],
      ...Object.entries(labels).flatMap(([key, value]) => ["--label", `${key}=${value}`]),
      ...env.flatMap((each) => ["--env", each]),
      ...expose.map((port) => `--expose=${port}`),
      ...publish.map((port) => `--publish=127.0.0.1::${port}`),
      ...health ? ["--health-cmd", "true", "--health-interval", "1s"] : [],
      ...restart ? ["--restart", "always"] : [],
      ...["box:1", ...command],
    );
  }

  async rename(name: string, to: string): Promise<void> {
    await this.docker("rename", name, to);
  }

  async stop(name: string): Promise<void> {
    await this.docker("stop", name);
  }

  async kill(name: string): Promise<void> {
    await this.docker("kill", name);
  }

  async start(name: string): Promise<void> {
    await this.docker("start", name);
  }

  async restart(name: string): Promise<void> {
    await this.docker("restart", name);
  }

  async pause(name: string): Promise<void> {
    await this.docker("pause", name);
  }

  async unpause(name: string): Promise<void> {
    await this.docker("unpause", name);
  }

  async remove(name: string): Promise<void> {
    await this.docker("rm", "-f", name);
  }

  async connect(network: string, name: string, alias: string): Promise<void> {
    await this.docker("network", "connect", "--alias", alias, network, name);
  }

  async disconnect(network: string, name: string): Promise<void> {
    await this.docker("network", "disconnect", network, name);
  }
}

/** Starts one with its image `box:1`; it and all its containers end with the test. */
export async function startEngine(t: Scope): Promise<Engine> {
  const engine = new Engine(await mkdtemp(join(tmpdir(), "docker-test-")));
  t.after(() => engine.end());
  await engine.startUp();
  await engine.makeImage();
  return engine;
}
