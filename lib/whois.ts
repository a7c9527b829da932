/**
 * Who clients are, by their addresses: asked once, and remembered for a while. Needs `addr.ts`.
 *
 * A request waits only when nothing is known, and never longer than a deadline; what is a little
 * old is used while it is asked for again. Nobody is the answer when there is none.
 */
import type { Socket } from "node:net";
import { canonicalAddress } from "./addr.ts";
import type { FieldLines } from "./http1.ts";

/** Milliseconds that an answer holds; after twice that, nobody goes by it any more. */
const FRESH = 60_000;
/** Milliseconds after a failure until the next question: nobody should stay unknown for long. */
const PAUSE = 2_000;
/** Milliseconds that a client waits, for its turn too. */
const DEADLINE = 3_000;
const MAX_KNOWN = 4_096;
/** Questions at a time, and those that wait for their turn. */
const MAX_ASKED = 32;
const MAX_WAITING = 1_024;

export const NOBODY: FieldLines = [];

/** Fields for upstreams of the one at the other end; rejects when that can't be told. */
export type Ask = (address: string, port: number) => Promise<FieldLines>;
/** The same, which never rejects; not a promise when it is known. */
export type Identify = (address: string, port: number) => FieldLines | Promise<FieldLines>;

interface Known {
  readonly fields: FieldLines;
  readonly staleAt: number;
  readonly uselessAt: number;
}

/** `fresh`: default FRESH. `now`: default performance.now(). `onFailure` is told each failure. */
export function rememberWhoIs(
  ask: Ask,
  { onFailure, fresh = FRESH, now = () => performance.now() }: {
    onFailure: (error: Error) => void;
    fresh?: number;
    now?: () => number;
  },
): Identify {
  const known = new Map<string, Known>();
  const asked = new Map<string, Promise<FieldLines>>();
  const waiting: (() => void)[] = [];
  let running = 0;

  const turn = async (): Promise<void> => {
    if (running < MAX_ASKED) running++;
    else if (waiting.length >= MAX_WAITING) throw new Error("too many clients at a time");
    else await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  };
  const remember = (address: string, one: Known): FieldLines => {
    known.delete(address);
    known.set(address, one);
    const [oldest] = known.keys();
    if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
    return one.fields;
  };
  const find = async (address: string, port: number): Promise<FieldLines> => {
    await turn();
    try {
      const [fields, at] = [await ask(address, port), now()];
      return remember(address, { fields, staleAt: at + fresh, uselessAt: at + 2 * fresh });
    } finally {
      leave();
    }
  };
  const start = (address: string, port: number): Promise<FieldLines> => {
    const answer = within(DEADLINE, find(address, port)).catch((error: Error) => {
      onFailure(error);
      const [old, staleAt] = [known.get(address), now() + PAUSE];
      if (old !== undefined && now() < old.uselessAt) return remember(address, { ...old, staleAt });
      return remember(address, { fields: NOBODY, staleAt, uselessAt: staleAt });
    }).finally(() => asked.delete(address));
    asked.set(address, answer);
    return answer;
  };
  return (address, port) => {
    const found = known.get(address);
    if (found !== undefined && now() < found.staleAt) return found.fields;
    const answer = asked.get(address) ?? start(address, port);
    return found !== undefined && now() < found.uselessAt ? found.fields : answer;
  };
}

/** The same for sockets: begins to find out, and returns what tells as long as the socket lives. */
export function identifySockets(
  identify: Identify,
): (socket: Socket) => (() => FieldLines | Promise<FieldLines>) | undefined {
  return ({ remoteAddress, remotePort = 0 }) => {
    if (remoteAddress === undefined) return undefined; // it has left already
    const tell = () => identify(canonicalAddress(remoteAddress), remotePort);
    tell();
    return tell;
  };
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms);
    work.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}
