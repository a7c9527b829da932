/** The watcher and the client against a real engine; the same stories as in watch.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createDocker, DockerError } from "../lib/docker.ts";
import { engineRestarts, lives, watching } from "./dockerscenario.ts";
import { canStartEngine, startEngine } from "./engine.ts";

const signal = AbortSignal.timeout(300_000);

test("containers of a real engine are followed from their coming to their going", async (t) => {
  if (!canStartEngine(t)) return;
  await lives(t, await startEngine(t));
});

test("containers of a real engine are found by polling", async (t) => {
  if (!canStartEngine(t)) return;
  await lives(t, await startEngine(t), 50);
});

test("a real engine that restarts is waited for, and all stays as it was", async (t) => {
  if (!canStartEngine(t)) return;
  await engineRestarts(t, await startEngine(t));
});

test("a socket that isn't there yet is waited for", async (t) => {
  if (!canStartEngine(t)) return;
  const engine = await startEngine(t);
  await engine.shutDown();
  const watched = watching(t, engine.env);
  await watched.untilLog(/^warn \| can't watch Docker yet; .*there is no such file or socket/);
  await engine.startUp();
  await watched.until([]);
  assert.deepEqual(watched.logs.filter((line) => line.startsWith("warn")).length, 1);
});

test("a container of a real engine gets its signal, and is restarted", async (t) => {
  if (!canStartEngine(t)) return;
  const engine = await startEngine(t);
  const docker = createDocker(engine.env);
  t.after(() => docker.close());
  const script = 'trap "exit 7" HUP; while :; do sleep 0.1; done';
  const id = await engine.run("traps", { command: ["sh", "-c", script] });
  const status = engine.docker("wait", "traps");
  await docker.kill(id, "HUP", signal);
  assert.equal(await status, "7");
  await assert.rejects(docker.kill(id, "HUP", signal), (error) => {
    assert.ok(error instanceof DockerError);
    assert.equal(error.status, 409);
    return /kill: status 409: ".*not running"/.test(error.message);
  });
  await docker.restart("traps", signal);
  assert.deepEqual(await docker.list(signal), [id]);
  await assert.rejects(docker.kill("nobody", "HUP", signal), { status: 404 });
  assert.equal(await docker.inspect("0".repeat(64), signal), undefined);
});
