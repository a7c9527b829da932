import assert from "node:assert/strict";
import { test } from "node:test";
import { type DockerHost, DockerHostError, parseDockerHost } from "../lib/dockerhost.ts";
import { hosts, type HostVector } from "./vectors/dockerhost.ts";

function shown({ way, basePath, authority, version }: DockerHost): string {
  const pinned = version?.join(".");
  if (way.kind === "unix") return ["unix", way.path, pinned].filter(Boolean).join(" ");
  if (way.kind === "ssh") return ["ssh", ...way.args].join(" ");
  const { tls } = way;
  const secure = tls && ["tls", tls.verify && "verified", tls.folder].filter(Boolean).join(" ");
  return ["tcp", way.host, way.port, secure, basePath, `Host ${authority}`].filter(Boolean).join(
    " ",
  );
}

function replay(rows: readonly HostVector[]): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) {
    if (typeof expect === "string") {
      assert.equal(shown(parseDockerHost(input)), expect, `${name}: ${why}`);
      continue;
    }
    assert.throws(() => parseDockerHost(input), (error) => {
      assert.ok(error instanceof DockerHostError, `${name}: ${why}: ${error}`);
      assert.ok(error.message.startsWith(expect.error), `${name}: ${why}: ${error.message}`);
      assert.ok(!/secret|[\0-\x1f]/.test(error.message), error.message);
      return true;
    }, `${name}: ${why}`);
  }
}

test("the runner fails on no rows and on wrong rows", () => {
  const row = { name: "wrong", why: "a runner that can't fail tests nothing", input: {} };
  assert.throws(() => replay([]), /no rows/);
  assert.throws(() => replay([{ ...row, expect: "unix /" }]), /can't fail/);
  assert.throws(() => replay([{ ...row, expect: { error: "invalid" } }]), /can't fail/);
});

test("parseDockerHost() reads what Docker's clients read, and refuses the rest", () => {
  replay(hosts);
});

test("a message doesn't tell a password, and does tell what was expected", () => {
  assert.throws(() => parseDockerHost({ DOCKER_HOST: "tcp://me:secret@host:1" }), {
    message:
      'invalid DOCKER_HOST "tcp://…@host:1": expected tcp://host:port, an IPv6 address in brackets',
  });
});
