/**
 * The Tailscale front end, apart from what serves: where the node is in its tailnet, who clients
 * are, and the certificates that tailscaled has. Centauri is in the tailnet as the machine is, by
 * a tailscaled that runs beside it, and opens its ports at the node's addresses and nowhere else.
 *
 * tailscaled may come late, restart and vanish: what is open stays open, and what is known stays
 * in force until it says otherwise. Needs `tailscale.ts`, `whois.ts`, `contexts.ts`.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { type Identity, type ServedCertificate, tailnetKey, toServed } from "./contexts.ts";
import { errorText, type Logger } from "./log.ts";
import { OptionError, type Options } from "./options.ts";
import { certificateNames, type Route, RouteError } from "./routes.ts";
import type { Server } from "./serving.ts";
import { type CertificatePair, type Tailscaled, userFields } from "./tailscale.ts";
import { type Identify, identifySockets, NOBODY, rememberWhoIs } from "./whois.ts";

const [SECOND, HOUR] = [1_000, 60 * 60 * 1_000];
/** Between two looks at the node, in milliseconds; while something is amiss, from `first` on. */
const LOOKS = { first: SECOND / 2, all: 10 * SECOND };
/** tailscaled renews a certificate when it is asked for one that is due. */
const CERTIFICATE_LOOKS = { first: 10 * SECOND, amiss: HOUR, all: 6 * HOUR };
/** How long a context lives: its session ticket keys go with it. */
const CONTEXT_LIFETIME = 12 * HOUR;

/** What to do about a node that isn't `Running`. */
const STATES: ReadonlyMap<string, string> = new Map([
  ["NeedsLogin", "this machine isn't logged in: run `tailscale up`"],
  ["NeedsMachineAuth", "this machine has to be approved: see the tailnet's admin console"],
  ["Stopped", "Tailscale is stopped: run `tailscale up`"],
  ["InUseOtherUser", "tailscaled is in use by another user of this machine"],
  ["NoState", "tailscaled is starting"],
  ["Starting", "tailscaled is starting"],
]);

const NO_INTERFACE = "tailscaled has no network interface: run it without userspace networking " +
  "(--tun=userspace-networking, TS_USERSPACE)";

/** What to do about an error, by its text. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [/no such file or socket/, "start tailscaled, or say by --tailscale-socket where its socket is"],
  [/nothing listens there/, "start tailscaled"],
  [/can't listen .*EADDRNOTAVAIL/, "tailscaled must run in this container, not in another one"],
  [/can't listen .*EACCES/, "ports below 1024 are for CAP_NET_BIND_SERVICE; see --http-port"],
  [/answers 403/, "run as root, or name this user by TS_PERMIT_CERT_UID to tailscaled"],
];

/** What configures Go's own node of the tailnet configures tailscaled here. */
const FOREIGN: readonly (readonly [option: string, instead: string])[] = [
  ["tailscale-key", "tailscale up --auth-key=…"],
  ["tailscale-hostname", "tailscale up --hostname=…"],
  ["tailscale-dir", "tailscaled --statedir=…"],
];

/** Throws OptionError. */
export function checkTailscaleOptions(options: Options): void {
  for (const [option, instead] of FOREIGN) {
    if (options.string(option) === "") continue;
    const why = "Centauri is in the tailnet by this machine's tailscaled, which has its settings";
    throw new OptionError(`remove --${option}: ${why}; run \`${instead}\` instead`);
  }
}

/** Whether tailscaled, and no CA, has its certificate. */
const isTailnetName = (name: string): boolean => tailnetKey(name) !== undefined;

/** No CA gives a certificate for names of which one is tailscaled's. Throws RouteError. */
export function checkTailscaleRoutes({ routes }: { readonly routes: readonly Route[] }): void {
  const message = "a certificate for names of Tailscale (.ts.net) and others can't be had: " +
    "expected a route for each kind, or a subject line with the others";
  const problems = routes.filter((route) => {
    const names = certificateNames(route);
    return names.some(isTailnetName) && !names.every(isTailnetName);
  }).map(({ line }) => ({ line, message }));
  if (problems.length > 0) throw new RouteError(problems);
}

/** A certificate that tailscaled has, or hasn't given yet. */
interface Held {
  given?: CertificatePair & {
    readonly served: ServedCertificate;
    /** For workers; they are new each time, for none should live for ever. */
    readonly ticketKeys: string;
  };
  /** When to ask for it, in milliseconds since the epoch. */
  next: number;
  failures: number;
}

export interface TailnetOptions {
  readonly mode: "http" | "https";
  readonly tailscaled: Tailscaled;
  readonly log: Logger;
  /** Default LOOKS. */
  readonly looks?: Readonly<typeof LOOKS>;
}

export class Tailnet {
  readonly identify: Identify;
  /** The same for a server in this process. */
  readonly identifySocket: ReturnType<typeof identifySockets>;
  readonly #options: TailnetOptions;
  readonly #stop = new AbortController();
  readonly #held = new Map<string, Held>();
  #addresses: readonly string[] = [];
  #server: Pick<Server, "listenOn" | "forget"> | undefined;
  /** What the log was told last of the node, and whether of clients. */
  #problem: string | undefined = "";
  #clientsUnknown = false;
  #asking = false;

  constructor(options: TailnetOptions) {
    this.#options = options;
    const identify = rememberWhoIs((address, port) => this.#ask(address, port), {
      onFailure: (error) => this.#sayUnknown(error),
    });
    // Any user of this machine comes from its own address, and isn't the one it belongs to.
    this.identify = (address, port) =>
      this.#addresses.includes(address) ? NOBODY : identify(address, port);
    this.identifySocket = identifySockets(this.identify);
  }

  /** Looks after the server's addresses and certificates until close(). */
  async run(server: Pick<Server, "listenOn" | "forget">): Promise<void> {
    const [{ signal }, { looks = LOOKS }] = [this.#stop, this.#options];
    this.#server = server;
    let pause = looks.first;
    while (!signal.aborted) {
      const problem = await this.#look();
      if (signal.aborted) return;
      this.#say(problem);
      const isReady = problem === undefined;
      if (isReady) this.#askForCertificates().catch(() => {});
      await wait(isReady ? looks.all : pause, undefined, { signal }).catch(() => {});
      pause = isReady ? looks.first : Math.min(2 * pause, looks.all);
    }
  }

  /** Nothing is asked, opened or closed any more. */
  close(): void {
    this.#stop.abort();
  }

  /** Whose certificates are wanted from now on. */
  want(routes: readonly Route[]): void {
    const all = routes.flatMap(({ domains }) => domains);
    const names = new Set(all.filter((name) => this.#has(name)));
    for (const name of this.#held.keys()) if (!names.has(name)) this.#held.delete(name);
    for (const name of names) {
      if (!this.#held.has(name)) this.#held.set(name, { next: 0, failures: 0 });
    }
    if (this.#addresses.length > 0) this.#askForCertificates().catch(() => {});
  }

  /** Those that a CA has to give certificates for. */
  others(routes: readonly Route[]): readonly Route[] {
    return routes.filter((route) => !certificateNames(route).every((name) => this.#has(name)));
  }

  /** The certificate of a name, if tailscaled is the one to give it. */
  find(name: string): { readonly certificate: ServedCertificate | undefined } | undefined {
    if (!this.#has(name)) return undefined;
    const held = this.#held.get(name);
    return { certificate: identityOf(held) && held?.given?.served };
  }

  /** For a worker: of a key as tailnetKey() makes them; undefined while there is none. */
  identity(key: string): Identity | undefined {
    const name = key.slice(key.indexOf(";") + 1);
    return tailnetKey(name) === key ? identityOf(this.#held.get(name)) : undefined;
  }

  #has(name: string): boolean {
    return this.#options.mode === "https" && isTailnetName(name);
  }

  /** Resolves with what is amiss; undefined when the ports are open at the node's addresses. */
  async #look(): Promise<string | undefined> {
    const { tailscaled } = this.#options;
    try {
      const { state, hasInterface, addresses } = await tailscaled.status(this.#stop.signal);
      if (state !== "Running") return STATES.get(state) ?? `tailscaled's state is ${state}`;
      if (!hasInterface) return NO_INTERFACE;
      if (addresses.length === 0) return "this machine has no address in the tailnet yet";
      this.#addresses = addresses;
      await this.#server?.listenOn(addresses);
      return undefined;
    } catch (error) {
      return withHint(error);
    }
  }

  #say(problem: string | undefined): void {
    if (problem === this.#problem) return;
    const { log } = this.#options;
    this.#problem = problem;
    if (problem === undefined) log.info("Tailscale is ready", { addresses: this.#addresses });
    else {log.warn("Tailscale isn't ready", {
        problem,
        next: "what is open stays open; trying again",
      });}
  }

  async #ask(address: string, port: number): Promise<readonly string[]> {
    const user = await this.#options.tailscaled.whoIs(address, port, this.#stop.signal);
    this.#clientsUnknown = false;
    return user === undefined ? NOBODY : userFields(user);
  }

  /** Once until it works again. */
  #sayUnknown(error: Error): void {
    if (this.#clientsUnknown || this.#stop.signal.aborted) return;
    this.#clientsUnknown = true;
    const next = "their requests go without the Tailscale-User fields";
    this.#options.log.warn("can't tell who clients are", { error, next });
  }

  /** One after another those that are due. */
  async #askForCertificates(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      for (const [name, held] of this.#held) {
        if (held.next <= Date.now() && !this.#stop.signal.aborted) await this.#renew(name, held);
      }
    } finally {
      this.#asking = false;
    }
  }

  async #renew(name: string, held: Held): Promise<void> {
    const { tailscaled, log } = this.#options;
    try {
      const pair = await tailscaled.certificate(name, this.#stop.signal);
      const { notAfter, certificate } = pair;
      const ticketKeys = randomBytes(48).toString("base64");
      const served = toServed({ ...pair, goodUntil: notAfter.getTime() });
      const isNew = certificate !== held.given?.certificate;
      held.given = { ...pair, served, ticketKeys };
      const pause = Math.min(CERTIFICATE_LOOKS.all, (notAfter.getTime() - Date.now()) / 2);
      [held.next, held.failures] = [Date.now() + pause, 0];
      if (isNew) log.info("certificate from tailscaled", { name, until: notAfter.toISOString() });
      await this.#server?.forget([tailnetKey(name) ?? ""]);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const { first, amiss } = CERTIFICATE_LOOKS;
      held.next = Date.now() + Math.min(first * 2 ** held.failures, amiss);
      const say = held.failures++ === 0 ? log.warn : log.debug;
      const next = identityOf(held) ? "the old one is served" : "its name isn't served";
      say("no certificate from tailscaled", { name, problem: withHint(error), next });
    }
  }
}

/** Undefined while there is none that is valid. */
function identityOf(held: Held | undefined): Identity | undefined {
  const { given } = held ?? {};
  if (given === undefined || given.notAfter.getTime() <= Date.now()) return undefined;
  const { certificate, privateKey, ticketKeys, notAfter } = given;
  const goodUntil = Math.min(Date.now() + CONTEXT_LIFETIME, notAfter.getTime());
  return { certificate, privateKey, ticketKeys, goodUntil };
}

function withHint(error: unknown): string {
  const text = errorText(error);
  const [, hint] = HINTS.find(([pattern]) => pattern.test(text)) ?? [];
  return hint === undefined ? text : `${text}; ${hint}`;
}
