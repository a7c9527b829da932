/**
 * Observes requests: stands between a connection and what answers it, notes what passes, and tells
 * of each request once, when it has ended. Loaded when somebody wants to know.
 *
 * Needs `exchange.ts`, `observer.ts` (types), `http1.ts`. What is sent counts when it is given to
 * the connection, which keeps no more of it than one write that the client is slow to take.
 */
import type { Buffer } from "node:buffer";
import type { Client, Downstream, Handle, ProxyFacts, RequestHandler } from "./exchange.ts";
import type { BodyLength, FieldLines, RequestHead, ResponseHead } from "./http1.ts";
import { Http1Error } from "./http1.ts";
import type { HandshakeFailure, Observer } from "./observer.ts";

/** `complete`: the answer, also one that refuses. */
export type Ending = "complete" | "client left" | "upstream failed" | "cut";

/** What nginx logs where the client left before there was an answer, and others since. */
const CLIENT_LEFT = 499;

/** A request that has ended, or that was refused; times in milliseconds. */
export interface RequestFacts {
  readonly client: Client;
  /** Undefined where none could be read. */
  readonly head: RequestHead | undefined;
  readonly status: number;
  /** On the clock of performance.now(): the end of the request's head, that of the answer. */
  readonly beganAt: number;
  readonly endedAt: number;
  /** Of bodies, in bytes; of tunnels, all that passed. */
  readonly received: number;
  readonly sent: number;
  /** First domain of the route. */
  readonly route: string | undefined;
  /** Name of the upstream that was asked last. */
  readonly upstream: string | undefined;
  /** From when the first was asked to the head of an answer; undefined if none came. */
  readonly upstreamTime: number | undefined;
  /** How often an upstream was asked once more; how many failures there were. */
  readonly retries: number;
  readonly failures: number;
  readonly ending: Ending;
}

/** Is told of what happens. */
export interface Sink {
  onRequestBegin?(): void;
  onRequestEnd(facts: RequestFacts): void;
  onHello?(known: boolean): void;
  onHandshakeFailed?(reason: string): void;
}

export class Observing implements Observer {
  readonly #sinks: readonly Sink[];
  /** What ends now is cut off. */
  isCutting = false;

  constructor(sinks: readonly Sink[]) {
    this.#sinks = sinks;
  }

  watch(handle: Handle): Handle {
    return (head, downstream) => {
      for (const sink of this.#sinks) sink.onRequestBegin?.();
      const request = new ObservedRequest(this, head, downstream);
      try {
        const handler = handle(head, request);
        if (handler === undefined) return undefined;
        request.handler = handler;
      } catch (error) {
        request.onGone(error instanceof Http1Error ? error.status : 500);
        throw error; // the connection answers
      }
      return request;
    };
  }

  tell(facts: RequestFacts): void {
    for (const sink of this.#sinks) sink.onRequestEnd(facts);
  }

  onRefused(client: Client, status: number, head?: RequestHead): void {
    for (const sink of this.#sinks) sink.onRequestBegin?.();
    const now = performance.now();
    this.tell({
      ...{ client, head, status, beganAt: now, endedAt: now },
      ...{ received: 0, sent: 0, retries: 0, failures: 0 },
      ...{ route: undefined, upstream: undefined, upstreamTime: undefined, ending: "complete" },
    });
  }

  onHello(known: boolean): void {
    for (const sink of this.#sinks) sink.onHello?.(known);
  }

  onHandshakeFailed(why: HandshakeFailure | Error): void {
    const reason = typeof why === "string" ? why : failureOf(why);
    for (const sink of this.#sinks) sink.onHandshakeFailed?.(reason);
  }

  onCut(): void {
    this.isCutting = true;
  }
}

/** Both halves of an exchange (see exchange.ts), with others behind them. */
class ObservedRequest implements Downstream, RequestHandler, ProxyFacts, RequestFacts {
  readonly client: Client;
  readonly head: RequestHead;
  handler: RequestHandler | undefined;
  status = 0;
  readonly beganAt: number = performance.now();
  endedAt = 0;
  received = 0;
  sent = 0;
  route: string | undefined;
  upstream: string | undefined;
  upstreamTime: number | undefined;
  retries = 0;
  failures = 0;
  ending: Ending = "complete";
  readonly #observing: Observing;
  readonly #downstream: Downstream;
  #told = false;
  /** Of a tunnel's two directions, one has ended. */
  #halfEnded = false;

  constructor(observing: Observing, head: RequestHead, downstream: Downstream) {
    this.#observing = observing;
    this.head = head;
    this.client = downstream.client;
    this.#downstream = downstream;
  }

  get facts(): ProxyFacts {
    return this;
  }

  onAsked(upstream: string): void {
    if (this.upstream !== undefined) this.retries++;
    this.upstream = upstream;
  }

  onAnswered(): void {
    this.upstreamTime = performance.now() - this.beganAt; // it was asked as soon as it began
  }

  onUpstreamFailed(): void {
    this.failures++;
  }

  informational(head: ResponseHead, fields: FieldLines): void {
    this.#downstream.informational(head, fields);
  }

  respond(status: number, reason: string, fields: string[], length: BodyLength): void {
    this.#downstream.respond(status, reason, fields, length);
    this.status = status;
  }

  write(chunk: Buffer): void {
    this.sent += chunk.length;
    this.#downstream.write(chunk);
  }

  end(trailers: FieldLines): void {
    this.#onEnd(); // before the connection reads on, and begins with the next request
    this.#downstream.end(trailers);
  }

  flush(): boolean {
    return this.#downstream.flush();
  }

  abort(): void {
    this.#downstream.abort();
    // In HTTP/2 that is the answer to what has none yet.
    if (this.status === 0) this.status = this.client.transport?.isHttp2 ? 502 : 500;
    this.#tell(this.failures > 0 ? "upstream failed" : "cut");
  }

  pauseRequest(): void {
    this.#downstream.pauseRequest();
  }

  resumeRequest(): void {
    this.#downstream.resumeRequest();
  }

  onRequestData(chunk: Buffer): void {
    this.received += chunk.length;
    this.handler?.onRequestData(chunk);
  }

  onRequestEnd(trailers: FieldLines): void {
    this.handler?.onRequestEnd(trailers);
    if (this.status === 101) this.#onEnd();
  }

  onDrain(): void {
    this.handler?.onDrain();
  }

  onGone(refused?: number): void {
    this.handler?.onGone(refused);
    const { isCutting } = this.#observing;
    if (refused === undefined) this.status ||= isCutting ? 500 : CLIENT_LEFT;
    else this.status = refused;
    this.#tell(refused !== undefined ? "complete" : isCutting ? "cut" : "client left");
  }

  /** The answer is given; a tunnel is over when both of its directions are. */
  #onEnd(): void {
    if (this.status === 101 && !this.#halfEnded) this.#halfEnded = true;
    else if (this.failures > 0 && this.upstreamTime === undefined) this.#tell("upstream failed");
    else this.#tell("complete");
  }

  #tell(ending: Ending): void {
    if (this.#told) return;
    this.#told = true;
    this.ending = ending;
    this.endedAt = performance.now();
    this.#observing.tell(this);
  }
}

/**
 * What the runtimes call it when TLS fails: the codes of OpenSSL on Node (20 to 26), the words of
 * rustls on Deno (2.9).
 */
const TLS_FAILURES: readonly (readonly [RegExp, string])[] = [
  [
    /UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|PROTOCOL_VERSION|Tls12NotOffered|version/i,
    "protocol_version",
  ],
  [/NO_SHARED_CIPHER|NO_SUITABLE|NoCipherSuites|NoKxGroup|no shared/i, "no_shared_cipher"],
  [/ALERT.*(CERT|UNKNOWN_CA)|UnknownCA|BadCertificate|CertificateUnknown/i, "certificate_refused"],
  [/ECONNRESET|EPIPE|the client left|UnexpectedEof|close_notify/i, "client_left"],
];

function failureOf(error: Error): string {
  const text = `${(error as NodeJS.ErrnoException).code} ${error.message}`;
  return TLS_FAILURES.find(([pattern]) => pattern.test(text))?.[1] ?? "other";
}
