/** Work that must not overlap, done one after another. Needs nothing. */

/**
 * A lock for each key: of the works for one key each starts when the one before has ended, well or
 * not.
 */
export function perKey(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const latest = new Map<string, Promise<unknown>>();
  return async (key, work) => {
    const mine = (latest.get(key) ?? Promise.resolve()).then(work, work);
    latest.set(key, mine);
    try {
      return await mine;
    } finally {
      if (latest.get(key) === mine) latest.delete(key);
    }
  };
}
