/**
 * The provider `desec`: domains at deSEC, whose API reads and writes all values of a name at once
 * (an RRset). So a value is added and taken away by reading the others and writing them back, one
 * after another for each name. Written from its documentation and from what other clients send; not
 * run against the real service.
 *
 * DESEC_TOKEN; DESEC_TTL (3600; raised to the least that the domain allows), DESEC_HTTP_TIMEOUT
 * (30), DESEC_PROPAGATION_TIMEOUT (120) and DESEC_POLLING_INTERVAL (4) in seconds. The service
 * allows 2 changes a second, 15 a minute, 100 an hour and 300 a day of a domain, and says how long
 * to wait: a short time is waited. Needs addr.ts, http1.ts, number.ts, shared.ts.
 */
import { setTimeout as delay } from "node:timers/promises";
import { isDomainName } from "../addr.ts";
import { fieldValue } from "../http1.ts";
import type { HttpClient, HttpRequest } from "../httpsclient.ts";
import { parseDecimal } from "../number.ts";
import { perKey } from "../turns.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "./provider.ts";
import {
  callJson,
  httpTimeout,
  member,
  needed,
  propagation,
  relativeName,
  seconds,
  strings,
  text,
  unexpected,
} from "./shared.ts";

const SERVICE = "deSEC";
const API = "https://desec.io/api/v1/domains/";
const MIN_TTL = 3600;
/** Seconds that are waited for one request in all: a minute's limit, and some more. */
const MAX_WAIT = 90;

/** Resolves after so many milliseconds; rejects when the signal ends it. */
type Wait = (ms: number, signal: AbortSignal | undefined) => Promise<unknown>;

/** A CreateProvider; `wait` for tests. */
export function createProvider(
  { env, http }: ProviderContext,
  wait: Wait = (ms, signal) => delay(ms, undefined, signal && { signal }),
): DnsProvider {
  const fields = ["Authorization", `Token ${needed(env, "DESEC_TOKEN")}`];
  const timeout = httpTimeout(env, "DESEC") + MAX_WAIT * 1000;
  const ttl = seconds(env, "DESEC_TTL", MIN_TTL);
  const locked = perKey();
  const patient = waitingClient(http, wait);

  const ask = (
    [method, path, json]: readonly [HttpRequest["method"], string, unknown?],
    signal: AbortSignal,
    accept: readonly number[] = [],
  ): Promise<unknown> => {
    const explain = (status: number): string | undefined => {
      if (status === 401 || status === 403) return "it must be allowed to write RRsets";
      return status === 429
        ? "it allows 300 changes of a domain a day, and 100 an hour"
        : undefined;
    };
    const call = { method, url: API + path, fields, signal, timeout, accept, explain };
    const asked = { ...call, service: SERVICE, credential: "token (DESEC_TOKEN)" };
    return callJson(patient, { ...asked, json });
  };

  /** The domain of this account that the name is in, and the least TTL there. */
  const domainOf = async (name: string, signal: AbortSignal) => {
    const found = await ask(["GET", `?owns_qname=${encodeURIComponent(name)}`], signal);
    if (!Array.isArray(found)) throw unexpected(SERVICE, "list of domains");
    if (found.length === 0) {
      throw new DnsProviderError(`no domain of this account at ${SERVICE} holds ${name}`);
    }
    const domain = text(found[0], "name") ?? "";
    if (![domain, name].every(isDomainName)) throw unexpected(SERVICE, "domain name");
    const least = parseDecimal(text(found[0], "minimum_ttl") ?? "", 86_400) ?? MIN_TTL;
    return { domain, least, sub: relativeName(name, domain) };
  };

  /** Reads the values of a name, and writes back what `change` makes of them, unless undefined. */
  const edit = (
    name: string,
    signal: AbortSignal,
    change: (values: readonly string[]) => readonly string[] | undefined,
  ): Promise<void> =>
    locked(name, async () => {
      const { domain, least, sub } = await domainOf(name, signal);
      const set = `${domain}/rrsets/${sub === "" ? "@" : sub}/TXT/`;
      const answer = await ask(["GET", set], signal, [404]);
      const values = answer === undefined ? [] : strings(SERVICE, member(answer, "records"));
      const records = change(values);
      if (records === undefined) return;
      const create = { subname: sub, type: "TXT", ttl: Math.max(ttl, least), records };
      // Without records a set is deleted; what is gone by then is no error.
      await (values.length === 0
        ? ask(["POST", `${domain}/rrsets/`, create], signal)
        : ask(["PATCH", set, { records }], signal, records.length === 0 ? [404] : []));
    });

  return {
    propagation: propagation(env, "DESEC", { timeout: 120, interval: 4 }),
    present: ({ name, value }, signal) =>
      edit(name, signal, (values) => {
        return values.includes(`"${value}"`) ? undefined : [...values, `"${value}"`];
      }),
    cleanUp: ({ name, value }, signal) =>
      edit(name, signal, (values) => {
        const others = values.filter((other) => other !== `"${value}"`);
        return others.length === values.length ? undefined : others;
      }),
  };
}

/** Waits as long as a 429 says, in seconds (RFC 9110 section 10.2.3), and asks again. */
function waitingClient(http: HttpClient, wait: Wait): HttpClient {
  return async (request) => {
    for (let left = MAX_WAIT;;) {
      const answer = await http(request);
      const told = answer.status === 429 ? fieldValue(answer.fields, "retry-after") : undefined;
      const asked = parseDecimal(told ?? "", left);
      if (asked === undefined) return answer;
      left -= asked + 1; // or it could ask for 0 without end
      await wait(asked * 1000, request.signal);
    }
  };
}
