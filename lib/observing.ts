/**
 * What observes in a process that serves, put together as the options ask for it. Needs
 * `observe.ts`, `servedmetrics.ts`, `accesslog.ts`. Loaded when anything is observed.
 */
import type { AccessFormat } from "./accessline.ts";
import { type AccessLog, accessSink, createAccessLog, LineBuffer } from "./accesslog.ts";
import { sayDropped, type WriteLines } from "./accesslog.ts";
import type { Logger } from "./log.ts";
import { Observing, type Sink } from "./observe.ts";
import type { Observer } from "./observer.ts";
import { ServedMetrics } from "./servedmetrics.ts";

/** `path` as createAccessLog() takes it. */
export interface ObserveSettings {
  readonly metrics: boolean;
  readonly accessLog?: { readonly path: string; readonly format: AccessFormat } | undefined;
}

export interface Observation {
  readonly observer: Observer;
  readonly metrics: ServedMetrics | undefined;
  /** Not open yet. */
  readonly accessLog: AccessLog | undefined;
  /** Resolves when the access log is written, or can't be in time. */
  close(): Promise<void>;
}

/** `stdout` takes lines of the access log that go there. */
export function observe(
  settings: ObserveSettings,
  log: Logger,
  stdout: WriteLines,
): Observation {
  const metrics = settings.metrics ? new ServedMetrics() : undefined;
  const sinks: Sink[] = metrics === undefined ? [] : [metrics];
  let [accessLog, lines]: [AccessLog?, LineBuffer?] = [];
  if (settings.accessLog !== undefined) {
    const { path, format } = settings.accessLog;
    accessLog = createAccessLog(path, stdout);
    const say = sayDropped(log);
    lines = new LineBuffer(accessLog.write, (count, error) => {
      metrics?.onLinesDropped(count);
      say(count, error);
    });
    sinks.push(accessSink(format, lines));
  }
  const close = async () => {
    await lines?.close();
    accessLog?.close();
  };
  return { observer: new Observing(sinks), metrics, accessLog, close };
}
