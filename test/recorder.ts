/** Waiting for what comes by itself, and a log whose events tests look at. */
import { errorText, type Fields, type Logger } from "../lib/log.ts";
import { setTimeout } from "node:timers/promises";

const PATIENCE = 20_000;

/** Resolves when it is so; rejects with what `about` says then, after 20 s. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  about: () => string = () => `not so: ${isSo}`,
): Promise<void> {
  for (const start = Date.now(); !(await isSo()); await setTimeout(2)) {
    if (Date.now() - start > PATIENCE) throw new Error(about());
  }
}

export interface Recorder {
  readonly log: Logger;
  /** Each event so far: level, message and the values of its fields, an error's with its causes'. */
  readonly lines: readonly string[];
  /** The first line that matches, now or later, from line `from` (0) on. */
  waitFor(pattern: RegExp, from?: number): Promise<string>;
}

export function recordLog(): Recorder {
  const lines: string[] = [];
  const at = (level: string) => (message: string, fields: Fields = {}): void => {
    const values = Object.values(fields).filter((value) => value !== undefined);
    const texts = values.map((value) => value instanceof Error ? errorText(value) : String(value));
    lines.push([level, message, ...texts].join(" "));
  };
  const waitFor = async (pattern: RegExp, from = 0): Promise<string> => {
    const find = () => lines.slice(from).find((line) => pattern.test(line));
    await until(() => find() !== undefined, () => `no ${pattern} in:\n${lines.join("\n")}`);
    return find() ?? "";
  };
  const log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return { log, lines, waitFor };
}
