/**
 * What a certificate is served with: from the texts that it is kept as, or that a worker is sent,
 * to the runtime's TLS. Needs `addr.ts`, `x509.ts`, and the runtime's TLS.
 */
import { Buffer } from "node:buffer";
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import tls from "node:tls";
import { foldWildcards, namesKey } from "./addr.ts";
import { certificateNames as routeNames, type Route } from "./routes.ts";
import { certificateNames } from "./x509.ts";

/** Mozilla's intermediate TLS 1.2 suites that have forward secrecy without DH parameters. */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** A certificate as it goes from process to process. */
export interface Identity {
  /** PEM; the chain, leaf first. */
  readonly certificate: string;
  readonly privateKey: string;
  /** An OCSP response in base64. */
  readonly staple?: string | undefined;
  /** Milliseconds since the epoch, after which another is looked for. */
  readonly goodUntil: number;
  /** 48 bytes in base64, so that each worker resumes the sessions of all; default its own. */
  readonly ticketKeys?: string | undefined;
}

export interface ServedCertificate {
  readonly context: tls.SecureContext;
  /** DNS names and addresses that the certificate covers. */
  readonly names: readonly string[];
  /** The protocols that it is for; default those of HTTP. */
  readonly alpn?: readonly string[];
  /** An OCSP response to staple (RFC 6066 section 8). */
  readonly staple?: Buffer | undefined;
  /** Answers the hello instead of the runtime's TLS; or returns why it refused. */
  readonly answer?: ((hello: Buffer, socket: Socket) => string | undefined) | undefined;
}

/** The names of a route's certificate, the subject first. */
export function namesOf(route: Route, wildcards: readonly string[]): string[] {
  return foldWildcards(routeNames(route), wildcards);
}

/** What decides which certificate a route has. */
export function certificateKey(route: Route, wildcards: readonly string[]): string {
  return keyOf(route.provider, namesOf(route, wildcards));
}

/** The same of a name that Tailscale gave; undefined for any other name. */
export function tailnetKey(name: string): string | undefined {
  return name.endsWith(".ts.net") ? keyOf("tailscale", [name]) : undefined;
}

/** As certificateKey(), of names that wildcards are folded in. */
export function keyOf(provider: string | undefined, names: readonly string[]): string {
  return `${provider ?? ""};${namesKey(names)}`;
}

/** Throws an Error for texts that can't be used. */
export function toServed(identity: Identity): ServedCertificate {
  const { certificate, staple } = identity;
  const context = secureContext(identity);
  const names = certificateNames(certificate);
  return {
    context,
    names,
    staple: staple === undefined ? undefined : Buffer.from(staple, "base64"),
  };
}

/**
 * TLS 1.2 and 1.3 with Mozilla's intermediate settings. The order of suites is ours, as in Go: with
 * SHA-384, which many clients have first, a handshake costs 6 % more; but ChaCha20 comes first for
 * a client that has it first, as one without AES in hardware does. Deno (2.9) goes by the client.
 * X25519MLKEM768 comes with OpenSSL 3.5 (Node 22.20): before it, a list that names it is refused.
 */
function secureContext(
  { privateKey: key, certificate: cert, ticketKeys }: Identity,
): tls.SecureContext {
  const secureOptions = constants.SSL_OP_NO_RENEGOTIATION |
    constants.SSL_OP_CIPHER_SERVER_PREFERENCE | constants.SSL_OP_PRIORITIZE_CHACHA;
  const base = {
    ...{ key, cert, minVersion: "TLSv1.2", ciphers: CIPHERS, secureOptions } as const,
    ...ticketKeys !== undefined && { ticketKeys: Buffer.from(ticketKeys, "base64") },
  };
  const classical = "X25519:prime256v1:secp384r1";
  try {
    return tls.createSecureContext({ ...base, ecdhCurve: `X25519MLKEM768:${classical}` });
  } catch {
    return tls.createSecureContext({ ...base, ecdhCurve: classical });
  }
}
