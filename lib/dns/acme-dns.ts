/**
 * DNS-01 by an acme-dns server (github.com/joohoi/acme-dns), to which `_acme-challenge` names are
 * delegated by CNAME once: POST /register gives a name and its credentials, POST /update sets its
 * TXT values. ACME_DNS_API_BASE is the server's URL, ACME_DNS_STORAGE_PATH the file with accounts,
 * of lego's (goacmedns') form: `{"example.com":{"fulldomain","subdomain","username","password",
 * "server_url"}}`. ACME_DNS_ALLOWLIST: networks that may update, comma-separated, for new accounts.
 * A value is never taken away: the server keeps the two latest, so that a name and its wildcard
 * can be proved together. Needs file.ts, lock.ts, log.ts, shared.ts. Tested with a server of the
 * test that does what acme-dns documents.
 */
import { readFile, stat } from "node:fs/promises";
import { writeFileAtomic } from "../file.ts";
import type { HttpClient } from "../httpsclient.ts";
import { withLock } from "../lock.ts";
import { quote } from "../log.ts";
import { type DnsProvider, DnsProviderError } from "./provider.ts";
import type { ProviderContext, TxtRecord } from "./provider.ts";
import { callJson, needed, optional, propagation, text } from "./shared.ts";

/** Octets of the accounts' file: some ten thousand accounts. */
const MAX_STORAGE = 4 * 1024 * 1024;

interface Account {
  /** Where the CNAME leads: `d420c923-….acme-dns.example`. */
  readonly fulldomain: string;
  readonly subdomain: string;
  readonly username: string;
  readonly password: string;
}

export function createProvider({ env, http }: ProviderContext): DnsProvider {
  const base = parseBase(needed(env, "ACME_DNS_API_BASE"));
  const path = needed(env, "ACME_DNS_STORAGE_PATH");
  const list = (optional(env, "ACME_DNS_ALLOWLIST") ?? "").split(",").map((item) => item.trim());
  const allowfrom = list.filter((item) => item !== "");
  const read = async (record: TxtRecord) => findAccount(await readAccounts(path), record, path);
  return {
    propagation: propagation(env, "ACME_DNS"),
    async present(record, signal) {
      // The lock only when it's needed: where all is registered, the file may be read-only.
      const account = await read(record) ?? await withLock(path, async (check) => {
        const known = await read(record); // another may have been quicker
        if (known !== undefined) return known;
        const account = await register(http, base, allowfrom, signal);
        await check();
        await addAccount(path, record.domain, { ...account, server_url: base });
        return account;
      }, signal);
      requireDelegation(record, account);
      await update(http, base, account, record.value, signal);
    },
    async cleanUp() {},
  };
}

/** The domain's own account or, for those that share one, the account that its CNAME leads to. */
function findAccount(
  accounts: ReadonlyMap<string, unknown>,
  { domain, name }: TxtRecord,
  path: string,
): Account | undefined {
  const shared = () => [...accounts.values()].find((value) => text(value, "fulldomain") === name);
  const found = accounts.get(domain) ?? shared();
  if (found === undefined) return undefined;
  const account = readAccount(found);
  if (account !== undefined) return account;
  const expected = "expected fulldomain, subdomain, username and password";
  throw new DnsProviderError(`${quote(path)} has a damaged account of ${domain}: ${expected}`);
}

async function register(
  http: HttpClient,
  base: string,
  allowfrom: readonly string[],
  signal: AbortSignal,
): Promise<Account> {
  const json = allowfrom.length > 0 ? { allowfrom } : undefined;
  const request = { method: "POST", url: `${base}/register`, json, signal } as const;
  const answer = await callJson(http, { ...request, service: SERVICE, explain: explainRegister });
  const account = readAccount(answer);
  if (account !== undefined) return account;
  throw new DnsProviderError(`${SERVICE} registered an account, but did not say which`);
}

/**
 * Before anything is asked of the CA: without the CNAME it can't see the value. `name` is where
 * CNAMEs led from `_acme-challenge.DOMAIN`.
 */
function requireDelegation({ domain, name }: TxtRecord, { fulldomain }: Account): void {
  if (name === fulldomain.toLowerCase().replace(/\.$/, "")) return;
  const now = name === `_acme-challenge.${domain}` ? "there is none yet" : `it leads to ${name}`;
  throw new DnsProviderError(
    `set this record once, then it works by itself: _acme-challenge.${domain}. CNAME ` +
      `${fulldomain}. (${now})`,
  );
}

async function update(
  http: HttpClient,
  base: string,
  { subdomain, username, password }: Account,
  value: string,
  signal: AbortSignal,
): Promise<void> {
  const fields = ["X-Api-User", username, "X-Api-Key", password];
  const json = { subdomain, txt: value };
  const request = { method: "POST", url: `${base}/update`, fields, json, signal } as const;
  await callJson(http, { ...request, service: SERVICE, explain: explainUpdate });
}

const SERVICE = "acme-dns";
const explainRegister = (status: number): string | undefined =>
  status === 404 ? "registration is disabled there, or ACME_DNS_API_BASE is wrong" : undefined;
const explainUpdate = (status: number): string | undefined =>
  status === 401 ? "the account is of another server, or not for this address" : undefined;

/** As the file has them, so that what isn't understood is kept; none when there is no file. */
async function readAccounts(path: string): Promise<ReadonlyMap<string, unknown>> {
  const damaged = `${quote(path)} (ACME_DNS_STORAGE_PATH) is damaged and is left as it is`;
  try {
    if ((await stat(path)).size > MAX_STORAGE) throw new DnsProviderError(`${damaged}: too long`);
    const content = await readFile(path, "utf8");
    const value: unknown = content.trim() === "" ? {} : JSON.parse(content);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return new Map(Object.entries(value));
    }
  } catch (error) {
    if (error instanceof DnsProviderError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    const isIo = (error as NodeJS.ErrnoException).code !== undefined;
    // What JSON.parse() says repeats the text, which has passwords in it.
    if (isIo) throw new DnsProviderError(`can't read ${quote(path)}`, { cause: error });
  }
  throw new DnsProviderError(`${damaged}: expected a JSON object`);
}

async function addAccount(path: string, domain: string, account: object): Promise<void> {
  const all = Object.fromEntries([...await readAccounts(path), [domain, account]]);
  await writeFileAtomic(path, JSON.stringify(all, undefined, 2));
}

function readAccount(value: unknown): Account | undefined {
  const [fulldomain, subdomain, username, password] = FIELDS.map((key) => text(value, key));
  if (!fulldomain || !subdomain || !username || !password) return undefined;
  return { fulldomain, subdomain, username, password };
}
const FIELDS = ["fulldomain", "subdomain", "username", "password"] as const;

function parseBase(base: string): string {
  if (URL.canParse(base) && /^https?:/.test(base)) return base.replace(/\/+$/, "");
  throw new DnsProviderError("invalid ACME_DNS_API_BASE: expected a URL: https://auth.example.com");
}
