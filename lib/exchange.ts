/**
 * The seam between a client's connection, whatever its protocol, and the proxy: one request and
 * its answer. Types only. A connection hands the proxy a request head and itself as `Downstream`,
 * and tells the `RequestHandler` that it gets of the rest, until both are complete.
 */
import type { Buffer } from "node:buffer";
import type { BodyLength, FieldLines, RequestHead, ResponseHead } from "./http1.ts";

/** What is known of a client's connection; one object for all its requests. */
export interface Client {
  /** Without a port; IPv4 as IPv4. */
  readonly address: string;
  /** The peer is in TRUSTED_DOWNSTREAMS: its X-Forwarded fields are kept. */
  readonly trusted: boolean;
  readonly scheme: "http" | "https";
  /** The name asked for in the ClientHello, lower-case. */
  readonly serverName: string | undefined;
  /** The names in the certificate that the connection was opened with. */
  readonly certificateNames: readonly string[];
  /** Fields that tell an upstream who the client is; a promise, which never rejects, at first. */
  readonly identify?: (() => FieldLines | Promise<FieldLines>) | undefined;
  /** The last authority that was judged: a client asks for the same one again and again. */
  judged: JudgedHost | undefined;
  /** For whoever observes; undefined while nobody does. */
  readonly transport?: Transport | undefined;
}

/** `tls` is a version such as `TLSv1.3`, undefined on the plain port. */
export type Transport = Readonly<{ isHttp2: boolean; tls: string | undefined }>;

/** A client's connection, to whoever opened it. */
export interface Connection {
  /** Closes when what is in flight is answered; at once when nothing is. */
  drain(): void;
  destroy(): void;
}

/** An authority, the lower-case name in it, and whether the connection may be asked for it. */
export type JudgedHost = Readonly<{ authority: string; name: string; covered: boolean }>;

/** The client's half. Parts of an answer are gathered until `flush`. */
export interface Downstream {
  readonly client: Client;
  /** Set while somebody observes requests: to be told what only the proxy knows. */
  readonly facts?: ProxyFacts;
  informational(head: ResponseHead, fields: FieldLines): void;
  /**
   * Starts the answer; 101 makes both bodies the raw stream. The fields are given away, and have
   * no framing but Content-Length.
   */
  respond(status: number, reason: string, fields: string[], length: BodyLength): void;
  /** The chunk must stay as it is until `flush`, no longer. */
  write(chunk: Buffer): void;
  end(trailers: FieldLines): void;
  /** Sends what was gathered; false asks to wait for onDrain. */
  flush(): boolean;
  /** Ends the connection so that the client sees that the answer is incomplete. */
  abort(): void;
  pauseRequest(): void;
  resumeRequest(): void;
}

/** The proxy's half: told of the rest of the request, and of the client. */
export interface RequestHandler {
  /** The chunk is valid only during the call. */
  onRequestData(chunk: Buffer): void;
  onRequestEnd(trailers: FieldLines): void;
  /** What flush left behind has gone out. */
  onDrain(): void;
  /**
   * The client is gone, or `refused`: the connection itself has answered with that status. Nothing
   * is called on either half after it.
   */
  onGone(refused?: number): void;
}

/** Answers a request; undefined when it has already answered in full. An Http1Error closes. */
export type Handle = (head: RequestHead, downstream: Downstream) => RequestHandler | undefined;

/** What the proxy tells of a request. */
export interface ProxyFacts {
  /** The first domain of its route. */
  route: string | undefined;
  /** An upstream is asked, by name: the first one, or once more. */
  onAsked(upstream: string): void;
  /** The head of an upstream's answer has come. */
  onAnswered(): void;
  /** An upstream, or its answer, has failed. */
  onUpstreamFailed(): void;
}
