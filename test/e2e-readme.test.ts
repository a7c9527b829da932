/**
 * The command lines of README.md and docs/*.md, followed to the letter: each block by a shell, in a
 * copy of what a clone has. Only this is different: paths of the system are below a temporary
 * folder, `sudo` and `systemctl` do nothing of their own, the engine is the tests', and what would
 * go on for ever, or ask somebody on the internet, ends early: see readmecommands.ts.
 */
import assert from "node:assert/strict";
import { chmod, cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { startFakeEngine } from "./fakeengine.ts";
import { issue } from "./pki.ts";
import { allCommands, type Command, HOW, type How } from "./readmecommands.ts";
import {
  findProgram,
  needProgram,
  root,
  run,
  runtimeCommand,
  startProgram,
  temporaryFolder,
} from "./support.ts";

/** As a unit's, but for the ports, and without a CA: nobody is asked for certificates. */
const NO_PORTS = { HTTP_PORT: "0", HTTPS_PORT: "0", LOG_FORMAT: "json", ACME_EMAIL: "" };
const BLOCK_MS = 300_000;
const START_MS = 60_000;
/** Folders of the system, where a path begins. */
const SYSTEM_PATH = /(?<![\w.}-])\/(?=(?:opt|etc|var|run|data)\/)/g;

const PROGRAMS: Readonly<Record<string, string>> = {
  sudo: 'exec "$@"',
  systemctl: 'echo "systemctl $*"',
  nginx: "exit 0", // it would look for certificates; e2e-templates.test.ts has the real one
};

interface Place {
  readonly system: string;
  readonly clone: string;
  readonly env: Readonly<Record<string, string>>;
}

/** A clone, a system, and an engine with a site. */
async function preparePlace(t: TestContext): Promise<Place> {
  const system = await temporaryFolder(t);
  const [clone, bin] = [join(system, "clone"), join(system, "bin")];
  for (const folder of ["clone", "bin", "etc/systemd/system", "data/output", "nginx"]) {
    await mkdir(join(system, folder), { recursive: true });
  }
  for (const name of ["package.json", "centauri.ts", "dotege.ts", "lib", "templates", "examples"]) {
    await cp(join(root, name), join(clone, name), { recursive: true });
  }
  for (const name of ["test", "bench", "node_modules", "tsconfig.json"]) {
    await symlink(join(root, name), join(clone, name));
  }
  const files: readonly (readonly [path: string, text: string])[] = [
    ["clone/centauri.conf", "route www.example.com\n  upstream 127.0.0.1:3000\n"],
    ["run/secrets/dns", "token\n"],
    ["etc/ssl/our-ca.pem", issue({ subject: "ca" }).cert],
    ["var/run/docker.sock", ""], // only its group is asked for: DOCKER_HOST says where it is
    ["var/lib/centauri/.keep", ""],
    ["data/config/.keep", ""],
    ["data/certs/.keep", ""],
  ];
  for (const [path, text] of files) {
    await mkdir(dirname(join(system, path)), { recursive: true });
    await writeFile(join(system, path), text);
  }
  const runtime = runtimeCommand("").slice(0, -1).map((word) => `'${word}'`).join(" ");
  const node = `[ "$1" = --import ] && shift 2\nexec ${runtime} "$@"`;
  for (const [name, script] of Object.entries({ ...PROGRAMS, node })) {
    await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(bin, name), 0o755);
  }
  const engine = await startFakeEngine(t);
  await engine.run("web", {
    ...{ labels: { "com.chameth.vhost": "www.example.com" }, expose: [80], network: "front" },
  });
  for (const name of ["haproxy", "nginx"]) await engine.run(name);
  const kept = ["HOME", "TMPDIR", "DENO_DIR"].flatMap((name) =>
    process.env[name] === undefined ? [] : [[name, process.env[name] as string]]
  );
  const path = `${bin}:${process.env.PATH ?? ""}:/usr/sbin`;
  return { system, clone, env: { ...Object.fromEntries(kept), PATH: path, ...engine.env } };
}

/** The commands of each block that are to be run, with how. */
function blocks(): (readonly [Command, How])[][] {
  const groups = new Map<string, (readonly [Command, How])[]>();
  for (const command of allCommands()) {
    const how = HOW.get(command.text) ?? {};
    if (command.inline || (how.as === undefined && isElsewhere(how))) continue;
    const key = `${command.file}:${command.block}`;
    groups.set(key, [...groups.get(key) ?? [], [command, how]]);
  }
  return [...groups.values()];
}

function isElsewhere({ elsewhere, unit, prints }: How): boolean {
  return unit !== undefined || (elsewhere !== undefined && prints === undefined);
}

/** The block as a script: each command says itself, and the first that fails ends it. */
function scriptOf(block: readonly (readonly [Command, How])[], { system }: Place): string {
  const lines = block.map(([{ text }, { as = "&" }]) =>
    as.replaceAll("&", (one, at: number) => isJoin(as, at) ? one : text)
  );
  return ["set -eu", ...lines].join("\n").replaceAll(SYSTEM_PATH, `${system}/`);
}

/** Whether the `&` there is one of `&&`. */
function isJoin(text: string, at: number): boolean {
  return text[at - 1] === "&" || text[at + 1] === "&";
}

/** A Centauri for `--status` to ask, as the unit starts it, or in the clone. */
async function startServer(t: TestContext, place: Place, store: string | undefined): Promise<void> {
  const isUnit = store?.startsWith("/var/lib/centauri/") ?? false;
  const { system, clone, env } = place;
  const unit = join(system, "etc/systemd/system/centauri.service");
  const program = isUnit ? join(system, "opt/centauri/centauri.ts") : join(clone, "centauri.ts");
  const variables = isUnit ? await environmentOf(unit, system) : {};
  const centauri = startProgram(t, "", {
    command: [...runtimeCommand("").slice(0, -1), program],
    env: { ...env, ...variables, ...NO_PORTS },
    cwd: clone,
  });
  await centauri.waitForLog(({ service }) => service === "https", START_MS);
}

async function environmentOf(unit: string, system: string): Promise<Record<string, string>> {
  const text = (await readFile(unit, "utf8")).replaceAll(SYSTEM_PATH, `${system}/`);
  const pairs = [...text.matchAll(/^Environment=(.*)$/gm)].flatMap(([, line = ""]) =>
    line.split(" ").map((pair) => pair.split("=", 2) as [string, string])
  );
  assert.ok(pairs.length > 0);
  return Object.fromEntries(pairs);
}

test("whoever copies the command lines of the pages gets what they say", async (t) => {
  if (!needProgram(t, "docker-compose") || !needProgram(t, "openssl")) return;
  const place = await preparePlace(t);
  const bash = findProgram("bash") ?? "bash";
  const all = blocks();
  assert.ok(all.length > 10);
  const started = new Set<string>();
  for (const block of all) {
    const [{ file, block: line }] = block[0] as readonly [Command, How];
    await t.test(`${file}:${line}`, async () => {
      for (const [{ text }] of block) {
        const [asks, store] = /--status\b(?!-)(?:.* --certificate-store (\S+))?/.exec(text) ?? [];
        if (asks === undefined || started.has(store ?? "certs.json")) continue;
        started.add(store ?? "certs.json");
        await startServer(t, place, store);
      }
      const script = scriptOf(block, place);
      const { env, clone: cwd } = place;
      const { code, stdout, stderr } = await run(bash, ["-c", script], {
        ...{ env, cwd, timeout: BLOCK_MS },
      });
      const said = `${script}\n${stdout}${stderr}`;
      assert.equal(code, 0, said);
      for (const [, { prints }] of block) if (prints) assert.match(stdout + stderr, prints, said);
    });
  }
});
