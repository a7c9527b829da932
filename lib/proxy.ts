/**
 * The proxy: which route a request belongs to, and one exchange with an upstream of it.
 *
 * Knows no client protocol: `exchange.ts` is the seam. Needs `upstream.ts`, `rewrite.ts`,
 * `answer.ts`, `errorpage.ts`. A request is sent a second time only while nothing of it can have
 * been acted on (RFC 9110 section 9.2.2).
 */
import { Buffer } from "node:buffer";
import { parseHost } from "./addr.ts";
import { answer, reasonPhrase, redirect, UNABLE } from "./answer.ts";
import type { Clock } from "./clock.ts";
import { fetchErrorPage } from "./errorpage.ts";
import type { Client, Downstream, JudgedHost, RequestHandler } from "./exchange.ts";
import {
  type FieldLines,
  fieldValue,
  formatRequestHead,
  Http1Error,
  type RequestHead,
  type ResponseHead,
} from "./http1.ts";
import type { ClientConnection, ResponseHandler } from "./http1client.ts";
import type { Logger } from "./log.ts";
import { parseDecimal } from "./number.ts";
import { clientFields, trailerFields, upstreamFields } from "./rewrite.ts";
import { errorMapping, type Route, RouteTable, type Upstream } from "./routes.ts";
import { FRESH_FOR, type UpstreamPools } from "./upstream.ts";
import { coversName } from "./x509.ts";

/** As much of a request's body is kept for sending it again, in bytes. */
const REPLAY_LIMIT = 64 * 1024;
/** In no more pieces than this: a piece of one byte costs a hundred. */
const REPLAY_CHUNKS = 256;

/** RFC 9110 section 9.2.2 */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

export interface ProxyOptions {
  readonly pools: UpstreamPools;
  readonly clock: Clock;
  readonly log: Logger;
  /** The port that clients reach HTTPS on: in redirects, unless it is 443. */
  readonly redirectPort: number;
}

export class Proxy {
  /** Replaced as a whole on reload; exchanges keep the route that they started with. */
  routes: RouteTable;
  readonly options: ProxyOptions;

  constructor(routes: RouteTable, options: ProxyOptions) {
    this.routes = routes;
    this.options = options;
  }

  /** Answers a request itself, or starts an exchange with an upstream (see exchange.ts). */
  handle(head: RequestHead, downstream: Downstream): RequestHandler | undefined {
    const { client } = downstream;
    const host = judgeHost(client, head.authority);
    if (host === undefined) throw new Http1Error(400, "the Host isn't a host name");
    const route = this.routes.find(host.name);
    // A client that gave no name has the fallback's certificate, and so may ask for the fallback.
    const allowed = host.covered ||
      (client.serverName === undefined && route === this.routes.fallback);
    if (route === undefined || !allowed) {
      return answer(downstream, head, 421, "This connection isn't for the host asked for.");
    }
    const [primary = ""] = route.domains;
    route.requests++;
    if (downstream.facts !== undefined) downstream.facts.route = primary;
    if (route.redirectToPrimary && host.name !== primary) {
      return redirect(downstream, head, primary, this.options.redirectPort);
    }
    if (head.method === "OPTIONS" || head.method === "TRACE") {
      // RFC 9110 section 7.6.2: whoever gets 0 is the one that was meant.
      const forwards = parseDecimal(fieldValue(head.fields, "max-forwards") ?? "");
      if (forwards === 0) return answer(downstream, head, head.method === "TRACE" ? 405 : 200, "");
    }
    const exchange = new Exchange(this.options, route, head, downstream);
    if (client.identify === undefined) exchange.start();
    else exchange.startAs(client.identify());
    return exchange;
  }
}

/** A connection is for the name it was opened with, and for those its certificate covers (7.4). */
function judgeHost(client: Client, authority: string): JudgedHost | undefined {
  if (client.judged?.authority === authority) return client.judged;
  const host = parseHost(authority);
  if (host === undefined) return undefined;
  const { name } = host;
  const covered = client.scheme === "http" || client.serverName === name ||
    coversName(client.certificateNames, name);
  return client.judged = { authority, name, covered };
}

/** One request, its upstream and its answer. */
class Exchange implements RequestHandler, ResponseHandler {
  readonly #options: ProxyOptions;
  readonly #route: Route;
  readonly #head: RequestHead;
  readonly #downstream: Downstream;
  readonly #fields: string[];
  #upstream: Upstream | undefined;
  #connection: ClientConnection | undefined;
  /** No upstream is left that wants the rest of the request. */
  #unwanted = false;
  /** Set from when an error page is fetched. */
  #endErrorPage: (() => void) | undefined;
  /** Upstreams that couldn't be reached. */
  #tried: Upstream[] = [];
  /** After a pooled connection that had died, only a new one will do. */
  #onlyNew = false;
  /** Another upstream was asked once: what upstreams die of mustn't end all of them. */
  #movedOn = false;
  /** The body so far, for the first time or once more; undefined when it is no longer whole. */
  #body: Buffer[] | undefined;
  #bodyBytes = 0;
  #requestDone: boolean;
  #trailers: readonly string[] = [];
  #responded = false;
  /** After a 101: both directions are one raw stream each, and end on their own. */
  #tunnel = false;
  #answerDone = false;
  #done = false;

  constructor(options: ProxyOptions, route: Route, head: RequestHead, downstream: Downstream) {
    this.#options = options;
    this.#route = route;
    this.#head = head;
    this.#downstream = downstream;
    this.#fields = upstreamFields(head, downstream.client);
    this.#requestDone = head.length === 0;
  }

  start(): void {
    const { pools } = this.#options;
    const upstream = pools.choose(this.#route.upstreams, this.#tried);
    if (upstream === undefined) return this.#unreachable();
    this.#upstream = upstream;
    this.#downstream.facts?.onAsked(upstream.name);
    const fresh = IDEMPOTENT.has(this.#head.method) ? Infinity : FRESH_FOR;
    const idle = this.#onlyNew ? undefined : pools.take(upstream, fresh);
    if (idle !== undefined) return this.#send(idle);
    this.#downstream.pauseRequest();
    pools.connect(upstream).then((connection) => {
      if (this.#done) connection.destroy();
      else this.#send(connection);
    }).catch((error: Error) => this.#connectFailed(upstream, error))
      .catch((error: Error) => this.#giveUp(error));
  }

  /** Starts with fields that tell who the client is, once it is known. */
  startAs(identity: FieldLines | Promise<FieldLines>): void {
    if (!(identity instanceof Promise)) {
      this.#fields.push(...identity);
      return this.start();
    }
    this.#downstream.pauseRequest();
    identity.then((fields) => this.#done || this.startAs(fields))
      .catch((error: Error) => this.#giveUp(error));
  }

  #send(connection: ClientConnection): void {
    const { method, target, length } = this.#head;
    this.#connection = connection;
    connection.send(method, formatRequestHead(method, target, this.#fields), length, this);
    if (length === 0) return;
    for (const chunk of this.#body ?? []) connection.write(chunk);
    if (this.#requestDone) connection.end(this.#trailers);
    this.#downstream.resumeRequest(); // paused for this or for another upstream's connection
  }

  #connectFailed(upstream: Upstream, error: Error): void {
    if (this.#done) return;
    const more = this.#tried.length + 1 < this.#route.upstreams.length;
    this.#logFailure(upstream, error, more ? "trying another upstream" : "answering 502");
    this.#tried.push(upstream);
    if (more) this.start();
    else this.#unreachable();
  }

  /** Something that can't happen did: the client must not wait for ever. */
  #giveUp(error: Error): void {
    this.#options.log.error("internal error: please report it", { error });
    this.#finish();
    this.#downstream.abort();
  }

  #logFailure(upstream: Upstream, error: Error, next: string): void {
    const route = this.#route.domains[0];
    const { log, pools } = this.#options;
    this.#downstream.facts?.onUpstreamFailed();
    // A client can cause this as often as it likes, so only news is worth the operator's disk.
    const say = pools.noteFailure(upstream, error) ? log.warn : log.debug;
    say("upstream failed", { route, upstream: upstream.name, error, next });
  }

  onRequestData(chunk: Buffer): void {
    if (this.#done || this.#unwanted) return;
    const connection = this.#connection;
    const keep = connection === undefined || this.#mayNeedBody(connection);
    this.#bodyBytes += chunk.length;
    if (keep) (this.#body ??= []).push(Buffer.from(chunk));
    else this.#body = undefined;
    if (connection !== undefined && !connection.write(chunk)) this.#downstream.pauseRequest();
  }

  /** Only a connection that was used before is given up for a new one. */
  #mayNeedBody(connection: ClientConnection): boolean {
    return connection.requests > 1 && !connection.answered && IDEMPOTENT.has(this.#head.method) &&
      this.#bodyBytes < REPLAY_LIMIT && (this.#body?.length ?? 0) < REPLAY_CHUNKS;
  }

  onRequestEnd(trailers: readonly string[]): void {
    if (this.#done || this.#unwanted) return;
    this.#requestDone = true;
    this.#trailers = trailerFields(trailers);
    this.#connection?.end(this.#trailers);
    if (this.#answerDone) this.#finish();
  }

  onRequestDrain(): void {
    this.#downstream.resumeRequest();
  }

  onDrain(): void {
    // What an error page may replace waits until that is decided.
    if (this.#responded || this.#endErrorPage === undefined) this.#connection?.resume();
  }

  onGone(): void {
    this.#connection?.destroy();
    this.#finish();
  }

  onInformational(head: ResponseHead): void {
    this.#downstream.informational(head, clientFields(head, [], ""));
  }

  onResponse(head: ResponseHead): void {
    this.#downstream.facts?.onAnswered();
    const asked = this.#requestDone && fieldValue(this.#fields, "upgrade") !== undefined;
    if (head.status === 101 && !asked) {
      throw new Error(
        "the upstream switched protocols unasked, or before the request was complete",
      );
    }
    const mapping = head.status < 400 ? undefined : errorMapping(this.#route, head.status);
    if (mapping === undefined) return this.#respond(head, head.length);
    this.#connection?.pause();
    const original = this.#connection;
    this.#fetchErrorPage(head.status, head.reason, () => {
      if (original === undefined || this.#connection !== original) return this.#answer502();
      this.#respond(head, head.length);
      original.resume();
    });
  }

  #respond(head: ResponseHead, length: number): void {
    this.#responded = true;
    this.#body = undefined;
    this.#tunnel = head.status === 101;
    if (this.#tunnel) {
      this.#requestDone = false;
      if (this.#upstream) this.#options.pools.noteSuccess(this.#upstream);
    }
    const fields = clientFields(head, this.#route.headers, this.#options.clock.date);
    this.#downstream.respond(head.status, head.reason, fields, length);
  }

  onResponseData(chunk: Buffer): void {
    this.#downstream.write(chunk);
  }

  onReadEnd(): void {
    if (!this.#done && !this.#downstream.flush()) this.#connection?.pause();
  }

  onResponseEnd(trailers: readonly string[]): void {
    this.#answerDone = true;
    if (!this.#tunnel || this.#requestDone) this.#finish();
    this.#downstream.end(trailerFields(trailers));
  }

  onFailed(error: Error): void {
    const connection = this.#connection, upstream = this.#upstream;
    if (this.#done || connection === undefined || upstream === undefined) return;
    this.#connection = undefined;
    if (this.#endErrorPage !== undefined && !this.#responded) {
      this.#unwanted = true;
      return; // the error page decides what is answered
    }
    if (this.#responded) {
      this.#logFailure(upstream, error, "cutting the answer short");
      this.#finish();
      return this.#downstream.abort();
    }
    if (!connection.answered && this.#canSendAgain()) {
      if (connection.requests > 1) {
        this.#onlyNew = true;
        return this.start();
      }
      if (this.#mayMoveOn()) {
        this.#movedOn = true;
        this.#tried.push(upstream);
        this.#logFailure(upstream, error, "trying another upstream");
        return this.start();
      }
    }
    this.#logFailure(upstream, error, "answering 502");
    this.#unreachable();
  }

  /** Whole and harmless: not a body that was let go, nor a method that may have had its effect. */
  #canSendAgain(): boolean {
    if (this.#bodyBytes > 0 && this.#body === undefined) return false;
    return IDEMPOTENT.has(this.#head.method) || (this.#bodyBytes === 0 && !this.#requestDone);
  }

  /** A new connection had nothing against it but the request: one that may be repeated, then. */
  #mayMoveOn(): boolean {
    return !this.#movedOn && IDEMPOTENT.has(this.#head.method) &&
      this.#tried.length + 1 < this.#route.upstreams.length;
  }

  #unreachable(): void {
    this.#unwanted = true;
    this.#fetchErrorPage(502, reasonPhrase(502), () => this.#answer502());
  }

  #answer502(): void {
    this.#finish();
    answer(this.#downstream, this.#head, 502, UNABLE, [], this.#route.headers);
  }

  /** Answers with the route's page for `status`, or goes on with `otherwise` if it has none. */
  #fetchErrorPage(status: number, reason: string, otherwise: () => void): void {
    const { pools } = this.#options;
    const mapping = errorMapping(this.#route, status);
    if (mapping === undefined) return otherwise();
    const original = this.#connection;
    const forwarded = this.#fields.filter((_, i) => /^x-forwarded-/i.test(this.#fields[i & ~1]));
    const target = mapping.target ?? (this.#head.target === "*" ? "/" : this.#head.target);
    const request = { upstream: mapping.upstream, target, fields: forwarded };
    this.#endErrorPage = fetchErrorPage(pools, request, {
      onPage: (page, connection) => {
        this.#unwanted = true;
        original?.destroy();
        this.#connection = connection;
        this.#upstream = mapping.upstream;
        connection.handOver(this);
        const bodiless = this.#head.method === "HEAD";
        this.#respond({ ...page, status, reason }, bodiless ? 0 : page.length);
        if (!bodiless) return;
        connection.destroy();
        this.onResponseEnd([]);
      },
      onNone: (error) => {
        this.#logFailure(mapping.upstream, error, `its page for ${status} isn't shown`);
        if (!this.#responded) return otherwise();
        this.#connection?.destroy();
        this.#finish();
        this.#downstream.abort();
      },
    });
  }

  #finish(): void {
    this.#done = true;
    this.#body = this.#connection = undefined;
    this.#endErrorPage?.();
  }
}
