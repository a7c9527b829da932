/**
 * The route file: read, parsed and applied at the start, at reload() and, when asked, on change.
 * Needs log.ts, routes.ts and the file system.
 *
 * A start fails loudly. After that the routes in force stay whatever happens to the file: what
 * can't be read, parsed or applied changes nothing and is logged, a line for each problem.
 */
import { Buffer, isUtf8 } from "node:buffer";
import fs, { type FSWatcher, type Stats } from "node:fs";
import { basename, dirname } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import { type Logger, quote } from "./log.ts";
import { parseRoutes, RouteError, type RouteTable } from "./routes.ts";

/** Bytes of a file: no more than this and one are ever read, be it growing or a pipe. */
const MAX_FILE = 16 * 1024 * 1024;
/** Milliseconds without another event before a changed file is read: writers empty it first. */
const QUIET = 100;
/** Milliseconds between looks at the file, for changes that no event tells of. */
const POLL = 2_000;

/** Why a file's routes aren't in force: the step that failed and, in one line, every problem. */
export class RouteSourceError extends Error {
  readonly step: string;
  readonly path: string;
  /** Those of a RouteError, else the cause itself, which has no line. */
  readonly problems: readonly { readonly line?: number; readonly message: string }[];

  constructor(step: string, path: string, cause: Error) {
    super(`${step} ${quote(path)}: ${cause.message.replaceAll("\n", "; ")}`);
    const problems = cause instanceof RouteError ? cause.problems : [cause];
    [this.step, this.path, this.problems] = [step, path, problems];
  }
}

export interface FileSource {
  /** Reads and applies the file again; of all calls during a reload, one more is made. */
  reload(): void;
  /** Stops watching; a file that is being read is not applied any more. */
  close(): void;
}

/** `apply` puts a table in force; it isn't called again before it is done. */
export interface FileSourceOptions {
  readonly path: string;
  /** Whether a change of the file is a reload. */
  readonly watch: boolean;
  readonly apply: (table: RouteTable) => Promise<void> | void;
  readonly log: Logger;
  /** Default fs.watch(). */
  readonly watchFolder?: (path: string, listener: Parameters<typeof fs.watch>[1]) => FSWatcher;
}

/** Resolves once the file's routes are in force; rejects with RouteSourceError if they can't be. */
export async function startFileSource(options: FileSourceOptions): Promise<FileSource> {
  const { path, apply, log } = options;
  let last: Buffer | undefined; // what was read last, applied or refused
  let wanted: "reload" | "check" | undefined;
  let running = false;
  let closed = false;

  const load = async (): Promise<void> => {
    const onlyChanged = wanted === "check";
    wanted = undefined;
    const bytes = await readBytes(path);
    // A file that is written in place is empty first: that isn't the end of all routes.
    if (onlyChanged && (bytes.length === 0 || last?.equals(bytes))) return;
    last = bytes;
    const table = await parse(path, bytes);
    if (closed) return;
    await attempt("route manager error: failed to apply", path, () => apply(table));
    log.info("routes loaded", { path, routes: table.routes.length });
  };
  const request = async (kind: "reload" | "check"): Promise<void> => {
    if (wanted !== "reload") wanted = kind;
    if (running) return;
    running = true;
    await undefined; // what is asked for in one turn is one reload
    while (wanted !== undefined) {
      await load().catch((error) => logProblems(log, error, "the old routes stay"));
    }
    running = false;
  };

  await load();
  const unwatch = options.watch ? watchPath(options, () => void request("check")) : undefined;
  const close = (): void => {
    closed = true;
    unwatch?.();
  };
  return { reload: () => void request("reload"), close };
}

/** The table of the file as it is now, if `check` doesn't throw; rejects with RouteSourceError. */
export async function readRoutes(
  path: string,
  check: (table: RouteTable) => void = () => {},
): Promise<RouteTable> {
  const table = await parse(path, await readBytes(path));
  await attempt("failed to parse config file", path, () => check(table));
  return table;
}

/** An event for each problem; `consequence` is what happens next. */
export function logProblems(log: Logger, error: RouteSourceError, consequence: string): void {
  for (const { line, message } of error.problems) {
    log.error(`${error.step}: ${consequence}`, { path: error.path, line, problem: message });
  }
}

async function attempt<T>(step: string, path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new RouteSourceError(step, path, error as Error);
  }
}

function readBytes(path: string): Promise<Buffer> {
  return attempt("failed to open config file", path, async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of fs.createReadStream(path, { end: MAX_FILE })) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (bytes.length > MAX_FILE) throw new Error(`larger than ${MAX_FILE} bytes`);
    return bytes;
  });
}

function parse(path: string, bytes: Buffer): Promise<RouteTable> {
  return attempt("failed to parse config file", path, () => {
    const text = bytes.toString();
    if (isUtf8(bytes)) return parseRoutes(text);
    const line = text.slice(0, text.indexOf("\ufffd")).split("\n").length;
    throw new RouteError([{ line, message: "invalid bytes: expected UTF-8" }]);
  });
}

/**
 * Calls `changed` when the file may have changed, until the function that it returns is called.
 * The folder is watched, for editors and `mv` put another file in the place of the first, and
 * Kubernetes swaps the link `..data` beside it. The file is polled as well: a single file mounted
 * into a container, a network file system and a link's target elsewhere send the folder no event.
 */
function watchPath(options: FileSourceOptions, changed: () => void): () => void {
  const { path, log, watchFolder = fs.watch } = options;
  let quiet: ReturnType<typeof setTimeout> | undefined;
  const touch = (): void => {
    clearTimeout(quiet);
    quiet = setTimeout(changed, QUIET).unref();
  };
  const failed = (error: unknown): void =>
    log.warn("can't watch the config folder: polling the file", { path, error: error as Error });
  // A file that is gone is the folder's news: told twice, it would be logged twice.
  const polled = (now: Stats): void => void (now.nlink > 0 && touch());
  // unref(), for Deno 2.9 takes no notice of `persistent: false`.
  fs.watchFile(path, { interval: POLL }, polled).unref();
  let watcher: FSWatcher | undefined;
  try {
    watcher = watchFolder(dirname(path), (_event, name) => {
      if (name === null || name === basename(path) || name.startsWith("..")) touch();
    }).on("error", failed).unref();
  } catch (error) {
    failed(error); // what Deno emits, Node throws
  }
  touch(); // for a change since the file was read
  return () => {
    clearTimeout(quiet);
    fs.unwatchFile(path, polled);
    watcher?.close();
  };
}
