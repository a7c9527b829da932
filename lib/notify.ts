/**
 * Tells those who read Dotege's files that some are new: containers by a signal or a restart, a
 * process by its pid file, anything else by a command. Each is told apart from the others, once for
 * all files of a render. Who can't be told, a container that isn't there yet for one, is tried
 * again after 1 s, 2 s, 4 s up to each minute, until it works; logged when it begins and ends.
 *
 * Needs command.ts, debounce.ts (backoff), file.ts, log.ts, number.ts and a Docker client.
 */
import { constants } from "node:os";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { CommandError, runProgram } from "./command.ts";
import { backoff } from "./debounce.ts";
import { readLimited } from "./file.ts";
import { type Fields, type Logger, quote } from "./log.ts";
import { parseDecimal } from "./number.ts";

/** Milliseconds that the command may take. */
const COMMAND_DEADLINE = 60_000;
/** Milliseconds that what is under way gets to end: Docker kills after 10 s. */
const LAST_WORDS = 5_000;
/** Bytes of a pid file, and what Linux numbers processes up to. */
const [MAX_PID_FILE, MAX_PID] = [64, 2 ** 22];
/** As Docker's engine takes them, RTMIN+3 included: it knows what else it refuses. */
const SIGNAL = /^[A-Za-z0-9+-]{1,20}$/;
const CONTAINER_NAME = /^[A-Za-z0-9][\w.-]*$/;
const MAX_SIGNAL = 64;

/** Containers: the one of that name, or all with a label, of that value if there is one. */
export type Target = { readonly name: string } | {
  readonly label: string;
  readonly value: string | undefined;
};

/** What is asked of a container here. */
export interface Candidate {
  readonly id: string;
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

export interface NotifyOptions {
  /** Get the signal. */
  readonly signalled: readonly Target[];
  /** Are restarted, but none whose going changes the files: that would never end. */
  readonly restarted: readonly Target[];
  readonly isServed: (id: string) => boolean;
  /** Path of a file with the number of a process that gets the signal; empty for none. */
  readonly pidFile: string;
  /** As parseSignal() gave it. */
  readonly signalName: string;
  /** A command line for /bin/sh, whose "$@" are the new files; empty for none. */
  readonly command: string;
  /** Those that run now, whatever their proxytag. */
  readonly containers: () => readonly Candidate[];
  readonly docker: {
    kill(id: string, signalName: string, signal: AbortSignal): Promise<void>;
    restart(id: string, signal: AbortSignal): Promise<void>;
  };
  readonly log: Logger;
  /** Milliseconds after so many failures; default backoff(). */
  readonly pause?: (failures: number) => number;
  /** Milliseconds that close() leaves to what is under way; default 5_000. */
  readonly lastWords?: number;
}

export interface Notifier {
  /**
   * Tells all that these files are new; nothing if there are none. Resolves after the first try
   * with whether it worked for all; never rejects.
   */
  tell(changed: readonly string[]): Promise<boolean>;
  /**
   * Tries no more what has failed; what is being told is told, for at the next start the files are
   * old ones. Resolves when nothing is under way any more, after `lastWords` at the latest.
   */
  close(): Promise<void>;
}

/**
 * Names of containers, `label=key` and `label=key=value`, separated by commas or spaces. Throws an
 * Error that says which is wrong.
 */
export function parseTargets(text: string): Target[] {
  return text.split(/[\s,]+/).filter((item) => item !== "").map((item) => {
    const [, label, , value] = /^label=([^=]+)(=(.*))?$/.exec(item) ?? [];
    if (label !== undefined) return { label, value };
    if (CONTAINER_NAME.test(item)) return { name: item };
    const expected = "expected a container's name, label=key or label=key=value";
    throw new Error(`invalid container ${quote(item, 200)}: ${expected}`);
  });
}

/** `HUP`, `SIGHUP` or a number, unchanged. Throws an Error for what can't be a signal. */
export function parseSignal(text: string): string {
  if (SIGNAL.test(text)) return text;
  throw new Error(`invalid signal ${quote(text, 60)}: expected a name or a number, like HUP`);
}

/** The same as process.kill() takes it. Throws an Error for what this system has no number for. */
export function processSignal(text: string): NodeJS.Signals | number {
  const number = parseDecimal(text, MAX_SIGNAL);
  const name = text.toUpperCase().replace(/^(SIG)?/, "SIG");
  const known = Object.entries(constants.signals).find(([key, value]) =>
    number === undefined ? key === name : value === number
  );
  if (known !== undefined) return known[0] as NodeJS.Signals;
  if (number !== undefined && number > 0) return number; // a real-time signal
  throw new Error(`invalid signal ${quote(text, 60)} for a process: expected one like HUP`);
}

/** Throws as processSignal() does, if there is a pid file. */
export function createNotifier(options: NotifyOptions): Notifier {
  const { signalled, restarted, isServed, pidFile, signalName, command, docker } = options;
  const kill: Act = (id, signal) => docker.kill(id, signalName, signal);
  const restart: Act = async (id, signal) => {
    if (isServed(id)) throw new Error("it has hosts itself: restarts would never end");
    await docker.restart(id, signal);
  };
  const listeners = [
    ...signalled.map((target) => containersListener(options, target, kill)),
    ...restarted.map((target) => containersListener(options, target, restart)),
    ...pidFile === "" ? [] : [processListener(pidFile, processSignal(signalName))],
    ...command === "" ? [] : [commandListener(command)],
  ];
  const tellers = listeners.map((listener) => new Teller(listener, options));
  return {
    async tell(changed) {
      if (changed.length === 0) return true;
      const results = await Promise.all(tellers.map((teller) => teller.tell(changed)));
      return results.every((ok) => ok);
    },
    async close() {
      await Promise.all(tellers.map((teller) => teller.close()));
    },
  };
}

/** Tells once; resolves to what the log says of it, and rejects if not all were told. */
type Attempt = (changed: readonly string[], signal: AbortSignal) => Promise<Fields>;
type Act = (id: string, signal: AbortSignal) => Promise<void>;

interface Listener {
  /** For the log. */
  readonly who: string;
  /** For each change anew; an attempt that failed is called again. */
  readonly begin: () => Attempt;
}

function containersListener(options: NotifyOptions, target: Target, act: Act): Listener {
  const who = "name" in target ? `container ${target.name}` : `containers with ${spell(target)}`;
  const begin = (): Attempt => {
    const told = new Map<string, string>(); // those who were, by id, aren't told twice
    return async (_changed, signal) => {
      const found = options.containers().filter((one) => isMeant(target, one));
      const left = found.filter(({ id }) => !told.has(id));
      if (left.length === 0 && told.size === 0) throw new Error("no such container is running");
      const results = await Promise.allSettled(left.map(async ({ id, name }) => {
        await act(id, signal).catch((cause) => {
          throw new Error(`container ${name}`, { cause });
        });
        told.set(id, name);
      }));
      for (const result of results) if (result.status === "rejected") throw result.reason;
      return { containers: [...told.values()] };
    };
  };
  return { who, begin };
}

function isMeant(target: Target, { name, labels }: Candidate): boolean {
  if ("name" in target) return name === target.name;
  const value = labels.get(target.label);
  return value !== undefined && (target.value === undefined || value === target.value);
}

const spell = ({ label, value }: { label: string; value: string | undefined }): string =>
  value === undefined ? `label ${label}` : `label ${label}=${value}`;

function processListener(pidFile: string, signalName: NodeJS.Signals | number): Listener {
  const attempt: Attempt = async () => {
    const pid = readPid(String(await readLimited(pidFile, MAX_PID_FILE)));
    process.kill(pid, signalName);
    return { pid };
  };
  return { who: `process of ${pidFile}`, begin: () => attempt };
}

/**
 * Number 1 is fine where containers share their process numbers. Our own and our parent's number
 * are another container's that doesn't: it is this one's init that would get the signal.
 */
function readPid(text: string): number {
  const pid = parseDecimal(text.replace(/\s+$/, ""), MAX_PID);
  if (pid === undefined || pid === 0) {
    throw new Error(`invalid pid file: ${quote(text)} is no process number`);
  }
  if (pid === process.pid || pid === process.ppid) {
    throw new Error(`process ${pid} is Dotege or its parent: the file is of another container`);
  }
  return pid;
}

function commandListener(command: string): Listener {
  const attempt: Attempt = async (changed, signal) => {
    const args = ["-c", command, "sh", ...changed];
    const options = { signal, deadline: COMMAND_DEADLINE };
    const { problem, output } = await runProgram("/bin/sh", args, options);
    if (problem !== "") throw new CommandError(`the notify command ${problem}`, output);
    return {};
  };
  return { who: "notify command", begin: () => attempt };
}

/** Tries until it works; a newer change begins anew. */
class Teller {
  readonly #listener: Listener;
  readonly #log: Logger;
  readonly #pauseFor: (failures: number) => number;
  readonly #lastWords: number;
  readonly #closed = new AbortController();
  #isLeaving = false;
  /** What it hasn't been told of, and who waits for the next try. */
  #owed = new Set<string>();
  #waiters: ((ok: boolean) => void)[] = [];
  /** A change came that no try has begun for. */
  #isNew = false;
  #isFailing = false;
  #running: Promise<void> | undefined;
  #wake = (): void => {};

  constructor(listener: Listener, options: NotifyOptions) {
    this.#listener = listener;
    this.#log = options.log;
    this.#pauseFor = options.pause ?? backoff;
    this.#lastWords = options.lastWords ?? LAST_WORDS;
  }

  tell(changed: readonly string[]): Promise<boolean> {
    if (this.#isLeaving) return Promise.resolve(false);
    for (const path of changed) this.#owed.add(path);
    this.#isNew = true;
    const result = new Promise<boolean>((resolve) => this.#waiters.push(resolve));
    this.#wake();
    this.#running ??= this.#run();
    return result;
  }

  async close(): Promise<void> {
    this.#isLeaving = true;
    this.#wake();
    const timer = setTimeout(() => this.#closed.abort(new Error("leaving")), this.#lastWords);
    await this.#running;
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    let attempt = this.#listener.begin();
    let failures = 0;
    const { signal } = this.#closed;
    while (this.#owed.size > 0 && (this.#isNew || !this.#isLeaving) && !signal.aborted) {
      if (this.#isNew) [attempt, failures] = [this.#listener.begin(), 0];
      this.#isNew = false;
      const [owed, waiters] = [this.#owed, this.#waiters];
      [this.#owed, this.#waiters] = [new Set(), []];
      const ok = await this.#try(attempt, [...owed]);
      for (const resolve of waiters) resolve(ok);
      if (ok) continue;
      for (const path of owed) this.#owed.add(path);
      if (!this.#isNew) await this.#pause(this.#pauseFor(++failures));
    }
    for (const resolve of this.#waiters.splice(0)) resolve(false);
    this.#running = undefined;
  }

  async #try(attempt: Attempt, changed: readonly string[]): Promise<boolean> {
    const { who } = this.#listener;
    try {
      const fields = await attempt(changed, this.#closed.signal);
      this.#log.info(this.#isFailing ? "told at last" : "told", { who, ...fields });
      this.#isFailing = false;
      return true;
    } catch (error) {
      if (this.#closed.signal.aborted) return false;
      const say = this.#isFailing ? this.#log.debug : this.#log.error;
      const { output } = error as Partial<CommandError>;
      say("not told: tried again until it works", { who, output, error: error as Error });
      this.#isFailing = true;
      return false;
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#isLeaving) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => resolve(clearTimeout(timer));
    });
  }
}
