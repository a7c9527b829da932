/**
 * DNS-01 (RFC 8555 section 8.4): the value is put where the name's CNAMEs lead, through the
 * provider that was configured, and seen everywhere before the CA is told to look.
 *
 * Needs `../acme.ts`, `../challenges.ts`, `../resolver.ts`, `provider.ts`.
 */
import { setTimeout as wait } from "node:timers/promises";
import { dnsChallengeValue } from "../acme.ts";
import type { Proof, Solver } from "../challenges.ts";
import { type Resolver, ResolverError, type TxtAnswer } from "../resolver.ts";
import { type DnsProvider, DnsProviderError, type TxtRecord } from "./provider.ts";

export interface DnsSolverOptions {
  readonly provider: DnsProvider;
  readonly resolver: Resolver;
  /** Whether a CNAME at `_acme-challenge` is followed to where the value goes. */
  readonly followCnames: boolean;
  /** Instead of looking whether the value is seen everywhere, wait as long; in milliseconds. */
  readonly delay?: number | undefined;
  readonly progress: (step: string, fields: Readonly<Record<string, string>>) => void;
}

/** `prepare` rejects when the value isn't seen in the provider's time; `cleanUp` removes it. */
export function dnsSolver(options: DnsSolverOptions): Solver {
  const { provider, resolver } = options;
  const records = new WeakMap<Proof, TxtRecord>();
  return {
    turn: () => provider.sequential ? "dns" : undefined,
    async prepare(proof, signal) {
      const domain = proof.identifier.value;
      const name = `_acme-challenge.${domain}`;
      const record = {
        name: options.followCnames ? await aliasOf(resolver, name, signal) : name,
        value: dnsChallengeValue(proof.keyAuthorization),
        domain,
        token: proof.challenge.token ?? "",
        keyAuthorization: proof.keyAuthorization,
      };
      records.set(proof, record);
      await provider.present(record, signal);
      options.progress("TXT record set", { name: record.name });
      if (options.delay !== undefined) await wait(options.delay, undefined, { signal });
      else await seenEverywhere(options, record, signal);
    },
    async cleanUp(proof, signal) {
      const record = records.get(proof);
      if (record !== undefined) await provider.cleanUp(record, signal);
    },
  };
}

/** Where the CNAMEs lead. A machine that can't ask DNS may still have a provider that needn't. */
function aliasOf(resolver: Resolver, name: string, signal: AbortSignal): Promise<string> {
  return resolver.canonicalName(name, signal).catch((error) => {
    if (error instanceof ResolverError) return name;
    throw error;
  });
}

/** Looks until every authoritative server has the value; rejects when the provider's time is up. */
async function seenEverywhere(
  { provider, resolver, progress }: DnsSolverOptions,
  { name, value }: TxtRecord,
  signal: AbortSignal,
): Promise<void> {
  const { timeout, interval } = provider.propagation;
  const end = performance.now() + timeout;
  for (;;) {
    const answers = await resolver.txtEverywhere(name, signal).catch((error): TxtAnswer[] => {
      if (!(error instanceof ResolverError)) throw error;
      return [{ server: "DNS", values: undefined, error: error.message }];
    });
    const without = answers.filter(({ values }) => !values?.includes(value));
    if (answers.length > 0 && without.length === 0) return;
    const [first] = without;
    const why = first === undefined
      ? "no server is authoritative for it"
      : `${first.server} ${first.error ?? "answers without it"}`;
    if (performance.now() + interval > end) {
      const message = `the TXT record at ${name} isn't seen everywhere after ${timeout / 1000} s`;
      throw new DnsProviderError(`${message}: ${why}`);
    }
    progress("waiting for DNS", { name, why });
    await wait(interval, undefined, { signal });
  }
}
