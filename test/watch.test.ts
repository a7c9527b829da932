import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container } from "../lib/container.ts";
import { createDocker } from "../lib/docker.ts";
import { pauseAfter } from "../lib/debounce.ts";
import { reduce } from "../lib/watch.ts";
import { described, engineRestarts, lives, watching } from "./dockerscenario.ts";
import { type FakeEngine, type Interceptor, send, startFakeEngine } from "./fakeengine.ts";

/** How often a path was asked for. */
const count = (engine: FakeEngine, path: string): number =>
  engine.requests.filter((request) => request.path === path).length;

const warnings = (logs: readonly string[]): string[] =>
  logs.filter((line) => line.startsWith("warn"));

for (
  const [what, options] of [
    ["Docker 20.10", {}],
    ["Docker 29", { api: "1.52", leastApi: "1.44" }],
    ["Podman", { leastApi: "1.24", podman: true }],
  ] as const
) {
  test(`containers of ${what} are followed from their coming to their going`, async (t) => {
    await lives(t, await startFakeEngine(t, options));
  });
}

test("containers are found by polling", async (t) => {
  await lives(t, await startFakeEngine(t), 5);
});

test("an interval of a millisecond means events, as in Go", async (t) => {
  const engine = await startFakeEngine(t);
  const watched = watching(t, engine.env, { poll: 1 });
  await watched.until([]);
  assert.equal(engine.streams, 1);
});

test("an engine that restarts is waited for, and all stays as it was", async (t) => {
  await engineRestarts(t, await startFakeEngine(t));
});

test("an engine that restarts is waited for when it is polled, too", async (t) => {
  await engineRestarts(t, await startFakeEngine(t), 5);
});

test("an engine that isn't there yet is waited for, and that is said once", async (t) => {
  const engine = await startFakeEngine(t);
  await engine.stopListening();
  const watched = watching(t, engine.env);
  await watched.untilLog(/^warn \| can't watch Docker yet; trying for ever \| can't connect/);
  await watched.untilLog(/^debug \| connecting to Docker again/);
  assert.deepEqual(watched.lists, []);
  engine.add("web");
  await engine.startUp();
  await watched.until(["web running"]);
  assert.equal(warnings(watched.logs).length, 1);
});

test("a lost connection changes nothing, and what happened meanwhile is seen", async (t) => {
  const engine = await startFakeEngine(t);
  engine.add("stays");
  engine.add("goes");
  const watched = watching(t, engine.env);
  await watched.until(["goes running", "stays running"]);
  await engine.stopListening();
  engine.dropConnections();
  await watched.untilLog(/^warn \| lost Docker/);
  await engine.remove("goes");
  engine.add("new");
  assert.equal(watched.lists.length, 1);
  await engine.startUp();
  await watched.until(["new running", "stays running"]);
  await watched.untilLog(/^info \| Docker is back/);
  assert.ok(watched.lists.every((list) => list.length > 0));
});

test("a stream that ends in good order is routine, and nothing is lost", async (t) => {
  const engine = await startFakeEngine(t);
  const watched = watching(t, engine.env);
  await watched.until([]);
  engine.endStreams();
  engine.add("new");
  await watched.until(["new running"]);
  assert.deepEqual(warnings(watched.logs), []);
});

test("an engine that goes silent is found by a ping, and left", async (t) => {
  const engine = await startFakeEngine(t);
  engine.add("web");
  const docker = createDocker(engine.env, { ping: 50, answer: 200 });
  const watched = watching(t, engine.env, { docker, ping: 20 });
  await watched.until(["web running"]);
  engine.intercept = () => true;
  await watched.untilLog(/^warn \| lost Docker.*no answer within 0.05 s/);
  engine.intercept = () => false;
  await engine.rename("web", "bew");
  await watched.until(["bew running"]);
  assert.equal(watched.lists.length, 2);
});

test("a stream that has gone deaf is replaced by the next full reading", async (t) => {
  const engine = await startFakeEngine(t);
  engine.add("web");
  const watched = watching(t, engine.env, { resync: 100 });
  await watched.until(["web running"]);
  engine.silenceStreams();
  await engine.rename("web", "bew");
  await watched.until(["bew running"]);
  await engine.run("new");
  await watched.until(["bew running", "new running"]);
  assert.deepEqual(warnings(watched.logs), []);
});

test("what happens between the subscription and the list is seen", async (t) => {
  const engine = await startFakeEngine(t);
  const { id } = engine.add("web");
  engine.intercept = ({ path }, socket) => {
    if (path !== "/containers/json") return false;
    send(socket, 200, [{ Id: id }]);
    void engine.run("late");
    void engine.remove("web");
    engine.intercept = () => false;
    return true;
  };
  await watching(t, engine.env).until(["late running"]);
});

test("what happens after the list, but before the stream tells, is seen", async (t) => {
  const engine = await startFakeEngine(t);
  const { id } = engine.add("web");
  let subscribe = (): void => {};
  engine.beforeSubscribing = () => new Promise((resolve) => subscribe = resolve);
  engine.intercept = ({ path }, socket) => {
    if (path !== `/containers/${id}/json`) return false;
    engine.intercept = () => false;
    send(socket, 200, engine.inspect(engine.containers.get(id)!));
    void engine.rename("web", "bew").then(() => subscribe());
    return true;
  };
  await watching(t, engine.env).until(["bew running"]);
});

test("a change while a container is looked at leads to another look", async (t) => {
  const engine = await startFakeEngine(t);
  const { id } = engine.add("web");
  const watched = watching(t, engine.env);
  await watched.until(["web running"]);
  engine.intercept = ({ path }, socket) => {
    if (path !== `/containers/${id}/json`) return false;
    engine.intercept = () => false;
    const before = engine.inspect(engine.containers.get(id)!);
    void engine.rename("two", "three");
    setTimeout(() => send(socket, 200, before), 50); // the event is quicker
    return true;
  };
  await engine.rename("web", "two");
  await watched.until(["three running"]);
});

/** Lets one container be read as badly as it's told. */
function spoil(engine: FakeEngine, id: string, how: Interceptor): void {
  engine.intercept = (request, socket) =>
    request.path === `/containers/${id}/json` && how(request, socket);
}

test("one container can't hurt another: it is left out, which is said once", async (t) => {
  const say = (status: number, text: unknown): Interceptor => (_, socket) => {
    send(socket, status, text);
    return true;
  };
  const rows: [how: Interceptor, message: RegExp][] = [
    [say(500, { message: "layer gone" }), /status 500: "layer gone"/],
    [say(200, "<html>"), /is no JSON/],
    [say(200, { Id: "x" }), /it has no id/],
    [say(200, []), /it has no id/],
    [say(200, { Id: "f".repeat(64), Name: "/a\nb", State: {} }), /invalid name "a\\nb"/],
    [(_, socket) => (socket.destroy(), true), /closed before the answer was complete/],
    [() => true, /no answer within 1 s/],
    [(_, socket) => socket.write("nonsense\r\n\r\n\r\n"), /isn't HTTP/],
  ];
  for (const [how, message] of rows) {
    const engine = await startFakeEngine(t);
    engine.add("good");
    const { id } = engine.add("bad");
    spoil(engine, id, how);
    const docker = createDocker(engine.env, { inspect: 1_000 });
    const watched = watching(t, engine.env, { docker, resync: 50 });
    await watched.until(["good running"]);
    await engine.run("other");
    await watched.until(["good running", "other running"]);
    await untilMore(engine, "/events", 2);
    assert.equal(warnings(watched.logs).length, 1, watched.logs.join("\n"));
    assert.match(warnings(watched.logs)[0] ?? "", message);
    assert.match(warnings(watched.logs)[0] ?? "", new RegExp(`left out \\| ${id.slice(0, 12)}`));
    engine.intercept = () => false;
    await engine.rename("bad", "mended");
    await watched.until(["good running", "mended running", "other running"]);
    await watched.close();
  }
});

/** Resolves after that many more requests for a path. */
function untilMore(engine: FakeEngine, path: string, more: number): Promise<void> {
  return new Promise((resolve) => {
    const before = engine.intercept;
    engine.intercept = (request, socket) => {
      if (request.path === path && --more === 0) resolve();
      return before(request, socket);
    };
  });
}

test("a container that can't be read for a while stays as it was, and is read again", async (t) => {
  const engine = await startFakeEngine(t);
  const { id } = engine.add("web");
  const watched = watching(t, engine.env, { retry: 20 });
  await watched.until(["web running"]);
  spoil(engine, id, (_, socket) => (send(socket, 500, { message: "busy" }), true));
  await engine.rename("web", "bew");
  await watched.untilLog(/^warn \| container can't be read, stays as it was \| web \| .*"busy"/);
  await untilMore(engine, `/containers/${id}/json`, 3);
  engine.intercept = () => false;
  await watched.until(["bew running"]);
  assert.deepEqual([watched.lists.length, warnings(watched.logs).length], [2, 1]);
});

test("a container that vanishes before it is looked at is no error", async (t) => {
  const engine = await startFakeEngine(t);
  engine.add("stays");
  const { id } = engine.add("gone");
  spoil(engine, id, (_, socket) => {
    send(socket, 404, { message: "No such container" });
    return true;
  });
  const watched = watching(t, engine.env);
  await watched.until(["stays running"]);
  assert.deepEqual(warnings(watched.logs), []);
});

test("many events of one container lead to few looks at it", async (t) => {
  const engine = await startFakeEngine(t);
  const { id } = engine.add("web");
  const watched = watching(t, engine.env);
  await watched.until(["web running"]);
  for (let i = 0; i < 500; i++) await engine.rename("web", "web");
  await engine.rename("web", "last");
  await watched.until(["last running"]);
  const looks = count(engine, `/containers/${id}/json`);
  assert.ok(looks < 100, `${looks} looks for 501 events`);
  assert.equal(watched.lists.length, 2);
});

test("what changes nothing is not told", async (t) => {
  const engine = await startFakeEngine(t);
  const { id } = engine.add("web");
  const watched = watching(t, engine.env);
  await watched.until(["web running"]);
  const looked = untilMore(engine, `/containers/${id}/json`, 1);
  engine.emit({ Type: "container", Action: "update", Actor: { ID: id, Attributes: {} } });
  await looked;
  await engine.run("other");
  await watched.until(["other running", "web running"]);
  assert.ok(watched.lists.length <= 3, "the other one, and perhaps how it came");
  assert.deepEqual(watched.lists[0], [watched.lists.at(-1)?.[1]]);
});

test("a thousand containers are read over few connections, and told sorted, once", async (t) => {
  const engine = await startFakeEngine(t);
  for (let i = 999; i >= 0; i--) engine.add(`c${i % 500}`);
  const watched = watching(t, engine.env);
  await watched.untilLog(/^info \| watching Docker/);
  assert.deepEqual([watched.lists.length, watched.lists[0]?.length], [1, 1000]);
  const keys = (watched.lists[0] ?? []).map(({ name, id }) => `${name} ${id}`);
  assert.deepEqual(keys, [...keys].sort());
  assert.ok(engine.connections <= 10, `${engine.connections} connections`);
});

test("nothing is told after close(), and nothing goes on", async (t) => {
  const engine = await startFakeEngine(t);
  engine.add("web");
  for (const when of ["at once", "later"]) {
    const watched = watching(t, engine.env);
    if (when === "later") await watched.until(["web running"]);
    const told = watched.lists.length;
    await watched.close();
    const asked = engine.requests.length;
    await engine.rename("web", `web-${when.replace(" ", "")}`).catch(() => {});
    await new Promise(setImmediate);
    assert.deepEqual([watched.lists.length, engine.requests.length], [told, asked], when);
    await engine.rename([...engine.containers.values()][0]?.name ?? "", "web");
  }
});

test("containers that stop while the engine takes no connections stay", async (t) => {
  const engine = await startFakeEngine(t);
  engine.add("web");
  const watched = watching(t, engine.env);
  await watched.until(["web running"]);
  await engine.stopListening();
  await engine.stop("web"); // told, and inspected, over connections that there are
  await watched.untilLog(/^warn \| lost Docker.*can't connect/);
  assert.equal(watched.lists.length, 1);
  await engine.startUp();
  await watched.until([]);
});

test("an engine of a version that nobody speaks is told of, and asked again", async (t) => {
  const engine = await startFakeEngine(t, { api: "1.20" });
  const watched = watching(t, engine.env);
  await watched.untilLog(/^warn \| can't watch .* has version 1.20: expected 1.24 or later/);
});

const container = (name: string, changes: Partial<Container> = {}): Container => ({
  ...{ id: name, name, labels: new Map([["a", "b"]]), image: "", created: "", env: new Map() },
  ...{ state: "running", health: "", networks: [], ports: [80], problems: [] },
  ...changes,
});

test("reduce() gives the same state when nothing changes, else a new one", () => {
  const state = new Map(["a", "b"].map((name) => [name, container(name)]));
  const same = [[], [["a", container("a")]], [["c", undefined]]] as const;
  for (const changes of same) assert.equal(reduce(state, new Map(changes)), state);
  const label = container("a", { labels: new Map([["a", "c"]]) });
  const next = reduce(state, new Map([["a", label], ["b", undefined], ["c", container("c")]]));
  assert.deepEqual([...next.values()], [label, container("c")]);
  assert.deepEqual(described([...state.values()]), ["a running", "b running"]);
  for (
    const change of [{ ports: [] }, { env: new Map([["x", ""]]) }, { state: "paused" }, {
      networks: [{ name: "n", addresses: [], aliases: [] }],
    }]
  ) assert.notEqual(reduce(state, new Map([["a", container("a", change)]])), state);
});

test("pauses between tries start short, double, and stay within half a minute", () => {
  const pauses = [0, 1, 2, 8, 9, 100, 2_000].map((failures) =>
    [0, 1].map((random) => pauseAfter(failures, random))
  );
  assert.deepEqual(pauses, [
    [50, 100],
    [100, 200],
    [200, 400],
    [12_800, 25_600],
    [15_000, 30_000],
    [15_000, 30_000],
    [15_000, 30_000],
  ]);
});
