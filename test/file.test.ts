import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { prepareFile, readLimited, writeFileAtomic } from "../lib/file.ts";
import { needProgram, root, run, runtimeCommand, temporaryFolder } from "./support.ts";

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

test("writeFileAtomic() makes a file that only its owner can read", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "new");
  assert.deepEqual(await writeFileAtomic(path, "text é"), { inPlace: false });
  assert.equal(await readFile(path, "utf8"), "text é");
  assert.equal(await modeOf(path), 0o600);
  assert.deepEqual(await readdir(folder), ["new"]);
});

test("writeFileAtomic() gives the mode that is asked for, whatever the umask", async (t) => {
  const path = join(await temporaryFolder(t), "new");
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  await writeFileAtomic(path, Buffer.from([0, 255]), { mode: 0o664 });
  assert.equal(await modeOf(path), 0o664);
  assert.deepEqual(await readFile(path), Buffer.from([0, 255]));
});

test("writeFileAtomic() leaves the old file to those who have it open", async (t) => {
  const path = join(await temporaryFolder(t), "file");
  await writeFile(path, "old and longer", { mode: 0o644 });
  const reader = await open(path, "r");
  t.after(() => reader.close());
  await writeFileAtomic(path, "new");
  assert.equal(await reader.readFile("utf8"), "old and longer");
  assert.equal(await readFile(path, "utf8"), "new");
  assert.equal(await modeOf(path), 0o600);
});

test("writeFileAtomic() replaces what a chain of links leads to", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "data/deep"), { recursive: true });
  await writeFile(join(folder, "data/file"), "old");
  await symlink("../file", join(folder, "data/deep/relative"));
  await symlink(join(folder, "data/deep/relative"), join(folder, "absolute"));
  await symlink("data/deep", join(folder, "short")); // short/.. is data, not this folder
  await symlink("short/../file", join(folder, "crooked"));
  for (const name of ["absolute", "data/deep/relative", "crooked"]) {
    await writeFileAtomic(join(folder, name), name);
    assert.equal(await readFile(join(folder, "data/file"), "utf8"), name);
  }
  for (const name of ["absolute", "data/deep/relative", "crooked", "short"]) {
    assert.ok((await lstat(join(folder, name))).isSymbolicLink(), name);
  }
  assert.deepEqual((await readdir(folder)).sort(), ["absolute", "crooked", "data", "short"]);
  assert.deepEqual((await readdir(join(folder, "data"))).sort(), ["deep", "file"]);
});

test("writeFileAtomic() makes the file that a dangling link leads to", async (t) => {
  const folder = await temporaryFolder(t);
  await symlink("not-yet", join(folder, "link"));
  await writeFileAtomic(join(folder, "link"), "text");
  assert.equal(await readFile(join(folder, "not-yet"), "utf8"), "text");
});

test("writeFileAtomic() refuses a loop of links", async (t) => {
  const folder = await temporaryFolder(t);
  await symlink("b", join(folder, "a"));
  await symlink("a", join(folder, "b"));
  await assert.rejects(writeFileAtomic(join(folder, "a"), "text"), /symbolic links/);
});

test("writeFileAtomic() leaves no temporary file behind when it fails", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "taken"));
  await assert.rejects(writeFileAtomic(join(folder, "taken"), "text"), { code: "EISDIR" });
  assert.deepEqual(await readdir(folder), ["taken"]);
  await assert.rejects(writeFileAtomic(join(folder, "none/file"), "text"), { code: "ENOENT" });
});

test("writeFileAtomic() removes what killed writes of the same file left an hour ago", async (t) => {
  const folder = await temporaryFolder(t);
  const hex = "0123456789abcdef01234567";
  const old = new Date(Date.now() - 61 * 60_000);
  const kept = [
    `.other.${hex}.tmp`,
    `.file.${hex}`,
    ".file.tmp",
    `.file.${hex}0.tmp`,
    `file.${hex}.tmp`,
    `.file.${hex}.tmp.a.b`,
  ];
  for (const name of [...kept, `.file.${hex}.tmp`, `.file.${hex}.tmp.cfg`]) {
    await writeFile(join(folder, name), "SECRET");
    await utimes(join(folder, name), old, old);
  }
  const young = `.file.${hex.replace("0", "f")}.tmp`; // another process may be writing it
  await writeFile(join(folder, young), "SECRET");
  await writeFileAtomic(join(folder, "file"), "text");
  assert.deepEqual((await readdir(folder)).sort(), [...kept, young, "file"].sort());
});

test("writeFileAtomic() never mixes what several write at once", async (t) => {
  const folder = await temporaryFolder(t);
  const texts = Array.from({ length: 20 }, (_, i) => String(i % 10).repeat(10_000 + i));
  await Promise.all(texts.map((text) => writeFileAtomic(join(folder, "file"), text)));
  assert.ok(texts.includes(await readFile(join(folder, "file"), "utf8")));
  assert.deepEqual(await readdir(folder), ["file"]);
});

test("writeFileAtomic() keeps mode and owner if asked to, and else gives what is asked for", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "file");
  const umask = process.umask(0o027);
  t.after(() => process.umask(umask));
  const ownerOf = async (): Promise<number[]> => {
    const { uid, gid } = await stat(path);
    return [uid, gid];
  };
  await writeFileAtomic(path, "new", { keep: true });
  assert.equal(await modeOf(path), 0o640); // as a program gets that just opens it
  await chmod(path, 0o664);
  await writeFileAtomic(path, "newer", { keep: true });
  assert.equal(await modeOf(path), 0o664);
  await writeFileAtomic(path, "newest", { keep: true, mode: 0o604 });
  assert.equal(await modeOf(path), 0o604);
  if (process.getuid?.() !== 0) return t.diagnostic("owners are root's to give away");
  const [uid, gid] = await ownerOf();
  await writeFileAtomic(path, "given", { keep: true, owner: { uid: 1234 } });
  assert.deepEqual(await ownerOf(), [1234, gid]);
  await writeFileAtomic(path, "kept", { keep: true, owner: { gid: 4321 } });
  assert.deepEqual(await ownerOf(), [1234, 4321]);
  await writeFileAtomic(path, "own");
  assert.deepEqual(await ownerOf(), [uid, gid]);
});

test("prepareFile() keeps the new content beside the file until it is committed", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "proxy.cfg");
  await writeFile(path, "old");
  const discarded = await prepareFile(path, "bad");
  assert.match(discarded.path ?? "", /\/\.proxy\.cfg\.[0-9a-f]{24}\.tmp\.cfg$/);
  assert.equal(await readFile(discarded.path ?? "", "utf8"), "bad");
  await discarded.discard();
  assert.deepEqual(await readdir(folder), ["proxy.cfg"]);
  const prepared = await prepareFile(path, "good");
  assert.equal(await readFile(path, "utf8"), "old");
  assert.deepEqual(await prepared.commit(), { inPlace: false });
  assert.equal(await readFile(path, "utf8"), "good");
  assert.deepEqual(await readdir(folder), ["proxy.cfg"]);
});

test("readLimited() reads a file of as many bytes, and no larger one", async (t) => {
  const path = join(await temporaryFolder(t), "file");
  await writeFile(path, "12345678");
  assert.equal(String(await readLimited(path, 8)), "12345678");
  await assert.rejects(readLimited(path, 7), { message: "larger than 7 bytes" });
  await assert.rejects(readLimited(`${path}.missing`, 7), { code: "ENOENT" });
});

// Within a mount namespace of its own: what a container does to a single file, then to its folder.
const MOUNT = `
  mount --bind inside inside && mount --bind outside inside/file || exit 77
  "$@" busy || exit
  mount -o remount,bind,ro inside || exit 77
  "$@" "read-only"
`;

test("writeFileAtomic() writes in place what can't be replaced", async (t) => {
  if (!needProgram(t, "unshare")) return;
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "inside"));
  await writeFile(join(folder, "outside"), "old and longer than the new", { mode: 0o640 });
  await writeFile(join(folder, "inside/file"), "hidden by the mount");
  const script = join(folder, "write.mjs");
  const module = JSON.stringify(pathToFileURL(join(root, "lib/file.ts")).href);
  await writeFile(
    script,
    `import { writeFileAtomic } from ${module};
    import { readFileSync } from "node:fs";
    import process from "node:process";
    const { inPlace } = await writeFileAtomic("inside/file", process.argv[2]);
    console.log(inPlace, readFileSync("inside/file", "utf8"));`,
  );
  const command = runtimeCommand("lib/file.ts").with(-1, script);
  const args = ["--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", ...command];
  const { code, stdout, stderr } = await run("unshare", args, { cwd: folder });
  if (code === 77 || stderr.startsWith("unshare:")) return t.skip(`no mounts here: ${stderr}`);
  assert.equal(stdout, "true busy\ntrue read-only\n", stderr);
  assert.equal(code, 0);
  assert.equal(await readFile(join(folder, "outside"), "utf8"), "read-only");
  assert.equal(await modeOf(join(folder, "outside")), 0o640);
  assert.deepEqual(await readdir(join(folder, "inside")), ["file"]);
});

// Half a file's room is left.
const FULL = `
  mount -t tmpfs -o size=64k tmpfs full && mount --bind inside inside || exit 77
  printf old > full/file && head -c 32768 /dev/zero > full/rest || exit 77
  mount --bind full/file inside/file || exit 77
  "$@"
  cat inside/file
`;

test("what there is no room for in place leaves the file as it was", async (t) => {
  if (!needProgram(t, "unshare")) return;
  const folder = await temporaryFolder(t);
  for (const name of ["inside", "full"]) await mkdir(join(folder, name));
  await writeFile(join(folder, "inside/file"), "");
  const script = join(folder, "write.mjs");
  const module = JSON.stringify(pathToFileURL(join(root, "lib/file.ts")).href);
  await writeFile(
    script,
    `import { writeFileAtomic } from ${module};
    await writeFileAtomic("inside/file", "x".repeat(65_000)).catch((e) => console.log(e.code));`,
  );
  const command = runtimeCommand("lib/file.ts").with(-1, script);
  const args = ["--map-root-user", "--mount", "sh", "-c", FULL, "sh", ...command];
  const { code, stdout, stderr } = await run("unshare", args, { cwd: folder });
  if (code === 77 || stderr.startsWith("unshare:")) return t.skip(`no mounts here: ${stderr}`);
  assert.equal(stdout, "ENOSPC\nold", stderr);
});

test("writeFileAtomic() writes in place what would lose its owner", async (t) => {
  if (!needProgram(t, "setpriv")) return;
  if (process.getuid?.() !== 0) return t.skip("only root can become another user");
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o777);
  const path = join(folder, "file");
  await writeFile(path, "old");
  await chmod(path, 0o666);
  const script = join(folder, "write.mjs");
  const module = JSON.stringify(pathToFileURL(join(root, "lib/file.ts")).href);
  await writeFile(
    script,
    `import { writeFileAtomic } from ${module};
    const say = (result) => console.log(JSON.stringify(result));
    await writeFileAtomic("file", "new", { keep: true }).then(say);
    const owner = { uid: 0 };
    await writeFileAtomic("file", "x", { keep: true, owner }).catch((e) => say(e.message));`,
  );
  const [program, ...args] = runtimeCommand("lib/file.ts").with(-1, script);
  const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", program, ...args];
  const { stdout, stderr } = await run("setpriv", nobody, { cwd: folder });
  if (/EACCES|denied/i.test(stderr)) return t.skip(`not for other users: ${stderr}`);
  const refusal = JSON.stringify("can't be given to user 0, group 0");
  assert.equal(stdout, `{"inPlace":true}\n${refusal}\n`, stderr);
  assert.equal(await readFile(path, "utf8"), "new");
  assert.equal((await stat(path)).uid, 0);
  assert.deepEqual((await readdir(folder)).sort(), ["file", "write.mjs"]);
});

test("writeFileAtomic() gives the new file to whom it is for, or keeps the old owner", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("only root gives files away");
  const path = join(await temporaryFolder(t), "file");
  const ownerOf = async (): Promise<number[]> => {
    const { uid, gid } = await stat(path);
    return [uid, gid];
  };
  await writeFileAtomic(path, "1", { mode: 0o640, owner: { uid: 1234, gid: 4321 } });
  assert.deepEqual(await ownerOf(), [1234, 4321]);
  assert.equal(await modeOf(path), 0o640);
  await writeFileAtomic(path, "2", { keep: true, owner: { gid: 99 } });
  assert.deepEqual(await ownerOf(), [1234, 99]);
  await writeFileAtomic(path, "3");
  assert.deepEqual(await ownerOf(), [0, process.getgid?.()]);
});
