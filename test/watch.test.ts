import { test } from "node:test";
import { engineRestarts, lives } from "./dockerscenario.ts";
import { startFakeEngine } from "./fakeengine.ts";

test("containers are followed from their coming to their going", async (t) => {
  await lives(t, await startFakeEngine(t));
});

test("an engine that restarts is waited for, and all stays as it was", async (t) => {
  await engineRestarts(t, await startFakeEngine(t));
});
