/**
 * The provider `ionos`: zones at IONOS (hosting, not cloud), whose API adds and deletes records one
 * by one. Written from its documentation and from what other clients send; not run against the real
 * service.
 *
 * IONOS_API_KEY, `prefix.secret`; IONOS_TTL (300, which is also the least), IONOS_HTTP_TIMEOUT
 * (30), IONOS_PROPAGATION_TIMEOUT (900) and IONOS_POLLING_INTERVAL (2) in seconds. Records are
 * added by POST, and not by PATCH, which replaces whatever else the name holds. Needs shared.ts.
 */
import type { HttpRequest } from "../httpsclient.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "./provider.ts";
import {
  callJson,
  httpTimeout,
  idOf,
  isValue,
  member,
  needed,
  propagation,
  seconds,
  text,
  unexpected,
} from "./shared.ts";

const SERVICE = "IONOS";
const API = "https://api.hosting.ionos.com/dns/v1/zones";
const MIN_TTL = 300;

/** A CreateProvider. */
export function createProvider({ env, http }: ProviderContext): DnsProvider {
  const fields = ["X-API-Key", needed(env, "IONOS_API_KEY"), "Accept", "application/json"];
  const timeout = httpTimeout(env, "IONOS");
  const ttl = Math.max(seconds(env, "IONOS_TTL", MIN_TTL), MIN_TTL);

  const ask = (
    [method, path, json]: readonly [HttpRequest["method"], string, unknown?],
    signal: AbortSignal,
    accept: readonly number[] = [],
  ): Promise<unknown> => {
    const explain = (status: number): string | undefined =>
      status === 401 || status === 403
        ? "it must be the prefix, a dot and the secret of a key for the DNS API"
        : undefined;
    const call = { method, url: API + path, fields, signal, timeout, accept, explain };
    const asked = { ...call, service: SERVICE, credential: "API key (IONOS_API_KEY)" };
    return callJson(http, { ...asked, json });
  };

  /** Where the zone's records are, and the ids of those that have this name and value. */
  const find = async (name: string, value: string, signal: AbortSignal) => {
    const zone = `/${await zoneId(name, signal)}`;
    const query = `?recordName=${encodeURIComponent(name)}&recordType=TXT`;
    const answer = await ask(["GET", zone + query], signal);
    const records = member(answer, "records") ?? []; // a zone without such records may have none
    if (member(answer, "id") === undefined || !Array.isArray(records)) {
      throw unexpected(SERVICE, "zone");
    }
    const found = records.filter((record) => {
      const here = text(record, "type") === "TXT" && text(record, "name") === name;
      return here && isValue(text(record, "content"), value);
    });
    return { zone, ids: found.map((record) => idOf(SERVICE, record)) };
  };

  /** Of the account's zones that the name is in, the one that is nearest to it. */
  const zoneId = async (name: string, signal: AbortSignal): Promise<string> => {
    const zones = await ask(["GET", ""], signal);
    if (!Array.isArray(zones)) throw unexpected(SERVICE, "list of zones");
    let best = { name: "", id: "" };
    for (const item of zones) {
      const zone = { name: text(item, "name") ?? "", id: text(item, "id") ?? "" };
      const within = name === zone.name || name.endsWith(`.${zone.name}`);
      if (within && zone.name.length > best.name.length) best = zone;
    }
    if (best.name !== "") return idOf(SERVICE, best);
    throw new DnsProviderError(`no zone of this account at ${SERVICE} holds ${name}`);
  };

  return {
    propagation: propagation(env, "IONOS", { timeout: 900 }),
    async present({ name, value }, signal) {
      const { zone, ids } = await find(name, value, signal);
      if (ids.length > 0) return;
      const record = { name, type: "TXT", content: value, ttl, prio: 0, disabled: false };
      await ask(["POST", `${zone}/records`, [record]], signal);
    },
    async cleanUp({ name, value }, signal) {
      const { zone, ids } = await find(name, value, signal);
      for (const id of ids) await ask(["DELETE", `${zone}/records/${id}`], signal, [404]);
    },
  };
}
