/**
 * A TLS client in a process of its own, for what no load generator of Debian does: handshakes with
 * a server name and without resumption, and connections that are only open.
 *
 *     client.ts handshakes PORT SECONDS    writes how many there were
 *     client.ts idle PORT COUNT            asks once on each connection, writes `idle`, and ends
 *                                          with its input
 *
 * Exit code 1, and a line that says why, as soon as anything fails.
 */
import { once } from "node:events";
import process from "node:process";
import tls from "node:tls";

const AT_A_TIME = 16;
const REQUEST = "GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GOOD = /^HTTP\/1\.1 200 [^]*\r\n\r\nhello$/;

const [mode, port, amount] = process.argv.slice(2);

/** Resolves after the handshake, which is a full one of TLS 1.3. */
async function connect(): Promise<tls.TLSSocket> {
  const to = { host: "127.0.0.1", port: Number(port), servername: "localhost" };
  const socket = tls.connect({ ...to, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
  await once(socket, "secureConnect");
  if (socket.isSessionReused()) throw new Error("the session was resumed");
  if (socket.getProtocol() !== "TLSv1.3") throw new Error(`${socket.getProtocol()}`);
  return socket;
}

async function handshakes(seconds: number): Promise<void> {
  let count = 0;
  const end = Date.now() + seconds * 1000;
  await inTurns(async () => {
    if (Date.now() >= end) return false;
    const socket = await connect();
    await new Promise<void>((resolve) => socket.end(resolve));
    socket.destroy();
    count++;
    return true;
  });
  console.log(count);
}

async function idle(count: number): Promise<void> {
  let started = 0;
  await inTurns(async () => {
    if (started++ >= count) return false;
    const socket = await connect();
    socket.on("close", () => fail(new Error("a connection was closed")));
    await ask(socket); // at once: a head that doesn't come is no idle connection
    return true;
  });
  console.log("idle");
  await once(process.stdin.resume(), "end");
  process.exit(0);
}

async function ask(socket: tls.TLSSocket): Promise<void> {
  let text = "";
  socket.write(REQUEST);
  while (!text.endsWith("hello")) text += (await once(socket, "data"))[0];
  if (!GOOD.test(text)) throw new Error(text.slice(0, text.indexOf("\r\n")));
}

/** Calls `next` again and again, a few at a time, until it resolves with false. */
async function inTurns(next: () => Promise<boolean>): Promise<void> {
  const turns = async (): Promise<void> => {
    while (await next());
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, turns));
}

function fail(error: Error): void {
  console.log(error.message);
  process.exit(1);
}

await (mode === "idle" ? idle : handshakes)(Number(amount)).catch(fail);
