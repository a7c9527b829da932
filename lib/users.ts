/**
 * Who may log in at hosts that ask for it (`com.chameth.auth`): DOTEGE_USERS, a list of maps in
 * YAML or JSON. Pure; needs labels.ts (what a group may be called), nearest.ts, yaml.ts.
 *
 *     - name: alice
 *       password: $6$…       # as crypt(3) makes it: the HAProxy template passes it on as it is
 *       groups: [staff]      # or none
 *
 * Stricter than Go Dotege, for a mistake here locks somebody out or lets somebody in: unknown and
 * missing keys, a name twice, an empty password and what HAProxy's user list can't hold are errors.
 * Messages have a line and a column and never quote what is there.
 */
import { GROUP_EXPECTED, isGroup } from "./labels.ts";
import { nearest } from "./nearest.ts";
import { parseYaml, position, YamlError, type YamlNode } from "./yaml.ts";

/** UTF-16 units. */
const MAX_LENGTH = 1024;

const KEYS = ["name", "password", "groups"];
/** Also a colon: it ends the name in what a browser sends (RFC 7617 2). */
const NOT_IN_NAMES = /[\p{Cc}\p{Cs}\u2028\u2029:]/u;
const NOT_IN_PASSWORDS = /[\p{Cc}\p{Cs}\u2028\u2029]/u;

export interface User {
  readonly name: string;
  /** A hash, as crypt(3) makes it. */
  readonly password: string;
  readonly groups: readonly string[];
}

/** `line` and `column` from 1; the message has them too, and nothing of what is written there. */
export class UsersError extends Error {
  readonly line: number;
  readonly column: number;

  constructor({ line, column }: { line: number; column: number }, message: string) {
    super(`line ${line}, column ${column}: ${message}`);
    this.line = line;
    this.column = column;
  }
}

/** An empty text is no users. Throws UsersError. */
export function parseUsers(given: string): User[] {
  const text = given.replace(/^\ufeff/, ""); // some editors write a BOM
  try {
    const node = parseYaml(text);
    return node === undefined || isNull(node) ? [] : readUsers(node);
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw new UsersError(position(text, error.at), error.message);
  }
}

function readUsers(node: YamlNode): User[] {
  if (node.kind !== "list") throw new YamlError(node.at, "expected a list of users");
  const names = new Set<string>();
  return node.items.map((item) => {
    const user = readUser(item);
    if (names.has(user.name)) throw new YamlError(item.at, "expected each user's name once");
    names.add(user.name);
    return user;
  });
}

function readUser(node: YamlNode): User {
  if (node.kind !== "map") throw new YamlError(node.at, "expected a user: name, password, groups");
  for (const [key, { at }] of node.entries) {
    if (KEYS.includes(key)) continue;
    const known = nearest(key, KEYS);
    const expected = known === undefined ? `one of ${KEYS.join(", ")}` : `${known}, was it meant?`;
    throw new YamlError(at, `unknown key: expected ${expected}`);
  }
  const read = (key: string, refused: RegExp, expected: string): string => {
    const value = node.entries.get(key)?.value;
    if (value === undefined) throw new YamlError(node.at, `expected a ${key} for this user`);
    return readText(value, refused, `expected a ${key} ${expected}`);
  };
  return {
    name: read("name", NOT_IN_NAMES, "without a colon and control characters"),
    password: read("password", NOT_IN_PASSWORDS, "without control characters"),
    groups: readGroups(node.entries.get("groups")?.value),
  };
}

function readText(node: YamlNode, refused: RegExp, expected: string): string {
  const fits = node.kind === "text" && !isNull(node) && node.text !== "" &&
    node.text.length <= MAX_LENGTH && !refused.test(node.text);
  if (!fits) throw new YamlError(node.at, `${expected}, 1 to ${MAX_LENGTH} long`);
  return node.text;
}

/** Each once, in the order given. */
function readGroups(node: YamlNode | undefined): string[] {
  if (node === undefined || isNull(node)) return [];
  if (node.kind !== "list") throw new YamlError(node.at, "expected a list of groups, like [staff]");
  const groups = node.items.map((item) => {
    if (item.kind === "text" && isGroup(item.text)) return item.text;
    throw new YamlError(item.at, `expected a group's name: ${GROUP_EXPECTED}`);
  });
  return [...new Set(groups)];
}

function isNull(node: YamlNode): boolean {
  return node.kind === "text" && node.isNull;
}
