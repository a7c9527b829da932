/**
 * What a Redis server may send, by the types of its protocol, and what is read of it: bytes as
 * `b"…"`, errors as `error(…)`, bulk strings over the limit as `long(size)`, pushes as `push(…)`.
 */

/** The limits that the vectors are about. */
export const LIMITS = { line: 32, bulk: 16, reply: 40, items: 6, depth: 3 };

export interface RespVector {
  readonly name: string;
  readonly why: string;
  /** latin1. */
  readonly input: string;
  /** Replies, or why it is refused. */
  readonly expect: readonly string[] | RegExp;
}

const row = (input: string, expect: RespVector["expect"], why: string): RespVector => ({
  name: JSON.stringify(input),
  ...{ why, input, expect },
});

export const RESP_VECTORS: readonly RespVector[] = [
  row("+OK\r\n", ['"OK"'], "a simple string"),
  row("+\r\n", ['""'], "an empty one"),
  row("+a\rb\r\n", /CRLF/, "a bare CR"),
  row("+a\n", /CRLF/, "a bare LF"),
  row("\n", /CRLF/, "an empty line"),
  row("\r\n", /no known type/, "a line without a type"),
  row("HTTP/1.1 400 Bad Request\r\n", /no known type/, "another protocol"),
  row(`+${"x".repeat(31)}\r\n`, [`"${"x".repeat(31)}"`], "the longest line"),
  row(`+${"x".repeat(32)}\r\n`, /over 32 bytes/, "too long"),
  row("x".repeat(40), /over 32 bytes/, "too long and without an end"),
  row("-ERR no\r\n", ["error(ERR no)"], "an error"),
  row("-\r\n", ["error()"], "one that says nothing"),
  row(":0\r\n:-1\r\n:+7\r\n", ["0", "-1", "7"], "integers"),
  row(":9223372036854775807\r\n", ["9223372036854775807n"], "the largest"),
  row(":-9223372036854775808\r\n", ["-9223372036854775808n"], "the smallest"),
  row(":\r\n", /integer/, "none"),
  row(":1e3\r\n", /integer/, "an exponent"),
  row(":0x10\r\n", /integer/, "hexadecimal"),
  row(": 1\r\n", /integer/, "a space"),
  row(":10000000000000000000000\r\n", /integer/, "more than 64 bits"),
  row("$0\r\n\r\n", ['b""'], "an empty bulk string"),
  row("$5\r\nhe\r\nl\r\n", ['b"he\\r\\nl"'], "CRLF in one"),
  row("$3\r\n\xff\x00\xfe\r\n", ['b"\xff\\u0000\xfe"'], "bytes that are no text"),
  row("$-1\r\n", ["null"], "null of RESP2"),
  row("$-2\r\n", /length/, "a negative length"),
  row("$+1\r\na\r\n", /length/, "a sign"),
  row("$01\r\na\r\n", ['b"a"'], "a leading zero has one meaning only: decimal"),
  row("$1 \r\na\r\n", /length/, "a space after it"),
  row("$\r\n", /length/, "no length"),
  row("$?\r\n", /length/, "a streamed string"),
  row("$1\r\nab\r\n", /as long as said/, "longer than said"),
  row("$3\r\nab\r\n+\r\n", /as long as said/, "shorter than said"),
  row("$16\r\n0123456789abcdef\r\n", ['b"0123456789abcdef"'], "the longest"),
  row("$17\r\n0123456789abcdefg\r\n+OK\r\n", ["long(17)", '"OK"'], "longer ones are passed over"),
  row("$17\r\n0123456789abcdefghi", /as long as said/, "one without its end"),
  row("$536870913\r\n", /length/, "over the protocol's limit"),
  row("$99999999999999999999\r\n", /length/, "absurdly long"),
  row("*0\r\n", ["[]"], "an empty array"),
  row("*-1\r\n", ["null"], "the other null of RESP2"),
  row("*2\r\n$1\r\na\r\n:1\r\n", ['[b"a",1]'], "an array"),
  row("*2\r\n*1\r\n+a\r\n*0\r\n+b\r\n", ['[["a"],[]]', '"b"'], "arrays in one"),
  row("*2\r\n-ERR a\r\n$-1\r\n", ["[error(ERR a),null]"], "an error is a value there"),
  row("*6\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n", ["[1,2,3,4,5,6]"], "as many as may be"),
  row("*7\r\n", /number of items/, "too many"),
  row("*4\r\n*3\r\n", /over 6 items/, "too many in all"),
  row("*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n*5\r\n", ["[1,1,1,1,1]"], "the next reply counts anew"),
  row("*1\r\n*1\r\n*1\r\n:1\r\n", ["[[[1]]]"], "as deep as may be"),
  row("*1\r\n*1\r\n*1\r\n*0\r\n", /over 3 levels/, "too deep"),
  row("*-2\r\n", /number of items/, "a negative number"),
  row("*1e1\r\n", /number of items/, "an exponent"),
  row("*?\r\n", /number of items/, "a streamed array"),
  row(
    "*3\r\n$16\r\n0123456789abcdef\r\n$16\r\n0123456789abcdef\r\n$9\r\n012345678\r\n",
    ['[b"0123456789abcdef",b"0123456789abcdef",long(9)]'],
    "a reply keeps so many bytes",
  ),
  row("_\r\n", ["null"], "RESP3's null"),
  row("_1\r\n", /null/, "with a value"),
  row("#t\r\n#f\r\n", ["true", "false"], "booleans"),
  row("#true\r\n", /boolean/, "another spelling"),
  row(",1.5\r\n,-2e3\r\n,10\r\n", ["1.5", "-2000", "10"], "doubles"),
  row(",inf\r\n,-inf\r\n,nan\r\n", ["Infinity", "-Infinity", "NaN"], "those that are none"),
  row(",.5\r\n", /double/, "no digit first"),
  row(",0x1\r\n", /double/, "hexadecimal"),
  row("(12345678901234567890123\r\n", ["12345678901234567890123n"], "a big number"),
  row("(1.5\r\n", /big number/, "a broken one"),
  row("!6\r\nERR no\r\n", ["error(ERR no)"], "an error of several lines"),
  row("!-1\r\n", /length/, "no error"),
  row("=7\r\ntxt:abc\r\n", ['b"abc"'], "a verbatim string"),
  row("=3\r\nabc\r\n", /type/, "one without a type"),
  row("%1\r\n+a\r\n:1\r\n", ['["a",1]'], "a map"),
  row("%4\r\n", /over 6 items/, "its keys and values count"),
  row("~1\r\n+a\r\n", ['["a"]'], "a set"),
  row("|1\r\n+ttl\r\n:3\r\n+a\r\n", ['"a"'], "attributes are nobody's"),
  row("*2\r\n|1\r\n+ttl\r\n:3\r\n:1\r\n:2\r\n", ["[1,2]"], "nor items"),
  row("|0\r\n+a\r\n", ['"a"'], "no attributes"),
  row(">2\r\n+message\r\n:1\r\n+a\r\n", ['push(["message",1])', '"a"'], "what nobody asked for"),
  row("*1\r\n>0\r\n", /push/, "never in a reply"),
  row("+a\r\n+b\r\n*1\r\n+c\r\n", ['"a"', '"b"', '["c"]'], "several replies"),
  row("*2\r\n+a\r\n", [], "one that isn't complete"),
  row("", [], "nothing"),
];
