/**
 * HTTP/2 by hand, for tests: frames as bytes, right or wrong, and what a server sent as one line a
 * frame, such as `HEADERS 1 200`, `DATA 1 hello END`, `RST_STREAM 3 CANCEL`, `GOAWAY 1 NO_ERROR`.
 */
import { Buffer } from "node:buffer";
import { HpackDecoder } from "../lib/hpack.ts";
import * as http2 from "../lib/http2.ts";
import type { Scope } from "./support.ts";
import { connect, type Wire } from "./wire.ts";

export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

const TYPES = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE " +
  "CONTINUATION";
const TYPE_NAMES = TYPES.split(" ");
const CODES = "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT " +
  "STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR " +
  "ENHANCE_YOUR_CALM";
const CODE_NAMES = CODES.split(" ");

/** A frame of any type, length and stream; `reserved` sets the reserved bit of the stream. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array | string = "",
  length?: number,
): Buffer {
  const body = Buffer.from(payload as string, "latin1");
  const head = Buffer.alloc(9);
  head.writeUIntBE(length ?? body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, body]);
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value >>> 0, 4 * i));
  return bytes;
}

/** A block of literals without indexing or Huffman code. */
export function block(fields: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  fields.forEach((text, i) => {
    if (i % 2 === 0) parts.push(Buffer.from([0]));
    parts.push(integer(text.length), Buffer.from(text, "latin1"));
  });
  return Buffer.concat(parts);
}

function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  for (value -= 127; value >= 128; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return Buffer.from([...bytes, value]);
}

const END_HEADERS = http2.END_HEADERS, END = http2.END_STREAM;

export const GET = [":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.example"];
export const POST = GET.with(1, "POST");
/** To a path; see the test server of http2.test.ts for what paths do. */
export const to = (path: string, base: readonly string[] = GET): string[] => base.with(5, path);

export const headers = (stream: number, fields: readonly string[] = GET, flags = END): Buffer =>
  frame(http2.HEADERS, END_HEADERS | flags, stream, block(fields));
export const open = (stream: number, fields: readonly string[] = POST): Buffer =>
  headers(stream, fields, 0);
export const data = (stream: number, payload: Uint8Array | string, flags = 0): Buffer =>
  frame(http2.DATA, flags, stream, payload);
export const reset = (stream: number, code = 8): Buffer =>
  frame(http2.RST_STREAM, 0, stream, uint32(code));
export const ping = (payload = "12345678"): Buffer => frame(http2.PING, 0, 0, payload);
export const goaway = (code = 0): Buffer => frame(http2.GOAWAY, 0, 0, uint32(0, code));
export const windowUpdate = (stream: number, increment: number): Buffer =>
  frame(http2.WINDOW_UPDATE, 0, stream, uint32(increment));
export const continuation = (stream: number, payload: Uint8Array | string, flags = 0): Buffer =>
  frame(http2.CONTINUATION, flags, stream, payload);
export const settings = (...values: number[]): Buffer => {
  const payload = Buffer.alloc(3 * values.length);
  values.forEach((value, i) =>
    i % 2 === 0 ? payload.writeUInt16BE(value, 3 * i) : payload.writeUInt32BE(value, 3 * i - 1)
  );
  return frame(http2.SETTINGS, 0, 0, payload);
};
export const SETTINGS_ACK: Buffer = frame(http2.SETTINGS, http2.ACK, 0);

/** What a well-behaved client begins with. */
export const HELLO: Buffer = Buffer.concat([PREFACE, settings(), SETTINGS_ACK]);

/** Reads what a server sends, as lines; of DATA that is long, only how long. */
export class FrameLines {
  readonly lines: string[] = [];
  /** The fields of each HEADERS, in order. */
  readonly heads: string[][] = [];
  /** The bytes of DATA, by stream. */
  readonly bodies = new Map<number, string>();
  readonly #reader = new http2.FrameReader();
  readonly #decoder = new HpackDecoder({ maxListSize: 1_000_000, maxFields: 10_000 });
  #block: Buffer[] = [];
  #ends = "";

  constructor() {
    this.#reader.push(PREFACE); // that a server sends none is the one difference
  }

  push(bytes: Buffer): void {
    this.#reader.push(bytes);
    while (this.#reader.next()) this.#add();
  }

  #add(): void {
    const { type, flags, stream, bytes, start } = this.#reader;
    const payload = this.#reader.payload();
    const end = (flags & END) !== 0 ? " END" : "";
    const name = TYPE_NAMES[type] ?? `type ${type}`;
    const say = (text: string) => void this.lines.push(`${name} ${text}`.trimEnd());
    if (type === http2.DATA) {
      const text = payload.toString("latin1");
      this.bodies.set(stream, (this.bodies.get(stream) ?? "") + text);
      return say(`${stream} ${text.length > 20 ? text.length : text}`.trimEnd() + end);
    }
    if (type === http2.HEADERS || type === http2.CONTINUATION) {
      if (type === http2.HEADERS) this.#ends = end;
      this.#block.push(payload);
      if ((flags & END_HEADERS) === 0) return;
      const fields = this.#decoder.decode(Buffer.concat(this.#block)) ?? [];
      this.#block = [];
      this.heads.push(fields);
      const what = fields[0] === ":status" ? fields[1] : "trailers";
      return void this.lines.push(`HEADERS ${stream} ${what}${this.#ends}`);
    }
    const code = (at: number) => CODE_NAMES[bytes.readUInt32BE(at)] ?? "unknown";
    if (type === http2.RST_STREAM) return say(`${stream} ${code(start)}`);
    if (type === http2.GOAWAY) return say(`${bytes.readUInt32BE(start)} ${code(start + 4)}`);
    if (type === http2.WINDOW_UPDATE) return say(`${stream} +${bytes.readUInt32BE(start)}`);
    if (type === http2.PING && end !== "") return say(`ACK ${payload.toString("latin1")}`);
    say(type === http2.SETTINGS && end !== "" ? "ACK" : "");
  }
}

export interface Http2Wire extends Wire {
  readonly frames: FrameLines;
  /** Resolves once a frame with this line has come. */
  line(text: string): Promise<void>;
  /** What has come of a stream's body, once it is that long or ended. */
  body(stream: number, length?: number): Promise<string>;
}

/** A connection to Centauri on which HELLO has been said, unless `greeting` is another. */
export async function connectHttp2(
  t: Scope,
  port: number,
  greeting: Buffer = HELLO,
): Promise<Http2Wire> {
  const wire = await connect(t, port, { protocol: "h2" });
  const frames = new FrameLines();
  frames.push(Buffer.from(wire.received, "latin1"));
  wire.socket.prependListener("data", (chunk: Buffer) => frames.push(chunk));
  wire.write(greeting);
  const ends = (stream: number) => new RegExp(`^(DATA|HEADERS) ${stream} .*END$`);
  return {
    ...wire,
    get received() {
      return wire.received;
    },
    get ended() {
      return wire.ended;
    },
    get closed() {
      return wire.closed;
    },
    frames,
    line: (text) => wire.until(() => frames.lines.includes(text), text),
    async body(stream, length = Infinity) {
      const body = () => frames.bodies.get(stream) ?? "";
      const end = ends(stream);
      const enough = () => body().length >= length || frames.lines.some((line) => end.test(line));
      await wire.until(enough, `the body of stream ${stream}`);
      return body();
    },
  };
}
