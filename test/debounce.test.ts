import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { backoff, createDebounce } from "../lib/debounce.ts";
import { recordLog, until } from "./recorder.ts";

/** Work that waits until it is let on; `started()` resolves when it has begun as many times. */
function gate() {
  let [runs, open] = [0, () => {}];
  const run = (): Promise<void> => {
    runs++;
    return new Promise((resolve) => open = resolve);
  };
  const started = async (count: number): Promise<void> => {
    await until(() => runs >= count);
    assert.equal(runs, count);
  };
  return { run, started, open: () => open() };
}

const { log } = recordLog();

test("many triggers are one run, once they stop coming", async () => {
  let runs = 0;
  const debounce = createDebounce(() => void runs++, { quiet: 200, log });
  for (let i = 0; i < 20; i++) {
    debounce.trigger();
    await setTimeout(1);
    assert.equal(runs, 0);
  }
  const last = performance.now();
  debounce.trigger();
  await until(() => runs > 0);
  assert.ok(performance.now() - last >= 190);
  await debounce.close();
  assert.equal(runs, 1);
});

test("triggers that don't stop don't put a run off for ever", async () => {
  let runs = 0;
  const debounce = createDebounce(() => void runs++, { quiet: 60_000, max: 200, log });
  const start = performance.now();
  for (const end of [1, 2, 3]) {
    while (runs < end) {
      debounce.trigger();
      await setTimeout(2);
    }
    assert.ok(performance.now() - start >= 190 * end); // the longest wait begins anew each time
  }
  await debounce.close();
});

test("a run never overlaps another, and all triggers during one lead to one more", async () => {
  const { run, started, open } = gate();
  const debounce = createDebounce(run, { quiet: 1, log });
  debounce.trigger();
  await started(1);
  for (let i = 0; i < 3; i++) {
    debounce.trigger();
    await setTimeout(5); // longer than the quiet time
    debounce.now();
  }
  await started(1);
  open();
  await started(2);
  open();
  await setTimeout(20);
  await started(2);
  await debounce.close();
});

test("now() runs without waiting, and for those that waited", async () => {
  let runs = 0;
  const debounce = createDebounce(() => void runs++, { quiet: 20, log });
  debounce.trigger();
  debounce.now();
  assert.equal(runs, 1);
  await setTimeout(50);
  assert.equal(runs, 1);
  await debounce.close();
});

test("close() waits for the run under way, and none follows", async () => {
  const { run, started, open } = gate();
  const debounce = createDebounce(run, { quiet: 1, log });
  debounce.now();
  debounce.now();
  debounce.trigger();
  let closed = false;
  const closing = debounce.close().then(() => closed = true);
  await setTimeout(20);
  assert.equal(closed, false);
  open();
  await closing;
  debounce.trigger();
  debounce.now();
  await setTimeout(20);
  await started(1);
  await debounce.close();
});

test("what a run throws is logged, and the next one comes", async () => {
  const { log, lines } = recordLog();
  let runs = 0;
  const fail = (): void => {
    runs++;
    throw new Error(`fault ${runs}`);
  };
  const debounce = createDebounce(fail, { quiet: 1, log });
  debounce.now();
  await until(() => lines.length >= 1);
  debounce.trigger();
  await until(() => lines.length >= 2);
  assert.deepEqual(lines, ["error failed fault 1", "error failed fault 2"]);
  await debounce.close();
});

test("backoff() doubles from a second to a minute", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 8, 2_000].map(backoff);
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60].map((s) => s * 1_000));
});
