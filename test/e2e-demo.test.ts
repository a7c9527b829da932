/** The README's first command. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { needProgram, run, runtimeCommand } from "./support.ts";

test("the demo prints a curl line that verifies the certificate and reaches the upstream", async (t) => {
  if (!needProgram(t, "curl")) return;
  const [program, ...args] = runtimeCommand("examples/demo.ts");
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const stop = (): void => {
    if (child.exitCode === null && child.signalCode === null) process.kill(child.pid as number);
  };
  t.after(stop);
  const commands = new Map<string, string[]>();
  for await (const line of createInterface({ input: child.stdout })) {
    const [name = "", ...words] = line.split(/ +/);
    if (words[0] === "curl") commands.set(name, words.slice(1));
    if (line.startsWith("Ctrl-C")) break;
  }
  child.stdout.resume();
  const proof = await run("curl", ["-sS", ...commands.get("Prove") ?? []]);
  assert.match(proof.stdout, /^GET \/hello\nHost: localhost:\d+\n/, proof.stderr);
  assert.match(proof.stdout, /^X-Forwarded-Proto: https$/im);
  const redirected = await run("curl", ["-sS", ...commands.get("Follow") ?? []]);
  assert.match(redirected.stdout, /^GET \/redirected\n/, redirected.stderr);
  const events = await run("curl", ["-sS", "-m", "1", ...commands.get("Watch") ?? []]);
  assert.match(events.stdout, /^data: \d{4}-/, events.stderr);
  stop();
  assert.deepEqual(await exited, [0, null]);
});
