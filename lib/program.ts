/**
 * What a program of ours does about its process: options, help, the log, bugs, signals, exit codes.
 * Needs log.ts, options.ts.
 *
 * Exit codes: 0 all is well, 1 it isn't, 2 an option that can't be used.
 */
import process from "node:process";
import { createLogger, type Level, type Logger } from "./log.ts";
import { formatHelp, type Option, OptionError, type Options, parseOptions } from "./options.ts";

/** `S`: what the options mean. */
export interface Program<S> {
  /** As users write it, without its ending. */
  readonly name: string;
  /** Has `help`, `log.level` and `log.format`. */
  readonly options: readonly Option[];
  /** Where the log goes. */
  readonly log: "stdout" | "stderr";
  /** Throws, or rejects with, OptionError for what the table of options can't know. */
  readonly settings: (options: Options) => S | Promise<S>;
  /** Whether all is well, or the exit code; should not reject. */
  readonly run: (options: Options, settings: S, log: Logger) => Promise<boolean | number>;
}

/** Reads the arguments and the environment, runs the program, and ends the process. */
export async function startProgram<S>(program: Program<S>): Promise<void> {
  const { name, options: table } = program;
  let options: Options;
  let settings: S;
  try {
    options = parseOptions(table, process.argv.slice(2), process.env);
    if (options.boolean("help")) {
      process.stdout.write(formatHelp(`Usage: ${name}.ts [options]`, table));
      return;
    }
    settings = await program.settings(options);
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exit(2);
  }
  const output = process[program.log];
  const log = createLogger({
    ...logSettings(options),
    write: (line) => void output.write(line),
    terminal: output.isTTY === true,
  });
  // Nobody reads it any more: no reason to end.
  for (const each of [process.stdout, process.stderr]) each.on("error", () => {});
  logBugs(log);
  const well = await program.run(options, settings, log).catch((error: Error) => {
    log.error("can't start", { error });
    return false;
  });
  process.exit(typeof well === "number" ? well : well ? 0 : 1);
}

/** What the options say of the log. */
export function logSettings(options: Options): { level: Level; format: "text" | "json" } {
  const format = options.choice("log.format") as "text" | "json";
  return { level: options.choice("log.level") as Level, format };
}

/** A fault in one place must not end the others; it is a bug all the same. */
export function logBugs(log: Logger): void {
  const onBug = (error: unknown) =>
    log.error("internal error: please report it", { error: stack(error) });
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);
}

/** The first signal to stop; a second one doesn't wait. */
export function signalled(): Promise<string> {
  return new Promise((done) => {
    let stopping = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      // One listener that tells first from second: Deno 2.9 also calls those added during a signal.
      process.on(signal, () => {
        if (stopping) process.exit(1);
        stopping = true;
        done(signal);
      });
    }
  });
}

function stack(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
