/**
 * The provider `digitalocean`: domains in DigitalOcean's DNS, whose API makes and deletes records
 * one by one. Written from its documentation and from what other clients send; not run against the
 * real service.
 *
 * DO_AUTH_TOKEN; DO_API_URL (https://api.digitalocean.com); DO_TTL (30), DO_HTTP_TIMEOUT (30),
 * DO_PROPAGATION_TIMEOUT (60) and DO_POLLING_INTERVAL (5) in seconds.
 * Needs log.ts, shared.ts.
 */
import type { HttpRequest } from "../httpsclient.ts";
import { quote } from "../log.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "./provider.ts";
import {
  callJson,
  httpTimeout,
  idOf,
  isValue,
  member,
  needed,
  optional,
  placeOf,
  propagation,
  seconds,
  text,
  unexpected,
} from "./shared.ts";

const SERVICE = "DigitalOcean";
const API = "https://api.digitalocean.com";
const SCOPES = "it needs the scopes domain:read, domain:create and domain:delete";

/** A CreateProvider. */
export function createProvider({ env, http, zoneOf }: ProviderContext): DnsProvider {
  const fields = ["Authorization", `Bearer ${needed(env, "DO_AUTH_TOKEN")}`];
  const base = (optional(env, "DO_API_URL") ?? API).replace(/\/+$/, "");
  if (!/^https?:\/\/./.test(base) || !URL.canParse(base)) {
    throw new DnsProviderError(`invalid DO_API_URL ${quote(base, 100)}: expected ${API}`);
  }
  const timeout = httpTimeout(env, "DO");
  const ttl = seconds(env, "DO_TTL", 30);

  /** One request about the records of a zone. */
  const ask = (
    zone: string,
    [method, path, json]: readonly [HttpRequest["method"], string, unknown?],
    signal: AbortSignal,
    accept: readonly number[] = [],
  ): Promise<unknown> => {
    const url = `${base}/v2/domains/${zone}/records${path}`;
    const explain = (status: number): string | undefined => {
      if (status === 401 || status === 403) return SCOPES;
      return status === 404 ? `${zone} is no domain of this account` : undefined;
    };
    const call = { method, url, fields, signal, timeout, service: SERVICE, accept, explain };
    const asked = { ...call, credential: "token (DO_AUTH_TOKEN)" };
    return callJson(http, { ...asked, json });
  };

  /** The zone, the name in it, and the ids of the records that have this name and value. */
  const find = async (name: string, value: string, signal: AbortSignal) => {
    const { zone, sub } = await placeOf(zoneOf, name, signal, "@");
    const query = `?type=TXT&name=${encodeURIComponent(name)}&per_page=200`;
    const records = member(await ask(zone, ["GET", query], signal), "domain_records");
    if (!Array.isArray(records)) throw unexpected(SERVICE, "list of records");
    const found = records.filter((record) => {
      const here = text(record, "type") === "TXT" && text(record, "name") === sub;
      return here && isValue(text(record, "data"), value);
    });
    return { zone, sub, ids: found.map((record) => idOf(SERVICE, record)) };
  };

  return {
    propagation: propagation(env, "DO", { interval: 5 }),
    async present({ name, value }, signal) {
      const { zone, sub, ids } = await find(name, value, signal);
      if (ids.length > 0) return;
      await ask(zone, ["POST", "", { type: "TXT", name: sub, data: value, ttl }], signal);
    },
    async cleanUp({ name, value }, signal) {
      const { zone, ids } = await find(name, value, signal);
      for (const id of ids) await ask(zone, ["DELETE", `/${id}`], signal, [404]);
    },
  };
}
