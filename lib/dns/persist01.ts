/**
 * DNS-PERSIST-01 as a way to prove names: nothing is written anywhere. The record that somebody set
 * once is read before the CA reads it, and what is wrong with it is said with the line to set.
 *
 * Needs `../challenges.ts`, `../resolver.ts`, `persist.ts`.
 */
import { isIP } from "node:net";
import type { AcmeClient, Challenge } from "../acme.ts";
import type { Solver } from "../challenges.ts";
import { DnsMessageError } from "../dnsmsg.ts";
import { type Resolver, ResolverError } from "../resolver.ts";
import {
  checkPersist,
  type PersistAccount,
  PersistError,
  persistName,
  persistRecords,
  type PersistState,
  persistWanted,
} from "./persist.ts";

export function persistSolver(resolver: Resolver): Solver {
  const check = async (
    name: string,
    account: PersistAccount,
    signal: AbortSignal,
  ): Promise<PersistState> => {
    const values = await resolver.txt(persistName(name), signal);
    return checkPersist(values, persistWanted(name, account));
  };
  return {
    async prepare({ identifier, wildcard, challenge, client }, signal) {
      const name = `${wildcard ? "*." : ""}${identifier.value}`;
      const { state, message } = await check(name, await accountOf(client, challenge), signal);
      if (state !== "good" && state !== "expiring") throw new PersistError(message);
    },
    cleanUp: async () => {},
    async obstacle(names, client, signal) {
      const account = await accountOf(client);
      const wrong: PersistState[] = [];
      let lines: string[] = [];
      try {
        const domains = names.filter((name) => isIP(name) === 0);
        for (const name of domains) {
          const found = await check(name, account, signal);
          if (found.state !== "good") wrong.push(found);
        }
        lines = persistRecords(domains, account).map(({ line }) => line);
      } catch (error) {
        if (isOfDns(error)) return { ...UNREAD, message: error.message };
        if (!(error instanceof PersistError)) throw error;
        return undefined; // of which CA isn't known before there is a challenge
      }
      const first = wrong.find(({ state }) => state !== "expiring") ?? wrong[0];
      if (first === undefined) return undefined;
      const advice = `Set once at your DNS host, if this CA has dns-persist-01: ${
        lines.join(" ; ")
      }`;
      const fatal = first.state !== "expiring";
      const { state, message } = first;
      return { cause: `persist-${state}`, message, advice, retry: "soon", otherCa: false, fatal };
    },
  };
}

/** Nothing is ordered with this alone; another way of proving names needn't wait for it. */
const UNREAD = {
  cause: "persist-unread",
  advice: "Check the name servers of these names, and --acme-resolvers.",
  retry: "soon",
  otherCa: false,
  fatal: true,
} as const;

const isOfDns = (error: unknown): error is Error =>
  error instanceof ResolverError || error instanceof DnsMessageError;

async function accountOf(client: AcmeClient, challenge?: Challenge): Promise<PersistAccount> {
  const { meta } = await client.getDirectory();
  const [, thumbprint = ""] = client.keyAuthorization("").split(".");
  return { accountUrl: client.accountUrl ?? "", thumbprints: [thumbprint], meta, challenge };
}
