/**
 * Connections to upstreams: a keep-alive pool for each, names resolved at connect with every
 * address tried, and a memory of how each upstream is.
 *
 * Needs `http1client.ts`, `clock.ts`, `health.ts`. Upstreams speak plain HTTP/1.1 over TCP.
 */
import type { Buffer } from "node:buffer";
import dns from "node:dns";
import net from "node:net";
import { BufferPool } from "./bufferpool.ts";
import type { Clock, Expiring } from "./clock.ts";
import type { HealthReport } from "./health.ts";
import { ClientConnection } from "./http1client.ts";
import { errorText } from "./log.ts";
import type { Upstream } from "./routes.ts";
import { connectReading } from "./runtime.ts";

/**
 * Idle connections kept for one upstream, as many as two HTTP/2 clients at once may need, and how
 * long, in milliseconds.
 */
const IDLE_LIMIT = 256;
const IDLE_TIMEOUT = 90_000;
/** How long an upstream that couldn't be reached is passed over while another is left. */
const FAILED_FOR = 10_000;
/**
 * A request that must not be sent twice only goes out on a connection used within this time, in
 * milliseconds: servers close idle ones after some seconds, and the two may cross on the wire.
 */
export const FRESH_FOR = 1_000;
/** UTF-16 units of a failure that are remembered. */
const MAX_WORDS = 300;
/** An answer has no time limit; TCP's probes, after this many ms, find a host that has vanished. */
const PROBE = 60_000;

interface Pool {
  /** Used most recently last. */
  readonly idle: ClientConnection[];
  failedUntil: number;
  quietUntil: number;
  /** No route names it any more: nothing is kept. */
  retired: boolean;
  /** As in health.ts; `workedAt` is on the clock of `Clock#now`, and 0 for never. */
  workedAt: number;
  failures: number;
  since: number;
  failedAt: number;
  failure: string;
}

export class UpstreamPools implements Expiring {
  deadline: number;
  readonly #clock: Clock;
  readonly #connectTimeout: number;
  readonly #pools = new Map<string, Pool>();
  /** Every socket reads into one of them; the others are for what is sent. */
  readonly buffers: BufferPool = new BufferPool();

  /** `connectTimeout` in milliseconds, for the name and all its addresses together. */
  constructor(clock: Clock, connectTimeout: number) {
    this.#clock = clock;
    this.#connectTimeout = connectTimeout;
    this.deadline = clock.now + 1_000;
    clock.add(this);
  }

  /** One at random among those not yet tried, of which those that haven't just failed go first. */
  choose(upstreams: readonly Upstream[], tried: readonly Upstream[]): Upstream | undefined {
    if (upstreams.length === 1 && tried.length === 0) return upstreams[0];
    const left = upstreams.filter((upstream) => !tried.includes(upstream));
    const now = this.#clock.now;
    const well = left.filter((each) => (this.#pools.get(each.name)?.failedUntil ?? 0) <= now);
    const among = well.length > 0 ? well : left;
    return among[Math.floor(Math.random() * among.length)];
  }

  /** The most recently used idle connection, if it was used within `fresh` milliseconds. */
  take(upstream: Upstream, fresh: number): ClientConnection | undefined {
    const idle = this.#pools.get(upstream.name)?.idle;
    if (idle === undefined) return undefined;
    for (let last = idle.at(-1); last !== undefined; last = idle.at(-1)) {
      if (this.#clock.now - last.idleSince > fresh) return undefined;
      idle.pop();
      if (last.open) return last;
    }
    return undefined;
  }

  /** A new connection; rejects, and remembers the failure, when no address could be reached. */
  connect(upstream: Upstream): Promise<ClientConnection> {
    return this.#connect(upstream, this.#pool(upstream.name));
  }

  /** A connection for one request, of which nothing is remembered. */
  connectOnce(upstream: Upstream): Promise<ClientConnection> {
    return this.#connect(upstream, newPool(true));
  }

  async #connect(upstream: Upstream, pool: Pool): Promise<ClientConnection> {
    const start = performance.now();
    try {
      const addresses = await this.#within(resolve(upstream.host));
      let failure: unknown;
      for (const [index, address] of addresses.entries()) {
        const left = this.#connectTimeout - (performance.now() - start);
        try {
          const timeout = Math.max(1, left / (addresses.length - index));
          const connection = await this.#open(address, upstream.port, timeout, pool);
          pool.failedUntil = 0;
          return connection;
        } catch (error) {
          failure = error;
        }
      }
      throw failure;
    } catch (error) {
      pool.failedUntil = performance.now() + FAILED_FOR;
      throw error;
    }
  }

  /** Takes note of a request that failed; whether that is news, which it is once in ten seconds. */
  noteFailure(upstream: Upstream, error: Error): boolean {
    const pool = this.#pool(upstream.name);
    pool.failedAt = Date.now();
    pool.failure = errorText(error).slice(0, MAX_WORDS);
    if (pool.failures++ === 0) pool.since = pool.failedAt;
    if (pool.quietUntil > this.#clock.now) return false;
    pool.quietUntil = this.#clock.now + FAILED_FOR;
    return true;
  }

  /** Takes note of one that went well, or of a tunnel that has begun. */
  noteSuccess(upstream: Upstream): void {
    this.#worked(this.#pool(upstream.name));
  }

  #worked(pool: Pool): void {
    if (pool.failures > 0 || pool.workedAt === 0) pool.since = Date.now();
    pool.failures = 0;
    pool.workedAt = this.#clock.now;
  }

  /** Of those that have been asked. */
  health(): HealthReport {
    const started = Date.now() - performance.now();
    return [...this.#pools].filter(([, { workedAt, failedAt }]) => workedAt + failedAt > 0).map(
      ([name, { workedAt, failures, since, failedAt, failure }]) => {
        const at = workedAt === 0 ? 0 : Math.round(started + workedAt);
        return [name, { workedAt: at, failures, since, failedAt, failure }];
      },
    );
  }

  /** Called when a connection has become free, and again when it has closed. */
  #free(connection: ClientConnection, pool: Pool): void {
    if (!connection.open) {
      const at = pool.idle.indexOf(connection);
      if (at >= 0) pool.idle.splice(at, 1);
      else if (connection.answered && !connection.failed) this.#worked(pool);
    } else if (pool.retired) connection.destroy();
    else {
      this.#worked(pool);
      connection.idleSince = this.#clock.now;
      pool.idle.push(connection);
      if (pool.idle.length > IDLE_LIMIT) pool.idle.shift()?.destroy();
    }
  }

  /** Forgets upstreams that no route names any more; requests in flight go on. */
  retain(names: ReadonlySet<string>): void {
    for (const [name, pool] of this.#pools) {
      if (names.has(name)) continue;
      pool.retired = true;
      for (const connection of pool.idle.splice(0)) connection.destroy();
      this.#pools.delete(name);
    }
  }

  close(): void {
    this.#clock.delete(this);
    this.retain(new Set());
  }

  onDeadline(): void {
    this.deadline = this.#clock.now + 1_000;
    const oldest = this.#clock.now - IDLE_TIMEOUT;
    for (const { idle } of this.#pools.values()) {
      while (idle.length > 0 && idle[0].idleSince < oldest) idle.shift()?.destroy();
    }
  }

  #pool(name: string): Pool {
    let pool = this.#pools.get(name);
    if (pool === undefined) {
      this.#pools.set(name, pool = newPool(false));
    }
    return pool;
  }

  #within<T>(promise: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout>;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error("the name wasn't resolved in time")),
        this.#connectTimeout,
      );
    });
    return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
  }

  #open(host: string, port: number, timeout: number, pool: Pool): Promise<ClientConnection> {
    return new Promise((done, reject) => {
      let connection: ClientConnection | undefined;
      const read = (chunk: Buffer) => connection?.read(chunk) ?? true;
      const socket = connectReading({ host, port }, this.buffers.input, read);
      const timer = setTimeout(
        () => socket.destroy(new Error(`no connection to ${host} within ${Math.ceil(timeout)} ms`)),
        timeout,
      );
      socket.once("error", reject);
      socket.once("close", () => clearTimeout(timer));
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.off("error", reject).setKeepAlive(true, PROBE);
        const onFree = (freed: ClientConnection) => this.#free(freed, pool);
        connection = new ClientConnection(socket, onFree, this.buffers);
        done(connection);
      });
    });
  }
}

function newPool(retired: boolean): Pool {
  const health = { workedAt: 0, failures: 0, since: 0, failedAt: 0, failure: "" };
  return { idle: [], failedUntil: 0, quietUntil: 0, retired, ...health };
}

/** All addresses of a name, in the system's order; an address is itself. */
async function resolve(host: string): Promise<string[]> {
  if (net.isIP(host) !== 0) return [host];
  const found = await dns.promises.lookup(host, { all: true, verbatim: true });
  if (found.length === 0) throw new Error(`${host} has no address`);
  return found.map((entry) => entry.address);
}
