/**
 * A client of the Docker Engine API, 1.24 to 1.52, and of Podman's service that speaks it. What it
 * asks for, all below `/v1.xx` but the first two, so that a socket proxy may refuse the rest:
 *
 *     GET  /version                              at each start of the events, for the API's version
 *     GET  /_ping                                whether the engine is there
 *     GET  /containers/json                      which containers run
 *     GET  /containers/{id}/json                 everything about one
 *     GET  /events?filters={…}&since=seconds     what happens, for ever; the filters are EVENTS
 *     POST /containers/{id}/kill?signal=NAME     only to signal one
 *     POST /containers/{id}/restart              only to restart one
 *
 * Needs `dockerhost.ts`, `dockerdial.ts`, `jsonstream.ts`, `http1.ts`, `http1client.ts`,
 * `httpsclient.ts`, `log.ts`.
 * Refuses answers that are too long, late, or no JSON. A GET that crosses the closing of a kept
 * connection is sent again; a POST never is.
 */
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { dialDocker } from "./dockerdial.ts";
import {
  type ApiVersion,
  type DockerEnvironment,
  type DockerHost,
  parseApiVersion,
  parseDockerHost,
} from "./dockerhost.ts";
import { fieldValue, formatRequestHead } from "./http1.ts";
import { ClientConnection } from "./http1client.ts";
import { converse, type HttpAnswer, inWords } from "./httpsclient.ts";
import { JsonStream } from "./jsonstream.ts";
import { quote } from "./log.ts";

const MIB = 1024 * 1024;
const [LIST_LIMIT, INSPECT_LIMIT, EVENT_LIMIT, OTHER_LIMIT] = [64 * MIB, 4 * MIB, MIB, MIB];
const REFUSAL_LIMIT = 4_096; // bytes that are read of a refusal to tell events
const IDLE = 10_000; // ms that a connection is kept for another request
const CONNECTIONS = 8; // at a time, the events' apart
const SSH_CONNECTIONS = 2; // each is a login; sshd refuses many at a time
const SHOWN = 300; // characters of the engine's words in a message

/** The lowest version that has all that is needed, and the highest that this was written for. */
const [LEAST, KNOWN]: readonly ApiVersion[] = [[1, 24], [1, 52]];

/** What may change a container or whether it runs; `died` and `remove` are Podman's words. */
const EVENTS: Readonly<Record<string, readonly string[]>> = {
  type: ["container", "network"],
  event: [
    ...["create", "start", "die", "died", "destroy", "remove", "rename", "update", "pause"],
    ...["unpause", "health_status", "connect", "disconnect"],
  ],
};

/** Milliseconds; all but the first from the request to the answer's last byte. */
const DEADLINES = {
  connect: 10_000,
  answer: 30_000,
  /** An engine may hang over one container for ever. */
  inspect: 10_000,
  ping: 15_000,
  /** It waits until the container has stopped. */
  restart: 120_000,
};
export type Deadlines = Readonly<typeof DEADLINES>;

const ID_PATTERN = /^[0-9a-f]{64}$/;
const ID_OR_NAME = /^[a-zA-Z0-9][\w.-]{0,254}$/;

/** Which container is to be looked at again, and why. */
export interface DockerEvent {
  readonly id: string;
  /** One of EVENTS.event. */
  readonly action: string;
}

/** `status`: of the engine's answer; undefined when there was none, or not a whole one. */
export class DockerError extends Error {
  override readonly name = "DockerError";
  readonly status: number | undefined;
  /** No connection could be made: it has nothing to do with what was asked for. */
  readonly unreachable: boolean;
  constructor(
    message: string,
    { status, unreachable = false, cause }: {
      status?: number;
      unreachable?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(message, cause === undefined ? {} : { cause });
    this.status = status;
    this.unreachable = unreachable;
  }
}

/** All reject with DockerError, or with the signal's reason. */
export interface Docker {
  /** Where the engine is, for messages. */
  readonly address: string;
  /** The ids of the containers that run. */
  list(signal: AbortSignal): Promise<readonly string[]>;
  /** The engine's JSON; undefined: there is no such container. */
  inspect(id: string, signal: AbortSignal): Promise<unknown | undefined>;
  /**
   * Tells all that happens after `onOpen` was called, and perhaps again what has just happened
   * before; resolves when the engine ends the stream.
   */
  events(
    handler: { onOpen(): void; onEvent(event: DockerEvent): void },
    signal: AbortSignal,
  ): Promise<void>;
  /** Over a new connection: an engine that is shutting down takes none. */
  ping(signal: AbortSignal): Promise<void>;
  /** `id` may be a name; `signalName` as Docker takes it: `HUP`, `SIGHUP`, `1`. */
  kill(id: string, signalName: string, signal: AbortSignal): Promise<void>;
  /** Resolves when it has stopped and started again. */
  restart(id: string, signal: AbortSignal): Promise<void>;
  /** Ends idle connections; what is under way ends with its signal. */
  close(): void;
}

/** Throws DockerHostError for variables that are no use; connects when something is asked for. */
export function createDocker(
  env: DockerEnvironment,
  deadlines: Partial<Deadlines> = {},
): Docker {
  const engine = new Engine(parseDockerHost(env), { ...DEADLINES, ...deadlines });
  const ask = async (call: Call, signal: AbortSignal) => {
    const version = await engine.version(signal);
    return await engine.request({ ...call, path: `/v${version.join(".")}${call.path}` }, signal);
  };
  const post = { method: "POST", statuses: [204] } as const;
  return {
    address: engine.address,
    async list(signal) {
      const answer = await ask({ path: "/containers/json", limit: LIST_LIMIT }, signal);
      return readList(parseJson(answer.body));
    },
    async inspect(id, signal) {
      const path = containerPath(id, "/json");
      const limits = { limit: INSPECT_LIMIT, deadline: "inspect" as const };
      const answer = await ask({ path, statuses: [200, 404], ...limits }, signal);
      return answer.status === 404 ? undefined : parseJson(answer.body);
    },
    events: (handler, signal) => engine.events(handler, signal),
    async ping(signal) {
      await engine.request({ path: "/_ping", fresh: true, deadline: "ping" }, signal);
    },
    async kill(id, signalName, signal) {
      const path = containerPath(id, `/kill?signal=${encodeURIComponent(signalName)}`);
      await ask({ ...post, path }, signal);
    },
    async restart(id, signal) {
      await ask({ ...post, path: containerPath(id, "/restart"), deadline: "restart" }, signal);
    },
    close: () => engine.close(),
  };
}

interface Call {
  /** With its query, without the base path. */
  readonly path: string;
  readonly method?: "GET" | "POST";
  /** Which ones are answers and not errors; default 200. */
  readonly statuses?: readonly number[];
  /** Bytes of the answer. */
  readonly limit?: number;
  /** Default: "answer". */
  readonly deadline?: keyof Deadlines;
  /** Not over a kept connection. */
  readonly fresh?: boolean;
}

type Open = { readonly stream: Duplex; readonly connection: ClientConnection };
type EventHandler = Parameters<Docker["events"]>[0];

/** The connections to an engine, and the version of the API that is spoken with it. */
class Engine {
  readonly address: string;
  readonly #host: DockerHost;
  readonly #deadlines: Deadlines;
  readonly #idle = new Map<Open, ReturnType<typeof setTimeout>>();
  readonly #turn: <T>(work: () => Promise<T>) => Promise<T>;
  #version: ApiVersion | undefined;

  constructor(host: DockerHost, deadlines: Deadlines) {
    this.#host = host;
    this.#deadlines = deadlines;
    this.address = host.address;
    this.#turn = atMost(host.way.kind === "ssh" ? SSH_CONNECTIONS : CONNECTIONS);
  }

  /** Asks the engine unless it has. */
  async version(signal: AbortSignal): Promise<ApiVersion> {
    if (this.#host.version !== undefined) return this.#host.version;
    return this.#version ??= chooseVersion(await this.request({ path: "/version" }, signal));
  }

  request(call: Call, signal: AbortSignal): Promise<HttpAnswer> {
    return this.#turn(async () => {
      for (let { fresh = false } = call;; fresh = true) {
        signal.throwIfAborted();
        const open = (fresh ? undefined : this.#take()) ?? await this.#open(signal);
        const isUsed = open.connection.requests > 0;
        try {
          return await this.#exchange(call, open, signal);
        } catch (error) {
          // The engine, or a proxy, may just have ended a connection that was idle.
          const isStale = isUsed && !open.connection.answered && !(error instanceof Late);
          if (signal.aborted) throw signal.reason;
          if (!isStale || call.method === "POST") throw explain(call, error);
        }
      }
    });
  }

  async #exchange(call: Call, open: Open, signal: AbortSignal): Promise<HttpAnswer> {
    const { method = "GET", statuses = [200], limit = OTHER_LIMIT } = call;
    const ms = this.#deadlines[call.deadline ?? "answer"];
    const { stream, connection } = open;
    const head = this.#head(method, call.path);
    const answered = converse(connection, { method, head, body: NOTHING, maxBody: limit });
    const answer = await within(ms, signal, answered, () => stream.destroy());
    if (statuses.includes(answer.status)) return answer;
    if (answer.status === 400) this.#version = undefined; // another engine by now?
    throw refusal(answer.status, answer.body);
  }

  /** Follows /events; the version is agreed on anew, for the engine may be another one. */
  async events(handler: EventHandler, signal: AbortSignal): Promise<void> {
    const since = await this.#now(signal);
    this.#version = undefined;
    const version = await this.version(signal);
    const query = `filters=${encodeURIComponent(JSON.stringify(EVENTS))}${since}`;
    const path = `/v${version.join(".")}/events?${query}`;
    const { stream, connection } = await this.#open(signal);
    try {
      const head = this.#head("GET", path);
      await follow(connection, { ...handler, head, ms: this.#deadlines.answer }, signal);
    } catch (error) {
      throw signal.aborted ? signal.reason : explain({ path }, error);
    } finally {
      stream.destroy();
    }
  }

  /**
   * `&since=` and the engine's own time: a subscription begins some time after its answer does, and
   * what happens in between would be lost. Nothing where a proxy takes the date away.
   */
  async #now(signal: AbortSignal): Promise<string> {
    const { fields } = await this.request({ path: "/_ping", fresh: true }, signal);
    const seconds = Math.floor(Date.parse(fieldValue(fields, "date") ?? "") / 1000);
    return Number.isFinite(seconds) ? `&since=${seconds}` : "";
  }

  #head(method: string, path: string): string {
    const length = method === "POST" ? ["Content-Length", "0"] : [];
    const fields = ["Host", this.#host.authority, "User-Agent", "dotege", ...length];
    return formatRequestHead(method, this.#host.basePath + path, fields);
  }

  /** The idle connection that was used last. */
  #take(): Open | undefined {
    const open = [...this.#idle.keys()].findLast(({ connection }) => connection.open);
    if (open !== undefined) this.#forget(open);
    return open;
  }

  #forget(open: Open): void {
    clearTimeout(this.#idle.get(open));
    this.#idle.delete(open);
  }

  async #open(signal: AbortSignal): Promise<Open> {
    const stop = new AbortController();
    const dialed = dialDocker(this.#host, stop.signal);
    const stream = await within(this.#deadlines.connect, signal, dialed, () => stop.abort()).catch(
      (cause) => {
        if (signal.aborted) throw signal.reason;
        const message = `can't connect to Docker at ${this.address}: ${inWords(cause)}`;
        throw new DockerError(message, { cause, unreachable: true });
      },
    );
    const connection = new ClientConnection(stream, () => this.#free(open));
    const open: Open = { stream, connection };
    stream.on("data", (chunk: Buffer) => void connection.read(chunk));
    return open;
  }

  /** Its answer is complete, or it has closed. */
  #free(open: Open): void {
    this.#forget(open);
    const { connection } = open;
    if (connection.open) this.#idle.set(open, setTimeout(() => connection.destroy(), IDLE));
  }

  close(): void {
    for (const { connection } of this.#idle.keys()) connection.destroy();
  }
}

const NOTHING = Buffer.alloc(0);

/** Sends the request for the events; resolves when the engine ends them. */
function follow(
  connection: ClientConnection,
  { head, ms, onOpen, onEvent }: EventHandler & { head: string; ms: number },
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const json = new JsonStream(EVENT_LIMIT);
    let [status, refused] = [0, NOTHING];
    const timer = setTimeout(() => end(new Late(ms)), ms);
    const onAbort = () => end(signal.reason);
    const end = (error?: unknown) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      connection.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    const tell = (event: DockerEvent) => void (signal.aborted || onEvent(event));
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) return onAbort();
    connection.send("GET", head, 0, {
      onResponse: (head) => {
        status = head.status;
        if (status !== 200) return;
        clearTimeout(timer);
        onOpen();
      },
      onResponseData: (chunk) => {
        if (status === 200) readEvents(json, chunk).forEach(tell);
        else refused = Buffer.concat([refused, chunk.subarray(0, REFUSAL_LIMIT - refused.length)]);
      },
      onResponseEnd: () => end(status === 200 ? undefined : refusal(status, refused)),
      onFailed: end,
      onInformational: () => {},
      onReadEnd: () => {},
      onRequestDrain: () => {},
    });
  });
}

function readEvents(json: JsonStream, chunk: Buffer): DockerEvent[] {
  const events = json.push(chunk).map((text) => readEvent(JSON.parse(text)));
  return events.filter((event) => event !== undefined);
}

/** Undefined for what says nothing about a container. */
function readEvent(json: unknown): DockerEvent | undefined {
  const { Type, Action, Actor } = json as Readonly<Record<string, unknown>>;
  const { ID, Attributes } = (Actor ?? {}) as Readonly<Record<string, unknown>>;
  const action = typeof Action === "string" ? Action.replace(/:.*/s, "") : ""; // "…: healthy"
  const isOfNetwork = NETWORK_ACTIONS.includes(action);
  const kind = isOfNetwork ? "network" : "container";
  if (Type !== kind || !EVENTS.event?.includes(action)) return undefined;
  const { container } = (Attributes ?? {}) as Readonly<Record<string, unknown>>;
  const id = isOfNetwork ? container ?? ID : ID; // Podman has no attribute "container"
  return typeof id === "string" && ID_PATTERN.test(id) ? { id, action } : undefined;
}

const NETWORK_ACTIONS: readonly string[] = ["connect", "disconnect"];

/** Ids that could lead elsewhere in the API are left out. */
function readList(json: unknown): readonly string[] {
  if (!Array.isArray(json)) throw new DockerError("Docker's list of containers is no list");
  return json.map((each: { Id?: unknown } | null) => each?.Id)
    .filter((id) => typeof id === "string" && ID_PATTERN.test(id)) as string[];
}

/** The engine's own version or ours, whichever is lower; the lowest it takes if ours is too low. */
function chooseVersion({ body }: HttpAnswer): ApiVersion {
  const json = parseJson(body) as Readonly<Record<string, unknown>> | null;
  const [own, least] = [json?.ApiVersion, json?.MinAPIVersion].map((text) =>
    typeof text === "string" ? parseApiVersion(text) : undefined
  );
  if (own === undefined) throw new DockerError("Docker doesn't tell the version of its API");
  if (compare(own, LEAST) < 0) {
    const [is, needed] = [own.join("."), LEAST.join(".")];
    throw new DockerError(`Docker's API has version ${is}: expected ${needed} or later`);
  }
  const chosen = compare(own, KNOWN) < 0 ? own : KNOWN;
  return least !== undefined && compare(chosen, least) < 0 ? least : chosen;
}

const compare = (a: ApiVersion, b: ApiVersion): number => a[0] - b[0] || a[1] - b[1];

function containerPath(id: string, path: string): string {
  if (ID_OR_NAME.test(id)) return `/containers/${id}${path}`;
  throw new DockerError(`invalid container ${quote(id, SHOWN)}: expected an id or a name`);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new DockerError("Docker's answer is no JSON"); // its text may have secrets
  }
}

/** With the engine's words: `{"message":"…"}`, or a proxy's text. */
function refusal(status: number, body: Buffer): DockerError {
  const text = body.toString("utf8").trim();
  let message: unknown;
  try {
    ({ message } = JSON.parse(text));
  } catch { /* text it is */ }
  const words = quote(typeof message === "string" ? message : text, SHOWN);
  return new DockerError(`status ${status}: ${words}`, { status });
}

function explain({ method = "GET", path }: Call, error: unknown): Error {
  const shown = path.replace(/\?.*/s, "").replace(/([0-9a-f]{12})[0-9a-f]{52}/, "$1");
  const what = `Docker, ${method} ${shown}`;
  if (!(error instanceof DockerError)) {
    return new DockerError(`${what}: ${inWords(error)}`, { cause: error });
  }
  const { status, unreachable } = error;
  return status === undefined
    ? error
    : new DockerError(`${what}: ${error.message}`, { status, unreachable });
}

class Late extends Error {
  constructor(ms: number) {
    super(`no answer within ${ms / 1000} s`);
  }
}

/** What `work` does, unless the signal or the time ends it; then `cancel` is called. */
function within<T>(
  ms: number,
  signal: AbortSignal,
  work: Promise<T>,
  cancel: () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      settle();
      reject(error);
      cancel();
    };
    const onAbort = () => fail(signal.reason);
    const timer = setTimeout(() => fail(new Late(ms)), ms);
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    };
    signal.addEventListener("abort", onAbort);
    work.finally(settle).then(resolve, fail);
    if (signal.aborted) onAbort();
  });
}

/** Does at most that many works at a time, the others in turn. */
function atMost(limit: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running < limit) running++;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
