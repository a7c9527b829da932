/** 1 GiB down and 1 GiB up through each proxy: how much CPU time, and how much more memory. */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { truncateSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { Readable } from "node:stream";
import { run } from "../test/support.ts";
import { LOADS } from "./loads.ts";
import { cpuSeconds, peakMiB, resetPeaks, residentMiB } from "./proc.ts";
import { CLIENT_CORE, type Contender } from "./proxies.ts";
import { perKind, type Subject } from "./subject.ts";

const GIB = 2 ** 30;
const PIECE = Buffer.alloc(64 * 1024, "x");
const TRANSFER_MS = 120_000;
const VERSIONS = { h1: ["--http1.1", "1.1"], h2: ["--http2", "2"] } as const;

export const LARGE_SUBJECTS: readonly Subject[] = (["h1", "h2"] as const).map((protocol) => ({
  name: `gib-${protocol}`,
  rows: ["down", "up"].flatMap((way) => {
    const title = `${LOADS[protocol].title}, 1 GiB ${way}`;
    const memory = { digits: 0, hasRatio: false, isDetail: true };
    return [
      { title: `${title}: CPU s`, digits: 2 },
      { title: `${title}: more memory, MiB`, ...memory },
    ];
  }),
  mostRuns: 1,
  async begin(bench) {
    const server = http.createServer(answer).listen(0, "127.0.0.1").unref();
    await once(server, "listening");
    await run("taskset", ["-cp", CLIENT_CORE, String(process.pid)]); // the upstream is this process
    const { port } = server.address() as AddressInfo;
    const file = bench.write("gib", "");
    truncateSync(file, GIB); // a hole: it takes no memory
    const started = perKind((kind) => bench.startProxy(kind, port));
    return async (kind) => {
      const proxy = await started(kind);
      const down = await transfer(proxy, protocol, []);
      return [...down, ...await transfer(proxy, protocol, ["-T", file])];
    };
  },
}));

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

/** CPU seconds, and MiB above what there was before. */
async function transfer(
  { port, pid }: Contender,
  protocol: "h1" | "h2",
  upload: readonly string[],
): Promise<number[]> {
  const [option, version] = VERSIONS[protocol];
  const rest = residentMiB(pid);
  resetPeaks(pid);
  const before = cpuSeconds(pid);
  const format = "%{http_code} %{http_version} %{size_download} %{size_upload}";
  const args = ["-c", CLIENT_CORE, "curl", "-sSk", option, "-o", "/dev/null", "-w", format];
  const url = `https://localhost:${port}/`;
  const timeout = { timeout: TRANSFER_MS };
  const { stdout, stderr } = await run("taskset", [...args, ...upload, url], timeout);
  const seconds = cpuSeconds(pid) - before;
  const sizes = upload.length > 0 ? `0 ${GIB}` : `${GIB} 0`;
  if (stdout !== `200 ${version} ${sizes}`) throw new Error(`${stdout} ${stderr}`);
  return [seconds, peakMiB(pid) - rest];
}
