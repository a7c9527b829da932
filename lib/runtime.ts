/**
 * Where sockets behave differently on Node and on Deno, one function for each difference. Needs
 * nothing.
 */
import type { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import net from "node:net";
import process from "node:process";
import type { Duplex } from "node:stream";
import tls from "node:tls";

/**
 * A socket that gives what it reads to `read`, which returns false to pause it. Node (20 to 26)
 * reads into `buffer` and calls back in one go, so that all sockets may share one; Deno (2.9)
 * waits between the two, so there each read has a buffer of its own.
 */
export function connectReading(
  to: { host: string; port: number },
  buffer: Buffer,
  read: (chunk: Buffer) => boolean,
): net.Socket {
  const options = { ...to, noDelay: true, allowHalfOpen: true };
  if ("Deno" in globalThis) {
    const socket = net.connect(options);
    return readPast(socket, (chunk) => void (read(chunk) || socket.pause()));
  }
  const callback = (count: number) => read(buffer.subarray(0, count));
  return net.connect({ ...options, onread: { buffer, callback } });
}

/**
 * Has an open socket give what it reads to `read`, from now on, in `buffer`: all sockets may share
 * one, as above. Node (20 to 26) takes such a buffer only from whoever connects, and a TLS socket
 * around another one none at all, but keeps it where this finds it. Elsewhere each read has its
 * own.
 */
export function readInto(socket: net.Socket, buffer: Buffer, read: (chunk: Buffer) => void): void {
  const [toBuffer, toRead] = BUFFER_SLOTS;
  const inside = socket as unknown as Record<symbol, unknown> & { _handle?: UserBuffered };
  const handle = inside._handle;
  if (toBuffer === undefined || toRead === undefined || handle?.useUserBuffer === undefined) {
    return void readPast(socket, read);
  }
  inside[toBuffer] = buffer;
  inside[toRead] = (count: number) => read(buffer.subarray(0, count));
  handle.useUserBuffer(buffer);
  if (socket.readableLength > 0) socket.once("data", read); // what was put back comes first
  socket.resume();
}

/** Where a socket has its buffer, and the function that is called with what was read there. */
const BUFFER_SLOTS = ["kBuffer", "kBufferCb"].map((name) =>
  Object.getOwnPropertySymbols(new net.Socket()).find(({ description }) => description === name)
);

/**
 * Has a socket give what it reads to `read`, past its Readable while that flows and is empty: on
 * Deno (2.9), where each read is followed by a tick of its own, that saves a fifth of a request's
 * CPU time.
 */
function readPast(socket: net.Socket, read: (chunk: Buffer) => void): net.Socket {
  const { push } = socket;
  socket.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    if (chunk === null || !socket.readableFlowing || socket.readableLength > 0) {
      return push.call(socket, chunk, encoding);
    }
    read(chunk);
    return true;
  };
  return socket.on("data", read);
}

type UserBuffered = { useUserBuffer?(buffer: Buffer): void };

/**
 * A TLS server's socket around one of which `first` has been read. Node (20 to 26) keeps 16 KiB
 * more for a connection that has ever given it more than 1 KiB at once, as a ClientHello may be:
 * there it is given in pieces.
 */
export function tlsAround(
  socket: net.Socket,
  first: Buffer,
  options: tls.TLSSocketOptions,
): tls.TLSSocket {
  socket.pause();
  const whole = "Deno" in globalThis;
  if (whole) socket.unshift(first);
  const secure = new tls.TLSSocket(socket, { ...options, isServer: true });
  const inside = secure as { _handle?: { receive(bytes: Buffer): void } | null };
  const give = () => {
    for (let at = 0; at < first.length; at += 1000) {
      inside._handle?.receive(first.subarray(at, at + 1000));
    }
  };
  if (!whole) process.nextTick(give); // when the socket has set itself up
  return secure;
}

/**
 * Deno (2.9) reads on from the TCP socket below a paused TLS socket, and keeps all of it: there the
 * handle is told by hand. Node (20 to 26) stops by itself.
 */
export function pauseBelow(secure: net.Socket, socket: net.Socket): void {
  if (!("Deno" in globalThis)) return;
  const { _handle: handle } = socket as { _handle?: { readStart(): void; readStop(): void } };
  const follow = () => secure.isPaused() ? handle?.readStop() : handle?.readStart();
  secure.on("pause", follow).on("resume", follow);
}

/**
 * Writes to an open socket, and calls `done` when that is through. What is less than a socket's
 * high-water mark goes past the queue of its Writable while nothing is in there: on Node (20 to 26)
 * that saves a sixteenth of a request's CPU time, on Deno (2.9) a quarter. `_write` takes one call
 * at a time, so what is written meanwhile stays corked; the socket mustn't be ended before `done`.
 */
export function writePast(socket: Duplex, chunk: Buffer | string, done: () => void): void {
  const encoding = typeof chunk === "string" ? "latin1" : "buffer" as BufferEncoding;
  const idle = socket.writable && socket.writableLength === 0 && socket.writableCorked === 0;
  const past = idle && chunk.length < socket.writableHighWaterMark && socket instanceof net.Socket;
  if (!past) return void socket.write(chunk, encoding, done);
  socket.cork();
  socket._write(chunk, encoding, (error) => {
    done();
    socket.uncork();
    if (error) socket.destroy(error);
  });
}

/** Not by the callback of an empty write: after one, Deno (2.9) doesn't send the next bytes. */
export function destroyWhenWritten(socket: net.Socket): void {
  if (socket.writableLength === 0 || socket.destroyed) socket.destroy();
  else setTimeout(destroyWhenWritten, 10, socket);
}

/**
 * Options of a TLS server socket that staple an OCSP response (RFC 6066 section 8): Node (20 to 26)
 * asks a server for it, with the context that was chosen by name. Deno (2.9) has no stapling.
 */
export function stapling(
  { context, staple }: { context: tls.SecureContext; staple?: Buffer | undefined },
): tls.TLSSocketOptions {
  if (staple === undefined || "Deno" in globalThis) return {};
  const server = new EventEmitter();
  type Answer = (error: null, response: Buffer) => void;
  server.on("OCSPRequest", (_leaf, _issuer, answer: Answer) => answer(null, staple));
  const SNICallback: tls.TLSSocketOptions["SNICallback"] = (_name, done) => done(null, context);
  return { server: server as net.Server, SNICallback };
}

/** Deno (2.9) serves no certificate with the critical extension of TLS-ALPN-01 (RFC 8737 3). */
export const canServeAcmeTls = (): boolean => !("Deno" in globalThis);

/**
 * SIGUSR1, as what rotates logs sends it, and SIGUSR2. The former would have Node (20 to 26) listen
 * for a debugger, unless somebody listens for the signal; Deno (from 2.9.2 on) does in any case, on
 * this machine's own port 9229, which is closed again here, if that is allowed: there SIGUSR2 is
 * the better one.
 */
export function onUserSignal(act: () => void): void {
  process.on("SIGUSR2", act);
  if (!("Deno" in globalThis)) return void process.on("SIGUSR1", act);
  const loaded = import("node:inspector").then((inspector) => {
    return inspector.url() === undefined ? inspector : undefined; // else somebody wants it
  }).catch(() => undefined); // nor may this be asked without --allow-sys=inspector
  process.on("SIGUSR1", async () => {
    act();
    const inspector = await loaded;
    for (let looks = 0; looks < 500 && inspector !== undefined; looks++) {
      if (inspector.url() !== undefined) return inspector.close();
      await new Promise((done) => setTimeout(done, 2));
    }
  });
}
