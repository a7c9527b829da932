import assert from "node:assert/strict";
import { test } from "node:test";
import { type Container, ContainerError, isRunning, readContainer } from "../lib/container.ts";
import { RECORDED } from "./fakeengine.ts";
import { containers, type ContainerVector } from "./vectors/containers.ts";

type Json = Record<string, unknown>;

function changed(changes: ContainerVector["input"]): unknown {
  const json: Json = structuredClone(RECORDED["docker 20.10.24"]);
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split(".");
    const last = keys.pop() as string;
    const parent = keys.reduce<Json>((each, key) => each[key] as Json, json);
    parent[last] = value;
  }
  return JSON.parse(JSON.stringify(json));
}

function replay(rows: readonly ContainerVector[]): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) {
    const message = `${name}: ${why}`;
    if ("error" in expect) {
      assert.throws(() => readContainer(changed(input)), (error) => {
        assert.ok(error instanceof ContainerError, message);
        return error.message.includes(expect.error);
      }, message);
      continue;
    }
    const container = readContainer(changed(input));
    for (const [key, value] of Object.entries(expect)) {
      assert.deepEqual(container[key as keyof Container], value, `${message}: ${key}`);
    }
  }
}

test("the runner fails on no rows and on wrong rows", () => {
  const row = { name: "wrong", why: "a runner that can't fail tests nothing", input: {} };
  assert.throws(() => replay([]), /no rows/);
  assert.throws(() => replay([{ ...row, expect: { name: "bb" } }]), /can't fail/);
  assert.throws(() => replay([{ ...row, expect: { error: "no id" } }]), /can't fail/);
});

test("readContainer() takes what can be used, and says what it drops", () => {
  replay(containers);
});

test("readContainer() reads what Podman says", () => {
  const container = readContainer(RECORDED["podman 4.3.1"]);
  assert.deepEqual(
    [container.name, container.state, container.health, container.ports, container.problems],
    ["paa", "running", "", [9000], []],
  );
  assert.deepEqual(container.networks.map(({ name, addresses }) => [name, addresses]), [
    ["podman", ["10.88.0.5"]],
  ]);
});

test("readContainer() refuses what is no container, whatever it is", () => {
  for (
    const json of [null, undefined, 1, "x", [], {}, [{}], { Id: {} }, { Config: 1, State: [] }]
  ) {
    assert.throws(() => readContainer(json), ContainerError);
  }
});

test("members of any kind are read, dropped or refused, and nothing else", () => {
  const kinds = [null, 0, "x\n", true, [], [null], {}, { a: null }, [[]], { "80/tcp": 1 }];
  const paths = [
    ...["Id", "Name", "Created", "State", "State.Status", "State.Health", "Config"],
    ...["Config.Labels", "Config.Env", "Config.ExposedPorts", "Config.Image", "HostConfig"],
    ...["HostConfig.PortBindings", "NetworkSettings", "NetworkSettings.Networks"],
    ...["NetworkSettings.Ports", "NetworkSettings.Networks.net1"],
    ...["NetworkSettings.Networks.net1.Aliases", "NetworkSettings.Networks.net1.IPAddress"],
  ];
  for (const path of paths) {
    for (const kind of kinds) {
      try {
        const { name, networks, labels } = readContainer(changed({ [path]: kind }));
        assert.doesNotMatch(JSON.stringify([name, networks, [...labels]]), /\\n/);
      } catch (error) {
        assert.ok(error instanceof ContainerError, `${path} ${JSON.stringify(kind)}: ${error}`);
      }
    }
  }
});

test("a container runs while it does, is paused, or is about to be started again", () => {
  const runs = (Status: string): boolean =>
    isRunning(readContainer(changed({ State: { Status } })));
  assert.deepEqual(
    ["running", "paused", "restarting", "created", "exited", "dead", "removing", ""].map(runs),
    [true, true, true, false, false, false, false, false],
  );
});
