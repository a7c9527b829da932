/**
 * DNS-01 by an HTTP server of the user's own, as lego's `httpreq`: POST of `{"fqdn":"NAME.",
 * "value":"VALUE"}`, or with HTTPREQ_MODE=RAW of `{"domain","token","keyAuth"}`, as JSON to
 * HTTPREQ_ENDPOINT with `/present` or `/cleanup` put to its path. Any 2xx is success. Basic
 * authentication when HTTPREQ_USERNAME and HTTPREQ_PASSWORD are set, or are in the URL;
 * HTTPREQ_HTTP_TIMEOUT, _PROPAGATION_TIMEOUT and _POLLING_INTERVAL are seconds, by default 30, 60
 * and 2. Tested with a real server.
 */
import { Buffer } from "node:buffer";
import { type DnsProvider, DnsProviderError } from "./provider.ts";
import type { ProviderContext, TxtRecord } from "./provider.ts";
import { call, httpTimeout, needed, optional, propagation } from "./shared.ts";

export function createProvider({ env, http }: ProviderContext): DnsProvider {
  const endpoint = parseEndpoint(needed(env, "HTTPREQ_ENDPOINT"));
  const isRaw = optional(env, "HTTPREQ_MODE") === "RAW";
  const timeout = httpTimeout(env, "HTTPREQ");
  const username = optional(env, "HTTPREQ_USERNAME") ?? decodeURIComponent(endpoint.username);
  const password = optional(env, "HTTPREQ_PASSWORD") ?? decodeURIComponent(endpoint.password);
  const credentials = Buffer.from(`${username}:${password}`).toString("base64");
  const fields = username && password ? ["Authorization", `Basic ${credentials}`] : [];
  const secrets = [password, endpoint.search.slice(1)];
  endpoint.username = endpoint.password = "";
  const post = async (path: string, record: TxtRecord, signal: AbortSignal): Promise<void> => {
    const url = new URL(endpoint);
    url.pathname = `${url.pathname.replace(/\/+$/, "")}/${path}`;
    const service = `the HTTPREQ_ENDPOINT's /${path}`;
    const json = isRaw ? rawMessage(record) : { fqdn: `${record.name}.`, value: record.value };
    const request = { method: "POST", url: url.href, fields, json, signal, timeout } as const;
    await call(http, { ...request, service, secrets });
  };
  return {
    propagation: propagation(env, "HTTPREQ"),
    present: (record, signal) => post("present", record, signal),
    cleanUp: (record, signal) => post("cleanup", record, signal),
  };
}

const rawMessage = ({ domain, token, keyAuthorization }: TxtRecord): object => ({
  domain,
  token,
  keyAuth: keyAuthorization,
});

/** The text isn't repeated: there may be a password in it. */
function parseEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url;
  throw new DnsProviderError(
    "invalid HTTPREQ_ENDPOINT: expected a URL: https://dns.example.com/acme",
  );
}
