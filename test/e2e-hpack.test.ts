/**
 * HPACK against the runtime's own HTTP/2 (nghttp2 in Node): what its client encodes is decoded
 * here, and what is encoded here is decoded by it, on one connection each of some table sizes.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import net from "node:net";
import { test } from "node:test";
import { DEFAULT_TABLE_SIZE, encodedLimit, HpackDecoder, HpackEncoder } from "../lib/hpack.ts";
import { startRawUpstream } from "./support.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".length;
const DATA = 0,
  HEADERS = 1,
  SETTINGS = 4,
  END_STREAM = 1,
  ACK = 1,
  END_HEADERS = 4,
  PRIORITY = 0x20;
const HEADER_TABLE_SIZE = 1;
const REQUESTS = 100;

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Answers each request with `answers` in turn; what came is added to `lists`. */
function serve(socket: net.Socket, answers: readonly string[][], lists: string[][]): void {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder({ maxListSize: 65_536, maxFields: 100 });
  let held: Buffer = Buffer.alloc(0), start = PREFACE;
  socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
  socket.on("data", (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    for (;;) {
      const end = start + 9 + (held.length < start + 9 ? 0 : held.readUIntBE(start, 3));
      if (held.length < Math.max(end, start + 9)) return;
      const [type, flags, stream] = [
        held[start + 3],
        held[start + 4],
        held.readUInt32BE(start + 5),
      ];
      let payload = held.subarray(start + 9, end);
      start = end;
      if (type === SETTINGS && (flags & ACK) === 0) {
        for (let at = 0; at < payload.length; at += 6) {
          if (payload.readUInt16BE(at) !== HEADER_TABLE_SIZE) continue;
          encoder.setMaxTableSize(payload.readUInt32BE(at + 2));
        }
        socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
      }
      if (type !== HEADERS) continue;
      assert.ok(flags & END_HEADERS, "a request in several frames");
      if (flags & PRIORITY) payload = payload.subarray(5);
      const fields = answers[lists.length % answers.length];
      lists.push(decoder.decode(payload) ?? assert.fail("too large"));
      const out = Buffer.alloc(encodedLimit(fields));
      const block = out.subarray(0, encoder.encode(fields, out, 0));
      socket.write(frame(HEADERS, END_HEADERS, stream, block));
      socket.write(frame(DATA, END_STREAM, stream, Buffer.alloc(0)));
    }
  });
}

const ANSWERS = Array.from({ length: 20 }, (_, i) => [
  ...[":status", i % 5 === 0 ? "302" : "200", "server", "s", "x-count", `${i % 7}`],
  ...["date", "Mon, 21 Oct 2013 20:13:21 GMT", "content-type", `text/${"abc".repeat(i)}`],
  ...["etag", `"${i}"`, "x-bytes", "~!@#$%^&*()_+{}|:<>?`-=[]\\;',./\"".repeat(1 + i % 3)],
  ...["set-cookie", `id=${i}`, "content-length", "0", "x-long", "l".repeat(i * 150)],
]);

/** Sends REQUESTS requests over one connection and compares all that both sides have decoded. */
for (const headerTableSize of [DEFAULT_TABLE_SIZE, 0, 100, 65_536]) {
  test(`the runtime's HTTP/2 client understands it, table size ${headerTableSize}`, async (t) => {
    const lists: string[][] = [];
    const { port } = await startRawUpstream(t, (socket) => serve(socket, ANSWERS, lists));
    const client = http2.connect(`http://127.0.0.1:${port}`, { settings: { headerTableSize } });
    t.after(() => client.destroy());
    for (let i = 0; i < REQUESTS; i++) {
      const path = `/path/${i % 10}?${"q".repeat(i % 40)}`;
      const more = { "user-agent": "test/1", "x-round": `${i >> 2}`, "x-text": "~|}{".repeat(i) };
      const got = await request(client, { ":path": path, ...more });
      const expected = ANSWERS[i % ANSWERS.length];
      for (let at = 0; at < expected.length; at += 2) {
        assert.equal([got[expected[at]]].flat().join(), expected[at + 1], expected[at]);
      }
      const sent = Object.entries({ ":method": "GET", ":path": path, ...more }).flat();
      for (let at = 0; at < sent.length; at += 2) {
        const found = lists[i].indexOf(sent[at]);
        assert.equal(lists[i][found + 1], sent[at + 1], sent[at]);
      }
    }
    assert.equal(lists.length, REQUESTS);
  });
}

function request(
  client: http2.ClientHttp2Session,
  fields: http2.OutgoingHttpHeaders,
): Promise<http2.IncomingHttpHeaders> {
  return new Promise((resolve, reject) => {
    const stream = client.request(fields);
    client.once("error", reject);
    stream.on("error", reject).on("response", (got) => {
      stream.resume().on("end", () => {
        client.off("error", reject);
        resolve(got as unknown as http2.IncomingHttpHeaders);
      });
    });
    stream.end();
  });
}
