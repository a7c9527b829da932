/**
 * The TCP front end. On the TLS port the ClientHello is read before TLS starts, so that a name that
 * isn't served here gets the alert `unrecognized_name` and nothing else; the plain port only
 * redirects, and speaks no HTTP/2.
 *
 * Needs `clienthello.ts`, `http1server.ts`, `http2server.ts`, `addr.ts`, and the runtime's TLS.
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import type tls from "node:tls";
import {
  type AddressSet,
  canonicalAddress,
  isDomainName,
  joinHostPort,
  parseHost,
} from "./addr.ts";
import { BufferPool } from "./bufferpool.ts";
import type { ChallengeAnswers } from "./challenges.ts";
import {
  type ClientHello,
  fatalAlert,
  NO_APPLICATION_PROTOCOL,
  PROTOCOL_VERSION,
  readClientHello,
  UNRECOGNIZED_NAME,
} from "./clienthello.ts";
import type { Expiring } from "./clock.ts";
import type { ServedCertificate } from "./contexts.ts";
import { answer, redirect } from "./answer.ts";
import type { Client, Connection, Handle } from "./exchange.ts";
import { Http1Error } from "./http1.ts";
import { ServerConnection, type ServerOptions, type ServerTimeouts } from "./http1server.ts";
import { Http2Connection } from "./http2server.ts";
import type { Fields, Logger } from "./log.ts";
import type { HandshakeFailure, Observer } from "./observer.ts";
import type { Accept } from "./proxyaccept.ts";
import { pauseBelow, stapling, tlsAround } from "./runtime.ts";

export interface FrontendOptions extends Pick<ServerOptions, "clock" | "limits" | "handle"> {
  readonly httpPort: number;
  readonly httpsPort: number;
  /** The port that clients reach HTTPS on. */
  readonly redirectPort: number;
  /** Listens by listenOn() only; with `http` the plain port serves routes, and is the only one. */
  readonly tailscale?: "http" | "https" | undefined;
  /** Begins to find out who a client is. */
  readonly identify?: ((socket: net.Socket) => Client["identify"]) | undefined;
  readonly log: Logger;
  /** Both ports together. */
  readonly maxConnections: number;
  /** In milliseconds; `handshake` from the connection to the end of the handshake. */
  readonly timeouts: ServerTimeouts & { readonly handshake: number };
  readonly trusted: AddressSet;
  /** Whose connections begin with a PROXY header, as parseNetworks() takes it; default nobody's. */
  readonly proxyNetworks?: string;
  /** The certificate for a name, or for a client that gave none. */
  readonly certificateFor: (serverName: string | undefined) =>
    | (ServedCertificate | undefined)
    | Promise<ServedCertificate | undefined>;
  /** What a CA asks for comes before every other rule. */
  readonly challenges: ChallengeAnswers;
  /** Why `certificateFor` finds none; asked while there is an observer. */
  readonly isServed?: (serverName: string) => boolean;
  readonly observer?: Observer | undefined;
  /** Told of each port that is open; default the log is. */
  readonly onListening?: (at: Listening) => void;
}

/** A port that is open; `service` is `https` or `http`. */
export type Listening = Readonly<{ service: string; address: string; port: number }>;

/** In the order of the server's preference (RFC 7301). */
const ALPN_PROTOCOLS = ["h2", "http/1.1", "http/1.0"];
/** As it is sent: each connection would make it anew. */
const ALPN_BYTES = Buffer.from(
  ALPN_PROTOCOLS.map((name) => String.fromCharCode(name.length) + name).join(""),
  "latin1",
);

/** How long a refused client has to read why, in milliseconds. */
const REFUSAL_LINGER = 2_000;

/** What is destroyed has closed by then, in milliseconds; that ends its requests. */
const CLOSE_TIMEOUT = 1_000;

/** A tunnel has no timeout: a client that vanished is found by TCP's probes after this many ms. */
const PROBE = 60_000;

const PLAIN_TEXT = "This port speaks HTTPS, but the request came as plain HTTP.\n";
const PLAIN_TEXT_ANSWER = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n" +
  `Content-Length: ${PLAIN_TEXT.length}\r\nConnection: close\r\n\r\n${PLAIN_TEXT}`;

/** What the way to a connection shows of its client. */
type Peer = Omit<Client, "trusted" | "judged" | "transport">;

export class Frontend {
  readonly #options: FrontendOptions;
  readonly #connections = new Set<Connection>();
  /** By service and address. */
  readonly #servers = new Map<string, net.Server>();
  #onEmpty: (() => void) | undefined;
  #draining = false;
  #quietUntil = 0;
  readonly #proxying: ServerOptions;
  readonly #redirecting: ServerOptions;

  constructor(options: FrontendOptions) {
    this.#options = options;
    const { challenges, log, observer } = options;
    const watch = (handle: Handle) => observer?.watch(handle) ?? handle;
    const shared: Omit<ServerOptions, "handle"> = {
      ...options,
      buffers: new BufferPool(),
      onClientError: (client, error) => {
        const say = error instanceof Http1Error || "code" in error ? log.debug : log.error;
        say("client error", { client: client.address, error });
      },
      onClose: (connection) => this.#remove(connection),
    };
    const redirecting = challenges.before(redirectToHttps(options.redirectPort));
    this.#proxying = { ...shared, handle: watch(challenges.before(options.handle)) };
    this.#redirecting = { ...shared, handle: watch(redirecting) };
  }

  /** Those on both ports, and in handshakes. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Opens both ports, but for Tailscale's; rejects if one can't be opened. */
  async listen(): Promise<void> {
    if (this.#options.tailscale === undefined) await this.listenOn([""]);
  }

  /** Has the ports open at these addresses, "" for all, and no others; rejects as listen() does. */
  async listenOn(hosts: readonly string[]): Promise<void> {
    for (const [key, server] of this.#servers) {
      if (hosts.some((host) => key.endsWith(` ${host}`))) continue;
      this.#servers.delete(key);
      server.close();
    }
    for (const host of hosts) await this.#openBoth(host);
  }

  async #openBoth(host: string): Promise<void> {
    const { httpPort, httpsPort, timeouts, tailscale, identify: begin } = this.#options;
    if (tailscale !== "http") {
      await this.#open("https", host, httpsPort, timeouts.handshake, (socket, client) => {
        const identify = begin?.(socket); // while hands are shaken
        const onSecure: OnSecure = (secure, peer) =>
          this.#serve(secure, { ...peer, identify }, this.#proxying, secure.alpnProtocol === "h2");
        const onEnd = () => this.#remove(handshake);
        const handshake = new Handshake(socket, client, this.#options, onSecure, onEnd);
        this.#connections.add(handshake);
        return handshake;
      });
    }
    await this.#open("http", host, httpPort, timeouts.head, (socket, address) => {
      const peer: Peer = { address, scheme: "http", serverName: undefined, certificateNames: [] };
      const isPlain = tailscale === "http", identify = isPlain ? begin?.(socket) : undefined;
      return this.#serve(
        socket,
        { ...peer, identify },
        isPlain ? this.#proxying : this.#redirecting,
      );
    });
  }

  /** Stops accepting, lets what is in flight end for up to `timeout` milliseconds, then cuts it. */
  async drain(timeout: number): Promise<void> {
    this.#draining = true;
    for (const server of this.#servers.values()) server.close();
    for (const connection of this.#connections) connection.drain();
    if (this.#connections.size === 0) return;
    await new Promise<void>((done) => {
      const timer = setTimeout(done, timeout);
      this.#onEmpty = () => done(clearTimeout(timer));
    });
    if (this.#connections.size === 0) return;
    this.#options.log.warn("connections cut", { count: this.#connections.size });
    this.#options.observer?.onCut();
    await new Promise<void>((done) => {
      this.#onEmpty = done;
      for (const connection of this.#connections) connection.destroy();
      setTimeout(done, CLOSE_TIMEOUT);
    });
  }

  async #open(
    ...[service, host, port, timeout, accept]: [string, string, number, number, Accept]
  ): Promise<void> {
    const key = `${service} ${host}`;
    if (this.#draining || this.#servers.has(key)) return;
    const { log, maxConnections, clock, proxyNetworks: networks = "" } = this.#options;
    const { onListening = (at) => log.info("listening", at) } = this.#options;
    if (networks !== "") {
      const parts = { clock, log, networks, timeout, accept, open: this.#connections };
      const onEnd = (connection: Connection) => this.#remove(connection);
      accept = (await import("./proxyaccept.ts")).afterHeaders({ ...parts, onEnd });
    }
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      // Deno 2.9 ignores createServer()'s own option for this.
      if (this.#connections.size < maxConnections) {
        return void accept(
          socket.setKeepAlive(true, PROBE),
          canonicalAddress(socket.remoteAddress ?? ""),
        );
      }
      socket.on("error", () => {}).destroy();
      this.#sayRarely("too many connections", { limit: maxConnections, next: "closing new ones" });
    });
    this.#servers.set(key, server);
    await new Promise<void>((done, reject) => {
      server.once("error", (error) => {
        this.#servers.delete(key);
        const where = host === "" ? `port ${port}` : joinHostPort(host, port);
        reject(new Error(`can't listen on ${where}`, { cause: error }));
      });
      server.listen({ port, ...host !== "" && { host } }, () => {
        server.removeAllListeners("error");
        server.on("error", (error) => this.#sayRarely("accepting failed", { service, error }));
        const { address, port } = server.address() as net.AddressInfo;
        onListening({ service, address: joinHostPort(address, port), port });
        done();
      });
    });
  }

  /** Clients cause these as often as they like: one in ten seconds is told. */
  #sayRarely(message: string, fields: Fields): void {
    if (this.#options.clock.now < this.#quietUntil) return;
    this.#quietUntil = this.#options.clock.now + 10_000;
    this.#options.log.warn(message, fields);
  }

  #serve(socket: net.Socket, peer: Peer, options: ServerOptions, isHttp2 = false): Expiring {
    const { trusted, observer } = this.#options;
    const tls = (socket as Partial<tls.TLSSocket>).getProtocol?.() ?? undefined;
    const transport = observer && { isHttp2, tls };
    const client = { ...peer, trusted: trusted.has(peer.address), judged: undefined, transport };
    const Kind = isHttp2 ? Http2Connection : ServerConnection;
    const connection = new Kind(socket, client, options);
    this.#connections.add(connection);
    if (this.#draining) connection.drain();
    return connection;
  }

  #remove(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }
}

/** Any name may be redirected: which ones are served here is nobody's business on this port. */
function redirectToHttps(port: number): Handle {
  return (head, downstream) => {
    const host = parseHost(head.authority);
    if (host !== undefined && isDomainName(host.name)) {
      return redirect(downstream, head, host.name, port, "https");
    }
    return answer(downstream, head, 400, "The Host isn't a name that can be redirected.");
  };
}

type OnSecure = (secure: tls.TLSSocket, peer: Peer) => void;

/** A connection from its first byte to the end of the TLS handshake. */
class Handshake implements Connection, Expiring {
  deadline: number;
  readonly #socket: net.Socket;
  readonly #options: FrontendOptions;
  readonly #onSecure: OnSecure;
  readonly #onEnd: () => void;
  readonly #client: string;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes that must be there before another look at them is worth it. */
  #need = 1;
  /** It is known how the handshake ended. */
  #settled = false;
  readonly #onData = (chunk: Buffer): void => this.#read(chunk);

  /** `onEnd` is called when the handshake is over, well or not. */
  constructor(
    socket: net.Socket,
    client: string,
    options: FrontendOptions,
    onSecure: OnSecure,
    onEnd: () => void,
  ) {
    this.#socket = socket;
    this.#client = client;
    this.#options = options;
    this.#onSecure = onSecure;
    this.#onEnd = onEnd;
    this.deadline = options.clock.now + options.timeouts.handshake;
    options.clock.add(this);
    socket.on("data", this.#onData);
    socket.on("end", () => socket.destroy());
    socket.on("error", (error) => this.#fail(error, error.message));
    socket.on("close", () => this.#leave());
  }

  /** No request would be read any more, and somebody who says nothing would hold up the end. */
  drain(): void {
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  onDeadline(): void {
    this.#fail("timeout", "the handshake wasn't complete in time");
    this.#socket.destroy();
  }

  #leave(): void {
    this.#options.clock.delete(this);
    this.#onEnd();
    this.#settle("client_left");
  }

  /** The first time, says how it ended; undefined: well. */
  #settle(failure: HandshakeFailure | Error | undefined): void {
    if (!this.#settled && failure !== undefined) this.#options.observer?.onHandshakeFailed(failure);
    this.#settled = true;
  }

  #fail(failure: HandshakeFailure | Error, reason: string, name?: string): void {
    this.#settle(failure);
    this.#options.log.debug("handshake refused", { client: this.#client, reason, name });
  }

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // Pieces of one byte each take hundreds of times as much.
    if (this.#chunks.length > 32) this.#chunks = [Buffer.concat(this.#chunks)];
    if (this.#bytes < this.#need) return;
    const bytes = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#chunks = [bytes];
    const result = readClientHello(bytes);
    if (result.state === "more") this.#need = result.need;
    else if (result.state === "plaintext") {
      this.#refuse("not_tls", "plain HTTP", PLAIN_TEXT_ANSWER);
    } else if (result.state === "malformed") {
      const failure = result.alert === PROTOCOL_VERSION ? "protocol_version" : "malformed";
      this.#refuse(failure, result.message, fatalAlert(result.alert));
    } else this.#onHello(result.hello, bytes);
  }

  #onHello(hello: ClientHello, bytes: Buffer): void {
    const { challenges, certificateFor } = this.#options;
    const own = () => certificateFor(hello.serverName);
    const answer = challenges.tls(hello.serverName, hello.alpn);
    const found = answer instanceof Promise
      ? answer.then((certificate) => certificate ?? own())
      : answer ?? own();
    if (!(found instanceof Promise)) return this.#answer(found, hello, bytes);
    this.#socket.off("data", this.#onData).pause();
    found.catch((error: Error) => void this.#fail("other", error.message)).then((certificate) => {
      if (!this.#socket.destroyed) this.#answer(certificate, hello, bytes);
    });
  }

  #answer(certificate: ServedCertificate | undefined, hello: ClientHello, bytes: Buffer): void {
    const { serverName, alpn } = hello;
    this.#options.observer?.onHello(certificate !== undefined);
    if (certificate === undefined) {
      const alert = fatalAlert(UNRECOGNIZED_NAME);
      const failure = this.#whyNone(serverName);
      return this.#refuse(failure, "name not served", alert, serverName ?? "none");
    }
    const protocols = certificate.alpn ?? ALPN_PROTOCOLS;
    if (alpn.length > 0 && !alpn.some((protocol) => protocols.includes(protocol))) {
      const alert = fatalAlert(NO_APPLICATION_PROTOCOL);
      return this.#refuse("no_common_protocol", "no common protocol", alert, serverName);
    }
    if (certificate.answer === undefined) return this.#startTls(certificate, hello, bytes);
    this.#chunks = [];
    const refused = certificate.answer(bytes, this.#socket.off("data", this.#onData));
    if (refused !== undefined) this.#fail("other", refused, serverName);
    this.#settle(undefined);
  }

  #whyNone(serverName: string | undefined): HandshakeFailure {
    if (serverName === undefined) return "no_server_name";
    return this.#options.isServed?.(serverName) ? "no_certificate" : "unknown_name";
  }

  #startTls(certificate: ServedCertificate, hello: ClientHello, bytes: Buffer): void {
    const socket = this.#socket;
    socket.off("data", this.#onData);
    socket.removeAllListeners("end");
    this.#chunks = [];
    const secure = tlsAround(socket, bytes, {
      secureContext: certificate.context,
      ALPNProtocols: certificate.alpn === undefined ? ALPN_BYTES : [...certificate.alpn],
      ...stapling(certificate),
    });
    const onFailed = (error?: Error) => {
      this.#fail(error ?? "client_left", error?.message ?? "the client left", hello.serverName);
      socket.destroy();
    };
    secure.on("error", onFailed).on("end", onFailed);
    secure.once("secure", () => {
      secure.off("error", onFailed).off("end", onFailed);
      this.#settle(undefined);
      this.#leave();
      if (certificate.alpn !== undefined) { // a CA, which has seen all there is now
        secure.on("error", () => {}).setTimeout(REFUSAL_LINGER, () => socket.destroy());
        return void secure.resume().end();
      }
      pauseBelow(secure, socket);
      const { serverName } = hello;
      const [address, certificateNames] = [this.#client, certificate.names];
      this.#onSecure(secure, { address, scheme: "https", serverName, certificateNames });
    });
  }

  /** Says why on the raw socket, and reads on so that a reset doesn't overtake it. */
  #refuse(
    failure: HandshakeFailure,
    reason: string,
    bytes: Buffer | string,
    serverName?: string,
  ): void {
    this.#fail(failure, reason, serverName);
    this.#socket.off("data", this.#onData);
    this.#chunks = [];
    this.deadline = this.#options.clock.now + REFUSAL_LINGER;
    this.#socket.end(bytes);
    this.#socket.resume();
  }
}
