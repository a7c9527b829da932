/**
 * A route's `on_error` page, fetched from the upstream that the route names.
 *
 * Needs `upstream.ts`, `http1client.ts`, `http1.ts`, `addr.ts`.
 */
import { splitHostPort } from "./addr.ts";
import { fieldValue, formatRequestHead, type ResponseHead } from "./http1.ts";
import type { ClientConnection, ResponseHandler } from "./http1client.ts";
import type { Upstream } from "./routes.ts";
import type { UpstreamPools } from "./upstream.ts";

/** For an on_error page in all, from the connection to the last byte, in milliseconds. */
const PAGE_TIMEOUT = 5_000;
const REDIRECT_LIMIT = 5;

/** A route's own error page: where it is, its path and query, and the X-Forwarded fields. */
export interface PageRequest {
  readonly upstream: Upstream;
  readonly target: string;
  readonly fields: readonly string[];
}

export interface PageEvents {
  /** The page's head, and its connection, of which the body must be taken over with handOver. */
  onPage(head: ResponseHead, connection: ClientConnection): void;
  /** There is no page; or, later, the time is up before its body was complete. */
  onNone(error: Error): void;
}

/** GETs a page, following redirects within plain HTTP; returns what ends it without an event. */
export function fetchErrorPage(
  pools: UpstreamPools,
  request: PageRequest,
  events: PageEvents,
): () => void {
  let connection: ClientConnection | undefined;
  let base = new URL(`http://${request.upstream.name}/`);
  let redirects = 0;
  let closed = false;
  const late = new Error(`the error page took longer than ${PAGE_TIMEOUT / 1000} s`);
  const timer = setTimeout(() => fail(late), PAGE_TIMEOUT);
  const close = () => {
    closed = true;
    clearTimeout(timer);
    connection?.destroy();
  };
  const fail = (error: Error) => {
    if (closed) return;
    close();
    events.onNone(error);
  };
  const get = (upstream: Upstream, target: string) => {
    const head = formatRequestHead("GET", target, ["Host", base.host, ...request.fields]);
    pools.connectOnce(upstream).then((opened) => {
      if (closed) return opened.destroy();
      connection = opened;
      opened.send("GET", head, 0, handler);
    }).catch(fail);
  };
  const follow = (location: string) => {
    if (URL.canParse(location, base)) base = new URL(location, base);
    const to = base.protocol === "http:" ? splitHostPort(base.host) : undefined;
    if (to === undefined || ++redirects > REDIRECT_LIMIT) {
      return fail(new Error("the error page redirects to where it can't be fetched"));
    }
    get({ host: to.host, port: to.port ?? 80, name: base.host }, base.pathname + base.search);
  };
  const nothing = () => {};
  const handler: ResponseHandler = {
    onInformational: nothing,
    onResponse: (head) => {
      if (head.status === 101) throw new Error("the error page switched protocols unasked");
      const location = head.status >= 300 && head.status < 400
        ? fieldValue(head.fields, "location")
        : undefined;
      // Its head, under another status, would promise a body that doesn't come.
      if (head.status === 204 || head.status === 304) {
        return fail(new Error(`the error page has no body: status ${head.status}`));
      }
      const opened = connection;
      connection = undefined;
      if (opened !== undefined && location === undefined) return events.onPage(head, opened);
      opened?.destroy();
      follow(location ?? "");
    },
    onResponseData: nothing,
    onResponseEnd: nothing,
    onReadEnd: nothing,
    onRequestDrain: nothing,
    onFailed: fail,
  };
  get(request.upstream, request.target);
  return close;
}
