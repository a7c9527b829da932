/**
 * HTTP/1.1: heads, answers and chunked bodies are the same however they are cut, and what was taken
 * means the same when it is written again, as an upstream or a client gets it.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { parseHost } from "../../lib/addr.ts";
import {
  type BodyLength,
  CHUNKED,
  type FieldLines,
  fieldValue,
  formatChunkSize,
  formatLastChunk,
  formatRequestHead,
  formatResponseHead,
  type HeadLimits,
  Http1Error,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from "../../lib/http1.ts";
import { DATA, END, MessageReader, MORE } from "../../lib/http1reader.ts";
import { ServerConnection } from "../../lib/http1server.ts";
import { clientFields, trailerFields, upstreamFields } from "../../lib/rewrite.ts";
import { bodyVectors } from "../vectors/http1-bodies.ts";
import { framingVectors } from "../vectors/http1-framing.ts";
import { requestVectors } from "../vectors/http1-requests.ts";
import { responseVectors } from "../vectors/http1-responses.ts";
import { CLIENT, talk } from "./connection.ts";
import { kindOf, same, type Target } from "./fuzzer.ts";
import type { Random } from "./random.ts";

const LIMITS: HeadLimits = { bytes: 640, fields: 20 };
const METHODS = ["GET", "HEAD", "POST"];

/** What a connection's bytes held; `log` has all of it as text. */
interface Held {
  readonly heads: { readonly length: BodyLength }[];
  log: string;
  trailers: FieldLines;
  error: Http1Error | undefined;
  complete: boolean;
  rest: string;
}

type Parse = (text: string, maxFields: number) => { readonly length: BodyLength };

/** Takes all messages out of the pieces; `body`: the length of what comes before the first head. */
function read(
  pieces: readonly Buffer[],
  parse: Parse,
  { keep = false, body, limits = LIMITS }: {
    readonly keep?: boolean;
    readonly body?: BodyLength | undefined;
    readonly limits?: HeadLimits;
  } = {},
): Held {
  const reader = new MessageReader(limits);
  const held: Held = {
    ...{ heads: [], log: "", trailers: [], error: undefined, complete: body === undefined },
    rest: "",
  };
  try {
    if (body !== undefined) reader.startBody(body);
    for (const piece of pieces) {
      reader.push(piece);
      if (body === undefined || !held.complete) readMessages(reader, held, parse, body);
      if (!keep) continue;
      reader.keep();
      piece.fill(0xaa); // whoever still reads there reads what isn't valid
    }
    held.rest = reader.takeRest().toString("latin1");
  } catch (error) {
    if (!(error instanceof Http1Error)) throw error;
    held.error = error;
  }
  return held;
}

function readMessages(reader: MessageReader, held: Held, parse: Parse, body?: BodyLength): void {
  for (;;) {
    if (held.complete) {
      const text = reader.readHead();
      if (text === undefined) return;
      const head = parse(text, LIMITS.fields);
      held.heads.push(head);
      held.log += `\nHEAD ${text}\nBODY `;
      held.complete = false;
      reader.startBody(head.length);
    }
    const event = reader.readBody();
    if (event === MORE) return;
    if (event === DATA) held.log += reader.data.toString("latin1");
    else {
      assert.equal(event, END);
      held.trailers = reader.trailers;
      held.log += `\nEND ${held.trailers.join("\n")}`;
      held.complete = true;
      if (body !== undefined) return;
    }
  }
}

/** At up to four places; copies, as they may be written over. */
export function cut(input: Buffer, random: Random): Buffer[] {
  const places = Array.from({ length: 1 + random.below(4) }, () => random.below(input.length + 1));
  const all = [0, ...places.sort((a, b) => a - b), input.length];
  return all.slice(1).map((end, i) => Buffer.from(input.subarray(all[i], end)));
}

/** As it came whole, and cut, and byte by byte when it is short. */
function readAnyhow(input: Buffer, random: Random, parse: Parse, body?: BodyLength): Held {
  const whole = read([Buffer.from(input)], parse, { body });
  const pieces = input.length < 200 && random.once(8)
    ? Array.from(input, (byte) => Buffer.of(byte))
    : cut(input, random);
  const cutUp = read(pieces, parse, { keep: random.once(2), body });
  assert.equal(cutUp.log, whole.log);
  assert.deepEqual([cutUp.complete, !cutUp.error], [whole.complete, !whole.error]);
  // Empty lines before a head may have been dropped.
  const rest = ({ rest }: Held) => rest.replace(/^(\r\n)+/, "");
  if (whole.error === undefined) assert.equal(rest(cutUp), rest(whole));
  return whole;
}

const outcome = ({ heads, error, complete }: Held, what = ""): string =>
  `${heads.length} ${complete} ${error?.status} ${error && kindOf(error)} ${what}`;

/** What an upstream gets must be one request of the same length, with nothing after it. */
export function checkUpstream(head: RequestHead): void {
  if (parseHost(head.authority) === undefined) return; // it is answered with 400
  const { method, target, length } = head;
  const text = formatRequestHead(method, target, upstreamFields(head, CLIENT));
  const reader = new MessageReader({ bytes: 1e6, fields: 1e5 });
  reader.push(Buffer.from(text, "latin1"));
  const written = reader.readHead() ?? assert.fail(`no whole head: ${text}`);
  assert.equal(reader.buffered, 0, "more than one head");
  const again = parseRequestHead(written, 1e5);
  same([again.method, again.target, again.length], [method, target, length]);
  assert.equal(again.authority, head.authority);
}

function checkRequest(head: RequestHead): void {
  const { method, target, fields } = head;
  const again = parseRequestHead(formatRequestHead(method, target, fields).slice(0, -2), 1e5);
  // HTTP/1.0 becomes 1.1, whose connections stay open; an absolute-form's authority is gone.
  if (head.minor === 1) same({ ...again, authority: "" }, { ...head, authority: "" });
  else same([again.fields, again.length], [fields, head.length]);
  checkUpstream(head);
}

function testRequests(input: Buffer, random: Random): string {
  const held = readAnyhow(input, random, parseRequestHead);
  for (const head of held.heads) if (random.once(3)) checkRequest(head as RequestHead);
  const [first] = held.heads as RequestHead[];
  const what = first && [first.minor, first.keepAlive, Math.sign(first.length), !!first.upgrade];
  return outcome(held, `${what}`);
}

function checkAnswer(head: ResponseHead, method: string): void {
  const { status, reason, fields } = head;
  const parse = (fields: FieldLines): ResponseHead =>
    parseResponseHead(formatResponseHead(status, reason, fields).slice(0, -2), method, 1e5);
  if (head.minor === 1) same(parse(fields), head);
  const sent = clientFields(head, [], "Sat, 28 Nov 2026 08:00:00 GMT");
  const again = parse(sent);
  const length = fieldValue(sent, "content-length");
  if (length !== undefined && again.length > 0) assert.equal(again.length, head.length);
  assert.equal(fieldValue(sent, "transfer-encoding"), undefined);
}

function testAnswers(input: Buffer, random: Random): string {
  const method = METHODS[(input.at(-1) ?? 0) % METHODS.length];
  const parse: Parse = (text, maxFields) => parseResponseHead(text, method, maxFields);
  const held = readAnyhow(input, random, parse);
  for (const head of held.heads) if (random.once(3)) checkAnswer(head as ResponseHead, method);
  const [first] = held.heads as ResponseHead[];
  return outcome(
    held,
    `${first && [first.status / 100 | 0, first.keepAlive, Math.sign(first.length)]}`,
  );
}

function testChunked(input: Buffer, random: Random): string {
  const noHead = () => assert.fail("a head");
  const held = readAnyhow(input, random, noHead, CHUNKED);
  const { trailers } = held, body = held.log.split("\nEND ")[0];
  if (held.complete) {
    const data = body === "" ? "" : `${formatChunkSize(body.length)}${body}\r\n`;
    const written = Buffer.from(data + formatLastChunk(trailers), "latin1");
    const limits = { ...LIMITS, bytes: 2 * LIMITS.bytes }; // there is a space after each colon
    same(read([written], noHead, { body: CHUNKED, limits }), { ...held, rest: "" });
    trailerFields(trailers);
  }
  return outcome(held, `${Math.min(9, body.length)} ${trailers.length}`);
}

/** Whatever a client sends, it gets whole answers, one after another, but for one that is cut. */
function testConnection(input: Buffer, random: Random): string {
  const answers = (pieces: readonly Buffer[], moments?: Random) => {
    let text = "";
    const take = (bytes: Buffer) => void (text += bytes.toString("latin1"));
    return { ...talk(ServerConnection, pieces, take, moments), text: () => text };
  };
  const whole = answers([input]);
  // Of two things that are wrong, the one that is seen first is told.
  const same = (text: string) => text.replace(/HTTP\/1\.1 [45]\d\d [^]*?<\/html>\n/g, "refused");
  assert.equal(same(answers(cut(input, random)).text()), same(whole.text()));
  answers(cut(input, random), random);
  const { applications } = whole;
  const methods = applications.map(({ head }) => head.method);
  const tunnel = applications.some(({ head }) => head.upgrade !== undefined);
  const limits = { bytes: 1e6, fields: 100 };
  const held = read([Buffer.from(whole.text(), "latin1")], (text, maxFields) => {
    const head = parseResponseHead(text, methods[0] ?? "", maxFields);
    if (head.status >= 200) methods.shift();
    return head;
  }, { limits });
  if (!tunnel) {
    assert.equal(held.error, undefined);
    const last = applications.at(-1);
    const mayEnd = last === undefined || last.answered && !last.cut;
    if (mayEnd && last?.head.minor !== 0) assert.ok(held.complete, whole.text());
  }
  const statuses = (held.heads as ResponseHead[]).map((
    { status, keepAlive },
  ) => [status, keepAlive]);
  const asked = applications.slice(-2).map(({ head }) => head.target.slice(0, 6));
  const [, why = ""] = /<p>([a-z ]*).*<\/p>/i.exec(whole.text()) ?? [];
  return `${statuses.slice(-3)} ${Math.min(6, applications.length)} ${asked} ${why}`;
}

const bytes = (vectors: readonly { readonly input: string }[]): Buffer[] =>
  vectors.map(({ input }) => Buffer.from(input, "latin1")).filter(({ length }) => length <= 1024);

const WORDS = [
  ...["GET ", "POST ", "OPTIONS * ", "CONNECT ", " HTTP/1.1\r\n", " HTTP/1.0\r\n", "HTTP/1.1 "],
  ...["Host: a\r\n", "Content-Length: 1\r\n", "Content-Length: 0\r\n", "content-length:"],
  ...["Transfer-Encoding: chunked\r\n", "transfer-encoding: gzip, chunked\r\n", "chunked"],
  ...["Connection: close\r\n", "connection: keep-alive, upgrade\r\n", "Upgrade: websocket\r\n"],
  ...["Connection: transfer-encoding, content-length, host\r\n", "X-Forwarded-For: ::1\r\n"],
  ...["http://b/", "https://", "\r\n\r\n", "\n", "\r", " ", "\t", ":", ",", "0\r\n\r\n", "5\r\n"],
  ...["100 Continue", "101 Switching", "204 ", "304 ", "HTTP/1.1 200 OK\r\n", "Expect: x\r\n"],
  ...["Host_: a\r\n", "Transfer_Encoding: chunked\r\n", "TE: trailers\r\n", "Trailer: a\r\n"],
  ...[";a=b", ';a="b"', "fffffffffffff", "0x1", "00000000", "\u00e9", "Max-Forwards: 0\r\n"],
];

/** Of the application behind a connection. */
const PATHS = ["/", "/echo", "/slow", "/big", "/wait", "/hints", "/cut", "/open"].flatMap((
  path,
) => [
  `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`,
  `HEAD ${path} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n`,
]).concat(
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
  "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
);

export const http1Targets: readonly Target[] = [
  {
    name: "heads",
    seeds: () => bytes([...requestVectors, ...framingVectors]),
    words: WORDS,
    limit: 1024,
    test: testRequests,
  },
  {
    name: "answers",
    seeds: () => bytes(responseVectors),
    words: WORDS,
    limit: 1024,
    test: testAnswers,
  },
  {
    name: "http1",
    seeds: () => bytes([...requestVectors, ...framingVectors]),
    words: [...WORDS, ...PATHS],
    limit: 1024,
    cost: 2,
    test: testConnection,
  },
  {
    name: "chunked",
    seeds: () => bytes(bodyVectors.filter(({ length }) => length === CHUNKED)),
    words: WORDS,
    limit: 1024,
    test: testChunked,
  },
];
