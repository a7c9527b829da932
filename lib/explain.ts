/**
 * What `dotege --explain` prints: per container its hosts and port, or the reason that it has no
 * route, and what of its labels was left out. Pure; needs log.ts (to escape).
 *
 *     web
 *       hosts     example.com www.example.com
 *       port      8080 (label com.chameth.proxy)
 *     db
 *       no route  it has no label com.chameth.vhost
 */
import type { Verdict } from "./hostnames.ts";
import { quote } from "./log.ts";

/** Columns of a terminal; only a word that is longer goes beyond. */
const WIDTH = 80;
const INDENT = 12;

/** Text for a terminal; ends in a line feed. Nothing in it can drive the terminal. */
export function explain(verdicts: readonly Verdict[]): string {
  const routed = verdicts.filter(({ reason }) => reason === "").length;
  const problems = verdicts.reduce((sum, verdict) => sum + verdict.problems.length, 0);
  const counts = [
    count(verdicts.length, "container"),
    `${routed} with a route`,
    count(problems, "problem"),
  ];
  return `${verdicts.map(explainOne).join("")}${counts.join(", ")}\n`;
}

function explainOne({ name, hosts, port, portFrom, reason, problems }: Verdict): string {
  const rows: [string, string][] = [];
  if (hosts.length > 0) rows.push(["hosts", hosts.join(" ")]);
  if (reason !== "") rows.push(["no route", reason]);
  else rows.push(["port", `${port} (${portFrom})`]);
  for (const problem of problems) rows.push(["problem", problem]);
  return `${escape(name)}\n${rows.map(([title, text]) => row(title, escape(text))).join("")}\n`;
}

function row(title: string, text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > WIDTH - INDENT) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return `  ${title}`.padEnd(INDENT) + lines.join(`\n${" ".repeat(INDENT)}`) + "\n";
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** Whatever is unprintable, as in the log; quotes stay as they are. */
function escape(text: string): string {
  return text.replace(/[\p{C}\p{Z}]/gu, (char) => quote(char).slice(1, -1));
}
