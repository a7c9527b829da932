/**
 * DNS-01 by a program of the user's own, as lego's `exec`: `EXEC_PATH present NAME. VALUE`, and
 * `cleanup` with the same, or with EXEC_MODE=RAW `present -- DOMAIN TOKEN KEYAUTHORIZATION`. It has
 * this process's environment; ending with code 0 means that it's done. EXEC_PROPAGATION_TIMEOUT,
 * EXEC_POLLING_INTERVAL and EXEC_SEQUENCE_INTERVAL are seconds, by default 60, 2 and 60; the last
 * is waited only between two values of one name. Tested with real scripts.
 */
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { quote } from "../log.ts";
import { type DnsProvider, DnsProviderError } from "./provider.ts";
import type { ProviderContext, TxtRecord } from "./provider.ts";
import { needed, optional, propagation, sequence } from "./shared.ts";

/** Octets of output that are kept: its end, where a program says why it failed. */
const MAX_OUTPUT = 2_000;
/** How long what it left running may hold its output open after it has ended. */
const LINGER_MS = 500;

export function createProvider({ env }: ProviderContext): DnsProvider {
  const path = needed(env, "EXEC_PATH");
  const isRaw = optional(env, "EXEC_MODE") === "RAW";
  const { turn, done } = sequence(env, "EXEC");
  const args = ({ name, value, domain, token, keyAuthorization }: TxtRecord): string[] =>
    isRaw ? ["--", domain, token, keyAuthorization] : [`${name}.`, value];
  return {
    propagation: propagation(env, "EXEC"),
    sequential: true, // programs written for lego are never run twice at a time
    async present(record, signal) {
      await turn(record.name, signal);
      await runProgram(path, ["present", ...args(record)], signal);
    },
    async cleanUp(record, signal) {
      await runProgram(path, ["cleanup", ...args(record)], signal);
      done(record.name);
    },
  };
}

/**
 * Resolves when it has ended with code 0. Rejects with DnsProviderError and the end of its output,
 * or with the signal's reason, and then it and all that it started are killed.
 */
function runProgram(path: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    // A process group of its own: what a script runs must end with it.
    const child = spawn(path, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    let tail: Buffer = Buffer.alloc(0);
    let linger: NodeJS.Timeout | undefined;
    const keep = (chunk: Buffer): void => {
      tail = Buffer.concat([tail, chunk]).subarray(-MAX_OUTPUT);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const abort = (): void => {
      killGroup(child);
      finish(signal.reason);
    };
    const finish = (error?: unknown): void => {
      signal.removeEventListener("abort", abort);
      clearTimeout(linger);
      child.stdout.destroy();
      child.stderr.destroy();
      error === undefined ? resolve() : reject(error);
    };
    const end = (code: number | null, ended: string | null): void =>
      finish(code === 0 ? undefined : failure(`${path} ${args[0]}`, code ?? ended, tail));
    signal.addEventListener("abort", abort, { once: true });
    child.on("error", (cause) => {
      finish(new DnsProviderError(`can't run EXEC_PATH ${quote(path)}`, { cause }));
    });
    child.on("close", end);
    child.on("exit", (code, ended) => linger = setTimeout(end, LINGER_MS, code, ended));
  });
}

function failure(command: string, status: number | string | null, tail: Buffer): DnsProviderError {
  const said = tail.toString().replaceAll("\ufffd", "").trim();
  const how = typeof status === "number" ? `ended with code ${status}` : `was ended by ${status}`;
  return new DnsProviderError(
    `${quote(command)} ${how}${said && `; it said ${quote(said.slice(-300))}`}`,
  );
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch { /* it has just ended */ }
}
