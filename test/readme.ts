/**
 * The parts of README.md that come from the sources: options, template functions, and which file
 * to read when.
 * `npm run readme` writes them.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { DOTEGE_OPTIONS } from "../lib/dotegesettings.ts";
import { formatMarkdown } from "../lib/options.ts";
import { CENTAURI_OPTIONS } from "../lib/settings.ts";
import { FUNCTION_HELP } from "../lib/templatefunctions.ts";
import { ENTRIES, loadedAtStart } from "./imports.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Where bytes of strangers go before anything trusts them. */
export const CRITICAL: readonly string[] = [
  ...["frontend", "clienthello", "http1", "http1reader", "http1output", "http1server", "exchange"],
  ...["proxy", "routes", "rewrite", "answer"],
];

/** Of these, what HTTP/2 adds. */
export const HTTP2: readonly string[] = [
  ...["http2server", "http2stream", "http2output", "http2", "http2head", "http2limits", "hpack"],
  ...["huffman"],
];

/** Every file, in the order in which it reads best. */
export const READING_ORDER: readonly (readonly [heading: string, names: readonly string[]])[] = (
  [
    ["Centauri", "centauri program settings acmesettings centaurisettings serving workers worker"],
    [
      "A request, from the socket to the upstream",
      `frontend clienthello http1 http1reader http1server http1output exchange observer proxy rewrite
       answer
       upstream health http1client errorpage runtime`,
    ],
    ["HTTP/2", "http2server http2stream http2output http2 http2head http2limits hpack huffman"],
    ["Routes and certificates", "routes routesource watchfile certs contexts store x509 der"],
    [
      "How certificates are obtained: loaded when they are to be",
      `autocert renewal issuer order preflight causes authority challenges acmetls acme acmeobjects
       jose httpsclient account acmestate commands resolver dnsmsg stapling ocsp`,
    ],
    [
      "Several machines: loaded when wanted",
      `sharing redisstore redislease lease redischallenges askedchallenges redis resp networksource
       confignetwork proxyaccept proxyprotocol`,
    ],
    [
      "Seeing what happens: loaded when wanted",
      `status statuscauses statuswords statustext statuspage statussocket statuscommand monitor
       observing observe servedmetrics metrics metricsserver accesslog accessline`,
    ],
    ["Tailscale: loaded when wanted", "tailscalefrontend whois tailscale"],
    ["Dotege", "dotege dotegesettings certsettings"],
    [
      "From the engine to what templates see",
      `watch docker dockerhost dockerdial jsonstream container hostnames labels users yaml
       verdictlog explain`,
    ],
    [
      "Templates",
      `template templatelex templatenode templateparse templateliteral templateexec templatecall
       templatebuiltins
       templatefunctions gofmt govalue gofloat gostring`,
    ],
    ["Writing and telling", "outputs diff notify command configpush debounce"],
    ["Certificates for others: loaded when they are wanted", "dotegecerts certfiles dotegecache"],
    [
      "Small tools of both",
      `options log addr file lock jsonfile turns clock bufferpool time size number nearest`,
    ],
  ] as const
).map(([heading, names]) => [heading, names.split(/\s+/)]);

/** What is loaded when an option names it: a reader reads the one in use. */
const isOptional = (name: string): boolean => name.startsWith("dns/");

/** Lines that somebody reads attentively in a minute, comments included. */
const LINES_A_MINUTE = 25;

/** The text of every `.ts` file at the root and in `lib/`, by its name without `lib/` and ending. */
export function readSources(): Map<string, string> {
  const paths = ["", "lib", "lib/dns"].flatMap((folder) =>
    readdirSync(join(root, folder)).filter((name) => name.endsWith(".ts")).map((name) =>
      join(folder, name)
    )
  );
  return new Map(paths.map((path) => {
    const name = path.replace(/^lib\//, "").replace(/\.ts$/, "");
    return [name, readFileSync(join(root, path), "utf8")];
  }));
}

/** The names of the files that count: all but those that are loaded when an option names them. */
export function countedNames(sources: ReadonlyMap<string, string>): string[] {
  return [...sources.keys()].filter((name) => !isOptional(name));
}

export function lineCount(source: string): number {
  return source.split("\n").length - 1;
}

/** The README with its generated parts made anew. */
export function renderReadme(readme: string, sources: ReadonlyMap<string, string>): string {
  const parts = {
    options: formatMarkdown(CENTAURI_OPTIONS),
    functions: formatFunctions(),
    "dotege-options": formatMarkdown(DOTEGE_OPTIONS),
    reading: formatReading(sources),
  };
  return Object.entries(parts).reduce((text, [name, part]) => {
    const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [text.indexOf(start), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`README.md has no ${start} … ${end}`);
    return `${text.slice(0, from + start.length)}\n\n${part.trim()}\n\n${text.slice(to)}`;
  }, readme);
}

function formatFunctions(): string {
  const rows = FUNCTION_HELP.map(({ name, usage, help }) => `| \`${name} ${usage}\` | ${help} |`);
  return ["| Function | Gives |", "| --- | --- |", ...rows].join("\n");
}

function formatReading(sources: ReadonlyMap<string, string>): string {
  const size = (names: Iterable<string>): string => {
    const lines = [...names].reduce((sum, name) => sum + lineCount(sources.get(name) ?? ""), 0);
    return `${lines} | ${Math.ceil(lines / LINES_A_MINUTE)}`;
  };
  const tables = READING_ORDER.map(([heading, names]) =>
    [
      `| ${heading} | lines | minutes | |\n| --- | ---: | ---: | --- |`,
      ...names.filter((name) => sources.has(name)).map((name) => {
        const path = ENTRIES.includes(name) ? `${name}.ts` : `lib/${name}.ts`;
        return `| [${name}](${path}) | ${size([name])} | ${subject(sources.get(name) ?? "")} |`;
      }),
    ].join("\n")
  );
  const optional = [...sources.keys()].filter(isOptional);
  const centauri = [...loadedAtStart("centauri", sources)];
  const dotege = [...loadedAtStart("dotege", sources)].filter((name) => !centauri.includes(name));
  const started = [...centauri, ...dotege];
  const later = countedNames(sources).filter((name) => !started.includes(name));
  const onDemand = READING_ORDER.flatMap(([heading, names]) => {
    const [subject = "", isLater] = heading.split(": loaded when");
    return isLater === undefined ? [] : [[subject, names] as const];
  });
  const sums = [
    "| In all | lines | minutes | |\n| --- | ---: | ---: | --- |",
    `| any Centauri | ${size(centauri)} | |`,
    `| of these on the path that faces the internet | ${size(CRITICAL)} | ${CRITICAL.join(", ")} |`,
    `| and for HTTP/2 | ${size(HTTP2)} | ${HTTP2.join(", ")} |`,
    `| any Dotege, besides what it shares with that | ${size(dotege)} | |`,
    `| what either loads when an option asks for it | ${size(later)} | |`,
    ...onDemand.map(([heading, names]) => `| of these: ${heading} | ${size(names)} | |`),
    `| everything | ${size(countedNames(sources))} | |`,
    `| besides, in lib/dns, a file for each DNS provider | ${size(optional)} | loaded when named |`,
  ];
  return [...tables, sums.join("\n")].join("\n\n");
}

/** The first thing that a file's header says. */
function subject(source: string): string {
  const header = /^\/\*\*([^]*?)\*\//.exec(source)?.[1] ?? "";
  const text = header.replace(/\s*\n \* ?/g, " ").trim();
  return /^[^]*?(?=\.(\s|$))/.exec(text)?.[0].replaceAll("|", "\\|") ?? "";
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = join(root, "README.md");
  writeFileSync(path, renderReadme(readFileSync(path, "utf8"), readSources()));
}
