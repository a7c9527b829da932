/**
 * From the name in DNS_PROVIDER to the provider: its file is loaded only now, so that a reader
 * reads what runs. Names are lego's, its aliases too. Needs nearest.ts, log.ts, shared.ts.
 */
import { quote } from "../log.ts";
import { nearest } from "../nearest.ts";
import {
  type CreateProvider,
  type DnsProvider,
  DnsProviderError,
  type ProviderContext,
} from "./provider.ts";
import { readSmallFile } from "./shared.ts";

type Module = { readonly createProvider: CreateProvider };

/** Imports are written out, so that tools that follow imports find every file. */
const PROVIDERS: ReadonlyMap<string, () => Promise<Module>> = new Map(
  [
    ["acme-dns", () => import("./acme-dns.ts")],
    ["cloudflare", () => import("./cloudflare.ts")],
    ["desec", () => import("./desec.ts")],
    ["digitalocean", () => import("./digitalocean.ts")],
    ["duckdns", () => import("./duckdns.ts")],
    ["exec", () => import("./exec.ts")],
    ["gandi", () => import("./gandi.ts")],
    ["hetzner", () => import("./hetzner.ts")],
    ["httpreq", () => import("./httpreq.ts")],
    ["ionos", () => import("./ionos.ts")],
    ["ovh", () => import("./ovh.ts")],
    ["porkbun", () => import("./porkbun.ts")],
    ["rfc2136", () => import("./rfc2136.ts")],
    ["route53", () => import("./route53.ts")],
  ] as const,
);

/** Other names that lego knows them by; its `gandi` was an API that is gone. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["acmedns", "acme-dns"],
  ["dnsupdate", "rfc2136"],
  ["gandiv5", "gandi"],
]);

/** Rejects with DnsProviderError: no such provider, or one that lacks a variable. */
export async function loadProvider(name: string, context: ProviderContext): Promise<DnsProvider> {
  const load = PROVIDERS.get(ALIASES.get(name) ?? name);
  if (load !== undefined) return (await load()).createProvider(context);
  const known = [...PROVIDERS.keys()];
  const close = nearest(name, [...known, ...ALIASES.keys()]);
  const hint = close === undefined ? "" : `did you mean ${close}? `;
  const all = `Known are ${known.join(", ")}`;
  throw new DnsProviderError(`unknown DNS provider ${quote(name, 40)}: ${hint}${all}`);
}

/**
 * ProviderContext's `env`: a variable or, when it isn't set or empty, the content of the file that
 * NAME_FILE names, without its last line end. The file is read each time. The function throws
 * DnsProviderError with the variable's name and the path when it is empty, too long or unreadable.
 */
export function providerEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): ProviderContext["env"] {
  const variable = (name: string): string | undefined =>
    Object.hasOwn(env, name) && env[name] !== "" ? env[name] : undefined;
  return (name) => {
    const path = variable(`${name}_FILE`);
    return variable(name) ?? (path === undefined ? undefined : readSmallFile(`${name}_FILE`, path));
  };
}
