/**
 * What files of lib/ can be used alone, with those that their headers say they need: copied into an
 * empty folder they do their work, in a script of examples/ that isn't long.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { freePorts, startChalltestsrv, startPebble } from "./acmepeers.ts";
import { loadedAtStart } from "./imports.ts";
import { needProgram, root, run, runtimeCommand, temporaryFolder } from "./support.ts";

const LINES = 30; // of a script
const FILES: ReadonlyMap<string, string> = new Map(
  readdirSync(join(root, "lib")).filter((name) => name.endsWith(".ts")).map((name) => [
    name.slice(0, -3),
    readFileSync(join(root, "lib", name), "utf8"),
  ]),
);

/** The files that a header says are needed: in that sentence, or in the table that it points to. */
function neededBy(source: string): Set<string> {
  const header = /^\/\*\*([^]*?)\*\//.exec(source)?.[1]?.replace(/\n \*/g, "\n") ?? "";
  const [, sentence = "", rest = ""] = /\bneeds\b([^]*?)(?:[.;](?!ts\b)\s|$)([^]*)/i.exec(header) ??
    [];
  const named = sentence.includes("below") ? sentence + rest : sentence;
  return new Set([...named.matchAll(/\b(\w+)\.ts\b/g)].map(([, name = ""]) => name));
}

/** All that is needed, by the headers alone. */
function vendored(files: ReadonlyMap<string, string>, ...names: readonly string[]): Set<string> {
  const all = new Set(names);
  for (const name of all) for (const other of neededBy(files.get(name) ?? "")) all.add(other);
  return all;
}

/** What a header doesn't say, or says though nothing imports it. */
function faults(files: ReadonlyMap<string, string>, ...names: readonly string[]): string[] {
  const said = vendored(files, ...names);
  const imported = new Set(names.flatMap((name) => [...loadedAtStart(name, files)]));
  return [
    ...[...imported].filter((name) => !said.has(name)).map((name) => `${name} isn't said`),
    ...[...said].filter((name) => !imported.has(name)).map((name) => `${name} isn't imported`),
  ];
}

/** A folder with copies of the files and the script; and what runs that. */
async function vendor(
  t: TestContext,
  script: string,
  ...names: readonly string[]
): Promise<{ folder: string; command: readonly [string, ...string[]] }> {
  assert.deepEqual(faults(FILES, ...names), []);
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o755);
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  for (const name of vendored(FILES, ...names)) {
    await writeFile(join(folder, `${name}.ts`), FILES.get(name) ?? assert.fail(name));
  }
  const source = await readFile(join(root, "examples", script), "utf8");
  assert.ok(source.trimEnd().split("\n").length <= LINES, `${script} is over ${LINES} lines`);
  await writeFile(join(folder, script), source.replaceAll("../lib/", "./"));
  const [program, ...args] = runtimeCommand(script);
  return { folder, command: [program, ...args.slice(0, -1), join(folder, script)] };
}

const { PATH = "", HOME = "" } = process.env;

test("lib/acme.ts gets a certificate from Pebble, with what it says it needs", async (t) => {
  const [httpPort = 0, tlsPort = 0] = await freePorts(2);
  const dns = await startChalltestsrv(t);
  if (dns === undefined) return;
  const pebble = await startPebble(t, { httpPort, tlsPort, dnsServer: dns.dnsServer });
  if (pebble === undefined) return;
  const { folder, command: [program, ...args] } = await vendor(t, "vendored-acme.ts", "acme");
  const file = pebble.apiRootFile;
  const env = { PATH, HOME, NODE_EXTRA_CA_CERTS: file, DENO_CERT: file, NO_COLOR: "1" };
  const given = [pebble.directory, "a.example", String(httpPort)];
  const { code, stdout, stderr } = await run(program, [...args, ...given], {
    env,
    timeout: 60_000,
  });
  assert.equal(code, 0, stderr);
  assert.equal(stdout.match(/-----BEGIN CERTIFICATE-----/g)?.length, 2, stdout);
  assert.match(stdout, /-----BEGIN (EC )?PRIVATE KEY-----/);
  await writeFile(join(folder, "chain.pem"), stdout);
  await writeFile(join(folder, "root.pem"), await pebble.root());
  const trust = ["-CAfile", join(folder, "root.pem"), "-untrusted", join(folder, "chain.pem")];
  const name = ["-verify_hostname", "a.example", join(folder, "chain.pem")];
  const verified = await run("openssl", ["verify", ...trust, ...name]);
  assert.equal(verified.code, 0, verified.stderr);
});

test("lib/http1.ts makes a proxy that curl can use, with what it says it needs", async (t) => {
  if (!needProgram(t, "curl")) return;
  const upstream = http.createServer((request, answer) => {
    let body = "";
    request.setEncoding("utf8").on("data", (part) => body += part).on("end", () => {
      answer.setHeader("X-Via", `${request.headers.via}`);
      answer.end(`${request.method} ${request.url} ${request.headers.host} ${body}`);
    });
  });
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  t.after(() => upstream.close());
  const { port: toPort } = upstream.address() as { port: number };
  const [fromPort = 0] = await freePorts(1);
  const names = ["http1", "http1reader"];
  const { command: [program, ...args] } = await vendor(t, "vendored-proxy.ts", ...names);
  const proxy = spawn(program, [...args, String(fromPort), String(toPort)], { stdio: "inherit" });
  const ended = new Promise((resolve) => proxy.on("close", resolve));
  t.after(() => (proxy.kill("SIGKILL"), ended));
  const url = `http://127.0.0.1:${fromPort}/a?b`;
  const started = ["--retry", "100", "--retry-delay", "1", "--retry-connrefused"];
  const curl = async (...more: string[]) =>
    (await run("curl", ["-sSi", ...started, ...more, url], { timeout: 60_000 })).stdout;
  assert.match(await curl(), /X-Via: 1\.1 vendored[^]*\r\n\r\nGET \/a\?b 127\.0\.0\.1:\d+ $/);
  const chunked = ["-H", "Transfer-Encoding: chunked", "-d", "x=".repeat(40_000)];
  assert.match(await curl(...chunked), /\r\n\r\nPOST \/a\?b 127\.0\.0\.1:\d+ (x=){40000}$/);
  assert.match(await curl("-H", "Content-Length: 1", ...chunked), /^HTTP\/1\.1 400 both /);
});

test("lib/template.ts makes text, with what it says it needs", async (t) => {
  const { folder, command: [program, ...args] } = await vendor(
    t,
    "vendored-template.ts",
    "template",
  );
  const fill = async (template: string, data: unknown) => {
    await writeFile(join(folder, "t"), template);
    const input = JSON.stringify(data);
    return run(program, [...args, "t"], { cwd: folder, input, timeout: 60_000 });
  };
  const { stdout } = await fill(
    "{{range $k, $v := .}}{{upper $k}}={{$v.port | printf `%05d`}} {{end}}",
    {
      b: { port: 443 },
      a: { port: 80 },
    },
  );
  assert.equal(stdout, "A=00080 B=00443 ");
  const { code, stderr } = await fill("{{.a.b}}\n{{.a.b.c}}", { a: { b: "x" } });
  assert.equal(code, 1);
  assert.match(stderr, /^template: t:2:\d+: executing "t" at <\.a\.b\.c>: can't evaluate field c/);
});

test("a header that says too little or too much is found", () => {
  const header = (needs: string) => `/**\n * A file. Pure; ${needs} Refuses b.ts and c.ts.\n */\n`;
  const files = (a: string) =>
    new Map([
      ["a", `${header(a)}import { b } from "./b.ts";\nimport type { C } from "./c.ts";\n`],
      ["b", `${header("needs nothing.")}`],
      ["c", ""],
    ]);
  assert.deepEqual(faults(files("needs b.ts."), "a"), []);
  assert.deepEqual(faults(files("needs nothing."), "a"), ["b isn't said"]);
  assert.deepEqual(faults(files("needs `b.ts` and `c.ts`."), "a"), ["c isn't imported"]);
});
