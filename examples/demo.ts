/**
 * Centauri in front of a small upstream, with nothing configured: HTTPS on https://localhost:8443/
 * with a certificate that Centauri signs itself. Ctrl-C ends both.
 *
 *     npx --yes tsx examples/demo.ts       (Node 20 and later)
 *     node examples/demo.ts                (Node 22.18 and later)
 *     deno run -A examples/demo.ts
 */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { startUpstream } from "./upstream.ts";

const START_MS = 20_000;

/** `wanted`, or a port of the system's choice if that one is taken. */
async function freePort(wanted: number): Promise<number> {
  const server = net.createServer().listen(wanted);
  const listens = await once(server, "listening").then(() => true, () => false);
  if (!listens) return freePort(0);
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** The certificate that a TLS server shows for localhost, as PEM; rejects if it isn't there. */
async function certificateOf(port: number): Promise<string> {
  const socket = tls.connect({ port, servername: "localhost", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  // Deno 2.9 gives a Uint8Array here, whose toString() knows no base64.
  const base64 = Buffer.from(socket.getPeerCertificate().raw).toString("base64");
  socket.destroy();
  const lines = base64.match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

const upstream = await startUpstream(0);
const folder = await mkdtemp(join(tmpdir(), "centauri-demo-"));
const [https, http] = [await freePort(8443), await freePort(8080)];
const routes = join(folder, "centauri.conf");
await writeFile(routes, `route localhost\n    upstream 127.0.0.1:${upstream.port}\n`);

// The runtime that runs this file, with the flags it was given: tsx is one of Node's, if in use.
const flags = "Deno" in globalThis ? ["run", "-A", "--no-check"] : process.execArgv;
const centauri = fileURLToPath(new URL("../centauri.ts", import.meta.url));
const options = [
  ...["--config", routes, "--certificate-store", join(folder, "certs.json")],
  ...["--https-port", https, "--http-port", http, "--http-redirect-port", https].map(String),
];
// Detached: Ctrl-C reaches this process only, which sends one signal on.
const child = spawn(process.execPath, [...flags, centauri, ...options], {
  detached: true,
  stdio: ["ignore", "inherit", "inherit"],
});
let [running, stopping] = [true, false];
const stop = (): void => {
  // child.kill() makes Deno 2.9 tell of a child that was killed, whatever its exit code.
  if (running && !stopping && child.pid !== undefined) process.kill(child.pid, "SIGTERM");
  stopping = true;
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
child.on("exit", async (code) => {
  running = false;
  upstream.close();
  await rm(folder, { recursive: true, force: true });
  process.exit(stopping ? code ?? 1 : 1);
});

let certificate: string | undefined;
for (const start = Date.now(); certificate === undefined; await setTimeout(100)) {
  certificate = await certificateOf(https).catch(() => undefined);
  if (Date.now() - start > START_MS) stop();
}
const file = join(folder, "localhost.pem");
await writeFile(file, certificate);
console.log(`
Open    https://localhost:${https}/   (the browser warns: nobody but Centauri signed it)
Prove   curl --cacert ${file} https://localhost:${https}/hello
Watch   curl --cacert ${file} -N https://localhost:${https}/events
Follow  curl --cacert ${file} -L http://localhost:${http}/redirected
Ctrl-C ends it.
`);
