/**
 * One container, as the Docker Engine API's inspect tells it (1.24 to 1.52; Podman's alike),
 * checked. Pure; needs addr.ts, number.ts, log.ts (quote).
 *
 * What a container's maker chooses ends up in generated files and in logs. So text with control
 * characters, line separators or lone surrogates, or too long, is dropped here, and `problems` says
 * so: a line feed in a label can't become a line of a file. A name is what Docker lets be one.
 */
import { isIP } from "node:net";
import { spellAddress } from "./addr.ts";
import { quote } from "./log.ts";
import { parseDecimal } from "./number.ts";

const ENTRIES = 4_096; // labels, variables, ports, each: more are dropped
const NETWORKS = 256; // and aliases in each
const VALUE = 128 * 1024; // UTF-16 units; Linux has the same limit for a variable
const KEY = 1_024; // UTF-16 units of a label's key, a variable's or a network's name, an alias
const PROBLEMS = 20; // are told one by one
const SHOWN = 100; // UTF-16 units of a key in a problem

const ID = /^[0-9a-f]{64}$/;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;
/** RFC 3339, as Go writes it. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
/** C0, DEL and C1; line and paragraph separators; lone surrogates. */
export const CONTROL = /[\p{Cc}\u2028\u2029\p{Cs}]/u;
/** As inspect spells them; a container that crashes again and again is `restarting` in between. */
const RUNNING: readonly string[] = ["running", "paused", "restarting"];
const HEALTH: readonly string[] = ["starting", "healthy", "unhealthy"];

export interface Network {
  readonly name: string;
  /** IPv4 before IPv6, in their one spelling; none while it doesn't run, and on the host's. */
  readonly addresses: readonly string[];
  readonly aliases: readonly string[];
}

export interface Container {
  /** 64 hexadecimal digits. */
  readonly id: string;
  /** Without a slash; letters, digits, `_`, `.` and `-`; never empty. */
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  /** As whoever created it wrote it; "" when that can't be used. */
  readonly image: string;
  /** RFC 3339, or "". */
  readonly created: string;
  readonly env: ReadonlyMap<string, string>;
  /** "running", "paused", "restarting", "exited", "created", … */
  readonly state: string;
  /** "starting", "healthy", "unhealthy"; "" without a health check. */
  readonly health: string;
  /** Sorted by name. */
  readonly networks: readonly Network[];
  /** Exposed over TCP and not published, ascending. */
  readonly ports: readonly number[];
  /** What was dropped, in words; keys are escaped, values aren't told. */
  readonly problems: readonly string[];
}

/** The container can't be used at all; the message doesn't quote more than a name. */
export class ContainerError extends Error {
  override readonly name = "ContainerError";
}

/** Reads the JSON of `GET /containers/{id}/json`; throws ContainerError. */
export function readContainer(inspect: unknown): Container {
  const json = record(inspect);
  const [config, state] = [record(json.Config), record(json.State)];
  const { Id: id, Name: slashed } = json;
  if (typeof id !== "string" || !ID.test(id)) throw new ContainerError("it has no id");
  const name = typeof slashed === "string" ? slashed.replace(/^\//, "") : "";
  if (!NAME.test(name)) throw new ContainerError(`invalid name ${quote(name, SHOWN)}`);
  if (typeof state.Status !== "string") throw new ContainerError("it has no state");
  const problems = new Problems();
  return {
    id,
    name,
    labels: readLabels(config.Labels, problems),
    image: problems.text("image", "", config.Image, KEY) ?? "",
    created: typeof json.Created === "string" && TIME.test(json.Created) ? json.Created : "",
    env: readEnv(config.Env, problems),
    state: problems.text("state", "", state.Status, KEY) ?? "",
    health: HEALTH.find((each) => each === record(state.Health).Status) ?? "",
    networks: readNetworks(record(json.NetworkSettings).Networks, problems),
    ports: readPorts(json, problems),
    problems: problems.all(),
  };
}

/** Whether there is somebody to send requests to, or will be again in a moment. */
export function isRunning({ state }: Container): boolean {
  return RUNNING.includes(state);
}

function readLabels(json: unknown, problems: Problems): Map<string, string> {
  const labels = new Map<string, string>();
  for (const [key, value] of problems.first("labels", Object.entries(record(json)), ENTRIES)) {
    if (problems.text("label", key, key, KEY) === undefined) continue;
    const text = problems.text("label", key, value, VALUE);
    if (text !== undefined) labels.set(key, text);
  }
  return labels;
}

/** `NAME=value`; Docker itself refuses an empty name. */
function readEnv(json: unknown, problems: Problems): Map<string, string> {
  const env = new Map<string, string>();
  for (const entry of problems.first("variables", list(json), ENTRIES)) {
    if (typeof entry !== "string") continue;
    const equals = entry.indexOf("=");
    const key = equals < 0 ? entry : entry.slice(0, equals);
    if (problems.text("variable", key, key, KEY) === undefined) continue;
    const value = equals < 0 ? "" : entry.slice(equals + 1);
    const text = problems.text("variable", key, value, VALUE);
    if (text !== undefined) env.set(key, text);
  }
  return env;
}

function readNetworks(json: unknown, problems: Problems): Network[] {
  const networks: Network[] = [];
  for (const [name, value] of problems.first("networks", Object.entries(record(json)), NETWORKS)) {
    if (problems.text("network", name, name, KEY) === undefined) continue;
    const { IPAddress, GlobalIPv6Address, Aliases } = record(value);
    const addresses = [IPAddress, GlobalIPv6Address]
      .filter((address) => typeof address === "string" && isIP(address) !== 0) as string[];
    const aliases = problems.first("aliases", list(Aliases), NETWORKS)
      .map((alias) => problems.text("alias in network", name, alias, KEY))
      .filter((alias) => alias !== undefined);
    networks.push({ name, addresses: addresses.map(spellAddress), aliases: [...new Set(aliases)] });
  }
  return networks.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * What the image and the container expose, without what the host listens for: a published port is
 * for those outside. PortBindings tells of it also while the container doesn't run.
 */
function readPorts(json: Json, problems: Problems): number[] {
  const bindings = [record(json.NetworkSettings).Ports, record(json.HostConfig).PortBindings];
  const [bound = {}, asked = {}] = bindings.map(record);
  const exposed = record(record(json.Config).ExposedPorts);
  const all = [...new Set([...Object.keys(exposed), ...Object.keys(bound)])];
  const ports = new Set<number>();
  const published = new Set<number>();
  for (const key of problems.first("ports", all, ENTRIES)) {
    const [, digits = "", protocol = "tcp"] = /^([^/]*)(?:\/(\w+))?$/.exec(key) ?? [];
    if (protocol !== "tcp") continue;
    const port = parseDecimal(digits, 65_535) ?? 0;
    if (port === 0) problems.drop("port", key, "is no number from 1 to 65535");
    else if (list(bound[key]).length + list(asked[key]).length > 0) published.add(port);
    else ports.add(port);
  }
  return [...ports].filter((port) => !published.has(port)).sort((a, b) => a - b);
}

type Json = Readonly<Record<string, unknown>>;

/** An object with no keys for anything else; own keys are to be read only, or by fixed names. */
function record(json: unknown): Json {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? json as Json : {};
}

function list(json: unknown): readonly unknown[] {
  return Array.isArray(json) ? json : [];
}

/** Collects what is dropped; however much it is, few lines. */
class Problems {
  readonly #told: string[] = [];
  #more = 0;

  drop(what: string, key: string, why: string): void {
    const which = key === "" ? what : `${what} ${quote(key, SHOWN)}`;
    if (this.#told.length < PROBLEMS) this.#told.push(`${which} ${why}: dropped`);
    else this.#more++;
  }

  /** The value if it is text that is fit for a line of a file. */
  text(what: string, key: string, value: unknown, max: number): string | undefined {
    if (typeof value !== "string") this.drop(what, key, "is no text");
    else if (value.length > max) this.drop(what, key, `is over ${max} characters long`);
    else if (CONTROL.test(value)) this.drop(what, key, "has control characters");
    else return value;
    return undefined;
  }

  first<T>(what: string, all: readonly T[], max: number): readonly T[] {
    if (all.length > max) this.drop(`all ${what}`, "", `after the first ${max} of ${all.length}`);
    return all.slice(0, max);
  }

  all(): readonly string[] {
    return this.#more === 0 ? this.#told : [...this.#told, `${this.#more} more were dropped`];
  }
}
