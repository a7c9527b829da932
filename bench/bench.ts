/**
 * What Centauri costs, beside nginx, HAProxy and Caddy: `npm run bench`.
 *
 * Each proxy has one core to itself, in front of the same upstream on the other; all of them are
 * measured in turn (A B C A B C …). Figures are medians with the least and the greatest, and the
 * median of the ratios to nginx in the same round. CPU time is that of the proxy's processes, user
 * and system, from /proc: on a machine that others share, trust it more than rates and latencies.
 * What fails, or is answered with anything but the answer, gives no figure.
 *
 * Needs Linux with two cores, nginx, wrk, h2load, curl, and taskset.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { findProgram, root } from "../test/support.ts";
import { HANDSHAKES, IDLE_CONNECTIONS } from "./connections.ts";
import { LARGE_SUBJECTS } from "./large.ts";
import { LATENCY_SUBJECTS } from "./latency.ts";
import { LOAD_SUBJECTS, ROUTES_SUBJECT } from "./loads.ts";
import { OBSERVED } from "./observed.ts";
import { PEERS } from "./peers.ts";
import { Bench, nameOf } from "./proxies.ts";
import { type Plan, type Result, type Sample, type Subject, table } from "./subject.ts";

const SUBJECTS: readonly Subject[] = [
  ...LOAD_SUBJECTS,
  ...LATENCY_SUBJECTS,
  ...LARGE_SUBJECTS,
  HANDSHAKES,
  IDLE_CONNECTIONS,
  ROUTES_SUBJECT,
  OBSERVED,
];
const PROGRAMS = ["nginx", "wrk", "h2load", "curl", "taskset"];

const USAGE = `Usage: bench.ts [options]
  --runtime PATH   a Node or Deno that runs Centauri, or none; may be repeated (this one)
  --peers NAMES    of ${[...PEERS.keys()].join(",")}, or none: those that are installed
  --only WORDS     subjects, or words of their names (all):
                   ${
  SUBJECTS.map(({ name }) => name).join(" ").replace(/(.{50,60}) /g, `$1\n${" ".repeat(19)}`)
}
  --runs N         of each subject and proxy (3)
  --seconds N      a run (3)
  --json           every sample as JSON instead of the table
  --write-readme   the table into README.md too; not with --only
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", multiple: true, default: [process.execPath] },
      peers: { type: "string", default: [...PEERS.keys()].join() },
      only: { type: "string" },
      runs: { type: "string", default: "3" },
      seconds: { type: "string", default: "3" },
      json: { type: "boolean", default: false },
      "write-readme": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const write = values["write-readme"];
  if (write && values.only !== undefined) throw new Error("--write-readme is for all subjects");
  const subjects = chosenSubjects(values.only?.split(","));
  const missing = PROGRAMS.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(", ")}`);
  const kinds = [
    ...chosenPeers(values.peers),
    ...values.runtime.filter((path) => path !== "none"),
  ];
  const plan = { runs: positive(values.runs), seconds: positive(values.seconds) };
  const about = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} cores, ${cpus()[0]?.model}`,
    loadBefore: loadavg()[0] ?? NaN, // by others
    ...plan,
  };
  const results = await measureAll(subjects, kinds, plan);
  const names = kinds.map(nameOf);
  if (values.json) console.log(JSON.stringify({ ...about, results: results.map(plain) }));
  else console.log(table(results, names));
  if (write) writeReadme(results, names, about);
}

/** Those of whose names each given one is a part, or all. */
function chosenSubjects(words: readonly string[] | undefined): readonly Subject[] {
  if (words === undefined) return SUBJECTS;
  const fits = (word: string) => ({ name }: Subject) =>
    name === word || name.split("-").includes(word);
  const wrong = words.find((word) => !SUBJECTS.some(fits(word)));
  if (wrong !== undefined) throw new Error(`unknown: ${wrong}: see --help`);
  return SUBJECTS.filter((subject) => words.some((word) => fits(word)(subject)));
}

function chosenPeers(list: string): string[] {
  const names = list.split(",").filter((name) => name !== "none");
  const wrong = names.find((name) => !PEERS.has(name));
  if (wrong !== undefined) throw new Error(`unknown: ${wrong}: see --help`);
  return names.filter((name) => findProgram(name) !== undefined);
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`expected a positive integer: ${text}`);
  return Number(text);
}

async function measureAll(
  subjects: readonly Subject[],
  kinds: readonly string[],
  plan: Plan & { readonly runs: number },
): Promise<Result[]> {
  const bench = new Bench();
  const interrupted = (): void => void bench.close().then(() => process.exit(130));
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  const results: Result[] = [];
  try {
    for (const subject of subjects) {
      results.push(...await measure(subject, bench, kinds, plan));
      await bench.stop();
    }
  } finally {
    await bench.close();
  }
  return results;
}

/** All contenders once, then all of them again: what disturbs the machine disturbs them all. */
async function measure(
  { name, rows, mostRuns = Infinity, applies = () => true, begin }: Subject,
  bench: Bench,
  kinds: readonly string[],
  plan: Plan & { readonly runs: number },
): Promise<Result[]> {
  const runs = Math.min(plan.runs, mostRuns);
  const contenders = kinds.filter(applies).map((kind) => ({ kind, label: nameOf(kind) }));
  const results = rows.map((row) => ({
    ...{ subject: name, row },
    samples: new Map<string, Sample[]>(contenders.map(({ label }) => [label, []])),
  }));
  const fails = (error: Error) => () => Promise.reject(error);
  const once = await begin(bench, plan).catch(fails);
  for (let i = 0; i < runs; i++) {
    for (const { kind, label } of contenders) {
      const figures = await once(kind).catch((error: Error) => rows.map(() => error.message));
      results.forEach(({ samples }, j) => samples.get(label)?.push(figures[j] ?? "no figure"));
      const text = figures.map((one) => typeof one === "number" ? one.toPrecision(4) : one);
      process.stderr.write(`${name} ${i + 1}/${runs} ${label}: ${text.join(", ")}\n`);
    }
  }
  return results;
}

const plain = ({ subject, row, samples }: Result): object => ({
  ...{ subject, row: row.title },
  samples: Object.fromEntries(samples),
});

interface About {
  readonly date: string;
  readonly machine: string;
  readonly loadBefore: number;
  readonly runs: number;
  readonly seconds: number;
}

/** Replaces what is between the two marks. */
function writeReadme(results: readonly Result[], names: readonly string[], about: About): void {
  const path = join(root, "README.md");
  const readme = readFileSync(path, "utf8");
  const marks = /(<!-- bench -->\n)[^]*(<!-- \/bench -->)/;
  if (!marks.test(readme)) throw new Error("README.md has no marks for the table");
  const { date, machine, loadBefore, runs, seconds } = about;
  const where = `On ${date}, ${machine}, whose load was ${loadBefore.toFixed(1)} before`;
  const rows = table(results.filter(({ row }) => row.isDetail !== true), names);
  const text = `\n${where}; ${runs} runs of ${seconds} s, one of what takes long.\n\n${rows}\n`;
  writeFileSync(path, readme.replace(marks, (_all, start, end) => `${start}${text}${end}`));
}

await main().catch((error: Error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});
