/**
 * OCSP responses for certificates that must staple one (RFC 7633): fetched, checked, and kept in
 * the certificate's record, as the Go program keeps them.
 *
 * Needs `ocsp.ts`, `httpsclient.ts`. Node only: Deno (2.9) can't staple.
 */
import type { HttpClient } from "./httpsclient.ts";
import type { Logger } from "./log.ts";
import { ocspRequest, readOcspResponse } from "./ocsp.ts";
import type { CertificateRecord } from "./store.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** A response without an end is fetched anew after this long. */
const DEFAULT_LIFE = 24 * HOUR;

/** The record with another response if one was due; `next`: when to call again (epoch, ms). */
export async function updateStaple(
  record: CertificateRecord,
  http: HttpClient,
  log: Logger,
): Promise<{ record?: CertificateRecord; next: number }> {
  const { subject } = record;
  if ("Deno" in globalThis) {
    const next = "clients that insist on a staple will refuse it; run Centauri on Node";
    log.error("certificate must staple, which Deno can't", { subject, next });
    return { next: Infinity };
  }
  const due = dueTime(record);
  if (record.ocspResponse !== null && due > Date.now()) return { next: due };
  try {
    const { request, url } = ocspRequest(record.certificate, record.issuer);
    if (url === undefined) throw new Error("the certificate names no OCSP responder");
    const fields = ["Content-Type", "application/ocsp-request"];
    const { status, body } = await http({ method: "POST", url, fields, body: request });
    if (status !== 200) throw new Error(`the OCSP responder answered ${status}`);
    const now = new Date();
    const until = readOcspResponse(body, record.certificate, record.issuer, now) ??
      new Date(now.getTime() + DEFAULT_LIFE);
    const updated = {
      ...record,
      ocspResponse: body.toString("base64"),
      nextOcspUpdate: until.toISOString(),
    };
    return { record: updated, next: nextTime(updated) };
  } catch (error) {
    log.warn("no OCSP response", { subject, error: error as Error });
    return { next: Date.now() + HOUR };
  }
}

/** A staple is fetched anew an hour before its end. */
const dueTime = ({ nextOcspUpdate }: CertificateRecord): number =>
  Date.parse(nextOcspUpdate) - HOUR;

/** When to look again; a response that ends sooner than that is fetched at half of its life. */
function nextTime(record: CertificateRecord): number {
  const now = Date.now();
  return Math.max(dueTime(record), now + MINUTE, (now + Date.parse(record.nextOcspUpdate)) / 2);
}
