/**
 * How control of a name is proved to a CA: the seam, and the two ways that the front end answers,
 * HTTP-01 (RFC 8555 section 8.3) and TLS-ALPN-01 (RFC 8737). Those by DNS are in `dns/`.
 *
 * Needs `acme.ts`, `x509.ts`, and the runtime's TLS; where that can't serve it, `acmetls.ts`.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import tls from "node:tls";
import type { AcmeClient, Challenge, Identifier } from "./acme.ts";
import type { Explanation } from "./causes.ts";
import { fatalAlert } from "./clienthello.ts";
import type { ServedCertificate } from "./contexts.ts";
import type { Downstream, Handle } from "./exchange.ts";
import { canServeAcmeTls } from "./runtime.ts";
import { fromPem, privateKeyPem, reverseName, selfSigned } from "./x509.ts";

/** The ALPN protocol of TLS-ALPN-01 (RFC 8737 section 6.2). */
export const ACME_TLS_ALPN = "acme-tls/1";
const PATH = "/.well-known/acme-challenge/";
const HOUR = 60 * 60 * 1000;

/** One challenge of one name, for the account of a client. */
export interface Proof {
  readonly client: AcmeClient;
  readonly identifier: Identifier;
  readonly wildcard: boolean;
  readonly challenge: Challenge;
  readonly keyAuthorization: string;
}

export interface Solver {
  /** From prepare to cleanUp, one after another: those for which this is the same. */
  turn?(proof: Proof): string | undefined;
  /** Resolves when the CA may look. */
  prepare(proof: Proof, signal: AbortSignal): Promise<void>;
  /** Called after every prepare, whatever came of it. */
  cleanUp(proof: Proof, signal: AbortSignal): Promise<void>;
  /** What is in the way of proving names, or soon will be (not `fatal`), before an order. */
  obstacle?(names: readonly string[], client: AcmeClient, signal: AbortSignal): Promise<
    (Explanation & { readonly fatal: boolean }) | undefined
  >;
}

/** What a CA is answered at one token, or one server name, from now on; undefined: nothing. */
export type ChallengeAnswer =
  | { readonly token: string; readonly keyAuthorization?: string | undefined }
  | { readonly serverName: string; readonly certificate?: KeyAndCertificate | undefined };
/** PEM. */
export type KeyAndCertificate = { readonly key: string; readonly cert: string };

/** What is asked elsewhere, for what isn't known here: `askedchallenges.ts`. */
export interface OtherAnswers {
  /** Answers a request for a token, or has `handle` do it. */
  http(token: string, handle: Handle, ...request: Parameters<Handle>): ReturnType<Handle>;
  /** Never rejects. */
  tls(serverName: string): Promise<ServedCertificate | undefined>;
}

/** What the front end answers while orders are open. */
export class ChallengeAnswers {
  /** Where other machines obtain certificates too: what they have to answer. */
  others: OtherAnswers | undefined;
  /** Likewise: resolves when they can find an answer, or need not any more. */
  share: ((answer: ChallengeAnswer, signal: AbortSignal) => Promise<void>) | undefined;
  readonly #keyAuthorizations = new Map<string, string>();
  readonly #certificates = new Map<string, ServedCertificate>();
  readonly #tell: (answer: ChallengeAnswer) => Promise<void>;

  /** `tell` resolves when all that serve have the answer; default: this serves. */
  constructor(tell?: (answer: ChallengeAnswer) => Promise<void>) {
    this.#tell = tell ?? ((answer) => this.apply(answer));
  }

  /** Rejects for a certificate that can't be used. */
  async apply(answer: ChallengeAnswer): Promise<void> {
    if ("token" in answer) {
      const { token, keyAuthorization } = answer;
      if (keyAuthorization === undefined) this.#keyAuthorizations.delete(token);
      else this.#keyAuthorizations.set(token, keyAuthorization);
      return;
    }
    const { serverName, certificate } = answer;
    if (certificate === undefined) return void this.#certificates.delete(serverName);
    this.#certificates.set(serverName, await toServedAnswer(certificate));
  }

  /** The body for a request target; undefined for any that isn't asked for by an open order. */
  http(target: string): string | undefined {
    if (this.#keyAuthorizations.size === 0 || !target.startsWith(PATH)) return undefined;
    return this.#keyAuthorizations.get(target.slice(PATH.length));
  }

  /** The certificate for a ClientHello that offers `acme-tls/1` alone (RFC 8737 section 3). */
  tls(
    serverName: string = "",
    alpn: readonly string[],
  ): ServedCertificate | Promise<ServedCertificate | undefined> | undefined {
    if (alpn.length !== 1 || alpn[0] !== ACME_TLS_ALPN) return undefined;
    return this.#certificates.get(serverName) ?? this.others?.tls(serverName);
  }

  /** Answers HTTP-01 before a handler is asked, whatever the host (RFC 8555 section 8.3). */
  before(handle: Handle): Handle {
    return (head, downstream) => {
      const body = head.method === "GET" ? this.http(head.target) : undefined;
      if (body !== undefined) return answerToken(downstream, body);
      if (this.others === undefined || head.method !== "GET" || !head.target.startsWith(PATH)) {
        return handle(head, downstream);
      }
      return this.others.http(head.target.slice(PATH.length), handle, head, downstream);
    };
  }

  readonly httpSolver: Solver = {
    prepare: ({ challenge: { token = "" }, keyAuthorization }, signal) =>
      this.#tellAll({ token, keyAuthorization }, signal),
    cleanUp: ({ challenge: { token = "" } }, signal) => this.#tellAll({ token }, signal),
  };

  readonly tlsSolver: Solver = {
    turn: ({ identifier }) => `tls ${identifier.value}`, // it has one certificate at a time
    prepare: async ({ identifier, keyAuthorization }, signal) => {
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const cert = selfSigned({
        names: [identifier.value],
        keyAuthorization,
        key: privateKey,
        serial: randomBytes(16),
        notBefore: new Date(Date.now() - HOUR),
        notAfter: new Date(Date.now() + 24 * HOUR),
      });
      const certificate = { key: privateKeyPem(privateKey), cert };
      await this.#tellAll({ serverName: serverNameOf(identifier), certificate }, signal);
    },
    cleanUp: ({ identifier }, signal) =>
      this.#tellAll({ serverName: serverNameOf(identifier) }, signal),
  };

  async #tellAll(answer: ChallengeAnswer, signal: AbortSignal): Promise<void> {
    await Promise.all([this.#tell(answer), this.share?.(answer, signal)]);
  }
}

export function answerToken(downstream: Downstream, body: string): undefined {
  const fields = ["Content-Type", "text/plain", "Content-Length", `${body.length}`];
  downstream.respond(200, "OK", fields, body.length);
  downstream.write(Buffer.from(body));
  downstream.end([]);
}

/** Rejects for what can't be used. */
export async function toServedAnswer(certificate: KeyAndCertificate): Promise<ServedCertificate> {
  const { cert, key } = certificate;
  return {
    context: tls.createSecureContext({ ...certificate, minVersion: "TLSv1.2" }),
    ...{ names: [], alpn: [ACME_TLS_ALPN] },
    answer: canServeAcmeTls() ? undefined : await answerByHand(cert, createPrivateKey(key)),
  };
}

/** RFC 8738 section 6: an address is asked for by its name in the reverse tree. */
function serverNameOf({ type, value }: Identifier): string {
  return type === "ip" ? reverseName(value) : value;
}

/** RFC 8737 section 3: the connection is closed once the handshake is complete. */
export async function answerByHand(
  pem: string,
  key: KeyObject,
): Promise<NonNullable<ServedCertificate["answer"]>> {
  const { answerHandshake, FINISHED_SIZE } = await import("./acmetls.ts");
  const identity = { certificate: fromPem(pem), key, protocol: ACME_TLS_ALPN };
  return (hello, socket) => {
    const answer = answerHandshake({ hello, ...identity });
    if ("alert" in answer) {
      socket.resume().end(fatalAlert(answer.alert));
      return answer.reason;
    }
    let left = FINISHED_SIZE;
    socket.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (left <= 0 && !socket.writableEnded) socket.end(answer.closeNotify);
    });
    socket.write(answer.flight);
    return undefined;
  };
}
