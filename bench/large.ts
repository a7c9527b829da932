/** 1 GiB down and 1 GiB up through each proxy: how much CPU time, and how much more memory. */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { Readable } from "node:stream";
import { run } from "../test/support.ts";
import { type Bench, CLIENT_CORE, type Contender, cpuSeconds, processTree } from "./proxies.ts";

const GIB = 2 ** 30;
const PIECE = Buffer.alloc(64 * 1024, "x");
const TRANSFER_MS = 120_000;

/** Prints a table as it goes; throws when bytes are missing. */
export async function measureLarge(bench: Bench, kinds: readonly string[]): Promise<void> {
  const server = http.createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  await run("taskset", ["-cp", CLIENT_CORE, String(process.pid)]); // the upstream is this process
  const { port } = server.address() as AddressInfo;
  const file = bench.write("gib", "");
  truncateSync(file, GIB); // a hole: it takes no memory
  console.log("| 1 GiB | CPU s | memory at rest, MiB | at most, more |\n| --- | --- | --- | --- |");
  try {
    for (const kind of kinds) {
      const proxy = await bench.startProxy(kind, port);
      const options = ["-o", "/dev/null", "-w", "%{http_code} %{size_download} %{size_upload}"];
      await transfer(proxy, "down", [...options, `https://localhost:${proxy.port}/`]);
      await transfer(proxy, "up", [...options, "-T", file, `https://localhost:${proxy.port}/`]);
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** GET / is 1 GiB; PUT counts what comes and answers 200 if it is 1 GiB. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  if (request.method === "PUT") {
    let bytes = 0;
    request.on("data", (chunk: Buffer) => bytes += chunk.length);
    request.on("end", () => response.writeHead(bytes === GIB ? 200 : 500).end());
    return;
  }
  if (request.url === "/small") return void response.end("hello");
  response.writeHead(200, { "Content-Length": GIB });
  Readable.from(Array(GIB / PIECE.length).fill(PIECE)).pipe(response);
}

async function transfer(proxy: Contender, what: string, args: readonly string[]): Promise<void> {
  const rest = memory(proxy.pid, "VmRSS");
  for (const pid of processTree(proxy.pid)) writeFileSync(`/proc/${pid}/clear_refs`, "5"); // peaks
  const before = cpuSeconds(proxy.pid);
  const curl = ["-c", CLIENT_CORE, "curl", "-sSk", "--http1.1", ...args];
  const { stdout, stderr } = await run("taskset", curl, { timeout: TRANSFER_MS });
  const [status, ...sizes] = stdout.split(" ");
  if (status !== "200" || !sizes.includes(String(GIB))) {
    throw new Error(`${proxy.name}, ${what}: ${stdout} ${stderr}`);
  }
  const seconds = (cpuSeconds(proxy.pid) - before).toFixed(2);
  const more = memory(proxy.pid, "VmHWM") - rest;
  console.log(`| ${what}, ${proxy.name} | ${seconds} | ${rest.toFixed(1)} | ${more.toFixed(1)} |`);
}

/** A value of /proc/PID/status, MiB, over all the proxy's processes. */
function memory(pid: number, field: "VmRSS" | "VmHWM"): number {
  const values = processTree(pid).map((one) => {
    const status = readFileSync(`/proc/${one}/status`, "latin1");
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  });
  return values.reduce((sum, value) => sum + value, 0) / 1024;
}
