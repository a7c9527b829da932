/** Families, what is counted in them, and the text that Prometheus reads. */
import type { Family } from "../../lib/metrics.ts";

export interface FormatVector {
  readonly name: string;
  readonly why: string;
  readonly families: readonly Family[];
  /** `[family, label values, numbers]`, in order. */
  readonly series: readonly (readonly [string, readonly string[], readonly number[]])[];
  readonly expect: string;
}

const counter: Family = { name: "a_total", type: "counter", help: "All.", labels: [] };
const routed: Family = { ...counter, name: "b_total", labels: ["route", "status"] };
const head = "# HELP b_total All.\n# TYPE b_total counter\n";

export const formatVectors: readonly FormatVector[] = [
  {
    name: "a family without series",
    why: "Prometheus would take its head for a mistake",
    families: [counter],
    series: [],
    expect: "",
  },
  {
    name: "a counter without labels",
    why: "there are no empty braces",
    families: [counter],
    series: [["a_total", [], [3]]],
    expect: "# HELP a_total All.\n# TYPE a_total counter\na_total 3\n",
  },
  {
    name: "Go's counter of answers",
    why: "X1 and X2: names and labels are those of Go",
    families: [routed],
    series: [["b_total", ["example.com", "502"], [1]], ["b_total", ["example.com", "200"], [2]]],
    expect: head + 'b_total{route="example.com",status="502"} 1\n' +
      'b_total{route="example.com",status="200"} 2\n',
  },
  {
    name: "an empty label",
    why: "it is as good as none, and still a label",
    families: [routed],
    series: [["b_total", ["", "400"], [1]]],
    expect: `${head}b_total{route="",status="400"} 1\n`,
  },
  {
    name: "labels to be escaped",
    why: "a quote or a line feed would end the value, and begin another series",
    families: [routed],
    series: [["b_total", ['a"} 1\nevil_total{x="', "\\n"], [1]]],
    expect: `${head}b_total{route="a\\"} 1\\nevil_total{x=\\"",status="\\\\n"} 1\n`,
  },
  {
    name: "help to be escaped",
    why: "it is one line; quotes are themselves in it",
    families: [{ ...counter, help: 'a "b" \\ c\nd' }],
    series: [["a_total", [], [0]]],
    expect: '# HELP a_total a "b" \\\\ c\\nd\n# TYPE a_total counter\na_total 0\n',
  },
  {
    name: "a histogram",
    why: "buckets are cumulated, the last has no bound, and their count is told",
    families: [{ ...counter, name: "h", type: "histogram", bounds: [0.5, 1] }],
    series: [["h", [], [4.25, 2, 0, 1]]],
    expect: "# HELP h All.\n# TYPE h histogram\n" +
      'h_bucket{le="0.5"} 2\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3\nh_sum 4.25\nh_count 3\n',
  },
  {
    name: "a histogram with a label",
    why: "its bound comes last",
    families: [{ ...counter, name: "h", type: "histogram", labels: ["route"], bounds: [1] }],
    series: [["h", ["a"], [1, 1, 0]]],
    expect: "# HELP h All.\n# TYPE h histogram\n" +
      'h_bucket{route="a",le="1"} 1\nh_bucket{route="a",le="+Inf"} 1\n' +
      'h_sum{route="a"} 1\nh_count{route="a"} 1\n',
  },
  {
    name: "numbers large and small",
    why: "Prometheus reads what JavaScript writes, but for infinity's name",
    families: [{ ...counter, type: "gauge", labels: ["x"] }],
    series: [
      ["a_total", ["large"], [1e21]],
      ["a_total", ["small"], [5e-7]],
      ["a_total", ["less"], [-1.5]],
      ["a_total", ["never"], [Infinity]],
    ],
    expect: "# HELP a_total All.\n# TYPE a_total gauge\n" +
      'a_total{x="large"} 1e+21\na_total{x="small"} 5e-7\na_total{x="less"} -1.5\n' +
      'a_total{x="never"} +Inf\n',
  },
];

/** What a stranger sends as a snapshot, and what is taken of it. */
export interface SnapshotVector {
  readonly name: string;
  readonly why: string;
  readonly input: unknown;
  /** The value of `b_total{route="r",status="200"}` after it was added to 1. */
  readonly expect: number;
}

export const snapshotVectors: readonly SnapshotVector[] = [
  { name: "its own kind", why: "", input: [["b_total", [[["r", "200"], [2]]]]], expect: 3 },
  {
    name: "twice the same series",
    why: "both count",
    input: [["b_total", [[["r", "200"], [2]], [["r", "200"], [4]]]]],
    expect: 7,
  },
  { name: "undefined", why: "a worker that has said nothing", input: undefined, expect: 1 },
  { name: "null", why: "", input: null, expect: 1 },
  { name: "an object", why: "", input: { b_total: [[["r", "200"], [2]]] }, expect: 1 },
  { name: "text", why: "", input: "b_total", expect: 1 },
  { name: "an unknown family", why: "", input: [["c_total", [[["r", "200"], [2]]]]], expect: 1 },
  { name: "a prototype's key", why: "", input: [["__proto__", [[["r"], [2]]]]], expect: 1 },
  { name: "too few labels", why: "", input: [["b_total", [[["r"], [2]]]]], expect: 1 },
  {
    name: "a label that is no text",
    why: "",
    input: [["b_total", [[["r", 200], [2]]]]],
    expect: 1,
  },
  {
    name: "a label without end",
    why: "each is kept, and shown",
    input: [["b_total", [[["r".repeat(513), "200"], [2]]]]],
    expect: 1,
  },
  { name: "no number", why: "", input: [["b_total", [[["r", "200"], ["2"]]]]], expect: 1 },
  { name: "NaN", why: "", input: [["b_total", [[["r", "200"], [NaN]]]]], expect: 1 },
  {
    name: "infinity",
    why: "nothing would ever change it",
    input: [["b_total", [[["r", "200"], [Infinity]]]]],
    expect: 1,
  },
  {
    name: "less than nothing",
    why: "no counter goes backwards",
    input: [["b_total", [[["r", "200"], [-1]]]]],
    expect: 1,
  },
  {
    name: "too many numbers",
    why: "",
    input: [["b_total", [[["r", "200"], [1, 1]]]]],
    expect: 1,
  },
];
