/**
 * Answers to a client with a limit of 1,000 bytes, as a peer writes them before it closes: what
 * comes of each is status and body, or an error's words. `method` is GET if it isn't there.
 */

export interface AnswerVector {
  readonly name: string;
  readonly why: string;
  readonly method?: "HEAD" | "POST";
  readonly input: string;
  readonly expect: { readonly status: number; readonly body: string } | { readonly error: RegExp };
}

const OK = "HTTP/1.1 200 OK\r\n";
const TOO_LONG = { error: /: the answer is over 1000 bytes long$/ };
const CUT = { error: /closed before the answer was complete$/ };

export const answers: readonly AnswerVector[] = [
  {
    name: "a length",
    why: "RFC 9112 section 6.3, rule 6",
    input: `${OK}Content-Length: 5\r\n\r\nhello`,
    expect: { status: 200, body: "hello" },
  },
  {
    name: "chunks",
    why: "RFC 9112 section 7.1; extensions and trailers are dropped",
    input: `${OK}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n`,
    expect: { status: 200, body: "hello" },
  },
  {
    name: "the connection's end",
    why: "RFC 9112 section 6.3, rule 8",
    input: `${OK}\r\nhello`,
    expect: { status: 200, body: "hello" },
  },
  {
    name: "HTTP/1.0",
    why: "small servers still speak it",
    input: "HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    expect: { status: 404, body: "no" },
  },
  {
    name: "interim answers",
    why: "RFC 9110 section 15.2: a client skips those it didn't ask for",
    input:
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n${OK}Content-Length: 0\r\n\r\n`,
    expect: { status: 200, body: "" },
  },
  {
    name: "no content",
    why: "RFC 9112 section 6.3, rule 1",
    input: "HTTP/1.1 204 No Content\r\n\r\n",
    expect: { status: 204, body: "" },
  },
  {
    name: "a HEAD's length",
    why: "it is that of a GET, which may be over any limit",
    method: "HEAD",
    input: `${OK}Content-Length: 5000\r\n\r\n`,
    expect: { status: 200, body: "" },
  },
  {
    name: "a redirect of a POST",
    why: "whether it is repeated is for the caller to say",
    method: "POST",
    input: "HTTP/1.1 307 x\r\nLocation: /b\r\nContent-Length: 1\r\n\r\nx",
    expect: { status: 307, body: "x" },
  },
  {
    name: "a redirect without a place",
    why: "it is an answer like any other",
    input: "HTTP/1.1 302 Found\r\nContent-Length: 1\r\n\r\nx",
    expect: { status: 302, body: "x" },
  },
  {
    name: "an Upgrade that is only offered",
    why: "RFC 9110 section 7.8: a server may say what else it speaks",
    input: `${OK}Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx`,
    expect: { status: 200, body: "x" },
  },
  {
    name: "all that the limit allows",
    why: "the limit is the last that passes",
    input: `${OK}Transfer-Encoding: chunked\r\n\r\n3e8\r\n${"x".repeat(1000)}\r\n0\r\n\r\n`,
    expect: { status: 200, body: "x".repeat(1000) },
  },
  {
    name: "a length over the limit",
    why: "it counts as it comes",
    input: `${OK}Content-Length: 1001\r\n\r\n${"x".repeat(1001)}`,
    expect: TOO_LONG,
  },
  {
    name: "chunks over the limit",
    why: "the limit counts what came, and no size that is only said",
    input: `${OK}Transfer-Encoding: chunked\r\n\r\n${`1f4\r\n${"x".repeat(500)}\r\n`.repeat(3)}`,
    expect: TOO_LONG,
  },
  {
    name: "more than the limit until the end",
    why: "as with chunks",
    input: `${OK}\r\n${"x".repeat(1001)}`,
    expect: TOO_LONG,
  },
  {
    name: "a body cut short",
    why: "RFC 9112 section 8: incomplete",
    input: `${OK}Content-Length: 6\r\n\r\nhello`,
    expect: CUT,
  },
  {
    name: "chunks cut short",
    why: "as with a length",
    input: `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    expect: CUT,
  },
  { name: "a head cut short", why: "as with a body", input: `${OK}Content-Le`, expect: CUT },
  { name: "nothing", why: "as with a head", input: "", expect: CUT },
  {
    name: "a switch of protocols",
    why: "RFC 9110 section 7.8: only to one that was asked for",
    input: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
    expect: { error: /: the answer switches protocols, unasked$/ },
  },
  {
    name: "both lengths",
    why: "RFC 9112 section 6.3, rule 3: whoever believes the other one reads another answer",
    input: `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    expect: { error: /: the answer isn't HTTP: both / },
  },
  {
    name: "another protocol",
    why: "as of a port that isn't HTTP's",
    input: "SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
    expect: { error: /: the answer isn't HTTP: / },
  },
  {
    name: "a long head",
    why: "limits come before memory",
    input: `${OK}A: ${"x".repeat(70_000)}\r\n\r\n`,
    expect: { error: /: the answer isn't HTTP: .* over 65536 bytes$/ },
  },
];
