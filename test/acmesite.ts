/**
 * What the tests of Centauri beside the CA of ca.ts share: a site with one CA or more, what its log
 * says of certificates, and what it serves.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Ca, type CaSettings, startCa } from "./ca.ts";
import { type Centauri, type LogRecord, run, type Scope } from "./support.ts";
import { startCentauri, temporaryFolder } from "./support.ts";

const ISSUE_MS = 120_000; // on a machine that does much else

export type Variables = Readonly<Record<string, string>>;

/** What a Centauri of the test is told of its CAs; its files outlive it. */
export async function variables(t: Scope, ...cas: readonly Ca[]): Promise<Record<string, string>> {
  const folder = await temporaryFolder(t);
  const roots = join(folder, "roots.pem");
  await writeFile(roots, cas.map(({ apiRoot }) => apiRoot).join(""));
  return {
    ACME_EMAIL: "admin@example.com",
    ACME_DIRECTORY: cas.map(({ directory }) => directory).join(" "),
    LEGO_CA_CERTIFICATES: roots,
    ACME_CHALLENGES: "http-01",
    CERTIFICATE_STORE: join(folder, "certs.json"),
    USER_DATA: join(folder, "user.pem"),
  };
}

/** For the names, blanks between them; `more`: lines of it. */
export const routeFor = (names: string, more = ""): string =>
  `route ${names}\n  upstream 127.0.0.1:1\n${more}`;

export interface Site {
  readonly ca: Ca;
  readonly centauri: Centauri;
  readonly env: Variables;
  /** Another with the same routes and files. */
  readonly start: () => Promise<Centauri>;
}

/** A Centauri with one route and a CA with these settings. */
export async function startWith(
  t: Scope,
  settings: Partial<CaSettings>,
  { env = {}, routes = routeFor("a.example.com"), prepare }: {
    env?: Variables;
    routes?: string;
    prepare?: (ca: Ca) => void;
  } = {},
): Promise<Site> {
  const ca = await startCa(t, settings);
  prepare?.(ca);
  const all = { ...await variables(t, ca), ...env };
  const start = (): Promise<Centauri> => startCentauri(t, { routes, env: all });
  return { ca, env: all, start, centauri: await start() };
}

/** Where in the log to look from, and for a certificate of which name. */
export interface Where {
  readonly from?: number;
  readonly name?: string;
}

/** The next record that says whether a certificate was obtained. */
export function outcome(centauri: Centauri, { from = 0, name }: Where = {}): Promise<LogRecord> {
  const fits = ({ msg, names }: LogRecord): boolean =>
    /^certificate (not )?obtained$/.test(`${msg}`) &&
    (name === undefined || (Array.isArray(names) && names.includes(name)));
  return centauri.waitForLog(fits, ISSUE_MS, from);
}

export async function obtained(centauri: Centauri, where?: Where): Promise<void> {
  const record = await outcome(centauri, where);
  assert.equal(record.msg, "certificate obtained", JSON.stringify(record));
}

/** The second certificate that comes by itself, also when both are there by now. */
export async function renewed(centauri: Centauri): Promise<void> {
  await obtained(centauri);
  const first = centauri.logs.findIndex((line) => line.includes('"certificate obtained"'));
  await obtained(centauri, { from: first + 1 });
}

/** How long it took to end, by its own clock, in milliseconds: not how long it took to be heard. */
export function endingTime({ logs }: Centauri): number {
  const records = logs.map((line) => /"time":"([^"]+)".*"msg":"(stopping|stopped)"/.exec(line));
  const [begin, end] = records.flatMap((found) => found === null ? [] : Date.parse(found[1]!));
  assert.ok(begin !== undefined && end !== undefined, logs.join("\n"));
  return end - begin;
}

export async function failed(centauri: Centauri, where?: Where): Promise<LogRecord> {
  const record = await outcome(centauri, where);
  assert.equal(record.msg, "certificate not obtained", JSON.stringify(record));
  return record;
}

/** The serial number of the certificate that is served, in hex and lower case. */
export async function servedSerial({ httpsPort }: Centauri, name: string): Promise<string> {
  const connect = ["s_client", "-connect", `127.0.0.1:${httpsPort}`, "-servername", name];
  const { stdout } = await run("openssl", connect);
  const shown = await run("openssl", ["x509", "-noout", "-serial"], { input: stdout });
  return shown.stdout.trim().replace("serial=", "").toLowerCase();
}

/** Requests for an order; of those that name it, with a name. */
export const orderCount = (ca: Ca, name?: string): number =>
  ca.requests.filter(({ resource, payload }) =>
    resource === "newOrder" &&
    (name === undefined || JSON.stringify(payload?.identifiers).includes(`"${name}"`))
  ).length;
