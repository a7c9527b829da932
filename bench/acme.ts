/**
 * What certificates cost, from Pebble: time and requests for the first one, for another one after a
 * restart, and for one more in a running Centauri; then 200 names at once: time, CPU time, memory.
 *
 * Each runtime runs this file by itself, with a Pebble of its own that neither sleeps nor refuses
 * nonces. Times are of Centauri's log, from listening, or a reload, until there is a certificate.
 *
 * Needs Linux, pebble and pebble-challtestsrv.
 */
import { join } from "node:path";
import process from "node:process";
import type { TestContext } from "node:test";
import { parseArgs } from "node:util";
import { freePorts, type Pebble, startChalltestsrv, startPebble } from "../test/acmepeers.ts";
import {
  type Centauri,
  run,
  runtimeCommand,
  startCentauri,
  temporaryFolder,
  thisRuntime,
} from "../test/support.ts";
import { cpuSeconds, peakMiB } from "./proc.ts";
import { identify } from "./proxies.ts";

const HEAD = ["runtime", "first", "after a restart", "one more", "many", "CPU s", "peak MiB"];
const TIMEOUT_MS = 600_000;
const USAGE = `Usage: acme.ts [options]
  --runtime PATH   a Node or Deno that runs Centauri; may be repeated (this one)
  --runs N         for medians of what is done once (5)
  --names N        to be obtained at once (200)
  --limit N        requests a second, --acme-overall-request-limit (1000)
`;

interface Cost {
  readonly ms: number;
  readonly requests: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", multiple: true },
      runs: { type: "string", default: "5" },
      names: { type: "string", default: "200" },
      limit: { type: "string", default: "1000" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const { runs, names, limit } = values;
  if (values.runtime === undefined) return await measure(Number(runs), Number(names), limit);
  for (const row of [HEAD, HEAD.map(() => "---")]) console.log(`| ${row.join(" | ")} |`);
  for (const path of values.runtime) {
    const [program, ...args] = runtimeCommand("bench/acme.ts", identify(path));
    const options = ["--runs", runs, "--names", names, "--limit", limit];
    const ended = await run(program, [...args, ...options], { timeout: TIMEOUT_MS });
    if (ended.code !== 0) throw new Error(`${path}: ${ended.stderr}`);
    process.stdout.write(ended.stdout);
  }
}

/** With the runtime that runs this file: writes a row of the table. */
async function measure(runs: number, names: number, limit: string): Promise<void> {
  const clean: (() => unknown)[] = [];
  const skip = (why?: string) => {
    throw new Error(why);
  };
  const t = { after: (end: () => unknown) => clean.unshift(end), skip } as unknown as TestContext;
  t.diagnostic = skip;
  try {
    const site = await startSite(t, limit);
    const rows: Cost[][] = [];
    for (let i = 0; i < runs; i++) rows.push(await measureOne(t, site, i));
    const cells = [0, 1, 2].map((kind) => median(rows.map((row) => row[kind] as Cost)));
    const { kind, version } = thisRuntime;
    const many = await measureMany(t, site, names);
    console.log(`| ${[`${kind} ${version}`, ...cells, ...many].join(" | ")} |`);
  } finally {
    for (const end of clean) await end();
  }
}

interface Site {
  readonly pebble: Pebble;
  readonly env: Readonly<Record<string, string>>;
}

async function startSite(t: TestContext, limit: string): Promise<Site> {
  const dns = await startChalltestsrv(t);
  const [httpPort = 0, tlsPort = 0] = await freePorts(2);
  const dnsServer = dns?.dnsServer ?? "";
  const pebble = await startPebble(t, { httpPort, tlsPort, dnsServer });
  if (pebble === undefined) throw new Error("no pebble");
  const env = {
    ...{ HTTP_PORT: `${httpPort}`, HTTPS_PORT: `${tlsPort}`, ACME_RESOLVERS: dnsServer },
    ...{ ACME_EMAIL: "admin@example.com", ACME_DIRECTORY: pebble.directory },
    ...{ LEGO_CA_CERTIFICATES: pebble.apiRootFile, ACME_OVERALL_REQUEST_LIMIT: limit },
  };
  return { pebble, env };
}

/** The first certificate, another one after a restart, and one more. */
async function measureOne(t: TestContext, { pebble, env }: Site, i: number): Promise<Cost[]> {
  const folder = await temporaryFolder(t);
  const kept = {
    CERTIFICATE_STORE: join(folder, "certs.json"),
    USER_DATA: join(folder, "user.pem"),
  };
  const start = (name: string): Promise<Centauri> =>
    startCentauri(t, { routes: routeFor(name), env: { ...env, ...kept } });
  const cost = async (name: string, isBegin: string, begin: () => Promise<Centauri>) => {
    const before = requestsTo(pebble);
    const centauri = await begin();
    const end = await obtained(centauri, name);
    const from = centauri.logs.findLast((line) => line.includes(isBegin)) ?? "{}";
    return { centauri, cost: { ms: end - timeOf(from), requests: requestsTo(pebble) - before } };
  };
  const names = [0, 1, 2].map((which) => `n${which}.run${i}.example.com`);
  const [one = "", two = "", three = ""] = names;
  const first = await cost(one, '"listening"', () => start(one));
  await first.centauri.stop();
  const second = await cost(two, '"listening"', () => start(two));
  const third = await cost(three, '"routes loaded"', async () => {
    await second.centauri.reload(names.map(routeFor).join(""));
    return second.centauri;
  });
  await second.centauri.stop();
  return [first.cost, second.cost, third.cost];
}

async function measureMany(
  t: TestContext,
  { pebble, env }: Site,
  count: number,
): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `n${i}.many.example.com`);
  const before = requestsTo(pebble);
  const centauri = await startCentauri(t, { routes: names.map(routeFor).join(""), env });
  const started = cpuSeconds(centauri.pid);
  const from = timeOf(centauri.logs.find((line) => line.includes('"listening"')) ?? "{}");
  const ends: number[] = [];
  for (const name of names) ends.push(await obtained(centauri, name));
  const seconds = ((Math.max(...ends) - from) / 1000).toFixed(1);
  const requests = requestsTo(pebble) - before;
  const cpu = (cpuSeconds(centauri.pid) - started).toFixed(1);
  const peak = peakMiB(centauri.pid).toFixed(0);
  await centauri.stop();
  return [`${count}: ${seconds} s, ${requests} requests`, cpu, peak];
}

const routeFor = (name: string): string => `route ${name}\n  upstream 127.0.0.1:1\n`;

/** HTTP requests that Pebble's API got so far. */
const requestsTo = ({ output }: Pebble): number =>
  output.filter((line) => line.endsWith("-> calling handler()")).length;

const timeOf = (line: string): number => Date.parse(JSON.parse(line).time);

/** When the log says that a name has its certificate. */
async function obtained({ waitForLog }: Centauri, name: string): Promise<number> {
  const record = await waitForLog(
    ({ msg, names }) => /obtained$/.test(`${msg}`) && Array.isArray(names) && names.includes(name),
    TIMEOUT_MS,
  );
  if (record.msg !== "certificate obtained") throw new Error(JSON.stringify(record));
  return Date.parse(`${record.time}`);
}

/** Of time and requests, each by itself. */
function median(costs: readonly Cost[]): string {
  const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];
  return `${middle(costs.map(({ ms }) => ms))} ms, ${
    middle(costs.map(({ requests }) => requests))
  } requests`;
}

main().catch((error) => {
  console.error(`${error}`);
  process.exitCode = 1;
});
