/** What labels mean, one by one; then containers together, and what becomes of them. */
import type { Described } from "../containers.ts";

interface Row<Input, Expect> {
  readonly name: string;
  readonly why: string;
  readonly input: Input;
  readonly expect: Expect;
}

const row = <Input, Expect>(
  name: string,
  input: Input,
  expect: Expect,
  why: string,
): Row<Input, Expect> => ({ name, why, input, expect });

type Labels = Readonly<Record<string, string>>;

export const lists: readonly Row<string, readonly string[]>[] = [
  row("nothing", "", [], "an empty label"),
  row("one", "test", ["test"], "the usual"),
  row("spaces", "test1 test2", ["test1", "test2"], "a list by spaces"),
  row("commas", "test1,test2", ["test1", "test2"], "a list by commas"),
  row("gaps", "test1   test2 ", ["test1", "test2"], "empty items don't count"),
  row("mixed", "  test1, test2 test3,,,", ["test1", "test2", "test3"], "all of it at once"),
  row("separators only", " , ,", [], "Go Dotege died of this one"),
  row("a tab", "a\tb", ["a\tb"], "separates nothing: it stays in the name, which is then refused"),
];

/** `label` is com.chameth.proxy. */
export const ports: readonly Row<{ label?: string; exposed?: number[] }, number>[] = [
  row("no label", {}, -1, "nothing says which"),
  row("a word", { label: "bob" }, -1, "no number"),
  row("a fraction", { label: "3.14159" }, -1, "no whole number"),
  row("a negative number", { label: "-100" }, -1, "no port"),
  row("zero", { label: "0" }, -1, "can't be connected to"),
  row("one too many", { label: "65536" }, -1, "beyond 16 bits"),
  row("far too many", { label: "100000000000000000000" }, -1, "beyond 2^53"),
  row("hexadecimal", { label: "0x50" }, -1, "parseInt would read it as 0"),
  row("an exponent", { label: "8e3" }, -1, "Number would read it as 8000"),
  row("spaces around", { label: " 80 " }, -1, "Go's Atoi refuses them too"),
  row("empty", { label: "" }, -1, "Number would read it as 0"),
  row("the usual", { label: "8080" }, 8080, "a port"),
  row("the lowest", { label: "1" }, 1, "the bound is included"),
  row("the highest", { label: "65535" }, 65535, "the bound is included"),
  row("one exposed", { exposed: [123] }, 123, "there is no other"),
  row("two exposed", { exposed: [123, 456] }, -1, "nobody can say which"),
  row("label and exposed", { label: "8080", exposed: [8081] }, 8080, "the label is meant"),
  row("bad label and exposed", { label: "bob", exposed: [8081] }, -1, "exposed rescues nothing"),
];

/** `headers`: by name; `left`: for each label that is left out, a part of its problem. */
export const headers: readonly Row<
  Labels,
  { headers: readonly (readonly [string, string])[]; left?: readonly string[] }
>[] = [
  row("none", {}, { headers: [] }, "no labels"),
  row("others", { foo: "bar", "com.chameth.vhost": "a.example" }, { headers: [] }, "not headers"),
  row("colon", { "com.chameth.headers": "Foo: bar" }, { headers: [["Foo", "bar"]] }, "as in HTTP"),
  row("none", { "com.chameth.headers": "Foo bar" }, { headers: [["Foo", "bar"]] }, "no colon"),
  row(
    "two",
    { "com.chameth.headers.1": "Foo: bar", "com.chameth.headers.2": "Baz: quux" },
    { headers: [["Foo", "bar"], ["Baz", "quux"]] },
    "labels with suffixes",
  ),
  row(
    "no dot before the suffix",
    { "com.chameth.headersX": "Foo: bar" },
    { headers: [["Foo", "bar"]] },
    "Go Dotege looks at the beginning only",
  ),
  row(
    "many colons and spaces",
    { "com.chameth.headers": "Foo:::   a: b  c  " },
    { headers: [["Foo", "a: b  c"]] },
    "the name loses all colons, the value keeps what is inside",
  ),
  row(
    "letter case",
    { "com.chameth.headers": "x-FOO: Bar" },
    { headers: [["x-FOO", "Bar"]] },
    "stays as written",
  ),
  row(
    "no value",
    { "com.chameth.headers": "Foo: " },
    { headers: [], left: ["expected a value after the space"] },
    "HAProxy and Centauri would refuse the file",
  ),
  row(
    "no space",
    { "com.chameth.headers": "Foo:bar" },
    { headers: [], left: ['label com.chameth.headers "Foo:bar": expected Name: value'] },
    "skipped by Go Dotege too",
  ),
  row(
    "leading space",
    { "com.chameth.headers": " Foo: bar" },
    { headers: [], left: ["expected a header's name before the space"] },
    "Go Dotege's name is empty here",
  ),
  row(
    "no name but a colon",
    { "com.chameth.headers": ": bar" },
    { headers: [], left: ["expected a header's name"] },
    "nothing is left of it",
  ),
  row(
    "colon inside",
    { "com.chameth.headers": "Foo:x bar" },
    { headers: [], left: ["expected a header's name"] },
    "no token (RFC 9110 5.6.2)",
  ),
  row(
    "name in Unicode",
    { "com.chameth.headers": "Größe: 1" },
    { headers: [], left: ["expected a header's name"] },
    "no token (RFC 9110 5.6.2)",
  ),
  row(
    "long name",
    { "com.chameth.headers": `${"x".repeat(101)}: 1` },
    { headers: [], left: ["expected a name of at most 100"] },
    "nginx's hash has no room for it, and refuses the file",
  ),
  row(
    "framing",
    { "com.chameth.headers": "Content-Length: 5" },
    { headers: [], left: ["framing and connections are the proxy's"] },
    "Centauri would refuse the file",
  ),
  row(
    "line feed",
    { "com.chameth.headers": "Foo: a\nroute evil.example" },
    { headers: [], left: ["expected a value without control characters"] },
    "another line of the file",
  ),
  row(
    "C1 control",
    { "com.chameth.headers": "Foo: a\x85b" },
    { headers: [], left: ["expected a value without control characters"] },
    "Centauri would refuse the file",
  ),
  row(
    "line separator",
    { "com.chameth.headers": "Foo: a\u2028b" },
    { headers: [], left: ["expected a value without control characters"] },
    "ends a line in some programs",
  ),
  row(
    "half a pair",
    { "com.chameth.headers": "Foo: a\ud800b" },
    { headers: [], left: ["expected a value without control characters"] },
    "can't be written as UTF-8",
  ),
  row(
    "long value",
    { "com.chameth.headers": `Foo: ${"x".repeat(8193)}` },
    { headers: [], left: ["expected a value of at most 8192"] },
    "lines have limits",
  ),
  row(
    "two for one name",
    { "com.chameth.headers.b": "foo: 2", "com.chameth.headers.a": "Foo: 1" },
    { headers: [["Foo", "1"]], left: ['com.chameth.headers.b "foo: 2": another label sets'] },
    "the first by key, in Go at random; header names are equal in any case",
  ),
  row(
    "a bad one doesn't count as one for the name",
    { "com.chameth.headers.a": "Foo: \x01", "com.chameth.headers.b": "Foo: 2" },
    { headers: [["Foo", "2"]], left: ["com.chameth.headers.a"] },
    "skipped is skipped",
  ),
];

/** Of com.chameth.vhost: names taken, and a part of each problem. */
export const names: readonly Row<
  string,
  { names: readonly string[]; left?: readonly string[] }
>[] = [
  row("one", "example.com", { names: ["example.com"] }, "the usual"),
  row("several", "b.example, a.example", { names: ["b.example", "a.example"] }, "first is primary"),
  row("case", "Example.COM", { names: ["Example.COM"] }, "stays as written"),
  row("underscore", "a_b.example", { names: ["a_b.example"] }, "containers are called so"),
  row("no dot", "localhost", { names: ["localhost"] }, "a name too"),
  row("wildcard", "*.example.com", { names: ["*.example.com"] }, "all proxies know them"),
  row("Unicode", "Bücher.example", { names: ["xn--bcher-kva.example"] }, "what a Host field holds"),
  row("last dot", "example.com.", { names: ["example.com"] }, "the same name"),
  row("empty", "", { names: [], left: ['com.chameth.vhost "": expected names'] }, "Go Dotege dies"),
  row("an address", "192.0.2.1", { names: [], left: ["expected a domain name"] }, "no SNI has it"),
  row("a port", "a.example:80", { names: [], left: ["expected a domain name"] }, "no name has it"),
  row("inner wildcard", "a.*.example", { names: [], left: ['"a.*.example"'] }, "nobody knows it"),
  row("star", "*", { names: [], left: ['"*"'] }, "not everything"),
  row(
    "twice",
    "a.example A.example",
    { names: ["a.example"], left: ['"A.example": is there twice'] },
    "names are equal in any case",
  ),
  row(
    "good and bad",
    "a!b ok.example ;{} x\ty",
    { names: ["ok.example"], left: ['"a!b"', '";{}"', '"x\\ty"'] },
    "one bad name hurts no other",
  ),
  row(
    "253 with a wildcard",
    `*.${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(60)}`,
    { names: [], left: ["expected a domain name"] },
    "254 in all",
  ),
  row(
    "too many",
    Array.from({ length: 251 }, (_, i) => `n${i}.example`).join(","),
    {
      names: Array.from({ length: 250 }, (_, i) => `n${i}.example`),
      left: ["expected at most 250 names"],
    },
    "a line of Centauri's file takes 250 of the longest",
  ),
];

export const certNames: readonly Row<{ vhost: string; wildcards: string[] }, readonly string[]>[] =
  [
    row("one", { vhost: "a.example", wildcards: ["example.wc"] }, ["a.example"], "no match"),
    row(
      "two",
      { vhost: "a.example b.example", wildcards: ["example.wc"] },
      ["a.example", "b.example"],
      "in their order",
    ),
    row(
      "commas",
      { vhost: "b.example,a.example", wildcards: ["example.wc"] },
      ["b.example", "a.example"],
      "in their order",
    ),
    row(
      "three of one domain",
      { vhost: "a.example.wc b.example.wc,c.example.wc", wildcards: ["example.wc"] },
      ["*.example.wc"],
      "once",
    ),
    row(
      "mixed",
      { vhost: "example.com foo.example.wc foo.example.com", wildcards: ["example.wc"] },
      ["example.com", "*.example.wc", "foo.example.com"],
      "at the place of the first",
    ),
    row(
      "other domain",
      { vhost: "example.org", wildcards: ["example.com"] },
      ["example.org"],
      "not below",
    ),
    row(
      "itself",
      { vhost: "example.com", wildcards: ["example.com"] },
      ["example.com"],
      "not below itself",
    ),
    row(
      "below",
      { vhost: "foo.example.com", wildcards: ["example.com"] },
      ["*.example.com"],
      "one label below",
    ),
    row(
      "two levels",
      { vhost: "bar.foo.example.com", wildcards: ["example.com"] },
      ["bar.foo.example.com"],
      "a wildcard is for one label",
    ),
    row(
      "two wildcards",
      { vhost: "a.one.wc b.two.wc c.one.wc", wildcards: ["one.wc", "two.wc"] },
      ["*.one.wc", "*.two.wc"],
      "fold separately",
    ),
  ];

/** A container and whether it can be proxied. */
export const proxied: readonly Row<Labels, boolean>[] = [
  row("no labels", {}, false, "no host"),
  row("port only", { "com.chameth.proxy": "8080" }, false, "no host"),
  row("both", { "com.chameth.vhost": "a.example", "com.chameth.proxy": "8080" }, true, "all there"),
  row(
    "bad port",
    { "com.chameth.vhost": "a.example", "com.chameth.proxy": "bob" },
    false,
    "no port",
  ),
];

const VHOST = { "com.chameth.vhost": "a.example" };

/** One container that has no route (with the tag "wanted"), and why. */
export const reasons: readonly Row<Described & { readonly called?: string }, string>[] = [
  row("no vhost", {}, "it has no label com.chameth.vhost", "it needn't have one"),
  row(
    "empty vhost",
    { labels: { "com.chameth.vhost": " ,", "com.chameth.proxytag": "wanted" } },
    "its label com.chameth.vhost has no name that can be served",
    "a problem says more",
  ),
  row(
    "other tag",
    { labels: { ...VHOST, "com.chameth.proxytag": "x" } },
    'its label com.chameth.proxytag is "x", wanted is "wanted"',
    "another proxy's",
  ),
  row(
    "no tag",
    { labels: VHOST },
    'it has no label com.chameth.proxytag, wanted is "wanted"',
    "says what to add",
  ),
  row(
    "no port",
    { labels: { ...VHOST, "com.chameth.proxytag": "wanted" } },
    "it exposes no port that isn't published: set com.chameth.proxy",
    "says what to do",
  ),
  row(
    "three ports",
    { labels: { ...VHOST, "com.chameth.proxytag": "wanted" }, ports: [80, 443, 8080] },
    "it exposes 80, 443 and 8080: set com.chameth.proxy to one of them",
    "says what to do",
  ),
  row(
    "bad port",
    { labels: { ...VHOST, "com.chameth.proxytag": "wanted", "com.chameth.proxy": "x" } },
    "its label com.chameth.proxy is no port: set it to one, 1 to 65535",
    "and doesn't guess",
  ),
  row(
    "bad group",
    { labels: { ...VHOST, "com.chameth.proxytag": "wanted", "com.chameth.auth": 'a"b' } },
    "its label com.chameth.auth can't be used, and without a login it would be open",
    "never open by mistake",
  ),
  row(
    "too many groups",
    {
      labels: {
        ...VHOST,
        "com.chameth.proxytag": "wanted",
        "com.chameth.auth": Array.from({ length: 33 }, (_, i) => `g${i}`).join(" "),
      },
    },
    "its label com.chameth.auth can't be used, and without a login it would be open",
    "nginx's file would have too long a name",
  ),
  row(
    "long group",
    {
      labels: { ...VHOST, "com.chameth.proxytag": "wanted", "com.chameth.auth": "g".repeat(65) },
    },
    "its label com.chameth.auth can't be used, and without a login it would be open",
    "a limit",
  ),
  row(
    "auth label that was dropped",
    {
      labels: { ...VHOST, "com.chameth.proxytag": "wanted" },
      problems: ["label com.chameth.auth has control characters: dropped"],
    },
    "its label com.chameth.auth can't be used, and without a login it would be open",
    "never open by mistake",
  ),
  row(
    "name that no DNS has",
    { labels: { ...VHOST, "com.chameth.proxytag": "wanted" }, ports: [80], called: "web.1" },
    "its name can't be looked up in the DNS: rename it",
    "Centauri would refuse the file",
  ),
];
