import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { existsSync, type FSWatcher, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { Logger } from "../lib/log.ts";
import type { RouteTable } from "../lib/routes.ts";
import {
  type FileSourceOptions,
  logProblems,
  readRoutes,
  type RouteSource,
  RouteSourceError,
  startFileSource,
} from "../lib/routesource.ts";

const EVENT_MS = 20_000;

function routes(...names: string[]): string {
  return names.map((name) => `route ${name}\n\tupstream 127.0.0.1:8080\n`).join("");
}

const BAD = `error please\n${routes("example.com")}upstream\n`;

/** What happens, in order: `applied NAME…` and log events; next() waits for the one after. */
interface Events {
  readonly seen: string[];
  next(): Promise<string>;
  push(event: string): void;
  readonly log: Logger;
  readonly apply: (table: RouteTable) => void;
}

function recordEvents(): Events {
  const seen: string[] = [];
  const arrival = new EventEmitter();
  let taken = 0;
  const push = (event: string): void => {
    seen.push(event);
    arrival.emit("event");
  };
  const next = async (): Promise<string> => {
    while (taken === seen.length) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no event after ${seen}`)), EVENT_MS);
        arrival.once("event", () => resolve(clearTimeout(timer)));
      });
    }
    return seen[taken++]!;
  };
  const at = (level: string): Logger["info"] => (message, { line, problem, error } = {}) =>
    push([level, message, line, problem, error].filter((part) => part !== undefined).join(" "));
  const log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return {
    seen,
    next,
    push,
    log,
    apply: (table) => push(`applied ${table.routes.map((route) => route.domains)}`),
  };
}

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "routesource-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A source of a new file with `text`, started and closed after the test. */
async function started(
  t: TestContext,
  events: Events,
  options: Partial<FileSourceOptions> = {},
): Promise<{ source: RouteSource; path: string }> {
  const path = options.path ?? join(await newFolder(t), "routes.conf");
  if (options.path === undefined) await writeFile(path, routes("example.com"));
  const { log, apply } = events;
  const source = await startFileSource({ watch: false, log, apply, ...options, path });
  t.after(() => source.close());
  assert.equal(await events.next(), "applied example.com");
  assert.equal(await events.next(), "info routes loaded");
  return { source, path };
}

/** In one step, so that no reader finds half of it however busy the machine is. */
async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}~`, text);
  await rename(`${path}~`, path);
}

/** Waits for two changes of another watched file, each after its quiet time: longer than one. */
async function settle(t: TestContext): Promise<void> {
  const events = recordEvents();
  const { path } = await started(t, events, { watch: true });
  for (const name of ["second.example", "third.example"]) {
    await replaceFile(path, routes(name));
    assert.equal(await events.next(), `applied ${name}`);
    assert.equal(await events.next(), "info routes loaded");
  }
}

test("startFileSource() reads the file and applies its routes before it resolves", async (t) => {
  const events = recordEvents();
  await started(t, events);
  assert.deepEqual(events.seen, ["applied example.com", "info routes loaded"]);
});

test("startFileSource() and readRoutes() reject when there is no file", async (t) => {
  const path = join(await newFolder(t), "none.conf");
  const { log, apply } = recordEvents();
  const message = /^failed to open config file ".*none\.conf": ENOENT/;
  const error = { constructor: RouteSourceError, message };
  await assert.rejects(startFileSource({ path, watch: true, log, apply }), error);
  await assert.rejects(readRoutes(path), error);
});

test("startFileSource() and readRoutes() reject a file with all of its problems", async (t) => {
  const path = join(await newFolder(t), "bad.conf");
  await writeFile(path, BAD);
  const events = recordEvents();
  const message = /^failed to parse config file ".*bad\.conf": line 1: .*; line 4: /;
  const start = startFileSource({ path, watch: true, log: events.log, apply: events.apply });
  await assert.rejects(start, { constructor: RouteSourceError, message });
  await assert.rejects(readRoutes(path), { constructor: RouteSourceError, message });
  assert.deepEqual(events.seen, []);
});

test("startFileSource() rejects when the routes can't be applied", async (t) => {
  const path = join(await newFolder(t), "routes.conf");
  await writeFile(path, routes("example.com"));
  const apply = () => Promise.reject(new Error("unknown provider"));
  await assert.rejects(
    startFileSource({ path, watch: false, log: recordEvents().log, apply }),
    { constructor: RouteSourceError, message: /route manager error.*: unknown provider$/ },
  );
});

test("readRoutes() gives the table of a good file", async (t) => {
  const path = join(await newFolder(t), "routes.conf");
  await writeFile(path, routes("example.com", "example.org"));
  assert.equal((await readRoutes(path)).routes.length, 2);
});

test("readRoutes() takes a file that begins with a byte order mark", async (t) => {
  const path = join(await newFolder(t), "routes.conf");
  await writeFile(path, `\ufeff${routes("example.com")}`);
  assert.equal((await readRoutes(path)).routes.length, 1);
});

test("readRoutes() refuses bytes that aren't UTF-8 and names their line", async (t) => {
  const path = join(await newFolder(t), "latin1.conf");
  await writeFile(path, Buffer.from(`# é\n${routes("example.com")}# \xe9\n`, "latin1"));
  await assert.rejects(readRoutes(path), { message: /failed to parse .* line 1: .*UTF-8/ });
  await writeFile(path, Buffer.concat([Buffer.from("# é\n#\n# "), Buffer.from([0xe9, 0x0a])]));
  await assert.rejects(readRoutes(path), { message: /failed to parse .* line 3: .*UTF-8/ });
});

test("readRoutes() reads no more than 16 MiB, whatever size the file says it has", async (t) => {
  const path = join(await newFolder(t), "large.conf");
  await writeFile(path, routes("example.com"));
  await truncate(path, 16 * 1024 * 1024);
  await assert.rejects(readRoutes(path), { message: /failed to parse/ });
  await truncate(path, 16 * 1024 * 1024 + 1);
  const tooLarge = { message: /failed to open .*: larger than 16777216 bytes/ };
  await assert.rejects(readRoutes(path), tooLarge);
  if (existsSync("/dev/zero")) await assert.rejects(readRoutes("/dev/zero"), tooLarge);
});

test("reload() reads and applies the file again, even an unchanged one", async (t) => {
  const events = recordEvents();
  const { source, path } = await started(t, events);
  await writeFile(path, routes("example.org"));
  source.reload();
  assert.equal(await events.next(), "applied example.org");
  assert.equal(await events.next(), "info routes loaded");
  source.reload();
  assert.equal(await events.next(), "applied example.org");
});

test("reload() makes one reload of several calls in one turn", async (t) => {
  const events = recordEvents();
  const { source, path } = await started(t, events);
  for (const name of ["second.example", "third.example"]) {
    await writeFile(path, routes(name));
    for (let i = 0; i < 3; i++) source.reload();
    assert.equal(await events.next(), `applied ${name}`);
    assert.equal(await events.next(), "info routes loaded");
  }
});

test("reload() makes exactly one more of the calls that come during a reload", async (t) => {
  const events = recordEvents();
  let open = () => {};
  let first = true;
  const apply = async (table: RouteTable): Promise<void> => {
    events.apply(table);
    if (!first) await new Promise<void>((resolve) => open = resolve);
    first = false;
  };
  const { source, path } = await started(t, events, { apply, watch: true });
  source.reload();
  assert.equal(await events.next(), "applied example.com"); // and waits until it is let on
  for (let i = 0; i < 3; i++) source.reload();
  await replaceFile(path, routes("example.com")); // the watcher's wish doesn't weaken the others
  await settle(t);
  open();
  assert.equal(await events.next(), "info routes loaded");
  assert.equal(await events.next(), "applied example.com");
  open();
  assert.equal(await events.next(), "info routes loaded");
  // Were a third one under way, this one would come after it.
  await replaceFile(path, routes("example.org"));
  source.reload();
  assert.equal(await events.next(), "applied example.org");
  open();
  assert.equal(await events.next(), "info routes loaded");
});

test("a reload that fails changes nothing, and logs every problem on a line", async (t) => {
  const events = recordEvents();
  const { source, path } = await started(t, events);
  await writeFile(path, BAD);
  source.reload();
  const parse = "error failed to parse config file: the old routes stay";
  assert.match(await events.next(), new RegExp(`^${parse} 1 .*error please`));
  assert.match(await events.next(), new RegExp(`^${parse} 4 .*upstream`));
  await rm(path);
  source.reload();
  assert.match(await events.next(), /^error failed to open .*: the old routes stay ENOENT/);
  await writeFile(path, routes("example.org"));
  source.reload();
  assert.equal(await events.next(), "applied example.org");
});

test("a reload whose routes can't be applied is logged, and the next one is tried", async (t) => {
  const events = recordEvents();
  const apply = (table: RouteTable): void => {
    if (table.routes.length === 2) throw new Error("unknown provider");
    events.apply(table);
  };
  const { source, path } = await started(t, events, { apply });
  await writeFile(path, routes("a.example", "b.example"));
  source.reload();
  assert.match(await events.next(), /^error route manager error.*old routes stay unknown provider/);
  await writeFile(path, routes("c.example"));
  source.reload();
  assert.equal(await events.next(), "applied c.example");
});

test("a watched file is reloaded when it is written, and only when it differs", async (t) => {
  const events = recordEvents();
  const { path } = await started(t, events, { watch: true });
  await writeFile(path, routes("example.com"));
  await settle(t);
  await writeFile(path, routes("example.org"));
  assert.equal(await events.next(), "applied example.org");
  assert.equal(await events.next(), "info routes loaded");
});

test("a watched file that is bad is refused once, until it differs", async (t) => {
  const events = recordEvents();
  const { path } = await started(t, events, { watch: true });
  await writeFile(path, BAD);
  assert.match(await events.next(), /^error .* 1 /);
  assert.match(await events.next(), /^error .* 4 /);
  await writeFile(path, BAD);
  await settle(t);
  await writeFile(path, routes("example.net"));
  assert.equal(await events.next(), "applied example.net");
});

test("a watched file is reloaded when another is moved to its place", async (t) => {
  const events = recordEvents();
  const { path } = await started(t, events, { watch: true });
  for (const name of ["second.example", "third.example"]) {
    await replaceFile(path, routes(name));
    assert.equal(await events.next(), `applied ${name}`);
    assert.equal(await events.next(), "info routes loaded");
  }
});

test("a watched file is reloaded when Kubernetes swaps the link beside it", async (t) => {
  const events = recordEvents();
  const folder = await newFolder(t);
  const swap = async (version: string, name: string): Promise<void> => {
    await mkdir(join(folder, version));
    await writeFile(join(folder, version, "routes.conf"), routes(name));
    await symlink(version, join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
  };
  await swap("..1", "example.com");
  const path = join(folder, "routes.conf");
  await symlink(join("..data", "routes.conf"), path);
  await started(t, events, { path, watch: true });
  await settle(t); // what is read again after the start
  await swap("..2", "example.org");
  await settle(t); // by then at the latest, and not when the file is polled
  assert.deepEqual(events.seen.slice(2), ["applied example.org", "info routes loaded"]);
});

test("a watched file is reloaded when its link's target elsewhere is written", async (t) => {
  const events = recordEvents();
  const target = join(await newFolder(t), "target.conf");
  await writeFile(target, routes("example.com"));
  const path = join(await newFolder(t), "routes.conf");
  await symlink(target, path);
  await started(t, events, { path, watch: true });
  await settle(t); // what is read again after the start
  await replaceFile(target, routes("example.org"));
  assert.equal(await events.next(), "applied example.org");
});

test("a file whose folder can't be watched is polled, after one warning", waitForPoll);

/** Waits until another file, one that no event tells of, has been seen to change. */
async function waitForPoll(t: TestContext): Promise<void> {
  const events = recordEvents();
  const watchFolder = () => {
    throw new Error("EMFILE");
  };
  const { path } = await started(t, events, { watch: true, watchFolder });
  assert.match(await events.next(), /^warn can't watch the config folder: polling .*EMFILE/);
  await settle(t); // what is read again after the start
  await replaceFile(path, routes("example.org"));
  assert.equal(await events.next(), "applied example.org");
  await settle(t);
}

test("a watched file that changes while the start applies it is reloaded", async (t) => {
  const events = recordEvents();
  const path = join(await newFolder(t), "routes.conf");
  await writeFile(path, routes("example.com"));
  const apply = (table: RouteTable): void => {
    if (events.seen.length === 0) writeFileSync(path, routes("example.org"));
    events.apply(table);
  };
  await started(t, events, { path, apply, watch: true });
  assert.equal(await events.next(), "applied example.org");
});

test("a watched file that is removed is missed once", async (t) => {
  const events = recordEvents();
  const { path } = await started(t, events, { watch: true });
  await rm(path);
  assert.match(await events.next(), /^error failed to open .*: the old routes stay ENOENT/);
  await waitForPoll(t); // which misses it, too
  assert.equal(events.seen.length, 3, events.seen.join());
});

test("a watcher that fails later is a warning, not the end", async (t) => {
  const events = recordEvents();
  const watcher = new EventEmitter();
  const close = () => events.push("closed");
  const fake = Object.assign(watcher, { close, unref: () => {} });
  const watchFolder = () => fake as unknown as FSWatcher;
  const { source } = await started(t, events, { watch: true, watchFolder });
  watcher.emit("error", new Error("ENOSPC"));
  assert.match(await events.next(), /^warn can't watch .*ENOSPC/);
  source.close();
  assert.equal(await events.next(), "closed");
});

test("close() ends the reloads, one under way included", async (t) => {
  const closed = recordEvents();
  const { source, path } = await started(t, closed, { watch: true });
  source.reload();
  await Promise.resolve();
  source.close(); // the file is being read
  await replaceFile(path, routes("example.org"));
  source.reload();
  // A second source sees the change: the first would have by then.
  const events = recordEvents();
  const { log, apply } = events;
  const second = await startFileSource({ path, watch: true, log, apply });
  t.after(() => second.close());
  await replaceFile(path, routes("example.net"));
  while (await events.next() !== "applied example.net");
  assert.deepEqual(closed.seen, ["applied example.com", "info routes loaded"]);
});

test("logProblems() logs each problem with the file, its line and what happens next", async (t) => {
  const path = join(await newFolder(t), "bad.conf");
  await writeFile(path, BAD);
  const events = recordEvents();
  const error = await readRoutes(path).then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof RouteSourceError);
  logProblems(events.log, error, "not started");
  assert.equal(events.seen.length, 2);
  assert.match(events.seen[1]!, /^error failed to parse config file: not started 4 /);
});
