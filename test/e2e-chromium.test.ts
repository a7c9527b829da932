/** A browser loads a page with many resources, and says itself what came of it. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { holdInterfaces } from "./interfaces.ts";
import { needProgram, run, startCentauri, temporaryFolder } from "./support.ts";
import { ok, startServer } from "./wire.ts";

const RESOURCES = 200;
const LOAD_MS = 120_000; // on a machine that does much else

/** What the page counts. */
interface Report {
  readonly loaded: number;
  readonly failed: number;
  /** Scripts that ran. */
  readonly ran: number;
  /** How often each protocol was used, the page itself included. */
  readonly protocols: Readonly<Record<string, number>>;
  /** Requests that had to connect first. */
  readonly connections: number;
  /** Answers that were anything but 200, or of another size than they should be. */
  readonly wrong: readonly string[];
}

for (
  const { protocol, flags, connections } of [
    { protocol: "h2", flags: [], connections: 1 },
    { protocol: "http/1.1", flags: ["--disable-http2"], connections: 6 },
  ]
) {
  test(`Chromium loads a page of ${RESOURCES} resources over ${protocol}`, async (t) => {
    if (!needProgram(t, "chromium")) return;
    t.after(await holdInterfaces());
    const report = await loadPage(t, flags);
    assert.deepEqual(report.wrong, []);
    assert.deepEqual([report.loaded, report.failed], [RESOURCES, 0]);
    assert.equal(report.ran, RESOURCES / 2);
    assert.deepEqual(report.protocols, { [protocol]: RESOURCES + 1 });
    assert.ok(
      report.connections >= 1 && report.connections <= connections,
      `${report.connections} connections`,
    );
  });
}

async function loadPage(t: TestContext, flags: readonly string[]): Promise<Report> {
  const upstream = await startServer(t, ({ head }) => answerFor(head.split(" ")[1] ?? ""));
  const centauri = await startCentauri(t, {
    routes: `route site.example\n  upstream ${upstream.name}\n`,
  });
  const { stdout, stderr } = await run("chromium", [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    ...["--no-first-run", "--disable-background-networking", "--disable-component-update"],
    `--user-data-dir=${await temporaryFolder(t)}`,
    "--ignore-certificate-errors",
    "--host-resolver-rules=MAP site.example 127.0.0.1, MAP * ~NOTFOUND", // and nowhere else
    ...flags,
    "--dump-dom",
    `https://site.example:${centauri.httpsPort}/`,
  ], { timeout: LOAD_MS });
  const report = /<title>(.*)<\/title>/.exec(stdout)?.[1];
  if (report === undefined) assert.fail(`no report: ${stdout}\n${stderr}`);
  return JSON.parse(report);
}

/** `/script/…`, `/style/…` and `/image/…` of a size that their number says. */
function answerFor(path: string): string {
  const [, kind = "", number = ""] = path.split("/");
  const contents = CONTENTS[kind];
  if (kind === "") return ok(page(), "Content-Type: text/html\r\n");
  if (contents === undefined) return ok(""); // the browser asks for an icon
  const [type, text] = contents;
  return ok(text.padEnd(sizeOf(Number(number))), `Content-Type: ${type}\r\n`);
}

const CONTENTS: Readonly<Record<string, readonly [type: string, text: string] | undefined>> = {
  script: ["text/javascript", "ran++;"],
  style: ["text/css", "p { color: green }"],
  image: ["image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'],
};

/** From what fits into one packet to what takes several frames. */
function sizeOf(number: number): number {
  return 100 + number ** 2;
}

function page(): string {
  const told = 'onload="loaded++" onerror="failed++"';
  const elements = Array.from({ length: RESOURCES }, (_, i) => {
    if (i % 2 === 0) return `<script src="/script/${i}" ${told} async></script>`;
    if (i % 4 === 1) return `<link rel="stylesheet" href="/style/${i}" ${told}>`;
    return `<img src="/image/${i}" ${told}>`;
  });
  return `<!DOCTYPE html><meta charset="utf-8"><title>not loaded</title>
<script>
let loaded = 0, failed = 0, ran = 0;
addEventListener("load", () => {
  const protocols = {}, wrong = [];
  let connections = 0;
  for (const kind of ["navigation", "resource"]) {
    for (const entry of performance.getEntriesByType(kind)) {
      protocols[entry.nextHopProtocol] = (protocols[entry.nextHopProtocol] ?? 0) + 1;
      if (entry.connectEnd > entry.connectStart) connections++;
      const number = /\\/(\\d+)$/.exec(entry.name)?.[1];
      const right = number === undefined || entry.decodedBodySize === 100 + number ** 2;
      if (entry.responseStatus !== 200 || !right) wrong.push(entry.name);
    }
  }
  document.title = JSON.stringify({ loaded, failed, ran, protocols, connections, wrong });
});
</script>
<body>${elements.join("\n")}</body>`;
}
