import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { fileDiff } from "../lib/diff.ts";
import {
  type Compile,
  createOutputs,
  type Evaluated,
  type Outputs,
  type OutputsOptions,
  parseTemplates,
} from "../lib/outputs.ts";
import { type Recorder, recordLog, until } from "./recorder.ts";
import { needProgram, root, run, runtimeCommand, type Scope, temporaryFolder } from "./support.ts";

const diffOf = ({ destination, old, text }: Evaluated): string => fileDiff(destination, old, text);

/** Puts the data in the place of each `$`; fails at `PARSE`, and when the data is `boom`. */
const compile: Compile = (name, source) => {
  const fail = (message: string): never => {
    throw Object.assign(new Error(`template: ${name}:2: ${message}`), { line: 2, column: 5 });
  };
  if (source.includes("PARSE")) fail("unexpected end");
  return {
    execute: (data) => data === "boom" ? fail("no field") : source.replaceAll("$", `${data}`),
  };
};

interface Setup extends Recorder {
  readonly folder: string;
  readonly outputs: Outputs;
  /** How often another render was asked for; waits until it is as many. */
  again(count: number): Promise<void>;
  read(name: string): Promise<string>;
}

/** Templates `a.tpl` and so on, with `<name> $`, whose outputs are `a.cfg` and so on in `out`. */
async function setUp(
  t: Scope,
  names: readonly string[],
  options: Partial<OutputsOptions> = {},
): Promise<Setup> {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "out"));
  const pairs = names.map((name) => ({
    template: join(folder, `${name}.tpl`),
    destination: join(folder, "out", `${name}.cfg`),
  }));
  for (const [i, { template }] of pairs.entries()) await writeFile(template, `${names[i]} $\n`);
  const recorder = recordLog();
  let asked = 0;
  const outputs = createOutputs({
    ...{ outputs: pairs, compile, check: "", log: recorder.log, watch: false },
    again: () => void asked++,
    ...options,
  });
  t.after(() => outputs.close());
  const again = (count: number): Promise<void> => until(() => asked >= count);
  const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
  return { ...recorder, folder, outputs, again, read };
}

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777;

test("parseTemplates() reads pairs, and says which item is wrong", () => {
  const pair = (template: string, destination: string) => ({ template, destination });
  assert.deepEqual(parseTemplates(""), []);
  assert.deepEqual(parseTemplates("a.tpl:/out/a"), [pair("a.tpl", "/out/a")]);
  const others = [pair("x", "y")];
  assert.deepEqual(parseTemplates(" a b:c ,\n,d : e,", others), [
    pair("x", "y"),
    pair("a b", "c"),
    pair("d", "e"),
  ]);
  assert.deepEqual(others.length, 1);
  for (const item of ["a", "a:", ":b", "a:b:c", ":", "a b"]) {
    const message = `invalid templates item "${item}": expected source:destination`;
    assert.throws(() => parseTemplates(`x:y,${item}`), { message });
  }
  assert.throws(() => parseTemplates("a:/b,c:/x/../b"), /two templates .* "\/x\/\.\.\/b"$/);
  assert.throws(() => parseTemplates("a:./y", others), /two templates/);
  assert.throws(() => parseTemplates("a:./a"), /would be overwritten .* "a"$/);
});

test("render() writes what differs, and says which files are new", async (t) => {
  const { outputs, folder, read, lines } = await setUp(t, ["a", "b"]);
  const [a, b] = [join(folder, "out/a.cfg"), join(folder, "out/b.cfg")];
  await writeFile(b, "b 1\n");
  const { mtimeMs, ino } = await stat(b);
  const texts = new Map([[a, "a 1\n"], [b, "b 1\n"]]);
  assert.deepEqual(await outputs.render(1), { changed: [a], texts, ok: true });
  assert.equal(await read("out/a.cfg"), "a 1\n");
  assert.deepEqual(lines, [`info file written ${a} 4`]);
  assert.deepEqual(await outputs.render(1), { changed: [], texts, ok: true });
  const now = await stat(b);
  assert.deepEqual([now.mtimeMs, now.ino, lines.length], [mtimeMs, ino, 1]);
  assert.deepEqual((await outputs.render(2)).changed, [a, b]);
  await writeFile(b, "b 3\n"); // of the same length, by someone else
  assert.deepEqual((await outputs.render(2)).changed, [b]);
  assert.deepEqual(await readdir(join(folder, "out")), ["a.cfg", "b.cfg"]);
});

test("render() makes no file of no text, and empties one that is there, as Go does", async (t) => {
  const { outputs, folder, read } = await setUp(t, ["a"], {
    compile: () => ({ execute: String }),
  });
  assert.deepEqual((await outputs.render("")).changed, []);
  assert.deepEqual(await readdir(join(folder, "out")), []);
  await outputs.render("text");
  assert.equal((await outputs.render("")).changed.length, 1);
  assert.equal(await read("out/a.cfg"), "");
});

test("modes and owners stay as they are, as in Go, unless they are given", async (t) => {
  const umask = process.umask(0o027);
  t.after(() => process.umask(umask));
  const { outputs, folder } = await setUp(t, ["a"]);
  const path = join(folder, "out/a.cfg");
  await outputs.render(1);
  assert.equal(await modeOf(path), 0o640);
  await chmod(path, 0o604);
  await outputs.render(2);
  assert.equal(await modeOf(path), 0o604);
  const template = join(folder, "a.tpl");
  const given = (options: Partial<OutputsOptions>) => {
    const { log, lines } = recordLog();
    const pair = [{ template, destination: path }];
    const again = () => {};
    const all = { outputs: pair, compile, check: "", log, watch: false, again, ...options };
    return { lines, outputs: createOutputs(all) };
  };
  await given({ mode: 0o660 }).outputs.render(3);
  assert.equal(await modeOf(path), 0o660);
  // The text is as before: nobody is told, but what is asked for is done.
  assert.deepEqual((await given({ mode: 0o600 }).outputs.render(3)).changed, []);
  assert.equal(await modeOf(path), 0o600);
  if (process.getuid?.() !== 0) return t.diagnostic("owners are root's to give away");
  await given({ owner: { uid: 1234 } }).outputs.render(3);
  assert.equal((await stat(path)).uid, 1234);
  await outputs.render(4);
  assert.equal((await stat(path)).uid, 1234);
  await given({ owner: { uid: 0, gid: 55 } }).outputs.render(5);
  const { uid, gid } = await stat(path);
  assert.deepEqual([uid, gid], [0, 55]);
});

test("a template that fails keeps its old file, is logged once, and no other suffers", async (t) => {
  const { outputs, read, lines } = await setUp(t, ["a", "b"]);
  await outputs.render(1);
  const logged = lines.length;
  const { changed, texts, ok } = await outputs.render("boom");
  assert.deepEqual([changed, texts.size, ok], [[], 0, false]);
  await outputs.render("boom");
  const [a, b] = lines.slice(logged);
  assert.match(
    a!,
    /^error template failed: the old file stays \S+a\.tpl \S+a\.cfg 2 5 template: a/,
  );
  assert.match(b!, /b\.tpl .* 2 5 template: b\.tpl:2: no field$/);
  assert.equal(lines.length, logged + 2);
  assert.equal(await read("out/a.cfg"), "a 1\n");
  assert.equal((await outputs.render(1)).ok, true);
  assert.match(lines[logged + 2]!, /^info output is right again .*a\.cfg$/);
});

test("a template that is missing, too large or no UTF-8 is an error", async (t) => {
  const rows: [string | Buffer | undefined, RegExp][] = [
    [undefined, /^error template failed: .*ENOENT/],
    [Buffer.from("# é\n\n\xe9", "latin1"), /^error template failed: .* 1 invalid bytes: .*UTF-8$/],
    [Buffer.from("ok\n\n\xe9", "latin1"), /^error template failed: .* 3 invalid bytes: .*UTF-8$/],
    ["a".repeat(1024 * 1024 + 1), /^error template failed: .*larger than 1048576 bytes$/],
    ["PARSE", /unexpected end$/],
  ];
  for (const [source, expected] of rows) {
    const { outputs, folder, lines } = await setUp(t, ["a"]);
    if (source === undefined) await rm(join(folder, "a.tpl"));
    else await writeFile(join(folder, "a.tpl"), source);
    assert.equal((await outputs.render(1)).ok, false);
    assert.match(lines.join("\n"), expected);
    assert.deepEqual(await readdir(join(folder, "out")), []);
  }
});

test("the check command sees the new file, and what it refuses isn't written", async (t) => {
  const { outputs, folder, read, lines } = await setUp(t, ["a"], {
    check: 'echo "looking at" "$DOTEGE_DESTINATION"; ! grep 2',
  });
  const path = join(folder, "out/a.cfg");
  assert.deepEqual((await outputs.render(1)).changed, [path]);
  const refused = await outputs.render(2);
  assert.deepEqual([refused.changed, refused.texts.size, refused.ok], [[], 0, false]);
  await outputs.render(2);
  assert.match(
    lines[1]!,
    /^error file not accepted: the old one stays .*a\.cfg looking at .*\na 2 /,
  );
  assert.match(lines[1]!, / the check command ended with code 1$/);
  assert.equal(lines.length, 2);
  assert.equal(await read("out/a.cfg"), "a 1\n");
  assert.deepEqual(await readdir(join(folder, "out")), ["a.cfg"]);
  await outputs.render(22);
  assert.equal(lines.length, 3); // another text is another fault
  assert.deepEqual((await outputs.render(3)).changed, [path]);
});

test("the check command gets a hidden file in the same folder with the same extension", async (t) => {
  const { outputs, folder, read } = await setUp(t, ["a"], {
    check: 'test "$1" = "$DOTEGE_FILE" && printf "%s\\n" "$1" "$(cat "$1")" "$DOTEGE_TEMPLATE" ' +
      '> "$(dirname "$1")/seen"',
  });
  assert.equal((await outputs.render(1)).ok, true);
  const [file, text, template] = (await read("out/seen")).split("\n");
  assert.match(file!, /\/out\/\.a\.cfg\.[0-9a-f]{24}\.tmp\.cfg$/);
  assert.deepEqual([text, template], ["a 1", join(folder, "a.tpl")]);
});

test("haproxy -c -f is a check command", async (t) => {
  if (!needProgram(t, "haproxy")) return;
  const { outputs, lines } = await setUp(t, ["a"], {
    check: "PATH=$PATH:/usr/sbin haproxy -c -f",
    compile: () => ({
      execute: (data) =>
        `defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n` +
        `listen b\n  bind 127.0.0.1:8080\n  server s ${data}\n`,
    }),
  });
  assert.equal((await outputs.render("127.0.0.1:80")).changed.length, 1);
  assert.equal((await outputs.render("127.0.0.1:80\n  bad")).ok, false);
  await outputs.render("127.0.0.1:80\n  bad"); // HAProxy tells its process number each time
  assert.match(lines[1]!, /^error file not accepted.*unknown keyword 'bad'/s);
  assert.equal(lines.length, 2);
});

test("a failed write is logged once, and tried again after longer and longer", async (t) => {
  const pauses: number[] = [];
  const { outputs, folder, lines, again } = await setUp(t, ["a", "b"], {
    watch: true,
    pause: (failures) => pauses.push(failures),
  });
  await rm(join(folder, "out"), { recursive: true });
  for (const count of [1, 2, 3]) {
    assert.equal((await outputs.render(1)).ok, false);
    await again(count);
  }
  assert.deepEqual(pauses, [1, 2, 3]);
  assert.equal(lines.length, 2);
  assert.match(lines[0]!, /^error file not written: the old one stays .*a\.cfg ENOENT/);
  await mkdir(join(folder, "out"));
  assert.equal((await outputs.render(1)).changed.length, 2);
  await rm(join(folder, "out"), { recursive: true });
  await outputs.render(1);
  assert.deepEqual(pauses, [1, 2, 3, 1]);
});

test("what a check refuses is tried again: what it misses may come", async (t) => {
  const { outputs, again, folder } = await setUp(t, ["a"], {
    ...{ watch: true, pause: () => 1 },
    check: 'test -e "$(dirname "$1")/certificate"',
  });
  assert.equal((await outputs.render(1)).ok, false);
  await writeFile(join(folder, "out/certificate"), "");
  await again(1);
  assert.equal((await outputs.render(1)).changed.length, 1);
});

test("a destination that is no file is an error", async (t) => {
  const { outputs, folder, lines } = await setUp(t, ["a"]);
  await mkdir(join(folder, "out/a.cfg"));
  assert.equal((await outputs.render(1)).ok, false);
  assert.match(lines[0]!, /no regular file$/);
});

test("edits to a template are picked up, and only edits", async (t) => {
  const { outputs, folder, read, again } = await setUp(t, ["a", "b"], { watch: true });
  const [a, b] = [join(folder, "a.tpl"), join(folder, "b.tpl")];
  await outputs.render(1);
  await writeFile(a, "PARSE");
  await again(1);
  assert.equal((await outputs.render(2)).ok, false);
  assert.equal(await read("out/a.cfg"), "a 1\n");
  await writeFile(a, "edited $\n");
  await again(2);
  await outputs.render(1);
  assert.equal(await read("out/a.cfg"), "edited 1\n");
  await writeFile(a, ""); // an editor is about to write it
  await writeFile(b, "later $\n");
  await again(3);
  await outputs.render(2);
  assert.equal(await read("out/a.cfg"), "edited 2\n");
  assert.equal(await read("out/b.cfg"), "later 2\n");
  await writeFile(`${a}~`, "replaced $\n");
  await rename(`${a}~`, a);
  await again(4);
  await outputs.render(1);
  assert.equal(await read("out/a.cfg"), "replaced 1\n");
});

test("a template is compiled again only if it differs", async (t) => {
  let compiled = 0;
  const counting: Compile = (name, source) => {
    compiled++;
    return compile(name, source);
  };
  const { outputs, folder, again } = await setUp(t, ["a", "b"], { watch: true, compile: counting });
  for (const data of [1, 2, 3]) await outputs.render(data);
  await writeFile(join(folder, "a.tpl"), "a $\n");
  await writeFile(join(folder, "b.tpl"), "new $\n");
  await again(1);
  await outputs.render(4);
  assert.equal(compiled, 3);
});

test("evaluate() says what would change, and write nothing", async (t) => {
  const { outputs, folder, read } = await setUp(t, ["a", "b", "c"]);
  const [a, b] = [join(folder, "out/a.cfg"), join(folder, "out/b.cfg")];
  await writeFile(a, "a 0\n");
  await writeFile(join(folder, "out/c.cfg"), "c 1\n");
  const found = await outputs.evaluate(1);
  assert.deepEqual(found.map(({ text, old }) => [text, old]), [
    ["a 1\n", "a 0\n"],
    ["b 1\n", undefined],
    ["c 1\n", "c 1\n"],
  ]);
  assert.deepEqual(found.map(diffOf), [
    `--- ${a}\n+++ ${a}\n@@ -1 +1 @@\n-a 0\n+a 1\n`,
    `--- /dev/null\n+++ ${b}\n@@ -0,0 +1 @@\n+b 1\n`,
    "",
  ]);
  assert.deepEqual((await outputs.evaluate("boom")).map(diffOf), ["", "", ""]);
  assert.equal(await read("out/a.cfg"), "a 0\n");
  assert.deepEqual(await readdir(join(folder, "out")), ["a.cfg", "c.cfg"]);
});

test("close() ends a check that is running, and nothing is written or logged", async (t) => {
  const { outputs, folder, read, lines } = await setUp(t, ["a"], {
    check: 'echo > "$(dirname "$1")/started"; sleep 600; true',
  });
  const rendering = outputs.render(1);
  await until(() => read("out/started").then(() => true, () => false));
  const start = performance.now();
  outputs.close();
  assert.equal((await rendering).ok, false);
  assert.ok(performance.now() - start < 20_000); // and not at the deadline
  assert.deepEqual(await readdir(join(folder, "out")), ["started"]);
  assert.deepEqual(lines, []);
});

// Within a mount namespace of its own: a single file mounted into a container, whose folder then is
// one that takes no other file.
const MOUNT = `
  mount --bind inside inside && mount --bind outside inside/a.cfg || exit 77
  "$@" 2 || exit
  mount -o remount,bind,ro inside || exit 77
  "$@" 3
`;

test("a file that can't be replaced is checked and written in place", async (t) => {
  if (!needProgram(t, "unshare")) return;
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "inside"));
  await writeFile(join(folder, "outside"), "a 1\n");
  await writeFile(join(folder, "inside/a.cfg"), "hidden by the mount");
  await writeFile(join(folder, "a.tpl"), "a $\n");
  const script = join(folder, "render.mjs");
  const module = (name: string) => JSON.stringify(pathToFileURL(join(root, name)).href);
  await writeFile(
    script,
    `import { createOutputs } from ${module("lib/outputs.ts")};
    import process from "node:process";
    const say = (message) => console.log(message);
    const outputs = createOutputs({
      outputs: [{ template: "a.tpl", destination: "inside/a.cfg" }],
      compile: (_, source) => ({ execute: (data) => source.replace("$", data) }),
      check: 'echo "$1" >> checked; ! grep x "$1"',
      log: { debug: say, info: say, warn: say, error: say },
      watch: false,
      again() {},
    });
    for (const data of ["x", process.argv[2], process.argv[2] + "0"]) await outputs.render(data);`,
  );
  const command = runtimeCommand("lib/file.ts").with(-1, script);
  const args = ["--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", ...command];
  const { code, stdout, stderr } = await run("unshare", args, { cwd: folder });
  if (code === 77 || stderr.startsWith("unshare:")) return t.skip(`no mounts here: ${stderr}`);
  const each = "file not accepted: the old one stays\nfile written\n" +
    "the file can't be replaced: it is written in place\noutput is right again\nfile written\n";
  assert.equal(stdout, each + each, stderr);
  assert.equal(await readFile(join(folder, "outside"), "utf8"), "a 30\n");
  const checked = (await readFile(join(folder, "checked"), "utf8")).trim().split("\n");
  assert.match(checked[0]!, /\/inside\/\.a\.cfg\.[0-9a-f]{24}\.tmp\.cfg$/);
  assert.match(checked[3]!, /\/dotege-\w{6}\/a\.cfg$/);
  assert.deepEqual(await readdir(join(folder, "inside")), ["a.cfg"]);
});
