/**
 * Challenges of orders that other machines have open: a CA may reach any of them. What it asks for
 * here and isn't known here is asked elsewhere, while the connection or the request waits.
 *
 * Anybody may ask for anything: only what can be a token or a name is passed on, only so many at a
 * time, and nobody waits for long.
 *
 * Needs `challenges.ts`, `answer.ts`.
 */
import type { Buffer } from "node:buffer";
import { setTimeout as wait } from "node:timers/promises";
import { isDomainName } from "./addr.ts";
import { answer, UNABLE } from "./answer.ts";
import { answerToken, type ChallengeAnswer, type OtherAnswers } from "./challenges.ts";
import { toServedAnswer } from "./challenges.ts";
import type { ServedCertificate } from "./contexts.ts";
import type { Downstream, Handle, RequestHandler } from "./exchange.ts";
import type { FieldLines, RequestHead } from "./http1.ts";

/** Questions at a time; others are answered as if nothing was found. */
const MAX_ASKED = 256;
/** Until nothing is found, in milliseconds. */
const PATIENCE = 2_000;
/** Base64url of 128 bits or more (RFC 8555 section 8.3); CAs use 43 characters. */
const TOKEN = /^[A-Za-z0-9_-]{22,128}$/;

/** An answer that lacks what is to be answered. */
export type ChallengeQuestion = { readonly token: string } | { readonly serverName: string };

/** May reject. */
export type Ask = (question: ChallengeQuestion) => Promise<ChallengeAnswer | undefined>;

/** Whether a CA might ask that; the question may be anything. */
export function isQuestion(question: unknown): question is ChallengeQuestion {
  const { token, serverName } = Object(question);
  if (typeof token === "string") return TOKEN.test(token);
  return typeof serverName === "string" && isDomainName(serverName);
}

export class AskedChallenges implements OtherAnswers {
  readonly #ask: Ask;
  #asked = 0;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  http(token: string, handle: Handle, head: RequestHead, downstream: Downstream) {
    // A CA's request is a plain one; a body would have to wait as well.
    const isPlain = head.length === 0 && head.upgrade === undefined;
    if (!isPlain || !this.#mayAsk({ token })) return handle(head, downstream);
    const later = new Later();
    this.#find({ token }).then((found) => {
      const body = found !== undefined && "token" in found ? found.keyAuthorization : undefined;
      later.begin(
        body === undefined ? handle : () => answerToken(downstream, body),
        head,
        downstream,
      );
    });
    return later;
  }

  async tls(serverName: string): Promise<ServedCertificate | undefined> {
    if (!this.#mayAsk({ serverName })) return undefined;
    const found = await this.#find({ serverName });
    if (found === undefined || !("serverName" in found) || !found.certificate) return undefined;
    return toServedAnswer(found.certificate).catch(() => undefined);
  }

  #mayAsk(question: ChallengeQuestion): boolean {
    return this.#asked < MAX_ASKED && isQuestion(question);
  }

  /** Never rejects. */
  async #find(question: ChallengeQuestion): Promise<ChallengeAnswer | undefined> {
    const over = new AbortController();
    this.#asked++;
    const late = wait(PATIENCE, undefined, { signal: over.signal });
    try {
      return await Promise.race([this.#ask(question), late]);
    } catch {
      return undefined;
    } finally {
      this.#asked--;
      late.catch(() => {});
      over.abort();
    }
  }
}

/** A request without a body whose handler isn't known yet. */
class Later implements RequestHandler {
  #handler: RequestHandler | undefined;
  #isGone = false;

  begin(handle: Handle, head: RequestHead, downstream: Downstream): void {
    if (this.#isGone) return;
    try {
      this.#handler = handle(head, downstream);
    } catch {
      answer(downstream, head, 500, UNABLE);
    }
  }

  onRequestData(chunk: Buffer): void {
    this.#handler?.onRequestData(chunk);
  }

  onRequestEnd(trailers: FieldLines): void {
    this.#handler?.onRequestEnd(trailers);
  }

  onDrain(): void {
    this.#handler?.onDrain();
  }

  onGone(): void {
    this.#isGone = true;
    this.#handler?.onGone();
  }
}
