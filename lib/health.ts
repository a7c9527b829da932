/**
 * How upstreams are, as their requests went: nobody is asked for it (passive health). Pure; what
 * comes from another process is checked here. Needs nothing.
 */

/** UTF-16 units of an error's words. */
const MAX_WORDS = 300;

/** Times are milliseconds since the epoch, 0 for never. */
export interface Health {
  /** When an answer was complete last. */
  readonly workedAt: number;
  /** How many requests failed in a row; 0 when the last one went well, or there was none. */
  readonly failures: number;
  /** When it began to fail if it does, else when it began to work. */
  readonly since: number;
  readonly failedAt: number;
  /** Why, in the words of the last failure. */
  readonly failure: string;
}

/** By an upstream's name. */
export type HealthReport = readonly (readonly [name: string, health: Health])[];

/** What a process that serves tells: its upstreams, and the requests of routes by their primary. */
export interface Report {
  readonly upstreams: HealthReport;
  readonly requests: readonly (readonly [primary: string, count: number])[];
}

const cutWords = (text: string): string => text.slice(0, MAX_WORDS);

/**
 * All processes' reports in one. They are not believed more than they must be: names that aren't
 * known are left out, as is what has another shape.
 */
export class Merged {
  readonly upstreams = new Map<string, Health>();
  readonly requests = new Map<string, number>();
  readonly #known: ReadonlySet<string>;

  /** `known`: names of upstreams and primaries of routes. */
  constructor(known: ReadonlySet<string>) {
    this.#known = known;
  }

  add(report: unknown): void {
    const { upstreams, requests } = Object(report);
    for (const [name, health] of pairs(upstreams)) {
      if (!this.#known.has(name) || !isHealth(health)) continue;
      const before = this.upstreams.get(name);
      this.upstreams.set(name, before === undefined ? pick(health) : mergeHealth(before, health));
    }
    for (const [primary, count] of pairs(requests)) {
      if (!this.#known.has(primary) || !isCount(count)) continue;
      this.requests.set(primary, (this.requests.get(primary) ?? 0) + count);
    }
  }
}

/** What happened last, in whichever process, says how it is. */
function mergeHealth(a: Health, b: Health): Health {
  const later = b.failedAt > a.failedAt ? b : a;
  const [workedAt, failedAt] = [Math.max(a.workedAt, b.workedAt), later.failedAt];
  const failing = [a, b].filter(({ failures }) => failures > 0);
  const fails = failing.length > 0 && failedAt >= workedAt;
  const begins = (fails ? failing : [a, b]).map(({ since }) => since).filter((at) => at > 0);
  const since = begins.length === 0 ? 0 : Math.min(...begins);
  return {
    ...{ workedAt, failedAt, failure: cutWords(later.failure) },
    failures: fails ? a.failures + b.failures : 0,
    since: fails ? since : Math.max(since, failedAt),
  };
}

function pick({ workedAt, failures, since, failedAt, failure }: Health): Health {
  return { workedAt, failures, since, failedAt, failure: cutWords(failure) };
}

/** Text and value, of what should be a list of pairs. */
function* pairs(list: unknown): Generator<[string, unknown]> {
  if (!Array.isArray(list)) return;
  for (const pair of list) {
    if (Array.isArray(pair) && typeof pair[0] === "string") yield [pair[0], pair[1]];
  }
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

/** Up to the last time that a Date can have. */
const isTime = (value: unknown): boolean =>
  typeof value === "number" && value >= 0 && value <= 8.64e15;

function isHealth(value: unknown): value is Health {
  const { workedAt, failures, since, failedAt, failure } = Object(value);
  return isTime(workedAt) && isTime(since) && isTime(failedAt) && isCount(failures) &&
    typeof failure === "string";
}
