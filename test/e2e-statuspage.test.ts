/** The status as a page: from the real program, and in a browser at several widths. */
import assert from "node:assert/strict";
import http from "node:http";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { statusPage } from "../lib/statuspage.ts";
import { freePorts } from "./acmepeers.ts";
import { holdInterfaces } from "./interfaces.ts";
import { needProgram, run, runCentauri, startCentauri, temporaryFolder } from "./support.ts";
import { finding, hostileTexts, route, statusOf } from "./vectors/status.ts";

const LOAD_MS = 120_000; // on a machine that does much else

interface Answer {
  readonly status: number;
  readonly fields: http.IncomingHttpHeaders;
  readonly body: string;
}

function ask(port: number, path: string, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, path, method, agent: false }, (answer) => {
      let body = "";
      answer.setEncoding("utf8").on("data", (text: string) => body += text).on("error", reject);
      answer.on("end", () => {
        resolve({ status: answer.statusCode ?? 0, fields: answer.headers, body });
      });
    });
    request.on("error", reject).end();
  });
}

/** The document that a browser makes of an address, with what its scripts did. */
async function browse(
  t: TestContext,
  url: string,
  ...flags: readonly string[]
): Promise<string> {
  const release = await holdInterfaces();
  const { stdout, stderr } = await run("chromium", [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    ...["--no-first-run", "--disable-background-networking", "--disable-component-update"],
    `--user-data-dir=${await temporaryFolder(t)}`,
    ...flags,
    "--dump-dom",
    url,
  ], { timeout: LOAD_MS }).finally(release);
  assert.match(stdout, /<html/, stderr);
  return stdout;
}

for (const workers of ["1", "2"]) {
  test(`with --workers ${workers} and --status-page the status is a page beside the metrics`, async (t) => {
    const [port = 0] = await freePorts(1);
    await startCentauri(t, {
      routes: "route shop.example\n  provider lego\n  upstream 127.0.0.1:1\n",
      env: { METRICS_PORT: `${port}`, STATUS_PAGE: "true", WORKERS: workers },
    });
    const { status, fields, body } = await ask(port, "/status");
    assert.equal(status, 200);
    assert.equal(fields["content-type"], "text/html; charset=utf-8");
    assert.equal(fields["x-content-type-options"], "nosniff");
    assert.equal(fields["content-security-policy"], statusPage(statusOf([])).policy);
    assert.match(body, /Not served<\/p>\n<h2>shop\.example</);
    assert.match(body, /--acme-email/);
    assert.equal((await ask(port, "/status", "HEAD")).body, "");
    assert.equal((await ask(port, "/status", "POST")).status, 405);
    assert.equal((await ask(port, "/metrics")).status, 200);
    if (workers !== "1" || !needProgram(t, "chromium")) return;
    const shown = await browse(t, `http://127.0.0.1:${port}/status`);
    assert.match(shown, /<h2>shop\.example<\/h2>/);
    assert.doesNotMatch(shown, /<script/);
  });
}

test("without --status-page there is none, and it needs a port", async (t) => {
  const [port = 0] = await freePorts(1);
  const env = { METRICS_PORT: `${port}` };
  await startCentauri(t, { routes: "route a.example\n  upstream 127.0.0.1:1\n", env });
  assert.equal((await ask(port, "/status")).status, 404);
  const { code, stderr } = await runCentauri(["--status-page"]);
  assert.deepEqual([code, stderr], [
    ...[2, "centauri: can't use --status-page: --metrics-port isn't set\n"],
  ]);
});

/** What a browser measures of a page in a frame; `low`: texts with too little contrast. */
interface Measured {
  readonly width: number;
  readonly scrollWidth: number;
  readonly ground: string;
  readonly texts: number;
  readonly low: readonly string[];
  readonly problemAt: number;
  readonly wellAt: number;
}

/** The page in a frame of that width, measured by a script outside of it. */
async function measure(
  t: TestContext,
  page: string,
  width: number,
  ...flags: readonly string[]
): Promise<Measured> {
  const quoted = page.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  const file = join(await temporaryFolder(t), "frame.html");
  await writeFile(
    file,
    `<!DOCTYPE html><meta charset="utf-8"><title>not loaded</title>
<iframe style="width: ${width}px; height: 800px; border: 0" srcdoc="${quoted}"></iframe>
<script>${SCRIPT}</script>`,
  );
  const shown = await browse(t, `file://${file}`, "--window-size=1600,1000", ...flags);
  const title = /<title>(.*)<\/title>/.exec(shown)?.[1] ?? "";
  assert.match(title, /^\{/, title);
  return JSON.parse(title);
}

/** WCAG 2.2: relative luminance and contrast, for each element that has a text of its own. */
const SCRIPT = `
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = (colour) => {
  const [r, g, b] = numbers(colour).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
addEventListener("load", () => {
  const { contentDocument: page, contentWindow: view } = document.querySelector("iframe");
  const groundOf = (element) => {
    const colour = view.getComputedStyle(element).backgroundColor;
    return numbers(colour)[3] === 0 && element.parentElement ? groundOf(element.parentElement) : colour;
  };
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const texts = [...page.body.querySelectorAll("*")].filter(own);
  const low = texts.filter((element) => {
    const pair = [view.getComputedStyle(element).color, groundOf(element)].map(luminance).sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05) < 4.5;
  });
  const top = (selector) => page.querySelector(selector)?.getBoundingClientRect().top ?? -1;
  document.title = JSON.stringify({
    width: view.innerWidth,
    scrollWidth: page.documentElement.scrollWidth,
    ground: groundOf(page.body),
    texts: texts.length,
    low: low.map((element) => element.className || element.tagName),
    problemAt: top(".card.problem"),
    wellAt: top("details"),
  });
});
`;

/** Routes of every kind, and what strangers may say. */
const PAGE = statusPage(statusOf([
  ...hostileTexts.map((text) => route({ names: [text, "x".repeat(253)] })),
  route({ findings: [finding({ level: "warning", what: "word ".repeat(50) })] }),
  ...hostileTexts.map((text) =>
    route({
      names: [text],
      served: false,
      upstreams: [{ name: text, state: "fails", failures: 1 }],
      findings: [finding({ what: text, advice: text, ca: text })],
    })
  ),
], { findings: [finding({ cause: "reload-failed", what: "y".repeat(500) })] })).body;

for (
  const [scheme, flag, ground] of [
    ["light", "--blink-settings=preferredColorScheme=1", "rgb(246, 247, 248)"],
    ["dark", "--blink-settings=preferredColorScheme=0", "rgb(18, 23, 26)"],
  ] as const
) {
  for (const width of [320, 360, 800, 1400]) {
    test(`the page fits a width of ${width}, its texts can be read: ${scheme}`, async (t) => {
      if (!needProgram(t, "chromium")) return;
      const measured = await measure(t, PAGE, width, flag);
      assert.equal(measured.width, width);
      assert.ok(measured.scrollWidth <= width, `${measured.scrollWidth} wide`);
      assert.equal(measured.ground, ground);
      assert.ok(measured.texts > 100);
      assert.deepEqual(measured.low, []);
      assert.ok(measured.problemAt > 0 && measured.problemAt < 250, "what is wrong goes first");
      assert.ok(measured.wellAt > measured.problemAt);
    });
  }
}
