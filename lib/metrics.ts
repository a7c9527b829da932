/**
 * Counters, gauges and histograms, and the text that Prometheus reads them as (exposition format
 * 0.0.4). Base; pure; needs nothing.
 *
 * What there is to count is a table of families; a series of one is an array of numbers, which
 * whoever counts changes in place. Labels are for what the configuration or this program names,
 * never for what a client sends: each value is a series that stays.
 *
 * A snapshot is plain JSON, for a process to tell another what it has counted. It is taken as from
 * a stranger: what isn't in the table, or isn't of its shape, is left out.
 */

/** Of one family, whoever sends a snapshot; 10,000 routes with 20 statuses each. */
const MAX_SERIES = 200_000;
/** UTF-16 units of a label's value: of a domain name with room to spare. */
const MAX_LABEL = 512;

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Something that is counted; `help` is what the text says of it. */
export interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Of a histogram: upper bounds of its buckets, ascending, without infinity. */
  readonly bounds?: readonly number[];
}

/**
 * One number; of a histogram the sum of all values, then how many of them fell into each bucket
 * (not cumulated), the last being that without a bound.
 */
export type Series = number[];

/** `[family, [[label values, numbers], …]]` */
export type Snapshot = readonly (readonly [string, readonly (readonly [string[], Series])[]])[];

/** Puts a value into a series of a histogram that has these bounds. */
export function observe(series: Series, bounds: readonly number[], value: number): void {
  let bucket = 0;
  while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
  series[0]! += value;
  series[bucket + 1]!++;
}

interface Kept {
  readonly family: Family;
  /** By label values, joined. */
  readonly series: Map<string, { readonly values: readonly string[]; readonly numbers: Series }>;
}

export class Metrics {
  readonly #families: ReadonlyMap<string, Kept>;

  constructor(families: readonly Family[]) {
    this.#families = new Map(
      families.map((family) => [family.name, { family, series: new Map() }]),
    );
  }

  /** The series with these label values, made when it is first asked for. Throws TypeError. */
  series(name: string, ...values: string[]): Series {
    const kept = this.#families.get(name);
    if (kept === undefined || values.length !== kept.family.labels.length) {
      throw new TypeError(`no metric has this name and as many labels: ${name}`);
    }
    return seriesOf(kept, values);
  }

  /** Forgets series whose label of this name has a value that isn't among these. */
  retain(label: string, values: ReadonlySet<string>): void {
    for (const { family, series } of this.#families.values()) {
      const at = family.labels.indexOf(label);
      if (at < 0) continue;
      for (const [key, one] of series) if (!values.has(one.values[at]!)) series.delete(key);
    }
  }

  snapshot(): Snapshot {
    return [...this.#families].map(([name, { series }]) =>
      [name, [...series.values()].map(({ values, numbers }) => [[...values], numbers])] as const
    );
  }

  /** Adds what another one has counted, as its snapshot() says. */
  add(snapshot: unknown): void {
    for (const entry of listOf(snapshot)) {
      const [name, series] = listOf(entry);
      const kept = this.#families.get(String(name));
      if (kept === undefined) continue;
      for (const one of listOf(series)) addSeries(kept, listOf(one));
    }
  }

  /** All of it for Prometheus; ends in a line feed. */
  format(): string {
    return [...this.#families.values()].map(formatFamily).join("");
  }
}

function seriesOf({ family, series }: Kept, values: readonly string[]): Series {
  const key = values.join("\n"); // no name has one
  let one = series.get(key);
  if (one === undefined) {
    one = { values, numbers: new Array<number>(lengthOf(family)).fill(0) };
    series.set(key, one);
  }
  return one.numbers;
}

const lengthOf = ({ type, bounds = [] }: Family): number =>
  type === "histogram" ? bounds.length + 2 : 1;

function addSeries(kept: Kept, [labels, numbers]: readonly unknown[]): void {
  const { family, series } = kept;
  const values = listOf(labels), added = listOf(numbers);
  const fits = values.length === family.labels.length && values.every(isLabel) &&
    added.length === lengthOf(family) && added.every(isFinite);
  if (!fits || series.size >= MAX_SERIES) return;
  if (family.type !== "gauge" && added.some((one) => one < 0)) return;
  const to = seriesOf(kept, values);
  for (let i = 0; i < to.length; i++) to[i]! += added[i]!;
}

const isLabel = (value: unknown): value is string =>
  typeof value === "string" && value.length <= MAX_LABEL;

const isFinite = (value: unknown): value is number => Number.isFinite(value);

const listOf = (value: unknown): readonly unknown[] => Array.isArray(value) ? value : [];

function formatFamily({ family, series }: Kept): string {
  const { name, type, help, labels, bounds = [] } = family;
  if (series.size === 0) return "";
  let text = `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
  for (const { values, numbers } of series.values()) {
    const pairs = labels.map((label, i) => `${label}="${escapeLabel(values[i]!)}"`);
    const line = (suffix: string, value: number, more: readonly string[] = []) => {
      const all = [...pairs, ...more];
      text += `${name}${suffix}${all.length > 0 ? `{${all.join()}}` : ""} ${formatNumber(value)}\n`;
    };
    if (type !== "histogram") {
      line("", numbers[0]!);
      continue;
    }
    let count = 0;
    [...bounds, Infinity].forEach((bound, i) => {
      count += numbers[i + 1]!;
      line("_bucket", count, [`le="${formatNumber(bound)}"`]);
    });
    line("_sum", numbers[0]!);
    line("_count", count);
  }
  return text;
}

const formatNumber = (value: number): string => value === Infinity ? "+Inf" : `${value}`;

const escapeHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");

const escapeLabel = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');
