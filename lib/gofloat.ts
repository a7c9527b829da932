/**
 * Floating-point numbers as Go writes them (strconv.FormatFloat): exact, rounded half to even,
 * where JavaScript's toFixed() and toPrecision() round half up. Pure; needs nothing.
 */

export type FloatVerb = "b" | "e" | "E" | "f" | "g" | "G" | "x" | "X";

/** 0.`digits` times ten to the power of `point`; no zeros at either end, so none at all for 0. */
interface Decimal {
  readonly digits: string;
  readonly point: number;
}

/** Precision -1: as few digits as tell the number from all others. */
export function formatFloat(value: number, verb: FloatVerb, precision: number): string {
  if (Number.isNaN(value)) return "NaN";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  if (!Number.isFinite(value)) return `${sign || "+"}Inf`;
  const size = Math.abs(value);
  if (verb === "b") return sign + formatBinary(size);
  if (verb === "x") return sign + formatHex(size, precision);
  if (verb === "X") return sign + formatHex(size, precision).toUpperCase();
  const shortest = precision < 0;
  const decimal = shortest ? shortestDecimal(size) : exactDecimal(size);
  const { digits, point } = decimal;
  if (verb === "f") {
    return sign + formatFixed(decimal, shortest ? Math.max(digits.length - point, 0) : precision);
  }
  if (verb === "e" || verb === "E") {
    return sign + formatExponent(decimal, shortest ? digits.length - 1 : precision, verb);
  }
  return sign + formatGeneral(decimal, precision, verb === "g" ? "e" : "E");
}

/** With an exponent if that is below -4 or not below the precision (6, for the shortest). */
function formatGeneral(decimal: Decimal, precision: number, e: string): string {
  const shortest = precision < 0;
  const wanted = shortest ? decimal.digits.length : precision || 1;
  const rounded = shortest ? decimal : round(decimal, wanted);
  const { digits: { length }, point } = rounded;
  const limit = shortest ? 6 : wanted > length && length >= point ? length : wanted;
  if (point - 1 < -4 || point - 1 >= limit) {
    return formatExponent(rounded, Math.min(wanted, length) - 1, e);
  }
  return formatFixed(rounded, Math.max((wanted > point ? length : wanted) - point, 0));
}

function formatFixed(decimal: Decimal, precision: number): string {
  const { digits, point } = round(decimal, decimal.point + precision);
  const whole = point > 0 ? digits.slice(0, point).padEnd(point, "0") : "0";
  if (precision === 0) return whole;
  const rest = "0".repeat(Math.min(Math.max(-point, 0), precision)) +
    digits.slice(Math.max(point, 0));
  return `${whole}.${rest.slice(0, precision).padEnd(precision, "0")}`;
}

function formatExponent(decimal: Decimal, precision: number, e: string): string {
  const { digits, point } = round(decimal, precision + 1);
  const exponent = digits === "" ? 0 : point - 1;
  const rest = digits.slice(1).padEnd(precision, "0");
  const power = `${Math.abs(exponent)}`.padStart(2, "0");
  const mantissa = (digits[0] ?? "0") + (precision > 0 ? `.${rest}` : "");
  return `${mantissa}${e}${exponent < 0 ? "-" : "+"}${power}`;
}

function formatBinary(value: number): string {
  const { mantissa, exponent } = decompose(value);
  return `${mantissa}p${exponent < 0 ? "" : "+"}${exponent}`;
}

/** 1.8p+01; a precision counts digits after the point. */
function formatHex(value: number, precision: number): string {
  let { mantissa, exponent } = decompose(value);
  if (mantissa === 0n) exponent = -52;
  while (mantissa !== 0n && mantissa < 1n << 52n) {
    mantissa <<= 1n;
    exponent--;
  }
  if (precision >= 0 && precision < 13) {
    const shift = BigInt(52 - 4 * precision);
    const half = 1n << (shift - 1n);
    const [kept, rest] = [mantissa >> shift, mantissa & ((1n << shift) - 1n)];
    const up = rest > half || (rest === half && (kept & 1n) === 1n) ? 1n : 0n;
    mantissa = (kept + up) << shift;
    if (mantissa >= 1n << 53n) {
      mantissa >>= 1n;
      exponent++;
    }
  }
  const fraction = (mantissa & ((1n << 52n) - 1n)).toString(16).padStart(13, "0");
  const shown = precision < 0
    ? fraction.replace(/0+$/, "")
    : fraction.slice(0, precision).padEnd(precision, "0");
  const power = exponent + 52;
  const sign = power < 0 ? "-" : "+";
  return `0x${mantissa >> 52n}${shown === "" ? "" : `.${shown}`}p${sign}` +
    `${Math.abs(power)}`.padStart(2, "0");
}

/** The value is mantissa times two to the power of exponent. */
function decompose(value: number): { mantissa: bigint; exponent: number } {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const all = bits.getBigUint64(0);
  const [exponent, fraction] = [Number(all >> 52n) & 0x7ff, all & ((1n << 52n) - 1n)];
  if (exponent === 0) return { mantissa: fraction, exponent: -1074 };
  return { mantissa: fraction | (1n << 52n), exponent: exponent - 1075 };
}

function shortestDecimal(value: number): Decimal {
  const [digits = "", exponent = ""] = value.toExponential().split("e");
  return trim(digits.replace(".", ""), Number(exponent) + 1);
}

function exactDecimal(value: number): Decimal {
  const { mantissa, exponent } = decompose(value);
  if (exponent >= 0) {
    const whole = `${mantissa << BigInt(exponent)}`;
    return trim(whole, whole.length);
  }
  const digits = `${mantissa * 5n ** BigInt(-exponent)}`; // m / 2^k is m * 5^k / 10^k
  return trim(digits, digits.length + exponent);
}

function trim(digits: string, point: number): Decimal {
  const trimmed = digits.replace(/0+$/, "");
  return trimmed === "" ? { digits: "", point: 0 } : { digits: trimmed, point };
}

/** To so many digits, half to even: all digits are there, so a 5 that ends them is a half. */
function round(decimal: Decimal, count: number): Decimal {
  const { digits, point } = decimal;
  if (count >= digits.length) return decimal;
  if (count < 0) return { digits: "", point: 0 };
  const isHalf = digits[count] === "5" && count + 1 === digits.length;
  const isUp = isHalf
    ? count > 0 && digits.charCodeAt(count - 1) % 2 === 1
    : digits.charCodeAt(count) >= 0x35;
  if (!isUp) return trim(digits.slice(0, count), point);
  const kept = digits.slice(0, count).replace(/9+$/, "");
  if (kept === "") return { digits: "1", point: point + 1 };
  const last = Number(kept.at(-1)) + 1;
  return { digits: `${kept.slice(0, -1)}${last}`, point };
}
