/** What the sources import of each other. */

/** The programs, at the root. */
export const ENTRIES: readonly string[] = ["centauri", "dotege"];

export interface Import {
  readonly names: string;
  readonly from: string;
}

/** Static, dynamic and re-exporting imports of a file; "" where a dynamic one isn't a literal. */
export function importsOf(source: string): Import[] {
  const code = source.replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "");
  const fixed = code.matchAll(/^(?:import|export)\b(?:([^;"=(]*)\bfrom)?\s*"([^"\n]+)";$/gm);
  const dynamic = code.matchAll(/\bimport\(\s*(?:"([^"\n]+)"\s*\))?/g);
  return [
    ...[...fixed].map(([, names = "", from = ""]) => ({ names, from })),
    ...[...dynamic].map(([, from = ""]) => ({ names: "", from })),
  ];
}

/** The file that a relative import means, named as in LAYERS; undefined for any other. */
export function localName(importer: string, from: string): string | undefined {
  if (!/^\.\.?\/[\w/.-]+\.ts$/.test(from)) return undefined;
  const folder = importer.startsWith("dns/") ? "/lib/dns/" : "/lib/";
  const path = new URL(from, `file://${ENTRIES.includes(importer) ? "/" : folder}`).pathname;
  return path.replace(/^\/(lib\/)?/, "").replace(/\.ts$/, "");
}

/** A file and all that it imports, but for types and for what it loads when it needs it. */
export function loadedAtStart(name: string, files: ReadonlyMap<string, string>): Set<string> {
  const found = new Set([name]);
  for (const one of found) {
    const eager = (files.get(one) ?? "").replace(/\bimport\(|^import type\b/gm, "");
    for (const { from } of importsOf(eager)) {
      const local = localName(one, from);
      if (local !== undefined) found.add(local);
    }
  }
  return found;
}
