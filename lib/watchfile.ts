/**
 * Tells when a file may have changed, however it is changed. Needs log.ts and the file system.
 */
import fs, { type FSWatcher, type Stats } from "node:fs";
import { basename, dirname } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import type { Logger } from "./log.ts";

/** Milliseconds without another event before a change is told: writers empty a file first. */
const QUIET = 100;
/** Milliseconds between looks at the file, for changes that no event tells of. */
const POLL = 2_000;

/** fs.watch(), or what stands for it in tests. */
export type WatchFolder = (path: string, listener: Parameters<typeof fs.watch>[1]) => FSWatcher;

export interface WatchOptions {
  readonly path: string;
  /** What the file is, for the log: `config`. */
  readonly what: string;
  readonly log: Logger;
  /** Default fs.watch(). */
  readonly watchFolder?: WatchFolder;
}

/**
 * Calls `changed` when the file may have changed, until the function that it returns is called.
 * The folder is watched, for editors and `mv` put another file in the place of the first, and
 * Kubernetes swaps the link `..data` beside it. The file is polled as well: a single file mounted
 * into a container, a network file system and a link's target elsewhere send the folder no event.
 */
export function watchPath(options: WatchOptions, changed: () => void): () => void {
  const { path, what, log, watchFolder = fs.watch } = options;
  let quiet: ReturnType<typeof setTimeout> | undefined;
  const touch = (): void => {
    clearTimeout(quiet);
    quiet = setTimeout(changed, QUIET).unref();
  };
  const failed = (error: unknown): void =>
    log.warn(`can't watch the ${what} folder: polling the file`, { path, error: error as Error });
  // A file that is gone is the folder's news: told twice, it would be logged twice.
  const polled = (now: Stats): void => void (now.nlink > 0 && touch());
  // unref(), for Deno 2.9 takes no notice of `persistent: false`.
  fs.watchFile(path, { interval: POLL }, polled).unref();
  let watcher: FSWatcher | undefined;
  try {
    watcher = watchFolder(dirname(path), (_event, name) => {
      if (name === null || name === basename(path) || name.startsWith("..")) touch();
    }).on("error", failed);
    watcher.unref(); // whose result Deno 2.9 forgets
  } catch (error) {
    failed(error); // what Deno emits, Node throws
  }
  touch(); // for a change since the file was read
  return () => {
    clearTimeout(quiet);
    fs.unwatchFile(path, polled);
    watcher?.close();
  };
}
