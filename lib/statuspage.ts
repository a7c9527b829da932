/**
 * A status as a page: HTML 5 without scripts, pictures or anything from elsewhere, for phones and
 * wide screens, light and dark. Pure; needs `statuswords.ts`, `log.ts` (to escape).
 *
 * Whatever strangers said is text in it: markup is escaped, as is what is unprintable, and the
 * policy that goes with it allows this one style sheet and nothing else.
 */
import { createHash } from "node:crypto";
import { escape } from "./log.ts";
import type { Status } from "./status.ts";
import { type Block, type Row, statusWords, type Words } from "./statuswords.ts";

/** Blocks of a page: some 500 KB of it at most. */
const LIMITS = { troubled: 200, well: 300 };

const LABELS = { problem: "Not served", warning: "Needs a look", well: "Well" } as const;
const FINDINGS = { problem: "Problem", warning: "Warning", well: "" } as const;

/** Colours have a contrast of 4.5 and more to what they stand on (WCAG 2.2, 1.4.3). */
const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f6f7f8; --card: #fff; --line: #d9dee2; --text: #1c2328; --quiet: #57636c;
  --problem: #a3262a; --warning: #7a5300; --well: #1d6a3c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12171a; --card: #1a2024; --line: #333c42; --text: #e2e7ea; --quiet: #9ca8b0;
    --problem: #ff9c97; --warning: #ecc26b; --well: #8fd1a6;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 52rem; background: var(--ground);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1rem; font-weight: 600; color: var(--quiet); }
h2 { margin: 0; font-size: 1.05rem; line-height: 1.4; }
h2.part { margin: 2rem 0 .5rem; font-size: 1rem; font-weight: 600; color: var(--quiet); }
.headline { margin: .1rem 0 .4rem; font-size: 1.5rem; font-weight: 650; line-height: 1.25; }
.label { margin: 0 0 .1rem; font-size: .85rem; font-weight: 600; }
.card {
  margin: .75rem 0; padding: .8rem 1rem .9rem; background: var(--card);
  border: 1px solid var(--line); border-left: .3rem solid var(--colour); border-radius: .4rem;
}
.problem { --colour: var(--problem); }
.warning { --colour: var(--warning); }
.well { --colour: var(--well); }
.headline, .label, dd.problem, dd.warning { color: var(--colour); }
dd.advice { font-weight: 600; }
dl { display: grid; margin: .6rem 0 0; grid-template-columns: 5.5rem 1fr; gap: .25rem .75rem; }
dt { color: var(--quiet); font-size: .9rem; line-height: 1.65; }
dd { margin: 0; min-width: 0; }
.wrong dd { margin-bottom: .35rem; }
.facts { font-size: .95rem; }
.card .facts { padding-top: .6rem; border-top: 1px solid var(--line); }
details { border-top: 1px solid var(--line); }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { padding: .5rem 0; cursor: pointer; }
summary::marker { color: var(--well); }
details dl { margin: 0 0 .8rem; padding-left: 1.1rem; }
p.note { margin: .4rem 0 1rem; color: var(--quiet); font-size: .95rem; }
@media (max-width: 36rem) {
  .wrong { grid-template-columns: 1fr; gap: 0; }
  .wrong dt { font-size: .85rem; }
}
`;

/** For `Content-Security-Policy`. */
const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join("; ");

/** As the metrics server takes a page. */
export function statusPage(
  status: Status,
): { readonly type: string; readonly body: string; readonly policy: string } {
  const words = statusWords(status, LIMITS);
  const body = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${text(words.headline)} - Centauri</title>
<style>${STYLE}</style>
</head>
<body>
${header(words)}
<main>
${words.findings.map((block) => card(block, FINDINGS[block.level])).join("")}
${routes(words)}
</main>
</body>
</html>
`;
  return { type: "text/html; charset=utf-8", body, policy: POLICY };
}

function header({ headline, isWell, summary }: Words): string {
  return `<header>
<h1>Centauri</h1>
<p class="headline ${isWell ? "well" : "problem"}">${text(headline)}</p>
<p class="note">${text(summary)}</p>
</header>`;
}

function routes({ routes, left }: Words): string {
  const bad = routes.filter(({ level }) => level !== "well");
  const well = routes.filter(({ level }) => level === "well");
  return bad.map((block) => card(block, LABELS[block.level])).join("") +
    (well.length > 0 ? `<h2 class="part">Routes that are well</h2>\n` : "") +
    well.map(({ title, facts }) =>
      `<details class="well"><summary>${text(title)}</summary>\n${list("facts", facts)}</details>\n`
    ).join("") +
    (left === "" ? "" : `<p class="note">${text(left)}: centauri --status --json has all.</p>\n`);
}

function card({ level, title, rows, facts }: Block, label: string): string {
  return `<section class="card ${level}">
<p class="label">${label}</p>
<h2>${text(title)}</h2>
${list("wrong", rows)}${facts.length > 0 ? list("facts", facts) : ""}</section>
`;
}

function list(kind: "wrong" | "facts", rows: readonly Row[]): string {
  const items = rows.map(({ title, text: value, mark = "" }) =>
    `<dt>${text(title)}</dt><dd${mark === "" ? "" : ` class="${mark}"`}>${text(value)}</dd>\n`
  );
  return `<dl class="${kind}">\n${items.join("")}</dl>\n`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  ...{ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" },
};

const text = (value: string): string =>
  escape(value).replace(/[&<>"']/g, (char) => ENTITIES[char] ?? "");
