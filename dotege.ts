/**
 * Dotege: watches a Docker engine, and when containers change evaluates templates into files and
 * tells those who read them. This file wires the parts together and ends them; see the README for
 * the order to read them in.
 */
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { deploymentOf } from "./lib/certsettings.ts";
import type { Container } from "./lib/container.ts";
import { createDebounce } from "./lib/debounce.ts";
import { createDocker, type Docker } from "./lib/docker.ts";
import type { DotegeCertificates } from "./lib/dotegecerts.ts";
import { DOTEGE_OPTIONS, type DotegeSettings, dotegeSettings } from "./lib/dotegesettings.ts";
import { type View, view } from "./lib/hostnames.ts";
import type { Logger } from "./lib/log.ts";
import { createNotifier, type Notifier, type NotifyOptions } from "./lib/notify.ts";
import type { Options } from "./lib/options.ts";
import { createOutputs, type Outputs } from "./lib/outputs.ts";
import { signalled, startProgram } from "./lib/program.ts";
import { compile } from "./lib/template.ts";
import { createFunctions } from "./lib/templatefunctions.ts";
import { complaints } from "./lib/verdictlog.ts";
import { watchContainers } from "./lib/watch.ts";

/** How long a command waits for the engine, in milliseconds. */
const ENGINE_TIMEOUT = 30_000;
/** At the end, for challenges of orders under way and whoever is being told, in milliseconds. */
const CLEAN_UP_TIMEOUT = 6_000;

function viewOf(
  containers: readonly Container[],
  options: Options,
  settings: DotegeSettings,
): View {
  return view(containers, { proxyTag: options.string("proxytag"), users: settings.users });
}

function outputsOf(
  options: Options,
  settings: DotegeSettings,
  parts: { log: Logger; watch: boolean; again: () => void },
): Outputs {
  const { outputs, mode, owner } = settings;
  const functions = createFunctions((name) => process.env[name]);
  return createOutputs({
    ...parts,
    outputs,
    compile: (name, source) => compile(name, source, functions),
    check: options.string("check-command"),
    ...mode !== undefined && { mode },
    ...owner !== undefined && { owner },
  });
}

function notifierOf(
  options: Options,
  { signalled, restarted, signalName }: DotegeSettings,
  parts: Pick<NotifyOptions, "docker" | "containers" | "isServed" | "log">,
): Notifier {
  const [pidFile, command] = [options.string("signal-pid-file"), options.string("notify-command")];
  return createNotifier({ ...parts, signalled, restarted, signalName, pidFile, command });
}

/** Ids of the containers that have hosts. */
function served({ verdicts }: View): string[] {
  return verdicts.filter(({ hosts }) => hosts.length > 0).map(({ id }) => id);
}

/** Watches, until it is told to stop. */
async function serve(options: Options, settings: DotegeSettings, log: Logger): Promise<boolean> {
  let containers: readonly Container[] | undefined; // undefined until all were read
  let servedIds: readonly string[] = [];
  const debounce = createDebounce(render, {
    quiet: options.duration("debounce"),
    max: options.duration("debounce-max"),
    log,
  });
  // Before the rest, for whoever sends one to a program that is starting would end it.
  process.on("SIGHUP", () => debounce.now());
  const stop = signalled();
  const docker = createDocker(process.env);
  const again = () => debounce.trigger();
  const outputs = outputsOf(options, settings, { log, watch: true, again });
  const notifier = notifierOf(options, settings, {
    ...{ docker, log, containers: () => containers ?? [] },
    isServed: (id) => servedIds.includes(id),
  });
  const push = await startPush(settings, log);
  const news = new Set<string>(); // what was written since anybody was told
  const certificates = await startCertificates(options, settings, log, (folder) => {
    news.add(folder);
    debounce.trigger();
  });
  const complain = complaints(log, settings.topics);

  async function render(): Promise<void> {
    if (containers === undefined) return;
    const current = viewOf(containers, options, settings);
    complain(current);
    servedIds = served(current);
    // By their own names, whatever of these their hosts have.
    const names = servedIds.map((id) => current.data.Containers.get(id)?.CertNames([]) ?? []);
    await certificates?.want(names);
    const { changed, texts } = await outputs.render(current.data);
    for (const destination of changed) news.add(destination);
    const routes = texts.get(settings.push?.destination ?? "");
    if (routes !== undefined) push?.update(routes);
    const told = [...news];
    news.clear();
    // Not waited for: a container that restarts slowly must not hold up the next file.
    if (told.length > 0) void notifier.tell(told);
  }
  const watch = watchContainers({
    docker,
    poll: options.duration("poll"),
    resync: options.duration("resync"),
    log,
    onChange(current) {
      const isFirst = containers === undefined;
      containers = current;
      if (isFirst) debounce.now();
      else debounce.trigger();
    },
  });
  log.info("stopping", { signal: await stop });
  await watch.close();
  outputs.close();
  await debounce.close();
  const ended = Promise.all([notifier.close(), push?.close(), certificates?.close()]);
  await Promise.race([ended, new Promise((done) => setTimeout(done, CLEAN_UP_TIMEOUT))]);
  docker.close();
  log.info("stopped");
  return true;
}

async function startPush({ push: to }: DotegeSettings, log: Logger) {
  if (to === undefined) return undefined;
  const { createConfigPush } = await import("./lib/configpush.ts");
  const push = createConfigPush({ ...to, log });
  await push.listen();
  return push;
}

/** `onDeploy` gets the folder that has new files. */
async function startCertificates(
  options: Options,
  { certificates: settings }: DotegeSettings,
  log: Logger,
  onDeploy: (folder: string) => void,
): Promise<DotegeCertificates | undefined> {
  const { deployment, why } = deploymentOf(options);
  log.info("certificate deployment", { deployment, why });
  if (settings === undefined) return undefined;
  const { createDotegeCertificates } = await import("./lib/dotegecerts.ts");
  const { folder } = settings.files;
  return createDotegeCertificates(settings, {
    log,
    env: process.env,
    onDeploy: () => onDeploy(folder),
  });
}

/** Does one thing with the containers that run now. */
async function command(
  options: Options,
  settings: DotegeSettings,
  log: Logger,
): Promise<boolean> {
  const docker = createDocker(process.env);
  try {
    await docker.ping(AbortSignal.timeout(ENGINE_TIMEOUT)); // which says why, where it isn't there
    const containers = await readContainers(docker, log);
    const current = viewOf(containers, options, settings);
    if (settings.command === "explain") {
      const { explain } = await import("./lib/explain.ts");
      return await print(explain(current.verdicts));
    }
    complaints(log, settings.topics)(current);
    const outputs = outputsOf(options, settings, { log, watch: false, again: () => {} });
    try {
      if (settings.command !== "once") return await show(current, settings, outputs);
      const { changed, ok } = await outputs.render(current.data);
      const notifier = notifierOf(options, settings, {
        ...{ docker, log, containers: () => containers },
        isServed: (id) => served(current).includes(id),
      });
      const told = await notifier.tell(changed);
      await notifier.close();
      return ok && told;
    } finally {
      outputs.close();
    }
  } finally {
    docker.close();
  }
}

/** What would be written, or how it differs from what is there. */
async function show({ data }: View, settings: DotegeSettings, outputs: Outputs): Promise<boolean> {
  const all = await outputs.evaluate(data);
  const { colourDiff, fileDiff } = await import("./lib/diff.ts");
  for (const { destination, old, text } of all) {
    if (settings.command === "diff") {
      const diff = fileDiff(destination, old, text);
      await print(process.stdout.isTTY === true ? colourDiff(diff) : diff);
    } else {
      const title = all.length > 1 ? `==> ${destination} <==\n` : "";
      if (text !== undefined) await print(title + text);
    }
  }
  return all.every(({ text }) => text !== undefined);
}

/** All that run now; rejects when the engine doesn't say in time. */
async function readContainers(docker: Docker, log: Logger): Promise<readonly Container[]> {
  return await new Promise((done, reject) => {
    const watch = watchContainers({
      docker,
      poll: 0,
      resync: 0,
      log,
      onChange: (found) => end(found),
    });
    const timer = setTimeout(() => end(), ENGINE_TIMEOUT);
    const end = (found?: readonly Container[]) => {
      clearTimeout(timer);
      const late = () => reject(new Error(`${docker.address} didn't tell its containers in time`));
      watch.close().then(() => found === undefined ? late() : done(found));
    };
  });
}

function print(text: string): Promise<true> {
  return new Promise((done) => process.stdout.write(text, () => done(true)));
}

await startProgram({
  name: "dotege",
  options: DOTEGE_OPTIONS,
  log: "stderr",
  settings: dotegeSettings,
  run: (options, settings, log) =>
    (settings.command === undefined ? serve : command)(options, settings, log),
});
