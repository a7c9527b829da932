/**
 * What Centauri's options mean, beyond their table in `settings.ts`: checks of what the table can't
 * know, and what of the parts they configure. Needs `options.ts`, `addr.ts`, `routes.ts`,
 * `acmesettings.ts`, and, for what is loaded on demand, `sharing.ts` and `tailscalefrontend.ts`.
 */
import { availableParallelism } from "node:os";
import { checkAcmeOptions, commandOf, isAutomatic } from "./acmesettings.ts";
import { joinHostPort, parseNetworks, splitHostPort } from "./addr.ts";
import { quote } from "./log.ts";
import { parseDecimal } from "./number.ts";
import { OptionError, type Options } from "./options.ts";
import { RouteError, type RouteTable } from "./routes.ts";
import type { ServingSettings } from "./serving.ts";

const PROVIDERS = ["lego", "selfsigned"];
const MAX_WORKERS = 256;

/** What the table of options can't know. Rejects with OptionError. */
export async function checkOptions(options: Options): Promise<void> {
  const unknown = options.list("certificate-providers").find((name) => !PROVIDERS.includes(name));
  if (unknown !== undefined) {
    const expected = `expected ${PROVIDERS.join(" or ")}`;
    throw new OptionError(`can't use --certificate-providers ${quote(unknown)}: ${expected}`);
  }
  checkAcmeOptions(options);
  commandOf(options);
  workerCount(options);
  if (isShared(options)) (await import("./sharing.ts")).redisSettings(options);
  if (options.boolean("status-page") && options.integer("metrics-port") === 0) {
    throw new OptionError("can't use --status-page: --metrics-port isn't set");
  }
  serverAddress(options);
  if (tailscaleMode(options) !== undefined) {
    (await import("./tailscalefrontend.ts")).checkTailscaleOptions(options);
    if (options.string("proxy-protocol-from") !== "") {
      throw new OptionError("can't use --proxy-protocol-from with --frontend tailscale");
    }
  }
  for (const name of ["trusted-downstreams", "proxy-protocol-from"]) {
    try {
      parseNetworks(options.string(name));
    } catch (error) {
      throw new OptionError(`can't use --${name}: ${(error as Error).message}`);
    }
  }
}

/** Who sends the routes; undefined when they come from a file. Throws OptionError. */
export function serverAddress(options: Options): { host: string; port: number } | undefined {
  if (options.choice("config-source") !== "network") return undefined;
  const text = options.string("config-network-address");
  const { host, port } = splitHostPort(text) ?? {};
  if (host !== undefined && port !== undefined) return { host, port };
  const problem = text === "" ? "address must be specified" : `invalid address ${quote(text, 60)}`;
  const expected = "expected --config-network-address host:port";
  throw new OptionError(`failed to start config source: ${problem}: ${expected}`);
}

/** Where routes come from, in words. */
export function originOf(options: Options): string {
  const server = serverAddress(options);
  return server === undefined ? options.string("config") : joinHostPort(server.host, server.port);
}

/** Certificates are shared with other machines, through Redis. */
export const isShared = (options: Options): boolean =>
  options.choice("certificate-store-type") === "redis";

/** What a route file can't know by itself throws RouteError with all problems. */
export async function routeCheck(options: Options): Promise<(table: RouteTable) => void> {
  if (tailscaleMode(options) !== "https") return checkProviders;
  const { checkTailscaleRoutes } = await import("./tailscalefrontend.ts");
  return (table) => {
    checkProviders(table);
    checkTailscaleRoutes(table);
  };
}

function checkProviders({ routes }: RouteTable): void {
  const expected = `expected ${PROVIDERS.join(" or ")}`;
  const problems = routes
    .filter(({ provider }) => provider !== undefined && !PROVIDERS.includes(provider))
    .map(({ line, provider }) => ({
      line,
      message: `unknown provider "${provider}": ${expected}`,
    }));
  if (problems.length > 0) throw new RouteError(problems);
}

/** Undefined for the TCP front end. */
export function tailscaleMode(options: Options): "http" | "https" | undefined {
  if (options.choice("frontend") !== "tailscale") return undefined;
  return options.choice("tailscale-mode") as "http" | "https";
}

/** Certificates are obtained by ACME. */
export const usesAcme = (options: Options): boolean =>
  isAutomatic(options) && tailscaleMode(options) !== "http";

/** All that serving needs to know; Tailscale's front end has other usual ports. */
export function servingSettings(options: Options): ServingSettings {
  const tailscale = tailscaleMode(options);
  // At an address of its own nothing is in the way of the usual ports.
  const port = (name: string, usual: number) =>
    tailscale === undefined || options.isSet(name) ? options.integer(name) : usual;
  const httpPort = port("http-port", 80);
  return {
    tailscale,
    httpPort,
    httpsPort: port("https-port", 443),
    redirectPort: port("http-redirect-port", tailscale === "http" ? httpPort || 80 : 443),
    limits: { bytes: options.size("max-head-size"), fields: options.integer("max-head-fields") },
    maxConnections: maxConnections(options),
    timeouts: {
      handshake: options.duration("handshake-timeout"),
      head: options.duration("header-timeout"),
      idle: options.duration("idle-timeout"),
      stall: options.duration("stall-timeout"),
    },
    trustedNetworks: options.string("trusted-downstreams"),
    proxyNetworks: options.string("proxy-protocol-from"),
    connectTimeout: options.duration("connect-timeout"),
    shutdownTimeout: options.duration("shutdown-timeout"),
  };
}

/** How many processes serve, 1 to 256. Throws OptionError. */
export function workerCount(options: Options): number {
  const text = options.string("workers");
  const count = text === "auto" ? availableParallelism() : parseDecimal(text, MAX_WORKERS) ?? 0;
  if (count > 0) return count;
  const expected = `expected auto, or a whole number, 1 to ${MAX_WORKERS}`;
  throw new OptionError(`can't use --workers ${quote(text, 60)}: ${expected}`);
}

/**
 * Deno 2.9 never accepts again once it has run out of files, and says nothing. Most systems allow
 * 1,024 of them, of which a client may take two; there, whoever has more must ask for more.
 */
function maxConnections(options: Options): number {
  if ("Deno" in globalThis && !options.isSet("max-connections")) return 480;
  return options.integer("max-connections");
}
