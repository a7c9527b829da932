/**
 * The bundled templates, held against the programs that read their output: whether they take it,
 * for no containers, many, and such as want to do harm; whether they then do what labels ask for.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Container } from "../lib/container.ts";
import { view } from "../lib/hostnames.ts";
import { parseRoutes } from "../lib/routes.ts";
import { compile } from "../lib/template.ts";
import { createFunctions } from "../lib/templatefunctions.ts";
import { parseUsers, type User } from "../lib/users.ts";
import { privateKeyPem, selfSigned } from "../lib/x509.ts";
import { container } from "./containers.ts";
import { findProgram, needProgram, root, run, runCentauri, temporaryFolder } from "./support.ts";
import { ok, startServer } from "./wire.ts";

const TEMPLATES = ["centauri.conf", "haproxy.cfg", "nginx.conf", "domains.txt"] as const;
type Name = (typeof TEMPLATES)[number];

const DAY = 24 * 60 * 60 * 1000;
const START_MS = 20_000;
const SEED = 20_240_229;
const HOSTILE = 4_000;

function render(name: Name, containers: readonly Container[], users: readonly User[] = []): string {
  const path = join(root, "templates", `${name}.tpl`);
  const template = compile(name, readFileSync(path, "utf8"), createFunctions(() => undefined));
  return template.execute(view(containers, { proxyTag: "", users }).data);
}

const hosted = (name: string, vhost: string, more: Readonly<Record<string, string>> = {}) =>
  container(name, { labels: { "com.chameth.vhost": vhost, ...more }, ports: [80] });

const many = Array.from(
  { length: 1_000 },
  (_, i) => hosted(`c${i}`, `n${i}.example *.n${i}.example`),
);

/** Of each program the longest and strangest that labels can hold. */
const label63 = (letter: string) => letter.repeat(63);
const longName = `${[..."abc"].map(label63).join(".")}.${"d".repeat(61)}`;
const groups = Array.from({ length: 32 }, (_, i) => `${"g".repeat(62)}${i + 10}`);
const extremes = [
  ...["a", "b"].map((name) =>
    hosted(name, longName, {
      [`com.chameth.headers.${name}`]: `X-${name.repeat(98)}: ${"$".repeat(8_192)}`,
      [`com.chameth.headers.${name}2`]: `Y: ${'"\\'.repeat(999)}`,
      [`com.chameth.headers.${name}3`]: "!#$%&'*+-.^_`|~: 0",
    })
  ),
  hosted("c", Array.from({ length: 250 }, (_, i) => `${i}${longName.slice(3)}`).join(" ")),
  hosted("d", "d.example", { "com.chameth.auth": groups.join() }),
  ...Array.from({ length: 40 }, (_, i) => hosted(`e${i}`, "*.many-on_one.example")),
  hosted("f".repeat(63), "f.example"),
  hosted("g", "_ -.example --.example x_-_.example _.example *._"),
  container("h", { labels: { "com.chameth.vhost": "unreachable.example" } }),
];

const situations: Readonly<Record<string, readonly Container[]>> = {
  "no containers": [],
  "a container": [
    hosted("localhost", "a.example www.a.example", { "com.chameth.headers": "X: y" }),
  ],
  "a thousand hosts": many,
  "what is longest and strangest": extremes,
  "hostile labels": hostile(HOSTILE),
};
const users = parseUsers(
  `[{name: 'o"%\\$;{}# x', password: '"%\\$;{}#', groups: [staff, other]}, {name: b, password: c}]`,
);

/** Labels out of what means something to one of the programs; the same ones for a seed. */
function hostile(count: number): Container[] {
  const random = randomFrom(SEED);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const parts = [
    ..." \"'`\\$%{}[]();#:,=&|<>!?*~^@+-_./0aZ\t\n\r\0\x85\u2028\u202eé😀\ud800",
    ...["%[src]", "%%", "${HOME}", "$host", "\\n", '\\"', "*/", "{{", "}}", " if ", "--", "-f "],
    ...["\n    server evil evil:80", "; return 200 evil;", '"; } server {', "\nroute evil.example"],
    ...["/etc/passwd", "../", "http-request deny", "%[env(HOME)]", "' #", "}\n", "default"],
  ];
  const junk = (): string => Array.from({ length: random(8) }, () => pick(parts)).join("");
  const header = (): string => pick([`X-${junk()}: `, "X-A: ", "x-b ", `${junk()} `]) + junk();
  return Array.from({ length: count }, (_, i) => {
    const vhost = pick([`n${i}.example`, `${junk()} h${i}.example,${junk()}`, junk(), "a.example"]);
    const labels = { "com.chameth.vhost": vhost } as Record<string, string>;
    if (random(2) > 0) labels["com.chameth.proxy"] = pick(["80", junk(), "8080"]);
    if (random(4) === 0) {
      labels["com.chameth.auth"] = pick(["", "staff", junk(), `staff ${junk()}`]);
    }
    for (let n = random(4); n > 0; n--) labels[`com.chameth.headers.${junk()}`] = header();
    const name = random(8) > 0 ? `c${i}` : `c${i}${junk()}`;
    return container(name, { labels, ports: pick([[80], [], [80, 443]]) });
  });
}

/** Numbers below `n`, by a linear congruence. */
function randomFrom(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % n;
  };
}

/** Every line that a bundled template can write; N is a name, S text in its program's quotes. */
const N = "[*:]?[\\w.-]+";
const LINES: Readonly<Record<Name, { quoted?: string; lines: readonly string[] }>> = {
  "domains.txt": { lines: [`${N}( ${N})*`] },
  "centauri.conf": {
    lines: [
      ...["#.*", "", `route ${N}( ${N})*`, "    upstream [\\w.-]+:\\d+"],
      "    header replace [\\w!#$%&'*+.^`|~-]+ \\P{Cc}+",
    ],
  },
  "haproxy.cfg": {
    quoted: '"(?:[^"\\\\$\\n]|\\\\["\\\\$])*"',
    lines: [
      ...["    group S", "    user S password S( groups S)?", `backend ${N}`],
      `    use_backend ${N} if \\{ var\\(txn\\.host\\) -m str -i [\\w.-]+ \\}`,
      `    use_backend ${N} if \\{ var\\(txn\\.host\\) -m reg -i ` +
      "'\\^\\[\\^\\.\\]\\+[\\w.\\\\-]+\\$' \\}",
      "    acl may_enter http_auth\\(dotege\\)",
      "    acl may_enter http_auth_group\\(dotege\\) -- S",
      `    http-request auth realm ${N} unless may_enter`,
      "    http-response set-header S S",
      "    server [\\w.-]+ [\\w.-]+:\\d+ check resolvers docker init-addr last,libc,none",
    ],
  },
  "nginx.conf": {
    quoted: '"(?:[^"\\\\$\\n]|\\\\["\\\\]|\\$\\{dollar\\}|\\$later)*"',
    lines: [
      ...[
        "    split_clients \\$request_id \\$to_\\w+ \\{",
        "        (\\* |[\\d.]+% )S;",
        "    server \\{",
      ],
      ...["        listen 443 ssl;", `        server_name ${N}( ${N})*;`, "        location / \\{"],
      ...["        ssl_certificate S;", "        ssl_certificate_key S;", "        auth_basic S;"],
      ...["        auth_basic_user_file S;", "        add_header H S always;"],
      ...["        proxy_hide_header H;", "            return 503;", "        \\}", "    \\}"],
      ...["            proxy_pass http://\\$container;"],
      "            set \\$container (\\$to_\\w+|[\\w.-]+:\\d+);",
      "        # The header [\\w!#$%&'*+.^`|~-]+ is left out: nginx takes no text that long.",
    ],
  },
};

/** Lines that no row above fits, but for those that the template writes for no containers. */
function unexpected(name: Name, text: string): string[] {
  const { quoted, lines } = LINES[name];
  const fixed = new Set(render(name, []).split("\n"));
  const source = lines.map((line) =>
    line.replaceAll("H", '"[\\w!#$%&\'*+.^`|~-]+"').replaceAll("S", quoted ?? "S")
  );
  const allowed = new RegExp(`^(?:${source.join("|")})$`, "u");
  return text.split("\n").filter((line) => !fixed.has(line) && !allowed.test(line));
}

test("the check for unexpected lines finds what gets out of its quotes", () => {
  const haproxy = ['    http-response set-header "a" "b" if x', '    server a a:80 "x"'];
  const more = [
    '    http-response set-header "a" "$x"',
    '    group "a\\"',
    "    server evil evil:1",
  ];
  assert.deepEqual(unexpected("haproxy.cfg", [...haproxy, ...more].join("\n")), [
    ...haproxy,
    ...more,
  ]);
  const nginx = [
    '        add_header "a" "b"; return 200 always;',
    '        add_header "a" "$b" always;',
  ];
  assert.deepEqual(unexpected("nginx.conf", nginx.join("\n")), nginx);
  assert.deepEqual(unexpected("centauri.conf", "    provider x"), ["    provider x"]);
  assert.deepEqual(unexpected("domains.txt", "a.example;"), ["a.example;"]);
});

test("no label gets a directive of its own into a file", () => {
  for (const name of TEMPLATES) {
    for (const [situation, containers] of Object.entries(situations)) {
      const text = render(name, containers, users);
      assert.deepEqual(unexpected(name, text).slice(0, 5), [], `${name}, ${situation}`);
    }
  }
});

test("what the hostile containers ask for by fair means is there", () => {
  const { data, verdicts } = view(situations["hostile labels"]!, { proxyTag: "", users });
  assert.ok(data.Hostnames.size > HOSTILE / 4, `${data.Hostnames.size} hosts`);
  assert.ok(verdicts.filter(({ problems }) => problems.length > 0).length > HOSTILE / 4);
  const headers = [...data.Hostnames.values()].flatMap((host) => [...host.Headers.values()]);
  for (const char of "\"\\$%;{}#'") {
    assert.ok(headers.filter((value) => value.includes(char)).length > 20, `headers with ${char}`);
  }
});

test("Centauri takes what centauri.conf.tpl gives", async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, "centauri.conf");
  for (const [situation, containers] of Object.entries(situations)) {
    const text = render("centauri.conf", containers, users);
    parseRoutes(text); // throws for what is wrong
    await writeFile(file, text);
    const { code, stdout, stderr } = await runCentauri(["--validate"], {
      env: { CONFIG: file, CERTIFICATE_STORE: join(folder, "certs.json") },
    });
    assert.equal(code, 0, `${situation}: ${stdout}${stderr}`);
  }
});

/** As in a container, but for what the machine may not have: certificates, Docker's DNS. */
function haproxyFile(text: string, certificates: string): string {
  return text.replace("crt /certs/", `crt ${certificates}/`)
    .replaceAll("init-addr last,libc,none", "init-addr last,none");
}

/** Writable files and folders for whoever runs the test, who may not be root. */
function nginxFile(text: string, folder: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `    ${name}_temp_path ${folder}/${name};\n`);
  return `pid ${folder}/nginx.pid;\nerror_log stderr;\n${
    process.getuid?.() === 0 ? "user root;\n" : ""
  }` +
    text.replace("http {\n", `http {\n    access_log off;\n${temporary.join("")}`)
      .replaceAll('"/certs/', `"${folder}/`).replaceAll('"/etc/nginx/', `"${folder}/`);
}

test("HAProxy takes what haproxy.cfg.tpl gives", async (t) => {
  if (!needProgram(t, "haproxy")) return;
  const folder = await temporaryFolder(t);
  const certificates = join(folder, "certs");
  await mkdir(certificates);
  await writeFile(join(certificates, "a.example.pem"), certificateFor("a.example").join(""));
  for (const [situation, containers] of Object.entries(situations)) {
    const text = render("haproxy.cfg", containers, users);
    const file = join(folder, "haproxy.cfg");
    await writeFile(file, haproxyFile(text, certificates));
    const { code, stdout, stderr } = await run("haproxy", ["-c", "-f", file], { timeout: 60_000 });
    assert.equal(code, 0, `${situation}: ${stdout}${stderr.slice(-2_000)}`);
    assert.doesNotMatch(stderr, /WARNING/, situation);
  }
  const real = render("haproxy.cfg", situations["a container"]!);
  await writeFile(join(folder, "real.cfg"), real.replace("crt /certs/", `crt ${certificates}/`));
  assert.equal((await run("haproxy", ["-c", "-f", join(folder, "real.cfg")])).code, 0);
});

test("HAProxy takes haproxy.cfg.tpl without any certificate", async (t) => {
  if (!needProgram(t, "haproxy")) return;
  const folder = await temporaryFolder(t);
  const file = join(folder, "haproxy.cfg");
  await mkdir(join(folder, "certs"));
  await writeFile(file, haproxyFile(render("haproxy.cfg", []), join(folder, "certs")));
  const { code, stderr } = await run("haproxy", ["-c", "-f", file]);
  assert.equal(code, 0, stderr);
});

test("nginx takes what nginx.conf.tpl gives", async (t) => {
  if (!needProgram(t, "nginx")) return;
  const folder = await temporaryFolder(t);
  const file = join(folder, "nginx.conf");
  for (const [situation, containers] of Object.entries(situations)) {
    await writeFile(file, nginxFile(render("nginx.conf", containers, users), folder));
    const { code, stderr } = await run("nginx", ["-t", "-e", "stderr", "-c", file]);
    assert.equal(code, 0, `${situation}: ${stderr.slice(-2_000)}`);
    assert.doesNotMatch(stderr, /\[warn\]/, situation);
  }
});

/** Certificate and key as PEM. */
function certificateFor(name: string): [certificate: string, key: string] {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const [notBefore, notAfter] = [new Date(Date.now() - DAY), new Date(Date.now() + DAY)];
  const serial = Uint8Array.of(1);
  return [selfSigned({ names: [name], key, serial, notBefore, notAfter }), privateKeyPem(key)];
}

/** Text that each program would make something else of, if it weren't quoted for it. */
const ODD = `a "b" \\ \\n $HOME \${HOME} $host %[src] %% %ci 'x' # {}; é`;
const ALIASES = { one: "the first", two: "the second" };

/** Hosts as a proxy serves them: headers, wildcards, logins, one without a container. */
function site(port: (name: string) => number): Container[] {
  const add = (name: string, at: string, vhost: string, more: Readonly<Record<string, string>>) =>
    hosted(name, vhost, { "com.chameth.proxy": `${port(at)}`, ...more });
  const headers = {
    "com.chameth.headers.1": `X-Odd: ${ODD}`,
    "com.chameth.headers.2": "X-!#$%&'*+.^_`|~: odd name",
  };
  return [
    add("one", "one", "a.example www.a.example *.a.example", headers),
    add("two", "two", "a.example", {}),
    add("exact", "two", "exact.a.example", {}),
    add("anybody", "one", "anybody.example", { "com.chameth.auth": "" }),
    add("staff", "one", "staff.example", { "com.chameth.auth": "staff" }),
    container("none", { labels: { "com.chameth.vhost": "none.example" } }),
  ];
}

interface Site {
  readonly folder: string;
  readonly containers: readonly Container[];
  readonly users: readonly User[];
  /** Addresses instead of names that only Docker's DNS knows. */
  resolve(text: string): string;
}

/** Upstreams, users alice (in staff) and bob with the password "secret", a certificate a host. */
async function startSite(t: TestContext): Promise<Site> {
  const folder = await temporaryFolder(t);
  const answer = (name: string) => ok(name, "X-Odd: of the upstream\r\n");
  const one = await startServer(t, () => answer(ALIASES.one));
  const two = await startServer(t, () => answer(ALIASES.two));
  const containers = site((name) => (name === "one" ? one : two).port);
  const names = [...view(containers, { proxyTag: "", users: [] }).data.Hostnames.keys()];
  for (const name of names) {
    const certificate = certificateFor(name === "a.example" ? "*.a.example" : name);
    if (name === "a.example") {
      await writeFile(join(folder, "extra.pem"), certificateFor(name).join(""));
    }
    await writeFile(join(folder, `${name}.pem`), certificate.join(""));
    await writeFile(join(folder, `${name}.key`), certificate[1]);
  }
  const hash = (await run("openssl", ["passwd", "-5", "secret"])).stdout.trim();
  return {
    ...{ folder, containers },
    users: parseUsers(`[{name: alice, password: ${hash}, groups: [staff]},
      {name: bob, password: ${hash}}]`),
    resolve: (text) => text.replace(/\b(?:one|two|exact|anybody|staff):(\d+)/g, "127.0.0.1:$1"),
  };
}

/** Runs until the test ends; resolves once both sockets are there. */
async function startProxy(t: TestContext, name: string, args: string[], folder: string) {
  const child = spawn(findProgram(name)!, args, { stdio: ["ignore", "ignore", "pipe"] });
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let output = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => output += text);
  t.after(() => {
    child.kill("SIGTERM");
    return exited;
  });
  const sockets = ["http.sock", "https.sock"].map((file) => join(folder, file));
  const deadline = Date.now() + START_MS;
  while (!sockets.every((path) => existsSync(path))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`no ${name}: ${output}`);
    await setTimeout(20);
  }
}

/** What both proxies do with the same containers. */
async function checkSite({ folder }: Site): Promise<void> {
  const curl = (url: string, ...args: string[]) => {
    const socket = join(folder, url.startsWith("https:") ? "https.sock" : "http.sock");
    return run("curl", ["-sSki", "--unix-socket", socket, url, ...args]);
  };
  const status = async (...args: [string, ...string[]]) =>
    (await curl(...args)).stdout.split(" ")[1];

  const redirect = (await curl("http://a.example/x?y")).stdout;
  assert.match(redirect, /^HTTP\/1.1 301 .*\r\nlocation: https:\/\/a\.example\/x\?y\r\n/is);

  for (const version of ["--http1.1", "--http2"]) {
    const { stdout } = await curl("https://a.example/", version);
    const lines = stdout.split("\r\n").map((line) =>
      line.replace(/^[^:]*/, (x) => x.toLowerCase())
    );
    const odd = lines.filter((line) => line.startsWith("x-odd:"));
    assert.deepEqual(odd, [`x-odd: ${ODD}`], stdout);
    assert.ok(lines.includes("x-!#$%&'*+.^_`|~: odd name"), stdout);
  }

  const urls = Array.from({ length: 30 }, (_, i) => `https://www.a.example/${i}`);
  const bodies = (await curl("https://www.a.example/", ...urls)).stdout;
  for (const body of Object.values(ALIASES)) assert.ok(bodies.includes(body), body);

  assert.ok(
    (await curl("https://any.a.example/")).stdout.includes("x-odd: a ") ||
      (await curl("https://any.a.example/")).stdout.includes("X-Odd: a "),
    "wildcard",
  );
  const exact = (await curl("https://exact.a.example/")).stdout;
  assert.ok(exact.endsWith(ALIASES.two) && exact.includes("of the upstream"), exact);

  assert.equal(await status("https://none.example/"), "503");
  assert.equal((await curl("https://unknown.example/")).code, 35, "no handshake");

  assert.equal(await status("https://anybody.example/"), "401");
  assert.equal(await status("https://anybody.example/", "-u", "bob:wrong"), "401");
  assert.equal(await status("https://anybody.example/", "-u", "bob:secret"), "200");
  assert.equal(await status("https://staff.example/", "-u", "bob:secret"), "401");
  assert.equal(await status("https://staff.example/", "-u", "alice:secret"), "200");
}

test("HAProxy serves what labels ask for", async (t) => {
  if (!["haproxy", "curl", "openssl"].every((name) => needProgram(t, name))) return;
  const site = await startSite(t);
  const { folder, containers, users, resolve } = site;
  const text = resolve(render("haproxy.cfg", containers, users));
  const file = join(folder, "haproxy.conf");
  const certificates = join(folder, "certs");
  await mkdir(certificates);
  for (
    const name of ["extra", ...view(containers, { proxyTag: "", users }).data.Hostnames.keys()]
  ) {
    await writeFile(join(certificates, `${name}.pem`), readFileSync(join(folder, `${name}.pem`)));
  }
  await writeFile(
    file,
    haproxyFile(text, certificates).replace("bind :80", `bind unix@${folder}/http.sock`)
      .replace("bind :443", `bind unix@${folder}/https.sock`),
  );
  await startProxy(t, "haproxy", ["-db", "-f", file], folder);
  await checkSite(site);
});

test("nginx serves what labels ask for", async (t) => {
  if (!["nginx", "curl", "openssl"].every((name) => needProgram(t, name))) return;
  const site = await startSite(t);
  const { folder, containers, users, resolve } = site;
  const text = resolve(render("nginx.conf", containers, users));
  const list = (some: readonly User[]) =>
    some.map(({ name, password }) => `${name}:${password}\n`).join("");
  await writeFile(join(folder, "htpasswd"), list(users));
  await writeFile(join(folder, "htpasswd.staff"), list(users.slice(0, 1)));
  const file = join(folder, "nginx.conf");
  await writeFile(
    file,
    nginxFile(text, folder).replaceAll("listen 80", `listen unix:${folder}/http.sock`)
      .replaceAll("listen 443", `listen unix:${folder}/https.sock`),
  );
  await startProxy(t, "nginx", ["-e", "stderr", "-g", "daemon off;", "-c", file], folder);
  await checkSite(site);
});
