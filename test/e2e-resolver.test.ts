/** The resolver against BIND's named and pebble-challtestsrv. */
import assert from "node:assert/strict";
import { getServers, setServers } from "node:dns";
import { test } from "node:test";
import { Resolver, ResolverError } from "../lib/resolver.ts";
import { startChalltestsrv, startNamed } from "./acmepeers.ts";

const LONG = "x".repeat(255);
/** Lines of a zone's file; a space in front would have a meaning there. */
const lines = (text: string): string => text.replace(/^ +/gm, "");
const zones = {
  "a.test": lines(`
    @ CAA 0 issue "ca.test"
    @ CAA 128 iodef "mailto:a@a.test"
    www A 192.0.2.1
    www AAAA 2001:db8::1
    _acme-challenge CNAME one.b.test.
    _acme-challenge.wild CNAME nowhere.b.test.
    alias CNAME www.b.test.
    loop1 CNAME loop2
    loop2 CNAME loop1
    two TXT "first"
    two TXT "sec" "ond"
    long TXT ${Array.from({ length: 20 }, () => `"${LONG}"`).join(" ")}
    sub NS ns
    deep.er.www TXT "deep"
  `),
  "sub.a.test": `www CNAME www.a.test.`,
  "b.test": lines(`
    @ NS ns2
    ns2 A 127.0.0.1
    ns2 AAAA 2001:db8::2
    www A 192.0.2.2
    www CAA 0 issue ";"
  `),
};

test("named is understood", async (t) => {
  const named = await startNamed(t, { zones });
  if (!named) return;
  const resolver = new Resolver({ servers: [named.server] });
  assert.deepEqual(await resolver.addresses("WWW.a.test."), ["192.0.2.1", "2001:db8::1"]);
  assert.deepEqual(await resolver.addresses("alias.a.test"), ["192.0.2.2"]);
  assert.deepEqual(await resolver.addresses("none.a.test"), []);
  assert.deepEqual((await resolver.txt("two.a.test")).sort(), ["first", "second"]);
  assert.deepEqual(await resolver.txt("long.a.test"), [LONG.repeat(20)], "over TCP");
  // named gives up after 16 CNAMEs, and answers with what it has.
  await assert.rejects(resolver.txt("loop1.a.test"), ResolverError);
});

test("the delegation of a challenge is followed, and the zone found", async (t) => {
  const named = await startNamed(t, { zones });
  if (!named) return;
  const resolver = new Resolver({ servers: [named.server] });
  assert.equal(await resolver.canonicalName("_acme-challenge.a.test"), "one.b.test");
  assert.equal(await resolver.canonicalName("_acme-challenge.wild.a.test"), "nowhere.b.test");
  assert.equal(
    await resolver.canonicalName("_acme-challenge.www.a.test"),
    "_acme-challenge.www.a.test",
  );
  await assert.rejects(resolver.canonicalName("loop1.a.test"), ResolverError);
  const zoneOf: Record<string, string> = {
    "a.test": "a.test",
    "_acme-challenge.not.there.a.test": "a.test",
    "_acme-challenge.a.test": "a.test", // a CNAME into another zone
    "www.sub.a.test": "sub.a.test", // a CNAME into the zone above
    "er.www.a.test": "a.test", // nothing but something below it
    "one.b.test": "b.test",
  };
  for (const [name, zone] of Object.entries(zoneOf)) {
    assert.equal(await resolver.zoneOf(name), zone, name);
  }
  await assert.rejects(resolver.zoneOf("a.nowhere"), /no zone found for "a.nowhere"/);
});

test("CAA is looked for as RFC 8659 section 3 says", async (t) => {
  const named = await startNamed(t, { zones });
  if (!named) return;
  const resolver = new Resolver({ servers: [named.server] });
  const { name, records } = await resolver.caa("not.there.a.test");
  assert.equal(name, "a.test");
  assert.deepEqual(records.toSorted((one, other) => one.flags - other.flags), [
    { flags: 0, tag: "issue", value: "ca.test" },
    { flags: 128, tag: "iodef", value: "mailto:a@a.test" },
  ]);
  assert.deepEqual(await resolver.caa("alias.a.test"), {
    name: "alias.a.test", // its target's
    records: [{ flags: 0, tag: "issue", value: ";" }],
  });
  assert.deepEqual(await resolver.caa("b.test"), { name: "", records: [] });
});

test("txtEverywhere() sees at each server of the zone what nsupdate has put there", async (t) => {
  const named = await startNamed(t, { zones });
  if (!named) return;
  const before = getServers();
  t.after(() => setServers(before));
  setServers([named.server]);
  const system = new Resolver({ authoritativePort: named.port, timeout: 1_000 });
  const given = new Resolver({ servers: [named.server] });
  const everywhere = (values: string[]) => [
    { server: "ns.b.test (127.0.0.1)", values },
    { server: "ns2.b.test (127.0.0.1)", values },
  ];
  const sorted = async (resolver: Resolver) => {
    const answers = await resolver.txtEverywhere("_acme-challenge.a.test");
    return answers.map((answer) => ({ ...answer, values: [...answer.values ?? []].sort() }))
      .sort((one, other) => one.server < other.server ? -1 : 1);
  };
  assert.deepEqual(await sorted(system), everywhere([]));
  await named.update("b.test", 'add one.b.test 1 TXT "v1"', 'add one.b.test 1 TXT "v2"');
  assert.deepEqual(await sorted(system), everywhere(["v1", "v2"]));
  assert.deepEqual(await sorted(given), [{ server: named.server, values: ["v1", "v2"] }]);
  await named.stop();
  await assert.rejects(system.txtEverywhere("_acme-challenge.a.test"), ResolverError);
  const [answer] = await new Resolver({ servers: [named.server], timeout: 500 })
    .txtEverywhere("_acme-challenge.a.test");
  assert.equal(answer?.values, undefined);
  assert.match(answer?.error ?? "", /^can't look up TXT of "_acme-challenge.a.test": 127/);
});

test("pebble-challtestsrv is understood, which follows no CNAME and knows no SOA", async (t) => {
  const peer = await startChalltestsrv(t);
  if (!peer) return;
  await peer.manage("set-default-ipv4", { ip: "" });
  await peer.addA("www.test", "192.0.2.1", "192.0.2.2");
  await peer.addAaaa("www.test", "2001:db8::1");
  await peer.setTxt("one.test", "v1");
  await peer.setTxt("one.test", "v2");
  await peer.setCname("_acme-challenge.test", "one.test");
  await peer.setCname("alias.test", "www.test");
  await peer.setServfail("broken.test");
  await peer.addCaa("www.test", { tag: "issue", value: "ca.test" });
  const resolver = new Resolver({ servers: [peer.dnsServer] });
  const addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
  assert.deepEqual(await resolver.addresses("www.test"), addresses);
  assert.deepEqual(await resolver.addresses("alias.test"), addresses);
  assert.deepEqual(await resolver.addresses("none.test"), []);
  assert.equal(await resolver.canonicalName("_acme-challenge.test"), "one.test");
  assert.deepEqual(await resolver.txtEverywhere("_acme-challenge.test"), [
    { server: peer.dnsServer, values: ["v1", "v2"] },
  ]);
  const { name, records } = await resolver.caa("x.www.test");
  assert.deepEqual([name, records], ["www.test", [{ flags: 0, tag: "issue", value: "ca.test" }]]);
  await assert.rejects(resolver.addresses("broken.test"), /answered SERVFAIL/);
  await assert.rejects(resolver.caa("x.broken.test"), /answered SERVFAIL/);
  await assert.rejects(resolver.zoneOf("www.test"), /answered NOTIMP/);
});
