/**
 * Where lines of the access log go: gathered, and written many at a time, to a file or to standard
 * output. Each process that serves appends to the file itself, in whole lines: on a file system of
 * this machine (O_APPEND) they don't mix, and it costs 0.4 µs a line where another process would
 * cost 2 to 5. Standard output may be a pipe, where they would: there the main process writes.
 *
 * No request waits for the log: what a disk that is slow or full doesn't take in time is dropped,
 * counted, and said, once a minute.
 *
 * Needs `accessline.ts`, `observe.ts` (types). Loaded when there is an access log.
 */
import { Buffer } from "node:buffer";
import fs from "node:fs";
import { clearTimeout, setTimeout } from "node:timers";
import { promisify } from "node:util";
import { type AccessFormat, createFormatter } from "./accessline.ts";
import { type Logger, quote } from "./log.ts";
import type { RequestFacts, Sink } from "./observe.ts";

/** Lines leave after this many milliseconds, or when there are so many characters of them. */
const INTERVAL = 200;
const BATCH = 64 * 1024;
/** Characters that wait, at most: some seconds of a busy server. */
const BUFFER = 4 * 1024 * 1024;
/** For the last lines when the program ends, in milliseconds. */
const LAST_TIMEOUT = 2_000;
/** Between two words in the log about lines that are lost, in milliseconds. */
const SAY_INTERVAL = 60_000;
const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = fs.constants;
/**
 * A pipe without a reader is an error then, and one that is full doesn't hold up a thread. Deno
 * (2.9) doesn't say how much it had written when a write fails in the middle: there they wait.
 */
const WAITS = "Deno" in globalThis;
const FLAGS = O_WRONLY | O_APPEND | O_CREAT | (WAITS ? 0 : O_NONBLOCK);
const MODE = 0o640;
/** When a pipe whose reader is slow is looked at again, in milliseconds. */
const FULL_PIPE_WAIT = 20;

/** Nothing in lines as accessline.ts makes them. */
const FOREIGN = /[^ -~\n]/;

type Done = (error?: Error | null) => void;

/** Takes whole lines, calls `done` when it takes more, with an Error if any of them are lost. */
export type WriteLines = (lines: string, done: Done) => void;

/** Gathers lines. */
export class LineBuffer {
  readonly #write: WriteLines;
  readonly #onDropped: (lines: number, error: Error) => void;
  #text = "";
  #lines = 0;
  #isWriting = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Set at the end: nothing waits for more lines then. */
  #onEmpty: (() => void) | undefined;

  /** `onDropped` is told of lines that are lost. */
  constructor(write: WriteLines, onDropped: (lines: number, error: Error) => void) {
    this.#write = write;
    this.#onDropped = onDropped;
  }

  /** `text`: so many whole lines, each with its line feed. */
  push(text: string, lines: number = 1): void {
    if (this.#text.length + text.length > BUFFER) {
      return this.#onDropped(lines, new Error("they come faster than they are taken"));
    }
    this.#text += text;
    this.#lines += lines;
    this.#await();
  }

  /** Resolves when all is written, or its time is over. */
  async close(): Promise<void> {
    await new Promise<void>((done) => {
      const timer = setTimeout(done, LAST_TIMEOUT);
      this.#onEmpty = () => done(clearTimeout(timer));
      this.#await();
    });
  }

  #await(): void {
    if (this.#isWriting) return;
    if (this.#text.length >= BATCH || this.#onEmpty !== undefined) this.#flush();
    else if (this.#text !== "") this.#timer ??= setTimeout(() => this.#flush(), INTERVAL);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const [text, lines] = [this.#text, this.#lines];
    if (text === "") return this.#onEmpty?.();
    this.#text = "";
    this.#lines = 0;
    this.#isWriting = true;
    this.#write(text, (error) => {
      this.#isWriting = false;
      if (error) this.#onDropped(lines, error);
      this.#await();
    });
  }
}

/** A sink that makes lines of requests. */
export function accessSink(format: AccessFormat, buffer: LineBuffer): Sink {
  const formatLine = createFormatter(format);
  let [offset, lookAt] = [0, 0];
  return {
    onRequestEnd(facts: RequestFacts) {
      if (facts.endedAt >= lookAt) { // somebody may have set the clock
        offset = Date.now() - performance.now();
        lookAt = facts.endedAt + 1_000;
      }
      buffer.push(formatLine(facts, Math.round(facts.endedAt + offset)));
    },
  };
}

/** Where the log goes. */
export interface AccessLog {
  readonly write: WriteLines;
  /** Opens the file, or opens it anew, so that the old one may be moved away. Rejects. */
  open(): Promise<void>;
  close(): void;
}

/** `path`: a file, or `-` or `stdout`, which `stdout` writes to. */
export function createAccessLog(path: string, stdout: WriteLines): AccessLog {
  if (!isStdout(path)) return new LogFile(path);
  return { write: stdout, open: () => Promise.resolve(), close: () => {} };
}

export const isStdout = (path: string): boolean => path === "-" || path === "stdout";

/** Whether these are lines as accessline.ts makes them: a worker may be anybody's. */
export const areLines = (lines: unknown): lines is string =>
  typeof lines === "string" && lines.endsWith("\n") && !FOREIGN.test(lines);

/** At most once in a while, with how many there were since. */
export function sayDropped(log: Logger): (lines: number, error: Error) => void {
  let [count, sayAt] = [0, 0];
  let last: Error | undefined;
  const say = () => {
    if (count > 0) log.error("access log lines dropped", { count, error: last });
    count = 0;
  };
  return (lines, error) => {
    count += lines;
    last = error;
    const now = performance.now();
    if (count > lines) return; // it will be said
    if (now >= sayAt) say();
    else setTimeout(say, sayAt - now).unref();
    sayAt = Math.max(sayAt, now) + SAY_INTERVAL;
  };
}

const openFile = promisify<string, number, number, number>(fs.open);

/** A file that lines are appended to. */
class LogFile implements AccessLog {
  readonly #path: string;
  #file: number | undefined;
  /** Replaced, while something was being written. */
  #old: number[] = [];
  #isWriting = false;
  /** The last write ended in the middle of a line. */
  #isTorn = false;
  #opening: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  readonly write = (lines: string, done: Done): void => {
    if (this.#file === undefined) return done(new Error("it isn't open"));
    this.#isWriting = true;
    const bytes = Buffer.from(this.#isTorn ? `\n${lines}` : lines); // all of it ASCII
    this.#writeFrom(this.#file, bytes, 0, (error) => {
      this.#isWriting = false;
      this.#closeOld();
      done(error);
    });
  };

  #writeFrom(file: number, bytes: Buffer, at: number, done: Done): void {
    fs.write(file, bytes, at, bytes.length - at, null, (error, written = 0) => {
      const end = at + written;
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#writeFrom(file, bytes, at, done), FULL_PIPE_WAIT);
      } else if (error === null && end < bytes.length) this.#writeFrom(file, bytes, end, done);
      else {
        this.#isTorn = WAITS && error ? true : end > 0 ? bytes[end - 1] !== LF : this.#isTorn;
        done(error);
      }
    });
  }

  open(): Promise<void> {
    const open = async () => {
      const file = await openFile(this.#path, FLAGS, MODE).catch((cause) => {
        throw new Error(`can't open access log ${quote(this.#path)}`, { cause });
      });
      this.close();
      this.#file = file;
      this.#isTorn &&= this.#isWriting;
    };
    return this.#opening = this.#opening.catch(() => {}).then(open);
  }

  close(): void {
    if (this.#file !== undefined) this.#old.push(this.#file);
    this.#file = undefined;
    if (!this.#isWriting) this.#closeOld();
  }

  #closeOld(): void {
    for (const file of this.#old.splice(0)) fs.close(file, () => {});
  }
}

const LF = 10;
