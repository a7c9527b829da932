/**
 * A client of tailscaled's LocalAPI, over its unix socket. What it asks for:
 *
 *     GET /localapi/v0/status?peers=false               how this node is
 *     GET /localapi/v0/whois?addr=address:port&proto=tcp  whose connection that is
 *     GET /localapi/v0/cert/name?type=pair              a certificate for one of the node's names
 *
 * The first two are for any user of the machine; the third for root, tailscaled's operator and the
 * user that its variable TS_PERMIT_CERT_UID names. Refuses answers that are too long, late, or not
 * what they should be: what tailscaled says comes from the tailnet's other users.
 *
 * Needs `http1.ts`, `http1client.ts`, `httpsclient.ts`, `addr.ts`, `x509.ts`, `log.ts`, and the
 * runtime's sockets. On Deno (2.9): --allow-read and --allow-write of the socket's path.
 */
import { Buffer } from "node:buffer";
import { createPublicKey } from "node:crypto";
import net from "node:net";
import { isDomainName, joinHostPort, spellAddress } from "./addr.ts";
import { type FieldLines, formatRequestHead } from "./http1.ts";
import { ClientConnection } from "./http1client.ts";
import { converse, type HttpAnswer, inWords } from "./httpsclient.ts";
import { quote } from "./log.ts";
import { certificateNames, coversName, pemBlocks, readCertificate } from "./x509.ts";

/** Milliseconds from connecting to the answer's last byte; tailscaled asks a CA for the last. */
const DEADLINES = { status: 5_000, whois: 2_000, certificate: 180_000 };
/** Bytes of any answer; a peer's capabilities are the longest. */
const MAX_BODY = 1024 * 1024;
/** A node has two addresses. */
const MAX_ADDRESSES = 16;
/** UTF-16 units of who somebody is. */
const MAX_TEXT = 512;
/** Certificates in a chain. */
const MAX_CHAIN = 10;
const SHOWN = 300; // characters of tailscaled's words in a message

export class TailscaleError extends Error {
  override readonly name = "TailscaleError";
}

export interface NodeStatus {
  /** `Running`, or what is missing: `NeedsLogin`, `NeedsMachineAuth`, `Stopped`, `Starting`, … */
  readonly state: string;
  /** Whether the addresses are the machine's: not with tailscaled's userspace networking. */
  readonly hasInterface: boolean;
  /** IPv4 and IPv6, each once and in its one spelling. */
  readonly addresses: readonly string[];
}

/** A person; texts as they chose them, "" for none. */
export interface TailscaleUser {
  readonly login: string;
  readonly displayName: string;
  readonly picture: string;
}

/** PEM, the chain leaf first. */
export interface CertificatePair {
  readonly certificate: string;
  readonly privateKey: string;
  readonly notAfter: Date;
}

/** All reject with TailscaleError. */
export interface Tailscaled {
  status(signal: AbortSignal): Promise<NodeStatus>;
  /** Undefined: nobody in the tailnet, or a tagged node, which belongs to no user. */
  whoIs(address: string, port: number, signal: AbortSignal): Promise<TailscaleUser | undefined>;
  /** One that is valid, covers the name, and has its key. */
  certificate(name: string, signal: AbortSignal): Promise<CertificatePair>;
}

/** `path`: of the socket. Connects for each call, so that it may be started again meanwhile. */
export function createTailscaled(
  path: string,
  deadlines: Readonly<typeof DEADLINES> = DEADLINES,
): Tailscaled {
  const ask = async (
    what: keyof typeof DEADLINES,
    target: string,
    signal: AbortSignal,
  ): Promise<HttpAnswer> => {
    const answer = await request(path, `/localapi/v0/${target}`, deadlines[what], signal)
      .catch((cause) => {
        throw new TailscaleError(`tailscaled at ${path}: ${inWords(cause)}`, { cause });
      });
    const { status, body } = answer;
    if (status === 200 || (what === "whois" && status === 404)) return answer;
    const words = quote(body.subarray(0, 4 * SHOWN).toString("utf8").trim(), SHOWN);
    throw new TailscaleError(`tailscaled answers ${status}: ${words}`);
  };
  return {
    status: async (signal) => readStatus(await ask("status", "status?peers=false", signal)),
    async whoIs(address, port, signal) {
      const peer = encodeURIComponent(joinHostPort(address, port));
      const answer = await ask("whois", `whois?addr=${peer}&proto=tcp`, signal);
      return answer.status === 404 ? undefined : readUser(answer);
    },
    async certificate(name, signal) {
      if (!isDomainName(name)) throw new TailscaleError(`no domain name: ${quote(name, SHOWN)}`);
      return readPair(await ask("certificate", `cert/${name}?type=pair`, signal), name);
    },
  };
}

async function request(
  path: string,
  target: string,
  ms: number,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  signal.throwIfAborted();
  const socket = net.connect({ path });
  const connection = new ClientConnection(socket, () => {});
  const late = () => socket.destroy(new Error(`no answer within ${ms / 1000} s`));
  const onAbort = () => socket.destroy(new Error("aborted", { cause: signal.reason }));
  const timer = setTimeout(late, ms);
  signal.addEventListener("abort", onAbort);
  socket.on("data", (chunk: Buffer) => void connection.read(chunk));
  const fields = ["Host", "local-tailscaled.sock", "User-Agent", "centauri", "Connection", "close"];
  const head = formatRequestHead("GET", target, fields);
  try {
    const body = Buffer.alloc(0);
    return await converse(connection, { method: "GET", head, body, maxBody: MAX_BODY });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    socket.destroy();
  }
}

/** Of a Status. Throws TailscaleError. */
export function readStatus({ body }: Pick<HttpAnswer, "body">): NodeStatus {
  const json = parseJson(body);
  const state = member(json, "BackendState");
  const given = member(member(json, "Self"), "TailscaleIPs") ?? [];
  if (typeof state !== "string" || !/^\w{1,40}$/.test(state)) throw unexpected("BackendState");
  if (!Array.isArray(given) || given.length > MAX_ADDRESSES) throw unexpected("TailscaleIPs");
  const addresses = given.map((address: unknown) => {
    if (typeof address === "string" && /^[0-9a-fA-F.:]{2,45}$/.test(address) && net.isIP(address)) {
      return spellAddress(address);
    }
    throw unexpected("TailscaleIPs");
  });
  return { state, hasInterface: member(json, "TUN") !== false, addresses: [...new Set(addresses)] };
}

/** Of a WhoIsResponse; undefined for a node that belongs to no user. Throws TailscaleError. */
export function readUser({ body }: Pick<HttpAnswer, "body">): TailscaleUser | undefined {
  const json = parseJson(body);
  const [node, user] = [member(json, "Node"), member(json, "UserProfile")];
  const tags = member(node, "Tags") ?? [];
  if (node === undefined || !Array.isArray(tags)) throw unexpected("Node");
  const [login, displayName, picture] = ["LoginName", "DisplayName", "ProfilePicURL"].map(
    (name) => {
      const text = member(user, name) ?? "";
      if (typeof text === "string" && text.length <= MAX_TEXT) return text;
      throw unexpected(name);
    },
  ) as [string, string, string];
  if (tags.length > 0 || login === "" || login === "tagged-devices") return undefined;
  return { login, displayName, picture };
}

/** What tells an upstream of a user: [name, value, …], none that is empty. */
export function userFields({ login, displayName, picture }: TailscaleUser): FieldLines {
  return [
    ["Tailscale-User-Login", fieldText(login)],
    ["Tailscale-User-Name", fieldText(displayName)],
    ["Tailscale-User-Profile-Pic", /^[!-~]*$/.test(picture) ? picture : ""],
  ].filter(([, value]) => value !== "").flat();
}

/** Characters of an encoded-word between its frame and its end, of 75 in all. */
const WORD = 75 - "=?utf-8?q?".length - "?=".length;

/**
 * A text as a field's value: as it is, or, if it has other characters than a value can have, or
 * looks as if it were encoded, in encoded-words (RFC 2047 4.2), as `tailscale serve` does.
 */
export function fieldText(text: string): string {
  if (text === "" || (/^[!-~](?:[\t -~]*[!-~])?$/.test(text) && !text.includes("=?"))) return text;
  const words = [""];
  for (const char of text) {
    const encoded = /^[!-<>@-^`-~]$/.test(char) ? char : char === " " ? "_" : hex(char);
    if (words.at(-1)!.length + encoded.length > WORD) words.push("");
    words[words.length - 1] += encoded;
  }
  return words.map((word) => `=?utf-8?q?${word}?=`).join(" ");
}

const hex = (char: string): string =>
  Buffer.from(char).toString("hex").toUpperCase().replace(/../g, "=$&");

/** Of the PEM of a key and a chain. Throws TailscaleError, which quotes nothing of it. */
export function readPair(
  { body }: Pick<HttpAnswer, "body">,
  name: string,
  now: number = Date.now(),
): CertificatePair {
  const text = body.toString("latin1");
  const keys = pemBlocks(text, "(?:EC |RSA )?PRIVATE KEY");
  const chain = pemBlocks(text, "CERTIFICATE");
  const [privateKey = ""] = keys;
  if (keys.length !== 1 || chain.length === 0 || chain.length > MAX_CHAIN) {
    throw unexpected("the certificate and its key");
  }
  const certificate = chain.join("");
  let leaf: ReturnType<typeof readCertificate>, names: readonly string[], own: Buffer;
  try {
    [leaf, names] = [readCertificate(certificate), certificateNames(certificate)];
    own = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  } catch {
    throw unexpected("the certificate and its key");
  }
  const { notAfter, publicKey } = leaf;
  if (!own.equals(publicKey)) throw new TailscaleError("the key isn't the certificate's");
  if (!coversName(names, name)) throw new TailscaleError("the certificate is for other names");
  if (!(notAfter.getTime() > now)) throw new TailscaleError("the certificate has expired");
  return { certificate, privateKey, notAfter };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw unexpected("JSON");
  }
}

/** An object's own member; undefined when it has none, or isn't an object. Null is none. */
function member(json: unknown, name: string): unknown {
  if (typeof json !== "object" || json === null || !Object.hasOwn(json, name)) return undefined;
  return (json as Readonly<Record<string, unknown>>)[name] ?? undefined;
}

const unexpected = (what: string): TailscaleError =>
  new TailscaleError(`tailscaled's answer can't be used: ${what} isn't as expected`);
