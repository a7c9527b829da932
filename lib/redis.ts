/**
 * A Redis client over one connection that is made again for as long as it is wanted. Commands are
 * sent as they come (pipelined) and answered in that order; each has a deadline, and a server that
 * lets one pass is left: what it would answer then could be taken for another answer. While there
 * is no connection commands are refused at once. Speaks RESP2, so HELLO (Redis 6) isn't needed; no
 * clusters, no subscriptions.
 *
 * Messages name the command and never its arguments, which may be passwords and private keys.
 *
 * Needs `resp.ts`, `httpsclient.ts` (whom a certificate names); TLS is the runtime's.
 */
import type { Buffer } from "node:buffer";
import dns from "node:dns";
import net from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import tls from "node:tls";
import { joinHostPort, splitHostPort } from "./addr.ts";
import { checkServerIdentity, inWords } from "./httpsclient.ts";
import type { Logger } from "./log.ts";
import { ErrorReply, formatCommand, Push, type Reply, type RespLimits } from "./resp.ts";
import { RespReader } from "./resp.ts";

export const REDIS_PORT = 6379;
/** A certificate with its key and chain has some 6 KiB. */
const LIMITS: RespLimits = {
  ...{ line: 64 * 1024, bulk: 1024 * 1024, reply: 64 * 1024 * 1024 },
  ...{ items: 100_000, depth: 8 },
};
/** Commands under way; more are refused. */
const MAX_PENDING = 10_000;
/** Milliseconds: for a connection to be tried again, growing; what lived longer starts anew. */
const [FIRST_PAUSE, LONGEST_PAUSE, LONG_LIFE] = [100, 5_000, 10_000];
const ATTEMPT_TIMEOUT = 3_000; // ms for each address of a name but the last
const KEEP_ALIVE = 30_000; // ms
const SHOWN = 200; // characters of what a server says

export interface RedisOptions {
  readonly host: string;
  readonly port: number;
  /** With `ca` (PEM) instead of the runtime's roots; undefined: in the clear. */
  readonly tls: { readonly ca: readonly string[] | undefined } | undefined;
  /** Of an ACL user; both empty: nobody is named. A password alone is that of `default`. */
  readonly username: string;
  readonly password: string;
  readonly db: number;
  /** For one command, and for a connection with all that is said first, in ms; default 5_000. */
  readonly timeout?: number;
  readonly log: Logger;
}

/** Which command, and why; the cause is an ErrorReply if that is what the server answered. */
export class RedisError extends Error {
  override readonly name = "RedisError";
}

export type Word = string | Uint8Array;

/** The host of `host`, `host:port`, `[v6]:port` … and the port, 6379 by default. */
export function redisAddress(text: string): { host: string; port: number } | undefined {
  const { host, port = REDIS_PORT } = splitHostPort(text) ?? {};
  return host === undefined ? undefined : { host, port };
}

export class Redis {
  /** `host:port`, for people. */
  readonly address: string;
  readonly #options: RedisOptions;
  readonly #closed = new AbortController();
  readonly #listeners: (() => void)[] = [];
  #connection: Connection | undefined;
  #problem: unknown;

  private constructor(options: RedisOptions) {
    this.#options = options;
    this.address = joinHostPort(options.host, options.port);
  }

  /** Rejects with RedisError if there is no connection at first; later ones are made for ever. */
  static async open(options: RedisOptions): Promise<Redis> {
    const redis = new Redis(options);
    try {
      const first = await redis.#connect();
      void redis.#keep(first);
      return redis;
    } catch (cause) {
      throw new RedisError(`unable to reach redis at ${redis.address}`, { cause });
    }
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Called each time that a connection was made again. */
  onReconnect(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /**
   * What the server answers; rejects with RedisError, also for an error that it answers. The signal
   * ends the waiting: whether the command is carried out isn't known then, nor after a deadline.
   */
  async run(words: readonly Word[], signal?: AbortSignal): Promise<Reply> {
    const connection = this.#connection;
    if (connection === undefined) {
      throw new RedisError(`${words[0]}: not connected to redis`, { cause: this.#problem });
    }
    return connection.run(words, this.#timeout, signal);
  }

  /** As run(), of commands that are sent at once; rejects with the first one's error. */
  runAll(commands: readonly (readonly Word[])[], signal?: AbortSignal): Promise<Reply[]> {
    return Promise.all(commands.map((words) => this.run(words, signal)));
  }

  close(): void {
    this.#closed.abort(new RedisError("closed"));
    this.#connection?.end(this.#closed.signal.reason);
  }

  get #timeout(): number {
    return this.#options.timeout ?? 5_000;
  }

  /** Has a connection, one after another; says once when there is none, and when there is again. */
  async #keep(first: Connection): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#closed;
    let connection: Connection | undefined = first;
    for (let failures = 0; !signal.aborted;) {
      const since = performance.now();
      if (connection !== undefined) {
        this.#connection = connection;
        this.#problem = await connection.ended;
        this.#connection = undefined;
        if (signal.aborted) return;
        if (performance.now() - since > LONG_LIFE) failures = 0;
        const next = "what is known is served; it is tried again";
        log.error("redis lost", { address: this.address, error: this.#problem as Error, next });
      }
      const pause = Math.min(FIRST_PAUSE * 2 ** failures++, LONGEST_PAUSE);
      await wait(pause * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
      connection = await this.#connect().catch((error) => void (this.#problem = error));
      if (connection === undefined || signal.aborted) continue;
      log.info("redis found again", { address: this.address });
      this.#connection = connection; // for those who are told now
      for (const listener of this.#listeners) listener();
    }
    connection?.end(signal.reason);
  }

  /** One that knows who we are, and has answered; rejects within the time of one command. */
  async #connect(): Promise<Connection> {
    const { username, password, db } = this.#options;
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(this.#timeout)]);
    const connection = new Connection(await this.#dial(signal));
    try {
      const ask = (...words: string[]) => connection.run(words, this.#timeout, signal);
      const who = username === "" ? [password] : [username, password];
      if (username !== "" || password !== "") await ask("AUTH", ...who);
      if (db !== 0) await ask("SELECT", `${db}`);
      await ask("PING").catch((error: Error) => {
        // Not allowed to: that is an answer, too.
        if (!(error.cause instanceof ErrorReply && error.cause.code === "NOPERM")) throw error;
      });
      return connection;
    } catch (error) {
      connection.end(error as Error);
      throw error;
    }
  }

  /** A name goes out as SNI, an address doesn't (RFC 6066 section 3). */
  #dial(signal: AbortSignal): Promise<net.Socket> {
    const { host, port, tls: secure } = this.#options;
    const to = {
      ...{ host, port, noDelay: true, lookup: dns.lookup },
      ...{ autoSelectFamily: true, autoSelectFamilyAttemptTimeout: ATTEMPT_TIMEOUT },
    };
    const socket = secure === undefined ? net.connect(to) : tls.connect({
      ...to,
      servername: net.isIP(host) === 0 ? host : "",
      rejectUnauthorized: true, // NODE_TLS_REJECT_UNAUTHORIZED=0 is for others
      checkServerIdentity,
      ...secure.ca && { ca: [...secure.ca] },
    });
    return new Promise((resolve, reject) => {
      const late = new RedisError(`gave up after ${this.#timeout} ms, connecting`);
      const onAbort = () => {
        socket.destroy();
        reject(this.#closed.signal.aborted ? this.#closed.signal.reason : late);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const forget = () => signal.removeEventListener("abort", onAbort);
      socket.once(secure === undefined ? "connect" : "secureConnect", () => {
        forget();
        resolve(socket.setKeepAlive(true, KEEP_ALIVE));
      });
      socket.on("error", (cause) => reject(new RedisError(inWords(cause), { cause })));
      socket.once("close", () => reject(new RedisError("the connection was closed")));
      socket.once("close", forget);
      if (signal.aborted) onAbort();
    });
  }
}

/** A command that was sent. */
interface Sent {
  readonly name: string;
  readonly settle: (reply: Reply | RedisError) => void;
}

class Connection {
  /** Resolves with the reason. */
  readonly ended: Promise<Error>;
  readonly #socket: net.Socket;
  readonly #reader = new RespReader(LIMITS);
  #sent: Sent[] = [];
  #end: ((reason: Error) => void) | undefined;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    this.ended = new Promise((resolve) => this.#end = resolve);
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("error", (cause) => this.end(new RedisError(inWords(cause), { cause })));
    socket.on("close", () => this.end(new RedisError("the connection was closed")));
  }

  /** Cuts the connection; all that waits is rejected. */
  end(reason: Error): void {
    const sent = this.#sent;
    this.#sent = [];
    this.#end?.(reason);
    this.#end = undefined;
    this.#socket.destroy();
    for (const { name, settle } of sent) settle(new RedisError(name, { cause: reason }));
  }

  run(words: readonly Word[], timeout: number, signal?: AbortSignal): Promise<Reply> {
    const name = String(words[0]);
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw new RedisError(`${name}: aborted`, { cause: signal.reason });
      if (this.#end === undefined) throw new RedisError(`${name}: not connected to redis`);
      if (this.#sent.length >= MAX_PENDING) {
        throw new RedisError(`${name}: ${MAX_PENDING} commands are under way`);
      }
      const forget = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const settle = (reply: Reply | RedisError) => {
        forget();
        if (reply instanceof RedisError) reject(reply);
        else if (reply instanceof ErrorReply) reject(refused(name, reply));
        else resolve(reply);
      };
      const timer = setTimeout(() => {
        this.end(new RedisError(`no answer in ${timeout} ms`));
      }, timeout);
      // What is answered later is for nobody.
      const onAbort = () => settle(new RedisError(`${name}: aborted`, { cause: signal?.reason }));
      signal?.addEventListener("abort", onAbort);
      this.#sent.push({ name, settle });
      this.#socket.write(formatCommand(words));
    });
  }

  #read(bytes: Buffer): void {
    try {
      for (const reply of this.#reader.push(bytes)) {
        if (reply instanceof Push) continue;
        const sent = this.#sent.shift();
        if (sent === undefined) throw new RedisError("an answer that nothing was asked for");
        sent.settle(reply);
        // Of two that changed roles: behind the same name the other one may be found.
        if (reply instanceof ErrorReply && reply.code === "READONLY") throw reply;
      }
    } catch (error) {
      this.end(error as Error);
    }
  }
}

/** Some servers repeat the arguments of what they don't know; those of AUTH are a password. */
function refused(name: string, cause: ErrorReply): RedisError {
  const said = cause.message.replace(/[,:]? (with|in) args.*$/is, "").slice(0, SHOWN);
  const shown = name === "AUTH" ? cause.code : said;
  cause.message = shown; // for whoever tells all causes
  return new RedisError(`${name}: ${shown}`, { cause });
}
