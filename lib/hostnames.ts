/**
 * From containers to what templates see: the hosts that their labels ask for, and per container the
 * verdict, for `--explain` and the log. Pure; needs addr.ts, labels.ts, log.ts (to quote).
 *
 * The same set of containers gives the same view in any order. One container can't hurt another:
 * each name belongs to one host, and where two containers want different things of a host, the
 * first by name (then id) has its way and the other a problem in words.
 *
 * Names of fields and methods are Go Dotege's, for its templates must find them; objects have own
 * properties only, which the template engine reads as a struct's fields and methods.
 */
import { foldWildcards, isDomainName } from "./addr.ts";
import type { Container } from "./container.ts";
import { AUTH, type Labels, MAX_NAMES, PROXYTAG, readLabels, VHOST } from "./labels.ts";
import { quote } from "./log.ts";
import type { User } from "./users.ts";

/** Characters of a label that a reason quotes. */
const MAX_QUOTED = 60;
/** Problems of one container: a label may be long, and more of them help nobody. */
const MAX_PROBLEMS = 20;

/** Of containers that docker compose started. */
const PROJECT = "com.docker.compose.project";
const SERVICE = "com.docker.compose.service";

export interface ViewOptions {
  /** What `com.chameth.proxytag` must be, empty for none. */
  readonly proxyTag: string;
  readonly users: readonly User[];
}

export interface View {
  /** The root of what templates see. */
  readonly data: TemplateData;
  /** One for each container, by name, then id. */
  readonly verdicts: readonly Verdict[];
}

/** What became of a container. */
export interface Verdict {
  readonly id: string;
  readonly name: string;
  /** The names that it is reached by, the host's primary first; some even if it has no port. */
  readonly hosts: readonly string[];
  /** 1 to 65535, or -1. */
  readonly port: number;
  /** `label com.chameth.proxy`, `the only port that it exposes`; empty without a port. */
  readonly portFrom: string;
  /** Why it has no route, in words to act on; empty if it has one. */
  readonly reason: string;
  /** What of its labels was left out, and why. */
  readonly problems: readonly string[];
}

/** Maps are Go maps, arrays slices, other objects structs; functions are their methods. */
export interface TemplateData {
  /** By id: those that have the proxy tag, be it that they are served or not. */
  readonly Containers: ReadonlyMap<string, ContainerData>;
  /** By primary name, also those that no container can be reached for. */
  readonly Hostnames: ReadonlyMap<string, HostnameData>;
  /** All that users are in or hosts ask for, sorted. */
  readonly Groups: readonly string[];
  readonly Users: readonly UserData[];
}

export interface ContainerData {
  readonly Id: string;
  readonly Name: string;
  readonly Labels: ReadonlyMap<string, string>;
  /** Exposed over TCP and not published, ascending. */
  readonly Ports: readonly number[];
  readonly Image: string;
  /** Sorted by name. */
  readonly Networks: readonly NetworkData[];
  readonly Env: ReadonlyMap<string, string>;
  /** `running`, … */
  readonly State: string;
  /** `healthy`, …; empty without a health check. */
  readonly Health: string;
  /** RFC 3339. */
  readonly Created: string;
  /** Docker compose's; empty if it wasn't started by it. */
  readonly Project: string;
  readonly Service: string;
  /** 1 to 65535; -1 if there is none. */
  readonly Port: () => number;
  /** Whether it has the vhost label and a port. */
  readonly ShouldProxy: () => boolean;
  /** From its own labels, by name. */
  readonly Headers: () => ReadonlyMap<string, string>;
  /** Its names for a certificate, those below one of `wildcards` (bare domains) folded into it. */
  readonly CertNames: (wildcards: readonly string[]) => readonly string[];
}

interface NetworkData {
  readonly Name: string;
  readonly Addresses: readonly string[];
  readonly Aliases: readonly string[];
}

export interface HostnameData {
  readonly Name: string;
  /** Its other names, each by itself. */
  readonly Alternatives: ReadonlyMap<string, string>;
  /** By name, then id; with those that have no port. */
  readonly Containers: readonly ContainerData[];
  readonly Headers: ReadonlyMap<string, string>;
  readonly RequiresAuth: boolean;
  /** Groups whose users may log in, with spaces between; empty for any user. */
  readonly AuthGroup: string;
}

export interface UserData {
  readonly Name: string;
  readonly Password: string;
  readonly Groups: readonly string[];
}

/** A container on its way to a verdict. */
interface Entry {
  readonly container: Container;
  readonly labels: Labels;
  readonly data: ContainerData;
  readonly problems: string[];
  /** Why it is left out of the hosts; empty if it isn't. */
  readonly excluded: string;
  host?: Host;
}

/** A host that is being put together; keys are in lower case, as names are equal in any case. */
interface Host {
  readonly name: string;
  readonly entries: Entry[];
  /** Spellings by key, and who asked for it. */
  readonly alternatives: Map<string, { readonly name: string; readonly entry: Entry }>;
  readonly headers: Map<string, { readonly name: string; readonly value: string; entry: Entry }>;
  auth?: { readonly groups: readonly string[]; readonly entry: Entry };
}

export function view(containers: readonly Container[], options: ViewOptions): View {
  const entries = readEntries(containers, options.proxyTag);
  const hosts = claimPrimaries(entries);
  claimAlternatives(entries, hosts);
  for (const host of hosts.values()) {
    for (const entry of host.entries) {
      addHeaders(host, entry);
      addAuth(host, entry, options.users);
    }
  }
  const accepted = entries.filter((entry) => hasTag(entry.container, options.proxyTag));
  return {
    data: {
      Containers: new Map(accepted.map(({ data }) => [data.Id, data])),
      Hostnames: new Map([...hosts.values()].map((host) => [host.name, hostnameData(host)])),
      Groups: groups([...hosts.values()], options.users),
      Users: options.users.map(({ name, password, groups }) => {
        return { Name: name, Password: password, Groups: groups };
      }),
    },
    verdicts: entries.map(verdict),
  };
}

/** By name, then id. */
function readEntries(containers: readonly Container[], proxyTag: string): Entry[] {
  const sorted = [...containers].sort((a, b) => compare(a.name, b.name) || compare(a.id, b.id));
  return sorted.map((container, i) => {
    const labels = readLabels(container);
    const isTwin = sorted[i - 1]?.name === container.name;
    return {
      ...{ container, labels, data: containerData(container, labels) },
      problems: [...labels.problems],
      excluded: exclude(container, labels, proxyTag, isTwin),
    };
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function hasTag({ labels }: Container, proxyTag: string): boolean {
  return (labels.get(PROXYTAG) ?? "") === proxyTag;
}

/** Why no host can have this container, empty if one can. `isTwin`: of another one's name. */
function exclude(
  container: Container,
  { names, authInvalid }: Labels,
  proxyTag: string,
  isTwin: boolean,
): string {
  const label = container.labels.get(VHOST);
  if (label === undefined) return `it has no label ${VHOST}`;
  if (!hasTag(container, proxyTag)) return tagReason(container.labels.get(PROXYTAG), proxyTag);
  if (names.length === 0) return `its label ${VHOST} has no name that can be served`;
  if (authInvalid) return `its label ${AUTH} can't be used, and without a login it would be open`;
  if (!isDomainName(container.name)) return "its name can't be looked up in the DNS: rename it";
  if (isTwin) return "another container has the same name";
  return "";
}

function tagReason(tag: string | undefined, wanted: string): string {
  const has = tag === undefined ? "it has no label" : "its label";
  const is = tag === undefined ? "" : ` is ${quote(tag, MAX_QUOTED)}`;
  return `${has} ${PROXYTAG}${is}, wanted is ${wanted === "" ? "none" : quote(wanted)}`;
}

/** Hosts by the key of their primary name; spelled as the first container does. */
function claimPrimaries(entries: readonly Entry[]): Map<string, Host> {
  const hosts = new Map<string, Host>();
  for (const entry of entries) {
    const [name] = entry.labels.names;
    if (entry.excluded !== "" || name === undefined) continue;
    const key = name.toLowerCase();
    const fresh = { name, entries: [], alternatives: new Map(), headers: new Map() };
    const host: Host = hosts.get(key) ?? fresh;
    hosts.set(key, host);
    host.entries.push(entry);
    entry.host = host;
  }
  return hosts;
}

/** A name that two hosts have would be served by one of them, and nobody could say which. */
function claimAlternatives(entries: readonly Entry[], hosts: ReadonlyMap<string, Host>): void {
  const owners = new Map(hosts);
  for (const entry of entries) {
    const { host, labels: { names } } = entry;
    if (host === undefined) continue;
    for (const name of names.slice(1)) {
      const key = name.toLowerCase();
      const owner = owners.get(key);
      if (owner !== undefined && owner !== host) {
        const first = quote((owner.alternatives.get(key)?.entry ?? owner.entries[0]!).data.Name);
        entry.problems.push(`the name ${name} is container ${first}'s already`);
      } else if (owner === undefined && host.alternatives.size >= MAX_NAMES - 1) {
        entry.problems.push(`the name ${name} is one too many: a host has at most ${MAX_NAMES}`);
      } else if (owner === undefined) {
        owners.set(key, host);
        host.alternatives.set(key, { name, entry });
      }
    }
  }
}

function addHeaders({ headers }: Host, entry: Entry): void {
  for (const [name, value] of entry.labels.headers) {
    const key = name.toLowerCase();
    const first = headers.get(key);
    if (first === undefined) headers.set(key, { name, value, entry });
    else if (first.value !== value) {
      const whose = `container ${quote(first.entry.data.Name)}, which shares its host`;
      entry.problems.push(`header ${name} is set otherwise by ${whose}`);
    }
  }
}

/** One container that asks for a login is enough for its host to ask for one. */
function addAuth(host: Host, entry: Entry, users: readonly User[]): void {
  const { auth } = entry.labels;
  if (auth === undefined) return;
  if (host.auth !== undefined && auth.join(" ") !== host.auth.groups.join(" ")) {
    const whose = `container ${quote(host.auth.entry.data.Name)}, which shares its host`;
    entry.problems.push(`label ${AUTH} is other than that of ${whose}`);
  }
  host.auth ??= { groups: auth, entry };
  const isIn = (user: User) => auth.length === 0 || auth.some((one) => user.groups.includes(one));
  if (users.some(isIn)) return;
  const who = auth.length === 0 ? "no users" : `no user in ${auth.join(", ")}`;
  entry.problems.push(`nobody can log in: DOTEGE_USERS has ${who}`);
}

function containerData(container: Container, { names, port, headers }: Labels): ContainerData {
  const { labels } = container;
  return {
    Id: container.id,
    Name: container.name,
    Labels: labels,
    Ports: container.ports,
    Image: container.image,
    Networks: container.networks.map(({ name, addresses, aliases }) => {
      return { Name: name, Addresses: addresses, Aliases: aliases };
    }),
    Env: container.env,
    State: container.state,
    Health: container.health,
    Created: container.created,
    Project: labels.get(PROJECT) ?? "",
    Service: labels.get(SERVICE) ?? "",
    Port: () => port,
    ShouldProxy: () => labels.has(VHOST) && port > -1,
    Headers: () => headers,
    CertNames: (wildcards) => foldWildcards(names, wildcards),
  };
}

function hostnameData({ name, alternatives, entries, headers, auth }: Host): HostnameData {
  const alternates = [...alternatives.values()].map((each) => [each.name, each.name] as const);
  return {
    Name: name,
    Alternatives: new Map(alternates),
    Containers: entries.map(({ data }) => data),
    Headers: new Map([...headers.values()].map((header) => [header.name, header.value])),
    RequiresAuth: auth !== undefined,
    AuthGroup: auth?.groups.join(" ") ?? "",
  };
}

/** Those of hosts too: HAProxy refuses a file that names a group which its user list hasn't. */
function groups(hosts: readonly Host[], users: readonly User[]): string[] {
  const all = [
    ...hosts.flatMap(({ auth }) => auth?.groups ?? []),
    ...users.flatMap((u) => u.groups),
  ];
  return [...new Set(all)].sort();
}

function verdict({ container, labels, problems, excluded, host }: Entry): Verdict {
  const { id, name } = container;
  const { port, portReason } = labels;
  const names = host === undefined ? [] : [...host.alternatives.values()].map((each) => each.name);
  return {
    ...{ id, name, port },
    hosts: host === undefined ? [] : [host.name, ...names],
    portFrom: port > -1 ? portReason : "",
    reason: excluded !== "" || port > -1 ? excluded : portReason,
    problems: problems.length > MAX_PROBLEMS
      ? [...problems.slice(0, MAX_PROBLEMS), `and ${problems.length - MAX_PROBLEMS} more`]
      : problems,
  };
}
