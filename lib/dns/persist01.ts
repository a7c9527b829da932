/**
 * DNS-PERSIST-01 as a way to prove names: nothing is written anywhere. The record that somebody set
 * once is read before the CA is, and what is wrong with it is said with the line to set.
 *
 * Needs `../challenges.ts`, `../resolver.ts`, `persist.ts`.
 */
import type { AcmeClient, Challenge } from "../acme.ts";
import type { Solver } from "../challenges.ts";
import type { Resolver } from "../resolver.ts";
import {
  checkPersist,
  PersistError,
  persistName,
  type PersistState,
  persistWanted,
} from "./persist.ts";

/** `earlier`: thumbprints of keys that the account had before. */
export function persistSolver(resolver: Resolver): Solver {
  const check = async (
    name: string,
    client: AcmeClient,
    signal: AbortSignal,
    challenge?: Challenge,
  ): Promise<PersistState> => {
    const { meta } = await client.getDirectory();
    const [, thumbprint = ""] = client.keyAuthorization("").split(".");
    const accountUrl = client.accountUrl ?? "";
    const wanted = persistWanted(name, { accountUrl, thumbprints: [thumbprint], meta, challenge });
    return checkPersist(await resolver.txt(persistName(name), signal), wanted);
  };
  return {
    async prepare({ identifier, wildcard, challenge, client }, signal) {
      const name = `${wildcard ? "*." : ""}${identifier.value}`;
      const { state, message } = await check(name, client, signal, challenge);
      if (state !== "good" && state !== "expiring") throw new PersistError(message);
    },
    cleanUp: async () => {},
    async obstacle(names, client, signal) {
      for (const name of names) {
        const { state, message } = await check(name, client, signal);
        if (state === "good") continue;
        const advice = "Set that record once at your DNS host; it is looked for every 10 minutes.";
        const fatal = state !== "expiring";
        return { cause: `persist-${state}`, message, advice, retry: "soon", otherCa: false, fatal };
      }
      return undefined;
    },
  };
}
