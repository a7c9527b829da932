/**
 * Run with a sandbox's own flags in place of the program: tries what the program never needs, and
 * prints what came of it as JSON, `{ name: "done" | the error's code or name }`.
 * Arguments: a unix socket, a file to read, a folder to write into.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import net from "node:net";
import process from "node:process";

const [socketPath = "", file = "", folder = ""] = process.argv.slice(2);

const ATTEMPTS: Readonly<Record<string, () => Promise<unknown>>> = {
  "connect to the socket": () => once(net.connect({ path: socketPath }), "connect"),
  "read another file": () => readFile(file),
  "write its configuration": () => writeFile(`${folder}/new`, ""),
  "start a process": async () => await once(spawn("/bin/true"), "exit"),
};

const outcomes: Record<string, string> = {};
for (const [name, attempt] of Object.entries(ATTEMPTS)) {
  try {
    await attempt();
    outcomes[name] = "done";
  } catch (error) {
    const { code, name: kind } = error as NodeJS.ErrnoException;
    outcomes[name] = code ?? kind;
  }
}
process.stdout.write(`${JSON.stringify(outcomes)}\n`);
process.exit(0);
