/**
 * The provider `cloudflare`: zones at Cloudflare, whose API makes and deletes records one by one.
 * Written from its documentation and from what other clients send; not run against the real
 * service.
 *
 * CF_DNS_API_TOKEN with the permission DNS:Edit, and with Zone:Read unless CF_ZONE_API_TOKEN has
 * that one; or CF_API_EMAIL with CF_API_KEY, the Global API Key, which come first as in lego. Each
 * also as CLOUDFLARE_… (CLOUDFLARE_EMAIL, without API). CLOUDFLARE_BASE_URL; CLOUDFLARE_TTL (120,
 * the least), CLOUDFLARE_PROPAGATION_TIMEOUT (120), CLOUDFLARE_POLLING_INTERVAL (2) and
 * CLOUDFLARE_HTTP_TIMEOUT (30) in seconds; or CF_….
 *
 * The zone is the longest one with the name's end that the token can read, whatever the local
 * resolver calls the zone. Needs log.ts, shared.ts.
 */
import type { HttpRequest } from "../httpsclient.ts";
import { quote } from "../log.ts";
import {
  type DnsProvider,
  DnsProviderError,
  type ProviderContext,
  type TxtRecord,
} from "./provider.ts";
import {
  callJson,
  type Env,
  httpTimeout,
  idOf,
  isValue,
  list,
  member,
  needed,
  optional,
  propagation,
  seconds,
  text,
  unexpected,
  zoneCandidates,
} from "./shared.ts";

const SERVICE = "Cloudflare";
const API = "https://api.cloudflare.com/client/v4";
const PREFIXES = ["CLOUDFLARE", "CF"];
const MIN_TTL = 120;

/** Request fields, and what people call them. */
interface Login {
  readonly fields: readonly string[];
  readonly credential: string;
}

/** A CreateProvider. */
export function createProvider({ env, http }: ProviderContext): DnsProvider {
  const { zones, records } = logins(env);
  const base = baseUrl(env);
  const timeout = httpTimeout(env, PREFIXES);
  const ttl = seconds(env, PREFIXES.map((prefix) => `${prefix}_TTL`), MIN_TTL);
  if (ttl < MIN_TTL) {
    throw new DnsProviderError(
      `invalid CLOUDFLARE_TTL ${ttl}: ${SERVICE} takes ${MIN_TTL} or more`,
    );
  }

  const ask = async (
    login: Login,
    [method, path, json]: readonly [HttpRequest["method"], string, unknown?],
    name: string,
    signal: AbortSignal,
    accept: readonly number[] = [],
  ): Promise<unknown> => {
    const explain = advice(name);
    const call = { ...login, method, url: base + path, signal, timeout, accept, explain };
    return member(await callJson(http, { ...call, service: SERVICE, json }), "result");
  };

  /** The path of the records of the zone that the name is in. */
  const recordsPath = async (name: string, signal: AbortSignal): Promise<string> => {
    for (const zone of zoneCandidates(name)) {
      const query = `/zones?name=${encodeURIComponent(zone)}`;
      const found = await ask(zones, ["GET", query], name, signal);
      if (!Array.isArray(found)) throw unexpected(SERVICE, "list of zones");
      const same = found.filter((item) => text(item, "name") === zone);
      // A zone that was moved stays with the account that it left.
      const one = same.find((item) => text(item, "status") === "active") ?? same[0];
      if (one !== undefined) return `/zones/${idOf(SERVICE, one)}/dns_records`;
    }
    const problem = `no zone that holds ${quote(name, 300)} was found with the ${zones.credential}`;
    throw new DnsProviderError(`${problem}: ${SERVICE} shows those that it has Zone:Read for`);
  };

  /** The records that have this name and value, with the path to them. */
  const find = async ({ name, value }: TxtRecord, signal: AbortSignal) => {
    const path = await recordsPath(name, signal);
    const query = `?type=TXT&name=${encodeURIComponent(name)}&per_page=100`;
    const found = await ask(records, ["GET", path + query], name, signal);
    if (!Array.isArray(found)) throw unexpected(SERVICE, "list of records");
    const same = found.filter((item) => {
      const here = text(item, "type") === "TXT" && text(item, "name")?.toLowerCase() === name;
      return here && isValue(text(item, "content"), value);
    });
    return { path, ids: same.map((item) => idOf(SERVICE, item)) };
  };

  return {
    propagation: propagation(env, PREFIXES, { timeout: 120 }),
    async present(record, signal) {
      const { path, ids } = await find(record, signal);
      if (ids.length > 0) return;
      // Values without quotes are taken too, but make its pages complain.
      const json = { type: "TXT", name: record.name, content: `"${record.value}"`, ttl };
      idOf(SERVICE, await ask(records, ["POST", path, json], record.name, signal));
    },
    async cleanUp(record, signal) {
      const { path, ids } = await find(record, signal);
      for (const id of ids) {
        await ask(records, ["DELETE", `${path}/${id}`], record.name, signal, [404]);
      }
    },
  };
}

/** What proves who asks, for zones and for records. */
function logins(env: Env): { readonly zones: Login; readonly records: Login } {
  const email = optional(env, "CLOUDFLARE_EMAIL", "CF_API_EMAIL");
  const key = optional(env, "CLOUDFLARE_API_KEY", "CF_API_KEY");
  if (email !== undefined && key !== undefined) {
    const fields = ["X-Auth-Email", email, "X-Auth-Key", key];
    const login = { fields, credential: "key (CF_API_EMAIL, CF_API_KEY)" };
    return { zones: login, records: login };
  }
  const bearer = (token: string, name: string): Login => {
    return { fields: ["Authorization", `Bearer ${token}`], credential: `token (${name})` };
  };
  const token = needed(env, "CF_DNS_API_TOKEN", "CLOUDFLARE_DNS_API_TOKEN");
  const other = optional(env, "CLOUDFLARE_ZONE_API_TOKEN", "CF_ZONE_API_TOKEN");
  const records = bearer(token, "CF_DNS_API_TOKEN");
  return { records, zones: other === undefined ? records : bearer(other, "CF_ZONE_API_TOKEN") };
}

function baseUrl(env: Env): string {
  const url = (optional(env, "CLOUDFLARE_BASE_URL", "CF_BASE_URL") ?? API).replace(/\/+$/, "");
  if (/^https?:\/\/./.test(url) && URL.canParse(url)) return url;
  throw new DnsProviderError(`invalid CLOUDFLARE_BASE_URL ${quote(url, 100)}: expected ${API}`);
}

/** What is to be done about a status; 6003, with 400, is a token or key that can't be one. */
function advice(name: string): (status: number, body: unknown) => string | undefined {
  return (status, body) => {
    const malformed = list(body, "errors").some((error) => text(error, "code") === "6003");
    if (status === 401 || status === 403 || malformed) {
      return `it needs the permissions Zone:Read and DNS:Edit for the zone of ${quote(name, 300)}`;
    }
    return status === 429 ? "1,200 requests in five minutes are allowed" : undefined;
  };
}
