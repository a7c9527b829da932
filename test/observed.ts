/** A Centauri with metrics, an access log, or both; what its page and its lines say. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { freePorts } from "./acmepeers.ts";
import { until } from "./recorder.ts";
import { type Centauri, type Scope, startCentauri } from "./support.ts";

/** By the text before the number: `name{label="value"}`. */
export type Samples = ReadonlyMap<string, number>;

export interface Observed extends Centauri {
  readonly metricsPort: number;
  page(): Promise<string>;
  samples(): Promise<Samples>;
  /** The samples, once these are among them. */
  expect(expected: Readonly<Record<string, number>>): Promise<Samples>;
}

export async function startObserved(
  t: Scope,
  routes: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Observed> {
  const [port = 0] = await freePorts(1);
  const centauri = await startCentauri(t, {
    routes,
    env: { METRICS_PORT: `${port}`, METRICS_ADDRESS: "127.0.0.1", LOG_LEVEL: "debug", ...env },
  });
  const page = async (): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    assert.equal(response.status, 200);
    return await response.text();
  };
  const samples = async () => parseSamples(await page());
  return {
    ...{ ...centauri, metricsPort: port, page, samples },
    async expect(expected) {
      let found: Samples = new Map();
      const differs = () => Object.keys(expected).filter((key) => found.get(key) !== expected[key]);
      await until(async () => {
        found = await samples();
        return differs().length === 0;
      }, () => differs().map((key) => `${key} is ${found.get(key)}, not ${expected[key]}`).join());
      return found;
    },
  };
}

function parseSamples(text: string): Samples {
  const samples = new Map<string, number>();
  for (const line of text.trim().split("\n").filter((one) => !one.startsWith("#"))) {
    const at = line.lastIndexOf(" ");
    assert.ok(!samples.has(line.slice(0, at)), `twice: ${line}`);
    samples.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return samples;
}

/** Lines of a file in a Centauri's folder, once there are so many. */
export async function linesOf(
  { folder }: Centauri,
  name: string,
  count: number,
): Promise<string[]> {
  let lines: string[] = [];
  await until(async () => {
    const text = await readFile(join(folder, name), "utf8").catch(() => "");
    lines = text.split("\n").slice(0, -1);
    return lines.length >= count;
  }, () => `${lines.length} lines, not ${count}:\n${lines.join("\n")}`);
  return lines;
}
