/**
 * The whole story on a real engine: examples/compose.yaml as it stands, images by the Dockerfile,
 * sites in containers that come and go, and a CA. Clients ask meanwhile and count what fails.
 */
import assert from "node:assert/strict";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { freePorts, type Pebble, startChalltestsrv, startPebble } from "./acmepeers.ts";
import { canStartEngine, type Engine, startEngine } from "./engine.ts";
import { makeOurImages } from "./images.ts";
import { httpsExchange, needProgram, root, run, thisRuntime } from "./support.ts";

const COMPOSE_FILE = join(root, "examples/compose.yaml");
const [major = 0] = thisRuntime.version.split(".").map(Number);
/** The image begins with a runtime that needs nothing to run TypeScript. */
const runsSources = thisRuntime.kind === "deno" || major >= 24;
/** SITES=50 by hand; each container takes the engine a second. */
const SITES = Number(process.env.SITES ?? 12);
/** The alert, in OpenSSL's words and in Deno's. */
const UNRECOGNIZED = /unrecogni[sz]ed.?name/i;
/** Milliseconds from `docker run` to an answer; a person waits for 10 s of a machine at rest. */
const PATIENCE = 90_000;

/** What a container runs to answer each request for `/` with this page. */
function serve(page: string): string[] {
  const script = `mkdir -p /www && echo ${page} >/www/index.html && exec httpd -f -p 8080 -h /www`;
  return ["sh", "-c", script];
}

/** A site's page is its container's name. */
function startSite(engine: Engine, name: string, vhost: string): Promise<string> {
  return engine.run(name, {
    ...{ network: "front", labels: { "com.chameth.vhost": vhost } },
    ...{ restart: true, command: serve(name) },
  });
}

/** A compose file with one site. */
function composeFile(page: string): string {
  return JSON.stringify({
    version: "2",
    services: {
      site: {
        ...{ image: "box:1", command: serve(page), networks: ["front"], stop_grace_period: "0s" },
        labels: { "com.chameth.vhost": "compose.test" },
      },
    },
    networks: { front: { external: true } },
  });
}

class Story {
  readonly engine: Engine;
  readonly httpsPort: number;
  readonly #pebble: Pebble;
  readonly #compose: (args: readonly string[]) => Promise<string>;

  constructor(engine: Engine, httpsPort: number, pebble: Pebble, compose: Story["compose"]) {
    this.engine = engine;
    this.httpsPort = httpsPort;
    this.#pebble = pebble;
    this.#compose = compose;
  }

  /** Runs docker-compose; gives what it printed. */
  compose(args: readonly string[]): Promise<string> {
    return this.#compose(args);
  }

  /** The page, if the certificate is Pebble's; what went wrong otherwise. */
  async ask(name: string): Promise<string> {
    const ca = await this.#pebble.root();
    const request = `GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`;
    return await httpsExchange(this.httpsPort, name, request, {
      until: 1,
      tls: { ca, rejectUnauthorized: true },
    }).then(
      (text) => /^HTTP\/1\.1 200 .*\r\n\r\n([^]*)$/s.exec(text)?.[1]?.trim() ?? text,
      (error: Error) => error.message,
    );
  }

  /** Resolves with the milliseconds that it took until the name's page is `page`. */
  async until(name: string, page: string | RegExp): Promise<number> {
    const start = Date.now();
    for (let last = "";; await setTimeout(50)) {
      last = await this.ask(name);
      if (typeof page === "string" ? last === page : page.test(last)) return Date.now() - start;
      if (Date.now() - start < PATIENCE) continue;
      const logs = await this.engine.docker("logs", "centauri");
      throw new Error(`${name}: ${last} instead of ${page}\n${logs.slice(-5_000)}`);
    }
  }

  /** How many certificates the CA issued. */
  issued(): number {
    return this.#pebble.output.filter((line) => /Issued certificate serial/.test(line)).length;
  }
}

/** Asks again and again, each time on a new connection, until it is told to stop. */
function hammer(story: Story, name: string, page: string): { stop(): Promise<number> } {
  let stopping = false;
  const failures: string[] = [];
  let count = 0;
  const work = async (): Promise<void> => {
    while (!stopping) {
      const answer = await story.ask(name);
      count++;
      if (answer !== page) failures.push(answer);
    }
  };
  const done = Promise.all([work(), work()]);
  return {
    async stop() {
      stopping = true;
      await done;
      assert.deepEqual(failures, [], `${failures.length} of ${count} requests failed`);
      assert.ok(count > 0);
      return count;
    },
  };
}

/** What a test has that others haven't: a CA of its own. */
function overrideFile(engine: Engine): string {
  return join(engine.folder, "test.yaml");
}

async function begin(t: TestContext): Promise<Story | undefined> {
  if (!canStartEngine(t) || !needProgram(t, "docker-compose")) return undefined;
  const engine = await startEngine(t);
  const [[httpPort = 0, httpsPort = 0], dns] = [await freePorts(2), await startChalltestsrv(t)];
  if (dns === undefined) return undefined;
  await makeOurImages(engine);
  await engine.createNetwork("front");
  const { IPAM } = JSON.parse(await engine.docker("network", "inspect", "front"))[0];
  const pebble = await startPebble(t, {
    ...{ httpPort, tlsPort: httpsPort, dnsServer: dns.dnsServer },
    address: IPAM.Config[0].Gateway,
  });
  if (pebble === undefined) return undefined;
  await writeFile(
    overrideFile(engine),
    JSON.stringify({
      services: {
        centauri: {
          environment: { ACME_DIRECTORY: pebble.directory, LEGO_CA_CERTIFICATES: "/ca.pem" },
          volumes: [`${pebble.apiRootFile}:/ca.pem:ro`],
          ...thisRuntime.kind === "deno" ? { tmpfs: ["/tmp"] } : {},
        },
        ...thisRuntime.kind === "deno" ? { dotege: { tmpfs: ["/tmp"] } } : {},
      },
      networks: { front: { external: true } },
    }),
  );
  const socket = join(engine.folder, "docker.sock");
  const env = {
    ...{ PATH: process.env.PATH ?? "", ACME_EMAIL: "a@example.com", ...engine.env },
    ...{ HTTP_PORT: String(httpPort), HTTPS_PORT: String(httpsPort), DOCKER_SOCKET: socket },
    DOCKER_GID: String((await stat(socket)).gid),
  };
  const compose: Story["compose"] = async (args) => {
    const { code, stdout, stderr } = await run("docker-compose", args, { env, timeout: 120_000 });
    if (code !== 0) throw new Error(`docker-compose ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  };
  return new Story(engine, httpsPort, pebble, compose);
}

test("the example's compose file is one", async (t) => {
  if (!needProgram(t, "docker-compose")) return;
  const { code, stderr } = await run("docker-compose", ["-f", COMPOSE_FILE, "config", "-q"]);
  assert.equal(code, 0, stderr);
});

if (runsSources) {
  test("sites come, go and are replaced, and so are the programs; others never notice", async (t) => {
    const story = await begin(t);
    if (story === undefined) return;
    const { engine } = story;
    const ours = ["--project-name", "sites", "-f", COMPOSE_FILE, "-f", overrideFile(engine)];
    await story.compose([...ours, "up", "-d", "--no-build"]);
    await story.until("a.test", UNRECOGNIZED);
    await startSite(engine, "first", "a.test www.a.test");
    t.diagnostic(`${await story.until("a.test", "first")} ms from docker run to the first answer`);
    assert.equal(await story.ask("www.a.test"), "first");
    assert.match(await story.ask("b.test"), UNRECOGNIZED);

    await t.test("a container is renamed, and replaced by another one", async () => {
      await startSite(engine, "other", "b.test");
      await story.until("b.test", "other");
      const others = hammer(story, "b.test", "other");
      await engine.rename("first", "renamed");
      await story.until("a.test", "first"); // its page has the old name
      await engine.remove("renamed");
      await story.until("a.test", UNRECOGNIZED);
      await startSite(engine, "second", "a.test www.a.test");
      await story.until("a.test", "second");
      t.diagnostic(`${await others.stop()} requests meanwhile`);
    });

    await t.test("of two containers of a site one may go at any time", async () => {
      await startSite(engine, "b1", "c.test");
      await startSite(engine, "b2", "c.test");
      await story.until("c.test", "b1");
      await story.until("c.test", "b2");
      const clients = hammer(story, "b.test", "other");
      await engine.remove("b1");
      for (let i = 0; i < 20; i++) assert.equal(await story.ask("c.test"), "b2");
      await clients.stop();
    });

    await t.test("docker compose makes a container anew after a change", async () => {
      const clients = hammer(story, "b.test", "other");
      const file = join(engine.folder, "site.yaml");
      for (const page of ["before", "after"]) {
        await writeFile(file, composeFile(page));
        await story.compose(["--project-name", "shop", "-f", file, "up", "-d"]);
        await story.until("compose.test", page);
      }
      await story.compose(["--project-name", "shop", "-f", file, "down"]);
      await clients.stop();
    });

    await t.test("a container that crashes again and again is nobody else's trouble", async () => {
      const clients = hammer(story, "b.test", "other");
      const label = { "com.chameth.vhost": "crash.test" };
      await engine.run("crash", { network: "front", labels: label, restart: true, crash: true });
      await startSite(engine, "third", "d.test");
      await story.until("d.test", "third");
      await engine.remove("crash");
      await clients.stop();
    });

    await t.test(`${SITES} sites are served, each with its certificate`, async () => {
      const names = Array.from({ length: SITES }, (_, i) => `s${i}`);
      const clients = hammer(story, "b.test", "other");
      const start = Date.now();
      for (const name of names) await startSite(engine, name, `${name}.test`);
      const started = Date.now() - start;
      await Promise.all(names.map((name) => story.until(`${name}.test`, name)));
      t.diagnostic(`started within ${started} ms, served after ${Date.now() - start} ms`);
      await clients.stop();
      await engine.docker("rm", "-f", ...names);
      await story.until("s0.test", UNRECOGNIZED);
    });

    const issued = story.issued();
    await t.test("Dotege restarts", async () => {
      const clients = hammer(story, "b.test", "other");
      await story.compose([...ours, "restart", "dotege"]);
      await startSite(engine, "fourth", "e.test");
      await story.until("e.test", "fourth");
      await engine.remove("fourth");
      await clients.stop();
    });

    await t.test("Centauri restarts, and the engine", async () => {
      await story.compose([...ours, "restart", "centauri"]);
      await story.until("b.test", "other");
      await story.compose([...ours, "restart"]);
      await story.until("b.test", "other");
      await engine.shutDown();
      await engine.startUp();
      for (const [name, page] of [["a", "second"], ["b", "other"], ["d", "third"]] as const) {
        await story.until(`${name}.test`, page);
      }
      assert.equal(story.issued(), issued + 1, "only the new name is new");
    });
  });
}
