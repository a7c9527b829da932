import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import {
  type Candidate,
  createNotifier,
  type Notifier,
  type NotifyOptions,
  parseSignal,
  parseTargets,
  processSignal,
} from "../lib/notify.ts";
import { type Recorder, recordLog, until } from "./recorder.ts";
import { type Scope, temporaryFolder } from "./support.ts";

const container = (name: string, labels: Record<string, string> = {}): Candidate => ({
  id: name.padEnd(64, "0"),
  name,
  labels: new Map(Object.entries(labels)),
});

interface Setup extends Recorder {
  readonly notifier: Notifier;
  /** What the engine was asked: `kill ID SIGNAL`, `restart ID`; ids without their zeros. */
  readonly calls: string[];
  /** What it answers from now on: by id without zeros, why it fails. */
  readonly refusals: Map<string, string>;
  readonly running: Candidate[];
}

function setUp(t: Scope, options: Partial<NotifyOptions>): Setup {
  const [calls, refusals, running] = [[] as string[], new Map<string, string>(), [] as Candidate[]];
  const answer = async (call: string, id: string, signal: AbortSignal): Promise<void> => {
    const short = id.replace(/0+$/, "");
    calls.push(call.replace(id, short));
    const why = refusals.get(short);
    if (why === "never") {
      await new Promise((_, reject) => signal.onabort = () => reject(signal.reason));
    }
    if (why !== undefined) throw new Error(why);
  };
  const recorder = recordLog();
  const notifier = createNotifier({
    ...{ signalled: [], restarted: [], pidFile: "", signalName: "HUP", command: "" },
    containers: () => running,
    isServed: () => false,
    docker: {
      kill: (id, name, signal) => answer(`kill ${id} ${name}`, id, signal),
      restart: (id, signal) => answer(`restart ${id}`, id, signal),
    },
    log: recorder.log,
    pause: () => 5,
    ...options,
  });
  t.after(() => notifier.close());
  return { ...recorder, notifier, calls, refusals, running };
}

test("parseTargets() reads names and labels, and says what is neither", () => {
  assert.deepEqual(parseTargets(" , "), []);
  assert.deepEqual(parseTargets("haproxy"), [{ name: "haproxy" }]);
  assert.deepEqual(parseTargets("a_1.b-c, b label=x,label=com.x.y=a=b  label=k="), [
    { name: "a_1.b-c" },
    { name: "b" },
    { label: "x", value: undefined },
    { label: "com.x.y", value: "a=b" },
    { label: "k", value: "" },
  ]);
  for (const item of ["/haproxy", "a=b", "label=", "label==x", "-x", "é"]) {
    const expected = `invalid container "${item}": expected a container's name, label=key`;
    assert.throws(() => parseTargets(`a ${item}`), { message: new RegExp(`^${expected}`) });
  }
});

test("parseSignal() passes on what Docker may know, and nothing else", () => {
  for (const name of ["HUP", "SIGHUP", "9", "usr2", "SIGRTMIN+3"]) {
    assert.equal(parseSignal(name), name);
  }
  for (const name of ["", " ", "HUP ", "HUP&x=1", "A".repeat(21), "é"]) {
    assert.throws(() => parseSignal(name), /^Error: invalid signal .* expected a name or a number/);
  }
});

test("processSignal() knows this system's signals by name and by number", () => {
  const rows = {
    HUP: "SIGHUP",
    SIGHUP: "SIGHUP",
    hup: "SIGHUP",
    1: "SIGHUP",
    9: "SIGKILL",
    40: 40,
  };
  for (const [name, signal] of Object.entries(rows)) assert.equal(processSignal(name), signal);
  for (const name of ["0", "65", "-1", "1.5", "0x1", "NO", "SIGRTMIN+3", "toString", "SIG", ""]) {
    assert.throws(() => processSignal(name), /^Error: invalid signal ".*" for a process/);
  }
});

test("tell() signals and restarts the containers that are meant, and only for changes", async (t) => {
  const { notifier, calls, running, lines } = setUp(t, {
    signalled: parseTargets("proxy label=reload label=tier=front"),
    restarted: parseTargets("old"),
    signalName: "USR2",
  });
  running.push(
    container("proxy"),
    container("proxy2"),
    container("a", { reload: "", tier: "back" }),
    container("b", { reload: "no", tier: "front" }),
    container("old", { toString: "" }),
  );
  assert.equal(await notifier.tell([]), true);
  assert.deepEqual(calls, []);
  assert.equal(await notifier.tell(["/one", "/two"]), true);
  const expected = ["kill proxy USR2", "kill a USR2", "kill b USR2", "kill b USR2", "restart old"];
  assert.deepEqual(calls, expected);
  assert.deepEqual(lines, [
    "info told container proxy proxy",
    "info told containers with label reload a,b",
    "info told containers with label tier=front b",
    "info told container old old",
  ]);
});

test("a container that can't be told is tried again until it works, logged twice", async (t) => {
  const { notifier, calls, refusals, running, lines, waitFor } = setUp(t, {
    signalled: parseTargets("label=x"),
  });
  running.push(container("a", { x: "" }), container("b", { x: "" }));
  refusals.set("b", "is not running");
  assert.equal(await notifier.tell(["/file"]), false);
  await until(() => calls.length >= 5);
  refusals.clear();
  assert.match(await waitFor(/at last/), /^info told at last containers with label x a,b$/);
  const [first, ...others] = calls;
  assert.equal(first, "kill a HUP"); // who was told isn't told again
  assert.deepEqual(others, others.map(() => "kill b HUP"));
  const told = lines.filter((line) => !line.startsWith("debug"));
  assert.match(told[0]!, /^error not told: tried again .* label x container b: is not running$/);
  assert.equal(told.length, 2);
  const { length } = calls;
  await setTimeout(30);
  assert.equal(calls.length, length);
});

test("a container that isn't there yet is told when it is", async (t) => {
  const { notifier, calls, running, waitFor } = setUp(t, { signalled: parseTargets("proxy") });
  running.push(container("other", { proxy: "" }));
  assert.equal(await notifier.tell(["/file"]), false);
  await waitFor(/^error not told: .* container proxy no such container is running$/);
  running.push(container("proxy"));
  await waitFor(/told at last/);
  assert.deepEqual(calls, ["kill proxy HUP"]);
});

test("those left who are gone needn't be told", async (t) => {
  const { notifier, calls, refusals, running, waitFor } = setUp(t, {
    signalled: parseTargets("label=x"),
  });
  running.push(container("a", { x: "" }), container("b", { x: "" }));
  refusals.set("b", "is not running");
  assert.equal(await notifier.tell(["/file"]), false);
  running.pop();
  await waitFor(/^info told at last containers with label x a$/);
  assert.equal(calls[0], "kill a HUP");
});

test("a newer change ends the wait, and is told to all again", async (t) => {
  const pauses: number[] = [];
  const { notifier, calls, refusals, running, lines } = setUp(t, {
    signalled: parseTargets("label=x"),
    pause: (failures) => pauses.push(failures) && 60_000,
  });
  running.push(container("a", { x: "" }), container("b", { x: "" }));
  refusals.set("b", "no");
  assert.equal(await notifier.tell(["/file"]), false);
  assert.equal(await notifier.tell(["/file"]), false);
  refusals.clear();
  assert.equal(await notifier.tell(["/file"]), true);
  assert.deepEqual(calls, ["a", "b", "a", "b", "a", "b"].map((id) => `kill ${id} HUP`));
  assert.deepEqual(pauses, [1, 1]);
  assert.equal(lines.filter((line) => line.startsWith("error")).length, 1);
});

test("changes during a try are told once after it, and who hangs holds up no other", async (t) => {
  const opened: (() => void)[] = [];
  const calls: string[] = [];
  const { notifier, running } = setUp(t, {
    signalled: parseTargets("a b"),
    docker: {
      kill: async (id) => {
        calls.push(id.slice(0, 1));
        if (id.startsWith("a")) await new Promise<void>((resolve) => opened.push(resolve));
      },
      restart: () => Promise.reject(),
    },
  });
  running.push(container("a"), container("b"));
  const results = ["/1", "/2", "/3"].map((path) => notifier.tell([path]));
  await until(() => calls.length >= 3);
  assert.deepEqual(calls, ["a", "b", "b"]); // of two changes during a try one more comes
  opened[0]?.();
  assert.equal(await results[0], true);
  await until(() => opened.length >= 2);
  opened[1]?.();
  assert.deepEqual(await Promise.all(results), [true, true, true]);
  assert.deepEqual(calls, ["a", "b", "b", "a"]);
});

test("a change during a try that fails is told right after it", async (t) => {
  const refuse: ((error: Error) => void)[] = [];
  const { notifier, running } = setUp(t, {
    signalled: parseTargets("a"),
    docker: {
      kill: () => new Promise((_, reject) => refuse.push(reject)),
      restart: () => Promise.reject(),
    },
    pause: () => 60_000,
  });
  running.push(container("a"));
  const results = ["/1", "/2"].map((path) => notifier.tell([path]));
  for (const count of [1, 2]) {
    await until(() => refuse.length === count);
    refuse[count - 1]?.(new Error("no"));
  }
  assert.deepEqual(await Promise.all(results), [false, false]);
});

test("a process is told by its pid file, as soon as there is one", async (t) => {
  const folder = await temporaryFolder(t);
  const pidFile = join(folder, "pid");
  const { notifier, waitFor } = setUp(t, { pidFile });
  assert.equal(await notifier.tell(["/file"]), false);
  await waitFor(/^error not told: .* process of \S+ ENOENT/);
  const script = `trap 'echo hup >> ${folder}/got' HUP; echo $$ > ${pidFile}~
    mv ${pidFile}~ ${pidFile}; while :; do sleep 0.02; done`;
  const child = spawn("/bin/sh", ["-c", script], { stdio: "ignore" });
  t.after(() => process.kill(child.pid as number, "SIGKILL"));
  await waitFor(new RegExp(`^info told at last process of \\S+ ${child.pid}$`));
  const got = () => readFile(join(folder, "got"), "utf8").catch(() => "");
  await until(async () => await got() === "hup\n");
  assert.equal(await notifier.tell(["/file"]), true);
  await until(async () => await got() === "hup\nhup\n");
});

test("a pid file with anything but another process's number is refused", async (t) => {
  const pidFile = join(await temporaryFolder(t), "pid");
  const rows: [string, RegExp][] = [
    ["", /is no process number/],
    ["0\n", /"0\\n" is no process number/],
    ["-1", /is no process number/],
    ["+5", /is no process number/],
    ["1 2", /is no process number/],
    ["12\n13\n", /is no process number/],
    ["0x10", /is no process number/],
    ["4194305", /is no process number/],
    ["1".repeat(65), /larger than 64 bytes/],
    [`${process.pid}\n`, /is Dotege or its parent/],
    [`${process.ppid}`, /is Dotege or its parent/],
    ["4194304", /ESRCH|not found|No such process/i],
  ];
  for (const [text, expected] of rows) {
    await writeFile(pidFile, text);
    const { notifier, lines } = setUp(t, { pidFile, pause: () => 60_000, signalName: "URG" });
    assert.equal(await notifier.tell(["/file"]), false);
    assert.match(lines[0]!, expected);
    await notifier.close();
  }
});

test("the command gets the new files, those of tries that failed too", async (t) => {
  const folder = await temporaryFolder(t);
  const script = `test -e ${folder}/broken && echo "can't" && exit 7; echo "$@" >> ${folder}/got`;
  const { notifier, waitFor, lines } = setUp(t, { command: script, pause: () => 60_000 });
  await writeFile(join(folder, "broken"), "");
  assert.equal(await notifier.tell(["/a", "/b"]), false);
  const fault = "error not told: tried again until it works notify command can't " +
    "the notify command ended with code 7";
  assert.deepEqual(lines, [fault]);
  await rm(join(folder, "broken"));
  assert.equal(await notifier.tell(["/b", "/c"]), true);
  await waitFor(/^info told at last notify command$/);
  assert.equal(await notifier.tell(["/d"]), true);
  assert.equal(await readFile(join(folder, "got"), "utf8"), "/a /b /c\n/d\n");
});

test("a container that has hosts itself isn't restarted: that would never end", async (t) => {
  const { notifier, calls, running, lines } = setUp(t, {
    restarted: parseTargets("a b"),
    isServed: (id) => id === container("a").id,
    pause: () => 60_000,
  });
  running.push(container("a"), container("b"));
  assert.equal(await notifier.tell(["/file"]), false);
  assert.deepEqual(calls, ["restart b"]);
  assert.match(lines.join("\n"), /container a.*has hosts itself/);
});

test("close() ends what is under way too long, and nothing is told any more", async (t) => {
  const { notifier, calls, refusals, running, lines } = setUp(t, {
    signalled: parseTargets("a gone"),
    command: "sleep 600",
    pause: () => 60_000,
    lastWords: 50,
  });
  running.push(container("a"));
  refusals.set("a", "never");
  const telling = notifier.tell(["/file"]);
  await until(() => lines.length >= 1); // "gone" waits, the others hang
  await notifier.close();
  assert.equal(await telling, false);
  assert.equal(await notifier.tell(["/file"]), false);
  assert.deepEqual(calls, ["kill a HUP"]);
  assert.equal(lines.length, 1);
});

test("close() lets what is under way be told, and what is newer", async (t) => {
  const folder = await temporaryFolder(t);
  const script = `echo "$@" >> ${folder}/got; while ! test -e ${folder}/go; do sleep 0.1; done`;
  const { notifier } = setUp(t, { command: script, pause: () => 60_000, lastWords: 60_000 });
  const telling = notifier.tell(["/a"]);
  const newer = notifier.tell(["/b"]);
  const closing = notifier.close();
  await writeFile(join(folder, "go"), "");
  assert.deepEqual(await Promise.all([telling, newer]), [true, true]);
  await closing;
  assert.equal(await readFile(join(folder, "got"), "utf8"), "/a\n/b\n");
});
