/** Pairs of texts and their unified diff; the names are `old` and `new`. */

export interface Vector {
  readonly name: string;
  readonly why: string;
  readonly input: readonly [oldText: string, newText: string];
  /** Without the two lines of names. */
  readonly expect: string;
}

const NO_NEWLINE = "\\ No newline at end of file\n";

const lines = (...names: (string | number)[]): string => names.map((name) => `${name}\n`).join("");
const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

export const diffs: readonly Vector[] = [
  { name: "equal", why: "nothing to say", input: ["a\n", "a\n"], expect: "" },
  { name: "nothing twice", why: "no lines at all", input: ["", ""], expect: "" },
  {
    name: "a changed line",
    why: "one line needs no count",
    input: ["a\n", "b\n"],
    expect: "@@ -1 +1 @@\n-a\n+b\n",
  },
  {
    name: "from nothing",
    why: "a new file: of no lines the start is 0",
    input: ["", lines("a", "b")],
    expect: "@@ -0,0 +1,2 @@\n+a\n+b\n",
  },
  {
    name: "to nothing",
    why: "and the other way round",
    input: [lines("a", "b"), ""],
    expect: "@@ -1,2 +0,0 @@\n-a\n-b\n",
  },
  {
    name: "in the middle",
    why: "three lines before and three after",
    input: [lines(...numbers(1, 9)), lines(...numbers(1, 4), "five", ...numbers(6, 9))],
    expect: "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
  },
  {
    name: "six lines apart",
    why: "contexts that touch are one hunk",
    input: [lines("a", ...numbers(1, 6), "b"), lines("A", ...numbers(1, 6), "B")],
    expect: "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n",
  },
  {
    name: "seven lines apart",
    why: "there is a line that neither shows: two hunks",
    input: [lines("a", ...numbers(1, 7), "b"), lines("A", ...numbers(1, 7), "B")],
    expect: "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n",
  },
  {
    name: "an added line far down",
    why: "the hunk's second start moves with what was added before",
    input: [lines(...numbers(1, 20)), lines(0, ...numbers(1, 19), "x", 20)],
    expect: "@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -17,4 +18,5 @@\n 17\n 18\n 19\n+x\n 20\n",
  },
  {
    name: "only the last line feed goes",
    why: "a line with and one without are different lines",
    input: ["a\nb\n", "a\nb"],
    expect: `@@ -1,2 +1,2 @@\n a\n-b\n+b\n${NO_NEWLINE}`,
  },
  {
    name: "only the last line feed comes",
    why: "and the other way round",
    input: ["b", "b\n"],
    expect: `@@ -1 +1 @@\n-b\n${NO_NEWLINE}+b\n`,
  },
  {
    name: "neither ends in a line feed",
    why: "said once, after the line that both have",
    input: ["a\nb", "A\nb"],
    expect: `@@ -1,2 +1,2 @@\n-a\n+A\n b\n${NO_NEWLINE}`,
  },
  {
    name: "a carriage return",
    why: "part of its line",
    input: ["a\r\nb\n", "a\nb\n"],
    expect: "@@ -1,2 +1,2 @@\n-a\r\n+a\n b\n",
  },
  {
    name: "a line that looks like a header",
    why: "patch counts lines, so nothing is escaped",
    input: ["-- old\n", "++ new\n"],
    expect: "@@ -1 +1 @@\n--- old\n+++ new\n",
  },
  {
    name: "U+2028 and form feed",
    why: "end no lines",
    input: ["a\u2028\fb\n", "a\u2028\fc\n"],
    expect: "@@ -1 +1 @@\n-a\u2028\fb\n+a\u2028\fc\n",
  },
  {
    name: "a moved line",
    why: "the fewest lines: one goes and comes again, the others stay",
    input: [lines("x", "a", "b", "c"), lines("a", "b", "c", "x")],
    expect: "@@ -1,4 +1,4 @@\n-x\n a\n b\n c\n+x\n",
  },
  {
    name: "__proto__",
    why: "a line like any other",
    input: ["__proto__\n", "constructor\n"],
    expect: "@@ -1 +1 @@\n-__proto__\n+constructor\n",
  },
];
