/** Route files: what they mean, and what is wrong with them. */

/** What is expected of a route where it isn't empty; upstreams by name, the rest as in the file. */
export interface ExpectedRoute {
  readonly line: number;
  readonly domains: readonly string[];
  readonly subject?: readonly string[];
  readonly upstreams: readonly string[];
  readonly headers?: readonly (readonly [operation: string, name: string, value: string])[];
  readonly errors?: readonly (readonly [status: number, upstream: string, target?: string])[];
  readonly provider?: string;
  readonly redirectToPrimary?: boolean;
  readonly fallback?: boolean;
}

export interface Vector<Expected> {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  readonly expect: Expected;
}

/** The two-route file of the checklist, in the spelling that `write` gives its words. */
function twoRoutes(write: (text: string) => string): string {
  return [
    "# A comment",
    "",
    `${write("route")} example.com www.example.com`,
    `\t${write("upstream")} server1:8080`,
    "\t# An indented comment",
    `\t${write("provider")} p1`,
    `\t${write("header add")} x-test foo`,
    `\t${write("header delete")} x-test-2`,
    "  ",
    `${write("route")} example.net`,
    `    ${write("upstream")} server1:8081`,
    `    ${write("header default")} x-test-3 bar`,
    `    ${write("header replace")} x-test-4 baz`,
    "",
  ].join("\n");
}

const twoRoutesExpected: readonly ExpectedRoute[] = [
  {
    line: 3,
    domains: ["example.com", "www.example.com"],
    upstreams: ["server1:8080"],
    headers: [["add", "x-test", "foo"], ["delete", "x-test-2", ""]],
    provider: "p1",
  },
  {
    line: 10,
    domains: ["example.net"],
    upstreams: ["server1:8081"],
    headers: [["default", "x-test-3", "bar"], ["replace", "x-test-4", "baz"]],
  },
];

/** One route with these lines in it. */
function inRoute(...lines: string[]): string {
  return ["route a.example", "upstream app", ...lines].join("\n");
}

/** That route with these properties. */
function plain(expected: Partial<ExpectedRoute>): readonly ExpectedRoute[] {
  return [{ line: 1, domains: ["a.example"], upstreams: ["app:80"], ...expected }];
}

const badNames =
  "example..com 10.0.0.1 ::1 [::1] 123 a.123 -a a-.b a:80 a/b é..b * *.*.a a.*.b *a.b *.1";
const longLine = "#".repeat(64 * 1024);

export const files: readonly Vector<readonly ExpectedRoute[]>[] = [
  { name: "empty", why: "P1", input: "", expect: [] },
  { name: "only blanks and comments", why: "P1", input: "\n \t\n# a\n#b\n  #c\n#", expect: [] },
  {
    name: "two routes",
    why: "P10 and P11: comments, blank lines, indents, order",
    input: twoRoutes((text) => text),
    expect: twoRoutesExpected,
  },
  {
    name: "two routes in capitals",
    why: "P12",
    input: twoRoutes((text) => text.toUpperCase()),
    expect: twoRoutesExpected,
  },
  {
    name: "two routes in any case",
    why: "P12",
    input: twoRoutes((text) =>
      text.replace(/./g, (character, at) => at % 2 ? character : character.toUpperCase())
    ),
    expect: twoRoutesExpected,
  },
  {
    name: "two routes with CRLF",
    why: "an editor on Windows",
    input: twoRoutes((text) => text).replaceAll("\n", "\r\n"),
    expect: twoRoutesExpected,
  },
  {
    name: "two routes after a BOM",
    why: "an editor on Windows",
    input: "\ufeff" + twoRoutes((text) => text),
    expect: twoRoutesExpected,
  },
  {
    name: "two routes, runs of blanks",
    why: "any run of spaces and tabs separates",
    input: twoRoutes((text) => text).replaceAll(" ", " \t  "),
    expect: twoRoutesExpected,
  },
  {
    name: "no LF at the end",
    why: "the last line counts",
    input: "route a.example\nupstream b",
    expect: [{ line: 1, domains: ["a.example"], upstreams: ["b:80"] }],
  },
  {
    name: "CR at the end",
    why: "the last line of a file with CRLF",
    input: "route a.example\r\nupstream b\r",
    expect: [{ line: 1, domains: ["a.example"], upstreams: ["b:80"] }],
  },
  {
    name: "several upstreams",
    why: "P13",
    input:
      "route a.example\nupstream b:1\nupstream c:2\nupstream b:3\nroute d.example\nupstream e:4",
    expect: [
      { line: 1, domains: ["a.example"], upstreams: ["b:1", "c:2", "b:3"] },
      { line: 5, domains: ["d.example"], upstreams: ["e:4"] },
    ],
  },
  {
    name: "upstreams of each kind",
    why: "a name, a container, IPv4, IPv6; capitals, an IDN, a last dot; port 80 when missing",
    input: [
      "route a.example",
      "upstream my_app-1:8080",
      "upstream my_app-1",
      "upstream APP.Example.:81",
      "upstream bücher.example",
      "upstream 127.0.0.1:1",
      "upstream 127.0.0.1",
      "upstream [::1]:65535",
      "upstream [2001:db8::1]",
      "upstream constructor",
    ].join("\n"),
    expect: [{
      line: 1,
      domains: ["a.example"],
      upstreams: [
        "my_app-1:8080",
        "my_app-1:80",
        "app.example:81",
        "xn--bcher-kva.example:80",
        "127.0.0.1:1",
        "127.0.0.1:80",
        "[::1]:65535",
        "[2001:db8::1]:80",
        "constructor:80",
      ],
    }],
  },
  { name: "fallback", why: "P14", input: inRoute("fallback"), expect: plain({ fallback: true }) },
  {
    name: "fallback before the upstream",
    why: "order within a route is free",
    input: "route a.example\nfallback\nupstream app",
    expect: plain({ fallback: true }),
  },
  {
    name: "redirect-to-primary",
    why: "P16",
    input: "route a.example b.example\nupstream app\nredirect-to-primary",
    expect: plain({ domains: ["a.example", "b.example"], redirectToPrimary: true }),
  },
  {
    name: "one subject",
    why: "P20",
    input: inRoute("subject foo"),
    expect: plain({ subject: ["foo"] }),
  },
  {
    name: "three subjects",
    why: "P20",
    input: inRoute("subject foo bar baz"),
    expect: plain({ subject: ["foo", "bar", "baz"] }),
  },
  {
    name: "addresses as subjects",
    why: "certificates may be for addresses (RFC 8738), each in one spelling",
    input: inRoute("subject 192.0.2.1 2001:DB8:0::1"),
    expect: plain({ subject: ["192.0.2.1", "2001:db8::1"] }),
  },
  {
    name: "two subject lines",
    why: "P20",
    input: inRoute("subject foo bar", "subject baz"),
    expect: plain({ subject: ["foo", "bar", "baz"] }),
  },
  {
    name: "subjects in any spelling",
    why: "a certificate has A-labels, and each once",
    input: inRoute("subject Example.com. *.Bücher.example example.COM"),
    expect: plain({ subject: ["example.com", "*.xn--bcher-kva.example"] }),
  },
  {
    name: "the subject of two routes",
    why: "one certificate may serve both",
    input: "route a.example\nupstream b\nsubject *.example\n" +
      "route c.example\nupstream d\nsubject *.example",
    expect: [
      { line: 1, domains: ["a.example"], upstreams: ["b:80"], subject: ["*.example"] },
      { line: 4, domains: ["c.example"], upstreams: ["d:80"], subject: ["*.example"] },
    ],
  },
  {
    name: "on_error, no path",
    why: "P21",
    input: inRoute("on_error 502 error-pages:8080"),
    expect: plain({ errors: [[502, "error-pages:8080"]] }),
  },
  {
    name: "on_error, only a slash",
    why: "P21",
    input: inRoute("on_error 502 error-pages:8080/"),
    expect: plain({ errors: [[502, "error-pages:8080"]] }),
  },
  {
    name: "on_error, path",
    why: "P22",
    input: inRoute("on_error 404 not-found:8080/not-found"),
    expect: plain({ errors: [[404, "not-found:8080", "/not-found"]] }),
  },
  {
    name: "on_error, path and query",
    why: "P23",
    input: inRoute("on_error 500 error-pages:8080/error?code=500"),
    expect: plain({ errors: [[500, "error-pages:8080", "/error?code=500"]] }),
  },
  {
    name: "on_error, two lines",
    why: "P25",
    input: inRoute("on_error 404 a:1/x", "on_error 502 b:2"),
    expect: plain({ errors: [[404, "a:1", "/x"], [502, "b:2"]] }),
  },
  {
    name: "on_error, edges",
    why: "400 to 599, IPv6, default port, every character that a target may have",
    input: inRoute("on_error 400 [::1]/a?b/c?d", "on_error 599 e/~!$&'()*+,;=:@%20-._|"),
    expect: plain({
      errors: [[400, "[::1]:80", "/a?b/c?d"], [599, "e:80", "/~!$&'()*+,;=:@%20-._|"]],
    }),
  },
  {
    name: "names in any spelling",
    why: "one spelling each: lower case, A-labels, no last dot",
    input: "route EXAMPLE.Com. BÜCHER.example _srv.example *.Example.com a\nupstream app",
    expect: [{
      line: 1,
      domains: ["example.com", "xn--bcher-kva.example", "_srv.example", "*.example.com", "a"],
      upstreams: ["app:80"],
    }],
  },
  {
    name: "prototype names",
    why: "names like any other",
    input: "route __proto__ constructor tostring\nupstream __proto__\nprovider __proto__",
    expect: [{
      line: 1,
      domains: ["__proto__", "constructor", "tostring"],
      upstreams: ["__proto__:80"],
      provider: "__proto__",
    }],
  },
  {
    name: "header values",
    why: "blanks inside, commas, quotes and # are the value's own; those around it aren't",
    input: inRoute('header add  X-A \t a  b\t#c, "d" \t', "header replace !#$%&'*+.^_`|~ =;"),
    expect: plain({
      headers: [["add", "X-A", 'a  b\t#c, "d"'], ["replace", "!#$%&'*+.^_`|~", "=;"]],
    }),
  },
  {
    name: "header value beyond ASCII",
    why: "its UTF-8, one character a byte (obs-text of RFC 9110 5.5)",
    input: inRoute("header add X-A Zoë €"),
    expect: plain({ headers: [["add", "X-A", "Zo\xc3\xab \xe2\x82\xac"]] }),
  },
  {
    name: "header __proto__",
    why: "a token",
    input: inRoute("header add __proto__ constructor", "header delete __proto__"),
    expect: plain({ headers: [["add", "__proto__", "constructor"], ["delete", "__proto__", ""]] }),
  },
  {
    name: "headers near the framing ones",
    why: "only whole names are refused",
    input: inRoute("header add Content-Length-X 1", "header delete X-Connection"),
    expect: plain({
      headers: [["add", "Content-Length-X", "1"], ["delete", "X-Connection", ""]],
    }),
  },
  { name: "a line of 64 KiB", why: "the limit itself", input: longLine, expect: [] },
  {
    name: "tabs in a comment",
    why: "no control character that matters",
    input: "#\ta\tb é ☃\n",
    expect: [],
  },
];

/** Each problem of a file: its line and what its message must contain. None besides them. */
export const problems: readonly Vector<readonly (readonly [line: number, text: string])[]>[] = [
  { name: "unknown", why: "P2", input: "error please", expect: [[1, "invalid line"]] },
  {
    name: "unknown, quoted",
    why: "says what it is",
    input: "\t error \t please ",
    expect: [[1, String.raw`invalid line "error \t please": expected one of route, upstream,`]],
  },
  {
    name: "unknown, quoted as terminals need it",
    why: "a line separator and a right-to-left override are as JSON writes them",
    input: "error\u2028\u202e",
    expect: [[1, String.raw`invalid line "error\u2028\u202e": expected`]],
  },
  {
    name: "misspelled",
    why: "the nearest name",
    input: "Ruote a.example",
    expect: [[1, "expected route"]],
  },
  { name: "__proto__", why: "no directive", input: "__proto__ a", expect: [[1, "invalid line"]] },
  { name: "constructor", why: "no directive", input: "constructor", expect: [[1, "invalid line"]] },
  {
    name: "no-break space",
    why: "no separator",
    input: "route\u00a0a",
    expect: [[1, "invalid line"]],
  },
  ...["upstream a:80", "provider p", "header add a b", "fallback", "redirect-to-primary"].map(
    withoutRoute,
  ),
  ...["subject a", "on_error 502 a:80", "UPSTREAM", "Fallback x"].map(withoutRoute),
  {
    name: "route alone",
    why: "P4; its other lines are no further problem",
    input: "route\nupstream a:80",
    expect: [[1, "no domains specified for route"]],
  },
  {
    name: "route with blanks",
    why: "P4",
    input: "route \t \nupstream a:80",
    expect: [[1, "no domains specified for route"]],
  },
  {
    name: "no upstream, first route",
    why: "P5",
    input: "route a.example b.example\n\nroute c.example\nupstream d",
    expect: [[1, 'no upstreams specified for route "a.example b.example"']],
  },
  {
    name: "no upstream, last route",
    why: "P5",
    input: "route c.example\nupstream d\nroute a.example\n# end",
    expect: [[3, 'no upstreams specified for route "a.example"']],
  },
  {
    name: "no upstream, found late",
    why: "problems are in the order of lines",
    input: "route a.example\nfoo\nbar\nroute b.example\nupstream c",
    expect: [[1, "no upstreams specified"], [2, '"foo"'], [3, '"bar"']],
  },
  {
    name: "operation",
    why: "P6",
    input: inRoute("header nothing"),
    expect: [[
      3,
      'invalid header operation "nothing": expected one of add, replace, default, delete',
    ]],
  },
  {
    name: "no operation",
    why: "nothing to do",
    input: inRoute("header"),
    expect: [[3, "invalid header operation: expected one of add"]],
  },
  {
    name: "operation misspelled",
    why: "the nearest name",
    input: inRoute("header DELET X-A"),
    expect: [[3, 'invalid header operation "DELET": expected delete']],
  },
  {
    name: "operation of another proxy",
    why: "the published confd example has it",
    input: inRoute("header remove X-A"),
    expect: [[3, 'invalid header operation "remove"']],
  },
  ...["add", "replace", "default"].map((operation) => ({
    name: `header ${operation} without value`,
    why: "P7",
    input: inRoute(`header ${operation} X-A`, `header ${operation} X-A \t `, `header ${operation}`),
    expect: [3, 4, 5].map((line) => [line, `invalid header ${operation} line`] as const),
  })),
  {
    name: "header delete without name",
    why: "P8",
    input: inRoute("header delete", "header delete \t"),
    expect: [[3, "invalid header delete line"], [4, "invalid header delete line"]],
  },
  {
    name: "header delete with value",
    why: "it would be ignored",
    input: inRoute("header delete X-A b"),
    expect: [[3, "invalid header delete line"]],
  },
  {
    name: "header with colon",
    why: "as in HTTP; no token",
    input: inRoute("header add X-A: b", "header add X(A) b", "header add X\u212a b"),
    expect: [
      [3, 'invalid header name "X-A:"'],
      [4, 'invalid header name "X(A)"'],
      [5, "invalid header name"],
    ],
  },
  ...[
    "Content-Length",
    "TRANSFER-ENCODING",
    "connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Upgrade",
  ].map((field) => ({
    name: `header ${field}`,
    why: "RFC 9112 6 and RFC 9110 7.6.1: a rule would break messages or connections",
    input: inRoute(`header add ${field} x`, `header delete ${field}`),
    expect: [[3, "framing and connections are the proxy's"], [4, `"${field}"`]] as const,
  })),
  {
    name: "two providers",
    why: "P9: no upstream is needed to see it",
    input: "route a.example\nprovider p1\nprovider p2\nupstream b",
    expect: [[3, "has multiple providers"]],
  },
  {
    name: "provider",
    why: "exactly one word",
    input: inRoute("provider", "provider a b"),
    expect: [[3, "invalid provider line"], [4, 'invalid provider line "provider a b"']],
  },
  {
    name: "two fallbacks",
    why: "P15",
    input: inRoute("fallback", "route b.example", "upstream c", "fallback"),
    expect: [[6, "multiple fallback routes specified in lines 3 and 6"]],
  },
  {
    name: "one fallback twice",
    why: "one of the lines was meant for another route",
    input: inRoute("fallback", "fallback"),
    expect: [[4, "multiple fallback routes specified in lines 3 and 4"]],
  },
  {
    name: "fallback with a word",
    why: "it takes none",
    input: inRoute("fallback x", "redirect-to-primary a.example"),
    expect: [[3, "invalid fallback line"], [4, "invalid redirect-to-primary line"]],
  },
  {
    name: "redirect-to-primary, one domain",
    why: "P17",
    input: inRoute("redirect-to-primary"),
    expect: [[3, "redirect-to-primary specified with only a single domain"]],
  },
  {
    name: "redirect-to-primary twice",
    why: "P18",
    input: "route a.example b.example\nupstream c\nredirect-to-primary\nredirect-to-primary",
    expect: [[4, "multiple redirect-to-primary options specified"]],
  },
  {
    name: "redirect-to-primary to a wildcard",
    why: "there is no such host to redirect to",
    input: "route *.example a.example\nupstream c\nredirect-to-primary",
    expect: [[3, 'with a wildcard first "*.example"']],
  },
  {
    name: "redirect-to-primary, a bad domain",
    why: "one problem, not two",
    input: "route a.example b..example\nupstream c\nredirect-to-primary",
    expect: [[1, 'invalid domain in route "b..example"']],
  },
  {
    name: "subject alone",
    why: "P19",
    input: inRoute("subject"),
    expect: [[3, "no domains specified for subject"]],
  },
  {
    name: "subjects",
    why: "names as in a route",
    input: inRoute("subject a..b 10.0.0.1:80 a.*.b ok.example"),
    expect: [
      [3, 'invalid domain in subject "a..b"'],
      [3, 'invalid domain in subject "10.0.0.1:80"'],
      [3, 'invalid domain in subject "a.*.b"'],
    ],
  },
  {
    name: "on_error, no host",
    why: "P26",
    input: inRoute("on_error 502", "on_error", "on_error 502 a:80 /path"),
    expect: [3, 4, 5].map((line) => [line, "invalid on_error line"] as const),
  },
  {
    name: "on_error, status",
    why: "P27; digits only",
    input: inRoute(
      ...["unicorn", "302", "399", "600", "0x1f6", "5e2", "-502", "502.0", "18446744073709552118"]
        .map((status) => `on_error ${status} a:80`),
    ),
    expect: [3, 4, 5, 6, 7, 8, 9, 10, 11].map((line) => [line, "invalid status code"] as const),
  },
  {
    name: "on_error, query without path",
    why: "P28",
    input: inRoute("on_error 502 error-pages:8080?code=502"),
    expect: [[3, "path must begin with a /"]],
  },
  {
    name: "on_error, target",
    why: "no request target (RFC 9112 3.2)",
    input: inRoute("on_error 502 a:80/b#c", "on_error 502 a:80/é", "on_error 502 a:80/?q=☃"),
    expect: [[3, '"/b#c"'], [4, '"/é"'], [5, '"/?q=☃"']],
  },
  {
    name: "on_error, upstream",
    why: "the same rules as upstream",
    input: inRoute("on_error 502 /path", "on_error 502 http://a/", "on_error 502 a:0/b"),
    expect: [3, 4, 5].map((line) => [line, "invalid on_error upstream"] as const),
  },
  {
    name: "on_error, all wrong",
    why: "all problems of a line",
    input: inRoute("on_error 200 ::1?x"),
    expect: [[3, "status code"], [3, "on_error upstream"], [3, "path must begin with a /"]],
  },
  {
    name: "upstream",
    why: "exactly one word",
    input: inRoute("upstream", "upstream a b", "upstream a # b"),
    expect: [[3, "invalid upstream line"], [4, '"upstream a b"'], [5, "invalid upstream line"]],
  },
  {
    name: "upstreams",
    why: "host:port or [v6]:port, port 1 to 65535",
    input: inRoute(
      ...("a:0 a:65536 a: a:http a:+1 :80 ::1 [::1 [a]:80 http://a:80 a/b 127.1 1 a..b " +
        "-a *.a a:80:81")
        .split(" ").map((upstream) => `upstream ${upstream}`),
    ),
    expect: [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19].map((line) =>
      [line, "invalid upstream"] as const
    ),
  },
  {
    name: "only a bad upstream",
    why: "it isn't missing as well",
    input: "route a.example\nupstream b:0",
    expect: [[2, 'invalid upstream "b:0": expected host:port']],
  },
  {
    name: "domains",
    why: "M4, D2 and 1.4.5: no address, no number, no empty label",
    input: `route ${badNames}\nupstream c`,
    expect: badNames.split(" ").map((name) => [1, `invalid domain in route "${name}"`] as const),
  },
  {
    name: "domains that fit only just not",
    why: "with *. and a label before it, 253 in all",
    input: `route *.${`${"a".repeat(63)}.`.repeat(3)}${"a".repeat(60)}\nupstream b`,
    expect: [[1, "invalid domain in route"]],
  },
  {
    name: "a name in two routes",
    why: "which one serves it?",
    input: "route a.example\nupstream b\nroute c.example A.Example.\nupstream d",
    expect: [[3, 'duplicate domain in lines 1 and 3: "a.example"']],
  },
  {
    name: "an IDN in two spellings",
    why: "one name",
    input: "route bücher.example\nupstream b\nroute XN--BCHER-KVA.example\nupstream d",
    expect: [[3, 'lines 1 and 3: "xn--bcher-kva.example"']],
  },
  {
    name: "a name twice in a route",
    why: "one of them was meant to be another",
    input: "route a.example b.example a.example\nupstream c",
    expect: [[1, 'duplicate domain in lines 1 and 1: "a.example"']],
  },
  {
    name: "a wildcard in two routes",
    why: "as any name; a name under it is another",
    input: "route *.example b.example\nupstream c\nroute *.Example example\nupstream d",
    expect: [[3, 'lines 1 and 3: "*.example"']],
  },
  {
    name: "prototype name twice",
    why: "a name like any other",
    input: "route __proto__\nupstream a\nroute __proto__\nupstream b",
    expect: [[3, 'lines 1 and 3: "__proto__"']],
  },
  {
    name: "controls",
    why: "in comments too: a lone CR ends lines for some readers",
    input: inRoute(
      "header add X-A b\0c",
      "# a\rroute evil.example",
      "\v",
      "a\x7f",
      "a\x85b",
      "\x1b[2J",
    ),
    expect: [3, 4, 5, 6, 7, 8].map((line) =>
      [line, "invalid line with control character"] as const
    ),
  },
  {
    name: "CR CR LF",
    why: "one CR belongs to the LF",
    input: "# a\r\r\n",
    expect: [[1, "control character 0xd: expected text"]],
  },
  {
    name: "BOM inside",
    why: "it stands at the start or nowhere",
    input: "# a\nrou\ufeffte a.example",
    expect: [[2, "invalid line"]],
  },
  {
    name: "all at once",
    why: "all problems, by line",
    input: "upstream a\nroute\nroute b.example\nupstream c:x\nfallback\nfallback y\nnope",
    expect: [
      [1, "upstream without route"],
      [2, "no domains specified for route"],
      [2, "no upstreams specified for route"],
      [4, "invalid upstream"],
      [6, "invalid fallback line"],
      [7, "invalid line"],
    ],
  },
  {
    name: "a long value",
    why: "quoted only at its start",
    input: `${"x".repeat(1000)} y`,
    expect: [[1, `invalid line "${"x".repeat(80)}…": expected`]],
  },
  {
    name: "a line of 64 KiB and one",
    why: "over the limit",
    input: `# ok\n${longLine}#`,
    expect: [[2, "expected at most 65536"]],
  },
  {
    name: "a line of 15 MiB",
    why: "refused before it is split",
    input: "route " + "a ".repeat(7.5 * 1024 * 1024) + "a",
    expect: [[1, "expected at most 65536"]],
  },
  {
    name: "a file of 16 MiB and one",
    why: "refused before it is split",
    input: "#".repeat(16 * 1024 * 1024 + 1),
    expect: [[1, "file too long: expected at most 16777216 characters"]],
  },
  {
    name: "101 problems",
    why: "one more than is reported",
    input: "x\n".repeat(101),
    expect: [...first100(), [101, "over 100 problems"]],
  },
  {
    name: "a million problems",
    why: "neither read nor counted",
    input: "x\n".repeat(1e6),
    expect: [...first100(), [101, "over 100 problems"]],
  },
  {
    name: "a line of problems",
    why: "no more of one line either",
    input: `route${" -".repeat(1000)}`,
    expect: Array.from({ length: 101 }, (_, at) => [1, at < 100 ? '"-"' : "over 100 problems"]),
  },
  { name: "100 problems", why: "no more", input: "x\n".repeat(100), expect: first100() },
];

/** Which route serves a name: the line of the route. */
export const lookups: readonly Vector<Readonly<Record<string, number | undefined>>>[] = [
  { name: "no route", why: "M5", input: "", expect: { "a.example": undefined, "": undefined } },
  {
    name: "fallback",
    why: "M6",
    input: inRoute("route b.example", "upstream c", "fallback"),
    expect: { "a.example": 1, "b.example": 3, "c.example": 3, "": 3, "[::1]": 3 },
  },
  {
    name: "every domain of a route",
    why: "M7",
    input: "route a.example b.example c.example\nupstream d",
    expect: { "a.example": 1, "b.example": 1, "c.example": 1, "d.example": undefined },
  },
  {
    name: "capitals in the file",
    why: "M8; the caller lower-cases what a peer sends",
    input: "route ExAmPlE.COM\nupstream a",
    expect: { "example.com": 1 },
  },
  {
    name: "wildcards",
    why: "one label more and no other; the most specific name wins",
    input: [
      "route *.example.com\nupstream a",
      "route a.example.com\nupstream b",
      "route *.b.example.com example.com\nupstream c",
    ].join("\n"),
    expect: {
      "x.example.com": 1,
      "a.example.com": 3,
      "b.example.com": 1,
      "x.b.example.com": 5,
      "example.com": 5,
      "x.a.example.com": undefined,
      "x.y.example.com": undefined,
      ".example.com": undefined,
      "xexample.com": undefined,
      "com": undefined,
    },
  },
  {
    name: "wildcard before fallback",
    why: "a fallback serves what no name does",
    input: "route *.example\nupstream a\nroute b.test\nupstream c\nfallback",
    expect: { "x.example": 1, "x.y.example": 3, "b.test": 3, "example": 3 },
  },
  {
    name: "prototype names",
    why: "a peer may ask for them",
    input: "route a.example\nupstream b",
    expect: { "constructor": undefined, "tostring": undefined, "a.constructor": undefined },
  },
];

/** The names of the certificate of the first route. */
export const certificates: readonly Vector<readonly string[]>[] = [
  {
    name: "no subject",
    why: "T1",
    input: "route a.example b.example\nupstream c",
    expect: ["a.example", "b.example"],
  },
  {
    name: "subject",
    why: "T2",
    input: inRoute("subject example.com *.example.com"),
    expect: ["example.com", "*.example.com"],
  },
  { name: "one subject", why: "T3", input: inRoute("subject b.example"), expect: ["b.example"] },
  { name: "one domain", why: "T3", input: inRoute(), expect: ["a.example"] },
];

/** Where a status of the first route leads: the upstream's name. */
export const mappings: readonly Vector<Readonly<Record<number, string | undefined>>>[] = [
  { name: "no mapping", why: "T4", input: inRoute(), expect: { 404: undefined, 502: undefined } },
  {
    name: "the first mapping of a status",
    why: "T4",
    input: inRoute("on_error 404 b", "on_error 502 c", "on_error 404 d"),
    expect: { 404: "b:80", 502: "c:80", 500: undefined, 200: undefined },
  },
];

function withoutRoute(
  input: string,
): { name: string; why: string; input: string; expect: [number, string][] } {
  const directive = input.split(" ", 1)[0]!.toLowerCase();
  const expect: [number, string][] = [[1, `${directive} without route`]];
  return { name: `${directive} without route`, why: "P3", input, expect };
}

function first100(): [number, string][] {
  return Array.from({ length: 100 }, (_, at) => [at + 1, 'invalid line "x"']);
}
