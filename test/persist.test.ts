import assert from "node:assert/strict";
import { test } from "node:test";
import type { AcmeClient } from "../lib/acme.ts";
import type { Solver } from "../lib/challenges.ts";
import {
  accountHash,
  checkPersist,
  parsePersistRecord,
  type PersistAccount,
  PersistError,
  persistName,
  persistRecord,
  persistRecords,
  persistWanted,
} from "../lib/dns/persist.ts";
import { persistSolver } from "../lib/dns/persist01.ts";
import { type Resolver, ResolverError } from "../lib/resolver.ts";
import {
  ACCOUNT,
  type Found,
  hashes,
  type Judged,
  judged,
  made,
  NOW,
  type Parts,
  read,
  type Source,
  THUMBPRINT,
} from "./vectors/persist.ts";

/** What a solver says before an order, with a DNS that answers so. */
function obstacle(txt: () => Promise<string[]>): ReturnType<NonNullable<Solver["obstacle"]>> {
  const meta = { issuerDomainNames: ["ca.example"], caaIdentities: [] };
  const client = {
    ...{ accountUrl: ACCOUNT, keyAuthorization: () => `.${THUMBPRINT}` },
    getDirectory: () => Promise.resolve({ meta }),
  } as unknown as AcmeClient;
  const solver = persistSolver({ txt } as unknown as Resolver);
  return solver.obstacle!(["a.example"], client, new AbortController().signal);
}

test("persistSolver() says before an order what is missing, also that DNS doesn't answer", async () => {
  const missing = await obstacle(() => Promise.resolve([]));
  assert.equal(missing?.cause, "persist-missing");
  assert.match(missing.advice, /_validation-persist\.a\.example\. 3600 IN TXT "ca\.example; /);
  const unread = await obstacle(() => Promise.reject(new ResolverError("no server to ask")));
  assert.deepEqual([unread?.cause, unread?.fatal, unread?.retry], ["persist-unread", true, "soon"]);
  await assert.rejects(obstacle(() => Promise.reject(new TypeError("a bug"))), TypeError);
});

interface Row<Input, Expected> {
  readonly name: string;
  readonly why: string;
  readonly input: Input;
  readonly expect: Expected;
}

/** Every row, or a failure that names the row and says why it is there; none at all fails too. */
function replay<Input, Expected>(
  rows: readonly Row<Input, Expected>[],
  actual: (input: Input, expect: Expected) => unknown,
): void {
  assert.ok(rows.length > 0, "no rows");
  for (const row of rows) {
    assert.deepEqual(actual(row.input, row.expect), row.expect, `${row.name}: ${row.why}`);
  }
}

function account({ issuers, accountUri, ...source }: Source): PersistAccount {
  const { promised = [], caa = [], prefix, accountUrl = ACCOUNT } = source;
  return {
    accountUrl,
    thumbprints: [THUMBPRINT],
    meta: { issuerDomainNames: promised, caaIdentities: caa, accountHashPrefix: prefix },
    challenge: issuers && { issuerDomainNames: issuers, accountUri },
  };
}

/** The lines, or of what is refused the part of the message that is expected. */
function lines(source: Source, expect: readonly string[] | string): unknown {
  const until = source.until === undefined ? undefined : new Date(source.until * 1000);
  try {
    return persistRecords(source.names, account(source), until).map(({ line }) => line);
  } catch (error) {
    assert.ok(error instanceof PersistError, String(error));
    return typeof expect === "string" && error.message.includes(expect) ? expect : error.message;
  }
}

/** As short as the row, which leaves out what is undefined or false at its end. */
function parts(value: string, expect: Parts | undefined): unknown {
  const record = parsePersistRecord(value);
  if (record === undefined) return undefined;
  const { issuer, accountUri, wildcard, until } = record;
  const end = until === undefined ? undefined : until.getTime() / 1000;
  const all = [issuer, accountUri, wildcard, end];
  const rest = all.slice(expect?.length ?? 0);
  return rest.some((part) => part !== undefined && part !== false)
    ? all
    : all.slice(0, expect?.length);
}

function judge({ values, wildcard = false, ...more }: Found, [, , ...expected]: Judged): unknown {
  const { issuers = ["ca.test"], accountUris = ["u:1"] } = more;
  const wanted = { domain: "example.com", wildcard, issuers, accountUris };
  const { state, until, message } = checkPersist(values, wanted, { now: NOW * 1000 });
  const end = until === undefined ? undefined : until.getTime() / 1000;
  return [state, end, ...expected.map((part) => message.includes(part) ? part : message)];
}

test("accountHash() gives what the draft's test vectors say", () => {
  replay(hashes, ([domain, thumbprint, url]) => accountHash(domain, thumbprint, url));
});

test("persistRecords() makes records of both forms, and refuses what can't be one", () => {
  replay(made, lines);
});

test("parsePersistRecord() reads the grammar and nothing else", () => {
  replay(read, parts);
});

test("checkPersist() says what is there and what to do", () => {
  replay(judged, judge);
});

test("the runners notice a wrong row", () => {
  const wrong = <I, E>(
    [row]: readonly Row<I, E>[],
    expect: E,
  ): Row<I, E>[] => [{ ...row!, expect }];
  assert.throws(() => replay(wrong(hashes, "sha-256/"), (input) => accountHash(...input)));
  assert.throws(() => replay(wrong(made, ["x"]), lines));
  assert.throws(() => replay(wrong(made, "x"), lines));
  assert.throws(() => replay(wrong(read, undefined), parts));
  assert.throws(() => replay(wrong(read, ["a.example", "u:1", true, 8]), parts));
  assert.throws(() => replay(wrong(judged, ["good", undefined]), judge));
  assert.throws(() => replay(wrong(judged, ["missing", undefined, "never said"]), judge));
  assert.throws(() => replay([], judge));
});

test("what persistRecords() makes is what parsePersistRecord() reads and checkPersist() wants", () => {
  const rows = made.filter(({ expect }) => Array.isArray(expect));
  assert.ok(rows.length > 0, "no rows");
  for (const { name, input } of rows) {
    const from = account(input);
    const until = input.until === undefined ? undefined : new Date(Math.floor(input.until) * 1000);
    for (const { value, line, ...record } of persistRecords(input.names, from, until)) {
      assert.deepEqual(parsePersistRecord(value)?.until, until, name);
      // The line's strings, unescaped and joined, are the value again.
      const [owner = "", data = ""] = line.split(" 3600 IN TXT ");
      const strings = [...data.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = ""]) => text);
      assert.ok(strings.every((text) => text.replaceAll(/\\(.)/g, "$1").length <= 255), name);
      assert.equal(strings.join("").replaceAll(/\\(.)/g, "$1"), value, name);
      assert.equal(owner, `${record.name}.`, name);
    }
    for (const each of input.names) {
      const wanted = persistWanted(each, from);
      const value = persistRecord(wanted);
      assert.equal(checkPersist([value], wanted).state, "good", name);
      assert.equal(persistName(each), persistName(wanted.domain), name);
    }
  }
});

test("a record by an earlier key, or for any domain, still counts in draft 02", () => {
  const now = account({ prefix: "https://ca.example/h/", promised: ["ca.test"], names: [] });
  const rolled = { ...now, thumbprints: [THUMBPRINT.toLowerCase(), THUMBPRINT] as const };
  const before = persistRecord(persistWanted("*.example.com", now));
  const wanted = persistWanted("*.example.com", rolled);
  assert.notEqual(persistRecord(wanted), before);
  assert.equal(checkPersist([before], wanted).state, "good");
  const anywhere = accountHash("*", THUMBPRINT, ACCOUNT);
  const value = `ca.test; accounturi=https://ca.example/h/${anywhere}; policy=wildcard`;
  assert.equal(checkPersist([value], wanted).state, "good");
  assert.equal(checkPersist([value], persistWanted("*.example.net", now)).state, "good");
  assert.equal(checkPersist([before], persistWanted("*.example.net", now)).state, "wrong");
});

test("parsePersistRecord() refuses a value that is too long, and is quick about a long one", () => {
  assert.equal(parsePersistRecord(`a; x=${"1".repeat(16_384)}`), undefined);
  const head = "a; accounturi=";
  assert.ok(parsePersistRecord(head + "u".repeat(16_384 - head.length)) !== undefined);
  const parts = ["a", "-", " ", "a.", "a-", ";", "a=", "; a", "a;a=", "\t;"];
  const start = performance.now();
  for (const part of parts) {
    for (const end of ["", "!", "=", ";"]) {
      parsePersistRecord(part.repeat(16_000 / part.length) + end);
      parsePersistRecord(`a; ${part.repeat(16_000 / part.length)}${end}`);
    }
  }
  assert.ok(performance.now() - start < 1_000, "80 values took seconds");
});
