/** What templatefuzz.ts makes templates and their data of. */

export const DATA: readonly unknown[] = [
  null,
  "text",
  7,
  [1, 2, 3],
  { map: { A: "a", B: "b c", C: "" } },
  {
    map: {
      ...{ A: 1, B: "é<&>'\"", C: true, N: null, F: 1.5, L: ["x", "y", "z"] },
      ...{ M: { map: { A: "1", B: "2" } }, S: { struct: { A: 1, B: "b" } }, E: [] },
      ...{ P: { person: { Name: "Ann", Age: 5 } }, H: { func: "hello" }, T: { func: "twice" } },
    },
  },
  {
    struct: {
      ...{ A: 0, B: "line\none", C: false, N: null, F: -2.25, L: [3, 1, 2], E: { map: {} } },
      ...{ M: { map: { A: 1, B: 2, C: 3 } }, S: { struct: { A: "x", B: [1, "y", null] } } },
      ...{ P: { person: { Name: "Bob \u{1f600}", Age: -1 } }, I: { intmap: { 1: "a", 2: "b" } } },
    },
  },
  { struct: { A: "日本語", B: 1e21, L: [[1], ["a", null], { map: { A: null } }], M: { map: {} } } },
  { person: { Name: "Carl", Age: 40 } },
  [{ struct: { A: 1, B: 2 } }, { struct: { A: 3, B: 4 } }],
];

export const FORMATS =
  "%v|%+v|%#v|%T|%d|%s|%q|%x|%X|%o|%O|%b|%c|%U|%#U|%e|%f|%g|%G|%t|%5d|%-5d|%05d|%+d|%x"
    .concat("|%8.3f|%.2s|%10s|%-10s|%+q|%#q|%#x|% x|%# x|%6.2f%%|%[1]v|%[2]d|%[1]d %[1]q|%*d|%.*f")
    .concat("|%z|%!|%|%5|%.|%v %v|%d,%s|%-8q|%08.3f|%+.2e|%#g|%#.3g|%x %X|%w|%6v|%06v|%+v %#v|% d")
    .concat("|%[3]v|%[x]d|%[1|%[1]*d|%1000001d|%.0f|%.0d|%3c|%-4q|%#o|%#b|%E|%F|%.3x|%#v %T|%t %v")
    .split("|");
export const STRINGS = [
  '"a"',
  '"b c"',
  '"é"',
  '""',
  "`raw\\n`",
  '"\\n"',
  '"\\x41\\u00e9"',
  '"x,y"',
  '"1"',
]
  .concat(
    '"\\xff"',
    "\"<a href='x'>\"",
    '"A"',
    '"B"',
    '"日本"',
    '"\\"q\\""',
    '"%d"',
    '"\\U0001F600"',
  );
export const BAD_STRINGS = [
  '"\\q"',
  '"open',
  "`open",
  "'ab'",
  "''",
  "'\\400'",
  '"\\ud800"',
  '"a\nb"',
  "'a",
];
export const INTS =
  "0 1 2 3 -1 10 'a' '\\n' 0x1F 0b11 0o17 017 1_2 +5 9223372036854775807 '\\u00e9' 0xe"
    .split(" ");
export const FLOATS = "1.0 1.5 -2.5 1e3 1e-7 .5 2. 0x1p4 0x1.8p1 1e21 123456789.0 1_0.5 -0.0".split(
  " ",
);
export const BAD_NUMBERS =
  "089 1__0 0x 1e 9223372036854775808 99999999999999999999 1_ 0b2 1.2.3 1a 1e400 +"
    .split(" ");
export const NAMES = [
  "A",
  "B",
  "C",
  "N",
  "F",
  "L",
  "M",
  "S",
  "P",
  "E",
  "H",
  "T",
  "I",
  "Name",
  "Age",
];
export const METHODS = [
  "Self",
  "Tags",
  "Nothing",
  "Fail",
  "Missing",
  "Same",
  "Greet",
  "Older",
  "Join",
];
export const JUNK =
  "{{ }} {{- -}} ( ) | := = , . $ $x .A end else if range with define template block"
    .concat(
      " break continue nil true \" ` ' /* */ {{/* */}} {{end}} {{else}} {{- - % : ; @ é \\ 1 +",
    )
    .split(" ").concat("\n", " ", "\t");

/** Typed expressions: `s` a string, `i` an int, `b` a boolean, `l` a list, `m` a map, `a` any. */
export const TYPED: Readonly<Record<string, readonly string[]>> = {
  s: [
    ...["S", "S", "S", "upper s", "replace s s s", 'printf "V" a', 'printf "V" i', 'printf "V" s'],
    ...[
      'printf "V" a s',
      "print a",
      "print a a",
      "println s",
      "html s",
      "js s",
      "urlquery s",
      "(s)",
    ],
    ...['join "," l', "join s (split s s)", "s | upper", 's | printf "V"', 'a | printf "V" i', "s"],
    ...["slice s 0", "slice s 0 1", "slice s i", "sortlines s", "and b s", "or s s", "index l 0"],
    ...["same s", "a | print", "js a", "html a a", "urlquery a", 'printf "V %v" f a', "(print a)"],
  ],
  i: [
    "I",
    "I",
    "len s",
    "len l",
    "len m",
    "add1 i",
    "(i)",
    "i | add1",
    "index l i",
    "same i",
    "count a a",
  ],
  f: ["F", "F", "(f)", "same f"],
  b: [
    ...["true", "false", "eq s s", "eq i i", "eq i i i", "ne s s", "lt i i", "le s s", "gt f f"],
    ...[
      "ge i i",
      "not a",
      "and b b",
      "or b b a",
      "eq b b",
      "negate b",
      "(b)",
      "i | eq i",
      "eq a nil",
    ],
    ...["lt s s", "b | not", "b | and b", "eq (index s 0) i"],
  ],
  l: ["split s s", "slice l 0", "slice l 0 1", "(l)", "same l", "slice l 0 0 1"],
  m: ["(m)", "same m"],
  a: ["s", "s", "i", "f", "b", "l", "m", "index m s", "index l 0", "nil", "nothing", "P", "P", "P"],
};
