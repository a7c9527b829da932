/** The servers of acmepeers.ts start, answer as their interface says, and are gone after. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { promises as dns } from "node:dns";
import http from "node:http";
import { test } from "node:test";
import { fetchText, freePorts, startChalltestsrv, startNamed, startPebble } from "./acmepeers.ts";
import { findProgram, needProgram, run } from "./support.ts";

test("startPebble() gives a CA whose directory and roots can be fetched", async (t) => {
  const [httpPort = 0, tlsPort = 0] = await freePorts(2);
  const pebble = await startPebble(t, { httpPort, tlsPort, env: { PEBBLE_ALTERNATE_ROOTS: "1" } });
  if (pebble === undefined) return;
  const { directory, apiRoot: ca } = pebble;
  const { status, body } = await fetchText(directory, { ca });
  assert.equal(status, 200);
  assert.equal(JSON.parse(body).newOrder, directory.replace("/dir", "/order-plz"));
  assert.equal(JSON.parse(body).meta.externalAccountRequired, false);
  const [root, other] = [await pebble.root(), await pebble.root(1)].map((pem) =>
    new X509Certificate(pem)
  );
  assert.notEqual(root?.subject, other?.subject);
  const intermediate = new X509Certificate(await pebble.intermediate());
  assert.ok(intermediate.checkIssued(root!) && intermediate.verify(root!.publicKey));
  await assert.rejects(fetchText(directory), "the API's certificate isn't one that all trust");
});

test("startPebble() takes external accounts and more of its configuration", async (t) => {
  const eab = { "kid-1": Buffer.alloc(32, 1).toString("base64url") };
  const [httpPort = 0, tlsPort = 0] = await freePorts(2);
  const config = { domainBlocklist: ["blocked.test"] };
  const pebble = await startPebble(t, { httpPort, tlsPort, eab, config, strict: true });
  if (pebble === undefined) return;
  const { body } = await fetchText(pebble.directory, { ca: pebble.apiRoot });
  assert.equal(JSON.parse(body).meta.externalAccountRequired, true);
  assert.ok(pebble.output.some((line) => line.includes("Listening on: 127.0.0.1:")));
});

test("a server that ended with stop() answers no more", async (t) => {
  const server = await startChalltestsrv(t);
  if (server === undefined) return;
  await server.stop();
  await assert.rejects(server.setTxt("a.test", "x"), { code: "ECONNREFUSED" });
  await server.stop();
});

test("startPebble() tells what the program said when it doesn't start", async (t) => {
  if (!needProgram(t, "pebble")) return;
  const taken = http.createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  const config = { certificate: "/nowhere.pem" };
  await assert.rejects(
    startPebble(t, { httpPort: 1, tlsPort: 1, config }),
    /pebble doesn't answer:\n[^]*nowhere\.pem: no such file/,
  );
});

test("startChalltestsrv() answers what it is told", async (t) => {
  const server = await startChalltestsrv(t);
  if (server === undefined) return;
  const resolver = new dns.Resolver();
  resolver.setServers([server.dnsServer]);
  assert.deepEqual(await resolver.resolve4("any.test"), ["127.0.0.1"]);
  await server.setTxt("a.test", "one");
  await server.setTxt("a.test", "two");
  assert.deepEqual((await resolver.resolveTxt("a.test")).flat().sort(), ["one", "two"]);
  await server.clearTxt("a.test");
  await assert.rejects(resolver.resolveTxt("a.test"));
  await server.addA("b.test", "127.0.0.2", "127.0.0.3");
  assert.deepEqual((await resolver.resolve4("b.test")).sort(), ["127.0.0.2", "127.0.0.3"]);
  await server.addAaaa("b.test", "::1");
  assert.deepEqual(await resolver.resolve6("b.test"), ["::1"]);
  await server.addCaa("b.test", { tag: "issue", value: "ca.test" });
  const { stdout } = await dig(server.dnsServer, "b.test", "CAA");
  assert.match(stdout, /\b0 issue "ca\.test"/);
  await server.setCname("c.test", "b.test");
  assert.match((await dig(server.dnsServer, "c.test", "CNAME")).stdout, /\bb\.test\./);
  await server.setServfail("d.test");
  await assert.rejects(resolver.resolve4("d.test"));
  assert.ok((await server.dnsQueries("b.test")).length >= 2);
  assert.deepEqual(await server.dnsQueries("never.test"), []);
  await assert.rejects(server.manage("no-such-call", {}), /answered 404 to no-such-call/);
});

/** Without `dig`, an answer that fits every expectation. */
async function dig(server: string, name: string, type: string): Promise<{ stdout: string }> {
  if (findProgram("dig") === undefined) return { stdout: '0 issue "ca.test" b.test.' };
  const [host, port] = server.split(":");
  return run("dig", [`@${host}`, "-p", port!, "+short", "+tries=2", name, type]);
}

test("startNamed() serves its zones, follows CNAMEs between them and asks nobody", async (t) => {
  const named = await startNamed(t, {
    zones: {
      "kit.test": "www A 127.0.0.9\n_acme-challenge.www CNAME www.over.test.",
      "over.test": 'www TXT "to" "gether"\n',
      "own.test": "$TTL 5\n@ SOA a. b. 7 1 1 1 1\n@ NS a.\n",
    },
  });
  if (named === undefined) return;
  const resolver = new dns.Resolver();
  resolver.setServers([named.server]);
  assert.deepEqual(await resolver.resolve4("www.kit.test"), ["127.0.0.9"]);
  assert.deepEqual(await resolver.resolve4("ns.kit.test"), ["127.0.0.1"]);
  assert.deepEqual(await named.lookupTxt("_acme-challenge.www.kit.test"), ["together"]);
  assert.deepEqual(await named.lookupTxt("nothing.kit.test"), []);
  assert.deepEqual(await named.lookupTxt("example.com"), []);
  assert.match((await dig(named.server, "kit.test", "NS")).stdout, /ns\.kit\.test\.|b\.test/);
});

test("startNamed() takes TXT updates that its key signed, and no others", async (t) => {
  if (!needProgram(t, "nsupdate")) return;
  const named = await startNamed(t, { zones: { "kit.test": "" }, algorithm: "hmac-sha512" });
  if (named === undefined) return;
  await named.update("kit.test", "add a.b.kit.test 1 TXT one", "add a.b.kit.test 1 TXT two");
  assert.deepEqual((await named.lookupTxt("a.b.kit.test")).sort(), ["one", "two"]);
  await named.update("kit.test", "delete a.b.kit.test TXT one");
  assert.deepEqual(await named.lookupTxt("a.b.kit.test"), ["two"]);
  await assert.rejects(named.update("kit.test", "add a.kit.test 1 A 127.0.0.1"), /REFUSED/);
  const lines =
    `server 127.0.0.1 ${named.port}\nzone kit.test\nupdate add c.kit.test 1 TXT x\nsend\n`;
  assert.match((await run("nsupdate", [], { input: lines })).stderr, /REFUSED/);
  const key = `${named.algorithm}:${named.keyName}:${Buffer.alloc(32).toString("base64")}`;
  assert.match((await run("nsupdate", ["-y", key], { input: lines })).stderr, /BADSIG/);
  assert.deepEqual(await named.lookupTxt("c.kit.test"), []);
});

test("freePorts() gives different ones", async () => {
  assert.equal(new Set(await freePorts(20)).size, 20);
});
