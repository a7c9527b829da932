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
const CODES = canonicalCodes();

/** Of the tree of codes: 0 is its root, and nothing leads out of FAILED. */
const FAILED = 256, STATES = 257;
/** By state and the next four bits, `state << 9 | 1 << 8 | symbol` if they complete a symbol. */
const TRANSITIONS = new Uint32Array(STATES * 16);
/** Whether a text may end in a state. */
const ENDINGS = new Uint8Array(STATES);
fillTables();

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
    let length = LENGTHS[symbol], code = CODES[symbol];
    if (length > 24) { // with what is pending, more than fits into 32 bits
      length -= 8;
      bits = bits << 8 | code >>> length;
      out[at++] = bits >>> pending;
      code &= (1 << length) - 1;
    }
    bits = bits << length | code;
    for (pending += length; pending >= 8;) out[at++] = bits >>> (pending -= 8);
  }
  if (pending > 0) out[at++] = bits << (8 - pending) | 0xff >>> pending;
  return at;
}

/** Room that a text of so many encoded bytes needs at most: no code is shorter than five bits. */
export function huffmanRoom(bytes: number): number {
  return Math.ceil(bytes * 8 / 5);
}

/**
 * Decodes `bytes` from `pos` to `end` into `out`, which has the room that huffmanRoom says; returns
 * the length of the text or -1 if they aren't valid.
 */
export function huffmanDecode(
  bytes: Uint8Array,
  pos: number,
  end: number,
  out: Uint8Array,
): number {
  let length = 0, state = 0;
  while (pos < end) {
    const byte = bytes[pos++];
    const first = TRANSITIONS[state << 4 | byte >>> 4];
    out[length] = first;
    length += first >>> 8 & 1; // what was written for no symbol is written over
    const second = TRANSITIONS[first >>> 9 << 4 | byte & 15];
    out[length] = second;
    length += second >>> 8 & 1;
    state = second >>> 9;
  }
  return ENDINGS[state] === 1 ? length : -1;
}

/** Codes of one length follow each other in the order of their symbols, after all shorter ones. */
function canonicalCodes(): Int32Array {
  const codes = new Int32Array(EOS + 1);
  for (let length = 1, code = 0; length <= LONGEST; length++, code <<= 1) {
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (LENGTHS[symbol] === length) codes[symbol] = code++;
    }
  }
  return codes;
}

/** Makes the tree of the codes and walks four bits from each of its inner nodes. */
function fillTables(): void {
  const tree: number[][] = [[]]; // what a bit leads to: a node, or a symbol as ~symbol
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = LENGTHS[symbol] - 1; bit > 0; bit--) {
      node = tree[node][CODES[symbol] >>> bit & 1] ??= tree.push([]) - 1;
    }
    tree[node][CODES[symbol] & 1] = ~symbol;
  }
  for (let state = 0; state < STATES; state++) {
    for (let bits = 0; bits < 16; bits++) TRANSITIONS[state << 4 | bits] = walk(tree, state, bits);
  }
  for (let node = 0, ones = 0; ones < 8; ones++, node = tree[node][1]) ENDINGS[node] = 1;
}

function walk(tree: readonly number[][], node: number, bits: number): number {
  let found = 0; // of codes of five bits and more, four bits complete one at most
  for (let bit = 3; bit >= 0 && node !== FAILED; bit--) {
    node = tree[node][bits >>> bit & 1];
    if (node >= 0) continue;
    if (~node === EOS) node = FAILED;
    else [found, node] = [1 << 8 | ~node, 0];
  }
  return node << 9 | found;
}
