/**
 * The provider `hetzner`: zones in a project of the Hetzner Cloud Console, whose API adds values to
 * those of a name and takes them away, in actions that end later. (The DNS Console's API at
 * dns.hetzner.com, with HETZNER_API_KEY, is gone.) Written from its documentation and from what
 * other clients send; not run against the real service.
 *
 * HETZNER_API_TOKEN, read and write; HETZNER_TTL (120, the least is 60),
 * HETZNER_PROPAGATION_TIMEOUT (60), HETZNER_POLLING_INTERVAL (2) and HETZNER_HTTP_TIMEOUT (30) in
 * seconds. Needs log.ts, shared.ts.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { HttpRequest } from "../httpsclient.ts";
import { quote } from "../log.ts";
import { perKey } from "../turns.ts";
import {
  type DnsProvider,
  DnsProviderError,
  type ProviderContext,
  type TxtRecord,
} from "./provider.ts";
import {
  callJson,
  DEFAULT_TTL,
  type Env,
  httpTimeout,
  member,
  needed,
  optional,
  placeOf,
  propagation,
  seconds,
  text,
  unexpected,
} from "./shared.ts";

const SERVICE = "Hetzner";
const API = "https://api.hetzner.cloud/v1";
const MIN_TTL = 60;
/** Milliseconds between looks at an action, at most: most have ended at the second look. */
const ACTION_INTERVAL = 500;

/** A CreateProvider. */
export function createProvider({ env, http, zoneOf }: ProviderContext): DnsProvider {
  const secret = token(env);
  const fields = ["Authorization", `Bearer ${secret}`];
  const timeout = httpTimeout(env, "HETZNER");
  const ttl = seconds(env, "HETZNER_TTL", DEFAULT_TTL);
  if (ttl < MIN_TTL) {
    throw new DnsProviderError(`invalid HETZNER_TTL ${ttl}: ${SERVICE} takes ${MIN_TTL} or more`);
  }
  const times = propagation(env, "HETZNER");
  const locked = perKey();

  const ask = (
    [method, path, json]: readonly [HttpRequest["method"], string, unknown?],
    zone: string,
    signal: AbortSignal,
    accept: readonly number[] = [],
  ): Promise<unknown> => {
    const explain = advice(zone);
    const call = { method, url: API + path, fields, signal, timeout, accept, explain };
    const asked = { ...call, service: SERVICE, credential: "token (HETZNER_API_TOKEN)" };
    return callJson(http, { ...asked, json });
  };

  /** Resolves when the action that a request began has ended well. */
  const ended = async (answer: unknown, zone: string, signal: AbortSignal): Promise<void> => {
    const interval = Math.min(times.interval, ACTION_INTERVAL);
    // Counted, for an end whatever the service says.
    for (let left = times.timeout / Math.max(interval, 1);; left--) {
      const status = text(answer, "action", "status");
      if (status === "success") return;
      if (status === "error") {
        const said = text(answer, "action", "error", "message") ?? "nothing";
        const shown = quote(said.replaceAll(secret, "(hidden)"), 300);
        throw new DnsProviderError(`${SERVICE} could not change ${zone}; it says ${shown}`);
      }
      const id = text(answer, "action", "id") ?? "";
      if (status !== "running" || !/^[0-9]{1,20}$/.test(id)) throw unexpected(SERVICE, "action");
      if (left < 1) throw new DnsProviderError(`${SERVICE} did not end action ${id} in time`);
      await delay(interval, undefined, { signal });
      answer = await ask(["GET", `/actions/${id}`], zone, signal);
    }
  };

  /** Runs `work` with the path of the name's values, and the values; undefined without any. */
  const edit = async (
    { name }: TxtRecord,
    signal: AbortSignal,
    work: (
      zone: string,
      path: string,
      values: readonly (string | undefined)[] | undefined,
    ) => Promise<void>,
  ): Promise<void> => {
    const { zone, sub } = await placeOf(zoneOf, name, signal, "@");
    const path = `/zones/${zone}/rrsets/${encodeURIComponent(sub)}/TXT`;
    // One action at a time for a zone: while one runs, others may find the zone locked.
    await locked(zone, async () => {
      const answer = await ask(["GET", path], zone, signal, [404]);
      if (answer === undefined) return work(zone, path, undefined);
      const records = member(answer, "rrset", "records");
      if (!Array.isArray(records)) throw unexpected(SERVICE, "records");
      return work(zone, path, records.map((record) => text(record, "value")));
    });
  };

  return {
    propagation: times,
    present: (record, signal) =>
      edit(record, signal, async (zone, path, values) => {
        const value = `"${record.value}"`;
        if (values?.includes(value)) return;
        // A TTL is for all values of a name: not ours to change.
        const json = { ...(values === undefined && { ttl }), records: [{ value }] };
        const action = ["POST", `${path}/actions/add_records`, json] as const;
        await ended(await ask(action, zone, signal), zone, signal);
      }),
    cleanUp: (record, signal) =>
      edit(record, signal, async (zone, path, values) => {
        const value = `"${record.value}"`;
        if (!values?.includes(value)) return;
        const json = { records: [{ value }] };
        const action = ["POST", `${path}/actions/remove_records`, json] as const;
        const answer = await ask(action, zone, signal, [404]);
        if (answer !== undefined) await ended(answer, zone, signal);
      }),
  };
}

function token(env: Env): string {
  const old = optional(env, "HETZNER_API_KEY");
  if (old === undefined || optional(env, "HETZNER_API_TOKEN") !== undefined) {
    return needed(env, "HETZNER_API_TOKEN");
  }
  const what = "HETZNER_API_KEY is for dns.hetzner.com, which is gone";
  throw new DnsProviderError(`${what}: set HETZNER_API_TOKEN, from the Hetzner Cloud Console`);
}

/** What is to be done about a status. */
function advice(zone: string): (status: number) => string | undefined {
  const where = `the project that has the zone ${zone}`;
  return (status) => {
    if (status === 401 || status === 403) return `it must be a read and write token of ${where}`;
    if (status === 404) return `HETZNER_API_TOKEN must be of ${where}`;
    return status === 429 ? "3,600 requests an hour are allowed for a project" : undefined;
  };
}
