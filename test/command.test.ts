import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runProgram, runShell } from "../lib/command.ts";
import { until } from "./recorder.ts";
import { isRunning, temporaryFolder } from "./support.ts";

const never = new AbortController().signal;
const shell = (command: string, ...args: string[]) => runShell(command, args, { signal: never });

test("runProgram() tells how a program ended, and the end of what it said", async () => {
  const run = (line: string) => runProgram("/bin/sh", ["-c", line], { signal: never });
  assert.deepEqual(await run("echo fine"), { problem: "", output: "fine" });
  assert.deepEqual(await run("echo no >&2; exit 3"), {
    problem: "ended with code 3",
    output: "no",
  });
  assert.equal((await run("kill -9 $$")).problem, "was ended by SIGKILL");
  const { output } = await run("seq 100000; echo é");
  assert.ok(output.length <= 2_000 && output.endsWith("\n100000\né"), output.slice(-20));
  await assert.rejects(runProgram("/nowhere/program", [], { signal: never }), { code: "ENOENT" });
});

test("runShell() puts the arguments last, unless the command says where they go", async () => {
  for (
    const [command, expected] of [
      ["printf [%s]", "[a b][$c]"],
      ['printf [%s] "$@" x', "[a b][$c][x]"],
      ['printf [%s] "$1"', "[a b]"],
      ['printf [%s] "${1}" x', "[a b][x]"],
      ['printf [%s] "$DOTEGE_FILE"', "[]"],
      ["true; printf [%s]", "[a b][$c]"],
    ] as const
  ) assert.deepEqual(await shell(command, "a b", "$c"), { problem: "", output: expected }, command);
  assert.equal((await shell("printf [%s]")).output, "[]");
});

test("runShell() gives the command more variables than this process's", async () => {
  const env = { DOTEGE_FILE: "/a file" };
  const { output } = await runShell('test -n "$PATH" && echo "$DOTEGE_FILE"', ["x"], {
    signal: never,
    env,
  });
  assert.equal(output, "/a file");
});

/** The process whose number a script moves there. */
async function started(pidFile: string): Promise<number> {
  const read = () => readFile(pidFile, "utf8").catch(() => "");
  await until(async () => await read() !== "");
  return Number(await read());
}

const sleeps = (pidFile: string): string =>
  `echo so far; sleep 600 & echo $! > ${pidFile}~; mv ${pidFile}~ ${pidFile}; wait`;

test("runShell() kills at the deadline, and keeps what was said until then", async (t) => {
  const pidFile = join(await temporaryFolder(t), "pid");
  const ended = await runShell(sleeps(pidFile), [], { signal: never, deadline: 2_000 });
  assert.deepEqual(ended, { problem: "took longer than 2s", output: "so far" });
  const pid = await started(pidFile);
  await until(async () => !(await isRunning(pid)));
});

test("runShell() ends with its signal", async (t) => {
  const pidFile = join(await temporaryFolder(t), "pid");
  const ending = new AbortController();
  const running = runShell(sleeps(pidFile), [], { signal: ending.signal });
  const pid = await started(pidFile);
  ending.abort(new Error("leaving"));
  await assert.rejects(running, /leaving/);
  await until(async () => !(await isRunning(pid)));

  await assert.rejects(runShell("true", [], { signal: ending.signal }), /leaving/);
});
