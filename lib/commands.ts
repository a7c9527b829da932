/**
 * What Centauri does once, in the foreground, for a person who watches: `--obtain`, `--account`,
 * `--revoke`. Each line says one step; the exit code says whether it went well.
 *
 * Needs `autocert.ts` and what that needs.
 */
import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { canonicalAddress, foldWildcards, spellAddress, toDomainName } from "./addr.ts";
import { acmeSettings, challengeTypes, commandOf } from "./acmesettings.ts";
import { type Autocert, createAutocert } from "./autocert.ts";
import type { ChallengeAnswers } from "./challenges.ts";
import { IssueError } from "./issuer.ts";
import type { Lease, Leases } from "./lease.ts";
import { type Fields, type Logger, quote } from "./log.ts";
import type { Options } from "./options.ts";
import type { Store } from "./store.ts";
import { fromPem, pemBlocks } from "./x509.ts";

/** Between looks at whether a lease is free, in milliseconds. */
const LEASE_RETRY = 500;

export interface CommandParts {
  readonly store: Store;
  /** Where other machines obtain certificates for the same store. */
  readonly leases: Leases | undefined;
  readonly challenges: ChallengeAnswers;
  readonly log: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Opens the two ports, for challenges that a CA asks for there. */
  readonly listen: () => Promise<void>;
  readonly write: (line: string) => void;
}

/** False when it didn't work; then the last lines say why, and what to do. */
export async function runCommand(options: Options, parts: CommandParts): Promise<boolean> {
  const { write } = parts;
  const progress = (step: string, fields: Fields = {}) => {
    const details = Object.values(fields).map((value) => quote(String(value)).slice(1, -1));
    write(`${step.padEnd(20)} ${details.join("  ")}`.trimEnd());
  };
  const settings = acmeSettings(options);
  const autocert = await createAutocert(settings, { ...parts, progress, onChange: () => {} });
  try {
    const command = commandOf(options);
    if (command === "obtain") await obtain(options, parts, autocert);
    else if (command === "account") await changeAccount(options.string("account"), autocert, write);
    else await revoke(options.string("revoke"), autocert, write);
    return true;
  } catch (error) {
    if (!(error instanceof IssueError)) throw error;
    write(`failed               ${error.message}`);
    write(`what to do           ${error.explanation.advice}`);
    return false;
  } finally {
    await autocert.close();
  }
}

async function obtain(options: Options, parts: CommandParts, autocert: Autocert): Promise<void> {
  const wildcards = options.list("wildcard-domains");
  const names = foldWildcards(options.list("obtain").map(spelled), wildcards);
  if (challengeTypes(options).some((type) => !type.startsWith("dns-"))) {
    await parts.listen().catch((cause) => {
      const advice = "another Centauri? Stop it, or add the route to it, or prove the names by DNS";
      throw new Error(`can't listen for challenges (${advice})`, { cause });
    });
  }
  const [subject = "", ...altNames] = names;
  const stopped = new AbortController();
  const stop = () => stopped.abort(new Error("interrupted"));
  process.once("SIGINT", stop).once("SIGTERM", stop); // what was set in DNS is taken away again
  const lease = parts.leases && await takeLease(names, parts.leases, parts.write, stopped.signal);
  const old = parts.store.find("lego", subject, altNames);
  try {
    await autocert.issuer.obtain(names, stopped.signal, old, lease && (() => lease.check()));
  } finally {
    await lease?.release();
  }
  const when = lease === undefined ? "at SIGHUP" : "within seconds";
  parts.write(`done                 a running Centauri takes it up ${when}`);
}

/** Waits for it; says so once. Rejects when the signal does. */
async function takeLease(
  names: readonly string[],
  leases: Leases,
  write: (line: string) => void,
  signal: AbortSignal,
): Promise<Lease> {
  for (let tries = 1;; tries++) {
    const lease = await leases.take(names);
    if (lease !== undefined) return lease;
    if (tries === 1) {
      write("waiting              another Centauri orders the same, or Redis is away");
    }
    await wait(LEASE_RETRY, undefined, { signal });
  }
}

/** `*.` and A-labels, in lower case; addresses as the CA will spell them. */
function spelled(name: string): string {
  if (isIP(name) > 0) return spellAddress(canonicalAddress(name));
  const [, star = "", rest = ""] = /^(\*\.)?(.*)$/.exec(name) ?? [];
  return star + (toDomainName(rest) ?? rest);
}

async function changeAccount(
  action: string,
  { authorities }: Autocert,
  write: (line: string) => void,
): Promise<void> {
  for (const authority of authorities) {
    if (action === "rollover") await authority.rollOver();
    else await authority.deactivate();
    write(`${action.padEnd(20)} done at ${authority.host}`);
  }
}

/** With the certificate's own key if the file has it, else with the account of the CA. */
async function revoke(
  path: string,
  { authorities }: Autocert,
  write: (line: string) => void,
): Promise<void> {
  const text = await readFile(path, "utf8");
  const [block] = pemBlocks(text, "CERTIFICATE");
  if (block === undefined) throw new Error(`${path} has no certificate: expected PEM`);
  const certificateKey = text.includes("PRIVATE KEY-----") ? createPrivateKey(text) : undefined;
  for (const [index, authority] of authorities.entries()) {
    try {
      const client = await authority.client();
      await client.revokeCertificate(fromPem(block), certificateKey);
      return write(`revoked              at ${authority.host}`);
    } catch (error) {
      if (index === authorities.length - 1) throw error; // else another CA may have issued it
    }
  }
}
