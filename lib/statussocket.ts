/**
 * Where a running Centauri is asked for its status: a unix socket that only its user (and root) may
 * open, beside the certificate store. Whoever sends it anything at all gets the status as one JSON
 * text, and then the end; `socat - UNIX:certs.json.sock` and a line end will do. Nothing that is
 * sent is looked at.
 *
 * The socket is made under a name of its own and renamed into its place: that replaces what a crash
 * left there, with no moment without a right mode at that name. Where another process answers, this
 * one waits until it has ended; where there can be no socket, the log says so once.
 *
 * Needs `status.ts` (types), `log.ts`, `node:net`. Loaded when it is used.
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { lstatSync, rmSync } from "node:fs";
import { chmod, lstat, rename, rm, stat } from "node:fs/promises";
import net from "node:net";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { clearInterval, setInterval } from "node:timers";
import { errorText, type Logger, quote } from "./log.ts";
import type { Options } from "./options.ts";
import type { Status } from "./status.ts";

/** Bytes of a socket's path, on Linux: Node up to 22 cuts longer ones without a word. */
const MAX_PATH = 107;
/** Who asks at a time, and how long each may take for the question or a part of the answer, ms. */
const MAX_CONNECTIONS = 8;
const PATIENCE = 10_000;
/** Looks whether the socket is still in its place, in milliseconds. */
const LOOK_INTERVAL = 10_000;
/** UTF-16 units of JSON that are made, and written, at a time. */
const PART = 64 * 1024;
/** Bytes of an answer: of some 50,000 routes. */
const MAX_ANSWER = 64 * 1024 * 1024;
/** For an answer, once connected, in milliseconds. */
const ANSWER_TIMEOUT = 20_000;

/** Undefined where the options ask for none. */
export function statusSocket(options: Options): string | undefined {
  const path = options.string("status-socket");
  if (path === "off") return undefined;
  if (path !== "") return path;
  const store = options.choice("certificate-store-type");
  return `${options.string(store === "json" ? "certificate-store" : "user-data")}.sock`;
}

export interface StatusSocketOptions {
  readonly path: string;
  readonly status: () => Promise<Status>;
  readonly log: Logger;
}

/** Resolves when there is a socket, or the log has been told why not. */
export async function serveStatus(options: StatusSocketOptions): Promise<{ close(): void }> {
  const { path, log } = options;
  let served: Served | undefined;
  let told = false;
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking || (served !== undefined && isSame(served, await statOf(path)))) return;
    looking = true;
    try {
      const stale = served;
      served = await listen(options);
      stale?.server.close();
    } catch (error) {
      const next = "Centauri serves all the same, and tries again";
      if (!told) log.warn("--status can't be answered", { path, error: error as Error, next });
      told = true;
    }
    looking = false;
  };
  await look();
  const timer = setInterval(() => void look(), LOOK_INTERVAL);
  const close = (): void => {
    clearInterval(timer);
    if (served !== undefined && isSame(served, lstatSync(path, { throwIfNoEntry: false }))) {
      rmSync(path, { force: true });
    }
    served?.server.close();
  };
  return { close };
}

/** A socket in the file system. */
type Place = { readonly dev: number; readonly ino: number };
type Served = Place & { readonly server: net.Server };

const statOf = (path: string) => lstat(path).catch(() => undefined);

const isSame = (served: Place, found: Place | undefined): boolean =>
  found?.ino === served.ino && found.dev === served.dev;

async function listen({ path, status, log }: StatusSocketOptions): Promise<Served> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}.sock`);
  for (const one of [path, temporary]) checkLength(one);
  await stat(dirname(path)); // or else the socket's error would be about rights
  const found = await statOf(path);
  if (found !== undefined && !found.isSocket()) throw new Error("there is a file, and no socket");
  if (found !== undefined && await isAnswered(path)) {
    throw new Error("another Centauri answers there, until it ends; --status-socket sets the name");
  }
  const server = net.createServer((socket) => {
    socket.on("error", () => {}).setTimeout(PATIENCE, () => socket.destroy());
    socket.once("data", () => {
      status().then((it) => pipeline(Readable.from(statusJson(it), { highWaterMark: 1 }), socket))
        .catch((error) => {
          log.debug("status not told", { error });
          socket.destroy();
        });
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((done, reject) => {
    server.once("error", reject).listen(temporary, () => {
      server.off("error", reject).on("error", (error) => log.debug("status socket", { error }));
      done();
    });
  });
  try {
    await chmod(temporary, 0o600);
    const { dev, ino } = await lstat(temporary);
    await rename(temporary, path);
    return { server, dev, ino };
  } catch (error) {
    server.close();
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Throws an Error. */
function checkLength(path: string): void {
  if (Buffer.byteLength(path) <= MAX_PATH && !path.includes("\0")) return;
  throw new Error(`no socket's path has over ${MAX_PATH} bytes; --status-socket sets another`);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = net.connect(path);
    const end = (answered: boolean) => () => {
      socket.destroy();
      done(answered);
    };
    socket.once("connect", end(true)).on("error", end(false)).setTimeout(PATIENCE, end(true));
  });
}

/** The JSON in parts, a line for each route; ends in a line feed. */
export function* statusJson({ routes, ...rest }: Status): Generator<string> {
  let part = `${JSON.stringify(rest).slice(0, -1)},"routes":[`;
  for (const [i, route] of routes.entries()) {
    part += `${i === 0 ? "" : ","}\n${JSON.stringify(route)}`;
    if (part.length < PART) continue;
    yield part;
    part = "";
  }
  yield `${part}\n]}\n`;
}

/** Nobody says how it is: why, and what to do. */
export class StatusError extends Error {
  readonly advice: string;

  constructor(message: string, advice: string) {
    super(message);
    this.advice = advice;
  }
}

/** By the system's error. */
const ADVICE: ReadonlyMap<string, string> = new Map([
  [
    "ENOENT",
    "Start it; if it runs, give the same --certificate-store (or --status-socket) as it has, " +
    "and the same folder to start in.",
  ],
  ["ECONNREFUSED", "Start it: the one that had the socket has ended without a word."],
  ["NotCapable", "Give Deno --allow-net, and --allow-read and --allow-write of that folder."],
  ["EACCES", "Ask as the user that it runs as, or as root."],
  ["EPERM", "Ask as the user that it runs as, or as root."],
]);
const SEE_LOG = "See its log: it may hang, or be of another version.";

/** What the running one says. Rejects with StatusError. */
export async function askStatus(path: string): Promise<Status> {
  const text = await ask(path).catch((error) => {
    const { code, name } = error as NodeJS.ErrnoException;
    const advice = ADVICE.get(code ?? name) ?? SEE_LOG;
    const why = `no running Centauri answers at ${quote(path)}: ${errorText(error)}`;
    throw error instanceof StatusError ? error : new StatusError(why, advice);
  });
  try {
    const status = JSON.parse(text);
    if (status.version === 1 && Array.isArray(status.routes)) return status;
  } catch { /* told below */ }
  throw new StatusError(`what answers at ${quote(path)} says something else`, SEE_LOG);
}

function ask(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    checkLength(path);
    const chunks: Buffer[] = [];
    let length = 0;
    const socket = net.connect(path, () => void socket.write("\n"));
    const late = setTimeout(() => {
      socket.destroy(new Error(`it takes longer than ${ANSWER_TIMEOUT / 1000} s`));
    }, ANSWER_TIMEOUT);
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_ANSWER) socket.destroy(new Error("its answer has no end"));
    });
    socket.on("error", reject).on("close", () => {
      clearTimeout(late);
      resolve(Buffer.concat(chunks).toString());
    });
  });
}
