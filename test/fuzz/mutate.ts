/**
 * Makes inputs out of others: bits, bytes, numbers and lengths changed, parts cut, doubled, moved
 * or taken from another input, and words that mean something put in. Pure but for its Random.
 */
import { Buffer } from "node:buffer";
import type { Random } from "./random.ts";

/** Bytes, and what some of them are changed to. */
const ODD_BYTES = [0, 1, 9, 10, 13, 32, 34, 44, 46, 58, 59, 61, 92, 123, 125, 127, 128, 192, 255];
/** Words for every text and every number's field. */
const ODD_WORDS = ["\r\n", "\0", "0", "-1", "65536", "4294967296", "9007199254740993", "\xff\xff"]
  .concat("%00", "../", "__proto__", "constructor", "\xe2\x80\xa8", "\xc3\xa9", "\xf0\x9f\x98\x80");
const LONGEST_PART = 256;

type Edit = (
  input: Buffer,
  random: Random,
  others: readonly Buffer[],
  words: readonly Buffer[],
) => Buffer;

const odd: readonly Buffer[] = ODD_WORDS.map((word) => Buffer.from(word, "latin1"));

/** `input` with `count` bytes from `at` on replaced by `part`. */
export function splice(input: Buffer, at: number, count: number, part: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, at), part, input.subarray(at + count)]);
}

/** A part, at most 256 bytes, where it is and how long. */
function place(input: Buffer, random: Random): [at: number, length: number] {
  const at = random.below(input.length + 1);
  const most = Math.min(LONGEST_PART, input.length - at);
  return [at, random.below(1 + (random.once(2) ? Math.min(most, 4) : most))];
}

function changeByte(input: Buffer, random: Random, change: (byte: number) => number): Buffer {
  const changed = Buffer.from(input);
  if (changed.length === 0) return changed;
  const at = random.below(changed.length);
  changed[at] = change(changed[at]);
  return changed;
}

/** Adds a little to a number of one to four bytes, as lengths are. */
function changeNumber(input: Buffer, random: Random): Buffer {
  const size = 1 + random.below(4);
  if (input.length < size) return input;
  const changed = Buffer.from(input);
  const at = random.below(changed.length - size + 1);
  const added = changed.readUIntBE(at, size) + random.below(17) - 8;
  const limit = 256 ** size;
  changed.writeUIntBE((added + limit) % limit, at, size);
  return changed;
}

const EDITS: readonly Edit[] = [
  (input, random) => changeByte(input, random, (byte) => byte ^ 1 << random.below(8)),
  (input, random) => changeByte(input, random, () => random.pick(ODD_BYTES)),
  (input, random) => changeByte(input, random, () => random.below(256)),
  changeNumber,
  (input, random) => splice(input, ...place(input, random), Buffer.alloc(0)),
  (input, random) => input.subarray(0, random.below(input.length + 1)),
  (input, random) => {
    const [at, length] = place(input, random);
    const part = input.subarray(at, at + length);
    return splice(input, random.below(input.length + 1), 0, part);
  },
  (input, random) => {
    const [at, length] = place(input, random);
    const times = 1 + random.below(random.once(20) ? 300 : 4);
    return splice(input, at, 0, Buffer.concat(Array(times).fill(input.subarray(at, at + length))));
  },
  (input, random, others) => {
    const other = random.pick(others);
    const [from, length] = place(other, random);
    return splice(input, ...place(input, random), other.subarray(from, from + length));
  },
  (input, random, others) => {
    const other = random.pick(others);
    const end = other.subarray(random.below(other.length + 1));
    return Buffer.concat([input.subarray(0, random.below(input.length + 1)), end]);
  },
  ...Array(3).fill((input: Buffer, random: Random, _: unknown, words: readonly Buffer[]) => {
    const word = random.pick(random.once(4) || words.length === 0 ? odd : words);
    return random.once(2)
      ? splice(input, random.below(input.length + 1), 0, word)
      : splice(input, ...place(input, random), word);
  }) as Edit[],
];

/** One to eight edits, mostly few; at most `limit` bytes. */
export function mutate(
  input: Buffer,
  random: Random,
  others: readonly Buffer[],
  words: readonly Buffer[],
  limit: number,
): Buffer {
  let changed = input;
  do changed = random.pick(EDITS)(changed, random, others, words); while (
    !random.once(2) && !random.once(4)
  );
  return changed.length > limit ? changed.subarray(0, limit) : changed;
}
