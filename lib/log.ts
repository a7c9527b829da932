/**
 * The log: one line an event, as text (the form of Go's slog TextHandler), as JSON (its
 * JSONHandler's), or for eyes on a terminal. Where lines go is the caller's `write`.
 *
 * What is logged often comes from strangers: a name, a path, an upstream's error. So in every
 * format whatever Unicode calls unprintable is escaped as in JSON: line ends that would forge
 * events, sequences that would drive the terminal, bidi controls that would reorder what is read.
 */

/** Longest message or value in UTF-16 units, `…` standing for the rest: strangers choose some. */
const MAX_VALUE = 2048;

/** Links of a `cause` chain that are told; also what ends a chain that loops. */
const MAX_CAUSES = 8;

/** Controls, format characters (bidi, zero width), lone surrogates; and spaces, but for U+0020. */
const UNPRINTABLE = /[\p{C}\p{Z}]/gu;

/** What stands without quotes; slog's rule. */
const BARE = /^[^\p{C}\p{Z}"=]+$/u;

export type Level = "debug" | "info" | "warn" | "error";
const LEVELS: readonly Level[] = ["debug", "info", "warn", "error"]; // least severe first

/** Colours on a terminal (SGR): dim, green, yellow, red. */
const COLOURS: Readonly<Record<Level, number>> = { debug: 2, info: 32, warn: 33, error: 31 };

/** An Error is told as its message and its causes'; undefined is left out. */
export type Field = string | number | boolean | readonly string[] | Error | undefined;
export type Fields = Readonly<Record<string, Field>>;

/** Never throws. */
export type Logger = Readonly<Record<Level, (message: string, fields?: Fields) => void>>;

/**
 * `level`: the least severe that is written. `write` gets a whole line with its line feed; what it
 * throws is dropped (a stream's later "error" event, such as EPIPE, is for its owner to handle).
 * `terminal`: text for eyes, with colour; nothing to JSON. `now`: default the system's clock.
 */
export function createLogger(options: {
  level: Level;
  format: "text" | "json";
  write: (line: string) => void;
  now?: () => Date;
  terminal?: boolean;
}): Logger {
  const { format, write, now = () => new Date(), terminal = false } = options;
  const line = format === "json" ? jsonLine : terminal ? terminalLine : textLine;
  const at = (level: Level) => (message: string, fields: Fields = {}): void => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(options.level)) return;
    const given = Object.entries(fields).filter(([, value]) => value !== undefined);
    const pairs = given.map(([key, value]): Pair => [key, plain(value)]);
    try {
      write(line(now(), level, cut(message), pairs) + "\n");
    } catch {
      // Nobody reads the log any more: no reason to stop serving.
    }
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** In double quotes, escaped, cut at `max` UTF-16 units: text from outside in any message. */
export function quote(text: string, max: number = Infinity): string {
  return escape(JSON.stringify(cut(text, max)));
}

/** What the formats print; all of it within limits. */
type Plain = string | number | boolean | readonly string[];
type Pair = readonly [key: string, value: Plain];

function textLine(time: Date, level: Level, message: string, pairs: Pair[]): string {
  const head = `time=${time.toISOString()} level=${level.toUpperCase()} msg=${word(message)}`;
  return head + pairs.map(attribute).join("");
}

function jsonLine(time: Date, level: Level, msg: string, pairs: Pair[]): string {
  const head = { time: time.toISOString(), level: level.toUpperCase(), msg };
  // Member by member, for an object would put numeric keys first and lose __proto__.
  const members = [...Object.entries(head), ...pairs];
  return escape(`{${members.map((pair) => pair.map((part) => JSON.stringify(part)).join(":"))}}`);
}

/** Local time: whoever looks at a terminal compares it with their own clock. */
function terminalLine(time: Date, level: Level, message: string, pairs: Pair[]): string {
  const name = `\x1b[${COLOURS[level]}m${level.toUpperCase().padEnd(5)}\x1b[0m`;
  const tail = pairs.length === 0 ? "" : ` \x1b[2m${pairs.map(attribute).join("")}\x1b[0m`;
  return `${time.toTimeString().slice(0, 8)} ${name}  ${escape(message)}${tail}`;
}

/** ` key=value`; a list is `[a b]`, as Go prints it; what isn't bare is quoted. */
function attribute([key, value]: Pair): string {
  return ` ${word(key)}=${word(typeof value === "object" ? `[${value.join(" ")}]` : `${value}`)}`;
}

function word(text: string): string {
  return BARE.test(text) ? text : quote(text);
}

function plain(value: Field): Plain {
  if (typeof value === "number" || typeof value === "boolean") return value;
  if (value === undefined || typeof value === "string") return cut(value ?? "");
  if (value instanceof Error) return cut(errorText(value));
  const joined = value.join(" ");
  return joined.length > MAX_VALUE ? [cut(joined)] : value;
}

/** The message and its causes', outermost first. */
export function errorText(error: unknown, depth: number = 1): string {
  if (!(error instanceof Error)) return String(error);
  // Node's error for a host none of whose addresses answered has no message, only a list.
  const list: unknown[] = error instanceof AggregateError ? error.errors : [];
  const own = error.message || list.map(String).join(", ") || error.name;
  if (error.cause === undefined || depth === MAX_CAUSES) return own;
  const why = errorText(error.cause, depth + 1);
  return own.includes(why) ? own : `${own}: ${why}`;
}

function cut(text: string, max: number = MAX_VALUE): string {
  if (text.length <= max) return text;
  return text.slice(0, max).replace(/[\ud800-\udbff]$/, "") + "…"; // no half of a pair
}

/** `\n`, `\u001b`, `\u202e`, a pair for what lies beyond 16 bits; JSON, and a reader, undo them. */
export function escape(text: string): string {
  const number = (unit: string) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0");
  return text.replace(UNPRINTABLE, (char) => {
    const json = JSON.stringify(char).slice(1, -1);
    return json === char && char !== " " ? char.replace(/[^]/g, number) : json;
  });
}
