/** A status in words, for a terminal and as a page; what processes tell; what is left out. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { Certificates, Stored } from "../lib/certs.ts";
import { type Health, Merged } from "../lib/health.ts";
import type { Outlook } from "../lib/renewal.ts";
import { parseRoutes } from "../lib/routes.ts";
import { createStatus, type RouteStatus, type Status } from "../lib/status.ts";
import { adviceFor, redact, redactMessage } from "../lib/statuscauses.ts";
import { statusPage } from "../lib/statuspage.ts";
import { statusJson } from "../lib/statussocket.ts";
import { statusText } from "../lib/statustext.ts";
import { span } from "../lib/statuswords.ts";
import { newRecord } from "../lib/store.ts";
import { issue } from "./pki.ts";
import { finding, hostileTexts, route, statusOf, type StatusRow } from "./vectors/status.ts";
import { statusRows } from "./vectors/status.ts";

const DAY = 86_400_000;

/** As one line, without the indents of wrapped lines. */
const joined = (text: string): string => text.replace(/\n +/g, " ").replace(/ +/g, " ");

const ENTITIES = { lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" } as const;

/** What is read on a page. */
const shown = (html: string): string =>
  html.slice(html.indexOf("<body>")).replace(/<[^>]*>/g, " ").replace(
    /&(lt|gt|quot|#39|amp);/g,
    (_, name) => ENTITIES[name as keyof typeof ENTITIES],
  );

/** What is wrong with a row, a sentence each. */
function faults({ input, expect, never = [] }: StatusRow): string[] {
  const text = joined(statusText(input, { colour: false }));
  const page = joined(shown(statusPage(input).body));
  const sentences = expect.length === 0 ? ["nothing is expected"] : [];
  for (const [where, all] of [["text", text], ["page", page]] as const) {
    for (const one of expect) if (!all.includes(one)) sentences.push(`${where} lacks ${one}`);
    for (const one of never) if (all.includes(one)) sentences.push(`${where} has ${one}`);
  }
  return sentences;
}

test("statusText() and statusPage() say what there is and what is wrong", async (t) => {
  assert.ok(statusRows.length > 0);
  for (const row of statusRows) {
    await t.test(`${row.name}: ${row.why}`, () => assert.deepEqual(faults(row), []));
  }
  const wrong = { ...statusRows[0]!, expect: ["1 is ill"], never: ["is well"] };
  assert.deepEqual(faults(wrong), [
    ...["text lacks 1 is ill", "text has is well", "page lacks 1 is ill", "page has is well"],
  ]);
});

test("statusText() has problems first, a column of titles, and lines of 80 columns", () => {
  const long = finding({ what: "word ".repeat(40).trim() });
  const text = statusText(
    statusOf([
      route({ names: ["well.example"] }),
      route({ names: ["warned.example"], findings: [finding({ level: "warning" })] }),
      route({ names: ["broken.example"], served: false, findings: [long] }),
    ]),
    { colour: false },
  );
  const order = ["broken", "warned", "well"].map((name) => text.indexOf(`${name}.example`));
  assert.deepEqual(order, order.toSorted((a, b) => a - b));
  const lines = text.split("\n");
  assert.ok(lines.every((line) => line.length <= 80), text);
  assert.ok(lines.includes("  what to do   Let it through."), text);
  assert.ok(lines.includes("NEEDS A LOOK  warned.example"), text);
});

test("statusText() has colours only where they are wanted", () => {
  const status = statusOf([route({ served: false, findings: [finding()] })]);
  assert.ok(!statusText(status, { colour: false }).includes("\x1b"));
  const text = statusText(status, { colour: true });
  assert.ok(text.includes("\x1b[1;31mNOT SERVED\x1b[0m"));
  assert.equal(text.replace(/\x1b\[[\d;]*m/g, ""), statusText(status, { colour: false }));
});

/** With this text wherever a stranger's may stand. */
function hostile(text: string): Status {
  const one = route({
    names: [text, text],
    served: false,
    certificate: {
      ...{ state: "valid", names: [text], provider: "lego", issuer: text },
      ...{ notAfter: "2027-01-01T00:00:00.000Z" },
      renewal: { at: "2027-01-01T00:00:00.000Z", suggested: true, see: text },
    },
    upstreams: [{ name: text, state: "fails", failures: 1, failure: text }],
    findings: [finding({ cause: text, what: text, advice: text, ca: text })],
  });
  const well = { ...one, served: true, findings: [] };
  const whole = {
    findings: one.findings,
    configuration: { from: text, since: one.findings[0]!.at! },
  };
  return statusOf([one, well], whole);
}

test("whatever strangers say, it drives no terminal and is no markup", () => {
  assert.ok(hostileTexts.length > 0);
  for (const text of hostileTexts) {
    const status = hostile(text);
    const plain = statusText(status, { colour: false });
    assert.doesNotMatch(plain.replaceAll("\n", ""), /[\p{C}\u2028\u2029]/u, JSON.stringify(text));
    assert.ok(plain.length < 120_000);
    const { body: html } = statusPage(status);
    const body = html.slice(html.indexOf("<body>"));
    const tags = new Set([...body.matchAll(/<[^>]*>/g)].map(([tag]) => tag));
    for (const tag of tags) assert.match(tag, TAG, JSON.stringify(text));
    assert.doesNotMatch(html.replaceAll("\n", ""), /[\p{C}\u2028\u2029]/u);
    assert.equal(html.match(/<style>/g)?.length, 1);
  }
});

/** What a page is made of. */
const TAG = RegExp(
  "^</?(body|header|main|h1|h2|p|section|dl|dt|dd|details|summary|html)" +
    '( class="(headline |card )?[a-z]+")?>$',
);

test("the page's policy allows its own style and nothing else", () => {
  const { body: html, policy } = statusPage(statusOf([route()]));
  const style = /<style>([^]*)<\/style>/.exec(html)?.[1] ?? "";
  const hash = createHash("sha256").update(style).digest("base64");
  assert.ok(policy.split("; ").includes(`style-src 'sha256-${hash}'`), policy);
  assert.ok(policy.startsWith("default-src 'none'; "));
  assert.doesNotMatch(html, /<(script|link|img|iframe|form)|src=|href=|style=/);
});

test("statusJson() gives all routes, a line each, in parts", () => {
  const status = statusOf(Array.from({ length: 3_000 }, (_, line) => route({ line })));
  const parts = [...statusJson(status)];
  assert.ok(parts.length > 5 && parts.every((part) => part.length < 70_000), `${parts.length}`);
  assert.deepEqual(JSON.parse(parts.join("")), JSON.parse(JSON.stringify(status)));
  assert.equal(parts.join("").split("\n").length, 3_003);
  assert.deepEqual(JSON.parse([...statusJson(statusOf([]))].join("")).routes, []);
});

test("redact() leaves out addresses of people, accounts, tokens and queries, and little else", () => {
  const token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
  for (
    const [text, expected] of [
      ["mailto:someone@example.com is bad", "mailto:…@… is bad"],
      [`from http://a.example/.well-known/acme-challenge/${token}: 404`],
      [`does not match "${token}.${token}"`],
      ["see https://ca.test/unpause?jwt=abc.def now", "see https://ca.test/unpause?… now"],
      ["account https://ca.test/acme/acct/12345 is", "account https://ca.test/acme/acct… is"],
      ['0 issue "ca.test; accounturi=https://ca.test/a/1"', '0 issue "ca.test; accounturi=…"'],
      ["see https://ca.test/docs/rate-limits", "see https://ca.test/docs/rate-limits"],
      ["connect ECONNREFUSED [2001:db8::1]:80", "connect ECONNREFUSED [2001:db8::1]:80"],
    ] as const
  ) {
    const left = redact(text);
    assert.ok(!left.includes(token));
    if (expected !== undefined) assert.equal(left, expected);
  }
  const start = performance.now();
  for (const hostile of ["https://".repeat(20_000), "@".repeat(100_000), "a@".repeat(50_000)]) {
    redact(hostile);
  }
  assert.ok(performance.now() - start < 5_000, "linear time");
});

test("what a DNS provider said is left to the log", () => {
  const message = 'the TXT record for a.example couldn\'t be set: "key hunter2 is wrong"';
  assert.match(redactMessage("dns-provider", message), /couldn't be set: the log has its words$/);
  assert.equal(redactMessage("unknown", message), message);
});

test("adviceFor() says what to do about an upstream, by its error", () => {
  for (
    const [error, words] of [
      ["connect ECONNREFUSED 10.0.0.1:80", /nothing listens/],
      ["getaddrinfo ENOTFOUND app", /name/],
      ["app has no address", /name/],
      ["no connection to 10.0.0.1 within 5000 ms", /firewall/],
      ["the upstream closed before the answer was complete", /own log/],
      ["invalid status line", /plain HTTP\/1.1/],
    ] as const
  ) assert.match(adviceFor(error), words);
});

test("span() is rough, and never negative", () => {
  const rows = [[-5, "0 s"], [1_400, "1 s"], [119_000, "119 s"], [120_000, "2 min"]] as const;
  for (const [ms, text] of rows) assert.equal(span(ms), text);
  assert.deepEqual([span(3 * 3_600_000), span(49 * 3_600_000)], ["3 h", "2 days"]);
});

const health = (more: Partial<Health>): Health => ({
  ...{ workedAt: 0, failures: 0, since: 0, failedAt: 0, failure: "" },
  ...more,
});

/** Of one upstream, as two processes tell it. */
function merge(...told: readonly unknown[]): Health | undefined {
  const merged = new Merged(new Set(["u:1", "a.example"]));
  for (const one of told) merged.add({ upstreams: [["u:1", one]], requests: [] });
  return merged.upstreams.get("u:1");
}

test("of two processes' health the later event counts", () => {
  const works = health({ workedAt: 50, since: 10 });
  const failing = health({
    failures: 2,
    since: 40,
    failedAt: 60,
    failure: "refused",
    workedAt: 30,
  });
  assert.deepEqual(merge(works, failing), { ...failing, workedAt: 50 });
  assert.deepEqual(merge(failing, works), { ...failing, workedAt: 50 });
  const later = { ...works, workedAt: 70 };
  const expected = health({ workedAt: 70, since: 60, failedAt: 60, failure: "refused" });
  assert.deepEqual(merge(failing, later), expected);
  assert.equal(merge(failing, { ...failing, failures: 3 })?.failures, 5);
});

test("a worker's report isn't believed more than it must be", () => {
  const good = health({ workedAt: 50 });
  for (
    const report of [
      ...[null, 1, "x", [], {}, { upstreams: 5, requests: {} }, {
        upstreams: [[]],
        requests: [[1]],
      }],
      { upstreams: [["u:1", null], ["u:1", "x"], ["other", good]], requests: [["a.example", -1]] },
      { upstreams: [["u:1", { ...good, since: 1e300 }]], requests: [["a.example", 1.5]] },
      { upstreams: [["u:1", { ...good, failure: 5 }]], requests: [["__proto__", 5]] },
      { upstreams: [["u:1", { ...good, failures: "1" }]], requests: [["other", 5]] },
    ]
  ) {
    const merged = new Merged(new Set(["u:1", "a.example"]));
    merged.add(report);
    assert.deepEqual([merged.upstreams.size, merged.requests.size], [0, 0], JSON.stringify(report));
  }
  const long = merge({ ...good, failedAt: 1, failure: "x".repeat(1e6), extra: "secret" });
  assert.equal(long?.failure.length, 300);
  assert.ok(!("extra" in long));
});

/** The status of a route with this certificate and this outlook; undefined: ACME is off. */
async function judge(
  stored: Partial<Stored>,
  outlook?: Partial<Outlook> | "off",
): Promise<RouteStatus> {
  const { routes } = parseRoutes("route a.example\nupstream u:1\n");
  const certificates = {
    look: (): Stored => ({
      ...{ names: ["a.example"], providers: ["lego"], record: undefined, problem: "" },
      ...stored,
    }),
  } satisfies Pick<Certificates, "look">;
  const given: Outlook | undefined = outlook === undefined || outlook === "off" ? undefined : {
    ...{ doing: "waiting", at: 0, onChange: false, renewal: undefined, failure: undefined },
    ...outlook,
  };
  const status = createStatus({
    startedAt: 0,
    inForce: () => ({ routes, from: "x", since: 0 }),
    certificates,
    renewal: outlook === "off" ? undefined : { look: () => given },
    server: { report: () => Promise.resolve({ reports: [], silent: [] }) },
  });
  return (await status()).routes[0]!;
}

function recordOf(provider: string, from: number, to: number): NonNullable<Stored["record"]> {
  const { cert, keyPem } = issue({ subject: "a.example", names: ["a.example"], from, to });
  const empty = newRecord(provider, ["a.example"], new Date(Date.now() + to));
  return { ...empty, certificate: cert, privateKey: keyPem };
}

test("for every way to have no certificate there is a cause, and something to do", async () => {
  const soon = Date.now() + DAY;
  for (
    const [stored, outlook, cause, state] of [
      [{}, "off", "acme-off", "missing"],
      [{ providers: [] }, "off", "acme-off", "missing"],
      [{}, undefined, "starting", "missing"],
      [{}, { doing: "ordering", at: 1 }, "ordering", "missing"],
      [{}, { doing: "ordering", at: soon }, "spaced", "missing"],
      [{}, { doing: "queued" }, "queued", "missing"],
      [{}, { at: soon }, "waiting", "missing"],
      [{ record: recordOf("lego", -9 * DAY, -DAY) }, { doing: "queued" }, "queued", "expired"],
      [{ record: recordOf("lego", -9 * DAY, -DAY) }, "off", "acme-off", "expired"],
      [{ record: recordOf("lego", -9 * DAY, DAY), problem: "no key" }, {}, ...UNUSABLE],
      [{ record: { ...recordOf("lego", 0, DAY), certificate: "x" } }, {}, ...UNUSABLE],
    ] as const
  ) {
    const { findings: [one], served, certificate } = await judge(stored, outlook);
    assert.deepEqual([one?.cause, certificate.state, served], [cause, state, false]);
    assert.equal(one?.level, "problem");
    assert.match(one.advice, /^[A-Z].*\.$/);
  }
});

const UNUSABLE = ["certificate-unusable", "unusable"] as const;

test("what is served without ACME needs a look when it ends soon, or browsers warn", async () => {
  const fresh = await judge({ record: recordOf("lego", -DAY, 80 * DAY) }, "off");
  assert.deepEqual(fresh.findings, []);
  const late = await judge({ record: recordOf("lego", -80 * DAY, 10 * DAY) }, "off");
  assert.deepEqual([late.findings[0]?.level, late.served], ["warning", true]);
  const asked = await judge({ providers: ["selfsigned"] }, "off");
  assert.deepEqual([asked.findings, asked.certificate.state], [[], "on-demand"]);
  const instead = await judge({ providers: ["lego", "selfsigned"] }, "off");
  assert.deepEqual([instead.findings[0]?.cause, instead.served], ["acme-off", true]);
});

const WORDS = { challenges: ["http-01"], cause: "x", message: "m", advice: "Do." };

test("a failure while there is a certificate is a warning, with the next try", async () => {
  const failure = { at: 5, attempts: 2, ca: "ca.test", ...WORDS };
  const record = recordOf("lego", -80 * DAY, 10 * DAY);
  const at = Date.now() + DAY;
  const { findings: [one], served } = await judge({ record }, { failure, at });
  assert.deepEqual([one?.level, served, one?.next], ["warning", true, new Date(at).toISOString()]);
  const waits = await judge({ record }, { failure, at, onChange: true });
  assert.equal(waits.findings[0]?.next, "change");
});

test("who asks while a status is made, or soon after, gets the same", async () => {
  let asked = 0;
  const report = () => {
    asked++;
    return Promise.resolve({ reports: [], silent: [] });
  };
  const status = createStatus({
    ...{ startedAt: 0, inForce: () => ({ routes: [], from: "x", since: 0 }), renewal: undefined },
    certificates: { look: () => assert.fail("there are no routes") },
    server: { report },
  });
  const all = await Promise.all([status(), status(), status().then(() => status())]);
  assert.equal(asked, 1);
  assert.ok(all.every((one) => one === all[0]));
});
