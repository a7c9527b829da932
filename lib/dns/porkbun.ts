/**
 * The provider `porkbun`: domains at Porkbun, whose API makes and deletes records one by one.
 * Written from its documentation and from what other clients send; not run against the real
 * service.
 *
 * PORKBUN_API_KEY, PORKBUN_SECRET_API_KEY, and API access switched on for the domain; PORKBUN_TTL
 * (300, the least), PORKBUN_PROPAGATION_TIMEOUT (600), PORKBUN_POLLING_INTERVAL (10) and
 * PORKBUN_HTTP_TIMEOUT (30) in seconds. Needs shared.ts.
 */
import {
  type DnsProvider,
  DnsProviderError,
  type ProviderContext,
  type TxtRecord,
} from "./provider.ts";
import {
  callJson,
  httpTimeout,
  idOf,
  isValue,
  member,
  needed,
  placeOf,
  propagation,
  seconds,
  text,
  unexpected,
} from "./shared.ts";

const SERVICE = "Porkbun";
const API = "https://api.porkbun.com/api/json/v3/dns";
const MIN_TTL = 300;

/** A CreateProvider. */
export function createProvider({ env, http, zoneOf }: ProviderContext): DnsProvider {
  const secretapikey = needed(env, "PORKBUN_SECRET_API_KEY");
  const apikey = needed(env, "PORKBUN_API_KEY");
  const timeout = httpTimeout(env, "PORKBUN");
  const ttl = seconds(env, "PORKBUN_TTL", MIN_TTL);
  if (ttl < MIN_TTL) {
    throw new DnsProviderError(`invalid PORKBUN_TTL ${ttl}: ${SERVICE} takes ${MIN_TTL} or more`);
  }

  const ask = async (
    [action, zone, ...more]: readonly [string, string, ...string[]],
    json: object,
    signal: AbortSignal,
  ): Promise<unknown> => {
    const url = [API, ...[action, zone, ...more].map(encodeURIComponent)].join("/");
    const answer = await callJson(http, {
      method: "POST",
      url,
      json: { apikey, secretapikey, ...json },
      signal,
      timeout,
      service: SERVICE,
      credential: "keys (PORKBUN_API_KEY, PORKBUN_SECRET_API_KEY)",
      secrets: [apikey, secretapikey],
      explain: (status) => advice(status, zone),
    });
    if (text(answer, "status") === "SUCCESS") return answer;
    throw unexpected(SERVICE, "status SUCCESS");
  };

  /** The zone, the name in it, and the ids of the records that have this name and value. */
  const find = async ({ name, value }: TxtRecord, signal: AbortSignal) => {
    const { zone, sub } = await placeOf(zoneOf, name, signal);
    const path = ["retrieveByNameType", zone, "TXT", ...(sub === "" ? [] : [sub])] as const;
    const found = member(await ask(path, {}, signal), "records");
    if (!Array.isArray(found)) throw unexpected(SERVICE, "list of records");
    const same = found.filter((item) => {
      const here = text(item, "type") === "TXT" && text(item, "name")?.toLowerCase() === name;
      return here && isValue(text(item, "content"), value);
    });
    return { zone, sub, ids: same.map((item) => idOf(SERVICE, item)) };
  };

  return {
    propagation: propagation(env, "PORKBUN", { timeout: 600, interval: 10 }),
    async present(record, signal) {
      const { zone, sub, ids } = await find(record, signal);
      if (ids.length > 0) return;
      const json = { name: sub, type: "TXT", content: record.value, ttl: String(ttl) };
      await ask(["create", zone], json, signal);
    },
    async cleanUp(record, signal) {
      const { zone, ids } = await find(record, signal);
      for (const id of ids) {
        try {
          await ask(["delete", zone, id], {}, signal);
        } catch (error) {
          // It has no status of its own for what is gone: another look tells.
          if ((await find(record, signal)).ids.includes(id)) throw error;
        }
      }
    },
  };
}

/** What is to be done about a status; 400 is what wrong keys get, and much else. */
function advice(status: number, zone: string): string | undefined {
  if (status === 429 || status === 503) return "it is asked too often";
  return status === 400 || status === 401 || status === 403
    ? `the keys must be right, and API access switched on for the domain ${zone}`
    : undefined;
}
