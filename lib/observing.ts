/**
 * What observes in a process that serves, put together as the options ask for it. Needs
 * `observe.ts`, `servedmetrics.ts`, `accesslog.ts`. Loaded when anything is observed.
 */
import { type AccessFormat } from "./accessline.ts";
import { accessSink, LineBuffer, sayDropped, type WriteLines } from "./accesslog.ts";
import type { Logger } from "./log.ts";
import { Observing, type Sink } from "./observe.ts";
import type { Observer } from "./observer.ts";
import { ServedMetrics } from "./servedmetrics.ts";

/** `accessLog`: the format of its lines, if there is one. */
export interface ObserveSettings {
  readonly metrics: boolean;
  readonly accessLog?: AccessFormat | undefined;
}

export interface Observation {
  readonly observer: Observer;
  readonly metrics: ServedMetrics | undefined;
  /** To be closed at the end. */
  readonly lines: LineBuffer | undefined;
}

/** `write` takes lines of the access log. */
export function observe(
  settings: ObserveSettings,
  log: Logger,
  write: WriteLines,
): Observation {
  const metrics = settings.metrics ? new ServedMetrics() : undefined;
  const sinks: Sink[] = metrics === undefined ? [] : [metrics];
  let lines: LineBuffer | undefined;
  if (settings.accessLog !== undefined) {
    const say = sayDropped(log);
    lines = new LineBuffer(write, (count, error) => {
      metrics?.onLinesDropped(count);
      say(count, error);
    });
    sinks.push(accessSink(settings.accessLog, lines));
  }
  return { observer: new Observing(sinks), metrics, lines };
}
