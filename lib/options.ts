/**
 * Options from one table: flags, environment variables, `--help` and the README's table. Pure;
 * needs log.ts (to quote), nearest.ts, number.ts, size.ts and time.ts.
 *
 * Arguments are read as Go's flag package reads them: `-x` and `--x`, `-x=v` and `-x v`; a boolean
 * never takes the next argument, a list takes all up to the next flag; `--` ends the flags; the
 * last of a repeated flag wins. A flag beats its variable, which beats the default. A variable that
 * is set but empty is the empty text, which no number, boolean, duration or size accepts. Refused:
 * arguments that aren't flags.
 */
import { quote } from "./log.ts";
import { nearest } from "./nearest.ts";
import { parseDecimal } from "./number.ts";
import { formatSize, parseSize } from "./size.ts";
import { formatDuration, parseDuration } from "./time.ts";

/** Characters of a refused value that its error shows. */
const MAX_QUOTED = 60;

/** What a line of `--help` takes of an option's text: 80 columns less an indent of 6. */
const HELP_LINE = /(.{1,74}|\S+)(?: +|$)/g;

/** What each kind expects, how it is read, and for numbers, which have a range, how it is told. */
const KINDS: Readonly<Record<Option["kind"], Kind>> = {
  string: { expected: "text", parse: (text) => text },
  list: { expected: "words", parse: (text) => text.split(/[ \t\r\n]+/).filter((w) => w !== "") },
  choice: { expected: "one of ", parse: parseChoice },
  boolean: { expected: "true or false", parse: parseBoolean },
  integer: { expected: "a whole number", parse: parseInteger, format: String },
  duration: { expected: "a duration like 1m30s", parse: parseDuration, format: formatDuration },
  size: { expected: "a size like 65536 or 64KiB", parse: parseSize, format: formatSize },
};

/** A row of the table. */
export interface Option {
  /** As a flag, without dashes: `http-port`, `log.level`. */
  readonly name: string;
  /** Its variable where that isn't the name in capitals, `LOG_LEVEL`; empty for none. */
  readonly variable?: string;
  /** Heading in `--help` and the README. */
  readonly group: string;
  /** A list's words are separated by spaces. */
  readonly kind: "string" | "integer" | "boolean" | "duration" | "size" | "choice" | "list";
  /** As a user would write it. */
  readonly default: string;
  /** A choice's values, as its accessor returns them; users write them in any letter case. */
  readonly choices?: readonly string[];
  /** Bounds, included, of an integer, a duration (ms) or a size (bytes); default 0 and 2^53 - 1. */
  readonly min?: number;
  readonly max?: number;
  /** What stands for the value in `--help`; default the choices or the kind. */
  readonly value?: string;
  readonly help: string;
}

/** Something given can't be used: the message is one line for whoever typed it. */
export class OptionError extends Error {}

/** By kind: durations in ms, sizes in bytes; a TypeError for a name that isn't in the table. */
export interface Options {
  string(name: string): string;
  integer(name: string): number;
  boolean(name: string): boolean;
  duration(name: string): number;
  size(name: string): number;
  choice(name: string): string;
  list(name: string): string[];
  /** Whether a flag or a variable gave it, be it the default's value. */
  isSet(name: string): boolean;
}

type Table = readonly Option[];
type Environment = Readonly<Record<string, string | undefined>>;
type Value = string | number | boolean | string[];
type Given = Map<string, Value>;
interface Kind {
  readonly expected: string;
  readonly parse: (text: string, option: Option) => Value | undefined;
  readonly format?: (value: number) => string;
}

/**
 * The rows of a text: a group's heading, or indented an option of it. Columns are two spaces or
 * more apart: name, kind with its choices, range or placeholder, default (`-` for none), meaning.
 * `prefix` begins each variable; commands and help have none. Throws TypeError on another line.
 */
export function optionTable(text: string, prefix: string = ""): Option[] {
  const options: Option[] = [];
  let group = "";
  for (const line of text.trim().split("\n")) {
    const [name, kinds, fallback, help] = line.trim().split(/ {2,}/);
    if (!line.startsWith(" ")) group = line;
    else if (help === undefined) throw new TypeError(`not an option: ${line}`);
    else {
      const [kind, detail] = kinds.split(" ") as [Option["kind"], string | undefined];
      const row = { name, group, kind, default: fallback === "-" ? "" : fallback, help };
      options.push({
        ...row,
        variable: ["Help", "Commands"].includes(group) ? "" : prefix + toVariable(name),
        ...details(kind, detail),
      });
    }
  }
  return options;
}

/** What the kind's second word says: choices, a range, or what stands for the value. */
function details(kind: Option["kind"], text: string | undefined): Partial<Option> {
  if (text === undefined) return {};
  if (kind === "choice") return { choices: text.split("|") };
  if (kind === "string" || kind === "list") return { value: text };
  const parse = kind === "duration" ? parseDuration : kind === "size" ? parseSize : parseInteger;
  const [min, max] = text.split("..").map((bound) => parse(bound));
  return { ...min === undefined ? {} : { min }, ...max === undefined ? {} : { max } };
}

/**
 * `argv` comes without the program's name. Throws OptionError for the first thing given that can't
 * be used, TypeError for a default that can't.
 */
export function parseOptions(table: Table, argv: readonly string[], env: Environment): Options {
  const options = new Map(table.map((option) => [option.name, option]));
  const given = readFlags(options, argv);
  const values = new Map<string, Value>();
  for (const option of table) {
    const variable = variableOf(option);
    // Each variable by its name, never all of them: Deno can be told to allow just these.
    const text = given.has(option.name) || variable === "" ? undefined : env[variable];
    if (text !== undefined) given.set(option.name, readValue(option, variable, text));
    const value = given.get(option.name) ?? convert(option, option.default);
    if (value === undefined) throw new TypeError(`the default of ${option.name} isn't valid`);
    values.set(option.name, value);
  }
  const get = <T extends Value>(kind?: Option["kind"]) => (name: string): T => {
    const option = options.get(name);
    if (option !== undefined && option.kind === (kind ?? option.kind)) return values.get(name) as T;
    throw new TypeError(`no ${kind ?? ""} option is named ${name}`);
  };
  return {
    string: get("string"),
    integer: get("integer"),
    boolean: get("boolean"),
    duration: get("duration"),
    size: get("size"),
    choice: get("choice"),
    list: get("list"),
    isSet: (name) => get()(name) !== undefined && given.has(name),
  };
}

/** Grouped, in the table's order, with defaults and variables; ends in a line feed. */
export function formatHelp(usage: string, table: Table): string {
  return `${usage}\n` + groups(table).map(([group, options]) => {
    const entries = options.map((option) => {
      const variable = variableOf(option);
      const notes = [`default ${option.default || "empty"}`, ...variable === "" ? [] : [variable]];
      const text = `${option.help} (${notes.join("; ")})`;
      return `  ${flagOf(option)}\n${text.replace(HELP_LINE, `${" ".repeat(6)}$1\n`)}`;
    });
    return `\n${group}\n${entries.join("")}`;
  }).join("");
}

/** The same as one table of GitHub's Markdown, a bold row before each group. */
export function formatMarkdown(table: Table): string {
  const code = (text: string) => text === "" ? "" : `\`${text}\``;
  const row = (cells: string[]) =>
    `|${cells.map((c) => ` ${c.replaceAll("|", "\\|")} `).join("|")}|\n`;
  const rows = groups(table).flatMap(([group, options]) => [
    row([`**${group}**`, "", "", ""]),
    ...options.map((option) => {
      const cells = [flagOf(option), variableOf(option), option.default].map(code);
      return row([...cells, option.help]);
    }),
  ]);
  return row(["Flag", "Variable", "Default", "Meaning"]) + "|---|---|---|---|\n" + rows.join("");
}

/** The options that `argv` gives, by name. `-h` is `--help` where the table has only that. */
function readFlags(options: ReadonlyMap<string, Option>, argv: readonly string[]): Given {
  const given: Given = new Map();
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument === "--" && i + 1 === argv.length) break;
    const [, name, inline] = /^--?([^-=][^=]*)(?:=([^]*))?$/.exec(argument) ?? [];
    if (name === undefined) {
      const text = quote(argument === "--" ? argv[i + 1]! : argument, MAX_QUOTED);
      throw new OptionError(`remove ${text}: expected options only, a boolean's value after a "="`);
    }
    const option = options.get(name) ?? (name === "h" ? options.get("help") : undefined);
    if (option === undefined) throw unknown(name, options);
    let text = inline ?? (option.kind === "boolean" ? "true" : argv[++i]);
    while (option.kind === "list" && inline === undefined && /^[^-]/.test(argv[i + 1] ?? "")) {
      text += ` ${argv[++i]}`;
    }
    const flag = `--${option.name}`;
    if (text === undefined) throw new OptionError(`give ${flag} a value: ${expected(option)}`);
    given.set(option.name, readValue(option, flag, text));
  }
  return given;
}

function unknown(name: string, options: ReadonlyMap<string, Option>): OptionError {
  const known = nearest(name, options.keys());
  const hint = known === undefined ? "expected one that --help lists" : `did you mean --${known}?`;
  return new OptionError(`unknown option ${quote(`--${name}`, MAX_QUOTED)}: ${hint}`);
}

/** `source`: the flag or variable that the text comes from. */
function readValue(option: Option, source: string, text: string): Value {
  const value = convert(option, text);
  if (value !== undefined) return value;
  const known = nearest(text, option.choices ?? []);
  const hint = known === undefined ? "" : `; did you mean ${known}?`;
  const shown = quote(text, MAX_QUOTED);
  // `certificate-store-type` is a certificate store, and a mode has values, as Go's errors have it.
  const words = option.name.replace(/-type$/, "").replace(/^.*-mode$/, "value for $&")
    .replace(/[-.]/g, " ");
  const problem = option.kind === "choice"
    ? `${source}: unknown ${words}: ${/^[\w.-]+$/.test(text) ? text : shown}`
    : `can't use ${source} ${shown}`;
  throw new OptionError(`${problem}: ${expected(option)}${hint}`);
}

/** Undefined when the text isn't of the option's kind, or out of its range. */
function convert(option: Option, text: string): Value | undefined {
  const value = KINDS[option.kind].parse(text, option);
  if (typeof value !== "number") return value;
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
  return value >= min && value <= max ? value : undefined;
}

function expected({ kind, choices = [], min = 0, max }: Option): string {
  const { expected, format } = KINDS[kind];
  if (format === undefined) return `expected ${expected}${choices.join(", ")}`;
  const range = max === undefined ? `${format(min)} or more` : `${format(min)} to ${format(max)}`;
  return `expected ${expected}, ${range}`;
}

function parseChoice(text: string, { choices = [] }: Option): string | undefined {
  return choices.find((choice) => choice.toLowerCase() === text.toLowerCase());
}

/** Go's strconv.ParseBool, but in any letter case. */
function parseBoolean(text: string): boolean | undefined {
  return /^(1|t|true)$/i.test(text) || (/^(0|f|false)$/i.test(text) ? false : undefined);
}

/** Digits, perhaps after a minus. No leading zero: to Go's flag package 010 is 8. */
function parseInteger(text: string): number | undefined {
  if (/^-?0\d/.test(text)) return undefined;
  const digits = parseDecimal(text.replace(/^-/, ""));
  return digits === undefined || !text.startsWith("-") ? digits : 0 - digits;
}

function variableOf({ name, variable }: Option): string {
  return variable ?? toVariable(name);
}

const toVariable = (name: string): string => name.toUpperCase().replace(/[-.]/g, "_");

/** `--frontend tcp|tailscale`; a boolean stands alone. */
function flagOf({ name, kind, choices, value }: Option): string {
  return kind === "boolean" ? `--${name}` : `--${name} ${value ?? choices?.join("|") ?? kind}`;
}

/** Groups in the order of their first rows, each with all of its rows. */
function groups(table: Table): (readonly [string, Table])[] {
  const names = new Set(table.map((option) => option.group));
  return [...names].map((name) => [name, table.filter((option) => option.group === name)] as const);
}
