import assert from "node:assert/strict";
import { test } from "node:test";
import { type Family, Metrics, observe } from "../lib/metrics.ts";
import type { RequestFacts } from "../lib/observe.ts";
import { SERVED_FAMILIES, ServedMetrics } from "../lib/servedmetrics.ts";
import { needProgram, run } from "./support.ts";
import { type FormatVector, formatVectors, snapshotVectors } from "./vectors/metrics.ts";

const FAMILIES: readonly Family[] = [
  { name: "b_total", type: "counter", help: "All.", labels: ["route", "status"] },
  { name: "g", type: "gauge", help: "Now.", labels: [] },
  { name: "h", type: "histogram", help: "Times.", labels: ["route"], bounds: [1, 2] },
];

function check(rows: readonly FormatVector[]): void {
  assert.ok(rows.length > 0);
  for (const { name, why, families, series, expect } of rows) {
    const metrics = new Metrics(families);
    for (const [family, labels, numbers] of series) {
      const one = metrics.series(family, ...labels);
      assert.equal(one.length, numbers.length, name);
      numbers.forEach((number, i) => one[i] = number);
    }
    assert.equal(metrics.format(), expect, `${name}: ${why}`);
  }
}

test("metrics are told in Prometheus's text format", () => check(formatVectors));

test("the runner of these vectors sees a wrong one, and that there are none", () => {
  const [, wrong] = formatVectors;
  assert.throws(() => check([{ ...wrong!, expect: "" }]), assert.AssertionError);
  assert.throws(() => check([]), assert.AssertionError);
});

test("promtool finds nothing wrong with the text", async (t) => {
  if (!needProgram(t, "promtool")) return;
  const metrics = new Metrics(SERVED_FAMILIES);
  for (const { name, labels } of SERVED_FAMILIES) {
    metrics.series(name, ...labels.map(() => 'a\\"\n'))[0] = 1;
  }
  const { code, stdout, stderr } = await run("promtool", ["check", "metrics"], {
    input: metrics.format(),
  });
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
  assert.equal((await run("promtool", ["check", "metrics"], { input: "a{b} 1\n" })).code, 1);
});

test("a snapshot is taken as from a stranger", () => {
  assert.ok(snapshotVectors.length > 0);
  for (const { name, why, input, expect } of snapshotVectors) {
    const metrics = new Metrics(FAMILIES);
    const [series] = [metrics.series("b_total", "r", "200")];
    series[0] = 1;
    metrics.add(input);
    assert.equal(series[0], expect, `${name}: ${why}`);
    assert.equal(
      metrics.snapshot().flatMap(([, all]) => all).length,
      1,
      `${name}: no other series`,
    );
  }
});

test("snapshots go through JSON and are summed, each number by itself", () => {
  const [one, other] = [new Metrics(FAMILIES), new Metrics(FAMILIES)];
  one.series("b_total", "r", "200")[0] = 2;
  other.series("b_total", "r", "200")[0] = 3;
  other.series("b_total", "r", "404")[0] = 1;
  one.series("g")[0] = 5;
  other.series("g")[0] = -1;
  for (const value of [0.5, 1, 1.5]) observe(one.series("h", "r"), [1, 2], value);
  for (const value of [2, 2.5]) observe(other.series("h", "r"), [1, 2], value);
  const sum = new Metrics(FAMILIES);
  for (const each of [one, other]) sum.add(JSON.parse(JSON.stringify(each.snapshot())));
  assert.deepEqual(sum.snapshot(), [
    ["b_total", [[["r", "200"], [5]], [["r", "404"], [1]]]],
    ["g", [[[], [4]]]],
    ["h", [[["r"], [7.5, 2, 2, 1]]]],
  ]);
  assert.equal(one.series("b_total", "r", "200")[0], 2, "what is added stays as it is");
});

test("a table of counters takes nothing else of a snapshot", () => {
  const metrics = new Metrics(FAMILIES);
  metrics.series("g")[0] = 5;
  metrics.series("b_total", "r", "200")[0] = 1;
  const ended = new Metrics(FAMILIES.filter(({ type }) => type !== "gauge"));
  ended.add(metrics.snapshot());
  assert.deepEqual(ended.snapshot(), [["b_total", [[["r", "200"], [1]]]], ["h", []]]);
});

test("series of routes that are gone are forgotten, those without the label are not", () => {
  const metrics = new Metrics(FAMILIES);
  for (const route of ["a", "b"]) metrics.series("b_total", route, "200")[0] = 1;
  metrics.series("g")[0] = 1;
  metrics.retain("route", new Set(["b"]));
  assert.deepEqual(metrics.snapshot().map(([, series]) => series), [
    [[["b", "200"], [1]]],
    [[[], [1]]],
    [],
  ]);
});

test("a metric that isn't in the table is a bug", () => {
  const metrics = new Metrics(FAMILIES);
  assert.throws(() => metrics.series("b_total", "r"), TypeError);
  assert.throws(() => metrics.series("c_total"), TypeError);
});

const facts = (change: Partial<RequestFacts>): RequestFacts => ({
  ...{
    head: undefined,
    status: 200,
    beganAt: 5,
    endedAt: 6,
    received: 0,
    sent: 0,
    retries: 0,
    failures: 0,
  },
  ...{ upstream: undefined, upstreamTime: undefined, ending: "complete", route: "example.com" },
  client: {
    ...{ address: "192.0.2.1", trusted: false, scheme: "https", serverName: undefined },
    ...{ certificateNames: [], judged: undefined },
  },
  ...change,
});

test("answers are counted by route and status, as Go's are", () => {
  const served = new ServedMetrics();
  for (const status of [502, 200, 200, 404]) {
    served.onRequestBegin();
    served.onRequestEnd(facts({ status }));
  }
  for (const known of [true, false, true]) served.onHello(known);
  const text = served.metrics.format();
  for (
    const line of [
      'centauri_response_total{route="example.com",status="502"} 1',
      'centauri_response_total{route="example.com",status="200"} 2',
      'centauri_response_total{route="example.com",status="404"} 1',
      'centauri_tls_hello_total{known="true"} 2',
      'centauri_tls_hello_total{known="false"} 1',
      "# TYPE centauri_response_total counter",
      "# TYPE centauri_tls_hello_total counter",
    ]
  ) assert.ok(text.includes(`${line}\n`), line);
  assert.match(text, /^# HELP centauri_response_total \S/m);
});

test("durations are in seconds; tunnels have none", () => {
  const served = new ServedMetrics();
  for (const [status, duration] of [[200, 2], [200, 20], [101, 86_400_000]] as const) {
    served.onRequestEnd(facts({ status, beganAt: 100, endedAt: 100 + duration }));
  }
  const text = served.metrics.format();
  const name = "centauri_request_duration_seconds";
  assert.match(text, new RegExp(`^${name}_count{route="example.com"} 2$`, "m"));
  assert.match(text, new RegExp(`^${name}_bucket{route="example.com",le="0.0025"} 1$`, "m"));
  assert.match(text, new RegExp(`^${name}_sum{route="example.com"} 0.022`, "m"));
});

test("a status that no client expects is no label of its own", () => {
  const served = new ServedMetrics();
  for (const status of [600, 999]) served.onRequestEnd(facts({ status }));
  assert.match(served.metrics.format(), /{route="example.com",status="other"} 2\n/);
});

test("what went wrong is counted by route", () => {
  const served = new ServedMetrics();
  served.onRequestEnd(facts({ ending: "upstream failed", failures: 2, retries: 1 }));
  served.onRequestEnd(facts({ ending: "client left", status: 499 }));
  const text = served.metrics.format();
  for (
    const line of [
      'requests_incomplete_total{route="example.com",reason="upstream_failed"} 1',
      'requests_incomplete_total{route="example.com",reason="client_left"} 1',
      'upstream_failures_total{route="example.com"} 2',
      'upstream_retries_total{route="example.com"} 1',
    ]
  ) assert.ok(text.includes(`\ncentauri_${line}\n`), line);
});

test("a route that comes back after a reload begins anew", () => {
  const served = new ServedMetrics();
  const count = () => {
    served.onRequestEnd(facts({}));
    served.onRequestEnd(facts({ route: undefined, status: 400 }));
    return served.metrics.series("centauri_response_total", "example.com", "200")[0];
  };
  assert.equal(count(), 1);
  served.retain(new Set(["example.com"]));
  assert.equal(count(), 2);
  served.retain(new Set(["other.example"]));
  served.retain(new Set(["example.com"]));
  assert.equal(count(), 1);
  assert.equal(served.metrics.series("centauri_response_total", "", "400")[0], 3);
});
