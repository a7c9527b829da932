/**
 * Numbers on the wire and of options, read strictly. Pure; needs nothing.
 *
 * `parseInt("0x10", 16)` is 16 and `Number("1e3")` is 1000: two programs that read the same digits
 * differently is how requests get smuggled. Here a number is digits and nothing else.
 */

/** Digits only, at most `max`; undefined for a sign, space, prefix, overflow or no digit at all. */
export function parseDecimal(
  text: string,
  max: number = Number.MAX_SAFE_INTEGER,
): number | undefined {
  return parseDigits(text, 10, max);
}

/** As parseDecimal, with hexadecimal digits of either case and no `0x`. */
export function parseHex(text: string, max: number = Number.MAX_SAFE_INTEGER): number | undefined {
  return parseDigits(text, 16, max);
}

/** A file's mode, of octal digits only: `600`, `0644`; undefined beyond 0o777. */
export function parseMode(text: string): number | undefined {
  return parseDigits(text, 8, 0o777);
}

function parseDigits(text: string, base: number, max: number): number | undefined {
  if (text.length === 0) return undefined;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = digitValue(text.charCodeAt(i));
    if (digit >= base) return undefined;
    value = value * base + digit;
    if (value > max) return undefined; // also bounds the loop for absurdly long zeros-free input
  }
  return value;
}

/** The value of one hexadecimal digit's character code, 99 when it is none. */
function digitValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : 99;
}
