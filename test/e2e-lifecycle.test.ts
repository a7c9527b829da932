/** Centauri and a strict CA of our own: what must not happen twice, and what must go on. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { freePorts } from "./acmepeers.ts";
import { endingTime, failed, obtained, orderCount, routeFor, servedSerial } from "./acmesite.ts";
import { type Site, startWith, type Variables, variables } from "./acmesite.ts";
import { type Ca, startCa } from "./ca.ts";
import { type Identifier, problem, refusal, says } from "./ca/problems.ts";
import { type Centauri, runCentauri, startCentauri, temporaryFolder } from "./support.ts";

const HOUR = 3_600_000;
const isDeno = "Deno" in globalThis;
const [A, B, C, D] = ["a", "b", "c", "d"].map((label) => `${label}.example.com`) as Four;
type Four = [string, string, string, string];

/** A route for each of the names. */
const routesFor = (...names: readonly string[]): string =>
  names.map((name) => routeFor(name)).join("");

async function readJson(path = ""): Promise<Record<string, Record<string, unknown>>> {
  return JSON.parse(await readFile(path, "utf8"));
}

const stateOf = ({ env }: Pick<Site, "env">) => readJson(`${env.CERTIFICATE_STORE}.acme`);

/** Puts routes in force, and waits until the last name, a new one, has its certificate. */
async function reloadUntilObtained(centauri: Centauri, ...names: readonly string[]): Promise<void> {
  const from = centauri.logs.length;
  await centauri.reload(routesFor(...names));
  await obtained(centauri, { from, name: names.at(-1)! });
}

/** A promise, and the function that resolves it. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => open = resolve);
  return { opened, open };
}

const invalid = (ca: Ca): string[] =>
  ca.authorizations.filter(({ status }) => status === "invalid").map((one) => one.identifier.value);

/** An `exec` DNS provider that writes down its calls. */
async function execProvider(folder: string): Promise<{ env: Variables; calls: string }> {
  const [script, calls] = [join(folder, "dns.sh"), join(folder, "calls")];
  await writeFile(script, `#!/bin/sh\necho "$@" >> ${calls}\n`, { mode: 0o755 });
  return { env: { ...EXEC, EXEC_PATH: script }, calls };
}
const EXEC: Variables = {
  ACME_CHALLENGES: "dns-01",
  DNS_PROVIDER: "exec",
  ACME_DISABLE_PROPAGATION_CHECK: "true",
  ACME_PROPAGATION_DELAY: "0s",
  LEGO_DISABLE_CNAME_SUPPORT: "true",
};

test("many names that fail by one type of challenge are proved by the other in a second order", {
  skip: isDeno,
}, async (t) => {
  const [closed = 0, http = 0, https = 0] = await freePorts(3);
  const names = ["a", "b", "c", "d", "e", "f"].map((label) => `${label}.example.com`);
  const site = await startWith(t, { validate: { httpPort: closed, tlsPort: https } }, {
    routes: routeFor(names.join(" ")),
    env: {
      ...{ HTTP_PORT: `${http}`, HTTPS_PORT: `${https}` },
      ACME_CHALLENGES: "http-01 tls-alpn-01",
    },
  });
  await obtained(site.centauri);
  assert.equal(orderCount(site.ca), 2);
  assert.deepEqual(invalid(site.ca).sort(), names, "each failed once");
  await site.centauri.stop();
  assert.equal((await stateOf(site))[names.join(" ")]?.provenBy, "tls-alpn-01");
});

test("a CA that always wants the certificate renewed is asked for two, and then no more", async (t) => {
  const isPast = ({ identifiers }: { identifiers: readonly Identifier[] }): boolean =>
    identifiers[0]?.value === A;
  const site = await startWith(t, {
    renewalInfo: ({ order }) => {
      const start = Date.now() + (isPast(order) ? -2 : 1_000) * HOUR;
      return { start: new Date(start), end: new Date(start + HOUR) };
    },
  });
  await obtained(site.centauri);
  const from = site.centauri.logs.findIndex((line) => line.includes("certificate obtained")) + 1;
  await obtained(site.centauri, { from, name: A });
  // What the second one would have had begun by then has ended when that of a new name has.
  await reloadUntilObtained(site.centauri, A, B);
  await reloadUntilObtained(site.centauri, A, C);
  await reloadUntilObtained(site.centauri, A, D);
  assert.equal(orderCount(site.ca, A), 2);
  const hasty = (await stateOf(site))[A]?.hasty;
  assert.equal(Object(hasty).count, 1);
  await site.centauri.stop();
  await reloadUntilObtained(await site.start(), A, "e.example.com");
  assert.equal(orderCount(site.ca, A), 2, "nor after a restart");
});

test("a stored certificate that can't be read is said and replaced, and the others served", async (t) => {
  const site = await startWith(t, {});
  await obtained(site.centauri);
  await site.centauri.stop();
  const path = site.env.CERTIFICATE_STORE!;
  const [good] = JSON.parse(await readFile(path, "utf8"));
  const bad = { ...good, subject: B, certificate: "no certificate", privateKey: "no key" };
  await writeFile(path, JSON.stringify([bad, good]));
  const centauri = await startCentauri(t, { routes: routesFor(A, B), env: site.env });
  const { subject } = await centauri.waitForLog(({ msg }) =>
    msg === "stored certificate not usable"
  );
  assert.equal(subject, B);
  assert.equal(await servedSerial(centauri, A), site.ca.certificates[0]?.serial);
  await obtained(centauri, { name: B });
  assert.equal(await servedSerial(centauri, B), site.ca.certificates[1]?.serial);
  assert.equal(orderCount(site.ca), 2);
});

test("routes with the same names in another order are all served", async (t) => {
  const routes = [[A, B, C], [B, C, A], [C, B, A], [B, A, C]].map((names, i) =>
    routeFor(i === 3 ? D : names[0]!, `  subject ${names.join(" ")}\n`)
  ).join("");
  const { ca, centauri } = await startWith(t, {}, { routes });
  for (const name of [A, B, C]) {
    await centauri.waitForLog(
      ({ msg, names }) => msg === "certificate obtained" && Object(names)[0] === name,
      40_000,
    );
  }
  const serials = ca.certificates.map(({ serial }) => serial);
  for (const name of [A, B, C, D]) assert.ok(serials.includes(await servedSerial(centauri, name)));
  assert.equal(orderCount(ca), 3, "one for each subject");
});

test("a DNS provider that lacks a variable is said, and used once it has it", async (t) => {
  const { env, calls } = await execProvider(await temporaryFolder(t));
  const site = await startWith(t, {}, { env: EXEC });
  const record = await failed(site.centauri);
  assert.equal(record.cause, "dns-provider");
  assert.match(String(record.problem), /EXEC_PATH/);
  assert.equal(orderCount(site.ca), 0);
  await site.centauri.stop();
  const all = { ...site.env, ...env };
  await obtained(await startCentauri(t, { routes: routesFor(A), env: all }));
  assert.match(await readFile(calls, "utf8"), /^present _acme-challenge\.a\.example\.com\. \S+\n/);
});

test("a name that reloads take out and put back while its order runs is ordered once", async (t) => {
  const [asked, released] = [gate(), gate()];
  const { ca, centauri } = await startWith(t, {}, {
    prepare: (ca) =>
      ca.on("authz", async () => {
        asked.open();
        await released.opened;
        return undefined;
      }),
  });
  await asked.opened;
  await centauri.reload(routesFor(B));
  await centauri.reload(routesFor(A, B));
  released.open();
  await obtained(centauri, { name: A });
  await obtained(centauri, { name: B });
  await reloadUntilObtained(centauri, A, B, C);
  assert.deepEqual([orderCount(ca, A), orderCount(ca, B)], [1, 1]);
  assert.equal(ca.requests.filter(({ resource }) => resource === "finalize").length, 3);
  assert.ok(!centauri.logs.some((line) => line.includes("certificate not obtained")));
});

test("sets that share a name are proved by tls-alpn-01 at a time", { skip: isDeno }, async (t) => {
  const [http = 0, https = 0] = await freePorts(2);
  const routes = [B, C, D].map((name) => routeFor(name, `  subject ${A} ${name}\n`)).join("");
  const { ca, centauri } = await startWith(t, { validate: { httpPort: http, tlsPort: https } }, {
    routes,
    env: {
      ...{ HTTP_PORT: `${http}`, HTTPS_PORT: `${https}` },
      ACME_CHALLENGES: "tls-alpn-01",
    },
  });
  for (const name of [B, C, D]) await obtained(centauri, { name });
  assert.deepEqual(invalid(ca), []);
  assert.equal(orderCount(ca), 3);
  const serials = ca.certificates.map(({ serial }) => serial);
  const served = await Promise.all([B, C, D].map((name) => servedSerial(centauri, name)));
  assert.deepEqual(served.sort(), serials.sort());
});

test("an account whose key another process has changed is used on", async (t) => {
  const { ca, centauri, env } = await startWith(t, {});
  await obtained(centauri);
  const { code, stdout, stderr } = await runCentauri(["--account", "rollover"], { env });
  assert.equal(code, 0, stdout + stderr);
  await reloadUntilObtained(centauri, A, B);
  assert.equal(ca.accounts.length, 1);
  assert.equal(ca.accounts[0]?.thumbprints.length, 2);
});

test("a CA that said when isn't asked before, though another that failed is", async (t) => {
  const [limited, other] = [await startCa(t), await startCa(t, { clockOffset: 72 * HOUR })];
  limited.on("newOrder", () => refusal(says("tooManyFailures"), 3 * 3_600));
  const env = await variables(t, limited, other);
  const centauri = await startCentauri(t, { routes: routesFor(A), env });
  assert.equal((await failed(centauri)).cause, "clock-wrong", "the second CA's");
  const from = centauri.logs.length;
  await centauri.reload(routesFor(A));
  assert.equal((await failed(centauri, { from })).cause, "clock-wrong");
  await centauri.stop();
  other.settings.clockOffset = 0;
  await obtained(await startCentauri(t, { routes: routesFor(A), env }));
  assert.deepEqual([orderCount(limited), orderCount(other)], [1, 1]);
});

test("a CA that has failed to register an account once is asked again", async (t) => {
  let fails = true;
  const { ca, centauri } = await startWith(t, {}, {
    prepare: (ca) =>
      ca.on("newAccount", () => fails ? refusal(problem("strange", "not today")) : undefined),
  });
  assert.match(String((await failed(centauri)).problem), /not today/);
  fails = false;
  await reloadUntilObtained(centauri, A, B);
  ca.accounts.splice(0); // forgotten, and then
  fails = true;
  const from = centauri.logs.length;
  await centauri.reload(routesFor(A, B, C));
  assert.match(String((await failed(centauri, { from, name: C })).problem), /not today/);
  fails = false;
  await reloadUntilObtained(centauri, A, B, C, D);
  assert.equal(ca.accounts.length, 1);
});

test("an order for a name that wasn't asked for is refused before anything is written", async (t) => {
  const { env, calls } = await execProvider(await temporaryFolder(t));
  const stranger = { type: "dns", value: "victim.example.org" };
  const { ca, centauri } = await startWith(t, {}, {
    routes: routeFor(`${A} ${B}`),
    env,
    prepare: (ca) =>
      ca.on("authz", async (_, proceed) => {
        const answer = await proceed();
        const body = Object(answer.body);
        return body.identifier.value === A
          ? answer
          : { ...answer, body: { ...body, identifier: stranger } };
      }),
  });
  const record = await failed(centauri);
  assert.match(String(record.problem), /order is for victim\.example\.org too/);
  assert.ok(!existsSync(calls), "not even for the other name");
  assert.ok(ca.requests.every(({ resource }) => resource !== "challenge"));
});

test("an end during an order is quick, and the next start takes the order up again", async (t) => {
  const told = gate();
  const { ca, centauri, start } = await startWith(t, {}, {
    prepare: (ca) =>
      // When the challenge has been told of, the CA says nothing more.
      ca.on("authz", () => {
        if (!ca.requests.some(({ resource }) => resource === "challenge")) return undefined;
        told.open();
        return { ending: "hang" };
      }),
  });
  await told.opened;
  assert.equal(await centauri.stop(), 0);
  assert.ok(endingTime(centauri) < 4_000, centauri.logs.join("\n"));
  ca.off();
  await obtained(await start());
  assert.equal(orderCount(ca), 1);
});

test("no order is placed for a wildcard without DNS", async (t) => {
  const { ca, centauri } = await startWith(t, {}, { env: { WILDCARD_DOMAINS: "example.com" } });
  const record = await failed(centauri);
  assert.equal(record.cause, "challenge-missing");
  assert.match(String(record.advice), /dns-01/);
  assert.equal(orderCount(ca), 0);
});
