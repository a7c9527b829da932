/**
 * A request as a line of an access log: in the Combined Log Format, as Apache and nginx write it,
 * or as JSON. Pure, but for the time. Needs `http1.ts`, `observe.ts` (types).
 *
 * Most of a line comes from strangers. Whatever isn't printable ASCII is escaped, and the quote and
 * the backslash, so that nothing forges a line or drives a terminal: as `\xHH` a byte, which is
 * nginx's way, in JSON as `\u00HH`. What is very long is cut, and ends in `...`.
 */
import { type FieldLines, fieldValue } from "./http1.ts";
import type { RequestFacts } from "./observe.ts";

/** Characters of a target, and of any other field of a line. */
const MAX_TARGET = 8192;
const MAX_TEXT = 1024;

/** All but what stands for itself in both formats. */
const UNSAFE = /[^ !#-[\]-~]/;
const EACH_UNSAFE = /[^ !#-[\]-~]/g;

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

export type AccessFormat = "combined" | "json";

/** Writes lines, each with its line feed; `now` in whole milliseconds since the epoch. */
export type LineFormatter = (facts: RequestFacts, now: number) => string;

/** A formatter keeps what the next line is likely to have, too. */
export function createFormatter(format: AccessFormat): LineFormatter {
  return format === "json" ? jsonFormatter() : combinedFormatter();
}

/** `host - - [time] "request" status bytes "referer" "user agent"`; `-` for what isn't there. */
function combinedFormatter(): LineFormatter {
  const timeOf = perSecond(formatLocalTime);
  const texts = () => likeBefore((text: string) => hex(text));
  const [addressOf, referrerOf, agentOf] = [texts(), texts(), texts()];
  return (facts, now) => {
    const { client, head, status, sent } = facts;
    const request = head === undefined
      ? "-"
      : `${hex(head.method)} ${hex(head.target, MAX_TARGET)} ${protocolOf(facts)}`;
    const referer = referrerOf(fieldOf(head?.fields, "referer") || "-");
    const agent = agentOf(fieldOf(head?.fields, "user-agent") || "-");
    return `${addressOf(client.address)} - - [${timeOf(now)}] "${request}" ${status} ${sent} ` +
      `"${referer}" "${agent}"\n`;
  };
}

/** Times in seconds, sizes in bytes; members that don't apply are left out. */
function jsonFormatter(): LineFormatter {
  const secondOf = perSecond((date) => date.toISOString().slice(0, 20));
  const addressOf = likeBefore((text: string) => unicode(text));
  const hostOf = likeBefore((text: string) => `","host":"${unicode(text)}","target":"`);
  const referrerOf = likeBefore((text: string | undefined) => member("referer", text));
  const agentOf = likeBefore((text: string | undefined) => member("user_agent", text));
  const routeOf = likeBefore((text: string | undefined) => member("route", text));
  const upstreamOf = likeBefore((text: string | undefined) => member("upstream", text));
  return (facts, now) => {
    const { client, head, status, received, sent, route, upstream, upstreamTime } = facts;
    const request = head === undefined ? "" : `,"method":"${unicode(head.method)}` +
      `${hostOf(head.authority)}${unicode(head.target, MAX_TARGET)}",` +
      `"protocol":"${protocolOf(facts)}"`;
    const duration = seconds(facts.endedAt - facts.beganAt);
    const asked = upstreamTime === undefined ? "" : `,"upstream_time":${seconds(upstreamTime)}`;
    const retries = upstream === undefined ? "" : `,"retries":${facts.retries}`;
    const tls = client.transport?.tls;
    return `{"time":"${secondOf(now)}${String(1000 + now % 1000).slice(1)}Z",` +
      `"client":"${
        addressOf(client.address)
      }"${request},"status":${status},"received":${received},` +
      `"sent":${sent},"duration":${duration},"ended":"${facts.ending}"` +
      `${routeOf(route)}${upstreamOf(upstream)}${asked}${retries}` +
      `${tls === undefined ? "" : `,"tls":"${tls}"`}` +
      `${referrerOf(fieldOf(head?.fields, "referer"))}` +
      `${agentOf(fieldOf(head?.fields, "user-agent"))}}\n`;
  };
}

const member = (name: string, text: string | undefined): string =>
  text === undefined ? "" : `,"${name}":"${unicode(text)}"`;

/** To the microsecond; toFixed() takes twice as long. */
function seconds(milliseconds: number): string {
  const all = Math.max(0, Math.round(milliseconds * 1000));
  const fraction = all % 1e6;
  return `${(all - fraction) / 1e6}.${String(1e6 + fraction).slice(1)}`;
}

function protocolOf({ client, head }: RequestFacts): string {
  if (client.transport?.isHttp2 === true) return "HTTP/2.0";
  return head?.minor === 0 ? "HTTP/1.0" : "HTTP/1.1";
}

const fieldOf = (fields: FieldLines = [], name: string): string | undefined =>
  fieldValue(fields, name);

function hex(text: string, max: number = MAX_TEXT): string {
  const short = text.length > max ? `${text.slice(0, max)}...` : text;
  if (!UNSAFE.test(short)) return short;
  return short.replace(EACH_UNSAFE, (char) => `\\x${hexOf(char, 2).toUpperCase()}`);
}

function unicode(text: string, max: number = MAX_TEXT): string {
  const short = text.length > max ? `${text.slice(0, max)}...` : text;
  if (!UNSAFE.test(short)) return short;
  return short.replace(EACH_UNSAFE, (char) => `\\u${hexOf(char, 4)}`);
}

/** What is often the same again is compared faster than it is looked through. */
function likeBefore<T extends string | undefined>(format: (text: T) => string): typeof format {
  let before: T | undefined;
  let formatted: string | undefined;
  return (text) => {
    if (formatted === undefined || text !== before) formatted = format(before = text);
    return formatted;
  };
}

const hexOf = (char: string, digits: number): string =>
  char.charCodeAt(0).toString(16).padStart(digits, "0");

/** The text of a second is made once. */
function perSecond(format: (date: Date) => string): (now: number) => string {
  let second = NaN;
  let text = "";
  return (now) => {
    const current = Math.floor(now / 1000);
    if (current !== second) {
      second = current;
      text = format(new Date(current * 1000));
    }
    return text;
  };
}

/** `28/Nov/2026:06:52:07 +0000`, in local time. */
function formatLocalTime(date: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}` +
    two(Math.abs(offset) % 60);
  const day = `${two(date.getDate())}/${MONTHS[date.getMonth()]}/${date.getFullYear()}`;
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${day}:${clock} ${zone}`;
}
