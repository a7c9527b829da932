/**
 * An HTTP/1.1 client for APIs (RFC 9110, RFC 9112): a small request, its whole answer, and in words
 * what went wrong. Needs `http1client.ts`, `http1.ts`, what those need, and `addr.ts`; TLS is the
 * runtime's; where Node (20 to 26) and Deno (2.9) differ, it says so.
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
import { joinHostPort } from "./addr.ts";
import { fieldValue, formatRequestHead, Http1Error, type ResponseHead } from "./http1.ts";
import { ClientConnection } from "./http1client.ts";
import { parseDecimal } from "./number.ts";

/**
 * A request that must not be sent twice only goes out on a connection used within this time, in ms:
 * servers close idle ones after some seconds, and the two may cross on the wire.
 */
const FRESH_FOR = 1_000;
const KEPT_LIMIT = 16; // idle connections, to all hosts
const REDIRECT_LIMIT = 5;
/** Addresses of one name that are tried, and for how many ms if that isn't the last. */
const ADDRESS_LIMIT = 8, ATTEMPT_TIMEOUT = 3_000;
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

/**
 * Resolves whatever the status is; GET and HEAD follow redirects. Rejects with HttpError alone. A
 * GET or HEAD may be sent twice, any other request is not.
 */
export type HttpClient = (request: HttpRequest) => Promise<HttpAnswer>;

/** Method, host, path and why; never the query, which may hold a token. The cause is kept. */
export class HttpError extends Error {
  override readonly name = "HttpError";
}

export interface HttpClientOptions {
  /** PEM; instead of the runtime's roots. */
  readonly ca?: readonly string[];
  /** A name to send and verify instead of the URL's. */
  readonly serverName?: string;
  readonly userAgent: string;
  /** Of everything from the look-up of the name to the answer's last byte, in ms; 30_000. */
  readonly timeout?: number;
  /** Of an answer, in bytes; 4 MiB. */
  readonly maxBody?: number;
  /** How long a connection is kept for another request, in ms; 5_000. */
  readonly idle?: number;
}

/** A request on its way: what a message about it says, and what ends with it. */
type Task = { where: string; doing: string; ended: boolean; socket: net.Socket | undefined };
type Open = { origin: string; socket: net.Socket; connection: ClientConnection };

/** Idle connections don't keep the process alive; `close` ends them, and not what is under way. */
export function createHttpClient(
  options: HttpClientOptions,
): { readonly request: HttpClient; close(): void } {
  const { timeout = 30_000, maxBody = 4 * 1024 * 1024, idle = 5_000 } = options;
  const kept: Open[] = [];
  let closed = false;

  const request: HttpClient = (request) =>
    new Promise((resolve, reject) => {
      const { signal } = request;
      const task: Task = { where: request.method, doing: "", ended: false, socket: undefined };
      const end = () => {
        task.ended = true;
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
    for (let hops = 0;; hops++) {
      const url = parseUrl(request.url);
      task.where = `${request.method} ${url.host}${url.pathname}`.slice(0, SHOWN_LIMIT);
      const answer = await exchange(request, url, task);
      const next = redirect(request, url, answer);
      if (next === undefined) return answer;
      if (hops === REDIRECT_LIMIT) throw new Error(`over ${REDIRECT_LIMIT} redirects`);
      request = next;
    }
  }

  async function exchange(request: HttpRequest, url: URL, task: Task): Promise<HttpAnswer> {
    const { method } = request;
    const body = Buffer.from(request.body ?? "");
    const hasBody = request.body !== undefined || method.startsWith("P"); // RFC 9110 section 8.6
    const head = formatRequestHead(method, url.pathname + url.search, [
      ...["Host", url.host, "User-Agent", options.userAgent, "Accept-Encoding", "identity"],
      ...checkFields(request.fields ?? []),
      ...hasBody ? ["Content-Length", String(body.length)] : [],
    ]);
    const send = ({ socket, connection }: Open): Promise<HttpAnswer> => {
      task.socket = socket;
      task.doing = "waiting for the answer";
      // When it's done the connection may be another request's, which mustn't end with this one.
      return converse(connection, { method, head, body, maxBody })
        .finally(() => task.socket = undefined);
    };
    const old = take(url.origin, isSafe(method) ? Infinity : FRESH_FOR);
    if (old === undefined) return await send(await open(url, task));
    return await send(old).catch(async (error) => {
      if (!isSafe(method) || old.connection.answered || task.ended) throw error;
      return await send(await open(url, task));
    });
  }

  /** The idle connection that was used last. */
  function take(origin: string, fresh: number): Open | undefined {
    const oldest = performance.now() - fresh;
    const at = kept.findLastIndex((each) =>
      each.origin === origin && each.connection.open && each.connection.idleSince >= oldest
    );
    const [taken] = at < 0 ? [] : kept.splice(at, 1);
    taken?.socket.setTimeout(0).ref();
    return taken;
  }

  /** Its answer is complete, or it has closed. */
  function free(each: Open): void {
    const { connection, socket } = each;
    const at = kept.indexOf(each);
    if (at >= 0) kept.splice(at, 1);
    if (closed || kept.length >= KEPT_LIMIT) connection.destroy();
    if (!connection.open) return;
    connection.idleSince = performance.now();
    socket.setTimeout(idle).unref();
    kept.push(each);
  }

  async function open(url: URL, task: Task): Promise<Open> {
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
    const secure = url.protocol === "https:";
    const tcp = await connect(host, parseDecimal(url.port) ?? (secure ? 443 : 80), task);
    const socket = secure ? await startTls(tcp, host, options, task) : tcp;
    const connection = new ClientConnection(socket, () => free(each));
    const each: Open = { origin: url.origin, socket, connection };
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

/** RFC 9110 section 9.2.1. */
const isSafe = (method: string): boolean => method === "GET" || method === "HEAD";

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.username + url.password === "") return url;
  const shown = text.replace(/[?#].*/s, "").replace(/.*@/s, "").slice(0, SHOWN_LIMIT);
  throw new Error(`invalid URL ${JSON.stringify(shown)}: expected https://host/path, no user name`);
}

/** A line break, such as a file with a token ends with, would begin another field. */
function checkFields(fields: readonly string[]): readonly string[] {
  const wrong = fields.findIndex((text, i) =>
    i % 2 === 0 ? !/^[\w!#$%&'*+\-.^`|~]+$/.test(text) : !/^[\t -~\x80-\xff]*$/.test(text)
  );
  if (wrong < 0) return fields;
  const name = JSON.stringify(fields[wrong - wrong % 2]);
  throw new Error(`the field ${name} has a character that no field can have`);
}

/** The request that an answer asks for (RFC 9110 section 15.4). */
function redirect(request: HttpRequest, url: URL, answer: HttpAnswer): HttpRequest | undefined {
  const location = fieldValue(answer.fields, "location");
  const isRedirect = isSafe(request.method) && [301, 302, 303, 307, 308].includes(answer.status);
  if (!isRedirect || location === undefined) return undefined;
  const to = URL.canParse(location, url) ? new URL(location, url) : undefined;
  if (to === undefined || (url.protocol === "https:" && to.protocol !== "https:")) {
    throw new Error(`redirected to ${to?.protocol ?? "what is no URL"}, expected https:`);
  }
  // Any field may hold a credential: another origin gets none.
  const fields = to.origin === url.origin ? request.fields ?? [] : [];
  return { ...request, url: to.href, fields };
}

/** Tries the addresses of a name one after another, in the system's order (RFC 6724). */
async function connect(host: string, port: number, task: Task): Promise<net.Socket> {
  task.doing = `looking up ${host}`;
  const found = net.isIP(host) !== 0
    ? [{ address: host }]
    : await dns.promises.lookup(host, { all: true, verbatim: true });
  const failures: unknown[] = [];
  for (const [i, { address }] of found.slice(0, ADDRESS_LIMIT).entries()) {
    if (task.ended) break;
    task.doing = `connecting to ${joinHostPort(address, port)}`;
    const socket = task.socket = net.connect({ host: address, port, noDelay: true });
    const late = () => socket.destroy(new Error(`${address} doesn't answer`));
    if (i + 1 < found.length) socket.setTimeout(ATTEMPT_TIMEOUT, late);
    try {
      await ready(socket, "connect");
      return socket.setTimeout(0).off("timeout", late);
    } catch (error) {
      failures.push(error);
    }
  }
  throw new Error(failures.map(inWords).join("; ") || "no address", { cause: failures.at(-1) });
}

/** A name goes out as SNI, an address doesn't (RFC 6066 section 3); either is verified. */
async function startTls(
  tcp: net.Socket,
  host: string,
  { ca, serverName = host }: HttpClientOptions,
  task: Task,
): Promise<net.Socket> {
  task.doing = "in the TLS handshake";
  const socket = task.socket = tls.connect({
    socket: tcp,
    host: serverName,
    servername: net.isIP(serverName) === 0 ? serverName : "",
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: true, // NODE_TLS_REJECT_UNAUTHORIZED=0 is for others
    checkServerIdentity,
    ...ca && { ca: [...ca] },
  });
  await ready(socket, "secureConnect");
  return socket;
}

/** Node 22.23 finds an IPv6 address in no certificate. */
function checkServerIdentity(host: string, certificate: tls.PeerCertificate): Error | undefined {
  if (net.isIPv6(host) && new X509Certificate(certificate.raw).checkIP(host)) return undefined;
  return tls.checkServerIdentity(host, certificate);
}

/** Leaves a listener for errors, so that none is ever without. */
function ready(socket: net.Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(new Error("the connection was closed"));
    socket.once(event, resolve).on("error", reject).once("close", onClose);
  });
}

/** Sends a request and collects its answer. */
function converse(
  connection: ClientConnection,
  request: { method: string; head: string; body: Buffer; maxBody: number },
): Promise<HttpAnswer> {
  const { method, head, body, maxBody } = request;
  return new Promise((resolve, reject) => {
    if (!connection.open) throw new Error("the connection was closed");
    let { status, fields }: Pick<ResponseHead, "status" | "fields"> = { status: 0, fields: [] };
    let bytes: Buffer = Buffer.alloc(0); // one that grows: a chunk of one byte costs just that
    let length = 0;
    const claim = (size: number) => {
      if (size > maxBody) throw new Error(`the answer is over ${maxBody} bytes long`);
    };
    const nothing = () => {};
    connection.send(method, head, body.length, {
      onInformational: nothing,
      onResponse: (head) => {
        if (head.status === 101) throw new Error("the answer switches protocols, unasked");
        claim(head.length);
        ({ status, fields } = head);
      },
      onResponseData: (chunk) => {
        claim(length + chunk.length);
        if (length + chunk.length > bytes.length) {
          bytes = Buffer.concat([bytes], 2 * (length + chunk.length));
        }
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
const OLD = "or it is out of date";
const CLOCK = "or this machine's clock is wrong";

/** What a person can act on, by the runtime's codes. */
const WORDS: readonly (readonly [codes: string, words: string])[] = [
  ["ENOTFOUND", "no such name, or it has no address"],
  ["EAI_AGAIN", "no DNS server answers"],
  ["ECONNREFUSED", "nothing listens there"],
  ["ECONNRESET EPIPE", "the other side broke off"],
  ["ETIMEDOUT", "nobody answers there"],
  ["EHOSTUNREACH ENETUNREACH", "there is no way there from this network"],
  ["CERT_HAS_EXPIRED", `its certificate has expired, ${CLOCK}`],
  ["CERT_NOT_YET_VALID", `its certificate isn't valid yet, ${CLOCK}`],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "its certificate is self-signed"],
  ["SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_GET_ISSUER_CERT_LOCALLY", UNTRUSTED],
  // Deno (2.9) says this of certificates that are out of date, too.
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "Deno" in globalThis ? `${UNTRUSTED}, ${OLD}` : UNTRUSTED],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for other names"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it doesn't speak TLS on this port"],
];

function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code = "", reason } = error as Error & { code?: string; reason?: unknown };
  // OpenSSL's message is for its developers, its reason for us.
  const detail = (typeof reason === "string" ? reason : error.message).slice(0, SHOWN_LIMIT);
  if (error instanceof Http1Error) return `the answer isn't HTTP: ${detail}`;
  const row = WORDS.find(([codes]) => codes.split(" ").includes(code));
  return row === undefined ? detail : `${row[1]} (${detail})`;
}
