/** What machines do to programs: kills, full disks, no descriptors, clocks that jump, slow clients. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import tls from "node:tls";
import {
  type Centauri,
  httpsExchange,
  needProgram,
  runtimeCommand,
  startCentauri,
  startProgram,
  startRawUpstream,
  temporaryFolder,
  thisRuntime,
} from "./support.ts";

const isDeno = thisRuntime.kind === "deno";
/** KILLS=1000 by hand. */
const KILLS = Number(process.env.KILLS ?? 20);
/** SLOW=10000 by hand, as far as the system allows so many files. Deno takes 480 by itself. */
const SLOW = Number(process.env.SLOW ?? (isDeno ? 400 : 1_000));
const DAY = 86_400_000;

async function startHello(t: TestContext): Promise<string> {
  const { port } = await startRawUpstream(t, (socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
  });
  return `route a.test\n  provider selfsigned\n  upstream 127.0.0.1:${port}\n`;
}

function ask({ httpsPort }: Centauri): Promise<string> {
  return httpsExchange(httpsPort, "a.test", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", { until: 1 });
}

/** What a shell does before it becomes Centauri. */
function after(shell: string): string[] {
  return ["sh", "-c", `${shell} && exec "$@"`, "sh", ...runtimeCommand("centauri.ts")];
}

test("a file that is being written when its writer is killed is the old or the new", async (t) => {
  const folder = await temporaryFolder(t);
  const [path, size] = [join(folder, "file"), 200_000];
  const seen = new Set<string>();
  for (let kills = 0; kills < KILLS; kills++) {
    const writer = startProgram(t, "test/kill-writer.ts", { args: [path, String(size)] });
    await writer.waitForLog(({ msg }) => msg === "begun", 60_000);
    await setTimeout(randomInt(40));
    writer.signal("SIGKILL");
    await writer.stop();
    const text = await readFile(path, "utf8");
    assert.equal(text.length, size);
    assert.equal(text, text.charAt(0).repeat(size));
    seen.add(text.charAt(0));
  }
  assert.ok(seen.size > 0);
  // What kills leave is removed later, by writes an hour old; nothing else is left.
  const left = (await readdir(folder)).filter((name) => name !== "file");
  assert.ok(left.every((name) => /^\.file\.[0-9a-f]{24}\.tmp$/.test(name)), left.join(" "));
});

test("without free descriptors clients wait or are turned away, and later all is well", async (t) => {
  // Deno 2.9 never accepts again once it has none: there the limit must come before.
  const args = isDeno ? ["--max-connections", "20"] : [];
  const centauri = await startCentauri(t, {
    ...{ routes: await startHello(t), args, command: after(`ulimit -n ${isDeno ? 400 : 100}`) },
  });
  assert.match(await ask(centauri), /^HTTP\/1\.1 200 /);
  const sockets = Array.from(
    { length: 200 },
    () => net.connect(centauri.httpsPort, "127.0.0.1").on("error", () => {}),
  );
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  await Promise.all(
    sockets.map((socket) =>
      new Promise((resolve) => socket.once("connect", resolve).once("close", resolve))
    ),
  );
  await setTimeout(500); // for what it does about those that it can't accept
  for (const socket of sockets) socket.destroy();
  for (let tries = 0;; tries++) {
    const answer = await ask(centauri).catch((error: Error) => error.message);
    if (/^HTTP\/1\.1 200 /.test(answer)) break;
    assert.ok(tries < 30, answer);
    await setTimeout(50);
  }
  assert.equal(await centauri.stop(), 0);
});

test("a disk without room costs no request, and the log says what wasn't written", async (t) => {
  if (!needProgram(t, "unshare") || process.getuid?.() !== 0) return;
  const folder = await temporaryFolder(t);
  const mount = `mount -t tmpfs -o size=8k none ${folder} && echo "[]" >${folder}/certs.json`;
  const fill = `head -c 100000 /dev/zero >${folder}/fill 2>/dev/null; true`;
  const centauri = await startCentauri(t, {
    routes: await startHello(t),
    env: { CERTIFICATE_STORE: join(folder, "certs.json") },
    command: ["unshare", "--mount", ...after(`${mount} && { ${fill}; }`)],
  });
  assert.match(await ask(centauri), /^HTTP\/1\.1 200 /);
  const record = await centauri.waitForLog(({ msg }) => msg === "certificate not stored");
  assert.match(String(record.error), /ENOSPC|no space/i);
  assert.match(await ask(centauri), /^HTTP\/1\.1 200 /);
  assert.equal(await centauri.stop(), 0);
});

test("a clock that jumps past a certificate's end gets another certificate", async (t) => {
  if (!needProgram(t, "faketime")) return;
  const library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
  const clock = join(await temporaryFolder(t), "clock");
  await writeFile(clock, "+0d");
  const centauri = await startCentauri(t, {
    routes: await startHello(t),
    env: {
      ...{ LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_NO_CACHE: "1" },
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
  });
  const until = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const settings = { host: "127.0.0.1", servername: "a.test", rejectUnauthorized: false };
      const socket = tls.connect({ ...settings, port: centauri.httpsPort });
      socket.on("error", reject).on("secureConnect", () => {
        resolve(Date.parse(socket.getPeerCertificate().valid_to));
        socket.destroy();
      });
    });
  const first = await until();
  assert.ok(first > Date.now() && first < Date.now() + 40 * DAY);
  await writeFile(clock, "+45d");
  for (let tries = 0; await until() < Date.now() + 45 * DAY; tries++) {
    assert.ok(tries < 100, "it is still the old one");
    await setTimeout(100);
  }
  assert.match(await ask(centauri), /^HTTP\/1\.1 200 /);
});

test("clients that say nothing, or little, keep nobody else from being served", async (t) => {
  const centauri = await startCentauri(t, {
    routes: await startHello(t),
    args: ["--handshake-timeout", "5s", "--header-timeout", "5s"],
  });
  let open = 0;
  const sockets: net.Socket[] = [];
  for (let i = 0; i < SLOW; i++) {
    const port = i % 2 === 0 ? centauri.httpsPort : centauri.httpPort;
    const socket = net.connect(port, "127.0.0.1").on("error", () => {}).resume();
    await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
    open++;
    socket.on("close", () => open--);
    socket.write(i % 2 === 0 ? "\x16\x03" : "GET / HT");
    sockets.push(socket);
    if (i % 100 === 0) assert.match(await ask(centauri), /^HTTP\/1\.1 200 /);
  }
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  assert.match(await ask(centauri), /^HTTP\/1\.1 200 /);
  for (let tries = 0; open > 0; tries++) {
    assert.ok(tries < 600, `${open} are still open`);
    await setTimeout(100);
  }
});
