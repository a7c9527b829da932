/** What flags and variables give by the table below: one option's value, or the error. */
import type { Option } from "../../lib/options.ts";

export interface Vector {
  readonly name: string;
  readonly why: string;
  readonly input: {
    readonly argv?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  };
  /** An option's value, or an OptionError's whole message. */
  readonly expect:
    | { readonly option: string; readonly value: unknown }
    | { readonly error: string };
}

const row = { group: "A", help: "Helps." } as const;

export const table: readonly Option[] = [
  { ...row, name: "config", kind: "string", default: "app.conf", value: "file" },
  { ...row, name: "http-port", kind: "integer", default: "8080", max: 65535 },
  { ...row, name: "uid", kind: "integer", default: "-1", min: -1 },
  { ...row, name: "workers", kind: "integer", default: "1", min: 1 },
  { ...row, name: "validate", kind: "boolean", default: "false", group: "B" },
  { ...row, name: "idle", kind: "duration", default: "3m", min: 1_000, max: 3_600_000 },
  { ...row, name: "max-head", kind: "size", default: "64KiB", max: 1_048_576 },
  { ...row, name: "log.format", kind: "choice", default: "text", choices: ["text", "JSON"] },
  { ...row, name: "providers", kind: "list", default: "lego selfsigned" },
  { ...row, name: "docker", kind: "string", default: "", variable: "DOCKER_HOST" },
  { ...row, name: "help", kind: "boolean", default: "false", variable: "", group: "C" },
];

type Env = Readonly<Record<string, string>>;

function value(
  input: string | Env,
  option: string,
  value: unknown,
  why: string,
): Vector {
  return { name: JSON.stringify(input), why, input: given(input), expect: { option, value } };
}

function error(input: string | Env, message: string, why: string): Vector {
  return { name: JSON.stringify(input), why, input: given(input), expect: { error: message } };
}

/** Arguments without spaces in them may be written as one text; `·` stands for a space. */
function given(input: string | Env): Vector["input"] {
  if (typeof input !== "string") return { env: input };
  const argv = input === "" ? [] : input.split(" ").map((text) => text.replaceAll("·", " "));
  return { argv };
}

const PORT = "expected a whole number, 0 to 65535";
const IDLE = "expected a duration like 1m30s, 1s to 1h";
const SIZE = "expected a size like 65536 or 64KiB, 0 to 1MiB";
const FORMAT = "expected one of text, JSON";
const BOOLEAN = "expected true or false";
const ONLY = 'expected options only, a boolean\'s value after a "="';
const LISTED = "expected one that --help lists";

export const values: readonly Vector[] = [
  value("", "config", "app.conf", "the default"),
  value("", "idle", 180_000, "a default is read like a value"),
  value("", "max-head", 65_536, "in bytes"),
  value("", "providers", ["lego", "selfsigned"], "in words"),
  value("-config a", "config", "a", "one dash"),
  value("--config a", "config", "a", "two dashes"),
  value("-config=a", "config", "a", "one dash and ="),
  value("--config=a=b", "config", "a=b", "only the first = separates"),
  value("--config=", "config", "", "the empty text"),
  value("--config=a\nb", "config", "a\nb", "a value is any text"),
  value("--config --validate", "config", "--validate", "a value may look like a flag, as in Go"),
  value("--config -", "config", "-", "a lone dash is a value here"),
  value("--config a --config b", "config", "b", "the last one wins"),
  value("--config a --", "config", "a", "-- ends the flags"),
  value("--http-port 0", "http-port", 0, "the smallest"),
  value("--http-port=65535", "http-port", 65535, "the largest"),
  value("--uid -1", "uid", -1, "a minus where the range has it"),
  value("--uid=-0", "uid", 0, "and no negative zero"),
  value("-validate", "validate", true, "a boolean stands alone"),
  value("-validate=false", "validate", false, "or has a value after ="),
  value("-validate=T", "validate", true, "Go's ParseBool"),
  value("-validate=0", "validate", false, "Go's ParseBool"),
  value("-validate --config a", "config", "a", "a boolean leaves the next argument alone"),
  value("-h", "help", true, "as in Go, without being in the table"),
  value("--idle 1m30s", "idle", 90_000, "in milliseconds"),
  value("--max-head 1MiB", "max-head", 1_048_576, "in bytes"),
  value("--log.format json", "log.format", "JSON", "any case gives the table's spelling"),
  value("--log.format TEXT", "log.format", "text", "any case gives the table's spelling"),
  value("--providers ··a·\t·b··", "providers", ["a", "b"], "any run of space separates"),
  value("--providers=", "providers", [], "the empty list"),
  value({ CONFIG: "a" }, "config", "a", "a variable"),
  value({ CONFIG: "" }, "config", "", "set but empty is the empty text"),
  value({ HTTP_PORT: "1" }, "http-port", 1, "a dash is an underscore"),
  value({ LOG_FORMAT: "JSON" }, "log.format", "JSON", "so is a dot"),
  value({ VALIDATE: "TRUE" }, "validate", true, "Go's ParseBool"),
  value({ DOCKER_HOST: "x" }, "docker", "x", "a variable with its own name"),
  value({ DOCKER: "x" }, "docker", "", "has no other"),
  value({ HELP: "me", "": "true" }, "help", false, "no variable is this option's"),
  {
    name: "flag and variable",
    why: "arguments beat the environment",
    input: { argv: ["--config", "a"], env: { CONFIG: "b" } },
    expect: { option: "config", value: "a" },
  },
  {
    name: "flag and bad variable",
    why: "what is beaten isn't read",
    input: { argv: ["--http-port", "1"], env: { HTTP_PORT: "x" } },
    expect: { option: "http-port", value: 1 },
  },
];

export const errors: readonly Vector[] = [
  error("--http-port 65536", `can't use --http-port "65536": ${PORT}`, "out of range"),
  error("--http-port=-1", `can't use --http-port "-1": ${PORT}`, "out of range"),
  error("--http-port 0x50", `can't use --http-port "0x50": ${PORT}`, "digits only"),
  error("--http-port 010", `can't use --http-port "010": ${PORT}`, "that is 8 to Go"),
  error("--http-port=", `can't use --http-port "": ${PORT}`, "empty is no number"),
  error("--uid=--1", `can't use --uid "--1": expected a whole number, -1 or more`, "one sign"),
  error("--uid=-", `can't use --uid "-": expected a whole number, -1 or more`, "no digit"),
  error("--workers 0", `can't use --workers "0": expected a whole number, 1 or more`, "minimum"),
  error("--idle 10", `can't use --idle "10": ${IDLE}`, "10 of what?"),
  error("--idle 500ms", `can't use --idle "500ms": ${IDLE}`, "out of range"),
  error("--max-head 2MiB", `can't use --max-head "2MiB": ${SIZE}`, "out of range"),
  error("--validate=yes", `can't use --validate "yes": ${BOOLEAN}`, "not in Go's set"),
  error("--log.format xml", `--log.format: unknown log format: xml: ${FORMAT}`, "unknown choice"),
  error(
    "--log.format jsno",
    `--log.format: unknown log format: jsno: ${FORMAT}; did you mean JSON?`,
    "a near choice is named",
  ),
  error({ HTTP_PORT: "x" }, `can't use HTTP_PORT "x": ${PORT}`, "the variable is named"),
  error({ HTTP_PORT: "" }, `can't use HTTP_PORT "": ${PORT}`, "empty is no number, as in Go"),
  error({ VALIDATE: "" }, `can't use VALIDATE "": ${BOOLEAN}`, "empty is no boolean, as in Go"),
  error({ IDLE: "" }, `can't use IDLE "": ${IDLE}`, "empty is no duration, as in Go"),
  error({ MAX_HEAD: "" }, `can't use MAX_HEAD "": ${SIZE}`, "empty is no size"),
  error({ LOG_FORMAT: "" }, `LOG_FORMAT: unknown log format: "": ${FORMAT}`, "empty is no choice"),
  error(
    `--http-port=\x1b[2J${"9".repeat(100)}`,
    `can't use --http-port "\\u001b[2J${"9".repeat(56)}…": ${PORT}`,
    "a value is escaped and cut before anybody sees it",
  ),
  error("--config", `give --config a value: expected text`, "the value is missing"),
  error("--http-port", `give --http-port a value: ${PORT}`, "the value is missing"),
  error("--nothing", `unknown option "--nothing": ${LISTED}`, "not in the table"),
  error("--htp-port 1", `unknown option "--htp-port": did you mean --http-port?`, "a near name"),
  error(
    "-HTTP-PORT 1",
    `unknown option "--HTTP-PORT": did you mean --http-port?`,
    "names have case",
  ),
  error("--toString", `unknown option "--toString": ${LISTED}`, "no prototype is asked"),
  error("--__proto__=1", `unknown option "--__proto__": ${LISTED}`, "no prototype is asked"),
  error(
    `--${"x".repeat(100)}`,
    `unknown option "--${"x".repeat(58)}…": ${LISTED}`,
    "a name is cut, too",
  ),
  error("start", `remove "start": ${ONLY}`, "no argument is without a dash"),
  error("--validate true", `remove "true": ${ONLY}`, "a boolean takes no next argument"),
  error("--validate -- a", `remove "a": ${ONLY}`, "nothing comes after --"),
  error("-", `remove "-": ${ONLY}`, "no name"),
  error("---config a", `remove "---config": ${ONLY}`, "two dashes at most, as in Go"),
  error("--=a", `remove "--=a": ${ONLY}`, "no name"),
  error("-- --", `remove "--": ${ONLY}`, "nothing comes after --"),
];
