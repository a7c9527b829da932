/**
 * A status for a terminal: problems first, texts wrapped, colours where they are wanted. Pure;
 * needs `statuswords.ts`, `log.ts` (to escape): nothing in it can drive the terminal.
 *
 *     2 routes: 1 isn't served, 1 is well
 *
 *     NOT SERVED  shop.example.com
 *       problem     shop.example.com has no address in DNS: …
 *       what to do  Add an A or AAAA record that leads here, …
 */
import { escape } from "./log.ts";
import type { Status } from "./status.ts";
import { type Block, type Row, statusWords } from "./statuswords.ts";

const LIMITS = { troubled: 1_000, well: 100 };
/** Columns; only a word that is longer goes beyond. */
const WIDTH = 80;
const INDENT = 15;

const LABELS = { problem: "NOT SERVED", warning: "NEEDS A LOOK", well: "WELL" } as const;
/** SGR: bold red, bold yellow, green; of rows red, yellow, bold; of titles dim. */
const COLOURS = { problem: "1;31", warning: "1;33", well: "32" } as const;
const MARKS = { problem: "31", warning: "33", advice: "1" } as const;
const DIM = "2";

type Paint = (code: string, text: string) => string;

/** Ends in a line feed. */
export function statusText(status: Status, { colour }: { readonly colour: boolean }): string {
  const paint: Paint = (code, text) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  const words = statusWords(status, LIMITS);
  const level = words.isWell ? "well" : "problem";
  const head = [
    `${paint(COLOURS[level], escape(words.headline))}\n`,
    ...wrap(escape(words.summary), WIDTH).map((line) => `${line}\n`),
  ].join("");
  const blocks = [
    ...words.findings.map((block) => blockText(block, block.level.toUpperCase(), paint)),
    ...words.routes.map((block) => blockText(block, LABELS[block.level], paint)),
  ];
  const left = words.left === "" ? "" : `\n${words.left}: --json has all\n`;
  return head + blocks.map((block) => `\n${block}`).join("") + left;
}

function blockText({ level, title, rows, facts }: Block, label: string, paint: Paint): string {
  const lines = wrap(escape(title), WIDTH - label.length - 2);
  const head = lines.join(`\n${" ".repeat(label.length + 2)}`);
  return `${paint(COLOURS[level], label)}  ${head}\n` +
    [...rows, ...facts].map((row) => rowText(row, paint)).join("");
}

function rowText({ title, text, mark }: Row, paint: Paint): string {
  const lines = wrap(escape(text), WIDTH - INDENT)
    .map((line) => mark === undefined ? line : paint(MARKS[mark], line));
  const start = paint(DIM, `  ${escape(title)}`.padEnd(INDENT));
  return start + lines.join(`\n${" ".repeat(INDENT)}`) + "\n";
}

function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
