/**
 * The route file: read, parsed and applied at the start, at reload() and, when asked, on change.
 * Needs file.ts, log.ts, routes.ts and watchfile.ts.
 *
 * A start fails loudly. After that the routes in force stay whatever happens to the file: what
 * can't be read, parsed or applied changes nothing and is logged, a line for each problem.
 */
import { type Buffer, isUtf8 } from "node:buffer";
import { readLimited } from "./file.ts";
import { errorText, type Logger, quote } from "./log.ts";
import { parseRoutes, RouteError, type RouteTable } from "./routes.ts";
import { type WatchFolder, watchPath } from "./watchfile.ts";

/** Bytes of a file: no more than this and one are ever read, be it growing or a pipe. */
const MAX_FILE = 16 * 1024 * 1024;

/** Where routes come from, for the log: a file, or `host:port` (see `networksource.ts`). */
export type Origin = { readonly path: string } | { readonly address: string };

/** Why routes aren't in force: the step that failed and, in one line, every problem. */
export class RouteSourceError extends Error {
  readonly step: string;
  readonly origin: Origin;
  /** Those of a RouteError, else the cause itself, which has no line. */
  readonly problems: readonly { readonly line?: number; readonly message: string }[];

  constructor(step: string, origin: Origin, cause: Error) {
    const where = quote("path" in origin ? origin.path : origin.address);
    super(`${step} ${where}: ${errorText(cause).replaceAll("\n", "; ")}`);
    const problems = cause instanceof RouteError ? cause.problems : [cause];
    [this.step, this.origin, this.problems] = [step, origin, problems];
  }
}

/** What has routes, and puts them in force. */
export interface RouteSource {
  /** Gets and applies them again; of all calls during a reload, one more is made. */
  reload(): void;
  /** Ends it; routes that are being read are not applied any more. */
  close(): void;
}

/** `apply` puts a table in force; it isn't called again before it is done. */
export interface RouteSourceOptions {
  readonly apply: (table: RouteTable) => Promise<void> | void;
  /** Told why a reload changed nothing; the log is, too. */
  readonly onFailure?: (error: RouteSourceError) => void;
  readonly log: Logger;
}

export interface FileSourceOptions extends RouteSourceOptions {
  readonly path: string;
  /** Whether a change of the file is a reload. */
  readonly watch: boolean;
  /** Default fs.watch(). */
  readonly watchFolder?: WatchFolder;
}

/** Resolves once the file's routes are in force; rejects with RouteSourceError if they can't be. */
export async function startFileSource(options: FileSourceOptions): Promise<RouteSource> {
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
    await attemptApply({ path }, () => apply(table));
    log.info("routes loaded", { path, routes: table.routes.length });
  };
  const request = async (kind: "reload" | "check"): Promise<void> => {
    if (wanted !== "reload") wanted = kind;
    if (running) return;
    running = true;
    await undefined; // what is asked for in one turn is one reload
    while (wanted !== undefined) {
      await load().catch((error) => {
        logProblems(log, error, "the old routes stay");
        options.onFailure?.(error);
      });
    }
    running = false;
  };

  await load();
  const unwatch = options.watch
    ? watchPath({ ...options, what: "config" }, () => void request("check"))
    : undefined;
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
  await attempt("failed to parse config file", { path }, () => check(table));
  return table;
}

/** An event for each problem; `consequence` is what happens next. */
export function logProblems(log: Logger, error: RouteSourceError, consequence: string): void {
  for (const { line, message } of error.problems) {
    log.error(`${error.step}: ${consequence}`, { ...error.origin, line, problem: message });
  }
}

/** Rejects with RouteSourceError. */
export async function attempt<T>(
  step: string,
  origin: Origin,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new RouteSourceError(step, origin, error as Error);
  }
}

/** The same for putting a table in force. */
export const attemptApply = (origin: Origin, apply: () => Promise<void> | void): Promise<void> =>
  attempt("route manager error: failed to apply", origin, apply);

/** The table of a whole file. Throws RouteError. */
export function parseRouteBytes(bytes: Buffer): RouteTable {
  const text = bytes.toString();
  if (isUtf8(bytes)) return parseRoutes(text);
  const line = text.slice(0, text.indexOf("\ufffd")).split("\n").length;
  throw new RouteError([{ line, message: "invalid bytes: expected UTF-8" }]);
}

function readBytes(path: string): Promise<Buffer> {
  return attempt("failed to open config file", { path }, () => readLimited(path, MAX_FILE));
}

function parse(path: string, bytes: Buffer): Promise<RouteTable> {
  return attempt("failed to parse config file", { path }, () => parseRouteBytes(bytes));
}
