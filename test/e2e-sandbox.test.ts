/**
 * The least-privilege command lines of examples/systemd/, as they stand there but for the paths:
 * that the programs work so, and that whoever took them over couldn't do what they never do.
 */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import {
  httpsExchange,
  needProgram,
  root,
  run,
  startProgram,
  startRawUpstream,
  temporaryFolder,
  thisRuntime,
} from "./support.ts";

const UNITS = join(root, "examples/systemd");
const { kind, version } = thisRuntime;
const UNIT = kind === "deno" ? "centauri-deno" : "centauri";
/** What runs TypeScript and has permissions; older ones have no such command line. */
const hasPermissions = kind === "deno" || Number(version.split(".")[0]) >= 24;

/** The lowest that systemd-analyze gives the units, of 10 for no protection at all. */
const EXPOSURE = 2;

interface Sandbox {
  readonly configuration: string;
  readonly data: string;
  /** The unit's ExecStart with this machine's paths. */
  readonly command: readonly string[];
}

/** With configuration and data in folders of their own. */
async function sandbox(t: TestContext, unit: string, name: string): Promise<Sandbox> {
  const folder = await temporaryFolder(t);
  const [configuration, data] = [join(folder, "etc"), join(folder, "data")];
  await Promise.all([configuration, data].map((path) => mkdir(path)));
  const text = await readFile(join(UNITS, `${unit}.service`), "utf8");
  const start = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(text)?.[1] ?? "";
  const command = start.replaceAll("\\\n", "").split(/ +/).map((word) =>
    word.replaceAll("/opt/centauri/", root).replaceAll(`/etc/${name}`, configuration)
      .replaceAll(`/var/lib/${name}`, data)
  );
  command[0] = process.execPath;
  // Node says of its own option that it is an experiment.
  if (kind === "node" && Number(version.split(".")[0]) >= 26) command.splice(1, 0, "--allow-net");
  return { configuration, data, command };
}

/** What comes of what the program never does, by a probe that runs in its place. */
async function probe(t: TestContext, box: Sandbox): Promise<Record<string, string>> {
  const socketPath = join(await temporaryFolder(t), "docker.sock");
  const engine = net.createServer((socket) => socket.on("error", () => {})).listen(socketPath);
  t.after(() => engine.close());
  const [program = "", ...flags] = box.command.slice(0, -1);
  const script = join(root, "test/sandboxprobe.ts");
  const attempts = [socketPath, "/etc/passwd", box.configuration];
  const { stdout, stderr } = await run(program, [...flags, script, ...attempts]);
  return JSON.parse(stdout || `{ "error": ${JSON.stringify(stderr)} }`);
}

if (hasPermissions) {
  test("Centauri needs no more than its unit allows it", async (t) => {
    const box = await sandbox(t, UNIT, "centauri");
    const upstream = await startRawUpstream(t, (socket) => {
      socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
    });
    const path = join(box.configuration, "centauri.conf");
    const routes = (name: string) =>
      `route ${name}\n  upstream 127.0.0.1:${upstream.port}\n  provider selfsigned\n`;
    await writeFile(path, routes("a.test"));
    const centauri = startProgram(t, "", {
      command: box.command,
      env: {
        ...{ CONFIG: path, HTTP_PORT: "0", HTTPS_PORT: "0", LOG_FORMAT: "json" },
        CERTIFICATE_STORE: join(box.data, "certs.json"),
        USER_DATA: join(box.data, "user.pem"),
      },
    });
    const listening = await centauri.waitForLog(({ service }) => service === "https", 60_000);
    const ask = (name: string) =>
      httpsExchange(listening.port as number, name, `GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`, {
        until: 1,
      });
    assert.match(await ask("a.test"), /^HTTP\/1\.1 200 OK\r\n/);
    await writeFile(path, routes("b.test"));
    const from = centauri.logs.length;
    centauri.signal("SIGHUP");
    await centauri.waitForLog(({ msg }) => msg === "routes loaded", 20_000, from);
    assert.match(await ask("b.test"), /^HTTP\/1\.1 200 OK\r\n/);
    assert.equal(await centauri.stop(), 0);
    assert.ok((await readdir(box.data)).includes("certs.json"));
    const worse = centauri.logs.filter((line) => /"level":"(WARN|ERROR)"/i.test(line));
    assert.deepEqual(worse, []);
  });

  test("in Centauri's place nobody reads other files, writes its own or starts programs", async (t) => {
    const outcomes = await probe(t, await sandbox(t, UNIT, "centauri"));
    const denied = kind === "deno" ? "NotCapable" : "ERR_ACCESS_DENIED";
    const connected = outcomes["connect to the socket"];
    assert.deepEqual(outcomes, {
      // Node tells no kinds of connections apart: there the user's rights and systemd keep it away.
      "connect to the socket": kind === "deno" ? denied : connected,
      "read another file": denied,
      "write its configuration": denied,
      "start a process": denied,
    });
    assert.equal(typeof connected, "string");
  });
}

test("systemd finds nothing wrong with the units, and little that they expose", async (t) => {
  if (!needProgram(t, "systemd-analyze")) return;
  const units = (await readdir(UNITS)).filter((name) => name.endsWith(".service"));
  assert.ok(units.length >= 3);
  for (const unit of units) {
    const path = join(UNITS, unit);
    const { stdout, stderr } = await run("systemd-analyze", ["verify", path]);
    const faults = `${stdout}${stderr}`.split("\n").filter((line) =>
      line !== "" && !/ is not executable: /.test(line)
    );
    assert.deepEqual(faults, []);
    const security = await run("systemd-analyze", ["security", "--offline=yes", path]);
    const exposure = /exposure level for \S+: ([\d.]+)/.exec(security.stdout)?.[1];
    assert.ok(Number(exposure) <= EXPOSURE, `${unit}: exposure ${exposure}`);
  }
});
