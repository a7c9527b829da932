/**
 * The seam between what comes in and whoever wants to know of it: metrics and the access log. Types
 * only. Needs `exchange.ts`, `http1.ts` (types).
 */
import type { Client, Handle } from "./exchange.ts";
import type { RequestHead } from "./http1.ts";

/** Is told of what comes in. */
export interface Observer {
  /** Answers as `handle` does, and observes each request to its end. */
  watch(handle: Handle): Handle;
  /** A request was refused before that: `head` where it could be read. */
  onRefused(client: Client, status: number, head?: RequestHead): void;
  /** A ClientHello has come; `known`: there is a certificate to answer with. */
  onHello(known: boolean): void;
  /** An Error is the runtime's. */
  onHandshakeFailed(why: HandshakeFailure | Error): void;
  /** What is in flight now is not given the time to end. */
  onCut(): void;
}

export type HandshakeFailure =
  | ("no_server_name" | "unknown_name" | "no_certificate" | "not_tls" | "malformed")
  | ("protocol_version" | "no_common_protocol" | "timeout" | "client_left" | "other");
