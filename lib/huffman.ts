/**
 * The Huffman code of HPACK (RFC 7541 section 5.2 and Appendix B).
 *
 * Pure; needs nothing. Refuses padding of more than 7 bits or not all ones, EOS, and a cut code.
 * The code is canonical: its lengths say all of it, codes and tables are made from them here.
 */

/** Bits of the code of each symbol, as digits to the base 36; 32 symbols a line, then EOS. */
const LENGTHS = Uint8Array.from(
  "dnsssssssoussussssssssusssssssss" +
    "6aacd68baa8b8666555666666678f6ca" +
    "d67777777777777777777777878djde6" +
    "f56565666577666567655677777fbeds" +
    "kmkkmmmnmnnnnnonoomnonnnnlmnmnno" +
    "mlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
    "qqkjmnmpqqqrrqopjlqrrqrollqqsrrr" +
    "koklmllnmmppooqnqrqqrrrrrsrrrrrq" +
    "u",
  (digit) => parseInt(digit, 36),
);
const EOS = 256, LONGEST = 30;

/** Codes of up to so many bits, which most characters of fields have, are found in one step. */
const SHORT = 10;
const SHORT_MASK = 2 ** SHORT - 1;

const { CODES, SHORT_CODES, FIRST, COUNT, OFFSET, SYMBOLS } = canonicalTables();

/** Bytes that `text`, of latin1 characters, takes when encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += LENGTHS[text.charCodeAt(i)];
  return (bits + 7) >>> 3;
}

/** Writes huffmanLength(text) bytes to `out` from `at` on; returns where they end. */
export function huffmanEncode(text: string, out: Uint8Array, at: number): number {
  let bits = 0, pending = 0; // the lowest so many of `bits` are yet to be written, at most 7
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    let length = LENGTHS[symbol];
    if (length > 24) { // with what is pending, more than fits into 32 bits
      bits = bits << 8 | CODES[symbol] >>> (length - 8);
      out[at++] = bits >>> pending;
      length -= 8;
    }
    bits = bits << length | CODES[symbol] & (2 ** length - 1);
    for (pending += length; pending >= 8;) out[at++] = bits >>> (pending -= 8);
  }
  if (pending > 0) out[at++] = bits << (8 - pending) | 0xff >>> pending;
  return at;
}

/**
 * Decodes `bytes` from `pos` to `end`; returns the length of the text or -1 if they aren't valid.
 * Of a text that is longer than `out`, only what fits is written.
 */
export function huffmanDecode(
  bytes: Uint8Array,
  pos: number,
  end: number,
  out: Uint8Array,
): number {
  let length = 0;
  let bits = 0, pending = 0; // the lowest so many of `bits` are yet to be read
  for (;;) {
    while (pending <= 24 && pos < end) {
      bits = bits << 8 | bytes[pos++];
      pending += 8;
    }
    const missing = SHORT - pending; // at the end: padding stands in for them
    const next = missing > 0 ? bits << missing | SHORT_MASK >>> pending : bits >>> -missing;
    const found = SHORT_CODES[next & SHORT_MASK];
    let size = found & 15, symbol = found >>> 4;
    if (found === 0 || size > pending) {
      if (missing > 0) return pending < 8 && (~bits & (1 << pending) - 1) === 0 ? length : -1;
      pending -= SHORT;
      let code = next & SHORT_MASK;
      for (size = SHORT; code - FIRST[size] >= COUNT[size]; size++) {
        if (pending === 0) {
          if (pos === end) return -1;
          bits = bytes[pos++];
          pending = 8;
        }
        code = code << 1 | bits >>> --pending & 1;
      }
      symbol = SYMBOLS[OFFSET[size] + code - FIRST[size]];
      if (symbol === EOS) return -1;
      size = 0;
    }
    pending -= size;
    if (length < out.length) out[length] = symbol;
    length++;
  }
}

/**
 * Codes of one length follow each other in the order of their symbols, and shorter ones come
 * first: CODES by symbol; by length the FIRST code, their COUNT and their OFFSET in SYMBOLS; and
 * by the next SHORT bits `symbol << 4 | length`, 0 for a longer code.
 */
function canonicalTables() {
  const CODES = new Uint32Array(EOS + 1), SHORT_CODES = new Uint16Array(SHORT_MASK + 1);
  const FIRST = new Uint32Array(LONGEST + 1), COUNT = new Uint32Array(LONGEST + 1);
  const OFFSET = new Uint32Array(LONGEST + 1), SYMBOLS: number[] = [];
  for (let length = 1, code = 0; length <= LONGEST; length++, code <<= 1) {
    FIRST[length] = code;
    OFFSET[length] = SYMBOLS.length;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (LENGTHS[symbol] !== length) continue;
      const shift = SHORT - length;
      if (shift >= 0) SHORT_CODES.fill(symbol << 4 | length, code << shift, (code + 1) << shift);
      CODES[symbol] = code++;
      SYMBOLS.push(symbol);
    }
    COUNT[length] = code - FIRST[length];
  }
  return { CODES, SHORT_CODES, FIRST, COUNT, OFFSET, SYMBOLS };
}
