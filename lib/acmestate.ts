/**
 * What has to outlive a restart besides certificates: how often a set of names failed and when it
 * is tried next, so that a restart loop can't burn a CA's rate limits; and the order that a
 * certificate is being issued for, with its key, so that nothing that was issued is lost. One file,
 * shared between processes as jsonfile.ts does it.
 */
import { createPrivateKey } from "node:crypto";
import { JsonMap, type Shape } from "./jsonfile.ts";

/** Why there is no certificate, for a person; and when the next attempt may be made. */
export interface Failure {
  /** Attempts in a row that the CA counted. */
  readonly count: number;
  /** RFC 3339; `next` is empty when nothing is tried before one of the two below changes. */
  readonly at: string;
  readonly next: string;
  /** Hashes of the configuration and of the names' DNS; the latter is empty if it isn't known. */
  readonly configuration: string;
  readonly dns: string;
  /** Stable: `port-unreachable`. */
  readonly cause: string;
  readonly message: string;
  readonly advice: string;
}

export interface Entry {
  readonly failure?: Failure | undefined;
  /** By directory of a CA: until when it isn't asked (RFC 3339). */
  readonly holds?: Readonly<Record<string, string>> | undefined;
  /** How many certificates in a row were due again while they were new, and when the last came. */
  readonly hasty?: { readonly count: number; readonly at: string } | undefined;
  /** An order under way, and the key (PEM) that its certificate is for. */
  readonly pending?: Readonly<Record<"directory" | "url" | "key", string>> | undefined;
  /** The challenge type that worked last: it goes first. */
  readonly provenBy?: string | undefined;
}

const isText = (value: unknown): value is string => typeof value === "string";
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
/** A time that isn't one would be compared as NaN: neither due nor to come. */
const isTime = (value: unknown): boolean => isText(value) && !Number.isNaN(Date.parse(value));
const isUrl = (value: unknown): boolean => isText(value) && URL.canParse(value);

/** What each member that is there has to be. */
const MEMBERS: Readonly<Record<keyof Entry, (value: unknown) => boolean>> = {
  failure: members({
    ...{ count: isCount, at: isTime, next: (value) => value === "" || isTime(value) },
    ...{ configuration: isText, dns: isText, cause: isText, message: isText, advice: isText },
  }),
  holds: (value) => Object.values(Object(value)).every(isTime),
  hasty: members({ count: isCount, at: isTime }),
  pending: members({ directory: isUrl, url: isUrl, key: isKey }),
  provenBy: isText,
};

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

/** Whether all members that it has are what they have to be. */
export function isEntry(value: unknown): boolean {
  const entry = Object(value);
  return Object.entries(MEMBERS).every(([name, is]) =>
    entry[name] === undefined || is(entry[name])
  );
}

function members(all: Readonly<Record<string, (value: unknown) => boolean>>) {
  return (value: unknown): boolean =>
    Object.entries(all).every(([name, is]) => is(Object(value)[name]));
}

/** Without it an order can't be ended, and would be taken up again each time. */
function isKey(value: unknown): boolean {
  try {
    return isText(value) && createPrivateKey(value).type === "private";
  } catch {
    return false;
  }
}

const isThere = (value: unknown): boolean => value !== undefined;
