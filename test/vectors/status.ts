/** Statuses, and what is to stand in the text for a terminal and in the page. */
import type { Finding, RouteStatus, Status } from "../../lib/status.ts";

/** When all of these statuses are of. */
export const AT = "2026-11-28T07:10:00.000Z";
const at = (seconds: number): string => new Date(Date.parse(AT) + seconds * 1_000).toISOString();
const [HOUR, DAY] = [3_600, 86_400];

/** A route that is well; `more` makes it another. */
export const route = (more: Partial<RouteStatus> = {}): RouteStatus => ({
  ...{ names: ["a.example"], line: 3, fallback: false, served: true, requests: 1234567 },
  certificate: {
    ...{ state: "valid", names: ["a.example"], provider: "lego", issuer: "R12" },
    ...{ notBefore: at(-10 * DAY), notAfter: at(58 * DAY) },
    renewal: { at: at(28 * DAY), suggested: true },
  },
  upstreams: [
    { name: "app:8080", state: "works", since: at(-5 * HOUR), workedAt: at(-3), failures: 0 },
  ],
  findings: [],
  ...more,
});

export const finding = (more: Partial<Finding> = {}): Finding => ({
  ...{ level: "problem", cause: "port-unreachable", what: "no answer", advice: "Let it through." },
  ...{ at: at(-90), attempts: 3, ca: "ca.test", next: at(100 * 60) },
  ...more,
});

export function statusOf(routes: readonly RouteStatus[], more: Partial<Status> = {}): Status {
  const problems = routes.filter(({ served }) => !served).length;
  return {
    ...{ version: 1, at: AT, startedAt: at(-3 * DAY), problems, findings: [], routes },
    configuration: { from: "centauri.conf", since: at(-2 * HOUR) },
    warnings: routes.filter((one) => one.served && one.findings.length > 0).length,
    ...more,
  };
}

export interface StatusRow {
  readonly name: string;
  readonly why: string;
  readonly input: Status;
  /** Each stands in the text, once the lines are joined, and in the page as a text. */
  readonly expect: readonly string[];
  /** What stands in neither. */
  readonly never?: readonly string[];
}

const missing = { state: "missing", names: ["a.example"] } as const;

export const statusRows: readonly StatusRow[] = [
  {
    name: "a route that is well",
    why: "what there is: certificate, renewal, upstream, requests",
    input: statusOf([route()]),
    expect: [
      "1 route: 1 is well",
      "from R12, valid for 58 days, until 2027-01-25 07:10:00 UTC",
      "in 28 days (2026-12-26 07:10:00 UTC), as the CA suggests (ARI)",
      "app:8080 works for 5 h, answered 3 s ago",
      "line 3; 1,234,567 requests",
    ],
    never: ["what to do", "NOT SERVED", "Not served", "undefined"],
  },
  {
    name: "a certificate that is missing",
    why: "what was tried, when it is tried again, what to do",
    input: statusOf([
      route({
        served: false,
        certificate: missing,
        findings: [finding({ challenges: ["http-01", "tls-alpn-01"] })],
      }),
    ]),
    expect: [
      ...["1 route: 1 isn't served", "no answer", "Let it through.", "none"],
      "3 times in a row, last 90 s ago (2026-11-28 07:08:30 UTC), at ca.test, by http-01 and tls-alpn-01",
      "in 100 min (2026-11-28 08:50:00 UTC)",
    ],
  },
  {
    name: "a failure that waits for a change",
    why: "there is no time for the next try",
    input: statusOf([
      route({ served: false, findings: [finding({ next: "change", attempts: 1 })] }),
    ]),
    expect: ["when the configuration or DNS changes, else in a day", "90 s ago ("],
    never: ["in a row"],
  },
  {
    name: "a try that is due",
    why: "the clock has gone on since it was planned",
    input: statusOf([route({ served: false, findings: [finding({ next: at(-30) })] })]),
    expect: ["next try", "now"],
  },
  {
    name: "an order under way",
    why: "somebody watches",
    input: statusOf([
      route({ served: false, certificate: { ...missing, orderedAt: at(-12) } }),
    ]),
    expect: ["under way for 12 s"],
  },
  {
    name: "an upstream that fails, and one nobody asked",
    why: "passive health",
    input: statusOf([route({
      served: true,
      upstreams: [
        { name: "app:1", state: "fails", since: at(-600), failedAt: at(-2), failures: 17 },
        { name: "app:2", state: "unknown", failures: 0 },
      ],
      findings: [finding({ level: "warning", what: "upstream app:1 fails: ECONNREFUSED" })],
    })]),
    expect: [
      ...["1 route: 1 needs a look", "app:1 fails for 10 min, never answered"],
      ...["app:2, not asked yet", "upstream app:1 fails: ECONNREFUSED"],
    ],
  },
  {
    name: "an upstream that works again",
    why: "what was wrong with it last",
    input: statusOf([route({
      upstreams: [{
        ...{ name: "app:1", state: "works", since: at(-600), workedAt: at(-5), failures: 0 },
        ...{ failedAt: at(-601), failure: "connect ECONNREFUSED" },
      }],
    })]),
    expect: [
      "app:1 works for 10 min, answered 5 s ago; before, it failed 10 min ago: connect ECONNREFUSED",
    ],
  },
  {
    name: "a certificate that has ended, a self-signed one, an unusable one",
    why: "each state has its words",
    input: statusOf([
      route({ certificate: { ...route().certificate, state: "expired", notAfter: at(-3 * DAY) } }),
      route({ certificate: { ...missing, state: "on-demand", provider: "selfsigned" } }),
      route({ certificate: { ...missing, state: "unusable" } }),
    ]),
    expect: [
      "from R12, ended 3 days ago (2026-11-25 07:10:00 UTC)",
      "self-signed, made when somebody connects",
      "there is one that can't be used",
    ],
  },
  {
    name: "a certificate of other names",
    why: "a wildcard, or the route's subject",
    input: statusOf([
      route({ certificate: { ...route().certificate, names: ["*.example", "example"] } }),
    ]),
    expect: ["*.example example"],
  },
  {
    name: "a reload that failed, and a worker that is silent",
    why: "what is wrong with the whole goes first",
    input: statusOf([route({ fallback: true, requests: 1 })], {
      findings: [
        finding({ cause: "reload-failed", what: "line 2: unknown", advice: "Correct that." }),
        finding({ level: "warning", cause: "worker-silent", what: "worker 2 doesn't say" }),
      ],
    }),
    expect: [
      ...["New routes weren't taken", "line 2: unknown", "Correct that.", "A worker is silent"],
      "line 3, the fallback; 1 request",
    ],
    never: ["1 requests"],
  },
  {
    name: "no routes",
    why: "those from the network may still come",
    input: statusOf([]),
    expect: ["no routes yet"],
  },
  {
    name: "more than anybody reads",
    why: "problems first; a page has an end; --json has all",
    input: statusOf([
      ...Array.from({ length: 10_000 }, () => route()),
      ...Array.from({ length: 1_500 }, () => route({ served: false, findings: [finding()] })),
    ]),
    expect: ["11,500 routes: 1,500 aren't served, 10,000 are well", "more that need a look and "],
  },
  {
    name: "a route of many names and upstreams",
    why: "one line of a route file can have 2,500 names",
    input: statusOf([route({
      names: Array.from({ length: 2_500 }, (_, i) => `n${i}.example`),
      upstreams: Array.from(
        { length: 99 },
        (_, i) => ({ ...route().upstreams[0]!, name: `u${i}` }),
      ),
    })]),
    expect: ["n19.example and 2,480 more", "and 79 more"],
    never: ["n20.example", "u20 "],
  },
];

/** What strangers may say: names, a CA, an upstream. Each alone would be the end of something. */
export const hostileTexts: readonly string[] = [
  "<script>alert(1)</script>",
  '"><img src=x onerror=alert(1)>',
  "</style></title><svg/onload=alert(1)>",
  "' onmouseover='alert(1)",
  "&lt;b&gt; &#60;i> &amp",
  "\x1b]0;title\x07\x1b[2J\x1b[31m\r\n\tx\x00",
  "\x9b31m \x85 \u2028 \u2029",
  "\u202egnp.exe\u2066 \u200b\ufeff",
  "\ud800 \udc00",
  "{{7*7}} ${7*7} javascript:alert(1)",
  "a".repeat(100_000),
];
