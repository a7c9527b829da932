/**
 * Redis's own server, for tests: on 127.0.0.1 at a port that was free, with its files in a folder of
 * the test's. It can be ended and started again at the same port, with what it had saved or without.
 */
import { spawn } from "node:child_process";
import net from "node:net";
import process from "node:process";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Redis, type Word } from "../lib/redis.ts";
import type { Reply } from "../lib/resp.ts";
import { freePorts } from "./acmepeers.ts";
import { findProgram, needProgram, type Scope, temporaryFolder } from "./support.ts";

const START_MS = 60_000;

/** Says nothing. */
export const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export interface RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly output: readonly string[];
  /** One command on a connection of its own; as JSON has it, texts for bytes. */
  run(...words: readonly Word[]): Promise<unknown>;
  /** Resolves once it answers; nothing is left of what it had unless it was told to save. */
  start(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  stop(): Promise<void>;
  /** SIGSTOP, SIGCONT. */
  signal(name: NodeJS.Signals): void;
}

/** Undefined, and the test is skipped, when it isn't installed. `args`: of its configuration. */
export async function startRedis(
  t: TestContext,
  args: readonly string[] = [],
  login: readonly string[] = [],
): Promise<RedisServer | undefined> {
  if (!needProgram(t, "redis-server")) return undefined;
  const folder = await temporaryFolder(t);
  const [port = 0] = await freePorts(1);
  const output: string[] = [];
  let child: ReturnType<typeof spawn> | undefined;
  const kill = (): void => void child?.kill("SIGKILL");
  process.once("exit", kill);
  const run: RedisServer["run"] = (...words) =>
    withRedis(port, async (redis) => toText(await redis.run(words)), login);
  const start = async (): Promise<void> => {
    const base = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--dir", folder];
    const started = spawn(findProgram("redis-server")!, [...base, ...args], { stdio: "pipe" });
    child = started;
    started.stdout.setEncoding("utf8").on("data", (text: string) => output.push(text));
    started.on("error", () => {});
    for (const begin = Date.now();; await setTimeout(20)) {
      if (await accepts(port)) return;
      if (Date.now() - begin > START_MS || started.exitCode !== null) {
        throw new Error(`redis-server doesn't answer:\n${output.join("")}`);
      }
    }
  };
  const stop = async (): Promise<void> => {
    const ending = child;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once("close", resolve));
    ending.kill("SIGKILL");
    await ended;
  };
  t.after(async () => {
    await stop();
    process.off("exit", kill);
  });
  await start();
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(child!.pid!, name); // not `child.kill`: see support.ts
    } catch { /* it has just ended */ }
  };
  return { port, folder, output, run, start, stop, signal };
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });

/** A client that ends with the test. */
export async function openRedis(
  t: Scope,
  port: number,
  more: Partial<Parameters<typeof Redis.open>[0]> = {},
): Promise<Redis> {
  const nobody = { tls: undefined, username: "", password: "", db: 0, log: quiet };
  const redis = await Redis.open({ host: "127.0.0.1", port, ...nobody, ...more });
  t.after(() => redis.close());
  return redis;
}

async function withRedis<T>(
  port: number,
  work: (redis: Redis) => Promise<T>,
  [username = "", password = ""]: readonly string[],
): Promise<T> {
  const redis = await openRedis({ after: () => {} }, port, { username, password });
  try {
    return await work(redis);
  } finally {
    redis.close();
  }
}

function toText(reply: Reply): unknown {
  if (reply instanceof Uint8Array) return reply.toString();
  return Array.isArray(reply) ? reply.map(toText) : reply;
}
