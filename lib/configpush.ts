/**
 * The server's side of the network configuration protocol (see `confignetwork.ts`), by which
 * Centauris get their routes. Nothing is read back.
 *
 * Who connects gets the latest routes at once, then each newer version; a slow client skips those
 * that are superseded, so no more than one waits for it. There is no authentication and no
 * encryption: the address must be one that only Centauris reach. Needs addr.ts, confignetwork.ts,
 * log.ts, `node:net`.
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import { canonicalAddress, joinHostPort } from "./addr.ts";
import { encodeConfig, payloadLength } from "./confignetwork.ts";
import type { Fields, Logger } from "./log.ts";

/** Bytes that are handed to a socket at a time: a client that takes none for `stall` is dropped. */
const CHUNK = 64 * 1024;
/** Bytes that a client may send, for nothing; more is somebody else's protocol. */
const MAX_INPUT = 4_096;
/** Milliseconds before TCP probes a silent client, that it may be gone without a word. */
const PROBE = 60_000;
/** Milliseconds between two warnings about clients. */
const RARELY = 10_000;

export interface ConfigPushOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly log: Logger;
  /** Default 100; more are closed. */
  readonly maxClients?: number;
  /** Milliseconds for a client to take a part of what it is sent; default 60_000. */
  readonly stall?: number;
}

export interface ConfigPush {
  /** Resolves with the port; rejects if it can't be opened. */
  listen(): Promise<number>;
  /** The routes from now on; nothing happens if they are as before. Too many aren't sent. */
  update(text: string): void;
  /** Cuts all connections. */
  close(): Promise<void>;
}

export function createConfigPush(options: ConfigPushOptions): ConfigPush {
  const { host, port, log, maxClients = 100, stall = 60_000 } = options;
  const clients = new Set<Client>();
  let latest: Buffer | undefined;
  let text: string | undefined;
  let quietUntil = 0;
  const sayRarely = (message: string, fields: Fields): void => {
    if (performance.now() < quietUntil) return;
    quietUntil = performance.now() + RARELY;
    log.warn(message, fields);
  };
  const server = net.createServer({ noDelay: true }, (socket) => {
    if (clients.size >= maxClients) {
      socket.on("error", () => {}).destroy();
      return sayRarely("too many Centauris: closing new connections", { limit: maxClients });
    }
    const address = canonicalAddress(socket.remoteAddress ?? "");
    const client = new Client(socket, stall, () => latest, (problem) => {
      clients.delete(client);
      if (problem !== "") sayRarely("Centauri dropped", { client: address, problem });
      log.debug("Centauri left", { client: address });
    });
    clients.add(client);
    log.info("Centauri connected", { client: address });
    client.send();
  });

  const listen = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const where = joinHostPort(host, port);
      server.once("error", (cause) => reject(new Error(`can't listen on ${where}`, { cause })));
      server.listen({ host, port }, () => {
        server.removeAllListeners("error").on("error", (error) => sayRarely("failed", { error }));
        const bound = server.address() as net.AddressInfo;
        const address = joinHostPort(bound.address, bound.port);
        log.info("listening", { service: "push", address, port: bound.port });
        resolve(bound.port);
      });
    });
  const update = (now: string): void => {
    if (now === text) return;
    text = now;
    try {
      latest = encodeConfig(now);
    } catch (error) {
      return log.error("routes not pushed: the old ones stay", { error: error as Error });
    }
    log.info("routes pushed", { clients: clients.size, bytes: payloadLength(latest) });
    for (const client of clients) client.send();
  };
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve()); // an error here says that it doesn't listen
      for (const client of clients) client.end("");
    });
  return { listen, update, close };
}

class Client {
  readonly #socket: net.Socket;
  readonly #stall: number;
  readonly #latest: () => Buffer | undefined;
  readonly #onEnd: (problem: string) => void;
  /** What is being sent, or was sent last, and how much of it the socket has. */
  #frame: Buffer | undefined;
  #sent = 0;
  #busy = false;
  #input = 0;
  #ended = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `onEnd` is told why it was dropped; nothing if it left, or by end(). */
  constructor(
    socket: net.Socket,
    stall: number,
    latest: () => Buffer | undefined,
    onEnd: (problem: string) => void,
  ) {
    this.#socket = socket.setKeepAlive(true, PROBE);
    this.#stall = stall;
    this.#latest = latest;
    this.#onEnd = onEnd;
    const left = (): void => this.end("");
    socket.on("error", left).on("close", left).on("end", left); // nobody listens to half of it
    socket.on("data", (chunk: Buffer) => {
      this.#input += chunk.length;
      if (this.#input > MAX_INPUT) this.end("it sends data");
    });
  }

  /** Whatever is newer than what it got; a message that has begun is finished first. */
  send(): void {
    if (this.#busy || this.#ended) return;
    if (this.#sent === (this.#frame?.length ?? 0)) {
      const latest = this.#latest();
      if (latest === this.#frame) return;
      this.#frame = latest;
      this.#sent = 0;
    }
    const chunk = this.#frame?.subarray(this.#sent, this.#sent + CHUNK) ?? Buffer.alloc(0);
    this.#sent += chunk.length;
    this.#busy = true;
    this.#timer = setTimeout(() => this.end("it takes no more"), this.#stall);
    this.#socket.write(chunk, () => {
      clearTimeout(this.#timer);
      this.#busy = false;
      this.send();
    });
  }

  end(problem: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#socket.destroy();
    this.#onEnd(problem);
  }
}
