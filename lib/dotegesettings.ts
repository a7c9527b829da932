/**
 * Dotege's options, the one table that flags, variables, `--help` and the README come from, and
 * what they mean together. Names and defaults are those of Dotege 1.3 and 2.3 where these have
 * them. Needs addr.ts, certsettings.ts, dockerhost.ts, log.ts, notify.ts, number.ts, options.ts,
 * outputs.ts, users.ts.
 */
import process from "node:process";
import { splitHostPort } from "./addr.ts";
import { CERTIFICATE_OPTIONS, type CertSettings, certSettings } from "./certsettings.ts";
import { parseDockerHost } from "./dockerhost.ts";
import { errorText, quote } from "./log.ts";
import { parseSignal, parseTargets, processSignal, type Target } from "./notify.ts";
import { parseMode } from "./number.ts";
import { type Option, OptionError, type Options, optionTable } from "./options.ts";
import { type Output, parseTemplates } from "./outputs.ts";
import type { User } from "./users.ts";

export const DOTEGE_OPTIONS: readonly Option[] = [
  ...optionTable(
    `
Templates
  template-source       string file       ./templates/haproxy.cfg.tpl  In Go's template language.
  template-destination  string file       /data/output/haproxy.cfg  What it is evaluated into.
  templates             string pairs      -              More: source:destination,source:…
  output-mode           string octal      -              Of written files; else it stays as it is.
  output-uid            integer -1..4294967294  -1       Their owner; -1: it stays.
  output-gid            integer -1..4294967294  -1       Their group; -1: it stays.
  check-command         string command    -              Has to accept a new file first.
Containers
  proxytag              string tag        -              Only those with this tag; else without.
  poll                  duration 0s..24h  0s             Ask so often; 0: listen to events.
  resync                duration 1s..24h  10m            Read all again so often.
  debounce              duration 0s..1m   100ms          Wait until nothing has changed for so long,
  debounce-max          duration 0s..10m  2s             and no longer than this.
  users                 string list       -              Who may log in, as JSON or YAML.
Telling
  signal-container      string names      -              To signal: names, label=key[=value].
  signal-type           string signal     HUP            The signal.
  restart-container     string names      -              To restart: names, label=key[=value].
  signal-pid-file       string file       -              Of a process to signal.
  notify-command        string command    -              Runs with the new files' paths.
  push-listen           string host:port  -              Where Centauris fetch their routes.
  push-destination      string file       -              Which file they get; else the only one.
`,
    "DOTEGE_",
  ),
  ...CERTIFICATE_OPTIONS,
  ...optionTable(
    `
Commands
  once                  boolean           false          Render once; exit with 0 if all is well.
  stdout                boolean           false          Print what would be written, and exit.
  diff                  boolean           false          Print what would change, and exit.
  explain               boolean           false          Say which container has which route.
Log
  debug                 string topics     -              Log all containers, hostnames, headers.
  log.level             choice debug|info|warn|error  info  The least that is written.
  log.format            choice text|json  text           One line an event, to standard error.
Help
  help                  boolean           false          Print this and exit.
`,
    "DOTEGE_",
  ),
];

const TOPICS = ["containers", "headers", "hostnames"];
const COMMANDS = ["once", "stdout", "diff", "explain"] as const;

/** What is done instead of watching. */
export type Command = (typeof COMMANDS)[number];

export interface DotegeSettings {
  readonly command: Command | undefined;
  readonly outputs: readonly Output[];
  /** Of written files; what is undefined stays. */
  readonly mode: number | undefined;
  readonly owner: { readonly uid?: number; readonly gid?: number } | undefined;
  readonly users: readonly User[];
  readonly signalled: readonly Target[];
  readonly restarted: readonly Target[];
  readonly signalName: string;
  /** Where Centauris connect, and the destination that they get. */
  readonly push:
    | { readonly host: string; readonly port: number; readonly destination: string }
    | undefined;
  /** Undefined: none are obtained. */
  readonly certificates: CertSettings | undefined;
  readonly topics: readonly string[];
}

/** Rejects with OptionError for the first thing that can't be used. */
export async function dotegeSettings(options: Options): Promise<DotegeSettings> {
  const text = (name: string) => options.string(name);
  attempt("", () => parseDockerHost(process.env)); // whose errors name the variable
  const outputs = attempt("--templates", () => readOutputs(options));
  // Old set-ups may have it empty; Go Dotege has the engine choose then, which kills.
  const signalName = attempt("--signal-type", () => parseSignal(text("signal-type") || "HUP"));
  if (text("signal-pid-file") !== "") attempt("--signal-type", () => processSignal(signalName));
  const [uid, gid] = [options.integer("output-uid"), options.integer("output-gid")];
  const owner = { ...uid < 0 ? {} : { uid }, ...gid < 0 ? {} : { gid } };
  return {
    command: readCommand(options),
    outputs,
    mode: readMode(text("output-mode")),
    owner: uid < 0 && gid < 0 ? undefined : owner,
    users: await readUsers(text("users")),
    signalled: attempt("--signal-container", () => parseTargets(text("signal-container"))),
    restarted: attempt("--restart-container", () => parseTargets(text("restart-container"))),
    signalName,
    push: readPush(text("push-listen"), text("push-destination"), outputs),
    certificates: certSettings(options),
    topics: readTopics(text("debug")),
  };
}

/** An error of others, after the option that it is about, unless its words name that. */
function attempt<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof OptionError) throw error;
    throw new OptionError(`${what === "" ? "" : `can't use ${what}: `}${errorText(error)}`);
  }
}

/** Loaded only where there are some: few set-ups have a YAML reader's use. */
async function readUsers(text: string): Promise<readonly User[]> {
  if (text === "") return [];
  const { parseUsers } = await import("./users.ts");
  return attempt("--users", () => parseUsers(text));
}

/** With `templates` alone the default of the other two doesn't count. */
function readOutputs(options: Options): readonly Output[] {
  const single = {
    template: options.string("template-source"),
    destination: options.string("template-destination"),
  };
  const more = options.string("templates");
  const isGiven = options.isSet("template-source") || options.isSet("template-destination");
  return parseTemplates(more, more.trim() === "" || isGiven ? [single] : []);
}

function readCommand(options: Options): Command | undefined {
  const given = COMMANDS.filter((name) => options.boolean(name));
  const [first, second] = given.filter((name) => name !== "once"); // the others are so anyway
  if (second !== undefined) throw new OptionError(`can't do --${first} and --${second} at once`);
  return first ?? given[0];
}

function readMode(text: string): number | undefined {
  const mode = parseMode(text);
  if (mode !== undefined || text === "") return mode;
  const expected = "expected an octal number, 0 to 0777";
  throw new OptionError(`can't use --output-mode ${quote(text, 60)}: ${expected}`);
}

function readPush(
  listen: string,
  wanted: string,
  outputs: readonly Output[],
): DotegeSettings["push"] {
  if (listen === "") return undefined;
  const isAny = listen.endsWith(":0"); // the system's choice, which the log tells
  const { host, port } = splitHostPort(isAny ? `${listen.slice(0, -2)}:1` : listen) ?? {};
  if (host === undefined || port === undefined) {
    throw new OptionError(`can't use --push-listen ${quote(listen, 60)}: expected host:port`);
  }
  const known = outputs.map(({ destination }) => destination);
  const destination = wanted === "" && known.length === 1 ? known[0] : wanted;
  if (destination !== undefined && known.includes(destination)) {
    return { host, port: isAny ? 0 : port, destination };
  }
  const expected = `expected one of ${known.map((one) => quote(one, 200)).join(", ")}`;
  throw new OptionError(`can't use --push-destination ${quote(wanted, 60)}: ${expected}`);
}

function readTopics(text: string): string[] {
  const topics = text.toLowerCase().split(/[\s,]+/).filter((word) => word !== "");
  const unknown = topics.find((topic) => !TOPICS.includes(topic));
  if (unknown === undefined) return topics;
  throw new OptionError(`can't use --debug ${quote(unknown, 60)}: expected ${TOPICS.join(", ")}`);
}
