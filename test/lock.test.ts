import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { LockError, withLock } from "../lib/lock.ts";
import { temporaryFolder } from "./support.ts";

/** Counts in a file, which goes wrong unless one at a time does. */
async function increment(path: string): Promise<void> {
  await withLock(path, async (check) => {
    const count = Number(await readFile(path, "utf8"));
    await check();
    await writeFile(path, `${count + 1}`);
  });
}

async function counter(t: Parameters<typeof temporaryFolder>[0], name = "n"): Promise<string> {
  const path = join(await temporaryFolder(t), name);
  await writeFile(path, "0");
  return path;
}

const times = <T>(count: number, start: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => start(i)));

test("withLock() lets one work at a time, and leaves no file behind", async (t) => {
  const path = await counter(t);
  await times(50, () => increment(path));
  assert.equal(await readFile(path, "utf8"), "50");
  assert.deepEqual(await readdir(join(path, "..")), ["n"]);
});

test("withLock() gives what the work gives, and releases when it rejects", async (t) => {
  const path = join(await temporaryFolder(t), "missing.json");
  assert.equal(await withLock(path, async () => 7), 7);
  const failure = new Error("the work's own");
  await assert.rejects(withLock(path, () => Promise.reject(failure)), failure);
  assert.equal(await withLock(path, async () => 8), 8);
  assert.deepEqual(await readdir(join(path, "..")), []);
});

test("withLock() takes links to one file for one file", async (t) => {
  const path = await counter(t);
  const link = join(path, "..", "link");
  await symlink(path, link);
  await withLock(path, async () => {
    await assert.rejects(withLock(link, async () => {}, AbortSignal.timeout(50)), LockError);
  });
});

test("withLock() waits no longer than its signal allows, and says who holds it", async (t) => {
  const path = await counter(t);
  await withLock(path, async () => {
    const controller = new AbortController();
    const waiting = withLock(path, () => assert.fail("got it"), controller.signal).catch((e) => e);
    await setTimeout(100);
    controller.abort("stopped");
    const error = await waiting;
    assert.ok(error instanceof LockError);
    assert.match(error.message, /\/n\.lock: others hold it, now process \d+$/);
    assert.equal(error.cause, "stopped");
  });
  const aborted = withLock(path, () => assert.fail("got it"), AbortSignal.abort());
  await assert.rejects(aborted, LockError);
});

test("withLock() names the folder in which no lock can be made", async (t) => {
  const gone = join(await temporaryFolder(t), "gone");
  for (const folder of [gone, "/sys"]) { // where even root may create nothing
    const error = await withLock(join(folder, "f"), async () => {}).catch((e) => e);
    assert.ok(error instanceof LockError);
    assert.equal(error.message, `no lock can be made in ${folder}`);
    const { code } = error.cause as NodeJS.ErrnoException;
    assert.ok((folder === gone ? ["ENOENT"] : ["EACCES", "EROFS"]).includes(`${code}`), code);
  }
});

test("withLock() tells the work when the lock is lost, and leaves the new owner's alone", async (t) => {
  const path = await counter(t);
  await withLock(path, async (check) => {
    await check();
    await rm(`${path}.lock`);
    await assert.rejects(check(), LockError);
    await writeFile(`${path}.lock`, "1-other");
    await assert.rejects(check(), { message: /lost/ });
  });
  assert.equal(await readFile(`${path}.lock`, "utf8"), "1-other");
  assert.deepEqual((await readdir(join(path, ".."))).sort(), ["n", "n.lock"]);
});

test("withLock() takes a dead holder's lock over, once, and no living one's", async (t) => {
  const dead = async (name: string, locks: Readonly<Record<string, string>>): Promise<number> => {
    const path = await counter(t, name);
    for (const [end, owner] of Object.entries(locks)) await writeFile(`${path}.lock${end}`, owner);
    const start = performance.now();
    await times(20, async (i) => {
      await setTimeout(i * 7); // so that some see it a little later than others
      await increment(path);
    });
    const took = performance.now() - start;
    assert.equal(await readFile(path, "utf8"), "20", name);
    assert.deepEqual(await readdir(join(path, "..")), [name]);
    return took;
  };
  const living = async (): Promise<void> => {
    const path = await counter(t, "living");
    let isHeld = false;
    const holder = withLock(path, async (check) => {
      isHeld = true;
      await setTimeout(8_000); // longer than a lease
      await check();
      isHeld = false;
    });
    while (!isHeld) await setTimeout(1);
    await withLock(path, async () => assert.equal(isHeld, false));
    await holder;
  };
  const ahead = async (): Promise<number> => {
    const path = await counter(t, "ahead");
    await writeFile(`${path}.lock`, "1-a");
    await utimes(`${path}.lock`, new Date("2099-01-01"), new Date("2099-01-01"));
    const start = performance.now();
    await increment(path);
    return performance.now() - start;
  };
  const took = await Promise.all([
    dead("named", { "": "999999-0123456789abcdef" }),
    dead("empty", { "": "" }), // died between creating and writing it
    dead("hostile", { "": "../../x y\n" }),
    dead("own process number", { "": `${process.pid}-0123456789abcdef` }),
    ahead(),
    dead("died over removing it", { "": "1-a", ".1-a": "2-b" }),
    living(),
  ]);
  for (const ms of took.slice(0, 5)) assert.ok(ms && ms > 4_900 && ms < 30_000, `${took}`);
  assert.ok(took[5] && took[5] > 9_800 && took[5] < 45_000, `${took}`);
});

test("withLock() fails when its lock can't be looked at", async (t) => {
  const path = await counter(t);
  await mkdir(`${path}.lock`);
  await assert.rejects(withLock(path, async () => {}), { code: "EISDIR" });
});
