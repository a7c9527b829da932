/**
 * What a container's labels ask for, by Go Dotege's rules: `com.chameth.vhost` (names, by spaces
 * and commas, the first one primary), `.proxy` (a port), `.proxytag`, `.headers*` (`Name: value`)
 * and `.auth` (groups of users; empty for any user). Pure; needs addr.ts, container.ts, log.ts (to
 * quote), number.ts and routes.ts (what a header may be called).
 *
 * Anybody who may start a container writes these, and they end up in the files of a proxy that
 * serves everybody. So what no proxy could use is left out here, each time with a problem in words:
 * names that aren't domain names, ports out of range, headers that break HTTP's grammar or frame
 * messages. Nothing throws. Quoting for a file's syntax is its template's.
 */
import { isDomainName, MAX_NAME, toDomainName } from "./addr.ts";
import { type Container, CONTROL } from "./container.ts";
import { quote } from "./log.ts";
import { parseDecimal } from "./number.ts";
import { CONNECTION_FIELDS, TOKEN } from "./routes.ts";

/** Names of one host: in Centauri's route file they share a line, which has a limit. */
export const MAX_NAMES = 250;
/** UTF-16 units of a header's name and value: beyond, a proxy refuses the whole file. */
const MAX_FIELD_NAME = 100;
const MAX_FIELD_VALUE = 8 * 1024;
const MAX_PORT = 65_535;
/** Of one host: together they are part of a file's name for nginx. */
const MAX_GROUPS = 32;
/** Characters of a label that a problem quotes. */
const MAX_QUOTED = 60;

export const PREFIX = "com.chameth.";
export const VHOST = `${PREFIX}vhost`;
const PROXY = `${PREFIX}proxy`;
export const PROXYTAG = `${PREFIX}proxytag`;
const HEADERS = `${PREFIX}headers`;
export const AUTH = `${PREFIX}auth`;

/** container.ts's words for a label of this key being dropped, or labels that it doesn't name. */
const DROPPED = /com\.chameth\.auth|^all labels|more were dropped$/;
/** A group of users: a word to HAProxy, part of a file's name for nginx. */
const GROUP = /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}$/;
export const GROUP_EXPECTED = "up to 64 letters, digits and _ . @ + -";

export interface Labels {
  /** As written, but for names in Unicode (A-labels) and a last dot; each once; may be empty. */
  readonly names: readonly string[];
  /** 1 to 65535, or -1. */
  readonly port: number;
  /** Where the port comes from; without one, what to do about it. */
  readonly portReason: string;
  /** By name as written; of two that differ in case only, the first label's. */
  readonly headers: ReadonlyMap<string, string>;
  /** Groups that may log in, empty for any user; undefined if nobody needs to. */
  readonly auth: readonly string[] | undefined;
  /** Whether the label for `auth` can't be used: then the container must not be served at all. */
  readonly authInvalid: boolean;
  /** What was left out and why: `label com.chameth.proxy "x": expected a port, 1 to 65535`. */
  readonly problems: readonly string[];
}

export function readLabels(container: Container): Labels {
  const problems = [...container.problems];
  const report = (label: string, value: string, expected: string): void => {
    problems.push(`label ${name(label)} ${quote(value, MAX_QUOTED)}: ${expected}`);
  };
  const { labels } = container;
  const { auth, authInvalid } = readAuth(container, report);
  return {
    names: readNames(labels.get(VHOST), report),
    ...readPort(labels.get(PROXY), container.ports, report),
    headers: readHeaders(labels, report),
    ...{ auth, authInvalid, problems },
  };
}

/** Takes what a label holds, and what was expected instead. */
type Report = (label: string, value: string, expected: string) => void;

/** By spaces and commas alone, as Go Dotege does; empty items don't count. */
export function splitList(text: string): string[] {
  return text.split(/[ ,]+/).filter((item) => item !== "");
}

/** Whether a group's name fits the files of all bundled templates. */
export function isGroup(text: string): boolean {
  return GROUP.test(text);
}

/** The key of a label as a message shows it: its end may be anything. */
function name(label: string): string {
  return /^[\w.-]+$/.test(label) ? label : quote(label, MAX_QUOTED);
}

function readNames(label: string | undefined, report: Report): string[] {
  if (label === undefined) return [];
  const names = new Map<string, string>(); // by the name in lower case
  const items = splitList(label);
  if (items.length === 0) report(VHOST, label, "expected names, like a.example");
  if (items.length > MAX_NAMES) report(VHOST, label, `expected at most ${MAX_NAMES} names`);
  for (const item of items.slice(0, MAX_NAMES)) {
    const spelled = spell(item);
    const key = spelled?.toLowerCase() ?? "";
    if (spelled === undefined) {
      report(VHOST, item, "expected a domain name, like a.example or *.a.example");
    } else if (names.has(key)) report(VHOST, item, "is there twice");
    else names.set(key, spelled);
  }
  return [...names.values()];
}

/** `*.` is allowed before a name, as certificates and all proxies have it. */
function spell(item: string): string | undefined {
  const wildcard = item.startsWith("*.") ? "*." : "";
  const rest = item.slice(wildcard.length);
  const domain = isDomainName(rest) ? rest : toDomainName(rest);
  const fits = domain !== undefined && wildcard.length + domain.length <= MAX_NAME;
  return fits ? wildcard + domain : undefined;
}

function readPort(
  label: string | undefined,
  exposed: readonly number[],
  report: Report,
): { port: number; portReason: string } {
  if (label !== undefined) {
    const port = parseDecimal(label, MAX_PORT);
    if (port) return { port, portReason: `label ${PROXY}` };
    report(PROXY, label, `expected a port, 1 to ${MAX_PORT}`);
    // A port that it exposes may be another service's: whoever wrote a label meant something else.
    return { port: -1, portReason: `its label ${PROXY} is no port: set it to one, 1 to 65535` };
  }
  const [port] = exposed;
  if (port === undefined) {
    return { port: -1, portReason: `it exposes no port that isn't published: set ${PROXY}` };
  }
  if (exposed.length === 1) return { port, portReason: "the only port that it exposes" };
  const list = `${exposed.slice(0, -1).join(", ")} and ${exposed.at(-1)}`;
  return { port: -1, portReason: `it exposes ${list}: set ${PROXY} to one of them` };
}

/** In the order of the labels' keys, so that of two for one header always the same one wins. */
function readHeaders(labels: ReadonlyMap<string, string>, report: Report): Map<string, string> {
  const headers = new Map<string, string>();
  const seen = new Set<string>();
  for (const key of [...labels.keys()].filter((each) => each.startsWith(HEADERS)).sort()) {
    const label = labels.get(key)!;
    const [field, value] = splitHeader(label);
    const lower = field.toLowerCase();
    const expected = value === undefined
      ? "expected Name: value, with a space between the two"
      : seen.has(lower)
      ? "another label sets this header"
      : refuseHeader(field, value);
    if (expected !== undefined) report(key, label, expected);
    else {
      headers.set(field, value!);
      seen.add(lower);
    }
  }
  return headers;
}

/** At the first space; the name loses its colons, so `Name value` is as good as `Name: value`. */
function splitHeader(label: string): [field: string, value: string | undefined] {
  const space = label.indexOf(" ");
  if (space < 0) return ["", undefined];
  let end = space;
  while (label[end - 1] === ":") end--; // /:+$/ takes time quadratic in the colons of ":::::x"
  return [label.slice(0, end).trim(), label.slice(space).trim()];
}

/** What should have been there instead; undefined for a header that every proxy can set. */
function refuseHeader(field: string, value: string): string | undefined {
  if (!TOKEN.test(field)) return "expected a header's name before the space (RFC 9110 5.6.2)";
  if (field.length > MAX_FIELD_NAME) return `expected a name of at most ${MAX_FIELD_NAME}`;
  if (CONNECTION_FIELDS.includes(field.toLowerCase())) {
    return "framing and connections are the proxy's, expected another header";
  }
  if (value === "") return "expected a value after the space";
  if (CONTROL.test(value)) return "expected a value without control characters";
  if (value.length > MAX_FIELD_VALUE) return `expected a value of at most ${MAX_FIELD_VALUE}`;
  return undefined;
}

/** What was dropped before it came here, or may have been, is invalid: everybody would get in. */
function readAuth(
  { labels, problems }: Container,
  report: Report,
): Pick<Labels, "auth" | "authInvalid"> {
  const label = labels.get(AUTH);
  if (label === undefined) {
    return { auth: undefined, authInvalid: problems.some((problem) => DROPPED.test(problem)) };
  }
  const groups = [...new Set(splitList(label))];
  const bad = groups.find((group) => !isGroup(group));
  const isLong = groups.length > MAX_GROUPS;
  if (isLong) report(AUTH, label, `expected at most ${MAX_GROUPS} groups`);
  else if (bad !== undefined) report(AUTH, bad, `expected a group's name: ${GROUP_EXPECTED}`);
  return { auth: groups, authInvalid: isLong || bad !== undefined };
}
