/** DOTEGE_USERS: what is read, and where what can't be read is wrong. */

interface Row<Expect> {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  readonly expect: Expect;
}

const row = <Expect>(name: string, input: string, expect: Expect, why: string): Row<Expect> => {
  return { name, why, input, expect };
};

const alice = ["alice", "x$y", "a", "b"];
const bob = ["bob", "s3cr3t"];

/** Each user: name, password, groups. */
export const valid: readonly Row<readonly (readonly string[])[]>[] = [
  row("nothing", "", [], "an unset variable"),
  row("blank", " \n# nobody yet\n", [], "comments only"),
  row("empty list", "[]", [], "nobody"),
  row("null", "null", [], "nobody, to Go too"),
  row(
    "block",
    "- name: alice\n  password: 'x$y'\n  groups: [a, b]\n- name: bob\n  password: s3cr3t\n",
    [alice, bob],
    "the documented shape",
  ),
  row(
    "block list of groups",
    "- name: alice\n  groups:\n    - a\n    - b\n  password: x$y",
    [alice],
    "keys in any order",
  ),
  row(
    "block list as far left as its key",
    "- name: alice\n  groups:\n  - a\n  - b\n  password: x$y",
    [alice],
    "YAML 1.2 8.2.1 lets it",
  ),
  row("dash alone", "-\n  name: bob\n  password: s3cr3t", [bob], "the map on the next line"),
  row("indented", "  - name: bob\n    password: s3cr3t\n", [bob], "as a whole"),
  row("wide dash", "-   name: bob\n    password: s3cr3t\n", [bob], "the keys' column counts"),
  row("flow", "[{name: alice, password: x$y, groups: [a, b]}]", [alice], "in one line"),
  row("flow maps", "- {name: bob, password: s3cr3t}\n", [bob], "in a block list"),
  row(
    "flow over lines",
    "[\n  {name: alice, password: 'x$y',\n   groups: [a,\n b,],},\n  # him too\n" +
      '  {name: bob, password: "s3cr3t"}\n]\n',
    [alice, bob],
    "commas at the end are allowed",
  ),
  row(
    "JSON",
    '[{"name":"alice","password":"x$y","groups":["a","b"]},{"name":"bob","password":"s3cr3t"}]',
    [alice, bob],
    "is YAML",
  ),
  row(
    "JSON, indented",
    JSON.stringify([{ name: "bob", password: "s3cr3t", groups: null }], null, "\t"),
    [bob],
    "tabs may stand inside brackets",
  ),
  row(
    "comments",
    "# users\n- name: bob # him\n  # a hash\n  password: s3cr3t   # secret\n  groups: [] # none\n",
    [bob],
    "after a blank",
  ),
  row("a mark in text", "- name: a#b\n  password: '#c'", [["a#b", "#c"]], "no comment"),
  row(
    "single quotes",
    "- name: 'it''s'\n  password: '\"\\n'",
    [["it's", '"\\n']],
    "only '' is special",
  ),
  row(
    "double quotes",
    '- name: "\\"\\x41\\u00e9\\U0001F600\\ud83d\\ude00\\/"\n  password: "\\\\"',
    [['"Aé😀😀/', "\\"]],
    "escapes of YAML and JSON",
  ),
  row(
    "quoted keys",
    "- 'name': bob\n  \"password\": s3cr3t",
    [bob],
    "are keys",
  ),
  row(
    "plain text with signs",
    "- name: a-b:c?d".replace(":c", "") + "\n  password: $6$ro:unds=5,{x}[y]*&!|>%@`'\"",
    [["a-b?d", "$6$ro:unds=5,{x}[y]*&!|>%@`'\""]],
    "inside they mean nothing",
  ),
  row("numbers", "- name: 007\n  password: 1e3", [["007", "1e3"]], "stay as written"),
  row("booleans", "- name: yes\n  password: true", [["yes", "true"]], "are text"),
  row("no groups", "- name: bob\n  password: s3cr3t\n  groups:\n", [bob], "null is none"),
  row(
    "groups twice",
    "[{name: x, password: y, groups: [a, b, a]}]",
    [["x", "y", "a", "b"]],
    "once",
  ),
  row("Windows", "- name: bob\r\n  password: s3cr3t\r\n", [bob], "line ends of two"),
  row("BOM", "\ufeff- name: bob\n  password: s3cr3t", [bob], "some editors write it"),
  row("document", "---\n- name: bob\n  password: s3cr3t\n", [bob], "the mark of a start"),
  row("__proto__", "[{name: __proto__, password: x}]", [["__proto__", "x"]], "a name like others"),
];

/** Line and column, and what the message says. */
export const invalid: readonly Row<readonly [line: number, column: number, message: string]>[] = [
  row("a word", "alice", [1, 1, "expected a list of users"], "no list"),
  row("a map", "name: alice\npassword: x", [1, 1, "expected a list of users"], "one user, no list"),
  row("words", "- alice", [1, 3, "expected a user: name, password, groups"], "no map"),
  row("null user", "- ~", [1, 3, "expected a user"], "nobody"),
  row("no name", "- password: x", [1, 3, "expected a name for this user"], "missing"),
  row("no password", "- name: x", [1, 3, "expected a password for this user"], "missing"),
  row("empty name", "- name: ''\n  password: x", [1, 9, "expected a name"], "nobody's"),
  row("null password", "- name: x\n  password:\n", [2, 11, "expected a password"], "null"),
  row("null password, plain", "- name: x\n  password: null", [2, 13, "expected a pass"], "null"),
  row("empty password", "- name: x\n  password: ''", [2, 13, "expected a password"], "opens doors"),
  row("list as name", "- name: [x]\n  password: x", [1, 9, "expected a name"], "no text"),
  row("colon in a name", "- name: 'a:b'\n  password: x", [1, 9, "a name without a colon"], "7617"),
  row("line feed", '- name: a\n  password: "a\\nb"', [2, 13, "control characters"], "a new line"),
  row("half a pair", '- name: "\\ud800"\n  password: b', [1, 9, "control characters"], "no UTF-8"),
  row("long", `- name: ${"x".repeat(1025)}`, [1, 9, "1 to 1024 long"], "a limit"),
  row(
    "unknown key",
    "- name: a\n  password: b\n  group: [c]",
    [3, 3, "unknown key: expected groups, was it meant?"],
    "Go ignored it, and nobody was in the group",
  ),
  row(
    "unknown key, no hint",
    "[{name: a, password: b, x9: c}]",
    [1, 25, "unknown key: expected one of name, password, groups"],
    "says what there is",
  ),
  row("key twice", "- name: a\n  name: b", [2, 3, "expected each key once"], "which one counts?"),
  row("key twice, flow", "[{name: a, 'name': b}]", [1, 12, "expected each key once"], "which?"),
  row(
    "user twice",
    "- name: a\n  password: b\n- name: a\n  password: c\n",
    [3, 3, "expected each user's name once"],
    "which one counts?",
  ),
  row("group as text", "[{name: a, password: b, groups: c}]", [1, 33, "a list of groups"], "list"),
  row("bad group", "[{name: a, password: b, groups: [c d]}]", [1, 34, "a group's name"], "a word"),
  row("nested group", "[{name: a, password: b, groups: [[c]]}]", [1, 34, "a group's name"], "text"),
  row(
    "anchor",
    "- &x name: a",
    [1, 3, "expected text, in quotes"],
    "none of YAML's further things",
  ),
  row("alias", "- name: *x", [1, 9, "expected text, in quotes"], "refused"),
  row("tag", "- name: !!str x", [1, 9, "expected text, in quotes"], "refused"),
  row("block scalar", "- name: |\n    x", [1, 9, "expected text, in quotes"], "refused"),
  row("explicit key", "- ? name\n  : x", [1, 3, "expected text, in quotes"], "refused"),
  row(
    "two lines",
    "- name: a\n    b\n",
    [2, 5, "expected another indentation, or quotes"],
    "refused",
  ),
  row("two lines in quotes", "- name: 'a\n  b'\n", [1, 9, "closing ' on the same line"], "refused"),
  row("open quotes", '- name: "a', [1, 9, 'closing " on the same line'], "never closed"),
  row("bad escape", '- name: "a\\q"', [1, 11, "expected an escape"], "unknown"),
  row("short escape", '- name: "\\x4"', [1, 10, "expected an escape"], "two digits"),
  row("far escape", '- name: "\\U00110000"', [1, 10, "expected an escape"], "beyond Unicode"),
  row("text after quotes", "- name: 'a' b", [1, 12, "expected the end of the line"], "what is it?"),
  row("map in a line", "- name: a: b", [1, 10, "expected the end of the line"], "quotes help"),
  row("list in a line", "- name: - b", [1, 9, "the list on lines of its own"], "refused"),
  row("tab", "- name: a\n\tpassword: b", [2, 1, "expected spaces, not a tab"], "how wide is it?"),
  row("too far left", "- name: a\n password: b", [2, 2, "another indentation"], "belongs nowhere"),
  row(
    "too far right",
    "- name: a\n   password: b",
    [2, 4, "another indentation"],
    "belongs nowhere",
  ),
  row(
    "no colon",
    "- name: a\n  password\n",
    [2, 11, "expected a colon and a space"],
    "half a line",
  ),
  row("no space", "[{name:a}]", [1, 9, "expected a colon and a space"], "the key is name:a"),
  row("no value", "-\n", [1, 1, "expected something after the dash"], "what is it?"),
  row("open list", "[{name: a, password: b}", [1, 24, "expected a comma or ]"], "never closed"),
  row("open map", "[{name: a, password: b", [1, 23, "expected a comma or }"], "never closed"),
  row("crossed", "[{name: a]}", [1, 10, "expected a comma or }"], "wrong bracket"),
  row("two commas", "[,]", [1, 2, "expected text"], "nothing between"),
  row("pair in a list", "[name: a]", [1, 6, "expected a comma or ]"], "a list of maps is meant"),
  row("more after it", "[]\nx", [2, 1, "expected the end"], "a second document"),
  row("end", "[] x", [1, 3, "expected the end of the line"], "more on the line"),
  row("NUL", "- name: a\n  password: \0", [2, 13, "no control character"], "not in YAML"),
  row("lone CR", "- name: a\r  password: b", [1, 10, "no control character"], "a line end to some"),
  row("deep", "[".repeat(9), [1, 10, "expected at most 8 levels"], "a limit"),
  row("deeper", "- ".repeat(9) + "x", [1, 17, "expected at most 8 levels"], "a limit"),
  row("large", " ".repeat(256 * 1024 + 1), [1, 1, "at most 262144 characters"], "a limit"),
];
