/** How samples of the benchmark become figures: what failed must never look like one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { quantile, type Result, type Row, type Sample, table } from "../bench/subject.ts";

const NAMES = ["nginx 1.0", "Centauri"];

/** The cells of one row. */
function cells(nginx: readonly Sample[], centauri: readonly Sample[], more?: Partial<Row>) {
  const row = { title: "CPU", digits: 1, ...more };
  const samples = new Map([["nginx 1.0", nginx], ["Centauri", centauri]]);
  const result: Result = { subject: "x", row, samples };
  return table([result], NAMES).trim().split("\n").at(-1)?.slice(2, -2).split(" | ");
}

test("a cell has the median, the range, and the median ratio to nginx in the same round", () => {
  assert.deepEqual(cells([10, 20, 40], [20, 20, 20]), [
    "CPU",
    "20.0 (10.0–40.0)",
    "20.0 (20.0–20.0) ×1.00",
  ]);
  assert.deepEqual(cells([10], [25]), ["CPU", "10.0", "25.0 ×2.50"]);
});

test("one run that failed leaves no figure, and no ratio to it", () => {
  assert.deepEqual(cells([10, 10], [20, "12 5xx |\n"]), [
    "CPU",
    "10.0 (10.0–10.0)",
    "failed: 12 5xx ",
  ]);
  assert.deepEqual(cells(["no answers"], [20]), ["CPU", "failed: no answers", "20.0"]);
});

test("what was not measured is a dash; a ratio to nothing, or that says nothing, is none", () => {
  assert.deepEqual(cells([], [20]), ["CPU", "–", "20.0"]);
  assert.deepEqual(cells([0], [20]), ["CPU", "0.0", "20.0"]);
  assert.deepEqual(cells([10], [20], { hasRatio: false }), ["CPU", "10.0", "20.0"]);
});

test("a quantile lies between two values where it falls there", () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([1, 2, 3], 0.5), 2);
  assert.equal(quantile([7], 0.99), 7);
});
