/**
 * The seam between who orders certificates and those who do so on other machines: of each set of
 * names one at a time has the lease, and only it orders. Types, and one error; for Redis it is
 * `redislease.ts`.
 */
import type { Entry } from "./acmestate.ts";

export interface Leases {
  /**
   * The lease of these names, when what others have stored of them is known, too; undefined while
   * somebody else has it, or it isn't known whether somebody has. Never rejects.
   */
  take(names: readonly string[]): Promise<Lease | undefined>;
}

/** Ends with `release`, or when nothing is heard of its owner for a minute. */
export interface Lease {
  /** What whoever had it last has found out. */
  readonly note: Note | undefined;
  /** Rejects with LeaseError if it is lost: for right before what mustn't be done twice. */
  check(): Promise<void>;
  /** Lets go of it, and leaves a note to the next one if there is something to say. */
  release(note?: Note): Promise<void>;
}

/** What failed and until when, at which CA; `at` (RFC 3339) is when it was written. */
export interface Note {
  readonly at: string;
  readonly entry: Omit<Entry, "pending">;
}

/** Somebody else may have the lease now. */
export class LeaseError extends Error {}
