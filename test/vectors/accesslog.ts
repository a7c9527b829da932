/** Requests, and the lines that they are in both formats. */
import type { RequestFacts } from "../../lib/observe.ts";

export interface LineVector {
  readonly name: string;
  readonly why: string;
  /** What differs from the first one. */
  readonly input: Omit<Partial<RequestFacts>, "head" | "client"> & {
    readonly head?: Partial<RequestFacts["head"]> | "none";
    readonly client?: Partial<RequestFacts["client"]>;
  };
  /** Without the time, which is always the same, and the line feed. */
  readonly combined: string;
  readonly json: string;
}

const COMBINED = '192.0.2.7 - - [TIME] "GET /a?b HTTP/1.1" 200 5 "-" "-"';
const JSON_HEAD = '{"time":"TIME","client":"192.0.2.7",';
const JSON_GET = JSON_HEAD + '"method":"GET","host":"a.example","target":"/a?b",';
const ANSWER = '"status":200,"received":0,"sent":5,"duration":0.001500,"ended":"complete"';
const HTTP1 = `"protocol":"HTTP/1.1",${ANSWER}`;
const ROUTED =
  ',"route":"a.example","upstream":"127.0.0.1:80","upstream_time":0.001000,"retries":0';

export const lineVectors: readonly LineVector[] = [
  {
    name: "a plain request",
    why: "what most lines are",
    input: {},
    combined: COMBINED,
    json: `${JSON_GET}${HTTP1}${ROUTED}}`,
  },
  {
    name: "referer and user agent",
    why: "the Combined Log Format is the common one and these two",
    input: { head: { fields: ["User-Agent", "curl/8", "Referer", "http://b.example/"] } },
    combined: COMBINED.replace('"-" "-"', '"http://b.example/" "curl/8"'),
    json: `${JSON_GET}${HTTP1}${ROUTED},"referer":"http://b.example/","user_agent":"curl/8"}`,
  },
  {
    name: "empty fields",
    why: "a parser takes an empty text for an end",
    input: { head: { fields: ["user-agent", "", "referer", ""] } },
    combined: COMBINED,
    json: `${JSON_GET}${HTTP1}${ROUTED},"referer":"","user_agent":""}`,
  },
  {
    name: "HTTP/2 by TLS",
    why: "the version is the connection's, not the head's",
    input: { client: { transport: { isHttp2: true, tls: "TLSv1.3" } } },
    combined: COMBINED.replace("HTTP/1.1", "HTTP/2.0"),
    json: `${JSON_GET}"protocol":"HTTP/2.0",${ANSWER}${ROUTED},"tls":"TLSv1.3"}`,
  },
  {
    name: "HTTP/1.0",
    why: "it has a name of its own",
    input: { head: { minor: 0 }, client: { transport: { isHttp2: false, tls: "TLSv1.2" } } },
    combined: COMBINED.replace("HTTP/1.1", "HTTP/1.0"),
    json: `${JSON_GET}"protocol":"HTTP/1.0",${ANSWER}${ROUTED},"tls":"TLSv1.2"}`,
  },
  {
    name: "no head",
    why: "what couldn't be read is a dash, as in nginx",
    input: {
      ...{ head: "none", status: 400, sent: 0, endedAt: 7, route: undefined },
      ...{ upstream: undefined, upstreamTime: undefined },
    },
    combined: '192.0.2.7 - - [TIME] "-" 400 0 "-" "-"',
    json: JSON_HEAD +
      '"status":400,"received":0,"sent":0,"duration":0.000000,"ended":"complete"}',
  },
  {
    name: "an upstream that failed",
    why: "it has no time, and was asked twice",
    input: {
      ...{ status: 502, upstreamTime: undefined, retries: 1, failures: 2 },
      ending: "upstream failed",
    },
    combined: COMBINED.replace("200 5", "502 5"),
    json: `${JSON_GET}"protocol":"HTTP/1.1","status":502,"received":0,"sent":5,` +
      '"duration":0.001500,"ended":"upstream failed","route":"a.example",' +
      '"upstream":"127.0.0.1:80","retries":1}',
  },
  {
    name: "IPv6",
    why: "a host in the Combined Log Format has no brackets",
    input: { client: { address: "2001:db8::1" } },
    combined: COMBINED.replace("192.0.2.7", "2001:db8::1"),
    json: `${JSON_GET}${HTTP1}${ROUTED}}`.replace("192.0.2.7", "2001:db8::1"),
  },
  {
    name: "a forged line",
    why: "quotes and line ends would begin another one",
    input: { head: { fields: ["User-Agent", '" 200 0 "\r\n192.0.2.8 - - "'] } },
    combined: COMBINED.replace('"-" "-"', '"-" "\\x22 200 0 \\x22\\x0D\\x0A192.0.2.8 - - \\x22"'),
    json: `${JSON_GET}${HTTP1}${ROUTED},` +
      '"user_agent":"\\u0022 200 0 \\u0022\\u000d\\u000a192.0.2.8 - - \\u0022"}',
  },
  {
    name: "a backslash",
    why: "before a quote it would make that part of the text",
    input: { head: { target: "/\\", fields: ["Referer", "\\"] } },
    combined: COMBINED.replace("/a?b", "/\\x5C").replace('"-" "-"', '"\\x5C" "-"'),
    json: `${JSON_GET.replace("/a?b", "/\\u005c")}${HTTP1}${ROUTED},"referer":"\\u005c"}`,
  },
  {
    name: "what drives terminals",
    why: "somebody looks at the file there; DEL, ESC and C1 controls",
    input: { head: { target: "/\x1b[2J\x7f\x9b\x00", authority: "a\x1b" } },
    combined: COMBINED.replace("/a?b", "/\\x1B[2J\\x7F\\x9B\\x00"),
    json: `${JSON_HEAD}"method":"GET","host":"a\\u001b",` +
      `"target":"/\\u001b[2J\\u007f\\u009b\\u0000",${HTTP1}${ROUTED}}`,
  },
  {
    name: "UTF-8",
    why: "a byte is escaped by itself: it may be part of nothing",
    input: { head: { fields: ["User-Agent", "\xe2\x98\x83\xff"] } },
    combined: COMBINED.replace('"-" "-"', '"-" "\\xE2\\x98\\x83\\xFF"'),
    json: `${JSON_GET}${HTTP1}${ROUTED},"user_agent":"\\u00e2\\u0098\\u0083\\u00ff"}`,
  },
  {
    name: "a long target",
    why: "64 KiB of them a line would fill a disk; the cut shows",
    input: { head: { target: "/".repeat(9000) } },
    combined: COMBINED.replace("/a?b", `${"/".repeat(8192)}...`),
    json: `${JSON_GET}${HTTP1}${ROUTED}}`.replace("/a?b", `${"/".repeat(8192)}...`),
  },
  {
    name: "a long user agent",
    why: "as above",
    input: { head: { fields: ["User-Agent", "x".repeat(1025)] } },
    combined: COMBINED.replace('"-" "-"', `"-" "${"x".repeat(1024)}..."`),
    json: `${JSON_GET}${HTTP1}${ROUTED},"user_agent":"${"x".repeat(1024)}..."}`,
  },
  {
    name: "a day's tunnel",
    why: "a long time has no exponent",
    input: { status: 101, beganAt: 0, endedAt: 1e11, received: 2 ** 40, sent: 2 ** 50 },
    combined: COMBINED.replace("200 5", "101 1125899906842624"),
    json: `${JSON_GET}"protocol":"HTTP/1.1","status":101,"received":1099511627776,` +
      `"sent":1125899906842624,"duration":100000000.000000,"ended":"complete"${ROUTED}}`,
  },
];
