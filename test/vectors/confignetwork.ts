/** What a configuration server may send, in latin1, and what is read of it. */

export type ConfigExpectation =
  /** Payloads in latin1; `midway`: a message has begun and isn't complete. */
  | { readonly payloads: readonly string[]; readonly midway: boolean }
  /** Payloads before what is refused don't count, as they may have come with it. */
  | { readonly refused: RegExp };

export type ConfigVector = { name: string; why: string; input: string; expect: ConfigExpectation };

const START = "CENTAURI\0\0\0\x01";
const message = (payload: string): string => {
  const length = [24, 16, 8, 0].map((bits) => (payload.length >>> bits) & 0xff);
  return START + String.fromCharCode(...length) + payload;
};
const got = (...payloads: string[]): ConfigExpectation => ({ payloads, midway: false });
const midway = (...payloads: string[]): ConfigExpectation => ({ payloads, midway: true });
const bad = (refused: RegExp): ConfigExpectation => ({ refused });

const ROUTE = "route example.com\n  upstream 127.0.0.1:8701\n";
const row = (
  name: string,
  why: string,
  input: string,
  expect: ConfigExpectation,
): ConfigVector => ({
  ...{ name, why, input, expect },
});

export const vectors: readonly ConfigVector[] = [
  row("nothing", "the server has no routes yet", "", got()),
  row("one message", "what Go's Centauri reads, too", message(ROUTE), got(ROUTE)),
  row("an empty message", "no routes at all", message(""), got("")),
  row("several", "any number of times", message("a") + message("") + message(ROUTE), {
    payloads: ["a", "", ROUTE],
    midway: false,
  }),
  row("a message in a message", "the length counts", message(message("x")), got(message("x"))),
  row("bytes of any kind", "what they say is for others", message("\0\xff\r\n"), got("\0\xff\r\n")),
  row("256 bytes", "lengths have four bytes", message("x".repeat(256)), got("x".repeat(256))),
  row("half a magic", "more may come", "CENT", midway()),
  row("half a length", "more may come", `${START}\0\0`, midway()),
  row("half a payload", "more may come", message(ROUTE).slice(0, -1), midway()),
  row("one and a half", "the first counts", message("a") + message("b").slice(0, -1), midway("a")),
  row("the greatest length", "16 MiB are allowed", `${START}\x01\0\0\0x`, midway()),
  row("a byte more", "nothing is allocated for it", `${START}\x01\0\0\x01`, bad(/too long/)),
  row("4 GiB", "nothing is allocated for it", `${START}\xff\xff\xff\xff`, bad(/too long/)),
  row("too long later", "each is looked at", message("a") + `${START}\x02\0\0\0`, bad(/too long/)),
  row("another version", "Go's test has this one", "CENTAURI\0\0\0\x99\0\0\0\0", bad(/version/)),
  row("version 0", "none", "CENTAURI\0\0\0\0\0\0\0\0", bad(/version/)),
  row("a greater version", "its first byte tells", "CENTAURI\x01", bad(/version/)),
  row("little-endian version", "none", "CENTAURI\x01\0\0\0", bad(/version/)),
  row("lower case", "the magic is in capitals", "centauri", bad(/begin with CENTAURI/)),
  row("wrong at its end", "all of it counts", "CENTAURY", bad(/begin with CENTAURI/)),
  row("HTTP", "somebody else's port", "HTTP/1.1 400 Bad Request\r\n", bad(/begin with CENTAURI/)),
  row("TLS", "somebody else's port", "\x15\x03\x01\0\x02\x02\x46", bad(/begin with CENTAURI/)),
  row("a NUL between", "nothing is skipped", message("a") + "\0" + message("b"), bad(/begin with/)),
  row("a line end after it", "nothing is skipped", message("a") + "\n", bad(/begin with/)),
];
