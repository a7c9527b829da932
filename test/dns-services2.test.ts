import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { createProvider as desec } from "../lib/dns/desec.ts";
import { createProvider as digitalocean } from "../lib/dns/digitalocean.ts";
import { createProvider as gandi } from "../lib/dns/gandi.ts";
import { createProvider as ionos } from "../lib/dns/ionos.ts";
import { createProvider as ovh } from "../lib/dns/ovh.ts";
import { type DnsProvider, DnsProviderError, type ProviderContext } from "../lib/dns/provider.ts";
import type { HttpAnswer, HttpClient, HttpRequest } from "../lib/httpsclient.ts";
import {
  conversations,
  type Exchange,
  NAME,
  type Settings,
  settings,
  VALUE,
  type Vector,
} from "./vectors/dns-services2.ts";

type Wait = Parameters<typeof desec>[1];

/** The provider, with a clock that stands still and waits that are only told. */
function create(name: Vector["provider"], context: ProviderContext, wait?: Wait): DnsProvider {
  if (name === "ovh") return ovh(context, () => 1_700_000_000_000);
  if (name === "desec") return desec(context, wait);
  return { digitalocean, gandi, ionos }[name](context);
}

/** What a request must be: nothing more, nothing less. */
function expected({ asks: [method, url, body], fields }: Exchange, row: Vector): unknown {
  const isJson = body !== undefined && typeof body !== "string";
  return {
    method,
    url,
    fields: [...fields ?? row.fields, ...(isJson ? ["Content-Type", "application/json"] : [])],
    body: isJson ? JSON.stringify(body) : body,
  };
}

function answer({ status = 200, answer, answerFields = [] }: Exchange): HttpAnswer {
  const body = typeof answer === "string" ? answer : JSON.stringify(answer) ?? "";
  return { status, fields: answerFields, body: Buffer.from(body) };
}

/** A service that has learnt one conversation by heart. */
function service(row: Vector): { http: HttpClient; talk: Exchange[] } {
  const talk = [...row.talk];
  const http = async ({ method, url, fields, body, signal }: HttpRequest): Promise<HttpAnswer> => {
    signal?.throwIfAborted();
    const next = talk.shift();
    assert.ok(next !== undefined, `not in the conversation: ${method} ${url}`);
    assert.deepEqual({ method, url, fields, body }, expected(next, row));
    return answer(next);
  };
  return { http, talk };
}

function context(row: Vector, http: HttpClient): ProviderContext {
  const zone = "zone" in row ? row.zone : "example.com";
  return {
    env: (name) => row.env?.[name],
    http,
    zoneOf: async () => {
      if (zone === undefined) throw new DnsProviderError("no SOA");
      return zone;
    },
  };
}

const record = { name: NAME, value: VALUE, domain: "www.example.com", token: "t" };
const proof = { ...record, keyAuthorization: "t.k" };

/** Goes through a row; throws what is wrong with it. */
async function replay(row: Vector): Promise<void> {
  const { http, talk } = service(row);
  const waits: number[] = [];
  const provider = create(row.provider, context(row, http), async (ms) => waits.push(ms / 1000));
  const { signal } = new AbortController();
  let message: string | undefined;
  for (const [at, step] of row.input.entries()) {
    await provider[step](proof, signal).catch((error: Error) => {
      if (at < row.input.length - 1 || !(error instanceof DnsProviderError)) throw error;
      message = error.message;
    });
  }
  if (row.expect === undefined) assert.equal(message, undefined);
  for (const part of row.expect ?? []) assert.ok(message?.includes(part), `${part} in ${message}`);
  for (const secret of ["-secret", "con-key", "se&cret"]) assert.ok(!message?.includes(secret));
  assert.deepEqual(talk.map(({ asks }) => asks), [], "requests that were not made");
  if (row.waits !== undefined) assert.deepEqual(waits, row.waits);
}

for (const provider of ["digitalocean", "desec", "gandi", "ionos", "ovh"] as const) {
  test(`${provider} says and understands what its service does`, async () => {
    const rows = conversations.filter((row) => row.provider === provider);
    assert.ok(rows.length > 0, "no rows");
    for (const row of rows) {
      await replay(row).catch((error: Error) => {
        throw new Error(`${row.name} (${row.why}): ${error.message}`, { cause: error });
      });
    }
  });
}

test("the runner of conversations notices each kind of wrong row", async () => {
  const row = conversations.find(({ talk }) => talk.length > 1);
  assert.ok(row !== undefined);
  const [first, ...rest] = row.talk;
  assert.ok(first !== undefined);
  const wrong: readonly Vector[] = [
    { ...row, talk: [] },
    { ...row, talk: [...row.talk, first] },
    { ...row, talk: [...rest, first] },
    { ...row, fields: [...row.fields, "X-More", "1"] },
    { ...row, expect: ["something that is never said"] },
    { ...row, talk: [{ ...first, status: 500 }] },
    { ...row, waits: [1] },
  ];
  for (const [at, each] of wrong.entries()) {
    await assert.rejects(replay(each), Error, `wrong row ${at}`);
  }
});

/** The message of the error that creating throws. */
function refusal({ provider, input }: Settings): string {
  const http = () => Promise.reject(new Error("no requests"));
  const zoneOf = () => Promise.reject(new Error("no zones"));
  try {
    create(provider, { env: (name) => input[name], http, zoneOf });
  } catch (error) {
    assert.ok(error instanceof DnsProviderError, String(error));
    return error.message;
  }
  return "";
}

test("createProvider() names the variable that is missing or wrong", () => {
  assert.ok(settings.length > 0, "no rows");
  for (const row of settings) {
    const message = refusal(row);
    for (const part of row.expect) assert.ok(message.includes(part), `${row.name}: ${message}`);
  }
});

test("the providers wait for propagation as long as lego does, or as they are told", () => {
  const env: Record<string, Record<string, string>> = {
    digitalocean: { DO_AUTH_TOKEN: "x" },
    desec: { DESEC_TOKEN: "x" },
    gandi: { GANDIV5_API_KEY: "x" },
    ionos: { IONOS_API_KEY: "x" },
    ovh: { OVH_ENDPOINT: "ovh-ca", OVH_ACCESS_TOKEN: "x" },
  };
  const usual = { digitalocean: [60, 5], desec: [120, 4], gandi: [1200, 20], ionos: [900, 2] };
  const prefixes = { digitalocean: "DO", desec: "DESEC", gandi: "GANDIV5", ionos: "IONOS" };
  const rejects = () => Promise.reject(new Error("no requests"));
  const rows = Object.entries({ ...usual, ovh: [60, 2] }) as [Vector["provider"], number[]][];
  for (const [name, [timeout = 0, interval = 0]] of rows) {
    const prefix = { ...prefixes, ovh: "OVH" }[name];
    const told = { [`${prefix}_PROPAGATION_TIMEOUT`]: "7", [`${prefix}_POLLING_INTERVAL`]: "3" };
    const context = { http: rejects, zoneOf: rejects };
    const plain = create(name, { ...context, env: (key) => env[name]?.[key] });
    const set = create(name, { ...context, env: (key) => ({ ...env[name], ...told })[key] });
    assert.deepEqual(
      plain.propagation,
      { timeout: timeout * 1000, interval: interval * 1000 },
      name,
    );
    assert.deepEqual(set.propagation, { timeout: 7000, interval: 3000 }, name);
  }
});

/** A service that keeps one RRset as Gandi and deSEC do, and answers when it is let. */
function rrsetService(key: "rrset_values" | "records"): { http: HttpClient; values: string[] } {
  const values: string[] = [];
  const http: HttpClient = async ({ method, url, body }) => {
    await new Promise((resolve) => setImmediate(resolve)); // others get their turn
    if (url.includes("owns_qname")) return answer({ asks: [method, url], answer: [ZONE] });
    if (method === "GET") {
      const status = values.length === 0 ? 404 : 200;
      return answer({ asks: [method, url], status, answer: { [key]: [...values] } });
    }
    const sent: unknown = JSON.parse(String(body ?? "{}"));
    const given = (sent as Record<string, string[] | undefined>)[key] ?? [];
    values.splice(0, values.length, ...given);
    return answer({ asks: [method, url], answer: {} });
  };
  return { http, values };
}

const ZONE = { name: "example.com", minimum_ttl: 60 };

test("desec and gandi lose no value when many come and go at once", async () => {
  const { signal } = new AbortController();
  for (const [name, key] of [["desec", "records"], ["gandi", "rrset_values"]] as const) {
    const { http, values } = rrsetService(key);
    const provider = create(name, {
      http,
      env: (variable) => /TOKEN$/.test(variable) ? "x" : undefined,
      zoneOf: async () => "example.com",
    });
    const all = Array.from({ length: 20 }, (_, at) => ({ ...proof, value: `value-${at}` }));
    await Promise.all(all.map((each) => provider.present(each, signal)));
    assert.deepEqual([...values].sort(), all.map(({ value }) => `"${value}"`).sort(), name);
    await Promise.all(all.slice(1).map((each) => provider.cleanUp(each, signal)));
    assert.deepEqual(values, ['"value-0"'], name);
    await provider.cleanUp({ ...proof, value: "value-0" }, signal);
    assert.deepEqual(values, [], name);
  }
});

test("desec stops waiting when it is told to stop", async () => {
  const abort = new AbortController();
  const http: HttpClient = async () => {
    setImmediate(() => abort.abort(new Error("leaving")));
    return answer({ asks: ["GET", ""], status: 429, answerFields: ["Retry-After", "60"] });
  };
  const env = (name: string) => name === "DESEC_TOKEN" ? "x" : undefined;
  const provider = desec({ http, env, zoneOf: async () => "example.com" });
  await assert.rejects(provider.present(proof, abort.signal));
});
