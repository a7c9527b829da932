/**
 * Writes a file so that readers and crashes find the old content or the new, never half of it
 * (POSIX rename). The new file belongs to the user who writes. Of two writers the last one wins.
 */
import { randomBytes } from "node:crypto";
import {
  type FileHandle,
  lstat,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";

const MAX_LINKS = 40; // symbolic links one after another: as many as Linux follows

const LEFT_AFTER = 60 * 60 * 1000; // ms: no write takes that long

type Data = string | Uint8Array;
/** A bind-mounted single file can't be replaced; nor any in a folder that is not writable. */
const REFUSALS = ["EBUSY", "EACCES", "EPERM", "EROFS"];

export interface WriteOptions {
  /** Whatever the umask; default 0o600. */
  readonly mode?: number;
  /** A user's and a group's number, where not those of the user who writes. */
  readonly owner?: { readonly uid?: number; readonly gid?: number };
  /** The default of `owner` is then the old file's. */
  readonly keep?: boolean;
}

/**
 * Replaces `path`, or the file that a symbolic link there leads to; nothing is in the new file
 * before it has mode and owner. Where only the file itself may be changed it is written in place
 * and keeps both; `inPlace` is true then. Rejects with the system's error, and leaves no other file
 * behind.
 */
export async function writeFileAtomic(
  path: string,
  data: Data,
  options: WriteOptions = {},
): Promise<{ inPlace: boolean }> {
  const { mode = 0o600, keep = false } = options;
  const target = await followLinks(path);
  const start = join(dirname(target), `.${basename(target).slice(0, 40)}.`);
  const temporary = `${start}${randomBytes(12).toString("hex")}.tmp`;
  await removeLeft(start).catch(() => {}); // the next write may
  const old = keep ? await stat(target).catch(() => undefined) : undefined;
  const { uid = old?.uid, gid = old?.gid } = options.owner ?? {};
  try {
    await write(temporary, "wx", data, mode, uid, gid);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}); // the first error is the one to report
    if (!REFUSALS.includes(codeOf(error))) throw error;
    await write(target, "w", data, mode);
    return { inPlace: true };
  }
  await syncFolder(dirname(target));
  return { inPlace: false };
}

/** Removes what writes left that were killed: it may be secret. */
async function removeLeft(start: string): Promise<void> {
  for (const name of await readdir(dirname(start))) {
    const path = join(dirname(start), name);
    if (!path.startsWith(start) || !/^[0-9a-f]{24}\.tmp$/.test(path.slice(start.length))) continue;
    if ((await lstat(path)).mtimeMs < Date.now() - LEFT_AFTER) await rm(path);
  }
}

/** The path itself or where its links end, even if nothing is there yet. */
async function followLinks(path: string, links = 0): Promise<string> {
  if (links > MAX_LINKS) throw new Error(`${path}: more than ${MAX_LINKS} symbolic links`);
  const folder = await realpath(dirname(path));
  const here = join(folder, basename(path));
  const link = await readlink(here).catch((error) => {
    if (!["EINVAL", "ENOENT"].includes(codeOf(error))) throw error; // no link, nothing there
  });
  return link ? followLinks(isAbsolute(link) ? link : `${folder}/${link}`, links + 1) : here;
}

async function write(
  path: string,
  flags: string,
  data: Data,
  mode: number,
  uid?: number,
  gid?: number,
): Promise<void> {
  const file = await open(path, flags, mode);
  try {
    if (flags === "wx") {
      await give(file, uid, gid);
      await file.chmod(mode); // open() lets the umask take bits away, and chown some
    }
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Not by the system's error, which would have the file written in place, with another owner. */
async function give(file: FileHandle, uid?: number, gid?: number): Promise<void> {
  const now = await file.stat();
  const [user, group] = [uid ?? now.uid, gid ?? now.gid];
  if (user === now.uid && group === now.gid) return;
  await file.chown(user, group).catch((cause) => {
    throw new Error(`can't be given to user ${user}, group ${group}`, { cause });
  });
}

/** For a power cut. Works with Node 20 to 26 and Deno 2.9 on Linux; elsewhere it needn't. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException).code);
