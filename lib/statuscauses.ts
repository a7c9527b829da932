/**
 * What a status says beside the failures of CAs, which `causes.ts` explains: why there is no
 * certificate yet or won't be, what to do about an upstream; and what of strangers' words is left
 * out. Pure; needs nothing.
 */

/** What is wrong, and what to do; `cause` is stable, for programs. */
export interface Cause {
  readonly cause: string;
  readonly what: string;
  readonly advice: string;
}

const ACME_ON =
  "Set --acme-email (then Let's Encrypt is asked), --acme-directory or --dns-provider";

type Absence = "ordering" | "spaced" | "queued" | "waiting" | "starting";

/** By what an order does; `spaced`: it waits for its turn; `starting`: nobody has looked yet. */
export const ABSENCE: Readonly<Record<Absence, Cause>> = {
  ordering: {
    cause: "ordering",
    what: "there is no certificate yet: one is being obtained",
    advice: "Wait; that takes seconds, by DNS minutes.",
  },
  spaced: {
    cause: "spaced",
    what: "there is no certificate yet: its order waits for its turn",
    advice: "Wait, or let orders follow sooner (--acme-obtain-interval).",
  },
  queued: {
    cause: "queued",
    what: "there is no certificate yet: eight others are being obtained before it",
    advice: "Wait; see those that take long.",
  },
  waiting: {
    cause: "waiting",
    what: "there is no certificate yet: it is being looked at",
    advice: "Wait; if it stays so, see the log.",
  },
  starting: {
    cause: "starting",
    what: "there is no certificate yet: Centauri has just started",
    advice: "Wait a moment.",
  },
};

/** Nothing obtains certificates: what that means, by what there is instead. */
export function acmeOff(
  providers: readonly string[],
  state: "on-demand" | "valid" | "missing" | "expired" | "unusable",
): Cause {
  const cause = "acme-off";
  if (providers.length === 0) {
    const what = "there is no certificate: no provider may give one";
    return { cause, what, advice: "Name lego or selfsigned in --certificate-providers." };
  }
  const off = "nothing obtains certificates: ACME is off";
  if (state === "on-demand") {
    const what = `the certificate is self-signed, which browsers warn of; ${off}`;
    return { cause, what, advice: `${ACME_ON}; or say "provider selfsigned" if it is meant so.` };
  }
  if (state === "valid") {
    return { cause, what: `the certificate isn't renewed; ${off}`, advice: `${ACME_ON}.` };
  }
  const what = `there is no certificate${state === "expired" ? " that is valid" : ""}; ${off}`;
  return { cause, what, advice: `${ACME_ON}; or say "provider selfsigned" in the route.` };
}

export const unusable = (problem: string): Cause => ({
  cause: "certificate-unusable",
  what: `the certificate in the store can't be served: ${redact(problem)}`,
  advice: "Correct its record, or remove it: then another one is obtained.",
});

/** Matched against an upstream's error; the first counts. */
const UPSTREAM_ADVICE: readonly (readonly [words: RegExp, advice: string])[] = [
  [/ECONNREFUSED/, "Start it, or correct the route's upstream: nothing listens at that port."],
  [/ENOTFOUND|EAI_|has no address/, "Correct its name, or see that Centauri's DNS knows it."],
  [/wasn't resolved in time/, "See why DNS doesn't answer where Centauri runs."],
  [/EACCES|EPERM|NotCapable/, "Allow Centauri to connect there (sandbox, firewall)."],
  [
    /no connection to |ETIMEDOUT|E(HOST|NET)UNREACH/,
    "See that it runs, and that network and firewall let Centauri through.",
  ],
  [
    /ECONNRESET|EPIPE|closed before|was closed/,
    "See its own log: it ended the connection before its answer was complete.",
  ],
  [/EMFILE|ENFILE/, "Allow Centauri more open files (ulimit -n)."],
];

export function adviceFor(failure: string): string {
  const found = UPSTREAM_ADVICE.find(([words]) => words.test(failure));
  return found?.[1] ?? "See that it speaks plain HTTP/1.1 at that port, and what its log says.";
}

/** Each with what stands for it. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/[^\s@"'<>:,;]{1,64}@[^\s@"'<>:,;]{1,253}/g, "…@…"], // e-mail addresses
  [/(https?:\/\/[^\s?"'<>\\]{1,500})\?[^\s"'<>\\]*/gi, "$1?…"], // they may hold tokens
  [/(\/acct|\/accounts?|accounturi=)[^\s"',;\\]+/gi, "$1…"],
  [/[\w-]{40,}/g, "…"], // tokens, keys, digests
];

/** Without addresses of people, accounts' and tokens, which may stand in what a CA says. */
export function redact(text: string): string {
  return SECRETS.reduce((rest, [pattern, instead]) => rest.replace(pattern, instead), text);
}

/** A failure's message: what a DNS provider, or a program of its, said may be anything. */
export function redactMessage(cause: string, message: string): string {
  if (cause !== "dns-provider") return redact(message);
  return redact(message.replace(/: "[^]*/, ": the log has its words"));
}
