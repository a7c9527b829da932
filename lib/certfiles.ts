/**
 * Certificates as files for those who serve them: `name.pem` with chain and key (HAProxy), or the
 * chain there and the key in `name.key` (nginx). Written when they differ, each atomically, and
 * readable by nobody else than is asked for. Files of certificates that nobody wants any more stay.
 *
 * Needs file.ts, addr.ts, log.ts, order.ts (faultOf), store.ts, and a file system.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import { chmod, chown, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { isDomainName } from "./addr.ts";
import { type PreparedFile, prepareFile, type WriteOptions } from "./file.ts";
import { errorText, type Logger } from "./log.ts";
import { faultOf } from "./order.ts";
import type { CertificateRecord } from "./store.ts";

export interface CertFilesOptions {
  /** It has to be there. */
  readonly folder: string;
  readonly layout: "combined" | "splitkeys";
  readonly mode: number;
  /** What isn't given is the old file's, or that of whoever writes. */
  readonly owner?: NonNullable<WriteOptions["owner"]>;
  readonly log: Logger;
}

/** What the file of a name is called, without its end: `_.example.com`. Throws for no name. */
export function fileName(name: string): string {
  if (isDomainName(name.replace(/^\*\./, ""))) return name.replace("*", "_");
  throw new TypeError(`no domain name: ${JSON.stringify(name)}`);
}

export class CertFiles {
  readonly #options: CertFilesOptions;
  /** The certificate of each file that was as it should be, and the file's state then. */
  readonly #good = new Map<string, { readonly certificate: string; readonly state: string }>();
  /** What the log was told of each file: a fault is told once. */
  readonly #told = new Map<string, string>();

  constructor(options: CertFilesOptions) {
    this.#options = options;
  }

  /** Whether files were written; never rejects: the log says what failed. `name`: of fileName(). */
  async deploy(name: string, record: CertificateRecord): Promise<boolean> {
    const [chain, key] = [record.certificate, record.privateKey].map(endLine) as [string, string];
    const files = this.#options.layout === "combined"
      ? { ".pem": chain + key }
      : { ".key": key, ".pem": chain };
    let path = "";
    const stale: [path: string, text: string][] = [];
    const ready: PreparedFile[] = [];
    try {
      for (const [end, text] of Object.entries(files)) {
        path = join(this.#options.folder, name + end);
        if (!(await this.#isThere(path, text, record))) stale.push([path, text]);
      }
      if (stale.length === 0) return false;
      checkPair(record);
      // Both are on the disk before one counts: a chain without its key is of no use.
      const { mode, owner } = this.#options;
      const asked = { mode, keep: true, ...owner && { owner } };
      for (const [to, text] of stale) {
        path = to;
        ready.push(await prepareFile(to, text, asked));
      }
      for (const [to] of stale) {
        path = to;
        await ready.shift()?.commit();
      }
    } catch (error) {
      const next = "what is there stays; it is tried again at the next change, or in an hour";
      this.#tell(path, "certificate not deployed", error as Error, next);
      for (const one of ready) await one.discard();
      return false;
    }
    for (const [written] of stale) this.#told.delete(written);
    this.#options.log.info("certificate deployed", { file: path, until: record.notAfter });
    return true;
  }

  /** A thousand files are looked at whenever a container changes: those that changed are read. */
  async #isThere(path: string, text: string, { certificate }: CertificateRecord): Promise<boolean> {
    const info = await stat(path).catch((error) => {
      if (error.code !== "ENOENT") throw error;
    });
    if (info?.isFile() !== true) return false;
    const state = [info.dev, info.ino, info.size, info.mtimeMs, info.ctimeMs].join();
    const good = this.#good.get(path);
    if (good?.state === state && good.certificate === certificate) return true;
    await this.#protect(path, info).catch((error) =>
      this.#tell(path, "mode or owner of a certificate's file can't be set", error, "it is kept")
    );
    if (info.size !== Buffer.byteLength(text) || await readFile(path, "utf8") !== text) {
      return false;
    }
    this.#good.set(path, { certificate, state });
    return true;
  }

  /** Before anything new is in the file: where it can't be replaced it is written in place. */
  async #protect(path: string, is: { mode: number; uid: number; gid: number }): Promise<void> {
    const { mode, owner: { uid = is.uid, gid = is.gid } = {} } = this.#options;
    if ((is.mode & 0o7777) !== mode) await chmod(path, mode);
    if (uid !== is.uid || gid !== is.gid) await chown(path, uid, gid);
  }

  #tell(file: string, message: string, error: Error, next: string): void {
    // The system's text would differ: it has the name of the temporary file.
    const why = `${message} ${(error as NodeJS.ErrnoException).code ?? errorText(error)}`;
    if (this.#told.get(file) === why) return;
    this.#told.set(file, why);
    this.#options.log.error(message, { file, error, next });
  }
}

/** One file that can't be used keeps HAProxy from starting. Throws an Error. */
function checkPair({ certificate, privateKey, subject, altNames }: CertificateRecord): void {
  const key = createPrivateKey(privateKey);
  const fault = faultOf(certificate, key, [subject, ...altNames ?? []]);
  if (fault !== undefined) throw new Error(`the stored certificate ${fault}`);
}

const endLine = (text: string): string => text.endsWith("\n") ? text : `${text}\n`;
