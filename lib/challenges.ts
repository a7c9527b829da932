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
import type { Handle } from "./exchange.ts";
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
type KeyAndCertificate = { readonly key: string; readonly cert: string };

/** What the front end answers while orders are open. */
export class ChallengeAnswers {
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
    const { cert, key } = certificate;
    this.#certificates.set(serverName, {
      context: tls.createSecureContext({ ...certificate, minVersion: "TLSv1.2" }),
      ...{ names: [], alpn: [ACME_TLS_ALPN] },
      answer: canServeAcmeTls() ? undefined : await answerByHand(cert, createPrivateKey(key)),
    });
  }

  /** The body for a request target; undefined for any that isn't asked for by an open order. */
  http(target: string): string | undefined {
    if (this.#keyAuthorizations.size === 0 || !target.startsWith(PATH)) return undefined;
    return this.#keyAuthorizations.get(target.slice(PATH.length));
  }

  /** The certificate for a ClientHello that offers `acme-tls/1` alone (RFC 8737 section 3). */
  tls(serverName: string | undefined, alpn: readonly string[]): ServedCertificate | undefined {
    if (alpn.length !== 1 || alpn[0] !== ACME_TLS_ALPN) return undefined;
    return this.#certificates.get(serverName ?? "");
  }

  /** Answers HTTP-01 before a handler is asked, whatever the host (RFC 8555 section 8.3). */
  before(handle: Handle): Handle {
    return (head, downstream) => {
      const body = head.method === "GET" ? this.http(head.target) : undefined;
      if (body === undefined) return handle(head, downstream);
      const fields = ["Content-Type", "text/plain", "Content-Length", `${body.length}`];
      downstream.respond(200, "OK", fields, body.length);
      downstream.write(Buffer.from(body));
      return void downstream.end([]);
    };
  }

  readonly httpSolver: Solver = {
    prepare: ({ challenge: { token = "" }, keyAuthorization }) =>
      this.#tell({ token, keyAuthorization }),
    cleanUp: ({ challenge: { token = "" } }) => this.#tell({ token }),
  };

  readonly tlsSolver: Solver = {
    turn: ({ identifier }) => `tls ${identifier.value}`, // it has one certificate at a time
    prepare: async ({ identifier, keyAuthorization }) => {
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
      await this.#tell({ serverName: serverNameOf(identifier), certificate });
    },
    cleanUp: ({ identifier }) => this.#tell({ serverName: serverNameOf(identifier) }),
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
