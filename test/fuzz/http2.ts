/**
 * HTTP/2: field blocks and lists, frames however they are cut, and a whole connection.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { encodedLimit, HpackDecoder, HpackEncoder, HpackError } from "../../lib/hpack.ts";
import * as h2 from "../../lib/http2.ts";
import { checkTrailers, parsePriority, parseRequest } from "../../lib/http2head.ts";
import { Http2Connection } from "../../lib/http2server.ts";
import * as wire from "../http2wire.ts";
import { hpackVectors } from "../vectors/hpack.ts";
import { frameVectors } from "../vectors/http2.ts";
import { headVectors } from "../vectors/http2-heads.ts";
import { kindOf, same, type Target } from "./fuzzer.ts";
import { talk } from "./connection.ts";
import { checkUpstream, cut } from "./http1.ts";
import { splice } from "./mutate.ts";
import type { Random } from "./random.ts";

const LIMITS = { maxListSize: 4096, maxFields: 64 };
const lowered = (list: readonly string[]) => list.map((s, i) => i % 2 ? s : s.toLowerCase());

/** The input is several blocks of one connection, each after a byte with its length. */
function testHpack(input: Buffer): string {
  const decoder = new HpackDecoder(LIMITS), ours = new HpackDecoder(LIMITS);
  const encoder = new HpackEncoder();
  let told = "";
  for (let at = 0; at < input.length && told.length < 40;) {
    const end = at + 1 + (input[at] === 255 ? input.length : input[at]);
    const block = input.subarray(at + 1, end);
    at = end;
    if (block.length === 0) {
      const size = (input[at] ?? 0) * 17;
      decoder.setMaxTableSize(size);
      encoder.setMaxTableSize(size);
      ours.setMaxTableSize(Math.min(size, 4096));
      told += "s";
      continue;
    }
    try {
      const list = decoder.decode(block);
      assert.ok(decoder.table.size <= 4096 && decoder.table.size >= 0);
      told += list === undefined ? "large" : Math.min(9, list.length);
      if (list === undefined) continue;
      const out = Buffer.alloc(encodedLimit(list));
      const written = out.subarray(0, encoder.encode(list, out, 0));
      same(ours.decode(written), lowered(list));
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      return told + kindOf(error);
    }
  }
  return told;
}

/** The input is a list of fields, a line each; what is taken can be written as HTTP/1.1. */
function testFields(input: Buffer): string {
  const lines = input.toString("latin1").split("\n");
  const list = lines.flatMap((line) => {
    const at = line.indexOf(":", 1);
    return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
  });
  const told: string[] = [];
  for (const ended of [true, false]) {
    try {
      const { head, protocol, priority, size } = parseRequest(list, 1, ended);
      assert.ok(priority.urgency >= 0 && priority.urgency < 8);
      if (head.method !== "CONNECT") checkUpstream(head);
      told.push(`${protocol !== undefined} ${priority.urgency} ${Math.sign(size ?? -1)}`);
    } catch (error) {
      if (!(error instanceof h2.Http2Error)) throw error;
      told.push(kindOf(error));
    }
  }
  try {
    checkTrailers(list, 1);
  } catch (error) {
    if (!(error instanceof h2.Http2Error)) throw error;
  }
  parsePriority(lines[0]);
  return told.join();
}

/** What a reader finds in the pieces; the frames, and what is wrong. */
function readFrames(pieces: readonly Buffer[]): [frames: string, error: string] {
  const reader = new h2.FrameReader(2048);
  let frames = "";
  try {
    for (const piece of pieces) {
      reader.push(piece);
      while (reader.next()) {
        const { type, flags, stream } = reader;
        if (type === h2.DATA) reader.unpad();
        const { bytes, start, end } = reader;
        frames += `${type} ${flags} ${stream} ${bytes.toString("latin1", start, end)}\n`;
        if (type === h2.SETTINGS) h2.parseSettings(bytes, start, end);
      }
    }
  } catch (error) {
    if (!(error instanceof h2.Http2Error)) throw error;
    return [frames, `${error.stream} ${error.code} ${error.message}`];
  }
  return [frames, ""];
}

function testFrames(input: Buffer, random: Random): string {
  const whole = readFrames([input]);
  same(readFrames(cut(input, random)), whole);
  const types = whole[0].split("\n").slice(-6).map((line) => line[0]).join("");
  return types + whole[1].replace(/\d+/g, "");
}

function linesOf(pieces: readonly Buffer[], moments?: Random) {
  const frames = new wire.FrameLines(); // which refuses what isn't right
  const { applications } = talk(Http2Connection, pieces, (bytes) => frames.push(bytes), moments);
  return { lines: frames.lines, tunnel: applications.some(({ head }) => head.upgrade) };
}

function testConnection(input: Buffer, random: Random): string {
  const { lines, tunnel } = linesOf([input]);
  const again = linesOf(cut(input, random));
  // A tunnel opens after a piece: what comes before that depends on where pieces end.
  if (!tunnel && !again.tunnel) same(again.lines, lines);
  linesOf(cut(input, random), random);
  return lines.slice(-5).map((line) => line.replace(/\d+/g, "#")).join();
}

/** Where frames begin, and the end; after the preface. */
function boundaries(input: Buffer): number[] {
  const places = [];
  let at = Math.min(wire.PREFACE.length, input.length);
  for (; at + 9 <= input.length; at += 9 + input.readUIntBE(at, 3)) places.push(at);
  return [...places, input.length];
}

/** Puts a frame of its own or another's somewhere, takes one out, or changes what one says. */
function editFrames(input: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  let changed = input;
  do {
    const places = boundaries(changed), i = random.below(places.length);
    const [at, end] = [places[i], places[i + 1] ?? changed.length];
    const frame = changed.subarray(at, end);
    const other = random.pick(others), theirs = boundaries(other), j = random.below(theirs.length);
    const edits = [
      () => splice(changed, at, 0, random.pick(FRAMES)),
      () => splice(changed, at, 0, other.subarray(theirs[j], theirs[j + 1 + random.below(3)])),
      () => splice(changed, at, frame.length, Buffer.alloc(0)),
      () => splice(changed, random.pick(places), 0, frame),
      () => edited(changed, at, frame, random),
    ];
    changed = random.pick(edits)();
  } while (!random.once(3) && changed.length < 4096);
  return changed.length > 8192 ? changed.subarray(0, 8192) : changed;
}

/** Another type, flags, stream or payload; the length fits. */
function edited(input: Buffer, at: number, frame: Buffer, random: Random): Buffer {
  if (frame.length < 9) return input;
  const copy = Buffer.from(frame);
  const what = random.below(4);
  if (what === 0) copy[3] = random.below(12);
  if (what === 1) copy[4] ^= random.pick([1, 4, 8, 32]);
  if (what === 2) copy.writeUInt32BE(random.pick([0, 1, 2, 3, 5, 7, 9, 0x7fffffff]), 5);
  if (what === 3 && copy.length > 9) copy[9 + random.below(copy.length - 9)] = random.below(256);
  return splice(input, at, frame.length, copy);
}

const TUNNEL = [":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/t"]
  .concat(":authority", "a.example");
const FRAMES: readonly Buffer[] = [
  ...[wire.settings(), wire.SETTINGS_ACK, wire.settings(h2.INITIAL_WINDOW_SIZE, 0), wire.ping()],
  ...[wire.settings(h2.INITIAL_WINDOW_SIZE, 0x7fffffff), wire.settings(h2.HEADER_TABLE_SIZE, 0)],
  ...[wire.settings(h2.MAX_FRAME_SIZE, 16_384), wire.goaway(), wire.windowUpdate(0, 1_000_000)],
  ...[1, 3, 5, 7].flatMap((stream) => [
    ...["/", "/wait", "/hints", "/big", "/cut", "/open"].map((path) =>
      wire.headers(stream, wire.to(path))
    ),
    wire.open(stream, TUNNEL),
    ...["/", "/echo", "/slow", "/big"].map((path) => wire.open(stream, wire.to(path, wire.POST))),
    ...[wire.data(stream, "abc"), wire.data(stream, "", 1), wire.data(stream, "x".repeat(999), 1)],
    ...[wire.reset(stream), wire.windowUpdate(stream, 100_000), wire.windowUpdate(stream, 0)],
    ...[
      wire.headers(stream, ["x", "y"]),
      wire.headers(stream, [...wire.GET, "content-length", "3"]),
    ],
    ...[wire.continuation(stream, wire.block(["a", "b"]), 4), wire.frame(1, 0, stream, "")],
  ]),
];

const blocksOf = (inputs: readonly string[]): Buffer =>
  Buffer.concat(inputs.flatMap((hex) => {
    const block = Buffer.from(hex.replace(/\s/g, ""), "hex").subarray(0, 254);
    return [Buffer.of(block.length), block];
  }));
const inFrames = frameVectors.map(({ input }) => input).filter(({ length }) => length < 4096);
const fieldLines = headVectors.map(({ input }) =>
  Buffer.from(
    input.flatMap((text, i) => i % 2 ? [] : [`${text}:${input[i + 1]}`]).join("\n"),
    "latin1",
  )
).filter(({ length }) => length < 4096);

const NAMES = [
  ":method:",
  ":path:/",
  ":scheme:https",
  ":authority:a.example",
  ":protocol:websocket",
]
  .concat(":method:CONNECT", ":path:*", ":method:OPTIONS", "host:a.example", "cookie:a=b")
  .concat("content-length:1", "te:trailers", "priority:u=1,i", "connection:x", "Host:b", "\n")
  .concat("transfer-encoding:chunked", "x_y:z", "expect:100-continue", ":status:200", ":unknown:");

export const http2Targets: readonly Target[] = [
  {
    name: "hpack",
    seeds: () => hpackVectors.map(({ blocks }) => blocksOf(blocks.map(({ input }) => input))),
    words: [Buffer.of(0x3f, 0xe1, 0x1f), Buffer.of(0x20), Buffer.of(0x40), Buffer.of(0x1f, 0xff)]
      .concat([Buffer.of(0x7f), Buffer.of(0xff), Buffer.of(0xbe), Buffer.of(0x82, 0x84, 0x86)]),
    limit: 1024,
    test: testHpack,
  },
  { name: "fields", seeds: () => fieldLines, words: NAMES, limit: 1024, test: testFields },
  { name: "frames", seeds: () => inFrames, words: FRAMES, edit: editFrames, test: testFrames },
  {
    name: "http2",
    seeds: () => inFrames,
    words: FRAMES,
    cost: 10,
    edit: editFrames,
    test: testConnection,
  },
];
