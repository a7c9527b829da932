/**
 * Certificates for Dotege: wanted for the hosts of containers, obtained as Centauri obtains them
 * but by DNS alone, kept in Dotege 1.3.2's cache file, and deployed as files.
 *
 * Needs addr.ts, autocert.ts and what that needs, certfiles.ts, dotegecache.ts. Loaded when
 * certificates are asked for.
 */
import { foldWildcards, toDomainName } from "./addr.ts";
import { createAutocert } from "./autocert.ts";
import { CertFiles, fileName } from "./certfiles.ts";
import type { CertSettings } from "./certsettings.ts";
import { openDotegeCache } from "./dotegecache.ts";
import type { Logger } from "./log.ts";
import type { CertificateRecord, CertificateStore } from "./store.ts";

/** How often files are looked at when nothing happens: somebody may have removed one. */
const CHECK_INTERVAL = 60 * 60 * 1000;

/** The names of a certificate, subject first. */
type Names = readonly string[];

export interface DotegeCertificates {
  /**
   * From now on, the hosts of each container. Resolves when what the cache has is deployed; orders
   * go on meanwhile. Never rejects: the log says what failed, and when it is tried again.
   */
  want(hosts: readonly Names[]): Promise<void>;
  /** Ends orders under way, to be taken up at the next start. */
  close(): Promise<void>;
}

/**
 * `onDeploy` is called each time after files were written. Rejects for what can't work at all: a
 * cache or state that is damaged, or roots that can't be read.
 */
export async function createDotegeCertificates(
  settings: CertSettings,
  { log, env, onDeploy }: {
    log: Logger;
    env: Readonly<Record<string, string | undefined>>;
    onDeploy: () => void;
  },
): Promise<DotegeCertificates> {
  const { store, account } = await openDotegeCache(settings.cacheFile, () => new Date());
  const files = new CertFiles({ ...settings.files, log });
  let sets: readonly Names[] = [];
  let last = Promise.resolve();
  let queued: Promise<void> | undefined;
  // One after another: what changes meanwhile is seen by the one that waits.
  const deploy = (): Promise<void> =>
    queued ??= last = last.then(async () => {
      queued = undefined;
      if (await deployAll(sets, store, files)) onDeploy();
    }).catch((error) => log.error("certificates not deployed", { error }));
  const { renewal, close } = await createAutocert({ ...settings.acme, account }, {
    ...{ store, log, env, onChange: () => void deploy() },
    progress: (step, fields) => log.debug(step, fields),
  });
  const timer = setInterval(deploy, CHECK_INTERVAL);
  return {
    want(hosts) {
      const wanted = spelled(wantedNames(hosts, settings.wildcards), sets, store);
      // What is wanted anew is tried at once, but for the CA's limits: others go on waiting.
      if (JSON.stringify(wanted) !== JSON.stringify(sets)) renewal.want(wanted, false);
      sets = wanted;
      return deploy();
    },
    async close() {
      clearInterval(timer);
      await close();
      await last;
    },
  };
}

/** For hosts of containers the sets of names, each set once, in the order that it has first. */
export function wantedNames(hosts: readonly Names[], wildcards: readonly string[]): Names[] {
  const sets = hosts.map((names) => foldWildcards(names.flatMap(nameOf), wildcards));
  const wanted = new Map<string, Names>();
  for (const names of sets.filter((one) => one.length > 0)) {
    if (!wanted.has(setKey(names))) wanted.set(setKey(names), names);
  }
  return [...wanted.values()];
}

/** In its one spelling; nothing for what is no name, which is told where hosts are read. */
function nameOf(host: string): string[] {
  const [, wildcard = "", rest = ""] = /^(\*\.)?([^]*)$/.exec(host) ?? [];
  const name = toDomainName(rest);
  return name === undefined ? [] : [wildcard + name];
}

const setKey = (names: Names): string => names.toSorted().join(" ");

/** In the order of names that a certificate has already, or is ordered with: it names the file. */
function spelled(wanted: readonly Names[], before: readonly Names[], store: CertificateStore) {
  const stored = store.all().toSorted((a, b) => Date.parse(a.notAfter) - Date.parse(b.notAfter))
    .map(({ subject, altNames }) => [subject, ...altNames ?? []]);
  const known = new Map([...before, ...stored].map((names) => [setKey(names), names]));
  return wanted.map((names) => known.get(setKey(names)) ?? names);
}

/** Whether any file was written. */
async function deployAll(
  sets: readonly Names[],
  store: CertificateStore,
  files: CertFiles,
): Promise<boolean> {
  const found = sets.map(([subject = "", ...altNames]) => store.find("lego", subject, altNames));
  const valid = found.filter((record) => record !== undefined)
    .filter(({ notAfter }) => Date.parse(notAfter) > Date.now());
  let changed = false;
  for (const [name, record] of byFileName(valid)) {
    changed = await files.deploy(name, record) || changed;
  }
  return changed;
}

/**
 * Each under the first of its names that isn't another's. What has no such name needs no file: all
 * of its names are in the certificates of those that they name.
 */
export function byFileName<T extends Pick<CertificateRecord, "subject" | "altNames">>(
  records: readonly T[],
): Map<string, T> {
  const named = new Map<string, T>();
  for (const record of records) {
    const names = [record.subject, ...record.altNames ?? []].map(fileName);
    const name = names.find((one) => !named.has(one));
    if (name !== undefined) named.set(name, record);
  }
  return named;
}
