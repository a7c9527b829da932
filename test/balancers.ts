/** Balancers in front of Centauri that pass connections on with PROXY headers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { TestContext } from "node:test";
import { type Peer, startPeer, withPorts } from "./acmepeers.ts";
import { needProgram, run, type Scope, temporaryFolder } from "./support.ts";

const NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so";

export interface Balancer extends Peer {
  /** In the order that `frontends` were asked for in; each on 127.0.0.1 and [::1]. */
  readonly ports: readonly number[];
}

/** A place that HAProxy listens on: `bind` and `server` options, and lines of its backend. */
export interface HaproxyFrontend {
  /** `host:port` of Centauri. */
  readonly to: string;
  readonly server: string;
  readonly bind?: string;
  readonly backend?: string;
}

/** HAProxy in mode tcp. In its folder are a certificate with key, `client.pem`, for `ssl crt`. */
export async function startHaproxy(
  t: TestContext,
  frontends: readonly HaproxyFrontend[],
): Promise<Balancer> {
  const cwd = await temporaryFolder(t);
  await makeCertificate(cwd);
  return await withPorts(frontends.length, async (ports) => {
    const sections = frontends.map(({ to, server, bind = "", backend = "" }, i) => `
frontend f${i}
  bind 127.0.0.1:${ports[i]} ${bind}
  bind [::1]:${ports[i]} ${bind}
  unique-id-format %{+X}o\\ %ci:%cp
  default_backend b${i}
backend b${i}
  ${backend}
  server s ${to} ${server}
`);
    const timeouts = ["connect", "client", "server", "check"].map((what) =>
      `  timeout ${what} 60s\n`
    );
    const text = `defaults\n  mode tcp\n${timeouts.join("")}${sections.join("")}`;
    await writeFile(join(cwd, "haproxy.cfg"), text);
    const args = ["-db", "-f", "haproxy.cfg"];
    const peer = await startPeer(t, "haproxy", args, { cwd }, () => connectTo(ports));
    return { ...peer, ports };
  });
}

async function makeCertificate(folder: string): Promise<void> {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const out = ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=client.example"];
  const { code } = await run("openssl", ["req", "-x509", ...key, ...out, "-days", "3"], {
    cwd: folder,
  });
  assert.equal(code, 0);
  const parts = ["key.pem", "cert.pem"].map((name) => readFile(join(folder, name), "utf8"));
  await writeFile(join(folder, "client.pem"), (await Promise.all(parts)).join(""));
}

/** Whether nginx is there, and its module for streams; else as needProgram(). */
export function needNginxStream(t: TestContext): boolean {
  if (!needProgram(t, "nginx")) return false;
  if (existsSync(NGINX_STREAM)) return true;
  const message = "skipped: nginx has no module for streams";
  if (process.env.REQUIRE_PROGRAMS) assert.fail(`${message}, and REQUIRE_PROGRAMS is set`);
  t.skip(message);
  return false;
}

/** nginx that passes connections on, `proxy_protocol on`, to each of these `host:port`. */
export async function startNginxStream(
  t: TestContext,
  to: readonly string[],
): Promise<Balancer> {
  const cwd = await temporaryFolder(t);
  return await withPorts(to.length, async (ports) => {
    const servers = to.map((address, i) =>
      `server { listen 127.0.0.1:${ports[i]}; listen ` +
      `[::1]:${ports[i]}; proxy_pass ${address}; proxy_protocol on; }`
    );
    const head = `load_module ${NGINX_STREAM};\ndaemon off;\nmaster_process off;\n`;
    const files = `pid ${cwd}/nginx.pid;\nerror_log stderr;\nevents {}\n`;
    const text = `${head}${files}stream {\n  ${servers.join("\n  ")}\n}\n`;
    await writeFile(join(cwd, "nginx.conf"), text);
    const args = ["-p", cwd, "-c", join(cwd, "nginx.conf"), "-e", "stderr"];
    const peer = await startPeer(t, "nginx", args, { cwd }, () => connectTo(ports));
    return { ...peer, ports };
  });
}

async function connectTo(ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect").finally(() => socket.destroy());
  }
}

/**
 * A balancer that a test plays: of each connection it passes on, it sends the header, and then what
 * the client sent first, in pieces of `size` bytes (default: all at once), and the rest as it comes.
 */
export async function startRelay(
  t: Scope,
  to: number,
  { header, size = Infinity }: { header: Uint8Array; size?: number },
): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ noDelay: true }, (client) => {
    const behind = net.connect({ port: to, host: "127.0.0.1", noDelay: true });
    for (const socket of [client, behind]) {
      sockets.add(socket.on("error", () => {}));
      socket.on("close", () => (client.destroy(), behind.destroy()));
    }
    client.once("data", async (first: Uint8Array) => {
      client.pause();
      const bytes = new Uint8Array([...header, ...first]);
      for (let at = 0; at < bytes.length; at += size) {
        await new Promise<void>((done) => behind.write(bytes.slice(at, at + size), () => done()));
        if (at < header.length + 60) await new Promise((done) => setTimeout(done, 2));
      }
      client.pipe(behind);
      behind.pipe(client);
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as net.AddressInfo).port;
}
