/**
 * Tells in the log what is wrong with containers: each fault once, for as long as it lasts. Needs
 * hostnames.ts, labels.ts, log.ts.
 */
import type { HostnameData, Verdict, View } from "./hostnames.ts";
import { PREFIX, VHOST } from "./labels.ts";
import type { Fields, Logger } from "./log.ts";

/**
 * A function for each view there is, in their order. `topics` are `containers`, `headers` and
 * `hostnames`: what else is logged of every view, for whoever looks for a fault.
 */
export function complaints(log: Logger, topics: readonly string[]): (view: View) => void {
  let told = new Set<string>();
  return ({ data, verdicts }) => {
    const now = new Set<string>();
    const tell = (id: string, message: string, fields: Fields, isNews: boolean): void => {
      const key = JSON.stringify([id, message, fields]);
      if (!told.has(key)) log[isNews ? "warn" : "debug"](message, fields);
      now.add(key);
    };
    for (const { id, name: container, reason, problems } of verdicts) {
      // Those without a host's label, or with another proxy's tag, are none of our business.
      const isOurs = data.Containers.get(id)?.Labels.has(VHOST) === true;
      if (reason !== "") tell(id, "container has no route", { container, reason }, isOurs);
      for (const problem of problems) {
        const isNews = isOurs || problem.includes(PREFIX);
        tell(id, "part of a container left out", { container, problem }, isNews);
      }
    }
    told = now; // what has been mended and breaks again is told again
    if (topics.includes("containers")) {
      verdicts.forEach((each) => log.info("container", show(each)));
    }
    const hosts = [...data.Hostnames.values()];
    if (topics.includes("hostnames")) hosts.forEach((host) => log.info("hostname", showHost(host)));
    if (topics.includes("headers")) hosts.forEach((host) => logHeaders(log, host));
  };
}

function show({ name, hosts, port, portFrom, reason }: Verdict): Fields {
  return reason === ""
    ? { container: name, hosts, port, from: portFrom }
    : { container: name, hosts, reason };
}

function showHost({ Name, Alternatives, Containers }: HostnameData): Fields {
  const containers = Containers.map((each) => each.Name);
  return { name: Name, alternatives: [...Alternatives.keys()], containers };
}

function logHeaders(log: Logger, { Name, Headers }: HostnameData): void {
  for (const [header, value] of Headers) log.info("header", { hostname: Name, header, value });
}
