/**
 * What has to outlive a restart besides certificates: how often a set of names failed and when it
 * is tried next, so that a restart loop can't burn a CA's rate limits; and the order that a
 * certificate is being issued for, with its key, so that nothing that was issued is lost. One file,
 * shared between processes as jsonfile.ts does it.
 */
import { JsonMap, type Shape } from "./jsonfile.ts";

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

export interface Entry {
  readonly failure?: Failure | undefined;
  /** An order that was about to be finalized with this key (PEM). */
  readonly pending?: Readonly<Record<"directory" | "url" | "key", string>> | undefined;
  /** The challenge type that worked last: it goes first. */
  readonly provenBy?: string | undefined;
}

const FAILURE_TEXTS = ["at", "next", "fingerprint", "cause", "message", "advice"];
const PENDING_TEXTS = ["directory", "url", "key"];

const SHAPE: Shape<Entry> = {
  maxBytes: 64 * 1024 * 1024,
  parse(json) {
    const isObject = typeof json === "object" && !Array.isArray(json);
    const entries = Object.entries(json ?? {});
    if (isObject && entries.every(([, value]) => isEntry(value))) return new Map(entries);
    throw new Error("expected what Centauri writes; remove it to start anew");
  },
  // What is undefined JSON leaves out.
  format: (entries) =>
    Object.fromEntries([...entries].filter(([, entry]) => Object.values(entry).some(isThere))),
  merge: (old, change) => ({ ...old, ...change }),
};

/** By the key of a set of names (see namesKey). */
export class AcmeState {
  readonly #entries: JsonMap<Entry>;

  private constructor(entries: JsonMap<Entry>) {
    this.#entries = entries;
  }

  /** A missing file is empty; rejects with an Error that names a damaged one. */
  static async open(path: string): Promise<AcmeState> {
    return new AcmeState(await JsonMap.open(path, SHAPE));
  }

  get(key: string): Entry {
    return this.#entries.get(key) ?? {};
  }

  /** Changes these members; undefined removes one. Resolves when it is on disk. */
  update(key: string, change: Entry): Promise<void> {
    return this.#entries.set(key, change);
  }
}

/** The same for the same names in any order. */
export function namesKey(names: readonly string[]): string {
  return [...new Set(names)].sort().join(" ");
}

function isEntry(value: unknown): value is Entry {
  const { failure, pending, provenBy } = Object(value);
  return (failure === undefined || (hasTexts(failure, FAILURE_TEXTS) && isCount(failure.count))) &&
    (pending === undefined || hasTexts(pending, PENDING_TEXTS)) &&
    (provenBy === undefined || typeof provenBy === "string");
}

const isThere = (value: unknown): boolean => value !== undefined;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value);
const hasTexts = (value: unknown, names: readonly string[]): boolean =>
  names.every((name) => typeof Object(value)[name] === "string");
