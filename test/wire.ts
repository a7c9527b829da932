/**
 * Connections in the hands of a test: bytes are written by hand, and what comes is taken off piece
 * by piece, in the order that the test tells its story in. Text is latin1, one character a byte.
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { type Centauri, type Finished, run, type Scope, startRawUpstream } from "./support.ts";

/** How long a test waits for something to arrive, in milliseconds. */
const PATIENCE = 10_000;

export interface Wire {
  readonly socket: net.Socket;
  /** All that came so far, taken off or not. */
  readonly received: string;
  /** The peer has ended its side, or the connection is closed. */
  readonly ended: boolean;
  readonly closed: boolean;
  write(data: string | Uint8Array): boolean;
  /** Takes off the text up to and with `end`, or that many bytes, once they are there. */
  read(end: string | number): Promise<string>;
  /** Takes off what has come, and what comes before the peer ends. */
  readToEnd(): Promise<string>;
  /** Resolves once it holds: looked at whenever something happens on the wire. */
  until(holds: () => boolean, what: string): Promise<void>;
}

export function wire(socket: net.Socket): Wire {
  const state = { ended: false, closed: false };
  const chunks: Buffer[] = [];
  const looks = new Set<() => void>();
  let rest = "";
  const look = (): void => looks.forEach((each) => each());
  const end = (): void => {
    state.ended = true;
    state.closed = socket.destroyed;
    look();
  };
  socket.on("end", end).on("close", end).on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    rest += chunk.toString("latin1");
    look();
  });
  const until: Wire["until"] = (holds, what) =>
    new Promise((resolve, reject) => {
      const settle = (result: () => void): void => {
        clearTimeout(timer);
        looks.delete(attempt);
        result();
      };
      const attempt = (): void => void (holds() && settle(resolve));
      const timer = setTimeout(() => {
        const how = state.closed ? ", closed" : state.ended ? ", ended" : "";
        const there = JSON.stringify(rest.slice(0, 2_000)) + how;
        settle(() => reject(new Error(`waited in vain for ${what}; there is ${there}`)));
      }, PATIENCE);
      looks.add(attempt);
      attempt();
    });
  const take = (length: number): string => {
    const taken = rest.slice(0, length);
    rest = rest.slice(length);
    return taken;
  };
  return {
    socket,
    get received() {
      return Buffer.concat(chunks).toString("latin1");
    },
    get ended() {
      return state.ended;
    },
    get closed() {
      return state.closed;
    },
    write: (data) => socket.write(typeof data === "string" ? Buffer.from(data, "latin1") : data),
    async read(end) {
      const length = (): number => {
        if (typeof end === "number") return rest.length < end ? -1 : end;
        const found = rest.indexOf(end);
        return found < 0 ? -1 : found + end.length;
      };
      await until(() => length() >= 0 || state.ended, JSON.stringify(end));
      if (length() >= 0) return take(length());
      throw new Error(`ended before ${JSON.stringify(end)}; there was ${JSON.stringify(rest)}`);
    },
    async readToEnd() {
      await until(() => state.ended, "the end");
      return take(rest.length);
    },
    until,
  };
}

/** A TLS connection to Centauri, for `a.example` unless `options` say otherwise. */
export async function connect(
  t: Scope,
  port: number,
  options: {
    localAddress?: string;
    allowHalfOpen?: boolean;
    servername?: string;
    /** `http/1.1` by default. */
    protocol?: string;
  } = {},
): Promise<Wire> {
  const { servername = "a.example", protocol = "http/1.1", ...rest } = options;
  const below = net.connect({ host: "127.0.0.1", port, noDelay: true, ...rest });
  const tlsOptions = { rejectUnauthorized: false, ALPNProtocols: [protocol] };
  const socket = tls.connect({ socket: below, servername, ...tlsOptions });
  t.after(() => below.destroy());
  if ("Deno" in globalThis) pauseBelow(socket, below);
  await once(socket, "secureConnect");
  return wire(socket);
}

/** Deno (2.9) reads on below a paused TLS socket; this makes a client that really doesn't read. */
function pauseBelow(socket: net.Socket, below: net.Socket): void {
  const { _handle: handle } = below as { _handle?: { readStart(): void; readStop(): void } };
  const follow = () => socket.isPaused() ? handle?.readStop() : handle?.readStart();
  socket.on("pause", follow).on("resume", follow);
}

/** A message with its body's framing undone; `head` has the blank line. */
export interface Message {
  readonly head: string;
  readonly body: string;
  readonly trailers: string;
}

/** Takes a request, or the final answer to a `method` request, off a wire. */
export async function readMessage(from: Wire, method = ""): Promise<Message> {
  let head = await from.read("\r\n\r\n");
  while (/^HTTP\/1\.1 1(?!01)/.test(head)) head = await from.read("\r\n\r\n");
  const length = /^content-length: *(\d+)\r$/im.exec(head)?.[1];
  const isAnswer = head.startsWith("HTTP/");
  if (isAnswer && (method === "HEAD" || /^HTTP\/1.1 (1\d\d|204|304) /.test(head))) {
    return { head, body: "", trailers: "" };
  }
  if (/^transfer-encoding: *chunked\r$/im.test(head)) return { head, ...await readChunks(from) };
  const untilEnd = isAnswer && length === undefined;
  const body = untilEnd ? await from.readToEnd() : await from.read(Number(length ?? 0));
  return { head, body, trailers: "" };
}

async function readChunks(from: Wire): Promise<{ body: string; trailers: string }> {
  let body = "";
  for (;;) {
    const size = parseInt(await from.read("\r\n"), 16);
    if (size === 0) break;
    body += await from.read(size);
    await from.read("\r\n");
  }
  let trailers = "";
  for (let line = ""; line !== "\r\n"; trailers += line) line = await from.read("\r\n");
  return { body, trailers: trailers.slice(0, -2) };
}

export interface Upstream {
  readonly port: number;
  /** For a route. */
  readonly name: string;
  /** All connections there were. */
  readonly wires: readonly Wire[];
  /** The next connection that no accept has given yet. */
  accept(): Promise<Wire>;
  close(): Promise<void>;
}

/** An upstream whose connections the test plays by hand; `onWire` is told of each. */
export async function startUpstream(
  t: Scope,
  onWire: (accepted: Wire) => void = () => {},
): Promise<Upstream> {
  const wires: Wire[] = [];
  const waiting: ((accepted: Wire) => void)[] = [];
  let given = 0;
  const { port, close } = await startRawUpstream(t, (socket) => {
    const accepted = wire(socket);
    wires.push(accepted);
    onWire(accepted);
    const taker = waiting.shift();
    if (taker !== undefined) taker(wires[given++] as Wire);
  });
  const accept = (): Promise<Wire> => {
    const next = wires[given];
    if (next !== undefined) return Promise.resolve(wires[given++] as Wire);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("no connection came")), PATIENCE);
      waiting.push((accepted) => {
        clearTimeout(timer);
        resolve(accepted);
      });
    });
  };
  return { port, name: `127.0.0.1:${port}`, wires, accept, close };
}

/** What an upstream does with a request: the answer's bytes, or undefined to have it all. */
export type Answer = (
  request: Message,
  on: Wire,
) => string | undefined | Promise<string | undefined>;

/** An upstream that reads requests whole and answers each, one after another. */
export async function startServer(
  t: Scope,
  answer: Answer,
): Promise<Upstream & { readonly requests: readonly Message[] }> {
  const requests: Message[] = [];
  const serve = async (on: Wire): Promise<void> => {
    for (;;) {
      const request = await readMessage(on);
      requests.push(request);
      const bytes = await answer(request, on);
      if (bytes === undefined) return;
      on.write(bytes);
    }
  };
  const upstream = await startUpstream(t, (on) => {
    serve(on).catch(() => on.socket.destroy()); // Centauri has left, as it may
  });
  return { ...upstream, requests };
}

/** An answer with a body and its length. */
export function ok(body: string, fields = ""): string {
  return `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Runs curl for a path of a.example, in HTTP/1.1 unless the arguments say otherwise. */
export function curl(centauri: Centauri, path: string, ...args: string[]): Promise<Finished> {
  const { httpsPort } = centauri;
  const resolve = ["--resolve", `a.example:${httpsPort}:127.0.0.1`];
  return run("curl", ["-sSk", "--http1.1", ...resolve, ...args, `https://a.example:${httpsPort}${path}`]);
}

/** Nothing moves for this long, in milliseconds: nobody takes any more. */
const STUCK = 500;

/** Writes pieces until nobody takes them any more; how many there were, at most `limit`. */
export async function writeUntilStuck(
  socket: net.Socket,
  piece: (i: number) => Uint8Array,
  limit: number,
): Promise<number> {
  for (let i = 0; i < limit; i++) {
    if (socket.write(piece(i))) continue;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stuck = new Promise<boolean>((resolve) => timer = setTimeout(resolve, STUCK, true));
    if (await Promise.race([stuck, once(socket, "drain").then(() => false)])) return i + 1;
    clearTimeout(timer);
  }
  return limit;
}
