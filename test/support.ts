/**
 * What the black-box tests share: Centauri as a child of the runtime that runs the test, upstreams
 * and clients that speak raw bytes, and other programs. Everything started here ends with its test.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import tls from "node:tls";
import { fileURLToPath } from "node:url";

/** The repository's root, with a slash at its end. */
export const root: string = fileURLToPath(new URL("../", import.meta.url));

const isDeno = "Deno" in globalThis;
const START_MS = 60_000; // tsx on a machine that does much else
const RUN_MS = 120_000;
const WAIT_MS = 20_000; // for what takes no time on a machine that is free
const STOP_MS = 20_000; // longer than the drain's 10 s
const EXCHANGE_MS = 10_000;

/** Where clean-up is left: a test's context, or `{ after }` of node:test for a whole file. */
export interface Scope {
  after(clean: () => unknown): void;
}

export interface Runtime {
  readonly path: string;
  readonly kind: "node" | "deno";
  readonly version: string;
}

export const thisRuntime: Runtime = {
  path: process.execPath,
  kind: isDeno ? "deno" : "node",
  version: process.versions.deno ?? process.versions.node,
};

/** What runs `script` (a path from the root) under a runtime: [program, …args]. */
export function runtimeCommand(
  script: string,
  { path, kind, version }: Runtime = thisRuntime,
): [string, ...string[]] {
  const file = join(root, script);
  if (kind === "deno") return [path, "run", "-A", "--no-check", file];
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return [path, file];
  return [path, "--import", import.meta.resolve("tsx"), file];
}

/** The path of a program in PATH or the system folders of daemons; undefined if there is none. */
export function findProgram(name: string): string | undefined {
  if (name.includes("/")) return name;
  const folders = (process.env.PATH ?? "").split(delimiter).concat("/usr/sbin", "/sbin");
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Whether a program is there. If not, the test is skipped; it fails where REQUIRE_PROGRAMS is set. */
export function needProgram(t: TestContext, name: string): boolean {
  if (findProgram(name) !== undefined) return true;
  const message = `skipped: the program ${name} is not installed`;
  if (process.env.REQUIRE_PROGRAMS) assert.fail(`${message}, and REQUIRE_PROGRAMS is set`);
  t.skip(message);
  if (isDeno) t.diagnostic(message); // Deno 2.9 counts the test as passed and says nothing
  return false;
}

/** A new folder that is removed, with what is in it, after the test. */
export async function temporaryFolder(t: Scope): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "centauri-test-"));
  t.after(() => removeFolder(folder));
  return folder;
}

/** Again while a program that ends after this writes into it; Deno 2.9 has no maxRetries. */
async function removeFolder(folder: string): Promise<void> {
  for (let tries = 0;; tries++) {
    try {
      return await rm(folder, { recursive: true, force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOTEMPTY" || tries === 100) throw error;
      await setTimeout(20);
    }
  }
}

/** One log line: parsed JSON, or `{ msg }` with the line as it is when it isn't JSON. */
export type LogRecord = Readonly<Record<string, unknown>>;

/** A program of ours that runs as a child. */
export interface Program {
  readonly pid: number;
  /** Each line of stdout and stderr so far. */
  readonly logs: readonly string[];
  /** The first record that fits, now or within `ms` (default 20_000), from line `from` (0) on. */
  waitForLog(fits: (r: LogRecord) => boolean, ms?: number, from?: number): Promise<LogRecord>;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM if it still runs; the exit code, null after a signal. */
  stop(): Promise<number | null>;
}

/**
 * Starts a script of the root with nothing in its environment but `env`; it ends with the test.
 * `command`: starts that instead.
 */
export function startProgram(
  t: Scope,
  script: string,
  options: {
    command?: readonly string[];
    args?: readonly string[];
    env?: Readonly<Record<string, string>>;
    cwd?: string;
    runtime?: Runtime;
  },
): Program {
  const [program = "", ...args] = [
    ...options.command ?? runtimeCommand(script, options.runtime),
    ...options.args ?? [],
  ];
  const env = cleanEnvironment(options.env);
  const cwd = options.cwd ?? root;
  const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const signal = (name: NodeJS.Signals): void => void (ended || sendSignal(child.pid, name));
  const kill = (): void => signal("SIGKILL");
  process.once("exit", kill);
  let ended = "";
  const exited = new Promise<number | null>((resolve) => {
    child.once("error", () => resolve(null)).once("close", (code) => resolve(code));
  });
  exited.then((code) => ended = `ended with code ${code}`);
  const logs: string[] = [];
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on("line", (line) => logs.push(line));
  }
  const waitForLog: Program["waitForLog"] = async (fits, ms = WAIT_MS, from = 0) => {
    for (const start = Date.now();; await setTimeout(10)) {
      const lastLook = ended || (Date.now() - start > ms ? `${ms} ms are over` : "");
      while (from < logs.length) {
        const record = parseLog(logs[from++] as string);
        if (fits(record)) return record;
      }
      if (lastLook) throw new Error(`no such log line, ${lastLook}:\n${logs.join("\n")}`);
    }
  };
  const stop = async (): Promise<number | null> => {
    const over = new AbortController();
    signal("SIGTERM");
    setTimeout(STOP_MS, undefined, over).then(kill, () => {});
    const code = await exited;
    over.abort();
    process.off("exit", kill);
    return code;
  };
  t.after(stop);
  return { pid: child.pid as number, logs, waitForLog, signal, stop };
}

export interface Centauri extends Program {
  readonly httpsPort: number;
  readonly httpPort: number;
  /** Working directory, with `centauri.conf` and `certs.json`. */
  readonly folder: string;
  writeRoutes(text: string): Promise<void>;
  /** Writes the routes, sends SIGHUP and waits until they are loaded. */
  reload(text: string): Promise<void>;
}

/** Starts `centauri.ts` on free ports with JSON logs; rejects with its output if it doesn't listen. */
export async function startCentauri(
  t: Scope,
  options: {
    routes: string;
    command?: readonly string[];
    args?: readonly string[];
    env?: Readonly<Record<string, string>>;
  },
): Promise<Centauri> {
  const folder = await temporaryFolder(t);
  const routeFile = join(folder, "centauri.conf");
  await writeFile(routeFile, options.routes);
  const env = {
    CONFIG: routeFile, // as variables, so that a test's own arguments beat them
    CERTIFICATE_STORE: join(folder, "certs.json"),
    HTTP_PORT: "0",
    HTTPS_PORT: "0",
    LOG_FORMAT: "json",
    ...options.env,
  };
  const program = startProgram(t, "centauri.ts", { ...options, env, cwd: folder });
  const { logs, waitForLog, signal } = program;
  const listening = async (service: string): Promise<number> => {
    const record = await waitForLog(
      (r) => r.msg === "listening" && r.service === service,
      START_MS,
    );
    return record.port as number;
  };
  const writeRoutes = (text: string): Promise<void> => writeFile(routeFile, text);
  return {
    ...program,
    httpsPort: await listening("https"),
    httpPort: await listening("http"),
    folder,
    writeRoutes,
    async reload(text) {
      const from = logs.length;
      await writeRoutes(text);
      signal("SIGHUP");
      await waitForLog((r) => r.msg === "routes loaded", WAIT_MS, from);
    },
  };
}

/** Runs `centauri.ts` until it ends by itself: for `--help`, `--validate` and failing starts. */
export function runCentauri(
  args: readonly string[],
  options: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
): Promise<Finished> {
  return runScript("centauri.ts", args, options);
}

/** Runs a script of the root until it ends by itself, with nothing in its environment but `env`. */
export function runScript(
  script: string,
  args: readonly string[],
  options: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
): Promise<Finished> {
  const [program, ...first] = runtimeCommand(script);
  const env = cleanEnvironment(options.env);
  return run(program, [...first, ...args], { ...options, env, timeout: RUN_MS });
}

/** Without the variables of whoever runs the tests: LOG_LEVEL and CONFIG are Centauri's options. */
function cleanEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = ["PATH", "HOME", "TMPDIR", "DENO_DIR"].filter((name) => process.env[name]);
  return {
    ...Object.fromEntries(kept.map((name) => [name, process.env[name] as string])),
    ...more,
  };
}

/** Not `child.kill`: Deno 2.9.6 takes the first signal, SIGHUP included, for the child's end. */
function sendSignal(pid: number | undefined, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, name);
  } catch { /* it has just ended */ }
}

function parseLog(line: string): LogRecord {
  try {
    return JSON.parse(line);
  } catch {
    return { msg: line };
  }
}

/** A server of raw bytes on 127.0.0.1; its sockets stay half-open until it ends them itself. */
export async function startRawUpstream(
  t: Scope,
  onConnection: (socket: net.Socket) => void,
): Promise<{ port: number; close: () => Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve()); // an error here says that it was closed before
      for (const socket of sockets) socket.destroy();
    });
  t.after(close);
  return { port: (server.address() as net.AddressInfo).port, close };
}

/**
 * Sends raw bytes over TLS and collects the answer, as latin1: until the peer closes, until that many
 * final responses are complete, or until the text fits. Rejects with what came so far after 10 s of silence.
 */
export function httpsExchange(
  port: number,
  servername: string,
  request: string | Uint8Array,
  options: {
    until?: "close" | number | ((text: string) => boolean);
    tls?: tls.ConnectionOptions;
  } = {},
): Promise<string> {
  const { until = "close" } = options;
  const enough = typeof until === "function"
    ? until
    : (text: string): boolean => until !== "close" && countResponses(text) >= until;
  return new Promise((resolve, reject) => {
    const settings = { host: "127.0.0.1", port, servername, rejectUnauthorized: false };
    const socket = tls.connect({ ALPNProtocols: ["http/1.1"], ...settings, ...options.tls });
    let text = "";
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(`${why}; received: ${JSON.stringify(text)}`));
    };
    socket.setTimeout(EXCHANGE_MS, () => fail(`nothing more for ${EXCHANGE_MS} ms`));
    socket.on("secureConnect", () => socket.write(Buffer.from(request as string, "latin1")));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (enough(text)) socket.destroy();
    });
    socket.on("error", (error) => fail(error.message));
    socket.on("close", () => {
      if (until === "close" || enough(text)) resolve(text);
      else fail("closed before the answer was complete");
    });
  });
}

/** How many complete final responses are in `text`; none of them may be the answer to a HEAD. */
export function countResponses(text: string): number {
  let count = 0;
  for (let at = 0;;) {
    const bodyAt = text.indexOf("\r\n\r\n", at) + 4;
    if (bodyAt === 3) return count;
    const head = text.slice(at, bodyAt);
    const status = head.slice(9, 12);
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
    at = bodyAt;
    if (status.startsWith("1") && status !== "101") continue;
    if (/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) {
      const end = /(^|\n)0+\r\n([^\r\n]+\r\n)*\r\n/.exec(text.slice(bodyAt));
      if (end === null) return count;
      at += end.index + end[0].length;
    } else if (length !== undefined && status !== "304") at += Number(length);
    else if (status !== "204" && status !== "304" && status !== "101") return count; // ends by close
    if (at > text.length) return count;
    count++;
  }
}

export interface Finished {
  /** null after a signal, the time-out's included. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; it is killed after `timeout` (default 30_000 ms). */
export function run(
  name: string,
  args: readonly string[],
  options: {
    input?: string | Uint8Array;
    timeout?: number;
    env?: Readonly<Record<string, string>>;
    cwd?: string;
  } = {},
): Promise<Finished> {
  const { input = "", timeout = 30_000, ...rest } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(findProgram(name) ?? name, args, { ...rest, stdio: "pipe" });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => output[name] += text);
    }
    const timer = globalThis.setTimeout(() => child.kill("SIGKILL"), timeout);
    child.on("error", reject).on("close", (code) => resolve({ code, ...output }));
    child.on("error", () => clearTimeout(timer)).on("exit", () => clearTimeout(timer));
    child.stdin.on("error", () => {}); // it needn't read its input
    child.stdin.end(input);
  });
}

/** Whether a process runs: not a zombie that its new parent has yet to see. */
export async function isRunning(pid: number): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return state !== "" && !/\) [ZX] /.test(state);
}
