/**
 * The containers that run, always current: followed by Docker's events, or read again and again.
 *
 * An event says only which container to look at; what it is, inspect says. So events may come
 * twice, late or in any order. All that is known is read anew after each connection, and every
 * `resync` the connection is made anew, so that a stream that has gone deaf is found. When the
 * engine can't be reached all stays as it was, until it can.
 *
 * An engine that shuts down first stops listening, then its containers, and tells of that to whom
 * it still talks: so a container counts as gone only if a new connection can be made after it went.
 * One that crashes and is started again counts as running in between, as Docker's own list has it,
 * and so does one that is paused; created and stopped ones don't.
 *
 * Needs `docker.ts`, `container.ts`, `debounce.ts` (pauseAfter), `log.ts`, and timers.
 */
import { setImmediate } from "node:timers";
import { setTimeout as wait } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { type Container, ContainerError, isRunning, readContainer } from "./container.ts";
import { pauseAfter } from "./debounce.ts";
import { type Docker, DockerError } from "./docker.ts";
import { errorText, type Logger } from "./log.ts";

const STEADY = 10_000; // ms after which a connection was good, and the pauses start over

export interface WatchOptions {
  readonly docker: Docker;
  /** Milliseconds between two readings; up to 1, as in Go: follow events. */
  readonly poll: number;
  /** Milliseconds between two full readings when events are followed; 0: after losses only. */
  readonly resync: number;
  /** Milliseconds between questions whether the engine is there; default 30_000. */
  readonly ping?: number;
  /** Milliseconds until a container that couldn't be read is looked at again; default 30_000. */
  readonly retry?: number;
  readonly log: Logger;
  /**
   * Called with all that run, sorted by name, then id: after the first full reading, and after
   * each change. Must not throw.
   */
  readonly onChange: (containers: readonly Container[]) => void;
}

/** By id. */
export type State = ReadonlyMap<string, Container>;
/** By id what is running now; undefined: not any more. */
export type Changes = ReadonlyMap<string, Container | undefined>;

/** The state after the changes; the same object if they change nothing. */
export function reduce(state: State, changes: Changes): State {
  const differs = ([id, container]: readonly [string, Container | undefined]) =>
    !isDeepStrictEqual(state.get(id), container);
  const real = [...changes].filter(differs);
  if (real.length === 0) return state;
  const next = new Map(state);
  for (const [id, container] of real) {
    if (container === undefined) next.delete(id);
    else next.set(id, container);
  }
  return next;
}

/** Starts at once; `close` resolves when nothing is under way any more. */
export function watchContainers(options: WatchOptions): { close(): Promise<void> } {
  const watch = new Watch(options);
  const running = watch.run();
  return {
    close() {
      watch.stop();
      return running;
    },
  };
}

/** The engine ended the stream: socket proxies do so every few minutes. */
class StreamEnd extends Error {}

class Watch {
  readonly #options: WatchOptions;
  #state: State = new Map();
  #changes = new Map<string, Container | undefined>();
  /** Nothing is told before all is read. */
  #ready = false;
  #scheduled = false;
  /** Why a container is left out, by id: to say it once. */
  readonly #skipped = new Map<string, string>();
  #session = new AbortController();
  #stopped = false;
  /** The log says that the engine can't be reached. */
  #isLost = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#stopped = true;
    this.#session.abort(new Error("Dotege is stopping"));
  }

  /** Connects again for ever. */
  async run(): Promise<void> {
    for (let failures = 0; !this.#stopped;) {
      const session = this.#session = new AbortController();
      const start = performance.now();
      try {
        await this.#connect(session).finally(() => session.abort()); // and all that it began
        failures = 0;
      } catch (error) {
        if (this.#stopped) return;
        if (performance.now() - start > STEADY) failures = 0;
        this.#tellLoss(error, failures);
        await this.#pause(failures++);
      }
    }
  }

  #pause(failures: number): Promise<void> {
    this.#session = new AbortController();
    const { signal } = this.#session;
    return wait(pauseAfter(failures, Math.random()), undefined, { signal }).catch(() => {});
  }

  /** Resolves when it is time to connect anew; rejects when the connection is lost. */
  async #connect(session: AbortController): Promise<void> {
    const { docker, poll } = this.#options;
    const { signal } = session;
    const looks = new Looks({ ...this.#options, session, watch: this });
    if (poll > 1) {
      for (;; await wait(poll, undefined, { signal })) await this.#readAll(looks, signal);
    }
    let opened = () => {};
    const open = new Promise<void>((resolve) => opened = resolve);
    const handler = { onOpen: opened, onEvent: ({ id }: { id: string }) => void looks.look(id) };
    const stream = docker.events(handler, signal).then(() => {
      throw new StreamEnd("the engine ended the stream of events");
    });
    stream.catch(() => {}); // it may end when nobody waits for it
    await Promise.race([stream, open]);
    await Promise.race([stream, this.#readAll(looks, signal)]);
    await Promise.race([stream, this.#keepAsking(session)]);
  }

  async #readAll(looks: Looks, signal: AbortSignal): Promise<void> {
    const { docker, log } = this.#options;
    const ids = await docker.list(signal);
    const all = new Set([...ids, ...this.#state.keys()]);
    for (const id of this.#skipped.keys()) if (!all.has(id)) this.#skipped.delete(id);
    await Promise.all([...all].map((id) => looks.look(id)));
    signal.throwIfAborted();
    const isBack = this.#isLost;
    this.#isLost = false;
    if (this.#ready) {
      return isBack ? log.info("Docker is back", { docker: docker.address }) : undefined;
    }
    this.#ready = true;
    log.info("watching Docker", { docker: docker.address, containers: ids.length });
    this.#flush(true);
  }

  /** Until it is time to read all again; rejects when the engine doesn't answer. */
  async #keepAsking({ signal }: AbortController): Promise<void> {
    const { docker, resync, ping = 30_000 } = this.#options;
    const end = performance.now() + (resync || Infinity);
    for (;;) {
      const left = end - performance.now();
      await wait(Math.max(0, Math.min(left, ping)), undefined, { signal });
      if (left <= ping) return;
      await docker.ping(signal);
    }
  }

  #tellLoss(error: unknown, failures: number): void {
    const { docker, log } = this.#options;
    const fields = { docker: docker.address, error: errorText(error) };
    const isRoutine = error instanceof StreamEnd && failures === 0;
    if (this.#isLost || isRoutine) return log.debug("connecting to Docker again", fields);
    this.#isLost = true;
    const what = this.#ready ? "lost Docker; all stays as it was" : "can't watch Docker yet";
    log.warn(`${what}; trying for ever`, fields);
  }

  has(id: string): boolean {
    return this.#find(id) !== undefined;
  }

  #find(id: string): Container | undefined {
    return this.#changes.has(id) ? this.#changes.get(id) : this.#state.get(id);
  }

  change(id: string, container: Container | undefined): void {
    if (container !== undefined) this.#skipped.delete(id);
    else if (!this.has(id)) return;
    this.#changes.set(id, container);
    if (!this.#ready || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#flush(false));
  }

  /** Whatever one turn of the event loop brought is told at once. */
  #flush(isFirst: boolean): void {
    this.#scheduled = false;
    const next = reduce(this.#state, this.#changes);
    this.#changes = new Map();
    if (this.#stopped || (next === this.#state && !isFirst)) return;
    this.#state = next;
    this.#options.onChange([...next.values()].sort(byName));
  }

  skip(id: string, error: unknown): void {
    const why = errorText(error);
    if (this.#skipped.get(id) === why) return;
    this.#skipped.set(id, why);
    const known = this.#find(id);
    const stays = known !== undefined && !(error instanceof ContainerError);
    const what = stays ? "container can't be read, stays as it was" : "container left out";
    this.#options.log.warn(what, { container: known?.name ?? id.slice(0, 12), error: why });
  }
}

function byName(a: Container, b: Container): number {
  return a.name === b.name ? (a.id < b.id ? -1 : 1) : a.name < b.name ? -1 : 1;
}

/** Looks at containers, over one connection's life: at each once at a time. */
class Looks {
  readonly #docker: Docker;
  readonly #pause: number;
  readonly #session: AbortController;
  readonly #watch: Pick<Watch, "has" | "change" | "skip">;
  readonly #looking = new Map<string, { again: boolean; readonly done: Promise<void> }>();
  readonly #retried = new Set<string>();

  constructor(
    { docker, retry = 30_000, session, watch }: WatchOptions & {
      session: AbortController;
      watch: Pick<Watch, "has" | "change" | "skip">;
    },
  ) {
    this.#docker = docker;
    this.#pause = retry;
    this.#session = session;
    this.#watch = watch;
  }

  /** Resolves when it was looked at after this call; never rejects. */
  look(id: string): Promise<void> {
    const current = this.#looking.get(id);
    if (current !== undefined) {
      current.again = true;
      return current.done;
    }
    const look = { again: false, done: Promise.resolve() };
    this.#looking.set(id, look);
    look.done = this.#lookOften(id, look);
    return look.done;
  }

  async #lookOften(id: string, look: { again: boolean }): Promise<void> {
    do {
      look.again = false;
      await this.#lookOnce(id).catch((error) => this.#session.abort(error));
    } while (look.again && !this.#session.signal.aborted);
    this.#looking.delete(id);
  }

  /** Rejects when the engine can't be reached. */
  async #lookOnce(id: string): Promise<void> {
    const { signal } = this.#session;
    let container: Container | undefined;
    try {
      container = await this.#inspect(id);
    } catch (error) {
      if (signal.aborted || (error instanceof DockerError && error.unreachable)) throw error;
      this.#watch.skip(id, error);
      if (!(error instanceof ContainerError)) return this.#retry(id);
    }
    if (container === undefined && this.#watch.has(id)) await this.#docker.ping(signal);
    signal.throwIfAborted();
    this.#watch.change(id, container);
  }

  /** Undefined when it doesn't run. */
  async #inspect(id: string): Promise<Container | undefined> {
    const json = await this.#docker.inspect(id, this.#session.signal);
    if (json === undefined) return undefined;
    const container = readContainer(json);
    if (container.id !== id) throw new ContainerError("it has another id than was asked for");
    return isRunning(container) ? container : undefined;
  }

  #retry(id: string): void {
    if (this.#retried.has(id)) return;
    this.#retried.add(id);
    const { signal } = this.#session;
    wait(this.#pause, undefined, { signal }).then(() => {
      this.#retried.delete(id);
      return this.look(id);
    }).catch(() => {}); // the connection's life is over
  }
}
