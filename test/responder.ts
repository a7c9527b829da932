/** OpenSSL's OCSP responder, for tests: it answers by the index file of a CA, as `openssl ca` keeps it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { findProgram } from "./support.ts";

/**
 * Starts `openssl ocsp` for the CA `ca.pem` and the `index.txt` of a folder, on a free port that it
 * tells. `args`: who signs, `-rsigner ca.pem -rkey ca.key` for the CA itself. Gives its URL.
 */
export async function startResponder(
  t: TestContext,
  folder: string,
  args: readonly string[],
): Promise<string> {
  const common = ["ocsp", "-index", "index.txt", "-CA", "ca.pem", "-ndays", "7", "-port", "0"];
  const child = spawn(findProgram("openssl")!, [...common, ...args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  t.after(() => {
    child.kill();
    return ended;
  });
  for (const input of [child.stdout, child.stderr]) input.on("error", () => {});
  return await new Promise((resolve, reject) => {
    const look = (line: string): void => {
      const port = /^ACCEPT .*:(\d+)/.exec(line)?.[1];
      if (port !== undefined) resolve(`http://127.0.0.1:${port}/`);
    };
    createInterface({ input: child.stdout }).on("line", look);
    createInterface({ input: child.stderr }).on("line", look);
    ended.then(() => reject(new Error("the responder ended")));
  });
}
