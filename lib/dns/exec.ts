/**
 * DNS-01 by a program of the user's own, as lego's `exec`: `EXEC_PATH present NAME. VALUE`, and
 * `cleanup` with the same, or with EXEC_MODE=RAW `present -- DOMAIN TOKEN KEYAUTHORIZATION`. It has
 * this process's environment; ending with code 0 means that it's done. EXEC_PROPAGATION_TIMEOUT,
 * EXEC_POLLING_INTERVAL and EXEC_SEQUENCE_INTERVAL are seconds, by default 60, 2 and 60; the last
 * is waited only between two values of one name. Tested with real scripts.
 */
import { runProgram } from "../command.ts";
import { quote } from "../log.ts";
import { type DnsProvider, DnsProviderError } from "./provider.ts";
import type { ProviderContext, TxtRecord } from "./provider.ts";
import { needed, optional, propagation, sequence } from "./shared.ts";

export function createProvider({ env }: ProviderContext): DnsProvider {
  const path = needed(env, "EXEC_PATH");
  const isRaw = optional(env, "EXEC_MODE") === "RAW";
  const { turn, done } = sequence(env, "EXEC");
  const args = ({ name, value, domain, token, keyAuthorization }: TxtRecord): string[] =>
    isRaw ? ["--", domain, token, keyAuthorization] : [`${name}.`, value];
  return {
    propagation: propagation(env, "EXEC"),
    sequential: true, // programs written for lego are never run twice at a time
    async present(record, signal) {
      await turn(record.name, signal);
      await run(path, ["present", ...args(record)], signal);
    },
    async cleanUp(record, signal) {
      await run(path, ["cleanup", ...args(record)], signal);
      done(record.name);
    },
  };
}

/** Rejects with DnsProviderError and the end of its output, or with the signal's reason. */
async function run(path: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const { problem, output } = await runProgram(path, args, { signal }).catch((cause) => {
    signal.throwIfAborted();
    throw new DnsProviderError(`can't run EXEC_PATH ${quote(path)}`, { cause });
  });
  if (problem === "") return;
  const said = output && `; it said ${quote(output.slice(-300))}`;
  throw new DnsProviderError(`${quote(`${path} ${args[0]}`)} ${problem}${said}`);
}
