/**
 * Sizes in bytes as people write them in options: `65536`, `64KiB`, `16MiB`. Pure.
 *
 * Binary units only: whether `64KB` is 64,000 or 65,536 bytes depends on who reads it, so it is
 * refused, like fractions, signs, spaces, other letter cases and more than 2^53 bytes.
 */
import { parseDecimal } from "./number.ts";

/** Bytes a unit, largest first. */
const UNITS: readonly (readonly [string, number])[] = [
  ["TiB", 2 ** 40],
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
  ["", 1],
];

/** Bytes; undefined when the text isn't a size. */
export function parseSize(text: string): number | undefined {
  const [unit, bytes] = UNITS.find(([name]) => text.endsWith(name)) ?? ["", 1];
  const count = parseDecimal(text.slice(0, text.length - unit.length));
  if (count === undefined || count > Number.MAX_SAFE_INTEGER / bytes) return undefined;
  return count * bytes;
}

/** In the largest unit that leaves a whole number: parseSize() gives the same bytes back. */
export function formatSize(bytes: number): string {
  const [unit, size] = UNITS.find(([, size]) => bytes >= size && bytes % size === 0) ?? ["", 1];
  return `${bytes / size}${unit}`;
}
