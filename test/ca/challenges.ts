/**
 * How the test CA checks challenges: http-01 (RFC 8555 8.3; no redirects), dns-01 (8.4),
 * tls-alpn-01 (RFC 8737, RFC 8738), dns-persist-01 (draft-ietf-acme-dns-persist 00, 01 and 02).
 * tls-alpn-01 never passes on Deno 2.9.6: its TLS refuses critical extensions that it doesn't know.
 */
import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import http from "node:http";
import { isIPv6 } from "node:net";
import tls from "node:tls";
import * as der from "../../lib/der.ts";
import { extension, generalNames, OID } from "../../lib/x509.ts";
import { type Identifier, type Problem, problem, says } from "./problems.ts";

const PATIENCE_MS = 5_000;
const MAX_BODY = 65_536;
const ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31"; // RFC 8737 3

export interface Validation {
  /** Where http-01 and tls-alpn-01 are looked for, instead of 80 and 443. */
  readonly httpPort: number;
  readonly tlsPort: number;
  /** The values at a name, CNAMEs followed; a rejection is taken for SERVFAIL. */
  readonly lookupTxt?: (name: string) => Promise<readonly string[]>;
  /** The address of a name, undefined if it has none; 127.0.0.1 for every name by default. */
  readonly hostOf?: (name: string) => string | undefined;
}

/** What is checked. `identifier` is without `*.`. */
export interface Claim {
  readonly type: string;
  readonly identifier: Identifier;
  readonly wildcard: boolean;
  readonly token: string;
  readonly accountUrl: string;
  /** RFC 7638, of the account's keys up to now, the current one last. */
  readonly thumbprints: readonly string[];
  readonly persist: {
    readonly draft: 0 | 1 | 2;
    readonly issuerDomainNames: readonly string[];
    readonly accountHashPrefix: string;
  };
}

const sha256 = (data: string | Uint8Array): Buffer => createHash("sha256").update(data).digest();

/** undefined if the claim holds. Never rejects. */
export function validate(how: Validation, claim: Claim): Promise<Problem | undefined> {
  const check = { "http-01": http01, "tls-alpn-01": tlsAlpn01, "dns-01": dns01 }[claim.type] ??
    dnsPersist01;
  return check(how, claim, `${claim.token}.${claim.thumbprints.at(-1)}`).catch((error) =>
    problem("serverInternal", String(error?.stack))
  );
}

/** What stands for the identifier's address; IP addresses stand for themselves unless mapped. */
function hostOf({ hostOf = () => "127.0.0.1" }: Validation, { value }: Identifier): string {
  return hostOf(value) ?? "";
}

function http01(how: Validation, claim: Claim, expected: string): Promise<Problem | undefined> {
  const { value } = claim.identifier;
  const host = hostOf(how, claim.identifier);
  if (!host) return Promise.resolve(says("noAddress", value));
  const path = `/.well-known/acme-challenge/${claim.token}`;
  const authority = isIPv6(value) ? `[${value}]` : value;
  const url = `http://${authority}${path}`;
  return new Promise((resolve) => {
    const headers = { host: authority, "user-agent": "test CA", accept: "*/*" };
    const options = { host, port: how.httpPort, path, headers, agent: false } as const;
    const request = http.get(options, (answer) => {
      let body = "";
      answer.setEncoding("latin1").on("data", (part: string) => {
        if ((body += part).length > MAX_BODY) answer.destroy();
      });
      answer.on("error", () => resolve(says("readTimeout", host, url)));
      answer.on("end", () => {
        if (answer.statusCode !== 200) {
          resolve(says("wrongStatus", host, url, `${answer.statusCode}`));
        } // "The server SHOULD ignore whitespace characters at the end of the body."
        else if (body.trimEnd() === expected) resolve(undefined);
        else resolve(says("wrongBody", host, url, body.slice(0, 100)));
      });
    });
    request.on("error", (error: NodeJS.ErrnoException) => {
      resolve(says(error.code === "ECONNREFUSED" ? "refused" : "timeout", host, url));
    });
    request.setTimeout(PATIENCE_MS, () => request.destroy());
  });
}

function tlsAlpn01(how: Validation, claim: Claim, expected: string): Promise<Problem | undefined> {
  const { value } = claim.identifier;
  const host = hostOf(how, claim.identifier);
  if (!host) return Promise.resolve(says("noAddress", value));
  return new Promise((resolve) => {
    const socket = tls.connect({
      host,
      port: how.tlsPort,
      servername: serverNameOf(claim.identifier),
      ALPNProtocols: ["acme-tls/1"],
      rejectUnauthorized: false,
    });
    socket.on("secureConnect", () => {
      const { raw } = socket.getPeerCertificate(); // no Buffer on Deno 2.9
      const fault = certificateFault(Buffer.from(raw ?? []), value, sha256(expected));
      if (socket.alpnProtocol !== "acme-tls/1") resolve(says("noAlpn"));
      else resolve(fault === undefined ? undefined : says("wrongCertificate", value, fault));
      socket.destroy();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const refused = error.code === "ECONNREFUSED";
      resolve(refused ? says("refused", host, value) : says("tlsFailed", host, error.message));
    });
    socket.setTimeout(PATIENCE_MS, () => {
      resolve(says("timeout", host, value));
      socket.destroy();
    });
    socket.on("close", () => resolve(says("tlsFailed", host, "closed")));
  });
}

/** RFC 8738 6: for an address, its name in the reverse zones. */
function serverNameOf({ type, value }: Identifier): string {
  if (type !== "ip") return value;
  const bytes = der.readDer(generalNames([value])).children[0]!.content;
  if (bytes.length === 4) return `${[...bytes].reverse().join(".")}.in-addr.arpa`;
  return `${[...bytes.toString("hex")].reverse().join(".")}.ip6.arpa`;
}

/** RFC 8737 3: self-signed, one name in these very bytes, the critical extension in these too. */
function certificateFault(bytes: Buffer, name: string, digest: Buffer): string | undefined {
  try {
    return strictFault(bytes, name, digest);
  } catch (error) {
    return `it can't be read: ${error}`;
  }
}

function strictFault(bytes: Buffer, name: string, digest: Buffer): string | undefined {
  const [tbs] = der.readDer(bytes).children;
  const [, , , issuer, , subject] = tbs!.children;
  const certificate = new X509Certificate(bytes);
  const selfSigned = issuer!.raw.equals(subject!.raw) && certificate.verify(certificate.publicKey);
  if (!selfSigned) return "it is not self-signed";
  const list = tbs!.children.find(({ tag }) => tag === 0xa3)?.children[0]?.children ?? [];
  const ids = list.map(({ children: [id] }) => id!.raw.toString("hex"));
  if (new Set(ids).size < ids.length) return "an extension is there twice";
  const find = (id: string): der.DerNode | undefined =>
    list.find(({ children }) => children[0]!.raw.equals(der.oid(id)));
  const names = find(OID.subjectAltName)?.children.at(-1)?.content;
  if (!names?.equals(generalNames([name]))) return "its names aren't the one that was asked for";
  const expected = extension(ACME_IDENTIFIER, der.octetString(digest), true);
  if (find(ACME_IDENTIFIER)?.raw.equals(expected)) return undefined;
  return "its acmeIdentifier extension isn't the one for this challenge";
}

/** The values, or the problem. */
async function txtOf(how: Validation, name: string): Promise<readonly string[] | Problem> {
  if (!how.lookupTxt) return says("noSuchName", name, "TXT");
  const values = await how.lookupTxt(name).catch(() => undefined);
  if (values === undefined) return says("servfail", name, "TXT");
  return values.length > 0 ? values : says("noTxt", name);
}

async function dns01(
  how: Validation,
  claim: Claim,
  expected: string,
): Promise<Problem | undefined> {
  const name = `_acme-challenge.${claim.identifier.value}`;
  const values = await txtOf(how, name);
  if (!Array.isArray(values)) return values as Problem;
  if (values.includes(sha256(expected).toString("base64url"))) return undefined;
  const others = values.length > 1 ? ` (and ${values.length - 1} more)` : "";
  return says("wrongTxt", name, values[0]!, others);
}

async function dnsPersist01(how: Validation, claim: Claim): Promise<Problem | undefined> {
  const name = `_validation-persist.${claim.identifier.value}`;
  const values = await txtOf(how, name);
  if (!Array.isArray(values)) return values as Problem;
  const faults = (values as string[]).map((value) => persistFault(value, claim));
  if (faults.includes(undefined)) return undefined;
  return problem("unauthorized", `No valid record found at ${name}: ${faults.join("; ")}`);
}

/** One record, an issue-value of RFC 8659 4.2; tags that aren't known are passed over. */
function persistFault(value: string, claim: Claim): string | undefined {
  const [issuer = "", ...parts] = value.split(";").map((part) => part.trim());
  if (!claim.persist.issuerDomainNames.includes(issuer)) return `it is for "${issuer}"`;
  const parameters = new Map<string, string>();
  for (const part of parts.at(-1) === "" ? parts.slice(0, -1) : parts) {
    const [, tag = "", text = ""] = /^([a-z\d](?:[a-z\d-]*[a-z\d])?)=([!-:<-~]*)$/i.exec(part) ??
      [];
    if (tag === "" || parameters.has(tag.toLowerCase())) return `"${part}" is malformed`;
    parameters.set(tag.toLowerCase(), text);
  }
  if (!accountUris(claim).includes(parameters.get("accounturi") ?? "")) {
    return "its accounturi isn't this account's";
  }
  const isWide = parameters.get("policy")?.toLowerCase() === "wildcard";
  if (claim.wildcard && !isWide) return "its policy isn't wildcard";
  const until = parameters.get("persistuntil") ?? "9999999999";
  if (!/^\d{1,15}$/.test(until)) return `persistUntil=${until} is malformed`;
  return BigInt(until) * 1000n < BigInt(Date.now()) ? "its persistUntil is over" : undefined;
}

/** Draft 02, 4.1: hashed, over the name or `*`, with any key that the account has had. */
function accountUris({ persist, accountUrl, identifier, thumbprints }: Claim): string[] {
  if (persist.draft < 2) return [accountUrl];
  return [identifier.value, "*"].flatMap((name) =>
    thumbprints.map((thumbprint) => {
      const input = String.fromCharCode(name.length) + name + thumbprint + accountUrl;
      const digest = sha256(Buffer.from(input, "latin1")).toString("base64url");
      return `${persist.accountHashPrefix}sha-256/${digest}`;
    })
  );
}
