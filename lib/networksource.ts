/**
 * Routes from a server, which sends them whole whenever they change (see `confignetwork.ts`).
 *
 * Routes in force stay whatever happens to the server: it is connected to again for ever, later
 * each time. Routes that can't be parsed or applied change nothing, and are logged as those of a
 * file are. A server that sends something else, stops in the middle, or says nothing at all on a
 * new connection, is left and connected to again. Where Go's Centauri exits, this one stays.
 *
 * There is no authentication and no encryption: who can answer at that address decides where
 * requests go. Needs `confignetwork.ts`, `routesource.ts`, `debounce.ts` (pauseAfter), `node:net`.
 */
import type { Buffer } from "node:buffer";
import { once } from "node:events";
import net from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import { setTimeout as wait } from "node:timers/promises";
import { joinHostPort } from "./addr.ts";
import { ConfigReader } from "./confignetwork.ts";
import { pauseAfter } from "./debounce.ts";
import { errorText } from "./log.ts";
import type { RouteTable } from "./routes.ts";
import { attempt, attemptApply, logProblems, parseRouteBytes } from "./routesource.ts";
import type { RouteSource, RouteSourceError, RouteSourceOptions } from "./routesource.ts";

/** Milliseconds to connect, by any of the server's addresses. */
const CONNECT = 10_000;
/** Milliseconds until a new connection has brought a message, or one has gone on. */
const SILENCE = 30_000;
/**
 * Milliseconds before TCP probes a silent server, that it may be gone without a word: Node (20 to
 * 26) gives it 10 s more; Deno (2.9) leaves that to the system, which takes 11 minutes on Linux.
 */
const PROBE = 30_000;
/** Milliseconds after which a connection was good, and the pauses start over. */
const STEADY = 10_000;
/** Milliseconds for `--validate`, by when a server that has routes has sent them. */
const FETCH = 10_000;
/**
 * After a message nothing more is read for so many times as long as it took, within so many
 * milliseconds: a server that sends some without end doesn't have the whole CPU.
 */
const [REST, SHORTEST_REST, LONGEST_REST] = [4, 100, 5_000];

const CLOSED = "the server closed the connection";
const UNREACHED = "can't connect";

export type Server = { readonly host: string; readonly port: number };

export interface NetworkSourceOptions extends RouteSourceOptions {
  readonly server: Server;
  /** Milliseconds; default 30_000. */
  readonly silence?: number;
  /** Milliseconds after so many failures in a row; default pauseAfter(), 100 ms to 30 s. */
  readonly pause?: (failures: number) => number;
}

/** Its routes are in force when they have come, the first time as well. */
export function startNetworkSource(options: NetworkSourceOptions): RouteSource {
  const source = new NetworkSource(options);
  void source.run();
  return source;
}

/** The first table that the server sends, if `check` doesn't throw; else a RouteSourceError. */
export async function fetchRoutes(
  server: Server,
  check: (table: RouteTable) => void,
  timeout: number = FETCH,
): Promise<RouteTable> {
  const origin = { address: joinHostPort(server.host, server.port) };
  const bytes = await attempt("failed to get network config", origin, async () => {
    const late = AbortSignal.timeout(timeout);
    const each = messages(server, late, timeout);
    try {
      const { value } = await each.next();
      return value as Buffer;
    } catch (error) {
      throw late.aborted ? new Error(`no routes came within ${timeout} ms`) : error;
    } finally {
      await each.return();
    }
  });
  return attempt("failed to parse network config", origin, () => {
    const table = parseRouteBytes(bytes);
    check(table);
    return table;
  });
}

class NetworkSource implements RouteSource {
  readonly #options: NetworkSourceOptions;
  readonly #origin: { readonly address: string };
  #table: RouteTable | undefined;
  /** What came last, applied or refused. */
  #last: Buffer | undefined;
  #session = new AbortController();
  #reload = false;
  #closed = false;
  /** Kinds of problems that the log was told of since routes came: they come again for ever. */
  readonly #told = new Set<string>();

  constructor(options: NetworkSourceOptions) {
    this.#options = options;
    this.#origin = { address: joinHostPort(options.server.host, options.server.port) };
  }

  /** Puts the routes in force again, for what they stand on may differ, and asks for new ones. */
  reload(): void {
    this.#reload = true;
    this.#session.abort();
  }

  close(): void {
    this.#closed = true;
    this.#session.abort();
  }

  async run(): Promise<void> {
    const { server, log, silence = SILENCE } = this.#options;
    const { pause = (failures) => pauseAfter(failures, Math.random()) } = this.#options;
    const next = "until they come, all names get the TLS alert unrecognized_name";
    log.info("waiting for routes", { ...this.#origin, next });
    for (let failures = 0; !this.#closed;) {
      const { signal } = this.#session = new AbortController();
      const start = performance.now();
      try {
        await this.#applyAgain();
        for await (const bytes of messages(server, signal, silence)) await this.#take(bytes);
      } catch (error) {
        if (this.#closed) return;
        if (signal.aborted || performance.now() - start > STEADY) failures = 0;
        if (signal.aborted) continue; // a reload
        this.#tellLoss(error);
        await wait(pause(failures++), undefined, { signal }).catch(() => {});
      }
    }
  }

  async #applyAgain(): Promise<void> {
    if (!this.#reload) return;
    this.#reload = false;
    this.#last = undefined;
    const table = this.#table;
    if (table !== undefined) await this.#attempt(() => this.#apply(table));
  }

  async #take(bytes: Buffer): Promise<void> {
    const { log } = this.#options;
    if (this.#told.size > 0) log.info("network config is back", this.#origin);
    this.#told.clear();
    const start = performance.now();
    if (!this.#last?.equals(bytes)) {
      this.#last = bytes;
      await this.#attempt(async () => {
        const parse = () => parseRouteBytes(bytes);
        await this.#apply(await attempt("failed to parse network config", this.#origin, parse));
      });
    }
    const rest = Math.max(REST * (performance.now() - start), SHORTEST_REST);
    const { signal } = this.#session; // a reload doesn't wait
    await wait(Math.min(rest, LONGEST_REST), undefined, { signal }).catch(() => {});
  }

  async #apply(table: RouteTable): Promise<void> {
    if (this.#closed) return;
    await attemptApply(this.#origin, () => this.#options.apply(table));
    this.#table = table;
    this.#options.log.info("routes loaded", { ...this.#origin, routes: table.routes.length });
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    const stay = this.#table === undefined ? "there are no routes yet" : "the old routes stay";
    await work().catch((error: RouteSourceError) => {
      this.#options.onFailure?.(error);
      logProblems(this.#options.log, error, stay);
    });
  }

  #tellLoss(error: unknown): void {
    const { log } = this.#options;
    const fields = { ...this.#origin, error: errorText(error) };
    const { code, message } = error as NodeJS.ErrnoException;
    // That it is away is one, however it is noticed.
    const kind = code !== undefined || message.startsWith(UNREACHED) ? CLOSED : message;
    if (this.#told.has(kind)) return log.debug("no network config", fields);
    this.#told.add(kind);
    const stay = this.#table === undefined ? "there are no routes yet" : "the routes stay";
    log.warn(`no network config: ${stay}, trying for ever`, fields);
  }
}

/**
 * The payloads of one connection: of those that came at once, the latest. Throws when it ends, or
 * `signal` aborts. What comes while the last one is looked at waits with the server.
 */
async function* messages(
  server: Server,
  signal: AbortSignal,
  silence: number,
): AsyncGenerator<Buffer, void> {
  const socket = net.connect({ ...server, noDelay: true }).setKeepAlive(true, PROBE);
  const abort = (): void => void socket.destroy(new Error("no longer wanted"));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const within = (ms: number, problem: string): void => {
    clearTimeout(timer);
    timer = setTimeout(() => socket.destroy(new Error(`${problem} within ${ms} ms`)), ms);
  };
  socket.on("error", () => {}); // told to whoever waits, below
  signal.addEventListener("abort", abort);
  try {
    if (signal.aborted) abort();
    within(CONNECT, UNREACHED);
    await once(socket, "connect");
    within(silence, "it sends no routes");
    const reader = new ConfigReader();
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      const latest = reader.push(chunk).at(-1);
      clearTimeout(timer);
      if (latest !== undefined) yield latest;
      if (reader.isMidway) within(silence, "it doesn't go on with its message");
    }
    throw new Error(CLOSED);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    socket.destroy();
  }
}
