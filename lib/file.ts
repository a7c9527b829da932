/**
 * Writes a file so that readers and crashes find the old content or the new, never half of it
 * (POSIX rename). By default only the user who writes may read it. Of two writers the last one
 * wins. Reads one up to a limit.
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import {
  type FileHandle,
  lstat,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join } from "node:path";

const MAX_LINKS = 40; // symbolic links one after another: as many as Linux follows

const LEFT = /^[0-9a-f]{24}\.tmp(\.[^.]*)?$/; // the end of a temporary file's name
const LEFT_AFTER = 60 * 60 * 1000; // ms: no write takes that long

/** What is written is on the disk: Node 26's permission model forbids fsync, but not O_SYNC. */
const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_SYNC;
const NEW = FLAGS | constants.O_EXCL;
const OLD = FLAGS | constants.O_TRUNC;

type Data = string | Uint8Array;
/** A bind-mounted single file can't be replaced; nor any in a folder that is not writable. */
const REFUSALS = ["EBUSY", "EACCES", "EPERM", "EROFS"];

export interface WriteOptions {
  /** Whatever the umask; default 0o600. */
  readonly mode?: number;
  /** A user's and a group's number, where not those of the user who writes. */
  readonly owner?: { readonly uid?: number; readonly gid?: number };
  /**
   * The default of both is then what a program gets that writes in place: the mode and owner of the
   * old file, or of a new one 0o666 less the umask. If the old owner can't be kept, it does.
   */
  readonly keep?: boolean;
}

/** New content that isn't in its place yet. Either function may be called, once. */
export interface PreparedFile {
  /** Hidden beside the file, with its extension; undefined where there can be none. */
  readonly path: string | undefined;
  /** As writeFileAtomic() resolves and rejects. */
  commit(): Promise<{ inPlace: boolean }>;
  discard(): Promise<void>;
}

/**
 * Replaces `path`, or the file that a symbolic link there leads to. Where only the file itself may
 * be changed it is written in place and keeps its mode and owner; `inPlace` is true then. Rejects
 * with the system's error, and leaves no other file behind.
 */
export async function writeFileAtomic(
  path: string,
  data: Data,
  options: WriteOptions = {},
): Promise<{ inPlace: boolean }> {
  return await (await prepareFile(path, data, options)).commit();
}

/** The first half of writeFileAtomic(), for who wants to look at the file before it counts. */
export async function prepareFile(
  path: string,
  data: Data,
  options: WriteOptions = {},
): Promise<PreparedFile> {
  const target = await followLinks(path);
  const start = join(dirname(target), `.${basename(target).slice(0, 40)}.`);
  const end = `${randomBytes(12).toString("hex")}.tmp${extname(target).slice(0, 40)}`;
  const temporary = start + end;
  await removeLeft(start).catch(() => {}); // the next write may
  const discard = () => rm(temporary, { force: true }).catch(() => {}); // the first error counts
  const settings = await attributes(target, options);
  let made = true;
  const refuse = async (error: unknown): Promise<void> => {
    await discard();
    if (!REFUSALS.includes(codeOf(error))) throw error;
    made = false;
  };
  await write(temporary, NEW, data, settings).catch(refuse);
  const commit = async (): Promise<{ inPlace: boolean }> => {
    if (made) await rename(temporary, target).catch(refuse);
    if (made) await syncFolder(dirname(target));
    else await writeInPlace(target, data, settings);
    return { inPlace: !made };
  };
  return { path: made ? temporary : undefined, commit, discard };
}

/** What a new file gets; `wanted` is what the caller insists on. */
interface Attributes {
  readonly mode: number | undefined;
  readonly owner: WriteOptions["owner"];
  readonly wanted: boolean;
}

async function attributes(target: string, options: WriteOptions): Promise<Attributes> {
  const { mode, owner, keep = false } = options;
  const old = keep ? await stat(target).catch(() => undefined) : undefined;
  return {
    mode: mode ?? (keep ? old && old.mode & 0o7777 : 0o600),
    owner: { ...old && { uid: old.uid, gid: old.gid }, ...owner },
    wanted: owner !== undefined,
  };
}

/** Removes what writes left that were killed: it may be secret. */
async function removeLeft(start: string): Promise<void> {
  for (const name of await readdir(dirname(start))) {
    const path = join(dirname(start), name);
    if (!path.startsWith(start) || !LEFT.test(path.slice(start.length))) continue;
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

async function write(path: string, flags: number, data: Data, is: Attributes): Promise<void> {
  const file = await open(path, flags, is.mode);
  try {
    if (flags === NEW) {
      await give(file, is);
      await setMode(file, is.mode);
    }
    await file.writeFile(data);
  } finally {
    await file.close();
  }
}

/** The old content comes back where the new one has no room. */
async function writeInPlace(path: string, data: Data, is: Attributes): Promise<void> {
  const old = await readFile(path).catch(() => undefined);
  await write(path, OLD, data, is).catch(async (error) => {
    if (old !== undefined) await write(path, OLD, old, is).catch(() => {});
    throw error;
  });
}

async function give(file: FileHandle, { owner, wanted }: Attributes): Promise<void> {
  const now = await file.stat();
  const { uid = now.uid, gid = now.gid } = owner ?? {};
  if (uid === now.uid && gid === now.gid) return;
  await file.chown(uid, gid).catch((cause) => {
    throw wanted ? new Error(`can't be given to user ${uid}, group ${gid}`, { cause }) : cause;
  });
}

/** The umask, or chown, may have taken bits away. Node's permission model forbids to ask in vain. */
async function setMode(file: FileHandle, mode: number | undefined): Promise<void> {
  if (mode !== undefined && ((await file.stat()).mode & 0o7777) !== mode) await file.chmod(mode);
}

/** For a power cut. Works with Node 20 to 26 and Deno 2.9 on Linux; elsewhere it needn't. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/**
 * A file's bytes, of which no more than `max` and one are ever read, be it growing or a device.
 * Rejects with the system's error, or with one that says that it is larger.
 */
export async function readLimited(path: string, max: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path, { end: max })) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (bytes.length > max) throw new Error(`larger than ${max} bytes`);
  return bytes;
}

const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException).code);
