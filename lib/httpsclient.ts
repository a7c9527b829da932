/**
 * An HTTP/1.1 client for APIs (RFC 9110, RFC 9112): a small request, its whole answer, and in words
 * what went wrong. Needs `http1client.ts`, `http1.ts` and what those need; TLS is the runtime's.
 *
 * Refuses an answer that is too long or switches protocols, and redirects from https to http. Knows
 * no proxies and no cookies. Whoever can cut a connection can shorten an answer that has neither
 * length nor chunks (RFC 9112 section 9.8).
 */
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import dns from "node:dns";
import net from "node:net";
import tls from "node:tls";
import { fieldValue, formatRequestHead, Http1Error } from "./http1.ts";
import { ClientConnection } from "./http1client.ts";

const REDIRECT_LIMIT = 5;
const ATTEMPT_TIMEOUT = 3_000; // ms for each address of a name but the last
const SHOWN_LIMIT = 300; // characters of a path, or of others' words, in a message

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** https: or http:, without a user name. */
  readonly url: string;
  /** [name, value, …]. Host, User-Agent, Accept-Encoding and Content-Length are added. */
  readonly fields?: readonly string[];
  /** Text is sent as UTF-8. */
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

/** `fields`: [name, value, …] with latin1 values. */
export interface HttpAnswer {
  readonly status: number;
  readonly fields: readonly string[];
  readonly body: Buffer;
}

/** Resolves whatever the status is; GET and HEAD follow redirects. Rejects with HttpError alone. */
export type HttpClient = (request: HttpRequest) => Promise<HttpAnswer>;

/** Method, host, path and why; never the query, which may hold a token. The cause is kept. */
export class HttpError extends Error {
  override readonly name = "HttpError";
}

export interface HttpClientOptions {
  readonly userAgent: string;
  /** PEM; instead of the runtime's roots. */
  readonly ca?: readonly string[];
  /** A name, not an address, to send and verify instead of the URL's. */
  readonly serverName?: string;
  /** Of everything from the look-up of the name to the answer's last byte, in ms. */
  readonly timeout?: number;
  /** Of an answer, in bytes. */
  readonly maxBody?: number;
  /**
   * How long a connection is kept for another request, in ms. Servers close idle ones after some
   * seconds, and a request that crosses that on the wire fails: nothing is sent twice.
   */
  readonly idle?: number;
}

/** A request on its way: what a message about it says, and what ends with it. */
type Task = { where: string; doing: string; socket: net.Socket | undefined };
type Open = { origin: string; socket: net.Socket; connection: ClientConnection };

/** Idle connections don't keep the process alive; `close` ends them, and not what is under way. */
export function createHttpClient(
  options: HttpClientOptions,
): { readonly request: HttpClient; close(): void } {
  const { timeout = 30_000, maxBody = 4 * 1024 * 1024, idle = 1_000 } = options;
  const kept = new Set<Open>();

  const request: HttpClient = (request) =>
    new Promise((resolve, reject) => {
      const { signal } = request;
      const task: Task = { where: request.method, doing: "", socket: undefined };
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const fail = (cause: unknown) => {
        end();
        task.socket?.destroy();
        reject(new HttpError(`${task.where}: ${inWords(cause)}`, { cause }));
      };
      const onAbort = () => fail(new Error("aborted", { cause: signal?.reason }));
      const late = () => fail(new Error(`gave up after ${timeout / 1000} s, ${task.doing}`));
      const timer = setTimeout(late, timeout);
      signal?.addEventListener("abort", onAbort);
      if (signal?.aborted) return onAbort();
      follow(request, task).then(resolve, fail).finally(end);
    });

  async function follow(request: HttpRequest, task: Task): Promise<HttpAnswer> {
    for (let hops = 0; hops <= REDIRECT_LIMIT; hops++) {
      const url = parseUrl(request.url);
      task.where = `${request.method} ${url.host}${url.pathname}`.slice(0, SHOWN_LIMIT);
      const answer = await exchange(request, url, task);
      const next = redirect(request, url, answer);
      if (next === undefined) return answer;
      request = next;
    }
    throw new Error(`over ${REDIRECT_LIMIT} redirects`);
  }

  async function exchange(request: HttpRequest, url: URL, task: Task): Promise<HttpAnswer> {
    const { method, fields = [] } = request;
    const body = Buffer.from(request.body ?? "");
    const hasBody = request.body !== undefined || method.startsWith("P"); // RFC 9110 section 8.6
    const head = formatRequestHead(method, url.pathname + url.search, [
      ...["Host", url.host, "User-Agent", options.userAgent, "Accept-Encoding", "identity"],
      ...checkFields(fields),
      ...hasBody ? ["Content-Length", String(body.length)] : [],
    ]);
    const { socket, connection } = take(url.origin) ?? await open(url, task);
    task.socket = socket;
    task.doing = "waiting for the answer";
    // When it's done the connection may be another request's, which mustn't end with this one.
    return converse(connection, { method, head, body, maxBody })
      .finally(() => task.socket = undefined);
  }

  /** The idle connection that was used last. */
  function take(origin: string): Open | undefined {
    const oldest = performance.now() - idle; // timers may be late
    const found = [...kept].findLast(({ origin: its, connection }) =>
      its === origin && connection.open && connection.idleSince >= oldest
    );
    if (found !== undefined) kept.delete(found);
    found?.socket.setTimeout(0).ref();
    return found;
  }

  /** Its answer is complete, or it has closed. */
  function free(each: Open): void {
    const { connection, socket } = each;
    kept.delete(each);
    if (!connection.open) return;
    connection.idleSince = performance.now();
    socket.setTimeout(idle).unref();
    kept.add(each);
  }

  async function open(url: URL, task: Task): Promise<Open> {
    const socket = await connect(url, options, task);
    const connection = new ClientConnection(socket, () => free(each));
    const each: Open = { origin: url.origin, socket, connection };
    socket.on("timeout", () => connection.destroy());
    socket.on("data", (chunk: Buffer) => void connection.read(chunk));
    return each;
  }

  return { request, close: () => kept.forEach(({ connection }) => connection.destroy()) };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.username + url.password === "") return url;
  const shown = text.replace(/[?#].*/s, "").replace(/.*@/s, "").slice(0, SHOWN_LIMIT);
  throw new Error(`invalid URL ${JSON.stringify(shown)}: expected https://host/path, no user name`);
}

/** A line break, such as a file with a token ends with, would begin another field. */
function checkFields(fields: readonly string[]): readonly string[] {
  for (let i = 0; i < fields.length; i += 2) {
    if (/^[\w!#$%&'*+\-.^`|~]+:[\t -~\x80-\xff]*$/.test(`${fields[i]}:${fields[i + 1]}`)) continue;
    const name = JSON.stringify(fields[i]);
    throw new Error(`the field ${name} has a character that no field can have`);
  }
  return fields;
}

/** The request that an answer asks for (RFC 9110 section 15.4). */
function redirect(request: HttpRequest, url: URL, answer: HttpAnswer): HttpRequest | undefined {
  const location = fieldValue(answer.fields, "location");
  const isRedirect = [301, 302, 303, 307, 308].includes(answer.status) &&
    ["GET", "HEAD"].includes(request.method);
  if (!isRedirect || location === undefined) return undefined;
  const to = new URL(location, url);
  if (url.protocol === "https:" && to.protocol !== "https:") {
    throw new Error(`redirected to ${to.protocol}, expected https:`);
  }
  // Any field may hold a credential: another origin gets none.
  const fields = to.origin === url.origin ? request.fields ?? [] : [];
  return { ...request, url: to.href, fields };
}

/** Tries every address of a name. A name goes out as SNI, an address doesn't (RFC 6066 3). */
function connect(url: URL, options: HttpClientOptions, task: Task): Promise<net.Socket> {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
  const { ca, serverName = host } = options;
  const isSecure = url.protocol === "https:";
  const to = {
    ...{ host, port: Number(url.port) || (isSecure ? 443 : 80), noDelay: true, lookup: dns.lookup },
    ...{ autoSelectFamily: true, autoSelectFamilyAttemptTimeout: ATTEMPT_TIMEOUT },
  };
  const socket = task.socket = isSecure
    ? tls.connect({
      ...to,
      servername: net.isIP(serverName) === 0 ? serverName : "",
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: true, // NODE_TLS_REJECT_UNAUTHORIZED=0 is for others
      checkServerIdentity,
      ...ca && { ca: [...ca] },
    })
    : net.connect(to);
  task.doing = `connecting to ${url.host}`;
  socket.once("connect", () => task.doing = "in the TLS handshake");
  return new Promise((resolve, reject) => {
    socket.once(isSecure ? "secureConnect" : "connect", () => resolve(socket));
    socket.on("error", reject); // stays, so that an error is never without a listener
    socket.once("close", () => reject(new Error("the connection was closed")));
  });
}

/** Node 22.23 finds an IPv6 address in no certificate. */
export function checkServerIdentity(
  host: string,
  certificate: tls.PeerCertificate,
): Error | undefined {
  if (net.isIPv6(host) && new X509Certificate(certificate.raw).checkIP(host)) return undefined;
  return tls.checkServerIdentity(host, certificate);
}

/** Sends a request and collects its answer; rejects with what went wrong, as it is. */
export function converse(
  connection: ClientConnection,
  { method, head, body, maxBody }: { method: string; head: string; body: Buffer; maxBody: number },
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    if (!connection.open) throw new Error("the connection was closed");
    let [status, fields]: [number, readonly string[]] = [0, []];
    let bytes: Buffer = Buffer.alloc(0); // one that grows: a chunk of one byte costs just that
    let length = 0;
    const nothing = () => {};
    connection.send(method, head, body.length, {
      onInformational: nothing,
      onResponse: (head) => {
        if (head.status === 101) throw new Error("the answer switches protocols, unasked");
        ({ status, fields } = head);
      },
      onResponseData: (chunk) => {
        const end = length + chunk.length;
        if (end > maxBody) throw new Error(`the answer is over ${maxBody} bytes long`);
        if (end > bytes.length) bytes = Buffer.concat([bytes], 2 * end);
        length += chunk.copy(bytes, length);
      },
      onResponseEnd: () => resolve({ status, fields, body: bytes.subarray(0, length) }),
      onReadEnd: nothing,
      onRequestDrain: nothing,
      onFailed: reject,
    });
    if (body.length > 0) connection.write(body);
    connection.end([]);
  });
}

const UNTRUSTED = "its certificate is of a CA that isn't trusted here";
const CLOCK = "or this machine's clock is wrong";

/** What a person can act on, by the runtime's codes. */
const WORDS: readonly (readonly [codes: string, words: string])[] = [
  ["ENOTFOUND", "no such name, or it has no address"],
  ["EAI_AGAIN", "no DNS server answers"],
  ["ECONNREFUSED", "nothing listens there"],
  ["ENOENT", "there is no such file or socket"],
  ["EACCES EPERM", "this user may not"],
  ["ECONNRESET EPIPE", "the other side broke off"],
  ["ETIMEDOUT", "nobody answers there"],
  ["EHOSTUNREACH ENETUNREACH", "there is no way there from this network"],
  ["CERT_HAS_EXPIRED", `its certificate has expired, ${CLOCK}`],
  ["CERT_NOT_YET_VALID", `its certificate isn't valid yet, ${CLOCK}`],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "its certificate is self-signed"],
  ["SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_GET_ISSUER_CERT_LOCALLY", UNTRUSTED],
  // Deno (2.9) says this of certificates that are out of date, too.
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", `${UNTRUSTED}, or out of date`],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for other names"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it doesn't speak TLS on this port"],
];

/** What went wrong, for a person. */
export function inWords(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(inWords).join("; ");
  if (!(error instanceof Error)) return String(error);
  const { code = "", reason } = error as Error & { code?: string; reason?: unknown };
  // OpenSSL's message is for its developers, its reason for us.
  const detail = (typeof reason === "string" ? reason : error.message).slice(0, SHOWN_LIMIT);
  if (error instanceof Http1Error) return `the answer isn't HTTP: ${detail}`;
  const row = WORDS.find(([codes]) => codes.split(" ").includes(code));
  return row === undefined ? detail : `${row[1]} (${detail})`;
}
