/**
 * `centauri --status`: asks the running one, and prints what it says. Exit codes: 0 all routes are
 * served, 1 one isn't, 2 nobody answers.
 *
 * Needs `statussocket.ts`, `statustext.ts`.
 */
import process from "node:process";
import { escape } from "./log.ts";
import type { Options } from "./options.ts";
import type { Status } from "./status.ts";
import { askStatus, StatusError, statusSocket } from "./statussocket.ts";
import { statusText } from "./statustext.ts";

/** Resolves with the exit code when all is written. */
export async function statusCommand(options: Options): Promise<number> {
  try {
    const path = statusSocket(options);
    if (path === undefined) {
      throw new StatusError("--status-socket is off here", "Give the one that it has.");
    }
    const status = await askStatus(path);
    const { isTTY } = process.stdout;
    const colour = isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb";
    await write(process.stdout, options.boolean("json") ? json(status) : text(status, colour));
    return status.routes.every(({ served }) => served) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    await write(process.stderr, `centauri: ${escape(error.message)}\n${error.advice}\n`);
    return 2;
  }
}

/** Throws StatusError for what has another shape than this version's. */
function text(status: Status, colour: boolean): string {
  try {
    return statusText(status, { colour });
  } catch {
    throw new StatusError("what it says can't be read", "See whether it is of another version.");
  }
}

/** For programs and people: what would drive a terminal is escaped as JSON escapes it. */
const json = (status: Status): string =>
  JSON.stringify(status, null, 2).split("\n").map((line) => `${escape(line)}\n`).join("");

function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((done) => void stream.write(text, () => done()));
}
