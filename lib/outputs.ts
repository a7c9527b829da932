/**
 * From templates and data to files: evaluated, compared with what is on disk, checked, replaced.
 * Needs command.ts, debounce.ts (backoff), file.ts, log.ts, watchfile.ts and a compiler.
 *
 * One output can't hurt another, and whatever fails the old file stays: the fault is logged once,
 * until it is another. What may pass by itself, a full disk or a refusing check, is tried again.
 * A file that equals what was rendered isn't touched; as in Go, a missing file equals no text.
 */
import { Buffer, isUtf8 } from "node:buffer";
import { chmod, chown, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import { CommandError, runShell } from "./command.ts";
import { backoff } from "./debounce.ts";
import { prepareFile, readLimited } from "./file.ts";
import { errorText, type Fields, type Logger, quote } from "./log.ts";
import { watchPath } from "./watchfile.ts";

/** Bytes of a template. */
const MAX_TEMPLATE = 1024 * 1024;
/** Bytes of an old file that is compared line by line. */
const MAX_OLD = 64 * 1024 * 1024;
/** Milliseconds that the check command may take. */
const CHECK_DEADLINE = 30_000;

/** Two paths. */
export interface Output {
  readonly template: string;
  readonly destination: string;
}

/** Throws what may have `line` and `column`, as numbers from 1; so may the template. */
export type Compile = (
  name: string,
  source: string,
) => { readonly execute: (data: unknown) => string };

export interface OutputsOptions {
  readonly outputs: readonly Output[];
  readonly compile: Compile;
  /**
   * A command line for /bin/sh that gets the new file's path as its last argument, and as variables
   * DOTEGE_FILE, DOTEGE_DESTINATION and DOTEGE_TEMPLATE; empty for none. See runShell().
   */
  readonly check: string;
  /** As file.ts has them; by default they stay as they are. */
  readonly mode?: number;
  readonly owner?: { readonly uid?: number; readonly gid?: number };
  readonly log: Logger;
  /** Whether edits to templates are picked up, and failures tried again. */
  readonly watch: boolean;
  /** Asks for another render(): a template was edited, or a failure is due to be tried again. */
  readonly again: () => void;
  /** Milliseconds after so many failures; default backoff(). */
  readonly pause?: (failures: number) => number;
}

/** What would be written, and is there now; undefined where it failed or there is no file. */
export interface Evaluated extends Output {
  readonly text: string | undefined;
  readonly old: string | undefined;
}

export interface Rendered {
  /** Destinations that were written: whoever reads them must be told. */
  readonly changed: readonly string[];
  /** By destination, what its file has now, where that is what the template says. */
  readonly texts: ReadonlyMap<string, string>;
  /** Whether all of them are. */
  readonly ok: boolean;
}

/** Neither function rejects, nor may be called again before it is done; faults are logged. */
export interface Outputs {
  /** Writes what differs, in the order of the outputs. */
  render(data: unknown): Promise<Rendered>;
  /** Writes nothing. */
  evaluate(data: unknown): Promise<readonly Evaluated[]>;
  /** Ends watching and a running check; what is being written is finished. */
  close(): void;
}

/**
 * `source:destination` of each output, separated by commas, after those in `others`. Throws an
 * Error that says which item is wrong. There is no way to write a path with a comma or a colon.
 */
export function parseTemplates(text: string, others: readonly Output[] = []): Output[] {
  const outputs = [...others];
  for (const item of text.split(",").map((item) => item.trim()).filter((item) => item !== "")) {
    const paths = item.split(":").map((path) => path.trim());
    const [template = "", destination = ""] = paths;
    if (paths.length !== 2 || template === "" || destination === "") {
      throw new Error(`invalid templates item ${quote(item, 200)}: expected source:destination`);
    }
    if (outputs.some((other) => resolve(other.destination) === resolve(destination))) {
      throw new Error(`two templates have the destination ${quote(destination, 200)}`);
    }
    outputs.push({ template, destination });
  }
  const own = outputs.find((each) => resolve(each.template) === resolve(each.destination));
  if (own === undefined) return outputs;
  throw new Error(`a template would be overwritten by what it gives: ${quote(own.template, 200)}`);
}

export function createOutputs(options: OutputsOptions): Outputs {
  const { watch, again, pause = backoff } = options;
  const closed = new AbortController();
  const files = options.outputs.map((output) => new OutputFile(output, options, closed.signal));
  const unwatch = watch ? files.map((file) => file.watch()) : [];
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const render = async (data: unknown): Promise<Rendered> => {
    clearTimeout(timer);
    const changed: string[] = [];
    const texts = new Map<string, string>();
    let retry = false;
    for (const file of files) {
      const { text, isNew, mayPass } = await file.update(data);
      if (text !== undefined) texts.set(file.destination, text);
      if (isNew) changed.push(file.destination);
      retry ||= mayPass;
    }
    failures = retry ? failures + 1 : 0;
    if (retry && watch && !closed.signal.aborted) timer = setTimeout(again, pause(failures));
    return { changed, texts, ok: texts.size === files.length };
  };
  const evaluate = async (data: unknown): Promise<readonly Evaluated[]> => {
    const found: Evaluated[] = [];
    for (const file of files) found.push(await file.evaluate(data));
    return found;
  };
  const close = (): void => {
    clearTimeout(timer);
    for (const stop of unwatch) stop();
    closed.abort(new Error("leaving"));
  };
  return { render, evaluate, close };
}

/** `text` is undefined after a failure, `mayPass` true if that is worth another try. */
interface Update {
  readonly text: string | undefined;
  readonly isNew: boolean;
  readonly mayPass: boolean;
}

class OutputFile {
  readonly destination: string;
  readonly #path: string;
  readonly #options: OutputsOptions;
  readonly #closed: AbortSignal;
  /** The template's bytes as last read, and what they were compiled to, if they could be. */
  #source: Buffer | undefined;
  #template: ReturnType<Compile> | undefined;
  #isTried = false;
  /** What was logged last and still holds: it isn't again. */
  #fault = "";
  #attributesFault = "";
  #saidInPlace = false;

  constructor({ template, destination }: Output, options: OutputsOptions, closed: AbortSignal) {
    this.destination = destination;
    this.#path = template;
    this.#options = options;
    this.#closed = closed;
  }

  /** The function that it returns ends the watching. */
  watch(): () => void {
    const { log, again } = this.#options;
    const changed = async (): Promise<void> => {
      try {
        if (!this.#isTried) return; // it will be read now
        const source = await readLimited(this.#path, MAX_TEMPLATE);
        // A file that is written in place is empty first.
        if (source.length === 0 || this.#source?.equals(source) || this.#closed.aborted) return;
        this.#source = source;
        this.#template = undefined;
        again();
      } catch (error) {
        const fields = { template: this.#path, error: error as Error };
        if (this.#source) log.warn("template can't be read: the last one stays", fields);
      }
    };
    return watchPath({ path: this.#path, what: "template", log }, () => void changed());
  }

  async evaluate(data: unknown): Promise<Evaluated> {
    const { destination } = this;
    const text = await this.#execute(data);
    const old = await readLimited(destination, MAX_OLD).catch((error) => {
      if (!isMissing(error)) this.#fail("old file not read", error);
    });
    return { template: this.#path, destination, text, old: old?.toString() };
  }

  async update(data: unknown): Promise<Update> {
    const text = await this.#execute(data);
    if (text === undefined) return { text, isNew: false, mayPass: this.#source === undefined };
    try {
      const isNew = await this.#write(Buffer.from(text));
      if (this.#fault !== "") this.#options.log.info("output is right again", this.#fields());
      this.#fault = "";
      return { text, isNew, mayPass: false };
    } catch (error) {
      const { output } = error as Partial<CommandError>;
      const what = output === undefined ? "written" : "accepted";
      // A check may say something else each time, its process number say, of the same text.
      const about = output === undefined ? undefined : text;
      this.#fail(`file not ${what}: the old one stays`, error, { output }, about);
      return { text: undefined, isNew: false, mayPass: true };
    }
  }

  /** Undefined if that fails, which is logged. */
  async #execute(data: unknown): Promise<string | undefined> {
    this.#isTried = true;
    try {
      this.#source ??= await readLimited(this.#path, MAX_TEMPLATE);
      this.#template ??= this.#options.compile(basename(this.#path), decode(this.#source));
      return this.#template.execute(data);
    } catch (error) {
      const { line, column } = error as { line?: unknown; column?: unknown };
      const at = (value: unknown) => typeof value === "number" ? value : undefined;
      const fields = { line: at(line), column: at(column) };
      this.#fail("template failed: the old file stays", error, fields);
    }
    return undefined;
  }

  /** Whether the file is new; rejects if it isn't as it should be. */
  async #write(bytes: Buffer): Promise<boolean> {
    const { destination } = this;
    const { check, mode, owner, log } = this.#options;
    const info = await stat(destination).catch((error) => {
      if (!isMissing(error)) throw error;
    });
    if (info === undefined && bytes.length === 0) return false;
    if (info?.isFile() === false) throw new Error("the destination is no regular file");
    const isSame = info?.size === bytes.length &&
      (await readLimited(destination, bytes.length)).equals(bytes);
    if (!isSame) {
      const wanted = { keep: true, ...mode !== undefined && { mode }, ...owner && { owner } };
      const prepared = await prepareFile(destination, bytes, wanted);
      if (check !== "") {
        await this.#check(prepared.path, bytes).catch(async (error) => {
          await prepared.discard();
          throw error;
        });
      }
      const { inPlace } = await prepared.commit();
      log.info("file written", { destination, bytes: bytes.length });
      if (inPlace && !this.#saidInPlace) {
        log.info("the file can't be replaced: it is written in place", { destination });
      }
      this.#saidInPlace ||= inPlace;
    }
    await this.#setAttributes();
    return !isSame;
  }

  /** Where the folder takes no other file, the check looks at one in a folder of its own. */
  async #check(path: string | undefined, bytes: Buffer): Promise<void> {
    const folder = path === undefined ? await mkdtemp(join(tmpdir(), "dotege-")) : undefined;
    const file = path ?? join(folder ?? "", basename(this.destination));
    const env = {
      DOTEGE_FILE: file,
      DOTEGE_DESTINATION: this.destination,
      DOTEGE_TEMPLATE: this.#path,
    };
    try {
      if (folder !== undefined) await writeFile(file, bytes);
      const options = { signal: this.#closed, deadline: CHECK_DEADLINE, env };
      const { problem, output } = await runShell(this.#options.check, [file], options);
      if (problem !== "") throw new CommandError(`the check command ${problem}`, output);
    } finally {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true }).catch(() => {});
    }
  }

  /** Of a file that was written in place, or was right already; what is asked for may be new. */
  async #setAttributes(): Promise<void> {
    const { destination } = this;
    const { mode, owner, log } = this.#options;
    if (mode === undefined && owner === undefined) return;
    try {
      const now = await stat(destination);
      const { uid = now.uid, gid = now.gid } = owner ?? {};
      if (uid !== now.uid || gid !== now.gid) await chown(destination, uid, gid);
      if (mode !== undefined && (now.mode & 0o7777) !== mode) await chmod(destination, mode);
      this.#attributesFault = "";
    } catch (error) {
      const text = errorText(error);
      const fields = { destination, error: error as Error };
      if (text !== this.#attributesFault) log.warn("mode or owner not set", fields);
      this.#attributesFault = text;
    }
  }

  #fields(): { template: string; destination: string } {
    return { template: this.#path, destination: this.destination };
  }

  /** Logs it unless it was; `about` instead of its text says whether it is the same again. */
  #fail(message: string, error: unknown, fields: Fields = {}, about = errorText(error)): void {
    if (this.#closed.aborted) return;
    const fault = `${message} ${about.replace(/[0-9a-f]{24}\.tmp/g, "")}`;
    const all = { ...this.#fields(), ...fields, error: error as Error };
    if (fault !== this.#fault) this.#options.log.error(message, all);
    this.#fault = fault;
  }
}

function decode(bytes: Buffer): string {
  const text = bytes.toString();
  if (isUtf8(bytes)) return text;
  const line = text.slice(0, text.indexOf("\ufffd")).split("\n").length;
  throw Object.assign(new Error("invalid bytes: expected UTF-8"), { line });
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";
