/**
 * JSON files that hold secrets: of a limited size, replaced atomically, with mode 0600. One that is
 * damaged is never written, and no message quotes what is in it. Needs file.ts, lock.ts.
 */
import { Buffer } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import { writeFileAtomic } from "./file.ts";
import { LockError, withLock } from "./lock.ts";

/** Why a folder takes no new file, though a file in it may be written. */
const REFUSALS = ["EACCES", "EPERM", "EROFS"];

/**
 * What `parse` makes of the file; undefined if there is none. Rejects with an Error that names it
 * and says what is wrong; so `parse` must not quote what it throws about.
 */
export async function readJson<T>(
  path: string,
  maxBytes: number,
  parse: (json: unknown) => T,
): Promise<T | undefined> {
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new Error("it is no regular file");
    if (info.size > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return parse(parseJson(await readFile(path, "utf8")));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new Error(`${path} can't be used: ${(error as Error).message}`);
  }
}

function parseJson(text: string): unknown {
  if (text === "") throw new Error("it is empty; remove it");
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("it is not valid JSON"); // the parser's message would quote private keys
  }
}

/** How entries are kept in a file. */
export interface Shape<V> {
  readonly maxBytes: number;
  /** Throws an Error that says what is wrong, and quotes nothing. */
  readonly parse: (json: unknown) => Map<string, V>;
  /** May leave entries out. */
  readonly format: (entries: ReadonlyMap<string, V>) => unknown;
  readonly merge: (old: V | undefined, change: V) => V;
}

/**
 * Entries by key in a file that processes share: each write reads, merges and writes under a lock,
 * so that none loses another's. They are held in memory: `get` doesn't wait.
 */
export class JsonMap<V> {
  readonly #path: string;
  readonly #shape: Shape<V>;
  #saved: ReadonlyMap<string, V> = new Map();
  /** What isn't in the file: new, or of a write that failed. */
  readonly #unsaved = new Map<string, V>();
  /** Ends after all reads and writes so far; #queued is the write among them that hasn't begun. */
  #last: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;

  private constructor(path: string, shape: Shape<V>) {
    this.#path = path;
    this.#shape = shape;
  }

  /** A missing file is empty; rejects with an Error that names a damaged one. */
  static async open<V>(path: string, shape: Shape<V>): Promise<JsonMap<V>> {
    const map = new JsonMap(path, shape);
    await map.reload();
    return map;
  }

  get(key: string): V | undefined {
    const [old, change] = [this.#saved.get(key), this.#unsaved.get(key)];
    return change === undefined ? old : this.#shape.merge(old, change);
  }

  values(): V[] {
    const keys = new Set([...this.#saved.keys(), ...this.#unsaved.keys()]);
    return [...keys].map((key) => this.get(key)!);
  }

  /**
   * Resolves when it is on disk. Changes that come during a write are written together. If writing
   * fails, `get` has the change all the same, and the next one tries again.
   */
  set(key: string, change: V): Promise<void> {
    const before = this.#unsaved.get(key);
    this.#unsaved.set(key, before === undefined ? change : this.#shape.merge(before, change));
    this.#queued ??= this.#next(() => this.#write());
    return this.#queued;
  }

  /** Takes in what other processes wrote meanwhile; rejects as open() does. */
  reload(): Promise<void> {
    return this.#next(() => this.#read());
  }

  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  /** If the file is gone, what it held stays and is written again. */
  async #read(): Promise<void> {
    this.#saved = await readJson(this.#path, this.#shape.maxBytes, this.#shape.parse) ??
      this.#saved;
  }

  async #write(): Promise<void> {
    this.#queued = undefined;
    await withLock(this.#path, (check) => this.#merge(check)).catch(async (error) => {
      // A single file mounted into a folder that nobody may write to can't be locked, nor replaced.
      const isRefused = error instanceof LockError && REFUSALS.includes(codeOf(error.cause));
      if (!isRefused || !(await stat(this.#path).catch(() => undefined))) throw error;
      await this.#merge();
    });
  }

  async #merge(check?: () => Promise<void>): Promise<void> {
    const changes = [...this.#unsaved];
    await this.#read();
    const { format, merge, maxBytes } = this.#shape;
    const merged = new Map(this.#saved);
    for (const [key, change] of changes) merged.set(key, merge(merged.get(key), change));
    const json = JSON.stringify(format(merged), null, 2) + "\n";
    if (Buffer.byteLength(json) > maxBytes) {
      throw new Error(`${this.#path}: would have more than ${maxBytes} bytes`);
    }
    await check?.();
    await writeFileAtomic(this.#path, json);
    this.#saved = merged;
    for (const [key, change] of changes) {
      if (this.#unsaved.get(key) === change) this.#unsaved.delete(key);
    }
  }
}

const codeOf = (error: unknown): string => `${(error as NodeJS.ErrnoException | undefined)?.code}`;
