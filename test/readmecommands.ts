/**
 * The command lines of README.md and docs/*.md, and how each is tested. A block of them is run as a
 * whole, by a shell in a folder where it does no harm (e2e-readme.test.ts), each line as it stands
 * or changed so that it ends; or else another test runs what it does, and says so.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./support.ts";

export interface Command {
  /** From the root. */
  readonly file: string;
  /** Where its block begins, which is what it is run with. */
  readonly block: number;
  /** With lines that go on joined, and a here-document as it is. */
  readonly text: string;
  /** In a sentence: only to be known. */
  readonly inline: boolean;
}

export interface How {
  /** What is run instead; default: the command. */
  readonly as?: string;
  /** What its block prints, in all. */
  readonly prints?: RegExp;
  /** The test that does what the command says, and a part of that file that shows it. */
  readonly elsewhere?: readonly [file: string, part: RegExp];
  /** It is the command line of this unit. */
  readonly unit?: string;
}

const FENCE = /^( *)```(\w*)$/;
const NOT_COMMANDS = ["text", "yaml", "conf"];
const INLINE = /`((?:npm|npx|node|deno|docker|\.ci\/run)(?: [^`]*)?)`/g;

/** The Markdown files that have commands. */
export function pages(): string[] {
  return ["README.md", ...readdirSync(join(root, "docs")).sort().map((name) => `docs/${name}`)];
}

export function allCommands(): Command[] {
  return pages().flatMap((file) => commandsOf(file, readFileSync(join(root, file), "utf8")));
}

/** Throws an Error for a block that doesn't say what it is. */
export function commandsOf(file: string, markdown: string): Command[] {
  const lines = markdown.split("\n");
  const commands: Command[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, indent = "", kind = ""] = FENCE.exec(lines[i] ?? "") ?? [];
    const at = `${file}:${i + 1}`;
    if (!/^ *```/.test(lines[i] ?? "")) {
      if (/^ {4}|^\t/.test(lines[i] ?? "")) throw new Error(`${at}: indented by four: a fence?`);
      for (const [, text = ""] of (lines[i] ?? "").matchAll(INLINE)) {
        commands.push({ file, block: i + 1, text, inline: true });
      }
      continue;
    }
    const end = lines.indexOf(`${indent}\`\`\``, i + 1);
    if (kind !== "sh" && !NOT_COMMANDS.includes(kind)) throw new Error(`${at}: a block of what?`);
    if (end < 0) throw new Error(`${at}: a block without an end`);
    const body = lines.slice(i + 1, end).map((line) => line.slice(indent.length));
    if (kind === "sh") {
      commands.push(
        ...commandLines(body).map((text) => ({ file, block: i + 1, text, inline: false })),
      );
    }
    i = end;
  }
  return commands;
}

/** Lines of a shell, as far as they are used here. */
function commandLines(lines: readonly string[]): string[] {
  const commands: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    let text = lines[i] ?? "";
    if (text === "" || text.startsWith("#")) continue;
    while (text.endsWith("\\")) text = text.slice(0, -1).trimEnd() + " " + lines[++i]?.trimStart();
    const [, word] = /<<(\w+)$/.exec(text) ?? [];
    while (word !== undefined && !text.endsWith(`\n${word}`)) {
      if (++i === lines.length) throw new Error(`no ${word} after: ${text}`);
      text += `\n${lines[i]}`;
    }
    commands.push(text);
  }
  return commands;
}

const DEMO = ["test/e2e-demo.test.ts", /runtimeCommand\("examples\/demo\.ts"\)/] as const;
const STORY = "test/e2e-story.test.ts";
const EVERY_TEST = ["test/support.ts", /\/\*\* What runs `script`/] as const;
const CI = [".ci/run", /^npm ci .*$[^]*npm test/m] as const;
const DOCKER_RUN =
  "docker run -d --name web --network front --label com.chameth.vhost=www.example.com nginx";
/** For docker-compose, beside the examples. */
const environment = (...lines: readonly string[]): [string, How] => [
  [
    ...["cat >examples/.env <<END", "ACME_EMAIL=you@example.com"],
    ...["DOCKER_GID=$(stat -c %g /var/run/docker.sock)", ...lines, "END"],
  ].join("\n"),
  {},
];
const DOTEGE = "node dotege.ts --template-source templates/";
const VALID = { as: "& --validate", prints: /configuration is valid/ };

/** What has to be right for `docker compose up`, as far as that can be known without images. */
const composeRow = (file: string): [string, How] => [
  `docker compose -f examples/${file} up -d --build`,
  { as: `docker-compose -f examples/${file} config -q` },
];

/** By the command's text. In `as`, `&` is the command. */
export const HOW: ReadonlyMap<string, How> = new Map<string, How>([
  // README.md
  ["npx --yes tsx examples/demo.ts", { elsewhere: DEMO }],
  ["node examples/demo.ts", { elsewhere: DEMO }],
  ["deno run -A examples/demo.ts", { elsewhere: DEMO }],
  ["node dotege.ts --explain", { prints: /^web\n +hosts +www\.example\.com\n/m }],
  ["npm cit", { elsewhere: CI }],
  ["sudo mkdir -p /opt/centauri /etc/centauri", {}],
  ["sudo cp -r package.json centauri.ts dotege.ts lib /opt/centauri/", {}],
  ["sudo cp examples/systemd/centauri.service /etc/systemd/system/", {}],
  [
    "sudo tee /etc/centauri/centauri.conf >/dev/null <<END\nroute www.example.com\n" +
    "    upstream 127.0.0.1:3000\nEND",
    {},
  ],
  ["echo ACME_EMAIL=you@example.com | sudo tee /etc/centauri/environment", {}],
  [
    "node /opt/centauri/centauri.ts --config /etc/centauri/centauri.conf --validate",
    { prints: /configuration is valid.*routes=1$/m },
  ],
  ["sudo systemctl daemon-reload", {}],
  [
    "sudo systemctl enable --now centauri",
    {
      prints: /^systemctl enable --now centauri$/m,
      elsewhere: ["test/e2e-sandbox.test.ts", /ExecStart/],
    },
  ],
  [
    "sudo node /opt/centauri/centauri.ts --status --certificate-store /var/lib/centauri/certs.json",
    { prints: /www\.example\.com/ },
  ],
  ["journalctl -u centauri", {
    elsewhere: ["test/e2e-control.test.ts", /the log is text or JSON/],
  }],
  [
    "sudo systemctl reload centauri",
    { elsewhere: ["test/e2e-sandbox.test.ts", /centauri\.signal\("SIGHUP"\)/] },
  ],
  ["docker compose -f examples/compose.yaml down -v", { elsewhere: [STORY, /file, "down"\]/] }],
  environment(),
  ["touch examples/.env && chmod 600 examples/.env", {}],
  composeRow("compose.yaml"),
  [DOCKER_RUN, { elsewhere: [STORY, /network: "front", labels: \{ "com\.chameth\.vhost": vhost/] }],
  [
    "docker exec centauri node /app/centauri.ts --status",
    { elsewhere: [STORY, /"exec", "centauri", "node", "\/app\/centauri\.ts", "--status"/] },
  ],
  [
    "docker compose -f examples/compose.yaml exec dotege node /app/dotege.ts --explain",
    { elsewhere: [STORY, /"dotege", "node", "\/app\/dotege\.ts", "--explain"/] },
  ],
  environment("DNS_PROVIDER=cloudflare", "CF_DNS_API_TOKEN=your-token"),
  composeRow("haproxy.compose.yaml"),
  [
    "docker compose -f examples/haproxy.compose.yaml logs dotege",
    {
      as: "docker-compose -f examples/haproxy.compose.yaml config --services",
      prints: /^dotege$/m,
    },
  ],
  environment("REDIS_PASSWORD=$(openssl rand -hex 24)"),
  composeRow("machines.compose.yaml"),
  ["node centauri.ts", { elsewhere: EVERY_TEST }],
  ["node dotege.ts", { elsewhere: EVERY_TEST }],
  ["npx tsx centauri.ts", { elsewhere: EVERY_TEST }],
  ["npx tsx dotege.ts", { elsewhere: EVERY_TEST }],
  ["npm ci", { elsewhere: CI }],
  ["deno run", { elsewhere: EVERY_TEST }],
  ["node centauri.ts --acme-email you@example.com", VALID],
  [`${DOTEGE}haproxy.cfg.tpl --stdout`, { prints: /^backend www\.example\.com$/m }],
  [
    `${DOTEGE}haproxy.cfg.tpl --template-destination haproxy.cfg --diff`,
    { prints: /^\+backend www\.example\.com$/m },
  ],
  [
    `${DOTEGE}centauri.conf.tpl --template-destination centauri.conf`,
    { as: "& --once && cat centauri.conf", prints: /^route www\.example\.com$/m },
  ],
  [
    "node dotege.ts --template-destination /data/output/haproxy.cfg --signal-container haproxy",
    { as: "& --once && cat /data/output/haproxy.cfg", prints: /^backend www\.example\.com$/m },
  ],
  ["mkdir -p nginx", {}],
  [
    `${DOTEGE}nginx.conf.tpl --template-destination nginx/nginx.conf ` +
    "--check-command 'nginx -t -c' --signal-container nginx",
    { as: "& --once && cat nginx/nginx.conf", prints: /server_name www\.example\.com;/ },
  ],
  [
    "npm run bench -- --write-readme",
    { elsewhere: ["bench/bench.ts", /"write-readme": \{ type: "boolean"/] },
  ],
  ["npm run readme", { elsewhere: ["test/repository.test.ts", /renderReadme\(readme, sources\)/] }],
  [".ci/run", { elsewhere: CI }],
  ["node --import tsx bench/acme.ts", { as: "& --help", prints: /Usage: acme\.ts/ }],
  ["node --import tsx bench/dotege.ts", { as: "& --help", prints: /Usage: dotege\.ts/ }],
  [
    "npm run soak -- --minutes 30 --workers 1",
    { elsewhere: ["test/soak.ts", /minutes: \{ type[^]*workers: \{ type/] },
  ],
  [
    "node --import tsx test/fuzz/run.ts --target heads --inputs 10000000 --seed 1",
    {
      as: "node --import tsx test/fuzz/run.ts --target heads --inputs 1000 --seed 1",
      prints: /heads/,
    },
  ],
  [
    "REGISTRY_LONG=1 node --import tsx --test test/e2e-registry.test.ts",
    { elsewhere: ["test/e2e-registry.test.ts", /process\.env\.REGISTRY_LONG/] },
  ],
  // docs/certificates.md
  [
    "DNS_PROVIDER=cloudflare CF_DNS_API_TOKEN_FILE=/run/secrets/dns WILDCARD_DOMAINS=example.com " +
    "node centauri.ts --acme-email you@example.com",
    VALID,
  ],
  [
    "node centauri.ts --acme-email you@example.com --acme-challenges dns-persist-01 " +
    "--acme-directory https://acme-staging-v02.api.letsencrypt.org/directory --obtain example.com",
    { as: "& --help", elsewhere: ["test/e2e-renewal.test.ts", /dns-persist-01/] },
  ],
  [
    "LEGO_CA_CERTIFICATES=/etc/ssl/our-ca.pem " +
    "node centauri.ts --acme-directory https://ca.internal/acme/directory",
    VALID,
  ],
  // docs/dotege.md
  [
    "DOTEGE_DNS_PROVIDER=cloudflare CF_DNS_API_TOKEN_FILE=/run/secrets/dns " +
    "node dotege.ts --acme-email you@example.com --signal-container haproxy",
    {
      as: "& --stdout",
      elsewhere: ["test/e2e-dotegecerts.test.ts", /HAProxy serves what is deployed/],
    },
  ],
  // docs/machines.md
  [
    "CERTIFICATE_STORE_TYPE=redis REDIS_ADDRESS=redis.internal:6379 REDIS_TLS=true " +
    "REDIS_USERNAME=centauri REDIS_PASSWORD=your-password " +
    "node centauri.ts --acme-email you@example.com",
    { as: "& --help", elsewhere: ["test/e2e-redis.test.ts", /REDIS_USERNAME: "u"/] },
  ],
  [
    `${DOTEGE}centauri.conf.tpl --template-destination centauri.conf --push-listen 10.0.0.2:8090`,
    { as: "& --help", elsewhere: ["test/e2e-network.test.ts", /Dotege feeds three Centauris/] },
  ],
  [
    "node centauri.ts --config-source network --config-network-address 10.0.0.2:8090",
    { as: "& --help", elsewhere: ["test/e2e-network.test.ts", /Dotege feeds three Centauris/] },
  ],
  ["node centauri.ts --proxy-protocol-from 10.0.0.5,fd00::5", VALID],
  // docs/migrating.md
  [
    "CONFIG=centauri.conf CERTIFICATE_STORE=certs.json USER_DATA=user.pem " +
    "node centauri.ts --validate",
    { prints: VALID.prints },
  ],
  ["node centauri.ts --status --certificate-store certs.json", { prints: /www\.example\.com/ }],
  // docs/running.md
  ["node centauri.ts --status", { prints: /www\.example\.com/ }],
  ["node centauri.ts --metrics-port 9100 --metrics-address 127.0.0.1 --status-page", VALID],
  [
    "node centauri.ts --access-log /var/lib/centauri/access.log --access-log-format json",
    VALID,
  ],
  ["node centauri.ts --workers auto", VALID],
  // docs/security.md
  [
    "node --permission --allow-fs-read=/opt/centauri/ --allow-fs-read=/etc/centauri/ " +
    "--allow-fs-read=/var/lib/centauri/ --allow-fs-write=/var/lib/centauri/ " +
    "/opt/centauri/centauri.ts",
    { unit: "centauri.service" },
  ],
  [
    "deno run --no-prompt --no-remote --no-npm --allow-net --allow-env " +
    "--allow-sys=networkInterfaces --allow-read=/etc/centauri,/var/lib/centauri " +
    "--allow-write=/var/lib/centauri /opt/centauri/centauri.ts",
    { unit: "centauri-deno.service" },
  ],
  [
    "node --permission --allow-fs-read=/opt/centauri/ --allow-fs-read=/etc/dotege/ " +
    "--allow-fs-read=/var/lib/dotege/ --allow-fs-read=/var/run/docker.sock " +
    "--allow-fs-write=/var/lib/dotege/ /opt/centauri/dotege.ts",
    { unit: "dotege.service" },
  ],
  // docs/tailscale.md
  ["tailscale up", { elsewhere: ["test/faketailscale.ts", /LocalAPI/] }],
  [
    "FRONTEND=tailscale node centauri.ts",
    { as: "& --help", elsewhere: ["test/e2e-tailscale.test.ts", /FRONTEND: "tailscale"/] },
  ],
]);

/** What is wrong, one sentence each: commands without a row, rows without a command, and so on. */
export function commandFaults(
  commands: readonly Command[],
  how: ReadonlyMap<string, How>,
): string[] {
  const texts = new Set(commands.map(({ text }) => text));
  const faults = commands.filter(({ text }) => !how.has(text)).map(({ file, block, text }) =>
    `${file}:${block}: nothing tests: ${text}`
  );
  for (const [text, { elsewhere: [file, part] = [], unit }] of how) {
    if (!texts.has(text)) faults.push(`no page has: ${text}`);
    if (file !== undefined && !part?.test(readFileSync(join(root, file), "utf8"))) {
      faults.push(`${file} has nothing like ${part}, which is to test: ${text}`);
    }
    if (unit !== undefined && text !== startOf(unit)) faults.push(`${unit} doesn't start: ${text}`);
  }
  return faults;
}

/** A unit's ExecStart, with the program's name alone. */
function startOf(unit: string): string | undefined {
  const text = readFileSync(join(root, "examples/systemd", unit), "utf8");
  const start = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(text)?.[1];
  return start?.replace(/\s*\\\n\s*/g, " ").replace("/usr/bin/", "");
}
