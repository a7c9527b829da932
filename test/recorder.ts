/** A log whose events tests look at, and wait for. */
import { errorText, type Fields, type Logger } from "../lib/log.ts";
import { setTimeout } from "node:timers/promises";

const PATIENCE = 20_000;

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
    for (const start = Date.now();; await setTimeout(5)) {
      const found = lines.slice(from).find((line) => pattern.test(line));
      if (found !== undefined) return found;
      if (Date.now() - start > PATIENCE) throw new Error(`no ${pattern} in:\n${lines.join("\n")}`);
    }
  };
  const log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return { log, lines, waitFor };
}
