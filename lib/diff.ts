/**
 * What changed in a text, as a unified diff (POSIX diff -u) that patch(1) applies. Pure; needs
 * log.ts (to escape and to quote).
 *
 * Lines are what ends in a line feed; a carriage return is part of its line. The fewest lines that
 * can change do (Myers 1986, "An O(ND) Difference Algorithm"), as long as the search is within
 * MAX_EDITS and MAX_WORK; beyond, all between the first and the last difference does. So the time
 * is linear whatever the texts are.
 */
import { escape, quote } from "./log.ts";

/** Lines that may be moved or repeated differently; those that only one text has don't count. */
const MAX_EDITS = 1_000;
/** Comparisons of lines; a laptop does this many in half a second. */
const MAX_WORK = 50_000_000;
/** Unchanged lines before and after a change. */
const CONTEXT = 3;

const NO_NEWLINE = "\n\\ No newline at end of file\n";

/** SGR codes by a line's first character: what goes is red, what comes green. */
const COLOURS: ReadonlyMap<string, number> = new Map([["-", 31], ["+", 32], ["@", 36]]);

/** Empty if the texts are equal. A name that doesn't exist is `/dev/null`. */
export function unifiedDiff(
  oldName: string,
  newName: string,
  oldText: string,
  newText: string,
): string {
  if (oldText === newText) return "";
  const [a, b] = [splitLines(oldText), splitLines(newText)];
  const script = edits(a, b);
  const parts = [`--- ${spell(oldName)}\n`, `+++ ${spell(newName)}\n`];
  for (let from = 0, to = 0; from < script.length; from = to) {
    for (to = from + 1; to < script.length; to++) {
      const [before, after] = [script[to - 1]!, script[to]!];
      if (after.oldStart - before.oldEnd > 2 * CONTEXT) break;
    }
    pushHunk(parts, script.slice(from, to), a, b);
  }
  return parts.join("");
}

/**
 * What writing a file would change: `old` is undefined if there is none, `text` if nothing is new.
 */
export function fileDiff(
  path: string,
  old: string | undefined,
  text: string | undefined,
): string {
  return unifiedDiff(old === undefined ? "/dev/null" : path, path, old ?? "", text ?? old ?? "");
}

/** For a terminal: in colour, and nothing in it but a tab can drive the terminal. */
export function colourDiff(diff: string): string {
  return splitLines(diff).map((line, i) => {
    const text = line.replace(/\n$/, "").split("\t").map(escape).join("\t");
    const code = i < 2 ? 1 : COLOURS.get(text[0] ?? ""); // the two names are bold
    return code === undefined ? `${text}\n` : `\x1b[${code}m${text}\x1b[0m\n`;
  }).join("");
}

/** Lines of the old text that go, and of the new one that come in their place; ends excluded. */
interface Edit {
  readonly oldStart: number;
  readonly oldEnd: number;
  readonly newStart: number;
  readonly newEnd: number;
}

function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** A tab ends a name that has spaces; quotes hold one that has worse. */
function spell(name: string): string {
  if (/[\p{C}"\\]/u.test(name)) return quote(name);
  return name.includes(" ") ? `${name}\t` : name;
}

function pushHunk(parts: string[], script: readonly Edit[], a: string[], b: string[]): void {
  const [first, last] = [script[0]!, script.at(-1)!];
  const before = Math.min(CONTEXT, first.oldStart);
  const after = Math.min(CONTEXT, a.length - last.oldEnd);
  const oldRange = range(first.oldStart - before, last.oldEnd + after);
  parts.push(`@@ -${oldRange} +${range(first.newStart - before, last.newEnd + after)} @@\n`);
  const push = (sign: string, lines: string[], start: number, end: number): void => {
    for (let i = start; i < end; i++) {
      const line = lines[i]!;
      parts.push(sign, line.endsWith("\n") ? line : line + NO_NEWLINE);
    }
  };
  let at = first.oldStart - before;
  for (const { oldStart, oldEnd, newStart, newEnd } of script) {
    push(" ", a, at, oldStart);
    push("-", a, oldStart, oldEnd);
    push("+", b, newStart, newEnd);
    at = oldEnd;
  }
  push(" ", a, at, at + after);
}

/** Of no lines, the start is the line before them. */
function range(start: number, end: number): string {
  if (end === start) return `${start},0`;
  return end - start === 1 ? `${start + 1}` : `${start + 1},${end - start}`;
}

function edits(a: readonly string[], b: readonly string[]): Edit[] {
  const [oldKept, newKept] = commonLines(a, b);
  const found: Edit[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; i++, j++) {
    const [oldStart, newStart] = [i, j];
    while (i < a.length && !oldKept[i]) i++;
    while (j < b.length && !newKept[j]) j++;
    if (i > oldStart || j > newStart) found.push({ oldStart, oldEnd: i, newStart, newEnd: j });
  }
  return found;
}

/** By line, 1 where it stays; the nth of those that stay is the same line in both. */
function commonLines(a: readonly string[], b: readonly string[]): [Uint8Array, Uint8Array] {
  const numbers = new Map<string, number>(); // equal lines have one number
  const number = (line: string): number => {
    const known = numbers.get(line) ?? numbers.size;
    if (known === numbers.size) numbers.set(line, known);
    return known;
  };
  const [old, fresh] = [a.map(number), b.map(number)];
  const [oldKept, newKept] = [new Uint8Array(a.length), new Uint8Array(b.length)];
  const keep = (i: number, j: number): void => {
    oldKept[i] = 1;
    newKept[j] = 1;
  };
  let start = 0;
  let [oldEnd, newEnd] = [a.length, b.length];
  for (; start < oldEnd && start < newEnd && old[start] === fresh[start]; start++) {
    keep(start, start);
  }
  while (oldEnd > start && newEnd > start && old[oldEnd - 1] === fresh[newEnd - 1]) {
    keep(--oldEnd, --newEnd);
  }
  // What only one of them has can't stay: most changes are of that kind, and cost nothing more.
  const oldShared = shared(old, start, oldEnd, new Set(fresh.slice(start, newEnd)));
  const newShared = shared(fresh, start, newEnd, new Set(old.slice(start, oldEnd)));
  const pairs = matches(oldShared.map((i) => old[i]!), newShared.map((j) => fresh[j]!));
  for (const [x, y] of pairs) keep(oldShared[x]!, newShared[y]!);
  return [oldKept, newKept];
}

/** The places from `start` to before `end` where the line is one of `others`. */
function shared(
  lines: readonly number[],
  start: number,
  end: number,
  others: ReadonlySet<number>,
): number[] {
  const places: number[] = [];
  for (let i = start; i < end; i++) if (others.has(lines[i]!)) places.push(i);
  return places;
}

/**
 * Myers' greedy algorithm: round `d` finds how far `d` edits lead on each diagonal k = x - y. The
 * pairs of a longest common subsequence, last first; none if that takes too many edits.
 */
function matches(a: readonly number[], b: readonly number[]): [x: number, y: number][] {
  const [n, m] = [a.length, b.length];
  const max = Math.min(n + m, MAX_EDITS, Math.ceil(MAX_WORK / (n + m + 1)));
  const far = new Int32Array(2 * max + 3); // x by diagonal, k = 0 in the middle
  const zero = max + 1;
  const rounds: Int32Array[] = []; // `far` before each round, from diagonal -d-1 on
  for (let d = 0; d <= max; d++) {
    rounds.push(far.slice(zero - d - 1, zero + d + 2));
    for (let k = -d; k <= d; k += 2) {
      let x = isDown(far, zero, k, d) ? far[zero + k + 1]! : far[zero + k - 1]! + 1;
      while (x < n && x - k < m && a[x] === b[x - k]) x++;
      far[zero + k] = x;
      if (x >= n && x - k >= m) return walkBack(rounds, n, m);
    }
  }
  return [];
}

/** Whether a line of `b` is the round's edit that leads furthest on diagonal k; else one of `a`. */
function isDown(far: Int32Array, zero: number, k: number, d: number): boolean {
  return k === -d || (k !== d && far[zero + k - 1]! < far[zero + k + 1]!);
}

function walkBack(rounds: readonly Int32Array[], n: number, m: number): [number, number][] {
  const pairs: [number, number][] = [];
  let [x, y] = [n, m];
  for (let d = rounds.length - 1; d >= 0; d--) {
    const [far, zero, k] = [rounds[d]!, d + 1, x - y];
    const before = isDown(far, zero, k, d) ? k + 1 : k - 1;
    const start = far[zero + before]!;
    const edited = before < k ? start + 1 : start;
    while (x > edited) pairs.push([--x, --y]);
    [x, y] = [start, start - before];
  }
  return pairs;
}
