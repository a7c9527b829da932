/**
 * The port for whoever operates this: a few pages by path, such as `/metrics`, over plain HTTP/1.1.
 * There is no password: who may reach it is for the address, or a firewall, to say.
 *
 * Needs `http1server.ts`, `answer.ts`, `addr.ts`, `bufferpool.ts`, `clock.ts`. Loaded when there is
 * such a port. Refuses all methods but GET and HEAD, and clients over a limit; a page is made for
 * one client at a time, and given to all that ask meanwhile.
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import { canonicalAddress, joinHostPort } from "./addr.ts";
import { answer, reasonPhrase, UNABLE } from "./answer.ts";
import { BufferPool } from "./bufferpool.ts";
import { Clock } from "./clock.ts";
import type { Client, Connection, Downstream, Handle, RequestHandler } from "./exchange.ts";
import { ServerConnection } from "./http1server.ts";
import type { Logger } from "./log.ts";

const MAX_CONNECTIONS = 64;
const LIMITS = { bytes: 16 * 1024, fields: 100 };
/** In milliseconds; a scraper comes back every 15 to 60 seconds. */
const TIMEOUTS = { head: 10_000, idle: 120_000, stall: 30_000 };

/** Bytes of a page that leave in one write. */
const PIECE = 64 * 1024;

/** What no page needs, should something that strangers chose ever stand in one. */
const SAFE_FIELDS = [
  ...["Cache-Control", "no-store", "X-Content-Type-Options", "nosniff"],
  ...["X-Frame-Options", "DENY", "Referrer-Policy", "no-referrer"],
];

/**
 * `type` is a media type with its charset; `status` 200 where it isn't given; `policy` is that of
 * its content (CSP), by default that it needs nothing.
 */
export type Page = Readonly<{ type: string; body: string; status?: number; policy?: string }>;

/** Pages by path, without a query. One that rejects is answered with 500, and logged. */
export type Pages = ReadonlyMap<string, () => Page | Promise<Page>>;

export interface MetricsServerOptions {
  /** 0 lets the system choose. */
  readonly port: number;
  /** To listen on; default all interfaces. */
  readonly address?: string;
  readonly pages: Pages;
  readonly log: Logger;
}

export interface MetricsServer {
  /** Ends everything at once. */
  close(): void;
}

/** Resolves when it listens, which the log says; rejects if it can't. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { port, address, log } = options;
  const clock = new Clock();
  const connections = new Set<Connection>();
  const shared = {
    ...{ clock, buffers: new BufferPool(), limits: LIMITS, timeouts: TIMEOUTS },
    handle: pagesHandle(options),
    onClientError: ({ address }: Client, error: Error) =>
      log.debug("client error", { client: address, service: "metrics", error }),
    onClose: (connection: Connection) => void connections.delete(connection),
  };
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    if (connections.size >= MAX_CONNECTIONS) return void socket.on("error", () => {}).destroy();
    const client = { ...NOBODY, address: canonicalAddress(socket.remoteAddress ?? "") };
    connections.add(new ServerConnection(socket, client, shared));
  });
  const close = () => {
    server.close();
    for (const connection of connections) connection.destroy();
    clock.close();
  };
  try {
    await listen(server, port, address);
  } catch (cause) {
    clock.close();
    throw new Error(`can't listen on metrics port ${port}`, { cause });
  }
  server.on("error", (error) => log.warn("accepting failed", { service: "metrics", error }));
  const at = server.address() as net.AddressInfo;
  const name = joinHostPort(at.address, at.port);
  log.info("listening", { service: "metrics", address: name, port: at.port });
  return { close };
}

const NOBODY = {
  ...{ trusted: false, scheme: "http", serverName: undefined, certificateNames: [] } as const,
  judged: undefined,
};

function listen(server: net.Server, port: number, host: string = ""): Promise<void> {
  return new Promise((done, reject) => {
    server.once("error", reject);
    server.listen({ port, ...host !== "" && { host } }, () => {
      server.removeAllListeners("error");
      done();
    });
  });
}

function pagesHandle({ pages, log }: MetricsServerOptions): Handle {
  const underWay = new Map<string, Promise<Made>>();
  const make = (path: string, page: () => Page | Promise<Page>): Promise<Made> => {
    const failed = (error: Error): Page => {
      log.error("page can't be made", { path, error });
      return { type: "text/plain; charset=utf-8", body: `${UNABLE}\n`, status: 500 };
    };
    const made = underWay.get(path) ??
      Promise.resolve().then(page).catch(failed).then(toMade).finally(() => underWay.delete(path));
    underWay.set(path, made);
    return made;
  };
  return (head, downstream) => {
    const [path = ""] = head.target.split("?", 1);
    const page = pages.get(path);
    if (page === undefined) return answer(downstream, head, 404, "There is no such page.");
    if (head.method !== "GET" && head.method !== "HEAD") {
      return answer(downstream, head, 405, "Pages are only to be read.", ["Allow", "GET, HEAD"]);
    }
    return new PageAnswer(make(path, page), head.method === "HEAD", downstream);
  };
}

function toMade({ type, body, status = 200, policy = "default-src 'none'" }: Page): Made {
  return { type, status, policy, bytes: Buffer.from(body) };
}

/** One for all that ask for it at the same time. */
type Made = Readonly<{ type: string; status: number; policy: string; bytes: Buffer }>;

/** A request whose page is being made, then given piece by piece, as the client takes it. */
class PageAnswer implements RequestHandler {
  readonly #downstream: Downstream;
  #left: Buffer | undefined;
  #gone = false;

  constructor(page: Promise<Made>, isHead: boolean, downstream: Downstream) {
    this.#downstream = downstream;
    page.then((made) => this.#gone || this.#begin(made, isHead));
  }

  #begin({ type, status, policy, bytes }: Made, isHead: boolean): void {
    const head = ["Content-Type", type, "Content-Length", `${bytes.length}`];
    const fields = [...head, ...SAFE_FIELDS, "Content-Security-Policy", policy];
    const date = ["Date", new Date().toUTCString()];
    this.#left = isHead ? bytes.subarray(0, 0) : bytes;
    this.#downstream.respond(status, reasonPhrase(status), [...date, ...fields], this.#left.length);
    this.onDrain();
  }

  onDrain(): void {
    while (this.#left !== undefined) {
      const piece = this.#left.subarray(0, PIECE);
      if (piece.length > 0) this.#downstream.write(piece);
      this.#left = this.#left.length > PIECE ? this.#left.subarray(PIECE) : undefined;
      if (this.#left === undefined) return this.#downstream.end([]);
      if (!this.#downstream.flush()) return;
    }
  }

  onGone(): void {
    this.#gone = true;
    this.#left = undefined;
  }

  onRequestData(): void {}
  onRequestEnd(): void {}
}
