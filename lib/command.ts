/**
 * Runs a program to its end, with a deadline, and keeps the end of what it says. It is the leader
 * of a process group of its own, for what a script runs must end with it. Needs time.ts. Tested
 * with real scripts.
 */
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { formatDuration } from "./time.ts";

/** Octets of output that are kept: its end, where a program says why it failed. */
const MAX_OUTPUT = 2_000;
/** How long what it left running may hold its output open after it has ended. */
const LINGER_MS = 500;
/** A shell's word for its arguments, or for the file to look at. */
const NAMES_ARGUMENTS = /\$(?:[1@*]|\{[1@*]|\{?DOTEGE_FILE)/;

export interface Ended {
  /** How it failed: `ended with code 3`; empty if it ended with code 0. */
  readonly problem: string;
  /** The end of what it wrote to both outputs, not escaped. */
  readonly output: string;
}

/** For who can't go on without it. */
export class CommandError extends Error {
  /** As Ended has it. */
  readonly output: string;

  constructor(message: string, output: string) {
    super(message);
    this.output = output;
  }
}

export interface ProgramOptions {
  readonly signal: AbortSignal;
  /** Milliseconds; by default as long as it likes. */
  readonly deadline?: number;
  /** Beside this process's own variables. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Resolves when it has ended, or was killed at the deadline. Rejects with the system's error if it
 * can't be run; or with the signal's reason, and then it and all that it started are killed.
 */
export function runProgram(
  path: string,
  args: readonly string[],
  { signal, deadline, env = {} }: ProgramOptions,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const child = spawn(path, args, {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      env: { ...process.env, ...env },
    });
    let tail: Buffer = Buffer.alloc(0);
    const timers: NodeJS.Timeout[] = [];
    const keep = (chunk: Buffer): void => {
      tail = Buffer.concat([tail, chunk]).subarray(-MAX_OUTPUT);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const clean = (): void => {
      signal.removeEventListener("abort", abort);
      timers.forEach(clearTimeout);
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const fail = (error: unknown): void => reject((clean(), error));
    const finish = (problem: string): void => resolve((clean(), { problem, output: text(tail) }));
    const end = (code: number | null, ended: string | null): void =>
      finish(code === 0 ? "" : code === null ? `was ended by ${ended}` : `ended with code ${code}`);
    const abort = (): void => fail((killGroup(child), signal.reason));
    const late = (ms: number): void =>
      finish((killGroup(child), `took longer than ${formatDuration(ms)}`));
    signal.addEventListener("abort", abort, { once: true });
    if (deadline !== undefined) timers.push(setTimeout(late, deadline, deadline));
    child.on("error", fail);
    child.on("close", end);
    child.on("exit", (code, ended) => timers.push(setTimeout(end, LINGER_MS, code, ended)));
  });
}

/**
 * The same for a command line, by `/bin/sh`, with arguments after its own last word, so that
 * `haproxy -c -f` is enough. One that says itself where they go, by `$1`, `$@`, `$*` or
 * `$DOTEGE_FILE`, gets no more.
 */
export function runShell(
  command: string,
  args: readonly string[],
  options: ProgramOptions,
): Promise<Ended> {
  const line = args.length === 0 || NAMES_ARGUMENTS.test(command) ? command : `${command} "$@"`;
  return runProgram("/bin/sh", ["-c", line, "sh", ...args], options);
}

const text = (tail: Buffer): string => tail.toString().replaceAll("\ufffd", "").trim();

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch { /* it has just ended */ }
}
