/**
 * The provider `duckdns`: names below duckdns.org. There is one TXT value for a name and all below
 * it, and nothing reads it back: so challenges are done one after another, present() replaces and
 * cleanUp() clears whatever value is there. Written from its documentation and from what other
 * clients send; not run against the real service.
 *
 * DUCKDNS_TOKEN; DUCKDNS_PROPAGATION_TIMEOUT (60), DUCKDNS_POLLING_INTERVAL (2),
 * DUCKDNS_SEQUENCE_INTERVAL (60: caches may hold the value before as long) and DUCKDNS_HTTP_TIMEOUT
 * (30) in seconds. Needs log.ts, shared.ts.
 */
import { quote } from "../log.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "./provider.ts";
import { call, httpTimeout, needed, propagation, sequence } from "./shared.ts";

const SERVICE = "DuckDNS";
const API = "https://www.duckdns.org/update";

/** A CreateProvider. */
export function createProvider({ env, http }: ProviderContext): DnsProvider {
  const token = needed(env, "DUCKDNS_TOKEN");
  const timeout = httpTimeout(env, "DUCKDNS");
  const { turn, done } = sequence(env, "DUCKDNS");

  const update = async (
    domain: string,
    parameters: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> => {
    const all = Object.entries({ domains: domain, token, ...parameters });
    const query = all.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
    const secrets = [token, encodeURIComponent(token)];
    const asked = { signal, timeout, service: SERVICE, credential: "token", secrets };
    const { body } = await call(http, { ...asked, method: "GET", url: `${API}?${query}` });
    const said = body.subarray(0, 10).toString().trim();
    if (said === "OK") return;
    // With status 200 too; KO is all that it says, whatever the reason.
    if (said !== "KO") throw new DnsProviderError(`${SERVICE} answered neither OK nor KO`);
    const what = `the token (DUCKDNS_TOKEN) or the name: it must be of the account that has`;
    throw new DnsProviderError(`${SERVICE} refused ${what} ${domain}.duckdns.org`);
  };

  return {
    propagation: propagation(env, "DUCKDNS"),
    sequential: true,
    async present({ name, value }, signal) {
      const domain = subname(name);
      await turn(domain, signal);
      await update(domain, { txt: value }, signal);
    },
    async cleanUp({ name, value }, signal) {
      const domain = subname(name);
      try {
        await update(domain, { txt: value, clear: "true" }, signal);
      } finally {
        done(domain);
      }
    },
  };
}

/** The label before duckdns.org: `_acme-challenge.www.mine.duckdns.org` is a name of `mine`. */
function subname(name: string): string {
  const label = /(?:^|\.)([0-9a-z-]{1,63})\.duckdns\.org$/.exec(name)?.[1];
  if (label !== undefined) return label;
  throw new DnsProviderError(`${quote(name, 300)} is not below a name in duckdns.org`);
}
