/**
 * Where the Docker engine is and how it is spoken to, by the variables that Docker's own clients
 * read. Pure; needs addr.ts, number.ts, log.ts (quote).
 *
 *     DOCKER_HOST         unix:///path, tcp://host[:port][/base], http://…, https://…,
 *                         ssh://[user@]host[:port][/path/to/socket]; default, or when empty:
 *                         unix:///var/run/docker.sock
 *     DOCKER_CERT_PATH    a folder: TLS with its ca.pem, cert.pem and key.pem
 *     DOCKER_TLS_VERIFY   not empty: the engine's certificate is verified
 *     DOCKER_API_VERSION  1.24 and such: no other version is asked for; default: negotiated
 *
 * As in Docker's clients, a certificate folder without DOCKER_TLS_VERIFY means TLS that verifies
 * nothing. Two things differ: https:// is always TLS, and DOCKER_TLS_VERIFY alone is TLS with the
 * system's roots, where Docker's Go library speaks plain text. Refuses what is no such address, a
 * password in it, and whatever ssh or a shell at the other end could take for something else.
 */
import { isIP } from "node:net";
import { isDomainName, joinHostPort, splitHostPort } from "./addr.ts";
import { quote } from "./log.ts";
import { parseDecimal } from "./number.ts";

const DEFAULT_HOST = "unix:///var/run/docker.sock";
const SHOWN = 200; // characters of a value in a message

export interface DockerEnvironment {
  readonly DOCKER_HOST?: string | undefined;
  readonly DOCKER_TLS_VERIFY?: string | undefined;
  readonly DOCKER_CERT_PATH?: string | undefined;
  readonly DOCKER_API_VERSION?: string | undefined;
}

/** `folder`: with ca.pem, cert.pem and key.pem; undefined: the system's roots, no certificate. */
export type DockerTls = { readonly folder: string | undefined; readonly verify: boolean };

type Way =
  | { readonly kind: "unix"; readonly path: string }
  | {
    readonly kind: "tcp";
    /** A name or an IP address, the latter without brackets, perhaps with a zone. */
    readonly host: string;
    readonly port: number;
    readonly tls: DockerTls | undefined;
  }
  /** `args`: of the program ssh. */
  | { readonly kind: "ssh"; readonly args: readonly string[] };

export interface DockerHost {
  readonly way: Way;
  /** As it was given, for messages. */
  readonly address: string;
  /** The Host field's value. */
  readonly authority: string;
  /** What stands before the path of every request: "" or `/base`. */
  readonly basePath: string;
  /** The only version to ask for. */
  readonly version: ApiVersion | undefined;
}

/** Major and minor. */
export type ApiVersion = readonly [number, number];

/** A variable's value is no use; the message names it and says what was expected. */
export class DockerHostError extends Error {
  override readonly name = "DockerHostError";
}

/** Throws DockerHostError. */
export function parseDockerHost(env: DockerEnvironment): DockerHost {
  const address = env.DOCKER_HOST || DEFAULT_HOST;
  const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.*)$/s.exec(address) ?? [];
  const parse = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
  const version = parsePinned(env.DOCKER_API_VERSION);
  if (parse === undefined) throw invalid(address, "unix://, tcp://, http://, https:// or ssh://");
  return { address, version, ...parse({ address, scheme, rest, env }) };
}

/** `1.41`; undefined when it is anything else. */
export function parseApiVersion(text: string): ApiVersion | undefined {
  const [, major = "", minor = ""] = /^(\d+)\.(\d+)$/.exec(text) ?? [];
  const [first, second] = [parseDecimal(major, 999), parseDecimal(minor, 999)];
  return first === undefined || second === undefined ? undefined : [first, second];
}

type Given = { address: string; scheme: string; rest: string; env: DockerEnvironment };
type Parsed = Pick<DockerHost, "way" | "authority" | "basePath">;

const SCHEMES: Readonly<Record<string, (given: Given) => Parsed>> = {
  unix: parseUnix,
  tcp: parseTcp,
  http: parseTcp,
  https: parseTcp,
  ssh: parseSsh,
};

/** By scheme: without and with TLS. */
const PORTS: Readonly<Record<string, readonly [number, number]>> = {
  tcp: [2375, 2376],
  http: [80, 443],
  https: [443, 443],
};

function parseUnix({ address, rest }: Given): Parsed {
  if (!rest.startsWith("/") || rest.includes("\0")) throw invalid(address, "unix:///path");
  return { way: { kind: "unix", path: rest }, authority: "docker", basePath: "" };
}

function parseTcp({ address, scheme, rest, env }: Given): Parsed {
  const slash = rest.indexOf("/");
  const [authority, path] = slash < 0 ? [rest, ""] : [rest.slice(0, slash), rest.slice(slash)];
  const { host, port } = splitHostPort(authority) ?? { host: "", port: undefined };
  const isPath = /^[\w/.~%!$&'()*+,;=:@-]*$/.test(path);
  if ((isIP(host) === 0 && !isDomainName(host)) || !isPath) {
    throw invalid(address, `${scheme}://host:port, an IPv6 address in brackets`);
  }
  const tls = parseTls(scheme, env);
  const [plain = 0, secure = 0] = PORTS[scheme] ?? [];
  const way = { kind: "tcp", host, port: port ?? (tls ? secure : plain), tls } as const;
  const named = joinHostPort(host.replace(/%.*/, ""), way.port); // a zone is this machine's alone
  return { way, authority: named, basePath: path.replace(/(?<!\/)\/+$/, "") };
}

function parseTls(scheme: string, env: DockerEnvironment): DockerTls | undefined {
  const folder = env.DOCKER_CERT_PATH || undefined;
  if (folder !== undefined) return { folder, verify: Boolean(env.DOCKER_TLS_VERIFY) };
  return scheme === "https" || env.DOCKER_TLS_VERIFY ? { folder, verify: true } : undefined;
}

/** No terminal, and so nobody who could be asked for a password. */
const SSH = "-T -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=30".split(" ");

/**
 * The engine's socket over the standard streams of `docker system dial-stdio`. The path goes
 * through a shell at the other end, hence the few characters that it may have.
 */
function parseSsh({ address, rest }: Given): Parsed {
  const [, user, authority = "", path = ""] = /^(?:([^@]*)@)?([^/]*)(.*)$/s.exec(rest) ?? [];
  const { host, port } = splitHostPort(authority) ?? { host: "", port: undefined };
  const isHost = isIP(host) !== 0 || isDomainName(host) || /^\w[\w.-]*$/.test(host);
  const isUser = user === undefined || /^\w[\w.+-]*$/.test(user);
  const isPath = /^(\/|(\/[\w.][\w.-]*)+)?$/.test(path);
  if (!isHost || !isUser || !isPath) {
    throw invalid(address, "ssh://user@host:port, without a password");
  }
  const socket = path.length > 1 ? ["--host", `unix://${path}`] : [];
  const args = [
    ...SSH,
    ...user === undefined ? [] : ["-l", user],
    ...port === undefined ? [] : ["-p", String(port)],
    ...["--", host, "docker", ...socket, "system", "dial-stdio"],
  ];
  return { way: { kind: "ssh", args }, authority: "docker", basePath: "" };
}

function parsePinned(text: string | undefined): ApiVersion | undefined {
  if (!text) return undefined;
  const version = parseApiVersion(text.replace(/^v/, ""));
  if (version !== undefined) return version;
  throw new DockerHostError(
    `invalid DOCKER_API_VERSION ${quote(text, SHOWN)}: expected one like 1.44`,
  );
}

function invalid(address: string, expected: string): DockerHostError {
  const from = address.indexOf("//"), to = address.lastIndexOf("@"); // there may be a password
  const shown = from < 0 || to < from
    ? address
    : `${address.slice(0, from)}//…${address.slice(to)}`;
  return new DockerHostError(`invalid DOCKER_HOST ${quote(shown, SHOWN)}: expected ${expected}`);
}
