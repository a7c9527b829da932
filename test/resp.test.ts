import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { ErrorReply, formatCommand, Push, type Reply } from "../lib/resp.ts";
import { RespReader, TooLong } from "../lib/resp.ts";
import { LIMITS, RESP_VECTORS, type RespVector } from "./vectors/resp.ts";

/** As the vectors have it. */
function shown(reply: Reply | Push): string {
  if (reply instanceof Push) return `push(${shown(reply.values)})`;
  if (reply instanceof ErrorReply) return `error(${reply.message})`;
  if (reply instanceof TooLong) return `long(${reply.bytes})`;
  if (reply instanceof Uint8Array) return `b${JSON.stringify(reply.toString("latin1"))}`;
  if (typeof reply === "bigint") return `${reply}n`;
  if (Array.isArray(reply)) return `[${reply.map(shown)}]`;
  return typeof reply === "string" ? JSON.stringify(reply) : `${reply}`;
}

function replay(vectors: readonly RespVector[]): void {
  assert.ok(vectors.length > 0, "no rows");
  for (const { name, why, input, expect } of vectors) {
    const bytes = Buffer.from(input, "latin1");
    for (let size = 1; size <= Math.max(1, bytes.length); size++) {
      const play = (): string[] => {
        const reader = new RespReader(LIMITS);
        const replies: (Reply | Push)[] = [];
        for (let at = 0; at < bytes.length; at += size) {
          const chunk = Buffer.from(bytes.subarray(at, at + size));
          replies.push(...reader.push(chunk));
          chunk.fill(0); // a buffer that is used again
        }
        return replies.map(shown);
      };
      const what = `${name}: ${why}, by ${size}`;
      if (expect instanceof RegExp) assert.throws(play, expect, what);
      else assert.deepEqual(play(), expect, what);
    }
  }
}

test("the runner fails on no rows and on wrong rows", () => {
  assert.throws(() => replay([]), /no rows/);
  const wrong = { name: "wrong", why: "a runner that can't fail", input: "+a\r\n" };
  assert.throws(() => replay([{ ...wrong, expect: ['"b"'] }]), /can't fail/);
  assert.throws(() => replay([{ ...wrong, expect: /no/ }]), /can't fail/);
});

test("replies come out of a stream however it is cut, and nothing else does", () => {
  replay(RESP_VECTORS);
});

test("formatCommand() writes what a server reads, and its parts may be any bytes", () => {
  const command = formatCommand(["SET", "ä\r\n", Buffer.from([0xff, 0])]);
  assert.equal(
    command.toString("latin1"),
    "*3\r\n$3\r\nSET\r\n$4\r\n\xc3\xa4\r\n\r\n$2\r\n\xff\x00\r\n",
  );
  const [words] = new RespReader(LIMITS).push(command);
  assert.equal(shown(words!), '[b"SET",b"\xc3\xa4\\r\\n",b"\xff\\u0000"]');
});

test("a reply takes time that is linear in its length, byte by byte and all at once", () => {
  const start = performance.now();
  const limits = { line: 1 << 20, bulk: 1 << 20, reply: 1 << 24, items: 1 << 20, depth: 8 };
  const reader = new RespReader(limits);
  const one = Buffer.from("x");
  reader.push(Buffer.from("+"));
  for (let i = 0; i < 100_000; i++) reader.push(one);
  reader.push(Buffer.from("\r\n$100000\r\n"));
  for (let i = 0; i < 100_000; i++) reader.push(one);
  assert.equal(reader.push(Buffer.from("\r\n")).length, 1);
  const many = reader.push(Buffer.from(`*100000\r\n${":1\r\n".repeat(100_000)}`));
  assert.equal((many[0] as readonly Reply[]).length, 100_000);
  assert.ok(performance.now() - start < 20_000);
});
