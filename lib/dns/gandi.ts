/**
 * The provider `gandiv5`: domains in Gandi's LiveDNS, whose API reads and writes all values of a
 * name at once (an RRset). So a value is added and taken away by reading the others and writing
 * them back, one after another for each name. Written from its documentation and from what other
 * clients send; not run against the real service.
 *
 * GANDIV5_PERSONAL_ACCESS_TOKEN, or GANDIV5_API_KEY, which Gandi has deprecated; GANDIV5_TTL (300,
 * which is also the least), GANDIV5_PROPAGATION_TIMEOUT (1200: the service is slow),
 * GANDIV5_POLLING_INTERVAL (20) and GANDIV5_HTTP_TIMEOUT (10) in seconds. Needs shared.ts.
 */
import type { HttpRequest } from "../httpsclient.ts";
import { perKey } from "../turns.ts";
import type { DnsProvider, ProviderContext } from "./provider.ts";
import {
  callJson,
  httpTimeout,
  isValue,
  member,
  needed,
  optional,
  placeOf,
  propagation,
  seconds,
  strings,
} from "./shared.ts";

const SERVICE = "Gandi";
const API = "https://api.gandi.net/v5/livedns/domains/";
const MIN_TTL = 300;
const RIGHTS = "it needs the permission to manage this domain's technical configuration";

/** A CreateProvider. */
export function createProvider({ env, http, zoneOf }: ProviderContext): DnsProvider {
  const secret = needed(env, "GANDIV5_PERSONAL_ACCESS_TOKEN", "GANDIV5_API_KEY");
  const isToken = optional(env, "GANDIV5_PERSONAL_ACCESS_TOKEN") !== undefined;
  const fields = ["Authorization", `${isToken ? "Bearer" : "Apikey"} ${secret}`];
  const credential = isToken ? "token (GANDIV5_PERSONAL_ACCESS_TOKEN)" : "key (GANDIV5_API_KEY)";
  const timeout = httpTimeout(env, "GANDIV5", 10);
  const ttl = Math.max(seconds(env, "GANDIV5_TTL", MIN_TTL), MIN_TTL);
  const locked = perKey();

  const ask = (
    zone: string,
    [method, path, json]: readonly [HttpRequest["method"], string, unknown?],
    signal: AbortSignal,
    accept: readonly number[] = [],
  ): Promise<unknown> => {
    const explain = (status: number): string | undefined => {
      if (status === 401 || status === 403) return RIGHTS;
      return status === 404 ? `${zone} is no domain of this account in LiveDNS` : undefined;
    };
    const call = { method, url: `${API}${zone}/records/${path}`, fields, signal, timeout, accept };
    const asked = { ...call, service: SERVICE, credential, explain };
    return callJson(http, { ...asked, json });
  };

  /** Reads the values of a name, and writes back what `change` makes of them, unless undefined. */
  const edit = (
    name: string,
    signal: AbortSignal,
    change: (values: readonly string[]) => readonly string[] | undefined,
  ): Promise<void> =>
    locked(name, async () => {
      const { zone, sub } = await placeOf(zoneOf, name, signal, "@");
      const set = `${sub}/TXT`;
      // 404 is a name without TXT values, or a domain that isn't there: writing tells them apart.
      const answer = await ask(zone, ["GET", set], signal, [404]);
      const values = answer === undefined ? [] : strings(SERVICE, member(answer, "rrset_values"));
      const rrset_values = change(values);
      if (rrset_values === undefined) return;
      await (rrset_values.length === 0
        ? ask(zone, ["DELETE", set], signal, [404])
        : ask(zone, ["PUT", set, { rrset_ttl: ttl, rrset_values }], signal));
    });

  return {
    propagation: propagation(env, "GANDIV5", { timeout: 1200, interval: 20 }),
    present: ({ name, value }, signal) =>
      edit(name, signal, (values) => {
        return values.some((one) => isValue(one, value)) ? undefined : [...values, `"${value}"`];
      }),
    cleanUp: ({ name, value }, signal) =>
      edit(name, signal, (values) => {
        const others = values.filter((one) => !isValue(one, value));
        return others.length === values.length ? undefined : others;
      }),
  };
}
