/**
 * Dotege as its users run it: the program, an engine, files, and those who are told. Each story is
 * told with the fake engine and, where it is there, with a real one.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { DOTEGE_OPTIONS, dotegeSettings } from "../lib/dotegesettings.ts";
import { parseOptions } from "../lib/options.ts";
import type { TestEngine } from "./dockerscenario.ts";
import { canStartEngine, startEngine } from "./engine.ts";
import { startFakeEngine } from "./fakeengine.ts";
import { type LogRecord, type Program, run, runScript, startProgram } from "./support.ts";
import { temporaryFolder } from "./support.ts";

const PATIENCE = 30_000; // ms for anything to happen
const TEMPLATE = "{{range .Hostnames}}{{.Name}}:" +
  "{{range .Containers}} {{.Name}}:{{.Port}}{{end}}\n{{end}}";

interface Dotege extends Program {
  readonly folder: string;
  readonly template: string;
  readonly output: string;
  /** Resolves once the file has this text. */
  until(text: string, path?: string): Promise<void>;
}

type Env = Readonly<Record<string, string>>;

interface Settings {
  readonly template?: string;
  readonly env?: Env;
  readonly before?: (folder: string) => Promise<void> | void;
}

async function startDotege(
  t: TestContext,
  engine: TestEngine,
  { template = TEMPLATE, env = {}, before }: Settings = {},
): Promise<Dotege> {
  const folder = await temporaryFolder(t);
  const [source, output] = [join(folder, "a.tpl"), join(folder, "out.conf")];
  await writeFile(source, template);
  await before?.(folder);
  const program = startProgram(t, "dotege.ts", {
    cwd: folder,
    env: {
      ...engine.env as Record<string, string>,
      DOTEGE_TEMPLATE_SOURCE: source,
      DOTEGE_TEMPLATE_DESTINATION: output,
      DOTEGE_LOG_FORMAT: "json",
      ...env,
    },
  });
  const until = async (text: string, path = output): Promise<void> => {
    for (const start = Date.now();; await setTimeout(5)) {
      const found = await readFile(path, "utf8").catch(() => undefined);
      if (found === text) return;
      if (Date.now() - start < PATIENCE) continue;
      assert.equal(found, text, program.logs.join("\n"));
    }
  };
  return { ...program, folder, template: source, output, until };
}

/** The story once for each engine. */
function story(name: string, tell: (t: TestContext, engine: TestEngine) => Promise<void>): void {
  test(`${name}, with a fake engine`, async (t) => await tell(t, await startFakeEngine(t)));
  test(`${name}, with a real engine`, async (t) => {
    if (canStartEngine(t)) await tell(t, await startEngine(t));
  });
}

const vhost = (names: string, port?: number): Record<string, string> => ({
  "com.chameth.vhost": names,
  ...port === undefined ? {} : { "com.chameth.proxy": String(port) },
});

story("a file follows the containers", async (t, engine) => {
  await engine.run("one", { labels: vhost("a.example b.example", 80) });
  const dotege = await startDotege(t, engine);
  await dotege.until("a.example: one:80\n");
  await engine.run("two", { labels: vhost("c.example"), expose: [8080] });
  await dotege.until("a.example: one:80\nc.example: two:8080\n");
  await engine.rename("one", "uno");
  await dotege.until("a.example: uno:80\nc.example: two:8080\n");
  await engine.run("three", { labels: vhost("a.example", 81) });
  await dotege.until("a.example: three:81 uno:80\nc.example: two:8080\n");
  await engine.stop("uno");
  await dotege.until("a.example: three:81\nc.example: two:8080\n");
  await engine.start("uno");
  await dotege.until("a.example: three:81 uno:80\nc.example: two:8080\n");
  await engine.remove("uno");
  await engine.remove("three");
  await dotege.until("c.example: two:8080\n");
  assert.equal(await dotege.stop(), 0);
});

story("an engine that restarts leaves the file as it is", async (t, engine) => {
  await engine.run("one", { labels: vhost("a.example", 80), restart: true });
  const dotege = await startDotege(t, engine);
  await dotege.until("a.example: one:80\n");
  const before = await stat(dotege.output);
  await engine.shutDown();
  await dotege.waitForLog((r) => r.level === "WARN" && /Docker/.test(String(r.msg)));
  assert.equal(await readFile(dotege.output, "utf8"), "a.example: one:80\n");
  await engine.startUp();
  await engine.run("two", { labels: vhost("b.example", 80) });
  await dotege.until("a.example: one:80\nb.example: two:80\n");
  assert.notEqual((await stat(dotege.output)).ino, before.ino);
  assert.equal(await dotege.stop(), 0);
});

story("labels that can't be used are told once, and hurt nobody else", async (t, engine) => {
  await engine.run("good", { labels: vhost("good.example", 80) });
  await engine.run("empty", { labels: vhost("") });
  await engine.run("port", { labels: vhost("port.example", 0) });
  await engine.run("evil", {
    labels: { ...vhost("evil.example", 80), "com.chameth.headers.x": "X: y\nserver evil" },
  });
  await engine.run("other", { labels: { ...vhost("x.example", 80), "com.chameth.proxytag": "x" } });
  const template = TEMPLATE +
    "{{range .Hostnames}}{{range $k, $v := .Headers}}{{$k}}{{end}}{{end}}";
  const dotege = await startDotege(t, engine, { template });
  await dotege.until("evil.example: evil:80\ngood.example: good:80\nport.example: port:-1\n");
  await engine.run("late", { labels: vhost("late.example", 80) });
  await dotege.until(
    "evil.example: evil:80\ngood.example: good:80\nlate.example: late:80\nport.example: port:-1\n",
  );
  const warnings = dotege.logs.map((line) => JSON.parse(line) as LogRecord)
    .filter(({ level }) => level === "WARN").map(({ container }) => container);
  assert.deepEqual([...new Set(warnings)].sort(), ["empty", "evil", "port"]);
  assert.equal(warnings.filter((name) => name === "evil").length, 1);
});

test("a container, a process and a command are told of a new file, once", async (t) => {
  if (!canStartEngine(t)) return;
  const engine = await startEngine(t);
  const script = 'trap "echo told" HUP; echo ready; while :; do sleep 0.1; done';
  await engine.run("proxy", { command: ["sh", "-c", script] });
  await engine.run("labelled", { labels: { role: "x" }, command: ["sh", "-c", script] });
  const child = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
  t.after(() => child.kill("SIGKILL"));
  let heard = "";
  child.stdout.setEncoding("utf8").on("data", (text) => heard += text);
  await once(child.stdout, "data");
  const logs = async (name: string) => (await engine.docker("logs", name)).split("\n");
  while (!(await logs("proxy")).includes("ready") || !(await logs("labelled")).includes("ready"));
  const dotege = await startDotege(t, engine, {
    before: (folder) => writeFile(join(folder, "pid"), `${child.pid}\n`),
    env: {
      DOTEGE_SIGNAL_CONTAINER: "proxy label=role=x",
      DOTEGE_SIGNAL_PID_FILE: "pid",
      DOTEGE_NOTIFY_COMMAND: 'echo "$@" >> told',
      DOTEGE_SIGNAL_TYPE: "HUP",
    },
  });
  await engine.run("one", { labels: vhost("a.example", 80) });
  await dotege.until("a.example: one:80\n");
  await dotege.until(`${dotege.output}\n`, join(dotege.folder, "told"));
  while (!(await logs("proxy")).includes("told") || !(await logs("labelled")).includes("told"));
  while (!heard.includes("told")) await setTimeout(5);
  dotege.signal("SIGHUP"); // which changes nothing
  await engine.run("two", { labels: vhost("b.example", 80) });
  await dotege.until("a.example: one:80\nb.example: two:80\n");
  await dotege.until(`${dotege.output}\n`.repeat(2), join(dotege.folder, "told"));
  while ((await logs("proxy")).length < 3);
  assert.deepEqual(await logs("proxy"), ["ready", "told", "told"]);
});

test("a file that the check refuses doesn't replace the old one, until it is mended", async (t) => {
  const engine = await startFakeEngine(t);
  await engine.run("one", { labels: vhost("a.example", 80) });
  const dotege = await startDotege(t, engine, {
    env: { DOTEGE_CHECK_COMMAND: '! grep bad.example "$1"' },
  });
  await dotege.until("a.example: one:80\n");
  await engine.run("bad", { labels: vhost("bad.example", 80) });
  const refusal = await dotege.waitForLog((r) => r.level === "ERROR");
  assert.match(JSON.stringify(refusal), /bad\.example: bad:80/);
  assert.equal(await readFile(dotege.output, "utf8"), "a.example: one:80\n");
  await engine.remove("bad");
  await engine.run("two", { labels: vhost("b.example", 80) });
  await dotege.until("a.example: one:80\nb.example: two:80\n");
});

test("a template that is edited is evaluated again, and one that is broken isn't", async (t) => {
  const engine = await startFakeEngine(t);
  await engine.run("one", { labels: vhost("a.example", 80) });
  const dotege = await startDotege(t, engine);
  await dotege.until("a.example: one:80\n");
  await writeFile(dotege.template, "{{range}}");
  const fault = await dotege.waitForLog((r) => r.level === "ERROR");
  assert.match(JSON.stringify(fault), /a\.tpl:1: missing value for range/);
  assert.equal(await readFile(dotege.output, "utf8"), "a.example: one:80\n");
  await writeFile(dotege.template, "{{len .Containers}}");
  await dotege.until("1");
});

test("Centauris get the routes over the network, and each newer version", async (t) => {
  const engine = await startFakeEngine(t);
  await engine.run("one", { labels: vhost("a.example", 80) });
  const dotege = await startDotege(t, engine, { env: { DOTEGE_PUSH_LISTEN: "127.0.0.1:0" } });
  const { port } = await dotege.waitForLog((r) => r.msg === "listening", PATIENCE);
  await dotege.until("a.example: one:80\n");
  const socket = net.connect(port as number, "127.0.0.1");
  t.after(() => socket.destroy());
  let got = "";
  socket.setEncoding("latin1").on("data", (text) => got += text);
  const message = (text: string) =>
    `CENTAURI\0\0\0\x01\0\0\0${String.fromCharCode(text.length)}${text}`;
  const first = message("a.example: one:80\n");
  while (got.length < first.length) await once(socket, "data");
  await engine.remove("one");
  await engine.run("two", { labels: vhost("b.example", 80) });
  await dotege.until("b.example: two:80\n");
  const last = message("b.example: two:80\n");
  while (!got.endsWith(last)) await once(socket, "data");
  assert.ok(got.startsWith(first));
});

test("modes and owners are as asked for", async (t) => {
  const engine = await startFakeEngine(t);
  await engine.run("one", { labels: vhost("a.example", 80) });
  const dotege = await startDotege(t, engine, { env: { DOTEGE_OUTPUT_MODE: "640" } });
  await dotege.until("a.example: one:80\n");
  assert.equal((await stat(dotege.output)).mode & 0o777, 0o640);
});

test("--once, --stdout, --diff and --explain do one thing and say whether it worked", async (t) => {
  const engine = await startFakeEngine(t);
  await engine.run("one", { labels: vhost("a.example", 80) });
  await engine.run("none", {});
  const folder = await temporaryFolder(t);
  const [source, output] = [join(folder, "a.tpl"), join(folder, "out.conf")];
  await writeFile(source, TEMPLATE);
  await writeFile(output, "old\n");
  const dotege = (...args: string[]) =>
    runScript(
      "dotege.ts",
      ["--template-source", source, "--template-destination", output, ...args],
      {
        env: engine.env,
      },
    );
  const diff = await dotege("--diff");
  assert.deepEqual([diff.code, diff.stdout], [
    0,
    `--- ${output}\n+++ ${output}\n@@ -1 +1 @@\n-old\n+a.example: one:80\n`,
  ]);
  const printed = await dotege("--stdout");
  assert.deepEqual([printed.code, printed.stdout], [0, "a.example: one:80\n"]);
  const explained = await dotege("--explain");
  assert.equal(explained.code, 0);
  assert.match(explained.stdout, /^none\n +no route +it has no label com\.chameth\.vhost$/m);
  assert.match(
    explained.stdout,
    /^one\n +hosts +a\.example\n +port +80 \(label com\.chameth\.proxy\)$/m,
  );
  assert.equal(await readFile(output, "utf8"), "old\n");
  const rendered = await dotege("--once");
  assert.equal(rendered.code, 0, rendered.stderr);
  assert.equal(await readFile(output, "utf8"), "a.example: one:80\n");
  await writeFile(source, "{{.Nothing}}");
  const failed = await dotege("--once");
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /a\.tpl:1:2: executing \\"a\.tpl\\" at <\.Nothing>/);
  assert.equal(await readFile(output, "utf8"), "a.example: one:80\n");
  await engine.shutDown();
  const gone = await dotege("--once");
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /can't start.*docker\.sock/);
});

test("a file that can't be written is written when it can be", async (t) => {
  const engine = await startFakeEngine(t);
  await engine.run("one", { labels: vhost("a.example", 80) });
  const dotege = await startDotege(t, engine, {
    before: async (folder) => {
      await writeFile(join(folder, "blocker"), "");
      await chmod(join(folder, "blocker"), 0o644);
    },
    env: { DOTEGE_TEMPLATES: "", DOTEGE_TEMPLATE_DESTINATION: "blocker/out.conf" },
  });
  await dotege.waitForLog((r) => r.level === "ERROR", PATIENCE);
  await run("rm", [join(dotege.folder, "blocker")]);
  await run("mkdir", [join(dotege.folder, "blocker")]);
  await dotege.until("a.example: one:80\n", join(dotege.folder, "blocker/out.conf"));
});

test("an option that can't be used ends the start with one line and exit code 2", async () => {
  const rows: readonly (readonly [args: string[], message: RegExp, env?: Env])[] = [
    [[], /^dotege: invalid DOCKER_HOST "x": expected unix:/, { DOCKER_HOST: "x" }],
    [[], /^dotege: invalid DOCKER_API_VERSION "x": /, { DOCKER_API_VERSION: "x" }],
    [["--poll", "often"], /--poll "often": expected a duration/],
    [["--signal-type", "H P"], /--signal-type: invalid signal/],
    [["--signal-container", "a/b"], /--signal-container: invalid container "a\/b"/],
    [["--users", "- nam: x"], /--users: line 1, column 3/],
    [["--templates", "a"], /--templates: invalid templates item "a": expected source:destination/],
    [["--push-listen", "nowhere"], /--push-listen "nowhere": expected host:port/],
    [["--output-mode", "999"], /--output-mode "999": expected an octal number/],
    [["--debug", "everything"], /--debug "everything": expected containers, headers, hostnames/],
    [["--diff", "--explain"], /can't do --diff and --explain at once/],
    [
      ["--template-sorce", "x"],
      /unknown option "--template-sorce": did you mean --template-source/,
    ],
    [["--certificate-deployment", "combined"], /--dns-provider isn't set/],
  ];
  for (const [args, message, env = {}] of rows) {
    const { code, stdout, stderr } = await runScript("dotege.ts", args, { env });
    assert.deepEqual([code, stdout, stderr.split("\n").length], [2, "", 2], stderr);
    assert.match(stderr, message);
  }
});

test("an empty signal, as old set-ups may have, is HUP", async () => {
  const options = parseOptions(DOTEGE_OPTIONS, [], { DOTEGE_SIGNAL_TYPE: "" });
  assert.equal((await dotegeSettings(options)).signalName, "HUP");
});

test("--help names every option and its variable", async () => {
  const { code, stdout } = await runScript("dotege.ts", ["--help"]);
  assert.equal(code, 0);
  for (const { name } of DOTEGE_OPTIONS) assert.ok(stdout.includes(`--${name}`), name);
  assert.ok(stdout.includes("DOTEGE_TEMPLATE_SOURCE") && stdout.includes("DOTEGE_POLL"));
});
