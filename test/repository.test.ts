/** What holds for the repository as a whole: layers, sizes, no dependencies. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  countedNames,
  CRITICAL,
  HTTP2,
  lineCount,
  READING_ORDER,
  readSources,
  renderReadme,
} from "./readme.ts";
import { ENTRIES, type Import, importsOf, loadedAtStart, localName } from "./imports.ts";
import { root } from "./support.ts";

/** Hoisted, for the tables below. */
function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

/**
 * Every file of `lib/` and at the root, lowest layer first. A file may import from lower layers and
 * from files before it in its own: so there are no cycles.
 */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: words(`
    number nearest addr size time clock bufferpool turns file lock log jsonfile options debounce metrics health
  `),
  codecs: words(`
    http1 http1reader huffman hpack http2 http2head http2limits clienthello acmetls der x509 jose acmeobjects ocsp dnsmsg routes
    confignetwork proxyprotocol
    gostring govalue gofloat gofmt templatelex templateliteral templatenode templateparse
    templatebuiltins templatecall templateexec template templatefunctions
    jsonstream resp container dockerhost labels yaml users hostnames explain diff
  `),
  clients: words(`
    runtime http1output http1client upstream store account acmestate httpsclient acme resolver
    redis redisstore lease redislease
    watchfile command dockerdial docker dotegecache tailscale
  `),
  policy: words(`
    program acmesettings settings exchange observer observe servedmetrics accessline accesslog observing rewrite answer errorpage proxy http1server http2output
    http2stream http2server contexts certs
    causes challenges askedchallenges redischallenges sharing dns/provider dns/shared dns/tsig dns/acme-dns dns/cloudflare dns/desec
    dns/digitalocean dns/duckdns dns/exec dns/gandi dns/hetzner dns/httpreq dns/ionos dns/ovh
    dns/porkbun dns/rfc2136 dns/route53 dns/load dns/dns01 dns/persist dns/persist01
    authority preflight order issuer stapling renewal autocert commands routesource networksource
    proxyaccept whois frontend serving tailscalefrontend workers worker
    centaurisettings
    metricsserver monitor
    statuscauses status statuswords statustext statuspage statussocket statuscommand
    watch outputs notify configpush certfiles certsettings dotegecerts verdictlog dotegesettings
  `),
  entry: ENTRIES,
};

/** What a codec can't have: it takes bytes, times and randomness from its caller. */
const NOT_FOR_CODECS = /^node:(net|tls|https?|http2|dgram|dns|fs|timers|child_process|process)\b/;

/**
 * Lines that any Centauri runs; those of them that face the internet, without HTTP/2 and of that;
 * that a Dotege runs besides; that either loads when an option asks for it.
 */
const CENTAURI_LIMIT = 9_700;
const CRITICAL_LIMIT = 2_760;
const HTTP2_LIMIT = 2_500;
const DOTEGE_LIMIT = 7_000;
const ON_DEMAND_LIMIT = 11_500;

/** Only the functions of `node:net` that look at text. */
function isPure({ names, from }: Import): boolean {
  return from === "node:net" && /^\s*\{\s*(isIP(v4|v6)?[\s,]*)+\}\s*$/.test(names);
}

/** What is wrong with the layers of these files (name => source), one sentence each. */
function layerFaults(
  layers: Readonly<Record<string, readonly string[]>>,
  files: ReadonlyMap<string, string>,
): string[] {
  const order = Object.values(layers).flat();
  const faults = order.filter((name) => !files.has(name)).map((name) => `no file ${name}`);
  for (const [name, source] of files) {
    if (!order.includes(name)) faults.push(`${name} is in no layer`);
    for (const one of importsOf(source)) {
      const local = localName(name, one.from);
      if (local !== undefined && !(order.indexOf(local) < order.indexOf(name))) {
        faults.push(`${name} imports ${local}, which isn't below it`);
      } else if (local !== undefined && !order.includes(local)) {
        faults.push(`${name} imports ${local}, which is in no layer`);
      } else if (local === undefined && !one.from.startsWith("node:")) {
        faults.push(`${name} imports "${one.from}": neither node: nor a file beside it`);
      }
      if (layers.codecs?.includes(name) && NOT_FOR_CODECS.test(one.from) && !isPure(one)) {
        faults.push(`${name} is a codec and imports ${one.from}`);
      }
    }
  }
  return faults;
}

test("every import points to a layer below, and every file has a layer", () => {
  const sources = readSources();
  assert.ok(sources.size > 0);
  assert.deepEqual(layerFaults(LAYERS, sources), []);
});

test("loadedAtStart() leaves out types and what is loaded later", () => {
  const files = new Map([
    ["centauri", 'import { a } from "./lib/a.ts";\nconst { c } = await import("./lib/c.ts");'],
    ["a", 'import type { D } from "./d.ts";\nexport { b } from "./b.ts";'],
    ...["b", "c", "d"].map((name) => [name, ""] as const),
  ]);
  assert.deepEqual([...loadedAtStart("centauri", files)], ["centauri", "a", "b"]);
});

test("layerFaults() finds each kind of fault", () => {
  const layers = { base: ["a", "b"], codecs: ["c"], entry: ["e"] };
  const good = {
    a: "",
    b: 'import { a } from "./a.ts";',
    c: 'import { isIP } from "node:net";',
    e: "",
  };
  const faults = (change: Record<string, string>): string[] =>
    layerFaults(layers, new Map(Object.entries({ ...good, ...change })));
  assert.deepEqual(faults({}), []);
  for (
    const [change, fault] of [
      [{ a: 'import type { B } from "./b.ts";' }, "a imports b, which isn't below it"],
      [{ a: 'import {\n  b,\n} from "./b.ts";' }, "a imports b, which isn't below it"],
      [{ a: 'export { b } from "./b.ts";' }, "a imports b, which isn't below it"],
      [{ a: 'import "./a.ts";' }, "a imports a, which isn't below it"],
      [{ b: 'const e = await import("./e.ts");' }, "b imports e, which isn't below it"],
      [{ b: 'import { x } from "./x.ts";' }, "b imports x, which is in no layer"],
      [{ b: 'import { x } from "x";' }, 'b imports "x": neither node: nor a file beside it'],
      [{ b: 'import { a } from "./a";' }, 'b imports "./a": neither node: nor a file beside it'],
      [{ b: "import(name)" }, 'b imports "": neither node: nor a file beside it'],
      [{ c: 'import net, { isIP } from "node:net";' }, "c is a codec and imports node:net"],
      [{ c: 'import fs from "node:fs/promises";' }, "c is a codec and imports node:fs/promises"],
      [{ d: "" }, "d is in no layer"],
    ] as const
  ) assert.deepEqual(faults(change), [fault]);
  assert.deepEqual(layerFaults(layers, new Map([["a", ""], ["b", ""], ["c", ""]])), ["no file e"]);
});

test("the sources stay within their line budget", (t) => {
  const sources = readSources();
  const lines = (names: Iterable<string>): number =>
    [...names].reduce((sum, name) => sum + lineCount(sources.get(name) ?? ""), 0);
  const centauri = new Set([...loadedAtStart("centauri", sources), ...CRITICAL, ...HTTP2]); // some are types
  const dotege = [...loadedAtStart("dotege", sources)].filter((name) => !centauri.has(name));
  const onDemand = countedNames(sources).filter((one) =>
    !centauri.has(one) && !dotege.includes(one)
  );
  const parts: readonly (readonly [what: string, names: Iterable<string>, limit: number])[] = [
    ["that any Centauri loads", centauri, CENTAURI_LIMIT],
    ["that face the internet, without HTTP/2", CRITICAL, CRITICAL_LIMIT],
    ["of HTTP/2", HTTP2, HTTP2_LIMIT],
    ["that any Dotege loads besides", dotege, DOTEGE_LIMIT],
    ["that are loaded on demand", onDemand, ON_DEMAND_LIMIT],
  ];
  for (const [what, names, limit] of parts) {
    const count = lines(names);
    t.diagnostic(`${count} lines ${what}, of ${limit}`);
    assert.ok(count > 0 && count <= limit, `${count} lines ${what}, at most ${limit}`);
  }
});

test("no line is longer than 100 columns", () => {
  for (const [name, source] of readSources()) {
    source.split("\n").forEach((line, i) => {
      assert.ok([...line].length <= 100, `${name}.ts:${i + 1} has ${[...line].length} columns`);
    });
  }
});

test("nothing is needed at run time, and the lockfile names no registry", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const kind of ["dependencies", "optionalDependencies", "peerDependencies"]) {
    assert.equal(manifest[kind], undefined, `package.json has ${kind}`);
  }
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const packages = Object.entries<{ resolved?: string; dev?: boolean }>(lock.packages);
  assert.ok(packages.length > 1);
  for (const [path, entry] of packages) {
    assert.equal(entry.resolved, undefined, `${path} has an address in package-lock.json`);
    assert.ok(path === "" || entry.dev === true, `${path} isn't only for development`);
  }
});

test("the README lists every file in reading order, with sizes that are about right", () => {
  const sources = readSources();
  const listed = READING_ORDER.flatMap(([, names]) => names);
  assert.deepEqual([...listed].sort(), countedNames(sources).sort());
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const [before, after] = [readme, renderReadme(readme, sources)].map(readingList);
  assert.equal(before?.words, after?.words, "npm run readme");
  const [was = 0, is = 0] = [before?.sum, after?.sum];
  assert.ok(is > 0 && Math.abs(was - is) <= is / 10, `${was} lines listed, ${is}: npm run readme`);
});

/** What the list says without its numbers, which may lag a little, and the sum of the latter. */
function readingList(readme: string): { words: string; sum: number } {
  const text = /<!-- reading -->([^]*)<!-- \/reading -->/.exec(readme)?.[1] ?? "";
  const numbers = [...text.matchAll(/\| *(\d+) /g)].map(([, digits]) => Number(digits));
  return { words: text.replace(/\d+|-+| +/g, " "), sum: numbers.reduce((a, b) => a + b, 0) };
}
