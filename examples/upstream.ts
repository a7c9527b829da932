/**
 * A small HTTP server to put behind Centauri: it answers with what it got. `/events` sends the time
 * every second as server-sent events, `/upload` counts the bytes of a body.
 *
 *     node examples/upstream.ts 3000
 */
import type { Buffer } from "node:buffer";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Listens on 127.0.0.1; port 0 is the system's choice. */
export async function startUpstream(port: number): Promise<{ port: number; close: () => void }> {
  const server = http.createServer(answer).listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  if (request.url === "/events") sendEvents(response);
  else if (request.url === "/upload") countBytes(request, response);
  else echo(request, response);
}

function echo(request: http.IncomingMessage, response: http.ServerResponse): void {
  const fields = request.rawHeaders.flatMap((name, i, all) =>
    i % 2 === 0 ? [`${name}: ${all[i + 1]}`] : []
  );
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`${request.method} ${request.url}\n${fields.join("\n")}\n`);
}

function sendEvents(response: http.ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const send = (): void => void response.write(`data: ${new Date().toISOString()}\n\n`);
  const timer = setInterval(send, 1_000);
  response.on("close", () => clearInterval(timer));
  send();
}

function countBytes(request: http.IncomingMessage, response: http.ServerResponse): void {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => bytes += chunk.length);
  request.on("end", () => response.end(`${bytes} bytes\n`));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { port } = await startUpstream(Number(process.argv[2] ?? 3000));
  console.log(`http://127.0.0.1:${port}/`);
}
