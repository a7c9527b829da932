/**
 * A registry of Docker images behind Centauri, as a real engine pushes to it and pulls from it:
 * over HTTP/1.1, with a certificate that the engine checks. REGISTRY_LONG=1 asks for 20 rounds with
 * layers of up to 500 MiB: it takes half an hour, and 4 GiB of disk.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import tls from "node:tls";
import { toPem } from "../lib/x509.ts";
import { freePorts } from "./acmepeers.ts";
import { canStartEngine, Engine } from "./engine.ts";
import {
  type Centauri,
  findProgram,
  needProgram,
  run,
  startCentauri,
  temporaryFolder,
} from "./support.ts";

const KIB = 1024, MIB = 1024 * KIB;
const [ROUNDS, SIZES] = process.env.REGISTRY_LONG === undefined
  ? [4, [KIB, MIB, MIB + 1, 50 * MIB]] as const
  : [20, [KIB, MIB, 50 * MIB, 500 * MIB]] as const;
const COMMAND_MS = 15 * 60_000;
const START_MS = 20_000;
const NAME = "registry.example";

interface Registry {
  readonly port: number;
  /** Forgets all images. */
  clear(): Promise<void>;
}

async function startRegistry(t: TestContext): Promise<Registry> {
  const folder = await temporaryFolder(t);
  const [port = 0] = await freePorts(1);
  const settings = {
    version: 0.1,
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "images") } }, // and no cache
    http: { addr: `127.0.0.1:${port}` },
  };
  await writeFile(join(folder, "config.yml"), JSON.stringify(settings));
  const program = findProgram("docker-registry") as string;
  const child = spawn(program, ["serve", join(folder, "config.yml")], { stdio: "ignore" });
  const ended = once(child, "close");
  t.after(() => (child.kill("SIGKILL"), ended));
  const answers = () => fetch(`http://127.0.0.1:${port}/v2/`).then(({ ok }) => ok, () => false);
  for (const start = Date.now(); !await answers(); await setTimeout(50)) {
    assert.ok(Date.now() - start < START_MS, "docker-registry doesn't start");
  }
  const clear = () => rm(join(folder, "images"), { recursive: true, force: true });
  return { port, clear };
}

/** The certificate that Centauri made for the name, as the only one to trust. */
async function certificateOf({ httpsPort: port, folder }: Centauri): Promise<string> {
  const options = { host: "127.0.0.1", port, servername: NAME, rejectUnauthorized: false };
  const socket = tls.connect(options);
  await once(socket, "secureConnect");
  const file = join(folder, "ca.pem");
  await writeFile(file, toPem("CERTIFICATE", socket.getPeerCertificate().raw));
  socket.destroy();
  return file;
}

/**
 * An engine that knows the registry's name: at an address of this machine that isn't 127.0.0.1, as
 * there an engine trusts every registry.
 */
async function startEngine(t: TestContext, caFile: string): Promise<Engine> {
  const engine = new Engine(await mkdtemp(join(tmpdir(), "docker-test-")));
  t.after(() => engine.end());
  engine.timeout = COMMAND_MS;
  await engine.startUp();
  await engine.createNetwork("outside");
  const gateway = "{{(index .IPAM.Config 0).Gateway}}";
  const address = await engine.docker("network", "inspect", "-f", gateway, "outside");
  await engine.shutDown();
  await engine.startUp({ hosts: `${address} ${NAME}\n`, caFile });
  return engine;
}

/** An image of one layer, about so many bytes that nothing compresses; its id. */
async function makeImage(engine: Engine, name: string, size: number): Promise<string> {
  const folder = join(engine.folder, "layer");
  await mkdir(folder);
  const file = await open(join(folder, "data"), "w");
  for (let left = size; left > 0; left -= MIB) {
    await file.write(randomFillSync(Buffer.alloc(Math.min(left, MIB))));
  }
  await file.close();
  const archive = join(engine.folder, "layer.tar");
  const { code, stderr } = await run("tar", ["-C", folder, "-cf", archive, "."], {
    timeout: COMMAND_MS,
  });
  assert.equal(code, 0, stderr);
  await engine.docker("import", archive, name);
  await rm(folder, { recursive: true });
  await rm(archive);
  return idOf(engine, name);
}

const idOf = (engine: Engine, name: string): Promise<string> =>
  engine.docker("image", "inspect", "-f", "{{.Id}}", name);

test(`an engine pushes and pulls images ${ROUNDS} times, ${SIZES.length} at a time`, async (t) => {
  if (!needProgram(t, "docker-registry") || !canStartEngine(t)) return;
  const registry = await startRegistry(t);
  const centauri = await startCentauri(t, {
    routes: `route ${NAME}\n  upstream 127.0.0.1:${registry.port}\n`,
  });
  const engine = await startEngine(t, await certificateOf(centauri));
  const names = SIZES.map((size, i) => `${NAME}:${centauri.httpsPort}/image${i}:${size}`);
  const ids: string[] = [];
  for (const [i, size] of SIZES.entries()) ids.push(await makeImage(engine, names[i], size));
  // An engine repeats what fails five times, and says so.
  const transfer = async (how: "push" | "pull"): Promise<void> => {
    for (const told of await Promise.all(names.map((name) => engine.docker(how, name)))) {
      assert.doesNotMatch(told, /retrying|already exists/i);
    }
  };
  const start = performance.now();
  for (let round = 1; round <= ROUNDS; round++) {
    await transfer("push");
    await engine.docker("rmi", ...names);
    await transfer("pull");
    assert.deepEqual(await Promise.all(names.map((name) => idOf(engine, name))), ids);
    await registry.clear();
    const seconds = ((performance.now() - start) / 1000).toFixed();
    t.diagnostic(`${round} rounds after ${seconds} s`);
  }
  const complaints = centauri.logs.filter((line) => /"level":"(WARN|ERROR)"/i.test(line));
  assert.deepEqual(complaints, []);
});
