/** When certificates are ordered, by stores and states that a test makes up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Entry } from "../lib/acmestate.ts";
import type { Issuer } from "../lib/issuer.ts";
import { Renewal, type RenewalOptions } from "../lib/renewal.ts";
import { type CertificateRecord, newRecord } from "../lib/store.ts";
import { issue } from "./pki.ts";

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];
const NAME = "a.example.com";

/** A certificate whose life began and ends so many milliseconds from now. */
function record(from: number, to: number): CertificateRecord {
  const { cert, keyPem } = issue({ subject: NAME, names: [NAME], from, to });
  return {
    ...newRecord("lego", [NAME], new Date(Date.now() + to)),
    ...{ certificate: cert, privateKey: keyPem },
    ariNextUpdate: new Date(Date.now() + DAY).toISOString(),
  };
}

/** Whether an order is placed for what the store and the state have, and what it replaces. */
async function order(stored: CertificateRecord, entry: Entry = {}) {
  let placed: { old: CertificateRecord | undefined } | undefined;
  let current = stored;
  const obtain: Issuer["obtain"] = (_names, _signal, old) => {
    placed = { old };
    current = record(0, 90 * DAY);
    return Promise.resolve(current);
  };
  const options = {
    ...{ authorities: [], configuration: "", interval: 0, resolver: {}, issuer: { obtain } },
    store: { find: () => current, reload: () => Promise.resolve() },
    state: { get: () => entry, update: () => Promise.resolve() },
    log: { info() {}, warn() {}, error() {}, debug() {} },
    onChange: () => {},
    foresee: () => Promise.resolve(),
    staple: () => Promise.resolve({ next: Infinity }),
  };
  const renewal = new Renewal(options as unknown as RenewalOptions);
  renewal.want([[NAME]]);
  await new Promise(setImmediate); // nothing that was given waits for more than promises
  await renewal.close();
  return placed;
}

test("a certificate that can't be used once it is there isn't ordered again at once", async () => {
  let [orders, entry] = [0, {} as Entry];
  const useless = { ...record(0, 90 * DAY), privateKey: "no key" };
  const options = {
    ...{ authorities: [], configuration: "", interval: 0, resolver: {} },
    issuer: { obtain: () => setTimeout(1, (orders++, useless)) },
    store: { find: () => useless, reload: () => Promise.resolve() },
    state: {
      get: () => entry,
      update: async (_: string, change: Entry) => void (entry = { ...entry, ...change }),
    },
    log: { info() {}, warn() {}, error() {}, debug() {} },
    onChange: () => {},
  };
  const renewal = new Renewal(options as unknown as RenewalOptions);
  renewal.want([[NAME]]);
  await setTimeout(100); // it would be ordered again and again
  await renewal.close();
  assert.deepEqual([orders, entry.hasty?.count], [1, 1]);
});

const hasty = (ago: number): Entry => ({
  hasty: { count: 3, at: new Date(Date.now() - ago).toISOString() },
});

test("what is good for a long time isn't ordered, what is due is, by what it replaces", async () => {
  assert.equal(await order(record(-DAY, 89 * DAY)), undefined);
  const due = record(-80 * DAY, 10 * DAY);
  assert.deepEqual(await order(due), { old: due });
});

test("what is due again at once is ordered at a slower pace", async () => {
  assert.equal(await order(record(-80 * DAY, 10 * DAY), hasty(99 * MINUTE)), undefined);
  assert.ok(await order(record(-80 * DAY, 10 * DAY), hasty(101 * MINUTE)));
});

test("the pace lets no certificate end: not after half of what it had left", async () => {
  assert.equal(await order(record(-HOUR, HOUR), hasty(0)), undefined);
  assert.ok(await order(record(-HOUR - 31 * MINUTE, 29 * MINUTE), hasty(31 * MINUTE)));
});

test("a pace from a clock that was ahead counts for nothing", async () => {
  assert.ok(await order(record(-80 * DAY, 10 * DAY), hasty(-2 * DAY)));
});

test("a stored certificate with another one's key is replaced", async () => {
  const [one, other] = [record(-DAY, 89 * DAY), record(-DAY, 89 * DAY)];
  assert.deepEqual(await order({ ...one, privateKey: other.privateKey }), { old: undefined });
});

test("what is wanted anew doesn't hurry those that wait, unless it is a reload", (t) => {
  const next = new Date(Date.now() + DAY).toISOString();
  const failure = { count: 1, message: "no", advice: "", at: new Date().toISOString(), next };
  const waits: unknown[] = [];
  const options = {
    ...{ authorities: [], configuration: "", interval: 0, resolver: {} },
    store: { find: () => undefined },
    state: { get: () => ({ failure: { ...failure, configuration: "" } }) },
    log: { info: (_: string, { names }: { names: unknown }) => waits.push(names) },
  };
  const renewal = new Renewal(options as unknown as RenewalOptions);
  t.after(() => renewal.close());
  renewal.want([["a"]], false);
  renewal.want([["a"], ["b"]], false);
  assert.deepEqual(waits, [["a"], ["b"]]);
  renewal.want([["a"]]);
  assert.deepEqual(waits, [["a"], ["b"], ["a"]]);
});
