/** What a subject of the benchmark is, and how its samples become figures of a table. */
import type { Bench } from "./proxies.ts";

export interface Row {
  readonly title: string;
  /** After the point. */
  readonly digits: number;
  /** Whether it says something to compare it with nginx's (true). */
  readonly hasRatio?: boolean;
  /** Left out of README.md. */
  readonly isDetail?: boolean;
}

export interface Plan {
  /** Of each run, where there is a choice. */
  readonly seconds: number;
}

/** Measures one contender (a peer, or a runtime's path) once: a figure for each row. */
export type Measure = (kind: string) => Promise<readonly number[]>;

export interface Subject {
  /** For `--only`. */
  readonly name: string;
  readonly rows: readonly Row[];
  /** At most, where one says much and takes long. */
  readonly mostRuns?: number;
  /** Whether a contender is measured at all; default: all are. */
  readonly applies?: (kind: string) => boolean;
  /** Starts what all contenders share. What it starts in `bench` is stopped after the subject. */
  readonly begin: (bench: Bench, plan: Plan) => Promise<Measure>;
}

/** A figure, or why there is none. */
export type Sample = number | string;

/** A row with the samples of each contender by its name, in the order of the runs. */
export interface Result {
  readonly subject: string;
  readonly row: Row;
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
}

/** `make` once for each contender, when it is first asked for. */
export function perKind<T>(make: (kind: string) => Promise<T>): (kind: string) => Promise<T> {
  const made = new Map<string, Promise<T>>();
  return (kind) => {
    const one = made.get(kind) ?? make(kind);
    made.set(kind, one);
    return one;
  };
}

/** A table in Markdown: a line for each row, a column for each contender. */
export function table(results: readonly Result[], names: readonly string[]): string {
  const lines = [["", ...names], ["---", ...names.map(() => "---:")]];
  for (const { row, samples } of results) {
    const base = samples.get(names.find((name) => name.startsWith("nginx ")) ?? "");
    lines.push([row.title, ...names.map((name) => cell(samples.get(name) ?? [], row, base))]);
  }
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`;
}

/**
 * Median, the least and the greatest, and the median of the ratios to nginx's sample of the same
 * round. If any run failed, only that.
 */
function cell(samples: readonly Sample[], row: Row, base: readonly Sample[] = []): string {
  const { digits, hasRatio = true } = row;
  const trouble = samples.find((one) => typeof one === "string");
  if (trouble !== undefined) return `failed: ${`${trouble}`.replaceAll(/[|\s]+/g, " ")}`;
  const values = samples as readonly number[];
  if (values.length === 0) return "–";
  const [least, most] = [Math.min(...values), Math.max(...values)].map((one) =>
    one.toFixed(digits)
  );
  const ratios = values.map((one, i) => one / Number(base[i])).filter((ratio) => isFinite(ratio));
  const spread = values.length > 1 ? ` (${least}–${most})` : "";
  const ratio = ratios.length > 0 ? ` ×${median(ratios).toFixed(2)}` : "";
  return `${median(values).toFixed(digits)}${spread}${hasRatio && base !== samples ? ratio : ""}`;
}

/** Of at least one value. */
export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** What this share of the values is below; between two of them where it falls there. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [low = NaN, high = NaN] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at % 1);
}
