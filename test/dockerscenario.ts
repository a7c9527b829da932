/**
 * What happens to containers, and what a watcher makes of it: one story for a real engine and for
 * the fake one.
 */
import assert from "node:assert/strict";
import type { Container } from "../lib/container.ts";
import { createDocker } from "../lib/docker.ts";
import type { DockerEnvironment } from "../lib/dockerhost.ts";
import type { Fields, Logger } from "../lib/log.ts";
import { watchContainers, type WatchOptions } from "../lib/watch.ts";
import type { Scope } from "./support.ts";

const PATIENCE = 30_000; // ms for anything to happen

export interface RunOptions {
  readonly labels?: Readonly<Record<string, string>>;
  /** `NAME=value` */
  readonly env?: readonly string[];
  readonly expose?: readonly number[];
  /** On any port of the host. */
  readonly publish?: readonly number[];
  readonly network?: string;
  /** With a health check that says yes. */
  readonly health?: boolean;
  /** Restarted whenever it ends, and with the engine. */
  readonly restart?: boolean;
  /** It ends at once, each time. */
  readonly crash?: boolean;
}

/** An engine and what can be done to its containers; all by name. */
export interface TestEngine {
  readonly env: DockerEnvironment;
  createNetwork(name: string): Promise<void>;
  /** Its id. */
  run(name: string, options?: RunOptions): Promise<string>;
  rename(name: string, to: string): Promise<void>;
  stop(name: string): Promise<void>;
  kill(name: string): Promise<void>;
  start(name: string): Promise<void>;
  restart(name: string): Promise<void>;
  pause(name: string): Promise<void>;
  unpause(name: string): Promise<void>;
  remove(name: string): Promise<void>;
  connect(network: string, name: string, alias: string): Promise<void>;
  disconnect(network: string, name: string): Promise<void>;
  /** SIGTERM, and until it is gone; then again. */
  shutDown(): Promise<void>;
  startUp(): Promise<void>;
}

export interface Watched {
  /** All lists that were told. */
  readonly lists: readonly (readonly Container[])[];
  /** `level message: error` */
  readonly logs: readonly string[];
  /** Resolves once the last list is like this; default: `name state health` of each. */
  until(
    expected: readonly string[],
    show?: (containers: readonly Container[]) => string[],
  ): Promise<readonly Container[]>;
  untilLog(pattern: RegExp): Promise<string>;
  close(): Promise<void>;
}

/** A watcher whose lists are kept; it ends with the test. */
export function watching(
  t: Scope,
  env: DockerEnvironment,
  options: Partial<WatchOptions> = {},
): Watched {
  const lists: (readonly Container[])[] = [];
  const logs: string[] = [];
  const looks = new Set<() => void>();
  const look = (): void => looks.forEach((each) => each());
  const at = (level: string) => (message: string, fields: Fields = {}): void => {
    const { container, error } = fields;
    logs.push([level, message, container, error].filter((each) => each !== undefined).join(" | "));
    look();
  };
  const [debug, info, warn, error] = ["debug", "info", "warn", "error"].map(at) as [
    Logger["debug"],
    Logger["info"],
    Logger["warn"],
    Logger["error"],
  ];
  const docker = options.docker ?? createDocker(env);
  const watch = watchContainers({
    ...{ docker, poll: 0, resync: 600_000, log: { debug, info, warn, error } },
    onChange: (containers) => {
      lists.push(containers);
      look();
    },
    ...options,
  });
  const close = async (): Promise<void> => {
    await watch.close();
    docker.close();
  };
  t.after(close);
  const waitFor = <T>(find: () => T | undefined, what: () => string): Promise<T> =>
    new Promise((resolve, reject) => {
      const attempt = (): void => {
        const found = find();
        if (found === undefined) return;
        clearTimeout(timer);
        looks.delete(attempt);
        resolve(found);
      };
      const timer = setTimeout(() => {
        looks.delete(attempt);
        reject(new Error(what()));
      }, PATIENCE);
      looks.add(attempt);
      attempt();
    });
  const story = (): string =>
    `${lists.map((each) => `[${described(each)}]`).join("\n")}\n${logs.join("\n")}`;
  return {
    lists,
    logs,
    until: (expected, show = described) =>
      waitFor(() => {
        const last = lists.at(-1);
        return last && show(last).join() === expected.join() ? last : undefined;
      }, () => `waited in vain for [${expected}] after\n${story()}`),
    untilLog: (pattern) =>
      waitFor(() => logs.find((each) => pattern.test(each)), () => `no ${pattern} in\n${story()}`),
    close,
  };
}

export const described = (containers: readonly Container[]): string[] =>
  containers.map(({ name, state, health }) => `${name} ${state} ${health}`.trim());

/** Follows containers from their coming to their going. */
export async function lives(t: Scope, engine: TestEngine, poll = 0): Promise<void> {
  const prefix = "com.chameth";
  await engine.createNetwork("front");
  await engine.createNetwork("back");
  const labels = { [`${prefix}.vhost`]: "a.example", [`${prefix}.headers.1`]: "A: b\nserver evil" };
  const early = await engine.run("early", {
    ...{ labels, env: ["A=1=2", "B="], expose: [8080], publish: [9000], network: "front" },
  });
  const watched = watching(t, engine.env, { poll });
  const [first] = await watched.until(["early running"]);
  assert.ok(first);
  assert.equal(first.id, early);
  assert.deepEqual([...first.labels], [[`${prefix}.vhost`, "a.example"]]);
  assert.deepEqual(first.problems, [
    `label "${prefix}.headers.1" has control characters: dropped`,
  ]);
  assert.deepEqual([first.env.get("A"), first.env.get("B")], ["1=2", ""]);
  assert.equal(first.image, "box:1");
  assert.deepEqual(first.ports, [8080]);
  assert.deepEqual(first.networks.map(({ name, addresses }) => [name, addresses.length]), [[
    "front",
    1,
  ]]);
  await engine.run("well", { health: true });
  await watched.until(["early running", "well running healthy"]);
  await engine.remove("well");
  await watched.until(["early running"]);
  await engine.rename("early", "late");
  await watched.until(["late running"]);
  await engine.pause("late");
  await watched.until(["late paused"]);
  await engine.unpause("late");
  await watched.until(["late running"]);
  await engine.connect("back", "late", "other-name");
  await watched.until(["back", "front"], networksOf);
  assert.ok(watched.lists.at(-1)?.[0]?.networks[0]?.aliases.includes("other-name"));
  await engine.disconnect("front", "late");
  await watched.until(["back"], networksOf);
  await engine.stop("late");
  await watched.until([]);
  await engine.start("late");
  await watched.until(["late running"]);
  await engine.restart("late");
  await watched.until(["late running"]);
  await engine.kill("late");
  await watched.until([]);
  await engine.start("late");
  await engine.run("zeta", { crash: true, restart: true });
  await watched.until(["late running", "zeta restarting"]);
  await engine.remove("zeta");
  await engine.remove("late");
  await watched.until([]);
  assert.deepEqual(watched.logs.filter((line) => !line.startsWith("info | watching")), []);
  await watched.close();
}

const networksOf = (containers: readonly Container[]): string[] =>
  containers.flatMap(({ networks }) => networks.map(({ name }) => name));

/** The engine ends under a watcher, and comes back without what isn't to be restarted. */
export async function engineRestarts(t: Scope, engine: TestEngine, poll = 0): Promise<void> {
  await engine.run("stays", { restart: true });
  await engine.run("goes");
  const watched = watching(t, engine.env, { poll });
  await watched.until(["goes running", "stays running"]);
  const before = watched.lists.length;
  await engine.shutDown();
  await watched.untilLog(/^warn \| lost Docker; all stays as it was; trying for ever \| /);
  assert.equal(watched.lists.length, before, "nothing is told of an engine that is going");
  await engine.startUp();
  await watched.untilLog(/^info \| Docker is back/);
  await watched.until(["stays running"]);
  await engine.run("comes");
  await watched.until(["comes running", "stays running"]);
  assert.equal(watched.logs.filter((line) => line.startsWith("warn")).length, 1);
  assert.equal(watched.logs.filter((line) => line.startsWith("info")).length, 2);
  for (const name of ["stays", "comes", "goes"]) await engine.remove(name);
  await watched.until([]);
  await watched.close();
}
