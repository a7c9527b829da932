/**
 * A Docker engine without containers: it speaks the Engine API, in the shapes that Docker 20.10 was
 * recorded to answer in, and does what a test tells it. It listens on a unix socket, on TCP or with
 * TLS.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { HEAD_LIMITS, parseRequestHead } from "../lib/http1.ts";
import { MessageReader } from "../lib/http1reader.ts";
import type { RunOptions, TestEngine } from "./dockerscenario.ts";
import { root, type Scope, temporaryFolder } from "./support.ts";

type Json = Record<string, unknown>;

/** What inspect says of one container, by engine; without what doesn't matter here. */
// deno-lint-ignore no-explicit-any
export const RECORDED: Readonly<Record<string, any>> = JSON.parse(
  readFileSync(join(root, "test/vectors/docker-inspect.json"), "utf8"),
);

export interface FakeOptions {
  /** Default: a unix socket in a temporary folder. */
  readonly listen?: { readonly host: string; readonly tls?: tls.TlsOptions };
  /** Default 1.41; from 1.52 on, events have no `status`, `id` and `from`. */
  readonly api?: string;
  /** Default 1.12, as of Docker 20.10; "" isn't told. */
  readonly leastApi?: string;
  /** Events of networks, and what a container's removal is called. */
  readonly podman?: boolean;
}

/** Writes the answer itself, or doesn't; false lets the engine answer. */
export type Interceptor = (request: Request, socket: net.Socket) => boolean;
export interface Request {
  readonly method: string;
  /** Without version. */
  readonly path: string;
  /** As `1.41`; "" without. */
  readonly version: string;
  readonly query: URLSearchParams;
  /** Decoded path and query, as it came. */
  readonly target: string;
  readonly host: string;
}

export interface FakeContainer {
  readonly id: string;
  name: string;
  status: string;
  health: string;
  readonly options: RunOptions;
  readonly networks: Map<string, { address: string; aliases: string[] }>;
}

interface Stream {
  readonly socket: net.Socket;
  readonly types: readonly string[];
  readonly actions: readonly string[];
}

export class FakeEngine implements TestEngine {
  readonly containers = new Map<string, FakeContainer>();
  /** All that was asked for, in order. */
  readonly requests: Request[] = [];
  intercept: Interceptor = () => false;
  /** As dockerd, which begins its answer before it subscribes to what it is to tell. */
  beforeSubscribing: () => Promise<void> = () => Promise.resolve();
  host = "";
  /** How many connections were made. */
  connections = 0;
  readonly #options: FakeOptions;
  readonly #past: Json[] = [];
  readonly #streams = new Set<Stream>();
  readonly #sockets = new Set<net.Socket>();
  #server: net.Server | undefined;
  #path = "";
  #port = 0;
  #addresses = 2;

  constructor(options: FakeOptions) {
    this.#options = options;
  }

  get env(): { DOCKER_HOST: string } {
    return { DOCKER_HOST: this.host };
  }

  get streams(): number {
    return this.#streams.size;
  }

  async open(folder: string): Promise<void> {
    this.#path = join(folder, "docker.sock");
    await this.startUp();
  }

  /** As dockerd: containers with a restart policy run again. */
  async startUp(): Promise<void> {
    for (const container of this.containers.values()) {
      if (container.options.restart) container.status = "running";
    }
    const { listen } = this.#options;
    const accept = (socket: net.Socket): void => this.#accept(socket);
    const server = listen?.tls ? tls.createServer(listen.tls, accept) : net.createServer(accept);
    server.on("tlsClientError", () => {});
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      if (listen === undefined) server.listen(this.#path, resolve);
      else server.listen(this.#port, listen.host, resolve);
    });
    const address = server.address() as net.AddressInfo | string;
    if (typeof address === "object" && address !== null) this.#port = address.port;
    const name = listen?.host.includes(":") ? `[${listen.host}]` : listen?.host;
    this.host = listen ? `tcp://${name}:${this.#port}` : `unix://${this.#path}`;
  }

  /** As dockerd: it stops listening, then stops its containers and tells so, then is gone. */
  async shutDown(): Promise<void> {
    await this.stopListening();
    for (const { name, status } of [...this.containers.values()]) {
      if (status === "running") await this.stop(name);
    }
    await new Promise((resolve) => setTimeout(resolve, 50)); // it takes its time
    this.dropConnections();
  }

  /** The connections that there are stay. */
  async stopListening(): Promise<void> {
    this.#server?.close();
    this.#server = undefined;
    await rm(this.#path, { force: true });
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends the streams of events in good order. */
  endStreams(): void {
    for (const { socket } of this.#streams) socket.end("0\r\n\r\n");
  }

  /** Makes the connections of the streams deaf: nothing is sent on them any more. */
  silenceStreams(): void {
    this.#streams.clear();
  }

  #accept(socket: net.Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
    const reader = new MessageReader(HEAD_LIMITS);
    socket.on("data", (chunk) => {
      reader.push(chunk);
      for (let text; (text = reader.readHead()) !== undefined;) {
        const { method, target, authority } = parseRequestHead(text, HEAD_LIMITS.fields);
        const url = new URL(target, "http://engine");
        const [, version = "", path = ""] = /^(?:\/v(\d+\.\d+))?(\/.*)$/.exec(url.pathname) ?? [];
        const shown = decodeURIComponent(target);
        const query = url.searchParams;
        const request = { method, path, version, query, target: shown, host: authority };
        this.requests.push(request);
        if (!this.intercept(request, socket)) this.#answer(request, socket);
      }
    });
  }

  #answer(request: Request, socket: net.Socket): void {
    const { api = "1.41", leastApi = "1.12" } = this.#options;
    const { path, version, method } = request;
    const [, id = "", what = ""] = /^\/containers\/([^/]+)\/(\w+)$/.exec(path) ?? [];
    const container = this.#find(id);
    if (version && compare(version, api) > 0) {
      const message =
        `client version ${version} is too new. Maximum supported API version is ${api}`;
      send(socket, 400, { message });
    } else if (version && compare(version, leastApi || "1.12") < 0) {
      const message = `client version ${version} is too old. Minimum supported API version is ` +
        `${leastApi}, please upgrade your client to a newer version`;
      send(socket, 400, { message });
    } else if (path === "/_ping") send(socket, 200, "OK");
    else if (path === "/version") {
      send(socket, 200, { ApiVersion: api, ...leastApi && { MinAPIVersion: leastApi } });
    } else if (path === "/containers/json") send(socket, 200, this.#list());
    else if (path === "/events") void this.#follow(request, socket);
    else if (id === "") send(socket, 404, { message: "page not found" });
    else if (container === undefined) send(socket, 404, { message: `No such container: ${id}` });
    else if (method === "GET") send(socket, 200, this.inspect(container));
    else this.#act(what, container, request, socket);
  }

  #act(what: string, container: FakeContainer, request: Request, socket: net.Socket): void {
    if (container.status !== "running" && what === "kill") {
      const message = `Cannot kill container: ${container.id}: Container is not running`;
      return send(socket, 409, { message });
    }
    const signal = request.query.get("signal") ?? "KILL";
    if (what === "kill") this.#tell(container, "kill", { signal });
    else void this.restart(container.name);
    send(socket, 204, "");
  }

  #list(): Json[] {
    const running = [...this.containers.values()].filter(({ status }) =>
      ["running", "paused", "restarting"].includes(status)
    );
    return running.map(({ id, name, status }) => ({ Id: id, Names: [`/${name}`], State: status }));
  }

  inspect({ id, name, status, health, options, networks }: FakeContainer): Json {
    const { labels = {}, env = [], expose = [], publish } = options;
    const json = structuredClone(RECORDED["docker 20.10.24"]);
    const isAlive = ["running", "paused", "restarting"].includes(status);
    const flags = { Running: isAlive, Paused: status === "paused" };
    json.Id = id;
    json.Name = `/${name}`;
    json.State = { ...json.State, ...flags, Status: status, Restarting: status === "restarting" };
    if (health === "") delete json.State.Health;
    else json.State.Health.Status = health;
    json.Config = { ...json.Config, Labels: labels, Env: env, Image: "box:1" };
    json.Config.ExposedPorts = Object.fromEntries(
      [...expose, ...publish ?? []].map((port) => [`${port}/tcp`, {}]),
    );
    const bound = (publish ?? []).map((port) => [`${port}/tcp`, [{ HostIp: "", HostPort: "" }]]);
    json.HostConfig.PortBindings = Object.fromEntries(bound);
    const open = Object.fromEntries(expose.map((port) => [`${port}/tcp`, null]));
    json.NetworkSettings.Ports = status === "running"
      ? { ...open, ...Object.fromEntries(bound) }
      : {};
    const template = json.NetworkSettings.Networks.net1;
    json.NetworkSettings.Networks = Object.fromEntries(
      [...networks].map(([key, { address, aliases }]) => [
        key,
        {
          ...template,
          IPAddress: status === "running" || status === "paused" ? address : "",
          Aliases: [...aliases, id.slice(0, 12)],
        },
      ]),
    );
    return json;
  }

  async #follow({ query }: Request, socket: net.Socket): Promise<void> {
    const filters = JSON.parse(query.get("filters") ?? "{}");
    const stream = { socket, types: filters.type ?? [], actions: filters.event ?? [] };
    const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    socket.write(`${head}Date: ${new Date().toUTCString()}\r\nTransfer-Encoding: chunked\r\n\r\n`);
    await this.beforeSubscribing();
    const since = Number(query.get("since") ?? Infinity);
    for (const event of this.#past) if (event.time as number >= since) write(stream, event);
    this.#streams.add(stream);
    socket.on("close", () => this.#streams.delete(stream));
  }

  /** Tells an event, whatever it is. */
  emit(event: Json): void {
    const now = Date.now();
    const timed = { ...event, scope: "local", time: Math.floor(now / 1000), timeNano: now * 1e6 };
    this.#past.push(timed);
    for (const stream of this.#streams) write(stream, timed);
  }

  #tell({ id, name, options }: FakeContainer, action: string, more: Json = {}): void {
    const { podman = false, api = "1.41" } = this.#options;
    const Action = podman && action === "destroy" ? "remove" : action;
    const Attributes = { ...options.labels, image: "box:1", name, ...more };
    const legacy = compare(api, "1.52") < 0 ? { status: Action, id, from: "box:1" } : {};
    this.emit({ ...legacy, Type: "container", Action, Actor: { ID: id, Attributes } });
  }

  #tellNetwork({ id, name }: FakeContainer, Action: string, network: string): void {
    const Actor = this.#options.podman
      ? { ID: id, Attributes: { containerExitCode: "0", image: "", name, podId: "" } }
      : {
        ID: "5b".repeat(32),
        Attributes: { container: id, name: network, type: "bridge" },
      };
    this.emit({ Type: "network", Action, Actor });
  }

  #find(idOrName: string): FakeContainer | undefined {
    const all = [...this.containers.values()];
    return this.containers.get(idOrName) ?? all.find(({ name }) => name === idOrName);
  }

  #named(name: string): FakeContainer {
    const container = this.#find(name);
    if (container === undefined) throw new Error(`no container ${name}`);
    return container;
  }

  async createNetwork(name: string): Promise<void> {
    this.emit({
      Type: "network",
      Action: "create",
      Actor: { ID: "5c".repeat(32), Attributes: { name } },
    });
  }

  /** Puts a container there and tells nobody. */
  add(name: string, options: RunOptions = {}): FakeContainer {
    const { network = "bridge", health = false } = options;
    const id = randomBytes(32).toString("hex");
    const networks = new Map([[network, { address: this.#newAddress(), aliases: [] as string[] }]]);
    const status = "running";
    const container = { id, name, status, health: health ? "starting" : "", options, networks };
    this.containers.set(id, container);
    return container;
  }

  #newAddress(): string {
    const number = this.#addresses++;
    return `172.17.${number >> 8}.${number & 255}`;
  }

  async run(name: string, options: RunOptions = {}): Promise<string> {
    const container = this.add(name, options);
    container.status = "created";
    this.#tell(container, "create");
    for (const network of container.networks.keys()) {
      this.#tellNetwork(container, "connect", network);
    }
    container.status = "running";
    this.#tell(container, "start");
    if (options.health) {
      container.health = "healthy";
      this.#tell(container, "exec_create: /bin/sh -c true");
      this.#tell(container, "health_status: healthy");
    }
    if (options.crash) {
      container.status = "restarting";
      this.#tell(container, "die", { exitCode: "1" });
    }
    return container.id;
  }

  async rename(name: string, to: string): Promise<void> {
    const container = this.#named(name);
    container.name = to;
    this.#tell(container, "rename", { oldName: `/${name}` });
  }

  async stop(name: string): Promise<void> {
    this.#tell(this.#named(name), "kill", { signal: "15" });
    await this.kill(name);
    this.#tell(this.#named(name), "stop");
  }

  async kill(name: string): Promise<void> {
    const container = this.#named(name);
    container.status = "exited";
    this.#tell(container, "die", { exitCode: "137" });
    for (const network of container.networks.keys()) {
      this.#tellNetwork(container, "disconnect", network);
    }
  }

  async start(name: string): Promise<void> {
    const container = this.#named(name);
    container.status = "running";
    for (const network of container.networks.keys()) {
      this.#tellNetwork(container, "connect", network);
    }
    this.#tell(container, "start");
  }

  async restart(name: string): Promise<void> {
    await this.stop(name);
    await this.start(name);
    this.#tell(this.#named(name), "restart");
  }

  async pause(name: string): Promise<void> {
    const container = this.#named(name);
    container.status = "paused";
    this.#tell(container, "pause");
  }

  async unpause(name: string): Promise<void> {
    const container = this.#named(name);
    container.status = "running";
    this.#tell(container, "unpause");
  }

  async remove(name: string): Promise<void> {
    const container = this.#named(name);
    if (container.status !== "exited") await this.kill(name);
    this.containers.delete(container.id);
    this.#tell(container, "destroy");
  }

  async connect(network: string, name: string, alias: string): Promise<void> {
    const container = this.#named(name);
    container.networks.set(network, { address: this.#newAddress(), aliases: [alias] });
    this.#tellNetwork(container, "connect", network);
  }

  async disconnect(network: string, name: string): Promise<void> {
    const container = this.#named(name);
    container.networks.delete(network);
    this.#tellNetwork(container, "disconnect", network);
  }
}

/** Starts one; it ends with the test. */
export async function startFakeEngine(t: Scope, options: FakeOptions = {}): Promise<FakeEngine> {
  const folder = await temporaryFolder(t);
  const engine = new FakeEngine(options);
  t.after(async () => {
    engine.dropConnections();
    await engine.stopListening();
  });
  await engine.open(folder);
  return engine;
}

function compare(a: string, b: string): number {
  const [[x = 0, y = 0], [u = 0, v = 0]] = [a, b].map((each) => each.split(".").map(Number)) as [
    number[],
    number[],
  ];
  return x - u || y - v;
}

/** As dockerd's filter: types exactly, actions by their beginning. */
function write({ socket, types, actions }: Stream, event: Json): void {
  const { Type, Action } = event as { Type: string; Action: string };
  if (types.length > 0 && !types.includes(Type)) return;
  if (actions.length > 0 && !actions.some((action) => Action.startsWith(action))) return;
  const text = JSON.stringify(event) + "\n";
  socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
}

/** An answer as dockerd's: with its length, or in chunks when it is long. */
export function send(socket: net.Socket, status: number, content: unknown): void {
  const body = typeof content === "string" ? content : JSON.stringify(content) + "\n";
  const length = Buffer.byteLength(body);
  const head = `HTTP/1.1 ${status} Something\r\nApi-Version: 1.41\r\n` +
    `Date: ${new Date().toUTCString()}\r\n`;
  if (status === 204) socket.write(`${head}\r\n`);
  else if (length < 2048) socket.write(`${head}Content-Length: ${length}\r\n\r\n${body}`);
  else {
    const chunk = `${length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
  }
}
