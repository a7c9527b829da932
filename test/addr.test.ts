import { test } from "node:test";
import assert from "node:assert/strict";
import {
  canonicalAddress,
  isDomainName,
  joinHostPort,
  parseHost,
  parseNetworks,
  splitHostPort,
  toDomainName,
} from "../lib/addr.ts";
import * as vectors from "./vectors/addr.ts";
import type { Vector } from "./vectors/addr.ts";

/** Every row, or a failure that names the row and says why it is there; none at all fails too. */
function replay<Expected>(
  rows: readonly Vector<Expected>[],
  actual: (input: string, row: Vector<Expected>) => unknown,
): void {
  assert.ok(rows.length > 0, "no rows");
  for (const row of rows) {
    assert.deepEqual(actual(row.input, row), row.expect, `${row.name}: ${row.why}`);
  }
}

test("the runner fails on no rows and on a wrong row", () => {
  const wrong = { name: "wrong", why: "a runner that can't fail tests nothing", input: "a" };
  assert.throws(() => replay([], isDomainName), /no rows/);
  assert.throws(() => replay([{ ...wrong, expect: false }], isDomainName), /can't fail/);
});

test("isDomainName() takes host names and nothing that could be an address", () => {
  replay(vectors.domainNames, isDomainName);
});

test("toDomainName() gives every name one spelling", () => {
  replay(vectors.canonicalNames, toDomainName);
});

test("toDomainName() leaves what it made as it is", () => {
  for (const { input, expect } of vectors.canonicalNames) {
    if (expect === undefined) continue;
    assert.equal(toDomainName(expect), expect, input);
    assert.ok(isDomainName(expect), input);
  }
});

test("splitHostPort() takes a host with or without a port", () => {
  replay(vectors.hostPorts, splitHostPort);
});

test("joinHostPort() undoes splitHostPort()", () => {
  for (const { input, expect } of vectors.hostPorts) {
    if (expect?.port !== undefined) assert.equal(joinHostPort(expect.host, expect.port), input);
  }
});

test("parseHost() reads a Host field and refuses what isn't one", () => {
  replay(vectors.hosts, parseHost);
});

test("parseHost() leaves the name that it read as it is", () => {
  for (const { expect } of vectors.hosts) {
    if (expect) assert.deepEqual(parseHost(expect.name), { name: expect.name, port: undefined });
  }
});

test("parseHost() takes in names exactly letters, digits, hyphen, underscore and dot", () => {
  for (let code = 0; code < 0x180; code++) {
    const character = String.fromCharCode(code);
    const host = parseHost(`a${character}1`);
    if (character === ":") assert.deepEqual(host, { name: "a", port: 1 });
    else assert.equal(host !== undefined, /^[A-Za-z0-9._-]$/.test(character), `character ${code}`);
  }
});

test("canonicalAddress() writes an address as people do", () => {
  replay(vectors.socketAddresses, canonicalAddress);
});

test("parseNetworks() holds the addresses of every network and no other", () => {
  replay(vectors.networks, (input, { expect }) => {
    const set = parseNetworks(input);
    const inside = expect.inside.filter((address) => set.has(address));
    const outside = expect.outside.filter((address) => !set.has(address));
    return { inside, outside };
  });
});

test("parseNetworks() refuses a list and names the bad item", () => {
  replay(vectors.badNetworks, (input, { expect }) => {
    try {
      parseNetworks(input);
    } catch (error) {
      const { message } = error as Error;
      return message.includes(expect) && message.includes("expected") ? expect : message;
    }
    return "no error";
  });
});
