/**
 * Durations as people write them in options: the grammar of Go's time.ParseDuration, so that
 * values written for the Go programs keep their meaning. Pure; needs nothing.
 *
 * Values are milliseconds, the unit of every timer here, with fractions down to the nanosecond.
 * Refused: signs (nothing here lasts less than nothing), spaces, exponents, a number without a
 * unit other than a lone 0, an unknown or upper-case unit, more than 2^53 ms.
 */

/** Longest text looked at: enough for every unit with all its digits. */
const MAX_LENGTH = 64;

/** Nanoseconds a unit, in whole numbers so that 1.001s is 1001 ms and not 1000.9999999999999. */
const UNITS: ReadonlyMap<string, bigint> = new Map([
  ["h", 3_600_000_000_000n],
  ["m", 60_000_000_000n],
  ["s", 1_000_000_000n],
  ["ms", 1_000_000n],
  ["µs", 1_000n], // U+00B5, micro sign: what formatDuration() writes
  ["μs", 1_000n], // U+03BC, Greek mu: what some keyboards give
  ["us", 1_000n],
  ["ns", 1n],
]);
const NS_PER_MS = 1_000_000n;

/** One term: digits, perhaps a point and digits (Go takes `.5s` and `1.s`), a unit. */
const TERM = /(\d*)(?:\.(\d*))?([a-zµμ]+)/y;

/** Milliseconds; undefined when it isn't a duration. Terms may repeat and come in any order. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (text.length === 0 || text.length > MAX_LENGTH) return undefined;
  const term = new RegExp(TERM);
  let total = 0n;
  while (term.lastIndex < text.length) {
    const [, whole = "", fraction = "", unit = ""] = term.exec(text) ?? [];
    const ns = UNITS.get(unit);
    if (ns === undefined || whole + fraction === "") return undefined;
    // Less than a nanosecond is dropped, as in Go.
    total += BigInt(whole) * ns + BigInt(fraction) * ns / 10n ** BigInt(fraction.length);
  }
  if (total > BigInt(Number.MAX_SAFE_INTEGER) * NS_PER_MS) return undefined;
  return Number(total / NS_PER_MS) + Number(total % NS_PER_MS) / 1e6;
}

/**
 * As Go prints a duration, without the parts that are zero: `3m` and not `3m0s`, `1h5s`, `1.5s`,
 * `100ms`, `0s`. What parseDuration() gave comes back as the same number. A negative or infinite
 * number, which a clock that was set back can make, comes out as a plain number of ms.
 */
export function formatDuration(ms: number): string {
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) return `${ms}ms`;
  let rest = BigInt(Math.trunc(ms)) * NS_PER_MS + BigInt(Math.round((ms % 1) * 1e6));
  if (rest === 0n) return "0s";
  let text = "";
  for (const [unit, ns] of UNITS) {
    if (rest < ns) continue;
    if (unit !== "h" && unit !== "m") return text + decimal(rest, ns) + unit;
    text += `${rest / ns}${unit}`;
    rest %= ns;
  }
  return text;
}

/** `value / unit` in decimal, exactly: every unit is a power of ten. */
function decimal(value: bigint, unit: bigint): string {
  const digits = String(unit).length - 1;
  const fraction = String(value % unit).padStart(digits, "0").slice(0, digits).replace(/0+$/, "");
  return fraction === "" ? `${value / unit}` : `${value / unit}.${fraction}`;
}
