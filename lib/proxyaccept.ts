/**
 * A connection from a listed balancer, from its first byte to the end of its PROXY header: after
 * that it is the connection of whom the header names. Without a header it is closed, for else
 * whoever reaches the balancer would be the balancer. Loaded with `--proxy-protocol-from`.
 *
 * Needs `proxyprotocol.ts`, `addr.ts`, `clock.ts`.
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { parseNetworks } from "./addr.ts";
import type { Clock, Expiring } from "./clock.ts";
import type { Connection } from "./exchange.ts";
import type { Logger } from "./log.ts";
import { readProxyHeader } from "./proxyprotocol.ts";

/** Takes a connection of that client; the deadline is that of what it has to do first. */
export type Accept = (socket: Socket, client: string) => Expiring;

export interface ProxyOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Who is listed, as parseNetworks() takes it. */
  readonly networks: string;
  /** Milliseconds for the header, and for what the connection has to do first after it. */
  readonly timeout: number;
  /** Takes all others' connections, and the listed ones' after their headers. */
  readonly accept: Accept;
  /** The connections that there are. */
  readonly open: Set<Connection>;
  /** Called at the end of the header, after `accept`, or of the connection. */
  readonly onEnd: (connection: Connection) => void;
}

export function afterHeaders(options: ProxyOptions): Accept {
  const listed = parseNetworks(options.networks);
  return (socket, peer) => {
    if (peer !== "" && !listed.has(peer)) return options.accept(socket, peer);
    const header = new ProxyHeader(socket, peer, options);
    options.open.add(header);
    if (peer === "") header.destroy(); // left already: nobody knows any more who that was
    return header;
  };
}

class ProxyHeader implements Connection, Expiring {
  deadline: number;
  readonly #socket: Socket;
  readonly #peer: string;
  readonly #options: ProxyOptions;
  /** Always whole: pieces of one byte each would take a hundred times as much. */
  #bytes: Buffer = Buffer.alloc(0);
  /** Bytes that must be there before another look at them is worth it. */
  #need = 1;
  readonly #onData = (chunk: Buffer): void => this.#read(chunk);
  readonly #onError = (error: Error): void => this.#refuse(error.message);
  readonly #onLeft = (): void => this.destroy();
  readonly #onClose = (): void => this.#end();

  constructor(socket: Socket, peer: string, options: ProxyOptions) {
    this.#socket = socket;
    this.#peer = peer;
    this.#options = options;
    this.deadline = options.clock.now + options.timeout;
    options.clock.add(this);
    socket.on("data", this.#onData).on("end", this.#onLeft);
    socket.on("error", this.#onError).on("close", this.#onClose);
  }

  drain(): void {
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  onDeadline(): void {
    this.#refuse("it wasn't complete in time");
  }

  #read(chunk: Buffer): void {
    const bytes = this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (bytes.length < this.#need) return;
    const result = readProxyHeader(bytes);
    if (result.state === "more") this.#need = result.need;
    else if (result.state === "malformed") this.#refuse(result.message);
    else this.#handOver(result.source, bytes.subarray(result.length));
  }

  /** The rest goes back to the socket, from where others read it as if it came just now. */
  #handOver(source: string | undefined, rest: Buffer): void {
    const socket = this.#socket;
    socket.off("data", this.#onData).off("end", this.#onLeft);
    socket.off("error", this.#onError).off("close", this.#onClose);
    socket.pause();
    if (rest.length > 0) socket.unshift(rest);
    this.#options.accept(socket, source ?? this.#peer).deadline = this.deadline;
    socket.resume();
    this.#end();
  }

  #refuse(reason: string): void {
    this.#options.log.debug("PROXY header refused", { peer: this.#peer, reason });
    this.destroy();
  }

  #end(): void {
    this.#options.clock.delete(this);
    this.#options.onEnd(this);
  }
}
