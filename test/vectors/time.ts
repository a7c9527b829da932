/** Durations and sizes as people write them; undefined is refused. */

export interface Vector {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  /** Milliseconds or bytes. */
  readonly expect: number | undefined;
}

const duration = (input: string, expect: number | undefined, why: string): Vector => ({
  name: `duration ${JSON.stringify(input)}`,
  why,
  input,
  expect,
});

export const durations: readonly Vector[] = [
  duration("10s", 10_000, "the usual"),
  duration("1h30m", 5_400_000, "several terms"),
  duration("1m1m", 120_000, "Go lets a unit repeat"),
  duration("5s1h", 3_605_000, "in any order"),
  duration("0", 0, "the only number without a unit"),
  duration("0s", 0, "nothing, with a unit"),
  duration("007s", 7_000, "leading zeros are digits"),
  duration("100ms", 100, "ms isn't m and s"),
  duration("1us", 0.001, "microseconds in ASCII"),
  duration("1µs", 0.001, "U+00B5, micro sign"),
  duration("1μs", 0.001, "U+03BC, Greek mu"),
  duration("1ns", 0.000001, "the smallest unit"),
  duration("1.5s", 1_500, "a fraction"),
  duration(".5s", 500, "Go needs no digit before the point"),
  duration("1.s", 1_000, "nor one after it"),
  duration("1h0.5m", 3_630_000, "a fraction of any unit"),
  duration("1.001s", 1_001, "1.001 * 1000 is not 1001 in floating point"),
  duration("0.1ns", 0, "Go drops what is less than a nanosecond"),
  duration("9007199254740991ms", Number.MAX_SAFE_INTEGER, "the longest"),
  duration("9007199254740992ms", undefined, "longer than 2^53 - 1 ms"),
  duration("9007199254740991ms1ns", undefined, "by a nanosecond"),
  duration(`${"9".repeat(61)}s`, undefined, "digits for ever"),
  duration(`0.${"0".repeat(100)}s`, undefined, "more text than any duration needs"),
  duration("", undefined, "no term"),
  duration("s", undefined, "no number"),
  duration(".s", undefined, "no digit"),
  duration("100", undefined, "no unit: of what?"),
  duration("00", undefined, "only a single 0 stands alone"),
  duration("1m30", undefined, "the last term has no unit"),
  duration("1hm", undefined, "the last unit has no number"),
  duration("1.1.1s", undefined, "two points"),
  duration("-1s", undefined, "nothing lasts less than nothing"),
  duration("+1s", undefined, "signs are refused"),
  duration(" 1s", undefined, "space before"),
  duration("1s ", undefined, "space after"),
  duration("1 s", undefined, "space inside"),
  duration("1S", undefined, "units are lower case"),
  duration("1d", undefined, "Go has no days: they aren't all 24 hours"),
  duration("1e3s", undefined, "no exponents"),
  duration("0x10s", undefined, "no hexadecimal"),
  duration("١s", undefined, "ASCII digits only"),
  duration("1s\n", undefined, "a line end is no part of it"),
];

const size = (input: string, expect: number | undefined, why: string): Vector => ({
  name: `size ${JSON.stringify(input)}`,
  why,
  input,
  expect,
});

export const sizes: readonly Vector[] = [
  size("65536", 65_536, "bytes"),
  size("0", 0, "nothing"),
  size("64KiB", 65_536, "2^10"),
  size("16MiB", 16_777_216, "2^20"),
  size("1GiB", 1_073_741_824, "2^30"),
  size("2TiB", 2_199_023_255_552, "2^40"),
  size("8191TiB", 8191 * 2 ** 40, "the most whole TiB"),
  size("8192TiB", undefined, "2^53"),
  size("9007199254740991", Number.MAX_SAFE_INTEGER, "the most"),
  size("9007199254740992", undefined, "more than that"),
  size("", undefined, "no digit"),
  size("KiB", undefined, "no digit before the unit"),
  size("64KB", undefined, "1000 or 1024?"),
  size("64K", undefined, "1000 or 1024?"),
  size("64kib", undefined, "units have one spelling"),
  size("64B", undefined, "bytes have no unit"),
  size("64 KiB", undefined, "a space"),
  size("1.5MiB", undefined, "fractions"),
  size("-1", undefined, "signs"),
  size("0x10", undefined, "no hexadecimal"),
  size("1KiBKiB", undefined, "one unit"),
];
