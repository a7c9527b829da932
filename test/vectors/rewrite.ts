/** Heads on their way through the proxy: what comes in, and the fields that go out. */

export interface RequestRow {
  readonly name: string;
  readonly why: string;
  /** Field lines after the request line and `Host: a.example`. */
  readonly input: readonly string[];
  readonly method?: string;
  readonly trusted?: boolean;
  /** Field lines, without the Host and the three X-Forwarded fields where they are the usual ones. */
  readonly expect: readonly string[];
}

/** What every upstream gets from the client of these rows, unless a row says otherwise. */
export const USUAL: readonly string[] = [
  "X-Forwarded-For: 192.0.2.1",
  "X-Forwarded-Host: a.example",
  "X-Forwarded-Proto: https",
];

export const requestRows: readonly RequestRow[] = [
  {
    name: "unusual fields, twice and out of order",
    why: "RFC 9110 section 5.3: what isn't ours keeps bytes, case, order and duplicates",
    input: ["x-B: 1", "X-a:  two  words ", "X-B: ", "!#$%&'*+-.^_`|~: \xe9", "x-B: 1"],
    expect: ["x-B: 1", "X-a: two  words", "X-B: ", "!#$%&'*+-.^_`|~: \xe9", "x-B: 1", ...USUAL],
  },
  {
    name: "fields of the connection",
    why: "RFC 9110 section 7.6.1",
    input: ["Connection: x-mine, close", "X-Mine: 1", "Keep-Alive: 5", "Proxy-Connection: x"],
    expect: USUAL,
  },
  {
    name: "credentials for the proxy",
    why: "RFC 9110 section 11.7.2: consumed by the first proxy that was meant",
    input: ["Proxy-Authorization: Basic x", "Authorization: Basic y"],
    expect: ["Authorization: Basic y", ...USUAL],
  },
  {
    name: "Connection can't remove what the proxy sets",
    why: "upstreams that trust these fields would take their absence for a direct client",
    input: ["Connection: x-forwarded-for, host, content-length", "Content-Length: 1"],
    expect: ["Content-Length: 1", ...USUAL],
  },
  {
    name: "fields that say who the client is",
    why: "an upstream believes them",
    input: [
      ...["Forwarded: for=1", "X-Real-IP: 1", "True-Client-Ip: 1", "x-forwarded-for: 1"],
      ...["X-FORWARDED-HOST: b", "X-Forwarded-Proto: http", "Tailscale-User-Login: root"],
      ...["Tailscale-User-Name: root", "tailscale-user-profile-pic: x"],
      ...["Tailscale-Headers-Info: x", "Tailscale-App-Capabilities: {}"],
      ...["Tailscale-Funnel-Request: ?1"],
    ],
    expect: USUAL,
  },
  {
    name: "the same with underscores",
    why: "CGI, WSGI and PHP can't tell X_Real_IP from X-Real-IP",
    input: [
      ...["X_Forwarded_For: 1", "x_real-ip: 1", "Tailscale_User_Login: root", "X_Other: 1"],
      ...["Content_Length: 5", "transfer_encoding: chunked"],
    ],
    expect: ["X_Other: 1", ...USUAL],
  },
  {
    name: "longer names that begin alike",
    why: "only the names themselves are taken",
    input: ["X-Real-IP-Old: 1", "Forwarded-By: 2", "Tailscale-User-Login-Time: 3"],
    expect: ["X-Real-IP-Old: 1", "Forwarded-By: 2", "Tailscale-User-Login-Time: 3", ...USUAL],
  },
  {
    name: "a trusted proxy's fields, over two lines",
    why: "all of them count, not the first line only",
    trusted: true,
    input: [
      ...["X-Forwarded-For: 10.0.0.1", "x-forwarded-for: 10.0.0.2", "X-Forwarded-Host: b.example"],
      "X-Forwarded-Proto: http",
    ],
    expect: [
      "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.1",
      "X-Forwarded-Host: b.example",
      "X-Forwarded-Proto: http",
    ],
  },
  {
    name: "a trusted proxy without the fields",
    why: "there is nothing to keep",
    trusted: true,
    input: [],
    expect: USUAL,
  },
  {
    name: "a trusted proxy's Forwarded and X-Real-IP",
    why: "these are never kept: nobody checks that they agree with the others",
    trusted: true,
    input: ["Forwarded: for=1", "X-Real-IP: 1"],
    expect: USUAL,
  },
  {
    name: "chunked",
    why: "the body is framed anew",
    input: ["Transfer-Encoding: Chunked", "Trailer: x-t"],
    expect: ["Trailer: x-t", ...USUAL, "Transfer-Encoding: chunked"],
  },
  {
    name: "an upgrade",
    why: "RFC 9110 section 7.8: Connection says so anew",
    input: ["Connection: keep-alive, Upgrade", "Upgrade: websocket"],
    expect: [...USUAL, "Connection: Upgrade", "Upgrade: websocket"],
  },
  {
    name: "an upgrade that Connection doesn't name",
    why: "RFC 9110 section 7.8: it isn't one",
    input: ["Upgrade: websocket"],
    expect: USUAL,
  },
  {
    name: "an upgrade to h2c",
    why: "requests in it would pass the proxy unseen",
    input: ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA"],
    expect: USUAL,
  },
  {
    name: "TE: trailers",
    why: "RFC 9110 section 10.1.4: trailers do pass here",
    input: ["Connection: te", "TE: gzip, trailers"],
    expect: [...USUAL, "Connection: TE", "TE: trailers"],
  },
  {
    name: "Max-Forwards in OPTIONS",
    why: "RFC 9110 section 7.6.2",
    method: "OPTIONS",
    input: ["Max-Forwards: 10"],
    expect: ["Max-Forwards: 9", ...USUAL],
  },
  {
    name: "Max-Forwards in GET",
    why: "RFC 9110 section 7.6.2: it means nothing there",
    input: ["Max-Forwards: 10"],
    expect: ["Max-Forwards: 10", ...USUAL],
  },
];

export interface ResponseRow {
  readonly name: string;
  readonly why: string;
  /** Status line and field lines. */
  readonly input: readonly string[];
  /** As in a route file. */
  readonly rules?: readonly string[];
  readonly expect: readonly string[];
}

const DATE = "Date: today";

export const responseRows: readonly ResponseRow[] = [
  {
    name: "an answer without a date",
    why: "RFC 9110 section 6.6.1: whoever forwards it adds one",
    input: ["200 OK", "Content-Length: 1"],
    expect: ["Content-Length: 1", DATE],
  },
  {
    name: "fields of the connection",
    why: "RFC 9110 section 7.6.1",
    input: [
      ...["200 OK", "date: then", "Connection: keep-alive, x-hop", "Keep-Alive: timeout=5"],
      ...["X-Hop: 1", "Proxy-Authenticate: Basic", "Set-Cookie: a", "Set-Cookie: b"],
    ],
    expect: ["date: then", "Set-Cookie: a", "Set-Cookie: b"],
  },
  {
    name: "chunked",
    why: "the client's connection frames the body",
    input: ["200 OK", "Date: x", "Transfer-Encoding: chunked", "Trailer: x-t"],
    expect: ["Date: x", "Trailer: x-t"],
  },
  {
    name: "a length in a 204",
    why: "RFC 9110 section 8.6: it must not be there",
    input: ["204 No Content", "Date: x", "Content-Length: 0"],
    expect: ["Date: x"],
  },
  {
    name: "a length in a 304",
    why: "RFC 9110 section 8.6: it is that of the body that isn't sent",
    input: ["304 Not Modified", "Date: x", "Content-Length: 10"],
    expect: ["Date: x", "Content-Length: 10"],
  },
  {
    name: "switching protocols",
    why: "RFC 9110 section 7.8",
    input: ["101 Switching Protocols", "Upgrade: websocket", "connection: upgrade", "X: 1"],
    expect: ["X: 1", "Connection: Upgrade", "Upgrade: websocket"],
  },
  {
    name: "rules, in their order",
    why: "reference W11 to W14",
    input: ["200 OK", "Date: x", "X-A: 1", "x-a: 2", "X-Empty:"],
    rules: [
      ...["header add X-A 3", "header default X-A 4", "header default X-Empty 5"],
      ...["header replace Date y", "header delete X-None"],
    ],
    expect: ["X-A: 1", "x-a: 2", "X-A: 3", "X-Empty: 5", "Date: y"],
  },
  {
    name: "a rule that deletes",
    why: "in any case, all of them",
    input: ["200 OK", "Date: x", "Server: a", "SERVER: b", "X-Server: c"],
    rules: ["header delete server"],
    expect: ["Date: x", "X-Server: c"],
  },
];
