/**
 * The provider `ovh`: zones at OVHcloud, whose API makes and deletes records one by one and
 * publishes a zone when it is told to refresh it. Written from its documentation and from what
 * other clients send; not run against the real service.
 *
 * OVH_ENDPOINT (`ovh-eu`, `ovh-ca`, `ovh-us`, … or a URL), and one of: OVH_APPLICATION_KEY with
 * OVH_APPLICATION_SECRET and OVH_CONSUMER_KEY; OVH_CLIENT_ID with OVH_CLIENT_SECRET (OAuth2);
 * OVH_ACCESS_TOKEN. OVH_TTL (120), OVH_PROPAGATION_TIMEOUT (60), OVH_POLLING_INTERVAL (2) and
 * OVH_HTTP_TIMEOUT (180) in seconds. Keys that may only POST and DELETE, as lego asks for, will do:
 * the id of a record is remembered, and looked up (GET) only after a restart. Needs log.ts,
 * number.ts, shared.ts.
 */
import { createHash } from "node:crypto";
import type { HttpRequest } from "../httpsclient.ts";
import { quote } from "../log.ts";
import { parseDecimal } from "../number.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "./provider.ts";
import {
  callJson,
  DEFAULT_TTL,
  type Env,
  httpTimeout,
  isValue,
  needed,
  optional,
  placeOf,
  propagation,
  seconds,
  text,
  unexpected,
} from "./shared.ts";

const SERVICE = "OVH";
const RIGHTS = "it needs GET, POST and DELETE on /domain/zone/*";
const ACCEPT = ["Accept", "application/json"];
/** Records of one name that are looked at, one request each. */
const MAX_RECORDS = 50;
/** Latest time that is believed, in seconds since the epoch: the year 2242. */
const MAX_TIME = 2 ** 33;
/** How long the difference of the two clocks is believed, in ms. */
const CLOCK_KEPT = 60_000;
/** An OAuth2 token is replaced this many ms before it ends. */
const TOKEN_MARGIN = 60_000;

/** Where each API is, and where it has its OAuth2 tokens, if it has any. */
const ENDPOINTS: ReadonlyMap<string, readonly [api: string, tokens?: string]> = new Map([
  ["ovh-eu", ["https://eu.api.ovh.com/1.0", "https://www.ovh.com/auth/oauth2/token"]],
  ["ovh-ca", ["https://ca.api.ovh.com/1.0", "https://ca.ovh.com/auth/oauth2/token"]],
  ["ovh-us", ["https://api.us.ovhcloud.com/1.0", "https://us.ovhcloud.com/auth/oauth2/token"]],
  ["kimsufi-eu", ["https://eu.api.kimsufi.com/1.0"]],
  ["kimsufi-ca", ["https://ca.api.kimsufi.com/1.0"]],
  ["soyoustart-eu", ["https://eu.api.soyoustart.com/1.0"]],
  ["soyoustart-ca", ["https://ca.api.soyoustart.com/1.0"]],
]);

/** What requests are made with. */
interface Api extends Pick<ProviderContext, "env" | "http"> {
  readonly url: string;
  /** Where OAuth2 tokens are; undefined where there are none. */
  readonly tokens: string | undefined;
  readonly timeout: number;
  readonly now: () => number;
}

/** The fields that say who asks: some cover the request, some need a request of their own. */
type Authorize = (
  method: HttpRequest["method"],
  url: string,
  body: string,
  signal: AbortSignal,
) => Promise<readonly string[]>;

/** A request about a zone: method, path below it and what is sent as JSON. */
type Ask = (
  zone: string,
  request: readonly [HttpRequest["method"], path: string, json?: unknown],
  signal: AbortSignal,
  accept?: readonly number[],
) => Promise<unknown>;

/** Where a value goes: `sub` is the name without the zone, empty for the zone itself. */
interface Place {
  readonly zone: string;
  readonly sub: string;
  readonly value: string;
}

/** A CreateProvider; `now` in milliseconds since the epoch. */
export function createProvider(
  { env, http, zoneOf }: ProviderContext,
  now: () => number = Date.now,
): DnsProvider {
  const [url, tokens] = endpoint(env);
  const ask = asking({ env, http, url, tokens, timeout: httpTimeout(env, "OVH", 180), now });
  const ttl = seconds(env, "OVH_TTL", DEFAULT_TTL);
  const ids = new Map<string, string>(); // of the records made here, by name and value

  const place = async (name: string, value: string, signal: AbortSignal): Promise<Place> => {
    return { ...await placeOf(zoneOf, name, signal), value };
  };
  const create = async ({ zone, sub, value }: Place, signal: AbortSignal) => {
    const record = { fieldType: "TXT", subDomain: sub, target: value, ttl };
    return text(await ask(zone, ["POST", "/record", record], signal), "id");
  };

  return {
    propagation: propagation(env, "OVH"),
    async present({ name, value }, signal) {
      const at = await place(name, value, signal);
      const key = `${name} ${value}`;
      // For keys that may not read, and get a 403 here, nothing is found and nothing is lost.
      const id = ids.get(key) ?? (await find(ask, at, signal, [403]))[0] ??
        await create(at, signal);
      if (id !== undefined && ID.test(id)) ids.set(key, id); // else it is looked up when it goes
      await ask(at.zone, ["POST", "/refresh"], signal);
    },
    async cleanUp({ name, value }, signal) {
      const at = await place(name, value, signal);
      const key = `${name} ${value}`;
      const known = ids.get(key);
      const found = known === undefined ? await find(ask, at, signal) : [known];
      for (const id of found) await ask(at.zone, ["DELETE", `/record/${id}`], signal, [404]);
      if (found.length > 0) await ask(at.zone, ["POST", "/refresh"], signal);
      ids.delete(key);
    },
  };
}

function asking(api: Api): Ask {
  const { http, url, timeout } = api;
  const authorize = authorization(api);
  return async (zone, [method, path, json], signal, accept = []) => {
    const where = `${url}/domain/zone/${zone}${path}`;
    const body = json === undefined ? "" : JSON.stringify(json);
    const fields = [...ACCEPT, ...await authorize(method, where, body, signal)];
    const explain = (status: number): string | undefined => {
      if (status === 401 || status === 403) return RIGHTS;
      return status === 404 ? `${zone} is no zone of this account at ${url}` : undefined;
    };
    const call = { method, url: where, fields, signal, timeout, service: SERVICE, accept, explain };
    return callJson(http, { ...call, json });
  };
}

/** The ids of the records that have this name and value; none when the status is accepted. */
async function find(
  ask: Ask,
  { zone, sub, value }: Place,
  signal: AbortSignal,
  accept: readonly number[] = [],
): Promise<string[]> {
  const query = `?fieldType=TXT&subDomain=${encodeURIComponent(sub)}`;
  const listed = await ask(zone, ["GET", `/record${query}`], signal, accept) ?? [];
  if (!Array.isArray(listed) || listed.length > MAX_RECORDS) {
    throw unexpected(SERVICE, "list of records");
  }
  const found: string[] = [];
  for (const id of listed.map(recordId)) {
    const record = await ask(zone, ["GET", `/record/${id}`], signal, [404, ...accept]);
    const here = text(record, "fieldType") === "TXT" && text(record, "subDomain") === sub;
    if (here && isValue(text(record, "target"), value)) found.push(id);
  }
  return found;
}

const ID = /^[0-9]{1,20}$/;

/** Throws unless it is one: ids get into URLs. */
function recordId(value: unknown): string {
  const id = text(value);
  if (id !== undefined && ID.test(id)) return id;
  throw unexpected(SERVICE, "record id");
}

function endpoint(env: Env): readonly [api: string, tokens?: string] {
  const given = needed(env, "OVH_ENDPOINT");
  const known = ENDPOINTS.get(given);
  if (known !== undefined) return known;
  if (/^https?:\/\/./.test(given) && URL.canParse(given)) return [given.replace(/\/+$/, "")];
  const names = [...ENDPOINTS.keys()].join(", ");
  throw new DnsProviderError(
    `invalid OVH_ENDPOINT ${quote(given, 100)}: expected ${names} or a URL`,
  );
}

/** Refuses a mixture: which of them is meant can't be told. */
function authorization(api: Api): Authorize {
  const { env } = api;
  const keys = ["OVH_APPLICATION_KEY", "OVH_APPLICATION_SECRET", "OVH_CONSUMER_KEY"];
  const key = keys.find((name) => optional(env, name) !== undefined);
  const client = ["OVH_CLIENT_ID", "OVH_CLIENT_SECRET"].find((name) => optional(env, name));
  if (key !== undefined && client !== undefined) {
    throw new DnsProviderError(`${key} and ${client} are set: expected only one of them`);
  }
  if (client !== undefined) return serviceAccount(api);
  const token = optional(env, "OVH_ACCESS_TOKEN");
  if (key !== undefined || token === undefined) return application(api);
  return () => Promise.resolve(["Authorization", `Bearer ${token}`]);
}

/**
 * Requests are signed with the time of OVH's clock, so that a machine whose clock is wrong can
 * still get its certificates; how far the two are apart is asked again after a while.
 */
function application({ env, http, url, timeout, now }: Api): Authorize {
  const key = needed(env, "OVH_APPLICATION_KEY");
  const secret = needed(env, "OVH_APPLICATION_SECRET");
  const consumer = needed(env, "OVH_CONSUMER_KEY");
  let asked = -Infinity; // when, by our clock
  let ahead = 0; // milliseconds that theirs is
  return async (method, where, body, signal) => {
    if (Math.abs(now() - asked) > CLOCK_KEPT) {
      const clock = { method: "GET", url: `${url}/auth/time`, fields: ACCEPT } as const;
      const told = text(await callJson(http, { ...clock, signal, timeout, service: SERVICE }));
      const theirs = parseDecimal(told ?? "", MAX_TIME);
      if (theirs === undefined) throw unexpected(SERVICE, "time");
      asked = now();
      ahead = theirs * 1000 - asked;
    }
    const time = `${Math.round((now() + ahead) / 1000)}`;
    const signed = [secret, consumer, method, where, body, time].join("+");
    return [
      ...["X-Ovh-Application", key, "X-Ovh-Consumer", consumer, "X-Ovh-Timestamp", time],
      ...["X-Ovh-Signature", `$1$${createHash("sha1").update(signed).digest("hex")}`],
    ];
  };
}

/** RFC 6749 section 4.4, client credentials; the token is kept while it lasts. */
function serviceAccount({ env, http, tokens, timeout, now }: Api): Authorize {
  const client_id = needed(env, "OVH_CLIENT_ID");
  const client_secret = needed(env, "OVH_CLIENT_SECRET");
  if (tokens === undefined) {
    throw new DnsProviderError(
      "OVH_CLIENT_ID is set: OVH_ENDPOINT must be ovh-eu, ovh-ca or ovh-us",
    );
  }
  const form = { grant_type: "client_credentials", client_id, client_secret, scope: "all" };
  let token = "";
  let until = 0;
  return async (_method, _url, _body, signal) => {
    if (now() >= until) {
      const answer = await callJson(http, {
        method: "POST",
        url: tokens,
        fields: [...ACCEPT, "Content-Type", "application/x-www-form-urlencoded"],
        body: new URLSearchParams(form).toString(),
        signal,
        timeout,
        service: SERVICE,
        credential: "client (OVH_CLIENT_ID, OVH_CLIENT_SECRET)",
        secrets: [client_secret],
      });
      token = text(answer, "access_token") ?? "";
      if (!/^[\x21-\x7e]+$/.test(token)) throw unexpected(SERVICE, "access token");
      const lasts = parseDecimal(text(answer, "expires_in") ?? "0", MAX_TIME) ?? 0;
      until = now() + lasts * 1000 - TOKEN_MARGIN;
    }
    return ["Authorization", `Bearer ${token}`];
  };
}
