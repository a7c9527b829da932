/**
 * A status in words: what goes first, and rows of a title and a text, which a terminal and a page
 * lay out each in its way. Pure; needs the types of `status.ts`.
 *
 * Texts are strangers' in part and not escaped: whoever lays them out has to. They are cut, lists
 * too, so that one route can't fill a page.
 */
import type { CertificateStatus, Finding, RouteStatus, Status, UpstreamStatus } from "./status.ts";

/** UTF-16 units of a text; items of a list. */
const MAX_TEXT = 2_000;
const MAX_ITEMS = 20;

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000];

/** `mark` says how the text is to be taken. */
export interface Row {
  readonly title: string;
  readonly text: string;
  readonly mark?: "problem" | "warning" | "advice";
}

/** What belongs together; `level` says how it is, `rows` what is wrong, `facts` what there is. */
export interface Block {
  readonly level: "problem" | "warning" | "well";
  readonly title: string;
  readonly rows: readonly Row[];
  readonly facts: readonly Row[];
}

export interface Words {
  /** `3 routes: 1 isn't served, 1 needs a look, 1 is well` */
  readonly headline: string;
  readonly isWell: boolean;
  readonly summary: string;
  /** Of the program as a whole. */
  readonly findings: readonly Block[];
  /** Worst first, within the limits. */
  readonly routes: readonly Block[];
  /** What the limits left out; empty for nothing. */
  readonly left: string;
}

/** At most so many routes that aren't well, and so many that are. */
export function statusWords(
  status: Status,
  limits: { readonly troubled: number; readonly well: number },
): Words {
  const { routes, findings, problems, warnings } = status;
  const now = Date.parse(status.at);
  const worst = routes.filter(({ served }) => !served);
  const troubled = routes.filter(({ served, findings }) => served && findings.length > 0);
  const well = routes.filter(({ findings }) => findings.length === 0);
  const bad = [...worst, ...troubled];
  const shown = [...bad.slice(0, limits.troubled), ...well.slice(0, limits.well)];
  const left = [
    ...leftOut(bad.length - limits.troubled, "that need a look"),
    ...leftOut(well.length - limits.well, "that are well"),
  ];
  return {
    headline: headline(routes.length, problems, warnings),
    isWell: problems === 0 && findings.every(({ level }) => level !== "problem"),
    summary: summary(status, now),
    findings: findings.map((finding) => ({
      level: finding.level,
      title: TITLES.get(finding.cause) ?? cut(finding.cause),
      rows: findingRows(finding, now),
      facts: [],
    })),
    routes: shown.map((route) => routeBlock(route, now)),
    left: left.join(" and "),
  };
}

const TITLES: ReadonlyMap<string, string> = new Map([
  ["reload-failed", "New routes weren't taken"],
  ["worker-silent", "A worker is silent"],
]);

/** `routes.conf, in force for 67 min; running for 5 days; as of …` */
function summary({ at, startedAt, configuration: { from, since } }: Status, now: number): string {
  const [force, running] = [since, startedAt].map((time) => span(now - Date.parse(time)));
  return `Routes from ${cut(from)}, in force for ${force}; running for ${running}; ` +
    `as of ${instant(at)}.`;
}

function headline(routes: number, problems: number, warnings: number): string {
  if (routes === 0) return "no routes yet";
  const well = routes - problems - warnings;
  const counts = [
    ...problems > 0 ? [`${number(problems)} ${problems === 1 ? "isn't" : "aren't"} served`] : [],
    ...warnings > 0 ? [`${number(warnings)} ${warnings === 1 ? "needs" : "need"} a look`] : [],
    ...well > 0 ? [`${number(well)} ${well === 1 ? "is" : "are"} well`] : [],
  ];
  return `${number(routes)} route${routes === 1 ? "" : "s"}: ${counts.join(", ")}`;
}

function leftOut(count: number, what: string): string[] {
  return count > 0 ? [`${number(count)} more ${what}`] : [];
}

function routeBlock(route: RouteStatus, now: number): Block {
  const { names, fallback, requests, certificate, upstreams, findings, served, line } = route;
  const level = !served ? "problem" : findings.length > 0 ? "warning" : "well";
  return {
    level,
    title: list(names, " "),
    rows: findings.flatMap((finding) => findingRows(finding, now)),
    facts: [
      ...certificateRows(certificate, names, now),
      ...upstreams.slice(0, MAX_ITEMS).map((upstream) => ({
        title: "upstream",
        text: upstreamText(upstream, now),
      })),
      ...upstreams.length > MAX_ITEMS
        ? [{ title: "", text: `and ${number(upstreams.length - MAX_ITEMS)} more` }]
        : [],
      {
        title: "route",
        text: `line ${line}${fallback ? ", the fallback" : ""}; ${number(requests)} ` +
          `request${requests === 1 ? "" : "s"}`,
      },
    ],
  };
}

function findingRows(finding: Finding, now: number): Row[] {
  const { level, what, advice, at, attempts = 1, ca, challenges = [], next } = finding;
  const rows: Row[] = [{ title: level, text: cut(what), mark: level }];
  if (at !== undefined) {
    const times = attempts > 1 ? `${number(attempts)} times in a row, last ` : "";
    const where = ca === undefined ? "" : `, at ${cut(ca)}`;
    const by = challenges.length === 0 ? "" : `, by ${list(challenges, " and ")}`;
    rows.push({ title: "tried", text: `${times}${moment(at, now)}${where}${by}` });
  }
  if (next !== undefined) rows.push({ title: "next try", text: nextText(next, now) });
  rows.push({ title: "what to do", text: cut(advice), mark: "advice" });
  return rows;
}

function nextText(next: string, now: number): string {
  if (next === "change") return "when the configuration or DNS changes, else in a day";
  return Date.parse(next) - now < SECOND ? "now" : moment(next, now);
}

function certificateRows(
  certificate: CertificateStatus,
  routeNames: readonly string[],
  now: number,
): Row[] {
  const { state, names, renewal, orderedAt } = certificate;
  const rows: Row[] = [{ title: "certificate", text: certificateText(certificate, now) }];
  if (names.join() !== routeNames.join()) rows.push({ title: "for", text: list(names, " ") });
  if (orderedAt !== undefined) {
    rows.push({ title: "order", text: `under way for ${span(now - Date.parse(orderedAt))}` });
  }
  if (state === "valid" && renewal !== undefined) {
    const by = renewal.suggested ? ", as the CA suggests (ARI)" : "";
    const why = renewal.see === undefined ? "" : `; see ${cut(renewal.see)}`;
    rows.push({ title: "renewal", text: `${nextText(renewal.at, now)}${by}${why}` });
  }
  return rows;
}

function certificateText(certificate: CertificateStatus, now: number): string {
  const { state, provider, issuer = "", notAfter = "" } = certificate;
  const from = provider === "selfsigned" ? "self-signed" : `from ${cut(issuer) || "a CA"}`;
  if (state === "valid") return `${from}, valid for ${until(notAfter, now)}`;
  if (state === "on-demand") return "self-signed, made when somebody connects";
  if (state === "expired") return `${from}, ended ${moment(notAfter, now)}`;
  return state === "unusable" ? "there is one that can't be used" : "none";
}

function upstreamText(upstream: UpstreamStatus, now: number): string {
  const { name, state, since, workedAt, failedAt, failure = "" } = upstream;
  if (state === "unknown") return `${cut(name)}, not asked yet`;
  const long = since === undefined ? "" : ` for ${span(now - Date.parse(since))}`;
  const last = workedAt === undefined
    ? "never answered"
    : `answered ${span(now - Date.parse(workedAt))} ago`;
  const before = state === "works" && failedAt !== undefined
    ? `; before, it failed ${span(now - Date.parse(failedAt))} ago: ${cut(failure)}`
    : "";
  return `${cut(name)} ${state}${long}, ${last}${before}`;
}

function list(items: readonly string[], between: string): string {
  const more = items.length - MAX_ITEMS;
  const shown = items.slice(0, MAX_ITEMS).map(cut).join(between);
  return more > 0 ? `${shown}${between}and ${number(more)} more` : shown;
}

/** `3 min ago (2026-11-28 07:00:12 UTC)`, `in 34 days (…)`. */
function moment(at: string, now: number): string {
  const away = Date.parse(at) - now;
  const near = away > 0 ? `in ${span(away)}` : `${span(-away)} ago`;
  return `${near} (${instant(at)})`;
}

/** `34 days, until 2027-01-01 07:00:12 UTC` */
const until = (at: string, now: number): string =>
  `${span(Date.parse(at) - now)}, until ${instant(at)}`;

/** `2026-11-28 07:00:12 UTC` */
const instant = (at: string): string => `${at.slice(0, 19).replace("T", " ")} UTC`;

/** Roughly: `12 s`, `3 min`, `5 h`, `34 days`. */
export function span(ms: number): string {
  const near = Math.max(0, ms);
  if (near < 2 * MINUTE) return `${Math.round(near / SECOND)} s`;
  if (near < 2 * HOUR) return `${Math.round(near / MINUTE)} min`;
  return near < 2 * DAY ? `${Math.round(near / HOUR)} h` : `${Math.round(near / DAY)} days`;
}

/** `12,345` */
const number = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

const cut = (text: string): string => text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
