/**
 * What the options of ACME mean together: whether it is used, which challenges and providers, which
 * command. Needs `options.ts`, `addr.ts`.
 */
import { isIP } from "node:net";
import { toDomainName } from "./addr.ts";
import { quote } from "./log.ts";
import { OptionError, type Options } from "./options.ts";

const CHALLENGES = ["http-01", "tls-alpn-01", "dns-01", "dns-persist-01"];
const ACCOUNT_ACTIONS = ["rollover", "deactivate"];

/** Whether certificates are to be obtained: somebody gave an address, a CA or a DNS provider. */
export function isAutomatic(options: Options): boolean {
  return options.string("acme-email") !== "" || options.isSet("acme-directory") ||
    options.string("dns-provider") !== "";
}

/** The providers that are used: with ACME, nothing is self-signed that it could obtain. */
export function providersInUse(options: Options): readonly string[] {
  const providers = options.list("certificate-providers");
  const last = providers.findIndex((name) => name !== "lego" || isAutomatic(options));
  return last < 0 ? providers : providers.slice(0, last + 1);
}

/** In order of preference. */
export function challengeTypes(options: Options): readonly string[] {
  const chosen = options.list("acme-challenges");
  if (chosen.length > 0) return chosen;
  if (options.string("dns-provider") !== "") return ["dns-01"];
  return ["http-01", "tls-alpn-01"];
}

/** Throws OptionError for what the table of options can't know. */
export function checkAcmeOptions(options: Options): void {
  if (options.list("acme-directory").length === 0) {
    throw new OptionError("can't use --acme-directory: expected one https:// URL or more");
  }
  for (const url of options.list("acme-directory")) {
    if (URL.canParse(url) && new URL(url).protocol === "https:") continue;
    throw new OptionError(`can't use --acme-directory "${url}": expected https:// URLs`);
  }
  for (const type of challengeTypes(options)) {
    if (CHALLENGES.includes(type)) continue;
    const expected = `expected some of ${CHALLENGES.join(", ")}`;
    throw new OptionError(`can't use --acme-challenges "${type}": ${expected}`);
  }
  const byProvider = challengeTypes(options).includes("dns-01");
  if (byProvider && options.string("dns-provider") === "") {
    throw new OptionError("can't use --acme-challenges dns-01: --dns-provider isn't set");
  }
}

/** Which command the options ask for; undefined for none. Throws OptionError. */
export function commandOf(options: Options): "obtain" | "account" | "revoke" | undefined {
  const action = options.string("account");
  if (action !== "" && !ACCOUNT_ACTIONS.includes(action)) {
    throw new OptionError(`can't use --account ${quote(action)}: expected rollover or deactivate`);
  }
  for (const name of options.list("obtain")) {
    if (isIP(name) > 0 || toDomainName(name.replace(/^\*\./, "")) !== undefined) continue;
    throw new OptionError(`can't use --obtain ${quote(name)}: expected domain names`);
  }
  const given = [
    ...options.list("obtain").length > 0 ? ["obtain"] as const : [],
    ...action !== "" ? ["account"] as const : [],
    ...options.string("revoke") !== "" ? ["revoke"] as const : [],
  ];
  if (given.length <= 1) return given[0];
  throw new OptionError(`can't do --${given.join(" and --")} at once`);
}
