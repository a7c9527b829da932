/**
 * Writes a file so that readers and crashes find the old content or the new, never half of it
 * (POSIX rename). The new file belongs to the user who writes. Of two writers the last one wins.
 * Reads one up to a limit.
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, open, readdir, readlink, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";

const MAX_LINKS = 40; // symbolic links one after another: as many as Linux follows

const LEFT_AFTER = 60 * 60 * 1000; // ms: no write takes that long

type Data = string | Uint8Array;
/** A bind-mounted single file can't be replaced; nor any in a folder that is not writable. */
const REFUSALS = ["EBUSY", "EACCES", "EPERM", "EROFS"];

/**
 * Replaces `path`, or the file that a symbolic link there leads to, by one of `mode` whatever the
 * umask. Where only the file itself may be changed it is written in place and keeps its mode;
 * `inPlace` is true then. Rejects with the system's error, and leaves no other file behind.
 */
export async function writeFileAtomic(
  path: string,
  data: Data,
  { mode = 0o600 }: { mode?: number } = {},
): Promise<{ inPlace: boolean }> {
  const target = await followLinks(path);
  const start = join(dirname(target), `.${basename(target).slice(0, 40)}.`);
  const temporary = `${start}${randomBytes(12).toString("hex")}.tmp`;
  await removeLeft(start).catch(() => {}); // the next write may
  try {
    await write(temporary, "wx", data, mode);
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

async function write(path: string, flags: string, data: Data, mode: number): Promise<void> {
  const file = await open(path, flags, mode);
  try {
    if (flags === "wx") await file.chmod(mode); // open() lets the umask take bits away
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
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
