/**
 * What a DNS provider is: something that can put one TXT value at a name and take it away again,
 * for challenges of type dns-01 (RFC 8555 section 8.4). Each provider is one file beside this one,
 * loaded only when DNS_PROVIDER names it; names and variables are those of lego.
 *
 * A provider's file exports `createProvider: CreateProvider`, and its header says which service it
 * talks to, with which variables, and whether it was ever run against it.
 */
import type { HttpClient } from "../httpsclient.ts";

/** A TXT value to publish. Names are lower-case and have no trailing dot. */
export interface TxtRecord {
  /** Where it goes, CNAMEs followed: `_acme-challenge.example.com`. */
  readonly name: string;
  /** 43 characters of base64url. */
  readonly value: string;
  /** What is being proved, without `*.`: `example.com`. */
  readonly domain: string;
  /** For providers that are told the challenge itself. */
  readonly token: string;
  readonly keyAuthorization: string;
}

export interface DnsProvider {
  /**
   * Adds the value beside those that are there, and resolves when the service has taken it. A value
   * that is there already is no error. Rejects with DnsProviderError, or what the client throws.
   */
  present(record: TxtRecord, signal: AbortSignal): Promise<void>;
  /** Takes that value away, and no other; one that isn't there is no error. */
  cleanUp(record: TxtRecord, signal: AbortSignal): Promise<void>;
  /** How long to wait for the value to be seen everywhere, and between looks; in milliseconds. */
  readonly propagation: { readonly timeout: number; readonly interval: number };
  /** Only one value can be there at a time: challenges are done one after another. */
  readonly sequential?: boolean;
}

/** What a provider is made from. */
export interface ProviderContext {
  /** A variable, or the content, without its last line end, of the file that NAME_FILE names. */
  readonly env: (name: string) => string | undefined;
  readonly http: HttpClient;
  /** The zone that a name is in, by SOA: `example.com`. Rejects when there is none. */
  readonly zoneOf: (name: string, signal: AbortSignal) => Promise<string>;
}

/** Throws DnsProviderError when a variable that is needed is missing, and says which. */
export type CreateProvider = (context: ProviderContext) => DnsProvider;

/** What can't be done with a provider: the message says what and what was expected. */
export class DnsProviderError extends Error {}
