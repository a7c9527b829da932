/**
 * An HTTP/1.1 client for APIs (RFC 9110, RFC 9112): one small request, its whole answer, and in
 * words what went wrong. Needs `http1client.ts`, `http1.ts`, `addr.ts`, and what those need; TLS is the
 * runtime's. Node 20 to 26 and Deno 2.9 were tried and don't differ here.
 *
 * Refuses an answer over its limit, of another coding, or that switches protocols; redirects of
 * anything but GET and HEAD, and from https to http. Knows no proxies and no cookies.
 * An answer whose end is the connection's isn't protected from being cut short (RFC 9112 9.8).
 */
import { Buffer } from "node:buffer";
import dns from "node:dns";
import net from "node:net";
import tls from "node:tls";
import { joinHostPort } from "./addr.ts";
import { fieldValue, formatRequestHead, Http1Error, type ResponseHead } from "./http1.ts";
import { ClientConnection } from "./http1client.ts";

/**
 * A request that must not be sent twice only goes out on a connection used within this time, in
 * milliseconds: servers close idle ones after some seconds, and the two may cross on the wire.
 */
const FRESH_FOR = 1_000;
/** Idle connections kept in all. */
const KEPT_LIMIT = 16;
const REDIRECT_LIMIT = 5;
/** Addresses of one name that are tried, and for how many ms when another is left to try. */
const ADDRESS_LIMIT = 8;
const ATTEMPT_TIMEOUT = 3_000;
/** Characters of a path in a message. */
const SHOWN_PATH = 200;

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** https: or http:; what is after `#` isn't sent, and a user name is refused. */
  readonly url: string;
  /** Flat: [name, value, …]. Host, Content-Length, User-Agent and Accept-Encoding are added. */
  readonly fields?: readonly string[];
  /** Sent with Content-Length; a string as UTF-8. */
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

/** `fields` are flat: [name, value, …]. A HEAD's answer, 204 and 304 have an empty body. */
export interface HttpAnswer {
  readonly status: number;
  readonly fields: readonly string[];
  readonly body: Buffer;
}

/** Resolves for every status; rejects with HttpError and nothing else. */
export type HttpClient = (request: HttpRequest) => Promise<HttpAnswer>;

/** The message has method, host, path (never the query: tokens may be in it) and why. */
export class HttpError extends Error {
  override readonly name = "HttpError";
}

export interface HttpClientOptions {
  /** PEM; instead of the runtime's roots. */
  readonly ca?: readonly string[];
  /** The name to send and to verify instead of the URL's. */
  readonly serverName?: string;
  readonly userAgent: string;
  /** For one request and its answer in all, redirects included, in ms; default 30_000. */
  readonly timeout?: number;
  /** Bytes; default 4 MiB. */
  readonly maxBody?: number;
  /** How long a connection is kept for the next request, in ms; default 5_000. */
  readonly idle?: number;
}

/** What is being done, for the message; `signal` is aborted with the Error that ends it. */
type Task = { readonly signal: AbortSignal; doing: string };
type Kept = { readonly origin: string; readonly socket: net.Socket; connection: ClientConnection };

/** Connections that idle don't keep the process alive; `close` ends them, not what is in flight. */
export function createHttpClient(
  options: HttpClientOptions,
): { readonly request: HttpClient; close(): void } {
  const { timeout = 30_000, maxBody = 4 * 1024 * 1024, idle = 5_000 } = options;
  const kept: Kept[] = [];
  let closed = false;

  async function request(request: HttpRequest): Promise<HttpAnswer> {
    const ending = new AbortController();
    const task: Task = { signal: ending.signal, doing: "" };
    const onTimeout = () =>
      ending.abort(new Error(`gave up after ${timeout / 1000} s, ${task.doing}`));
    const onAbort = () => ending.abort(new Error("aborted", { cause: request.signal?.reason }));
    const timer = setTimeout(onTimeout, timeout);
    request.signal?.addEventListener("abort", onAbort);
    if (request.signal?.aborted) onAbort();
    try {
      return await follow(request, task);
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", onAbort);
    }
  }

  async function follow(first: HttpRequest, task: Task): Promise<HttpAnswer> {
    let request = first;
    for (let hops = 0;; hops++) {
      const url = parseUrl(request);
      const where = `${request.method} ${url.host}${url.pathname.slice(0, SHOWN_PATH)}`;
      try {
        const answer = await exchange(request, url, task);
        const next = redirect(request, url, answer);
        if (next === undefined) return answer;
        if (hops === REDIRECT_LIMIT) throw new Error(`over ${REDIRECT_LIMIT} redirects`);
        request = next;
      } catch (error) {
        throw new HttpError(`${where}: ${inWords(error)}`, { cause: error });
      }
    }
  }

  async function exchange(request: HttpRequest, url: URL, task: Task): Promise<HttpAnswer> {
    task.signal.throwIfAborted();
    const { method } = request;
    const body = Buffer.from(request.body ?? "");
    const head = formatRequestHead(method, url.pathname + url.search, [
      ...["Host", url.host, "User-Agent", options.userAgent, "Accept-Encoding", "identity"],
      ...checkFields(request.fields ?? []),
      ...request.body === undefined ? [] : ["Content-Length", String(body.length)],
    ]);
    const send = (on: Kept) => converse(on.connection, { method, head, body, maxBody, task });
    const mayRepeat = method === "GET" || method === "HEAD"; // RFC 9110 section 9.2.2
    const old = take(url.origin, mayRepeat ? Infinity : FRESH_FOR);
    if (old !== undefined) {
      try {
        return await send(old);
      } catch (error) {
        if (!mayRepeat || old.connection.answered || task.signal.aborted) throw error;
      }
    }
    return await send(await open(url, task));
  }

  /** The connection used last; those that have closed are no longer in the list. */
  function take(origin: string, fresh: number): Kept | undefined {
    const oldest = performance.now() - fresh;
    const at = kept.findLastIndex(({ origin: its, connection }) =>
      its === origin && connection.open && connection.idleSince >= oldest
    );
    if (at < 0) return undefined;
    const [taken] = kept.splice(at, 1);
    taken!.socket.setTimeout(0).ref();
    return taken;
  }

  /** A connection has become free, or has closed. */
  function free(each: Kept): void {
    const at = kept.indexOf(each);
    if (at >= 0) kept.splice(at, 1);
    if (!each.connection.open) return;
    if (closed || kept.length >= KEPT_LIMIT) return each.connection.destroy();
    each.connection.idleSince = performance.now();
    each.socket.setTimeout(idle).unref();
    kept.push(each);
  }

  async function open(url: URL, task: Task): Promise<Kept> {
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
    const secure = url.protocol === "https:";
    const port = url.port === "" ? secure ? 443 : 80 : Number(url.port); // checked by the URL parser
    const tcp = await connect(host, port, task);
    const socket = secure ? await startTls(tcp, host, options, task) : tcp;
    const connection = new ClientConnection(socket, () => free(each));
    const each: Kept = { origin: url.origin, socket, connection };
    socket.on("timeout", () => connection.destroy());
    socket.on("data", (chunk: Buffer) => void connection.read(chunk));
    return each;
  }

  const close = (): void => {
    closed = true;
    for (const { connection } of kept.splice(0)) connection.destroy();
  };
  return { request, close };
}

/** No message shows what may be a secret: what is before an @ or in the query. */
function parseUrl({ method, url }: HttpRequest): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed !== undefined && /^https?:$/.test(parsed.protocol) && !parsed.href.includes("@")) {
    return parsed;
  }
  const shown = JSON.stringify(url.replace(/[?#].*/s, "").replace(/.*@/s, ""));
  throw new HttpError(`${method} ${shown}: expected an http or https URL without a user name`);
}

const FIELD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*$/;

/** A line break, as at the end of a token read from a file, would begin another field. */
function checkFields(fields: readonly string[]): readonly string[] {
  for (let i = 0; i < fields.length; i += 2) {
    if (FIELD.test(`${fields[i]}: ${fields[i + 1]}`)) continue;
    throw new Error(`the value of ${JSON.stringify(fields[i])} has characters no field can have`);
  }
  return fields;
}

/** The request that an answer asks for (RFC 9110 section 15.4). */
function redirect(request: HttpRequest, url: URL, answer: HttpAnswer): HttpRequest | undefined {
  const { method, fields = [] } = request;
  const location = fieldValue(answer.fields, "location");
  const isRedirect = [301, 302, 303, 307, 308].includes(answer.status) && location !== undefined;
  if (!isRedirect || (method !== "GET" && method !== "HEAD")) return undefined;
  const to = URL.canParse(location, url) ? new URL(location, url) : undefined;
  if (to === undefined || (url.protocol === "https:" && to.protocol !== "https:")) {
    throw new Error(`redirected to ${to?.protocol ?? "what is no URL"}, expected https:`);
  }
  // Any field may be a credential: another origin gets none of them.
  return { ...request, url: to.href, fields: to.origin === url.origin ? fields : [] };
}

/** Tries every address of the name, in the system's order (RFC 6724). */
async function connect(host: string, port: number, task: Task): Promise<net.Socket> {
  task.doing = `looking up ${host}`;
  const addresses = await orAborted(resolve(host), task.signal);
  const failures: string[] = [];
  for (let cause: unknown;;) {
    const address = addresses.shift();
    if (address === undefined) throw new Error(failures.join("; "), { cause });
    task.doing = `connecting to ${joinHostPort(address, port)}`;
    const socket = net.connect({ host: address, port, noDelay: true });
    const late = () => socket.destroy(new Error(`${address} didn't answer`));
    if (addresses.length > 0) socket.setTimeout(ATTEMPT_TIMEOUT, late);
    try {
      await ready(socket, "connect", task.signal);
      return socket.setTimeout(0).off("timeout", late);
    } catch (error) {
      if (task.signal.aborted) throw error;
      failures.push(inWords(cause = error));
    }
  }
}

async function resolve(host: string): Promise<string[]> {
  if (net.isIP(host) !== 0) return [host];
  const found = await dns.promises.lookup(host, { all: true, verbatim: true });
  if (found.length === 0) throw Object.assign(new Error(host), { code: "ENOTFOUND" });
  return found.slice(0, ADDRESS_LIMIT).map(({ address }) => address);
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((done, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    promise.then(done, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Names go out as SNI, addresses don't (RFC 6066 section 3); both are verified (RFC 9525). */
function startTls(
  socket: net.Socket,
  host: string,
  { ca, serverName = host }: HttpClientOptions,
  task: Task,
): Promise<net.Socket> {
  task.doing = "in the TLS handshake";
  const secure = tls.connect({
    socket,
    host: serverName,
    servername: net.isIP(serverName) === 0 ? serverName : "",
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: true, // whatever the environment says
    ...ca === undefined ? {} : { ca: [...ca] },
  });
  return ready(secure, "secureConnect", task.signal).finally(() =>
    secure.destroyed && socket.destroy()
  );
}

/** Waits for the event; the socket is destroyed when that fails or the signal is aborted. */
function ready(socket: net.Socket, event: string, signal: AbortSignal): Promise<net.Socket> {
  return new Promise((done, reject) => {
    const fail = (error: unknown) => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      reject(error);
    };
    const onAbort = () => fail(signal.reason);
    signal.addEventListener("abort", onAbort);
    socket.on("error", fail).on("close", () => fail(new Error("the connection was closed")));
    socket.once(event, () => {
      signal.removeEventListener("abort", onAbort);
      done(socket);
    });
  });
}

interface Message {
  readonly method: string;
  readonly head: string;
  readonly body: Buffer;
  readonly maxBody: number;
  readonly task: Task;
}

/** Sends a request and collects its answer. */
function converse(connection: ClientConnection, message: Message): Promise<HttpAnswer> {
  const { method, head, body, maxBody, task: { signal } } = message;
  message.task.doing = "waiting for the answer";
  return new Promise((done, reject) => {
    let answer: ResponseHead;
    const collected = collector(maxBody);
    const onFailed = (error: unknown) => {
      signal.removeEventListener("abort", onAbort);
      connection.destroy();
      reject(error);
    };
    const onAbort = () => onFailed(signal.reason);
    if (signal.aborted) return onAbort();
    if (!connection.open) return onFailed(new Error("the connection was closed"));
    signal.addEventListener("abort", onAbort);
    const nothing = () => {};
    connection.send(method, head, body.length, {
      onInformational: nothing,
      onResponse: (head) => checkHead(answer = head, maxBody),
      onResponseData: (chunk) => collected.add(chunk),
      onResponseEnd: () => {
        signal.removeEventListener("abort", onAbort);
        done({ status: answer.status, fields: answer.fields, body: collected.take() });
      },
      onReadEnd: nothing,
      onRequestDrain: nothing,
      onFailed,
    });
    if (body.length > 0) connection.write(body);
    connection.end([]);
  });
}

function checkHead({ status, length, fields }: ResponseHead, maxBody: number): void {
  if (status === 101) throw new Error("the answer switches protocols, unasked");
  if (length > maxBody) throw tooLong(maxBody);
  const coding = fieldValue(fields, "content-encoding") ?? "identity";
  if (coding.toLowerCase() === "identity") return;
  throw new Error(`the answer has the content coding ${JSON.stringify(coding)}, unasked`);
}

const tooLong = (maxBody: number): Error => new Error(`the answer has over ${maxBody} bytes`);

/** One buffer that grows: a chunk of one byte costs one byte. */
function collector(limit: number): { add(chunk: Buffer): void; take(): Buffer } {
  let bytes: Buffer = Buffer.alloc(0);
  let length = 0;
  return {
    add(chunk) {
      if (length + chunk.length > limit) throw tooLong(limit);
      if (length + chunk.length > bytes.length) {
        const grown = Buffer.allocUnsafeSlow(2 * (length + chunk.length));
        bytes.copy(grown, 0, 0, length);
        bytes = grown;
      }
      length += chunk.copy(bytes, length);
    },
    take: () => bytes.subarray(0, length),
  };
}

const UNTRUSTED = "its certificate is of a CA that isn't trusted here";

/** What a person can act on, by the runtime's code. */
const WORDS: ReadonlyMap<string, string> = new Map([
  ["ENOTFOUND", "no such name, or it has no address"],
  ["EAI_AGAIN", "no DNS server answered"],
  ["ECONNREFUSED", "nothing listens there"],
  ["ECONNRESET", "the other side broke the connection off"],
  ["EPIPE", "the other side broke the connection off"],
  ["ETIMEDOUT", "nobody answers there"],
  ["EHOSTUNREACH", "this machine's network has no way there"],
  ["ENETUNREACH", "this machine's network has no way there"],
  ["CERT_HAS_EXPIRED", "its certificate has expired, or this machine's clock is wrong"],
  ["CERT_NOT_YET_VALID", "its certificate isn't valid yet, or this machine's clock is wrong"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "its certificate is self-signed"],
  ["SELF_SIGNED_CERT_IN_CHAIN", UNTRUSTED],
  ["UNABLE_TO_GET_ISSUER_CERT", UNTRUSTED],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", UNTRUSTED],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", UNTRUSTED],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for other names"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it doesn't speak TLS on this port"],
]);

function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code = "", reason } = error as Error & { code?: string; reason?: unknown };
  const detail = (typeof reason === "string" ? reason : error.message).slice(0, 300);
  if (error instanceof Http1Error) return `the answer isn't HTTP: ${detail}`;
  const words = WORDS.get(code);
  return words === undefined ? detail : `${words} (${detail})`;
}
