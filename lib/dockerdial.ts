/**
 * Opens connections to a Docker engine: unix socket, TCP, TLS with a client certificate, or ssh's
 * standard streams. Certificates are read for each connection, so that new ones are taken up.
 *
 * Needs `dockerhost.ts`, `httpsclient.ts` (whom a certificate names), the runtime's sockets, and
 * the program ssh for ssh://. On Deno (2.9): --allow-net (or --allow-net=unix:/path), for a unix
 * socket --allow-read and --allow-write of its path, for ssh --allow-run=ssh, for TLS --allow-read
 * of the certificates' folder.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import dns from "node:dns";
import { readFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { Duplex } from "node:stream";
import tls from "node:tls";
import type { DockerHost, DockerTls } from "./dockerhost.ts";
import { checkServerIdentity } from "./httpsclient.ts";

const KEEP_ALIVE = 30_000; // ms without data until TCP asks whether the engine is still there
const ATTEMPT_TIMEOUT = 2_000; // ms for each address of a name but the last
const SHOWN = 500; // characters of what ssh says, from its end

/**
 * Resolves once it is connected (ssh: started); rejects with the runtime's error, or with the
 * signal's reason.
 */
export async function dialDocker({ way }: DockerHost, signal: AbortSignal): Promise<Duplex> {
  if (way.kind === "ssh") return new ProgramStream(spawn("ssh", way.args, { stdio: "pipe" }));
  if (way.kind === "unix") return await connected(net.connect({ path: way.path }), signal);
  const { host, port } = way;
  const to = {
    ...{ host, port, noDelay: true, lookup: dns.lookup },
    ...{ autoSelectFamily: true, autoSelectFamilyAttemptTimeout: ATTEMPT_TIMEOUT },
  };
  if (way.tls === undefined) return await connected(net.connect(to), signal);
  const settings = await tlsSettings(way.tls);
  signal.throwIfAborted();
  const servername = net.isIP(host) === 0 ? host : ""; // RFC 6066 section 3
  return await connected(tls.connect({ ...to, ...settings, servername }), signal, "secureConnect");
}

/** Without ca.pem the system's roots count; without cert.pem and key.pem no one is shown. */
async function tlsSettings({ folder, verify }: DockerTls): Promise<tls.ConnectionOptions> {
  const [ca, cert, key] = await Promise.all(
    ["ca.pem", "cert.pem", "key.pem"].map((name) =>
      folder === undefined ? undefined : readFile(join(folder, name), "utf8").catch(refuseOthers)
    ),
  );
  if (folder !== undefined && (cert === undefined) !== (key === undefined)) {
    throw new Error(`${folder} has only one of cert.pem and key.pem: expected both, or none`);
  }
  return {
    rejectUnauthorized: verify,
    checkServerIdentity,
    ...ca !== undefined && { ca },
    ...cert !== undefined && key !== undefined && { cert, key },
  };
}

function refuseOthers(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}

function connected(
  socket: net.Socket,
  signal: AbortSignal,
  event: "connect" | "secureConnect" = "connect",
): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      socket.destroy();
    };
    signal.addEventListener("abort", abort);
    socket.once(event, () => resolve(socket.setKeepAlive(true, KEEP_ALIVE)));
    socket.on("error", reject); // stays, so that an error is never without a listener
    socket.once("close", () => reject(new Error("the connection was closed")));
    const forget = () => signal.removeEventListener("abort", abort);
    socket.once(event, forget).once("close", forget);
    if (signal.aborted) abort();
  });
}

/** A program's standard streams as one; an error says what it said last. */
class ProgramStream extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams;
  #said = "";

  constructor(child: ChildProcessWithoutNullStreams) {
    super();
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-SHOWN);
    });
    child.stdout.on("data", (chunk) => void (this.push(chunk) || child.stdout.pause()));
    child.stdin.on("error", () => {}); // the end of the program says more
    child.on("error", (error) => this.destroy(error));
    child.on("close", (code, signal) => {
      const end = code === null ? `by ${signal}` : `with code ${code}`;
      if (code === 0) this.push(null);
      else this.destroy(new Error(`ssh ended ${end}, and said: ${this.#said.trim()}`));
    });
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: unknown, _encoding: string, done: () => void): void {
    this.#child.stdin.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.kill();
    done(error);
  }
}
