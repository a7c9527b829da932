/**
 * Answers that the proxy gives itself: the built-in pages, and a route's `on_error` pages, fetched
 * from the upstream that the route names.
 *
 * Needs `upstream.ts`, `http1client.ts`, `clock.ts`.
 */
import { Buffer } from "node:buffer";
import type { Clock, Expiring } from "./clock.ts";
import type { Downstream } from "./exchange.ts";
import { formatRequestHead, type RequestHead, type ResponseHead } from "./http1.ts";
import type { ClientConnection, ResponseHandler } from "./http1client.ts";
import { applyRules } from "./rewrite.ts";
import type { HeaderRule, Upstream } from "./routes.ts";
import { splitHostPort } from "./addr.ts";
import type { UpstreamPools } from "./upstream.ts";

/** For an on_error page in all, from the connection to the last byte, in milliseconds. */
const PAGE_TIMEOUT = 5_000;
const REDIRECT_LIMIT = 5;

const REASONS = new Map([
  [200, "OK"],
  [308, "Permanent Redirect"],
  [400, "Bad Request"],
  [405, "Method Not Allowed"],
  [408, "Request Timeout"],
  [414, "URI Too Long"],
  [421, "Misdirected Request"],
  [431, "Request Header Fields Too Large"],
  [500, "Internal Server Error"],
  [501, "Not Implemented"],
  [502, "Bad Gateway"],
  [505, "HTTP Version Not Supported"],
]);

export function reasonPhrase(status: number): string {
  return REASONS.get(status) ?? "";
}

/** `detail` is markup: nothing that a client sent belongs in it. */
function builtInPage(title: string, detail: string): Buffer {
  return Buffer.from(
    `<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>${title}</title></head>\n` +
      `<body>\n<h1>${title}</h1>\n<p>${detail}</p>\n</body>\n</html>\n`,
  );
}

/** Answers with the built-in page, which for 502 is Go's; `extra` fields come first. */
export function answer(
  downstream: Downstream,
  head: { readonly method: string },
  status: number,
  detail: string,
  extra: readonly string[] = [],
  rules: readonly HeaderRule[] = [],
): undefined {
  const body = builtInPage(reasonPhrase(status), detail);
  const withBody = head.method !== "HEAD";
  const type = ["Content-Type", "text/html; charset=utf-8", "Content-Length", `${body.length}`];
  const fields = applyRules(["Date", new Date().toUTCString(), ...extra, ...type], rules);
  downstream.respond(status, reasonPhrase(status), fields, withBody ? body.length : 0);
  if (withBody) downstream.write(body);
  downstream.end([]);
}

/** 308, so that method and body stay; path and query byte for byte. */
export function redirect(
  downstream: Downstream,
  head: RequestHead,
  name: string,
  httpsPort: number,
  scheme: string = downstream.client.scheme,
): undefined {
  const port = scheme === "https" && httpsPort !== 443 ? `:${httpsPort}` : "";
  const path = head.target === "*" ? "/" : head.target;
  return answer(downstream, head, 308, "", ["Location", `${scheme}://${name}${port}${path}`]);
}

export const UNABLE = "The server was unable to complete your request. Please try again later.";

export interface PageRequest {
  readonly upstream: Upstream;
  /** Path and query. */
  readonly target: string;
  /** The X-Forwarded fields. */
  readonly fields: readonly string[];
}

/**
 * Fetches a page by GET and follows redirects within plain HTTP. Calls `onPage` with the head and
 * the connection, whose handler must now take over, and `onNone` when there is no page or when
 * the time for all of it, body included, is up. Nothing is called after `close`.
 */
export class ErrorPage implements ResponseHandler, Expiring {
  deadline: number;
  readonly #pools: UpstreamPools;
  readonly #clock: Clock;
  readonly #request: PageRequest;
  readonly #onPage: (head: ResponseHead, connection: ClientConnection) => void;
  readonly #onNone: (error: Error) => void;
  #connection: ClientConnection | undefined;
  #url: URL;
  #redirects = 0;
  #closed = false;

  constructor(
    pools: UpstreamPools,
    clock: Clock,
    request: PageRequest,
    onPage: (head: ResponseHead, connection: ClientConnection) => void,
    onNone: (error: Error) => void,
  ) {
    this.#pools = pools;
    this.#clock = clock;
    this.#request = request;
    this.#onPage = onPage;
    this.#onNone = onNone;
    this.#url = new URL(`http://${request.upstream.name}/`);
    this.deadline = clock.now + PAGE_TIMEOUT;
    clock.add(this);
    this.#get(request.upstream, request.target);
  }

  close(): void {
    this.#closed = true;
    this.#clock.delete(this);
    this.#connection?.destroy();
  }

  #get(upstream: Upstream, target: string): void {
    const host = upstream.port === 80 ? upstream.name.replace(/:80$/, "") : upstream.name;
    const head = formatRequestHead("GET", target, ["Host", host, ...this.#request.fields]);
    this.#pools.connect(upstream).then((connection) => {
      if (this.#closed) return this.#pools.giveBack(upstream, connection);
      this.#connection = connection;
      connection.send("GET", head, 0, this);
    }).catch((error: Error) => this.#fail(error));
  }

  onInformational(): void {}

  onResponse(head: ResponseHead): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const location = head.status >= 300 && head.status < 400
      ? head.fields.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "location")
      : -1;
    this.#connection = undefined;
    if (location < 0) return this.#onPage(head, connection);
    connection.destroy();
    this.#redirect(head.fields[location + 1]);
  }

  #redirect(location: string): void {
    const url = URL.canParse(location, this.#url) ? new URL(location, this.#url) : undefined;
    const to = url?.protocol === "http:" ? splitHostPort(url.host) : undefined;
    if (url === undefined || to === undefined || ++this.#redirects > REDIRECT_LIMIT) {
      return this.#fail(new Error("the error page redirects to where it can't be fetched"));
    }
    this.#url = url;
    const port = to.port ?? 80;
    this.#get(
      { host: to.host, port, name: url.host + (url.port === "" ? ":80" : "") },
      url.pathname + url.search,
    );
  }

  onResponseData(): void {}
  onResponseEnd(): void {}
  onReadEnd(): void {}
  onRequestDrain(): void {}

  onFailed(error: Error): void {
    this.#fail(error);
  }

  onDeadline(): void {
    this.#fail(new Error(`the error page took longer than ${PAGE_TIMEOUT / 1000} s`));
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    this.close();
    this.#onNone(error);
  }
}
