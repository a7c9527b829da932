/**
 * The known name that a mistyped one was most likely meant to be. Pure; needs nothing.
 */

/** More edits than this and a suggestion is a guess that misleads. */
const MAX_EDITS = 2;

/**
 * The first candidate with the fewest edits (letters put in, taken out or replaced, case ignored),
 * as it is spelled in `candidates`; undefined when none is within two edits or none shares a letter
 * with `word`. The work is bounded by the candidates: a longer `word` is never compared.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let fewest = Math.min(MAX_EDITS, word.length - 1) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= fewest) continue;
    const edits = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

/** Levenshtein's distance by one row of the matrix: O(a·b) time, O(b) space. */
function editDistance(a: string, b: string): number {
  const row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    let diagonal = i - 1; // the cell up and to the left of the one being filled in
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const replaced = diagonal + (a[i - 1] === b[j - 1] ? 0 : 1);
      diagonal = row[j]!;
      row[j] = Math.min(replaced, diagonal + 1, row[j - 1]! + 1);
    }
  }
  return row[b.length]!;
}
