/**
 * What has to outlive a restart besides certificates: how often a set of names failed and when it
 * is tried next, so that a restart loop can't burn a CA's rate limits; and the order that a
 * certificate is being issued for, with its key, so that nothing that was issued is lost.
 *
 * One JSON file, replaced atomically, mode 0600, its changes merged with those of other processes.
 * Needs file.ts, lock.ts.
 */
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "./file.ts";
import { withLock } from "./lock.ts";

const MAX_BYTES = 64 * 1024 * 1024;

/** Why there is no certificate, for a person; and when the next attempt may be made. */
export interface Failure {
  /** Attempts in a row that the CA counted. */
  readonly count: number;
  /** RFC 3339; `next` is empty when nothing is tried before `fingerprint` changes. */
  readonly at: string;
  readonly next: string;
  /** Of the configuration and of the names' DNS, as far as the failure depended on them. */
  readonly fingerprint: string;
  /** Stable: `port-unreachable`. */
  readonly cause: string;
  readonly message: string;
  readonly advice: string;
}

/** An order that was about to be finalized with this key (PEM). */
export interface PendingOrder {
  readonly directory: string;
  readonly url: string;
  readonly key: string;
}

export interface Entry {
  readonly failure?: Failure | undefined;
  readonly pending?: PendingOrder | undefined;
  /** The challenge type that worked last: it goes first. */
  readonly provenBy?: string | undefined;
}

const FAILURE_TEXTS = ["at", "next", "fingerprint", "cause", "message", "advice"];
const PENDING_TEXTS = ["directory", "url", "key"];

export class AcmeState {
  readonly #path: string;
  #entries: Map<string, Entry>;
  #changes: [key: string, change: Entry][] = [];
  #queued: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, entries: Map<string, Entry>) {
    this.#path = path;
    this.#entries = entries;
  }

  /** A missing file is empty; rejects with an Error that names a damaged one. */
  static async open(path: string): Promise<AcmeState> {
    return new AcmeState(path, await readEntries(path));
  }

  /** `key` is that of a set of names (see namesKey). */
  get(key: string): Entry {
    return this.#entries.get(key) ?? {};
  }

  /** Changes these members; undefined removes one. Resolves when it is on disk. */
  update(key: string, change: Entry): Promise<void> {
    merge(this.#entries, key, change);
    this.#changes.push([key, change]);
    this.#queued ??= this.#writing.then(() => this.#write());
    this.#writing = this.#queued.catch(() => {});
    return this.#queued;
  }

  async #write(): Promise<void> {
    this.#queued = undefined;
    const changes = this.#changes;
    this.#changes = [];
    await withLock(this.#path, async () => {
      const entries = await readEntries(this.#path);
      for (const [key, change] of changes) merge(entries, key, change);
      const json = JSON.stringify(Object.fromEntries(entries), null, 2) + "\n";
      await writeFileAtomic(this.#path, json, { mode: 0o600 });
      for (const [key, change] of this.#changes) merge(entries, key, change);
      this.#entries = entries;
    });
  }
}

/** The same for the same names in any order. */
export function namesKey(names: readonly string[]): string {
  return [...new Set(names)].sort().join(" ");
}

function merge(entries: Map<string, Entry>, key: string, change: Entry): void {
  const merged = Object.entries({ ...entries.get(key), ...change });
  const left = merged.filter(([, value]) => value !== undefined);
  if (left.length === 0) entries.delete(key);
  else entries.set(key, Object.fromEntries(left));
}

async function readEntries(path: string): Promise<Map<string, Entry>> {
  const text = await readFile(path, "utf8").catch((error) => {
    if (error.code === "ENOENT") return "{}";
    throw new Error(`${path} can't be read`, { cause: error });
  });
  const expected = `${path} is damaged: expected what Centauri writes; remove it to start anew`;
  if (text.length > MAX_BYTES) throw new Error(expected);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(expected); // the parser's message would quote private keys
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new Error(expected);
  return new Map(
    Object.entries(json).map(([key, value]) => {
      if (!isEntry(value)) throw new Error(expected);
      return [key, value];
    }),
  );
}

function isEntry(value: unknown): value is Entry {
  const { failure, pending, provenBy } = Object(value);
  return (failure === undefined || (hasTexts(failure, FAILURE_TEXTS) && isCount(failure.count))) &&
    (pending === undefined || hasTexts(pending, PENDING_TEXTS)) &&
    (provenBy === undefined || typeof provenBy === "string");
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value);
const hasTexts = (value: unknown, names: readonly string[]): boolean =>
  names.every((name) => typeof Object(value)[name] === "string");
